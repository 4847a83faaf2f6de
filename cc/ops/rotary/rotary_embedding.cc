// cc/ops/rotary/rotary_embedding.cc: checks the arguments and fits tiles into the UB.
#include "cc/ops/rotary/rotary_embedding.h"

#include <algorithm>

#include "cc/ops/rotary/axes.h"

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("rotary_embedding");
constexpr int64_t kPositionBatch = 512;
constexpr int64_t kMaxTokensPerTile = 16;
constexpr int64_t kMaxPitch = 1020;        // floats: cos and sin are a repeat stride of 255 blocks
constexpr int64_t kElementsOfACore = 512;  // see SplitOf

#define REQUIRE_OF(holds, tensor, what) \
  VLLM_CANN_REQUIRE(kChecks, holds, std::string(tensor) + " " + (what))

// Cosines and sines: of a row each, and where they are.
struct Table {
  const Tensor* tensor = nullptr;
  const char* name = nullptr;
  int64_t rotary_dim = 0;
};

Table CheckTable(const RotaryEmbeddingArgs& args) {
  if (HasGivenAngles(kChecks, args.positions, args.cos_sin_cache, args.cos, args.sin, args.sections,
                     args.interleaved)) {
    for (const auto& [tensor, name] : {std::pair{&args.cos, "cos"}, {&args.sin, "sin"}}) {
      REQUIRE_OF(tensor->dims == 2, name,
                 "has " + Text(tensor->dims) + " dimensions, not [rows, rotary_dim / 2]");
      REQUIRE_OF(tensor->strides[1] == 1 &&
                     (tensor->shape[0] <= 1 || tensor->strides[0] >= tensor->shape[1]),
                 name,
                 "has strides [" + Text(tensor->strides[0]) + ", " + Text(tensor->strides[1]) +
                     "]; a row has to be contiguous");
    }
    REQUIRE_OF(args.sin.type == args.cos.type && args.sin.shape[0] == args.cos.shape[0] &&
                   args.sin.shape[1] == args.cos.shape[1] &&
                   (args.cos.shape[0] <= 1 || args.sin.strides[0] == args.cos.strides[0]),
               "sin",
               "is " + std::string(Name(args.sin.type)) + " [" + Text(args.sin.shape[0]) + ", " +
                   Text(args.sin.shape[1]) + "], and is not laid out like cos, " +
                   Name(args.cos.type) + " [" + Text(args.cos.shape[0]) + ", " +
                   Text(args.cos.shape[1]) + "]");
    REQUIRE_OF(args.cos.shape[1] >= 1, "cos", "has no angles");
    return {&args.cos, "cos", 2 * args.cos.shape[1]};
  }
  const Tensor& cache = args.cos_sin_cache;
  REQUIRE_OF(cache.dims == 2, "cos_sin_cache",
             "has " + Text(cache.dims) + " dimensions, not [positions, rotary_dim]");
  const int64_t rotary_dim = cache.shape[1];
  REQUIRE_OF(rotary_dim >= 2 && rotary_dim % 2 == 0, "cos_sin_cache",
             "has rotary dimension " + Text(rotary_dim) + "; it has to be even and at least 2");
  REQUIRE_OF(cache.strides[1] == 1 && (cache.shape[0] <= 1 || cache.strides[0] == rotary_dim),
             "cos_sin_cache",
             "has strides [" + Text(cache.strides[0]) + ", " + Text(cache.strides[1]) +
                 "]; it has to be contiguous");
  return {&cache, "cos_sin_cache", rotary_dim};
}

void CheckRows(const Tensor& rows, const char* name, const Table& table, int64_t tokens) {
  REQUIRE_OF(rows.dims == 3, name,
             "has " + Text(rows.dims) + " dimensions, not [tokens, heads, size]");
  REQUIRE_OF(rows.type == table.tensor->type, name,
             std::string("is ") + Name(rows.type) + ", but " + table.name + " is " +
                 Name(table.tensor->type));
  REQUIRE_OF(rows.shape[0] == tokens, name,
             "has " + Text(rows.shape[0]) + " tokens, the others have " + Text(tokens));
  const int64_t heads = rows.shape[1];
  const int64_t size = rows.shape[2];
  REQUIRE_OF(heads > 0 && size > 0, name,
             "has heads of [" + Text(heads) + ", " + Text(size) + "]; both have to be positive");
  REQUIRE_OF(table.rotary_dim <= size, table.name,
             "has rotary dimension " + Text(table.rotary_dim) + ", more than the head size " +
                 Text(size) + " of " + name);
  REQUIRE_OF(rows.strides[2] == 1 && (heads == 1 || rows.strides[1] == size), name,
             "has strides [" + Text(rows.strides[0]) + ", " + Text(rows.strides[1]) + ", " +
                 Text(rows.strides[2]) + "]; the heads of a token have to be contiguous");
  REQUIRE_OF(tokens <= 1 || rows.strides[0] >= heads * size, name,
             "has the token stride " + Text(rows.strides[0]) + ", less than the " +
                 Text(heads * size) + " elements of a token");
}

