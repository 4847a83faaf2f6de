// cc/kernels/rotary/rotary_embedding_test.cc: the kernels against double precision, with a bound.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode. Operands
// are rounded already and exact in float32. A product is wrong by at most u = 2^-24 of itself, the
// sum by u of itself, which is at most m, the sum of the products' magnitudes, times 1 + u:
// together 2 u m (1 + u). Then one rounding into the type, half a last place of the output.
// Everything outside the rotary part has to stay as it is, bit for bit.
#include "cc/ops/rotary/rotary_embedding.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "cc/kernels/conformance.h"
#include "cc/kernels/smallest_ub.h"
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
using vllm_cann::kernels::CaseName;
using vllm_cann::kernels::CheckSmallestUb;
using vllm_cann::kernels::Drawn;
using vllm_cann::kernels::LastPlace;
using vllm_cann::kernels::Normals;
using vllm_cann::kernels::RunConformance;
using vllm_cann::kernels::Values;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::ElementBytes;
using vllm_cann::ops::PlanRotaryEmbedding;
using vllm_cann::ops::RotaryEmbeddingArgs;
using vllm_cann::ops::RotaryEmbeddingPlan;
using vllm_cann::ops::RotaryStyle;
using vllm_cann::ops::Tensor;

const Twin& RotaryTwin() {
  static const Twin twin("cc/kernels/rotary/rotary.twin.so");
  return twin;
}

struct Case {
  int64_t tokens = 4;
  int64_t heads = 8;
  int64_t kv_heads = 1;  // 0: no key
  int64_t head_size = 128;
  int64_t rotary_dim = 128;
  DataType type = DataType::kFloat16;
  DataType position_type = DataType::kInt64;
  RotaryStyle style = RotaryStyle::kNeox;
  bool is_inverse = false;
  int64_t given_rows = 0;  // of cos and sin; 0: cos_sin_cache and positions
  std::array<int64_t, 3> sections = {};
  int64_t axes = 1;
  bool interleaved = false;
  bool elsewhere = false;  // results in tensors of their own
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
  uintptr_t out = 0;
  int64_t heads = 0;
  int64_t stride = 0;
};

// The angles that a model's table has, or any values.
struct Table {
  Values cos, sin;  // [rows, half]
};

struct Result {
  RotaryEmbeddingPlan plan;
  std::vector<uint8_t> query, query_before;
};

Side MakeSide(HostMemory& memory, const Case& test, int64_t heads, const char* name,
              std::mt19937& random) {
  const int64_t stride = heads * test.head_size + test.token_gap;
  const int64_t count = test.tokens == 0 ? 0 : (test.tokens - 1) * stride + heads * test.head_size;
  Side side{Values(test.type, static_cast<size_t>(count)), 0, 0, heads, stride};
  Normals normal(random);
  for (int64_t i = 0; i < count; ++i) side.before.Set(static_cast<size_t>(i), normal());
  side.address = memory.Put(side.before.bytes, name);
  // Holes between tokens keep what they hold.
  side.out =
      test.elsewhere ? memory.Put(side.before.bytes, std::string(name) + "_out") : side.address;
  return side;
}

Slots Pack(const RotaryEmbeddingArgs& args, const RotaryEmbeddingPlan& plan) {
  const bool given = args.cos.dims != 0;
  return Slots(args.positions.address, args.query.address, args.key.address,
               given ? args.cos.address : args.cos_sin_cache.address,
               given ? args.sin.address : uintptr_t{0}, args.query_out.address,
               args.key_out.address, plan.tiling);
}

// The axis that lane i takes its position from.
size_t AxisOf(const Case& test, int64_t i) {
  if (test.axes == 1) return 0;
  if (test.interleaved) {
    if (i % 3 == 1 && i < 3 * test.sections[1]) return 1;
    if (i % 3 == 2 && i < 3 * test.sections[2]) return 2;
    return 0;
  }
  return i < test.sections[0] ? 0 : i < test.sections[0] + test.sections[1] ? 1 : 2;
}

