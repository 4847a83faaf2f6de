// cc/softnpu/opapi/layer_norm_ops.cc: layer normalisation. Sums in double, rounded once per output.
#include <cmath>
#include <optional>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {
namespace {

struct LayerNorm {
  View input, output;
  std::optional<View> weight, bias, mean, rstd;
  int64_t rows = 0;
  int64_t width = 0;
  double epsilon = 0;

  void Run() const;
};

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (const int64_t dim : shape) out += (out == "[" ? "" : ", ") + std::to_string(dim);
  return out + "]";
}

void CheckDtype(const View& view, const char* name) {
  if (view.dtype != DType::kFloat && view.dtype != DType::kHalf && view.dtype != DType::kBfloat16) {
    throw Error(kAclnnInvalid, std::string("'") + name + "' is " + view.Text() +
                                   ", it must be float32, float16 or bfloat16");
  }
}

// Weight or bias: the shape that is normalised, in float32 or in the input's dtype.
std::optional<View> CheckAffine(const Plan& plan, const Tensor* tensor, const char* name,
                                const std::vector<int64_t>& shape, const View& input) {
  if (tensor == nullptr) return std::nullopt;
  const View view = plan.Get(tensor, name);
  CheckDtype(view, name);
  if (view.Shape() != shape) {
    throw Error(kAclnnInvalid, std::string("'") + name + "' is " + view.Text() +
                                   ", the normalized shape is " + ShapeText(shape));
  }
  if (view.dtype != input.dtype && view.dtype != DType::kFloat) {
    throw Error(kAclnnInvalid,
                std::string("'") + name + "' is " + view.Text() + ", 'input' is " + input.Text());
  }
  return view;
}

std::optional<View> CheckStatistic(const Plan& plan, const Tensor* tensor, const char* name,
                                   int64_t rows) {
  if (tensor == nullptr) return std::nullopt;
  const View view = plan.Out(tensor, name);
  CheckDtype(view, name);
  if (view.Count() != rows) {
    throw Error(kAclnnInvalid, Format("'%s' is %s, there are %lld rows", name, view.Text().c_str(),
                                      static_cast<long long>(rows)));
  }
  return view;
}

// All elements of a view, dense, in float.
std::vector<float> Values(const std::optional<View>& view, int64_t count, float otherwise) {
  std::vector<float> out(static_cast<size_t>(count), otherwise);
  if (!view) return out;
  int64_t at = 0;
  ForEachRun<1>({*view}, [&](const auto& base, const auto& strides, int64_t n) {
    LoadElements(view->dtype, base[0], strides[0], n, out.data() + at);
    at += n;
  });
  return out;
}

// Writes values one after another in the order of the view's elements.
void Write(const std::optional<View>& view, const std::vector<double>& values) {
  if (!view || values.empty()) return;
  size_t at = 0;
  Map<double, 0>(*view, {}, [&] { return values[at++]; });
}

void LayerNorm::Run() const {
  if (input.Count() == 0) {
    // Rows without an element: the mean of nothing.
    Write(mean, std::vector<double>(static_cast<size_t>(rows), std::nan("")));
    Write(rstd, std::vector<double>(static_cast<size_t>(rows), std::nan("")));
    return;
  }
  const std::vector<float> x = Values(input, input.Count(), 0);
  const std::vector<float> scale = Values(weight, width, 1);
  const std::vector<float> shift = Values(bias, width, 0);
  std::vector<double> means;
  std::vector<double> inverses;
  std::vector<double> result(x.size());
  for (int64_t row = 0; row < rows; ++row) {
    const size_t first = static_cast<size_t>(row * width);
    const auto n = static_cast<size_t>(width);
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += static_cast<double>(x[first + i]);
    const double centre = sum / static_cast<double>(width);
    double squares = 0;
    for (size_t i = 0; i < n; ++i) {
      const double distance = static_cast<double>(x[first + i]) - centre;
      squares += distance * distance;
    }
    const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(width) + epsilon);
    for (size_t i = 0; i < n; ++i) {
      result[first + i] =
          (static_cast<double>(x[first + i]) - centre) * inverse * static_cast<double>(scale[i]) +
          static_cast<double>(shift[i]);
    }
    means.push_back(centre);
    inverses.push_back(inverse);
  }
  Write(output, result);
  Write(mean, means);
  Write(rstd, inverses);
}

void PlanLayerNorm(Plan& plan, const Tensor* input, const IntArray* shape, const Tensor* weight,
                   const Tensor* bias, double epsilon, const Tensor* out, const Tensor* mean,
                   const Tensor* rstd) {
  LayerNorm norm;
  norm.input = plan.Get(input, "input");
  norm.output = plan.Out(out, "out");
  norm.epsilon = epsilon;
  const std::vector<int64_t>& normalized = plan.Required(shape, "normalized_shape").values;
  CheckDtype(norm.input, "input");
  if (norm.output.dtype != norm.input.dtype || norm.output.Shape() != norm.input.Shape()) {
    throw Error(kAclnnInvalid,
                "'out' is " + norm.output.Text() + ", 'input' is " + norm.input.Text());
  }
  const std::vector<int64_t> dims = norm.input.Shape();
  if (normalized.empty() || normalized.size() > dims.size() ||
      !std::equal(normalized.rbegin(), normalized.rend(), dims.rbegin())) {
    throw Error(kAclnnInvalid, "the normalized shape " + ShapeText(normalized) +
                                   " does not end that of 'input', " + norm.input.Text());
  }
  norm.width = norm.rows = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    (i + normalized.size() < dims.size() ? norm.rows : norm.width) *= dims[i];
  }
  norm.weight = CheckAffine(plan, weight, "weight", normalized, norm.input);
  norm.bias = CheckAffine(plan, bias, "bias", normalized, norm.input);
  if (norm.weight && norm.bias && norm.weight->dtype != norm.bias->dtype) {
    throw Error(kAclnnInvalid,
                "'weight' is " + norm.weight->Text() + ", 'bias' is " + norm.bias->Text());
  }
  norm.mean = CheckStatistic(plan, mean, "mean", norm.rows);
  norm.rstd = CheckStatistic(plan, rstd, "rstd", norm.rows);
  plan.run = [norm] { norm.Run(); };
}

}  // namespace

ACLNN(LayerNorm, (const Tensor*, input), (const IntArray*, normalized_shape),
      (const Tensor*, weight), (const Tensor*, bias), (double, eps), (Tensor*, out),
      (Tensor*, mean), (Tensor*, rstd)) {
  PlanLayerNorm(plan, input, normalized_shape, weight, bias, eps, out, mean, rstd);
}
// The same with another strategy on the chip.
ACLNN(FastLayerNorm, (const Tensor*, input), (const IntArray*, normalized_shape),
      (const Tensor*, weight), (const Tensor*, bias), (double, eps), (Tensor*, out),
      (Tensor*, mean), (Tensor*, rstd)) {
  PlanLayerNorm(plan, input, normalized_shape, weight, bias, eps, out, mean, rstd);
}

}  // namespace softnpu
