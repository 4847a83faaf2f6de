// cc/kernels/moe/moe_finalize_routing_test.cc: the kernels against double precision, with a bound.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode. With m the
// sum of the terms' magnitudes and n their number: a row with its bias is rounded once, its product
// with the scale once, and each of n - 1 additions rounds a partial sum of at most m once: together
// (n + 1) 2^-24 m. Then the type's rounding: half its last place.
#include "cc/ops/moe/moe_finalize_routing.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "cc/kernels/conformance.h"
#include "cc/kernels/smallest_ub.h"
#include "cc/kernels/values.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;
using softnpu::ascendc::testing::With;
using vllm_cann::kernels::CaseName;
using vllm_cann::kernels::CheckSmallestUb;
using vllm_cann::kernels::LastPlace;
using vllm_cann::kernels::RunConformance;
using vllm_cann::kernels::Values;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::MoeFinalizeRoutingArgs;
using vllm_cann::ops::MoeFinalizeRoutingPlan;
using vllm_cann::ops::PlanMoeFinalizeRouting;

const Twin& MoeTwin() {
  static const Twin twin("cc/kernels/moe/moe.twin.so");
  return twin;
}

struct Case {
  int64_t tokens = 7;
  int64_t k = 2;
  int64_t size = 48;
  int64_t rows = -1;  // -1: one for each term
  DataType type = DataType::kFloat16;
  DataType scale_type = DataType::kInt8;  // kInt8: no scales
  int64_t skips = 0;
  bool bias = false;
  bool by_column = false;
  int holes = 0;  // indices out of range: 0 none, 1 some, 2 all
  int64_t cores = 40;
  int64_t ub_bytes = 196608;
  std::vector<int32_t> given{};  // indices
};

struct Result {
  MoeFinalizeRoutingPlan plan;
  Values out;
};

Values Random(DataType type, int64_t count, std::mt19937& random) {
  Values values(type, static_cast<size_t>(count));
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < values.size(); ++i) values.Set(i, normal(random));
  return values;
}

