// cc/softnpu/opapi/product_sum_ops.cc: beta * self + alpha * a product of vectors, matrices or
// batches of them.
//
// Floating results are computed in double precision and rounded once; integers wrap.
#include <string>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/pointwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// What is added to a product. A beta of 0 leaves `self` out, also where it holds nothing.
struct Sum {
  View self, out;
  Scalar beta, alpha;
  bool floating;  // whether a factor is

  // out = beta * self + alpha * product, which has the shape of `out`.
  void Give(const AtenTensor& product) const;
};

template <typename C>
C Factor(const Scalar& scalar) {
  return std::is_integral_v<C> ? static_cast<C>(scalar.integer) : static_cast<C>(scalar.real);
}

template <typename C>
void GiveIn(const Sum& sum, const AtenTensor& product) {
  const AtenTensor flat = Aten("aten::reshape", "", product, std::vector<int64_t>{-1})[0];
  const auto* values = static_cast<const C*>(flat.data_ptr());
  const C beta = Factor<C>(sum.beta);
  const C alpha = Factor<C>(sum.alpha);
  if (beta == 0) return Map<C, 0>(sum.out, {}, [&] { return MulOp{}(alpha, *values++); });
  Map<C, 1>(sum.out, {sum.self}, [&](C added) {
    return static_cast<C>(Wrapping(MulOp{}(beta, added)) + Wrapping(MulOp{}(alpha, *values++)));
  });
}

void Sum::Give(const AtenTensor& product) const {
  if (out.Count() == 0) return;
  floating ? GiveIn<double>(*this, product) : GiveIn<int64_t>(*this, product);
}

Sum SumOf(const View& self, const Scalar& beta, const Scalar& alpha, const View& out, const View& a,
          const View& b) {
  Sum made{self, out, beta, alpha, false};
  for (const View* view : {&self, &a, &b}) made.floating |= IsFloating(view->dtype);
  if (made.floating && !IsFloating(out.dtype)) {
    throw Error(kAclnnInvalid, "'out' is " + out.Text() + "; an operand is of a floating type");
  }
  for (const auto& [scalar, name] : {std::pair(&beta, "beta"), std::pair(&alpha, "alpha")}) {
    if (scalar->floating() && !made.floating) {
      throw Error(kAclnnInvalid, Format("'%s' is %g; with operands of whole numbers it must be one",
                                        name, scalar->real));
    }
  }
  Expanded(self, out, "'self'");
  return made;
}

View Addend(const Plan& plan, const Tensor* self, const Scalar* beta, uint32_t types) {
  return Checked(
      plan.Required(beta, "beta").real == 0 ? plan.Some(self, "self") : plan.Get(self, "self"),
      "self", types);
}

void CheckCubeMathType(int8_t type) {
  if (type < 0 || type > 3) {
    throw Error(kAclnnInvalid, Format("'cubeMathType' is %d; it must be 0, 1, 2 or 3", type));
  }
}

void CheckShape(const View& out, const std::vector<int64_t>& shape) {
  if (out.Shape() != shape) {
    throw Error(kAclnnInvalid,
                "'out' is " + out.Text() + ", the result is " + Reshaped(out, shape).Text());
  }
}

// Two batches of matrices that can be multiplied.
struct Batches {
  View a, b;
};
Batches BatchesOf(const Plan& plan, const Tensor* batch1, const Tensor* batch2) {
  const Batches made{Checked(plan.Get(batch1, "batch1"), "batch1", kFloats, 3, 3),
                     Checked(plan.Get(batch2, "batch2"), "batch2", kFloats, 3, 3)};
  CheckSameType(made.a, "batch1", made.b, "batch2");
  if (made.a.Dim(0) != made.b.Dim(0) || made.a.Dim(2) != made.b.Dim(1)) {
    throw Error(kAclnnInvalid, "'batch1' is " + made.a.Text() + ", and 'batch2' " + made.b.Text() +
                                   "; they must have one number of matrices, and the columns of "
                                   "the first as rows of the second");
  }
  return made;
}

AtenTensor Multiplied(const char* name, const View& a, const View& b, bool floating = true) {
  return floating ? Aten(name, "", InDouble(a), InDouble(b))[0]
                  : Aten(name, "", Wide(a), Wide(b))[0];
}

void PlanAddr(Plan& plan, const View& self, const Tensor* vec1, const Tensor* vec2,
              const Scalar* beta, const Scalar* alpha, const View& out) {
  const View a = Checked(plan.Get(vec1, "vec1"), "vec1", kAnyType, 1, 1);
  const View b = Checked(plan.Get(vec2, "vec2"), "vec2", kAnyType, 1, 1);
  Checked(out, "out", kAnyType, 2, 2);
  CheckShape(out, {a.Count(), b.Count()});
  const Sum sum = SumOf(self, *beta, plan.Required(alpha, "alpha"), out, a, b);
  plan.run = [=] { sum.Give(Multiplied("aten::outer", a, b, sum.floating)); };
}

}  // namespace

