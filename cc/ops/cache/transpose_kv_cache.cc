// cc/ops/cache/transpose_kv_cache.cc: launches the kernels transpose_kv_cache and
// transpose_kv_cache_shared.
#include "cc/ops/cache/transpose_kv_cache.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernels' parameters in order.
struct Arguments {
  uint64_t caches;
  uint64_t block_ids;
  TransposeKvCacheTiling tiling;
};
static_assert(sizeof(Arguments) == 2 * 8 + sizeof(TransposeKvCacheTiling));

}  // namespace

void TransposeKvCache(const TransposeKvCacheArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const TransposeKvCachePlan plan = PlanTransposeKvCache(args, *device.info);
  if (plan.cores == 0) return;
  const Arguments arguments = {args.caches.address, args.block_ids.address, plan.tiling};
  LaunchKernel(device, "cache", plan.kernel, plan.cores, stream, &arguments, sizeof(arguments));
}

}  // namespace vllm_cann::ops
