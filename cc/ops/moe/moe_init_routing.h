// cc/ops/moe/moe_init_routing.h: argument checks and tiling of the operators that sort rows by
// expert: moe_init_routing, moe_init_routing_v2 and moe_token_permute.
#pragma once

#include "cc/kernels/moe/moe_init_routing_tiling.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// N tokens of H elements, k experts each; R experts from first_expert on are of interest. All
// tensors are contiguous.
struct MoeInitRoutingArgs {
  Tensor x;           // [N, H]: any type of 1, 2 or 4 bytes; quantised: float16, bfloat16, float32
  Tensor expert_idx;  // [N, k], int32 or int64; pairs of other experts are skipped
  // [N, k], int32 (v1): the number r of a pair: its row is x[r % N], and its place goes to element
  // r of expanded_row_idx. Pairs with a number outside of [0, N * k) have no row. Absent: a pair is
  // numbered as it lies.
  Tensor row_idx;
  // float32. Not quantised: [N], goes along. Static: [1]. Dynamic: [R, H], multiplies rows. May be
  // absent, but for static.
  Tensor scale;
  Tensor offset;            // [1], float32: static only
  Tensor expanded_x;        // [rows, H], the type of x or int8; with a capacity R * capacity rows
  Tensor expanded_row_idx;  // [N * k], int32
  Tensor expanded_expert_idx;  // [N * k], int32: with row_idx only
  Tensor expert_tokens;        // int64, [R] or, of type 2, [R, 2]; may be absent
  Tensor expanded_scale;       // [rows], float32: with scale and not quantised, or dynamic
  Tensor workspace;            // int32: as many bytes as MoeInitRoutingWorkspaceBytes says
  int64_t first_expert = 0;
  int64_t experts = 0;       // R
  int64_t capacity = 0;      // rows of an expert, the rest of its pairs is dropped; 0: no limit
  int64_t row_idx_type = 0;  // expanded_row_idx: 0 the place of each pair, 1 the pair of each place
  int64_t tokens_type = 1;   // expert_tokens: 0 sums, 1 counts, 2 (expert, count) of those with any
  int64_t quant_mode = -1;   // -1 none, 0 static, 1 dynamic
};

using MoeInitRoutingPlan = Plan<MoeInitRoutingTiling>;

// For moe_init_routing, _v2 and moe_token_permute: (token, expert) pairs are sorted by expert,
// stably; rows of tokens are copied, or quantised, to the places of their pairs. Without pairs only
// counts are written, where they are asked for.
// Throws std::invalid_argument with a sentence.
MoeInitRoutingPlan PlanMoeInitRouting(const MoeInitRoutingArgs& args, const DeviceInfo& device);

// What `workspace` has to hold for expert_idx and experts; other arguments do not matter.
int64_t MoeInitRoutingWorkspaceBytes(const MoeInitRoutingArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
