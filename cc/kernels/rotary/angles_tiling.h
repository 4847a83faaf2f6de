// cc/kernels/rotary/angles_tiling.h: what the host tells about cosines and sines, and
// what of the UB they take.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"

// Buffers in the UB take whole multiples of it: its blocks lie in 16 groups of banks, and where two
// operands begin in these 512 bytes says whether an instruction can read both at once.
constexpr int64_t kBankRound = 512;

VLLM_CANN_HOST_AND_DEVICE constexpr int64_t WholeBankRounds(int64_t bytes) {
  return sizes::RoundUp(bytes, kBankRound);
}

// Where the cosines and sines of tokens are.
struct RotaryAngles {
  int64_t tokens;
  int64_t table_rows;      // of cos and of sin
  int64_t table_stride;    // elements from row to row
  int64_t has_positions;   // 0: token t takes row t % table_rows
  int64_t axis_stride;     // positions from one row of them to the next
  int64_t axes;            // rows of positions; of several, lanes take the first ...
  uint64_t second[2];      // ... or the second one, by these bits, of 128 lanes at most ...
  uint64_t third[2];       // ... or the third one
  int64_t position_bytes;  // of an element of positions: 4 or 8
  int64_t rotary_dim;
  int64_t has_copy_pad;     // 0: the chip copies whole 32-byte blocks only, and halves are such
  int64_t half_pitch;       // elements of rotary_dim / 2, rounded up to whole 32-byte blocks
  int64_t position_batch;   // positions that a core loads at once
  int64_t tokens_per_tile;  // tokens that share a pass through the UB
};

// The buffers of rotary::Angles, in bytes; 0: absent. `in` exists twice: while one is loaded, the
// other is in use.
struct RotaryAnglesBuffers {
  int64_t positions;
  int64_t in;
  int64_t wide;  // as floats
};

// The bytes of the positions of one axis.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t RotaryAxisBytes(const RotaryAngles& angles) {
  return sizes::RoundUp(angles.position_batch * angles.position_bytes, sizes::kBlockBytes);
}

// `bytes`: of an element of cos and sin.
VLLM_CANN_HOST_AND_DEVICE constexpr RotaryAnglesBuffers RotaryAnglesBuffersOf(
    const RotaryAngles& angles, int64_t bytes) {
  const int64_t count = angles.axes * angles.tokens_per_tile * 2 * angles.half_pitch;
  RotaryAnglesBuffers buffers{};
  // Otherwise the scalar unit reads positions from GM.
  if (angles.has_positions != 0 && angles.has_copy_pad != 0) {
    buffers.positions = WholeBankRounds(angles.axes * RotaryAxisBytes(angles));
  }
  buffers.in = WholeBankRounds(count * bytes);
  if (bytes < 4) buffers.wide = WholeBankRounds(count * 4);
  return buffers;
}

VLLM_CANN_HOST_AND_DEVICE constexpr int64_t RotaryAnglesUbBytes(const RotaryAngles& angles,
                                                                int64_t bytes) {
  const RotaryAnglesBuffers buffers = RotaryAnglesBuffersOf(angles, bytes);
  return buffers.positions + 2 * buffers.in + buffers.wide;
}
