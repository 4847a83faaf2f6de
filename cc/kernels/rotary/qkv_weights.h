// cc/kernels/rotary/qkv_weights.h: the weights and biases of query and key, as floats. Device code.
//
// A side has one row of weights, which serves all of its heads. When sums of squares are given,
// each element of a token has a weight of its own, and a core loads those of its rows.
#pragma once

#include "cc/kernels/rotary/head_copy.h"

namespace rotary {

template <typename T>
class QkvWeights {
  using Storage = typename StorageOf<T>::Type;

 public:
  // Rows [first_row, end_row) of a token are this core's.
  __aicore__ inline QkvWeights(const QkvTensors& tensors, const QkvRmsnormRopeTiling& tiling,
                               int64_t first_row, int64_t end_row)
      : tiling_(tiling), copy_(tiling), tensors_(tensors) {
    for (int64_t side = 0; side < 2; ++side) {
      const SideRows rows = SideRowsOf(tiling, {0, 1, first_row, end_row - first_row}, side);
      side_first_[side] = tiling.has_sums != 0 ? rows.of_side : 0;
      side_rows_[side] = tiling.has_sums != 0 ? Max(rows.rows, 0) : 1;
    }
  }

  __aicore__ inline void InitWeights(TPipe* pipe, const QkvRmsnormRopeBuffers& bytes) {
    pipe->InitBuffer(weight_buffer_, (uint32_t)bytes.weights);
    pipe->InitBuffer(in_, 1, (uint32_t)bytes.weights_in);
  }
  __aicore__ inline void InitBiases(TPipe* pipe, const QkvRmsnormRopeBuffers& bytes) {
    if (tiling_.has_bias != 0) pipe->InitBuffer(bias_buffer_, (uint32_t)bytes.biases);
  }

  // Loads the weights of query and of key, and then the biases of both.
  __aicore__ inline void Load() {
    LocalTensor<T> in = in_.template AllocTensor<T>();
    const LocalTensor<Storage> to = in.template ReinterpretCast<Storage>();
    const GM_ADDR from[4] = {tensors_.q_weight, tensors_.k_weight, tensors_.q_bias,
                             tensors_.k_bias};
    int64_t rows = 0;
    for (int64_t i = 0; i < (tiling_.has_bias != 0 ? 4 : 2); ++i) {
      const int64_t count = side_rows_[i % 2];
      if (count == 0) continue;
      const int64_t first = side_first_[i % 2] * tiling_.head_size;
      GlobalTensor<Storage> gm;
      gm.SetGlobalBuffer((__gm__ Storage*)from[i], first + count * tiling_.head_size);
      copy_.template Move<true>(to[(uint32_t)(rows * tiling_.row_pitch)], gm[first],
                                {0, 1, 0, count}, count, tiling_.head_size, 0);
      rows += count;
    }
    in_.EnQue(in);
    in = in_.template DeQue<T>();
    const int64_t elements = (side_rows_[0] + side_rows_[1]) * tiling_.row_pitch;
    Widen(weight_buffer_.template Get<float>(), in, elements);
    if (tiling_.has_bias != 0) {
      Widen(bias_buffer_.template Get<float>(), in[(uint32_t)elements], elements);
    }
    Step();
    in_.FreeTensor(in);
  }

  // Those of row `of_side` of a side, and of the rows behind it.
  __aicore__ inline LocalTensor<float> Weights(int64_t side, int64_t of_side) {
    return weight_buffer_.template Get<float>()[At(side, of_side)];
  }
  __aicore__ inline LocalTensor<float> Biases(int64_t side, int64_t of_side) {
    return bias_buffer_.template Get<float>()[At(side, of_side)];
  }

 private:
  __aicore__ inline uint32_t At(int64_t side, int64_t of_side) const {
    int64_t row = side == 0 ? 0 : side_rows_[0];
    if (tiling_.has_sums != 0) row += of_side - side_first_[side];
    return (uint32_t)(row * tiling_.row_pitch);
  }

  __aicore__ inline void Widen(const LocalTensor<float>& to, const LocalTensor<T>& from,
                               int64_t elements) {
    if constexpr (sizeof(T) == 4) {
      Muls(to, from, 1.0f, (int32_t)elements);
    } else {
      Cast(to, from, RoundMode::CAST_NONE, (uint32_t)elements);
    }
  }

  const QkvRmsnormRopeTiling& tiling_;
  HeadCopy<T> copy_;
  QkvTensors tensors_;
  int64_t side_first_[2] = {};  // of the weights of query and of key: this core's first row ...
  int64_t side_rows_[2] = {};   // ... and rows
  TQue<TPosition::VECIN, 1> in_;
  TBuf<TPosition::VECCALC> weight_buffer_;
  TBuf<TPosition::VECCALC> bias_buffer_;
};

}  // namespace rotary
