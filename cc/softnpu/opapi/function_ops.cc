// cc/softnpu/opapi/function_ops.cc: functions of elements, of one to three tensors, computed in
// double precision (whole numbers in int64) and rounded once.
#include <cmath>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// Numbers of any type in, floating ones out, in one shape.
void PlanFunction(Plan& plan, const View& self, const View& out, const char* aten) {
  Checked(self, "self", kAnyType);
  Checked(out, "out", kReals);
  CheckEqualShape(out, "out", self, "self");
  plan.run = [=] { Give(out, Aten(aten, "", InDouble(self))[0]); };
}

// What is asked of elements: bool out.
void PlanQuestion(Plan& plan, const View& self, const View& out, uint32_t types, const char* aten) {
  Checked(self, "self", types);
  Checked(out, "out", kBool);
  CheckEqualShape(out, "out", self, "self");
  PlanWide(plan, out, aten, "", self);
}

// The dtype of `out` is that of the inputs; all broadcast.
template <size_t N, typename Function>
void PlanOneType(Plan& plan, const View& out, const std::array<View, N>& inputs,
                 const std::array<const char*, N>& names, uint32_t types, Function function) {
  for (size_t i = 0; i < N; ++i) {
    Checked(inputs[i], names[i], types);
    CheckSameType(inputs[i], names[i], out, "out");
    Expanded(inputs[i], out, names[i]);
  }
  plan.run = [=] {
    if (IsFloating(out.dtype)) {
      Map<double, N>(out, inputs, function);
    } else {
      Map<int64_t, N>(out, inputs, function);
    }
  };
}

// A function of two tensors that broadcast.
void PlanOfTwo(Plan& plan, const View& self, const View& other, const View& out, uint32_t types,
               const char* aten) {
  Checked(self, "self", types);
  Checked(other, "other", types);
  Expanded(self, out, "'self'");
  Expanded(other, out, "'other'");
  plan.run = [=] { Give(out, Aten(aten, "", InDouble(self), InDouble(other))[0]); };
}

template <typename Function>
void PlanActivation(Plan& plan, const View& self, const View& out, Function function) {
  Checked(self, "self", kFloats);
  CheckSameType(out, "out", self, "self");
  CheckEqualShape(out, "out", self, "self");
  plan.run = [=] { Map<double, 1>(out, {self}, function); };
}

double AtLeastZero(double value, const char* name) {
  if (!(value >= 0)) {
    throw Error(kAclnnInvalid, Format("'%s' is %g; it must be 0 or more", name, value));
  }
  return value;
}

}  // namespace

// aclnn<NAME>(self, out) and aclnnInplace<NAME>(self).
#define SOFTNPU_FUNCTION(NAME, ATEN)                                        \
  ACLNN(NAME, (const Tensor*, self), (Tensor*, out)) {                      \
    PlanFunction(plan, plan.Get(self, "self"), plan.Out(out, "out"), ATEN); \
  }                                                                         \
  ACLNN(Inplace##NAME, (Tensor*, self)) {                                   \
    const View view = plan.InOut(self, "self");                             \
    PlanFunction(plan, view, view, ATEN);                                   \
  }
SOFTNPU_FUNCTION(Acos, "aten::acos")
SOFTNPU_FUNCTION(Acosh, "aten::acosh")
SOFTNPU_FUNCTION(Asin, "aten::asin")
SOFTNPU_FUNCTION(Asinh, "aten::asinh")
SOFTNPU_FUNCTION(Atan, "aten::atan")
SOFTNPU_FUNCTION(Atanh, "aten::atanh")
SOFTNPU_FUNCTION(Cosh, "aten::cosh")
SOFTNPU_FUNCTION(Erfc, "aten::erfc")
SOFTNPU_FUNCTION(Erfinv, "aten::erfinv")
SOFTNPU_FUNCTION(Exp2, "aten::exp2")
SOFTNPU_FUNCTION(Frac, "aten::frac")
SOFTNPU_FUNCTION(Log10, "aten::log10")
SOFTNPU_FUNCTION(Sinc, "aten::sinc")
SOFTNPU_FUNCTION(Sinh, "aten::sinh")
SOFTNPU_FUNCTION(Tan, "aten::tan")

