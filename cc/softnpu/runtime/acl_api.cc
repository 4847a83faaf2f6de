// cc/softnpu/runtime/acl_api.cc: the exported ACL functions, each a guarded call of the runtime.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "cc/softnpu/ascendc/error.h"
#include "cc/softnpu/runtime/acl_abi.h"
#include "cc/softnpu/runtime/device.h"
#include "cc/softnpu/runtime/internal.h"
#include "cc/softnpu/runtime/kernel.h"
#include "cc/softnpu/runtime/options.h"
#include "cc/softnpu/runtime/profile.h"

namespace softnpu {
namespace {

constexpr const char* kCannVersion = "9.0.0";

std::atomic<bool> g_initialized{false};

template <typename T>
T& Required(T* pointer, const char* name) {
  if (pointer == nullptr)
    throw Error(kRtParamInvalid, std::string("the argument '") + name + "' is null");
  return *pointer;
}

// Events of the process; a handle that is not in here is stale.
class EventTable {
 public:
  void* Add(uint32_t flag) {
    auto* event = new Event(flag);
    std::lock_guard<std::mutex> lock(mutex_);
    events_.insert(event);
    return event;
  }
  void Remove(void* handle) {
    Event& event = Get(handle);
    std::lock_guard<std::mutex> lock(mutex_);
    events_.erase(&event);
    delete &event;
  }
  Event& Get(void* handle) {
    auto* event = static_cast<Event*>(handle);
    std::lock_guard<std::mutex> lock(mutex_);
    if (events_.count(event) == 0) {
      throw Error(kRtParamInvalid, Format("%p is not a live event", handle));
    }
    return *event;
  }

 private:
  std::mutex mutex_;
  std::set<Event*> events_;
};

EventTable& Events() {
  static EventTable* table = new EventTable;
  return *table;
}

// Host memory that was asked for through ACL (pinned on a real device).
class HostBlocks {
 public:
  void* Allocate(size_t bytes) {
    void* address = nullptr;
    if (posix_memalign(&address, 4096, std::max<size_t>(bytes, 1)) != 0) {
      throw Error(kRtMemoryAllocation, Format("no %zu bytes of host memory", bytes));
    }
    std::lock_guard<std::mutex> lock(mutex_);
    blocks_[address] = bytes;
    return address;
  }
  void Free(void* address) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (blocks_.erase(address) == 0) {
        throw Error(kRtParamInvalid, Format("%p was not allocated by aclrtMallocHost", address));
      }
    }
    std::free(address);
  }
  bool Contains(const void* address) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto it = blocks_.upper_bound(const_cast<void*>(address));
    if (it == blocks_.begin()) return false;
    --it;
    return static_cast<const char*>(address) < static_cast<char*>(it->first) + it->second;
  }

 private:
  std::mutex mutex_;
  std::map<void*, size_t> blocks_;
};

HostBlocks& PinnedMemory() {
  static HostBlocks* blocks = new HostBlocks;
  return *blocks;
}

enum CopyKind { kHostToHost = 0, kHostToDevice, kDeviceToHost, kDeviceToDevice, kDefault };

const char* CopyName(int32_t kind) {
  static constexpr std::array<const char*, 5> kNames = {"MemcpyH2H", "MemcpyH2D", "MemcpyD2H",
                                                        "MemcpyD2D", "Memcpy"};
  return kind >= 0 && kind <= kDefault ? kNames[static_cast<size_t>(kind)] : "Memcpy";
}

// Checks direction, destination size and ranges; the copy itself runs later.
void CheckCopy(const void* dst, size_t max, const void* src, size_t bytes, int32_t kind) {
  if (bytes > max) {
    throw Error(kRtParamInvalid,
                Format("%zu bytes do not fit into a destination of %zu", bytes, max));
  }
  if (bytes == 0) return;
  const bool from_device = FindMemory(src) != nullptr;
  const bool to_device = FindMemory(dst) != nullptr;
  if (kind < kHostToHost || kind > kDefault) {
    throw Error(kRtParamInvalid, Format("copy kind %d is not supported (0 to 4 are)", kind));
  }
  if (kind != kDefault) {
    const bool want_from = kind == kDeviceToHost || kind == kDeviceToDevice;
    const bool want_to = kind == kHostToDevice || kind == kDeviceToDevice;
    if (want_from != from_device || want_to != to_device) {
      throw Error(kRtParamInvalid,
                  Format("%s from %s memory %p to %s memory %p", CopyName(kind),
                         from_device ? "device" : "host", src, to_device ? "device" : "host", dst));
    }
  }
  HostPointer(src, bytes);
  HostPointer(dst, bytes);
}