RotarySide PlanSide(const Tensor& rows, const char* name, const Tensor& out, const char* out_name,
                    const Table& table, int64_t tokens) {
  CheckRows(rows, name, table, tokens);
  if (out.dims == 0) return {rows.shape[1], rows.strides[0], rows.strides[0]};
  CheckRows(out, out_name, table, tokens);
  REQUIRE_OF(out.shape[1] == rows.shape[1] && out.shape[2] == rows.shape[2], out_name,
             "has heads of [" + Text(out.shape[1]) + ", " + Text(out.shape[2]) + "], " +
                 std::string(name) + " has [" + Text(rows.shape[1]) + ", " + Text(rows.shape[2]) +
                 "]");
  REQUIRE_OF(table.rotary_dim == rows.shape[2], out_name,
             "is apart from " + std::string(name) + ", and of " + Text(rows.shape[2]) +
                 " elements only " + Text(table.rotary_dim) +
                 " are rotated: the others would be missing");
  return {rows.shape[1], rows.strides[0], out.strides[0]};
}

// Without DataCopyPad only whole 32-byte blocks are copied, in GM as in the UB.
void Require310P(const RotaryEmbeddingArgs& args, const Table& table, const DeviceInfo& device) {
  const std::string soc = "rotary_embedding: " + device.soc_name;
  const int64_t unit = 2 * kBlockBytes / ElementBytes(table.tensor->type);
  const int64_t head_size = args.query.shape[2];
  if (table.tensor->type == DataType::kBfloat16) Refuse(soc + " has no bfloat16");
  if (args.style != RotaryStyle::kNeox) {
    Refuse(soc + " runs NeoX style only, not pairs of neighbours (GPT-J)");
  }
  if (table.rotary_dim % unit != 0 || head_size % (unit / 2) != 0) {
    Refuse(soc + " has no DataCopyPad, so its halves and heads have to be whole blocks of " +
           Text(kBlockBytes) + " bytes: rotary dimension " + Text(table.rotary_dim) +
           " is not a multiple of " + Text(unit) + ", or head size " + Text(head_size) +
           " is not one of " + Text(unit / 2));
  }
}

// Rows of heads as [tokens, heads, size].
void SplitHeads(Tensor& rows, const char* name, int64_t head_size) {
  if (head_size == 0 || rows.dims < 2 || rows.dims > 3) return;
  const int64_t width = rows.dims == 2 ? rows.shape[1] : rows.shape[1] * rows.shape[2];
  REQUIRE_OF(
      head_size > 0 && width % head_size == 0, name,
      "has " + Text(width) + " elements per token, which are no heads of " + Text(head_size));
  REQUIRE_OF(rows.dims == 2 || rows.shape[2] == head_size, name,
             "has the head size " + Text(rows.shape[2]) + ", not " + Text(head_size));
  if (rows.dims == 3) return;
  REQUIRE_OF(rows.strides[1] == 1 || width == 1, name,
             "has strides [" + Text(rows.strides[0]) + ", " + Text(rows.strides[1]) +
                 "]; the heads of a token have to be contiguous");
  rows.dims = 3;
  rows.shape[1] = width / head_size;
  rows.shape[2] = head_size;
  rows.strides[1] = head_size;
  rows.strides[2] = 1;
}

