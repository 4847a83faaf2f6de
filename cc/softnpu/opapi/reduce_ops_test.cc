// cc/softnpu/opapi/reduce_ops_test.cc: reductions, scans, softmax and sorting of small tensors, by
// hand or in double.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(ReduceSum, const Tensor*, const IntArray*, bool, int32_t, Tensor*)
ACLNN_DECLARE(Mean, const Tensor*, const IntArray*, bool, int32_t, Tensor*)
ACLNN_DECLARE(Amax, const Tensor*, const IntArray*, bool, Tensor*)
ACLNN_DECLARE(Amin, const Tensor*, const IntArray*, bool, Tensor*)
ACLNN_DECLARE(LogSumExp, const Tensor*, const IntArray*, bool, Tensor*)
ACLNN_DECLARE(Any, const Tensor*, const IntArray*, bool, Tensor*)
ACLNN_DECLARE(All, const Tensor*, const IntArray*, bool, Tensor*)
ACLNN_DECLARE(Equal, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(Max, const Tensor*, Tensor*)
ACLNN_DECLARE(Min, const Tensor*, Tensor*)
ACLNN_DECLARE(MaxDim, const Tensor*, int64_t, bool, Tensor*, Tensor*)
ACLNN_DECLARE(MinDim, const Tensor*, int64_t, bool, Tensor*, Tensor*)
ACLNN_DECLARE(ArgMax, const Tensor*, int64_t, bool, Tensor*)
ACLNN_DECLARE(ArgMin, const Tensor*, int64_t, bool, Tensor*)
ACLNN_DECLARE(Cumsum, const Tensor*, int64_t, int32_t, Tensor*)
ACLNN_DECLARE(Softmax, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(LogSoftmax, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(Sort, const Tensor*, bool, int64_t, bool, Tensor*, Tensor*)
ACLNN_DECLARE(Topk, const Tensor*, int64_t, int64_t, bool, bool, Tensor*, Tensor*)
ACLNN_DECLARE(ReduceNansum, const Tensor*, const IntArray*, bool, int32_t, Tensor*)

namespace {

using ::testing::ElementsAre;

constexpr int32_t kFloat32 = static_cast<int32_t>(DType::kFloat);
IntArray* const kAllDims = nullptr;
const std::vector<double> kMatrix = {3, -1, 4, 1, 5, -9};  // [2, 3]

// For float32 results of the C library's exp and log on few elements: each of the three steps (exp,
// sum, quotient or log) is within 2 units in the last place, 2^-22.
constexpr double kBound = 3 * 0x1p-22;

void ExpectNear(const std::vector<double>& values, const std::vector<double>& wanted) {
  ASSERT_EQ(values.size(), wanted.size());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(values[i], wanted[i], kBound * std::max(1.0, std::fabs(wanted[i]))) << i;
  }
}

TEST(Equal, ComparesShapesAndElements) {
  const DeviceTensor x(DType::kFloat, {2}, {1, kNan});
  const DeviceTensor y(DType::kFloat, {2}, {1, 2});
  const DeviceTensor same(DType::kFloat, {2}, {1, 2});
  const DeviceTensor column(DType::kFloat, {2, 1}, {1, 2});
  const DeviceTensor halves(DType::kHalf, {2}, {1, 2});
  const DeviceTensor out(DType::kBool, {1});
  ASSERT_EQ(CALL(Equal, y, same, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1));
  ASSERT_EQ(CALL(Equal, x, x, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0));
  ASSERT_EQ(CALL(Equal, y, column, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0));
  EXPECT_EQ(CALL(Equal, y, halves, out).result,
            "refused 161002: aclnnEqual: 'self' is float32 [2], 'other' is float16 [2]");
  EXPECT_EQ(CALL(Equal, y, same, y).result,
            "refused 161002: aclnnEqual: 'out' is float32 [2], it must be one bool");
}

TEST(Reductions, OverDimensions) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kMatrix);
  const HostInts rows({0});
  const HostInts columns({-1});
  const DeviceTensor of_columns(DType::kFloat, {3});
  const DeviceTensor of_rows(DType::kFloat, {2, 1});
  const DeviceTensor number(DType::kFloat, {});
  const Outcome outcome = CALL(ReduceSum, x, rows, false, kFloat32, of_columns);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(of_columns.Values(), ElementsAre(4, 4, -5));
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads [2, 3]", "out writes [3]"));
  ASSERT_EQ(CALL(Mean, x, columns, true, kFloat32, of_rows).result, "ran");
  EXPECT_THAT(of_rows.Values(), ElementsAre(2, -1));
  ASSERT_EQ(CALL(Amax, x, columns, true, of_rows).result, "ran");
  EXPECT_THAT(of_rows.Values(), ElementsAre(4, 5));
  ASSERT_EQ(CALL(Amin, x, rows, false, of_columns).result, "ran");
  EXPECT_THAT(of_columns.Values(), ElementsAre(1, -1, -9));
  ASSERT_EQ(CALL(ReduceSum, x, kAllDims, false, kFloat32, number).result, "ran");
  EXPECT_THAT(number.Values(), ElementsAre(3));
  ASSERT_EQ(CALL(Max, x, number).result, "ran");
  EXPECT_THAT(number.Values(), ElementsAre(5));
  ASSERT_EQ(CALL(Min, x, number).result, "ran");
  EXPECT_THAT(number.Values(), ElementsAre(-9));
}

// A sum into float32 of values whose sum has no place in float16.
TEST(Reductions, SumIntoAWiderDtype) {
  const DeviceTensor x(DType::kHalf, {3}, {60000, 60000, 1});
  const DeviceTensor out(DType::kFloat, {});
  ASSERT_EQ(CALL(ReduceSum, x, kAllDims, false, kFloat32, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(120001));
}

TEST(Reductions, LogSumExpOfLargeValues) {
  const DeviceTensor x(DType::kFloat, {2}, {1000, 1000});
  const DeviceTensor out(DType::kFloat, {});
  const HostInts first({0});
  ASSERT_EQ(CALL(LogSumExp, x, first, false, out).result, "ran");
  ExpectNear(out.Values(), {1000 + std::log(2.0)});
}

TEST(Reductions, AnyAndAll) {
  const DeviceTensor x(DType::kBool, {3, 2}, {0, 0, 1, 0, 1, 1});
  const DeviceTensor out(DType::kBool, {3});
  const HostInts last({1});
  ASSERT_EQ(CALL(Any, x, last, false, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 1, 1));
  ASSERT_EQ(CALL(All, x, last, false, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0, 1));
}

TEST(Extremes, WithTheirPlaces) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kMatrix);
  const DeviceTensor values(DType::kFloat, {2});
  const DeviceTensor places(DType::kInt32, {2});
  const Outcome outcome = CALL(MaxDim, x, 1, false, values, places);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(values.Values(), ElementsAre(4, 5));
  EXPECT_THAT(places.Values(), ElementsAre(2, 1));
  EXPECT_THAT(outcome.accesses,
              ElementsAre("self reads [2, 3]", "out writes [2]", "indices writes [2]"));
  ASSERT_EQ(CALL(MinDim, x, 1, false, values, places).result, "ran");
  EXPECT_THAT(values.Values(), ElementsAre(-1, -9));
  EXPECT_THAT(places.Values(), ElementsAre(1, 2));
  const DeviceTensor columns(DType::kInt64, {1, 3});
  ASSERT_EQ(CALL(ArgMax, x, 0, true, columns).result, "ran");
  EXPECT_THAT(columns.Values(), ElementsAre(0, 1, 0));
  ASSERT_EQ(CALL(ArgMin, x, 0, true, columns).result, "ran");
  EXPECT_THAT(columns.Values(), ElementsAre(1, 0, 1));
}

