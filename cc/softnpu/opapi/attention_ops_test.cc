// cc/softnpu/opapi/attention_ops_test.cc: which calls of the fused attention are taken, in which
// layouts, and the sentences of those that are refused. Values: attention_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(FusedInferAttentionScoreV3, const Tensor*, const TensorList*, const TensorList*,
              const Tensor*, const Tensor*, const IntArray*, const IntArray*, const Tensor*,
              const Tensor*, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const IntArray*, const Tensor*, const Tensor*, const Tensor*, int64_t, double,
              int64_t, int64_t, const char*, int64_t, int64_t, int64_t, int64_t, int64_t, bool,
              int64_t, int64_t, Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kSize = 128;

std::vector<double> Constant(const std::vector<double>& rows, int64_t width = kSize) {
  std::vector<double> out;
  for (const double row : rows) out.insert(out.end(), static_cast<size_t>(width), row);
  return out;
}

// A legal call: 3 queries of one head in two sequences (1 and 2 queries) over 2 and 3 keys, packed.
// Queries are 0, so that the result is the mean of the values that a query sees.
class FusedAttention : public ::testing::Test {
 protected:
  Outcome Run() {
    const DeviceTensors keys({key});
    const DeviceTensors values({value});
    const auto ints = [](const std::vector<int64_t>& list) {
      return list.empty() ? nullptr : std::make_unique<IntArray>(IntArray{list});
    };
    const auto query_lengths = ints(lengths);
    const auto kv_lengths = ints(key_lengths);
    const Tensor* const no = nullptr;
    const IntArray* const no_ints = nullptr;
    return CALL(FusedInferAttentionScoreV3, *query, keys, values, pse_shift, mask,
                query_lengths.get(), kv_lengths.get(), no, no, no, no, no, no, no, table, no, no,
                no, no, no, no, no, no, no_ints, query_rope, key_rope, no, heads, scale, pre_tokens,
                next_tokens, layout, kv_heads, sparse_mode, inner_precise, block_size, int64_t{0},
                lse, int64_t{0}, int64_t{0}, *output, softmax_lse);
  }
  std::string Result() { return Run().result; }
  static std::string Refused(int32_t code, const std::string& sentence) {
    return "refused " + std::to_string(code) + ": aclnnFusedInferAttentionScoreV3: " + sentence;
  }

  // A dense tensor of float16 zeros that lives as long as the test.
  const DeviceTensor* Zeros(const std::vector<int64_t>& shape, DType dtype = DType::kHalf) {
    size_t count = 1;
    for (const int64_t dim : shape) count *= static_cast<size_t>(dim);
    made_.push_back(std::make_unique<DeviceTensor>(dtype, shape, std::vector<double>(count, 0)));
    return made_.back().get();
  }

  const DeviceTensor query_{DType::kHalf, {3, 1, kSize}, Constant({0, 0, 0})};
  const DeviceTensor key_{DType::kHalf, {5, 1, kSize}, Constant({1, 1, 1, 1, 1})};
  const DeviceTensor value_{DType::kHalf, {5, 1, kSize}, Constant({2, 4, 3, 6, 9})};
  const DeviceTensor output_{DType::kHalf, {3, 1, kSize}};

  const DeviceTensor* query = &query_;
  const DeviceTensor* key = &key_;
  const DeviceTensor* value = &value_;
  const DeviceTensor* output = &output_;
  const Tensor* pse_shift = nullptr;
  const Tensor* mask = nullptr;
  const Tensor* table = nullptr;
  const Tensor* query_rope = nullptr;
  const Tensor* key_rope = nullptr;
  Tensor* softmax_lse = nullptr;
  int64_t pre_tokens = 0;
  int64_t next_tokens = 0;
  std::vector<int64_t> lengths = {1, 3};      // cumulative
  std::vector<int64_t> key_lengths = {2, 5};  // cumulative
  int64_t heads = 1;
  int64_t kv_heads = 1;
  double scale = 0.1;
  const char* layout = "TND";
  int64_t sparse_mode = 0;
  int64_t inner_precise = 0;
  int64_t block_size = 0;
  bool lse = false;

