// cc/ops/rotary/qkv_rmsnorm_rope_test.cc: every refusal is a sentence that names the value.
#include "cc/ops/rotary/qkv_rmsnorm_rope.h"

#include <functional>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vllm_cann::ops {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};
constexpr DataType kBf16 = DataType::kBfloat16;

Tensor Matrix(int64_t rows, int64_t columns, DataType type = kBf16) {
  return {type, 2, {rows, columns}, {columns, 1}};
}
Tensor Vector(int64_t size, DataType type = kBf16) { return {type, 1, {size}, {1}}; }

QkvRmsnormRopeArgs Good() {
  QkvRmsnormRopeArgs args;
  static_cast<QkvShape&>(args) = {Matrix(5, 1536), 8, 2, 128, false};
  args.q_weight = args.k_weight = Vector(128);
  args.positions = Vector(5, DataType::kInt64);
  args.cos_sin_cache = Matrix(100, 64);
  args.epsilon = 1e-6;
  args.q = Matrix(5, 1024);
  args.k = args.v = Matrix(5, 256);
  return args;
}

void GiveAngles(QkvRmsnormRopeArgs& args) {
  args.positions = args.cos_sin_cache = {};
  args.cos = args.sin = Matrix(5, 32);
}

void GiveSums(QkvRmsnormRopeArgs& args) {
  args.square_sums = Matrix(5, 2, DataType::kFloat);
  args.q_weight = Vector(1024);
  args.k_weight = Vector(256);
}

TEST(PlanQkvRmsnormRope, ChoosesTheKernelOfTheType) {
  const QkvRmsnormRopePlan plan = PlanQkvRmsnormRope(Good(), kDevice);
  EXPECT_STREQ(plan.kernel, "qkv_rmsnorm_rope_bfloat16");
  EXPECT_EQ(plan.cores, 5u);
  QkvRmsnormRopeArgs args = Good();
  GiveAngles(args);
  GiveSums(args);
  args.world_size = 4;
  EXPECT_EQ(PlanQkvRmsnormRope(args, kDevice).cores, 5u);
}

