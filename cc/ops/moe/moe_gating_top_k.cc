// cc/ops/moe/moe_gating_top_k.cc: launches the gating kernel of the data type.
#include "cc/ops/moe/moe_gating_top_k.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernels' parameters in order.
struct Arguments {
  uint64_t x;
  uint64_t bias;
  uint64_t finished;
  uint64_t y;
  uint64_t expert_idx;
  uint64_t row_idx;
  uint64_t norm_out;
  MoeGatingTopKTiling tiling;
};
static_assert(sizeof(Arguments) == 7 * 8 + sizeof(MoeGatingTopKTiling));

}  // namespace

void MoeGatingTopK(const MoeGatingTopKArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const MoeGatingTopKPlan plan = PlanMoeGatingTopK(args, *device.info);
  if (plan.cores == 0) return;
  const Arguments arguments = {
      args.x.address,          args.bias.address,    args.finished.address, args.y.address,
      args.expert_idx.address, args.row_idx.address, args.norm_out.address, plan.tiling};
  LaunchKernel(device, "moe", plan.kernel, plan.cores, stream, &arguments, sizeof(arguments));
}

}  // namespace vllm_cann::ops
