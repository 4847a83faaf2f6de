// cc/softnpu/base/profile.cc: TOML by toml++, keys and limits by two tables.
#include "cc/softnpu/base/profile.h"

#define TOML_ENABLE_UNRELEASED_FEATURES 0
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>

#include "cc/softnpu/base/error.h"

namespace softnpu {
namespace {

struct Text {
  const char* key;
  std::string Profile::* field;
};
struct Count {
  const char* key;
  int64_t Profile::* field;
  int64_t low;
  int64_t high;
};
struct Flag {
  const char* key;
  bool Profile::* field;
};

constexpr int64_t kMostCores = 1024;
constexpr int64_t kMostOnChip = int64_t{1} << 30;  // of a memory of a core, and of L2
constexpr int64_t kMostHbm = int64_t{1} << 42;

constexpr Text kTexts[] = {{"soc_name", &Profile::soc_name}};
constexpr Count kCounts[] = {
    {"npu_arch", &Profile::npu_arch, 1, 9999},
    {"ai_cores", &Profile::ai_cores, 1, kMostCores},
    {"cube_cores", &Profile::cube_cores, 1, kMostCores},
    {"vector_cores", &Profile::vector_cores, 1, kMostCores},
    {"ub_bytes", &Profile::ub_bytes, 1, kMostOnChip},
    {"l1_bytes", &Profile::l1_bytes, 1, kMostOnChip},
    {"l0a_bytes", &Profile::l0a_bytes, 1, kMostOnChip},
    {"l0b_bytes", &Profile::l0b_bytes, 1, kMostOnChip},
    {"l0c_bytes", &Profile::l0c_bytes, 1, kMostOnChip},
    {"bias_bytes", &Profile::bias_bytes, 0, kMostOnChip},
    {"fixpipe_bytes", &Profile::fixpipe_bytes, 0, kMostOnChip},
    {"l2_bytes", &Profile::l2_bytes, 1, kMostOnChip},
    {"hbm_bytes", &Profile::hbm_bytes, 1 << 20, kMostHbm},
};
constexpr Flag kFlags[] = {{"bfloat16", &Profile::bfloat16},
                           {"data_copy_pad", &Profile::data_copy_pad}};

// The numbers of [time] that the model always asks for. Those of kRates divide.
constexpr const char* kCosts[] = {
    "flag_cycles",
    "issue_cycles",
    "launch_microseconds",
    "launch_microseconds_per_core",
    "l2_bytes",
    "scalar.ub_access_cycles",
    "scalar.gm_access_cycles",
    "read.start_cycles",
    "read.bytes_per_row",
    "read.least_cycles",
    "write.start_cycles",
    "write.bytes_per_row",
    "write.least_cycles",
    "onchip.start_cycles",
    "bank.read_read_cycles",
    "bank.read_write_cycles",
    "cube.start_cycles",
    "vector.otherwise.start",
    "vector.otherwise.cycles",
};
constexpr const char* kRates[] = {
    "clock_mhz",
    "queue_depth",
    "hbm_bytes_per_cycle",
    "l2_bytes_per_cycle",
    "read.burst_bytes_per_cycle",
    "read.most_bytes_per_cycle",
    "write.burst_bytes_per_cycle",
    "write.most_bytes_per_cycle",
    "onchip.bytes_per_cycle",
    "cube.fixpipe_bytes_per_cycle",
    "cube.l0a_bytes_per_cycle",
    "cube.l0b_bytes_per_cycle",
    "cube.k_per_cycle.b8",
    "cube.k_per_cycle.b16",
    "cube.k_per_cycle.b32",
};
// Of the links between devices. They are both there, or neither is.
constexpr const char* kLinks[] = {"link.devices", "link.gigabytes_per_second"};
// Of vector.<instruction>: cycles of its start, and per repeat by the bits of the widest operand.
constexpr std::string_view kVectorCosts[] = {"start", "b8", "b16", "b32", "b64"};

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {
    std::error_code no_error;
    const bool directory = std::filesystem::is_directory(path, no_error);
    std::ifstream in(path, std::ios::binary);
    if (directory || !in) {
      throw Error(kFileNotFound, "the device profile " + path + " cannot be read (" +
                                     std::strerror(directory ? EISDIR : errno) + ")");
    }
    const std::string text(std::istreambuf_iterator<char>(in), {});
    try {
      table_ = toml::parse(text, path);
    } catch (const toml::parse_error& error) {
      throw Error(kInvalidParam, "the device profile " + path +
                                     " is no TOML: " + std::string(error.description()) +
                                     Format(" (line %u, column %u)", error.source().begin.line,
                                            error.source().begin.column));
    }
  }

