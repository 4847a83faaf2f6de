// cc/ops/cache/transpose_kv_cache_test.cc: every refusal is a sentence that names the value.
#include "cc/ops/cache/transpose_kv_cache.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vllm_cann::ops {
namespace {

using ::testing::HasSubstr;

const DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};

TransposeKvCacheArgs Good() {
  TransposeKvCacheArgs args;
  args.caches = {DataType::kInt64, 2, {128, 2}, {2, 1}};
  args.block_ids = {DataType::kInt64, 1, {32}, {1}};
  args.num_blocks = 64;
  args.block_size = 128;
  args.heads = 4;
  args.head_size = 128;
  args.splits = 2;
  return args;
}

TEST(PlanTransposeKvCache, OneCorePerBlockThatFitsTheUb) {
  const TransposeKvCachePlan plan = PlanTransposeKvCache(Good(), kDevice);
  EXPECT_STREQ(plan.kernel, "transpose_kv_cache");
  EXPECT_EQ(plan.cores, 40u);
  EXPECT_EQ(plan.tiling.buffer_bytes, 131072);
  EXPECT_EQ(plan.tiling.buffers, 1);
  TransposeKvCacheArgs args = Good();
  args.block_size = 64;
  EXPECT_EQ(PlanTransposeKvCache(args, kDevice).tiling.buffers, 2);
}

TEST(PlanTransposeKvCache, RefusesByName) {
  const std::vector<std::pair<std::function<void(TransposeKvCacheArgs&)>, const char*>> cases = {
      {[](auto& a) { a.caches.dims = 1; }, "caches has 1 dimensions, not [caches, 2]"},
      {[](auto& a) { a.caches.type = DataType::kInt32; }, "caches is int32, not int64"},
      {[](auto& a) { a.caches.shape[1] = a.caches.strides[0] = 3; }, "caches has rows of 3"},
      {[](auto& a) { a.block_ids.type = DataType::kInt32; }, "block_ids is int32, not int64"},
      {[](auto& a) { a.block_ids.strides[0] = 2; }, "block_ids has stride 2"},
      {[](auto& a) { a.element_bytes = 8; }, "the caches have elements of 8 bytes; they"},
      {[](auto& a) { a.block_size = 0; }, "block_size is 0; it has to be positive"},
      {[](auto& a) { a.block_size = 4096; }, "block_size is 4096, the limit is 4095"},
      {[](auto& a) { a.heads = -1; }, "heads is -1; it has to be positive"},
      {[](auto& a) { a.head_size = 0; }, "head_size is 0; it has to be positive"},
      {[](auto& a) { a.splits = 0; }, "splits is 0; it has to be positive"},
      {[](auto& a) { a.splits = 3; }, "4 heads cannot be divided into 3 splits"},
      {[](auto& a) { a.num_blocks = 0; }, "the caches have no blocks"},
      {[](auto& a) { a.head_size = 65536; },
       "a block takes 67108864 bytes of UB, and the 40 cores of Ascend910B3 cannot hold it"},
  };
  for (const auto& [change, sentence] : cases) {
    TransposeKvCacheArgs args = Good();
    change(args);
    EXPECT_THAT([&] { PlanTransposeKvCache(args, kDevice); },
                ::testing::ThrowsMessage<std::invalid_argument>(
                    HasSubstr(std::string("transpose_kv_cache: ") + sentence)));
  }
}

TEST(PlanTransposeKvCache, On310PWholeBlocksOfBytesThatFit) {
  const DeviceInfo old = {"Ascend310P3", 2002, 8, 262144};
  EXPECT_STREQ(PlanTransposeKvCache(Good(), old).kernel, "transpose_kv_cache");
  TransposeKvCacheArgs args = Good();
  args.head_size = 20;
  EXPECT_THAT([&] { PlanTransposeKvCache(args, old); },
              ::testing::ThrowsMessage<std::invalid_argument>(
                  HasSubstr("Ascend310P3 has no DataCopyPad, so the heads of a split have to be "
                            "whole blocks of 32 bytes, not 80 bytes")));
  args = Good();
  args.heads = 16;
  EXPECT_THAT([&] { PlanTransposeKvCache(args, old); },
              ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr("no flags between cores")));
}

}  // namespace
}  // namespace vllm_cann::ops
