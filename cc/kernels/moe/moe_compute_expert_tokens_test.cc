// cc/kernels/moe/moe_compute_expert_tokens_test.cc: the kernel against std::upper_bound.
#include "cc/ops/moe/moe_compute_expert_tokens.h"

#include <algorithm>
#include <random>

#include "cc/kernels/conformance.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;
using vllm_cann::kernels::CaseName;
using vllm_cann::kernels::RunConformance;
using vllm_cann::ops::DataType;
using vllm_cann::ops::MoeComputeExpertTokensArgs;
using vllm_cann::ops::PlanMoeComputeExpertTokens;

const Twin& MoeTwin() {
  static const Twin twin("cc/kernels/moe/moe.twin.so");
  return twin;
}

std::vector<int32_t> Counts(const std::vector<int32_t>& sorted, int64_t experts,
                            int64_t cores = 40) {
  HostMemory memory;
  MoeComputeExpertTokensArgs args;
  const auto entries = static_cast<int64_t>(sorted.size());
  args.sorted_experts = {DataType::kInt32, 1, {entries}, {1}, memory.Put(sorted, "sorted_experts")};
  const auto bytes = static_cast<size_t>(experts * 4);
  args.expert_tokens = {
      DataType::kInt32, 1, {experts}, {1}, memory.Allocate(bytes, "expert_tokens")};
  const auto plan = PlanMoeComputeExpertTokens(args, {"Ascend910B3", 2201, cores, 196608});
  const Slots packed(args.sorted_experts.address, args.expert_tokens.address, plan.tiling);
  softnpu::ascendc::LaunchForOutputs(Chip910B(), memory, MoeTwin()[plan.kernel], packed.data(),
                                     packed.bytes(), plan.cores,
                                     {{args.expert_tokens.address, bytes, "expert_tokens"}});
  return memory.Get<int32_t>(args.expert_tokens.address);
}

struct Case {
  int64_t entries;
  int64_t experts;
  int range;  // entries of 0: all experts, 1: some of them, 2: also negative and too large ones
};

std::string Check(const Case& test) {
  std::mt19937 random(13);
  std::vector<int32_t> sorted(static_cast<size_t>(test.entries));
  const auto experts = static_cast<int32_t>(test.experts);
  for (int32_t& entry : sorted) {
    const auto draw = static_cast<int32_t>(random() % 100000);
    entry = test.range == 0   ? draw % experts
            : test.range == 1 ? experts / 2 + draw % (experts / 4 + 1)
                              : draw % (experts + 6) - 3;
  }
  std::sort(sorted.begin(), sorted.end());
  const std::vector<int32_t> found = Counts(sorted, test.experts);
  for (int32_t e = 0; e < experts; ++e) {
    const auto want = std::upper_bound(sorted.begin(), sorted.end(), e) - sorted.begin();
    if (found[static_cast<size_t>(e)] != want) {
      return "expert " + std::to_string(e) + " has " +
             std::to_string(found[static_cast<size_t>(e)]) + ", not " + std::to_string(want);
    }
  }
  return "";
}

TEST(MoeComputeExpertTokens, Conformance) {
  const std::vector<int64_t> entries = {0, 1, 8, 1000, 8000};
  const std::vector<int64_t> experts = {1, 8, 256, 2048};
  const size_t ran = RunConformance<3>(
      "moe_compute_expert_tokens", {entries.size(), experts.size(), 3},
      [&](const std::array<size_t, 3>& c) {
        return Case{entries[c[0]], experts[c[1]], static_cast<int>(c[2])};
      },
      [](const Case& test) {
        return CaseName{"entries " + std::to_string(test.entries) + " experts " +
                            std::to_string(test.experts) + " range " + std::to_string(test.range),
                        "int32", "sorted"};
      },
      Check);
  EXPECT_GE(ran, 20u);
}

TEST(MoeComputeExpertTokens, WorkedExample) {
  EXPECT_EQ(Counts({0, 0, 0, 1, 1, 2}, 3), (std::vector<int32_t>{3, 5, 6}));
}

TEST(MoeComputeExpertTokens, OneCoreForAllExperts) {
  EXPECT_EQ(Counts({1, 1, 19}, 20, 1),
            (std::vector<int32_t>{0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3}));
}

}  // namespace
