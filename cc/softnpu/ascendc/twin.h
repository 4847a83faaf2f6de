// cc/softnpu/ascendc/twin.h: makes entries of a twin's table out of kernel functions.
//
// Included by the sources that ascendc_kernel_library generates, and by tests of the simulator.
#pragma once

#include <stdint.h>

#include "cc/softnpu/ascendc/abi.h"
#include "kernel_operator.h"

namespace softnpu::twin {

constexpr uint32_t SlotsOf(uint64_t bytes) { return static_cast<uint32_t>((bytes + 7) / 8); }

template <typename T>
T Decode(const uint64_t*& slots) {
  static_assert(__is_trivially_copyable(T), "kernel parameters are copied bytewise");
  T value;
  __builtin_memcpy(static_cast<void*>(&value), slots, sizeof(T));
  slots += SlotsOf(sizeof(T));
  return value;
}

template <auto kernel>
struct Invoker;

template <typename... Args, void (*kernel)(Args...)>
struct Invoker<kernel> {
  static constexpr uint32_t kSlots = (SlotsOf(sizeof(Args)) + ... + 0);

  static void Invoke(const uint64_t* slots) {
    struct Call {
      explicit Call(Args... args) { kernel(args...); }
    };
    // Braces: the initialisers are evaluated from left to right.
    Call{Decode<Args>(slots)...};
  }
};

template <auto kernel>
constexpr SoftnpuKernelEntry MakeEntry(const char* name, const char* file, uint32_t line,
                                       int32_t task_type = -1) {
  return {name,
          file,
          line,
          Invoker<kernel>::kSlots,
          &Invoker<kernel>::Invoke,
          &softnpu::core::g_flags,
          task_type};
}

inline void Bind(const SoftnpuCoreApi* api) { softnpu::core::g_api = api; }

}  // namespace softnpu::twin