std::string CheckSide(const Case& test, const Side& side, const std::vector<int64_t>& rows_of,
                      const Table& table, const HostMemory& memory) {
  Values out = side.before;
  out.bytes = memory.Get<uint8_t>(side.out);
  const size_t element = static_cast<size_t>(ElementBytes(test.type));
  const auto half = static_cast<size_t>(test.rotary_dim / 2);
  std::vector<uint8_t> rest = side.before.bytes;  // to become `out` outside of the rotary parts
  double worst = 0.0;
  for (int64_t t = 0; t < test.tokens; ++t) {
    for (int64_t h = 0; h < side.heads; ++h) {
      const size_t head = static_cast<size_t>(t * side.stride + h * test.head_size);
      for (size_t i = 0; i < half; ++i) {
        const bool neox = test.style == RotaryStyle::kNeox;
        const size_t first = head + (neox ? i : 2 * i);
        const size_t second = neox ? first + half : first + 1;
        const bool neighbours = test.style == RotaryStyle::kGptj;
        const size_t to_first = head + (neighbours ? 2 * i : i);
        const size_t to_second = neighbours ? to_first + 1 : to_first + half;
        const size_t axis = AxisOf(test, static_cast<int64_t>(i));
        const auto row = static_cast<size_t>(
            rows_of[axis * static_cast<size_t>(test.tokens) + static_cast<size_t>(t)]);
        const double c = table.cos[row * half + i];
        const double s = table.sin[row * half + i] * (test.is_inverse ? -1 : 1);
        const double x1 = side.before[first];
        const double x2 = side.before[second];
        const auto check = [&](size_t at, double want, double magnitude) {
          const double error = std::fabs(out[at] - want);
          const double bound =
              0.5 * LastPlace(test.type, out[at]) + std::ldexp(magnitude, -23) * (1 + 0x1p-24);
          worst = std::max(worst, error / bound);
        };
        check(to_first, x1 * c - x2 * s, std::fabs(x1 * c) + std::fabs(x2 * s));
        check(to_second, x2 * c + x1 * s, std::fabs(x2 * c) + std::fabs(x1 * s));
      }
      std::copy_n(out.bytes.begin() + static_cast<ptrdiff_t>(head * element), 2 * half * element,
                  rest.begin() + static_cast<ptrdiff_t>(head * element));
    }
  }
  if (!(worst <= 1.0)) return "off by " + std::to_string(worst) + " times the bound";
  if (rest != out.bytes) return "bytes outside of the rotary parts have changed";
  if (side.out != side.address && memory.Get<uint8_t>(side.address) != side.before.bytes) {
    return "the operand has changed";
  }
  return "";
}

