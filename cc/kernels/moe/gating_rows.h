// cc/kernels/moe/gating_rows.h: instructions over the rows of a tile: with a value for each row,
// and reductions of each row to one. Device code.
#pragma once

#include "cc/kernels/moe/gating_common.h"

namespace moe {

// op(first float, lanes, repeats) over `count` floats.
template <typename Op>
__aicore__ inline void EveryLane(int64_t count, Op op) {
  const int64_t rest = count % kLanes;
  // mutant: drop bound, bound off by one equivalent: An instruction of 0 repeats does nothing.
  if (count > rest) op(0, (uint64_t)kLanes, (uint8_t)(count / kLanes));
  if (rest > 0) op((uint32_t)(count - rest), (uint64_t)rest, 1);
}

// op(first float, first of the values of rows, lanes, repeats, strides) over `length` floats of
// each row, for dst = src op a value of the row, which is a block of copies. All repeats of a
// single row in one instruction; rows that are blocks are whole ones.
template <typename Op>
__aicore__ inline void ByRow(Op op, int64_t length, int64_t pitch, int64_t rows) {
  // mutant: drop guard equivalent: The way for longer rows gives the same.
  if (pitch == kBlockFloats) {
    const BinaryRepeatParams blocks(1, 1, 1, 8, 8, 8);
    EveryLane(rows * kBlockFloats, [&](uint32_t at, uint64_t lanes, uint8_t repeats) {
      op(at, at, lanes, repeats, blocks);
    });
    PipeBarrier<PIPE_V>();
    return;
  }
  const BinaryRepeatParams steps(1, 1, 0, Step(pitch), Step(pitch), 1);
  int64_t lane = 0;
  // mutant: drop condition, bound off by one equivalent: Both branches give the same result; one
  // takes fewer instructions.
  if (rows == 1 && length >= kLanes) {
    const BinaryRepeatParams along(1, 1, 0, 8, 8, 0);
    op(0, 0, (uint64_t)kLanes, (uint8_t)(length / kLanes), along);
    lane = length / kLanes * kLanes;
  }
  for (; lane < length; lane += kLanes) {
    op((uint32_t)lane, 0, (uint64_t)Min(kLanes, length - lane), (uint8_t)rows, steps);
  }
  PipeBarrier<PIPE_V>();
}

// dst /= a value of the row.
__aicore__ inline void DivideByRow(const LocalTensor<float>& dst, const LocalTensor<float>& by,
                                   int64_t length, int64_t pitch, int64_t rows) {
  // mutant: argument off by one of `pitch` equivalent: The stride is in blocks; one float more
  // rounds away.
  ByRow(
      [&](uint32_t at, uint32_t of, uint64_t lanes, uint8_t repeats,
          const BinaryRepeatParams& steps) {
        Div(dst[at], dst[at], by[of], lanes, repeats, steps);
      },
      length, pitch, rows);
}

enum class Reduction { kSum, kLargest };

class RowReducer {
 public:
  __aicore__ inline explicit RowReducer(const GatingArena& arena)
      : arena_(arena), at_(arena.parts) {}

  // The sum or the largest of `length` floats of each row: a block of copies for each row, which
  // the next reduction overwrites. Sums are chains over every 64th float, and a tree over
  // neighbours of the 64.
  template <Reduction reduction>
  __aicore__ inline LocalTensor<float> Reduce(const LocalTensor<float>& src, int64_t length,
                                              int64_t pitch, int64_t rows) {
    const LocalTensor<float> spread = arena_.Get<float>(at_.spread);
    // mutant: bound off by one equivalent: Reducing in two steps gives the same.
    if (length <= kBlockFloats) {
      ReduceBlocks<reduction>(src, length, pitch, rows);
      return spread;
    }
    LocalTensor<float> from = src;
    uint8_t step = Step(pitch);
    // mutant: bound off by one equivalent: Same result by more instructions.
    if (length > kLanes) {
      from = arena_.Get<float>(at_.folds);
      const auto fold = [&](const LocalTensor<float>& with, int64_t lane, uint8_t with_step) {
        const BinaryRepeatParams steps(1, 1, 1, 8, with_step, step);
        const uint64_t now = (uint64_t)Min(kLanes, length - lane);
        if constexpr (reduction == Reduction::kSum) {
          Add(from, with, src[(uint32_t)lane], now, (uint8_t)rows, steps);
        } else {
          Max(from, with, src[(uint32_t)lane], now, (uint8_t)rows, steps);
        }
        PipeBarrier<PIPE_V>();
      };
      int64_t lane = kLanes;
      // mutant: bound off by one, constant off by one equivalent: Both ways add in the same order.
      if (length >= 2 * kLanes) {
        fold(src, lane, step);
        lane += kLanes;
      } else {
        Adds(from, src, 0.0f, kLanes, (uint8_t)rows, UnaryRepeatParams(1, 1, 8, step));
        PipeBarrier<PIPE_V>();
      }
      for (; lane < length; lane += kLanes) fold(from, lane, 8);
      length = kLanes;
      step = 8;
    }
    const LocalTensor<float> blocks = arena_.Get<float>(at_.blocks);
    if constexpr (reduction == Reduction::kSum) {
      BlockReduceSum(blocks, from, (int32_t)rows, (int32_t)length, 1, 1, step);
    } else {
      BlockReduceMax(blocks, from, (int32_t)rows, (int32_t)length, 1, 1, step);
    }
    PipeBarrier<PIPE_V>();
    ReduceBlocks<reduction>(blocks, Ceil(length, kBlockFloats), kBlockFloats, rows);
    return spread;
  }

  // What the last Reduce has given.
  __aicore__ inline LocalTensor<float> Last() const { return arena_.Get<float>(at_.spread); }

 private:
  // spread[row] = eight copies of what the first `lanes` of a row's block come to: an instruction
  // that reduces eight blocks takes the same one eight times.
  template <Reduction reduction>
  __aicore__ inline void ReduceBlocks(const LocalTensor<float>& src, int64_t lanes, int64_t pitch,
                                      int64_t rows) {
    const uint64_t mask[2] = {0x0101010101010101 * (((uint64_t)1 << lanes) - 1), 0};
    const LocalTensor<float> spread = arena_.Get<float>(at_.spread);
    if constexpr (reduction == Reduction::kSum) {
      BlockReduceSum(spread, src, (int32_t)rows, mask, 1, 0, Step(pitch));
    } else {
      BlockReduceMax(spread, src, (int32_t)rows, mask, 1, 0, Step(pitch));
    }
    PipeBarrier<PIPE_V>();
  }

  const GatingArena& arena_;
  const MoeGatingTopKArena& at_;
};

}  // namespace moe
