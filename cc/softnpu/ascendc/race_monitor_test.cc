// cc/softnpu/ascendc/race_monitor_test.cc: accesses without an order, and what other cores see.
#include "cc/softnpu/ascendc/race_monitor.h"

#include "cc/softnpu/ascendc/testing/core_units.h"

namespace softnpu::ascendc {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kGm = 0x1000;

// Notes what a core says to the others.
class Others : public CoreGroup {
 public:
  void Synchronise(uint32_t, SoftnpuInstruction&) override {}
  void Overwrite(uint32_t context, const Pattern& bytes, const Place& writer) override {
    writes.push_back({context, bytes.base, bytes.bytes, writer.line});
  }
  struct Write {
    uint32_t context;
    uint64_t base, bytes;
    uint32_t line;
    bool operator==(const Write&) const = default;
  };
  std::vector<Write> writes;
};

class RaceMonitorTest : public testing::CoreUnits {
 protected:
  std::string Observe(int pipe, uint32_t line, const SoftnpuTensor& tensor, bool write,
                      uint64_t base, uint64_t bytes) {
    Issue(SOFTNPU_OP_DATA_COPY, line, pipe);
    return FaultOf([&] { monitor.Observe({AccessTo(tensor, write, base, bytes)}); });
  }

  SoftnpuTensor ub_ = Tensor(SOFTNPU_SPACE_UB, 0, 1024);
  SoftnpuTensor gm_ = Tensor(SOFTNPU_SPACE_GM, kGm, kGm + 1024);
};

TEST_F(RaceMonitorTest, ARaceNamesBothAccessesAndTheCure) {
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE2, 3, ub_, true, 0, 64), "");
  EXPECT_EQ(Observe(SOFTNPU_PIPE_V, 4, ub_, false, 64, 64), "");  // other bytes
  const std::string fault = Observe(SOFTNPU_PIPE_V, 5, ub_, false, 32, 64);
  EXPECT_THAT(fault, HasSubstr("race (read after write): DataCopy of pipe V is not ordered with "
                               "DataCopy of pipe MTE2 at k.cpp:3"));
  EXPECT_THAT(fault, HasSubstr("HardEvent::MTE2_V"));
  EXPECT_THAT(Observe(SOFTNPU_PIPE_MTE2, 6, ub_, true, 0, 32), HasSubstr("PipeBarrier<PIPE_MTE2>"));
}

TEST_F(RaceMonitorTest, AnAccessThatFaultsIsNoRecord) {
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE2, 3, ub_, true, 0, 64), "");
  EXPECT_THAT(Observe(SOFTNPU_PIPE_V, 4, ub_, true, 0, 128), HasSubstr("write after write"));
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE3, 5, ub_, false, 64, 64), "");
}

TEST_F(RaceMonitorTest, ASignalOrders) {
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE2, 3, ub_, true, 0, 64), "");
  order.Wait(SOFTNPU_PIPE_V, order.Set(SOFTNPU_PIPE_MTE2));
  EXPECT_EQ(Observe(SOFTNPU_PIPE_V, 5, ub_, false, 32, 64), "");
}

TEST_F(RaceMonitorTest, TheScalarUnitsCacheIsLookedAt) {
  EXPECT_EQ(Observe(SOFTNPU_PIPE_S, 3, gm_, true, kGm, 4), "");
  order.Wait(SOFTNPU_PIPE_MTE2, order.Set(SOFTNPU_PIPE_S));
  EXPECT_THAT(Observe(SOFTNPU_PIPE_MTE2, 4, gm_, false, kGm, 32), HasSubstr("SetValue at k.cpp:3"));
  Issue(SOFTNPU_OP_CACHE_CLEAN).operand[0] = gm_;
  monitor.CleanCache(instruction);
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE2, 4, gm_, false, kGm, 32), "");
}

// What the scalar unit has stored reaches GM, and the others' caches, when its line is cleaned.
TEST_F(RaceMonitorTest, OtherCoresHearOfWritesToGm) {
  Others others;
  launch.group = &others;
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE3, 3, gm_, true, kGm + 256, 32), "");
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE3, 4, gm_, false, kGm + 512, 32), "");
  EXPECT_EQ(Observe(SOFTNPU_PIPE_S, 5, gm_, true, kGm, 4), "");
  const uint32_t me = site.context();
  EXPECT_EQ(others.writes, (std::vector<Others::Write>{{me, kGm + 256, 32, 3}}));
  Issue(SOFTNPU_OP_CACHE_CLEAN, 6).operand[0] = gm_;
  monitor.CleanCache(instruction);
  ASSERT_EQ(others.writes.size(), 2u);
  EXPECT_EQ(others.writes[1], (Others::Write{me, kGm, 4, 6}));
}

// The end of a kernel writes lines back when no instruction is carried out.
TEST_F(RaceMonitorTest, TheEndOfAKernelWritesBackAtThePlaceOfTheStore) {
  Others others;
  launch.group = &others;
  EXPECT_EQ(Observe(SOFTNPU_PIPE_S, 5, gm_, true, kGm + 64, 4), "");
  site.End();
  monitor.Finish();
  EXPECT_EQ(others.writes, (std::vector<Others::Write>{{site.context(), kGm + 64, 4, 5}}));
}

TEST_F(RaceMonitorTest, TheLaunchGetsTheAccessesToGm) {
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE2, 3, ub_, true, 0, 64), "");
  site.End();
  monitor.Finish();
  EXPECT_TRUE(launch.shared.empty());
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE3, 4, gm_, true, kGm, 64), "");
  site.End();
  monitor.Finish();
  EXPECT_FALSE(launch.shared.empty());
  // Another core that writes the same bytes.
  site.Reset(&launch, kVectorCore, 0, 0, 0);
  monitor.Reset();
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE3, 5, gm_, true, kGm + 32, 64), "");
  site.End();
  monitor.Finish();
  CrossRace race;
  ASSERT_TRUE(launch.shared.FindRace(&race));
  EXPECT_EQ(race.begin, kGm + 32);
  EXPECT_EQ(race.end, kGm + 64);
}

TEST_F(RaceMonitorTest, ADeadlocksReportNamesWhatEachPipeDidLast) {
  EXPECT_EQ(monitor.DescribePipes(), "");
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE2, 3, ub_, true, 0, 64), "");
  EXPECT_EQ(Observe(SOFTNPU_PIPE_MTE2, 4, ub_, true, 64, 64), "");
  EXPECT_EQ(monitor.DescribePipes(), "; pipe MTE2 last did DataCopy at k.cpp:4");
}

}  // namespace
}  // namespace softnpu::ascendc
