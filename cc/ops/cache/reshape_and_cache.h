// cc/ops/cache/reshape_and_cache.h: argument checks and tiling of reshape_and_cache.
#pragma once

#include "cc/kernels/cache/reshape_and_cache_tiling.h"
#include "cc/ops/cache/cache_layout.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// T tokens, H heads, N cache blocks of B slots.
struct ReshapeAndCacheArgs {
  CacheLayout layout = CacheLayout::kNd;
  Tensor key;           // [>= T, H, Dk]; heads of a token contiguous, any stride between tokens
  Tensor value;         // [>= T, H, Dv], the same; absent for caches without values
  Tensor key_cache;     // of the layout; blocks contiguous, any stride between blocks
  Tensor value_cache;   // the same; absent together with `value`
  Tensor slot_mapping;  // [T], int32 or int64, contiguous
};

using ReshapeAndCachePlan = Plan<ReshapeAndCacheTiling>;

// For t < T with 0 <= slot_mapping[t] < N * B: row t of key and value is copied to place slot % B
// of block slot / B of the caches. Other slots are padding, nothing is written for them. No slots
// launch nothing.
// Throws std::invalid_argument with a sentence.
ReshapeAndCachePlan PlanReshapeAndCache(const ReshapeAndCacheArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
