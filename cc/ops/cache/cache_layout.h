// cc/ops/cache/cache_layout.h: how the blocks of a paged cache lie in memory.
#pragma once

#include <vector>

#include "cc/ops/checks.h"

namespace vllm_cann::ops {

enum class CacheLayout : int32_t {
  kNd = 0,   // [N, B, H, D]
  kHnd = 1,  // [N, H, B, D]
  kNz = 2,   // [N, H * D / n, B, n], n elements being 32 bytes
};
inline const std::vector<const char*> kCacheLayouts = {"ND", "HND", "NZ"};

// A block is [parts, B, part_bytes]: all heads of a slot together (ND), each for itself (HND), or
// each 32 bytes for themselves (NZ).
struct CacheParts {
  int64_t parts = 0;
  int64_t part_bytes = 0;
  int64_t block_stride = 0;  // bytes
};

// B of a cache.
inline int64_t BlockSize(const Tensor& cache, CacheLayout layout) {
  return cache.shape[layout == CacheLayout::kNd ? 1 : 2];
}

// Checks that `cache` has the layout, for slots of `heads` heads of `size` elements; blocks may be
// any distance apart, but not overlap. `of` names what has these heads.
CacheParts CheckCache(const Checks& checks, const Tensor& cache, const char* name,
                      CacheLayout layout, int64_t heads, int64_t size, const char* of);

}  // namespace vllm_cann::ops
