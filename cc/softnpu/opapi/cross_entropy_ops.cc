// cc/softnpu/opapi/cross_entropy_ops.cc: the cross entropy of scores of classes, and its gradient,
// in double precision, rounded once.
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

constexpr int64_t kMostRows = 200000;

// [rows, classes] with a class for each row.
struct Scores {
  View input, target;
  std::optional<View> weight;
  int64_t reduction, ignored;  // as ATen counts: 0 none, 1 mean, 2 sum
  double smoothing;
};

int64_t Reduction(const char* name) {
  const std::string given = name == nullptr ? "" : name;
  if (given == "none") return 0;
  if (given == "mean") return 1;
  if (given == "sum") return 2;
  throw Error(kAclnnInvalid, "'reduction' is '" + given + "'; it must be 'none', 'mean' or 'sum'");
}

Scores ScoresOf(const Plan& plan, const View& input, const char* name, const Tensor* target,
                const Tensor* weight, const char* reduction, int64_t ignored, double smoothing,
                double scale) {
  Scores made{Checked(input, name, kFloats, 2, 2),
              Checked(plan.Get(target, "target"), "target", kIndices, 1, 1),
              {},
              Reduction(reduction),
              ignored,
              smoothing};
  if (weight != nullptr) {
    made.weight = Checked(plan.Get(weight, "weight"), "weight", Only(DType::kFloat), 1, 1);
    if (made.weight->Count() != input.Dim(1)) {
      throw Error(kAclnnInvalid, Format("'weight' is %s; '%s' has %lld classes",
                                        made.weight->Text().c_str(), name, Long(input.Dim(1))));
    }
  }
  if (made.target.Count() != input.Dim(0)) {
    throw Error(kAclnnInvalid, Format("'target' is %s; '%s' has %lld rows",
                                      made.target.Text().c_str(), name, Long(input.Dim(0))));
  }
  if (input.Dim(0) < 1 || input.Dim(0) > kMostRows) {
    throw Error(kAclnnInvalid, Format("'%s' is %s; it must have 1 to %lld rows", name,
                                      input.Text().c_str(), Long(kMostRows)));
  }
  if (!(smoothing >= 0 && smoothing < 1)) {
    throw Error(kAclnnInvalid,
                Format("'labelSmoothing' is %g; it must be at least 0 and below 1", smoothing));
  }
  if (scale != 0) {
    throw Error(kAclnnInvalid, Format("'lseSquareScaleForZloss' is %g; it must be 0", scale));
  }
  return made;
}

std::vector<double> Values(const View& view) {
  std::vector<double> out;
  out.reserve(static_cast<size_t>(view.Count()));
  ForEachRun<1>({view}, [&](const auto& base, const auto& strides, int64_t n) {
    const size_t first = out.size();
    out.resize(first + static_cast<size_t>(n));
    LoadElements(view.dtype, base[0], strides[0], n, out.data() + first);
  });
  return out;
}

// The target's class of a row. Throws Error 507015 for one that is none.
int64_t ClassOf(const std::vector<double>& targets, int64_t row, int64_t classes) {
  const auto found = static_cast<int64_t>(targets[static_cast<size_t>(row)]);
  if (found < 0 || found >= classes) {
    throw Error(kAicoreException,
                Format("'target' holds %lld at position %lld, the limit is %lld (undefined on the "
                       "device)",
                       Long(found), Long(row), Long(classes)));
  }
  return found;
}

void CheckClasses(const Scores& given) {
  const std::vector<double> targets = Values(given.target);
  for (int64_t row = 0; row < given.target.Count(); ++row) {
    if (targets[static_cast<size_t>(row)] == static_cast<double>(given.ignored)) continue;
    ClassOf(targets, row, given.input.Dim(1));
  }
}

