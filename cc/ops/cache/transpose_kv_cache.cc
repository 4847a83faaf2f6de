// cc/ops/cache/transpose_kv_cache.cc: checks the arguments and divides blocks that are large.
#include "cc/ops/cache/transpose_kv_cache.h"

#include <algorithm>

#include "cc/kernels/sizes.h"
#include "cc/ops/checks.h"

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("transpose_kv_cache");
// A share of a block below this is not worth the meeting of the cores.
constexpr int64_t kWorthSharing = 16384;

}  // namespace

TransposeKvCachePlan PlanTransposeKvCache(const TransposeKvCacheArgs& args,
                                          const DeviceInfo& device) {
  kChecks.Dense(args.caches, "caches", 2, "[caches, 2]");
  kChecks.Type(args.caches, "caches", DataType::kInt64);
  VLLM_CANN_REQUIRE(
      kChecks, args.caches.shape[1] == 2,
      "caches has rows of " + Text(args.caches.shape[1]) + ", not of an address and a stride");
  kChecks.Dense(args.block_ids, "block_ids", 1, "[blocks]");
  kChecks.Type(args.block_ids, "block_ids", DataType::kInt64);
  const int64_t bytes = args.element_bytes;
  VLLM_CANN_REQUIRE(
      kChecks, bytes == 1 || bytes == 2 || bytes == 4,
      "the caches have elements of " + Text(bytes) + " bytes; they can have elements of 1, 2 or 4");
  const auto positive = [](int64_t value, const char* name) {
    VLLM_CANN_REQUIRE(kChecks, value > 0,
                      std::string(name) + " is " + Text(value) + "; it has to be positive");
  };
  positive(args.block_size, "block_size");
  positive(args.heads, "heads");
  positive(args.head_size, "head_size");
  positive(args.splits, "splits");
  VLLM_CANN_REQUIRE(
      kChecks, args.heads % args.splits == 0,
      Text(args.heads) + " heads cannot be divided into " + Text(args.splits) + " splits");
  VLLM_CANN_REQUIRE(
      kChecks, args.block_size <= sizes::kMaxRows,
      "block_size is " + Text(args.block_size) + ", the limit is " + Text(sizes::kMaxRows));
  TransposeKvCachePlan plan;
  TransposeKvCacheTiling& tiling = plan.tiling;
  tiling.tensors = args.caches.shape[0];
  tiling.ids = args.block_ids.shape[0];
  // With one split the order is right already.
  if (tiling.tensors == 0 || tiling.ids == 0 || args.splits == 1) return plan;
  VLLM_CANN_REQUIRE(kChecks, args.num_blocks > 0, "the caches have no blocks");
  tiling.num_blocks = args.num_blocks;
  tiling.splits = args.splits;
  tiling.block_tokens = args.block_size;
  tiling.chunk_bytes = args.heads / args.splits * args.head_size * bytes;
  tiling.pitch_bytes = RoundUp(tiling.chunk_bytes, kBlockBytes);
  const bool old = device.npu_arch == kArch310P;
  VLLM_CANN_REQUIRE(kChecks, !old || tiling.chunk_bytes == tiling.pitch_bytes,
                    device.soc_name +
                        " has no DataCopyPad, so the heads of a split have to be whole "
                        "blocks of 32 bytes, not " +
                        Text(tiling.chunk_bytes) + " bytes");

  const int64_t budget = (device.ub_bytes - kReservedUbBytes) / kBlockBytes * kBlockBytes;
  const int64_t token_bytes = args.splits * tiling.pitch_bytes;
  const int64_t block_bytes = args.block_size * token_bytes;
  const int64_t items = tiling.tensors * tiling.ids;
  // One core per block, unless the block is too large, or there are too few of them.
  const int64_t idle = device.vector_cores / items;  // cores that a block could have
  int64_t pieces = old ? 1 : std::min(idle, block_bytes / kWorthSharing);
  if (block_bytes > budget) {
    const int64_t tokens = std::max<int64_t>(budget / 2 / token_bytes, 1);
    pieces = std::max(pieces, Ceil(args.block_size, tokens));
  }
  pieces = std::clamp<int64_t>(pieces, 1, args.block_size);
  tiling.piece_tokens = Ceil(args.block_size, pieces);
  tiling.pieces = Ceil(args.block_size, tiling.piece_tokens);
  const int64_t piece_bytes = tiling.piece_tokens * token_bytes;
  VLLM_CANN_REQUIRE(kChecks, !old || tiling.pieces == 1,
                    "a block takes " + Text(block_bytes) + " bytes of UB, " + device.soc_name +
                        " offers " + Text(budget) + " and has no flags between cores");
  const int64_t groups = std::min(items, device.vector_cores / tiling.pieces);
  // Beyond one round, a core reads its next piece while it writes the last one.
  const bool rounds = tiling.pieces > 1 && groups < items;
  VLLM_CANN_REQUIRE(kChecks, groups > 0 && piece_bytes * (rounds ? 2 : 1) <= budget,
                    "a block takes " + Text(block_bytes) + " bytes of UB, and the " +
                        Text(device.vector_cores) + " cores of " + device.soc_name +
                        " cannot hold it: each offers " + Text(budget) + ", half at a time");
  tiling.buffers = 2 * piece_bytes <= budget ? 2 : 1;
  tiling.buffer_bytes = piece_bytes;
  plan.cores = static_cast<uint32_t>(groups * tiling.pieces);
  plan.kernel = tiling.pieces == 1 ? "transpose_kv_cache" : "transpose_kv_cache_shared";
  return plan;
}

using Args = TransposeKvCacheArgs;
[[maybe_unused]] const bool kDeclared =
    Declare("transpose_kv_cache", "cache", &PlanTransposeKvCache,
            {{"caches", &Args::caches}, {"block_ids", &Args::block_ids}},
            {{"element_bytes", &Args::element_bytes},
             {"num_blocks", &Args::num_blocks},
             {"block_size", &Args::block_size},
             {"heads", &Args::heads},
             {"head_size", &Args::head_size},
             {"splits", &Args::splits}});

}  // namespace vllm_cann::ops
