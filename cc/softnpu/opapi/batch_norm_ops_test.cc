// cc/softnpu/opapi/batch_norm_ops_test.cc: channels whose means and variances are known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(BatchNorm, const Tensor*, const Tensor*, const Tensor*, Tensor*, Tensor*, bool,
              double, double, Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(GroupNorm, const Tensor*, const Tensor*, const Tensor*, int64_t, int64_t, int64_t,
              int64_t, double, Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(GroupNormSilu, const Tensor*, const Tensor*, const Tensor*, int64_t, double, Tensor*,
              Tensor*, Tensor*)

namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor* const kNone = nullptr;

// Channel 0 has 1 and 5: mean 3, variance 4. Channel 1 has 0 and 6: mean 3, variance 9.
TEST(BatchNorm, TrainsOnChannels) {
  const DeviceTensor x(DType::kFloat, {2, 2}, {1, 0, 5, 6});
  const DeviceTensor weight(DType::kFloat, {2}, {10, 1});
  const DeviceTensor bias(DType::kFloat, {2}, {0, 100});
  const DeviceTensor mean(DType::kFloat, {2}, {1, 1});
  const DeviceTensor variance(DType::kFloat, {2}, {2, 2});
  const DeviceTensor out(DType::kFloat, {2, 2});
  const DeviceTensor saved_mean(DType::kFloat, {2});
  const DeviceTensor saved_invstd(DType::kFloat, {2});
  const Outcome outcome = CALL(BatchNorm, x, weight, bias, mean, variance, true, 0.5, 0.0, out,
                               saved_mean, saved_invstd);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-10, 99, 10, 101));
  EXPECT_THAT(saved_mean.Values(), ElementsAre(3, 3));
  EXPECT_THAT(saved_invstd.Values(), ElementsAre(0.5, Rounded(DType::kFloat, 1.0 / 3)));
  EXPECT_THAT(mean.Values(), ElementsAre(2, 2));
  // Half of 2, and half of the variance among two of a sample: 8 and 18.
  EXPECT_THAT(variance.Values(), ElementsAre(5, 10));
  EXPECT_THAT(outcome.accesses, Contains("runningVar reads writes [2]"));
}

TEST(BatchNorm, InfersWithRunningStatistics) {
  const DeviceTensor x(DType::kHalf, {1, 2, 2}, {1, 3, 0, 9});
  const DeviceTensor mean(DType::kFloat, {2}, {1, 0});
  const DeviceTensor variance(DType::kFloat, {2}, {4, 9});
  const DeviceTensor out(DType::kHalf, {1, 2, 2});
  const DeviceTensor unused(DType::kFloat, {2});
  ASSERT_EQ(
      CALL(BatchNorm, x, kNone, kNone, mean, variance, false, 0.5, 0.0, out, unused, unused).result,
      "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 1, 0, 3));
  EXPECT_THAT(mean.Values(), ElementsAre(1, 0));
  EXPECT_EQ(unused.Written(), "..");
}

TEST(BatchNorm, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {2, 2}, {1, 0, 5, 6});
  const DeviceTensor line(DType::kFloat, {2}, {1, 0});
  const DeviceTensor three(DType::kFloat, {3}, {1, 2, 3});
  const DeviceTensor out(DType::kFloat, {2, 2});
  const DeviceTensor half(DType::kHalf, {2, 2});
  const DeviceTensor saved(DType::kFloat, {2});
  EXPECT_THAT(
      CALL(BatchNorm, line, kNone, kNone, kNone, kNone, true, 0.1, 0.0, line, saved, saved).result,
      HasSubstr("'input' is float32 [2]; it must have 2 to 8 dimensions"));
  EXPECT_THAT(
      CALL(BatchNorm, x, three, kNone, kNone, kNone, true, 0.1, 0.0, out, saved, saved).result,
      HasSubstr("'weight' is float32 [3]; it must have 2 elements, as there are channels"));
  EXPECT_THAT(
      CALL(BatchNorm, x, kNone, kNone, kNone, kNone, false, 0.1, 0.0, out, saved, saved).result,
      HasSubstr("'runningMean' is null"));
  EXPECT_THAT(
      CALL(BatchNorm, x, kNone, kNone, kNone, kNone, true, 0.1, 0.0, half, saved, saved).result,
      HasSubstr("'output' is float16 [2, 2], and 'input' is float32 [2, 2]"));
}

