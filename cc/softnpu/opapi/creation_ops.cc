// cc/softnpu/opapi/creation_ops.cc: tensors whose elements follow from their places, and padding.
#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {

ACLNN(Arange, (const Scalar*, start), (const Scalar*, end), (const Scalar*, step), (Tensor*, out)) {
  const Scalar first = plan.Required(start, "start");
  const Scalar stride = plan.Required(step, "step");
  plan.Required(end, "end");
  const View view = plan.Out(out, "out");
  if (stride.real == 0) throw Error(kAclnnInvalid, "'step' is 0");
  const bool whole = !first.floating() && !stride.floating() && !IsFloating(view.dtype);
  plan.run = [view, first, stride, whole] {
    int64_t i = 0;
    if (whole) {
      Map<int64_t, 0>(view, {}, [&] { return first.integer + stride.integer * i++; });
    } else {
      Map<double, 0>(view, {}, [&] { return first.real + stride.real * static_cast<double>(i++); });
    }
  };
}

// The halves count from their own end, so that both ends are met exactly.
ACLNN(Linspace, (const Scalar*, start), (const Scalar*, end), (int64_t, steps), (Tensor*, out)) {
  const double first = plan.Required(start, "start").real;
  const double last = plan.Required(end, "end").real;
  const View view = plan.Out(out, "out");
  if (steps < 0 || view.Count() != steps) {
    throw Error(kAclnnInvalid,
                Format("'steps' is %lld, 'out' is %s", Long(steps), view.Text().c_str()));
  }
  plan.run = [=] {
    const double step = steps > 1 ? (last - first) / static_cast<double>(steps - 1) : 0.0;
    int64_t i = 0;
    Map<double, 0>(view, {}, [&] {
      const int64_t at = i++;
      return at < (steps + 1) / 2 ? first + step * static_cast<double>(at)
                                  : last - step * static_cast<double>(steps - 1 - at);
    });
  };
}

// Ones on the diagonal, zeros elsewhere.
ACLNN(Eye, (int64_t, n), (int64_t, m), (Tensor*, out)) {
  const View view = plan.Out(out, "out");
  if (view.dtype == DType::kDouble || view.rank != 2 || view.Dim(0) != n || view.Dim(1) != m) {
    throw Error(
        kAclnnInvalid,
        "'out' is " + view.Text() +
            Format(", it must have the dimensions %lld and %lld and no float64", Long(n), Long(m)));
  }
  plan.run = [=] {
    int64_t i = 0;
    Map<float, 0>(view, {}, [&] {
      const int64_t at = i++;
      return at / m == at % m ? 1.0F : 0.0F;
    });
  };
}

// `pad` has two counts for each dimension from the last one on: before it, and behind it. Negative
// counts cut elements off. What nobody has written may be padded, and stays unwritten: torch_npu
// pads buffers that only get their values later.
ACLNN(ConstantPadNd, (const Tensor*, self), (const IntArray*, pad), (const Scalar*, value),
      (Tensor*, out)) {
  const View in = plan.Some(self, "self");
  const View result = plan.Some(out, "out");
  const std::vector<int64_t>& counts = plan.Required(pad, "pad").values;
  const Scalar fill = plan.Required(value, "value");
  if (counts.size() % 2 != 0 || counts.size() > 2 * static_cast<size_t>(in.rank)) {
    throw Error(kAclnnInvalid, Format("'pad' has %zu counts for %s; it takes two for a dimension",
                                      counts.size(), in.Text().c_str()));
  }
  if (result.dtype != in.dtype || result.rank != in.rank) {
    throw Error(kAclnnInvalid, "'out' is " + result.Text() + ", 'self' is " + in.Text());
  }
  View from = in;
  View to = result;
  for (size_t i = 0; i < counts.size() / 2; ++i) {
    const int dim = in.rank - 1 - static_cast<int>(i);
    const int64_t before = counts[2 * i];
    const int64_t behind = counts[2 * i + 1];
    const int64_t kept = in.Dim(dim) + std::min<int64_t>(before, 0) + std::min<int64_t>(behind, 0);
    if (kept < 0) {
      throw Error(kAclnnInvalid, Format("'pad' takes %lld and %lld off dimension %d of %s",
                                        Long(-before), Long(-behind), dim, in.Text().c_str()));
    }
    from = Narrowed(from, dim, std::max<int64_t>(-before, 0), kept);
    to = Narrowed(to, dim, std::max<int64_t>(before, 0), kept);
    if (result.Dim(dim) != in.Dim(dim) + before + behind) {
      throw Error(kAclnnInvalid,
                  Format("'out' is %s, dimension %d of the result has %lld", result.Text().c_str(),
                         dim, Long(in.Dim(dim) + before + behind)));
    }
  }
  for (int dim = 0; dim < in.rank - static_cast<int>(counts.size() / 2); ++dim) {
    if (result.Dim(dim) != in.Dim(dim)) {
      throw Error(kAclnnInvalid, "'out' is " + result.Text() + ", 'self' is " + in.Text());
    }
  }
  plan.run = [=] {
    FillElements(result, fill);
    result.MarkWritten();
    CopyElements(to, from);
    CopyWritten(to, from);
  };
}

}  // namespace softnpu
