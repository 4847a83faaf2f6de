// cc/softnpu/opapi/quant_ops_test.cc: rounding to int8.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(DynamicQuant, const Tensor*, const Tensor*, const Tensor*, const Tensor*)
ACLNN_DECLARE(DynamicQuantV2, const Tensor*, const Tensor*, const Tensor*, int64_t, const Tensor*,
              const Tensor*, const Tensor*)
ACLNN_DECLARE(AscendQuant, const Tensor*, const Tensor*, const Tensor*, bool, const char*, int32_t,
              const Tensor*)
ACLNN_DECLARE(AscendQuantV3, const Tensor*, const Tensor*, const Tensor*, bool, const char*,
              int32_t, int32_t, const Tensor*)
ACLNN_DECLARE(Quantize, const Tensor*, const Tensor*, const Tensor*, int32_t, int32_t,
              const Tensor*)
ACLNN_DECLARE(TransQuantParamV2, const Tensor*, const Tensor*, const Tensor*)
ACLNN_DECLARE(TransQuantParamV3, const Tensor*, const Tensor*, int64_t, const Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

constexpr auto kInt8 = static_cast<int32_t>(DType::kInt8);
constexpr const Tensor* kNone = nullptr;

std::string Refused(const char* name, const std::string& sentence, int32_t code = 161002) {
  return "refused " + std::to_string(code) + ": aclnn" + name + ": " + sentence;
}

// 127 and 12.7 are the largest magnitudes, so that the scales are 1 and about 0.1; 0.5 and 2.5 are
// ties.
TEST(DynamicQuant, DividesEachRowByItsLargestMagnitude) {
  const DeviceTensor x(DType::kHalf, {3, 4}, {127, 0.5, 2.5, -3.5, -12.7, 6.3, 0, 0.1, 0, 0, 0, 0});
  const DeviceTensor y(DType::kInt8, {3, 4});
  const DeviceTensor scale(DType::kFloat, {3});
  ASSERT_EQ(CALL(DynamicQuantV2, x, kNone, kNone, kInt8, y, scale, kNone).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(127, 0, 2, -4, -127, 63, 0, 1, 0, 0, 0, 0));
  const auto second = static_cast<float>(Rounded(DType::kHalf, 12.7)) / 127.0F;
  EXPECT_THAT(scale.Values(), ElementsAre(1, static_cast<double>(second), 0));
  const DeviceTensor again(DType::kInt8, {3, 4});
  ASSERT_EQ(CALL(DynamicQuant, x, kNone, again, scale).result, "ran");
  EXPECT_EQ(again.Values(), y.Values());
}

// Every row comes back to within half a step, and its largest magnitude is 127.
TEST(DynamicQuant, KeepsRowsToHalfAStep) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal(0, 3);
  std::vector<double> values(20 * 33);
  for (double& value : values) value = Rounded(DType::kBfloat16, normal(random));
  // Columns that do not lie side by side.
  const DeviceTensor x(DType::kBfloat16, {4, 5, 33}, {165, 33, 1}, 0, values);
  const DeviceTensor y(DType::kInt8, {4, 5, 33});
  const DeviceTensor scale(DType::kFloat, {4, 5});
  ASSERT_EQ(CALL(DynamicQuantV2, x, kNone, kNone, kInt8, y, scale, kNone).result, "ran");
  for (size_t row = 0; row < 20; ++row) {
    const double step = scale.Values()[row];
    double largest = 0;
    for (size_t i = row * 33; i < (row + 1) * 33; ++i) {
      // Half a step, and the roundings of scale and quotient: 128 steps of 2^-23.
      EXPECT_NEAR(y.Values()[i] * step, values[i], step * (0.5 + 128 * 0x1p-22));
      largest = std::max(largest, std::abs(y.Values()[i]));
    }
    EXPECT_EQ(largest, 127);
  }
}

TEST(DynamicQuant, MultipliesByTheFactorsOfARowsGroup) {
  const DeviceTensor x(DType::kHalf, {3, 2}, {127, 1, 127, 1, 127, 1});
  const DeviceTensor factors(DType::kHalf, {2, 2}, {1, 64, 0.5, 127});
  const DeviceTensor groups(DType::kInt32, {2}, {1, 3});
  const DeviceTensor y(DType::kInt8, {3, 2});
  const DeviceTensor scale(DType::kFloat, {3});
  ASSERT_EQ(CALL(DynamicQuantV2, x, factors, groups, kInt8, y, scale, kNone).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(127, 64, 64, 127, 64, 127));
  const DeviceTensor one(DType::kHalf, {2}, {0.25, 64});
  ASSERT_EQ(CALL(DynamicQuantV2, x, one, kNone, kInt8, y, scale, kNone).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(63, 127, 63, 127, 63, 127));
  const DeviceTensor few(DType::kInt32, {2}, {1, 2});
  EXPECT_THAT(CALL(DynamicQuantV2, x, factors, few, kInt8, y, scale, kNone).result,
              HasSubstr("507015: aclnnDynamicQuantV2: 'group_index' holds 2 at 1; of 3 rows"));
}

