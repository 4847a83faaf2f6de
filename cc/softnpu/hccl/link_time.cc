// cc/softnpu/hccl/link_time.cc: bytes of the busiest link, by the kind of the call.
#include "cc/softnpu/hccl/link_time.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace softnpu::hccl {
namespace {

// The most of all ranks but `rank`.
uint64_t MostOfOthers(const uint64_t* counts, uint32_t ranks, uint32_t rank) {
  uint64_t most = 0;
  for (uint32_t other = 0; other < ranks; ++other) {
    if (other != rank) most = std::max(most, counts[other]);
  }
  return most;
}

uint64_t BusiestElements(const Call& call, uint32_t ranks, uint32_t rank) {
  switch (call.kind) {
    case Kind::kAllReduce:
      // The largest part, to its rank and from there.
      return 2 * ((call.count + ranks - 1) / ranks);
    case Kind::kReduceScatter:
    case Kind::kReduceScatterV:
      // The others' parts go, and this rank's comes from each of them.
      return *std::max_element(call.send_counts, call.send_counts + ranks);
    case Kind::kAllGather:
    case Kind::kAllGatherV:
      return *std::max_element(call.receive_counts, call.receive_counts + ranks);
    case Kind::kAlltoAll:
    case Kind::kAlltoAllV:
    case Kind::kAlltoAllVC:
      return std::max(MostOfOthers(call.send_counts, ranks, rank),
                      MostOfOthers(call.receive_counts, ranks, rank));
    case Kind::kReduce:
    case Kind::kBroadcast:
    case Kind::kScatter:
      return call.count;
    case Kind::kBarrier:
    case Kind::kExchange:
      return 0;
  }
  return 0;
}

}  // namespace

uint64_t BusiestLink(const Call& call, uint32_t ranks, uint32_t rank) {
  if (ranks == 1) return 0;
  return BusiestElements(call, ranks, rank) * Bytes(call.dtype);
}

uint64_t BusiestLink(const std::vector<Message>& messages, uint32_t ranks, uint32_t rank) {
  std::vector<uint64_t> sent(ranks);
  std::vector<uint64_t> received(ranks);
  for (const Message& message : messages) {
    (message.sends ? sent : received)[message.rank] += message.count * Bytes(message.dtype);
  }
  return std::max(MostOfOthers(sent.data(), ranks, rank),
                  MostOfOthers(received.data(), ranks, rank));
}

uint64_t BusiestLink(const softnpu_traffic& traffic, uint32_t ranks, uint32_t rank) {
  return std::max(MostOfOthers(traffic.sent, ranks, rank),
                  MostOfOthers(traffic.received, ranks, rank));
}

uint32_t LinkTime(uint64_t bytes, double rate) {
  if (rate <= 0) return 0;
  constexpr double kMost = std::numeric_limits<uint32_t>::max();
  return static_cast<uint32_t>(std::min(kMost, std::ceil(static_cast<double>(bytes) / rate)));
}

}  // namespace softnpu::hccl
