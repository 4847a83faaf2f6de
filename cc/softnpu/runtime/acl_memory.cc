// cc/softnpu/runtime/acl_memory.cc: the exported functions of device and host memory and copies.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "cc/softnpu/ascendc/numeric.h"
#include "cc/softnpu/runtime/acl_api.h"
#include "cc/softnpu/runtime/ipc.h"
#include "cc/softnpu/runtime/stream_order.h"
#include "cc/softnpu/runtime/trace.h"

namespace softnpu {
namespace {

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

// Checks size, direction and ranges, and returns the copy. Throws Error.
CopyTask MakeCopy(void* dst, size_t max, const void* src, size_t bytes, int32_t kind) {
  if (bytes > max) {
    throw Error(kRtParamInvalid,
                Format("%zu bytes do not fit into a destination of %zu", bytes, max));
  }
  if (kind < 0 || kind > static_cast<int32_t>(CopyKind::kDefault)) {
    throw Error(kRtParamInvalid, Format("copy kind %d is not supported (0 to 4 are)", kind));
  }
  CopyTask copy{dst, src, bytes, static_cast<CopyKind>(kind)};
  if (bytes == 0) return copy;
  Required(static_cast<const char*>(src), "src");
  Required(static_cast<char*>(dst), "dst");
  const bool from_device = FindMemory(src) != nullptr;
  const bool to_device = FindMemory(dst) != nullptr;
  if (copy.kind != CopyKind::kDefault) {
    const bool want_from =
        copy.kind == CopyKind::kDeviceToHost || copy.kind == CopyKind::kDeviceToDevice;
    const bool want_to =
        copy.kind == CopyKind::kHostToDevice || copy.kind == CopyKind::kDeviceToDevice;
    if (want_from != from_device || want_to != to_device) {
      throw Error(kRtParamInvalid,
                  Format("%s from %s memory %p to %s memory %p", std::string(NameOf(copy)).c_str(),
                         from_device ? "device" : "host", src, to_device ? "device" : "host", dst));
    }
  }
  HostPointer(src, bytes);
  HostPointer(dst, bytes);
  return copy;
}

// Whether a copy on a stream returns at once. CANN 9.0: with page-locked host memory it does; with
// other host memory the call returns when the copy is done; between two places of host memory there
// is none (207000).
bool IsAsynchronous(const CopyTask& copy) {
  bool device = false;
  bool pageable = false;
  for (const void* address : {static_cast<const void*>(copy.dst), copy.src}) {
    if (FindMemory(address) != nullptr) {
      device = true;
    } else if (!PinnedMemory().Contains(address)) {
      pageable = true;
    }
  }
  if (!device && copy.bytes > 0) {
    throw Error(
        kRtFeatureNotSupport,
        Format("no asynchronous copy from host memory %p to host memory %p", copy.src, copy.dst));
  }
  return !pageable;
}

// Throws the error of the devices whose memory the bytes are of.
void RequireWorkingDeviceOf(const void* address) {
  if (const DeviceMemory* memory = FindMemory(address)) {
    GetDevice(memory->device()).error().Raise();
  }
}

// Throws Error 507015, and puts the device into error, when a collective touches these bytes now.
void RequireNoRace(const char* name, const std::vector<softnpu_access>& accesses) {
  if (!StreamOrder::Active()) return;
  try {
    StreamOrder::Get().HostTouches(name, accesses);
  } catch (const Error& error) {
    const DeviceMemory* const memory = FindMemory(accesses.front().address);
    GetDevice(memory->device()).error().Set(error);
    throw;
  }
}

FillTask MakeFill(void* address, size_t max, int32_t value, size_t bytes) {
  if (bytes > max) {
    throw Error(kRtParamInvalid, Format("%zu bytes do not fit into %zu", bytes, max));
  }
  if (bytes > 0) {
    Required(static_cast<char*>(address), "address");
    HostPointer(address, bytes);
  }
  return {address, value, bytes};
}

// Fields of aclrtPtrAttributes.
struct PointerAttributes {
  uint32_t device;
  int32_t type;  // 0 host, 1 device, 2 unregistered
  uint32_t page_bytes;
  uint32_t reserved[4];
};

}  // namespace
}  // namespace softnpu

using namespace softnpu;  // NOLINT(google-build-using-namespace): the functions stand outside

