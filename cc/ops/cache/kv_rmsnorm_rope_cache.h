// cc/ops/cache/kv_rmsnorm_rope_cache.h: argument checks and tiling of kv_rmsnorm_rope_cache.
#pragma once

#include "cc/kernels/cache/kv_rmsnorm_rope_cache_tiling.h"
#include "cc/ops/cache/cache_layout.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// How the caches lie, and what `index` holds of S sequences of L tokens. N cache blocks of B slots,
// elements of d parts, w of which have 32 bytes.
enum class LatentCacheMode : int32_t {
  // Caches [S, 1, B, d]. index [S, L]: row in the block of the token's own sequence.
  kNorm = 0,
  // Caches [N, B, 1, d]. index [S * L]: slot of each token.
  kPa = 1,
  kPaBnsd = 2,
  // Caches [N, d / w, B, 1, w]. index as kPa.
  kPaNz = 3,
  // Caches as kPa and as kPaNz. index [S * pages]: first slot of each page of B tokens.
  kPaBlkBnsd = 4,
  kPaBlkNz = 5,
};

// norm_dim n, rope_dim r.
struct KvRmsnormRopeCacheArgs {
  Tensor kv;            // [S, 1, L, n + r], float16, bfloat16 or float32; any stride between tokens
  Tensor gamma;         // [n], the type of kv, contiguous
  Tensor cos;           // [S, 1, L, r], the type of kv, contiguous
  Tensor sin;           // the same
  Tensor index;         // int64, contiguous; [S, L] and [S * L] are the same
  Tensor k_cache;       // rotated parts, d = r; type of kv, or int8; any stride between blocks
  Tensor ckv_cache;     // normalised parts, d = n; type of kv, or int8; the same
  Tensor k_rope_scale;  // [r], float32; present if and only if k_cache is int8
  Tensor c_kv_scale;    // [n], the same of ckv_cache
  Tensor k_rope_offset;  // [r], float32; absent: 0
  Tensor c_kv_offset;    // [n], the same
  Tensor k_rope;  // [S, 1, L, r], type of kv, contiguous: the rotated parts; absent: not wanted
  Tensor c_kv;    // [S, 1, L, n], the same of the normalised parts
  LatentCacheMode mode = LatentCacheMode::kNorm;
  double epsilon = 1e-5;
};

using KvRmsnormRopeCachePlan = Plan<KvRmsnormRopeCacheTiling>;

// The first n elements x of a row of kv become x / sqrt(mean(x * x) + epsilon) * gamma, for
// ckv_cache; of the others, neighbours are pairs that are rotated, for k_cache, the first elements
// of all pairs before the second ones. An int8 cache takes round(value * scale + offset), clipped.
// A token whose index is negative or beyond the cache is not cached. No tokens launch nothing.
// Throws std::invalid_argument with a sentence.
KvRmsnormRopeCachePlan PlanKvRmsnormRopeCache(const KvRmsnormRopeCacheArgs& args,
                                              const DeviceInfo& device);

}  // namespace vllm_cann::ops
