// cc/ops/cache/slot_mapping.h: the slots of the paged cache that a step's tokens go to.
#pragma once

#include "cc/ops/cache/slot_mapping_plan.h"
#include "cc/ops/launch.h"

namespace vllm_cann::ops {

// For tokens t of request i, query_start_loc[i] <= t < query_start_loc[i + 1] and t < T: with p =
// positions[t], block b = block_table[i, p / (B * W)] and o = p % (B * W), the slot is b * B + o /
// (I * W) * I + o % I if o / I % W is this rank, else pad_id; B is block_size, W world_size, I
// interleave. All other elements of slot_mapping are pad_id. A position that is negative or beyond
// block_table traps on the device; block ids are not checked. Slots have to be below 2^31. An empty
// slot_mapping launches nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareSlotMapping(const SlotMappingArgs& args);

}  // namespace vllm_cann::ops
