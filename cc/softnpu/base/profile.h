// cc/softnpu/base/profile.h: the numbers of a chip, read from a profile.
//
// No other place knows a chip's numbers, and no other code reads a profile: the runtime calls
// ReadProfile, Python calls it through the simulator's C interface. A profile is a TOML file; see
// python/softnpu/profiles. Every key of the chip has to be there, no other key may be.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace softnpu {

// Sizes are bytes. UB is of a vector core; L1, L0, bias table and fixpipe buffer are of a cube
// core; L2 and HBM are of the device. A field has no default: 0 means that nobody has read a
// profile.
struct Profile {
  std::string soc_name;
  int64_t npu_arch = 0;
  int64_t ai_cores = 0;
  int64_t cube_cores = 0;
  int64_t vector_cores = 0;
  int64_t ub_bytes = 0;
  int64_t l1_bytes = 0;
  int64_t l0a_bytes = 0;
  int64_t l0b_bytes = 0;
  int64_t l0c_bytes = 0;
  int64_t bias_bytes = 0;
  int64_t fixpipe_bytes = 0;
  int64_t l2_bytes = 0;
  int64_t hbm_bytes = 0;
  bool bfloat16 = false;
  bool data_copy_pad = false;
  // The [time] section by dotted names, "vector.Add.start"; empty when the chip's time is not
  // modelled.
  std::optional<std::map<std::string, double>> time;
};

// Reads a profile. Throws Error that names the file, the key, the value and what is wanted.
Profile ReadProfile(const std::string& path);

// The fields of a chip with their names, in the order of the struct, without the time.
using ProfileValue = std::variant<std::string, int64_t, bool>;
std::vector<std::pair<const char*, ProfileValue>> FieldsOf(const Profile& profile);

}  // namespace softnpu
