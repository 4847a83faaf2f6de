// cc/kernels/rotary/qkv_rmsnorm_rope_test.cc: the kernels against double precision, with a bound.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode.
//
// The bound, in units u = 2^-24 of float's rounding: a sum of D <= 256 squares has passed through a
// product, three additions of columns, two trees of three and the addition of epsilon (itself
// rounded): 12 u, of which the root keeps a half; the root, the numerator and the division add a
// unit each: the factor of a row is right to 9 u. Factor, weight, bias and the product by a cosine
// are a unit each, and so is the sum of two products: 14 u < 2^-20 of the sum of the magnitudes.
// Rows of D <= 2040 have 28 additions of columns more, of which the root keeps a half: 28 u <
// 2^-19. The rounding to the result's type is half of its last place. Value and gate are exact.
#include "cc/ops/rotary/qkv_rmsnorm_rope.h"

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
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;
using softnpu::ascendc::testing::With;
using vllm_cann::kernels::CaseName;
using vllm_cann::kernels::CheckSmallestUb;
using vllm_cann::kernels::Drawn;
using vllm_cann::kernels::LastPlace;
using vllm_cann::kernels::RunConformance;
using vllm_cann::kernels::Values;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::ElementBytes;
using vllm_cann::ops::PlanQkvRmsnormRope;
using vllm_cann::ops::PlanQkvSquareSums;
using vllm_cann::ops::QkvRmsnormRopeArgs;
using vllm_cann::ops::QkvRmsnormRopePlan;
using vllm_cann::ops::QkvSquareSumsArgs;
using vllm_cann::ops::Tensor;

const Twin& RotaryTwin() {
  static const Twin twin("cc/kernels/rotary/rotary.twin.so");
  return twin;
}

enum class Angles { kOneAxis, kSections, kInterleaved, kGiven };
enum class Norm { kHead, kValueToo, kAllHeads };

struct Case {
  int64_t tokens = 4;
  int64_t heads = 8;
  int64_t kv_heads = 2;
  int64_t head_size = 128;
  int64_t rotary_dim = 128;
  DataType type = DataType::kBfloat16;
  Angles angles = Angles::kOneAxis;
  bool has_narrow_positions = false;  // int32
  Norm norm = Norm::kHead;
  bool has_bias = false;
  bool has_gate = false;
  double epsilon = 1e-6;
  int64_t world_size = 1;
  int64_t token_gap = 0;
  int64_t max_position = 300;
  int64_t ub_bytes = 196608;
  int64_t vector_cores = 40;
  bool strict = true;
};

// The axis that lane i takes its position from.
size_t AxisOf(const Case& test, const std::array<int64_t, 3>& sections, int64_t i) {
  if (test.angles == Angles::kSections) {
    return i < sections[0] ? 0 : i < sections[0] + sections[1] ? 1 : 2;
  }
  if (test.angles != Angles::kInterleaved) return 0;
  if (i % 3 == 1 && i < 3 * sections[1]) return 1;
  return i % 3 == 2 && i < 3 * sections[2] ? 2 : 0;
}

Values Noise(DataType type, int64_t count, std::mt19937& random) {
  Values values(type, static_cast<size_t>(count));
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < values.size(); ++i) values.Set(i, normal(random));
  return values;
}

Values Read(const HostMemory& memory, uintptr_t address, DataType type) {
  Values values;
  values.type = type;
  values.bytes = memory.Get<uint8_t>(address);
  return values;
}

Tensor Vector(HostMemory& memory, const Values& values, const char* name) {
  return {
      values.type, 1, {static_cast<int64_t>(values.size())}, {1}, memory.Put(values.bytes, name)};
}

// A result, full of what it must not keep.
Tensor Result(HostMemory& memory, DataType type, int64_t rows, int64_t columns, const char* name) {
  const std::vector<uint8_t> before(static_cast<size_t>(rows * columns * ElementBytes(type)), 0xA5);
  return {type, 2, {rows, columns}, {columns, 1}, memory.Put(before, name)};
}

softnpu::Profile Chip(const Case& test) {
  return With(Chip910B(), test.vector_cores, test.ub_bytes - vllm_cann::ops::kReservedUbBytes);
}

