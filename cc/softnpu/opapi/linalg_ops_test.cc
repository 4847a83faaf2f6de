// cc/softnpu/opapi/linalg_ops_test.cc: matrices whose inverses and factors are whole numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(Inverse, const Tensor*, Tensor*)
ACLNN_DECLARE(LinalgCholesky, const Tensor*, bool, Tensor*)
ACLNN_DECLARE(LinalgQr, const Tensor*, int64_t, Tensor*, Tensor*)
ACLNN_DECLARE(Slogdet, const Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(TriangularSolve, const Tensor*, const Tensor*, bool, bool, bool, Tensor*, Tensor*)
ACLNN_DECLARE(LinalgCross, const Tensor*, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(Renorm, const Tensor*, const Scalar*, int64_t, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceRenorm, Tensor*, const Scalar*, int64_t, const Scalar*)
ACLNN_DECLARE(Cdist, const Tensor*, const Tensor*, float, int64_t, Tensor*)
ACLNN_DECLARE(Pdist, const Tensor*, float, Tensor*)
ACLNN_DECLARE(Svd, const Tensor*, bool, bool, Tensor*, Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Linalg, FactorsOfMatrices) {
  const DeviceTensor x(DType::kFloat, {2, 2}, {4, 2, 2, 5});
  const DeviceTensor out(DType::kFloat, {2, 2});
  const DeviceTensor diagonal(DType::kFloat, {2, 2}, {2, 0, 0, -4});
  ASSERT_EQ(CALL(LinalgCholesky, x, false, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 0, 1, 2));
  ASSERT_EQ(CALL(LinalgCholesky, x, true, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 1, 0, 2));
  ASSERT_EQ(CALL(Inverse, diagonal, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0.5, 0, 0, -0.25));
  const DeviceTensor sign(DType::kFloat, {});
  const DeviceTensor log(DType::kFloat, {});
  ASSERT_EQ(CALL(Slogdet, diagonal, sign, log).result, "ran");
  EXPECT_THAT(sign.Values(), ElementsAre(-1));
  EXPECT_THAT(log.Values(), ElementsAre(Rounded(DType::kFloat, std::log(8.0))));
  const DeviceTensor copy(DType::kFloat, {2, 2});
  const DeviceTensor right(DType::kFloat, {2, 1}, {2, 8});
  const DeviceTensor solved(DType::kFloat, {2, 1});
  ASSERT_EQ(CALL(TriangularSolve, right, x, true, false, true, solved, copy).result, "ran");
  EXPECT_THAT(solved.Values(), ElementsAre(2 - 2 * 8, 8)) << "of [1 2; 0 1]";
  EXPECT_THAT(copy.Values(), ElementsAre(4, 2, 2, 5));
  const DeviceTensor q(DType::kFloat, {2, 2});
  ASSERT_EQ(CALL(LinalgQr, diagonal, 0, q, out).result, "ran");
  EXPECT_EQ(std::fabs(q.Values()[0]), 1);
  EXPECT_EQ(std::fabs(out.Values()[3]), 4);
}

TEST(Linalg, ProductsAndDistancesOfRows) {
  const DeviceTensor a(DType::kInt32, {1, 3}, {1, 0, 0});
  const DeviceTensor b(DType::kInt32, {1, 3}, {0, 1, 0});
  const DeviceTensor crossed(DType::kInt32, {1, 3});
  ASSERT_EQ(CALL(LinalgCross, a, b, -1, crossed).result, "ran");
  EXPECT_THAT(crossed.Values(), ElementsAre(0, 0, 1));
  const DeviceTensor rows(DType::kHalf, {2, 2}, {0, 0, 3, 4});
  const DeviceTensor one(DType::kHalf, {1, 2}, {0, 0});
  const DeviceTensor apart(DType::kHalf, {2, 1});
  ASSERT_EQ(CALL(Cdist, rows, one, 2.0F, int64_t{0}, apart).result, "ran");
  EXPECT_THAT(apart.Values(), ElementsAre(0, 5));
  ASSERT_EQ(CALL(Cdist, rows, one, 1.0F, int64_t{0}, apart).result, "ran");
  EXPECT_THAT(apart.Values(), ElementsAre(0, 7));
  const DeviceTensor between(DType::kHalf, {1});
  ASSERT_EQ(CALL(Pdist, rows, 2.0F, between).result, "ran");
  EXPECT_THAT(between.Values(), ElementsAre(5));
}

TEST(Renorm, ScalesLongRowsDown) {
  const HostScalar two(DType::kFloat, 2);
  const HostScalar infinity(DType::kFloat, kInfinity);
  const HostScalar most(DType::kFloat, 5);
  const DeviceTensor x(DType::kHalf, {2, 2}, {3, 4, 30, 40});
  const DeviceTensor out(DType::kHalf, {2, 2});
  ASSERT_EQ(CALL(Renorm, x, two, 0, most, out).result, "ran");
  // 1e-7 in 50 is below a rounding of float16.
  EXPECT_THAT(out.Values(), ElementsAre(3, 4, 3, 4));
  ASSERT_EQ(CALL(InplaceRenorm, x, infinity, 1, most).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(0.5, 0.5, 5, 5));
}

TEST(Linalg, RefusesByName) {
  const HostScalar zero(DType::kFloat, 0);
  const HostScalar one(DType::kFloat, 1);
  const HostScalar less(DType::kFloat, -1);
  const DeviceTensor x(DType::kFloat, {1, 2}, {1, 2});
  const DeviceTensor line(DType::kFloat, {2}, {1, 2});
  const DeviceTensor half(DType::kHalf, {1, 1}, {1});
  const DeviceTensor singular(DType::kFloat, {1, 1}, {0});
  const DeviceTensor out(DType::kFloat, {1, 1});
  EXPECT_THAT(CALL(Inverse, x, out).result,
              HasSubstr("'self' is float32 [1, 2]; its last two dimensions must be equal"));
  EXPECT_THAT(CALL(Inverse, line, out).result, HasSubstr("it must have 2 to 8 dimensions"));
  EXPECT_THAT(CALL(Inverse, singular, out).result, HasSubstr("aten::inverse on the host"));
  EXPECT_THAT(CALL(LinalgCholesky, half, false, half).result,
              HasSubstr("'self' is float16 [1, 1]; its type must be one of float32, float64"));
  EXPECT_THAT(CALL(LinalgQr, x, 3, out, out).result,
              HasSubstr("'mode' is 3; it must be 0, 1 or 2"));
  EXPECT_THAT(CALL(LinalgCross, x, x, 1, x).result,
              HasSubstr("'self' is float32 [1, 2]; dimension 1 of both must have 3 elements"));
  EXPECT_THAT(CALL(Renorm, x, zero, 0, one, x).result, HasSubstr("'p' is 0; it must be above 0"));
  EXPECT_THAT(CALL(Renorm, x, one, 0, less, x).result,
              HasSubstr("'maxNorm' is -1; it must be 0 or more"));
  EXPECT_THAT(CALL(Cdist, x, out, 2.0F, int64_t{0}, out).result,
              HasSubstr("their rows must have one length"));
  EXPECT_THAT(CALL(Pdist, x, -1.0F, line).result, HasSubstr("'p' is -1; it must be 0 or more"));
}

TEST(Svd, OfADiagonal) {
  Tensor* const none = nullptr;
  const DeviceTensor x(DType::kFloat, {2, 2}, {0, 3, 2, 0});
  const DeviceTensor sigma(DType::kFloat, {2});
  const DeviceTensor u(DType::kFloat, {2, 2});
  const DeviceTensor v(DType::kFloat, {2, 2});
  ASSERT_EQ(CALL(Svd, x, false, false, sigma, none, none).result, "ran");
  EXPECT_THAT(sigma.Values(), ElementsAre(3, 2));
  ASSERT_EQ(CALL(Svd, x, false, true, sigma, u, v).result, "ran");
  EXPECT_EQ(u.Values()[0] * v.Values()[2], 1) << "of the element 3, in row 0 and column 1";
}

}  // namespace
}  // namespace softnpu
