// cc/ops/moe/moe_finalize_routing.h: adds up the rows of tokens.
#pragma once

#include "cc/ops/launch.h"
#include "cc/ops/moe/moe_finalize_routing_plan.h"

namespace vllm_cann::ops {

// For moe_finalize_routing and moe_token_unpermute: out = skip1 + skip2 + the sum over j of scale *
// (row + bias), in this order, in float with one rounding to nearest. No tokens launch nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareMoeFinalizeRouting(const MoeFinalizeRoutingArgs& args);

}  // namespace vllm_cann::ops
