// cc/ops/moe/moe_finalize_routing.cc: launches the kernel of the data type.
#include "cc/ops/moe/moe_finalize_routing.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernels' parameters in order.
struct Arguments {
  uint64_t rows;
  uint64_t skip1;
  uint64_t skip2;
  uint64_t bias;
  uint64_t scales;
  uint64_t indices;
  uint64_t experts;
  uint64_t out;
  MoeFinalizeRoutingTiling tiling;
};
static_assert(sizeof(Arguments) == 8 * 8 + sizeof(MoeFinalizeRoutingTiling));

}  // namespace

void MoeFinalizeRouting(const MoeFinalizeRoutingArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const MoeFinalizeRoutingPlan plan = PlanMoeFinalizeRouting(args, *device.info);
  if (plan.cores == 0) return;
  const Arguments arguments = {args.rows.address,    args.skip1.address,  args.skip2.address,
                               args.bias.address,    args.scales.address, args.indices.address,
                               args.experts.address, args.out.address,    plan.tiling};
  LaunchKernel(device, "moe", plan.kernel, plan.cores, stream, &arguments, sizeof(arguments));
}

}  // namespace vllm_cann::ops
