// cc/softnpu/opapi/attention_test.cc: attention against its definition in double, over each layout
// of keys and values.
#include "cc/softnpu/opapi/attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "cc/softnpu/base/testing/error.h"
#include "tests/softnpu/aclnn.h"

namespace softnpu {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::StartsWith;

constexpr int64_t kHeads = 4;
constexpr int64_t kKvHeads = 2;
constexpr int64_t kSize = 8;
constexpr double kScale = 0.5;

// Two sequences: 2 queries over 3 keys, 1 query over 5 keys. [token, head, element].
const std::vector<int64_t> kQueries = {2, 1};
const std::vector<int64_t> kKeys = {3, 5};

std::vector<double> Random(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i) {
    // Exact in float16.
    out.push_back((static_cast<double>(random() % 257) - 128) / 64);
  }
  return out;
}

const std::vector<double> kQuery = Random(3 * kHeads * kSize, 1);
const std::vector<double> kKey = Random(8 * kKvHeads * kSize, 2);
const std::vector<double> kValue = Random(8 * kKvHeads * kSize, 3);

double At(const std::vector<double>& values, int64_t token, int64_t heads, int64_t head,
          int64_t element) {
  return values[static_cast<size_t>((token * heads + head) * kSize + element)];
}

// The definition. The last query of a sequence stands at its last key; a causal query does not see
// what comes behind it.
std::vector<double> Wanted(bool causal) {
  std::vector<double> out;
  int64_t first_query = 0;
  int64_t first_key = 0;
  for (size_t b = 0; b < kQueries.size(); ++b) {
    for (int64_t t = 0; t < kQueries[b]; ++t) {
      const int64_t seen = causal ? kKeys[b] - kQueries[b] + t + 1 : kKeys[b];
      for (int64_t head = 0; head < kHeads; ++head) {
        const int64_t kv_head = head / (kHeads / kKvHeads);
        std::vector<double> weights;
        double total = 0;
        for (int64_t j = 0; j < seen; ++j) {
          double score = 0;
          for (int64_t d = 0; d < kSize; ++d) {
            score += At(kQuery, first_query + t, kHeads, head, d) *
                     At(kKey, first_key + j, kKvHeads, kv_head, d);
          }
          weights.push_back(std::exp(kScale * score));
          total += weights.back();
        }
        for (int64_t d = 0; d < kSize; ++d) {
          double sum = 0;
          for (int64_t j = 0; j < seen; ++j) {
            sum +=
                weights[static_cast<size_t>(j)] * At(kValue, first_key + j, kKvHeads, kv_head, d);
          }
          out.push_back(sum / total);
        }
      }
    }
    first_query += kQueries[b];
    first_key += kKeys[b];
  }
  return out;
}

// Everything but the keys.
Attention Packed(const DeviceTensor& query, const DeviceTensor& output) {
  Attention a;
  a.query = query.view();
  a.output = output.view();
  a.heads = kHeads;
  a.kv_heads = kKvHeads;
  a.size = a.value_size = kSize;
  a.batch = 2;
  a.scale = kScale;
  a.steps = 3;
  a.packed = true;
  a.q_start = {0, 2};
  a.q_length = kQueries;
  a.kv_length = kKeys;
  return a;
}

Attention Dense(const DeviceTensor& query, const DeviceTensor& key, const DeviceTensor& value,
                const DeviceTensor& output) {
  Attention a = Packed(query, output);
  a.key = key.view();
  a.value = value.view();
  a.kv_steps = 8;
  a.kv_start = {0, 3};
  return a;
}

std::vector<uint8_t> Causal() {
  std::vector<uint8_t> masked(2 * kMaskSide - 1, 0);
  std::fill(masked.begin() + kMaskSide, masked.end(), uint8_t{1});
  return masked;
}

void SetCausal(Attention* a) {
  a->masked = Causal();
  a->after = 0;
  a->from_last = true;
}

// Inputs are exact in float16. A score of 8 products, its exponential, and sums of at most 5 of
// them are each off by less than 16 units of 2^-24 (scores reach 16, so that their exponentials
// have 2^8 times the score's relative error); the result is rounded to 11 bits. |values| <= 2.
constexpr double kBound = 2 * (0x1p-11 + 16 * 0x1p-16);

::testing::Matcher<double> Near(double value) { return ::testing::DoubleNear(value, kBound); }

void ExpectNear(const std::vector<double>& values, const std::vector<double>& wanted) {
  ASSERT_EQ(values.size(), wanted.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], wanted[i], kBound) << i;
}

