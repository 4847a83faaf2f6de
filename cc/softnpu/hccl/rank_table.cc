// cc/softnpu/hccl/rank_table.cc: reads and checks a rank table.
#include "cc/softnpu/hccl/rank_table.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/base/sharing.h"

namespace softnpu::hccl {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostBytes = 1 << 20;
constexpr size_t kPathBytes = 4096;  // with the zero at the end
constexpr uint32_t kLastPort = 65535;

// A value of the table, and where it is.
class Field {
 public:
  Field(const std::string& file, std::string key, const Json& value)
      : file_(file), key_(std::move(key)), value_(value) {}

  // Throws Error kPara: "rank table 'FILE': KEY is VALUE; WANTED".
  [[noreturn]] void Refuse(const std::string& wanted, Result result = kPara) const {
    std::string text = value_.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, 60) + "...";
    throw Error(result,
                Format("rank table '%s': %s is %s; %s", file_.c_str(),
                       key_.empty() ? "the whole" : key_.c_str(), text.c_str(), wanted.c_str()));
  }
  std::optional<Field> Find(const char* name) const {
    if (!value_.is_object()) Refuse("it has to be an object");
    const auto found = value_.find(name);
    if (found == value_.end()) return std::nullopt;
    return Field(file_, key_.empty() ? name : key_ + "." + name, *found);
  }
  Field At(const char* name) const {
    if (const std::optional<Field> found = Find(name)) return *found;
    throw Error(kPara, Format("rank table '%s': there is no %s%s%s", file_.c_str(), key_.c_str(),
                              key_.empty() ? "" : ".", name));
  }
  std::vector<Field> Items() const {
    if (!value_.is_array() || value_.empty()) Refuse("it has to be a list with entries");
    std::vector<Field> out;
    for (size_t i = 0; i < value_.size(); ++i) {
      out.emplace_back(file_, Format("%s[%zu]", key_.c_str(), i), value_[i]);
    }
    return out;
  }
  std::string Text() const {
    if (!value_.is_string() || value_.get_ref<const std::string&>().empty()) {
      Refuse("it has to be a string that is not empty");
    }
    return value_.get<std::string>();
  }
  // A whole number, as a string.
  uint32_t Number(uint32_t low, uint32_t high) const {
    const std::string wanted =
        Format("it has to be a whole number from %u to %u, in quotes", low, high);
    if (!value_.is_string()) Refuse(wanted);
    const auto& text = value_.get_ref<const std::string&>();
    const bool digits =
        !text.empty() && text.size() <= 10 &&
        std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    const uint64_t number = digits ? std::stoull(text) : 0;
    if (!digits || number < low || number > high) Refuse(wanted);
    return static_cast<uint32_t>(number);
  }
  std::string Address() const {
    std::array<uint8_t, sizeof(in6_addr)> bytes;
    const std::string text = Text();
    if (inet_pton(AF_INET, text.c_str(), bytes.data()) != 1 &&
        inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) {
      Refuse("it has to be an IPv4 or IPv6 address");
    }
    return text;
  }

 private:
  const std::string& file_;
  std::string key_;
  const Json& value_;
};

// Values that may not come twice.
class Once {
 public:
  template <typename T>
  T Add(const Field& field, T value) {
    const std::string text = Text(value);
    if (!seen_.insert(text).second) field.Refuse("it has been there before");
    return value;
  }

 private:
  static std::string Text(const std::string& value) { return value; }
  static std::string Text(uint32_t value) { return std::to_string(value); }
  std::set<std::string> seen_;
};

std::string ReadFile(const std::string& path, struct stat& info) {
  if (path.empty() || path.size() >= kPathBytes) {
    throw Error(kPara, Format("the path of the rank table has %zu bytes; there are 1 to %zu",
                              path.size(), kPathBytes - 1));
  }
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 || fstat(file.get(), &info) != 0) {
    throw Error(kNotFound, Format("rank table '%s': %s", path.c_str(), strerror(errno)));
  }
  if (!S_ISREG(info.st_mode) || static_cast<uint64_t>(info.st_size) > kMostBytes) {
    throw Error(kPara, Format("rank table '%s': it has to be a file of at most %zu bytes",
                              path.c_str(), kMostBytes));
  }
  std::string text(kMostBytes + 1, '\0');
  size_t length = 0;
  ssize_t got = 0;
  while (length < text.size() &&
         (got = read(file.get(), text.data() + length, text.size() - length)) > 0) {
    length += static_cast<size_t>(got);
  }
  if (got < 0) throw Error(kNotFound, Format("rank table '%s': %s", path.c_str(), strerror(errno)));
  text.resize(length);
  return text;
}

