// cc/ops/cache/gather_cache.cc: launches the kernel gather_cache.
#include "cc/ops/cache/gather_cache.h"

#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

// The kernel's parameters in order.
struct Arguments {
  uint64_t key_cache;
  uint64_t value_cache;
  uint64_t block_table;
  uint64_t seq_lens;
  uint64_t seq_starts;
  uint64_t key;
  uint64_t value;
  GatherCacheTiling tiling;
};
static_assert(sizeof(Arguments) == 7 * 8 + sizeof(GatherCacheTiling));

}  // namespace

void GatherCache(const GatherCacheArgs& args, void* stream) {
  const CurrentDevice device = GetCurrentDevice();
  const GatherCachePlan plan = PlanGatherCache(args, *device.info);
  if (plan.cores == 0) return;
  const Arguments arguments = {args.key_cache.address,   args.value_cache.address,
                               args.block_table.address, args.seq_lens.address,
                               args.seq_starts.address,  args.key.address,
                               args.value.address,       plan.tiling};
  LaunchKernel(device, "cache", "gather_cache", plan.cores, stream, &arguments, sizeof(arguments));
}

}  // namespace vllm_cann::ops
