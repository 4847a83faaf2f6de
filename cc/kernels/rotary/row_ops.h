// cc/kernels/rotary/row_ops.h: instructions over rows of floats. Device code.
#pragma once

#include <stdint.h>

#include "cc/kernels/device.h"
#include "kernel_operator.h"

namespace rotary {

using namespace AscendC;

using device::FloatOf;
using device::kLanes;
using device::kMaxRepeat;
using device::Min;
using device::Step;

enum class Do { kAdd, kMul, kMulAdd };

// dst[row] = a[row] op b[row], or a[row] * dst[row] + b[row], `width` columns of rows at the repeat
// strides of `params`, in blocks. A b whose block stride is 0 is one block of equal numbers per
// row.
template <Do op>
__aicore__ inline void OnRows(const LocalTensor<float>& dst, const LocalTensor<float>& a,
                              const LocalTensor<float>& b, int64_t rows, int64_t width,
                              const BinaryRepeatParams& params) {
  // mutant: bound off by one equivalent: The extra iteration has no elements.
  for (int64_t row = 0; row < rows; row += kMaxRepeat) {
    const uint8_t repeat = (uint8_t)Min(kMaxRepeat, rows - row);
    for (int64_t lane = 0; lane < width; lane += kLanes) {
      const uint64_t mask = (uint64_t)Min(kLanes, width - lane);
      const uint32_t at = (uint32_t)(row * 8 * params.dstRepStride + lane);
      const uint32_t one = (uint32_t)(row * 8 * params.src0RepStride + lane);
      const uint32_t other =
          (uint32_t)(row * 8 * params.src1RepStride + (params.src1BlkStride == 0 ? 0 : lane));
      if constexpr (op == Do::kAdd) Add(dst[at], a[one], b[other], mask, repeat, params);
      if constexpr (op == Do::kMul) Mul(dst[at], a[one], b[other], mask, repeat, params);
      if constexpr (op == Do::kMulAdd) FusedMulAdd(dst[at], a[one], b[other], mask, repeat, params);
    }
  }
}

}  // namespace rotary
