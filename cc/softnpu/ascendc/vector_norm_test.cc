// cc/softnpu/ascendc/vector_norm_test.cc: normalisation against formulas in double.
//
// SoftNPU computes in double and rounds once. A sum of up to 64 terms may differ by another order
// of the terms, far below the rounding of the result; a result that cancels is measured by the
// size of its terms.
#include <numeric>

#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

template <typename T>
constexpr double kUlp = sizeof(T) == 2 ? 0x1p-10 : 0x1p-23;

template <typename T>
void Near(T got, double want, double size = 0) {
  EXPECT_NEAR(ToDouble(got), want, std::max(std::fabs(want), size) * kUlp<T>);
}

// Multiples of 1/500 in [-4, 4).
template <typename T>
std::vector<T> Moderate(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> values(n);
  for (T& value : values) {
    value = T(static_cast<float>(static_cast<int>(random() % 4000)) / 500 - 4);
  }
  return values;
}

struct Row {
  double mean = 0, variance = 0;
  template <typename T>
  Row(const T* x, size_t n, size_t step = 1) {
    for (size_t i = 0; i < n; ++i) mean += ToDouble(x[i * step]) / static_cast<double>(n);
    for (size_t i = 0; i < n; ++i) {
      variance += std::pow(ToDouble(x[i * step]) - mean, 2) / static_cast<double>(n);
    }
  }
};

template <typename T>
class Norm : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, half>;
TYPED_TEST_SUITE(Norm, FloatTypes);

constexpr size_t kRows = 3, kWidth = 32, kValid = 30, kAll = kRows * kWidth;

TYPED_TEST(Norm, DeepNormIsLayerNormOfASum) {
  using T = TypeParam;
  // src, gx, gamma, beta; outputs: rows, means at 96, variances at 128.
  const auto in = Moderate<T>(2 * kAll + 2 * kWidth, 1);
  const auto out = RunOn<T>(in, [](auto a, auto d, auto t) {
    DeepNormTiling tiling;
    tiling.bLength = 1;
    tiling.sLength = kRows;
    tiling.hLength = kWidth;
    tiling.originalHLength = kValid;
    DeepNorm(d, d[96], d[128], a, a[kAll], a[2 * kAll + kWidth], a[2 * kAll], t, T(0.5f), T(0.25f),
             tiling);
  });
  for (size_t r = 0; r < kRows; ++r) {
    std::vector<double> x(kValid);
    for (size_t e = 0; e < kValid; ++e) {
      x[e] = 0.5 * ToDouble(in[r * kWidth + e]) + ToDouble(in[kAll + r * kWidth + e]);
    }
    const double n = kValid, mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
    double variance = 0;
    for (const double value : x) variance += (value - mean) * (value - mean) / n;
    Near(out[96 + r], mean, 1);
    Near(out[128 + r], variance);
    for (size_t e = 0; e < kValid; ++e) {
      const double beta = ToDouble(in[2 * kAll + kWidth + e]);
      const double want = (x[e] - mean) / std::sqrt(variance + 0.25) * ToDouble(in[2 * kAll + e]);
      Near(out[r * kWidth + e], want + beta, 1e-3);
    }
  }
}

TYPED_TEST(Norm, LayerNormGivesOneOverTheDeviation) {
  using T = TypeParam;
  constexpr static LayerNormConfig kNoBeta{true, false, false, true};
  const auto in = Moderate<T>(kAll + 2 * kWidth, 2);
  const auto run = [&](auto call) {
    return RunOn<T>(in, [&](auto a, auto d, auto t) {
      const auto mean = d[kAll].template ReinterpretCast<float>();
      const auto rstd = d[2 * kAll].template ReinterpretCast<float>();
      call(d, mean, rstd, a, a[kAll], a[kAll + kWidth], t, LayerNormPara{kRows, kValid, kWidth});
    });
  };
  const auto with = run([](auto d, auto mean, auto rstd, auto x, auto gamma, auto beta, auto t,
                           const LayerNormPara& para) {
    LayerNorm<T, T>(d, mean, rstd, x, gamma, beta, 0.25f, t, para, LayerNormSeparateTiling());
  });
  const auto without = run([](auto d, auto mean, auto rstd, auto x, auto gamma, auto beta, auto,
                              const LayerNormPara& para) {
    LayerNorm<T, T, false, kNoBeta>(d, mean, rstd, x, gamma, beta, 0.25f, para,
                                    LayerNormSeparateTiling());
  });
  for (size_t r = 0; r < kRows; ++r) {
    const Row row(in.data() + r * kWidth, kValid);
    const double scale = 1 / std::sqrt(row.variance + 0.25);
    float mean = 0, rstd = 0;
    std::memcpy(&mean, reinterpret_cast<const char*>(with.data() + kAll) + r * 4, 4);
    std::memcpy(&rstd, reinterpret_cast<const char*>(with.data() + 2 * kAll) + r * 4, 4);
    Near(mean, row.mean, 1);
    Near(rstd, scale);
    for (size_t e = 0; e < kValid; ++e) {
      const double plain =
          (ToDouble(in[r * kWidth + e]) - row.mean) * scale * ToDouble(in[kAll + e]);
      Near(without[r * kWidth + e], plain, 1e-3);
      Near(with[r * kWidth + e], plain + ToDouble(in[kAll + kWidth + e]), 1e-3);
    }
  }
}