 private:
  std::vector<std::unique_ptr<DeviceTensor>> made_;
};

TEST_F(FusedAttention, OfPackedSequences) {
  const Outcome outcome = Run();
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_EQ(output->Values(), Constant({3, 6, 6}));
  EXPECT_THAT(outcome.accesses, ElementsAre("query some [3, 1, 128]", "output some [3, 1, 128]",
                                            "key some [5, 1, 128]", "value some [5, 1, 128]"));
}

// 1 above the diagonal.
const DeviceTensor& Triangle() {
  static const auto* const tensor = [] {
    std::vector<double> triangle(2048 * 2048, 0);
    for (size_t i = 0; i < 2048; ++i) {
      for (size_t j = i + 1; j < 2048; ++j) triangle[i * 2048 + j] = 1;
    }
    return new DeviceTensor(DType::kInt8, {2048, 2048}, triangle);
  }();
  return *tensor;
}

// Sparse mode 3 aligns the last query with the last key.
TEST_F(FusedAttention, WithACausalMask) {
  mask = Triangle();
  sparse_mode = 3;
  const Outcome outcome = Run();
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_EQ(output->Values(), Constant({3, 4.5, 6}));
  EXPECT_EQ(outcome.accesses.back(), "atten_mask reads [2048, 2048]");
}

// Sparse mode 4 has bounds besides: a query and the one before it.
TEST_F(FusedAttention, WithAWindow) {
  mask = Triangle();
  sparse_mode = 4;
  pre_tokens = 1;
  ASSERT_EQ(Result(), "ran");
  EXPECT_EQ(output->Values(), Constant({3, 4.5, 7.5}));
  pre_tokens = 0;
  ASSERT_EQ(Result(), "ran");
  EXPECT_EQ(output->Values(), Constant({4, 6, 9}));
  next_tokens = -1;
  EXPECT_EQ(Result(),
            Refused(561002, "'pre_tokens' 0 and 'next_tokens' -1 leave nothing between them"));
}

// Two sequences of one query, over 2 and 3 of 3 keys.
TEST_F(FusedAttention, WithAMaskForEachSequence) {
  const DeviceTensor values(DType::kHalf, {2, 3, kSize}, Constant({1, 2, 100, 4, 8, 16}));
  const DeviceTensor result(DType::kHalf, {2, 1, kSize});
  const DeviceTensor hidden(DType::kBool, {2, 3}, {1, 0, 0, 1, 0, 0});
  query = Zeros({2, 1, kSize});
  key = Zeros({2, 3, kSize});
  value = &values;
  output = &result;
  layout = "BSH";
  lengths = {};
  key_lengths = {2, 3};
  mask = hidden;
  // Neither the mode nor its bounds count with one query, and not the mode's template.
  sparse_mode = 3;
  ASSERT_EQ(Result(), "ran");
  EXPECT_EQ(output->Values(), Constant({2, 12}));
  mask = Triangle();
  ASSERT_EQ(Result(), "ran");
  EXPECT_EQ(output->Values(), Constant({1.5, Rounded(DType::kHalf, 28.0 / 3)}));
  sparse_mode = 0;
  EXPECT_THAT(Result(), HasSubstr("refused 561002: aclnnFusedInferAttentionScoreV3: 'atten_mask' "
                                  "is int8 [2048, 2048]; for 2 sequences of 1 queries over 3 keys "
                                  "it must be [sequences, 1, queries, keys]"));
}

