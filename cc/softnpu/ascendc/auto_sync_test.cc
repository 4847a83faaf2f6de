// cc/softnpu/ascendc/auto_sync_test.cc: what the device compiler orders with --cce-auto-sync, and
// what comes without any flag. Each kernel lacks one order; a table says who gives it.
#include "cc/softnpu/ascendc/testing/device.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using namespace AscendC;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::testing::Device;
using softnpu::ascendc::testing::KernelFrame;
using softnpu::ascendc::testing::kPart;
using ::testing::HasSubstr;

template <HardEvent event>
void Flag() {
  SetFlag<event>(EVENT_ID0);
  WaitFlag<event>(EVENT_ID0);
}

void VectorVector(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  Exp(f.b, f.a, kPart);
}
void VectorVectorInPlace(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  PipeBarrier<PIPE_V>();
  Exp(f.b, f.a, kPart);
  Duplicate(f.a, 2.0f, kPart);  // what Exp still reads
}
void CopyInScalar(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  (void)f.a.GetValue(0);
}
void ScalarCopyIn(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  f.a.SetValue(0, 1.0f);
  DataCopy(f.a, f.x, kPart);
}
void ScalarCopyOut(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  for (uint32_t i = 0; i < 8; ++i) f.a.SetValue(i, 1.0f);
  DataCopy(f.y, f.a, 8);
}
void CopyOutScalar(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  Flag<HardEvent::V_MTE3>();
  DataCopy(f.y, f.a, kPart);
  Flag<HardEvent::V_S>();
  f.a.SetValue(0, 2.0f);
}
void VectorScalar(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  (void)f.a.GetValue(0);
}
void ScalarVector(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  for (uint32_t i = 0; i < 8; ++i) f.a.SetValue(i, 1.0f);
  Exp(f.b, f.a, 8);
}
// The copy does not depend on the scalar unit, but it is issued behind it.
void OverTheScalarUnit(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  (void)f.a.GetValue(0);
  DataCopy(f.y, f.a, kPart);
}

// What it does not order.
void CopyInVector(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  Exp(f.b, f.a, kPart);
}
void VectorCopyOut(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  DataCopy(f.y, f.a, kPart);
}
void VectorCopyIn(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  PipeBarrier<PIPE_V>();
  Exp(f.b, f.a, kPart);
  DataCopy(f.a, f.x, kPart);
}
void CopyInCopyOut(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  DataCopy(f.y, f.a, kPart);
}
void CopyInCopyIn(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  DataCopy(f.a, f.x[kPart], kPart);
}
// The scalar unit waits for the first instruction, and the copy needs the second.
void NotForTheNext(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  Duplicate(f.b, 1.0f, kPart);
  (void)f.a.GetValue(0);
  DataCopy(f.y, f.b, kPart);
}

struct Case {
  const char* name;
  SoftnpuKernelEntry entry;
  bool ordered;  // by --cce-auto-sync
};
void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }
#define CASE(name, ordered) \
  Case { #name, softnpu::twin::MakeEntry<&name>(#name, __FILE__, __LINE__), ordered }

const Case kCases[] = {
    CASE(VectorVector, true),   CASE(VectorVectorInPlace, true), CASE(CopyInScalar, true),
    CASE(ScalarCopyIn, true),   CASE(ScalarCopyOut, true),       CASE(CopyOutScalar, true),
    CASE(VectorScalar, true),   CASE(ScalarVector, true),        CASE(OverTheScalarUnit, true),
    CASE(CopyInVector, false),  CASE(VectorCopyOut, false),      CASE(VectorCopyIn, false),
    CASE(CopyInCopyOut, false), CASE(CopyInCopyIn, false),       CASE(NotForTheNext, false),
};

bool Races(SoftnpuKernelEntry entry, uint32_t flags) {
  entry.flags = &flags;
  try {
    Device().Run(entry, 1);
    return false;
  } catch (const KernelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("race ("));
    return true;
  }
}

class AutoSync : public ::testing::TestWithParam<Case> {};

TEST_P(AutoSync, OrdersThePairsOfItsPage) {
  EXPECT_TRUE(Races(GetParam().entry, 0));
  EXPECT_EQ(Races(GetParam().entry, SOFTNPU_TWIN_AUTO_SYNC), !GetParam().ordered);
}

INSTANTIATE_TEST_SUITE_P(All, AutoSync, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

// Without the option: a vector instruction that takes a loaded value comes after the load.
template <bool scalar>
void AfterALoad(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  Flag<HardEvent::MTE2_S>();
  const float first = f.a.GetValue(0);
  if (scalar) {
    Duplicate(f.a, first, kPart);
  } else {
    Exp(f.a, f.x.GetValue(0) < 0 ? f.b : f.a, kPart);
  }
}
template <bool stored>
void AfterAStore(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  Flag<HardEvent::MTE2_S>();
  const float first = f.a.GetValue(0);
  if (stored) f.a.SetValue(0, first);
  Adds(f.a, f.a, first, kPart);
}

TEST(ScalarOperand, IsLoadedWhenItsInstructionIsIssued) {
  const auto races = [](auto entry) { return Races(entry, 0); };
  EXPECT_FALSE(races(softnpu::twin::MakeEntry<&AfterALoad<true>>("k", __FILE__, __LINE__)));
  EXPECT_TRUE(races(softnpu::twin::MakeEntry<&AfterALoad<false>>("k", __FILE__, __LINE__)));
  // A store is not waited for.
  EXPECT_FALSE(races(softnpu::twin::MakeEntry<&AfterAStore<false>>("k", __FILE__, __LINE__)));
  EXPECT_TRUE(races(softnpu::twin::MakeEntry<&AfterAStore<true>>("k", __FILE__, __LINE__)));
}

void SeveralWriters(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  PipeBarrier<PIPE_V>();
  Exp(f.a, f.a, kPart);
  PipeBarrier<PIPE_V>();
  Ln(f.a, f.a, kPart);
  PipeBarrier<PIPE_V>();
  Duplicate(f.b, 1.0f, kPart);
  (void)f.a.GetValue(3);
}

TEST(Race, NamesTheLastWriter) {
  try {
    Device().Run(softnpu::twin::MakeEntry<&SeveralWriters>("k", __FILE__, __LINE__), 1);
    FAIL();
  } catch (const KernelError& error) {
    EXPECT_EQ(error.where().other_instruction, "Ln") << error.what();
    EXPECT_THAT(error.what(), HasSubstr("or the compiler's --cce-auto-sync"));
  }
}

}  // namespace
