// cc/ops/moe/moe_init_routing.cc: prepares launches of the kernel that sorts rows by expert.
#include "cc/ops/moe/moe_init_routing.h"

namespace vllm_cann::ops {

Launch PrepareMoeInitRouting(const MoeInitRoutingArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "moe_init_routing", "moe", PlanMoeInitRouting(args, *device.info),
                {{"x", args.x},
                 {"expert_idx", args.expert_idx},
                 {"row_idx", args.row_idx},
                 {"scale", args.scale},
                 {"offset", args.offset},
                 {"expanded_x", args.expanded_x},
                 {"expanded_row_idx", args.expanded_row_idx},
                 {"expanded_expert_idx", args.expanded_expert_idx},
                 {"expert_tokens", args.expert_tokens},
                 {"expanded_scale", args.expanded_scale},
                 {"workspace", args.workspace}});
}

int64_t MoeInitRoutingWorkspaceWords(int64_t pairs, int64_t experts) {
  return MoeInitRoutingWorkspaceWords(pairs, experts, *GetCurrentDevice().info);
}

}  // namespace vllm_cann::ops
