// cc/softnpu/opapi/antiquant.h: the scales that make numbers of keys and values in int8.
#pragma once

#include <cstdint>

#include "cc/softnpu/opapi/tensor.h"

namespace softnpu {

// Where the scale of an element lies: strides are 0 where all have the same.
struct Antiquant {
  View scale;   // rank 0 without: the elements are numbers already
  View offset;  // of the scale's shape; rank 0 without
  int64_t sequence = 0;
  int64_t block = 0;
  int64_t head = 0;
  int64_t token =
      0;  // of the block when blocks have scales of their own, otherwise of the sequence
  int64_t element = 0;

  bool given() const { return scale.rank != 0; }
  // (x + offset) * scale, for tokens of a head, in rows of `width` elements, `pitch` apart.
  void Apply(const char* name, int64_t in_sequence, int64_t in_block, int64_t in_head,
             int64_t first_token, int64_t tokens, int64_t width, int64_t pitch, float* rows) const;
};

// What the scales have to fit.
struct AntiquantShape {
  bool one_query;
  int64_t batch;
  int64_t heads;
  int64_t size;
  int64_t tokens;  // of a sequence, at least
  int64_t blocks;  // of a paged cache; 0 without
  int64_t block_size;
  DType dtype;  // of the query
};

// The meaning of a mode's scales.
//
// Raises: kAclnnInvalid or kAclnnTiling for a mode, a shape or a dtype that the operator does not
// have. `name` is that of the scale, `offset_name` that of the offset.
Antiquant ReadAntiquant(const char* name, const View& scale, const char* offset_name,
                        const View& offset, int64_t mode, const AntiquantShape& shape);

}  // namespace softnpu
