// cc/softnpu/hccl/hccl_test.cc: four devices of one process, each with its rank. Ranks in processes
// of their own, through torch.distributed: tests/softnpu/collectives_test.py.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/hccl/rendezvous.h"
#include "cc/softnpu/hccl/types.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu::hccl {
namespace {

constexpr uint32_t kRanks = 4;
constexpr int32_t kFloat = static_cast<int32_t>(DType::kFloat32);

class Hccl : public ::testing::Test {
 protected:
  void SetUp() override {
    SetCurrentDevice(0);
    int32_t devices[kRanks] = {0, 1, 2, 3};
    ASSERT_EQ(HcclCommInitAll(kRanks, devices, comms_), 0) << softnpu_message();
  }
  void TearDown() override {
    for (void* const comm : comms_) HcclCommDestroy(comm);
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      DeviceOf(rank).Reset();
      for (void* const buffer : buffers_[rank]) DeviceOf(rank).memory().Free(buffer);
    }
  }

  static Device& DeviceOf(uint32_t rank) { return GetDevice(static_cast<int>(rank)); }

  // Elements on a rank's device; those that are not given are not written.
  float* Make(uint32_t rank, size_t count, const std::vector<float>& values = {}) {
    DeviceMemory& memory = DeviceOf(rank).memory();
    auto* const out = static_cast<float*>(memory.Allocate(count * sizeof(float)));
    buffers_[rank].push_back(out);
    std::memcpy(memory.Alias(out), values.data(), values.size() * sizeof(float));
    memory.NoteWritten(
        softnpu::Bytes("values", out, values.size() * sizeof(float), SOFTNPU_WRITES));
    return out;
  }
  std::vector<float> Read(uint32_t rank, const float* from, size_t count) {
    std::vector<float> out(count);
    std::memcpy(out.data(), DeviceOf(rank).memory().Alias(from), count * sizeof(float));
    return out;
  }
  // Of each element, whether somebody has written it.
  std::string Written(uint32_t rank, const float* from, size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) {
      const auto access = softnpu::Bytes("values", from + i, sizeof(float), SOFTNPU_READS);
      out += DeviceOf(rank).memory().FirstUnwritten(access) == nullptr ? '1' : '0';
    }
    return out;
  }
  // What a rank's device says when all is done: empty, or the sentence of its error.
  std::string End(uint32_t rank) {
    try {
      DeviceOf(rank).Synchronize(-1);
    } catch (const Error& error) {
      return std::to_string(error.code()) + " " + error.what();
    }
    return "";
  }

  void* comms_[kRanks] = {};
  std::vector<void*> buffers_[kRanks];
};

TEST_F(Hccl, AllReduceInPlaceAndOutOfPlace) {
  std::vector<float*> ins, outs;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    const auto one = static_cast<float>(rank + 1);
    ins.push_back(Make(rank, 6, {one, 2 * one, 3 * one, 4 * one, 5 * one, 6 * one}));
    outs.push_back(Make(rank, 6));
    ASSERT_EQ(HcclAllReduce(ins[rank], outs[rank], 6, kFloat, 0, comms_[rank], nullptr), 0);
    ASSERT_EQ(HcclAllReduce(ins[rank], ins[rank], 6, kFloat, 2, comms_[rank], nullptr), 0);
  }
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_EQ(End(rank), "");
    EXPECT_EQ(Read(rank, outs[rank], 6), (std::vector<float>{10, 20, 30, 40, 50, 60}));
    EXPECT_EQ(Written(rank, outs[rank], 6), "111111");
    EXPECT_EQ(Read(rank, ins[rank], 6), (std::vector<float>{4, 8, 12, 16, 20, 24}));
  }
}

