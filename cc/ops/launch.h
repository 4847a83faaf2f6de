// cc/ops/launch.h: kernels of a family, found and launched through the ACL C API alone.
//
// libascendcl.so is looked up when it is first needed, so that this code loads on a machine without
// CANN. The binary of a family is `<kernel directory>/<family>.<lower-case SoC name>.o`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cc/ops/tensor.h"

namespace vllm_cann::ops {

// An absolute path. Kernels that were loaded from another directory are looked up anew.
// Throws std::invalid_argument.
void SetKernelDirectory(const std::string& directory);

// The device that is current on this thread and its numbers, asked of it once.
struct CurrentDevice {
  int32_t id = 0;
  const DeviceInfo* info = nullptr;
};
// Throws std::runtime_error: no CANN, no current device, or what ACL reports.
CurrentDevice GetCurrentDevice();

// Queues `kernel` of `family` on `stream`. `arguments` are its parameters in 8-byte slots; they are
// copied. `family` and `kernel` have static storage: their addresses are remembered.
// Throws std::runtime_error with the code and the message of ACL.
void LaunchKernel(const CurrentDevice& device, const char* family, const char* kernel,
                  uint32_t cores, void* stream, const void* arguments, size_t argument_bytes);

enum class CopyKind { kHostToDevice, kDeviceToHost, kDeviceToDevice };

// Queues a copy on `stream`. Host memory has to stay as it is until the copy was made.
// Throws std::runtime_error with the code and the message of ACL.
void CopyMemory(uintptr_t destination, uintptr_t source, size_t bytes, CopyKind kind, void* stream);

}  // namespace vllm_cann::ops
