// cc/ops/cache/reshape_and_cache_plan.cc: checks the arguments and sizes the buffers.
#include "cc/ops/cache/reshape_and_cache_plan.h"

#include <algorithm>

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("reshape_and_cache");
constexpr int64_t kSlotBatch = 512;
// Beyond this a larger copy gains nothing, and smaller buffers leave the pipes less to wait for.
constexpr int64_t kMaxBufferBytes = 65536;

ReshapeAndCacheSide PlanSide(const Tensor& rows, const Tensor& cache, const char* name,
                             const char* cache_name, CacheLayout layout, int64_t tokens) {
  VLLM_CANN_REQUIRE(
      kChecks, rows.dims == 3,
      std::string(name) + " has " + Text(rows.dims) + " dimensions, not [tokens, heads, size]");
  VLLM_CANN_REQUIRE(kChecks, rows.type == cache.type,
                    std::string(cache_name) + " is " + Name(cache.type) + ", but " + name + " is " +
                        Name(rows.type));
  const int64_t bytes = ElementBytes(rows.type);
  VLLM_CANN_REQUIRE(kChecks, bytes > 0 && bytes <= 4,
                    std::string(name) + " is " + Name(rows.type) +
                        "; it can be float16, bfloat16, float32, int8, uint8 or int32");
  const int64_t heads = rows.shape[1];
  const int64_t size = rows.shape[2];
  VLLM_CANN_REQUIRE(kChecks, heads > 0 && size > 0,
                    std::string(name) + " has heads of [" + Text(heads) + ", " + Text(size) +
                        "]; both have to be positive");
  VLLM_CANN_REQUIRE(kChecks, rows.shape[0] >= tokens,
                    std::string(name) + " has " + Text(rows.shape[0]) +
                        " tokens, slot_mapping has " + Text(tokens));
  VLLM_CANN_REQUIRE(kChecks, rows.strides[2] == 1 && (heads == 1 || rows.strides[1] == size),
                    std::string(name) + " has strides [" + Text(rows.strides[0]) + ", " +
                        Text(rows.strides[1]) + ", " + Text(rows.strides[2]) +
                        "]; the heads of a token have to be contiguous");
  VLLM_CANN_REQUIRE(kChecks, rows.strides[0] >= 0,
                    std::string(name) + " has the negative token stride " + Text(rows.strides[0]));
  const CacheParts parts = CheckCache(kChecks, cache, cache_name, layout, heads, size, name);
  ReshapeAndCacheSide side;
  side.parts = parts.parts;
  side.part_bytes = parts.part_bytes;
  side.token_stride = rows.strides[0] * bytes;
  side.block_stride = parts.block_stride;
  return side;
}

// Without DataCopyPad.
void Require310P(const ReshapeAndCacheSide& side, const char* name, const DeviceInfo& device) {
  const std::string soc = device.soc_name + " has no DataCopyPad, so ";
  VLLM_CANN_REQUIRE(kChecks, side.part_bytes % kBlockBytes == 0,
                    soc + "what lies together of " + name +
                        " in the cache has to be whole blocks of 32 bytes, not " +
                        Text(side.part_bytes) + " bytes");
  VLLM_CANN_REQUIRE(kChecks, side.token_stride % kBlockBytes == 0,
                    soc + "the tokens of " + name +
                        " have to be whole blocks of 32 bytes apart, not " +
                        Text(side.token_stride) + " bytes");
}

}  // namespace

ReshapeAndCachePlan PlanReshapeAndCache(const ReshapeAndCacheArgs& args, const DeviceInfo& device) {
  const Tensor& slots = args.slot_mapping;
  kChecks.Dense(slots, "slot_mapping", 1, "one");
  VLLM_CANN_REQUIRE(kChecks, slots.type == DataType::kInt32 || slots.type == DataType::kInt64,
                    std::string("slot_mapping is ") + Name(slots.type) + ", not int32 or int64");
  const int64_t tokens = slots.shape[0];

  ReshapeAndCachePlan plan;
  ReshapeAndCacheTiling& tiling = plan.tiling;
  tiling.tokens = tokens;
  tiling.num_blocks = args.key_cache.shape[0];
  tiling.block_size = BlockSize(args.key_cache, args.layout);
  tiling.slot_bytes = ElementBytes(slots.type);
  tiling.key = PlanSide(args.key, args.key_cache, "key", "key_cache", args.layout, tokens);
  const bool has_value = args.value.dims != 0 || args.value_cache.dims != 0;
  if (has_value) {
    tiling.value =
        PlanSide(args.value, args.value_cache, "value", "value_cache", args.layout, tokens);
    const int64_t block_size = BlockSize(args.value_cache, args.layout);
    VLLM_CANN_REQUIRE(
        kChecks, args.value_cache.shape[0] == tiling.num_blocks && block_size == tiling.block_size,
        "value_cache has " + Text(args.value_cache.shape[0]) + " blocks of " + Text(block_size) +
            ", key_cache has " + Text(tiling.num_blocks) + " of " + Text(tiling.block_size));
    VLLM_CANN_REQUIRE(
        kChecks, args.value.type == args.key.type,
        std::string("value is ") + Name(args.value.type) + ", but key is " + Name(args.key.type));
  }
  if (tokens == 0) return plan;
  VLLM_CANN_REQUIRE(kChecks, tiling.num_blocks > 0 && tiling.block_size > 0,
                    "key_cache has " + Text(tiling.num_blocks) + " blocks of " +
                        Text(tiling.block_size) + " slots");
  tiling.has_copy_pad = device.npu_arch != kArch310P;
  if (tiling.has_copy_pad == 0) {
    Require310P(tiling.key, "key", device);
    if (has_value) Require310P(tiling.value, "value", device);
  }

  plan.cores = static_cast<uint32_t>(std::min(tokens, device.vector_cores));
  const int64_t per_core = (tokens + plan.cores - 1) / plan.cores;
  // A third of the UB is the most that slots take.
  const int64_t ub_bytes = device.ub_bytes - kReservedUbBytes;
  tiling.slot_batch =
      std::clamp(ub_bytes / 3 / tiling.slot_bytes, int64_t{1}, std::min(per_core, kSlotBatch));
  const int64_t budget = (ub_bytes - ReshapeAndCacheSlotBytes(tiling)) / 2;
  const int64_t widest =
      std::max(ReshapeAndCacheRowPitch(tiling.key), ReshapeAndCacheRowPitch(tiling.value));
  const int64_t wanted = std::min(widest * tiling.slot_batch, kMaxBufferBytes);
  tiling.buffer_bytes = std::min(wanted, budget / kBlockBytes * kBlockBytes);
  VLLM_CANN_REQUIRE(kChecks, tiling.buffer_bytes >= kBlockBytes,
                    Text(device.ub_bytes) + " bytes of UB are too few");
  return plan;
}

}  // namespace vllm_cann::ops
