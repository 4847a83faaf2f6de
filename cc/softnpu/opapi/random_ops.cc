// cc/softnpu/opapi/random_ops.cc: random numbers.
//
// torch_npu hands over seed and offset. The same pair gives the same numbers in every run; they are
// not the numbers that a chip draws.
#include <cmath>

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

}  // namespace

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
