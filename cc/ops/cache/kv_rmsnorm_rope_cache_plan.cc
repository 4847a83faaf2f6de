// cc/ops/cache/kv_rmsnorm_rope_cache_plan.cc: checks the arguments and fits tiles into the UB.
#include "cc/ops/cache/kv_rmsnorm_rope_cache_plan.h"

#include <algorithm>
#include <cmath>

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("kv_rmsnorm_rope_cache");
constexpr int64_t kMaxTile = 32;
constexpr int64_t kIndexBatch = 512;
constexpr int64_t kMaxNorm = 2040;  // floats: a repeat stride of 255 blocks
constexpr int64_t kMaxRope = 128;   // half of it is a repeat at most

void Weight(const Tensor& tensor, const char* name, int64_t size, DataType type) {
  kChecks.Dense(tensor, name, 1, "one");
  kChecks.Type(tensor, name, type);
  kChecks.Size(tensor, name, 0, size, "the elements that it is for are");
}

KvRmsnormRopeCacheSide PlanSide(const KvRmsnormRopeCacheArgs& args, const Tensor& cache,
                                const char* cache_name, int64_t size, const Tensor& scale,
                                const char* scale_name, const Tensor& offset,
                                const char* offset_name, const Tensor& output,
                                const char* output_name) {
  const DataType type = args.kv.type;
  VLLM_CANN_REQUIRE(kChecks, cache.type == type || cache.type == DataType::kInt8,
                    std::string(cache_name) + " is " + Name(cache.type) + "; it can be int8 or " +
                        Name(type) + ", as kv is");
  const CacheParts parts = CheckCache(kChecks, cache, cache_name, args.layout, 1, size, "kv");
  KvRmsnormRopeCacheSide side;
  side.parts = parts.parts;
  side.part_bytes = parts.part_bytes;
  side.block_stride = parts.block_stride;
  side.quantised = cache.type == DataType::kInt8 && type != DataType::kInt8 ? 1 : 0;
  side.has_offset = offset.dims != 0 ? 1 : 0;
  side.has_output = output.dims != 0 ? 1 : 0;
  VLLM_CANN_REQUIRE(
      kChecks, (scale.dims != 0) == (side.quantised != 0),
      side.quantised != 0
          ? std::string(cache_name) + " is int8, which needs " + scale_name
          : std::string(scale_name) + " is given, but " + cache_name + " is not int8");
  VLLM_CANN_REQUIRE(kChecks, side.has_offset == 0 || side.quantised != 0,
                    std::string(offset_name) + " is given, but " + cache_name + " is not int8");
  if (side.quantised != 0) Weight(scale, scale_name, size, DataType::kFloat);
  if (side.has_offset != 0) Weight(offset, offset_name, size, DataType::kFloat);
  if (side.has_output != 0) {
    kChecks.Dense(output, output_name, 2, "[tokens, size]");
    kChecks.Type(output, output_name, type);
    kChecks.Size(output, output_name, 0, args.kv.shape[0], "the tokens of kv are");
    kChecks.Size(output, output_name, 1, size, "it takes");
  }
  return side;
}

// Elements of one instruction of 255 repeats, with which the kernel sums up rows of whole repeats.
constexpr int64_t kMaxTileElements = 255 * 64;

}  // namespace

