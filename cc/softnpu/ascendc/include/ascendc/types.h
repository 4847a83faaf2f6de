// cc/softnpu/ascendc/include/ascendc/types.h: language extensions, scalar types and enumerations.
//
// The numbers of the enumerations are part of AscendC's interface.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Kernels use std::is_same and its like without an include of their own.
#if __has_include(<type_traits>)
#include <cstdint>
#include <type_traits>
#define SOFTNPU_TYPE_TRAITS 1
#endif
// AscendC::Std is what AscendC has of C++'s library. Without what libc++ includes beside: kernels
// may be named as functions of <math.h> are.
#if __has_include(<tuple>) && __has_include(<utility>)
#define _LIBCPP_REMOVE_TRANSITIVE_INCLUDES
#include <tuple>
#include <utility>
#define SOFTNPU_UTILITY 1
#endif

#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/numeric.h"

#define __aicore__
#define __ubuf__
#define __cbuf__
#define __ca__
#define __cb__
#define __cc__
#define __fbuf__
#define __kfc_workspace__
#define GM_ADDR uint8_t*
// SOFTNPU_SCAN: a build looks for kernels in what the preprocessor leaves.
#ifndef SOFTNPU_SCAN
#define __global__
#define __gm__
#define __vector__
#define __cube__
#define __mix__(cubes, vectors)
#endif
#define SOFTNPU_TWIN 1

// IEEE binary16. Arithmetic goes through float and rounds once per operation.
struct half {
  uint16_t bits;

  half() = default;
  constexpr half(float value) : bits(softnpu::numeric::FloatToHalf(value)) {}
  constexpr operator float() const { return softnpu::numeric::HalfToFloat(bits); }
};

// The upper half of a binary32.
struct bfloat16_t {
  uint16_t bits;

  bfloat16_t() = default;
  constexpr bfloat16_t(float value) : bits(softnpu::numeric::FloatToBfloat16(value)) {}
  constexpr explicit operator float() const { return softnpu::numeric::Bfloat16ToFloat(bits); }
};

// Four bits of two's complement, two elements in a byte, the first in the low half. Tensors of it
// count elements; a lone object fills a byte.
struct int4b_t {
  int8_t value;
};

using float16_t = half;
using float32_t = float;
using float64_t = double;

static_assert(sizeof(half) == 2 && sizeof(bfloat16_t) == 2, "16-bit types");

enum pipe_t : uint8_t {
  PIPE_S = SOFTNPU_PIPE_S,
  PIPE_V = SOFTNPU_PIPE_V,
  PIPE_M = SOFTNPU_PIPE_M,
  PIPE_MTE1 = SOFTNPU_PIPE_MTE1,
  PIPE_MTE2 = SOFTNPU_PIPE_MTE2,
  PIPE_MTE3 = SOFTNPU_PIPE_MTE3,
  PIPE_ALL = SOFTNPU_PIPE_ALL,
  PIPE_FIX = SOFTNPU_PIPE_FIX,
};

enum class pad_t : uint8_t {
  PAD_NONE = 0,
  PAD_MODE1,
  PAD_MODE2,
  PAD_MODE3,
  PAD_MODE4,
  PAD_MODE5,
  PAD_MODE6,
  PAD_MODE7,
  PAD_MODE8,
};

using event_t = int32_t;
constexpr event_t EVENT_ID0 = 0;
constexpr event_t EVENT_ID1 = 1;
constexpr event_t EVENT_ID2 = 2;
constexpr event_t EVENT_ID3 = 3;
constexpr event_t EVENT_ID4 = 4;
constexpr event_t EVENT_ID5 = 5;
constexpr event_t EVENT_ID6 = 6;
constexpr event_t EVENT_ID7 = 7;

// Names that device compilers know without an include.
#define __forceinline__ inline __attribute__((always_inline))
#define __inline__ inline
#define __cce_global__
#define __bf16 bfloat16_t
#ifndef likely
constexpr bool likely(bool value) { return __builtin_expect(value, 1) != 0; }
#endif
#ifndef unlikely
constexpr bool unlikely(bool value) { return __builtin_expect(value, 0) != 0; }
#endif

