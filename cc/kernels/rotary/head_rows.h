// cc/kernels/rotary/head_rows.h: rows of heads in the UB, and the sums of their squares.
//
// A row lies in the UB as its two halves and the rest, each in whole blocks, so that instructions
// may take them apart; what lies between their ends and the blocks' is zero. A tile is some tokens
// with all their rows, or some rows of one token; if there are few tokens, cores share the rows.
// Sums of squares come from adding a row's columns to the first 64 of them and from two sums of
// blocks.
#pragma once

#include <stdint.h>

#include "cc/kernels/rotary/angles.h"
#include "cc/kernels/rotary/qkv_rmsnorm_rope_tiling.h"
#include "kernel_operator.h"

namespace rotary {

using namespace AscendC;

constexpr int64_t kMaxRepeat = 255;
constexpr int64_t kMaxRows = 4095;  // of one copy

__aicore__ inline void Step() { PipeBarrier<PIPE_V>(); }

__aicore__ inline float FloatOf(int64_t bits) {
  const int32_t word = (int32_t)bits;
  return *(const float*)&word;
}

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

// Rows [row, row + rows) of tokens [token, token + tokens).
struct Tile {
  int64_t token;
  int64_t tokens;
  int64_t row;
  int64_t rows;
};

// Tiles of rows in the UB, and sums of their squares.
template <typename T>
class HeadRows {
 protected:
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

  __aicore__ inline HeadRows(TPipe* pipe, GM_ADDR qkv, const QkvRmsnormRopeTiling& tiling,
                             int64_t token_rows)
      : tiling_(tiling),
        pipe_(pipe),
        pitch_(tiling.row_pitch),
        half_(tiling.angles.rotary_dim / 2),
        query_step_(tiling.head_size * (tiling.has_gate != 0 ? 2 : 1)),
        token_rows_(token_rows),
        tile_rows_(tiling.angles.tokens_per_tile * tiling.rows_per_tile) {
    // mutant: constant off by one equivalent: SetGlobalBuffer's size is only a promise of how far
    // accesses go; a larger one changes nothing.
    const int64_t width = tiling.heads * query_step_ + 2 * tiling.kv_heads * tiling.head_size;
    qkv_gm_.SetGlobalBuffer((__gm__ Storage*)qkv,
                            (tiling.angles.tokens - 1) * tiling.token_stride + width);
    // The first `tokens % cores` cores take one token more than the others.
    // mutant: drop term equivalent: Cores that share tokens have one token each.
    const int64_t cores = GetBlockNum() / tiling.split;
    const int64_t core = GetBlockIdx() / tiling.split;
    first_row_ = GetBlockIdx() % tiling.split * tiling.part_rows;
    end_row_ = Min(first_row_ + tiling.part_rows, token_rows);
    chunks_ = (end_row_ - first_row_ + tiling.rows_per_tile - 1) / tiling.rows_per_tile;
    const int64_t share = tiling.angles.tokens / cores;
    const int64_t rest = tiling.angles.tokens % cores;
    begin_ = core * share + Min(core, rest);
    end_ = begin_ + share + (core < rest ? 1 : 0);
    const int64_t each = tiling.angles.tokens_per_tile;
    tiles_ = (end_ - begin_ + each - 1) / each * chunks_;
  }

  // Buffers are laid out so that operands of one instruction seldom meet in a bank: floats that
  // rows become begin with the bank groups, and what they are multiplied by in the middle of them;
  // what is written beside its operands is at the end of the UB, as far from them as there is room.
  __aicore__ inline void InitRows() {
    const int64_t elements = tile_rows_ * pitch_;
    if constexpr (!kIsFloat) pipe_->InitBuffer(wide_buffer_, WholeRounds(elements * sizeof(float)));
    // mutant: constant off by one equivalent: The place of the buffers changes time only.
    pipe_->InitBuffer(shift_buffer_, (uint32_t)(kBankRound / 2));
    pipe_->InitBuffer(in_, 2, WholeRounds(elements * sizeof(T)));
  }

  __aicore__ inline void InitGap() {
    // Sums of blocks take eight rows at a time, of which the last may be less.
    // mutant: constant off by one of `7` equivalent: A larger buffer changes nothing, and there is
    // room.
    const int64_t partial = (tiling_.angles.tokens_per_tile * tiling_.part_rows + 7) * 8;
    pipe_->InitBuffer(partial_buffer_, WholeRounds(partial * sizeof(float)));
    partial_ = partial_buffer_.Get<float>();
    Duplicate(partial_, 0.0f, (int32_t)partial);
    Step();
    // mutant: drop term of `tiling_.gap_bytes + kBankRound / 2`, constant off by one equivalent:
    // The place of the buffers changes time only.
    pipe_->InitBuffer(gap_buffer_, (uint32_t)(tiling_.gap_bytes + kBankRound / 2));
  }
  __aicore__ inline void InitProducts() {
    pipe_->InitBuffer(product_buffer_, WholeRounds(tile_rows_ * pitch_ * sizeof(float)));
    product_ = product_buffer_.Get<float>();
  }

  __aicore__ inline Tile TileAt(int64_t index) {
    const int64_t token = begin_ + index / chunks_ * tiling_.angles.tokens_per_tile;
    const int64_t row = first_row_ + index % chunks_ * tiling_.rows_per_tile;
    return {token, Min(tiling_.angles.tokens_per_tile, end_ - token), row,
            Min(tiling_.rows_per_tile, end_row_ - row)};
  }

