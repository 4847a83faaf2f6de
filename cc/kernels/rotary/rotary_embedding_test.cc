// cc/kernels/rotary/rotary_embedding_test.cc: the kernels against double precision, with a bound.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode. For inputs
// that are rounded already, an output may be wrong by half its last place and by 2^-21 of the sum
// of the products' magnitudes. Everything outside the rotary part has to stay as it is, bit for
// bit.
#include <algorithm>
#include <cmath>
#include <random>

#include "cc/ops/rotary/rotary_embedding_plan.h"
#include "cc/softnpu/ascendc/numeric.h"
#include "cc/softnpu/ascendc/pairwise.h"
#include "cc/softnpu/ascendc/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using softnpu::ascendc::ChipSpec;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Pairwise;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::ElementBytes;
using vllm_cann::ops::PlanRotaryEmbedding;
using vllm_cann::ops::RotaryEmbeddingArgs;
using vllm_cann::ops::RotaryEmbeddingPlan;
namespace numeric = softnpu::numeric;

const Twin& RotaryTwin() {
  static const Twin twin("cc/kernels/rotary/rotary.twin.so");
  return twin;
}

// A tensor's elements as bytes of its type.
struct Values {
  DataType type = DataType::kFloat;
  std::vector<uint8_t> bytes;

  Values(DataType t, size_t count) : type(t), bytes(count * static_cast<size_t>(ElementBytes(t))) {}
  void Set(size_t i, float value) {
    if (type == DataType::kFloat) {
      std::memcpy(&bytes[i * 4], &value, 4);
      return;
    }
    const uint16_t bits =
        type == DataType::kFloat16 ? numeric::FloatToHalf(value) : numeric::FloatToBfloat16(value);
    std::memcpy(&bytes[i * 2], &bits, 2);
  }
  double operator[](size_t i) const {
    if (type == DataType::kFloat) {
      float value;
      std::memcpy(&value, &bytes[i * 4], 4);
      return value;
    }
    uint16_t bits;
    std::memcpy(&bits, &bytes[i * 2], 2);
    return type == DataType::kFloat16 ? numeric::HalfToFloat(bits) : numeric::Bfloat16ToFloat(bits);
  }
};

double LastPlace(DataType type, double value) {
  const int mantissa = type == DataType::kFloat16 ? 10 : type == DataType::kBfloat16 ? 7 : 23;
  const int least = type == DataType::kFloat16 ? -14 : -126;
  int exponent = least;
  if (value != 0.0) exponent = std::max(least, std::ilogb(value));
  return std::ldexp(1.0, exponent - mantissa);
}

struct Case {
  int64_t tokens = 4;
  int64_t heads = 8;
  int64_t kv_heads = 1;  // 0: no key
  int64_t head_size = 128;
  int64_t rotary_dim = 128;
  DataType type = DataType::kFloat16;
  DataType position_type = DataType::kInt64;
  bool is_neox = true;
  int64_t token_gap = 0;
  int64_t max_position = 512;
  int position_pattern = 0;  // 0: random, 1: all 0, 2: all the last
  int64_t ub_bytes = 196608;
  int64_t vector_cores = 40;
  bool frequencies = true;  // the cache of a model; false: any values
  bool strict = true;
  bool is_310p = false;
};

struct Side {
  Values before;
  uintptr_t address = 0;
  int64_t heads = 0;
  int64_t stride = 0;
};

struct Result {
  RotaryEmbeddingPlan plan;
  std::vector<uint8_t> query, query_before;
};

Side MakeSide(HostMemory& memory, const Case& test, int64_t heads, const char* name,
              std::mt19937& random) {
  const int64_t stride = heads * test.head_size + test.token_gap;
  const int64_t count = test.tokens == 0 ? 0 : (test.tokens - 1) * stride + heads * test.head_size;
  Side side{Values(test.type, static_cast<size_t>(count)), 0, heads, stride};
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < count; ++i) side.before.Set(static_cast<size_t>(i), normal(random));
  side.address = memory.Put(side.before.bytes, name);
  return side;
}