TEST(PlanQkvRmsnormRope, RefusesByName) {
  const std::vector<std::pair<std::function<void(QkvRmsnormRopeArgs&)>, const char*>> cases = {
      {[](auto& a) { a.qkv.dims = 3; }, "qkv has 3 dimensions, not [tokens, size]"},
      {[](auto& a) { a.qkv.type = DataType::kInt8; },
       "qkv is int8; it can be float16, bfloat16 or float32"},
      {[](auto& a) { a.heads = 0; },
       "there are 0 heads of query and 2 of key, of 128 elements; all have to be positive"},
      {[](auto& a) { a.kv_heads = -1; }, "8 heads of query and -1 of key"},
      {[](auto& a) { a.head_size = 0; }, "of 0 elements; all have to be positive"},
      {[](auto& a) { a.has_gate = true; },
       "qkv has 1536 elements per token; 8 heads of query and of gate, and 2 of key and of value, "
       "of 128 elements, are 2560"},
      {[](auto& a) { a.qkv.strides[0] = 1535; }, "qkv has strides [1535, 1]"},
      {[](auto& a) { a.qkv.strides[1] = 2; }, "qkv has strides [1536, 2]"},
      {[](auto& a) { a.qkv.strides[0] = 1 << 30; },
       "qkv has the token stride 1073741824; the limit is 1073741823"},
      {[](auto& a) { a.cos = Matrix(5, 32); },
       "angles are cos_sin_cache and positions, or cos and sin"},
      {[](auto& a) {
         GiveAngles(a);
         a.sin.dims = 1;
       },
       "sin has 1 dimensions, not [tokens, rotary_dim / 2]"},
      {[](auto& a) {
         GiveAngles(a);
         a.cos.shape[0] = 4;
       },
       "cos has 4 in dimension 0, the tokens of qkv are 5"},
      {[](auto& a) {
         GiveAngles(a);
         a.cos.type = DataType::kFloat;
       },
       "cos is float32, not bfloat16"},
      {[](auto& a) {
         GiveAngles(a);
         a.cos.strides[0] = 31;
       },
       "cos has strides [31, 1]; a row has to be contiguous"},
      {[](auto& a) {
         GiveAngles(a);
         a.sin.strides[0] = 64;
       },
       "sin has rows of 32 with the stride 64, cos of 32 with 32"},
      {[](auto& a) {
         GiveAngles(a);
         a.cos = a.sin = Matrix(5, 65);
       },
       "cos has the rotary dimension 130; it has to be even, at least 2 and at most the head size "
       "128"},
      {[](auto& a) { a.cos_sin_cache = Matrix(100, 63); },
       "cos_sin_cache has the rotary dimension 63; it has to be even"},
      {[](auto& a) { a.cos_sin_cache = Matrix(100, 0); }, "has the rotary dimension 0"},
      {[](auto& a) { a.cos_sin_cache = Matrix(100, 130); }, "has the rotary dimension 130"},
      {[](auto& a) { a.cos_sin_cache.shape[0] = 0; }, "cos_sin_cache has no rows"},
      {[](auto& a) { a.cos_sin_cache.strides[0] = 65; },
       "cos_sin_cache has stride 65 in dimension 0; it has to be contiguous"},
      {[](auto& a) { a.cos_sin_cache.type = DataType::kFloat16; },
       "cos_sin_cache is float16, not bfloat16"},
      {[](auto& a) { a.positions.dims = 3; }, "positions has 3 dimensions, not one, nor two"},
      {[](auto& a) { a.positions.type = DataType::kFloat; }, "positions is float32, not int32"},
      {[](auto& a) { a.positions.shape[0] = 6; },
       "positions has 6 in dimension 0, the tokens of qkv are 5"},
      {[](auto& a) { a.positions.strides[0] = 2; }, "positions has stride 2 and axes 5 apart"},
      {[](auto& a) {
         a.positions = Matrix(3, 5, DataType::kInt64);
         a.positions.strides[0] = 4;
       },
       "positions has stride 1 and axes 4 apart; positions of an axis have to be contiguous"},
      {[](auto& a) { a.positions = Matrix(2, 5, DataType::kInt64); },
       "positions has 2 axes; there can be one or three"},
      {[](auto& a) {
         a.positions = Matrix(3, 5, DataType::kInt64);
         a.sections[0] = 31;
       },
       "the sections have 31 lanes, half of the rotary dimension is 32"},
      {[](auto& a) {
         a.positions = Matrix(3, 5, DataType::kInt64);
         a.sections[1] = -1;
       },
       "a section of -1 lanes is negative"},
      {[](auto& a) {
         static_cast<QkvShape&>(a) = {Matrix(5, 3 * 258), 1, 1, 258, false};
         a.positions = Matrix(3, 5, DataType::kInt64);
         a.cos_sin_cache = Matrix(100, 258);
       },
       "positions has three axes, which takes a rotary dimension of 256 at most, not 258"},
      {[](auto& a) { static_cast<QkvShape&>(a) = {Matrix(5, 3 * 2048), 1, 1, 2048, false}; },
       "the head size 2048 takes 2048 elements in whole blocks; the limit is 2040"},
      {[](auto& a) {
         GiveSums(a);
         a.square_sums.type = kBf16;
       },
       "square_sums is bfloat16, not float32"},
      {[](auto& a) {
         GiveSums(a);
         a.square_sums = Matrix(5, 1, DataType::kFloat);
       },
       "square_sums has 1 in dimension 1, query and key are 2"},
      {[](auto& a) {
         GiveSums(a);
         a.norm_value = true;
       },
       "norm_value takes the mean of a head, square_sums those of all heads"},
      {[](auto& a) { a.world_size = 2; },
       "world_size is 2; it has to be positive, and 1 without square_sums"},
      {[](auto& a) {
         GiveSums(a);
         a.world_size = 0;
       },
       "world_size is 0; it has to be positive"},
      {[](auto& a) { a.q_weight = Vector(64); }, "q_weight has 64 in dimension 0, it takes 128"},
      {[](auto& a) {
         GiveSums(a);
         a.k_weight = Vector(128);
       },
       "k_weight has 128 in dimension 0, it takes 256"},
      {[](auto& a) { a.k_weight.type = DataType::kFloat; }, "k_weight is float32, not bfloat16"},
      {[](auto& a) { a.q_bias = Vector(128); }, "q_bias and k_bias come together"},
      {[](auto& a) { a.q_bias = a.k_bias = Vector(129); }, "q_bias has 129 in dimension 0"},
      {[](auto& a) { a.epsilon = -1; }, "epsilon is -1.000000; it has to be 0 or positive"},
      {[](auto& a) { a.epsilon = std::numeric_limits<double>::infinity(); }, "epsilon is inf"},
      {[](auto& a) { a.q = Matrix(5, 1023); }, "q has 1023 in dimension 1, its heads have 1024"},
      {[](auto& a) { a.k.type = DataType::kFloat; }, "k is float32, not bfloat16"},
      {[](auto& a) { a.v.shape[0] = 4; }, "v has 4 in dimension 0, the tokens of qkv are 5"},
      {[](auto& a) {
         a.has_gate = true;
         a.qkv = Matrix(5, 2560);
       },
       "gate has 0 dimensions, not [tokens, size]"},
  };
  for (const auto& [spoil, sentence] : cases) {
    QkvRmsnormRopeArgs args = Good();
    spoil(args);
    EXPECT_THAT([&] { PlanQkvRmsnormRope(args, kDevice); },
                ThrowsMessage<std::invalid_argument>(
                    AllOf(HasSubstr("qkv_rmsnorm_rope: "), HasSubstr(sentence))));
  }
}

