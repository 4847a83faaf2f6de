// cc/softnpu/runtime/acl_errors_test.cc: what every exported function gives on a device in error,
// and what bad handles, null arguments and pageable host memory give.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <type_traits>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/runtime/acl_abi.h"
#include "cc/softnpu/runtime/internal.h"

namespace softnpu {
namespace {

using ::testing::HasSubstr;

constexpr int kHostToDevice = 1;
constexpr int kDeviceToHost = 2;
constexpr int32_t kFailed = 507035;

// An operator of the stream that runs the closure; what it returns is the task's code.
void Queue(void* stream, std::function<int32_t()> body) {
  const auto run = [](void* context) {
    return (*static_cast<std::function<int32_t()>*>(context))();
  };
  const auto drop = [](void* context) { delete static_cast<std::function<int32_t()>*>(context); };
  ASSERT_EQ(softnpu_enqueue(stream, "aclnnTest", run, drop,
                            new std::function<int32_t()>(std::move(body)), nullptr, 0),
            0)
      << softnpu_message();
}

void Fail(void* stream, const char* sentence = "the planted fault") {
  Queue(stream, [=] { return softnpu_report(kFailed, sentence); });
}

// Objects that were made while the devices were well.
class Acl : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_EQ(aclInit(nullptr), 0) << softnpu_message(); }
  void SetUp() override {
    ASSERT_EQ(aclrtSetDevice(0), 0) << softnpu_message();
    ASSERT_EQ(aclrtMalloc(&memory_, 256, 0), 0);
    ASSERT_EQ(aclrtMemset(memory_, 256, 1, 256), 0);
    ASSERT_EQ(aclrtIpcMemGetExportKey(memory_, 256, key_, sizeof(key_), 0), 0);
    ASSERT_EQ(aclrtCreateEventExWithFlag(&between_, 0x40), 0);
    ASSERT_EQ(aclrtMallocHost(&pinned_, 256), 0);
    ASSERT_EQ(aclrtCreateStream(&stream_), 0);
    ASSERT_EQ(aclrtCreateEvent(&event_), 0);
    ASSERT_EQ(aclrtCreateEvent(&later_), 0);
    ASSERT_EQ(aclrtRecordEvent(event_, stream_), 0);
    ASSERT_EQ(aclrtRecordEvent(later_, stream_), 0);
    ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
    ASSERT_EQ(aclrtBinaryLoadFromFile(Kernels().c_str(), nullptr, &binary_), 0)
        << softnpu_message();
    ASSERT_EQ(aclrtBinaryGetFunction(binary_, "copy_blocks", &function_), 0) << softnpu_message();
    ASSERT_EQ(aclrtCreateContext(&context_, 0), 0);
  }
  void TearDown() override {
    for (const int device : {0, 1}) EXPECT_EQ(aclrtResetDevice(device), 0);
  }

  // The object need not exist: SoftNPU takes the twin that lies beside it.
  static std::string Kernels() {
    return std::filesystem::absolute("cc/kernels/cache/cache.ascend910b3.o").string();
  }

  void PutIntoError() {
    Fail(stream_);
    ASSERT_EQ(aclrtSynchronizeStream(stream_), kFailed);
  }

  void* memory_ = nullptr;
  char key_[65] = {};        // of the memory
  void* between_ = nullptr;  // an event between processes
  void* pinned_ = nullptr;
  void* stream_ = nullptr;
  void* event_ = nullptr;
  void* later_ = nullptr;
  void* binary_ = nullptr;
  void* function_ = nullptr;
  void* context_ = nullptr;
};

// What a function gives on a device in error.
enum class Gives {
  kTheError,  // it computes, copies, waits or asks: the first error, whatever happens later
  kNothing,   // it works on the host alone, or gives something back
  kItsOwn,    // SoftNPU does not have it; that is said as always
  kRefusal,   // the argument is wrong, which is said as always
};

struct Row {
  Gives gives;
  std::function<int32_t()> call;
};

