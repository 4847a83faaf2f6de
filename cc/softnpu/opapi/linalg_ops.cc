// cc/softnpu/opapi/linalg_ops.cc: decompositions and inverses of matrices, distances of rows, and
// what else linear algebra has, in double precision, rounded once.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

constexpr uint32_t kSingle = Only(DType::kFloat) | Only(DType::kDouble);

// A matrix, or a batch of them; square where it has to be.
View Matrix(const Plan& plan, const Tensor* tensor, const char* name, bool square,
            uint32_t types = kSingle) {
  const View view = Checked(plan.Get(tensor, name), name, types, 2);
  if (square && view.Dim(view.rank - 1) != view.Dim(view.rank - 2)) {
    throw Error(kAclnnInvalid, Format("'%s' is %s; its last two dimensions must be equal", name,
                                      view.Text().c_str()));
  }
  return view;
}
View Result(const Plan& plan, const Tensor* tensor, const char* name, const View& like,
            const char* like_name) {
  const View view = plan.Out(tensor, name);
  CheckSameType(view, name, like, like_name);
  return view;
}

double Power(double x, double p) {
  if (std::isinf(p)) return x;
  return p == 0 ? (x != 0 ? 1 : 0) : std::pow(x, p);
}

// Slices along one dimension whose norm of order `p` is above `most` are scaled down to that.
void PlanRenorm(Plan& plan, const View& self, double p, int64_t dim, double most, const View& out) {
  Checked(self, "self", kFloats, 2);
  CheckSameType(out, "out", self, "self");
  CheckEqualShape(out, "out", self, "self");
  if (!(p > 0)) throw Error(kAclnnInvalid, Format("'p' is %g; it must be above 0", p));
  if (!(most >= 0)) {
    throw Error(kAclnnInvalid, Format("'maxNorm' is %g; it must be 0 or more", most));
  }
  const auto axis = static_cast<int>(CheckedDim(self, dim));
  plan.run = [=] {
    for (int64_t i = 0; i < self.Dim(axis); ++i) {
      const View from = Narrowed(self, axis, i, 1);
      double total = 0;
      ForEachRun<1>({from}, [&](const auto& base, const auto& strides, int64_t n) {
        std::vector<double> values(static_cast<size_t>(n));
        LoadElements(from.dtype, base[0], strides[0], n, values.data());
        for (const double x : values) {
          const double part = Power(std::fabs(x), p);
          total = std::isinf(p) ? std::max(total, part) : total + part;
        }
      });
      const double norm = std::isinf(p) ? total : std::pow(total, 1 / p);
      // So that a norm of 0 divides nothing, as torch has it.
      constexpr double kLeast = 1e-7;
      const double factor = norm > most ? most / (norm + kLeast) : 1;
      Map<double, 1>(Narrowed(out, axis, i, 1), {from}, [=](double x) { return x * factor; });
    }
  };
}

}  // namespace

