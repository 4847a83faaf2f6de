// cc/softnpu/ascendc/error.cc: keeps the last error sentence for aclGetRecentErrMsg.
#include "cc/softnpu/ascendc/error.h"

#include <cstdarg>
#include <mutex>

namespace softnpu {
namespace {

std::mutex g_mutex;
// torch_npu asks from another thread than the one that failed, so the newest sentence of any thread
// is the fallback for a thread that has none of its own.
std::string g_recent;
thread_local std::string t_answer;
thread_local int32_t t_last_code = 0;

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

int32_t Report(int32_t code, const std::string& message) noexcept {
  t_last_code = code;
  std::lock_guard<std::mutex> lock(g_mutex);
  // A sentence that crossed the stream or another library comes back with its prefix.
  g_recent = message.rfind("SoftNPU: ", 0) == 0 ? message : "SoftNPU: " + message;
  return code;
}

const char* RecentMessage() noexcept {
  std::lock_guard<std::mutex> lock(g_mutex);
  t_answer = g_recent;
  return t_answer.c_str();
}

int32_t LastCode(bool clear) noexcept {
  const int32_t code = t_last_code;
  if (clear) t_last_code = 0;
  return code;
}

}  // namespace softnpu
