// cc/ops/cache/kv_rmsnorm_rope_cache.cc: prepares launches of the kernel of the data type.
#include "cc/ops/cache/kv_rmsnorm_rope_cache.h"

namespace vllm_cann::ops {

Launch PrepareKvRmsnormRopeCache(const KvRmsnormRopeCacheArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "kv_rmsnorm_rope_cache", "cache",
                PlanKvRmsnormRopeCache(args, *device.info),
                {{"kv", args.kv},
                 {"gamma", args.gamma},
                 {"cos", args.cos},
                 {"sin", args.sin},
                 {"index", args.index},
                 {"k_cache", args.k_cache},
                 {"ckv_cache", args.ckv_cache},
                 {"k_rope_scale", args.k_rope_scale},
                 {"c_kv_scale", args.c_kv_scale},
                 {"k_rope_offset", args.k_rope_offset},
                 {"c_kv_offset", args.c_kv_offset},
                 {"k_rope", args.k_rope},
                 {"c_kv", args.c_kv}});
}

}  // namespace vllm_cann::ops
