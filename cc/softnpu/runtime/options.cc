// cc/softnpu/runtime/options.cc: reads the SOFTNPU_* variables.
#include "cc/softnpu/runtime/options.h"

#include <cerrno>
#include <cstdlib>
#include <sstream>

#include "cc/softnpu/base/error.h"

namespace softnpu {
namespace {

bool Choice(const char* name, const char* on, const char* off, bool fallback) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return fallback;
  const std::string value = text;
  if (value == on) return true;
  if (value == off) return false;
  throw Error(kInvalidParam, Format("%s is '%s'; it must be '%s' or '%s'", name, text, on, off));
}

// Names that are separated by commas.
std::set<std::string> Names(const char* name, const std::set<std::string>& known) {
  std::set<std::string> out;
  const char* const text = std::getenv(name);
  std::istringstream words(text == nullptr ? "" : text);
  for (std::string word; std::getline(words, word, ',');) {
    if (known.count(word) == 0) {
      std::string all;
      for (const std::string& each : known) all += (all.empty() ? "" : ", ") + each;
      throw Error(kInvalidParam,
                  Format("%s has '%s'; there are %s", name, word.c_str(), all.c_str()));
    }
    out.insert(word);
  }
  return out;
}

int64_t Number(const char* name, int64_t low, int64_t high) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return 0;
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

const Options& GetOptions() {
  static const Options options = [] {
    Options out;
    out.strict = Choice("SOFTNPU_CHECKS", "strict", "off", true);
    out.unchecked =
        Names("SOFTNPU_UNCHECKED", {"alignment", "bounds", "init", "queues", "races", "sizes"});
    out.unwritten = Choice("SOFTNPU_UNWRITTEN", "stop", "ignore", true);
    out.stream_races = Choice("SOFTNPU_STREAM_RACES", "stop", "ignore", false);
    out.async = Choice("SOFTNPU_STREAMS", "async", "eager", true);
    out.delay_us = Number("SOFTNPU_DELAY_US", 0, 100000);
    out.seed = static_cast<uint64_t>(Number("SOFTNPU_SEED", 0, INT64_MAX));
    out.host_visible = Choice("SOFTNPU_HOST_VISIBLE", "1", "0", false);
    out.trace_tasks = static_cast<uint64_t>(Number("SOFTNPU_TRACE_TASKS", 0, int64_t{1} << 26));
    if (const char* dir = std::getenv("SOFTNPU_STATE_DIR")) out.state_dir = dir;
    return out;
  }();
  return options;
}

}  // namespace softnpu
