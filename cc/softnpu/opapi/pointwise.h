// cc/softnpu/opapi/pointwise.h: how operators that work element by element are planned.
#pragma once

#include <optional>
#include <type_traits>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {

// A tensor or a scalar on the right of a binary operator.
struct Operand {
  std::optional<View> view;
  Scalar scalar;

  DType dtype() const { return view ? view->dtype : scalar.dtype; }
};

inline Operand ToOperand(const Plan& plan, const Tensor* tensor, const char* name) {
  return {plan.Get(tensor, name), {}};
}
inline Operand ToOperand(const Plan& plan, const Scalar* scalar, const char* name) {
  return {std::nullopt, plan.Required(scalar, name)};
}

// Integers wrap: sums and products are taken modulo 2^64, which signed types do not define.
template <typename C>
auto Wrapping(C value) {
  if constexpr (std::is_integral_v<C>) {
    return static_cast<uint64_t>(value);
  } else {
    return value;
  }
}

struct MulOp {
  template <typename C>
  C operator()(C a, C b) const {
    return static_cast<C>(Wrapping(a) * Wrapping(b));
  }
};

// out = op(self, alpha * other). `computed_in` adds dtypes to those that choose the compute type.
template <typename Op>
void Binary(Plan& plan, const View& self, const Operand& other, const View& out,
            const Scalar* alpha = nullptr, DType computed_in = DType::kBool) {
  Expanded(self, out, "'self'");
  if (other.view) Expanded(*other.view, out, "'other'");
  // A floating scalar does not widen a floating tensor, but makes integers floating.
  const DType right = other.view                ? other.view->dtype
                      : other.scalar.floating() ? DType::kHalf
                                                : DType::kBool;
  Compute compute = ComputeFor({self.dtype, right, computed_in});
  if (alpha != nullptr && alpha->floating() && compute == Compute::kInteger) {
    compute = Compute::kFloat;
  }
  const Scalar factor = alpha != nullptr ? *alpha : Scalar{DType::kInt64, 1.0, 1};
  plan.run = [self, other, out, compute, factor] {
    Dispatch(compute, [&](auto zero) {
      using C = decltype(zero);
      const C scale =
          std::is_integral_v<C> ? static_cast<C>(factor.integer) : static_cast<C>(factor.real);
      if (other.view) {
        if (scale == C{1}) {
          Map<C, 2>(out, {self, *other.view}, [](C a, C b) { return Op{}(a, b); });
        } else {
          Map<C, 2>(out, {self, *other.view},
                    [scale](C a, C b) { return Op{}(a, MulOp{}(scale, b)); });
        }
        return;
      }
      const C value = MulOp{}(scale, std::is_integral_v<C> ? static_cast<C>(other.scalar.integer)
                                                           : static_cast<C>(other.scalar.real));
      Map<C, 1>(out, {self}, [value](C a) { return Op{}(a, value); });
    });
  };
}

template <typename Function>
void Unary(Plan& plan, const View& self, const View& out, Function function) {
  Expanded(self, out, "'self'");
  // The functions are computed in double, so that the only rounding is the last one.
  const Compute compute = ComputeFor({self.dtype, out.dtype});
  plan.run = [self, out, compute, function] {
    Dispatch(compute, [&](auto zero) {
      using C = decltype(zero);
      Map<C, 1>(out, {self}, [function](C a) { return static_cast<C>(function(a)); });
    });
  };
}

}  // namespace softnpu

// aclnn<NAME>(self, other, out) and aclnnInplace<NAME>(self, other).
#define SOFTNPU_BINARY(NAME, OTHER, OP, COMPUTED_IN)                                     \
  ACLNN(NAME, (const Tensor*, self), (const OTHER*, other), (Tensor*, out)) {            \
    Binary<OP>(plan, plan.Get(self, "self"), ToOperand(plan, other, "other"),            \
               plan.Out(out, "out"), nullptr, COMPUTED_IN);                              \
  }                                                                                      \
  ACLNN(Inplace##NAME, (const Tensor*, self), (const OTHER*, other)) {                   \
    const View view = plan.InOut(self, "self");                                          \
    Binary<OP>(plan, view, ToOperand(plan, other, "other"), view, nullptr, COMPUTED_IN); \
  }

// aclnn<NAME>(self, out) and aclnnInplace<NAME>(self).
#define SOFTNPU_UNARY(NAME, ...)                                            \
  ACLNN(NAME, (const Tensor*, self), (Tensor*, out)) {                      \
    Unary(plan, plan.Get(self, "self"), plan.Out(out, "out"), __VA_ARGS__); \
  }                                                                         \
  ACLNN(Inplace##NAME, (const Tensor*, self)) {                             \
    const View view = plan.InOut(self, "self");                             \
    Unary(plan, view, view, __VA_ARGS__);                                   \
  }
