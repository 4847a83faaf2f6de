// cc/ops/moe/moe_init_routing.cc: launches the kernel that sorts rows by expert.
#include "cc/ops/moe/moe_init_routing.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernels' parameters in order.
struct Arguments {
  uint64_t x;
  uint64_t expert_idx;
  uint64_t row_idx;
  uint64_t scale;
  uint64_t offset;
  uint64_t expanded_x;
  uint64_t expanded_row_idx;
  uint64_t expanded_expert_idx;
  uint64_t expert_tokens;
  uint64_t expanded_scale;
  uint64_t workspace;
  MoeInitRoutingTiling tiling;
};
static_assert(sizeof(Arguments) == 11 * 8 + sizeof(MoeInitRoutingTiling));

}  // namespace

void MoeInitRouting(const MoeInitRoutingArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const MoeInitRoutingPlan plan = PlanMoeInitRouting(args, *device.info);
  if (plan.cores == 0) return;
  const Arguments arguments = {args.x.address,
                               args.expert_idx.address,
                               args.row_idx.address,
                               args.scale.address,
                               args.offset.address,
                               args.expanded_x.address,
                               args.expanded_row_idx.address,
                               args.expanded_expert_idx.address,
                               args.expert_tokens.address,
                               args.expanded_scale.address,
                               args.workspace.address,
                               plan.tiling};
  LaunchKernel(device, "moe", plan.kernel, plan.cores, stream, &arguments, sizeof(arguments));
}

int64_t MoeInitRoutingWorkspaceWords(int64_t pairs, int64_t experts) {
  return MoeInitRoutingWorkspaceWords(pairs, experts, *GetCurrentDevice().info);
}

}  // namespace vllm_cann::ops
