// cc/softnpu/ascendc/rules_test.cc: each documented rule of order, of queues and of memory: a
// kernel that keeps it and one that breaks it, with and without the compiler's --cce-auto-sync.
//
// The one that breaks it is reported exactly where the documentation says, the other one never.
#include "cc/softnpu/ascendc/testing/device.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using namespace AscendC;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::LaunchOptions;
using softnpu::ascendc::testing::Device;
using softnpu::ascendc::testing::kElements;
using softnpu::ascendc::testing::KernelFrame;
using softnpu::ascendc::testing::kPart;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <HardEvent event>
void Flag() {
  SetFlag<event>(EVENT_ID0);
  WaitFlag<event>(EVENT_ID0);
}

// One pipe after another. "Automatic Synchronization" orders V-V, V-S, MTE2-S and MTE3-S.

template <bool kept>
void ReadAfterWriteOfV(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  if (kept) PipeBarrier<PIPE_V>();
  Exp(f.b, f.a, kPart);
}
template <bool kept>
void WriteAfterReadOfV(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  PipeBarrier<PIPE_V>();
  Exp(f.b, f.a, kPart);
  if (kept) PipeBarrier<PIPE_V>();
  Duplicate(f.a, 2.0f, kPart);
}
template <bool kept>
void WriteAfterWriteOfV(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  if (kept) PipeBarrier<PIPE_V>();
  Duplicate(f.a, 2.0f, kPart);
}
template <bool kept>
void ScalarAfterMte2(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  if (kept) Flag<HardEvent::MTE2_S>();
  (void)f.a.GetValue(0);
}
template <bool kept>
void Mte2AfterScalar(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  f.a.SetValue(0, 1.0f);
  if (kept) Flag<HardEvent::S_MTE2>();
  DataCopy(f.a, f.x, kPart);
}
template <bool kept>
void Mte3AfterScalar(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  for (uint32_t i = 0; i < 8; ++i) f.a.SetValue(i, 1.0f);
  if (kept) Flag<HardEvent::S_MTE3>();
  DataCopy(f.y, f.a, 8);
}
template <bool kept>
void ScalarAfterMte3(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  Flag<HardEvent::V_MTE3>();
  DataCopy(f.y, f.a, kPart);
  Flag<HardEvent::V_S>();
  if (kept) Flag<HardEvent::MTE3_S>();
  f.a.SetValue(0, 2.0f);
}
template <bool kept>
void ScalarAfterV(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  if (kept) Flag<HardEvent::V_S>();
  (void)f.a.GetValue(0);
}
template <bool kept>
void VAfterScalar(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  for (uint32_t i = 0; i < 8; ++i) f.a.SetValue(i, 1.0f);
  if (kept) Flag<HardEvent::S_V>();
  Exp(f.b, f.a, 8);
}
// A vector instruction whose scalar is what was loaded comes after the load; a store it does not
// wait for.
template <bool kept>
void VWithALoadedScalar(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  Flag<HardEvent::MTE2_S>();
  const float first = f.a.GetValue(0);
  if (!kept) f.a.SetValue(1, first);
  Muls(f.a, f.a, first, kPart);
}

template <bool kept>
void VAfterMte2(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  if (kept) Flag<HardEvent::MTE2_V>();
  Exp(f.b, f.a, kPart);
}
template <bool kept>
void Mte2AfterV(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  PipeBarrier<PIPE_V>();
  Exp(f.b, f.a, kPart);
  if (kept) Flag<HardEvent::V_MTE2>();
  DataCopy(f.a, f.x, kPart);
}
template <bool kept>
void Mte3AfterV(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  if (kept) Flag<HardEvent::V_MTE3>();
  DataCopy(f.y, f.a, kPart);
}
template <bool kept>
void VAfterMte3(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  Flag<HardEvent::V_MTE3>();
  DataCopy(f.y, f.a, kPart);
  if (kept) Flag<HardEvent::MTE3_V>();
  Duplicate(f.a, 2.0f, kPart);
}
template <bool kept>
void Mte3AfterMte2(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  if (kept) Flag<HardEvent::MTE2_MTE3>();
  DataCopy(f.y, f.a, kPart);
}
template <bool kept>
void Mte2AfterMte3(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  Flag<HardEvent::V_MTE3>();
  DataCopy(f.y, f.a, kPart);
  if (kept) Flag<HardEvent::MTE3_MTE2>();
  DataCopy(f.b, f.y, kPart);
}
template <bool kept>
void TwoCopiesIn(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  if (kept) PipeBarrier<PIPE_MTE2>();
  DataCopy(f.a, f.x[kPart], kPart);
}

