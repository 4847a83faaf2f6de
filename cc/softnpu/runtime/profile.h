// cc/softnpu/runtime/profile.h: the numbers of a chip, read from a profile data file.
//
// No other place knows a chip's numbers. A profile is a flat TOML file (`name = value`); see
// python/softnpu/profiles. The environment may lower what a laptop cannot hold:
//   SOFTNPU_PROFILE_FILE  path of the profile
//   SOFTNPU_HBM_BYTES     device memory per device, at most the profile's
//   SOFTNPU_DEVICES       number of devices, 1..8
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace softnpu {

struct Profile {
  std::string soc_name;
  int64_t npu_arch = 0;
  int64_t ai_cores = 0;
  int64_t cube_cores = 0;
  int64_t vector_cores = 0;
  int64_t ub_bytes = 0;
  int64_t l1_bytes = 0;
  int64_t l2_bytes = 0;
  int64_t hbm_bytes = 0;
  bool bfloat16 = true;
  bool data_copy_pad = true;
  uint32_t devices = 1;
};

// Reads a profile file. Throws Error naming the file and the missing or malformed key.
Profile ReadProfile(const std::string& path);

// The profile of this process, with the limits of the environment applied; read once.
const Profile& CurrentProfile();

}  // namespace softnpu