// With several queries, sparse mode 0 has a mask and bounds, counted from the first query.
TEST_F(FusedAttention, WithAMaskForEachQuery) {
  const DeviceTensor values(DType::kHalf, {1, 3, kSize}, Constant({1, 3, 8}));
  const DeviceTensor result(DType::kHalf, {1, 2, kSize});
  const DeviceTensor hidden(DType::kInt8, {1, 2, 3}, {1, 0, 0, 0, 1, 0});
  query = Zeros({1, 2, kSize});
  key = Zeros({1, 3, kSize});
  value = &values;
  output = &result;
  layout = "BSH";
  lengths = {};
  key_lengths = {};
  mask = hidden;
  pre_tokens = next_tokens = 2147483647;
  ASSERT_EQ(Result(), "ran");
  EXPECT_EQ(output->Values(), Constant({5.5, 4.5}));
  next_tokens = 1;
  ASSERT_EQ(Result(), "ran");
  EXPECT_EQ(output->Values(), Constant({3, 4.5}));
  next_tokens = 0;
  pre_tokens = 1;
  ASSERT_EQ(Result(), "ran");
  EXPECT_EQ(output->Values(), Constant({0, 1}));
  // Mode 1 has no bounds.
  sparse_mode = 1;
  ASSERT_EQ(Result(), "ran");
  EXPECT_EQ(output->Values(), Constant({5.5, 4.5}));
  // Mode 2 aligns the first query with the first key.
  mask = Triangle();
  sparse_mode = 2;
  ASSERT_EQ(Result(), "ran");
  EXPECT_EQ(output->Values(), Constant({1, 2}));
}

TEST_F(FusedAttention, GivesTheLogOfTheSumOfExponentials) {
  const DeviceTensor sums(DType::kFloat, {3, 1, 1});
  softmax_lse = sums;
  lse = true;
  ASSERT_EQ(Result(), "ran");
  std::vector<double> expected;
  for (const double keys : {2.0, 3.0, 3.0}) {
    expected.push_back(Rounded(DType::kFloat, std::log(keys)));
  }
  EXPECT_EQ(sums.Values(), expected);
  const DeviceTensor wrong(DType::kFloat, {1, 3, 1});
  softmax_lse = wrong;
  EXPECT_EQ(Result(), Refused(161002,
                              "'softmax_lse' is float32 [1, 3, 1], which does not fit 'query' "
                              "float16 [3, 1, 128]"));
}

// Latent attention of one query in each of two sequences: the second key of a sequence has a part
// of its own that makes it count alone.
class LatentAttention : public FusedAttention {
 protected:
  LatentAttention() {
    std::vector<double> far = Constant({0, 0}, 64);
    far[64] = 1000;
    std::vector<double> keys(2 * 16 * 64, 0);
    keys[64] = keys[16 * 64 + 64] = 1;
    std::vector<double> rows(2 * 16 * 512, 0);
    for (size_t i = 0; i < 512; ++i)
      rows[i] = 1, rows[512 + i] = 3, rows[16 * 512 + i] = 5, rows[17 * 512 + i] = 9;
    cache_ = std::make_unique<DeviceTensor>(DType::kHalf, std::vector<int64_t>{2, 16, 512}, rows);
    key_rope_ = std::make_unique<DeviceTensor>(DType::kHalf, std::vector<int64_t>{2, 16, 64}, keys);
    query_rope_ =
        std::make_unique<DeviceTensor>(DType::kHalf, std::vector<int64_t>{2, 1, 1, 64}, far);
    blocks_ = std::make_unique<DeviceTensor>(DType::kInt32, std::vector<int64_t>{2, 1},
                                             std::vector<double>{0, 1});
    result_ = std::make_unique<DeviceTensor>(DType::kHalf, std::vector<int64_t>{2, 1, 1, 512});
    query = Zeros({2, 1, 1, 512});
    key = value = cache_.get();
    query_rope = *query_rope_;
    key_rope = *key_rope_;
    table = *blocks_;
    output = result_.get();
    layout = "BSND";
    lengths = {};
    key_lengths = {2, 2};
    block_size = 16;
  }
  std::unique_ptr<DeviceTensor> cache_, key_rope_, query_rope_, blocks_, result_;
};

