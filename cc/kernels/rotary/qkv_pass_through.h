// cc/kernels/rotary/qkv_pass_through.h: copies value and gate out of qkv, through the UB as bytes.
// Device code.
#pragma once

#include "cc/kernels/rotary/head_rows.h"

namespace rotary {

template <typename T>
class QkvPassThrough {
 public:
  __aicore__ inline QkvPassThrough(const QkvTensors& tensors, const QkvRmsnormRopeTiling& tiling,
                                   const HeadRows<T>& rows)
      : tiling_(tiling), rows_(rows), tensors_(tensors) {}

  __aicore__ inline void InitBuffers(TPipe* pipe, const QkvRmsnormRopeBuffers& bytes) {
    if (tiling_.copy_bytes > 0) pipe->InitBuffer(copies_, 2, (uint32_t)bytes.copies);
  }

  // Of the tokens of a tile: value, unless it is normalised, and this core's rows of gate.
  __aicore__ inline void Copy(const Tile& tile) {
    const int64_t size = tiling_.head_size * sizeof(T);
    const int64_t queries = tiling_.heads * rows_.query_step() * sizeof(T);
    const int64_t side = tiling_.kv_heads * size;
    const int64_t stride = tiling_.token_stride * sizeof(T);
    const int64_t from = tile.token * stride;
    if (tiling_.norm_value == 0 && rows_.end_row() == rows_.token_rows()) {
      CopyRows(tensors_.v, from + queries + side, tile.token * side, tile.tokens, side, stride);
    }
    const int64_t first = rows_.first_row();
    const int64_t gates = Min(rows_.end_row(), tiling_.heads) - first;
    // mutant: drop condition, bound off by one equivalent: With no elements nothing happens either
    // way.
    if (tiling_.has_gate == 0 || gates <= 0) return;
    for (int64_t token = 0; token < tile.tokens; ++token) {
      CopyRows(tensors_.gate, from + token * stride + (2 * first + 1) * size,
               ((tile.token + token) * tiling_.heads + first) * size, gates, size, 2 * size);
    }
  }

 private:
  // Rows of `bytes`, which lie `step` apart in qkv and beside each other in `to`.
  __aicore__ inline void CopyRows(GM_ADDR to, int64_t from, int64_t at, int64_t rows, int64_t bytes,
                                  int64_t step) {
    // mutant: drop bound equivalent: Same result by more instructions.
    const int64_t part = Min(bytes, tiling_.copy_bytes);
    const int64_t pitch = sizes::RoundUp(part, sizes::kBlockBytes);
    // mutant: drop bound equivalent: A buffer of 16384 bytes holds fewer rows than the limit.
    const int64_t batch = Min(tiling_.copy_bytes / pitch, sizes::kMaxRows);
    GlobalTensor<uint8_t> source, target;
    source.SetGlobalBuffer(tensors_.qkv, from + (rows - 1) * step + bytes);
    target.SetGlobalBuffer(to, at + rows * bytes);
    for (int64_t row = 0; row < rows; row += batch) {
      for (int64_t column = 0; column < bytes; column += part) {
        const uint16_t count = (uint16_t)Min(batch, rows - row);
        const uint32_t length = (uint32_t)Min(part, bytes - column);
        LocalTensor<uint8_t> copied = copies_.template AllocTensor<uint8_t>();
        // mutant: drop bound, argument off by one of `count > 1 ? (uint32_t)(step - length) : 0`,
        // bound off by one equivalent: One row is copied: strides are not used.
        DataCopyPad(
            copied, source[from + row * step + column],
            DataCopyExtParams(count, length, count > 1 ? (uint32_t)(step - length) : 0, 0, 0),
            device::NoPad<uint8_t>());
        copies_.EnQue(copied);
        copied = copies_.template DeQue<uint8_t>();
        DataCopyPad(target[at + row * bytes + column], copied,
                    DataCopyExtParams(count, length, 0, (uint32_t)(bytes - length), 0));
        copies_.FreeTensor(copied);
      }
    }
  }

  const QkvRmsnormRopeTiling& tiling_;
  const HeadRows<T>& rows_;
  QkvTensors tensors_;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> copies_;
};

}  // namespace rotary
