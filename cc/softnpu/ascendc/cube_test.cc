// cc/softnpu/ascendc/cube_test.cc: products on cube cores, alone and together with vector cores.
#include <cmath>
#include <cstring>
#include <random>

#include "cc/softnpu/ascendc/include/lib/matmul_intf.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "cc/softnpu/ascendc/twin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using namespace AscendC;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::Launch;
using softnpu::ascendc::LaunchOptions;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using ::testing::HasSubstr;

struct Shape {
  uint32_t m, n, k;  // multiples of 16 (m, n) and of C0 (k)
};

template <typename T>
constexpr uint32_t kC0 = 32 / sizeof(T);

// One column of 32 bytes after the other, as ND2NZ makes them.
template <typename T>
void LoadNz(const LocalTensor<T>& l1, const GlobalTensor<T>& gm, uint32_t rows, uint32_t columns) {
  for (uint32_t c = 0; c < columns / kC0<T>; ++c) {
    DataCopy(l1[c * rows * kC0<T>], gm[c * kC0<T>],
             DataCopyParams(static_cast<uint16_t>(rows), 1,
                            static_cast<uint16_t>(columns / kC0<T> - 1), 0));
  }
}

// C (m x n) = A (m x k) x B, B as k x n (16-bit types, transposed on the way) or n x k.
template <typename T, typename Sum, bool b_is_nk>
void Product(GM_ADDR a_address, GM_ADDR b_address, GM_ADDR c_address, Shape shape) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  SetHF32Mode(false);
  SetHF32TransMode(false);
  SetMMLayoutTransform(false);
  SetMMRowMajor();
  SetMMColumnMajor();
  const uint32_t m = shape.m, n = shape.n, k = shape.k;
  GlobalTensor<T> a, b;
  GlobalTensor<Sum> c;
  a.SetGlobalBuffer(reinterpret_cast<T*>(a_address), uint64_t{m} * k);
  b.SetGlobalBuffer(reinterpret_cast<T*>(b_address), uint64_t{n} * k);
  c.SetGlobalBuffer(reinterpret_cast<Sum*>(c_address), uint64_t{m} * n);
  TPipe pipe;
  TQue<TPosition::A1, 1> a1;
  TQue<TPosition::B1, 1> b1;
  TQue<TPosition::A2, 1> a2;
  TQue<TPosition::B2, 1> b2;
  TQue<TPosition::CO1, 1> co1;
  pipe.InitBuffer(a1, 1, m * k * sizeof(T));
  pipe.InitBuffer(b1, 1, n * k * sizeof(T));
  pipe.InitBuffer(a2, 1, m * k * sizeof(T));
  pipe.InitBuffer(b2, 1, n * k * sizeof(T));
  pipe.InitBuffer(co1, 1, m * n * 4);

  LocalTensor<T> left = a1.AllocTensor<T>();
  LoadNz(left, a, m, k);
  a1.EnQue(left);
  LocalTensor<T> right = b1.AllocTensor<T>();
  if (b_is_nk) {
    DataCopy(right, b,
             Nd2NzParams(1, static_cast<uint16_t>(n), static_cast<uint16_t>(k), 0,
                         static_cast<uint16_t>(k), static_cast<uint16_t>(n), 1, 0));
  } else {
    LoadNz(right, b, k, n);
  }
  b1.EnQue(right);

  left = a1.DeQue<T>();
  LocalTensor<T> zz = a2.AllocTensor<T>();
  const uint32_t kb = k / kC0<T>, mb = m / 16, nb = n / 16;
  for (uint32_t i = 0; i < mb; ++i) {
    LoadData(zz[i * kb * 16 * kC0<T>], left,
             LoadData2DParams(static_cast<uint16_t>(i), static_cast<uint8_t>(kb),
                              static_cast<uint16_t>(mb), 0, 0, false, 0));
  }
  a2.EnQue(zz);
  a1.FreeTensor(left);
  right = b1.DeQue<T>();
  LocalTensor<T> zn = b2.AllocTensor<T>();
  for (uint32_t i = 0; i < kb; ++i) {
    if (b_is_nk) {
      LoadData(zn[i * nb * 16 * kC0<T>], right[i * nb * 16 * kC0<T>],
               LoadData2DParams(0, static_cast<uint8_t>(nb), 1, 0, 0, false, 0));
    } else {
      LoadData(zn[i * nb * 256], right,
               LoadData2DParams(static_cast<uint16_t>(i), static_cast<uint8_t>(nb),
                                static_cast<uint16_t>(k / 16), 0, 0, true, 0));
    }
  }
  b2.EnQue(zn);
  b1.FreeTensor(right);

  zz = a2.DeQue<T>();
  zn = b2.DeQue<T>();
  LocalTensor<Sum> sum = co1.AllocTensor<Sum>();
  Mmad(sum, zz, zn,
       MmadParams(static_cast<uint16_t>(m), static_cast<uint16_t>(n), static_cast<uint16_t>(k), 0,
                  false, true));
  co1.EnQue(sum);
  a2.FreeTensor(zz);
  b2.FreeTensor(zn);
  sum = co1.DeQue<Sum>();
  Fixpipe(c, sum,
          FixpipeParamsV220(static_cast<uint16_t>(n), static_cast<uint16_t>(m),
                            static_cast<uint16_t>(m), n, false));
  co1.FreeTensor(sum);
}