// One group of two channels: 1, 3, 5, 7 have the mean 4 and the variance 5.
TEST(GroupNorm, NormalisesGroups) {
  const DeviceTensor x(DType::kFloat, {1, 2, 2}, {1, 3, 5, 7});
  const DeviceTensor gamma(DType::kFloat, {2}, {3, 6});
  const DeviceTensor beta(DType::kFloat, {2}, {0, 1});
  const DeviceTensor out(DType::kFloat, {1, 2, 2});
  const DeviceTensor mean(DType::kFloat, {1, 1});
  const DeviceTensor rstd(DType::kFloat, {1, 1});
  // With an eps of 4 the divisor is 3.
  ASSERT_EQ(CALL(GroupNorm, x, gamma, beta, 1, 2, 2, 1, 4.0, out, mean, rstd).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-3, -1, 3, 7));
  EXPECT_THAT(mean.Values(), ElementsAre(4));
  EXPECT_THAT(rstd.Values(), ElementsAre(Rounded(DType::kFloat, 1.0 / 3)));
}

TEST(GroupNorm, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {1, 2, 2}, {1, 3, 5, 7});
  const DeviceTensor half(DType::kHalf, {2}, {1, 1});
  const DeviceTensor out(DType::kFloat, {1, 2, 2});
  const DeviceTensor one(DType::kFloat, {1, 1});
  const auto error = [&](const Tensor* gamma, int64_t n, int64_t c, int64_t hxw, int64_t group,
                         double eps) {
    return CALL(GroupNorm, x, gamma, kNone, n, c, hxw, group, eps, out, one, one).result;
  };
  EXPECT_THAT(error(nullptr, 2, 2, 2, 1, 1), HasSubstr("'N' is 2; for a 'self' of float32 [1, 2, "
                                                       "2] it must be 1"));
  EXPECT_THAT(error(nullptr, 1, 1, 2, 1, 1), HasSubstr("'C' is 1"));
  EXPECT_THAT(error(nullptr, 1, 2, 1, 1, 1), HasSubstr("'HxW' is 1"));
  EXPECT_THAT(error(nullptr, 1, 2, 2, 3, 1), HasSubstr("'group' is 3; it must be at least 1"));
  EXPECT_THAT(error(nullptr, 1, 2, 2, 0, 1), HasSubstr("'group' is 0; it must be at least 1"));
  EXPECT_THAT(error(nullptr, 1, 2, 2, 1, 0), HasSubstr("'eps' is 0; it must be above 0"));
  EXPECT_THAT(error(nullptr, 1, 2, 2, 2, 1), HasSubstr("it must be [1, 2]"));
  EXPECT_THAT(error(half, 1, 2, 2, 1, 1), HasSubstr("'gamma' is float16 [2], and 'self'"));
}

TEST(GroupNormSilu, AppliesSiluToIt) {
  const DeviceTensor x(DType::kFloat, {1, 2, 2}, {1, 3, 5, 7});
  const DeviceTensor out(DType::kFloat, {1, 2, 2});
  const DeviceTensor mean(DType::kFloat, {1, 1});
  const DeviceTensor rstd(DType::kFloat, {1, 1});
  // With an eps of 4 the divisor is 3.
  ASSERT_EQ(CALL(GroupNormSilu, x, kNone, kNone, 1, 4.0, out, mean, rstd).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(Rounded(DType::kFloat, -1 / (1 + std::exp(1.0))),
                                        Rounded(DType::kFloat, -1.0 / 3 / (1 + std::exp(1.0 / 3))),
                                        Rounded(DType::kFloat, 1.0 / 3 / (1 + std::exp(-1.0 / 3))),
                                        Rounded(DType::kFloat, 1 / (1 + std::exp(-1.0)))));
  EXPECT_THAT(mean.Values(), ElementsAre(4));
  EXPECT_THAT(CALL(GroupNormSilu, x, kNone, kNone, 3, 4.0, out, mean, rstd).result,
              HasSubstr("'group' is 3; it must be at least 1 and divide the 2 channels"));
}

}  // namespace
}  // namespace softnpu
