// cc/softnpu/ascendc/vector_advanced_test.cc: high-level calls against references in double.
//
// SoftNPU computes in double and rounds once, so a result is the reference rounded: an error of
// half an ulp, and another half where the two libraries' functions differ.
#include <algorithm>
#include <numeric>

#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

template <typename T>
constexpr double kUlp = sizeof(T) == 2 ? 0x1p-10 : 0x1p-23;

template <typename T>
void ExpectNear(T got, double want) {
  const double value = ToDouble(got);
  if (std::isnan(want)) {
    EXPECT_TRUE(std::isnan(value));
  } else if (std::isinf(want)) {
    EXPECT_EQ(value, want);
  } else {
    EXPECT_NEAR(value, want, std::fabs(want) * kUlp<T> + (sizeof(T) == 2 ? 0x1p-24 : 1e-44));
  }
}

template <typename T>
std::vector<T> Moderate(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> values(n);
  for (T& value : values)
    value = T(static_cast<float>(static_cast<int>(random() % 4000)) / 500 - 4);
  return values;
}

template <typename T>
class HighLevel : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, half>;
TYPED_TEST_SUITE(HighLevel, FloatTypes);

TYPED_TEST(HighLevel, Elementwise) {
  using T = TypeParam;
  const auto in = Moderate<T>(256, 1);
  const auto check = [&](auto call, auto reference) {
    const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) { call(d, a, scratch[0]); });
    for (size_t i = 0; i < 77; ++i) {
      ExpectNear(out[i], reference(ToDouble(in[i]), ToDouble(in[128 + i])));
    }
    EXPECT_EQ(ToDouble(out[77]), 0.0);
  };
  const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
  check([](auto d, auto a, auto t) { Sigmoid(d, a, t, 77); },
        [&](double x, double) { return logistic(x); });
  check([](auto d, auto a, auto) { Silu(d, a, 77); },
        [&](double x, double) { return x * logistic(x); });
  check([](auto d, auto a, auto) { Swish(d, a, 77, T(1.5f)); },
        [&](double x, double) { return x * logistic(1.5 * x); });
  check([](auto d, auto a, auto t) { Gelu(d, a, t, 77); },
        [&](double x, double) {
          return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
        });
  check([](auto d, auto a, auto t) { Gelu<T, true, false>(d, a, t, 77); },
        [&](double x, double) {
          return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
        });
  check([](auto d, auto a, auto) { FasterGelu<T, false, true>(d, a, 77); },
        [&](double x, double) { return x * logistic(1.702 * x); });
  check([](auto d, auto a, auto) { Exp<T, 8>(d, a, 77); },
        [](double x, double) { return std::exp(x); });
  check([](auto d, auto a, auto t) { Exp<T, 0, true>(d, a, t, 77); },
        [](double x, double) { return std::exp(x); });
  check([](auto d, auto a, auto t) { Power<T, false>(d, a, T(2.0f), t, 77); },
        [](double x, double) { return x * x; });
  check([](auto d, auto a, auto t) { Power(d, T(2.0f), a, t, 77); },
        [](double x, double) { return std::pow(2, x); });
  check([](auto d, auto a, auto t) { Axpy<T, T, false>(d, a, T(2.0f), t, 77); },
        [](double x, double) { return 2 * x; });
  check([](auto d, auto a, auto t) { SwiGLU(d, a, a[128], 1.0f, t, 77); },
        [&](double x, double y) { return x * y * logistic(y); });
  check([](auto d, auto a, auto) { SwiGLU(d, a, a[128], 1.0f, 77); },
        [&](double x, double y) { return x * y * logistic(y); });
  check([](auto d, auto a, auto t) { Tanh(d, a, t, 77); },
        [](double x, double) { return std::tanh(x); });
  check([](auto d, auto a, auto) { Erf(d, a, 77); }, [](double x, double) { return std::erf(x); });
  check([](auto d, auto a, auto) { Log(d, a, 77); }, [](double x, double) { return std::log(x); });
  check([](auto d, auto a, auto) { Log2(d, a, 77); },
        [](double x, double) { return std::log2(x); });
  check([](auto d, auto a, auto) { Log10(d, a, 77); },
        [](double x, double) { return std::log10(x); });
  check([](auto d, auto a, auto) { Sin(d, a, 77); }, [](double x, double) { return std::sin(x); });
  check([](auto d, auto a, auto) { Cos(d, a, 77); }, [](double x, double) { return std::cos(x); });
  check([](auto d, auto a, auto) { Tan(d, a, 77); }, [](double x, double) { return std::tan(x); });
  check([](auto d, auto a, auto t) { Asin(d, a, t, 77); },
        [](double x, double) { return std::asin(x); });
  check([](auto d, auto a, auto) { Acos(d, a, 77); },
        [](double x, double) { return std::acos(x); });
  check([](auto d, auto a, auto) { Atan(d, a, 77); },
        [](double x, double) { return std::atan(x); });
  check([](auto d, auto a, auto t) { Sinh(d, a, t, 77); },
        [](double x, double) { return std::sinh(x); });
  check([](auto d, auto a, auto) { Cosh(d, a, 77); },
        [](double x, double) { return std::cosh(x); });
  check([](auto d, auto a, auto) { Asinh(d, a, 77); },
        [](double x, double) { return std::asinh(x); });
  check([](auto d, auto a, auto) { Acosh(d, a, 77); },
        [](double x, double) { return std::acosh(x); });
  check([](auto d, auto a, auto) { Atanh(d, a, 77); },
        [](double x, double) { return std::atanh(x); });
  check([](auto d, auto a, auto) { Erfc(d, a, 77); },
        [](double x, double) { return std::erfc(x); });
  check([](auto d, auto a, auto t) { Lgamma(d, a, t, 77); },
        [](double x, double) { return std::lgamma(x); });
  check([](auto d, auto a, auto) { Sign(d, a, 77); },
        [](double x, double) { return x > 0   ? 1.0
                                      : x < 0 ? -1.0
                                              : 0.0; });
  check([](auto d, auto a, auto t) { Fmod(d, a, a[128], t, 77); },
        [](double x, double y) { return std::fmod(x, y); });
  check([](auto d, auto a, auto t) { FasterGelu(d, a, t, 77); },
        [&](double x, double) { return x * logistic(1.702 * x); });
  check([](auto d, auto a, auto) { FasterGeluV2(d, a, 77); },
        [&](double x, double) { return x * logistic(1.702 * x); });
  check([](auto d, auto a, auto t) { GeGLU(d, a, a[128], t, 77); },
        [&](double x, double y) {
          return x * y * logistic(1.5957691216057308 * (y + 0.044715 * y * y * y));
        });
  check([](auto d, auto a, auto) { ReGlu(d, a, a[128], 77); },
        [](double x, double y) { return x * std::max(y, 0.0); });
  check([](auto d, auto a, auto) { Round(d, a, 77); },
        [](double x, double) { return std::nearbyint(x); });
  check([](auto d, auto a, auto) { Floor(d, a, 77); },
        [](double x, double) { return std::floor(x); });
  check([](auto d, auto a, auto) { Ceil(d, a, 77); },
        [](double x, double) { return std::ceil(x); });
  check([](auto d, auto a, auto) { Trunc(d, a, 77); },
        [](double x, double) { return std::trunc(x); });
  check([](auto d, auto a, auto) { Frac(d, a, 77); },
        [](double x, double) { return x - std::trunc(x); });
  check([](auto d, auto a, auto t) { ClampMax(d, a, t, T(1.0f), 77); },
        [](double x, double) { return std::min(x, 1.0); });
  check([](auto d, auto a, auto) { ClampMin(d, a, T(1.0f), 77); },
        [](double x, double) { return std::max(x, 1.0); });
  check([](auto d, auto a, auto) { Power(d, a, a[128], 77); },
        [](double x, double y) { return std::pow(x, y); });
  check([](auto d, auto a, auto t) { Power(d, a, a[128], t, 77); },
        [](double x, double y) { return std::pow(x, y); });
  check([](auto d, auto a, auto) { Power(d, a, T(2.0f), 77); },
        [](double x, double) { return x * x; });
  check([](auto d, auto a, auto) { Power(d, T(2.0f), a, 77); },
        [](double x, double) { return std::exp2(x); });
}

