// cc/kernels/rotary/qkv_norm.h: normalises the rows of a tile. Device code.
//
// A root and a division are made for each row, or with given sums for each side of a token; a block
// of eight equal factors serves the row by a block stride of 0, and weights serve all heads by a
// repeat stride of 0.
#pragma once

#include "cc/kernels/rotary/head_rows.h"
#include "cc/kernels/rotary/qkv_weights.h"

namespace rotary {

template <typename T>
class QkvNorm {
 public:
  __aicore__ inline QkvNorm(const QkvTensors& tensors, const QkvRmsnormRopeTiling& tiling,
                            HeadRows<T>& rows, QkvWeights<T>& weights)
      : tiling_(tiling),
        rows_(rows),
        weights_(weights),
        pitch_(tiling.row_pitch),
        tile_rows_(tiling.angles.tokens_per_tile * tiling.rows_per_tile) {
    if (tiling.has_sums == 0) return;
    sums_gm_.SetGlobalBuffer((__gm__ uint32_t*)tensors.sums, tiling.angles.tokens * 2);
  }

  __aicore__ inline void InitBuffers(TPipe* pipe, const QkvRmsnormRopeBuffers& bytes) {
    const uint32_t rows = (uint32_t)sizes::RoundUp(tile_rows_, sizes::kBlockFloats);
    pipe->InitBuffer(row_buffer_, (uint32_t)bytes.factors);
    if (tiling_.has_sums != 0) pipe->InitBuffer(sums_in_, 2, (uint32_t)bytes.sums);
    sum_ = row_buffer_.Get<float>();
    scale_ = sum_[rows];
    factor_ = scale_[rows];
  }

  __aicore__ inline void MakeTables() {
    // Brcb reads whole blocks, of which a tile may fill a part.
    Duplicate(sum_, 0.0f, (int32_t)sizes::RoundUp(tile_rows_, sizes::kBlockFloats));
    // mutant: argument off by one of `tiling_.has_sums != 0 ? 2 * tiling_.angles.tokens_per_tile :
    // tile_rows_` equivalent: Nothing reads these elements; they only need a value.
    OnSides(scale_, tiling_.has_sums != 0 ? 2 * tiling_.angles.tokens_per_tile : tile_rows_,
            tiling_.scale_bits, true);
    Step();
  }

  // Begins to load the given sums of the tokens of a tile, ...
  __aicore__ inline void LoadSums(const Tile& tile) {
    LocalTensor<uint32_t> sums = sums_in_.template AllocTensor<uint32_t>();
    DataCopyPad(sums, sums_gm_[tile.token * 2], device::OneRow(tile.tokens * 8),
                device::NoPad<uint32_t>());
    sums_in_.EnQue(sums);
  }

  // ... and makes factors of them.
  __aicore__ inline void TakeSums(const Tile& tile) {
    LocalTensor<float> sums = sums_in_.template DeQue<float>();
    Muls(sum_, sums, 1.0f, (int32_t)(2 * tile.tokens));
    Step();
    sums_in_.FreeTensor(sums);
    MakeFactors(2 * tile.tokens);
  }

  // x: the rows of a tile.
  __aicore__ inline void Normalise(const Tile& tile, const LocalTensor<float>& x) {
    const int64_t rows = tile.tokens * tile.rows;
    const uint8_t stride = (uint8_t)(pitch_ / 8);
    if (tiling_.has_sums == 0) {
      rows_.SquareSums(0, x, rows);
      rows_.BlockSums(sum_, 0, rows);
      MakeFactors(rows);
      OnRows<Do::kMul>(x, x, factor_, rows, pitch_, BinaryRepeatParams(1, 1, 0, stride, stride, 1));
      Step();
    } else {
      for (int64_t token = 0; token < tile.tokens; ++token) {
        for (int64_t side = 0; side < 2; ++side) MultiplyByFactor(tile, x, token, side);
      }
      Step();
    }
    for (int64_t token = 0; token < tile.tokens; ++token) {
      for (int64_t side = 0; side < 2; ++side) MultiplyByWeight(tile, x, token, side);
    }
    Step();
  }

