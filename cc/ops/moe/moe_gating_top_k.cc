// cc/ops/moe/moe_gating_top_k.cc: checks the arguments and fits tiles into the UB.
#include "cc/ops/moe/moe_gating_top_k.h"

#include <algorithm>

#include "cc/ops/checks.h"

namespace vllm_cann::ops {
namespace {

constexpr int64_t kMaxExperts = 2048;
constexpr int64_t kMaxRows = 1 << 24;  // row numbers and offsets stay far inside of 32 bits
constexpr int64_t kList = 32;          // what Sort32 sorts
constexpr int64_t kFanIn = 4;          // lists that a merge takes
constexpr int64_t kLanes = 64;
constexpr int64_t kMaxRepeat = 255;
constexpr int64_t kMaxPitch = kMaxRepeat * kBlockBytes / 4;  // floats between repeats
// Fewer places per core, or rows of few places, gain less than another core costs.
constexpr int64_t kPlacesPerCore = 768;
constexpr int64_t kRowsPerCore = 16;

// What merges need: the kernel's Merge is the other side.
struct Buffers {
  int64_t record_bytes;
  int64_t list_bytes;
};

void AddMerges(int64_t units, int64_t of, int64_t& length, int64_t keep, Buffers& buffers) {
  while (of > 1) {
    const int64_t kept = std::min(length, keep);
    const int64_t bytes = units * RoundUp(of, kFanIn) * kept * 8;
    buffers.list_bytes = std::max(buffers.list_bytes, bytes);
    buffers.record_bytes = std::max(buffers.record_bytes, bytes);
    length = kFanIn * kept;
    of = Ceil(of, kFanIn);
  }
}

// What merges write and read, and what sorted lists of groups come to.
void PlanMerges(MoeGatingTopKTiling& tiling) {
  const int64_t rows = tiling.rows_per_tile;
  const int64_t tile = RoundUp(rows * tiling.width, kLanes) * 4;
  const int64_t keep = tiling.kept_records;
  // The logits are where records will be; softplus needs two more tiles for a while, and bits.
  Buffers buffers = {std::max(rows * tiling.sort_width * 8, tiling.norm_type == 2 ? 3 * tile : 0),
                     RoundUp(rows * tiling.width, kLanes * 8) / 8};
  int64_t length = kList;
  AddMerges(rows * tiling.groups, tiling.sort_pitch / kList, length, keep, buffers);
  if (tiling.groups > 1) {
    // Behind sort_pitch there are pads only.
    length = std::min({length, keep, tiling.sort_pitch});
    tiling.list_records = length = length > kList ? RoundUp(length, kList) : length;
    tiling.kept_lists = rows * tiling.kept_groups;
    // A row that is alone may hold NaN, which lets all its groups be kept. Longer lists are
    // gathered where those of all groups were merged.
    if (length <= kList) tiling.kept_lists = std::max(tiling.kept_lists, tiling.groups);
    AddMerges(rows, tiling.kept_groups, length, keep, buffers);
  }
  tiling.record_bytes = buffers.record_bytes;
  tiling.list_bytes = buffers.list_bytes;
}

}  // namespace

MoeGatingTopKPlan PlanMoeGatingTopK(const MoeGatingTopKArgs& args, const DeviceInfo& device) {
  constexpr Checks checks("moe_gating_top_k");
  const Tensor x = checks.AsRows(args.x, "x", 1, "[.., experts]");
  checks.Floats(args.x, "x");
  const int64_t rows = x.shape[0];
  const int64_t experts = x.shape[1];
  VLLM_CANN_REQUIRE(checks, experts >= 1 && experts <= kMaxExperts,
                    "x has " + Text(experts) + " experts; the limit is " + Text(kMaxExperts));
  VLLM_CANN_REQUIRE(checks, rows <= kMaxRows,
                    "x has " + Text(rows) + " rows; the limit is " + Text(kMaxRows));
  const int64_t groups = args.group_count;
  VLLM_CANN_REQUIRE(checks, groups >= 1 && experts % groups == 0,
                    "x has " + Text(experts) + " experts, which are no " + Text(groups) +
                        " groups of equal size (group_count)");
  const int64_t size = experts / groups;
  const int64_t places = RoundUp(size, kList) * groups;
  VLLM_CANN_REQUIRE(checks, groups == 1 || size > 2,
                    "a group has " + Text(size) + " of the " + Text(experts) +
                        " experts of x; it needs more than 2");
  VLLM_CANN_REQUIRE(checks, places <= kMaxExperts,
                    Text(groups) + " groups of " + Text(size) + " experts take " + Text(places) +
                        " places, at multiples of " + Text(kList) + "; the limit is " +
                        Text(kMaxExperts));
  VLLM_CANN_REQUIRE(
      checks, args.k_group >= 1 && args.k_group <= groups,
      "k_group is " + Text(args.k_group) + "; it can be 1 to group_count, " + Text(groups));
  VLLM_CANN_REQUIRE(checks, args.k >= 1 && args.k <= size * args.k_group,
                    "k is " + Text(args.k) + "; it can be 1 to the " + Text(size * args.k_group) +
                        " experts of " + Text(args.k_group) + " groups (k_group)");
  VLLM_CANN_REQUIRE(checks, args.group_select_mode == 0 || args.group_select_mode == 1,
                    "group_select_mode is " + Text(args.group_select_mode) + "; it can be 0 or 1");
  VLLM_CANN_REQUIRE(checks, args.renorm == 0 || args.renorm == 1,
                    "renorm is " + Text(args.renorm) + "; it can be 0 or 1");
  VLLM_CANN_REQUIRE(checks, args.norm_type >= 0 && args.norm_type <= 2,
                    "norm_type is " + Text(args.norm_type) + "; it can be 0, 1 or 2");
  const bool has_bias = args.bias.dims != 0;
  const bool has_finished = args.finished.dims != 0;
  const bool has_row_idx = args.row_idx.dims != 0;
  const bool has_norm_out = args.norm_out.dims != 0;
  if (has_bias) {
    checks.Dense(args.bias, "bias", 1, "[experts]");
    checks.Size(args.bias, "bias", 0, experts, "x has experts:");
    checks.Type(args.bias, "bias", args.x.type);
  }
  if (has_finished) {
    checks.Leading(args.finished, "finished", args.x, "x");
    checks.Type(args.finished, "finished", DataType::kBool);
  }
  const auto chosen = [&](const Tensor& tensor, const char* name, DataType type) {
    const Tensor chosen = checks.AsRows(tensor, name, 1, "[.., k]");
    checks.Size(chosen, name, 0, rows, "x has rows:");
    checks.Size(chosen, name, 1, args.k, "k is");
    checks.Type(tensor, name, type);
  };
  chosen(args.y, "y", args.x.type);
  chosen(args.expert_idx, "expert_idx", DataType::kInt32);
  if (has_row_idx) {
    chosen(args.row_idx, "row_idx", DataType::kInt32);
    VLLM_CANN_REQUIRE(
        checks, rows * RoundUp(args.k, 8) <= INT32_MAX,
        "row_idx numbers " + Text(rows) + " rows of " + Text(args.k) + "; they have to fit int32");
  }
  if (has_norm_out) {
    const Tensor scores = checks.AsRows(args.norm_out, "norm_out", 1, "[.., experts]");
    checks.Size(scores, "norm_out", 0, rows, "x has rows:");
    checks.Size(scores, "norm_out", 1, experts, "x has experts:");
    checks.Type(args.norm_out, "norm_out", DataType::kFloat);
  }
  checks.Device(device);

  MoeGatingTopKPlan plan;
  if (rows == 0) return plan;
  plan.kernel = args.x.type == DataType::kFloat     ? "moe_gating_top_k_float"
                : args.x.type == DataType::kFloat16 ? "moe_gating_top_k_half"
                                                    : "moe_gating_top_k_bfloat16";
  MoeGatingTopKTiling& tiling = plan.tiling;
  tiling.rows = rows;
  tiling.experts = experts;
  tiling.k = args.k;
  // Groups that are all kept are one.
  tiling.groups = args.k_group < groups ? groups : 1;
  tiling.kept_groups = args.k_group < groups ? args.k_group : 1;
  tiling.group_size = experts / tiling.groups;
  tiling.score_pitch =
      tiling.group_size % 8 == 0 ? tiling.group_size : RoundUp(tiling.group_size, 16);
  tiling.sort_pitch = RoundUp(tiling.group_size, kList);
  tiling.width = tiling.score_pitch * tiling.groups;
  tiling.sort_width = tiling.sort_pitch * tiling.groups;
  tiling.sums_top_two = args.group_select_mode;
  tiling.norm_type = args.norm_type;
  tiling.renormalise = args.norm_type == 1 || args.renorm == 1 ? 1 : 0;
  tiling.has_bias = has_bias ? 1 : 0;
  tiling.has_finished = has_finished ? 1 : 0;
  tiling.has_row_idx = has_row_idx ? 1 : 0;
  tiling.has_norm_out = has_norm_out ? 1 : 0;
  tiling.kept_records = RoundUp(args.k, 8);
  tiling.groups_pitch = RoundUp(tiling.groups, 8);
  tiling.scale_bits = FloatBits(args.routed_scaling_factor);
  tiling.eps_bits = FloatBits(args.eps);

  const int64_t least = std::min(kRowsPerCore, Ceil(kPlacesPerCore, tiling.sort_width));
  plan.cores = static_cast<uint32_t>(std::min(Ceil(rows, least), device.vector_cores));
  const int64_t per_core = Ceil(rows, plan.cores);
  const int64_t bytes = ElementBytes(args.x.type);
  const int64_t budget = device.ub_bytes - kReservedUbBytes;
  // Repeats of one instruction: rows, groups, lists of 32.
  int64_t most =
      std::min({per_core, kMaxRepeat / tiling.groups, kMaxRepeat * kList / tiling.sort_width});
  if (tiling.width > kMaxPitch) most = 1;
  tiling.rows_per_tile = most;
  for (PlanMerges(tiling); MoeGatingTopKUbBytes(tiling, bytes) > budget; PlanMerges(tiling)) {
    if (tiling.rows_per_tile == 1) {
      Refuse("moe_gating_top_k: one row of " + Text(experts) + " experts takes " +
             Text(MoeGatingTopKUbBytes(tiling, bytes)) + " bytes of UB, and " + device.soc_name +
             " offers " + Text(budget));
    }
    --tiling.rows_per_tile;
  }
  // Tiles of a core are of one size as far as possible.
  tiling.rows_per_tile = Ceil(per_core, Ceil(per_core, tiling.rows_per_tile));
  PlanMerges(tiling);
  return plan;
}

using Args = MoeGatingTopKArgs;
[[maybe_unused]] const bool kDeclared =
    Declare("moe_gating_top_k", "moe", &PlanMoeGatingTopK,
            {{"x", &Args::x},
             {"bias", &Args::bias},
             {"finished", &Args::finished},
             {"y", &Args::y},
             {"expert_idx", &Args::expert_idx},
             {"row_idx", &Args::row_idx},
             {"norm_out", &Args::norm_out}},
            {{"k", &Args::k},
             {"k_group", &Args::k_group},
             {"group_count", &Args::group_count},
             {"group_select_mode", &Args::group_select_mode},
             {"renorm", &Args::renorm},
             {"norm_type", &Args::norm_type},
             {"routed_scaling_factor", &Args::routed_scaling_factor},
             {"eps", &Args::eps}});

}  // namespace vllm_cann::ops
