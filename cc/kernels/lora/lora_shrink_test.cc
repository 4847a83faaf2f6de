// cc/kernels/lora/lora_shrink_test.cc: the kernels against double precision, with a bound.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode. A result is
// a sum of `in` products, times a scale. With m the sum of the magnitudes of its terms: in whatever
// order it is summed, a term is rounded once when it is added (the product is not) and at most once
// in each later addition, together less than in + 64 roundings (64 partial sums begin with a zero);
// the product with the scale is one more: (in + 65) 2^-24 m. Elements are exact in float.
#include "cc/ops/lora/lora_shrink.h"

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
using vllm_cann::kernels::RandomValues;
using vllm_cann::kernels::RunConformance;
using vllm_cann::kernels::Values;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::LoraShrinkArgs;
using vllm_cann::ops::LoraShrinkPlan;
using vllm_cann::ops::PlanLoraShrink;
using vllm_cann::ops::Tensor;

const Twin& LoraTwin() {
  static const Twin twin("cc/kernels/lora/lora.twin.so");
  return twin;
}

// Which adapters tokens have.
enum Mix { kOne, kNone, kRuns, kAny };

struct Case {
  int64_t tokens = 7;
  int64_t in = 100;
  int64_t rank = 8;
  int64_t slices = 1;
  int64_t adapters = 3;
  DataType type = DataType::kFloat16;
  DataType index_type = DataType::kInt32;
  int mix = kAny;
  double scale = 1.0;
  int64_t cores = 40;
  int64_t ub_bytes = 196608;
  std::vector<int64_t> given{};  // adapters
};

std::vector<int64_t> AdaptersOf(const Case& test, std::mt19937& random) {
  if (!test.given.empty()) return test.given;
  std::vector<int64_t> adapters(static_cast<size_t>(test.tokens), -1);
  const auto draw = [&] {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(test.adapters + 1)) - 1;
  };
  int64_t current = test.adapters - 1;
  for (int64_t& adapter : adapters) {
    if (test.mix == kAny || (test.mix == kRuns && random() % 5 == 0)) current = draw();
    if (test.mix != kNone) adapter = current;
  }
  return adapters;
}

std::string Check(const Case& test, LoraShrinkPlan* planned = nullptr) {
  std::mt19937 random(11);
  HostMemory memory;
  const int64_t weight_count = test.adapters * test.rank * test.in;
  const Values x = RandomValues(test.type, test.tokens * test.in, random);
  std::vector<Values> weights;
  for (int64_t s = 0; s < test.slices; ++s) {
    weights.push_back(RandomValues(test.type, weight_count, random));
  }
  const std::vector<int64_t> adapters = AdaptersOf(test, random);
  const std::vector<int32_t> narrow(adapters.begin(), adapters.end());

  LoraShrinkArgs args;
  args.x = {test.type, 2, {test.tokens, test.in}, {test.in, 1}, memory.Put(x.bytes, "x")};
  Tensor* const places[] = {&args.weights0, &args.weights1, &args.weights2};
  for (size_t s = 0; s < weights.size(); ++s) {
    *places[s] = {test.type,
                  3,
                  {test.adapters, test.rank, test.in},
                  {test.rank * test.in, test.in, 1},
                  memory.Put(weights[s].bytes, "weights")};
  }
  args.indices = {test.index_type,
                  1,
                  {test.tokens},
                  {1},
                  test.index_type == DataType::kInt64 ? memory.Put(adapters, "indices")
                                                      : memory.Put(narrow, "indices")};
  const auto bytes = static_cast<size_t>(test.slices * test.tokens * test.rank * 4);
  args.out = {DataType::kFloat,
              3,
              {test.slices, test.tokens, test.rank},
              {test.tokens * test.rank, test.rank, 1},
              memory.Allocate(bytes, "out")};
  args.scale = test.scale;
  const DeviceInfo device = {"Ascend910B3", 2201, test.cores, test.ub_bytes};
  const LoraShrinkPlan plan = PlanLoraShrink(args, device);
  if (planned != nullptr) *planned = plan;
  if (test.tokens == 0) return plan.cores == 0 ? "" : "a launch for no tokens";
  const Slots packed(args.x.address, args.weights0.address, args.weights1.address,
                     args.weights2.address, args.indices.address, args.out.address, plan.tiling);
  softnpu::ascendc::LaunchOptions options;
  options.outputs = {{args.out.address, bytes, "out"}};
  const softnpu::Profile chip =
      With(Chip910B(), test.cores, test.ub_bytes - vllm_cann::ops::kReservedUbBytes);
  softnpu::ascendc::Launch(chip, memory, LoraTwin()[plan.kernel], packed.data(), packed.bytes(),
                           plan.cores, options);
  Values out(DataType::kFloat, 0);
  out.bytes = memory.Get<uint8_t>(args.out.address);

  size_t place = 0;
  for (const Values& slice : weights) {
    for (size_t t = 0; t < adapters.size(); ++t) {
      for (int64_t r = 0; r < test.rank; ++r, ++place) {
        double sum = 0;
        double magnitude = 0;
        for (int64_t i = 0; i < test.in && adapters[t] >= 0; ++i) {
          const double term =
              x[t * static_cast<size_t>(test.in) + static_cast<size_t>(i)] *
              slice[static_cast<size_t>((adapters[t] * test.rank + r) * test.in + i)];
          sum += term;
          magnitude += std::fabs(term);
        }
        const double scale = static_cast<float>(test.scale);
        const double bound =
            static_cast<double>(test.in + 65) * 0x1.001p-24 * magnitude * std::fabs(scale);
        if (!(std::fabs(out[place] - scale * sum) <= bound)) {
          return "out of token " + std::to_string(t) + ", rank " + std::to_string(r) + " is " +
                 std::to_string(out[place]) + ", not " + std::to_string(scale * sum);
        }
      }
    }
  }
  return "";
}

