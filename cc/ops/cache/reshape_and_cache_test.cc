// cc/ops/cache/reshape_and_cache_test.cc: every refusal is a sentence that names the value.
#include "cc/ops/cache/reshape_and_cache.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vllm_cann::ops {
namespace {

using ::testing::HasSubstr;

const DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};

ReshapeAndCacheArgs Good() {
  ReshapeAndCacheArgs args;
  args.key = {DataType::kFloat16, 3, {5, 2, 64}, {128, 64, 1}};
  args.value = {DataType::kFloat16, 3, {5, 2, 32}, {64, 32, 1}};
  args.key_cache = {DataType::kFloat16, 4, {4, 16, 2, 64}, {2048, 128, 64, 1}};
  args.value_cache = {DataType::kFloat16, 4, {4, 16, 2, 32}, {1024, 64, 32, 1}};
  args.slot_mapping = {DataType::kInt64, 1, {5}, {1}};
  return args;
}

TEST(PlanReshapeAndCache, TilesWithinTheDevice) {
  const ReshapeAndCachePlan plan = PlanReshapeAndCache(Good(), kDevice);
  EXPECT_EQ(plan.cores, 5u);
  EXPECT_EQ(plan.tiling.key.parts, 1);
  EXPECT_EQ(plan.tiling.key.part_bytes, 256);
  EXPECT_EQ(plan.tiling.value.part_bytes, 128);
  EXPECT_EQ(plan.tiling.buffer_bytes % 32, 0);
  ReshapeAndCacheArgs many = Good();
  many.key.shape[0] = many.value.shape[0] = many.slot_mapping.shape[0] = 100000;
  const ReshapeAndCachePlan large = PlanReshapeAndCache(many, kDevice);
  EXPECT_EQ(large.cores, 40u);
  EXPECT_LE(2 * large.tiling.buffer_bytes + large.tiling.slot_batch * 8, 196608 - 8192);
}

TEST(PlanReshapeAndCache, SlotsLeaveRoomForRowsInASmallUb) {
  ReshapeAndCacheArgs many = Good();
  many.key.shape[0] = many.value.shape[0] = many.slot_mapping.shape[0] = 128;
  const ReshapeAndCachePlan plan = PlanReshapeAndCache(many, {"Ascend910B3", 2201, 1, 8192 + 1024});
  EXPECT_GE(plan.tiling.slot_batch, 32);
  EXPECT_GE(plan.tiling.buffer_bytes, 256);
  EXPECT_LE(2 * plan.tiling.buffer_bytes + plan.tiling.slot_batch * 8, 1024);
}

TEST(PlanReshapeAndCache, RefusesByName) {
  const std::vector<std::pair<std::function<void(ReshapeAndCacheArgs&)>, const char*>> cases = {
      {[](auto& a) { a.key.dims = 2; }, "key has 2 dimensions, not [tokens, heads, size]"},
      {[](auto& a) { a.key.type = DataType::kFloat; }, "key_cache is float16, but key is float32"},
      {[](auto& a) { a.key.type = a.key_cache.type = DataType::kInt64; }, "key is int64; it can"},
      {[](auto& a) { a.key.type = a.key_cache.type = static_cast<DataType>(99); },
       "key is an unknown data type"},
      {[](auto& a) { a.key.shape[0] = 4; }, "value has 5 in dimension 0, key has 4"},
      {[](auto& a) { a.key_cache.shape[3] = 32; },
       "key_cache has the shape [4, 16, 2, 32]; for heads of [2, 64] it has to be [4, 16, 2, 64]"},
      {[](auto& a) { a.key.strides[1] = 65; }, "key has strides [128, 65, 1]; the heads"},
      {[](auto& a) { a.value_cache.strides[1] = 65; }, "value_cache has strides"},
      {[](auto& a) { a.key_cache.strides[0] = 2047; },
       "key_cache has the block stride 2047, less than a block's 2048"},
      {[](auto& a) { a.layout = CacheLayout::kHnd; },
       "key_cache has the shape [4, 16, 2, 64]; for heads of [2, 64] it has to be [4, 2, 2, 64]"},
      {[](auto& a) {
         a.layout = CacheLayout::kNz;
         a.key.shape[2] = 60;
         a.key.strides[1] = 60;
       },
       "key has rows of 240 bytes; a cache in NZ takes whole blocks of 32"},
      {[](auto& a) { a.value_cache.shape[0] = 3; }, "value_cache has 3 blocks of 16, key_cache"},
      {[](auto& a) { a.value.type = a.value_cache.type = DataType::kInt8; },
       "value is int8, but key is float16"},
      {[](auto& a) { a.slot_mapping.type = DataType::kFloat; }, "slot_mapping is float32"},
      {[](auto& a) { a.slot_mapping.dims = 2; }, "slot_mapping has 2 dimensions, not one"},
      {[](auto& a) { a.slot_mapping.strides[0] = 2; }, "slot_mapping has stride 2 in dimension 0"},
      {[](auto& a) { a.key_cache.shape[0] = a.value_cache.shape[0] = 0; },
       "key_cache has 0 blocks of 16 slots"},
  };
  for (const auto& [spoil, sentence] : cases) {
    ReshapeAndCacheArgs args = Good();
    spoil(args);
    EXPECT_THAT([&] { PlanReshapeAndCache(args, kDevice); },
                ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr(sentence)));
  }
}

TEST(PlanReshapeAndCache, NoTokensLaunchNothing) {
  ReshapeAndCacheArgs args = Good();
  args.slot_mapping = {DataType::kInt32, 1, {0}, {1}};
  EXPECT_EQ(PlanReshapeAndCache(args, kDevice).cores, 0u);
}

}  // namespace
}  // namespace vllm_cann::ops
