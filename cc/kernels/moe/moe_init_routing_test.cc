// cc/kernels/moe/moe_init_routing_test.cc: the kernels against a stable sort: exact, quantised rows
// within one step.
//
// Runs the twins as they are shipped, with the tiling of the host operator, in strict mode.
#include "cc/ops/moe/moe_init_routing.h"

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
using vllm_cann::kernels::RunConformance;
using vllm_cann::kernels::Values;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::ElementBytes;
using vllm_cann::ops::MoeInitRoutingArgs;
using vllm_cann::ops::MoeInitRoutingPlan;
using vllm_cann::ops::MoeInitRoutingWorkspaceBytes;
using vllm_cann::ops::PlanMoeInitRouting;

const Twin& MoeTwin() {
  static const Twin twin("cc/kernels/moe/moe.twin.so");
  return twin;
}

enum class Numbers { kAsTheyLie, kByColumn, kAny };

struct Case {
  int64_t tokens = 7;
  int64_t k = 2;
  int64_t size = 48;
  int64_t first = 0;
  int64_t experts = 8;  // in range
  int64_t all = 8;      // that occur
  int64_t active = -1;  // rows of expanded_x; -1: all pairs
  int64_t capacity = 0;
  int64_t order = 0;        // row_idx_type
  int64_t tokens_type = 1;  // -1: absent
  int64_t quant = -1;
  bool scale = false;
  bool strange = false;  // some numbers of experts are negative or large
  Numbers numbers = Numbers::kAsTheyLie;
  DataType type = DataType::kFloat16;
  DataType index = DataType::kInt32;
  int64_t cores = 40;
  int64_t ub_bytes = 196608;
  uint64_t seed = 0;
  std::vector<int64_t> given;      // experts instead of random ones
  std::vector<int32_t> row_idx{};  // numbers instead of those above
};

struct Result {
  MoeInitRoutingPlan plan;
  std::vector<uint8_t> rows;
  std::vector<int32_t> index;
  std::vector<int32_t> sorted;
  std::vector<int64_t> tokens;
  std::vector<float> scales;
};

// What the operator is to give. -2: not defined.
struct Wanted {
  std::vector<int64_t> place;  // of each pair, -1: none
  std::vector<int32_t> index;
  std::vector<int64_t> tokens;
  std::vector<int64_t> pair_of_row;  // of expanded_x; -1: zeros, -2: not defined
};

Wanted Reference(const Case& test, const std::vector<int64_t>& experts,
                 const std::vector<int32_t>& numbers, int64_t rows) {
  Wanted want;
  const auto pairs = static_cast<int64_t>(experts.size());
  want.place.assign(experts.size(), -1);
  want.pair_of_row.assign(static_cast<size_t>(rows), test.capacity > 0 ? -1 : -2);
  std::vector<int64_t> count(static_cast<size_t>(test.experts));
  int64_t next = 0;
  for (int64_t e = 0; e < test.experts; ++e) {
    for (int64_t f = 0; f < pairs; ++f) {
      if (experts[static_cast<size_t>(f)] != test.first + e) continue;
      int64_t place = next++;
      if (test.capacity > 0) {
        const int64_t rank = count[static_cast<size_t>(e)];
        place = rank < test.capacity ? e * test.capacity + rank : -1;
      }
      ++count[static_cast<size_t>(e)];
      want.place[static_cast<size_t>(f)] = place;
      if (place >= 0 && place < rows) want.pair_of_row[static_cast<size_t>(place)] = f;
    }
  }
  want.index.assign(experts.size(), test.numbers == Numbers::kAsTheyLie ? -1 : -2);
  for (int64_t f = 0; f < pairs; ++f) {
    const int64_t place = want.place[static_cast<size_t>(f)];
    if (test.numbers != Numbers::kAsTheyLie) {
      const int32_t number = numbers[static_cast<size_t>(f)];
      if (number >= 0 && number < pairs) {
        want.index[static_cast<size_t>(number)] = static_cast<int32_t>(place);
      }
    } else if (test.order == 0) {
      want.index[static_cast<size_t>(f)] = static_cast<int32_t>(place);
    } else if (place >= 0) {
      want.index[static_cast<size_t>(place)] = static_cast<int32_t>(f);
    }
  }
  int64_t sum = 0;
  for (int64_t e = 0; e < test.experts; ++e) {
    const int64_t n = count[static_cast<size_t>(e)];
    sum += n;
    if (test.tokens_type == 1) want.tokens.push_back(n);
    if (test.tokens_type == 0) want.tokens.push_back(sum);
    if (test.tokens_type == 2 && n > 0) {
      want.tokens.push_back(test.first + e);
      want.tokens.push_back(n);
    }
  }
  if (test.tokens_type == 2) want.tokens.resize(static_cast<size_t>(2 * test.experts));
  return want;
}

