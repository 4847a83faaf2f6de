// cc/ops/cache/reshape_and_cache.cc: launches the kernel reshape_and_cache.
#include "cc/ops/cache/reshape_and_cache.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernel's parameters in order.
struct Arguments {
  uint64_t key;
  uint64_t value;
  uint64_t key_cache;
  uint64_t value_cache;
  uint64_t slot_mapping;
  ReshapeAndCacheTiling tiling;
};
static_assert(sizeof(Arguments) == 5 * 8 + sizeof(ReshapeAndCacheTiling));

}  // namespace

void ReshapeAndCache(const ReshapeAndCacheArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const ReshapeAndCachePlan plan = PlanReshapeAndCache(args, *device.info);
  if (plan.cores == 0) return;
  const Arguments arguments = {args.key.address,          args.value.address,
                               args.key_cache.address,    args.value_cache.address,
                               args.slot_mapping.address, plan.tiling};
  LaunchKernel(device, "cache", "reshape_and_cache", plan.cores, stream, &arguments,
               sizeof(arguments));
}

}  // namespace vllm_cann::ops
