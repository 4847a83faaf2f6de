// cc/softnpu/opapi/pool_ops_test.cc: windows of small pictures and volumes, counted by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

#define DECLARE_MAX_POOL(NAME)                                                                \
  ACLNN_DECLARE(NAME, const Tensor*, const IntArray*, const IntArray*, const IntArray*,       \
                const IntArray*, bool, Tensor*, Tensor*)                                      \
  ACLNN_DECLARE(NAME##Backward, const Tensor*, const Tensor*, const Tensor*, const IntArray*, \
                const IntArray*, const IntArray*, const IntArray*, bool, Tensor*)
DECLARE_MAX_POOL(MaxPool2dWithIndices)
DECLARE_MAX_POOL(MaxPool2dWithMask)
DECLARE_MAX_POOL(MaxPool3dWithArgmax)
#define DECLARE_ADAPTIVE_MAX(NAME)                                      \
  ACLNN_DECLARE(NAME, const Tensor*, const IntArray*, Tensor*, Tensor*) \
  ACLNN_DECLARE(NAME##Backward, const Tensor*, const Tensor*, const Tensor*, Tensor*)
DECLARE_ADAPTIVE_MAX(AdaptiveMaxPool2d)
DECLARE_ADAPTIVE_MAX(AdaptiveMaxPool3d)
ACLNN_DECLARE(AvgPool3d, const Tensor*, const IntArray*, const IntArray*, const IntArray*, bool,
              bool, int64_t, Tensor*)
ACLNN_DECLARE(AvgPool3dBackward, const Tensor*, const Tensor*, const IntArray*, const IntArray*,
              const IntArray*, bool, bool, int64_t, Tensor*)
ACLNN_DECLARE(AvgPool2dBackward, const Tensor*, const Tensor*, const IntArray*, const IntArray*,
              const IntArray*, bool, bool, int64_t, int8_t, Tensor*)
ACLNN_DECLARE(AdaptiveAvgPool3d, const Tensor*, const IntArray*, Tensor*)
ACLNN_DECLARE(AdaptiveAvgPool2dBackward, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(AdaptiveAvgPool3dBackward, const Tensor*, const Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<double> kPicture = {1, 4, 2, 3, 0, 9};  // [1, 2, 3]

TEST(MaxPool2dWithIndices, TakesTheGreatest) {
  const HostInts two({2});
  const HostInts one({1});
  const HostInts none({0});
  const DeviceTensor x(DType::kHalf, {1, 2, 3}, kPicture);
  const DeviceTensor out(DType::kHalf, {1, 1, 2});
  const DeviceTensor at(DType::kInt32, {1, 1, 2});
  const Outcome outcome = CALL(MaxPool2dWithIndices, x, two, one, none, one, false, out, at);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(4, 9));
  EXPECT_THAT(at.Values(), ElementsAre(1, 5));
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads [1, 2, 3]", "out writes [1, 1, 2]",
                                            "indices writes [1, 1, 2]"));
  const DeviceTensor grad(DType::kHalf, {1, 1, 2}, {10, 20});
  const DeviceTensor given(DType::kHalf, {1, 2, 3});
  ASSERT_EQ(
      CALL(MaxPool2dWithIndicesBackward, grad, x, at, two, one, none, one, false, given).result,
      "ran");
  EXPECT_THAT(given.Values(), ElementsAre(0, 10, 0, 0, 0, 20));
}

// Windows of 2 by 2 with a border: the rows of the mask are the places of a window.
TEST(MaxPool2dWithMask, MarksThePlaceInTheWindow) {
  const HostInts two({2, 2});
  const HostInts one({1, 1});
  const DeviceTensor x(DType::kFloat, {1, 2, 3}, kPicture);
  const DeviceTensor out(DType::kFloat, {1, 2, 2});
  const DeviceTensor mask(DType::kInt8, {1, 4, 32});
  const HostInts stride({2, 2});
  ASSERT_EQ(CALL(MaxPool2dWithMask, x, two, stride, one, one, false, out, mask).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 4, 3, 9));
  // Result 0 (bit 1) is place 3 of its window, 1 (bit 2) place 2, 2 (bit 4) place 1, 3 place 1.
  const std::vector<int64_t> bits = mask.Integers();
  EXPECT_THAT((std::vector<int64_t>{bits[0], bits[32], bits[64], bits[96]}),
              ElementsAre(0, 12, 2, 1));
  const DeviceTensor grad(DType::kFloat, {1, 2, 2}, {1, 10, 100, 1000});
  const DeviceTensor given(DType::kFloat, {1, 2, 3});
  ASSERT_EQ(
      CALL(MaxPool2dWithMaskBackward, grad, x, mask, two, stride, one, one, false, given).result,
      "ran");
  EXPECT_THAT(given.Values(), ElementsAre(1, 10, 0, 100, 0, 1000));
  const DeviceTensor zeros(DType::kInt8, {1, 4, 1}, {0, 0, 0, 0});
  EXPECT_THAT(
      CALL(MaxPool2dWithMaskBackward, grad, x, zeros, two, stride, one, one, false, given).result,
      HasSubstr("'indices' has no place for result 0 of picture 0"));
}

