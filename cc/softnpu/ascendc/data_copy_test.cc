// cc/softnpu/ascendc/data_copy_test.cc: copies that change a layout, pad, or combine.
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

// The input holds x in GM, the output y; the body does its own copies.
constexpr uint32_t kElements = 4096;
std::function<void(GM_ADDR x, GM_ADDR y, const LocalTensor<uint8_t>& ub)> g_copies;

void CopyKernel(GM_ADDR x, GM_ADDR y) {
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 65536);
  g_copies(x, y, buffer.Get<uint8_t>());
}

// y starts as `before`.
template <typename T, typename Body>
std::vector<T> Copies(const std::vector<T>& x, const std::vector<T>& before, Body&& body) {
  softnpu::twin::Bind(CoreApi());
  HostMemory memory;
  const uintptr_t from = memory.Put(x, "x");
  const uintptr_t to = memory.Put(before, "y");
  g_copies = [&body](GM_ADDR a, GM_ADDR b, const LocalTensor<uint8_t>& ub) {
    GlobalTensor<T> in, out;
    in.SetGlobalBuffer(reinterpret_cast<T*>(a));
    out.SetGlobalBuffer(reinterpret_cast<T*>(b));
    body(in, out, ub.ReinterpretCast<T>());
  };
  const Slots slots(from, to);
  Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&CopyKernel>("copies", __FILE__, __LINE__),
         slots.data(), slots.bytes(), 1, true);
  return memory.Get<T>(to);
}
template <typename T>
std::vector<T> Count(size_t n) {
  std::vector<T> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<T>(static_cast<float>(i % 1000 + 1));
  return values;
}
template <typename Body>
std::string CopyFault(Body&& body) {
  try {
    Copies<float>(Count<float>(kElements), std::vector<float>(kElements, 0.0f), body);
  } catch (const KernelError& error) {
    return error.fault();
  }
  return "";
}

// Kernels for any length come to copies of 0 elements, blocks and bytes: wherever they would begin.
TEST(Copy, OfNothing) {
  const auto x = Count<float>(64);
  const std::vector<float> before(kElements, 5.0f);
  const auto y = Copies<float>(x, before, [](auto in, auto out, auto ub) {
    DataCopy(ub, in, 16);
    DataCopy(ub[3], in[32], 0);
    DataCopy(ub, in[32], DataCopyParams(0, 1, 0, 0));
    DataCopy(ub, in[32], DataCopyParams(1, 0, 0, 0));
    DataCopyPad(ub, in[32], DataCopyExtParams(2, 0, 0, 0, 0), {});
    DataCopyPad(ub[3], in[32], DataCopyExtParams(0, 4, 0, 0, 0), {});
    PipeBarrier<PIPE_ALL>();
    DataCopy(out, ub, 16);
    DataCopy(out[kElements], ub, 0);
    DataCopyPad<float, PaddingMode::Normal>(out[16], ub, DataCopyExtParams(1, 0, 0, 0, 0));
  });
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(y[i], i < 16 ? x[i] : 5.0f) << i;
}

// `{}` is a parameter of the interface, whatever stands behind it.
TEST(Copy, BracesAreParameters) {
  const auto x = Count<float>(64);
  const auto y =
      Copies<float>(x, std::vector<float>(kElements, 0.0f), [](auto in, auto out, auto ub) {
        const DataCopyParams blocks(1, 8, 0, 0);
        DataCopy(ub, in, blocks, {});
        PipeBarrier<PIPE_ALL>();
        DataCopy(out, ub, 64);
      });
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(y[i], x[i]) << i;
}

TEST(Layout, NdToNzAndBack) {
  constexpr uint16_t kRows = 5, kColumns = 40, kPitch = 48;
  const auto x = Count<int16_t>(2 * 8 * kPitch);
  const auto nz =
      Copies<int16_t>(x, std::vector<int16_t>(kElements, 0), [](auto in, auto out, auto ub) {
        Duplicate(ub, int16_t{-1}, 4096);
        PipeBarrier<PIPE_ALL>();
        DataCopy(ub, in, Nd2NzParams(2, kRows, kColumns, 8 * kPitch, kPitch, 16, 1, 1024));
        PipeBarrier<PIPE_ALL>();
        DataCopy(out, ub, 4096);
      });
  for (size_t m = 0; m < 2; ++m) {
    for (size_t c = 0; c < 3; ++c) {
      for (size_t row = 0; row < 16; ++row) {
        for (size_t lane = 0; lane < 16; ++lane) {
          const size_t column = c * 16 + lane;
          const int16_t want = row >= kRows         ? -1
                               : column >= kColumns ? 0
                                                    : x[(m * 8 + row) * kPitch + column];
          ASSERT_EQ(nz[m * 1024 + c * 256 + row * 16 + lane], want) << m << c << row << lane;
        }
      }
    }
  }
  const auto nd =
      Copies<int16_t>(x, std::vector<int16_t>(kElements, -7), [](auto in, auto out, auto ub) {
        DataCopy(ub, in, 768);
        PipeBarrier<PIPE_ALL>();
        DataCopy(out, ub, Nz2NdParamsFull(1, kRows, 20, 1, 20, 30, 1));
      });
  for (size_t row = 0; row < 6; ++row) {
    for (size_t column = 0; column < 30; ++column) {
      const bool inside = row < kRows && column < 20;
      EXPECT_EQ(nd[row * 30 + column], inside ? x[column / 16 * 320 + row * 16 + column % 16] : -7);
    }
  }
}