std::string Check(const Case& test, Result* given = nullptr) {
  std::mt19937 random(11);
  HostMemory memory;
  const int64_t pairs = test.tokens * test.k;
  const int64_t count = test.rows >= 0 ? test.rows : pairs;
  const bool has_scales = test.scale_type != DataType::kInt8;
  const int64_t experts = 5;
  const Values rows = Random(test.type, count * test.size, random);
  const Values skips[2] = {Random(test.type, test.tokens * test.size, random),
                           Random(test.type, test.tokens * test.size, random)};
  const Values bias = Random(test.type, experts * test.size, random);
  const Values scales = Random(has_scales ? test.scale_type : DataType::kFloat, pairs, random);
  std::vector<int32_t> indices(static_cast<size_t>(pairs));
  for (int32_t& index : indices) {
    index = count > 0 ? static_cast<int32_t>(random() % static_cast<uint64_t>(count)) : -1;
  }
  if (test.rows < 0) {
    std::iota(indices.begin(), indices.end(), 0);
    std::shuffle(indices.begin(), indices.end(), random);
  }
  static const int32_t kOutside[] = {-1, -2, INT32_MIN, INT32_MAX};
  for (int32_t& index : indices) {
    const uint32_t draw = random();
    if (test.holes == 2 || (test.holes == 1 && draw % 3 == 0)) index = kOutside[draw / 3 % 4];
    if (test.holes == 1 && draw % 17 == 1) index = static_cast<int32_t>(count);
  }
  if (!test.given.empty()) indices = test.given;
  std::vector<int32_t> expert(static_cast<size_t>(pairs));
  for (int32_t& e : expert) e = static_cast<int32_t>(random() % 7) - 1;  // -1 and 5: no bias

  MoeFinalizeRoutingArgs args;
  const auto put = [&](const Values& values, const char* name, int64_t columns,
                       int64_t lines) -> vllm_cann::ops::Tensor {
    return {values.type, 2, {lines, columns}, {columns, 1}, memory.Put(values.bytes, name)};
  };
  args.rows = put(rows, "rows", test.size, count);
  if (test.skips > 0) args.skip1 = put(skips[0], "skip1", test.size, test.tokens);
  if (test.skips > 1) args.skip2 = put(skips[1], "skip2", test.size, test.tokens);
  if (test.bias) {
    args.bias = put(bias, "bias", test.size, experts);
    args.experts = {
        DataType::kInt32, 2, {test.tokens, test.k}, {test.k, 1}, memory.Put(expert, "experts")};
  }
  if (has_scales) args.scales = put(scales, "scales", test.k, test.tokens);
  args.indices = {DataType::kInt32, 1, {pairs}, {1}, memory.Put(indices, "indices")};
  const size_t bytes =
      static_cast<size_t>(test.tokens * test.size * vllm_cann::ops::ElementBytes(test.type));
  args.out = {
      test.type, 2, {test.tokens, test.size}, {test.size, 1}, memory.Allocate(bytes, "out")};
  args.k = test.k;
  args.by_column = test.by_column;
  const DeviceInfo device = {"Ascend910B3", 2201, test.cores, test.ub_bytes};
  Result result;
  result.plan = PlanMoeFinalizeRouting(args, device);
  if (given != nullptr) *given = result;
  if (test.tokens == 0) return result.plan.cores == 0 ? "" : "a launch for no tokens";
  const Slots packed(args.rows.address, args.skip1.address, args.skip2.address, args.bias.address,
                     args.scales.address, args.indices.address, args.experts.address,
                     args.out.address, result.plan.tiling);
  softnpu::ascendc::LaunchOptions options;
  options.outputs = {{args.out.address, bytes, "out"}};
  const softnpu::Profile chip =
      With(Chip910B(), test.cores, test.ub_bytes - vllm_cann::ops::kReservedUbBytes);
  softnpu::ascendc::Launch(chip, memory, MoeTwin()[result.plan.kernel], packed.data(),
                           packed.bytes(), result.plan.cores, options);
  result.out = Values(test.type, 0);
  result.out.bytes = memory.Get<uint8_t>(args.out.address);
  if (given != nullptr) *given = result;

  for (int64_t t = 0; t < test.tokens; ++t) {
    for (int64_t i = 0; i < test.size; ++i) {
      double sum = 0;
      double magnitude = 0;
      for (int64_t s = 0; s < test.skips; ++s) {
        const double value = skips[s][static_cast<size_t>(t * test.size + i)];
        sum += value;
        magnitude += std::fabs(value);
      }
      for (int64_t j = 0; j < test.k; ++j) {
        const auto pair = static_cast<size_t>(t * test.k + j);
        const int64_t row =
            indices[test.by_column ? static_cast<size_t>(j * test.tokens + t) : pair];
        if (row < 0 || row >= count) continue;
        const double value = rows[static_cast<size_t>(row * test.size + i)];
        const bool has_bias = test.bias && expert[pair] >= 0 && expert[pair] < experts;
        const double added =
            has_bias ? bias[static_cast<size_t>(expert[pair] * test.size + i)] : 0.0;
        const double scale = has_scales ? scales[pair] : 1.0;
        sum += scale * (value + added);
        magnitude += std::fabs(scale) * (std::fabs(value) + std::fabs(added));
      }
      const double got = result.out[static_cast<size_t>(t * test.size + i)];
      const double terms = static_cast<double>(test.k + test.skips);
      const double bound = (terms + 1) * 0x1.001p-24 * magnitude +
                           (test.type == DataType::kFloat ? 0 : 0.5 * LastPlace(test.type, got));
      if (!(std::fabs(got - sum) <= bound)) {
        return "out[" + std::to_string(t) + ", " + std::to_string(i) + "] is " +
               std::to_string(got) + ", not " + std::to_string(sum);
      }
    }
  }
  return "";
}

CaseName NameOf(const Case& test) {
  const auto number = [](int64_t value) { return std::to_string(value); };
  return {"N " + number(test.tokens) + " k " + number(test.k) + " H " + number(test.size) +
              " scales " + (test.scale_type == DataType::kInt8 ? "none" : Name(test.scale_type)) +
              " skips " + number(test.skips) + (test.bias ? " bias" : "") + " holes " +
              number(test.holes),
          Name(test.type), test.by_column ? "column-major" : "row-major"};
}