TEST_F(LatentAttention, TakesKeysForValues) {
  ASSERT_EQ(Result(), "ran");
  std::vector<double> expected = Constant({2}, 512);
  const std::vector<double> second = Constant({9}, 512);
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(output->Values(), expected);
}

// A band without neighbours: the last key alone.
TEST_F(LatentAttention, HasABandWithOneQuery) {
  mask = Triangle();
  sparse_mode = 4;
  ASSERT_EQ(Result(), "ran");
  std::vector<double> expected = Constant({3}, 512);
  const std::vector<double> second = Constant({9}, 512);
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(output->Values(), expected);
}

TEST_F(LatentAttention, RefusesWhatTheDeviceRefuses) {
  heads = 3;
  query = Zeros({2, 1, 3, 512});
  query_rope = *Zeros({2, 1, 3, 64});
  output = Zeros({2, 1, 3, 512});
  EXPECT_THAT(Result(),
              HasSubstr("3 query heads of 512 over 1 key heads: one key head and 1, 2, 4"));
  heads = 1;
  query = Zeros({2, 1, 1, 512});
  output = result_.get();
  EXPECT_THAT(
      Result(),
      HasSubstr("'query_rope' is float16 [2, 1, 3, 64], 'query' is float16 [2, 1, 1, 512]"));
  query_rope = *query_rope_;
  key_rope = nullptr;
  EXPECT_EQ(Result(), Refused(561002, "of 'query_rope' and 'key_rope' only one is given"));
  key_rope = *Zeros({2, 16, 32});
  EXPECT_THAT(Result(),
              HasSubstr("'key_rope' is float16 [2, 16, 32], 'key' is float16 [2, 16, 512]"));
  key_rope = *key_rope_;
  lse = true;
  EXPECT_EQ(
      Result(),
      Refused(561002,
              "'softmax_lse_flag' is true, which heads of 512 with 'query_rope' do not have"));
  lse = false;
  sparse_mode = 1;
  EXPECT_EQ(Result(), Refused(561002, "sparse mode 1 with 'query_rope': 0, 3 or 4"));
}

// Two blocks of 16 tokens; the first sequence has block 1, the second block 0.
TEST_F(FusedAttention, OfPagedKeys) {
  std::vector<double> cache(2 * 16 * kSize, kNan);
  const std::vector<double> first = Constant({3, 6, 9});
  const std::vector<double> second = Constant({2, 4});
  std::copy(first.begin(), first.end(), cache.begin());
  std::copy(second.begin(), second.end(), cache.begin() + 16 * kSize);
  const DeviceTensor paged_key(DType::kHalf, {2, 16, kSize}, cache);
  const DeviceTensor paged_value(DType::kHalf, {2, 16, kSize}, cache);
  const DeviceTensor blocks(DType::kInt32, {2, 1}, {1, 0});
  key = &paged_key;
  value = &paged_value;
  table = blocks;
  block_size = 16;
  key_lengths = {2, 3};  // of each sequence
  const Outcome outcome = Run();
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_EQ(output->Values(), Constant({3, 6, 6}));
  EXPECT_EQ(outcome.accesses.back(), "block_table some [2, 1]");

  block_size = 24;
  EXPECT_EQ(Result(), Refused(561002, "the block size 24: a multiple of 16, at most 1024"));
  block_size = 32;
  EXPECT_THAT(Result(), HasSubstr("the paged 'key' is float16 [2, 16, 128]; with block size 32 and "
                                  "1 heads of 128 it must be"));
  block_size = 16;
  key_lengths = {2, 17};
  EXPECT_EQ(Result(), Refused(561002,
                              "'actual_seq_lengths_kv' gives a length of 17, the limits are "
                              "0 and 16"));
  key_lengths = {2};
  EXPECT_EQ(Result(), Refused(561002, "'actual_seq_lengths_kv' has 1 entries for 2 sequences"));
  key_lengths = {2, 3};
  const DeviceTensor tall(DType::kInt32, {3, 1}, {1, 0, 0});
  table = tall;
  EXPECT_EQ(Result(), Refused(561002,
                              "'block_table' is int32 [3, 1], it must be int32 [2, blocks "
                              "per sequence]"));
}

