// cc/softnpu/opapi/reduce_ops.cc: reductions, scans, softmax and sorting, through ATen.
#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {
namespace {

using Dims = std::optional<std::vector<int64_t>>;

void CheckDim(const View& view, int64_t dim) {
  const int64_t rank = std::max(view.rank, 1);
  if (dim < -rank || dim >= rank) {
    throw Error(kAclnnInvalid,
                Format("dimension %lld of %s", static_cast<long long>(dim), view.Text().c_str()));
  }
}

void CheckSameShape(const View& out, const View& self) {
  if (out.Shape() != self.Shape()) {
    throw Error(kAclnnInvalid, "'out' is " + out.Text() + ", 'self' is " + self.Text());
  }
}

// An empty list means all dimensions.
Dims ToDims(const View& view, const IntArray* array) {
  if (array == nullptr || array->values.empty()) return std::nullopt;
  for (const int64_t dim : array->values) CheckDim(view, dim);
  return array->values;
}

std::vector<int64_t> AllDims(const View& view) {
  std::vector<int64_t> dims;
  for (int i = 0; i < view.rank; ++i) dims.push_back(i);
  return dims;
}

}  // namespace

ACLNN(ReduceSum, (const Tensor*, self), (const IntArray*, dim), (bool, keepdim), (int32_t, dtype),
      (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  const Dims dims = ToDims(in, dim);
  plan.run = [=] {
    AtenInto(result, "aten::sum", "IntList_out", ToAten(in), dims, keepdim, std::nullopt);
  };
}

// The sum of what is a number: in double precision, rounded once.
ACLNN(ReduceNansum, (const Tensor*, self), (const IntArray*, dim), (bool, keepdim),
      (int32_t, dtype), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  const Dims dims = ToDims(in, dim);
  plan.run = [=] {
    const auto type = IsFloating(in.dtype) ? torch::headeronly::ScalarType::Double
                                           : torch::headeronly::ScalarType::Long;
    const AtenTensor wide =
        Aten("aten::to", "dtype", ToAten(in), type, false, true, std::nullopt)[0];
    const AtenTensor found = Aten("aten::nansum", "", wide, dims, keepdim, std::nullopt)[0];
    CheckShape(result, found);
    CopyFromAten(result, found);
  };
}

ACLNN(Mean, (const Tensor*, self), (const IntArray*, dim), (bool, keepdim), (int32_t, dtype),
      (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  if (!IsFloating(result.dtype)) {
    throw Error(kAclnnInvalid, "'out' is " + result.Text() + ", a mean is floating");
  }
  const Dims dims = ToDims(in, dim);
  plan.run = [=] {
    AtenInto(result, "aten::mean", "out", ToAten(in), dims, keepdim, std::nullopt);
  };
}

#define SOFTNPU_REDUCE(NAME, ATEN, OVERLOAD)                                                    \
  ACLNN(NAME, (const Tensor*, self), (const IntArray*, dim), (bool, keepdim), (Tensor*, out)) { \
    const View in = plan.Get(self, "self");                                                     \
    const View result = plan.Out(out, "out");                                                   \
    const std::vector<int64_t> dims = ToDims(in, dim).value_or(AllDims(in));                    \
    plan.run = [=] { AtenInto(result, ATEN, OVERLOAD, ToAten(in), dims, keepdim); };            \
  }
SOFTNPU_REDUCE(Amax, "aten::amax", "out")
SOFTNPU_REDUCE(Amin, "aten::amin", "out")
SOFTNPU_REDUCE(LogSumExp, "aten::logsumexp", "out")

// With optional dimensions.
#define SOFTNPU_REDUCE_ANY(NAME, ATEN)                                                          \
  ACLNN(NAME, (const Tensor*, self), (const IntArray*, dim), (bool, keepdim), (Tensor*, out)) { \
    const View in = plan.Get(self, "self");                                                     \
    const View result = plan.Out(out, "out");                                                   \
    const Dims dims = ToDims(in, dim);                                                          \
    plan.run = [=] { AtenInto(result, ATEN, "dims_out", ToAten(in), dims, keepdim); };          \
  }
SOFTNPU_REDUCE_ANY(Any, "aten::any")
SOFTNPU_REDUCE_ANY(All, "aten::all")

// Whether shapes and all elements are equal; NaN is equal to nothing.
ACLNN(Equal, (const Tensor*, self), (const Tensor*, other), (Tensor*, out)) {
  const View a = plan.Get(self, "self");
  const View b = plan.Get(other, "other");
  const View result = plan.Out(out, "out");
  if (a.dtype != b.dtype) {
    throw Error(kAclnnInvalid, "'self' is " + a.Text() + ", 'other' is " + b.Text());
  }
  if (result.dtype != DType::kBool || result.Count() != 1) {
    throw Error(kAclnnInvalid, "'out' is " + result.Text() + ", it must be one bool");
  }
  plan.run = [=] {
    if (a.Shape() != b.Shape()) {
      FillElements(result, {DType::kInt64, 0, 0});
      return;
    }
    const AtenTensor same = Aten("aten::eq", "Tensor", ToAten(a), ToAten(b))[0];
    CopyFromAten(result, Aten("aten::all", "", same)[0]);
  };
}

ACLNN(Max, (const Tensor*, self), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  plan.run = [=] { AtenInto(result, "aten::amax", "out", ToAten(in), AllDims(in), false); };
}
ACLNN(Min, (const Tensor*, self), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  plan.run = [=] { AtenInto(result, "aten::amin", "out", ToAten(in), AllDims(in), false); };
}

namespace {

// values and indices along one dimension. The device also gives int32 indices.
void PlanMaxDim(Plan& plan, const char* op, const Tensor* self, int64_t dim, bool keepdim,
                const Tensor* out, const Tensor* indices) {
  const View in = plan.Get(self, "self");
  const View values = plan.Out(out, "out");
  const View where = plan.Out(indices, "indices");
  CheckDim(in, dim);
  plan.run = [=] {
    const std::vector<AtenTensor> result = Aten<2>(op, "dim", ToAten(in), dim, keepdim);
    CopyFromAten(values, result[0]);
    CopyFromAten(where, result[1]);
  };
}

void PlanArg(Plan& plan, const char* op, const Tensor* self, int64_t dim, bool keepdim,
             const Tensor* out) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  CheckDim(in, dim);
  if (result.dtype != DType::kInt64 && result.dtype != DType::kInt32) {
    throw Error(kAclnnInvalid, "'out' is " + result.Text() + ", it must be int32 or int64");
  }
  plan.run = [=] {
    CopyFromAten(result, Aten(op, "", ToAten(in), std::optional<int64_t>(dim), keepdim)[0]);
  };
}

}  // namespace

ACLNN(MaxDim, (const Tensor*, self), (int64_t, dim), (bool, keepdim), (Tensor*, out),
      (Tensor*, indices)) {
  PlanMaxDim(plan, "aten::max", self, dim, keepdim, out, indices);
}
ACLNN(MinDim, (const Tensor*, self), (int64_t, dim), (bool, keepdim), (Tensor*, out),
      (Tensor*, indices)) {
  PlanMaxDim(plan, "aten::min", self, dim, keepdim, out, indices);
}
ACLNN(ArgMax, (const Tensor*, self), (int64_t, dim), (bool, keepdim), (Tensor*, out)) {
  PlanArg(plan, "aten::argmax", self, dim, keepdim, out);
}
ACLNN(ArgMin, (const Tensor*, self), (int64_t, dim), (bool, keepdim), (Tensor*, out)) {
  PlanArg(plan, "aten::argmin", self, dim, keepdim, out);
}

ACLNN(Cumsum, (const Tensor*, self), (int64_t, dim), (int32_t, dtype), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  CheckDim(in, dim);
  CheckSameShape(result, in);
  plan.run = [=] { AtenInto(result, "aten::cumsum", "out", ToAten(in), dim, std::nullopt); };
}

#define SOFTNPU_SOFTMAX(NAME, ATEN)                                                  \
  ACLNN(NAME, (const Tensor*, self), (int64_t, dim), (Tensor*, out)) {               \
    const View in = plan.Get(self, "self");                                          \
    const View result = plan.Out(out, "out");                                        \
    CheckDim(in, dim);                                                               \
    if (!IsFloating(in.dtype)) throw Error(kAclnnInvalid, "'self' is " + in.Text()); \
    CheckSameShape(result, in);                                                      \
    plan.run = [=] {                                                                 \
      if (in.dtype == result.dtype) {                                                \
        AtenInto(result, ATEN, "out", ToAten(in), dim, false);                       \
        return;                                                                      \
      }                                                                              \
      /* A wider output is computed from the widened input. */                       \
      CopyElements(result, in);                                                      \
      const AtenTensor wide = ToAten(result);                                        \
      CopyFromAten(result, Aten(ATEN, "", wide, dim, false)[0]);                     \
    };                                                                               \
  }
SOFTNPU_SOFTMAX(Softmax, "aten::_softmax")
SOFTNPU_SOFTMAX(LogSoftmax, "aten::_log_softmax")

ACLNN(Sort, (const Tensor*, self), (bool, stable), (int64_t, dim), (bool, descending),
      (Tensor*, values), (Tensor*, indices)) {
  const View in = plan.Get(self, "self");
  const View sorted = plan.Out(values, "values");
  const View order = plan.Out(indices, "indices");
  CheckDim(in, dim);
  plan.run = [=] {
    const auto result =
        Aten<2>("aten::sort", "stable", ToAten(in), std::optional<bool>(true), dim, descending);
    CopyFromAten(sorted, result[0]);
    CopyFromAten(order, result[1]);
  };
}

ACLNN(Topk, (const Tensor*, self), (int64_t, k), (int64_t, dim), (bool, largest), (bool, sorted),
      (Tensor*, values), (Tensor*, indices)) {
  const View in = plan.Get(self, "self");
  const View best = plan.Out(values, "values");
  const View where = plan.Out(indices, "indices");
  CheckDim(in, dim);
  const int64_t count = in.rank == 0 ? 1 : in.Dim(static_cast<int>(dim < 0 ? dim + in.rank : dim));
  if (k < 0 || k > count) {
    throw Error(kAclnnInvalid, Format("'k' is %lld, dimension %lld of %s allows 0 to %lld",
                                      static_cast<long long>(k), static_cast<long long>(dim),
                                      in.Text().c_str(), static_cast<long long>(count)));
  }
  // Ties go to the lower index: a stable sort, then the first k.
  plan.run = [=] {
    const auto order =
        Aten<2>("aten::sort", "stable", ToAten(in), std::optional<bool>(true), dim, largest);
    for (size_t i = 0; i < 2; ++i) {
      CopyFromAten(i == 0 ? best : where,
                   Aten("aten::narrow", "", order[i], dim, int64_t{0}, k)[0]);
    }
  };
}

}  // namespace softnpu
