// cc/softnpu/ascendc/launch_test.cc: blocks on cores and host threads, tiling, pools, debugging.
#include "cc/softnpu/ascendc/testing/device.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using namespace AscendC;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::Launch;
using softnpu::ascendc::LaunchOptions;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::Device;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::kElements;
using softnpu::ascendc::testing::KernelFrame;
using softnpu::ascendc::testing::kPart;
using softnpu::ascendc::testing::kWords;
using softnpu::ascendc::testing::Slots;
using ::testing::HasSubstr;

// Each block squares its part; nothing orders the blocks.
void Apart(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
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

struct Kernel {
  static void Run(GM_ADDR, GM_ADDR, GM_ADDR) {
    if (GetBlockIdx() >= 5) WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  }
};

TEST(Launch, TheFirstFaultOfTheBlocksCounts) {
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
  ASSERT_MSG(GetSystemCycle() > before, "time passes");
  ascendc_assert(GetTaskRation() == 1);
  SetSysWorkspaceForce(w);
  ASSERT(GetUserWorkspace(w) == w + (16 << 20));
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
  KernelFrame f(x, y, w);
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
    EXPECT_THAT(error.what(), HasSubstr("GET_TILING_DATA, bytes [4, 8) of GM 'tiling'"));
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
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, kPart);
  PipeBarrier<PIPE_ALL>();
  AscendC::printf("block %d has %f\n", static_cast<int>(GetBlockIdx()), half(2.5f));
  PRINTF("done");
  DumpTensor(f.a[8], 42, 9);
  DumpAccChkPoint(f.a, 43, 16, 2);
}

TEST(Debugging, PrintsAndDumps) {
  ::testing::internal::CaptureStdout();
  Device().Run(softnpu::twin::MakeEntry<&Talks>("talks", __FILE__, __LINE__), 1);
  const std::string out = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(out, HasSubstr("[AIV block 0] block 0 has 2.500000\n[AIV block 0] done\n"));
  EXPECT_THAT(out, HasSubstr("DumpTensor 42 at cc/softnpu/ascendc/launch_test.cc:"));
  EXPECT_THAT(out, HasSubstr("TBuf<VECCALC> #0 (1024 bytes), bytes 32 on, float:\n"
                             "  8 9 10 11 12 13 14 15\n  16\n"));
  EXPECT_THAT(out, HasSubstr("DumpTensor 43 at"));
  EXPECT_THAT(out, HasSubstr("bytes 64 on, float:\n  16 17\n"));
}

}  // namespace
