// cc/ops/moe/moe_init_routing.cc: checks the arguments and sizes the buffers.
#include "cc/ops/moe/moe_init_routing.h"

#include <algorithm>

#include "cc/ops/checks.h"

namespace vllm_cann::ops {
namespace {

constexpr int64_t kMaxExperts = 10240;
constexpr int64_t kMaxPairedExperts = 5120;
constexpr int64_t kMaxPlaces = 1 << 24;  // numbers of pairs and places are exact as floats
constexpr int64_t kList = 32;            // what Sort32 sorts
constexpr int64_t kLanes = 64;
constexpr int64_t kMaxQuantised = 255 * kLanes;  // elements that one instruction divides
// Up to here every core sorts all pairs: cheaper than to exchange counts.
constexpr int64_t kMaxPairsOfAll = 1024;
constexpr int64_t kMaxChunk = 1024;
constexpr int64_t kMaxTileExperts = 1024;
constexpr int64_t kMaxTableBytes = 49152;  // counts of all cores
// Beyond this a larger copy gains nothing.
constexpr int64_t kMaxBufferBytes = 32768;
static_assert(kMaxBufferBytes / kBlockBytes <= 4095, "the rows of a copy");
// Less than this per core costs more in the head of the launch than it gains.
constexpr int64_t kBytesPerCore = 8192;
constexpr int64_t kZeroBytesPerCore = 65536;

int64_t Pitch(int64_t experts) { return RoundUp(experts + 1, kList); }

void CheckOutputs(const Checks& checks, const MoeInitRoutingArgs& args, int64_t pairs,
                  int64_t experts) {
  checks.Dense(args.expanded_row_idx, "expanded_row_idx", 1, "[tokens * k]");
  checks.Size(args.expanded_row_idx, "expanded_row_idx", 0, pairs, "tokens * k is");
  checks.Type(args.expanded_row_idx, "expanded_row_idx", DataType::kInt32);
  if (args.row_idx.dims != 0) {
    checks.Dense(args.row_idx, "row_idx", 2, "[tokens, k]");
    checks.Size(args.row_idx, "row_idx", 0, args.expert_idx.shape[0], "expert_idx has");
    checks.Size(args.row_idx, "row_idx", 1, args.expert_idx.shape[1], "expert_idx has");
    checks.Type(args.row_idx, "row_idx", DataType::kInt32);
    checks.Type(args.expert_idx, "expert_idx", DataType::kInt32);
    checks.Dense(args.expanded_expert_idx, "expanded_expert_idx", 1, "[tokens * k]");
    checks.Size(args.expanded_expert_idx, "expanded_expert_idx", 0, pairs, "tokens * k is");
    checks.Type(args.expanded_expert_idx, "expanded_expert_idx", DataType::kInt32);
    VLLM_CANN_REQUIRE(checks,
                      args.quant_mode == -1 && args.scale.dims == 0 && args.capacity == 0 &&
                          args.row_idx_type == 0,
                      "row_idx goes with rows as they are: no quantisation, scale, capacity, and "
                      "row_idx_type 0");
  }
  if (args.expert_tokens.dims != 0) {
    checks.Type(args.expert_tokens, "expert_tokens", DataType::kInt64);
    const int dims = args.tokens_type == 2 ? 2 : 1;
    checks.Dense(args.expert_tokens, "expert_tokens", dims,
                 dims == 2 ? "[experts, 2]" : "[experts]");
    checks.Size(args.expert_tokens, "expert_tokens", 0, experts, "the range of experts has");
    if (dims == 2) checks.Size(args.expert_tokens, "expert_tokens", 1, 2, "a pair has");
    VLLM_CANN_REQUIRE(checks, args.tokens_type >= 0 && args.tokens_type <= 2,
                      "tokens_type is " + Text(args.tokens_type) + "; it can be 0, 1 or 2");
    VLLM_CANN_REQUIRE(checks, args.tokens_type != 2 || experts <= kMaxPairedExperts,
                      "expert_tokens holds pairs of " + Text(experts) + " experts; the limit is " +
                          Text(kMaxPairedExperts));
  }
}

void CheckScales(const Checks& checks, const MoeInitRoutingArgs& args, int64_t rows) {
  const int64_t tokens = args.x.shape[0];
  const int64_t size = args.x.shape[1];
  const bool has_scale = args.scale.dims != 0;
  if (has_scale) {
    checks.Type(args.scale, "scale", DataType::kFloat);
    if (args.quant_mode == 1) {
      checks.Dense(args.scale, "scale", 2, "[experts, H], as dynamic quantisation takes it");
      checks.Size(args.scale, "scale", 0, args.experts, "the range of experts has");
      checks.Size(args.scale, "scale", 1, size, "rows of x have");
    } else {
      checks.Dense(args.scale, "scale", 1, args.quant_mode == 0 ? "[1]" : "[tokens]");
      checks.Size(args.scale, "scale", 0, args.quant_mode == 0 ? 1 : tokens,
                  args.quant_mode == 0 ? "static quantisation takes" : "x has rows:");
    }
  }
  VLLM_CANN_REQUIRE(checks, args.offset.dims == 0 || args.quant_mode == 0,
                    "offset is given with quant_mode " + Text(args.quant_mode) +
                        "; it belongs to static quantisation (quant_mode 0)");
  if (args.quant_mode == 0) {
    VLLM_CANN_REQUIRE(checks, has_scale,
                      "scale is absent, and static quantisation (quant_mode 0) needs it");
    checks.Dense(args.offset, "offset", 1, "[1]");
    checks.Size(args.offset, "offset", 0, 1, "static quantisation takes");
    checks.Type(args.offset, "offset", DataType::kFloat);
  }
  if (args.quant_mode == 1 || (args.quant_mode < 0 && has_scale)) {
    checks.Dense(args.expanded_scale, "expanded_scale", 1, "[rows]");
    checks.Size(args.expanded_scale, "expanded_scale", 0, rows, "expanded_x has rows:");
    checks.Type(args.expanded_scale, "expanded_scale", DataType::kFloat);
  }
}

// Cores and the fields on which the workspace depends.
uint32_t Divide(MoeInitRoutingTiling& tiling, const DeviceInfo& device) {
  const int64_t pairs = tiling.pairs;
  tiling.is_shared = pairs > kMaxPairsOfAll ? 1 : 0;
  int64_t cores = device.vector_cores;
  if (tiling.is_shared == 0) {
    const int64_t bytes = pairs * tiling.row_bytes;
    cores = std::clamp<int64_t>(Ceil(bytes, kBytesPerCore), 1,
                                std::max<int64_t>(1, std::min(pairs, cores)));
    // Rows that no pair fills are zeros, which cores make by experts, and need no pair to make.
    const int64_t row = tiling.quant_mode < 0 ? tiling.row_bytes : tiling.row_elements;
    const int64_t zeros = tiling.capacity > 0 ? (tiling.out_rows - pairs) * row : 0;
    const int64_t most = std::min(tiling.experts, device.vector_cores);
    cores = std::max(cores, std::min(Ceil(zeros, kZeroBytesPerCore), most));
    // Without these, only the caller needs the counts.
    tiling.counts_apart = pairs > 0 && tiling.tokens_type >= 0 && tiling.capacity == 0 &&
                          tiling.gives_order == 0 && cores < device.vector_cores;
    cores += tiling.counts_apart;
  }
  tiling.expert_pitch = Pitch(tiling.experts);
  tiling.tile_experts = std::min(tiling.expert_pitch, kMaxTileExperts);
  if (tiling.is_shared != 0) {
    const int64_t most = kMaxTableBytes / 4 / cores / kList * kList;
    tiling.tile_experts = std::min(tiling.tile_experts, std::max(most, kList));
  }
  const int64_t sorted = tiling.is_shared != 0 ? Ceil(pairs, cores) : pairs;
  tiling.chunk = std::max(kList, std::min(RoundUp(sorted, kList), kMaxChunk));
  return static_cast<uint32_t>(cores);
}

}  // namespace

int64_t MoeInitRoutingWorkspaceBytes(const MoeInitRoutingArgs& args, const DeviceInfo& device) {
  if (args.experts < 0 || args.experts > kMaxExperts) return 0;  // which the plan refuses
  int64_t pairs = 1;
  for (int i = 0; i < args.expert_idx.dims; ++i) pairs *= args.expert_idx.shape[i];
  return pairs > kMaxPairsOfAll ? 2 * device.vector_cores * Pitch(args.experts) * 4 : 0;
}

MoeInitRoutingPlan PlanMoeInitRouting(const MoeInitRoutingArgs& args, const DeviceInfo& device) {
  constexpr Checks checks("moe_init_routing");
  checks.Dense(args.x, "x", 2, "[tokens, H]");
  const int64_t bytes = ElementBytes(args.x.type);
  checks.Moved(args.x, "x");
  const int64_t tokens = args.x.shape[0];
  const int64_t size = args.x.shape[1];
  checks.Dense(args.expert_idx, "expert_idx", 2, "[tokens, k]");
  checks.Size(args.expert_idx, "expert_idx", 0, tokens, "x has rows:");
  VLLM_CANN_REQUIRE(
      checks, args.expert_idx.type == DataType::kInt32 || args.expert_idx.type == DataType::kInt64,
      std::string("expert_idx is ") + Name(args.expert_idx.type) + ", not int32 or int64");
  const int64_t k = args.expert_idx.shape[1];
  const int64_t pairs = tokens * k;
  VLLM_CANN_REQUIRE(checks, size > 0, "x has rows of " + Text(size) + " elements");
  VLLM_CANN_REQUIRE(checks, k > 0, "expert_idx has " + Text(k) + " experts for a token");
  VLLM_CANN_REQUIRE(checks, pairs <= kMaxPlaces,
                    "expert_idx has " + Text(pairs) + " entries; the limit is " + Text(kMaxPlaces));
  VLLM_CANN_REQUIRE(
      checks, args.experts >= 0 && args.experts <= kMaxExperts,
      "the range of experts has " + Text(args.experts) + "; it can have 0 to " + Text(kMaxExperts));
  VLLM_CANN_REQUIRE(checks, args.first_expert >= 0 && args.first_expert <= kMaxPlaces,
                    "the range of experts begins at " + Text(args.first_expert) +
                        "; it can begin at 0 to " + Text(kMaxPlaces));
  VLLM_CANN_REQUIRE(checks, args.quant_mode >= -1 && args.quant_mode <= 1,
                    "quant_mode is " + Text(args.quant_mode) + "; it can be -1, 0 or 1");
  VLLM_CANN_REQUIRE(checks, args.row_idx_type == 0 || args.row_idx_type == 1,
                    "row_idx_type is " + Text(args.row_idx_type) + "; it can be 0 or 1");
  VLLM_CANN_REQUIRE(
      checks,
      args.capacity >= 0 && args.capacity * std::max<int64_t>(args.experts, 1) <= kMaxPlaces,
      "capacity is " + Text(args.capacity) + " rows for each of " + Text(args.experts) +
          " experts; all of them have to be at most " + Text(kMaxPlaces));
  VLLM_CANN_REQUIRE(checks, args.capacity == 0 || args.row_idx_type == 0,
                    "row_idx_type is 1 beside a capacity, with which only the place of each pair "
                    "(row_idx_type 0) is given");
  const bool quantises = args.quant_mode >= 0;
  if (quantises) {
    checks.Floats(args.x, "x");
    VLLM_CANN_REQUIRE(checks, size <= kMaxQuantised,
                      "x has rows of " + Text(size) + " elements; quantised ones can have " +
                          Text(kMaxQuantised));
  }
  const Tensor expanded = checks.AsRows(args.expanded_x, "expanded_x", 2, "[rows, H]");
  const int64_t rows = expanded.shape[0];
  checks.Type(args.expanded_x, "expanded_x", quantises ? DataType::kInt8 : args.x.type);
  checks.Size(expanded, "expanded_x", 1, size, "rows of x have");
  if (args.capacity > 0) {
    checks.Size(expanded, "expanded_x", 0, args.capacity * args.experts, "capacity * experts is");
  } else {
    VLLM_CANN_REQUIRE(
        checks, rows <= pairs,
        "expanded_x has " + Text(rows) + " rows for the " + Text(pairs) + " entries of expert_idx");
  }
  VLLM_CANN_REQUIRE(checks, (args.row_idx.dims != 0) == (args.expanded_expert_idx.dims != 0),
                    "row_idx and expanded_expert_idx go together: one of them is absent");
  CheckOutputs(checks, args, pairs, args.experts);
  CheckScales(checks, args, rows);
  checks.Device(device);

  MoeInitRoutingPlan plan;
  MoeInitRoutingTiling& tiling = plan.tiling;
  tiling.tokens = tokens;
  tiling.k = k;
  tiling.pairs = pairs;
  tiling.row_elements = size;
  tiling.row_bytes = size * bytes;
  tiling.index_bytes = ElementBytes(args.expert_idx.type);
  tiling.first_expert = args.first_expert;
  tiling.experts = args.experts;
  tiling.out_rows = rows;
  tiling.capacity = args.capacity;
  tiling.by_row_idx = args.row_idx.dims != 0 ? 1 : 0;
  tiling.gives_order = args.row_idx_type;
  tiling.tokens_type = args.expert_tokens.dims != 0 ? args.tokens_type : -1;
  tiling.has_scale = args.scale.dims != 0 ? 1 : 0;
  tiling.quant_mode = args.quant_mode;
  if (pairs == 0 && tiling.tokens_type < 0 && args.capacity == 0) return plan;
  plan.kernel = !quantises                          ? "moe_init_routing"
                : args.x.type == DataType::kFloat   ? "moe_init_routing_quant_float"
                : args.x.type == DataType::kFloat16 ? "moe_init_routing_quant_half"
                                                    : "moe_init_routing_quant_bfloat16";
  plan.cores = Divide(tiling, device);
  if (tiling.is_shared != 0) {
    const int64_t words = MoeInitRoutingWorkspaceBytes(args, device) / 4;
    checks.Dense(args.workspace, "workspace", 1, "[words]");
    checks.Type(args.workspace, "workspace", DataType::kInt32);
    VLLM_CANN_REQUIRE(checks, args.workspace.shape[0] >= words,
                      "workspace has " + Text(args.workspace.shape[0]) + " words, " + Text(words) +
                          " are needed");
  }
  const int64_t budget = device.ub_bytes - kReservedUbBytes;
  const int64_t used = MoeInitRoutingUbBytes(tiling, plan.cores);
  const int64_t needed = used + (quantises ? 0 : 2 * kBlockBytes);
  if (needed > budget) {
    Refuse("moe_init_routing: rows of " + Text(size) + " elements and " + Text(args.experts) +
           " experts take " + Text(needed) + " bytes of UB, and " + device.soc_name + " offers " +
           Text(budget));
  }
  // Factors of experts make rows differ.
  const bool has_factors = MoeInitRoutingHasFactors(tiling);
  const int64_t moving = plan.cores - tiling.counts_apart;
  tiling.shares_row = quantises && tokens == 1 && tiling.is_shared == 0 && !has_factors &&
                              moving <= Ceil(size, kLanes)
                          ? 1
                          : 0;
  tiling.batch = 1;
  if (!quantises) {
    tiling.buffer_bytes =
        std::min((budget - used) / 2 / kBlockBytes * kBlockBytes, kMaxBufferBytes);
    // Less than the rows that a copy can have.
    const int64_t pitch = RoundUp(tiling.row_bytes, kBlockBytes);
    if (tiling.by_row_idx == 0) tiling.batch = std::max<int64_t>(1, tiling.buffer_bytes / pitch);
  }
  return plan;
}

using Args = MoeInitRoutingArgs;
[[maybe_unused]] const bool kDeclared =
    Declare("moe_init_routing", "moe", &PlanMoeInitRouting,
            {{"x", &Args::x},
             {"expert_idx", &Args::expert_idx},
             {"row_idx", &Args::row_idx},
             {"scale", &Args::scale},
             {"offset", &Args::offset},
             {"expanded_x", &Args::expanded_x},
             {"expanded_row_idx", &Args::expanded_row_idx},
             {"expanded_expert_idx", &Args::expanded_expert_idx},
             {"expert_tokens", &Args::expert_tokens},
             {"expanded_scale", &Args::expanded_scale},
             {"workspace", &Args::workspace}},
            {{"first_expert", &Args::first_expert},
             {"experts", &Args::experts},
             {"capacity", &Args::capacity},
             {"row_idx_type", &Args::row_idx_type},
             {"tokens_type", &Args::tokens_type},
             {"quant_mode", &Args::quant_mode}},
            &MoeInitRoutingWorkspaceBytes);

}  // namespace vllm_cann::ops