ACLNN(Inverse, (const Tensor*, self), (Tensor*, out)) {
  const View in = Matrix(plan, self, "self", true, kSingle | Only(DType::kHalf));
  PlanWide(plan, Result(plan, out, "out", in, "self"), "aten::inverse", "", in);
}
ACLNN(LinalgCholesky, (const Tensor*, self), (bool, upper), (Tensor*, out)) {
  const View in = Matrix(plan, self, "self", true);
  PlanWide(plan, Result(plan, out, "out", in, "self"), "aten::linalg_cholesky", "", in, upper);
}
// Modes: 0 reduced, 1 complete, 2 R alone.
ACLNN(LinalgQr, (const Tensor*, self), (int64_t, mode), (Tensor*, q), (Tensor*, r)) {
  constexpr const char* kModes[] = {"reduced", "complete", "r"};
  const View in = Matrix(plan, self, "self", false);
  if (mode < 0 || mode > 2) {
    throw Error(kAclnnInvalid, Format("'mode' is %lld; it must be 0, 1 or 2", Long(mode)));
  }
  const View left = Result(plan, q, "Q", in, "self");
  PlanWide<2>(plan, {left, Result(plan, r, "R", in, "self")}, "aten::linalg_qr", "", in,
              std::string(kModes[mode]));
}
ACLNN(Slogdet, (const Tensor*, self), (Tensor*, sign), (Tensor*, log)) {
  const View in = Matrix(plan, self, "self", true);
  const View signs = Result(plan, sign, "signOut", in, "self");
  PlanWide<2>(plan, {signs, Result(plan, log, "logOut", in, "self")}, "aten::slogdet", "", in);
}
ACLNN(TriangularSolve, (const Tensor*, self), (const Tensor*, a), (bool, upper), (bool, transpose),
      (bool, unitriangular), (Tensor*, x), (Tensor*, m)) {
  const View right = Matrix(plan, self, "self", false);
  const View in = Matrix(plan, a, "A", true);
  CheckSameType(right, "self", in, "A");
  const View found = Result(plan, x, "xOut", in, "A");
  PlanWide<2>(plan, {found, Result(plan, m, "mOut", in, "A")}, "aten::triangular_solve", "", right,
              in, upper, transpose, unitriangular);
}
ACLNN(LinalgCross, (const Tensor*, self), (const Tensor*, other), (int64_t, dim), (Tensor*, out)) {
  const View a = Checked(plan.Get(self, "self"), "self", kNumbers, 1);
  const View b = Checked(plan.Get(other, "other"), "other", kNumbers, 1);
  const int64_t axis = CheckedDim(a, dim);
  for (const auto& [view, name] : {std::pair(&a, "self"), std::pair(&b, "other")}) {
    if (view->rank != a.rank || view->Dim(static_cast<int>(axis)) != 3) {
      throw Error(kAclnnInvalid, Format("'%s' is %s; dimension %lld of both must have 3 elements",
                                        name, view->Text().c_str(), Long(axis)));
    }
  }
  PlanWide(plan, Checked(plan.Out(out, "out"), "out", kNumbers), "aten::linalg_cross", "", a, b,
           axis);
}
ACLNN(Renorm, (const Tensor*, self), (const Scalar*, order), (int64_t, dim),
      (const Scalar*, max_norm), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  PlanRenorm(plan, in, plan.Required(order, "p").real, dim, plan.Required(max_norm, "maxNorm").real,
             plan.Out(out, "out"));
}
ACLNN(InplaceRenorm, (Tensor*, self), (const Scalar*, order), (int64_t, dim),
      (const Scalar*, max_norm)) {
  const View view = plan.InOut(self, "selfRef");
  PlanRenorm(plan, view, plan.Required(order, "p").real, dim,
             plan.Required(max_norm, "maxNorm").real, view);
}

// Distances between the rows of two batches. 'computeMode' chooses among strategies of the chip.
ACLNN(Cdist, (const Tensor*, x1), (const Tensor*, x2), (float, order), (int64_t, mode),
      (Tensor*, out)) {
  const View a = Checked(plan.Get(x1, "x1"), "x1", kFloats, 2);
  const View b = Checked(plan.Get(x2, "x2"), "x2", kFloats, 2);
  CheckSameType(b, "x2", a, "x1");
  if (a.Dim(a.rank - 1) != b.Dim(b.rank - 1)) {
    throw Error(kAclnnInvalid, "'x1' is " + a.Text() + ", and 'x2' " + b.Text() +
                                   "; their rows must have one length");
  }
  if (!(order >= 0)) {
    throw Error(kAclnnInvalid, Format("'p' is %g; it must be 0 or more", double{order}));
  }
  // 2: no product of matrices, which would lose digits.
  constexpr int64_t kPlainly = 2;
  PlanWide(plan, Result(plan, out, "out", a, "x1"), "aten::_cdist_forward", "", a, b, double{order},
           std::optional<int64_t>(kPlainly));
}
// Distances between each two rows of a matrix.
ACLNN(Pdist, (const Tensor*, self), (float, order), (Tensor*, out)) {
  const View in = Checked(plan.Get(self, "self"), "self", kFloats, 2, 2);
  if (!(order >= 0)) {
    throw Error(kAclnnInvalid, Format("'p' is %g; it must be 0 or more", double{order}));
  }
  PlanWide(plan, Result(plan, out, "out", in, "self"), "aten::_pdist_forward", "", in,
           double{order});
}

// self = U diag(S) V^T; V is not transposed. Without `compute_uv`, S alone is written.
ACLNN(Svd, (const Tensor*, self), (bool, full_matrices), (bool, compute_uv), (Tensor*, sigma),
      (Tensor*, u), (Tensor*, v)) {
  const View in = Matrix(plan, self, "input", false);
  const View values = Result(plan, sigma, "sigma", in, "input");
  std::optional<View> left, right;
  if (compute_uv) {
    left = Result(plan, u, "u", in, "input");
    right = Result(plan, v, "v", in, "input");
  }
  plan.run = [=] {
    const std::vector<AtenTensor> found =
        Aten<3>("aten::_linalg_svd", "", InDouble(in), full_matrices, compute_uv, std::nullopt);
    Give(values, found[1]);
    if (left) Give(*left, found[0]);
    if (right) {
      Give(*right, Aten("aten::transpose", "int", found[2], int64_t{-2}, int64_t{-1})[0]);
    }
  };
}

}  // namespace softnpu
