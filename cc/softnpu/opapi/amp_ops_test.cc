// cc/softnpu/opapi/amp_ops_test.cc: a scale over some steps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(AmpUpdateScale, const Tensor*, const Tensor*, const Tensor*, double, double, int64_t,
              Tensor*, Tensor*)

namespace {

TEST(AmpUpdateScale, ShrinksAtOnceAndGrowsAfterAnInterval) {
  const DeviceTensor scale(DType::kFloat, {1}, {8});
  const DeviceTensor steps(DType::kInt32, {1}, {0});
  const DeviceTensor finite(DType::kFloat, {1}, {0});
  const DeviceTensor infinite(DType::kFloat, {1}, {1});
  const auto step = [&](const DeviceTensor& found) {
    EXPECT_EQ(CALL(AmpUpdateScale, scale, steps, found, 2.0, 0.5, 2, scale, steps).result, "ran");
    return std::vector<double>{scale.Values()[0], steps.Values()[0]};
  };
  EXPECT_THAT(step(finite), ::testing::ElementsAre(8, 1));
  EXPECT_THAT(step(finite), ::testing::ElementsAre(16, 0));
  EXPECT_THAT(step(infinite), ::testing::ElementsAre(8, 0));
  const DeviceTensor most(DType::kFloat, {1}, {0x1p127});
  const DeviceTensor last(DType::kInt32, {1}, {1});
  ASSERT_EQ(CALL(AmpUpdateScale, most, last, finite, 2.0, 0.5, 2, most, last).result, "ran");
  EXPECT_THAT(most.Values(), ::testing::ElementsAre(0x1p127)) << "twice that is infinite";
  const DeviceTensor two(DType::kFloat, {2}, {0, 0});
  EXPECT_THAT(CALL(AmpUpdateScale, scale, steps, two, 2.0, 0.5, 2, scale, steps).result,
              ::testing::HasSubstr("each tensor must be one number, not float32 [2]"));
}

}  // namespace
}  // namespace softnpu
