// cc/kernels/moe/moe_init_routing_tiling.h: what the host tells the kernels that sort rows by
// expert.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

struct MoeInitRoutingTiling {
  int64_t tokens;
  int64_t k;
  int64_t pairs;         // tokens * k
  int64_t row_elements;  // of x
  int64_t row_bytes;     // of x
  int64_t index_bytes;   // of an expert's number: 4 or 8
  int64_t first_expert;  // pairs of experts outside of [first_expert, first_expert + experts) are
  int64_t experts;       // skipped
  int64_t expert_pitch;  // experts + 1, rounded up to 32
  int64_t tile_experts;  // counted at once, a multiple of 32
  int64_t chunk;         // pairs sorted at once, a multiple of 32
  int64_t is_shared;     // cores sort their own pairs and exchange counts; 0: each sorts all
  int64_t counts_apart;  // the last core makes expert_tokens and moves no rows
  int64_t out_rows;      // of expanded_x; later ones are not written
  int64_t capacity;      // rows of an expert; 0: as many as it has
  int64_t by_row_idx;    // rows and places come from row_idx (v1)
  int64_t gives_order;   // expanded_row_idx: 0 the place of each pair, 1 the pair of each place
  int64_t tokens_type;   // expert_tokens: -1 absent, 0 sums, 1 counts, 2 (expert, count) pairs
  int64_t has_scale;
  int64_t quant_mode;    // -1 none, 0 static, 1 dynamic
  int64_t shares_row;    // cores quantise columns of one token's row
  int64_t arena_words;   // of the buffer for tables, and what sorting and quantising use in turn
  int64_t buffer_bytes;  // of each of two buffers for rows
  int64_t batch;         // tokens whose rows come together
};
