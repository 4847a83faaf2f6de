// cc/ops/cache/kv_rmsnorm_rope_cache.cc: checks the arguments and fits tiles into the UB.
#include "cc/ops/cache/kv_rmsnorm_rope_cache.h"

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

// The arguments as the kernel sees them: T tokens, whose rows are any distance apart, and caches of
// one head.
struct Latent : KvRmsnormRopeCacheArgs {
  CacheLayout layout = CacheLayout::kNd;
  int64_t sequences = 0;
  int64_t seq = 0;
};

bool IsNz(LatentCacheMode mode) {
  return mode == LatentCacheMode::kPaNz || mode == LatentCacheMode::kPaBlkNz;
}

bool IsByPage(LatentCacheMode mode) {
  return mode == LatentCacheMode::kPaBlkBnsd || mode == LatentCacheMode::kPaBlkNz;
}

// [S, 1, L, size] as [S * L, size].
void MergeTokens(Tensor& rows, const char* name, bool is_dense) {
  VLLM_CANN_REQUIRE(kChecks, rows.dims == 4 && rows.shape[1] == 1,
                    std::string(name) + " has the shape " + ShapeText(rows) +
                        "; it has to be [sequences, 1, tokens, size]");
  if (is_dense) {
    rows = kChecks.AsRows(rows, name, 4, "[sequences, 1, tokens, size]");
    return;
  }
  const int64_t sequences = rows.shape[0], seq = rows.shape[2];
  const int64_t step = seq > 1 ? rows.strides[2] : rows.strides[0];
  VLLM_CANN_REQUIRE(
      kChecks,
      rows.strides[3] == 1 &&
          (seq <= 1 || sequences <= 1 || seq == 0 || rows.strides[0] == seq * rows.strides[2]),
      std::string(name) + " has strides [" + Text(rows.strides[0]) + ", " + Text(rows.strides[1]) +
          ", " + Text(rows.strides[2]) + ", " + Text(rows.strides[3]) +
          "]; its tokens have to be one step apart, and their elements contiguous");
  rows = {rows.type, 2, {sequences * seq, rows.shape[3]}, {step, 1}};
}

// A cache with one head as CheckCache knows it: [N, B, 1, d] or [N, d / w, B, w].
void AsPaged(Tensor& cache, const char* name, LatentCacheMode mode) {
  const auto take = [&](std::initializer_list<int> dims) {
    Tensor out = cache;
    out.dims = 0;
    for (const int dim : dims) {
      out.shape[out.dims] = cache.shape[dim];
      out.strides[out.dims++] = cache.strides[dim];
    }
    cache = out;
  };
  if (IsNz(mode)) {
    VLLM_CANN_REQUIRE(kChecks, cache.dims == 5 && cache.shape[3] == 1,
                      std::string(name) + " has the shape " + ShapeText(cache) +
                          "; in NZ it has to be [blocks, size / w, block size, 1, w]");
    return take({0, 1, 2, 4});
  }
  const int one = mode == LatentCacheMode::kNorm ? 1 : 2;
  VLLM_CANN_REQUIRE(
      kChecks, cache.dims == 4 && cache.shape[one] == 1,
      std::string(name) + " has the shape " + ShapeText(cache) + "; it has to be " +
          (one == 1 ? "[sequences, 1, rows, size]" : "[blocks, block size, 1, size]"));
  if (one == 1) take({0, 2, 1, 3});
}

Latent Merge(const KvRmsnormRopeCacheArgs& args) {
  Latent out{args};
  VLLM_CANN_REQUIRE(
      kChecks, args.kv.dims == 4,
      "kv has " + Text(args.kv.dims) + " dimensions, not [sequences, 1, tokens, size]");
  out.sequences = args.kv.shape[0];
  out.seq = args.kv.shape[2];
  for (const auto& [table, name] : {std::pair{&args.cos, "cos"}, {&args.sin, "sin"}}) {
    VLLM_CANN_REQUIRE(
        kChecks,
        table->dims != 4 || (table->shape[0] == out.sequences && table->shape[2] == out.seq),
        std::string(name) + " has the shape " + ShapeText(*table) + " for kv of the shape " +
            ShapeText(args.kv));
  }
  MergeTokens(out.kv, "kv", false);
  MergeTokens(out.cos, "cos", true);
  MergeTokens(out.sin, "sin", true);
  if (out.k_rope.dims != 0) MergeTokens(out.k_rope, "k_rope", true);
  if (out.c_kv.dims != 0) MergeTokens(out.c_kv, "c_kv", true);
  if (out.index.dims == 2) {
    const Tensor rows = kChecks.AsRows(out.index, "index", 2, "[sequences, tokens]");
    out.index = {rows.type, 1, {rows.shape[0] * rows.shape[1]}, {1}};
  }
  out.layout = IsNz(args.mode) ? CacheLayout::kNz : CacheLayout::kNd;
  AsPaged(out.k_cache, "k_cache", args.mode);
  AsPaged(out.ckv_cache, "ckv_cache", args.mode);
  return out;
}

KvRmsnormRopeCacheSide PlanSide(const Latent& args, const Tensor& cache, const char* cache_name,
                                int64_t size, const Tensor& scale, const char* scale_name,
                                const Tensor& offset, const char* offset_name, const Tensor& output,
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

KvRmsnormRopeCachePlan PlanKvRmsnormRopeCache(const KvRmsnormRopeCacheArgs& given,
                                              const DeviceInfo& device) {
  const Latent args = Merge(given);
  KvRmsnormRopeCachePlan plan;
  KvRmsnormRopeCacheTiling& tiling = plan.tiling;
  const Tensor& kv = args.kv;
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
  const int64_t sequences = args.sequences;
  const int64_t pages = tiling.block_size > 0 ? Ceil(args.seq, tiling.block_size) : 0;
  const bool by_page = IsByPage(args.mode);
  const bool by_row = args.mode == LatentCacheMode::kNorm;
  tiling.index_kind = by_row ? 2 : by_page ? 1 : 0;
  kChecks.Dense(args.index, "index", 1, "one or two");
  kChecks.Type(args.index, "index", DataType::kInt64);
  kChecks.Size(args.index, "index", 0, by_page ? sequences * pages : tiling.tokens,
               by_page ? "the pages of all sequences are" : "the tokens of kv are");
  VLLM_CANN_REQUIRE(kChecks, !by_row || tiling.num_blocks >= sequences,
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

using Args = KvRmsnormRopeCacheArgs;
[[maybe_unused]] const bool kDeclared = Declare(
    "kv_rmsnorm_rope_cache", "cache", &PlanKvRmsnormRopeCache,
    {{"kv", &Args::kv},
     {"gamma", &Args::gamma},
     {"cos", &Args::cos},
     {"sin", &Args::sin},
     {"index", &Args::index},
     {"k_cache", &Args::k_cache},
     {"ckv_cache", &Args::ckv_cache},
     {"k_rope_scale", &Args::k_rope_scale},
     {"c_kv_scale", &Args::c_kv_scale},
     {"k_rope_offset", &Args::k_rope_offset},
     {"c_kv_offset", &Args::c_kv_offset},
     {"k_rope", &Args::k_rope},
     {"c_kv", &Args::c_kv}},
    {{"cache_mode", &Args::mode, {"Norm", "PA", "PA_BNSD", "PA_NZ", "PA_BLK_BNSD", "PA_BLK_NZ"}},
     {"epsilon", &Args::epsilon}});

}  // namespace vllm_cann::ops