TEST(PlanQkvRmsnormRope, RefusesDevices) {
  EXPECT_THAT(
      [] { PlanQkvRmsnormRope(Good(), {"Ascend310P3", 2002, 8, 262144}); },
      ThrowsMessage<std::invalid_argument>(HasSubstr("Ascend310P3 has neither DataCopyPad")));
  EXPECT_THAT([] { PlanQkvRmsnormRope(Good(), {"Tiny", 2201, 1, 8192 + 1024}); },
              ThrowsMessage<std::invalid_argument>(AllOf(
                  HasSubstr("one head of 128 elements takes"), HasSubstr("Tiny offers 1024"))));
}

TEST(PlanQkvRmsnormRope, NoTokensLaunchNothing) {
  QkvRmsnormRopeArgs args = Good();
  args.qkv.shape[0] = args.positions.shape[0] = 0;
  args.q.shape[0] = args.k.shape[0] = args.v.shape[0] = 0;
  EXPECT_EQ(PlanQkvRmsnormRope(args, kDevice).cores, 0u);
}

// Of one token and of many: whole tokens while the UB holds them, never more cores than tokens.
TEST(PlanQkvRmsnormRope, Tiles) {
  QkvRmsnormRopeArgs args = Good();
  args.qkv.shape[0] = args.positions.shape[0] = 4096;
  args.q.shape[0] = args.k.shape[0] = args.v.shape[0] = 4096;
  const QkvRmsnormRopePlan plan = PlanQkvRmsnormRope(args, kDevice);
  EXPECT_EQ(plan.cores, 40u);
  EXPECT_EQ(plan.tiling.rows_per_tile, 10);
  EXPECT_GT(plan.tiling.angles.tokens_per_tile, 4);
  EXPECT_EQ(plan.tiling.angles.position_batch % plan.tiling.angles.tokens_per_tile, 0);
}

