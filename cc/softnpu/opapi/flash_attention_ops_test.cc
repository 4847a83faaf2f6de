// cc/softnpu/opapi/flash_attention_ops_test.cc: against attention in plain loops, for each layout,
// mask and sparse mode.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(FlashAttentionScore, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, const Tensor*, const Tensor*, const IntArray*, double, double, int64_t,
              int64_t, int64_t, const char*, int64_t, int64_t, Tensor*, Tensor*, Tensor*, Tensor*)

namespace {

using ::testing::HasSubstr;

constexpr int64_t kBatch = 2, kHeads = 4, kKvHeads = 2, kSize = 3, kSide = 2048;
constexpr int64_t kAll = 2147483647;
constexpr double kScale = 0.75;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Tensor* kNone = nullptr;
constexpr IntArray* kNoPrefix = nullptr;

// Values of [batch, heads, tokens, size], and the same in a layout.
struct Values {
  Values(std::mt19937* random, int64_t heads, int64_t tokens) : heads(heads), tokens(tokens) {
    for (int64_t i = 0; i < kBatch * heads * tokens * kSize; ++i) {
      numbers.push_back(static_cast<double>((*random)() % 33) / 16 - 1);
    }
  }
  double At(int64_t b, int64_t head, int64_t t, int64_t d) const {
    return numbers[static_cast<size_t>(((b * heads + head) * tokens + t) * kSize + d)];
  }
  std::vector<int64_t> Shape(const std::string& layout) const {
    if (layout == "BNSD") return {kBatch, heads, tokens, kSize};
    if (layout == "BSND") return {kBatch, tokens, heads, kSize};
    if (layout == "BSH") return {kBatch, tokens, heads * kSize};
    return {tokens, kBatch, heads * kSize};
  }
  std::vector<double> In(const std::string& layout) const {
    std::vector<double> out(numbers.size());
    for (int64_t b = 0; b < kBatch; ++b) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t t = 0; t < tokens; ++t) {
          for (int64_t d = 0; d < kSize; ++d) {
            const int64_t row = layout == "BNSD"  ? (b * heads + h) * tokens + t
                                : layout == "SBH" ? (t * kBatch + b) * heads + h
                                                  : (b * tokens + t) * heads + h;
            out[static_cast<size_t>(row * kSize + d)] = At(b, h, t, d);
          }
        }
      }
    }
    return out;
  }
  int64_t heads, tokens;
  std::vector<double> numbers;
};

using Hides = bool (*)(int64_t b, int64_t head, int64_t i, int64_t j);

struct Case {
  const char* layout;
  int64_t sparse;
  int64_t before, after;
  std::vector<int64_t> mask;  // its shape; empty: none
  Hides hides;                // with the mask
};

constexpr int64_t kQueries = 5, kKeys = 7;
bool Odd(int64_t b, int64_t head, int64_t i, int64_t j) { return (b + head + i + j) % 3 == 0; }
bool OddOfAll(int64_t, int64_t, int64_t i, int64_t j) { return (i * j) % 3 == 1; }
bool OddOfBatch(int64_t b, int64_t, int64_t i, int64_t j) { return (b + i * j) % 3 == 1; }
bool First(int64_t, int64_t, int64_t i, int64_t j) { return j > i; }
bool Last(int64_t, int64_t, int64_t i, int64_t j) { return j > i + kKeys - kQueries; }
bool Band(int64_t, int64_t, int64_t i, int64_t j) {
  const int64_t delta = j - i - (kKeys - kQueries);
  return delta > 1 || delta < -2;
}
bool Tokens(int64_t, int64_t, int64_t i, int64_t j) {
  return OddOfAll(0, 0, i, j) || j > i + 1 || j < i - 2;
}
bool RowOfNothing(int64_t, int64_t, int64_t i, int64_t) { return i == 2; }
bool Nothing(int64_t, int64_t, int64_t, int64_t) { return false; }

class FlashAttention : public ::testing::TestWithParam<Case> {
 protected:
  FlashAttention() {
    std::mt19937 random(3);
    query_ = new Values(&random, kHeads, kQueries);
    key_ = new Values(&random, kKvHeads, kKeys);
    value_ = new Values(&random, kKvHeads, kKeys);
  }
  ~FlashAttention() override {
    delete query_;
    delete key_;
    delete value_;
  }