// Runs a case. `wrong` gets what is wrong, or nothing.
Result Execute(const Case& test, std::string& wrong) {
  wrong.clear();
  std::mt19937 random(3);
  HostMemory memory;
  const auto half = static_cast<size_t>(test.rotary_dim / 2);
  const auto rows = static_cast<size_t>(test.given_rows > 0 ? test.given_rows : test.max_position);
  Table table{Values(test.type, rows * half), Values(test.type, rows * half)};
  Normals normal(random);
  for (size_t i = 0; i < half; ++i) {
    const double frequency = std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
    for (size_t p = 0; p < rows; ++p) {
      const double angle = static_cast<double>(p) * frequency;
      table.cos.Set(p * half + i,
                    test.frequencies ? static_cast<float>(std::cos(angle)) : normal());
      table.sin.Set(p * half + i,
                    test.frequencies ? static_cast<float>(std::sin(angle)) : normal());
    }
  }
  std::vector<int64_t> rows_of(static_cast<size_t>(test.axes * test.tokens));
  for (size_t i = 0; i < rows_of.size(); ++i) {
    rows_of[i] = test.given_rows > 0          ? static_cast<int64_t>(i) % test.given_rows
                 : test.position_pattern == 0 ? static_cast<int64_t>(random()) % test.max_position
                 : test.position_pattern == 1 ? 0
                                              : test.max_position - 1;
  }

  RotaryEmbeddingArgs args;
  args.style = test.style;
  args.is_inverse = test.is_inverse;
  std::copy(test.sections.begin(), test.sections.end(), args.sections);
  args.interleaved = test.interleaved;
  const auto rows_signed = static_cast<int64_t>(rows), half_signed = test.rotary_dim / 2;
  if (test.given_rows > 0) {
    // Apart by more than a row.
    const int64_t stride = half_signed + 3;
    const auto spread = [&](const Values& values, const char* name) -> Tensor {
      Values wide(test.type, static_cast<size_t>((rows_signed - 1) * stride + half_signed));
      for (size_t p = 0; p < rows; ++p) {
        for (size_t i = 0; i < half; ++i) {
          wide.Set(p * static_cast<size_t>(stride) + i, static_cast<float>(values[p * half + i]));
        }
      }
      return {test.type, 2, {rows_signed, half_signed}, {stride, 1}, memory.Put(wide.bytes, name)};
    };
    args.cos = spread(table.cos, "cos");
    args.sin = spread(table.sin, "sin");
  } else {
    Values cache(test.type, 2 * rows * half);
    for (size_t p = 0; p < rows; ++p) {
      for (size_t i = 0; i < half; ++i) {
        cache.Set(2 * p * half + i, static_cast<float>(table.cos[p * half + i]));
        cache.Set((2 * p + 1) * half + i, static_cast<float>(table.sin[p * half + i]));
      }
    }
    const uintptr_t positions =
        test.position_type == DataType::kInt64
            ? memory.Put(rows_of, "positions")
            : memory.Put(std::vector<int32_t>(rows_of.begin(), rows_of.end()), "positions");
    if (test.axes == 1) {
      args.positions = {test.position_type, 1, {test.tokens}, {1}, positions};
    } else {
      args.positions = {test.position_type, 2, {3, test.tokens}, {test.tokens, 1}, positions};
    }
    args.cos_sin_cache = {test.type,
                          2,
                          {rows_signed, test.rotary_dim},
                          {test.rotary_dim, 1},
                          memory.Put(cache.bytes, "cos_sin_cache")};
  }
  const auto describe = [&](const Side& side, uintptr_t address) -> Tensor {
    return {test.type,
            3,
            {test.tokens, side.heads, test.head_size},
            {side.stride, test.head_size, 1},
            address};
  };
  const Side query = MakeSide(memory, test, test.heads, "query", random);
  args.query = describe(query, query.address);
  if (test.elsewhere) args.query_out = describe(query, query.out);
  std::vector<Side> keys;
  if (test.kv_heads > 0) {
    keys.push_back(MakeSide(memory, test, test.kv_heads, "key", random));
    args.key = describe(keys[0], keys[0].address);
    if (test.elsewhere) args.key_out = describe(keys[0], keys[0].out);
  }
  const DeviceInfo device = {test.is_310p ? "Ascend310P3" : "Ascend910B3",
                             test.is_310p ? 2002 : 2201, test.vector_cores, test.ub_bytes};
  const RotaryEmbeddingPlan plan = PlanRotaryEmbedding(args, device);
  if (test.tokens == 0) {
    if (plan.cores != 0) wrong = "no tokens launch something";
    return {plan, {}, {}};
  }
  if (plan.cores > test.vector_cores) wrong = std::to_string(plan.cores) + " cores";
  const Slots packed = Pack(args, plan);
  const softnpu::Profile chip = With(test.is_310p ? Chip310P() : Chip910B(), device.vector_cores,
                                     test.ub_bytes - vllm_cann::ops::kReservedUbBytes);
  softnpu::ascendc::Launch(chip, memory, RotaryTwin()[plan.kernel], packed.data(), packed.bytes(),
                           plan.cores, test.strict);
  if (wrong.empty()) wrong = CheckSide(test, query, rows_of, table, memory);
  for (const Side& key : keys) {
    if (wrong.empty()) wrong = CheckSide(test, key, rows_of, table, memory);
  }
  return {plan, memory.Get<uint8_t>(query.out), query.before.bytes};
}

