// cc/softnpu/opapi/grouped_matmul_ops_test.cc: products of groups of rows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(GroupedMatmulV4, const TensorList*, const TensorList*, const TensorList*,
              const TensorList*, const TensorList*, const TensorList*, const TensorList*,
              const TensorList*, const Tensor*, const TensorList*, const TensorList*,
              const TensorList*, int64_t, int64_t, int64_t, int64_t, const TensorList*,
              const TensorList*, const TensorList*)
ACLNN_DECLARE(GroupedMatmulV5, const TensorList*, const TensorList*, const TensorList*,
              const TensorList*, const TensorList*, const TensorList*, const TensorList*,
              const TensorList*, const Tensor*, const TensorList*, const TensorList*,
              const TensorList*, int64_t, int64_t, int64_t, int64_t, const IntArray*,
              const TensorList*, const TensorList*, const TensorList*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// 5 rows of 2 elements in three groups of 2, 0 and 3 rows; each matrix multiplies by a power of 10,
// and its second column by the negative one.
class GroupedMatmul : public ::testing::Test {
 protected:
  std::string Run() {
    const DeviceTensors x({rows});
    const DeviceTensors w({matrices});
    const DeviceTensors y({out});
    const TensorList* const no = nullptr;
    const std::unique_ptr<DeviceTensors> b =
        bias == nullptr
            ? nullptr
            : std::make_unique<DeviceTensors>(std::initializer_list<const DeviceTensor*>{bias});
    const TensorList* const biases = b == nullptr ? nullptr : static_cast<TensorList*>(*b);
    const auto list = [](const DeviceTensor* one) {
      return one == nullptr
                 ? nullptr
                 : std::make_unique<DeviceTensors>(std::initializer_list<const DeviceTensor*>{one});
    };
    const auto scales = list(scale);
    const auto row_scales = list(row_scale);
    const auto given = [](const std::unique_ptr<DeviceTensors>& one) -> const TensorList* {
      return one == nullptr ? nullptr : static_cast<TensorList*>(*one);
    };
    const IntArray tuning{{1}};
    return CALL(GroupedMatmulV5, x, w, biases, given(scales), no, no, no, given(row_scales),
                *groups, no, no, no, split_item, group_type, list_type, act_type,
                has_tuning ? &tuning : nullptr, y, no, no)
        .result;
  }
  static std::string Refused(int32_t code, const std::string& sentence) {
    return "refused " + std::to_string(code) + ": aclnnGroupedMatmulV5: " + sentence;
  }

  const DeviceTensor rows_{DType::kHalf, {5, 2}, {1, 0, 0, 1, 2, 0, 0, 2, 1, 1}};
  const DeviceTensor matrices_{
      DType::kHalf, {3, 2, 2}, {1, -1, 1, -1, 10, 10, 10, 10, 100, -100, 100, -100}};
  const DeviceTensor sums_{DType::kInt64, {3}, {2, 2, 5}};
  const DeviceTensor counts_{DType::kInt64, {3}, {2, 0, 3}};
  const DeviceTensor out_{DType::kHalf, {5, 2}};

  const DeviceTensor* rows = &rows_;
  const DeviceTensor* matrices = &matrices_;
  const DeviceTensor* groups = &sums_;
  const DeviceTensor* bias = nullptr;
  const DeviceTensor* out = &out_;
  const DeviceTensor* scale = nullptr;
  const DeviceTensor* row_scale = nullptr;
  bool has_tuning = false;
  int64_t split_item = 2;
  int64_t group_type = 0;
  int64_t list_type = 0;
  int64_t act_type = 0;
};

TEST_F(GroupedMatmul, EachGroupHasItsMatrix) {
  const std::vector<double> wanted = {1, -1, 1, -1, 200, -200, 200, -200, 200, -200};
  ASSERT_EQ(Run(), "ran");
  EXPECT_EQ(out->Values(), wanted);
  const DeviceTensor again(DType::kHalf, {5, 2});
  out = &again;
  groups = &counts_;
  list_type = 1;
  split_item = 3;
  ASSERT_EQ(Run(), "ran");
  EXPECT_EQ(out->Values(), wanted);
}

TEST_F(GroupedMatmul, TakesMatricesWhoseSidesAreExchangedInMemory) {
  const DeviceTensor swapped(DType::kHalf, {3, 2, 2}, {4, 1, 2}, 0,
                             {1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8});
  matrices = &swapped;
  ASSERT_EQ(Run(), "ran");
  EXPECT_THAT(out->Values(), ElementsAre(1, 3, 2, 4, 10, 14, 12, 16, 11, 15));
  const DeviceTensor gaps(DType::kHalf, {3, 2, 2}, {8, 4, 1}, 0, std::vector<double>(24, 1));
  matrices = &gaps;
  EXPECT_THAT(Run(), HasSubstr("'weight' is neither contiguous nor contiguous with its last two "
                               "dimensions exchanged"));
}

// bfloat16 adds a float32 bias before its one rounding: 256.5 + 1 rounds to 258, and 256 + 1 to
// 256.
TEST_F(GroupedMatmul, AddsABias) {
  const DeviceTensor ones(DType::kBfloat16, {5, 2}, std::vector<double>(10, 1));
  const DeviceTensor weights(DType::kBfloat16, {3, 2, 2}, {256, 1, 0.5, 0, 0, 0, 0, 0, 0, 2, 0, 0});
  const DeviceTensor biases(DType::kFloat, {3, 2}, {1, 1, 0, 0, 3, 5});
  const DeviceTensor result(DType::kBfloat16, {5, 2});
  rows = &ones;
  matrices = &weights;
  bias = &biases;
  out = &result;
  ASSERT_EQ(Run(), "ran");
  EXPECT_THAT(out->Values(), ElementsAre(258, 2, 258, 2, 3, 7, 3, 7, 3, 7));
  const DeviceTensor narrow(DType::kBfloat16, {3, 2}, {0, 0, 0, 0, 0, 0});
  bias = &narrow;
  EXPECT_EQ(Run(), Refused(161002, "'bias' is bfloat16 [3, 2], it must be float32 [3, 2]"));
}

TEST_F(GroupedMatmul, LeavesRowsBehindTheLastGroup) {
  const DeviceTensor fewer(DType::kInt64, {3}, {1, 1, 3});
  groups = &fewer;
  ASSERT_EQ(Run(), "ran");
  EXPECT_EQ(out->Written(), "wwwwww....");
}

TEST_F(GroupedMatmul, StopsAtGroupsThatDoNotFit) {
  const DeviceTensor long_list(DType::kInt64, {3}, {2, 2, 6});
  groups = &long_list;
  EXPECT_THAT(Run(),
              HasSubstr("507015: aclnnGroupedMatmulV5: 'group_list' holds 6 at 2, so group 2 "
                        "would be rows 2 to 6 of 5 (undefined on the device)"));
}

TEST_F(GroupedMatmul, StopsAtGroupsThatEndBeforeTheyBegin) {
  const DeviceTensor falling(DType::kInt64, {3}, {2, 1, 5});
  groups = &falling;
  EXPECT_THAT(Run(), HasSubstr("'group_list' holds 1 at 1, so group 1 would be rows 2 to 1 of 5"));
}

TEST_F(GroupedMatmul, RefusesWhatItDoesNotHave) {
  split_item = 0;
  EXPECT_EQ(Run(), Refused(561103, "'split_item' is 0; SoftNPU has 2 and 3"));
  split_item = 2;
  group_type = 2;
  EXPECT_EQ(Run(), Refused(561103, "'group_type' is 2; SoftNPU has 0, groups of rows"));
  group_type = 0;
  const DeviceTensor scales(DType::kFloat, {3, 2}, std::vector<double>(6, 1));
  scale = &scales;
  EXPECT_EQ(Run(),
            Refused(161002, "'scale' is given, 'x' is float16 [5, 2]; scales are for int8 rows"));
  scale = nullptr;
  has_tuning = true;
  EXPECT_EQ(Run(), Refused(161002, "'tuning_config' is given, which is for int8 rows"));
  has_tuning = false;
  list_type = 2;
  EXPECT_THAT(Run(), HasSubstr("'group_list_type' is 2; with these types it is 0"));
  list_type = 0;
  act_type = 5;
  EXPECT_THAT(Run(), HasSubstr("'act_type' is 5; activations need the quantisation of each row"));
}

TEST_F(GroupedMatmul, RefusesShapesAndTypes) {
  const DeviceTensor wide(DType::kHalf, {5, 3}, std::vector<double>(15, 0));
  rows = &wide;
  EXPECT_EQ(Run(), Refused(161002,
                           "'x' is float16 [5, 3], 'weight' float16 [3, 2, 2] and the result "
                           "float16 [5, 2]; they must be [M, K], [groups, K, N] and [M, N]"));
  const DeviceTensor floats(DType::kFloat, {5, 2}, std::vector<double>(10, 0));
  rows = &floats;
  EXPECT_EQ(Run(), Refused(161002, "'weight' is float16 [3, 2, 2], 'x' is float32 [5, 2]"));
  rows = &rows_;
  const DeviceTensor two(DType::kInt64, {2}, {2, 5});
  groups = &two;
  EXPECT_EQ(Run(), Refused(161002, "'group_list' is int64 [2], it must be int64 [3]"));
  const DeviceTensor narrow(DType::kInt32, {3}, {2, 2, 5});
  groups = &narrow;
  EXPECT_EQ(Run(), Refused(161002, "'group_list' is int32 [3], it must be int64 [3]"));
}

// Counts of a single group are refused, its running sum is not.
TEST_F(GroupedMatmul, OfOneGroup) {
  const DeviceTensor one(DType::kHalf, {1, 2, 2}, {1, 0, 0, 2});
  const DeviceTensor all(DType::kInt64, {1}, {5});
  matrices = &one;
  groups = &all;
  ASSERT_EQ(Run(), "ran");
  EXPECT_THAT(out->Values(), ElementsAre(1, 0, 0, 2, 2, 0, 0, 4, 1, 2));
  list_type = 1;
  EXPECT_EQ(Run(), Refused(161002, "'group_list' has 1 groups; there can be 2 to 1024"));
}

// Groups of 2, 0 and 3 rows; each column and each row has a scale of its own.
class GroupedInt8 : public GroupedMatmul {
 protected:
  GroupedInt8() {
    rows = &bytes_;
    matrices = &byte_matrices_;
    out = &half_;
    scale = &scales_;
    row_scale = &row_scales_;
  }
  const DeviceTensor bytes_{DType::kInt8, {5, 2}, {1, 2, 3, 4, 5, 6, -7, -8, 127, 127}};
  const DeviceTensor byte_matrices_{DType::kInt8, {3, 2, 2}, {1, 2, 3, 4, 0, 0, 0, 0, 1, 10, 1, 1}};
  const DeviceTensor scales_{DType::kFloat, {3, 2}, {1, 2, 100, 100, 0.5, 1}};
  const DeviceTensor row_scales_{DType::kFloat, {5}, {1, 10, 1, 2, 0.5}};
  const DeviceTensor narrow_scales_{DType::kBfloat16, {3, 2}, {1, 2, 100, 100, 0.5, 1}};
  const DeviceTensor half_{DType::kHalf, {5, 2}};
  const DeviceTensor bfloats_{DType::kBfloat16, {5, 2}};
  const DeviceTensor sums_out_{DType::kInt32, {5, 2}};
};

TEST_F(GroupedInt8, ScalesColumnsAndRows) {
  ASSERT_EQ(Run(), "ran");
  // 7 10 | 15 22 || 11 56 | -15 -78 | 254 1397, times the scales.
  const std::vector<double> wanted = {7, 20, 150, 440, 5.5, 56, -15, -156, 63.5, 698.5};
  EXPECT_EQ(half_.Values(), wanted);
  out = &bfloats_;
  scale = &narrow_scales_;
  has_tuning = true;  // which changes nothing
  ASSERT_EQ(Run(), "ran");
  EXPECT_EQ(bfloats_.Values(), Rounded(DType::kBfloat16, wanted));
  row_scale = nullptr;
  ASSERT_EQ(Run(), "ran");
  EXPECT_EQ(bfloats_.Values(),
            Rounded(DType::kBfloat16, {7, 20, 15, 44, 5.5, 56, -7.5, -78, 127, 1397}));
}

TEST_F(GroupedInt8, AddsAWholeBiasBeforeTheScales) {
  const DeviceTensor biases(DType::kInt32, {3, 2}, {1, 0, 9, 9, -1, 3});
  bias = &biases;
  ASSERT_EQ(Run(), "ran");
  EXPECT_THAT(half_.Values(), ElementsAre(8, 20, 160, 440, 5, 59, -16, -150, 63.25, 700));
}

TEST_F(GroupedInt8, GivesSums) {
  out = &sums_out_;
  EXPECT_EQ(Run(), Refused(161002,
                           "a scale is given; the result is int32 [5, 2], the sums without "
                           "one"));
  scale = nullptr;
  row_scale = nullptr;
  ASSERT_EQ(Run(), "ran");
  EXPECT_THAT(sums_out_.Values(), ElementsAre(7, 10, 15, 22, 11, 56, -15, -78, 254, 1397));
}

TEST_F(GroupedInt8, RefusesOtherTypes) {
  scale = &narrow_scales_;
  EXPECT_EQ(Run(), Refused(161002, "'scale' is bfloat16 [3, 2], it must be float32"));
  scale = nullptr;
  EXPECT_EQ(Run(), Refused(161002, "'scale' is missing; the result is float16 [5, 2]"));
  scale = &scales_;
  const DeviceTensor few(DType::kFloat, {4}, {1, 1, 1, 1});
  row_scale = &few;
  EXPECT_EQ(Run(), Refused(161002, "'per_token_scale' is float32 [4], it must be float32 [5]"));
  row_scale = &row_scales_;
  act_type = 5;
  EXPECT_EQ(Run(), Refused(561103, "'act_type' is 5; SoftNPU has no activation in a product"));
  act_type = 0;
  const DeviceTensor biases(DType::kFloat, {3, 2}, std::vector<double>(6, 1));
  bias = &biases;
  EXPECT_EQ(Run(), Refused(161002, "'bias' is float32 [3, 2], it must be int32"));
  bias = nullptr;
  matrices = &matrices_;
  EXPECT_EQ(Run(), Refused(161002, "'weight' is float16 [3, 2, 2], it must be int8"));
}

// The tail, which nobody has written, is not read.
TEST_F(GroupedInt8, LeavesRowsBehindTheLastGroup) {
  const DeviceTensor fewer(DType::kInt64, {3}, {1, 1, 3});
  groups = &fewer;
  ASSERT_EQ(Run(), "ran");
  EXPECT_EQ(half_.Written(), "wwwwww....");
}

TEST_F(GroupedMatmul, TheFormerVersionHasNoTuning) {
  const DeviceTensors x({rows});
  const DeviceTensors w({matrices});
  const DeviceTensors y({out});
  const TensorList* const no = nullptr;
  ASSERT_EQ(CALL(GroupedMatmulV4, x, w, no, no, no, no, no, no, *groups, no, no, no, split_item,
                 group_type, list_type, act_type, y, no, no)
                .result,
            "ran");
  EXPECT_THAT(out->Values(), ElementsAre(1, -1, 1, -1, 200, -200, 200, -200, 200, -200));
}

}  // namespace
}  // namespace softnpu