TEST(Scans, Cumsum) {
  const DeviceTensor x(DType::kInt32, {2, 3}, kMatrix);
  const DeviceTensor out(DType::kInt64, {2, 3});
  ASSERT_EQ(CALL(Cumsum, x, 1, static_cast<int32_t>(DType::kInt64), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(3, 2, 6, 1, 6, -3));
}

TEST(Softmax, IsExponentialsOverTheirSum) {
  const double sum = std::exp(-1.0) + 1 + std::exp(2.0);
  const DeviceTensor x(DType::kFloat, {3}, {-1, 0, 2});
  const DeviceTensor out(DType::kFloat, {3});
  const Outcome outcome = CALL(Softmax, x, 0, out);
  ASSERT_EQ(outcome.result, "ran");
  ExpectNear(out.Values(), {std::exp(-1.0) / sum, 1 / sum, std::exp(2.0) / sum});
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads [3]", "out writes [3]"));
  ASSERT_EQ(CALL(LogSoftmax, x, 0, out).result, "ran");
  ExpectNear(out.Values(), {-1 - std::log(sum), -std::log(sum), 2 - std::log(sum)});
}

// Columns of a matrix, far beyond where exp ends; a float32 output of float16 is not rounded to
// float16 on its way.
TEST(Softmax, AlongAnyDimensionIntoAWiderDtype) {
  const DeviceTensor x(DType::kHalf, {2, 2}, {1000, 0, 1000, 1});
  const DeviceTensor out(DType::kFloat, {2, 2});
  ASSERT_EQ(CALL(Softmax, x, 0, out).result, "ran");
  const double e = std::exp(1.0);
  ExpectNear(out.Values(), {0.5, 1 / (1 + e), 0.5, e / (1 + e)});
}

TEST(Sort, IsStableInBothDirections) {
  const DeviceTensor x(DType::kFloat, {5}, {2, 1, 2, 3, 1});
  const DeviceTensor values(DType::kFloat, {5});
  const DeviceTensor places(DType::kInt64, {5});
  ASSERT_EQ(CALL(Sort, x, false, 0, false, values, places).result, "ran");
  EXPECT_THAT(values.Values(), ElementsAre(1, 1, 2, 2, 3));
  EXPECT_THAT(places.Values(), ElementsAre(1, 4, 0, 2, 3));
  ASSERT_EQ(CALL(Sort, x, true, -1, true, values, places).result, "ran");
  EXPECT_THAT(values.Values(), ElementsAre(3, 2, 2, 1, 1));
  EXPECT_THAT(places.Values(), ElementsAre(3, 0, 2, 1, 4));
}

TEST(Topk, TiesGoToTheLowerIndex) {
  const DeviceTensor x(DType::kHalf, {2, 4}, {5, 7, 7, 5, 1, 2, 3, 4});
  const DeviceTensor values(DType::kHalf, {2, 3});
  const DeviceTensor places(DType::kInt64, {2, 3});
  const Outcome outcome = CALL(Topk, x, 3, 1, true, true, values, places);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(values.Values(), ElementsAre(7, 7, 5, 4, 3, 2));
  EXPECT_THAT(places.Values(), ElementsAre(1, 2, 0, 3, 2, 1));
  EXPECT_THAT(outcome.accesses,
              ElementsAre("self reads [2, 4]", "values writes [2, 3]", "indices writes [2, 3]"));
  ASSERT_EQ(CALL(Topk, x, 3, -1, false, true, values, places).result, "ran");
  EXPECT_THAT(values.Values(), ElementsAre(5, 5, 7, 1, 2, 3));
  EXPECT_THAT(places.Values(), ElementsAre(0, 3, 1, 0, 1, 2));
}

TEST(Reductions, RefuseByName) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kMatrix);
  const DeviceTensor whole(DType::kInt32, {2, 3}, kMatrix);
  const DeviceTensor out(DType::kFloat, {2});
  const DeviceTensor places(DType::kInt64, {2});
  const HostInts third({0, 2});
  EXPECT_EQ(CALL(ReduceSum, x, third, false, kFloat32, out).result,
            "refused 161002: aclnnReduceSum: dimension 2 of float32 [2, 3]");
  EXPECT_EQ(CALL(Amax, x, third, false, out).result,
            "refused 161002: aclnnAmax: dimension 2 of float32 [2, 3]");
  EXPECT_EQ(CALL(MaxDim, x, -3, false, out, places).result,
            "refused 161002: aclnnMaxDim: dimension -3 of float32 [2, 3]");
  EXPECT_EQ(CALL(Softmax, x, 2, out).result,
            "refused 161002: aclnnSoftmax: dimension 2 of float32 [2, 3]");
  EXPECT_EQ(CALL(Softmax, whole, 0, out).result,
            "refused 161002: aclnnSoftmax: 'self' is int32 [2, 3]");
  EXPECT_EQ(CALL(Softmax, x, 0, out).result,
            "refused 161002: aclnnSoftmax: 'out' is float32 [2], 'self' is float32 [2, 3]");
  EXPECT_EQ(CALL(Cumsum, x, 0, kFloat32, out).result,
            "refused 161002: aclnnCumsum: 'out' is float32 [2], 'self' is float32 [2, 3]");
  EXPECT_EQ(CALL(MaxDim, x, 0, false, out, places).result,
            "failed 161002: aclnnMaxDim: 'out' is float32 [2], the result is float32 [3]");
  EXPECT_EQ(CALL(Mean, whole, kAllDims, false, 3, whole).result,
            "refused 161002: aclnnMean: 'out' is int32 [2, 3], a mean is floating");
  EXPECT_EQ(CALL(ArgMax, x, 0, false, out).result,
            "refused 161002: aclnnArgMax: 'out' is float32 [2], it must be int32 or int64");
  EXPECT_EQ(CALL(Topk, x, 4, 1, true, true, out, places).result,
            "refused 161002: aclnnTopk: 'k' is 4, dimension 1 of float32 [2, 3] allows 0 to 3");
}

TEST(ReduceNansum, LeavesOutWhatIsNoNumber) {
  const DeviceTensor x(DType::kHalf, {2, 2}, {1, kNan, 3, 4});
  const DeviceTensor out(DType::kHalf, {2, 1});
  ASSERT_EQ(CALL(ReduceNansum, x, HostInts({1}), true, 1, out).result, "ran");
  EXPECT_THAT(out.Values(), ::testing::ElementsAre(1, 7));
  EXPECT_THAT(CALL(ReduceNansum, x, HostInts({2}), true, 1, out).result,
              ::testing::HasSubstr("dimension 2 of float16 [2, 2]"));
}

}  // namespace
}  // namespace softnpu
