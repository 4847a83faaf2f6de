// cc/kernels/rotary/head_rows.h: the rows of query, key and value that a core takes, tile by tile,
// and sums of their squares. Device code.
//
// Sums of squares come from adding a row's columns to the first 64 of them and from two sums of
// blocks.
#pragma once

#include "cc/kernels/rotary/head_copy.h"

namespace rotary {

template <typename T>
class HeadRows {
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

 public:
  // `token_rows`: the rows of a token that are taken: those of query, of key, and then of value.
  __aicore__ inline HeadRows(GM_ADDR qkv, const QkvRmsnormRopeTiling& tiling, int64_t token_rows)
      : tiling_(tiling),
        copy_(tiling),
        pitch_(tiling.row_pitch),
        query_step_(tiling.head_size * (tiling.has_gate != 0 ? 2 : 1)),
        token_rows_(token_rows) {
    // mutant: constant off by one equivalent: SetGlobalBuffer's size is only a promise of how far
    // accesses go; a larger one changes nothing.
    const int64_t width = tiling.heads * query_step_ + 2 * tiling.kv_heads * tiling.head_size;
    qkv_gm_.SetGlobalBuffer((__gm__ Storage*)qkv,
                            (tiling.angles.tokens - 1) * tiling.token_stride + width);
    // Of few tokens, cores share the rows.
    // mutant: drop term equivalent: Where cores share a token, each group of cores has one token.
    const int64_t cores = GetBlockNum() / tiling.split;
    const int64_t core = GetBlockIdx() / tiling.split;
    first_row_ = GetBlockIdx() % tiling.split * tiling.part_rows;
    end_row_ = Min(first_row_ + tiling.part_rows, token_rows);
    chunks_ = sizes::Ceil(end_row_ - first_row_, tiling.rows_per_tile);
    const device::Share tokens = device::ShareOf(tiling.angles.tokens, cores, core);
    begin_ = tokens.begin;
    end_ = tokens.end;
    tiles_ = sizes::Ceil(end_ - begin_, tiling.angles.tokens_per_tile) * chunks_;
  }

  // Buffers are laid out so that operands of one instruction seldom meet in a bank: floats that
  // rows become begin with the bank groups, and what they are multiplied by in the middle of them;
  // what is written beside its operands is at the end of the UB, as far from them as there is room.
  __aicore__ inline void InitRows(TPipe* pipe, const QkvRowBuffers& bytes) {
    if constexpr (!kIsFloat) pipe->InitBuffer(wide_buffer_, (uint32_t)bytes.wide);
    // mutant: constant off by one equivalent: The place of the buffers changes time only.
    pipe->InitBuffer(shift_buffer_, (uint32_t)(kBankRound / 2));
    pipe->InitBuffer(in_, 2, (uint32_t)bytes.in);
  }
  __aicore__ inline void InitPartials(TPipe* pipe, const QkvRowBuffers& bytes) {
    pipe->InitBuffer(partial_buffer_, (uint32_t)bytes.partials);
    partial_ = partial_buffer_.Get<float>();
    // Sums of blocks take eight rows at a time, of which the last may be less.
    Duplicate(partial_, 0.0f,
              (int32_t)((tiling_.angles.tokens_per_tile * tiling_.part_rows + 7) * 8));
    Step();
    // mutant: drop term of `tiling_.gap_bytes + kBankRound / 2`, constant off by one equivalent:
    // The place of the buffers changes time only.
    pipe->InitBuffer(gap_buffer_, (uint32_t)(tiling_.gap_bytes + kBankRound / 2));
  }
  __aicore__ inline void InitProducts(TPipe* pipe, const QkvRowBuffers& bytes) {
    pipe->InitBuffer(product_buffer_, (uint32_t)bytes.products);
    product_ = product_buffer_.Get<float>();
  }