template <typename T>
std::vector<T> Values(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> out(count);
  for (T& value : out) {
    const int integer = static_cast<int>(random() % 255) - 127;
    if constexpr (std::is_same_v<T, int8_t>) {
      value = static_cast<int8_t>(integer);
    } else {
      value = T(static_cast<float>(integer) / 64.0f);
    }
  }
  return out;
}

template <typename T, typename Sum, bool b_is_nk>
void CheckProduct(Shape shape) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const auto a = Values<T>(shape.m * shape.k, 1);
  const auto b = Values<T>(shape.n * shape.k, 2);
  const uintptr_t c = memory.Allocate(shape.m * shape.n * 4, "c");
  const Slots slots(memory.Put(a, "a"), memory.Put(b, "b"), c, shape);
  LaunchOptions options;
  options.outputs = {{c, shape.m * shape.n * 4, "c"}};
  Launch(Chip910B(), memory,
         softnpu::twin::MakeEntry<&Product<T, Sum, b_is_nk>>("product", __FILE__, __LINE__),
         slots.data(), slots.bytes(), 1, options);
  const auto out = memory.Get<Sum>(c);
  for (uint32_t i = 0; i < shape.m; ++i) {
    for (uint32_t j = 0; j < shape.n; ++j) {
      double want = 0, size = 0;
      for (uint32_t p = 0; p < shape.k; ++p) {
        const auto product = static_cast<double>(static_cast<float>(a[i * shape.k + p])) *
                             static_cast<float>(b_is_nk ? b[j * shape.k + p] : b[p * shape.n + j]);
        want += product;
        size += std::fabs(product);
      }
      // k additions in float, each off by at most 2^-24 of a partial sum.
      const double bound = std::is_same_v<Sum, float> ? size * shape.k * 0x1p-24 : 0;
      ASSERT_LE(std::fabs(static_cast<double>(out[i * shape.n + j]) - want), bound)
          << i << ' ' << j;
    }
  }
}

TEST(Cube, ProductsOfHalf) { CheckProduct<half, float, false>({48, 32, 64}); }
TEST(Cube, ProductsOfBfloat16) { CheckProduct<bfloat16_t, float, false>({16, 64, 32}); }
TEST(Cube, ProductsOfHalfWithNk) { CheckProduct<half, float, true>({32, 48, 80}); }
TEST(Cube, ProductsOfFloat) { CheckProduct<float, float, true>({32, 16, 24}); }
TEST(Cube, ProductsOfInt8) { CheckProduct<int8_t, int32_t, true>({32, 48, 96}); }

// B (k x n) of int8 is transposed in squares of 32 x 32: two fractals.
void TransposedInt8(GM_ADDR in, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GlobalTensor<int8_t> b;
  GlobalTensor<int32_t> c;
  b.SetGlobalBuffer(reinterpret_cast<int8_t*>(in), 32 * 32);
  c.SetGlobalBuffer(reinterpret_cast<int32_t*>(out), 16 * 32);
  TPipe pipe;
  TBuf<TPosition::A1> l1;
  TBuf<TPosition::A2> l0a;
  TBuf<TPosition::B2> l0b;
  TBuf<TPosition::CO1> l0c;
  pipe.InitBuffer(l1, 1024);
  pipe.InitBuffer(l0a, 512);
  pipe.InitBuffer(l0b, 1024);
  pipe.InitBuffer(l0c, 16 * 32 * 4);
  DataCopy(l1.Get<int8_t>(), b, 1024);
  PipeBarrier<PIPE_ALL>();
  // Every element of the left matrix is 1: the result is the sums of B's columns.
  InitConstValue(l0a.Get<half>(), InitConstValueParams<half>(1, 1, 0, half(0x1.01p-14f)));
  LoadDataWithTranspose(l0b.Get<int8_t>(), l1.Get<int8_t>(),
                        LoadData2dTransposeParams(0, 1, 0, 0, 0, 0));
  PipeBarrier<PIPE_ALL>();
  Mmad(l0c.Get<int32_t>(), l0a.Get<int8_t>(), l0b.Get<int8_t>(),
       MmadParams(16, 32, 32, 0, false, true));
  PipeBarrier<PIPE_ALL>();
  Fixpipe(c, l0c.Get<int32_t>(), FixpipeParamsV220(32, 16, 16, 32, false));
}