namespace AscendC {

using ::bfloat16_t;
using ::half;
using ::int4b_t;
using TEventID = int32_t;

template <typename A, typename B>
struct IsSameType {
  static constexpr bool value = false;
};
template <typename A>
struct IsSameType<A, A> {
  static constexpr bool value = true;
};

constexpr uint32_t ONE_BLK_SIZE = 32;
constexpr uint32_t DEFAULT_BLK_NUM = 8;
constexpr uint8_t DEFAULT_REPEAT_STRIDE = 8;
constexpr uint8_t DEFAULT_BLK_STRIDE = 1;
constexpr int32_t MAX_REPEAT_TIMES = 255;
constexpr uint32_t ONE_REPEAT_BYTE_SIZE = 256;
constexpr uint64_t FULL_MASK = ~uint64_t{0};
constexpr int32_t B32_BYTE_SIZE = 4;
constexpr int32_t B16_BYTE_SIZE = 2;
constexpr int32_t B32_DATA_NUM_PER_BLOCK = 8;
constexpr int32_t B16_DATA_NUM_PER_BLOCK = 16;
constexpr int32_t B32_DATA_NUM_PER_REPEAT = 64;
constexpr int32_t B16_DATA_NUM_PER_REPEAT = 128;
constexpr int32_t BLOCK_CUBE = 16;
constexpr int32_t CUBE_MAX_SIZE = 256;
constexpr int32_t DEFAULT_C0_SIZE = 32;
constexpr int32_t MAX_BLOCK_COUNT = 4095;
#if defined(__NPU_ARCH__) && __NPU_ARCH__ == 2002
constexpr int32_t TOTAL_UB_SIZE = 262144;
constexpr int32_t TOTAL_L1_SIZE = 1048576;
constexpr int32_t TOTAL_L0C_SIZE = 262144;
#else
constexpr int32_t TOTAL_UB_SIZE = 196608;
constexpr int32_t TOTAL_L1_SIZE = 524288;
constexpr int32_t TOTAL_L0C_SIZE = 131072;
#endif
constexpr int32_t TOTAL_L0A_SIZE = 65536;
constexpr int32_t TOTAL_L0B_SIZE = 65536;

enum class TPosition : uint8_t {
  GM,
  A1,
  A2,
  B1,
  B2,
  C1,
  C2,
  CO1,
  CO2,
  VECIN,
  VECOUT,
  VECCALC,
  LCM = VECCALC,
  SPM,
  SHM = SPM,
  TSCM,
  C2PIPE2GM,
  C2PIPE2LOCAL,
  MAX,
};
using QuePosition = TPosition;

enum class HardEvent : uint8_t {
  MTE2_MTE1,
  MTE1_MTE2,
  MTE1_M,
  M_MTE1,
  MTE2_V,
  V_MTE2,
  MTE3_V,
  V_MTE3,
  M_V,
  V_M,
  V_V,
  MTE3_MTE1,
  MTE1_MTE3,
  MTE1_V,
  MTE2_M,
  M_MTE2,
  V_MTE1,
  M_FIX,
  FIX_M,
  MTE3_MTE2,
  MTE2_MTE3,
  S_V,
  V_S,
  S_MTE2,
  MTE2_S,
  S_MTE3,
  MTE3_S,
  MTE2_FIX,
  FIX_MTE2,
  FIX_S,
  M_S,
  FIX_MTE3,
  MTE1_FIX,
  FIX_MTE1,
  FIX_FIX,
  MAX,
};

// How a kernel's blocks are laid on cube (AIC) and vector (AIV) cores.
enum KernelMetaType : int32_t {
  KERNEL_TYPE_AIV_ONLY,
  KERNEL_TYPE_AIC_ONLY,
  KERNEL_TYPE_MIX_AIV_1_0,
  KERNEL_TYPE_MIX_AIC_1_0,
  KERNEL_TYPE_MIX_AIC_1_1,
  KERNEL_TYPE_MIX_AIC_1_2,
  KERNEL_TYPE_AICORE,
  KERNEL_TYPE_VECTORCORE,
  KERNEL_TYPE_MIX_AICORE,
  KERNEL_TYPE_MIX_VECTOR_CORE,
  KERNEL_TYPE_MAX,
};

enum CoreKind : int32_t { AIV = 1, AIC = 2, MIX = 3 };

namespace softnpu_internal {
inline int64_t CoreType();
}  // namespace softnpu_internal

// The kind of the core that asks. A twin is one for both kinds: `if constexpr` on it is built as
// `if`. Where sources need a constant they are built once for each kind, SOFTNPU_CORE (twin.py).
#ifdef SOFTNPU_CORE
inline constexpr CoreKind g_coreType = static_cast<CoreKind>(SOFTNPU_CORE);
#else
struct KindOfThisCore {
  operator CoreKind() const { return static_cast<CoreKind>(softnpu_internal::CoreType()); }
};
inline constexpr KindOfThisCore g_coreType{};
#endif

enum class RoundMode : uint8_t {
  CAST_NONE = 0,
  CAST_RINT,
  CAST_FLOOR,
  CAST_CEIL,
  CAST_ROUND,
  CAST_TRUNC,
  CAST_ODD,
  UNKNOWN = 0xFF,
};

// The place of a call in a kernel's source. As the default argument of an API function, Here()
// gives the line of the kernel's author. No braces make one: `{}` behind the arguments of a call is
// the kernel's, for a parameter of the interface.
struct Where {
  const char* file;
  uint32_t line;

