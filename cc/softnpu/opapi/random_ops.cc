// cc/softnpu/opapi/random_ops.cc: random numbers.
//
// torch_npu hands over seed and offset. The same pair gives the same numbers in every run; they are
// not the numbers that a chip draws.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// SplitMix64 as a counter-based generator.
class Generator {
 public:
  Generator(int64_t seed, int64_t offset)
      : state_(static_cast<uint64_t>(seed) * 0x9E3779B97F4A7C15ULL ^
               (static_cast<uint64_t>(offset) + 1) * 0xD1342543DE82EF95ULL) {}

  uint64_t Bits() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  // In [0, 1), a multiple of 2^-24, exact in float32.
  double Uniform() { return static_cast<double>(Bits() >> 40) * 0x1.0p-24; }
  // Of the normal distribution with mean 0 and deviation 1.
  double Normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - Uniform()));
    return radius * std::cos(6.283185307179586 * Uniform());
  }

 private:
  uint64_t state_;
};

void CheckFloating(const View& view) {
  if (!IsFloating(view.dtype)) throw Error(kAclnnInvalid, "'self' is " + view.Text());
}

// Draws from the columns of a row of weights. What torch calls invalid is undefined on the device.
class Weights {
 public:
  Weights(std::vector<double> weights, int64_t row) : weights_(std::move(weights)) {
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (!(weights_[i] >= 0) || std::isinf(weights_[i])) {
        throw Error(kAicoreException,
                    Format("'self' has the weight %g in row %lld, column %zu (undefined on the "
                           "device)",
                           weights_[i], Long(row), i));
      }
      positive_ += weights_[i] > 0;
    }
    if (positive_ == 0) {
      throw Error(
          kAicoreException,
          Format("'self' has no weight above 0 in row %lld (undefined on the device)", Long(row)));
    }
  }

  int64_t positive() const { return positive_; }

  std::vector<int64_t> WithReplacement(int64_t count, Generator* random) const {
    std::vector<double> sums(weights_.size());
    std::partial_sum(weights_.begin(), weights_.end(), sums.begin());
    std::vector<int64_t> drawn;
    for (int64_t i = 0; i < count; ++i) {
      const double at = random->Uniform() * sums.back();
      drawn.push_back(std::upper_bound(sums.begin(), sums.end(), at) - sums.begin());
    }
    return drawn;
  }

  // A race: a column arrives after a time that is exponential with its weight as the rate.
  std::vector<int64_t> Distinct(int64_t count, Generator* random) const {
    std::vector<std::pair<double, int64_t>> arrivals;
    for (size_t i = 0; i < weights_.size(); ++i) {
      const double time = -std::log(1.0 - random->Uniform());
      if (weights_[i] > 0) arrivals.emplace_back(time / weights_[i], static_cast<int64_t>(i));
    }
    std::partial_sort(arrivals.begin(), arrivals.begin() + count, arrivals.end());
    std::vector<int64_t> drawn;
    for (int64_t i = 0; i < count; ++i) drawn.push_back(arrivals[static_cast<size_t>(i)].second);
    return drawn;
  }

 private:
  std::vector<double> weights_;
  int64_t positive_ = 0;
};

void DrawRows(const View& weights, const View& out, bool replacement, Generator random) {
  const int64_t columns = weights.Dim(1);
  const int64_t count = out.Dim(1);
  for (int64_t row = 0; row < weights.Dim(0); ++row) {
    std::vector<double> values(static_cast<size_t>(columns));
    LoadElements(weights.dtype, weights.Host() + row * weights.Stride(0) * Size(weights.dtype),
                 weights.Stride(1), columns, values.data());
    const Weights drawer(std::move(values), row);
    if (!replacement && drawer.positive() < count) {
      throw Error(kAicoreException,
                  Format("'self' has %lld weights above 0 in row %lld, %lld are drawn without "
                         "replacement (undefined on the device)",
                         Long(drawer.positive()), Long(row), Long(count)));
    }
    const std::vector<int64_t> drawn =
        replacement ? drawer.WithReplacement(count, &random) : drawer.Distinct(count, &random);
    StoreElements(out.dtype, out.Host() + row * out.Stride(0) * Size(out.dtype), out.Stride(1),
                  count, drawn.data());
  }
}

