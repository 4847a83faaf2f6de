// cc/softnpu/hccl/link_time_test.cc: bytes that a link carries for each kind of call.
#include "cc/softnpu/hccl/link_time.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace softnpu::hccl {
namespace {

Call Of(Kind kind, uint64_t count, const std::vector<uint64_t>& sent = {},
        const std::vector<uint64_t>& received = {}) {
  Call call;
  call.kind = kind;
  call.dtype = DType::kFloat32;
  call.count = count;
  std::copy(sent.begin(), sent.end(), call.send_counts);
  std::copy(received.begin(), received.end(), call.receive_counts);
  return call;
}

TEST(BusiestLink, AReductionForAllSendsItsPartsTwice) {
  // Of 10 elements, 4 ranks have parts of 3 at most.
  EXPECT_EQ(BusiestLink(Of(Kind::kAllReduce, 10), 4, 0), 2u * 3 * 4);
  EXPECT_EQ(BusiestLink(Of(Kind::kAllReduce, 8), 2, 1), 2u * 4 * 4);
}

TEST(BusiestLink, OneRootHasALinkToEachRank) {
  for (const Kind kind : {Kind::kReduce, Kind::kBroadcast, Kind::kScatter}) {
    EXPECT_EQ(BusiestLink(Of(kind, 10), 4, 2), 10u * 4) << NameOf(kind);
  }
  EXPECT_EQ(BusiestLink(Of(Kind::kBarrier, 0), 4, 0), 0u);
}

TEST(BusiestLink, UnevenPartsCountByTheLargest) {
  EXPECT_EQ(BusiestLink(Of(Kind::kReduceScatterV, 5, {5, 7, 0}), 3, 0), 7u * 4);
  EXPECT_EQ(BusiestLink(Of(Kind::kAllGatherV, 5, {}, {5, 2, 3}), 3, 0), 5u * 4);
  // What a rank keeps is on no link.
  EXPECT_EQ(BusiestLink(Of(Kind::kAlltoAllV, 0, {100, 2, 3}, {100, 1, 6}), 3, 0), 6u * 4);
  EXPECT_EQ(BusiestLink(Of(Kind::kAlltoAllV, 0, {4, 100, 3}, {1, 100, 2}), 3, 1), 4u * 4);
}

TEST(BusiestLink, OneRankHasNoLink) {
  EXPECT_EQ(BusiestLink(Of(Kind::kAllReduce, 10), 1, 0), 0u);
  EXPECT_EQ(BusiestLink(Of(Kind::kAllGather, 10, {}, {10}), 1, 0), 0u);
}

TEST(BusiestLink, MessagesToOneRankAreOnOneLink) {
  const auto message = [](bool sends, uint64_t count, uint32_t rank) {
    return Message{sends, nullptr, count, DType::kInt8, rank};
  };
  EXPECT_EQ(BusiestLink({message(true, 5, 1), message(true, 6, 1), message(true, 7, 2)}, 3, 0),
            11u);
  // Both ways at once, and one to itself.
  EXPECT_EQ(BusiestLink({message(true, 5, 1), message(false, 6, 1), message(true, 9, 0),
                         message(false, 9, 0)},
                        3, 0),
            6u);
}

TEST(BusiestLink, AnExchangeCountsWhatGoesToOtherRanks) {
  softnpu_traffic traffic = {};
  traffic.sent[0] = 100;
  traffic.sent[2] = 7;
  traffic.received[0] = 100;
  traffic.received[1] = 8;
  EXPECT_EQ(BusiestLink(traffic, 3, 0), 8u);
  EXPECT_EQ(BusiestLink(traffic, 3, 1), 100u);
  EXPECT_EQ(BusiestLink(traffic, 1, 0), 0u);
}

TEST(LinkTime, IsRoundedUpAndNothingWithoutARate) {
  EXPECT_EQ(LinkTime(1 << 20, 28.0), 37450u);
  EXPECT_EQ(LinkTime(28, 28.0), 1u);
  EXPECT_EQ(LinkTime(0, 28.0), 0u);
  EXPECT_EQ(LinkTime(1 << 20, 0.0), 0u);
  EXPECT_EQ(LinkTime(uint64_t{1} << 60, 28.0), UINT32_MAX);
}

}  // namespace
}  // namespace softnpu::hccl
