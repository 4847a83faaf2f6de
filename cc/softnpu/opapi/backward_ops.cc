// cc/softnpu/opapi/backward_ops.cc: gradients of activations, normalisations, embeddings and
// convolutions, in double precision, rounded once.
#include <cmath>
#include <cstring>
#include <string>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// The gradient of the result, and a tensor that it belongs to.
struct Gradient {
  View grad, self, out;
};
Gradient GradientOf(const Plan& plan, const Tensor* grad, const Tensor* self, const char* name,
                    const Tensor* out) {
  Gradient made{Checked(plan.Get(grad, "gradOutput"), "gradOutput", kFloats),
                Checked(plan.Get(self, name), name, kFloats),
                Checked(plan.Out(out, "gradInput"), "gradInput", kFloats)};
  Expanded(made.grad, made.out, "'gradOutput'");
  Expanded(made.self, made.out, name);
  return made;
}

// gradInput = function(gradOutput, self)
template <typename Function>
void PlanGradient(Plan& plan, const Tensor* grad, const Tensor* self, const Tensor* out,
                  Function function) {
  const Gradient given = GradientOf(plan, grad, self, "self", out);
  plan.run = [=] { Map<double, 2>(given.out, {given.grad, given.self}, function); };
}

double Logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

View Float(const Plan& plan, const Tensor* tensor, const char* name, int least = 0,
           int most = kMaxRank) {
  return Checked(plan.Get(tensor, name), name, kFloats, least, most);
}

// The results that the mask asks for.
template <size_t N>
std::array<std::optional<View>, N> Masked(const Plan& plan, const BoolArray* mask,
                                          const std::array<const Tensor*, N>& tensors,
                                          const std::array<const char*, N>& names) {
  const std::vector<uint8_t>& wanted = plan.Required(mask, "outputMask").values;
  if (wanted.size() != N) {
    throw Error(kAclnnInvalid,
                Format("'outputMask' has %zu values; it must have %zu", wanted.size(), N));
  }
  std::array<std::optional<View>, N> out;
  for (size_t i = 0; i < N; ++i) {
    if (wanted[i] != 0) out[i] = Checked(plan.Out(tensors[i], names[i]), names[i], kFloats);
  }
  return out;
}

void PlanGeluBackward(Plan& plan, const Tensor* grad, const Tensor* self, const std::string& kind,
                      const Tensor* out) {
  const Gradient given = GradientOf(plan, grad, self, "self", out);
  PlanWide(plan, given.out, "aten::gelu_backward", "", given.grad, given.self, kind);
}

}  // namespace

// aclnn<NAME>(gradOutput, <ARGUMENT>, gradInput) by a function of ATen.
#define SOFTNPU_GRADIENT(NAME, ARGUMENT, ATEN)                                \
  ACLNN(NAME, (const Tensor*, grad), (const Tensor*, self), (Tensor*, out)) { \
    const Gradient given = GradientOf(plan, grad, self, ARGUMENT, out);       \
    PlanWide(plan, given.out, ATEN, "", given.grad, given.self);              \
  }
SOFTNPU_GRADIENT(SigmoidBackward, "output", "aten::sigmoid_backward")
SOFTNPU_GRADIENT(TanhBackward, "output", "aten::tanh_backward")
SOFTNPU_GRADIENT(SiluBackward, "self", "aten::silu_backward")
SOFTNPU_GRADIENT(HardswishBackward, "self", "aten::hardswish_backward")
SOFTNPU_GRADIENT(HardswishBackwardV2, "self", "aten::hardswish_backward")
SOFTNPU_GRADIENT(HardsigmoidBackward, "self", "aten::hardsigmoid_backward")
SOFTNPU_GRADIENT(MishBackward, "self", "aten::mish_backward")

