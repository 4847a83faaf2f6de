// cc/ops/cache/kv_rmsnorm_rope_cache.h: normalises, rotates and caches latent rows (MLA).
#pragma once

#include "cc/ops/cache/kv_rmsnorm_rope_cache_plan.h"
#include "cc/ops/launch.h"

namespace vllm_cann::ops {

// The first n elements x of a row of kv become x / sqrt(mean(x * x) + epsilon) * gamma, for
// ckv_cache; of the others, neighbours are pairs that are rotated, for k_cache, the first elements
// of all pairs before the second ones. An int8 cache takes round(value * scale + offset), clipped.
// A token whose index is negative or beyond the cache is not cached. No tokens launch nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareKvRmsnormRopeCache(const KvRmsnormRopeCacheArgs& args);

}  // namespace vllm_cann::ops
