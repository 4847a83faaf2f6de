// cc/softnpu/opapi/statistics_ops.cc: products, variances, order statistics, counts and running
// extremes, in double precision (whole numbers in int64), rounded once.
#include <cmath>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

using MaybeDims = std::optional<std::vector<int64_t>>;

MaybeDims DimsOf(const View& view, const IntArray* dims) {
  if (dims == nullptr || dims->values.empty()) return std::nullopt;
  for (const int64_t dim : dims->values) CheckedDim(view, dim);
  return dims->values;
}

// The variance and the mean over some dimensions, of one pass over each; `correction` is what the
// number of elements is lessened by.
void PlanVariance(Plan& plan, const Tensor* self, const IntArray* dim, int64_t correction,
                  bool keepdim, const std::optional<View>& variance,
                  const std::optional<View>& deviation, const std::optional<View>& mean) {
  const View in = Checked(plan.Get(self, "self"), "self", kFloats);
  const MaybeDims dims = DimsOf(in, dim);
  double count = 1;
  for (int i = 0; i < in.rank; ++i) {
    bool reduced = !dims;
    for (const int64_t at : dims.value_or(std::vector<int64_t>{})) {
      reduced = reduced || CheckedDim(in, at) == i;
    }
    if (reduced) count *= static_cast<double>(in.Dim(i));
  }
  const Scalar factor{DType::kDouble, count / std::fmax(0, count - static_cast<double>(correction)),
                      0};
  for (const std::optional<View>* out : {&variance, &deviation, &mean}) {
    if (*out) CheckSameType(**out, "out", in, "self");
  }
  plan.run = [=] {
    const auto found = Aten<2>("aten::var_mean", "dim", InDouble(in), dims, false, keepdim);
    const AtenTensor scaled = Aten("aten::mul", "Tensor", found[0], ForAten(factor))[0];
    if (variance) Give(*variance, scaled);
    if (deviation) Give(*deviation, Aten("aten::sqrt", "", scaled)[0]);
    if (mean) Give(*mean, found[1]);
  };
}

// The product is made in the type of `out`.
torch::headeronly::ScalarType Summed(const View& out) {
  return IsFloating(out.dtype) ? torch::headeronly::ScalarType::Double
                               : torch::headeronly::ScalarType::Long;
}

void CheckDtypeArgument(const View& out, int32_t dtype) {
  if (static_cast<int32_t>(out.dtype) != dtype) {
    throw Error(kAclnnInvalid, Format("'out' is %s, and 'dtype' %d", out.Text().c_str(), dtype));
  }
}

// values and places along one dimension
void PlanPlaces(Plan& plan, const char* aten, const char* overload, const Tensor* self, int64_t dim,
                std::optional<bool> keepdim, const Tensor* values, const Tensor* indices) {
  const View in = Checked(plan.Get(self, "self"), "self", kAnyType);
  const View found = plan.Out(values, "values");
  const View where = Checked(plan.Out(indices, "indices"), "indices", kIndices);
  CheckSameType(found, "values", in, "self");
  CheckedDim(in, dim);
  if (keepdim) {
    PlanWide<2>(plan, {found, where}, aten, overload, in, dim, *keepdim);
  } else {
    PlanWide<2>(plan, {found, where}, aten, overload, in, dim);
  }
}

void PlanExtremes(Plan& plan, const Tensor* self, const std::vector<int64_t>& dims, bool keepdim,
                  const Tensor* least, const Tensor* most) {
  const View in = Checked(plan.Get(self, "self"), "self", kAnyType);
  const View low = plan.Out(least, "minOut");
  const View high = plan.Out(most, "maxOut");
  CheckSameType(low, "minOut", in, "self");
  CheckSameType(high, "maxOut", in, "self");
  for (const int64_t dim : dims) CheckedDim(in, dim);
  plan.run = [=] {
    Give(low, Aten("aten::amin", "", Wide(in), dims, keepdim)[0]);
    Give(high, Aten("aten::amax", "", Wide(in), dims, keepdim)[0]);
  };
}

}  // namespace

#define SOFTNPU_VARIANCE(NAME, VARIANCE, DEVIATION)                                        \
  ACLNN(NAME, (const Tensor*, self), (const IntArray*, dim), (int64_t, correction),        \
        (bool, keepdim), (Tensor*, out)) {                                                 \
    PlanVariance(plan, self, dim, correction, keepdim, VARIANCE, DEVIATION, std::nullopt); \
  }
