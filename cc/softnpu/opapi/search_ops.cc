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

}  // namespace softnpu
