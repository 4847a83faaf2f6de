// cc/softnpu/ascendc/numeric.h: half and bfloat16 as bits, converted exactly.
//
// To 16 bits: to nearest, ties to even; overflow gives infinity, a NaN stays a (quiet) NaN. The
// functions have no branches on the value, so that a compiler vectorises loops over them. They are
// shared by the simulator and by the headers that kernels include: C++17, no standard library, and
// constant expressions of constants.
#pragma once

#include <stdint.h>

namespace softnpu::numeric {

constexpr uint32_t FloatBits(float value) { return __builtin_bit_cast(uint32_t, value); }

constexpr float BitsFloat(uint32_t bits) { return __builtin_bit_cast(float, bits); }

constexpr float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  // 2^112 moves the exponent's bias from 15 to 127 and makes subnormals normal, without rounding.
  const uint32_t finite = FloatBits(BitsFloat(magnitude) * 0x1p112f);
  const uint32_t special = magnitude | 0x7f800000u;
  return BitsFloat(sign | ((half & 0x7fffu) >= 0x7c00u ? special : finite));
}

constexpr uint16_t FloatToHalf(float value) {
  const uint32_t bits = FloatBits(value);
  const uint32_t sign = bits & 0x80000000u;
  const uint32_t magnitude = bits ^ sign;
  // Below 2^-14 the sum with 0.5 rounds at the last place of a subnormal half.
  const uint32_t subnormal = FloatBits(BitsFloat(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t odd = (magnitude >> 13) & 1u;
  const uint32_t normal = (magnitude + 0xc8000fffu + odd) >> 13;
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  uint32_t out = magnitude < 0x38800000u ? subnormal : normal;
  out = magnitude >= 0x47800000u ? special : out;
  return static_cast<uint16_t>(out | (sign >> 16));
}

// Von Neumann's rounding: what is cut off makes the last bit 1.
constexpr uint16_t FloatToHalfOdd(float value) {
  const uint32_t bits = FloatBits(value);
  const uint32_t sign = bits & 0x80000000u;
  const uint32_t magnitude = bits ^ sign;
  if (magnitude >= 0x47800000u) return FloatToHalf(value);  // no finite half is as large
  uint32_t out = (magnitude >> 13) - (112u << 10);
  uint32_t lost = magnitude & 0x1fffu;
  if (magnitude < 0x38800000u) {  // in units of 2^-24
    const uint32_t exponent = magnitude >> 23;
    const uint32_t mantissa = (magnitude & 0x7fffffu) | (exponent == 0 ? 0 : 0x800000u);
    const uint32_t shift = 126 - exponent;
    out = shift > 31 ? 0 : mantissa >> shift;
    lost = shift > 31 ? mantissa : mantissa & ((1u << shift) - 1);
  }
  return static_cast<uint16_t>(out | (lost != 0 ? 1u : 0u) | (sign >> 16));
}

constexpr float Bfloat16ToFloat(uint16_t bits) {
  return BitsFloat(static_cast<uint32_t>(bits) << 16);
}

constexpr uint16_t FloatToBfloat16(float value) {
  const uint32_t bits = FloatBits(value);
  const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const uint32_t quiet = bits | 0x00400000u;
  return static_cast<uint16_t>(((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded) >> 16);
}

}  // namespace softnpu::numeric
