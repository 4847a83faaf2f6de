// cc/softnpu/opapi/layer_norm_ops_test.cc: layer normalisation of rows with known mean and
// deviation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(LayerNorm, const Tensor*, const IntArray*, const Tensor*, const Tensor*, double,
              Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(FastLayerNorm, const Tensor*, const IntArray*, const Tensor*, const Tensor*, double,
              Tensor*, Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;

Tensor* const kNone = nullptr;
// Makes the variance of the first row, 3, a square: 3 + 1 = 4.
constexpr double kEpsilon = 1;

// Row 1: mean 3, squared distances 9, 1, 1, 1, so variance 3. Row 2: mean 0, variance 8 (+ 1 = 9).
const std::vector<double> kRows = {0, 4, 4, 4, -4, 4, 0, 0};

TEST(LayerNorm, IsDistanceOverDeviation) {
  const HostInts shape({4});
  const DeviceTensor x(DType::kFloat, {2, 4}, kRows);
  const DeviceTensor out(DType::kFloat, {2, 4});
  const DeviceTensor mean(DType::kFloat, {2, 1});
  const DeviceTensor rstd(DType::kFloat, {2, 1});
  const Outcome outcome = CALL(LayerNorm, x, shape, kNone, kNone, kEpsilon, out, mean, rstd);
  ASSERT_EQ(outcome.result, "ran");
  const double third = Rounded(DType::kFloat, 4.0 / 3);
  EXPECT_THAT(out.Values(), ElementsAre(-1.5, 0.5, 0.5, 0.5, -third, third, 0, 0));
  EXPECT_THAT(mean.Values(), ElementsAre(3, 0));
  EXPECT_THAT(rstd.Values(), ElementsAre(0.5, Rounded(DType::kFloat, 1.0 / 3)));
  EXPECT_THAT(outcome.accesses, ElementsAre("input reads [2, 4]", "out writes [2, 4]",
                                            "mean writes [2, 1]", "rstd writes [2, 1]"));
}

TEST(LayerNorm, WeightAndBiasActOnEachElement) {
  const HostInts shape({4});
  const DeviceTensor x(DType::kHalf, {1, 4}, {0, 4, 4, 4});
  const DeviceTensor weight(DType::kHalf, {4}, {2, 4, -2, 0});
  const DeviceTensor bias(DType::kHalf, {4}, {1, 10, 100, -7});
  const DeviceTensor out(DType::kHalf, {1, 4});
  const Outcome outcome = CALL(FastLayerNorm, x, shape, weight, bias, kEpsilon, out, kNone, kNone);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-2, 12, 99, -7));
  EXPECT_THAT(outcome.accesses, ElementsAre("input reads [1, 4]", "out writes [1, 4]",
                                            "weight reads [4]", "bias reads [4]"));
}

TEST(LayerNorm, NormalisesSeveralDimensions) {
  const HostInts shape({2, 2});
  const DeviceTensor x(DType::kBfloat16, {2, 2, 2}, kRows);
  const DeviceTensor out(DType::kBfloat16, {2, 2, 2});
  const DeviceTensor mean(DType::kFloat, {2});
  ASSERT_EQ(CALL(LayerNorm, x, shape, kNone, kNone, kEpsilon, out, mean, kNone).result, "ran");
  const double third = Rounded(DType::kBfloat16, 4.0 / 3);
  EXPECT_THAT(out.Values(), ElementsAre(-1.5, 0.5, 0.5, 0.5, -third, third, 0, 0));
  EXPECT_THAT(mean.Values(), ElementsAre(3, 0));
}

// [[0, 4], [4, 4]] of columns: rows 0, 4 and 4, 4 have means 2 and 4, variances 4 and 0.
TEST(LayerNorm, FollowsStrides) {
  const HostInts shape({2});
  const DeviceTensor x(DType::kFloat, {2, 2}, {1, 2}, 0, {0, 4, 4, 4});
  const DeviceTensor out(DType::kFloat, {2, 2});
  ASSERT_EQ(CALL(LayerNorm, x, shape, kNone, kNone, 12.0, out, kNone, kNone).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-0.5, 0.5, 0, 0));
}

// In float32 the sum of squares about 0 would lose the variance of values far from 0.
TEST(LayerNorm, KeepsTheDigitsOfAFarMean) {
  const HostInts shape({4});
  const double far = 1 << 22;
  const DeviceTensor x(DType::kFloat, {1, 4}, {far, far + 4, far + 4, far + 4});
  const DeviceTensor out(DType::kFloat, {1, 4});
  ASSERT_EQ(CALL(LayerNorm, x, shape, kNone, kNone, kEpsilon, out, kNone, kNone).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-1.5, 0.5, 0.5, 0.5));
}

TEST(LayerNorm, RowsWithoutElementsHaveNoMean) {
  const HostInts shape({0});
  const DeviceTensor x(DType::kFloat, {2, 0}, {});
  const DeviceTensor out(DType::kFloat, {2, 0});
  const DeviceTensor mean(DType::kFloat, {2, 1});
  ASSERT_EQ(CALL(LayerNorm, x, shape, kNone, kNone, kEpsilon, out, mean, kNone).result, "ran");
  EXPECT_THAT(mean.Values(), ::testing::Each(::testing::IsNan()));
}

TEST(LayerNorm, RefusesByName) {
  const HostInts shape({4});
  const HostInts rows({2});
  const DeviceTensor x(DType::kFloat, {2, 4}, kRows);
  const DeviceTensor out(DType::kFloat, {2, 4});
  const DeviceTensor half(DType::kHalf, {2, 4}, kRows);
  const DeviceTensor weight(DType::kHalf, {4}, {1, 1, 1, 1});
  const DeviceTensor short_bias(DType::kFloat, {3}, {1, 1, 1});
  const DeviceTensor mean(DType::kFloat, {3});
  const DeviceTensor whole(DType::kInt32, {2, 4}, kRows);
  const auto run = [&](const Tensor* input, const IntArray* over, const Tensor* scale,
                       const Tensor* shift, Tensor* to, Tensor* average) {
    return CALL(LayerNorm, input, over, scale, shift, kEpsilon, to, average, kNone).result;
  };
  EXPECT_EQ(run(whole, shape, kNone, kNone, out, kNone),
            "refused 161002: aclnnLayerNorm: 'input' is int32 [2, 4], it must be float32, float16 "
            "or bfloat16");
  EXPECT_EQ(run(half, shape, kNone, kNone, out, kNone),
            "refused 161002: aclnnLayerNorm: 'out' is float32 [2, 4], 'input' is float16 [2, 4]");
  EXPECT_EQ(
      run(x, rows, kNone, kNone, out, kNone),
      "refused 161002: aclnnLayerNorm: the normalized shape [2] does not end that of 'input', "
      "float32 [2, 4]");
  EXPECT_EQ(run(x, shape, weight, kNone, out, kNone),
            "refused 161002: aclnnLayerNorm: 'weight' is float16 [4], 'input' is float32 [2, 4]");
  EXPECT_EQ(run(x, shape, kNone, short_bias, out, kNone),
            "refused 161002: aclnnLayerNorm: 'bias' is float32 [3], the normalized shape is [4]");
  EXPECT_EQ(run(x, shape, kNone, kNone, out, mean),
            "refused 161002: aclnnLayerNorm: 'mean' is float32 [3], there are 2 rows");
  EXPECT_EQ(run(x, nullptr, kNone, kNone, out, kNone),
            "refused 161001: aclnnLayerNorm: the argument 'normalized_shape' is null");
}

}  // namespace
}  // namespace softnpu