void Copy(void* dst, const void* src, size_t bytes) {
  if (bytes > 0) std::memmove(HostPointer(dst, bytes), HostPointer(src, bytes), bytes);
}

// jit_compile "disable" sends torch_npu down the aclnn path; the other options keep their value.
class CompileOptions {
 public:
  CompileOptions() { values_[kJitCompile] = "disable"; }
  void Set(int32_t option, const char* value) {
    if (option == kJitCompile && std::strcmp(value, "disable") != 0) {
      throw Error(kInvalidParam, "jit_compile cannot be enabled: SoftNPU has no operator compiler");
    }
    std::lock_guard<std::mutex> lock(mutex_);
    values_[option] = value;
  }
  std::string Get(int32_t option) {
    std::lock_guard<std::mutex> lock(mutex_);
    return values_[option];
  }

 private:
  static constexpr int32_t kJitCompile = 10;
  std::mutex mutex_;
  std::map<int32_t, std::string> values_;
};

CompileOptions& JitOptions() {
  static CompileOptions* options = new CompileOptions;
  return *options;
}

// Fields and sizes of aclCANNPackageVersion.
struct PackageVersion {
  char version[128];
  char major[64];
  char minor[64];
  char release[64];
  char patch[64];
  char reserved[128];
};

// Fields of aclrtPtrAttributes.
struct PointerAttributes {
  uint32_t device;
  int32_t type;  // 0 host, 1 device, 2 unregistered
  uint32_t page_bytes;
  uint32_t reserved[4];
};

void Synchronize(bool done, int32_t timeout_ms) {
  if (!done) {
    throw Error(kRtInternal, Format("the stream is not idle after %d ms", timeout_ms));
  }
}

}  // namespace
}  // namespace softnpu

using softnpu::CurrentDevice;
using softnpu::CurrentProfile;
using softnpu::Error;
using softnpu::Events;
using softnpu::Format;
using softnpu::Guard;
using softnpu::Required;
using softnpu::ResolveStream;