TEST(Layout, SlicesAndBlocks) {
  const auto x = Count<float>(kElements);
  const auto y =
      Copies<float>(x, std::vector<float>(kElements, 0.0f), [](auto in, auto out, auto ub) {
        // Of rows of 64: rows 1 and 3, of which the elements 8..15 and 24..31.
        const SliceInfo from[] = {{8, 31, 8, 1, 64}, {1, 3, 1, 1, 16}};
        const SliceInfo to[] = {{0, 15, 0, 1, 16}, {0, 1, 0, 1, 2}};
        DataCopy(ub, in, to, from, 2);
        PipeBarrier<PIPE_ALL>();
        const SliceInfo flat[] = {{0, 31, 0, 4, 32}};
        DataCopy(out, ub, flat, flat, 1);
        PipeBarrier<PIPE_ALL>();
        DataCopy(ub, in, DataCopyParams(2, 1, 1, 0), DataCopyEnhancedParams());
        PipeBarrier<PIPE_ALL>();
        DataCopy(out[64], ub, DataCopyParams(1, 2, 0, 0), DataCopyEnhancedParams());
      });
  for (size_t i = 0; i < 32; ++i) {
    EXPECT_EQ(y[i], x[(1 + i / 16 * 2) * 64 + 8 + i % 16 / 8 * 16 + i % 8]) << i;
  }
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(y[64 + i], x[i / 8 * 16 + i % 8]);
  EXPECT_THAT(CopyFault([](auto in, auto, auto ub) {
                DataCopy(ub, in, DataCopyParams(1, 1, 0, 0),
                         DataCopyEnhancedParams(BlockMode::BLOCK_MODE_MATRIX));
              }),
              HasSubstr("blockMode is not BLOCK_MODE_NORMAL"));
}

TEST(Padding, ValueOfSetPadValue) {
  const auto x = Count<float>(kElements);
  const auto y =
      Copies<float>(x, std::vector<float>(kElements, 0.0f), [](auto in, auto out, auto ub) {
        SetPadValue(-3.0f);
        DataCopyPad(ub, in, {1, 20, 0, 0, 0}, DataCopyPadExtParams<float>(false, 1, 2, 0.0f));
        PipeBarrier<PIPE_ALL>();
        DataCopy(out, ub, 8);
        PipeBarrier<PIPE_ALL>();
        InitOutput(out[16], 5, 2.5f);
      });
  EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + 8),
            (std::vector<float>{-3, 1, 2, 3, 4, 5, -3, -3}));
  for (size_t i = 16; i < 24; ++i) EXPECT_EQ(y[i], i < 21 ? 2.5f : 0.0f);
}

template <typename T>
void CheckAtomics() {
  const auto x = Count<T>(64);
  std::vector<T> before(512, static_cast<T>(5.0f));
  const auto y = Copies<T>(x, before, [](auto in, auto out, auto ub) {
    DataCopy(ub, in, 64);
    PipeBarrier<PIPE_ALL>();
    SetAtomicAdd<T>();
    DataCopy(out, ub, 64);
    PipeBarrier<PIPE_ALL>();
    DataCopyPad(out, ub, DataCopyExtParams(1, 3 * sizeof(T), 0, 0, 0));
    SetAtomicNone();
    SetAtomicMax<T>();
    DataCopy(out[64], ub, 64);
    DisableDmaAtomic();
    SetAtomicType<T>();
    SetAtomicMin<T>();
    DataCopy(out[128], ub, DataCopyParams(1, 64 * sizeof(T) / 32, 0, 0));
    SetAtomicNone();
    DataCopy(out[192], ub, 64);
  });
  for (size_t i = 0; i < 64; ++i) {
    const float value = static_cast<float>(i + 1);
    EXPECT_EQ(static_cast<float>(y[i]), value * (i < 3 ? 2 : 1) + 5);
    EXPECT_EQ(static_cast<float>(y[64 + i]), std::max(value, 5.0f));
    EXPECT_EQ(static_cast<float>(y[128 + i]), std::min(value, 5.0f));
    EXPECT_EQ(static_cast<float>(y[192 + i]), value);
  }
}

TEST(Atomic, CombinesInEveryType) {
  CheckAtomics<float>();
  CheckAtomics<half>();
  CheckAtomics<bfloat16_t>();
  CheckAtomics<int32_t>();
  CheckAtomics<int16_t>();
  CheckAtomics<int8_t>();
}

TEST(Atomic, Faults) {
  EXPECT_THAT(CopyFault([](auto, auto, auto) { SetAtomicAdd<float>(); }),
              HasSubstr("still holds when the kernel ends: SetAtomicNone is missing"));
  EXPECT_THAT(CopyFault([](auto in, auto out, auto ub) {
                DataCopy(ub, in, 8);
                PipeBarrier<PIPE_ALL>();
                SetAtomicAdd<half>();
                DataCopy(out, ub, 8);
                SetAtomicNone();
              }),
              HasSubstr("SetAtomicAdd of half holds, the copy writes float"));
  EXPECT_THAT(CopyFault([](auto, auto, auto) { SetAtomicAdd<uint8_t>(); }),
              HasSubstr("SetAtomicAdd does not take uint8_t"));
}

}  // namespace
