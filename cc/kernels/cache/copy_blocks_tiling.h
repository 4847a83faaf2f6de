// cc/kernels/cache/copy_blocks_tiling.h: what the host tells the kernel copy_blocks.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

struct CopyBlocksTiling {
  int64_t tensors;       // caches in the table: keys and values of all layers
  int64_t pairs;         // blocks to copy in each
  int64_t num_blocks;    // blocks of a cache
  int64_t pieces;        // of a block of the cache with the largest blocks
  int64_t buffer_bytes;  // a piece; each of the two buffers, a multiple of 32
  int64_t has_copy_pad;  // 0: blocks are whole blocks of 32 bytes
};
