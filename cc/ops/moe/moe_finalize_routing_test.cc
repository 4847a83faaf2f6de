// cc/ops/moe/moe_finalize_routing_test.cc: every refusal is a sentence that names the value.
#include "cc/ops/moe/moe_finalize_routing.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vllm_cann::ops {
namespace {

using ::testing::HasSubstr;

const DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};

Tensor Matrix(DataType type, int64_t rows, int64_t columns) {
  return {type, 2, {rows, columns}, {columns, 1}};
}

MoeFinalizeRoutingArgs Good() {
  MoeFinalizeRoutingArgs args;
  args.rows = Matrix(DataType::kBfloat16, 500, 64);
  args.skip1 = args.skip2 = args.out = Matrix(DataType::kBfloat16, 100, 64);
  args.bias = Matrix(DataType::kBfloat16, 16, 64);
  args.scales = Matrix(DataType::kFloat, 100, 8);
  args.indices = {DataType::kInt32, 1, {800}, {1}};
  args.experts = Matrix(DataType::kInt32, 100, 8);
  args.k = 8;
  return args;
}

TEST(PlanMoeFinalizeRouting, ChoosesTheKernelOfTheType) {
  MoeFinalizeRoutingArgs args = Good();
  EXPECT_STREQ(PlanMoeFinalizeRouting(args, kDevice).kernel, "moe_finalize_routing_bfloat16");
  EXPECT_EQ(PlanMoeFinalizeRouting(args, kDevice).cores, 40u);
  for (Tensor* tensor : {&args.rows, &args.skip1, &args.skip2, &args.bias, &args.out}) {
    tensor->type = DataType::kFloat16;
  }
  EXPECT_STREQ(PlanMoeFinalizeRouting(args, kDevice).kernel, "moe_finalize_routing_half");
  for (Tensor* tensor : {&args.rows, &args.skip1, &args.skip2, &args.bias, &args.out}) {
    tensor->type = DataType::kFloat;
  }
  EXPECT_STREQ(PlanMoeFinalizeRouting(args, kDevice).kernel, "moe_finalize_routing_float");
}

TEST(PlanMoeFinalizeRouting, RefusesByName) {
  const std::vector<std::pair<std::function<void(MoeFinalizeRoutingArgs&)>, const char*>> cases = {
      {[](auto& a) { a.rows.dims = 1; }, "rows has 1 dimensions, not [rows, H]"},
      {[](auto& a) { a.rows.type = DataType::kInt8; }, "rows is int8; it can be float16"},
      {[](auto& a) { a.rows.shape[1] = 0; }, "rows has rows of 0 elements"},
      {[](auto& a) { a.k = 0; }, "k is 0; it can be 1 to 512"},
      {[](auto& a) { a.k = 513; }, "k is 513; it can be 1 to 512"},
      {[](auto& a) { a.out.shape[0] = 1 << 29; },
       "out has 536870912 rows of 8 terms; their indices have to fit int32"},
      {[](auto& a) { a.out.type = DataType::kFloat; }, "out is float32, not bfloat16"},
      {[](auto& a) { a.out.shape[1] = a.out.strides[0] = 63; }, "out has 63 in dimension 1, rows"},
      {[](auto& a) { a.skip1 = Tensor(); }, "skip2 is given without skip1"},
      {[](auto& a) { a.skip1.type = DataType::kFloat; }, "skip1 is float32, not bfloat16"},
      {[](auto& a) { a.skip2.shape[0] = 99; }, "skip2 has 99 in dimension 0, out has rows: 100"},
      {[](auto& a) { a.indices.dims = 2; }, "indices has 2 dimensions, not [tokens * k]"},
      {[](auto& a) { a.indices.type = DataType::kInt64; }, "indices is int64, not int32"},
      {[](auto& a) { a.indices.shape[0] = 799; }, "indices has 799 in dimension 0, tokens * k"},
      {[](auto& a) { a.scales.type = DataType::kInt8; }, "scales is int8; it can be float16"},
      {[](auto& a) { a.scales.shape[0] = 1; }, "scales has 1 in dimension 0, out has rows: 100"},
      {[](auto& a) { a.scales.shape[1] = a.scales.strides[0] = 7; }, "scales has 7 in dimension 1"},
      {[](auto& a) { a.bias.type = DataType::kFloat; }, "bias is float32, not bfloat16"},
      {[](auto& a) { a.bias.shape[1] = a.bias.strides[0] = 3; }, "bias has 3 in dimension 1"},
      {[](auto& a) { a.experts = Tensor(); }, "experts has 0 dimensions, not [tokens, k], which"},
      {[](auto& a) { a.experts.type = DataType::kInt64; }, "experts is int64, not int32"},
      {[](auto& a) { a.experts.shape[0] = 1; }, "experts has 1 in dimension 0, out has rows"},
      {[](auto& a) { a.experts.shape[1] = a.experts.strides[0] = 1; }, "experts has 1 in dim"},
  };
  for (const auto& [spoil, sentence] : cases) {
    MoeFinalizeRoutingArgs args = Good();
    spoil(args);
    EXPECT_THAT([&] { PlanMoeFinalizeRouting(args, kDevice); },
                ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr(sentence)));
  }
}

TEST(PlanMoeFinalizeRouting, OtherDevices) {
  EXPECT_THAT([] { PlanMoeFinalizeRouting(Good(), {"Ascend310P3", 2002, 8, 262144}); },
              ::testing::ThrowsMessage<std::invalid_argument>(
                  HasSubstr("Ascend310P3 has neither DataCopyPad nor bfloat16")));
  EXPECT_THAT([] { PlanMoeFinalizeRouting(Good(), {"Tiny", 2201, 1, 8192 + 1024}); },
              ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr("Tiny offers 1024")));
}

}  // namespace
}  // namespace vllm_cann::ops