// The gradient of the loss by the scores, where `log_prob` has the logarithms of probabilities.
std::vector<double> Gradient(const Scores& given, const View& grad) {
  const int64_t classes = given.input.Dim(1);
  const int64_t rows = given.input.Dim(0);
  const std::vector<double> log_prob = Values(given.input);
  const std::vector<double> targets = Values(given.target);
  const std::vector<double> slopes = Values(grad);
  std::vector<double> weights(static_cast<size_t>(classes), 1.0);
  if (given.weight) weights = Values(*given.weight);
  const auto is_ignored = [&](int64_t row) {
    return targets[static_cast<size_t>(row)] == static_cast<double>(given.ignored);
  };
  double total = 0;
  for (int64_t row = 0; row < rows; ++row) {
    if (!is_ignored(row)) total += weights[static_cast<size_t>(ClassOf(targets, row, classes))];
  }
  std::vector<double> out(static_cast<size_t>(rows * classes), 0.0);
  for (int64_t row = 0; row < rows; ++row) {
    if (is_ignored(row)) continue;
    const int64_t right = ClassOf(targets, row, classes);
    double slope = slopes[given.reduction == 0 ? static_cast<size_t>(row) : 0];
    if (given.reduction == 1) slope /= total;
    double sum = 0;
    double* const to = &out[static_cast<size_t>(row * classes)];
    for (int64_t c = 0; c < classes; ++c) {
      const double share =
          given.smoothing / static_cast<double>(classes) + (c == right ? 1 - given.smoothing : 0);
      to[c] = -slope * share * weights[static_cast<size_t>(c)];
      sum += to[c];
    }
    for (int64_t c = 0; c < classes; ++c) {
      to[c] -= sum * std::exp(log_prob[static_cast<size_t>(row * classes + c)]);
    }
  }
  return out;
}

}  // namespace

// What belongs to the z loss is neither computed nor written.
ACLNN(CrossEntropyLoss, (const Tensor*, input), (const Tensor*, target), (const Tensor*, weight),
      (const char*, reduction), (int64_t, ignore_index), (double, smoothing), (double, scale),
      (bool, return_zloss), (Tensor*, loss), (Tensor*, log_prob), (Tensor*, zloss),
      (Tensor*, lse)) {
  const Scores given = ScoresOf(plan, plan.Get(input, "input"), "input", target, weight, reduction,
                                ignore_index, smoothing, scale);
  if (return_zloss) throw Error(kAclnnInvalid, "'returnZloss' is true; it must be false");
  const View result = Checked(plan.Out(loss, "lossOut"), "lossOut", kFloats, 1, 1);
  const View logs = plan.Out(log_prob, "logProbOut");
  for (const auto& [view, name] : {std::pair(&result, "lossOut"), std::pair(&logs, "logProbOut")}) {
    CheckSameType(*view, name, given.input, "input");
  }
  CheckEqualShape(logs, "logProbOut", given.input, "input");
  const int64_t losses = given.reduction == 0 ? given.input.Dim(0) : 1;
  if (result.Count() != losses) {
    throw Error(kAclnnInvalid, Format("'lossOut' is %s; it must have %lld elements",
                                      result.Text().c_str(), Long(losses)));
  }
  plan.run = [=] {
    CheckClasses(given);
    const AtenTensor scores = InDouble(given.input);
    Give(logs, Aten("aten::_log_softmax", "", scores, int64_t{1}, false)[0]);
    const AtenTensor found =
        Aten("aten::cross_entropy_loss", "", scores, Wide(given.target), ForAten(given.weight),
             given.reduction, given.ignored, given.smoothing)[0];
    Give(result, Aten("aten::reshape", "", found, std::vector<int64_t>{losses})[0]);
  };
}

ACLNN(CrossEntropyLossGrad, (const Tensor*, grad), (const Tensor*, log_prob),
      (const Tensor*, target), (const Tensor*, weight), (const Tensor*, grad_zloss),
      (const Tensor*, lse), (const char*, reduction), (int64_t, ignore_index), (double, smoothing),
      (double, scale), (Tensor*, out)) {
  const View from = Checked(plan.Get(grad, "gradLoss"), "gradLoss", kFloats, 0, 1);
  const Scores given = ScoresOf(plan, plan.Get(log_prob, "logProb"), "logProb", target, weight,
                                reduction, ignore_index, smoothing, scale);
  const View result = plan.Out(out, "xGradOut");
  CheckSameType(result, "xGradOut", given.input, "logProb");
  CheckEqualShape(result, "xGradOut", given.input, "logProb");
  const int64_t losses = given.reduction == 0 ? given.input.Dim(0) : 1;
  if (from.Count() != losses) {
    throw Error(kAclnnInvalid, Format("'gradLoss' is %s; it must have %lld elements",
                                      from.Text().c_str(), Long(losses)));
  }
  plan.run = [=] {
    const std::vector<double> found = Gradient(given, from);
    size_t at = 0;
    Map<double, 0>(result, {}, [&] { return found[at++]; });
  };
}

}  // namespace softnpu
