// cc/softnpu/opapi/antiquant_test.cc: which scale and offset an element gets, by mode.
#include "cc/softnpu/opapi/antiquant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cc/softnpu/base/testing/error.h"
#include "tests/softnpu/aclnn.h"

namespace softnpu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// 2 sequences, 3 heads of 4, 5 keys; 6 blocks of 2.
constexpr AntiquantShape kShape{true, 2, 3, 4, 5, 6, 2, DType::kFloat};

// Element i of the scales is i: what an element of value 1 becomes says which one it got.
std::vector<double> Numbers(int64_t count) {
  std::vector<double> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<double>(i));
  return out;
}

// Sequence 1, block 4, head 2: the tokens 3 and 4 of the sequence, or 0 and 1 of the block.
std::vector<float> Applied(const std::vector<int64_t>& shape, int64_t mode) {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  const DeviceTensor scale(DType::kFloat, shape, Numbers(count));
  const Antiquant antiquant = ReadAntiquant("scale", scale.view(), "offset", {}, mode, kShape);
  std::vector<float> rows(8, 1.0F);
  antiquant.Apply("scale", 1, 4, 2, antiquant.block == 0 ? 3 : 0, 2, 4, 4, rows.data());
  return rows;
}

TEST(Antiquant, AnElementGetsTheScaleOfItsMode) {
  EXPECT_THAT(Applied({1}, 0), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(Applied({1, 12}, 0), ElementsAre(8, 9, 10, 11, 8, 9, 10, 11));
  EXPECT_THAT(Applied({1, 2, 5}, 1), ElementsAre(8, 8, 8, 8, 9, 9, 9, 9));
  // Of more tokens than there are.
  EXPECT_THAT(Applied({1, 2, 7}, 1), ElementsAre(10, 10, 10, 10, 11, 11, 11, 11));
  EXPECT_THAT(Applied({3}, 2), ElementsAre(2, 2, 2, 2, 2, 2, 2, 2));
  EXPECT_THAT(Applied({2, 3, 5}, 3), ElementsAre(28, 28, 28, 28, 29, 29, 29, 29));
  EXPECT_THAT(Applied({6, 2}, 4), ElementsAre(8, 8, 8, 8, 9, 9, 9, 9));
  EXPECT_THAT(Applied({6, 3, 2}, 5), ElementsAre(28, 28, 28, 28, 29, 29, 29, 29));
}

TEST(Antiquant, TheOffsetIsAddedBefore) {
  const DeviceTensor scale(DType::kFloat, {3}, {1, 2, 3});
  const DeviceTensor offset(DType::kFloat, {3}, {5, 6, 7});
  const Antiquant antiquant =
      ReadAntiquant("scale", scale.view(), "offset", offset.view(), 2, kShape);
  std::vector<float> rows = {-1, 10};
  antiquant.Apply("scale", 0, 0, 2, 0, 1, 2, 2, rows.data());
  EXPECT_THAT(rows, ElementsAre(18, 51));
}

TEST(Antiquant, RefusesAnotherShape) {
  const DeviceTensor scale(DType::kFloat, {3, 2}, Numbers(6));
  EXPECT_THAT(ErrorOf([&] { ReadAntiquant("scale", scale.view(), "offset", {}, 4, kShape); }),
              HasSubstr("'scale' is float32 [3, 2]; mode 4 needs [6, 2]"));
}

}  // namespace
}  // namespace softnpu
