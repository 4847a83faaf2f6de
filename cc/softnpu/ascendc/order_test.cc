// cc/softnpu/ascendc/order_test.cc: order between pipes and cores. Kernels that lack an order, at
// the line with FAULT and their name, each with a mended twin; then schedules of cores.
#include "cc/softnpu/ascendc/testing/device.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using namespace AscendC;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::LaunchOptions;
using softnpu::ascendc::testing::Device;
using softnpu::ascendc::testing::KernelFrame;
using softnpu::ascendc::testing::kPart;
using softnpu::ascendc::testing::SourceLine;
using ::testing::HasSubstr;

// Within a core.

template <bool fault>
void VectorAfterVector(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  if (!fault) PipeBarrier<PIPE_V>();
  Adds(f.b, f.a, 1.0f, kPart);  // FAULT VectorAfterVector
}

template <bool fault>
void VectorAfterCopyIn(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  if (!fault) {
    SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  }
  Adds(f.b, f.a, 1.0f, kPart);  // FAULT VectorAfterCopyIn
}

template <bool fault>
void FlagBeforeTheCopy(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  if (fault) SetFlag<HardEvent::MTE2_V>(EVENT_ID1);
  DataCopy(f.a, f.x, kPart);
  if (!fault) SetFlag<HardEvent::MTE2_V>(EVENT_ID1);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID1);
  Adds(f.b, f.a, 1.0f, kPart);  // FAULT FlagBeforeTheCopy
}

template <bool fault>
void FlagOfAnotherPipe(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  if (fault) {
    SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  } else {
    // Over the scalar unit: what it has waited for holds for all that it issues later.
    SetFlag<HardEvent::MTE2_S>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_S>(EVENT_ID0);
  }
  Adds(f.b, f.a, 1.0f, kPart);  // FAULT FlagOfAnotherPipe
}

template <bool fault>
void CopyOutAfterVector(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  if (fault) {
    PipeBarrier<PIPE_V>();
  } else {
    PipeBarrier<PIPE_ALL>();
  }
  DataCopy(f.y, f.a, kPart);  // FAULT CopyOutAfterVector
}

template <bool fault>
void CopyInBeforeTheReader(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  for (int i = 0; i < 2; ++i) {
    if (i > 0 && !fault) WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    DataCopy(f.a, f.x[static_cast<uint64_t>(i) * kPart], kPart);  // FAULT CopyInBeforeTheReader
    SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
    PipeBarrier<PIPE_V>();
    Adds(f.b, f.a, 1.0f, kPart);
    if (i == 0 && !fault) SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
  }
}

template <bool fault>
void TwoCopiesIn(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  DataCopy(f.a[fault ? kPart - 8 : kPart], f.x, kPart);  // FAULT TwoCopiesIn
}

template <bool fault>
void ScalarAfterVector(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  if (!fault) {
    const TEventID id = f.pipe.FetchEventID(HardEvent::V_S);
    SetFlag<HardEvent::V_S>(id);
    WaitFlag<HardEvent::V_S>(id);
  }
  (void)f.a.GetValue(3);  // FAULT ScalarAfterVector
}

template <bool fault>
void VectorAfterScalar(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  for (uint32_t i = 0; i < 8; ++i) f.a.SetValue(i, 1.0f);
  if (!fault) {
    SetFlag<HardEvent::S_V>(EVENT_ID0);
    WaitFlag<HardEvent::S_V>(EVENT_ID0);
  }
  Adds(f.b, f.a, 1.0f, 8);  // FAULT VectorAfterScalar
}

template <bool fault>
void GmReadBack(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y, f.a, kPart);
  if (!fault) {
    SetFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
    WaitFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
  }
  DataCopy(f.b, f.y, kPart);  // FAULT GmReadBack
}

// The hulls of the two copies overlap, their rows do not.
template <bool fault>
void InterleavedRows(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, DataCopyParams(4, 1, 0, 1));
  DataCopy(f.a[fault ? 16 : 8], f.x, DataCopyParams(4, 1, 0, 1));  // FAULT InterleavedRows
}

template <bool fault>
void MaskedHalves(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  uint64_t low[2] = {0x0F0F0F0F, 0};
  uint64_t high[2] = {fault ? 0xF8F0F0F0u : 0xF0F0F0F0u, 0};
  Duplicate(f.a, 1.0f, low, 1, 1, 8);
  Duplicate(f.a, 2.0f, high, 1, 1, 8);  // FAULT MaskedHalves
}

