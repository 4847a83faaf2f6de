// cc/softnpu/opapi/index_ops.cc: gathers, scatters, concatenation, and data-dependent shapes.
//
// Indices outside their range are undefined on the device; here they stop the operator by name.
#include <cmath>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/index.h"

namespace softnpu {
namespace {

// A list of indices names a dimension that is taken whole by a tensor without elements, of the
// dtype of `self` and shape [0]; dimensions behind the last index are not in the list. Where `self`
// has an index's dtype, an empty index before the last one looks the same, and is taken for that.
bool TakesWhole(const View& self, const std::vector<View>& indices, size_t at) {
  const View& index = indices[at];
  return index.rank == 1 && index.Count() == 0 && index.dtype == self.dtype &&
         at + 1 < indices.size();
}

// One of the indices has no elements, so that nothing is read or written.
bool SelectsNothing(const View& self, const std::vector<View>& indices) {
  for (size_t i = 0; i < indices.size(); ++i) {
    if (indices[i].Count() == 0 && !TakesWhole(self, indices, i)) return true;
  }
  return false;
}

OptionalTensors ToIndices(const View& self, const std::vector<View>& indices) {
  OptionalTensors out;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (TakesWhole(self, indices, i)) {
      out.emplace_back(std::nullopt);
    } else if (indices[i].dtype == DType::kInt32) {
      out.emplace_back(ToIndex(indices[i]));
    } else {
      out.emplace_back(ToAten(indices[i]));
    }
  }
  return out;
}

// Gives a result whose shape depends on data, in the room of a larger one. The device has the new
// shape only after the work is done: torch_npu waits and asks the handle.
void GiveFound(Tensor* out, const View& room, const AtenTensor& found) {
  const std::vector<int64_t> shape = ShapeOf(found);
  const View result = Reshaped(room, shape);
  if (result.Count() > room.Count()) {
    throw Error(kAicoreException,
                Format("the result has %lld elements, and its tensor, %s, %lld",
                       static_cast<long long>(result.Count()), room.Text().c_str(),
                       static_cast<long long>(room.Count())));
  }
  CopyFromAten(result, found);
  result.MarkWritten();
  out->view = result;
}

}  // namespace

std::vector<int64_t> IndexValues(const View& index) {
  std::vector<int64_t> out(static_cast<size_t>(index.Count()));
  if (out.empty()) return out;
  const AtenTensor flat = Aten("aten::reshape", "", ToIndex(index), std::vector<int64_t>{-1})[0];
  const auto* values = static_cast<const int64_t*>(flat.data_ptr());
  std::copy(values, values + out.size(), out.begin());
  return out;
}

void ThrowOutside(const std::string& name, int64_t value, int64_t position, int64_t limit) {
  throw Error(kAicoreException,
              Format("'%s' holds %lld at position %lld, the limit is %lld (undefined on the "
                     "device)",
                     name.c_str(), static_cast<long long>(value), static_cast<long long>(position),
                     static_cast<long long>(limit)));
}

ACLNN(Index, (const Tensor*, self), (const TensorList*, indices), (Tensor*, out)) {
  const View in = plan.Some(self, "self");
  const std::vector<View> where = plan.Get(indices, "indices");
  const View result = plan.Out(out, "out");
  if (result.Count() == 0) {
    plan.run = [] {};
    return;
  }
  if (SelectsNothing(in, where)) {
    throw Error(kAclnnInvalid, "an index has no elements, 'out' is " + result.Text());
  }
  plan.run = [=] {
    CopyFromAten(result, Aten("aten::index", "Tensor", ToAten(in), ToIndices(in, where))[0]);
    result.MarkWritten();
    // The first byte of an element stands for the element.
    if (const std::optional<AtenTensor> plane = WrittenPlane(in, 0)) {
      CheckGathered(Aten("aten::index", "Tensor", *plane, ToIndices(in, where))[0], "self");
    }
  };
}

