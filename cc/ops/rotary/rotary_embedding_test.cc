// cc/ops/rotary/rotary_embedding_test.cc: every refusal is a sentence that names the value.
#include "cc/ops/rotary/rotary_embedding.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vllm_cann::ops {
namespace {

using ::testing::HasSubstr;

const DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};

RotaryEmbeddingArgs Good() {
  RotaryEmbeddingArgs args;
  args.positions = {DataType::kInt64, 1, {5}, {1}};
  args.query = {DataType::kFloat16, 3, {5, 8, 128}, {1024, 128, 1}};
  args.key = {DataType::kFloat16, 3, {5, 2, 128}, {256, 128, 1}};
  args.cos_sin_cache = {DataType::kFloat16, 2, {100, 64}, {64, 1}};
  return args;
}

TEST(PlanRotaryEmbedding, ChoosesTheKernelOfTheType) {
  EXPECT_STREQ(PlanRotaryEmbedding(Good(), kDevice).kernel, "rotary_embedding_half");
  EXPECT_EQ(PlanRotaryEmbedding(Good(), kDevice).cores, 5u);
}

TEST(PlanRotaryEmbedding, FewTokensWithManyHeadsHaveSeveralCoresEach) {
  RotaryEmbeddingArgs args = Good();
  args.query = {DataType::kFloat16, 3, {5, 200, 64}, {12800, 64, 1}};
  args.key.dims = 0;
  const RotaryEmbeddingPlan plan = PlanRotaryEmbedding(args, kDevice);
  // 200 x 64 elements are 5 tokens of 2 x 512 and no 5 of 2 x 3 x 512.
  EXPECT_EQ(plan.tiling.split, 2);
  EXPECT_EQ(plan.cores, 10u);
  EXPECT_EQ(PlanRotaryEmbedding(args, {"Ascend910B3", 2201, 12, 196608}).cores, 10u);
  EXPECT_EQ(PlanRotaryEmbedding(args, {"Ascend910B3", 2201, 4, 196608}).cores, 4u);
}

TEST(PlanRotaryEmbedding, RefusesByName) {
  const std::vector<std::pair<std::function<void(RotaryEmbeddingArgs&)>, const char*>> cases = {
      {[](auto& a) { a.cos_sin_cache.shape[1] = 63; }, "rotary dimension 63; it has to be even"},
      {[](auto& a) { a.cos_sin_cache.shape[1] = a.cos_sin_cache.strides[0] = 130; },
       "rotary dimension 130, more than the head size 128 of query"},
      {[](auto& a) { a.cos_sin_cache.strides[0] = 65; }, "cos_sin_cache has strides [65, 1]"},
      {[](auto& a) { a.cos_sin_cache.type = DataType::kInt8; }, "cos_sin_cache is int8"},
      {[](auto& a) { a.query.type = DataType::kBfloat16; },
       "query is bfloat16, but cos_sin_cache is float16"},
      {[](auto& a) { a.query.dims = 2; }, "query has 2 dimensions, not [tokens, heads, size]"},
      {[](auto& a) { a.key.shape[0] = 4; }, "key has 4 tokens, the others have 5"},
      {[](auto& a) { a.key.shape[2] = a.key.strides[1] = 64; }, "key has head size 64, query has"},
      {[](auto& a) { a.query.strides[0] = 1000; }, "query has the token stride 1000, less than"},
      {[](auto& a) { a.query.strides[2] = 2; }, "query has strides [1024, 128, 2]; the heads"},
      {[](auto& a) { a.positions.type = DataType::kFloat; }, "positions is float32, not int32"},
      {[](auto& a) { a.positions.dims = 3; }, "positions has 3 dimensions, not one, nor two"},
      {[](auto& a) { a.positions = {DataType::kInt64, 2, {2, 5}, {5, 1}}; },
       "positions has 2 axes; there can be one or three"},
      {[](auto& a) { a.positions = {DataType::kInt64, 2, {3, 5}, {5, 1}}; },
       "the sections have 0 lanes, half of the rotary dimension is 32"},
      {[](auto& a) {
         a.positions = {DataType::kInt64, 2, {3, 5}, {5, 1}};
         a.sections[0] = -1;
       },
       "a section of -1 lanes is negative"},
      {[](auto& a) { a.style = static_cast<RotaryStyle>(3); }, "the style 3 is unknown"},
      {[](auto& a) {
         a.style = RotaryStyle::kPairsToHalves;
         a.cos_sin_cache.shape[1] = a.cos_sin_cache.strides[0] = 48;
       },
       "rotary dimension 48; pairs become halves of whole blocks, multiples of 32 elements"},
      {[](auto& a) { a.cos = {DataType::kFloat16, 2, {5, 32}, {32, 1}}; },
       "angles are cos_sin_cache and positions, or cos and sin"},
      {[](auto& a) {
         a.positions.dims = a.cos_sin_cache.dims = 0;
         a.cos = {DataType::kFloat16, 2, {5, 32}, {32, 1}};
         a.sin = {DataType::kFloat16, 2, {5, 31}, {32, 1}};
       },
       "sin is float16 [5, 31], and is not laid out like cos, float16 [5, 32]"},
      {[](auto& a) { a.query_out = a.query; },
       "query_out is apart from query, and of 128 elements only 64 are rotated"},
      {[](auto& a) { a.cos_sin_cache.shape[0] = 0; }, "cos_sin_cache has no rows"},
      {[](auto& a) {
         a.cos_sin_cache.shape[1] = a.cos_sin_cache.strides[0] = 4096;
         a.query.shape[2] = a.query.strides[1] = 4096;
         a.query.strides[0] = 8 * 4096;
         a.key.dims = 0;
       },
       "rotary dimension 4096; the limit is 2040"},
  };
  for (const auto& [spoil, sentence] : cases) {
    RotaryEmbeddingArgs args = Good();
    spoil(args);
    EXPECT_THAT([&] { PlanRotaryEmbedding(args, kDevice); },
                ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr(sentence)));
  }
}

TEST(PlanRotaryEmbedding, TooLittleUb) {
  EXPECT_THAT([] { PlanRotaryEmbedding(Good(), {"Tiny", 2201, 1, 8192 + 1024}); },
              ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr("Tiny offers 1024")));
}

TEST(PlanRotaryEmbedding, NoTokensLaunchNothing) {
  RotaryEmbeddingArgs args = Good();
  args.positions = {DataType::kInt64, 1, {0}, {1}};
  args.query.shape[0] = args.key.shape[0] = 0;
  EXPECT_EQ(PlanRotaryEmbedding(args, kDevice).cores, 0u);
}

}  // namespace
}  // namespace vllm_cann::ops