// One more core for each of `tokens` tokens has to save as much as 384 elements per token cost.
TEST(PlanQkvRmsnormRope, CoresShareTheRowsOfFewTokens) {
  const auto plan_of = [](int64_t tokens, const DeviceInfo& device) {
    QkvRmsnormRopeArgs args = Good();
    static_cast<QkvShape&>(args) = {Matrix(tokens, 40 * 128), 32, 4, 128, false};
    args.positions.shape[0] = tokens;
    args.q = Matrix(tokens, 32 * 128);
    args.k = args.v = Matrix(tokens, 4 * 128);
    return PlanQkvRmsnormRope(args, device);
  };
  const QkvRmsnormRopePlan one = plan_of(1, kDevice);
  EXPECT_EQ(one.cores, 4u);
  EXPECT_EQ(one.tiling.split, 4);
  EXPECT_EQ(one.tiling.part_rows, 9);
  EXPECT_EQ(plan_of(2, kDevice).cores, 6u);
  EXPECT_EQ(plan_of(6, kDevice).cores, 12u);
  EXPECT_EQ(plan_of(7, kDevice).cores, 7u);
  DeviceInfo small = kDevice;
  small.vector_cores = 5;
  EXPECT_EQ(plan_of(2, small).cores, 4u);
  EXPECT_EQ(plan_of(3, small).cores, 3u);
}

// What is left beside the weights of all heads: a row of one, and smaller copies.
TEST(PlanQkvRmsnormRope, SmallerCopiesBesideManyWeights) {
  QkvRmsnormRopeArgs args = Good();
  constexpr DataType kFloat = DataType::kFloat;
  static_cast<QkvShape&>(args) = {Matrix(5, 136 * 256, kFloat), 64, 4, 256, true};
  args.square_sums = Matrix(5, 2, kFloat);
  args.q_weight = Vector(64 * 256, kFloat);
  args.k_weight = Vector(4 * 256, kFloat);
  args.cos_sin_cache = Matrix(100, 256, kFloat);
  args.positions = Matrix(3, 5, DataType::kInt64);
  args.interleaved = true;
  args.sections[0] = 128;
  args.q = args.gate = Matrix(5, 64 * 256, kFloat);
  args.k = args.v = Matrix(5, 4 * 256, kFloat);
  DeviceInfo busy = kDevice;
  busy.vector_cores = 5;
  const QkvRmsnormRopePlan plan = PlanQkvRmsnormRope(args, busy);
  EXPECT_GT(plan.tiling.rows_per_tile, 0);
  EXPECT_LT(plan.tiling.copy_bytes, 16384);
  args.q_bias = args.q_weight;
  args.k_bias = args.k_weight;
  EXPECT_THAT([&] { PlanQkvRmsnormRope(args, busy); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("bytes of UB beside the weights")));
}

TEST(PlanQkvSquareSums, RefusesByName) {
  const auto good = [] {
    return QkvSquareSumsArgs{{Matrix(5, 1536), 8, 2, 128, false}, Matrix(5, 2, DataType::kFloat)};
  };
  EXPECT_STREQ(PlanQkvSquareSums(good(), kDevice).kernel, "qkv_square_sums_bfloat16");
  const std::vector<std::pair<std::function<void(QkvSquareSumsArgs&)>, const char*>> cases = {
      {[](auto& a) { a.qkv.dims = 1; }, "qkv_square_sums: qkv has 1 dimensions"},
      {[](auto& a) { a.sums.type = kBf16; }, "qkv_square_sums: sums is bfloat16, not float32"},
      {[](auto& a) { a.sums.shape[0] = 4; }, "sums has 4 in dimension 0, the tokens of qkv are 5"},
      {[](auto& a) { a.sums = Matrix(5, 3, DataType::kFloat); }, "sums has 3 in dimension 1"},
  };
  for (const auto& [spoil, sentence] : cases) {
    QkvSquareSumsArgs args = good();
    spoil(args);
    EXPECT_THAT([&] { PlanQkvSquareSums(args, kDevice); },
                ThrowsMessage<std::invalid_argument>(HasSubstr(sentence)));
  }
  QkvSquareSumsArgs none = good();
  none.qkv.shape[0] = none.sums.shape[0] = 0;
  EXPECT_EQ(PlanQkvSquareSums(none, kDevice).cores, 0u);
}

}  // namespace
}  // namespace vllm_cann::ops
