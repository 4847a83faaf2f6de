// cc/softnpu/runtime/device.h: the devices of this process and the current device of each thread.
//
// A device has one context (its primary context), one default stream, and one memory. They are made
// at the first use and live until the process ends.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "cc/softnpu/runtime/memory.h"
#include "cc/softnpu/runtime/stream.h"

namespace softnpu {

class Device {
 public:
  explicit Device(int index);

  int index() const { return index_; }
  DeviceMemory& memory() { return memory_; }
  Stream& default_stream() { return *default_stream_; }
  Stream* CreateStream();
  // Throws Error 107003 for a handle that is no live stream of this device.
  void DestroyStream(Stream* stream);
  bool Owns(const Stream* stream);
  // Waits for every stream. Returns false on timeout.
  bool Synchronize(int64_t timeout_ms);

 private:
  const int index_;
  DeviceMemory memory_;
  std::unique_ptr<Stream> default_stream_;
  std::mutex mutex_;
  std::vector<Stream*> streams_;  // destroyed ones are dropped from here but never freed
};

// Throws Error 107001 for an index outside 0..devices-1, 507000 in a forked child.
Device& GetDevice(int index);
// The device that this thread has set. Throws Error 107002 when it has set none.
Device& CurrentDevice();
int CurrentDeviceIndex();  // -1 when none is set
void SetCurrentDevice(int index);
// The stream of a handle; null means the default stream of the current device.
// Throws Error 107003 when the handle is no stream.
Stream& ResolveStream(void* handle);

// Throws Error 507000 in a child that was forked after the first use of a device.
void RefuseForkedChild();

}  // namespace softnpu
