// cc/softnpu/ascendc/order_test.cc: order between pipes and cores. Kernels that lack an order, at
// the line with FAULT and their name, each with a mended twin; then layouts, schedules, debugging.
#include <numeric>

#include "cc/softnpu/ascendc/testing.h"
#include "cc/softnpu/ascendc/twin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using namespace AscendC;
using softnpu::Error;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::Launch;
using softnpu::ascendc::LaunchOptions;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::SourceLine;
using ::testing::HasSubstr;

constexpr uint32_t kElements = 4096;  // of x and y, floats
constexpr uint32_t kPart = 64;        // of a block
constexpr uint32_t kWords = 4096;     // of the zeroed workspace, int32

struct Frame {
  GlobalTensor<float> x, y;
  GlobalTensor<int32_t> w;
  TPipe pipe;
  TBuf<> first, second;
  LocalTensor<float> a, b;

  Frame(GM_ADDR x_address, GM_ADDR y_address, GM_ADDR w_address) {
    x.SetGlobalBuffer(reinterpret_cast<float*>(x_address), kElements);
    y.SetGlobalBuffer(reinterpret_cast<float*>(y_address), kElements);
    w.SetGlobalBuffer(reinterpret_cast<int32_t*>(w_address), kWords);
    pipe.InitBuffer(first, 1024);
    pipe.InitBuffer(second, 1024);
    a = first.Get<float>();
    b = second.Get<float>();
  }
};

// Within a core.

template <bool fault>
void VectorAfterVector(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  if (!fault) PipeBarrier<PIPE_V>();
  Adds(f.b, f.a, 1.0f, kPart);  // FAULT VectorAfterVector
}

template <bool fault>
void VectorAfterCopyIn(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  if (!fault) {
    SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  }
  Adds(f.b, f.a, 1.0f, kPart);  // FAULT VectorAfterCopyIn
}

template <bool fault>
void FlagBeforeTheCopy(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  if (fault) SetFlag<HardEvent::MTE2_V>(EVENT_ID1);
  DataCopy(f.a, f.x, kPart);
  if (!fault) SetFlag<HardEvent::MTE2_V>(EVENT_ID1);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID1);
  Adds(f.b, f.a, 1.0f, kPart);  // FAULT FlagBeforeTheCopy
}

template <bool fault>
void FlagOfAnotherPipe(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
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
  Frame f(x, y, w);
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
  Frame f(x, y, w);
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
  Frame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  DataCopy(f.a[fault ? kPart - 8 : kPart], f.x, kPart);  // FAULT TwoCopiesIn
}

template <bool fault>
void ScalarAfterVector(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
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
  Frame f(x, y, w);
  for (uint32_t i = 0; i < 8; ++i) f.a.SetValue(i, 1.0f);
  if (!fault) {
    SetFlag<HardEvent::S_V>(EVENT_ID0);
    WaitFlag<HardEvent::S_V>(EVENT_ID0);
  }
  Adds(f.b, f.a, 1.0f, 8);  // FAULT VectorAfterScalar
}

template <bool fault>
void GmReadBack(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
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
  Frame f(x, y, w);
  DataCopy(f.a, f.x, DataCopyParams(4, 1, 0, 1));
  DataCopy(f.a[fault ? 16 : 8], f.x, DataCopyParams(4, 1, 0, 1));  // FAULT InterleavedRows
}

template <bool fault>
void MaskedHalves(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  uint64_t low[2] = {0x0F0F0F0F, 0};
  uint64_t high[2] = {fault ? 0xF8F0F0F0u : 0xF0F0F0F0u, 0};
  Duplicate(f.a, 1.0f, low, 1, 1, 8);
  Duplicate(f.a, 2.0f, high, 1, 1, 8);  // FAULT MaskedHalves
}

// The scalar unit's data cache.

template <bool fault>
void CopyOfADirtyLine(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  f.w.SetValue(3, 7);
  if (!fault) DataCacheCleanAndInvalid<int32_t, CacheLine::SINGLE_CACHE_LINE>(f.w);
  SetFlag<HardEvent::S_MTE2>(EVENT_ID0);
  WaitFlag<HardEvent::S_MTE2>(EVENT_ID0);
  DataCopy(f.a.ReinterpretCast<int32_t>(), f.w, 8);  // FAULT CopyOfADirtyLine
}

