// cc/softnpu/opapi/pointwise_ops.cc: operators that work element by element.
#include <cmath>
#include <limits>

#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/pointwise.h"

namespace softnpu {
namespace {

template <typename C>
C Negated(C a) {
  if constexpr (std::is_integral_v<C>) {
    return static_cast<C>(0 - Wrapping(a));
  } else {
    return -a;
  }
}

// Division and remainder of integers by zero trap on the host and are undefined on the device. So
// does the least integer by -1 on the host; the quotient wraps here.
int64_t Quotient(int64_t a, int64_t b) {
  if (b == 0) throw Error(kAclnnInvalid, "an integer is divided by zero");
  return b == -1 ? Negated(a) : a / b;
}
// a - b * Quotient(a, b)
int64_t Rest(int64_t a, int64_t b) {
  if (b == 0) throw Error(kAclnnInvalid, "an integer is divided by zero");
  return b == -1 ? 0 : a % b;
}

struct AddOp {
  template <typename C>
  C operator()(C a, C b) const {
    return static_cast<C>(Wrapping(a) + Wrapping(b));
  }
};
struct SubOp {
  template <typename C>
  C operator()(C a, C b) const {
    return static_cast<C>(Wrapping(a) - Wrapping(b));
  }
};
struct RsubOp {
  template <typename C>
  C operator()(C a, C b) const {
    return static_cast<C>(Wrapping(b) - Wrapping(a));
  }
};
struct DivOp {
  template <typename C>
  C operator()(C a, C b) const {
    if constexpr (std::is_integral_v<C>) {
      return Quotient(a, b);
    } else {
      return a / b;
    }
  }
};
struct FloorDivOp {
  template <typename C>
  C operator()(C a, C b) const {
    if constexpr (std::is_integral_v<C>) {
      return Quotient(a, b) - ((Rest(a, b) != 0 && (a < 0) != (b < 0)) ? 1 : 0);
    } else {
      // The floor of the exact quotient, not of the rounded one.
      if (b == 0) return a / b;
      const C rest = std::fmod(a, b);
      C quotient = (a - rest) / b;
      if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
      if (quotient == 0) return std::copysign(C{0}, a / b);
      const C floored = std::floor(quotient);
      return quotient - floored > C{0.5} ? floored + 1 : floored;
    }
  }
};
struct TruncDivOp {
  template <typename C>
  C operator()(C a, C b) const {
    if constexpr (std::is_integral_v<C>) {
      return Quotient(a, b);
    } else {
      return std::trunc(a / b);
    }
  }
};
struct RemainderOp {  // the result has the sign of the divisor
  template <typename C>
  C operator()(C a, C b) const {
    if constexpr (std::is_integral_v<C>) {
      const C rest = Rest(a, b);
      return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    } else {
      const C rest = std::fmod(a, b);
      return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }
  }
};
struct FmodOp {  // the result has the sign of the dividend
  template <typename C>
  C operator()(C a, C b) const {
    if constexpr (std::is_integral_v<C>) {
      return Rest(a, b);
    } else {
      return std::fmod(a, b);
    }
  }
};
struct PowOp {
  template <typename C>
  C operator()(C a, C b) const {
    if constexpr (std::is_integral_v<C>) {
      if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
      uint64_t out = 1;
      for (uint64_t base = static_cast<uint64_t>(a), n = static_cast<uint64_t>(b); n != 0;
           n >>= 1) {
        if ((n & 1) != 0) out *= base;
        base *= base;
      }
      return static_cast<C>(out);
    } else {
      return static_cast<C>(std::pow(static_cast<double>(a), static_cast<double>(b)));
    }
  }
};
struct MaximumOp {  // NaN wins
  template <typename C>
  C operator()(C a, C b) const {
    return a != a ? a : (b != b ? b : (a > b ? a : b));
  }
};
struct MinimumOp {
  template <typename C>
  C operator()(C a, C b) const {
    return a != a ? a : (b != b ? b : (a < b ? a : b));
  }
};
struct EqOp {
  template <typename C>
  C operator()(C a, C b) const {
    return a == b ? 1 : 0;
  }
};
struct NeOp {
  template <typename C>
  C operator()(C a, C b) const {
    return a != b ? 1 : 0;
  }
};
struct LtOp {
  template <typename C>
  C operator()(C a, C b) const {
    return a < b ? 1 : 0;
  }
};
struct LeOp {
  template <typename C>
  C operator()(C a, C b) const {
    return a <= b ? 1 : 0;
  }
};
struct GtOp {
  template <typename C>
  C operator()(C a, C b) const {
    return a > b ? 1 : 0;
  }
};
struct GeOp {
  template <typename C>
  C operator()(C a, C b) const {
    return a >= b ? 1 : 0;
  }
};
struct LogicalAndOp {
  template <typename C>
  C operator()(C a, C b) const {
    return a != 0 && b != 0 ? 1 : 0;
  }
};
struct LogicalOrOp {
  template <typename C>
  C operator()(C a, C b) const {
    return a != 0 || b != 0 ? 1 : 0;
  }
};
struct LogicalXorOp {
  template <typename C>
  C operator()(C a, C b) const {
    return (a != 0) != (b != 0) ? 1 : 0;
  }
};
}  // namespace

// The same with alpha, the factor of `other`.
#define SOFTNPU_BINARY_ALPHA(NAME, OTHER, OP)                                                      \
  ACLNN(NAME, (const Tensor*, self), (const OTHER*, other), (const Scalar*, alpha),                \
        (Tensor*, out)) {                                                                          \
    Binary<OP>(plan, plan.Get(self, "self"), ToOperand(plan, other, "other"),                      \
               plan.Out(out, "out"), &plan.Required(alpha, "alpha"));                              \
  }                                                                                                \
  ACLNN(Inplace##NAME, (const Tensor*, self), (const OTHER*, other), (const Scalar*, alpha)) {     \
    const View view = plan.InOut(self, "self");                                                    \
    Binary<OP>(plan, view, ToOperand(plan, other, "other"), view, &plan.Required(alpha, "alpha")); \
  }

SOFTNPU_BINARY_ALPHA(Add, Tensor, AddOp)
SOFTNPU_BINARY_ALPHA(Adds, Scalar, AddOp)
SOFTNPU_BINARY_ALPHA(Sub, Tensor, SubOp)
SOFTNPU_BINARY_ALPHA(Subs, Scalar, SubOp)
SOFTNPU_BINARY(Mul, Tensor, MulOp, DType::kBool)
SOFTNPU_BINARY(Muls, Scalar, MulOp, DType::kBool)
SOFTNPU_BINARY(Div, Tensor, DivOp, DType::kHalf)  // true division, of integers too
SOFTNPU_BINARY(Divs, Scalar, DivOp, DType::kHalf)
SOFTNPU_BINARY(FloorDivide, Tensor, FloorDivOp, DType::kBool)
SOFTNPU_BINARY(FloorDivides, Scalar, FloorDivOp, DType::kBool)
SOFTNPU_BINARY(RemainderTensorTensor, Tensor, RemainderOp, DType::kBool)
SOFTNPU_BINARY(RemainderTensorScalar, Scalar, RemainderOp, DType::kBool)
SOFTNPU_BINARY(FmodTensor, Tensor, FmodOp, DType::kBool)
SOFTNPU_BINARY(FmodScalar, Scalar, FmodOp, DType::kBool)
SOFTNPU_BINARY(PowTensorTensor, Tensor, PowOp, DType::kBool)
SOFTNPU_BINARY(PowTensorScalar, Scalar, PowOp, DType::kBool)
SOFTNPU_BINARY(Maximum, Tensor, MaximumOp, DType::kBool)
SOFTNPU_BINARY(Minimum, Tensor, MinimumOp, DType::kBool)
SOFTNPU_BINARY(ClampMin, Scalar, MaximumOp, DType::kBool)
SOFTNPU_BINARY(ClampMax, Scalar, MinimumOp, DType::kBool)
SOFTNPU_BINARY(ClampMinTensor, Tensor, MaximumOp, DType::kBool)
SOFTNPU_BINARY(ClampMaxTensor, Tensor, MinimumOp, DType::kBool)
SOFTNPU_BINARY(EqTensor, Tensor, EqOp, DType::kBool)
SOFTNPU_BINARY(EqScalar, Scalar, EqOp, DType::kBool)
SOFTNPU_BINARY(NeTensor, Tensor, NeOp, DType::kBool)
SOFTNPU_BINARY(NeScalar, Scalar, NeOp, DType::kBool)
SOFTNPU_BINARY(LtTensor, Tensor, LtOp, DType::kBool)
SOFTNPU_BINARY(LtScalar, Scalar, LtOp, DType::kBool)
SOFTNPU_BINARY(LeTensor, Tensor, LeOp, DType::kBool)
SOFTNPU_BINARY(LeScalar, Scalar, LeOp, DType::kBool)
SOFTNPU_BINARY(GtTensor, Tensor, GtOp, DType::kBool)
SOFTNPU_BINARY(GtScalar, Scalar, GtOp, DType::kBool)
SOFTNPU_BINARY(GeTensor, Tensor, GeOp, DType::kBool)
SOFTNPU_BINARY(GeScalar, Scalar, GeOp, DType::kBool)
SOFTNPU_BINARY(LogicalAnd, Tensor, LogicalAndOp, DType::kBool)
SOFTNPU_BINARY(LogicalOr, Tensor, LogicalOrOp, DType::kBool)
SOFTNPU_BINARY(LogicalXor, Tensor, LogicalXorOp, DType::kBool)

ACLNN(Rsubs, (const Tensor*, self), (const Scalar*, other), (const Scalar*, alpha),
      (Tensor*, out)) {
  // other - alpha * self
  const View view = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  const Scalar left = plan.Required(other, "other");
  const Scalar factor = plan.Required(alpha, "alpha");
  const DType scalar = left.floating() || factor.floating() ? DType::kHalf : DType::kBool;
  const Compute compute = ComputeFor({view.dtype, scalar});
  Expanded(view, result, "'self'");
  plan.run = [view, result, left, factor, compute] {
    Dispatch(compute, [&](auto zero) {
      using C = decltype(zero);
      const bool whole = std::is_integral_v<C>;
      const C from = whole ? static_cast<C>(left.integer) : static_cast<C>(left.real);
      const C scale = whole ? static_cast<C>(factor.integer) : static_cast<C>(factor.real);
      Map<C, 1>(result, {view}, [from, scale](C a) { return SubOp{}(from, MulOp{}(scale, a)); });
    });
  };
}

namespace {

// out = op(self, other) of a scalar on the left.
template <typename Op>
void ScalarLeft(Plan& plan, const Scalar& self, const View& other, const char* name,
                const View& out) {
  const Compute compute = ComputeFor({other.dtype, self.floating() ? DType::kHalf : DType::kBool});
  Expanded(other, out, name);
  plan.run = [=] {
    Dispatch(compute, [&](auto zero) {
      using C = decltype(zero);
      const C a = std::is_integral_v<C> ? static_cast<C>(self.integer) : static_cast<C>(self.real);
      Map<C, 1>(out, {other}, [a](C b) { return Op{}(a, b); });
    });
  };
}

}  // namespace

ACLNN(PowScalarTensor, (const Scalar*, self), (const Tensor*, exponent), (Tensor*, out)) {
  ScalarLeft<PowOp>(plan, plan.Required(self, "self"), plan.Get(exponent, "exponent"), "'exponent'",
                    plan.Out(out, "out"));
}
ACLNN(RemainderScalarTensor, (const Scalar*, self), (const Tensor*, other), (Tensor*, out)) {
  ScalarLeft<RemainderOp>(plan, plan.Required(self, "self"), plan.Get(other, "other"), "'other'",
                          plan.Out(out, "out"));
}

namespace {

// 0 true division, 1 towards zero, 2 floor.
void Divide(Plan& plan, const View& self, const Operand& other, int32_t mode, const View& out) {
  switch (mode) {
    case 0:
      return Binary<DivOp>(plan, self, other, out, nullptr, DType::kHalf);
    case 1:
      return Binary<TruncDivOp>(plan, self, other, out);
    case 2:
      return Binary<FloorDivOp>(plan, self, other, out);
    default:
      throw Error(kAclnnInvalid, Format("the rounding mode %d is none of 0, 1, 2", mode));
  }
}

}  // namespace

ACLNN(DivMod, (const Tensor*, self), (const Tensor*, other), (int32_t, mode), (Tensor*, out)) {
  Divide(plan, plan.Get(self, "self"), ToOperand(plan, other, "other"), mode, plan.Out(out, "out"));
}
ACLNN(DivMods, (const Tensor*, self), (const Scalar*, other), (int32_t, mode), (Tensor*, out)) {
  Divide(plan, plan.Get(self, "self"), ToOperand(plan, other, "other"), mode, plan.Out(out, "out"));
}
ACLNN(InplaceDivMod, (Tensor*, self), (const Tensor*, other), (int32_t, mode)) {
  const View view = plan.InOut(self, "self");
  Divide(plan, view, ToOperand(plan, other, "other"), mode, view);
}
ACLNN(InplaceDivMods, (Tensor*, self), (const Scalar*, other), (int32_t, mode)) {
  const View view = plan.InOut(self, "self");
  Divide(plan, view, ToOperand(plan, other, "other"), mode, view);
}

SOFTNPU_UNARY(Neg, [](auto a) { return Negated(a); })
SOFTNPU_UNARY(Abs, [](auto a) { return a < 0 ? Negated(a) : (a == 0 ? decltype(a){0} : a); })
SOFTNPU_UNARY(Square, [](auto a) { return MulOp{}(a, a); })
SOFTNPU_UNARY(Sign, [](auto a) { return decltype(a)((a > 0) - (a < 0)); })
SOFTNPU_UNARY(LogicalNot, [](auto a) { return decltype(a)(a == 0 ? 1 : 0); })
SOFTNPU_UNARY(Floor, [](auto a) { return std::floor(static_cast<double>(a)); })
SOFTNPU_UNARY(Ceil, [](auto a) { return std::ceil(static_cast<double>(a)); })
SOFTNPU_UNARY(Trunc, [](auto a) { return std::trunc(static_cast<double>(a)); })
SOFTNPU_UNARY(Round, [](auto a) { return std::nearbyint(static_cast<double>(a)); })
SOFTNPU_UNARY(Exp, [](auto a) { return std::exp(static_cast<double>(a)); })
SOFTNPU_UNARY(Log, [](auto a) { return std::log(static_cast<double>(a)); })
SOFTNPU_UNARY(Log2, [](auto a) { return std::log2(static_cast<double>(a)); })
SOFTNPU_UNARY(Log1p, [](auto a) { return std::log1p(static_cast<double>(a)); })
SOFTNPU_UNARY(Expm1, [](auto a) { return std::expm1(static_cast<double>(a)); })
SOFTNPU_UNARY(Sqrt, [](auto a) { return std::sqrt(static_cast<double>(a)); })
SOFTNPU_UNARY(Rsqrt, [](auto a) { return 1.0 / std::sqrt(static_cast<double>(a)); })
SOFTNPU_UNARY(Reciprocal, [](auto a) { return 1.0 / static_cast<double>(a); })
SOFTNPU_UNARY(Sin, [](auto a) { return std::sin(static_cast<double>(a)); })
SOFTNPU_UNARY(Cos, [](auto a) { return std::cos(static_cast<double>(a)); })
SOFTNPU_UNARY(Tanh, [](auto a) { return std::tanh(static_cast<double>(a)); })
SOFTNPU_UNARY(Erf, [](auto a) { return std::erf(static_cast<double>(a)); })
SOFTNPU_UNARY(Sigmoid, [](auto a) { return 1.0 / (1.0 + std::exp(-static_cast<double>(a))); })

ACLNN(IsFinite, (const Tensor*, self), (Tensor*, out)) {
  Unary(plan, plan.Get(self, "self"), plan.Out(out, "out"),
        [](auto a) { return decltype(a)(std::isfinite(static_cast<double>(a)) ? 1 : 0); });
}
ACLNN(IsInf, (const Tensor*, self), (Tensor*, out)) {
  Unary(plan, plan.Get(self, "self"), plan.Out(out, "out"),
        [](auto a) { return decltype(a)(std::isinf(static_cast<double>(a)) ? 1 : 0); });
}
ACLNN(IsClose, (const Tensor*, self), (const Tensor*, other), (double, rtol), (double, atol),
      (bool, equal_nan), (Tensor*, out)) {
  const View a = plan.Get(self, "self");
  const View b = plan.Get(other, "other");
  const View result = plan.Out(out, "out");
  Expanded(a, result, "'self'");
  Expanded(b, result, "'other'");
  const auto close = [rtol, atol, equal_nan](auto x, auto y) {
    const auto left = static_cast<double>(x);
    const auto right = static_cast<double>(y);
    if (x == y) return true;  // infinities too
    if (left != left || right != right) return equal_nan && left != left && right != right;
    const double difference = std::fabs(left - right);
    return std::isfinite(difference) && difference <= atol + std::fabs(rtol * right);
  };
  plan.run = [a, b, result, close] {
    Dispatch(ComputeFor({a.dtype, b.dtype}), [&](auto zero) {
      using C = decltype(zero);
      Map<C, 2>(result, {a, b}, [close](C x, C y) { return C(close(x, y) ? 1 : 0); });
    });
  };
}
ACLNN(Clamp, (const Tensor*, self), (const Scalar*, low), (const Scalar*, high), (Tensor*, out)) {
  const View view = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  const double inf = std::numeric_limits<double>::infinity();
  const double least = low != nullptr ? low->real : -inf;
  const double most = high != nullptr ? high->real : inf;
  Unary(plan, view, result, [least, most](auto a) {
    using C = decltype(a);
    if (static_cast<double>(a) < least) return static_cast<C>(least);
    return static_cast<double>(a) > most ? static_cast<C>(most) : a;
  });
}

namespace {

void PlanNanToNum(Plan& plan, const View& self, double nan, double positive, double negative,
                  const View& out) {
  Unary(plan, self, out, [=](auto a) {
    using C = decltype(a);
    const auto x = static_cast<double>(a);
    if (x != x) return static_cast<C>(nan);
    if (std::isinf(x)) return static_cast<C>(x > 0 ? positive : negative);
    return a;
  });
}

}  // namespace

ACLNN(NanToNum, (const Tensor*, self), (float, nan), (float, positive), (float, negative),
      (Tensor*, out)) {
  PlanNanToNum(plan, plan.Get(self, "self"), nan, positive, negative, plan.Out(out, "out"));
}
ACLNN(InplaceNanToNum, (Tensor*, self), (float, nan), (float, positive), (float, negative)) {
  const View view = plan.InOut(self, "self");
  PlanNanToNum(plan, view, nan, positive, negative, view);
}

// Copies and fills.

// What nobody has written may be copied: a program that clones a buffer has not read it yet.
ACLNN(InplaceCopy, (Tensor*, self), (const Tensor*, source)) {
  const View to = plan.Some(self, "self");
  const View from = plan.Some(source, "source");
  const View same = Expanded(from, to, "'source'");
  plan.run = [to, same] {
    CopyElements(to, same);
    CopyWritten(to, same);
  };
}

// The same for each tensor of a list.
ACLNN(ForeachCopy, (const TensorList*, x), (const TensorList*, out)) {
  const std::vector<View> from = plan.Some(x, "x");
  const std::vector<View> to = plan.Some(out, "out");
  if (from.size() != to.size()) {
    throw Error(kAclnnInvalid,
                Format("'x' has %zu tensors, 'out' has %zu", from.size(), to.size()));
  }
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i].dtype != from[i].dtype || to[i].Shape() != from[i].Shape()) {
      throw Error(kAclnnInvalid, Format("'out'[%zu] is %s, 'x'[%zu] is %s", i, to[i].Text().c_str(),
                                        i, from[i].Text().c_str()));
    }
  }
  plan.run = [from, to] {
    for (size_t i = 0; i < to.size(); ++i) {
      CopyElements(to[i], from[i]);
      CopyWritten(to[i], from[i]);
    }
  };
}