Result Check(const Case& test) {
  std::string wrong;
  Result result = Execute(test, wrong);
  EXPECT_EQ(wrong, "");
  return result;
}

TEST(RotaryEmbedding, Conformance) {
  const std::vector<int64_t> tokens = {0, 1, 4, 8, 16, 1000};
  const std::vector<std::pair<int64_t, int64_t>> heads = {{1, 1},  {8, 1},  {17, 17},
                                                          {64, 1}, {96, 8}, {4, 0}};
  const std::vector<int64_t> head_sizes = {64, 72, 80, 96, 128, 192, 256};
  const std::vector<int64_t> rotary_dims = {32, 64, 72, 96, 0, 10};  // 0: the head size
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat};
  const std::vector<RotaryStyle> styles = {RotaryStyle::kNeox, RotaryStyle::kGptj,
                                           RotaryStyle::kPairsToHalves};
  // Tables: by positions, or given, of that many rows.
  const std::vector<int64_t> given = {0, 0, 1000, 7};
  const std::vector<int64_t> gaps = {0, 64, 7};
  const std::vector<int64_t> ub_bytes = {196608, 40960};
  const std::vector<int64_t> cores = {40, 1};
  const size_t ran = RunConformance<13>(
      "rotary_embedding",
      {tokens.size(), heads.size(), head_sizes.size(), rotary_dims.size(), types.size(),
       styles.size(), Drawn(2), Drawn(given.size()), 2, Drawn(gaps.size()), Drawn(3),
       Drawn(ub_bytes.size() * cores.size()), 2},
      [&](const auto& c) {
        Case test;
        test.tokens = tokens[c[0]];
        test.heads = heads[c[1]].first;
        test.kv_heads = heads[c[1]].second;
        test.head_size = head_sizes[c[2]];
        test.rotary_dim = rotary_dims[c[3]] == 0 ? test.head_size : rotary_dims[c[3]];
        test.rotary_dim = std::min(test.rotary_dim, test.head_size);
        test.type = types[c[4]];
        test.style = styles[c[5]];
        test.position_type = c[6] == 0 ? DataType::kInt64 : DataType::kInt32;
        test.given_rows = given[c[7]];
        test.is_inverse = c[8] == 1;
        test.token_gap = gaps[c[9]];
        test.position_pattern = static_cast<int>(c[10]);
        test.ub_bytes = ub_bytes[c[11] % 2];
        test.vector_cores = cores[c[11] / 2];
        test.elsewhere = c[12] == 1 && test.rotary_dim == test.head_size;
        if (test.style == RotaryStyle::kPairsToHalves) test.rotary_dim &= ~int64_t{31};
        if (test.rotary_dim == 0) test.rotary_dim = 32;
        if (test.rotary_dim != test.head_size) test.elsewhere = false;
        return test;
      },
      [](const Case& test) {
        const char* const styles_of[] = {"GPT-J", "NeoX", "pairs to halves"};
        return CaseName{
            "tokens " + std::to_string(test.tokens) + " heads " + std::to_string(test.heads) + "/" +
                std::to_string(test.kv_heads) + " size " + std::to_string(test.head_size) +
                " rotary " + std::to_string(test.rotary_dim) + (test.is_inverse ? " inverse" : "") +
                (test.elsewhere ? " elsewhere" : "") +
                (test.given_rows > 0 ? " of " + std::to_string(test.given_rows) + " rows"
                                     : std::string(" positions ") + Name(test.position_type)) +
                (test.position_pattern == 0   ? ""
                 : test.position_pattern == 1 ? " all first"
                                              : " all last") +
                " gap " + std::to_string(test.token_gap) + " ub " + std::to_string(test.ub_bytes) +
                " cores " + std::to_string(test.vector_cores),
            Name(test.type), styles_of[static_cast<int>(test.style)]};
      },
      [](const Case& test) {
        std::string wrong;
        Execute(test, wrong);
        return wrong;
      });
  EXPECT_GE(ran, 42u);
}

