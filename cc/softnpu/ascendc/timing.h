// cc/softnpu/ascendc/timing.h: a model of the time that a kernel takes on the chip.
//
// While a kernel runs, each core notes what it gives to its pipes; afterwards all cores are played
// beside each other: the scalar unit issues in program order, a pipe works in order, flags and
// barriers hold it, and copies from and to GM share the chip's bandwidth. Every figure comes from
// the profile. Modelled are: start and rate of each vector instruction, bank conflicts, start, rate
// and number of rows of a copy, issue and depth of the pipes' queues, L2 (what fits stays), the
// head of a launch. Not modelled are: the instruction cache, address conflicts in L2 and HBM,
// differences between cores.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "cc/softnpu/ascendc/race.h"

namespace softnpu::ascendc {

// The numbers of a profile's [time] section by name, "vector.Add.start" and the like.
class TimeTable {
 public:
  // Throws Error for a vector instruction that does not exist.
  explicit TimeTable(std::map<std::string, double> values);
  // Throws Error when the profile has no such number.
  double At(const std::string& name) const;
  double At(const std::string& name, double otherwise) const;

  // What every instruction asks for.
  struct Copy {
    double start, burst, per_row, least;
  };
  struct Rates {
    double issue, scalar_ub, scalar_gm, onchip_start, onchip_rate, read_read, read_write;
    Copy read, write;
  };
  const Rates& rates() const { return rates_; }

 private:
  Rates rates_{};
  std::map<std::string, double> values_;
};

// What a core does, in program order.
struct TimeOp {
  enum class Kind : uint8_t { kScalar, kWork, kSet, kWait, kBarrier };
  Kind kind = Kind::kScalar;
  uint8_t pipe = 0;
  bool write = false;  // a copy to GM
  Place place;
  float issue = 0;      // cycles of the scalar unit
  float work = 0;       // cycles that the pipe is taken
  float conflict = 0;   // of `work`, cycles of bank conflicts
  float latency = 0;    // cycles more until the result is there
  uint32_t moved = 0;   // bytes to or from GM
  uint32_t bytes = 0;   // the same, with what its rows cost
  uint32_t missed = 0;  // bytes of lines that the launch touches for the first time
  uint64_t token = 0;   // kSet: its name; kWait: index of its first token in `waits`
  uint32_t count = 0;   // kWait: tokens
};

class CoreTimeline {
 public:
  void Reset(uint32_t context) {
    context_ = context;
    ops_.clear();
    waits_.clear();
  }
  uint64_t Set(int pipe, const Place& place);
  void Wait(int pipe, const std::vector<uint64_t>& tokens, const Place& place);
  void Wait(int pipe, uint64_t token, const Place& place);
  void Barrier(int pipe, const Place& place);
  TimeOp& Add(TimeOp::Kind kind, int pipe, const Place& place);

  const std::vector<TimeOp>& ops() const { return ops_; }
  const std::vector<uint64_t>& waits() const { return waits_; }

 private:
  uint32_t context_ = 0;
  std::vector<TimeOp> ops_;
  std::vector<uint64_t> waits_;
};

// Which parts of L2 lines a launch has touched. Lines are of 512 bytes; that a miss brings a
// quarter of one is what fits the vendor's sweep with rows of 128 bytes.
class Footprint {
 public:
  static constexpr uint64_t kLine = 128;

  Footprint() = default;
  Footprint(Footprint&&) = default;
  Footprint& operator=(Footprint&&) = default;

  // The parts of [begin, end) that were not touched before.
  uint64_t Touch(uint64_t begin, uint64_t end);
  uint64_t bytes() const { return lines_ * kLine; }

 private:
  static constexpr uint64_t kPageLines = 1 << 17;
  std::unordered_map<uint64_t, std::vector<uint64_t>> pages_;  // a bit per line
  uint64_t page_number_ = 0;                                   // of the page that was used last
  std::vector<uint64_t>* page_ = nullptr;
  uint64_t lines_ = 0;
};

struct TimeSlice {
  uint32_t context = 0;
  uint8_t pipe = 0;
  double begin = 0;  // cycles after the start of the launch
  double end = 0;
  Place place;
  float conflict = 0;  // of it, cycles of bank conflicts
  uint32_t moved = 0;  // bytes to or from GM
  bool write = false;  // to GM
};

struct TimeReport {
  double microseconds = 0;  // of the launch, with its head
  double head_microseconds = 0;
  double cycles = 0;  // of the cores, without the head
  double clock_mhz = 0;
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  bool in_l2 = false;                   // the launch's data were in L2 when it began
  std::array<double, kPipes> busy{};    // share of the time that a pipe works, mean over its cores
  std::vector<TimeSlice> slices;        // when asked for
  std::vector<std::string> core_names;  // per context: "AIV 3"
};

// Plays the cores beside each other, at most `cube_cores` and `vector_cores` of a kind at once.
struct TimedCore {
  const CoreTimeline* timeline = nullptr;
  bool cube = false;
};
TimeReport PlayTimelines(const TimeTable& table, const std::vector<TimedCore>& cores,
                         int64_t cube_cores, int64_t vector_cores, uint64_t footprint, bool warm_l2,
                         bool with_slices);

}  // namespace softnpu::ascendc
