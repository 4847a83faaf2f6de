// cc/ops/rotary/rotary_embedding.cc: launches the rotary embedding kernel of the data type.
#include "cc/ops/rotary/rotary_embedding.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernels' parameters in order.
struct Arguments {
  uint64_t positions;
  uint64_t query;
  uint64_t key;
  uint64_t cos;
  uint64_t sin;        // 0: behind cos
  uint64_t query_out;  // 0: in place
  uint64_t key_out;
  RotaryEmbeddingTiling tiling;
};
static_assert(sizeof(Arguments) == 7 * 8 + sizeof(RotaryEmbeddingTiling));

}  // namespace

void RotaryEmbedding(const RotaryEmbeddingArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const RotaryEmbeddingPlan plan = PlanRotaryEmbedding(args, *device.info);
  if (plan.cores == 0) return;
  const bool given = args.cos.dims != 0;
  const Arguments arguments = {args.positions.address,
                               args.query.address,
                               args.key.address,
                               given ? args.cos.address : args.cos_sin_cache.address,
                               given ? args.sin.address : 0,
                               args.query_out.address,
                               args.key_out.address,
                               plan.tiling};
  LaunchKernel(device, "rotary", plan.kernel, plan.cores, stream, &arguments, sizeof(arguments));
}

}  // namespace vllm_cann::ops
