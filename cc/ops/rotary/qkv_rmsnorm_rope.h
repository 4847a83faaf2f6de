// cc/ops/rotary/qkv_rmsnorm_rope.h: argument checks and tiling of qkv_rmsnorm_rope and
// qkv_square_sums.
#pragma once

#include "cc/kernels/rotary/qkv_rmsnorm_rope_tiling.h"
#include "cc/ops/checks.h"
#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// T tokens, H heads of query, K heads of key and of value, of D elements each.
struct QkvShape {
  // [T, H * D + 2 * K * D], or with a gate, which each head of query then has behind it,
  // [T, H * 2 * D + 2 * K * D]; any stride between tokens. float16, bfloat16 or float32.
  Tensor qkv;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_size = 0;
  bool has_gate = false;
};

struct QkvSquareSumsArgs : QkvShape {
  Tensor sums;  // [T, 2] float32: of query and of key
};

struct QkvRmsnormRopeArgs : QkvShape {
  // [D]; with square_sums [H * D] and [K * D]. In qkv's type.
  Tensor q_weight, k_weight;
  Tensor q_bias, k_bias;  // the same; both may be absent (dims 0)
  // [T], or [3, T] for three axes, which may lie apart; int32 or int64, 0 <= position < P. Absent
  // with cos and sin.
  Tensor positions;
  Tensor cos_sin_cache;      // [P, R], contiguous: cos and then sin of R / 2 frequencies; R <= D
  Tensor cos, sin;           // instead of it: [T, R / 2], as far from row to row
  int64_t sections[3] = {};  // see PlanAxes
  bool interleaved = false;
  // [T, 2] float32: sums of squares over all `world_size` devices, of which each has as many heads
  // as this one; the mean is over all elements. Absent: the mean is over the D elements of a head.
  Tensor square_sums;
  int64_t world_size = 1;
  bool norm_value = false;  // value is normalised, too, without a weight; not with square_sums
  double epsilon = 0;
  Tensor q;     // [T, H * D]
  Tensor k, v;  // [T, K * D]
  Tensor gate;  // [T, H * D] if there is one
};

using QkvRmsnormRopePlan = Plan<QkvRmsnormRopeTiling>;

// Of each head x of query and key, x / sqrt(mean(x * x) + epsilon) * weight (+ bias), whose first R
// elements are rotated in NeoX style; value and gate are copied. Arithmetic in float, one rounding
// to nearest. Positions are not checked on the device. No tokens launch nothing.
// Throw std::invalid_argument with a sentence.
QkvRmsnormRopePlan PlanQkvRmsnormRope(const QkvRmsnormRopeArgs& args, const DeviceInfo& device);
QkvRmsnormRopePlan PlanQkvSquareSums(const QkvSquareSumsArgs& args, const DeviceInfo& device);

}  // namespace vllm_cann::ops