#define SOFTNPU_QUESTION(NAME, TYPES, ATEN)                                        \
  ACLNN(NAME, (const Tensor*, self), (Tensor*, out)) {                             \
    PlanQuestion(plan, plan.Get(self, "self"), plan.Out(out, "out"), TYPES, ATEN); \
  }
SOFTNPU_QUESTION(IsNegInf, kAnyType, "aten::isneginf")
SOFTNPU_QUESTION(IsPosInf, kAnyType, "aten::isposinf")
SOFTNPU_QUESTION(Signbit, kAnyType, "aten::signbit")

#define SOFTNPU_OF_TWO(NAME, TYPES, ATEN)                                                          \
  ACLNN(NAME, (const Tensor*, self), (const Tensor*, other), (Tensor*, out)) {                     \
    PlanOfTwo(plan, plan.Get(self, "self"), plan.Get(other, "other"), plan.Out(out, "out"), TYPES, \
              ATEN);                                                                               \
  }
SOFTNPU_OF_TWO(Atan2, kAnyType, "aten::atan2")
SOFTNPU_OF_TWO(LogAddExp, kFloats, "aten::logaddexp")
SOFTNPU_OF_TWO(LogAddExp2, kFloats, "aten::logaddexp2")
ACLNN(InplaceAtan2, (Tensor*, self), (const Tensor*, other)) {
  const View view = plan.InOut(self, "self");
  PlanOfTwo(plan, view, plan.Get(other, "other"), view, kAnyType, "aten::atan2");
}

// self * log(other), 0 where self is 0 and other is not NaN.
namespace {
template <typename A, typename B>
void PlanXLogY(Plan& plan, const A& self, const B& other, const View& out) {
  Checked(out, "out", kReals);
  PlanWide(plan, out, "aten::xlogy", "Tensor", self, other);
}
}  // namespace
ACLNN(XLogYTensor, (const Tensor*, self), (const Tensor*, other), (Tensor*, out)) {
  PlanXLogY(plan, Checked(plan.Get(self, "self"), "self", kAnyType),
            Checked(plan.Get(other, "other"), "other", kAnyType), plan.Out(out, "out"));
}
ACLNN(XLogYScalarOther, (const Tensor*, self), (const Scalar*, other), (Tensor*, out)) {
  PlanXLogY(plan, Checked(plan.Get(self, "self"), "self", kAnyType), plan.Required(other, "other"),
            plan.Out(out, "out"));
}
ACLNN(InplaceXLogYScalarOther, (Tensor*, self), (const Scalar*, other)) {
  const View view = plan.InOut(self, "self");
  PlanXLogY(plan, view, plan.Required(other, "other"), view);
}
ACLNN(XLogYScalarSelf, (const Scalar*, self), (const Tensor*, other), (Tensor*, out)) {
  PlanXLogY(plan, plan.Required(self, "self"), Checked(plan.Get(other, "other"), "other", kAnyType),
            plan.Out(out, "out"));
}

ACLNN(Gcd, (const Tensor*, self), (const Tensor*, other), (Tensor*, out)) {
  const View a = Checked(plan.Get(self, "self"), "self", kIntegers);
  const View b = Checked(plan.Get(other, "other"), "other", kIntegers);
  PlanWide(plan, Checked(plan.Out(out, "out"), "out", kIntegers), "aten::gcd", "", a, b);
}

