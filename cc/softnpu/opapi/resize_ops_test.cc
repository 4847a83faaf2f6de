// cc/softnpu/opapi/resize_ops_test.cc: sizes of lines, pictures and volumes of two elements,
// counted by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(UpsampleNearest1d, const Tensor*, const IntArray*, Tensor*)
ACLNN_DECLARE(UpsampleNearest1dV2, const Tensor*, const IntArray*, float, Tensor*)
ACLNN_DECLARE(UpsampleNearestExact1d, const Tensor*, const IntArray*, double, Tensor*)
ACLNN_DECLARE(UpsampleNearestExact2d, const Tensor*, const IntArray*, double, double, Tensor*)
ACLNN_DECLARE(UpsampleNearest3d, const Tensor*, const IntArray*, double, double, double, Tensor*)
ACLNN_DECLARE(UpsampleNearestExact3d, const Tensor*, const IntArray*, double, double, double,
              Tensor*)
ACLNN_DECLARE(UpsampleLinear1d, const Tensor*, const IntArray*, bool, double, Tensor*)
ACLNN_DECLARE(UpsampleTrilinear3d, const Tensor*, const IntArray*, bool, double, double, double,
              Tensor*)
ACLNN_DECLARE(UpsampleBilinear2dAA, const Tensor*, const IntArray*, bool, double, double, Tensor*)
ACLNN_DECLARE(UpsampleBicubic2dAA, const Tensor*, const IntArray*, bool, double, double, Tensor*)
#define DECLARE_BACKWARD(NAME, ...) \
  ACLNN_DECLARE(NAME, const Tensor*, const IntArray*, const IntArray*, __VA_ARGS__, Tensor*)
DECLARE_BACKWARD(UpsampleNearest1dBackward, double)
DECLARE_BACKWARD(UpsampleNearestExact1dBackward, double)
DECLARE_BACKWARD(UpsampleNearest2dBackward, double, double)
DECLARE_BACKWARD(UpsampleNearestExact2dBackward, double, double)
DECLARE_BACKWARD(UpsampleNearest3dBackward, double, double, double)
DECLARE_BACKWARD(UpsampleNearestExact3dBackward, double, double, double)
DECLARE_BACKWARD(UpsampleLinear1dBackward, bool, double)
DECLARE_BACKWARD(UpsampleBilinear2dBackward, bool, double, double)
DECLARE_BACKWARD(UpsampleBilinear2dBackwardV2, bool, double, double)
DECLARE_BACKWARD(UpsampleBicubic2dBackward, bool, double, double)
DECLARE_BACKWARD(UpsampleBilinear2dAABackward, bool, double, double)
DECLARE_BACKWARD(UpsampleBicubic2dAAGrad, bool, double, double)
DECLARE_BACKWARD(UpsampleTrilinear3dBackward, bool, double, double, double)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A scale of 0 or less stands for the ratio of the sizes.
TEST(Resize, Lines) {
  for (const DType dtype : {DType::kFloat, DType::kHalf, DType::kBfloat16}) {
    const DeviceTensor x(dtype, {1, 1, 2}, {0, 4});
    const DeviceTensor out(dtype, {1, 1, 4});
    const DeviceTensor three(dtype, {1, 1, 3});
    ASSERT_EQ(CALL(UpsampleNearest1d, x, HostInts({4}), out).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(0, 0, 4, 4));
    ASSERT_EQ(CALL(UpsampleNearest1dV2, x, HostInts({4}), 3.0F, out).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(0, 0, 0, 4));
    ASSERT_EQ(CALL(UpsampleNearest1dV2, x, HostInts({3}), -1.0F, three).result, "ran");
    EXPECT_THAT(three.Values(), ElementsAre(0, 0, 4));
    // The centre of the middle one of three is 1, the border of the two.
    ASSERT_EQ(CALL(UpsampleNearestExact1d, x, HostInts({3}), 0.0, three).result, "ran");
    EXPECT_THAT(three.Values(), ElementsAre(0, 4, 4));
    ASSERT_EQ(CALL(UpsampleLinear1d, x, HostInts({4}), false, -1.0, out).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(0, 1, 3, 4));
    ASSERT_EQ(CALL(UpsampleLinear1d, x, HostInts({3}), true, 0.0, three).result, "ran");
    EXPECT_THAT(three.Values(), ElementsAre(0, 2, 4));
  }
}