SOFTNPU_VARIANCE(VarCorrection, plan.Out(out, "out"), std::nullopt)
SOFTNPU_VARIANCE(Std, std::nullopt, plan.Out(out, "out"))
ACLNN(VarMean, (const Tensor*, self), (const IntArray*, dim), (int64_t, correction),
      (bool, keepdim), (Tensor*, variance), (Tensor*, mean)) {
  PlanVariance(plan, self, dim, correction, keepdim, plan.Out(variance, "varOut"), std::nullopt,
               plan.Out(mean, "meanOut"));
}
ACLNN(StdMeanCorrection, (const Tensor*, self), (const IntArray*, dim), (int64_t, correction),
      (bool, keepdim), (Tensor*, deviation), (Tensor*, mean)) {
  PlanVariance(plan, self, dim, correction, keepdim, std::nullopt, plan.Out(deviation, "stdOut"),
               plan.Out(mean, "meanOut"));
}

ACLNN(Prod, (const Tensor*, self), (int32_t, dtype), (Tensor*, out)) {
  const View in = Checked(plan.Get(self, "self"), "self", kAnyType);
  const View result = plan.Out(out, "out");
  CheckDtypeArgument(result, dtype);
  PlanWide(plan, result, "aten::prod", "", in, std::optional(Summed(result)));
}
ACLNN(ProdDim, (const Tensor*, self), (int64_t, dim), (bool, keepdim), (int32_t, dtype),
      (Tensor*, out)) {
  const View in = Checked(plan.Get(self, "self"), "self", kAnyType);
  const View result = plan.Out(out, "out");
  CheckDtypeArgument(result, dtype);
  PlanWide(plan, result, "aten::prod", "dim_int", in, CheckedDim(in, dim), keepdim,
           std::optional(Summed(result)));
}
ACLNN(Cumprod, (const Tensor*, self), (const Scalar*, dim), (int32_t, dtype), (Tensor*, out)) {
  const View in = Checked(plan.Get(self, "self"), "self", kAnyType);
  const View result = plan.Out(out, "out");
  CheckDtypeArgument(result, dtype);
  PlanWide(plan, result, "aten::cumprod", "", in, CheckedDim(in, plan.Required(dim, "dim").integer),
           std::optional(Summed(result)));
}

ACLNN(Aminmax, (const Tensor*, self), (const IntArray*, dim), (bool, keepdim), (Tensor*, least),
      (Tensor*, most)) {
  PlanExtremes(plan, self, dim == nullptr ? std::vector<int64_t>{} : dim->values, keepdim, least,
               most);
}
ACLNN(AminmaxAll, (const Tensor*, self), (Tensor*, least), (Tensor*, most)) {
  PlanExtremes(plan, self, {}, false, least, most);
}
ACLNN(AminmaxDim, (const Tensor*, self), (int64_t, dim), (bool, keepdim), (Tensor*, least),
      (Tensor*, most)) {
  PlanExtremes(plan, self, {dim}, keepdim, least, most);
}

#define SOFTNPU_MEDIAN(NAME, ATEN)                                                            \
  ACLNN(NAME, (const Tensor*, self), (Tensor*, out)) {                                        \
    PlanWide(plan, plan.Out(out, "out"), ATEN, "",                                            \
             Checked(plan.Get(self, "self"), "self", kNumbers));                              \
  }                                                                                           \
  ACLNN(NAME##Dim, (const Tensor*, self), (int64_t, dim), (bool, keepdim), (Tensor*, values), \
        (Tensor*, indices)) {                                                                 \
    PlanPlaces(plan, ATEN, "dim", self, dim, keepdim, values, indices);                       \
  }
SOFTNPU_MEDIAN(Median, "aten::median")
SOFTNPU_MEDIAN(NanMedian, "aten::nanmedian")

ACLNN(Kthvalue, (const Tensor*, self), (int64_t, k), (int64_t, dim), (bool, keepdim),
      (Tensor*, values), (Tensor*, indices)) {
  const View in = Checked(plan.Get(self, "self"), "self", kNumbers);
  const int64_t at = CheckedDim(in, dim);
  const int64_t count = in.rank == 0 ? 1 : in.Dim(static_cast<int>(at));
  if (k < 1 || k > count) {
    throw Error(kAclnnInvalid, Format("'k' is %lld; for dimension %lld of %s it must be 1 to %lld",
                                      Long(k), Long(at), in.Text().c_str(), Long(count)));
  }
  PlanWide<2>(plan, {plan.Out(values, "values"), plan.Out(indices, "indices")}, "aten::kthvalue",
              "", in, k, at, keepdim);
}
ACLNN(Cummax, (const Tensor*, self), (int64_t, dim), (Tensor*, values), (Tensor*, indices)) {
  PlanPlaces(plan, "aten::cummax", "", self, dim, std::nullopt, values, indices);
}
ACLNN(Cummin, (const Tensor*, self), (int64_t, dim), (Tensor*, values), (Tensor*, indices)) {
  PlanPlaces(plan, "aten::cummin", "", self, dim, std::nullopt, values, indices);
}