ACLNN(Cast, (const Tensor*, self), (int32_t, dtype), (Tensor*, out)) {
  const View from = plan.Get(self, "self");
  const View to = plan.Out(out, "out");
  if (static_cast<int32_t>(to.dtype) != dtype) {
    throw Error(kAclnnInvalid, Format("'out' is %s, the dtype asked for is %s", Name(to.dtype),
                                      Name(static_cast<DType>(dtype))));
  }
  Expanded(from, to, "'self'");
  plan.run = [to, from] { CopyElements(to, from); };
}

namespace {

void PlanFill(Plan& plan, const Tensor* self, const Scalar& value) {
  const View view = plan.Out(self, "self");
  plan.run = [view, value] { FillElements(view, value); };
}

// out = mask ? a : b
void PlanWhere(Plan& plan, const View& mask, const Operand& a, const View& b, const View& out) {
  if (mask.dtype != DType::kBool && mask.dtype != DType::kUint8) {
    throw Error(kAclnnInvalid, "the mask is " + mask.Text() + ", it must be bool or uint8");
  }
  Expanded(mask, out, "the mask");
  Expanded(b, out, "'other'");
  if (a.view) Expanded(*a.view, out, "'self'");
  const Compute compute = ComputeFor({out.dtype});
  plan.run = [=] {
    Dispatch(compute, [&](auto zero) {
      using C = decltype(zero);
      if (a.view) {
        Map<C, 3>(out, {mask, *a.view, b}, [](C m, C x, C y) { return m != 0 ? x : y; });
        return;
      }
      const C x =
          std::is_integral_v<C> ? static_cast<C>(a.scalar.integer) : static_cast<C>(a.scalar.real);
      Map<C, 2>(out, {mask, b}, [x](C m, C y) { return m != 0 ? x : y; });
    });
  };
}

// Only what the mask chooses is written; the rest may be unwritten, and stays so.
void PlanMaskedFill(Plan& plan, const View& self, const View& mask, const Operand& value) {
  PlanWhere(plan, mask, value, self, self);
  plan.run = [fill = std::move(plan.run), self, chosen = Expanded(mask, self, "the mask")] {
    fill();
    ForEachWrittenPlane(self, [&](const AtenTensor& plane, int64_t) {
      Aten("aten::bitwise_or", "Tensor_out", plane, ToAten(chosen), plane);
    });
  };
}

}  // namespace