TEST(Attention, IsItsDefinition) {
  const DeviceTensor query(DType::kHalf, {3, kHeads, kSize}, kQuery);
  const DeviceTensor key(DType::kHalf, {8, kKvHeads, kSize}, kKey);
  const DeviceTensor value(DType::kHalf, {8, kKvHeads, kSize}, kValue);
  const DeviceTensor output(DType::kHalf, {3, kHeads, kSize});
  Attention a = Dense(query, key, value, output);
  a.Run();
  ExpectNear(output.Values(), Wanted(false));
  SetCausal(&a);
  a.Run();
  ExpectNear(output.Values(), Wanted(true));
}

// Places of a token's rows in a cache of 5 blocks of 2 tokens; the table of the first sequence is
// 4, 1 and that of the second 2, 0, 3.
constexpr int64_t kBlock = 2;
const std::vector<double> kTable = {4, 1, -1, 2, 0, 3};

std::vector<double> Paged(const std::vector<double>& rows, bool heads_first) {
  std::vector<double> cache(5 * kBlock * kKvHeads * kSize, kNan);
  int64_t token = 0;
  for (size_t b = 0; b < kKeys.size(); ++b) {
    for (int64_t t = 0; t < kKeys[b]; ++t, ++token) {
      const auto block = static_cast<int64_t>(kTable[b * 3 + static_cast<size_t>(t / kBlock)]);
      for (int64_t head = 0; head < kKvHeads; ++head) {
        const int64_t row = heads_first ? (block * kKvHeads + head) * kBlock + t % kBlock
                                        : (block * kBlock + t % kBlock) * kKvHeads + head;
        for (int64_t d = 0; d < kSize; ++d) {
          cache[static_cast<size_t>(row * kSize + d)] = At(rows, token, kKvHeads, head, d);
        }
      }
    }
  }
  return cache;
}

// The same arithmetic in the same order: equal bit for bit to keys that are not paged.
TEST(Attention, PagesHoldTheSameKeys) {
  const DeviceTensor query(DType::kHalf, {3, kHeads, kSize}, kQuery);
  const DeviceTensor dense_key(DType::kHalf, {8, kKvHeads, kSize}, kKey);
  const DeviceTensor dense_value(DType::kHalf, {8, kKvHeads, kSize}, kValue);
  const DeviceTensor dense(DType::kHalf, {3, kHeads, kSize});
  Dense(query, dense_key, dense_value, dense).Run();
  const DeviceTensor table(DType::kInt32, {2, 3}, kTable);
  for (const bool heads_first : {false, true}) {
    const std::vector<int64_t> shape = heads_first
                                           ? std::vector<int64_t>{5, kKvHeads, kBlock, kSize}
                                           : std::vector<int64_t>{5, kBlock, kKvHeads * kSize};
    const DeviceTensor key(DType::kHalf, shape, Paged(kKey, heads_first));
    const DeviceTensor value(DType::kHalf, shape, Paged(kValue, heads_first));
    const DeviceTensor output(DType::kHalf, {3, kHeads, kSize});
    Attention a = Packed(query, output);
    a.key = key.view();
    a.value = value.view();
    a.table = table.view();
    a.block_size = kBlock;
    a.block_heads_first = heads_first;
    a.Run();
    EXPECT_EQ(output.Values(), dense.Values()) << heads_first;
    EXPECT_EQ(output.Written(), std::string(3 * kHeads * kSize, 'w'));
  }
}

// One head, one query, keys that are not looked at: weights are equal, the result is the mean.
struct Small {
  explicit Small(const DeviceTensor& key, const DeviceTensor& value, int64_t keys,
                 int64_t queries = 1)
      : query(DType::kHalf, {queries, 1, kSize},
              std::vector<double>(static_cast<size_t>(queries * kSize), 0)),
        output(DType::kHalf, {queries, 1, kSize}) {
    a.query = query.view();
    a.output = output.view();
    a.key = key.view();
    a.value = value.view();
    a.heads = a.kv_heads = a.batch = 1;
    a.size = a.value_size = kSize;
    a.steps = queries;
    a.packed = true;
    a.q_start = {0};
    a.q_length = {queries};
    a.kv_length = {keys};
    a.kv_start = {0};
    a.kv_steps = keys;
  }
  DeviceTensor query;
  DeviceTensor output;
  Attention a;
};

