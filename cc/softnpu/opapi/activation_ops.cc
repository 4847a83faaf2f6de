// cc/softnpu/opapi/activation_ops.cc: activation functions. Computed in double, rounded once.
#include <algorithm>
#include <cmath>

#include "cc/softnpu/opapi/pointwise.h"

namespace softnpu {
namespace {

// out = function(self) for floating tensors of equal dtypes.
template <typename Function>
void Activation(Plan& plan, const View& self, const View& out, Function function) {
  if (!IsFloating(self.dtype) || self.dtype == DType::kDouble) {
    throw Error(kAclnnInvalid,
                "'self' is " + self.Text() + ", it must be float32, float16 or bfloat16");
  }
  if (out.dtype != self.dtype || out.Shape() != self.Shape()) {
    throw Error(kAclnnInvalid, "'out' is " + out.Text() + ", 'self' is " + self.Text());
  }
  Unary(plan, self, out, [function](auto x) { return function(static_cast<double>(x)); });
}

double Logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double Relu6(double x) { return std::clamp(x, 0.0, 6.0); }
double GeluErf(double x) { return 0.5 * x * (1.0 + std::erf(x * 0.70710678118654752440)); }
double GeluTanh(double x) {
  return 0.5 * x * (1.0 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}
double Softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

}  // namespace

SOFTNPU_UNARY(Relu, [](auto a) { return a != a ? a : (a > 0 ? a : decltype(a){0}); })

// aclnn<NAME>(self, out): FUNCTION of x, a double.
#define SOFTNPU_ACTIVATION(NAME, FUNCTION)                         \
  ACLNN(NAME, (const Tensor*, self), (Tensor*, out)) {             \
    Activation(plan, plan.Get(self, "self"), plan.Out(out, "out"), \
               [](double x) -> double { return FUNCTION; });       \
  }
#define SOFTNPU_ACTIVATION_INPLACE(NAME, FUNCTION)                             \
  SOFTNPU_ACTIVATION(NAME, FUNCTION)                                           \
  ACLNN(Inplace##NAME, (const Tensor*, self)) {                                \
    const View view = plan.InOut(self, "self");                                \
    Activation(plan, view, view, [](double x) -> double { return FUNCTION; }); \
  }
SOFTNPU_ACTIVATION(Silu, x* Logistic(x))
SOFTNPU_ACTIVATION(Gelu, GeluErf(x))
SOFTNPU_ACTIVATION(FastGelu, x* Logistic(1.702 * x))
SOFTNPU_ACTIVATION_INPLACE(Hardswish, x* Relu6(x + 3.0) / 6.0)
SOFTNPU_ACTIVATION_INPLACE(Hardsigmoid, Relu6(x + 3.0) / 6.0)
SOFTNPU_ACTIVATION_INPLACE(Mish, x* std::tanh(Softplus(x)))

ACLNN(GeluV2, (const Tensor*, self), (int64_t, approximate), (Tensor*, out)) {
  if (approximate != 0 && approximate != 1) {
    throw Error(kAclnnInvalid, Format("'approximate' is %lld, 0 is none and 1 is tanh",
                                      static_cast<long long>(approximate)));
  }
  Activation(plan, plan.Get(self, "self"), plan.Out(out, "out"),
             approximate == 0 ? GeluErf : GeluTanh);
}

namespace {

void LeakyRelu(Plan& plan, const View& self, const Scalar* slope, const View& out) {
  Activation(plan, self, out, [slope = plan.Required(slope, "negative_slope").real](double x) {
    return x > 0 ? x : slope * x;
  });
}

// scale * (x, or alpha * (exp(input_scale * x) - 1) where x is negative)
void Elu(Plan& plan, const View& self, const Scalar* alpha, const Scalar* scale,
         const Scalar* input_scale, const View& out) {
  const double a = plan.Required(alpha, "alpha").real;
  const double s = plan.Required(scale, "scale").real;
  const double i = plan.Required(input_scale, "input_scale").real;
  Activation(plan, self, out,
             [a, s, i](double x) { return s * (x > 0 ? x : a * std::expm1(i * x)); });
}

void Threshold(Plan& plan, const View& self, const Scalar* threshold, const Scalar* value,
               const View& out) {
  const double limit = plan.Required(threshold, "threshold").real;
  const double other = plan.Required(value, "value").real;
  Activation(plan, self, out, [limit, other](double x) { return x <= limit ? other : x; });
}

void Hardtanh(Plan& plan, const View& self, const Scalar* low, const Scalar* high,
              const View& out) {
  const double least = plan.Required(low, "clip_min").real;
  const double most = plan.Required(high, "clip_max").real;
  Activation(plan, self, out,
             [least, most](double x) { return x < least ? least : (x > most ? most : x); });
}

}  // namespace

ACLNN(LeakyRelu, (const Tensor*, self), (const Scalar*, negative_slope), (Tensor*, out)) {
  LeakyRelu(plan, plan.Get(self, "self"), negative_slope, plan.Out(out, "out"));
}
ACLNN(InplaceLeakyRelu, (Tensor*, self), (const Scalar*, negative_slope)) {
  const View view = plan.InOut(self, "self");
  LeakyRelu(plan, view, negative_slope, view);
}
ACLNN(Elu, (const Tensor*, self), (const Scalar*, alpha), (const Scalar*, scale),
      (const Scalar*, input_scale), (Tensor*, out)) {
  Elu(plan, plan.Get(self, "self"), alpha, scale, input_scale, plan.Out(out, "out"));
}
ACLNN(InplaceElu, (Tensor*, self), (const Scalar*, alpha), (const Scalar*, scale),
      (const Scalar*, input_scale)) {
  const View view = plan.InOut(self, "self");
  Elu(plan, view, alpha, scale, input_scale, view);
}
ACLNN(Threshold, (const Tensor*, self), (const Scalar*, threshold), (const Scalar*, value),
      (Tensor*, out)) {
  Threshold(plan, plan.Get(self, "self"), threshold, value, plan.Out(out, "out"));
}
ACLNN(InplaceThreshold, (Tensor*, self), (const Scalar*, threshold), (const Scalar*, value)) {
  const View view = plan.InOut(self, "self");
  Threshold(plan, view, threshold, value, view);
}
ACLNN(Hardtanh, (const Tensor*, self), (const Scalar*, clip_min), (const Scalar*, clip_max),
      (Tensor*, out)) {
  Hardtanh(plan, plan.Get(self, "self"), clip_min, clip_max, plan.Out(out, "out"));
}
ACLNN(InplaceHardtanh, (Tensor*, self), (const Scalar*, clip_min), (const Scalar*, clip_max)) {
  const View view = plan.InOut(self, "self");
  Hardtanh(plan, view, clip_min, clip_max, view);
}
// log(1 + exp(beta * x)) / beta; x itself where beta * x is above the threshold.
ACLNN(Softplus, (const Tensor*, self), (const Scalar*, beta), (const Scalar*, threshold),
      (Tensor*, out)) {
  const double b = plan.Required(beta, "beta").real;
  const double limit = plan.Required(threshold, "threshold").real;
  Activation(plan, plan.Get(self, "self"), plan.Out(out, "out"),
             [b, limit](double x) { return b * x > limit ? x : Softplus(b * x) / b; });
}

}  // namespace softnpu
