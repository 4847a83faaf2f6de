// cc/ops/launch.h: kernels of a family, found and launched through the ACL C API alone.
//
// libascendcl.so is looked up when it is first needed, so that this code loads on a machine without
// CANN. The binary of a family is `<kernel directory>/<family>.<lower-case SoC name>.o`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cc/ops/operator.h"

namespace vllm_cann::ops {

// An absolute path. Launches that are made from now on have their kernels from there.
// Throws std::invalid_argument.
void SetKernelDirectory(const std::string& directory);

// Loads the binary of a family for the current device, which launches do otherwise when they are
// prepared. Throws std::runtime_error: no CANN, no current device, or what ACL reports.
void LoadFamily(const std::string& family);

// The device that is current on this thread and its numbers, asked of it once.
struct CurrentDevice {
  int32_t id = 0;
  const DeviceInfo* info = nullptr;
};
// Throws std::runtime_error: no CANN, no current device, or what ACL reports.
CurrentDevice GetCurrentDevice();
int32_t GetCurrentDeviceId();

// A launch of one kernel, checked and tiled for tensors of certain types and shapes, which takes
// their addresses: it can be queued any number of times, from any thread, at the price of a copy of
// its arguments.
class Launch {
 public:
  // Of `declared`, for tensors and options in its order, on the current device.
  // Throws std::invalid_argument: the plan refuses them; std::runtime_error: no CANN, no device, or
  // the kernel cannot be loaded on it.
  Launch(const Operator& declared, const Tensor* tensors, const OptionValue* options);

  size_t num_addresses() const { return addresses_.size(); }

  // Queues the kernel with the tensors at `addresses`, in the order of the operator's tensors
  // (those that share a place have one address), 0 for those that are absent. `stream` is one of
  // the device, which is current. Throws std::invalid_argument: an address is missing, or not one
  // of such elements; std::runtime_error: what ACL reports.
  void operator()(const uint64_t* addresses, void* stream) const;

 private:
  struct Address {
    const char* name;
    uint64_t unaligned;  // bits that are not set in it: all, if the tensor is absent
    bool is_needed;      // the tensor has elements
  };

  [[noreturn]] void RefuseAddress(const Address& address, uint64_t value) const;

  const char* operation_;
  PlannedKernel planned_;
  void* function_ = nullptr;
  std::vector<Address> addresses_;
};

enum class CopyKind { kHostToDevice, kDeviceToHost, kDeviceToDevice };

// Queues a copy on `stream`. Host memory has to stay as it is until the copy was made.
// Throws std::runtime_error with the code and the message of ACL.
void CopyMemory(uintptr_t destination, uintptr_t source, size_t bytes, CopyKind kind, void* stream);

}  // namespace vllm_cann::ops