TEST_F(Hccl, UnwrittenElementsTravelAlong) {
  std::vector<float*> sums, gathered, sent;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    // Rank r has written its first r + 1 elements.
    sent.push_back(Make(rank, 4, std::vector<float>(rank + 1, 1)));
    sums.push_back(Make(rank, 4));
    gathered.push_back(Make(rank, 16));
    ASSERT_EQ(HcclAllReduce(sent[rank], sums[rank], 4, kFloat, 0, comms_[rank], nullptr), 0);
    ASSERT_EQ(HcclAllGather(sent[rank], gathered[rank], 4, kFloat, comms_[rank], nullptr), 0);
    ASSERT_EQ(HcclBroadcast(sent[rank], 4, kFloat, 1, comms_[rank], nullptr), 0);
  }
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_EQ(End(rank), "");
    EXPECT_EQ(Written(rank, sums[rank], 4), "1000");
    EXPECT_EQ(Written(rank, gathered[rank], 16), "1000110011101111");
    EXPECT_EQ(Written(rank, sent[rank], 4), "1100");
  }
}

TEST_F(Hccl, OtherCallsEndInAnErrorThatNamesBothSides) {
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    float* const buffer = Make(rank, 8, std::vector<float>(8, 1));
    ASSERT_EQ(HcclAllReduce(buffer, buffer, rank == 2 ? 7 : 8, kFloat, 0, comms_[rank], nullptr),
              0);
  }
  bool told = false;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    const std::string end = End(rank);
    EXPECT_EQ(end.substr(0, 6), "507048") << end;
    EXPECT_NE(end.find("HCCL_E_PARA, 1"), std::string::npos) << end;
    EXPECT_NE(end.find("rank 2 called HcclAllReduce #1 (7 float32, sum)"), std::string::npos)
        << end;
    told = told || end.find("called HcclAllReduce #1 (8 float32, sum)") != std::string::npos;
    int32_t code = 0;
    EXPECT_EQ(HcclGetCommAsyncError(comms_[rank], &code), 0);
    EXPECT_EQ(code, static_cast<int32_t>(kPara));
    // Also afterwards.
    DeviceOf(rank).Reset();
    EXPECT_EQ(HcclBarrier(comms_[rank], nullptr), static_cast<int32_t>(kPara));
  }
  EXPECT_TRUE(told);
}

TEST_F(Hccl, ARankThatNeverComesIsNamed) {
  for (uint32_t rank = 0; rank < 3; ++rank) {
    ASSERT_EQ(HcclBarrier(comms_[rank], nullptr), 0);
  }
  const std::string end = End(0);
  EXPECT_NE(end.find("called HcclBarrier #1, which rank 3 (its last: #0) did not call within 5 s "
                     "[HCCL_E_TIMEOUT, 9]"),
            std::string::npos)
      << end;
  EXPECT_NE(End(1), "");
  EXPECT_NE(End(2), "");
}

TEST_F(Hccl, ADestroyedRankEndsTheOthers) {
  ASSERT_EQ(HcclBarrier(comms_[1], nullptr), 0);
  ASSERT_EQ(HcclCommDestroy(comms_[0]), 0);
  const std::string end = End(1);
  EXPECT_NE(end.find("507057"), std::string::npos) << end;
  EXPECT_NE(end.find("rank 0 has destroyed the communicator [HCCL_E_REMOTE, 21]"),
            std::string::npos)
      << end;
}

