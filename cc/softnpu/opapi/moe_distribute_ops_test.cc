// cc/softnpu/opapi/moe_distribute_ops_test.cc: dispatch and combine in a group whose other ranks do
// what this one does, and what they refuse. Groups of processes, against a reference, are in
// tests/softnpu/moe_distribute_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "cc/softnpu/runtime/acl_abi.h"
#include "tests/softnpu/aclnn.h"

namespace softnpu {

using T = const Tensor*;
using I = int64_t;
using S = const char*;

ACLNN_DECLARE(MoeDistributeDispatch, T, T, T, T, T, S, I, I, I, S, I, I, I, I, I, I, I, I, T, T, T,
              T, T, T, T)
ACLNN_DECLARE(MoeDistributeDispatchV2, T, T, T, T, T, S, I, I, I, S, I, I, I, I, I, I, I, I, S, T,
              T, T, T, T, T, T)
ACLNN_DECLARE(MoeDistributeDispatchV3, T, T, T, T, T, T, S, I, I, I, S, I, I, I, I, I, I, I, I, S,
              I, I, I, T, T, T, T, T, T, T)
ACLNN_DECLARE(MoeDistributeDispatchV4, T, T, T, T, T, T, T, S, I, I, I, S, I, I, I, I, I, I, I, I,
              S, I, I, I, T, T, T, T, T, T, T)
ACLNN_DECLARE(MoeDistributeCombine, T, T, T, T, T, T, T, T, T, T, T, S, I, I, I, S, I, I, I, I, I,
              I, I, I, I, T)
ACLNN_DECLARE(MoeDistributeCombineV2, T, T, T, T, T, T, T, T, T, T, T, T, S, I, I, I, S, I, I, I, I,
              I, I, I, I, I, S, T)
ACLNN_DECLARE(MoeDistributeCombineV3, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, S, I, I, I,
              S, I, I, I, I, I, I, I, I, I, S, I, I, I, T)
ACLNN_DECLARE(MoeDistributeCombineV4, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, S, I, I,
              I, S, I, I, I, I, I, I, I, I, I, S, I, I, I, T)

namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Tensor* const kNone = nullptr;
constexpr I kHidden = 32;

I g_ranks = 2;

uint32_t Ranks(const char* group) {
  return std::strcmp(group, "g") == 0 ? static_cast<uint32_t>(g_ranks) : 0;
}
int32_t RankOf(const char*) { return 0; }
uint64_t Buffer(const char*) { return 200u << 20; }

// An exchange in which all ranks show what this one shows.
struct Mirrored {
  softnpu_exchange exchange;
  std::string form;
};
std::string g_form;
softnpu_traffic g_traffic;  // of the latest one

int32_t RunMirrored(void* context) {
  const softnpu_exchange& exchange = static_cast<Mirrored*>(context)->exchange;
  softnpu_peer peer = {};
  for (uint32_t i = 0; i < exchange.window_count; ++i) {
    const softnpu_window& window = exchange.windows[i];
    if (window.address == nullptr) continue;
    peer.windows[i] =
        static_cast<const unsigned char*>(softnpu_translate(window.address, window.bytes));
  }
  peer.numbers = exchange.numbers;
  const std::vector<softnpu_peer> peers(static_cast<size_t>(g_ranks), peer);
  g_traffic = {};
  return exchange.run(exchange.context, peers.data(), &g_traffic);
}
void DropMirrored(void* context) {
  auto* const mirrored = static_cast<Mirrored*>(context);
  mirrored->exchange.drop(mirrored->exchange.context);
  delete mirrored;
}
void GiveUp(const char*, const char*) {}
int32_t Exchange(const char*, const softnpu_exchange* exchange, void* stream) {
  g_form = exchange->form;
  return softnpu_enqueue(stream, exchange->name, RunMirrored, DropMirrored,
                         new Mirrored{*exchange, exchange->form}, nullptr, 0);
}

// Row t has t + 1 in each place.
std::vector<double> Tokens(I count) {
  std::vector<double> out;
  for (I i = 0; i < count * kHidden; ++i) out.push_back(static_cast<double>(i / kHidden + 1));
  return out;
}

// What dispatch gives; `room` rows.
struct Taken {
  Taken(DType dtype, I room, I batch, I experts)
      : rows(dtype, {room, kHidden}),
        scales(DType::kFloat, {room}),
        places(DType::kInt32, {batch > 0 ? batch : room * 128}),
        tokens(DType::kInt64, {experts / g_ranks}),
        counts(DType::kInt32, {experts}),
        weights(DType::kFloat, {room}) {}
  DeviceTensor rows, scales, places, tokens, counts, weights;
};

class MoeDistribute : public ::testing::Test {
 protected:
  void SetUp() override {
    static constexpr softnpu_groups kGroups{Ranks, nullptr, RankOf, Buffer, Exchange, GiveUp};
    softnpu_offer_groups(&kGroups);
    g_ranks = 2;
  }