TEST(Cube, TransposesSquaresOfInt8) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const auto b = Values<int8_t>(1024, 5);
  const uintptr_t c = memory.Allocate(16 * 32 * 4, "c");
  const Slots slots(memory.Put(b, "b"), c);
  Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&TransposedInt8>("t", __FILE__, __LINE__),
         slots.data(), slots.bytes(), 1, true);
  half pattern(0x1.01p-14f);  // its bytes as int8
  int8_t left[2];
  std::memcpy(left, &pattern, 2);
  const auto out = memory.Get<int32_t>(c);
  for (int j = 0; j < 32; ++j) {
    int want = 0;
    for (int p = 0; p < 32; ++p) want += left[p % 2] * b[static_cast<size_t>(p * 32 + j)];
    EXPECT_EQ(out[static_cast<size_t>(j)], want) << j;
  }
}

// Accumulation over two halves of k, a bias row, conversion to half with ReLU.
void Accumulated(GM_ADDR a_address, GM_ADDR b_address, GM_ADDR bias_address, GM_ADDR c_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GlobalTensor<half> a, b, c;
  GlobalTensor<float> bias;
  a.SetGlobalBuffer(reinterpret_cast<half*>(a_address), 16 * 32);
  b.SetGlobalBuffer(reinterpret_cast<half*>(b_address), 16 * 32);
  c.SetGlobalBuffer(reinterpret_cast<half*>(c_address), 16 * 16);
  bias.SetGlobalBuffer(reinterpret_cast<float*>(bias_address), 16);
  TPipe pipe;
  TBuf<TPosition::A1> a1;
  TBuf<TPosition::B1> b1;
  TBuf<TPosition::C1> c1;
  TBuf<TPosition::C2> c2;
  TBuf<TPosition::A2> a2;
  TBuf<TPosition::B2> b2;
  TBuf<TPosition::CO1> co1;
  pipe.InitBuffer(a1, 1024);
  pipe.InitBuffer(b1, 1024);
  pipe.InitBuffer(c1, 64);
  pipe.InitBuffer(c2, 64);
  pipe.InitBuffer(a2, 1024);
  pipe.InitBuffer(b2, 1024);
  pipe.InitBuffer(co1, 1024);
  LoadNz(a1.Get<half>(), a, 16, 32);
  LoadNz(b1.Get<half>(), b, 16, 32);  // n x k
  DataCopy(c1.Get<float>(), bias, 16);
  PipeBarrier<PIPE_ALL>();
  DataCopy(c2.Get<float>(), c1.Get<float>(), 16);
  LoadData(a2.Get<half>(), a1.Get<half>(), LoadData2DParams(0, 2, 1, 0, 0, false, 0));
  LoadData(b2.Get<half>(), b1.Get<half>(), LoadData2DParams(0, 2, 1, 0, 0, false, 0));
  PipeBarrier<PIPE_ALL>();
  Mmad(co1.Get<float>(), a2.Get<half>(), b2.Get<half>(), c2.Get<float>(),
       MmadParams(16, 16, 16, 0, true, false));
  PipeBarrier<PIPE_M>();
  Mmad(co1.Get<float>(), a2.Get<half>()[256], b2.Get<half>()[256],
       MmadParams(16, 16, 16, 0, false, false));
  PipeBarrier<PIPE_ALL>();
  FixpipeParamsV220 fix(16, 16, 16, 16, true);
  fix.quantPre = F322F16;
  Fixpipe(c, co1.Get<float>(), fix);
}

TEST(Cube, AccumulatesOnABiasAndConverts) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const auto a = Values<half>(16 * 32, 7);
  const auto b = Values<half>(16 * 32, 8);
  std::vector<float> bias(16);
  for (size_t i = 0; i < 16; ++i) bias[i] = static_cast<float>(i) - 8.0f;
  const uintptr_t c = memory.Allocate(512, "c");
  const Slots slots(memory.Put(a, "a"), memory.Put(b, "b"), memory.Put(bias, "bias"), c);
  Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&Accumulated>("acc", __FILE__, __LINE__),
         slots.data(), slots.bytes(), 1, true);
  const auto out = memory.Get<half>(c);
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 16; ++j) {
      double want = bias[j];
      for (size_t p = 0; p < 32; ++p) {
        want += static_cast<double>(static_cast<float>(a[i * 32 + p])) *
                static_cast<float>(b[j * 32 + p]);
      }
      want = std::max(want, 0.0);
      // Multiples of 2^-12 below 2^8 are exact in float; one rounding to half.
      EXPECT_EQ(static_cast<float>(out[i * 16 + j]),
                static_cast<float>(half(static_cast<float>(want))));
    }
  }
}