std::string Compare(const char* what, int64_t i, double got, double want) {
  return std::string(what) + "[" + std::to_string(i) + "] is " + std::to_string(got) + ", not " +
         std::to_string(want);
}

std::string Check(const Case& test, Result* given = nullptr) {
  std::mt19937 random(5 + static_cast<uint32_t>(test.tokens));
  HostMemory memory;
  const int64_t pairs = test.tokens * test.k;
  const auto count = static_cast<size_t>(pairs);
  const bool quantises = test.quant >= 0;
  const int64_t bytes = ElementBytes(test.type);
  const int64_t rows = test.capacity > 0  ? test.capacity * test.experts
                       : test.active >= 0 ? std::min(test.active, pairs)
                                          : pairs;
  std::vector<int64_t> experts(count);
  for (int64_t& expert : experts) {
    expert = static_cast<int64_t>(random() % static_cast<uint64_t>(test.all));
    if (test.strange && random() % 4 == 0) {
      static const int64_t kStrange[] = {-1, -5, 1 << 20, INT32_MAX, INT32_MIN};
      expert = kStrange[random() % 5];
    }
  }
  if (!test.given.empty()) experts = test.given;
  std::vector<int32_t> numbers(count);
  for (size_t f = 0; f < count; ++f) {
    numbers[f] = static_cast<int32_t>(static_cast<int64_t>(f) % test.k * test.tokens +
                                      static_cast<int64_t>(f) / test.k);
  }
  if (test.numbers == Numbers::kAny) {
    std::shuffle(numbers.begin(), numbers.end(), random);
    if (count > 4) numbers[1] = -3;
    if (count > 4) numbers[4] = static_cast<int32_t>(pairs);
  }
  if (!test.row_idx.empty()) numbers = test.row_idx;

  std::vector<uint8_t> x(static_cast<size_t>(test.tokens * test.size * bytes));
  Values values(quantises ? test.type : DataType::kFloat, 0);
  if (quantises) {
    values = Values(test.type, static_cast<size_t>(test.tokens * test.size));
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < values.size(); ++i) values.Set(i, normal(random) * 3);
    // A row of zeros has the scale 0.
    for (size_t i = 0; i < values.size() && i < static_cast<size_t>(test.size); ++i) {
      values.Set(i, 0.0f);
    }
    x = values.bytes;
  } else {
    for (uint8_t& byte : x) byte = static_cast<uint8_t>(random());
  }
  std::vector<float> scale;
  if (test.scale || test.quant == 0) {
    scale.resize(static_cast<size_t>(test.quant == 1   ? test.experts * test.size
                                     : test.quant == 0 ? 1
                                                       : test.tokens));
    for (float& value : scale) value = 0.5f + static_cast<float>(random() % 1000) / 500.0f;
    if (test.quant == 0) scale[0] = 17.5f;
  }

  MoeInitRoutingArgs args;
  args.x = {test.type, 2, {test.tokens, test.size}, {test.size, 1}, memory.Put(x, "x")};
  const uintptr_t index_address =
      test.index == DataType::kInt64
          ? memory.Put(experts, "expert_idx")
          : memory.Put(std::vector<int32_t>(experts.begin(), experts.end()), "expert_idx");
  args.expert_idx = {test.index, 2, {test.tokens, test.k}, {test.k, 1}, index_address};
  std::vector<softnpu::ascendc::Output> outputs;
  const auto out = [&](const char* name, DataType type, std::vector<int64_t> shape,
                       bool is_complete) {
    vllm_cann::ops::Tensor tensor;
    tensor.type = type;
    tensor.dims = static_cast<int>(shape.size());
    int64_t elements = 1;
    for (int i = tensor.dims - 1; i >= 0; --i) {
      tensor.shape[i] = shape[static_cast<size_t>(i)];
      tensor.strides[i] = elements;
      elements *= tensor.shape[i];
    }
    const auto size = static_cast<size_t>(elements * ElementBytes(type));
    tensor.address = memory.Allocate(size, name);
    if (is_complete) outputs.push_back({tensor.address, size, name});
    return tensor;
  };
  args.expanded_x = out("expanded_x", quantises ? DataType::kInt8 : test.type, {rows, test.size},
                        test.capacity > 0);
  const bool by_numbers = test.numbers != Numbers::kAsTheyLie;
  args.expanded_row_idx =
      out("expanded_row_idx", DataType::kInt32, {pairs}, test.numbers != Numbers::kAny);
  if (by_numbers) {
    args.row_idx = {
        DataType::kInt32, 2, {test.tokens, test.k}, {test.k, 1}, memory.Put(numbers, "row_idx")};
    args.expanded_expert_idx = out("expanded_expert_idx", DataType::kInt32, {pairs}, false);
  }
  if (test.tokens_type >= 0) {
    args.expert_tokens = test.tokens_type == 2
                             ? out("expert_tokens", DataType::kInt64, {test.experts, 2}, true)
                             : out("expert_tokens", DataType::kInt64, {test.experts}, true);
  }
  args.tokens_type = test.tokens_type;
  if (!scale.empty()) {
    args.scale = {
        DataType::kFloat, 1, {static_cast<int64_t>(scale.size())}, {1}, memory.Put(scale, "scale")};
    if (test.quant == 1) {
      args.scale.dims = 2;
      args.scale.shape[0] = test.experts;
      args.scale.shape[1] = args.scale.strides[0] = test.size;
      args.scale.strides[1] = 1;
    }
  }
  const float offset = -2.25f;
  if (test.quant == 0) {
    args.offset = {DataType::kFloat, 1, {1}, {1}, memory.Put(std::vector<float>{offset}, "offset")};
  }
  const bool scales_out = test.quant == 1 || (test.quant < 0 && test.scale);
  if (scales_out) args.expanded_scale = out("expanded_scale", DataType::kFloat, {rows}, false);
  const DeviceInfo device = {"Ascend910B3", 2201, test.cores, test.ub_bytes};
  args.first_expert = test.first;
  args.experts = test.experts;
  const int64_t words = MoeInitRoutingWorkspaceBytes(args, device) / 4;
  if (words > 0) args.workspace = out("workspace", DataType::kInt32, {words}, false);
  args.capacity = test.capacity;
  args.row_idx_type = test.order;
  args.quant_mode = test.quant;

  Result result;
  result.plan = PlanMoeInitRouting(args, device);
  if (result.plan.cores > 0) {
    const Slots packed(args.x.address, args.expert_idx.address, args.row_idx.address,
                       args.scale.address, args.offset.address, args.expanded_x.address,
                       args.expanded_row_idx.address, args.expanded_expert_idx.address,
                       args.expert_tokens.address, args.expanded_scale.address,
                       args.workspace.address, result.plan.tiling);
    softnpu::ascendc::LaunchOptions options;
    options.outputs = outputs;
    options.seed = test.seed;
    const softnpu::Profile chip =
        With(Chip910B(), test.cores, test.ub_bytes - vllm_cann::ops::kReservedUbBytes);
    softnpu::ascendc::Launch(chip, memory, MoeTwin()[result.plan.kernel], packed.data(),
                             packed.bytes(), result.plan.cores, options);
  }
  result.rows = memory.Get<uint8_t>(args.expanded_x.address);
  result.index = memory.Get<int32_t>(args.expanded_row_idx.address);
  if (by_numbers) result.sorted = memory.Get<int32_t>(args.expanded_expert_idx.address);
  if (test.tokens_type >= 0) result.tokens = memory.Get<int64_t>(args.expert_tokens.address);
  if (scales_out) result.scales = memory.Get<float>(args.expanded_scale.address);
  if (given != nullptr) *given = result;

  const Wanted want = Reference(test, experts, numbers, rows);
  for (size_t i = 0; i < count; ++i) {
    if (want.index[i] != -2 && want.index[i] != result.index[i]) {
      return Compare("expanded_row_idx", static_cast<int64_t>(i), result.index[i], want.index[i]);
    }
    if (by_numbers && want.place[i] >= 0 &&
        result.sorted[static_cast<size_t>(want.place[i])] != experts[i]) {
      return Compare("expanded_expert_idx", want.place[i],
                     result.sorted[static_cast<size_t>(want.place[i])],
                     static_cast<double>(experts[i]));
    }
  }
  for (size_t i = 0; i < want.tokens.size(); ++i) {
    if (want.tokens[i] != result.tokens[i]) {
      return Compare("expert_tokens", static_cast<int64_t>(i),
                     static_cast<double>(result.tokens[i]), static_cast<double>(want.tokens[i]));
    }
  }
  const int64_t row_bytes = quantises ? test.size : test.size * bytes;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t pair = want.pair_of_row[static_cast<size_t>(row)];
    if (pair == -2) continue;
    const uint8_t* const got = result.rows.data() + row * row_bytes;
    if (pair == -1) {
      if (std::any_of(got, got + row_bytes, [](uint8_t byte) { return byte != 0; })) {
        return "row " + std::to_string(row) + " of expanded_x is not all zeros";
      }
      if (scales_out && result.scales[static_cast<size_t>(row)] != 0) {
        return Compare("expanded_scale", row, result.scales[static_cast<size_t>(row)], 0);
      }
      continue;
    }
    int64_t token = pair / test.k;
    if (by_numbers) {
      const int32_t number = numbers[static_cast<size_t>(pair)];
      if (number < 0 || number >= pairs) continue;
      token = number % test.tokens;
    }
    if (!quantises) {
      if (!std::equal(got, got + row_bytes, x.data() + token * row_bytes)) {
        return "row " + std::to_string(row) + " of expanded_x is not row " + std::to_string(token) +
               " of x";
      }
      if (test.scale &&
          result.scales[static_cast<size_t>(row)] != scale[static_cast<size_t>(token)]) {
        return Compare("expanded_scale", row, result.scales[static_cast<size_t>(row)],
                       scale[static_cast<size_t>(token)]);
      }
      continue;
    }
    std::vector<double> v(static_cast<size_t>(test.size));
    double most = 0;
    const int64_t expert = experts[static_cast<size_t>(pair)] - test.first;
    for (int64_t i = 0; i < test.size; ++i) {
      double value = values[static_cast<size_t>(token * test.size + i)];
      if (test.quant == 0) value = value * static_cast<double>(scale[0]) + offset;
      if (test.quant == 1 && test.scale) {
        value *= static_cast<double>(scale[static_cast<size_t>(expert * test.size + i)]);
      }
      v[static_cast<size_t>(i)] = value;
      most = std::max(most, std::fabs(value));
    }
    const double step = test.quant == 1 ? most / 127 : 1;
    if (test.quant == 1) {
      // The product and the quotient are rounded once each.
      const double got_scale = static_cast<double>(result.scales[static_cast<size_t>(row)]);
      if (!(std::fabs(got_scale - step) <= 0x1.01p-23 * step)) {
        return Compare("expanded_scale", row, got_scale, step);
      }
    }
    for (int64_t i = 0; i < test.size; ++i) {
      const double exact = step == 0 ? 0 : v[static_cast<size_t>(i)] / step;
      const double clipped = std::clamp(exact, -128.0, 127.0);
      // Half a step, and four roundings of a float of at most 2 * 127, or of the inputs' products.
      const double got_value = static_cast<int8_t>(got[i]);
      if (!(std::fabs(got_value - clipped) <= 0.5 + 4 * 0x1p-24 * (std::fabs(exact) + 8))) {
        return "row " + std::to_string(row) + ": " + Compare("element", i, got_value, exact);
      }
    }
  }
  return "";
}