DeviceInfo Device(const Case& test) {
  return {"Ascend910B3", 2201, test.vector_cores, test.ub_bytes};
}

void Launch(const Case& test, HostMemory& memory, const QkvRmsnormRopeArgs& args,
            const QkvRmsnormRopePlan& plan) {
  const bool given = args.cos.dims != 0;
  const Slots slots(args.positions.address, args.qkv.address, args.q_weight.address,
                    args.k_weight.address, args.q_bias.address, args.k_bias.address,
                    given ? args.cos.address : args.cos_sin_cache.address, args.sin.address,
                    args.square_sums.address, args.q.address, args.k.address, args.v.address,
                    args.gate.address, plan.tiling);
  softnpu::ascendc::Launch(Chip(test), memory, RotaryTwin()[plan.kernel], slots.data(),
                           slots.bytes(), plan.cores, test.strict);
}

struct Outcome {
  QkvRmsnormRopePlan plan;
  std::string wrong;
  std::vector<uint8_t> q;
};

Outcome Execute(const Case& test) {
  std::mt19937 random(5);
  HostMemory memory;
  const int64_t size = test.head_size, half = test.rotary_dim / 2, tokens = test.tokens;
  const int64_t query_step = size * (test.has_gate ? 2 : 1);
  const int64_t width = test.heads * query_step + 2 * test.kv_heads * size;
  const int64_t stride = width + test.token_gap;
  const bool all_heads = test.norm == Norm::kAllHeads;
  QkvRmsnormRopeArgs args;
  static_cast<vllm_cann::ops::QkvShape&>(args) = {
      {}, test.heads, test.kv_heads, size, test.has_gate};
  Values qkv = Noise(test.type, tokens == 0 ? 0 : (tokens - 1) * stride + width, random);
  // Rows whose magnitudes differ, so that a factor of another row shows.
  for (size_t i = 0; i < qkv.size(); ++i) {
    qkv.Set(i, static_cast<float>(
                   std::ldexp(qkv[i], static_cast<int>(i / static_cast<size_t>(size) % 5) - 2)));
  }
  args.qkv = {test.type, 2, {tokens, width}, {stride, 1}, memory.Put(qkv.bytes, "qkv")};
  std::array<Values, 4> weights;  // of query and key, and biases
  for (size_t i = 0; i < 4; ++i) {
    weights[i] = Noise(test.type,
                       size * (!all_heads   ? 1
                               : i % 2 == 0 ? test.heads
                                            : test.kv_heads),
                       random);
  }
  args.q_weight = Vector(memory, weights[0], "q_weight");
  args.k_weight = Vector(memory, weights[1], "k_weight");
  if (test.has_bias) {
    args.q_bias = Vector(memory, weights[2], "q_bias");
    args.k_bias = Vector(memory, weights[3], "k_bias");
  }

  const bool given = test.angles == Angles::kGiven;
  const bool has_axes = test.angles == Angles::kSections || test.angles == Angles::kInterleaved;
  const int64_t rows = given ? tokens : test.max_position;
  Values cos(test.type, static_cast<size_t>(rows * half)), sin = cos;
  for (int64_t p = 0; p < rows; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) *
                           std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
      cos.Set(static_cast<size_t>(p * half + i), static_cast<float>(std::cos(angle)));
      sin.Set(static_cast<size_t>(p * half + i), static_cast<float>(std::sin(angle)));
    }
  }
  std::vector<int64_t> positions(static_cast<size_t>((has_axes ? 3 : 1) * tokens));
  for (size_t i = 0; i < positions.size(); ++i) {
    positions[i] = given        ? static_cast<int64_t>(i)
                   : i % 7 == 6 ? test.max_position - 1
                                : static_cast<int64_t>(random()) % test.max_position;
  }
  const std::array<int64_t, 3> sections = {half - half / 3 - half / 4, half / 3, half / 4};
  if (given) {
    const int64_t step = half + 3;  // apart by more than a row
    for (auto [values, tensor, name] :
         {std::tuple{&cos, &args.cos, "cos"}, {&sin, &args.sin, "sin"}}) {
      Values wide(test.type, static_cast<size_t>(tokens == 0 ? 0 : (tokens - 1) * step + half));
      for (int64_t i = 0; i < tokens * half; ++i) {
        wide.Set(static_cast<size_t>(i / half * step + i % half),
                 static_cast<float>((*values)[static_cast<size_t>(i)]));
      }
      *tensor = {test.type, 2, {tokens, half}, {step, 1}, memory.Put(wide.bytes, name)};
    }
  } else {
    Values cache(test.type, 2 * cos.size());
    for (int64_t i = 0; i < rows * half; ++i) {
      const auto at = static_cast<size_t>(i / half * 2 * half + i % half);
      cache.Set(at, static_cast<float>(cos[static_cast<size_t>(i)]));
      cache.Set(at + static_cast<size_t>(half), static_cast<float>(sin[static_cast<size_t>(i)]));
    }
    args.cos_sin_cache = {
        test.type, 2, {rows, 2 * half}, {2 * half, 1}, memory.Put(cache.bytes, "cos_sin_cache")};
    const bool narrow = test.has_narrow_positions;
    // Axes are the beginnings of longer rows, as in the buffer of vLLM's runner.
    const int64_t axis_stride = tokens + 5;
    std::vector<int64_t> placed(static_cast<size_t>(has_axes ? 2 * axis_stride + tokens : tokens),
                                -1);
    for (size_t i = 0; i < positions.size(); ++i) {
      const int64_t axis = static_cast<int64_t>(i) / tokens;
      placed[i + static_cast<size_t>(axis * (axis_stride - tokens))] = positions[i];
    }
    const uintptr_t at =
        narrow ? memory.Put(std::vector<int32_t>(placed.begin(), placed.end()), "positions")
               : memory.Put(placed, "positions");
    const DataType index = narrow ? DataType::kInt32 : DataType::kInt64;
    args.positions = has_axes ? Tensor{index, 2, {3, tokens}, {axis_stride, 1}, at}
                              : Tensor{index, 1, {tokens}, {1}, at};
    std::copy(sections.begin(), sections.end(), args.sections);
    args.interleaved = test.angles == Angles::kInterleaved;
  }
  std::vector<float> sums(static_cast<size_t>(2 * tokens));
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = 50.0f + static_cast<float>(random() % 1000);
  if (all_heads) {
    args.square_sums = {DataType::kFloat, 2, {tokens, 2}, {2, 1}, memory.Put(sums, "square_sums")};
    args.world_size = test.world_size;
  }
  args.norm_value = test.norm == Norm::kValueToo;
  args.epsilon = test.epsilon;
  args.q = Result(memory, test.type, tokens, test.heads * size, "q");
  args.k = Result(memory, test.type, tokens, test.kv_heads * size, "k");
  args.v = Result(memory, test.type, tokens, test.kv_heads * size, "v");
  if (test.has_gate) args.gate = Result(memory, test.type, tokens, test.heads * size, "gate");

  Outcome outcome;
  outcome.plan = PlanQkvRmsnormRope(args, Device(test));
  if (tokens == 0) {
    if (outcome.plan.cores != 0) outcome.wrong = "no tokens launch something";
    return outcome;
  }
  if (outcome.plan.cores > test.vector_cores) outcome.wrong = "too many cores";
  Launch(test, memory, args, outcome.plan);
  outcome.q = memory.Get<uint8_t>(args.q.address);

  // Checks head `head` of side `side` (query, key, value) of token t.
  double worst = 0.0;
  const Values results[3] = {Read(memory, args.q.address, test.type),
                             Read(memory, args.k.address, test.type),
                             Read(memory, args.v.address, test.type)};
  const auto check_head = [&](int side, int64_t t, int64_t head) {
    const int64_t of_side = side == 0 ? test.heads : test.kv_heads;
    const int64_t from = t * stride + (side == 0 ? head * query_step
                                                 : test.heads * query_step +
                                                       ((side - 1) * test.kv_heads + head) * size);
    const int64_t to = (t * of_side + head) * size;
    double sum = 0;
    for (int64_t i = 0; i < size; ++i) {
      sum += qkv[static_cast<size_t>(from + i)] * qkv[static_cast<size_t>(from + i)];
    }
    double elements = static_cast<double>(size);
    if (all_heads && side < 2) {
      sum = sums[static_cast<size_t>(2 * t + side)];
      elements *= static_cast<double>(of_side * test.world_size);
    }
    const double factor = 1.0 / std::sqrt(sum / elements + test.epsilon);
    std::vector<double> normal(static_cast<size_t>(size)), most = normal;
    for (int64_t i = 0; i < size; ++i) {
      const auto at = static_cast<size_t>(i);
      const auto weight = static_cast<size_t>(all_heads ? head * size + i : i);
      double value = qkv[static_cast<size_t>(from + i)] * factor;
      if (side < 2) value *= weights[static_cast<size_t>(side)][weight];
      most[at] = std::fabs(value);
      if (side < 2 && test.has_bias) {
        const double bias = weights[static_cast<size_t>(side + 2)][weight];
        value += bias;
        most[at] += std::fabs(bias);
      }
      normal[at] = value;
    }
    for (int64_t i = 0; i < size; ++i) {
      const auto at = static_cast<size_t>(i);
      double want = normal[at], magnitude = most[at];
      if (side < 2 && i < 2 * half) {
        const int64_t lane = i % half;
        const auto row = static_cast<size_t>(
            positions[AxisOf(test, sections, lane) * static_cast<size_t>(tokens) +
                      static_cast<size_t>(t)]);
        const double c = cos[row * static_cast<size_t>(half) + static_cast<size_t>(lane)];
        const double s = sin[row * static_cast<size_t>(half) + static_cast<size_t>(lane)];
        const auto other = static_cast<size_t>(i < half ? i + half : i - half);
        want = normal[at] * c + (i < half ? -1 : 1) * normal[other] * s;
        magnitude = most[at] * std::fabs(c) + most[other] * std::fabs(s);
      }
      const double found = results[side][static_cast<size_t>(to + i)];
      const double bound = 0.5 * LastPlace(test.type, found) +
                           std::ldexp(magnitude, test.head_size > 256 ? -19 : -20);
      const double error = std::fabs(found - want) / bound;
      worst = error <= worst ? worst : error;  // a NaN is an error, too
    }
  };
  const auto element = static_cast<size_t>(ElementBytes(test.type));
  const auto check_copy = [&](const char* name, const std::vector<uint8_t>& result, int64_t t,
                              int64_t heads, int64_t first, int64_t step) {
    for (int64_t head = 0; head < heads; ++head) {
      const auto from =
          static_cast<ptrdiff_t>(static_cast<size_t>(t * stride + first + head * step) * element);
      const auto to =
          static_cast<ptrdiff_t>(static_cast<size_t>((t * heads + head) * size) * element);
      if (!std::equal(
              result.begin() + to,
              result.begin() + to + static_cast<ptrdiff_t>(size) * static_cast<ptrdiff_t>(element),
              qkv.bytes.begin() + from)) {
        outcome.wrong = std::string(name) + " is not a copy";
      }
    }
  };
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t head = 0; head < test.heads; ++head) check_head(0, t, head);
    for (int64_t head = 0; head < test.kv_heads; ++head) check_head(1, t, head);
    if (test.norm == Norm::kValueToo) {
      for (int64_t head = 0; head < test.kv_heads; ++head) check_head(2, t, head);
    } else {
      check_copy("v", results[2].bytes, t, test.kv_heads,
                 test.heads * query_step + test.kv_heads * size, size);
    }
    if (test.has_gate) {
      check_copy("gate", memory.Get<uint8_t>(args.gate.address), t, test.heads, size, 2 * size);
    }
  }
  if (!(worst <= 1.0)) outcome.wrong = "off by " + std::to_string(worst) + " times the bound";
  if (memory.Get<uint8_t>(args.qkv.address) != qkv.bytes) outcome.wrong = "qkv has changed";
  return outcome;
}

