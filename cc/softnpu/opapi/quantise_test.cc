// cc/softnpu/opapi/quantise_test.cc: rounding to int8, packed scales, products of int8.
#include "cc/softnpu/opapi/quantise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {
namespace {

using ::testing::ElementsAre;

TEST(NearestInt8, RoundsTiesToEvenAndSaturates) {
  for (const auto& [value, wanted] : std::vector<std::pair<double, int>>{{0.5, 0},
                                                                         {1.5, 2},
                                                                         {-2.5, -2},
                                                                         {126.5, 126},
                                                                         {127.5, 127},
                                                                         {-128.6, -128},
                                                                         {1e30, 127},
                                                                         {-kInfinity, -128},
                                                                         {kNan, 0}}) {
    EXPECT_EQ(NearestInt8(value), wanted) << value;
    EXPECT_EQ(NearestInt8(static_cast<float>(value)), wanted) << value;
  }
}

// A tie of the 13 bits that go: to the even one of 10 bits of fraction.
TEST(PackScale, CutsOrRoundsToEven) {
  const float tie = 1 + 0x1p-11F;
  const float next = 1 + 3 * 0x1p-11F;
  EXPECT_EQ(UnpackScale(PackScale(tie, false)), 1);
  EXPECT_EQ(UnpackScale(PackScale(tie, true)), 1);
  EXPECT_EQ(UnpackScale(PackScale(next, false)), 1 + 0x1p-10F);
  EXPECT_EQ(UnpackScale(PackScale(next, true)), 1 + 0x1p-9F);
  // A carry into the exponent.
  EXPECT_EQ(UnpackScale(PackScale(std::nextafter(2.0F, 1.0F), true)), 2);
}

TEST(PackOffset, HasNineBits) {
  for (const int offset : {-256, -1, 0, 7, 255}) {
    const int64_t packed = PackOffset(PackScale(0.25F, false), static_cast<float>(offset));
    EXPECT_EQ(UnpackOffset(packed), offset);
    EXPECT_EQ(UnpackScale(packed), 0.25F);
  }
  EXPECT_EQ(UnpackOffset(PackOffset(PackOffset(0, 255), -3)), -3);
}

TEST(MultiplyInt8, TakesStridesAndRoundsOnce) {
  // Columns of a storage that has them as rows.
  const DeviceTensor a(DType::kInt8, {2, 3}, {1, 2}, 0, {1, -1, 2, -2, 3, -3});
  const DeviceTensor b(DType::kInt8, {3, 2}, {1, 10, 1, 10, 1, 10});
  const DeviceTensor out(DType::kBfloat16, {2, 2});
  // 6 * 43 + 0.5 = 258.5 and its like: 8 bits, ties to even.
  MultiplyInt8(
      a.view(), b.view(),
      {.whole_bias = {0, 0}, .scale = {43, 1}, .row_scale = {}, .bias = {0.5, 0.25}, .offset = {}},
      out.view());
  out.view().MarkWritten();
  EXPECT_THAT(out.Values(), ElementsAre(258, 60.25, -258, -59.75));
}

}  // namespace
}  // namespace softnpu