CaseName NameOf(const Case& test) {
  const auto number = [](int64_t value) { return std::to_string(value); };
  static const char* const kQuants[] = {"", " static", " dynamic"};
  return {"N " + number(test.tokens) + " k " + number(test.k) + " H " + number(test.size) +
              " experts [" + number(test.first) + ", " + number(test.first + test.experts) +
              ") of " + number(test.all) + " active " + number(test.active) + " tokens " +
              number(test.tokens_type) + kQuants[test.quant + 1] + (test.scale ? " scale" : ""),
          Name(test.type),
          test.capacity > 0 ? "capacity " + number(test.capacity)
          : test.order == 1 ? "scatter"
                            : "gather"};
}

TEST(MoeInitRouting, Conformance) {
  const std::vector<int64_t> tokens = {1, 3, 128, 1000};
  const std::vector<int64_t> ks = {1, 2, 8};
  const std::vector<int64_t> experts = {8, 256};
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat,
                                       DataType::kInt8};
  const std::vector<int64_t> actives = {-1, 5};
  const auto make = [&](const std::array<size_t, 10>& c) {
    Case test;
    test.tokens = tokens[c[0]];
    test.k = ks[c[1]];
    test.all = test.experts = experts[c[2]];
    if (c[3] == 1) {  // a part
      test.first = test.all / 4;
      test.experts = test.all / 2;
    } else if (c[3] == 2) {  // none
      test.first = 3;
      test.experts = 0;
    }
    test.order = c[4] == 1 ? 1 : 0;
    test.capacity = c[4] == 2 ? 4 : 0;
    test.tokens_type = static_cast<int64_t>(c[5]);
    test.type = types[c[6]];
    test.quant = test.type == DataType::kInt8 ? -1 : static_cast<int64_t>(c[7]) - 1;
    test.scale = c[8] == 1 && test.quant != 0;
    test.active = test.capacity > 0 ? -1 : actives[c[9]];
    return test;
  };
  const size_t ran = RunConformance<10>(
      "moe_init_routing",
      {tokens.size(), ks.size(), experts.size(), 3, 3, 3, types.size(), 3, 2, actives.size()}, make,
      NameOf, [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 12u);
}

