// cc/softnpu/runtime/kernel.h: kernel binaries and launches.
//
// A program loads `<family>.<soc>.o`, as on a device. SoftNPU loads the host twin that lies beside
// it, `<family>.twin.so`: the same source, compiled by a host compiler.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cc/softnpu/ascendc/abi.h"
#include "cc/softnpu/base/handle_table.h"
#include "cc/softnpu/runtime/task.h"

namespace softnpu {

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

  // The handle of a kernel. Throws Error that lists the kernels of the binary when `name` is none
  // of them. Function handles are stale once their binary is gone.
  void* Find(const std::string& name);

 private:
  std::string twin_path_;
  void* handle_ = nullptr;
  std::mutex mutex_;
  std::map<std::string, void*> handles_;
  std::vector<const SoftnpuKernelEntry*> entries_;
};

// The binaries and functions of this process, by their handles.
HandleTable<Binary>& Binaries();
HandleTable<Function>& Functions();

// Throws Error 107000 when `what` was built for another twin ABI.
void CheckTwinAbi(const std::string& what, uint32_t abi_version);

// A launch with a copy of the arguments. Throws Error for one that the chip would refuse.
KernelTask MakeLaunch(std::shared_ptr<const Function> function, uint32_t blocks, const void* args,
                      size_t arg_bytes);
// Runs it on the simulated cores. Throws KernelError.
void RunKernel(const KernelTask& task);

}  // namespace softnpu
