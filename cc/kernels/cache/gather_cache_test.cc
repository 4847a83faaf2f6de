// cc/kernels/cache/gather_cache_test.cc: the kernel against a reference element by element.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode. Bytes are
// moved, so all comparisons are exact.
#include "cc/ops/cache/gather_cache.h"

#include <algorithm>
#include <numeric>
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
using vllm_cann::kernels::Drawn;
using vllm_cann::kernels::FillBytes;
using vllm_cann::kernels::RunConformance;
using vllm_cann::ops::CacheLayout;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::ElementBytes;
using vllm_cann::ops::GatherCacheArgs;
using vllm_cann::ops::GatherCachePlan;
using vllm_cann::ops::PlanGatherCache;
using vllm_cann::ops::Tensor;

struct Case {
  CacheLayout layout = CacheLayout::kNd;
  std::vector<int32_t> lengths = {5};
  std::vector<int32_t> starts;  // empty: none
  bool cumulative = false;
  int64_t heads = 2;
  int64_t key_size = 64;
  int64_t value_size = 64;  // 0: keys only
  int64_t block_size = 16;
  int64_t num_blocks = 40;
  int64_t table_width = 12;
  int64_t block_gap = 0;   // elements between cache blocks
  int64_t extra_rows = 0;  // of the output, beyond the sum of lengths
  DataType type = DataType::kFloat16;
  int64_t ub_bytes = 196608;
  int64_t vector_cores = 40;
  bool old = false;  // a chip without DataCopyPad
};

struct Side {
  std::vector<uint8_t> cache, out;
  uintptr_t cache_address = 0, out_address = 0;
  int64_t block_stride = 0;
};

// Element (place, head, channel) of a block.
int64_t ElementOf(const Case& test, int64_t size, int64_t place, int64_t h, int64_t c) {
  const int64_t n = 32 / ElementBytes(test.type);
  const int64_t e = h * size + c;
  switch (test.layout) {
    case CacheLayout::kHnd:
      return (h * test.block_size + place) * size + c;
    case CacheLayout::kNz:
      return (e / n * test.block_size + place) * n + e % n;
    default:
      return (place * test.heads + h) * size + c;
  }
}

Side MakeSide(HostMemory& memory, const Case& test, int64_t size, int64_t rows, const char* name,
              std::mt19937& random, Tensor& cache, Tensor& out) {
  const int64_t bytes = ElementBytes(test.type);
  const int64_t n = 32 / bytes;
  const int64_t block = test.block_size * test.heads * size;
  Side side;
  side.block_stride = (block + test.block_gap) * bytes;
  side.cache.resize(static_cast<size_t>((test.num_blocks - 1) * side.block_stride + block * bytes));
  side.out.resize(static_cast<size_t>(rows * test.heads * size * bytes));
  FillBytes(side.cache, random);
  FillBytes(side.out, random);
  side.cache_address = memory.Put(side.cache, std::string(name) + "_cache");
  side.out_address = memory.Put(side.out, name);
  std::vector<int64_t> shape = {test.num_blocks, test.block_size, test.heads, size};
  if (test.layout == CacheLayout::kHnd) std::swap(shape[1], shape[2]);
  if (test.layout == CacheLayout::kNz) {
    shape = {test.num_blocks, test.heads * size / n, test.block_size, n};
  }
  cache = {test.type,
           4,
           {shape[0], shape[1], shape[2], shape[3]},
           {block + test.block_gap, shape[2] * shape[3], shape[3], 1},
           side.cache_address};
  out = {test.type, 3, {rows, test.heads, size}, {test.heads * size, size, 1}, side.out_address};
  return side;
}