// self + weight * (end - self)
namespace {
constexpr auto kLerp = [](auto from, auto to, auto weight) { return from + weight * (to - from); };
void PlanLerps(Plan& plan, const View& self, const View& end, const Scalar* weight,
               const View& out) {
  PlanOneType<2>(plan, out, {self, end}, {"self", "end"}, kFloats,
                 [w = plan.Required(weight, "weight").real](auto from, auto to) {
                   using C = decltype(from);
                   return static_cast<C>(kLerp(from, to, static_cast<C>(w)));
                 });
}
// self + value * product or quotient of two tensors
template <typename Combine>
void PlanAddc(Plan& plan, const View& self, const View& tensor1, const View& tensor2,
              const Scalar* value, const View& out, uint32_t types, Combine combine) {
  PlanOneType<3>(plan, out, {self, tensor1, tensor2}, {"self", "tensor1", "tensor2"}, types,
                 [scalar = plan.Required(value, "value"), combine](auto x, auto a, auto b) {
                   using C = decltype(x);
                   const C factor = std::is_integral_v<C> ? static_cast<C>(scalar.integer)
                                                          : static_cast<C>(scalar.real);
                   return static_cast<C>(x + factor * combine(a, b));
                 });
}
constexpr auto kProduct = [](auto a, auto b) { return a * b; };
constexpr auto kQuotient = [](auto a, auto b) { return a / b; };
}  // namespace
ACLNN(Lerp, (const Tensor*, self), (const Tensor*, end), (const Tensor*, weight), (Tensor*, out)) {
  PlanOneType<3>(plan, plan.Out(out, "out"),
                 {plan.Get(self, "self"), plan.Get(end, "end"), plan.Get(weight, "weight")},
                 {"self", "end", "weight"}, kFloats, kLerp);
}
ACLNN(InplaceLerp, (Tensor*, self), (const Tensor*, end), (const Tensor*, weight)) {
  const View view = plan.InOut(self, "self");
  PlanOneType<3>(plan, view, {view, plan.Get(end, "end"), plan.Get(weight, "weight")},
                 {"self", "end", "weight"}, kFloats, kLerp);
}
ACLNN(Lerps, (const Tensor*, self), (const Tensor*, end), (const Scalar*, weight), (Tensor*, out)) {
  PlanLerps(plan, plan.Get(self, "self"), plan.Get(end, "end"), weight, plan.Out(out, "out"));
}
ACLNN(InplaceLerps, (Tensor*, self), (const Tensor*, end), (const Scalar*, weight)) {
  const View view = plan.InOut(self, "self");
  PlanLerps(plan, view, plan.Get(end, "end"), weight, view);
}
#define SOFTNPU_ADDC(NAME, TYPES, COMBINE)                                                        \
  ACLNN(NAME, (const Tensor*, self), (const Tensor*, tensor1), (const Tensor*, tensor2),          \
        (const Scalar*, value), (Tensor*, out)) {                                                 \
    PlanAddc(plan, plan.Get(self, "self"), plan.Get(tensor1, "tensor1"),                          \
             plan.Get(tensor2, "tensor2"), value, plan.Out(out, "out"), TYPES, COMBINE);          \
  }                                                                                               \
  ACLNN(Inplace##NAME, (Tensor*, self), (const Tensor*, tensor1), (const Tensor*, tensor2),       \
        (const Scalar*, value)) {                                                                 \
    const View view = plan.InOut(self, "self");                                                   \
    PlanAddc(plan, view, plan.Get(tensor1, "tensor1"), plan.Get(tensor2, "tensor2"), value, view, \
             TYPES, COMBINE);                                                                     \
  }
SOFTNPU_ADDC(Addcmul, kNumbers, kProduct)
SOFTNPU_ADDC(Addcdiv, kReals, kQuotient)

// A bound that is absent is none.
ACLNN(ClampTensor, (const Tensor*, self), (const Tensor*, low), (const Tensor*, high),
      (Tensor*, out)) {
  const View view = Checked(plan.Get(self, "self"), "self", kNumbers);
  const std::optional<View> least = GetIf(plan, low, "min");
  const std::optional<View> most = GetIf(plan, high, "max");
  if (!least && !most) plan.Missing("min");
  PlanWide(plan, plan.Out(out, "out"), "aten::clamp", "Tensor", view, least, most);
}

// Rounded to so many decimals, of halves to even.
namespace {
void PlanRound(Plan& plan, const View& self, int64_t decimals, const View& out) {
  Checked(self, "self", kReals | kIndices);
  CheckSameType(out, "out", self, "self");
  PlanWide(plan, out, "aten::round", "decimals", self, decimals);
}
}  // namespace
ACLNN(RoundDecimals, (const Tensor*, self), (int64_t, decimals), (Tensor*, out)) {
  PlanRound(plan, plan.Get(self, "self"), decimals, plan.Out(out, "out"));
}
ACLNN(InplaceRoundDecimals, (Tensor*, self), (int64_t, decimals)) {
  const View view = plan.InOut(self, "self");
  PlanRound(plan, view, decimals, view);
}

// log(x / (1 - x)); an eps that is not negative keeps x between eps and 1 - eps.
ACLNN(Logit, (const Tensor*, self), (double, eps), (Tensor*, out)) {
  const View view = Checked(plan.Get(self, "self"), "self", kFloats);
  PlanWide(plan, Checked(plan.Out(out, "out"), "out", kFloats), "aten::logit", "", view,
           eps < 0 ? std::nullopt : std::optional<double>(eps));
}