// expert_idx [[2,0],[1,0],[1,2]]: the order is [1,3,2,4,0,5].
TEST(MoeInitRouting, WorkedExample) {
  Case test;
  test.tokens = 3;
  test.k = 2;
  test.experts = test.all = 3;
  test.given = {2, 0, 1, 0, 1, 2};
  Result result;
  EXPECT_EQ(Check(test, &result), "");
  EXPECT_EQ(result.index, (std::vector<int32_t>{4, 0, 2, 1, 3, 5}));
  EXPECT_EQ(result.tokens, (std::vector<int64_t>{2, 2, 2}));
  test.order = 1;
  EXPECT_EQ(Check(test, &result), "");
  EXPECT_EQ(result.index, (std::vector<int32_t>{1, 3, 2, 4, 0, 5}));
}

// expert_idx [[1,2],[0,1],[0,2]], row_idx [[0,3],[1,4],[2,5]].
TEST(MoeInitRouting, WorkedExampleByRowNumbers) {
  Case test;
  test.tokens = 3;
  test.k = 2;
  test.experts = test.all = 3;
  test.given = {1, 2, 0, 1, 0, 2};
  test.numbers = Numbers::kByColumn;
  test.tokens_type = -1;
  Result result;
  EXPECT_EQ(Check(test, &result), "");
  EXPECT_EQ(result.index, (std::vector<int32_t>{2, 0, 1, 4, 3, 5}));
  EXPECT_EQ(result.sorted, (std::vector<int32_t>{0, 0, 1, 1, 2, 2}));
}

