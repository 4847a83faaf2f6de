// cc/softnpu/opapi/quant_matmul_ops_test.cc: products of int8 matrices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/quantise.h"
#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(QuantMatmulV5, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, const Tensor*, const Tensor*, const Tensor*, const Tensor*, bool, bool,
              int64_t, const Tensor*)

namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const Tensor* kNone = nullptr;

std::vector<double> Random(size_t count, int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::uniform_int_distribution<int> number(-128, 127);
  std::vector<double> out(count);
  for (double& value : out) value = number(random);
  return out;
}

struct Arguments {
  const DeviceTensor* x1;
  const DeviceTensor* x2;
  const DeviceTensor* scale;
  const DeviceTensor* out;
  const DeviceTensor* row_scale = nullptr;
  const DeviceTensor* offset = nullptr;
  const DeviceTensor* bias = nullptr;
  bool transpose_x2 = false;
};

std::string Multiply(const Arguments& a) {
  const auto maybe = [](const DeviceTensor* one) -> const Tensor* {
    return one == nullptr ? nullptr : static_cast<Tensor*>(*one);
  };
  return CALL(QuantMatmulV5, maybe(a.x1), maybe(a.x2), maybe(a.row_scale), maybe(a.scale), kNone,
              kNone, maybe(a.offset), kNone, maybe(a.bias), false, a.transpose_x2, int64_t{0},
              maybe(a.out))
      .result;
}

std::string Refused(const std::string& sentence, int32_t code = 161002) {
  return "refused " + std::to_string(code) + ": aclnnQuantMatmulV5: " + sentence;
}

// Sums of up to 3000 * 2^14 are beyond what float32 has, and exact.
TEST(QuantMatmul, SumsExactly) {
  constexpr int64_t kM = 3;
  constexpr int64_t kK = 3000;
  constexpr int64_t kN = 5;
  std::vector<double> a = Random(kM * kK, 1);
  std::vector<double> b = Random(kK * kN, 2);
  std::fill(a.begin(), a.begin() + kK, -128);
  for (size_t i = 0; i < kK; ++i) b[i * kN] = -128;
  std::vector<int64_t> wanted(kM * kN);
  for (size_t m = 0; m < kM; ++m) {
    for (size_t k = 0; k < kK; ++k) {
      for (size_t n = 0; n < kN; ++n) {
        wanted[m * kN + n] += static_cast<int64_t>(a[m * kK + k] * b[k * kN + n]);
      }
    }
  }
  EXPECT_EQ(wanted[0], int64_t{3000} << 14);
  const DeviceTensor x1(DType::kInt8, {kM, kK}, a);
  const DeviceTensor x2(DType::kInt8, {kK, kN}, b);
  const DeviceTensor scale(DType::kFloat, {1}, {3});  // of no influence
  const DeviceTensor sums(DType::kInt32, {kM, kN});
  ASSERT_EQ(Multiply({&x1, &x2, &scale, &sums}), "ran");
  EXPECT_EQ(sums.Values(), std::vector<double>(wanted.begin(), wanted.end()));
}

// [1 2; 3 4] @ [1 10 100; 2 20 200] = [5 50 500; 11 110 1100].
class Small : public ::testing::Test {
 protected:
  const DeviceTensor x1{DType::kInt8, {2, 2}, {1, 2, 3, 4}};
  const DeviceTensor x2{DType::kInt8, {2, 3}, {1, 10, 100, 2, 20, 127}};
  const DeviceTensor turned{DType::kInt8, {3, 2}, {1, 2, 10, 20, 100, 127}};
  const DeviceTensor scale{DType::kFloat, {3}, {1, 0.5, 2}};
  const DeviceTensor row_scale{DType::kFloat, {2}, {1, 10}};
  const DeviceTensor wide{DType::kBfloat16, {2, 3}};
  const DeviceTensor half{DType::kHalf, {2, 3}};
  const DeviceTensor whole{DType::kInt8, {2, 3}};
};

TEST_F(Small, ScalesColumnsAndRows) {
  ASSERT_EQ(
      Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale, .out = &half, .row_scale = &row_scale}),
      "ran");
  EXPECT_THAT(half.Values(), ElementsAre(5, 25, 708, 110, 550, Rounded(DType::kHalf, 16160)));
  ASSERT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale, .out = &wide}), "ran");
  EXPECT_THAT(wide.Values(), ElementsAre(5, 25, 708, 11, 55, 1616));
}

TEST_F(Small, TakesATransposedMatrixByStridesOrByName) {
  const DeviceTensor view(DType::kInt8, {2, 3}, {1, 2}, 0, {1, 2, 10, 20, 100, 127});
  const std::vector<double> wanted = {5, 25, 708, 11, 55, 1616};
  ASSERT_EQ(Multiply({.x1 = &x1, .x2 = &view, .scale = &scale, .out = &wide}), "ran");
  EXPECT_EQ(wide.Values(), wanted);
  const DeviceTensor again(DType::kBfloat16, {2, 3});
  ASSERT_EQ(
      Multiply({.x1 = &x1, .x2 = &turned, .scale = &scale, .out = &again, .transpose_x2 = true}),
      "ran");
  EXPECT_EQ(again.Values(), wanted);
  const DeviceTensor gaps(DType::kInt8, {2, 3}, {4, 1}, 0, std::vector<double>(8, 1));
  EXPECT_THAT(Multiply({.x1 = &x1, .x2 = &gaps, .scale = &scale, .out = &wide}),
              HasSubstr("'x2' is neither contiguous nor contiguous with its last two dimensions"));
}