template <bool fault>
void StaleLine(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
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
  Frame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y[static_cast<uint64_t>(GetBlockIdx()) * (fault ? kPart - 8 : kPart)], f.a,
           kPart);  // FAULT SameOutput
}

template <bool fault>
void ReadsTheOthersPart(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
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
  Frame f(x, y, w);
  const auto me = static_cast<uint64_t>(GetBlockIdx());
  Duplicate(f.a, static_cast<float>(me), kPart);
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y[me * kPart], f.a, kPart);
  CrossCoreSetFlag<0, fault ? PIPE_MTE2 : PIPE_MTE3>(5);
  CrossCoreWaitFlag(5);
  const auto other = (me + 1) % static_cast<uint64_t>(GetBlockNum());
  DataCopy(f.b, f.y[other * kPart], kPart);  // FAULT FlagOfTheWrongPipe
}

template <bool fault>
void ReusedWithoutSync(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
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
  Frame f(x, y, w);
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
  Frame f(x, y, w);
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
  Frame f(x, y, w);
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
  Frame f(x, y, w);
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
      CASE(Asserts, 1, kVectorCoreTrap, "does not hold: two == 2"),
  };
  return cases;
}

class Device {
 public:
  Device() {
    softnpu::twin::Bind(softnpu::ascendc::CoreApi());
    std::vector<float> x(kElements);
    std::iota(x.begin(), x.end(), 0.0f);
    x_ = memory_.Put(x, "x");
    y_ = memory_.Allocate(kElements * 4, "y");
    w_ = memory_.Put(std::vector<int32_t>(kWords, 0), "w");
  }
  void Run(const SoftnpuKernelEntry& entry, uint32_t blocks, const LaunchOptions& options = {}) {
    const Slots slots(x_, y_, w_);
    Launch(chip, memory_, entry, slots.data(), slots.bytes(), blocks, options);
  }
  std::vector<float> y() const { return memory_.Get<float>(y_); }
  std::vector<int32_t> w() const { return memory_.Get<int32_t>(w_); }

  softnpu::Profile chip = Chip910B();

 private:
  HostMemory memory_;
  uintptr_t x_ = 0, y_ = 0, w_ = 0;
};

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

TEST(Race, AutoSyncOrdersTheVectorUnitOnly) {
  auto vector = softnpu::twin::MakeEntry<&VectorAfterVector<true>>("v", __FILE__, __LINE__);
  auto copy = softnpu::twin::MakeEntry<&VectorAfterCopyIn<true>>("c", __FILE__, __LINE__);
  static const uint32_t flags = SOFTNPU_TWIN_AUTO_SYNC;
  vector.flags = copy.flags = &flags;
  EXPECT_NO_THROW(Device().Run(vector, 1));
  EXPECT_THROW(Device().Run(copy, 1), KernelError);
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
  Frame f(x, y, w);
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
  Frame f(x, y, w);
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

// Each block squares its part; nothing orders the blocks.
void Apart(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  const auto me = static_cast<uint64_t>(GetBlockIdx());
  DataCopy(f.a, f.x[me * kPart], kPart);
  PipeBarrier<PIPE_ALL>();
  Mul(f.b, f.a, f.a, kPart);
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y[me * kPart], f.b, kPart);
}

TEST(Launch, BlocksRunOnHostThreads) {
  auto entry = softnpu::twin::MakeEntry<&Apart>("apart", __FILE__, __LINE__);
  static const uint32_t flags = 0;
  entry.flags = &flags;
  std::vector<float> want(kElements);
  for (size_t i = 0; i < want.size(); ++i) want[i] = static_cast<float>(i) * static_cast<float>(i);
  for (const int threads : {1, 4, 0}) {
    LaunchOptions options;
    options.threads = threads;
    options.seed = static_cast<uint64_t>(threads);
    Device device;
    device.Run(entry, kElements / kPart, options);
    EXPECT_EQ(device.y(), want);
  }
}