TEST(Resize, PicturesAndVolumes) {
  const DeviceTensor x(DType::kFloat, {1, 1, 1, 2}, {0, 4});
  const DeviceTensor three(DType::kFloat, {1, 1, 1, 3});
  ASSERT_EQ(CALL(UpsampleNearestExact2d, x, HostInts({1, 3}), 0.0, 0.0, three).result, "ran");
  EXPECT_THAT(three.Values(), ElementsAre(0, 4, 4));
  // Smaller ones average, larger ones do as without.
  const DeviceTensor line(DType::kFloat, {1, 1, 1, 4}, {0, 0, 4, 4});
  const DeviceTensor one(DType::kFloat, {1, 1, 1, 1});
  ASSERT_EQ(CALL(UpsampleBilinear2dAA, line, HostInts({1, 1}), false, 0.0, 0.0, one).result, "ran");
  EXPECT_THAT(one.Values(), ElementsAre(2));
  ASSERT_EQ(CALL(UpsampleBicubic2dAA, line, HostInts({1, 1}), false, 0.0, 0.0, one).result, "ran");
  EXPECT_THAT(one.Values(), ElementsAre(2));
  const DeviceTensor deep(DType::kFloat, {1, 1, 2, 1, 1}, {0, 4});
  const DeviceTensor four(DType::kFloat, {1, 1, 4, 1, 1});
  const DeviceTensor between(DType::kFloat, {1, 1, 3, 1, 1});
  const HostInts size({4, 1, 1});
  const HostInts odd({3, 1, 1});
  ASSERT_EQ(CALL(UpsampleNearest3d, deep, odd, 0.0, 0.0, 0.0, between).result, "ran");
  EXPECT_THAT(between.Values(), ElementsAre(0, 0, 4));
  ASSERT_EQ(CALL(UpsampleNearestExact3d, deep, odd, 0.0, 0.0, 0.0, between).result, "ran");
  EXPECT_THAT(between.Values(), ElementsAre(0, 4, 4));
  ASSERT_EQ(CALL(UpsampleTrilinear3d, deep, size, false, 0.0, 0.0, 0.0, four).result, "ran");
  EXPECT_THAT(four.Values(), ElementsAre(0, 1, 3, 4));
}