void CheckSide(const Case& test, const Side& side, const std::vector<int64_t>& positions,
               const Values& cache, const HostMemory& memory) {
  Values out = side.before;
  out.bytes = memory.Get<uint8_t>(side.address);
  const size_t element = static_cast<size_t>(ElementBytes(test.type));
  const int64_t half = test.rotary_dim / 2;
  std::vector<uint8_t> rest = side.before.bytes;  // to become `out` outside of the rotary parts
  double worst = 0.0;
  for (int64_t t = 0; t < test.tokens; ++t) {
    const size_t row = static_cast<size_t>(positions[static_cast<size_t>(t)] * test.rotary_dim);
    for (int64_t h = 0; h < side.heads; ++h) {
      const size_t head = static_cast<size_t>(t * side.stride + h * test.head_size);
      for (int64_t i = 0; i < half; ++i) {
        const size_t first = head + static_cast<size_t>(test.is_neox ? i : 2 * i);
        const size_t second = test.is_neox ? first + static_cast<size_t>(half) : first + 1;
        const double c = cache[row + static_cast<size_t>(i)];
        const double s = cache[row + static_cast<size_t>(half + i)];
        const double x1 = side.before[first];
        const double x2 = side.before[second];
        const auto check = [&](size_t at, double want, double magnitude) {
          const double error = std::fabs(out[at] - want);
          const double bound = 0.5 * LastPlace(test.type, out[at]) + std::ldexp(magnitude, -21);
          worst = std::max(worst, error / bound);
        };
        check(first, x1 * c - x2 * s, std::fabs(x1 * c) + std::fabs(x2 * s));
        check(second, x2 * c + x1 * s, std::fabs(x2 * c) + std::fabs(x1 * s));
      }
      std::copy_n(out.bytes.begin() + static_cast<ptrdiff_t>(head * element),
                  static_cast<size_t>(test.rotary_dim) * element,
                  rest.begin() + static_cast<ptrdiff_t>(head * element));
    }
  }
  EXPECT_LE(worst, 1.0);
  EXPECT_TRUE(rest == out.bytes) << "bytes outside of the rotary parts have changed";
}

Result Check(const Case& test) {
  std::mt19937 random(3);
  HostMemory memory;
  const size_t rotary = static_cast<size_t>(test.rotary_dim);
  Values cache(test.type, static_cast<size_t>(test.max_position) * rotary);
  std::normal_distribution<float> normal;
  for (size_t p = 0; p < static_cast<size_t>(test.max_position); ++p) {
    for (size_t i = 0; i < rotary / 2; ++i) {
      const double angle =
          static_cast<double>(p) *
          std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(rotary));
      cache.Set(p * rotary + i,
                test.frequencies ? static_cast<float>(std::cos(angle)) : normal(random));
      cache.Set(p * rotary + rotary / 2 + i,
                test.frequencies ? static_cast<float>(std::sin(angle)) : normal(random));
    }
  }
  std::vector<int64_t> positions(static_cast<size_t>(test.tokens));
  for (int64_t& position : positions) {
    position = test.position_pattern == 0   ? static_cast<int64_t>(random()) % test.max_position
               : test.position_pattern == 1 ? 0
                                            : test.max_position - 1;
  }
  const uintptr_t positions_address =
      test.position_type == DataType::kInt64
          ? memory.Put(positions, "positions")
          : memory.Put(std::vector<int32_t>(positions.begin(), positions.end()), "positions");
  const uintptr_t cache_address = memory.Put(cache.bytes, "cos_sin_cache");
  const Side query = MakeSide(memory, test, test.heads, "query", random);

  RotaryEmbeddingArgs args;
  args.is_neox = test.is_neox;
  args.positions = {positions_address, test.position_type, 1, {test.tokens}, {1}};
  args.cos_sin_cache = {
      cache_address, test.type, 2, {test.max_position, test.rotary_dim}, {test.rotary_dim, 1}};
  const auto describe = [&](const Side& side) -> vllm_cann::ops::Tensor {
    return {side.address,
            test.type,
            3,
            {test.tokens, side.heads, test.head_size},
            {side.stride, test.head_size, 1}};
  };
  args.query = describe(query);
  std::vector<Side> keys;
  if (test.kv_heads > 0) {
    keys.push_back(MakeSide(memory, test, test.kv_heads, "key", random));
    args.key = describe(keys[0]);
  }
  const DeviceInfo device = {test.is_310p ? "Ascend310P3" : "Ascend910B3",
                             test.is_310p ? 2002 : 2201, test.vector_cores, test.ub_bytes};
  const RotaryEmbeddingPlan plan = PlanRotaryEmbedding(args, device);
  if (test.tokens == 0) {
    EXPECT_EQ(plan.cores, 0u);
    return {plan, {}, {}};
  }
  EXPECT_LE(plan.cores, test.vector_cores);
  const Slots packed(positions_address, args.query.address, args.key.address, cache_address,
                     plan.tiling);
  const ChipSpec chip{.soc_name = device.soc_name,
                      .npu_arch = device.npu_arch,
                      .vector_cores = device.vector_cores,
                      .ub_bytes = test.ub_bytes,
                      .bfloat16 = !test.is_310p,
                      .data_copy_pad = !test.is_310p};
  softnpu::ascendc::Launch(chip, memory, RotaryTwin()[plan.kernel], packed.data(), packed.bytes(),
                           plan.cores, test.strict);
  CheckSide(test, query, positions, cache, memory);
  for (const Side& key : keys) CheckSide(test, key, positions, cache, memory);
  return {plan, memory.Get<uint8_t>(query.address), query.before.bytes};
}

