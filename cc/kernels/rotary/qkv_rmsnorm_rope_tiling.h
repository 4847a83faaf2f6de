// cc/kernels/rotary/qkv_rmsnorm_rope_tiling.h: what the host tells the kernels that normalise and
// rotate query and key.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the structs out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/rotary/angles_tiling.h"

// A token is num_heads rows of query, kv_heads of key and kv_heads of value.
struct QkvRmsnormRopeTiling {
  RotaryAngles angles;
  int64_t token_stride;  // elements of qkv from token to token
  int64_t heads;
  int64_t kv_heads;
  int64_t head_size;
  int64_t has_gate;       // each row of query has one of gate behind it
  int64_t norm_value;     // rows of value are normalised, too; otherwise they are copied
  int64_t has_bias;       // behind the weights
  int64_t has_sums;       // sums of squares are given, and each element has a weight of its own
  int64_t split;          // cores that share the rows of a token; more than one: a token each
  int64_t part_rows;      // of a token, that a core has at most
  int64_t row_pitch;      // elements of a row in the UB: two halves and the rest, in whole blocks
  int64_t rows_per_tile;  // of each token
  int64_t copy_bytes;     // of a buffer that value and gate go through; 0: there is nothing to copy
  int64_t gap_bytes;      // of UB that nothing needs
  int64_t epsilon_bits[2];  // of query and of key: floats, to be added to a sum of squares ...
  int64_t scale_bits[2];    // ... whose root divides this, to give the factor of a row
};
