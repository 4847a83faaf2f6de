// cc/ops/cache/copy_blocks.h: argument checks and tiling of copy_blocks.
#pragma once

#include "cc/kernels/cache/copy_blocks_tiling.h"
#include "cc/ops/checks.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// C caches of N blocks.
struct CopyBlocksArgs {
  // [C, 3], int64, contiguous: address of each cache, bytes from block to block, bytes of a block.
  Tensor caches;
  Tensor mapping;  // [n, 2], int64, contiguous: source and destination
  int64_t num_blocks = 0;
  int64_t largest_block_bytes = 0;
  bool whole_blocks = true;  // all blocks are multiples of 32 bytes
};

using CopyBlocksPlan = Plan<CopyBlocksTiling>;

// In each cache, block `source` over block `destination` of every pair; no destination may be
// another pair's source or destination. A block that is not below N traps on the device. No caches
// or no pairs launch nothing.
// Throws std::invalid_argument with a sentence.
CopyBlocksPlan PlanCopyBlocks(const CopyBlocksArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
