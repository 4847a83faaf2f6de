// cc/softnpu/hccl/exchange_test.cc: exchanges of operators, as libopapi.so asks for them.
#include "cc/softnpu/hccl/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu::hccl {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr uint32_t kRanks = 3;

// Before the options are read, which is once per process.
const bool g_traced = [] {
  setenv("SOFTNPU_STATE_DIR", getenv("TEST_TMPDIR") != nullptr ? getenv("TEST_TMPDIR") : "/tmp", 1);
  setenv("SOFTNPU_TRACE_TASKS", "1000", 1);
  return true;
}();

// The modelled times of tasks in the trace of this process, by device. Its file has a header of 64
// bytes, and these records.
std::map<int32_t, uint32_t> ModelledTimes(const std::string& name) {
  struct Slice {
    int64_t start, end;
    int32_t device;
    uint32_t stream, kind, modelled_ns;
    char name[64];
  };
  std::ifstream file(
      std::string(getenv("SOFTNPU_STATE_DIR")) + "/" + std::to_string(getpid()) + ".events",
      std::ios::binary);
  file.seekg(64);
  std::map<int32_t, uint32_t> out;
  for (Slice slice; file.read(reinterpret_cast<char*>(&slice), sizeof(slice));) {
    if (slice.name == name) out[slice.device] = slice.modelled_ns;
  }
  return out;
}

// Reads a number of each rank, and adds them up with what they say.
struct Reader {
  uint32_t rank;
  std::vector<int64_t> seen;
  bool fails = false;
  uint64_t sends = 0;  // bytes to the next rank
  std::atomic<int> dropped{0};
};

int32_t Read(void* context, const softnpu_peer* peers, softnpu_traffic* traffic) {
  auto* const reader = static_cast<Reader*>(context);
  if (reader->fails) return softnpu_report(kAicoreException, "its tokens are lost");
  traffic->sent[(reader->rank + 1) % kRanks] = reader->sends;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    int64_t value = -1;
    if (peers[rank].windows[1] != nullptr) return kOk;
    if (peers[rank].windows[0] != nullptr) std::memcpy(&value, peers[rank].windows[0], 8);
    reader->seen.push_back(value * 100 + peers[rank].numbers[1]);
  }
  return kOk;
}

void Drop(void* context) { ++static_cast<Reader*>(context)->dropped; }

class Exchanges : public ::testing::Test {
 protected:
  void SetUp() override {
    SetCurrentDevice(0);
    int32_t devices[kRanks] = {0, 1, 2};
    ASSERT_EQ(HcclCommInitAll(kRanks, devices, comms_), 0) << softnpu_message();
    char name[128];
    ASSERT_EQ(HcclGetCommName(comms_[0], name), 0);
    name_ = name;
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      DeviceMemory& memory = DeviceOf(rank).memory();
      buffers_[rank] = memory.Allocate(64);
      const int64_t value = rank + 1;
      std::memcpy(memory.Alias(buffers_[rank]), &value, 8);
      readers_[rank].rank = rank;
    }
  }
  void TearDown() override {
    for (void* const comm : comms_) HcclCommDestroy(comm);
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      DeviceOf(rank).Reset();
      DeviceOf(rank).memory().Free(buffers_[rank]);
    }
    SetCurrentDevice(0);
  }

  static Device& DeviceOf(uint32_t rank) { return GetDevice(static_cast<int>(rank)); }
  static const softnpu_groups& Groups() { return *softnpu_offered_groups(); }

  int32_t Ask(uint32_t rank, const char* form = "int64 x 1", const char* name = "aclnnRotate") {
    SetCurrentDevice(static_cast<int>(rank));
    softnpu_exchange exchange = {};
    exchange.name = name;
    exchange.form = form;
    exchange.window_count = 2;
    exchange.number_count = 2;
    // The last rank shows nothing.
    exchange.windows[0] = {rank + 1 < kRanks ? buffers_[rank] : nullptr, 8, "x"};
    exchange.numbers[1] = 10 * rank;
    exchange.output_count = 1;
    exchange.outputs[0] = {static_cast<char*>(buffers_[rank]) + 8, 8, "y"};
    exchange.run = Read;
    exchange.drop = Drop;
    exchange.context = &readers_[rank];
    return Groups().exchange(name_.c_str(), &exchange, nullptr);
  }
  // What a rank's device says when all is done: empty, or the sentence of its error.
  static std::string End(uint32_t rank) {
    try {
      DeviceOf(rank).Synchronize(-1);
    } catch (const Error& error) {
      return std::to_string(error.code()) + " " + error.what();
    }
    return "";
  }

  void* comms_[kRanks] = {};
  void* buffers_[kRanks] = {};
  Reader readers_[kRanks];
  std::string name_;
};

TEST_F(Exchanges, EachRankReadsWhatAllShow) {
  for (uint32_t rank = 0; rank < kRanks; ++rank) ASSERT_EQ(Ask(rank), 0) << softnpu_message();
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_EQ(End(rank), "");
    EXPECT_THAT(readers_[rank].seen, ElementsAre(100, 210, -80));
    EXPECT_EQ(readers_[rank].dropped, 1);
  }
}