RotaryEmbeddingPlan PlanHeads(const RotaryEmbeddingArgs& args, const DeviceInfo& device) {
  RotaryEmbeddingPlan plan;
  RotaryEmbeddingTiling& tiling = plan.tiling;
  RotaryAngles& angles = tiling.angles;
  const Table table = CheckTable(args);
  const int64_t rotary_dim = table.rotary_dim;
  const bool neox = args.style == RotaryStyle::kNeox;
  VLLM_CANN_REQUIRE(
      kChecks,
      neox || args.style == RotaryStyle::kGptj || args.style == RotaryStyle::kPairsToHalves,
      "the style " + Text(static_cast<int64_t>(args.style)) + " is unknown");
  const Tensor& positions = args.positions;
  angles.axes = 1;
  angles.has_positions = table.tensor == &args.cos_sin_cache ? 1 : 0;
  int64_t tokens = args.query.shape[0];
  if (angles.has_positions != 0) {
    REQUIRE_OF(positions.dims == 1 || positions.dims == 2, "positions",
               "has " + Text(positions.dims) + " dimensions, not one, nor two with three axes");
    REQUIRE_OF(positions.type == DataType::kInt32 || positions.type == DataType::kInt64,
               "positions", std::string("is ") + Name(positions.type) + ", not int32 or int64");
    tokens = positions.shape[positions.dims - 1];
    REQUIRE_OF(tokens >= 0, "positions", "has " + Text(tokens) + " elements");
    kChecks.Dense(positions, "positions", positions.dims, "one or two");
    if (positions.dims == 2) {
      PlanAxes(kChecks, positions, args.sections, args.interleaved, rotary_dim, angles.second,
               angles.third);
      angles.axes = 3;
    }
    angles.position_bytes = ElementBytes(positions.type);
  }

  switch (table.tensor->type) {
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
      Refuse(std::string("rotary_embedding: ") + table.name + " is " + Name(table.tensor->type) +
             "; it can be float16, bfloat16 or float32");
  }
  const int64_t bytes = ElementBytes(table.tensor->type);
  angles.tokens = angles.axis_stride = tokens;
  angles.table_rows = table.tensor->shape[0];
  angles.table_stride =
      table.tensor->shape[0] <= 1 ? table.tensor->shape[1] : table.tensor->strides[0];
  angles.rotary_dim = rotary_dim;
  tiling.style = static_cast<int64_t>(args.style);
  tiling.is_inverse = args.is_inverse ? 1 : 0;
  tiling.query = PlanSide(args.query, "query", args.query_out, "query_out", table, tokens);
  tiling.head_size = args.query.shape[2];
  if (args.key.dims != 0) {
    tiling.key = PlanSide(args.key, "key", args.key_out, "key_out", table, tokens);
    REQUIRE_OF(
        args.key.shape[2] == tiling.head_size, "key",
        "has head size " + Text(args.key.shape[2]) + ", query has " + Text(tiling.head_size));
  }
  angles.half_pitch = RoundUp(rotary_dim / 2, kBlockBytes / bytes);
  tiling.row_pitch = RoundUp(rotary_dim, kBlockBytes / bytes);
  REQUIRE_OF(
      args.style != RotaryStyle::kPairsToHalves || rotary_dim == 2 * angles.half_pitch, table.name,
      "has rotary dimension " + Text(rotary_dim) + "; pairs become halves of whole blocks, " +
          "multiples of " + Text(2 * kBlockBytes / bytes) + " elements");
  if (tokens == 0) return plan;
  REQUIRE_OF(angles.table_rows > 0, table.name, "has no rows");
  angles.has_copy_pad = device.npu_arch != kArch310P;
  if (!angles.has_copy_pad) Require310P(args, table, device);

  const int64_t pitch = neox ? angles.half_pitch : tiling.row_pitch;
  REQUIRE_OF(pitch <= kMaxPitch, table.name,
             "has rotary dimension " + Text(rotary_dim) + "; the limit is " +
                 Text(neox ? 2 * kMaxPitch : kMaxPitch));

  const int64_t all_heads = tiling.query.heads + tiling.key.heads;
  const int64_t split =
      SplitOf(all_heads * rotary_dim, kElementsOfACore, tokens, device.vector_cores);
  const int64_t heads = Ceil(all_heads, split);
  tiling.split = Ceil(all_heads, heads);
  plan.cores = static_cast<uint32_t>(std::min(tokens * tiling.split, device.vector_cores));
  const int64_t per_core = Ceil(tokens * tiling.split, plan.cores);
  const int64_t budget = device.ub_bytes - kReservedUbBytes;
  angles.position_batch = std::min(per_core, kPositionBatch);
  angles.tokens_per_tile = std::min({per_core, kMaxTokensPerTile, angles.position_batch});
  const auto fits = [&] {
    return tiling.rows_per_tile <= sizes::kMaxRows &&
           RotaryEmbeddingUbBytes(tiling, bytes) <= budget;
  };
  // Whole tokens while they fit, else some heads of one token.
  tiling.rows_per_tile = heads * angles.tokens_per_tile;
  while (!fits() && angles.tokens_per_tile > 1) {
    angles.tokens_per_tile = (angles.tokens_per_tile + 1) / 2;
    tiling.rows_per_tile = heads * angles.tokens_per_tile;
  }
  while (!fits() && tiling.rows_per_tile > 1) {
    tiling.rows_per_tile = (tiling.rows_per_tile + 1) / 2;
  }
  if (!fits()) {
    Refuse("rotary_embedding: one head of rotary dimension " + Text(rotary_dim) + " takes " +
           Text(RotaryEmbeddingUbBytes(tiling, bytes)) + " bytes of UB, and " + device.soc_name +
           " offers " + Text(budget));
  }
  return plan;
}

}  // namespace

RotaryEmbeddingPlan PlanRotaryEmbedding(const RotaryEmbeddingArgs& args, const DeviceInfo& device) {
  RotaryEmbeddingArgs heads = args;
  SplitHeads(heads.query, "query", args.head_size);
  SplitHeads(heads.key, "key", args.head_size);
  return PlanHeads(heads, device);
}

using Args = RotaryEmbeddingArgs;
[[maybe_unused]] const bool kDeclared =
    Declare("rotary_embedding", "rotary", &PlanRotaryEmbedding,
            {{"positions", &Args::positions},
             {"query", &Args::query},
             {"key", &Args::key},
             {"cos_sin_cache", &Args::cos_sin_cache},
             {"cos", &Args::cos, kSharesPlace},
             {"sin", &Args::sin},
             {"query_out", &Args::query_out},
             {"key_out", &Args::key_out}},
            {{"head_size", &Args::head_size},
             {"style", &Args::style, {"gptj", "neox", "pairs_to_halves"}},
             {"is_inverse", &Args::is_inverse},
             {"mrope_section", &Args::sections},
             {"mrope_interleaved", &Args::interleaved}});

}  // namespace vllm_cann::ops
