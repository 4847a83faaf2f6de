// cc/ops/moe/moe_gating_top_k.cc: prepares launches of the gating kernel of the data type.
#include "cc/ops/moe/moe_gating_top_k.h"

namespace vllm_cann::ops {

Launch PrepareMoeGatingTopK(const MoeGatingTopKArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "moe_gating_top_k", "moe", PlanMoeGatingTopK(args, *device.info),
                {{"x", args.x},
                 {"bias", args.bias},
                 {"finished", args.finished},
                 {"y", args.y},
                 {"expert_idx", args.expert_idx},
                 {"row_idx", args.row_idx},
                 {"norm_out", args.norm_out}});
}

}  // namespace vllm_cann::ops
