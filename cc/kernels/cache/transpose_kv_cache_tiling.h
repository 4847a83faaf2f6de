// cc/kernels/cache/transpose_kv_cache_tiling.h: what the host tells the kernels transpose_kv_cache
// and transpose_kv_cache_shared.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

struct TransposeKvCacheTiling {
  int64_t tensors;       // caches in the table: keys and values of all layers
  int64_t ids;           // blocks to rewrite in each
  int64_t num_blocks;    // blocks of a cache
  int64_t splits;        // S: a block is read as [S, B, H/S, D] and written as [B, S, H/S, D]
  int64_t block_tokens;  // B
  int64_t chunk_bytes;   // H/S * D elements: they stay together
  int64_t pitch_bytes;   // from chunk to chunk in the UB; chunk_bytes rounded up to 32
  int64_t pieces;        // cores that share a block
  int64_t piece_tokens;  // of each but the last
  int64_t buffers;       // of the UB
  int64_t buffer_bytes;  // of each, a multiple of 32
};
