// cc/ops/moe/moe_finalize_routing.cc: prepares launches of the kernel of the data type.
#include "cc/ops/moe/moe_finalize_routing.h"

namespace vllm_cann::ops {

Launch PrepareMoeFinalizeRouting(const MoeFinalizeRoutingArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "moe_finalize_routing", "moe", PlanMoeFinalizeRouting(args, *device.info),
                {{"rows", args.rows},
                 {"skip1", args.skip1},
                 {"skip2", args.skip2},
                 {"bias", args.bias},
                 {"scales", args.scales},
                 {"indices", args.indices},
                 {"experts", args.experts},
                 {"out", args.out}});
}

}  // namespace vllm_cann::ops
