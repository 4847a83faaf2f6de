// cc/kernels/rotary/rotary_embedding_tiling.h: what the host tells the rotary embedding kernels.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

// Query or key: [tokens, heads, head_size], heads of a token contiguous. Strides in elements.
struct RotarySide {
  int64_t heads;  // 0: this side is absent
  int64_t token_stride;
  int64_t out_stride;  // of the result
};

struct RotaryEmbeddingTiling {
  int64_t tokens;
  int64_t table_rows;      // of cos and of sin
  int64_t table_stride;    // elements from row to row
  int64_t has_positions;   // 0: token t takes row t % table_rows
  int64_t axes;            // rows of positions; of several, lanes take the first ...
  uint64_t second[2];      // ... or the second one, by these bits, of 128 lanes at most ...
  uint64_t third[2];       // ... or the third one
  int64_t position_bytes;  // of an element of positions: 4 or 8
  int64_t head_size;
  int64_t rotary_dim;
  int64_t style;            // 0: pairs of neighbours (GPT-J); 1: halves (NeoX); 2: pairs to halves
  int64_t is_inverse;       // rotates back
  int64_t has_copy_pad;     // 0: the chip copies whole 32-byte blocks only, and all rows are such
  int64_t half_pitch;       // elements of rotary_dim / 2, rounded up to whole 32-byte blocks
  int64_t row_pitch;        // elements of rotary_dim, the same
  int64_t position_batch;   // positions that a core loads at once
  int64_t tokens_per_tile;  // tokens that share a pass through the UB
  int64_t rows_per_tile;    // heads of all of them
  int64_t split;            // cores that share the heads of a token; more than one: a token each
  RotarySide query;
  RotarySide key;
};
