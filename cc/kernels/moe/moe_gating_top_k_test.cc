// cc/kernels/moe/moe_gating_top_k_test.cc: the kernels against double precision: experts exactly,
// weights within a bound.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode. Rows of
// logits are drawn again until no decision between experts or groups hangs on less than twice the
// error that scores may have, equal scores excepted: those are equal in every precision, and the
// lower number has to win.
#include "cc/ops/moe/moe_gating_top_k.h"

#include <functional>
#include <numeric>
#include <random>

#include "cc/kernels/conformance.h"
#include "cc/kernels/smallest_ub.h"
#include "cc/kernels/values.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using softnpu::ascendc::Output;
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
using vllm_cann::ops::MoeGatingTopKArgs;
using vllm_cann::ops::MoeGatingTopKPlan;
using vllm_cann::ops::PlanMoeGatingTopK;

const Twin& MoeTwin() {
  static const Twin twin("cc/kernels/moe/moe.twin.so");
  return twin;
}

enum class Bias { kNone, kNegative, kPositive };

struct Case {
  int64_t rows = 7;
  int64_t experts = 64;
  int64_t k = 6;
  int64_t groups = 1;
  int64_t kept_groups = 1;
  int64_t mode = 0;
  int64_t renorm = 0;
  int64_t norm_type = 0;
  DataType type = DataType::kFloat;
  Bias bias = Bias::kNone;
  bool ties = false;  // logits of few values
  bool grid = false;  // logits without neighbours nearer than 8 / E
  bool out_flag = false;
  bool finished = false;
  bool row_idx = false;
  float scale = 1.0f;
  float eps = 1e-20f;
  int64_t cores = 40;
  int64_t ub_bytes = 196608;
  bool strict = true;
};

struct Result {
  MoeGatingTopKPlan plan;
  std::vector<int32_t> experts;
  Values weights;
  std::vector<int32_t> rows;
  std::vector<float> scores;
};

std::vector<double> ScoresOf(const Case& test, const std::vector<double>& x) {
  std::vector<double> s(x.size());
  const double most = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    switch (test.norm_type) {
      case 0:
        s[i] = std::exp(x[i] - most);
        sum += s[i];
        break;
      case 1:
        s[i] = 1 / (1 + std::exp(-x[i]));
        break;
      default:
        s[i] = std::sqrt(std::max(x[i], 0.0) + std::log1p(std::exp(-std::fabs(x[i]))));
    }
  }
  for (double& value : s) value /= test.norm_type == 0 ? sum : 1;
  return s;
}

// The first `count` of `from` in falling order of score, of equal ones the first; whether they, or
// from `first` on their order and the next one, are clear.
std::vector<size_t> Best(const std::vector<double>& score, std::vector<size_t> from, size_t count,
                         size_t first, double margin, bool* is_clear) {
  std::stable_sort(from.begin(), from.end(),
                   [&](size_t a, size_t b) { return score[a] > score[b]; });
  for (size_t i = first; i < count && i + 1 < from.size(); ++i) {
    const double a = score[from[i]];
    const double b = score[from[i + 1]];
    if (a != b && a - b < margin * std::max(std::fabs(a), std::fabs(b))) *is_clear = false;
  }
  from.resize(count);
  return from;
}

std::vector<size_t> Chosen(const Case& test, const std::vector<double>& selection, double margin,
                           bool* is_clear) {
  const auto size = static_cast<size_t>(test.experts / test.groups);
  std::vector<double> group_score;
  for (size_t first = 0; first < selection.size(); first += size) {
    std::vector<double> group(selection.begin() + static_cast<ptrdiff_t>(first),
                              selection.begin() + static_cast<ptrdiff_t>(first + size));
    std::sort(group.rbegin(), group.rend());
    group_score.push_back(test.mode == 1 && test.groups > 1 ? group[0] + group[1] : group[0]);
  }
  std::vector<size_t> groups(group_score.size());
  std::iota(groups.begin(), groups.end(), 0);
  const auto kept = static_cast<size_t>(test.kept_groups);
  groups = Best(group_score, groups, kept, kept - 1, margin, is_clear);
  std::sort(groups.begin(), groups.end());
  std::vector<size_t> candidates;
  for (const size_t group : groups) {
    for (size_t i = 0; i < size; ++i) candidates.push_back(group * size + i);
  }
  return Best(selection, candidates, static_cast<size_t>(test.k), 0, margin, is_clear);
}

