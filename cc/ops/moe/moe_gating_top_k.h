// cc/ops/moe/moe_gating_top_k.h: chooses the experts of tokens, and their weights.
#pragma once

#include "cc/ops/launch.h"
#include "cc/ops/moe/moe_gating_top_k_plan.h"

namespace vllm_cann::ops {

// Of rows of logits: scores, the k best experts of the best groups by score + bias, ties to the
// lower number, and their weights. Arithmetic in float, one rounding to nearest. No rows launch
// nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareMoeGatingTopK(const MoeGatingTopKArgs& args);

}  // namespace vllm_cann::ops
