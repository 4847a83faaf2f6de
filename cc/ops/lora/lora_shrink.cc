// cc/ops/lora/lora_shrink.cc: checks the arguments, and divides tokens and ranks among the cores.
#include "cc/ops/lora/lora_shrink.h"

#include <algorithm>

#include "cc/ops/lora/lora_slices.h"

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("lora_shrink");
constexpr int64_t kMaxRank = 65536;
constexpr int64_t kMaxGroup = 128;  // below 256, the repeats of an instruction
// From row to row an instruction steps at most 255 blocks of 8 floats.
constexpr int64_t kMaxPart = 1024;
constexpr int64_t kLeastPart = 256;
constexpr int64_t kMaxBatch = 16;

// Ranks, tokens and elements of a piece of work, as far as they fit into the UB.
void Tile(LoraShrinkTiling& tiling, int64_t bytes, const DeviceInfo& device) {
  const int64_t unit = kBlockBytes / bytes;
  const int64_t cores = device.vector_cores;
  const int64_t rows = tiling.slices * tiling.tokens;
  tiling.part_elements = std::min(kMaxPart, RoundUp(tiling.in_size, unit));
  // Few tokens: several cores share the ranks of a token.
  tiling.group = std::min(kMaxGroup, Ceil(tiling.rank, std::max<int64_t>(1, cores / rows)));
  tiling.token_batch = LoraTokenBatch(
      tiling.tokens, tiling.slices * Ceil(tiling.rank, tiling.group), kMaxBatch, cores);
  const int64_t budget = device.ub_bytes - kReservedUbBytes;
  while (LoraShrinkUbBytes(tiling, bytes) > budget) {
    if (tiling.part_elements > kLeastPart) {
      tiling.part_elements = RoundUp(tiling.part_elements / 2, unit);
    } else if (tiling.token_batch > 1) {
      tiling.token_batch /= 2;
    } else if (tiling.group > 1) {
      tiling.group /= 2;
    } else if (tiling.part_elements > unit) {
      tiling.part_elements = RoundUp(tiling.part_elements / 2, unit);
    } else {
      kChecks.Fail("a token and a rank take at least " + Text(LoraShrinkUbBytes(tiling, bytes)) +
                   " bytes of UB, and " + device.soc_name + " offers " + Text(budget));
    }
  }
}

}  // namespace

LoraShrinkPlan PlanLoraShrink(const LoraShrinkArgs& args, const DeviceInfo& device) {
  kChecks.Dense(args.x, "x", 2, "[tokens, in]");
  kChecks.Floats(args.x, "x");
  const Tensor* const weights[] = {&args.weights0, &args.weights1, &args.weights2};
  LoraShrinkPlan plan;
  LoraShrinkTiling& tiling = plan.tiling;
  tiling.slices = CheckLoraWeights(kChecks, weights, "[adapters, rank, in]", args.x, "x");
  tiling.tokens = args.x.shape[0];
  tiling.in_size = args.x.shape[1];
  tiling.adapters = args.weights0.shape[0];
  tiling.rank = args.weights0.shape[1];
  for (int s = 0; s < tiling.slices; ++s) {
    kChecks.Size(*weights[s], kLoraWeights[s], 1, tiling.rank, "the rank of weights0 is");
    kChecks.Size(*weights[s], kLoraWeights[s], 2, tiling.in_size, "x has");
  }
  VLLM_CANN_REQUIRE(kChecks, tiling.in_size > 0, "x has rows of 0 elements");
  VLLM_CANN_REQUIRE(
      kChecks, tiling.rank >= 1 && tiling.rank <= kMaxRank,
      "weights0 has the rank " + Text(tiling.rank) + "; it can be 1 to " + Text(kMaxRank));
  CheckLoraIndices(kChecks, args.indices, tiling.tokens);
  tiling.index_bytes = ElementBytes(args.indices.type);
  kChecks.Dense(args.out, "out", 3, "[slices, tokens, rank]");
  kChecks.Type(args.out, "out", DataType::kFloat);
  kChecks.Size(args.out, "out", 0, tiling.slices, "the slices of weights are");
  kChecks.Size(args.out, "out", 1, tiling.tokens, "x has rows:");
  kChecks.Size(args.out, "out", 2, tiling.rank, "the rank of weights0 is");
  tiling.scale_bits = FloatBits(args.scale);
  kChecks.Device(device);
  if (tiling.tokens == 0) return plan;
  plan.kernel = args.x.type == DataType::kFloat     ? "lora_shrink_float"
                : args.x.type == DataType::kFloat16 ? "lora_shrink_half"
                                                    : "lora_shrink_bfloat16";
  Tile(tiling, ElementBytes(args.x.type), device);
  const int64_t work =
      tiling.slices * Ceil(tiling.tokens, tiling.token_batch) * Ceil(tiling.rank, tiling.group);
  plan.cores = static_cast<uint32_t>(std::min(work, device.vector_cores));
  return plan;
}

using Args = LoraShrinkArgs;
[[maybe_unused]] const bool kDeclared = Declare("lora_shrink", "lora", &PlanLoraShrink,
                                                {{"x", &Args::x},
                                                 {"weights0", &Args::weights0},
                                                 {"weights1", &Args::weights1},
                                                 {"weights2", &Args::weights2},
                                                 {"indices", &Args::indices},
                                                 {"out", &Args::out}},
                                                {{"scale", &Args::scale}});

}  // namespace vllm_cann::ops
