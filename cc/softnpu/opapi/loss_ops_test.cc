// cc/softnpu/opapi/loss_ops_test.cc: losses of two or three numbers, by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

#define DECLARE_LOSS(NAME) ACLNN_DECLARE(NAME, const Tensor*, const Tensor*, int64_t, Tensor*)
#define DECLARE_LOSS_BACKWARD(NAME) \
  ACLNN_DECLARE(NAME, const Tensor*, const Tensor*, const Tensor*, int64_t, Tensor*)
DECLARE_LOSS(MseLoss)
DECLARE_LOSS(L1Loss)
DECLARE_LOSS(SoftMarginLoss)
DECLARE_LOSS_BACKWARD(MseLossBackward)
DECLARE_LOSS_BACKWARD(L1LossBackward)
DECLARE_LOSS_BACKWARD(SoftMarginLossBackward)
ACLNN_DECLARE(SmoothL1Loss, const Tensor*, const Tensor*, int64_t, float, Tensor*)
ACLNN_DECLARE(SmoothL1LossBackward, const Tensor*, const Tensor*, const Tensor*, int64_t, float,
              Tensor*)
ACLNN_DECLARE(KlDiv, const Tensor*, const Tensor*, int64_t, bool, Tensor*)
ACLNN_DECLARE(BinaryCrossEntropy, const Tensor*, const Tensor*, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(BinaryCrossEntropyBackward, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(BinaryCrossEntropyWithLogits, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(KlDivBackward, const Tensor*, const Tensor*, const Tensor*, int64_t, bool, Tensor*)
ACLNN_DECLARE(BinaryCrossEntropyWithLogitsBackward, const Tensor*, const Tensor*, const Tensor*,
              const Tensor*, const Tensor*, int64_t, Tensor*)
#define DECLARE_CLASS_LOSS(NAME)                                                              \
  ACLNN_DECLARE(NAME, const Tensor*, const Tensor*, const Tensor*, int64_t, int64_t, Tensor*, \
                Tensor*)                                                                      \
  ACLNN_DECLARE(NAME##Backward, const Tensor*, const Tensor*, const Tensor*, const Tensor*,   \
                int64_t, int64_t, const Tensor*, Tensor*)
DECLARE_CLASS_LOSS(NLLLoss)
DECLARE_CLASS_LOSS(NLLLoss2d)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Tensor* kNone = nullptr;
constexpr int64_t kEach = 0, kMean = 1, kSum = 2;

class Loss : public ::testing::Test {
 protected:
  const DType type = DType::kFloat;
  const DeviceTensor x{type, {2}, {0.25, 0.75}}, y{type, {2}, {1, 0}};
  const DeviceTensor each{type, {2}}, one{type, {}}, grad{type, {}, {2}};
  double R(double value) const { return Rounded(type, value); }
};

TEST_F(Loss, OfDistances) {
  ASSERT_EQ(CALL(MseLoss, x, y, kEach, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(0.5625, 0.5625));
  ASSERT_EQ(CALL(L1Loss, x, y, kSum, one).result, "ran");
  EXPECT_EQ(one.Values()[0], 1.5);
  ASSERT_EQ(CALL(SmoothL1Loss, x, y, kMean, 0.5F, one).result, "ran");
  EXPECT_EQ(one.Values()[0], 0.5);  // |0.75| - 0.5 / 2
  ASSERT_EQ(CALL(MseLossBackward, grad, x, y, kMean, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(-1.5, 1.5));
  ASSERT_EQ(CALL(L1LossBackward, grad, x, y, kMean, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(-1, 1));
  ASSERT_EQ(CALL(SmoothL1LossBackward, grad, x, y, kSum, 1.0F, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(-1.5, 1.5));
}

TEST_F(Loss, OfProbabilities) {
  ASSERT_EQ(CALL(BinaryCrossEntropy, x, y, kNone, kMean, one).result, "ran");
  EXPECT_EQ(one.Values()[0], R(-std::log(0.25)));
  ASSERT_EQ(CALL(BinaryCrossEntropyBackward, grad, x, y, kNone, kSum, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(-8, 8));
  ASSERT_EQ(CALL(BinaryCrossEntropyWithLogits, x, y, kNone, kNone, kEach, each).result, "ran");
  EXPECT_THAT(each.Values(),
              ElementsAre(R(std::log1p(std::exp(-0.25))), R(std::log1p(std::exp(0.75)))));
  ASSERT_EQ(CALL(KlDiv, x, y, kEach, false, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(-0.25, 0));
  ASSERT_EQ(CALL(KlDivBackward, grad, x, y, kMean, false, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(-1, 0));
  ASSERT_EQ(CALL(KlDivBackward, grad, x, y, kSum, true, each).result, "ran");
  EXPECT_THAT(each.Values(), ElementsAre(R(-2 * std::exp(1)), -2));
  const DeviceTensor weight(type, {2}, {0.5, 4}), positive(type, {2}, {3, 7});
  ASSERT_EQ(
      CALL(BinaryCrossEntropyWithLogitsBackward, grad, x, y, weight, positive, kMean, each).result,
      "ran");
  EXPECT_THAT(each.Values(),
              ElementsAre(R(-1.5 / (1 + std::exp(0.25))), R(4 / (1 + std::exp(-0.75)))));
  const DeviceTensor sign(type, {2}, {1, -1});
  ASSERT_EQ(CALL(SoftMarginLoss, x, sign, kSum, one).result, "ran");
  EXPECT_EQ(one.Values()[0], R(std::log1p(std::exp(-0.25)) + std::log1p(std::exp(0.75))));
  ASSERT_EQ(CALL(SoftMarginLossBackward, grad, x, sign, kSum, each).result, "ran");
  EXPECT_EQ(each.Values()[0], R(-2 / (1 + std::exp(0.25))));
}

TEST_F(Loss, OfClassesLeavesSomeOut) {
  const DeviceTensor scores(type, {3, 2}, {-1, -2, -3, -4, -5, -6});
  const DeviceTensor classes(DType::kInt64, {3}, {1, 0, -100});
  const DeviceTensor weight(type, {2}, {1, 3});
  const DeviceTensor total(type, {});
  ASSERT_EQ(CALL(NLLLoss, scores, classes, weight, kMean, -100, one, total).result, "ran");
  EXPECT_EQ(total.Values()[0], 4);
  EXPECT_EQ(one.Values()[0], R((3 * 2 + 1 * 3) / 4.0));
  const DeviceTensor from(type, {3, 2});
  ASSERT_EQ(CALL(NLLLossBackward, grad, scores, classes, weight, kMean, -100, total, from).result,
            "ran");
  EXPECT_THAT(from.Values(), ElementsAre(0, -1.5, -0.5, 0, 0, 0));
  const DeviceTensor picture(type, {1, 2, 1, 2}, {-1, -2, -3, -4});
  const DeviceTensor places(DType::kInt64, {1, 1, 2}, {1, 0});
  ASSERT_EQ(CALL(NLLLoss2d, picture, places, weight, kSum, -100, one, total).result, "ran");
  EXPECT_EQ(one.Values()[0], 3 * 3 + 2);
  const DeviceTensor back(type, {1, 2, 1, 2});
  ASSERT_EQ(CALL(NLLLoss2dBackward, grad, picture, places, weight, kSum, -100, total, back).result,
            "ran");
  EXPECT_THAT(back.Values(), ElementsAre(0, -2, -6, 0));
  EXPECT_THAT(
      CALL(NLLLoss, scores, classes, DeviceTensor(type, {3}, {1, 1, 1}), kMean, -100, one, total)
          .result,
      HasSubstr("'weight' is float32 [3]; 'self' has 2 classes"));
  EXPECT_THAT(CALL(NLLLoss, scores, scores, weight, kMean, -100, one, total).result,
              HasSubstr("'target' is float32 [3, 2]"));
}

TEST_F(Loss, RefusesByName) {
  EXPECT_THAT(CALL(MseLoss, x, y, 3, one).result,
              HasSubstr("'reduction' is 3; it must be 0, 1 or 2"));
  EXPECT_THAT(CALL(SmoothL1Loss, x, y, kMean, -1.0F, one).result,
              HasSubstr("'beta' is -1; it must be 0 or more"));
  EXPECT_THAT(CALL(MseLoss, DeviceTensor(DType::kInt32, {2}, {1, 2}), y, 0, each).result,
              HasSubstr("'self' is int32 [2]"));
  EXPECT_THAT(CALL(MseLoss, x, y, kSum, each).result,
              HasSubstr("'out' is float32 [2], the result is float32 []"));
}

}  // namespace
}  // namespace softnpu
