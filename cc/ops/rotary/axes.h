// cc/ops/rotary/axes.h: what kernels with rotary::Angles share: lanes of axes, and cores.
#pragma once

#include "cc/kernels/rotary/angles_tiling.h"
#include "cc/ops/checks.h"

namespace vllm_cann::ops {

// The cores that share a token of so many elements: as long as one more for each token saves as
// much as it costs. `worth`: the elements that one core computes while the head of a launch takes
// longer by a core.
inline int64_t SplitOf(int64_t elements, int64_t worth, int64_t tokens, int64_t cores) {
  int64_t split = 1;
  while ((split + 1) * tokens <= cores && split * (split + 1) * tokens * worth <= elements) {
    ++split;
  }
  return split;
}

// Whether cosines and sines are given for each token; else they are rows of a table by positions.
inline bool HasGivenAngles(const Checks& checks, const Tensor& positions, const Tensor& table,
                           const Tensor& cos, const Tensor& sin, const int64_t* sections,
                           bool interleaved) {
  const bool given = cos.dims != 0 && sin.dims != 0;
  const bool by_position = positions.dims != 0 && table.dims != 0;
  const int parts = (cos.dims != 0) + (sin.dims != 0) + (positions.dims != 0) + (table.dims != 0);
  VLLM_CANN_REQUIRE(checks, (given || by_position) && parts == 2,
                    "angles are cos_sin_cache and positions, or cos and sin");
  VLLM_CANN_REQUIRE(
      checks, !given || (!interleaved && (sections[0] | sections[1] | sections[2]) == 0),
      "mrope_section and mrope_interleaved are for positions; cos and sin are those of each token "
      "already");
  return given;
}

inline constexpr int64_t kMaxAxisLanes = 128;  // that can take axes of their own

// Sets the bits of the lanes that take the second and the third axis of `positions` [3, tokens].
// Of rotary_dim / 2 lanes, the first sections[0] take the first axis and so on; or, interleaved,
// lanes i with i % 3 = a and i < 3 * sections[a] the axis a = 1 or 2, others the first one.
inline void PlanAxes(const Checks& checks, const Tensor& positions, const int64_t* sections,
                     bool interleaved, int64_t rotary_dim, uint64_t* second, uint64_t* third) {
  const int64_t half = rotary_dim / 2;
  VLLM_CANN_REQUIRE(
      checks, positions.shape[0] == 3,
      "positions has " + Text(positions.shape[0]) + " axes; there can be one or three");
  VLLM_CANN_REQUIRE(checks, half <= kMaxAxisLanes,
                    "positions has three axes, which takes a rotary dimension of " +
                        Text(2 * kMaxAxisLanes) + " at most, not " + Text(rotary_dim));
  int64_t sum = 0;
  for (int axis = 0; axis < 3; ++axis) {
    VLLM_CANN_REQUIRE(checks, sections[axis] >= 0,
                      "a section of " + Text(sections[axis]) + " lanes is negative");
    sum += sections[axis];
  }
  VLLM_CANN_REQUIRE(checks, !interleaved || sum > 0,
                    "positions has three axes, and mrope_section gives none of them a lane");
  VLLM_CANN_REQUIRE(
      checks, interleaved || sum == half,
      "the sections have " + Text(sum) + " lanes, half of the rotary dimension is " + Text(half));
  for (int64_t i = 0; i < half; ++i) {
    int64_t axis = 0;
    if (interleaved) {
      axis = i < 3 * sections[i % 3] ? i % 3 : 0;
    } else if (i >= sections[0]) {
      axis = i < sections[0] + sections[1] ? 1 : 2;
    }
    if (axis == 1) second[i / 64] |= uint64_t{1} << i % 64;
    if (axis == 2) third[i / 64] |= uint64_t{1} << i % 64;
  }
}

}  // namespace vllm_cann::ops