CaseName NameOf(const Case& test) {
  const auto number = [](int64_t value) { return std::to_string(value); };
  return {"T " + number(test.tokens) + " in " + number(test.in) + " rank " + number(test.rank) +
              " slices " + number(test.slices) + " mix " + number(test.mix),
          Name(test.type), Name(test.index_type)};
}

TEST(LoraShrink, Conformance) {
  const std::vector<int64_t> tokens = {1, 3, 16, 100};
  const std::vector<int64_t> sizes = {64, 100, 896};
  const std::vector<int64_t> ranks = {8, 16, 32, 64, 128};
  const std::vector<DataType> types = {DataType::kFloat, DataType::kFloat16, DataType::kBfloat16};
  const auto make = [&](const std::array<size_t, 7>& c) {
    Case test;
    test.tokens = tokens[c[0]];
    test.in = sizes[c[1]];
    test.rank = ranks[c[2]];
    test.type = types[c[3]];
    test.index_type = c[4] == 0 ? DataType::kInt32 : DataType::kInt64;
    test.slices = static_cast<int64_t>(c[5]) + 1;
    test.mix = static_cast<int>(c[6]);
    return test;
  };
  const size_t ran = RunConformance<7>(
      "lora_shrink", {tokens.size(), sizes.size(), ranks.size(), types.size(), 2, 3, 4}, make,
      NameOf, [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 20u);
}

TEST(LoraShrink, OtherSizes) {
  int number = 0;
  for (const int64_t in : {1, 7, 1025, 4096, 8193}) {
    for (const int64_t rank : {1, 5, 24, 300}) {
      for (const int64_t tokens : {1, 2, 50}) {
        if (tokens * rank * in > 4000000) continue;
        Case test;
        test.in = in;
        test.rank = rank;
        test.tokens = tokens;
        test.type = std::vector<DataType>{DataType::kFloat, DataType::kBfloat16}[number % 2u];
        test.slices = number % 3 + 1;
        test.mix = number % 4;
        test.scale = number % 5 == 0 ? -0.3 : 1.0;
        test.cores = number % 6 == 2 ? 3 : 40;
        test.ub_bytes = number % 4 == 1 ? 65536 : 196608;
        ++number;
        try {
          EXPECT_EQ(Check(test), "") << NameOf(test).text;
        } catch (const std::exception& error) {
          ADD_FAILURE() << NameOf(test).text << ": " << error.what();
        }
      }
    }
  }
}

TEST(LoraShrink, AnIndexOfNoAdapterTraps) {
  for (const int64_t adapter : {int64_t{3}, int64_t{-2}, int64_t{1} << 40, INT64_MIN}) {
    Case test;
    test.index_type = DataType::kInt64;
    test.given = {0, 1, adapter, -1, 2, 0, 0};
    EXPECT_THAT([&] { Check(test); },
                testing::ThrowsMessage<std::exception>(testing::HasSubstr("Trap")));
  }
}

TEST(LoraShrink, NoTokensAndNoAdapters) {
  Case test;
  test.tokens = 0;
  EXPECT_EQ(Check(test), "");
  test.tokens = 3;
  test.adapters = 0;
  test.mix = kNone;
  EXPECT_EQ(Check(test), "");
}

TEST(LoraShrink, FewTokensShareTheirRanksAmongCores) {
  Case test;
  test.tokens = 1;
  test.rank = 16;
  test.slices = 3;
  test.mix = kOne;
  LoraShrinkPlan plan;
  EXPECT_EQ(Check(test, &plan), "");
  EXPECT_EQ(plan.cores, 24u);
  EXPECT_EQ(plan.tiling.group, 2);
}

TEST(LoraShrink, SmallestUb) {
  for (const DataType type : {DataType::kFloat, DataType::kBfloat16}) {
    Case test;
    test.type = type;
    test.in = 2000;
    test.rank = 64;
    test.cores = 2;
    test.tokens = 20;
    CheckSmallestUb([&](int64_t ub_bytes) {
      test.ub_bytes = ub_bytes;
      EXPECT_EQ(Check(test), "") << "UB of " << ub_bytes;
    });
  }
}

}  // namespace
