// cc/softnpu/opapi/index_update_ops.cc: slices along one dimension are copied, filled or added to.
//
// Indices outside their range stop IndexCopy and IndexAdd by name; the documentation of IndexFill
// says that the device skips them, and that negative ones count from the end.
#include <algorithm>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/index.h"
#include "cc/softnpu/opapi/pointwise.h"

namespace softnpu {
namespace {

// A tensor of rank 0 as one of rank 1.
View AtLeast1d(const View& view) { return view.rank == 0 ? Reshaped(view, {1}) : view; }

// The slice at `position` of `dim`, of size 1 in it.
View Slice(const View& view, int dim, int64_t position) {
  View out = view;
  out.dims[static_cast<size_t>(dim)] = 1;
  out.offset += position * view.Stride(dim);
  return out;
}

void CheckSame(const View& out, const View& self) {
  if (out.dtype != self.dtype || out.Shape() != self.Shape()) {
    throw Error(kAclnnInvalid, "'out' is " + out.Text() + ", 'self' is " + self.Text());
  }
}

struct Update {
  View self, index, source, out;
  int dim = 0;
};

// A source with a slice for each index.
Update CheckUpdate(const View& self, int64_t dim, const View& index, const View& source,
                   const View& out) {
  CheckIndexType(index, "index");
  if (index.rank > 1) throw Error(kAclnnInvalid, "'index' is " + index.Text() + ", not 1-D");
  if (source.dtype != self.dtype) {
    throw Error(kAclnnInvalid, "'source' is " + source.Text() + ", 'self' is " + self.Text());
  }
  CheckSame(out, self);
  const int axis = Positive(self, dim);
  const Update u{AtLeast1d(self), index, AtLeast1d(source), AtLeast1d(out), axis};
  std::vector<int64_t> wanted = u.self.Shape();
  wanted[static_cast<size_t>(axis)] = index.Count();
  if (u.source.Shape() != wanted) {
    throw Error(kAclnnInvalid,
                Format("'source' is %s, 'self' is %s and there are %lld indices in dimension %d",
                       source.Text().c_str(), self.Text().c_str(),
                       static_cast<long long>(index.Count()), axis));
  }
  return u;
}

// What an update does not reach is the operand's: nothing to do where it works in place.
void CopyOperand(const View& out, const View& self) {
  if (out.IsSame(self)) return;
  CopyElements(out, self);
  CopyWritten(out, self);
}

// Calls body(slice of out, slice of source) for each index.
template <typename Body>
void ForEachSlice(const Update& u, Body&& body) {
  const std::vector<int64_t> at = IndexValues(u.index);
  const int64_t limit = u.out.Dim(u.dim);
  for (size_t i = 0; i < at.size(); ++i) {
    if (at[i] < 0 || at[i] >= limit) ThrowOutside("index", at[i], static_cast<int64_t>(i), limit);
    const View to = Slice(u.out, u.dim, at[i]);
    body(to, Slice(u.source, u.dim, static_cast<int64_t>(i)));
    to.MarkWritten();
  }
}

void PlanCopy(Plan& plan, const View& self, int64_t dim, const View& index, const View& source,
              const View& out) {
  plan.run = [u = CheckUpdate(self, dim, index, source, out)] {
    CopyOperand(u.out, u.self);
    ForEachSlice(u, [](const View& to, const View& from) { CopyElements(to, from); });
  };
}

// out = self + alpha * source, slice by slice; float16 and bfloat16 are rounded after each.
void PlanAdd(Plan& plan, const View& self, int64_t dim, const View& index, const View& source,
             const Scalar& alpha, const View& out) {
  if (alpha.floating() && !IsFloating(self.dtype)) {
    throw Error(kAclnnInvalid,
                Format("'alpha' is %g, 'self' is %s", alpha.real, self.Text().c_str()));
  }
  plan.run = [u = CheckUpdate(self, dim, index, source, out), alpha] {
    CopyOperand(u.out, u.self);
    ForEachSlice(u, [&](const View& to, const View& from) {
      Dispatch(ComputeFor({to.dtype}), [&](auto zero) {
        using C = decltype(zero);
        to.CheckWritten("self");
        const C factor =
            std::is_integral_v<C> ? static_cast<C>(alpha.integer) : static_cast<C>(alpha.real);
        Map<C, 2>(to, {to, from}, [factor](C a, C b) {
          return static_cast<C>(Wrapping(a) + Wrapping(MulOp{}(factor, b)));
        });
      });
    });
  };
}

void CheckFill(const View& self, const View& out) {
  switch (self.dtype) {
    case DType::kFloat:
    case DType::kHalf:
    case DType::kBfloat16:
    case DType::kInt32:
    case DType::kInt64:
    case DType::kBool:
      break;
    default:
      throw Error(kAclnnInvalid,
                  "'self' is " + self.Text() +
                      ", it must be float32, float16, bfloat16, int32, int64 or bool");
  }
  CheckSame(out, self);
}

// `positions` is called when the task runs.
template <typename Positions>
void PlanFill(Plan& plan, const View& self, int64_t dim, const Positions& positions,
              const Scalar& value, const View& out) {
  CheckFill(self, out);
  const int axis = Positive(self, dim);
  plan.run = [=, to = AtLeast1d(out), from = AtLeast1d(self)] {
    CopyOperand(to, from);
    const int64_t limit = to.Dim(axis);
    for (int64_t at : positions()) {
      if (at < 0) at += limit;
      if (at < 0 || at >= limit) continue;
      Dispatch(ComputeFor({to.dtype}), [&](auto zero) {
        using C = decltype(zero);
        const C element =
            std::is_integral_v<C> ? static_cast<C>(value.integer) : static_cast<C>(value.real);
        Map<C, 0>(Slice(to, axis, at), {}, [element] { return element; });
      });
      Slice(to, axis, at).MarkWritten();
    }
  };
}

void PlanFill(Plan& plan, const View& self, int64_t dim, const View& index, const Scalar& value,
              const View& out) {
  CheckIndexType(index, "index");
  if (index.rank > 1) throw Error(kAclnnInvalid, "'index' is " + index.Text() + ", not 1-D");
  PlanFill(plan, self, dim, [index] { return IndexValues(index); }, value, out);
}

void PlanFill(Plan& plan, const View& self, int64_t dim, const IntArray& index, const Scalar& value,
              const View& out) {
  PlanFill(plan, self, dim, [at = index.values] { return at; }, value, out);
}

}  // namespace

ACLNN(IndexCopy, (Tensor*, self), (int64_t, dim), (const Tensor*, index), (const Tensor*, source),
      (Tensor*, out)) {
  PlanCopy(plan, plan.Some(self, "self"), dim, plan.Get(index, "index"), plan.Get(source, "source"),
           plan.Some(out, "out"));
}
ACLNN(InplaceIndexCopy, (Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Tensor*, source)) {
  const View view = plan.Some(self, "self");
  PlanCopy(plan, view, dim, plan.Get(index, "index"), plan.Get(source, "source"), view);
}

ACLNN(IndexAdd, (const Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Tensor*, source), (const Scalar*, alpha), (Tensor*, out)) {
  PlanAdd(plan, plan.Some(self, "self"), dim, plan.Get(index, "index"), plan.Get(source, "source"),
          plan.Required(alpha, "alpha"), plan.Some(out, "out"));
}
// `mode` chooses among strategies of the chip.
ACLNN(IndexAddV2, (const Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Tensor*, source), (const Scalar*, alpha), (int64_t, mode), (Tensor*, out)) {
  PlanAdd(plan, plan.Some(self, "self"), dim, plan.Get(index, "index"), plan.Get(source, "source"),
          plan.Required(alpha, "alpha"), plan.Some(out, "out"));
}

ACLNN(IndexFill, (const Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Scalar*, value), (Tensor*, out)) {
  PlanFill(plan, plan.Some(self, "self"), dim, plan.Get(index, "index"),
           plan.Required(value, "value"), plan.Some(out, "out"));
}
ACLNN(InplaceIndexFill, (Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Scalar*, value)) {
  const View view = plan.Some(self, "self");
  PlanFill(plan, view, dim, plan.Get(index, "index"), plan.Required(value, "value"), view);
}
// The index is a list of the host here.
ACLNN(IndexFillTensor, (const Tensor*, self), (int64_t, dim), (const IntArray*, index),
      (const Scalar*, value), (Tensor*, out)) {
  PlanFill(plan, plan.Some(self, "self"), dim, plan.Required(index, "index"),
           plan.Required(value, "value"), plan.Some(out, "out"));
}
ACLNN(InplaceIndexFillTensor, (Tensor*, self), (int64_t, dim), (const IntArray*, index),
      (const Scalar*, value)) {
  const View view = plan.Some(self, "self");
  PlanFill(plan, view, dim, plan.Required(index, "index"), plan.Required(value, "value"), view);
}

}  // namespace softnpu
