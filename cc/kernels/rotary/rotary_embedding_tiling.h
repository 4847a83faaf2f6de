// cc/kernels/rotary/rotary_embedding_tiling.h: what the host tells the rotary embedding kernels,
// and what of the UB these take.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the structs out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/rotary/angles_tiling.h"

// Query or key: [tokens, heads, head_size], heads of a token contiguous. Strides in elements.
struct RotarySide {
  int64_t heads;  // 0: this side is absent
  int64_t token_stride;
  int64_t out_stride;  // of the result
};

struct RotaryEmbeddingTiling {
  RotaryAngles angles;  // positions of all axes behind each other
  int64_t head_size;
  int64_t style;          // 0: pairs of neighbours (GPT-J); 1: halves (NeoX); 2: pairs to halves
  int64_t is_inverse;     // rotates back
  int64_t row_pitch;      // elements of rotary_dim, rounded up to whole 32-byte blocks
  int64_t rows_per_tile;  // heads of all tokens of a tile
  int64_t split;          // cores that share the heads of a token; more than one: a token each
  RotarySide query;
  RotarySide key;
};

constexpr int64_t kRotaryBankGap = 256;  // bytes

// The floats of a row of cosines or sines that one head takes, ...
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t RotaryFactorPitch(const RotaryEmbeddingTiling& tiling) {
  return tiling.style == 0 ? tiling.row_pitch : tiling.angles.half_pitch;
}
// ... and of as many copies of it as an instruction takes at once.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t RotaryFactorLanes(const RotaryEmbeddingTiling& tiling) {
  const int64_t pitch = RotaryFactorPitch(tiling);
  return sizes::kLanes % pitch == 0 ? sizes::kLanes : pitch;
}

// The buffers of a core beside those of the angles, in bytes; 0: absent. `in` and `out` exist
// twice: while one is loaded or stored, the other is in use.
struct RotaryEmbeddingBuffers {
  int64_t in;
  int64_t out;
  int64_t products;
  int64_t wide;     // rows as floats
  int64_t swapped;  // rows whose pairs are taken apart or swapped
  int64_t spread;   // cosines and sines of pairs
  int64_t pairs;    // where `spread` comes from
  int64_t factors;
};

// `bytes`: of an element of a row.
VLLM_CANN_HOST_AND_DEVICE constexpr RotaryEmbeddingBuffers RotaryEmbeddingBuffersOf(
    const RotaryEmbeddingTiling& tiling, int64_t bytes) {
  const int64_t tokens = tiling.angles.tokens_per_tile;
  const int64_t tile =
      tiling.rows_per_tile * (tiling.style == 1 ? 2 * tiling.angles.half_pitch : tiling.row_pitch);
  RotaryEmbeddingBuffers buffers{};
  buffers.in = tile * bytes;
  buffers.out = tile * bytes;
  buffers.products = kRotaryBankGap + tile * 4;
  if (bytes < 4) buffers.wide = tile * 4;
  if (tiling.style != 1) buffers.swapped = tile * bytes;
  if (tiling.style == 0) {
    buffers.spread = tokens * 2 * tiling.row_pitch * 4;
    buffers.pairs = buffers.spread;
  }
  if (RotaryFactorLanes(tiling) != RotaryFactorPitch(tiling)) {
    buffers.factors = tokens * 2 * RotaryFactorLanes(tiling) * 4;
  }
  return buffers;
}

// All that a core takes of the UB.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t RotaryEmbeddingUbBytes(
    const RotaryEmbeddingTiling& tiling, int64_t bytes) {
  const RotaryEmbeddingBuffers buffers = RotaryEmbeddingBuffersOf(tiling, bytes);
  return RotaryAnglesUbBytes(tiling.angles, bytes) + 2 * (buffers.in + buffers.out) +
         buffers.products + buffers.wide + buffers.swapped + buffers.spread + buffers.pairs +
         buffers.factors;
}
