// cc/softnpu/opapi/norm_ops_test.cc: RMS normalisation of rows with a known root, and SwiGLU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(RmsNorm, const Tensor*, const Tensor*, double, Tensor*, Tensor*)
ACLNN_DECLARE(AddRmsNorm, const Tensor*, const Tensor*, const Tensor*, double, Tensor*, Tensor*,
              Tensor*)
ACLNN_DECLARE(SwiGlu, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(GemmaRmsNorm, const Tensor*, const Tensor*, double, Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;

const std::vector<DType> kDtypes = {DType::kFloat, DType::kHalf, DType::kBfloat16};

// (1, 1, 1, 3): the mean of the squares is 3, + 1 = 4. (4, 0, 4, 0): 8 + 1 = 9.
TEST(RmsNorm, DividesByTheRootOfTheMeanSquare) {
  for (const DType dtype : kDtypes) {
    const DeviceTensor x(dtype, {2, 4}, {1, 1, 1, 3, 4, 0, 4, 0});
    const DeviceTensor gamma(dtype, {4}, {1, 2, -4, 1});
    const DeviceTensor y(dtype, {2, 4});
    const DeviceTensor rstd(DType::kFloat, {2, 1});
    const Outcome outcome = CALL(RmsNorm, x, gamma, 1.0, y, rstd);
    ASSERT_EQ(outcome.result, "ran");
    // The scale of the second row is the float32 next to 1/3; 4 times and -16 times it are exact.
    const auto third = static_cast<double>(1.0F / 3.0F);
    EXPECT_THAT(y.Values(), ElementsAre(0.5, 1, -2, 1.5, Rounded(dtype, 4 * third), 0,
                                        Rounded(dtype, -16 * third), 0));
    EXPECT_THAT(rstd.Values(), ElementsAre(0.5, third));
    EXPECT_THAT(outcome.accesses, ElementsAre("x reads [2, 4]", "gamma reads [4]",
                                              "y writes [2, 4]", "rstd writes [2, 1]"));
  }
}

TEST(RmsNorm, TakesSeveralDimensionsAndAWiderGamma) {
  const DeviceTensor x(DType::kHalf, {1, 2, 2}, {1, 1, 1, 3});
  const DeviceTensor gamma(DType::kFloat, {2, 2}, {1, 2, -4, 1});
  const DeviceTensor y(DType::kHalf, {1, 2, 2});
  const DeviceTensor rstd(DType::kFloat, {1});
  ASSERT_EQ(CALL(RmsNorm, x, gamma, 1.0, y, rstd).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(0.5, 1, -2, 1.5));
}

TEST(AddRmsNorm, NormalisesTheSum) {
  const DeviceTensor a(DType::kFloat, {1, 4}, {0, 3, -1, 5});
  const DeviceTensor b(DType::kFloat, {1, 4}, {1, -2, 2, -2});
  const DeviceTensor gamma(DType::kFloat, {4}, {1, 2, -4, 1});
  const DeviceTensor y(DType::kFloat, {1, 4});
  const DeviceTensor rstd(DType::kFloat, {1, 1});
  const DeviceTensor sum(DType::kFloat, {1, 4});
  const Outcome outcome = CALL(AddRmsNorm, a, b, gamma, 1.0, y, rstd, sum);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(sum.Values(), ElementsAre(1, 1, 1, 3));
  EXPECT_THAT(y.Values(), ElementsAre(0.5, 1, -2, 1.5));
  EXPECT_THAT(rstd.Values(), ElementsAre(0.5));
  EXPECT_THAT(outcome.accesses,
              ElementsAre("x1 reads [1, 4]", "x2 reads [1, 4]", "gamma reads [4]",
                          "y writes [1, 4]", "rstd writes [1, 1]", "x writes [1, 4]"));
}

// 2048 + 1 is between two values of float16, and goes to the even one, 2048. The sum as it was has
// another inverse, 1 / 2049.
TEST(AddRmsNorm, NormalisesTheRoundedSum) {
  const DeviceTensor a(DType::kHalf, {1, 1}, {2048});
  const DeviceTensor b(DType::kHalf, {1, 1}, {1});
  const DeviceTensor gamma(DType::kHalf, {1}, {1});
  const DeviceTensor y(DType::kHalf, {1, 1});
  const DeviceTensor rstd(DType::kFloat, {1, 1});
  const DeviceTensor sum(DType::kHalf, {1, 1});
  ASSERT_EQ(CALL(AddRmsNorm, a, b, gamma, 0.0, y, rstd, sum).result, "ran");
  EXPECT_THAT(sum.Values(), ElementsAre(2048));
  EXPECT_THAT(rstd.Values(), ElementsAre(1.0 / 2048));
  EXPECT_THAT(y.Values(), ElementsAre(1));
}

TEST(SwiGlu, GatesTheSecondHalf) {
  const auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  // The operator computes in float32: exp, sum, quotient and product are each within 1 unit in the
  // last place, 2^-23, so that 5 of them bound the error; float16 rounds by 2^-11.
  const double bound = 5 * 0x1p-23;
  const DeviceTensor x(DType::kFloat, {2, 4}, {0, 1, 10, 3, -2, 4, 0.5, -1});
  const DeviceTensor out(DType::kFloat, {2, 2});
  const Outcome outcome = CALL(SwiGlu, x, -1, out);
  ASSERT_EQ(outcome.result, "ran");
  const std::vector<double> wanted = {0, silu(1) * 3, silu(-2) * 0.5, silu(4) * -1};
  const std::vector<double> values = out.Values();
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_NEAR(values[i], wanted[i], bound * std::fabs(wanted[i])) << i;
  }
  EXPECT_THAT(outcome.accesses, ElementsAre("x some [2, 4]", "out some [2, 2]"));

  // Along the first dimension the halves are the rows.
  const DeviceTensor half(DType::kHalf, {2, 2}, {1, -2, 3, 0.5});
  const DeviceTensor row(DType::kHalf, {1, 2});
  ASSERT_EQ(CALL(SwiGlu, half, 0, row).result, "ran");
  EXPECT_THAT(row.Values(), ElementsAre(Rounded(DType::kHalf, silu(1) * 3),
                                        Rounded(DType::kHalf, silu(-2) * 0.5)));
}

TEST(SwiGlu, RowsThatNobodyHasWrittenStayUnwritten) {
  const DeviceTensor x(DType::kFloat, {3, 2});
  const DeviceTensor out(DType::kFloat, {3, 1}, {7, 7, 7});
  const DeviceTensor row(DType::kFloat, {1, 2}, {0, 5});
  const View second = Narrowed(x.view(), 0, 1, 1);
  std::memcpy(second.Host(), row.view().Host(), 2 * sizeof(float));
  second.MarkWritten();
  ASSERT_EQ(CALL(SwiGlu, x, -1, out).result, "ran");
  EXPECT_EQ(out.Written(), ".w.");
  // Halves that are rows have no rows to leave out.
  const DeviceTensor half(DType::kFloat, {2, 2});
  EXPECT_THAT(CALL(SwiGlu, half, 0, row).result, testing::HasSubstr("nobody has written"));
}

TEST(RmsNorm, RefusesByName) {
  const DeviceTensor x(DType::kHalf, {2, 4}, std::vector<double>(8, 1));
  const DeviceTensor gamma(DType::kHalf, {4}, {1, 1, 1, 1});
  const DeviceTensor brain(DType::kBfloat16, {4}, {1, 1, 1, 1});
  const DeviceTensor shorter(DType::kHalf, {3}, {1, 1, 1});
  const DeviceTensor whole(DType::kInt32, {4}, {1, 1, 1, 1});
  const DeviceTensor y(DType::kHalf, {2, 4});
  const DeviceTensor wide_y(DType::kFloat, {2, 4});
  const DeviceTensor rstd(DType::kFloat, {2, 1});
  const DeviceTensor long_rstd(DType::kFloat, {3, 1});
  const DeviceTensor columns(DType::kHalf, {2, 4}, {1, 2}, 0, std::vector<double>(8, 1));
  const auto run = [](const Tensor* in, const Tensor* scale, Tensor* out, Tensor* inverse) {
    return CALL(RmsNorm, in, scale, 1e-6, out, inverse).result;
  };
  EXPECT_EQ(run(x, brain, y, rstd),
            "refused 161002: aclnnRmsNorm: 'gamma' is bfloat16 [4], 'x' is float16 [2, 4]");
  EXPECT_EQ(run(x, whole, y, rstd),
            "refused 161002: aclnnRmsNorm: 'gamma' is int32 [4], it must be float32, float16 or "
            "bfloat16");
  EXPECT_EQ(run(x, shorter, y, rstd),
            "refused 161002: aclnnRmsNorm: the shape of 'gamma', float16 [3], does not end that of "
            "'x', float16 [2, 4]");
  EXPECT_EQ(run(x, gamma, wide_y, rstd),
            "refused 161002: aclnnRmsNorm: 'y' is float32 [2, 4], 'x' is float16 [2, 4]");
  EXPECT_EQ(run(x, gamma, y, long_rstd),
            "refused 161002: aclnnRmsNorm: 'rstd' is float32 [3, 1], it needs one float32 per row");
  EXPECT_EQ(run(columns, gamma, y, rstd),
            "refused 161002: aclnnRmsNorm: 'an argument', float16 [2, 4], is not contiguous");
}

TEST(AddRmsNorm, RefusesByName) {
  const DeviceTensor a(DType::kHalf, {1, 2}, {1, 1});
  const DeviceTensor b(DType::kHalf, {2, 2}, {1, 1, 1, 1});
  const DeviceTensor gamma(DType::kFloat, {2}, {1, 1});
  const DeviceTensor half_gamma(DType::kHalf, {2}, {1, 1});
  const DeviceTensor y(DType::kHalf, {1, 2});
  const DeviceTensor rstd(DType::kFloat, {1, 1});
  EXPECT_EQ(CALL(AddRmsNorm, a, b, half_gamma, 1e-6, y, rstd, y).result,
            "refused 161002: aclnnAddRmsNorm: 'x2' is float16 [2, 2], 'x1' is float16 [1, 2]");
  EXPECT_EQ(CALL(AddRmsNorm, a, a, gamma, 1e-6, y, rstd, y).result,
            "refused 161002: aclnnAddRmsNorm: 'gamma' is float32 [2], 'x' is float16 [1, 2]");
}

TEST(SwiGlu, RefusesByName) {
  const DeviceTensor x(DType::kHalf, {2, 3}, std::vector<double>(6, 1));
  const DeviceTensor out(DType::kHalf, {2, 3});
  EXPECT_EQ(CALL(SwiGlu, x, 1, out).result,
            "refused 161002: aclnnSwiGlu: dimension 1 of float16 [2, 3] cannot be halved");
  EXPECT_EQ(CALL(SwiGlu, x, 2, out).result,
            "refused 161002: aclnnSwiGlu: dimension 2 of float16 [2, 3] cannot be halved");
  EXPECT_EQ(CALL(SwiGlu, x, 0, out).result,
            "refused 161002: aclnnSwiGlu: 'out' is float16 [2, 3], 'x' is float16 [2, 3]");
}

// A row 3, 4, 0, 0 and an epsilon of 0: its root mean square is 5/2.
TEST(GemmaRmsNorm, AddsOneToTheScale) {
  const DeviceTensor x(DType::kFloat, {1, 4}, {3, 4, 0, 0});
  const DeviceTensor gamma(DType::kFloat, {4}, {0, 1, 2, 3});
  const DeviceTensor y(DType::kFloat, {1, 4});
  const DeviceTensor rstd(DType::kFloat, {1, 1});
  ASSERT_EQ(CALL(GemmaRmsNorm, x, gamma, 0.0, y, rstd).result, "ran");
  const double inverse = Rounded(DType::kFloat, 1 / 2.5);
  EXPECT_THAT(rstd.Values(), ::testing::ElementsAre(inverse));
  EXPECT_THAT(y.Values(), ::testing::ElementsAre(Rounded(DType::kFloat, 3 * inverse),
                                                 Rounded(DType::kFloat, 8 * inverse), 0, 0));
}

}  // namespace
}  // namespace softnpu
