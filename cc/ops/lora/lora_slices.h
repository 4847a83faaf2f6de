// cc/ops/lora/lora_slices.h: what the operators of LoRA check alike.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "cc/ops/checks.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

inline constexpr int kMaxLoraSlices = 3;
inline constexpr const char* kLoraWeights[kMaxLoraSlices] = {"weights0", "weights1", "weights2"};

// The number of slices of `weights`: those that are given come first. `form` describes their shape;
// all have the type of `like`, and the number of adapters of the first.
inline int64_t CheckLoraWeights(const Checks& checks, const Tensor* const (&weights)[3],
                                const char* form, const Tensor& like, const char* like_name) {
  int64_t slices = 0;
  for (int s = 0; s < kMaxLoraSlices; ++s) {
    const Tensor& tensor = *weights[s];
    if (tensor.dims == 0 && s > 0) continue;
    VLLM_CANN_REQUIRE(checks, slices == s,
                      std::string(kLoraWeights[s]) + " is given without " + kLoraWeights[s - 1]);
    checks.Dense(tensor, kLoraWeights[s], 3, form);
    VLLM_CANN_REQUIRE(checks, tensor.type == like.type,
                      std::string(kLoraWeights[s]) + " is " + Name(tensor.type) + ", but " +
                          like_name + " is " + Name(like.type));
    checks.Size(tensor, kLoraWeights[s], 0, weights[0]->shape[0], "the adapters of weights0 are");
    ++slices;
  }
  return slices;
}

// How many tokens a piece of work takes, at most `most`: with more of them, neighbours of one
// adapter share a load of weights, and with less, the cores have more even shares. A token and a
// load of weights cost about as 2 and 1. `parts`: pieces of work of a batch.
inline int64_t LoraTokenBatch(int64_t tokens, int64_t parts, int64_t most, int64_t cores) {
  int64_t best = 1;
  int64_t least = INT64_MAX;
  for (int64_t batch = 1; batch <= std::min(most, tokens); ++batch) {
    const int64_t cost = Ceil(parts * Ceil(tokens, batch), cores) * (2 * batch + 1);
    if (cost < least) {
      least = cost;
      best = batch;
    }
  }
  return best;
}

inline void CheckLoraIndices(const Checks& checks, const Tensor& indices, int64_t tokens) {
  checks.Dense(indices, "indices", 1, "[tokens]");
  VLLM_CANN_REQUIRE(checks, indices.type == DataType::kInt32 || indices.type == DataType::kInt64,
                    std::string("indices is ") + Name(indices.type) + "; it can be int32 or int64");
  checks.Size(indices, "indices", 0, tokens, "the tokens are");
}

}  // namespace vllm_cann::ops
