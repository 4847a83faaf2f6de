// cc/kernels/moe/moe_gating_top_k_tiling.h: what the host tells the gating kernels.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

struct MoeGatingTopKTiling {
  int64_t rows;
  int64_t experts;
  int64_t k;
  int64_t groups;
  int64_t kept_groups;
  int64_t group_size;    // experts / groups
  int64_t score_pitch;   // of the scores of a group: what load and the pipe V can work with
  int64_t sort_pitch;    // group_size, rounded up to 32: what Sort32 sorts
  int64_t width;         // groups * score_pitch
  int64_t sort_width;    // groups * sort_pitch
  int64_t sums_top_two;  // a group's score: 0 its largest, 1 the sum of its two largest
  int64_t norm_type;     // 0 softmax, 1 sigmoid, 2 square root of softplus
  int64_t renormalise;   // weights are divided by their sum + eps
  int64_t has_bias;
  int64_t has_finished;
  int64_t has_row_idx;
  int64_t has_norm_out;
  int64_t rows_per_tile;
  int64_t kept_records;  // k, rounded up to 8: records of a list beyond that decide nothing
  int64_t arena_words;   // of the buffer that holds all but what is loaded and stored
  int64_t record_bytes;  // of the buffer that Sort32 and merges write
  int64_t list_bytes;    // of the buffer that merges read
  int64_t groups_pitch;  // groups, rounded up to 8
  int64_t list_records;  // that a group's list is cut to: a multiple of 32, or less than 32
  int64_t kept_lists;    // of kept groups for which there is room
  int64_t scale_bits;    // routed_scaling_factor: the bits of a float
  int64_t eps_bits;      // the same
};