std::string CheckSide(const Case& test, const Side& side, int64_t size,
                      const std::vector<int32_t>& table, const HostMemory& memory) {
  const int64_t bytes = ElementBytes(test.type);
  std::vector<uint8_t> want = side.out;
  int64_t row = 0;
  for (size_t i = 0; i < test.lengths.size(); ++i) {
    for (int64_t j = 0; j < test.lengths[i]; ++j, ++row) {
      const int64_t position = j + (test.starts.empty() ? 0 : test.starts[i]);
      const int64_t block = table[i * static_cast<size_t>(test.table_width) +
                                  static_cast<size_t>(position / test.block_size)];
      for (int64_t h = 0; h < test.heads; ++h) {
        for (int64_t c = 0; c < size; ++c) {
          std::copy_n(side.cache.begin() + block * side.block_stride +
                          ElementOf(test, size, position % test.block_size, h, c) * bytes,
                      bytes, want.begin() + ((row * test.heads + h) * size + c) * bytes);
        }
      }
    }
  }
  const std::vector<uint8_t> got = memory.Get<uint8_t>(side.out_address);
  if (got == want) return "";
  const auto found = std::mismatch(got.begin(), got.end(), want.begin()).first;
  return "byte " + std::to_string(found - got.begin()) + " of the rows for heads of " +
         std::to_string(size);
}

// What is wrong, or nothing. `table` is made of shuffled blocks unless it is given.
std::string Check(const Case& test, std::vector<int32_t> table = {}) {
  std::mt19937 random(3);
  HostMemory memory;
  int64_t rows = test.extra_rows;
  for (const int32_t length : test.lengths) rows += length;
  const auto requests = static_cast<int64_t>(test.lengths.size());
  GatherCacheArgs args;
  args.layout = test.layout;
  const Side key =
      MakeSide(memory, test, test.key_size, rows, "key", random, args.key_cache, args.key);
  Side value;
  if (test.value_size > 0) {
    value = MakeSide(memory, test, test.value_size, rows, "value", random, args.value_cache,
                     args.value);
  }
  if (table.empty()) {
    for (int64_t i = 0; i < requests * test.table_width; ++i) {
      table.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(test.num_blocks)));
    }
  }
  std::vector<int32_t> lengths = test.lengths;
  if (test.cumulative) {
    std::partial_sum(lengths.begin(), lengths.end(), lengths.begin());
    lengths.insert(lengths.begin(), 0);
  }
  const auto put = [&](const std::vector<int32_t>& values, const char* name) -> Tensor {
    return {
        DataType::kInt32, 1, {static_cast<int64_t>(values.size())}, {1}, memory.Put(values, name)};
  };
  args.block_table = {DataType::kInt32,
                      2,
                      {requests, test.table_width},
                      {test.table_width, 1},
                      memory.Put(table, "block_table")};
  args.seq_lens = put(lengths, "seq_lens");
  if (!test.starts.empty()) args.seq_starts = put(test.starts, "seq_starts");
  const DeviceInfo device = test.old
                                ? DeviceInfo{"Ascend310P3", 2002, 8, 262144}
                                : DeviceInfo{"Ascend910B3", 2201, test.vector_cores, test.ub_bytes};
  const GatherCachePlan plan = PlanGatherCache(args, device);
  if (rows == 0) return plan.cores == 0 ? "" : "no rows launch something";
  const softnpu::Profile chip =
      With(test.old ? Chip310P() : Chip910B(), device.vector_cores, device.ub_bytes);
  static const Twin twin("cc/kernels/cache/cache.twin.so");
  const Slots slots(args.key_cache.address, args.value_cache.address, args.block_table.address,
                    args.seq_lens.address, args.seq_starts.address, args.key.address,
                    args.value.address, plan.tiling);
  softnpu::ascendc::Launch(chip, memory, twin["gather_cache"], slots.data(), slots.bytes(),
                           plan.cores, true);
  std::string wrong = CheckSide(test, key, test.key_size, table, memory);
  if (wrong.empty() && test.value_size > 0) {
    wrong = CheckSide(test, value, test.value_size, table, memory);
  }
  return wrong;
}

