// cc/kernels/moe/routing_loader.h: loads the experts of a chunk of assignments, and their entries
// of row_idx where there is one. Device code.
#pragma once

#include "cc/kernels/moe/routing_common.h"

namespace moe {

class RoutingLoader {
 public:
  __aicore__ inline RoutingLoader(const RoutingTensors& tensors, const MoeInitRoutingTiling& tiling)
      : tiling_(tiling) {
    expert_gm_.SetGlobalBuffer((__gm__ int32_t*)tensors.expert_idx,
                               tiling.pairs * (tiling.index_bytes / 4));
    if (tiling.by_row_idx) row_gm_.SetGlobalBuffer((__gm__ int32_t*)tensors.row_idx, tiling.pairs);
  }

  __aicore__ inline void InitBuffers(TPipe* pipe, const MoeInitRoutingBuffers& bytes) {
    pipe->InitBuffer(expert_buffer_, (uint32_t)bytes.experts);
    if (tiling_.by_row_idx) pipe->InitBuffer(row_buffer_, (uint32_t)bytes.row_idx);
  }

  // Begins to load assignments [first, first + count).
  __aicore__ inline void Load(int64_t first, int64_t count) {
    if (count <= 0) return;
    // mutant: constant off by one equivalent: The integer quotient is the same for all values that
    // occur.
    const int64_t words = tiling_.index_bytes / 4;
    const uint8_t padding = (uint8_t)(RoundUp(count * words, kBlockFloats) - count * words);
    // mutant: constant off by one equivalent: The value after the last pair is not used.
    DataCopyPad(expert_buffer_.Get<int32_t>(), expert_gm_[first * words],
                OneRow(count * tiling_.index_bytes),
                DataCopyPadExtParams<int32_t>(true, 0, padding, 0));
    if (tiling_.by_row_idx) {
      // mutant: constant off by one of `0` equivalent: The value after the last pair is not used.
      DataCopyPad(row_buffer_.Get<int32_t>(), row_gm_[first], OneRow(count * 4),
                  DataCopyPadExtParams<int32_t>(true, 0, padding, 0));
    }
    // Flags of their own: nobody waits for what is loaded after the experts.
    for_vectors_ = GetTPipePtr()->AllocEventID<HardEvent::MTE2_V>();
    for_scalars_ = GetTPipePtr()->FetchEventID(HardEvent::MTE2_S);
    SetFlag<HardEvent::MTE2_V>(for_vectors_);
    SetFlag<HardEvent::MTE2_S>(for_scalars_);
  }

  // The same for a later chunk.
  __aicore__ inline void LoadNext(int64_t first, int64_t count) {
    // The scalar and the vector unit have read what is overwritten.
    Order<HardEvent::S_MTE2>();
    Order<HardEvent::V_MTE2>();
    Load(first, count);
  }

  // experts = the `count` experts that are loaded, as floats. `scratch` may be overwritten.
  __aicore__ inline void Take(const LocalTensor<float>& experts,
                              const LocalTensor<int32_t>& scratch, int64_t count) {
    const LocalTensor<int32_t> index = expert_buffer_.Get<int32_t>();
    WaitFlag<HardEvent::MTE2_V>(for_vectors_);
    GetTPipePtr()->ReleaseEventID<HardEvent::MTE2_V>(for_vectors_);
    WaitFlag<HardEvent::MTE2_S>(for_scalars_);
    if (tiling_.index_bytes == 8) {
      Cast(scratch, index.ReinterpretCast<int64_t>(), RoundMode::CAST_NONE, (uint32_t)count);
      PipeBarrier<PIPE_V>();
      Cast(experts, scratch, RoundMode::CAST_NONE, (uint32_t)count);
    } else {
      Cast(experts, index, RoundMode::CAST_NONE, (uint32_t)count);
    }
    PipeBarrier<PIPE_V>();
  }

  // The experts as loaded; with row_idx they are int32.
  __aicore__ inline LocalTensor<int32_t> Experts() { return expert_buffer_.Get<int32_t>(); }

  // Assignment `at` of the chunk: its expert, ...
  __aicore__ inline int64_t Expert(uint32_t at) {
    return tiling_.index_bytes == 8 ? expert_buffer_.Get<int64_t>().GetValue(at)
                                    : (int64_t)expert_buffer_.Get<int32_t>().GetValue(at);
  }
  // ... and its entry of row_idx, -1 when that is out of range.
  __aicore__ inline int64_t Row(uint32_t at) {
    const int64_t row = row_buffer_.Get<int32_t>().GetValue(at);
    // mutant: drop condition equivalent: Callers treat every negative index alike.
    return row < tiling_.pairs && row >= 0 ? row : -1;
  }

 private:
  const MoeInitRoutingTiling& tiling_;
  TEventID for_vectors_ = 0, for_scalars_ = 0;
  GlobalTensor<int32_t> expert_gm_, row_gm_;
  TBuf<> expert_buffer_, row_buffer_;
};

}  // namespace moe