TEST_F(Acl, EveryFunctionOnADeviceInError) {
  int32_t word = 0;
  uint32_t count = 0;
  int64_t number = 0;
  uint64_t us = 0;
  size_t bytes = 0;
  size_t total = 0;
  float ms = 0;
  void* out = nullptr;
  void* host = nullptr;
  std::array<char, 4096> text = {};
  std::array<char, 256> bytes_of_host = {};
  const std::array<int64_t, 1> dims = {1};
  const auto desc = [&] { return aclCreateTensorDesc(0, 1, dims.data(), 2); };
  const auto attr = [] { return aclopCreateAttr(); };
  const auto nothing = [](void*) {};
  char key[65];
  EventHandle handle = {};

#define WORKS(name, ...)                                                 \
  {                                                                      \
    #name, {                                                             \
      Gives::kTheError, [&]() -> int32_t { return ::name(__VA_ARGS__); } \
    }                                                                    \
  }
#define HOST(name, ...)                                                 \
  {                                                                     \
    #name, {                                                            \
      Gives::kNothing, [&]() -> int32_t { return ::name(__VA_ARGS__); } \
    }                                                                   \
  }
#define OWN(name, ...)                                                 \
  {                                                                    \
    #name, {                                                           \
      Gives::kItsOwn, [&]() -> int32_t { return ::name(__VA_ARGS__); } \
    }                                                                  \
  }
  const std::map<std::string, Row> table = {
      // Process, device, context.
      {"aclInit",
       {Gives::kNothing,
        [] {
          ::aclFinalize();
          return ::aclInit(nullptr);
        }}},
      {"aclFinalize",
       {Gives::kNothing,
        [] {
          const int32_t code = ::aclFinalize();
          ::aclInit(nullptr);
          return code;
        }}},
      HOST(aclGetCannAttribute, 0, &word),
      HOST(aclGetDeviceCapability, 0, 0, &number),
      HOST(aclsysGetCANNVersion, 0, text.data()),
      HOST(aclsysGetVersionStr, text.data(), text.data()),
      HOST(aclrtGetRunMode, &word),
      HOST(aclrtGetDeviceCount, &count),
      HOST(aclrtSetDevice, 0),
      HOST(aclrtResetDevice, 0),
      HOST(aclrtGetDevice, &word),
      HOST(aclrtGetDeviceInfo, 0, 201, &number),
      HOST(aclrtGetLogicDevIdByUserDevId, 0, &word),
      HOST(aclrtDeviceGetBareTgid, &word),
      HOST(aclrtDeviceCanAccessPeer, &word, 0, 1),
      HOST(aclrtDeviceEnablePeerAccess, 1, 0),
      HOST(aclrtGetPrimaryCtxState, 0, &count, &word),
      HOST(aclrtCreateContext, &out, 0),
      HOST(aclrtDestroyContext, context_),
      HOST(aclrtSetCurrentContext, context_),
      HOST(aclrtGetCurrentContext, &out),
      HOST(aclrtSetDeviceSatMode, 1),
      HOST(aclrtSetOpWaitTimeout, 1),
      HOST(aclrtSetOpExecuteTimeOut, 1),
      HOST(aclrtSetOpExecuteTimeOutV2, 1, &us),
      HOST(aclrtGetSysParamOpt, 0, &number),
      HOST(aclrtSetSysParamOpt, 0, 0),
      HOST(aclrtCtxSetSysParamOpt, 0, 0),
      HOST(aclSetCompileopt, 10, "disable"),
      HOST(aclGetCompileopt, 10, text.data(), text.size()),
      // The code of the last failed call of this thread: here that of the synchronisation.
      WORKS(aclrtPeekAtLastError, 0),
      WORKS(aclrtGetLastError, 0),
      // Memory.
      WORKS(aclrtMalloc, &out, 8, 0),
      WORKS(aclrtMallocAlign32, &out, 8, 0),
      HOST(aclrtFree, memory_),
      HOST(aclrtMallocHost, &host, 8),
      HOST(aclrtFreeHost, pinned_),
      HOST(aclrtGetMemInfo, 0, &bytes, &total),
      HOST(aclrtPointerGetAttributes, memory_, text.data()),
      WORKS(aclrtMemset, memory_, 8, 0, 8),
      WORKS(aclrtMemsetAsync, memory_, 8, 0, 8, stream_),
      WORKS(aclrtMemcpy, bytes_of_host.data(), 8, memory_, 8, kDeviceToHost),
      WORKS(aclrtMemcpyAsync, pinned_, 8, memory_, 8, kDeviceToHost, stream_),
      // Streams and events.
      HOST(aclrtCreateStream, &out),
      HOST(aclrtCreateStreamWithConfig, &out, 0, 0),
      WORKS(aclrtDestroyStream, stream_),
      HOST(aclrtDestroyStreamForce, stream_),
      WORKS(aclrtSynchronizeStream, stream_),
      WORKS(aclrtSynchronizeStreamWithTimeout, stream_, 1000),
      WORKS(aclrtSynchronizeDevice),
      WORKS(aclrtSynchronizeDeviceWithTimeout, 1000),
      WORKS(aclrtStreamQuery, stream_, &word),
      HOST(aclrtStreamGetId, stream_, &word),
      HOST(aclrtSetStreamFailureMode, stream_, 1),
      HOST(aclrtIpcMemGetExportKey, memory_, 8, key, sizeof(key), 1),
      HOST(aclrtIpcMemSetImportPid, key_, &word, 1),
      HOST(aclrtIpcMemClose, key_),
      HOST(aclrtIpcGetEventHandle, between_, &handle),
      // A process does not import what is its own.
      {"aclrtIpcMemImportByKey",
       {Gives::kRefusal, [&] { return ::aclrtIpcMemImportByKey(&out, key_, 0); }}},
      {"aclrtIpcOpenEventHandle",
       {Gives::kRefusal,
        [&] {
          ::aclrtIpcGetEventHandle(between_, &handle);
          return ::aclrtIpcOpenEventHandle(handle, &out);
        }}},
      HOST(aclrtCreateEvent, &out),
      HOST(aclrtCreateEventWithFlag, &out, 0),
      HOST(aclrtCreateEventExWithFlag, &out, 0),
      HOST(aclrtDestroyEvent, event_),
      // The recording carries the error; torch_npu records events in destructors.
      HOST(aclrtRecordEvent, event_, stream_),
      HOST(aclrtResetEvent, event_, stream_),
      HOST(aclrtStreamWaitEvent, stream_, event_),
      WORKS(aclrtSynchronizeEvent, event_),
      WORKS(aclrtQueryEventStatus, event_, &word),
      WORKS(aclrtQueryEventWaitStatus, event_, &word),
      WORKS(aclrtEventElapsedTime, &ms, event_, later_),
      WORKS(aclrtEventGetTimestamp, event_, &us),
      WORKS(aclrtLaunchHostFunc, stream_, nothing, nullptr),
      // Kernels.
      HOST(aclrtBinaryLoadFromFile, Kernels().c_str(), nullptr, &out),
      HOST(aclrtBinaryUnLoad, binary_),
      HOST(aclrtBinaryGetFunction, binary_, "copy_blocks", &out),
      {"aclrtLaunchKernelWithHostArgs",
       {Gives::kTheError,
        [&] {
          std::array<uint64_t, 64> arguments = {};
          // As many parameters as the kernel has: any other number is refused before that.
          for (size_t n = 1; n < arguments.size(); ++n) {
            const int32_t code = ::aclrtLaunchKernelWithHostArgs(
                function_, 1, stream_, nullptr, arguments.data(), n * 8, nullptr, 0);
            if (code != kRtParamInvalid) return code;
          }
          return 0;
        }}},
      // Graph capture, dump.
      HOST(aclmdlRICaptureGetInfo, stream_, &word, &out),
      HOST(aclmdlInitDump),
      HOST(aclmdlSetDump, ""),
      HOST(aclmdlFinalizeDump),
      // The operator compiler.
      HOST(aclDestroyDataBuffer, aclCreateDataBuffer(memory_, 8)),
      HOST(aclGetTensorDescType, desc()),
      {"aclGetTensorDescFormat",
       {Gives::kNothing, [&] { return aclGetTensorDescFormat(desc()) == 2 ? 0 : -1; }}},
      HOST(aclGetTensorDescDimV2, desc(), 0, &number),
      HOST(aclSetTensorFormat, desc(), 2),
      HOST(aclSetTensorPlaceMent, desc(), 0),
      HOST(aclSetTensorShape, desc(), 1, dims.data()),
      HOST(aclopSetAttrBool, attr(), "name", 1),
      HOST(aclopSetAttrDataType, attr(), "name", 0),
      HOST(aclopSetAttrFloat, attr(), "name", 1.0F),
      HOST(aclopSetAttrInt, attr(), "name", 1),
      HOST(aclopSetAttrListBool, attr(), "name", 0, nullptr),
      HOST(aclopSetAttrListFloat, attr(), "name", 0, nullptr),
      HOST(aclopSetAttrListInt, attr(), "name", 0, nullptr),
      HOST(aclopSetAttrListListInt, attr(), "name", 0, nullptr, nullptr),
      HOST(aclopSetAttrString, attr(), "name", ""),
      WORKS(aclopCompileAndExecute, "Unknown", 0, nullptr, nullptr, 0, nullptr, nullptr, nullptr, 0,
            0, nullptr, stream_),
      // What SoftNPU does not have.
      OWN(aclrtBinaryLoadFromData, nullptr, 0, nullptr, &out),
      OWN(aclrtGetFunctionAddr, function_, &out, &host),
      OWN(aclrtProcessReport, 0),
      OWN(aclrtReserveMemAddress, &out, 8, 8, nullptr, 0),
      OWN(aclrtReleaseMemAddress, nullptr),
      OWN(aclrtMallocPhysical, &out, 8, nullptr, 0),
      OWN(aclrtFreePhysical, nullptr),
      OWN(aclrtMapMem, nullptr, 8, 0, nullptr, 0),
      OWN(aclrtUnmapMem, nullptr),
      OWN(aclrtMemExportToShareableHandle, nullptr, 0, 0, &us),
      OWN(aclrtMemImportFromShareableHandle, 0, 0, &out),
      OWN(aclrtMemSetPidToShareableHandle, 0, nullptr, 0),
  };
