// cc/kernels/moe/routing_expert_tokens.h: writes expert_tokens: by expert, its assignments or those
// up to it; or (expert, count) pairs of the experts that have some. Device code.
#pragma once

#include "cc/kernels/moe/routing_common.h"
#include "cc/kernels/moe/routing_counts.h"

namespace moe {

class ExpertTokens {
 public:
  __aicore__ inline ExpertTokens(const RoutingTensors& tensors, const MoeInitRoutingTiling& tiling,
                                 const RoutingArena& arena)
      : tiling_(tiling), arena_(arena), at_(arena.parts) {
    if (tiling.tokens_type < 0) return;
    tokens_gm_.SetGlobalBuffer((__gm__ int64_t*)tensors.expert_tokens,
                               tiling.experts * (tiling.tokens_type == 2 ? 2 : 1));
  }

  __aicore__ inline void InitBuffers(TPipe* pipe, const MoeInitRoutingBuffers& bytes) {
    if (tiling_.tokens_type >= 0) pipe->InitBuffer(out_, 1, (uint32_t)bytes.expert_tokens);
  }

  // Writes the experts of a tile; tiles come in order. `scratch`: two words for each of them.
  __aicore__ inline void Give(const ExpertTile& tile, const LocalTensor<int32_t>& scratch) {
    has_given_ = true;
    LocalTensor<int64_t> out = out_.AllocTensor<int64_t>();
    const LocalTensor<int32_t> work = arena_.Get<int32_t>(at_.work);
    int64_t words = tile.valid;
    int64_t at = tile.first;
    if (tiling_.tokens_type == 1) {
      Cast(out, tile.counts, RoundMode::CAST_NONE, (uint32_t)tile.valid);
    } else if (tiling_.tokens_type == 0) {
      Add(work, tile.below, tile.counts, (int32_t)tile.valid);
      PipeBarrier<PIPE_V>();
      // mutant: argument off by one of `(uint32_t)tile.valid` equivalent: Nothing reads the extra
      // elements.
      Cast(out, work, RoundMode::CAST_NONE, (uint32_t)tile.valid);
    } else {
      // If these are all experts, the zeros behind their pairs are stored with them.
      const bool is_all = tile.valid == tiling_.experts;
      words = 2 * MakePairs(tile, scratch, out.ReinterpretCast<int32_t>(), is_all);
      at = filled_ * 2;
      // mutant: drop bound, bound off by one equivalent: With no elements nothing happens either
      // way.
      if (words > 0) Cast(out, work, RoundMode::CAST_NONE, (uint32_t)words);
      if (is_all) words = tile.valid * 2;
      filled_ += words / 2;
    }
    PipeBarrier<PIPE_V>();
    out_.EnQue(out);
    out = out_.DeQue<int64_t>();
    if (words > 0) DataCopyPad(tokens_gm_[at], out, OneRow(words * 8));
    out_.FreeTensor(out);
  }

  // Behind the last tile: zeros behind the last pair.
  __aicore__ inline void Finish() {
    if (!has_given_ || tiling_.tokens_type != 2) return;
    while (filled_ < tiling_.experts) {
      const int64_t now = Min(tiling_.experts - filled_, tiling_.tile_experts);
      LocalTensor<int32_t> out = out_.AllocTensor<int32_t>();
      Duplicate(out, 0, (int32_t)(now * 4));
      out_.EnQue(out);
      out = out_.DeQue<int32_t>();
      DataCopyPad(tokens_gm_[filled_ * 2], out.ReinterpretCast<int64_t>(), OneRow(now * 16));
      out_.FreeTensor(out);
      filled_ += now;
    }
  }

 private:
  // `work` of the arena: expert and count in turn, of the experts that have assignments; gives
  // their number. If `clears`, `out` becomes zeros, as many as all pairs of the tile could be.
  __aicore__ inline int64_t MakePairs(const ExpertTile& tile, const LocalTensor<int32_t>& scratch,
                                      const LocalTensor<int32_t>& out, bool clears) {
    const int64_t valid = tile.valid;
    const LocalTensor<int32_t> iota = arena_.Get<int32_t>(at_.iota);
    const LocalTensor<float> value = arena_.Get<float>(at_.values);
    const LocalTensor<uint8_t> bits = arena_.Get<uint8_t>(at_.bits);
    const LocalTensor<int32_t> numbers = arena_.Get<int32_t>(at_.experts);
    const LocalTensor<int32_t> work = arena_.Get<int32_t>(at_.work);
    // Both lists in one buffer, the second behind the first. Word q comes from element q / 2 of
    // the first or second one.
    const uint32_t second = (uint32_t)tiling_.tile_experts;
    const LocalTensor<int32_t> offsets = arena_.Get<int32_t>(at_.numbers);
    Cast(value, tile.counts, RoundMode::CAST_NONE, (uint32_t)valid);
    // mutant: argument off by one of `(int32_t)valid` equivalent: Nothing reads the extra
    // elements.
    Adds(numbers, iota, (int32_t)(tiling_.first_expert + tile.first), (int32_t)valid);
    ShiftRight(offsets, iota, 1, (int32_t)(valid * 2));
    PipeBarrier<PIPE_V>();
    CompareScalar(bits, value, 0.0f, CMPMODE::GT, (uint32_t)RoundUp(valid, kLanes));
    Muls(offsets, offsets, 4, (int32_t)(valid * 2));
    PipeBarrier<PIPE_V>();
    uint64_t kept = 0;
    const GatherMaskParams once = Once();
    GatherMask(scratch, numbers, bits.ReinterpretCast<uint32_t>(), true, (uint32_t)valid, once,
               kept);
    GatherMask(scratch[second], tile.counts, bits.ReinterpretCast<uint32_t>(), true,
               (uint32_t)valid, once, kept);
    const TEventID counted = GetTPipePtr()->FetchEventID(HardEvent::V_S);
    SetFlag<HardEvent::V_S>(counted);
    // While the scalar unit learns `kept`.
    if (clears) Duplicate(out, 0, (int32_t)(valid * 4));
    WaitFlag<HardEvent::V_S>(counted);
    const int64_t words = (int64_t)kept * 2;
    const auto pick = [&](uint64_t lanes, int64_t at, int64_t repeats, uint32_t base) {
      const uint64_t mask[2] = {lanes, 0};
      Gather(work[(uint32_t)at], scratch, offsets[(uint32_t)at].ReinterpretCast<uint32_t>(), base,
             mask, (uint8_t)repeats, 8);
    };
    for (uint32_t list = 0; list < 2; ++list) {
      const uint64_t lanes = list == 0 ? 0x5555555555555555 : 0xAAAAAAAAAAAAAAAA;
      const uint32_t base = list * second * 4;
      const int64_t rest = words % kLanes;
      // mutant: drop bound, bound off by one equivalent: With no elements nothing happens either
      // way.
      if (words > rest) pick(lanes, 0, words / kLanes, base);
      // mutant: drop bound, bound off by one equivalent: Nothing reads the extra 64 words.
      if (rest > 0) pick(lanes & (~(uint64_t)0 >> (kLanes - rest)), words - rest, 1, base);
    }
    PipeBarrier<PIPE_V>();
    return (int64_t)kept;
  }

  const MoeInitRoutingTiling& tiling_;
  const RoutingArena& arena_;
  const MoeInitRoutingArena& at_;
  bool has_given_ = false;  // this core writes them
  int64_t filled_ = 0;      // pairs that are written
  GlobalTensor<int64_t> tokens_gm_;
  TQue<TPosition::VECOUT, 1> out_;
};

}  // namespace moe
