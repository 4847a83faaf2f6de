// cc/ops/rotary/rotary_embedding.cc: prepares launches of the rotary embedding kernel of the data
// type.
#include "cc/ops/rotary/rotary_embedding.h"

namespace vllm_cann::ops {

Launch PrepareRotaryEmbedding(const RotaryEmbeddingArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  const bool given = args.cos.dims != 0;
  return Launch(device, "rotary_embedding", "rotary", PlanRotaryEmbedding(args, *device.info),
                {{"positions", args.positions},
                 {"query", args.query},
                 {"key", args.key},
                 {given ? "cos" : "cos_sin_cache", given ? args.cos : args.cos_sin_cache},
                 {"sin", args.sin},
                 {"query_out", args.query_out},
                 {"key_out", args.key_out}});
}

}  // namespace vllm_cann::ops
