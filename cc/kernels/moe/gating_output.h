// cc/kernels/moe/gating_output.h: gives the chosen experts, their weights, and what else is asked
// for. Device code.
#pragma once

#include "cc/kernels/moe/gating_common.h"
#include "cc/kernels/moe/gating_input.h"
#include "cc/kernels/moe/gating_rows.h"
#include "cc/kernels/moe/gating_sorter.h"

namespace moe {

template <typename T>
class GatingOutput {
  using Storage = typename StorageOf<T>::Type;

 public:
  __aicore__ inline GatingOutput(GM_ADDR y, GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR norm_out,
                                 const MoeGatingTopKTiling& tiling, const GatingArena& arena,
                                 GatingInput<T>& input, RowReducer& reducer)
      : tiling_(tiling), arena_(arena), at_(arena.parts), input_(input), reducer_(reducer) {
    y_gm_.SetGlobalBuffer((__gm__ Storage*)y, tiling.rows * tiling.k);
    expert_gm_.SetGlobalBuffer((__gm__ int32_t*)expert_idx, tiling.rows * tiling.k);
    if (tiling.has_row_idx) {
      row_gm_.SetGlobalBuffer((__gm__ int32_t*)row_idx, tiling.rows * tiling.k);
    }
    if (tiling.has_norm_out) {
      norm_gm_.SetGlobalBuffer((__gm__ float*)norm_out, tiling.rows * tiling.experts);
    }
  }

  __aicore__ inline void InitBuffers(TPipe* pipe, const MoeGatingTopKBuffers& bytes) {
    pipe->InitBuffer(weights_out_, 2, (uint32_t)bytes.weights);
    pipe->InitBuffer(experts_out_, 2, (uint32_t)bytes.experts);
    if (tiling_.has_row_idx) pipe->InitBuffer(rows_out_, 2, (uint32_t)bytes.rows);
    if (tiling_.has_norm_out) pipe->InitBuffer(scores_out_, 2, (uint32_t)bytes.scores);
  }

  // By place in a row, its expert; by chosen expert, the number of (row, place).
  __aicore__ inline void MakeTables() {
    if (!IsDense(tiling_)) {
      const LocalTensor<int32_t> expert = arena_.Get<int32_t>(at_.experts);
      CreateVecIndex(expert, 0, (uint32_t)tiling_.score_pitch);
      PipeBarrier<PIPE_V>();
      Repeat(expert, tiling_.score_pitch, tiling_.groups, tiling_.group_size);
    }
    if (tiling_.has_row_idx) {
      const int64_t keep = tiling_.kept_records;
      const LocalTensor<int32_t> number = arena_.Get<int32_t>(at_.rows);
      CreateVecIndex(number, 0, (uint32_t)keep);
      PipeBarrier<PIPE_V>();
      Muls(number, number, (int32_t)tiling_.rows, (int32_t)keep);
      PipeBarrier<PIPE_V>();
      Repeat(number, keep, tiling_.rows_per_tile, 1);
    }
  }

  // Where the scores of a tile are made; until GiveScores.
  __aicore__ inline LocalTensor<float> NewScores() {
    if (tiling_.has_norm_out) return scores_out_.template AllocTensor<float>();
    return arena_.Get<float>(at_.scores);
  }

  // Gives the first k records of the list of each row. The weights are the scores without the bias,
  // divided by their sum + eps when asked for, times a factor; with one rounding, to nearest even.
  __aicore__ inline void Give(const Lists& lists, const LocalTensor<float>& scores, int64_t row,
                              int64_t rows) {
    const int64_t keep = tiling_.kept_records;
    const LocalTensor<int32_t> chosen = arena_.Get<int32_t>(at_.chosen);
    const LocalTensor<float> weights = arena_.Get<float>(at_.weights);
    const int32_t count = (int32_t)(rows * keep);
    // mutant: constant off by one of `0` equivalent: A pattern by number has no stride.
    const GatherMaskParams heads(1, (uint16_t)rows, (uint16_t)(lists.pitch / kRecordBlocks), 0);
    uint64_t taken = 0;
    GatherMask(chosen, lists.records.template ReinterpretCast<int32_t>(), 2, true,
               (uint32_t)(2 * keep), heads, taken);
    if (!tiling_.has_bias) {
      // mutant: argument off by one of `(uint32_t)(2 * keep)` equivalent: The pattern does not
      // take the last word.
      GatherMask(weights, lists.records, 1, true, (uint32_t)(2 * keep), heads, taken);
    }
    PipeBarrier<PIPE_V>();
    GiveExperts(row, rows);
    if (tiling_.has_bias) {
      if (rows > 1) {
        PipeBarrier<PIPE_V>();
        Add(chosen, chosen, arena_.Get<int32_t>(at_.starts), count);
        PipeBarrier<PIPE_V>();
      }
      Pick(weights, scores, chosen.ReinterpretCast<uint32_t>(), 0, (uint32_t)count);
    }
    PipeBarrier<PIPE_V>();
    if (DividesLate(tiling_)) DivideByRow(weights, reducer_.Last(), tiling_.k, keep, rows);
    if (tiling_.renormalise) {
      const LocalTensor<float> sum =
          reducer_.Reduce<Reduction::kSum>(weights, tiling_.k, keep, rows);
      Adds(sum, sum, FloatOf(tiling_.eps_bits), (int32_t)(rows * kBlockFloats));
      PipeBarrier<PIPE_V>();
      // mutant: argument off by one of `keep` equivalent: The stride is in blocks; one float more
      // rounds away.
      DivideByRow(weights, sum, tiling_.k, keep, rows);
    }
    GiveWeights(weights, row, rows);
  }

