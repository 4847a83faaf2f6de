// cc/softnpu/opapi/index_update_ops_test.cc: slices that are copied, filled and added to, by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(IndexCopy, Tensor*, int64_t, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(InplaceIndexCopy, Tensor*, int64_t, const Tensor*, const Tensor*)
ACLNN_DECLARE(IndexAdd, const Tensor*, int64_t, const Tensor*, const Tensor*, const Scalar*,
              Tensor*)
ACLNN_DECLARE(IndexAddV2, const Tensor*, int64_t, const Tensor*, const Tensor*, const Scalar*,
              int64_t, Tensor*)
ACLNN_DECLARE(IndexFill, const Tensor*, int64_t, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceIndexFill, Tensor*, int64_t, const Tensor*, const Scalar*)
ACLNN_DECLARE(IndexFillTensor, const Tensor*, int64_t, const IntArray*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceIndexFillTensor, Tensor*, int64_t, const IntArray*, const Scalar*)

namespace {

using ::testing::ElementsAre;

const std::vector<double> kSix = {10, 11, 12, 20, 21, 22};  // [2, 3]

TEST(IndexCopy, ReplacesSlices) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor at(DType::kInt64, {2}, {2, 0});
  const DeviceTensor source(DType::kFloat, {2, 2}, {1, 2, 3, 4});
  const DeviceTensor out(DType::kFloat, {2, 3});
  const Outcome outcome = CALL(IndexCopy, x, 1, at, source, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 11, 1, 4, 21, 3));
  EXPECT_EQ(x.Values(), kSix);
  EXPECT_THAT(outcome.accesses, ElementsAre("self some [2, 3]", "index reads [2]",
                                            "source reads [2, 2]", "out some [2, 3]"));
  ASSERT_EQ(CALL(InplaceIndexCopy, x, -1, at, source).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(2, 11, 1, 4, 21, 3));
}

// The last of equal indices wins.
TEST(IndexCopy, IntoAScalarAndTwiceIntoOnePlace) {
  const DeviceTensor x(DType::kInt32, {}, {5});
  const DeviceTensor at(DType::kInt32, {2}, {0, 0});
  const DeviceTensor source(DType::kInt32, {2}, {7, 8});
  ASSERT_EQ(CALL(InplaceIndexCopy, x, 0, at, source).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(8));
}

TEST(IndexCopy, WritesOnlyItsSlices) {
  const DeviceTensor x(DType::kFloat, {4});
  const DeviceTensor at(DType::kInt64, {2}, {3, 0});
  const DeviceTensor source(DType::kFloat, {2}, {1, 2});
  ASSERT_EQ(CALL(InplaceIndexCopy, x, 0, at, source).result, "ran");
  EXPECT_EQ(x.Written(), "w..w");
  const DeviceTensor middle(DType::kInt64, {2}, {1, 3});
  const DeviceTensor out(DType::kFloat, {4});
  ASSERT_EQ(CALL(IndexCopy, x, 0, middle, source, out).result, "ran");
  EXPECT_EQ(out.Written(), "ww.w") << "the operand's gap comes along";
}