// Two products of ones, of `Rows` x 16 and 16 x 48, on the same sums and without a barrier.
template <uint16_t Rows>
void Repeated(GM_ADDR c_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GlobalTensor<float> c;
  c.SetGlobalBuffer(reinterpret_cast<float*>(c_address), Rows * 48);
  TPipe pipe;
  TBuf<TPosition::A2> a2;
  TBuf<TPosition::B2> b2;
  TBuf<TPosition::CO1> co1;
  pipe.InitBuffer(a2, Rows * 32);
  pipe.InitBuffer(b2, 3 * 512);
  pipe.InitBuffer(co1, Rows * 48 * 4);
  InitConstValue(a2.Get<half>(), InitConstValueParams<half>(1, Rows / 16, 0, half(1.0f)));
  InitConstValue(b2.Get<half>(), InitConstValueParams<half>(1, 3, 0, half(1.0f)));
  PipeBarrier<PIPE_ALL>();
  Mmad(co1.Get<float>(), a2.Get<half>(), b2.Get<half>(), MmadParams(Rows, 48, 16, 0, false, true));
  Mmad(co1.Get<float>(), a2.Get<half>(), b2.Get<half>(), MmadParams(Rows, 48, 16, 0, false, false));
  PipeBarrier<PIPE_ALL>();
  Fixpipe(c, co1.Get<float>(), FixpipeParamsV220(48, Rows, Rows, 48, false));
}

TEST(Cube, LargeProductsOnOneSumNeedNoBarrier) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  const auto run = [](const SoftnpuKernelEntry& entry, size_t rows) {
    HostMemory memory;
    const uintptr_t c = memory.Allocate(rows * 48 * 4, "c");
    const Slots slots(c);
    Launch(Chip910B(), memory, entry, slots.data(), slots.bytes(), 1, true);
    return memory.Get<float>(c);
  };
  const auto large = run(softnpu::twin::MakeEntry<&Repeated<64>>("large", __FILE__, __LINE__), 64);
  EXPECT_EQ(large, std::vector<float>(64 * 48, 32.0f));
  // Nine fractals.
  try {
    run(softnpu::twin::MakeEntry<&Repeated<48>>("small", __FILE__, __LINE__), 48);
    FAIL() << "a missing barrier went unnoticed";
  } catch (const KernelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("PIPE_M"));
  }
}

// Two products of 16 x 32 and 32 x 16 bytes beside each other in L0C, taken out by DataCopy.
enum class Take : uint8_t { kRows, kScale, kScales, kRowsWithoutFlag, kScalesWithoutConfig };

template <Take take>
void Taken(GM_ADDR a_address, GM_ADDR b_address, GM_ADDR scale_address, GM_ADDR c_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  constexpr bool kRows = take == Take::kRows || take == Take::kRowsWithoutFlag;
  using Out = std::conditional_t<kRows, int32_t, half>;
  GlobalTensor<int8_t> a, b;
  GlobalTensor<uint64_t> scales;
  GlobalTensor<Out> c;
  a.SetGlobalBuffer(reinterpret_cast<int8_t*>(a_address), 512);
  b.SetGlobalBuffer(reinterpret_cast<int8_t*>(b_address), 1024);
  scales.SetGlobalBuffer(reinterpret_cast<uint64_t*>(scale_address), 32);
  c.SetGlobalBuffer(reinterpret_cast<Out*>(c_address), 512);
  TPipe pipe;
  TBuf<TPosition::A1> a1;
  TBuf<TPosition::B1> b1;
  TBuf<TPosition::A1> scale1;
  TBuf<TPosition::A2> a2;
  TBuf<TPosition::B2> b2;
  TBuf<TPosition::CO1> co1;
  TBuf<TPosition::C2PIPE2GM> fb;
  pipe.InitBuffer(a1, 512);
  pipe.InitBuffer(b1, 1024);
  pipe.InitBuffer(scale1, 256);
  pipe.InitBuffer(a2, 512);
  pipe.InitBuffer(b2, 1024);
  pipe.InitBuffer(co1, 2048);
  pipe.InitBuffer(fb, 256);
  LoadNz(a1.Get<int8_t>(), a, 16, 32);
  LoadNz(b1.Get<int8_t>(), b, 32, 32);  // 2 x (n x k)
  DataCopy(scale1.Get<uint64_t>(), scales, 32);
  PipeBarrier<PIPE_ALL>();
  DataCopy(fb.Get<uint64_t>(), scale1.Get<uint64_t>(), 32);
  LoadData(a2.Get<int8_t>(), a1.Get<int8_t>(), LoadData2DParams(0, 1, 1, 0, 0, false, 0));
  LoadData(b2.Get<int8_t>(), b1.Get<int8_t>(), LoadData2DParams(0, 2, 1, 0, 0, false, 0));
  PipeBarrier<PIPE_ALL>();
  for (uint32_t i = 0; i < 2; ++i) {
    Mmad(co1.Get<int32_t>()[i * 256], a2.Get<int8_t>(), b2.Get<int8_t>()[i * 512],
         MmadParams(16, 16, 32, 0, false, true));
  }
  PipeBarrier<PIPE_ALL>();
  if constexpr (kRows) {
    if (take == Take::kRows) SetFixpipeNz2ndFlag(2, 1, 16);
    DataCopy(c, co1.Get<int32_t>(), DataCopyCO12DstParams(15, 16, 32, 16, NoQuant, 1, false, true));
  } else if constexpr (take == Take::kScale) {
    SetFixpipePreQuantFlag(0x3D000000);  // 2^-5
    DataCopy(c, co1.Get<int32_t>(), DataCopyCO12DstParams(32, 16, 16, 16, DEQF16, 0, false, false));
  } else {
    if (take == Take::kScales) SetFixPipeConfig(fb.Get<uint64_t>());
    DataCopy(c, co1.Get<int32_t>(),
             DataCopyCO12DstParams(32, 16, 16, 16, VDEQF16, 0, false, false));
  }
}

