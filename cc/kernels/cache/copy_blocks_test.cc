// cc/kernels/cache/copy_blocks_test.cc: the kernel against copies by the host.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode. Bytes are
// moved, so all comparisons are exact.
#include "cc/ops/cache/copy_blocks.h"

#include <algorithm>
#include <random>

#include "cc/kernels/conformance.h"
#include "cc/kernels/values.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using softnpu::ascendc::KernelError;
using softnpu::ascendc::testing::Chip310P;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;
using softnpu::ascendc::testing::With;
using ::testing::HasSubstr;
using vllm_cann::kernels::CaseName;
using vllm_cann::kernels::FillBytes;
using vllm_cann::kernels::RunConformance;
using vllm_cann::ops::CopyBlocksArgs;
using vllm_cann::ops::CopyBlocksPlan;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::PlanCopyBlocks;

struct Case {
  std::vector<int64_t> block_bytes = {1024};  // of each cache
  std::vector<int64_t> pairs = {0, 3};        // source, destination, source, ...
  int64_t num_blocks = 9;
  int64_t gap = 0;  // bytes between blocks
  int64_t ub_bytes = 196608;
  int64_t vector_cores = 40;
  bool old = false;
};

std::string Check(const Case& test) {
  std::mt19937 random(7);
  HostMemory memory;
  std::vector<std::vector<uint8_t>> before;
  std::vector<uintptr_t> addresses;
  std::vector<int64_t> table;
  CopyBlocksArgs args;
  for (const int64_t bytes : test.block_bytes) {
    std::vector<uint8_t> cache(
        static_cast<size_t>((test.num_blocks - 1) * (bytes + test.gap) + bytes));
    FillBytes(cache, random);
    addresses.push_back(memory.Put(cache, "cache " + std::to_string(before.size())));
    before.push_back(std::move(cache));
    table.insert(table.end(), {static_cast<int64_t>(addresses.back()), bytes + test.gap, bytes});
    args.largest_block_bytes = std::max(args.largest_block_bytes, bytes);
    args.whole_blocks = args.whole_blocks && bytes % 32 == 0;
  }
  const auto count = static_cast<int64_t>(test.block_bytes.size());
  args.num_blocks = test.num_blocks;
  args.caches = {DataType::kInt64, 2, {count, 3}, {3, 1}, memory.Put(table, "caches")};
  args.mapping = {DataType::kInt64,
                  2,
                  {static_cast<int64_t>(test.pairs.size()) / 2, 2},
                  {2, 1},
                  memory.Put(test.pairs, "mapping")};
  const DeviceInfo device = test.old
                                ? DeviceInfo{"Ascend310P3", 2002, 8, 262144}
                                : DeviceInfo{"Ascend910B3", 2201, test.vector_cores, test.ub_bytes};
  const CopyBlocksPlan plan = PlanCopyBlocks(args, device);
  if (test.pairs.empty()) return plan.cores == 0 ? "" : "no pairs launch something";
  const softnpu::Profile chip =
      With(test.old ? Chip310P() : Chip910B(), device.vector_cores, device.ub_bytes);
  static const Twin twin("cc/kernels/cache/cache.twin.so");
  const Slots slots(args.caches.address, args.mapping.address, plan.tiling);
  softnpu::ascendc::Launch(chip, memory, twin["copy_blocks"], slots.data(), slots.bytes(),
                           plan.cores, true);
  for (size_t i = 0; i < before.size(); ++i) {
    const int64_t bytes = test.block_bytes[i];
    std::vector<uint8_t> want = before[i];
    for (size_t p = 0; p < test.pairs.size(); p += 2) {
      std::copy_n(before[i].begin() + test.pairs[p] * (bytes + test.gap), bytes,
                  want.begin() + test.pairs[p + 1] * (bytes + test.gap));
    }
    if (memory.Get<uint8_t>(addresses[i]) != want) return "cache " + std::to_string(i);
  }
  return "";
}

