// cc/ops/cache/copy_blocks.cc: prepares launches of the kernel copy_blocks, and copies of blocks by
// ACL.
#include "cc/ops/cache/copy_blocks.h"

namespace vllm_cann::ops {
namespace {

constexpr Checks kSwap("swap_blocks");

void CheckBlock(int64_t block, const BlockMemory& memory, const char* name, int64_t pair) {
  VLLM_CANN_REQUIRE(kSwap, block >= 0 && block < memory.num_blocks,
                    "pair " + Text(pair) + " names block " + Text(block) + " of the " + name +
                        ", which has " + Text(memory.num_blocks));
}

void CheckMemory(const BlockMemory& memory, int64_t block_bytes, const char* name) {
  VLLM_CANN_REQUIRE(kSwap, memory.address != 0 || memory.num_blocks == 0,
                    std::string("the ") + name + " has no memory");
  VLLM_CANN_REQUIRE(kSwap, memory.num_blocks <= 1 || memory.stride_bytes >= block_bytes,
                    std::string("the ") + name + "'s blocks are " + Text(memory.stride_bytes) +
                        " bytes apart, less than the " + Text(block_bytes) + " of a block");
}

}  // namespace

Launch PrepareCopyBlocks(const CopyBlocksArgs& args) {
  const CurrentDevice device = GetCurrentDevice();
  return Launch(device, "copy_blocks", "cache", PlanCopyBlocks(args, *device.info),
                {{"caches", args.caches}, {"mapping", args.mapping}});
}

void SwapBlocks(const BlockMemory& source, const BlockMemory& destination, int64_t block_bytes,
                const int64_t* pairs, int64_t count, void* stream) {
  VLLM_CANN_REQUIRE(kSwap, source.on_device || destination.on_device,
                    "neither the source nor the destination is on the device");
  VLLM_CANN_REQUIRE(kSwap, block_bytes > 0, "a block has " + Text(block_bytes) + " bytes");
  CheckMemory(source, block_bytes, "source");
  CheckMemory(destination, block_bytes, "destination");
  for (int64_t i = 0; i < count; ++i) {
    CheckBlock(pairs[2 * i], source, "source", i);
    CheckBlock(pairs[2 * i + 1], destination, "destination", i);
  }
  const CopyKind kind = !source.on_device       ? CopyKind::kHostToDevice
                        : destination.on_device ? CopyKind::kDeviceToDevice
                                                : CopyKind::kDeviceToHost;
  // Within one cache a block may be a destination first and a source later.
  const bool dense = source.stride_bytes == block_bytes &&
                     destination.stride_bytes == block_bytes &&
                     source.address != destination.address;
  for (int64_t i = 0; i < count;) {
    int64_t run = 1;
    while (dense && i + run < count && pairs[2 * (i + run)] == pairs[2 * i] + run &&
           pairs[2 * (i + run) + 1] == pairs[2 * i + 1] + run) {
      ++run;
    }
    CopyMemory(
        destination.address + static_cast<uintptr_t>(pairs[2 * i + 1] * destination.stride_bytes),
        source.address + static_cast<uintptr_t>(pairs[2 * i] * source.stride_bytes),
        static_cast<size_t>(run * block_bytes), kind, stream);
    i += run;
  }
}

}  // namespace vllm_cann::ops
