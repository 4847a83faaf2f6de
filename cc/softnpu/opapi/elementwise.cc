// cc/softnpu/opapi/elementwise.cc: loads, stores and conversions of elements.
#include "cc/softnpu/opapi/elementwise.h"

#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

namespace softnpu {

float HalfToFloat(uint16_t bits) {
  // Exponent and fraction are moved into float position; a multiplication by 2^112 corrects the
  // exponent bias and normalises subnormals exactly.
  const uint32_t magnitude = (bits & 0x7FFFU) << 13;
  uint32_t out = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) *
                                         std::bit_cast<float>(uint32_t{(127U + 112U) << 23}));
  if ((bits & 0x7C00U) == 0x7C00U) out = magnitude | 0x7F800000U;
  return std::bit_cast<float>(out | ((bits & 0x8000U) << 16));
}

uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);  // rounds to infinity
  if (magnitude < 0x38800000U) {
    // Subnormal: adding 0.5 puts the last kept bit at the float's last place, rounding to even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000U));
  }
  magnitude += 0xFFFU + ((magnitude >> 13) & 1U);
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000U) >> 13));
}

float Bfloat16ToFloat(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

uint16_t FloatToBfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x0040U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

float RoundToOdd(double value) {
  const auto nearest = static_cast<float>(value);
  if (static_cast<double>(nearest) == value || value != value) return nearest;
  // The neighbour towards zero, with its last bit set. Overflow: the largest float, which is odd.
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  if (std::fabs(static_cast<double>(nearest)) > std::fabs(value)) --bits;
  return std::bit_cast<float>(bits | 1U);
}

float RoundToOdd(int64_t value) {
  const uint64_t magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  // What lies below a float's 24 bits only has to remain seen as not zero.
  const int excess = std::max(0, 64 - std::countl_zero(magnitude) - 24);
  const uint64_t kept = magnitude >> excess;
  const uint64_t odd = kept << excess == magnitude ? kept : kept | 1U;
  const float result = std::ldexp(static_cast<float>(odd), excess);
  return value < 0 ? -result : result;
}

namespace {

float Narrow(float value) { return value; }
float Narrow(double value) { return RoundToOdd(value); }
float Narrow(int64_t value) { return RoundToOdd(value); }

template <typename T, typename C>
void LoadAs(const std::byte* from, int64_t stride, int64_t count, C* to) {
  const T* source = reinterpret_cast<const T*>(from);
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<C>(source[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<C>(source[i * stride]);
  }
}

template <typename To, typename From>
To Convert(From value) {
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // Truncation saturates; NaN becomes 0.
    if (value != value) return 0;
    if (value >= static_cast<From>(std::numeric_limits<To>::max())) {
      return std::numeric_limits<To>::max();
    }
    if (value <= static_cast<From>(std::numeric_limits<To>::min())) {
      return std::numeric_limits<To>::min();
    }
  }
  return static_cast<To>(value);
}

template <typename C>
void Load(DType dtype, const std::byte* from, int64_t stride, int64_t count, C* to) {
  switch (dtype) {
    case DType::kFloat:
      if constexpr (std::is_integral_v<C>) {
        for (int64_t i = 0; i < count; ++i) {
          to[i] = Convert<C>(reinterpret_cast<const float*>(from)[i * stride]);
        }
        return;
      }
      return LoadAs<float>(from, stride, count, to);
    case DType::kDouble:
      if constexpr (std::is_integral_v<C>) {
        for (int64_t i = 0; i < count; ++i) {
          to[i] = Convert<C>(reinterpret_cast<const double*>(from)[i * stride]);
        }
        return;
      }
      return LoadAs<double>(from, stride, count, to);
    case DType::kHalf:
      for (int64_t i = 0; i < count; ++i) {
        to[i] = Convert<C>(HalfToFloat(reinterpret_cast<const uint16_t*>(from)[i * stride]));
      }
      return;
    case DType::kBfloat16:
      for (int64_t i = 0; i < count; ++i) {
        to[i] = Convert<C>(Bfloat16ToFloat(reinterpret_cast<const uint16_t*>(from)[i * stride]));
      }
      return;
    case DType::kInt8:
      return LoadAs<int8_t>(from, stride, count, to);
    case DType::kUint8:
      return LoadAs<uint8_t>(from, stride, count, to);
    case DType::kInt16:
      return LoadAs<int16_t>(from, stride, count, to);
    case DType::kInt32:
      return LoadAs<int32_t>(from, stride, count, to);
    case DType::kInt64:
      return LoadAs<int64_t>(from, stride, count, to);
    case DType::kBool:
      for (int64_t i = 0; i < count; ++i) {
        to[i] = static_cast<C>(reinterpret_cast<const uint8_t*>(from)[i * stride] != 0);
      }
      return;
  }
}

template <typename T, typename C>
void StoreAs(std::byte* to, int64_t stride, int64_t count, const C* from) {
  T* target = reinterpret_cast<T*>(to);
  for (int64_t i = 0; i < count; ++i) target[i * stride] = Convert<T>(from[i]);
}

template <typename C>
void Store(DType dtype, std::byte* to, int64_t stride, int64_t count, const C* from) {
  switch (dtype) {
    case DType::kFloat:
      return StoreAs<float>(to, stride, count, from);
    case DType::kDouble:
      return StoreAs<double>(to, stride, count, from);
    case DType::kHalf:
      for (int64_t i = 0; i < count; ++i) {
        reinterpret_cast<uint16_t*>(to)[i * stride] = FloatToHalf(Narrow(from[i]));
      }
      return;
    case DType::kBfloat16:
      for (int64_t i = 0; i < count; ++i) {
        reinterpret_cast<uint16_t*>(to)[i * stride] = FloatToBfloat16(Narrow(from[i]));
      }
      return;
    case DType::kInt8:
      return StoreAs<int8_t>(to, stride, count, from);
    case DType::kUint8:
      return StoreAs<uint8_t>(to, stride, count, from);
    case DType::kInt16:
      return StoreAs<int16_t>(to, stride, count, from);
    case DType::kInt32:
      return StoreAs<int32_t>(to, stride, count, from);
    case DType::kInt64:
      return StoreAs<int64_t>(to, stride, count, from);
    case DType::kBool:
      for (int64_t i = 0; i < count; ++i) {
        reinterpret_cast<uint8_t*>(to)[i * stride] = from[i] != C{0} ? 1 : 0;
      }
      return;
  }
}

template <typename Unit>
void Move(const std::byte* from, int64_t from_stride, std::byte* to, int64_t to_stride,
          int64_t count) {
  const auto* source = reinterpret_cast<const Unit*>(from);
  auto* target = reinterpret_cast<Unit*>(to);
  for (int64_t i = 0; i < count; ++i) target[i * to_stride] = source[i * from_stride];
}

}  // namespace

void LoadElements(DType dtype, const std::byte* from, int64_t stride, int64_t count, float* to) {
  Load(dtype, from, stride, count, to);
}
void LoadElements(DType dtype, const std::byte* from, int64_t stride, int64_t count, double* to) {
  Load(dtype, from, stride, count, to);
}
void LoadElements(DType dtype, const std::byte* from, int64_t stride, int64_t count, int64_t* to) {
  Load(dtype, from, stride, count, to);
}
void StoreElements(DType dtype, std::byte* to, int64_t stride, int64_t count, const float* from) {
  Store(dtype, to, stride, count, from);
}
void StoreElements(DType dtype, std::byte* to, int64_t stride, int64_t count, const double* from) {
  Store(dtype, to, stride, count, from);
}
void StoreElements(DType dtype, std::byte* to, int64_t stride, int64_t count, const int64_t* from) {
  Store(dtype, to, stride, count, from);
}

Compute ComputeFor(std::initializer_list<DType> dtypes) {
  Compute compute = Compute::kInteger;
  for (const DType dtype : dtypes) {
    if (dtype == DType::kDouble) return Compute::kDouble;
    if (IsFloating(dtype)) compute = Compute::kFloat;
  }
  return compute;
}

void CopyElements(const View& out, const View& in) {
  if (out.dtype != in.dtype) {
    Dispatch(ComputeFor({in.dtype}), [&](auto zero) {
      using C = decltype(zero);
      Map<C, 1>(out, {in}, [](C value) { return value; });
    });
    return;
  }
  const int64_t bytes = Size(out.dtype);
  ForEachRun<2>({out, Expanded(in, out, "the source")},
                [bytes](const auto& base, const auto& strides, int64_t count) {
                  if (strides[0] == 1 && strides[1] == 1) {
                    std::memmove(base[0], base[1], static_cast<size_t>(count * bytes));
                    return;
                  }
                  switch (bytes) {
                    case 1:
                      return Move<uint8_t>(base[1], strides[1], base[0], strides[0], count);
                    case 2:
                      return Move<uint16_t>(base[1], strides[1], base[0], strides[0], count);
                    case 4:
                      return Move<uint32_t>(base[1], strides[1], base[0], strides[0], count);
                    default:
                      return Move<uint64_t>(base[1], strides[1], base[0], strides[0], count);
                  }
                });
}

void FillElements(const View& out, const Scalar& value) {
  Dispatch(ComputeFor({out.dtype}), [&](auto zero) {
    using C = decltype(zero);
    const C element =
        std::is_integral_v<C> ? static_cast<C>(value.integer) : static_cast<C>(value.real);
    Map<C, 0>(out, {}, [element] { return element; });
  });
}

}  // namespace softnpu
