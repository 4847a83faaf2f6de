// cc/softnpu/opapi/product_sum_ops_test.cc: sums with products of small whole numbers, which every
// order of accumulation gives exactly.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(Addmv, const Tensor*, const Tensor*, const Tensor*, const Scalar*, const Scalar*,
              Tensor*, int8_t)
ACLNN_DECLARE(Addr, const Tensor*, const Tensor*, const Tensor*, const Scalar*, const Scalar*,
              Tensor*)
ACLNN_DECLARE(InplaceAddr, Tensor*, const Tensor*, const Tensor*, const Scalar*, const Scalar*)
ACLNN_DECLARE(Addbmm, const Tensor*, const Tensor*, const Tensor*, const Scalar*, const Scalar*,
              Tensor*, int8_t)
ACLNN_DECLARE(Baddbmm, const Tensor*, const Tensor*, const Tensor*, const Scalar*, const Scalar*,
              Tensor*, int8_t)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int8_t kKeepType = 0;
const std::vector<double> kLeft = {1, 2, 3, 4, 5, 6};     // [2, 3]
const std::vector<double> kRight = {1, 0, 2, -1, 1, 10};  // [3, 2]; the product is 8, 28, 20, 55

struct Factors {
  HostScalar one{DType::kFloat, 1}, two{DType::kFloat, 2}, three{DType::kFloat, 3};
  HostScalar none{DType::kFloat, 0}, half{DType::kFloat, 0.5};
};

TEST(Addmv, TakesAlphaBeforeBeta) {
  for (const DType dtype : {DType::kFloat, DType::kHalf, DType::kInt32}) {
    const DType of_factors = IsFloating(dtype) ? DType::kFloat : DType::kInt64;
    const HostScalar two(of_factors, 2);
    const HostScalar three(of_factors, 3);
    const DeviceTensor self(dtype, {2}, {10, 20});
    const DeviceTensor mat(dtype, {2, 3}, kLeft);
    const DeviceTensor vec(dtype, {3}, {1, 0, -1});
    const DeviceTensor out(dtype, {2});
    const Outcome outcome = CALL(Addmv, self, mat, vec, two, three, out, kKeepType);
    ASSERT_EQ(outcome.result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(30 + 2 * -2, 60 + 2 * -2));
    EXPECT_THAT(outcome.accesses, ElementsAre("self reads [2]", "mat reads [2, 3]", "vec reads [3]",
                                              "out writes [2]"));
  }
}

TEST(Addmv, WholeNumbersWrap) {
  const HostScalar one(DType::kInt64, 1);
  const DeviceTensor self(DType::kInt8, {1}, {127});
  const DeviceTensor mat(DType::kInt8, {1, 1}, {1});
  const DeviceTensor vec(DType::kInt8, {1}, {1});
  const DeviceTensor out(DType::kInt8, {1});
  ASSERT_EQ(CALL(Addmv, self, mat, vec, one, one, out, kKeepType).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-128));
}

TEST(Addmv, RefusesByName) {
  const Factors by;
  const DeviceTensor self(DType::kInt32, {2}, {1, 2});
  const DeviceTensor mat(DType::kInt32, {2, 3}, kLeft);
  const DeviceTensor vec(DType::kInt32, {3}, {1, 2, 3});
  const DeviceTensor two(DType::kInt32, {2}, {1, 2});
  const DeviceTensor out(DType::kInt32, {2});
  const DeviceTensor row(DType::kInt32, {1, 2});
  const DeviceTensor real(DType::kFloat, {3}, {1, 2, 3});
  const HostScalar one(DType::kInt64, 1);
  EXPECT_THAT(CALL(Addmv, self, mat, two, one, one, out, kKeepType).result,
              HasSubstr("'mat' is int32 [2, 3], and 'vec' int32 [2]; they cannot be multiplied"));
  EXPECT_THAT(CALL(Addmv, self, mat, vec, by.half, one, out, kKeepType).result,
              HasSubstr("'alpha' is 0.5; with operands of whole numbers"));
  EXPECT_THAT(CALL(Addmv, self, mat, vec, one, one, row, kKeepType).result,
              HasSubstr("'out' is int32 [1, 2]; it must have 1 to 1 dimensions"));
  EXPECT_THAT(CALL(Addmv, self, mat, real, one, one, out, kKeepType).result,
              HasSubstr("'out' is int32 [2]; an operand is of a floating type"));
  EXPECT_THAT(CALL(Addmv, self, mat, vec, one, one, out, int8_t{4}).result,
              HasSubstr("'cubeMathType' is 4; it must be 0, 1, 2 or 3"));
}

