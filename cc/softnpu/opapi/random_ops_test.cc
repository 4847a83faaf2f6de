// cc/softnpu/opapi/random_ops_test.cc: ranges, moments and repeatability of random numbers.
//
// Bounds of moments: a mean of n independent draws with deviation s lies within 6 s / sqrt(n) of
// the expectation but for 2e-9 of all generators; seeds are fixed, so the tests are repeatable.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(InplaceUniform, Tensor*, double, double, uint64_t, uint64_t)
ACLNN_DECLARE(InplaceNormal, Tensor*, float, float, int64_t, int64_t)
ACLNN_DECLARE(InplaceRandom, Tensor*, int64_t, int64_t, int64_t, int64_t)

namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr int64_t kDraws = 20000;

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double Variance(const std::vector<double>& values) {
  const double mean = Mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum / static_cast<double>(values.size());
}

double Bound(double deviation) { return 6 * deviation / std::sqrt(static_cast<double>(kDraws)); }

std::vector<double> Uniform(uint64_t seed, uint64_t offset) {
  const DeviceTensor x(DType::kFloat, {kDraws});
  const Outcome outcome = CALL(InplaceUniform, x, -2.0, 6.0, seed, offset);
  EXPECT_EQ(outcome.result, "ran");
  EXPECT_THAT(outcome.accesses, ElementsAre("self writes [20000]"));
  return x.Values();
}

// Of [a, b): the mean is the middle, the variance (b - a)^2 / 12, the fourth moment about the mean
// (b - a)^4 / 80.
TEST(Uniform, FillsItsRange) {
  const std::vector<double> values = Uniform(7, 0);
  EXPECT_THAT(values, Each(::testing::AllOf(::testing::Ge(-2), ::testing::Lt(6))));
  EXPECT_NEAR(Mean(values), 2, Bound(8 / std::sqrt(12.0)));
  EXPECT_NEAR(Variance(values), 64.0 / 12, Bound(64 * std::sqrt(1.0 / 80 - 1.0 / 144)));
  EXPECT_LT(*std::min_element(values.begin(), values.end()), -1.99);
  EXPECT_GT(*std::max_element(values.begin(), values.end()), 5.99);
}

TEST(Uniform, SeedAndOffsetChooseTheNumbers) {
  const std::vector<double> values = Uniform(7, 0);
  EXPECT_EQ(Uniform(7, 0), values);
  EXPECT_NE(Uniform(8, 0), values);
  EXPECT_NE(Uniform(7, 4), values);
}

// Of the normal distribution: a deviation of the variance's estimate of s^2 sqrt(2); 68.27% lie
// within one deviation.
TEST(Normal, HasItsMeanAndDeviation) {
  const DeviceTensor x(DType::kFloat, {kDraws});
  ASSERT_EQ(CALL(InplaceNormal, x, 3.0F, 2.0F, 11, 0).result, "ran");
  const std::vector<double> values = x.Values();
  EXPECT_NEAR(Mean(values), 3, Bound(2));
  EXPECT_NEAR(Variance(values), 4, Bound(4 * std::sqrt(2.0)));
  const auto within = std::count_if(values.begin(), values.end(),
                                    [](double value) { return std::fabs(value - 3) < 2; });
  EXPECT_NEAR(static_cast<double>(within) / kDraws, 0.6827, Bound(std::sqrt(0.6827 * 0.3173)));
}

TEST(Normal, ADeviationOfZeroGivesTheMean) {
  const DeviceTensor x(DType::kHalf, {5});
  ASSERT_EQ(CALL(InplaceNormal, x, 1.5F, 0.0F, 1, 2).result, "ran");
  EXPECT_THAT(x.Values(), Each(1.5));
}

TEST(Random, GivesEveryIntegerOfItsRange) {
  const DeviceTensor x(DType::kInt64, {1000});
  ASSERT_EQ(CALL(InplaceRandom, x, -2, 3, 5, 0).result, "ran");
  const std::vector<double> values = x.Values();
  EXPECT_EQ(std::set<double>(values.begin(), values.end()), (std::set<double>{-2, -1, 0, 1, 2}));
}

TEST(Random, TakesARangeWiderThanAnInteger) {
  const DeviceTensor x(DType::kInt64, {100});
  ASSERT_EQ(CALL(InplaceRandom, x, std::numeric_limits<int64_t>::min(),
                 std::numeric_limits<int64_t>::max(), 5, 0)
                .result,
            "ran");
  const std::vector<double> values = x.Values();
  EXPECT_LT(*std::min_element(values.begin(), values.end()), -0x1p62);
  EXPECT_GT(*std::max_element(values.begin(), values.end()), 0x1p62);
}

TEST(Random, OneNumberIsARangeToo) {
  const DeviceTensor x(DType::kInt32, {4});
  ASSERT_EQ(CALL(InplaceRandom, x, 9, 10, 5, 0).result, "ran");
  EXPECT_THAT(x.Values(), Each(9));
}

TEST(Random, RefusesByName) {
  const DeviceTensor whole(DType::kInt32, {2});
  const DeviceTensor real(DType::kFloat, {2});
  EXPECT_EQ(CALL(InplaceUniform, whole, 0.0, 1.0, 1, 0).result,
            "refused 161002: aclnnInplaceUniform: 'self' is int32 [2]");
  EXPECT_EQ(CALL(InplaceUniform, real, 2.0, 1.0, 1, 0).result,
            "refused 161002: aclnnInplaceUniform: the range is [2, 1)");
  EXPECT_EQ(CALL(InplaceNormal, real, 0.0F, -0.5F, 1, 0).result,
            "refused 161002: aclnnInplaceNormal: 'std' is -0.5, it must not be negative");
  EXPECT_EQ(CALL(InplaceRandom, whole, 5, 5, 1, 0).result,
            "refused 161002: aclnnInplaceRandom: the range is [5, 5)");
}

}  // namespace
}  // namespace softnpu