#undef WORKS
#undef HOST
#undef OWN

  // Every exported function that returns a code is in the table.
#define SOFTNPU_ACL(result, name, parameters)                                          \
  if (std::is_same_v<result, int32_t>) {                                               \
    EXPECT_EQ(table.count(#name), 1u) << #name << " is exported but not in the table"; \
  }
#include "cc/softnpu/runtime/acl_functions.inc"
#undef SOFTNPU_ACL

  for (const auto& [name, row] : table) {
    SCOPED_TRACE(name);
    PutIntoError();
    const int32_t first = row.call();
    switch (row.gives) {
      case Gives::kTheError:
        EXPECT_EQ(first, kFailed) << softnpu_message();
        EXPECT_THAT(softnpu_message(), HasSubstr("the planted fault"));
        break;
      case Gives::kNothing:
        EXPECT_EQ(first, 0) << softnpu_message();
        break;
      case Gives::kRefusal:
        EXPECT_EQ(first, kRtParamInvalid) << softnpu_message();
        break;
      case Gives::kItsOwn:
        EXPECT_EQ(first, kApiNotSupported);
        break;
    }
    // Nothing but a reset ends the error. (The call may have destroyed the objects.)
    if (name != "aclrtResetDevice") EXPECT_EQ(aclrtSynchronizeDevice(), kFailed);
    TearDown();
    SetUp();
    ASSERT_EQ(aclrtSynchronizeDevice(), 0) << softnpu_message();
  }
}

TEST_F(Acl, ErrorsAreThoseOfTheirDeviceAndOfWhoWaitsForIt) {
  PutIntoError();
  ASSERT_EQ(aclrtSetDevice(1), 0);
  void* stream = nullptr;
  ASSERT_EQ(aclrtCreateStream(&stream), 0);
  EXPECT_EQ(aclrtSynchronizeDevice(), 0);
  Queue(stream, [] { return 0; });
  EXPECT_EQ(aclrtSynchronizeStream(stream), 0);
  // The copy between devices takes from the one in error.
  void* memory = nullptr;
  ASSERT_EQ(aclrtMalloc(&memory, 8, 0), 0);
  EXPECT_EQ(aclrtMemcpy(memory, 8, memory_, 8, 3), kFailed);
  EXPECT_EQ(aclrtMemcpyAsync(memory, 8, memory_, 8, 3, stream), kFailed);
  EXPECT_EQ(aclrtMemcpyAsync(memory_, 8, memory, 8, 3, stream), kFailed);
  EXPECT_EQ(aclrtMemsetAsync(memory_, 8, 0, 8, stream), kFailed);
  EXPECT_EQ(aclrtSynchronizeStream(stream), 0);
  // A recording of the device in error.
  EXPECT_EQ(aclrtRecordEvent(event_, stream_), 0);
  EXPECT_EQ(aclrtSynchronizeEvent(event_), kFailed);
  EXPECT_EQ(aclrtStreamWaitEvent(stream, event_), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream), kFailed);
  EXPECT_THAT(softnpu_message(), HasSubstr("the planted fault"));
  EXPECT_EQ(aclrtResetDevice(1), 0);
  EXPECT_EQ(aclrtSynchronizeDevice(), 0);
}