  // The mask of a case: a template for the modes that have one.
  static std::vector<double> MaskOf(const Case& c) {
    std::vector<double> out;
    if (c.sparse >= 2) {
      for (int64_t i = 0; i < kSide; ++i) {
        for (int64_t j = 0; j < kSide; ++j) out.push_back(j > i ? 1 : 0);
      }
      return out;
    }
    const bool flat = c.mask.size() == 2;
    // With tokens, what these hide is not in the mask.
    const Hides hides = c.hides == &Tokens ? &OddOfAll : c.hides;
    for (int64_t b = 0; b < (flat ? 1 : c.mask[0]); ++b) {
      for (int64_t h = 0; h < (flat ? 1 : c.mask[1]); ++h) {
        for (int64_t i = 0; i < kQueries; ++i) {
          for (int64_t j = 0; j < kKeys; ++j) out.push_back(hides(b, h, i, j) ? 1 : 0);
        }
      }
    }
    return out;
  }

  Values* query_;
  Values* key_;
  Values* value_;
};

TEST_P(FlashAttention, IsThatOfPlainLoops) {
  const Case& c = GetParam();
  const auto tensor = [&](const Values& values) {
    return std::make_unique<DeviceTensor>(DType::kFloat, values.Shape(c.layout),
                                          values.In(c.layout));
  };
  const auto query = tensor(*query_), key = tensor(*key_), value = tensor(*value_);
  std::unique_ptr<DeviceTensor> mask;
  if (!c.mask.empty()) mask = std::make_unique<DeviceTensor>(DType::kBool, c.mask, MaskOf(c));
  const DeviceTensor out(DType::kFloat, query_->Shape(c.layout));
  const DeviceTensor tops(DType::kFloat, {kBatch, kHeads, kQueries, 8}),
      sums(DType::kFloat, {kBatch, kHeads, kQueries, 8}), reserved(DType::kFloat, {0});
  Tensor* const given = mask ? static_cast<Tensor*>(*mask) : kNone;
  ASSERT_EQ(CALL(FlashAttentionScore, *query, *key, *value, kNone, kNone, kNone, given, kNoPrefix,
                 kScale, 1.0, c.before, c.after, kHeads, c.layout, int64_t{0}, c.sparse, tops, sums,
                 reserved, out)
                .result,
            "ran");
  Values want = *query_;
  const std::vector<double> found_tops = tops.Values(), found_sums = sums.Values();
  size_t row = 0;
  for (int64_t b = 0; b < kBatch; ++b) {
    for (int64_t h = 0; h < kHeads; ++h) {
      for (int64_t i = 0; i < kQueries; ++i, ++row) {
        double top = -kInfinity, sum = 0, added[kSize] = {};
        double scores[kKeys];
        for (int64_t j = 0; j < kKeys; ++j) {
          scores[j] = 0;
          for (int64_t d = 0; d < kSize; ++d) {
            scores[j] += kScale * query_->At(b, h, i, d) * key_->At(b, h / 2, j, d);
          }
          if (c.hides(b, h, i, j)) scores[j] = -kInfinity;
          top = std::max(top, scores[j]);
        }
        for (int64_t j = 0; j < kKeys; ++j) {
          const double weight = scores[j] == -kInfinity ? 0 : std::exp(scores[j] - top);
          sum += weight;
          for (int64_t d = 0; d < kSize; ++d) added[d] += weight * value_->At(b, h / 2, j, d);
        }
        for (int64_t d = 0; d < kSize; ++d) {
          want.numbers[row * kSize + static_cast<size_t>(d)] = sum == 0 ? 0 : added[d] / sum;
        }
        for (size_t copy = 0; copy < 8; ++copy) {
          EXPECT_EQ(found_tops[row * 8 + copy], static_cast<float>(top));
          EXPECT_NEAR(found_sums[row * 8 + copy], sum, 1e-7 * sum);  // one rounding to float32
        }
      }
    }
  }
  // Values are at most 1: one rounding to float32, and those of double precision.
  const std::vector<double> expected = want.In(c.layout), found = out.Values();
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 6.1e-8);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, FlashAttention,
    ::testing::Values(Case{"BNSD", 0, kAll, kAll, {}, &Nothing},
                      Case{"BSND", 0, 1, 0, {}, &Nothing},
                      Case{"BSH", 2, kAll, kAll, {kSide, kSide}, &First},
                      Case{"SBH", 3, kAll, kAll, {kSide, kSide}, &Last},
                      Case{"BNSD", 4, 2, 1, {kSide, kSide}, &Band},
                      Case{"BNSD", 0, kAll, kAll, {kBatch, kHeads, kQueries, kKeys}, &Odd},
                      Case{"BSH", 1, 1, 0, {kBatch, 1, kQueries, kKeys}, &OddOfBatch},
                      Case{"SBH", 0, kAll, kAll, {1, 1, kQueries, kKeys}, &OddOfAll},
                      Case{"BSND", 0, 2, 1, {kQueries, kKeys}, &Tokens},
                      Case{"BNSD", 1, kAll, kAll, {kQueries, kKeys}, &RowOfNothing}));

