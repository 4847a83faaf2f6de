// cc/softnpu/ascendc/numeric.h: half and bfloat16 as bits, converted exactly.
//
// To 16 bits: to nearest, ties to even; overflow gives infinity, a NaN stays a (quiet) NaN. The
// functions have no branches on the value, so that a compiler vectorises loops over them. They are
// shared by the simulator and by the headers that kernels include: C++17, no standard library.
#pragma once

#include <stdint.h>

namespace softnpu::numeric {

inline uint32_t FloatBits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float BitsFloat(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  // 2^112 moves the exponent's bias from 15 to 127 and makes subnormals normal, without rounding.
  const uint32_t finite = FloatBits(BitsFloat(magnitude) * 0x1p112f);
  const uint32_t special = magnitude | 0x7f800000u;
  return BitsFloat(sign | ((half & 0x7fffu) >= 0x7c00u ? special : finite));
}

inline uint16_t FloatToHalf(float value) {
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

inline float Bfloat16ToFloat(uint16_t bits) { return BitsFloat(static_cast<uint32_t>(bits) << 16); }

inline uint16_t FloatToBfloat16(float value) {
  const uint32_t bits = FloatBits(value);
  const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const uint32_t quiet = bits | 0x00400000u;
  return static_cast<uint16_t>(((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded) >> 16);
}

}  // namespace softnpu::numeric
