// cc/softnpu/opapi/matrix_ops_test.cc: products of small matrices of integers, which every order of
// accumulation gives exactly.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(Matmul, const Tensor*, const Tensor*, Tensor*, int8_t)
ACLNN_DECLARE(Mm, const Tensor*, const Tensor*, Tensor*, int8_t)
ACLNN_DECLARE(BatchMatMul, const Tensor*, const Tensor*, Tensor*, int8_t)
ACLNN_DECLARE(Addmm, const Tensor*, const Tensor*, const Tensor*, const Scalar*, const Scalar*,
              Tensor*, int8_t)
ACLNN_DECLARE(InplaceAddmm, Tensor*, const Tensor*, const Tensor*, const Scalar*, const Scalar*,
              int8_t)

namespace {

using ::testing::ElementsAre;

const std::vector<DType> kDtypes = {DType::kFloat, DType::kHalf, DType::kBfloat16};
const std::vector<double> kLeft = {1, 2, 3, 4, 5, 6};     // [2, 3]
const std::vector<double> kRight = {1, 0, 2, -1, 1, 10};  // [3, 2]
// Row 1: 1*1 + 2*2 + 3*1, 1*0 + 2*-1 + 3*10. Row 2: 4*1 + 5*2 + 6*1, 4*0 + 5*-1 + 6*10.
const std::vector<double> kProduct = {8, 28, 20, 55};

// So many multiplications that several processors share the columns, 200 being no whole parts.
// Whole numbers, whose sums are exact in any order.
TEST(MatrixProduct, ColumnsOfSeveralProcessorsArePutTogether) {
  constexpr int64_t kRows = 8;
  constexpr int64_t kInner = 256;
  constexpr int64_t kWide = 200;
  std::vector<double> a;
  std::vector<double> b;
  for (int64_t i = 0; i < kRows * kInner; ++i) a.push_back(static_cast<double>(i * 7 % 11 - 5));
  for (int64_t i = 0; i < kWide * kInner; ++i) b.push_back(static_cast<double>(i * 5 % 13 - 6));
  std::vector<double> expected;
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t column = 0; column < kWide; ++column) {
      double sum = 0;
      for (int64_t k = 0; k < kInner; ++k) {
        sum +=
            a[static_cast<size_t>(row * kInner + k)] * b[static_cast<size_t>(column * kInner + k)];
      }
      expected.push_back(sum);
    }
  }
  const DeviceTensor left(DType::kFloat, {kRows, kInner}, a);
  const DeviceTensor right(DType::kFloat, {kInner, kWide}, {1, kInner}, 0, b);
  const DeviceTensor out(DType::kFloat, {kRows, kWide});
  ASSERT_EQ(CALL(Matmul, left, right, out, 0).result, "ran");
  EXPECT_EQ(out.Values(), expected);
}

TEST(MatrixProduct, OfTwoMatrices) {
  for (const DType dtype : kDtypes) {
    const DeviceTensor a(dtype, {2, 3}, kLeft);
    const DeviceTensor b(dtype, {3, 2}, kRight);
    const DeviceTensor out(dtype, {2, 2});
    const Outcome outcome = CALL(Mm, a, b, out, 0);
    ASSERT_EQ(outcome.result, "ran");
    EXPECT_EQ(out.Values(), kProduct);
    EXPECT_THAT(outcome.accesses,
                ElementsAre("self reads [2, 3]", "mat2 reads [3, 2]", "out writes [2, 2]"));
    const DeviceTensor again(dtype, {2, 2});
    ASSERT_EQ(CALL(Matmul, a, b, again, 0).result, "ran");
    EXPECT_EQ(again.Values(), kProduct);
  }
}

TEST(MatrixProduct, OfVectors) {
  const DeviceTensor a(DType::kFloat, {3}, {1, 2, 3});
  const DeviceTensor matrix(DType::kFloat, {3, 2}, kRight);
  const DeviceTensor number(DType::kFloat, {});
  const DeviceTensor row(DType::kFloat, {2});
  ASSERT_EQ(CALL(Matmul, a, a, number, 0).result, "ran");
  EXPECT_THAT(number.Values(), ElementsAre(14));
  ASSERT_EQ(CALL(Matmul, a, matrix, row, 0).result, "ran");
  EXPECT_THAT(row.Values(), ElementsAre(8, 28));
}

// The right factor lies in memory as its transpose.
TEST(MatrixProduct, FollowsStrides) {
  const DeviceTensor a(DType::kFloat, {2, 3}, kLeft);
  const DeviceTensor b(DType::kFloat, {3, 2}, {1, 3}, 0, {1, 2, 1, 0, -1, 10});
  const DeviceTensor out(DType::kFloat, {2, 2}, {1, 2}, 0, {9, 9, 9, 9});
  ASSERT_EQ(CALL(Mm, a, b, out, 0).result, "ran");
  EXPECT_EQ(out.Values(), kProduct);
  EXPECT_THAT(out.Storage(), ElementsAre(8, 20, 28, 55));
}

