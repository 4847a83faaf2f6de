// cc/softnpu/runtime/acl_stream.cc: the exported functions of streams and events.
#include <cstring>
#include <string>

#include "cc/softnpu/runtime/acl_api.h"
#include "cc/softnpu/runtime/event_handle.h"
#include "cc/softnpu/runtime/ipc.h"
#include "cc/softnpu/runtime/shared_event.h"
#include "cc/softnpu/runtime/stream_order.h"

namespace softnpu {
namespace {

// Events belong to no device until they are recorded.
HandleTable<Event>& Events() {
  static auto* table = new HandleTable<Event>(HandleKind::kEvent, kRtParamInvalid);
  return *table;
}

std::shared_ptr<Event> GetEvent(const void* handle) {
  RefuseForkedChild();
  return Events().Get(handle);
}

void RequireInTime(bool done, int32_t timeout_ms) {
  if (!done) {
    throw Error(kRtInternal, Format("the stream is not idle after %d ms", timeout_ms));
  }
}

// The latest recording of an event, which may be none. Throws the error that it carries, or that
// this thread's device has.
std::shared_ptr<Recording> LatestOf(const void* event) {
  const std::shared_ptr<Recording> recording = GetEvent(event)->latest();
  if (recording != nullptr) {
    if (const std::optional<Error> error = recording->error()) throw *error;
  }
  RequireWorkingDevice();
  return recording;
}

// Whether an event has no recording, or one that is done. The host knows then what has ended.
bool IsDone(const std::shared_ptr<Recording>& recording) {
  if (recording == nullptr) return true;
  if (!recording->done()) return false;
  if (StreamOrder::Active()) StreamOrder::Get().HostSaw(recording->reached());
  return true;
}

// ACL_EVENT_IPC.
constexpr uint32_t kBetweenProcesses = 0x40;

int64_t TimeOf(const void* event, const char* which) {
  if (GetEvent(event)->shared() != nullptr) {
    throw Error(kRtEventTimestamp,
                std::string("the ") + which + " event is one between processes, without a time");
  }
  const std::shared_ptr<Recording> recording = LatestOf(event);
  if (recording == nullptr || !recording->done()) {
    throw Error(kRtEventTimestamp, std::string("the ") + which +
                                       " event has no time: it was not recorded or not reached");
  }
  return recording->time_ns();
}

}  // namespace
}  // namespace softnpu

using namespace softnpu;  // NOLINT(google-build-using-namespace): the functions stand outside