TEST(GatherCache, Conformance) {
  const std::vector<CacheLayout> layouts = {CacheLayout::kNd, CacheLayout::kHnd, CacheLayout::kNz};
  const std::vector<std::vector<int32_t>> lengths = {{0},           {1},    {127, 0, 1}, {128},
                                                     {1, 129, 128}, {1000}, {0, 1000, 3}};
  const std::vector<int32_t> starts = {-1, 0, 128, 256, 37};  // -1: none
  const std::vector<int64_t> block_sizes = {16, 32, 128};
  const std::vector<int64_t> heads = {1, 2, 4, 8};
  const std::vector<int64_t> blocks = {40, 4, 64};
  const std::vector<std::pair<int64_t, int64_t>> sizes = {{64, 64},  {128, 128}, {192, 128},
                                                          {512, 64}, {576, 0},   {80, 7}};
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kInt8,
                                       DataType::kFloat};
  const std::vector<int64_t> gaps = {0, 64, 33};
  // The usual UB, one that holds few rows, one that holds few parts, and a chip without padding.
  const std::vector<int64_t> ub_bytes = {196608, 8192 + 4096 + 1024, 8192 + 5120, 0};
  const std::vector<int64_t> cores = {40, 1, 3};
  const std::vector<int64_t> extra = {0, 9};
  const size_t ran = RunConformance<13>(
      "gather_cache",
      {layouts.size(), lengths.size(), starts.size(), 2, block_sizes.size(), heads.size(),
       sizes.size(), types.size(), Drawn(gaps.size()), Drawn(ub_bytes.size()), Drawn(cores.size()),
       Drawn(extra.size()), Drawn(blocks.size())},
      [&](const auto& c) {
        Case test;
        test.layout = layouts[c[0]];
        test.lengths = lengths[c[1]];
        if (starts[c[2]] >= 0) test.starts.assign(test.lengths.size(), starts[c[2]]);
        test.cumulative = c[3] == 1;
        test.block_size = block_sizes[c[4]];
        test.table_width = 1256 / test.block_size + 1;
        test.heads = heads[c[5]];
        test.key_size = sizes[c[6]].first;
        test.value_size = sizes[c[6]].second;
        test.type = types[c[7]];
        test.block_gap = gaps[c[8]];
        test.old = ub_bytes[c[9]] == 0;
        if (!test.old) test.ub_bytes = ub_bytes[c[9]];
        test.vector_cores = cores[c[10]];
        test.extra_rows = extra[c[11]];
        test.num_blocks = blocks[c[12]];
        // What a layout or a chip does not take; that it is refused by name is tested elsewhere.
        if ((test.layout == CacheLayout::kNz || test.old) && test.value_size == 7) {
          test.value_size = 96;
        }
        if ((test.layout == CacheLayout::kNz || test.old) && test.key_size == 80) {
          test.key_size = 96;
        }
        return test;
      },
      [](const Case& test) {
        const char* const names[] = {"ND", "HND", "NZ"};
        std::string text = "lengths";
        for (const int32_t length : test.lengths) text += " " + std::to_string(length);
        if (!test.starts.empty()) text += " from " + std::to_string(test.starts[0]);
        return CaseName{
            text + (test.cumulative ? " sums" : "") + " of " + std::to_string(test.num_blocks) +
                " blocks of " + std::to_string(test.block_size) + " heads " +
                std::to_string(test.heads) + " sizes " + std::to_string(test.key_size) + "/" +
                std::to_string(test.value_size) + " gap " + std::to_string(test.block_gap) +
                " more " + std::to_string(test.extra_rows) +
                (test.old ? " 310P"
                          : " ub " + std::to_string(test.ub_bytes) + " cores " +
                                std::to_string(test.vector_cores)),
            Name(test.type), names[static_cast<int>(test.layout)]};
      },
      [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 42u);
}