ACLNN(IndexPutImpl, (Tensor*, self), (const TensorList*, indices), (const Tensor*, values),
      (bool, accumulate), (bool, unsafe)) {
  const View target = plan.Some(self, "self");
  const std::vector<View> where = plan.Get(indices, "indices");
  const View source = plan.Get(values, "values");
  if (source.dtype != target.dtype) {
    throw Error(kAclnnInvalid, "'values' is " + source.Text() + ", 'self' is " + target.Text());
  }
  plan.run = [=] {
    if (source.Count() == 0 || target.Count() == 0 || SelectsNothing(target, where)) return;
    if (accumulate) {
      if (const std::optional<AtenTensor> plane = WrittenPlane(target, 0)) {
        CheckGathered(Aten("aten::index", "Tensor", *plane, ToIndices(target, where))[0], "self");
      }
    }
    Aten("aten::_index_put_impl_", "", ToAten(target), ToIndices(target, where), ToAten(source),
         accumulate, false);
    ForEachWrittenPlane(target, [&](const AtenTensor& plane, int64_t) {
      Aten("aten::_index_put_impl_", "", plane, ToIndices(target, where), Ones({1}), false, false);
    });
  };
}

namespace {

// out[i, ...] = table[index[i], ...] along `dim`, row by row: O(bytes moved).
void PlanRows(Plan& plan, const View& table, int dim, const View& index, const char* index_name,
              const View& out) {
  CheckIndexType(index, index_name);
  if (table.dtype != out.dtype) {
    throw Error(kAclnnInvalid, "'out' is " + out.Text() + ", the source is " + table.Text());
  }
  plan.run = [=, name = std::string(index_name)] {
    const std::vector<int64_t> at = IndexValues(index);
    const int64_t limit = table.Dim(dim);
    View from = table;
    from.dims[static_cast<size_t>(dim)] = 1;
    // Index dimensions of `out` are walked one by one; what is left is one slice.
    std::vector<int64_t> shape = index.Shape();
    const int64_t count = index.Count();
    View slice = out;
    slice.rank = table.rank;
    std::array<int64_t, kMaxRank> strides = {};
    for (int i = 0; i < table.rank; ++i) {
      const int source = i < dim ? i : i - 1 + index.rank;
      const auto d = static_cast<size_t>(i);
      slice.dims[d] = i == dim ? 1 : out.Dim(source);
      slice.strides[d] = i == dim ? 1 : out.Stride(source);
    }
    for (int i = 0; i < index.rank; ++i) {
      strides[static_cast<size_t>(i)] = out.Stride(dim + i);
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = at[static_cast<size_t>(i)];
      if (row < 0 || row >= limit) ThrowOutside(name, row, i, limit);
      from.offset = table.offset + row * table.Stride(dim);
      from.CheckWritten("self");
      int64_t rest = i;
      slice.offset = out.offset;
      for (int d = index.rank - 1; d >= 0; --d) {
        slice.offset += rest % index.Dim(d) * strides[static_cast<size_t>(d)];
        rest /= index.Dim(d);
      }
      CopyElements(slice, from);
    }
  };
}

}  // namespace

ACLNN(IndexSelect, (const Tensor*, self), (int64_t, dim), (const Tensor*, index), (Tensor*, out)) {
  const View table = plan.Some(self, "self");
  View where = plan.Get(index, "index");
  if (where.rank > 1) throw Error(kAclnnInvalid, "'index' is " + where.Text() + ", not 1-D");
  if (where.rank == 0) where = Reshaped(where, {1});
  PlanRows(plan, table, Positive(table, dim), where, "index", plan.Out(out, "out"));
}

ACLNN(Embedding, (const Tensor*, weight), (const Tensor*, indices), (Tensor*, out)) {
  const View table = plan.Some(weight, "weight");
  if (table.rank != 2) throw Error(kAclnnInvalid, "'weight' is " + table.Text() + ", not 2-D");
  PlanRows(plan, table, 0, plan.Get(indices, "indices"), "indices", plan.Out(out, "out"));
}

