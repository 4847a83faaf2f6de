// cc/ops/cache/reshape_and_cache.h: scatters keys and values of tokens into a paged KV cache.
#pragma once

#include "cc/ops/cache/reshape_and_cache_plan.h"

namespace vllm_cann::ops {

// For t < T with 0 <= slot_mapping[t] < N * B: row t of key and value is copied to place
// slot % B of block slot / B of the caches. Other slots are padding, nothing is written for them.
// Queued on `stream`; no slots launch nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
void ReshapeAndCache(const ReshapeAndCacheArgs& args, void* stream);

}  // namespace vllm_cann::ops
