// cc/softnpu/runtime/acl_kernel.cc: the exported functions of kernel binaries, and what
// libascendcl.so offers to the other libraries of SoftNPU.
#include "cc/softnpu/ascendc/simulator.h"
#include "cc/softnpu/runtime/acl_api.h"
#include "cc/softnpu/runtime/internal.h"
#include "cc/softnpu/runtime/kernel.h"
#include "cc/softnpu/runtime/options.h"
#include "cc/softnpu/runtime/profile.h"
#include "cc/softnpu/runtime/stream_order.h"

// What programs find by name: they do not include SoftNPU's own headers.
extern "C" {
SOFTNPU_EXPORT int32_t softnpu_launch_kernel(const SoftnpuKernelEntry* entry,
                                             void (*bind)(const SoftnpuCoreApi* api),
                                             uint32_t abi_version, uint32_t blocks, void* stream,
                                             const uint64_t* slots, uint64_t slot_count);
SOFTNPU_EXPORT int32_t softnpu_chip_number(const char* name, int64_t* value);
}

namespace softnpu {
namespace {

std::atomic<const softnpu_groups*> g_groups{nullptr};

template <typename Make>
void EnqueueLaunch(void* stream, Make&& make) {
  const std::shared_ptr<Stream> queue = ResolveStream(stream);
  if (queue->device() != CurrentDeviceIndex()) {
    throw Error(kRtStreamContext, Format("the stream is one of device %d, but device %d is current",
                                         queue->device(), CurrentDevice().index()));
  }
  queue->Enqueue(make());
}

}  // namespace
}  // namespace softnpu

using namespace softnpu;  // NOLINT(google-build-using-namespace): the functions stand outside