 private:
  // dst = the float of `bits`, or dst += it. With given sums the elements, 64 at most, are of query
  // and of key in turns; without, all take what is query's.
  __aicore__ inline void OnSides(const LocalTensor<float>& dst, int64_t count, const int64_t* bits,
                                 bool set) {
    if (tiling_.has_sums == 0) {
      const float value = FloatOf(bits[0]);
      if (set) {
        // mutant: argument off by one of `(int32_t)count` equivalent: Nothing reads these
        // elements; they only need a value.
        Duplicate(dst, value, (int32_t)count);
      } else {
        Adds(dst, dst, value, (int32_t)count);
      }
      return;
    }
    for (int64_t side = 0; side < 2; ++side) {
      const uint64_t turns = side == 0 ? 0x5555555555555555ull : 0xAAAAAAAAAAAAAAAAull;
      const uint64_t mask[2] = {turns >> (kLanes - count), 0};
      const float value = FloatOf(bits[side]);
      if (set) {
        // mutant: constant off by one equivalent: One repeat: strides are not used.
        Duplicate(dst, value, mask, 1, 1, 8);
      } else {
        // mutant: constant off by one of `8` equivalent: One repeat: strides are not used.
        Adds(dst, dst, value, mask, 1, UnaryRepeatParams(1, 1, 8, 8));
      }
    }
  }

  // factor_[8 i ..] = eight times the factor that the sum of squares i makes.
  __aicore__ inline void MakeFactors(int64_t count) {
    OnSides(sum_, count, tiling_.epsilon_bits, false);
    Step();
    Sqrt(sum_, sum_, (int32_t)count);
    Step();
    Div(sum_, scale_, sum_, (int32_t)count);
    Step();
    const int64_t repeats = (count + 7) / 8;
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t i = 0; i < repeats; i += kMaxRepeat) {
      // mutant: drop term, constant off by one of `8`, drop bound, swap + and - equivalent: The UB
      // holds fewer than 255 * 8 rows: the loop runs once.
      Brcb(factor_[(uint32_t)(i * kLanes)], sum_[(uint32_t)(i * 8)],
           (uint8_t)Min(kMaxRepeat, repeats - i), BrcbRepeatParams(1, 8));
    }
    Step();
  }

  // The rows of a side of a token, times the factor that its given sum makes.
  __aicore__ inline void MultiplyByFactor(const Tile& tile, const LocalTensor<float>& x,
                                          int64_t token, int64_t side) {
    const SideRows of = SideRowsOf(tiling_, tile, side);
    // mutant: drop guard, bound off by one equivalent: With no rows nothing happens either way.
    if (of.rows <= 0) return;
    const LocalTensor<float> part = x[(uint32_t)((token * tile.rows + of.of_tile) * pitch_)];
    // One factor for all of them: rows of whole repeats are one after the other.
    // mutant: drop term equivalent: Both branches give the same result; one takes fewer
    // instructions.
    const bool is_whole = pitch_ % kLanes == 0;
    const uint8_t next = is_whole ? 8 : (uint8_t)(pitch_ / 8);
    OnRows<Do::kMul>(part, part, factor_[(uint32_t)((2 * token + side) * 8)],
                     is_whole ? of.rows * pitch_ / kLanes : of.rows, is_whole ? kLanes : pitch_,
                     BinaryRepeatParams(1, 1, 0, next, next, 0));
  }

  // The rows of a side of a token, times their weights, plus their biases.
  __aicore__ inline void MultiplyByWeight(const Tile& tile, const LocalTensor<float>& x,
                                          int64_t token, int64_t side) {
    const SideRows of = SideRowsOf(tiling_, tile, side);
    // mutant: drop guard, bound off by one equivalent: With no rows nothing happens either way.
    if (of.rows <= 0) return;
    const uint8_t stride = (uint8_t)(pitch_ / 8);
    const uint8_t step = tiling_.has_sums != 0 ? stride : 0;
    const LocalTensor<float> part = x[(uint32_t)((token * tile.rows + of.of_tile) * pitch_)];
    const LocalTensor<float> weight = weights_.Weights(side, of.of_side);
    if (tiling_.has_bias != 0) {
      OnRows<Do::kMulAdd>(part, weight, weights_.Biases(side, of.of_side), of.rows, pitch_,
                          BinaryRepeatParams(1, 1, 1, stride, step, step));
    } else {
      OnRows<Do::kMul>(part, part, weight, of.rows, pitch_,
                       BinaryRepeatParams(1, 1, 1, stride, stride, step));
    }
  }

  const QkvRmsnormRopeTiling& tiling_;
  HeadRows<T>& rows_;
  QkvWeights<T>& weights_;
  int64_t pitch_;      // elements of a row in the UB
  int64_t tile_rows_;  // of a whole tile
  GlobalTensor<uint32_t> sums_gm_;
  TQue<TPosition::VECIN, 2> sums_in_;
  TBuf<TPosition::VECCALC> row_buffer_;
  LocalTensor<float> sum_;
  LocalTensor<float> scale_;
  LocalTensor<float> factor_;
};

}  // namespace rotary