TEST_F(Acl, AnEventRecordedBehindAFaultTellsItBeforeAnyoneSynchronises) {
  std::promise<void> open;
  std::shared_future<void> opened = open.get_future().share();
  Queue(stream_, [=] {
    opened.wait();
    return 0;
  });
  Fail(stream_);
  ASSERT_EQ(aclrtRecordEvent(event_, stream_), 0);
  int32_t status = -1;
  EXPECT_EQ(aclrtQueryEventStatus(event_, &status), 0);
  EXPECT_EQ(status, 0);
  open.set_value();
  EXPECT_EQ(aclrtSynchronizeEvent(event_), kFailed);
  EXPECT_THAT(softnpu_message(), HasSubstr("the planted fault"));
  EXPECT_EQ(aclrtQueryEventStatus(event_, &status), kFailed);
}

TEST_F(Acl, AResetEndsWhatRecordingsCarryToo) {
  PutIntoError();
  ASSERT_EQ(aclrtRecordEvent(event_, stream_), 0);
  EXPECT_EQ(aclrtSynchronizeEvent(event_), kFailed);
  ASSERT_EQ(aclrtResetDevice(0), 0);
  int32_t status = -1;
  EXPECT_EQ(aclrtQueryEventStatus(event_, &status), 0) << softnpu_message();
  EXPECT_EQ(status, 1);
  EXPECT_EQ(aclrtSynchronizeEvent(event_), 0);
  EXPECT_EQ(aclrtStreamWaitEvent(stream_, event_), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), 0) << softnpu_message();
}

