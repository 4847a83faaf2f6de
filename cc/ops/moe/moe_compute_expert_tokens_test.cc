// cc/ops/moe/moe_compute_expert_tokens_test.cc: every refusal is a sentence that names the
// value.
#include "cc/ops/moe/moe_compute_expert_tokens.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vllm_cann::ops {
namespace {

using ::testing::HasSubstr;

const DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};

MoeComputeExpertTokensArgs Good() {
  MoeComputeExpertTokensArgs args;
  args.sorted_experts = {DataType::kInt32, 1, {100}, {1}};
  args.expert_tokens = {DataType::kInt32, 1, {256}, {1}};
  return args;
}

TEST(PlanMoeComputeExpertTokens, SharesExpertsInWholeBlocks) {
  EXPECT_EQ(PlanMoeComputeExpertTokens(Good(), kDevice).cores, 32u);
  EXPECT_EQ(PlanMoeComputeExpertTokens(Good(), kDevice).tiling.experts_per_core, 8);
}

TEST(PlanMoeComputeExpertTokens, RefusesByName) {
  const std::vector<std::pair<std::function<void(MoeComputeExpertTokensArgs&)>, const char*>>
      cases = {
          {[](auto& a) { a.sorted_experts.dims = 2; }, "sorted_experts has 2 dimensions"},
          {[](auto& a) { a.sorted_experts.type = DataType::kInt64; }, "is int64, not int32"},
          {[](auto& a) { a.sorted_experts.strides[0] = 2; }, "has stride 2 in dimension 0"},
          {[](auto& a) { a.sorted_experts.shape[0] = int64_t{1} << 31; },
           "sorted_experts has 2147483648 entries; their number has to fit int32"},
          {[](auto& a) { a.expert_tokens.dims = 0; }, "expert_tokens has 0 dimensions"},
          {[](auto& a) { a.expert_tokens.type = DataType::kFloat; }, "is float32, not int32"},
          {[](auto& a) { a.expert_tokens.shape[0] = 0; }, "expert_tokens has 0 experts; it can"},
          {[](auto& a) { a.expert_tokens.shape[0] = 2049; }, "has 2049 experts; it can have 1 to"},
  };
  for (const auto& [spoil, sentence] : cases) {
    MoeComputeExpertTokensArgs args = Good();
    spoil(args);
    EXPECT_THAT([&] { PlanMoeComputeExpertTokens(args, kDevice); },
                ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr(sentence)));
  }
  EXPECT_THAT([] { PlanMoeComputeExpertTokens(Good(), {"Ascend310P3", 2002, 8, 262144}); },
              ::testing::ThrowsMessage<std::invalid_argument>(
                  HasSubstr("Ascend310P3 has neither DataCopyPad nor bfloat16")));
}

}  // namespace
}  // namespace vllm_cann::ops
