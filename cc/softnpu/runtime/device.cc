// cc/softnpu/runtime/device.cc: device table, current device, fork guard.
#include "cc/softnpu/runtime/device.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

#include "cc/softnpu/ascendc/error.h"
#include "cc/softnpu/runtime/profile.h"

namespace softnpu {
namespace {

constexpr size_t kMaxDevices = 8;

struct Table {
  std::mutex mutex;
  std::array<Device*, kMaxDevices> devices = {};
};

Table& GetTable() {
  static Table* table = new Table;  // never destroyed: stream workers outlive static destruction
  return *table;
}

std::atomic<uint32_t> g_next_stream{0};
std::atomic<bool> g_forked{false};
thread_local int t_device = -1;

}  // namespace

Device::Device(int index)
    : index_(index),
      memory_(index, static_cast<size_t>(CurrentProfile().hbm_bytes)),
      default_stream_(std::make_unique<Stream>(index, g_next_stream++)) {}

Stream* Device::CreateStream() {
  auto* stream = new Stream(index_, g_next_stream++);
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.push_back(stream);
  return stream;
}

void Device::DestroyStream(Stream* stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = std::find(streams_.begin(), streams_.end(), stream);
  if (it == streams_.end()) {
    throw Error(kRtStreamContext,
                Format("%p is not a live stream of device %d", static_cast<void*>(stream), index_));
  }
  streams_.erase(it);
}

bool Device::Owns(const Stream* stream) {
  if (stream == default_stream_.get()) return true;
  std::lock_guard<std::mutex> lock(mutex_);
  return std::find(streams_.begin(), streams_.end(), stream) != streams_.end();
}

bool Device::Synchronize(int64_t timeout_ms) {
  std::vector<Stream*> streams;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    streams = streams_;
  }
  streams.push_back(default_stream_.get());
  // Every stream is waited for; the first error is the one reported.
  bool done = true;
  std::optional<Error> first;
  for (Stream* stream : streams) {
    try {
      done = stream->Synchronize(timeout_ms) && done;
    } catch (const Error& error) {
      if (!first) first = error;
    }
  }
  if (first) throw *first;
  return done;
}

Device& GetDevice(int index) {
  RefuseForkedChild();
  const auto count = static_cast<int>(CurrentProfile().devices);
  if (index < 0 || index >= count) {
    throw Error(kRtInvalidDevice, Format("device %d does not exist, there %s %d", index,
                                         count == 1 ? "is" : "are", count));
  }
  Table& table = GetTable();
  std::lock_guard<std::mutex> lock(table.mutex);
  Device*& device = table.devices[static_cast<size_t>(index)];
  if (device == nullptr) {
    static std::once_flag once;
    std::call_once(once, [] {
      pthread_atfork(nullptr, nullptr, [] {
        g_forked = true;
        ForgetTraceAfterFork();
      });
      InstallFaultReporter();
    });
    device = new Device(index);
  }
  return *device;
}

int CurrentDeviceIndex() { return t_device; }

void SetCurrentDevice(int index) {
  GetDevice(index);
  t_device = index;
}

Device& CurrentDevice() {
  RefuseForkedChild();
  if (t_device < 0) {
    throw Error(kRtContextNull, "this thread has no device: call aclrtSetDevice first");
  }
  return GetDevice(t_device);
}

Stream& ResolveStream(void* handle) {
  if (handle == nullptr) return CurrentDevice().default_stream();
  RefuseForkedChild();
  auto* stream = static_cast<Stream*>(handle);
  Table& table = GetTable();
  std::array<Device*, kMaxDevices> devices;
  {
    std::lock_guard<std::mutex> lock(table.mutex);
    devices = table.devices;
  }
  for (Device* device : devices) {
    if (device != nullptr && device->Owns(stream)) return *stream;
  }
  throw Error(kRtStreamContext, Format("%p is not a live stream of this process", handle));
}

void RefuseForkedChild() {
  if (g_forked) {
    throw Error(
        kRtInternal,
        Format("process %d was forked after the device was initialised; device handles do not "
               "survive a fork. Use the start method 'spawn'",
               static_cast<int>(getpid())));
  }
}

}  // namespace softnpu
