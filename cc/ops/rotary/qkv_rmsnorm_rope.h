// cc/ops/rotary/qkv_rmsnorm_rope.h: takes qkv apart, and normalises and rotates query and key.
#pragma once

#include "cc/ops/launch.h"
#include "cc/ops/rotary/qkv_rmsnorm_rope_plan.h"

namespace vllm_cann::ops {

// Of each head x of query and key, x / sqrt(mean(x * x) + epsilon) * weight (+ bias), whose first R
// elements are rotated in NeoX style; value and gate are copied. Arithmetic in float, one rounding
// to nearest. Positions are not checked on the device. No tokens launch nothing.
// Throws std::invalid_argument for arguments, std::runtime_error for what ACL reports.
Launch PrepareQkvRmsnormRope(const QkvRmsnormRopeArgs& args);

// The sums of squares that a norm over the heads of several devices needs, of this device's heads.
Launch PrepareQkvSquareSums(const QkvSquareSumsArgs& args);

}  // namespace vllm_cann::ops
