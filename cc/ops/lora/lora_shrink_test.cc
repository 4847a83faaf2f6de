// cc/ops/lora/lora_shrink_test.cc: every refusal is a sentence that names the value.
#include "cc/ops/lora/lora_shrink.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vllm_cann::ops {
namespace {

using ::testing::HasSubstr;

const DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};

Tensor Cube(DataType type, int64_t a, int64_t b, int64_t c) {
  return {type, 3, {a, b, c}, {b * c, c, 1}};
}

LoraShrinkArgs Good() {
  LoraShrinkArgs args;
  args.x = {DataType::kBfloat16, 2, {100, 64}, {64, 1}};
  args.weights0 = args.weights1 = args.weights2 = Cube(DataType::kBfloat16, 4, 16, 64);
  args.indices = {DataType::kInt64, 1, {100}, {1}};
  args.out = Cube(DataType::kFloat, 3, 100, 16);
  return args;
}

TEST(PlanLoraShrink, ChoosesTheKernelOfTheType) {
  LoraShrinkArgs args = Good();
  EXPECT_STREQ(PlanLoraShrink(args, kDevice).kernel, "lora_shrink_bfloat16");
  EXPECT_EQ(PlanLoraShrink(args, kDevice).cores, 39u);
  for (const auto& [type, kernel] : {std::pair{DataType::kFloat16, "lora_shrink_half"},
                                     std::pair{DataType::kFloat, "lora_shrink_float"}}) {
    for (Tensor* tensor : {&args.x, &args.weights0, &args.weights1, &args.weights2}) {
      tensor->type = type;
    }
    EXPECT_STREQ(PlanLoraShrink(args, kDevice).kernel, kernel);
  }
}

TEST(PlanLoraShrink, RefusesByName) {
  const std::vector<std::pair<std::function<void(LoraShrinkArgs&)>, const char*>> cases = {
      {[](auto& a) { a.x.dims = 1; }, "x has 1 dimensions, not [tokens, in]"},
      {[](auto& a) { a.x.type = DataType::kInt8; }, "x is int8; it can be float16"},
      {[](auto& a) { a.x.strides[0] = 70; }, "x has stride 70 in dimension 0"},
      {[](auto& a) { a.weights0 = Tensor(); }, "weights0 has 0 dimensions, not [adapters, rank"},
      {[](auto& a) { a.weights0.dims = 4; }, "weights0 has 4 dimensions, not [adapters, rank, in]"},
      {[](auto& a) { a.weights1 = Tensor(); }, "weights2 is given without weights1"},
      {[](auto& a) { a.weights2.type = DataType::kFloat16; },
       "weights2 is float16, but x is bfloat16"},
      {[](auto& a) { a.weights1.shape[0] = 3; },
       "weights1 has 3 in dimension 0, the adapters of weights0 are 4"},
      {[](auto& a) { a.weights2 = Cube(DataType::kBfloat16, 4, 8, 64); },
       "weights2 has 8 in dimension 1, the rank of weights0 is 16"},
      {[](auto& a) { a.weights0 = Cube(DataType::kBfloat16, 4, 16, 63); },
       "weights0 has 63 in dimension 2, x has 64"},
      {[](auto& a) { a.weights0.strides[1] = 65; }, "weights0 has stride 65 in dimension 1"},
      {[](auto& a) { a.indices.type = DataType::kFloat; }, "indices is float32; it can be int32"},
      {[](auto& a) { a.indices.dims = 2; }, "indices has 2 dimensions, not [tokens]"},
      {[](auto& a) { a.indices.shape[0] = 99; },
       "indices has 99 in dimension 0, the tokens are 100"},
      {[](auto& a) { a.out.type = DataType::kBfloat16; }, "out is bfloat16, not float32"},
      {[](auto& a) { a.out.shape[0] = 2; },
       "out has 2 in dimension 0, the slices of weights are 3"},
      {[](auto& a) { a.out = Cube(DataType::kFloat, 3, 99, 16); },
       "out has 99 in dimension 1, x has rows: 100"},
      {[](auto& a) { a.out = Cube(DataType::kFloat, 3, 100, 15); },
       "out has 15 in dimension 2, the rank of weights0 is 16"},
      {[](auto& a) {
         a.x.shape[1] = 0;
         for (Tensor* tensor : {&a.weights0, &a.weights1, &a.weights2}) tensor->shape[2] = 0;
       },
       "x has rows of 0 elements"},
      {[](auto& a) {
         for (Tensor* tensor : {&a.weights0, &a.weights1, &a.weights2}) tensor->shape[1] = 0;
       },
       "weights0 has the rank 0; it can be 1 to 65536"},
  };
  for (const auto& [spoil, sentence] : cases) {
    LoraShrinkArgs args = Good();
    spoil(args);
    EXPECT_THAT([&] { PlanLoraShrink(args, kDevice); },
                ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr(sentence)));
  }
}

TEST(PlanLoraShrink, OtherDevices) {
  EXPECT_THAT([] { PlanLoraShrink(Good(), {"Ascend310P3", 2002, 8, 262144}); },
              ::testing::ThrowsMessage<std::invalid_argument>(
                  HasSubstr("Ascend310P3 has neither DataCopyPad nor bfloat16")));
  EXPECT_THAT([] { PlanLoraShrink(Good(), {"Tiny", 2201, 1, 8192 + 256}); },
              ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr("Tiny offers 256")));
}

}  // namespace
}  // namespace vllm_cann::ops
