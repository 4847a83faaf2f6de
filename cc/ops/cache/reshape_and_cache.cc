// cc/ops/cache/reshape_and_cache.cc: checks the arguments and sizes the buffers.
#include "cc/ops/cache/reshape_and_cache.h"

#include <algorithm>

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("reshape_and_cache");
constexpr int64_t kSlotBatch = 512;
// Beyond this a larger copy gains nothing, and smaller buffers leave the pipes less to wait for.
constexpr int64_t kMaxBufferBytes = 65536;

ReshapeAndCacheSide PlanSide(const Tensor& rows, const Tensor& cache, const char* name,
                             const char* cache_name, CacheLayout layout) {
  VLLM_CANN_REQUIRE(
      kChecks, rows.dims == 3,
      std::string(name) + " has " + Text(rows.dims) + " dimensions, not [tokens, heads, size]");
  VLLM_CANN_REQUIRE(kChecks, rows.type == cache.type,
                    std::string(cache_name) + " is " + Name(cache.type) + ", but " + name + " is " +
                        Name(rows.type));
  kChecks.Moved(rows, name);
  const int64_t bytes = ElementBytes(rows.type);
  const int64_t heads = rows.shape[1];
  const int64_t size = rows.shape[2];
  VLLM_CANN_REQUIRE(kChecks, heads > 0 && size > 0,
                    std::string(name) + " has heads of [" + Text(heads) + ", " + Text(size) +
                        "]; both have to be positive");
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
  // A graph pads keys to its size, the buffer of slots has a size of its own.
  const int64_t tokens = std::min(slots.shape[0], args.key.shape[0]);

  ReshapeAndCachePlan plan;
  plan.kernel = "reshape_and_cache";
  ReshapeAndCacheTiling& tiling = plan.tiling;
  tiling.tokens = tokens;
  tiling.num_blocks = args.key_cache.shape[0];
  tiling.block_size = BlockSize(args.key_cache, args.layout);
  tiling.slot_bytes = ElementBytes(slots.type);
  tiling.key = PlanSide(args.key, args.key_cache, "key", "key_cache", args.layout);
  const bool has_value = args.value.dims != 0;
  VLLM_CANN_REQUIRE(kChecks, has_value == (args.value_cache.dims != 0),
                    "value and value_cache go together: one of them is absent");
  if (has_value) {
    tiling.value = PlanSide(args.value, args.value_cache, "value", "value_cache", args.layout);
    for (int i = 0; i < 2; ++i) kChecks.Size(args.value, "value", i, args.key.shape[i], "key has");
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

using Args = ReshapeAndCacheArgs;
[[maybe_unused]] const bool kDeclared = Declare("reshape_and_cache", "cache", &PlanReshapeAndCache,
                                                {{"key", &Args::key},
                                                 {"value", &Args::value},
                                                 {"key_cache", &Args::key_cache},
                                                 {"value_cache", &Args::value_cache},
                                                 {"slot_mapping", &Args::slot_mapping}},
                                                {{"layout", &Args::layout, kCacheLayouts}});

}  // namespace vllm_cann::ops