ACLNN(Gather, (const Tensor*, self), (int64_t, dim), (const Tensor*, index), (Tensor*, out)) {
  const View in = plan.Some(self, "self");
  const View where = plan.Get(index, "index");
  const View result = plan.Out(out, "out");
  CheckIndexType(where, "index");
  Positive(in, dim);
  plan.run = [=] {
    AtenInto(result, "aten::gather", "out", ToAten(in), dim, ToIndex(where), false);
    if (const std::optional<AtenTensor> plane = WrittenPlane(in, 0)) {
      CheckGathered(Aten("aten::gather", "", *plane, dim, ToIndex(where), false)[0], "self");
    }
  };
}

namespace {

// A scatter into its own operand leaves what it does not reach as it is; one into another tensor
// copies the whole operand.
void CheckScatterTarget(const View& in, const View& out, int64_t dim, const View& index,
                        int64_t reduction) {
  if (!in.IsSame(out)) {
    CopyWritten(out, in);
  }
  if (reduction == 0) return;
  if (const std::optional<AtenTensor> plane = WrittenPlane(in, 0)) {
    CheckGathered(Aten("aten::gather", "", *plane, dim, ToIndex(index), false)[0], "self");
  }
}

void MarkScattered(const View& out, int64_t dim, const View& index) {
  ForEachWrittenPlane(out, [&](const AtenTensor& plane, int64_t) {
    Aten("aten::scatter", "src_out", plane, dim, ToIndex(index), Ones(index.Shape()), plane);
  });
}

// reduction: 0 assigns, 1 adds, 2 multiplies (which no schema without Scalar has).
void PlanScatter(Plan& plan, const View& in, int64_t dim, const View& index, const View& source,
                 int64_t reduction, const View& out) {
  CheckIndexType(index, "index");
  Positive(in, dim);
  if (reduction != 0 && reduction != 1) {
    throw Error(kAclnnNotImplemented, Format("reduction %lld: SoftNPU has 0 (assign) and 1 (add)",
                                             static_cast<long long>(reduction)));
  }
  // Of the source, what lies beside the index is not read.
  View read = source;
  for (int i = 0; i < std::min(read.rank, index.rank); ++i) {
    const auto d = static_cast<size_t>(i);
    read.dims[d] = std::min(read.dims[d], index.dims[d]);
  }
  plan.run = [=] {
    read.CheckWritten("src");
    CheckScatterTarget(in, out, dim, index, reduction);
    AtenInto(out, reduction == 0 ? "aten::scatter" : "aten::scatter_add",
             reduction == 0 ? "src_out" : "out", ToAten(in), dim, ToIndex(index), ToAten(source));
    MarkScattered(out, dim, index);
  };
}

void PlanScatterValue(Plan& plan, const View& in, int64_t dim, const View& index,
                      const Scalar& value, int64_t reduction, const View& out) {
  CheckIndexType(index, "index");
  Positive(in, dim);
  if (reduction != 0) {
    throw Error(kAclnnNotImplemented, Format("reduction %lld of a value: SoftNPU has 0 (assign)",
                                             static_cast<long long>(reduction)));
  }
  plan.run = [=] {
    CheckScatterTarget(in, out, dim, index, reduction);
    // The source is one element of host memory, seen everywhere through strides of 0.
    alignas(8) std::byte element[8];
    const double real = value.real;
    const int64_t integer = value.integer;
    if (IsFloating(out.dtype)) {
      StoreElements(out.dtype, element, 1, 1, &real);
    } else {
      StoreElements(out.dtype, element, 1, 1, &integer);
    }
    const AtenTensor source =
        ToAten(element, index.Shape(), std::vector<int64_t>(static_cast<size_t>(index.rank), 0),
               out.dtype);
    AtenInto(out, "aten::scatter", "src_out", ToAten(in), dim, ToIndex(index), source);
    MarkScattered(out, dim, index);
  };
}

}  // namespace

