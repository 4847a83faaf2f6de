// cc/softnpu/opapi/foreach_ops.cc: one function of all tensors of a list, in double precision
// (whole numbers in int64), rounded once.
#include <cmath>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

std::vector<View> Outs(const Plan& plan, const TensorList* list, const char* name) {
  std::vector<View> views;
  for (const Tensor* tensor : plan.Required(list, name).tensors)
    views.push_back(plan.Out(tensor, name));
  return views;
}

// Lists of one length; the tensors at one place have one shape.
template <size_t N>
struct Lists {
  std::array<std::vector<View>, N> in;
  std::vector<View> out;
};
template <size_t N>
Lists<N> ListsOf(const Plan& plan, const std::array<const TensorList*, N>& inputs,
                 const TensorList* out, uint32_t types) {
  constexpr const char* kNames[] = {"x1", "x2", "x3"};
  Lists<N> made;
  for (size_t k = 0; k < N; ++k) made.in[k] = plan.Get(inputs[k], kNames[k]);
  made.out = Outs(plan, out, "out");
  for (size_t k = 0; k < N; ++k) {
    if (made.in[k].size() != made.out.size()) {
      throw Error(kAclnnInvalid, Format("'%s' has %zu tensors, and 'out' %zu", kNames[k],
                                        made.in[k].size(), made.out.size()));
    }
    for (size_t i = 0; i < made.out.size(); ++i) {
      Checked(made.in[k][i], kNames[k], types);
      CheckEqualShape(made.in[k][i], kNames[k], made.out[i], "out");
    }
  }
  return made;
}

// out[i] = function(number(i), x1[i], ...) of whole numbers where all are whole.
template <size_t N, typename Number, typename Function>
void PlanLists(Plan& plan, const Lists<N>& lists, Number number, Function function) {
  plan.run = [=] {
    for (size_t i = 0; i < lists.out.size(); ++i) {
      const Scalar scalar = number(i);
      std::array<View, N> views;
      for (size_t k = 0; k < N; ++k) views[k] = lists.in[k][i];
      if (IsFloating(lists.out[i].dtype)) {
        Map<double, N>(lists.out[i], views, [&](auto... x) { return function(scalar.real, x...); });
      } else {
        Map<int64_t, N>(lists.out[i], views, [&](auto... x) {
          return static_cast<int64_t>(function(scalar.integer, x...));
        });
      }
    }
  };
}
auto Same(const Plan& plan, const Scalar* scalar) {
  return [value = plan.Required(scalar, "scalar")](size_t) { return value; };
}
auto Each(const Plan& plan, const ScalarList* list, size_t count) {
  std::vector<Scalar> values;
  for (const Scalar* scalar : plan.Required(list, "scalars").scalars) values.push_back(*scalar);
  if (values.size() != count) {
    throw Error(kAclnnInvalid,
                Format("'scalars' has %zu numbers for %zu tensors", values.size(), count));
  }
  return [values](size_t i) { return values[i]; };
}
// A number of the device for each tensor, which is read when the operator runs.
auto Each(const Plan& plan, const Tensor* scalars, size_t count) {
  const View view = Checked(plan.Get(scalars, "scalars"), "scalars", kReals, 1, 1);
  if (view.Count() != static_cast<int64_t>(count)) {
    throw Error(kAclnnInvalid,
                Format("'scalars' is %s, for %zu tensors", view.Text().c_str(), count));
  }
  return [view](size_t i) {
    Scalar made;
    LoadElements(view.dtype,
                 view.Host() + static_cast<int64_t>(i) * view.Stride(0) * Size(view.dtype), 1, 1,
                 &made.real);
    return made;
  };
}

