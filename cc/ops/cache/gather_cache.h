// cc/ops/cache/gather_cache.h: argument checks and tiling of gather_cache.
#pragma once

#include "cc/kernels/cache/gather_cache_tiling.h"
#include "cc/ops/cache/cache_layout.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// R requests, H heads, N cache blocks of B slots, at most n rows in all.
struct GatherCacheArgs {
  CacheLayout layout = CacheLayout::kNd;
  Tensor key_cache;    // of the layout; blocks contiguous, any stride between blocks
  Tensor value_cache;  // the same; absent for caches without values
  Tensor block_table;  // [R, blocks], int32, contiguous
  Tensor seq_lens;     // [R] lengths, or [R + 1] sums of lengths from 0 on; int32, contiguous
  Tensor seq_starts;   // [R] first positions, int32, contiguous; absent: all are 0
  Tensor key;          // [n, H, Dk], contiguous
  Tensor value;        // [n, H, Dv], contiguous; absent together with `value_cache`
};

using GatherCachePlan = Plan<GatherCacheTiling>;

// Tokens start .. start + length of each request, found by its row of block_table, one request
// after the other; rows beyond the sum of lengths stay as they are. A position beyond block_table
// and a block beyond the cache trap on the device. No rows launch nothing.
// Throws std::invalid_argument with a sentence.
GatherCachePlan PlanGatherCache(const GatherCacheArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
