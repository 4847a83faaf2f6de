// cc/softnpu/opapi/scatter_reduce_ops.cc: elements that are reduced into the places of an index.
//
// Floating results are computed in double precision and rounded once; integers wrap.
#include <string>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/index.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

constexpr int64_t kReplace = 0;
// ATen's names of the reductions 1 to 5.
constexpr const char* kNames[] = {"", "sum", "prod", "amax", "amin", "mean"};

// A tensor of rank 0 as one of rank 1.
View AtLeast1d(const View& view) { return view.rank == 0 ? Reshaped(view, {1}) : view; }

void CheckShapes(const View& self, const View& index, const View& src, int dim) {
  bool fits = self.rank == index.rank && self.rank == src.rank;
  for (int d = 0; fits && d < index.rank; ++d) {
    fits = index.Dim(d) <= src.Dim(d) && (d == dim || index.Dim(d) <= self.Dim(d));
  }
  if (!fits) {
    throw Error(kAclnnInvalid,
                Format("'index' is %s, 'src' %s and 'self' %s; all must have one number of "
                       "dimensions, and 'index' must be within 'src', and but for dimension %d "
                       "within 'self'",
                       index.Text().c_str(), src.Text().c_str(), self.Text().c_str(), dim));
  }
}

void PlanScatterReduce(Plan& plan, const View& self, int64_t dim, const Tensor* index,
                       const Tensor* src, int64_t reduction, bool include_self, const View& out) {
  Checked(self, "self", kAnyType);
  const View where = plan.Get(index, "index");
  CheckIndexType(where, "index");
  const View source = Checked(plan.Get(src, "src"), "src", kAnyType);
  CheckSameType(source, "src", self, "self");
  CheckSameType(out, "out", self, "self");
  CheckEqualShape(out, "out", self, "self");
  if (reduction < 0 || reduction > 5) {
    throw Error(kAclnnInvalid, Format("'reduce' is %lld; it must be 0 to 5", Long(reduction)));
  }
  const int axis = Positive(self, dim);
  CheckShapes(self, where, source, axis);
  plan.run = [=, from = AtLeast1d(self), to = AtLeast1d(out), at = AtLeast1d(where),
              values = AtLeast1d(source)] {
    const int64_t limit = from.Dim(axis);
    const std::vector<int64_t> places = IndexValues(at);
    for (size_t i = 0; i < places.size(); ++i) {
      if (places[i] < 0 || places[i] >= limit) {
        ThrowOutside("index", places[i], static_cast<int64_t>(i), limit);
      }
    }
    const int64_t d = axis;
    if (reduction == kReplace) {
      CopyFromAten(to,
                   Aten("aten::scatter", "src", ToAten(from), d, ToIndex(at), ToAten(values))[0]);
    } else {
      CopyFromAten(to, Aten("aten::scatter_reduce", "two", Wide(from), d, ToIndex(at), Wide(values),
                            std::string(kNames[reduction]), include_self)[0]);
    }
  };
}

}  // namespace

ACLNN(ScatterReduce, (const Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Tensor*, src), (int64_t, reduction), (bool, include_self), (Tensor*, out)) {
  PlanScatterReduce(plan, plan.Get(self, "self"), dim, index, src, reduction, include_self,
                    plan.Out(out, "out"));
}
ACLNN(InplaceScatterReduce, (Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Tensor*, src), (int64_t, reduction), (bool, include_self)) {
  const View view = plan.InOut(self, "selfRef");
  PlanScatterReduce(plan, view, dim, index, src, reduction, include_self, view);
}

}  // namespace softnpu
