// cc/softnpu/ascendc/pointers.h: what a kernel reads and writes through pointers to GM.
//
// A source with such pointers is compiled with -fsanitize=thread: the compiler calls a function of
// this file before each access to memory. Those to GM become instructions, which the core checks;
// then the kernel's own code does the access, since GM lies at its addresses in this process. The
// library of ThreadSanitizer is not linked.
//
// Included by the table of a twin that has such sources, and by nothing else.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernel_operator.h"

namespace softnpu::pointers {

// Where launches put GM: above what a process usually maps, below programs, libraries and stacks.
constexpr uint64_t kBegin = 0x100000000000;
constexpr uint64_t kEnd = 0x500000000000;

[[gnu::cold, gnu::noinline]] inline void Tell(SoftnpuOpcode opcode, uint64_t address,
                                              uint64_t bytes) {
  if (softnpu::core::g_api == nullptr || !softnpu::core::g_api->in_kernel()) return;
  SoftnpuInstruction instruction{};
  instruction.opcode = opcode;
  instruction.operand_count = 1;
  instruction.operand[0].space = SOFTNPU_SPACE_GM;
  instruction.operand[0].type = SOFTNPU_UINT8;
  instruction.operand[0].address = address;
  instruction.operand[0].end = UINT64_MAX;
  instruction.count = static_cast<int64_t>(bytes);
  softnpu::core::g_api->execute(&instruction);
}

inline void Access(SoftnpuOpcode opcode, const void* pointer, uint64_t bytes) {
  const auto address = reinterpret_cast<uint64_t>(pointer);
  if (address - kBegin < kEnd - kBegin && bytes > 0) [[unlikely]]
    Tell(opcode, address, bytes);
}

}  // namespace softnpu::pointers

// The names are ThreadSanitizer's.
#define SOFTNPU_POINTERS(name, bytes)                                \
  extern "C" void __tsan_##name##read##bytes(void* pointer) {        \
    softnpu::pointers::Access(SOFTNPU_OP_RAW_LOAD, pointer, bytes);  \
  }                                                                  \
  extern "C" void __tsan_##name##write##bytes(void* pointer) {       \
    softnpu::pointers::Access(SOFTNPU_OP_RAW_STORE, pointer, bytes); \
  }                                                                  \
  extern "C" void __tsan_##name##read_write##bytes(void* pointer) {  \
    softnpu::pointers::Access(SOFTNPU_OP_RAW_LOAD, pointer, bytes);  \
    softnpu::pointers::Access(SOFTNPU_OP_RAW_STORE, pointer, bytes); \
  }
SOFTNPU_POINTERS(, 1)
SOFTNPU_POINTERS(, 2)
SOFTNPU_POINTERS(, 4)
SOFTNPU_POINTERS(, 8)
SOFTNPU_POINTERS(, 16)
SOFTNPU_POINTERS(unaligned_, 2)
SOFTNPU_POINTERS(unaligned_, 4)
SOFTNPU_POINTERS(unaligned_, 8)
SOFTNPU_POINTERS(unaligned_, 16)
#undef SOFTNPU_POINTERS

extern "C" void __tsan_read_range(void* pointer, size_t bytes) {
  softnpu::pointers::Access(SOFTNPU_OP_RAW_LOAD, pointer, bytes);
}
extern "C" void __tsan_write_range(void* pointer, size_t bytes) {
  softnpu::pointers::Access(SOFTNPU_OP_RAW_STORE, pointer, bytes);
}
extern "C" void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
  softnpu::pointers::Access(SOFTNPU_OP_RAW_LOAD, from, bytes);
  softnpu::pointers::Access(SOFTNPU_OP_RAW_STORE, to, bytes);
  return __builtin_memcpy(to, from, bytes);
}
extern "C" void* __tsan_memmove(void* to, const void* from, size_t bytes) {
  softnpu::pointers::Access(SOFTNPU_OP_RAW_LOAD, from, bytes);
  softnpu::pointers::Access(SOFTNPU_OP_RAW_STORE, to, bytes);
  return __builtin_memmove(to, from, bytes);
}
extern "C" void* __tsan_memset(void* to, int value, size_t bytes) {
  softnpu::pointers::Access(SOFTNPU_OP_RAW_STORE, to, bytes);
  return __builtin_memset(to, value, bytes);
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_vptr_update(void**, void*) {}
extern "C" void __tsan_vptr_read(void**) {}

// Atomic objects are host code's: a kernel has none. The orders that a caller asks for are weaker
// than this one.
#define SOFTNPU_ATOMIC_UPDATE(bits, type, name)                                          \
  extern "C" type __tsan_atomic##bits##_##name(volatile type* object, type value, int) { \
    return __atomic_##name(object, value, __ATOMIC_SEQ_CST);                             \
  }
#define SOFTNPU_ATOMIC_COMPARE(bits, type, name)                                       \
  extern "C" int __tsan_atomic##bits##_compare_exchange_##name(                        \
      volatile type* object, type* wanted, type value, int, int) {                     \
    return __atomic_compare_exchange_n(object, wanted, value, false, __ATOMIC_SEQ_CST, \
                                       __ATOMIC_SEQ_CST);                              \
  }
#define SOFTNPU_ATOMIC(bits, type)                                                               \
  extern "C" type __tsan_atomic##bits##_load(const volatile type* object, int) {                 \
    return __atomic_load_n(object, __ATOMIC_SEQ_CST);                                            \
  }                                                                                              \
  extern "C" void __tsan_atomic##bits##_store(volatile type* object, type value, int) {          \
    __atomic_store_n(object, value, __ATOMIC_SEQ_CST);                                           \
  }                                                                                              \
  extern "C" type __tsan_atomic##bits##_exchange(volatile type* object, type value, int) {       \
    return __atomic_exchange_n(object, value, __ATOMIC_SEQ_CST);                                 \
  }                                                                                              \
  extern "C" type __tsan_atomic##bits##_compare_exchange_val(volatile type* object, type wanted, \
                                                             type value, int, int) {             \
    __atomic_compare_exchange_n(object, &wanted, value, false, __ATOMIC_SEQ_CST,                 \
                                __ATOMIC_SEQ_CST);                                               \
    return wanted;                                                                               \
  }                                                                                              \
  SOFTNPU_ATOMIC_UPDATE(bits, type, fetch_add)                                                   \
  SOFTNPU_ATOMIC_UPDATE(bits, type, fetch_sub)                                                   \
  SOFTNPU_ATOMIC_UPDATE(bits, type, fetch_and)                                                   \
  SOFTNPU_ATOMIC_UPDATE(bits, type, fetch_or)                                                    \
  SOFTNPU_ATOMIC_UPDATE(bits, type, fetch_xor)                                                   \
  SOFTNPU_ATOMIC_UPDATE(bits, type, fetch_nand)                                                  \
  SOFTNPU_ATOMIC_COMPARE(bits, type, strong)                                                     \
  SOFTNPU_ATOMIC_COMPARE(bits, type, weak)
SOFTNPU_ATOMIC(8, uint8_t)
SOFTNPU_ATOMIC(16, uint16_t)
SOFTNPU_ATOMIC(32, uint32_t)
SOFTNPU_ATOMIC(64, uint64_t)
#undef SOFTNPU_ATOMIC
#undef SOFTNPU_ATOMIC_UPDATE
#undef SOFTNPU_ATOMIC_COMPARE
extern "C" void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
extern "C" void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