Outcome Check(const Case& test) {
  Outcome outcome = Execute(test);
  EXPECT_EQ(outcome.wrong, "");
  return outcome;
}

CaseName NameOf(const Case& test) {
  const char* const angles[] = {"one axis", "sections", "interleaved", "given angles"};
  const char* const norms[] = {"", " value too", " all heads"};
  return {"tokens " + std::to_string(test.tokens) + " heads " + std::to_string(test.heads) + "/" +
              std::to_string(test.kv_heads) + " size " + std::to_string(test.head_size) +
              " rotary " + std::to_string(test.rotary_dim) + " " +
              angles[static_cast<int>(test.angles)] + (test.has_narrow_positions ? " int32" : "") +
              norms[static_cast<int>(test.norm)] + (test.has_bias ? " bias" : "") +
              (test.epsilon > 2e-6 ? " epsilon 1e-5" : "") + " gap " +
              std::to_string(test.token_gap) + " UB " + std::to_string(test.ub_bytes) + " cores " +
              std::to_string(test.vector_cores),
          Name(test.type), test.has_gate ? "gate" : "no gate"};
}

TEST(QkvRmsnormRope, Conformance) {
  const std::vector<std::pair<int64_t, int64_t>> heads = {{12, 1}, {16, 1}, {32, 4},
                                                          {64, 4}, {2, 1},  {3, 2}};
  const std::vector<int64_t> head_sizes = {64, 72, 128, 256};
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat};
  const std::vector<int64_t> tokens = {1, 4, 17};
  const std::vector<int64_t> gaps = {0, 24, 7};
  const std::vector<int64_t> ub_bytes = {196608, 65536};
  const std::vector<int64_t> cores = {40, 3};
  const size_t ran = RunConformance<14>(
      "qkv_rmsnorm_rope",
      {heads.size(), head_sizes.size(), 2, types.size(), 4, 3, 2, 2, 2, Drawn(2), tokens.size(),
       Drawn(gaps.size()), ub_bytes.size(), cores.size()},
      [&](const auto& c) {
        Case test;
        test.heads = heads[c[0]].first;
        test.kv_heads = heads[c[0]].second;
        test.head_size = head_sizes[c[1]];
        test.rotary_dim = c[2] == 0 ? test.head_size : test.head_size / 4 * 2;
        test.type = types[c[3]];
        test.angles = static_cast<Angles>(c[4]);
        test.norm = static_cast<Norm>(c[5]);
        test.has_gate = c[6] == 1;
        test.has_bias = c[7] == 1;
        test.epsilon = c[8] == 0 ? 1e-6 : 1e-5;
        test.has_narrow_positions = c[9] == 1 && test.angles != Angles::kGiven;
        test.tokens = tokens[c[10]];
        test.token_gap = gaps[c[11]];
        test.ub_bytes = ub_bytes[c[12]];
        test.vector_cores = cores[c[13]];
        if (test.norm == Norm::kAllHeads) {
          test.world_size = 2;
          test.ub_bytes = 196608;  // weights take what a small one has
          // Weights and biases of more wide heads are more than the UB.
          if (test.heads * test.head_size >= 32 * 256) test.has_bias = false;
        }
        // The least that a gate, two biases and wide heads take.
        if (test.head_size == 256) test.ub_bytes = 196608;
        return test;
      },
      NameOf, [](const Case& test) { return Execute(test).wrong; });
  EXPECT_GE(ran, heads.size() * head_sizes.size());
}

