// cc/softnpu/opapi/fill_ops_test.cc: small diagonals and rows of one value that differs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(InplaceFillDiagonal, Tensor*, const Scalar*, bool)
ACLNN_DECLARE(OneHot, const Tensor*, int, const Tensor*, const Tensor*, int64_t, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(InplaceFillDiagonal, LeavesTheRest) {
  const HostScalar nine(DType::kInt64, 9);
  const DeviceTensor wide(DType::kHalf, {2, 3}, {1, 2, 3, 4, 5, 6});
  ASSERT_EQ(CALL(InplaceFillDiagonal, wide, nine, true).result, "ran");
  EXPECT_THAT(wide.Values(), ElementsAre(9, 2, 3, 4, 9, 6));
  const DeviceTensor tall(DType::kInt8, {5, 2});
  ASSERT_EQ(CALL(InplaceFillDiagonal, tall, nine, false).result, "ran");
  EXPECT_EQ(tall.Written(), "w..w......");
  ASSERT_EQ(CALL(InplaceFillDiagonal, tall, nine, true).result, "ran");
  EXPECT_EQ(tall.Written(), "w..w..w..w") << "a row is left out between two diagonals";
  const DeviceTensor cube(DType::kFloat, {2, 2, 2}, {0, 0, 0, 0, 0, 0, 0, 0});
  ASSERT_EQ(CALL(InplaceFillDiagonal, cube, nine, false).result, "ran");
  EXPECT_THAT(cube.Values(), ElementsAre(9, 0, 0, 0, 0, 0, 0, 9));
}

TEST(InplaceFillDiagonal, RefusesByName) {
  const HostScalar nine(DType::kInt64, 9);
  const HostScalar large(DType::kInt64, 128);
  const HostScalar real(DType::kFloat, 65505);
  const HostScalar infinity(DType::kFloat, kInfinity);
  const DeviceTensor line(DType::kFloat, {3}, {1, 2, 3});
  const DeviceTensor box(DType::kFloat, {1, 1, 2}, {1, 2});
  const DeviceTensor small(DType::kInt8, {1, 1}, {1});
  const DeviceTensor half(DType::kHalf, {1, 1}, {1});
  EXPECT_THAT(CALL(InplaceFillDiagonal, line, nine, false).result,
              HasSubstr("'selfRef' is float32 [3]; it must have 2 to 8 dimensions"));
  EXPECT_THAT(CALL(InplaceFillDiagonal, box, nine, false).result,
              HasSubstr("its dimensions must be equal where it has more than 2"));
  EXPECT_THAT(CALL(InplaceFillDiagonal, small, large, false).result,
              HasSubstr("'fillValue' is 128, which 'selfRef', int8 [1, 1], cannot hold"));
  EXPECT_THAT(CALL(InplaceFillDiagonal, half, real, false).result,
              HasSubstr("'fillValue' is 65505"));
  EXPECT_EQ(CALL(InplaceFillDiagonal, half, infinity, false).result, "ran");
  EXPECT_THAT(CALL(InplaceFillDiagonal, small, infinity, false).result, HasSubstr("cannot hold"));
}

TEST(OneHot, PutsClassesWhereTheAxisIs) {
  const DeviceTensor classes(DType::kInt64, {3}, {1, 0, 7});
  const DeviceTensor on(DType::kHalf, {1}, {5});
  const DeviceTensor off(DType::kHalf, {1}, {-1});
  const DeviceTensor last(DType::kHalf, {3, 2});
  const Outcome outcome = CALL(OneHot, classes, 2, on, off, -1, last);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(last.Values(), ElementsAre(-1, 5, 5, -1, -1, -1)) << "7 is no class";
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads [3]", "onValue reads [1]",
                                            "offValue reads [1]", "out writes [3, 2]"));
  const DeviceTensor first(DType::kHalf, {2, 3});
  ASSERT_EQ(CALL(OneHot, classes, 2, on, off, 0, first).result, "ran");
  EXPECT_THAT(first.Values(), ElementsAre(-1, 5, -1, 5, -1, -1));
}

TEST(OneHot, RefusesByName) {
  const DeviceTensor classes(DType::kInt64, {3}, {1, 0, 7});
  const DeviceTensor nothing(DType::kInt64, {0}, {});
  const DeviceTensor real(DType::kFloat, {3}, {1, 0, 7});
  const DeviceTensor on(DType::kInt64, {1}, {1});
  const DeviceTensor off(DType::kInt32, {1}, {0});
  const DeviceTensor out(DType::kInt64, {3, 2});
  const DeviceTensor none(DType::kInt64, {0, 0}, {});
  EXPECT_THAT(CALL(OneHot, real, 2, on, on, -1, out).result,
              HasSubstr("'self' is float32 [3]; its type must be one of"));
  EXPECT_THAT(CALL(OneHot, classes, 2, on, off, -1, out).result,
              HasSubstr("'offValue' is int32 [1], and 'out' is int64 [3, 2]"));
  EXPECT_THAT(CALL(OneHot, classes, 3, on, on, -1, out).result,
              HasSubstr("'out' is int64 [3, 2], the result is int64 [3, 3]"));
  EXPECT_THAT(CALL(OneHot, classes, -1, on, on, -1, out).result,
              HasSubstr("'numClasses' is -1; with a 'self' of int64 [3] it must be at least 0"));
  EXPECT_THAT(CALL(OneHot, nothing, 0, on, on, -1, none).result,
              HasSubstr("'numClasses' is 0; with a 'self' of int64 [0] it must be at least 1"));
  EXPECT_THAT(CALL(OneHot, classes, 2, on, on, 2, out).result,
              HasSubstr("'axis' is 2; for a 'self' of int64 [3] it must be -1 to 1"));
}

}  // namespace
}  // namespace softnpu