// The least is -128 and the largest 127: x = (y - offset) * scale.
TEST(DynamicQuant, ShiftsRowsThatAreNotSymmetric) {
  const DeviceTensor x(DType::kHalf, {1, 4}, {-1, 254, 0, 100});
  const DeviceTensor y(DType::kInt8, {1, 4});
  const DeviceTensor scale(DType::kFloat, {1});
  const DeviceTensor offset(DType::kFloat, {1});
  ASSERT_EQ(CALL(DynamicQuantV2, x, kNone, kNone, kInt8, y, scale, offset).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(-128, 127, -127, -27));
  EXPECT_THAT(scale.Values(), ElementsAre(1));
  EXPECT_THAT(offset.Values(), ElementsAre(-127));
}

TEST(DynamicQuant, RefusesWhatTheDeviceRefuses) {
  const DeviceTensor x(DType::kHalf, {2, 4}, std::vector<double>(8, 1));
  const DeviceTensor y(DType::kInt8, {2, 4});
  const DeviceTensor scale(DType::kFloat, {2});
  const DeviceTensor floats(DType::kFloat, {2, 4}, std::vector<double>(8, 1));
  const auto call = [&](const Tensor* in, const Tensor* smooth, const Tensor* groups,
                        int64_t dtype) {
    return CALL(DynamicQuantV2, in, smooth, groups, dtype, y, scale, kNone).result;
  };
  EXPECT_EQ(call(floats, kNone, kNone, kInt8),
            Refused("DynamicQuantV2", "'x' is float32 [2, 4], it must be float16 or bfloat16"));
  EXPECT_EQ(call(x, kNone, kNone, 29),
            Refused("DynamicQuantV2",
                    "the result is to have the type 29; SoftNPU quantises to int8 (2)", 561103));
  const DeviceTensor line(DType::kHalf, {4}, {1, 1, 1, 1});
  EXPECT_EQ(call(line, kNone, kNone, kInt8),
            Refused("DynamicQuantV2", "'x' is float16 [4], it must have 2 to 8 dimensions"));
  const DeviceTensor two(DType::kHalf, {2, 4}, std::vector<double>(8, 1));
  EXPECT_EQ(call(x, two, kNone, kInt8),
            Refused("DynamicQuantV2", "'smooth_scales' is float16 [2, 4], it must be float16 [4]"));
  const DeviceTensor wide(DType::kFloat, {4}, {1, 1, 1, 1});
  EXPECT_EQ(call(x, wide, kNone, kInt8),
            Refused("DynamicQuantV2", "'smooth_scales' is float32 [4], it must be float16"));
  const DeviceTensor groups(DType::kInt64, {2}, {1, 2});
  EXPECT_EQ(call(x, two, groups, kInt8),
            Refused("DynamicQuantV2", "'group_index' is int64 [2], it must be int32"));
  const DeviceTensor right(DType::kInt32, {2}, {1, 2});
  EXPECT_EQ(call(x, kNone, right, kInt8),
            Refused("DynamicQuantV2", "'group_index' is given without 'smooth_scales'"));
  EXPECT_EQ(call(x, line, right, kInt8),
            Refused("DynamicQuantV2", "'smooth_scales' is float16 [4], it must be float16 [2, 4]"));
}

// 2.5 and 3.5 are ties; 300 does not fit.
TEST(Quantize, DividesAndAddsAZero) {
  const DeviceTensor x(DType::kFloat, {2, 4}, {5, 7, 600, -600, 1, -1, 0, 2});
  const DeviceTensor y(DType::kInt8, {2, 4});
  const DeviceTensor one(DType::kFloat, {1}, {2});
  ASSERT_EQ(CALL(Quantize, x, one, kNone, kInt8, -1, y).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(2, 4, 127, -128, 0, 0, 0, 1));
  const DeviceTensor each(DType::kFloat, {4}, {1, 2, 100, 100});
  const DeviceTensor zeros(DType::kInt8, {4}, {1, -1, 10, -10});
  ASSERT_EQ(CALL(Quantize, x, each, zeros, kInt8, 1, y).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(6, 2, 16, -16, 2, -2, 10, -10));
  const DeviceTensor rows(DType::kFloat, {2}, {10, 1});
  ASSERT_EQ(CALL(Quantize, x, rows, kNone, kInt8, 0, y).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(0, 1, 60, -60, 1, -1, 0, 2));
}

TEST(Quantize, RefusesWhatTheDeviceRefuses) {
  const DeviceTensor x(DType::kBfloat16, {2, 4}, std::vector<double>(8, 1));
  const DeviceTensor y(DType::kInt8, {2, 4});
  const DeviceTensor wide(DType::kFloat, {1}, {1});
  EXPECT_EQ(CALL(Quantize, x, wide, kNone, kInt8, -1, y).result,
            Refused("Quantize", "'scales' is float32 [1], it must be bfloat16"));
  const DeviceTensor two(DType::kBfloat16, {2}, {1, 1});
  EXPECT_EQ(
      CALL(Quantize, x, two, kNone, kInt8, -1, y).result,
      Refused("Quantize", "'scales' is bfloat16 [2], it must have one dimension, of 1 or of 4"));
  const DeviceTensor one(DType::kBfloat16, {1}, {1});
  EXPECT_EQ(CALL(Quantize, x, one, two, kInt8, -1, y).result,
            Refused("Quantize", "'zero_points' is bfloat16 [2], it must be bfloat16 [1]"));
  EXPECT_EQ(CALL(Quantize, x, one, kNone, kInt8, 2, y).result,
            Refused("Quantize", "'axis' is 2; 'x' is bfloat16 [2, 4]"));
}

