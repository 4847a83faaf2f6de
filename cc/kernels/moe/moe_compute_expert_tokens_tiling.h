// cc/kernels/moe/moe_compute_expert_tokens_tiling.h: what the host tells the kernel that counts
// sorted experts.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

struct MoeComputeExpertTokensTiling {
  int64_t entries;
  int64_t experts;
  int64_t experts_per_core;  // at most, a multiple of 8
};
