// cc/ops/moe/moe_init_routing_test.cc: every refusal is a sentence that names the value.
#include "cc/ops/moe/moe_init_routing.h"

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vllm_cann::ops {
namespace {

using ::testing::HasSubstr;

const DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};

Tensor Vector(DataType type, int64_t size) { return {type, 1, {size}, {1}}; }
Tensor Matrix(DataType type, int64_t rows, int64_t columns) {
  return {type, 2, {rows, columns}, {columns, 1}};
}

MoeInitRoutingArgs Good() {
  MoeInitRoutingArgs args;
  args.x = Matrix(DataType::kBfloat16, 300, 64);
  args.expert_idx = Matrix(DataType::kInt32, 300, 8);
  args.scale = Vector(DataType::kFloat, 300);
  args.expanded_x = Matrix(DataType::kBfloat16, 2400, 64);
  args.expanded_row_idx = Vector(DataType::kInt32, 2400);
  args.expert_tokens = Vector(DataType::kInt64, 16);
  args.expanded_scale = Vector(DataType::kFloat, 2400);
  args.workspace = Vector(DataType::kInt32, 2 * 40 * 32);
  args.experts = 16;
  return args;
}

MoeInitRoutingArgs Quantised(int64_t mode) {
  MoeInitRoutingArgs args = Good();
  args.quant_mode = mode;
  args.expanded_x.type = DataType::kInt8;
  args.scale = mode == 0 ? Vector(DataType::kFloat, 1) : Matrix(DataType::kFloat, 16, 64);
  if (mode == 0) args.offset = Vector(DataType::kFloat, 1);
  return args;
}

MoeInitRoutingArgs ByRows() {
  MoeInitRoutingArgs args = Good();
  args.scale = args.expanded_scale = args.expert_tokens = Tensor();
  args.row_idx = Matrix(DataType::kInt32, 300, 8);
  args.expanded_expert_idx = Vector(DataType::kInt32, 2400);
  return args;
}

TEST(PlanMoeInitRouting, ChoosesTheKernel) {
  EXPECT_STREQ(PlanMoeInitRouting(Good(), kDevice).kernel, "moe_init_routing");
  EXPECT_STREQ(PlanMoeInitRouting(ByRows(), kDevice).kernel, "moe_init_routing");
  for (const int64_t mode : {0, 1}) {
    MoeInitRoutingArgs args = Quantised(mode);
    EXPECT_STREQ(PlanMoeInitRouting(args, kDevice).kernel, "moe_init_routing_quant_bfloat16");
    args.x.type = DataType::kFloat;
    EXPECT_STREQ(PlanMoeInitRouting(args, kDevice).kernel, "moe_init_routing_quant_float");
    args.x.type = DataType::kFloat16;
    EXPECT_STREQ(PlanMoeInitRouting(args, kDevice).kernel, "moe_init_routing_quant_half");
  }
}

TEST(PlanMoeInitRouting, FewPairsNeedNoWorkspace) {
  const auto words = [](int64_t pairs, int64_t experts) {
    MoeInitRoutingArgs args;
    args.expert_idx = {DataType::kInt32, 2, {pairs, 1}, {1, 1}};
    args.experts = experts;
    return MoeInitRoutingWorkspaceBytes(args, kDevice) / 4;
  };
  EXPECT_EQ(words(1024, 16), 0);
  EXPECT_EQ(words(1025, 16), 2 * 40 * 32);
  EXPECT_EQ(words(1025, 256), 2 * 40 * 288);
}

// Of one token of 8 pairs and rows of 14336 bytes: a core for each pair.
MoeInitRoutingArgs OneToken() {
  MoeInitRoutingArgs args = Good();
  args.x = Matrix(DataType::kBfloat16, 1, 7168);
  args.expert_idx = Matrix(DataType::kInt32, 1, 8);
  args.scale = args.expanded_scale = Tensor();
  args.expanded_x = Matrix(DataType::kBfloat16, 8, 7168);
  args.expanded_row_idx = Vector(DataType::kInt32, 8);
  return args;
}

TEST(PlanMoeInitRouting, CountsHaveACoreOfTheirOwnWhereOneIsFree) {
  const MoeInitRoutingPlan plan = PlanMoeInitRouting(OneToken(), kDevice);
  EXPECT_EQ(plan.cores, 9u);
  EXPECT_EQ(plan.tiling.counts_apart, 1);

  DeviceInfo busy = kDevice;
  busy.vector_cores = 8;
  const auto all_move = [](const MoeInitRoutingPlan& all) {
    EXPECT_EQ(all.cores, 8u);
    EXPECT_EQ(all.tiling.counts_apart, 0);
  };
  all_move(PlanMoeInitRouting(OneToken(), busy));
  MoeInitRoutingArgs args = OneToken();
  args.expert_tokens = Tensor();
  all_move(PlanMoeInitRouting(args, kDevice));
  args = OneToken();
  args.row_idx_type = 1;
  all_move(PlanMoeInitRouting(args, kDevice));
  args = OneToken();
  args.capacity = 1;
  args.expanded_x = Matrix(DataType::kBfloat16, 16, 7168);
  all_move(PlanMoeInitRouting(args, kDevice));
  EXPECT_EQ(PlanMoeInitRouting(Good(), kDevice).tiling.counts_apart, 0);
}

TEST(PlanMoeInitRouting, ZerosTakeCoresOfTheirOwn) {
  const auto plan_of = [](int64_t experts, int64_t capacity, int64_t quant_mode) {
    MoeInitRoutingArgs args = OneToken();
    const int64_t rows = experts * capacity;
    args.experts = experts;
    args.expert_tokens = Vector(DataType::kInt64, experts);
    args.capacity = capacity;
    args.quant_mode = quant_mode;
    args.expanded_x = Matrix(quant_mode < 0 ? DataType::kBfloat16 : DataType::kInt8, rows, 7168);
    if (quant_mode == 1) args.expanded_scale = Vector(DataType::kFloat, rows);
    return PlanMoeInitRouting(args, kDevice);
  };
  // 248 rows of 14336 bytes, 65536 for each core.
  EXPECT_EQ(plan_of(256, 1, -1).cores, 40u);
  EXPECT_EQ(plan_of(64, 1, -1).cores, 13u);
  // Of few experts, one for each.
  EXPECT_EQ(plan_of(16, 64, -1).cores, 16u);
  // Quantised rows have half the bytes, and the columns of one token's row are shared by all cores.
  const MoeInitRoutingPlan quantised = plan_of(128, 1, 1);
  EXPECT_EQ(quantised.cores, 14u);
  EXPECT_EQ(quantised.tiling.shares_row, 1);
}

TEST(PlanMoeInitRouting, RowsComeTogetherWhereABufferHasRoomForThem) {
  EXPECT_EQ(PlanMoeInitRouting(Good(), kDevice).tiling.batch, 32768 / 128);
  EXPECT_EQ(PlanMoeInitRouting(OneToken(), kDevice).tiling.batch, 2);
  EXPECT_EQ(PlanMoeInitRouting(ByRows(), kDevice).tiling.batch, 1);
  EXPECT_EQ(PlanMoeInitRouting(Quantised(1), kDevice).tiling.batch, 1);
  MoeInitRoutingArgs args = OneToken();
  args.x = Matrix(DataType::kFloat, 1, 20000);
  args.expanded_x = Matrix(DataType::kFloat, 8, 20000);
  EXPECT_EQ(PlanMoeInitRouting(args, kDevice).tiling.batch, 1);
}

using Cases = std::vector<std::pair<std::function<void(MoeInitRoutingArgs&)>, const char*>>;

void Check(const std::function<MoeInitRoutingArgs()>& good, const Cases& cases) {
  EXPECT_GT(PlanMoeInitRouting(good(), kDevice).cores, 0u);
  for (const auto& [spoil, sentence] : cases) {
    MoeInitRoutingArgs args = good();
    spoil(args);
    EXPECT_THAT([&] { PlanMoeInitRouting(args, kDevice); },
                ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr(sentence)));
  }
}