extern "C" {

int32_t aclrtBinaryLoadFromFile(const char* path, void*, void** binary) {
  return Guard("aclrtBinaryLoadFromFile", [&] {
    RefuseForkedChild();
    void*& out = Required(binary, "binary");
    out = Binaries().Add(std::make_shared<Binary>(&Required(path, "path")));
  });
}

int32_t aclrtBinaryUnLoad(void* binary) {
  return Guard("aclrtBinaryUnLoad", [&] {
    RefuseForkedChild();
    Binaries().Remove(binary);
  });
}

int32_t aclrtBinaryGetFunction(const void* binary, const char* kernel, void** function) {
  return Guard("aclrtBinaryGetFunction", [&] {
    RefuseForkedChild();
    void*& out = Required(function, "function");
    out = Binaries().Get(binary)->Find(&Required(kernel, "kernel"));
  });
}

int32_t aclrtLaunchKernelWithHostArgs(void* function, uint32_t blocks, void* stream, void*,
                                      void* args, size_t arg_bytes, void*,
                                      size_t place_holder_count) {
  return Guard("aclrtLaunchKernelWithHostArgs", [&] {
    if (place_holder_count != 0) {
      throw Error(kRtParamInvalid,
                  Format("%zu placeholders: SoftNPU takes none yet", place_holder_count));
    }
    const void* const given = &Required(static_cast<char*>(args), "args");
    EnqueueLaunch(stream,
                  [&] { return MakeLaunch(Functions().Get(function), blocks, given, arg_bytes); });
  });
}

// ascendc/host.h
int32_t softnpu_launch_kernel(const SoftnpuKernelEntry* entry,
                              void (*bind)(const SoftnpuCoreApi* api), uint32_t abi_version,
                              uint32_t blocks, void* stream, const uint64_t* slots,
                              uint64_t slot_count) {
  const int32_t code = Guard("launch", [&] {
    CheckTwinAbi("the program", abi_version);
    bind(ascendc::CoreApi());
    EnqueueLaunch(stream, [&] {
      return MakeLaunch(std::make_shared<Function>(Function{entry}), blocks, slots,
                        slot_count * sizeof(uint64_t));
    });
  });
  // A launch in chevrons has no result, and few programs look at the other form's.
  return code == kOk ? kOk : softnpu_fail(code, OwnMessage().c_str());
}

int32_t softnpu_chip_number(const char* name, int64_t* value) {
  return Guard("softnpu_chip_number", [&] {
    int64_t& out = Required(value, "value");
    const std::string_view wanted = &Required(name, "name");
    for (const auto& [field, held] : FieldsOf(CurrentProfile())) {
      const auto* const number = std::get_if<int64_t>(&held);
      if (wanted != field || number == nullptr) continue;
      out = *number;
      return;
    }
    throw Error(kRtParamInvalid, "a profile has no number " + std::string(wanted));
  });
}

int32_t aclmdlRICaptureGetInfo(void*, int32_t* status, void** model) {
  if (status != nullptr) *status = 0;
  if (model != nullptr) *model = nullptr;
  return kOk;
}

int32_t aclmdlInitDump() { return kOk; }
int32_t aclmdlSetDump(const char*) { return kOk; }
int32_t aclmdlFinalizeDump() { return kOk; }

// internal.h

int32_t softnpu_enqueue(void* stream, const char* name, int32_t (*run)(void*), void (*drop)(void*),
                        void* context, const softnpu_access* accesses, uint64_t access_count) {
  return Guard(name, [&] {
    OperatorTask task{name, run, std::shared_ptr<void>(context, drop), {}};
    task.accesses.assign(accesses, accesses + access_count);
    ResolveStream(stream)->Enqueue(std::move(task));
  });
}

int32_t softnpu_enqueue_collective(int32_t device, void* stream, const char* name,
                                   int32_t (*run)(void*), void (*drop)(void*), void* context,
                                   const softnpu_access* accesses, uint64_t access_count,
                                   uint32_t modelled_ns) {
  return Guard(name, [&] {
    OperatorTask task{
        name, run, std::shared_ptr<void>(context, drop), {}, EventKind::kCollective, modelled_ns};
    task.accesses.assign(accesses, accesses + access_count);
    const std::shared_ptr<Stream> queue =
        stream == nullptr ? GetDevice(device).default_stream() : ResolveStream(stream);
    if (queue->device() != device) {
      throw Error(kRtStreamContext, Format("the stream is of device %d, the communicator of device "
                                           "%d",
                                           queue->device(), device));
    }
    queue->Enqueue(std::move(task));
  });
}

void softnpu_set_modelled_time(uint32_t modelled_ns) { SetModelledTime(modelled_ns); }

int32_t softnpu_device_memory(int32_t device, softnpu_memory* out) {
  return Guard("device", [&] {
    StreamOrder::Activate();
    DeviceMemory& memory = GetDevice(device).memory();
    WrittenMap* const written = memory.written();
    const auto* const base = reinterpret_cast<const void*>(memory.base());
    Required(out, "out") = {memory.fd(),
                            written == nullptr ? -1 : written->fd(),
                            memory.span(),
                            memory.base(),
                            reinterpret_cast<unsigned char*>(memory.Alias(base)),
                            written == nullptr ? nullptr : written->bytes()};
  });
}

void softnpu_offer_groups(const softnpu_groups* groups) { g_groups = groups; }

const softnpu_groups* softnpu_offered_groups() { return g_groups; }

double softnpu_link_rate(int32_t highest) {
  double rate = 0;
  Guard("softnpu_link_rate", [&] {
    const auto& time = CurrentProfile().time;
    if (!time) return;
    const auto devices = time->find("link.devices");
    if (devices == time->end() || highest >= devices->second) return;
    rate = time->at("link.gigabytes_per_second");
  });
  return rate;
}

int32_t softnpu_device() {
  int32_t out = -1;
  Guard("device", [&] { out = CurrentDevice().index(); });
  return out;
}

const char* softnpu_fault(int32_t device) {
  thread_local std::string sentence;
  sentence.clear();
  Guard("device", [&] {
    if (const std::optional<Error> error = GetDevice(device).error().Get())
      sentence = error->what();
  });
  return sentence.c_str();
}

int32_t softnpu_physical_device(int32_t device) {
  return CurrentProfile().physical[static_cast<size_t>(device)];
}

void softnpu_forget_written(const void* address, uint64_t bytes) {
  DeviceMemory* const memory = FindMemory(address);
  if (memory != nullptr && memory->written() != nullptr) {
    memory->written()->Forget(memory->Offset(address), bytes);
  }
}

void* softnpu_translate(const void* address, uint64_t bytes) {
  void* out = nullptr;
  Guard("operator", [&] {
    DeviceMemory* memory = FindMemory(address);
    if (memory == nullptr) {
      throw Error(kAclnnInvalid,
                  Format("%p is host memory, an operator takes device memory only", address));
    }
    memory->Check(address, bytes);
    out = memory->Alias(address);
  });
  return out;
}

int32_t softnpu_check_written(const softnpu_access* access) {
  return Guard("operator", [&] {
    if (DeviceMemory* const memory = FindMemory(access->address)) memory->CheckWritten(*access);
  });
}

int32_t softnpu_is_written(const softnpu_access* access) {
  int32_t written = 1;
  Guard("operator", [&] {
    if (DeviceMemory* const memory = FindMemory(access->address)) {
      written = memory->FirstUnwritten(*access) == nullptr ? 1 : 0;
    }
  });
  return written;
}

void softnpu_note_written(const softnpu_access* access, int32_t written) {
  Guard("operator", [&] {
    if (DeviceMemory* const memory = FindMemory(access->address)) {
      memory->NoteWritten(*access, written != 0);
    }
  });
}

uint8_t* softnpu_written(const void* address) {
  DeviceMemory* const memory = FindMemory(address);
  if (memory == nullptr || memory->written() == nullptr) return nullptr;
  return memory->written()->bytes() + memory->Offset(address);
}

int32_t softnpu_report(int32_t code, const char* message) {
  int32_t out = code;
  // The sentence becomes a string, for which there may be no memory.
  Guard("softnpu_report", [&] { out = Report(code, message); });
  return out;
}
int32_t softnpu_fail(int32_t code, const char* message) {
  Guard("softnpu_fail", [&] {
    if (CurrentDeviceIndex() >= 0) CurrentDevice().error().Set(Error(code, message));
  });
  return softnpu_report(code, message);
}
const char* softnpu_message() { return RecentMessage(); }
const char* softnpu_own_message() {
  thread_local std::string sentence;
  sentence.clear();
  Guard("softnpu_own_message", [&] { sentence = OwnMessage(); });
  return sentence.c_str();
}
int32_t softnpu_is_eager() {
  int32_t eager = 0;
  Guard("softnpu_is_eager", [&] { eager = GetOptions().async ? 0 : 1; });
  return eager;
}
void softnpu_count(const char* name) {
  Guard("softnpu_count", [&] { Count(EventKind::kHost, name); });
}
int32_t softnpu_has_bfloat16() {
  int32_t has = 0;
  Guard("softnpu_has_bfloat16", [&] { has = CurrentProfile().bfloat16 ? 1 : 0; });
  return has;
}
const char* softnpu_soc_name() { return aclrtGetSocName(); }

}  // extern "C"