TYPED_TEST(HighLevel, RowsAreSummed) {
  using T = TypeParam;
  const auto in = Moderate<T>(256, 2);
  const auto out = RunOn<T>(in, [](auto a, auto d, auto scratch) {
    Sum(d, a, scratch, SumParams{3, 64, 50});
    PipeBarrier<PIPE_V>();
    Mean(d[64], a, scratch, MeanParams{3, 64, 50});
    Sum(d[128], a, SumParams{1, 32, 32});
    Mean(d[192], a, MeanParams{1, 32, 32});
  });
  for (size_t r = 0; r < 3; ++r) {
    double sum = 0;
    for (size_t c = 0; c < 50; ++c) sum += ToDouble(in[r * 64 + c]);
    ExpectNear(out[r], sum);
    ExpectNear(out[64 + r], sum / 50);
  }
}

TYPED_TEST(HighLevel, Softmaxes) {
  using T = TypeParam;
  constexpr uint32_t kRows = 3, kColumns = 32, kValid = 29, kBlock = 32 / sizeof(T);
  const auto in = Moderate<T>(2 * kRows * kColumns, 3);
  const SoftMaxTiling tiling{kRows, kColumns};
  const SoftMaxShapeInfo shape{kRows, kColumns, kRows, kValid};
  const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) {
    const auto t = scratch.template ReinterpretCast<T>();
    const auto tmp = scratch[32768];
    SoftMax(d, d[512], d[640], a, tmp, tiling, shape);
    static_assert(SoftmaxConfig{}.isCheckTiling);
    SoftMax<T, false, false, SOFTMAX_DEFAULT_CFG>(d[128], a, tiling, shape);
    PipeBarrier<PIPE_V>();
    SoftMax(d[256], a, tmp, tiling, shape);
    PipeBarrier<PIPE_V>();
    SimpleSoftMax(d[384], d[512], d[640], a, tmp, tiling, shape);
    PipeBarrier<PIPE_V>();
    // Two steps: over the first matrix, then over the second with what the first left.
    SoftmaxFlashV2<T, false>(d[768], t, t[128], a, t[256], t[384], t[512], tmp, tiling, shape);
    PipeBarrier<PIPE_V>();
    SoftmaxFlashV2<T, true>(d[896], d[1024], d[1152], a[kRows * kColumns], d[1280], t, t[128], tmp,
                            tiling, shape);
  });
  for (size_t r = 0; r < kRows; ++r) {
    const auto at = [&](size_t m, size_t c) {
      return ToDouble(in[(m * kRows + r) * kColumns + c]);
    };
    double max[2] = {-INFINITY, -INFINITY}, sum[2] = {};
    for (size_t m = 0; m < 2; ++m) {
      for (size_t c = 0; c < kValid; ++c) max[m] = std::max(max[m], at(m, c));
      for (size_t c = 0; c < kValid; ++c) sum[m] += std::exp(at(m, c) - max[m]);
    }
    const double both = std::max(max[0], max[1]);
    // The first step's sum was rounded to T.
    const double total = std::exp(max[0] - both) * sum[0] + std::exp(max[1] - both) * sum[1];
    for (size_t c = 0; c < kValid; ++c) {
      const double want = std::exp(at(0, c) - max[0]) / sum[0];
      ExpectNear(out[r * kColumns + c], want);
      ExpectNear(out[128 + r * kColumns + c], want);
      ExpectNear(out[256 + r * kColumns + c], want);
      EXPECT_NEAR(ToDouble(out[384 + r * kColumns + c]), want, want * 2 * kUlp<T> + 0x1p-24);
      ExpectNear(out[768 + r * kColumns + c], std::exp(at(0, c) - max[0]));
      ExpectNear(out[896 + r * kColumns + c], std::exp(at(1, c) - both));
    }
    for (size_t e = 0; e < kBlock; ++e) {
      ExpectNear(out[512 + r * kBlock + e], sum[0]);
      ExpectNear(out[640 + r * kBlock + e], max[0]);
      EXPECT_NEAR(ToDouble(out[1024 + r * kBlock + e]), total, total * 2 * kUlp<T>);
      ExpectNear(out[1152 + r * kBlock + e], both);
      ExpectNear(out[1280 + r * kBlock + e], std::exp(max[0] - both));
    }
  }
}

