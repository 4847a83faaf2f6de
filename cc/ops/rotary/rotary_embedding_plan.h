// cc/ops/rotary/rotary_embedding_plan.h: argument checks and tiling of rotary_embedding.
#pragma once

#include "cc/kernels/rotary/rotary_embedding_tiling.h"
#include "cc/ops/tensor.h"

namespace vllm_cann::ops {

// T tokens, head size D, rotary dimension R <= D.
struct RotaryEmbeddingArgs {
  Tensor positions;      // [T], int32 or int64, contiguous, 0 <= position < P
  Tensor query;          // [T, Hq, D], changed in place; any stride between tokens
  Tensor key;            // [T, Hk, D], the same; may be absent (dims 0)
  Tensor cos_sin_cache;  // [P, R], contiguous: cos and then sin of R / 2 frequencies
  bool is_neox = true;   // false: pairs of neighbours (GPT-J)
};

struct RotaryEmbeddingPlan {
  uint32_t cores = 0;  // 0: nothing to launch
  const char* kernel = nullptr;
  RotaryEmbeddingTiling tiling{};
};

// Throws std::invalid_argument with a sentence.
RotaryEmbeddingPlan PlanRotaryEmbedding(const RotaryEmbeddingArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
