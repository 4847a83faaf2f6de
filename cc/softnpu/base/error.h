// cc/softnpu/base/error.h: the one error type of SoftNPU.
//
// Every refusal and every fault is an Error: a sentence that names the object, the value and the
// limit, and the code that CANN or the chip would give. Errors never cross the C ABI as exceptions:
// the ABI functions return `code` and keep the sentence for aclGetRecentErrMsg.
//
#pragma once

#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

namespace softnpu {

// The devices that SoftNPU can have: as many as one server has.
inline constexpr int kMaxDevices = 16;

// ACL and aclnn codes, as CANN documents them.
enum Code : int32_t {
  kOk = 0,
  kInvalidParam = 100000,
  kUninitialized = 100001,
  kRepeatInitialize = 100002,
  kApiNotSupported = 200001,
  kRtParamInvalid = 107000,
  kRtInvalidDevice = 107001,
  kRtContextNull = 107002,
  kRtStreamContext = 107003,
  kRtEventTimestamp = 107007,
  kRtFeatureNotSupport = 207000,
  kRtMemoryAllocation = 207001,
  kRtInternal = 507000,
  kRtIpc = 507022,
  kAicoreTimeout = 507014,
  kAicoreException = 507015,
  kAicoreTrap = 507016,
  kVectorCoreTimeout = 507034,
  kVectorCoreException = 507035,
  kVectorCoreTrap = 507036,
  kRtCollectiveTimeout = 507048,
  kRtRemote = 507057,
  kFileNotFound = 100005,
  kAclnnNullptr = 161001,
  kAclnnInvalid = 161002,
  kAclnnTiling = 561002,
  kAclnnNotImplemented = 561103,
};

class Error : public std::runtime_error {
 public:
  Error(int32_t code, const std::string& message) : std::runtime_error(message), code_(code) {}
  int32_t code() const { return code_; }

 private:
  int32_t code_;
};

// printf-style formatting into a std::string.
[[gnu::format(printf, 1, 2)]] std::string Format(const char* format, ...);

// The device that this thread works with, -1 for none. Sentences are kept for each device.
void SetMessageDevice(int device) noexcept;
// Every remembered sentence begins with it.
inline constexpr std::string_view kMessagePrefix = "SoftNPU: ";
// Remembers the sentence as the last one of this thread's device and returns `code`.
int32_t Report(int32_t code, const std::string& message) noexcept;
// The last sentence of this thread's device, whichever thread reported it; where that device has
// none, the last one of threads without a device; empty if there is none either. The text stays
// valid until this thread asks again.
const char* RecentMessage() noexcept;
int32_t LastCode(bool clear) noexcept;
// The last sentence that this thread reported, without the prefix; empty if none.
std::string OwnMessage();

// Runs `body`, turns an exception into a code. Nothing is thrown, so this is what stands between
// SoftNPU and its callers in C.
template <typename Body>
int32_t Guard(const char* function, Body&& body) noexcept {
  try {
    body();
    return kOk;
  } catch (const Error& error) {
    return Report(error.code(), std::string(function) + ": " + error.what());
  } catch (const std::exception& error) {
    return Report(kRtInternal, std::string(function) + ": " + error.what());
  } catch (...) {
    return Report(kRtInternal, std::string(function) + ": an exception of an unknown type");
  }
}

}  // namespace softnpu