// The scalar unit's data cache.

template <bool fault>
void CopyOfADirtyLine(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  f.w.SetValue(3, 7);
  if (!fault) DataCacheCleanAndInvalid<int32_t, CacheLine::SINGLE_CACHE_LINE>(f.w);
  SetFlag<HardEvent::S_MTE2>(EVENT_ID0);
  WaitFlag<HardEvent::S_MTE2>(EVENT_ID0);
  DataCopy(f.a.ReinterpretCast<int32_t>(), f.w, 8);  // FAULT CopyOfADirtyLine
}

template <bool fault>
void StaleLine(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  (void)f.w.GetValue(1);
  Duplicate(f.a.ReinterpretCast<int32_t>(), 5, 8);
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.w, f.a.ReinterpretCast<int32_t>(), 8);
  PipeBarrier<PIPE_ALL>();
  if (!fault) DataCacheCleanAndInvalid<int32_t, CacheLine::ENTIRE_DATA_CACHE>(f.w);
  (void)f.w.GetValue(0);  // FAULT StaleLine
}

// Between cores.

template <bool fault>
void SameOutput(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y[static_cast<uint64_t>(GetBlockIdx()) * (fault ? kPart - 8 : kPart)], f.a,
           kPart);  // FAULT SameOutput
}

template <bool fault>
void ReadsTheOthersPart(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  const auto me = static_cast<uint64_t>(GetBlockIdx());
  const auto other = (me + 1) % static_cast<uint64_t>(GetBlockNum());
  Duplicate(f.a, static_cast<float>(me), kPart);
  PipeBarrier<PIPE_ALL>();
  if (fault) DataCopy(f.b, f.x[other * kPart], kPart);  // FAULT ReadsTheOthersPart
  DataCopy(f.x[me * kPart], f.a, kPart);
  if (fault) return;
  SyncAll();
  DataCopy(f.b, f.x[other * kPart], kPart);
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y[me * kPart], f.b, kPart);
}

template <bool fault>
void FlagOfTheWrongPipe(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  const auto me = static_cast<uint64_t>(GetBlockIdx());
  Duplicate(f.a, static_cast<float>(me), kPart);
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y[me * kPart], f.a, kPart);
  CrossCoreSetFlag<0, fault ? PIPE_MTE2 : PIPE_MTE3>(5);
  WaitEvent(5);
  const auto other = (me + 1) % static_cast<uint64_t>(GetBlockNum());
  DataCopy(f.b, f.y[other * kPart], kPart);  // FAULT FlagOfTheWrongPipe
}

template <bool fault>
void ReusedWithoutSync(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  const auto me = static_cast<uint64_t>(GetBlockIdx());
  const auto other = (me + 1) % static_cast<uint64_t>(GetBlockNum());
  for (int round = 0; round < 2; ++round) {
    PipeBarrier<PIPE_ALL>();
    Duplicate(f.a, static_cast<float>(round), kPart);
    PipeBarrier<PIPE_ALL>();
    DataCopy(f.y[me * kPart], f.a, kPart);  // FAULT ReusedWithoutSync
    SyncAll();
    DataCopy(f.b, f.y[other * kPart], kPart);
    if (!fault) SyncAll();
  }
}

template <bool fault>
void BlockOrder(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  const auto me = static_cast<int32_t>(GetBlockIdx());
  LocalTensor<int32_t> sync = f.b.ReinterpretCast<int32_t>();
  Duplicate(f.a, static_cast<float>(me), kPart);
  PipeBarrier<PIPE_ALL>();
  if (me > 0 && !fault) IBWait(f.w, sync, me - 1, 0);
  DataCopy(f.y, f.a, kPart);  // FAULT BlockOrder
  PipeBarrier<PIPE_ALL>();
  if (me + 1 < GetBlockNum() && !fault) IBSet(f.w, sync, me, 0);
}

