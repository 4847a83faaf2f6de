// cc/kernels/rotary/qkv_rmsnorm_rope_tiling.h: what the host tells the kernels that normalise and
// rotate query and key, and what of the UB these take.
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

// The buffers for rows of a tile and the sums of their squares, in bytes; 0: absent. `in` exists
// twice: while one is loaded, the other is in use.
struct QkvRowBuffers {
  int64_t wide;  // rows as floats
  int64_t in;
  int64_t partials;  // eight sums of squares of each row, and of up to seven rows behind the last
  int64_t products;
};

// `bytes`: of an element of qkv.
VLLM_CANN_HOST_AND_DEVICE constexpr QkvRowBuffers QkvRowBuffersOf(
    const QkvRmsnormRopeTiling& tiling, int64_t bytes) {
  const int64_t tokens = tiling.angles.tokens_per_tile;
  const int64_t tile = tokens * tiling.rows_per_tile * tiling.row_pitch;
  QkvRowBuffers buffers{};
  if (bytes < 4) buffers.wide = WholeBankRounds(tile * 4);
  buffers.in = WholeBankRounds(tile * bytes);
  buffers.partials = WholeBankRounds((tokens * tiling.part_rows + 7) * sizes::kBlockBytes);
  buffers.products = WholeBankRounds(tile * 4);
  return buffers;
}

// All of them, and two gaps of half a round of the banks.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t QkvRowUbBytes(const QkvRmsnormRopeTiling& tiling,
                                                          int64_t bytes) {
  const QkvRowBuffers rows = QkvRowBuffersOf(tiling, bytes);
  return rows.wide + 2 * rows.in + rows.partials + rows.products + kBankRound;
}

// The other buffers of qkv_rmsnorm_rope, the same. Buffers marked "two" exist twice.
struct QkvRmsnormRopeBuffers {
  int64_t negative;  // the angles of a tile by -1
  int64_t out;       // two
  int64_t weights;
  int64_t biases;
  int64_t weights_in;  // weights and biases as loaded
  int64_t factors;     // by row: a sum, what its root divides, and a block of factors
  int64_t sums;        // two; as given
  int64_t copies;      // two
};

VLLM_CANN_HOST_AND_DEVICE constexpr QkvRmsnormRopeBuffers QkvRmsnormRopeBuffersOf(
    const QkvRmsnormRopeTiling& tiling, int64_t bytes) {
  const int64_t tokens = tiling.angles.tokens_per_tile;
  const int64_t rows = tokens * tiling.rows_per_tile;
  const int64_t weights = (tiling.has_sums != 0 ? tiling.part_rows : 2) * tiling.row_pitch;
  const int64_t sets = tiling.has_bias != 0 ? 2 : 1;
  QkvRmsnormRopeBuffers buffers{};
  buffers.negative = WholeBankRounds(tokens * 2 * tiling.angles.half_pitch * 4);
  buffers.out = WholeBankRounds(rows * tiling.row_pitch * bytes);
  buffers.weights = WholeBankRounds(weights * 4);
  if (tiling.has_bias != 0) buffers.biases = buffers.weights;
  buffers.weights_in = WholeBankRounds(sets * weights * bytes);
  buffers.factors = WholeBankRounds(sizes::RoundUp(rows, sizes::kBlockFloats) *
                                    (1 + 1 + sizes::kBlockFloats) * 4);
  if (tiling.has_sums != 0) buffers.sums = WholeBankRounds(tokens * 8);
  buffers.copies = WholeBankRounds(tiling.copy_bytes);
  return buffers;
}

// All that a core takes of the UB, but for the gap of gap_bytes.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t QkvRmsnormRopeUbBytes(
    const QkvRmsnormRopeTiling& tiling, int64_t bytes) {
  const QkvRmsnormRopeBuffers buffers = QkvRmsnormRopeBuffersOf(tiling, bytes);
  return QkvRowUbBytes(tiling, bytes) + RotaryAnglesUbBytes(tiling.angles, bytes) +
         buffers.negative + buffers.weights + buffers.biases + buffers.weights_in +
         buffers.factors + 2 * (buffers.out + buffers.sums + buffers.copies);
}

// The other buffers of qkv_square_sums, the same.
struct QkvSquareSumsBuffers {
  int64_t out;   // two; two sums of each token
  int64_t sums;  // by row of a token
};

VLLM_CANN_HOST_AND_DEVICE constexpr QkvSquareSumsBuffers QkvSquareSumsBuffersOf(
    const QkvRmsnormRopeTiling& tiling) {
  QkvSquareSumsBuffers buffers{};
  buffers.out = WholeBankRounds(tiling.angles.tokens_per_tile * 8);
  buffers.sums =
      WholeBankRounds(sizes::RoundUp(tiling.heads + tiling.kv_heads, sizes::kBlockFloats) * 4);
  return buffers;
}

VLLM_CANN_HOST_AND_DEVICE constexpr int64_t QkvSquareSumsUbBytes(const QkvRmsnormRopeTiling& tiling,
                                                                 int64_t bytes) {
  const QkvSquareSumsBuffers buffers = QkvSquareSumsBuffersOf(tiling);
  return QkvRowUbBytes(tiling, bytes) + 2 * buffers.out + buffers.sums;
}