// The cube core: L1, L0A and L0B, L0C, GM.
template <int missing>
void Product(GM_ADDR x, GM_ADDR y, GM_ADDR) {
  GlobalTensor<half> from;
  GlobalTensor<float> to;
  from.SetGlobalBuffer(reinterpret_cast<half*>(x), 256);
  to.SetGlobalBuffer(reinterpret_cast<float*>(y), 256);
  TPipe pipe;
  TBuf<TPosition::A1> l1;
  TBuf<TPosition::A2> l0a;
  TBuf<TPosition::B2> l0b;
  TBuf<TPosition::CO1> l0c;
  pipe.InitBuffer(l1, 512);
  pipe.InitBuffer(l0a, 512);
  pipe.InitBuffer(l0b, 512);
  pipe.InitBuffer(l0c, 1024);
  DataCopy(l1.Get<half>(), from, Nd2NzParams(1, 16, 16, 0, 16, 16, 1, 0));
  if (missing != 1) Flag<HardEvent::MTE2_MTE1>();
  const LoadData2DParams load(0, 1, 1, 0, 0, false, 0);
  LoadData(l0a.Get<half>(), l1.Get<half>(), load);
  LoadData(l0b.Get<half>(), l1.Get<half>(), load);
  if (missing != 2) Flag<HardEvent::MTE1_M>();
  Mmad(l0c.Get<float>(), l0a.Get<half>(), l0b.Get<half>(), MmadParams(16, 16, 16, 0, false, true));
  if (missing != 3) Flag<HardEvent::M_FIX>();
  Fixpipe(to, l0c.Get<float>(), FixpipeParamsV220(16, 16, 16, 16, false));
  if (missing != 4) Flag<HardEvent::FIX_M>();
  Mmad(l0c.Get<float>(), l0a.Get<half>(), l0b.Get<half>(), MmadParams(16, 16, 16, 0, false, true));
}
template <bool kept>
void Mte1AfterMte2(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Product<kept ? 0 : 1>(x, y, w);
}
template <bool kept>
void MAfterMte1(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Product<kept ? 0 : 2>(x, y, w);
}
template <bool kept>
void FixAfterM(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Product<kept ? 0 : 3>(x, y, w);
}
template <bool kept>
void MAfterFix(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Product<kept ? 0 : 4>(x, y, w);
}

// Queues. EnQue takes what AllocTensor or DeQue gave, FreeTensor all but a free tensor.

struct InQueue : KernelFrame {
  TQue<TPosition::VECIN, 1> queue;
  InQueue(GM_ADDR x, GM_ADDR y, GM_ADDR w) : KernelFrame(x, y, w) {
    pipe.InitBuffer(queue, 1, kPart * sizeof(float));
  }
};
template <bool kept>
void QueueInsteadOfAFlag(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  InQueue f(x, y, w);
  LocalTensor<float> tile = f.queue.AllocTensor<float>();
  DataCopy(tile, f.x, kPart);
  if (kept) {
    f.queue.EnQue(tile);
    tile = f.queue.DeQue<float>();
  }
  Exp(f.b, tile, kPart);
  f.queue.FreeTensor(tile);
}
template <bool kept>
void EnQueAgain(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  InQueue f(x, y, w);
  LocalTensor<float> tile = f.queue.AllocTensor<float>();
  f.queue.EnQue(tile);
  tile = f.queue.DeQue<float>();
  if (!kept) f.queue.FreeTensor(tile);
  f.queue.EnQue(tile);
  tile = f.queue.DeQue<float>();
  if (kept) f.queue.FreeTensor(tile);
}
template <bool kept>
void UseAfterFree(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  InQueue f(x, y, w);
  LocalTensor<float> tile = f.queue.AllocTensor<float>();
  if (!kept) f.queue.FreeTensor(tile);
  Duplicate(tile, 1.0f, kPart);
  if (kept) f.queue.FreeTensor(tile);
}
template <bool kept>
void EachTensorIsFreed(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  InQueue f(x, y, w);
  LocalTensor<float> tile = f.queue.AllocTensor<float>();
  if (kept) f.queue.FreeTensor(tile);
}
// A TQueBind's tensor goes to the vector unit first, then to GM.
template <bool kept>
void QueueWithPositions(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 1> queue;
  f.pipe.InitBuffer(queue, 1, kPart * sizeof(float));
  LocalTensor<float> tile = queue.AllocTensor<float>();
  DataCopy(tile, f.x, kPart);
  queue.EnQue<TPosition::GM, TPosition::VECIN, float>(tile);
  tile = queue.DeQue<TPosition::GM, TPosition::VECIN, float>();
  Muls(tile, tile, 2.0f, kPart);
  if (kept) {
    queue.EnQue<TPosition::VECOUT, TPosition::GM, float>(tile);
    tile = queue.DeQue<TPosition::VECOUT, TPosition::GM, float>();
  } else {
    queue.EnQue(tile);
    tile = queue.DeQue<float>();
  }
  DataCopy(f.y, tile, kPart);
  queue.FreeTensor(tile);
}

