// cc/softnpu/ascendc/cluster.h: the cores of a launch that order each other.
//
// Each core is a fiber of the launching thread. A core that has to wait gives way; which core goes
// on is the first that can, or a seeded choice.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "cc/softnpu/ascendc/core.h"
#include "cc/softnpu/ascendc/fiber.h"

namespace softnpu::ascendc {

class Cluster final : public CoreGroup {
 public:
  // `run` executes a core's kernel; false when it faulted.
  // `current` is where the running core is noted.
  Cluster(LaunchState& launch, std::vector<Core*> cores, std::function<bool(Core&)> run,
          Core** current);

  // Runs all cores; throws the fault of the first core that had one, and a KernelError when cores
  // wait for ever.
  void Run();

  // Called on the fiber of the core that carries out the instruction.
  void Synchronise(uint32_t context, SoftnpuInstruction& instruction) override;
  void Overwrite(uint32_t context, const Pattern& bytes, const Place& writer) override;

 private:
  static constexpr int kFlags = 16;
  static constexpr size_t kMaxCount = 15;

  struct Member {
    Core* core = nullptr;
    std::unique_ptr<Fiber> fiber;
    bool done = false;
    std::function<bool()> ready;  // empty: it can go on
    std::string waits_for;
    Place place;  // of the wait
    std::array<std::deque<Knowledge>, kFlags> counters;
    std::array<Place, kFlags> set_at;
    uint64_t sync_rounds = 0;
    uint64_t waited_rounds = 0;    // WaitPreBlock
    uint64_t notified_rounds = 0;  // NotifyNextBlock
    std::vector<Knowledge> notified;
  };
  // What a group of cores does together: done when each of them has come as often.
  struct Meeting {
    std::vector<uint64_t> arrived;  // per context
    std::vector<Knowledge> rounds;  // what the arrivals of a round know
  };

  void Switch(Member& member, std::function<bool()> ready, std::string waits_for);
  // Lets waiting cores with an index from `first` on leave their kernels.
  void Abandon(size_t first);
  size_t Choose(const std::vector<size_t>& ready);
  Knowledge Export(Core& core, int pipe, bool all) const;
  void Import(Core& core, int pipe, const Knowledge& knowledge) const;
  void ImportAll(Core& core, const Knowledge& knowledge) const;  // to every pipe
  // Adds an arrival; true when the round is complete, then `all` is what its members know.
  bool Arrive(Meeting& meeting, const std::vector<size_t>& group, const Core& core,
              const Knowledge& knowledge, Knowledge* all);
  void Give(Core& setter, size_t member, int64_t flag, const Knowledge& knowledge);
  void CheckFlag(const Core& core, int64_t flag) const;
  void CheckPipe(const Core& core, int64_t pipe) const;
  // The core has come at most kMaxCount times more often than the slowest of its group.
  void CheckPending(const Meeting& meeting, const std::vector<size_t>& group, const Core& core,
                    int64_t flag) const;
  void CrossSet(Member& member, const SoftnpuInstruction& instruction);
  void CrossWait(Member& member, const SoftnpuInstruction& instruction);
  void SyncAll(Member& member, const SoftnpuInstruction& instruction);
  void BlockFlag(Member& member, const SoftnpuInstruction& instruction);
  void Determine(Member& member, const SoftnpuInstruction& instruction);
  void CheckWorkspace(const Core& core, const SoftnpuInstruction& instruction,
                      uint64_t bytes) const;
  void CheckLeftovers() const;
  [[noreturn]] void FailDeadlock() const;

  LaunchState& launch_;
  std::vector<Member> members_;
  std::function<bool(Core&)> run_;
  Core** current_ = nullptr;
  bool abandoned_ = false;
  std::mt19937_64 random_;
  std::map<std::tuple<int64_t, uint64_t, int64_t>, Meeting> meetings_;  // mode, group, flag
  std::map<std::tuple<uint64_t, int64_t, int64_t>, std::deque<Knowledge>> block_flags_;
};

}  // namespace softnpu::ascendc
