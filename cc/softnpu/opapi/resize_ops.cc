// cc/softnpu/opapi/resize_ops.cc: other sizes of lines, pictures and volumes than image_ops.cc has,
// and the gradients of all.
//
// Computed in double precision and rounded once.
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// A scale of 0 or less stands for the ratio of the sizes.
template <size_t N>
std::array<std::optional<double>, N> Scales(const std::array<double, N>& given) {
  std::array<std::optional<double>, N> out;
  for (size_t i = 0; i < N; ++i) {
    if (!std::isfinite(given[i])) {
      throw Error(kAclnnInvalid, Format("a scale is %g; it must be a finite number", given[i]));
    }
    if (given[i] > 0) out[i] = given[i];
  }
  return out;
}

// `self` [batch, channels, N sizes] in another size, and a scale for each of the N.
template <size_t N>
struct Resize {
  View self, out;
  std::vector<int64_t> size;
  std::array<std::optional<double>, N> scales;
};
template <size_t N>
Resize<N> ResizeOf(const Plan& plan, const Tensor* self, const IntArray* size,
                   const std::array<double, N>& scales, const Tensor* out,
                   uint32_t types = kFloats) {
  constexpr int kRank = static_cast<int>(N) + 2;
  Resize<N> made{Checked(plan.Get(self, "self"), "self", types, kRank, kRank), plan.Out(out, "out"),
                 Numbers(plan, size, "outputSize", N, 1), Scales(scales)};
  CheckSameType(made.out, "out", made.self, "self");
  if (made.self.Count() == 0) {
    throw Error(kAclnnInvalid, "'self' is " + made.self.Text() + "; it must not be empty");
  }
  return made;
}

// The gradient of a tensor of `inputSize` by that of one of `outputSize`.
template <size_t N>
struct ResizeBackward {
  View grad, out;
  std::vector<int64_t> size, input_size;
  std::array<std::optional<double>, N> scales;
};
template <size_t N>
ResizeBackward<N> BackwardOf(const Plan& plan, const Tensor* grad, const IntArray* size,
                             const IntArray* input_size, const std::array<double, N>& scales,
                             const Tensor* out) {
  constexpr int kRank = static_cast<int>(N) + 2;
  constexpr uint32_t kTypes = kReals;
  ResizeBackward<N> made{Checked(plan.Get(grad, "gradOutput"), "gradOutput", kTypes, kRank, kRank),
                         Checked(plan.Out(out, "gradInput"), "gradInput", kTypes, kRank, kRank),
                         Numbers(plan, size, "outputSize", N, 1),
                         Numbers(plan, input_size, "inputSize", N + 2, 0), Scales(scales)};
  CheckSameType(made.out, "gradInput", made.grad, "gradOutput");
  std::vector<int64_t> shape(made.input_size.begin(), made.input_size.begin() + 2);
  shape.insert(shape.end(), made.size.begin(), made.size.end());
  if (made.grad.Shape() != shape) {
    throw Error(kAclnnInvalid, "'gradOutput' is " + made.grad.Text() + "; by the sizes it is " +
                                   Reshaped(made.out, shape).Text());
  }
  return made;
}

}  // namespace