// self + mat @ vec; alpha comes before beta here.
ACLNN(Addmv, (const Tensor*, self), (const Tensor*, mat), (const Tensor*, vec),
      (const Scalar*, alpha), (const Scalar*, beta), (Tensor*, out), (int8_t, cube_math_type)) {
  const View added = Addend(plan, self, beta, kAnyType);
  const View a = Checked(plan.Get(mat, "mat"), "mat", kAnyType, 2, 2);
  const View b = Checked(plan.Get(vec, "vec"), "vec", kAnyType, 1, 1);
  const View result = Checked(plan.Out(out, "out"), "out", kAnyType, 1, 1);
  CheckCubeMathType(cube_math_type);
  if (a.Dim(1) != b.Dim(0)) {
    throw Error(kAclnnInvalid,
                "'mat' is " + a.Text() + ", and 'vec' " + b.Text() + "; they cannot be multiplied");
  }
  CheckShape(result, {a.Dim(0)});
  const Sum sum = SumOf(added, *beta, plan.Required(alpha, "alpha"), result, a, b);
  plan.run = [=] { sum.Give(Multiplied("aten::mv", a, b, sum.floating)); };
}

// self + the outer product of vec1 and vec2.
ACLNN(Addr, (const Tensor*, self), (const Tensor*, vec1), (const Tensor*, vec2),
      (const Scalar*, beta), (const Scalar*, alpha), (Tensor*, out)) {
  PlanAddr(plan, Addend(plan, self, beta, kAnyType), vec1, vec2, beta, alpha, plan.Out(out, "out"));
}
ACLNN(InplaceAddr, (Tensor*, self), (const Tensor*, vec1), (const Tensor*, vec2),
      (const Scalar*, beta), (const Scalar*, alpha)) {
  const View view = plan.Required(beta, "beta").real == 0 ? plan.Out(self, "selfRef")
                                                          : plan.InOut(self, "selfRef");
  PlanAddr(plan, view, vec1, vec2, beta, alpha, view);
}

// self + the sum of the products of a batch. With an alpha of 0 the batches are not multiplied.
ACLNN(Addbmm, (const Tensor*, self), (const Tensor*, batch1), (const Tensor*, batch2),
      (const Scalar*, beta), (const Scalar*, alpha), (Tensor*, out), (int8_t, cube_math_type)) {
  const View added = Addend(plan, self, beta, kFloats);
  const Batches given = BatchesOf(plan, batch1, batch2);
  const View result = Checked(plan.Out(out, "out"), "out", kFloats, 2, 2);
  CheckCubeMathType(cube_math_type);
  CheckShape(result, {given.a.Dim(1), given.b.Dim(2)});
  const Sum sum = SumOf(added, *beta, plan.Required(alpha, "alpha"), result, given.a, given.b);
  plan.run = [=] {
    if (sum.alpha.real == 0) {
      std::vector<double> nothing(static_cast<size_t>(result.Count()));
      return sum.Give(ToAten(nothing.data(), {result.Count()}, {1}, DType::kDouble));
    }
    // [rows, batch * inner] @ [batch * inner, columns] adds the products of the batch.
    const AtenTensor rows =
        Aten("aten::transpose", "int", InDouble(given.a), int64_t{0}, int64_t{1})[0];
    const int64_t inner = given.a.Dim(0) * given.a.Dim(2);
    const AtenTensor left =
        Aten("aten::reshape", "", rows, std::vector<int64_t>{given.a.Dim(1), inner})[0];
    const AtenTensor right = Aten("aten::reshape", "", InDouble(given.b),
                                  std::vector<int64_t>{inner, given.b.Dim(2)})[0];
    sum.Give(Aten("aten::mm", "", left, right)[0]);
  };
}

// self + the product of each pair of a batch.
ACLNN(Baddbmm, (const Tensor*, self), (const Tensor*, batch1), (const Tensor*, batch2),
      (const Scalar*, beta), (const Scalar*, alpha), (Tensor*, out), (int8_t, cube_math_type)) {
  const View added = Addend(plan, self, beta, kFloats);
  const Batches given = BatchesOf(plan, batch1, batch2);
  const View result = Checked(plan.Out(out, "out"), "out", kFloats, 3, 3);
  CheckCubeMathType(cube_math_type);
  CheckShape(result, {given.a.Dim(0), given.a.Dim(1), given.b.Dim(2)});
  const Sum sum = SumOf(added, *beta, plan.Required(alpha, "alpha"), result, given.a, given.b);
  plan.run = [=] { sum.Give(Multiplied("aten::bmm", given.a, given.b)); };
}

}  // namespace softnpu
