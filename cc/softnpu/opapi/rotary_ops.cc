// cc/softnpu/opapi/rotary_ops.cc: rows that are turned by angles, as positions are given to queries
// and keys, and the gradients, in double precision, rounded once.
#include <string>
#include <vector>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

constexpr int64_t kHalf = 0, kInterleave = 1;

// Elements that are turned together: i and i + D / 2, or 2 i and 2 i + 1.
struct Pairs {
  int64_t mode, width;

  size_t First(int64_t i) const { return static_cast<size_t>(mode == kHalf ? i : 2 * i); }
  size_t Second(int64_t i) const {
    return static_cast<size_t>(mode == kHalf ? i + width / 2 : 2 * i + 1);
  }
};

struct Turned {
  View x, cos, sin;
  Pairs pairs;
};
Turned TurnedOf(const Plan& plan, const View& x, const char* name, const Tensor* cos,
                const Tensor* sin, int64_t mode, int least) {
  constexpr int64_t kMostWidth = 894;
  Turned made{Checked(x, name, kFloats, least, 4),
              Checked(plan.Get(cos, "cos"), "cos", kFloats),
              Checked(plan.Get(sin, "sin"), "sin", kFloats),
              {mode, x.Dim(x.rank - 1)}};
  if (mode != kHalf && mode != kInterleave) {
    throw Error(kAclnnInvalid, Format("'mode' is %lld; it must be 0 or 1", Long(mode)));
  }
  const int64_t width = made.pairs.width;
  if (width % 2 != 0 || width > kMostWidth) {
    throw Error(kAclnnInvalid,
                Format("'%s' is %s; its last dimension must be even and at most %lld", name,
                       x.Text().c_str(), Long(kMostWidth)));
  }
  CheckEqualShape(made.sin, "sin", made.cos, "cos");
  for (const auto& [view, of] : {std::pair(&made.cos, "cos"), std::pair(&made.sin, "sin")}) {
    CheckSameType(*view, of, x, name);
    int own = 0;  // dimensions but the last that are not shared
    bool fits = view->rank == x.rank && view->Dim(x.rank - 1) == width;
    for (int d = 0; fits && d + 1 < x.rank; ++d) {
      fits = view->Dim(d) == 1 || view->Dim(d) == x.Dim(d);
      own += view->Dim(d) != 1;
    }
    if (!fits || (mode == kInterleave && own > 1)) {
      throw Error(kAclnnInvalid,
                  Format("'%s' is %s; with an '%s' of %s it must have its last dimension, and its "
                         "others or 1%s",
                         of, view->Text().c_str(), name, x.Text().c_str(),
                         mode == kInterleave ? ", all but one 1 in mode 1" : ""));
    }
  }
  return made;
}

std::vector<double> Values(const View& view) {
  std::vector<double> out;
  ForEachRun<1>({view}, [&](const auto& base, const auto& strides, int64_t n) {
    const size_t first = out.size();
    out.resize(first + static_cast<size_t>(n));
    LoadElements(view.dtype, base[0], strides[0], n, out.data() + first);
  });
  return out;
}

void Write(const View& view, const std::vector<double>& values) {
  size_t at = 0;
  Map<double, 0>(view, {}, [&] { return values[at++]; });
}

// What cos multiplies is `x`, and what sin multiplies is this.
std::vector<double> Across(const Pairs& pairs, const std::vector<double>& x) {
  std::vector<double> out(x.size());
  const auto width = static_cast<size_t>(pairs.width);
  for (size_t row = 0; row < x.size(); row += width) {
    for (int64_t i = 0; i < pairs.width / 2; ++i) {
      out[row + pairs.First(i)] = -x[row + pairs.Second(i)];
      out[row + pairs.Second(i)] = x[row + pairs.First(i)];
    }
  }
  return out;
}

