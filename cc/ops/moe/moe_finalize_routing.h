// cc/ops/moe/moe_finalize_routing.h: argument checks and tiling of the operators that add up
// the rows of a token: moe_finalize_routing and moe_token_unpermute.
#pragma once

#include "cc/kernels/moe/moe_finalize_routing_tiling.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// N tokens of H elements, k rows each. All tensors are contiguous.
struct MoeFinalizeRoutingArgs {
  Tensor rows;     // [.., H], R rows in all: float16, bfloat16 or float32
  Tensor skip1;    // [N, H], the type of rows; may be absent
  Tensor skip2;    // the same; only beside skip1
  Tensor bias;     // [E, H], the type of rows: added to a row before it is scaled; may be absent
  Tensor scales;   // [N, k], any floating type; absent: all are 1
  Tensor indices;  // [N * k], int32; a negative one, and one that is not below R, adds nothing
  Tensor experts;  // [N, k], int32: rows of bias; with bias only. One out of range: no bias
  Tensor out;      // [N, H], the type of rows
  int64_t k = 1;
  bool by_column = false;  // the index of (i, j) is element i + j * N (v1); else i * k + j
};

using MoeFinalizeRoutingPlan = Plan<MoeFinalizeRoutingTiling>;

// For moe_finalize_routing and moe_token_unpermute: out = skip1 + skip2 + the sum over j of scale *
// (row + bias), in this order, in float with one rounding to nearest. No tokens launch nothing.
// Throws std::invalid_argument with a sentence.
MoeFinalizeRoutingPlan PlanMoeFinalizeRouting(const MoeFinalizeRoutingArgs& args,
                                              const DeviceInfo& device);

}  // namespace vllm_cann::ops