TEST_F(Acl, AStreamDestroyedByForceIsStillWaitedForByTheDevice) {
  std::promise<void> open;
  std::shared_future<void> opened = open.get_future().share();
  std::promise<void> running;
  std::future<void> runs = running.get_future();
  bool done = false;
  Queue(stream_, [&, opened] {
    running.set_value();
    opened.wait();
    done = true;
    return 0;
  });
  runs.wait();
  ASSERT_EQ(aclrtDestroyStreamForce(stream_), 0);
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    open.set_value();
  });
  EXPECT_EQ(aclrtSynchronizeDevice(), 0);
  EXPECT_TRUE(done);
  opener.join();
}

TEST_F(Acl, TextsAreKeptForEachDevice) {
  std::thread([] {
    ASSERT_EQ(aclrtSetDevice(1), 0);
    Fail(nullptr, "the fault of device 1");
    ASSERT_EQ(aclrtSynchronizeStream(nullptr), kFailed);
    EXPECT_THAT(aclGetRecentErrMsg(), HasSubstr("the fault of device 1"));
  }).join();
  PutIntoError();
  EXPECT_THAT(aclGetRecentErrMsg(), HasSubstr("the planted fault"));
  // Another thread of the device is told the same.
  std::thread([] {
    ASSERT_EQ(aclrtSetDevice(0), 0);
    EXPECT_THAT(aclGetRecentErrMsg(), HasSubstr("the planted fault"));
    ASSERT_EQ(aclrtSetDevice(1), 0);
    EXPECT_THAT(aclGetRecentErrMsg(), HasSubstr("the fault of device 1"));
  }).join();
}