constexpr uint32_t kSums = kFloats | Only(DType::kInt32);
constexpr auto kAdd = [](auto s, auto x) { return x + s; };
constexpr auto kSub = [](auto s, auto x) { return x - s; };
constexpr auto kMul = [](auto s, auto x) { return x * s; };
constexpr auto kDiv = [](auto s, auto x) { return x / s; };
constexpr auto kPow = [](auto s, auto x) { return std::pow(x, s); };
constexpr auto kMost = [](auto s, auto x) { return x != x ? x : (s != s || s > x ? s : x); };
constexpr auto kLeast = [](auto s, auto x) { return x != x ? x : (s != s || s < x ? s : x); };
constexpr auto kAddScaled = [](auto s, auto x, auto y) { return x + s * y; };
constexpr auto kSubScaled = [](auto s, auto x, auto y) { return x - s * y; };
constexpr auto kLerp = [](auto w, auto x, auto y) { return x + w * (y - x); };
constexpr auto kAddcmul = [](auto s, auto x, auto a, auto b) { return x + s * (a * b); };
constexpr auto kAddcdiv = [](auto s, auto x, auto a, auto b) { return x + s * (a / b); };

}  // namespace

#define SOFTNPU_FOREACH_FUNCTION(NAME, ATEN)                         \
  ACLNN(Foreach##NAME, (const TensorList*, x), (TensorList*, out)) { \
    const Lists<1> lists = ListsOf<1>(plan, {x}, out, kSums);        \
    plan.run = [=] {                                                 \
      for (size_t i = 0; i < lists.out.size(); ++i) {                \
        Give(lists.out[i], Aten(ATEN, "", Wide(lists.in[0][i]))[0]); \
      }                                                              \
    };                                                               \
  }
SOFTNPU_FOREACH_FUNCTION(Abs, "aten::abs")
SOFTNPU_FOREACH_FUNCTION(Acos, "aten::acos")
SOFTNPU_FOREACH_FUNCTION(Asin, "aten::asin")
SOFTNPU_FOREACH_FUNCTION(Atan, "aten::atan")
SOFTNPU_FOREACH_FUNCTION(Cos, "aten::cos")
SOFTNPU_FOREACH_FUNCTION(Cosh, "aten::cosh")
SOFTNPU_FOREACH_FUNCTION(Erf, "aten::erf")
SOFTNPU_FOREACH_FUNCTION(Erfc, "aten::erfc")
SOFTNPU_FOREACH_FUNCTION(Exp, "aten::exp")
SOFTNPU_FOREACH_FUNCTION(Expm1, "aten::expm1")
SOFTNPU_FOREACH_FUNCTION(Log, "aten::log")
SOFTNPU_FOREACH_FUNCTION(Log10, "aten::log10")
SOFTNPU_FOREACH_FUNCTION(Log1p, "aten::log1p")
SOFTNPU_FOREACH_FUNCTION(Log2, "aten::log2")
SOFTNPU_FOREACH_FUNCTION(Neg, "aten::neg")
SOFTNPU_FOREACH_FUNCTION(Reciprocal, "aten::reciprocal")
SOFTNPU_FOREACH_FUNCTION(Sigmoid, "aten::sigmoid")
SOFTNPU_FOREACH_FUNCTION(Sign, "aten::sign")
SOFTNPU_FOREACH_FUNCTION(Sin, "aten::sin")
SOFTNPU_FOREACH_FUNCTION(Sinh, "aten::sinh")
SOFTNPU_FOREACH_FUNCTION(Sqrt, "aten::sqrt")
SOFTNPU_FOREACH_FUNCTION(Tan, "aten::tan")
SOFTNPU_FOREACH_FUNCTION(Tanh, "aten::tanh")

// One scalar for all tensors, or one for each.
#define SOFTNPU_FOREACH_SCALAR(NAME, TYPES, OP)                                          \
  ACLNN(Foreach##NAME##ScalarV2, (const TensorList*, x), (const Scalar*, scalar),        \
        (TensorList*, out)) {                                                            \
    PlanLists<1>(plan, ListsOf<1>(plan, {x}, out, TYPES), Same(plan, scalar), OP);       \
  }                                                                                      \
  ACLNN(Foreach##NAME##ScalarList, (const TensorList*, x), (const ScalarList*, scalars), \
        (TensorList*, out)) {                                                            \
    const Lists<1> lists = ListsOf<1>(plan, {x}, out, TYPES);                            \
    PlanLists<1>(plan, lists, Each(plan, scalars, lists.out.size()), OP);                \
  }
