// cc/ops/cache/reshape_and_cache.cc: prepares launches of the kernel reshape_and_cache.
#include "cc/ops/cache/reshape_and_cache.h"

namespace vllm_cann::ops {

Launch PrepareReshapeAndCache(const ReshapeAndCacheArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "reshape_and_cache", "cache", PlanReshapeAndCache(args, *device.info),
                {{"key", args.key},
                 {"value", args.value},
                 {"key_cache", args.key_cache},
                 {"value_cache", args.value_cache},
                 {"slot_mapping", args.slot_mapping}});
}

}  // namespace vllm_cann::ops
