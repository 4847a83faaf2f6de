// cc/softnpu/opapi/sampling_ops.cc: values at places of pictures and volumes, and windows that are
// put together again, in double precision, rounded once.
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

constexpr uint32_t kGridTypes = kReals;

int64_t Choice(int64_t value, const char* name, int64_t most) {
  if (value < 0 || value > most) {
    throw Error(kAclnnInvalid,
                Format("'%s' is %lld; it must be 0 to %lld", name, Long(value), Long(most)));
  }
  return value;
}

// A picture or a volume, and as many numbers for each place as it has sizes.
struct Sampled {
  View input, grid;
  int64_t interpolation, padding;
};
Sampled SampledOf(const Plan& plan, const Tensor* input, const Tensor* grid, int64_t interpolation,
                  int64_t padding, int dims) {
  const Sampled made{Checked(plan.Get(input, "input"), "input", kGridTypes, dims + 2, dims + 2),
                     Checked(plan.Get(grid, "grid"), "grid", kGridTypes, dims + 2, dims + 2),
                     // Cubic interpolation is of pictures alone.
                     Choice(interpolation, "interpolationMode", dims == 2 ? 2 : 1),
                     Choice(padding, "paddingMode", 2)};
  CheckSameType(made.grid, "grid", made.input, "input");
  if (made.grid.Dim(0) != made.input.Dim(0) || made.grid.Dim(dims + 1) != dims) {
    throw Error(
        kAclnnInvalid,
        Format("'grid' is %s; with an 'input' of %s it must begin with %lld and end with %d",
               made.grid.Text().c_str(), made.input.Text().c_str(), Long(made.input.Dim(0)), dims));
  }
  return made;
}

// The gradients of the input and of the places, where they are asked for.
void PlanSampleBackward(Plan& plan, const char* name, const Tensor* grad, const Tensor* input,
                        const Tensor* grid, int64_t interpolation, int64_t padding, bool corners,
                        const BoolArray* mask, const Tensor* input_grad, const Tensor* grid_grad,
                        int dims) {
  const View from =
      Checked(plan.Get(grad, "gradOutput"), "gradOutput", kGridTypes, dims + 2, dims + 2);
  const Sampled given = SampledOf(plan, input, grid, interpolation, padding, dims);
  CheckSameType(from, "gradOutput", given.input, "input");
  const std::vector<uint8_t>& asked = plan.Required(mask, "outputMask").values;
  if (asked.size() != 2) {
    throw Error(kAclnnInvalid, Format("'outputMask' has %zu values; it must have 2", asked.size()));
  }
  std::array<std::optional<View>, 2> outs;
  if (asked[0] != 0) outs[0] = plan.Out(input_grad, "inputGrad");
  if (asked[1] != 0) outs[1] = plan.Out(grid_grad, "gridGrad");
  const auto wanted =
      torch::headeronly::HeaderOnlyArrayRef<bool>(kMasks[(outs[0] ? 1 : 0) + (outs[1] ? 2 : 0)], 2);
  PlanWide<2>(plan, outs, name, "", from, given.input, given.grid, given.interpolation,
              given.padding, corners, wanted);
}

}  // namespace

ACLNN(GridSampler3D, (const Tensor*, input), (const Tensor*, grid), (int64_t, interpolation),
      (int64_t, padding), (bool, align_corners), (Tensor*, out)) {
  const Sampled given = SampledOf(plan, input, grid, interpolation, padding, 3);
  const View result = plan.Out(out, "out");
  CheckSameType(result, "out", given.input, "input");
  PlanWide(plan, result, "aten::grid_sampler_3d", "", given.input, given.grid, given.interpolation,
           given.padding, align_corners);
}
ACLNN(GridSampler2DBackward, (const Tensor*, grad), (const Tensor*, input), (const Tensor*, grid),
      (int64_t, interpolation), (int64_t, padding), (bool, align_corners), (const BoolArray*, mask),
      (Tensor*, input_grad), (Tensor*, grid_grad)) {
  PlanSampleBackward(plan, "aten::grid_sampler_2d_backward", grad, input, grid, interpolation,
                     padding, align_corners, mask, input_grad, grid_grad, 2);
}
ACLNN(GridSampler3DBackward, (const Tensor*, grad), (const Tensor*, input), (const Tensor*, grid),
      (int64_t, interpolation), (int64_t, padding), (bool, align_corners), (const BoolArray*, mask),
      (Tensor*, input_grad), (Tensor*, grid_grad)) {
  PlanSampleBackward(plan, "aten::grid_sampler_3d_backward", grad, input, grid, interpolation,
                     padding, align_corners, mask, input_grad, grid_grad, 3);
}

