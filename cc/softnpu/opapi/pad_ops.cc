// cc/softnpu/opapi/pad_ops.cc: borders that repeat or mirror what lies inside of them, and their
// gradients.
//
// A border moves elements, so all dtypes do; gradients are sums in double precision, rounded once.
#include <algorithm>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

enum class Border { kMirror, kRepeat };

// Which element of `size` stands at each place of a dimension with a border of `before` and `after`
// elements. Negative numbers cut elements off.
std::vector<int64_t> Places(Border border, int64_t size, int64_t before, int64_t after) {
  std::vector<int64_t> out;
  for (int64_t i = -before; i < size + after; ++i) {
    if (border == Border::kRepeat) {
      out.push_back(std::clamp(i, int64_t{0}, size - 1));
    } else {
      out.push_back(i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i);
    }
  }
  return out;
}

// `self` of one or two dimensions more than have a border, and two numbers for each of those, the
// last dimension first. Throws Error 161002.
struct Padded {
  View self;
  std::vector<int64_t> padding;
  std::vector<int64_t> shape;
};
Padded PaddedOf(const Plan& plan, const Tensor* self, const IntArray* padding, Border border,
                int dims, uint32_t types) {
  Padded made{Checked(plan.Get(self, "self"), "self", types, dims + 1, dims + 2),
              Numbers(plan, padding, "padding", static_cast<size_t>(dims) * 2, INT64_MIN),
              {}};
  made.shape = made.self.Shape();
  for (int i = 0; i < dims; ++i) {
    const auto at = static_cast<size_t>(made.self.rank - 1 - i);
    const int64_t size = made.shape[at];
    for (size_t side = 0; side < 2; ++side) {
      const int64_t most = made.padding[static_cast<size_t>(i) * 2 + side];
      if (border == Border::kMirror && most >= size) {
        throw Error(kAclnnInvalid, Format("'padding' has %lld for dimension %zu of %s; a mirror's "
                                          "border must be smaller than that dimension",
                                          Long(most), at, made.self.Text().c_str()));
      }
      made.shape[at] += most;
    }
    if (size == 0 || made.shape[at] < 1) {
      throw Error(kAclnnInvalid,
                  Format("dimension %zu of %s has %lld elements with its border; it must have at "
                         "least 1, and at least 1 without",
                         at, made.self.Text().c_str(), Long(made.shape[at])));
    }
  }
  return made;
}

void CheckPadded(const View& view, const char* name, const Padded& given) {
  CheckSameType(view, name, given.self, "self");
  if (view.Shape() != given.shape) {
    throw Error(kAclnnInvalid, Format("'%s' is %s, the result is %s", name, view.Text().c_str(),
                                      Reshaped(view, given.shape).Text().c_str()));
  }
}

void PlanPad(Plan& plan, Border border, int dims, const Tensor* self, const IntArray* padding,
             const Tensor* out) {
  const Padded given = PaddedOf(plan, self, padding, border, dims, kAnyType);
  const View result = plan.Out(out, "out");
  CheckPadded(result, "out", given);
  plan.run = [=] {
    if (result.Count() == 0) return;
    AtenTensor found = ToAten(given.self);
    for (int i = 0; i < dims; ++i) {
      const int64_t dim = given.self.rank - 1 - i;
      const auto pair = static_cast<size_t>(i) * 2;
      std::vector<int64_t> places = Places(border, given.self.Dim(static_cast<int>(dim)),
                                           given.padding[pair], given.padding[pair + 1]);
      const AtenTensor index =
          ToAten(places.data(), {static_cast<int64_t>(places.size())}, {1}, DType::kInt64);
      found = Aten("aten::index_select", "", found, dim, index)[0];
    }
    CopyFromAten(result, found);
  };
}

void PlanPadBackward(Plan& plan, const char* name, Border border, int dims, const Tensor* grad,
                     const Tensor* self, const IntArray* padding, const Tensor* out) {
  const Padded given = PaddedOf(plan, self, padding, border, dims, kReals);
  const View from = plan.Get(grad, "gradOutput");
  CheckPadded(from, "gradOutput", given);
  const View result = Checked(plan.Out(out, "gradInput"), "gradInput", kReals);
  CheckSameType(result, "gradInput", given.self, "self");
  CheckEqualShape(result, "gradInput", given.self, "self");
  PlanWide(plan, result, name, "", from, given.self, given.padding);
}

}  // namespace

#define SOFTNPU_PAD(NAME, ATEN, BORDER, DIMS)                                                     \
  ACLNN(NAME, (const Tensor*, self), (const IntArray*, padding), (Tensor*, out)) {                \
    PlanPad(plan, BORDER, DIMS, self, padding, out);                                              \
  }                                                                                               \
  ACLNN(NAME##Backward, (const Tensor*, grad), (const Tensor*, self), (const IntArray*, padding), \
        (Tensor*, out)) {                                                                         \
    PlanPadBackward(plan, ATEN "_backward", BORDER, DIMS, grad, self, padding, out);              \
  }
SOFTNPU_PAD(ReflectionPad1d, "aten::reflection_pad1d", Border::kMirror, 1)
SOFTNPU_PAD(ReflectionPad2d, "aten::reflection_pad2d", Border::kMirror, 2)
SOFTNPU_PAD(ReflectionPad3d, "aten::reflection_pad3d", Border::kMirror, 3)
SOFTNPU_PAD(ReplicationPad1d, "aten::replication_pad1d", Border::kRepeat, 1)
SOFTNPU_PAD(ReplicationPad2d, "aten::replication_pad2d", Border::kRepeat, 2)
SOFTNPU_PAD(ReplicationPad3d, "aten::replication_pad3d", Border::kRepeat, 3)

}  // namespace softnpu
