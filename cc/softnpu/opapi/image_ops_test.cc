// cc/softnpu/opapi/image_ops_test.cc: windows and sizes of small pictures, counted by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(UpsampleBilinear2d, const Tensor*, const IntArray*, bool, double, double, Tensor*)
ACLNN_DECLARE(UpsampleBicubic2d, const Tensor*, const IntArray*, bool, double, double, Tensor*)
ACLNN_DECLARE(UpsampleNearest2d, const Tensor*, const IntArray*, Tensor*)
ACLNN_DECLARE(UpsampleNearest2dV2, const Tensor*, const IntArray*, float, float, Tensor*)
ACLNN_DECLARE(GridSampler2D, const Tensor*, const Tensor*, int64_t, int64_t, bool, Tensor*)
ACLNN_DECLARE(Im2col, const Tensor*, const IntArray*, const IntArray*, const IntArray*,
              const IntArray*, Tensor*)
ACLNN_DECLARE(AvgPool2d, const Tensor*, const IntArray*, const IntArray*, const IntArray*, bool,
              bool, int64_t, int8_t, Tensor*)
ACLNN_DECLARE(AdaptiveAvgPool2d, const Tensor*, const IntArray*, Tensor*)
ACLNN_DECLARE(Convolution, const Tensor*, const Tensor*, const Tensor*, const IntArray*,
              const IntArray*, const IntArray*, bool, const IntArray*, int64_t, Tensor*, int8_t)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor* const kNone = nullptr;
constexpr int8_t kKeepType = 0;

TEST(Upsample, WeighsTheTwoNearest) {
  const DeviceTensor x(DType::kHalf, {1, 1, 1, 2}, {0, 4});
  const DeviceTensor four(DType::kHalf, {1, 1, 1, 4});
  // Centres of the four lie at -1/4, 1/4, 3/4 and 5/4 of the two.
  const Outcome outcome = CALL(UpsampleBilinear2d, x, HostInts({1, 4}), false, 0.0, 0.0, four);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(four.Values(), ElementsAre(0, 1, 3, 4));
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads [1, 1, 1, 2]", "out writes [1, 1, 1, 4]"));
  const DeviceTensor three(DType::kHalf, {1, 1, 1, 3});
  ASSERT_EQ(CALL(UpsampleBilinear2d, x, HostInts({1, 3}), true, 0.0, 0.0, three).result, "ran");
  EXPECT_THAT(three.Values(), ElementsAre(0, 2, 4));
  // A scale of 4 puts them at -3/8, -1/8, 1/8 and 3/8.
  ASSERT_EQ(CALL(UpsampleBilinear2d, x, HostInts({1, 4}), false, 1.0, 4.0, four).result, "ran");
  EXPECT_THAT(four.Values(), ElementsAre(0, 0, 0.5, 1.5));
}

TEST(Upsample, FitsACubicThroughFour) {
  // Keys' kernel with -3/4: the right one of two has -27/256 of it at -1/4, and 58/256 at 1/4.
  const DeviceTensor x(DType::kFloat, {1, 1, 1, 2}, {0, 4});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 4});
  ASSERT_EQ(CALL(UpsampleBicubic2d, x, HostInts({1, 4}), false, 0.0, 0.0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-0.421875, 0.90625, 3.09375, 4.421875));
}

TEST(Upsample, TakesTheNearest) {
  const DeviceTensor x(DType::kBfloat16, {1, 1, 2, 1}, {1, 2});
  const DeviceTensor out(DType::kBfloat16, {1, 1, 5, 1});
  ASSERT_EQ(CALL(UpsampleNearest2d, x, HostInts({5, 1}), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 1, 1, 2, 2));
  ASSERT_EQ(CALL(UpsampleNearest2dV2, x, HostInts({5, 1}), 4.0F, 1.0F, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 1, 1, 1, 2));
  ASSERT_EQ(CALL(UpsampleNearest2dV2, x, HostInts({5, 1}), -1.0F, -1.0F, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 1, 1, 2, 2)) << "-1 stands for the sizes' ratio";
}

constexpr int64_t kBilinear = 0, kNearest = 1, kZeros = 0, kBorder = 1, kReflection = 2;