TYPED_TEST(HighLevel, Norms) {
  using T = TypeParam;
  const auto in = Moderate<T>(256, 4);
  RmsNormTiling rms{1, 2, 64, 60};
  LayerNormTiling layer{2, 1, 64, 64};
  const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) {
    RmsNorm(d, a, a[128], scratch, T(0.25f), rms);
    RmsNorm(d[512], a, a[128], T(0.25f), rms);
    PipeBarrier<PIPE_V>();
    LayerNorm(d[128], d[256], d[320], a, a[128], a[192], scratch, T(0.25f), layer);
    LayerNorm(d[640], d[768], d[832], a, a[128], a[192], T(0.25f), layer);
  });
  for (size_t r = 0; r < 2; ++r) {
    const auto x = [&](size_t c) { return ToDouble(in[r * 64 + c]); };
    double squares = 0, mean = 0, variance = 0;
    for (size_t c = 0; c < 60; ++c) squares += x(c) * x(c) / 60;
    for (size_t c = 0; c < 64; ++c) mean += x(c) / 64;
    for (size_t c = 0; c < 64; ++c) variance += (x(c) - mean) * (x(c) - mean) / 64;
    for (size_t c = 0; c < 64; ++c) {
      const double gamma = ToDouble(in[128 + c]);
      const double beta = ToDouble(in[192 + c]);
      const double scaled = x(c) / std::sqrt(squares + 0.25) * gamma;
      ExpectNear(out[r * 64 + c], scaled);
      ExpectNear(out[512 + r * 64 + c], scaled);
      const double normed = (x(c) - mean) / std::sqrt(variance + 0.25) * gamma;
      // The sum cancels: its error is that of the rounded result and of the terms in double.
      EXPECT_NEAR(ToDouble(out[128 + r * 64 + c]), normed + beta,
                  std::fabs(normed + beta) * kUlp<T> + 1e-12);
    }
    ExpectNear(out[256 + r], mean);
    ExpectNear(out[320 + r], variance);
  }
  EXPECT_TRUE(std::equal(out.begin() + 128, out.begin() + 256, out.begin() + 640,
                         [](T a, T b) { return ToDouble(a) == ToDouble(b); }));
  EXPECT_TRUE(std::equal(out.begin() + 256, out.begin() + 258, out.begin() + 768,
                         [](T a, T b) { return ToDouble(a) == ToDouble(b); }));
  EXPECT_TRUE(std::equal(out.begin() + 320, out.begin() + 322, out.begin() + 832,
                         [](T a, T b) { return ToDouble(a) == ToDouble(b); }));
}

