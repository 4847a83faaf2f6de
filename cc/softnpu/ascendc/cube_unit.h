// cc/softnpu/ascendc/cube_unit.h: conversions that the cube unit's files share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/numeric.h"

namespace softnpu::ascendc::semantics {

inline float LoadFloat(uint8_t type, const std::byte* at) {
  uint16_t bits = 0;
  float value = 0;
  switch (type) {
    case SOFTNPU_FLOAT16:
      std::memcpy(&bits, at, 2);
      return numeric::HalfToFloat(bits);
    case SOFTNPU_BFLOAT16:
      std::memcpy(&bits, at, 2);
      return numeric::Bfloat16ToFloat(bits);
    default:
      std::memcpy(&value, at, 4);
      return value;
  }
}

inline int32_t SaturatedInt8(float value) {
  if (std::isnan(value)) return 0;
  return static_cast<int32_t>(std::clamp(std::nearbyint(value), -128.0f, 127.0f));
}

}  // namespace softnpu::ascendc::semantics
