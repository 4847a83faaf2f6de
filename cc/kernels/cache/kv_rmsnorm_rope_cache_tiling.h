// cc/kernels/cache/kv_rmsnorm_rope_cache_tiling.h: what the host tells the kernels
// kv_rmsnorm_rope_cache_*, and what of the UB these take.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"

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

// The buffers of a core, in bytes. Buffers marked "two" exist twice: while one is loaded or stored,
// the other is in use.
struct KvRmsnormRopeCacheBuffers {
  int64_t index;
  int64_t norm_in;   // two
  int64_t rope_in;   // two; rows, cosines and sines
  int64_t norm_out;  // two
  int64_t rope_out;  // two
  int64_t weights;   // gamma, and scales and offsets of both sides
  int64_t gamma;     // as floats
  int64_t x;         // the rows to normalise, and their squares
  int64_t rope;      // the rows to rotate, 5 times; or sums of 8 squares each
  int64_t sums;      // by row, of whole blocks of 8 rows: a sum, a root, and a block of factors
};

// `bytes`: of an element of kv.
VLLM_CANN_HOST_AND_DEVICE constexpr KvRmsnormRopeCacheBuffers KvRmsnormRopeCacheBuffersOf(
    const KvRmsnormRopeCacheTiling& tiling, int64_t bytes) {
  const int64_t n = tiling.norm_dim, r = tiling.rope_dim, tile = tiling.tile;
  const bool is_norm_narrow = tiling.norm.quantised != 0 && tiling.norm.has_output == 0;
  const bool is_rope_narrow = tiling.rope.quantised != 0 && tiling.rope.has_output == 0;
  KvRmsnormRopeCacheBuffers buffers{};
  buffers.index = tiling.index_batch * 8;
  buffers.norm_in = tile * n * bytes;
  buffers.rope_in = tile * 3 * r * bytes;
  buffers.norm_out = tile * n * (is_norm_narrow ? 1 : bytes);
  buffers.rope_out = tile * r * (is_rope_narrow ? 1 : bytes);
  buffers.weights = (n + 2 * (n + r)) * 4;
  buffers.gamma = n * 4;
  buffers.x = 2 * tile * n * 4;
  buffers.rope = sizes::RoundUp(tile * sizes::Max(40 * r, n) / 2, sizes::kBlockBytes);
  buffers.sums = sizes::RoundUp(tile, sizes::kBlockFloats) * (4 + 4 + sizes::kBlockBytes);
  return buffers;
}

// All that a core takes of the UB.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t KvRmsnormRopeCacheUbBytes(
    const KvRmsnormRopeCacheTiling& tiling, int64_t bytes) {
  const KvRmsnormRopeCacheBuffers buffers = KvRmsnormRopeCacheBuffersOf(tiling, bytes);
  return buffers.index +
         2 * (buffers.norm_in + buffers.rope_in + buffers.norm_out + buffers.rope_out) +
         buffers.weights + buffers.gamma + buffers.x + buffers.rope + buffers.sums;
}
