// cc/ops/moe/moe_init_routing.h: sorts rows by expert.
#pragma once

#include "cc/ops/launch.h"
#include "cc/ops/moe/moe_init_routing_plan.h"

namespace vllm_cann::ops {

// For moe_init_routing, _v2 and moe_token_permute: (token, expert) pairs are sorted by expert,
// stably; rows of tokens are copied, or quantised, to the places of their pairs. Without pairs only
// counts are written, where they are asked for.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareMoeInitRouting(const MoeInitRoutingArgs& args);

// Words of workspace that the current device needs for so many pairs and experts.
int64_t MoeInitRoutingWorkspaceWords(int64_t pairs, int64_t experts);

}  // namespace vllm_cann::ops
