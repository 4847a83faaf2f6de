// cc/softnpu/opapi/bitwise_ops_test.cc: bits by hand; shifts as the operators' pages have them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

#define DECLARE_BITS(NAME)                                           \
  ACLNN_DECLARE(NAME##Tensor, const Tensor*, const Tensor*, Tensor*) \
  ACLNN_DECLARE(NAME##Scalar, const Tensor*, const Scalar*, Tensor*) \
  ACLNN_DECLARE(Inplace##NAME##Tensor, const Tensor*, const Tensor*) \
  ACLNN_DECLARE(Inplace##NAME##Scalar, const Tensor*, const Scalar*)
DECLARE_BITS(BitwiseAnd)
DECLARE_BITS(BitwiseOr)
DECLARE_BITS(BitwiseXor)
ACLNN_DECLARE(BitwiseNot, const Tensor*, Tensor*)
ACLNN_DECLARE(LeftShift, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(LeftShifts, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(RightShift, const Tensor*, const Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;

// 0b1100 and 0b1010 hold every pair of bits; -1 has all bits.
TEST(Bitwise, EveryPairOfBits) {
  const DeviceTensor a(DType::kInt16, {3}, {0b1100, -1, 0});
  const DeviceTensor b(DType::kInt16, {3}, {0b1010, 0x1234, -7});
  const DeviceTensor out(DType::kInt16, {3});
  const Outcome outcome = CALL(BitwiseAndTensor, a, b, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0b1000, 0x1234, 0));
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads [3]", "other reads [3]", "out writes [3]"));
  ASSERT_EQ(CALL(BitwiseOrTensor, a, b, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0b1110, -1, -7));
  ASSERT_EQ(CALL(BitwiseXorTensor, a, b, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0b0110, ~0x1234, -7));
}

TEST(Bitwise, ScalarsAndInPlace) {
  const HostScalar mask(DType::kInt64, 0b0110);
  const DeviceTensor x(DType::kUint8, {2}, {0b1100, 255});
  const DeviceTensor out(DType::kUint8, {2});
  ASSERT_EQ(CALL(BitwiseAndScalar, x, mask, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0b0100, 0b0110));
  ASSERT_EQ(CALL(BitwiseOrScalar, x, mask, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0b1110, 255));
  ASSERT_EQ(CALL(BitwiseXorScalar, x, mask, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0b1010, 0b11111001));

  const Outcome outcome = CALL(InplaceBitwiseXorScalar, x, mask);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(0b1010, 0b11111001));
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads writes [2]"));
  ASSERT_EQ(CALL(InplaceBitwiseAndTensor, x, out).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(0b1010, 0b11111001));
}

TEST(Bitwise, OperandsAreBroadcast) {
  const DeviceTensor rows(DType::kInt32, {2, 1}, {1, 2});
  const DeviceTensor columns(DType::kInt32, {3}, {4, 8, 16});
  const DeviceTensor out(DType::kInt32, {2, 3});
  ASSERT_EQ(CALL(BitwiseOrTensor, rows, columns, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(5, 9, 17, 6, 10, 18));
}

TEST(Bitwise, NotOfBoolIsLogical) {
  const DeviceTensor truth(DType::kBool, {2}, {0, 1});
  const DeviceTensor opposite(DType::kBool, {2});
  ASSERT_EQ(CALL(BitwiseNot, truth, opposite).result, "ran");
  EXPECT_THAT(opposite.Values(), ElementsAre(1, 0));
  const DeviceTensor x(DType::kInt64, {3}, {0, -1, 5});
  const DeviceTensor out(DType::kInt64, {3});
  ASSERT_EQ(CALL(BitwiseNot, x, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-1, 0, -6));
}

TEST(Shifts, MultiplyAndDivideByPowersOfTwo) {
  const DeviceTensor x(DType::kInt32, {4}, {1, -8, 100, -1});
  const DeviceTensor by(DType::kInt32, {4}, {4, 2, 3, 31});
  const DeviceTensor out(DType::kInt32, {4});
  ASSERT_EQ(CALL(LeftShift, x, by, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(16, -32, 800, -2147483648.0));
  ASSERT_EQ(CALL(RightShift, x, by, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, -2, 12, -1));
  const HostScalar two(DType::kInt64, 2);
  ASSERT_EQ(CALL(LeftShifts, x, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(4, -32, 400, -4));
}

TEST(Shifts, BeyondTheWidthOnlyTheSignIsLeft) {
  for (const auto& [dtype, width] : {std::pair{DType::kInt8, 8}, std::pair{DType::kInt16, 16},
                                     std::pair{DType::kInt32, 32}, std::pair{DType::kInt64, 64}}) {
    const DeviceTensor x(dtype, {2}, {77, -77});
    const DeviceTensor by(dtype, {1}, {static_cast<double>(width)});
    const DeviceTensor out(dtype, {2});
    ASSERT_EQ(CALL(RightShift, x, by, out).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(0, -1)) << Name(dtype);
    ASSERT_EQ(CALL(LeftShift, x, by, out).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(0, 0)) << Name(dtype);
  }
}

TEST(Shifts, ANegativeCountIsZero) {
  const DeviceTensor x(DType::kInt32, {2}, {5, -5});
  const DeviceTensor by(DType::kInt32, {2}, {-1, -32});
  const DeviceTensor out(DType::kInt32, {2});
  ASSERT_EQ(CALL(RightShift, x, by, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(5, -5));
  ASSERT_EQ(CALL(LeftShift, x, by, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(5, -5));
}

// uint8 and int8 meet in int16: 200 << 1 is 400 there, 8 bits are left by a count of 15.
TEST(Shifts, TheWidthIsThatOfThePromotedDtype) {
  const DeviceTensor x(DType::kUint8, {2}, {200, 1});
  const DeviceTensor by(DType::kInt8, {2}, {1, 15});
  const DeviceTensor out(DType::kInt16, {2});
  ASSERT_EQ(CALL(LeftShift, x, by, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(400, -32768));
}

TEST(Bitwise, RefuseByName) {
  const DeviceTensor x(DType::kInt32, {2}, {1, 2});
  const DeviceTensor real(DType::kFloat, {2}, {1, 2});
  const DeviceTensor out(DType::kInt32, {2});
  const DeviceTensor longer(DType::kInt32, {3}, {1, 2, 3});
  const HostScalar half(DType::kDouble, 0.5);
  EXPECT_EQ(CALL(BitwiseAndTensor, x, real, out).result,
            "refused 161002: aclnnBitwiseAndTensor: a bitwise operator takes integers and bool, "
            "not float32 [2]");
  EXPECT_EQ(CALL(BitwiseOrScalar, x, half, out).result,
            "refused 161002: aclnnBitwiseOrScalar: a bitwise operator takes integers and bool, not "
            "the float64 0.5");
  EXPECT_EQ(CALL(BitwiseXorTensor, x, longer, out).result,
            "refused 161002: aclnnBitwiseXorTensor: 'other' int32 [3] cannot be broadcast to the "
            "shape of int32 [2]");
  EXPECT_EQ(CALL(BitwiseNot, real, out).result,
            "refused 161002: aclnnBitwiseNot: 'self' is float32 [2], integers and bool have bits");
}

TEST(Shifts, RefuseByName) {
  const DeviceTensor x(DType::kInt32, {2}, {1, 2});
  const DeviceTensor truth(DType::kBool, {2}, {1, 0});
  const DeviceTensor out(DType::kInt32, {2});
  const DeviceTensor wide(DType::kInt32, {4, 2});
  const HostScalar half(DType::kDouble, 0.5);
  EXPECT_EQ(
      CALL(LeftShift, x, truth, out).result,
      "refused 161002: aclnnLeftShift: 'other' is bool [2], a shift takes int8, int16, int32, "
      "int64 and uint8");
  EXPECT_EQ(
      CALL(LeftShifts, x, half, out).result,
      "refused 161002: aclnnLeftShifts: 'other' is float64, a shift takes int8, int16, int32, "
      "int64 and uint8");
  EXPECT_EQ(CALL(RightShift, x, x, wide).result,
            "refused 161002: aclnnRightShift: 'out' is int32 [4, 2], the operands have not its "
            "shape");
}

}  // namespace
}  // namespace softnpu
