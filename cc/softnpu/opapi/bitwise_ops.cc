// cc/softnpu/opapi/bitwise_ops.cc: operators on the bits of integers.
#include "cc/softnpu/opapi/pointwise.h"

namespace softnpu {
namespace {

struct BitwiseAndOp {
  int64_t operator()(int64_t a, int64_t b) const { return a & b; }
};
struct BitwiseOrOp {
  int64_t operator()(int64_t a, int64_t b) const { return a | b; }
};
struct BitwiseXorOp {
  int64_t operator()(int64_t a, int64_t b) const { return a ^ b; }
};

// out = op(self, other) of integers and bool. Throws Error 161002 for floating operands.
template <typename Op>
void Bits(Plan& plan, const View& self, const Operand& other, const View& out) {
  for (const View* view : {&self, other.view ? &*other.view : &out, &out}) {
    if (IsFloating(view->dtype)) {
      throw Error(kAclnnInvalid, "a bitwise operator takes integers and bool, not " + view->Text());
    }
  }
  if (!other.view && other.scalar.floating()) {
    throw Error(kAclnnInvalid, Format("a bitwise operator takes integers and bool, not the %s %g",
                                      Name(other.scalar.dtype), other.scalar.real));
  }
  Expanded(self, out, "'self'");
  if (other.view) Expanded(*other.view, out, "'other'");
  plan.run = [self, other, out] {
    if (other.view) {
      Map<int64_t, 2>(out, {self, *other.view}, Op{});
    } else {
      Map<int64_t, 1>(out, {self}, [b = other.scalar.integer](int64_t a) { return Op{}(a, b); });
    }
  };
}

}  // namespace

#define SOFTNPU_BITS(NAME, OTHER, OP)                                                              \
  ACLNN(NAME, (const Tensor*, self), (const OTHER*, other), (Tensor*, out)) {                      \
    Bits<OP>(plan, plan.Get(self, "self"), ToOperand(plan, other, "other"), plan.Out(out, "out")); \
  }                                                                                                \
  ACLNN(Inplace##NAME, (const Tensor*, self), (const OTHER*, other)) {                             \
    const View view = plan.InOut(self, "self");                                                    \
    Bits<OP>(plan, view, ToOperand(plan, other, "other"), view);                                   \
  }
SOFTNPU_BITS(BitwiseAndTensor, Tensor, BitwiseAndOp)
SOFTNPU_BITS(BitwiseAndScalar, Scalar, BitwiseAndOp)
SOFTNPU_BITS(BitwiseOrTensor, Tensor, BitwiseOrOp)
SOFTNPU_BITS(BitwiseOrScalar, Scalar, BitwiseOrOp)
SOFTNPU_BITS(BitwiseXorTensor, Tensor, BitwiseXorOp)
SOFTNPU_BITS(BitwiseXorScalar, Scalar, BitwiseXorOp)

ACLNN(BitwiseNot, (const Tensor*, self), (Tensor*, out)) {
  const View view = plan.Get(self, "self");
  if (IsFloating(view.dtype)) {
    throw Error(kAclnnInvalid, "'self' is " + view.Text() + ", integers and bool have bits");
  }
  const bool logical = view.dtype == DType::kBool;
  Unary(plan, view, plan.Out(out, "out"), [logical](auto a) {
    if (logical) return decltype(a)(a == 0 ? 1 : 0);
    return decltype(a)(~static_cast<int64_t>(a));
  });
}

namespace {

// The dtype that two operands give: the wider one; a signed one holds the unsigned one.
DType Promoted(DType a, DType b) {
  if (a == b) return a;
  const auto wide = [](DType d) { return d == DType::kUint8 ? 1.5 : static_cast<double>(Size(d)); };
  if ((a == DType::kUint8 && b == DType::kInt8) || (a == DType::kInt8 && b == DType::kUint8)) {
    return DType::kInt16;
  }
  return wide(a) > wide(b) ? a : b;
}

// What the pages of both shifts take: integers, in operands that broadcast to the shape of `out`.
// A negative count is a count of 0, as the pages say. They are silent about counts beyond the
// width: no bit of the value is left then, only its sign when it goes to the right.
void Shift(Plan& plan, const View& self, const Operand& count, bool left, const View& out) {
  const auto check = [](const char* name, DType dtype, const std::string& text) {
    if (IsFloating(dtype) || dtype == DType::kBool) {
      throw Error(kAclnnInvalid, std::string("'") + name + "' is " + text +
                                     ", a shift takes int8, int16, int32, int64 and uint8");
    }
  };
  check("self", self.dtype, self.Text());
  check("other", count.dtype(), count.view ? count.view->Text() : Name(count.scalar.dtype));
  check("out", out.dtype, out.Text());
  Expanded(self, out, "'self'");
  if (count.view) Expanded(*count.view, out, "'other'");
  const auto dim = [](const View& view, int from_end) {
    return from_end < view.rank ? view.Dim(view.rank - 1 - from_end) : 1;
  };
  for (int i = 0; i < out.rank; ++i) {
    const int64_t other = count.view ? dim(*count.view, i) : 1;
    if (dim(out, i) != (dim(self, i) == 1 ? other : dim(self, i))) {
      throw Error(kAclnnInvalid, "'out' is " + out.Text() + ", the operands have not its shape");
    }
  }
  const int64_t width = 8 * Size(count.view ? Promoted(self.dtype, count.dtype()) : self.dtype);
  const auto shift = [left, width](int64_t value, int64_t bits) -> int64_t {
    const int64_t by = bits < 0 ? 0 : bits;
    if (left) return by >= width ? 0 : static_cast<int64_t>(static_cast<uint64_t>(value) << by);
    return by >= width ? (value < 0 ? -1 : 0) : value >> by;
  };
  plan.run = [self, count, out, shift] {
    if (count.view) {
      Map<int64_t, 2>(out, {self, *count.view}, shift);
    } else {
      Map<int64_t, 1>(out, {self},
                      [&](int64_t value) { return shift(value, count.scalar.integer); });
    }
  };
}

}  // namespace

ACLNN(LeftShift, (const Tensor*, self), (const Tensor*, other), (Tensor*, out)) {
  Shift(plan, plan.Get(self, "self"), ToOperand(plan, other, "other"), true, plan.Out(out, "out"));
}
ACLNN(LeftShifts, (const Tensor*, self), (const Scalar*, other), (Tensor*, out)) {
  Shift(plan, plan.Get(self, "self"), ToOperand(plan, other, "other"), true, plan.Out(out, "out"));
}
ACLNN(RightShift, (const Tensor*, self), (const Tensor*, other), (Tensor*, out)) {
  Shift(plan, plan.Get(self, "self"), ToOperand(plan, other, "other"), false, plan.Out(out, "out"));
}

}  // namespace softnpu
