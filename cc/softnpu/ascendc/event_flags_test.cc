// cc/softnpu/ascendc/event_flags_test.cc: flags are set once and waited for once; ids are shared.
#include "cc/softnpu/ascendc/event_flags.h"

#include "cc/softnpu/ascendc/testing/core_units.h"

namespace softnpu::ascendc {
namespace {

using ::testing::HasSubstr;

constexpr int kMte2V = 4, kVV = 10, kMte1M = 2;  // HardEvent

class EventFlagsTest : public testing::CoreUnits {
 protected:
  std::string Set(int64_t event, int64_t id, uint32_t line = 1) {
    Params(SOFTNPU_OP_SET_FLAG, event, id, line);
    return FaultOf([&] { flags.Set(instruction); });
  }
  std::string Wait(int64_t event, int64_t id) {
    Params(SOFTNPU_OP_WAIT_FLAG, event, id, 1);
    return FaultOf([&] { flags.Wait(instruction); });
  }
  int64_t AllocId(int64_t event) {
    Params(SOFTNPU_OP_EVENT_ALLOC, event, 0, 1);
    flags.AllocId(instruction);
    return static_cast<int64_t>(instruction.result);
  }
  int64_t FetchId(int64_t event) {
    Params(SOFTNPU_OP_EVENT_FETCH, event, 0, 1);
    flags.FetchId(instruction);
    return static_cast<int64_t>(instruction.result);
  }
  std::string ReleaseId(int64_t event, int64_t id) {
    Params(SOFTNPU_OP_EVENT_RELEASE, event, id, 1);
    return FaultOf([&] { flags.ReleaseId(instruction); });
  }
  uint32_t Known(int pipe, int other) {
    return order.clocks().of(pipe).own[static_cast<size_t>(other)];
  }

 private:
  void Params(uint32_t opcode, int64_t event, int64_t id, uint32_t line) {
    Issue(opcode, line);
    instruction.params[0] = event;
    instruction.params[1] = id;
  }
};

TEST_F(EventFlagsTest, AWaitTakesTheFlagAndTheOrder) {
  const uint32_t copied = order.clocks().epoch(SOFTNPU_PIPE_MTE2);
  EXPECT_EQ(Set(kMte2V, 3), "");
  EXPECT_LT(Known(SOFTNPU_PIPE_V, SOFTNPU_PIPE_MTE2), copied);
  EXPECT_EQ(Wait(kMte2V, 3), "");
  EXPECT_GE(Known(SOFTNPU_PIPE_V, SOFTNPU_PIPE_MTE2), copied);
  EXPECT_THAT(Wait(kMte2V, 3), HasSubstr("(MTE2_V, id 3) is not set: the pipe would wait"));
  EXPECT_THAT(Wait(kMte2V, 4), HasSubstr("(MTE2_V, id 4) is not set"));
}

TEST_F(EventFlagsTest, AFlagIsSetOnce) {
  EXPECT_EQ(Set(kMte2V, 0, 7), "");
  EXPECT_THAT(Set(kMte2V, 0), HasSubstr("(MTE2_V, id 0) is set already, at k.cpp:7"));
  EXPECT_EQ(Set(kMte2V, 1), "");
}

TEST_F(EventFlagsTest, TheEventOfTheVectorUnitIsABarrier) {
  const uint32_t before = order.clocks().epoch(SOFTNPU_PIPE_V);
  EXPECT_EQ(Set(kVV, 0), "");
  EXPECT_GE(Known(SOFTNPU_PIPE_V, SOFTNPU_PIPE_V), before);
  EXPECT_EQ(Wait(kVV, 0), "");
  EXPECT_EQ(Wait(kVV, 0), "");
  EXPECT_EQ(FaultOf([&] { flags.CheckNoneIsSet(); }), "");
}

TEST_F(EventFlagsTest, EventsAndIdsHaveLimits) {
  EXPECT_THAT(Set(kMte2V, 8), HasSubstr("event id 8, the limits are 0 and 7"));
  EXPECT_THAT(Set(35, 0), HasSubstr("event 35 does not exist"));
  EXPECT_THAT(Set(kMte1M, 0), HasSubstr("a vector core has no event MTE1_M"));
  Start(testing::Chip910B(), kCubeCore);
  EXPECT_EQ(Set(kMte1M, 0), "");
  EXPECT_THAT(Set(kMte2V, 0), HasSubstr("a cube core has no event MTE2_V"));
}

TEST_F(EventFlagsTest, QueuesAndKernelsShareTheIds) {
  EXPECT_EQ(AllocId(kMte2V), 0);
  Issue(SOFTNPU_OP_ENQUEUE);
  EXPECT_EQ(flags.TakeForQueue(kMte2V), 1);
  EXPECT_THAT(Set(kMte2V, 1), HasSubstr("is set already, by a queue"));
  EXPECT_EQ(Set(kMte2V, 2), "");
  EXPECT_EQ(FetchId(kMte2V), 3);
  EXPECT_EQ(FetchId(kMte2V), 3);  // fetching does not take it
  for (int64_t id = 3; id < kEventIds; ++id) EXPECT_EQ(AllocId(kMte2V), id);
  EXPECT_THAT(FaultOf([&] { AllocId(kMte2V); }), HasSubstr("no event id of MTE2_V is left"));
  Issue(SOFTNPU_OP_ENQUEUE);
  EXPECT_THAT(FaultOf([&] { flags.TakeForQueue(kMte2V); }), HasSubstr("left for the queue"));
  flags.GiveBack(kMte2V, 1);
  EXPECT_EQ(AllocId(kMte2V), 1);
  EXPECT_EQ(ReleaseId(kMte2V, 1), "");
  EXPECT_THAT(ReleaseId(kMte2V, 1), HasSubstr("was not given by AllocEventID"));
  EXPECT_EQ(flags.TakeForQueue(-1), -1);
}

TEST_F(EventFlagsTest, AFlagThatIsLeftSetIsReportedAtItsSetFlag) {
  EXPECT_EQ(FaultOf([&] { flags.CheckNoneIsSet(); }), "");
  Issue(SOFTNPU_OP_ENQUEUE);
  flags.TakeForQueue(kMte2V);  // a queue's own: the frame looks after it
  EXPECT_EQ(FaultOf([&] { flags.CheckNoneIsSet(); }), "");
  EXPECT_EQ(flags.Describe(), "");
  EXPECT_EQ(Set(kMte2V, 5, 12), "");
  EXPECT_EQ(flags.Describe(), "; flag (MTE2_V, id 5) is set since k.cpp:12");
  try {
    flags.CheckNoneIsSet();
    FAIL() << "no fault";
  } catch (const KernelError& error) {
    EXPECT_THAT(error.fault(), HasSubstr("the flag (MTE2_V, id 5) is still set"));
    EXPECT_EQ(error.where().line, 12);
    EXPECT_EQ(error.where().instruction, "SetFlag");
  }
}

}  // namespace
}  // namespace softnpu::ascendc
