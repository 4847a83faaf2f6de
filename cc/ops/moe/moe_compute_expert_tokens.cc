// cc/ops/moe/moe_compute_expert_tokens.cc: launches the kernel that counts sorted experts.
#include "cc/ops/moe/moe_compute_expert_tokens.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernel's parameters in order.
struct Arguments {
  uint64_t sorted_experts;
  uint64_t expert_tokens;
  MoeComputeExpertTokensTiling tiling;
};
static_assert(sizeof(Arguments) == 2 * 8 + sizeof(MoeComputeExpertTokensTiling));

}  // namespace

void MoeComputeExpertTokens(const MoeComputeExpertTokensArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const MoeComputeExpertTokensPlan plan = PlanMoeComputeExpertTokens(args, *device.info);
  const Arguments arguments = {args.sorted_experts.address, args.expert_tokens.address,
                               plan.tiling};
  LaunchKernel(device, "moe", plan.kernel, plan.cores, stream, &arguments, sizeof(arguments));
}

}  // namespace vllm_cann::ops
