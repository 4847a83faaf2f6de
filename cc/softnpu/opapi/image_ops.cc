// cc/softnpu/opapi/image_ops.cc: what slides a window over pictures, or gives them another size.
//
// Computed in double precision and rounded once.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// float32, float16 or bfloat16, of `least` to `most` dimensions.
void CheckPicture(const View& view, const char* name, int least, int most) {
  const bool known =
      view.dtype == DType::kFloat || view.dtype == DType::kHalf || view.dtype == DType::kBfloat16;
  if (!known || view.rank < least || view.rank > most) {
    throw Error(kAclnnInvalid,
                Format("'%s' is %s; it must be float32, float16 or bfloat16 of %d to %d dimensions",
                       name, view.Text().c_str(), least, most));
  }
}

void CheckSame(const View& out, const View& self) {
  if (out.dtype != self.dtype) {
    throw Error(kAclnnInvalid, "'out' is " + out.Text() + ", and 'self' " + self.Text());
  }
}

void CheckCubeMathType(int8_t type) {
  if (type < 0 || type > 3) {
    throw Error(kAclnnInvalid, Format("'cubeMathType' is %d; it must be 0, 1, 2 or 3", type));
  }
}

void CheckChoice(int64_t value, const char* name) {
  if (value < 0 || value > 2) {
    throw Error(kAclnnInvalid,
                Format("'%s' is %lld; it must be 0, 1 or 2", name, static_cast<long long>(value)));
  }
}

// 0 stands for the ratio of the sizes.
std::optional<double> Scale(double value, const char* name) {
  if (!std::isfinite(value) || value < 0) {
    throw Error(kAclnnInvalid, Format("'%s' is %g; it must be 0 or more", name, value));
  }
  return value > 0 ? std::optional<double>(value) : std::nullopt;
}

struct Resize {
  View self, out;
  std::vector<int64_t> size;
  std::optional<double> height, width;  // scales
};

// 'out' is `self` with height and width of 'outputSize'.
Resize PlanResize(Plan& plan, const Tensor* self, const IntArray* size, double scale_h,
                  double scale_w, Tensor* out) {
  Resize made{plan.Get(self, "self"), plan.Out(out, "out"), Numbers(plan, size, "outputSize", 2, 1),
              Scale(scale_h, "scalesH"), Scale(scale_w, "scalesW")};
  CheckPicture(made.self, "self", 4, 4);
  CheckSame(made.out, made.self);
  if (made.self.Count() == 0) {
    throw Error(kAclnnInvalid, "'self' is " + made.self.Text() + "; it must not be empty");
  }
  return made;
}

void PlanInterpolation(Plan& plan, const char* name, const Tensor* self, const IntArray* size,
                       bool align_corners, double scale_h, double scale_w, Tensor* out) {
  const Resize made = PlanResize(plan, self, size, scale_h, scale_w, out);
  plan.run = [=] {
    Give(made.out,
         Aten(name, "", InDouble(made.self), made.size, align_corners, made.height, made.width)[0]);
  };
}

void PlanNearest(Plan& plan, const Tensor* self, const IntArray* size, double scale_h,
                 double scale_w, Tensor* out) {
  const Resize made = PlanResize(plan, self, size, scale_h, scale_w, out);
  plan.run = [=] {
    Give(made.out, Aten("aten::upsample_nearest2d", "", InDouble(made.self), made.size, made.height,
                        made.width)[0]);
  };
}

}  // namespace

ACLNN(UpsampleBilinear2d, (const Tensor*, self), (const IntArray*, size), (bool, align_corners),
      (double, scale_h), (double, scale_w), (Tensor*, out)) {
  PlanInterpolation(plan, "aten::upsample_bilinear2d", self, size, align_corners, scale_h, scale_w,
                    out);
}
ACLNN(UpsampleBicubic2d, (const Tensor*, self), (const IntArray*, size), (bool, align_corners),
      (double, scale_h), (double, scale_w), (Tensor*, out)) {
  PlanInterpolation(plan, "aten::upsample_bicubic2d", self, size, align_corners, scale_h, scale_w,
                    out);
}
ACLNN(UpsampleNearest2d, (const Tensor*, self), (const IntArray*, size), (Tensor*, out)) {
  PlanNearest(plan, self, size, 0, 0, out);
}
ACLNN(UpsampleNearest2dV2, (const Tensor*, self), (const IntArray*, size), (float, scale_h),
      (float, scale_w), (Tensor*, out)) {
  // Where torch has no scale, torch_npu passes -1.
  PlanNearest(plan, self, size, std::max(scale_h, 0.0F), std::max(scale_w, 0.0F), out);
}

// Values at places of a picture: 'grid' [batch, rows, columns, 2] has their x and y, where -1 and 1
// are the edges of the picture.
ACLNN(GridSampler2D, (const Tensor*, input), (const Tensor*, grid), (int64_t, interpolation),
      (int64_t, padding), (bool, align_corners), (Tensor*, out)) {
  const View in = plan.Get(input, "input");
  const View places = plan.Get(grid, "grid");
  const View result = plan.Out(out, "out");
  const bool known =
      in.dtype == DType::kFloat || in.dtype == DType::kHalf || in.dtype == DType::kDouble;
  if (!known || in.rank != 4) {
    throw Error(kAclnnInvalid, "'input' is " + in.Text() +
                                   "; it must be float32, float16 or float64 of 4 dimensions");
  }
  if (places.dtype != in.dtype || places.rank != 4 || places.dims[0] != in.dims[0] ||
      places.dims[3] != 2) {
    throw Error(
        kAclnnInvalid,
        Format("'grid' is %s; with an 'input' of %s it must have its type, %lld pictures "
               "and 2 numbers for each place",
               places.Text().c_str(), in.Text().c_str(), static_cast<long long>(in.dims[0])));
  }
  CheckChoice(interpolation, "interpolationMode");
  CheckChoice(padding, "paddingMode");
  CheckSame(result, in);
  plan.run = [=] {
    Give(result, Aten("aten::grid_sampler_2d", "", InDouble(in), InDouble(places), interpolation,
                      padding, align_corners)[0]);
  };
}

