// cc/ops/moe/moe_finalize_routing.cc: checks the arguments and fits parts of rows into the UB.
#include "cc/ops/moe/moe_finalize_routing.h"

#include <algorithm>

#include "cc/ops/checks.h"

namespace vllm_cann::ops {
namespace {

constexpr int64_t kMaxK = 512;
constexpr int64_t kMaxIndices = INT32_MAX;
constexpr int64_t kIndexWords = 2048;  // indices, scales or experts that are loaded at once
// Copies of less gain nothing from another core.
constexpr int64_t kLeastPartBytes = 2048;
constexpr int64_t kMaxBufferBytes = 32768;  // rows that are loaded at once

}  // namespace

MoeFinalizeRoutingPlan PlanMoeFinalizeRouting(const MoeFinalizeRoutingArgs& args,
                                              const DeviceInfo& device) {
  constexpr Checks checks("moe_finalize_routing");
  const Tensor rows = checks.AsRows(args.rows, "rows", 2, "[rows, H]");
  checks.Floats(rows, "rows");
  const DataType type = rows.type;
  const int64_t size = rows.shape[1];
  checks.Dense(args.out, "out", 2, "[tokens, H]");
  const int64_t tokens = args.out.shape[0];
  const int64_t k = args.k;
  VLLM_CANN_REQUIRE(checks, size > 0, "rows has rows of " + Text(size) + " elements");
  VLLM_CANN_REQUIRE(checks, k >= 1 && k <= kMaxK,
                    "k is " + Text(k) + "; it can be 1 to " + Text(kMaxK));
  VLLM_CANN_REQUIRE(checks, tokens * k <= kMaxIndices,
                    "out has " + Text(tokens) + " rows of " + Text(k) +
                        " terms; their indices have "
                        "to fit int32");
  const auto like_out = [&](const Tensor& tensor, const char* name) {
    checks.Dense(tensor, name, 2, "[tokens, H]");
    checks.Type(tensor, name, type);
    checks.Size(tensor, name, 0, tokens, "out has rows:");
    checks.Size(tensor, name, 1, size, "rows has");
  };
  like_out(args.out, "out");
  const bool has_skip1 = args.skip1.dims != 0;
  const bool has_skip2 = args.skip2.dims != 0;
  VLLM_CANN_REQUIRE(checks, has_skip1 || !has_skip2, "skip2 is given without skip1");
  if (has_skip1) like_out(args.skip1, "skip1");
  if (has_skip2) like_out(args.skip2, "skip2");
  checks.Dense(args.indices, "indices", 1, "[tokens * k]");
  checks.Type(args.indices, "indices", DataType::kInt32);
  checks.Size(args.indices, "indices", 0, tokens * k, "tokens * k is");
  const bool has_scales = args.scales.dims != 0;
  if (has_scales) {
    checks.Dense(args.scales, "scales", 2, "[tokens, k]");
    checks.Floats(args.scales, "scales");
    checks.Size(args.scales, "scales", 0, tokens, "out has rows:");
    checks.Size(args.scales, "scales", 1, k, "k is");
  }
  const bool has_bias = args.bias.dims != 0;
  if (has_bias) {
    checks.Dense(args.bias, "bias", 2, "[experts, H]");
    checks.Type(args.bias, "bias", type);
    checks.Size(args.bias, "bias", 1, size, "rows has");
    checks.Dense(args.experts, "experts", 2, "[tokens, k], which bias needs");
    checks.Type(args.experts, "experts", DataType::kInt32);
    checks.Size(args.experts, "experts", 0, tokens, "out has rows:");
    checks.Size(args.experts, "experts", 1, k, "k is");
  }
  checks.Device(device);

  MoeFinalizeRoutingPlan plan;
  if (tokens == 0) return plan;
  plan.kernel = type == DataType::kFloat     ? "moe_finalize_routing_float"
                : type == DataType::kFloat16 ? "moe_finalize_routing_half"
                                             : "moe_finalize_routing_bfloat16";
  const int64_t bytes = ElementBytes(type);
  const int64_t unit = kBlockBytes / bytes;
  MoeFinalizeRoutingTiling& tiling = plan.tiling;
  tiling.tokens = tokens;
  tiling.k = k;
  tiling.rows = rows.shape[0];
  tiling.row_elements = size;
  tiling.by_column = args.by_column ? 1 : 0;
  tiling.scale_type = has_scales ? static_cast<int64_t>(args.scales.type) : -1;
  tiling.skips = (has_skip1 ? 1 : 0) + (has_skip2 ? 1 : 0);
  tiling.bias_rows = has_bias ? args.bias.shape[0] : 0;
  // Few tokens: several cores share a row.
  const int64_t most_parts = std::max<int64_t>(1, size * bytes / kLeastPartBytes);
  int64_t parts = std::clamp<int64_t>(device.vector_cores / tokens, 1, most_parts);
  const int64_t budget = device.ub_bytes - kReservedUbBytes;
  tiling.token_batch = std::max<int64_t>(1, std::min(tokens, kIndexWords / k / 8 * 8));
  for (;; ++parts) {
    tiling.part_elements = RoundUp(Ceil(size, parts), unit);
    tiling.part_pitch = tiling.part_elements;
    tiling.parts = Ceil(size, tiling.part_elements);
    tiling.slots = std::clamp<int64_t>(kMaxBufferBytes / (tiling.part_pitch * bytes), 1, k);
    // A core with one piece of work loads the next terms while it adds up.
    if (tokens * tiling.parts <= device.vector_cores) {
      tiling.slots = std::min(tiling.slots, Ceil(k, 4));
    }
    while (tiling.slots > 1 && MoeFinalizeRoutingUbBytes(tiling, bytes) > budget) --tiling.slots;
    if (MoeFinalizeRoutingUbBytes(tiling, bytes) <= budget || tiling.part_elements == unit) break;
  }
  if (MoeFinalizeRoutingUbBytes(tiling, bytes) > budget) {
    Refuse("moe_finalize_routing: " + Text(k) + " terms of a token take at least " +
           Text(MoeFinalizeRoutingUbBytes(tiling, bytes)) + " bytes of UB, and " + device.soc_name +
           " offers " + Text(budget));
  }
  plan.cores = static_cast<uint32_t>(std::min(tokens * tiling.parts, device.vector_cores));
  return plan;
}

using Args = MoeFinalizeRoutingArgs;
[[maybe_unused]] const bool kDeclared =
    Declare("moe_finalize_routing", "moe", &PlanMoeFinalizeRouting,
            {{"rows", &Args::rows},
             {"skip1", &Args::skip1},
             {"skip2", &Args::skip2},
             {"bias", &Args::bias},
             {"scales", &Args::scales},
             {"indices", &Args::indices},
             {"experts", &Args::experts},
             {"out", &Args::out}},
            {{"k", &Args::k}, {"by_column", &Args::by_column}});

}  // namespace vllm_cann::ops