TYPED_TEST(Norm, NormalizeTakesMomentsThatAreGiven) {
  using T = TypeParam;
  const auto in = Moderate<T>(kAll + 2 * kWidth, 3);
  const float means[] = {0.5f, -1.0f, 2.0f}, variances[] = {1.0f, 4.0f, 0.25f};
  const auto out = RunOn<T>(in, [&](auto a, auto d, auto t) {
    const auto moments = t.template ReinterpretCast<float>();
    for (uint32_t r = 0; r < kRows; ++r) {
      moments.SetValue(r, means[r]);
      moments.SetValue(8 + r, variances[r]);
    }
    PipeBarrier<PIPE_ALL>();
    SetFlag<HardEvent::S_V>(EVENT_ID0);
    WaitFlag<HardEvent::S_V>(EVENT_ID0);
    Normalize<T, T>(d, d[kAll].template ReinterpretCast<float>(), moments, moments[8], a, a[kAll],
                    a[kAll + kWidth], 0.5f, NormalizePara{kRows, kValid, kWidth});
  });
  for (size_t r = 0; r < kRows; ++r) {
    const double scale = 1 / std::sqrt(variances[r] + 0.5);
    float rstd = 0;
    std::memcpy(&rstd, reinterpret_cast<const char*>(out.data() + kAll) + r * 4, 4);
    Near(rstd, scale);
    for (size_t e = 0; e < kValid; ++e) {
      const double want =
          (ToDouble(in[r * kWidth + e]) - means[r]) * scale * ToDouble(in[kAll + e]);
      Near(out[r * kWidth + e], want + ToDouble(in[kAll + kWidth + e]), 1e-3);
    }
  }
}

TYPED_TEST(Norm, BatchNormReducesTheFirstAxis) {
  using T = TypeParam;
  const auto in = Moderate<T>(kAll + 64, 4);
  const auto out = RunOn<T>(in, [](auto a, auto d, auto t) {
    BatchNormTiling tiling;
    tiling.originalBLength = kRows;
    tiling.meanVarSize = kWidth;
    BatchNorm(d, d[kAll], d[kAll + kWidth], a, a[kAll], a[kAll + 16], t, T(0.5f), tiling);
  });
  for (size_t e = 0; e < kWidth; ++e) {
    const Row column(in.data() + e, kRows, kWidth);
    Near(out[kAll + e], column.mean, 1);
    Near(out[kAll + kWidth + e], column.variance, 1e-3);
    for (size_t r = 0; r < kRows; ++r) {
      const double want = (ToDouble(in[r * kWidth + e]) - column.mean) /
                          std::sqrt(column.variance + 0.5) * ToDouble(in[kAll + r]);
      Near(out[r * kWidth + e], want + ToDouble(in[kAll + 16 + r]), 1e-3);
    }
  }
}

TYPED_TEST(Norm, GroupNormReducesGroupsOfChannels) {
  using T = TypeParam;
  // 2 samples of 4 channels in 2 groups, 8 elements each.
  const auto in = Moderate<T>(2 * 4 * 8 + 32, 5);
  const auto out = RunOn<T>(in, [](auto a, auto d, auto t) {
    GroupNormTiling tiling;
    tiling.n = tiling.g = tiling.d = 2;
    tiling.c = 4;
    tiling.hw = 8;
    GroupNorm(d, d[64], d[80], a, a[64], a[80], t, T(0.5f), tiling);
  });
  for (size_t g = 0; g < 4; ++g) {
    const Row group(in.data() + g * 16, 16);
    Near(out[64 + g], group.mean, 1);
    Near(out[80 + g], group.variance);
    for (size_t e = 0; e < 16; ++e) {
      const size_t channel = g % 2 * 2 + e / 8;
      const double want = (ToDouble(in[g * 16 + e]) - group.mean) /
                          std::sqrt(group.variance + 0.5) * ToDouble(in[64 + channel]);
      Near(out[g * 16 + e], want + ToDouble(in[80 + channel]), 1e-3);
    }
  }
}

