// cc/softnpu/ascendc/simulator.h: runs a kernel of a twin on the cores of a simulated chip.
//
// Contract: Launch runs every block to completion on the calling thread, in block order, and throws
// KernelError at the first fault; global memory keeps what was written before the fault. The
// results of a kernel without faults do not depend on `strict`.
//
// Always checked: limits of buffers and allocations, parameters of instructions, queues, and what
// the chip does not have. Strict adds what a chip gets wrong in silence: bytes read before they
// were written, alignment, flags without a partner, tensors used by the wrong side of a queue,
// operands that overlap, outputs left unwritten.
//
// A kernel may not hold objects whose destructors matter when it faults: the simulator leaves it
// with longjmp, since no C++ exception may cross into a twin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cc/softnpu/ascendc/abi.h"
#include "cc/softnpu/ascendc/error.h"

namespace softnpu::ascendc {

// What the simulated chip offers; taken from a device profile.
struct ChipSpec {
  std::string soc_name;
  int64_t npu_arch = 2201;
  int64_t vector_cores = 40;
  int64_t ub_bytes = 196608;
  int64_t l1_bytes = 524288;
  bool bfloat16 = true;
  bool data_copy_pad = true;
};

// A piece of global memory: where kernels see it and where the host finds the bytes.
struct GlobalRegion {
  uintptr_t base = 0;
  size_t bytes = 0;
  std::byte* host = nullptr;
  // One byte per byte of the region, non-zero = initialised; null when reads are not tracked.
  uint8_t* initialised = nullptr;
  // One byte per byte of the region, set to 1 by kernel writes; null when writes are not tracked.
  uint8_t* written = nullptr;
  std::string name;  // for messages: "allocation #3 (512 bytes)" or the argument's name
};

class GlobalMemory {
 public:
  virtual ~GlobalMemory() = default;
  // The region that holds `address`; false when no region does, then `nearest` may name a
  // neighbour.
  virtual bool Find(uintptr_t address, GlobalRegion* region, std::string* nearest) = 0;
};

// A fault of a kernel, with everything that is known about it.
class KernelError : public Error {
 public:
  struct Where {
    std::string kernel;
    int64_t block = -1;
    int64_t core = -1;
    std::string pipe;         // "MTE2", "V", ...
    std::string instruction;  // "DataCopyPad", ...
    std::string buffer;       // "UB", "GM allocation #3", "TQue<VECIN> #0", ...
    int64_t begin = 0;        // byte range inside the buffer
    int64_t end = 0;
    std::string file;
    int line = 0;
  };
  KernelError(int32_t code, std::string fault, Where where);
  const Where& where() const { return where_; }
  const std::string& fault() const { return fault_; }  // the sentence without the location

 private:
  std::string fault_;
  Where where_;
};

// Bytes that a launch has to write completely.
struct Output {
  uintptr_t address = 0;
  size_t bytes = 0;
  std::string name;
};

// Throws KernelError for a fault, Error for a bad launch (blocks 0 or > 65535, wrong argument
// bytes).
void Launch(const ChipSpec& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
            const void* args, size_t arg_bytes, uint32_t blocks, bool strict);

// The same, strict; a byte of `outputs` that no block has written is a fault, too.
void LaunchForOutputs(const ChipSpec& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
                      const void* args, size_t arg_bytes, uint32_t blocks,
                      const std::vector<Output>& outputs);

// The function table that SoftnpuTwin::bind takes.
const SoftnpuCoreApi* CoreApi();

}  // namespace softnpu::ascendc
