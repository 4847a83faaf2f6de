// cc/softnpu/ascendc/cluster.cc: turns of the cores, and the flags between them.
#include "cc/softnpu/ascendc/cluster.h"

#include <algorithm>
#include <utility>

#include "cc/softnpu/ascendc/names.h"

namespace softnpu::ascendc {
namespace {

// Thrown in a core that waits when another one has faulted.
struct Abandoned {};

}  // namespace

Cluster::Cluster(LaunchState& launch, std::vector<Core*> cores, std::function<bool(Core&)> run,
                 Core** current)
    : launch_(launch),
      members_(cores.size()),
      run_(std::move(run)),
      current_(current),
      random_(launch.options.seed) {
  for (size_t i = 0; i < cores.size(); ++i) members_[i].core = cores[i];
}

void Cluster::Run() {
  std::exception_ptr fault;
  size_t faulty = members_.size();
  std::vector<size_t> ready;
  for (;;) {
    ready.clear();
    bool waiting = false;
    for (size_t i = 0; i < members_.size(); ++i) {
      Member& member = members_[i];
      if (member.done) continue;
      if (!member.ready || member.ready()) {
        ready.push_back(i);
        if (launch_.options.seed == 0) break;
      } else {
        waiting = true;
      }
    }
    if (ready.empty()) {
      if (fault == nullptr && !waiting) break;
      if (fault == nullptr) {
        try {
          FailDeadlock();
        } catch (...) {
          fault = std::current_exception();
        }
      }
      Abandon(0);
      std::rethrow_exception(fault);
    }
    const size_t chosen = Choose(ready);
    Member& member = members_[chosen];
    member.ready = nullptr;
    *current_ = member.core;
    if (member.fiber == nullptr) {
      member.fiber = std::make_unique<Fiber>([this, &member] { run_(*member.core); });
    }
    if (!member.fiber->Resume()) continue;
    member.done = true;
    member.fiber.reset();
    // Cores in front of the faulty one still get their turns: the first fault counts.
    if (member.core->fault != nullptr && chosen < faulty) {
      fault = std::exchange(member.core->fault, nullptr);
      faulty = chosen;
      Abandon(chosen + 1);
    }
  }
  if (launch_.strict) CheckLeftovers();
}

void Cluster::Abandon(size_t first) {
  abandoned_ = true;
  for (size_t i = first; i < members_.size(); ++i) {
    Member& member = members_[i];
    member.done = true;
    if (member.fiber == nullptr) continue;
    *current_ = member.core;
    while (!member.fiber->Resume()) {
    }
    member.fiber.reset();
    member.core->fault = nullptr;
  }
  abandoned_ = false;
}

size_t Cluster::Choose(const std::vector<size_t>& ready) {
  return launch_.options.seed == 0 ? ready.front() : ready[random_() % ready.size()];
}

void Cluster::Switch(Member& member, std::function<bool()> ready, std::string waits_for) {
  const bool now = ready();
  if (now && launch_.options.seed == 0) return;
  member.ready = std::move(ready);
  member.waits_for = std::move(waits_for);
  member.place = member.core->site().place();
  member.fiber->Yield();
  if (abandoned_) throw Abandoned{};
}

Knowledge Cluster::Export(Core& core, int pipe, bool all) const {
  PipeOrder& order = core.order();
  if (all) order.Barrier(SOFTNPU_PIPE_ALL);
  order.Issue(pipe);
  const Signal signal = order.Set(pipe);
  const Knowledge& known = signal.knowledge;
  auto cross = known.others == nullptr ? std::make_shared<CrossClock>(members_.size())
                                       : std::make_shared<CrossClock>(*known.others);
  (*cross)[core.site().context()] = known.own;
  Knowledge out;
  out.others = std::move(cross);
  if (signal.timed) out.tokens = {signal.token};
  return out;
}

void Cluster::Import(Core& core, int pipe, const Knowledge& knowledge) const {
  Knowledge mine = knowledge;
  if (!mine.tokens.empty()) {
    core.order().timeline().Wait(pipe, mine.tokens, core.site().place());
  }
  mine.tokens.clear();
  if (mine.others != nullptr) mine.own = (*mine.others)[core.site().context()];
  core.order().clocks().Acquire(pipe, mine);
}

void Cluster::ImportAll(Core& core, const Knowledge& knowledge) const {
  for (int pipe = 0; pipe < kPipes; ++pipe) Import(core, pipe, knowledge);
}

bool Cluster::Arrive(Meeting& meeting, const std::vector<size_t>& group, const Core& core,
                     const Knowledge& knowledge, Knowledge* all) {
  meeting.arrived.resize(members_.size());
  const uint64_t round = ++meeting.arrived[core.site().context()];
  if (meeting.rounds.size() < round) meeting.rounds.resize(round);
  meeting.rounds[round - 1].Join(knowledge);
  *all = meeting.rounds[round - 1];
  return std::all_of(group.begin(), group.end(),
                     [&](size_t i) { return meeting.arrived[i] >= round; });
}

void Cluster::Give(Core& setter, size_t to, int64_t flag, const Knowledge& knowledge) {
  Member& member = members_[to];
  auto& counter = member.counters[static_cast<size_t>(flag)];
  if (counter.size() == kMaxCount) {
    setter.site().Fail(
        Format("flag %lld of %s is set for the 16th time without a wait: it counts to %zu",
               static_cast<long long>(flag), member.core->site().CoreName().c_str(), kMaxCount));
  }
  counter.push_back(knowledge);
  member.set_at[static_cast<size_t>(flag)] = setter.site().place();
}

void Cluster::Synchronise(uint32_t context, SoftnpuInstruction& instruction) {
  Member& member = members_[context];
  Core& core = *member.core;
  const Profile& chip = *launch_.chip;
  const auto check = [&](int per_block, int64_t cores, const char* kind) {
    const int64_t wanted = int64_t{launch_.blocks} * per_block;
    if (wanted > cores) {
      core.site().Fail(
          Format("the kernel orders its cores, so all have to run at once: %u blocks take "
                 "%lld %s cores, %s has %lld",
                 launch_.blocks, static_cast<long long>(wanted), kind, chip.soc_name.c_str(),
                 static_cast<long long>(cores)));
    }
  };
  check(launch_.layout.vectors, chip.vector_cores, "vector");
  check(launch_.layout.cubes, chip.cube_cores, "cube");
  switch (instruction.opcode) {
    case SOFTNPU_OP_CROSS_SET:
      return CrossSet(member, instruction);
    case SOFTNPU_OP_CROSS_WAIT:
      return CrossWait(member, instruction);
    case SOFTNPU_OP_SYNC_ALL:
      return SyncAll(member, instruction);
    case SOFTNPU_OP_IB_SET:
    case SOFTNPU_OP_IB_WAIT:
      return BlockFlag(member, instruction);
    default:
      return Determine(member, instruction);
  }
}

void Cluster::CheckPending(const Meeting& meeting, const std::vector<size_t>& group,
                           const Core& core, int64_t flag) const {
  uint64_t complete = meeting.arrived[core.site().context()];
  const uint64_t mine = complete;
  for (const size_t i : group) complete = std::min(complete, meeting.arrived[i]);
  if (mine - complete <= kMaxCount) return;
  core.site().Fail(
      Format("flag %lld is set for the %lluth time by this core while another one of its group has "
             "set it %llu times: %zu sets may be pending",
             static_cast<long long>(flag), static_cast<unsigned long long>(mine),
             static_cast<unsigned long long>(complete), kMaxCount));
}

void Cluster::CheckPipe(const Core& core, int64_t pipe) const {
  const bool cubes =
      pipe == SOFTNPU_PIPE_M || pipe == SOFTNPU_PIPE_MTE1 || pipe == SOFTNPU_PIPE_FIX;
  const CoreKind kind = core.site().kind();
  if (kind == kVectorCore ? !cubes : kind != kCubeCore || pipe != SOFTNPU_PIPE_V) return;
  core.site().Fail(Format("a %s core has no pipe %s", kind == kVectorCore ? "vector" : "cube",
                          PipeName(static_cast<int>(pipe))));
}

void Cluster::CheckFlag(const Core& core, int64_t flag) const {
  if (launch_.chip->npu_arch == 2002) core.site().Fail("this chip has no flags between cores");
  if (flag < 0 || flag >= kFlags) {
    core.site().Fail(
        Format("flag %lld, the limits are 0 and %d", static_cast<long long>(flag), kFlags - 1));
  }
}

void Cluster::CrossSet(Member& member, const SoftnpuInstruction& instruction) {
  Core& core = *member.core;
  const int64_t mode = instruction.params[0];
  const int pipe = static_cast<int>(instruction.params[1]);
  const int64_t flag = instruction.params[2];
  CheckFlag(core, flag);
  CheckPipe(core, pipe);
  if (mode > 2) {
    core.site().Fail(Format("mode %lld, the limits are 0 and 2", static_cast<long long>(mode)));
  }
  const Knowledge mine = Export(core, pipe, pipe == SOFTNPU_PIPE_ALL);
  std::vector<size_t> group, receivers;
  for (size_t i = 0; i < members_.size(); ++i) {
    const Core& other = *members_[i].core;
    const bool same_kind = other.site().kind() == core.site().kind();
    const bool same_block = other.site().block() == core.site().block();
    if (mode == 0 && same_kind) group.push_back(i);
    if (mode == 1 && same_kind && same_block) group.push_back(i);
    if (mode == 2 && same_block) (same_kind ? group : receivers).push_back(i);
  }
  if (mode == 1 && core.site().kind() != kVectorCore) {
    core.site().Fail("mode 1 is between the two vector cores of a block, this is a cube core");
  }
  if (mode == 2 && receivers.empty()) {
    core.site().Fail(
        "mode 2 is between a block's cube core and its vector cores, this block has one kind "
        "only: KERNEL_TASK_TYPE_DEFAULT says which cores a kernel has");
  }
  if (mode != 2) receivers = group;
  const uint64_t number =
      mode == 0 ? uint64_t{core.site().kind()} : core.site().block() * 4 + core.site().kind();
  Meeting& meeting = meetings_[{mode, number, flag}];
  Knowledge all;
  const bool complete = Arrive(meeting, group, core, mine, &all);
  CheckPending(meeting, group, core, flag);
  if (complete) {
    for (const size_t i : receivers) Give(core, i, flag, all);
  }
  Switch(member, [] { return true; }, "its turn");
}

void Cluster::CrossWait(Member& member, const SoftnpuInstruction& instruction) {
  Core& core = *member.core;
  const int pipe = static_cast<int>(instruction.params[1]);
  const int64_t flag = instruction.params[2];
  CheckFlag(core, flag);
  CheckPipe(core, pipe);
  auto& counter = member.counters[static_cast<size_t>(flag)];
  Switch(
      member, [&counter] { return !counter.empty(); },
      Format("flag %lld (pipe %s)", static_cast<long long>(flag), PipeName(pipe)));
  const Knowledge knowledge = counter.front();
  counter.pop_front();
  core.order().Issue(pipe);
  Import(core, pipe, knowledge);
}

void Cluster::SyncAll(Member& member, const SoftnpuInstruction& instruction) {
  Core& core = *member.core;
  const bool vectors_only = instruction.params[0] != 0;
  int64_t used = instruction.params[1];
  if (vectors_only && core.site().kind() == kCubeCore) {
    core.site().Fail("SyncAll<true> waits for vector cores, this is a cube core");
  }
  if (instruction.operand_count == 2) CheckWorkspace(core, instruction, 32);
  std::vector<size_t> group;
  for (size_t i = 0; i < members_.size(); ++i) {
    if (vectors_only && members_[i].core->site().kind() == kCubeCore) continue;
    if (used == 0 || group.size() < static_cast<size_t>(used)) group.push_back(i);
  }
  if (used > static_cast<int64_t>(group.size())) {
    core.site().Fail(Format("SyncAll of %lld cores, the kernel runs on %zu",
                            static_cast<long long>(used), group.size()));
  }
  if (std::find(group.begin(), group.end(), core.site().context()) == group.end()) {
    core.site().Fail(Format("SyncAll of the first %lld cores on %s", static_cast<long long>(used),
                            core.site().CoreName().c_str()));
  }
  Meeting& meeting = meetings_[{16 + (vectors_only ? 1 : 0), static_cast<uint64_t>(used), 0}];
  Knowledge all;
  Arrive(meeting, group, core, Export(core, SOFTNPU_PIPE_S, true), &all);
  const uint64_t round = meeting.arrived[core.site().context()];
  Switch(
      member,
      [&meeting, group, round] {
        return std::all_of(group.begin(), group.end(),
                           [&](size_t i) { return meeting.arrived[i] >= round; });
      },
      "the others");
  ImportAll(core, meeting.rounds[round - 1]);
}

void Cluster::BlockFlag(Member& member, const SoftnpuInstruction& instruction) {
  Core& core = *member.core;
  const int64_t block = instruction.params[0];
  const int64_t event = instruction.params[1];
  const int64_t blocks = int64_t{launch_.blocks} * std::max(launch_.layout.vectors, 1);
  if (block < 0 || block >= blocks) {
    core.site().Fail(Format("block %lld, the limits are 0 and %lld", static_cast<long long>(block),
                            static_cast<long long>(blocks - 1)));
  }
  CheckWorkspace(core, instruction, 32 * static_cast<uint64_t>(event + 1));
  auto& flag = block_flags_[{instruction.operand[0].address, block, event}];
  if (instruction.opcode == SOFTNPU_OP_IB_SET) {
    // The flag is one word: the setter waits until it was taken.
    Switch(
        member, [&flag] { return flag.empty(); },
        Format("block %lld's event %lld to be taken", static_cast<long long>(block),
               static_cast<long long>(event)));
    flag.push_back(Export(core, SOFTNPU_PIPE_S, true));
    return;
  }
  Switch(
      member, [&flag] { return !flag.empty(); },
      Format("event %lld of block %lld", static_cast<long long>(event),
             static_cast<long long>(block)));
  const Knowledge knowledge = flag.front();
  flag.pop_front();
  ImportAll(core, knowledge);
}

void Cluster::Determine(Member& member, const SoftnpuInstruction& instruction) {
  Core& core = *member.core;
  CheckWorkspace(core, instruction, 32);
  if (instruction.opcode == SOFTNPU_OP_DETERMINE_INIT) return;
  if (instruction.opcode == SOFTNPU_OP_NOTIFY_NEXT_BLOCK) {
    ++member.notified_rounds;
    member.notified.push_back(Export(core, SOFTNPU_PIPE_S, true));
    Switch(member, [] { return true; }, "its turn");
    return;
  }
  const uint64_t round = ++member.waited_rounds;
  const size_t me = core.site().context();
  const size_t before = me == 0 ? members_.size() - 1 : me - 1;
  // The first block follows the last one's round before.
  const uint64_t wanted = me == 0 ? round - 1 : round;
  const Member& other = members_[before];
  Switch(
      member, [&other, wanted] { return other.notified_rounds >= wanted; },
      other.core->site().CoreName() + " to call NotifyNextBlock");
  if (wanted == 0) return;
  ImportAll(core, other.notified[wanted - 1]);
}

void Cluster::CheckWorkspace(const Core& core, const SoftnpuInstruction& instruction,
                             uint64_t bytes) const {
  const uint64_t wanted =
      bytes * launch_.blocks * static_cast<uint64_t>(std::max(launch_.layout.vectors, 1));
  const SoftnpuTensor& global = instruction.operand[0];
  if (global.space != SOFTNPU_SPACE_GM) core.site().Fail("the workspace is not a tensor of GM");
  if (global.end != UINT64_MAX && global.end - global.address < wanted) {
    core.site().Fail(Format("a workspace of %llu bytes, %llu are needed: 32 per block and event",
                            static_cast<unsigned long long>(global.end - global.address),
                            static_cast<unsigned long long>(wanted)));
  }
}

void Cluster::Overwrite(uint32_t context, const Pattern& bytes, const Place& writer) {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (i != context) members_[i].core->MarkStale(bytes, writer);
  }
}

