// cc/kernels/cache/reshape_and_cache_test.cc: the kernel against a byte-for-byte reference.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode.
#include "cc/ops/cache/reshape_and_cache.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "cc/kernels/conformance.h"
#include "cc/kernels/values.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using softnpu::ascendc::testing::Chip310P;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;
using softnpu::ascendc::testing::With;
using vllm_cann::kernels::CaseName;
using vllm_cann::kernels::Drawn;
using vllm_cann::kernels::FillBytes;
using vllm_cann::kernels::RunConformance;
using vllm_cann::ops::CacheLayout;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::ElementBytes;
using vllm_cann::ops::PlanReshapeAndCache;
using vllm_cann::ops::ReshapeAndCacheArgs;
using vllm_cann::ops::ReshapeAndCachePlan;

const Twin& CacheTwin() {
  static const Twin twin("cc/kernels/cache/cache.twin.so");
  return twin;
}

struct Case {
  int64_t tokens = 7;
  int64_t heads = 2;
  int64_t key_size = 128;
  int64_t value_size = 128;  // 0: keys only
  int64_t num_blocks = 8;
  int64_t block_size = 16;
  DataType type = DataType::kFloat16;
  DataType slot_type = DataType::kInt64;
  int64_t token_gap = 0;  // elements between the rows of tokens
  int64_t block_gap = 0;  // elements between cache blocks
  int64_t ub_bytes = 196608;
  int64_t vector_cores = 40;
  std::vector<int64_t> slots;
  CacheLayout layout = CacheLayout::kNd;
  bool old = false;  // a chip without DataCopyPad
};

DeviceInfo DeviceOf(const Case& test) {
  return test.old ? DeviceInfo{"Ascend310P3", 2002, 8, 262144}
                  : DeviceInfo{"Ascend910B3", 2201, test.vector_cores, test.ub_bytes};
}

struct Side {
  std::vector<uint8_t> rows, before;
  uintptr_t rows_address = 0, cache_address = 0;
  int64_t row_bytes = 0, token_stride = 0, block_stride = 0;
};

Side MakeSide(HostMemory& memory, const Case& test, int64_t size, const std::string& name,
              std::mt19937& random) {
  Side side;
  const int64_t bytes = ElementBytes(test.type);
  side.row_bytes = test.heads * size * bytes;
  side.token_stride = side.row_bytes + test.token_gap * bytes;
  side.block_stride = test.block_size * side.row_bytes + test.block_gap * bytes;
  const auto fill = [&](int64_t count) {
    std::vector<uint8_t> out(static_cast<size_t>(std::max<int64_t>(count, 0)));
    FillBytes(out, random);
    return out;
  };
  // Exactly as many bytes as the last row needs: one more is out of bounds.
  side.rows = fill((test.tokens - 1) * side.token_stride + side.row_bytes);
  side.before = fill((test.num_blocks - 1) * side.block_stride + test.block_size * side.row_bytes);
  side.rows_address = memory.Put(side.rows, name);
  side.cache_address = memory.Put(side.before, name + "_cache");
  return side;
}

// [N, B, H, D], [N, H, B, D] or [N, H * D / n, B, n].
std::vector<int64_t> ShapeOf(const Case& test, int64_t size) {
  const int64_t n = 32 / ElementBytes(test.type);
  switch (test.layout) {
    case CacheLayout::kHnd:
      return {test.num_blocks, test.heads, test.block_size, size};
    case CacheLayout::kNz:
      return {test.num_blocks, test.heads * size / n, test.block_size, n};
    default:
      return {test.num_blocks, test.block_size, test.heads, size};
  }
}

void Describe(const Case& test, const Side& side, int64_t size, vllm_cann::ops::Tensor& rows,
              vllm_cann::ops::Tensor& cache) {
  const int64_t bytes = ElementBytes(test.type);
  rows = {test.type,
          3,
          {test.tokens, test.heads, size},
          {side.token_stride / bytes, size, 1},
          side.rows_address};
  const std::vector<int64_t> shape = ShapeOf(test, size);
  cache = {test.type,
           4,
           {shape[0], shape[1], shape[2], shape[3]},
           {side.block_stride / bytes, shape[2] * shape[3], shape[3], 1},
           side.cache_address};
}