TEST_F(Hccl, ADestroyedCommunicatorEndsItsOwnWait) {
  ASSERT_EQ(HcclBarrier(comms_[1], nullptr), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_EQ(HcclCommDestroy(comms_[1]), 0);
  EXPECT_NE(End(1).find("this rank has destroyed the communicator"), std::string::npos);
}

TEST_F(Hccl, ADeviceInErrorTellsTheOthers) {
  DeviceOf(3).error().Set(Error(kAicoreException, "the planted fault"));
  ASSERT_EQ(HcclBarrier(comms_[3], nullptr), static_cast<int32_t>(kRuntime));
  ASSERT_EQ(HcclBarrier(comms_[0], nullptr), 0);
  const std::string end = End(0);
  EXPECT_NE(end.find("rank 3 gave up: rank 3's HcclBarrier #1 was not run"), std::string::npos)
      << end;
  EXPECT_NE(end.find("the planted fault"), std::string::npos) << end;
}

TEST_F(Hccl, BuffersAreChecked) {
  float* const here = Make(0, 16);
  float* const there = Make(1, 16);
  const auto code = [&](void* send, void* receive, uint64_t count) {
    return HcclAllGather(send, receive, count, kFloat, comms_[0], nullptr);
  };
  EXPECT_EQ(code(nullptr, here, 4), static_cast<int32_t>(kPointer));
  EXPECT_EQ(code(there, here, 4), static_cast<int32_t>(kPara));
  EXPECT_NE(std::string(softnpu_message()).find("is not memory of device 0"), std::string::npos);
  EXPECT_EQ(code(here + 4, here, 4), static_cast<int32_t>(kPara));
  EXPECT_NE(std::string(softnpu_message()).find("share bytes"), std::string::npos);
  EXPECT_EQ(code(here, Make(0, 4), 4), static_cast<int32_t>(kPara));
  EXPECT_NE(std::string(softnpu_message()).find("out of bounds"), std::string::npos);
  EXPECT_EQ(code(here, here, uint64_t{1} << 62), static_cast<int32_t>(kPara));
}

TEST_F(Hccl, MessagesOfABatchPassAtTheSameTime) {
  std::vector<float*> outs;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    float* const in = Make(rank, 2, {static_cast<float>(rank), static_cast<float>(rank * 10)});
    outs.push_back(Make(rank, 2));
    const uint32_t next = (rank + 1) % kRanks;
    const uint32_t last = (rank + kRanks - 1) % kRanks;
    // Two to the same rank keep their order.
    SendRecvItem items[] = {{0, in, 1, kFloat, next},
                            {0, in + 1, 1, kFloat, next},
                            {1, outs[rank], 1, kFloat, last},
                            {1, outs[rank] + 1, 1, kFloat, last}};
    ASSERT_EQ(HcclBatchSendRecv(items, 4, comms_[rank], nullptr), 0) << softnpu_message();
  }
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_EQ(End(rank), "");
    const auto last = static_cast<float>((rank + kRanks - 1) % kRanks);
    EXPECT_EQ(Read(rank, outs[rank], 2), (std::vector<float>{last, last * 10}));
  }
}

TEST_F(Hccl, MessagesOfAGroupPassAtTheSameTime) {
  std::vector<float*> outs;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    float* const in = Make(rank, 1, {static_cast<float>(rank)});
    outs.push_back(Make(rank, 1));
    ASSERT_EQ(HcclGroupStart(), 0);
    ASSERT_EQ(HcclSend(in, 1, kFloat, (rank + 1) % kRanks, comms_[rank], nullptr), 0);
    ASSERT_EQ(HcclRecv(outs[rank], 1, kFloat, (rank + 3) % kRanks, comms_[rank], nullptr), 0);
    ASSERT_EQ(HcclGroupEnd(), 0) << softnpu_message();
  }
  EXPECT_EQ(HcclGroupEnd(), static_cast<int32_t>(kPara));
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_EQ(End(rank), "");
    EXPECT_EQ(Read(rank, outs[rank], 1), (std::vector<float>{static_cast<float>((rank + 3) % 4)}));
  }
}

TEST_F(Hccl, AMessageOfAnotherSizeIsRefusedOnBothSides) {
  ASSERT_EQ(HcclSend(Make(0, 3, {1, 2, 3}), 3, kFloat, 1, comms_[0], nullptr), 0);
  ASSERT_EQ(HcclRecv(Make(1, 4), 4, kFloat, 0, comms_[1], nullptr), 0);
  for (const uint32_t rank : {0U, 1U}) {
    EXPECT_NE(End(rank).find("rank 1 receives message #1 (4 float32) from rank 0, which is of 3 "
                             "float32 [HCCL_E_PARA, 1]"),
              std::string::npos)
        << End(rank);
  }
}

