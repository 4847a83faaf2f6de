// cc/kernels/moe/gating_scorer.h: the scores of a tile of rows of logits: their softmax, sigmoid or
// sqrt(softplus). Device code.
#pragma once

#include "cc/kernels/moe/gating_common.h"
#include "cc/kernels/moe/gating_rows.h"

namespace moe {

class GatingScorer {
 public:
  __aicore__ inline GatingScorer(const MoeGatingTopKTiling& tiling, const GatingArena& arena,
                                 RowReducer& reducer)
      : tiling_(tiling), arena_(arena), at_(arena.parts), reducer_(reducer) {}

  // scores, logits: [rows, width]; logits are used up.
  __aicore__ inline void Score(const LocalTensor<float>& scores, const LocalTensor<float>& logits,
                               int64_t rows) {
    if (tiling_.norm_type == 0) {
      Softmax(scores, logits, rows);
    } else if (tiling_.norm_type == 1) {
      Sigmoid(scores, logits, rows);
    } else {
      SqrtSoftplus(scores, logits, rows);
    }
  }

 private:
  // If nothing needs the quotients of all experts, the chosen ones are divided later: denominators
  // do not decide.
  __aicore__ inline void Softmax(const LocalTensor<float>& s, const LocalTensor<float>& x,
                                 int64_t rows) {
    const int64_t width = tiling_.width;
    const LocalTensor<float> largest = reducer_.Reduce<Reduction::kLargest>(x, width, width, rows);
    // mutant: argument off by one of `width` equivalent: The integer division drops the
    // difference.
    ByRow(
        [&](uint32_t at, uint32_t of, uint64_t lanes, uint8_t repeats,
            const BinaryRepeatParams& steps) {
          Sub(s[at], x[at], largest[of], lanes, repeats, steps);
        },
        width, width, rows);
    Exp(s, s, (int32_t)(rows * width));
    PipeBarrier<PIPE_V>();
    const LocalTensor<float> sum = reducer_.Reduce<Reduction::kSum>(s, width, width, rows);
    if (!DividesLate(tiling_)) DivideByRow(s, sum, width, width, rows);
  }

  // 1 / (1 + exp(-x))
  __aicore__ inline void Sigmoid(const LocalTensor<float>& s, const LocalTensor<float>& x,
                                 int64_t rows) {
    const int32_t count = (int32_t)(rows * tiling_.width);
    Muls(s, x, -1.0f, count);
    PipeBarrier<PIPE_V>();
    Exp(s, s, count);
    PipeBarrier<PIPE_V>();
    const LocalTensor<float> one = arena_.Get<float>(at_.one);
    EveryLane(count, [&](uint32_t at, uint64_t lanes, uint8_t repeats) {
      Add(s[at], s[at], one, lanes, repeats, BinaryRepeatParams(1, 1, 0, 8, 8, 0));
    });
    PipeBarrier<PIPE_V>();
    EveryLane(count, [&](uint32_t at, uint64_t lanes, uint8_t repeats) {
      Div(s[at], one, s[at], lanes, repeats, BinaryRepeatParams(1, 0, 1, 8, 0, 8));
    });
    PipeBarrier<PIPE_V>();
  }

  // softplus(x) = max(x, 0) + log1p(e), e = exp(-|x|). log1p(e) = log(u) e / (u - 1), u = 1 + e:
  // what is lost in u is lost in both factors. Where u is 1, it is e. Between the end of a group
  // and its pitch x is 0 from then on, which the -inf that is added there hides.
  __aicore__ inline void SqrtSoftplus(const LocalTensor<float>& s, const LocalTensor<float>& x,
                                      int64_t rows) {
    const int32_t count = (int32_t)(rows * tiling_.width);
    const uint32_t compared = (uint32_t)RoundUp(count, kLanes);
    // x may be at the beginning of this buffer.
    const LocalTensor<float> e = arena_.Get<float>(at_.records)[compared];
    const LocalTensor<float> u = e[compared];
    const LocalTensor<uint8_t> is_one = arena_.Get<uint8_t>(at_.lists);
    Abs(e, x, count);
    PipeBarrier<PIPE_V>();
    Muls(e, e, -1.0f, count);
    PipeBarrier<PIPE_V>();
    Exp(e, e, count);
    PipeBarrier<PIPE_V>();
    Adds(u, e, 1.0f, count);
    PipeBarrier<PIPE_V>();
    // mutant: drop bound, bound off by one equivalent: With nothing to fill nothing happens either
    // way.
    if ((int64_t)compared > count) {
      // mutant: argument off by one of `0.0f` equivalent: Nothing reads these elements; they only
      // need a value.
      Duplicate(u[(uint32_t)count], 0.0f, (int32_t)compared - count);
      PipeBarrier<PIPE_V>();
    }
    CompareScalar(is_one, u, 1.0f, CMPMODE::EQ, compared);
    Ln(s, u, count);
    PipeBarrier<PIPE_V>();
    Adds(u, u, -1.0f, count);
    Mul(s, s, e, count);
    PipeBarrier<PIPE_V>();
    Div(s, s, u, count);
    Maxs(x, x, 0.0f, count);
    PipeBarrier<PIPE_V>();
    Select(s, is_one, e, s, SELMODE::VSEL_TENSOR_TENSOR_MODE, (uint32_t)count);
    PipeBarrier<PIPE_V>();
    Add(s, s, x, count);
    PipeBarrier<PIPE_V>();
    Sqrt(s, s, count);
    PipeBarrier<PIPE_V>();
  }

  const MoeGatingTopKTiling& tiling_;
  const GatingArena& arena_;
  const MoeGatingTopKArena& at_;
  RowReducer& reducer_;
};

}  // namespace moe
