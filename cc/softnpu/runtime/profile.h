// cc/softnpu/runtime/profile.h: the chip of this process, and what the environment says of it.
//
//   SOFTNPU_PROFILE_FILE  path of the profile (cc/softnpu/base/profile.h)
//   SOFTNPU_HBM_BYTES     device memory per device, at most the profile's; for what a laptop holds
//   SOFTNPU_DEVICES       number of devices of the machine, 1..16
//   ASCEND_RT_VISIBLE_DEVICES  those that the process has, as CANN reads it: numbers, separated by
//                              commas, in the order in which the process counts them from 0
#pragma once

#include <cstdint>
#include <vector>

#include "cc/softnpu/base/profile.h"

namespace softnpu {

struct ProcessProfile : Profile {
  uint32_t devices = 1;       // that the process has
  std::vector<int> physical;  // the number of each on the machine
};

// Read once. Throws Error as ReadProfile does, and for a variable that is missing or out of its
// range.
const ProcessProfile& CurrentProfile();

}  // namespace softnpu