// Element by element, as the layouts are defined.
std::string CheckSide(const Case& test, const Side& side, int64_t size, const HostMemory& memory) {
  const int64_t bytes = ElementBytes(test.type);
  const int64_t n = 32 / bytes;
  std::vector<uint8_t> want = side.before;
  for (int64_t t = 0; t < test.tokens; ++t) {
    const int64_t slot = test.slots[static_cast<size_t>(t)];
    if (slot < 0 || slot >= test.num_blocks * test.block_size) continue;
    const int64_t block = slot / test.block_size, place = slot % test.block_size;
    for (int64_t h = 0; h < test.heads; ++h) {
      for (int64_t c = 0; c < size; ++c) {
        const int64_t e = h * size + c;
        int64_t element = 0;
        switch (test.layout) {
          case CacheLayout::kHnd:
            element = (h * test.block_size + place) * size + c;
            break;
          case CacheLayout::kNz:
            element = (e / n * test.block_size + place) * n + e % n;
            break;
          default:
            element = (place * test.heads + h) * size + c;
        }
        std::copy_n(side.rows.begin() + t * side.token_stride + e * bytes, bytes,
                    want.begin() + block * side.block_stride + element * bytes);
      }
    }
  }
  const std::vector<uint8_t> got = memory.Get<uint8_t>(side.cache_address);
  if (got == want) return "";
  const auto found = std::mismatch(got.begin(), got.end(), want.begin()).first;
  return "byte " + std::to_string(found - got.begin()) + " of the cache for heads of " +
         std::to_string(size);
}

// What is wrong, or nothing.
std::string Check(const Case& test, bool strict = true) {
  std::mt19937 random(1);
  HostMemory memory;
  const Side key = MakeSide(memory, test, test.key_size, "key", random);
  Side value;
  ReshapeAndCacheArgs args;
  args.layout = test.layout;
  Describe(test, key, test.key_size, args.key, args.key_cache);
  if (test.value_size > 0) {
    value = MakeSide(memory, test, test.value_size, "value", random);
    Describe(test, value, test.value_size, args.value, args.value_cache);
  }
  uintptr_t slots = 0;
  if (test.slot_type == DataType::kInt32) {
    slots = memory.Put(std::vector<int32_t>(test.slots.begin(), test.slots.end()), "slot_mapping");
  } else {
    slots = memory.Put(test.slots, "slot_mapping");
  }
  args.slot_mapping = {test.slot_type, 1, {test.tokens}, {1}, slots};
  const DeviceInfo device = DeviceOf(test);
  const ReshapeAndCachePlan plan = PlanReshapeAndCache(args, device);
  if (test.tokens == 0) return plan.cores == 0 ? "" : "no tokens launch something";
  if (plan.cores > device.vector_cores) return std::to_string(plan.cores) + " cores";
  const Slots packed(args.key.address, args.value.address, args.key_cache.address,
                     args.value_cache.address, slots, plan.tiling);
  const softnpu::Profile chip =
      With(test.old ? Chip310P() : Chip910B(), device.vector_cores, device.ub_bytes);
  softnpu::ascendc::Launch(chip, memory, CacheTwin()["reshape_and_cache"], packed.data(),
                           packed.bytes(), plan.cores, strict);
  std::string wrong = CheckSide(test, key, test.key_size, memory);
  if (wrong.empty() && test.value_size > 0) {
    wrong = CheckSide(test, value, test.value_size, memory);
  }
  return wrong;
}

std::vector<int64_t> SlotPattern(size_t pattern, int64_t tokens, int64_t slots) {
  std::mt19937 random(static_cast<uint32_t>(pattern) + 5);
  std::vector<int64_t> all(static_cast<size_t>(slots));
  std::iota(all.begin(), all.end(), 0);
  if (pattern != 0) std::shuffle(all.begin(), all.end(), random);
  all.resize(static_cast<size_t>(tokens), -1);  // more tokens than slots: the rest is padding
  const auto set = [&](int64_t t, int64_t slot) {
    if (t >= 0 && t < tokens) all[static_cast<size_t>(t)] = slot;
  };
  switch (pattern) {
    case 2:  // padding first
      set(0, -1);
      break;
    case 3:  // padding in the middle and last
      set(tokens / 2, -1);
      set(tokens - 1, -7);
      break;
    case 4:  // nothing but padding
      std::fill(all.begin(), all.end(), -1);
      break;
    case 5: {  // the last slot of the last block
      std::replace(all.begin(), all.end(), slots - 1, int64_t{-1});
      set(tokens / 3, slots - 1);
      break;
    }
    case 6:  // just outside, and far outside
      set(0, slots);
      set(tokens - 1, int64_t{1} << 30);
      break;
    default:  // 0: neighbours in order; 1: shuffled
      break;
  }
  return all;
}