ACLNN(InplaceFillScalar, (Tensor*, self), (const Scalar*, value)) {
  PlanFill(plan, self, plan.Required(value, "value"));
}
ACLNN(InplaceZero, (Tensor*, self)) { PlanFill(plan, self, {DType::kInt64, 0, 0}); }
ACLNN(InplaceOne, (Tensor*, self)) { PlanFill(plan, self, {DType::kInt64, 1, 1}); }
ACLNN(InplaceFillTensor, (Tensor*, self), (const Tensor*, value)) {
  const View to = plan.Out(self, "self");
  const View from = plan.Get(value, "value");
  if (from.Count() != 1) {
    throw Error(kAclnnInvalid, "'value' is " + from.Text() + ", it must have one element");
  }
  plan.run = [to, from] { CopyElements(to, from); };
}
ACLNN(InplaceMaskedFillScalar, (Tensor*, self), (const Tensor*, mask), (const Scalar*, value)) {
  PlanMaskedFill(plan, plan.Some(self, "self"), plan.Get(mask, "mask"),
                 ToOperand(plan, value, "value"));
}
ACLNN(InplaceMaskedFillTensor, (Tensor*, self), (const Tensor*, mask), (const Tensor*, value)) {
  PlanMaskedFill(plan, plan.Some(self, "self"), plan.Get(mask, "mask"),
                 ToOperand(plan, value, "value"));
}
ACLNN(SWhere, (const Tensor*, condition), (const Tensor*, self), (const Tensor*, other),
      (Tensor*, out)) {
  PlanWhere(plan, plan.Get(condition, "condition"), ToOperand(plan, self, "self"),
            plan.Get(other, "other"), plan.Out(out, "out"));
}

}  // namespace softnpu
