// cc/softnpu/opapi/quant_collective_ops_test.cc: products of int8 in a group whose other ranks add
// zeros, and what they refuse. Sums over ranks are in tests/softnpu/collectives_test.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "cc/softnpu/runtime/acl_abi.h"
#include "tests/softnpu/aclnn.h"

namespace softnpu {

using T = const Tensor*;
using I = int64_t;
using S = const char*;

ACLNN_DECLARE(QuantMatmulAllReduce, T, T, T, T, T, S, S, I, I, T)
ACLNN_DECLARE(QuantMatmulAllReduceV2, T, T, T, T, T, T, S, S, I, I, T)
ACLNN_DECLARE(QuantMatmulAllReduceV3, T, T, T, T, T, T, T, T, S, S, I, I, T)
ACLNN_DECLARE(QuantMatmulAllReduceV4, T, T, T, T, T, T, T, T, S, S, I, I, I, I, T)
ACLNN_DECLARE(QuantMatmulAllReduceV5, T, T, T, T, T, T, T, T, S, S, S, I, I, I, I, T)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Tensor* const kNone = nullptr;

uint32_t Ranks(const char* group) { return std::strcmp(group, "two") == 0 ? 2 : 0; }
void GiveUp(const char*, const char*) {}
int32_t Sum(const char*, void* buffer, uint64_t count, int32_t, void*) {
  EXPECT_EQ(count, 2);
  EXPECT_NE(buffer, nullptr);
  return kOk;
}

class QuantMatmulAllReduce : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    static constexpr softnpu_groups kGroups{Ranks, Sum, nullptr, nullptr, nullptr, GiveUp};
    softnpu_offer_groups(&kGroups);
  }

  // The last version.
  std::string Result(T x1, T x2, T row, T column, T out, T bias = nullptr, T x3 = nullptr,
                     S group = "two", I groups = 0, T sent = nullptr) {
    return CALL(QuantMatmulAllReduceV5, x1, x2, bias, x3, row, column, sent, sent, group, "sum",
                "aiv", 0, 1, groups, 0, out)
        .result;
  }

  const DeviceTensor x1_{DType::kInt8, {1, 2}, {3, -4}};
  // [[1, 0], [5, 2]], by columns.
  const DeviceTensor x2_{DType::kInt8, {2, 2}, {1, 2}, 0, {1, 5, 0, 2}};
  const DeviceTensor row_{DType::kFloat, {1}, {2}};
  const DeviceTensor wide_{DType::kFloat, {2}, {0.5, 0.25}};
  const DeviceTensor narrow_{DType::kBfloat16, {2}, {0.5, 0.25}};
  const DeviceTensor half_{DType::kHalf, {1, 2}};
  const DeviceTensor brain_{DType::kBfloat16, {1, 2}};
};

TEST_F(QuantMatmulAllReduce, ScalesRowsAndColumns) {
  ASSERT_EQ(Result(x1_, x2_, row_, wide_, half_), "ran");
  EXPECT_THAT(half_.Values(), ElementsAre(-17, -4));
  ASSERT_EQ(CALL(QuantMatmulAllReduceV2, x1_, x2_, kNone, kNone, narrow_, row_, "two", "sum", 0, 1,
                 brain_)
                .result,
            "ran");
  EXPECT_THAT(brain_.Values(), ElementsAre(-17, -4));
  ASSERT_EQ(CALL(QuantMatmulAllReduceV3, x1_, x2_, kNone, kNone, narrow_, row_, kNone, kNone, "two",
                 "sum", 0, 1, brain_)
                .result,
            "ran");
  EXPECT_THAT(brain_.Values(), ElementsAre(-17, -4));
}

TEST_F(QuantMatmulAllReduce, AddsABiasToSumsAndX3ToProducts) {
  const DeviceTensor bias(DType::kInt32, {2}, {10, 20});
  const DeviceTensor x3(DType::kBfloat16, {1, 2}, {100, 200});
  ASSERT_EQ(Result(x1_, x2_, kNone, narrow_, brain_, bias, x3), "ran");
  EXPECT_THAT(brain_.Values(), ElementsAre(96.5, 203));
  ASSERT_EQ(
      CALL(QuantMatmulAllReduce, x1_, x2_, bias, kNone, narrow_, "two", "sum", 0, 1, brain_).result,
      "ran");
  EXPECT_THAT(brain_.Values(), ElementsAre(-3.5, 3));
}

TEST_F(QuantMatmulAllReduce, TakesPackedScalesForFloat16) {
  // The bits of 0.5 and 0.25 as float32.
  const DeviceTensor packed(DType::kInt64, {2}, {0x3F000000, 0x3E800000});
  ASSERT_EQ(CALL(QuantMatmulAllReduceV4, x1_, x2_, kNone, kNone, kNone, packed, kNone, kNone, "two",
                 "sum", 0, 1, 0, 0, half_)
                .result,
            "ran");
  EXPECT_THAT(half_.Values(), ElementsAre(-8.5, -2));
}

TEST_F(QuantMatmulAllReduce, RefusesByName) {
  EXPECT_THAT(Result(x1_, x2_, row_, wide_, half_, kNone, kNone, "four"),
              HasSubstr("no communicator of that name"));
  EXPECT_THAT(Result(x1_, x2_, row_, wide_, half_, kNone, kNone, "two", 32),
              HasSubstr("'groupSize' is 32; it must be 0"));
  EXPECT_THAT(Result(x1_, x2_, row_, wide_, half_, kNone, kNone, "two", 0, wide_),
              HasSubstr("561103: aclnnQuantMatmulAllReduceV5: 'commQuantScale1'"));
  EXPECT_THAT(Result(x1_, x2_, row_, narrow_, half_), HasSubstr("'dequantScale' is bfloat16"));
  EXPECT_THAT(Result(x1_, x2_, row_, wide_, brain_), HasSubstr("'dequantScale' is float32"));
  EXPECT_THAT(Result(x1_, x2_, kNone, wide_, half_), HasSubstr("'dequantScale' is float32"));
  EXPECT_THAT(Result(half_, x2_, row_, wide_, half_), HasSubstr("'x1' is float16"));
  EXPECT_THAT(Result(x1_, x2_, wide_, wide_, half_), HasSubstr("'pertokenScale' is float32 [2]"));
  EXPECT_THAT(Result(x1_, x2_, row_, wide_, half_, wide_), HasSubstr("'bias' is float32"));
  EXPECT_THAT(Result(x1_, DeviceTensor(DType::kInt8, {1, 2}, {1, 2}), row_, wide_, half_),
              HasSubstr("the first as the last of 'x1'"));
  EXPECT_THAT(Result(x1_, x2_, row_, wide_, DeviceTensor(DType::kHalf, {2, 2})),
              HasSubstr("'output' is float16 [2, 2]"));
}

}  // namespace
}  // namespace softnpu
