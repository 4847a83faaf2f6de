// cc/kernels/lora/buffers_tiling.h: where the buffers of the LoRA kernels lie in the UB.
//
// The UB's blocks of 32 bytes lie in 16 groups of banks, and an instruction takes 8 blocks of each
// operand at once: two sources are read without a conflict when they begin 8 blocks from each other
// (mod 16). So buffers are multiples of 16 blocks, and one of two factors begins 8 blocks later.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"

namespace lora {

constexpr int64_t kLead = 64;          // floats: 8 blocks
constexpr int64_t kBufferBytes = 512;  // 16 blocks

VLLM_CANN_HOST_AND_DEVICE constexpr int64_t Buffer(int64_t bytes) {
  return sizes::RoundUp(bytes, kBufferBytes);
}

// With room for the lead.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t LedBuffer(int64_t bytes) {
  return Buffer(bytes + kLead * 4);
}

}  // namespace lora