// aten::matmul reshapes the outputs of vectors and of batches: those with gaps keep them.
TEST(MatrixProduct, OfVectorsAndBatchesIntoAStridedOutput) {
  const DeviceTensor row(DType::kFloat, {3}, {1, 2, 3});
  const DeviceTensor matrix(DType::kFloat, {3, 2}, kRight);
  const DeviceTensor out(DType::kFloat, {2}, {2}, 0, {9, 9, 9, 9});
  ASSERT_EQ(CALL(Matmul, row, matrix, out, 0).result, "ran");
  EXPECT_THAT(out.Storage(), ElementsAre(8, 9, 28, 9));
  const DeviceTensor column(DType::kFloat, {2}, {1, 10});
  const DeviceTensor tall(DType::kFloat, {3}, {2}, 0, {9, 9, 9, 9, 9, 9});
  ASSERT_EQ(CALL(Matmul, matrix, column, tall, 0).result, "ran");
  EXPECT_THAT(tall.Storage(), ElementsAre(1, 9, -8, 9, 101, 9));

  const DeviceTensor a(DType::kFloat, {1, 2, 1, 2}, {1, 2, 3, 4});
  const DeviceTensor b(DType::kFloat, {1, 2, 2, 1}, {5, 6, 7, 8});
  const DeviceTensor spread(DType::kFloat, {1, 2, 1, 1}, {4, 2, 1, 1}, 0, {9, 9, 9, 9});
  ASSERT_EQ(CALL(Matmul, a, b, spread, 0).result, "ran");
  EXPECT_THAT(spread.Storage(), ElementsAre(17, 9, 53, 9));
}

TEST(MatrixProduct, OfManyDimensions) {
  const DeviceTensor a(DType::kFloat, {2, 1, 1, 2}, {1, 2, 3, 4});
  const DeviceTensor b(DType::kFloat, {2, 2, 1}, {5, 6, 7, 8});  // of each of the two
  const DeviceTensor out(DType::kFloat, {2, 2, 1, 1});
  ASSERT_EQ(CALL(Matmul, a, b, out, 0).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(17, 23, 39, 53));
  const DeviceTensor tokens(DType::kFloat, {1, 2, 3}, kLeft);
  const DeviceTensor weight(DType::kFloat, {3, 2}, kRight);
  const DeviceTensor hidden(DType::kFloat, {1, 2, 2});
  ASSERT_EQ(CALL(Matmul, tokens, weight, hidden, 0).result, "ran");
  EXPECT_EQ(hidden.Values(), kProduct);
}

TEST(MatrixProduct, OfBatches) {
  const DeviceTensor a(DType::kHalf, {2, 1, 2}, {1, 2, 3, 4});
  const DeviceTensor b(DType::kHalf, {2, 2, 1}, {5, 6, 7, 8});
  const DeviceTensor out(DType::kHalf, {2, 1, 1});
  ASSERT_EQ(CALL(BatchMatMul, a, b, out, 0).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(17, 53));
}

TEST(MatrixProduct, IntoAnotherDtype) {
  const DeviceTensor a(DType::kHalf, {2, 3}, kLeft);
  const DeviceTensor b(DType::kHalf, {3, 2}, kRight);
  const DeviceTensor out(DType::kFloat, {2, 2});
  ASSERT_EQ(CALL(Mm, a, b, out, 0).result, "ran");
  EXPECT_EQ(out.Values(), kProduct);
}

TEST(Addmm, AddsTheScaledBias) {
  const HostScalar beta(DType::kDouble, 2);
  const HostScalar alpha(DType::kDouble, 0.5);
  for (const DType dtype : kDtypes) {
    const DeviceTensor bias(dtype, {2}, {10, -1});  // of each row
    const DeviceTensor a(dtype, {2, 3}, kLeft);
    const DeviceTensor b(dtype, {3, 2}, kRight);
    const DeviceTensor out(dtype, {2, 2});
    const Outcome outcome = CALL(Addmm, bias, a, b, beta, alpha, out, 0);
    ASSERT_EQ(outcome.result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(24, 12, 30, 25.5));
    EXPECT_THAT(outcome.accesses, ElementsAre("self reads [2]", "mat1 reads [2, 3]",
                                              "mat2 reads [3, 2]", "out writes [2, 2]"));
  }
}