TEST(ResizeBackward, Lines) {
  const DeviceTensor grad(DType::kFloat, {1, 1, 3}, {1, 10, 100});
  const DeviceTensor out(DType::kFloat, {1, 1, 2});
  const HostInts three({3});
  const HostInts input({1, 1, 2});
  ASSERT_EQ(CALL(UpsampleNearest1dBackward, grad, three, input, -1.0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(11, 100));
  ASSERT_EQ(CALL(UpsampleNearestExact1dBackward, grad, three, input, 0.0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 110));
  ASSERT_EQ(CALL(UpsampleLinear1dBackward, grad, three, input, true, 0.0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(6, 105));
}

TEST(ResizeBackward, PicturesAndVolumes) {
  const DeviceTensor grad(DType::kFloat, {1, 1, 1, 3}, {1, 10, 100});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 2});
  const HostInts size({1, 3});
  const HostInts input({1, 1, 1, 2});
  ASSERT_EQ(CALL(UpsampleNearest2dBackward, grad, size, input, 0.0, 0.0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(11, 100));
  ASSERT_EQ(CALL(UpsampleNearestExact2dBackward, grad, size, input, 0.0, 0.0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 110));
  ASSERT_EQ(CALL(UpsampleBilinear2dBackward, grad, size, input, true, 0.0, 0.0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(6, 105));
  ASSERT_EQ(CALL(UpsampleBilinear2dBackwardV2, grad, size, input, true, 0.0, 0.0, out).result,
            "ran");
  EXPECT_THAT(out.Values(), ElementsAre(6, 105));
  ASSERT_EQ(CALL(UpsampleBicubic2dBackward, grad, size, input, true, 0.0, 0.0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(6, 105)) << "Keys' kernel is symmetric at the middle";
  const DeviceTensor one(DType::kFloat, {1, 1, 1, 1}, {8});
  const DeviceTensor line(DType::kFloat, {1, 1, 1, 2});
  const HostInts single({1, 1});
  ASSERT_EQ(CALL(UpsampleBilinear2dAABackward, one, single, input, false, 0.0, 0.0, line).result,
            "ran");
  EXPECT_THAT(line.Values(), ElementsAre(4, 4));
  ASSERT_EQ(CALL(UpsampleBicubic2dAAGrad, one, single, input, false, 0.0, 0.0, line).result, "ran");
  EXPECT_THAT(line.Values(), ElementsAre(4, 4));
  const DeviceTensor deep(DType::kFloat, {1, 1, 3, 1, 1}, {1, 10, 100});
  const DeviceTensor given(DType::kFloat, {1, 1, 2, 1, 1});
  const HostInts depth({3, 1, 1});
  const HostInts from({1, 1, 2, 1, 1});
  ASSERT_EQ(CALL(UpsampleNearest3dBackward, deep, depth, from, 0.0, 0.0, 0.0, given).result, "ran");
  EXPECT_THAT(given.Values(), ElementsAre(11, 100));
  ASSERT_EQ(CALL(UpsampleNearestExact3dBackward, deep, depth, from, 0.0, 0.0, 0.0, given).result,
            "ran");
  EXPECT_THAT(given.Values(), ElementsAre(1, 110));
  ASSERT_EQ(CALL(UpsampleTrilinear3dBackward, deep, depth, from, true, 0.0, 0.0, 0.0, given).result,
            "ran");
  EXPECT_THAT(given.Values(), ElementsAre(6, 105));
}

TEST(Resize, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {1, 1, 2}, {0, 4});
  const DeviceTensor nothing(DType::kFloat, {0, 1, 2}, {});
  const DeviceTensor volume(DType::kFloat, {1, 1, 1, 1, 1}, {1});
  const DeviceTensor out(DType::kFloat, {1, 1, 4});
  const DeviceTensor half(DType::kHalf, {1, 1, 4});
  const HostInts four({4});
  EXPECT_THAT(CALL(UpsampleNearest1d, volume, four, out).result,
              HasSubstr("it must have 3 to 3 dimensions"));
  EXPECT_THAT(CALL(UpsampleNearest1d, x, HostInts({0}), out).result,
              HasSubstr("'outputSize' has 0; its numbers must be at least 1"));
  EXPECT_THAT(CALL(UpsampleNearest1d, x, four, half).result,
              HasSubstr("'out' is float16 [1, 1, 4], and 'self' is float32 [1, 1, 2]"));
  EXPECT_THAT(CALL(UpsampleNearest1d, nothing, four, out).result,
              HasSubstr("'self' is float32 [0, 1, 2]; it must not be empty"));
  EXPECT_THAT(CALL(UpsampleNearestExact1d, x, four, kNan, out).result,
              HasSubstr("a scale is nan; it must be a finite number"));
  EXPECT_THAT(
      CALL(UpsampleTrilinear3d, volume, HostInts({1, 1, 1}), false, 51.0, 0.0, 0.0, volume).result,
      HasSubstr("a scale is 51; it must be at most 50"));
  EXPECT_THAT(CALL(UpsampleNearest1dBackward, x, four, HostInts({1, 1, 2}), 0.0, out).result,
              HasSubstr("'gradOutput' is float32 [1, 1, 2]; by the sizes it is float32 [1, 1, 4]"));
}

}  // namespace
}  // namespace softnpu