ACLNN(UpsampleNearest1d, (const Tensor*, self), (const IntArray*, size), (Tensor*, out)) {
  const auto r = ResizeOf<1>(plan, self, size, {0}, out);
  PlanWide(plan, r.out, "aten::upsample_nearest1d", "", r.self, r.size, r.scales[0]);
}
ACLNN(UpsampleNearest1dV2, (const Tensor*, self), (const IntArray*, size), (float, scale),
      (Tensor*, out)) {
  const auto r = ResizeOf<1>(plan, self, size, {scale}, out);
  PlanWide(plan, r.out, "aten::upsample_nearest1d", "", r.self, r.size, r.scales[0]);
}
ACLNN(UpsampleNearest3d, (const Tensor*, self), (const IntArray*, size), (double, scale_d),
      (double, scale_h), (double, scale_w), (Tensor*, out)) {
  const auto r = ResizeOf<3>(plan, self, size, {scale_d, scale_h, scale_w}, out, kReals);
  PlanWide(plan, r.out, "aten::upsample_nearest3d", "", r.self, r.size, r.scales[0], r.scales[1],
           r.scales[2]);
}
ACLNN(UpsampleNearestExact1d, (const Tensor*, self), (const IntArray*, size), (double, scale),
      (Tensor*, out)) {
  const auto r = ResizeOf<1>(plan, self, size, {scale}, out);
  PlanWide(plan, r.out, "aten::_upsample_nearest_exact1d", "", r.self, r.size, r.scales[0]);
}
ACLNN(UpsampleNearestExact2d, (const Tensor*, self), (const IntArray*, size), (double, scale_h),
      (double, scale_w), (Tensor*, out)) {
  const auto r = ResizeOf<2>(plan, self, size, {scale_h, scale_w}, out);
  PlanWide(plan, r.out, "aten::_upsample_nearest_exact2d", "", r.self, r.size, r.scales[0],
           r.scales[1]);
}
ACLNN(UpsampleNearestExact3d, (const Tensor*, self), (const IntArray*, size), (double, scale_d),
      (double, scale_h), (double, scale_w), (Tensor*, out)) {
  const auto r = ResizeOf<3>(plan, self, size, {scale_d, scale_h, scale_w}, out);
  PlanWide(plan, r.out, "aten::_upsample_nearest_exact3d", "", r.self, r.size, r.scales[0],
           r.scales[1], r.scales[2]);
}
ACLNN(UpsampleLinear1d, (const Tensor*, self), (const IntArray*, size), (bool, align_corners),
      (double, scale), (Tensor*, out)) {
  const auto r = ResizeOf<1>(plan, self, size, {scale}, out);
  PlanWide(plan, r.out, "aten::upsample_linear1d", "", r.self, r.size, align_corners, r.scales[0]);
}
ACLNN(UpsampleTrilinear3d, (const Tensor*, self), (const IntArray*, size), (bool, align_corners),
      (double, scale_d), (double, scale_h), (double, scale_w), (Tensor*, out)) {
  constexpr double kMostScale = 50;
  for (const double scale : {scale_d, scale_h, scale_w}) {
    if (scale > kMostScale) {
      throw Error(kAclnnInvalid, Format("a scale is %g; it must be at most %g", scale, kMostScale));
    }
  }
  const auto r = ResizeOf<3>(plan, self, size, {scale_d, scale_h, scale_w}, out, kReals);
  PlanWide(plan, r.out, "aten::upsample_trilinear3d", "", r.self, r.size, align_corners,
           r.scales[0], r.scales[1], r.scales[2]);
}

#define SOFTNPU_RESIZE_2D(NAME, ATEN)                                                         \
  ACLNN(NAME, (const Tensor*, self), (const IntArray*, size), (bool, align_corners),          \
        (double, scale_h), (double, scale_w), (Tensor*, out)) {                               \
    const auto r = ResizeOf<2>(plan, self, size, {scale_h, scale_w}, out);                    \
    PlanWide(plan, r.out, ATEN, "", r.self, r.size, align_corners, r.scales[0], r.scales[1]); \
  }
SOFTNPU_RESIZE_2D(UpsampleBilinear2dAA, "aten::_upsample_bilinear2d_aa")
SOFTNPU_RESIZE_2D(UpsampleBicubic2dAA, "aten::_upsample_bicubic2d_aa")

#define SOFTNPU_NEAREST_1D_BACKWARD(NAME, ATEN)                                              \
  ACLNN(NAME, (const Tensor*, grad), (const IntArray*, size), (const IntArray*, input_size), \
        (double, scale), (Tensor*, out)) {                                                   \
    const auto r = BackwardOf<1>(plan, grad, size, input_size, {scale}, out);                \
    PlanWide(plan, r.out, ATEN, "", r.grad, r.size, r.input_size, r.scales[0]);              \
  }
SOFTNPU_NEAREST_1D_BACKWARD(UpsampleNearest1dBackward, "aten::upsample_nearest1d_backward")
SOFTNPU_NEAREST_1D_BACKWARD(UpsampleNearestExact1dBackward,
                            "aten::_upsample_nearest_exact1d_backward")

