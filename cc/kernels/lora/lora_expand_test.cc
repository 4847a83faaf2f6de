// cc/kernels/lora/lora_expand_test.cc: the kernels against double precision, with a bound.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode. A result is
// a sum of y and of `rank` products. With m the sum of the magnitudes of these: a product is
// rounded once, and each term at most once in each of `rank` additions: (rank + 1) 2^-24 m. Then
// the type's rounding: half its last place. Elements are exact in float.
#include "cc/ops/lora/lora_expand.h"

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
using vllm_cann::kernels::RandomValues;
using vllm_cann::kernels::RunConformance;
using vllm_cann::kernels::Values;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::LoraExpandArgs;
using vllm_cann::ops::LoraExpandPlan;
using vllm_cann::ops::PlanLoraExpand;
using vllm_cann::ops::Tensor;

const Twin& LoraTwin() {
  static const Twin twin("cc/kernels/lora/lora.twin.so");
  return twin;
}

// Which adapters tokens have.
enum Mix { kOne, kNone, kRuns, kAny };

struct Case {
  int64_t tokens = 7;
  std::vector<int64_t> widths = {48};
  int64_t rank = 8;
  int64_t adapters = 3;
  DataType type = DataType::kFloat16;
  DataType index_type = DataType::kInt32;
  int mix = kAny;
  bool adds = true;
  int64_t offset = 0;
  int64_t behind = 0;  // columns behind the slices
  int64_t gap = 0;     // elements between rows
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

// Elements of y that the kernel may not touch keep their bits.
std::string Compare(const Case& test, const std::vector<int64_t>& adapters, const Values& h,
                    const std::vector<Values>& weights, const Values& before, const Values& out,
                    int64_t pitch) {
  for (int64_t t = 0; t < test.tokens; ++t) {
    int64_t begin = test.offset;
    size_t s = 0;
    const int64_t adapter = adapters[static_cast<size_t>(t)];
    for (int64_t i = 0; i < pitch; ++i) {
      const auto place = static_cast<size_t>(t * pitch + i);
      if (place >= out.size()) break;
      while (s < test.widths.size() && i >= begin + test.widths[s]) begin += test.widths[s++];
      const bool is_in = i >= test.offset && s < test.widths.size();
      double sum = is_in && !test.adds ? 0.0 : before[place];
      double magnitude = std::fabs(sum);
      for (int64_t r = 0; r < test.rank && is_in && adapter >= 0; ++r) {
        const auto at =
            static_cast<size_t>((static_cast<int64_t>(s) * test.tokens + t) * test.rank + r);
        const auto weight =
            static_cast<size_t>((adapter * test.widths[s] + i - begin) * test.rank + r);
        const double term = h[at] * weights[s][weight];
        sum += term;
        magnitude += std::fabs(term);
      }
      const bool is_kept = !is_in || (adapter < 0 && test.adds);
      double bound = 0;
      if (!is_kept) {
        bound = static_cast<double>(test.rank + 1) * 0x1.001p-24 * magnitude;
        if (test.type != DataType::kFloat) bound += 0.5 * LastPlace(test.type, out[place]);
      }
      if (!(std::fabs(out[place] - sum) <= bound)) {
        return "y[" + std::to_string(t) + ", " + std::to_string(i) + "] is " +
               std::to_string(out[place]) + ", not " + std::to_string(sum);
      }
    }
  }
  return "";
}

std::string Check(const Case& test, LoraExpandPlan* planned = nullptr) {
  std::mt19937 random(11);
  HostMemory memory;
  const auto slices = static_cast<int64_t>(test.widths.size());
  const int64_t columns =
      std::accumulate(test.widths.begin(), test.widths.end(), test.offset + test.behind);
  const int64_t pitch = columns + test.gap;
  const Values h = RandomValues(DataType::kFloat, slices * test.tokens * test.rank, random);
  const int64_t places = test.tokens == 0 ? 0 : (test.tokens - 1) * pitch + columns;
  const Values before = RandomValues(test.type, places, random);
  std::vector<Values> weights;
  for (const int64_t width : test.widths) {
    weights.push_back(RandomValues(test.type, test.adapters * width * test.rank, random));
  }
  const std::vector<int64_t> adapters = AdaptersOf(test, random);
  const std::vector<int32_t> narrow(adapters.begin(), adapters.end());

  LoraExpandArgs args;
  args.h = {DataType::kFloat,
            3,
            {slices, test.tokens, test.rank},
            {test.tokens * test.rank, test.rank, 1},
            memory.Put(h.bytes, "h")};
  Tensor* const places_of[] = {&args.weights0, &args.weights1, &args.weights2};
  for (size_t s = 0; s < weights.size(); ++s) {
    *places_of[s] = {test.type,
                     3,
                     {test.adapters, test.widths[s], test.rank},
                     {test.widths[s] * test.rank, test.rank, 1},
                     memory.Put(weights[s].bytes, "weights")};
  }
  args.indices = {test.index_type,
                  1,
                  {test.tokens},
                  {1},
                  test.index_type == DataType::kInt64 ? memory.Put(adapters, "indices")
                                                      : memory.Put(narrow, "indices")};
  args.y = {test.type, 2, {test.tokens, columns}, {pitch, 1}, memory.Put(before.bytes, "y")};
  args.offset = test.offset;
  args.adds = test.adds;
  const DeviceInfo device = {"Ascend910B3", 2201, test.cores, test.ub_bytes};
  const LoraExpandPlan plan = PlanLoraExpand(args, device);
  if (planned != nullptr) *planned = plan;
  if (test.tokens == 0) return plan.cores == 0 ? "" : "a launch for no tokens";
  const Slots packed(args.h.address, args.weights0.address, args.weights1.address,
                     args.weights2.address, args.indices.address, args.y.address, plan.tiling);
  const softnpu::Profile chip =
      With(Chip910B(), test.cores, test.ub_bytes - vllm_cann::ops::kReservedUbBytes);
  softnpu::ascendc::Launch(chip, memory, LoraTwin()[plan.kernel], packed.data(), packed.bytes(),
                           plan.cores, {});
  Values out(test.type, 0);
  out.bytes = memory.Get<uint8_t>(args.y.address);
  return Compare(test, adapters, h, weights, before, out, pitch);
}

CaseName NameOf(const Case& test) {
  const auto number = [](int64_t value) { return std::to_string(value); };
  std::string widths;
  for (const int64_t width : test.widths) widths += " " + number(width);
  return {"T " + number(test.tokens) + " widths" + widths + " rank " + number(test.rank) +
              " offset " + number(test.offset) + " mix " + number(test.mix) +
              (test.adds ? "" : " replaces"),
          Name(test.type), Name(test.index_type)};
}

TEST(LoraExpand, Conformance) {
  const std::vector<int64_t> tokens = {1, 3, 16, 100};
  const std::vector<std::vector<int64_t>> widths = {
      {256}, {100, 64}, {256, 128, 128}, {1, 17, 300}};
  const std::vector<int64_t> ranks = {8, 16, 32, 64, 128};
  const std::vector<DataType> types = {DataType::kFloat, DataType::kFloat16, DataType::kBfloat16};
  const std::vector<int64_t> offsets = {0, 64, 13};
  const auto make = [&](const std::array<size_t, 8>& c) {
    Case test;
    test.tokens = tokens[c[0]];
    test.widths = widths[c[1]];
    test.rank = ranks[c[2]];
    test.type = types[c[3]];
    test.index_type = c[4] == 0 ? DataType::kInt32 : DataType::kInt64;
    test.mix = static_cast<int>(c[5]);
    test.adds = c[6] == 0;
    test.offset = offsets[c[7]];
    test.behind = test.offset / 2;
    test.gap = test.offset / 3;
    return test;
  };
  const size_t ran = RunConformance<8>(
      "lora_expand",
      {tokens.size(), widths.size(), ranks.size(), types.size(), 2, 4, 2, offsets.size()}, make,
      NameOf, [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 20u);
}

TEST(LoraExpand, OtherSizes) {
  int number = 0;
  for (const int64_t width : {1, 31, 1000, 5000}) {
    for (const int64_t rank : {8, 16, 32, 64, 128}) {
      for (const int64_t tokens : {1, 2, 50}) {
        if (tokens * rank * width > 4000000) continue;
        Case test;
        test.widths = {width};
        test.rank = rank;
        test.tokens = tokens;
        test.type = std::vector<DataType>{DataType::kFloat, DataType::kBfloat16}[number % 2u];
        test.mix = number % 4;
        test.adds = number % 5 != 0;
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

TEST(LoraExpand, AnIndexOfNoAdapterTraps) {
  for (const int64_t adapter : {int64_t{3}, int64_t{-2}, int64_t{1} << 40, INT64_MIN}) {
    Case test;
    test.index_type = DataType::kInt64;
    test.given = {0, 1, adapter, -1, 2, 0, 0};
    EXPECT_THAT([&] { Check(test); },
                testing::ThrowsMessage<std::exception>(testing::HasSubstr("Trap")));
  }
}

TEST(LoraExpand, NoTokensAndNoAdapters) {
  Case test;
  test.tokens = 0;
  EXPECT_EQ(Check(test), "");
  test.tokens = 3;
  test.adapters = 0;
  test.mix = kNone;
  EXPECT_EQ(Check(test), "");
}

TEST(LoraExpand, FewTokensShareTheirColumnsAmongCores) {
  Case test;
  test.tokens = 1;
  test.rank = 16;
  test.widths = {2048, 512, 512};
  test.mix = kOne;
  LoraExpandPlan plan;
  EXPECT_EQ(Check(test, &plan), "");
  EXPECT_EQ(plan.tiling.tile, 80);
  EXPECT_EQ(plan.cores, 40u);
}

TEST(LoraExpand, SmallestUb) {
  for (const DataType type : {DataType::kFloat, DataType::kBfloat16}) {
    Case test;
    test.type = type;
    test.widths = {700, 300};
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
