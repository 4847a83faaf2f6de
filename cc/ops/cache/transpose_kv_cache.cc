// cc/ops/cache/transpose_kv_cache.cc: prepares launches of the kernels transpose_kv_cache and
// transpose_kv_cache_shared.
#include "cc/ops/cache/transpose_kv_cache.h"

namespace vllm_cann::ops {

Launch PrepareTransposeKvCache(const TransposeKvCacheArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "transpose_kv_cache", "cache", PlanTransposeKvCache(args, *device.info),
                {{"caches", args.caches}, {"block_ids", args.block_ids}});
}

}  // namespace vllm_cann::ops