TEST(Addr, AddsAnOuterProduct) {
  const Factors by;
  const DeviceTensor self(DType::kBfloat16, {3}, {1, 2, 3});
  const DeviceTensor a(DType::kBfloat16, {2}, {1, -1});
  const DeviceTensor b(DType::kBfloat16, {3}, {1, 2, 3});
  const DeviceTensor out(DType::kBfloat16, {2, 3});
  ASSERT_EQ(CALL(Addr, self, a, b, by.two, by.three, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(5, 10, 15, -1, -2, -3));
  const DeviceTensor sum(DType::kBfloat16, {2, 3}, {1, 1, 1, 0, 0, 0});
  const Outcome outcome = CALL(InplaceAddr, sum, a, b, by.one, by.one);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(sum.Values(), ElementsAre(2, 3, 4, -1, -2, -3));
  EXPECT_EQ(outcome.accesses[0], "selfRef reads writes [2, 3]");
}

// A beta of 0 leaves out what nobody has written.
TEST(Addr, LeavesSelfOut) {
  const Factors by;
  const DeviceTensor a(DType::kFloat, {1}, {2});
  const DeviceTensor b(DType::kFloat, {2}, {3, kInfinity});
  const DeviceTensor self(DType::kFloat, {1, 2});
  ASSERT_EQ(CALL(InplaceAddr, self, a, b, by.none, by.one).result, "ran");
  EXPECT_THAT(self.Values(), ElementsAre(6, kInfinity));
  const DeviceTensor out(DType::kFloat, {1, 3});
  EXPECT_THAT(CALL(Addr, self, a, b, by.one, by.one, out).result,
              HasSubstr("'out' is float32 [1, 3], the result is float32 [1, 2]"));
}

TEST(Addbmm, AddsTheProductsOfABatch) {
  const Factors by;
  const std::vector<double> twice = {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6};
  const std::vector<double> right = {1, 0, 2, -1, 1, 10, 1, 0, 2, -1, 1, 10};
  for (const DType dtype : {DType::kFloat, DType::kHalf, DType::kBfloat16}) {
    const DeviceTensor self(dtype, {2}, {1, 2});
    const DeviceTensor a(dtype, {2, 2, 3}, twice);
    const DeviceTensor b(dtype, {2, 3, 2}, right);
    const DeviceTensor out(dtype, {2, 2});
    ASSERT_EQ(CALL(Addbmm, self, a, b, by.two, by.half, out, kKeepType).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(2 + 8, 4 + 28, 2 + 20, 4 + 55));
    ASSERT_EQ(CALL(Addbmm, self, a, b, by.two, by.none, out, kKeepType).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(2, 4, 2, 4));
  }
}

TEST(Baddbmm, AddsToEachProduct) {
  const Factors by;
  const DeviceTensor self(DType::kFloat, {1, 2, 1}, {100, 200});
  const DeviceTensor a(DType::kFloat, {1, 2, 3}, kLeft);
  const DeviceTensor b(DType::kFloat, {1, 3, 2}, kRight);
  const DeviceTensor out(DType::kFloat, {1, 2, 2});
  ASSERT_EQ(CALL(Baddbmm, self, a, b, by.one, by.two, out, kKeepType).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(116, 156, 240, 310));
  const DeviceTensor other(DType::kHalf, {1, 3, 2}, kRight);
  EXPECT_THAT(CALL(Baddbmm, self, a, other, by.one, by.two, out, kKeepType).result,
              HasSubstr("'batch1' is float32 [1, 2, 3], and 'batch2' is float16 [1, 3, 2]"));
  EXPECT_THAT(CALL(Baddbmm, self, a, a, by.one, by.two, out, kKeepType).result,
              HasSubstr("the columns of the first as rows of the second"));
}

}  // namespace
}  // namespace softnpu