  __aicore__ inline void GiveScores(LocalTensor<float> scores, int64_t row, int64_t rows) {
    if (!tiling_.has_norm_out) return;
    scores_out_.EnQue(scores);
    scores = scores_out_.template DeQue<float>();
    const GlobalTensor<float> to = norm_gm_[row * tiling_.experts];
    if (IsDense(tiling_)) {
      DataCopyPad(to, scores, OneRow(rows * tiling_.width * 4));
    } else {
      const int64_t gap =
          (tiling_.score_pitch - RoundUp(tiling_.group_size, kBlockFloats)) / kBlockFloats;
      DataCopyPad(to, scores,
                  DataCopyExtParams((uint16_t)(rows * tiling_.groups),
                                    (uint32_t)(tiling_.group_size * 4), (uint32_t)gap, 0, 0));
    }
    scores_out_.FreeTensor(scores);
  }

 private:
  // The first k elements of each row.
  __aicore__ inline DataCopyExtParams Chosen(int64_t rows, uint32_t bytes) const {
    return DataCopyExtParams((uint16_t)rows, (uint32_t)tiling_.k * bytes, 0, 0, 0);
  }

  // Experts by `chosen`, and the numbers of (row, place).
  __aicore__ inline void GiveExperts(int64_t row, int64_t rows) {
    const LocalTensor<int32_t> chosen = arena_.Get<int32_t>(at_.chosen);
    const int32_t count = (int32_t)(rows * tiling_.kept_records);
    LocalTensor<int32_t> experts = experts_out_.template AllocTensor<int32_t>();
    if (IsDense(tiling_)) {
      ShiftRight(experts, chosen, 2, count);
    } else {
      Pick(experts, arena_.Get<int32_t>(at_.experts), chosen.ReinterpretCast<uint32_t>(), 0,
           (uint32_t)count);
    }
    if (tiling_.has_finished) input_.MarkFinished(experts, rows);
    experts_out_.EnQue(experts);
    experts = experts_out_.template DeQue<int32_t>();
    DataCopyPad(expert_gm_[row * tiling_.k], experts, Chosen(rows, 4));
    experts_out_.FreeTensor(experts);
    if (!tiling_.has_row_idx) return;
    LocalTensor<int32_t> numbers = rows_out_.template AllocTensor<int32_t>();
    Adds(numbers, arena_.Get<int32_t>(at_.rows), (int32_t)row, count);
    rows_out_.EnQue(numbers);
    numbers = rows_out_.template DeQue<int32_t>();
    DataCopyPad(row_gm_[row * tiling_.k], numbers, Chosen(rows, 4));
    rows_out_.FreeTensor(numbers);
  }

  __aicore__ inline void GiveWeights(const LocalTensor<float>& weights, int64_t row, int64_t rows) {
    const int64_t keep = tiling_.kept_records;
    const int32_t count = (int32_t)(rows * keep);
    LocalTensor<T> out = weights_out_.template AllocTensor<T>();
    const float scale = FloatOf(tiling_.scale_bits);
    if constexpr (sizeof(T) == 4) {
      Muls(out, weights, scale, count);
    } else {
      Muls(weights, weights, scale, count);
      PipeBarrier<PIPE_V>();
      const int64_t pitch = RoundUp(tiling_.k, 2 * kBlockFloats);
      const UnaryRepeatParams steps(1, 1, (uint8_t)(pitch / (2 * kBlockFloats)), Step(keep));
      for (int64_t lane = 0; lane < tiling_.k; lane += kLanes) {
        Cast(out[(uint32_t)lane], weights[(uint32_t)lane], RoundMode::CAST_RINT,
             (uint64_t)Min(kLanes, tiling_.k - lane), (uint8_t)rows, steps);
      }
    }
    weights_out_.EnQue(out);
    out = weights_out_.template DeQue<T>();
    DataCopyPad(y_gm_[row * tiling_.k], out.template ReinterpretCast<Storage>(),
                Chosen(rows, sizeof(T)));
    weights_out_.FreeTensor(out);
  }

  const MoeGatingTopKTiling& tiling_;
  const GatingArena& arena_;
  const MoeGatingTopKArena& at_;
  GatingInput<T>& input_;
  RowReducer& reducer_;
  GlobalTensor<Storage> y_gm_;
  GlobalTensor<int32_t> expert_gm_, row_gm_;
  GlobalTensor<float> norm_gm_;
  TQue<TPosition::VECOUT, 2> scores_out_, weights_out_, experts_out_, rows_out_;
};

}  // namespace moe