TEST_F(Hccl, PartsOfAGroupHaveCommunicators) {
  void* parts[kRanks] = {};
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    threads.emplace_back([&, rank] {
      SetCurrentDevice(static_cast<int>(rank));
      uint32_t even[] = {0, 2};
      uint32_t odd[] = {3, 1};
      const uint32_t place = rank % 2 == 0 ? rank / 2 : (rank == 3 ? 0 : 1);
      EXPECT_EQ(HcclCreateSubCommConfig(&comms_[rank], 2, rank % 2 == 0 ? even : odd, rank % 2,
                                        place, nullptr, &parts[rank]),
                0)
          << softnpu_message();
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<float*> outs;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    float* const in = Make(rank, 1, {static_cast<float>(rank)});
    outs.push_back(Make(rank, 2));
    ASSERT_EQ(HcclAllGather(in, outs[rank], 1, kFloat, parts[rank], nullptr), 0);
  }
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_EQ(End(rank), "");
    EXPECT_EQ(Read(rank, outs[rank], 2),
              rank % 2 == 0 ? (std::vector<float>{0, 2}) : (std::vector<float>{3, 1}));
    EXPECT_EQ(HcclCommDestroy(parts[rank]), 0);
  }
}

TEST_F(Hccl, ALateRankReducesNothingOfThoseWhoGaveUp) {
  constexpr uint32_t kLate = 1;
  std::vector<float*> buffers;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    buffers.push_back(Make(rank, 8, std::vector<float>(8, 1)));
    if (rank == kLate) continue;
    ASSERT_EQ(HcclAllReduce(buffers[rank], buffers[rank], 8, kFloat, 0, comms_[rank], nullptr), 0);
  }
  const std::vector<float> later(8, 7);
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    if (rank == kLate) continue;
    EXPECT_NE(End(rank), "");
    std::memcpy(DeviceOf(rank).memory().Alias(buffers[rank]), later.data(), 8 * sizeof(float));
  }
  ASSERT_EQ(HcclAllReduce(buffers[kLate], buffers[kLate], 8, kFloat, 0, comms_[kLate], nullptr), 0);
  EXPECT_NE(End(kLate).find("HCCL_E_TIMEOUT"), std::string::npos) << End(kLate);
  EXPECT_EQ(Read(kLate, buffers[kLate], 8), std::vector<float>(8, 1));
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    if (rank != kLate) EXPECT_EQ(Read(rank, buffers[rank], 8), later) << rank;
  }
}

TEST_F(Hccl, ALateReceiverReadsNothingOfASenderWhoGaveUp) {
  float* const sent = Make(0, 4, {1, 2, 3, 4});
  float* const received = Make(1, 4, {9, 9, 9, 9});
  ASSERT_EQ(HcclSend(sent, 4, kFloat, 1, comms_[0], nullptr), 0);
  EXPECT_NE(End(0).find("rank 0 sends message #1 (4 float32) to rank 1; the other side did not "
                        "come within 5 s [HCCL_E_TIMEOUT, 9]"),
            std::string::npos)
      << End(0);
  ASSERT_EQ(HcclRecv(received, 4, kFloat, 0, comms_[1], nullptr), 0);
  EXPECT_NE(End(1).find("rank 0 gave up: "), std::string::npos) << End(1);
  EXPECT_EQ(Read(1, received, 4), (std::vector<float>{9, 9, 9, 9}));
}