TEST(RotaryEmbedding, EveryPairOfTheMatrix) {
  const std::vector<int64_t> tokens = {0, 1, 4, 8, 16, 1000};
  const std::vector<std::pair<int64_t, int64_t>> heads = {{1, 1},  {8, 1},  {17, 17},
                                                          {64, 1}, {96, 8}, {4, 0}};
  const std::vector<int64_t> head_sizes = {64, 72, 80, 96, 128, 192, 256};
  const std::vector<int64_t> rotary_dims = {32, 64, 72, 96, 0, 10};  // 0: the head size
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat};
  const std::vector<int64_t> gaps = {0, 64, 7};
  const std::vector<int64_t> ub_bytes = {196608, 40960};
  const std::vector<int64_t> cores = {40, 1};
  const auto cases =
      Pairwise<10>({tokens.size(), heads.size(), head_sizes.size(), rotary_dims.size(),
                    types.size(), 2, 2, gaps.size(), 3, ub_bytes.size() * cores.size()});
  for (const auto& c : cases) {
    Case test;
    test.tokens = tokens[c[0]];
    test.heads = heads[c[1]].first;
    test.kv_heads = heads[c[1]].second;
    test.head_size = head_sizes[c[2]];
    test.rotary_dim = rotary_dims[c[3]] == 0 ? test.head_size : rotary_dims[c[3]];
    test.rotary_dim = std::min(test.rotary_dim, test.head_size);
    test.type = types[c[4]];
    test.is_neox = c[5] == 0;
    test.position_type = c[6] == 0 ? DataType::kInt64 : DataType::kInt32;
    test.token_gap = gaps[c[7]];
    test.position_pattern = static_cast<int>(c[8]);
    test.ub_bytes = ub_bytes[c[9] % 2];
    test.vector_cores = cores[c[9] / 2];
    SCOPED_TRACE("tokens " + std::to_string(test.tokens) + " heads " + std::to_string(test.heads) +
                 "/" + std::to_string(test.kv_heads) + " size " + std::to_string(test.head_size) +
                 " rotary " + std::to_string(test.rotary_dim) + " " + Name(test.type) +
                 (test.is_neox ? " neox" : " gptj") + " gap " + std::to_string(test.token_gap) +
                 " ub " + std::to_string(test.ub_bytes) + " cores " +
                 std::to_string(test.vector_cores));
    try {
      Check(test);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    if (HasFailure()) return;
  }
  EXPECT_GE(cases.size(), 42u);
}

TEST(RotaryEmbedding, AnyCosAndSin) {  // magnitudes above 1, cancellation
  for (const DataType type : {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat}) {
    for (const bool is_neox : {true, false}) {
      Case test;
      test.type = type;
      test.is_neox = is_neox;
      test.frequencies = false;
      test.tokens = 50;
      Check(test);
    }
  }
}

// (1 + 3 ulp) * 1.5 lies in the middle of two halves, of which the even one is nearer to zero.
TEST(RotaryEmbedding, TiesGoToEven) {
  for (const bool is_neox : {true, false}) {
    HostMemory memory;
    RotaryEmbeddingArgs args;
    std::vector<uint16_t> cache(64, 0x3e00);  // cos 1.5
    std::fill(cache.begin() + 32, cache.end(), 0);
    const uintptr_t cache_address = memory.Put(cache, "cos_sin_cache");
    const uintptr_t query = memory.Put(std::vector<uint16_t>(64, 0x3c03), "query");
    const uintptr_t positions = memory.Put(std::vector<int64_t>{0}, "positions");
    args.is_neox = is_neox;
    args.positions = {positions, DataType::kInt64, 1, {1}, {1}};
    args.query = {query, DataType::kFloat16, 3, {1, 1, 64}, {64, 64, 1}};
    args.cos_sin_cache = {cache_address, DataType::kFloat16, 2, {1, 64}, {64, 1}};
    const auto plan = PlanRotaryEmbedding(args, {"Ascend910B3", 2201, 40, 196608});
    const Slots slots(positions, query, uintptr_t{0}, cache_address, plan.tiling);
    softnpu::ascendc::Launch(ChipSpec{}, memory, RotaryTwin()[plan.kernel], slots.data(),
                             slots.bytes(), plan.cores, true);
    EXPECT_EQ(memory.Get<uint16_t>(query), std::vector<uint16_t>(64, 0x3e04));
  }
}

TEST(RotaryEmbedding, LargestPositions) {
  Case test;
  test.rotary_dim = 32;
  test.head_size = 64;
  test.max_position = 262144;
  test.position_pattern = 2;
  Check(test);
}

