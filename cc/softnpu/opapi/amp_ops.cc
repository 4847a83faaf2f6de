// cc/softnpu/opapi/amp_ops.cc: the scale of losses in training with float16.
#include <cmath>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {

// It shrinks after a step whose gradients were not finite, and grows after `interval` steps of
// finite ones, unless it would become infinite.
ACLNN(AmpUpdateScale, (const Tensor*, current), (const Tensor*, tracker), (const Tensor*, found),
      (double, growth), (double, backoff), (int64_t, interval), (Tensor*, new_scale),
      (Tensor*, new_tracker)) {
  const View scale = Checked(plan.Get(current, "currentScale"), "currentScale", kFloats);
  const View steps =
      Checked(plan.Get(tracker, "growthTracker"), "growthTracker", Only(DType::kInt32));
  const View flag = Checked(plan.Get(found, "foundInf"), "foundInf", kFloats);
  const View next = Checked(plan.Out(new_scale, "updatedScale"), "updatedScale", kFloats);
  const View counted = Checked(plan.Out(new_tracker, "updatedGrowthTracker"),
                               "updatedGrowthTracker", Only(DType::kInt32));
  for (const View* view : {&scale, &steps, &flag, &next, &counted}) {
    if (view->Count() != 1) {
      throw Error(kAclnnInvalid, "each tensor must be one number, not " + view->Text());
    }
  }
  plan.run = [=] {
    double value = 0, infinite = 0;
    int64_t count = 0;
    LoadElements(scale.dtype, scale.Host(), 1, 1, &value);
    LoadElements(flag.dtype, flag.Host(), 1, 1, &infinite);
    LoadElements(steps.dtype, steps.Host(), 1, 1, &count);
    if (infinite != 0) {
      value *= backoff;
      count = 0;
    } else if (++count == interval) {
      const auto grown = static_cast<float>(value * growth);
      if (std::isfinite(grown)) value = double{grown};
      count = 0;
    }
    StoreElements(next.dtype, next.Host(), 1, 1, &value);
    StoreElements(counted.dtype, counted.Host(), 1, 1, &count);
  };
}

}  // namespace softnpu