KvRmsnormRopeCachePlan PlanKvRmsnormRopeCache(const KvRmsnormRopeCacheArgs& args,
                                              const DeviceInfo& device) {
  KvRmsnormRopeCachePlan plan;
  KvRmsnormRopeCacheTiling& tiling = plan.tiling;
  const Tensor& kv = args.kv;
  VLLM_CANN_REQUIRE(kChecks, kv.dims == 2,
                    "kv has " + Text(kv.dims) + " dimensions, not [tokens, size]");
  kChecks.Floats(kv, "kv");
  const int64_t bytes = ElementBytes(kv.type);
  kChecks.Dense(args.gamma, "gamma", 1, "one");
  kChecks.Dense(args.cos, "cos", 2, "[tokens, rope size]");
  tiling.tokens = kv.shape[0];
  tiling.seq = args.seq;
  tiling.norm_dim = args.gamma.shape[0];
  tiling.rope_dim = args.cos.shape[1];
  VLLM_CANN_REQUIRE(kChecks, kv.shape[1] == tiling.norm_dim + tiling.rope_dim,
                    "kv has rows of " + Text(kv.shape[1]) + ", gamma has " + Text(tiling.norm_dim) +
                        " elements and cos " + Text(tiling.rope_dim));
  VLLM_CANN_REQUIRE(kChecks,
                    kv.strides[1] == 1 && (tiling.tokens <= 1 || kv.strides[0] >= kv.shape[1]),
                    "kv has strides [" + Text(kv.strides[0]) + ", " + Text(kv.strides[1]) +
                        "]; a row has to be contiguous, and rows must not overlap");
  const auto size = [](int64_t value, int64_t unit, int64_t most, const char* name) {
    VLLM_CANN_REQUIRE(kChecks, value > 0 && value % unit == 0 && value <= most,
                      std::string(name) + " is " + Text(value) + "; it has to be a multiple of " +
                          Text(unit) + " up to " + Text(most));
  };
  // int8 rows, too, are whole blocks in the UB.
  const bool narrow =
      args.k_cache.type == DataType::kInt8 || args.ckv_cache.type == DataType::kInt8;
  size(tiling.norm_dim, narrow ? 32 : 16, kMaxNorm, "the number of normalised elements");
  size(tiling.rope_dim, narrow ? 32 : 16, std::min(kMaxRope, 2 * tiling.norm_dim),
       "the number of rotated elements");
  kChecks.Type(args.gamma, "gamma", kv.type);
  for (const auto& [table, name] : {std::pair{&args.cos, "cos"}, {&args.sin, "sin"}}) {
    kChecks.Dense(*table, name, 2, "[tokens, rope size]");
    kChecks.Type(*table, name, kv.type);
    kChecks.Size(*table, name, 0, tiling.tokens, "the tokens of kv are");
    kChecks.Size(*table, name, 1, tiling.rope_dim, "the elements to rotate are");
  }
  VLLM_CANN_REQUIRE(kChecks, args.layout != CacheLayout::kHnd,
                    "the caches have one head: they lie in ND or NZ");
  tiling.rope =
      PlanSide(args, args.k_cache, "k_cache", tiling.rope_dim, args.k_rope_scale, "k_rope_scale",
               args.k_rope_offset, "k_rope_offset", args.k_rope, "k_rope");
  tiling.norm = PlanSide(args, args.ckv_cache, "ckv_cache", tiling.norm_dim, args.c_kv_scale,
                         "c_kv_scale", args.c_kv_offset, "c_kv_offset", args.c_kv, "c_kv");
  tiling.num_blocks = args.k_cache.shape[0];
  tiling.block_size = BlockSize(args.k_cache, args.layout);
  const int64_t block_size = BlockSize(args.ckv_cache, args.layout);
  VLLM_CANN_REQUIRE(
      kChecks, args.ckv_cache.shape[0] == tiling.num_blocks && block_size == tiling.block_size,
      "ckv_cache has " + Text(args.ckv_cache.shape[0]) + " blocks of " + Text(block_size) +
          ", k_cache has " + Text(tiling.num_blocks) + " of " + Text(tiling.block_size));
  VLLM_CANN_REQUIRE(kChecks, tiling.tokens == 0 || (args.seq >= 1 && tiling.tokens % args.seq == 0),
                    Text(tiling.tokens) + " tokens are no sequences of " + Text(args.seq));
  const int64_t sequences = tiling.tokens == 0 ? 0 : tiling.tokens / args.seq;
  const int64_t pages = tiling.block_size > 0 ? Ceil(args.seq, tiling.block_size) : 0;
  tiling.index_kind = static_cast<int64_t>(args.index_kind);
  kChecks.Dense(args.index, "index", 1, "one");
  kChecks.Type(args.index, "index", DataType::kInt64);
  kChecks.Size(args.index, "index", 0,
               args.index_kind == CacheIndex::kPage ? sequences * pages : tiling.tokens,
               args.index_kind == CacheIndex::kPage ? "the pages of all sequences are"
                                                    : "the tokens of kv are");
  VLLM_CANN_REQUIRE(kChecks, args.index_kind != CacheIndex::kRow || tiling.num_blocks >= sequences,
                    "the caches have " + Text(tiling.num_blocks) + " blocks for " +
                        Text(sequences) + " sequences");
  VLLM_CANN_REQUIRE(kChecks, args.epsilon >= 0 && std::isfinite(args.epsilon),
                    "epsilon is " + std::to_string(args.epsilon) + "; it has to be 0 or positive");
  if (tiling.tokens == 0) return plan;
  VLLM_CANN_REQUIRE(kChecks, tiling.num_blocks > 0 && tiling.block_size > 0,
                    "k_cache has " + Text(tiling.num_blocks) + " blocks of " +
                        Text(tiling.block_size) + " slots");
  VLLM_CANN_REQUIRE(
      kChecks, device.npu_arch != kArch310P,
      device.soc_name + " has no DataCopyPad, which the kernel needs; it runs on Atlas A2 and A3");
  tiling.token_stride = kv.strides[0] * bytes;
  const auto elements = static_cast<double>(tiling.norm_dim);
  tiling.epsilon_bits = FloatBits(elements * args.epsilon);
  tiling.root_bits = FloatBits(std::sqrt(elements));

  plan.kernel = kv.type == DataType::kFloat16    ? "kv_rmsnorm_rope_cache_half"
                : kv.type == DataType::kBfloat16 ? "kv_rmsnorm_rope_cache_bfloat16"
                                                 : "kv_rmsnorm_rope_cache_float";
  plan.cores = static_cast<uint32_t>(std::min(tiling.tokens, device.vector_cores));
  const int64_t per_core = Ceil(tiling.tokens, plan.cores);
  const int64_t budget = device.ub_bytes - kReservedUbBytes;
  tiling.tile = std::min(per_core, kMaxTile);
  const auto fits = [&] {
    tiling.index_batch =
        std::min(RoundUp(per_core, tiling.tile), kIndexBatch / tiling.tile * tiling.tile);
    return tiling.tile * tiling.norm_dim <= kMaxTileElements &&
           KvRmsnormRopeCacheUbBytes(tiling, bytes) <= budget;
  };
  while (!fits() && tiling.tile > 1) --tiling.tile;
  VLLM_CANN_REQUIRE(kChecks, fits(),
                    "one token of " + Text(kv.shape[1]) + " elements takes " +
                        Text(KvRmsnormRopeCacheUbBytes(tiling, bytes)) + " bytes of UB, and " +
                        device.soc_name + " offers " + Text(budget));
  return plan;
}

}  // namespace vllm_cann::ops