// How far a score in float may be from the exact one, in units of 2^-24 of it. Exp and Ln may be
// wrong by their last place (2 units), other instructions by half of it.
//   softmax: x - max has an error of |x - max| (1 unit), which is a relative one of its exp; Exp 2;
//     the same for the sum, whose additions form a chain over 64s and a tree of 6; the quotient 1.
//   sigmoid: Exp 2, the sum 1, the quotient 1.
//   sqrt(softplus): Exp 2, Ln 2, product and quotient 2, log1p by way of u at most 2 more, the sum
//     1; halved by the root, which adds 1.
double ScoreUnits(const Case& test, const std::vector<double>& x) {
  if (test.norm_type == 1) return 4;
  if (test.norm_type == 2) return 5.5;
  const auto [least, most] = std::minmax_element(x.begin(), x.end());
  return 2 * (*most - *least + 2) + static_cast<double>(test.experts / 64 + 7) + 1;
}

Result Launch(const Case& test, const std::vector<Values>& x, const Values& bias,
              const std::vector<uint8_t>& finished) {
  HostMemory memory;
  const int64_t k = test.k;
  const auto count = static_cast<size_t>(test.rows * k);
  Values all(test.type, 0);
  for (const Values& row : x) {
    all.bytes.insert(all.bytes.end(), row.bytes.begin(), row.bytes.end());
  }
  MoeGatingTopKArgs args;
  args.x = {test.type, 2, {test.rows, test.experts}, {test.experts, 1}, memory.Put(all.bytes, "x")};
  if (test.bias != Bias::kNone) {
    args.bias = {test.type, 1, {test.experts}, {1}, memory.Put(bias.bytes, "bias")};
  }
  if (test.finished) {
    args.finished = {DataType::kBool, 1, {test.rows}, {1}, memory.Put(finished, "finished")};
  }
  std::vector<Output> outputs;
  const auto out = [&](const char* name, DataType type, int64_t columns) -> vllm_cann::ops::Tensor {
    const size_t bytes =
        static_cast<size_t>(test.rows * columns * vllm_cann::ops::ElementBytes(type));
    const uintptr_t address = memory.Allocate(bytes, name);
    outputs.push_back({address, bytes, name});
    return {type, 2, {test.rows, columns}, {columns, 1}, address};
  };
  args.y = out("y", test.type, k);
  args.expert_idx = out("expert_idx", DataType::kInt32, k);
  if (test.row_idx) args.row_idx = out("row_idx", DataType::kInt32, k);
  if (test.out_flag) args.norm_out = out("norm_out", DataType::kFloat, test.experts);
  args.k = k;
  args.k_group = test.kept_groups;
  args.group_count = test.groups;
  args.group_select_mode = test.mode;
  args.renorm = test.renorm;
  args.norm_type = test.norm_type;
  args.routed_scaling_factor = test.scale;
  args.eps = test.eps;
  const DeviceInfo device = {"Ascend910B3", 2201, test.cores, test.ub_bytes};
  Result result;
  result.plan = PlanMoeGatingTopK(args, device);
  const Slots packed(args.x.address, args.bias.address, args.finished.address, args.y.address,
                     args.expert_idx.address, args.row_idx.address, args.norm_out.address,
                     result.plan.tiling);
  softnpu::ascendc::LaunchOptions options;
  options.strict = test.strict;
  options.outputs = outputs;
  const softnpu::Profile chip =
      With(Chip910B(), test.cores, test.ub_bytes - vllm_cann::ops::kReservedUbBytes);
  softnpu::ascendc::Launch(chip, memory, MoeTwin()[result.plan.kernel], packed.data(),
                           packed.bytes(), result.plan.cores, options);
  result.experts = memory.Get<int32_t>(args.expert_idx.address);
  result.weights = Values(test.type, count);
  result.weights.bytes = memory.Get<uint8_t>(args.y.address);
  if (test.row_idx) result.rows = memory.Get<int32_t>(args.row_idx.address);
  if (test.out_flag) result.scores = memory.Get<float>(args.norm_out.address);
  return result;
}

