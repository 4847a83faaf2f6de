// cc/kernels/moe/gating_selection.h: what experts are chosen by: their scores with the bias, and
// -inf where there is no expert, at the pitch of the sort. Device code.
#pragma once

#include "cc/kernels/moe/gating_common.h"
#include "cc/kernels/moe/gating_input.h"

namespace moe {

template <typename T>
class GatingSelection {
  using Storage = typename StorageOf<T>::Type;

 public:
  __aicore__ inline GatingSelection(GM_ADDR bias, const MoeGatingTopKTiling& tiling,
                                    const GatingArena& arena)
      : tiling_(tiling), arena_(arena), at_(arena.parts) {
    if (tiling.has_bias) bias_gm_.SetGlobalBuffer((__gm__ Storage*)bias, tiling.experts);
  }

  // Begins to load the bias.
  __aicore__ inline void InitBuffers(TPipe* pipe, const MoeGatingTopKBuffers& bytes) {
    if (!tiling_.has_bias) return;
    pipe->InitBuffer(bias_in_, 1, (uint32_t)bytes.bias);
    LocalTensor<T> bias = bias_in_.template AllocTensor<T>();
    LoadGroups(tiling_, bias, bias_gm_, 1);
    bias_in_.EnQue(bias);
  }

  // What is sorted of a tile: [rows, groups, sort_pitch]. scores: [rows, groups, score_pitch].
  __aicore__ inline LocalTensor<float> SelectionOf(const LocalTensor<float>& scores, int64_t rows) {
    LocalTensor<float> selection = scores;
    if (HasSelection(tiling_)) {
      if (!has_bias_) MakeBias();
      has_bias_ = true;
      selection = arena_.Get<float>(at_.selection);
      AddBias(selection, scores, rows);
    }
    if (IsSortedApart(tiling_)) {
      const LocalTensor<float> sorted = arena_.Get<float>(at_.sorted);
      const int64_t blocks = tiling_.score_pitch / kBlockFloats;
      DataCopy(sorted, selection,
               DataCopyParams((uint16_t)(rows * tiling_.groups), (uint16_t)blocks, 0,
                              (uint16_t)(tiling_.sort_pitch / kBlockFloats - blocks)));
      PipeBarrier<PIPE_V>();
      selection = sorted;
    }
    return selection;
  }

 private:
  __aicore__ inline void AddBias(const LocalTensor<float>& selection,
                                 const LocalTensor<float>& scores, int64_t rows) {
    const int64_t width = tiling_.width;
    const LocalTensor<float> bias = arena_.Get<float>(at_.bias);
    const BinaryRepeatParams by_row(1, 1, 1, Step(width), Step(width), 0);
    if (rows == 1) {
      Add(selection, scores, bias, (int32_t)width);
    } else {
      for (int64_t lane = 0; lane < width; lane += kLanes) {
        const uint32_t at = (uint32_t)lane;
        Add(selection[at], scores[at], bias[at], (uint64_t)Min(kLanes, width - lane), (uint8_t)rows,
            by_row);
      }
    }
    PipeBarrier<PIPE_V>();
  }

  // `bias` of the arena: what is added to the scores of a row: the bias or 0, and -inf where there
  // is no expert. `starts`: where the scores of the chosen experts of each row begin, in bytes.
  // With the first tile, as the bias comes later than logits.
  __aicore__ inline void MakeBias() {
    const LocalTensor<float> bias = arena_.Get<float>(at_.bias);
    if (!IsDense(tiling_)) {
      Duplicate(bias, MinusInfinity(), (int32_t)tiling_.width);
      PipeBarrier<PIPE_V>();
    }
    if (!tiling_.has_bias) {
      // mutant: bound off by one equivalent: The extra iteration has no elements.
      for (int64_t lane = 0; lane < tiling_.group_size; lane += kLanes) {
        for (int64_t group = 0; group < tiling_.groups; ++group) {
          Duplicate(bias[(uint32_t)(group * tiling_.score_pitch + lane)], 0.0f,
                    (int32_t)Min(kLanes, tiling_.group_size - lane));
        }
      }
      PipeBarrier<PIPE_V>();
      return;
    }
    // mutant: drop bound, bound off by one equivalent: A tile of one row does not read the table.
    if (tiling_.rows_per_tile > 1) {
      const LocalTensor<int32_t> start = arena_.Get<int32_t>(at_.starts);
      Duplicate(start, 0, (int32_t)tiling_.kept_records);
      PipeBarrier<PIPE_V>();
      Repeat(start, tiling_.kept_records, tiling_.rows_per_tile, tiling_.width * 4);
    }
    LocalTensor<T> loaded = bias_in_.template DeQue<T>();
    WidenGroups(tiling_, bias, loaded, tiling_.groups);
    bias_in_.FreeTensor(loaded);
    PipeBarrier<PIPE_V>();
  }

  const MoeGatingTopKTiling& tiling_;
  const GatingArena& arena_;
  const MoeGatingTopKArena& at_;
  bool has_bias_ = false;  // it is in the arena
  GlobalTensor<Storage> bias_gm_;
  TQue<TPosition::VECIN, 1> bias_in_;
};

}  // namespace moe
