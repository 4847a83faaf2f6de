// cc/ops/cache/gather_cache.cc: prepares launches of the kernel gather_cache.
#include "cc/ops/cache/gather_cache.h"

namespace vllm_cann::ops {

Launch PrepareGatherCache(const GatherCacheArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "gather_cache", "cache", PlanGatherCache(args, *device.info),
                {{"key_cache", args.key_cache},
                 {"value_cache", args.value_cache},
                 {"block_table", args.block_table},
                 {"seq_lens", args.seq_lens},
                 {"seq_starts", args.seq_starts},
                 {"key", args.key},
                 {"value", args.value}});
}

}  // namespace vllm_cann::ops
