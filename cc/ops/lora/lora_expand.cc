// cc/ops/lora/lora_expand.cc: checks the arguments, and divides tokens and columns among the cores.
#include "cc/ops/lora/lora_expand.h"

#include <algorithm>

#include "cc/ops/lora/lora_slices.h"

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("lora_expand");
constexpr int64_t kMaxRank = 128;
constexpr int64_t kColumns = 16;       // a tile is a multiple of them: of whole blocks of any type
constexpr int64_t kLeastColumns = 64;  // copies of less gain nothing from another core
constexpr int64_t kTileElements = 8192;  // weights that are loaded at once
constexpr int64_t kMaxBatch = 32;

int64_t Tiles(const LoraExpandTiling& tiling) {
  int64_t tiles = 0;
  for (int64_t s = 0; s < tiling.slices; ++s) tiles += Ceil(tiling.widths[s], tiling.tile);
  return tiles;
}

// Columns and tokens of a piece of work, as far as they fit into the UB.
void Tile(LoraExpandTiling& tiling, int64_t bytes, const DeviceInfo& device) {
  const int64_t cores = device.vector_cores;
  int64_t columns = 0;
  int64_t widest = 0;
  for (int64_t s = 0; s < tiling.slices; ++s) {
    columns += tiling.widths[s];
    widest = std::max(widest, tiling.widths[s]);
  }
  // Few tokens: several cores share the columns of a token.
  const int64_t shared = Ceil(columns, std::max<int64_t>(1, cores / tiling.tokens));
  tiling.tile = RoundUp(
      std::min({std::max(shared, kLeastColumns), kTileElements / tiling.rank, widest}), kColumns);
  tiling.token_batch = LoraTokenBatch(tiling.tokens, Tiles(tiling), kMaxBatch, cores);
  const int64_t budget = device.ub_bytes - kReservedUbBytes;
  while (LoraExpandUbBytes(tiling, bytes) > budget) {
    if (tiling.tile > kLeastColumns) {
      tiling.tile = RoundUp(tiling.tile / 2, kColumns);
    } else if (tiling.token_batch > 1) {
      tiling.token_batch /= 2;
    } else if (tiling.tile > kColumns) {
      tiling.tile = RoundUp(tiling.tile / 2, kColumns);
    } else {
      kChecks.Fail(Text(kColumns) + " columns of the rank " + Text(tiling.rank) +
                   " take at least " + Text(LoraExpandUbBytes(tiling, bytes)) +
                   " bytes of UB, and " + device.soc_name + " offers " + Text(budget));
    }
  }
  tiling.tiles = Tiles(tiling);
}

}  // namespace

LoraExpandPlan PlanLoraExpand(const LoraExpandArgs& args, const DeviceInfo& device) {
  const Tensor& y = args.y;
  VLLM_CANN_REQUIRE(kChecks, y.dims == 2,
                    "y has " + Text(y.dims) + " dimensions, not [tokens, columns]");
  kChecks.Floats(y, "y");
  VLLM_CANN_REQUIRE(
      kChecks, y.shape[1] <= 1 || y.strides[1] == 1,
      "y has stride " + Text(y.strides[1]) + " in dimension 1; its rows have to be contiguous");
  VLLM_CANN_REQUIRE(kChecks, y.shape[0] <= 1 || y.strides[0] >= y.shape[1],
                    "y has stride " + Text(y.strides[0]) + " in dimension 0 for rows of " +
                        Text(y.shape[1]) + " elements; they may not overlap");
  const Tensor* const weights[] = {&args.weights0, &args.weights1, &args.weights2};
  LoraExpandPlan plan;
  LoraExpandTiling& tiling = plan.tiling;
  tiling.slices = CheckLoraWeights(kChecks, weights, "[adapters, columns, rank]", y, "y");
  tiling.tokens = y.shape[0];
  tiling.row_elements = y.strides[0];
  tiling.adapters = args.weights0.shape[0];
  tiling.rank = args.weights0.shape[2];
  VLLM_CANN_REQUIRE(
      kChecks,
      tiling.rank >= 8 && tiling.rank <= kMaxRank && (tiling.rank & (tiling.rank - 1)) == 0,
      "weights0 has the rank " + Text(tiling.rank) + "; it can be 8, 16, 32, 64 or 128");
  tiling.offset = args.offset;
  VLLM_CANN_REQUIRE(kChecks, args.offset >= 0 && args.offset <= y.shape[1],
                    "offset is " + Text(args.offset) + "; y has " + Text(y.shape[1]) + " columns");
  int64_t columns = args.offset;
  for (int s = 0; s < tiling.slices; ++s) {
    kChecks.Size(*weights[s], kLoraWeights[s], 2, tiling.rank, "the rank of weights0 is");
    tiling.widths[s] = weights[s]->shape[1];
    VLLM_CANN_REQUIRE(kChecks, tiling.widths[s] <= y.shape[1] - columns,
                      std::string(kLoraWeights[s]) + " has " + Text(tiling.widths[s]) +
                          " columns from " + Text(columns) + " on; y has " + Text(y.shape[1]));
    columns += tiling.widths[s];
  }
  kChecks.Dense(args.h, "h", 3, "[slices, tokens, rank]");
  kChecks.Type(args.h, "h", DataType::kFloat);
  kChecks.Size(args.h, "h", 0, tiling.slices, "the slices of weights are");
  kChecks.Size(args.h, "h", 1, tiling.tokens, "y has rows:");
  kChecks.Size(args.h, "h", 2, tiling.rank, "the rank of weights0 is");
  CheckLoraIndices(kChecks, args.indices, tiling.tokens);
  tiling.index_bytes = ElementBytes(args.indices.type);
  tiling.adds = args.adds ? 1 : 0;
  kChecks.Device(device);
  if (tiling.tokens == 0 || columns == args.offset) return plan;
  plan.kernel = y.type == DataType::kFloat     ? "lora_expand_float"
                : y.type == DataType::kFloat16 ? "lora_expand_half"
                                               : "lora_expand_bfloat16";
  Tile(tiling, ElementBytes(y.type), device);
  const int64_t work = tiling.tiles * Ceil(tiling.tokens, tiling.token_batch);
  plan.cores = static_cast<uint32_t>(std::min(work, device.vector_cores));
  return plan;
}

using Args = LoraExpandArgs;
[[maybe_unused]] const bool kDeclared = Declare("lora_expand", "lora", &PlanLoraExpand,
                                                {{"h", &Args::h},
                                                 {"weights0", &Args::weights0},
                                                 {"weights1", &Args::weights1},
                                                 {"weights2", &Args::weights2},
                                                 {"indices", &Args::indices},
                                                 {"y", &Args::y}},
                                                {{"offset", &Args::offset}, {"adds", &Args::adds}});

}  // namespace vllm_cann::ops