TEST(PlanMoeInitRouting, RefusesByName) {
  Check(
      Good,
      {
          {[](auto& a) { a.x.dims = 1; }, "x has 1 dimensions, not [tokens, H]"},
          {[](auto& a) { a.x.type = DataType::kInt64; }, "x is int64; it can be float16"},
          {[](auto& a) { a.x.strides[1] = 2; }, "x has stride 2 in dimension 1"},
          {[](auto& a) { a.x.shape[1] = 0; }, "x has rows of 0 elements"},
          {[](auto& a) { a.expert_idx.shape[0] = 299; },
           "expert_idx has 299 in dimension 0, x has"},
          {[](auto& a) { a.expert_idx.shape[1] = 0; }, "expert_idx has 0 experts for a token"},
          {[](auto& a) { a.expert_idx.type = DataType::kFloat; },
           "expert_idx is float32, not int32 or"},
          {[](auto& a) { a.expert_idx.shape[1] = a.expert_idx.strides[0] = 1 << 17; },
           "expert_idx has 39321600 entries; the limit is 16777216"},
          {[](auto& a) { a.experts = 10241; },
           "range of experts has 10241; it can have 0 to 10240"},
          {[](auto& a) { a.experts = -1; }, "range of experts has -1; it can have 0 to 10240"},
          {[](auto& a) { a.first_expert = -1; },
           "range of experts begins at -1; it can begin at 0"},
          {[](auto& a) { a.first_expert = (1 << 24) + 1; }, "range of experts begins at 16777217;"},
          {[](auto& a) { a.quant_mode = 2; }, "quant_mode is 2; it can be -1, 0 or 1"},
          {[](auto& a) { a.row_idx_type = 2; }, "row_idx_type is 2; it can be 0 or 1"},
          {[](auto& a) { a.capacity = -1; }, "capacity is -1 rows for each of 16 experts"},
          {[](auto& a) { a.capacity = (1 << 20) + 1; }, "capacity is 1048577 rows for each of 16"},
          {[](auto& a) {
             a.capacity = 1;
             a.row_idx_type = 1;
           },
           "row_idx_type is 1 beside a capacity"},
          {[](auto& a) { a.capacity = 10; },
           "expanded_x has 2400 in dimension 0, capacity * experts"},
          {[](auto& a) { a.expanded_x.type = DataType::kFloat; },
           "expanded_x is float32, not bfloat16"},
          {[](auto& a) { a.expanded_x.shape[0] = 2401; }, "expanded_x has 2401 rows for the 2400"},
          {[](auto& a) { a.expanded_x.shape[1] = a.expanded_x.strides[0] = 63; },
           "expanded_x has 63 in dimension 1, rows of x have 64"},
          {[](auto& a) { a.expanded_row_idx.shape[0] = 3; },
           "expanded_row_idx has 3 in dimension 0"},
          {[](auto& a) { a.expanded_row_idx.type = DataType::kInt64; },
           "expanded_row_idx is int64, not"},
          {[](auto& a) { a.expert_tokens.type = DataType::kInt32; },
           "expert_tokens is int32, not int64"},
          {[](auto& a) { a.expert_tokens.shape[0] = 15; },
           "expert_tokens has 15 in dimension 0, the"},
          {[](auto& a) { a.tokens_type = 3; }, "tokens_type is 3; it can be 0, 1 or 2"},
          {[](auto& a) { a.tokens_type = 2; }, "expert_tokens has 1 dimensions, not [experts, 2]"},
          {[](auto& a) {
             a.tokens_type = 2;
             a.experts = 5121;
             a.expert_tokens = Matrix(DataType::kInt64, 5121, 2);
           },
           "expert_tokens holds pairs of 5121 experts; the limit is 5120"},
          {[](auto& a) { a.scale.shape[0] = 1; }, "scale has 1 in dimension 0, x has rows: 300"},
          {[](auto& a) { a.scale.type = DataType::kFloat16; }, "scale is float16, not float32"},
          {[](auto& a) { a.expanded_scale = Tensor(); },
           "expanded_scale has 0 dimensions, not [rows]"},
          {[](auto& a) { a.expanded_scale.shape[0] = 1; }, "expanded_scale has 1 in dimension 0"},
          {[](auto& a) { a.expanded_scale.type = DataType::kInt8; },
           "expanded_scale is int8, not float"},
          {[](auto& a) { a.workspace = Tensor(); }, "workspace has 0 dimensions, not [words]"},
          {[](auto& a) { a.workspace.shape[0] = 100; }, "workspace has 100 words, 2560 are needed"},
          {[](auto& a) { a.workspace.type = DataType::kInt8; }, "workspace is int8, not int32"},
      });
}

