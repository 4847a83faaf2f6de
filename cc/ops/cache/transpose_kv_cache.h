// cc/ops/cache/transpose_kv_cache.h: reorders the heads of cache blocks in place.
#pragma once

#include "cc/ops/cache/transpose_kv_cache_plan.h"
#include "cc/ops/launch.h"

namespace vllm_cann::ops {

// Of each cache and block id, the memory of the block, read as [splits, B, H / splits, D], becomes
// [B, splits, H / splits, D]. Ids that occur twice are undefined; one that is not below N traps on
// the device. No caches, no ids or one split launch nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareTransposeKvCache(const TransposeKvCacheArgs& args);

}  // namespace vllm_cann::ops
