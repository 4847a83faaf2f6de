// cc/ops/moe/moe_compute_expert_tokens.h: counts sorted experts.
#pragma once

#include "cc/ops/launch.h"
#include "cc/ops/moe/moe_compute_expert_tokens_plan.h"

namespace vllm_cann::ops {

// For each expert the number of entries of a list in rising order that are not above it. An empty
// list gives zeros.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareMoeComputeExpertTokens(const MoeComputeExpertTokensArgs& args);

}  // namespace vllm_cann::ops
