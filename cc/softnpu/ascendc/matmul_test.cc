// cc/softnpu/ascendc/matmul_test.cc: forms of the high-level product, exact on small integers.
#include <cstring>
#include <functional>
#include <random>

#include "cc/softnpu/ascendc/include/kernel_tiling/kernel_tiling.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "cc/softnpu/ascendc/twin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using namespace AscendC;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::Launch;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using ::testing::HasSubstr;

constexpr int kM = 48, kN = 32, kK = 64;

std::function<void(GM_ADDR a, GM_ADDR b, GM_ADDR c)> g_body;
void Body(GM_ADDR a, GM_ADDR b, GM_ADDR c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  g_body(a, b, c);
}

template <typename T>
std::vector<T> Values(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> values(n);
  for (T& value : values) value = T(static_cast<float>(static_cast<int>(random() % 16) - 8));
  return values;
}

// What a body makes of a and b in `bytes` that hold zeros before.
template <typename Out, typename T>
std::vector<Out> Run(const std::vector<T>& a, const std::vector<T>& b, size_t n,
                     std::function<void(GM_ADDR, GM_ADDR, GM_ADDR)> body) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  g_body = std::move(body);
  const uintptr_t c = memory.Put(std::vector<Out>(n, Out(0)), "c");
  const Slots slots(memory.Put(a, "a"), memory.Put(b, "b"), c);
  Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&Body>("mm", __FILE__, __LINE__),
         slots.data(), slots.bytes(), 1, true);
  return memory.Get<Out>(c);
}

template <typename T>
GlobalTensor<T> Tensor(GM_ADDR address, size_t n) {
  GlobalTensor<T> tensor;
  tensor.SetGlobalBuffer(reinterpret_cast<T*>(address), n);
  return tensor;
}

TCubeTiling Tiling() {
  TCubeTiling tiling;
  tiling.M = tiling.singleCoreM = kM;
  tiling.N = tiling.singleCoreN = kN;
  tiling.Ka = tiling.Kb = tiling.singleCoreK = kK;
  tiling.baseM = tiling.baseN = tiling.baseK = 32;
  return tiling;
}

template <typename T>
float Dot(const std::vector<T>& a, const std::vector<T>& b, size_t i, size_t j, size_t at_a = 0,
          size_t at_b = 0) {
  float sum = 0;
  for (size_t p = 0; p < kK; ++p) {
    sum += static_cast<float>(a[at_a + i * kK + p]) * static_cast<float>(b[at_b + p * kN + j]);
  }
  return sum;
}

size_t Nz(size_t row, size_t column, size_t rows, size_t width) {
  return column / width * rows * width + row * width + column % width;
}

// All of A, B and C in fractals: those of A and B have 32 bytes in a row, those of C 16 elements.
template <typename T, typename Out>
void CheckFractals() {
  using A = MatmulType<TPosition::GM, CubeFormat::NZ, T>;
  using C = MatmulType<TPosition::GM, CubeFormat::NZ, Out>;
  constexpr size_t kWidth = 32 / sizeof(T);
  const auto a = Values<T>(kM * kK, 1), b = Values<T>(kK * kN, 2);
  std::vector<T> a_nz(a.size()), b_nz(b.size());
  for (size_t i = 0; i < kM; ++i) {
    for (size_t p = 0; p < kK; ++p) a_nz[Nz(i, p, kM, kWidth)] = a[i * kK + p];
  }
  for (size_t p = 0; p < kK; ++p) {
    for (size_t j = 0; j < kN; ++j) b_nz[Nz(p, j, kK, kWidth)] = b[p * kN + j];
  }
  for (const bool by_blocks : {false, true}) {
    const auto c = Run<Out>(a_nz, b_nz, kM * kN, [&](GM_ADDR x, GM_ADDR y, GM_ADDR z) {
      const TCubeTiling tiling = Tiling();
      Matmul<A, A, C> mm;
      mm.Init(&tiling);
      mm.SetTensorA(Tensor<T>(x, kM * kK));
      mm.SetTensorB(Tensor<T>(y, kK * kN));
      const auto out = Tensor<Out>(z, kM * kN);
      if (by_blocks) {
        while (mm.Iterate()) mm.GetTensorC(out);
      } else {
        mm.IterateAll(out);
      }
    });
    for (size_t i = 0; i < kM; ++i) {
      for (size_t j = 0; j < kN; ++j) {
        ASSERT_EQ(static_cast<float>(c[Nz(i, j, kM, 16)]), Dot(a, b, i, j)) << i << ' ' << j;
      }
    }
  }
}
TEST(MatmulForms, FractalsOfHalf) { CheckFractals<half, float>(); }
TEST(MatmulForms, FractalsOfInt8) { CheckFractals<int8_t, int32_t>(); }
TEST(MatmulForms, FractalsOfFloat) { CheckFractals<float, float>(); }

