// cc/kernels/cache/slot_mapping_test.cc: the kernel against the formula in 64-bit integers.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode.
#include "cc/ops/cache/slot_mapping.h"

#include <algorithm>
#include <random>

#include "cc/kernels/conformance.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using softnpu::ascendc::KernelError;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;
using softnpu::ascendc::testing::With;
using ::testing::HasSubstr;
using vllm_cann::kernels::CaseName;
using vllm_cann::kernels::RunConformance;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::PlanSlotMapping;
using vllm_cann::ops::SlotMappingArgs;
using vllm_cann::ops::SlotMappingPlan;
using vllm_cann::ops::Tensor;

struct Case {
  std::vector<int64_t> lengths = {5};
  std::vector<int64_t> starts;  // first position of each request; empty: 0
  bool shuffled = false;        // positions of a request in any order
  int64_t more = 0;             // elements of slot_mapping behind the tokens
  int64_t width = 20;
  int64_t block_size = 16;
  int64_t world_size = 1;
  int64_t rank = 0;
  int64_t interleave = 1;
  bool is_circular = false;
  DataType position_type = DataType::kInt64;
  DataType slot_type = DataType::kInt64;
  int64_t ub_bytes = 196608;
  int64_t vector_cores = 40;
};

std::string Check(const Case& test, std::vector<int64_t> positions = {}) {
  std::mt19937 random(4);
  HostMemory memory;
  const bool given = !positions.empty();
  std::vector<int32_t> starts = {0};
  for (size_t i = 0; i < test.lengths.size(); ++i) {
    starts.push_back(starts.back() + static_cast<int32_t>(test.lengths[i]));
    if (given) continue;
    std::vector<int64_t> own;
    for (int64_t j = 0; j < test.lengths[i]; ++j) {
      own.push_back(j + (test.starts.empty() ? 0 : test.starts[i]));
    }
    if (test.shuffled) std::shuffle(own.begin(), own.end(), random);
    positions.insert(positions.end(), own.begin(), own.end());
  }
  const int64_t tokens = starts.back();
  const auto requests = static_cast<int64_t>(test.lengths.size());
  std::vector<int32_t> table(static_cast<size_t>(requests * test.width));
  for (int32_t& block : table) block = static_cast<int32_t>(random() % 100000);

  const auto put = [&](const std::vector<int64_t>& values, DataType type,
                       const char* name) -> Tensor {
    const uintptr_t address =
        type == DataType::kInt32
            ? memory.Put(std::vector<int32_t>(values.begin(), values.end()), name)
            : memory.Put(values, name);
    return {type, 1, {static_cast<int64_t>(values.size())}, {1}, address};
  };
  SlotMappingArgs args;
  args.query_start_loc =
      put(std::vector<int64_t>(starts.begin(), starts.end()), DataType::kInt32, "query_start_loc");
  args.positions = put(positions, test.position_type, "positions");
  args.block_table = {DataType::kInt32,
                      2,
                      {requests, test.width},
                      {test.width, 1},
                      memory.Put(table, "block_table")};
  args.slot_mapping = put(std::vector<int64_t>(static_cast<size_t>(tokens + test.more), 77),
                          test.slot_type, "slot_mapping");
  args.tokens = tokens;
  args.block_size = test.block_size;
  args.world_size = test.world_size;
  args.rank = test.rank;
  args.interleave = test.interleave;
  args.is_circular = test.is_circular;
  args.pad_id = -1;
  const SlotMappingPlan plan =
      PlanSlotMapping(args, DeviceInfo{"Ascend910B3", 2201, test.vector_cores, test.ub_bytes});
  if (tokens + test.more == 0) return plan.cores == 0 ? "" : "no slots launch something";
  const softnpu::Profile chip = With(Chip910B(), test.vector_cores, test.ub_bytes);
  static const Twin twin("cc/kernels/cache/cache.twin.so");
  const Slots slots(args.query_start_loc.address, args.positions.address, args.block_table.address,
                    args.slot_mapping.address, plan.tiling);
  softnpu::ascendc::Launch(chip, memory, twin["slot_mapping"], slots.data(), slots.bytes(),
                           plan.cores, true);
  std::vector<int64_t> got;
  if (test.slot_type == DataType::kInt32) {
    const auto narrow = memory.Get<int32_t>(args.slot_mapping.address);
    got.assign(narrow.begin(), narrow.end());
  } else {
    got = memory.Get<int64_t>(args.slot_mapping.address);
  }
  for (int64_t t = 0; t < tokens + test.more; ++t) {
    int64_t want = -1;
    if (t < tokens) {
      size_t i = 0;
      while (starts[i + 1] <= t) ++i;
      const int64_t p = positions[static_cast<size_t>(t)];
      const int64_t span = test.block_size * test.world_size;
      const int64_t o = p % span;
      const int64_t column = test.is_circular ? 0 : p / span;
      const int64_t block =
          table[i * static_cast<size_t>(test.width) + static_cast<size_t>(column)];
      if (p >= 0 && o / test.interleave % test.world_size == test.rank) {
        want = block * test.block_size + o / (test.interleave * test.world_size) * test.interleave +
               o % test.interleave;
      }
    }
    if (got[static_cast<size_t>(t)] != want) {
      return "slot " + std::to_string(got[static_cast<size_t>(t)]) + " of token " +
             std::to_string(t) + " should be " + std::to_string(want);
    }
  }
  return "";
}