// Two sequences of two queries, over keys of which the second sequence has one less.
TEST_F(FusedAttention, OfPaddedSequencesInEveryLayout) {
  const std::vector<double> values = Constant({1, 3, 8, 5, 7, 100});
  for (const char* name : {"BSH", "BSND", "BNSD"}) {
    const std::string text = name;
    const auto shape = [&](int64_t steps) -> std::vector<int64_t> {
      if (text == "BSH") return {2, steps, kSize};
      if (text == "BSND") return {2, steps, 1, kSize};
      return {2, 1, steps, kSize};
    };
    const DeviceTensor padded_value(DType::kHalf, shape(3), values);
    const DeviceTensor padded_output(DType::kHalf, shape(2));
    query = Zeros(shape(2));
    key = Zeros(shape(3));
    value = &padded_value;
    output = &padded_output;
    layout = name;
    lengths = {2, 1};
    key_lengths = {3, 2};
    ASSERT_EQ(Result(), "ran") << name;
    const std::vector<double> got = output->Values();
    EXPECT_EQ(std::vector<double>(got.begin(), got.begin() + 3 * kSize), Constant({4, 4, 6}))
        << name;
    // Nobody writes what lies behind a sequence's queries.
    EXPECT_EQ(output->Written(), std::string(3 * kSize, 'w') + std::string(kSize, '.')) << name;
  }
}

TEST_F(FusedAttention, RefusesArgumentsThatItDoesNotHave) {
  pse_shift = *key;
  EXPECT_EQ(Result(),
            Refused(561103, "'pse_shift' is given; SoftNPU has attention without it only"));
  pse_shift = nullptr;
  layout = "NTD";
  EXPECT_EQ(Result(), Refused(561103, "the layout NTD; SoftNPU has TND, BSH, BSND and BNSD"));
  layout = nullptr;
  EXPECT_EQ(Result(), Refused(161001, "the argument 'input_layout' is null"));
}

TEST_F(FusedAttention, RefusesDTypesAndShapes) {
  query = Zeros({3, 1, kSize}, DType::kFloat);
  EXPECT_EQ(Result(),
            Refused(161002, "'query' is float32 [3, 1, 128], it must be float16 or bfloat16"));
  query = &query_;
  value = Zeros({5, 1, kSize}, DType::kBfloat16);
  EXPECT_EQ(Result(), Refused(161002,
                              "'value' is bfloat16 [5, 1, 128], 'query' is float16 [3, 1, "
                              "128]"));
  value = Zeros({4, 1, kSize});
  EXPECT_EQ(Result(), Refused(161002,
                              "'key' is float16 [5, 1, 128], 'value' is float16 [4, 1, "
                              "128]"));
  value = &value_;
  output = Zeros({2, 1, kSize});
  EXPECT_EQ(Result(), Refused(161002,
                              "'output' is float16 [2, 1, 128], 'query' is float16 [3, 1, "
                              "128] and values have 128 elements"));
  output = &output_;
  const DeviceTensor columns(DType::kHalf, {3, 1, kSize}, {1, 1, 3}, 0,
                             std::vector<double>(3 * kSize, 0));
  query = &columns;
  EXPECT_EQ(Result(), Refused(161002, "'query' is not contiguous"));
  query = Zeros({3, kSize});
  EXPECT_EQ(Result(),
            Refused(161002, "'query' is float16 [3, 128], which is not of the layout TND"));
}