void PlanRotary(Plan& plan, const Turned& given, const Tensor* out) {
  const View result = plan.Out(out, "out");
  CheckSameType(result, "out", given.x, "x");
  CheckEqualShape(result, "out", given.x, "x");
  plan.run = [=] {
    const std::vector<double> x = Values(given.x);
    const std::vector<double> across = Across(given.pairs, x);
    const std::vector<double> cosines = Values(Expanded(given.cos, given.x, "'cos'"));
    const std::vector<double> sines = Values(Expanded(given.sin, given.x, "'sin'"));
    std::vector<double> found(x.size());
    for (size_t i = 0; i < x.size(); ++i) found[i] = x[i] * cosines[i] + across[i] * sines[i];
    Write(result, found);
  };
}

// Writes products, added where `out` is shared.
void WriteSum(const View& out, const View& like, const std::vector<double>& a,
              const std::vector<double>& b) {
  std::vector<double> products(a.size());
  for (size_t i = 0; i < a.size(); ++i) products[i] = a[i] * b[i];
  const AtenTensor flat =
      ToAten(products.data(), {static_cast<int64_t>(products.size())}, {1}, DType::kDouble);
  const AtenTensor shaped = Aten("aten::reshape", "", flat, like.Shape())[0];
  Give(out, Aten("aten::sum_to_size", "", shaped, out.Shape())[0]);
}

}  // namespace

ACLNN(RotaryPositionEmbedding, (const Tensor*, x), (const Tensor*, cos), (const Tensor*, sin),
      (int64_t, mode), (Tensor*, out)) {
  PlanRotary(plan, TurnedOf(plan, plan.Get(x, "x"), "x", cos, sin, mode, 4), out);
}
// A matrix in the place of a turn is for other chips.
ACLNN(RotaryPositionEmbeddingV2, (const Tensor*, x), (const Tensor*, cos), (const Tensor*, sin),
      (int64_t, mode), (const Tensor*, rotate), (Tensor*, out)) {
  if (rotate != nullptr) {
    throw Error(kAclnnNotImplemented, "'rotate' is given; SoftNPU computes without it alone");
  }
  PlanRotary(plan, TurnedOf(plan, plan.Get(x, "x"), "x", cos, sin, mode, 3), out);
}
// Without `x` the gradients of cos and sin are neither computed nor written.
ACLNN(RotaryPositionEmbeddingGrad, (const Tensor*, dy), (const Tensor*, cos), (const Tensor*, sin),
      (const Tensor*, x), (int64_t, mode), (Tensor*, dx), (Tensor*, dcos), (Tensor*, dsin)) {
  const Turned given = TurnedOf(plan, plan.Get(dy, "dy"), "dy", cos, sin, mode, 3);
  const View by_x = plan.Out(dx, "dx");
  CheckSameType(by_x, "dx", given.x, "dy");
  CheckEqualShape(by_x, "dx", given.x, "dy");
  std::optional<View> from, by_cos, by_sin;
  if (x != nullptr) {
    from = plan.Get(x, "x");
    CheckSameType(*from, "x", given.x, "dy");
    CheckEqualShape(*from, "x", given.x, "dy");
    by_cos = plan.Out(dcos, "dcos");
    by_sin = plan.Out(dsin, "dsin");
    CheckEqualShape(*by_cos, "dcos", given.cos, "cos");
    CheckEqualShape(*by_sin, "dsin", given.sin, "sin");
  }
  plan.run = [=] {
    const std::vector<double> g = Values(given.x);
    const std::vector<double> cosines = Values(Expanded(given.cos, given.x, "'cos'"));
    std::vector<double> turned = Values(Expanded(given.sin, given.x, "'sin'"));
    for (size_t i = 0; i < g.size(); ++i) turned[i] *= g[i];
    const std::vector<double> back = Across(given.pairs, turned);
    std::vector<double> found(g.size());
    for (size_t i = 0; i < g.size(); ++i) found[i] = g[i] * cosines[i] - back[i];
    Write(by_x, found);
    if (!from || g.empty()) return;
    const std::vector<double> values = Values(*from);
    WriteSum(*by_cos, given.x, g, values);
    WriteSum(*by_sin, given.x, g, Across(given.pairs, values));
  };
}

}  // namespace softnpu