ACLNN(Scatter, (const Tensor*, self), (int64_t, dim), (const Tensor*, index), (const Tensor*, src),
      (int64_t, reduction), (Tensor*, out)) {
  PlanScatter(plan, plan.Some(self, "self"), dim, plan.Get(index, "index"), plan.Some(src, "src"),
              reduction, plan.Some(out, "out"));
}
ACLNN(InplaceScatter, (Tensor*, self), (int64_t, dim), (const Tensor*, index), (const Tensor*, src),
      (int64_t, reduction)) {
  const View view = plan.Some(self, "self");
  PlanScatter(plan, view, dim, plan.Get(index, "index"), plan.Some(src, "src"), reduction, view);
}
ACLNN(ScatterValue, (const Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Scalar*, value), (int64_t, reduction), (Tensor*, out)) {
  PlanScatterValue(plan, plan.Some(self, "self"), dim, plan.Get(index, "index"),
                   plan.Required(value, "value"), reduction, plan.Some(out, "out"));
}
ACLNN(InplaceScatterValue, (Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Scalar*, value), (int64_t, reduction)) {
  const View view = plan.Some(self, "self");
  PlanScatterValue(plan, view, dim, plan.Get(index, "index"), plan.Required(value, "value"),
                   reduction, view);
}
ACLNN(ScatterAdd, (const Tensor*, self), (int64_t, dim), (const Tensor*, index),
      (const Tensor*, src), (Tensor*, out)) {
  PlanScatter(plan, plan.Some(self, "self"), dim, plan.Get(index, "index"), plan.Some(src, "src"),
              1, plan.Some(out, "out"));
}

ACLNN(Cat, (const TensorList*, tensors), (int64_t, dim), (Tensor*, out)) {
  const std::vector<View> parts = plan.Get(tensors, "tensors");
  const View result = plan.Out(out, "out");
  const int axis = Positive(result, dim);
  int64_t total = 0;
  std::vector<View> kept;
  for (const View& part : parts) {
    if (part.rank == 1 && part.Count() == 0) continue;  // an empty list element fits everywhere
    if (part.rank != result.rank) {
      throw Error(kAclnnInvalid, "a part is " + part.Text() + ", the result " + result.Text());
    }
    for (int d = 0; d < result.rank; ++d) {
      if (d != axis && part.Dim(d) != result.Dim(d)) {
        throw Error(kAclnnInvalid, "a part is " + part.Text() + ", the result " + result.Text());
      }
    }
    total += part.Dim(axis);
    kept.push_back(part);
  }
  if (total != result.Dim(axis)) {
    throw Error(kAclnnInvalid, Format("the parts have %lld elements in dimension %d, the result is "
                                      "%s",
                                      static_cast<long long>(total), axis, result.Text().c_str()));
  }
  plan.run = [=] {
    View target = result;
    for (const View& part : kept) {
      target.dims[static_cast<size_t>(axis)] = part.Dim(axis);
      CopyElements(target, part);
      target.offset += part.Dim(axis) * result.Stride(axis);
    }
  };
}

ACLNN(Stack, (const TensorList*, tensors), (int64_t, dim), (Tensor*, out)) {
  const std::vector<View> parts = plan.Get(tensors, "tensors");
  const View result = plan.Out(out, "out");
  plan.run = [=] { AtenInto(result, "aten::stack", "out", ToAten(parts), dim); };
}

ACLNN(Repeat, (const Tensor*, self), (const IntArray*, repeats), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  const std::vector<int64_t> times = plan.Required(repeats, "repeats").values;
  plan.run = [=] { CopyFromAten(result, Aten("aten::repeat", "", ToAten(in), times)[0]); };
}