extern "C" {

int32_t aclrtCreateStream(void** stream) {
  return Guard("aclrtCreateStream",
               [&] { Required(stream, "stream") = CurrentDevice().CreateStream(); });
}

int32_t aclrtCreateStreamWithConfig(void** stream, uint32_t, uint32_t) {
  return aclrtCreateStream(stream);
}

// The handle is gone in any case; an error of the device is reported after that.
int32_t aclrtDestroyStream(void* stream) {
  return Guard("aclrtDestroyStream", [&] {
    RefuseForkedChild();
    const std::shared_ptr<Stream> found = Streams().Remove(stream);
    found->Close(/*drop=*/false);
    found->Synchronize();
  });
}

int32_t aclrtDestroyStreamForce(void* stream) {
  return Guard("aclrtDestroyStreamForce", [&] {
    RefuseForkedChild();
    Streams().Remove(stream)->Close(/*drop=*/true);
  });
}

int32_t aclrtSynchronizeStream(void* stream) {
  return Guard("aclrtSynchronizeStream", [&] { ResolveStream(stream)->Synchronize(); });
}

int32_t aclrtSynchronizeStreamWithTimeout(void* stream, int32_t timeout_ms) {
  return Guard("aclrtSynchronizeStreamWithTimeout",
               [&] { RequireInTime(ResolveStream(stream)->Synchronize(timeout_ms), timeout_ms); });
}

int32_t aclrtSynchronizeDevice() {
  return Guard("aclrtSynchronizeDevice", [&] { CurrentDevice().Synchronize(-1); });
}

int32_t aclrtSynchronizeDeviceWithTimeout(int32_t timeout_ms) {
  return Guard("aclrtSynchronizeDeviceWithTimeout",
               [&] { RequireInTime(CurrentDevice().Synchronize(timeout_ms), timeout_ms); });
}

int32_t aclrtStreamQuery(void* stream, int32_t* status) {
  return Guard("aclrtStreamQuery", [&] {
    int32_t& out = Required(status, "status");
    out = ResolveStream(stream)->Idle() ? 0 : 1;
  });
}

int32_t aclrtStreamGetId(void* stream, int32_t* id) {
  return Guard("aclrtStreamGetId", [&] {
    int32_t& out = Required(id, "id");
    out = static_cast<int32_t>(ResolveStream(stream)->id());
  });
}

// A stream of SoftNPU stops at its first error in either mode (0 goes on, 1 stops).
int32_t aclrtSetStreamFailureMode(void* stream, uint64_t mode) {
  return Guard("aclrtSetStreamFailureMode", [&] {
    ResolveStream(stream);
    if (mode > 1) {
      throw Error(kRtParamInvalid, Format("failure mode %llu is unknown (0 and 1 are known)",
                                          static_cast<unsigned long long>(mode)));
    }
  });
}

int32_t aclrtCreateEventExWithFlag(void** event, uint32_t flag) {
  return Guard("aclrtCreateEventExWithFlag", [&] {
    RefuseForkedChild();
    void*& out = Required(event, "event");
    std::shared_ptr<SharedEvent> shared;
    if ((flag & kBetweenProcesses) != 0) {
      if (flag != kBetweenProcesses) {
        throw Error(kRtParamInvalid,
                    Format("the flags are %#x; %#x, for events between processes, is alone", flag,
                           kBetweenProcesses));
      }
      shared = SharedEvent::Make();
    }
    out = Events().Add(std::make_shared<Event>(flag, std::move(shared)));
  });
}
int32_t aclrtCreateEventWithFlag(void** event, uint32_t flag) {
  return aclrtCreateEventExWithFlag(event, flag);
}
int32_t aclrtCreateEvent(void** event) { return aclrtCreateEventExWithFlag(event, 0); }

int32_t aclrtDestroyEvent(void* event) {
  return Guard("aclrtDestroyEvent", [&] {
    RefuseForkedChild();
    Events().Remove(event);
  });
}

int32_t aclrtRecordEvent(void* event, void* stream) {
  return Guard("aclrtRecordEvent", [&] { GetEvent(event)->Record(*ResolveStream(stream)); });
}

int32_t aclrtResetEvent(void* event, void*) {
  return Guard("aclrtResetEvent", [&] {
    const std::shared_ptr<Event> found = GetEvent(event);
    if (found->shared() != nullptr) {
      throw Error(kRtFeatureNotSupport, "an event between processes is not reset");
    }
    found->Reset();
  });
}

int32_t aclrtIpcGetEventHandle(void* event, void* handle) {
  return Guard("aclrtIpcGetEventHandle", [&] {
    const std::shared_ptr<Event> found = GetEvent(event);
    auto& out = Required(static_cast<EventHandle*>(handle), "handle");
    if (found->shared() == nullptr) {
      throw Error(kRtParamInvalid, Format("the event has the flags %#x; one between processes has "
                                          "%#x",
                                          found->flag(), kBetweenProcesses));
    }
    std::memcpy(out.text, ExportEvent(found->shared()).data(), sizeof(out.text));
  });
}

int32_t aclrtIpcOpenEventHandle(EventHandle handle, void** event) {
  return Guard("aclrtIpcOpenEventHandle", [&] {
    RefuseForkedChild();
    void*& out = Required(event, "event");
    auto shared = ImportEvent(std::string(handle.text, strnlen(handle.text, sizeof(handle.text))));
    out = Events().Add(std::make_shared<Event>(kBetweenProcesses, std::move(shared)));
  });
}

int32_t aclrtStreamWaitEvent(void* stream, void* event) {
  return Guard("aclrtStreamWaitEvent", [&] {
    const std::shared_ptr<Stream> queue = ResolveStream(stream);
    GetEvent(event)->WaitOn(*queue);
  });
}

int32_t aclrtSynchronizeEvent(void* event) {
  return Guard("aclrtSynchronizeEvent", [&] {
    if (const std::shared_ptr<Recording> recording = GetEvent(event)->latest()) {
      recording->Wait();
      IsDone(recording);
      if (const std::optional<Error> error = recording->error()) throw *error;
    }
    RequireWorkingDevice();
  });
}

int32_t aclrtQueryEventStatus(void* event, int32_t* status) {
  return Guard("aclrtQueryEventStatus", [&] {
    int32_t& out = Required(status, "status");
    out = IsDone(LatestOf(event)) ? 1 : 0;
  });
}

int32_t aclrtQueryEventWaitStatus(void* event, int32_t* status) {
  return Guard("aclrtQueryEventWaitStatus", [&] {
    int32_t& out = Required(status, "status");
    out = IsDone(LatestOf(event)) ? 0 : 1;
  });
}

int32_t aclrtEventElapsedTime(float* ms, void* start, void* end) {
  return Guard("aclrtEventElapsedTime", [&] {
    float& out = Required(ms, "ms");
    out = static_cast<float>(TimeOf(end, "end") - TimeOf(start, "start")) * 1e-6F;
  });
}

int32_t aclrtEventGetTimestamp(void* event, uint64_t* us) {
  return Guard("aclrtEventGetTimestamp", [&] {
    uint64_t& out = Required(us, "us");
    out = static_cast<uint64_t>(TimeOf(event, "given") / 1000);
  });
}

int32_t aclrtLaunchHostFunc(void* stream, void (*function)(void*), void* argument) {
  return Guard("aclrtLaunchHostFunc", [&] {
    Required(reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(function)), "function");
    ResolveStream(stream)->Enqueue(HostTask{function, argument, {}});
  });
}

}  // extern "C"
