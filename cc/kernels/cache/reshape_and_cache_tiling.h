// cc/kernels/cache/reshape_and_cache_tiling.h: what the host tells the kernel reshape_and_cache,
// and what of the UB it takes.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"

// The key or the value: rows in the order of tokens, and the paged cache that they go into. A row
// lies in a block of the cache in parts, one for each head (HND), for each 32 bytes (NZ), or one
// for all (ND): [parts, slots, part_bytes]. All sizes are in bytes.
struct ReshapeAndCacheSide {
  int64_t parts;  // of a row; 0: this side is absent
  int64_t part_bytes;
  int64_t token_stride;  // from a token's row to the next token's
  int64_t block_stride;  // from a cache block to the next
};

// The bytes in the UB of a part, ...
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t ReshapeAndCachePartPitch(
    const ReshapeAndCacheSide& side) {
  return sizes::RoundUp(side.part_bytes, sizes::kBlockBytes);
}
// ... and of a row.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t ReshapeAndCacheRowPitch(
    const ReshapeAndCacheSide& side) {
  return side.parts * ReshapeAndCachePartPitch(side);
}

struct ReshapeAndCacheTiling {
  int64_t tokens;
  int64_t num_blocks;
  int64_t block_size;    // slots of a cache block
  int64_t slot_bytes;    // of an element of slot_mapping: 4 or 8
  int64_t slot_batch;    // slots that a core loads at once
  int64_t buffer_bytes;  // of each of the two row buffers, a multiple of 32
  int64_t has_copy_pad;  // 0: rows, parts and all strides are whole blocks of 32 bytes
  ReshapeAndCacheSide key;
  ReshapeAndCacheSide value;
};

// The bytes of a core's buffer of slots.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t ReshapeAndCacheSlotBytes(
    const ReshapeAndCacheTiling& tiling) {
  return sizes::RoundUp(tiling.slot_batch * tiling.slot_bytes, sizes::kBlockBytes);
}
