// cc/softnpu/ascendc/include/ascendc/helpers.h: names of the scalar unit that kernels take for
// given: sums over block sizes, minima, bits, and what the device compiler knows without a header.
#pragma once

#include "ascendc/late_names.h"
#include "ascendc/system.h"
#include "ascendc/vector_forms.h"

namespace AscendC {

constexpr uint32_t DivCeil(uint32_t a, uint32_t b) { return b == 0 ? 0 : (a + b - 1) / b; }
constexpr uint32_t Ceil(uint32_t a, uint32_t b) { return DivCeil(a, b); }
constexpr int32_t CeilDivision(int32_t a, int32_t b) { return b == 0 ? 0 : (a + b - 1) / b; }
constexpr uint32_t AlignUp(uint32_t a, uint32_t b) { return DivCeil(a, b) * b; }
constexpr uint32_t CeilAlign(uint32_t a, uint32_t b) { return DivCeil(a, b) * b; }
// Of any integers. Its parameters are a pack, so that a kernel's own function of this name is the
// better match.
template <typename A, typename... B>
constexpr auto CeilDiv(A a, B... b) {
  static_assert(sizeof...(B) == 1, "CeilDiv takes two numbers");
  const auto by = (b + ...);
  return by == 0 ? a : (a + by - 1) / by;
}

constexpr uint32_t GetDataBlockSizeInBytes() { return ONE_BLK_SIZE; }
constexpr uint32_t GetVecLen() { return ONE_REPEAT_BYTE_SIZE; }

constexpr float ToFloat(const bfloat16_t& value) { return static_cast<float>(value); }
constexpr bfloat16_t ToBfloat16(float value) { return bfloat16_t(value); }

// Bits of a word: the number of those that are `countValue`, and the place of the lowest of them,
// -1 when there is none.
template <int countValue>
constexpr int64_t ScalarGetCountOfValue(uint64_t valueIn) {
  static_assert(countValue == 0 || countValue == 1, "a bit is 0 or 1");
  return __builtin_popcountll(countValue == 1 ? valueIn : ~valueIn);
}
template <int countValue>
constexpr int64_t ScalarGetSFFValue(uint64_t valueIn) {
  static_assert(countValue == 0 || countValue == 1, "a bit is 0 or 1");
  return __builtin_ffsll(static_cast<long long>(countValue == 1 ? valueIn : ~valueIn)) - 1;
}
constexpr int64_t ScalarCountLeadingZero(uint64_t valueIn) {
  return valueIn == 0 ? 64 : __builtin_clzll(valueIn);
}
// The same under the names of newer versions.
template <int countValue>
constexpr int64_t GetBitCount(uint64_t valueIn) {
  return ScalarGetCountOfValue<countValue>(valueIn);
}
template <int countValue>
constexpr int64_t GetSFFValue(uint64_t valueIn) {
  return ScalarGetSFFValue<countValue>(valueIn);
}
constexpr int64_t CountLeadingZero(uint64_t valueIn) { return ScalarCountLeadingZero(valueIn); }
// Below the sign bit, those like it; -1 for 0 and -1.
constexpr int64_t CountBitsCntSameAsSignBit(int64_t valueIn) {
  return valueIn == 0 || valueIn == -1 ? -1 : __builtin_clrsbll(valueIn);
}

// float to half with CAST_ODD, to int32_t with the modes of rounding that Cast has.
template <typename T, typename U, RoundMode roundMode>
inline U ScalarCast(T valueIn) {
  static_assert(IsSameType<T, float>::value, "ScalarCast takes float");
  if constexpr (IsSameType<U, half>::value) {
    static_assert(roundMode == RoundMode::CAST_ODD, "ScalarCast to half takes CAST_ODD");
    half out{};
    out.bits = softnpu::numeric::FloatToHalfOdd(valueIn);
    return out;
  } else {
    static_assert(IsSameType<U, int32_t>::value, "ScalarCast gives half and int32_t");
    static_assert(roundMode == RoundMode::CAST_RINT || roundMode == RoundMode::CAST_FLOOR ||
                      roundMode == RoundMode::CAST_CEIL || roundMode == RoundMode::CAST_ROUND,
                  "ScalarCast to int32_t takes CAST_RINT, CAST_FLOOR, CAST_CEIL and CAST_ROUND");
    if (valueIn != valueIn) return 0;
    const double value = valueIn;
    const double rounded = roundMode == RoundMode::CAST_RINT    ? __builtin_nearbyint(value)
                           : roundMode == RoundMode::CAST_FLOOR ? __builtin_floor(value)
                           : roundMode == RoundMode::CAST_CEIL  ? __builtin_ceil(value)
                                                                : __builtin_round(value);
    return rounded >= 2147483647.0    ? 0x7fffffff
           : rounded <= -2147483648.0 ? -0x7fffffff - 1
                                      : static_cast<int32_t>(rounded);
  }
}

// Calls a function on the cores of a kind.
enum class EngineType : uint8_t { AIC = 1, AIV = 2, ALL = 3 };
template <EngineType engine, auto funPtr, class... Args>
inline void Async(Args... args) {
  if ((engine != EngineType::AIV && ASCEND_IS_AIC) ||
      (engine != EngineType::AIC && ASCEND_IS_AIV)) {
    funPtr(args...);
  }
}

template <typename T>
struct SizeOfBits {
  static constexpr uint32_t value = IsSameType<T, int4b_t>::value ? 4 : sizeof(T) * 8;
};

#ifdef SOFTNPU_TYPE_TRAITS
template <bool condition, typename Yes, typename No>
using Conditional = std::conditional<condition, Yes, No>;
#endif

// Bits of floats that are no numbers.
constexpr uint32_t F32_INF = 0x7F800000, F32_NEG_INF = 0xFF800000, F32_NAN = 0x7FC00000;

// The mask register under its older names.
struct AscendCUtils {
  template <typename T, bool isSetMask = true>
  static void SetMask(const uint64_t& maskHigh, const uint64_t& maskLow,
                      Where where = Where::Here()) {
    if (isSetMask) SetVectorMask<T>(maskHigh, maskLow, where);
  }
  template <typename T, bool isSetMask = true>
  static void SetMask(int32_t len, Where where = Where::Here()) {
    if (isSetMask) SetVectorMask<T>(len, where);
  }
  template <typename T, bool isSetMask = true>
  static void SetMaskCount(Where where = Where::Here()) {
    if (isSetMask) AscendC::SetMaskCount(where);
  }
  template <typename T, bool isSetMask = true>
  static void SetMaskNorm(Where where = Where::Here()) {
    if (isSetMask) AscendC::SetMaskNorm(where);
  }
  static void ResetMask(Where where = Where::Here()) { AscendC::ResetMask(where); }
  // Bits of bytes.
  static constexpr uint64_t GetBitSize(uint64_t byteSize) { return byteSize * 8; }
  // Floats beyond their range are infinite either way.
  static void SetOverflow(uint64_t) {}
};

#ifdef SOFTNPU_TYPE_TRAITS
// What AscendC has of C++'s standard library.
namespace Std {

using ::std::conditional;
using ::std::conditional_t;
using ::std::enable_if;
using ::std::enable_if_t;
using ::std::false_type;
using ::std::integral_constant;
using ::std::is_base_of;
using ::std::is_base_of_v;
using ::std::is_convertible;
using ::std::is_convertible_v;
using ::std::is_same;
using ::std::is_same_v;
using ::std::remove_cv;
using ::std::remove_cv_t;
using ::std::remove_reference;
using ::std::remove_reference_t;
using ::std::true_type;
#ifdef SOFTNPU_UTILITY
using ::std::add_const;
using ::std::add_const_t;
using ::std::add_cv;
using ::std::add_cv_t;
using ::std::add_lvalue_reference;
using ::std::add_lvalue_reference_t;
using ::std::add_pointer;
using ::std::add_pointer_t;
using ::std::add_rvalue_reference;
using ::std::add_rvalue_reference_t;
using ::std::add_volatile;
using ::std::add_volatile_t;
using ::std::decay;
using ::std::decay_t;
using ::std::declval;
using ::std::forward;
using ::std::get;
using ::std::index_sequence;
using ::std::integer_sequence;
using ::std::is_array;
using ::std::is_array_v;
using ::std::is_const;
using ::std::is_const_v;
using ::std::is_constructible;
using ::std::is_floating_point;
using ::std::is_floating_point_v;
using ::std::is_function;
using ::std::is_integral;
using ::std::is_integral_v;
using ::std::is_pointer;
using ::std::is_pointer_v;
using ::std::is_reference;
using ::std::is_reference_v;
using ::std::is_void;
using ::std::is_void_v;
using ::std::make_index_sequence;
using ::std::make_integer_sequence;
using ::std::make_tuple;
using ::std::move;
using ::std::remove_const;
using ::std::remove_const_t;
using ::std::remove_pointer;
using ::std::remove_pointer_t;
using ::std::remove_volatile;
using ::std::remove_volatile_t;
using ::std::swap;
using ::std::tie;
using ::std::tuple;
using ::std::tuple_element;
using ::std::tuple_element_t;
using ::std::tuple_size;
using ::std::tuple_size_v;

template <typename T>
inline constexpr bool is_tuple_v = false;
template <typename... Ts>
inline constexpr bool is_tuple_v<tuple<Ts...>> = true;
template <typename T>
struct is_tuple : ::std::bool_constant<is_tuple_v<T>> {};
#endif

// Whether a type is one of others.
template <typename T, typename... Ts>
inline constexpr bool is_one_of_v = (::std::is_same_v<T, Ts> || ...);
template <typename T, typename... Ts>
struct is_one_of : ::std::bool_constant<is_one_of_v<T, Ts...>> {};

// Numbers as types.
template <auto value>
using Int = integral_constant<decltype(value), value>;

template <typename T, typename U>
constexpr auto ceil_division(T a, U b) {
  return b == 0 ? decltype(a + b){0} : (a + b - 1) / b;
}
template <typename T, typename U>
constexpr auto ceil_align(T a, U b) {
  return ceil_division(a, b) * b;
}

template <typename T, typename U>
constexpr auto min(T a, U b) {
  using V = ::std::common_type_t<T, U>;
  return static_cast<V>(a) < static_cast<V>(b) ? static_cast<V>(a) : static_cast<V>(b);
}
template <typename T, typename U>
constexpr auto max(T a, U b) {
  using V = ::std::common_type_t<T, U>;
  return static_cast<V>(a) > static_cast<V>(b) ? static_cast<V>(a) : static_cast<V>(b);
}

}  // namespace Std
#endif

}  // namespace AscendC