namespace {
void PlanCelu(Plan& plan, const View& self, const Scalar* alpha, const View& out) {
  const double a = plan.Required(alpha, "alpha").real;
  if (a == 0) throw Error(kAclnnInvalid, "'alpha' is 0; it must not be");
  PlanActivation(plan, self, out, [a](double x) { return x > 0 ? x : a * std::expm1(x / a); });
}
// log of the logistic function
double LogSigmoid(double x) { return std::fmin(x, 0.0) - std::log1p(std::exp(-std::fabs(x))); }
}  // namespace
ACLNN(Celu, (const Tensor*, self), (const Scalar*, alpha), (Tensor*, out)) {
  PlanCelu(plan, plan.Get(self, "self"), alpha, plan.Out(out, "out"));
}
ACLNN(InplaceCelu, (Tensor*, self), (const Scalar*, alpha)) {
  const View view = plan.InOut(self, "self");
  PlanCelu(plan, view, alpha, view);
}
ACLNN(Hardshrink, (const Tensor*, self), (const Scalar*, lambd), (Tensor*, out)) {
  PlanActivation(
      plan, plan.Get(self, "self"), plan.Out(out, "out"),
      [l = plan.Required(lambd, "lambd").real](double x) { return x >= -l && x <= l ? 0 : x; });
}
ACLNN(Softshrink, (const Tensor*, self), (const Scalar*, lambd), (Tensor*, out)) {
  PlanActivation(plan, plan.Get(self, "self"), plan.Out(out, "out"),
                 [l = AtLeastZero(plan.Required(lambd, "lambd").real, "lambd")](double x) {
                   return x > l ? x - l : (x < -l ? x + l : x * 0);
                 });
}
ACLNN(LogSigmoid, (const Tensor*, self), (Tensor*, out)) {
  PlanActivation(plan, plan.Get(self, "self"), plan.Out(out, "out"), LogSigmoid);
}
// Its backward needs no buffer; one that has the shape of `self` gets exp(-|self|).
ACLNN(LogSigmoidForward, (const Tensor*, self), (Tensor*, out), (Tensor*, buffer)) {
  const View view = plan.Get(self, "self");
  PlanActivation(plan, view, plan.Out(out, "out"), LogSigmoid);
  if (buffer == nullptr) return;
  const View rest = plan.Out(buffer, "buffer");
  if (rest.Shape() != view.Shape()) {
    if (rest.Count() != 0) CheckEqualShape(rest, "buffer", view, "self");
    return;
  }
  plan.run = [forward = plan.run, view, rest] {
    forward();
    Map<double, 1>(rest, {view}, [](double x) { return std::exp(-std::fabs(x)); });
  };
}

// The first half of a dimension times the logistic function of the second.
ACLNN(Glu, (const Tensor*, self), (int64_t, dim), (Tensor*, out)) {
  const View view = Checked(plan.Get(self, "self"), "self", kReals, 1);
  const int64_t at = CheckedDim(view, dim);
  if (view.Dim(static_cast<int>(at)) % 2 != 0) {
    throw Error(kAclnnInvalid,
                Format("'self' is %s; dimension %lld must be even", view.Text().c_str(), Long(at)));
  }
  PlanWide(plan, plan.Out(out, "out"), "aten::glu", "", view, at);
}
ACLNN(Prelu, (const Tensor*, self), (const Tensor*, weight), (Tensor*, out)) {
  const View view = Checked(plan.Get(self, "self"), "self", kFloats);
  const View slope = Checked(plan.Get(weight, "weight"), "weight", kFloats);
  CheckSameType(slope, "weight", view, "self");
  // One number, or one for each channel.
  const int64_t channels = view.rank < 2 ? 1 : view.Dim(1);
  if (slope.Count() != 1 && slope.Count() != channels) {
    throw Error(kAclnnInvalid,
                Format("'weight' is %s; for 'self' of %s it must have 1 or %lld numbers",
                       slope.Text().c_str(), view.Text().c_str(), Long(channels)));
  }
  const View result = plan.Out(out, "out");
  plan.run = [=] {
    Give(result, Aten("aten::prelu", "", InDouble(view),
                      Aten("aten::reshape", "", InDouble(slope),
                           std::vector<int64_t>{slope.Count()})[0])[0]);
  };
}

}  // namespace softnpu
