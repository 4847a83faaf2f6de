// cc/kernels/moe/moe_init_routing_tiling.h: what the host tells the kernels that sort rows by
// expert, and what of the UB these take.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"

struct MoeInitRoutingTiling {
  int64_t tokens;
  int64_t k;
  int64_t pairs;         // (token, expert) assignments: tokens * k
  int64_t row_elements;  // of x
  int64_t row_bytes;     // of x
  int64_t index_bytes;   // of an expert's number: 4 or 8
  int64_t first_expert;  // assignments to experts outside of [first_expert, first_expert + experts)
  int64_t experts;       // are skipped
  int64_t expert_pitch;  // experts + 1, rounded up to 32
  int64_t tile_experts;  // counted at once, a multiple of 32
  int64_t chunk;         // assignments sorted at once, a multiple of 32
  int64_t is_shared;     // cores sort their own assignments and exchange counts; 0: each sorts all
  int64_t counts_apart;  // the last core makes expert_tokens and moves no rows
  int64_t out_rows;      // of expanded_x; later ones are not written
  int64_t capacity;      // rows of an expert; 0: as many as it has
  int64_t by_row_idx;    // rows and permuted indices come from row_idx (v1)
  int64_t gives_order;   // expanded_row_idx: 0 the permuted index of each assignment, 1 the inverse
  int64_t tokens_type;   // expert_tokens: -1 absent, 0 sums, 1 counts, 2 (expert, count) pairs
  int64_t has_scale;
  int64_t quant_mode;    // -1 none, 0 static, 1 dynamic
  int64_t shares_row;    // cores quantise columns of one token's row
  int64_t buffer_bytes;  // of each of two buffers for rows
  int64_t batch;         // tokens whose rows come together
};

constexpr int64_t kMoeInitRoutingWords = 128;  // single words that are stored from one buffer
constexpr int64_t kMoeInitRoutingMaxZeroBytes = 4096;

// The parts of the arena. All of the first group are in use to the end. Of the other two, a chunk
// is sorted in the first one, and then its rows are quantised in the second one.
struct MoeInitRoutingArena {
  sizes::Part markers;  // records of experts, of two words
  sizes::Part iota;     // 0, 1, 2, ...
  sizes::Part bits;     // of a comparison
  sizes::Part bases;    // by expert: the permuted index of its next assignment
  sizes::Part shifts;   // 0, 4, 8, ...: where the words of a tile of experts are
  sizes::Part indices;  // the permuted index of each assignment of the chunk
  sizes::Part limit;    // 127
  sizes::Part below;    // by expert: assignments of the chunk to lower experts
  sizes::Part counts;   // by expert of a tile
  sizes::Part zeros;    // for rows that no assignment fills

  sizes::Part experts;  // of assignments, as floats
  sizes::Part values;
  sizes::Part work;
  sizes::Part numbers;  // of assignments in the chunk
  sizes::Part records;  // (key, number), of two words
  sizes::Part merged;   // the same: merges read one and write the other
  sizes::Part table;    // counts of all cores

  sizes::Part row;  // as floats
  sizes::Part scratch;
  sizes::Part peaks;    // the largest magnitude of the row, and copies of it
  sizes::Part product;  // the row times the factors of an expert

  sizes::Part zeroed;  // what is zero at first: `below` up to and with `work`
  int64_t words;       // of all
};

VLLM_CANN_HOST_AND_DEVICE constexpr bool MoeInitRoutingHasFactors(
    const MoeInitRoutingTiling& tiling) {
  return tiling.quant_mode == 1 && tiling.has_scale != 0;
}

// The bytes of zeros that one copy stores.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t MoeInitRoutingZeroBytes(
    const MoeInitRoutingTiling& tiling) {
  const int64_t row = tiling.quant_mode >= 0 ? tiling.row_elements : tiling.row_bytes;
  return sizes::Min(sizes::RoundUp(row, sizes::kBlockBytes), kMoeInitRoutingMaxZeroBytes);
}