TEST_F(Exchanges, TheirTimeIsThatOfWhatTheLinksCarry) {
  for (uint32_t rank = 0; rank < kRanks; ++rank) readers_[rank].sends = 2800 * rank;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    ASSERT_EQ(Ask(rank, "int64 x 1", "aclnnTimed"), 0) << softnpu_message();
  }
  for (uint32_t rank = 0; rank < kRanks; ++rank) EXPECT_EQ(End(rank), "");
  // 28 bytes in each nanosecond.
  EXPECT_THAT(ModelledTimes("aclnnTimed"), ElementsAre(Pair(0, 0), Pair(1, 100), Pair(2, 200)));
}

TEST_F(Exchanges, GroupsSayTheirRankAndBuffer) {
  SetCurrentDevice(2);
  EXPECT_EQ(Groups().rank(name_.c_str()), 2);
  EXPECT_EQ(Groups().buffer_bytes(name_.c_str()), 200u << 20);
  EXPECT_EQ(Groups().rank("another"), -1);
  EXPECT_EQ(Groups().buffer_bytes("another"), 0u);
}

TEST_F(Exchanges, RanksHaveToAgree) {
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    ASSERT_EQ(Ask(rank, rank == 1 ? "int64 x 2" : "int64 x 1"), 0) << softnpu_message();
  }
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_THAT(End(rank), AllOf(HasSubstr("aclnnRotate #1 (int64 x 1)"),
                                 HasSubstr("rank 1 called aclnnRotate #1 (int64 x 2)")));
    EXPECT_EQ(readers_[rank].dropped, 1);
  }
}

TEST_F(Exchanges, AFaultOfOneRankIsToldToAll) {
  readers_[1].fails = true;
  for (uint32_t rank = 0; rank < kRanks; ++rank) ASSERT_EQ(Ask(rank), 0) << softnpu_message();
  EXPECT_THAT(End(1), AllOf(HasSubstr("507015 "), HasSubstr("its tokens are lost")));
  for (const uint32_t rank : {0, 2}) {
    EXPECT_THAT(End(rank), HasSubstr("rank 1's aclnnRotate #1 (int64 x 1): its tokens are lost"));
  }
}

// An operator has its first part checked on the device, which may end before the exchange is
// queued.
TEST_F(Exchanges, AFaultBeforeTheExchangeIsToldToAll) {
  for (const uint32_t rank : {0, 2}) ASSERT_EQ(Ask(rank), 0) << softnpu_message();
  DeviceOf(1).error().Set(Error(kAicoreException, "its experts do not exist"));
  EXPECT_EQ(Ask(1), kRuntime);
  EXPECT_THAT(softnpu_message(), HasSubstr("its experts do not exist"));
  EXPECT_EQ(readers_[1].dropped, 1);
  for (const uint32_t rank : {0, 2}) {
    EXPECT_THAT(End(rank),
                HasSubstr("rank 1 gave up: its device is in error: its experts do not exist"));
  }
}

TEST_F(Exchanges, AnOperatorGivesUpItsGroup) {
  for (const uint32_t rank : {0, 2}) ASSERT_EQ(Ask(rank), 0) << softnpu_message();
  SetCurrentDevice(1);
  Groups().give_up("another", "nobody hears of this");
  Groups().give_up(name_.c_str(), "its tokens are refused");
  for (const uint32_t rank : {0, 2}) {
    EXPECT_THAT(End(rank), HasSubstr("rank 1 gave up: its tokens are refused"));
  }
}

TEST_F(Exchanges, TheirGroupHasNothingElse) {
  for (uint32_t rank = 0; rank < kRanks; ++rank) ASSERT_EQ(Ask(rank), 0) << softnpu_message();
  EXPECT_EQ(HcclBarrier(comms_[0], nullptr), kPara);
  EXPECT_THAT(softnpu_message(), HasSubstr("has run aclnnRotate, and HcclBarrier is called"));
  EXPECT_EQ(HcclSend(buffers_[0], 1, 0, 1, comms_[0], nullptr), kPara);
  for (uint32_t rank = 0; rank < kRanks; ++rank) EXPECT_EQ(End(rank), "");
}

TEST_F(Exchanges, AGroupOfCollectivesHasNone) {
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    ASSERT_EQ(HcclBarrier(comms_[rank], nullptr), 0) << softnpu_message();
  }
  EXPECT_EQ(Ask(0), kPara);
  EXPECT_THAT(softnpu_message(), HasSubstr("has run HcclBarrier, and aclnnRotate is called"));
  EXPECT_EQ(readers_[0].dropped, 1);
  for (uint32_t rank = 0; rank < kRanks; ++rank) EXPECT_EQ(End(rank), "");
}

TEST_F(Exchanges, RefusesWhatIsNoMemoryOfTheRank) {
  std::swap(buffers_[0], buffers_[1]);
  EXPECT_EQ(Ask(0), kPara);
  EXPECT_THAT(softnpu_message(), HasSubstr("'x'"));
  std::swap(buffers_[0], buffers_[1]);
  EXPECT_EQ(Ask(0, std::string(200, 'x').c_str()), kPara);
  EXPECT_THAT(softnpu_message(), HasSubstr("200 bytes; the limit is 127"));
}

}  // namespace
}  // namespace softnpu::hccl
