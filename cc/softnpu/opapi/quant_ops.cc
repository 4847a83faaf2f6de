// cc/softnpu/opapi/quant_ops.cc: rounding of floating numbers to int8, with scales that are given
// (Quantize, AscendQuantV3) or found row by row (DynamicQuantV2), and the packing of scales.
//
// In float32 with one rounding to nearest even. A row of zeros has the scale 0, and zeros.
#include <cmath>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"
#include "cc/softnpu/opapi/quantise.h"

namespace softnpu {
namespace {

constexpr float kSteps = 255.0F;  // between the least and the largest int8

[[noreturn]] void Refuse(const std::string& sentence) { throw Error(kAclnnInvalid, sentence); }

// The operators have other results, of 4 bits or of 8 floating ones, which SoftNPU has not.
void CheckInt8(int64_t dtype, const View& y) {
  if (dtype != static_cast<int64_t>(DType::kInt8)) {
    throw Error(
        kAclnnNotImplemented,
        Format("the result is to have the type %lld; SoftNPU quantises to int8 (2)", Long(dtype)));
  }
  CheckDtype(y, "y", {DType::kInt8});
}

struct Dynamic {
  View x;       // [.., size]
  View smooth;  // [size], or [groups, size]; rank 0 without
  View groups;  // int32 [groups], running sums of rows; rank 0 without
  View y;       // int8 [.., size]
  View scale;   // float32 [..]
  View offset;  // float32 [..]; rank 0 for symmetric quantisation
};

void CheckDynamic(const Dynamic& call, bool has_smooth, bool has_groups, bool has_offset) {
  CheckDtype(call.x, "x", {DType::kHalf, DType::kBfloat16});
  if (call.x.rank < 2) Refuse("'x' is " + call.x.Text() + ", it must have 2 to 8 dimensions");
  const int64_t size = call.x.Dim(call.x.rank - 1);
  CheckDims(call.y, "y", call.x.Shape());
  std::vector<int64_t> rows = call.x.Shape();
  rows.pop_back();
  CheckDims(call.scale, "scale", rows);
  CheckDtype(call.scale, "scale", {DType::kFloat});
  if (has_offset) {
    CheckDims(call.offset, "offset", rows);
    CheckDtype(call.offset, "offset", {DType::kFloat});
  }
  if (has_groups && !has_smooth) Refuse("'group_index' is given without 'smooth_scales'");
  if (has_smooth) CheckDtype(call.smooth, "smooth_scales", {call.x.dtype});
  if (has_groups) {
    CheckDtype(call.groups, "group_index", {DType::kInt32});
    if (call.groups.rank != 1) {
      Refuse("'group_index' is " + call.groups.Text() + ", it must have one dimension");
    }
    CheckDims(call.smooth, "smooth_scales", {call.groups.Dim(0), size});
  } else if (has_smooth) {
    CheckDims(call.smooth, "smooth_scales", {size});
  }
}

// The group of each row. Groups that are no running sums up to the number of rows are undefined on
// the device, and an error here.
std::vector<int64_t> GroupOfRows(const View& groups, int64_t rows) {
  std::vector<int64_t> of(static_cast<size_t>(rows));
  const std::vector<int64_t> ends = Integers(groups);
  int64_t begin = 0;
  for (size_t group = 0; group < ends.size(); ++group) {
    const int64_t end = ends[group];
    if (end < begin || end > rows || (group + 1 == ends.size() && end != rows)) {
      throw Error(kAicoreException,
                  Format("'group_index' holds %lld at %zu; of %lld rows it must hold running sums "
                         "that end with their number (undefined on the device)",
                         Long(end), group, Long(rows)));
    }
    for (; begin < end; ++begin) of[static_cast<size_t>(begin)] = static_cast<int64_t>(group);
  }
  return of;
}

// Symmetric: y = row / scale. Asymmetric, where `offset` is not null: y = row / scale + offset.
void QuantiseRow(const float* row, size_t size, int8_t* y, float* scale, float* offset) {
  float largest = -INFINITY;
  float least = INFINITY;
  float magnitude = 0;
  for (size_t i = 0; i < size; ++i) {
    largest = std::fmax(largest, row[i]);
    least = std::fmin(least, row[i]);
    magnitude = std::fmax(magnitude, std::fabs(row[i]));
  }
  *scale = offset == nullptr ? magnitude / kLargestInt8 : (largest - least) / kSteps;
  const float shift = offset == nullptr ? 0 : kLargestInt8 - largest / *scale;
  if (offset != nullptr) *offset = shift;
  for (size_t i = 0; i < size; ++i) y[i] = NearestInt8(row[i] / *scale + shift);
}

void RunDynamic(const Dynamic& call, bool has_smooth, bool has_groups, bool has_offset) {
  if (call.x.Count() == 0) return;
  const auto size = static_cast<size_t>(call.x.Dim(call.x.rank - 1));
  const int64_t rows = call.x.Count() / static_cast<int64_t>(size);
  std::vector<float> x = Floats(call.x);
  const std::vector<float> smooth = has_smooth ? Floats(call.smooth) : std::vector<float>();
  const std::vector<int64_t> group =
      has_groups ? GroupOfRows(call.groups, rows) : std::vector<int64_t>();
  std::vector<int8_t> y(x.size());
  std::vector<float> scales(static_cast<size_t>(rows));
  std::vector<float> offsets(scales.size());
  for (size_t r = 0; r < scales.size(); ++r) {
    float* const row = &x[r * size];
    if (has_smooth) {
      const float* const factors = &smooth[has_groups ? static_cast<size_t>(group[r]) * size : 0];
      for (size_t i = 0; i < size; ++i) row[i] *= factors[i];
    }
    QuantiseRow(row, size, &y[r * size], &scales[r], has_offset ? &offsets[r] : nullptr);
  }
  StoreInt8(call.y, y);
  const auto store = [](const View& to, const std::vector<float>& values) {
    size_t at = 0;
    Map<float, 0>(to, {}, [&] { return values[at++]; });
  };
  store(call.scale, scales);
  if (has_offset) store(call.offset, offsets);
}

void PrepareDynamic(Plan& plan, const Tensor* x, const Tensor* smooth, const Tensor* groups,
                    int64_t dtype, const Tensor* y, const Tensor* scale, const Tensor* offset) {
  Dynamic call;
  const bool has_smooth = smooth != nullptr;
  const bool has_groups = groups != nullptr;
  const bool has_offset = offset != nullptr;
  call.x = plan.Get(x, "x");
  if (has_smooth) call.smooth = plan.Get(smooth, "smooth_scales");
  if (has_groups) call.groups = plan.Get(groups, "group_index");
  call.y = plan.Out(y, "y");
  call.scale = plan.Out(scale, "scale");
  if (has_offset) call.offset = plan.Out(offset, "offset");
  CheckInt8(dtype, call.y);
  CheckDynamic(call, has_smooth, has_groups, has_offset);
  plan.run = [=] { RunDynamic(call, has_smooth, has_groups, has_offset); };
}

// `vector` seen along dimension `axis` of `x`.
View Along(const View& vector, const View& x, int axis) {
  View seen = x;
  seen.data = vector.data;
  seen.offset = vector.offset;
  seen.dtype = vector.dtype;
  seen.strides = {};
  for (int d = 0; d < vector.rank; ++d) {
    if (vector.Dim(d) != 1) seen.strides[static_cast<size_t>(axis)] = vector.Stride(d);
  }
  return seen;
}

// y = function(x, scale, zero) with scale and zero along `axis`; without zeros it is given 0.
template <typename Function>
void RunStatic(const View& x, const View& scale, const View& zero, bool has_zero, int axis,
               const View& y, Function function) {
  const std::vector<float> values = Floats(x);
  const std::vector<float> scales = Floats(Along(scale, x, axis));
  const std::vector<float> zeros = has_zero ? Floats(Along(zero, x, axis)) : std::vector<float>();
  std::vector<int8_t> numbers(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    numbers[i] = NearestInt8(function(values[i], scales[i], has_zero ? zeros[i] : 0.0F));
  }
  StoreInt8(y, numbers);
}

// A scale of AscendQuant: one dimension, of 1 or as many as the axis, or as many dimensions as x,
// all but the axis being 1.
void CheckScale(const View& scale, const View& x, int axis) {
  const int64_t size = x.Dim(axis);
  if (scale.rank == 1) return CheckOneOrEach(scale, "scale", size);
  bool fits = scale.rank == x.rank;
  for (int d = 0; fits && d < scale.rank; ++d) {
    fits = scale.Dim(d) == 1 || (d == axis && scale.Dim(d) == size);
  }
  if (!fits) {
    Refuse("'scale' is " + scale.Text() + ", 'x' " + x.Text() +
           Format("; it must have one element, or %lld along dimension %d", Long(size), axis));
  }
}

void PrepareAscendQuant(Plan& plan, const Tensor* x, const Tensor* scale, const Tensor* offset,
                        bool sqrt_mode, const char* round_mode, int32_t dtype, int64_t axis,
                        const Tensor* y) {
  const View in = plan.Get(x, "x");
  const View factors = plan.Get(scale, "scale");
  const bool has_zero = offset != nullptr;
  const View zeros = has_zero ? plan.Get(offset, "offset") : View();
  const View out = plan.Out(y, "y");
  CheckDtype(in, "x", {DType::kFloat, DType::kHalf, DType::kBfloat16});
  CheckInt8(dtype, out);
  CheckDims(out, "y", in.Shape());
  if (in.rank == 0) Refuse("'x' has no dimension");
  if (axis < -2 || axis >= in.rank || (axis >= 0 && axis < in.rank - 2) ||
      (axis == -2 && in.rank < 2)) {
    Refuse(Format("'axis' is %lld; it must be one of the last two dimensions of %s", Long(axis),
                  in.Text().c_str()));
  }
  const int along = static_cast<int>(axis < 0 ? axis + in.rank : axis);
  CheckDtype(factors, "scale", {in.dtype});
  CheckScale(factors, in, along);
  if (has_zero) {
    CheckDtype(zeros, "offset", {in.dtype});
    CheckDims(zeros, "offset", factors.Shape());
  }
  if (std::string(round_mode == nullptr ? "" : round_mode) != "round") {
    throw Error(kAclnnNotImplemented, std::string("'round_mode' is ") +
                                          (round_mode == nullptr ? "null" : round_mode) +
                                          "; SoftNPU has round");
  }
  plan.run = [=] {
    RunStatic(in, factors, zeros, has_zero, along, out, [=](float value, float s, float zero) {
      return value * (sqrt_mode ? s * s : s) + zero;
    });
  };
}

void PreparePacking(Plan& plan, const Tensor* scale, const Tensor* offset, int64_t round_mode,
                    const Tensor* out) {
  const View in = plan.Get(scale, "scale");
  const bool has_offset = offset != nullptr;
  const View shift = has_offset ? plan.Get(offset, "offset") : View();
  const View packed = plan.Out(out, "out");
  CheckDtype(in, "scale", {DType::kFloat});
  if (has_offset) CheckDtype(shift, "offset", {DType::kFloat});
  CheckDtype(packed, "out", {DType::kInt64});
  if (round_mode != 0 && round_mode != 1) {
    Refuse(Format("'round_mode' is %lld; it must be 0 or 1", Long(round_mode)));
  }
  for (const View* view : {&in, &shift}) {
    if (view == &shift && !has_offset) continue;
    if (view->rank < 1 || view->rank > 2 || view->Count() == 0 || !view->IsContiguous()) {
      Refuse(std::string("'") + (view == &in ? "scale" : "offset") + "' is " + view->Text() +
             ", it must have 1 or 2 dimensions, elements, and be contiguous");
    }
  }
  if (has_offset && in.Count() != 1 && shift.Count() != 1 && in.Count() != shift.Count()) {
    Refuse("'scale' is " + in.Text() + ", 'offset' " + shift.Text() + "; they differ in size");
  }
  CheckDims(packed, "out",
            has_offset && in.rank == 1 && shift.Count() > in.Count() ? shift.Shape() : in.Shape());
  plan.run = [=] {
    const std::vector<float> scales = Floats(in);
    const std::vector<float> offsets = has_offset ? Floats(shift) : std::vector<float>();
    size_t at = 0;
    Map<int64_t, 0>(packed, {}, [&] {
      int64_t one = PackScale(scales[scales.size() == 1 ? 0 : at], round_mode == 1);
      if (has_offset) one = PackOffset(one, offsets[offsets.size() == 1 ? 0 : at]);
      ++at;
      return one;
    });
  };
}

}  // namespace

ACLNN(DynamicQuant, (const Tensor*, x), (const Tensor*, smooth_scales), (const Tensor*, y),
      (const Tensor*, scale)) {
  PrepareDynamic(plan, x, smooth_scales, nullptr, static_cast<int64_t>(DType::kInt8), y, scale,
                 nullptr);
}
ACLNN(DynamicQuantV2, (const Tensor*, x), (const Tensor*, smooth_scales),
      (const Tensor*, group_index), (int64_t, dst_type), (const Tensor*, y), (const Tensor*, scale),
      (const Tensor*, offset)) {
  PrepareDynamic(plan, x, smooth_scales, group_index, dst_type, y, scale, offset);
}

ACLNN(AscendQuant, (const Tensor*, x), (const Tensor*, scale), (const Tensor*, offset),
      (bool, sqrt_mode), (const char*, round_mode), (int32_t, dst_type), (const Tensor*, y)) {
  PrepareAscendQuant(plan, x, scale, offset, sqrt_mode, round_mode, dst_type, -1, y);
}
ACLNN(AscendQuantV3, (const Tensor*, x), (const Tensor*, scale), (const Tensor*, offset),
      (bool, sqrt_mode), (const char*, round_mode), (int32_t, dst_type), (int32_t, axis),
      (const Tensor*, y)) {
  PrepareAscendQuant(plan, x, scale, offset, sqrt_mode, round_mode, dst_type, axis, y);
}

// y = round(x / scales + zero_points).
ACLNN(Quantize, (const Tensor*, x), (const Tensor*, scales), (const Tensor*, zero_points),
      (int32_t, dtype), (int32_t, axis), (const Tensor*, out)) {
  const View in = plan.Get(x, "x");
  const View factors = plan.Get(scales, "scales");
  const bool has_zero = zero_points != nullptr;
  const View zeros = has_zero ? plan.Get(zero_points, "zero_points") : View();
  const View y = plan.Out(out, "out");
  CheckInt8(dtype, y);
  CheckDtype(in, "x", {DType::kFloat, DType::kHalf, DType::kBfloat16});
  // Scales of 16-bit numbers have their type.
  if (in.dtype == DType::kFloat) {
    CheckDtype(factors, "scales", {DType::kFloat, DType::kBfloat16});
  } else {
    CheckDtype(factors, "scales", {in.dtype});
  }
  CheckDims(y, "out", in.Shape());
  if (axis < -in.rank || axis >= in.rank) {
    Refuse(Format("'axis' is %d; 'x' is %s", axis, in.Text().c_str()));
  }
  const int along = axis < 0 ? axis + in.rank : axis;
  CheckOneOrEach(factors, "scales", in.Dim(along));
  if (has_zero) {
    CheckDtype(zeros, "zero_points",
               {DType::kInt8, DType::kInt32, DType::kUint8, DType::kFloat, DType::kBfloat16});
    CheckDims(zeros, "zero_points", factors.Shape());
  }
  plan.run = [=] {
    RunStatic(in, factors, zeros, has_zero, along, y,
              [](float value, float scale, float zero) { return value / scale + zero; });
  };
}

ACLNN(TransQuantParamV2, (const Tensor*, scale), (const Tensor*, offset), (const Tensor*, out)) {
  PreparePacking(plan, scale, offset, 0, out);
}
ACLNN(TransQuantParamV3, (const Tensor*, scale), (const Tensor*, offset), (int64_t, round_mode),
      (const Tensor*, out)) {
  PreparePacking(plan, scale, offset, round_mode, out);
}

}  // namespace softnpu
