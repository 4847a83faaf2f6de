// cc/kernels/smallest_ub.h: a kernel takes no more of the UB than its plan has reckoned with.
//
// A plan refuses a UB that is too small. With the smallest one that it accepts, buffers fill all
// that the plan may use, and the tests' chips have nothing beyond that: a sum of the tiling header
// that forgets a buffer makes the kernel fail there.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "cc/ops/tensor.h"
#include "gtest/gtest.h"

namespace vllm_cann::kernels {

// Runs `check(ub_bytes)`, which expects right results, or throws what a plan refuses with, on ever
// smaller UBs. Gives the smallest one that is not refused.
template <typename Check>
int64_t CheckSmallestUb(Check check) {
  int64_t refused = ops::kReservedUbBytes;
  int64_t accepted = 196608;
  check(accepted);
  while (accepted - refused > 32) {
    const int64_t middle = (refused + accepted) / 64 * 32;
    try {
      check(middle);
      accepted = middle;
    } catch (const std::invalid_argument&) {
      refused = middle;
    }
  }
  EXPECT_GT(refused, ops::kReservedUbBytes) << "every UB is large enough";
  return accepted;
}

}  // namespace vllm_cann::kernels
