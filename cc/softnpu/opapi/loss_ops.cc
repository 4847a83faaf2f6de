// cc/softnpu/opapi/loss_ops.cc: losses and their gradients, in double precision, rounded once.
#include <cmath>
#include <string>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// self and target of floating types.
struct Pair {
  View self, target;
};
Pair PairOf(const Plan& plan, const Tensor* self, const Tensor* target) {
  return {Checked(plan.Get(self, "self"), "self", kFloats),
          Checked(plan.Get(target, "target"), "target", kFloats)};
}

View Result(const Plan& plan, const Tensor* out, const char* name = "out") {
  return Checked(plan.Out(out, name), name, kFloats);
}

// Scores of classes, [classes] or [batch, classes], with a class for each row; for pictures
// [batch, classes, height, width].
struct Classes {
  View self, target, weight;
  int64_t reduction, ignored;
};
Classes ClassesOf(const Plan& plan, const Tensor* self, const Tensor* target, const Tensor* weight,
                  int64_t reduction, int64_t ignored, int least, int most) {
  Classes made{Checked(plan.Get(self, "self"), "self", kFloats, least, most),
               Checked(plan.Get(target, "target"), "target", kIndices | Only(DType::kUint8),
                       least - 1, most - 1),
               Checked(plan.Get(weight, "weight"), "weight", kFloats, 1, 1),
               CheckedReduction(reduction), ignored};
  const int64_t classes = made.self.Dim(made.self.rank == 1 ? 0 : 1);
  if (made.weight.Count() != classes) {
    throw Error(kAclnnInvalid, Format("'weight' is %s; 'self' has %lld classes",
                                      made.weight.Text().c_str(), Long(classes)));
  }
  return made;
}

// With a mean, the gradient of the loss is that of the sum by the number of elements.
double MeanFactor(int64_t reduction, int64_t count) {
  return reduction == 1 ? 1.0 / static_cast<double>(count) : 1.0;
}

}  // namespace

#define SOFTNPU_LOSS(NAME, ATEN)                                                    \
  ACLNN(NAME, (const Tensor*, self), (const Tensor*, target), (int64_t, reduction), \
        (Tensor*, out)) {                                                           \
    const Pair pair = PairOf(plan, self, target);                                   \
    PlanWide(plan, Result(plan, out), ATEN, "", pair.self, pair.target,             \
             CheckedReduction(reduction));                                          \
  }
SOFTNPU_LOSS(MseLoss, "aten::mse_loss")
SOFTNPU_LOSS(L1Loss, "aten::l1_loss")
SOFTNPU_LOSS(SoftMarginLoss, "aten::soft_margin_loss")

#define SOFTNPU_LOSS_BACKWARD(NAME, ATEN)                                                          \
  ACLNN(NAME, (const Tensor*, grad), (const Tensor*, self), (const Tensor*, target),               \
        (int64_t, reduction), (Tensor*, out)) {                                                    \
    const Pair pair = PairOf(plan, self, target);                                                  \
    PlanWide(plan, Result(plan, out), ATEN, "",                                                    \
             Checked(plan.Get(grad, "gradOutput"), "gradOutput", kFloats), pair.self, pair.target, \
             CheckedReduction(reduction));                                                         \
  }
SOFTNPU_LOSS_BACKWARD(MseLossBackward, "aten::mse_loss_backward")
SOFTNPU_LOSS_BACKWARD(SoftMarginLossBackward, "aten::soft_margin_loss_backward")