// The gradients of LayerNorm by differences of the function itself.
TEST(LayerNormGrad, IsTheDerivative) {
  constexpr size_t kN = 16;
  const double epsilon = 0.5;
  const auto x = Moderate<float>(2 * kN, 6), dy = Moderate<float>(2 * kN, 7),
             gamma = Moderate<float>(kN, 8);
  // The sum of dy * LayerNorm(x) with beta 0.
  const auto loss = [&](const std::vector<double>& value, const std::vector<double>& scale) {
    double sum = 0;
    for (size_t r = 0; r < 2; ++r) {
      double mean = 0, variance = 0;
      for (size_t e = 0; e < kN; ++e) mean += value[r * kN + e] / kN;
      for (size_t e = 0; e < kN; ++e) variance += std::pow(value[r * kN + e] - mean, 2) / kN;
      for (size_t e = 0; e < kN; ++e) {
        sum += static_cast<double>(dy[r * kN + e]) * scale[e] * (value[r * kN + e] - mean) /
               std::sqrt(variance + epsilon);
      }
    }
    return sum;
  };
  const Row rows[] = {Row(x.data(), kN), Row(x.data() + kN, kN)};
  std::vector<float> in = Join(Join(x, dy), gamma);
  // The call takes the moments as floats.
  for (const Row& row : rows) in.push_back(static_cast<float>(row.variance));
  in.resize(88);
  for (const Row& row : rows) in.push_back(static_cast<float>(row.mean));
  const auto out = RunOn<float>(in, [&](auto a, auto d, auto t) {
    LayerNormGradTiling tiling;
    tiling.bLength = 1;
    tiling.sLength = 2;
    tiling.hLength = tiling.originalHLength = kN;
    LayerNormGrad(d, d[2 * kN], a[2 * kN], a, a[80], a[88], a[4 * kN], t, 0.5f, tiling);
    PipeBarrier<PIPE_V>();
    LayerNormGradBetaTiling sizes;
    sizes.bLength = 1;
    sizes.sLength = 2;
    sizes.hLength = sizes.originalHLength = kN;
    LayerNormGradBeta(d[4 * kN], d[5 * kN], d[2 * kN], a[2 * kN], t, sizes);
  });
  const std::vector<double> wide(x.begin(), x.end()), scale(gamma.begin(), gamma.end());
  // Central differences: an error of h * h, and of 1e-16 / h of the loss.
  const double h = 1e-5, tolerance = 1e-5;
  const auto difference = [&](bool of_x, size_t i) {
    auto up = of_x ? wide : scale, down = up;
    up[i] += h;
    down[i] -= h;
    return (of_x ? loss(up, scale) - loss(down, scale) : loss(wide, up) - loss(wide, down)) /
           (2 * h);
  };
  for (size_t i = 0; i < 2 * kN; ++i) EXPECT_NEAR(out[i], difference(true, i), tolerance);
  for (size_t e = 0; e < kN; ++e) {
    EXPECT_NEAR(out[4 * kN + e], difference(false, e), tolerance);
    EXPECT_EQ(out[5 * kN + e], dy[e] + dy[kN + e]);
  }
}

TEST(Welford, BlocksGiveTheMomentsOfAll) {
  constexpr size_t kColumns = 24, kBlocks = 4;
  const auto in = Moderate<float>(kColumns * kBlocks, 9);
  const auto out = RunOn<float>(in, [&](auto a, auto d, auto t) {
    const auto moments = t.template ReinterpretCast<float>();
    Duplicate(moments, 0.0f, 4 * kColumns);
    PipeBarrier<PIPE_V>();
    for (uint32_t i = 0; i < kBlocks; ++i) {
      const auto from = moments[i % 2 * 2 * kColumns], to = moments[(1 - i % 2) * 2 * kColumns];
      WelfordUpdate<float, float>(to, to[kColumns], from, from[kColumns], a[i * kColumns],
                                  {1, kColumns, kColumns, 1.0f / static_cast<float>(i + 1)});
      PipeBarrier<PIPE_V>();
    }
    WelfordFinalizePara para{kBlocks, kColumns, kBlocks,         kColumns,
                             0,       0,        1.0f / kColumns, 1.0f / (kColumns * kBlocks),
                             0};
    WelfordFinalize(d, d[8], moments, moments[kColumns], para);
  });
  const Row all(in.data(), in.size());
  // Means and squares are rounded after each of 4 blocks, terms are below 4 and 64.
  EXPECT_NEAR(out[0], all.mean, 8 * 4 * 0x1p-24);
  EXPECT_NEAR(out[8], all.variance, 8 * 64 * 0x1p-24);
}

