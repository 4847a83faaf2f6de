// cc/ops/lora/lora_expand.h: argument checks and tiling of lora_expand.
#pragma once

#include "cc/kernels/lora/lora_expand_tiling.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// T tokens, L adapters, R ranks, S slices: as many as weights are given.
struct LoraExpandArgs {
  Tensor h;            // [S, T, R], float32, contiguous; R is 8, 16, 32, 64 or 128
  Tensor weights0;     // [L, width of the slice, R], the type of y, contiguous
  Tensor weights1;     // the same, of a width of its own; may be absent
  Tensor weights2;     // the same; only beside weights1
  Tensor indices;      // [T], int32 or int64, contiguous: the adapter of each token, -1 for none
  Tensor y;            // [T, columns]: float16, bfloat16 or float32; rows contiguous, any step
  int64_t offset = 0;  // of the first slice; the others follow it
  bool adds = true;    // y += ..., else y = ..., which is 0 for a token without an adapter
};

using LoraExpandPlan = Plan<LoraExpandTiling>;

// Adds weights_s[indices[t]] h[s, t], in float with one rounding, to slice s of y[t]; columns of no
// slice, and rows without an adapter, are not touched. An index that is neither -1 nor an adapter
// traps on the device. No tokens launch nothing. Throws std::invalid_argument with a sentence.
LoraExpandPlan PlanLoraExpand(const LoraExpandArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
