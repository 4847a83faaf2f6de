// cc/kernels/cache/transpose_kv_cache_test.cc: the kernels against gather, transpose and scatter.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode. Bytes are
// moved, so all comparisons are exact.
#include "cc/ops/cache/transpose_kv_cache.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "cc/kernels/conformance.h"
#include "cc/kernels/values.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using softnpu::ascendc::KernelError;
using softnpu::ascendc::Launch;
using softnpu::ascendc::LaunchOptions;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;
using softnpu::ascendc::testing::With;
using ::testing::HasSubstr;
using vllm_cann::kernels::CaseName;
using vllm_cann::kernels::FillBytes;
using vllm_cann::kernels::RunConformance;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::ElementBytes;
using vllm_cann::ops::PlanTransposeKvCache;
using vllm_cann::ops::TransposeKvCacheArgs;
using vllm_cann::ops::TransposeKvCachePlan;

enum class Ids : uint8_t { kRandom, kSingle, kNone, kAll };

struct Case {
  int64_t splits = 2;
  int64_t heads = 4;
  int64_t head_size = 64;
  int64_t block_size = 16;
  int64_t num_blocks = 7;
  int64_t layers = 1;
  int64_t block_gap = 0;  // elements between blocks
  DataType type = DataType::kFloat16;
  Ids ids = Ids::kRandom;
  int64_t ub_bytes = 196608;
  int64_t vector_cores = 40;
  uint64_t seed = 0;
};

std::vector<int64_t> IdsOf(const Case& test) {
  std::vector<int64_t> ids(static_cast<size_t>(test.num_blocks));
  std::iota(ids.begin(), ids.end(), 0);
  std::shuffle(ids.begin(), ids.end(), std::mt19937(5));
  if (test.ids == Ids::kNone) ids.clear();
  if (test.ids == Ids::kSingle) ids = {test.num_blocks - 1};
  if (test.ids == Ids::kRandom) ids.resize(ids.size() / 2);
  return ids;
}

TransposeKvCacheArgs ArgsOf(const Case& test, uintptr_t table, uintptr_t ids, int64_t count) {
  TransposeKvCacheArgs args;
  args.caches = {DataType::kInt64, 2, {2 * test.layers, 2}, {2, 1}, table};
  args.block_ids = {DataType::kInt64, 1, {count}, {1}, ids};
  args.element_bytes = ElementBytes(test.type);
  args.num_blocks = test.num_blocks;
  args.block_size = test.block_size;
  args.heads = test.heads;
  args.head_size = test.head_size;
  args.splits = test.splits;
  return args;
}

// Element (s, b, h, d) of [S, B, H/S, D] to (b, s, h, d), one by one.
void Transpose(const Case& test, const uint8_t* from, uint8_t* to) {
  const int64_t inner = test.heads / test.splits;
  const int64_t bytes = ElementBytes(test.type);
  for (int64_t s = 0; s < test.splits; ++s) {
    for (int64_t b = 0; b < test.block_size; ++b) {
      for (int64_t h = 0; h < inner; ++h) {
        for (int64_t d = 0; d < test.head_size; ++d) {
          const int64_t source = ((s * test.block_size + b) * inner + h) * test.head_size + d;
          const int64_t target = ((b * test.splits + s) * inner + h) * test.head_size + d;
          std::copy_n(from + source * bytes, bytes, to + target * bytes);
        }
      }
    }
  }
}

struct Outcome {
  TransposeKvCachePlan plan;
  std::vector<std::vector<uint8_t>> before, after;  // of each cache
  std::vector<int64_t> ids;
  int64_t block_bytes = 0;
  int64_t stride_bytes = 0;
};

