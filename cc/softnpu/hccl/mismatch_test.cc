// cc/softnpu/hccl/mismatch_test.cc: one rank of four calls something else. All ranks end in an
// error that names both calls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/hccl/testing/calls.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu::hccl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint32_t kRanks = 4;
constexpr uint64_t kElements = 64;

class Mismatch : public ::testing::Test {
 protected:
  void SetUp() override {
    SetCurrentDevice(0);
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      for (std::vector<void*>* buffers : {&sends_, &receives_}) {
        DeviceMemory& memory = DeviceOf(rank).memory();
        buffers->push_back(memory.Allocate(kElements * sizeof(double)));
        memory.NoteWritten(
            softnpu::Bytes("values", buffers->back(), kElements * sizeof(double), SOFTNPU_WRITES));
      }
    }
  }
  void TearDown() override {
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      DeviceOf(rank).memory().Free(sends_[rank]);
      DeviceOf(rank).memory().Free(receives_[rank]);
    }
  }

  static Device& DeviceOf(uint32_t rank) { return GetDevice(static_cast<int>(rank)); }

  std::vector<void*> Join() {
    std::vector<int32_t> devices = {0, 1, 2, 3};
    std::vector<void*> comms(kRanks);
    EXPECT_EQ(HcclCommInitAll(kRanks, devices.data(), comms.data()), 0) << softnpu_message();
    return comms;
  }

  // "<code> <sentence>" of the device's error, which ends here.
  static std::string End(uint32_t rank) {
    std::string out;
    try {
      DeviceOf(rank).Synchronize(-1);
    } catch (const Error& error) {
      out = std::to_string(error.code()) + " " + error.what();
    }
    DeviceOf(rank).Reset();
    return out;
  }

  // All ranks call `usual`, but `odd_rank` calls `odd`. Their sentences show `usual_text` and
  // `odd_text` of these calls.
  void Expect(const Asked& usual, const std::string& usual_text, const Asked& odd,
              const std::string& odd_text, uint32_t odd_rank) {
    SCOPED_TRACE(usual_text + " and " + odd_text);
    const std::vector<void*> comms = Join();
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      ASSERT_EQ(Ask(rank == odd_rank ? odd : usual, kRanks, rank, sends_[rank], receives_[rank],
                    comms[rank], nullptr),
                0)
          << softnpu_message();
    }
    const std::string call = std::string("called ") + NameOf(usual.kind) + " #1" + usual_text;
    const std::string odd_call =
        "rank " + std::to_string(odd_rank) + " called " + NameOf(odd.kind) + " #1" + odd_text;
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      EXPECT_THAT(End(rank), AllOf(StartsWith("507048 "), HasSubstr(odd_call), HasSubstr(call),
                                   HasSubstr("[HCCL_E_PARA, 1]")))
          << "rank " << rank;
      int32_t code = 0;
      EXPECT_EQ(HcclGetCommAsyncError(comms[rank], &code), 0);
      EXPECT_EQ(code, static_cast<int32_t>(kPara));
      EXPECT_EQ(HcclCommDestroy(comms[rank]), 0);
    }
  }

  std::vector<void*> sends_, receives_;
};

// What a sentence says of the size and type, in brackets.
std::string TextOf(const Asked& asked) {
  const std::string count = std::to_string(asked.count);
  const std::string dtype = NameOf(asked.dtype);
  const std::string reduction = NameOf(asked.reduction);
  const std::string root = std::to_string(asked.root);
  std::string all;
  for (uint32_t rank = 0; rank < kRanks; ++rank) all += (rank == 0 ? "" : ", ") + count;
  switch (asked.kind) {
    case Kind::kAllReduce:
    case Kind::kReduceScatter:
      return " (" + count + " " + dtype + ", " + reduction + ")";
    case Kind::kReduce:
      return " (" + count + " " + dtype + ", " + reduction + ", to rank " + root + ")";
    case Kind::kReduceScatterV:
      return " (" + all + " " + dtype + ", " + reduction + ")";
    case Kind::kAllGather:
      return " (" + count + " " + dtype + ")";
    case Kind::kAllGatherV:
      return " (" + all + " " + dtype + ")";
    case Kind::kAlltoAll:
    case Kind::kAlltoAllV:
    case Kind::kAlltoAllVC:
      return " (sends " + all + " " + dtype + ", receives " + all + " " + dtype + ")";
    case Kind::kBroadcast:
    case Kind::kScatter:
      return " (" + count + " " + dtype + ", from rank " + root + ")";
    case Kind::kBarrier:
    case Kind::kExchange:
      return "";
  }
  return "?";
}