TEST(ReshapeAndCache, Conformance) {
  const std::vector<CacheLayout> layouts = {CacheLayout::kNd, CacheLayout::kHnd, CacheLayout::kNz};
  const std::vector<int64_t> tokens = {0, 1, 7, 128, 1000};
  const std::vector<int64_t> blocks = {4, 9, 64};
  const std::vector<int64_t> block_sizes = {16, 32, 128};
  const std::vector<int64_t> heads = {1, 2, 4, 8};
  const std::vector<std::pair<int64_t, int64_t>> sizes = {{64, 64},  {128, 128}, {192, 128},
                                                          {512, 64}, {576, 0},   {80, 7}};
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kInt8,
                                       DataType::kFloat};
  const std::vector<DataType> slot_types = {DataType::kInt32, DataType::kInt64};
  const std::vector<int64_t> gaps = {0, 64, 33};
  // The usual UB, one that holds few rows, one that holds few parts, and a chip without padding.
  const std::vector<int64_t> ub_bytes = {196608, 8192 + 4096 + 1024, 8192 + 1024, 0};
  const std::vector<int64_t> cores = {40, 1, 3};
  constexpr size_t kPatterns = 7;
  const size_t ran = RunConformance<12>(
      "reshape_and_cache",
      {layouts.size(), tokens.size(), Drawn(blocks.size()), block_sizes.size(), heads.size(),
       sizes.size(), types.size(), slot_types.size(), Drawn(gaps.size()), Drawn(ub_bytes.size()),
       Drawn(cores.size()), kPatterns},
      [&](const auto& c) {
        Case test;
        test.layout = layouts[c[0]];
        test.tokens = tokens[c[1]];
        test.num_blocks = blocks[c[2]];
        test.block_size = block_sizes[c[3]];
        test.heads = heads[c[4]];
        test.key_size = sizes[c[5]].first;
        test.value_size = sizes[c[5]].second;
        test.type = types[c[6]];
        test.slot_type = slot_types[c[7]];
        test.token_gap = gaps[c[8]];
        test.block_gap = gaps[c[8]];
        test.old = ub_bytes[c[9]] == 0;
        if (!test.old) test.ub_bytes = ub_bytes[c[9]];
        if (test.ub_bytes < 16384) test.tokens = std::min<int64_t>(test.tokens, 128);
        test.vector_cores = cores[c[10]];
        // What a layout or a chip does not take; that it is refused by name is tested elsewhere.
        if (test.layout == CacheLayout::kNz && test.value_size == 7) test.value_size = 80;
        if (test.layout == CacheLayout::kNz && test.type == DataType::kInt8) {
          test.heads = std::max<int64_t>(test.heads, 2);
        }
        if (test.old) {
          if (test.value_size == 7) test.value_size = 96;
          if (test.key_size == 80 && test.type == DataType::kInt8) test.key_size = 96;
          if (test.token_gap == 33) test.token_gap = 32;
        }
        test.slots = SlotPattern(c[11], test.tokens, test.num_blocks * test.block_size);
        return test;
      },
      [](const Case& test) {
        const char* const names[] = {"ND", "HND", "NZ"};
        std::string slots;
        for (size_t i = 0; i < std::min<size_t>(test.slots.size(), 4); ++i) {
          slots += " " + std::to_string(test.slots[i]);
        }
        return CaseName{
            "tokens " + std::to_string(test.tokens) + " blocks " + std::to_string(test.num_blocks) +
                " of " + std::to_string(test.block_size) + " heads " + std::to_string(test.heads) +
                " sizes " + std::to_string(test.key_size) + "/" + std::to_string(test.value_size) +
                " slots " + Name(test.slot_type) + slots + " gap " +
                std::to_string(test.token_gap) +
                (test.old ? " 310P"
                          : " ub " + std::to_string(test.ub_bytes) + " cores " +
                                std::to_string(test.vector_cores)),
            Name(test.type), names[static_cast<int>(test.layout)]};
      },
      [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 42u);
}