namespace {

void PlanRepeatInterleave(Plan& plan, const View& in, const View& repeats,
                          std::optional<int64_t> dim, int64_t size, const View& out) {
  CheckIndexType(repeats, "repeats");
  plan.run = [=] {
    const AtenTensor result = Aten("aten::repeat_interleave", "self_Tensor", ToAten(in),
                                   ToIndex(repeats), dim, std::optional<int64_t>(size))[0];
    if (ShapeOf(result) != out.Shape()) {
      throw Error(kAicoreException,
                  "'repeats' does not add up to the size of 'out', " + out.Text());
    }
    CopyFromAten(out, result);
  };
}

void PlanRepeatInterleaveInt(Plan& plan, const View& in, int64_t repeats,
                             std::optional<int64_t> dim, int64_t size, const View& out) {
  plan.run = [=] {
    CopyFromAten(out, Aten("aten::repeat_interleave", "self_int", ToAten(in), repeats, dim,
                           std::optional<int64_t>(size))[0]);
  };
}

}  // namespace

ACLNN(RepeatInterleave, (const Tensor*, self), (const Tensor*, repeats), (int64_t, size),
      (Tensor*, out)) {
  PlanRepeatInterleave(plan, plan.Get(self, "self"), plan.Get(repeats, "repeats"), std::nullopt,
                       size, plan.Out(out, "out"));
}
ACLNN(RepeatInterleaveWithDim, (const Tensor*, self), (const Tensor*, repeats), (int64_t, dim),
      (int64_t, size), (Tensor*, out)) {
  PlanRepeatInterleave(plan, plan.Get(self, "self"), plan.Get(repeats, "repeats"), dim, size,
                       plan.Out(out, "out"));
}
ACLNN(RepeatInterleaveInt, (const Tensor*, self), (int64_t, repeats), (int64_t, size),
      (Tensor*, out)) {
  PlanRepeatInterleaveInt(plan, plan.Get(self, "self"), repeats, std::nullopt, size,
                          plan.Out(out, "out"));
}
ACLNN(RepeatInterleaveIntWithDim, (const Tensor*, self), (int64_t, repeats), (int64_t, dim),
      (int64_t, size), (Tensor*, out)) {
  PlanRepeatInterleaveInt(plan, plan.Get(self, "self"), repeats, dim, size, plan.Out(out, "out"));
}

// Positions of the non-zero elements: [count, rank], or for V2 [rank, count].
ACLNN(Nonzero, (const Tensor*, self), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View room = plan.Some(out, "out");
  plan.run = [=] { GiveFound(out, room, Aten("aten::nonzero", "", ToAten(in))[0]); };
}
ACLNN(NonzeroV2, (const Tensor*, self), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View room = plan.Some(out, "out");
  plan.run = [=] {
    GiveFound(out, room, Aten("aten::t", "", Aten("aten::nonzero", "", ToAten(in))[0])[0]);
  };
}
ACLNN(MaskedSelect, (const Tensor*, self), (const Tensor*, mask), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View chosen = plan.Get(mask, "mask");
  const View room = plan.Some(out, "out");
  plan.run = [=] {
    GiveFound(out, room, Aten("aten::masked_select", "", ToAten(in), ToAten(chosen))[0]);
  };
}

namespace {

// Results of the unique operators: values, the place of each element's value, and how often each
// value is there. Those that are not asked for are not written.
struct Distinct {
  Tensor* values;
  Tensor* inverse;
  Tensor* counts;
  bool wants_inverse;
  bool wants_counts;
};

// `find` gives the three of them.
void PlanDistinct(Plan& plan, const Distinct& out,
                  const std::function<std::vector<AtenTensor>()>& find) {
  const View values = plan.Some(out.values, "valueOut");
  const View inverse = out.wants_inverse ? plan.Some(out.inverse, "inverseOut") : View();
  const View counts = out.wants_counts ? plan.Some(out.counts, "countsOut") : View();
  for (const auto& [wanted, view, name] : {std::tuple(out.wants_inverse, &inverse, "inverseOut"),
                                           std::tuple(out.wants_counts, &counts, "countsOut")}) {
    if (wanted && view->dtype != DType::kInt64) {
      throw Error(kAclnnInvalid,
                  Format("'%s' is %s; it must be int64", name, view->Text().c_str()));
    }
  }
  plan.run = [=] {
    const std::vector<AtenTensor> found = find();
    GiveFound(out.values, values, found[0]);
    if (out.wants_inverse) GiveFound(out.inverse, inverse, found[1]);
    if (out.wants_counts) GiveFound(out.counts, counts, found[2]);
  };
}

// op-plugin's number for a dimension that is not given.
constexpr int64_t kNoDimension = 1000;

}  // namespace