TEST(RotaryEmbedding, PositionZeroIsIdentity) {
  for (const bool is_neox : {true, false}) {
    Case test;
    test.type = DataType::kFloat;
    test.is_neox = is_neox;
    test.position_pattern = 1;
    test.kv_heads = 0;
    const Result result = Check(test);
    EXPECT_TRUE(result.query == result.query_before);  // x * 1 -+ 0: the same bits
  }
}

TEST(RotaryEmbedding, ResultDoesNotDependOnStrict) {
  Case test;
  test.tokens = 33;
  const std::vector<uint8_t> strict = Check(test).query;
  test.strict = false;
  EXPECT_TRUE(Check(test).query == strict);
}

TEST(RotaryEmbedding, HeadsOfOneTokenInSeveralTiles) {
  Case test;
  test.heads = 300;
  test.kv_heads = 2;
  test.head_size = 256;
  test.rotary_dim = 256;
  test.tokens = 3;
  for (const bool is_neox : {true, false}) {
    test.is_neox = is_neox;
    const Result result = Check(test);
    EXPECT_LT(result.plan.tiling.rows_per_tile, test.heads);
  }
}

TEST(RotaryEmbedding, MoreHeadsThanRepeats) {
  Case test;
  test.heads = 260;
  test.head_size = 32;
  test.rotary_dim = 32;
  const Result result = Check(test);
  EXPECT_GE(result.plan.tiling.rows_per_tile, test.heads);
}

TEST(RotaryEmbedding, MoreTokensThanABatchOfPositions) {
  Case test;
  test.tokens = 1300;
  test.vector_cores = 1;
  test.heads = 1;
  test.head_size = 64;
  test.rotary_dim = 64;
  Check(test);
}

TEST(RotaryEmbedding, PositionOutOfRangeIsAFault) {
  HostMemory memory;
  RotaryEmbeddingArgs args;
  const uintptr_t cache = memory.Put(std::vector<uint16_t>(8 * 64, 0), "cos_sin_cache");
  const uintptr_t query = memory.Put(std::vector<uint16_t>(64, 0), "query");
  args.query = {query, DataType::kFloat16, 3, {1, 1, 64}, {64, 64, 1}};
  args.cos_sin_cache = {cache, DataType::kFloat16, 2, {8, 64}, {64, 1}};
  for (const int64_t position : {int64_t{8}, int64_t{-1}, int64_t{1} << 40}) {
    const uintptr_t positions = memory.Put(std::vector<int64_t>{position}, "positions");
    args.positions = {positions, DataType::kInt64, 1, {1}, {1}};
    const auto plan = PlanRotaryEmbedding(args, {"Ascend910B3", 2201, 40, 196608});
    const Slots slots(positions, query, uintptr_t{0}, cache, plan.tiling);
    EXPECT_THROW(softnpu::ascendc::Launch(ChipSpec{}, memory, RotaryTwin()[plan.kernel],
                                          slots.data(), slots.bytes(), plan.cores, true),
                 KernelError)
        << position;
  }
}

TEST(RotaryEmbedding, RunsOn310PInWholeBlocks) {
  for (const auto& [head_size, rotary_dim] :
       std::vector<std::pair<int64_t, int64_t>>{{64, 64}, {128, 128}, {80, 32}, {128, 96}}) {
    for (const DataType position_type : {DataType::kInt32, DataType::kInt64}) {
      for (const int64_t tokens : {1, 7, 300}) {
        Case test;
        test.is_310p = true;
        test.vector_cores = 8;
        test.ub_bytes = 262144;
        test.tokens = tokens;
        test.heads = 5;
        test.head_size = head_size;
        test.rotary_dim = rotary_dim;
        test.position_type = position_type;
        test.token_gap = tokens == 7 ? 3 : 0;
        Check(test);
      }
    }
  }
}

TEST(RotaryEmbedding, RefusedOn310P) {
  const auto message = [](DataType type, int64_t rotary_dim, bool is_neox) -> std::string {
    RotaryEmbeddingArgs args;
    args.positions = {4096, DataType::kInt64, 1, {1}, {1}};
    args.query = {4096, type, 3, {1, 1, 128}, {128, 128, 1}};
    args.cos_sin_cache = {4096, type, 2, {8, rotary_dim}, {rotary_dim, 1}};
    args.is_neox = is_neox;
    try {
      PlanRotaryEmbedding(args, {"Ascend310P3", 2002, 8, 262144});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  using ::testing::HasSubstr;
  EXPECT_EQ(message(DataType::kFloat16, 64, true), "accepted");
  EXPECT_THAT(message(DataType::kBfloat16, 64, true), HasSubstr("Ascend310P3 has no bfloat16"));
  EXPECT_THAT(message(DataType::kFloat16, 64, false), HasSubstr("NeoX style only"));
  EXPECT_THAT(message(DataType::kFloat16, 72, true), HasSubstr("72 is not a multiple of 32"));
}

}  // namespace
