// cc/ops/moe/moe_compute_expert_tokens.cc: prepares launches of the kernel that counts sorted
// experts.
#include "cc/ops/moe/moe_compute_expert_tokens.h"

namespace vllm_cann::ops {

Launch PrepareMoeComputeExpertTokens(const MoeComputeExpertTokensArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "moe_compute_expert_tokens", "moe",
                PlanMoeComputeExpertTokens(args, *device.info),
                {{"sorted_experts", args.sorted_experts}, {"expert_tokens", args.expert_tokens}});
}

}  // namespace vllm_cann::ops