TEST(GridSampler2D, TakesValuesAtPlaces) {
  const DeviceTensor x(DType::kFloat, {1, 1, 1, 2}, {8, 16});
  // x of the middle, of a quarter to the right, and of half a pixel beyond the right edge.
  const DeviceTensor places(DType::kFloat, {1, 1, 3, 2}, {0, 0, 0.25, 0, 1.5, 0});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 3});
  const Outcome outcome = CALL(GridSampler2D, x, places, kBilinear, kZeros, false, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(outcome.accesses, ElementsAre("input reads [1, 1, 1, 2]", "grid reads [1, 1, 3, 2]",
                                            "out writes [1, 1, 1, 3]"));
  // Pixels are centred at -1/2 and 1/2: 1.5 is one pixel beyond the last.
  EXPECT_THAT(out.Values(), ElementsAre(12, 14, 0));
  ASSERT_EQ(CALL(GridSampler2D, x, places, kBilinear, kBorder, false, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(12, 14, 16));
  ASSERT_EQ(CALL(GridSampler2D, x, places, kBilinear, kReflection, false, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(12, 14, 16));
  // Aligned corners: pixels are centred at -1 and 1.
  ASSERT_EQ(CALL(GridSampler2D, x, places, kBilinear, kReflection, true, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(12, 13, 14));
  ASSERT_EQ(CALL(GridSampler2D, x, places, kNearest, kBorder, false, out).result, "ran");
  EXPECT_EQ(out.Values()[1], 16);
}

TEST(GridSampler2D, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {1, 1, 1, 2}, {8, 16});
  const DeviceTensor places(DType::kFloat, {1, 1, 1, 2}, {0, 0});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 1});
  const auto error = [&](const DeviceTensor& in, const DeviceTensor& grid, int64_t mode,
                         int64_t padding, const DeviceTensor& to) {
    return CALL(GridSampler2D, in, grid, mode, padding, false, to).result;
  };
  EXPECT_THAT(error(x, places, 3, 0, out), HasSubstr("'interpolationMode' is 3; it must be 0"));
  EXPECT_THAT(error(x, places, 0, -1, out), HasSubstr("'paddingMode' is -1; it must be 0, 1 or 2"));
  EXPECT_THAT(error(DeviceTensor(DType::kBfloat16, {1, 1, 1, 2}, {8, 16}), places, 0, 0, out),
              HasSubstr("it must be float32, float16 or float64 of 4 dimensions"));
  EXPECT_THAT(error(x, DeviceTensor(DType::kHalf, {1, 1, 1, 2}, {0, 0}), 0, 0, out),
              HasSubstr("it must have its type, 1 pictures"));
  EXPECT_THAT(error(x, DeviceTensor(DType::kFloat, {2, 1, 1, 2}, {0, 0, 0, 0}), 0, 0, out),
              HasSubstr("1 pictures and 2 numbers for each place"));
  EXPECT_THAT(error(x, places, 0, 0, DeviceTensor(DType::kHalf, {1, 1, 1, 1})),
              HasSubstr("'out' is"));
  EXPECT_THAT(error(x, places, 0, 0, DeviceTensor(DType::kFloat, {1, 1, 1, 2})),
              HasSubstr("[1, 1, 1, 2]"));
}

TEST(Upsample, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {1, 1, 1, 2}, {0, 4});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 4});
  const DeviceTensor half(DType::kHalf, {1, 1, 1, 4});
  const DeviceTensor flat(DType::kFloat, {1, 1, 2}, {0, 4});
  const DeviceTensor whole(DType::kInt32, {1, 1, 1, 2}, {0, 4});
  const auto error = [](const DeviceTensor& in, const HostInts& size, double scale,
                        const DeviceTensor& to) {
    return CALL(UpsampleBilinear2d, in, size, false, scale, 0.0, to).result;
  };
  EXPECT_THAT(error(x, HostInts({4}), 0, out), HasSubstr("'outputSize' has 1 numbers"));
  EXPECT_THAT(error(x, HostInts({1, 0}), 0, out),
              HasSubstr("'outputSize' has 0; its numbers must"));
  EXPECT_THAT(error(x, HostInts({1, 4}), -1, out), HasSubstr("'scalesH' is -1"));
  EXPECT_THAT(error(x, HostInts({1, 4}), 0, half), HasSubstr("'out' is float16 [1, 1, 1, 4]"));
  EXPECT_THAT(error(x, HostInts({1, 3}), 0, out), HasSubstr("'out' is float32 [1, 1, 1, 4]"));
  EXPECT_THAT(error(flat, HostInts({1, 4}), 0, out), HasSubstr("of 4 to 4 dimensions"));
  EXPECT_THAT(error(whole, HostInts({1, 4}), 0, out), HasSubstr("'self' is int32"));
}