template <Take take>
std::vector<uint8_t> TakeOut(std::vector<int32_t>& sums) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const auto a = Values<int8_t>(16 * 32, 21);
  const auto b = Values<int8_t>(32 * 32, 22);
  std::vector<uint64_t> scales(32);
  for (size_t j = 0; j < 32; ++j) scales[j] = j % 2 == 0 ? 0x3D000000 : 0x3C800000;  // 2^-5, 2^-6
  const uintptr_t c = memory.Allocate(2048, "c");
  const Slots slots(memory.Put(a, "a"), memory.Put(b, "b"), memory.Put(scales, "scales"), c);
  Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&Taken<take>>("take", __FILE__, __LINE__),
         slots.data(), slots.bytes(), 1, true);
  sums.assign(512, 0);  // row i, column j of both
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 32; ++j) {
      for (size_t p = 0; p < 32; ++p) sums[i * 32 + j] += a[i * 32 + p] * b[j * 32 + p];
    }
  }
  return memory.Get<uint8_t>(c);
}

TEST(Cube, DataCopyTakesMatricesOutAsRows) {
  std::vector<int32_t> sums;
  const auto bytes = TakeOut<Take::kRows>(sums);
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 32; ++j) {
      if (j % 16 == 15) continue;  // column 15 of 15 is not taken
      int32_t got = 0;
      std::memcpy(&got, &bytes[(i * 32 + j) * 4], 4);
      EXPECT_EQ(got, std::max(sums[i * 32 + j], 0)) << i << ' ' << j;
    }
  }
}

TEST(Cube, DataCopyTakesFractalsOutWithScales) {
  std::vector<int32_t> sums;
  const auto same = TakeOut<Take::kScale>(sums);
  const auto own = TakeOut<Take::kScales>(sums);
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 32; ++j) {
      const size_t at = (j / 16 * 256 + i * 16 + j % 16) * 2;
      half got;
      std::memcpy(&got, &same[at], 2);
      const auto sum = static_cast<float>(sums[i * 32 + j]);
      EXPECT_EQ(static_cast<float>(got), static_cast<float>(half(sum / 32))) << i << ' ' << j;
      std::memcpy(&got, &own[at], 2);
      const float factor = j % 2 == 0 ? 32 : 64;
      EXPECT_EQ(static_cast<float>(got), static_cast<float>(half(sum / factor))) << i << ' ' << j;
    }
  }
}

