// cc/softnpu/opapi/search_ops_test.cc: places among few sorted numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(SearchSorted, const Tensor*, const Tensor*, bool, bool, const Tensor*, Tensor*)
ACLNN_DECLARE(SearchSorteds, const Tensor*, const Scalar*, bool, bool, const Tensor*, Tensor*)
ACLNN_DECLARE(Bucketize, const Tensor*, const Tensor*, bool, bool, Tensor*)
ACLNN_DECLARE(IsInTensorScalar, const Tensor*, const Scalar*, bool, bool, Tensor*)
ACLNN_DECLARE(IsInScalarTensor, const Scalar*, const Tensor*, bool, bool, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor* const kNone = nullptr;

TEST(SearchSorted, GivesPlacesInEachRow) {
  const DeviceTensor sorted(DType::kFloat, {2, 3}, {1, 3, 5, 2, 4, 6});
  const DeviceTensor values(DType::kFloat, {2, 2}, {3, 9, 0, 4});
  const DeviceTensor out(DType::kInt64, {2, 2});
  const Outcome outcome = CALL(SearchSorted, sorted, values, false, false, kNone, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 3, 0, 1));
  EXPECT_THAT(outcome.accesses,
              ElementsAre("sortedSequence reads [2, 3]", "self reads [2, 2]", "out writes [2, 2]"));
  ASSERT_EQ(CALL(SearchSorted, sorted, values, false, true, kNone, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 3, 0, 2));

  const DeviceTensor mixed(DType::kInt32, {3}, {5, 1, 3});
  const DeviceTensor order(DType::kInt64, {3}, {1, 2, 0});
  const DeviceTensor asked(DType::kInt32, {2}, {3, 4});
  const DeviceTensor places(DType::kInt32, {2});
  ASSERT_EQ(CALL(SearchSorted, mixed, asked, true, false, order, places).result, "ran");
  EXPECT_THAT(places.Values(), ElementsAre(1, 2));
}

TEST(SearchSorteds, GivesThePlaceOfANumber) {
  const HostScalar three(DType::kFloat, 3);
  const HostScalar half(DType::kFloat, 0.5);
  const DeviceTensor sorted(DType::kHalf, {3}, {1, 3, 5});
  const DeviceTensor whole(DType::kInt32, {3}, {1, 3, 5});
  const DeviceTensor rows(DType::kHalf, {1, 3}, {1, 3, 5});
  const DeviceTensor out(DType::kInt64, {});
  ASSERT_EQ(CALL(SearchSorteds, sorted, three, false, false, kNone, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1));
  ASSERT_EQ(CALL(SearchSorteds, sorted, three, false, true, kNone, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2));
  EXPECT_THAT(CALL(SearchSorteds, rows, three, false, false, kNone, out).result,
              HasSubstr("for one number it must have 1 dimension"));
  EXPECT_THAT(CALL(SearchSorteds, whole, half, false, false, kNone, out).result,
              HasSubstr("'self' is 0.5; in a 'sortedSequence' of int32 [3] it must be a whole"));
}

TEST(SearchSorted, RefusesByName) {
  const DeviceTensor sorted(DType::kFloat, {3}, {1, 3, 5});
  const DeviceTensor whole(DType::kInt32, {2}, {1, 2});
  const DeviceTensor values(DType::kFloat, {2}, {1, 2});
  const DeviceTensor out(DType::kInt64, {2});
  EXPECT_THAT(CALL(SearchSorted, sorted, whole, false, false, kNone, out).result,
              HasSubstr("'sortedSequence' is float32 [3], and 'self' int32 [2]"));
  EXPECT_THAT(CALL(SearchSorted, sorted, values, true, false, kNone, out).result,
              HasSubstr("'out' is int64 [2]; 'outInt32' is true"));
  EXPECT_THAT(CALL(SearchSorted, sorted, values, false, false, sorted, out).result,
              HasSubstr("'sorter' is float32 [3]; it must be int64"));
}

TEST(Bucketize, GivesTheIntervalOfEachValue) {
  const DeviceTensor x(DType::kHalf, {2, 2}, {0, 1, 2, 7});
  const DeviceTensor borders(DType::kHalf, {2}, {1, 2});
  const DeviceTensor out(DType::kInt32, {2, 2});
  ASSERT_EQ(CALL(Bucketize, x, borders, true, false, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0, 1, 2));
  ASSERT_EQ(CALL(Bucketize, x, borders, true, true, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 1, 2, 2));
  EXPECT_THAT(CALL(Bucketize, x, x, true, false, out).result,
              HasSubstr("'boundaries' is float16 [2, 2]; it must have 1 dimension"));
}

TEST(IsIn, ANumberAndATensor) {
  const HostScalar two(DType::kInt64, 2);
  const HostScalar half(DType::kFloat, 0.5);
  const DeviceTensor x(DType::kInt32, {3}, {1, 2, 2});
  const DeviceTensor each(DType::kBool, {3});
  const DeviceTensor one(DType::kBool, {});
  ASSERT_EQ(CALL(IsInTensorScalar, x, two, false, false, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(0, 1, 1));
  ASSERT_EQ(CALL(IsInTensorScalar, x, half, false, true, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(1, 1, 1));
  ASSERT_EQ(CALL(IsInScalarTensor, two, x, false, false, one).result, "ran");
  EXPECT_THAT(one.Values(), ElementsAre(1));
  ASSERT_EQ(CALL(IsInScalarTensor, half, x, false, false, one).result, "ran");
  EXPECT_THAT(one.Values(), ElementsAre(0));
  EXPECT_THAT(CALL(IsInTensorScalar, x, two, false, false, x).result,
              HasSubstr("'out' is int32 [3]; it must be bool"));
  EXPECT_THAT(CALL(IsInScalarTensor, two, x, false, false, each).result,
              HasSubstr("'out' is bool [3]; it must have one element"));
}

}  // namespace
}  // namespace softnpu
