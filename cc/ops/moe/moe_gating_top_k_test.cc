// cc/ops/moe/moe_gating_top_k_test.cc: every refusal is a sentence that names the value.
#include "cc/ops/moe/moe_gating_top_k.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vllm_cann::ops {
namespace {

using ::testing::HasSubstr;

const DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};

MoeGatingTopKArgs Good() {
  MoeGatingTopKArgs args;
  args.x = {DataType::kFloat16, 2, {100, 256}, {256, 1}};
  args.bias = {DataType::kFloat16, 1, {256}, {1}};
  args.finished = {DataType::kBool, 1, {100}, {1}};
  args.y = {DataType::kFloat16, 2, {100, 8}, {8, 1}};
  args.expert_idx = {DataType::kInt32, 2, {100, 8}, {8, 1}};
  args.row_idx = {DataType::kInt32, 2, {100, 8}, {8, 1}};
  args.norm_out = {DataType::kFloat, 2, {100, 256}, {256, 1}};
  args.k = 8;
  args.k_group = 4;
  args.group_count = 8;
  args.group_select_mode = 1;
  args.norm_type = 1;
  return args;
}

TEST(PlanMoeGatingTopK, ChoosesTheKernelOfTheType) {
  MoeGatingTopKArgs args = Good();
  EXPECT_STREQ(PlanMoeGatingTopK(args, kDevice).kernel, "moe_gating_top_k_half");
  EXPECT_EQ(PlanMoeGatingTopK(args, kDevice).cores, 34u);
  args.x.type = args.bias.type = args.y.type = DataType::kBfloat16;
  EXPECT_STREQ(PlanMoeGatingTopK(args, kDevice).kernel, "moe_gating_top_k_bfloat16");
  args.x.type = args.bias.type = args.y.type = DataType::kFloat;
  EXPECT_STREQ(PlanMoeGatingTopK(args, kDevice).kernel, "moe_gating_top_k_float");
}

TEST(PlanMoeGatingTopK, TheLimitIsTheNumberOfExperts) {
  MoeGatingTopKArgs args;
  args.x = {DataType::kFloat, 2, {1, 2048}, {2048, 1}};
  args.y = {DataType::kFloat, 2, {1, 1}, {1, 1}};
  args.expert_idx = {DataType::kInt32, 2, {1, 1}, {1, 1}};
  EXPECT_EQ(PlanMoeGatingTopK(args, kDevice).cores, 1u);
  args.x.shape[1] = args.x.strides[0] = 2049;
  EXPECT_THAT([&] { PlanMoeGatingTopK(args, kDevice); },
              ::testing::ThrowsMessage<std::invalid_argument>(
                  HasSubstr("x has 2049 experts; the limit is 2048")));
}