template <bool fault>
void Determined(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  LocalTensor<int32_t> sync = f.b.ReinterpretCast<int32_t>();
  InitDetermineComputeWorkspace(f.w, sync);
  Duplicate(f.a, static_cast<float>(GetBlockIdx()), kPart);
  PipeBarrier<PIPE_ALL>();
  for (int round = 0; round < 2; ++round) {
    if (!fault) WaitPreBlock(f.w, sync);
    DataCopy(f.y, f.a, kPart);  // FAULT Determined
    PipeBarrier<PIPE_ALL>();
    if (!fault) NotifyNextBlock(f.w, sync);
  }
}

template <bool fault>
void NotWrittenBack(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  if (GetBlockIdx() == 0) {
    f.w.SetValue(0, 9);
    if (!fault) DataCacheCleanAndInvalid<int32_t, CacheLine::SINGLE_CACHE_LINE>(f.w);
  }
  SyncAll();
  if (GetBlockIdx() != 1) return;
  DataCopy(f.a.ReinterpretCast<int32_t>(), f.w, 8);  // FAULT NotWrittenBack
}

template <bool fault>
void OneLineOfTwoCores(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  f.w.SetValue(static_cast<uint64_t>(GetBlockIdx()) * (fault ? 8 : 16),
               1);  // FAULT OneLineOfTwoCores
}

template <bool fault>
void WaitsForEver(GM_ADDR, GM_ADDR, GM_ADDR) {
  if (!fault || GetBlockIdx() != 0) CrossCoreSetFlag<0, PIPE_MTE3>(2);
  CrossCoreWaitFlag<0, PIPE_MTE2>(2);  // FAULT WaitsForEver
}

template <bool fault>
void SyncAllOfSome(GM_ADDR, GM_ADDR, GM_ADDR) {
  if (fault && GetBlockIdx() == 1) return;
  SyncAll();  // FAULT SyncAllOfSome
}

template <bool fault>
void CrossFlagLeftSet(GM_ADDR, GM_ADDR, GM_ADDR) {
  CrossCoreSetFlag<0, PIPE_MTE3>(7);  // FAULT CrossFlagLeftSet
  if (!fault) CrossCoreWaitFlag(7);
}

template <bool fault>
void SixteenSets(GM_ADDR, GM_ADDR, GM_ADDR) {
  for (int i = 0; i < (fault ? 16 : 15); ++i) {
    CrossCoreSetFlag<0, PIPE_MTE3>(1);  // FAULT SixteenSets
  }
  for (int i = 0; i < 15; ++i) CrossCoreWaitFlag(1);
}

// One core is far ahead of the others, which have yet to set the flag.
template <bool fault>
void FarAhead(GM_ADDR, GM_ADDR, GM_ADDR) {
  const int sets = fault ? 16 : 15;
  if (GetBlockIdx() != 0) SyncAll();
  for (int i = 0; i < sets; ++i) {
    CrossCoreSetFlag<0, PIPE_MTE3>(1);  // FAULT FarAhead
    if (GetBlockIdx() != 0) CrossCoreWaitFlag(1);
  }
  if (GetBlockIdx() != 0) return;
  SyncAll();
  for (int i = 0; i < sets; ++i) CrossCoreWaitFlag(1);
}

template <bool fault>
void Asserts(GM_ADDR, GM_ADDR, GM_ADDR) {
  const int two = fault ? 3 : 2;
  ASSERT(two == 2);  // FAULT Asserts
}

struct Case {
  const char* name;
  SoftnpuKernelEntry faulty;
  SoftnpuKernelEntry mended;
  uint32_t blocks;
  int32_t code;
  std::vector<const char*> parts;
};

void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

#define CASE(name, blocks, code, ...)                                                      \
  Case {                                                                                   \
    #name, softnpu::twin::MakeEntry<&name<true>>(#name, __FILE__, __LINE__),               \
        softnpu::twin::MakeEntry<&name<false>>(#name, __FILE__, __LINE__), blocks, code, { \
      __VA_ARGS__                                                                          \
    }                                                                                      \
  }

