// cc/kernels/cache/reshape_and_cache_tiling.h: what the host tells the kernel reshape_and_cache.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

// The key or the value: rows in the order of tokens, and the paged cache that they go into.
struct ReshapeAndCacheSide {
  int64_t row_bytes;     // all heads of one token; 0: this side is absent
  int64_t token_stride;  // bytes from a token's row to the next token's
  int64_t block_stride;  // bytes from a cache block to the next; rows inside a block are contiguous
};

struct ReshapeAndCacheTiling {
  int64_t tokens;
  int64_t num_blocks;
  int64_t block_size;    // slots of a cache block
  int64_t slot_bytes;    // of an element of slot_mapping: 4 or 8
  int64_t slot_batch;    // slots that a core loads at once
  int64_t buffer_bytes;  // of each of the two row buffers, a multiple of 32
  ReshapeAndCacheSide key;
  ReshapeAndCacheSide value;
};
