// cc/ops/moe/moe_compute_expert_tokens.cc: checks the arguments and shares the experts.
#include "cc/ops/moe/moe_compute_expert_tokens.h"

#include "cc/ops/checks.h"

namespace vllm_cann::ops {
namespace {

constexpr int64_t kMaxExperts = 2048;

}  // namespace

MoeComputeExpertTokensPlan PlanMoeComputeExpertTokens(const MoeComputeExpertTokensArgs& args,
                                                      const DeviceInfo& device) {
  constexpr Checks checks("moe_compute_expert_tokens");
  checks.Dense(args.sorted_experts, "sorted_experts", 1, "[entries]");
  checks.Type(args.sorted_experts, "sorted_experts", DataType::kInt32);
  checks.Dense(args.expert_tokens, "expert_tokens", 1, "[experts]");
  checks.Type(args.expert_tokens, "expert_tokens", DataType::kInt32);
  const int64_t entries = args.sorted_experts.shape[0];
  const int64_t experts = args.expert_tokens.shape[0];
  VLLM_CANN_REQUIRE(
      checks, experts >= 1 && experts <= kMaxExperts,
      "expert_tokens has " + Text(experts) + " experts; it can have 1 to " + Text(kMaxExperts));
  VLLM_CANN_REQUIRE(
      checks, entries <= INT32_MAX,
      "sorted_experts has " + Text(entries) + " entries; their number has to fit int32");
  checks.Device(device);
  MoeComputeExpertTokensPlan plan;
  plan.kernel = "moe_compute_expert_tokens";
  plan.tiling.entries = entries;
  plan.tiling.experts = experts;
  plan.tiling.experts_per_core = RoundUp(Ceil(experts, device.vector_cores), 8);
  plan.cores = static_cast<uint32_t>(Ceil(experts, plan.tiling.experts_per_core));
  return plan;
}

using Args = MoeComputeExpertTokensArgs;
[[maybe_unused]] const bool kDeclared = Declare(
    "moe_compute_expert_tokens", "moe", &PlanMoeComputeExpertTokens,
    {{"sorted_experts", &Args::sorted_experts}, {"expert_tokens", &Args::expert_tokens}}, {});

}  // namespace vllm_cann::ops
