// cc/softnpu/opapi/gradient_ops_test.cc: gradients of few numbers, by their formulas.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(RmsNormGrad, const Tensor*, const Tensor*, const Tensor*, const Tensor*, Tensor*,
              Tensor*)
ACLNN_DECLARE(SwiGluGrad, const Tensor*, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(FastGeluBackward, const Tensor*, const Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A row 1, 7 has the root mean square 5; a rstd of 1/4 stands for another epsilon.
TEST(RmsNormGrad, OfARowAndOfAScale) {
  const DeviceTensor x(DType::kFloat, {2, 2}, {1, 7, 2, 2});
  const DeviceTensor rstd(DType::kFloat, {2, 1}, {0.25, 0.5});
  const DeviceTensor gamma(DType::kFloat, {2}, {2, 1});
  const DeviceTensor dy(DType::kFloat, {2, 2}, {4, 0, 1, 1});
  const DeviceTensor dx(DType::kFloat, {2, 2});
  const DeviceTensor dgamma(DType::kFloat, {2});
  ASSERT_EQ(CALL(RmsNormGrad, dy, x, rstd, gamma, dx, dgamma).result, "ran");
  // Row 0: normal 0.25, 1.75; dy * gamma 8, 0; mean of products 1. Row 1: normal 1, 1; 2, 1; 1.5.
  EXPECT_THAT(dx.Values(), ElementsAre(0.25 * 7.75, 0.25 * -1.75, 0.25, -0.25));
  EXPECT_THAT(dgamma.Values(), ElementsAre(1 + 1, 0 + 1));
  const DeviceTensor few(DType::kFloat, {1, 1}, {1});
  const DeviceTensor wide(DType::kFloat, {3}, {1, 1, 1});
  EXPECT_THAT(CALL(RmsNormGrad, dy, x, few, gamma, dx, dgamma).result,
              HasSubstr("'rstd' is float32 [1, 1]; there are 2 rows"));
  EXPECT_THAT(CALL(RmsNormGrad, dy, x, rstd, wide, dx, dgamma).result,
              HasSubstr("the shape of 'gamma', float32 [3], does not end that of 'x'"));
}

TEST(SwiGluGrad, OfBothHalves) {
  const DeviceTensor x(DType::kHalf, {1, 4}, {0, 0, 3, 5});
  const DeviceTensor grad(DType::kHalf, {1, 2}, {2, 4});
  const DeviceTensor out(DType::kHalf, {1, 4});
  ASSERT_EQ(CALL(SwiGluGrad, grad, x, -1, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(3, 10, 0, 0)) << "silu has the slope 1/2 at 0";
  const DeviceTensor odd(DType::kHalf, {1, 3}, {1, 2, 3});
  EXPECT_THAT(CALL(SwiGluGrad, grad, odd, 1, odd).result,
              HasSubstr("dimension 1 of float16 [1, 3] cannot be halved"));
  EXPECT_THAT(CALL(SwiGluGrad, x, x, 1, out).result,
              HasSubstr("'yGrad' is float16 [1, 4], and 'a half of 'x'' is float16 [1, 2]"));
}

TEST(FastGeluBackward, IsItsFormula) {
  const DeviceTensor x(DType::kFloat, {2}, {0, 1});
  const DeviceTensor grad(DType::kFloat, {2}, {2, 1});
  const DeviceTensor out(DType::kFloat, {2});
  ASSERT_EQ(CALL(FastGeluBackward, grad, x, out).result, "ran");
  const double s = 1 / (1 + std::exp(-1.702));
  EXPECT_THAT(out.Values(), ElementsAre(1, Rounded(DType::kFloat, s + 1.702 * s * (1 - s))));
  const DeviceTensor one(DType::kFloat, {1}, {0});
  EXPECT_THAT(CALL(FastGeluBackward, grad, one, one).result,
              HasSubstr("'gradOutput' is float32 [2], and 'self' is float32 [1]"));
}

}  // namespace
}  // namespace softnpu