ACLNN(GeluBackward, (const Tensor*, grad), (const Tensor*, self), (Tensor*, out)) {
  PlanGeluBackward(plan, grad, self, "none", out);
}
ACLNN(GeluBackwardV2, (const Tensor*, grad), (const Tensor*, self), (const char*, approximate),
      (Tensor*, out)) {
  const std::string kind = approximate == nullptr ? "" : approximate;
  if (kind != "none" && kind != "tanh") {
    throw Error(kAclnnInvalid, "'approximate' is '" + kind + "'; it must be 'none' or 'tanh'");
  }
  PlanGeluBackward(plan, grad, self, kind, out);
}
ACLNN(ThresholdBackward, (const Tensor*, grad), (const Tensor*, self), (const Scalar*, threshold),
      (Tensor*, out)) {
  PlanGradient(plan, grad, self, out,
               [t = plan.Required(threshold, "threshold").real](double g, double x) {
                 return x <= t ? 0 : g;
               });
}
ACLNN(LeakyReluBackward, (const Tensor*, grad), (const Tensor*, self),
      (const Scalar*, negative_slope), (bool, self_is_result), (Tensor*, out)) {
  const double slope = plan.Required(negative_slope, "negativeSlope").real;
  if (self_is_result && slope < 0) {
    throw Error(kAclnnInvalid,
                Format("'negativeSlope' is %g; for a result it must be 0 or more", slope));
  }
  PlanGradient(plan, grad, self, out,
               [slope](double g, double x) { return x > 0 ? g : slope * g; });
}
ACLNN(HardtanhBackward, (const Tensor*, grad), (const Tensor*, self), (const Scalar*, low),
      (const Scalar*, high), (Tensor*, out)) {
  PlanGradient(plan, grad, self, out,
               [least = plan.Required(low, "min").real, most = plan.Required(high, "max").real](
                   double g, double x) { return x <= least || x >= most ? 0 : g; });
}
#define SOFTNPU_SHRINK_BACKWARD(NAME)                                               \
  ACLNN(NAME, (const Tensor*, grad), (const Tensor*, self), (const Scalar*, lambd), \
        (Tensor*, out)) {                                                           \
    PlanGradient(plan, grad, self, out,                                             \
                 [l = plan.Required(lambd, "lambd").real](double g, double x) {     \
                   return x >= -l && x <= l ? 0 : g;                                \
                 });                                                                \
  }
SOFTNPU_SHRINK_BACKWARD(HardshrinkBackward)
SOFTNPU_SHRINK_BACKWARD(SoftshrinkBackward)
ACLNN(SoftplusBackward, (const Tensor*, grad), (const Tensor*, self), (const Scalar*, beta),
      (const Scalar*, threshold), (Tensor*, out)) {
  PlanGradient(
      plan, grad, self, out,
      [b = plan.Required(beta, "beta").real, t = plan.Required(threshold, "threshold").real](
          double g, double x) { return b * x > t ? g : g * Logistic(b * x); });
}
ACLNN(EluBackward, (const Tensor*, grad), (const Scalar*, alpha), (const Scalar*, scale),
      (const Scalar*, input_scale), (bool, is_result), (const Tensor*, self), (Tensor*, out)) {
  const double a = plan.Required(alpha, "alpha").real;
  const double s = plan.Required(scale, "scale").real;
  const double i = plan.Required(input_scale, "inputScale").real;
  if (is_result && a < 0) {
    throw Error(kAclnnInvalid, Format("'alpha' is %g; for a result it must be 0 or more", a));
  }
  PlanGradient(plan, grad, self, out, [=](double g, double x) {
    if (x > 0) return g * s;
    return is_result ? g * i * (x + a * s) : g * i * a * s * std::exp(i * x);
  });
}
ACLNN(LogSigmoidBackward, (const Tensor*, grad), (const Tensor*, self), (const Tensor*, buffer),
      (Tensor*, out)) {
  PlanGradient(plan, grad, self, out, [](double g, double x) { return g * Logistic(-x); });
}
ACLNN(GluBackward, (const Tensor*, grad), (const Tensor*, self), (int64_t, dim), (Tensor*, out)) {
  const View view = Float(plan, self, "self", 1);
  PlanWide(plan, Checked(plan.Out(out, "out"), "out", kFloats), "aten::glu_backward", "",
           Float(plan, grad, "gradOut"), view, CheckedDim(view, dim));
}

#define SOFTNPU_SOFTMAX_BACKWARD(NAME, ATEN)                                                    \
  ACLNN(NAME, (const Tensor*, grad), (const Tensor*, output), (int64_t, dim), (Tensor*, out)) { \
    const Gradient given = GradientOf(plan, grad, output, "output", out);                       \
    CheckEqualShape(given.grad, "gradOutput", given.self, "output");                            \
    PlanWide(plan, given.out, ATEN, "", given.grad, given.self, CheckedDim(given.self, dim),    \
             torch::headeronly::ScalarType::Double);                                            \
  }
