// cc/softnpu/opapi/gradient_ops.cc: gradients of torch_npu's own functions, in double precision,
// rounded once.
#include <cmath>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

double Logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

std::vector<double> Values(const View& view) {
  std::vector<double> out;
  ForEachRun<1>({view}, [&](const auto& base, const auto& strides, int64_t n) {
    const size_t first = out.size();
    out.resize(first + static_cast<size_t>(n));
    LoadElements(view.dtype, base[0], strides[0], n, out.data() + first);
  });
  return out;
}

void Write(const View& view, const std::vector<double>& values) {
  size_t at = 0;
  Map<double, 0>(view, {}, [&] { return values[at++]; });
}

// Rows of x over the last dimensions, which gamma has.
struct Rows {
  View grad, x, rstd, gamma;
  int64_t count, width;
};
Rows RowsOf(const Plan& plan, const Tensor* grad, const Tensor* x, const Tensor* rstd,
            const Tensor* gamma) {
  Rows made{Checked(plan.Get(grad, "dy"), "dy", kFloats, 1),
            Checked(plan.Get(x, "x"), "x", kFloats, 1),
            Checked(plan.Get(rstd, "rstd"), "rstd", Only(DType::kFloat)),
            Checked(plan.Get(gamma, "gamma"), "gamma", kFloats, 1),
            0,
            0};
  CheckSameType(made.grad, "dy", made.x, "x");
  CheckEqualShape(made.grad, "dy", made.x, "x");
  if (made.gamma.dtype != DType::kFloat) CheckSameType(made.gamma, "gamma", made.x, "x");
  bool ends = made.gamma.rank <= made.x.rank;
  for (int i = 0; ends && i < made.gamma.rank; ++i) {
    ends = made.gamma.Dim(i) == made.x.Dim(made.x.rank - made.gamma.rank + i);
  }
  if (!ends) {
    throw Error(kAclnnInvalid, "the shape of 'gamma', " + made.gamma.Text() +
                                   ", does not end that of 'x', " + made.x.Text());
  }
  made.width = made.gamma.Count();
  made.count = made.width == 0 ? 0 : made.x.Count() / made.width;
  if (made.rstd.Count() != made.count) {
    throw Error(kAclnnInvalid, Format("'rstd' is %s; there are %lld rows", made.rstd.Text().c_str(),
                                      Long(made.count)));
  }
  return made;
}

}  // namespace

// y = x * rstd * gamma, where rstd is 1 / sqrt(mean(x^2) + epsilon) of a row.
ACLNN(RmsNormGrad, (const Tensor*, dy), (const Tensor*, x), (const Tensor*, rstd),
      (const Tensor*, gamma), (Tensor*, dx), (Tensor*, dgamma)) {
  const Rows rows = RowsOf(plan, dy, x, rstd, gamma);
  const View by_x = plan.Out(dx, "dx");
  const View by_gamma = Checked(plan.Out(dgamma, "dgamma"), "dgamma", Only(DType::kFloat));
  CheckSameType(by_x, "dx", rows.x, "x");
  CheckEqualShape(by_x, "dx", rows.x, "x");
  CheckEqualShape(by_gamma, "dgamma", rows.gamma, "gamma");
  plan.run = [=] {
    const std::vector<double> g = Values(rows.grad);
    const std::vector<double> values = Values(rows.x);
    const std::vector<double> inverses = Values(rows.rstd);
    const std::vector<double> scale = Values(rows.gamma);
    std::vector<double> to_x(values.size());
    std::vector<double> to_gamma(scale.size());
    for (int64_t row = 0; row < rows.count; ++row) {
      const auto first = static_cast<size_t>(row * rows.width);
      const double inverse = inverses[static_cast<size_t>(row)];
      double sum = 0;
      for (size_t i = 0; i < scale.size(); ++i) {
        const double normal = values[first + i] * inverse;
        to_gamma[i] += g[first + i] * normal;
        sum += g[first + i] * scale[i] * normal;
      }
      const double mean = sum / static_cast<double>(rows.width);
      for (size_t i = 0; i < scale.size(); ++i) {
        to_x[first + i] = inverse * (g[first + i] * scale[i] - values[first + i] * inverse * mean);
      }
    }
    Write(by_x, to_x);
    Write(by_gamma, to_gamma);
  };
}

// y = silu(a) * b, where a and b are the halves of x along a dimension.
ACLNN(SwiGluGrad, (const Tensor*, grad), (const Tensor*, x), (int64_t, dim), (Tensor*, out)) {
  const View in = Checked(plan.Get(x, "x"), "x", kFloats, 1);
  const View from = plan.Get(grad, "yGrad");
  const View result = plan.Out(out, "out");
  CheckSameType(from, "yGrad", in, "x");
  CheckSameType(result, "out", in, "x");
  CheckEqualShape(result, "out", in, "x");
  const auto axis = static_cast<int>(CheckedDim(in, dim));
  const int64_t half = in.Dim(axis) / 2;
  if (in.Dim(axis) % 2 != 0) {
    throw Error(kAclnnInvalid,
                Format("dimension %d of %s cannot be halved", axis, in.Text().c_str()));
  }
  const View a = Narrowed(in, axis, 0, half);
  const View b = Narrowed(in, axis, half, half);
  CheckEqualShape(from, "yGrad", a, "a half of 'x'");
  plan.run = [=] {
    Map<double, 3>(Narrowed(result, axis, 0, half), {from, a, b},
                   [](double g, double gate, double up) {
                     const double s = Logistic(gate);
                     return g * up * (s + gate * s * (1 - s));
                   });
    Map<double, 2>(Narrowed(result, axis, half, half), {from, a},
                   [](double g, double gate) { return g * gate * Logistic(gate); });
  };
}

// y = x * logistic(1.702 * x)
ACLNN(FastGeluBackward, (const Tensor*, grad), (const Tensor*, self), (Tensor*, out)) {
  const View from = Checked(plan.Get(grad, "gradOutput"), "gradOutput", kFloats);
  const View in = Checked(plan.Get(self, "self"), "self", kFloats);
  const View result = plan.Out(out, "gradInput");
  CheckSameType(from, "gradOutput", in, "self");
  CheckSameType(result, "gradInput", in, "self");
  CheckEqualShape(from, "gradOutput", in, "self");
  CheckEqualShape(result, "gradInput", in, "self");
  plan.run = [=] {
    Map<double, 2>(result, {from, in}, [](double g, double x) {
      const double s = Logistic(1.702 * x);
      return g * (s + 1.702 * x * s * (1 - s));
    });
  };
}

}  // namespace softnpu
