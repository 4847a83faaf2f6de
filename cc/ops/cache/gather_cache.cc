// cc/ops/cache/gather_cache.cc: checks the arguments and sizes the buffers.
#include "cc/ops/cache/gather_cache.h"

#include <algorithm>

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("gather_cache");
// Beyond this a larger copy gains nothing, and smaller buffers leave the pipes less to wait for.
constexpr int64_t kMaxBufferBytes = 65536;
// The kernel copies what is in a buffer with one instruction.
static_assert(kMaxBufferBytes / kBlockBytes <= 4095, "the rows of a copy");

GatherCacheSide PlanSide(const Tensor& rows, const Tensor& cache, const char* name,
                         const char* cache_name, CacheLayout layout) {
  kChecks.Dense(rows, name, 3, "[rows, heads, size]");
  kChecks.Moved(rows, name);
  VLLM_CANN_REQUIRE(kChecks, rows.type == cache.type,
                    std::string(cache_name) + " is " + Name(cache.type) + ", but " + name + " is " +
                        Name(rows.type));
  const int64_t heads = rows.shape[1];
  const int64_t size = rows.shape[2];
  VLLM_CANN_REQUIRE(kChecks, heads > 0 && size > 0,
                    std::string(name) + " has heads of [" + Text(heads) + ", " + Text(size) +
                        "]; both have to be positive");
  const CacheParts parts = CheckCache(kChecks, cache, cache_name, layout, heads, size, name);
  return {parts.parts, parts.part_bytes, parts.block_stride};
}

void CheckIndices(const Tensor& tensor, const char* name, int dims, const char* form) {
  kChecks.Dense(tensor, name, dims, form);
  kChecks.Type(tensor, name, DataType::kInt32);
}

}  // namespace

GatherCachePlan PlanGatherCache(const GatherCacheArgs& args, const DeviceInfo& device) {
  CheckIndices(args.block_table, "block_table", 2, "[requests, blocks]");
  CheckIndices(args.seq_lens, "seq_lens", 1, "[requests] or [requests + 1]");
  GatherCachePlan plan;
  plan.kernel = "gather_cache";
  GatherCacheTiling& tiling = plan.tiling;
  tiling.requests = args.block_table.shape[0];
  tiling.table_width = args.block_table.shape[1];
  const int64_t lengths = args.seq_lens.shape[0];
  VLLM_CANN_REQUIRE(kChecks, lengths == tiling.requests || lengths == tiling.requests + 1,
                    "seq_lens has " + Text(lengths) + " elements for " + Text(tiling.requests) +
                        " requests; it takes one for each, or one more for sums from 0 on");
  tiling.cumulative = lengths - tiling.requests;
  tiling.has_starts = args.seq_starts.dims != 0 ? 1 : 0;
  if (tiling.has_starts != 0) {
    CheckIndices(args.seq_starts, "seq_starts", 1, "[requests]");
    kChecks.Size(args.seq_starts, "seq_starts", 0, tiling.requests, "requests are");
  }
  tiling.key = PlanSide(args.key, args.key_cache, "key", "key_cache", args.layout);
  tiling.num_blocks = args.key_cache.shape[0];
  tiling.block_size = BlockSize(args.key_cache, args.layout);
  tiling.rows = args.key.shape[0];
  const bool has_value = args.value.dims != 0;
  VLLM_CANN_REQUIRE(kChecks, has_value == (args.value_cache.dims != 0),
                    "value and value_cache go together: one of them is absent");
  if (has_value) {
    tiling.value = PlanSide(args.value, args.value_cache, "value", "value_cache", args.layout);
    VLLM_CANN_REQUIRE(
        kChecks, args.value.type == args.key.type,
        std::string("value is ") + Name(args.value.type) + ", but key is " + Name(args.key.type));
    kChecks.Size(args.value, "value", 0, tiling.rows, "the rows of key are");
    const int64_t block_size = BlockSize(args.value_cache, args.layout);
    VLLM_CANN_REQUIRE(
        kChecks, args.value_cache.shape[0] == tiling.num_blocks && block_size == tiling.block_size,
        "value_cache has " + Text(args.value_cache.shape[0]) + " blocks of " + Text(block_size) +
            ", key_cache has " + Text(tiling.num_blocks) + " of " + Text(tiling.block_size));
  }
  if (tiling.rows == 0 || tiling.requests == 0) return plan;
  VLLM_CANN_REQUIRE(kChecks, tiling.num_blocks > 0 && tiling.block_size > 0,
                    "key_cache has " + Text(tiling.num_blocks) + " blocks of " +
                        Text(tiling.block_size) + " slots");
  VLLM_CANN_REQUIRE(kChecks, tiling.table_width > 0, "block_table has no blocks for a request");
  tiling.has_copy_pad = device.npu_arch != kArch310P ? 1 : 0;
  for (const GatherCacheSide* side : {&tiling.key, &tiling.value}) {
    VLLM_CANN_REQUIRE(kChecks, tiling.has_copy_pad != 0 || side->part_bytes % kBlockBytes == 0,
                      device.soc_name +
                          " has no DataCopyPad, so what lies together in the cache has to be whole "
                          "blocks of 32 bytes, not " +
                          Text(side->part_bytes) + " bytes");
  }

  plan.cores = static_cast<uint32_t>(std::min(tiling.rows, device.vector_cores));
  const int64_t per_core = Ceil(tiling.rows, plan.cores);
  const GatherCacheIndices indices = GatherCacheIndicesOf(tiling);
  const int64_t budget =
      (device.ub_bytes - kReservedUbBytes - indices.lengths - indices.starts) / 2;
  const int64_t widest =
      std::max(GatherCacheRowPitch(tiling.key), GatherCacheRowPitch(tiling.value));
  const int64_t least =
      std::max(tiling.key.parts > 1 ? GatherCachePartPitch(tiling.key) : kBlockBytes,
               tiling.value.parts > 1 ? GatherCachePartPitch(tiling.value) : kBlockBytes);
  tiling.buffer_bytes = std::min({widest * std::min(per_core, tiling.block_size), kMaxBufferBytes,
                                  budget / kBlockBytes * kBlockBytes});
  VLLM_CANN_REQUIRE(kChecks, tiling.buffer_bytes >= least,
                    "the lengths of " + Text(tiling.requests) + " requests and two buffers of " +
                        Text(least) + " bytes are more than the UB of " + device.soc_name + ", " +
                        Text(device.ub_bytes - kReservedUbBytes) + " bytes");
  return plan;
}

using Args = GatherCacheArgs;
[[maybe_unused]] const bool kDeclared = Declare("gather_cache", "cache", &PlanGatherCache,
                                                {{"key_cache", &Args::key_cache},
                                                 {"value_cache", &Args::value_cache},
                                                 {"block_table", &Args::block_table},
                                                 {"seq_lens", &Args::seq_lens},
                                                 {"seq_starts", &Args::seq_starts},
                                                 {"key", &Args::key},
                                                 {"value", &Args::value}},
                                                {{"layout", &Args::layout, kCacheLayouts}});

}  // namespace vllm_cann::ops
