// cc/softnpu/opapi/cross_entropy_ops_test.cc: scores whose probabilities are known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(CrossEntropyLoss, const Tensor*, const Tensor*, const Tensor*, const char*, int64_t,
              double, double, bool, Tensor*, Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(CrossEntropyLossGrad, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, const Tensor*, const char*, int64_t, double, double, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor* const kNone = nullptr;
constexpr int64_t kNoClass = -100;
const double kLog2 = std::log(2.0);
const double kLog4 = std::log(4.0);

// Probabilities 1/2 and 1/2, and 1/4 and 3/4.
struct Given {
  DeviceTensor scores{DType::kFloat, {2, 2}, {0, 0, 0, std::log(3.0)}};
  DeviceTensor target{DType::kInt64, {2}, {1, 0}};
  DeviceTensor weight{DType::kFloat, {2}, {0.5, 1}};
  DeviceTensor one{DType::kFloat, {1}};
  DeviceTensor two{DType::kFloat, {2}};
  DeviceTensor logs{DType::kFloat, {2, 2}};
};

double Float(double value) { return Rounded(DType::kFloat, value); }

TEST(CrossEntropyLoss, IsMinusTheLogarithm) {
  const Given g;
  const Outcome outcome = CALL(CrossEntropyLoss, g.scores, g.target, kNone, "none", kNoClass, 0.0,
                               0.0, false, g.two, g.logs, kNone, kNone);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(g.two.Values(), ElementsAre(Float(kLog2), Float(kLog4)));
  EXPECT_NEAR(g.logs.Values()[3], std::log(0.75), 1e-7) << "the score is rounded to float32";
  EXPECT_THAT(outcome.accesses, ElementsAre("input reads [2, 2]", "target reads [2]",
                                            "lossOut writes [2]", "logProbOut writes [2, 2]"));
  ASSERT_EQ(CALL(CrossEntropyLoss, g.scores, g.target, g.weight, "sum", kNoClass, 0.0, 0.0, false,
                 g.one, g.logs, kNone, kNone)
                .result,
            "ran");
  EXPECT_THAT(g.one.Values(), ElementsAre(Float(kLog2 + kLog4 / 2)));
  ASSERT_EQ(CALL(CrossEntropyLoss, g.scores, g.target, kNone, "mean", 0, 0.0, 0.0, false, g.one,
                 g.logs, kNone, kNone)
                .result,
            "ran");
  EXPECT_THAT(g.one.Values(), ElementsAre(Float(kLog2))) << "class 0 does not count";
}

TEST(CrossEntropyLossGrad, IsTheProbabilityAboveTheTarget) {
  const Given g;
  const DeviceTensor logs(DType::kFloat, {2, 2}, {-kLog2, -kLog2, -kLog4, std::log(0.75)});
  const DeviceTensor slopes(DType::kFloat, {2}, {4, 8});
  const DeviceTensor slope(DType::kFloat, {}, {8});
  ASSERT_EQ(CALL(CrossEntropyLossGrad, slopes, logs, g.target, kNone, kNone, kNone, "none",
                 kNoClass, 0.0, 0.0, g.logs)
                .result,
            "ran");
  const std::vector<double> none = g.logs.Values();
  const std::vector<double> want = {2, -2, -6, 6};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(none[i], want[i], 1e-6);
  ASSERT_EQ(CALL(CrossEntropyLossGrad, slope, logs, g.target, kNone, kNone, kNone, "mean", 1, 0.0,
                 0.0, g.logs)
                .result,
            "ran");
  const std::vector<double> mean = g.logs.Values();
  EXPECT_EQ(mean[0], 0) << "class 1 does not count";
  EXPECT_NEAR(mean[2], -6, 1e-6);
}

TEST(CrossEntropyLoss, RefusesByName) {
  const Given g;
  const DeviceTensor outside(DType::kInt64, {2}, {1, 2});
  const auto error = [&](const DeviceTensor& target, const char* reduction, double smoothing,
                         double scale, bool zloss, const DeviceTensor& loss) {
    return CALL(CrossEntropyLoss, g.scores, target, kNone, reduction, kNoClass, smoothing, scale,
                zloss, loss, g.logs, kNone, kNone)
        .result;
  };
  EXPECT_THAT(error(g.target, "max", 0, 0, false, g.one),
              HasSubstr("'reduction' is 'max'; it must be 'none', 'mean' or 'sum'"));
  EXPECT_THAT(error(g.target, "mean", 1, 0, false, g.one),
              HasSubstr("'labelSmoothing' is 1; it must be at least 0 and below 1"));
  EXPECT_THAT(error(g.target, "mean", 0, 0.5, false, g.one),
              HasSubstr("'lseSquareScaleForZloss' is 0.5; it must be 0"));
  EXPECT_THAT(error(g.target, "mean", 0, 0, true, g.one), HasSubstr("'returnZloss' is true"));
  EXPECT_THAT(error(g.target, "none", 0, 0, false, g.one),
              HasSubstr("'lossOut' is float32 [1]; it must have 2 elements"));
  EXPECT_THAT(error(outside, "mean", 0, 0, false, g.one),
              HasSubstr("'target' holds 2 at position 1, the limit is 2"));
}

}  // namespace
}  // namespace softnpu