TEST(QkvRmsnormRope, NoTokens) {
  Case test;
  test.tokens = 0;
  Check(test);
}

TEST(QkvRmsnormRope, ResultDoesNotDependOnStrict) {
  Case test;
  test.tokens = 33;
  test.has_gate = true;
  const std::vector<uint8_t> strict = Check(test).q;
  test.strict = false;
  EXPECT_TRUE(Check(test).q == strict);
}

TEST(QkvRmsnormRope, RowsOfOneTokenInSeveralTiles) {
  for (const Norm norm : {Norm::kHead, Norm::kValueToo, Norm::kAllHeads}) {
    for (const DataType type : {DataType::kBfloat16, DataType::kFloat}) {
      for (const bool has_gate : {false, true}) {
        Case test;
        test.norm = norm;
        test.type = type;
        test.tokens = 5;
        test.vector_cores = 2;
        test.heads = 13;
        test.kv_heads = 5;
        test.head_size = 64;
        test.rotary_dim = 64;
        test.has_bias = true;
        test.has_gate = has_gate;
        test.ub_bytes = 8192 + (norm == Norm::kAllHeads ? 40 : 20) * 1024;
        const Outcome outcome = Check(test);
        EXPECT_LT(outcome.plan.tiling.rows_per_tile, test.heads);
        EXPECT_EQ(outcome.plan.tiling.angles.tokens_per_tile, 1);
      }
    }
  }
}