TEST_F(FusedAttention, RefusesHeads) {
  kv_heads = 2;
  EXPECT_EQ(Result(), Refused(561002,
                              "1 query heads over 2 key heads: at most 256, a multiple of "
                              "the key heads, at most 64 times as many"));
  kv_heads = 1;
  heads = 2;
  EXPECT_EQ(Result(), Refused(561002, "'query' is float16 [3, 1, 128], the number of heads 2"));
  heads = 1;
  query = Zeros({3, 1, 100});
  key = value = Zeros({5, 1, 100});
  output = Zeros({3, 1, 100});
  EXPECT_EQ(Result(), Refused(561002, "the head size 100: a multiple of 16, at most 512"));
  query = Zeros({3, 1, 32});
  key = value = Zeros({5, 1, 32});
  output = Zeros({3, 1, 32});
  EXPECT_THAT(Result(),
              HasSubstr("the head size 32 in the layout TND, 32 for values, 1 query heads "
                        "over 1 key heads: 128 and 128, "));
}

TEST_F(FusedAttention, RefusesLengths) {
  lengths = {2, 1, 3};
  key_lengths = {2, 3, 5};
  EXPECT_EQ(Result(), Refused(561002,
                              "'actual_seq_lengths' holds 1 after 2: it is cumulative and "
                              "ends at 3"));
  lengths = {1, 2};
  key_lengths = {2, 5};
  EXPECT_EQ(Result(), Refused(561002, "'actual_seq_lengths' ends at 2, 'query' has 3 tokens"));
  lengths = {1, 3};
  key_lengths = {2, 4};
  EXPECT_EQ(Result(), Refused(561002, "'actual_seq_lengths_kv' ends at 4, 'key' has 5 tokens"));
  key_lengths = {5};
  EXPECT_EQ(Result(), Refused(561002, "'actual_seq_lengths_kv' has 1 entries for 2 sequences"));
  key_lengths = {};
  EXPECT_EQ(Result(), Refused(161001, "the argument 'actual_seq_lengths_kv' is null"));
  lengths = {};
  EXPECT_EQ(Result(), Refused(161001, "the argument 'actual_seq_lengths' is null"));
}

TEST_F(FusedAttention, RefusesMasks) {
  sparse_mode = 5;
  EXPECT_EQ(Result(), Refused(561002, "sparse mode 5, the limits are 0 and 4"));
  sparse_mode = 2;
  EXPECT_EQ(Result(), Refused(561002, "sparse mode 2 in the layout TND: 0, 3 or 4"));
  sparse_mode = 3;
  EXPECT_EQ(Result(), Refused(161001, "the argument 'atten_mask' is null"));
  mask = *Zeros({2048, 1}, DType::kBool);
  EXPECT_EQ(Result(), Refused(561002,
                              "'atten_mask' is bool [2048, 1]; sparse modes 2, 3 and 4 need "
                              "exactly [2048, 2048]"));
  mask = *Zeros({3, 3});
  EXPECT_EQ(Result(), Refused(161002,
                              "'atten_mask' is float16 [3, 3], it must be bool, int8 or "
                              "uint8"));
  sparse_mode = 0;
  EXPECT_EQ(Result(),
            Refused(561002, "sparse mode 0 with a mask in the layout TND: it has none there"));
  mask = nullptr;
  inner_precise = 4;
  EXPECT_EQ(Result(), Refused(561002, "'inner_precise' is 4, the limits are 0 and 3"));
}

TEST_F(FusedAttention, TakesOneTensorOfKeys) {
  const DeviceTensors two({key, key});
  const DeviceTensors one({value});
  const IntArray query_lengths{lengths};
  const IntArray kv_lengths{key_lengths};
  const Tensor* const no = nullptr;
  const IntArray* const no_ints = nullptr;
  EXPECT_EQ(
      CALL(FusedInferAttentionScoreV3, *query, two, one, no, no, &query_lengths, &kv_lengths, no,
           no, no, no, no, no, no, no, no, no, no, no, no, no, no, no, no_ints, no, no, no, heads,
           scale, int64_t{0}, int64_t{0}, layout, kv_heads, sparse_mode, inner_precise, block_size,
           int64_t{0}, lse, int64_t{0}, int64_t{0}, *output, static_cast<Tensor*>(nullptr))
          .result,
      Refused(561103, "2 key tensors; SoftNPU has attention over one"));
}

}  // namespace
}  // namespace softnpu
