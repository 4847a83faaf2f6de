// cc/softnpu/ascendc/race_monitor.cc: records of accesses, and what a race is reported as.
#include "cc/softnpu/ascendc/race_monitor.h"

#include <mutex>
#include <utility>

#include "cc/softnpu/ascendc/names.h"

namespace softnpu::ascendc {

void RaceMonitor::Reset() {
  records_.Reset();
  shared_.Reset(site_.launch().synchronised);
  last_.fill(Place{});
}

RaceRecord RaceMonitor::RecordOf(const Access& access) const {
  const int pipe = site_.pipe();
  RaceRecord record;
  record.pattern = access.pattern();
  record.place = site_.place();
  record.epoch = order_.clocks().epoch(pipe);
  record.pipe = static_cast<uint8_t>(pipe);
  record.space = access.tensor->space;
  record.write = access.write;
  record.atomic = access.atomic;
  record.scalar = pipe == SOFTNPU_PIPE_S && record.space == SOFTNPU_SPACE_GM;
  record.number = site_.issued();
  return record;
}

void RaceMonitor::Observe(const std::vector<Access>& accesses) {
  const int pipe = site_.pipe();
  const LaunchState& launch = site_.launch();
  order_.Issue(pipe);
  last_[static_cast<size_t>(pipe)] = site_.place();
  if (launch.auto_sync) AutoSync(accesses);
  for (const Access& access : accesses) Judge(RecordOf(access), access);
  const bool alone = launch.blocks == 1 && launch.layout.cubes + launch.layout.vectors == 1;
  for (const Access& access : accesses) {
    const RaceRecord record = RecordOf(access);
    records_.Add(record, order_.clocks());
    if (record.space != SOFTNPU_SPACE_GM) continue;
    if (record.scalar) {
      if (record.write) {
        // Reaches GM, and other cores, when its line is written back.
        cache_.Store(access, record.epoch);
        continue;
      }
      cache_.Load(access);
    } else {
      if (access.write && launch.group != nullptr) {
        launch.group->Overwrite(site_.context(), record.pattern, record.place);
      }
      cache_.Bypass(access);
    }
    if (!alone) shared_.Add(record, site_.context(), order_.clocks().of(pipe).others);
  }
  // A dependent instruction waits for this one, not for those that follow it.
  if (launch.auto_sync && AutoSyncOrders(pipe, pipe == SOFTNPU_PIPE_V ? pipe : SOFTNPU_PIPE_S)) {
    order_.clocks().EndEpoch(pipe);
  }
}

void RaceMonitor::AutoSync(const std::vector<Access>& accesses) {
  const int pipe = site_.pipe();
  CoreClocks& clocks = order_.clocks();
  for (const Access& access : accesses) {
    const Clock epochs = records_.AutoSynced(RecordOf(access), clocks.of(pipe));
    for (int from = 0; from < kPipes; ++from) {
      const uint32_t epoch = epochs[static_cast<size_t>(from)];
      if (epoch == 0) continue;
      // As a flag behind the access that this one depends on.
      Knowledge knowledge;
      if (from != pipe) knowledge = clocks.of(from);
      knowledge.own[static_cast<size_t>(from)] = epoch;
      knowledge.tokens.clear();
      clocks.Acquire(pipe, knowledge);
    }
  }
}

bool RaceMonitor::TakesLoadedValue() const {
  const SoftnpuInstruction& in = *site_.instruction();
  if (site_.pipe() != SOFTNPU_PIPE_V) return false;
  switch (in.opcode) {
    case SOFTNPU_OP_ADDS:
    case SOFTNPU_OP_MULS:
    case SOFTNPU_OP_MAXS:
    case SOFTNPU_OP_MINS:
    case SOFTNPU_OP_SHIFT_LEFT:
    case SOFTNPU_OP_SHIFT_RIGHT:
    case SOFTNPU_OP_LEAKY_RELU:
    case SOFTNPU_OP_AXPY:
    case SOFTNPU_OP_DUPLICATE:
    case SOFTNPU_OP_CREATE_VEC_INDEX:
    case SOFTNPU_OP_ARITH_PROGRESSION:
    case SOFTNPU_OP_COMPARE_SCALAR:
      return true;
    case SOFTNPU_OP_SELECT:
      return in.params[1] != 0;
    default:
      return false;
  }
}

void RaceMonitor::Judge(const RaceRecord& record, const Access& access) const {
  Race race;
  const int pipe = site_.pipe();
  if (!records_.FindRace(record, order_.clocks().of(pipe), TakesLoadedValue(), &race)) return;
  const RaceRecord& other = race.first;
  const char* const kind = !other.write   ? "write after read"
                           : record.write ? "write after write"
                                          : "read after write";
  std::string cure;
  if (other.pipe == record.pipe) {
    cure = Format("PipeBarrier<PIPE_%s>() has to stand between", PipeName(pipe));
  } else {
    cure = Format(
        "SetFlag and WaitFlag of HardEvent::%s_%s, a queue or a barrier have to stand between",
        PipeName(other.pipe), PipeName(pipe));
  }
  if (AutoSyncOrders(other.pipe, pipe)) cure += ", or the compiler's --cce-auto-sync";
  uint64_t origin = 0;
  const std::string buffer = site_.NameOf(*access.tensor, race.begin, &origin);
  KernelError::Where where = site_.Here();
  where.buffer = buffer;
  where.begin = static_cast<int64_t>(race.begin - origin);
  where.end = static_cast<int64_t>(race.end - origin);
  where.other_pipe = PipeName(other.pipe);
  where.other_instruction = OpcodeName(other.place.opcode);
  where.other_block = site_.BlockIndex();
  where.other_file = FileOf(other.place.file);
  where.other_line = static_cast<int>(other.place.line);
  const std::string sentence =
      Format("race (%s): %s of pipe %s is not ordered with %s of pipe %s at %s:%d; %s", kind,
             OpcodeName(record.place.opcode), PipeName(pipe), where.other_instruction.c_str(),
             where.other_pipe.c_str(), where.other_file.c_str(), where.other_line, cure.c_str());
  throw KernelError(site_.Code(), sentence, std::move(where));
}

void RaceMonitor::WriteBack(const std::vector<RaceRecord>& records, const Place* writer) {
  CoreGroup* const group = site_.launch().group;
  for (const RaceRecord& record : records) {
    shared_.Add(record, site_.context(), order_.clocks().of(SOFTNPU_PIPE_S).others);
    if (group == nullptr) continue;
    group->Overwrite(site_.context(), record.pattern, writer != nullptr ? *writer : record.place);
  }
}

void RaceMonitor::CleanCache(const SoftnpuInstruction& instruction) {
  if (!site_.races()) return;
  const bool entire = instruction.params[0] != 0;
  const uint32_t epoch = order_.clocks().epoch(SOFTNPU_PIPE_S);
  const Place place = site_.place();
  WriteBack(entire ? cache_.CleanAll(epoch) : cache_.Clean(instruction.operand[0].address, epoch),
            &place);
}

void RaceMonitor::Finish() {
  WriteBack(cache_.CleanAll(std::nullopt), nullptr);
  if (shared_.empty()) return;
  LaunchState& launch = site_.launch();
  const std::lock_guard<std::mutex> lock(launch.mutex);
  launch.shared.Append(std::move(shared_));
}

std::string RaceMonitor::DescribePipes() const {
  std::string out;
  for (int pipe = 0; pipe < kPipes; ++pipe) {
    const Place& last = last_[static_cast<size_t>(pipe)];
    if (last.file == nullptr) continue;
    out += Format("; pipe %s last did %s at %s:%u", PipeName(pipe), OpcodeName(last.opcode),
                  FileOf(last.file).c_str(), last.line);
  }
  return out;
}

}  // namespace softnpu::ascendc