// Three axes of positions, as models that see images have.
TEST(RotaryEmbedding, ConformanceOfAxes) {
  struct Lanes {
    int64_t rotary_dim;
    std::array<int64_t, 3> sections;
    bool interleaved;
  };
  const std::vector<Lanes> lanes = {
      {128, {16, 24, 24}, false}, {128, {24, 20, 20}, false}, {128, {24, 20, 20}, true},
      {64, {11, 11, 10}, false},  {64, {11, 11, 10}, true},   {128, {32, 32, 32}, true},
      {256, {64, 32, 32}, false}, {256, {44, 42, 42}, true},  {32, {16, 0, 0}, false},
      {32, {0, 0, 16}, false},    {32, {0, 16, 0}, false}};
  const std::vector<int64_t> tokens = {1, 4, 8, 16, 100};
  const std::vector<std::pair<int64_t, int64_t>> heads = {{64, 1}, {2, 2}, {12, 0}};
  const std::vector<int64_t> head_sizes = {128, 256};
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat};
  const std::vector<RotaryStyle> styles = {RotaryStyle::kNeox, RotaryStyle::kGptj,
                                           RotaryStyle::kPairsToHalves};
  const std::vector<int64_t> cores = {40, 1};
  const size_t ran = RunConformance<8>(
      "rotary_embedding, three axes",
      {lanes.size(), tokens.size(), heads.size(), head_sizes.size(), types.size(), styles.size(), 2,
       cores.size()},
      [&](const auto& c) {
        Case test;
        test.axes = 3;
        test.rotary_dim = lanes[c[0]].rotary_dim;
        test.sections = lanes[c[0]].sections;
        test.interleaved = lanes[c[0]].interleaved;
        test.tokens = tokens[c[1]];
        test.heads = heads[c[2]].first;
        test.kv_heads = heads[c[2]].second;
        test.head_size = std::max(head_sizes[c[3]], test.rotary_dim);
        test.type = types[c[4]];
        test.style = styles[c[5]];
        test.position_type = c[6] == 0 ? DataType::kInt64 : DataType::kInt32;
        test.vector_cores = cores[c[7]];
        return test;
      },
      [](const Case& test) {
        const char* const styles_of[] = {"GPT-J", "NeoX", "pairs to halves"};
        return CaseName{
            "sections " + std::to_string(test.sections[0]) + " " +
                std::to_string(test.sections[1]) + " " + std::to_string(test.sections[2]) +
                (test.interleaved ? " interleaved" : "") + " tokens " +
                std::to_string(test.tokens) + " heads " + std::to_string(test.heads) + "/" +
                std::to_string(test.kv_heads) + " size " + std::to_string(test.head_size) +
                " rotary " + std::to_string(test.rotary_dim) + " positions " +
                Name(test.position_type) + " cores " + std::to_string(test.vector_cores),
            Name(test.type), styles_of[static_cast<int>(test.style)]};
      },
      [](const Case& test) {
        std::string wrong;
        Execute(test, wrong);
        return wrong;
      });
  EXPECT_GE(ran, 30u);
}

TEST(RotaryEmbedding, AnyCosAndSin) {  // magnitudes above 1, cancellation
  for (const DataType type : {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat}) {
    for (const RotaryStyle style :
         {RotaryStyle::kNeox, RotaryStyle::kGptj, RotaryStyle::kPairsToHalves}) {
      Case test;
      test.type = type;
      test.style = style;
      test.frequencies = false;
      test.tokens = 50;
      Check(test);
    }
  }
}