  Profile Read() {
    Profile out;
    std::set<std::string_view> known = {"time"};
    for (const Text& text : kTexts) {
      const toml::node& node = Node(text.key);
      known.insert(text.key);
      const std::string value = node.value_exact<std::string>().value_or("");
      if (value.empty()) Refuse(text.key, node, "a text that is not empty");
      out.*text.field = value;
    }
    for (const Count& count : kCounts) {
      const toml::node& node = Node(count.key);
      known.insert(count.key);
      const std::optional<int64_t> value = node.value_exact<int64_t>();
      if (!value || *value < count.low || *value > count.high) {
        Refuse(count.key, node,
               Format("a whole number from %lld to %lld", static_cast<long long>(count.low),
                      static_cast<long long>(count.high)));
      }
      out.*count.field = *value;
    }
    for (const Flag& flag : kFlags) {
      const toml::node& node = Node(flag.key);
      known.insert(flag.key);
      const std::optional<bool> value = node.value_exact<bool>();
      if (!value) Refuse(flag.key, node, "true or false");
      out.*flag.field = *value;
    }
    for (const auto& [key, node] : table_) {
      if (known.count(key.str()) == 0) Unknown(std::string(key.str()), node);
    }
    if (const toml::node* const time = table_.get("time")) {
      if (!time->is_table()) Refuse("time", *time, "a section");
      out.time.emplace();
      Flatten("", *time->as_table(), *out.time);
      CheckTime(*out.time);
    }
    return out;
  }

 private:
  const toml::node& Node(const char* key) const {
    const toml::node* const node = table_.get(key);
    if (node == nullptr) {
      throw Error(kInvalidParam, "the device profile " + path_ + " has no key '" + key + "'");
    }
    return *node;
  }

  static std::string Show(const toml::node& node) {
    std::ostringstream out;
    node.visit([&](const auto& value) { out << toml::toml_formatter(value); });
    return out.str();
  }

  [[noreturn]] void Refuse(const std::string& key, const toml::node& node,
                           const std::string& wanted) const {
    throw Error(kInvalidParam, "the device profile " + path_ + " has " + Show(node) + " for '" +
                                   key + "' (line " + std::to_string(node.source().begin.line) +
                                   "); wanted is " + wanted);
  }
  [[noreturn]] void Unknown(const std::string& key, const toml::node& node) const {
    throw Error(kInvalidParam, "the device profile " + path_ + " has the unknown key '" + key +
                                   "' (line " + std::to_string(node.source().begin.line) + ")");
  }

  void Flatten(const std::string& prefix, const toml::table& table,
               std::map<std::string, double>& out) const {
    for (const auto& [key, node] : table) {
      const std::string name = prefix + std::string(key.str());
      if (node.is_table()) {
        Flatten(name + ".", *node.as_table(), out);
        continue;
      }
      // A whole number is a number, too; true is none.
      const std::optional<double> value =
          node.is_number() ? node.value<double>() : std::optional<double>();
      const auto is_one_of = [&](const auto& names) {
        return std::any_of(std::begin(names), std::end(names),
                           [&](const char* known) { return name == known; });
      };
      const bool divides = is_one_of(kRates) || is_one_of(kLinks);
      if (!value || !std::isfinite(*value) || *value < 0 || (divides && *value == 0)) {
        Refuse("time." + name, node, divides ? "a number above 0" : "a number, 0 or more");
      }
      if (!divides && !IsCost(name)) Unknown("time." + name, node);
      out[name] = *value;
    }
  }

  static bool IsCost(const std::string& name) {
    if (std::any_of(std::begin(kCosts), std::end(kCosts),
                    [&](const char* cost) { return name == cost; })) {
      return true;
    }
    constexpr std::string_view kVector = "vector.";
    const size_t dot = name.rfind('.');
    if (name.compare(0, kVector.size(), kVector) != 0 || dot < kVector.size()) return false;
    return std::count(std::begin(kVectorCosts), std::end(kVectorCosts),
                      std::string_view(name).substr(dot + 1)) > 0 &&
           name.find('.', kVector.size()) == dot && name.compare(0, dot, "vector.otherwise") != 0;
  }

  void CheckTime(const std::map<std::string, double>& time) const {
    const auto check = [&](const char* name) {
      if (time.count(name) == 0) {
        throw Error(kInvalidParam,
                    "the device profile " + path_ + " has no key 'time." + name + "'");
      }
    };
    for (const char* const name : kCosts) check(name);
    for (const char* const name : kRates) check(name);
    for (const char* const name : kLinks) {
      if (time.lower_bound("link.") != time.lower_bound("link/")) check(name);
    }
  }

  std::string path_;
  toml::table table_;
};

}  // namespace

Profile ReadProfile(const std::string& path) { return Reader(path).Read(); }

std::vector<std::pair<const char*, ProfileValue>> FieldsOf(const Profile& profile) {
  std::vector<std::pair<const char*, ProfileValue>> out;
  for (const Text& text : kTexts) out.emplace_back(text.key, profile.*text.field);
  for (const Count& count : kCounts) out.emplace_back(count.key, profile.*count.field);
  for (const Flag& flag : kFlags) out.emplace_back(flag.key, profile.*flag.field);
  return out;
}

}  // namespace softnpu
