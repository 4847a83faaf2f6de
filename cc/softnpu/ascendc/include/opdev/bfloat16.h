// cc/softnpu/ascendc/include/opdev/bfloat16.h: 16-bit floats in host code; one rounding to nearest
// even.
#pragma once

#include <stdint.h>

#include "cc/softnpu/ascendc/numeric.h"

namespace op {

struct bfloat16 {
  uint16_t value = 0;

  constexpr bfloat16() = default;
  constexpr bfloat16(float number) : value(softnpu::numeric::FloatToBfloat16(number)) {}
  constexpr bfloat16(double number) : bfloat16(static_cast<float>(number)) {}
  constexpr bfloat16(int32_t number) : bfloat16(static_cast<float>(number)) {}
  constexpr operator float() const { return softnpu::numeric::Bfloat16ToFloat(value); }
  static constexpr bfloat16 FromBits(uint16_t bits) {
    bfloat16 out;
    out.value = bits;
    return out;
  }
};

}  // namespace op