TEST(MaxPool, RefusesByName) {
  const HostInts two({2});
  const HostInts one({1});
  const HostInts none({0});
  const DeviceTensor x(DType::kFloat, {1, 2, 3}, kPicture);
  const DeviceTensor line(DType::kFloat, {6}, kPicture);
  const DeviceTensor out(DType::kFloat, {1, 1, 2});
  const DeviceTensor half(DType::kHalf, {1, 1, 2});
  const DeviceTensor at(DType::kInt32, {1, 1, 2});
  const DeviceTensor mask(DType::kInt8, {1, 3, 32});
  const auto error = [&](const DeviceTensor& from, const HostInts& kernel, const HostInts& border,
                         const HostInts& apart, const DeviceTensor& to) {
    return CALL(MaxPool2dWithIndices, from, kernel, one, border, apart, false, to, at).result;
  };
  EXPECT_THAT(error(line, two, none, one, out), HasSubstr("it must have 3 to 4 dimensions"));
  EXPECT_THAT(error(x, none, none, one, out), HasSubstr("'kernelSize' has 0; its numbers must"));
  EXPECT_THAT(error(x, HostInts({2, 2, 2}), none, one, out), HasSubstr("'kernelSize' has 3 numb"));
  EXPECT_THAT(error(x, two, two, one, out),
              HasSubstr("'padding' has 2; for a window of 2 it must"));
  EXPECT_THAT(error(x, two, none, two, out), HasSubstr("'dilation' has 2; it must be 1"));
  EXPECT_THAT(error(x, two, none, one, half), HasSubstr("'out' is float16 [1, 1, 2], and 'self'"));
  EXPECT_THAT(
      CALL(MaxPool2dWithMask, x, two, one, none, one, false, out, mask).result,
      HasSubstr("'indices' is int8 [1, 3, 32]; it must have the pictures of 'self', float32 "
                "[1, 2, 3], and 4 rows"));
}

TEST(MaxPool3dWithArgmax, TakesTheGreatest) {
  const HostInts kernel({2, 1, 3});
  const HostInts one({1});
  const HostInts none({0});
  const DeviceTensor x(DType::kFloat, {1, 2, 1, 3}, kPicture);
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 1});
  const DeviceTensor at(DType::kInt32, {1, 1, 1, 1});
  ASSERT_EQ(CALL(MaxPool3dWithArgmax, x, kernel, kernel, none, one, false, out, at).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(9));
  EXPECT_THAT(at.Values(), ElementsAre(5));
  const DeviceTensor grad(DType::kFloat, {1, 1, 1, 1}, {7});
  const DeviceTensor given(DType::kFloat, {1, 2, 1, 3});
  ASSERT_EQ(CALL(MaxPool3dWithArgmaxBackward, grad, x, at, kernel, kernel, none, one, false, given)
                .result,
            "ran");
  EXPECT_THAT(given.Values(), ElementsAre(0, 0, 0, 0, 0, 7));
}

