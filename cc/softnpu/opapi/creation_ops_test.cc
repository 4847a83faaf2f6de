// cc/softnpu/opapi/creation_ops_test.cc: small tensors by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(Arange, const Scalar*, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(Linspace, const Scalar*, const Scalar*, int64_t, Tensor*)
ACLNN_DECLARE(Eye, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(ChunkCat, const TensorList*, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(ConstantPadNd, const Tensor*, const IntArray*, const Scalar*, Tensor*)
ACLNN_DECLARE(LogSpace, const Scalar*, const Scalar*, int64_t, double, Tensor*)
ACLNN_DECLARE(Range, const Scalar*, const Scalar*, const Scalar*, Tensor*)

namespace {

using ::testing::ElementsAre;

TEST(Arange, CountsInSteps) {
  const HostScalar start(DType::kInt64, 10);
  const HostScalar end(DType::kInt64, 4);
  const HostScalar step(DType::kInt64, -3);
  const HostScalar zero(DType::kInt64, 0);
  const DeviceTensor out(DType::kInt64, {2});
  ASSERT_EQ(CALL(Arange, start, end, step, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(10, 7));
  const HostScalar tenth(DType::kDouble, 0.1);
  const DeviceTensor real(DType::kFloat, {3});
  ASSERT_EQ(CALL(Arange, zero, end, tenth, real).result, "ran");
  EXPECT_THAT(real.Values(),
              ElementsAre(0, Rounded(DType::kFloat, 0.1), Rounded(DType::kFloat, 0.2)));
  EXPECT_EQ(CALL(Arange, start, end, zero, out).result, "refused 161002: aclnnArange: 'step' is 0");
}

TEST(Linspace, MeetsBothEnds) {
  const HostScalar start(DType::kDouble, -0.1);
  const HostScalar end(DType::kDouble, 0.7);
  const DeviceTensor out(DType::kFloat, {5});
  ASSERT_EQ(CALL(Linspace, start, end, 5, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(Rounded(DType::kFloat, -0.1), Rounded(DType::kFloat, 0.1),
                                        Rounded(DType::kFloat, 0.3), Rounded(DType::kFloat, 0.5),
                                        Rounded(DType::kFloat, 0.7)));
  const DeviceTensor one(DType::kHalf, {1});
  ASSERT_EQ(CALL(Linspace, start, end, 1, one).result, "ran");
  EXPECT_THAT(one.Values(), ElementsAre(Rounded(DType::kHalf, -0.1)));
  EXPECT_EQ(CALL(Linspace, start, end, 4, out).result,
            "refused 161002: aclnnLinspace: 'steps' is 4, 'out' is float32 [5]");
}

TEST(Eye, HasOnesOnTheDiagonal) {
  // More columns than rows, and a view in which columns are rows.
  const DeviceTensor wide(DType::kBfloat16, {2, 3});
  ASSERT_EQ(CALL(Eye, 2, 3, wide).result, "ran");
  EXPECT_THAT(wide.Values(), ElementsAre(1, 0, 0, 0, 1, 0));
  const DeviceTensor tall(DType::kInt64, {3, 2}, {1, 3}, 0, std::vector<double>(6, 7));
  ASSERT_EQ(CALL(Eye, 3, 2, tall).result, "ran");
  EXPECT_THAT(tall.Values(), ElementsAre(1, 0, 0, 1, 0, 0));
  EXPECT_EQ(CALL(Eye, 3, 3, tall).result,
            "refused 161002: aclnnEye: 'out' is int64 [3, 2], it must have the dimensions 3 and 3 "
            "and no float64");
}

TEST(ConstantPadNd, AddsAndCutsFromTheLastDimensionOn) {
  const DeviceTensor x(DType::kFloat, {2, 3}, {1, 2, 3, 4, 5, 6});
  const HostScalar nine(DType::kDouble, 9);
  const HostInts columns({1, 2});
  const DeviceTensor wide(DType::kFloat, {2, 6});
  ASSERT_EQ(CALL(ConstantPadNd, x, columns, nine, wide).result, "ran");
  EXPECT_THAT(wide.Values(), ElementsAre(9, 1, 2, 3, 9, 9, 9, 4, 5, 6, 9, 9));
  const HostInts both({-1, 0, 0, 1});
  const DeviceTensor cut(DType::kFloat, {3, 2});
  ASSERT_EQ(CALL(ConstantPadNd, x, both, nine, cut).result, "ran");
  EXPECT_THAT(cut.Values(), ElementsAre(2, 3, 5, 6, 9, 9));
  // A view in which columns are rows.
  const DeviceTensor turned(DType::kInt64, {3, 2}, {1, 3}, 0, {1, 2, 3, 4, 5, 6});
  const HostInts before({1, 0});
  const DeviceTensor out(DType::kInt64, {3, 3});
  ASSERT_EQ(CALL(ConstantPadNd, turned, before, nine, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(9, 1, 4, 9, 2, 5, 9, 3, 6));
}

TEST(ConstantPadNd, CarriesUnwrittenElementsAlong) {
  const DeviceTensor row(DType::kHalf, {1, 2});
  const HostScalar nine(DType::kDouble, 9);
  const DeviceTensor three(DType::kHalf, {3, 2}, {1, 2, 3, 4, 5, 6});
  const HostInts first({0, 0, 0, -2});
  ASSERT_EQ(CALL(ConstantPadNd, three, first, nine, row).result, "ran");
  EXPECT_EQ(row.Written(), "ww");
  const HostInts above({0, 0, 1, 0});
  const DeviceTensor unwritten(DType::kHalf, {1, 2});
  const DeviceTensor two(DType::kHalf, {2, 2});
  ASSERT_EQ(CALL(ConstantPadNd, unwritten, above, nine, two).result, "ran");
  EXPECT_EQ(two.Written(), "ww..");
  const HostInts around({1, 1, 1, 0});
  const DeviceTensor out(DType::kHalf, {3, 4}, std::vector<double>(12, 7));
  ASSERT_EQ(CALL(ConstantPadNd, two, around, nine, out).result, "ran");
  EXPECT_EQ(out.Written(), "wwwwwwwww..w");
  EXPECT_THAT(out.Values(),
              ElementsAre(9, 9, 9, 9, 9, 9, 9, 9, 9, ::testing::IsNan(), ::testing::IsNan(), 9));
  // Nothing of the input is left.
  const HostInts none({0, 0, -2, 1});
  const DeviceTensor filled(DType::kHalf, {1, 2});
  ASSERT_EQ(CALL(ConstantPadNd, two, none, nine, filled).result, "ran");
  EXPECT_EQ(filled.Written(), "ww");
}

TEST(ConstantPadNd, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {2, 3}, {1, 2, 3, 4, 5, 6});
  const HostScalar nine(DType::kDouble, 9);
  const HostInts odd({1});
  const HostInts columns({1, 2});
  const HostInts all({-2, -2});
  const HostInts many({0, 0, 0, 0, 0, 0});
  const DeviceTensor out(DType::kFloat, {2, 5});
  EXPECT_EQ(CALL(ConstantPadNd, x, odd, nine, out).result,
            "refused 161002: aclnnConstantPadNd: 'pad' has 1 counts for float32 [2, 3]; it takes "
            "two for a dimension");
  EXPECT_EQ(CALL(ConstantPadNd, x, many, nine, out).result,
            "refused 161002: aclnnConstantPadNd: 'pad' has 6 counts for float32 [2, 3]; it takes "
            "two for a dimension");
  EXPECT_EQ(CALL(ConstantPadNd, x, columns, nine, out).result,
            "refused 161002: aclnnConstantPadNd: 'out' is float32 [2, 5], dimension 1 of the "
            "result has 6");
  EXPECT_EQ(CALL(ConstantPadNd, x, all, nine, out).result,
            "refused 161002: aclnnConstantPadNd: 'pad' takes 2 and 2 off dimension 1 of float32 "
            "[2, 3]");
  const DeviceTensor other(DType::kHalf, {2, 6});
  EXPECT_EQ(CALL(ConstantPadNd, x, columns, nine, other).result,
            "refused 161002: aclnnConstantPadNd: 'out' is float16 [2, 6], 'self' is float32 "
            "[2, 3]");
  const DeviceTensor taller(DType::kFloat, {3, 6});
  EXPECT_EQ(CALL(ConstantPadNd, x, columns, nine, taller).result,
            "refused 161002: aclnnConstantPadNd: 'out' is float32 [3, 6], 'self' is float32 [2, "
            "3]");
}

TEST(ChunkCat, PutsChunksSideBySide) {
  // Three rows in two chunks: the second has a row of zeros.
  const DeviceTensor x(DType::kFloat, {3, 2}, {1, 2, 3, 4, 5, 6});
  const DeviceTensor y(DType::kFloat, {2}, {7, 8});
  const DeviceTensors both({&x, &y});
  const DeviceTensor out(DType::kFloat, {2, 5});
  ASSERT_EQ(CALL(ChunkCat, both, 0, 2, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 2, 3, 4, 7, 5, 6, 0, 0, 8));
  // More chunks than rows, and another dtype.
  const DeviceTensors one({&y});
  const DeviceTensor four(DType::kBfloat16, {4, 1});
  ASSERT_EQ(CALL(ChunkCat, one, 0, 4, four).result, "ran");
  EXPECT_THAT(four.Values(), ElementsAre(7, 8, 0, 0));
  // Along the second dimension.
  const DeviceTensors matrix({&x, &x});
  const DeviceTensor columns(DType::kFloat, {3, 2, 2});
  ASSERT_EQ(CALL(ChunkCat, matrix, 1, 2, columns).result, "ran");
  EXPECT_THAT(columns.Values(), ElementsAre(1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6));
  const DeviceTensor unwritten(DType::kFloat, {3});
  const DeviceTensors mixed({&y, &unwritten});
  const DeviceTensor marks(DType::kFloat, {2, 3});
  ASSERT_EQ(CALL(ChunkCat, mixed, 0, 2, marks).result, "ran");
  EXPECT_EQ(marks.Written(), "w..w.w");
}

TEST(ChunkCat, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {3, 2}, {1, 2, 3, 4, 5, 6});
  const DeviceTensor y(DType::kFloat, {2}, {7, 8});
  const DeviceTensors both({&x, &y});
  const DeviceTensor out(DType::kFloat, {2, 4});
  EXPECT_EQ(CALL(ChunkCat, both, 0, 2, out).result,
            "refused 161002: aclnnChunkCat: 'out' is float32 [2, 4], the result is float32 [2, 5]");
  EXPECT_EQ(CALL(ChunkCat, both, 0, 0, out).result,
            "refused 161002: aclnnChunkCat: 'num_chunks' is 0");
  EXPECT_EQ(CALL(ChunkCat, both, 1, 2, out).result,
            "refused 161002: aclnnChunkCat: 'dim' is 1 for float32 [2]");
  const DeviceTensor z(DType::kFloat, {2, 2}, {1, 2, 3, 4});
  const DeviceTensors unlike({&x, &z});
  EXPECT_EQ(CALL(ChunkCat, unlike, 1, 2, out).result,
            "refused 161002: aclnnChunkCat: 'tensors' has float32 [3, 2] and float32 [2, 2], which "
            "differ before dimension 1");
}

TEST(LogSpace, RaisesABase) {
  const HostScalar zero(DType::kFloat, 0);
  const HostScalar three(DType::kFloat, 3);
  const DeviceTensor out(DType::kFloat, {4});
  ASSERT_EQ(CALL(LogSpace, zero, three, 4, 10.0, out).result, "ran");
  EXPECT_THAT(out.Values(), ::testing::ElementsAre(1, 10, 100, 1000));
  EXPECT_THAT(CALL(LogSpace, zero, three, 3, 10.0, out).result,
              ::testing::HasSubstr("'steps' is 3, 'result' is float32 [4]"));
}

TEST(Range, HasItsEnd) {
  const HostScalar one(DType::kInt64, 1);
  const HostScalar two(DType::kInt64, 2);
  const HostScalar five(DType::kInt64, 5);
  const DeviceTensor out(DType::kInt32, {3});
  ASSERT_EQ(CALL(Range, one, five, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ::testing::ElementsAre(1, 3, 5));
  EXPECT_THAT(CALL(Range, five, one, two, out).result,
              ::testing::HasSubstr("'step' is 2; it must lead from 'start', 5, to 'end', 1"));
  EXPECT_THAT(CALL(Range, one, five, one, out).result,
              ::testing::HasSubstr("'out' is int32 [3]; it must have 5 elements"));
}

}  // namespace
}  // namespace softnpu
