// cc/ops/cache/kv_rmsnorm_rope_cache.cc: launches the kernel of the data type.
#include "cc/ops/cache/kv_rmsnorm_rope_cache.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernels' parameters in order.
struct Arguments {
  uint64_t kv;
  uint64_t gamma;
  uint64_t cos;
  uint64_t sin;
  uint64_t index;
  uint64_t k_cache;
  uint64_t ckv_cache;
  uint64_t k_rope_scale;
  uint64_t c_kv_scale;
  uint64_t k_rope_offset;
  uint64_t c_kv_offset;
  uint64_t k_rope;
  uint64_t c_kv;
  KvRmsnormRopeCacheTiling tiling;
};
static_assert(sizeof(Arguments) == 13 * 8 + sizeof(KvRmsnormRopeCacheTiling));

}  // namespace

void KvRmsnormRopeCache(const KvRmsnormRopeCacheArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const KvRmsnormRopeCachePlan plan = PlanKvRmsnormRopeCache(args, *device.info);
  if (plan.cores == 0) return;
  const Arguments arguments = {args.kv.address,          args.gamma.address,
                               args.cos.address,         args.sin.address,
                               args.index.address,       args.k_cache.address,
                               args.ckv_cache.address,   args.k_rope_scale.address,
                               args.c_kv_scale.address,  args.k_rope_offset.address,
                               args.c_kv_offset.address, args.k_rope.address,
                               args.c_kv.address,        plan.tiling};
  LaunchKernel(device, "cache", plan.kernel, plan.cores, stream, &arguments, sizeof(arguments));
}

}  // namespace vllm_cann::ops
