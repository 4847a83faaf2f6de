// cc/ops/cache/transpose_kv_cache_plan.h: argument checks and tiling of transpose_kv_cache.
#pragma once

#include "cc/kernels/cache/transpose_kv_cache_tiling.h"
#include "cc/ops/tensor.h"

namespace vllm_cann::ops {

// C caches of N blocks of B tokens with H heads of D elements.
struct TransposeKvCacheArgs {
  Tensor caches;     // [C, 2], int64, contiguous: address of each cache, bytes from block to block
  Tensor block_ids;  // [n], int64, contiguous, unique
  DataType type = DataType::kFloat16;
  int64_t num_blocks = 0;
  int64_t block_size = 0;
  int64_t heads = 0;
  int64_t head_size = 0;
  int64_t splits = 1;
};

struct TransposeKvCachePlan {
  const char* kernel = "";
  uint32_t cores = 0;  // 0: nothing to launch
  TransposeKvCacheTiling tiling{};
};

// Throws std::invalid_argument with a sentence.
TransposeKvCachePlan PlanTransposeKvCache(const TransposeKvCacheArgs& args,
                                          const DeviceInfo& device);

}  // namespace vllm_cann::ops
