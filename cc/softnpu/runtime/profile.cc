// cc/softnpu/runtime/profile.cc: the profile of this process, read once.
#include "cc/softnpu/runtime/profile.h"

#include <cerrno>
#include <cstdlib>
#include <string>

#include "cc/softnpu/base/error.h"

namespace softnpu {
namespace {

int64_t FromEnvironment(const char* name, int64_t fallback, int64_t low, int64_t high) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return fallback;
  char* end = nullptr;
  errno = 0;
  const int64_t value = std::strtoll(text, &end, 10);
  if (*end != '\0' || errno == ERANGE || value < low || value > high) {
    throw Error(kInvalidParam,
                Format("%s is '%s'; it must be a whole number from %lld to %lld", name, text,
                       static_cast<long long>(low), static_cast<long long>(high)));
  }
  return value;
}

}  // namespace

const ProcessProfile& CurrentProfile() {
  static const ProcessProfile profile = [] {
    const char* path = std::getenv("SOFTNPU_PROFILE_FILE");
    if (path == nullptr || *path == '\0') {
      throw Error(
          kInvalidParam,
          "SOFTNPU_PROFILE_FILE is not set; start the program with `softnpu run -- COMMAND`");
    }
    ProcessProfile out{ReadProfile(path)};
    out.hbm_bytes = FromEnvironment("SOFTNPU_HBM_BYTES", out.hbm_bytes, 1 << 20, out.hbm_bytes);
    out.devices = static_cast<uint32_t>(FromEnvironment("SOFTNPU_DEVICES", 1, 1, 8));
    return out;
  }();
  return profile;
}

}  // namespace softnpu
