// cc/ops/cache/slot_mapping.cc: checks the arguments and sizes the buffers.
#include "cc/ops/cache/slot_mapping.h"

#include <algorithm>

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("slot_mapping");
constexpr int64_t kMaxBatch = 1024;
constexpr int64_t kMaxPosition = kSlotMappingPositions;
// Below this a core costs more than it saves.
constexpr int64_t kSlotsPerCore = 8;

void Indices(const Tensor& tensor, const char* name) {
  kChecks.Dense(tensor, name, 1, "one");
  VLLM_CANN_REQUIRE(kChecks, tensor.type == DataType::kInt32 || tensor.type == DataType::kInt64,
                    std::string(name) + " is " + Name(tensor.type) + ", not int32 or int64");
}

}  // namespace

SlotMappingPlan PlanSlotMapping(const SlotMappingArgs& args, const DeviceInfo& device) {
  kChecks.Dense(args.query_start_loc, "query_start_loc", 1, "[requests + 1]");
  kChecks.Type(args.query_start_loc, "query_start_loc", DataType::kInt32);
  Indices(args.positions, "positions");
  Indices(args.slot_mapping, "slot_mapping");
  kChecks.Dense(args.block_table, "block_table", 2, "[requests, blocks]");
  kChecks.Type(args.block_table, "block_table", DataType::kInt32);
  const auto within = [](int64_t value, int64_t least, int64_t most, const char* name) {
    VLLM_CANN_REQUIRE(kChecks, value >= least && value <= most,
                      std::string(name) + " is " + Text(value) + "; the limits are " + Text(least) +
                          " and " + Text(most));
  };
  SlotMappingPlan plan;
  plan.kernel = "slot_mapping";
  SlotMappingTiling& tiling = plan.tiling;
  tiling.slots = args.slot_mapping.shape[0];
  within(args.tokens, 0, std::min(args.positions.shape[0], tiling.slots), "the number of tokens");
  within(args.block_size, 1, kMaxPosition, "block_size");
  within(args.world_size, 1, kMaxPosition / args.block_size, "world_size");
  within(args.rank, 0, args.world_size - 1, "rank");
  within(args.interleave, 1, args.block_size, "interleave");
  VLLM_CANN_REQUIRE(kChecks, args.block_size % args.interleave == 0,
                    "interleave " + Text(args.interleave) + " does not divide block_size " +
                        Text(args.block_size));
  VLLM_CANN_REQUIRE(
      kChecks, !args.is_circular || args.world_size == 1,
      "circular blocks are those of one rank, and world_size is " + Text(args.world_size));
  within(args.pad_id, INT32_MIN, INT32_MAX, "pad_id");
  VLLM_CANN_REQUIRE(kChecks, args.query_start_loc.shape[0] >= 1, "query_start_loc has no elements");
  tiling.requests = args.query_start_loc.shape[0] - 1;
  VLLM_CANN_REQUIRE(kChecks, args.block_table.shape[0] >= tiling.requests,
                    "block_table has " + Text(args.block_table.shape[0]) + " rows for " +
                        Text(tiling.requests) + " requests");
  if (tiling.slots == 0) return plan;
  VLLM_CANN_REQUIRE(
      kChecks, device.npu_arch != kArch310P,
      device.soc_name + " has no DataCopyPad, which the kernel needs; it runs on Atlas A2 and A3");
  tiling.table_width = args.block_table.shape[1];
  VLLM_CANN_REQUIRE(kChecks, !args.is_circular || tiling.table_width > 0,
                    "block_table has no blocks; a circular request has one");
  const int64_t positions =
      (args.is_circular ? 1 : tiling.table_width) * args.block_size * args.world_size;
  VLLM_CANN_REQUIRE(kChecks, positions <= kMaxPosition,
                    "block_table has " + Text(tiling.table_width) + " blocks for " +
                        Text(positions) + " positions; the limit is " + Text(kMaxPosition));
  tiling.tokens = args.tokens;
  tiling.block_size = args.block_size;
  tiling.world_size = args.world_size;
  tiling.rank = args.rank;
  tiling.interleave = args.interleave;
  tiling.is_circular = args.is_circular ? 1 : 0;
  tiling.pad_id = args.pad_id;
  tiling.slot_bytes = ElementBytes(args.slot_mapping.type);
  tiling.position_bytes = ElementBytes(args.positions.type);
  plan.cores =
      static_cast<uint32_t>(std::min(Ceil(tiling.slots, kSlotsPerCore), device.vector_cores));
  tiling.batch = std::min(RoundUp(Ceil(tiling.slots, plan.cores), 16), kMaxBatch);
  const int64_t left = device.ub_bytes - kReservedUbBytes - SlotMappingUbBytes(tiling);
  VLLM_CANN_REQUIRE(kChecks, left >= 0,
                    "query_start_loc of " + Text(tiling.requests) + " requests takes " +
                        Text(SlotMappingBuffersOf(tiling).starts) + " bytes of UB, more than " +
                        device.soc_name +
                        " has beside the "
                        "buffers of a batch");
  const int64_t row = RoundUp(tiling.table_width * 4, kBlockBytes);
  tiling.row_blocks = !args.is_circular && row <= left ? row / 4 : 0;
  return plan;
}

using Args = SlotMappingArgs;
[[maybe_unused]] const bool kDeclared = Declare("slot_mapping", "cache", &PlanSlotMapping,
                                                {{"query_start_loc", &Args::query_start_loc},
                                                 {"positions", &Args::positions},
                                                 {"block_table", &Args::block_table},
                                                 {"slot_mapping", &Args::slot_mapping}},
                                                {{"num_tokens", &Args::tokens},
                                                 {"block_size", &Args::block_size},
                                                 {"world_size", &Args::world_size},
                                                 {"rank", &Args::rank},
                                                 {"interleave", &Args::interleave},
                                                 {"pad_id", &Args::pad_id},
                                                 {"is_circular", &Args::is_circular}});

}  // namespace vllm_cann::ops