TEST(Cube, DataCopyOfL0cNeedsItsRegisters) {
  std::vector<int32_t> sums;
  const auto message = [&]<Take take>() -> std::string {
    try {
      TakeOut<take>(sums);
    } catch (const KernelError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message.operator()<Take::kRowsWithoutFlag>(),
              HasSubstr("nz2ndEn needs SetFixpipeNz2ndFlag before the copy"));
  EXPECT_THAT(message.operator()<Take::kScalesWithoutConfig>(),
              HasSubstr("this quantPre needs SetFixPipeConfig before the copy"));
}

// What LoadData takes of a feature map from registers: nothing, or what the case says.
enum class FromRegisters {
  kNothing,
  kAll,
  kWords,
  kSizeThatIsNotSet,
  kPaddingThatIsNotSet,
  kRepeats,
  kBoundary
};
constexpr IsResetLoad3dConfig kFromRegisters{false, false};
constexpr IsResetLoad3dConfig kSizeFromRegisters{false, true};
constexpr IsResetLoad3dConfig kPaddingFromRegisters{true, false};

// Rows of windows of a 4 x 5 map with 16 channels, 3 x 3 filter, padding 1, stride 2.
template <FromRegisters from>
void Windows(GM_ADDR map_address, GM_ADDR out_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  GlobalTensor<half> map;
  GlobalTensor<float> out;
  map.SetGlobalBuffer(reinterpret_cast<half*>(map_address), 20 * 16);
  out.SetGlobalBuffer(reinterpret_cast<float*>(out_address), 16 * 16);
  TPipe pipe;
  TBuf<TPosition::A1> l1;
  TBuf<TPosition::A2> a2;
  TBuf<TPosition::B2> b2;
  TBuf<TPosition::CO1> co1;
  pipe.InitBuffer(l1, 20 * 32);
  pipe.InitBuffer(a2, 9 * 512);
  pipe.InitBuffer(b2, 9 * 512);
  pipe.InitBuffer(co1, 1024);
  DataCopy(l1.Get<half>(), map, 20 * 16);
  InitConstValue(b2.Get<half>(), InitConstValueParams<half>(1, 9, 0, half(1.0f)));
  PipeBarrier<PIPE_ALL>();
  LoadData3DParamsV2<half> params;
  for (uint8_t& pad : params.padList) pad = 1;
  params.l1H = 4;
  params.l1W = 5;
  params.channelSize = 16;
  params.kExtension = 9 * 16;
  params.mExtension = 6;
  params.strideH = params.strideW = 2;
  params.filterH = params.filterW = 3;
  static_assert(IsResetLoad3dConfig{}.isSetFMatrix);
  if constexpr (from == FromRegisters::kSizeThatIsNotSet) {
    LoadData<half, kSizeFromRegisters>(a2.Get<half>(), l1.Get<half>(), params);
  } else if constexpr (from == FromRegisters::kPaddingThatIsNotSet) {
    LoadData<half, kPaddingFromRegisters>(a2.Get<half>(), l1.Get<half>(), params);
  } else if constexpr (from == FromRegisters::kAll) {
    const uint8_t pads[4] = {1, 1, 1, 1};
    SetFmatrix(4, 5, pads, FmatrixMode::FMATRIX_LEFT);
    SetLoadDataPaddingValue(half(0.0f));
    LoadDataRepeatParam once;
    SetLoadDataRepeat(once);
    SetLoadDataBoundary(0);
    // The page's form of the struct, with other sizes, which do not count.
    LoadData<half, kFromRegisters>(a2.Get<half>(), l1.Get<half>(),
                                   LoadData3DParamsV2<half>(pads, 1, 1, 16, 9 * 16, 6, 0, 0, 2, 2,
                                                            3, 3, 1, 1, false, false, half(9.0f)));
  } else if constexpr (from == FromRegisters::kWords) {
    const uint8_t pads[4] = {1, 1, 1, 1};
    SetSyncBaseAddr(0);
    Load3DSetFMatrixCal(4, 5, pads);
    LoadData3DParamsV2Pro words;
    words.channelSize = 16;
    words.extConfig = uint64_t{9 * 16} | uint64_t{6} << 16;
    words.filterConfig = 0x010103030202;
    LoadData(a2.Get<half>(), l1.Get<half>(), words);
  } else {
    if (from == FromRegisters::kRepeats) SetLoadDataRepeat({1, 2, 0});
    if (from == FromRegisters::kBoundary) SetLoadDataBoundary(512);
    LoadData<half, IS_RESER_LOAD3D_DEFAULT_CONFIG>(a2.Get<half>(), l1.Get<half>(), params);
  }
  TSCM<TPosition::GM> tscm;
  pipe.InitBuffer(tscm, 1, 512);
  LocalTensor<half> shared = tscm.AllocTensor<half>();
  tscm.FreeTensor(shared);
  PipeBarrier<PIPE_ALL>();
  Mmad(co1.Get<float>(), a2.Get<half>(), b2.Get<half>(), MmadParams(16, 16, 144, 0, false, true));
  PipeBarrier<PIPE_ALL>();
  Fixpipe(out, co1.Get<float>(), FixpipeParamsV220(16, 16, 16, 16, false));
}

template <FromRegisters from>
std::vector<float> LoadedWindows(const std::vector<half>& map) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const uintptr_t c = memory.Allocate(1024, "c");
  const Slots slots(memory.Put(map, "map"), c);
  Launch(Chip910B(), memory,
         softnpu::twin::MakeEntry<&Windows<from>>("windows", __FILE__, __LINE__), slots.data(),
         slots.bytes(), 1, true);
  return memory.Get<float>(c);
}