// The values are in rising order, which the operators may give without `sorted`, too.
ACLNN(Unique, (const Tensor*, self), (bool, sorted), (bool, return_inverse), (Tensor*, values),
      (Tensor*, inverse)) {
  const View in = plan.Get(self, "self");
  PlanDistinct(plan, {values, inverse, nullptr, return_inverse, false}, [=] {
    return Aten<3>("aten::_unique2", "", ToAten(in), sorted, return_inverse, false);
  });
}
ACLNN(Unique2, (const Tensor*, self), (bool, sorted), (bool, return_inverse), (bool, return_counts),
      (Tensor*, values), (Tensor*, inverse), (Tensor*, counts)) {
  const View in = plan.Get(self, "self");
  PlanDistinct(plan, {values, inverse, counts, return_inverse, return_counts}, [=] {
    return Aten<3>("aten::_unique2", "", ToAten(in), sorted, return_inverse, return_counts);
  });
}
ACLNN(UniqueDim, (const Tensor*, self), (bool, sorted), (bool, return_inverse), (int64_t, dim),
      (Tensor*, values), (Tensor*, inverse), (Tensor*, counts)) {
  const View in = plan.Get(self, "self");
  const int64_t along = Positive(in, dim);
  PlanDistinct(plan, {values, inverse, counts, return_inverse, true}, [=] {
    return Aten<3>("aten::unique_dim", "", ToAten(in), along, sorted, return_inverse, true);
  });
}
ACLNN(UniqueConsecutive, (const Tensor*, self), (bool, return_inverse), (bool, return_counts),
      (int64_t, dim), (Tensor*, values), (Tensor*, inverse), (Tensor*, counts)) {
  const View in = plan.Get(self, "self");
  const std::optional<int64_t> along =
      dim == kNoDimension ? std::nullopt : std::optional<int64_t>(Positive(in, dim));
  PlanDistinct(plan, {values, inverse, counts, return_inverse, return_counts}, [=] {
    return Aten<3>("aten::unique_consecutive", "", ToAten(in), return_inverse, return_counts,
                   along);
  });
}

namespace {

void PlanTriangle(Plan& plan, const char* op, const View& in, int64_t diagonal, const View& out) {
  if (in.rank < 2) throw Error(kAclnnInvalid, "'self' is " + in.Text() + ", not a matrix");
  plan.run = [=] { CopyFromAten(out, Aten(op, "", ToAten(in), diagonal)[0]); };
}

}  // namespace

ACLNN(Triu, (const Tensor*, self), (int64_t, diagonal), (Tensor*, out)) {
  PlanTriangle(plan, "aten::triu", plan.Get(self, "self"), diagonal, plan.Out(out, "out"));
}
ACLNN(InplaceTriu, (Tensor*, self), (int64_t, diagonal)) {
  const View view = plan.InOut(self, "self");
  PlanTriangle(plan, "aten::triu", view, diagonal, view);
}
ACLNN(Tril, (const Tensor*, self), (int64_t, diagonal), (Tensor*, out)) {
  PlanTriangle(plan, "aten::tril", plan.Get(self, "self"), diagonal, plan.Out(out, "out"));
}
ACLNN(InplaceTril, (Tensor*, self), (int64_t, diagonal)) {
  const View view = plan.InOut(self, "self");
  PlanTriangle(plan, "aten::tril", view, diagonal, view);
}

ACLNN(Flip, (const Tensor*, self), (const IntArray*, dims), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  const std::vector<int64_t> axes = plan.Required(dims, "dims").values;
  plan.run = [=] { CopyFromAten(result, Aten("aten::flip", "", ToAten(in), axes)[0]); };
}

}  // namespace softnpu
