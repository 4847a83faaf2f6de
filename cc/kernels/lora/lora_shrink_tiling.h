// cc/kernels/lora/lora_shrink_tiling.h: what the host tells the kernels lora_shrink, and what of
// the UB these take.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/lora/buffers_tiling.h"
#include "cc/kernels/sizes.h"

struct LoraShrinkTiling {
  int64_t tokens;
  int64_t in_size;
  int64_t rank;
  int64_t slices;  // 1 to 3
  int64_t adapters;
  int64_t index_bytes;    // 4 or 8: of an element of indices
  int64_t token_batch;    // tokens of a piece of work
  int64_t group;          // ranks of a piece of work, at most 128
  int64_t part_elements;  // of a row that are loaded at once: whole blocks, at most 1024
  int64_t scale_bits;     // of a float
};

// The buffers of a core, in bytes. `x`, `weights` and `out` exist twice: while one is loaded or
// stored, the other is in use. `wide_*` are absent (0) when the elements are floats already.
struct LoraShrinkBuffers {
  int64_t x;
  int64_t weights;
  int64_t out;
  int64_t wide_x;
  int64_t wide_weights;
  int64_t sums;  // 64 partial sums of each rank of each token
  int64_t indices;
};

// `bytes`: of an element of x.
VLLM_CANN_HOST_AND_DEVICE constexpr LoraShrinkBuffers LoraShrinkBuffersOf(
    const LoraShrinkTiling& tiling, int64_t bytes) {
  LoraShrinkBuffers buffers{};
  const int64_t x = tiling.token_batch * tiling.part_elements;
  const int64_t weights = tiling.group * tiling.part_elements;
  buffers.x = bytes < 4 ? lora::Buffer(x * bytes) : lora::LedBuffer(x * bytes);
  buffers.weights = lora::Buffer(weights * bytes);
  buffers.out =
      lora::Buffer(tiling.token_batch * sizes::RoundUp(tiling.group, sizes::kBlockFloats) * 4);
  if (bytes < 4) {
    buffers.wide_x = lora::LedBuffer(x * 4);
    buffers.wide_weights = lora::Buffer(weights * 4);
  }
  buffers.sums = lora::Buffer(tiling.token_batch * tiling.group * sizes::kLanes * 4);
  buffers.indices = lora::Buffer(tiling.token_batch * tiling.index_bytes);
  return buffers;
}

// All that a core takes of the UB.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t LoraShrinkUbBytes(const LoraShrinkTiling& tiling,
                                                              int64_t bytes) {
  const LoraShrinkBuffers buffers = LoraShrinkBuffersOf(tiling, bytes);
  return 2 * (buffers.x + buffers.weights + buffers.out) + buffers.wide_x + buffers.wide_weights +
         buffers.sums + buffers.indices;
}
