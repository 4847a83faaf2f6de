// cc/softnpu/ascendc/launch.h: what all cores of a launch share.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "cc/softnpu/ascendc/byte_set.h"
#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/race.h"
#include "cc/softnpu/ascendc/simulator.h"
#include "cc/softnpu/ascendc/timing.h"

namespace softnpu::ascendc {

enum CoreKind : uint8_t { kVectorCore = 1, kCubeCore = 2, kBothCore = 3 };

// How the blocks of a launch are laid on cores.
struct Layout {
  int cubes = 0;    // cube cores per block
  int vectors = 1;  // vector cores per block
};

// The cores of a launch as one of them, the one with number `context`, sees them.
class CoreGroup {
 public:
  virtual ~CoreGroup() = default;
  // Carries out an instruction that orders cores.
  virtual void Synchronise(uint32_t context, SoftnpuInstruction& instruction) = 0;
  // `writer` has written bytes of GM behind the data caches of the other cores.
  virtual void Overwrite(uint32_t context, const Pattern& bytes, const Place& writer) = 0;
};

struct LaunchState {
  const Profile* chip = nullptr;
  GlobalMemory* memory = nullptr;
  const SoftnpuKernelEntry* entry = nullptr;
  uint32_t blocks = 0;
  Layout layout;
  int64_t task_type = -1;       // KernelMetaType; -1: not known
  bool task_type_said = false;  // by the kernel itself
  LaunchOptions options;
  bool strict = true;
  bool races = true;
  bool init = true;
  bool queues = true;
  bool bounds = true;
  bool alignment = true;
  bool sizes = false;
  bool auto_sync = false;
  bool synchronised = false;                          // the kernel orders its cores
  CoreGroup* group = nullptr;                         // null: no core waits for another one
  const TimeTable* table = nullptr;                   // null: time is not modelled
  std::atomic<bool> atomics = false;                  // a copy has combined with what was in GM
  std::mutex mutex;                                   // guards what follows
  std::set<std::pair<const char*, uint32_t>> warned;  // places of warnings
  Footprint footprint;                                // read or written
  Footprint overwritten;                              // written
  std::vector<ByteSet> written;                       // per output
  SharedAccesses shared;
};

// A core that has to run again because its kernel said how its blocks are laid out.
struct Relaid {};

}  // namespace softnpu::ascendc
