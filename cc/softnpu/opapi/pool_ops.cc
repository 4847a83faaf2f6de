// cc/softnpu/opapi/pool_ops.cc: the greatest value and the average of windows, and their gradients.
//
// A greatest value is moved; averages are computed in double precision and rounded once. Of equal
// values the first of a window is taken.
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

using Sizes = std::vector<int64_t>;

// A number for each of `dims` dimensions; one number stands for all.
Sizes PerDim(const Plan& plan, const IntArray* array, const char* name, size_t dims,
             int64_t least) {
  if (plan.Required(array, name).values.size() != 1) {
    return Numbers(plan, array, name, dims, least);
  }
  return Sizes(dims, Numbers(plan, array, name, 1, least)[0]);
}

// Windows of the last `kernel.size()` dimensions.
struct Windows {
  Sizes kernel, stride, padding;
};
Windows WindowsOf(const Plan& plan, const IntArray* kernel, const IntArray* stride,
                  const IntArray* padding, size_t dims) {
  Windows made{
      PerDim(plan, kernel, "kernelSize", dims, 1), {}, PerDim(plan, padding, "padding", dims, 0)};
  made.stride = plan.Required(stride, "stride").values.empty()
                    ? made.kernel
                    : PerDim(plan, stride, "stride", dims, 1);
  for (size_t i = 0; i < dims; ++i) {
    if (made.padding[i] > made.kernel[i] / 2) {
      throw Error(kAclnnInvalid, Format("'padding' has %lld; for a window of %lld it must be at "
                                        "most half of that",
                                        Long(made.padding[i]), Long(made.kernel[i])));
    }
  }
  return made;
}

void CheckDilation(const Plan& plan, const IntArray* dilation, size_t dims) {
  for (const int64_t value : PerDim(plan, dilation, "dilation", dims, 1)) {
    if (value != 1) {
      throw Error(kAclnnInvalid, Format("'dilation' has %lld; it must be 1", Long(value)));
    }
  }
}

View In(const Plan& plan, const Tensor* tensor, const char* name, size_t dims,
        uint32_t types = kFloats) {
  const int least = static_cast<int>(dims) + 1;
  return Checked(plan.Get(tensor, name), name, types, least, least + 1);
}
View Like(const Plan& plan, const Tensor* tensor, const char* name, const View& self) {
  const View view = plan.Out(tensor, name);
  CheckSameType(view, name, self, "self");
  return view;
}

// Windows as bits: byte row k of a picture's mask has a bit for each result, in order, which is 1
// where the result comes from place k of its window.
struct Mask {
  View view;
  int64_t pictures, places, row;  // rows count bytes
};
Mask MaskOf(const View& view, const View& self, const Windows& windows) {
  Mask made{Checked(view, "indices", Only(DType::kInt8), self.rank, self.rank), 1,
            windows.kernel[0] * windows.kernel[1], 0};
  for (int d = 0; d + 2 < self.rank; ++d) made.pictures *= self.Dim(d);
  bool fits = view.Dim(view.rank - 2) == made.places;
  for (int d = 0; d + 2 < self.rank; ++d) fits = fits && view.Dim(d) == self.Dim(d);
  if (!fits) {
    throw Error(kAclnnInvalid,
                Format("'indices' is %s; it must have the pictures of 'self', %s, and %lld rows",
                       view.Text().c_str(), self.Text().c_str(), Long(made.places)));
  }
  made.row = view.Dim(view.rank - 1);
  return made;
}

// Where a window's place lies in the picture, of a result at [y, x].
struct Geometry {
  Windows windows;
  int64_t width, out_height, out_width;

  int64_t results() const { return out_height * out_width; }
  int64_t Place(int64_t result, int64_t index) const {
    const int64_t y = index / width - Top(result);
    return y * windows.kernel[1] + index % width - Left(result);
  }
  int64_t Index(int64_t result, int64_t place) const {
    return (Top(result) + place / windows.kernel[1]) * width + Left(result) +
           place % windows.kernel[1];
  }
  int64_t Top(int64_t result) const {
    return result / out_width * windows.stride[0] - windows.padding[0];
  }
  int64_t Left(int64_t result) const {
    return result % out_width * windows.stride[1] - windows.padding[1];
  }
};

