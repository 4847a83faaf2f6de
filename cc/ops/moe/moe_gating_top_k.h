// cc/ops/moe/moe_gating_top_k.h: argument checks and tiling of moe_gating_top_k.
#pragma once

#include "cc/kernels/moe/moe_gating_top_k_tiling.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// N rows (tokens) in any number of dimensions, written [N] below; E experts in G groups.
struct MoeGatingTopKArgs {
  Tensor x;           // [N, E] logits: float16, bfloat16 or float32, contiguous
  Tensor bias;        // [E], the type of x: added where experts are chosen; may be absent (dims 0)
  Tensor finished;    // [N], bool: rows that are true get expert E; may be absent
  Tensor y;           // [N, k], the type of x: weights
  Tensor expert_idx;  // [N, k], int32
  Tensor row_idx;     // [N, k], int32: j * N + i; may be absent
  Tensor norm_out;    // [N, E], float32: scores of all experts; may be absent
  int64_t k = 1;
  int64_t k_group = 1;            // groups that take part
  int64_t group_count = 1;        // G
  int64_t group_select_mode = 0;  // score of a group: 0 its largest, 1 the sum of its two largest
  int64_t renorm = 0;             // 1: weights are divided by their sum + eps
  int64_t norm_type = 0;          // 0 softmax, 1 sigmoid (always renormalised), 2 sqrt(softplus)
  double routed_scaling_factor = 1.0;
  double eps = 1e-20;
};

using MoeGatingTopKPlan = Plan<MoeGatingTopKTiling>;

// Of rows of logits: scores, the k best experts of the best groups by score + bias, ties to the
// lower number, and their weights. Arithmetic in float, one rounding to nearest. No rows launch
// nothing.
// Throws std::invalid_argument with a sentence.
MoeGatingTopKPlan PlanMoeGatingTopK(const MoeGatingTopKArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
