// cc/softnpu/opapi/scatter_reduce_ops_test.cc: reductions of few numbers, counted by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(ScatterReduce, const Tensor*, int64_t, const Tensor*, const Tensor*, int64_t, bool,
              Tensor*)
ACLNN_DECLARE(InplaceScatterReduce, Tensor*, int64_t, const Tensor*, const Tensor*, int64_t, bool)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kNone = 0, kAdd = 1, kMul = 2, kMax = 3, kMin = 4, kMean = 5;

TEST(ScatterReduce, ReducesIntoPlaces) {
  for (const DType dtype : {DType::kFloat, DType::kHalf, DType::kInt32}) {
    const DeviceTensor self(dtype, {3}, {10, 20, 30});
    const DeviceTensor index(DType::kInt64, {3}, {0, 2, 0});
    const DeviceTensor src(dtype, {3}, {2, 3, 4});
    const DeviceTensor out(dtype, {3});
    const auto reduced = [&](int64_t reduction, bool include_self) {
      EXPECT_EQ(CALL(ScatterReduce, self, 0, index, src, reduction, include_self, out).result,
                "ran");
      return out.Values();
    };
    EXPECT_THAT(reduced(kNone, true), ElementsAre(4, 20, 3));
    EXPECT_THAT(reduced(kAdd, true), ElementsAre(16, 20, 33));
    EXPECT_THAT(reduced(kAdd, false), ElementsAre(6, 20, 3));
    EXPECT_THAT(reduced(kMul, true), ElementsAre(80, 20, 90));
    EXPECT_THAT(reduced(kMax, true), ElementsAre(10, 20, 30));
    EXPECT_THAT(reduced(kMax, false), ElementsAre(4, 20, 3));
    EXPECT_THAT(reduced(kMin, true), ElementsAre(2, 20, 3));
    EXPECT_THAT(reduced(kMean, false), ElementsAre(3, 20, 3));
    ASSERT_EQ(CALL(InplaceScatterReduce, self, -1, index, src, kAdd, true).result, "ran");
    EXPECT_THAT(self.Values(), ElementsAre(16, 20, 33));
  }
}

TEST(ScatterReduce, RefusesByName) {
  const DeviceTensor self(DType::kFloat, {3}, {10, 20, 30});
  const DeviceTensor index(DType::kInt64, {3}, {0, 2, 3});
  const DeviceTensor src(DType::kFloat, {3}, {2, 3, 4});
  const DeviceTensor short_src(DType::kFloat, {2}, {2, 3});
  const DeviceTensor half(DType::kHalf, {3}, {2, 3, 4});
  const DeviceTensor out(DType::kFloat, {3});
  const auto error = [&](const DeviceTensor& from, int64_t dim, int64_t reduction) {
    return CALL(ScatterReduce, self, dim, index, from, reduction, true, out).result;
  };
  EXPECT_THAT(error(src, 0, 6), HasSubstr("'reduce' is 6; it must be 0 to 5"));
  EXPECT_THAT(error(half, 0, kAdd), HasSubstr("'src' is float16 [3], and 'self' is float32 [3]"));
  EXPECT_THAT(error(short_src, 0, kAdd), HasSubstr("'index' must be within 'src'"));
  EXPECT_THAT(error(src, 1, kAdd), HasSubstr("dimension 1 of float32 [3]"));
  EXPECT_THAT(error(src, 0, kAdd), HasSubstr("'index' holds 3 at position 2, the limit is 3"));
}

}  // namespace
}  // namespace softnpu