extern "C" {

int32_t aclInit(const char*) {
  return Guard("aclInit", [] {
    softnpu::RefuseForkedChild();
    CurrentProfile();
    softnpu::GetOptions();
    if (softnpu::g_initialized.exchange(true)) {
      throw Error(softnpu::kRepeatInitialize, "ACL is initialised already");
    }
  });
}

int32_t aclFinalize() {
  return Guard("aclFinalize", [] {
    if (!softnpu::g_initialized.exchange(false)) {
      throw Error(softnpu::kUninitialized, "ACL is not initialised");
    }
  });
}

const char* aclGetRecentErrMsg() { return softnpu::RecentMessage(); }

int32_t aclGetCannAttribute(int32_t attribute, int32_t* value) {
  return Guard("aclGetCannAttribute", [&] {
    int32_t& out = Required(value, "value");
    switch (attribute) {
      case 0:  // INF_NAN mode is the default of every profile
        out = 1;
        return;
      case 1:
        out = CurrentProfile().bfloat16 ? 1 : 0;
        return;
      case 2:  // jit compile: off
        out = 0;
        return;
      default:
        throw Error(softnpu::kInvalidParam,
                    Format("attribute %d is unknown (0 to 2 are known)", attribute));
    }
  });
}

int32_t aclGetDeviceCapability(uint32_t device, int32_t info, int64_t* value) {
  return Guard("aclGetDeviceCapability", [&] {
    softnpu::GetDevice(static_cast<int>(device));
    int64_t& out = Required(value, "value");
    switch (info) {
      case 0:
        out = CurrentProfile().ai_cores;
        return;
      case 1:
        out = CurrentProfile().vector_cores;
        return;
      case 2:
        out = CurrentProfile().l2_bytes;
        return;
      default:
        throw Error(softnpu::kInvalidParam,
                    Format("device info %d is unknown (0 to 2 are known)", info));
    }
  });
}

int32_t aclsysGetCANNVersion(int32_t, void* version) {
  return Guard("aclsysGetCANNVersion", [&] {
    auto& out = Required(static_cast<softnpu::PackageVersion*>(version), "version");
    std::memset(&out, 0, sizeof(out));
    std::strcpy(out.version, softnpu::kCannVersion);
    std::strcpy(out.major, "9");
    std::strcpy(out.minor, "0");
    std::strcpy(out.release, "0");
  });
}

int32_t aclsysGetVersionStr(char* package, char* version) {
  return Guard("aclsysGetVersionStr", [&] {
    Required(package, "package");
    std::strcpy(&Required(version, "version"), softnpu::kCannVersion);
  });
}

const char* aclrtGetSocName() {
  const char* name = nullptr;
  Guard("aclrtGetSocName", [&] { name = CurrentProfile().soc_name.c_str(); });
  return name;
}

int32_t aclrtGetRunMode(int32_t* mode) {
  return Guard("aclrtGetRunMode", [&] { Required(mode, "mode") = 1; });
}

int32_t aclrtGetDeviceCount(uint32_t* count) {
  return Guard("aclrtGetDeviceCount", [&] { Required(count, "count") = CurrentProfile().devices; });
}

int32_t aclrtSetDevice(int32_t device) {
  return Guard("aclrtSetDevice", [&] { softnpu::SetCurrentDevice(device); });
}

int32_t aclrtResetDevice(int32_t device) {
  return Guard("aclrtResetDevice", [&] { softnpu::GetDevice(device).Synchronize(-1); });
}

int32_t aclrtGetDevice(int32_t* device) {
  return Guard("aclrtGetDevice", [&] { Required(device, "device") = CurrentDevice().index(); });
}

int32_t aclrtGetDeviceInfo(uint32_t device, int32_t attribute, int64_t* value) {
  return Guard("aclrtGetDeviceInfo", [&] {
    softnpu::GetDevice(static_cast<int>(device));
    int64_t& out = Required(value, "value");
    const softnpu::Profile& profile = CurrentProfile();
    switch (attribute) {
      case 101:
        out = profile.ai_cores;
        return;
      case 102:
        out = profile.cube_cores;
        return;
      case 201:
        out = profile.vector_cores;
        return;
      case 204:
        out = profile.ub_bytes;
        return;
      case 301:
        out = profile.hbm_bytes;
        return;
      case 302:
        out = profile.l2_bytes;
        return;
      case 601:
        out = profile.npu_arch;
        return;
      default:
        throw Error(softnpu::kRtParamInvalid, Format("attribute %d is not modelled", attribute));
    }
  });
}

int32_t aclrtGetLogicDevIdByUserDevId(const int32_t user, int32_t* const logical) {
  return Guard("aclrtGetLogicDevIdByUserDevId", [&] { Required(logical, "logical") = user; });
}

int32_t aclrtDeviceGetBareTgid(int32_t* pid) {
  return Guard("aclrtDeviceGetBareTgid", [&] { Required(pid, "pid") = getpid(); });
}

int32_t aclrtDeviceCanAccessPeer(int32_t* can, int32_t device, int32_t peer) {
  return Guard("aclrtDeviceCanAccessPeer", [&] {
    softnpu::GetDevice(device);
    softnpu::GetDevice(peer);
    Required(can, "can") = device != peer ? 1 : 0;
  });
}

int32_t aclrtDeviceEnablePeerAccess(int32_t peer, uint32_t) {
  return Guard("aclrtDeviceEnablePeerAccess", [&] { softnpu::GetDevice(peer); });
}

int32_t aclrtGetPrimaryCtxState(int32_t device, uint32_t* flags, int32_t* active) {
  return Guard("aclrtGetPrimaryCtxState", [&] {
    softnpu::RefuseForkedChild();
    if (flags != nullptr) *flags = 0;
    Required(active, "active") = softnpu::CurrentDeviceIndex() == device ? 1 : 0;
  });
}

// A context is the primary context of its device; its handle is the device.
int32_t aclrtCreateContext(void** context, int32_t device) {
  return Guard("aclrtCreateContext", [&] {
    softnpu::SetCurrentDevice(device);
    Required(context, "context") = &CurrentDevice();
  });
}

int32_t aclrtDestroyContext(void* context) {
  return Guard("aclrtDestroyContext", [&] { Required(static_cast<char*>(context), "context"); });
}

int32_t aclrtSetCurrentContext(void* context) {
  return Guard("aclrtSetCurrentContext", [&] {
    for (uint32_t i = 0; i < CurrentProfile().devices; ++i) {
      if (&softnpu::GetDevice(static_cast<int>(i)) == context) {
        softnpu::SetCurrentDevice(static_cast<int>(i));
        return;
      }
    }
    throw Error(softnpu::kRtContextNull, Format("%p is not a context", context));
  });
}

int32_t aclrtGetCurrentContext(void** context) {
  return Guard("aclrtGetCurrentContext", [&] { Required(context, "context") = &CurrentDevice(); });
}

int32_t aclrtSetDeviceSatMode(int32_t mode) {
  return Guard("aclrtSetDeviceSatMode", [&] {
    if (mode != 1) {
      throw Error(softnpu::kRtParamInvalid,
                  Format("overflow mode %d: SoftNPU models the INF/NAN mode (1) only", mode));
    }
  });
}

int32_t aclrtSetOpWaitTimeout(uint32_t) { return softnpu::kOk; }
int32_t aclrtSetOpExecuteTimeOut(uint32_t) { return softnpu::kOk; }

int32_t aclrtSetOpExecuteTimeOutV2(uint64_t us, uint64_t* actual_us) {
  if (actual_us != nullptr) *actual_us = us;
  return softnpu::kOk;
}

// 0 deterministic, 1 debug kernel, 2 strong consistency: SoftNPU is always deterministic.
static int64_t g_sys_params[3] = {0, 0, 0};

static int32_t SysParam(const char* function, int32_t option, int64_t* value, bool set) {
  return Guard(function, [&] {
    if (option < 0 || option > 2) {
      throw Error(softnpu::kRtParamInvalid,
                  Format("option %d is unknown (0 to 2 are known)", option));
    }
    int64_t& slot = g_sys_params[option];
    if (set) {
      slot = *value;
    } else {
      Required(value, "value") = slot;
    }
  });
}

int32_t aclrtGetSysParamOpt(int32_t option, int64_t* value) {
  return SysParam("aclrtGetSysParamOpt", option, value, false);
}
int32_t aclrtSetSysParamOpt(int32_t option, int64_t value) {
  return SysParam("aclrtSetSysParamOpt", option, &value, true);
}
int32_t aclrtCtxSetSysParamOpt(int32_t option, int64_t value) {
  return SysParam("aclrtCtxSetSysParamOpt", option, &value, true);
}

int32_t aclrtPeekAtLastError(int32_t) { return softnpu::LastCode(false); }
int32_t aclrtGetLastError(int32_t) { return softnpu::LastCode(true); }

int32_t aclSetCompileopt(int32_t option, const char* value) {
  return Guard("aclSetCompileopt",
               [&] { softnpu::JitOptions().Set(option, &Required(value, "value")); });
}

size_t aclGetCompileoptSize(int32_t option) { return softnpu::JitOptions().Get(option).size() + 1; }

int32_t aclGetCompileopt(int32_t option, char* value, size_t length) {
  return Guard("aclGetCompileopt", [&] {
    const std::string text = softnpu::JitOptions().Get(option);
    if (text.size() + 1 > length) {
      throw Error(softnpu::kInvalidParam,
                  Format("%zu bytes are needed, the buffer has %zu", text.size() + 1, length));
    }
    std::strcpy(&Required(value, "value"), text.c_str());
  });
}

int32_t aclrtMalloc(void** address, size_t bytes, int32_t) {
  return Guard("aclrtMalloc", [&] {
    if (bytes == 0) throw Error(softnpu::kRtParamInvalid, "0 bytes asked for");
    Required(address, "address") = CurrentDevice().memory().Allocate(bytes);
  });
}

int32_t aclrtMallocAlign32(void** address, size_t bytes, int32_t policy) {
  return aclrtMalloc(address, bytes, policy);
}

int32_t aclrtFree(void* address) {
  return Guard("aclrtFree", [&] {
    softnpu::RefuseForkedChild();
    softnpu::DeviceMemory* memory = softnpu::FindMemory(address);
    if (memory == nullptr) {
      throw Error(softnpu::kRtParamInvalid, Format("%p is not device memory", address));
    }
    memory->Free(address);
  });
}

int32_t aclrtMallocHost(void** address, size_t bytes) {
  return Guard("aclrtMallocHost",
               [&] { Required(address, "address") = softnpu::PinnedMemory().Allocate(bytes); });
}

int32_t aclrtFreeHost(void* address) {
  return Guard("aclrtFreeHost", [&] { softnpu::PinnedMemory().Free(address); });
}

int32_t aclrtGetMemInfo(int32_t, size_t* free, size_t* total) {
  return Guard("aclrtGetMemInfo", [&] {
    const softnpu::DeviceMemory& memory = CurrentDevice().memory();
    Required(total, "total") = memory.capacity();
    Required(free, "free") = memory.capacity() - memory.used();
  });
}

int32_t aclrtPointerGetAttributes(const void* address, void* attributes) {
  return Guard("aclrtPointerGetAttributes", [&] {
    auto& out = Required(static_cast<softnpu::PointerAttributes*>(attributes), "attributes");
    out = {};
    if (const softnpu::DeviceMemory* memory = softnpu::FindMemory(address)) {
      out.device = static_cast<uint32_t>(memory->device());
      out.type = 1;
    } else {
      out.type = softnpu::PinnedMemory().Contains(address) ? 0 : 2;
    }
    out.page_bytes = 4096;
  });
}

int32_t aclrtMemset(void* address, size_t max, int32_t value, size_t bytes) {
  return Guard("aclrtMemset", [&] {
    if (bytes > max) {
      throw Error(softnpu::kRtParamInvalid, Format("%zu bytes do not fit into %zu", bytes, max));
    }
    std::memset(softnpu::HostPointer(address, bytes), value, bytes);
  });
}

int32_t aclrtMemsetAsync(void* address, size_t max, int32_t value, size_t bytes, void* stream) {
  return Guard("aclrtMemsetAsync", [&] {
    if (bytes > max) {
      throw Error(softnpu::kRtParamInvalid, Format("%zu bytes do not fit into %zu", bytes, max));
    }
    softnpu::HostPointer(address, bytes);
    ResolveStream(stream).Enqueue(
        {softnpu::EventKind::kCopy, "Memset", false,
         [=] { std::memset(softnpu::HostPointer(address, bytes), value, bytes); }});
  });
}

int32_t aclrtMemcpy(void* dst, size_t max, const void* src, size_t bytes, int32_t kind) {
  return Guard("aclrtMemcpy", [&] {
    softnpu::RefuseForkedChild();
    softnpu::CheckCopy(dst, max, src, bytes, kind);
    softnpu::Copy(dst, src, bytes);
  });
}

int32_t aclrtMemcpyAsync(void* dst, size_t max, const void* src, size_t bytes, int32_t kind,
                         void* stream) {
  return Guard("aclrtMemcpyAsync", [&] {
    softnpu::CheckCopy(dst, max, src, bytes, kind);
    ResolveStream(stream).Enqueue({softnpu::EventKind::kCopy, softnpu::CopyName(kind), false,
                                   [=] { softnpu::Copy(dst, src, bytes); }});
  });
}

int32_t aclrtCreateStream(void** stream) {
  return Guard("aclrtCreateStream",
               [&] { Required(stream, "stream") = CurrentDevice().CreateStream(); });
}

int32_t aclrtCreateStreamWithConfig(void** stream, uint32_t, uint32_t) {
  return aclrtCreateStream(stream);
}

int32_t aclrtDestroyStream(void* stream) {
  return Guard("aclrtDestroyStream", [&] {
    softnpu::Stream& found = ResolveStream(&Required(static_cast<char*>(stream), "stream"));
    found.Synchronize();
    softnpu::GetDevice(found.device()).DestroyStream(&found);
  });
}

int32_t aclrtDestroyStreamForce(void* stream) {
  return Guard("aclrtDestroyStreamForce", [&] {
    softnpu::Stream& found = ResolveStream(&Required(static_cast<char*>(stream), "stream"));
    softnpu::GetDevice(found.device()).DestroyStream(&found);
  });
}

int32_t aclrtSynchronizeStream(void* stream) {
  return Guard("aclrtSynchronizeStream", [&] { ResolveStream(stream).Synchronize(); });
}

int32_t aclrtSynchronizeStreamWithTimeout(void* stream, int32_t timeout_ms) {
  return Guard("aclrtSynchronizeStreamWithTimeout", [&] {
    softnpu::Synchronize(ResolveStream(stream).Synchronize(timeout_ms), timeout_ms);
  });
}

int32_t aclrtSynchronizeDevice() {
  return Guard("aclrtSynchronizeDevice", [&] { CurrentDevice().Synchronize(-1); });
}

int32_t aclrtSynchronizeDeviceWithTimeout(int32_t timeout_ms) {
  return Guard("aclrtSynchronizeDeviceWithTimeout",
               [&] { softnpu::Synchronize(CurrentDevice().Synchronize(timeout_ms), timeout_ms); });
}

int32_t aclrtStreamQuery(void* stream, int32_t* status) {
  return Guard("aclrtStreamQuery",
               [&] { Required(status, "status") = ResolveStream(stream).Idle() ? 0 : 1; });
}

int32_t aclrtStreamGetId(void* stream, int32_t* id) {
  return Guard("aclrtStreamGetId",
               [&] { Required(id, "id") = static_cast<int32_t>(ResolveStream(stream).id()); });
}

int32_t aclrtSetStreamFailureMode(void* stream, uint64_t) {
  return Guard("aclrtSetStreamFailureMode", [&] { ResolveStream(stream); });
}

int32_t aclrtCreateEventExWithFlag(void** event, uint32_t flag) {
  return Guard("aclrtCreateEventExWithFlag", [&] {
    softnpu::RefuseForkedChild();
    Required(event, "event") = Events().Add(flag);
  });
}
int32_t aclrtCreateEventWithFlag(void** event, uint32_t flag) {
  return aclrtCreateEventExWithFlag(event, flag);
}
int32_t aclrtCreateEvent(void** event) { return aclrtCreateEventExWithFlag(event, 0); }

int32_t aclrtDestroyEvent(void* event) {
  return Guard("aclrtDestroyEvent", [&] { Events().Remove(event); });
}

int32_t aclrtRecordEvent(void* event, void* stream) {
  return Guard("aclrtRecordEvent", [&] { Events().Get(event).Record(ResolveStream(stream)); });
}

int32_t aclrtResetEvent(void* event, void*) {
  return Guard("aclrtResetEvent", [&] { Events().Get(event).Reset(); });
}

int32_t aclrtStreamWaitEvent(void* stream, void* event) {
  return Guard("aclrtStreamWaitEvent", [&] { Events().Get(event).WaitOn(ResolveStream(stream)); });
}

int32_t aclrtSynchronizeEvent(void* event) {
  return Guard("aclrtSynchronizeEvent", [&] {
    if (const auto recording = Events().Get(event).latest()) recording->Wait();
  });
}

int32_t aclrtQueryEventStatus(void* event, int32_t* status) {
  return Guard("aclrtQueryEventStatus", [&] {
    const auto recording = Events().Get(event).latest();
    Required(status, "status") = recording == nullptr || recording->done() ? 1 : 0;
  });
}

int32_t aclrtQueryEventWaitStatus(void* event, int32_t* status) {
  return Guard("aclrtQueryEventWaitStatus", [&] {
    const auto recording = Events().Get(event).latest();
    Required(status, "status") = recording == nullptr || recording->done() ? 0 : 1;
  });
}

static int64_t TimeOf(void* event, const char* which) {
  const auto recording = Events().Get(event).latest();
  if (recording == nullptr || !recording->done()) {
    throw Error(
        softnpu::kRtEventTimestamp,
        std::string("the ") + which + " event has no time: it was not recorded or not reached");
  }
  return recording->time_ns();
}

int32_t aclrtEventElapsedTime(float* ms, void* start, void* end) {
  return Guard("aclrtEventElapsedTime", [&] {
    Required(ms, "ms") = static_cast<float>(TimeOf(end, "end") - TimeOf(start, "start")) * 1e-6F;
  });
}

int32_t aclrtEventGetTimestamp(void* event, uint64_t* us) {
  return Guard("aclrtEventGetTimestamp",
               [&] { Required(us, "us") = static_cast<uint64_t>(TimeOf(event, "given") / 1000); });
}

int32_t aclrtLaunchHostFunc(void* stream, void (*function)(void*), void* argument) {
  return Guard("aclrtLaunchHostFunc", [&] {
    ResolveStream(stream).Enqueue(
        {softnpu::EventKind::kHost, "HostFunc", false, [=] { function(argument); }});
  });
}

int32_t aclrtBinaryLoadFromFile(const char* path, void*, void** binary) {
  return Guard("aclrtBinaryLoadFromFile", [&] {
    softnpu::RefuseForkedChild();
    Required(binary, "binary") = new softnpu::Binary(&Required(path, "path"));
  });
}

int32_t aclrtBinaryUnLoad(void* binary) {
  return Guard("aclrtBinaryUnLoad",
               [&] { delete &Required(static_cast<softnpu::Binary*>(binary), "binary"); });
}

int32_t aclrtBinaryGetFunction(const void* binary, const char* kernel, void** function) {
  return Guard("aclrtBinaryGetFunction", [&] {
    auto& loaded = Required(static_cast<softnpu::Binary*>(const_cast<void*>(binary)), "binary");
    Required(function, "function") = loaded.Find(&Required(kernel, "kernel"));
  });
}

int32_t aclrtLaunchKernelWithHostArgs(void* function, uint32_t blocks, void* stream, void*,
                                      void* args, size_t arg_bytes, void*,
                                      size_t place_holder_count) {
  return Guard("aclrtLaunchKernelWithHostArgs", [&] {
    if (place_holder_count != 0) {
      throw Error(softnpu::kRtParamInvalid,
                  Format("%zu placeholders: SoftNPU takes none yet", place_holder_count));
    }
    softnpu::Stream& queue = ResolveStream(stream);
    if (queue.device() != softnpu::CurrentDeviceIndex()) {
      throw Error(softnpu::kRtStreamContext,
                  Format("the stream is one of device %d, but device %d is current", queue.device(),
                         CurrentDevice().index()));
    }
    softnpu::LaunchKernel(Required(static_cast<softnpu::Function*>(function), "function"), blocks,
                          queue, &Required(static_cast<char*>(args), "args"), arg_bytes);
  });
}

int32_t aclmdlRICaptureGetInfo(void*, int32_t* status, void** model) {
  if (status != nullptr) *status = 0;
  if (model != nullptr) *model = nullptr;
  return softnpu::kOk;
}

int32_t aclmdlInitDump() { return softnpu::kOk; }
int32_t aclmdlSetDump(const char*) { return softnpu::kOk; }
int32_t aclmdlFinalizeDump() { return softnpu::kOk; }

// internal.h

int32_t softnpu_enqueue(void* stream, const char* name, int32_t (*run)(void*), void (*drop)(void*),
                        void* context) {
  const std::shared_ptr<void> owner(context, drop);
  return Guard(name, [&] {
    ResolveStream(stream).Enqueue({softnpu::EventKind::kOperator, name, false, [run, owner] {
                                     const int32_t code = run(owner.get());
                                     if (code != 0) throw Error(code, softnpu::RecentMessage());
                                   }});
  });
}

void* softnpu_translate(const void* address, uint64_t bytes) {
  void* out = nullptr;
  Guard("operator", [&] {
    softnpu::DeviceMemory* memory = softnpu::FindMemory(address);
    if (memory == nullptr) {
      throw Error(softnpu::kAclnnInvalid,
                  Format("%p is host memory, an operator takes device memory only", address));
    }
    memory->Check(address, bytes);
    out = memory->Alias(address);
  });
  return out;
}

int32_t softnpu_report(int32_t code, const char* message) { return softnpu::Report(code, message); }
const char* softnpu_message() { return softnpu::RecentMessage(); }
void softnpu_count(const char* name) { softnpu::Count(softnpu::EventKind::kHost, name); }
int32_t softnpu_has_bfloat16() { return CurrentProfile().bfloat16 ? 1 : 0; }
const char* softnpu_soc_name() { return aclrtGetSocName(); }

}  // extern "C"