TEST(MoeFinalizeRouting, Conformance) {
  const std::vector<int64_t> tokens = {1, 3, 128, 1000};
  const std::vector<int64_t> ks = {1, 2, 8};
  const std::vector<DataType> types = {DataType::kFloat, DataType::kFloat16, DataType::kBfloat16};
  const std::vector<DataType> scales = {DataType::kInt8, DataType::kFloat, DataType::kFloat16,
                                        DataType::kBfloat16};
  const std::vector<int64_t> sizes = {64, 50};
  const auto make = [&](const std::array<size_t, 9>& c) {
    Case test;
    test.tokens = tokens[c[0]];
    test.k = ks[c[1]];
    test.type = types[c[2]];
    test.scale_type = scales[c[3]];
    test.skips = static_cast<int64_t>(c[4]);
    test.bias = c[5] == 1;
    test.by_column = c[6] == 1;
    test.holes = static_cast<int>(c[7]);
    test.size = sizes[c[8]];
    return test;
  };
  const size_t ran = RunConformance<9>(
      "moe_finalize_routing",
      {tokens.size(), ks.size(), types.size(), scales.size(), 3, 2, 2, 3, sizes.size()}, make,
      NameOf, [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 12u);
}

TEST(MoeFinalizeRouting, OtherSizes) {
  int number = 0;
  for (const int64_t size : {1, 7, 1000, 7168, 20001}) {
    for (const int64_t k : {1, 5, 512}) {
      for (const int64_t tokens : {1, 2, 90}) {
        if (tokens * k * size > 4000000) continue;
        Case test;
        test.size = size;
        test.k = k;
        test.tokens = tokens;
        test.type = std::vector<DataType>{DataType::kFloat, DataType::kBfloat16}[number % 2u];
        test.scale_type = number % 3 == 0 ? DataType::kFloat : DataType::kFloat16;
        test.bias = number % 5 == 1;
        test.skips = number % 3;
        test.by_column = number % 4 < 2;
        test.holes = number % 7 == 3 ? 1 : 0;
        test.cores = number % 6 == 2 ? 3 : 40;
        test.ub_bytes = number % 4 == 1 ? 65536 : 196608;
        test.rows = number % 8 == 1 ? 3 : -1;
        ++number;
        try {
          EXPECT_EQ(Check(test), "") << NameOf(test).text << " " << NameOf(test).layout;
        } catch (const std::exception& error) {
          ADD_FAILURE() << NameOf(test).text << ": " << error.what();
        }
      }
    }
  }
}

// A row that index 1 names must not take the place of one that is missing.
TEST(MoeFinalizeRouting, NegativeIndicesAreSkippedNotTakenByMagnitude) {
  Case test;
  test.tokens = 2;
  test.k = 2;
  test.type = DataType::kFloat;
  Result with, without;
  test.given = {0, -1, -1, -1};
  EXPECT_EQ(Check(test, &with), "");
  test.given = {0, -7, INT32_MIN, 4};
  EXPECT_EQ(Check(test, &without), "");
  EXPECT_EQ(with.out.bytes, without.out.bytes);
  for (int64_t i = 0; i < test.size; ++i) {
    EXPECT_EQ(with.out[static_cast<size_t>(test.size + i)], 0.0);
  }
}

TEST(MoeFinalizeRouting, NumberingByColumnIsThatOfRowsTransposed) {
  Case test;
  test.tokens = 3;
  test.k = 2;
  test.type = DataType::kFloat;
  Result by_row, by_column;
  test.given = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(Check(test, &by_row), "");
  test.by_column = true;
  test.given = {0, 2, 4, 1, 3, 5};
  EXPECT_EQ(Check(test, &by_column), "");
  EXPECT_EQ(by_row.out.bytes, by_column.out.bytes);
}

TEST(MoeFinalizeRouting, NoTokensAndNoRows) {
  Case test;
  test.tokens = 0;
  EXPECT_EQ(Check(test), "");
  test.tokens = 3;
  test.rows = 0;
  EXPECT_EQ(Check(test), "");
}

TEST(MoeFinalizeRouting, FewTokensShareTheirRowsAmongCores) {
  Case test;
  test.tokens = 1;
  test.k = 8;
  test.size = 7168;
  Result result;
  EXPECT_EQ(Check(test, &result), "");
  EXPECT_EQ(result.plan.cores, 7u);
}

TEST(MoeFinalizeRouting, SmallestUb) {
  std::vector<Case> tests(3);
  tests[1].type = DataType::kFloat;
  tests[1].scale_type = DataType::kFloat;
  tests[1].skips = 2;
  tests[2].bias = true;
  tests[2].scale_type = DataType::kFloat16;
  for (Case& test : tests) {
    test.k = 300;  // so that little but its indices fits
    CheckSmallestUb([&](int64_t ub_bytes) {
      test.ub_bytes = ub_bytes;
      EXPECT_EQ(Check(test), "") << "UB of " << ub_bytes;
    });
  }
}

}  // namespace
