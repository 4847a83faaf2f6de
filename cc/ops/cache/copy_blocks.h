// cc/ops/cache/copy_blocks.h: copies blocks within paged caches, and between device and host.
#pragma once

#include "cc/ops/cache/copy_blocks_plan.h"
#include "cc/ops/launch.h"

namespace vllm_cann::ops {

// In each cache, block `source` over block `destination` of every pair; no destination may be
// another pair's source or destination. A block that is not below N traps on the device. No caches
// or no pairs launch nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareCopyBlocks(const CopyBlocksArgs& args);

// A cache on the device or on the host, as its blocks lie in memory.
struct BlockMemory {
  uintptr_t address = 0;
  int64_t num_blocks = 0;
  int64_t stride_bytes = 0;  // from block to block
  bool on_device = true;
};

// Copies `block_bytes` of each pair's block of `source` over its block of `destination`. `pairs`
// are in host memory: source, destination, source, ... Neighbouring pairs become one copy. Copies
// are queued on `stream` in the order of the pairs. At least one of the two is on the device.
// Throws std::invalid_argument, before anything is queued, for a block that is not below the number
// of blocks; std::runtime_error for what ACL reports.
void SwapBlocks(const BlockMemory& source, const BlockMemory& destination, int64_t block_bytes,
                const int64_t* pairs, int64_t count, void* stream);

}  // namespace vllm_cann::ops
