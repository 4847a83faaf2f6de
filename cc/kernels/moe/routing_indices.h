// cc/kernels/moe/routing_indices.h: the permuted index of each assignment of a chunk, and what is
// given of them: expanded_row_idx and expanded_expert_idx. Device code.
#pragma once

#include "cc/kernels/moe/routing_common.h"
#include "cc/kernels/moe/routing_counts.h"
#include "cc/kernels/moe/routing_loader.h"
#include "cc/kernels/moe/routing_sorter.h"

namespace moe {

class PermutedIndices {
 public:
  __aicore__ inline PermutedIndices(const RoutingTensors& tensors,
                                    const MoeInitRoutingTiling& tiling, const RoutingArena& arena,
                                    RoutingLoader& loader)
      : tiling_(tiling), arena_(arena), at_(arena.parts), loader_(loader) {
    row_idx_gm_.SetGlobalBuffer((__gm__ int32_t*)tensors.expanded_row_idx, tiling.pairs);
    if (tiling.by_row_idx) {
      expert_idx_gm_.SetGlobalBuffer((__gm__ int32_t*)tensors.expanded_expert_idx, tiling.pairs);
    }
  }

  __aicore__ inline void InitBuffers(TPipe* pipe, const MoeInitRoutingBuffers& bytes) {
    if (bytes.words > 0) pipe->InitBuffer(words_out_, 2, (uint32_t)bytes.words);
  }

  // Assignments that have a permuted index, from the counts of the last tile; only needed where the
  // inverse is given.
  __aicore__ inline void CountKept(const ExpertTile& tile) {
    if (!tiling_.gives_order || tiling_.experts - tile.first >= tile.experts) return;
    Order<HardEvent::V_S>();
    kept_ = tile.below.GetValue((uint32_t)(tiling_.experts - tile.first));
    Order<HardEvent::S_V>();
  }