#define SOFTNPU_NEAREST_2D_BACKWARD(NAME, ATEN)                                              \
  ACLNN(NAME, (const Tensor*, grad), (const IntArray*, size), (const IntArray*, input_size), \
        (double, scale_h), (double, scale_w), (Tensor*, out)) {                              \
    const auto r = BackwardOf<2>(plan, grad, size, input_size, {scale_h, scale_w}, out);     \
    PlanWide(plan, r.out, ATEN, "", r.grad, r.size, r.input_size, r.scales[0], r.scales[1]); \
  }
SOFTNPU_NEAREST_2D_BACKWARD(UpsampleNearest2dBackward, "aten::upsample_nearest2d_backward")
SOFTNPU_NEAREST_2D_BACKWARD(UpsampleNearestExact2dBackward,
                            "aten::_upsample_nearest_exact2d_backward")

#define SOFTNPU_NEAREST_3D_BACKWARD(NAME, ATEN)                                                   \
  ACLNN(NAME, (const Tensor*, grad), (const IntArray*, size), (const IntArray*, input_size),      \
        (double, scale_d), (double, scale_h), (double, scale_w), (Tensor*, out)) {                \
    const auto r = BackwardOf<3>(plan, grad, size, input_size, {scale_d, scale_h, scale_w}, out); \
    PlanWide(plan, r.out, ATEN, "", r.grad, r.size, r.input_size, r.scales[0], r.scales[1],       \
             r.scales[2]);                                                                        \
  }
SOFTNPU_NEAREST_3D_BACKWARD(UpsampleNearest3dBackward, "aten::upsample_nearest3d_backward")
SOFTNPU_NEAREST_3D_BACKWARD(UpsampleNearestExact3dBackward,
                            "aten::_upsample_nearest_exact3d_backward")

ACLNN(UpsampleLinear1dBackward, (const Tensor*, grad), (const IntArray*, size),
      (const IntArray*, input_size), (bool, align_corners), (double, scale), (Tensor*, out)) {
  const auto r = BackwardOf<1>(plan, grad, size, input_size, {scale}, out);
  PlanWide(plan, r.out, "aten::upsample_linear1d_backward", "", r.grad, r.size, r.input_size,
           align_corners, r.scales[0]);
}
#define SOFTNPU_RESIZE_2D_BACKWARD(NAME, ATEN)                                                \
  ACLNN(NAME, (const Tensor*, grad), (const IntArray*, size), (const IntArray*, input_size),  \
        (bool, align_corners), (double, scale_h), (double, scale_w), (Tensor*, out)) {        \
    const auto r = BackwardOf<2>(plan, grad, size, input_size, {scale_h, scale_w}, out);      \
    PlanWide(plan, r.out, ATEN, "", r.grad, r.size, r.input_size, align_corners, r.scales[0], \
             r.scales[1]);                                                                    \
  }
SOFTNPU_RESIZE_2D_BACKWARD(UpsampleBilinear2dBackward, "aten::upsample_bilinear2d_backward")
SOFTNPU_RESIZE_2D_BACKWARD(UpsampleBilinear2dBackwardV2, "aten::upsample_bilinear2d_backward")
SOFTNPU_RESIZE_2D_BACKWARD(UpsampleBicubic2dBackward, "aten::upsample_bicubic2d_backward")
SOFTNPU_RESIZE_2D_BACKWARD(UpsampleBilinear2dAABackward, "aten::_upsample_bilinear2d_aa_backward")
SOFTNPU_RESIZE_2D_BACKWARD(UpsampleBicubic2dAAGrad, "aten::_upsample_bicubic2d_aa_backward")

ACLNN(UpsampleTrilinear3dBackward, (const Tensor*, grad), (const IntArray*, size),
      (const IntArray*, input_size), (bool, align_corners), (double, scale_d), (double, scale_h),
      (double, scale_w), (Tensor*, out)) {
  const auto r = BackwardOf<3>(plan, grad, size, input_size, {scale_d, scale_h, scale_w}, out);
  PlanWide(plan, r.out, "aten::upsample_trilinear3d_backward", "", r.grad, r.size, r.input_size,
           align_corners, r.scales[0], r.scales[1], r.scales[2]);
}

}  // namespace softnpu
