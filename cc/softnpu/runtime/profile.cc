// cc/softnpu/runtime/profile.cc: reads the flat TOML subset that profiles use.
#include "cc/softnpu/runtime/profile.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "cc/softnpu/ascendc/error.h"

namespace softnpu {
namespace {

std::string Trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

class Fields {
 public:
  explicit Fields(const std::string& path) : path_(path) {
    std::ifstream in(path);
    if (!in) throw Error(kFileNotFound, "the device profile " + path + " cannot be read");
    std::string line;
    while (std::getline(in, line)) {
      if (const size_t hash = line.find('#'); hash != std::string::npos) line.resize(hash);
      line = Trim(line);
      if (line.empty()) continue;
      if (line.front() == '[') break;  // the sections behind are of others
      const size_t equals = line.find('=');
      if (equals == std::string::npos) {
        throw Error(kInvalidParam,
                    "the device profile " + path + " has a line without '=': " + line);
      }
      std::string value = Trim(line.substr(equals + 1));
      if (!value.empty() && value.front() == '"') {
        if (value.size() < 2 || value.back() != '"') {
          throw Error(kInvalidParam,
                      "the device profile " + path + " has an open quotation: " + line);
        }
        value = value.substr(1, value.size() - 2);
      }
      values_[Trim(line.substr(0, equals))] = value;
    }
  }

  const std::string& Text(const char* key) const {
    const auto it = values_.find(key);
    if (it == values_.end()) {
      throw Error(kInvalidParam, "the device profile " + path_ + " has no key '" + key + "'");
    }
    return it->second;
  }

  int64_t Number(const char* key) const {
    std::string digits;
    for (const char c : Text(key)) {
      if (c != '_') digits += c;
    }
    char* end = nullptr;
    errno = 0;
    const int64_t value = std::strtoll(digits.c_str(), &end, 10);
    if (digits.empty() || *end != '\0' || errno == ERANGE) {
      throw Error(kInvalidParam, "the device profile " + path_ + " has '" + digits + "' for '" +
                                     key + "', which is not a whole number");
    }
    return value;
  }

  bool Flag(const char* key) const {
    const std::string& text = Text(key);
    if (text != "true" && text != "false") {
      throw Error(kInvalidParam, "the device profile " + path_ + " has '" + text + "' for '" + key +
                                     "', which is neither true nor false");
    }
    return text == "true";
  }

 private:
  std::string path_;
  std::map<std::string, std::string> values_;
};

int64_t FromEnvironment(const char* name, int64_t fallback, int64_t low, int64_t high) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return fallback;
  char* end = nullptr;
  const int64_t value = std::strtoll(text, &end, 10);
  if (*end != '\0' || value < low || value > high) {
    throw Error(kInvalidParam,
                Format("%s is '%s'; it must be a whole number from %lld to %lld", name, text,
                       static_cast<long long>(low), static_cast<long long>(high)));
  }
  return value;
}

}  // namespace

Profile ReadProfile(const std::string& path) {
  const Fields fields(path);
  Profile profile;
  profile.soc_name = fields.Text("soc_name");
  profile.npu_arch = fields.Number("npu_arch");
  profile.ai_cores = fields.Number("ai_cores");
  profile.cube_cores = fields.Number("cube_cores");
  profile.vector_cores = fields.Number("vector_cores");
  profile.ub_bytes = fields.Number("ub_bytes");
  profile.l1_bytes = fields.Number("l1_bytes");
  profile.l2_bytes = fields.Number("l2_bytes");
  profile.hbm_bytes = fields.Number("hbm_bytes");
  profile.bfloat16 = fields.Flag("bfloat16");
  profile.data_copy_pad = fields.Flag("data_copy_pad");
  return profile;
}

const Profile& CurrentProfile() {
  static const Profile profile = [] {
    const char* path = std::getenv("SOFTNPU_PROFILE_FILE");
    if (path == nullptr || *path == '\0') {
      throw Error(
          kInvalidParam,
          "SOFTNPU_PROFILE_FILE is not set; start the program with `softnpu run -- COMMAND`");
    }
    Profile out = ReadProfile(path);
    out.hbm_bytes = FromEnvironment("SOFTNPU_HBM_BYTES", out.hbm_bytes, 1 << 20, out.hbm_bytes);
    out.devices = static_cast<uint32_t>(FromEnvironment("SOFTNPU_DEVICES", 1, 1, 8));
    return out;
  }();
  return profile;
}

}  // namespace softnpu