TEST(MatmulForms, BlockBehindBlockWithSequentialWrites) {
  using A = MatmulType<TPosition::GM, CubeFormat::ND, half>;
  using C = MatmulType<TPosition::GM, CubeFormat::ND, float>;
  const auto a = Values<half>(kM * kK, 1), b = Values<half>(kK * kN, 2);
  const auto c = Run<float>(a, b, 2 * 32 * 32, [&](GM_ADDR x, GM_ADDR y, GM_ADDR z) {
    static constexpr MatmulApiStaticTiling kStatic =
        GetMatmulApiTiling<A, A, C, C>(GetBasicConfig(32, 32, 32));
    TCubeTiling tiling = Tiling();
    tiling.baseM = tiling.baseN = 0;  // constants stand for them
    Matmul<A, A, C, C, kStatic, MatmulCallBackFunc<nullptr, nullptr, nullptr>> mm;
    mm.Init(&tiling);
    mm.SetSelfDefineData(0);
    mm.SetTensorA(Tensor<half>(x, kM * kK));
    mm.SetTensorB(Tensor<half>(y, kK * kN));
    mm.IterateAll(Tensor<float>(z, 2 * 32 * 32), 0, true);
  });
  for (size_t i = 0; i < kM; ++i) {
    for (size_t j = 0; j < kN; ++j) ASSERT_EQ(c[i * 32 + j], Dot(a, b, i, j));
  }
}

// Scaled as the fix pipe does it: int8_t to int8_t by one scale, half to int8_t by one per column.
TEST(MatmulForms, ScaledResults) {
  using A = MatmulType<TPosition::GM, CubeFormat::ND, int8_t>;
  const auto a = Values<int8_t>(kM * kK, 3), b = Values<int8_t>(kK * kN, 4);
  const float scale = 0.3f;
  uint32_t word = 0;
  std::memcpy(&word, &scale, 4);
  const auto c = Run<int8_t>(a, b, kM * kN, [&](GM_ADDR x, GM_ADDR y, GM_ADDR z) {
    const TCubeTiling tiling = Tiling();
    Matmul<A, A, A> mm;
    mm.Init(&tiling);
    mm.SetTensorA(Tensor<int8_t>(x, kM * kK));
    mm.SetTensorB(Tensor<int8_t>(y, kK * kN));
    mm.SetQuantScalar(word);
    mm.IterateAll(Tensor<int8_t>(z, kM * kN));
  });
  using H = MatmulType<TPosition::GM, CubeFormat::ND, half>;
  const auto ah = Values<half>(kM * kK, 5), bh = Values<half>(kK * kN + 4 * kN, 6);
  auto scaled = bh;  // a word per column behind b
  for (size_t j = 0; j < kN; ++j) {
    const float own = static_cast<float>(j) / 64;
    std::memcpy(static_cast<void*>(&scaled[kK * kN + 4 * j]), &own, 4);
  }
  const auto d = Run<int8_t>(ah, scaled, kM * kN, [&](GM_ADDR x, GM_ADDR y, GM_ADDR z) {
    const TCubeTiling tiling = Tiling();
    Matmul<H, H, A> mm;
    mm.Init(&tiling);
    mm.SetTensorA(Tensor<half>(x, kM * kK));
    mm.SetTensorB(Tensor<half>(y, kK * kN));
    mm.SetQuantVector(Tensor<uint64_t>(y + kK * kN * 2, kN));
    while (mm.Iterate()) mm.GetTensorC(Tensor<int8_t>(z, kM * kN));
  });
  for (size_t i = 0; i < kM; ++i) {
    for (size_t j = 0; j < kN; ++j) {
      const float wants[] = {Dot(a, b, i, j) * scale,
                             Dot(ah, bh, i, j) * static_cast<float>(j) / 64};
      const int8_t got[] = {c[i * kN + j], d[i * kN + j]};
      for (int k = 0; k < 2; ++k) {
        EXPECT_EQ(got[k], std::max(-128.0f, std::min(127.0f, std::nearbyint(wants[k]))));
      }
    }
  }
}