// The indices [[0,1],[1,0],[0,2],[2,0]] of a permutation.
TEST(MoeInitRouting, WorkedExampleOfAPermutation) {
  Case test;
  test.tokens = 4;
  test.k = 2;
  test.experts = test.all = 3;
  test.index = DataType::kInt64;
  test.given = {0, 1, 1, 0, 0, 2, 2, 0};
  test.tokens_type = -1;
  Result result;
  EXPECT_EQ(Check(test, &result), "");
  EXPECT_EQ(result.index, (std::vector<int32_t>{0, 4, 5, 1, 2, 6, 7, 3}));
}

TEST(MoeInitRouting, OtherSizes) {
  int number = 0;
  for (const int64_t tokens : {2, 33, 300, 700, 1500}) {
    for (const int64_t k : {1, 3, 6}) {
      for (const int64_t size : {1, 7, 100, 5000}) {
        if (tokens * k * size > 3000000) continue;
        Case test;
        test.tokens = tokens;
        test.k = k;
        test.size = size;
        test.experts = test.all = std::vector<int64_t>{1, 31, 32, 100, 500}[number % 5u];
        test.type = std::vector<DataType>{DataType::kInt8, DataType::kFloat,
                                          DataType::kBfloat16}[number % 3u];
        test.index = number % 2 == 0 ? DataType::kInt32 : DataType::kInt64;
        test.tokens_type = number % 4 - 1;
        test.order = number / 2 % 2;
        test.strange = number % 3 == 1;
        test.cores = number % 7 == 3 ? 3 : 40;
        test.seed = static_cast<uint64_t>(number);
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

// Columns of one token's row, on cores of which some have fewer or only a part of 64; more pairs
// than every core sorts are not shared like that.
TEST(MoeInitRouting, QuantisesOneToken) {
  for (const int64_t k : {1, 2, 8, 1030}) {
    for (const int64_t size : {64, 65, 130, 200, 5000}) {
      for (const auto& [quant, scale] :
           std::vector<std::pair<int64_t, bool>>{{0, true}, {1, false}, {1, true}}) {
        Case test;
        test.tokens = 1;
        test.k = k;
        test.size = size;
        test.experts = test.all = 12;
        test.quant = quant;
        test.scale = scale;
        test.type = DataType::kFloat16;
        test.capacity = size == 130 && k < 1000 ? 2 : 0;
        test.tokens_type = size == 200 ? -1 : 1;
        EXPECT_EQ(Check(test), "") << k << " " << size << " " << quant;
      }
    }
  }
}

// Rows that no pair fills, by cores that have none, and counts by the last of them.
TEST(MoeInitRouting, ZerosTakeMoreCoresThanPairs) {
  for (const int64_t tokens : {0, 1, 3}) {
    for (const int64_t quant : {-1, 0, 1}) {
      Case test;
      test.tokens = tokens;
      test.k = 2;
      test.size = 2048;
      test.experts = test.all = 128;
      test.capacity = 1;
      test.quant = quant;
      test.scale = quant == 0;
      test.tokens_type = quant + 1;
      test.type = DataType::kBfloat16;
      Result result;
      EXPECT_EQ(Check(test, &result), "") << tokens << " " << quant;
      EXPECT_EQ(result.plan.cores, quant >= 0 ? 4u : 8u);
      EXPECT_EQ(result.plan.tiling.shares_row, quant >= 0 && tokens == 1 ? 1 : 0);
    }
  }
}

TEST(MoeInitRouting, RowNumbersOfAnyOrder) {
  for (const int64_t tokens : {1, 5, 60, 800}) {
    for (const Numbers numbers : {Numbers::kByColumn, Numbers::kAny}) {
      for (const int64_t active : {-1, 3}) {
        Case test;
        test.tokens = tokens;
        test.k = 4;
        test.numbers = numbers;
        test.active = active;
        test.strange = tokens == 60;
        test.tokens_type = -1;
        EXPECT_EQ(Check(test), "") << tokens << " " << active;
      }
    }
  }
}

TEST(MoeInitRouting, ManyExperts) {
  for (const int64_t tokens : {9, 700}) {
    for (const int64_t tokens_type : {0, 1, 2}) {
      Case test;
      test.tokens = tokens;
      test.k = 3;
      test.size = 16;
      test.tokens_type = tokens_type;
      test.experts = test.all = tokens_type == 2 ? 5120 : 10240;
      EXPECT_EQ(Check(test), "") << NameOf(test).text;
    }
  }
}

// Cores with several chunks each, which they sort twice.
TEST(MoeInitRouting, SeveralChunksOfACore) {
  for (const int64_t capacity : {0, 300}) {
    Case test;
    test.tokens = 2500;
    test.k = 4;
    test.size = 8;
    test.cores = 3;
    test.capacity = capacity;
    EXPECT_EQ(Check(test), "");
    test.order = capacity == 0 ? 1 : 0;
    test.experts = 5;
    test.first = 2;
    EXPECT_EQ(Check(test), "");
  }
}

TEST(MoeInitRouting, RowsLargerThanABuffer) {
  Case test;
  test.size = 40000;
  test.type = DataType::kFloat;
  test.ub_bytes = 65536;
  EXPECT_EQ(Check(test), "");
}

TEST(MoeInitRouting, QuantisedRowsOfModels) {
  for (const int64_t quant : {0, 1}) {
    for (const DataType type : {DataType::kBfloat16, DataType::kFloat, DataType::kFloat16}) {
      Case test;
      test.tokens = 30;
      test.k = 3;
      test.size = type == DataType::kFloat ? 4096 : 7168;
      test.quant = quant;
      test.type = type;
      test.scale = type == DataType::kBfloat16;
      test.strange = true;
      test.capacity = type == DataType::kFloat ? 9 : 0;
      EXPECT_EQ(Check(test), "") << NameOf(test).text;
    }
  }
}

TEST(MoeInitRouting, NoTokensGiveCountsOfZeroAndEmptyRows) {
  for (const int64_t tokens_type : {0, 1, 2}) {
    Case test;
    test.tokens = 0;
    test.tokens_type = tokens_type;
    Result result;
    EXPECT_EQ(Check(test, &result), "");
    EXPECT_EQ(result.plan.cores, 1u);
    test.order = 1;
    EXPECT_EQ(Check(test, &result), "");
    test.order = 0;
    test.capacity = 3;
    EXPECT_EQ(Check(test, &result), "");
    test.capacity = 0;
    test.tokens_type = -1;
    EXPECT_EQ(Check(test, &result), "");
    EXPECT_EQ(result.plan.cores, 0u);
  }
}

// Cores take turns in other orders: the exchange of counts has to hold.
TEST(MoeInitRouting, AnyOrderOfCores) {
  for (uint64_t seed = 1; seed < 6; ++seed) {
    Case test;
    test.tokens = 400;
    test.k = 4;
    test.seed = seed;
    EXPECT_EQ(Check(test), "");
  }
}

TEST(MoeInitRouting, SmallestUb) {
  Case usual;
  usual.size = 200;
  std::vector<Case> tests(9, usual);
  tests[1].scale = true;
  tests[2].tokens_type = 2;
  tests[2].order = 1;
  tests[3].tokens_type = -1;
  tests[3].capacity = 3;
  tests[4].tokens = 700;  // cores share the sorting
  tests[5].quant = 0;
  tests[5].scale = true;
  tests[5].index = DataType::kInt64;
  tests[6].quant = 1;
  tests[6].size = 7000;
  tests[6].type = DataType::kFloat;
  tests[7].quant = 1;
  tests[7].scale = true;
  tests[7].size = 7000;
  tests[8].tokens_type = -1;
  tests[8].numbers = Numbers::kByColumn;
  for (Case& test : tests) {
    CheckSmallestUb([&](int64_t ub_bytes) {
      test.ub_bytes = ub_bytes;
      EXPECT_EQ(Check(test), "") << NameOf(test).text << ", UB of " << ub_bytes;
    });
  }
}

}  // namespace