TEST(AdaptiveMaxPool, DividesAPictureAndAVolume) {
  const DeviceTensor x(DType::kFloat, {1, 2, 3}, kPicture);
  const DeviceTensor out(DType::kFloat, {1, 1, 2});
  const DeviceTensor at(DType::kInt64, {1, 1, 2});
  ASSERT_EQ(CALL(AdaptiveMaxPool2d, x, HostInts({1, 2}), out, at).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(4, 9));
  EXPECT_THAT(at.Values(), ElementsAre(1, 5));
  const DeviceTensor grad(DType::kFloat, {1, 1, 2}, {10, 20});
  const DeviceTensor given(DType::kFloat, {1, 2, 3});
  ASSERT_EQ(CALL(AdaptiveMaxPool2dBackward, grad, x, at, given).result, "ran");
  EXPECT_THAT(given.Values(), ElementsAre(0, 10, 0, 0, 0, 20));
  const DeviceTensor wrong(DType::kInt32, {1, 1, 2});
  EXPECT_THAT(CALL(AdaptiveMaxPool2d, x, HostInts({1, 2}), out, wrong).result,
              HasSubstr("'indices' is int32 [1, 1, 2]; its type must be one of int64"));

  const DeviceTensor deep(DType::kFloat, {1, 2, 1, 3}, kPicture);
  const DeviceTensor made(DType::kFloat, {1, 2, 1, 1});
  const DeviceTensor places(DType::kInt32, {1, 2, 1, 1});
  ASSERT_EQ(CALL(AdaptiveMaxPool3d, deep, HostInts({2, 1, 1}), made, places).result, "ran");
  EXPECT_THAT(made.Values(), ElementsAre(4, 9));
  EXPECT_THAT(places.Values(), ElementsAre(1, 5));
  const DeviceTensor slope(DType::kFloat, {1, 2, 1, 1}, {10, 20});
  const DeviceTensor back(DType::kFloat, {1, 2, 1, 3});
  const DeviceTensor wide(DType::kInt64, {1, 2, 1, 1}, {1, 5});
  ASSERT_EQ(CALL(AdaptiveMaxPool3dBackward, slope, deep, wide, back).result, "ran");
  EXPECT_THAT(back.Values(), ElementsAre(0, 10, 0, 0, 0, 20));
}

TEST(AvgPool3d, AveragesWindows) {
  const HostInts kernel({2, 1, 2});
  const HostInts one({1});
  const HostInts none({0});
  const DeviceTensor x(DType::kFloat, {1, 2, 1, 3}, {1, 3, 5, 7, 9, 11});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 2});
  ASSERT_EQ(CALL(AvgPool3d, x, kernel, one, none, false, true, 0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(5, 7));
  ASSERT_EQ(CALL(AvgPool3d, x, kernel, one, none, false, true, 2, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(10, 14));
  const DeviceTensor grad(DType::kFloat, {1, 1, 1, 2}, {4, 8});
  const DeviceTensor given(DType::kFloat, {1, 2, 1, 3});
  ASSERT_EQ(CALL(AvgPool3dBackward, grad, x, kernel, one, none, false, true, 0, given).result,
            "ran");
  EXPECT_THAT(given.Values(), ElementsAre(1, 3, 2, 1, 3, 2));
  EXPECT_THAT(CALL(AvgPool3d, x, kernel, one, one, false, true, 0, out).result,
              HasSubstr("'padding' has 1; for a window of 1 it must be at most half of that"));
}

TEST(AvgPool2dBackward, SharesAGradient) {
  const HostInts two({2});
  const HostInts none({0});
  const DeviceTensor x(DType::kHalf, {1, 2, 2}, {1, 2, 3, 4});
  const DeviceTensor grad(DType::kHalf, {1, 1, 1}, {8});
  const DeviceTensor given(DType::kHalf, {1, 2, 2});
  ASSERT_EQ(
      CALL(AvgPool2dBackward, grad, x, two, two, none, false, true, 0, int8_t{0}, given).result,
      "ran");
  EXPECT_THAT(given.Values(), ElementsAre(2, 2, 2, 2));
}

TEST(AdaptiveAvgPool, DividesAVolume) {
  const DeviceTensor x(DType::kFloat, {1, 2, 1, 2}, {1, 3, 5, 9});
  const DeviceTensor out(DType::kFloat, {1, 2, 1, 1});
  ASSERT_EQ(CALL(AdaptiveAvgPool3d, x, HostInts({2, 1, 1}), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 7));
  const DeviceTensor grad(DType::kFloat, {1, 2, 1, 1}, {2, 6});
  const DeviceTensor given(DType::kFloat, {1, 2, 1, 2});
  ASSERT_EQ(CALL(AdaptiveAvgPool3dBackward, grad, x, given).result, "ran");
  EXPECT_THAT(given.Values(), ElementsAre(1, 1, 3, 3));
  const DeviceTensor picture(DType::kFloat, {1, 2, 2}, {1, 3, 5, 9});
  const DeviceTensor slope(DType::kFloat, {1, 2, 1}, {2, 6});
  const DeviceTensor back(DType::kFloat, {1, 2, 2});
  ASSERT_EQ(CALL(AdaptiveAvgPool2dBackward, slope, picture, back).result, "ran");
  EXPECT_THAT(back.Values(), ElementsAre(1, 1, 3, 3));
}

}  // namespace
}  // namespace softnpu
