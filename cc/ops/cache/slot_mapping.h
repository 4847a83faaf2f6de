// cc/ops/cache/slot_mapping.h: argument checks and tiling of slot_mapping.
#pragma once

#include "cc/kernels/cache/slot_mapping_tiling.h"
#include "cc/ops/checks.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// R requests with T tokens in all.
struct SlotMappingArgs {
  Tensor query_start_loc;  // [R + 1], int32, contiguous: the first token of each request, then T
  Tensor positions;        // [>= T], int32 or int64, contiguous
  Tensor block_table;      // [>= R, blocks], int32, contiguous
  Tensor slot_mapping;     // [>= T], int32 or int64, contiguous
  int64_t tokens = 0;
  int64_t block_size = 0;
  int64_t world_size = 1;  // ranks that share a sequence (context parallelism)
  int64_t rank = 0;
  int64_t interleave = 1;    // neighbouring tokens that stay on one rank
  bool is_circular = false;  // a request has one block, which its tokens go round
  int64_t pad_id = -1;
};

using SlotMappingPlan = Plan<SlotMappingTiling>;

// For tokens t of request i, query_start_loc[i] <= t < query_start_loc[i + 1] and t < T: with p =
// positions[t], block b = block_table[i, p / (B * W)] and o = p % (B * W), the slot is b * B + o /
// (I * W) * I + o % I if o / I % W is this rank, else pad_id; B is block_size, W world_size, I
// interleave. All other elements of slot_mapping are pad_id. A position that is negative or beyond
// block_table traps on the device; block ids are not checked. Slots have to be below 2^31. An empty
// slot_mapping launches nothing.
// Throws std::invalid_argument with a sentence.
SlotMappingPlan PlanSlotMapping(const SlotMappingArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