TEST_F(Acl, HandlesAreRefusedByKindWhenTheyAreStaleOrOfAnotherKind) {
  EXPECT_EQ(aclrtDestroyEvent(event_), 0);
  EXPECT_EQ(aclrtDestroyEvent(event_), kRtParamInvalid);
  EXPECT_THAT(softnpu_message(),
              HasSubstr("is not a live event of this process: it was destroyed"));
  EXPECT_EQ(aclrtRecordEvent(event_, stream_), kRtParamInvalid);
  EXPECT_EQ(aclrtRecordEvent(stream_, stream_), kRtParamInvalid);
  EXPECT_THAT(softnpu_message(), HasSubstr("it is a handle of the kind stream"));
  EXPECT_EQ(aclrtSynchronizeStream(later_), kRtStreamContext);
  EXPECT_THAT(softnpu_message(), HasSubstr("it is a handle of the kind event"));

  EXPECT_EQ(aclrtDestroyStream(stream_), 0);
  EXPECT_EQ(aclrtDestroyStream(stream_), kRtStreamContext);
  EXPECT_EQ(aclrtDestroyStreamForce(stream_), kRtStreamContext);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kRtStreamContext);
  EXPECT_EQ(aclrtDestroyStream(nullptr), kRtStreamContext);

  EXPECT_EQ(aclrtBinaryUnLoad(binary_), 0);
  EXPECT_EQ(aclrtBinaryUnLoad(binary_), kRtParamInvalid);
  EXPECT_THAT(softnpu_message(), HasSubstr("kernel binary"));
  uint64_t word = 0;
  EXPECT_EQ(aclrtLaunchKernelWithHostArgs(function_, 1, nullptr, nullptr, &word, 8, nullptr, 0),
            kRtParamInvalid);
  EXPECT_THAT(softnpu_message(), HasSubstr("is not a live kernel function"));

  EXPECT_EQ(aclrtDestroyContext(context_), 0);
  EXPECT_EQ(aclrtDestroyContext(context_), kRtContextNull);
  EXPECT_EQ(aclrtSetCurrentContext(context_), kRtContextNull);
  void* current = nullptr;
  EXPECT_EQ(aclrtGetCurrentContext(&current), kRtContextNull) << "it is the one that was destroyed";
  ASSERT_EQ(aclrtSetDevice(0), 0);
  ASSERT_EQ(aclrtGetCurrentContext(&current), 0);
  EXPECT_EQ(aclrtDestroyContext(current), kRtContextNull);
  EXPECT_THAT(softnpu_message(), HasSubstr("the context that device 0 has by itself"));
}

TEST_F(Acl, ADestroyedStreamStillDoesWhatWasQueued) {
  int ran = 0;
  for (int i = 0; i < 20; ++i) {
    Queue(stream_, [&ran] {
      ++ran;
      return 0;
    });
  }
  EXPECT_EQ(aclrtDestroyStream(stream_), 0);
  EXPECT_EQ(ran, 20);
}

// CANN 9.0: a copy that is asked to be asynchronous is, with page-locked host memory only.
TEST_F(Acl, ACopyFromPageableHostMemoryReturnsWhenItIsDone) {
  std::array<char, 8> pageable = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'};
  std::promise<void> open;
  std::shared_future<void> opened = open.get_future().share();
  Queue(stream_, [=] {
    opened.wait();
    return 0;
  });
  bool returned = false;
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_FALSE(returned);
    open.set_value();
  });
  ASSERT_EQ(aclrtMemcpyAsync(memory_, 8, pageable.data(), 8, kHostToDevice, stream_), 0);
  returned = true;
  opener.join();
  pageable.fill('x');
  std::array<char, 8> back = {};
  ASSERT_EQ(aclrtMemcpyAsync(back.data(), 8, memory_, 8, kDeviceToHost, stream_), 0);
  EXPECT_EQ(std::string(back.data(), 8), "abcdefgh") << "no synchronisation is needed";
}

TEST_F(Acl, ACopyFromPageLockedHostMemoryReturnsAtOnce) {
  std::promise<void> open;
  std::shared_future<void> opened = open.get_future().share();
  Queue(stream_, [=] {
    opened.wait();
    return 0;
  });
  std::memset(pinned_, 'a', 8);
  ASSERT_EQ(aclrtMemcpyAsync(memory_, 8, pinned_, 8, kHostToDevice, stream_), 0);
  std::memset(pinned_, 'b', 8);  // too early: the copy has not run
  open.set_value();
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  char first = 0;
  ASSERT_EQ(aclrtMemcpy(&first, 1, memory_, 1, kDeviceToHost), 0);
  EXPECT_EQ(first, 'b');
}

TEST_F(Acl, CopiesThatAreNoneAreRefused) {
  std::array<char, 8> host = {};
  EXPECT_EQ(aclrtMemcpyAsync(host.data(), 8, pinned_, 8, 0, stream_), kRtFeatureNotSupport);
  EXPECT_EQ(aclrtMemcpyAsync(host.data(), 8, pinned_, 8, 4, stream_), kRtFeatureNotSupport);
  EXPECT_EQ(aclrtMemcpy(host.data(), 8, pinned_, 8, 0), 0);
  EXPECT_EQ(aclrtMemcpy(host.data(), 8, memory_, 9, kDeviceToHost), kRtParamInvalid);
  EXPECT_EQ(aclrtMemcpy(host.data(), 8, memory_, 8, kHostToDevice), kRtParamInvalid);
  EXPECT_EQ(aclrtMemcpy(host.data(), 8, memory_, 8, 5), kRtParamInvalid);
  EXPECT_EQ(aclrtMemcpy(host.data(), 8, nullptr, 8, 0), kRtParamInvalid);
  EXPECT_EQ(aclrtMemcpy(nullptr, 8, memory_, 8, kDeviceToHost), kRtParamInvalid);
  EXPECT_EQ(aclrtMemset(nullptr, 8, 0, 8), kRtParamInvalid);
}

