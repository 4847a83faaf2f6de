// cc/kernels/moe/routing_common.h: what the parts of moe_init_routing share. Device code.
//
// Words: an assignment is a (token, expert) pair, number token * k + j. Its permuted index is its
// place in the order by expert, -1 when it is skipped.
#pragma once

#include "cc/kernels/moe/moe_common.h"
#include "cc/kernels/moe/moe_init_routing_tiling.h"
#include "kernel_operator.h"

namespace moe {

using namespace AscendC;

using RoutingArena = Arena<MoeInitRoutingArena>;

constexpr int64_t kWords = kMoeInitRoutingWords;  // single words that are stored from one buffer

// Where everything is in GM; addresses of absent tensors are not used.
struct RoutingTensors {
  GM_ADDR x;
  GM_ADDR expert_idx;
  GM_ADDR row_idx;
  GM_ADDR scale;
  GM_ADDR offset;
  GM_ADDR expanded_x;
  GM_ADDR expanded_row_idx;
  GM_ADDR expanded_expert_idx;
  GM_ADDR expert_tokens;
  GM_ADDR expanded_scale;
  GM_ADDR workspace;
};

// Cores that move rows.
__aicore__ inline int64_t MovingCores(const MoeInitRoutingTiling& tiling) {
  return GetBlockNum() - tiling.counts_apart;
}

// This core counts for the caller, and moves no rows.
__aicore__ inline bool CountsApart(const MoeInitRoutingTiling& tiling) {
  return tiling.counts_apart && GetBlockIdx() == GetBlockNum() - 1;
}

// This core writes expert_tokens.
__aicore__ inline bool GivesTokens(const MoeInitRoutingTiling& tiling) {
  return tiling.tokens_type >= 0 && GetBlockIdx() == GetBlockNum() - 1;
}

// This core has to know how many assignments each expert has.
__aicore__ inline bool NeedsCounts(const MoeInitRoutingTiling& tiling) {
  return tiling.is_shared || tiling.capacity > 0 || tiling.gives_order || GivesTokens(tiling);
}

// expanded_scale is written.
__aicore__ inline bool HasScaleOut(const MoeInitRoutingTiling& tiling) {
  return tiling.quant_mode == 1 || (tiling.quant_mode < 0 && tiling.has_scale);
}

// The end of the assignments from `first` on whose tokens' rows are loaded together.
__aicore__ inline int64_t EndOfBatch(const MoeInitRoutingTiling& tiling, int64_t first,
                                     int64_t end) {
  return Min((first / tiling.k + tiling.batch) * tiling.k, end);
}

}  // namespace moe