TYPED_TEST(HighLevel, TopKOfRows) {
  using T = TypeParam;
  constexpr uint32_t kRows = 2, kInner = 64, kValid = 50, kTop = 5;
  auto in = Moderate<T>(512, 5);
  in[3] = in[9] = T(100.0f);
  for (const bool largest : {true, false}) {
    const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) {
      const auto index = d[1024].template ReinterpretCast<int32_t>();
      const auto own = scratch[1024].template ReinterpretCast<int32_t>();
      const auto finish = scratch.template ReinterpretCast<bool>();
      Duplicate(scratch.template ReinterpretCast<int16_t>(), int16_t{256},
                16);  // row 1 is finished
      CreateVecIndex(own, 700, kInner);
      PipeBarrier<PIPE_V>();
      const TopKInfo info{kRows, kInner, kValid};
      TopK(d, index, a, own, finish, kTop, TopkTiling(), info, largest);
      TopK<T, true, true>(d[512], index[128], a, own, finish, scratch[4096], kTop, TopkTiling(),
                          info, largest);
    });
    const uint32_t pitch = sizeof(T) == 2 ? 16 : 8;
    for (uint32_t r = 0; r < kRows; ++r) {
      std::vector<uint32_t> order(kValid);
      for (uint32_t i = 0; i < kValid; ++i) order[i] = i;
      std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        const double x = ToDouble(in[r * kInner + a]);
        const double y = ToDouble(in[r * kInner + b]);
        return largest ? x > y : x < y;
      });
      for (uint32_t i = 0; i < kTop; ++i) {
        int32_t index[2];
        const auto* bytes = reinterpret_cast<const uint8_t*>(&out[1024]);
        std::memcpy(&index[0], bytes + (r * 8 + i) * 4, 4);
        std::memcpy(&index[1], bytes + (128 + r * 8 + i) * 4, 4);
        EXPECT_EQ(ToDouble(out[r * pitch + i]), ToDouble(in[r * kInner + order[i]]));
        EXPECT_EQ(ToDouble(out[512 + r * pitch + i]), ToDouble(in[r * kInner + order[i]]));
        EXPECT_EQ(index[0], static_cast<int32_t>(order[i]));
        EXPECT_EQ(index[1],
                  r == 1 ? static_cast<int32_t>(kValid) : static_cast<int32_t>(700 + order[i]));
      }
    }
  }
}

