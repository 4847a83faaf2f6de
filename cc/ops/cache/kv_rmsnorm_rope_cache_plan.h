// cc/ops/cache/kv_rmsnorm_rope_cache_plan.h: argument checks and tiling of kv_rmsnorm_rope_cache.
#pragma once

#include "cc/kernels/cache/kv_rmsnorm_rope_cache_tiling.h"
#include "cc/ops/cache/cache_layout.h"

namespace vllm_cann::ops {

// What `index` holds.
enum class CacheIndex : int32_t {
  kSlot = 0,  // [T]: slot of each token
  kPage = 1,  // [sequences * pages]: first slot of each page of B tokens
  kRow = 2,   // [T]: row in the block of the token's own sequence: N = sequences, B = rows
};

// T = sequences * seq tokens, norm_dim n, rope_dim r, N cache blocks of B slots.
struct KvRmsnormRopeCacheArgs {
  Tensor kv;         // [T, n + r], float16, bfloat16 or float32; any stride between tokens
  Tensor gamma;      // [n], the type of kv, contiguous
  Tensor cos;        // [T, r], the type of kv, contiguous
  Tensor sin;        // the same
  Tensor index;      // int64, contiguous
  Tensor k_cache;    // rotated parts: as a cache with one head of r elements; type of kv, or int8
  Tensor ckv_cache;  // normalised parts: one head of n elements; type of kv, or int8
  Tensor k_rope_scale;   // [r], float32; present if and only if k_cache is int8
  Tensor c_kv_scale;     // [n], the same of ckv_cache
  Tensor k_rope_offset;  // [r], float32; absent: 0
  Tensor c_kv_offset;    // [n], the same
  Tensor k_rope;         // [T, r], type of kv, contiguous: the rotated parts; absent: not wanted
  Tensor c_kv;           // [T, n], the same of the normalised parts
  CacheLayout layout = CacheLayout::kNd;  // or NZ
  CacheIndex index_kind = CacheIndex::kSlot;
  int64_t seq = 1;
  double epsilon = 1e-5;
};

struct KvRmsnormRopeCachePlan {
  const char* kernel = "";
  uint32_t cores = 0;  // 0: nothing to launch
  KvRmsnormRopeCacheTiling tiling{};
};

// Throws std::invalid_argument with a sentence.
KvRmsnormRopeCachePlan PlanKvRmsnormRopeCache(const KvRmsnormRopeCacheArgs& args,
                                              const DeviceInfo& device);

}  // namespace vllm_cann::ops
