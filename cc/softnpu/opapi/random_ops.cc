// cc/softnpu/opapi/random_ops.cc: random numbers.
//
// torch_npu hands over seed and offset. The same pair gives the same numbers in every run; they are
// not the numbers that a chip draws.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

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
      const double radius = std::sqrt(-2.0 * std::log(1.0 - random.Uniform()));
      const double angle = 6.283185307179586 * random.Uniform();
      return static_cast<double>(mean) + static_cast<double>(std) * radius * std::cos(angle);
    });
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

}  // namespace softnpu