// Places for GridSampler: 'theta' [batch, N, N + 1] maps those of a picture or volume of 'size'.
ACLNN(AffineGrid, (const Tensor*, theta), (const IntArray*, size), (bool, align_corners),
      (Tensor*, out)) {
  const View in = Checked(plan.Get(theta, "theta"), "theta", kFloats, 3, 3);
  const std::vector<int64_t> sizes =
      Numbers(plan, size, "size", static_cast<size_t>(in.Dim(1)) + 2, 1);
  if ((in.Dim(1) != 2 && in.Dim(1) != 3) || in.Dim(2) != in.Dim(1) + 1 || in.Dim(0) != sizes[0]) {
    throw Error(kAclnnInvalid, Format("'theta' is %s; it must be [%lld, 2, 3] or [%lld, 3, 4]",
                                      in.Text().c_str(), Long(sizes[0]), Long(sizes[0])));
  }
  const View result = plan.Out(out, "out");
  CheckSameType(result, "out", in, "theta");
  PlanWide(plan, result, "aten::affine_grid_generator", "", in, sizes, align_corners);
}

// Adds windows that lie as columns into a picture of 'outputSize': the opposite of Im2col.
ACLNN(Im2colBackward, (const Tensor*, grad), (const IntArray*, size), (const IntArray*, kernel),
      (const IntArray*, dilation), (const IntArray*, padding), (const IntArray*, stride),
      (Tensor*, out)) {
  const View in = Checked(plan.Get(grad, "gradOutput"), "gradOutput", kFloats, 2, 3);
  const View result = plan.Out(out, "out");
  CheckSameType(result, "out", in, "gradOutput");
  PlanWide(plan, result, "aten::col2im", "", in, Numbers(plan, size, "inputSize", 2, 1),
           Numbers(plan, kernel, "kernelSize", 2, 1), Numbers(plan, dilation, "dilation", 2, 1),
           Numbers(plan, padding, "padding", 2, 0), Numbers(plan, stride, "stride", 2, 1));
}

// Adds windows of one dimension, the last of 'gradOut', into a tensor of 'inputSizes'.
ACLNN(UnfoldGrad, (const Tensor*, grad), (const IntArray*, sizes), (int64_t, dim), (int64_t, size),
      (int64_t, step), (Tensor*, out)) {
  const View in = Checked(plan.Get(grad, "gradOut"), "gradOut", kFloats, 1);
  const View result = plan.Out(out, "gradIn");
  CheckSameType(result, "gradIn", in, "gradOut");
  const std::vector<int64_t> shape = plan.Required(sizes, "inputSizes").values;
  if (result.Shape() != shape || in.rank != result.rank + 1) {
    throw Error(kAclnnInvalid, "'gradIn' is " + result.Text() + ", and 'gradOut' " + in.Text() +
                                   "; the first must have the shape of 'inputSizes', the second a "
                                   "dimension more");
  }
  if (size < 1 || step < 1) {
    throw Error(kAclnnInvalid, Format("'size' is %lld and 'step' %lld; both must be at least 1",
                                      Long(size), Long(step)));
  }
  PlanWide(plan, result, "aten::unfold_backward", "", in, shape, CheckedDim(result, dim), size,
           step);
}

namespace {

// Where the elements of `in` go.
View PlacesOf(const Plan& plan, const View& in, const Tensor* indices, const View& out) {
  const View where = Checked(plan.Get(indices, "indices"), "indices", Only(DType::kInt64));
  CheckEqualShape(where, "indices", in, "self");
  CheckSameType(out, "out", in, "self");
  return where;
}

}  // namespace

// Puts the greatest values of windows back where they were, and zeros elsewhere.
ACLNN(MaxUnpool2d, (const Tensor*, self), (const Tensor*, indices), (const IntArray*, size),
      (Tensor*, out)) {
  const View in = Checked(plan.Get(self, "self"), "self", kNumbers, 3, 4);
  const View result = plan.Out(out, "out");
  const View where = PlacesOf(plan, in, indices, result);
  PlanWide(plan, result, "aten::max_unpool2d", "", in, where,
           Numbers(plan, size, "outputSize", 2, 1));
}
ACLNN(MaxUnpool3d, (const Tensor*, self), (const Tensor*, indices), (const IntArray*, size),
      (const IntArray*, stride), (const IntArray*, padding), (Tensor*, out)) {
  const View in = Checked(plan.Get(self, "self"), "self", kNumbers, 4, 5);
  const View result = plan.Out(out, "out");
  const View where = PlacesOf(plan, in, indices, result);
  PlanWide(plan, result, "aten::max_unpool3d", "", in, where,
           Numbers(plan, size, "outputSize", 3, 1), Numbers(plan, stride, "stride", 3, 1),
           Numbers(plan, padding, "padding", 3, 0));
}

}  // namespace softnpu
