// cc/softnpu/ascendc/vector_softmax_test.cc: the calls around softmax against formulas in double.
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

template <typename T>
constexpr double kUlp = sizeof(T) == 2 ? 0x1p-10 : 0x1p-23;

template <typename T>
void Near(T got, double want) {
  EXPECT_NEAR(ToDouble(got), want, std::fabs(want) * kUlp<T>);
}

constexpr uint32_t kRows = 2, kWidth = 16, kValid = 13;

template <typename T>
std::vector<T> Rows(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> values(256);
  for (T& value : values) {
    value = T(static_cast<float>(static_cast<int>(random() % 1000)) / 125 - 4);
  }
  return values;
}

struct Row {
  double max = -INFINITY, sum = 0;
  template <typename T>
  explicit Row(const T* x, double at_least = -INFINITY) {
    for (uint32_t e = 0; e < kValid; ++e) max = std::max(max, ToDouble(x[e]));
    max = std::max(max, at_least);
    for (uint32_t e = 0; e < kValid; ++e) sum += std::exp(ToDouble(x[e]) - max);
  }
};

constexpr SoftMaxShapeInfo kShape{kRows, kWidth, kRows, kValid};

template <typename T>
class Softmax : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, half>;
TYPED_TEST_SUITE(Softmax, FloatTypes);

TYPED_TEST(Softmax, LogSoftMaxIsToBase10) {
  using T = TypeParam;
  constexpr uint32_t kBlock = 32 / sizeof(T);
  const auto in = Rows<T>(1);
  const auto out = RunOn<T>(in, [](auto a, auto d, auto t) {
    LogSoftMax(d, d[64], d[128], a, t, LogSoftMaxTiling(), kShape);
  });
  for (uint32_t r = 0; r < kRows; ++r) {
    const Row row(in.data() + r * kWidth);
    for (uint32_t e = 0; e < kValid; ++e) {
      Near(out[r * kWidth + e],
           std::log10(std::exp(ToDouble(in[r * kWidth + e]) - row.max) / row.sum));
    }
    Near(out[64 + r * kBlock], row.sum);
    Near(out[64 + r * kBlock + kBlock - 1], row.sum);
    Near(out[128 + r * kBlock], row.max);
  }
}

// Rows in two halves: the second call brings the results of the first up to date.
TYPED_TEST(Softmax, FlashFormsUpdateEarlierSums) {
  using T = TypeParam;
  constexpr uint32_t kBlock = 32 / sizeof(T);
  const auto in = Rows<T>(2);
  for (const bool divides : {true, false}) {
    // Earlier sums at 64, earlier maxima at 128.
    const auto out = RunOn<T>(in, [&](auto a, auto d, auto t) {
      if (divides) {
        SoftmaxFlash<T>(d, d[64], d[128], a, d[192], a[64], a[128], t, SoftMaxTiling(), true,
                        kShape);
      } else {
        SoftmaxFlashV2<T, true>(d, d[64], d[128], a, d[192], a[64], a[128], t, SoftMaxTiling(),
                                kShape);
      }
    });
    for (uint32_t r = 0; r < kRows; ++r) {
      const double old_sum = ToDouble(in[64 + r * kBlock]), old = ToDouble(in[128 + r * kBlock]);
      const Row row(in.data() + r * kWidth, old);
      const double factor = std::exp(old - row.max), sum = row.sum + factor * old_sum;
      Near(out[64 + r * kBlock], sum);
      Near(out[128 + r * kBlock], row.max);
      Near(out[192 + r * kBlock], divides ? factor * old_sum / sum : factor);
      for (uint32_t e = 0; e < kValid; ++e) {
        const double value = std::exp(ToDouble(in[r * kWidth + e]) - row.max);
        Near(out[r * kWidth + e], divides ? value / sum : value);
      }
    }
  }
}

TYPED_TEST(Softmax, FlashWithoutUpdateIsSoftmax) {
  using T = TypeParam;
  const auto in = Rows<T>(3);
  const auto out = RunOn<T>(in, [&](auto a, auto d, auto) {
    SoftmaxFlash<T>(d, d[64], d[128], a, d[192], a[64], a[128], SoftMaxTiling(), false, kShape);
  });
  for (uint32_t r = 0; r < kRows; ++r) {
    const Row row(in.data() + r * kWidth);
    for (uint32_t e = 0; e < kValid; ++e) {
      Near(out[r * kWidth + e], std::exp(ToDouble(in[r * kWidth + e]) - row.max) / row.sum);
    }
    EXPECT_EQ(ToDouble(out[192 + r]), 0.0);
  }
}

// SOFTMAX_OUTPUT_WITHOUT_BRC: one element per row, and the maximum of this call alone.
TEST(SoftmaxFlashV2, OneElementPerRow) {
  static constexpr SoftmaxConfig kNarrow{false, 0, 0, SoftmaxMode::SOFTMAX_OUTPUT_WITHOUT_BRC};
  const auto in = Rows<float>(4);
  const auto out = RunOn<float>(in, [&](auto a, auto d, auto t) {
    SoftmaxFlashV2<float, true, false, false, false, kNarrow>(
        d, d[32], d[40], d[48], a, d[56], a[64], a[72], t, SoftMaxTiling(), kShape);
  });
  for (uint32_t r = 0; r < kRows; ++r) {
    const Row own(in.data() + r * kWidth), row(in.data() + r * kWidth, in[72 + r]);
    const double factor = std::exp(in[72 + r] - row.max);
    Near(out[32 + r], own.max);
    Near(out[40 + r], row.sum + factor * in[64 + r]);
    Near(out[48 + r], row.max);
    Near(out[56 + r], factor);
  }
  EXPECT_EQ(out[32 + kRows], 0.0f);
}

TEST(AdjustSoftMaxRes, RowsOfAMaximumBecomeAValue) {
  std::vector<float> in(64);
  for (uint32_t e = 0; e < 32; ++e) in[e] = static_cast<float>(e);
  for (uint32_t r = 0; r < 2; ++r) in[32 + r * 8] = r == 0 ? 1.0f : 2.0f;
  bool found = false, absent = true;
  const auto out = RunOn<float>(in, [&](auto a, auto d, auto) {
    Adds(d, a, 0.0f, 32);
    PipeBarrier<PIPE_V>();
    found = AdjustSoftMaxRes<float, float>(d, a[32], 0x40000000, -7.0f, {2, 16, 2, 16});
    PipeBarrier<PIPE_V>();
    absent = AdjustSoftMaxRes<float, float>(d, a[32], 0x41000000, -7.0f, {2, 16, 2, 16});
  });
  EXPECT_TRUE(found);
  EXPECT_FALSE(absent);
  for (uint32_t e = 0; e < 32; ++e) EXPECT_EQ(out[e], e < 16 ? static_cast<float>(e) : -7.0f);
}

TEST(SoftMax, Limits) {
  EXPECT_THAT(FaultOf([](auto a, auto d, auto t) {
                LogSoftMax(d, d[64], d[128], a, t, LogSoftMaxTiling(), {1, 9, 1, 9});
              }),
              HasSubstr("rows of 9 elements are not whole blocks of 32 bytes"));
  EXPECT_THAT(
      FaultOf([](auto a, auto d) { AdjustSoftMaxRes<float, float>(d, a, 0, 0.0f, {1, 9, 1, 9}); }),
      HasSubstr("srcK of 9 elements is not a multiple of 32 bytes"));
}

}  // namespace