// Two of A for one of B, one behind the other, and the same in loops.
TEST(MatmulForms, Batches) {
  using A = MatmulType<TPosition::GM, CubeFormat::ND, half, false, LayoutMode::NORMAL>;
  using C = MatmulType<TPosition::GM, CubeFormat::ND, float, false, LayoutMode::NORMAL>;
  const auto a = Values<half>(4 * kM * kK, 7), b = Values<half>(2 * kK * kN, 8);
  for (const bool in_loops : {false, true}) {
    const auto c = Run<float>(a, b, 4 * kM * kN, [&](GM_ADDR x, GM_ADDR y, GM_ADDR z) {
      const TCubeTiling tiling = Tiling();
      Matmul<A, A, C> mm;
      mm.Init(&tiling);
      mm.SetTensorA(Tensor<half>(x, 4 * kM * kK));
      mm.SetTensorB(Tensor<half>(y, 2 * kK * kN));
      const auto out = Tensor<float>(z, 4 * kM * kN);
      if (in_loops) {
        mm.IterateNBatch(2, 2, 1, false);
        for (int i = 0; i < 2; ++i) mm.GetBatchTensorC(out[i * 2 * kM * kN]);
      } else {
        mm.IterateBatch(out, 4, 2);
      }
    });
    for (size_t batch = 0; batch < 4; ++batch) {
      for (size_t i = 0; i < kM; ++i) {
        for (size_t j = 0; j < kN; ++j) {
          ASSERT_EQ(c[(batch * kM + i) * kN + j],
                    Dot(a, b, i, j, batch * kM * kK, batch / 2 * kK * kN))
              << batch << ' ' << i << ' ' << j;
        }
      }
    }
  }
}

// Heads of [S, B, N, D] into [B, N, S1, S2]: a row of a head follows after all heads of all
// batches.
TEST(MatmulForms, HeadsOfATensor) {
  using A = MatmulType<TPosition::GM, CubeFormat::ND, half, false, LayoutMode::SBNGD>;
  using B = MatmulType<TPosition::GM, CubeFormat::ND, half, true, LayoutMode::BSNGD>;
  using C = MatmulType<TPosition::GM, CubeFormat::ND, float, false, LayoutMode::BNGS1S2>;
  constexpr int kB = 2, kHeads = 3, kRows = 16, kKeys = 32, kD = 16;
  const auto a = Values<half>(kB * kHeads * kRows * kD, 9),
             b = Values<half>(kB * kHeads * kKeys * kD, 10);
  const auto c =
      Run<float>(a, b, kB * kHeads * kRows * kKeys, [&](GM_ADDR x, GM_ADDR y, GM_ADDR z) {
        TCubeTiling tiling;
        tiling.M = tiling.singleCoreM = kRows;
        tiling.N = tiling.singleCoreN = kKeys;
        tiling.Ka = tiling.Kb = tiling.singleCoreK = kD;
        tiling.baseM = tiling.baseN = tiling.baseK = 16;
        tiling.ALayoutInfoB = tiling.BLayoutInfoB = tiling.CLayoutInfoB = kB;
        tiling.ALayoutInfoS = tiling.CLayoutInfoS1 = kRows;
        tiling.BLayoutInfoS = tiling.CLayoutInfoS2 = kKeys;
        tiling.ALayoutInfoN = tiling.BLayoutInfoN = tiling.CLayoutInfoN = kHeads;
        tiling.ALayoutInfoG = tiling.BLayoutInfoG = tiling.CLayoutInfoG = 1;
        tiling.ALayoutInfoD = tiling.BLayoutInfoD = kD;
        Matmul<A, B, C> mm;
        mm.Init(&tiling);
        mm.SetTensorA(Tensor<half>(x, a.size()));
        mm.SetTensorB(Tensor<half>(y, b.size()));
        mm.IterateBatch(Tensor<float>(z, kB * kHeads * kRows * kKeys), kB * kHeads, kB * kHeads);
      });
  for (int i = 0; i < kB * kHeads * kRows * kKeys; ++i) {
    const int t = i % kKeys, s = i / kKeys % kRows, n = i / kKeys / kRows % kHeads,
              batch = i / kKeys / kRows / kHeads;
    float want = 0;
    for (int d = 0; d < kD; ++d) {
      want +=
          static_cast<float>(a[static_cast<size_t>(((s * kB + batch) * kHeads + n) * kD + d)]) *
          static_cast<float>(b[static_cast<size_t>(((batch * kKeys + t) * kHeads + n) * kD + d)]);
    }
    ASSERT_EQ(c[static_cast<size_t>(i)], want) << i;
  }
}