const std::vector<Case>& Cases() {
  using softnpu::kVectorCoreException;
  using softnpu::kVectorCoreTimeout;
  using softnpu::kVectorCoreTrap;
  static const std::vector<Case> cases = {
      CASE(VectorAfterVector, 1, kVectorCoreException, "read after write", "Duplicate of pipe V",
           "PipeBarrier<PIPE_V>()"),
      CASE(VectorAfterCopyIn, 1, kVectorCoreException, "read after write", "DataCopy of pipe MTE2",
           "HardEvent::MTE2_V"),
      CASE(FlagBeforeTheCopy, 1, kVectorCoreException, "read after write", "HardEvent::MTE2_V"),
      CASE(FlagOfAnotherPipe, 1, kVectorCoreException, "read after write", "HardEvent::MTE2_V"),
      CASE(CopyOutAfterVector, 1, kVectorCoreException, "read after write", "HardEvent::V_MTE3"),
      CASE(CopyInBeforeTheReader, 1, kVectorCoreException, "write after", "HardEvent::V_MTE2"),
      CASE(TwoCopiesIn, 1, kVectorCoreException, "write after write", "[224, 256)",
           "PipeBarrier<PIPE_MTE2>()"),
      CASE(ScalarAfterVector, 1, kVectorCoreException, "read after write", "HardEvent::V_S",
           "[12, 16)"),
      CASE(VectorAfterScalar, 1, kVectorCoreException, "read after write", "HardEvent::S_V"),
      CASE(GmReadBack, 1, kVectorCoreException, "read after write", "HardEvent::MTE3_MTE2",
           "GM 'y'"),
      CASE(InterleavedRows, 1, kVectorCoreException, "write after write", "[64, 96)"),
      CASE(MaskedHalves, 1, kVectorCoreException, "write after write", "[108, 112)"),
      CASE(CopyOfADirtyLine, 1, kVectorCoreException, "still in the scalar unit's data cache"),
      CASE(StaleLine, 1, kVectorCoreException, "older than GM"),
      CASE(SameOutput, 3, kVectorCoreException, "race between cores (write after write)",
           "[224, 256) of GM 'y'"),
      CASE(ReadsTheOthersPart, 2, kVectorCoreException, "race between cores", "GM 'x'"),
      CASE(FlagOfTheWrongPipe, 3, kVectorCoreException, "race between cores", "GM 'y'"),
      CASE(ReusedWithoutSync, 2, kVectorCoreException, "race between cores", "GM 'y'"),
      CASE(BlockOrder, 4, kVectorCoreException, "race between cores (write after write)"),
      CASE(Determined, 3, kVectorCoreException, "race between cores (write after write)"),
      CASE(NotWrittenBack, 2, kVectorCoreException, "into the scalar unit's data cache only"),
      CASE(OneLineOfTwoCores, 2, kVectorCoreException, "64-byte line"),
      CASE(WaitsForEver, 2, kVectorCoreTimeout, "deadlock", "AIV block 0: CrossCoreWaitFlag at",
           "waits for flag 2 (pipe MTE2)", "AIV block 1"),
      CASE(SyncAllOfSome, 3, kVectorCoreTimeout, "deadlock", "AIV block 1: has ended",
           "AIV block 2: SyncAll at"),
      CASE(CrossFlagLeftSet, 2, kVectorCoreException, "flag 7 of AIV block 0 is still set"),
      CASE(SixteenSets, 2, kVectorCoreException, "for the 16th time"),
      CASE(FarAhead, 2, kVectorCoreException, "for the 16th time by this core"),
      CASE(Asserts, 1, kVectorCoreTrap, "does not hold: two == 2"),
  };
  return cases;
}

class Order : public ::testing::TestWithParam<Case> {};