TEST(Launch, TheFirstFaultOfTheBlocksCounts) {
  struct Kernel {
    static void Run(GM_ADDR, GM_ADDR, GM_ADDR) {
      if (GetBlockIdx() >= 5) WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
    }
  };
  auto entry = softnpu::twin::MakeEntry<&Kernel::Run>("waits", __FILE__, __LINE__);
  static const uint32_t flags = 0;
  entry.flags = &flags;
  for (int i = 0; i < 20; ++i) {
    LaunchOptions options;
    options.threads = 4;
    try {
      Device().Run(entry, 64, options);
      FAIL();
    } catch (const KernelError& error) {
      EXPECT_EQ(error.where().block, 5);
    }
  }
}

// Every core writes what it is into its own line.
template <KernelMetaType type>
void WhoAmI(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  if constexpr (type == KERNEL_TYPE_AIV_ONLY) KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  if constexpr (type == KERNEL_TYPE_AIC_ONLY) KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  if constexpr (type == KERNEL_TYPE_MIX_AIC_1_1) KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_1);
  if constexpr (type == KERNEL_TYPE_MIX_AIC_1_2) KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  (void)x;
  (void)y;
  GlobalTensor<int32_t> out;
  out.SetGlobalBuffer(reinterpret_cast<int32_t*>(w), kWords);
  uint64_t line = static_cast<uint64_t>(GetBlockIdx()) * 16;
  if ASCEND_IS_AIC {
    line += 1024;
  }
  out.SetValue(line + 0, g_coreType == AIC ? 2 : 1);
  out.SetValue(line + 1, static_cast<int32_t>(GetSubBlockIdx()));
  out.SetValue(line + 2, static_cast<int32_t>(GetSubBlockNum()));
  out.SetValue(line + 3, static_cast<int32_t>(GetBlockNum()));
  out.SetValue(line + 4, static_cast<int32_t>(get_block_idx()));
}

void Hints(GM_ADDR x, GM_ADDR, GM_ADDR w) {
  const int64_t before = GetSystemCycle();
  GlobalTensor<int32_t> gm;
  gm.SetGlobalBuffer(reinterpret_cast<int32_t*>(w), kWords);
  gm.SetL2CacheHint<CacheRwMode::READ>(CacheMode::CACHE_MODE_DISABLE);
  ICachePreLoad(1);
  GlobalTensor<uint64_t> line;
  line.SetGlobalBuffer(reinterpret_cast<uint64_t*>(w), 8);
  DataCachePreload(line, 0);
  SetSysWorkspace(w);
  (void)gm.GetValue(0);
  DataSyncBarrier<MemDsbT::ALL>();
  ASSERT(GetSystemCycle() > before);
  ASSERT(GetTaskRation() == 1);
  ASSERT(GetUserWorkspace(w) == w);
  if (x == nullptr) Trap();
}

TEST(Launch, HintsAndCounters) {
  EXPECT_NO_THROW(Device().Run(softnpu::twin::MakeEntry<&Hints>("hints", __FILE__, __LINE__), 1));
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const Slots slots(uint64_t{0}, uint64_t{0}, memory.Put(std::vector<int32_t>(kWords, 0), "w"));
  try {
    Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&Hints>("hints", __FILE__, __LINE__),
           slots.data(), slots.bytes(), 1, LaunchOptions{});
    FAIL();
  } catch (const KernelError& error) {
    EXPECT_EQ(error.code(), softnpu::kVectorCoreTrap);
    EXPECT_EQ(error.fault(), "Trap");
  }
}

TEST(Launch, BlocksLieOnCoresAsTheTaskTypeSays) {
  const auto run = [](const SoftnpuKernelEntry& entry, uint32_t blocks) {
    Device device;
    device.Run(entry, blocks);
    std::vector<std::vector<int32_t>> cores;
    const std::vector<int32_t> w = device.w();
    for (size_t line = 0; line < w.size(); line += 16) {
      if (w[line] != 0) cores.emplace_back(w.begin() + line, w.begin() + line + 5);
    }
    return cores;
  };
  using Cores = std::vector<std::vector<int32_t>>;
  EXPECT_EQ(run(softnpu::twin::MakeEntry<&WhoAmI<KERNEL_TYPE_AIV_ONLY>>("v", __FILE__, 1), 2),
            (Cores{{1, 0, 1, 2, 0}, {1, 0, 1, 2, 1}}));
  EXPECT_EQ(run(softnpu::twin::MakeEntry<&WhoAmI<KERNEL_TYPE_AIC_ONLY>>("c", __FILE__, 1), 2),
            (Cores{{2, 0, 1, 2, 0}, {2, 0, 1, 2, 1}}));
  EXPECT_EQ(run(softnpu::twin::MakeEntry<&WhoAmI<KERNEL_TYPE_MIX_AIC_1_1>>("1", __FILE__, 1), 1),
            (Cores{{1, 0, 1, 1, 0}, {2, 0, 1, 1, 0}}));
  EXPECT_EQ(run(softnpu::twin::MakeEntry<&WhoAmI<KERNEL_TYPE_MIX_AIC_1_2>>("2", __FILE__, 1), 2),
            (Cores{{1, 0, 2, 2, 0},
                   {1, 1, 2, 2, 0},
                   {1, 0, 2, 2, 1},
                   {1, 1, 2, 2, 1},
                   {2, 0, 1, 2, 0},
                   {2, 0, 1, 2, 1}}));
}

