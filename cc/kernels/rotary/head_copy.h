// cc/kernels/rotary/head_copy.h: copies rows of heads between GM and the UB. Device code.
//
// A row lies in the UB as its two halves and the rest, each in whole blocks, so that instructions
// may take them apart; what lies between their ends and the blocks' is zero.
#pragma once

#include "cc/kernels/rotary/qkv_common.h"

namespace rotary {

template <typename T>
class HeadCopy {
  using Storage = typename StorageOf<T>::Type;

 public:
  __aicore__ inline explicit HeadCopy(const QkvRmsnormRopeTiling& tiling)
      : tiling_(tiling), pitch_(tiling.row_pitch), half_(tiling.angles.rotary_dim / 2) {}

  // `rows` rows of each token of a tile; in GM `row_step` and `token_step` elements apart.
  template <bool load>
  __aicore__ inline void Move(const LocalTensor<Storage>& ub, const GlobalTensor<Storage>& gm,
                              const Tile& tile, int64_t rows, int64_t row_step,
                              int64_t token_step) const {
    const int64_t size = tiling_.head_size;
    // mutant: drop guard equivalent: Same result by more instructions.
    if (pitch_ == size && row_step == size) {
      // Tokens are what a copy counts.
      // mutant: argument off by one of `rows * size`, argument off by one of `tile.rows * size`
      // equivalent: The integer division drops the difference.
      Copy<load>(ub, gm, tile.tokens, rows * size, rows * size, token_step, tile.rows * size);
      return;
    }
    for (int64_t token = 0; token < tile.tokens; ++token) {
      const LocalTensor<Storage> inside = ub[(uint32_t)(token * tile.rows * pitch_)];
      const GlobalTensor<Storage> outside = gm[token * token_step];
      // mutant: drop guard equivalent: Same result by more instructions.
      if (pitch_ == size) {
        // mutant: argument off by one of `size` equivalent: The integer division drops the
        // difference.
        Copy<load>(inside, outside, rows, size, size, row_step, size);
        continue;
      }
      const int64_t pitch = tiling_.angles.half_pitch;
      for (int64_t part = 0; half_ > 0 && part < 2; ++part) {
        // mutant: argument off by one of `pitch_` equivalent: The integer division drops the
        // difference.
        Copy<load>(inside[(uint32_t)(part * pitch)], outside[part * half_], rows, half_, pitch,
                   row_step, pitch_);
      }
      if (size > 2 * half_) {
        // mutant: argument off by one of `pitch_` equivalent: The integer division drops the
        // difference.
        Copy<load>(inside[(uint32_t)(2 * pitch)], outside[2 * half_], rows, size - 2 * half_,
                   pitch_ - 2 * pitch, row_step, pitch_);
      }
    }
  }

 private:
  // `rows` of `length` elements, every `gm_step` and every `ub_step`; when loading, zeroes fill a
  // row up to `pitch`.
  template <bool load>
  __aicore__ inline void Copy(const LocalTensor<Storage>& ub, const GlobalTensor<Storage>& gm,
                              int64_t rows, int64_t length, int64_t pitch, int64_t gm_step,
                              int64_t ub_step) const {
    const uint32_t bytes = (uint32_t)(length * sizeof(T));
    // mutant: drop bound, bound off by one equivalent: One row is copied: strides are not used.
    const uint32_t gap = rows > 1 ? (uint32_t)((gm_step - length) * (int64_t)sizeof(T)) : 0;
    const uint32_t blocks = (uint32_t)((ub_step - pitch) * (int64_t)sizeof(T) / ONE_BLK_SIZE);
    if constexpr (load) {
      DataCopyPad(ub, gm, DataCopyExtParams((uint16_t)rows, bytes, gap, blocks, 0),
                  ZeroPadding<Storage>(length, pitch));
    } else {
      DataCopyPad(gm, ub, DataCopyExtParams((uint16_t)rows, bytes, blocks, gap, 0));
    }
  }

  const QkvRmsnormRopeTiling& tiling_;
  int64_t pitch_;  // elements of a row in the UB
  int64_t half_;   // elements
};

}  // namespace rotary
