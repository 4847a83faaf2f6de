// cc/kernels/lora/lora_expand_tiling.h: what the host tells the kernels lora_expand, and what of
// the UB these take.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/lora/buffers_tiling.h"
#include "cc/kernels/sizes.h"

struct LoraExpandTiling {
  int64_t tokens;
  int64_t rank;          // 8, 16, 32, 64 or 128
  int64_t slices;        // 1 to 3
  int64_t widths[3];     // of the slices of y
  int64_t offset;        // of the first of them in a row of y
  int64_t row_elements;  // from a row of y to the next
  int64_t adapters;
  int64_t index_bytes;  // 4 or 8: of an element of indices
  int64_t token_batch;  // tokens of a piece of work
  int64_t tile;         // columns of y of a piece of work, a multiple of 16
  int64_t tiles;        // of all slices
  int64_t adds;         // 1: y += ..., 0: y = ...
};

// Floats of a token's h in the UB: it is repeated until it fills the lanes of an instruction.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t LoraExpandPitch(const LoraExpandTiling& tiling) {
  return sizes::Max(tiling.rank, sizes::kLanes);
}

// The buffers of a core, in bytes. `h`, `weights`, `y` and `out` exist twice: while one is loaded
// or stored, the other is in use. `wide_*` are absent (0) when the elements are floats already.
struct LoraExpandBuffers {
  int64_t h;
  int64_t weights;
  int64_t y;
  int64_t out;
  int64_t repeated;  // h, each token's as often as it fills the lanes
  int64_t wide_weights;
  int64_t wide_y;
  int64_t products;
  int64_t sums;  // of 8 products, and later of more
  int64_t indices;
};

// `bytes`: of an element of y.
VLLM_CANN_HOST_AND_DEVICE constexpr LoraExpandBuffers LoraExpandBuffersOf(
    const LoraExpandTiling& tiling, int64_t bytes) {
  LoraExpandBuffers buffers{};
  const int64_t weights = tiling.tile * tiling.rank;
  buffers.h = lora::Buffer(tiling.token_batch * tiling.rank * 4);
  buffers.weights = lora::Buffer(weights * bytes);
  buffers.y = lora::Buffer(tiling.tile * bytes);
  buffers.out = lora::Buffer(tiling.tile * bytes);
  buffers.repeated = lora::LedBuffer(tiling.token_batch * LoraExpandPitch(tiling) * 4);
  if (bytes < 4) {
    buffers.wide_weights = lora::Buffer(weights * 4);
    buffers.wide_y = lora::Buffer(tiling.tile * 4);
  }
  buffers.products = lora::Buffer(weights * 4);
  buffers.sums = lora::Buffer(weights / sizes::kBlockFloats * 4);
  buffers.indices = lora::Buffer(tiling.token_batch * tiling.index_bytes);
  return buffers;
}

// All that a core takes of the UB.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t LoraExpandUbBytes(const LoraExpandTiling& tiling,
                                                              int64_t bytes) {
  const LoraExpandBuffers buffers = LoraExpandBuffersOf(tiling, bytes);
  return 2 * (buffers.h + buffers.weights + buffers.y + buffers.out) + buffers.repeated +
         buffers.wide_weights + buffers.wide_y + buffers.products + buffers.sums + buffers.indices;
}