TEST_F(Mismatch, OfTheCollective) {
  uint32_t odd_rank = 0;
  for (const Kind kind : kKinds) {
    for (const Kind other : kKinds) {
      if (kind == other) continue;
      const Asked usual = {.kind = kind};
      const Asked odd = {.kind = other};
      Expect(usual, TextOf(usual), odd, TextOf(odd), odd_rank++ % kRanks);
      if (HasFailure()) return;
    }
  }
}

TEST_F(Mismatch, OfAnArgument) {
  uint32_t odd_rank = 0;
  for (const Kind kind : kKinds) {
    const Asked usual = {.kind = kind};
    std::vector<Asked> odds;
    if (kind != Kind::kBarrier) {
      odds.push_back({.kind = kind, .count = 7});
      odds.push_back({.kind = kind, .count = 0});
      odds.push_back({.kind = kind, .dtype = DType::kInt32});
      odds.push_back({.kind = kind, .dtype = DType::kFloat16});
    }
    if (HasReduction(kind)) {
      for (const Reduction other : {Reduction::kProd, Reduction::kMax, Reduction::kMin}) {
        odds.push_back({.kind = kind, .reduction = other});
      }
    }
    if (HasRoot(kind)) odds.push_back({.kind = kind, .root = 3});
    for (const Asked& odd : odds) {
      Expect(usual, TextOf(usual), odd, TextOf(odd), odd_rank++ % kRanks);
      if (HasFailure()) return;
    }
  }
}

TEST_F(Mismatch, OfAMessage) {
  for (const auto& [count, dtype, text] :
       std::vector<std::tuple<uint64_t, DType, std::string>>{{7, DType::kFloat32, "7 float32"},
                                                             {0, DType::kFloat32, "0 float32"},
                                                             {8, DType::kInt32, "8 int32"}}) {
    const std::vector<void*> comms = Join();
    // Each sends to the next one; what rank 1 sends is not what rank 2 waits for.
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      SendRecvItem items[] = {
          {0, sends_[rank], rank == 1 ? count : 8,
           static_cast<int32_t>(rank == 1 ? dtype : DType::kFloat32), (rank + 1) % kRanks},
          {1, receives_[rank], 8, static_cast<int32_t>(DType::kFloat32),
           (rank + kRanks - 1) % kRanks}};
      ASSERT_EQ(HcclBatchSendRecv(items, 2, comms[rank], nullptr), 0) << softnpu_message();
    }
    const std::string sentence =
        "rank 2 receives message #1 (8 float32) from rank 1, which is of " + text;
    for (const uint32_t rank : {1U, 2U}) {
      EXPECT_THAT(End(rank),
                  AllOf(StartsWith("507048 "), HasSubstr(sentence), HasSubstr("[HCCL_E_PARA, 1]")));
    }
    // The others have their messages, or hear of it where they still wait.
    for (const uint32_t rank : {0U, 3U}) {
      const std::string end = End(rank);
      EXPECT_TRUE(end.empty() || end.find(sentence) != std::string::npos) << end;
    }
    for (void* const comm : comms) EXPECT_EQ(HcclCommDestroy(comm), 0);
  }
}

// A rank that sends a message instead calls nothing that the others could compare: they wait.
TEST_F(Mismatch, OfACollectiveAndAMessageEndsByTheTimeout) {
  std::vector<std::vector<void*>> groups;
  std::vector<void*> streams;
  for (const Kind kind : kKinds) {
    groups.push_back(Join());
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      streams.push_back(DeviceOf(rank).CreateStream());
      if (rank == 2) {
        ASSERT_EQ(HcclSend(sends_[rank], 8, static_cast<int32_t>(DType::kFloat32), 0,
                           groups.back()[rank], streams.back()),
                  0);
      } else {
        ASSERT_EQ(Ask({.kind = kind}, kRanks, rank, sends_[rank], receives_[rank],
                      groups.back()[rank], streams.back()),
                  0);
      }
    }
  }
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_THAT(End(rank), AllOf(StartsWith("507048 "), HasSubstr(" within 1 s"),
                                 HasSubstr("[HCCL_E_TIMEOUT, 9]")));
  }
  for (const std::vector<void*>& comms : groups) {
    for (void* const comm : comms) {
      int32_t code = 0;
      EXPECT_EQ(HcclGetCommAsyncError(comm, &code), 0);
      EXPECT_EQ(code, static_cast<int32_t>(kTimeout));
      EXPECT_EQ(HcclCommDestroy(comm), 0);
    }
  }
  for (void* const stream : streams) softnpu::Streams().Remove(stream)->Close(false);
}

}  // namespace
}  // namespace softnpu::hccl