TEST(HighLevelCalls, BroadcastsAnAxis) {
  std::vector<int16_t> in(64);
  for (size_t i = 0; i < 64; ++i) in[i] = static_cast<int16_t>(i + 1);
  const auto out = RunOn<int16_t>(in, [](auto a, auto d, auto scratch) {
    const uint32_t matrix[2] = {3, 16}, row[2] = {1, 16}, column[2] = {3, 1};
    const uint32_t line[1] = {20}, one[1] = {1};
    Broadcast<int16_t, 2, 0>(d, a, matrix, row);
    Broadcast<int16_t, 2, 1>(d[64], a, matrix, column, scratch);
    Broadcast<int16_t, 1, 0>(d[128], a, line, one);
  });
  for (size_t r = 0; r < 3; ++r) {
    for (size_t c = 0; c < 16; ++c) {
      EXPECT_EQ(out[r * 16 + c], in[c]);
      EXPECT_EQ(out[64 + r * 16 + c], in[r]);
    }
  }
  EXPECT_EQ(out[128 + 19], 1);
  EXPECT_EQ(out[128 + 20], 0);
}

constexpr CumSumConfig kDown{false, false, true};

TYPED_TEST(HighLevel, RunningSums) {
  using T = TypeParam;
  constexpr uint32_t kRows = 3, kColumns = 32;
  const auto in = Moderate<T>(kRows * kColumns, 6);
  const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) {
    const CumSumInfo info{kRows, kColumns};
    CumSum(d, d, a, info);
    CumSum<T, kDown>(d[256], d[512], a, scratch, info);
  });
  for (uint32_t r = 0; r < kRows; ++r) {
    double along = 0;
    for (uint32_t c = 0; c < kColumns; ++c) {
      along += ToDouble(in[r * kColumns + c]);
      ExpectNear(out[r * kColumns + c], along);
      double down = 0;
      for (uint32_t i = 0; i <= r; ++i) down += ToDouble(in[i * kColumns + c]);
      ExpectNear(out[256 + r * kColumns + c], down);
      if (r == kRows - 1) ExpectNear(out[512 + c], down);
    }
  }
}

// 3 rows of 20 elements, whose padding up to whole blocks is no part of any result.
TYPED_TEST(HighLevel, ReducesAnAxis) {
  using T = TypeParam;
  constexpr uint32_t kRows = 3, kColumns = 20;
  const uint32_t pitch = sizeof(T) == 2 ? 32 : 24;
  auto in = Moderate<T>(kRows * pitch, 7);
  for (uint32_t r = 0; r < kRows; ++r) {
    for (uint32_t c = kColumns; c < pitch; ++c) in[r * pitch + c] = T(1000.0f);
  }
  const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) {
    using Pattern::Reduce::AR;
    using Pattern::Reduce::RA;
    const uint32_t shape[] = {kRows, kColumns};
    if constexpr (IsSameType<T, float>::value) {
      ReduceSum<T, AR>(d, a, scratch, shape, true);
      ReduceSum<T, RA>(d[64], a, shape, true);
    }
    ReduceMax<T, AR>(d[128], a, shape, true);
    PipeBarrier<PIPE_V>();
    ReduceMax<T, RA>(d[192], a, scratch, shape, true);
    PipeBarrier<PIPE_V>();
    ReduceMin<T, AR>(d[256], a, scratch, shape, true);
    ReduceMin<T, RA, true>(d[320], a, shape, true);
  });
  const auto at = [&](uint32_t r, uint32_t c) { return ToDouble(in[r * pitch + c]); };
  const double sums = sizeof(T) == 4 ? 1 : 0;  // of floats only
  for (uint32_t r = 0; r < kRows; ++r) {
    double sum = 0, most = at(r, 0), least = at(r, 0);
    for (uint32_t c = 0; c < kColumns; ++c) {
      sum += at(r, c);
      most = std::max(most, at(r, c));
      least = std::min(least, at(r, c));
    }
    ExpectNear(out[r], sums * sum);
    ExpectNear(out[128 + r], most);
    ExpectNear(out[256 + r], least);
  }
  EXPECT_EQ(ToDouble(out[kRows]), 0.0);
  for (uint32_t c = 0; c < kColumns; ++c) {
    ExpectNear(out[64 + c], sums * (at(0, c) + at(1, c) + at(2, c)));
    ExpectNear(out[192 + c], std::max({at(0, c), at(1, c), at(2, c)}));
    ExpectNear(out[320 + c], std::min({at(0, c), at(1, c), at(2, c)}));
  }
  EXPECT_EQ(ToDouble(out[64 + kColumns]), 0.0);
}