// All servers have to be in super pods, each once.
void CheckSuperPods(const Field& table, const std::set<std::string>& servers) {
  Once pods, members;
  size_t count = 0;
  const Field list = table.At("super_pod_list");
  for (const Field& pod : list.Items()) {
    const Field id = pod.At("super_pod_id");
    pods.Add(id, id.Text());
    for (const Field& member : pod.At("server_list").Items()) {
      const Field server = member.At("server_id");
      if (servers.count(members.Add(server, server.Text())) == 0) {
        server.Refuse("there is no such server in server_list");
      }
      ++count;
    }
  }
  if (count != servers.size()) {
    list.Refuse(Format("it has %zu of the %zu servers", count, servers.size()));
  }
}

}  // namespace

RankTable ReadRankTable(const std::string& path) {
  struct stat info = {};
  const std::string text = ReadFile(path, info);
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    throw Error(kPara, Format("rank table '%s': it is no JSON: %s", path.c_str(), error.what()));
  }
  const Field table(path, "", json);
  const Field status = table.At("status");
  if (status.Text() != "completed") {
    status.Refuse("it has to be \"completed\" before ranks join", kUnavailable);
  }
  const Field version = table.At("version");
  const bool has_pods = version.Text() == "1.2";
  if (!has_pods && version.Text() != "1.0") {
    version.Refuse("SoftNPU reads \"1.0\" and \"1.2\"");
  }
  const std::vector<Field> servers = table.At("server_list").Items();
  const Field count = table.At("server_count");
  if (count.Number(1, UINT32_MAX) != servers.size()) {
    count.Refuse(Format("server_list has %zu", servers.size()));
  }
  Once server_ids, device_ids, rank_ids, addresses, super_ids;
  std::set<std::string> names;
  for (const Field& server : servers) {
    const Field id = server.At("server_id");
    names.insert(server_ids.Add(id, id.Text()));
  }
  if (has_pods) CheckSuperPods(table, names);
  if (servers.size() > 1) {
    count.Refuse("SoftNPU has the devices of one machine", kNotSupport);
  }
  if (const auto host = servers[0].Find("host_ip")) host->Address();
  const std::vector<Field> devices = servers[0].At("device").Items();
  const auto ranks = static_cast<uint32_t>(devices.size());
  if (ranks > kMaxRanks) {
    servers[0].At("device").Refuse(
        Format("it has %u entries; SoftNPU has 1 to %u ranks", ranks, kMaxRanks));
  }
  RankTable out;
  out.devices.resize(ranks);
  for (const Field& device : devices) {
    const Field id = device.At("device_id");
    const Field rank = device.At("rank_id");
    const uint32_t number = device_ids.Add(id, id.Number(0, kMaxRanks - 1));
    out.devices[rank_ids.Add(rank, rank.Number(0, ranks - 1))] = static_cast<int32_t>(number);
    if (const auto address = device.Find("device_ip")) addresses.Add(*address, address->Address());
    if (const auto address = device.Find("backup_device_ip")) address->Address();
    for (const char* const port : {"device_port", "backup_device_port", "host_port"}) {
      if (const auto found = device.Find(port)) found->Number(1, kLastPort);
    }
    if (has_pods) {
      const Field super = device.At("super_device_id");
      super_ids.Add(super, super.Number(0, UINT32_MAX));
    }
  }
  out.meeting =
      RootInfo::Of(Format("%u %llu %llu ", geteuid(), static_cast<unsigned long long>(info.st_dev),
                          static_cast<unsigned long long>(info.st_ino)) +
                   text);
  return out;
}

}  // namespace softnpu::hccl
