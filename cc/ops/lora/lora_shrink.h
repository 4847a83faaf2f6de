// cc/ops/lora/lora_shrink.h: argument checks and tiling of lora_shrink.
#pragma once

#include "cc/kernels/lora/lora_shrink_tiling.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// T tokens, L adapters, R ranks, S slices: as many as weights are given. All tensors are
// contiguous.
struct LoraShrinkArgs {
  Tensor x;         // [T, in]: float16, bfloat16 or float32
  Tensor weights0;  // [L, R, in], the type of x
  Tensor weights1;  // the same; may be absent
  Tensor weights2;  // the same; only beside weights1
  Tensor indices;   // [T], int32 or int64: the adapter of each token, -1 for none
  Tensor out;       // [S, T, R], float32
  double scale = 1.0;
};

using LoraShrinkPlan = Plan<LoraShrinkTiling>;

// out[s, t] = scale * weights_s[indices[t]] x[t] in float, and 0 for a token without an adapter. An
// index that is neither -1 nor an adapter traps on the device. No tokens launch nothing.
// Throws std::invalid_argument with a sentence.
LoraShrinkPlan PlanLoraShrink(const LoraShrinkArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