// Cores that have some of query, some of query and of key, and of value alone; all at once, or a
// few rows at a time.
TEST(QkvRmsnormRope, CoresShareTheRowsOfFewTokens) {
  for (const Norm norm : {Norm::kHead, Norm::kValueToo, Norm::kAllHeads}) {
    for (const auto& [heads, kv_heads] : {std::pair{28, 4}, {5, 17}, {1, 40}}) {
      for (const bool is_small : {false, true}) {
        for (const bool has_gate : {false, true}) {
          Case test;
          test.tokens = has_gate ? 3 : 1;
          test.head_size = has_gate ? 72 * 2 : 128;
          test.rotary_dim = has_gate ? 72 : 128;
          test.norm = norm;
          test.heads = heads;
          test.kv_heads = kv_heads;
          if (is_small) test.ub_bytes = 8192 + (norm == Norm::kAllHeads ? 60 : 20) * 1024;
          test.has_gate = test.has_bias = has_gate;
          const Outcome outcome = Check(test);
          EXPECT_GE(outcome.plan.tiling.split, has_gate ? 2 : 3);
          EXPECT_EQ(outcome.plan.cores, test.tokens * outcome.plan.tiling.split);
          if (is_small && norm != Norm::kAllHeads) {
            EXPECT_LT(outcome.plan.tiling.rows_per_tile, outcome.plan.tiling.part_rows);
          }
        }
      }
    }
  }
}

