// cc/kernels/cache/slot_mapping_tiling.h: what the host tells the kernel slot_mapping, and
// what of the UB it takes.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"

// Integers below this are exact as floats.
constexpr int64_t kSlotMappingPositions = int64_t{1} << 24;

struct SlotMappingTiling {
  int64_t requests;
  int64_t tokens;          // the first ones get a slot
  int64_t slots;           // elements of slot_mapping: the rest gets pad_id
  int64_t table_width;     // blocks of a row of block_table
  int64_t block_size;      // slots of a block of this rank
  int64_t world_size;      // ranks that share a sequence
  int64_t rank;            // this one
  int64_t interleave;      // neighbouring tokens that stay on one rank
  int64_t is_circular;     // a request has one block, which its tokens go round
  int64_t pad_id;          // of tokens without a slot on this rank
  int64_t slot_bytes;      // of an element of slot_mapping: 4 or 8
  int64_t position_bytes;  // of an element of positions: 4 or 8
  int64_t batch;           // elements of slot_mapping that a core makes at once
  int64_t row_blocks;      // of a row of block_table in the UB; 0: not read there, or too long
};

constexpr int64_t kSlotMappingWork = 6;  // buffers of a word for each element of a batch

// The buffers of a core, in bytes; 0: absent. `out` exists twice: while one is stored, the other is
// in use.
struct SlotMappingBuffers {
  int64_t starts;  // query_start_loc
  int64_t given;   // positions
  int64_t out;     // slots
  int64_t single;  // slots that the scalar unit makes
  int64_t work;
  int64_t row;  // of block_table
};

VLLM_CANN_HOST_AND_DEVICE constexpr SlotMappingBuffers SlotMappingBuffersOf(
    const SlotMappingTiling& tiling) {
  SlotMappingBuffers buffers{};
  buffers.starts = sizes::RoundUp((tiling.requests + 1) * 4, sizes::kBlockBytes);
  buffers.given = tiling.batch * 8;
  buffers.out = tiling.batch * 8;
  buffers.single = tiling.batch * 8;
  buffers.work = kSlotMappingWork * tiling.batch * 4;
  buffers.row = tiling.row_blocks * 4;
  return buffers;
}

// All that a core takes of the UB.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t SlotMappingUbBytes(const SlotMappingTiling& tiling) {
  const SlotMappingBuffers buffers = SlotMappingBuffersOf(tiling);
  return buffers.starts + buffers.given + 2 * buffers.out + buffers.single + buffers.work +
         buffers.row;
}
