// cc/ops/moe/moe_compute_expert_tokens.h: argument checks and tiling of
// moe_compute_expert_tokens.
#pragma once

#include "cc/kernels/moe/moe_compute_expert_tokens_tiling.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

struct MoeComputeExpertTokensArgs {
  Tensor sorted_experts;  // [entries], int32, contiguous, in rising order
  Tensor expert_tokens;   // [experts], int32: entries that are not above the expert
};

using MoeComputeExpertTokensPlan = Plan<MoeComputeExpertTokensTiling>;

// For each expert the number of entries of a list in rising order that are not above it. An empty
// list gives zeros.
// Throws std::invalid_argument with a sentence.
MoeComputeExpertTokensPlan PlanMoeComputeExpertTokens(const MoeComputeExpertTokensArgs& args,
                                                      const DeviceInfo& device);

}  // namespace vllm_cann::ops
