// cc/softnpu/ascendc/vector_advanced_test.cc: high-level calls against references in double.
//
// SoftNPU computes in double and rounds once, so a result is the reference rounded: an error of
// half an ulp, and another half where the two libraries' functions differ.
#include <algorithm>

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
    SoftMax(d[128], a, tiling, shape);
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

}  // namespace