  static constexpr Where At(const char* file, uint32_t line) { return Where(Own(0), file, line); }
  static constexpr Where Here(const char* file = __builtin_FILE(),
                              uint32_t line = static_cast<uint32_t>(__builtin_LINE())) {
    return At(file, line);
  }

 private:
  struct Own {
    explicit constexpr Own(int) {}
  };
  constexpr Where(Own, const char* source, uint32_t number) : file(source), line(number) {}
};

}  // namespace AscendC

using AscendC::g_coreType;

namespace softnpu::core {

// Set by SoftnpuTwin::bind. One per shared library: twins hide their symbols.
inline const SoftnpuCoreApi* g_api = nullptr;

#ifdef SOFTNPU_AUTO_SYNC
inline constexpr uint32_t kFirstFlags = SOFTNPU_TWIN_AUTO_SYNC;
#else
inline constexpr uint32_t kFirstFlags = 0;
#endif
// SOFTNPU_TWIN_...: what the kernels of the library use, known when it is loaded.
inline uint32_t g_flags = kFirstFlags;

template <uint32_t flag>
struct Uses {
  static inline const bool noted = (g_flags |= flag, true);
};
// Called by the functions that need it; the library's static initialisers then set the flag.
template <uint32_t flag>
inline void Note() {
  [[maybe_unused]] const volatile bool& noted = Uses<flag>::noted;
}

template <typename T>
constexpr uint8_t kTypeOf = 0xFF;
template <>
inline constexpr uint8_t kTypeOf<float> = SOFTNPU_FLOAT;
template <>
inline constexpr uint8_t kTypeOf<half> = SOFTNPU_FLOAT16;
template <>
inline constexpr uint8_t kTypeOf<bfloat16_t> = SOFTNPU_BFLOAT16;
template <>
inline constexpr uint8_t kTypeOf<int8_t> = SOFTNPU_INT8;
template <>
inline constexpr uint8_t kTypeOf<uint8_t> = SOFTNPU_UINT8;
template <>
inline constexpr uint8_t kTypeOf<int16_t> = SOFTNPU_INT16;
template <>
inline constexpr uint8_t kTypeOf<uint16_t> = SOFTNPU_UINT16;
template <>
inline constexpr uint8_t kTypeOf<int32_t> = SOFTNPU_INT32;
template <>
inline constexpr uint8_t kTypeOf<uint32_t> = SOFTNPU_UINT32;
template <>
inline constexpr uint8_t kTypeOf<int64_t> = SOFTNPU_INT64;
template <>
inline constexpr uint8_t kTypeOf<uint64_t> = SOFTNPU_UINT64;
template <>
inline constexpr uint8_t kTypeOf<double> = SOFTNPU_DOUBLE;
template <>
inline constexpr uint8_t kTypeOf<bool> = SOFTNPU_BOOL;
template <>
inline constexpr uint8_t kTypeOf<int4b_t> = SOFTNPU_INT4;

// Bytes of n elements in a tensor, and the reverse.
template <typename T>
constexpr uint64_t BytesOf(uint64_t n) {
  return kTypeOf<T> == SOFTNPU_INT4 ? n / 2 : n * sizeof(T);
}
template <typename T>
constexpr uint64_t ElementsOf(uint64_t bytes) {
  return kTypeOf<T> == SOFTNPU_INT4 ? bytes * 2 : bytes / sizeof(T);
}

inline SoftnpuInstruction Begin(SoftnpuOpcode opcode, const AscendC::Where& where) {
  SoftnpuInstruction instruction{};
  instruction.opcode = opcode;
  instruction.file = where.file;
  instruction.line = where.line;
  return instruction;
}

inline uint64_t Execute(SoftnpuInstruction& instruction) {
  g_api->execute(&instruction);
  return instruction.result;
}

template <typename T>
uint64_t Bits(const T& value) {
  uint64_t bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T FromBits(uint64_t bits) {
  T value;
  __builtin_memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}

}  // namespace softnpu::core
