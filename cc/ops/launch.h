// cc/ops/launch.h: kernels of a family, found and launched through the ACL C API alone.
//
// libascendcl.so is looked up when it is first needed, so that this code loads on a machine without
// CANN. The binary of a family is `<kernel directory>/<family>.<lower-case SoC name>.o`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "cc/ops/tensor.h"

namespace vllm_cann::ops {

// An absolute path. Launches that are made from now on have their kernels from there.
// Throws std::invalid_argument.
void SetKernelDirectory(const std::string& directory);

// The device that is current on this thread and its numbers, asked of it once.
struct CurrentDevice {
  int32_t id = 0;
  const DeviceInfo* info = nullptr;
};
// Throws std::runtime_error: no CANN, no current device, or what ACL reports.
CurrentDevice GetCurrentDevice();

// A launch of one kernel, checked and tiled for tensors of certain types and shapes, which takes
// their addresses: it can be queued any number of times, from any thread, at the price of a copy of
// its arguments.
class Launch {
 public:
  // A parameter of the kernel that is a tensor; its name has static storage.
  struct Parameter {
    const char* name;
    const Tensor& tensor;
  };

  // `plan` has the kernel's name, its cores, 0 of which launch nothing, and the tiling, whose words
  // the kernel takes behind its tensors. `operation` and the kernel's name have static storage.
  // Throws std::runtime_error: the kernel cannot be loaded on the device.
  template <typename Plan>
  Launch(const CurrentDevice& device, const char* operation, const char* family, const Plan& plan,
         std::initializer_list<Parameter> parameters)
      : Launch(operation, plan.kernel, plan.cores, parameters,
               reinterpret_cast<const uint64_t*>(&plan.tiling),
               sizeof(plan.tiling) / sizeof(uint64_t)) {
    static_assert(sizeof(plan.tiling) % sizeof(uint64_t) == 0);
    if (plan.cores != 0) Load(device, family);
  }

  size_t num_addresses() const { return addresses_.size(); }

  // Queues the kernel with the tensors at `addresses`, in the order of the parameters, 0 for those
  // that are absent. `stream` is one of the device, which is current.
  // Throws std::invalid_argument: an address is missing, or not one of such elements;
  // std::runtime_error: what ACL reports.
  void operator()(const uint64_t* addresses, void* stream) const;

 private:
  struct Address {
    const char* name;
    uint64_t unaligned;  // bits that are not set in it: all, if the tensor is absent
    bool is_needed;      // the tensor has elements
  };

  Launch(const char* operation, const char* kernel, uint32_t cores,
         std::initializer_list<Parameter> parameters, const uint64_t* tiling, size_t words);
  void Load(const CurrentDevice& device, const char* family);
  [[noreturn]] void RefuseAddress(const Address& address, uint64_t value) const;

  const char* operation_;
  const char* kernel_;
  uint32_t cores_;
  void* function_ = nullptr;
  std::vector<Address> addresses_;
  std::vector<uint64_t> tiling_;
};

enum class CopyKind { kHostToDevice, kDeviceToHost, kDeviceToDevice };

// Queues a copy on `stream`. Host memory has to stay as it is until the copy was made.
// Throws std::runtime_error with the code and the message of ACL.
void CopyMemory(uintptr_t destination, uintptr_t source, size_t bytes, CopyKind kind, void* stream);

}  // namespace vllm_cann::ops