// The example of CANN's page: 32 columns of 4 elements each.
TEST(Welford, CountsWeighColumns) {
  std::vector<float> in(64);
  for (size_t e = 0; e < 32; ++e) in[e] = in[32 + e] = static_cast<float>(e);
  const auto finalize = [&](auto call) {
    return RunOn<float>(in, [&](auto a, auto d, auto t) {
      WelfordFinalizePara para{4, 32, 4, 20, 4, 12, 1.0f / 32, 1.0f / 4096, 0};
      const auto counts = t[1024].template ReinterpretCast<int32_t>();
      Duplicate(counts, 4, 32);
      PipeBarrier<PIPE_V>();
      call(d, a, counts, para);
    });
  };
  const auto counted = finalize([](auto d, auto a, auto counts, auto& para) {
    WelfordFinalize(d, d[8], a, a[32], counts, para);
  });
  const auto split =
      finalize([](auto d, auto a, auto, auto& para) { WelfordFinalize(d, d[8], a, a[32], para); });
  for (const auto& out : {counted, split}) {
    EXPECT_EQ(out[0], 0.484375f);
    EXPECT_NEAR(out[8], 9.831062, 1e-6);
  }
}

TEST(Welford, WhatIsNotComputedIsCopied) {
  static constexpr WelfordUpdateConfig kInplace{true};
  std::vector<float> in(48);
  for (size_t e = 0; e < 16; ++e) {
    in[e] = 1;
    in[16 + e] = in[32 + e] = static_cast<float>(e);
  }
  const auto out = RunOn<float>(in, [](auto a, auto d, auto t) {
    WelfordUpdate<float, float, false, kInplace>(d, d[16], a[16], a[32], a, t, {1, 16, 9, 0.125f});
  });
  EXPECT_EQ(out[0], 0.125f);  // as CANN's page has it
  EXPECT_EQ(out[16], 0.875f);
  EXPECT_EQ(out[8], 7.125f);
  EXPECT_EQ(out[9], 9.0f);
  EXPECT_EQ(out[16 + 15], 15.0f);
}

TEST(Norms, Limits) {
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                DeepNormTiling tiling;
                tiling.bLength = tiling.sLength = 1;
                tiling.hLength = tiling.originalHLength = 2048;
                DeepNorm(d, d[2048], d[2056], a, a, a, a, 1.0f, 1.0f, tiling);
              }),
              HasSubstr("hLength"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                LayerNorm<float, float>(d, d[64], d[72], a, a, a, 1.0f, LayerNormPara{1, 9, 8},
                                        LayerNormSeparateTiling());
              }),
              HasSubstr("the original width 9 of rows of 8 elements"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                WelfordUpdate<float, float>(d, d[8], a, a, a, {1, 12, 12, 1.0f});
              }),
              HasSubstr("abLength of 12 elements is not a multiple of 32 bytes"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                WelfordFinalizePara para{4, 32, 4, 20, 0, 12, 1.0f, 1.0f, 0};
                WelfordFinalize(d, d[8], a, a[32], para);
              }),
              HasSubstr("tailCountLength is 12, it has to be 0 where tailCount is 0"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                WelfordFinalizePara para{4, 32, 4, 20, 1, 8, 1.0f, 1.0f, 0};
                WelfordFinalize(d, d[8], a, a[32], para);
              }),
              HasSubstr("headCountLength 20 and tailCountLength 8 are not abLength 32"));
  EXPECT_THAT((FaultOf<int32_t, int32_t>([](auto a, auto d) {
                LayerNormGradBetaTiling tiling;
                LayerNormGradBeta(d, d[8], a, a, tiling);
              })),
              HasSubstr("LayerNormGradBeta does not take int32_t"));
}

}  // namespace
