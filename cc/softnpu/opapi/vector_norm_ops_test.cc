// cc/softnpu/opapi/vector_norm_ops_test.cc: vector norms of vectors whose norms are known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(LinalgVectorNorm, const Tensor*, const Scalar*, const IntArray*, bool, int32_t,
              Tensor*)
ACLNN_DECLARE(Norm, const Tensor*, const Scalar*, const IntArray*, bool, Tensor*)

namespace {

using ::testing::ElementsAre;

constexpr int32_t kFloat32 = static_cast<int32_t>(DType::kFloat);
IntArray* const kAllDims = nullptr;

// The norm of all elements of `x`.
double NormOf(const DeviceTensor& x, double ord) {
  const DeviceTensor out(DType::kFloat, {});
  const HostScalar order(DType::kDouble, ord);
  EXPECT_EQ(CALL(LinalgVectorNorm, x, order, kAllDims, false, kFloat32, out).result, "ran");
  return out.Values()[0];
}

// |(2, -3, 6, 0)|: 4 + 9 + 36 = 49, 8 + 27 + 216 = 251.
TEST(VectorNorm, EveryOrder) {
  const DeviceTensor x(DType::kFloat, {4}, {2, -3, 6, 0});
  EXPECT_EQ(NormOf(x, 2), 7);
  EXPECT_EQ(NormOf(x, 1), 11);
  EXPECT_EQ(NormOf(x, 0), 3) << "the elements that are not 0";
  EXPECT_EQ(NormOf(x, kInfinity), 6);
  EXPECT_EQ(NormOf(x, -kInfinity), 0);
  EXPECT_EQ(NormOf(x, 3), Rounded(DType::kFloat, std::cbrt(251.0)));
  EXPECT_EQ(NormOf(x, -1), 0) << "1 / (1/2 + 1/3 + 1/6 + 1/0)";
}

TEST(VectorNorm, NanWinsInEveryOrder) {
  const DeviceTensor x(DType::kFloat, {3}, {1, kNan, 2});
  for (const double ord : {2.0, 1.0, 0.0, 3.0, kInfinity, -kInfinity}) {
    EXPECT_TRUE(std::isnan(NormOf(x, ord))) << ord;
  }
}

TEST(VectorNorm, NothingHasTheNormOfNothing) {
  const DeviceTensor x(DType::kFloat, {0}, {});
  EXPECT_EQ(NormOf(x, 2), 0);
  EXPECT_EQ(NormOf(x, -kInfinity), kInfinity);
}

// The squares leave float32's range, the norm does not.
TEST(VectorNorm, SumsDoNotOverflow) {
  const DeviceTensor x(DType::kFloat, {2}, {3 * 0x1p100, 4 * 0x1p100});
  EXPECT_EQ(NormOf(x, 2), 5 * 0x1p100);
}

TEST(VectorNorm, OverOneDimension) {
  const DeviceTensor x(DType::kHalf, {2, 2}, {3, 5, 4, 12});
  const HostScalar two(DType::kDouble, 2);
  const DeviceTensor columns(DType::kHalf, {2});
  const HostInts first({0});
  const Outcome outcome = CALL(LinalgVectorNorm, x, two, first, false, 1, columns);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(columns.Values(), ElementsAre(5, 13));
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads [2, 2]", "out writes [2]"));

  const DeviceTensor rows(DType::kFloat, {2, 1});
  const HostInts last({-1});
  ASSERT_EQ(CALL(LinalgVectorNorm, x, two, last, true, kFloat32, rows).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(Rounded(DType::kFloat, std::sqrt(34.0)),
                                         Rounded(DType::kFloat, std::sqrt(160.0))));
}

// Columns of a matrix of 3 columns, of which the view has the first and the last.
TEST(VectorNorm, FollowsStrides) {
  const DeviceTensor x(DType::kFloat, {2, 2}, {2, 3}, 0, {3, 100, 8, 4, 100, 15});
  const DeviceTensor out(DType::kFloat, {2});
  const HostScalar two(DType::kDouble, 2);
  const HostInts last({1});
  ASSERT_EQ(CALL(LinalgVectorNorm, x, two, last, false, kFloat32, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(5, 17));
}

TEST(VectorNorm, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {2, 3}, {1, 2, 3, 4, 5, 6});
  const DeviceTensor whole(DType::kInt32, {2}, {1, 2});
  const DeviceTensor out(DType::kFloat, {2});
  const HostScalar two(DType::kDouble, 2);
  const HostInts third({2});
  const HostInts first({0});
  EXPECT_EQ(CALL(LinalgVectorNorm, x, two, third, false, kFloat32, out).result,
            "refused 161002: aclnnLinalgVectorNorm: dimension 2 of float32 [2, 3]");
  EXPECT_EQ(
      CALL(LinalgVectorNorm, whole, two, kAllDims, false, kFloat32, out).result,
      "refused 161002: aclnnLinalgVectorNorm: a norm takes float32, float16 and bfloat16, not "
      "int32 [2]");
  EXPECT_EQ(
      CALL(LinalgVectorNorm, x, two, first, false, kFloat32, out).result,
      "refused 161002: aclnnLinalgVectorNorm: 'out' is float32 [2], 'self' is float32 [2, 3]");
  Scalar* const nothing = nullptr;
  EXPECT_EQ(CALL(LinalgVectorNorm, x, nothing, kAllDims, false, kFloat32, out).result,
            "refused 161001: aclnnLinalgVectorNorm: the argument 'ord' is null");
}

TEST(Norm, IsTheSameWithoutAType) {
  const DeviceTensor x(DType::kHalf, {2, 2}, {3, 0, -4, 1});
  const HostScalar two(DType::kFloat, 2);
  const DeviceTensor out(DType::kHalf, {1, 2});
  ASSERT_EQ(CALL(Norm, x, two, HostInts({0}), true, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(5, 1));
  EXPECT_THAT(CALL(Norm, x, two, HostInts({0, -2}), true, out).result,
              ::testing::HasSubstr("dimension -2 appears twice"));
}

}  // namespace
}  // namespace softnpu