// A row as a matrix of one row.
View AsRows(View view) {
  if (view.rank == 2) return view;
  view.rank = 2;
  view.dims = {1, view.dims[0]};
  view.strides = {0, view.strides[0]};
  return view;
}

// The most columns of weights.
constexpr int64_t kMaxColumns = int64_t{1} << 24;

}  // namespace

ACLNN(Multinomial, (const Tensor*, self), (int64_t, numsamples), (bool, replacement),
      (int64_t, seed), (int64_t, offset), (Tensor*, out)) {
  const View weights = plan.Get(self, "self");
  const View drawn = plan.Out(out, "out");
  CheckFloating(weights);
  const int64_t columns = weights.rank == 0 ? 0 : weights.Dim(weights.rank - 1);
  if (weights.rank < 1 || weights.rank > 2 || columns < 1 || columns > kMaxColumns) {
    throw Error(kAclnnInvalid, "'self' is " + weights.Text() +
                                   ", it has one or two dimensions and at most 2^24 columns");
  }
  if (numsamples < 1 || (!replacement && numsamples > columns)) {
    throw Error(kAclnnInvalid,
                Format("'numsamples' is %lld, 'self' is %s%s", Long(numsamples),
                       weights.Text().c_str(), replacement ? "" : " and nothing is drawn twice"));
  }
  std::vector<int64_t> want = weights.Shape();
  want.back() = numsamples;
  if (drawn.dtype != DType::kInt64 || drawn.Shape() != want) {
    throw Error(kAclnnInvalid, "'out' is " + drawn.Text() + ", 'self' is " + weights.Text() +
                                   Format(" and 'numsamples' %lld", Long(numsamples)));
  }
  plan.run = [=] {
    DrawRows(AsRows(weights), AsRows(drawn), replacement, Generator(seed, offset));
  };
}

ACLNN(Randperm, (int64_t, n), (int64_t, seed), (int64_t, offset), (Tensor*, out)) {
  const View view = plan.Out(out, "out");
  if (n < 0 || view.rank != 1 || view.Dim(0) != n) {
    throw Error(kAclnnInvalid, Format("'n' is %lld, 'out' is %s", Long(n), view.Text().c_str()));
  }
  plan.run = [=] {
    std::vector<int64_t> numbers(static_cast<size_t>(n));
    std::iota(numbers.begin(), numbers.end(), int64_t{0});
    Generator random(seed, offset);
    for (int64_t i = n - 1; i > 0; --i) {
      const uint64_t other = random.Bits() % static_cast<uint64_t>(i + 1);
      std::swap(numbers[static_cast<size_t>(i)], numbers[other]);
    }
    if (n > 0) StoreElements(view.dtype, view.Host(), view.Stride(0), n, numbers.data());
  };
}

ACLNN(InplaceUniform, (Tensor*, self), (double, from), (double, to), (uint64_t, seed),
      (uint64_t, offset)) {
  const View view = plan.Out(self, "self");
  CheckFloating(view);
  if (!(from <= to)) throw Error(kAclnnInvalid, Format("the range is [%g, %g)", from, to));
  plan.run = [=] {
    Generator random(static_cast<int64_t>(seed), static_cast<int64_t>(offset));
    Map<double, 0>(view, {}, [&] { return from + (to - from) * random.Uniform(); });
  };
}

ACLNN(InplaceNormal, (Tensor*, self), (float, mean), (float, std), (int64_t, seed),
      (int64_t, offset)) {
  const View view = plan.Out(self, "self");
  CheckFloating(view);
  if (!(std >= 0)) throw Error(kAclnnInvalid, Format("'std' is %g, it must not be negative", std));
  plan.run = [=] {
    Generator random(seed, offset);
    Map<double, 0>(view, {}, [&] {
      return static_cast<double>(mean) + static_cast<double>(std) * random.Normal();
    });
  };
}

