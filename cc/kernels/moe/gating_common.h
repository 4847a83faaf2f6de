// cc/kernels/moe/gating_common.h: what the parts of moe_gating_top_k share. Device code.
//
// Words: a row has a score for each expert. The scores of a group of experts lie at `score_pitch`,
// and there are `width` of them with what fills up the pitch; the place of a score is where it lies
// in its row, in bytes. A record is a score and its place.
#pragma once

#include "cc/kernels/moe/moe_common.h"
#include "cc/kernels/moe/moe_gating_top_k_tiling.h"
#include "kernel_operator.h"

namespace moe {

using namespace AscendC;

using GatingArena = Arena<MoeGatingTopKArena>;

// A stride between repeats; one that has no room in 8 bits occurs with one repeat only.
__aicore__ inline uint8_t Step(int64_t floats) {
  // mutant: drop bound, bound off by one equivalent: Only one repeat has such a stride, and does
  // not use it.
  return (uint8_t)(floats / kBlockFloats <= kMaxRepeat ? floats / kBlockFloats : 0);
}

__aicore__ inline float MinusInfinity() { return FloatOf(0xFF800000); }

// Experts fill their groups' places.
__aicore__ inline bool IsDense(const MoeGatingTopKTiling& tiling) {
  return tiling.score_pitch == tiling.group_size;
}

// Scores are sorted at another pitch.
__aicore__ inline bool IsSortedApart(const MoeGatingTopKTiling& tiling) {
  return tiling.score_pitch != tiling.sort_pitch;
}

// Experts are chosen by something else than their scores.
__aicore__ inline bool HasSelection(const MoeGatingTopKTiling& tiling) {
  return tiling.has_bias || !IsDense(tiling);
}

// Nothing needs the quotients of a softmax of all experts: only the chosen ones are divided.
__aicore__ inline bool DividesLate(const MoeGatingTopKTiling& tiling) {
  return tiling.norm_type == 0 && !tiling.has_bias && !tiling.has_norm_out;
}

// Fills [count, length] of a buffer with copies of its first row, each `step` more than the one
// before.
__aicore__ inline void Repeat(const LocalTensor<int32_t>& table, int64_t length, int64_t count,
                              int64_t step) {
  // mutant: bound off by one equivalent: The extra iteration has no elements.
  for (int64_t done = 1; done < count; done *= 2) {
    const int64_t more = Min(done, count - done);
    Adds(table[(uint32_t)(done * length)], table, (int32_t)(done * step), (int32_t)(more * length));
    PipeBarrier<PIPE_V>();
  }
}

// Fills [count, length] of a buffer with copies of its first row, some columns of all rows at once
// where their step has room.
__aicore__ inline void Copies(const LocalTensor<int32_t>& table, int64_t length, int64_t count) {
  // mutant: drop condition equivalent: With no elements nothing happens either way.
  if (count == 1 || Step(length) == 0) {
    Repeat(table, length, count, 0);
    return;
  }
  const UnaryRepeatParams steps(1, 1, Step(length), 0);
  for (int64_t lane = 0; lane < length; lane += kLanes) {
    Adds(table[(uint32_t)(length + lane)], table[(uint32_t)lane], 0,
         (uint64_t)Min(kLanes, length - lane), (uint8_t)(count - 1), steps);
  }
}

}  // namespace moe
