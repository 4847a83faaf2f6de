// cc/ops/rotary/rotary_embedding_plan.h: argument checks and tiling of rotary_embedding.
#pragma once

#include "cc/kernels/rotary/rotary_embedding_tiling.h"
#include "cc/ops/checks.h"

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
  Tensor query;          // [T, Hq, D], any stride between tokens
  Tensor key;            // [T, Hk, D], the same; may be absent (dims 0)
  Tensor cos_sin_cache;  // [P, R], contiguous: cos and then sin of R / 2 frequencies
  Tensor cos;            // instead of it: [rows, R / 2]; token t takes row t % rows
  Tensor sin;            // the same; as far from row to row
  Tensor query_out;      // [T, Hq, D]; absent: in place. Needs R = D
  Tensor key_out;        // [T, Hk, D], the same
  RotaryStyle style = RotaryStyle::kNeox;
  bool is_inverse = false;  // rotates back
  // Of R / 2 lanes, how many take each axis of [3, T] positions: the first sections[0] the first
  // axis and so on; or, interleaved, lanes i with i % 3 = a and i < 3 * sections[a] the axis a = 1
  // or 2, others the first one.
  int64_t sections[3] = {};
  bool interleaved = false;
};

struct RotaryEmbeddingPlan {
  uint32_t cores = 0;  // 0: nothing to launch
  const char* kernel = nullptr;
  RotaryEmbeddingTiling tiling{};
};

// Throws std::invalid_argument with a sentence.
RotaryEmbeddingPlan PlanRotaryEmbedding(const RotaryEmbeddingArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
