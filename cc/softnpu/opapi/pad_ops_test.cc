// cc/softnpu/opapi/pad_ops_test.cc: borders of small tensors, written out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

#define DECLARE_PAD(NAME)                                      \
  ACLNN_DECLARE(NAME, const Tensor*, const IntArray*, Tensor*) \
  ACLNN_DECLARE(NAME##Backward, const Tensor*, const Tensor*, const IntArray*, Tensor*)
DECLARE_PAD(ReflectionPad1d)
DECLARE_PAD(ReflectionPad2d)
DECLARE_PAD(ReflectionPad3d)
DECLARE_PAD(ReplicationPad1d)
DECLARE_PAD(ReplicationPad2d)
DECLARE_PAD(ReplicationPad3d)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Pad, OfALine) {
  for (const DType dtype : {DType::kFloat, DType::kBfloat16, DType::kInt64, DType::kInt8}) {
    const DeviceTensor x(dtype, {1, 3}, {1, 2, 3});
    const DeviceTensor out(dtype, {1, 6});
    ASSERT_EQ(CALL(ReflectionPad1d, x, HostInts({2, 1}), out).result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(3, 2, 1, 2, 3, 2));
    const Outcome outcome = CALL(ReplicationPad1d, x, HostInts({2, 1}), out);
    ASSERT_EQ(outcome.result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(1, 1, 1, 2, 3, 3));
    EXPECT_THAT(outcome.accesses, ElementsAre("self reads [1, 3]", "out writes [1, 6]"));
    const DeviceTensor cut(dtype, {1, 2});
    ASSERT_EQ(CALL(ReplicationPad1d, x, HostInts({-2, 1}), cut).result, "ran");
    EXPECT_THAT(cut.Values(), ElementsAre(3, 3));
  }
}

// The last dimension comes first.
TEST(Pad, OfAPictureAndAVolume) {
  const DeviceTensor x(DType::kHalf, {1, 2, 2}, {1, 2, 3, 4});
  const DeviceTensor out(DType::kHalf, {1, 3, 3});
  const HostInts border({1, 0, 0, 1});
  ASSERT_EQ(CALL(ReflectionPad2d, x, border, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 1, 2, 4, 3, 4, 2, 1, 2));
  ASSERT_EQ(CALL(ReplicationPad2d, x, border, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 1, 2, 3, 3, 4, 3, 3, 4));
  const DeviceTensor deep(DType::kHalf, {1, 2, 1, 2}, {1, 2, 3, 4});
  const DeviceTensor deeper(DType::kHalf, {1, 3, 1, 2});
  const HostInts depth({0, 0, 0, 0, 1, 0});
  ASSERT_EQ(CALL(ReflectionPad3d, deep, depth, deeper).result, "ran");
  EXPECT_THAT(deeper.Values(), ElementsAre(3, 4, 1, 2, 3, 4));
  ASSERT_EQ(CALL(ReplicationPad3d, deep, depth, deeper).result, "ran");
  EXPECT_THAT(deeper.Values(), ElementsAre(1, 2, 1, 2, 3, 4));
}

TEST(PadBackward, AddsTheGradientsOfCopies) {
  const DeviceTensor x(DType::kFloat, {1, 3}, {1, 2, 3});
  const DeviceTensor grad(DType::kFloat, {1, 6}, {1, 10, 100, 1000, 10000, 100000});
  const DeviceTensor out(DType::kFloat, {1, 3});
  ASSERT_EQ(CALL(ReflectionPad1dBackward, grad, x, HostInts({2, 1}), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(100, 101010, 10001));
  ASSERT_EQ(CALL(ReplicationPad1dBackward, grad, x, HostInts({2, 1}), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(111, 1000, 110000));
  const DeviceTensor picture(DType::kFloat, {1, 1, 2}, {1, 2});
  const DeviceTensor wide(DType::kFloat, {1, 1, 3}, {1, 10, 100});
  const DeviceTensor given(DType::kFloat, {1, 1, 2});
  const HostInts left({1, 0, 0, 0});
  ASSERT_EQ(CALL(ReflectionPad2dBackward, wide, picture, left, given).result, "ran");
  EXPECT_THAT(given.Values(), ElementsAre(10, 101));
  ASSERT_EQ(CALL(ReplicationPad2dBackward, wide, picture, left, given).result, "ran");
  EXPECT_THAT(given.Values(), ElementsAre(11, 100));
  const DeviceTensor volume(DType::kFloat, {1, 1, 1, 2}, {1, 2});
  const DeviceTensor wider(DType::kFloat, {1, 1, 1, 3}, {1, 10, 100});
  const DeviceTensor made(DType::kFloat, {1, 1, 1, 2});
  const HostInts side({1, 0, 0, 0, 0, 0});
  ASSERT_EQ(CALL(ReflectionPad3dBackward, wider, volume, side, made).result, "ran");
  EXPECT_THAT(made.Values(), ElementsAre(10, 101));
  ASSERT_EQ(CALL(ReplicationPad3dBackward, wider, volume, side, made).result, "ran");
  EXPECT_THAT(made.Values(), ElementsAre(11, 100));
}

TEST(Pad, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {1, 3}, {1, 2, 3});
  const DeviceTensor line(DType::kFloat, {3}, {1, 2, 3});
  const DeviceTensor nothing(DType::kFloat, {1, 0}, {});
  const DeviceTensor out(DType::kFloat, {1, 6});
  const DeviceTensor half(DType::kHalf, {1, 6});
  const auto error = [&](const DeviceTensor& from, const HostInts& border, const DeviceTensor& to) {
    return CALL(ReflectionPad1d, from, border, to).result;
  };
  EXPECT_THAT(error(x, HostInts({3, 0}), out),
              HasSubstr("'padding' has 3 for dimension 1 of float32 [1, 3]; a mirror's border"));
  EXPECT_THAT(error(x, HostInts({1}), out), HasSubstr("'padding' has 1 numbers; it must have 2"));
  EXPECT_THAT(error(line, HostInts({2, 1}), out),
              HasSubstr("'self' is float32 [3]; it must have 2 to 3 dimensions"));
  EXPECT_THAT(error(x, HostInts({1, 1}), out),
              HasSubstr("'out' is float32 [1, 6], the result is float32 [1, 5]"));
  EXPECT_THAT(error(x, HostInts({2, 1}), half),
              HasSubstr("'out' is float16 [1, 6], and 'self' is float32 [1, 3]"));
  EXPECT_THAT(error(x, HostInts({-2, -1}), out), HasSubstr("has 0 elements with its border"));
  EXPECT_THAT(CALL(ReplicationPad1d, nothing, HostInts({3, 3}), out).result,
              HasSubstr("at least 1 without"));
}

}  // namespace
}  // namespace softnpu