struct ScaleTiling {
  uint32_t count;
  float scale;
};

void Tiled(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  GET_TILING_DATA_WITH_STRUCT(ScaleTiling, tiling, w);
  Frame f(x, y, w);
  DataCopy(f.a, f.x, tiling.count);
  PipeBarrier<PIPE_ALL>();
  if (TILING_KEY_IS(2)) {
    Muls(f.b, f.a, tiling.scale, static_cast<int32_t>(tiling.count));
  } else if (TILING_KEY_IS(3)) {
    Adds(f.b, f.a, tiling.scale, static_cast<int32_t>(tiling.count));
  }
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y, f.b, tiling.count);
}

TEST(Launch, TilingDataAndKey) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  for (const uint64_t key : {2, 3}) {
    HostMemory memory;
    const uintptr_t x = memory.Put(std::vector<float>(kElements, 3.0f), "x");
    const uintptr_t y = memory.Allocate(kElements * 4, "y");
    const uintptr_t w = memory.Put(std::vector<ScaleTiling>(2048, {kPart, 0.5f}), "tiling");
    const Slots slots(x, y, w);
    LaunchOptions options;
    options.tiling_key = key;
    Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&Tiled>("tiled", __FILE__, __LINE__),
           slots.data(), slots.bytes(), 1, options);
    EXPECT_EQ(memory.Get<float>(y)[kPart - 1], key == 2 ? 1.5f : 3.5f);
  }
}

// The forms in which kernels take their tiling; a pipe and queues as members; an entry per type.
REGISTER_TILING_DEFAULT(ScaleTiling);

template <typename T>
class Scaler {
 public:
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, const ScaleTiling* tiling) {
    count_ = static_cast<int32_t>(tiling->count);
    scale_ = static_cast<T>(tiling->scale);
    x_.SetGlobalBuffer((__gm__ T*)x);
    y_.SetGlobalBuffer((__gm__ T*)y);
    pipe_.InitBuffer(in_, 1, tiling->count * sizeof(T));
    pipe_.InitBuffer(out_, 1, tiling->count * sizeof(T));
  }
  __aicore__ inline void Process() {
    LocalTensor<T> a = in_.template AllocTensor<T>();
    DataCopy(a, x_, count_);
    in_.EnQue(a);
    a = in_.template DeQue<T>();
    LocalTensor<T> b = out_.template AllocTensor<T>();
    Muls(b, a, scale_, count_);
    in_.FreeTensor(a);
    out_.EnQue(b);
    b = out_.template DeQue<T>();
    DataCopy(y_, b, count_);
    out_.FreeTensor(b);
  }

 private:
  TPipe pipe_;
  TQue<QuePosition::VECIN, 1> in_;
  TQue<QuePosition::VECOUT, 1> out_;
  GlobalTensor<T> x_, y_;
  int32_t count_ = 0;
  T scale_{};
};

template <typename T, int form>
void ScaleBy(GM_ADDR x, GM_ADDR y, GM_ADDR tiling) {
  Scaler<T> scaler;
  if constexpr (form == 0) {
    GET_TILING_DATA(data, tiling);
    scaler.Init(x, y, &data);
  } else if constexpr (form == 1) {
    GET_TILING_DATA_MEMBER(ScaleTiling, count, count, tiling);
    GET_TILING_DATA_MEMBER(ScaleTiling, scale, scale, tiling);
    const ScaleTiling data = {count, scale};
    scaler.Init(x, y, &data);
  } else {
    COPY_TILING_WITH_STRUCT(ScaleTiling, tiling, data);
    scaler.Init(x, y, data);
  }
  scaler.Process();
}

