// cc/kernels/moe/moe_gating_top_k_tiling.h: what the host tells the gating kernels, and
// what of the UB these take.
//
// Passed by value. All fields have eight bytes, so that every compiler lays the struct out the
// same.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"

struct MoeGatingTopKTiling {
  int64_t rows;
  int64_t experts;
  int64_t k;
  int64_t groups;
  int64_t kept_groups;
  int64_t group_size;    // experts / groups
  int64_t score_pitch;   // of the scores of a group: what load and the pipe V can work with
  int64_t sort_pitch;    // group_size, rounded up to 32: what Sort32 sorts
  int64_t width;         // groups * score_pitch
  int64_t sort_width;    // groups * sort_pitch
  int64_t sums_top_two;  // a group's score: 0 its largest, 1 the sum of its two largest
  int64_t norm_type;     // 0 softmax, 1 sigmoid, 2 square root of softplus
  int64_t renormalise;   // weights are divided by their sum + eps
  int64_t has_bias;
  int64_t has_finished;
  int64_t has_row_idx;
  int64_t has_norm_out;
  int64_t rows_per_tile;
  int64_t kept_records;  // k, rounded up to 8: records of a list beyond that decide nothing
  int64_t record_bytes;  // of the buffer that Sort32 and merges write
  int64_t list_bytes;    // of the buffer that merges read
  int64_t groups_pitch;  // groups, rounded up to 8
  int64_t list_records;  // that a group's list is cut to: a multiple of 32, or less than 32
  int64_t kept_lists;    // of kept groups for which there is room
  int64_t scale_bits;    // routed_scaling_factor: the bits of a float
  int64_t eps_bits;      // the same
};

// The parts of the arena, the buffer that holds all but what is loaded and stored.
struct MoeGatingTopKArena {
  sizes::Part places;   // bytes from the begin of the row's scores to each score that is sorted
  sizes::Part records;  // what Sort32 and merges write; before that, logits
  sizes::Part lists;    // what merges read
  sizes::Part chosen;   // where the scores of the chosen experts are in the row, in bytes
  sizes::Part weights;
  sizes::Part folds;      // of rows that are reduced: 64 floats ...
  sizes::Part blocks;     // ... 8 floats ...
  sizes::Part spread;     // ... and a block of copies of the result
  sizes::Part scores;     // unless they are given
  sizes::Part rows;       // numbers of (row, place)
  sizes::Part finished;   // by row
  sizes::Part experts;    // by place in a row, where that is not the expert's number
  sizes::Part selection;  // the scores with the bias: what decides
  sizes::Part bias;       // of a row
  sizes::Part starts;     // bytes from the first score of a tile to those of each row
  sizes::Part sorted;     // the selection at the pitch of Sort32, where it is another one
  sizes::Part one;        // a block
  sizes::Part ranks;      // by group: groups that come before it
  sizes::Part rank_parts;
  sizes::Part group_scores;
  sizes::Part group_blocks;  // by group, a block of copies
  sizes::Part beats;         // 1 where a group beats another one
  sizes::Part above;         // bits of comparisons
  sizes::Part not_below;
  sizes::Part all;   // a block of bits that are set
  sizes::Part kept;  // lists of the groups that are kept

  sizes::Part ones;  // what is 1 at first: `one` and `ranks`
  int64_t words;     // of all
};