std::vector<double> Constant(const std::vector<double>& rows) {
  std::vector<double> out;
  for (const double row : rows) out.insert(out.end(), kSize, row);
  return out;
}

TEST(Attention, EqualScoresGiveTheMean) {
  const DeviceTensor key(DType::kHalf, {4, 1, kSize}, std::vector<double>(4 * kSize, 1));
  const DeviceTensor value(DType::kHalf, {4, 1, kSize}, Constant({1, 3, 5, 11}));
  Small all(key, value, 4, 2);
  all.a.Run();
  EXPECT_THAT(all.output.Values(), Each(5));
  // Two causal queries over 4 keys stand at the third and the fourth.
  Small causal(key, value, 4, 2);
  SetCausal(&causal.a);
  causal.a.Run();
  EXPECT_EQ(causal.output.Values(), Constant({3, 5}));
}

// Which keys the second of two queries and the first see, when equal scores make a mean of powers
// of two: the sum of what was seen tells which.
std::vector<double> Seen(const std::function<void(Attention*)>& change) {
  const DeviceTensor key(DType::kHalf, {4, 1, kSize}, std::vector<double>(4 * kSize, 1));
  const DeviceTensor value(DType::kHalf, {4, 1, kSize}, Constant({1, 2, 4, 8}));
  Small two(key, value, 4, 2);
  change(&two.a);
  two.a.Run();
  const std::vector<double> values = two.output.Values();
  return {values[0], values[static_cast<size_t>(kSize)]};
}

TEST(Attention, BoundsSayHowFarAQuerySees) {
  // Queries at the third and the fourth key; the same positions by a template and by themselves.
  for (const bool has_template : {true, false}) {
    const auto band = [&](int64_t before, int64_t after) {
      return Seen([&](Attention* a) {
        if (has_template) a->masked = Causal();
        a->from_last = true;
        a->before = before;
        a->after = after;
      });
    };
    EXPECT_THAT(band(0, 0), ElementsAre(4, 8));
    EXPECT_THAT(band(1, 0), ElementsAre(3, 6));
    EXPECT_THAT(band(kAllTokens, 0), ElementsAre(Near(7.0 / 3), Near(15.0 / 4)));
    EXPECT_THAT(band(0, 1), ElementsAre(6, 8));
    EXPECT_THAT(band(kAllTokens, kAllTokens), ElementsAre(Near(15.0 / 4), Near(15.0 / 4)));
  }
  // Counted from the first query and the first key.
  EXPECT_THAT(Seen([](Attention* a) { a->before = 0, a->after = 0; }), ElementsAre(1, 2));
}

TEST(Attention, AMaskHidesKeys) {
  // A row of it is longer than there are keys.
  const DeviceTensor mask(DType::kBool, {1, 1, 2, 5}, {0, 1, 1, 0, 0, 1, 1, 1, 0, 0});
  EXPECT_THAT(Seen([&](Attention* a) { a->mask = mask.view(); }), ElementsAre(4.5, 8));
}

// Elements of query_rope and key_rope are further elements of a head.
TEST(Attention, RopePartsAreFurtherElements) {
  const auto half = [](const std::vector<double>& rows, int64_t heads, int64_t tokens,
                       bool second) {
    std::vector<double> out;
    for (int64_t t = 0; t < tokens * heads; ++t) {
      for (int64_t d = 0; d < kSize / 2; ++d) {
        out.push_back(rows[static_cast<size_t>(t * kSize + d + (second ? kSize / 2 : 0))]);
      }
    }
    return out;
  };
  const DeviceTensor query(DType::kHalf, {3, kHeads, kSize / 2}, half(kQuery, kHeads, 3, false));
  const DeviceTensor rope(DType::kHalf, {3, kHeads, kSize / 2}, half(kQuery, kHeads, 3, true));
  const DeviceTensor key(DType::kHalf, {8, kKvHeads, kSize / 2}, half(kKey, kKvHeads, 8, false));
  const DeviceTensor key_rope(DType::kHalf, {8, kKvHeads, kSize / 2},
                              half(kKey, kKvHeads, 8, true));
  const DeviceTensor value(DType::kHalf, {8, kKvHeads, kSize}, kValue);
  const DeviceTensor output(DType::kHalf, {3, kHeads, kSize});
  Attention a = Dense(query, key, value, output);
  a.size = a.rope_size = kSize / 2;
  a.query_rope = rope.view();
  a.key_rope = key_rope.view();
  a.Run();
  ExpectNear(output.Values(), Wanted(false));
}

