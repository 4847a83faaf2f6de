// cc/softnpu/opapi/vector_norm_ops.cc: vector norms. Sums in double, rounded once.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {
namespace {

// Adds |x| to a norm of order `ord`, and what the sum becomes at the end.
struct Norm {
  double ord;

  double Start() const { return ord == -std::numeric_limits<double>::infinity() ? -ord : 0.0; }
  double Add(double sum, double x) const {
    if (x != x || sum != sum) return std::nan("");
    if (std::isinf(ord)) return ord > 0 ? std::max(sum, x) : std::min(sum, x);
    if (ord == 0) return sum + (x != 0 ? 1 : 0);
    return sum + (ord == 2 ? x * x : ord == 1 ? x : std::pow(x, ord));
  }
  double End(double sum) const {
    if (std::isinf(ord) || ord == 0 || ord == 1) return sum;
    return ord == 2 ? std::sqrt(sum) : std::pow(sum, 1 / ord);
  }
};

// `out` seen with the shape of `in`: a stride of 0 in each dimension that is reduced.
// Throws Error 161002 when the shape does not fit.
View Spread(const View& in, const std::vector<bool>& reduced, bool keep, const View& out) {
  View spread = in;
  spread.data = out.data;
  spread.offset = out.offset;
  spread.dtype = out.dtype;
  int at = 0;
  bool fits = true;
  for (int d = 0; d < in.rank; ++d) {
    const bool gone = reduced[static_cast<size_t>(d)];
    if (!gone || keep) {
      fits = fits && at < out.rank && out.Dim(at) == (gone ? 1 : in.Dim(d));
      spread.strides[static_cast<size_t>(d)] = gone || !fits ? 0 : out.Stride(at);
      ++at;
    } else {
      spread.strides[static_cast<size_t>(d)] = 0;
    }
  }
  if (!fits || at != out.rank) {
    throw Error(kAclnnInvalid, "'out' is " + out.Text() + ", 'self' is " + in.Text());
  }
  return spread;
}

// The norm of order `ord` over `dims`, all of them when the list is empty.
void PlanNorm(Plan& plan, const Tensor* self, const Scalar& ord, const IntArray* dims, bool keepdim,
              const Tensor* out) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  const Norm norm{ord.real};
  for (const View* view : {&in, &result}) {
    if (!IsFloating(view->dtype) || view->dtype == DType::kDouble) {
      throw Error(kAclnnInvalid, "a norm takes float32, float16 and bfloat16, not " + view->Text());
    }
  }
  const bool all = dims == nullptr || dims->values.empty();
  std::vector<bool> reduced(static_cast<size_t>(in.rank), all);
  for (const int64_t dim : all ? std::vector<int64_t>{} : dims->values) {
    const int64_t rank = std::max(in.rank, 1);
    if (dim < -rank || dim >= rank) {
      throw Error(kAclnnInvalid,
                  Format("dimension %lld of %s", static_cast<long long>(dim), in.Text().c_str()));
    }
    if (in.rank == 0) continue;
    const auto at = static_cast<size_t>(dim < 0 ? dim + rank : dim);
    if (reduced[at]) {
      throw Error(kAclnnInvalid,
                  Format("dimension %lld appears twice", static_cast<long long>(dim)));
    }
    reduced[at] = true;
  }
  // A double for each element of `out`, dense, addressed through the strides of `sums`.
  View places = Reshaped(result, result.Shape());
  places.offset = 0;
  const View sums = Spread(in, reduced, keepdim, places);
  plan.run = [in, result, norm, sums] {
    std::vector<double> totals(static_cast<size_t>(result.Count()), norm.Start());
    std::array<int64_t, kMaxRank> index = {};
    const std::byte* const first = in.Host();
    for (int64_t left = in.Count(); left > 0; --left) {
      int64_t place = 0;
      int64_t element = 0;
      for (int d = 0; d < in.rank; ++d) {
        place += index[static_cast<size_t>(d)] * sums.Stride(d);
        element += index[static_cast<size_t>(d)] * in.Stride(d);
      }
      double value = 0;
      LoadElements(in.dtype, first + element * Size(in.dtype), 1, 1, &value);
      double& total = totals[static_cast<size_t>(place)];
      total = norm.Add(total, std::fabs(value));
      for (int d = in.rank - 1; d >= 0; --d) {
        if (++index[static_cast<size_t>(d)] < in.Dim(d)) break;
        index[static_cast<size_t>(d)] = 0;
      }
    }
    size_t at = 0;
    Map<double, 0>(result, {}, [&] { return norm.End(totals[at++]); });
  };
}

}  // namespace

ACLNN(LinalgVectorNorm, (const Tensor*, self), (const Scalar*, ord), (const IntArray*, dims),
      (bool, keepdim), (int32_t, dtype), (Tensor*, out)) {
  PlanNorm(plan, self, plan.Required(ord, "ord"), dims, keepdim, out);
}
ACLNN(Norm, (const Tensor*, self), (const Scalar*, order), (const IntArray*, dims), (bool, keepdim),
      (Tensor*, out)) {
  PlanNorm(plan, self, plan.Required(order, "pScalar"), dims, keepdim, out);
}

}  // namespace softnpu
