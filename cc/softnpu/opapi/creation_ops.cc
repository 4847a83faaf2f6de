// cc/softnpu/opapi/creation_ops.cc: tensors whose elements follow from their places, and padding.
#include <cmath>

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

// `base` to the power of numbers with equal distances.
ACLNN(LogSpace, (const Scalar*, start), (const Scalar*, end), (int64_t, steps), (double, base),
      (Tensor*, out)) {
  const double first = plan.Required(start, "start").real;
  const double last = plan.Required(end, "end").real;
  const View view = plan.Out(out, "result");
  if (steps < 0 || view.Count() != steps) {
    throw Error(kAclnnInvalid,
                Format("'steps' is %lld, 'result' is %s", Long(steps), view.Text().c_str()));
  }
  plan.run = [=] {
    const double step = steps > 1 ? (last - first) / static_cast<double>(steps - 1) : 0.0;
    int64_t i = 0;
    Map<double, 0>(view, {}, [&] {
      const int64_t at = i++;
      return std::pow(base, at < (steps + 1) / 2
                                ? first + step * static_cast<double>(at)
                                : last - step * static_cast<double>(steps - 1 - at));
    });
  };
}
// As Arange, but that the end belongs to it.
ACLNN(Range, (const Scalar*, start), (const Scalar*, end), (const Scalar*, step), (Tensor*, out)) {
  const double first = plan.Required(start, "start").real;
  const double last = plan.Required(end, "end").real;
  const double stride = plan.Required(step, "step").real;
  const View view = plan.Out(out, "out");
  if (stride == 0 || (last - first) / stride < 0) {
    throw Error(kAclnnInvalid, Format("'step' is %g; it must lead from 'start', %g, to 'end', %g",
                                      stride, first, last));
  }
  const auto count = static_cast<int64_t>((last - first) / stride) + 1;
  if (view.rank != 1 || view.Count() != count) {
    throw Error(kAclnnInvalid, Format("'out' is %s; it must have %lld elements in 1 dimension",
                                      view.Text().c_str(), Long(count)));
  }
  plan.run = [=] {
    int64_t i = 0;
    Map<double, 0>(view, {}, [&] { return first + stride * static_cast<double>(i++); });
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

// Dimension `dim` of each tensor in `num_chunks` chunks, the last ones padded with zeros. What a
// chunk has of all tensors lies side by side in the last dimension of `out`: [sizes before `dim`,
// num_chunks, elements]. `out` may have another dtype. Unwritten elements stay so.
ACLNN(ChunkCat, (const TensorList*, tensors), (int64_t, dim), (int64_t, num_chunks),
      (Tensor*, out)) {
  const std::vector<View> ins = plan.Some(tensors, "tensors");
  const View result = plan.Some(out, "out");
  if (ins.empty()) throw Error(kAclnnInvalid, "'tensors' is empty");
  if (num_chunks < 1) {
    throw Error(kAclnnInvalid, Format("'num_chunks' is %lld", Long(num_chunks)));
  }
  const auto axis = static_cast<int>(dim);
  std::vector<int64_t> wanted;
  int64_t elements = 0;
  std::vector<int64_t> places;
  for (const View& in : ins) {
    if (dim < 0 || dim >= in.rank) {
      throw Error(kAclnnInvalid, Format("'dim' is %lld for %s", Long(dim), in.Text().c_str()));
    }
    const std::vector<int64_t> shape = in.Shape();
    const std::vector<int64_t> before(shape.begin(), shape.begin() + axis);
    if (places.empty()) wanted = before;
    if (wanted != before) {
      throw Error(kAclnnInvalid, Format("'tensors' has %s and %s, which differ before dimension %d",
                                        ins[0].Text().c_str(), in.Text().c_str(), axis));
    }
    places.push_back(elements);
    int64_t chunk = (in.Dim(axis) + num_chunks - 1) / num_chunks;
    for (int d = axis + 1; d < in.rank; ++d) chunk *= in.Dim(d);
    elements += chunk;
  }
  wanted.insert(wanted.end(), {num_chunks, elements});
  if (result.Shape() != wanted) {
    View right = result;
    right.rank = static_cast<int>(wanted.size());
    std::copy(wanted.begin(), wanted.end(), right.dims.begin());
    throw Error(kAclnnInvalid, "'out' is " + result.Text() + ", the result is " + right.Text());
  }
  plan.run = [=] {
    FillElements(result, {DType::kInt64, 0, 0});
    result.MarkWritten();
    for (size_t i = 0; i < ins.size(); ++i) {
      const int64_t size = ins[i].Dim(axis);
      const int64_t step = (size + num_chunks - 1) / num_chunks;
      for (int64_t chunk = 0; chunk * step < size; ++chunk) {
        const int64_t count = std::min(step, size - chunk * step);
        const View from = Narrowed(ins[i], axis, chunk * step, count);
        View to = from;
        to.data = result.data;
        to.dtype = result.dtype;
        to.offset =
            result.offset + chunk * result.Stride(axis) + places[i] * result.Stride(axis + 1);
        int64_t stride = result.Stride(axis + 1);
        for (int d = to.rank - 1; d >= 0; --d) {
          to.strides[static_cast<size_t>(d)] = d < axis ? result.Stride(d) : stride;
          stride *= d < axis ? 1 : to.Dim(d);
        }
        CopyElements(to, from);
        CopyWritten(to, from);
      }
    }
  };
}

}  // namespace softnpu
