// cc/ops/rotary/rotary_embedding_plan.cc: checks the arguments and fits tiles into the UB.
#include "cc/ops/rotary/rotary_embedding_plan.h"

#include <algorithm>

namespace vllm_cann::ops {
namespace {

constexpr int64_t kBlockBytes = 32;
constexpr int64_t kArch310P = 2002;
constexpr int64_t kPositionBatch = 512;
constexpr int64_t kMaxTokensPerTile = 16;
constexpr int64_t kMaxRows = 4095;   // of one copy
constexpr int64_t kMaxPitch = 2040;  // floats: a repeat stride of 255 blocks

std::string Text(int64_t value) { return std::to_string(value); }

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

void Require(bool holds, const char* tensor, const std::string& what) {
  if (!holds) Refuse(std::string("rotary_embedding: ") + tensor + " " + what);
}

RotarySide PlanSide(const Tensor& rows, const char* name, const Tensor& cache, int64_t tokens) {
  Require(rows.dims == 3, name,
          "has " + Text(rows.dims) + " dimensions, not [tokens, heads, size]");
  Require(rows.type == cache.type, name,
          std::string("is ") + Name(rows.type) + ", but cos_sin_cache is " + Name(cache.type));
  Require(rows.shape[0] == tokens, name,
          "has " + Text(rows.shape[0]) + " tokens, positions has " + Text(tokens));
  const int64_t heads = rows.shape[1];
  const int64_t size = rows.shape[2];
  Require(heads > 0 && size > 0, name,
          "has heads of [" + Text(heads) + ", " + Text(size) + "]; both have to be positive");
  Require(cache.shape[1] <= size, "cos_sin_cache",
          "has rotary dimension " + Text(cache.shape[1]) + ", more than the head size " +
              Text(size) + " of " + name);
  Require(rows.strides[2] == 1 && (heads == 1 || rows.strides[1] == size), name,
          "has strides [" + Text(rows.strides[0]) + ", " + Text(rows.strides[1]) + ", " +
              Text(rows.strides[2]) + "]; the heads of a token have to be contiguous");
  Require(tokens <= 1 || rows.strides[0] >= heads * size, name,
          "has the token stride " + Text(rows.strides[0]) + ", less than the " +
              Text(heads * size) + " elements of a token");
  Require(tokens == 0 || rows.address != 0, name, "has no memory");
  return {heads, rows.strides[0]};
}

// Without DataCopyPad only whole 32-byte blocks are copied, in GM as in the UB.
void Require310P(const RotaryEmbeddingArgs& args, const DeviceInfo& device) {
  const std::string soc = "rotary_embedding: " + device.soc_name;
  const int64_t unit = 2 * kBlockBytes / ElementBytes(args.cos_sin_cache.type);
  const int64_t rotary_dim = args.cos_sin_cache.shape[1];
  const int64_t head_size = args.query.shape[2];
  if (args.cos_sin_cache.type == DataType::kBfloat16) Refuse(soc + " has no bfloat16");
  if (!args.is_neox) Refuse(soc + " runs NeoX style only, not pairs of neighbours (GPT-J)");
  if (rotary_dim % unit != 0 || head_size % (unit / 2) != 0) {
    Refuse(soc + " has no DataCopyPad, so its halves and heads have to be whole blocks of " +
           Text(kBlockBytes) + " bytes: rotary dimension " + Text(rotary_dim) +
           " is not a multiple of " + Text(unit) + ", or head size " + Text(head_size) +
           " is not one of " + Text(unit / 2));
  }
}

// What the kernel's buffers take; its constructor is the other side of this sum.
int64_t UbBytes(const RotaryEmbeddingTiling& tiling, int64_t bytes) {
  const bool wide = bytes < 4;  // values are widened to float
  const int64_t tile =
      tiling.rows_per_tile * (tiling.is_neox != 0 ? 2 * tiling.half_pitch : tiling.row_pitch);
  const int64_t cos_sin = tiling.tokens_per_tile * 2 * tiling.half_pitch;
  int64_t total = RoundUp(tiling.position_batch * tiling.position_bytes, kBlockBytes);
  total += 2 * cos_sin * bytes + 2 * 2 * tile * bytes + tile * 4;
  if (wide) total += cos_sin * 4 + tile * 4;
  if (tiling.is_neox != 0) {
    if (wide) total += tile * 4;
  } else {
    total +=
        tiling.tokens_per_tile * 2 * tiling.row_pitch * 4 + tile * 4 + 2 * tiling.row_pitch * 4;
  }
  return total;
}

}  // namespace

RotaryEmbeddingPlan PlanRotaryEmbedding(const RotaryEmbeddingArgs& args, const DeviceInfo& device) {
  const Tensor& positions = args.positions;
  const Tensor& cache = args.cos_sin_cache;
  Require(positions.dims == 1, "positions", "has " + Text(positions.dims) + " dimensions, not one");
  Require(positions.type == DataType::kInt32 || positions.type == DataType::kInt64, "positions",
          std::string("is ") + Name(positions.type) + ", not int32 or int64");
  const int64_t tokens = positions.shape[0];
  Require(tokens >= 0, "positions", "has " + Text(tokens) + " elements");
  Require(tokens <= 1 || positions.strides[0] == 1, "positions",
          "has stride " + Text(positions.strides[0]) + "; it has to be contiguous");
  Require(cache.dims == 2, "cos_sin_cache",
          "has " + Text(cache.dims) + " dimensions, not [positions, rotary_dim]");
  const int64_t rotary_dim = cache.shape[1];
  Require(rotary_dim >= 2 && rotary_dim % 2 == 0, "cos_sin_cache",
          "has rotary dimension " + Text(rotary_dim) + "; it has to be even and at least 2");
  Require(cache.strides[1] == 1 && (cache.shape[0] <= 1 || cache.strides[0] == rotary_dim),
          "cos_sin_cache",
          "has strides [" + Text(cache.strides[0]) + ", " + Text(cache.strides[1]) +
              "]; it has to be contiguous");

  RotaryEmbeddingPlan plan;
  switch (cache.type) {
    case DataType::kFloat:
      plan.kernel = "rotary_embedding_float";
      break;
    case DataType::kFloat16:
      plan.kernel = "rotary_embedding_half";
      break;
    case DataType::kBfloat16:
      plan.kernel = "rotary_embedding_bfloat16";
      break;
    default:
      Refuse(std::string("rotary_embedding: cos_sin_cache is ") + Name(cache.type) +
             "; it can be float16, bfloat16 or float32");
  }
  const int64_t bytes = ElementBytes(cache.type);
  RotaryEmbeddingTiling& tiling = plan.tiling;
  tiling.tokens = tokens;
  tiling.max_position = cache.shape[0];
  tiling.position_bytes = ElementBytes(positions.type);
  tiling.rotary_dim = rotary_dim;
  tiling.is_neox = args.is_neox ? 1 : 0;
  tiling.query = PlanSide(args.query, "query", cache, tokens);
  tiling.head_size = args.query.shape[2];
  if (args.key.dims != 0) {
    tiling.key = PlanSide(args.key, "key", cache, tokens);
    Require(args.key.shape[2] == tiling.head_size, "key",
            "has head size " + Text(args.key.shape[2]) + ", query has " + Text(tiling.head_size));
  }
  if (tokens == 0) return plan;
  Require(tiling.max_position > 0, "cos_sin_cache", "has no rows");
  Require(cache.address != 0, "cos_sin_cache", "has no memory");
  Require(positions.address != 0, "positions", "has no memory");
  tiling.has_copy_pad = device.npu_arch != kArch310P;
  if (!tiling.has_copy_pad) Require310P(args, device);

  tiling.half_pitch = RoundUp(rotary_dim / 2, kBlockBytes / bytes);
  tiling.row_pitch = RoundUp(rotary_dim, kBlockBytes / bytes);
  const int64_t pitch = args.is_neox ? tiling.half_pitch : tiling.row_pitch;
  Require(pitch <= kMaxPitch, "cos_sin_cache",
          "has rotary dimension " + Text(rotary_dim) + "; the limit is " +
              Text(args.is_neox ? 2 * kMaxPitch : kMaxPitch));

  plan.cores = static_cast<uint32_t>(std::min(tokens, device.vector_cores));
  const int64_t per_core = (tokens + plan.cores - 1) / plan.cores;
  const int64_t most_heads = std::max(tiling.query.heads, tiling.key.heads);
  const int64_t budget = device.ub_bytes - kReservedUbBytes;
  tiling.position_batch = std::min(per_core, kPositionBatch);
  tiling.tokens_per_tile = std::min({per_core, kMaxTokensPerTile, tiling.position_batch});
  const auto fits = [&] {
    return tiling.rows_per_tile <= kMaxRows && UbBytes(tiling, bytes) <= budget;
  };
  // Whole tokens while they fit, else some heads of one token.
  tiling.rows_per_tile = most_heads * tiling.tokens_per_tile;
  while (!fits() && tiling.tokens_per_tile > 1) {
    tiling.tokens_per_tile = (tiling.tokens_per_tile + 1) / 2;
    tiling.rows_per_tile = most_heads * tiling.tokens_per_tile;
  }
  while (!fits() && tiling.rows_per_tile > 1) {
    tiling.rows_per_tile = (tiling.rows_per_tile + 1) / 2;
  }
  if (!fits()) {
    Refuse("rotary_embedding: one head of rotary dimension " + Text(rotary_dim) + " takes " +
           Text(UbBytes(tiling, bytes)) + " bytes of UB, and " + device.soc_name + " offers " +
           Text(budget));
  }
  return plan;
}

}  // namespace vllm_cann::ops
