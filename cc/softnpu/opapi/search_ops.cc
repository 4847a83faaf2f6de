// cc/softnpu/opapi/search_ops.cc: places of values among sorted ones.
#include <optional>

#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {
namespace {

// float32, float16, bfloat16 or an integer of any size, equal on both sides.
void CheckValues(const View& sorted, const char* name, const View& values) {
  if (sorted.dtype == DType::kBool || sorted.dtype == DType::kDouble ||
      sorted.dtype != values.dtype) {
    throw Error(kAclnnInvalid,
                Format("'%s' is %s, and 'self' %s; both must have one dtype of numbers", name,
                       sorted.Text().c_str(), values.Text().c_str()));
  }
}

void CheckPlaces(const View& out, bool int32) {
  if (out.dtype != (int32 ? DType::kInt32 : DType::kInt64)) {
    throw Error(kAclnnInvalid, Format("'out' is %s; 'outInt32' is %s", out.Text().c_str(),
                                      int32 ? "true" : "false"));
  }
}

}  // namespace

ACLNN(SearchSorted, (const Tensor*, sorted_sequence), (const Tensor*, self), (bool, out_int32),
      (bool, right), (const Tensor*, sorter), (Tensor*, out)) {
  const View sorted = plan.Get(sorted_sequence, "sortedSequence");
  const View values = plan.Get(self, "self");
  const std::optional<View> order =
      sorter == nullptr ? std::nullopt : std::optional<View>(plan.Get(sorter, "sorter"));
  const View result = plan.Out(out, "out");
  CheckValues(sorted, "sortedSequence", values);
  CheckPlaces(result, out_int32);
  if (order && order->dtype != DType::kInt64) {
    throw Error(kAclnnInvalid, "'sorter' is " + order->Text() + "; it must be int64");
  }
  plan.run = [=] {
    const std::optional<AtenTensor> places =
        order ? std::optional<AtenTensor>(ToAten(*order)) : std::nullopt;
    const AtenTensor found = Aten("aten::searchsorted", "Tensor", ToAten(sorted), ToAten(values),
                                  out_int32, right, std::nullopt, places)[0];
    CheckShape(result, found);
    CopyFromAten(result, found);
  };
}
// The places of one number, which is rounded to the type of the sequence.
ACLNN(SearchSorteds, (const Tensor*, sorted_sequence), (const Scalar*, self), (bool, out_int32),
      (bool, right), (const Tensor*, sorter), (Tensor*, out)) {
  const View sorted = plan.Get(sorted_sequence, "sortedSequence");
  const Scalar value = plan.Required(self, "self");
  const std::optional<View> order =
      sorter == nullptr ? std::nullopt : std::optional<View>(plan.Get(sorter, "sorter"));
  const View result = plan.Out(out, "out");
  CheckValues(sorted, "sortedSequence", sorted);
  CheckPlaces(result, out_int32);
  if (sorted.rank != 1) {
    throw Error(kAclnnInvalid, "'sortedSequence' is " + sorted.Text() +
                                   "; for one number it must have 1 "
                                   "dimension");
  }
  if (order && order->dtype != DType::kInt64) {
    throw Error(kAclnnInvalid, "'sorter' is " + order->Text() + "; it must be int64");
  }
  if (value.floating() && !IsFloating(sorted.dtype)) {
    throw Error(kAclnnInvalid,
                Format("'self' is %g; in a 'sortedSequence' of %s it must be a whole number",
                       value.real, sorted.Text().c_str()));
  }
  plan.run = [=] {
    const std::optional<AtenTensor> places =
        order ? std::optional<AtenTensor>(ToAten(*order)) : std::nullopt;
    alignas(double) std::byte bytes[sizeof(double)];
    IsFloating(sorted.dtype) ? StoreElements(sorted.dtype, bytes, 1, 1, &value.real)
                             : StoreElements(sorted.dtype, bytes, 1, 1, &value.integer);
    const AtenTensor found =
        Aten("aten::searchsorted", "Tensor", ToAten(sorted), ToAten(bytes, {}, {}, sorted.dtype),
             out_int32, right, std::nullopt, places)[0];
    CheckShape(result, found);
    CopyFromAten(result, found);
  };
}
ACLNN(Bucketize, (const Tensor*, self), (const Tensor*, boundaries), (bool, out_int32),
      (bool, right), (Tensor*, out)) {
  const View values = plan.Get(self, "self");
  const View sorted = plan.Get(boundaries, "boundaries");
  const View result = plan.Out(out, "out");
  CheckValues(sorted, "boundaries", values);
  CheckPlaces(result, out_int32);
  if (sorted.rank != 1) {
    throw Error(kAclnnInvalid, "'boundaries' is " + sorted.Text() + "; it must have 1 dimension");
  }
  plan.run = [=] {
    const AtenTensor found =
        Aten("aten::bucketize", "Tensor", ToAten(values), ToAten(sorted), out_int32, right)[0];
    CheckShape(result, found);
    CopyFromAten(result, found);
  };
}

namespace {

// Whether two numbers are equal, as whole numbers where both are.
bool Equal(const Scalar& a, const Scalar& b) {
  return a.floating() || b.floating() ? a.real == b.real : a.integer == b.integer;
}

void CheckTruth(const View& out) {
  if (out.dtype != DType::kBool) {
    throw Error(kAclnnInvalid, "'out' is " + out.Text() + "; it must be bool");
  }
}

// out = whether an element of the view equals the number, or with `invert` whether it does not.
void Compare(const View& out, const View& view, const Scalar& number, bool invert) {
  if (IsFloating(view.dtype) || number.floating()) {
    Map<double, 1>(out, {view}, [&](double x) { return (x == number.real) != invert ? 1.0 : 0.0; });
  } else {
    Map<int64_t, 1>(out, {view},
                    [&](int64_t x) { return int64_t{(x == number.integer) != invert}; });
  }
}

}  // namespace

// Whether elements are the number. 'assumeUnique' chooses among strategies of the chip.
ACLNN(IsInTensorScalar, (const Tensor*, element), (const Scalar*, test_element),
      (bool, assume_unique), (bool, invert), (Tensor*, out)) {
  const View view = plan.Get(element, "element");
  const Scalar number = plan.Required(test_element, "testElement");
  const View result = plan.Out(out, "out");
  CheckTruth(result);
  Expanded(view, result, "'element'");
  plan.run = [=] { Compare(result, view, number, invert); };
}
// Whether the number is among elements.
ACLNN(IsInScalarTensor, (const Scalar*, element), (const Tensor*, test_elements),
      (bool, assume_unique), (bool, invert), (Tensor*, out)) {
  const Scalar number = plan.Required(element, "element");
  const View view = plan.Get(test_elements, "testElements");
  const View result = plan.Out(out, "out");
  CheckTruth(result);
  if (result.Count() != 1) {
    throw Error(kAclnnInvalid, "'out' is " + result.Text() + "; it must have one element");
  }
  plan.run = [=] {
    bool found = false;
    ForEachRun<1>({view}, [&](const auto& base, const auto& strides, int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        const std::byte* const at = base[0] + i * strides[0] * Size(view.dtype);
        Scalar each{view.dtype, 0, 0};
        LoadElements(view.dtype, at, 1, 1, &each.real);
        LoadElements(view.dtype, at, 1, 1, &each.integer);
        found |= Equal(each, number);
      }
    });
    Map<int64_t, 0>(result, {}, [&] { return int64_t{found != invert}; });
  };
}

}  // namespace softnpu
