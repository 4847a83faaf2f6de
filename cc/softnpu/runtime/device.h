// cc/softnpu/runtime/device.h: the devices of this process and the current device of each thread.
//
// A device has a primary context, one default stream, and one memory. They are made at the first
// use and live until the process ends. Handles of streams and contexts come from tables that all
// devices share.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cc/softnpu/base/handle_table.h"
#include "cc/softnpu/runtime/memory.h"
#include "cc/softnpu/runtime/stream.h"

namespace softnpu {

class Device {
 public:
  explicit Device(int index);

  int index() const { return index_; }
  DeviceMemory& memory() { return memory_; }
  DeviceError& error() { return *error_; }
  const std::shared_ptr<Stream>& default_stream() { return default_stream_; }
  void* primary_context() const { return primary_context_; }
  // The handle of a new stream.
  void* CreateStream();
  // Waits for every stream. Returns false on timeout. Throws the error of the device.
  bool Synchronize(int64_t timeout_ms);
  // Waits for every stream and ends the error of the device.
  void Reset();

 private:
  // The streams that may have work: also one that was destroyed with work left.
  std::vector<std::shared_ptr<Stream>> Streams();

  const int index_;
  DeviceMemory memory_;
  const std::shared_ptr<DeviceError> error_;
  const std::shared_ptr<Stream> default_stream_;
  void* const primary_context_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Stream>> streams_;  // ended ones leave at the next call
};

struct Context {
  int device = -1;
  bool primary = false;
};

// Throws Error 107001 for an index outside 0..devices-1, 507000 in a forked child.
Device& GetDevice(int index);
// The device that this thread has set. Throws Error 107002 when it has set none.
Device& CurrentDevice();
int CurrentDeviceIndex();  // -1 when none is set
void SetCurrentDevice(int index);

HandleTable<Stream>& Streams();
HandleTable<Context>& Contexts();
// Throws Error 107002 for a handle that is no context, 507000 in a forked child.
void SetCurrentContext(void* handle);
// Throws Error 107002: this thread has none, or it was destroyed.
void* CurrentContext();

// The stream of a handle; null means the default stream of the current device.
// Throws Error 107003 when the handle is no stream, 507000 in a forked child.
std::shared_ptr<Stream> ResolveStream(const void* handle);

// Throws Error 507000 in a child that was forked after the first use of a device.
void RefuseForkedChild();

}  // namespace softnpu