TYPED_TEST(HighLevel, SelectsByBytes) {
  using T = TypeParam;
  constexpr uint32_t kRows = 2, kColumns = 16, kMask = 32;
  const auto in = Moderate<T>(kRows * kColumns, 8);
  const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) {
    auto mask = scratch.template ReinterpretCast<uint8_t>();
    mask.SetSize(kRows * kMask);
    a.SetSize(kRows * kColumns);
    Duplicate(scratch.template ReinterpretCast<uint16_t>(), uint16_t{0x0100},
              32);  // 0, 1, 0, 1 ...
    PipeBarrier<PIPE_V>();
    const SelectWithBytesMaskShapeInfo info{kRows, kColumns, kMask};
    SelectWithBytesMask(d, a, T(7.0f), mask, scratch[1024], info);
    PipeBarrier<PIPE_V>();
    SelectWithBytesMask(d[64], T(7.0f), a, mask, scratch[1024], info);
  });
  for (uint32_t i = 0; i < kRows * kColumns; ++i) {
    EXPECT_EQ(ToDouble(out[i]), i % 2 == 0 ? ToDouble(in[i]) : 7.0);
    EXPECT_EQ(ToDouble(out[64 + i]), i % 2 == 0 ? 7.0 : ToDouble(in[i]));
  }
}

TEST(HighLevelCalls, Xor) {
  std::vector<int16_t> in(64);
  for (size_t i = 0; i < 64; ++i) in[i] = static_cast<int16_t>(i * 1021 - 32000);
  const auto out = RunOn<int16_t>(in, [](auto a, auto d, auto t) {
    Xor(d, a, a[32], t, 32);
    Xor(d[32], a, a[32], 32);
  });
  for (size_t i = 0; i < 64; ++i)
    EXPECT_EQ(out[i], static_cast<int16_t>(in[i % 32] ^ in[32 + i % 32]));
  EXPECT_THAT((FaultOf<float, float>([](auto a, auto d) { Xor(d, a, a, 8); })),
              HasSubstr("Xor does not take float"));
}

TEST(HighLevelCalls, LimitsOfAxes) {
  EXPECT_THAT(FaultOf([](auto a, auto d) { CumSum(d, d, a, CumSumInfo{2, 9}); }),
              HasSubstr("inner of 9 elements is not a multiple of 32 bytes"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                const uint32_t shape[] = {2, 9};
                ReduceMin<float, Pattern::Reduce::AR>(d, a, shape, false);
              }),
              HasSubstr("srcShape[1] without srcInnerPad of 9 elements is not a multiple"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                const uint32_t shape[] = {0, 8};
                ReduceMax<float, Pattern::Reduce::RA>(d, a, shape, true);
              }),
              HasSubstr("srcShape[0] 0, the limits are 1 and"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                const uint32_t shape[] = {2, 8};
                ReduceSum<float, Pattern::Reduce::AR>(d, a, shape, false);
              }),
              HasSubstr("srcInnerPad is false, ReduceSum takes only true"));
  EXPECT_THAT((FaultOf<half, half>([](auto a, auto d) {
                const uint32_t shape[] = {2, 16};
                ReduceSum<half, Pattern::Reduce::RA>(d, a, shape, true);
              })),
              HasSubstr("ReduceSum does not take half"));
  EXPECT_THAT(
      FaultOf([](auto a, auto d, auto scratch) {
        SelectWithBytesMask(d, a, 1.0f, scratch, scratch[1024],
                            SelectWithBytesMaskShapeInfo{1, 64, 32});
      }),
      HasSubstr("maskLastAxis 32 has to be a multiple of 16 that is not below srcLastAxis"));
  const auto select = [](uint32_t elements, uint32_t masks) {
    return FaultOf([=](auto a, auto d, auto scratch) {
      auto mask = scratch;
      a.SetSize(elements);
      mask.SetSize(masks);
      SelectWithBytesMask(d, a, 1.0f, mask, scratch[1024], SelectWithBytesMaskShapeInfo{2, 8, 32});
    });
  };
  EXPECT_THAT(select(24, 64),
              HasSubstr("src has 24 elements, but firstAxis 2 times srcLastAxis 8 are 16"));
  EXPECT_THAT(select(16, 32),
              HasSubstr("mask has 32 elements, but firstAxis 2 times maskLastAxis 32 are 64"));
}

