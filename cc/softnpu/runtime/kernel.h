// cc/softnpu/runtime/kernel.h: kernel binaries and launches.
//
// A program loads `<family>.<soc>.o`, as on a device. SoftNPU loads the host twin that lies beside
// it, `<family>.twin.so`: the same source, compiled by a host compiler.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/softnpu/ascendc/abi.h"
#include "cc/softnpu/runtime/stream.h"

namespace softnpu {

class Binary;

struct Function {
  const SoftnpuKernelEntry* entry = nullptr;
};

class Binary {
 public:
  // Throws Error: path not absolute, not of the form <family>.<soc>.o, no twin, another twin ABI.
  explicit Binary(const std::string& path);
  ~Binary();
  Binary(const Binary&) = delete;
  Binary& operator=(const Binary&) = delete;

  // Throws Error that lists the kernels of the binary when `name` is none of them.
  Function* Find(const std::string& name);

 private:
  std::string twin_path_;
  void* handle_ = nullptr;
  std::vector<std::unique_ptr<Function>> functions_;
};

// Copies the arguments and queues the launch. Throws Error for a launch that the chip would refuse.
void LaunchKernel(const Function& function, uint32_t blocks, Stream& stream, const void* args,
                  size_t arg_bytes);

}  // namespace softnpu