TEST(PlanMoeGatingTopK, RefusesByName) {
  const std::vector<std::pair<std::function<void(MoeGatingTopKArgs&)>, const char*>> cases = {
      {[](auto& a) { a.x.dims = 0; }, "x has 0 dimensions, not [.., experts]"},
      {[](auto& a) { a.x.type = DataType::kInt8; }, "x is int8; it can be float16"},
      {[](auto& a) { a.x.strides[0] = 300; }, "x has stride 300 in dimension 0"},
      {[](auto& a) { a.x.shape[0] = -1; }, "x has the negative size -1"},
      {[](auto& a) { a.x.shape[1] = 0; }, "x has 0 experts; the limit is 2048"},
      {[](auto& a) { a.x.shape[0] = 1 << 25; }, "x has 33554432 rows; the limit is 16777216"},
      {[](auto& a) { a.group_count = 7; }, "256 experts, which are no 7 groups of equal size"},
      {[](auto& a) { a.group_count = 0; }, "256 experts, which are no 0 groups of equal size"},
      {[](auto& a) { a.group_count = 128; },
       "a group has 2 of the 256 experts of x; it needs more"},
      {[](auto& a) {
         a.x.shape[1] = a.x.strides[0] = 300;
         a.group_count = 100;
       },
       "100 groups of 3 experts take 3200 places, at multiples of 32; the limit is 2048"},
      {[](auto& a) { a.k_group = 9; }, "k_group is 9; it can be 1 to group_count, 8"},
      {[](auto& a) { a.k_group = 0; }, "k_group is 0; it can be 1"},
      {[](auto& a) { a.k = 129; }, "k is 129; it can be 1 to the 128 experts of 4 groups"},
      {[](auto& a) { a.k = 0; }, "k is 0; it can be 1"},
      {[](auto& a) { a.group_select_mode = 2; }, "group_select_mode is 2; it can be 0 or 1"},
      {[](auto& a) { a.renorm = -1; }, "renorm is -1; it can be 0 or 1"},
      {[](auto& a) { a.norm_type = 3; }, "norm_type is 3; it can be 0, 1 or 2"},
      {[](auto& a) { a.bias.shape[0] = 255; }, "bias has 255 in dimension 0, x has experts: 256"},
      {[](auto& a) { a.bias.type = DataType::kFloat; }, "bias is float32, not float16"},
      {[](auto& a) { a.finished.shape[0] = 99; },
       "finished has the shape [99] for x of the shape [100, 256]"},
      {[](auto& a) { a.finished.type = DataType::kInt32; }, "finished is int32, not bool"},
      {[](auto& a) { a.y.shape[1] = a.y.strides[0] = 7; }, "y has 7 in dimension 1, k is 8"},
      {[](auto& a) { a.y.type = DataType::kFloat; }, "y is float32, not float16"},
      {[](auto& a) { a.expert_idx.type = DataType::kInt64; }, "expert_idx is int64, not int32"},
      {[](auto& a) { a.expert_idx.shape[0] = 1; }, "expert_idx has 1 in dimension 0, x has rows:"},
      {[](auto& a) { a.row_idx.strides[0] = 9; }, "row_idx has stride 9 in dimension 0"},
      {[](auto& a) { a.norm_out.type = DataType::kFloat16; }, "norm_out is float16, not float32"},
      {[](auto& a) { a.norm_out.shape[1] = a.norm_out.strides[0] = 8; },
       "norm_out has 8 in dimension 1, x has experts:"},
  };
  for (const auto& [spoil, sentence] : cases) {
    MoeGatingTopKArgs args = Good();
    spoil(args);
    EXPECT_THAT([&] { PlanMoeGatingTopK(args, kDevice); },
                ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr(sentence)));
  }
}

TEST(PlanMoeGatingTopK, RowNumbersHaveToFit) {
  MoeGatingTopKArgs args = Good();
  const int64_t rows = 1 << 24;
  for (Tensor* tensor :
       {&args.x, &args.finished, &args.y, &args.expert_idx, &args.row_idx, &args.norm_out}) {
    tensor->shape[0] = rows;
  }
  EXPECT_EQ(PlanMoeGatingTopK(args, kDevice).cores, 40u);
  args.k = 128;
  for (Tensor* tensor : {&args.y, &args.expert_idx, &args.row_idx}) {
    tensor->shape[1] = tensor->strides[0] = 128;
  }
  EXPECT_THAT([&] { PlanMoeGatingTopK(args, kDevice); },
              ::testing::ThrowsMessage<std::invalid_argument>(
                  HasSubstr("row_idx numbers 16777216 rows of 128; they have to fit int32")));
}

TEST(PlanMoeGatingTopK, OtherDevices) {
  EXPECT_THAT([] { PlanMoeGatingTopK(Good(), {"Ascend310P3", 2002, 8, 262144}); },
              ::testing::ThrowsMessage<std::invalid_argument>(
                  HasSubstr("Ascend310P3 has neither DataCopyPad nor bfloat16")));
  EXPECT_THAT([] { PlanMoeGatingTopK(Good(), {"Tiny", 2201, 1, 8192 + 1024}); },
              ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr("Tiny offers 1024")));
}

TEST(PlanMoeGatingTopK, NoRowsLaunchNothing) {
  MoeGatingTopKArgs args = Good();
  for (Tensor* tensor :
       {&args.x, &args.finished, &args.y, &args.expert_idx, &args.row_idx, &args.norm_out}) {
    tensor->shape[0] = 0;
    tensor->address = 0;
  }
  EXPECT_EQ(PlanMoeGatingTopK(args, kDevice).cores, 0u);
}

}  // namespace
}  // namespace vllm_cann::ops
