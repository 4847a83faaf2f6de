// cc/softnpu/opapi/batch_norm_ops.cc: normalisation of channels over a batch, and of groups of them
// in each of its members, in double precision, rounded once.
#include <optional>
#include <string>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// A number for each channel.
View Channels(const View& view, const char* name, int64_t count) {
  Checked(view, name, kFloats, 1, 1);
  if (view.Count() != count) {
    throw Error(kAclnnInvalid, Format("'%s' is %s; it must have %lld elements, as there are "
                                      "channels",
                                      name, view.Text().c_str(), Long(count)));
  }
  return view;
}
std::optional<View> ChannelsIf(const Plan& plan, const Tensor* tensor, const char* name,
                               int64_t count) {
  if (tensor == nullptr) return std::nullopt;
  return Channels(plan.Get(tensor, name), name, count);
}

// A statistic that training moves, and that inference reads.
std::optional<View> Running(const Plan& plan, const Tensor* tensor, const char* name, int64_t count,
                            bool training) {
  if (tensor == nullptr) {
    if (!training) plan.Missing(name);
    return std::nullopt;
  }
  return Channels(training ? plan.InOut(tensor, name) : plan.Get(tensor, name), name, count);
}

void CheckEqual(int64_t value, const char* name, int64_t expected, const View& self) {
  if (value != expected) {
    throw Error(kAclnnInvalid, Format("'%s' is %lld; for a 'self' of %s it must be %lld", name,
                                      Long(value), self.Text().c_str(), Long(expected)));
  }
}

}  // namespace

// saveInvstd is 1 / sqrt(variance + eps), as torch's function and aclnnBatchNormBackward have it;
// the page of aclnnBatchNorm says that it is the variance on Atlas A2. It is written by training
// alone, like saveMean.
ACLNN(BatchNorm, (const Tensor*, input), (const Tensor*, weight), (const Tensor*, bias),
      (Tensor*, running_mean), (Tensor*, running_var), (bool, training), (double, momentum),
      (double, eps), (Tensor*, output), (Tensor*, save_mean), (Tensor*, save_invstd)) {
  const View in = Checked(plan.Get(input, "input"), "input", kFloats, 2);
  const int64_t channels = in.Dim(1);
  const std::optional<View> scale = ChannelsIf(plan, weight, "weight", channels);
  const std::optional<View> shift = ChannelsIf(plan, bias, "bias", channels);
  const auto mean = Running(plan, running_mean, "runningMean", channels, training);
  const auto variance = Running(plan, running_var, "runningVar", channels, training);
  const View out = plan.Out(output, "output");
  CheckSameType(out, "output", in, "input");
  CheckEqualShape(out, "output", in, "input");
  std::optional<View> saved_mean, saved_invstd;
  if (training) {
    saved_mean = Channels(plan.Out(save_mean, "saveMean"), "saveMean", channels);
    saved_invstd = Channels(plan.Out(save_invstd, "saveInvstd"), "saveInvstd", channels);
  }
  plan.run = [=] {
    const std::optional<AtenTensor> means = ForAten(mean);
    const std::optional<AtenTensor> variances = ForAten(variance);
    const std::vector<AtenTensor> found =
        Aten<3>("aten::native_batch_norm", "", InDouble(in), ForAten(scale), ForAten(shift), means,
                variances, training, momentum, eps);
    Give(out, found[0]);
    if (saved_mean) Give(*saved_mean, found[1]);
    if (saved_invstd) Give(*saved_invstd, found[2]);
    if (training && mean) Give(*mean, *means);
    if (training && variance) Give(*variance, *variances);
  };
}

ACLNN(GroupNorm, (const Tensor*, self), (const Tensor*, gamma), (const Tensor*, beta), (int64_t, n),
      (int64_t, c), (int64_t, hxw), (int64_t, group), (double, eps), (Tensor*, out),
      (Tensor*, mean), (Tensor*, rstd)) {
  const View in = Checked(plan.Get(self, "self"), "self", kFloats, 2);
  const View result = plan.Out(out, "out");
  const View means = plan.Out(mean, "meanOut");
  const View inverses = plan.Out(rstd, "rstdOut");
  int64_t rest = 1;
  for (int d = 2; d < in.rank; ++d) rest *= in.Dim(d);
  CheckEqual(n, "N", in.Dim(0), in);
  CheckEqual(c, "C", in.Dim(1), in);
  CheckEqual(hxw, "HxW", rest, in);
  if (group < 1 || c % group != 0) {
    throw Error(kAclnnInvalid, Format("'group' is %lld; it must be at least 1 and divide the %lld "
                                      "channels",
                                      Long(group), Long(c)));
  }
  if (!(eps > 0)) throw Error(kAclnnInvalid, Format("'eps' is %g; it must be above 0", eps));
  const std::optional<View> scale = ChannelsIf(plan, gamma, "gamma", c);
  const std::optional<View> shift = ChannelsIf(plan, beta, "beta", c);
  if (scale) CheckSameType(*scale, "gamma", in, "self");
  if (shift) CheckSameType(*shift, "beta", in, "self");
  CheckSameType(result, "out", in, "self");
  CheckEqualShape(result, "out", in, "self");
  for (const auto& [view, name] : {std::pair(&means, "meanOut"), std::pair(&inverses, "rstdOut")}) {
    CheckSameType(*view, name, in, "self");
    if (view->Shape() != std::vector<int64_t>{n, group}) {
      throw Error(kAclnnInvalid, Format("'%s' is %s; it must be [%lld, %lld]", name,
                                        view->Text().c_str(), Long(n), Long(group)));
    }
  }
  PlanWide<3>(plan, {result, means, inverses}, "aten::native_group_norm", "", in, scale, shift, n,
              c, hxw, group, eps);
}

// The same, and then x * logistic(x).
ACLNN(GroupNormSilu, (const Tensor*, self), (const Tensor*, gamma), (const Tensor*, beta),
      (int64_t, group), (double, eps), (Tensor*, out), (Tensor*, mean), (Tensor*, rstd)) {
  const View in = Checked(plan.Get(self, "self"), "self", kFloats, 2);
  const View result = plan.Out(out, "out");
  const View means = Checked(plan.Out(mean, "meanOut"), "meanOut", kFloats, 2, 2);
  const View inverses = Checked(plan.Out(rstd, "rstdOut"), "rstdOut", kFloats, 2, 2);
  const int64_t channels = in.Dim(1);
  if (group < 1 || channels % group != 0) {
    throw Error(kAclnnInvalid, Format("'group' is %lld; it must be at least 1 and divide the %lld "
                                      "channels",
                                      Long(group), Long(channels)));
  }
  if (!(eps > 0)) throw Error(kAclnnInvalid, Format("'eps' is %g; it must be above 0", eps));
  const std::optional<View> scale = ChannelsIf(plan, gamma, "gamma", channels);
  const std::optional<View> shift = ChannelsIf(plan, beta, "beta", channels);
  CheckSameType(result, "out", in, "self");
  CheckEqualShape(result, "out", in, "self");
  int64_t rest = 1;
  for (int d = 2; d < in.rank; ++d) rest *= in.Dim(d);
  plan.run = [=] {
    const std::vector<AtenTensor> found =
        Aten<3>("aten::native_group_norm", "", InDouble(in), ForAten(scale), ForAten(shift),
                in.Dim(0), channels, rest, group, eps);
    Give(result, Aten("aten::silu", "", found[0])[0]);
    Give(means, found[1]);
    Give(inverses, found[2]);
  };
}

}  // namespace softnpu