SOFTNPU_FOREACH_SCALAR(Add, kSums, kAdd)
SOFTNPU_FOREACH_SCALAR(Sub, kSums, kSub)
SOFTNPU_FOREACH_SCALAR(Mul, kSums, kMul)
SOFTNPU_FOREACH_SCALAR(Div, kFloats, kDiv)
SOFTNPU_FOREACH_SCALAR(Pow, kSums, kPow)
SOFTNPU_FOREACH_SCALAR(Maximum, kSums, kMost)
SOFTNPU_FOREACH_SCALAR(Minimum, kSums, kLeast)

// Two lists; the operators without a factor have one of 1.
#define SOFTNPU_FOREACH_SCALED(NAME, TYPES, OP)                                                   \
  ACLNN(Foreach##NAME, (const TensorList*, x1), (const TensorList*, x2), (const Scalar*, factor), \
        (TensorList*, out)) {                                                                     \
    PlanLists<2>(plan, ListsOf<2>(plan, {x1, x2}, out, TYPES), Same(plan, factor), OP);           \
  }
SOFTNPU_FOREACH_SCALED(AddListV2, kSums, kAddScaled)
SOFTNPU_FOREACH_SCALED(SubListV2, kSums, kSubScaled)
SOFTNPU_FOREACH_SCALED(LerpScalar, kFloats, kLerp)
#define SOFTNPU_FOREACH_LIST(NAME, TYPES, OP)                                          \
  ACLNN(Foreach##NAME##List, (const TensorList*, x1), (const TensorList*, x2),         \
        (TensorList*, out)) {                                                          \
    PlanLists<2>(                                                                      \
        plan, ListsOf<2>(plan, {x1, x2}, out, TYPES), [](size_t) { return Scalar{}; }, \
        [](auto, auto x, auto y) { return OP(y, x); });                                \
  }
SOFTNPU_FOREACH_LIST(Mul, kSums, kMul)
SOFTNPU_FOREACH_LIST(Div, kFloats, kDiv)
SOFTNPU_FOREACH_LIST(Maximum, kSums, kMost)
SOFTNPU_FOREACH_LIST(Minimum, kSums, kLeast)
SOFTNPU_FOREACH_LIST(Pow, kSums, kPow)
ACLNN(ForeachLerpList, (const TensorList*, x1), (const TensorList*, x2),
      (const TensorList*, weights), (TensorList*, out)) {
  PlanLists<3>(
      plan, ListsOf<3>(plan, {x1, x2, weights}, out, kFloats), [](size_t) { return Scalar{}; },
      [](auto, auto x, auto y, auto w) { return kLerp(w, x, y); });
}
ACLNN(ForeachPowScalarAndTensor, (const Scalar*, scalar), (const TensorList*, x),
      (TensorList*, out)) {
  PlanLists<1>(plan, ListsOf<1>(plan, {x}, out, kSums), Same(plan, scalar),
               [](auto s, auto e) { return std::pow(s, e); });
}

#define SOFTNPU_FOREACH_ADDC(NAME, TYPES, OP)                                               \
  ACLNN(Foreach##NAME##ScalarV2, (const TensorList*, x1), (const TensorList*, x2),          \
        (const TensorList*, x3), (const Scalar*, scalar), (TensorList*, out)) {             \
    PlanLists<3>(plan, ListsOf<3>(plan, {x1, x2, x3}, out, TYPES), Same(plan, scalar), OP); \
  }                                                                                         \
  ACLNN(Foreach##NAME##ScalarList, (const TensorList*, x1), (const TensorList*, x2),        \
        (const TensorList*, x3), (const Tensor*, scalars), (TensorList*, out)) {            \
    const Lists<3> lists = ListsOf<3>(plan, {x1, x2, x3}, out, kFloats);                    \
    PlanLists<3>(plan, lists, Each(plan, scalars, lists.out.size()), OP);                   \
  }
