// cc/kernels/cache/kv_rmsnorm_rope_cache_tiling.h: what the host tells the kernels
// kv_rmsnorm_rope_cache_*.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

// One of the two caches. A row lies in a block as [parts, slots, part_bytes].
struct KvRmsnormRopeCacheSide {
  int64_t parts;
  int64_t part_bytes;
  int64_t block_stride;  // bytes from a cache block to the next
  int64_t quantised;     // 1: int8, else the type of kv
  int64_t has_offset;    // of the quantisation
  int64_t has_output;    // rows are given back, too, in the type of kv
};

struct KvRmsnormRopeCacheTiling {
  int64_t tokens;        // B * S
  int64_t seq;           // S
  int64_t token_stride;  // bytes from a token's row of kv to the next
  int64_t norm_dim;      // elements that are normalised, the first of a row
  int64_t rope_dim;      // elements that are rotated, the others
  int64_t num_blocks;
  int64_t block_size;    // slots of a cache block
  int64_t index_kind;    // 0: a slot per token; 1: a first slot per page; 2: a row per token
  int64_t tile;          // tokens that a core takes at once
  int64_t index_batch;   // elements of index that a core loads at once
  int64_t epsilon_bits;  // norm_dim * epsilon: the bits of a float
  int64_t root_bits;     // sqrt(norm_dim), the same
  KvRmsnormRopeCacheSide rope;
  KvRmsnormRopeCacheSide norm;
};
