// cc/ops/cache/reshape_and_cache.h: scatters keys and values of tokens into a paged KV cache.
#pragma once

#include "cc/ops/cache/reshape_and_cache_plan.h"
#include "cc/ops/launch.h"

namespace vllm_cann::ops {

// For t < T with 0 <= slot_mapping[t] < N * B: row t of key and value is copied to place slot % B
// of block slot / B of the caches. Other slots are padding, nothing is written for them. No slots
// launch nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareReshapeAndCache(const ReshapeAndCacheArgs& args);

}  // namespace vllm_cann::ops