namespace {

// A number for each element of `out`, by the means and deviations that stand there.
void PlanNormal(Plan& plan, const View& mean, const View& deviation, int64_t seed, int64_t offset,
                const View& out) {
  CheckFloating(out);
  plan.run = [=] {
    Generator random(seed, offset);
    Map<double, 2>(out, {mean, deviation}, [&](double m, double s) {
      if (!(s >= 0)) {
        throw Error(kAicoreException,
                    Format("'std' holds %g, it must not be negative (undefined on the device)", s));
      }
      return m + s * random.Normal();
    });
  };
}

View Moment(const Plan& plan, const Tensor* tensor, const char* name) {
  const View view = plan.Get(tensor, name);
  CheckFloating(view);
  return view;
}

// The same with one number for all: `mean` or `std` is a tensor.
template <typename Function>
void PlanNormalBy(Plan& plan, const View& view, int64_t seed, int64_t offset, const Tensor* out,
                  Function function) {
  const View result = plan.Out(out, "out");
  CheckFloating(result);
  plan.run = [=] {
    Generator random(seed, offset);
    Map<double, 1>(result, {view}, [&](double x) { return function(x, random.Normal()); });
  };
}

void CheckDeviation(double deviation) {
  if (!(deviation >= 0)) {
    throw Error(kAclnnInvalid, Format("'std' is %g, it must not be negative", deviation));
  }
}

}  // namespace

ACLNN(NormalTensorTensor, (const Tensor*, mean), (const Tensor*, std), (int64_t, seed),
      (int64_t, offset), (Tensor*, out)) {
  const View means = Moment(plan, mean, "mean");
  PlanNormal(plan, means, Moment(plan, std, "std"), seed, offset, plan.Out(out, "out"));
}
ACLNN(NormalTensorFloat, (const Tensor*, mean), (float, std), (int64_t, seed), (int64_t, offset),
      (Tensor*, out)) {
  CheckDeviation(double{std});
  PlanNormalBy(plan, Moment(plan, mean, "mean"), seed, offset, out,
               [std](double m, double drawn) { return m + double{std} * drawn; });
}
ACLNN(NormalFloatTensor, (float, mean), (const Tensor*, std), (int64_t, seed), (int64_t, offset),
      (Tensor*, out)) {
  PlanNormalBy(plan, Moment(plan, std, "std"), seed, offset, out, [mean](double s, double drawn) {
    CheckDeviation(s);
    return double{mean} + s * drawn;
  });
}
ACLNN(NormalFloatFloat, (float, mean), (float, std), (int64_t, seed), (int64_t, offset),
      (Tensor*, out)) {
  CheckDeviation(double{std});
  const View result = plan.Out(out, "out");
  CheckFloating(result);
  plan.run = [=] {
    Generator random(seed, offset);
    Map<double, 0>(result, {}, [&] { return double{mean} + double{std} * random.Normal(); });
  };
}

ACLNN(InplaceRandom, (Tensor*, self), (int64_t, from), (int64_t, to), (int64_t, seed),
      (int64_t, offset)) {
  const View view = plan.Out(self, "self");
  if (from >= to) {
    throw Error(kAclnnInvalid, Format("the range is [%lld, %lld)", static_cast<long long>(from),
                                      static_cast<long long>(to)));
  }
  plan.run = [=] {
    Generator random(seed, offset);
    const uint64_t range = static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
    // The sum wraps: a range may be wider than int64.
    Map<int64_t, 0>(view, {}, [&] {
      return static_cast<int64_t>(static_cast<uint64_t>(from) + random.Bits() % range);
    });
  };
}

