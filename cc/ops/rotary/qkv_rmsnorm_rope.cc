// cc/ops/rotary/qkv_rmsnorm_rope.cc: prepares launches of the kernels of the data type.
#include "cc/ops/rotary/qkv_rmsnorm_rope.h"

namespace vllm_cann::ops {

Launch PrepareQkvRmsnormRope(const QkvRmsnormRopeArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  const bool given = args.cos.dims != 0;
  return Launch(device, "qkv_rmsnorm_rope", "rotary", PlanQkvRmsnormRope(args, *device.info),
                {{"positions", args.positions},
                 {"qkv", args.input.qkv},
                 {"q_weight", args.q_weight},
                 {"k_weight", args.k_weight},
                 {"q_bias", args.q_bias},
                 {"k_bias", args.k_bias},
                 {given ? "cos" : "cos_sin_cache", given ? args.cos : args.cos_sin_cache},
                 {"sin", args.sin},
                 {"square_sums", args.square_sums},
                 {"q", args.q},
                 {"k", args.k},
                 {"v", args.v},
                 {"gate", args.gate}});
}

Launch PrepareQkvSquareSums(const QkvSquareSumsArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "qkv_square_sums", "rotary", PlanQkvSquareSums(args, *device.info),
                {{"qkv", args.input.qkv}, {"sums", args.sums}});
}

}  // namespace vllm_cann::ops