TEST(AscendQuant, MultipliesAndAdds) {
  const DeviceTensor x(DType::kHalf, {2, 2}, {5, 7, 300, -3});
  const DeviceTensor y(DType::kInt8, {2, 2});
  const DeviceTensor half(DType::kHalf, {1}, {0.5});
  const DeviceTensor shift(DType::kHalf, {1}, {-1});
  ASSERT_EQ(CALL(AscendQuantV3, x, half, kNone, false, "round", kInt8, -1, y).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(2, 4, 127, -2));
  ASSERT_EQ(CALL(AscendQuant, x, half, shift, true, "round", kInt8, y).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(0, 1, 74, -2));
  const DeviceTensor rows(DType::kHalf, {2, 1}, {1, 0.25});
  ASSERT_EQ(CALL(AscendQuantV3, x, rows, kNone, false, "round", kInt8, -2, y).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(5, 7, 75, -1));
  const DeviceTensor apart(DType::kHalf, {2, 1}, {3, 1}, 0, {1, 9, 9, 0.25});
  ASSERT_EQ(CALL(AscendQuantV3, x, apart, kNone, false, "round", kInt8, -2, y).result, "ran");
  EXPECT_THAT(y.Values(), ElementsAre(5, 7, 75, -1));
  EXPECT_EQ(CALL(AscendQuantV3, x, half, kNone, false, "floor", kInt8, -1, y).result,
            Refused("AscendQuantV3", "'round_mode' is floor; SoftNPU has round", 561103));
  EXPECT_EQ(CALL(AscendQuantV3, x, half, kNone, false, "round", kInt8, -3, y).result,
            Refused("AscendQuantV3",
                    "'axis' is -3; it must be one of the last two dimensions of float16 [2, 2]"));
  const DeviceTensor wide(DType::kFloat, {1}, {1});
  EXPECT_EQ(CALL(AscendQuantV3, x, wide, kNone, false, "round", kInt8, -1, y).result,
            Refused("AscendQuantV3", "'scale' is float32 [1], it must be float16"));
  EXPECT_EQ(CALL(AscendQuantV3, x, rows, kNone, false, "round", kInt8, -1, y).result,
            Refused("AscendQuantV3",
                    "'scale' is float16 [2, 1], 'x' float16 [2, 2]; it must have one element, or 2 "
                    "along dimension 1"));
}

int64_t Bits(float value) { return static_cast<int64_t>(std::bit_cast<uint32_t>(value)); }
constexpr int64_t kMark = int64_t{1} << 46;

// Of 1 + 3 * 2^-12, 10 bits of fraction are 1 or, rounded, 1 + 2^-10.
TEST(TransQuantParam, KeepsNineteenBits) {
  const float scale = 1 + 3 * 0x1p-12F;
  const DeviceTensor scales(DType::kFloat, {2}, {static_cast<double>(scale), -0.5});
  const DeviceTensor out(DType::kInt64, {2});
  ASSERT_EQ(CALL(TransQuantParamV2, scales, kNone, out).result, "ran");
  EXPECT_THAT(out.Integers(), ElementsAre(Bits(1) | kMark, Bits(-0.5F) | kMark));
  ASSERT_EQ(CALL(TransQuantParamV3, scales, kNone, 1, out).result, "ran");
  EXPECT_THAT(out.Integers(), ElementsAre(Bits(1 + 0x1p-10F) | kMark, Bits(-0.5F) | kMark));
  EXPECT_EQ(CALL(TransQuantParamV3, scales, kNone, 2, out).result,
            Refused("TransQuantParamV3", "'round_mode' is 2; it must be 0 or 1"));
}

TEST(TransQuantParam, PacksAnOffset) {
  const DeviceTensor scale(DType::kFloat, {1}, {1});
  const DeviceTensor offsets(DType::kFloat, {5}, {2.5, -1, 300, -300, 255});
  const DeviceTensor out(DType::kInt64, {5});
  ASSERT_EQ(CALL(TransQuantParamV3, scale, offsets, 0, out).result, "ran");
  std::vector<int64_t> wanted;
  for (const int64_t nine : {2, 0x1FF, 0xFF, 0x100, 0xFF}) {
    wanted.push_back(Bits(1) | kMark | (nine << 37));
  }
  EXPECT_THAT(out.Integers(), ElementsAreArray(wanted));
  const DeviceTensor two(DType::kFloat, {2}, {1, 1});
  EXPECT_EQ(CALL(TransQuantParamV3, two, offsets, 0, out).result,
            Refused("TransQuantParamV3",
                    "'scale' is float32 [2], 'offset' float32 [5]; they differ in size"));
}

}  // namespace
}  // namespace softnpu
