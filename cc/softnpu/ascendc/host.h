// cc/softnpu/ascendc/host.h: launches from host code of the program or library that has the
// kernels.
//
// `softnpu build --program` turns name<<<blocks, l2, stream>>>(arguments) into
// Launch<&name, layout>(blocks, l2, stream)(arguments). The arguments are converted to the
// kernel's parameters, as in a call, and copied.
#pragma once

#include <stdint.h>

#include "cc/softnpu/ascendc/twin.h"

// Of libascendcl.so, which a process has when it runs on SoftNPU. Queues a launch on a stream of
// the current device (null: its default stream). A launch that is refused puts the device into
// error. Returns an ACL code.
extern "C" __attribute__((weak)) int32_t softnpu_launch_kernel(
    const SoftnpuKernelEntry* entry, void (*bind)(const SoftnpuCoreApi* api), uint32_t abi_version,
    uint32_t blocks, void* stream, const uint64_t* slots, uint64_t slot_count);

namespace softnpu::twin {

// ACL's code of an internal error: this process does not run on SoftNPU.
constexpr int32_t kNoRuntime = 507000;

template <typename T>
void Encode(const T& value, uint64_t*& slots) {
  __builtin_memcpy(slots, static_cast<const void*>(&value), sizeof(T));
  slots += SlotsOf(sizeof(T));
}

// A parameter that is no number and no pointer: aclrtlaunch_<kernel> gets the address of a struct.
template <typename T>
T StructAt(const void* address) {
  T value;
  __builtin_memcpy(static_cast<void*>(&value), address, sizeof(T));
  return value;
}

// A kernel's name with namespaces, as the compiler writes it:
// "... [with auto kernel = a::b<int>]" of GCC, "... [kernel = &a::b]" of clang.
struct KernelName {
  constexpr explicit KernelName(const char* pretty) {
    constexpr const char kBefore[] = "kernel = ";
    constexpr uint64_t kLength = sizeof(kBefore) - 1;
    uint64_t end = 0, begin = 0;
    while (pretty[end] != 0) ++end;
    for (uint64_t at = 0; at + kLength < end && begin == 0; ++at) {
      uint64_t same = 0;
      while (same < kLength && pretty[at + same] == kBefore[same]) ++same;
      if (same == kLength) begin = at + kLength;
    }
    if (pretty[begin] == '&') ++begin;
    if (end > begin && pretty[end - 1] == ']') --end;
    for (uint64_t i = 0; begin + i < end && i + 1 < sizeof(text); ++i) text[i] = pretty[begin + i];
  }
  char text[256] = {};
};

template <auto kernel>
constexpr KernelName NameOf() {
  return KernelName(__PRETTY_FUNCTION__);
}

// What SoftNPU knows of a kernel that host code launches. `layout`: its KernelMetaType as its
// attributes say, or -1.
template <auto kernel, int32_t layout>
struct Described {
  static constexpr KernelName kName = NameOf<kernel>();
  static constexpr SoftnpuKernelEntry kEntry = MakeEntry<kernel>(kName.text, "", 0, layout);
};

template <auto kernel, int32_t layout>
class Launch;

template <typename... Parameters, void (*kernel)(Parameters...), int32_t layout>
class Launch<kernel, layout> {
 public:
  // The second word of a launch is for the L2 cache; it has no effect.
  template <typename L2>
  Launch(uint32_t blocks, const L2&, void* stream) : blocks_(blocks), stream_(stream) {}

  int32_t operator()(Parameters... arguments) const {
    uint64_t slots[Invoker<kernel>::kSlots + 1] = {};
    [[maybe_unused]] uint64_t* at = slots;
    (Encode(arguments, at), ...);
    const SoftnpuKernelEntry& entry = Described<kernel, layout>::kEntry;
    if (softnpu_launch_kernel == nullptr) {
      __builtin_printf(
          "SoftNPU: kernel %s is not launched: start the program with softnpu run --\n",
          entry.name);
      return kNoRuntime;
    }
    return softnpu_launch_kernel(&entry, &Bind, SOFTNPU_TWIN_ABI, blocks_, stream_, slots,
                                 Invoker<kernel>::kSlots);
  }

 private:
  uint32_t blocks_;
  void* stream_;
};

}  // namespace softnpu::twin
