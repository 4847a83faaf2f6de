// cc/softnpu/opapi/random_ops_test.cc: ranges, moments and repeatability of random numbers.
//
// Bounds of moments: a mean of n independent draws with deviation s lies within 6 s / sqrt(n) of
// the expectation but for 2e-9 of all generators; seeds are fixed, so the tests are repeatable.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(InplaceUniform, Tensor*, double, double, uint64_t, uint64_t)
ACLNN_DECLARE(InplaceNormal, Tensor*, float, float, int64_t, int64_t)
ACLNN_DECLARE(InplaceRandom, Tensor*, int64_t, int64_t, int64_t, int64_t)
ACLNN_DECLARE(Multinomial, const Tensor*, int64_t, bool, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(Randperm, int64_t, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(NormalTensorTensor, const Tensor*, const Tensor*, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(NormalTensorFloat, const Tensor*, float, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(NormalFloatTensor, float, const Tensor*, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(NormalFloatFloat, float, float, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(DropoutGenMaskV2, const IntArray*, double, int64_t, int64_t, int32_t, Tensor*)
ACLNN_DECLARE(DropoutDoMask, const Tensor*, const Tensor*, double, Tensor*)
ACLNN_DECLARE(InplaceBernoulli, Tensor*, const Scalar*, int64_t, int64_t)
ACLNN_DECLARE(InplaceBernoulliTensor, Tensor*, const Tensor*, int64_t, int64_t)

namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

// The share of a column is its weight: a mean of indicators with deviation below 1/2.
TEST(Multinomial, DrawsColumnsByTheirWeights) {
  const DeviceTensor weights(DType::kFloat, {2, 4}, {1, 0, 2, 5, 0, 3, 3, 0});
  const DeviceTensor out(DType::kInt64, {2, kDraws});
  ASSERT_EQ(CALL(Multinomial, weights, kDraws, true, 3, 0, out).result, "ran");
  const std::vector<int64_t> drawn = out.Integers();
  const std::vector<std::vector<double>> shares = {{0.125, 0, 0.25, 0.625}, {0, 0.5, 0.5, 0}};
  for (int64_t row = 0; row < 2; ++row) {
    for (int64_t column = 0; column < 4; ++column) {
      const auto begin = drawn.begin() + row * kDraws;
      const auto count = static_cast<double>(std::count(begin, begin + kDraws, column));
      const double share = shares[static_cast<size_t>(row)][static_cast<size_t>(column)];
      EXPECT_NEAR(count / kDraws, share, share == 0 ? 0 : Bound(0.5)) << row << ", " << column;
    }
  }
}

// Without replacement, all columns with a weight are there once, heavy ones first more often.
TEST(Multinomial, DrawsNoColumnTwice) {
  const DeviceTensor weights(DType::kHalf, {3}, {1, 0, 3});
  int heavy_first = 0;
  for (int64_t seed = 0; seed < 2000; ++seed) {
    const DeviceTensor out(DType::kInt64, {2});
    ASSERT_EQ(CALL(Multinomial, weights, 2, false, seed, 0, out).result, "ran");
    const std::vector<int64_t> drawn = out.Integers();
    EXPECT_THAT(drawn, ::testing::UnorderedElementsAre(0, 2));
    heavy_first += drawn[0] == 2;
  }
  EXPECT_NEAR(heavy_first / 2000.0, 0.75, 6 * std::sqrt(0.75 * 0.25 / 2000));
}

TEST(Multinomial, RefusesWhatItCannotDraw) {
  const DeviceTensor weights(DType::kFloat, {2, 3}, {1, 0, 2, 1, 1, 1});
  const DeviceTensor four(DType::kInt64, {2, 4});
  EXPECT_EQ(CALL(Multinomial, weights, 4, false, 1, 0, four).result,
            "refused 161002: aclnnMultinomial: 'numsamples' is 4, 'self' is float32 [2, 3] and "
            "nothing is drawn twice");
  const DeviceTensor floats(DType::kFloat, {2, 2});
  EXPECT_THAT(CALL(Multinomial, weights, 2, true, 1, 0, floats).result,
              ::testing::HasSubstr("'out' is float32 [2, 2]"));
}

TEST(Multinomial, StopsAtWeightsThatAreNone) {
  const DeviceTensor out(DType::kInt64, {2});
  const DeviceTensor negative(DType::kFloat, {3}, {1, -1, 2});
  EXPECT_THAT(CALL(Multinomial, negative, 2, true, 1, 0, out).result,
              ::testing::HasSubstr("the weight -1 in row 0, column 1"));
  const DeviceTensor nothing(DType::kFloat, {3}, {0, 0, 0});
  EXPECT_THAT(CALL(Multinomial, nothing, 2, true, 1, 0, out).result,
              ::testing::HasSubstr("no weight above 0 in row 0"));
  const DeviceTensor one(DType::kFloat, {3}, {0, 1, 0});
  EXPECT_THAT(CALL(Multinomial, one, 2, false, 1, 0, out).result,
              ::testing::HasSubstr("1 weights above 0 in row 0, 2 are drawn"));
}

// Each of the 6 orders of 3 numbers comes equally often.
TEST(Randperm, IsAnyOrder) {
  std::map<std::vector<int64_t>, int> seen;
  for (int64_t seed = 0; seed < 6000; ++seed) {
    const DeviceTensor out(DType::kInt64, {3});
    ASSERT_EQ(CALL(Randperm, 3, seed, 0, out).result, "ran");
    ++seen[out.Integers()];
  }
  ASSERT_EQ(seen.size(), 6U);
  for (const auto& [order, count] : seen) {
    EXPECT_NEAR(count, 1000, 6 * std::sqrt(6000.0 * 5 / 36));
    EXPECT_THAT(order, ::testing::UnorderedElementsAre(0, 1, 2));
  }
  const DeviceTensor four(DType::kInt32, {4});
  EXPECT_EQ(CALL(Randperm, 3, 1, 0, four).result,
            "refused 161002: aclnnRandperm: 'n' is 3, 'out' is int32 [4]");
}

constexpr int32_t kFloat32 = static_cast<int32_t>(DType::kFloat);

int Ones(const DeviceTensor& mask) {
  int ones = 0;
  for (const int64_t byte : mask.Integers()) ones += std::popcount(static_cast<uint8_t>(byte));
  return ones;
}

TEST(DropoutGenMaskV2, KeepsAPart) {
  const HostInts shape({64, 128});
  const DeviceTensor mask(DType::kUint8, {1024});
  ASSERT_EQ(CALL(DropoutGenMaskV2, shape, 0.25, 1, 2, kFloat32, mask).result, "ran");
  // 8192 draws: five deviations of sqrt(8192 * 3 / 16) are 196.
  EXPECT_NEAR(Ones(mask), 6144, 196);
  const std::vector<int64_t> first = mask.Integers();
  ASSERT_EQ(CALL(DropoutGenMaskV2, shape, 0.25, 1, 2, kFloat32, mask).result, "ran");
  EXPECT_EQ(mask.Integers(), first) << "a seed gives one mask";
  ASSERT_EQ(CALL(DropoutGenMaskV2, shape, 1.0, 1, 2, kFloat32, mask).result, "ran");
  EXPECT_EQ(Ones(mask), 0);
  ASSERT_EQ(CALL(DropoutGenMaskV2, shape, 0.0, 1, 2, kFloat32, mask).result, "ran");
  EXPECT_EQ(Ones(mask), 8192);
}

TEST(DropoutDoMask, ScalesWhatStays) {
  const DeviceTensor x(DType::kHalf, {3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  std::vector<double> bytes(16, 0);
  bytes[0] = 0x81;  // elements 0 and 7
  bytes[1] = 1;     // element 8
  const DeviceTensor mask(DType::kUint8, {16}, bytes);
  const DeviceTensor out(DType::kHalf, {3, 3});
  ASSERT_EQ(CALL(DropoutDoMask, x, mask, 0.5, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 0, 0, 0, 0, 0, 0, 16, 18));
}

TEST(Dropout, RefusesByName) {
  const HostInts shape({129});
  const DeviceTensor mask(DType::kUint8, {16});
  const DeviceTensor x(DType::kFloat, {1}, {1});
  const DeviceTensor two(DType::kFloat, {2});
  const DeviceTensor set(DType::kUint8, {16}, std::vector<double>(16, 0));
  EXPECT_THAT(CALL(DropoutGenMaskV2, shape, 0.5, 1, 2, kFloat32, mask).result,
              HasSubstr("'out' is uint8 [16]; for 129 elements it must have at least 32 bytes"));
  EXPECT_THAT(CALL(DropoutGenMaskV2, HostInts({1}), 1.5, 1, 2, kFloat32, mask).result,
              HasSubstr("'prob' is 1.5; it must be 0 to 1"));
  EXPECT_THAT(CALL(DropoutDoMask, x, set, -1.0, x).result, HasSubstr("'prob' is -1"));
  EXPECT_THAT(CALL(DropoutDoMask, x, set, 0.5, two).result,
              HasSubstr("'out' is float32 [2], and 'self' is float32 [1]"));
}

TEST(Bernoulli, DrawsOnesAndZeros) {
  const HostScalar some(DType::kFloat, 0.25);
  const HostScalar never(DType::kFloat, 0);
  const HostScalar wrong(DType::kFloat, 2);
  const DeviceTensor x(DType::kInt8, {8192});
  ASSERT_EQ(CALL(InplaceBernoulli, x, some, 1, 2).result, "ran");
  int ones = 0;
  for (const double value : x.Values()) {
    EXPECT_TRUE(value == 0 || value == 1);
    ones += value == 1;
  }
  EXPECT_NEAR(ones, 2048, 196);
  ASSERT_EQ(CALL(InplaceBernoulli, x, never, 1, 2).result, "ran");
  EXPECT_THAT(x.Values(), Each(0));
  EXPECT_THAT(CALL(InplaceBernoulli, x, wrong, 1, 2).result,
              HasSubstr("'prob' is 2; it must be 0 to 1"));
  const DeviceTensor each(DType::kFloat, {2, 2});
  const DeviceTensor sure(DType::kFloat, {2}, {0, 1});
  ASSERT_EQ(CALL(InplaceBernoulliTensor, each, sure, 1, 2).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(0, 1, 0, 1));
  const DeviceTensor unsure(DType::kFloat, {2}, {0, 1.5});
  EXPECT_THAT(CALL(InplaceBernoulliTensor, each, unsure, 1, 2).result,
              HasSubstr("'prob' holds 1.5; it must be 0 to 1"));
}

// One number is drawn for an element, whichever of the moments are tensors.
TEST(Normal, TakesMomentsFromTensorsOrNumbers) {
  const DeviceTensor means(DType::kFloat, {2}, {10, 1000});
  const DeviceTensor deviations(DType::kFloat, {2}, {0, 2});
  const DeviceTensor out(DType::kFloat, {2});
  ASSERT_EQ(CALL(NormalFloatFloat, 0.0F, 1.0F, 1, 2, out).result, "ran");
  const std::vector<double> drawn = out.Values();
  ASSERT_EQ(CALL(NormalTensorTensor, means, deviations, 1, 2, out).result, "ran");
  EXPECT_EQ(out.Values()[0], 10);
  EXPECT_NEAR(out.Values()[1], 1000 + 2 * drawn[1], 1e-4) << "both are rounded to float32";
  ASSERT_EQ(CALL(NormalTensorFloat, means, 2.0F, 1, 2, out).result, "ran");
  EXPECT_NEAR(out.Values()[0], 10 + 2 * drawn[0], 1e-4);
  ASSERT_EQ(CALL(NormalFloatTensor, 5.0F, deviations, 1, 2, out).result, "ran");
  EXPECT_EQ(out.Values()[0], 5);
  EXPECT_NEAR(out.Values()[1], 5 + 2 * drawn[1], 1e-4);
  const DeviceTensor wrong(DType::kFloat, {2}, {1, -1});
  EXPECT_THAT(CALL(NormalTensorTensor, means, wrong, 1, 2, out).result,
              HasSubstr("'std' holds -1, it must not be negative"));
  EXPECT_THAT(CALL(NormalFloatFloat, 0.0F, -1.0F, 1, 2, out).result,
              HasSubstr("'std' is -1, it must not be negative"));
}

}  // namespace
}  // namespace softnpu