TEST(Attention, GivesTheLogOfTheSumOfExponentials) {
  const DeviceTensor key(DType::kHalf, {4, 1, kSize}, std::vector<double>(4 * kSize, 1));
  const DeviceTensor lse(DType::kFloat, {2, 1, 1});
  Small two(key, key, 4, 2);
  const DeviceTensor query(DType::kHalf, {2, 1, kSize}, Constant({1, 0}));
  two.a.query = query.view();
  two.a.lse = lse.view();
  two.a.Run();
  // Scores of kSize each, and of 0.
  EXPECT_THAT(lse.Values(), ElementsAre(Near(kSize + std::log(4)), Near(std::log(4))));
  EXPECT_EQ(lse.Written(), "ww");
}

TEST(Attention, WithoutAKeyItIsZero) {
  const DeviceTensor key(DType::kHalf, {2, 1, kSize}, std::vector<double>(2 * kSize, 1));
  const DeviceTensor value(DType::kHalf, {2, 1, kSize}, Constant({7, 8}));
  Small none(key, value, 0);
  none.a.Run();
  EXPECT_THAT(none.output.Values(), Each(0));
  Small masked(key, value, 2);
  masked.a.masked.assign(2 * kMaskSide - 1, 1);
  masked.a.Run();
  EXPECT_THAT(masked.output.Values(), Each(0));
}

// Scores beyond what exp takes: the largest is subtracted first.
TEST(Attention, LargeScoresDoNotOverflow) {
  const DeviceTensor key(DType::kHalf, {2, 1, kSize}, Constant({100, 200}));
  const DeviceTensor value(DType::kHalf, {2, 1, kSize}, Constant({1, 2}));
  Small large(key, value, 2);
  const DeviceTensor query(DType::kHalf, {1, 1, kSize}, Constant({100}));
  large.a.query = query.view();
  large.a.Run();
  EXPECT_THAT(large.output.Values(), Each(2));
}

TEST(Attention, ABlockOutsideTheCacheStops) {
  const DeviceTensor cache(DType::kHalf, {2, kBlock, kSize}, std::vector<double>(4 * kSize, 1));
  for (const double id : {2.0, -1.0}) {
    const DeviceTensor table(DType::kInt32, {1, 2}, {0, id});
    Small paged(cache, cache, 3);
    paged.a.table = table.view();
    paged.a.block_size = kBlock;
    EXPECT_EQ(ErrorOf([&] { paged.a.Run(); }),
              "507015 block_table[0, 1] is " + std::to_string(static_cast<int>(id)) +
                  ", the cache has 2 blocks (undefined on the device)");
  }
}

// Rows of the cache within the length are read, those behind it are not.
TEST(Attention, ReadsTheKeysWithinTheLength) {
  const DeviceTensor cache(DType::kHalf, {2, kBlock, kSize});
  View three = Reshaped(cache.view(), {3, kSize});
  three.MarkWritten();
  const DeviceTensor table(DType::kInt32, {1, 2}, {0, 1});
  for (const int64_t length : {3, 4}) {
    Small paged(cache, cache, length);
    paged.a.table = table.view();
    paged.a.block_size = kBlock;
    const std::string error = ErrorOf([&] { paged.a.Run(); });
    if (length == 3) {
      EXPECT_EQ(error, "");
    } else {
      EXPECT_THAT(error, StartsWith("507015 'key' is read where nobody has written: "));
    }
  }
}

// The first column of the mask says which keys before a query are masked, the first row which
// behind it.
TEST(ReadTemplate, TakesTheFirstRowAndColumn) {
  std::vector<double> mask(kMaskSide * kMaskSide, 0);
  mask[3] = 1;              // 3 keys behind the query
  mask[5 * kMaskSide] = 1;  // 5 keys before it
  mask[7 * kMaskSide + 7] = 1;
  const DeviceTensor tensor(DType::kBool, {kMaskSide, kMaskSide}, mask);
  const std::vector<uint8_t> masked = ReadTemplate(tensor.view());
  ASSERT_EQ(masked.size(), static_cast<size_t>(2 * kMaskSide - 1));
  std::vector<int64_t> distances;
  for (size_t i = 0; i < masked.size(); ++i) {
    if (masked[i] != 0) distances.push_back(static_cast<int64_t>(i) - (kMaskSide - 1));
  }
  EXPECT_THAT(distances, ElementsAre(-5, 3));
}

}  // namespace
}  // namespace softnpu