TEST(QkvRmsnormRope, MoreRowsThanRepeats) {
  for (const Norm norm : {Norm::kHead, Norm::kAllHeads}) {
    Case test;
    test.norm = norm;
    test.tokens = 2;
    test.vector_cores = 2;
    test.type = DataType::kFloat;
    test.heads = 260;
    test.kv_heads = 3;
    test.head_size = 16;
    test.rotary_dim = 16;
    const Outcome outcome = Check(test);
    EXPECT_EQ(outcome.plan.tiling.rows_per_tile, 263);
  }
}

TEST(QkvRmsnormRope, MoreTokensThanABatchOfPositions) {
  Case test;
  test.tokens = 1300;
  test.vector_cores = 1;
  test.heads = 1;
  test.kv_heads = 1;
  test.head_size = 32;
  test.rotary_dim = 32;
  Check(test);
  test.angles = Angles::kInterleaved;
  Check(test);
}

TEST(QkvRmsnormRope, OddSizes) {
  for (const int64_t size : {1020, 34, 8, 3, 2}) {
    for (const DataType type : {DataType::kFloat16, DataType::kFloat}) {
      Case test;
      test.type = type;
      test.tokens = 3;
      test.heads = 3;
      test.kv_heads = 1;
      test.head_size = size;
      test.rotary_dim = size == 34 ? 30 : 2;
      test.has_gate = true;
      test.has_bias = true;
      Check(test);
    }
  }
}

TEST(QkvRmsnormRope, PositionOutOfRangeIsAFault) {
  for (const int64_t position : {int64_t{8}, int64_t{-1}, int64_t{1} << 40}) {
    HostMemory memory;
    const Case test;
    const auto blank = [&](int64_t rows, int64_t columns, const char* name) {
      return Result(memory, DataType::kBfloat16, rows, columns, name);
    };
    QkvRmsnormRopeArgs args;
    static_cast<vllm_cann::ops::QkvShape&>(args) = {blank(1, 192, "qkv"), 1, 1, 64, false};
    const Values ones(DataType::kBfloat16, 64);
    args.q_weight = Vector(memory, ones, "q_weight");
    args.k_weight = Vector(memory, ones, "k_weight");
    args.cos_sin_cache = blank(8, 64, "cos_sin_cache");
    args.positions = {
        DataType::kInt64, 1, {1}, {1}, memory.Put(std::vector<int64_t>{position}, "positions")};
    args.q = blank(1, 64, "q");
    args.k = blank(1, 64, "k");
    args.v = blank(1, 64, "v");
    const auto plan = PlanQkvRmsnormRope(args, Device(test));
    EXPECT_THROW(Launch(test, memory, args, plan), KernelError) << position;
  }
}

