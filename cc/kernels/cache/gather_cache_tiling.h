// cc/kernels/cache/gather_cache_tiling.h: what the host tells the kernel gather_cache, and
// what of the UB it takes.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"

// The key or the value: the paged cache, whose blocks lie as [parts, slots, part_bytes], and the
// dense rows [rows, parts, part_bytes] that are made of it.
struct GatherCacheSide {
  int64_t parts;  // of a row; 0: this side is absent
  int64_t part_bytes;
  int64_t block_stride;  // bytes from a cache block to the next
};

// The bytes in the UB of a part, ...
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t GatherCachePartPitch(const GatherCacheSide& side) {
  return sizes::RoundUp(side.part_bytes, sizes::kBlockBytes);
}
// ... and of a row.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t GatherCacheRowPitch(const GatherCacheSide& side) {
  return side.parts * GatherCachePartPitch(side);
}

struct GatherCacheTiling {
  int64_t requests;
  int64_t table_width;  // blocks of a row of block_table
  int64_t cumulative;   // 1: seq_lens are requests + 1 sums, the first being 0
  int64_t has_starts;
  int64_t num_blocks;
  int64_t block_size;    // slots of a cache block
  int64_t rows;          // of the output
  int64_t buffer_bytes;  // of each of the two row buffers, a multiple of 32
  int64_t has_copy_pad;  // 0: parts are whole blocks of 32 bytes
  GatherCacheSide key;
  GatherCacheSide value;
};

// The buffers of a core that hold what tells its rows, in bytes; 0: absent.
struct GatherCacheIndices {
  int64_t lengths;
  int64_t starts;
};

VLLM_CANN_HOST_AND_DEVICE constexpr GatherCacheIndices GatherCacheIndicesOf(
    const GatherCacheTiling& tiling) {
  GatherCacheIndices indices{};
  indices.lengths = sizes::RoundUp((tiling.requests + tiling.cumulative) * 4, sizes::kBlockBytes);
  if (tiling.has_starts != 0) {
    indices.starts = sizes::RoundUp(tiling.requests * 4, sizes::kBlockBytes);
  }
  return indices;
}
