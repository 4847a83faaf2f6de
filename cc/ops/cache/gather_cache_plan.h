// cc/ops/cache/gather_cache_plan.h: argument checks and tiling of gather_cache.
#pragma once

#include "cc/kernels/cache/gather_cache_tiling.h"
#include "cc/ops/cache/cache_layout.h"

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

struct GatherCachePlan {
  uint32_t cores = 0;  // 0: nothing to launch
  const char* kernel = "gather_cache";
  GatherCacheTiling tiling{};
};

// Throws std::invalid_argument with a sentence.
GatherCachePlan PlanGatherCache(const GatherCacheArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
