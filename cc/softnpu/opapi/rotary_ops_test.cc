// cc/softnpu/opapi/rotary_ops_test.cc: turns of few numbers, by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(RotaryPositionEmbedding, const Tensor*, const Tensor*, const Tensor*, int64_t,
              Tensor*)
ACLNN_DECLARE(RotaryPositionEmbeddingV2, const Tensor*, const Tensor*, const Tensor*, int64_t,
              const Tensor*, Tensor*)
ACLNN_DECLARE(RotaryPositionEmbeddingGrad, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, int64_t, Tensor*, Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor* const kNone = nullptr;

TEST(RotaryPositionEmbedding, TurnsPairs) {
  for (const DType dtype : {DType::kFloat, DType::kHalf, DType::kBfloat16}) {
    const DeviceTensor x(dtype, {1, 1, 1, 4}, {1, 2, 3, 4});
    const DeviceTensor cos(dtype, {1, 1, 1, 4}, {1, 0, 1, 0});
    const DeviceTensor sin(dtype, {1, 1, 1, 4}, {0, 1, 10, 1});
    const DeviceTensor out(dtype, {1, 1, 1, 4});
    ASSERT_EQ(CALL(RotaryPositionEmbedding, x, cos, sin, 0, out).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(1, -4, 13, 2));
    ASSERT_EQ(CALL(RotaryPositionEmbeddingV2, x, cos, sin, 1, kNone, out).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(1, 1, -37, 3));
  }
}

TEST(RotaryPositionEmbeddingGrad, TurnsBack) {
  const DeviceTensor dy(DType::kFloat, {2, 1, 1, 2}, {1, 2, 3, 4});
  const DeviceTensor x(DType::kFloat, {2, 1, 1, 2}, {5, 6, 7, 8});
  const DeviceTensor cos(DType::kFloat, {1, 1, 1, 2}, {1, 10});
  const DeviceTensor sin(DType::kFloat, {1, 1, 1, 2}, {100, 1000});
  const DeviceTensor dx(DType::kFloat, {2, 1, 1, 2});
  const DeviceTensor dcos(DType::kFloat, {1, 1, 1, 2});
  const DeviceTensor dsin(DType::kFloat, {1, 1, 1, 2});
  ASSERT_EQ(CALL(RotaryPositionEmbeddingGrad, dy, cos, sin, x, 0, dx, dcos, dsin).result, "ran");
  // y1 = x1 cos1 - x2 sin1, and y2 = x2 cos2 + x1 sin2.
  EXPECT_THAT(dx.Values(), ElementsAre(1 + 2000, 20 - 100, 3 + 4000, 40 - 300));
  EXPECT_THAT(dcos.Values(), ElementsAre(5 + 21, 12 + 32));
  EXPECT_THAT(dsin.Values(), ElementsAre(-6 - 24, 10 + 28));
  ASSERT_EQ(CALL(RotaryPositionEmbeddingGrad, dy, cos, sin, kNone, 0, dx, kNone, kNone).result,
            "ran");
}

TEST(RotaryPositionEmbedding, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {2, 3, 2}, std::vector<double>(12, 1));
  const DeviceTensor odd(DType::kFloat, {1, 1, 1, 3}, {1, 2, 3});
  const DeviceTensor one(DType::kFloat, {2, 1, 2}, {1, 2, 3, 4});
  const DeviceTensor full(DType::kFloat, {2, 3, 2}, std::vector<double>(12, 1));
  const DeviceTensor wrong(DType::kFloat, {2, 2, 2}, std::vector<double>(8, 1));
  const DeviceTensor out(DType::kFloat, {2, 3, 2});
  const auto error = [&](const DeviceTensor& by, int64_t mode, const Tensor* rotate) {
    return CALL(RotaryPositionEmbeddingV2, x, by, by, mode, rotate, out).result;
  };
  EXPECT_THAT(CALL(RotaryPositionEmbedding, x, one, one, 0, out).result,
              HasSubstr("'x' is float32 [2, 3, 2]; it must have 4 to 4 dimensions"));
  EXPECT_THAT(CALL(RotaryPositionEmbedding, odd, odd, odd, 0, odd).result,
              HasSubstr("its last dimension must be even and at most 894"));
  EXPECT_THAT(error(one, 2, nullptr), HasSubstr("'mode' is 2; it must be 0 or 1"));
  EXPECT_THAT(error(wrong, 0, nullptr),
              HasSubstr("'cos' is float32 [2, 2, 2]; with an 'x' of float32 [2, 3, 2]"));
  EXPECT_THAT(error(full, 1, nullptr), HasSubstr("all but one 1 in mode 1"));
  EXPECT_EQ(error(full, 0, nullptr), "ran");
  EXPECT_THAT(error(one, 0, one), HasSubstr("'rotate' is given"));
}

}  // namespace
}  // namespace softnpu