// A wrong order is found whatever order the cores take their turns in.
TEST_P(Order, FaultyKernelStopsAtItsLine) {
  const Case& test = GetParam();
  for (const uint64_t seed : {0, 1, 2, 3}) {
    LaunchOptions options;
    options.seed = seed;
    try {
      Device().Run(test.faulty, test.blocks, options);
      FAIL() << test.name << " ran without a fault with seed " << seed;
    } catch (const KernelError& error) {
      const KernelError::Where& where = error.where();
      EXPECT_EQ(error.code(), test.code);
      EXPECT_EQ(where.kernel, test.name);
      const std::string mark = std::string("// FAULT ") + test.name;
      // A race has two ends; which of them came last may depend on the order of cores.
      EXPECT_THAT(SourceLine(__FILE__, where.line) + SourceLine(__FILE__, where.line + 1) +
                      SourceLine(__FILE__, where.other_line),
                  HasSubstr(mark))
          << error.what();
      if (seed != 0) continue;
      EXPECT_EQ(where.file, __FILE__);
      for (const char* const part : test.parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }
}

TEST_P(Order, MendedKernelPasses) {
  for (const uint64_t seed : {0, 1, 2, 3}) {
    LaunchOptions options;
    options.seed = seed;
    EXPECT_NO_THROW(Device().Run(GetParam().mended, GetParam().blocks, options)) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Order, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Race, NamesBothEnds) {
  try {
    Device().Run(softnpu::twin::MakeEntry<&VectorAfterCopyIn<true>>("kernel", __FILE__, __LINE__),
                 1);
    FAIL();
  } catch (const KernelError& error) {
    EXPECT_EQ(error.where().pipe, "V");
    EXPECT_EQ(error.where().instruction, "Adds");
    EXPECT_EQ(error.where().other_pipe, "MTE2");
    EXPECT_EQ(error.where().other_instruction, "DataCopy");
    EXPECT_EQ(error.where().other_file, __FILE__);
    EXPECT_THAT(SourceLine(__FILE__, error.where().other_line),
                HasSubstr("DataCopy(f.a, f.x, kPart);"));
    EXPECT_EQ(error.where().begin, 0);
    EXPECT_EQ(error.where().end, 256);
  }
}

TEST(Race, IsNotLookedForWhenTurnedOff) {
  LaunchOptions options;
  options.races = false;
  const auto entry = softnpu::twin::MakeEntry<&VectorAfterVector<true>>("v", __FILE__, __LINE__);
  EXPECT_NO_THROW(Device().Run(entry, 1, options));
}

TEST(Cluster, CoresThatWaitForEachOtherHaveToFitTheChip) {
  const auto entry = softnpu::twin::MakeEntry<&SyncAllOfSome<false>>("sync", __FILE__, __LINE__);
  EXPECT_NO_THROW(Device().Run(entry, 40));
  try {
    Device().Run(entry, 41);
    FAIL();
  } catch (const KernelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("41 blocks take 41 vector cores, Ascend910B3 has 40"));
  }
}

// The first core ends with a line in its data cache that the second one has, too.
void LeavesADirtyLine(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  (void)f.w.GetValue(0);
  SyncAll();
  if (GetBlockIdx() == 0) f.w.SetValue(1, 7);
  SyncAll();
  if (GetBlockIdx() == 1) (void)f.w.GetValue(0);
}

TEST(Cluster, ALineThatIsLeftDirtyReachesTheOthersWhenItsCoreEnds) {
  const auto entry = softnpu::twin::MakeEntry<&LeavesADirtyLine>("dirty", __FILE__, __LINE__);
  Device device;
  EXPECT_NO_THROW(device.Run(entry, 2));
  EXPECT_EQ(device.w()[1], 7);
}

// y[me] = sum over rounds of the neighbour's last value: every order of cores gives the same.
void Exchange(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  const auto me = static_cast<uint64_t>(GetBlockIdx());
  const auto other = (me + 1) % static_cast<uint64_t>(GetBlockNum());
  DataCopy(f.a, f.x[me * kPart], kPart);
  PipeBarrier<PIPE_ALL>();
  for (int round = 0; round < 5; ++round) {
    DataCopy(f.y[me * kPart], f.a, kPart);
    SyncAll();
    DataCopy(f.b, f.y[other * kPart], kPart);
    SyncAll();
    Add(f.a, f.a, f.b, kPart);
    PipeBarrier<PIPE_ALL>();
  }
}

TEST(Cluster, ResultsDoNotDependOnTheOrderOfCores) {
  const auto entry = softnpu::twin::MakeEntry<&Exchange>("exchange", __FILE__, __LINE__);
  std::vector<float> first;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const bool strict : {true, false}) {
      LaunchOptions options;
      options.seed = seed;
      options.strict = strict;
      Device device;
      device.Run(entry, 7, options);
      std::vector<float> y = device.y();
      y.resize(7 * kPart);
      if (first.empty()) {
        first = y;
        // After 4 rounds: sums of binomials times the neighbours' values.
        const float binomials[] = {1, 4, 6, 4, 1};
        float want = 0;
        for (int i = 0; i < 5; ++i) want += binomials[i] * static_cast<float>(i * 64 + 3);
        EXPECT_EQ(first[3], want);
      }
      EXPECT_EQ(y, first) << seed;
    }
  }
}

}  // namespace
