// cc/ops/moe/moe_compute_expert_tokens_plan.h: argument checks and tiling of
// moe_compute_expert_tokens.
#pragma once

#include "cc/kernels/moe/moe_compute_expert_tokens_tiling.h"
#include "cc/ops/tensor.h"

namespace vllm_cann::ops {

struct MoeComputeExpertTokensArgs {
  Tensor sorted_experts;  // [entries], int32, contiguous, in rising order
  Tensor expert_tokens;   // [experts], int32: entries that are not above the expert
};

struct MoeComputeExpertTokensPlan {
  uint32_t cores = 0;  // 0: nothing to launch
  const char* kernel = "moe_compute_expert_tokens";
  MoeComputeExpertTokensTiling tiling{};
};

// Throws std::invalid_argument with a sentence.
MoeComputeExpertTokensPlan PlanMoeComputeExpertTokens(const MoeComputeExpertTokensArgs& args,
                                                      const DeviceInfo& device);

}  // namespace vllm_cann::ops
