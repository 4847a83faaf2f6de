// cc/ops/rotary/rotary_embedding.h: argument checks and tiling of rotary_embedding.
#pragma once

#include "cc/kernels/rotary/rotary_embedding_tiling.h"
#include "cc/ops/checks.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// Which elements of a head are a pair, and where it goes.
enum class RotaryStyle : int32_t {
  kGptj = 0,           // neighbours, which stay where they are
  kNeox = 1,           // i and i + R / 2, the same
  kPairsToHalves = 2,  // neighbours; the first ones go to [0, R / 2), the second ones behind them
};

// T tokens, head size D, rotary dimension R <= D.
struct RotaryEmbeddingArgs {
  // [T], or [3, T] for three axes, int32 or int64, contiguous, 0 <= position < P. Absent with cos
  // and sin.
  Tensor positions;
  // [T, Hq, D] or, with head_size, [T, Hq * D]; any stride between tokens.
  Tensor query;
  Tensor key;             // [T, Hk, D], the same; may be absent (dims 0)
  Tensor cos_sin_cache;   // [P, R], contiguous: cos and then sin of R / 2 frequencies
  Tensor cos;             // instead of it: [rows, R / 2]; token t takes row t % rows
  Tensor sin;             // the same; as far from row to row
  Tensor query_out;       // [T, Hq, D]; absent: in place. Needs R = D
  Tensor key_out;         // [T, Hk, D], the same
  int64_t head_size = 0;  // D; 0: as query says
  RotaryStyle style = RotaryStyle::kNeox;
  bool is_inverse = false;  // rotates back
  // Of R / 2 lanes, how many take each axis of [3, T] positions: the first sections[0] the first
  // axis and so on; or, interleaved, lanes i with i % 3 = a and i < 3 * sections[a] the axis a = 1
  // or 2, others the first one.
  int64_t sections[3] = {};
  bool interleaved = false;
};

using RotaryEmbeddingPlan = Plan<RotaryEmbeddingTiling>;

// The first R elements of each head of query and key, in place or into results of their own.
// Arithmetic in float, one rounding to nearest. Positions are not checked on the device. No tokens
// launch nothing.
// Throws std::invalid_argument with a sentence.
RotaryEmbeddingPlan PlanRotaryEmbedding(const RotaryEmbeddingArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
