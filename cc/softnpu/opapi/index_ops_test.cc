// cc/softnpu/opapi/index_ops_test.cc: gathers, scatters, concatenation and data-dependent shapes,
// by hand; and which elements count as read and written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(Index, const Tensor*, const TensorList*, Tensor*)
ACLNN_DECLARE(IndexPutImpl, Tensor*, const TensorList*, const Tensor*, bool, bool)
ACLNN_DECLARE(IndexSelect, const Tensor*, int64_t, const Tensor*, Tensor*)
ACLNN_DECLARE(Embedding, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(Gather, const Tensor*, int64_t, const Tensor*, Tensor*)
ACLNN_DECLARE(Scatter, const Tensor*, int64_t, const Tensor*, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(InplaceScatter, Tensor*, int64_t, const Tensor*, const Tensor*, int64_t)
ACLNN_DECLARE(ScatterValue, const Tensor*, int64_t, const Tensor*, const Scalar*, int64_t, Tensor*)
ACLNN_DECLARE(InplaceScatterValue, Tensor*, int64_t, const Tensor*, const Scalar*, int64_t)
ACLNN_DECLARE(ScatterAdd, const Tensor*, int64_t, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(Cat, const TensorList*, int64_t, Tensor*)
ACLNN_DECLARE(Stack, const TensorList*, int64_t, Tensor*)
ACLNN_DECLARE(Repeat, const Tensor*, const IntArray*, Tensor*)
ACLNN_DECLARE(RepeatInterleave, const Tensor*, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(RepeatInterleaveWithDim, const Tensor*, const Tensor*, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(RepeatInterleaveInt, const Tensor*, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(RepeatInterleaveIntWithDim, const Tensor*, int64_t, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(Nonzero, const Tensor*, Tensor*)
ACLNN_DECLARE(NonzeroV2, const Tensor*, Tensor*)
ACLNN_DECLARE(Unique, const Tensor*, bool, bool, Tensor*, Tensor*)
ACLNN_DECLARE(Unique2, const Tensor*, bool, bool, bool, Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(UniqueDim, const Tensor*, bool, bool, int64_t, Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(UniqueConsecutive, const Tensor*, bool, bool, int64_t, Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(MaskedSelect, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(Triu, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(InplaceTriu, Tensor*, int64_t)
ACLNN_DECLARE(Tril, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(InplaceTril, Tensor*, int64_t)
ACLNN_DECLARE(Flip, const Tensor*, const IntArray*, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<double> kSix = {10, 11, 12, 20, 21, 22};  // [2, 3]

// A tensor of which somebody has written some places.
void WriteAt(const DeviceTensor& tensor, const std::vector<double>& places, double value) {
  const DeviceTensor where(DType::kInt64, {static_cast<int64_t>(places.size())}, places);
  const HostScalar scalar(DType::kDouble, value);
  ASSERT_EQ(CALL(InplaceScatterValue, tensor, 0, where, scalar, 0).result, "ran");
}

TEST(Index, TakesAnElementForEachPlace) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor rows(DType::kInt64, {3}, {1, 0, -1});
  const DeviceTensor columns(DType::kInt32, {3}, {0, 2, 1});
  const DeviceTensors where({&rows, &columns});
  const DeviceTensor out(DType::kFloat, {3});
  const Outcome outcome = CALL(Index, x, where, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(20, 12, 21));
  EXPECT_THAT(outcome.accesses, ElementsAre("self some [2, 3]", "indices reads [3]",
                                            "indices reads [3]", "out writes [3]"));
}

// A tensor of no elements of the operand's dtype stands for a whole dimension.
TEST(Index, TakesADimensionWhole) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor whole(DType::kFloat, {0}, {});
  const DeviceTensor columns(DType::kInt64, {2}, {2, 0});
  const DeviceTensors where({&whole, &columns});
  const DeviceTensor out(DType::kFloat, {2, 2});
  ASSERT_EQ(CALL(Index, x, where, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(12, 10, 22, 20));
}

TEST(Index, ReadsOnlyWhatItTakes) {
  const DeviceTensor x(DType::kFloat, {4});
  WriteAt(x, {1, 3}, 5);
  EXPECT_EQ(x.Written(), ".w.w");
  const DeviceTensor out(DType::kFloat, {2});
  const DeviceTensor written(DType::kInt64, {2}, {3, 1});
  const DeviceTensors there({&written});
  ASSERT_EQ(CALL(Index, x, there, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(5, 5));
  const DeviceTensor other(DType::kInt64, {2}, {3, 2});
  const DeviceTensors elsewhere({&other});
  EXPECT_EQ(CALL(Index, x, elsewhere, out).result,
            "failed 507015: aclnnIndex: 'self' is read where nobody has written");
}

TEST(Index, AnEmptyIndexGivesNothing) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor none(DType::kInt64, {0}, {});
  const DeviceTensors where({&none});
  const DeviceTensor nothing(DType::kFloat, {0, 3}, {});
  EXPECT_EQ(CALL(Index, x, where, nothing).result, "ran");
  const DeviceTensor out(DType::kFloat, {1, 3});
  EXPECT_EQ(CALL(Index, x, where, out).result,
            "refused 161002: aclnnIndex: an index has no elements, 'out' is float32 [1, 3]");
}

TEST(IndexPut, WritesOrAddsAtPlaces) {
  const DeviceTensor rows(DType::kInt64, {3}, {0, 1, 0});
  const DeviceTensor columns(DType::kInt64, {3}, {2, 0, 2});
  const DeviceTensors where({&rows, &columns});
  const DeviceTensor values(DType::kFloat, {3}, {1, 2, 4});
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const Outcome outcome = CALL(IndexPutImpl, x, where, values, true, false);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(10, 11, 17, 22, 21, 22));
  EXPECT_THAT(outcome.accesses, ElementsAre("self some [2, 3]", "indices reads [3]",
                                            "indices reads [3]", "values reads [3]"));

  const DeviceTensor fresh(DType::kFloat, {2, 3});
  ASSERT_EQ(CALL(IndexPutImpl, fresh, where, values, false, false).result, "ran");
  EXPECT_EQ(fresh.Written(), "..ww..");
  EXPECT_EQ(fresh.Values()[3], 2);
  // Adding reads what is there.
  const DeviceTensor again(DType::kFloat, {2, 3});
  EXPECT_EQ(CALL(IndexPutImpl, again, where, values, true, false).result,
            "failed 507015: aclnnIndexPutImpl: 'self' is read where nobody has written");
}

// The account has one byte for a byte: as many writes as that counts to leave it written.
TEST(IndexPut, OnePlaceManyTimes) {
  const DeviceTensor at(DType::kInt64, {256}, std::vector<double>(256, 1));
  const DeviceTensors where({&at});
  const DeviceTensor values(DType::kFloat, {256}, std::vector<double>(256, 3));
  const DeviceTensor x(DType::kFloat, {2});
  ASSERT_EQ(CALL(IndexPutImpl, x, where, values, false, false).result, "ran");
  EXPECT_EQ(x.Written(), ".w");
  EXPECT_EQ(x.Values()[1], 3);
}

TEST(IndexPut, RefusesAnotherDtype) {
  const DeviceTensor x(DType::kFloat, {2}, {1, 2});
  const DeviceTensor at(DType::kInt64, {1}, {0});
  const DeviceTensors where({&at});
  const DeviceTensor values(DType::kHalf, {1}, {1});
  EXPECT_EQ(CALL(IndexPutImpl, x, where, values, false, false).result,
            "refused 161002: aclnnIndexPutImpl: 'values' is float16 [1], 'self' is float32 [2]");
}

TEST(IndexSelect, TakesSlices) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor at(DType::kInt32, {4}, {2, 0, 2, 1});
  const DeviceTensor out(DType::kFloat, {2, 4});
  const Outcome outcome = CALL(IndexSelect, x, -1, at, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(12, 10, 12, 11, 22, 20, 22, 21));
  EXPECT_THAT(outcome.accesses,
              ElementsAre("self some [2, 3]", "index reads [4]", "out writes [2, 4]"));
}

TEST(IndexSelect, NamesWhatLiesOutside) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor at(DType::kInt64, {2}, {0, 3});
  const DeviceTensor out(DType::kFloat, {2, 2});
  EXPECT_EQ(CALL(IndexSelect, x, 1, at, out).result,
            "failed 507015: aclnnIndexSelect: 'index' holds 3 at position 1, the limit is 3 "
            "(undefined on the device)");
  EXPECT_EQ(CALL(IndexSelect, x, 2, at, out).result,
            "refused 161002: aclnnIndexSelect: dimension 2 of float32 [2, 3]");
  const DeviceTensor real(DType::kFloat, {2}, {0, 1});
  EXPECT_EQ(CALL(IndexSelect, x, 1, real, out).result,
            "refused 161002: aclnnIndexSelect: 'index' is float32 [2], it must be int32 or int64");
  const DeviceTensor square(DType::kInt64, {1, 2}, {0, 1});
  EXPECT_EQ(CALL(IndexSelect, x, 1, square, out).result,
            "refused 161002: aclnnIndexSelect: 'index' is int64 [1, 2], not 1-D");
}

TEST(Embedding, TakesARowForEachToken) {
  const DeviceTensor table(DType::kHalf, {3, 2}, {0, 1, 10, 11, 20, 21});
  const DeviceTensor tokens(DType::kInt64, {2, 2}, {2, 0, 0, 1});
  const DeviceTensor out(DType::kHalf, {2, 2, 2});
  ASSERT_EQ(CALL(Embedding, table, tokens, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(20, 21, 0, 1, 0, 1, 10, 11));
  const DeviceTensor negative(DType::kInt64, {1, 1}, {-1});
  const DeviceTensor row(DType::kHalf, {1, 1, 2});
  EXPECT_EQ(CALL(Embedding, table, negative, row).result,
            "failed 507015: aclnnEmbedding: 'indices' holds -1 at position 0, the limit is 3 "
            "(undefined on the device)");
  EXPECT_EQ(CALL(Embedding, row, negative, row).result,
            "refused 161002: aclnnEmbedding: 'weight' is float16 [1, 1, 2], not 2-D");
}

TEST(Gather, TakesAlongOneDimension) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor at(DType::kInt64, {2, 2}, {2, 0, 1, 1});
  const DeviceTensor out(DType::kFloat, {2, 2});
  ASSERT_EQ(CALL(Gather, x, 1, at, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(12, 10, 21, 21));
  const DeviceTensor longer(DType::kFloat, {2, 3});
  EXPECT_EQ(CALL(Gather, x, 1, at, longer).result,
            "failed 161002: aclnnGather: 'out' is float32 [2, 3], the result is float32 [2, 2]");
  const DeviceTensor fresh(DType::kFloat, {2, 3});
  EXPECT_EQ(CALL(Gather, fresh, 1, at, out).result,
            "failed 507015: aclnnGather: 'self' is read where nobody has written");
}

TEST(Scatter, WritesOrAddsAlongOneDimension) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor at(DType::kInt64, {2, 2}, {2, 0, 1, 1});
  const DeviceTensor source(DType::kFloat, {2, 2}, {1, 2, 4, 4});
  const DeviceTensor out(DType::kFloat, {2, 3});
  const Outcome outcome = CALL(Scatter, x, 1, at, source, 0, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 11, 1, 20, 4, 22));
  EXPECT_THAT(outcome.accesses, ElementsAre("self some [2, 3]", "index reads [2, 2]",
                                            "src some [2, 2]", "out some [2, 3]"));
  ASSERT_EQ(CALL(ScatterAdd, x, 1, at, source, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(12, 11, 13, 20, 29, 22));
  ASSERT_EQ(CALL(InplaceScatter, x, 1, at, source, 1).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(12, 11, 13, 20, 29, 22));
}

TEST(Scatter, OfOneValue) {
  const DeviceTensor x(DType::kInt32, {2, 3}, kSix);
  const DeviceTensor at(DType::kInt64, {2, 1}, {2, 0});
  const HostScalar value(DType::kInt64, -7);
  const DeviceTensor out(DType::kInt32, {2, 3});
  ASSERT_EQ(CALL(ScatterValue, x, 1, at, value, 0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(10, 11, -7, -7, 21, 22));
}

// What a scatter does not reach stays as it is: unwritten there, unwritten here.
TEST(Scatter, KeepsTheAccountOfItsOperand) {
  const DeviceTensor x(DType::kFloat, {4});
  WriteAt(x, {0}, 1);
  const DeviceTensor at(DType::kInt64, {1}, {2});
  const DeviceTensor source(DType::kFloat, {1}, {9});
  const DeviceTensor out(DType::kFloat, {4});
  ASSERT_EQ(CALL(Scatter, x, 0, at, source, 0, out).result, "ran");
  EXPECT_EQ(out.Written(), "w.w.");
  EXPECT_EQ(CALL(Scatter, x, 0, at, source, 1, out).result,
            "failed 507015: aclnnScatter: 'self' is read where nobody has written");
}

TEST(Scatter, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {4}, {1, 2, 3, 4});
  const DeviceTensor at(DType::kInt64, {1}, {2});
  const DeviceTensor real(DType::kFloat, {1}, {2});
  const HostScalar value(DType::kDouble, 1);
  EXPECT_EQ(CALL(InplaceScatter, x, 0, at, real, 2).result,
            "refused 561103: aclnnInplaceScatter: reduction 2: SoftNPU has 0 (assign) and 1 (add)");
  EXPECT_EQ(CALL(InplaceScatter, x, 1, at, real, 0).result,
            "refused 161002: aclnnInplaceScatter: dimension 1 of float32 [4]");
  EXPECT_EQ(CALL(InplaceScatter, x, 0, real, real, 0).result,
            "refused 161002: aclnnInplaceScatter: 'index' is float32 [1], it must be int32 or "
            "int64");
  EXPECT_EQ(CALL(InplaceScatterValue, x, 0, at, value, 1).result,
            "refused 561103: aclnnInplaceScatterValue: reduction 1 of a value: SoftNPU has 0 "
            "(assign)");
  const DeviceTensor outside(DType::kInt64, {1}, {4});
  EXPECT_THAT(CALL(InplaceScatter, x, 0, outside, real, 0).result,
              HasSubstr("index 4 is out of bounds for dimension 0 with size 4"));
}

TEST(Cat, JoinsParts) {
  const DeviceTensor left(DType::kFloat, {2, 1}, {1, 2});
  const DeviceTensor right(DType::kInt32, {2, 2}, {3, 4, 5, 6});
  const DeviceTensor empty(DType::kFloat, {0}, {});
  const DeviceTensors parts({&left, &empty, &right});
  const DeviceTensor out(DType::kFloat, {2, 3});
  const Outcome outcome = CALL(Cat, parts, 1, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 3, 4, 2, 5, 6));
  EXPECT_THAT(outcome.accesses, ElementsAre("tensors reads [2, 1]", "tensors reads [0]",
                                            "tensors reads [2, 2]", "out writes [2, 3]"));
}

TEST(Cat, JoinsRows) {
  const DeviceTensor one(DType::kFloat, {1, 2}, {1, 2});
  const DeviceTensor two(DType::kFloat, {2, 2}, {3, 4, 5, 6});
  const DeviceTensors parts({&one, &two});
  // The output has a gap behind each row.
  const DeviceTensor out(DType::kFloat, {3, 2}, {3, 1}, 0, std::vector<double>(9, 9));
  ASSERT_EQ(CALL(Cat, parts, 0, out).result, "ran");
  EXPECT_THAT(out.Storage(), ElementsAre(1, 2, 9, 3, 4, 9, 5, 6, 9));
}

TEST(Cat, RefusesByName) {
  const DeviceTensor left(DType::kFloat, {2, 1}, {1, 2});
  const DeviceTensor tall(DType::kFloat, {3, 1}, {1, 2, 3});
  const DeviceTensor flat(DType::kFloat, {2}, {1, 2});
  const DeviceTensor out(DType::kFloat, {2, 3});
  const DeviceTensors two({&left, &left});
  const DeviceTensors uneven({&left, &tall});
  const DeviceTensors mixed({&left, &flat});
  EXPECT_EQ(CALL(Cat, two, 1, out).result,
            "refused 161002: aclnnCat: the parts have 2 elements in dimension 1, the result is "
            "float32 [2, 3]");
  EXPECT_EQ(CALL(Cat, uneven, 1, out).result,
            "refused 161002: aclnnCat: a part is float32 [3, 1], the result float32 [2, 3]");
  EXPECT_EQ(CALL(Cat, mixed, 1, out).result,
            "refused 161002: aclnnCat: a part is float32 [2], the result float32 [2, 3]");
  TensorList* const nothing = nullptr;
  EXPECT_EQ(CALL(Cat, nothing, 1, out).result,
            "refused 161001: aclnnCat: the argument 'tensors' is null");
}

TEST(Stack, AddsADimension) {
  const DeviceTensor a(DType::kFloat, {2}, {1, 2});
  const DeviceTensor b(DType::kFloat, {2}, {3, 4});
  const DeviceTensors parts({&a, &b});
  const DeviceTensor out(DType::kFloat, {2, 2});
  ASSERT_EQ(CALL(Stack, parts, 1, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 3, 2, 4));
}

TEST(Repeat, TilesAndInterleaves) {
  const DeviceTensor x(DType::kFloat, {2}, {1, 2});
  const HostInts twice_in_two_rows({2, 2});
  const DeviceTensor tiled(DType::kFloat, {2, 4});
  ASSERT_EQ(CALL(Repeat, x, twice_in_two_rows, tiled).result, "ran");
  EXPECT_THAT(tiled.Values(), ElementsAre(1, 2, 1, 2, 1, 2, 1, 2));

  const DeviceTensor counts(DType::kInt64, {2}, {3, 1});
  const DeviceTensor four(DType::kFloat, {4});
  ASSERT_EQ(CALL(RepeatInterleave, x, counts, 4, four).result, "ran");
  EXPECT_THAT(four.Values(), ElementsAre(1, 1, 1, 2));
  ASSERT_EQ(CALL(RepeatInterleaveInt, x, 2, 4, four).result, "ran");
  EXPECT_THAT(four.Values(), ElementsAre(1, 1, 2, 2));

  const DeviceTensor matrix(DType::kFloat, {2, 2}, {1, 2, 3, 4});
  const DeviceTensor wide(DType::kFloat, {2, 4});
  ASSERT_EQ(CALL(RepeatInterleaveWithDim, matrix, counts, 1, 4, wide).result, "ran");
  EXPECT_THAT(wide.Values(), ElementsAre(1, 1, 1, 2, 3, 3, 3, 4));
  ASSERT_EQ(CALL(RepeatInterleaveIntWithDim, matrix, 2, 1, 4, wide).result, "ran");
  EXPECT_THAT(wide.Values(), ElementsAre(1, 1, 2, 2, 3, 3, 4, 4));
}

TEST(Nonzero, GivesPlacesAndTheirNumber) {
  const DeviceTensor x(DType::kFloat, {2, 3}, {0, 1, 0, 2, 0, 3});
  const DeviceTensor places(DType::kInt64, {6, 2});
  const Outcome outcome = CALL(Nonzero, x, places);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_EQ(places.view().Text(), "int64 [3, 2]");
  EXPECT_THAT(places.Values(), ElementsAre(0, 1, 1, 0, 1, 2));
  EXPECT_EQ(places.Written(), "wwwwww");
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads [2, 3]", "out some [6, 2]"));

  const DeviceTensor turned(DType::kInt64, {2, 6});
  ASSERT_EQ(CALL(NonzeroV2, x, turned).result, "ran");
  EXPECT_EQ(turned.view().Text(), "int64 [2, 3]");
  EXPECT_THAT(turned.Values(), ElementsAre(0, 1, 1, 1, 0, 2));
}

TEST(Unique, GivesValuesTheirPlacesAndNumbers) {
  const DeviceTensor x(DType::kInt32, {2, 3}, {5, 2, 5, 9, 2, 2});
  const DeviceTensor values(DType::kInt32, {6});
  const DeviceTensor inverse(DType::kInt64, {2, 3});
  const DeviceTensor counts(DType::kInt64, {6});
  ASSERT_EQ(CALL(Unique2, x, true, true, true, values, inverse, counts).result, "ran");
  EXPECT_EQ(values.view().Text(), "int32 [3]");
  EXPECT_THAT(values.Values(), ElementsAre(2, 5, 9));
  EXPECT_EQ(inverse.view().Text(), "int64 [2, 3]");
  EXPECT_THAT(inverse.Values(), ElementsAre(1, 0, 1, 2, 0, 0));
  EXPECT_THAT(counts.Values(), ElementsAre(3, 2, 1));

  const DeviceTensor alone(DType::kInt32, {6});
  const DeviceTensor nothing(DType::kInt64, {0});
  const Outcome outcome = CALL(Unique2, x, true, false, false, alone, nothing, nothing);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(alone.Values(), ElementsAre(2, 5, 9));
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads [2, 3]", "valueOut some [6]"));

  const DeviceTensor older(DType::kInt32, {6});
  ASSERT_EQ(CALL(Unique, x, true, true, older, inverse).result, "ran");
  EXPECT_THAT(older.Values(), ElementsAre(2, 5, 9));
}

TEST(Unique, TakesRowsAndRuns) {
  const DeviceTensor rows(DType::kFloat, {3, 2}, {4, 1, 3, 3, 4, 1});
  const DeviceTensor values(DType::kFloat, {3, 2});
  const DeviceTensor inverse(DType::kInt64, {3});
  const DeviceTensor counts(DType::kInt64, {3});
  ASSERT_EQ(CALL(UniqueDim, rows, true, true, 0, values, inverse, counts).result, "ran");
  EXPECT_EQ(values.view().Text(), "float32 [2, 2]");
  EXPECT_THAT(values.Values(), ElementsAre(3, 3, 4, 1));
  EXPECT_THAT(inverse.Values(), ElementsAre(1, 0, 1));
  EXPECT_THAT(counts.Values(), ElementsAre(1, 2));

  // 1000 stands for all elements, whatever the dimensions.
  const DeviceTensor x(DType::kInt64, {6}, {7, 7, 1, 1, 1, 7});
  const DeviceTensor runs(DType::kInt64, {6});
  const DeviceTensor lengths(DType::kInt64, {6});
  const DeviceTensor nothing(DType::kInt64, {0});
  ASSERT_EQ(CALL(UniqueConsecutive, x, false, true, 1000, runs, nothing, lengths).result, "ran");
  EXPECT_THAT(runs.Values(), ElementsAre(7, 1, 7));
  EXPECT_THAT(lengths.Values(), ElementsAre(2, 3, 1));
}

TEST(Unique, RefusesRoomThatIsTooSmallAndPlacesThatAreNotInt64) {
  const DeviceTensor x(DType::kInt32, {3}, {1, 2, 3});
  const DeviceTensor values(DType::kInt32, {2});
  const DeviceTensor inverse(DType::kInt32, {3});
  const DeviceTensor nothing(DType::kInt64, {0});
  EXPECT_THAT(CALL(Unique2, x, true, false, false, values, nothing, nothing).result,
              HasSubstr("the result has 3 elements, and its tensor, int32 [2], 2"));
  EXPECT_THAT(CALL(Unique2, x, true, true, false, x, inverse, nothing).result,
              HasSubstr("'inverseOut' is int32 [3]; it must be int64"));
}

TEST(MaskedSelect, GivesWhatTheMaskChooses) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor mask(DType::kBool, {2, 3}, {0, 1, 0, 1, 1, 0});
  const DeviceTensor out(DType::kFloat, {6});
  ASSERT_EQ(CALL(MaskedSelect, x, mask, out).result, "ran");
  EXPECT_EQ(out.view().Text(), "float32 [3]");
  EXPECT_THAT(out.Values(), ElementsAre(11, 20, 21));
}

TEST(Triangle, KeepsOneSideOfADiagonal) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor out(DType::kFloat, {2, 3});
  ASSERT_EQ(CALL(Triu, x, 1, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 11, 12, 0, 0, 22));
  ASSERT_EQ(CALL(Tril, x, 0, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(10, 0, 0, 20, 21, 0));
  ASSERT_EQ(CALL(InplaceTriu, x, 0).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(10, 11, 12, 0, 21, 22));
  ASSERT_EQ(CALL(InplaceTril, x, 0).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(10, 0, 0, 0, 21, 0));
  const DeviceTensor flat(DType::kFloat, {2}, {1, 2});
  EXPECT_EQ(CALL(InplaceTriu, flat, 0).result,
            "refused 161002: aclnnInplaceTriu: 'self' is float32 [2], not a matrix");
}

TEST(Flip, ReversesDimensions) {
  const DeviceTensor x(DType::kFloat, {2, 3}, kSix);
  const DeviceTensor out(DType::kFloat, {2, 3});
  const HostInts both({0, -1});
  ASSERT_EQ(CALL(Flip, x, both, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(22, 21, 20, 12, 11, 10));
  IntArray* const nothing = nullptr;
  EXPECT_EQ(CALL(Flip, x, nothing, out).result,
            "refused 161001: aclnnFlip: the argument 'dims' is null");
}

}  // namespace
}  // namespace softnpu
