// cc/softnpu/ascendc/race.h: which accesses are ordered, within a core and between cores.
//
// Instructions are executed in program order, so a race never changes a result here; it is judged
// on what the chip promises. The pipes of a core run beside each other. An access of pipe p happens
// before one of pipe q only by
//   - a flag that p sets after it and q waits for before (queues set and wait for the same flags),
//   - a PipeBarrier of the pipe (p == q) or of all pipes,
//   - a flag between cores, SyncAll, or a chain of these;
//   - with --cce-auto-sync, what the device compiler puts between dependent instructions of V and
//     V, MTE2 and S, MTE3 and S, V and S;
//   - a value: what takes a scalar that S has loaded is issued when the load has ended;
// the scalar unit alone is in order with itself, and what it has waited for holds for everything
// that it issues later. Two accesses that touch a byte, one of them a write, without such an order
// are a race. Overlap is judged on the rows of an access, not on their hull.
//
// Clocks: a pipe counts epochs; setting a flag or a barrier ends one. Clock[q] of a pipe p is the
// last epoch of q whose accesses have ended before what p does next.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "cc/softnpu/ascendc/instruction.h"

namespace softnpu::ascendc {

inline constexpr int kPipes = 8;  // SoftnpuPipe; PIPE_ALL stays unused

using Clock = std::array<uint32_t, kPipes>;

// What is known of other cores: a clock for each context of the launch.
using CrossClock = std::vector<Clock>;

// What is known at a point of a pipe, and what a flag carries.
struct Knowledge {
  Clock own{};
  std::shared_ptr<const CrossClock> others;  // null: nothing
  std::vector<uint64_t> tokens;              // of timing.h; only what a flag between cores carries

  void Join(const Knowledge& other);
};

// A place in a kernel's source.
struct Place {
  uint32_t opcode = 0;
  uint32_t line = 0;
  const char* file = nullptr;
};

// `rows` runs of `bytes`, `stride` apart, of one space.
struct Pattern {
  uint64_t base = 0;
  uint64_t bytes = 0;
  uint64_t rows = 1;
  uint64_t stride = 0;

  uint64_t end() const { return base + (rows - 1) * stride + bytes; }
};

// True when the patterns have a byte in common; then [*begin, *end) is the first such range.
bool Overlap(const Pattern& a, const Pattern& b, uint64_t* begin, uint64_t* end);

struct RaceRecord {
  Pattern pattern;
  Place place;
  uint32_t epoch = 0;
  uint8_t pipe = 0;
  uint8_t space = 0;
  bool write = false;
  bool atomic = false;
  bool scalar = false;   // GM through the scalar unit's data cache
  bool cleaned = false;  // a scalar write that DataCacheCleanAndInvalid has written back
  uint64_t number = 0;   // of the instruction in its core; later ones have larger numbers
};

// Pairs of pipes whose dependent instructions the device compiler orders with --cce-auto-sync.
bool AutoSyncOrders(int first, int second);

struct Race {
  RaceRecord first;
  uint64_t begin = 0;  // the bytes in common
  uint64_t end = 0;
};

// The order within one core.
class CoreClocks {
 public:
  // Clocks that are not `on` stand still.
  void Reset(bool on);

  void Barrier(int pipe);  // SOFTNPU_PIPE_ALL: all of them
  Knowledge Release(int pipe);
  void Acquire(int pipe, const Knowledge& knowledge);
  // Called when the scalar unit issues an instruction to `pipe`.
  void Issue(int pipe);
  // What `pipe` does from now on is told apart from what it has done.
  void EndEpoch(int pipe);

  const Knowledge& of(int pipe) const { return known_[static_cast<size_t>(pipe)]; }
  uint32_t epoch(int pipe) const { return epoch_[static_cast<size_t>(pipe)]; }

 private:
  bool on_ = false;
  std::array<Knowledge, kPipes> known_;
  std::array<uint32_t, kPipes> epoch_{};
};

// The accesses of one core that a later one can still race with.
class CoreAccesses {
 public:
  void Reset();

  // The race of `access` with an earlier one; of several, with the latest. `after_loads`: what the
  // scalar unit has read before has been read: the instruction takes a value of such a load, so it
  // is issued later.
  bool FindRace(const RaceRecord& access, const Knowledge& known, bool after_loads,
                Race* race) const;
  // Of each pipe the last epoch, or 0, with an access that `access` depends on, that it does not
  // know of, and that the device compiler orders before it.
  Clock AutoSynced(const RaceRecord& access, const Knowledge& known) const;
  // Adds it and drops those that it stands for.
  void Add(const RaceRecord& access, const CoreClocks& clocks);
  size_t size() const { return chip_.size() + global_.size() + cold_.size(); }

 private:
  // Calls `body(record, begin, end)` for the records without an order to `access` of which one of
  // the two writes, with the first bytes that they have in common.
  template <typename Body>
  void ForConflicts(const RaceRecord& access, const Knowledge& known, Body&& body) const;
  void Cool(const CoreClocks& clocks);

  std::vector<RaceRecord> chip_;
  // Of GM, a loop makes ever new records. Those that all pipes which have touched GM know of are
  // put aside: only a pipe that had not touched GM at that time has to look there.
  std::vector<RaceRecord> global_;
  std::vector<RaceRecord> cold_;
  uint32_t global_pipes_ = 0;  // bit per pipe
  uint32_t cold_known_ = ~0u;  // pipes that knew of all records in cold_
};

// An access to GM as other cores see it: `rows` runs of bytes, of which [begin, end) is the first,
// `stride` apart.
struct SharedRecord {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t rows = 1;
  uint64_t stride = 0;
  Place place;
  uint32_t epoch = 0;
  uint32_t context = 0;
  int32_t clock = -1;  // index of what the pipe knew of other cores; -1: nothing
  uint8_t pipe = 0;
  bool write = false;
  bool atomic = false;
  bool scalar = false;
  bool cleaned = false;
};

struct CrossRace {
  enum class Kind { kRace, kNotCleaned, kSharedLine };
  Kind kind = Kind::kRace;
  SharedRecord first;
  SharedRecord second;
  uint64_t begin = 0;
  uint64_t end = 0;
};

// All accesses of a launch to GM, judged when it has ended.
class SharedAccesses {
 public:
  // `synchronised`: the kernel orders its cores; otherwise no access is ordered with another
  // core's.
  void Reset(bool synchronised) {
    synchronised_ = synchronised;
    records_.clear();
    clocks_.clear();
    recent_.fill(UINT32_MAX);
  }
  void Add(const RaceRecord& access, uint32_t context,
           const std::shared_ptr<const CrossClock>& others);
  void Append(SharedAccesses&& other);
  bool FindRace(CrossRace* race);
  bool empty() const { return records_.empty(); }

 private:
  bool Ordered(const SharedRecord& first, const SharedRecord& second) const;
  // Drops records that no other core's can race with, as their hulls tell; splits the others into
  // rows.
  void SplitIntoRows();
  // Of rows, drops reads that share no byte with a write.
  void DropReadsApart();

  bool synchronised_ = false;
  std::vector<SharedRecord> records_;
  std::array<uint32_t, 16> recent_{};  // records, by their instructions' lines
  std::vector<std::shared_ptr<const CrossClock>> clocks_;
};

}  // namespace softnpu::ascendc