TEST(SlotMapping, Conformance) {
  const std::vector<std::vector<int64_t>> lengths = {
      {}, {0}, {1}, {1, 1, 0, 1}, {7, 130, 1, 40}, {1000}, {23, 24, 25}, {4096, 3, 4000}};
  const std::vector<int64_t> starts = {0, 1, 127, 1000};
  const std::vector<int64_t> more = {0, 1, 100, 3000};
  const std::vector<int64_t> block_sizes = {16, 48, 128};
  // Ranks, this one, and neighbours that stay together; 0: a whole block. No ranks: circular.
  const std::vector<std::array<int64_t, 3>> parallel = {{1, 0, 1}, {2, 1, 2}, {4, 2, 1}, {4, 2, 0},
                                                        {3, 0, 2}, {1, 0, 8}, {0, 0, 1}};
  const std::vector<DataType> types = {DataType::kInt32, DataType::kInt64};
  const std::vector<int64_t> ub_bytes = {196608, 8192 + 60000};
  const std::vector<int64_t> cores = {40, 1, 3};
  const size_t ran = RunConformance<10>(
      "slot_mapping",
      {lengths.size(), starts.size(), 2, more.size(), block_sizes.size(), parallel.size(),
       types.size(), types.size(), ub_bytes.size(), cores.size()},
      [&](const auto& c) {
        Case test;
        test.lengths = lengths[c[0]];
        test.starts.assign(test.lengths.size(), starts[c[1]]);
        test.shuffled = c[2] == 1;
        test.more = more[c[3]];
        test.block_size = block_sizes[c[4]];
        test.world_size = std::max<int64_t>(parallel[c[5]][0], 1);
        test.is_circular = parallel[c[5]][0] == 0;
        if (test.is_circular) test.starts.assign(test.lengths.size(), -starts[c[1]]);
        test.rank = parallel[c[5]][1];
        test.interleave = parallel[c[5]][2] == 0 ? test.block_size : parallel[c[5]][2];
        test.width = 5100 / test.block_size + 1;
        test.position_type = types[c[6]];
        test.slot_type = types[c[7]];
        test.ub_bytes = ub_bytes[c[8]];
        test.vector_cores = cores[c[9]];
        return test;
      },
      [](const Case& test) {
        std::string text = "lengths";
        for (const int64_t length : test.lengths) text += " " + std::to_string(length);
        if (!test.starts.empty()) text += " from " + std::to_string(test.starts[0]);
        return CaseName{
            text + (test.shuffled ? " shuffled" : "") + (test.is_circular ? " circular" : "") +
                " more " + std::to_string(test.more) + " blocks of " +
                std::to_string(test.block_size) + " rank " + std::to_string(test.rank) + " of " +
                std::to_string(test.world_size) + " by " + std::to_string(test.interleave) +
                " positions " + Name(test.position_type) + " ub " + std::to_string(test.ub_bytes) +
                " cores " + std::to_string(test.vector_cores),
            Name(test.slot_type), "-"};
      },
      [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 42u);
}

TEST(SlotMapping, PositionsUpToTheLimit) {
  Case test;
  test.block_size = 128;
  test.width = (1 << 24) / 128;
  test.lengths = {40, 1};
  test.starts = {(1 << 24) - 40, (1 << 24) - 1};
  EXPECT_EQ(Check(test), "");
  test.block_size = 112;  // no power of two
  test.width = (1 << 24) / 112;
  test.starts = {int64_t{112} * test.width - 40, 0};
  EXPECT_EQ(Check(test), "");
}

TEST(SlotMapping, ManyRequestsOfFewTokens) {
  Case test;
  test.lengths.assign(100, 1);
  for (int64_t i = 0; i < 100; ++i) test.starts.push_back(3 * i);
  test.more = 5;
  for (const int64_t cores : {40, 1}) {
    test.vector_cores = cores;
    EXPECT_EQ(Check(test), "");
  }
}

TEST(SlotMapping, TrapsOutsideTheTable) {
  bool is_circular = false;
  const auto trap = [&](int64_t length, int64_t where, int64_t position) -> std::string {
    Case test;
    test.is_circular = is_circular;
    test.lengths = {length};
    std::vector<int64_t> positions(static_cast<size_t>(length), 5);
    positions[static_cast<size_t>(where)] = position;
    try {
      return Check(test, positions);
    } catch (const KernelError& error) {
      return error.where().instruction;
    }
  };
  for (const int64_t length : {3, 600}) {
    EXPECT_EQ(trap(length, 2, 319), "");
    EXPECT_EQ(trap(length, 2, 320), "Trap");
    EXPECT_EQ(trap(length, length - 1, 320), "Trap");
    EXPECT_EQ(trap(length, 0, -1), "Trap");
  }
  is_circular = true;
  for (const int64_t length : {3, 600}) {
    EXPECT_EQ(trap(length, 1, (1 << 24) - 1), "");
    EXPECT_EQ(trap(length, 1, 1 << 24), "Trap");
    EXPECT_EQ(trap(length, 1, -1), "");
    EXPECT_EQ(trap(length, 1, -(int64_t{1} << 31) - 1), "");
    EXPECT_EQ(trap(length, 1, -(int64_t{1} << 62)), "");
  }
}

TEST(SlotMapping, RefusesByName) {
  const auto refused = [](auto&& change, const char* sentence) {
    SlotMappingArgs args;
    args.query_start_loc = {DataType::kInt32, 1, {4}, {1}};
    args.positions = {DataType::kInt64, 1, {100}, {1}};
    args.block_table = {DataType::kInt32, 2, {3, 8}, {8, 1}};
    args.slot_mapping = {DataType::kInt64, 1, {100}, {1}};
    args.tokens = 50;
    args.block_size = 128;
    DeviceInfo device = {"Ascend910B3", 2201, 40, 196608};
    PlanSlotMapping(args, device);
    change(args, device);
    EXPECT_THAT([&] { PlanSlotMapping(args, device); },
                ::testing::ThrowsMessage<std::invalid_argument>(
                    HasSubstr(std::string("slot_mapping: ") + sentence)));
  };
  refused([](auto& a, auto&) { a.tokens = 101; }, "the number of tokens is 101; the limits are 0");
  refused([](auto& a, auto&) { a.block_size = 0; }, "block_size is 0; the limits are 1");
  refused([](auto& a, auto&) { a.world_size = 0; }, "world_size is 0; the limits are 1");
  refused([](auto& a, auto&) { a.rank = 1; }, "rank is 1; the limits are 0 and 0");
  refused([](auto& a, auto&) { a.interleave = 3; }, "interleave 3 does not divide block_size 128");
  refused([](auto& a, auto&) { a.interleave = 256; },
          "interleave is 256; the limits are 1 and 128");
  refused([](auto& a, auto&) { a.pad_id = int64_t{1} << 40; }, "pad_id is 1099511627776");
  refused([](auto& a, auto&) { a.query_start_loc.shape[0] = 5; }, "block_table has 3 rows for 4");
  refused([](auto& a, auto&) { a.query_start_loc.shape[0] = 0; },
          "query_start_loc has no elements");
  refused([](auto& a, auto&) { a.query_start_loc.type = DataType::kInt64; },
          "query_start_loc is int64, not int32");
  refused([](auto& a, auto&) { a.positions.type = DataType::kFloat; }, "positions is float32");
  refused([](auto& a, auto&) { a.block_table.shape[1] = a.block_table.strides[0] = 200000; },
          "block_table has 200000 blocks for 25600000 positions; the limit is 16777216");
  refused(
      [](auto& a, auto&) {
        a.is_circular = true;
        a.world_size = 2;
      },
      "circular blocks are those of one rank, and world_size is 2");
  refused(
      [](auto& a, auto&) {
        a.is_circular = true;
        a.block_table.shape[1] = a.block_table.strides[0] = 0;
      },
      "block_table has no blocks; a circular request has one");
  refused([](auto&, auto& d) { d = {"Ascend310P3", 2002, 8, 262144}; },
          "Ascend310P3 has no DataCopyPad");
  refused(
      [](auto& a, auto&) {
        a.query_start_loc.shape[0] = 60001;
        a.block_table.shape[0] = 60000;
      },
      "query_start_loc of 60000 requests takes 240032 bytes of UB");
}

}  // namespace
