// cc/softnpu/opapi/matrix_ops.cc: matrix products.
//
// Accumulation order is ATen's, not the cube's: results are correct to rounding, not bit for bit.
#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {
namespace {

// The cube multiplies these, in equal types.
void CheckProduct(const View& a, const View& b, const View& out) {
  for (const View* view : {&a, &b, &out}) {
    if (view->dtype != DType::kFloat && view->dtype != DType::kHalf &&
        view->dtype != DType::kBfloat16) {
      throw Error(kAclnnInvalid,
                  "a matrix product takes float32, float16 and bfloat16, not " + view->Text());
    }
  }
  if (a.dtype != b.dtype) {
    throw Error(kAclnnInvalid,
                "the factors have different dtypes: " + a.Text() + " and " + b.Text());
  }
}

void Product(Plan& plan, const char* op, const Tensor* self, const Tensor* mat2, const Tensor* out,
             int rank) {
  const View a = plan.Get(self, "self");
  const View b = plan.Get(mat2, "mat2");
  const View result = plan.Out(out, "out");
  CheckProduct(a, b, result);
  if (rank != 0 && (a.rank != rank || b.rank != rank)) {
    throw Error(kAclnnInvalid, Format("the factors need %d dimensions, not %s and %s", rank,
                                      a.Text().c_str(), b.Text().c_str()));
  }
  const int64_t inner = a.rank == 0 ? 0 : a.Dim(a.rank - 1);
  const int64_t rows = b.rank == 0 ? 0 : b.Dim(b.rank == 1 ? 0 : b.rank - 2);
  if (inner != rows) {
    throw Error(kAclnnInvalid,
                "the inner dimensions of " + a.Text() + " and " + b.Text() + " differ");
  }
  // aten::matmul gives `out` another shape on the way where factors are vectors or batches; a
  // strided one would lose its strides.
  const bool direct = rank != 0 || (a.rank >= 2 && b.rank >= 2 && result.IsContiguous());
  const bool matrices = a.rank == 2 && b.rank == 2 && result.rank == 2;
  plan.run = [=] {
    if (matrices && result.dtype == a.dtype &&
        result.Shape() == std::vector<int64_t>{a.Dim(0), b.Dim(1)}) {
      MultiplyMatrices(result, a, b);
    } else if (direct && result.dtype == a.dtype) {
      AtenInto(result, op, "out", ToAten(a), ToAten(b));
    } else {
      CopyFromAten(result, Aten(op, "", ToAten(a), ToAten(b))[0]);
    }
  };
}

}  // namespace

ACLNN(Matmul, (const Tensor*, self), (const Tensor*, mat2), (Tensor*, out), (int8_t, cube_math)) {
  Product(plan, "aten::matmul", self, mat2, out, 0);
}
ACLNN(Mm, (const Tensor*, self), (const Tensor*, mat2), (Tensor*, out), (int8_t, cube_math)) {
  Product(plan, "aten::mm", self, mat2, out, 2);
}
ACLNN(BatchMatMul, (const Tensor*, self), (const Tensor*, mat2), (Tensor*, out),
      (int8_t, cube_math)) {
  Product(plan, "aten::bmm", self, mat2, out, 3);
}

namespace {

// beta * self + alpha * (mat1 @ mat2). The product is rounded to its dtype before the sum only when
// it is float32; 16-bit factors are widened first, so that there is one rounding. A beta of 0
// leaves `bias` out, also where it holds nothing.
void PlanAddmm(Plan& plan, const View& bias, const View& a, const View& b, const Scalar& beta,
               const Scalar* alpha, const View& result) {
  const auto bias_factor = static_cast<float>(beta.real);
  CheckProduct(a, b, result);
  Expanded(bias, result, "'self'");
  if (a.rank != 2 || b.rank != 2 || a.Dim(1) != b.Dim(0)) {
    throw Error(kAclnnInvalid, "the factors " + a.Text() + " and " + b.Text() + " do not fit");
  }
  if (result.Shape() != std::vector<int64_t>{a.Dim(0), b.Dim(1)}) {
    throw Error(kAclnnInvalid, "the result is " + result.Text() + ", the product of " + a.Text() +
                                   " and " + b.Text() + " has another shape");
  }
  const auto factor = static_cast<float>(plan.Required(alpha, "alpha").real);
  plan.run = [=] {
    const AtenTensor product = Aten("aten::mm", "", Widened(a), Widened(b))[0];
    const auto* values = static_cast<const float*>(product.data_ptr());
    int64_t i = 0;
    Map<float, 1>(result, {bias}, [&](float c) {
      return (bias_factor == 0 ? 0.0F : bias_factor * c) + factor * values[i++];
    });
  };
}

}  // namespace

ACLNN(Addmm, (const Tensor*, self), (const Tensor*, mat1), (const Tensor*, mat2),
      (const Scalar*, beta), (const Scalar*, alpha), (Tensor*, out), (int8_t, cube_math)) {
  const Scalar& factor = plan.Required(beta, "beta");
  const View bias =
      static_cast<float>(factor.real) == 0 ? plan.Some(self, "self") : plan.Get(self, "self");
  const View a = plan.Get(mat1, "mat1");
  const View b = plan.Get(mat2, "mat2");
  PlanAddmm(plan, bias, a, b, factor, alpha, plan.Out(out, "out"));
}
ACLNN(InplaceAddmm, (Tensor*, self), (const Tensor*, mat1), (const Tensor*, mat2),
      (const Scalar*, beta), (const Scalar*, alpha), (int8_t, cube_math)) {
  const Scalar& factor = plan.Required(beta, "beta");
  const View view = static_cast<float>(factor.real) == 0 ? plan.Out(self, "selfRef")
                                                         : plan.InOut(self, "selfRef");
  const View a = plan.Get(mat1, "mat1");
  const View b = plan.Get(mat2, "mat2");
  PlanAddmm(plan, view, a, b, factor, alpha, view);
}

}  // namespace softnpu
