// cc/kernels/rotary/qkv_square_sums.h: sums[t] = the sums of squares of query and of key of token
// t. Device code.
#pragma once

#include "cc/kernels/rotary/head_rows.h"

namespace rotary {

template <typename T>
class QkvSquareSums {
 public:
  __aicore__ inline QkvSquareSums(TPipe* pipe, GM_ADDR qkv, GM_ADDR sums,
                                  const QkvRmsnormRopeTiling& tiling)
      : tiling_(tiling), rows_(qkv, tiling, tiling.heads + tiling.kv_heads) {
    const QkvRowBuffers of_rows = QkvRowBuffersOf(tiling, sizeof(T));
    const QkvSquareSumsBuffers bytes = QkvSquareSumsBuffersOf(tiling);
    sums_gm_.SetGlobalBuffer((__gm__ float*)sums, tiling.angles.tokens * 2);
    rows_.InitRows(pipe, of_rows);
    pipe->InitBuffer(out_, 2, (uint32_t)bytes.out);
    pipe->InitBuffer(sum_buffer_, (uint32_t)bytes.sums);
    rows_.InitPartials(pipe, of_rows);
    rows_.InitProducts(pipe, of_rows);
  }

  __aicore__ inline void Run() {
    if (rows_.tiles() > 0) rows_.Load(rows_.TileAt(0));
    for (int64_t index = 0; index < rows_.tiles(); ++index) {
      if (index + 1 < rows_.tiles()) rows_.Load(rows_.TileAt(index + 1));
      const Tile tile = rows_.TileAt(index);
      const LocalTensor<float> x = rows_.Take(tile);
      rows_.SquareSums(tile.row, x, tile.tokens * tile.rows);
      rows_.Free();
      if (tile.row + tile.rows == rows_.token_rows()) Give(tile);
    }
  }

 private:
  // The sums of the tokens of a tile, whose rows are all done.
  __aicore__ inline void Give(const Tile& tile) {
    LocalTensor<float> out = out_.template AllocTensor<float>();
    for (int64_t token = 0; token < tile.tokens; ++token) {
      const int64_t row = token * rows_.token_rows();
      SumSide(out[(uint32_t)(2 * token)], row, tiling_.heads);
      SumSide(out[(uint32_t)(2 * token + 1)], row + tiling_.heads, tiling_.kv_heads);
    }
    out_.EnQue(out);
    out = out_.template DeQue<float>();
    DataCopyPad(sums_gm_[tile.token * 2], out, device::OneRow(tile.tokens * 8));
    out_.FreeTensor(out);
  }

  // to[0] = the sum of the squares of `rows` rows from `row` on.
  __aicore__ inline void SumSide(const LocalTensor<float>& to, int64_t row, int64_t rows) {
    const LocalTensor<float> sums = sum_buffer_.Get<float>();
    // mutant: argument off by one of `rows` equivalent: Nothing reads the extra elements.
    rows_.BlockSums(sums, row, rows);
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t at = kLanes; at < rows; at += kLanes) {
      Add(sums, sums, sums[(uint32_t)at], (int32_t)Min(kLanes, rows - at));
      Step();
    }
    // mutant: constant off by one equivalent: One repeat: strides are not used.
    WholeReduceSum(to, sums, (int32_t)Min(kLanes, rows), 1, 1, 1, 8);
    Step();
  }

  const QkvRmsnormRopeTiling& tiling_;
  HeadRows<T> rows_;
  GlobalTensor<float> sums_gm_;
  TQue<TPosition::VECOUT, 2> out_;
  TBuf<TPosition::VECCALC> sum_buffer_;
};

}  // namespace rotary