// A and C in the UB, where rows of C are padded to blocks; then added to what is in GM.
TEST(MatmulForms, TensorsOfTheUbAndAtomics) {
  using A = MatmulType<TPosition::VECOUT, CubeFormat::ND, half>;
  using B = MatmulType<TPosition::GM, CubeFormat::ND, half>;
  using C = MatmulType<TPosition::VECIN, CubeFormat::ND_ALIGN, float>;
  using G = MatmulType<TPosition::GM, CubeFormat::ND, float>;
  constexpr int kTail = 27;  // columns
  const auto a = Values<half>(kM * kK, 11), b = Values<half>(kK * kTail, 12);
  const auto c = Run<float>(a, b, 2 * kM * kN, [&](GM_ADDR x, GM_ADDR y, GM_ADDR z) {
    TCubeTiling tiling = Tiling();
    tiling.N = tiling.singleCoreN = kTail;
    TPipe pipe;
    TBuf<TPosition::VECCALC> left, result;
    pipe.InitBuffer(left, kM * kK * 2);
    pipe.InitBuffer(result, kM * kN * 4);
    DataCopy(left.Get<half>(), Tensor<half>(x, kM * kK), kM * kK);
    Duplicate(result.Get<float>(), 0.0f, kM * kN);
    PipeBarrier<PIPE_ALL>();
    Matmul<A, B, C> mm;
    mm.Init(&tiling, &pipe);
    mm.SetTensorA(left.Get<half>());
    mm.SetTensorB(Tensor<half>(y, kK * kTail));
    mm.Iterate();
    mm.AsyncGetTensorC(result.Get<float>());
    mm.End();
    mm.SetTensorA(left.Get<half>());
    mm.IterateAll(result.Get<float>());
    DataCopy(Tensor<float>(z, kM * kN), result.Get<float>(), kM * kN);
    Matmul<B, B, G> sums;
    sums.Init(&tiling, &pipe);
    sums.SetTensorA(Tensor<half>(x, kM * kK));
    sums.SetTensorB(Tensor<half>(y, kK * kTail));
    const auto out = Tensor<float>(z + kM * kN * 4, kM * kTail);
    sums.IterateAll(out);
    sums.IterateAll(out, 1);
  });
  for (size_t i = 0; i < kM; ++i) {
    for (size_t j = 0; j < kN; ++j) {
      float want = 0;
      for (size_t p = 0; p < kK && j < kTail; ++p) {
        want += static_cast<float>(a[i * kK + p]) * static_cast<float>(b[p * kTail + j]);
      }
      ASSERT_EQ(c[i * kN + j], want) << i << ' ' << j;
      if (j < kTail) ASSERT_EQ(c[kM * kN + i * kTail + j], 2 * want);
    }
  }
}

TEST(MatmulForms, RefusesByName) {
  using A = MatmulType<TPosition::GM, CubeFormat::ND, half>;
  const auto a = Values<half>(kM * kK, 1);
  const auto fault = [&](auto body) -> std::string {
    try {
      Run<float>(a, a, kM * kN, [&](GM_ADDR x, GM_ADDR y, GM_ADDR z) {
        const TCubeTiling tiling = Tiling();
        MatmulImpl<A, A, MatmulType<TPosition::GM, CubeFormat::ND, float>> mm;
        mm.Init(&tiling);
        mm.SetTensorA(Tensor<half>(x, kM * kK));
        mm.SetTensorB(Tensor<half>(y, kK * kN));
        body(mm, Tensor<float>(z, kM * kN));
      });
    } catch (const KernelError& error) {
      return error.fault();
    }
    return "";
  };
  EXPECT_THAT(fault([](auto& mm, auto c) { mm.IterateAll(c, 4); }),
              HasSubstr("enAtomic is 4, it has to be 0 to 3"));
  EXPECT_THAT(fault([](auto& mm, auto c) {
                mm.SetQuantScalar(1);
                mm.IterateAll(c);
              }),
              HasSubstr("there is no product of half and half into float with scales"));
  EXPECT_THAT(fault([](auto& mm, auto c) {
                mm.Iterate(true);
                mm.GetTensorC(c);
              }),
              HasSubstr("enPartialSum is not supported by SoftNPU"));
}

TEST(MatmulForms, TilingsHaveTheDocumentedLayout) {
  static_assert(sizeof(TCubeTiling) == 50 * 4);
  static_assert(offsetof(TCubeTiling, transLength) == 16 * 4);
  static_assert(offsetof(TCubeTiling, BatchNum) == 48 * 4);
  static_assert(sizeof(SoftMaxTiling) == 16 * 4);
  static_assert(sizeof(LayerNormTiling) == 26 * 4);
  static_assert(offsetof(LayerNormTiling, lastDimValueBack) == 25 * 4);
  static_assert(sizeof(RmsNormTiling) == 12 * 4);
  static_assert(sizeof(TopkTiling) == 24 * 4 + 8 * 2);
  static_assert(sizeof(GroupNormTiling) == 30 * 4);
  static_assert(std::is_same_v<Conditional<true, int, float>::type, int>);
  EXPECT_EQ(F32_NEG_INF, 0xFF800000u);
  static_assert(K_MAX_SHAPE_DIM == 8);
}

}  // namespace