// The square root of the scalar unit. A C library's functions fit better, its templates too: they
// have no parameters that may be left out.
#ifdef SOFTNPU_TYPE_TRAITS
template <typename T, typename... None, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
inline float sqrt(T value, None...) {
  static_assert(sizeof...(None) == 0, "sqrt takes one number");
  return __builtin_sqrtf(static_cast<float>(value));
}
// And the magnitude.
template <typename T, typename... None, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
constexpr T abs(T value, None...) {
  static_assert(sizeof...(None) == 0, "abs takes one number");
  return value < T{0} ? static_cast<T>(-value) : value;
}
#endif

// Of numbers of any two types, their common one. A function of the kernel's own, or std::min, fits
// better and is taken before: the second parameter is a pack.
#ifdef SOFTNPU_TYPE_TRAITS
template <
    typename T, typename... U,
    std::enable_if_t<
        sizeof...(U) == 1 && std::is_arithmetic_v<T> && (std::is_arithmetic_v<U> && ...), int> = 0>
constexpr auto min(T a, U... b) {
  return AscendC::Std::min(a, b...);
}
template <
    typename T, typename... U,
    std::enable_if_t<
        sizeof...(U) == 1 && std::is_arithmetic_v<T> && (std::is_arithmetic_v<U> && ...), int> = 0>
