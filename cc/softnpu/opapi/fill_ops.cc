// cc/softnpu/opapi/fill_ops.cc: diagonals that are filled, and rows with one value that differs.
#include <algorithm>
#include <cmath>
#include <string>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// Throws Error 161002 where the number has no finite value in the dtype.
void CheckFits(const Scalar& value, const View& view) {
  double most = 0;
  switch (view.dtype) {
    case DType::kHalf:
      most = 65504;
      break;
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
    case DType::kInt64:
      most = std::ldexp(1.0, static_cast<int>(Size(view.dtype)) * 8 - 1);
      break;
    case DType::kUint8:
      most = 256;
      break;
    default:
      return;
  }
  const bool whole = !IsFloating(view.dtype);
  const double least = view.dtype == DType::kUint8 ? 0 : -most;
  const double number = value.real;
  if ((whole && number != number) || number < least || (whole ? number >= most : number > most)) {
    if (!whole && std::isinf(number)) return;
    throw Error(kAclnnInvalid, Format("'fillValue' is %g, which 'selfRef', %s, cannot hold", number,
                                      view.Text().c_str()));
  }
}

// `count` elements of a diagonal, beginning in `row` of the first column.
View Diagonal(const View& view, int64_t row, int64_t count) {
  View out = view;
  out.rank = 1;
  out.dims[0] = count;
  out.strides[0] = 0;
  for (int d = 0; d < view.rank; ++d) out.strides[0] += view.Stride(d);
  out.offset += row * view.Stride(0);
  return out;
}

}  // namespace

// With `wrap`, the diagonal of a matrix that has more rows than columns begins anew below each
// square, one row further down.
ACLNN(InplaceFillDiagonal, (Tensor*, self), (const Scalar*, value), (bool, wrap)) {
  const View view = Checked(plan.Some(self, "selfRef"), "selfRef", kAnyType, 2);
  const Scalar filling = plan.Required(value, "fillValue");
  for (int d = 1; view.rank > 2 && d < view.rank; ++d) {
    if (view.Dim(d) != view.Dim(0)) {
      throw Error(kAclnnInvalid, "'selfRef' is " + view.Text() +
                                     "; its dimensions must be equal where it has more than 2");
    }
  }
  CheckFits(filling, view);
  plan.run = [=] {
    if (view.Count() == 0) return;
    const int64_t columns = view.Dim(1);
    for (int64_t row = 0; row < view.Dim(0); row += columns + 1) {
      const View part = Diagonal(view, row, std::min(columns, view.Dim(0) - row));
      FillElements(part, filling);
      part.MarkWritten();
      if (!wrap || view.rank > 2) break;
    }
  };
}

// `onValue` at the class of each element of `self`, `offValue` at all others; a class outside of
// [0, numClasses) is nowhere. The classes are dimension `axis` of the result, -1 the last.
ACLNN(OneHot, (const Tensor*, self), (int, classes), (const Tensor*, on_value),
      (const Tensor*, off_value), (int64_t, axis), (Tensor*, out)) {
  constexpr uint32_t kValues = Only(DType::kFloat) | Only(DType::kHalf) | Only(DType::kInt32) |
                               Only(DType::kInt64) | Only(DType::kInt8) | Only(DType::kUint8);
  const View in = Checked(plan.Get(self, "self"), "self", kIndices | Only(DType::kUint8), 0, 7);
  const View on = Checked(plan.Get(on_value, "onValue"), "onValue", kValues);
  const View off = Checked(plan.Get(off_value, "offValue"), "offValue", kValues);
  const View result = Checked(plan.Out(out, "out"), "out", kValues);
  for (const auto& [view, name] : {std::pair(&on, "onValue"), std::pair(&off, "offValue")}) {
    CheckSameType(*view, name, result, "out");
    if (view->Count() == 0) {
      throw Error(kAclnnInvalid,
                  Format("'%s' is %s; it must hold a value", name, view->Text().c_str()));
    }
  }
  const int least = in.Count() == 0 ? 1 : 0;
  if (classes < least) {
    throw Error(kAclnnInvalid, Format("'numClasses' is %d; with a 'self' of %s it must be at least "
                                      "%d",
                                      classes, in.Text().c_str(), least));
  }
  if (axis < -1 || axis > in.rank) {
    throw Error(kAclnnInvalid, Format("'axis' is %lld; for a 'self' of %s it must be -1 to %d",
                                      Long(axis), in.Text().c_str(), in.rank));
  }
  const int at = axis < 0 ? in.rank : static_cast<int>(axis);
  std::vector<int64_t> shape = in.Shape();
  shape.insert(shape.begin() + at, classes);
  if (result.Shape() != shape) {
    throw Error(kAclnnInvalid,
                "'out' is " + result.Text() + ", the result is " + Reshaped(result, shape).Text());
  }
  plan.run = [=] {
    int64_t values[2];
    double numbers[2];
    for (int i = 0; i < 2; ++i) {
      const View& from = i == 0 ? off : on;
      LoadElements(from.dtype, from.Host(), 1, 1, &values[i]);
      LoadElements(from.dtype, from.Host(), 1, 1, &numbers[i]);
    }
    for (int64_t c = 0; c < classes; ++c) {
      View slice = Narrowed(result, at, c, 1);
      for (int d = at; d + 1 < result.rank; ++d) {
        slice.dims[static_cast<size_t>(d)] = slice.dims[static_cast<size_t>(d) + 1];
        slice.strides[static_cast<size_t>(d)] = slice.strides[static_cast<size_t>(d) + 1];
      }
      --slice.rank;
      // Classes are compared as whole numbers; the value of the result is rounded by its store.
      if (IsFloating(result.dtype)) {
        Map<double, 1>(slice, {in},
                       [&](double of) { return numbers[of == static_cast<double>(c) ? 1 : 0]; });
      } else {
        Map<int64_t, 1>(slice, {in}, [&](int64_t of) { return values[of == c ? 1 : 0]; });
      }
    }
  };
}

}  // namespace softnpu