// (1 + 3 ulp) * 1.5 lies in the middle of two halves, of which the even one is nearer to zero.
TEST(RotaryEmbedding, TiesGoToEven) {
  for (const RotaryStyle style :
       {RotaryStyle::kNeox, RotaryStyle::kGptj, RotaryStyle::kPairsToHalves}) {
    HostMemory memory;
    RotaryEmbeddingArgs args;
    std::vector<uint16_t> cache(64, 0x3e00);  // cos 1.5
    std::fill(cache.begin() + 32, cache.end(), 0);
    const uintptr_t cache_address = memory.Put(cache, "cos_sin_cache");
    const uintptr_t query = memory.Put(std::vector<uint16_t>(64, 0x3c03), "query");
    const uintptr_t positions = memory.Put(std::vector<int64_t>{0}, "positions");
    args.style = style;
    args.positions = {DataType::kInt64, 1, {1}, {1}, positions};
    args.query = {DataType::kFloat16, 3, {1, 1, 64}, {64, 64, 1}, query};
    args.cos_sin_cache = {DataType::kFloat16, 2, {1, 64}, {64, 1}, cache_address};
    const auto plan = PlanRotaryEmbedding(args, {"Ascend910B3", 2201, 40, 196608});
    const Slots slots = Pack(args, plan);
    softnpu::ascendc::Launch(Chip910B(), memory, RotaryTwin()[plan.kernel], slots.data(),
                             slots.bytes(), plan.cores, true);
    EXPECT_EQ(memory.Get<uint16_t>(query), std::vector<uint16_t>(64, 0x3e04));
  }
}

TEST(RotaryEmbedding, LargestPositions) {
  for (const DataType type : {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat}) {
    for (const RotaryStyle style :
         {RotaryStyle::kNeox, RotaryStyle::kGptj, RotaryStyle::kPairsToHalves}) {
      Case test;
      test.type = type;
      test.style = style;
      test.rotary_dim = 32;
      test.head_size = 64;
      test.max_position = 262144;
      test.position_pattern = 2;
      Check(test);
    }
  }
}

TEST(RotaryEmbedding, PositionZeroIsIdentity) {
  for (const RotaryStyle style : {RotaryStyle::kNeox, RotaryStyle::kGptj}) {
    Case test;
    test.type = DataType::kFloat;
    test.style = style;
    test.position_pattern = 1;
    test.kv_heads = 0;
    const Result result = Check(test);
    EXPECT_TRUE(result.query == result.query_before);  // x * 1 -+ 0: the same bits
  }
}

// Rotating and rotating back restores what was, but for two roundings of each number.
TEST(RotaryEmbedding, InverseRestores) {
  for (const RotaryStyle style : {RotaryStyle::kNeox, RotaryStyle::kGptj}) {
    HostMemory memory;
    std::mt19937 random(8);
    std::normal_distribution<float> normal;
    std::vector<float> before(5 * 64), cache(16 * 64);
    for (float& x : before) x = normal(random);
    for (size_t p = 0; p < 16; ++p) {
      for (size_t i = 0; i < 32; ++i) {
        cache[p * 64 + i] = std::cos(static_cast<float>(p * i));
        cache[p * 64 + 32 + i] = std::sin(static_cast<float>(p * i));
      }
    }
    RotaryEmbeddingArgs args;
    args.style = style;
    args.positions = {DataType::kInt64,
                      1,
                      {5},
                      {1},
                      memory.Put(std::vector<int64_t>{3, 0, 15, 7, 1}, "positions")};
    const uintptr_t query = memory.Put(before, "query");
    args.query = {DataType::kFloat, 3, {5, 1, 64}, {64, 64, 1}, query};
    args.cos_sin_cache = {
        DataType::kFloat, 2, {16, 64}, {64, 1}, memory.Put(cache, "cos_sin_cache")};
    for (const bool is_inverse : {false, true}) {
      args.is_inverse = is_inverse;
      const auto plan = PlanRotaryEmbedding(args, {"Ascend910B3", 2201, 40, 196608});
      const Slots slots = Pack(args, plan);
      softnpu::ascendc::Launch(Chip910B(), memory, RotaryTwin()[plan.kernel], slots.data(),
                               slots.bytes(), plan.cores, true);
    }
    const auto after = memory.Get<float>(query);
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_NEAR(after[i], before[i], 1e-5) << i;  // 8 roundings of numbers below 8
    }
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
  for (const RotaryStyle style :
       {RotaryStyle::kNeox, RotaryStyle::kGptj, RotaryStyle::kPairsToHalves}) {
    test.style = style;
    const Result result = Check(test);
    EXPECT_LT(result.plan.tiling.rows_per_tile, test.heads);
  }
}

