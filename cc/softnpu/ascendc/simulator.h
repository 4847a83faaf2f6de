// cc/softnpu/ascendc/simulator.h: runs a kernel of a twin on the cores of a simulated chip.
//
// Contract: Launch runs every block to completion and throws the KernelError of the first core, in
// the order of cores, that faults; global memory keeps what was written until then. The results of
// a kernel without faults depend neither on `strict` nor on `threads`, and on `seed` only by the
// order of atomic additions of floats.
//
// Always checked: limits of buffers and allocations, parameters of instructions, queues, what the
// chip does not have, and cores that wait for each other for ever. Strict adds what a chip gets
// wrong in silence: bytes without a value that reach a result, alignment, flags without a partner,
// tensors used after their queue got them back, operands that overlap, outputs left unwritten,
// stale lines of the scalar unit's cache, and races (race.h). Parts of it can be switched off
// alone.
//
// A byte without a value is one that nobody has written. Instructions that work on elements hand it
// on: what they make of it has no value either. It is a fault where it decides something or is
// handed out: as a scalar, an address, a mask, part of a sum or an order, and as output.
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

// What an allocation of `bytes` takes: aclrtMalloc adds 32 bytes to whole blocks of 32.
constexpr size_t RoomOf(size_t bytes) { return (bytes + 31) / 32 * 32 + 32; }

// A piece of global memory: where kernels see it and where the host finds the bytes.
struct GlobalRegion {
  uintptr_t base = 0;
  size_t bytes = 0;
  // Bytes that a kernel may touch, at least `bytes`: those behind hold no value at first, and what
  // is written there is no output.
  size_t room = 0;
  std::byte* host = nullptr;
  // One byte per byte of the region, non-zero = initialised; null when all of them are.
  uint8_t* initialised = nullptr;
  // The same for the bytes behind; null when none of them ever is.
  uint8_t* room_initialised = nullptr;
  bool* dirty = nullptr;  // becomes true when a kernel writes; may be null
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
  // The kernel's own code is about to access these bytes through a pointer, at their address. Cores
  // on several threads may call it.
  virtual void Open(uintptr_t /*address*/, uint64_t /*bytes*/) {}
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
  // Of the strict checks, those for
  bool races = true;      // accesses without an order
  bool init = true;       // bytes without a value, outputs that are not written
  bool queues = true;     // tensors that are used after FreeTensor, left in a queue, or too many
  bool bounds = true;     // the limits of a tensor, where its memory has room
  bool alignment = true;  // addresses
  // The size of SetGlobalBuffer, which a device uses for nothing: false makes a warning of an
  // access beyond it, true a fault, which helps where one allocation holds many tensors.
  bool sizes = false;
  // 0: cores take turns in their order, each until it waits. Others: a seeded order of cores, which
  // also changes at every instruction that orders cores.
  uint64_t seed = 0;
  // Host threads for cores that do not wait for each other; 0: as many as the host has CPUs. One,
  // whatever is asked for, when time is modelled or copies combine atomically.
  int threads = 1;
  uint64_t tiling_key = 0;
  std::vector<Output> outputs;  // strict: a byte of them that no core has written is a fault
  bool* atomics = nullptr;      // becomes true when a copy has combined with what was in GM
  // What is odd and no fault, a sentence for each place in the kernel; null: is not kept.
  std::vector<std::string>* warnings = nullptr;
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