// Memory.

// The allocation is the limit; an allocation has 32 bytes behind whole blocks, without a value.
template <bool kept>
void BlockAtTheEnd(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  f.x.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x));
  DataCopy(f.a, f.x[kElements - 8 + (kept ? 0 : 8)], 16);  // 8 elements lie behind, or 16
}
// What lies behind has no value: it may be read, and not handed out.
template <bool kept>
void ValueFromBehind(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  f.x.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x));
  DataCopy(f.a, f.x[kElements - 8], 16);
  Flag<HardEvent::MTE2_MTE3>();
  DataCopy(f.y, f.a, kept ? 8 : 16);
}
// "No value" travels through instructions to the output.
template <bool kept>
void LanesWithoutAValue(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, 8);
  PipeBarrier<PIPE_ALL>();
  Adds(f.b, f.a, 1.0f, 16);
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y, f.b, kept ? 8 : 16);
}
// ... and to a sum, where it matters at once.
template <bool kept>
void SumOfNoValue(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, 8);
  PipeBarrier<PIPE_ALL>();
  WholeReduceSum<float>(f.b, f.a, kept ? 8 : 16, 1, 1, 1, 8);
}

struct Case {
  const char* name;
  SoftnpuKernelEntry broken, kept;
  bool off, on;  // the broken one is reported without and with auto-sync
  const char* words;
};
void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

