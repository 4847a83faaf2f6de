// cc/softnpu/opapi/sampling_ops_test.cc: places of small pictures, counted by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(GridSampler3D, const Tensor*, const Tensor*, int64_t, int64_t, bool, Tensor*)
#define DECLARE_BACKWARD(NAME)                                                             \
  ACLNN_DECLARE(NAME, const Tensor*, const Tensor*, const Tensor*, int64_t, int64_t, bool, \
                const BoolArray*, Tensor*, Tensor*)
DECLARE_BACKWARD(GridSampler2DBackward)
DECLARE_BACKWARD(GridSampler3DBackward)
ACLNN_DECLARE(AffineGrid, const Tensor*, const IntArray*, bool, Tensor*)
ACLNN_DECLARE(Im2colBackward, const Tensor*, const IntArray*, const IntArray*, const IntArray*,
              const IntArray*, const IntArray*, Tensor*)
ACLNN_DECLARE(UnfoldGrad, const Tensor*, const IntArray*, int64_t, int64_t, int64_t, Tensor*)
ACLNN_DECLARE(MaxUnpool2d, const Tensor*, const Tensor*, const IntArray*, Tensor*)
ACLNN_DECLARE(MaxUnpool3d, const Tensor*, const Tensor*, const IntArray*, const IntArray*,
              const IntArray*, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor* const kNone = nullptr;
const BoolArray kBoth{{1, 1}};
const BoolArray kFirst{{1, 0}};

TEST(GridSampler, InterpolatesInAVolume) {
  const DeviceTensor x(DType::kFloat, {1, 1, 1, 1, 2}, {8, 16});
  // The middle, and a quarter to the right of it.
  const DeviceTensor places(DType::kFloat, {1, 1, 1, 2, 3}, {0, 0, 0, 0.25, 0, 0});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 1, 2});
  ASSERT_EQ(CALL(GridSampler3D, x, places, 0, 0, false, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(12, 14));
  const DeviceTensor grad(DType::kFloat, {1, 1, 1, 1, 2}, {4, 8});
  const DeviceTensor x_grad(DType::kFloat, {1, 1, 1, 1, 2});
  const DeviceTensor places_grad(DType::kFloat, {1, 1, 1, 2, 3});
  ASSERT_EQ(
      CALL(GridSampler3DBackward, grad, x, places, 0, 0, false, &kBoth, x_grad, places_grad).result,
      "ran");
  EXPECT_THAT(x_grad.Values(), ElementsAre(2 + 2, 2 + 6));
  // A pixel is 1 wide where the picture is 2: the slope is 8 for each of x.
  EXPECT_EQ(places_grad.Values()[0], 32);
  EXPECT_THAT(CALL(GridSampler3D, x, places, 2, 0, false, out).result,
              HasSubstr("'interpolationMode' is 2; it must be 0 to 1"));
  EXPECT_THAT(CALL(GridSampler3D, x, grad, 0, 0, false, out).result,
              HasSubstr("it must begin with 1 and end with 3"));
}

TEST(GridSampler2DBackward, GivesWhatIsAskedFor) {
  const DeviceTensor x(DType::kFloat, {1, 1, 1, 2}, {8, 16});
  const DeviceTensor places(DType::kFloat, {1, 1, 1, 2}, {0.25, 0});
  const DeviceTensor grad(DType::kFloat, {1, 1, 1, 1}, {8});
  const DeviceTensor x_grad(DType::kFloat, {1, 1, 1, 2});
  ASSERT_EQ(
      CALL(GridSampler2DBackward, grad, x, places, 0, 0, false, &kFirst, x_grad, kNone).result,
      "ran");
  EXPECT_THAT(x_grad.Values(), ElementsAre(2, 6));
}

TEST(AffineGrid, GivesPlaces) {
  const DeviceTensor theta(DType::kFloat, {1, 2, 3}, {1, 0, 0.5, 0, 1, 0});
  const DeviceTensor out(DType::kFloat, {1, 1, 2, 2});
  ASSERT_EQ(CALL(AffineGrid, theta, HostInts({1, 1, 1, 2}), true, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-0.5, 0, 1.5, 0));
  EXPECT_THAT(CALL(AffineGrid, theta, HostInts({2, 1, 1, 2}), true, out).result,
              HasSubstr("'theta' is float32 [1, 2, 3]; it must be [2, 2, 3] or [2, 3, 4]"));
}

TEST(Windows, AreAddedWhereTheyOverlap) {
  const HostInts one({1, 1});
  const HostInts none({0, 0});
  const DeviceTensor columns(DType::kHalf, {2, 2}, {1, 2, 3, 4});
  const DeviceTensor picture(DType::kHalf, {1, 1, 3});
  ASSERT_EQ(
      CALL(Im2colBackward, columns, HostInts({1, 3}), HostInts({1, 2}), one, none, one, picture)
          .result,
      "ran");
  EXPECT_THAT(picture.Values(), ElementsAre(1, 5, 4));
  const DeviceTensor line(DType::kHalf, {3});
  ASSERT_EQ(CALL(UnfoldGrad, columns, HostInts({3}), 0, 2, 1, line).result, "ran");
  EXPECT_THAT(line.Values(), ElementsAre(1, 5, 4));
  EXPECT_THAT(CALL(UnfoldGrad, columns, HostInts({4}), 0, 2, 1, line).result,
              HasSubstr("'gradIn' is float16 [3], and 'gradOut' float16 [2, 2]"));
  EXPECT_THAT(CALL(UnfoldGrad, columns, HostInts({3}), 0, 0, 1, line).result,
              HasSubstr("'size' is 0 and 'step' 1; both must be at least 1"));
}

TEST(MaxUnpool, PutsBack) {
  const HostInts two({1, 1, 2});
  const DeviceTensor x(DType::kFloat, {1, 1, 2}, {7, 8});
  const DeviceTensor at(DType::kInt64, {1, 1, 2}, {1, 2});
  const DeviceTensor out(DType::kFloat, {1, 1, 4});
  ASSERT_EQ(CALL(MaxUnpool2d, x, at, HostInts({1, 4}), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 7, 8, 0));
  const DeviceTensor deep(DType::kFloat, {1, 1, 1, 2}, {7, 8});
  const DeviceTensor places(DType::kInt64, {1, 1, 1, 2}, {1, 2});
  const DeviceTensor made(DType::kFloat, {1, 1, 1, 4});
  ASSERT_EQ(
      CALL(MaxUnpool3d, deep, places, HostInts({1, 1, 4}), two, HostInts({0, 0, 0}), made).result,
      "ran");
  EXPECT_THAT(made.Values(), ElementsAre(0, 7, 8, 0));
  const DeviceTensor few(DType::kInt64, {1, 1, 1}, {1});
  EXPECT_THAT(CALL(MaxUnpool2d, x, few, HostInts({1, 4}), out).result,
              HasSubstr("'indices' is int64 [1, 1, 1], and 'self' is float32 [1, 1, 2]"));
}

}  // namespace
}  // namespace softnpu
