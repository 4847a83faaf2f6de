// cc/softnpu/runtime/acl_kernel.cc: the exported functions of kernel binaries, and what
// libascendcl.so offers to the other libraries of SoftNPU.
#include "cc/softnpu/runtime/acl_api.h"
#include "cc/softnpu/runtime/internal.h"
#include "cc/softnpu/runtime/kernel.h"
#include "cc/softnpu/runtime/profile.h"

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
    const std::shared_ptr<Stream> queue = ResolveStream(stream);
    if (queue->device() != CurrentDeviceIndex()) {
      throw Error(kRtStreamContext,
                  Format("the stream is one of device %d, but device %d is current",
                         queue->device(), CurrentDevice().index()));
    }
    queue->Enqueue(MakeLaunch(Functions().Get(function), blocks,
                              &Required(static_cast<char*>(args), "args"), arg_bytes));
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