  __aicore__ inline int64_t tiles() const { return tiles_; }
  __aicore__ inline Tile TileAt(int64_t index) const {
    const int64_t token = begin_ + index / chunks_ * tiling_.angles.tokens_per_tile;
    const int64_t row = first_row_ + index % chunks_ * tiling_.rows_per_tile;
    return {token, Min(tiling_.angles.tokens_per_tile, end_ - token), row,
            Min(tiling_.rows_per_tile, end_row_ - row)};
  }
  // The first, or the last, of the tiles of its tokens.
  __aicore__ inline bool IsFirst(const Tile& tile) const { return tile.row == first_row_; }
  __aicore__ inline bool IsLast(const Tile& tile) const { return tile.row + tile.rows == end_row_; }

  // Tokens [begin, end) and their rows [first_row, end_row) are this core's.
  __aicore__ inline int64_t begin() const { return begin_; }
  __aicore__ inline int64_t end() const { return end_; }
  __aicore__ inline int64_t first_row() const { return first_row_; }
  __aicore__ inline int64_t end_row() const { return end_row_; }
  __aicore__ inline int64_t token_rows() const { return token_rows_; }
  // Elements of qkv from one row of query to the next.
  __aicore__ inline int64_t query_step() const { return query_step_; }
  // Room for the rows of a tile.
  __aicore__ inline const LocalTensor<float>& products() const { return product_; }

  // Begins to load a tile.
  __aicore__ inline void Load(const Tile& tile) {
    LocalTensor<T> in = in_.template AllocTensor<T>();
    const LocalTensor<Storage> to = in.template ReinterpretCast<Storage>();
    const int64_t token = tile.token * tiling_.token_stride;
    // Rows of query, when they lie apart, and the others.
    const int64_t end = tile.row + tile.rows;
    const int64_t split = tiling_.has_gate != 0 ? Max(tile.row, Min(end, tiling_.heads)) : tile.row;
    if (split > tile.row) {
      copy_.template Move<true>(to, qkv_gm_[token + tile.row * query_step_], tile, split - tile.row,
                                query_step_, tiling_.token_stride);
    }
    if (end > split) {
      // mutant: drop bound equivalent: Without a gate all rows are equally far apart.
      const int64_t gates = split < tiling_.heads ? split : tiling_.heads;
      const int64_t at = gates * query_step_ + (split - gates) * tiling_.head_size;
      copy_.template Move<true>(to[(uint32_t)((split - tile.row) * pitch_)], qkv_gm_[token + at],
                                tile, end - split, tiling_.head_size, tiling_.token_stride);
    }
    in_.EnQue(in);
  }

  // The tile that was loaded first, as floats. Valid until Free.
  __aicore__ inline LocalTensor<float> Take(const Tile& tile) {
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
  __aicore__ inline void Free() {
    if constexpr (kIsFloat) in_.FreeTensor(loaded_);
  }

  // Makes eight sums of squares of each of `rows` rows of x, the first being row `first`; of a
  // short row, the last of them stay 0. Overwrites products().
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

  // sums[i] = the sum of the eight sums of row first + i.
  __aicore__ inline void BlockSums(const LocalTensor<float>& sums, int64_t first, int64_t rows) {
    const int64_t repeats = (rows + 7) / 8;
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t i = 0; i < repeats; i += kMaxRepeat) {
      BlockReduceSum(sums[(uint32_t)(i * 8)], partial_[(uint32_t)(first * 8 + i * kLanes)],
                     (int32_t)Min(kMaxRepeat, repeats - i), (int32_t)kLanes, 1, 1, 8);
    }
    Step();
  }

 private:
  const QkvRmsnormRopeTiling& tiling_;
  HeadCopy<T> copy_;
  int64_t pitch_;  // elements of a row in the UB
  int64_t query_step_;
  int64_t token_rows_;
  int64_t first_row_ = 0;
  int64_t end_row_ = 0;
  int64_t chunks_ = 0;  // tiles of a token
  int64_t begin_ = 0;
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
