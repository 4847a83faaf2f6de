// cc/kernels/rotary/qkv_rmsnorm_rope_tiling.h: what the host tells the kernels that normalise and
// rotate query and key.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the structs out the
// same.
#pragma once

#include <stdint.h>

// Buffers in the UB take whole multiples of it: its blocks lie in 16 groups of banks, and where two
// operands begin in these 512 bytes says whether an instruction can read both at once.
constexpr int64_t kBankRound = 512;

// Where the cosines and sines of tokens are.
struct RotaryAngles {
  int64_t tokens;
  int64_t table_rows;      // of cos and of sin
  int64_t table_stride;    // elements from row to row
  int64_t has_positions;   // 0: token t takes row t
  int64_t axis_stride;     // positions from one row of them to the next
  int64_t axes;            // rows of positions; of several, lanes take the first ...
  uint64_t second[2];      // ... or the second one, by these bits, of 128 lanes at most ...
  uint64_t third[2];       // ... or the third one
  int64_t position_bytes;  // of an element of positions: 4 or 8
  int64_t rotary_dim;
  int64_t half_pitch;       // elements of rotary_dim / 2, rounded up to whole 32-byte blocks
  int64_t position_batch;   // positions that a core loads at once, whole tiles
  int64_t tokens_per_tile;  // tokens that share a pass through the UB
};

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
  int64_t row_pitch;      // elements of a row in the UB: two halves and the rest, in whole blocks
  int64_t rows_per_tile;  // of each token
  int64_t copy_bytes;     // of a buffer that value and gate go through; 0: there is nothing to copy
  int64_t gap_bytes;      // of UB that nothing needs
  int64_t epsilon_bits[2];  // of query and of key: floats, to be added to a sum of squares ...
  int64_t scale_bits[2];    // ... whose root divides this, to give the factor of a row
};