std::vector<double> Doubles(const Values& values) {
  std::vector<double> out(values.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = values[i];
  return out;
}

// What is wrong with the results of a row, or the empty text.
std::string CheckRow(const Case& test, const Result& result, size_t row, const Values& x,
                     const std::vector<double>& bias, bool is_finished) {
  const auto k = static_cast<size_t>(test.k);
  const auto experts = static_cast<size_t>(test.experts);
  const std::vector<double> logits = Doubles(x);
  const std::vector<double> s = ScoresOf(test, logits);
  std::vector<double> selection(s);
  for (size_t e = 0; e < experts && !bias.empty(); ++e) selection[e] += bias[e];
  bool is_clear = true;
  const std::vector<size_t> chosen = Chosen(test, selection, 0, &is_clear);
  const double units = ScoreUnits(test, logits);
  double sum = 0;
  for (const size_t e : chosen) sum += s[e];
  const bool renormalise = test.renorm == 1 || test.norm_type == 1;
  const auto text = [&](const char* what, size_t j, double got, double want) {
    return std::string(what) + " " + std::to_string(j) + " of row " + std::to_string(row) + " is " +
           std::to_string(got) + ", not " + std::to_string(want);
  };
  for (size_t j = 0; j < k; ++j) {
    const size_t at = row * k + j;
    const int64_t want_expert = is_finished ? test.experts : static_cast<int64_t>(chosen[j]);
    if (result.experts[at] != want_expert) {
      return text("expert", j, result.experts[at], static_cast<double>(want_expert));
    }
    if (test.row_idx &&
        result.rows[at] != static_cast<int64_t>(j) * test.rows + static_cast<int64_t>(row)) {
      return text(
          "row_idx", j, result.rows[at],
          static_cast<double>(static_cast<int64_t>(j) * test.rows) + static_cast<double>(row));
    }
    double want = s[chosen[j]];
    // The sum has the errors of its terms, of a chain over 64s, a tree of 6 and the addition of
    // eps; then the quotient, and the factor.
    double bound = units + 1;
    if (renormalise) {
      want /= sum + static_cast<double>(test.eps);
      bound += units + static_cast<double>(k / 64 + 7) + 1 + 1;
    }
    want *= static_cast<double>(test.scale);
    const double error = std::fabs(result.weights[at] - want);
    const double allowed =
        1.001 * bound * 0x1p-24 * std::fabs(want) +
        (test.type == DataType::kFloat ? 0x1p-149 : 0.5 * LastPlace(test.type, want));
    if (!(error <= allowed)) return text("weight", j, result.weights[at], want);
  }
  for (size_t e = 0; e < experts && test.out_flag; ++e) {
    const double got = result.scores[row * experts + e];
    if (!(std::fabs(got - s[e]) <= 1.001 * units * 0x1p-24 * s[e] + 0x1p-149)) {
      return text("score", e, got, s[e]);
    }
  }
  return "";
}

std::string Check(const Case& test, Result* result = nullptr) {
  std::mt19937 random(7);
  const auto experts = static_cast<size_t>(test.experts);
  std::normal_distribution<float> normal(0.0f, 2.0f);
  Values bias(test.type, experts);
  for (size_t e = 0; e < experts; ++e) {
    const float value = static_cast<float>(random() % 64) / 64.0f + 0.25f;
    bias.Set(e, test.ties ? 0.5f : value);
    if (test.bias == Bias::kNegative) bias.Set(e, -static_cast<float>(bias[e]) - 1.0f);
  }
  const std::vector<double> added =
      test.bias == Bias::kNone ? std::vector<double>() : Doubles(bias);
  std::vector<Values> rows;
  while (rows.size() < static_cast<size_t>(test.rows)) {
    Values x(test.type, experts);
    for (size_t e = 0; e < experts; ++e) {
      x.Set(e, test.ties ? static_cast<float>(random() % 4) : normal(random));
    }
    if (test.grid) {
      std::vector<size_t> places(experts);
      std::iota(places.begin(), places.end(), 0);
      std::shuffle(places.begin(), places.end(), random);
      const auto all = static_cast<float>(experts);
      for (size_t e = 0; e < experts; ++e) {
        x.Set(e, (static_cast<float>(places[e]) - all / 2) * 8.0f / all);
      }
    }
    const std::vector<double> logits = Doubles(x);
    std::vector<double> selection = ScoresOf(test, logits);
    for (size_t e = 0; e < experts && !added.empty(); ++e) selection[e] += added[e];
    bool is_clear = true;
    // The sum with the bias adds half a last place, and so does that of two in a group.
    Chosen(test, selection, 2 * (ScoreUnits(test, logits) + 2) * 0x1p-24, &is_clear);
    if (is_clear) rows.push_back(x);
  }
  std::vector<uint8_t> finished(rows.size());
  for (size_t i = 0; i < finished.size(); ++i) finished[i] = i % 3 == 1 ? 1 : 0;
  const Result out = Launch(test, rows, bias, finished);
  if (result != nullptr) *result = out;
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string wrong =
        CheckRow(test, out, i, rows[i], added, test.finished && finished[i] != 0);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

CaseName NameOf(const Case& test) {
  const auto number = [](int64_t value) { return std::to_string(value); };
  static const char* const kNorms[] = {"softmax", "sigmoid", "sqrtsoftplus"};
  static const char* const kBiases[] = {"", " bias-", " bias+"};
  return {"N " + number(test.rows) + " E " + number(test.experts) + " k " + number(test.k) +
              " kept " + number(test.kept_groups) + " mode " + number(test.mode) + " " +
              kNorms[test.norm_type] + kBiases[static_cast<int>(test.bias)] + " renorm " +
              number(test.renorm) + " scale " + std::to_string(test.scale) +
              (test.ties ? " ties" : ""),
          Name(test.type), "G " + number(test.groups)};
}

TEST(MoeGatingTopK, Conformance) {
  const std::vector<int64_t> experts = {8, 64, 128, 256};
  const std::vector<int64_t> rows = {1, 8, 16, 1000};
  const std::vector<int64_t> ks = {1, 2, 6, 8, 32};
  const std::vector<DataType> types = {DataType::kFloat, DataType::kFloat16, DataType::kBfloat16};
  const auto make = [&](const std::array<size_t, 12>& c) {
    Case test;
    test.experts = experts[c[0]];
    test.rows = rows[c[1]];
    test.groups = c[3] == 1 && test.experts > 8 ? 8 : 1;
    test.kept_groups = c[4] == 1 && test.groups > 1 ? 4 : 1;
    test.k = std::min(ks[c[2]], test.experts / test.groups * test.kept_groups);
    test.norm_type = static_cast<int64_t>(c[5]);
    test.bias = static_cast<Bias>(c[6]);
    test.ties = c[7] == 1;
    test.scale = c[8] == 1 ? 2.5f : 1.0f;
    test.renorm = static_cast<int64_t>(c[9]);
    test.type = types[c[10]];
    test.mode = test.groups > 1 ? static_cast<int64_t>(c[11]) : 0;
    return test;
  };
  const size_t ran = RunConformance<12>(
      "moe_gating_top_k",
      {experts.size(), rows.size(), ks.size(), 2, 2, 3, 3, 2, 2, 2, types.size(), 2}, make, NameOf,
      [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 18u);
}

// A row of 2048 places is more than a repeat can step over.
TEST(MoeGatingTopK, SeveralRowsOfMostExpertsInATile) {
  for (const auto& [experts, groups] : {std::pair<int64_t, int64_t>{2040, 1}, {2016, 4}}) {
    Case test;
    test.rows = 9;
    test.cores = 3;
    test.experts = experts;
    test.groups = groups;
    test.kept_groups = (groups + 1) / 2;
    test.k = 8;
    Result result;
    EXPECT_EQ(Check(test, &result), "");
    EXPECT_EQ(result.plan.tiling.rows_per_tile, 3);
  }
}

// Every output, odd sizes, few cores and a small UB: tiles and rows that end within a repeat.
TEST(MoeGatingTopK, OtherSizes) {
  const std::vector<std::array<int64_t, 4>> shapes = {
      // experts, groups, kept, k
      {1, 1, 1, 1},       {5, 1, 1, 5},      {12, 4, 2, 3},      {33, 1, 1, 9},
      {96, 1, 1, 96},     {100, 10, 3, 7},   {160, 8, 3, 6},     {192, 3, 2, 70},
      {200, 1, 1, 130},   {320, 64, 9, 11},  {384, 2, 1, 190},   {512, 1, 1, 10},
      {1024, 8, 4, 8},    {2048, 1, 1, 8},   {2048, 16, 4, 512}, {2047, 1, 1, 2047},
      {192, 64, 64, 192}, {2048, 64, 2, 33}, {40, 8, 8, 40},     {2048, 2, 2, 1100},
      {1920, 3, 1, 300},  {2040, 2, 2, 600}, {104, 13, 5, 9},    {7, 1, 1, 7},
      {16, 1, 1, 3},      {72, 1, 1, 8},     {336, 14, 14, 1},   {256, 8, 4, 40},
      {512, 8, 4, 72},    {1024, 16, 8, 40}, {2048, 2, 2, 2048}, {1920, 3, 2, 900},
      {2048, 2, 1, 1000}};
  int number = 0;
  for (const auto& [experts, groups, kept, k] : shapes) {
    for (const int64_t cores : {40, 1}) {
      Case test;
      test.experts = experts;
      test.groups = groups;
      test.kept_groups = kept;
      test.k = k;
      test.cores = cores;
      test.rows = cores == 1 ? 23 : 3;
      test.norm_type = number % 3;
      test.mode = number / 2 % 2;
      test.renorm = number / 3 % 2;
      test.bias = static_cast<Bias>(number / 4 % 3);
      test.type = number % 2 == 0 ? DataType::kBfloat16 : DataType::kFloat;
      test.out_flag = test.finished = test.row_idx = true;
      test.scale = 1.5f;
      test.ties = number % 5 == 0;
      if (k > 64 && !test.ties) {
        test.grid = true;
        test.bias = Bias::kNone;
        test.type = DataType::kFloat;
      }
      ++number;
      try {
        EXPECT_EQ(Check(test), "") << NameOf(test).text << " " << NameOf(test).layout;
      } catch (const std::exception& error) {
        ADD_FAILURE() << NameOf(test).text << ": " << error.what();
      }
    }
  }
}

TEST(MoeGatingTopK, ConfigurationsOfModels) {
  Case deepseek;
  deepseek.experts = 256;
  deepseek.groups = 8;
  deepseek.kept_groups = 4;
  deepseek.mode = 1;
  deepseek.norm_type = 1;
  deepseek.bias = Bias::kPositive;
  deepseek.k = 8;
  deepseek.scale = 2.5f;
  deepseek.rows = 600;
  deepseek.type = DataType::kBfloat16;
  EXPECT_EQ(Check(deepseek), "");
  Case qwen;
  qwen.experts = 128;
  qwen.k = 8;
  qwen.renorm = 1;
  qwen.rows = 600;
  EXPECT_EQ(Check(qwen), "");
  Case mixtral;
  mixtral.experts = 8;
  mixtral.k = 2;
  mixtral.rows = 600;
  mixtral.type = DataType::kFloat16;
  EXPECT_EQ(Check(mixtral), "");
}

TEST(MoeGatingTopK, SoftmaxOfAllExpertsSumsToOne) {
  Case test;
  test.experts = test.k = 64;
  test.rows = 50;
  Result result;
  EXPECT_EQ(Check(test, &result), "");
  for (int64_t row = 0; row < test.rows; ++row) {
    double sum = 0;
    for (int64_t j = 0; j < test.k; ++j) {
      sum += result.weights[static_cast<size_t>(row * test.k + j)];
    }
    EXPECT_NEAR(sum, 1.0, 1e-5);
  }
}

// One row in which each defect that is known of other implementations chooses another expert.
class OneRow : public ::testing::Test {
 protected:
  // The experts and weights of a row in float.
  Result Run(const Case& test, const std::vector<float>& logits, const std::vector<float>& bias) {
    Values x(DataType::kFloat, logits.size());
    for (size_t i = 0; i < logits.size(); ++i) x.Set(i, logits[i]);
    Values b(DataType::kFloat, bias.size());
    for (size_t i = 0; i < bias.size(); ++i) b.Set(i, bias[i]);
    return Launch(test, {x}, b, {0});
  }
};

TEST_F(OneRow, GroupsAreChosenByTheSumOfTwoNotByTheLargest) {
  Case test;
  test.rows = 1;
  test.experts = 8;
  test.groups = 2;
  test.k = 1;
  test.norm_type = 1;
  const std::vector<float> logits = {3, -4, -4, -4, 2, 2, -4, -4};
  test.mode = 1;
  EXPECT_EQ(Run(test, logits, {}).experts, std::vector<int32_t>{4});
  test.mode = 0;
  EXPECT_EQ(Run(test, logits, {}).experts, std::vector<int32_t>{0});
}

TEST_F(OneRow, NegativeScoresOfKeptGroupsWinOverDroppedGroups) {
  Case test;
  test.rows = 1;
  test.experts = 8;
  test.groups = 2;
  test.k = 3;
  test.norm_type = 1;
  test.bias = Bias::kNegative;
  // All s + bias of the better group but one are below 0, the value that a mask of zeros gives.
  const std::vector<float> bias = {-0.5f, -5, -6, -7, -8, -8, -8, -8};
  EXPECT_EQ(Run(test, std::vector<float>(8, 4.0f), bias).experts, (std::vector<int32_t>{0, 1, 2}));
}

TEST_F(OneRow, BiasChoosesButDoesNotWeigh) {
  Case test;
  test.rows = 1;
  test.experts = 4;
  test.k = 2;
  test.bias = Bias::kPositive;
  const Result result = Run(test, {0, 0, 0, 0}, {0, 7, 0, 3});
  EXPECT_EQ(result.experts, (std::vector<int32_t>{1, 3}));
  EXPECT_EQ(result.weights[0], 0.25);
  EXPECT_EQ(result.weights[1], 0.25);
}

TEST_F(OneRow, EqualScoresGoToTheLowerExpertAndTheLowerGroup) {
  Case test;
  test.rows = 1;
  test.experts = 128;
  test.k = 40;
  std::vector<int32_t> first(40);
  std::iota(first.begin(), first.end(), 0);
  EXPECT_EQ(Run(test, std::vector<float>(128, 1.0f), {}).experts, first);
  test.groups = 4;
  test.kept_groups = 2;
  EXPECT_EQ(Run(test, std::vector<float>(128, 1.0f), {}).experts, first);
}

TEST_F(OneRow, LargeLogitsDoNotOverflow) {
  for (const int64_t norm_type : {0, 2}) {
    Case test;
    test.rows = 1;
    test.experts = 4;
    test.k = 4;
    test.norm_type = norm_type;
    test.out_flag = true;
    const Result result = Run(test, {1000, 900, -1000, 999}, {});
    EXPECT_EQ(result.experts, (std::vector<int32_t>{0, 3, 1, 2}));
    for (const float score : result.scores) EXPECT_TRUE(std::isfinite(score));
  }
}

TEST(MoeGatingTopK, ResultDoesNotDependOnStrict) {
  Case test;
  test.rows = 33;
  test.experts = 160;
  test.groups = 8;
  test.kept_groups = 3;
  Result strict;
  EXPECT_EQ(Check(test, &strict), "");
  test.strict = false;
  Result other;
  EXPECT_EQ(Check(test, &other), "");
  EXPECT_EQ(strict.weights.bytes, other.weights.bytes);
  EXPECT_EQ(strict.experts, other.experts);
}

// A row of NaN has no order; it takes the places of no other row of its tile.
TEST(MoeGatingTopK, NanStaysInItsRow) {
  for (const auto& [experts, groups, k, bias] : std::vector<std::array<int64_t, 4>>{
           {128, 1, 6, 0}, {128, 8, 6, 1}, {128, 16, 6, 0}, {96, 8, 6, 1}, {192, 4, 70, 0}}) {
    for (const int64_t norm_type : {0, 1, 2}) {
      const auto count = static_cast<size_t>(experts);
      const auto each = static_cast<size_t>(k);
      Case test;
      test.rows = 9;
      test.experts = experts;
      test.k = k;
      test.groups = groups;
      test.kept_groups = groups > 1 ? 3 : 1;
      test.mode = groups > 1 ? 1 : 0;
      test.norm_type = norm_type;
      test.bias = bias == 1 ? Bias::kPositive : Bias::kNone;
      test.cores = 1;
      std::mt19937 random(5);
      std::normal_distribution<float> normal(0.0f, 2.0f);
      std::vector<Values> rows;
      for (int64_t row = 0; row < test.rows; ++row) {
        Values x(test.type, count);
        for (size_t e = 0; e < count; ++e) x.Set(e, normal(random));
        rows.push_back(x);
      }
      const std::vector<uint8_t> none(9, 0);
      const Values added(test.type, count);
      const Result want = Launch(test, rows, added, none);
      ASSERT_EQ(want.plan.tiling.rows_per_tile, 9);
      // All of a row, one expert, one group, one expert of each group.
      for (size_t e = 0; e < count; ++e) {
        const float nan = std::numeric_limits<float>::quiet_NaN();
        rows[1].Set(e, nan);
        if (e == 77) rows[3].Set(e, nan);
        if (e >= 64 && e < 80) rows[5].Set(e, nan);
        if (e % 8 == 3) rows[7].Set(e, nan);
      }
      const Result got = Launch(test, rows, added, none);
      Case alone = test;
      alone.rows = 1;
      EXPECT_NO_THROW(Launch(alone, {rows[1]}, added, none));
      for (const size_t row : {0, 2, 4, 6, 8}) {
        for (size_t at = row * each; at < (row + 1) * each; ++at) {
          EXPECT_EQ(got.experts[at], want.experts[at]) << groups << " groups, row " << row;
          EXPECT_EQ(got.weights[at], want.weights[at]) << groups << " groups, row " << row;
        }
      }
    }
  }
}

TEST(MoeGatingTopK, SmallUbTakesSmallTiles) {
  Case test;
  test.rows = 60;
  test.experts = 256;
  test.cores = 2;
  Result large;
  EXPECT_EQ(Check(test, &large), "");
  test.ub_bytes = 40960;
  Result small;
  EXPECT_EQ(Check(test, &small), "");
  EXPECT_LT(small.plan.tiling.rows_per_tile, large.plan.tiling.rows_per_tile);
}

TEST(MoeGatingTopK, SmallestUb) {
  std::vector<Case> tests(5);
  tests[1].experts = 60;  // a pitch that is not their number
  tests[1].type = DataType::kFloat16;
  tests[1].norm_type = 2;
  tests[2].groups = 4;
  tests[2].kept_groups = 2;
  tests[2].norm_type = 1;
  tests[2].bias = Bias::kPositive;
  tests[3].finished = true;
  tests[3].row_idx = true;
  tests[4].out_flag = true;
  tests[4].renorm = 1;
  for (Case& test : tests) {
    test.rows = 3;
    const int64_t least = CheckSmallestUb([&](int64_t ub_bytes) {
      test.ub_bytes = ub_bytes;
      EXPECT_EQ(Check(test), "") << "UB of " << ub_bytes;
    });
    EXPECT_LT(least, 65536);
  }
}

}  // namespace
