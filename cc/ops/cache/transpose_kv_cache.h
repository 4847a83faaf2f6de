// cc/ops/cache/transpose_kv_cache.h: argument checks and tiling of transpose_kv_cache.
#pragma once

#include "cc/kernels/cache/transpose_kv_cache_tiling.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// C caches of N blocks of B tokens with H heads of D elements.
struct TransposeKvCacheArgs {
  Tensor caches;     // [C, 2], int64, contiguous: address of each cache, bytes from block to block
  Tensor block_ids;  // [n], int64, contiguous, unique
  int64_t element_bytes = 2;
  int64_t num_blocks = 0;
  int64_t block_size = 0;
  int64_t heads = 0;
  int64_t head_size = 0;
  int64_t splits = 1;
};

using TransposeKvCachePlan = Plan<TransposeKvCacheTiling>;

// Of each cache and block id, the memory of the block, read as [splits, B, H / splits, D], becomes
// [B, splits, H / splits, D]. Ids that occur twice are undefined; one that is not below N traps on
// the device. No caches, no ids or one split launch nothing.
// Throws std::invalid_argument with a sentence.
TransposeKvCachePlan PlanTransposeKvCache(const TransposeKvCacheArgs& args,
                                          const DeviceInfo& device);

}  // namespace vllm_cann::ops