TEST(GatherCache, TokensLargerThanTheUb) {
  Case test;
  test.lengths = {3, 2};
  test.starts = {15, 0};
  test.key_size = 40000;  // 160000 bytes a token
  test.value_size = 4096;
  test.num_blocks = 5;
  test.table_width = 2;
  EXPECT_EQ(Check(test), "");
  test.layout = CacheLayout::kNz;
  EXPECT_EQ(Check(test), "");
}

TEST(GatherCache, TrapsOutsideTheTableAndTheCache) {
  Case test;
  test.lengths = {20};
  test.table_width = 2;
  const auto trap = [&](std::vector<int32_t> table) -> std::string {
    try {
      Check(test, std::move(table));
    } catch (const KernelError& error) {
      return error.where().instruction;
    }
    return "no error";
  };
  EXPECT_EQ(trap({3, 39}), "no error");
  EXPECT_EQ(trap({3, 40}), "Trap");
  EXPECT_EQ(trap({-1, 4}), "Trap");
  test.starts = {16};
  EXPECT_EQ(trap({3, 4}), "Trap");
  test.starts = {-1};
  EXPECT_EQ(trap({3, 4}), "Trap");
}

TEST(GatherCache, RefusesByName) {
  const auto refused = [](auto&& change, const char* sentence) {
    GatherCacheArgs args;
    args.key_cache = {DataType::kFloat16, 4, {4, 16, 2, 64}, {2048, 128, 64, 1}};
    args.value_cache = args.key_cache;
    args.block_table = {DataType::kInt32, 2, {3, 8}, {8, 1}};
    args.seq_lens = {DataType::kInt32, 1, {3}, {1}};
    args.key = {DataType::kFloat16, 3, {100, 2, 64}, {128, 64, 1}};
    args.value = args.key;
    const DeviceInfo device = {"Ascend910B3", 2201, 40, 196608};
    PlanGatherCache(args, device);
    change(args);
    EXPECT_THAT([&] { PlanGatherCache(args, device); },
                ::testing::ThrowsMessage<std::invalid_argument>(
                    HasSubstr(std::string("gather_cache: ") + sentence)));
  };
  refused([](auto& a) { a.block_table.type = DataType::kInt64; },
          "block_table is int64, not int32");
  refused([](auto& a) { a.block_table.strides[0] = 9; }, "block_table has stride 9 in dimension 0");
  refused([](auto& a) { a.block_table.shape[1] = a.block_table.strides[0] = 0; },
          "block_table has no blocks for a request");
  refused([](auto& a) { a.seq_lens.shape[0] = 5; }, "seq_lens has 5 elements for 3 requests");
  refused([](auto& a) { a.seq_starts = {DataType::kInt32, 1, {4}, {1}}; },
          "seq_starts has 4 in dimension 0, requests are 3");
  refused([](auto& a) { a.key.type = DataType::kFloat; },
          "key_cache is float16, but key is float32");
  refused([](auto& a) { a.key.type = a.key_cache.type = DataType::kInt64; },
          "key is int64; it can");
  refused([](auto& a) { a.key.strides[0] = 256; }, "key has stride 256 in dimension 0");
  refused([](auto& a) { a.key_cache.shape[3] = 32; }, "key_cache has the shape [4, 16, 2, 32]");
  refused([](auto& a) { a.value.shape[0] = 99; }, "value has 99 in dimension 0, the rows of key");
  refused([](auto& a) { a.value_cache.shape[0] = 3; }, "value_cache has 3 blocks of 16, key_cache");
  refused([](auto& a) { a.layout = static_cast<CacheLayout>(3); }, "the layout 3 is unknown");
  refused([](auto& a) { a.key_cache.shape[0] = a.value_cache.shape[0] = 0; },
          "key_cache has 0 blocks of 16 slots");
  refused(
      [](auto& a) {
        a.block_table.shape[0] = 50000;
        a.seq_lens.shape[0] = 50000;
      },
      "the lengths of 50000 requests and two buffers of 32 bytes are more than the UB");
}

}  // namespace