TEST(Cube, LoadsWindowsWithWhatRegistersHold) {
  const auto map = Values<half>(20 * 16, 9);
  EXPECT_EQ(LoadedWindows<FromRegisters::kAll>(map), LoadedWindows<FromRegisters::kNothing>(map));
  EXPECT_EQ(LoadedWindows<FromRegisters::kWords>(map), LoadedWindows<FromRegisters::kNothing>(map));
  const auto fault = [&]<FromRegisters from>() -> std::string {
    try {
      LoadedWindows<from>(map);
    } catch (const KernelError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(fault.operator()<FromRegisters::kSizeThatIsNotSet>(),
              HasSubstr("isSetFMatrix is false, but SetFmatrix was not called"));
  EXPECT_THAT(fault.operator()<FromRegisters::kPaddingThatIsNotSet>(),
              HasSubstr("isSetPadding is false, but SetLoadDataPaddingValue was not called"));
  EXPECT_THAT(fault.operator()<FromRegisters::kRepeats>(), HasSubstr("repeatTime 2"));
  EXPECT_THAT(fault.operator()<FromRegisters::kBoundary>(),
              HasSubstr("ends at byte 640 of L1, beyond the boundary 512"));
}

TEST(Cube, LoadsWindowsOfAMap) {
  const auto map = Values<half>(20 * 16, 9);
  const auto out = LoadedWindows<FromRegisters::kNothing>(map);
  for (int i = 0; i < 6; ++i) {
    double want = 0;
    for (int y = i / 3 * 2 - 1; y < i / 3 * 2 + 2; ++y) {
      for (int x = i % 3 * 2 - 1; x < i % 3 * 2 + 2; ++x) {
        if (y < 0 || y >= 4 || x < 0 || x >= 5) continue;
        for (int ch = 0; ch < 16; ++ch) {
          want += static_cast<float>(map[static_cast<size_t>((y * 5 + x) * 16 + ch)]);
        }
      }
    }
    EXPECT_EQ(out[static_cast<size_t>(i) * 16], want) << i;
  }
}

// The cube core multiplies, its two vector cores add 1 to a half of the rows each.
template <bool fault>
void Mixed(GM_ADDR a_address, GM_ADDR b_address, GM_ADDR workspace, GM_ADDR c_address) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  GlobalTensor<half> a, b;
  GlobalTensor<float> product, c;
  const auto block = static_cast<uint64_t>(get_block_idx());
  product.SetGlobalBuffer(reinterpret_cast<float*>(GetUserWorkspace(workspace)) + block * 256, 256);
  if ASCEND_IS_AIC {
    a.SetGlobalBuffer(reinterpret_cast<half*>(a_address) + block * 256, 256);
    b.SetGlobalBuffer(reinterpret_cast<half*>(b_address), 256);
    TPipe pipe;
    TBuf<TPosition::A1> a1;
    TBuf<TPosition::B1> b1;
    TBuf<TPosition::A2> a2;
    TBuf<TPosition::B2> b2;
    TBuf<TPosition::CO1> co1;
    pipe.InitBuffer(a1, 512);
    pipe.InitBuffer(b1, 512);
    pipe.InitBuffer(a2, 512);
    pipe.InitBuffer(b2, 512);
    pipe.InitBuffer(co1, 1024);
    DataCopy(a1.Get<half>(), a, 256);
    DataCopy(b1.Get<half>(), b, 256);
    SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    LoadData(a2.Get<half>(), a1.Get<half>(), LoadData2DParams(0, 1, 1, 0, 0, false, 0));
    LoadData(b2.Get<half>(), b1.Get<half>(), LoadData2DParams(0, 1, 1, 0, 0, true, 0));
    SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
    WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
    Mmad(co1.Get<float>(), a2.Get<half>(), b2.Get<half>(), MmadParams(16, 16, 16, 0, false, true));
    SetFlag<HardEvent::M_FIX>(EVENT_ID0);
    WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    Fixpipe(product, co1.Get<float>(), FixpipeParamsV220(16, 16, 16, 16, false));
    CrossCoreSetFlag<2, fault ? PIPE_MTE2 : PIPE_FIX>(3);
  }
  if ASCEND_IS_AIV {
    c.SetGlobalBuffer(reinterpret_cast<float*>(c_address) + GetBlockIdx() * 128, 128);
    TPipe pipe;
    TBuf<> buffer;
    pipe.InitBuffer(buffer, 512);
    LocalTensor<float> half_of_rows = buffer.Get<float>();
    CrossCoreWaitFlag(3);
    DataCopy(half_of_rows, product[static_cast<uint64_t>(GetSubBlockIdx()) * 128], 128);
    SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
    Adds(half_of_rows, half_of_rows, 1.0f, 128);
    SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
    DataCopy(c, half_of_rows, 128);
  }
}

TEST(Cube, WorksBesideItsVectorCores) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  constexpr size_t kBlocks = 5;
  const auto a = Values<half>(kBlocks * 256, 3);
  const auto b = Values<half>(256, 4);
  const auto run = [&](const SoftnpuKernelEntry& entry, uint64_t seed) {
    HostMemory memory;
    const uintptr_t c = memory.Allocate(kBlocks * 1024, "c");
    const Slots slots(memory.Put(a, "a"), memory.Put(b, "b"),
                      memory.Allocate((16 << 20) + kBlocks * 1024, "workspace"), c);
    LaunchOptions options;
    options.seed = seed;
    Launch(Chip910B(), memory, entry, slots.data(), slots.bytes(), kBlocks, options);
    return memory.Get<float>(c);
  };
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const auto out =
        run(softnpu::twin::MakeEntry<&Mixed<false>>("mixed", __FILE__, __LINE__), seed);
    for (size_t i = 0; i < kBlocks * 16; ++i) {
      for (size_t j = 0; j < 16; ++j) {
        float want = 0;
        for (size_t p = 0; p < 16; ++p) {
          want += static_cast<float>(a[i * 16 + p]) * static_cast<float>(b[p * 16 + j]);
        }
        ASSERT_EQ(out[i * 16 + j], want + 1.0f);
      }
    }
    try {
      run(softnpu::twin::MakeEntry<&Mixed<true>>("mixed", __FILE__, __LINE__), seed);
      FAIL() << "the wrong pipe went unnoticed";
    } catch (const KernelError& error) {
      EXPECT_THAT(error.what(), HasSubstr("race between cores (read after write)"));
      EXPECT_THAT(error.what(), HasSubstr("Fixpipe of pipe FIX of AIC block"));
    }
  }
}

