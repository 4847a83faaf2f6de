// cc/softnpu/opapi/norm_ops.cc: RMS normalisation and gated activation. All in float32, rounded
// once per output.
#include <cmath>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {
namespace {

void CheckDtype(const View& view, const char* name) {
  if (view.dtype != DType::kFloat && view.dtype != DType::kHalf && view.dtype != DType::kBfloat16) {
    throw Error(kAclnnInvalid, std::string("'") + name + "' is " + view.Text() +
                                   ", it must be float32, float16 or bfloat16");
  }
}

void CheckSame(const View& view, const char* name, const View& like, const char* like_name) {
  if (view.dtype != like.dtype || view.Shape() != like.Shape()) {
    throw Error(kAclnnInvalid, std::string("'") + name + "' is " + view.Text() + ", '" + like_name +
                                   "' is " + like.Text());
  }
}

// Rows of `x` over the trailing dimensions of `gamma`; everything contiguous.
struct Rows {
  int64_t count;
  int64_t width;
};

Rows CheckNorm(const View& x, const View& gamma, bool mixed) {
  CheckDtype(x, "x");
  CheckDtype(gamma, "gamma");
  if (gamma.dtype != x.dtype && !(mixed && gamma.dtype == DType::kFloat)) {
    throw Error(kAclnnInvalid, "'gamma' is " + gamma.Text() + ", 'x' is " + x.Text());
  }
  if (gamma.rank == 0 || gamma.rank > x.rank) {
    throw Error(kAclnnInvalid, "'gamma' is " + gamma.Text() + ", 'x' is " + x.Text());
  }
  for (int i = 0; i < gamma.rank; ++i) {
    if (gamma.Dim(i) != x.Dim(x.rank - gamma.rank + i)) {
      throw Error(kAclnnInvalid, "the shape of 'gamma', " + gamma.Text() +
                                     ", does not end that of 'x', " + x.Text());
    }
  }
  const int64_t width = gamma.Count();
  return {width == 0 ? 0 : x.Count() / width, width};
}

void CheckContiguous(const View& view, const char* name) {
  if (!view.IsContiguous()) {
    throw Error(kAclnnInvalid,
                std::string("'") + name + "', " + view.Text() + ", is not contiguous");
  }
}

std::byte* At(const View& view, std::byte* host, int64_t element) {
  return host + element * Size(view.dtype);
}

// y = x / rms(x) * gamma for a row that is in `row` already.
float NormaliseRow(const std::vector<float>& row, const std::vector<float>& gamma, double epsilon,
                   std::vector<float>* y) {
  double sum = 0;
  for (const float value : row) sum += static_cast<double>(value) * static_cast<double>(value);
  const auto rstd =
      static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(row.size()) + epsilon));
  for (size_t i = 0; i < row.size(); ++i) (*y)[i] = row[i] * rstd * gamma[i];
  return rstd;
}

std::vector<float> LoadAll(const View& view) {
  std::vector<float> out(static_cast<size_t>(view.Count()));
  LoadElements(view.dtype, view.Host(), 1, view.Count(), out.data());
  return out;
}

}  // namespace

namespace {

// y = x / rms(x) * (gamma + offset)
void PlanRmsNorm(Plan& plan, const Tensor* x, const Tensor* gamma, double epsilon, const Tensor* y,
                 const Tensor* rstd, float offset) {
  const View in = plan.Get(x, "x");
  const View weight = plan.Get(gamma, "gamma");
  const View out = plan.Out(y, "y");
  const View inverse = plan.Out(rstd, "rstd");
  const Rows rows = CheckNorm(in, weight, true);
  CheckSame(out, "y", in, "x");
  for (const View* view : {&in, &weight, &out, &inverse}) CheckContiguous(*view, "an argument");
  if (inverse.dtype != DType::kFloat || inverse.Count() != rows.count) {
    throw Error(kAclnnInvalid, "'rstd' is " + inverse.Text() + ", it needs one float32 per row");
  }
  plan.run = [=] {
    if (in.Count() == 0) return;
    std::vector<float> scale = LoadAll(weight);
    for (float& value : scale) value += offset;
    std::vector<float> row(scale.size());
    std::vector<float> result(scale.size());
    std::byte* const from = in.Host();
    std::byte* const to = out.Host();
    auto* const inverses = reinterpret_cast<float*>(inverse.Host());
    for (int64_t i = 0; i < rows.count; ++i) {
      LoadElements(in.dtype, At(in, from, i * rows.width), 1, rows.width, row.data());
      inverses[i] = NormaliseRow(row, scale, epsilon, &result);
      StoreElements(out.dtype, At(out, to, i * rows.width), 1, rows.width, result.data());
    }
  };
}

}  // namespace

