// cc/ops/cache/swap_blocks.h: copies of cache blocks between devices and host memory.
#pragma once

#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// Blocks of B elements. At least one of the two caches is on the device.
struct SwapBlocksArgs {
  Tensor source;       // [N, ..], blocks contiguous, any stride between them
  Tensor destination;  // [M, ..], the same type and blocks
  Tensor mapping;      // [n, 2], int64, contiguous, in host memory: source and destination
};

// Copies each pair's block of `source` over its block of `destination`. Neighbouring pairs become
// one copy. Copies are queued on `stream` in the order of the pairs. Host memory has to stay as it
// is until the stream has come this far.
// Throws std::invalid_argument, before anything is queued, for tensors that do not fit and a block
// that is not below the number of blocks; std::runtime_error for what ACL reports.
void SwapBlocks(const SwapBlocksArgs& args, void* stream);

}  // namespace vllm_cann::ops