namespace {

void CheckProbability(double value, const char* name) {
  if (!(value >= 0 && value <= 1)) {
    throw Error(kAclnnInvalid, Format("'%s' is %g; it must be 0 to 1", name, value));
  }
}

// A mask has a bit for each element, in blocks of 128.
constexpr int64_t kBlock = 128;
View Mask(const View& view, const char* name, int64_t elements) {
  Checked(view, name, Only(DType::kUint8), 1, 1);
  const int64_t bytes = (elements + kBlock - 1) / kBlock * (kBlock / 8);
  if (view.Count() < bytes) {
    throw Error(kAclnnInvalid,
                Format("'%s' is %s; for %lld elements it must have at least %lld bytes", name,
                       view.Text().c_str(), Long(elements), Long(bytes)));
  }
  return view;
}

template <typename Probability>
void DrawInto(const View& view, const View& from, int64_t seed, int64_t offset,
              Probability probability) {
  Generator random(seed, offset);
  Map<double, 1>(view, {from},
                 [&](double x) { return random.Uniform() < probability(x) ? 1.0 : 0.0; });
}

}  // namespace

// Bit i is 1 where element i stays, which it does with a probability of 1 - prob.
ACLNN(DropoutGenMaskV2, (const IntArray*, shape), (double, prob), (int64_t, seed),
      (int64_t, offset), (int32_t, dtype), (Tensor*, out)) {
  int64_t elements = 1;
  for (const int64_t dim : plan.Required(shape, "shape").values) {
    if (dim < 0) throw Error(kAclnnInvalid, Format("'shape' has %lld", Long(dim)));
    elements *= dim;
  }
  CheckProbability(prob, "prob");
  const View mask = Mask(plan.Out(out, "out"), "out", elements);
  plan.run = [=] {
    Generator random(seed, offset);
    Map<int64_t, 0>(mask, {}, [&] {
      int64_t byte = 0;
      for (int bit = 0; bit < 8; ++bit) byte |= int64_t{random.Uniform() >= prob} << bit;
      return byte;
    });
  };
}

// out = self / (1 - prob) where the mask's bit is 1, else 0.
ACLNN(DropoutDoMask, (const Tensor*, self), (const Tensor*, mask), (double, prob), (Tensor*, out)) {
  const View in = Checked(plan.Get(self, "self"), "self", kFloats);
  const View bits = Mask(plan.Get(mask, "mask"), "mask", in.Count());
  CheckProbability(prob, "prob");
  const View result = plan.Out(out, "out");
  CheckSameType(result, "out", in, "self");
  CheckEqualShape(result, "out", in, "self");
  plan.run = [=] {
    if (in.Count() == 0) return;
    std::vector<int64_t> bytes(static_cast<size_t>(bits.Count()));
    LoadElements(bits.dtype, bits.Host(), bits.Stride(0), bits.Count(), bytes.data());
    size_t i = 0;
    Map<double, 1>(result, {in}, [&](double x) {
      const bool stays = (bytes[i / 8] >> i % 8 & 1) != 0;
      ++i;
      return stays ? x / (1 - prob) : 0.0;
    });
  };
}

ACLNN(InplaceBernoulli, (Tensor*, self), (const Scalar*, prob), (int64_t, seed),
      (int64_t, offset)) {
  const View view = Checked(plan.Out(self, "selfRef"), "selfRef", kAnyType);
  const double probability = plan.Required(prob, "prob").real;
  CheckProbability(probability, "prob");
  plan.run = [=] {
    Generator random(seed, offset);
    Map<double, 0>(view, {}, [&] { return random.Uniform() < probability ? 1.0 : 0.0; });
  };
}
// A probability for each element.
ACLNN(InplaceBernoulliTensor, (Tensor*, self), (const Tensor*, prob), (int64_t, seed),
      (int64_t, offset)) {
  const View view = Checked(plan.Out(self, "selfRef"), "selfRef", kAnyType);
  const View probabilities = Checked(plan.Get(prob, "prob"), "prob", kReals);
  Expanded(probabilities, view, "'prob'");
  plan.run = [=] {
    DrawInto(view, probabilities, seed, offset, [](double x) {
      if (!(x >= 0 && x <= 1)) {
        throw Error(kAicoreException,
                    Format("'prob' holds %g; it must be 0 to 1 (undefined on the device)", x));
      }
      return x;
    });
  };
}

}  // namespace softnpu
