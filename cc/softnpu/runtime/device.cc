// cc/softnpu/runtime/device.cc: device table, current device and context, fork guard.
#include "cc/softnpu/runtime/device.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/base/signals.h"
#include "cc/softnpu/runtime/profile.h"

namespace softnpu {
namespace {

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
thread_local void* t_context = nullptr;

}  // namespace

Device::Device(int index)
    : index_(index),
      memory_(index, static_cast<size_t>(CurrentProfile().hbm_bytes)),
      error_(std::make_shared<DeviceError>()),
      default_stream_(std::make_shared<Stream>(index, g_next_stream++, error_)),
      primary_context_(Contexts().Add(std::make_shared<Context>(Context{index, true}))) {}

void* Device::CreateStream() {
  auto stream = std::make_shared<Stream>(index_, g_next_stream++, error_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::erase_if(streams_, [](const auto& made) { return made->Ended(); });
    streams_.push_back(stream);
  }
  return softnpu::Streams().Add(std::move(stream));
}

std::vector<std::shared_ptr<Stream>> Device::Streams() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(streams_, [](const auto& made) { return made->Ended(); });
  std::vector<std::shared_ptr<Stream>> out = streams_;
  out.push_back(default_stream_);
  return out;
}

bool Device::Synchronize(int64_t timeout_ms) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  bool done = true;
  for (const std::shared_ptr<Stream>& stream : Streams()) {
    int64_t left = timeout_ms;
    if (timeout_ms >= 0) {
      left = std::max<int64_t>(
          0,
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count());
    }
    done = stream->WaitForQueued(left) && done;
  }
  if (done) error_->Raise();
  return done;
}

void Device::Reset() {
  for (const std::shared_ptr<Stream>& stream : Streams()) stream->WaitForQueued(-1);
  error_->Clear();
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
  t_context = GetDevice(index).primary_context();
  t_device = index;
  SetMessageDevice(index);
  UseSignalStack();
}

Device& CurrentDevice() {
  RefuseForkedChild();
  if (t_device < 0) {
    throw Error(kRtContextNull, "this thread has no device: call aclrtSetDevice first");
  }
  return GetDevice(t_device);
}

HandleTable<Stream>& Streams() {
  static auto* table = new HandleTable<Stream>(HandleKind::kStream, kRtStreamContext);
  return *table;
}

HandleTable<Context>& Contexts() {
  static auto* table = new HandleTable<Context>(HandleKind::kContext, kRtContextNull);
  return *table;
}

void SetCurrentContext(void* handle) {
  RefuseForkedChild();
  SetCurrentDevice(Contexts().Get(handle)->device);
  t_context = handle;
}

void* CurrentContext() {
  CurrentDevice();
  Contexts().Get(t_context);
  return t_context;
}

std::shared_ptr<Stream> ResolveStream(const void* handle) {
  if (handle == nullptr) return CurrentDevice().default_stream();
  RefuseForkedChild();
  return Streams().Get(handle);
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