ACLNN(RmsNorm, (const Tensor*, x), (const Tensor*, gamma), (double, epsilon), (Tensor*, y),
      (Tensor*, rstd)) {
  PlanRmsNorm(plan, x, gamma, epsilon, y, rstd, 0);
}
ACLNN(GemmaRmsNorm, (const Tensor*, x), (const Tensor*, gamma), (double, epsilon), (Tensor*, y),
      (Tensor*, rstd)) {
  PlanRmsNorm(plan, x, gamma, epsilon, y, rstd, 1);
}

// x = x1 + x2, rounded to its dtype; y = the norm of the rounded sum.
ACLNN(AddRmsNorm, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, gamma),
      (double, epsilon), (Tensor*, y), (Tensor*, rstd), (Tensor*, x)) {
  const View a = plan.Get(x1, "x1");
  const View b = plan.Get(x2, "x2");
  const View weight = plan.Get(gamma, "gamma");
  const View out = plan.Out(y, "y");
  const View inverse = plan.Out(rstd, "rstd");
  const View sum = plan.Out(x, "x");
  const Rows rows = CheckNorm(a, weight, false);
  CheckSame(b, "x2", a, "x1");
  CheckSame(out, "y", a, "x1");
  CheckSame(sum, "x", a, "x1");
  for (const View* view : {&a, &b, &weight, &out, &inverse, &sum}) {
    CheckContiguous(*view, "an argument");
  }
  if (inverse.dtype != DType::kFloat || inverse.Count() != rows.count) {
    throw Error(kAclnnInvalid, "'rstd' is " + inverse.Text() + ", it needs one float32 per row");
  }
  plan.run = [=] {
    if (a.Count() == 0) return;
    const std::vector<float> scale = LoadAll(weight);
    std::vector<float> row(scale.size());
    std::vector<float> other(scale.size());
    std::vector<float> result(scale.size());
    std::byte* const left = a.Host();
    std::byte* const right = b.Host();
    std::byte* const sums = sum.Host();
    std::byte* const to = out.Host();
    auto* const inverses = reinterpret_cast<float*>(inverse.Host());
    for (int64_t i = 0; i < rows.count; ++i) {
      const int64_t at = i * rows.width;
      LoadElements(a.dtype, At(a, left, at), 1, rows.width, row.data());
      LoadElements(b.dtype, At(b, right, at), 1, rows.width, other.data());
      for (size_t k = 0; k < row.size(); ++k) row[k] += other[k];
      StoreElements(sum.dtype, At(sum, sums, at), 1, rows.width, row.data());
      LoadElements(sum.dtype, At(sum, sums, at), 1, rows.width, row.data());
      inverses[i] = NormaliseRow(row, scale, epsilon, &result);
      StoreElements(out.dtype, At(out, to, at), 1, rows.width, result.data());
    }
  };
}

// out = silu(first half) * second half, along `dim`. Where a row of x, along its first dimension,
// is not written, the row of out counts as unwritten, too: a grouped product writes the rows of its
// groups alone, and nobody reads what is made of the others.
ACLNN(SwiGlu, (const Tensor*, x), (int64_t, dim), (Tensor*, out)) {
  const View in = plan.Some(x, "x");
  const View result = plan.Some(out, "out");
  CheckDtype(in, "x");
  const int64_t axis = dim < 0 ? dim + in.rank : dim;
  if (axis < 0 || axis >= in.rank || in.Dim(static_cast<int>(axis)) % 2 != 0) {
    throw Error(kAclnnInvalid, Format("dimension %lld of %s cannot be halved",
                                      static_cast<long long>(dim), in.Text().c_str()));
  }
  View gate = in;
  gate.dims[static_cast<size_t>(axis)] /= 2;
  View up = gate;
  up.offset += gate.Dim(static_cast<int>(axis)) * gate.Stride(static_cast<int>(axis));
  if (gate.Shape() != result.Shape() || result.dtype != in.dtype) {
    throw Error(kAclnnInvalid, "'out' is " + result.Text() + ", 'x' is " + in.Text());
  }
  plan.run = [=] {
    const auto compute = [](const View& to, const View& a_half, const View& b_half) {
      Map<float, 2>(to, {a_half, b_half},
                    [](float a, float b) { return a / (1.0F + std::exp(-a)) * b; });
      to.MarkWritten();
    };
    if (in.IsWritten()) return compute(result, gate, up);
    // Rows are along the first dimension, which has to be another than the halved one.
    if (axis == 0 || in.rank < 2) in.CheckWritten("x");
    for (int64_t row = 0; row < in.Dim(0); ++row) {
      const View to = Narrowed(result, 0, row, 1);
      const View from = Narrowed(in, 0, row, 1);
      if (from.IsWritten()) {
        compute(to, Narrowed(gate, 0, row, 1), Narrowed(up, 0, row, 1));
      } else {
        to.MarkWritten(false);
      }
    }
  };
}

}  // namespace softnpu
