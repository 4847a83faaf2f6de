// cc/softnpu/ascendc/host.h: launches from host code of the program or library that has the
// kernels.
//
// `softnpu build --program` turns name<<<blocks, l2, stream>>>(arguments) into
// Launch<&name, layout>(blocks, l2, stream)(arguments). The arguments are converted to the
// kernel's parameters, as in a call, and copied.
#pragma once

#include <stdint.h>

// Twins of kernels are compiled without the standard library, which some compilers then do not
// find.
#if defined(__GXX_RTTI) && __has_include(<typeinfo>)
#define SOFTNPU_TYPE_NAMES
#include <typeinfo>
#endif

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
// One that does not fit ends with a hash of the whole, so that two kernels have two names.
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
    if (end - begin < sizeof(text)) return;
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    for (uint64_t at = begin; at < end; ++at) {
      hash = (hash ^ static_cast<unsigned char>(pretty[at])) * 0x100000001b3;
    }
    for (uint64_t i = 0; i < 16; ++i) {
      text[sizeof(text) - 2 - i] = "0123456789abcdef"[hash >> (4 * i) & 15];
    }
    text[sizeof(text) - 18] = '#';
  }
  char text[256] = {};
};

template <auto kernel>
constexpr KernelName NameOf() {
  return KernelName(__PRETTY_FUNCTION__);
}

// Of two builds (SOFTNPU_CORE), the code of cube cores is a library in the program. It says which
// kernels its host code launches; that code itself runs in the program alone.
struct CubeKernel {
  const char* name;  // WholeName
  void (*invoke)(const uint64_t* slots);
  const CubeKernel* next;
};
struct CubeCode {
  const CubeKernel* kernels;
  void (*bind)(const SoftnpuCoreApi* api);
  const uint32_t* flags;
};

// The same in both builds. Some compilers leave template arguments out of __PRETTY_FUNCTION__.
template <auto kernel>
const char* WholeName() {
#ifdef SOFTNPU_TYPE_NAMES
  return typeid(Invoker<kernel>).name();
#else
  return __PRETTY_FUNCTION__;
#endif
}

#if defined(SOFTNPU_CORE) && SOFTNPU_CORE == 2
inline const CubeKernel* g_cube_kernels = nullptr;
template <auto kernel>
struct Registered {
  // Empty before any initialiser runs: those of templates run in no order.
  static inline CubeKernel node{};
  static inline const bool done =
      (node = {WholeName<kernel>(), &Invoker<kernel>::Invoke, g_cube_kernels},
       g_cube_kernels = &node, true);
};
template <auto kernel>
constexpr void (*kInvokeOnCore)(const uint64_t*) = &Invoker<kernel>::Invoke;
template <auto kernel>
void Prepare() {
  static_cast<void>(&Registered<kernel>::done);
}
inline void BindCores(const SoftnpuCoreApi* api) { Bind(api); }
extern "C" __attribute__((weak, visibility("default"))) const void* softnpu_cube_code() {
  static CubeCode code;
  code = {g_cube_kernels, &Bind, &softnpu::core::g_flags};
  return &code;
}
#elif defined(SOFTNPU_CORE)
// A kernel of two builds that says no layout of its blocks has both kinds of cores if there are
// products of matrices in the code for cube cores, and vector cores else.
inline void ForBothKinds(uint32_t flags_of_cube) {
  if ((flags_of_cube & SOFTNPU_TWIN_CUBE) == 0) return;
  AscendC::softnpu_internal::TaskType(AscendC::KERNEL_TYPE_MIX_AIC_1_2, -2,
                                      AscendC::Where::At(nullptr, 0));
}
// cube_code.h
const CubeCode* CubeCodeOfProgram();
const CubeKernel* FindCubeKernel(const char* name);
// Found before the first launch, by the host's thread.
template <auto kernel>
inline const CubeKernel* g_cube_kernel = nullptr;
template <auto kernel>
void InvokeOnCore(const uint64_t* slots) {
  ForBothKinds(*CubeCodeOfProgram()->flags);
  if ((AscendC::softnpu_internal::CoreType() & 2) != 0) {
    return g_cube_kernel<kernel>->invoke(slots);
  }
  Invoker<kernel>::Invoke(slots);
}
template <auto kernel>
constexpr void (*kInvokeOnCore)(const uint64_t*) = &InvokeOnCore<kernel>;
template <auto kernel>
void Prepare() {
  softnpu::core::g_flags |= *CubeCodeOfProgram()->flags;
  if (g_cube_kernel<kernel> == nullptr) {
    g_cube_kernel<kernel> = FindCubeKernel(WholeName<kernel>());
  }
}
inline void BindCores(const SoftnpuCoreApi* api) {
  Bind(api);
  CubeCodeOfProgram()->bind(api);
}
#else
template <auto kernel>
constexpr void (*kInvokeOnCore)(const uint64_t*) = &Invoker<kernel>::Invoke;
template <auto kernel>
void Prepare() {}
inline void BindCores(const SoftnpuCoreApi* api) { Bind(api); }
#endif

// What SoftNPU knows of a kernel that host code launches. `layout`: its KernelMetaType as its
// attributes say, or -1.
template <auto kernel, int32_t layout>
struct Described {
  static constexpr KernelName kName = NameOf<kernel>();
  static constexpr SoftnpuKernelEntry Entry() {
    SoftnpuKernelEntry entry = MakeEntry<kernel>(kName.text, "", 0, layout);
    entry.invoke = kInvokeOnCore<kernel>;
    return entry;
  }
  static constexpr SoftnpuKernelEntry kEntry = Entry();
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
    Prepare<kernel>();
    if (softnpu_launch_kernel == nullptr) {
      __builtin_printf(
          "SoftNPU: kernel %s is not launched: start the program with softnpu run --\n",
          entry.name);
      return kNoRuntime;
    }
    return softnpu_launch_kernel(&entry, &BindCores, SOFTNPU_TWIN_ABI, blocks_, stream_, slots,
                                 Invoker<kernel>::kSlots);
  }

 private:
  uint32_t blocks_;
  void* stream_;
};

}  // namespace softnpu::twin