TEST(IndexAdd, AddsScaledSlices) {
  const HostScalar two(DType::kDouble, 2);
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor at(DType::kInt64, {3}, {1, 0, 1});
  const DeviceTensor source(DType::kFloat, {3, 3}, {1, 1, 1, 2, 2, 2, 4, 5, 6});
  const DeviceTensor out(DType::kFloat, {2, 3});
  ASSERT_EQ(CALL(IndexAdd, x, 0, at, source, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(14, 15, 16, 30, 33, 36));
  const DeviceTensor again(DType::kFloat, {2, 3});
  ASSERT_EQ(CALL(IndexAddV2, x, 0, at, source, two, 1, again).result, "ran");
  EXPECT_EQ(again.Values(), out.Values());
}

// 2048 + 1 is 2048 in float16, and so is 2048 + 1 + 1 when each sum is rounded.
TEST(IndexAdd, RoundsAfterEachSlice) {
  const HostScalar one(DType::kDouble, 1);
  const DeviceTensor x(DType::kHalf, {1}, {2048});
  const DeviceTensor at(DType::kInt64, {2}, {0, 0});
  const DeviceTensor source(DType::kHalf, {2}, {1, 1});
  const DeviceTensor out(DType::kHalf, {1});
  ASSERT_EQ(CALL(IndexAdd, x, 0, at, source, one, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2048));
}

TEST(IndexAdd, IntegersWrap) {
  const HostScalar one(DType::kInt64, 1);
  const DeviceTensor x(DType::kInt8, {1}, {127});
  const DeviceTensor at(DType::kInt64, {1}, {0});
  const DeviceTensor source(DType::kInt8, {1}, {2});
  const DeviceTensor out(DType::kInt8, {1});
  ASSERT_EQ(CALL(IndexAdd, x, 0, at, source, one, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-127));
}

TEST(IndexAdd, ReadsTheSlicesThatItAddsTo) {
  const HostScalar one(DType::kDouble, 1);
  const DeviceTensor x(DType::kFloat, {2});
  const DeviceTensor at(DType::kInt64, {1}, {1});
  const DeviceTensor source(DType::kFloat, {1}, {1});
  EXPECT_THAT(CALL(IndexAdd, x, 0, at, source, one, x).result,
              ::testing::StartsWith("failed 507015: aclnnIndexAdd: 'self' is read where nobody has "
                                    "written: "));
}

// The operator's page: indices from the end are taken, those outside are skipped.
TEST(IndexFill, SkipsWhatLiesOutside) {
  const HostScalar value(DType::kDouble, -1);
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor at(DType::kInt64, {4}, {0, -1, 3, -4});
  const DeviceTensor out(DType::kFloat, {2, 3});
  ASSERT_EQ(CALL(IndexFill, x, 1, at, value, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-1, 11, -1, -1, 21, -1));
  ASSERT_EQ(CALL(InplaceIndexFill, x, 1, at, value).result, "ran");
  EXPECT_EQ(x.Values(), out.Values());
}

TEST(IndexFill, TakesIndicesOfTheHost) {
  const HostScalar value(DType::kDouble, -1);
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const HostInts second({1});
  const DeviceTensor out(DType::kFloat, {2, 3});
  const Outcome outcome = CALL(IndexFillTensor, x, 0, second, value, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(10, 11, 12, -1, -1, -1));
  EXPECT_THAT(outcome.accesses, ElementsAre("self some [2, 3]", "out some [2, 3]"));
  const DeviceTensor fresh(DType::kFloat, {2, 3});
  ASSERT_EQ(CALL(InplaceIndexFillTensor, fresh, 0, second, value).result, "ran");
  EXPECT_EQ(fresh.Written(), "...www");
}

TEST(IndexUpdates, RefuseByName) {
  const HostScalar half(DType::kDouble, 0.5);
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor at(DType::kInt64, {1}, {0});
  const DeviceTensor square(DType::kInt64, {1, 1}, {0});
  const DeviceTensor beyond(DType::kInt64, {1}, {2});
  const DeviceTensor row(DType::kFloat, {1, 3}, {1, 2, 3});
  const DeviceTensor half_row(DType::kHalf, {1, 3}, {1, 2, 3});
  const DeviceTensor flat(DType::kFloat, {3}, {1, 2, 3});
  const DeviceTensor whole(DType::kInt32, {2}, {1, 2});
  const DeviceTensor one(DType::kInt32, {1}, {1});
  const DeviceTensor bytes(DType::kInt8, {2}, {1, 2});
  EXPECT_EQ(CALL(InplaceIndexCopy, x, 0, beyond, row).result,
            "failed 507015: aclnnInplaceIndexCopy: 'index' holds 2 at position 0, the limit is 2 "
            "(undefined on the device)");
  EXPECT_EQ(CALL(InplaceIndexCopy, x, 0, square, row).result,
            "refused 161002: aclnnInplaceIndexCopy: 'index' is int64 [1, 1], not 1-D");
  EXPECT_EQ(CALL(InplaceIndexCopy, x, 0, at, half_row).result,
            "refused 161002: aclnnInplaceIndexCopy: 'source' is float16 [1, 3], 'self' is float32 "
            "[2, 3]");
  EXPECT_EQ(CALL(InplaceIndexCopy, x, 0, at, flat).result,
            "refused 161002: aclnnInplaceIndexCopy: 'source' is float32 [3], 'self' is float32 "
            "[2, 3] and there are 1 indices in dimension 0");
  EXPECT_EQ(CALL(InplaceIndexCopy, x, 2, at, row).result,
            "refused 161002: aclnnInplaceIndexCopy: dimension 2 of float32 [2, 3]");
  EXPECT_EQ(CALL(IndexAdd, whole, 0, at, one, half, whole).result,
            "refused 161002: aclnnIndexAdd: 'alpha' is 0.5, 'self' is int32 [2]");
  EXPECT_EQ(CALL(IndexAdd, x, 0, at, row, half, flat).result,
            "refused 161002: aclnnIndexAdd: 'out' is float32 [3], 'self' is float32 [2, 3]");
  EXPECT_EQ(CALL(InplaceIndexFill, bytes, 0, at, half).result,
            "refused 161002: aclnnInplaceIndexFill: 'self' is int8 [2], it must be float32, "
            "float16, bfloat16, int32, int64 or bool");
}

}  // namespace
}  // namespace softnpu
