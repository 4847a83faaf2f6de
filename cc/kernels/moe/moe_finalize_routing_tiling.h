// cc/kernels/moe/moe_finalize_routing_tiling.h: what the host tells the kernels that add up the
// rows of a token, and what of the UB these take.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"

struct MoeFinalizeRoutingTiling {
  int64_t tokens;
  int64_t k;
  int64_t rows;  // that indices may name
  int64_t row_elements;
  int64_t parts;          // a row is so many pieces of work
  int64_t part_elements;  // but for the last of a row
  int64_t part_pitch;     // part_elements, rounded up to whole 32-byte blocks
  int64_t token_batch;    // tokens whose indices and scales are loaded at once
  int64_t slots;          // rows that are loaded at once
  int64_t by_column;      // the index of (token, j) is at j * tokens + token; 0: at token * k + j
  int64_t scale_type;     // CANN's number of a data type, -1: all scales are 1
  int64_t skips;          // rows that are added as they are: 0, 1 or 2
  int64_t bias_rows;      // experts with a bias; 0: there is none
};

// The buffers of a core, in bytes; 0: absent. `rows` and `out` exist twice: while one is loaded or
// stored, the other is in use.
struct MoeFinalizeRoutingBuffers {
  int64_t rows;  // parts of rows, and behind them of their biases
  int64_t out;
  int64_t indices;
  int64_t experts;
  int64_t scales;         // as floats
  int64_t narrow_scales;  // as loaded
  int64_t wide;           // `rows` as floats
  int64_t sum;
};

// `bytes`: of an element of a row.
VLLM_CANN_HOST_AND_DEVICE constexpr MoeFinalizeRoutingBuffers MoeFinalizeRoutingBuffersOf(
    const MoeFinalizeRoutingTiling& tiling, int64_t bytes) {
  const int64_t slots = tiling.slots * (tiling.bias_rows > 0 ? 2 : 1);
  const int64_t words = sizes::RoundUp(tiling.token_batch, sizes::kBlockFloats) * tiling.k * 4;
  MoeFinalizeRoutingBuffers buffers{};
  buffers.rows = slots * tiling.part_pitch * bytes;
  buffers.out = tiling.part_pitch * bytes;
  buffers.indices = words;
  if (tiling.bias_rows > 0) buffers.experts = words;
  if (tiling.scale_type >= 0) buffers.scales = words;
  if (tiling.scale_type > 0) buffers.narrow_scales = words;
  if (bytes < 4) {
    buffers.wide = slots * tiling.part_pitch * 4;
    buffers.sum = tiling.part_pitch * 4;
  }
  return buffers;
}

// All that a core takes of the UB.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t MoeFinalizeRoutingUbBytes(
    const MoeFinalizeRoutingTiling& tiling, int64_t bytes) {
  const MoeFinalizeRoutingBuffers buffers = MoeFinalizeRoutingBuffersOf(tiling, bytes);
  return 2 * (buffers.rows + buffers.out) + buffers.indices + buffers.experts + buffers.scales +
         buffers.narrow_scales + buffers.wide + buffers.sum;
}
