// cc/ops/rotary/rotary_embedding.h: rotates query and key by the positions of their tokens.
#pragma once

#include "cc/ops/launch.h"
#include "cc/ops/rotary/rotary_embedding_plan.h"

namespace vllm_cann::ops {

// The first R elements of each head of query and key, in place or into results of their own.
// Arithmetic in float, one rounding to nearest. Positions are not checked on the device. No tokens
// launch nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareRotaryEmbedding(const RotaryEmbeddingArgs& args);

}  // namespace vllm_cann::ops