void CheckRoom(const Mask& mask, int64_t results) {
  if (mask.row * 8 < results) {
    throw Error(kAclnnInvalid,
                Format("'indices' is %s; its last dimension must have a bit for each of %lld "
                       "results",
                       mask.view.Text().c_str(), Long(results)));
  }
}

void WriteMask(const Mask& mask, const Geometry& geometry, const AtenTensor& indices) {
  const int64_t results = geometry.results();
  CheckRoom(mask, results);
  std::vector<uint8_t> bytes(static_cast<size_t>(mask.pictures * mask.places * mask.row));
  const auto* at = static_cast<const int64_t*>(indices.data_ptr());
  for (int64_t picture = 0; picture < mask.pictures; ++picture) {
    for (int64_t i = 0; i < results; ++i) {
      const int64_t place = geometry.Place(i, *at++);
      bytes[static_cast<size_t>((picture * mask.places + place) * mask.row + i / 8)] |=
          static_cast<uint8_t>(1 << i % 8);
    }
  }
  if (bytes.empty()) return;
  const AtenTensor flat =
      ToAten(bytes.data(), {static_cast<int64_t>(bytes.size())}, {1}, DType::kInt8);
  CopyFromAten(mask.view, Aten("aten::reshape", "", flat, mask.view.Shape())[0]);
}

std::vector<int64_t> ReadMask(const Mask& mask, const Geometry& geometry) {
  const int64_t results = geometry.results();
  CheckRoom(mask, results);
  const AtenTensor flat = Aten("aten::reshape", "", ToAten(mask.view), Sizes{-1})[0];
  const auto* bytes = static_cast<const uint8_t*>(flat.data_ptr());
  std::vector<int64_t> out;
  for (int64_t picture = 0; picture < mask.pictures; ++picture) {
    for (int64_t i = 0; i < results; ++i) {
      int64_t place = 0;
      while (place < mask.places &&
             (bytes[(picture * mask.places + place) * mask.row + i / 8] >> i % 8 & 1) == 0) {
        ++place;
      }
      if (place == mask.places) {
        throw Error(kAicoreException,
                    Format("'indices' has no place for result %lld of picture %lld", Long(i),
                           Long(picture)));
      }
      out.push_back(geometry.Index(i, place));
    }
  }
  return out;
}

// The results' last two dimensions.
Geometry GeometryOf(const Windows& windows, const View& self, const View& results) {
  return {windows, self.Dim(self.rank - 1), results.Dim(results.rank - 2),
          results.Dim(results.rank - 1)};
}

template <size_t Dims>
void PlanMaxPool(Plan& plan, const char* name, const Tensor* self, const IntArray* kernel,
                 const IntArray* stride, const IntArray* padding, const IntArray* dilation,
                 bool ceil_mode, const Tensor* out, const Tensor* indices) {
  const View in = In(plan, self, "self", Dims);
  const Windows windows = WindowsOf(plan, kernel, stride, padding, Dims);
  CheckDilation(plan, dilation, Dims);
  const View result = Like(plan, out, "out", in);
  const View where = Checked(plan.Out(indices, "indices"), "indices", kIndices);
  PlanWide<2>(plan, {result, where}, name, "", in, windows.kernel, windows.stride, windows.padding,
              Sizes(Dims, 1), ceil_mode);
}

template <size_t Dims>
void PlanMaxPoolBackward(Plan& plan, const char* name, const Tensor* grad, const Tensor* self,
                         const Tensor* indices, const IntArray* kernel, const IntArray* stride,
                         const IntArray* padding, const IntArray* dilation, bool ceil_mode,
                         const Tensor* out) {
  const View from = In(plan, grad, "gradOutput", Dims);
  const View in = In(plan, self, "self", Dims);
  const View where = Checked(plan.Get(indices, "indices"), "indices", kIndices);
  const Windows windows = WindowsOf(plan, kernel, stride, padding, Dims);
  CheckDilation(plan, dilation, Dims);
  const View result = Like(plan, out, "gradInput", in);
  CheckEqualShape(where, "indices", from, "gradOutput");
  PlanWide(plan, result, name, "", from, in, windows.kernel, windows.stride, windows.padding,
           Sizes(Dims, 1), ceil_mode, where);
}

}  // namespace

