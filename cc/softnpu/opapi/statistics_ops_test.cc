// cc/softnpu/opapi/statistics_ops_test.cc: products, variances, places and counts, by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

#define DECLARE_VARIANCE(NAME, ...) \
  ACLNN_DECLARE(NAME, const Tensor*, const IntArray*, int64_t, bool, __VA_ARGS__)
#define DECLARE_RUNNING(NAME) ACLNN_DECLARE(NAME, const Tensor*, int64_t, Tensor*, Tensor*)
#define DECLARE_PLACES(NAME) ACLNN_DECLARE(NAME, const Tensor*, int64_t, bool, Tensor*, Tensor*)
DECLARE_VARIANCE(VarCorrection, Tensor*)
DECLARE_VARIANCE(Std, Tensor*)
DECLARE_VARIANCE(VarMean, Tensor*, Tensor*)
DECLARE_VARIANCE(StdMeanCorrection, Tensor*, Tensor*)
DECLARE_RUNNING(Cummax)
DECLARE_RUNNING(Cummin)
DECLARE_PLACES(AminmaxDim)
DECLARE_PLACES(MedianDim)
DECLARE_PLACES(NanMedianDim)
ACLNN_DECLARE(Aminmax, const Tensor*, const IntArray*, bool, Tensor*, Tensor*)
ACLNN_DECLARE(AminmaxAll, const Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(Median, const Tensor*, Tensor*)
ACLNN_DECLARE(NanMedian, const Tensor*, Tensor*)
ACLNN_DECLARE(Prod, const Tensor*, int32_t, Tensor*)
ACLNN_DECLARE(ProdDim, const Tensor*, int64_t, bool, int32_t, Tensor*)
ACLNN_DECLARE(Cumprod, const Tensor*, const Scalar*, int32_t, Tensor*)
ACLNN_DECLARE(Kthvalue, const Tensor*, int64_t, int64_t, bool, Tensor*, Tensor*)
ACLNN_DECLARE(Dot, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(Mv, const Tensor*, const Tensor*, Tensor*, int8_t)
ACLNN_DECLARE(Histc, const Tensor*, int64_t, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(Bincount, const Tensor*, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(Trace, const Tensor*, Tensor*)
ACLNN_DECLARE(Take, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(Roll, const Tensor*, const IntArray*, const IntArray*, Tensor*)
ACLNN_DECLARE(RepeatInterleaveTensor, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(InplaceMaskedScatter, Tensor*, const Tensor*, const Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Tensor* kNone = nullptr;
constexpr DType kType = DType::kFloat;
constexpr auto kFloat = static_cast<int32_t>(DType::kFloat);
constexpr auto kInt64 = static_cast<int32_t>(DType::kInt64);

class Statistics : public ::testing::Test {
 protected:
  const DeviceTensor x{kType, {2, 3}, {1, 3, 2, -1, 5, 5}};
  const DeviceTensor one{kType, {}}, other{kType, {}}, rows{kType, {2}}, more{kType, {2}},
      all{kType, {2, 3}};
  const DeviceTensor places{DType::kInt64, {2}}, each{DType::kInt64, {2, 3}};
  const HostInts last{-1}, none{};
};

TEST_F(Statistics, Variances) {
  ASSERT_EQ(CALL(VarCorrection, x, last, 1, false, rows).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(1, 12));
  ASSERT_EQ(CALL(Std, x, last, 2, false, rows).result, "ran");
  EXPECT_EQ(rows.Values(), Rounded(kType, {std::sqrt(2.0), std::sqrt(24.0)}));
  ASSERT_EQ(CALL(VarMean, x, none, 0, false, one, other).result, "ran");
  EXPECT_EQ(one.Values()[0], Rounded(kType, 65 / 6.0 - 6.25));
  EXPECT_EQ(other.Values()[0], 2.5);
  ASSERT_EQ(CALL(StdMeanCorrection, x, last, 0, false, rows, more).result, "ran");
  EXPECT_EQ(rows.Values(), Rounded(kType, {std::sqrt(2 / 3.0), std::sqrt(8.0)}));
  EXPECT_THAT(more.Values(), ElementsAre(2, 3));
  EXPECT_THAT(CALL(Std, x, HostInts({2}), 1, false, rows).result,
              HasSubstr("'dim' is 2; for float32 [2, 3] it must be -2 to 1"));
  // As many as the correction: nothing by nothing.
  ASSERT_EQ(CALL(VarCorrection, x, last, 3, false, rows).result, "ran");
  EXPECT_EQ(rows.Values()[1], kInfinity);
}

TEST_F(Statistics, Products) {
  ASSERT_EQ(CALL(Prod, x, kFloat, one).result, "ran");
  EXPECT_EQ(one.Values()[0], -150);
  ASSERT_EQ(CALL(ProdDim, x, 1, false, kFloat, rows).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(6, -25));
  ASSERT_EQ(CALL(Cumprod, x, HostScalar(DType::kInt64, 1), kFloat, all).result, "ran");
  EXPECT_THAT(all.Values(), ElementsAre(1, 3, 6, -1, -5, -25));
  EXPECT_THAT(CALL(Prod, x, kInt64, one).result, HasSubstr("'out' is float32 [], and 'dtype' 9"));
}

TEST_F(Statistics, ExtremesAndPlaces) {
  ASSERT_EQ(CALL(Aminmax, x, last, false, rows, more).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(1, -1));
  EXPECT_THAT(more.Values(), ElementsAre(3, 5));
  ASSERT_EQ(CALL(AminmaxAll, x, one, other).result, "ran");
  EXPECT_EQ(one.Values()[0], -1);
  EXPECT_EQ(other.Values()[0], 5);
  ASSERT_EQ(CALL(AminmaxDim, x, 1, false, rows, more).result, "ran");
  EXPECT_THAT(more.Values(), ElementsAre(3, 5));
  ASSERT_EQ(CALL(Median, x, one).result, "ran");
  EXPECT_EQ(one.Values()[0], 2);
  ASSERT_EQ(CALL(MedianDim, x, 1, false, rows, places).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(2, 5));
  EXPECT_EQ(places.Values()[0], 2);
  const DeviceTensor gaps(kType, {3}, {kNan, 4, 2});
  ASSERT_EQ(CALL(NanMedian, gaps, one).result, "ran");
  EXPECT_EQ(one.Values()[0], 2);
  const DeviceTensor at(DType::kInt64, {});
  ASSERT_EQ(CALL(NanMedianDim, gaps, 0, false, one, at).result, "ran");
  EXPECT_EQ(at.Values()[0], 2);
  ASSERT_EQ(CALL(Kthvalue, x, 1, 1, false, rows, places).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(1, -1));
  EXPECT_THAT(CALL(Kthvalue, x, 4, 1, false, rows, places).result,
              HasSubstr("'k' is 4; for dimension 1 of float32 [2, 3] it must be 1 to 3"));
  ASSERT_EQ(CALL(Cummax, x, 1, all, each).result, "ran");
  EXPECT_THAT(all.Values(), ElementsAre(1, 3, 3, -1, 5, 5));
  EXPECT_THAT(each.Values(), ElementsAre(0, 1, 1, 0, 1, 2));
  ASSERT_EQ(CALL(Cummin, x, 1, all, each).result, "ran");
  EXPECT_THAT(all.Values(), ElementsAre(1, 1, 1, -1, -1, -1));
}

TEST_F(Statistics, ProductsOfVectors) {
  const DeviceTensor a(kType, {3}, {1, 2, 3});
  ASSERT_EQ(CALL(Dot, a, a, one).result, "ran");
  EXPECT_EQ(one.Values()[0], 14);
  ASSERT_EQ(CALL(Mv, x, a, rows, 0).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(13, 24));
  EXPECT_THAT(CALL(Mv, x, rows, rows, 0).result, HasSubstr("'vec' float32 [2]"));
  EXPECT_THAT(CALL(Dot, a, rows, one).result, HasSubstr("both must have one shape"));
  ASSERT_EQ(CALL(Trace, x, one).result, "ran");
  EXPECT_EQ(one.Values()[0], 6);
}

TEST_F(Statistics, Counts) {
  const HostScalar zero(DType::kDouble, 0), four(DType::kDouble, 4);
  ASSERT_EQ(CALL(Histc, x, 2, zero, four, rows).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(1, 2));
  ASSERT_EQ(CALL(Histc, x, 2, zero, zero, rows).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(2, 4));
  EXPECT_THAT(CALL(Histc, x, 0, zero, four, rows).result,
              HasSubstr("'bins' is 0; it must be at least 1"));
  EXPECT_THAT(CALL(Histc, x, 2, four, zero, rows).result, HasSubstr("'min' is 4, and 'max' 0"));
  const DeviceTensor at(DType::kInt64, {3}, {1, 3, 1}), counts(DType::kInt64, {5}),
      weighted(kType, {4});
  ASSERT_EQ(CALL(Bincount, at, kNone, 5, counts).result, "ran");
  EXPECT_THAT(counts.Values(), ElementsAre(0, 2, 0, 1, 0));
  ASSERT_EQ(CALL(Bincount, at, DeviceTensor(kType, {3}, {0.5, 1, 2}), 0, weighted).result, "ran");
  EXPECT_THAT(weighted.Values(), ElementsAre(0, 2.5, 0, 1));
}

TEST_F(Statistics, Moves) {
  ASSERT_EQ(CALL(Take, x, DeviceTensor(DType::kInt64, {2}, {4, -6}), rows).result, "ran");
  EXPECT_THAT(rows.Values(), ElementsAre(5, 1));
  ASSERT_EQ(CALL(Roll, x, HostInts({1}), HostInts({1}), all).result, "ran");
  EXPECT_THAT(all.Values(), ElementsAre(2, 1, 3, 5, -1, 5));
  const DeviceTensor repeated(DType::kInt64, {3});
  ASSERT_EQ(
      CALL(RepeatInterleaveTensor, DeviceTensor(DType::kInt64, {2}, {1, 2}), 3, repeated).result,
      "ran");
  EXPECT_THAT(repeated.Values(), ElementsAre(0, 1, 1));
  const DeviceTensor mask(DType::kBool, {3}, {1, 0, 1}), source(kType, {5}, {10, 20, 30, 40, 50});
  ASSERT_EQ(CALL(InplaceMaskedScatter, x, mask, source).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(10, 3, 20, 30, 5, 40));
}

}  // namespace
}  // namespace softnpu
