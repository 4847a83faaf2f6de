// cc/ops/lora/lora_expand_test.cc: every refusal is a sentence that names the value.
#include "cc/ops/lora/lora_expand.h"

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

LoraExpandArgs Good() {
  LoraExpandArgs args;
  args.h = Cube(DataType::kFloat, 3, 100, 16);
  args.weights0 = Cube(DataType::kBfloat16, 4, 256, 16);
  args.weights1 = args.weights2 = Cube(DataType::kBfloat16, 4, 64, 16);
  args.indices = {DataType::kInt32, 1, {100}, {1}};
  args.y = {DataType::kBfloat16, 2, {100, 400}, {400, 1}};
  args.offset = 16;
  return args;
}

TEST(PlanLoraExpand, ChoosesTheKernelOfTheType) {
  LoraExpandArgs args = Good();
  EXPECT_STREQ(PlanLoraExpand(args, kDevice).kernel, "lora_expand_bfloat16");
  EXPECT_EQ(PlanLoraExpand(args, kDevice).cores, 39u);
  for (const auto& [type, kernel] : {std::pair{DataType::kFloat16, "lora_expand_half"},
                                     std::pair{DataType::kFloat, "lora_expand_float"}}) {
    for (Tensor* tensor : {&args.y, &args.weights0, &args.weights1, &args.weights2}) {
      tensor->type = type;
    }
    EXPECT_STREQ(PlanLoraExpand(args, kDevice).kernel, kernel);
  }
}

TEST(PlanLoraExpand, RefusesByName) {
  const auto of_rank = [](LoraExpandArgs& a, int64_t rank) {
    a.h = Cube(DataType::kFloat, 3, 100, rank);
    a.weights0 = Cube(DataType::kBfloat16, 4, 256, rank);
    a.weights1 = a.weights2 = Cube(DataType::kBfloat16, 4, 64, rank);
  };
  const std::vector<std::pair<std::function<void(LoraExpandArgs&)>, const char*>> cases = {
      {[](auto& a) { a.y.dims = 3; }, "y has 3 dimensions, not [tokens, columns]"},
      {[](auto& a) { a.y.type = DataType::kInt8; }, "y is int8; it can be float16"},
      {[](auto& a) { a.y.strides[1] = 2; }, "y has stride 2 in dimension 1; its rows have to be"},
      {[](auto& a) { a.y.strides[0] = 399; },
       "y has stride 399 in dimension 0 for rows of 400 elements; they may not overlap"},
      {[](auto& a) { a.weights0 = Tensor(); }, "weights0 has 0 dimensions, not [adapters, columns"},
      {[](auto& a) { a.weights1 = Tensor(); }, "weights2 is given without weights1"},
      {[](auto& a) { a.weights1.type = DataType::kFloat; },
       "weights1 is float32, but y is bfloat16"},
      {[](auto& a) { a.weights2.shape[0] = 5; },
       "weights2 has 5 in dimension 0, the adapters of weights0 are 4"},
      {[](auto& a) { a.weights2 = Cube(DataType::kBfloat16, 4, 64, 8); },
       "weights2 has 8 in dimension 2, the rank of weights0 is 16"},
      {[&](auto& a) { of_rank(a, 4); }, "weights0 has the rank 4; it can be 8, 16, 32, 64 or 128"},
      {[&](auto& a) { of_rank(a, 24); }, "weights0 has the rank 24; it can be 8"},
      {[&](auto& a) { of_rank(a, 256); }, "weights0 has the rank 256; it can be 8"},
      {[](auto& a) { a.offset = -1; }, "offset is -1; y has 400 columns"},
      {[](auto& a) { a.offset = 401; }, "offset is 401; y has 400 columns"},
      {[](auto& a) { a.offset = 17; }, "weights2 has 64 columns from 337 on; y has 400"},
      {[](auto& a) { a.h.type = DataType::kBfloat16; }, "h is bfloat16, not float32"},
      {[](auto& a) { a.h.shape[0] = 2; }, "h has 2 in dimension 0, the slices of weights are 3"},
      {[](auto& a) { a.h = Cube(DataType::kFloat, 3, 99, 16); },
       "h has 99 in dimension 1, y has rows: 100"},
      {[](auto& a) { a.h = Cube(DataType::kFloat, 3, 100, 8); },
       "h has 8 in dimension 2, the rank of weights0 is 16"},
      {[](auto& a) { a.indices.type = DataType::kInt8; }, "indices is int8; it can be int32"},
      {[](auto& a) { a.indices.shape[0] = 99; },
       "indices has 99 in dimension 0, the tokens are 100"},
  };
  for (const auto& [spoil, sentence] : cases) {
    LoraExpandArgs args = Good();
    spoil(args);
    EXPECT_THAT([&] { PlanLoraExpand(args, kDevice); },
                ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr(sentence)));
  }
}

TEST(PlanLoraExpand, OtherDevices) {
  EXPECT_THAT([] { PlanLoraExpand(Good(), {"Ascend310P3", 2002, 8, 262144}); },
              ::testing::ThrowsMessage<std::invalid_argument>(
                  HasSubstr("Ascend310P3 has neither DataCopyPad nor bfloat16")));
  EXPECT_THAT([] { PlanLoraExpand(Good(), {"Tiny", 2201, 1, 8192 + 1024}); },
              ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr("Tiny offers 1024")));
}

}  // namespace
}  // namespace vllm_cann::ops
