// cc/softnpu/runtime/profile.cc: the profile of this process, read once.
#include "cc/softnpu/runtime/profile.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

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

// The devices of ASCEND_RT_VISIBLE_DEVICES; all where it is not set.
std::vector<int> Visible(int devices) {
  constexpr const char* kName = "ASCEND_RT_VISIBLE_DEVICES";
  const char* const text = std::getenv(kName);
  std::vector<int> out;
  if (text == nullptr || *text == '\0') {
    for (int device = 0; device < devices; ++device) out.push_back(device);
    return out;
  }
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    const bool digits = !word.empty() && word.size() < 4 &&
                        word.find_first_not_of("0123456789") == std::string::npos;
    const int device = digits ? std::stoi(word) : -1;
    if (device < 0 || device >= devices || std::find(out.begin(), out.end(), device) != out.end()) {
      throw Error(kInvalidParam, Format("%s is '%s': '%s' has to be a device of 0 to %d, once",
                                        kName, text, word.c_str(), devices - 1));
    }
    out.push_back(device);
  }
  return out;
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
    ProcessProfile out{ReadProfile(path), 1, {}};
    out.hbm_bytes = FromEnvironment("SOFTNPU_HBM_BYTES", out.hbm_bytes, 1 << 20, out.hbm_bytes);
    out.physical = Visible(static_cast<int>(FromEnvironment("SOFTNPU_DEVICES", 1, 1, kMaxDevices)));
    out.devices = static_cast<uint32_t>(out.physical.size());
    return out;
  }();
  return profile;
}

}  // namespace softnpu