  // `indices` of the arena: the permuted index of each assignment of the sorted chunk, which begins
  // at assignment `chunk`. A second sort brings them into the order of assignments.
  __aicore__ inline void Make(RoutingSorter& sorter, RoutingCounts& counts, int64_t chunk) {
    chunk_ = chunk;
    const LocalTensor<int32_t> iota = arena_.Get<int32_t>(at_.iota);
    const LocalTensor<float> expert = arena_.Get<float>(at_.experts);
    const LocalTensor<float> index = arena_.Get<float>(at_.values);
    const LocalTensor<int32_t> number = arena_.Get<int32_t>(at_.numbers);
    const LocalTensor<int32_t> work = arena_.Get<int32_t>(at_.work);
    const LocalTensor<uint8_t> bits = arena_.Get<uint8_t>(at_.bits);
    const int32_t n = (int32_t)sorter.padded();
    const uint32_t compared = (uint32_t)RoundUp(n, kLanes);
    // Otherwise the permuted index is the place in the sorted chunk, which is all.
    const bool has_offsets = tiling_.is_shared || tiling_.capacity > 0;
    Fields(expert, sorter.records(), 0, n);
    Fields(number, sorter.records(), 1, n);
    if (has_offsets) counts.MakeOffsets();
    PipeBarrier<PIPE_V>();
    // mutant: argument off by one of `n` equivalent: Nothing reads the extra elements.
    Muls(expert, expert, -1.0f, n);
    PipeBarrier<PIPE_V>();
    if (has_offsets) {
      // mutant: argument off by one of `(uint32_t)n` equivalent: Nothing reads the extra elements.
      Cast(work, expert, RoundMode::CAST_RINT, (uint32_t)n);
      PipeBarrier<PIPE_V>();
      // mutant: argument off by one of `n` equivalent: Nothing reads the extra elements.
      Muls(work, work, 4, n);
      PipeBarrier<PIPE_V>();
      const LocalTensor<int32_t> offset = arena_.Get<int32_t>(at_.values);
      Pick(offset, arena_.Get<int32_t>(at_.below), work.ReinterpretCast<uint32_t>(), 0,
           (uint32_t)n);
      PipeBarrier<PIPE_V>();
      Add(work, offset, iota, n);
      PipeBarrier<PIPE_V>();
      Cast(index, work, RoundMode::CAST_NONE, (uint32_t)n);
    } else {
      Cast(index, iota, RoundMode::CAST_NONE, (uint32_t)n);
    }
    PipeBarrier<PIPE_V>();
    if (tiling_.capacity > 0) {
      const LocalTensor<float> start = arena_.Get<float>(at_.work);
      CompareScalar(bits, index, (float)tiling_.capacity, CMPMODE::LT, compared);
      // mutant: argument off by one of `n` equivalent: Nothing reads the extra elements.
      Muls(start, expert, (float)tiling_.capacity, n);
      PipeBarrier<PIPE_V>();
      Add(index, index, start, n);
      PipeBarrier<PIPE_V>();
      Select(index, bits, index, -1.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
      PipeBarrier<PIPE_V>();
    }
    CompareScalar(bits, expert, (float)tiling_.experts, CMPMODE::LT, compared);
    PipeBarrier<PIPE_V>();
    Select(index, bits, index, -1.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
    PipeBarrier<PIPE_V>();
    Cast(work, index, RoundMode::CAST_RINT, (uint32_t)n);
    Cast(expert, number, RoundMode::CAST_NONE, (uint32_t)n);
    PipeBarrier<PIPE_V>();
    // mutant: argument off by one of `-1.0f` equivalent: Only the order of the keys counts.
    // mutant: argument off by one of `n` equivalent: Nothing reads the extra elements.
    Muls(expert, expert, -1.0f, n);
    PipeBarrier<PIPE_V>();
    sorter.MergeSort(expert, work, n);
    // The indices of the former chunk are stored and read.
    Order<HardEvent::MTE3_V>();
    Order<HardEvent::S_V>();
    Fields(arena_.Get<int32_t>(at_.indices), sorter.records(), 1, n);
    PipeBarrier<PIPE_V>();
    for_scalars_ = GetTPipePtr()->AllocEventID<HardEvent::V_S>();
    SetFlag<HardEvent::V_S>(for_scalars_);
    are_known_ = false;
  }

  // Gives the chunk of `count` assignments; `share`: those of this core.
  __aicore__ inline void Give(int64_t count, const Share& share) {
    const LocalTensor<int32_t> indices = arena_.Get<int32_t>(at_.indices);
    if (tiling_.by_row_idx) {
      Scatter(row_idx_gm_, indices, share, [&](int64_t assignment) { return RowOf(assignment); });
      Scatter(expert_idx_gm_, loader_.Experts(), share,
              [&](int64_t assignment) { return IndexOf(assignment); });
    } else if (tiling_.gives_order) {
      const LocalTensor<int32_t> assignments = arena_.Get<int32_t>(at_.work);
      Adds(assignments, arena_.Get<int32_t>(at_.iota), (int32_t)chunk_,
           (int32_t)RoundUp(count, kList));
      PipeBarrier<PIPE_V>();
      Scatter(row_idx_gm_, assignments, share,
              [&](int64_t assignment) { return IndexOf(assignment); });
      ClearInverse(share);
    } else if (tiling_.is_shared || GetBlockIdx() == 0) {
      Order<HardEvent::V_MTE3>();
      DataCopyPad(row_idx_gm_[chunk_], indices, OneRow(count * 4));
    }
  }

  // The row of expanded_x of an assignment; -1: none.
  __aicore__ inline int64_t OutRowOf(int64_t assignment) {
    const int64_t index = IndexOf(assignment);
    return index < tiling_.out_rows ? index : -1;
  }

  // Any of assignments [first, end) has a row of expanded_x.
  __aicore__ inline bool HasOutRow(int64_t first, int64_t end) {
    for (; first < end; ++first) {
      if (OutRowOf(first) >= 0) return true;
    }
    return false;
  }

  // The row of x of an assignment; -1: none.
  __aicore__ inline int64_t TokenOf(int64_t assignment) {
    if (!tiling_.by_row_idx) return assignment / tiling_.k;
    const int64_t row = RowOf(assignment);
    return row < 0 ? -1 : row % tiling_.tokens;
  }

  __aicore__ inline int64_t ExpertOf(int64_t assignment) {
    return loader_.Expert((uint32_t)(assignment - chunk_));
  }

 private:
  // The permuted index; -1: none.
  __aicore__ inline int64_t IndexOf(int64_t assignment) {
    AwaitIndices();
    return arena_.Get<int32_t>(at_.indices).GetValue((uint32_t)(assignment - chunk_));
  }

  // The scalar unit reads indices only behind this.
  __aicore__ inline void AwaitIndices() {
    if (are_known_) return;
    WaitFlag<HardEvent::V_S>(for_scalars_);
    GetTPipePtr()->ReleaseEventID<HardEvent::V_S>(for_scalars_);
    are_known_ = true;
  }

  __aicore__ inline int64_t RowOf(int64_t assignment) {
    return loader_.Row((uint32_t)(assignment - chunk_));
  }

  // to[where(assignment)] = its word of `values`, for the assignments of the share that have a
  // place there.
  template <typename Where>
  __aicore__ inline void Scatter(const GlobalTensor<int32_t>& to,
                                 const LocalTensor<int32_t>& values, const Share& share,
                                 Where where) {
    const int64_t begin = (share.begin - chunk_) / kBlockFloats * kBlockFloats;
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t first = begin; first < share.end - chunk_; first += kWords) {
      const int64_t last = Min(first + kWords, share.end - chunk_);
      LocalTensor<int32_t> words = words_out_.AllocTensor<int32_t>();
      Brcb(words, values[(uint32_t)first], (uint8_t)Ceil(last - first, kBlockFloats),
           BrcbRepeatParams(1, 8));
      words_out_.EnQue(words);
      words = words_out_.DeQue<int32_t>();
      for (int64_t i = first; i < last; ++i) {
        if (chunk_ + i < share.begin) continue;
        const int64_t at = where(chunk_ + i);
        if (at < 0) continue;
        DataCopyPad(to[at], words[(uint32_t)((i - first) * kBlockFloats)], OneRow(4));
      }
      words_out_.FreeTensor(words);
    }
  }

  // Rows behind the last one have no assignment.
  __aicore__ inline void ClearInverse(const Share& share) {
    // mutant: drop term equivalent: Same result by more instructions.
    constexpr int64_t kAtOnce = kWords * kBlockFloats;
    for (int64_t at = Max(share.begin, kept_); at < share.end; at += kAtOnce) {
      LocalTensor<int32_t> none = words_out_.AllocTensor<int32_t>();
      Duplicate(none, -1, (int32_t)kAtOnce);
      words_out_.EnQue(none);
      none = words_out_.DeQue<int32_t>();
      DataCopyPad(row_idx_gm_[at], none, OneRow(Min(kAtOnce, share.end - at) * 4));
      words_out_.FreeTensor(none);
    }
  }

  const MoeInitRoutingTiling& tiling_;
  const RoutingArena& arena_;
  const MoeInitRoutingArena& at_;
  RoutingLoader& loader_;
  int64_t chunk_ = 0;  // its first assignment
  int64_t kept_ = 0;
  TEventID for_scalars_ = 0;
  bool are_known_ = true;
  GlobalTensor<int32_t> row_idx_gm_, expert_idx_gm_;
  TQue<TPosition::VECOUT, 2> words_out_;
};

}  // namespace moe
