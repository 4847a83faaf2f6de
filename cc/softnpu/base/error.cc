// cc/softnpu/base/error.cc: keeps the last error sentence for aclGetRecentErrMsg.
#include "cc/softnpu/base/error.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <mutex>
#include <new>
#include <utility>

namespace softnpu {
namespace {

std::mutex g_mutex;
// torch_npu asks from another thread than the one that failed, so sentences are kept for devices,
// not for threads. Place 0 is for threads without a device.
std::array<std::string, size_t{kMaxDevices} + 1> g_recent;
thread_local size_t t_place = 0;
thread_local std::string t_answer;
thread_local int32_t t_last_code = 0;
thread_local std::string t_own;

}  // namespace

std::string Format(const char* format, ...) {
  va_list args;
  va_start(args, format);
  va_list copy;
  va_copy(copy, args);
  const int length = vsnprintf(nullptr, 0, format, copy);
  va_end(copy);
  std::string out(static_cast<size_t>(length), '\0');
  vsnprintf(out.data(), out.size() + 1, format, args);
  va_end(args);
  return out;
}

void SetMessageDevice(int device) noexcept {
  t_place = device < 0 ? 0 : std::min<size_t>(static_cast<size_t>(device) + 1, kMaxDevices);
}

int32_t Report(int32_t code, const std::string& message) noexcept {
  t_last_code = code;
  try {
    // A sentence that crossed the stream or another library comes back with its prefix.
    std::string text =
        message.rfind(kMessagePrefix, 0) == 0 ? message : std::string(kMessagePrefix) + message;
    t_own = text;
    std::lock_guard<std::mutex> lock(g_mutex);
    g_recent[t_place] = std::move(text);
  } catch (const std::bad_alloc&) {
    // The code alone is left.
  }
  return code;
}

const char* RecentMessage() noexcept {
  try {
    std::lock_guard<std::mutex> lock(g_mutex);
    t_answer = g_recent[g_recent[t_place].empty() ? 0 : t_place];
  } catch (const std::bad_alloc&) {
    return "";
  }
  return t_answer.c_str();
}

std::string OwnMessage() {
  return t_own.rfind(kMessagePrefix, 0) == 0 ? t_own.substr(kMessagePrefix.size()) : t_own;
}

int32_t LastCode(bool clear) noexcept {
  const int32_t code = t_last_code;
  if (clear) t_last_code = 0;
  return code;
}

}  // namespace softnpu