// A whole bias is added before the scale, another one after it.
TEST_F(Small, AddsABias) {
  const DeviceTensor integers(DType::kInt32, {3}, {-5, 2, 0});
  ASSERT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale, .out = &wide, .bias = &integers}),
            "ran");
  EXPECT_THAT(wide.Values(), ElementsAre(0, 26, 708, 6, 56, 1616));
  const DeviceTensor floats(DType::kFloat, {3}, {-5, 2, 0.5});
  ASSERT_EQ(Multiply({.x1 = &x1,
                      .x2 = &x2,
                      .scale = &scale,
                      .out = &half,
                      .row_scale = &row_scale,
                      .bias = &floats}),
            "ran");
  EXPECT_THAT(half.Values(), ElementsAre(0, 27, 708.5, 105, 552, 16160));
}

TEST_F(Small, TakesPackedScales) {
  const DeviceTensor packed(DType::kInt64, {3});
  // 0.5, 0.25, 2 with the offsets 3, 0, -4.
  const std::vector<double> scales = {0.5, 0.25, 2};
  std::vector<double> bits;
  for (size_t i = 0; i < 3; ++i) {
    const float offsets[] = {3, 0, -4};
    bits.push_back(static_cast<double>(
        PackOffset(PackScale(static_cast<float>(scales[i]), false), offsets[i])));
  }
  const DeviceTensor scale64(DType::kInt64, {3}, bits);
  ASSERT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale64, .out = &half}), "ran");
  EXPECT_THAT(half.Values(), ElementsAre(2.5, 12.5, 708, 5.5, 27.5, 1616));
  ASSERT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale64, .out = &whole}), "ran");
  // 2.5 + 3 and 5.5 + 3 are ties.
  EXPECT_THAT(whole.Values(), ElementsAre(6, 12, 127, 8, 28, 127));
  const DeviceTensor same(DType::kFloat, {3}, {3, 0, -4});
  ASSERT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale64, .out = &whole, .offset = &same}),
            "ran");
  EXPECT_THAT(whole.Values(), ElementsAre(6, 12, 127, 8, 28, 127));
  const DeviceTensor other(DType::kFloat, {1}, {3});
  EXPECT_THAT(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale64, .out = &whole, .offset = &other}),
              HasSubstr("507015: aclnnQuantMatmulV5: 'x2_offset' holds 3 at 1, 'x2_scale' was "
                        "packed with 0"));
}

TEST_F(Small, BroadcastsBatches) {
  const DeviceTensor one(DType::kInt8, {1, 1, 2}, {1, 2});
  const DeviceTensor many(DType::kInt8, {2, 2, 1}, {1, 2, 3, 4});
  const DeviceTensor out(DType::kBfloat16, {2, 1, 1});
  const DeviceTensor unit(DType::kBfloat16, {1}, {1});
  const DeviceTensor biases(DType::kInt32, {2, 1, 1}, {100, 200});
  ASSERT_EQ(Multiply({.x1 = &one, .x2 = &many, .scale = &unit, .out = &out, .bias = &biases}),
            "ran");
  EXPECT_THAT(out.Values(), ElementsAre(105, 211));
}

TEST_F(Small, RefusesWhatTheDeviceRefuses) {
  EXPECT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale, .out = &half}),
            Refused("'x2_scale' is float32 [3], it must be int64"));
  EXPECT_EQ(
      Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale, .out = &whole, .row_scale = &row_scale}),
      Refused("'x1_scale' is given; the result is int8 [2, 3], which has scales of rows for "
              "float16 and bfloat16 only"));
  const DeviceTensor narrow(DType::kBfloat16, {3}, {1, 1, 1});
  EXPECT_EQ(
      Multiply({.x1 = &x1, .x2 = &x2, .scale = &narrow, .out = &half, .row_scale = &row_scale}),
      Refused("'x2_scale' is bfloat16 [3], it must be float32"));
  EXPECT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale, .out = &wide, .offset = &scale}),
            Refused("'x2_offset' is given; the result is bfloat16 [2, 3], it must be int8"));
  const DeviceTensor two(DType::kFloat, {2}, {1, 1});
  EXPECT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &two, .out = &wide}),
            Refused("'x2_scale' is float32 [2], it must have one dimension, of 1 or of 3"));
  EXPECT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale, .out = &wide, .row_scale = &scale}),
            Refused("'x1_scale' is float32 [3], it must be float32 [2]"));
  const DeviceTensor four(DType::kInt32, {2, 1}, {1, 1});
  EXPECT_EQ(Multiply({.x1 = &four, .x2 = &x2, .scale = &scale, .out = &wide}),
            Refused("'x1' is int32 [2, 1], numbers of 4 bits; SoftNPU has int8", 561103));
  const DeviceTensor halves(DType::kHalf, {2, 2}, {1, 1, 1, 1});
  EXPECT_EQ(Multiply({.x1 = &halves, .x2 = &x2, .scale = &scale, .out = &wide}),
            Refused("'x1' is float16 [2, 2], it must be int8"));
  EXPECT_EQ(Multiply({.x1 = &x1, .x2 = &turned, .scale = &scale, .out = &wide}),
            Refused("'x1' is int8 [2, 2] and 'x2' int8 [3, 2], which do not fit"));
  const DeviceTensor biases(DType::kHalf, {3}, {1, 1, 1});
  EXPECT_EQ(Multiply({.x1 = &x1, .x2 = &x2, .scale = &scale, .out = &wide, .bias = &biases}),
            Refused("'bias' is float16 [3], it must be int32 or bfloat16 or float32"));
  const DeviceTensor tall(DType::kInt8, {1, 65536}, std::vector<double>(65536, 1));
  EXPECT_EQ(Multiply({.x1 = &tall, .x2 = &x2, .scale = &scale, .out = &wide}),
            Refused("'x1' is int8 [1, 65536]; the product's sides can have 65535"));
}

}  // namespace
}  // namespace softnpu
