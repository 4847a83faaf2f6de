// cc/softnpu/opapi/qkv_ops.cc: queries, keys and values that lie in one tensor, for each head.
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {

// qkv [batch, tokens, 3 * heads * size] and a bias of its last dimension give q, k and v, each
// [batch, heads, tokens, size]; q is scaled by 1 / sqrt(size).
ACLNN(TransformBiasRescaleQkv, (const Tensor*, qkv), (const Tensor*, qkv_bias),
      (int64_t, num_heads), (Tensor*, q), (Tensor*, k), (Tensor*, v)) {
  const View in = Checked(plan.Get(qkv, "qkv"), "qkv", kFloats, 3, 3);
  const View bias = Checked(plan.Get(qkv_bias, "qkvBias"), "qkvBias", kFloats, 1, 1);
  CheckSameType(bias, "qkvBias", in, "qkv");
  const int64_t width = in.Dim(2);
  if (bias.Count() != width) {
    throw Error(kAclnnInvalid, "'qkvBias' is " + bias.Text() +
                                   "; it must have the last dimension "
                                   "of 'qkv', " +
                                   in.Text());
  }
  if (num_heads < 1 || width % (3 * num_heads) != 0) {
    throw Error(kAclnnInvalid, Format("'numHeads' is %lld; three times that must divide the last "
                                      "dimension of 'qkv', %s",
                                      Long(num_heads), in.Text().c_str()));
  }
  const View outs[3] = {plan.Out(q, "qOut"), plan.Out(k, "kOut"), plan.Out(v, "vOut")};
  const char* const names[3] = {"qOut", "kOut", "vOut"};
  const std::vector<int64_t> shape{in.Dim(0), num_heads, in.Dim(1), width / 3 / num_heads};
  for (int i = 0; i < 3; ++i) {
    CheckSameType(outs[i], names[i], in, "qkv");
    if (outs[i].Shape() != shape) {
      throw Error(kAclnnInvalid,
                  Format("'%s' is %s, the result is %s", names[i], outs[i].Text().c_str(),
                         Reshaped(in, shape).Text().c_str()));
    }
  }
  if (in.Count() == 0) {
    plan.run = [] {};
    return;
  }
  PlanWide<3>(plan, {outs[0], outs[1], outs[2]}, "aten::_transform_bias_rescale_qkv", "", in, bias,
              num_heads);
}

}  // namespace softnpu