ACLNN(Dot, (const Tensor*, self), (const Tensor*, tensor), (Tensor*, out)) {
  const View a = Checked(plan.Get(self, "self"), "self", kFloats, 1, 1);
  const View b = Checked(plan.Get(tensor, "tensor"), "tensor", kFloats, 1, 1);
  CheckSameType(b, "tensor", a, "self");
  CheckEqualShape(b, "tensor", a, "self");
  PlanWide(plan, plan.Out(out, "out"), "aten::dot", "", a, b);
}
ACLNN(Mv, (const Tensor*, self), (const Tensor*, vec), (Tensor*, out), (int8_t, cube_math_type)) {
  const View a = Checked(plan.Get(self, "self"), "self", kFloats, 2, 2);
  const View b = Checked(plan.Get(vec, "vec"), "vec", kFloats, 1, 1);
  if (a.Dim(1) != b.Dim(0)) {
    throw Error(kAclnnInvalid, "'self' is " + a.Text() + ", and 'vec' " + b.Text());
  }
  PlanWide(plan, plan.Out(out, "out"), "aten::mv", "", a, b);
}
ACLNN(Histc, (const Tensor*, self), (int64_t, bins), (const Scalar*, low), (const Scalar*, high),
      (Tensor*, out)) {
  const View in = Checked(plan.Get(self, "self"), "self", kFloats | kIntegers);
  const double least = plan.Required(low, "min").real;
  const double most = plan.Required(high, "max").real;
  if (bins < 1)
    throw Error(kAclnnInvalid, Format("'bins' is %lld; it must be at least 1", Long(bins)));
  if (!(least <= most)) {
    throw Error(kAclnnInvalid,
                Format("'min' is %g, and 'max' %g; it must not be less", least, most));
  }
  const View result = plan.Out(out, "out");
  // The same bounds stand for the least and the greatest element.
  const std::optional<std::vector<double>> range =
      least == most ? std::nullopt : std::optional<std::vector<double>>({least, most});
  plan.run = [=] {
    Give(result,
         Aten<2>("aten::histogram", "bin_ct", InDouble(in), bins, range, std::nullopt, false)[0]);
  };
}
ACLNN(Bincount, (const Tensor*, self), (const Tensor*, weights), (int64_t, minlength),
      (Tensor*, out)) {
  PlanWide(plan, plan.Out(out, "out"), "aten::bincount", "",
           Checked(plan.Get(self, "self"), "self", kIntegers, 1, 1),
           GetIf(plan, weights, "weights"), minlength);
}
ACLNN(Trace, (const Tensor*, self), (Tensor*, out)) {
  PlanWide(plan, plan.Out(out, "out"), "aten::trace", "",
           Checked(plan.Get(self, "self"), "self", kAnyType, 2, 2));
}
ACLNN(Take, (const Tensor*, self), (const Tensor*, index), (Tensor*, out)) {
  const View in = Checked(plan.Get(self, "self"), "self", kAnyType);
  const View result = plan.Out(out, "out");
  CheckSameType(result, "out", in, "self");
  PlanWide(plan, result, "aten::take", "", in,
           Checked(plan.Get(index, "index"), "index", kIndices));
}
ACLNN(Roll, (const Tensor*, x), (const IntArray*, shifts), (const IntArray*, dims),
      (Tensor*, out)) {
  const View in = Checked(plan.Get(x, "x"), "x", kAnyType);
  const View result = plan.Out(out, "out");
  CheckSameType(result, "out", in, "x");
  PlanWide(plan, result, "aten::roll", "", in, plan.Required(shifts, "shifts").values,
           plan.Required(dims, "dims").values);
}
ACLNN(RepeatInterleaveTensor, (const Tensor*, repeats), (int64_t, output_size), (Tensor*, out)) {
  PlanWide(plan, Checked(plan.Out(out, "out"), "out", Only(DType::kInt64)),
           "aten::repeat_interleave", "Tensor",
           Checked(plan.Get(repeats, "repeats"), "repeats", kIndices, 1, 1),
           std::optional<int64_t>(output_size));
}
ACLNN(InplaceMaskedScatter, (Tensor*, self), (const Tensor*, mask), (const Tensor*, source)) {
  const View view = Checked(plan.InOut(self, "selfRef"), "selfRef", kAnyType);
  const View chosen = Checked(plan.Get(mask, "mask"), "mask", kBool);
  const View values = plan.Get(source, "source");
  CheckSameType(values, "source", view, "selfRef");
  Expanded(chosen, view, "'mask'");
  plan.run = [=] {
    Give(view, Aten("aten::masked_scatter", "", Wide(view), ToAten(chosen), Wide(values))[0]);
  };
}

}  // namespace softnpu
