// cc/ops/moe/moe_compute_expert_tokens.h: counts sorted experts.
#pragma once

#include "cc/ops/moe/moe_compute_expert_tokens_plan.h"

namespace vllm_cann::ops {

// For each expert the number of entries of a list in rising order that are not above it. Queued on
// `stream`; an empty list gives zeros. Throws std::invalid_argument for arguments,
// std::runtime_error for what ACL reports.
void MoeComputeExpertTokens(const MoeComputeExpertTokensArgs& args, void* stream);

}  // namespace vllm_cann::ops
