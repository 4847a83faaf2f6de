// cc/ops/moe/moe_gating_top_k.h: chooses the experts of tokens, and their weights.
#pragma once

#include "cc/ops/moe/moe_gating_top_k_plan.h"

namespace vllm_cann::ops {

// Of rows of logits: scores, the k best experts of the best groups by score + bias, ties to the
// lower number, and their weights. Arithmetic in float, one rounding to nearest. Queued on
// `stream`; no rows launch nothing. Throws std::invalid_argument for arguments, std::runtime_error
// for what ACL reports.
void MoeGatingTopK(const MoeGatingTopKArgs& args, void* stream);

}  // namespace vllm_cann::ops
