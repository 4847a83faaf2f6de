// cc/ops/cache/reshape_and_cache_plan.cc: checks the arguments and sizes the buffers.
#include "cc/ops/cache/reshape_and_cache_plan.h"

#include <algorithm>

namespace vllm_cann::ops {
namespace {

constexpr int64_t kBlockBytes = 32;
constexpr int64_t kArch310P = 2002;
constexpr int64_t kSlotBatch = 512;
// Beyond this a larger copy gains nothing, and smaller buffers leave the pipes less to wait for.
constexpr int64_t kMaxBufferBytes = 65536;

int64_t RoundUp(int64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes; }

std::string Text(int64_t value) { return std::to_string(value); }

void Require(bool holds, const char* tensor, const std::string& what) {
  if (!holds) Refuse(std::string("reshape_and_cache: ") + tensor + " " + what);
}

ReshapeAndCacheSide PlanSide(const Tensor& rows, const Tensor& cache, const char* name,
                             const char* cache_name, int64_t tokens) {
  Require(cache.address != 0 || cache.shape[0] == 0, cache_name, "has no memory");
  Require(rows.dims == 3, name,
          "has " + Text(rows.dims) + " dimensions, not [tokens, heads, size]");
  Require(cache.dims == 4, cache_name,
          "has " + Text(cache.dims) + " dimensions, not [blocks, block_size, heads, size]");
  Require(rows.type == cache.type, cache_name,
          std::string("is ") + Name(cache.type) + ", but " + name + " is " + Name(rows.type));
  const int64_t bytes = ElementBytes(rows.type);
  Require(bytes > 0 && bytes <= 4, name,
          std::string("is ") + Name(rows.type) +
              "; it can be float16, bfloat16, float32, int8, uint8 or int32");
  const int64_t heads = rows.shape[1];
  const int64_t size = rows.shape[2];
  Require(heads > 0 && size > 0, name,
          "has heads of [" + Text(heads) + ", " + Text(size) + "]; both have to be positive");
  Require(rows.shape[0] >= tokens, name,
          "has " + Text(rows.shape[0]) + " tokens, slot_mapping has " + Text(tokens));
  Require(cache.shape[2] == heads && cache.shape[3] == size, cache_name,
          "holds heads of [" + Text(cache.shape[2]) + ", " + Text(cache.shape[3]) + "], " + name +
              " has [" + Text(heads) + ", " + Text(size) + "]");
  Require(rows.strides[2] == 1 && (heads == 1 || rows.strides[1] == size), name,
          "has strides [" + Text(rows.strides[0]) + ", " + Text(rows.strides[1]) + ", " +
              Text(rows.strides[2]) + "]; the heads of a token have to be contiguous");
  Require(rows.strides[0] >= 0, name, "has the negative token stride " + Text(rows.strides[0]));
  const int64_t row = heads * size;
  const int64_t block_size = cache.shape[1];
  Require(cache.strides[3] == 1 && (heads == 1 || cache.strides[2] == size) &&
              (block_size == 1 || cache.strides[1] == row),
          cache_name,
          "has strides [" + Text(cache.strides[0]) + ", " + Text(cache.strides[1]) + ", " +
              Text(cache.strides[2]) + ", " + Text(cache.strides[3]) +
              "]; a block has to be contiguous");
  Require(cache.shape[0] <= 1 || cache.strides[0] >= block_size * row, cache_name,
          "has the block stride " + Text(cache.strides[0]) + ", less than a block's " +
              Text(block_size * row) + " elements");
  return {row * bytes, rows.strides[0] * bytes, cache.strides[0] * bytes};
}

}  // namespace

ReshapeAndCachePlan PlanReshapeAndCache(const ReshapeAndCacheArgs& args, const DeviceInfo& device) {
  const Tensor& slots = args.slot_mapping;
  Require(slots.dims == 1, "slot_mapping", "has " + Text(slots.dims) + " dimensions, not one");
  Require(slots.type == DataType::kInt32 || slots.type == DataType::kInt64, "slot_mapping",
          std::string("is ") + Name(slots.type) + ", not int32 or int64");
  const int64_t tokens = slots.shape[0];
  Require(tokens >= 0, "slot_mapping", "has " + Text(tokens) + " elements");
  Require(tokens <= 1 || slots.strides[0] == 1, "slot_mapping",
          "has stride " + Text(slots.strides[0]) + "; it has to be contiguous");

  ReshapeAndCachePlan plan;
  ReshapeAndCacheTiling& tiling = plan.tiling;
  tiling.tokens = tokens;
  tiling.num_blocks = args.key_cache.shape[0];
  tiling.block_size = args.key_cache.shape[1];
  tiling.slot_bytes = ElementBytes(slots.type);
  tiling.key = PlanSide(args.key, args.key_cache, "key", "key_cache", tokens);
  const bool has_value = args.value.dims != 0 || args.value_cache.dims != 0;
  if (has_value) {
    tiling.value = PlanSide(args.value, args.value_cache, "value", "value_cache", tokens);
    Require(args.value_cache.shape[0] == tiling.num_blocks &&
                args.value_cache.shape[1] == tiling.block_size,
            "value_cache",
            "has " + Text(args.value_cache.shape[0]) + " blocks of " +
                Text(args.value_cache.shape[1]) + ", key_cache has " + Text(tiling.num_blocks) +
                " of " + Text(tiling.block_size));
    Require(args.value.type == args.key.type, "value",
            std::string("is ") + Name(args.value.type) + ", but key is " + Name(args.key.type));
  }
  if (tokens == 0) return plan;
  Require(tiling.num_blocks > 0 && tiling.block_size > 0, "key_cache",
          "has " + Text(tiling.num_blocks) + " blocks of " + Text(tiling.block_size) + " slots");
  Require(slots.address % static_cast<uintptr_t>(tiling.slot_bytes) == 0, "slot_mapping",
          "does not begin at a multiple of its elements' size");
  Require(args.key.address != 0, "key", "has no memory");
  Require(!has_value || args.value.address != 0, "value", "has no memory");
  Require(slots.address != 0, "slot_mapping", "has no memory");
  if (device.npu_arch == kArch310P) {
    Refuse("reshape_and_cache: " + device.soc_name +
           " has no DataCopyPad, which the kernel needs; it runs on Atlas A2 and A3");
  }

  plan.cores = static_cast<uint32_t>(std::min(tokens, device.vector_cores));
  const int64_t per_core = (tokens + plan.cores - 1) / plan.cores;
  tiling.slot_batch = std::min(per_core, kSlotBatch);
  const int64_t slot_bytes = RoundUp(tiling.slot_batch * tiling.slot_bytes);
  const int64_t budget = (device.ub_bytes - kReservedUbBytes - slot_bytes) / 2;
  const int64_t widest = RoundUp(std::max(tiling.key.row_bytes, tiling.value.row_bytes));
  const int64_t wanted = std::min(widest * tiling.slot_batch, kMaxBufferBytes);
  tiling.buffer_bytes = std::min(wanted, budget / kBlockBytes * kBlockBytes);
  if (tiling.buffer_bytes < kBlockBytes) {
    Refuse("reshape_and_cache: " + Text(device.ub_bytes) + " bytes of UB are too few");
  }
  return plan;
}

}  // namespace vllm_cann::ops