class FlashAttentionRefuses : public ::testing::Test {
 protected:
  std::string Result(const Tensor* query, const Tensor* key, const char* layout = "BNSD",
                     int64_t heads = 2, const Tensor* mask = nullptr, int64_t sparse = 0,
                     double keep = 1, const Tensor* pse = nullptr,
                     const IntArray* prefix = nullptr) {
    return CALL(FlashAttentionScore, query, key, key, pse, kNone, kNone, mask, prefix, 1.0, keep,
                kAll, kAll, heads, layout, int64_t{0}, sparse, kNone, kNone, kNone, out_)
        .result;
  }
  const DeviceTensor x_{DType::kHalf, {1, 2, 3, 16}, std::vector<double>(96, 0.5)};
  const DeviceTensor out_{DType::kHalf, {1, 2, 3, 16}};
};

TEST_F(FlashAttentionRefuses, WhatThePagesRefuse) {
  EXPECT_EQ(Result(x_, x_), "ran");
  const DeviceTensor other(DType::kBfloat16, {1, 2, 3, 16}, std::vector<double>(96, 0.5));
  const DeviceTensor more(DType::kHalf, {1, 3, 3, 16}, std::vector<double>(144, 0.5));
  const DeviceTensor whole(DType::kInt32, {1, 2, 3, 16}, std::vector<double>(96, 1));
  const DeviceTensor mask(DType::kBool, {3, 4}, std::vector<double>(12, 0));
  EXPECT_THAT(Result(x_, other), HasSubstr("both must have one type"));
  EXPECT_THAT(Result(x_, more), HasSubstr("'query' has 2 heads, and 'key' 3"));
  EXPECT_THAT(Result(whole, whole), HasSubstr("'query' is int32"));
  EXPECT_THAT(Result(x_, x_, "TND"), HasSubstr("'inputLayout' is 'TND'"));
  EXPECT_THAT(Result(x_, x_, "BSH"), HasSubstr("'query' is float16 [1, 2, 3, 16]; in the layout"));
  EXPECT_THAT(Result(x_, x_, "BNSD", 4), HasSubstr("'headNum' is 4, and 'query' has 2 heads"));
  EXPECT_THAT(Result(x_, x_, "BNSD", 2, mask), HasSubstr("it must be [3, 3]"));
  EXPECT_THAT(Result(x_, x_, "BNSD", 2, mask, 2), HasSubstr("it must be [2048, 2048]"));
  EXPECT_THAT(Result(x_, x_, "BNSD", 2, kNone, 7), HasSubstr("'sparseMode' is 7"));
  EXPECT_THAT(Result(x_, x_, "BNSD", 2, kNone, 0, 0.5), HasSubstr("'keepProb' is 0.5"));
  EXPECT_THAT(Result(x_, x_, "BNSD", 2, kNone, 0, 1, x_), HasSubstr("'realShift' is given"));
  const HostInts none{}, some{2};
  EXPECT_EQ(Result(x_, x_, "BNSD", 2, kNone, 0, 1, kNone, none), "ran");
  EXPECT_THAT(Result(x_, x_, "BNSD", 2, kNone, 0, 1, kNone, some), HasSubstr("'prefix' is given"));
}

}  // namespace
}  // namespace softnpu
