// cc/kernels/rotary/rotary_embedding_tiling.h: what the host tells the rotary embedding kernels.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the structs out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/rotary/angles_tiling.h"

// Query or key: [tokens, heads, head_size], heads of a token contiguous. Strides in elements.
struct RotarySide {
  int64_t heads;  // 0: this side is absent
  int64_t token_stride;
  int64_t out_stride;  // of the result
};

struct RotaryEmbeddingTiling {
  RotaryAngles angles;  // positions of all axes behind each other
  int64_t head_size;
  int64_t style;          // 0: pairs of neighbours (GPT-J); 1: halves (NeoX); 2: pairs to halves
  int64_t is_inverse;     // rotates back
  int64_t row_pitch;      // elements of rotary_dim, rounded up to whole 32-byte blocks
  int64_t rows_per_tile;  // heads of all tokens of a tile
  int64_t split;          // cores that share the heads of a token; more than one: a token each
  RotarySide query;
  RotarySide key;
};
