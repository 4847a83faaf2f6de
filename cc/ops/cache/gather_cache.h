// cc/ops/cache/gather_cache.h: gathers keys and values of requests out of a paged KV cache.
#pragma once

#include "cc/ops/cache/gather_cache_plan.h"
#include "cc/ops/launch.h"

namespace vllm_cann::ops {

// Tokens start .. start + length of each request, found by its row of block_table, one request
// after the other; rows beyond the sum of lengths stay as they are. A position beyond block_table
// and a block beyond the cache trap on the device. No rows launch nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareGatherCache(const GatherCacheArgs& args);

}  // namespace vllm_cann::ops