void Cluster::CheckLeftovers() const {
  for (const Member& member : members_) {
    for (int flag = 0; flag < kFlags; ++flag) {
      const auto& counter = member.counters[static_cast<size_t>(flag)];
      if (counter.empty()) continue;
      member.core->site().FailAtPlace(
          member.set_at[static_cast<size_t>(flag)],
          Format("flag %d of %s is still set (%zu times) when the kernel ends: it disturbs the "
                 "next kernel",
                 flag, member.core->site().CoreName().c_str(), counter.size()));
    }
  }
}

void Cluster::FailDeadlock() const {
  std::string states;
  const Member* first = nullptr;
  size_t listed = 0;
  for (const Member& member : members_) {
    if (!member.done && first == nullptr) first = &member;
    if (++listed > 64) continue;
    states += "\n  " + member.core->site().CoreName() + ": ";
    if (member.done) {
      states += "has ended";
    } else {
      states += Format("%s at %s:%u waits for ", OpcodeName(member.place.opcode),
                       FileOf(member.place.file).c_str(), member.place.line) +
                member.waits_for;
    }
    states += member.core->StateOfPipes();
  }
  if (listed > 64) states += Format("\n  and %zu more cores", listed - 64);
  throw KernelError(first->core->site().kind() == kVectorCore ? kVectorCoreTimeout : kAicoreTimeout,
                    "deadlock: no core can go on" + states + "\n ",
                    first->core->site().At(first->place));
}

}  // namespace softnpu::ascendc