// The caches hold `before`, or anything.
Outcome Execute(const Case& test, const std::vector<int64_t>& ids,
                const std::vector<std::vector<uint8_t>>& before = {}) {
  static const Twin twin("cc/kernels/cache/cache.twin.so");
  Outcome run;
  run.ids = ids;
  const int64_t bytes = ElementBytes(test.type);
  run.block_bytes = test.block_size * test.heads * test.head_size * bytes;
  run.stride_bytes = run.block_bytes + test.block_gap * bytes;
  HostMemory memory;
  std::mt19937 random(11);
  std::vector<int64_t> table;
  std::vector<uintptr_t> addresses;
  for (int64_t i = 0; i < 2 * test.layers; ++i) {
    std::vector<uint8_t> cache(
        static_cast<size_t>((test.num_blocks - 1) * run.stride_bytes + run.block_bytes));
    FillBytes(cache, random);
    if (!before.empty()) cache = before[static_cast<size_t>(i)];
    addresses.push_back(memory.Put(cache, "cache " + std::to_string(i)));
    table.push_back(static_cast<int64_t>(addresses.back()));
    table.push_back(run.stride_bytes);
    run.before.push_back(std::move(cache));
  }
  const uintptr_t ids_address = memory.Put(ids, "block_ids");
  const uintptr_t table_address = memory.Put(table, "caches");
  run.plan = PlanTransposeKvCache(
      ArgsOf(test, table_address, ids_address, static_cast<int64_t>(ids.size())),
      DeviceInfo{"Ascend910B3", 2201, test.vector_cores, test.ub_bytes});
  if (run.plan.cores > 0) {
    const softnpu::Profile chip = With(Chip910B(), test.vector_cores, test.ub_bytes);
    const Slots slots(table_address, ids_address, run.plan.tiling);
    LaunchOptions options;
    options.seed = test.seed;
    Launch(chip, memory, twin[run.plan.kernel], slots.data(), slots.bytes(), run.plan.cores,
           options);
  }
  for (const uintptr_t address : addresses) run.after.push_back(memory.Get<uint8_t>(address));
  return run;
}

std::string Check(const Case& test) {
  const Outcome run = Execute(test, IdsOf(test));
  for (size_t i = 0; i < run.before.size(); ++i) {
    std::vector<uint8_t> want = run.before[i];
    for (const int64_t id : run.ids) {
      Transpose(test, run.before[i].data() + id * run.stride_bytes,
                want.data() + id * run.stride_bytes);
    }
    if (run.after[i] == want) continue;
    const auto [found, wanted] =
        std::mismatch(run.after[i].begin(), run.after[i].end(), want.begin());
    return "byte " + std::to_string(wanted - want.begin()) + " of cache " + std::to_string(i);
  }
  return "";
}

bool Fits(const Case& test) {
  try {
    PlanTransposeKvCache(ArgsOf(test, 0, 0, static_cast<int64_t>(IdsOf(test).size())),
                         DeviceInfo{"Ascend910B3", 2201, test.vector_cores, test.ub_bytes});
  } catch (const std::invalid_argument&) {
    return false;
  }
  return true;
}

TEST(TransposeKvCache, Conformance) {
  const std::vector<int64_t> splits = {1, 2, 4, 8, 3}, heads = {8, 4}, sizes = {64, 128, 20},
                             blocks = {16, 128}, layers = {1, 16}, gaps = {0, 64},
                             ub = {196608, 8192 + 16384}, cores = {40, 3};
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kInt8,
                                       DataType::kFloat};
  const std::vector<Ids> ids = {Ids::kRandom, Ids::kSingle, Ids::kNone, Ids::kAll};
  const size_t ran = RunConformance<10>(
      "transpose_kv_cache",
      {splits.size(), heads.size(), sizes.size(), blocks.size(), layers.size(), gaps.size(),
       ub.size(), cores.size(), types.size(), ids.size()},
      [&](const auto& c) {
        Case test;
        test.splits = splits[c[0]];
        test.heads = (heads[c[1]] + test.splits - 1) / test.splits * test.splits;
        test.head_size = sizes[c[2]];
        test.block_size = blocks[c[3]];
        test.layers = layers[c[4]];
        test.block_gap = gaps[c[5]];
        test.ub_bytes = ub[c[6]];
        test.vector_cores = cores[c[7]];
        test.type = types[c[8]];
        test.ids = ids[c[9]];
        // What few or small cores cannot hold is refused by name, which the plan's test shows.
        if (!Fits(test)) test.ub_bytes = 196608;
        if (!Fits(test)) test.vector_cores = 40;
        return test;
      },
      [](const Case& test) {
        return CaseName{"S " + std::to_string(test.splits) + " H " + std::to_string(test.heads) +
                            " D " + std::to_string(test.head_size) + " B " +
                            std::to_string(test.block_size) + " layers " +
                            std::to_string(test.layers) + " gap " + std::to_string(test.block_gap) +
                            " ub " + std::to_string(test.ub_bytes) + " cores " +
                            std::to_string(test.vector_cores) + " ids " +
                            std::to_string(static_cast<int>(test.ids)),
                        Name(test.type), "ND"};
      },
      [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 16u);
}