// `cores`: those that the launch has.
VLLM_CANN_HOST_AND_DEVICE constexpr MoeInitRoutingArena MoeInitRoutingArenaOf(
    const MoeInitRoutingTiling& tiling, int64_t cores) {
  using sizes::Take;
  const int64_t experts = tiling.tile_experts;
  const int64_t records = sizes::RoundUp(tiling.chunk + experts, sizes::kLanes);
  const int64_t numbers = sizes::Max(records, 2 * experts);
  MoeInitRoutingArena arena{};
  int64_t used = 0;
  arena.markers = Take(used, experts * 2);
  arena.iota = Take(used, numbers);
  arena.bits = Take(used, sizes::BitBytes(numbers) / 4);
  arena.bases = Take(used, tiling.expert_pitch);
  arena.shifts = Take(used, experts);
  arena.indices = Take(used, tiling.chunk);
  arena.limit = Take(used, sizes::kBlockFloats);
  arena.below = Take(used, tiling.expert_pitch);
  arena.counts = Take(used, experts);
  if (tiling.capacity > 0) arena.zeros = Take(used, MoeInitRoutingZeroBytes(tiling) / 4);

  const int64_t shared = used;
  arena.experts = Take(used, numbers);
  arena.values = Take(used, numbers);
  arena.work = Take(used, numbers);
  arena.zeroed = {arena.below.begin, used - arena.below.begin};
  arena.numbers = Take(used, numbers);
  arena.records = Take(used, records * 2);
  arena.merged = Take(used, records * 2);
  if (tiling.is_shared != 0) arena.table = Take(used, cores * experts);
  arena.words = used;
  if (tiling.quant_mode >= 0) {
    used = shared;
    const int64_t row = sizes::RoundUp(tiling.row_elements, sizes::kLanes);
    // The scratch is half of the banks apart from the row, as an instruction reads one and writes
    // the other. The room for it is there in any case.
    const bool has_gap = row % (2 * sizes::kLanes) == 0;
    arena.row = Take(used, row);
    if (has_gap) used += sizes::kLanes;
    arena.scratch = Take(used, row);
    arena.peaks = Take(used, 2 * sizes::kBlockFloats);
    if (MoeInitRoutingHasFactors(tiling)) arena.product = Take(used, row);
    if (!has_gap) used += sizes::kLanes;
    arena.words = sizes::Max(arena.words, used);
  }
  // With a capacity there is room for the most zeros, however few a row takes.
  if (tiling.capacity > 0) arena.words += kMoeInitRoutingMaxZeroBytes / 4 - arena.zeros.words;
  return arena;
}

// The other buffers, in bytes; 0: absent. A buffer marked "two" exists twice: while one is loaded
// or stored, the other is in use.
struct MoeInitRoutingBuffers {
  int64_t experts;        // expert numbers of a chunk
  int64_t row_idx;        // of a chunk
  int64_t row_in;         // two; a row to quantise
  int64_t expert_tokens;  // of a tile of experts
  int64_t words;          // two; single words to store, in a block each
  int64_t row_out;        // two; a quantised row
  int64_t scale_out;      // two
  int64_t factors;        // of an expert
  int64_t scales_in;      // of tokens whose rows are moved
  int64_t scale_words;    // two; the same in a block each
};

VLLM_CANN_HOST_AND_DEVICE constexpr MoeInitRoutingBuffers MoeInitRoutingBuffersOf(
    const MoeInitRoutingTiling& tiling) {
  constexpr int64_t kWordBytes = kMoeInitRoutingWords * sizes::kBlockBytes;
  MoeInitRoutingBuffers buffers{};
  buffers.experts = tiling.chunk * tiling.index_bytes;
  if (tiling.by_row_idx != 0) buffers.row_idx = tiling.chunk * 4;
  if (tiling.tokens_type >= 0) buffers.expert_tokens = tiling.tile_experts * 16;
  if (tiling.by_row_idx != 0 || tiling.gives_order != 0) buffers.words = kWordBytes;
  if (tiling.quant_mode >= 0) {
    const int64_t row = sizes::RoundUp(tiling.row_elements, sizes::kLanes);
    buffers.row_in = row * (tiling.row_bytes / tiling.row_elements);
    buffers.row_out = row;
    buffers.scale_out = sizes::kBlockBytes;
    if (MoeInitRoutingHasFactors(tiling)) buffers.factors = row * 4;
  } else if (tiling.has_scale != 0) {
    buffers.scales_in = kMoeInitRoutingWords * 4;
    buffers.scale_words = kWordBytes;
  }
  return buffers;
}

// All that a core takes of the UB, but for the two buffers for rows that are moved as they are.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t MoeInitRoutingUbBytes(
    const MoeInitRoutingTiling& tiling, int64_t cores) {
  const MoeInitRoutingBuffers buffers = MoeInitRoutingBuffersOf(tiling);
  return MoeInitRoutingArenaOf(tiling, cores).words * 4 + buffers.experts + buffers.row_idx +
         buffers.expert_tokens + buffers.factors + buffers.scales_in +
         2 * (buffers.row_in + buffers.words + buffers.row_out + buffers.scale_out +
              buffers.scale_words);
}