extern "C" {

float aclFloat16ToFloat(uint16_t value) { return numeric::HalfToFloat(value); }
uint16_t aclFloatToFloat16(float value) { return numeric::FloatToHalf(value); }

// 0 for a type whose elements do not fill whole bytes, or of no fixed size.
size_t aclDataTypeSize(int32_t dtype) {
  // float, half, int8, int32, uint8, -, int16, uint16, uint32, int64, uint64, double, bool, string
  constexpr size_t kBytes[] = {4, 2, 1, 4, 1, 0, 2, 2, 4, 8, 8, 8, 1, 0, 0, 0, 8, 16};
  if (dtype == 27) return 2;  // bfloat16
  return dtype >= 0 && dtype < static_cast<int32_t>(std::size(kBytes)) ? kBytes[dtype] : 0;
}

int32_t aclrtMalloc(void** address, size_t bytes, int32_t) {
  return Guard("aclrtMalloc", [&] {
    void*& out = Required(address, "address");
    if (bytes == 0) throw Error(kRtParamInvalid, "0 bytes asked for");
    RequireWorkingDevice();
    out = CurrentDevice().memory().Allocate(bytes);
  });
}

int32_t aclrtMallocAlign32(void** address, size_t bytes, int32_t policy) {
  return aclrtMalloc(address, bytes, policy);
}

int32_t aclrtFree(void* address) {
  return Guard("aclrtFree", [&] {
    RefuseForkedChild();
    DeviceMemory* memory = FindMemory(address);
    if (memory == nullptr) {
      throw Error(kRtParamInvalid, Format("%p is not device memory", address));
    }
    if (const std::optional<Allocation> found = memory->Find(address)) {
      RequireNoRace("aclrtFree", {Bytes("what is freed", address, found->bytes, SOFTNPU_WRITES)});
      if (found->base == reinterpret_cast<uintptr_t>(address) && !memory->foreign()) {
        EndExportsOf(*found, memory->device());
      }
    }
    memory->Free(address);
  });
}

int32_t aclrtMallocHost(void** address, size_t bytes) {
  return Guard("aclrtMallocHost",
               [&] { Required(address, "address") = PinnedMemory().Allocate(bytes); });
}

int32_t aclrtFreeHost(void* address) {
  return Guard("aclrtFreeHost", [&] { PinnedMemory().Free(address); });
}

int32_t aclrtGetMemInfo(int32_t, size_t* free, size_t* total) {
  return Guard("aclrtGetMemInfo", [&] {
    const DeviceMemory& memory = CurrentDevice().memory();
    Required(total, "total") = memory.capacity();
    Required(free, "free") = memory.capacity() - memory.used();
  });
}

int32_t aclrtPointerGetAttributes(const void* address, void* attributes) {
  return Guard("aclrtPointerGetAttributes", [&] {
    auto& out = Required(static_cast<PointerAttributes*>(attributes), "attributes");
    out = {};
    if (const DeviceMemory* memory = FindMemory(address)) {
      out.device = static_cast<uint32_t>(memory->device());
      out.type = 1;
    } else {
      out.type = PinnedMemory().Contains(address) ? 0 : 2;
    }
    out.page_bytes = 4096;
  });
}

int32_t aclrtMemset(void* address, size_t max, int32_t value, size_t bytes) {
  return Guard("aclrtMemset", [&] {
    RefuseForkedChild();
    const FillTask fill = MakeFill(address, max, value, bytes);
    RequireWorkingDevice();
    RequireWorkingDeviceOf(address);
    RequireNoRace("aclrtMemset", AccessesOf(fill));
    Run(fill);
  });
}

int32_t aclrtMemsetAsync(void* address, size_t max, int32_t value, size_t bytes, void* stream) {
  return Guard("aclrtMemsetAsync", [&] {
    const std::shared_ptr<Stream> queue = ResolveStream(stream);
    const FillTask fill = MakeFill(address, max, value, bytes);
    RequireWorkingDeviceOf(address);
    queue->Enqueue(fill);
  });
}

int32_t aclrtMemcpy(void* dst, size_t max, const void* src, size_t bytes, int32_t kind) {
  return Guard("aclrtMemcpy", [&] {
    RefuseForkedChild();
    const CopyTask copy = MakeCopy(dst, max, src, bytes, kind);
    RequireWorkingDevice();
    RequireWorkingDeviceOf(src);
    RequireWorkingDeviceOf(dst);
    RequireNoRace("aclrtMemcpy", AccessesOf(copy));
    Run(copy);
  });
}

int32_t aclrtMemcpyAsync(void* dst, size_t max, const void* src, size_t bytes, int32_t kind,
                         void* stream) {
  return Guard("aclrtMemcpyAsync", [&] {
    const std::shared_ptr<Stream> queue = ResolveStream(stream);
    const CopyTask copy = MakeCopy(dst, max, src, bytes, kind);
    RequireWorkingDeviceOf(src);
    RequireWorkingDeviceOf(dst);
    if (IsAsynchronous(copy)) {
      queue->Enqueue(copy);
    } else {
      // The host stands still, which nobody who asks for an asynchronous copy wants, so it is
      // counted.
      Count(EventKind::kHost, "aclrtMemcpyAsync of pageable memory");
      queue->EnqueueAndWait(copy);
    }
  });
}

}  // extern "C"