SOFTNPU_FOREACH_ADDC(Addcmul, kSums, kAddcmul)
SOFTNPU_FOREACH_ADDC(Addcdiv, kFloats, kAddcdiv)

// The norm of each tensor, of order 1, 2 or infinity.
ACLNN(ForeachNorm, (const TensorList*, x), (const Scalar*, ord), (TensorList*, out)) {
  const std::vector<View> in = plan.Get(x, "x");
  const std::vector<View> norms = Outs(plan, out, "out");
  const double order = plan.Required(ord, "scalar").real;
  if (order != 1 && order != 2 && !(std::isinf(order) && order > 0)) {
    throw Error(kAclnnInvalid,
                Format("'scalar' is %g; the order of a norm must be 1, 2 or infinity", order));
  }
  if (in.size() != norms.size()) {
    throw Error(kAclnnInvalid,
                Format("'x' has %zu tensors, and 'out' %zu", in.size(), norms.size()));
  }
  for (size_t i = 0; i < in.size(); ++i) {
    Checked(in[i], "x", kFloats);
    if (Checked(norms[i], "out", kFloats).Count() != 1) {
      throw Error(kAclnnInvalid, "'out' is " + norms[i].Text() + "; each norm is one number");
    }
  }
  plan.run = [=] {
    for (size_t i = 0; i < in.size(); ++i) {
      double total = 0;
      ForEachRun<1>({in[i]}, [&](const auto& base, const auto& strides, int64_t count) {
        double values[kChunk];
        for (int64_t done = 0; done < count; done += kChunk) {
          const int64_t n = std::min(kChunk, count - done);
          LoadElements(in[i].dtype, base[0] + done * strides[0] * Size(in[i].dtype), strides[0], n,
                       values);
          for (int64_t k = 0; k < n; ++k) {
            const double size = std::fabs(values[k]);
            if (order == 1) total += size;
            if (order == 2) total += size * size;
            if (std::isinf(order) && !(total >= size)) total = total != total ? total : size;
          }
        }
      });
      Map<double, 0>(norms[i], {}, [&] { return order == 2 ? std::sqrt(total) : total; });
    }
  };
}
ACLNN(ForeachZeroInplace, (TensorList*, x)) {
  const std::vector<View> views = Outs(plan, x, "x");
  plan.run = [=] {
    for (const View& view : views) FillElements(view, {DType::kInt64, 0, 0});
  };
}
// Gradients times 'inverseScale'; 'foundInf' becomes 1 when one of them is not finite.
ACLNN(ForeachNonFiniteCheckAndUnscale, (TensorList*, scaled), (Tensor*, found),
      (const Tensor*, inverse)) {
  std::vector<View> grads;
  for (const Tensor* tensor : plan.Required(scaled, "scaledGrads").tensors) {
    grads.push_back(Checked(plan.InOut(tensor, "scaledGrads"), "scaledGrads", kFloats));
  }
  const View flag = Checked(plan.InOut(found, "foundInf"), "foundInf", Only(DType::kFloat));
  const View factor = Checked(plan.Get(inverse, "inScale"), "inScale", Only(DType::kFloat));
  for (const View* view : {&flag, &factor}) {
    if (view->Count() != 1)
      throw Error(kAclnnInvalid,
                  "'foundInf' and 'inScale' must be one number, not " + view->Text());
  }
  plan.run = [=] {
    double scale = 0;
    LoadElements(factor.dtype, factor.Host(), 1, 1, &scale);
    bool finite = true;
    for (const View& grad : grads) {
      Map<double, 1>(grad, {grad}, [&](double x) {
        finite = finite && std::isfinite(x);
        return x * scale;
      });
    }
    if (!finite) FillElements(flag, {DType::kInt64, 1, 1});
  };
}

}  // namespace softnpu