TEST(ReshapeAndCache, GoldenSlots) {
  Case test;
  test.tokens = 3;
  test.slots = {0, -1, 3};
  EXPECT_EQ(Check(test), "");
  test.slots = {-1, -1, -1};
  EXPECT_EQ(Check(test), "");
}

TEST(ReshapeAndCache, RunOfSlotsEndsWithItsBlock) {
  Case test;  // neighbouring slots on one core, with a hole between the blocks of the cache
  test.tokens = 40;
  test.vector_cores = 1;
  test.block_gap = 64;
  test.slots.resize(40);
  std::iota(test.slots.begin(), test.slots.end(), 5);
  EXPECT_EQ(Check(test), "");
}

TEST(ReshapeAndCache, TokensMayShareTheirRow) {
  Case test;  // as in an expanded tensor: the token stride is 0, so a copy has a negative gap
  test.tokens = 5;
  test.value_size = test.key_size;
  test.vector_cores = 1;  // several tokens for a core
  test.token_gap = -test.heads * test.key_size;
  test.slots = {9, 3, 4, 12, 0};
  EXPECT_EQ(Check(test), "");
}

TEST(ReshapeAndCache, LargestCase) {
  Case test;
  test.tokens = 8192;
  test.heads = 8;
  test.num_blocks = 64;
  test.block_size = 128;
  test.slots = SlotPattern(1, test.tokens, 64 * 128);
  EXPECT_EQ(Check(test), "");
}

TEST(ReshapeAndCache, RowLargerThanTheUb) {
  Case test;
  test.tokens = 3;
  test.heads = 128;
  test.key_size = 1025;  // 262400 bytes of fp16, not a multiple of 32... of any piece
  test.value_size = 512;
  test.num_blocks = 2;
  test.slots = {17, -1, 4};
  EXPECT_EQ(Check(test), "");
}

TEST(ReshapeAndCache, MoreSlotsThanASmallUbHolds) {
  Case test;
  test.tokens = 128;
  test.vector_cores = 1;
  test.ub_bytes = 9216;
  test.slots = SlotPattern(1, test.tokens, test.num_blocks * test.block_size);
  EXPECT_EQ(Check(test), "");
}

TEST(ReshapeAndCache, ResultDoesNotDependOnStrict) {
  Case test;
  test.tokens = 128;
  test.slots = SlotPattern(3, 128, 128);
  EXPECT_EQ(Check(test, false), "");
}

TEST(ReshapeAndCache, MoreTokensThanABatchOfSlots) {
  Case test;
  test.tokens = 1300;  // on one core: three batches of at most 512 slots
  test.vector_cores = 1;
  test.heads = 1;
  test.key_size = 8;
  test.value_size = 8;
  test.num_blocks = 100;
  test.slots = SlotPattern(1, test.tokens, 1600);
  EXPECT_EQ(Check(test), "");
}

TEST(ReshapeAndCache, RefusedOn310PWithoutWholeBlocks) {
  Case test;
  test.old = true;
  test.value_size = 0;
  test.slots = SlotPattern(0, 7, 128);
  const auto refused = [&](const char* sentence) {
    EXPECT_THAT([&] { Check(test); },
                ::testing::ThrowsMessage<std::invalid_argument>(::testing::HasSubstr(sentence)));
  };
  test.heads = 1;
  test.key_size = 72;
  refused("Ascend310P3 has no DataCopyPad, so what lies together of key in the cache");
  test.key_size = 64;
  EXPECT_EQ(Check(test), "");
  test.token_gap = 8;
  refused("the tokens of key have to be whole blocks of 32 bytes apart, not 144 bytes");
}

TEST(Twin, NamesTheKernelsLine) {
  const SoftnpuKernelEntry& entry = CacheTwin()["reshape_and_cache"];
  EXPECT_STREQ(entry.file, "cc/kernels/cache/reshape_and_cache.cpp");
  EXPECT_GT(entry.line, 100u);
  EXPECT_EQ(entry.param_count, 5u + sizeof(ReshapeAndCacheTiling) / 8);
}

}  // namespace