TEST(TransposeKvCache, SharesLargeBlocksBetweenCoresInAnyOrder) {
  Case test;  // 256 KiB a block: three cores each, in rounds
  test.heads = 8;
  test.head_size = 128;
  test.block_size = 128;
  test.layers = 4;
  test.vector_cores = 7;
  test.ids = Ids::kAll;
  for (test.seed = 0; test.seed < 4; ++test.seed) {
    const Outcome run = Execute(test, IdsOf(test));
    EXPECT_STREQ(run.plan.kernel, "transpose_kv_cache_shared");
    EXPECT_EQ(run.plan.tiling.pieces, 3);
    EXPECT_EQ(run.plan.cores, 6u);
    EXPECT_EQ(Check(test), "");
  }
}

TEST(TransposeKvCache, FewBlocksAreSharedByIdleCores) {
  Case test;
  test.heads = 8;
  test.head_size = 128;
  test.block_size = 128;
  test.ids = Ids::kSingle;
  const Outcome run = Execute(test, IdsOf(test));
  EXPECT_EQ(run.plan.tiling.pieces, 16);
  EXPECT_EQ(run.plan.cores, 32u);
  EXPECT_EQ(Check(test), "");
}

TEST(TransposeKvCache, KeepsTheValuesOfEachBlock) {
  Case test;
  test.head_size = 20;
  const Outcome run = Execute(test, {3, 0});
  for (size_t i = 0; i < run.before.size(); ++i) {
    for (int64_t block = 0; block < test.num_blocks; ++block) {
      const auto sorted = [&](const std::vector<uint8_t>& cache) {
        const auto* const first =
            reinterpret_cast<const uint16_t*>(cache.data() + block * run.stride_bytes);
        std::vector<uint16_t> values(first, first + run.block_bytes / 2);
        std::sort(values.begin(), values.end());
        return values;
      };
      EXPECT_EQ(sorted(run.before[i]), sorted(run.after[i]));
    }
  }
  EXPECT_NE(run.before[0], run.after[0]);
}

// [S, B, x] to [B, S, x] is undone by taking B for S: the same memory is [B, S, x] then.
TEST(TransposeKvCache, InversePermutationRestores) {
  for (const int64_t splits : {2, 3, 4, 12}) {
    Case test;
    test.splits = splits;
    test.heads = 12;
    const Outcome there = Execute(test, {0, 5});
    EXPECT_NE(there.after, there.before);
    Case back = test;
    back.block_size = splits;
    back.splits = back.heads = test.block_size;
    back.head_size = test.heads / splits * test.head_size;
    EXPECT_EQ(Execute(back, {0, 5}, there.after).after, there.before) << splits;
  }
}

TEST(TransposeKvCache, IdOutsideTheCacheTrapsBeforeItsBlock) {
  for (const int64_t id : {int64_t{7}, int64_t{-1}, int64_t{1} << 40}) {
    try {
      Execute(Case{}, {id});
      ADD_FAILURE() << id << " went unnoticed";
    } catch (const KernelError& error) {
      EXPECT_EQ(error.where().instruction, "Trap") << error.what();
      EXPECT_THAT(error.where().file, HasSubstr("transpose_kv_cache.cpp"));
    }
  }
}

TEST(TransposeKvCache, SameIdTwiceIsARace) { EXPECT_THROW(Execute(Case{}, {3, 3}), KernelError); }

TEST(TransposeKvCache, NothingToDoLaunchesNothing) {
  Case test;
  test.splits = 1;
  EXPECT_EQ(Execute(test, {0, 1}).plan.cores, 0u);
  test.splits = 2;
  EXPECT_EQ(Execute(test, {}).plan.cores, 0u);
  test.layers = 0;
  EXPECT_EQ(Execute(test, {0, 1}).plan.cores, 0u);
}

}  // namespace