TEST(PlanMoeInitRouting, RefusesQuantisationByName) {
  Check([] { return Quantised(1); },
        {
            {[](auto& a) { a.x.type = DataType::kInt8; },
             "x is int8; it can be float16, bfloat16 or"},
            {[](auto& a) { a.expanded_x.type = DataType::kBfloat16; },
             "expanded_x is bfloat16, not int8"},
            {[](auto& a) { a.scale = Vector(DataType::kFloat, 300); },
             "scale has 1 dimensions, not [exp"},
            {[](auto& a) { a.scale.shape[0] = 1; },
             "scale has 1 in dimension 0, the range of experts"},
            {[](auto& a) { a.scale.shape[1] = a.scale.strides[0] = 3; },
             "scale has 3 in dimension 1"},
            {[](auto& a) {
               a.scale = Tensor();
               a.x.shape[1] = a.x.strides[0] = 16000;
               a.expanded_x.shape[1] = a.expanded_x.strides[0] = 16000;
             },
             "rows of 16000 elements and 16 experts take"},
            {[](auto& a) { a.x.shape[1] = a.x.strides[0] = 16321; },
             "x has rows of 16321 elements; quantised ones can have 16320"},
        });
  Check([] { return Quantised(0); },
        {
            {[](auto& a) { a.scale = Tensor(); }, "scale is absent, and static quantisation"},
            {[](auto& a) { a.scale.shape[0] = 2; },
             "scale has 2 in dimension 0, static quantisation"},
            {[](auto& a) { a.offset = Tensor(); }, "offset has 0 dimensions, not [1]"},
            {[](auto& a) { a.offset.shape[0] = 2; }, "offset has 2 in dimension 0"},
            {[](auto& a) { a.offset.type = DataType::kInt8; }, "offset is int8, not float32"},
        });
}