ACLNN(SmoothL1Loss, (const Tensor*, self), (const Tensor*, target), (int64_t, reduction),
      (float, beta), (Tensor*, out)) {
  const Pair pair = PairOf(plan, self, target);
  if (!(beta >= 0)) {
    throw Error(kAclnnInvalid,
                Format("'beta' is %g; it must be 0 or more", static_cast<double>(beta)));
  }
  PlanWide(plan, Result(plan, out), "aten::smooth_l1_loss", "", pair.self, pair.target,
           CheckedReduction(reduction), static_cast<double>(beta));
}
ACLNN(SmoothL1LossBackward, (const Tensor*, grad), (const Tensor*, self), (const Tensor*, target),
      (int64_t, reduction), (float, beta), (Tensor*, out)) {
  const Pair pair = PairOf(plan, self, target);
  PlanWide(plan, Result(plan, out), "aten::smooth_l1_loss_backward", "",
           Checked(plan.Get(grad, "gradOut"), "gradOut", kFloats), pair.self, pair.target,
           CheckedReduction(reduction), static_cast<double>(beta));
}
ACLNN(L1LossBackward, (const Tensor*, grad), (const Tensor*, self), (const Tensor*, target),
      (int64_t, reduction), (Tensor*, out)) {
  const Pair pair = PairOf(plan, self, target);
  const View result = Result(plan, out);
  const View from = Checked(plan.Get(grad, "gradOutput"), "gradOutput", kFloats);
  for (const View* view : {&from, &pair.self, &pair.target}) Expanded(*view, result, "an operand");
  const double factor = MeanFactor(CheckedReduction(reduction), result.Count());
  plan.run = [=] {
    Map<double, 3>(result, {from, pair.self, pair.target}, [factor](double g, double x, double y) {
      return x == y ? 0 : (x > y ? g : x < y ? -g : x + y) * factor;
    });
  };
}
ACLNN(KlDiv, (const Tensor*, self), (const Tensor*, target), (int64_t, reduction),
      (bool, log_target), (Tensor*, out)) {
  const Pair pair = PairOf(plan, self, target);
  PlanWide(plan, Result(plan, out), "aten::kl_div", "", pair.self, pair.target,
           CheckedReduction(reduction), log_target);
}
ACLNN(KlDivBackward, (const Tensor*, grad), (const Tensor*, self), (const Tensor*, target),
      (int64_t, reduction), (bool, log_target), (Tensor*, out)) {
  const Pair pair = PairOf(plan, self, target);
  const View result = Result(plan, out);
  const View from = Checked(plan.Get(grad, "gradOutput"), "gradOutput", kFloats);
  for (const View* view : {&from, &pair.target}) Expanded(*view, result, "an operand");
  const double factor = -MeanFactor(CheckedReduction(reduction), pair.self.Count());
  plan.run = [=] {
    Map<double, 2>(result, {from, pair.target},
                   [=](double g, double t) { return factor * g * (log_target ? std::exp(t) : t); });
  };
}
ACLNN(BinaryCrossEntropy, (const Tensor*, self), (const Tensor*, target), (const Tensor*, weight),
      (int64_t, reduction), (Tensor*, out)) {
  const Pair pair = PairOf(plan, self, target);
  PlanWide(plan, Result(plan, out), "aten::binary_cross_entropy", "", pair.self, pair.target,
           GetIf(plan, weight, "weight"), CheckedReduction(reduction));
}
ACLNN(BinaryCrossEntropyBackward, (const Tensor*, grad), (const Tensor*, self),
      (const Tensor*, target), (const Tensor*, weight), (int64_t, reduction), (Tensor*, out)) {
  const Pair pair = PairOf(plan, self, target);
  PlanWide(plan, Result(plan, out), "aten::binary_cross_entropy_backward", "",
           Checked(plan.Get(grad, "gradOutput"), "gradOutput", kFloats), pair.self, pair.target,
           GetIf(plan, weight, "weight"), CheckedReduction(reduction));
}
ACLNN(BinaryCrossEntropyWithLogits, (const Tensor*, self), (const Tensor*, target),
      (const Tensor*, weight), (const Tensor*, pos_weight), (int64_t, reduction), (Tensor*, out)) {
  const Pair pair = PairOf(plan, self, target);
  PlanWide(plan, Result(plan, out), "aten::binary_cross_entropy_with_logits", "", pair.self,
           pair.target, GetIf(plan, weight, "weight"), GetIf(plan, pos_weight, "posWeight"),
           CheckedReduction(reduction));
}
// grad * weight * ((1 - target) * logistic(self) - target * posWeight * (1 - logistic(self)))
ACLNN(BinaryCrossEntropyWithLogitsBackward, (const Tensor*, grad), (const Tensor*, self),
      (const Tensor*, target), (const Tensor*, weight), (const Tensor*, pos_weight),
      (int64_t, reduction), (Tensor*, out)) {
  const Pair pair = PairOf(plan, self, target);
  const View result = Result(plan, out);
  const View from = Checked(plan.Get(grad, "gradOutput"), "gradOutput", kFloats);
  const Scalar one{DType::kDouble, 1, 1};
  const Scalar zero{DType::kDouble, 0, 0};
  const Scalar factor{DType::kDouble, MeanFactor(CheckedReduction(reduction), pair.self.Count()),
                      0};
  const std::optional<View> each = GetIf(plan, weight, "weight");
  const std::optional<View> positive = GetIf(plan, pos_weight, "posWeight");
  plan.run = [=] {
    const auto times = [](const AtenTensor& a, const AtenTensor& b) {
      return Aten("aten::mul", "Tensor", a, b)[0];
    };
    const auto between = [](const AtenTensor& a, const AtenTensor& b, const AtenTensor& at) {
      return Aten("aten::lerp", "Tensor", a, b, at)[0];
    };
    const AtenTensor hit = InDouble(pair.target);
    const AtenTensor missed = between(ForAten(one), ForAten(zero), hit);
    const AtenTensor gain = positive ? times(hit, InDouble(*positive)) : hit;
    AtenTensor found = between(Aten("aten::neg", "", gain)[0], missed,
                               Aten("aten::sigmoid", "", InDouble(pair.self))[0]);
    found = times(times(found, InDouble(from)), ForAten(factor));
    Give(result, each ? times(found, InDouble(*each)) : found);
  };
}