VLLM_CANN_HOST_AND_DEVICE constexpr MoeGatingTopKArena MoeGatingTopKArenaOf(
    const MoeGatingTopKTiling& tiling) {
  const int64_t rows = tiling.rows_per_tile;
  const int64_t tile = sizes::RoundUp(rows * tiling.width, sizes::kLanes);
  const int64_t sorted = rows * tiling.sort_width;
  const int64_t chosen = rows * tiling.kept_records;
  const int64_t row_blocks = sizes::RoundUp(rows, sizes::kBlockFloats);
  const bool is_dense = tiling.score_pitch == tiling.group_size;
  using sizes::TakeBlocks;
  MoeGatingTopKArena arena{};
  int64_t used = 0;
  arena.places = TakeBlocks(used, sorted);
  arena.records = TakeBlocks(used, tiling.record_bytes / 4);
  arena.lists = TakeBlocks(used, tiling.list_bytes / 4);
  arena.chosen = TakeBlocks(used, chosen);
  arena.weights = TakeBlocks(used, chosen);
  arena.folds = TakeBlocks(used, rows * sizes::kLanes);
  arena.blocks = TakeBlocks(used, row_blocks * sizes::kBlockFloats);
  arena.spread = TakeBlocks(used, rows * sizes::kBlockFloats);
  // mutant: argument off by one of `tile` equivalent: Parts are whole blocks, which have room.
  if (tiling.has_norm_out == 0) arena.scores = TakeBlocks(used, tile);
  if (tiling.has_row_idx != 0) arena.rows = TakeBlocks(used, chosen);
  if (tiling.has_finished != 0) arena.finished = TakeBlocks(used, rows);
  if (!is_dense) arena.experts = TakeBlocks(used, tiling.width);
  if (tiling.has_bias != 0 || !is_dense) {
    arena.selection = TakeBlocks(used, tile);
    arena.bias = TakeBlocks(used, tiling.width);
  }
  if (tiling.has_bias != 0) arena.starts = TakeBlocks(used, chosen);
  if (tiling.score_pitch != tiling.sort_pitch) arena.sorted = TakeBlocks(used, sorted);
  arena.one = TakeBlocks(used, sizes::kBlockFloats);
  // mutant: drop bound, bound off by one equivalent: Nothing uses these parts of the buffer.
  if (tiling.groups > 1) {
    const int64_t groups = rows * tiling.groups_pitch;
    // What a comparison reads behind the last group of a tile.
    const int64_t slots = sizes::RoundUp(groups, sizes::kLanes);
    arena.ranks = TakeBlocks(used, slots);
    arena.ones = {arena.one.begin, used - arena.one.begin};
    arena.rank_parts = TakeBlocks(used, slots);
    arena.group_scores = TakeBlocks(used, slots);
    arena.group_blocks = TakeBlocks(used, groups * sizes::kBlockFloats);
    arena.beats = TakeBlocks(used, rows * sizes::kLanes);
    arena.above = TakeBlocks(used, rows * 2);
    arena.not_below = TakeBlocks(used, rows * 2);
    arena.all = TakeBlocks(used, sizes::kBlockFloats);
    arena.kept = TakeBlocks(used, tiling.kept_lists * tiling.list_records * 2);
  } else {
    arena.ones = arena.one;
  }
  arena.words = used;
  return arena;
}

// The other buffers, in bytes; 0: absent. All but `bias` exist twice: while one is loaded or
// stored, the other is in use.
struct MoeGatingTopKBuffers {
  int64_t logits;
  int64_t finished;
  int64_t bias;
  int64_t weights;
  int64_t experts;
  int64_t rows;  // numbers of (row, place)
  int64_t scores;
};

// `bytes`: of an element of x.
VLLM_CANN_HOST_AND_DEVICE constexpr MoeGatingTopKBuffers MoeGatingTopKBuffersOf(
    const MoeGatingTopKTiling& tiling, int64_t bytes) {
  const int64_t rows = tiling.rows_per_tile;
  MoeGatingTopKBuffers buffers{};
  buffers.logits = sizes::RoundUp(rows * tiling.width * bytes, sizes::kBlockBytes);
  if (tiling.has_finished != 0) buffers.finished = sizes::RoundUp(rows, sizes::kBlockBytes);
  if (tiling.has_bias != 0) {
    buffers.bias = sizes::RoundUp(tiling.width * bytes, sizes::kBlockBytes);
  }
  buffers.weights = rows * tiling.kept_records * 4;
  buffers.experts = buffers.weights;
  if (tiling.has_row_idx != 0) buffers.rows = buffers.weights;
  if (tiling.has_norm_out != 0) {
    buffers.scores = sizes::RoundUp(rows * tiling.width, sizes::kLanes) * 4;
  }
  return buffers;
}

// All that a core takes of the UB.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t MoeGatingTopKUbBytes(const MoeGatingTopKTiling& tiling,
                                                                 int64_t bytes) {
  const MoeGatingTopKBuffers buffers = MoeGatingTopKBuffersOf(tiling, bytes);
  return MoeGatingTopKArenaOf(tiling).words * 4 + buffers.bias +
         2 * (buffers.logits + buffers.finished + buffers.weights + buffers.experts + buffers.rows +
              buffers.scores);
}