// Windows of a picture as columns: [batch, channels * height * width of a window, windows].
ACLNN(Im2col, (const Tensor*, self), (const IntArray*, kernel_size), (const IntArray*, dilation),
      (const IntArray*, padding), (const IntArray*, stride), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  CheckPicture(in, "self", 3, 4);
  CheckSame(result, in);
  const std::vector<int64_t> kernel = Numbers(plan, kernel_size, "kernelSize", 2, 1);
  const std::vector<int64_t> apart = Numbers(plan, dilation, "dilation", 2, 1);
  const std::vector<int64_t> border = Numbers(plan, padding, "padding", 2, 0);
  const std::vector<int64_t> step = Numbers(plan, stride, "stride", 2, 1);
  plan.run = [=] {
    Give(result, Aten("aten::im2col", "", InDouble(in), kernel, apart, border, step)[0]);
  };
}

// A divisor of 0 stands for the size of a window, and a stride without numbers for the window's.
ACLNN(AvgPool2d, (const Tensor*, self), (const IntArray*, kernel_size), (const IntArray*, stride),
      (const IntArray*, padding), (bool, ceil_mode), (bool, count_include_pad), (int64_t, divisor),
      (int8_t, cube_math_type), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  CheckPicture(in, "self", 3, 4);
  CheckSame(result, in);
  const std::vector<int64_t> kernel = Numbers(plan, kernel_size, "kernelSize", 2, 1);
  const std::vector<int64_t> step = plan.Required(stride, "stride").values.empty()
                                        ? kernel
                                        : Numbers(plan, stride, "stride", 2, 1);
  const std::vector<int64_t> border = Numbers(plan, padding, "padding", 2, 0);
  CheckCubeMathType(cube_math_type);
  const std::optional<int64_t> divide_by =
      divisor == 0 ? std::nullopt : std::optional<int64_t>(divisor);
  plan.run = [=] {
    Give(result, Aten("aten::avg_pool2d", "", InDouble(in), kernel, step, border, ceil_mode,
                      count_include_pad, divide_by)[0]);
  };
}
ACLNN(AdaptiveAvgPool2d, (const Tensor*, self), (const IntArray*, output_size), (Tensor*, out)) {
  const View in = plan.Get(self, "self");
  const View result = plan.Out(out, "out");
  CheckPicture(in, "self", 3, 4);
  CheckSame(result, in);
  const std::vector<int64_t> size = Numbers(plan, output_size, "outputSize", 2, 1);
  plan.run = [=] { Give(result, Aten("aten::_adaptive_avg_pool2d", "", InDouble(in), size)[0]); };
}

// Convolution in one to three dimensions, and its transposed form. A channel's sum is rounded once,
// also where a chip multiplies float32 in HF32 ('cubeMathType').
ACLNN(Convolution, (const Tensor*, self), (const Tensor*, weight), (const Tensor*, bias),
      (const IntArray*, stride), (const IntArray*, padding), (const IntArray*, dilation),
      (bool, transposed), (const IntArray*, output_padding), (int64_t, groups), (Tensor*, out),
      (int8_t, cube_math_type)) {
  const View in = plan.Get(self, "input");
  const View filter = plan.Get(weight, "weight");
  const View result = plan.Out(out, "output");
  CheckPicture(in, "input", 3, 5);
  CheckPicture(filter, "weight", in.rank, in.rank);
  CheckSame(filter, in);
  CheckSame(result, in);
  std::optional<View> added;
  if (bias != nullptr) {
    added = plan.Get(bias, "bias");
    CheckPicture(*added, "bias", 1, 1);
  }
  const size_t dims = static_cast<size_t>(in.rank) - 2;
  const std::vector<int64_t> step = Numbers(plan, stride, "stride", dims, 1);
  const std::vector<int64_t> border = Numbers(plan, padding, "padding", dims, 0);
  const std::vector<int64_t> apart = Numbers(plan, dilation, "dilation", dims, 1);
  const std::vector<int64_t> more = transposed
                                        ? Numbers(plan, output_padding, "outputPadding", dims, 0)
                                        : std::vector<int64_t>(dims, 0);
  if (groups < 1) {
    throw Error(kAclnnInvalid,
                Format("'groups' is %lld; it must be at least 1", static_cast<long long>(groups)));
  }
  CheckCubeMathType(cube_math_type);
  plan.run = [=] {
    const std::optional<AtenTensor> last =
        added ? std::optional<AtenTensor>(InDouble(*added)) : std::nullopt;
    Give(result, Aten("aten::convolution", "", InDouble(in), InDouble(filter), last, step, border,
                      apart, transposed, more, groups)[0]);
  };
}

}  // namespace softnpu