// 2049 is no float16: a product rounded before the sum would be 2048.
TEST(Addmm, RoundsOnce) {
  const HostScalar one(DType::kDouble, 1);
  const DeviceTensor bias(DType::kHalf, {1, 1}, {1});
  const DeviceTensor a(DType::kHalf, {1, 2}, {2048, 1});
  const DeviceTensor b(DType::kHalf, {2, 1}, {1, 1});
  const DeviceTensor out(DType::kHalf, {1, 1});
  ASSERT_EQ(CALL(Addmm, bias, a, b, one, one, out, 0).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2050));
}

TEST(Addmm, ABetaOfZeroLeavesTheBiasAlone) {
  const HostScalar zero(DType::kDouble, 0);
  const HostScalar one(DType::kDouble, 1);
  const DeviceTensor a(DType::kFloat, {2, 3}, kLeft);
  const DeviceTensor b(DType::kFloat, {3, 2}, kRight);
  const DeviceTensor out(DType::kFloat, {2, 2});
  const DeviceTensor unwritten(DType::kFloat, {2});
  const Outcome outcome = CALL(Addmm, unwritten, a, b, zero, one, out, 0);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_EQ(out.Values(), kProduct);
  EXPECT_EQ(outcome.accesses[0], "self some [2]");
  EXPECT_EQ(unwritten.Written(), "..");
  // With another beta the bias is read.
  EXPECT_THAT(CALL(Addmm, unwritten, a, b, one, one, out, 0).result,
              ::testing::StartsWith("failed 507015: aclnnAddmm: 'self' is read where nobody has "
                                    "written: "));
}

TEST(MatrixProduct, RefusesByName) {
  const DeviceTensor a(DType::kHalf, {2, 3}, kLeft);
  const DeviceTensor b(DType::kHalf, {3, 2}, kRight);
  const DeviceTensor wide(DType::kFloat, {3, 2}, kRight);
  const DeviceTensor whole(DType::kInt32, {3, 2}, kRight);
  const DeviceTensor out(DType::kHalf, {2, 2});
  EXPECT_EQ(CALL(Mm, a, wide, out, 0).result,
            "refused 161002: aclnnMm: the factors have different dtypes: float16 [2, 3] and "
            "float32 [3, 2]");
  EXPECT_EQ(
      CALL(Matmul, a, whole, out, 0).result,
      "refused 161002: aclnnMatmul: a matrix product takes float32, float16 and bfloat16, not "
      "int32 [3, 2]");
  EXPECT_EQ(CALL(Mm, a, a, out, 0).result,
            "refused 161002: aclnnMm: the inner dimensions of float16 [2, 3] and float16 [2, 3] "
            "differ");
  EXPECT_EQ(CALL(BatchMatMul, a, b, out, 0).result,
            "refused 161002: aclnnBatchMatMul: the factors need 3 dimensions, not float16 [2, 3] "
            "and float16 [3, 2]");
  const DeviceTensor wide_out(DType::kHalf, {2, 3}, kLeft);
  EXPECT_EQ(CALL(Mm, a, b, wide_out, 0).result,
            "failed 161002: aclnnMm: 'out' is float16 [2, 3], the result is float16 [2, 2]");
  const HostScalar one(DType::kDouble, 1);
  const DeviceTensor bias(DType::kHalf, {3}, {1, 2, 3});
  EXPECT_EQ(CALL(Addmm, bias, a, b, one, one, out, 0).result,
            "refused 161002: aclnnAddmm: 'self' float16 [3] cannot be broadcast to the shape of "
            "float16 [2, 2]");
  EXPECT_EQ(CALL(Addmm, out, a, a, one, one, out, 0).result,
            "refused 161002: aclnnAddmm: the factors float16 [2, 3] and float16 [2, 3] do not fit");
}

TEST(Addmm, InPlace) {
  const HostScalar two(DType::kFloat, 2);
  const HostScalar none(DType::kFloat, 0);
  for (const DType dtype : kDtypes) {
    const DeviceTensor a(dtype, {2, 3}, kLeft);
    const DeviceTensor b(dtype, {3, 2}, kRight);
    const DeviceTensor self(dtype, {2, 2}, {1, 2, 3, 4});
    ASSERT_EQ(CALL(InplaceAddmm, self, a, b, two, two, 0).result, "ran");
    EXPECT_THAT(self.Values(), ElementsAre(18, 60, 46, 118));
    const DeviceTensor unwritten(dtype, {2, 2});
    ASSERT_EQ(CALL(InplaceAddmm, unwritten, a, b, none, two, 0).result, "ran");
    EXPECT_THAT(unwritten.Values(), ElementsAre(16, 56, 40, 110));
    const DeviceTensor row(dtype, {2}, {1, 2});
    EXPECT_THAT(CALL(InplaceAddmm, row, a, b, two, two, 0).result,
                ::testing::HasSubstr("has another shape"));
  }
}

}  // namespace
}  // namespace softnpu