constexpr auto max(T a, U... b) {
  return AscendC::Std::max(a, b...);
}
#endif

// Bits of a word under the compiler's names: with one cleared or set, the number of those that are
// 0 or 1, the lowest of them.
constexpr uint64_t sbitset0(uint64_t word, int64_t bit) { return word & ~(uint64_t{1} << bit); }
constexpr uint64_t sbitset1(uint64_t word, int64_t bit) { return word | uint64_t{1} << bit; }
constexpr int64_t bcnt0(uint64_t word) { return AscendC::ScalarGetCountOfValue<0>(word); }
constexpr int64_t bcnt1(uint64_t word) { return AscendC::ScalarGetCountOfValue<1>(word); }
constexpr int64_t sff0(uint64_t word) { return AscendC::ScalarGetSFFValue<0>(word); }
constexpr int64_t sff1(uint64_t word) { return AscendC::ScalarGetSFFValue<1>(word); }
inline int64_t clz(uint64_t value) { return value == 0 ? 64 : __builtin_clzll(value); }

// The mask register and the atomics under the compiler's names.
inline void set_mask_count() { AscendC::SetMaskCount(); }
inline void set_mask_norm() { AscendC::SetMaskNorm(); }
inline void set_vector_mask(uint64_t high, uint64_t low) {
  AscendC::SetVectorMask<half>(high, low);
}

// The compiler's variables.
struct SoftnpuBlockIndex {
  operator int64_t() const { return get_block_idx(); }
};
struct SoftnpuBlockNumber {
  operator int64_t() const { return get_block_num(); }
};
inline constexpr SoftnpuBlockIndex block_idx{};
inline constexpr SoftnpuBlockNumber block_num{};
