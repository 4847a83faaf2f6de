// cc/kernels/moe/moe_finalize_routing_tiling.h: what the host tells the kernels that add up the
// rows of a token.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

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