ACLNN(MaxPool2dWithIndices, (const Tensor*, self), (const IntArray*, kernel),
      (const IntArray*, stride), (const IntArray*, padding), (const IntArray*, dilation),
      (bool, ceil_mode), (Tensor*, out), (Tensor*, indices)) {
  PlanMaxPool<2>(plan, "aten::max_pool2d_with_indices", self, kernel, stride, padding, dilation,
                 ceil_mode, out, indices);
}
ACLNN(MaxPool3dWithArgmax, (const Tensor*, self), (const IntArray*, kernel),
      (const IntArray*, stride), (const IntArray*, padding), (const IntArray*, dilation),
      (bool, ceil_mode), (Tensor*, out), (Tensor*, indices)) {
  PlanMaxPool<3>(plan, "aten::max_pool3d_with_indices", self, kernel, stride, padding, dilation,
                 ceil_mode, out, indices);
}
ACLNN(MaxPool2dWithIndicesBackward, (const Tensor*, grad), (const Tensor*, self),
      (const Tensor*, indices), (const IntArray*, kernel), (const IntArray*, stride),
      (const IntArray*, padding), (const IntArray*, dilation), (bool, ceil_mode), (Tensor*, out)) {
  PlanMaxPoolBackward<2>(plan, "aten::max_pool2d_with_indices_backward", grad, self, indices,
                         kernel, stride, padding, dilation, ceil_mode, out);
}
ACLNN(MaxPool3dWithArgmaxBackward, (const Tensor*, grad), (const Tensor*, self),
      (const Tensor*, indices), (const IntArray*, kernel), (const IntArray*, stride),
      (const IntArray*, padding), (const IntArray*, dilation), (bool, ceil_mode), (Tensor*, out)) {
  PlanMaxPoolBackward<3>(plan, "aten::max_pool3d_with_indices_backward", grad, self, indices,
                         kernel, stride, padding, dilation, ceil_mode, out);
}

// The same as with indices, but that 'indices' is a mask of int8: rows for the places of a window.
ACLNN(MaxPool2dWithMask, (const Tensor*, self), (const IntArray*, kernel),
      (const IntArray*, stride), (const IntArray*, padding), (const IntArray*, dilation),
      (bool, ceil_mode), (Tensor*, out), (Tensor*, indices)) {
  const View in = In(plan, self, "self", 2);
  const Windows windows = WindowsOf(plan, kernel, stride, padding, 2);
  CheckDilation(plan, dilation, 2);
  const View result = Like(plan, out, "out", in);
  const Mask mask = MaskOf(plan.Out(indices, "indices"), in, windows);
  Checked(result, "out", kFloats, in.rank, in.rank);
  plan.run = [=] {
    const std::vector<AtenTensor> found =
        Aten<2>("aten::max_pool2d_with_indices", "", InDouble(in), windows.kernel, windows.stride,
                windows.padding, Sizes(2, 1), ceil_mode);
    Give(result, found[0]);
    WriteMask(mask, GeometryOf(windows, in, result), found[1]);
  };
}
ACLNN(MaxPool2dWithMaskBackward, (const Tensor*, grad), (const Tensor*, self),
      (const Tensor*, indices), (const IntArray*, kernel), (const IntArray*, stride),
      (const IntArray*, padding), (const IntArray*, dilation), (bool, ceil_mode), (Tensor*, out)) {
  const View from = In(plan, grad, "gradOutput", 2);
  const View in = In(plan, self, "self", 2);
  const Windows windows = WindowsOf(plan, kernel, stride, padding, 2);
  CheckDilation(plan, dilation, 2);
  const View result = Like(plan, out, "gradInput", in);
  const Mask mask = MaskOf(plan.Get(indices, "indices"), in, windows);
  Checked(from, "gradOutput", kFloats, in.rank, in.rank);
  plan.run = [=] {
    std::vector<int64_t> where = ReadMask(mask, GeometryOf(windows, in, from));
    const AtenTensor flat =
        ToAten(where.data(), {static_cast<int64_t>(where.size())}, {1}, DType::kInt64);
    Give(result, Aten("aten::max_pool2d_with_indices_backward", "", InDouble(from), InDouble(in),
                      windows.kernel, windows.stride, windows.padding, Sizes(2, 1), ceil_mode,
                      Aten("aten::reshape", "", flat, from.Shape())[0])[0]);
  };
}

