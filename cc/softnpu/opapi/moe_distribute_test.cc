// cc/softnpu/opapi/moe_distribute_test.cc: limits of groups of experts.
#include "cc/softnpu/opapi/moe_distribute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "cc/softnpu/base/error.h"

namespace softnpu {
namespace {

using ::testing::HasSubstr;

uint32_t g_ranks = 16;
uint64_t g_megabytes = 200;

class ExpertGroups : public ::testing::Test {
 protected:
  void SetUp() override {
    static constexpr softnpu_groups kGroups{
        [](const char*) { return g_ranks; },           nullptr, [](const char*) { return 3; },
        [](const char*) { return g_megabytes << 20; }, nullptr, nullptr};
    softnpu_offer_groups(&kGroups);
    g_ranks = 16;
    g_megabytes = 200;
    unsetenv("HCCL_INTRA_PCIE_ENABLE");
    unsetenv("HCCL_INTRA_ROCE_ENABLE");
  }

  static ExpertGroup Group(const char* algorithm = "") {
    ExpertGroup group;
    group.name = "g";
    group.ranks = g_ranks;
    group.rank = 3;
    group.experts = 64;
    group.algorithm = algorithm;
    return group;
  }
  // The sentence of the refusal; empty when there is none.
  static std::string Check(const ExpertGroup& group, ExpertSizes sizes = {8, 64, 4, 512}) {
    try {
      CheckGroup(group, sizes);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), kAclnnTiling);
      return error.what();
    }
    return "";
  }
};

TEST_F(ExpertGroups, TakesWhatThePagesName) {
  EXPECT_EQ(Check(Group()), "");
  EXPECT_EQ(Check(Group("fullmesh")), "");
  EXPECT_EQ(Check(Group("hierarchy")), "");
  g_ranks = 4;
  EXPECT_EQ(Check(Group()), "");
  EXPECT_THAT(Check(Group("hierarchy")), HasSubstr("'epWorldSize' is 4; it must be one of 16, 32"));
}

TEST_F(ExpertGroups, TheEnvironmentChoosesWhereNobodyElseDoes) {
  EXPECT_FALSE(Group().IsHierarchy());
  setenv("HCCL_INTRA_PCIE_ENABLE", "1", 1);
  EXPECT_FALSE(Group().IsHierarchy());
  setenv("HCCL_INTRA_ROCE_ENABLE", "0", 1);
  EXPECT_TRUE(Group().IsHierarchy());
  EXPECT_FALSE(Group("fullmesh").IsHierarchy());
}

TEST_F(ExpertGroups, TheFirstVersionHasFewerExperts) {
  ExpertGroup group = Group();
  group.first_version = true;
  EXPECT_EQ(Check(group), "");
  group.experts = 400;
  EXPECT_THAT(Check(group), HasSubstr("a rank may have 24 experts"));
  group.experts = 528;
  EXPECT_THAT(Check(group), HasSubstr("'moeExpertNum' is 528; it must be 1 to 512"));
  group.first_version = false;
  EXPECT_EQ(Check(group), "");
}

TEST_F(ExpertGroups, HierarchyHasWiderTokensAndNoSpecialExperts) {
  EXPECT_EQ(Check(Group("hierarchy"), {8, 10240, 4, 512}), "");
  EXPECT_THAT(Check(Group(), {8, 10240, 4, 512}), HasSubstr("up to 7168"));
  ExpertGroup group = Group("hierarchy");
  group.zero_experts = 1;
  EXPECT_THAT(Check(group), HasSubstr("'zeroExpertNum' is 1; it must be 0 to 0"));
}

TEST_F(ExpertGroups, TheBufferHasToHoldAStep) {
  // 2 * (256 * 16 * 4 * 7168 * 2 + 2 MB)
  const ExpertSizes sizes{256, 7168, 4, 16384};
  EXPECT_THAT(Check(Group(), sizes),
              HasSubstr("200 MB; 256 tokens of 7168 elements need 473956352"));
  g_megabytes = 453;
  EXPECT_EQ(Check(Group(), sizes), "");
  g_megabytes = 451;
  EXPECT_THAT(Check(Group(), sizes), HasSubstr("HCCL_BUFFSIZE of 'groupEp' is 451 MB"));
}

TEST_F(ExpertGroups, RefusesWhatAnAtlasA2HasNot) {
  ExpertGroup group = Group();
  group.tp_name = "t";
  EXPECT_THAT(Check(group), HasSubstr("'groupTp' is 't'; it must be empty"));
  group = Group();
  group.shared_experts = 2;
  EXPECT_THAT(Check(group), HasSubstr("'sharedExpertNum' is 2; it may be 1 at most"));
  group = Group();
  group.rank = 4;
  EXPECT_THAT(Check(group), HasSubstr("and this is rank 3"));
  EXPECT_THAT(Check(Group(), {8, 64, 17, 512}), HasSubstr("there may be 1 to 16"));
  EXPECT_THAT(Check(Group(), {8, 64, 4, 511}), HasSubstr("need 512"));
}

}  // namespace
}  // namespace softnpu