  // The second version with two tokens that choose expert `first` and `second` of two.
  std::string Dispatch(Taken& taken, T mask = nullptr, I quant = 0, const char* algorithm = "",
                       I experts = 2, I ranks = 2, I rank = 0, I batch = 0) {
    return CALL(MoeDistributeDispatchV2, x_, ids_, kNone, mask, expert_scales_, "g", ranks, rank,
                experts, "", 0, 0, 0, 1, 0, quant, batch, 1, algorithm, taken.rows, taken.scales,
                taken.places, taken.tokens, taken.counts, kNone, taken.weights)
        .result;
  }
  std::string Combine(const Taken& taken, T out, T mask = nullptr) {
    return CALL(MoeDistributeCombineV2, taken.rows, ids_, taken.places, taken.counts,
                expert_scales_, kNone, mask, kNone, kNone, kNone, taken.weights, kNone, "g", 2, 0,
                2, "", 0, 0, 0, 1, 0, 0, 0, 0, 0, "", out)
        .result;
  }

  const DeviceTensor x_{DType::kHalf, {2, kHidden}, Tokens(2)};
  const DeviceTensor ids_{DType::kInt32, {2, 1}, {0, 0}};
  const DeviceTensor expert_scales_{DType::kFloat, {2, 1}, {0.5, 4}};
};

TEST_F(MoeDistribute, TokensOfAllRanksComeAndGo) {
  Taken taken(DType::kHalf, 4, 0, 2);
  ASSERT_EQ(Dispatch(taken), "ran");
  EXPECT_EQ(g_form, "float16 x 32, 1 of 2 experts, globalBs 4");
  // Both tokens of both ranks, by rank.
  std::vector<double> twice = Tokens(2);
  twice.insert(twice.end(), twice.begin(), twice.end());
  EXPECT_EQ(taken.rows.Values(), twice);
  EXPECT_THAT(taken.tokens.Integers(), ElementsAre(4));
  EXPECT_THAT(taken.counts.Integers(), ElementsAre(2, 4));
  EXPECT_THAT(taken.weights.Values(), ElementsAre(0.5, 4, 0.5, 4));
  EXPECT_EQ(taken.places.Written().substr(0, 5), "www..");
  const DeviceTensor out(DType::kHalf, {2, kHidden});
  ASSERT_EQ(Combine(taken, out), "ran");
  std::vector<double> expected(kHidden, 0.5);
  expected.resize(2 * kHidden, 8);
  EXPECT_EQ(out.Values(), expected);
}

// A row is 32 numbers, with its weight on the way to the expert, and as int8 with its scale.
TEST_F(MoeDistribute, CountsWhatLinksCarry) {
  const auto links = [] {
    return std::vector<uint64_t>{g_traffic.sent[0], g_traffic.sent[1], g_traffic.received[0],
                                 g_traffic.received[1]};
  };
  // Both tokens of both ranks are for expert 0, of rank 0.
  Taken taken(DType::kHalf, 4, 0, 2);
  ASSERT_EQ(Dispatch(taken), "ran");
  EXPECT_THAT(links(), ElementsAre(2 * 68, 0, 2 * 68, 2 * 68));
  const DeviceTensor out(DType::kHalf, {2, kHidden});
  ASSERT_EQ(Combine(taken, out), "ran");
  EXPECT_THAT(links(), ElementsAre(2 * 64, 2 * 64, 2 * 64, 0));
  Taken quantised(DType::kInt8, 4, 0, 2);
  ASSERT_EQ(Dispatch(quantised, kNone, 2), "ran");
  EXPECT_THAT(links(), ElementsAre(2 * 40, 0, 2 * 40, 2 * 40));
  // One of the tokens takes no part.
  const DeviceTensor mask(DType::kBool, {2}, {1, 0});
  ASSERT_EQ(Dispatch(taken, mask), "ran");
  EXPECT_THAT(links(), ElementsAre(68, 0, 68, 68));
  ASSERT_EQ(Combine(taken, out, mask), "ran");
  EXPECT_THAT(links(), ElementsAre(64, 64, 64, 0));
}

TEST_F(MoeDistribute, WhatTakesNoPartStaysAway) {
  const DeviceTensor mask(DType::kBool, {2}, {1, 0});
  Taken taken(DType::kHalf, 4, 0, 2);
  ASSERT_EQ(Dispatch(taken, mask), "ran");
  EXPECT_THAT(taken.tokens.Integers(), ElementsAre(2));
  EXPECT_EQ(taken.weights.Written(), "ww..");
  const DeviceTensor out(DType::kHalf, {2, kHidden});
  ASSERT_EQ(Combine(taken, out, mask), "ran");
  EXPECT_EQ(out.Written(), std::string(kHidden, 'w') + std::string(kHidden, '.'));
  const DeviceTensor gap(DType::kBool, {2}, {0, 1});
  EXPECT_THAT(Dispatch(taken, gap), HasSubstr("those that are true must be first"));
}

TEST_F(MoeDistribute, RowsOfInt8HaveTheScaleOfTheirLargestNumber) {
  Taken taken(DType::kInt8, 4, 0, 2);
  ASSERT_EQ(Dispatch(taken, kNone, 2), "ran");
  EXPECT_THAT(taken.rows.Values(), Each(127));
  const double one = 1 / 127.0F;
  const double two = 1 / (127.0F / 2);
  EXPECT_THAT(taken.scales.Values(), ElementsAre(static_cast<float>(one), static_cast<float>(two),
                                                 static_cast<float>(one), static_cast<float>(two)));
}

TEST_F(MoeDistribute, ExpertsThatComputeNothing) {
  // Experts 0 and 1, one of zero, one that copies.
  const DeviceTensor ids(DType::kInt32, {2, 3}, {0, 2, 3, 2, 3, 0});
  const DeviceTensor scales(DType::kFloat, {2, 3}, {1, 10, 100, 1, 10, 100});
  const Taken taken(DType::kHalf, 4, 0, 2);
  ASSERT_EQ(CALL(MoeDistributeDispatchV3, x_, ids, kNone, kNone, scales, kNone, "g", 2, 0, 2, "", 0,
                 0, 0, 1, 0, 0, 0, 0, "fullmesh", 1, 1, 0, taken.rows, taken.scales, taken.places,
                 taken.tokens, taken.counts, kNone, taken.weights)
                .result,
            "ran");
  const DeviceTensor out(DType::kHalf, {2, kHidden});
  ASSERT_EQ(CALL(MoeDistributeCombineV3, taken.rows, ids, taken.places, taken.counts, scales, kNone,
                 kNone, kNone, kNone, kNone, taken.weights, kNone, kNone, x_, kNone, kNone, kNone,
                 "g", 2, 0, 2, "", 0, 0, 0, 1, 0, 0, 0, 0, 0, "", 1, 1, 0, out)
                .result,
            "ran");
  std::vector<double> expected(kHidden, 101);
  expected.resize(2 * kHidden, 220);
  EXPECT_EQ(out.Values(), expected);
  EXPECT_THAT(
      CALL(MoeDistributeCombineV4, taken.rows, ids, taken.places, taken.counts, scales, kNone,
           kNone, kNone, kNone, kNone, taken.weights, kNone, kNone, kNone, kNone, kNone, kNone,
           kNone, "g", 2, 0, 2, "", 0, 0, 0, 1, 0, 0, 0, 0, 0, "", 1, 1, 0, out)
          .result,
      HasSubstr("'copyExpertNum' is 1, and 'oriX' is null"));
}

TEST_F(MoeDistribute, TheFirstVersionNumbersAssignments) {
  g_ranks = 16;
  const Taken taken(DType::kHalf, 32, 2, 16);
  ASSERT_EQ(CALL(MoeDistributeDispatch, x_, ids_, kNone, kNone, expert_scales_, "g", 16, 0, 16, "",
                 0, 0, 0, 1, 0, 0, 0, 1, taken.rows, taken.scales, taken.places, taken.tokens,
                 taken.counts, kNone, taken.weights)
                .result,
            "ran");
  EXPECT_THAT(taken.places.Integers(), ElementsAre(0, 1));
  EXPECT_THAT(taken.tokens.Integers(), ElementsAre(32));
  const DeviceTensor out(DType::kHalf, {2, kHidden});
  ASSERT_EQ(CALL(MoeDistributeCombine, taken.rows, ids_, taken.places, taken.counts, expert_scales_,
                 kNone, kNone, kNone, kNone, kNone, taken.weights, "g", 16, 0, 16, "", 0, 0, 0, 1,
                 0, 0, 0, 0, 0, out)
                .result,
            "ran");
  std::vector<double> expected(kHidden, 0.5);
  expected.resize(2 * kHidden, 8);
  EXPECT_EQ(out.Values(), expected);
}

TEST_F(MoeDistribute, CombineMissesRowsOfAnotherDispatch) {
  const DeviceTensor mask(DType::kBool, {2}, {1, 0});
  Taken taken(DType::kHalf, 4, 0, 2);
  ASSERT_EQ(Dispatch(taken, mask), "ran");
  const DeviceTensor out(DType::kHalf, {2, kHidden});
  EXPECT_THAT(Combine(taken, out), HasSubstr("rank 0 has no row of expert 0 for token 1"));
  // Of four experts a rank has two: these tokens had the first one.
  Taken wider(DType::kHalf, 4, 0, 4);
  ASSERT_EQ(Dispatch(wider, kNone, 0, "", 4), "ran");
  const DeviceTensor others(DType::kInt32, {2, 1}, {0, 1});
  EXPECT_THAT(CALL(MoeDistributeCombineV2, wider.rows, others, wider.places, wider.counts,
                   expert_scales_, kNone, kNone, kNone, kNone, kNone, wider.weights, kNone, "g", 2,
                   0, 4, "", 0, 0, 0, 1, 0, 0, 0, 0, 0, "", out)
                  .result,
              HasSubstr("rank 0 has no row of expert 1 for token 1"));
}

TEST_F(MoeDistribute, RefusesByName) {
  Taken taken(DType::kHalf, 4, 0, 2);
  EXPECT_THAT(Dispatch(taken, kNone, 1), HasSubstr("refused 561002: aclnnMoeDistributeDispatchV2: "
                                                   "'quantMode' is 1; it must be 0 or 2"));
  EXPECT_THAT(Dispatch(taken, kNone, 2), HasSubstr("'expandX' is float16"));
  EXPECT_THAT(Dispatch(taken, kNone, 0, "ring"), HasSubstr("'commAlg' is 'ring'"));
  EXPECT_THAT(Dispatch(taken, kNone, 0, "hierarchy"), HasSubstr("one of 16, 32, 64"));
  EXPECT_THAT(Dispatch(taken, kNone, 0, "", 3), HasSubstr("'moeExpertNum' is 3"));
  EXPECT_THAT(Dispatch(taken, kNone, 0, "", 2, 9), HasSubstr("'epWorldSize' is 9"));
  EXPECT_THAT(Dispatch(taken, kNone, 0, "", 3, 3), HasSubstr("'groupEp' has 2 ranks"));
  EXPECT_THAT(Dispatch(taken, kNone, 0, "", 2, 2, 1), HasSubstr("'epRankId' 1"));
  EXPECT_THAT(Dispatch(taken, kNone, 0, "", 2, 2, 0, 2), HasSubstr("'globalBs' is 2"));
  EXPECT_THAT(Dispatch(taken, kNone, 0, "", 2, 2, 0, 6), HasSubstr("2 ranks need 6"));
  const DeviceTensor mask(DType::kBool, {3}, {1, 1, 1});
  EXPECT_THAT(Dispatch(taken, mask), HasSubstr("'xActiveMask' is bool [3]; it must be [2]"));
  EXPECT_THAT(
      CALL(MoeDistributeDispatchV4, x_, ids_, kNone, kNone, expert_scales_, kNone, expert_scales_,
           "g", 2, 0, 2, "", 0, 0, 0, 1, 0, 0, 0, 1, "", 0, 0, 0, taken.rows, taken.scales,
           taken.places, taken.tokens, taken.counts, kNone, taken.weights)
          .result,
      HasSubstr("561103: aclnnMoeDistributeDispatchV4: 'performanceInfo' is given"));
  const DeviceTensor out(DType::kBfloat16, {2, kHidden});
  EXPECT_THAT(Combine(taken, out), HasSubstr("'x' is bfloat16"));
}

}  // namespace
}  // namespace softnpu
