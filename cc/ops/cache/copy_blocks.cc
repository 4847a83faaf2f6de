// cc/ops/cache/copy_blocks.cc: checks the arguments and divides the blocks.
#include "cc/ops/cache/copy_blocks.h"

#include <algorithm>

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("copy_blocks");
// Beyond this a larger copy gains nothing, and smaller pieces are easier to share.
constexpr int64_t kMaxBufferBytes = 65536;
constexpr int64_t kMinBufferBytes = 8192;

}  // namespace

CopyBlocksPlan PlanCopyBlocks(const CopyBlocksArgs& args, const DeviceInfo& device) {
  kChecks.Dense(args.caches, "caches", 2, "[caches, 3]");
  kChecks.Type(args.caches, "caches", DataType::kInt64);
  kChecks.Size(args.caches, "caches", 1, 3, "address, stride and bytes are");
  kChecks.Dense(args.mapping, "mapping", 2, "[pairs, 2]");
  kChecks.Type(args.mapping, "mapping", DataType::kInt64);
  kChecks.Size(args.mapping, "mapping", 1, 2, "source and destination are");
  VLLM_CANN_REQUIRE(
      kChecks, args.largest_block_bytes > 0,
      "a block has " + Text(args.largest_block_bytes) + " bytes; it has to have some");
  CopyBlocksPlan plan;
  plan.kernel = "copy_blocks";
  CopyBlocksTiling& tiling = plan.tiling;
  tiling.tensors = args.caches.shape[0];
  tiling.pairs = args.mapping.shape[0];
  if (tiling.tensors == 0 || tiling.pairs == 0) return plan;
  VLLM_CANN_REQUIRE(kChecks, args.num_blocks > 0, "the caches have no blocks");
  tiling.num_blocks = args.num_blocks;
  tiling.has_copy_pad = device.npu_arch != kArch310P ? 1 : 0;
  VLLM_CANN_REQUIRE(
      kChecks, tiling.has_copy_pad != 0 || args.whole_blocks,
      device.soc_name + " has no DataCopyPad, so cache blocks have to be whole blocks of 32 bytes");
  // As many pieces as keep all cores at work, but not too small ones.
  const int64_t items = tiling.tensors * tiling.pairs;
  const int64_t budget = (device.ub_bytes - kReservedUbBytes) / 2 / kBlockBytes * kBlockBytes;
  const int64_t even =
      RoundUp(Ceil(args.largest_block_bytes * items, device.vector_cores), kBlockBytes);
  tiling.buffer_bytes = std::min({std::max(even, kMinBufferBytes), kMaxBufferBytes, budget,
                                  RoundUp(args.largest_block_bytes, kBlockBytes)});
  tiling.pieces = Ceil(args.largest_block_bytes, tiling.buffer_bytes);
  plan.cores = static_cast<uint32_t>(std::min(items * tiling.pieces, device.vector_cores));
  return plan;
}

using Args = CopyBlocksArgs;
[[maybe_unused]] const bool kDeclared =
    Declare("copy_blocks", "cache", &PlanCopyBlocks,
            {{"caches", &Args::caches}, {"mapping", &Args::mapping}},
            {{"num_blocks", &Args::num_blocks},
             {"largest_block_bytes", &Args::largest_block_bytes},
             {"whole_blocks", &Args::whole_blocks}});

}  // namespace vllm_cann::ops