TEST(CopyBlocks, Conformance) {
  const std::vector<std::vector<int64_t>> block_bytes = {
      {1024}, {32}, {131072, 131072}, {147456, 16384, 147456, 16384}, {7, 1000, 70001}};
  const std::vector<std::vector<int64_t>> pairs = {
      {}, {0, 8}, {8, 0, 2, 1}, {4, 0, 4, 1, 4, 2, 5, 8, 6, 3}};
  const std::vector<int64_t> gaps = {0, 64, 3};
  const std::vector<int64_t> ub_bytes = {196608, 8192 + 20000, 0};
  const std::vector<int64_t> cores = {40, 1, 3};
  const size_t ran = RunConformance<5>(
      "copy_blocks", {block_bytes.size(), pairs.size(), gaps.size(), ub_bytes.size(), cores.size()},
      [&](const auto& c) {
        Case test;
        test.block_bytes = block_bytes[c[0]];
        test.pairs = pairs[c[1]];
        test.gap = gaps[c[2]];
        test.old = ub_bytes[c[3]] == 0;
        if (test.old && c[0] == 4) test.block_bytes = {96, 1024};
        if (!test.old) test.ub_bytes = ub_bytes[c[3]];
        test.vector_cores = cores[c[4]];
        return test;
      },
      [](const Case& test) {
        std::string text = "blocks of";
        for (const int64_t bytes : test.block_bytes) text += " " + std::to_string(bytes);
        return CaseName{text + " pairs " + std::to_string(test.pairs.size() / 2) + " gap " +
                            std::to_string(test.gap) +
                            (test.old ? " 310P"
                                      : " ub " + std::to_string(test.ub_bytes) + " cores " +
                                            std::to_string(test.vector_cores)),
                        "bytes", "any"};
      },
      [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 20u);
}

TEST(CopyBlocks, TrapsOutsideTheCache) {
  for (const std::vector<int64_t>& pairs : {std::vector<int64_t>{0, 9}, {9, 0}, {-1, 0}, {0, -1}}) {
    Case test;
    test.pairs = pairs;
    try {
      Check(test);
      ADD_FAILURE() << pairs[0] << " to " << pairs[1] << " went unnoticed";
    } catch (const KernelError& error) {
      EXPECT_EQ(error.where().instruction, "Trap") << error.what();
    }
  }
}

TEST(CopyBlocks, DestinationThatIsASourceIsARace) {
  Case test;
  test.pairs = {0, 1, 1, 2};
  EXPECT_THROW(Check(test), KernelError);
}

TEST(CopyBlocks, RefusesByName) {
  const auto refused = [](auto&& change, const char* sentence) {
    CopyBlocksArgs args;
    args.caches = {DataType::kInt64, 2, {4, 3}, {3, 1}};
    args.mapping = {DataType::kInt64, 2, {5, 2}, {2, 1}};
    args.num_blocks = 8;
    args.largest_block_bytes = 4096;
    DeviceInfo device = {"Ascend910B3", 2201, 40, 196608};
    PlanCopyBlocks(args, device);
    change(args, device);
    EXPECT_THAT([&] { PlanCopyBlocks(args, device); },
                ::testing::ThrowsMessage<std::invalid_argument>(
                    HasSubstr(std::string("copy_blocks: ") + sentence)));
  };
  refused([](auto& a, auto&) { a.caches.shape[1] = a.caches.strides[0] = 2; },
          "caches has 2 in dimension 1, address, stride and bytes are 3");
  refused([](auto& a, auto&) { a.mapping.type = DataType::kInt32; }, "mapping is int32, not int64");
  refused([](auto& a, auto&) { a.mapping.dims = 1; }, "mapping has 1 dimensions, not [pairs, 2]");
  refused([](auto& a, auto&) { a.num_blocks = 0; }, "the caches have no blocks");
  refused([](auto& a, auto&) { a.largest_block_bytes = 0; }, "a block has 0 bytes");
  refused(
      [](auto& a, auto& d) {
        a.whole_blocks = false;
        d = {"Ascend310P3", 2002, 8, 262144};
      },
      "Ascend310P3 has no DataCopyPad, so cache blocks have to be whole blocks of 32 bytes");
}

}  // namespace
