// cc/ops/rotary/qkv_rmsnorm_rope.cc: launches the kernels of the data type.
#include "cc/ops/rotary/qkv_rmsnorm_rope.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernels' parameters in order.
struct Arguments {
  uint64_t positions;
  uint64_t qkv;
  uint64_t q_weight;
  uint64_t k_weight;
  uint64_t q_bias;
  uint64_t k_bias;
  uint64_t cos;
  uint64_t sin;  // 0: behind cos
  uint64_t sums;
  uint64_t q;
  uint64_t k;
  uint64_t v;
  uint64_t gate;
  QkvRmsnormRopeTiling tiling;
};
static_assert(sizeof(Arguments) == 13 * 8 + sizeof(QkvRmsnormRopeTiling));

struct SumArguments {
  uint64_t qkv;
  uint64_t sums;
  QkvRmsnormRopeTiling tiling;
};
static_assert(sizeof(SumArguments) == 2 * 8 + sizeof(QkvRmsnormRopeTiling));

}  // namespace

void QkvRmsnormRope(const QkvRmsnormRopeArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const QkvRmsnormRopePlan plan = PlanQkvRmsnormRope(args, *device.info);
  if (plan.cores == 0) return;
  const bool given = args.cos.dims != 0;
  const Arguments arguments = {args.positions.address,
                               args.input.qkv.address,
                               args.q_weight.address,
                               args.k_weight.address,
                               args.q_bias.address,
                               args.k_bias.address,
                               given ? args.cos.address : args.cos_sin_cache.address,
                               args.sin.address,
                               args.square_sums.address,
                               args.q.address,
                               args.k.address,
                               args.v.address,
                               args.gate.address,
                               plan.tiling};
  LaunchKernel(device, "rotary", plan.kernel, plan.cores, stream, &arguments, sizeof(arguments));
}

void QkvSquareSums(const QkvSquareSumsArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const QkvRmsnormRopePlan plan = PlanQkvSquareSums(args, *device.info);
  if (plan.cores == 0) return;
  const SumArguments arguments = {args.input.qkv.address, args.sums.address, plan.tiling};
  LaunchKernel(device, "rotary", plan.kernel, plan.cores, stream, &arguments, sizeof(arguments));
}

}  // namespace vllm_cann::ops
