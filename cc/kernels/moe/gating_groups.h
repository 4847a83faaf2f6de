// cc/kernels/moe/gating_groups.h: of the groups of experts of each row, keeps the lists of the best
// ones. Device code.
//
// Each group has a sorted list; its first one or two records give the group's score. A group's rank
// is how many others beat it; the lists of those that rank first are gathered.
#pragma once

#include "cc/kernels/moe/gating_common.h"
#include "cc/kernels/moe/gating_sorter.h"

namespace moe {

class GroupSelection {
 public:
  __aicore__ inline GroupSelection(const MoeGatingTopKTiling& tiling, const GatingArena& arena)
      : tiling_(tiling), arena_(arena), at_(arena.parts) {}

  // Constants, and the scores of groups that are not there.
  __aicore__ inline void MakeTables() {
    if (tiling_.groups == 1) return;
    Duplicate(arena_.Get<float>(at_.group_scores), MinusInfinity(),
              (int32_t)at_.group_scores.words);
    Duplicate(arena_.Get<int32_t>(at_.all), -1, (int32_t)kBlockFloats);
  }

  // The lists of the best groups of each row, in the order of groups: of each row as many, so that
  // those of a row follow those of the one before.
  __aicore__ inline Lists Keep(const Lists& lists, int64_t rows) {
    const int64_t pitch = tiling_.groups_pitch;
    ScoreGroups(lists, rows);
    RankGroups(rows);
    // A block for each group: all bits of it, or none.
    const LocalTensor<uint8_t> is_kept = arena_.Get<uint8_t>(at_.above);
    const LocalTensor<float> mask = arena_.Get<float>(at_.beats);
    const LocalTensor<float> masks = arena_.Get<float>(at_.group_blocks);
    const int64_t slots = RoundUp(rows * pitch, kLanes);
    CompareScalar(is_kept, arena_.Get<float>(at_.ranks), (float)tiling_.kept_groups, CMPMODE::LT,
                  (uint32_t)slots);
    PipeBarrier<PIPE_V>();
    Select(mask, is_kept, arena_.Get<float>(at_.all), 0.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE,
           (uint64_t)kLanes, (uint8_t)(slots / kLanes), BinaryRepeatParams(1, 0, 1, 8, 0, 8));
    PipeBarrier<PIPE_V>();
    Brcb(masks, mask, (uint8_t)(rows * pitch / kBlockFloats), BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    return GatherLists(lists, masks.ReinterpretCast<uint32_t>(), rows);
  }

 private:
  // `kept` of the arena: the lists whose blocks of `masks` are set.
  __aicore__ inline Lists GatherLists(const Lists& lists, const LocalTensor<uint32_t>& masks,
                                      int64_t rows) {
    const int64_t pitch = tiling_.groups_pitch;
    const int64_t groups = tiling_.groups;
    const int64_t count = rows * tiling_.kept_groups;
    const int64_t words = tiling_.list_records * 2;
    // Lists of more than 64 words are gathered in pieces, in the buffer that was large enough to
    // merge all lists of groups, and put together.
    const LocalTensor<float> kept = arena_.Get<float>(at_.kept);
    // mutant: bound off by one equivalent: A list of 64 words gets to the same place by the other
    // buffer.
    const bool in_pieces = words > kLanes;
    const int64_t at_once = groups == pitch ? rows : 1;
    for (int64_t word = 0; word < words; word += kLanes) {
      const LocalTensor<float> to = in_pieces ? arena_.Get<float>(at_.lists) : kept;
      const int64_t now = Min(kLanes, words);
      for (int64_t row = 0; row < rows; row += at_once) {
        uint64_t taken = 0;
        GatherMask(to[(uint32_t)(row * tiling_.kept_groups * now)],
                   lists.records[(uint32_t)(row * groups * lists.pitch * 2 + word)],
                   masks[(uint32_t)(row * pitch * kBlockFloats)], true, (uint32_t)now,
                   GatherMaskParams(1, (uint16_t)(at_once * groups),
                                    (uint16_t)(lists.pitch / kRecordBlocks), 1),
                   taken);
      }
      PipeBarrier<PIPE_V>();
      if (in_pieces) {
        const int64_t blocks = kLanes / kBlockFloats;
        DataCopy(kept[(uint32_t)word], to,
                 DataCopyParams((uint16_t)count, (uint16_t)blocks, 0,
                                (uint16_t)(words / kBlockFloats - blocks)));
        PipeBarrier<PIPE_V>();
      }
    }
    return {kept, count, tiling_.list_records, tiling_.list_records, true};
  }

  // group_scores: the largest of each group, or the sum of its two largest. Groups that are not
  // there keep -inf.
  __aicore__ inline void ScoreGroups(const Lists& lists, int64_t rows) {
    const int64_t pitch = tiling_.groups_pitch;
    const LocalTensor<float> score = arena_.Get<float>(at_.group_scores);
    // Scores are the even words of a list.
    const uint64_t words = tiling_.sums_top_two ? 0x0505050505050505 : 0x0101010101010101;
    LocalTensor<float> heads = lists.records;
    int64_t pitch_blocks = lists.pitch / kRecordBlocks;
    // mutant: drop term equivalent: The simulator knows no bound for the strides of this
    // instruction.
    // mutant: drop bound, bound off by one equivalent: Copying the heads of the lists first gives
    // the same.
    if (tiling_.groups * pitch_blocks > kMaxRepeat) {
      heads = arena_.Get<float>(at_.group_blocks);
      DataCopy(heads, lists.records,
               DataCopyParams((uint16_t)lists.count, 1, (uint16_t)(pitch_blocks - 1), 0));
      PipeBarrier<PIPE_V>();
      pitch_blocks = 1;
    }
    for (int64_t group = 0; group < tiling_.groups; group += kBlockFloats) {
      const int64_t blocks = Min(kBlockFloats, tiling_.groups - group);
      const uint64_t mask[2] = {words & (~(uint64_t)0 >> (kLanes - blocks * kBlockFloats)), 0};
      BlockReduceSum(score[(uint32_t)group], heads[(uint32_t)(group * pitch_blocks * kBlockFloats)],
                     (int32_t)rows, mask, (int32_t)(pitch / kBlockFloats), (int32_t)pitch_blocks,
                     (int32_t)(tiling_.groups * pitch_blocks));
    }
    PipeBarrier<PIPE_V>();
    // mutant: drop guard equivalent: Without NaN the scores do not change.
    if (rows == 1) return;  // there is room for the lists of all its groups
    // With NaN more groups have a rank below kept_groups, and their lists take the place of others.
    const uint32_t compared = (uint32_t)RoundUp(rows * pitch, kLanes);
    const LocalTensor<uint8_t> bits = arena_.Get<uint8_t>(at_.above);
    Compare(bits, score, score, CMPMODE::EQ, compared);
    PipeBarrier<PIPE_V>();
    Select(score, bits, score, MinusInfinity(), SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
    PipeBarrier<PIPE_V>();
  }

  // ranks: how many groups of the row come before each: those with a higher score, and of equal
  // ones those before it. Eight of them are compared with eight at a time.
  __aicore__ inline void RankGroups(int64_t rows) {
    const int64_t pitch = tiling_.groups_pitch;
    const int64_t blocks = pitch / kBlockFloats;
    const uint8_t step = (uint8_t)blocks;
    const LocalTensor<float> score = arena_.Get<float>(at_.group_scores);
    const LocalTensor<float> spread = arena_.Get<float>(at_.group_blocks);
    const LocalTensor<float> beats = arena_.Get<float>(at_.beats);
    const LocalTensor<float> rank = arena_.Get<float>(at_.ranks);
    const LocalTensor<float> part = arena_.Get<float>(at_.rank_parts);
    const LocalTensor<uint8_t> above = arena_.Get<uint8_t>(at_.above);
    const LocalTensor<uint8_t> not_below = arena_.Get<uint8_t>(at_.not_below);
    Brcb(spread, score, (uint8_t)(rows * blocks), BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    // Bit 8 g + h: whether h < g.
    constexpr uint64_t kLower = 0x7F3F1F0F07030100;
    const uint8_t count = (uint8_t)rows;
    const BinaryRepeatParams eight(1, 0, 1, 8, step, (uint8_t)pitch);
    for (int64_t group = 0; group < blocks; ++group) {
      const LocalTensor<float> mine = spread[(uint32_t)(group * kLanes)];
      for (int64_t other = 0; other < blocks; ++other) {
        const LocalTensor<float> theirs = score[(uint32_t)(other * kBlockFloats)];
        // Of the same eight: those of higher numbers, and those of lower ones.
        const uint64_t lower = other < group ? ~(uint64_t)0 : other > group ? 0 : kLower;
        if (lower != 0)
          Compare(not_below, theirs, mine, CMPMODE::GE, (uint64_t)kLanes, count, eight);
        if (~lower != 0) Compare(above, theirs, mine, CMPMODE::GT, (uint64_t)kLanes, count, eight);
        PipeBarrier<PIPE_V>();
        Ones(beats, not_below, lower, count);
        Ones(beats, above, ~lower, count);
        PipeBarrier<PIPE_V>();
        const LocalTensor<float> to = other == 0 ? rank : part;
        BlockReduceSum(to[(uint32_t)(group * kBlockFloats)], beats, (int32_t)rows, (int32_t)kLanes,
                       step, 1, 8);
        PipeBarrier<PIPE_V>();
        if (other > 0) {
          const LocalTensor<float> sum = rank[(uint32_t)(group * kBlockFloats)];
          // mutant: constant off by one equivalent: Eight lanes are one block: the stride between
          // blocks is not used.
          Add(sum, sum, part[(uint32_t)(group * kBlockFloats)], (uint64_t)kBlockFloats, count,
              BinaryRepeatParams(1, 1, 1, step, step, step));
          PipeBarrier<PIPE_V>();
        }
      }
    }
  }

  // 1 for a bit that is set, and 0 for one that is not, in these lanes of 64.
  __aicore__ inline void Ones(const LocalTensor<float>& dst, const LocalTensor<uint8_t>& bits,
                              uint64_t lanes, uint8_t rows) {
    if (lanes == 0) return;
    const uint64_t mask[2] = {lanes, 0};
    Select(dst, bits, arena_.Get<float>(at_.one), 0.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE, mask,
           rows, BinaryRepeatParams(1, 0, 1, 8, 0, 8));
  }

  const MoeGatingTopKTiling& tiling_;
  const GatingArena& arena_;
  const MoeGatingTopKArena& at_;
};

}  // namespace moe
