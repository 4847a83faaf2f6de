// cc/ops/cache/slot_mapping.cc: prepares launches of the kernel slot_mapping.
#include "cc/ops/cache/slot_mapping.h"

namespace vllm_cann::ops {

Launch PrepareSlotMapping(const SlotMappingArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "slot_mapping", "cache", PlanSlotMapping(args, *device.info),
                {{"query_start_loc", args.query_start_loc},
                 {"positions", args.positions},
                 {"block_table", args.block_table},
                 {"slot_mapping", args.slot_mapping}});
}

}  // namespace vllm_cann::ops