TEST(PlanMoeInitRouting, RefusesRowNumbersByName) {
  Check(
      ByRows,
      {
          {[](auto& a) { a.row_idx.dims = 1; }, "row_idx has 1 dimensions, not [tokens, k]"},
          {[](auto& a) { a.row_idx.shape[0] = 1; },
           "row_idx has 1 in dimension 0, expert_idx has 300"},
          {[](auto& a) { a.row_idx.shape[1] = a.row_idx.strides[0] = 1; },
           "row_idx has 1 in dimension 1"},
          {[](auto& a) { a.row_idx.type = DataType::kInt64; }, "row_idx is int64, not int32"},
          {[](auto& a) { a.expert_idx.type = DataType::kInt64; }, "expert_idx is int64, not int32"},
          {[](auto& a) { a.expanded_expert_idx = Tensor(); },
           "row_idx and expanded_expert_idx go together"},
          {[](auto& a) { a.expanded_expert_idx.shape[0] = 1; }, "expanded_expert_idx has 1 in dim"},
          {[](auto& a) { a.expanded_expert_idx.type = DataType::kInt8; },
           "expanded_expert_idx is int8"},
          {[](auto& a) { a.row_idx_type = 1; }, "row_idx goes with rows as they are"},
          {[](auto& a) { a.scale = Vector(DataType::kFloat, 300); },
           "row_idx goes with rows as they"},
          {[](auto& a) { a.capacity = 150; }, "row_idx goes with rows as they are"},
      });
}

TEST(PlanMoeInitRouting, OtherDevices) {
  EXPECT_THAT([] { PlanMoeInitRouting(Good(), {"Ascend310P3", 2002, 8, 262144}); },
              ::testing::ThrowsMessage<std::invalid_argument>(
                  HasSubstr("Ascend310P3 has neither DataCopyPad nor bfloat16")));
  EXPECT_THAT([] { PlanMoeInitRouting(Good(), {"Tiny", 2201, 40, 16384}); },
              ::testing::ThrowsMessage<std::invalid_argument>(HasSubstr("Tiny offers 8192")));
}

}  // namespace
}  // namespace vllm_cann::ops