TEST(RotaryEmbedding, MoreHeadsThanRepeats) {
  Case test;
  test.heads = 260;
  test.head_size = 32;
  test.rotary_dim = 32;
  test.vector_cores = 1;
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
  args.query = {DataType::kFloat16, 3, {1, 1, 64}, {64, 64, 1}, query};
  args.cos_sin_cache = {DataType::kFloat16, 2, {8, 64}, {64, 1}, cache};
  for (const int64_t position : {int64_t{8}, int64_t{-1}, int64_t{1} << 40}) {
    const uintptr_t positions = memory.Put(std::vector<int64_t>{position}, "positions");
    args.positions = {DataType::kInt64, 1, {1}, {1}, positions};
    const auto plan = PlanRotaryEmbedding(args, {"Ascend910B3", 2201, 40, 196608});
    const Slots slots = Pack(args, plan);
    EXPECT_THROW(softnpu::ascendc::Launch(Chip910B(), memory, RotaryTwin()[plan.kernel],
                                          slots.data(), slots.bytes(), plan.cores, true),
                 KernelError)
        << position;
  }
}

TEST(RotaryEmbedding, RunsOn310PInWholeBlocks) {
  Case old;
  old.is_310p = true;
  old.vector_cores = 8;
  old.ub_bytes = 262144;
  old.heads = 5;
  for (const DataType type : {DataType::kFloat16, DataType::kFloat}) {
    old.type = type;
    for (const auto& [head_size, rotary_dim] :
         std::vector<std::pair<int64_t, int64_t>>{{64, 64}, {128, 128}, {80, 32}, {128, 96}}) {
      old.head_size = head_size;
      old.rotary_dim = rotary_dim;
      for (const DataType position_type : {DataType::kInt32, DataType::kInt64}) {
        old.position_type = position_type;
        for (const int64_t tokens : {1, 7, 300}) {
          Case test = old;
          test.tokens = tokens;
          test.token_gap = tokens == 7 ? 3 : 0;
          Check(test);
          test.is_inverse = true;
          test.given_rows = tokens;
          Check(test);
          test.given_rows = 0;
          test.axes = 3;
          test.sections = {rotary_dim / 4, rotary_dim / 8, rotary_dim / 8};
          Check(test);
        }
      }
    }
  }
}

TEST(RotaryEmbedding, RefusedOn310P) {
  const auto message = [](DataType type, int64_t rotary_dim, RotaryStyle style) -> std::string {
    RotaryEmbeddingArgs args;
    args.positions = {DataType::kInt64, 1, {1}, {1}};
    args.query = {type, 3, {1, 1, 128}, {128, 128, 1}};
    args.cos_sin_cache = {type, 2, {8, rotary_dim}, {rotary_dim, 1}};
    args.style = style;
    try {
      PlanRotaryEmbedding(args, {"Ascend310P3", 2002, 8, 262144});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  using ::testing::HasSubstr;
  EXPECT_EQ(message(DataType::kFloat16, 64, RotaryStyle::kNeox), "accepted");
  EXPECT_THAT(message(DataType::kBfloat16, 64, RotaryStyle::kNeox),
              HasSubstr("Ascend310P3 has no bfloat16"));
  EXPECT_THAT(message(DataType::kFloat16, 64, RotaryStyle::kGptj), HasSubstr("NeoX style only"));
  EXPECT_THAT(message(DataType::kFloat16, 72, RotaryStyle::kNeox),
              HasSubstr("72 is not a multiple of 32"));
}

TEST(RotaryEmbedding, SmallestUb) {
  for (const RotaryStyle style :
       {RotaryStyle::kNeox, RotaryStyle::kGptj, RotaryStyle::kPairsToHalves}) {
    for (const DataType type : {DataType::kFloat16, DataType::kFloat}) {
      for (const int64_t dim : {128, 32}) {
        Case test;
        test.style = style;
        test.type = type;
        test.head_size = test.rotary_dim = dim;
        CheckSmallestUb([&](int64_t ub_bytes) {
          test.ub_bytes = ub_bytes;
          Check(test);
        });
      }
    }
  }
}

}  // namespace
