// cc/softnpu/opapi/qkv_ops_test.cc: queries, keys and values of two heads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(TransformBiasRescaleQkv, const Tensor*, const Tensor*, int64_t, Tensor*, Tensor*,
              Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two tokens, two heads of 4, of which 1 / sqrt(4) is exact.
TEST(TransformBiasRescaleQkv, GivesEachHeadItsOwn) {
  std::vector<double> values;
  for (int i = 0; i < 48; ++i) values.push_back(i);
  std::vector<double> added(24, 0);
  added[0] = 100;
  const DeviceTensor qkv(DType::kFloat, {1, 2, 24}, values);
  const DeviceTensor bias(DType::kFloat, {24}, added);
  const DeviceTensor q(DType::kFloat, {1, 2, 2, 4});
  const DeviceTensor k(DType::kFloat, {1, 2, 2, 4});
  const DeviceTensor v(DType::kFloat, {1, 2, 2, 4});
  ASSERT_EQ(CALL(TransformBiasRescaleQkv, qkv, bias, 2, q, k, v).result, "ran");
  EXPECT_THAT(q.Values(),
              ElementsAre(50, 0.5, 1, 1.5, 62, 12.5, 13, 13.5, 2, 2.5, 3, 3.5, 14, 14.5, 15, 15.5));
  EXPECT_THAT(k.Values(),
              ElementsAre(8, 9, 10, 11, 32, 33, 34, 35, 12, 13, 14, 15, 36, 37, 38, 39));
  EXPECT_EQ(v.Values()[0], 16);
  EXPECT_EQ(v.Values()[15], 47);
}

TEST(TransformBiasRescaleQkv, RefusesByName) {
  const DeviceTensor qkv(DType::kFloat, {1, 1, 6}, {1, 2, 3, 4, 5, 6});
  const DeviceTensor bias(DType::kFloat, {6}, {0, 0, 0, 0, 0, 0});
  const DeviceTensor half(DType::kHalf, {6}, {0, 0, 0, 0, 0, 0});
  const DeviceTensor few(DType::kFloat, {3}, {0, 0, 0});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 2});
  const auto error = [&](const DeviceTensor& from, const DeviceTensor& added, int64_t heads) {
    return CALL(TransformBiasRescaleQkv, from, added, heads, out, out, out).result;
  };
  EXPECT_THAT(error(qkv, half, 1), HasSubstr("'qkvBias' is float16 [6], and 'qkv' is float32"));
  EXPECT_THAT(error(qkv, few, 1), HasSubstr("'qkvBias' is float32 [3]; it must have the last"));
  EXPECT_THAT(error(qkv, bias, 4), HasSubstr("'numHeads' is 4; three times that must divide"));
  EXPECT_THAT(error(qkv, bias, 0), HasSubstr("'numHeads' is 0"));
  EXPECT_THAT(error(bias, bias, 1), HasSubstr("'qkv' is float32 [6]; it must have 3 to 3"));
  EXPECT_THAT(error(qkv, bias, 2),
              HasSubstr("'qOut' is float32 [1, 1, 1, 2], the result is float32 [1, 2, 1, 1]"));
}

}  // namespace
}  // namespace softnpu