TEST_F(Acl, NullArgumentsAreErrorsAndNothingIsThrown) {
  EXPECT_NE(aclrtMalloc(nullptr, 8, 0), 0);
  EXPECT_NE(aclrtMallocHost(nullptr, 8), 0);
  EXPECT_NE(aclrtFree(nullptr), 0);
  EXPECT_NE(aclrtFreeHost(nullptr), 0);
  EXPECT_NE(aclrtGetMemInfo(0, nullptr, nullptr), 0);
  EXPECT_NE(aclrtPointerGetAttributes(nullptr, nullptr), 0);
  EXPECT_NE(aclrtCreateStream(nullptr), 0);
  EXPECT_NE(aclrtStreamQuery(stream_, nullptr), 0);
  EXPECT_NE(aclrtStreamGetId(stream_, nullptr), 0);
  EXPECT_NE(aclrtCreateEvent(nullptr), 0);
  EXPECT_NE(aclrtDestroyEvent(nullptr), 0);
  EXPECT_NE(aclrtRecordEvent(nullptr, stream_), 0);
  EXPECT_NE(aclrtStreamWaitEvent(stream_, nullptr), 0);
  EXPECT_NE(aclrtSynchronizeEvent(nullptr), 0);
  EXPECT_NE(aclrtQueryEventStatus(event_, nullptr), 0);
  EXPECT_NE(aclrtQueryEventWaitStatus(event_, nullptr), 0);
  EXPECT_NE(aclrtEventElapsedTime(nullptr, event_, later_), 0);
  EXPECT_NE(aclrtEventGetTimestamp(event_, nullptr), 0);
  EXPECT_NE(aclrtLaunchHostFunc(stream_, nullptr, nullptr), 0);
  EXPECT_NE(aclrtBinaryLoadFromFile(nullptr, nullptr, &binary_), 0);
  EXPECT_NE(aclrtBinaryGetFunction(binary_, nullptr, &function_), 0);
  EXPECT_NE(aclrtLaunchKernelWithHostArgs(nullptr, 1, stream_, nullptr, nullptr, 0, nullptr, 0), 0);
  EXPECT_NE(aclrtCreateContext(nullptr, 0), 0);
  EXPECT_NE(aclrtGetDevice(nullptr), 0);
  EXPECT_NE(aclrtGetDeviceCount(nullptr), 0);
  EXPECT_NE(aclrtGetSysParamOpt(0, nullptr), 0);
  EXPECT_NE(aclGetCannAttribute(0, nullptr), 0);
  EXPECT_NE(aclSetCompileopt(10, nullptr), 0);
  // An error of the caller is none of the device.
  EXPECT_EQ(aclrtSynchronizeDevice(), 0);
}

TEST_F(Acl, AnExceptionOfAHostFunctionIsAnErrorOfTheDevice) {
  ASSERT_EQ(aclrtLaunchHostFunc(stream_, [](void*) { throw 7; }, nullptr), 0);  // NOLINT
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kAicoreException);
  EXPECT_THAT(softnpu_message(), HasSubstr("HostFunc: an exception of an unknown type"));
}

TEST_F(Acl, AnOperatorThatNeedsTheCompilerPutsItsDeviceIntoError) {
  EXPECT_EQ(aclopCompileAndExecute("Unknown", 0, nullptr, nullptr, 0, nullptr, nullptr, nullptr, 0,
                                   0, nullptr, stream_),
            kAclnnNotImplemented);
  EXPECT_THAT(softnpu_message(),
              HasSubstr("the operator Unknown () needs CANN's operator compiler"));
  EXPECT_EQ(aclrtSynchronizeDevice(), kAclnnNotImplemented);
  char byte = 0;
  EXPECT_EQ(aclrtMemcpy(&byte, 1, memory_, 1, kDeviceToHost), kAclnnNotImplemented);
  EXPECT_THAT(softnpu_message(), HasSubstr("the operator Unknown ()"));
}

}  // namespace
}  // namespace softnpu