TEST(Im2col, GivesWindowsAsColumns) {
  const DeviceTensor x(DType::kFloat, {1, 1, 3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  const DeviceTensor out(DType::kFloat, {1, 4, 4});
  const HostInts one({1, 1});
  const HostInts two({2, 2});
  const HostInts none({0, 0});
  ASSERT_EQ(CALL(Im2col, x, two, one, none, one, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 2, 4, 5, 2, 3, 5, 6, 4, 5, 7, 8, 5, 6, 8, 9));
  EXPECT_THAT(CALL(Im2col, x, two, one, HostInts({-1, 0}), one, out).result,
              HasSubstr("'padding' has -1; its numbers must be at least 0"));
  EXPECT_THAT(CALL(Im2col, x, two, one, none, two, out).result,
              HasSubstr("'out' is float32 [1, 4, 4], the result is float32 [1, 4, 1]"));
}

TEST(AvgPool2d, AveragesWindows) {
  const DeviceTensor x(DType::kFloat, {1, 1, 2, 2}, {1, 2, 3, 6});
  const DeviceTensor one(DType::kFloat, {1, 1, 1, 1});
  const HostInts two({2, 2});
  const HostInts none({0, 0});
  ASSERT_EQ(CALL(AvgPool2d, x, two, two, none, false, true, 0, kKeepType, one).result, "ran");
  EXPECT_THAT(one.Values(), ElementsAre(3));
  ASSERT_EQ(CALL(AvgPool2d, x, two, two, none, false, true, 2, kKeepType, one).result, "ran");
  EXPECT_THAT(one.Values(), ElementsAre(6));
  const DeviceTensor four(DType::kFloat, {1, 1, 2, 2});
  const HostInts border({1, 1});
  ASSERT_EQ(CALL(AvgPool2d, x, two, two, border, false, true, 0, kKeepType, four).result, "ran");
  EXPECT_THAT(four.Values(), ElementsAre(0.25, 0.5, 0.75, 1.5));
  ASSERT_EQ(CALL(AvgPool2d, x, two, two, border, false, false, 0, kKeepType, four).result, "ran");
  EXPECT_THAT(four.Values(), ElementsAre(1, 2, 3, 6));
  EXPECT_THAT(CALL(AvgPool2d, x, two, two, none, false, true, 0, int8_t{4}, one).result,
              HasSubstr("'cubeMathType' is 4"));
}

TEST(AdaptiveAvgPool2d, DividesAPicture) {
  const DeviceTensor x(DType::kFloat, {1, 1, 1, 4}, {1, 3, 5, 9});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 2});
  ASSERT_EQ(CALL(AdaptiveAvgPool2d, x, HostInts({1, 2}), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 7));
}

TEST(Convolution, SumsProductsOfWindows) {
  const HostInts one({1});
  const HostInts none({0});
  const DeviceTensor x(DType::kFloat, {1, 1, 4}, {1, 2, 4, 7});
  const DeviceTensor weight(DType::kFloat, {1, 1, 2}, {1, -1});
  const DeviceTensor bias(DType::kFloat, {1}, {10});
  const DeviceTensor out(DType::kFloat, {1, 1, 3});
  ASSERT_EQ(
      CALL(Convolution, x, weight, bias, one, none, one, false, none, 1, out, kKeepType).result,
      "ran");
  EXPECT_THAT(out.Values(), ElementsAre(9, 8, 7));

  // Two groups of one channel each, without a bias.
  const DeviceTensor pair(DType::kHalf, {1, 2, 2}, {1, 2, 3, 4});
  const DeviceTensor factors(DType::kHalf, {2, 1, 1}, {10, 100});
  const DeviceTensor scaled(DType::kHalf, {1, 2, 2});
  ASSERT_EQ(
      CALL(Convolution, pair, factors, kNone, one, none, one, false, none, 2, scaled, kKeepType)
          .result,
      "ran");
  EXPECT_THAT(scaled.Values(), ElementsAre(10, 20, 300, 400));

  const DeviceTensor two(DType::kFloat, {1, 1, 2}, {1, 2});
  const DeviceTensor spread(DType::kFloat, {1, 1, 2}, {1, 10});
  const DeviceTensor wide(DType::kFloat, {1, 1, 4});
  ASSERT_EQ(CALL(Convolution, two, spread, kNone, HostInts({2}), none, one, true, none, 1, wide,
                 kKeepType)
                .result,
            "ran");
  EXPECT_THAT(wide.Values(), ElementsAre(1, 10, 2, 20));
}

TEST(Convolution, RefusesByName) {
  const HostInts one({1});
  const HostInts none({0});
  const DeviceTensor x(DType::kFloat, {1, 1, 4}, {1, 2, 4, 7});
  const DeviceTensor weight(DType::kFloat, {1, 1, 2}, {1, -1});
  const DeviceTensor half(DType::kHalf, {1, 1, 2}, {1, -1});
  const DeviceTensor out(DType::kFloat, {1, 1, 3});
  const auto error = [&](const DeviceTensor& by, const HostInts& stride, int64_t groups) {
    return CALL(Convolution, x, by, kNone, stride, none, one, false, none, groups, out, kKeepType)
        .result;
  };
  EXPECT_THAT(error(half, one, 1), HasSubstr("float16 [1, 1, 2]"));
  EXPECT_THAT(error(weight, HostInts({1, 1}), 1), HasSubstr("'stride' has 2 numbers"));
  EXPECT_THAT(error(weight, none, 1), HasSubstr("'stride' has 0; its numbers must be at least 1"));
  EXPECT_THAT(error(weight, one, 0), HasSubstr("'groups' is 0"));
  EXPECT_THAT(error(weight, one, 3), HasSubstr("aten::convolution on the host"));
}

}  // namespace
}  // namespace softnpu
