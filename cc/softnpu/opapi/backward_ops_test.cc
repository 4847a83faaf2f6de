// cc/softnpu/opapi/backward_ops_test.cc: gradients, by hand and against their formulas.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

#define DECLARE_GRADIENT(NAME) ACLNN_DECLARE(NAME, const Tensor*, const Tensor*, Tensor*)
#define DECLARE_SHRINK(NAME) \
  ACLNN_DECLARE(NAME, const Tensor*, const Tensor*, const Scalar*, Tensor*)
#define DECLARE_ALONG(NAME) ACLNN_DECLARE(NAME, const Tensor*, const Tensor*, int64_t, Tensor*)
DECLARE_GRADIENT(SigmoidBackward)
DECLARE_GRADIENT(TanhBackward)
DECLARE_GRADIENT(SiluBackward)
DECLARE_GRADIENT(HardswishBackward)
DECLARE_GRADIENT(HardswishBackwardV2)
DECLARE_GRADIENT(HardsigmoidBackward)
DECLARE_GRADIENT(MishBackward)
DECLARE_GRADIENT(GeluBackward)
DECLARE_SHRINK(ThresholdBackward)
DECLARE_SHRINK(HardshrinkBackward)
DECLARE_SHRINK(SoftshrinkBackward)
DECLARE_ALONG(GluBackward)
DECLARE_ALONG(SoftmaxBackward)
DECLARE_ALONG(LogSoftmaxBackward)
ACLNN_DECLARE(GeluBackwardV2, const Tensor*, const Tensor*, const char*, Tensor*)
ACLNN_DECLARE(LeakyReluBackward, const Tensor*, const Tensor*, const Scalar*, bool, Tensor*)
ACLNN_DECLARE(HardtanhBackward, const Tensor*, const Tensor*, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(SoftplusBackward, const Tensor*, const Tensor*, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(EluBackward, const Tensor*, const Scalar*, const Scalar*, const Scalar*, bool,
              const Tensor*, Tensor*)
ACLNN_DECLARE(LogSigmoidBackward, const Tensor*, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(LayerNormBackward, const Tensor*, const Tensor*, const IntArray*, const Tensor*,
              const Tensor*, const Tensor*, const Tensor*, const BoolArray*, Tensor*, Tensor*,
              Tensor*)
ACLNN_DECLARE(GroupNormBackward, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, int64_t, int64_t, int64_t, int64_t, const BoolArray*, Tensor*, Tensor*,
              Tensor*)
ACLNN_DECLARE(BatchNormBackward, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, const Tensor*, const Tensor*, bool, double, const BoolArray*, Tensor*,
              Tensor*, Tensor*)
ACLNN_DECLARE(ConvolutionBackward, const Tensor*, const Tensor*, const Tensor*, const IntArray*,
              const IntArray*, const IntArray*, const IntArray*, bool, const IntArray*, int,
              const BoolArray*, int8_t, Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(EmbeddingDenseBackward, const Tensor*, const Tensor*, uint64_t, uint64_t, bool,
              Tensor*)
ACLNN_DECLARE(ApplyAdamWV2, Tensor*, Tensor*, Tensor*, Tensor*, const Tensor*, const Tensor*, float,
              float, float, float, float, bool, bool)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Tensor* kNone = nullptr;
constexpr DType kType = DType::kFloat;

class Gradient : public ::testing::Test {
 protected:
  const DeviceTensor grad{kType, {3}, {2, 2, 2}}, x{kType, {3}, {-1.5, 0.25, 0.75}},
      out{kType, {3}};
  const HostScalar half{DType::kDouble, 0.5}, one{DType::kDouble, 1}, minus{DType::kDouble, -1},
      many{DType::kDouble, 20};
  // Twice the derivative at the three places; the ways to compute it differ by a few units of
  // float64.
  void ExpectTwice(const std::function<double(double)>& derivative) const {
    const std::vector<double> found = out.Values();
    EXPECT_NEAR(found[0], 2 * derivative(-1.5), std::ldexp(1.0, -23));
    EXPECT_NEAR(found[1], 2 * derivative(0.25), std::ldexp(1.0, -23));
    EXPECT_NEAR(found[2], 2 * derivative(0.75), std::ldexp(1.0, -23));
  }
};

double Logistic(double v) { return 1 / (1 + std::exp(-v)); }

#define EXPECT_GRADIENT(NAME, EXPRESSION)                     \
  ASSERT_EQ(CALL(NAME, grad, x, out).result, "ran") << #NAME; \
  ExpectTwice([]([[maybe_unused]] double v) -> double { return EXPRESSION; });

TEST_F(Gradient, OfActivations) {
  EXPECT_GRADIENT(SigmoidBackward, v * (1 - v))
  EXPECT_GRADIENT(TanhBackward, 1 - v * v)
  EXPECT_GRADIENT(SiluBackward, Logistic(v) * (1 + v * (1 - Logistic(v))))
  EXPECT_GRADIENT(HardswishBackward, (2 * v + 3) / 6)
  EXPECT_GRADIENT(HardswishBackwardV2, (2 * v + 3) / 6)
  EXPECT_GRADIENT(HardsigmoidBackward, 1.0 / 6)
  EXPECT_GRADIENT(MishBackward,
                  std::tanh(std::log1p(std::exp(v))) +
                      v * Logistic(v) / std::pow(std::cosh(std::log1p(std::exp(v))), 2))
  const auto gelu = [](double v) {
    return 0.5 * (1 + std::erf(v / std::sqrt(2.0))) +
           v * std::exp(-v * v / 2) / std::sqrt(2 * std::numbers::pi);
  };
  ASSERT_EQ(CALL(GeluBackward, grad, x, out).result, "ran");
  ExpectTwice(gelu);
  ASSERT_EQ(CALL(GeluBackwardV2, grad, x, "none", out).result, "ran");
  ExpectTwice(gelu);
  ASSERT_EQ(CALL(GeluBackwardV2, grad, x, "tanh", out).result, "ran");
  ExpectTwice([](double v) {
    const double k = std::sqrt(2 / std::numbers::pi);
    const double t = std::tanh(k * (v + 0.044715 * v * v * v));
    return 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * k * (1 + 3 * 0.044715 * v * v);
  });
  EXPECT_THAT(CALL(GeluBackwardV2, grad, x, "erf", out).result,
              HasSubstr("'approximate' is 'erf'; it must be"));
  ASSERT_EQ(CALL(LogSigmoidBackward, grad, x, kNone, out).result, "ran");
  ExpectTwice([](double v) { return Logistic(-v); });
}

TEST_F(Gradient, OfWhatBends) {
  ASSERT_EQ(CALL(ThresholdBackward, grad, x, half, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0, 2));
  ASSERT_EQ(CALL(HardshrinkBackward, grad, x, half, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 0, 2));
  ASSERT_EQ(CALL(SoftshrinkBackward, grad, x, half, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 0, 2));
  ASSERT_EQ(CALL(LeakyReluBackward, grad, x, half, false, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 2, 2));
  EXPECT_THAT(CALL(LeakyReluBackward, grad, x, minus, true, out).result,
              HasSubstr("'negativeSlope' is -1"));
  ASSERT_EQ(CALL(HardtanhBackward, grad, x, minus, half, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 2, 0));
  ASSERT_EQ(CALL(SoftplusBackward, grad, x, one, many, out).result, "ran");
  ExpectTwice(Logistic);
  ASSERT_EQ(CALL(EluBackward, grad, half, one, one, false, x, out).result, "ran");
  ExpectTwice([](double v) { return v > 0 ? 1 : 0.5 * std::exp(v); });
  ASSERT_EQ(CALL(EluBackward, grad, half, one, one, true, x, out).result, "ran");
  ExpectTwice([](double v) { return v > 0 ? 1 : v + 0.5; });
  EXPECT_THAT(CALL(EluBackward, grad, minus, one, one, true, x, out).result,
              HasSubstr("'alpha' is -1"));
}

TEST_F(Gradient, AlongADimension) {
  // softmax of [0, 0]
  const DeviceTensor g(kType, {1, 2}, {1, 3}), even(kType, {1, 2}, {0.5, 0.5}), two(kType, {1, 2});
  ASSERT_EQ(CALL(SoftmaxBackward, g, even, -1, two).result, "ran");
  EXPECT_THAT(two.Values(), ElementsAre(-0.5, 0.5));
  const DeviceTensor logs(kType, {1, 2}, {std::log(0.5), std::log(0.5)});
  ASSERT_EQ(CALL(LogSoftmaxBackward, g, logs, 1, two).result, "ran");
  EXPECT_THAT(two.Values(), ElementsAre(-1, 1));
  EXPECT_THAT(CALL(SoftmaxBackward, g, even, 2, two).result,
              HasSubstr("'dim' is 2; for float32 [1, 2] it must be -2 to 1"));
  // 3 * logistic(0)
  const DeviceTensor pair(kType, {2}, {3, 0}), from(kType, {1}, {4}), to(kType, {2});
  ASSERT_EQ(CALL(GluBackward, from, pair, 0, to).result, "ran");
  EXPECT_THAT(to.Values(), ElementsAre(2, 3));
}

const BoolArray kAll{{1, 1, 1}};
const BoolArray kNoInput{{0, 1, 1}};

// Of [-1, 1], whose mean is 0 and whose variance is 1: the gradient loses its mean and what is
// along x.
TEST(NormGradient, LosesMeanAndDirection) {
  const DeviceTensor g(kType, {2, 2}, {1, 3, 2, -2}), x(kType, {2, 2}, {-1, 1, -1, 1});
  const DeviceTensor mean(kType, {2, 1}, {0, 0}), rstd(kType, {2, 1}, {1, 1}),
      weight(kType, {2}, {1, 1});
  const DeviceTensor gx(kType, {2, 2}), gw(kType, {2}), gb(kType, {2});
  ASSERT_EQ(
      CALL(LayerNormBackward, g, x, HostInts({2}), mean, rstd, weight, kNone, &kAll, gx, gw, gb)
          .result,
      "ran");
  EXPECT_THAT(gx.Values(), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(gw.Values(), ElementsAre(-3, 1));
  EXPECT_THAT(gb.Values(), ElementsAre(3, 1));
  EXPECT_THAT(
      CALL(LayerNormBackward, g, x, HostInts({2}), mean, rstd, weight, kNone, nullptr, gx, gw, gb)
          .result,
      HasSubstr("outputMask"));
  const BoolArray only_input{{1, 0, 0}};
  ASSERT_EQ(CALL(LayerNormBackward, g, x, HostInts({2}), mean, rstd, kNone, kNone, &only_input, gx,
                 kNone, kNone)
                .result,
            "ran");
  EXPECT_THAT(gx.Values(), ElementsAre(0, 0, 0, 0));
  // The same numbers as 2 pictures of 2 channels in one group.
  const DeviceTensor g3(kType, {2, 2, 1}, {1, 3, 2, -2}), x3(kType, {2, 2, 1}, {-1, 1, -1, 1}),
      gx3(kType, {2, 2, 1});
  ASSERT_EQ(
      CALL(GroupNormBackward, g3, x3, mean, rstd, weight, 2, 2, 1, 1, &kNoInput, kNone, gw, gb)
          .result,
      "ran");
  EXPECT_THAT(gw.Values(), ElementsAre(-3, 1));
  ASSERT_EQ(
      CALL(GroupNormBackward, g3, x3, mean, rstd, weight, 2, 2, 1, 1, &kAll, gx3, gw, gb).result,
      "ran");
  EXPECT_THAT(gx3.Values(), ElementsAre(0, 0, 0, 0));
}

TEST(NormGradient, OfABatch) {
  const DeviceTensor g(kType, {2, 1}, {1, 3}), x(kType, {2, 1}, {-1, 1});
  const DeviceTensor zero(kType, {1}, {0}), one(kType, {1}, {1});
  const DeviceTensor gx(kType, {2, 1}), gw(kType, {1}), gb(kType, {1});
  ASSERT_EQ(
      CALL(BatchNormBackward, g, x, one, zero, one, zero, one, true, 0.0, &kAll, gx, gw, gb).result,
      "ran");
  EXPECT_THAT(gx.Values(), ElementsAre(0, 0));
  EXPECT_EQ(gw.Values()[0], 2);
  EXPECT_EQ(gb.Values()[0], 4);
  ASSERT_EQ(CALL(BatchNormBackward, g, x, one, zero, one, zero, one, false, 0.0, &kAll, gx, gw, gb)
                .result,
            "ran");
  EXPECT_THAT(gx.Values(), ElementsAre(1, 3));
}

TEST(ConvolutionGradient, OfOneDimension) {
  const DeviceTensor x(kType, {1, 1, 3}, {1, 2, 3}), w(kType, {1, 1, 2}, {10, 20}),
      g(kType, {1, 1, 2}, {1, -1});
  const DeviceTensor gx(kType, {1, 1, 3}), gw(kType, {1, 1, 2}), gb(kType, {1});
  const HostInts ones({1}), zeros({0});
  const auto call = [&](int groups, const BoolArray* mask) {
    return CALL(ConvolutionBackward, g, x, w, ones, ones, zeros, ones, false, zeros, groups, mask,
                0, gx, gw, gb)
        .result;
  };
  ASSERT_EQ(call(1, &kAll), "ran");
  EXPECT_THAT(gx.Values(), ElementsAre(10, 10, -20));
  EXPECT_THAT(gw.Values(), ElementsAre(-1, -1));
  EXPECT_EQ(gb.Values()[0], 0);
  EXPECT_THAT(call(0, &kAll), HasSubstr("'groups' is 0; it must be at least 1"));
  const BoolArray two{{1, 1}};
  EXPECT_THAT(call(1, &two), HasSubstr("'outputMask' has 2 values; it must have 3"));
}

TEST(EmbeddingGradient, SumsRowsOfOneIndex) {
  const DeviceTensor g(kType, {3, 2}, {1, 2, 3, 4, 5, 6}), at(DType::kInt64, {3}, {2, 0, 2}),
      out(kType, {3, 2});
  ASSERT_EQ(CALL(EmbeddingDenseBackward, g, at, 3, static_cast<uint64_t>(-1), false, out).result,
            "ran");
  EXPECT_THAT(out.Values(), ElementsAre(3, 4, 0, 0, 6, 8));
  ASSERT_EQ(CALL(EmbeddingDenseBackward, g, at, 3, 0, true, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0, 0, 0, 3, 4));
}

TEST(AdamW, TakesItsFirstStep) {
  const DeviceTensor p(kType, {2}, {1, -1}), m(kType, {2}, {0, 0}), v(kType, {2}, {0, 0}),
      most(kType, {2}, {0, 0});
  const DeviceTensor g(kType, {2}, {4, -2}), step(kType, {1}, {0});
  ASSERT_EQ(
      CALL(ApplyAdamWV2, p, m, v, kNone, g, step, 0.125F, 0.5F, 0.75F, 0.5F, 0.0F, false, false)
          .result,
      "ran");
  EXPECT_THAT(m.Values(), ElementsAre(2, -1));
  EXPECT_THAT(v.Values(), ElementsAre(4, 1));
  // The first step is the rate, against the sign of the gradient, after a decay of rate * 0.5.
  EXPECT_THAT(p.Values(), ElementsAre(0.8125, -0.8125));
  ASSERT_EQ(CALL(ApplyAdamWV2, p, m, v, most, g, step, 0.125F, 0.5F, 0.75F, 0.0F, 0.0F, true, true)
                .result,
            "ran");
  EXPECT_THAT(most.Values(), ElementsAre(7, 1.75));
  EXPECT_THAT(m.Values(), ElementsAre(-1, 0.5));
  const DeviceTensor far(kType, {3}, {1, 2, 3});
  EXPECT_THAT(
      CALL(ApplyAdamWV2, p, m, v, kNone, far, step, 0.1F, 0.5F, 0.75F, 0.0F, 0.0F, false, false)
          .result,
      HasSubstr("'grad' is float32 [3], and 'varRef' is float32 [2]; both must have one shape"));
}

}  // namespace
}  // namespace softnpu