TEST(HighLevelCalls, Limits) {
  EXPECT_THAT((FaultOf<int32_t, int32_t>([](auto a, auto d) { Tanh(d, a, 8); })),
              HasSubstr("Tanh does not take int32_t"));
  EXPECT_THAT(FaultOf([](auto a, auto d) { Sum(d, a, SumParams{1, 33, 3}); }),
              HasSubstr("inner of 33 elements is not a multiple of 32 bytes"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                TopK(d, d[64].template ReinterpretCast<int32_t>(), a, LocalTensor<int32_t>(),
                     LocalTensor<bool>(), 33, TopkTiling(), TopKInfo{1, 32, 32});
              }),
              HasSubstr("k 33, the limits are 1 and 32"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                TopK<float, false, false, false, TopKMode::TOPK_NSMALL>(
                    d, d[64].template ReinterpretCast<int32_t>(), a, LocalTensor<int32_t>(),
                    LocalTensor<bool>(), 3, TopkTiling(), TopKInfo{1, 64, 32});
              }),
              HasSubstr("inner in the small mode 64, the limits are 32 and 32"));
  // What lies in a temporary buffer afterwards is no value.
  EXPECT_THAT(FaultOf([](auto a, auto d, auto scratch) {
                Tanh(d, a, scratch, 8);
                PipeBarrier<PIPE_V>();
                Adds(d, scratch.template ReinterpretCast<float>(), 1.0f, 8);
              }),
              HasSubstr("hold no value"));
}

// Values of the function are known at whole and half numbers: differences of harmonic sums.
TEST(Digamma, IsTheDerivativeOfLgamma) {
  constexpr double kEuler = 0.57721566490153286;
  const std::vector<float> in = {1, 2, 3, 10, 0.5f, 1.5f, -0.5f, 30, 0, -2};
  const auto out = RunOn<float>(in, [](auto a, auto d, auto) { Digamma(d, a, 10); });
  const double half = -kEuler - 2 * std::log(2.0);
  double harmonic = 0;
  for (int i = 1; i < 30; ++i) harmonic += 1.0 / i;
  const double want[] = {-kEuler, 1 - kEuler, 1.5 - kEuler, 2.8289682539682540 - kEuler,
                         half,    half + 2,   half + 2,     harmonic - kEuler,
                         NAN,     NAN};
  for (size_t i = 0; i < 10; ++i) ExpectNear(out[i], want[i]);
}

TEST(Pad, RowsGetColumnsAndLoseThem) {
  std::vector<float> in(3 * 13);
  std::iota(in.begin(), in.end(), 1.0f);
  PadTiling tiling;
  tiling.srcHeight = 3;
  tiling.srcWidth = 13;
  const auto out = RunOn<float>(in, [&](auto a, auto d, auto scratch) {
    PadParams params{1, 2, -7};
    Pad(d, a, params, tiling);
    PipeBarrier<PIPE_V>();
    UnPadTiling back;
    back.srcHeight = 3;
    back.srcWidth = 16;
    UnPadParams right{0, 3};
    Bytes tmp = scratch;
    UnPad(d[64], d, right, tmp, back);
  });
  for (size_t r = 0; r < 3; ++r) {
    for (size_t c = 0; c < 16; ++c) {
      const float want = c >= 1 && c < 14 ? in[r * 13 + c - 1] : -7.0f;
      EXPECT_EQ(out[r * 16 + c], want) << r << ", " << c;
      if (c < 13) {
        EXPECT_EQ(out[64 + r * 13 + c], out[r * 16 + c]);
      }
    }
  }
}

TEST(Pad, RowsOfWholeBlocksGetOtherLastColumns) {
  std::vector<half> in(2 * 16);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
  PadTiling tiling;
  tiling.srcHeight = 2;
  tiling.srcWidth = 16;
  const auto out = RunOn<half>(in, [&](auto a, auto d, auto scratch) {
    PadParams params{0, 2, 5};
    Pad(d, a, params, scratch, tiling);
  });
  EXPECT_EQ(ToDouble(out[13]), 13);
  EXPECT_EQ(ToDouble(out[14]), 5);
  EXPECT_EQ(ToDouble(out[31]), 5);
  EXPECT_THAT(FaultOf([&](auto a, auto d) {
                PadParams params{1, 1, 5};
                Pad(d, a, params, tiling);
              }),
              HasSubstr("leftPad is not 0"));
}