template <typename T, int form>
void CheckScaleBy() {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const uintptr_t x = memory.Put(std::vector<T>(64, T(3.0f)), "x");
  const uintptr_t y = memory.Allocate(64 * sizeof(T), "y");
  const uintptr_t tiling = memory.Put(std::vector<ScaleTiling>(1, {64, 0.5f}), "tiling");
  const Slots slots(x, y, tiling);
  Launch(Chip910B(), memory,
         softnpu::twin::MakeEntry<&ScaleBy<T, form>>("scale_by", __FILE__, __LINE__), slots.data(),
         slots.bytes(), 1, LaunchOptions{});
  for (const T value : memory.Get<T>(y)) EXPECT_EQ(static_cast<float>(value), 1.5f);
}

TEST(Launch, FormsOfTilingAndOfKernels) {
  CheckScaleBy<float, 0>();
  CheckScaleBy<half, 0>();
  CheckScaleBy<float, 1>();
  CheckScaleBy<half, 2>();
}

TEST(Launch, TilingBeyondItsAllocationIsAFault) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const uintptr_t x = memory.Put(std::vector<float>(64, 3.0f), "x");
  const Slots slots(x, x, memory.Put(std::vector<float>(1, 0.0f), "tiling"));
  try {
    Launch(Chip910B(), memory,
           softnpu::twin::MakeEntry<&ScaleBy<float, 0>>("scale_by", __FILE__, __LINE__),
           slots.data(), slots.bytes(), 1, LaunchOptions{});
    FAIL();
  } catch (const KernelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("GET_TILING_DATA, bytes [0, 8) of GM 'tiling'"));
  }
}

void Pools(GM_ADDR, GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBufPool<TPosition::VECCALC> outer, left, right;
  pipe.InitBufPool(outer, 4096);
  outer.InitBufPool(left, 2048);
  outer.InitBufPool(right, 2048, left);
  TBuf<> a, b, c;
  left.InitBuffer(a, 1024);
  right.InitBuffer(b, 1024);
  pipe.InitBuffer(c, 1024);
  Duplicate(a.Get<int32_t>(), 1, 256);
  PipeBarrier<PIPE_V>();
  Adds(c.Get<int32_t>(), b.Get<int32_t>(), 1, 256);  // b lies where a lies
  PipeBarrier<PIPE_V>();
  ASSERT(a.Get<int32_t>().GetPhyAddr() == b.Get<int32_t>().GetPhyAddr());
  ASSERT(c.Get<int32_t>().GetPhyAddr() == 4096);
  left.Reset();
  TBuf<> d;
  left.InitBuffer(d, 2048);
  left.InitBuffer(d, 32);
}

TEST(Frame, PoolsShareOutTheirMemory) {
  try {
    Device().Run(softnpu::twin::MakeEntry<&Pools>("pools", __FILE__, __LINE__), 1);
    FAIL();
  } catch (const KernelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("of the TBufPool's 2048 bytes 2048 are taken"));
  }
}

void Talks(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  PipeBarrier<PIPE_ALL>();
  AscendC::printf("block %d has %f\n", static_cast<int>(GetBlockIdx()), half(2.5f));
  PRINTF("done");
  DumpTensor(f.a[8], 42, 9);
}

TEST(Debugging, PrintsAndDumps) {
  ::testing::internal::CaptureStdout();
  Device().Run(softnpu::twin::MakeEntry<&Talks>("talks", __FILE__, __LINE__), 1);
  const std::string out = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(out, HasSubstr("[AIV block 0] block 0 has 2.500000\n[AIV block 0] done\n"));
  EXPECT_THAT(out, HasSubstr("DumpTensor 42 at cc/softnpu/ascendc/order_test.cc:"));
  EXPECT_THAT(out, HasSubstr("TBuf<VECCALC> #0 (1024 bytes), bytes 32 on, float:\n"
                             "  8 9 10 11 12 13 14 15\n  16\n"));
}

}  // namespace
