// cc/softnpu/ascendc/simulator.h: runs a kernel of a twin on the cores of a simulated chip.
//
// Contract: Launch runs every block to completion and throws the KernelError of the first core, in
// the order of cores, that faults; global memory keeps what was written until then. The results of
// a kernel without faults depend neither on `strict` nor on `threads`, and on `seed` only by the
// order of atomic additions of floats.
//
// Always checked: limits of buffers and allocations, parameters of instructions, queues, what the
// chip does not have, and cores that wait for each other for ever. Strict adds what a chip gets
// wrong in silence: bytes read before they were written, alignment, flags without a partner,
// tensors used by the wrong side of a queue, operands that overlap, outputs left unwritten, stale
// lines of the scalar unit's cache, and races (race.h).
//
// A kernel may not hold objects whose destructors matter when it faults: the simulator leaves it
// with longjmp, since no C++ exception may cross into a twin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cc/softnpu/ascendc/abi.h"
#include "cc/softnpu/ascendc/timing.h"
#include "cc/softnpu/base/error.h"
#include "cc/softnpu/base/profile.h"

namespace softnpu::ascendc {

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
    int64_t block = -1;  // as GetBlockIdx counts
    int64_t core = -1;
    std::string core_type;    // "AIV", "AIC"; empty on a chip whose cores are both
    std::string pipe;         // "MTE2", "V", ...
    std::string instruction;  // "DataCopyPad", ...
    std::string buffer;       // "UB", "GM allocation #3", "TQue<VECIN> #0", ...
    int64_t begin = 0;        // byte range inside the buffer
    int64_t end = 0;
    std::string file;
    int line = 0;
    // Of a race: the access that it is not ordered with.
    std::string other_pipe;
    std::string other_instruction;
    int64_t other_block = -1;
    std::string other_file;
    int other_line = 0;
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

struct LaunchOptions {
  bool strict = true;
  bool races = true;  // of the strict checks, those for races
  // 0: cores take turns in their order, each until it waits. Others: a seeded order of cores, which
  // also changes at every instruction that orders cores.
  uint64_t seed = 0;
  // Host threads for cores that do not wait for each other; 0: as many as the host has CPUs. One,
  // whatever is asked for, when time is modelled or copies combine atomically.
  int threads = 1;
  uint64_t tiling_key = 0;
  std::vector<Output> outputs;  // strict: a byte of them that no core has written is a fault
  bool* atomics = nullptr;      // becomes true when a copy has combined with what was in GM
  // Models the time of the launch (timing.h) with the profile's numbers; null: it does not.
  const TimeTable* time = nullptr;
  TimeReport* report = nullptr;
  bool warm_l2 = false;  // what fits L2 is there when the launch begins
  bool slices = false;   // notes every instruction's time in the report
};

// Throws KernelError for a fault, Error for a bad launch (blocks 0 or > 65535, wrong argument
// bytes).
void Launch(const Profile& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
            const void* args, size_t arg_bytes, uint32_t blocks, const LaunchOptions& options);

void Launch(const Profile& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
            const void* args, size_t arg_bytes, uint32_t blocks, bool strict);

// The same, strict; a byte of `outputs` that no block has written is a fault, too.
void LaunchForOutputs(const Profile& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
                      const void* args, size_t arg_bytes, uint32_t blocks,
                      const std::vector<Output>& outputs);

// An opcode's name in AscendC.
const char* InstructionName(uint32_t opcode);

// The function table that SoftnpuTwin::bind takes.
const SoftnpuCoreApi* CoreApi();

}  // namespace softnpu::ascendc