  // Begins to load a tile.
  __aicore__ inline void LoadRows(const Tile& tile) {
    LocalTensor<T> in = in_.template AllocTensor<T>();
    const LocalTensor<Storage> to = in.template ReinterpretCast<Storage>();
    const int64_t token = tile.token * tiling_.token_stride;
    // Rows of query, when they lie apart, and the others.
    const int64_t end = tile.row + tile.rows;
    const int64_t split = tiling_.has_gate != 0 ? Max(tile.row, Min(end, tiling_.heads)) : tile.row;
    if (split > tile.row) {
      Move<true>(to, qkv_gm_[token + tile.row * query_step_], tile, split - tile.row, query_step_,
                 tiling_.token_stride);
    }
    if (end > split) {
      // mutant: drop bound equivalent: Without a gate all rows are equally far apart.
      const int64_t gates = split < tiling_.heads ? split : tiling_.heads;
      const int64_t at = gates * query_step_ + (split - gates) * tiling_.head_size;
      Move<true>(to[(uint32_t)((split - tile.row) * pitch_)], qkv_gm_[token + at], tile,
                 end - split, tiling_.head_size, tiling_.token_stride);
    }
    in_.EnQue(in);
  }

  // `rows` rows of each token of a tile, `row_step` elements apart in GM.
  template <bool load>
  __aicore__ inline void Move(const LocalTensor<Storage>& ub, const GlobalTensor<Storage>& gm,
                              const Tile& tile, int64_t rows, int64_t row_step,
                              int64_t token_step) {
    const int64_t size = tiling_.head_size;
    // mutant: drop guard equivalent: Same result by more instructions.
    if (pitch_ == size && row_step == size) {
      // Tokens are what a copy counts.
      // mutant: argument off by one of `tile.rows * size` equivalent: The integer division drops
      // the difference.
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

  // `rows` of `length` elements, every `gm_step` and every `ub_step`; when loading, zeroes fill a
  // row up to `pitch`.
  template <bool load>
  __aicore__ inline void Copy(const LocalTensor<Storage>& ub, const GlobalTensor<Storage>& gm,
                              int64_t rows, int64_t length, int64_t pitch, int64_t gm_step,
                              int64_t ub_step) {
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

  // The loaded tile as floats, and the tensor to free when they are not needed any more.
  __aicore__ inline LocalTensor<float> TakeRows(const Tile& tile) {
    loaded_ = in_.template DeQue<T>();
    if constexpr (kIsFloat) {
      return loaded_;
    } else {
      const LocalTensor<float> wide = wide_buffer_.Get<float>();
      Cast(wide, loaded_, RoundMode::CAST_NONE, (uint32_t)(tile.tokens * tile.rows * pitch_));
      Step();
      in_.FreeTensor(loaded_);
      return wide;
    }
  }
  __aicore__ inline void FreeRows() {
    if constexpr (kIsFloat) in_.FreeTensor(loaded_);
  }

  // partial_[8 (first + i) ..] = eight sums of squares of row i; of a short row, the last of them
  // stay 0.
  __aicore__ inline void SquareSums(int64_t first, const LocalTensor<float>& x, int64_t rows) {
    Mul(product_, x, x, (int32_t)(rows * pitch_));
    Step();
    const uint8_t stride = (uint8_t)(pitch_ / 8);
    const BinaryRepeatParams columns(1, 1, 1, stride, stride, stride);
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t lane = kLanes; lane < pitch_; lane += kLanes) {
      OnRows<Do::kAdd>(product_, product_, product_[(uint32_t)lane], rows,
                       Min(kLanes, pitch_ - lane), columns);
      Step();
    }
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t row = 0; row < rows; row += kMaxRepeat) {
      BlockReduceSum(partial_[(uint32_t)((first + row) * 8)], product_[(uint32_t)(row * pitch_)],
                     (int32_t)Min(kMaxRepeat, rows - row), (int32_t)Min(kLanes, pitch_), 1, 1,
                     stride);
    }
    Step();
  }

  // sums[i] = the sum of the eight partial sums of row first + i.
  __aicore__ inline void BlockSums(const LocalTensor<float>& sums, int64_t first, int64_t rows) {
    const int64_t repeats = (rows + 7) / 8;
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t i = 0; i < repeats; i += kMaxRepeat) {
      BlockReduceSum(sums[(uint32_t)(i * 8)], partial_[(uint32_t)(first * 8 + i * kLanes)],
                     (int32_t)Min(kMaxRepeat, repeats - i), (int32_t)kLanes, 1, 1, 8);
    }
    Step();
  }

  const QkvRmsnormRopeTiling& tiling_;
  TPipe* pipe_;
  int64_t pitch_;       // elements of a row in the UB
  int64_t half_;        // elements
  int64_t query_step_;  // elements from one row of query to the next
  int64_t token_rows_;  // rows of a token
  int64_t first_row_;   // of each of its tokens, that this core takes
  int64_t end_row_;
  int64_t chunks_;     // tiles of a token
  int64_t tile_rows_;  // of a whole tile
  int64_t begin_ = 0;  // tokens of this core
  int64_t end_ = 0;
  int64_t tiles_ = 0;
  GlobalTensor<Storage> qkv_gm_;
  TQue<TPosition::VECIN, 2> in_;
  TBuf<TPosition::VECCALC> partial_buffer_;
  TBuf<TPosition::VECCALC> wide_buffer_;
  TBuf<TPosition::VECCALC> product_buffer_;
  TBuf<TPosition::VECCALC> shift_buffer_;  // nothing
  TBuf<TPosition::VECCALC> gap_buffer_;    // nothing
  LocalTensor<float> partial_;
  LocalTensor<float> product_;
  LocalTensor<T> loaded_;
};

}  // namespace rotary