TEST_F(Hccl, AReceiverHasALateMessageThoughAnotherSenderHasLeft) {
  float* const received = Make(0, 2);
  SendRecvItem items[] = {{1, received, 1, kFloat, 1}, {1, received + 1, 1, kFloat, 2}};
  ASSERT_EQ(HcclBatchSendRecv(items, 2, comms_[0], nullptr), 0);
  ASSERT_EQ(HcclSend(Make(1, 1, {10}), 1, kFloat, 0, comms_[1], nullptr), 0);
  EXPECT_EQ(End(1), "");
  ASSERT_EQ(HcclCommDestroy(comms_[1]), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  ASSERT_EQ(HcclSend(Make(2, 1, {20}), 1, kFloat, 0, comms_[2], nullptr), 0);
  EXPECT_EQ(End(0), "");
  EXPECT_EQ(End(2), "");
  EXPECT_EQ(Read(0, received, 2), (std::vector<float>{10, 20}));
}

TEST_F(Hccl, CallsOfSeveralThreadsAreOnTheStreamInTheirOrder) {
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([this, rank] {
        SetCurrentDevice(static_cast<int>(rank));
        for (int call = 0; call < 3000; ++call) HcclBarrier(comms_[rank], nullptr);
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  for (uint32_t rank = 0; rank < kRanks; ++rank) EXPECT_EQ(End(rank), "");
}

TEST_F(Hccl, AnErrorHasNoSentenceOfAnotherThread) {
  float* const small = Make(0, 4);
  std::atomic<bool> done{false};
  std::thread other([&done] {
    SetCurrentDevice(0);
    while (!done) softnpu_report(1, "a sentence of another thread");
  });
  std::string odd;
  for (int i = 0; i < 100000 && odd.empty(); ++i) {
    const int32_t code = HcclBroadcast(small, 400, kFloat, 0, comms_[0], nullptr);
    const std::string sentence = OwnMessage();
    if (code != static_cast<int32_t>(kPara) || sentence.find("out of bounds") == std::string::npos)
      odd = sentence;
  }
  done = true;
  other.join();
  EXPECT_EQ(odd, "");
}

TEST(HcclJoin, RanksThatDoNotComeAreNamed) {
  SetCurrentDevice(0);
  char info[kRootInfoBytes];
  ASSERT_EQ(HcclGetRootInfo(info), 0);
  void* comm = nullptr;
  EXPECT_EQ(HcclCommInitRootInfo(3, info, 1, &comm), static_cast<int32_t>(kTimeout));
  EXPECT_NE(std::string(softnpu_message()).find("the ranks 0, 2 of 3 did not join within 5 s"),
            std::string::npos)
      << softnpu_message();
}

TEST(HcclJoin, NobodyJoinsWithoutTheToken) {
  SetCurrentDevice(0);
  char info[kRootInfoBytes];
  ASSERT_EQ(HcclGetRootInfo(info), 0);
  RootInfo forged;
  std::memcpy(&forged, info, sizeof(forged));
  forged.token[0] ^= 1;
  char other[kRootInfoBytes] = {};
  std::memcpy(other, &forged, sizeof(forged));
  void* comm = nullptr;
  EXPECT_EQ(HcclCommInitRootInfo(1, other, 0, &comm), static_cast<int32_t>(kRemote));
  // It has disturbed nobody.
  EXPECT_EQ(HcclCommInitRootInfo(1, info, 0, &comm), 0) << softnpu_message();
  EXPECT_EQ(HcclCommDestroy(comm), 0);
  EXPECT_EQ(HcclCommDestroy(comm), static_cast<int32_t>(kPara));
}

TEST(HcclJoin, TwoRanksOnOneDeviceAreRefused) {
  char info[kRootInfoBytes];
  ASSERT_EQ(HcclGetRootInfo(info), 0);
  std::vector<std::string> ends(2);
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      SetCurrentDevice(0);
      void* comm = nullptr;
      EXPECT_EQ(HcclCommInitRootInfo(2, info, rank, &comm), static_cast<int32_t>(kPara));
      ends[rank] = softnpu_message();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& end : ends) {
    EXPECT_NE(end.find("the ranks 0 and 1 are both on device 0"), std::string::npos) << end;
  }
}

}  // namespace
}  // namespace softnpu::hccl