// The high-level object, from the vector cores of a kernel with both kinds.
struct MatmulArguments {
  TCubeTiling tiling;
};

template <typename T, typename Out, bool transpose_b>
void HighLevel(GM_ADDR a_address, GM_ADDR b_address, GM_ADDR bias_address, GM_ADDR c_address,
               MatmulArguments arguments) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_1);
  using A = matmul::MatmulType<TPosition::GM, CubeFormat::ND, T>;
  using B = matmul::MatmulType<TPosition::GM, CubeFormat::ND, T, transpose_b>;
  using C = matmul::MatmulType<TPosition::GM, CubeFormat::ND, Out>;
  using Bias = matmul::MatmulType<TPosition::GM, CubeFormat::ND, float>;
  const TCubeTiling& tiling = arguments.tiling;
  TPipe pipe;
  matmul::MatmulImpl<A, B, C, Bias> mm;
  REGIST_MATMUL_OBJ(&pipe, nullptr, mm, &tiling);
  GlobalTensor<T> a, b;
  GlobalTensor<Out> c;
  GlobalTensor<float> bias;
  const auto rows = static_cast<uint64_t>(tiling.singleCoreM);
  const auto k = static_cast<uint64_t>(tiling.Ka), n = static_cast<uint64_t>(tiling.N);
  const uint64_t first = static_cast<uint64_t>(GetBlockIdx()) * rows;
  a.SetGlobalBuffer(reinterpret_cast<T*>(a_address), static_cast<uint64_t>(tiling.M) * k);
  b.SetGlobalBuffer(reinterpret_cast<T*>(b_address), k * n);
  c.SetGlobalBuffer(reinterpret_cast<Out*>(c_address), static_cast<uint64_t>(tiling.M) * n);
  bias.SetGlobalBuffer(reinterpret_cast<float*>(bias_address), n);
  mm.SetTensorA(a[first * k]);
  mm.SetTensorB(b);
  mm.SetBias(bias[1]);
  mm.ClearBias();
  mm.SetBias(bias);
  mm.SetTail(static_cast<int32_t>(rows));
  if (GetBlockIdx() == 0) {
    mm.IterateAll(c[first * n], 0, false, true);
  } else {
    while (mm.Iterate()) mm.GetTensorC(c[first * n]);
  }
  mm.End();
}

template <typename T, typename Out, bool transpose_b>
void CheckHighLevel() {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  constexpr int kM = 26, kN = 37, kK = 19;
  HostMemory memory;
  const auto a = Values<T>(kM * kK, 1);
  const auto b = Values<T>(kK * kN, 2);
  std::vector<float> bias(kN);
  for (size_t j = 0; j < kN; ++j) bias[j] = static_cast<float>(j) / 4.0f;
  const uintptr_t c = memory.Allocate(kM * kN * sizeof(Out), "c");
  MatmulArguments arguments;
  arguments.tiling = {2, kM, kN, kK, kK, kM / 2, kN, kK, 16, 16, 16};
  const Slots slots(memory.Put(a, "a"), memory.Put(b, "b"), memory.Put(bias, "bias"), c, arguments);
  LaunchOptions options;
  options.outputs = {{c, kM * kN * sizeof(Out), "c"}};
  Launch(Chip910B(), memory,
         softnpu::twin::MakeEntry<&HighLevel<T, Out, transpose_b>>("mm", __FILE__, __LINE__),
         slots.data(), slots.bytes(), 2, options);
  const auto out = memory.Get<Out>(c);
  for (size_t i = 0; i < kM; ++i) {
    for (size_t j = 0; j < kN; ++j) {
      float want = bias[j];  // exact: multiples of 2^-12 below 2^8
      for (size_t p = 0; p < kK; ++p) {
        want += static_cast<float>(a[i * kK + p]) *
                static_cast<float>(b[transpose_b ? j * kK + p : p * kN + j]);
      }
      ASSERT_EQ(static_cast<float>(out[i * kN + j]), static_cast<float>(Out(want)))
          << i << ' ' << j;
    }
  }
}

static_assert(CFG_ROW_MAJOR.format == CO2Layout::ROW_MAJOR && CFG_NZ.format == CO2Layout::NZ);

TEST(Matmul, InHalf) { CheckHighLevel<half, float, false>(); }
TEST(Matmul, WithATransposedRightMatrix) { CheckHighLevel<bfloat16_t, bfloat16_t, true>(); }

struct Kernel {
  static void Run(GM_ADDR address) {
    TPipe pipe;
    TBuf<TPosition::A1> l1;
    pipe.InitBuffer(l1, 512);
    GlobalTensor<half> x;
    x.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(address));
    DataCopy(l1.Get<half>(), x, 256);
  }
};

TEST(Cube, VectorCoresHaveNone) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const Slots slots(uint64_t{0});
  try {
    Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&Kernel::Run>("k", __FILE__, __LINE__),
           slots.data(), slots.bytes(), 1, true);
    FAIL();
  } catch (const KernelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("a tensor of the L1: a vector core (AIV) has none"));
  }
}

}  // namespace