TEST(SoftmaxGrad, TakesTheRowsSumOff) {
  const auto in = Moderate<float>(2 * 4 * 16, 9);  // gradients, then values
  SoftMaxTiling tiling;
  tiling.srcM = 4;
  tiling.srcK = 16;
  const auto out = RunOn<float>(in, [&](auto a, auto d, auto scratch) {
    SoftmaxGrad(d, a, a[64], tiling);
    SoftmaxGradFront(d[64], a, a[64], scratch, tiling);
    SoftmaxGrad(d[128], a, a[64], tiling, true);
  });
  for (size_t r = 0; r < 4; ++r) {
    double sum = 0;
    for (size_t c = 0; c < 16; ++c)
      sum += static_cast<double>(in[r * 16 + c]) * in[64 + r * 16 + c];
    for (size_t c = 0; c < 16; ++c) {
      ExpectNear(out[r * 16 + c], (in[r * 16 + c] - sum) * in[64 + r * 16 + c]);
    }
    for (size_t c = 0; c < 8; ++c) {
      ExpectNear(out[64 + r * 8 + c], sum);
      EXPECT_EQ(out[128 + r * 8 + c], out[64 + r * 8 + c]);
    }
  }
}

// In half: the product and the sum are rounded there.
TEST(AscendQuant, RoundsInHalf) {
  const std::vector<half> in = {0.0f, 1.0f, -1.5f, 100.0f, -300.0f, 2.25f, 0.5f, 0.7f};
  const auto out = RunOn<int8_t>(in, [&](auto a, auto d, auto scratch) {
    AscendQuant(d, a, 2.0f, 0.5f, 8);
    Duplicate(a[64], half(2.0f), 4);
    Duplicate(a[80], half(0.5f), 4);
    PipeBarrier<PIPE_V>();
    AscendQuant(d[32], a, scratch, a[64], a[80], 4, 4, 8);
    AscendQuant(d[64], a, a[64], half(0.5f), 4, 8);
  });
  const int want[] = {0, 2, -2, 127, -128, 5, 2, 2};  // 2.5, 1.5 and 1.9 among them
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(out[i], want[i]) << i;
    EXPECT_EQ(out[32 + i], out[i]) << i;
    EXPECT_EQ(out[64 + i], out[i]) << i;
  }
}

TEST(DropOut, KeepsWhatTheMaskSays) {
  std::vector<float> in(16 + 8 + 8);
  for (size_t i = 0; i < 16; ++i) in[i] = static_cast<float>(i + 1);
  const uint8_t bytes[16] = {1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1};
  std::memcpy(&in[16], bytes, 16);
  const uint8_t bits[2] = {0b10010101, 0b10010101};
  std::memcpy(&in[24], bits, 2);
  const auto out = RunOn<float>(in, [&](auto a, auto d, auto scratch) {
    const Bytes mask = a[16].template ReinterpretCast<uint8_t>();
    const Bytes packed = a[24].template ReinterpretCast<uint8_t>();
    DropOutShapeInfo info;
    info.firstAxis = 2;
    info.srcLastAxis = 8;
    info.maskLastAxis = 8;
    DropOut(d, a, mask, 0.5f, info);
    info.maskLastAxis = 1;
    DropOut<float, false, 3>(d[32], a, packed, scratch, 0.5f, info);
  });
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(out[i], bytes[i] != 0 ? 2 * in[i] : 0.0f) << i;
    EXPECT_EQ(out[32 + i], out[i]) << i;
  }
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                DropOut(d, a, a.template ReinterpretCast<uint8_t>(), 0.0f, {1, 8, 8});
              }),
              HasSubstr("keepProb is 0"));
}

TEST(ReduceByPattern, OtherKinds) {
  const std::vector<float> in = {1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 1, 1, 1, 1, 1, 1};
  const uint32_t shape[] = {2, 8};
  const auto out = RunOn<float>(in, [&](auto a, auto d, auto scratch) {
    ReduceProd<float, Pattern::Reduce::AR>(d, a, scratch, shape, true);
    ReduceMean<float, Pattern::Reduce::RA>(d[8], a, shape, true);
    ReduceAll<float, Pattern::Reduce::AR>(d[16], a, shape, true);
    ReduceAny<float, Pattern::Reduce::RA>(d[24], a, shape, true);
  });
  EXPECT_EQ(out[0], 40320.0f);
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[8 + 2], 2.0f);
  EXPECT_EQ(out[16], 1.0f);
  EXPECT_EQ(out[17], 0.0f);
  EXPECT_EQ(out[24 + 1], 1.0f);
  const std::vector<int16_t> words = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
                                      1, 1, 1, 1, 1, 1, 1, 1, 1, 1,  1,  1,  1,  1,  1,  1};
  const auto sum =
      RunOn<int16_t>(words, [](auto a, auto d, auto) { ReduceXorSum(d, a, a[16], 16); });
  int want = 0;
  for (int i = 1; i <= 16; ++i) want += i ^ 1;
  EXPECT_EQ(sum[0], want);
}

}  // namespace