ACLNN(AvgPool3d, (const Tensor*, self), (const IntArray*, kernel), (const IntArray*, stride),
      (const IntArray*, padding), (bool, ceil_mode), (bool, count_include_pad), (int64_t, divisor),
      (Tensor*, out)) {
  const View in = In(plan, self, "self", 3);
  const Windows windows = WindowsOf(plan, kernel, stride, padding, 3);
  PlanWide(plan, Like(plan, out, "out", in), "aten::avg_pool3d", "", in, windows.kernel,
           windows.stride, windows.padding, ceil_mode, count_include_pad,
           divisor == 0 ? std::nullopt : std::optional<int64_t>(divisor));
}
#define SOFTNPU_AVG_POOL_BACKWARD(NAME, ATEN, DIMS, ...)                                           \
  ACLNN(NAME, (const Tensor*, grad), (const Tensor*, self), (const IntArray*, kernel),             \
        (const IntArray*, stride), (const IntArray*, padding), (bool, ceil_mode),                  \
        (bool, count_include_pad), (int64_t, divisor), __VA_ARGS__ __VA_OPT__(, )(Tensor*, out)) { \
    const View from = In(plan, grad, "gradOutput", DIMS);                                          \
    const View in = In(plan, self, "self", DIMS);                                                  \
    const Windows windows = WindowsOf(plan, kernel, stride, padding, DIMS);                        \
    PlanWide(plan, Like(plan, out, "gradInput", in), ATEN, "", from, in, windows.kernel,           \
             windows.stride, windows.padding, ceil_mode, count_include_pad,                        \
             divisor == 0 ? std::nullopt : std::optional<int64_t>(divisor));                       \
  }
SOFTNPU_AVG_POOL_BACKWARD(AvgPool2dBackward, "aten::avg_pool2d_backward", 2,
                          (int8_t, cube_math_type))
SOFTNPU_AVG_POOL_BACKWARD(AvgPool3dBackward, "aten::avg_pool3d_backward", 3)

#define SOFTNPU_ADAPTIVE_MAX(NAME, ATEN, DIMS, INDEX)                                           \
  ACLNN(NAME, (const Tensor*, self), (const IntArray*, size), (Tensor*, out),                   \
        (Tensor*, indices)) {                                                                   \
    const View in = In(plan, self, "self", DIMS, kReals);                                       \
    PlanWide<2>(                                                                                \
        plan,                                                                                   \
        {Like(plan, out, "out", in), Checked(plan.Out(indices, "indices"), "indices", INDEX)},  \
        ATEN, "", in, Numbers(plan, size, "outputSize", DIMS, 1));                              \
  }                                                                                             \
  ACLNN(NAME##Backward, (const Tensor*, grad), (const Tensor*, self), (const Tensor*, indices), \
        (Tensor*, out)) {                                                                       \
    const View in = In(plan, self, "self", DIMS, kReals);                                       \
    PlanWide(plan, Like(plan, out, "gradInput", in), ATEN "_backward", "",                      \
             In(plan, grad, "gradOutput", DIMS, kReals), in,                                    \
             Checked(plan.Get(indices, "indices"), "indices", kIndices));                       \
  }
SOFTNPU_ADAPTIVE_MAX(AdaptiveMaxPool2d, "aten::adaptive_max_pool2d", 2, Only(DType::kInt64))
SOFTNPU_ADAPTIVE_MAX(AdaptiveMaxPool3d, "aten::adaptive_max_pool3d", 3, kIndices)

ACLNN(AdaptiveAvgPool3d, (const Tensor*, self), (const IntArray*, size), (Tensor*, out)) {
  const View in = In(plan, self, "self", 3);
  PlanWide(plan, Like(plan, out, "out", in), "aten::_adaptive_avg_pool3d", "", in,
           Numbers(plan, size, "outputSize", 3, 1));
}
#define SOFTNPU_ADAPTIVE_AVG_BACKWARD(NAME, ATEN, DIMS)                                           \
  ACLNN(NAME, (const Tensor*, grad), (const Tensor*, self), (Tensor*, out)) {                     \
    const View in = In(plan, self, "self", DIMS);                                                 \
    PlanWide(plan, Like(plan, out, "out", in), ATEN, "", In(plan, grad, "gradOutput", DIMS), in); \
  }
SOFTNPU_ADAPTIVE_AVG_BACKWARD(AdaptiveAvgPool2dBackward, "aten::_adaptive_avg_pool2d_backward", 2)
SOFTNPU_ADAPTIVE_AVG_BACKWARD(AdaptiveAvgPool3dBackward, "aten::_adaptive_avg_pool3d_backward", 3)

}  // namespace softnpu
