// cc/ops/cache/slot_mapping.cc: launches the kernel slot_mapping.
#include "cc/ops/cache/slot_mapping.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernel's parameters in order.
struct Arguments {
  uint64_t query_start_loc;
  uint64_t positions;
  uint64_t block_table;
  uint64_t slot_mapping;
  SlotMappingTiling tiling;
};
static_assert(sizeof(Arguments) == 4 * 8 + sizeof(SlotMappingTiling));

}  // namespace

void SlotMapping(const SlotMappingArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const SlotMappingPlan plan = PlanSlotMapping(args, *device.info);
  if (plan.cores == 0) return;
  const Arguments arguments = {args.query_start_loc.address, args.positions.address,
                               args.block_table.address, args.slot_mapping.address, plan.tiling};
  LaunchKernel(device, "cache", "slot_mapping", plan.cores, stream, &arguments, sizeof(arguments));
}

}  // namespace vllm_cann::ops