SOFTNPU_SOFTMAX_BACKWARD(SoftmaxBackward, "aten::_softmax_backward_data")
SOFTNPU_SOFTMAX_BACKWARD(LogSoftmaxBackward, "aten::_log_softmax_backward_data")

ACLNN(LayerNormBackward, (const Tensor*, grad), (const Tensor*, input),
      (const IntArray*, normalized_shape), (const Tensor*, mean), (const Tensor*, rstd),
      (const Tensor*, weight), (const Tensor*, bias), (const BoolArray*, mask),
      (Tensor*, grad_input), (Tensor*, grad_weight), (Tensor*, grad_bias)) {
  const auto outs = Masked<3>(plan, mask, {grad_input, grad_weight, grad_bias},
                              {"gradInputOut", "gradWeightOut", "gradBiasOut"});
  PlanWide(plan, outs, "aten::native_layer_norm_backward", "", Float(plan, grad, "gradOut"),
           Float(plan, input, "input"), plan.Required(normalized_shape, "normalizedShape").values,
           Float(plan, mean, "mean"), Float(plan, rstd, "rstd"), GetIf(plan, weight, "weight"),
           GetIf(plan, bias == nullptr ? weight : bias, "bias"), Asked(outs));
}
ACLNN(GroupNormBackward, (const Tensor*, grad), (const Tensor*, input), (const Tensor*, mean),
      (const Tensor*, rstd), (const Tensor*, gamma), (int64_t, n), (int64_t, c), (int64_t, hxw),
      (int64_t, group), (const BoolArray*, mask), (Tensor*, grad_input), (Tensor*, grad_gamma),
      (Tensor*, grad_beta)) {
  const auto outs = Masked<3>(plan, mask, {grad_input, grad_gamma, grad_beta},
                              {"gradInput", "gradGammaOut", "gradBetaOut"});
  PlanWide(plan, outs, "aten::native_group_norm_backward", "", Float(plan, grad, "gradOut"),
           Float(plan, input, "input"), Float(plan, mean, "mean"), Float(plan, rstd, "rstd"),
           GetIf(plan, gamma, "gamma"), n, c, hxw, group, Asked(outs));
}
ACLNN(BatchNormBackward, (const Tensor*, grad), (const Tensor*, input), (const Tensor*, weight),
      (const Tensor*, running_mean), (const Tensor*, running_var), (const Tensor*, save_mean),
      (const Tensor*, save_invstd), (bool, training), (double, eps), (const BoolArray*, mask),
      (Tensor*, grad_input), (Tensor*, grad_weight), (Tensor*, grad_bias)) {
  const auto outs = Masked<3>(plan, mask, {grad_input, grad_weight, grad_bias},
                              {"gradInput", "gradWeight", "gradBias"});
  PlanWide(plan, outs, "aten::native_batch_norm_backward", "", Float(plan, grad, "gradOut", 2),
           Float(plan, input, "input", 2), GetIf(plan, weight, "weight"),
           GetIf(plan, running_mean, "runningMean"), GetIf(plan, running_var, "runningVar"),
           GetIf(plan, save_mean, "saveMean"), GetIf(plan, save_invstd, "saveInvstd"), training,
           eps, Asked(outs));
}
ACLNN(ConvolutionBackward, (const Tensor*, grad), (const Tensor*, input), (const Tensor*, weight),
      (const IntArray*, bias_sizes), (const IntArray*, stride), (const IntArray*, padding),
      (const IntArray*, dilation), (bool, transposed), (const IntArray*, output_padding),
      (int, groups), (const BoolArray*, mask), (int8_t, cube_math_type), (Tensor*, grad_input),
      (Tensor*, grad_weight), (Tensor*, grad_bias)) {
  const auto outs = Masked<3>(plan, mask, {grad_input, grad_weight, grad_bias},
                              {"gradInput", "gradWeight", "gradBias"});
  const View in = Float(plan, input, "input", 3, 5);
  const View filter = Float(plan, weight, "weight", in.rank, in.rank);
  const View from = Float(plan, grad, "gradOutput", in.rank, in.rank);
  CheckSameType(filter, "weight", in, "input");
  CheckSameType(from, "gradOutput", in, "input");
  const size_t dims = static_cast<size_t>(in.rank) - 2;
  if (groups < 1)
    throw Error(kAclnnInvalid, Format("'groups' is %d; it must be at least 1", groups));
  const std::vector<int64_t> more = transposed
                                        ? Numbers(plan, output_padding, "outputPadding", dims, 0)
                                        : std::vector<int64_t>(dims, 0);
  const int64_t channels = transposed ? filter.Dim(1) * groups : filter.Dim(0);
  PlanWide(plan, outs, "aten::convolution_backward", "", from, in, filter,
           std::optional<std::vector<int64_t>>({channels}),
           Numbers(plan, stride, "stride", dims, 1), Numbers(plan, padding, "padding", dims, 0),
           Numbers(plan, dilation, "dilation", dims, 1), transposed, more, int64_t{groups},
           Asked(outs));
}