#define RULE(name, off, on, words)                                                       \
  Case {                                                                                 \
    #name, softnpu::twin::MakeEntry<&name<false>>(#name, __FILE__, __LINE__),            \
        softnpu::twin::MakeEntry<&name<true>>(#name, __FILE__, __LINE__), off, on, words \
  }
#define CUBE_RULE(name, off, on, words)                                                          \
  Case {                                                                                         \
    #name,                                                                                       \
        softnpu::twin::MakeEntry<&name<false>>(#name, __FILE__, __LINE__, KERNEL_TYPE_AIC_ONLY), \
        softnpu::twin::MakeEntry<&name<true>>(#name, __FILE__, __LINE__, KERNEL_TYPE_AIC_ONLY),  \
        off, on, words                                                                           \
  }

const Case kCases[] = {
    RULE(ReadAfterWriteOfV, true, false, "PipeBarrier<PIPE_V>()"),
    RULE(WriteAfterReadOfV, true, false, "write after read"),
    RULE(WriteAfterWriteOfV, true, false, "write after write"),
    RULE(ScalarAfterMte2, true, false, "HardEvent::MTE2_S"),
    RULE(Mte2AfterScalar, true, false, "HardEvent::S_MTE2"),
    RULE(Mte3AfterScalar, true, false, "HardEvent::S_MTE3"),
    RULE(ScalarAfterMte3, true, false, "HardEvent::MTE3_S"),
    RULE(ScalarAfterV, true, false, "HardEvent::V_S"),
    RULE(VAfterScalar, true, false, "HardEvent::S_V"),
    RULE(VWithALoadedScalar, true, false, "HardEvent::S_V"),
    RULE(VAfterMte2, true, true, "HardEvent::MTE2_V"),
    RULE(Mte2AfterV, true, true, "HardEvent::V_MTE2"),
    RULE(Mte3AfterV, true, true, "HardEvent::V_MTE3"),
    RULE(VAfterMte3, true, true, "HardEvent::MTE3_V"),
    RULE(Mte3AfterMte2, true, true, "HardEvent::MTE2_MTE3"),
    RULE(Mte2AfterMte3, true, true, "HardEvent::MTE3_MTE2"),
    RULE(TwoCopiesIn, true, true, "PipeBarrier<PIPE_MTE2>()"),
    CUBE_RULE(Mte1AfterMte2, true, true, "HardEvent::MTE2_MTE1"),
    CUBE_RULE(MAfterMte1, true, true, "HardEvent::MTE1_M"),
    CUBE_RULE(FixAfterM, true, true, "HardEvent::M_FIX"),
    CUBE_RULE(MAfterFix, true, true, "HardEvent::FIX_M"),
    RULE(QueueInsteadOfAFlag, true, true, "HardEvent::MTE2_V"),
    RULE(EnQueAgain, true, true, "AllocTensor has not given, or that was freed"),
    RULE(UseAfterFree, true, true, "after its FreeTensor"),
    RULE(EachTensorIsFreed, true, true, "had no FreeTensor"),
    RULE(QueueWithPositions, true, true, "HardEvent::V_MTE3"),
    RULE(BlockAtTheEnd, true, true, "beyond the end of an allocation"),
    RULE(ValueFromBehind, true, true, "no value"),
    RULE(LanesWithoutAValue, true, true, "never written"),
    RULE(SumOfNoValue, true, true, "never written"),
};

// What a launch reports; empty: nothing.
std::string Reported(SoftnpuKernelEntry entry, bool auto_sync) {
  const uint32_t flags = auto_sync ? SOFTNPU_TWIN_AUTO_SYNC : 0;
  entry.flags = &flags;
  std::vector<std::string> warnings;
  LaunchOptions options;
  options.warnings = &warnings;
  try {
    Device().Run(entry, 1, options);
  } catch (const KernelError& error) {
    return error.what();
  }
  return warnings.empty() ? "" : "warning: " + warnings[0];
}

class Rule : public ::testing::TestWithParam<Case> {};

TEST_P(Rule, IsReportedWhereItIsBrokenAndOnlyThere) {
  const Case& test = GetParam();
  for (const bool auto_sync : {false, true}) {
    EXPECT_THAT(Reported(test.kept, auto_sync), IsEmpty()) << "auto-sync " << auto_sync;
    const std::string fault = Reported(test.broken, auto_sync);
    if (auto_sync ? test.on : test.off) {
      EXPECT_THAT(fault, HasSubstr(test.words)) << "auto-sync " << auto_sync;
    } else {
      EXPECT_THAT(fault, IsEmpty()) << "auto-sync " << auto_sync;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Rule, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

// SetGlobalBuffer's size is for nothing on a device: a sentence, and no fault.
void BeyondTheDeclaredSize(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  GlobalTensor<float> part;
  part.SetGlobalBuffer(reinterpret_cast<float*>(x), 8);
  DataCopy(f.a, part, kPart);
}

TEST(DeclaredSize, IsToldOfAndNoLimit) {
  const auto entry = softnpu::twin::MakeEntry<&BeyondTheDeclaredSize>("beyond", __FILE__, __LINE__);
  EXPECT_THAT(Reported(entry, false), HasSubstr("warning: "));
}

// A race names the last access that is not ordered.
void SeveralReaders(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 1.0f, kPart);
  PipeBarrier<PIPE_V>();
  Exp(f.b, f.a, kPart);
  PipeBarrier<PIPE_V>();
  Ln(f.b, f.a, kPart);
  DataCopy(f.a, f.x, kPart);
}

TEST(Race, NamesTheLastReader) {
  const auto entry = softnpu::twin::MakeEntry<&SeveralReaders>("readers", __FILE__, __LINE__);
  EXPECT_THAT(Reported(entry, true), HasSubstr("is not ordered with Ln of pipe V"));
}

}  // namespace