// Sums of squares: 2^-19 covers a product and some twenty additions of numbers that are not
// negative.
std::string CheckSums(const Case& test) {
  std::mt19937 random(7);
  HostMemory memory;
  const int64_t size = test.head_size, tokens = test.tokens;
  const int64_t query_step = size * (test.has_gate ? 2 : 1);
  const int64_t width = test.heads * query_step + 2 * test.kv_heads * size;
  const int64_t stride = width + test.token_gap;
  const Values qkv = Noise(test.type, (tokens - 1) * stride + width, random);
  QkvSquareSumsArgs args;
  static_cast<vllm_cann::ops::QkvShape&>(args) = {
      {test.type, 2, {tokens, width}, {stride, 1}, memory.Put(qkv.bytes, "qkv")},
      test.heads,
      test.kv_heads,
      size,
      test.has_gate};
  args.sums = Result(memory, DataType::kFloat, tokens, 2, "sums");
  const auto plan = PlanQkvSquareSums(args, Device(test));
  const Slots slots(args.qkv.address, args.sums.address, plan.tiling);
  softnpu::ascendc::Launch(Chip(test), memory, RotaryTwin()[plan.kernel], slots.data(),
                           slots.bytes(), plan.cores, test.strict);
  const auto sums = memory.Get<float>(args.sums.address);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t side = 0; side < 2; ++side) {
      double want = 0;
      for (int64_t head = 0; head < (side == 0 ? test.heads : test.kv_heads); ++head) {
        const int64_t row =
            t * stride + (side == 0 ? head * query_step : test.heads * query_step + head * size);
        for (int64_t i = 0; i < size; ++i) {
          const double x = qkv[static_cast<size_t>(row + i)];
          want += x * x;
        }
      }
      const double found = sums[static_cast<size_t>(2 * t + side)];
      if (!(std::fabs(found - want) <= std::ldexp(want, -19))) {
        return "token " + std::to_string(t) + ", side " + std::to_string(side) + ": " +
               std::to_string(found) + " is not " + std::to_string(want);
      }
    }
  }
  return "";
}

TEST(QkvSquareSums, Conformance) {
  const std::vector<std::pair<int64_t, int64_t>> heads = {{12, 1}, {16, 1}, {32, 4},
                                                          {64, 4}, {2, 1},  {100, 70}};
  const std::vector<int64_t> head_sizes = {64, 72, 128, 256, 8};
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat};
  const std::vector<int64_t> tokens = {1, 4, 17};
  const std::vector<int64_t> gaps = {0, 7};
  const std::vector<int64_t> ub_bytes = {196608, 32768};
  const size_t ran = RunConformance<7>(
      "qkv_square_sums",
      {heads.size(), head_sizes.size(), types.size(), tokens.size(), gaps.size(), 2,
       ub_bytes.size()},
      [&](const auto& c) {
        Case test;
        test.heads = heads[c[0]].first;
        test.kv_heads = heads[c[0]].second;
        test.head_size = head_sizes[c[1]];
        test.type = types[c[2]];
        test.tokens = tokens[c[3]];
        test.vector_cores = 3;
        test.token_gap = gaps[c[4]];
        test.has_gate = c[5] == 1;
        test.ub_bytes = ub_bytes[c[6]];
        return test;
      },
      NameOf, CheckSums);
  EXPECT_GE(ran, 30u);
}

TEST(QkvRmsnormRope, SmallestUb) {
  std::vector<Case> tests(5);
  tests[1].type = DataType::kFloat;
  tests[1].has_bias = true;
  tests[2].has_gate = true;
  tests[2].head_size = 96;
  tests[2].rotary_dim = 64;
  tests[3].norm = Norm::kValueToo;
  tests[4].norm = Norm::kAllHeads;
  for (Case& test : tests) {
    CheckSmallestUb([&](int64_t ub_bytes) {
      test.ub_bytes = ub_bytes;
      Check(test);
    });
  }
}

TEST(QkvSquareSums, SmallestUb) {
  for (const DataType type : {DataType::kBfloat16, DataType::kFloat}) {
    Case test;
    test.type = type;
    CheckSmallestUb([&](int64_t ub_bytes) {
      test.ub_bytes = ub_bytes;
      EXPECT_EQ(CheckSums(test), "") << "UB of " << ub_bytes;
    });
  }
}

}  // namespace
