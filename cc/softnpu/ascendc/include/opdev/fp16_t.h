// cc/softnpu/ascendc/include/opdev/fp16_t.h: 16-bit floats in host code; one rounding to nearest
// even.
#pragma once

#include <stdint.h>

#include "cc/softnpu/ascendc/numeric.h"

namespace op {

struct fp16_t {
  uint16_t val = 0;

  constexpr fp16_t() = default;
  constexpr fp16_t(float number) : val(softnpu::numeric::FloatToHalf(number)) {}
  constexpr fp16_t(double number) : fp16_t(static_cast<float>(number)) {}
  constexpr fp16_t(int32_t number) : fp16_t(static_cast<float>(number)) {}
  constexpr operator float() const { return softnpu::numeric::HalfToFloat(val); }
  static constexpr fp16_t FromBits(uint16_t bits) {
    fp16_t out;
    out.val = bits;
    return out;
  }
};

}  // namespace op