#define SOFTNPU_CLASS_LOSS(NAME, ATEN, LEAST, MOST)                                               \
  ACLNN(NAME, (const Tensor*, self), (const Tensor*, target), (const Tensor*, weight),            \
        (int64_t, reduction), (int64_t, ignore_index), (Tensor*, out), (Tensor*, total_weight)) { \
    const Classes given =                                                                         \
        ClassesOf(plan, self, target, weight, reduction, ignore_index, LEAST, MOST);              \
    PlanWide<2>(plan, {Result(plan, out), Result(plan, total_weight, "totalWeight")},             \
                ATEN "_forward", "", given.self, given.target, std::optional<View>(given.weight), \
                given.reduction, given.ignored);                                                  \
  }                                                                                               \
  ACLNN(NAME##Backward, (const Tensor*, grad), (const Tensor*, self), (const Tensor*, target),    \
        (const Tensor*, weight), (int64_t, reduction), (int64_t, ignore_index),                   \
        (const Tensor*, total_weight), (Tensor*, out)) {                                          \
    const Classes given =                                                                         \
        ClassesOf(plan, self, target, weight, reduction, ignore_index, LEAST, MOST);              \
    PlanWide(plan, Result(plan, out), ATEN "_backward", "",                                       \
             Checked(plan.Get(grad, "gradOutput"), "gradOutput", kFloats), given.self,            \
             given.target, std::optional<View>(given.weight), given.reduction, given.ignored,     \
             Checked(plan.Get(total_weight, "totalWeight"), "totalWeight", kFloats));             \
  }
SOFTNPU_CLASS_LOSS(NLLLoss, "aten::nll_loss", 1, 2)
SOFTNPU_CLASS_LOSS(NLLLoss2d, "aten::nll_loss2d", 4, 4)

}  // namespace softnpu