// Sums the rows of the gradient that have one index; the row of `padding_idx` stays 0.
ACLNN(EmbeddingDenseBackward, (const Tensor*, grad), (const Tensor*, indices),
      (uint64_t, num_weights), (uint64_t, padding_idx), (bool, scale_grad_by_freq),
      (Tensor*, out)) {
  const View from = Float(plan, grad, "grad", 1);
  const View rows =
      Checked(plan.Get(indices, "indices"), "indices",
              kIndices | Only(DType::kInt16) | Only(DType::kInt8) | Only(DType::kUint8));
  PlanWide(plan, Checked(plan.Out(out, "out"), "out", kFloats, 2, 2),
           "aten::embedding_dense_backward", "", from, rows, static_cast<int64_t>(num_weights),
           static_cast<int64_t>(padding_idx), scale_grad_by_freq);
}

// One step of AdamW of one tensor, as torch.optim.AdamW defines it; 'step' counts those before it.
ACLNN(ApplyAdamWV2, (Tensor*, var), (Tensor*, m), (Tensor*, v), (Tensor*, max_grad_norm),
      (const Tensor*, grad), (const Tensor*, step), (float, lr), (float, beta1), (float, beta2),
      (float, weight_decay), (float, eps), (bool, amsgrad), (bool, maximize)) {
  const View value = Checked(plan.InOut(var, "varRef"), "varRef", kFloats);
  const View first = Checked(plan.InOut(m, "mRef"), "mRef", kFloats);
  const View second = Checked(plan.InOut(v, "vRef"), "vRef", kFloats);
  const View slope = Float(plan, grad, "grad");
  const View count =
      Checked(plan.Get(step, "step"), "step", Only(DType::kFloat) | Only(DType::kInt64));
  std::optional<View> most;
  if (amsgrad)
    most = Checked(plan.InOut(max_grad_norm, "maxGradNormOptionalRef"), "maxGradNormOptionalRef",
                   kFloats);
  for (const View* view : {&first, &second, &slope}) {
    CheckEqualShape(*view, view == &slope ? "grad" : "a moment", value, "varRef");
  }
  if (most) CheckEqualShape(*most, "maxGradNormOptionalRef", value, "varRef");
  if (count.Count() != 1) {
    throw Error(kAclnnInvalid, "'step' is " + count.Text() + "; it must be one number");
  }
  plan.run = [=] {
    double steps = 0;
    LoadElements(count.dtype, count.Host(), 1, 1, &steps);
    steps += 1;
    const double decay = double{lr} * double{weight_decay};
    const double rate = double{lr} / (1 - std::pow(double{beta1}, steps));
    const double root = std::sqrt(1 - std::pow(double{beta2}, steps));
    const double sign = maximize ? -1 : 1;
    Map<double, 2>(first, {first, slope}, [=](double old, double g) {
      return old + (sign * g - old) * (1 - double{beta1});
    });
    Map<double, 2>(second, {second, slope}, [=](double old, double g) {
      return double{beta2} * old + (1 - double{beta2}) * g * g;
    });
    if (most) {
      Map<double, 2>(*most, {*most, second}, [](double a, double b) { return std::fmax(a, b); });
    }
    Map<double, 3>(value, {value, first, most ? *most : second}, [=](double x, double a, double b) {
      return x * (1 - decay) - rate * a / (std::sqrt(b) / root + double{eps});
    });
  };
}

}  // namespace softnpu
