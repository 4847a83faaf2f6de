// cc/softnpu/ascendc/simulator.cc: launches a kernel on the cores of its layout.
#include "cc/softnpu/ascendc/simulator.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>

#include "cc/softnpu/ascendc/cluster.h"
#include "cc/softnpu/ascendc/core.h"
#include "cc/softnpu/ascendc/names.h"
#include "cc/softnpu/base/signals.h"

namespace softnpu::ascendc {
namespace {

thread_local Core* t_core = nullptr;

void Execute(SoftnpuInstruction* instruction) {
  Core* const core = t_core;
  if (core == nullptr) {
    std::fprintf(stderr, "SoftNPU: %s outside of a kernel launch\n",
                 OpcodeName(instruction->opcode));
    std::abort();
  }
  if (core->Run(*instruction)) return;
  longjmp(core->exit, 1);
}

bool InKernel() { return t_core != nullptr; }

constexpr SoftnpuCoreApi kApi = {SOFTNPU_TWIN_ABI, sizeof(SoftnpuInstruction), &Execute, &InKernel};

// False when the kernel was left at a fault. A function of its own: nothing in it has to survive
// the longjmp.
[[gnu::noinline]] bool RunKernel(Core& core, const SoftnpuKernelEntry& entry,
                                 const uint64_t* slots) {
  if (setjmp(core.exit) != 0) {
    core.in_kernel = false;
    return false;
  }
  core.in_kernel = true;
  entry.invoke(slots);
  core.in_kernel = false;
  return true;
}

// The kernel's scalar code is the host's: what stops the CPU there is a fault of the kernel.
constexpr int kSignals[] = {SIGFPE, SIGSEGV, SIGBUS};
struct sigaction g_before[std::size(kSignals)];

void OnSignal(int number, siginfo_t* info, void* context) {
  Core* const core = t_core;
  if (core != nullptr && info->si_code > 0) {
    char sentence[160] = "the kernel's own code divides an integer by zero";
    if (number != SIGFPE) {
      std::snprintf(sentence, sizeof(sentence),
                    "the kernel's own code dereferences %p; only GlobalTensor reaches GM, and "
                    "only LocalTensor the memory on the chip",
                    info->si_addr);
    }
    if (core->Interrupt(sentence)) longjmp(core->exit, 1);
  }
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    if (kSignals[i] == number) PassOn(number, info, context, g_before[i]);
  }
}

void CatchSignals() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = OnSignal;
    // The handler is left by longjmp, so the signal must not stay blocked.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &g_before[i]);
  });
}

// Runs the kernel on a core; false when it faulted, then the core holds the fault.
bool RunCore(Core& core, const SoftnpuKernelEntry& entry, const uint64_t* slots) {
  if (!RunKernel(core, entry, slots)) return false;
  try {
    core.Finish();
    return true;
  } catch (...) {
    core.fault = std::current_exception();
    return false;
  }
}

std::string Describe(const std::string& fault, const KernelError::Where& where) {
  std::string out = fault + " (kernel " + where.kernel;
  if (where.block >= 0) {
    out += Format(", block %lld on %score %lld", static_cast<long long>(where.block),
                  where.core_type.empty() ? "" : (where.core_type + " ").c_str(),
                  static_cast<long long>(where.core));
  }
  if (!where.instruction.empty()) {
    out += ", pipe " + where.pipe + ", " + where.instruction;
  }
  if (!where.buffer.empty()) {
    out += Format(", bytes [%lld, %lld) of ", static_cast<long long>(where.begin),
                  static_cast<long long>(where.end)) +
           where.buffer;
  }
  if (!where.file.empty()) out += Format(", %s:%d", where.file.c_str(), where.line);
  return out + ")";
}

// The layouts of CANN's KernelMetaType. On a chip whose cores are both, a block is one core.
Layout LayoutOf(const Profile& chip, int64_t task_type) {
  if (chip.npu_arch == 2002) return {0, 1};
  switch (task_type) {
    case 1:  // AIC_ONLY
    case 3:  // MIX_AIC_1_0
      return {1, 0};
    case 4:  // MIX_AIC_1_1
      return {1, 1};
    case 5:  // MIX_AIC_1_2
      return {1, 2};
    default:
      return {0, 1};
  }
}

// What KERNEL_TASK_TYPE said in earlier launches. An address says nothing of a kernel: another twin
// may be loaded at the same place later.
class TaskTypes {
 public:
  int64_t Find(const SoftnpuKernelEntry& entry, uint64_t tiling_key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = types_.find(View(entry.name, entry.file, entry.line, tiling_key));
    return found == types_.end() ? -1 : found->second;
  }
  void Learn(const SoftnpuKernelEntry& entry, uint64_t tiling_key, int64_t type) {
    const std::lock_guard<std::mutex> lock(mutex_);
    types_[Key(entry.name, entry.file, entry.line, tiling_key)] = type;
  }

 private:
  using Key = std::tuple<std::string, std::string, uint32_t, uint64_t>;
  // The same for a search, which is done at every launch.
  using View = std::tuple<std::string_view, std::string_view, uint32_t, uint64_t>;
  std::mutex mutex_;
  std::map<Key, int64_t, std::less<>> types_;
};

TaskTypes& KnownTaskTypes() {
  static TaskTypes types;
  return types;
}

// Cores are kept between launches: their memories are what costs.
std::vector<std::unique_ptr<Core>>& CoresOfThread() {
  static thread_local std::vector<std::unique_ptr<Core>> cores;
  return cores;
}
Core& CoreOfThread(size_t index) {
  auto& cores = CoresOfThread();
  while (cores.size() <= index) cores.push_back(std::make_unique<Core>());
  return *cores[index];
}

struct Part {
  CoreKind kind;
  uint32_t block;
  uint32_t sub_block;
};

std::vector<Part> PartsOf(const LaunchState& launch) {
  std::vector<Part> parts;
  const bool coupled = launch.chip->npu_arch == 2002;
  for (uint32_t block = 0; block < launch.blocks; ++block) {
    for (int i = 0; i < launch.layout.cubes; ++i) parts.push_back({kCubeCore, block, 0});
    for (int i = 0; i < launch.layout.vectors; ++i) {
      parts.push_back({coupled ? kBothCore : kVectorCore, block, static_cast<uint32_t>(i)});
    }
  }
  return parts;
}

// Cores that do not wait for each other: in any order, on one or several host threads.
void RunApart(LaunchState& launch, const std::vector<Part>& parts, const uint64_t* slots,
              std::vector<CoreTimeline>& timelines) {
  std::vector<uint32_t> order(parts.size());
  std::iota(order.begin(), order.end(), 0u);
  if (launch.options.seed != 0) {
    std::shuffle(order.begin(), order.end(), std::mt19937_64(launch.options.seed));
  }
  std::mutex mutex;
  std::exception_ptr fault;
  uint32_t faulty = UINT32_MAX;
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  const auto work = [&] {
    UseSignalStack();
    Core& core = CoreOfThread(0);
    t_core = &core;
    for (size_t i = next++; i < order.size() && !stop; i = next++) {
      const uint32_t context = order[i];
      const Part& part = parts[context];
      core.Reset(&launch, part.kind, part.block, part.sub_block, context);
      const bool good = RunCore(core, *launch.entry, slots);
      if (launch.table != nullptr) timelines[context] = core.order().timeline();
      if (good) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      if (context < faulty) {
        faulty = context;
        fault = std::exchange(core.fault, nullptr);
      }
      stop = true;
    }
    t_core = nullptr;
  };
  const size_t wanted = launch.options.threads > 0
                            ? static_cast<size_t>(launch.options.threads)
                            : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> helpers;
  for (size_t i = 1; i < std::min(wanted, parts.size()); ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  if (fault != nullptr) std::rethrow_exception(fault);
}

void RunTogether(LaunchState& launch, const std::vector<Part>& parts, const uint64_t* slots,
                 std::vector<CoreTimeline>& timelines) {
  std::vector<Core*> cores;
  for (size_t i = 0; i < parts.size(); ++i) {
    Core& core = CoreOfThread(i);
    core.Reset(&launch, parts[i].kind, parts[i].block, parts[i].sub_block,
               static_cast<uint32_t>(i));
    cores.push_back(&core);
  }
  Cluster cluster(
      launch, std::move(cores), [&](Core& core) { return RunCore(core, *launch.entry, slots); },
      &t_core);
  launch.group = &cluster;
  cluster.Run();
  if (launch.table == nullptr) return;
  for (size_t i = 0; i < parts.size(); ++i) timelines[i] = CoreOfThread(i).order().timeline();
}

[[noreturn]] void ThrowCrossRace(const LaunchState& launch, const std::vector<Part>& parts,
                                 const CrossRace& race) {
  const auto name = [&](const SharedRecord& record) {
    const Part& part = parts[record.context];
    const int64_t block =
        part.kind == kCubeCore
            ? int64_t{part.block}
            : int64_t{part.block} * std::max(launch.layout.vectors, 1) + part.sub_block;
    return std::pair(part.kind == kCubeCore     ? "AIC"
                     : part.kind == kVectorCore ? "AIV"
                                                : "core",
                     block);
  };
  // The message's place is the later core's.
  const SharedRecord& first = race.first;
  const SharedRecord& second = race.second;
  KernelError::Where where;
  where.kernel = launch.entry->name;
  where.block = name(second).second;
  where.core_type = name(second).first;
  where.core = where.block;
  where.pipe = PipeName(second.pipe);
  where.instruction = OpcodeName(second.place.opcode);
  where.file = FileOf(second.place.file);
  where.line = static_cast<int>(second.place.line);
  where.other_pipe = PipeName(first.pipe);
  where.other_instruction = OpcodeName(first.place.opcode);
  where.other_block = name(first).second;
  where.other_file = FileOf(first.place.file);
  where.other_line = static_cast<int>(first.place.line);
  GlobalRegion region;
  std::string nearest;
  where.buffer = "GM";
  uint64_t origin = 0;
  if (launch.memory->Find(race.begin, &region, &nearest)) {
    where.buffer = "GM " + region.name;
    origin = region.base;
  }
  where.begin = static_cast<int64_t>(race.begin - origin);
  where.end = static_cast<int64_t>(race.end - origin);
  const std::string other =
      Format("%s of pipe %s of %s block %lld at %s:%d", where.other_instruction.c_str(),
             where.other_pipe.c_str(), name(first).first, static_cast<long long>(where.other_block),
             where.other_file.c_str(), where.other_line);
  std::string fault;
  switch (race.kind) {
    case CrossRace::Kind::kRace:
      fault = Format(
          "race between cores (%s): not ordered with %s; a flag between cores or "
          "SyncAll has to stand between",
          !first.write   ? "write after read"
          : second.write ? "write after write"
                         : "read after write",
          other.c_str());
      break;
    case CrossRace::Kind::kNotCleaned:
      fault = "reads what " + other +
              " has written into the scalar unit's data cache only: DataCacheCleanAndInvalid has "
              "to come after it";
      break;
    case CrossRace::Kind::kSharedLine:
      fault = "writes a 64-byte line that " + other +
              " writes, too: lines are written back whole, so one of the two is lost";
      break;
  }
  const bool vector = parts[second.context].kind == kVectorCore;
  throw KernelError(vector ? kVectorCoreException : kAicoreException, fault, std::move(where));
}

void LaunchBlocks(const Profile& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
                  const void* args, size_t arg_bytes, uint32_t blocks,
                  const LaunchOptions& options) {
  if (blocks == 0 || blocks > 65535) {
    throw Error(
        kRtParamInvalid,
        Format("kernel %s: %u blocks asked for, the limits are 1 and 65535", entry.name, blocks));
  }
  if (arg_bytes != entry.param_count * sizeof(uint64_t)) {
    throw Error(kRtParamInvalid, Format("kernel %s takes %u argument slots of 8 bytes, the launch "
                                        "brings %zu bytes",
                                        entry.name, entry.param_count, arg_bytes));
  }
  if (t_core != nullptr) {
    throw Error(kRtInternal, Format("kernel %s is launched from inside a kernel", entry.name));
  }
  CatchSignals();
  UseSignalStack();
  const uint32_t flags = entry.flags == nullptr ? 0 : *entry.flags;
  LaunchState launch;
  launch.chip = &chip;
  launch.memory = &memory;
  launch.entry = &entry;
  launch.blocks = blocks;
  launch.options = options;
  launch.strict = options.strict;
  launch.races = options.strict && options.races;
  launch.init = options.strict && options.init;
  launch.queues = options.strict && options.queues;
  launch.bounds = options.strict && options.bounds;
  launch.alignment = options.strict && options.alignment;
  launch.sizes = options.strict && options.sizes;
  launch.table = options.time;
  launch.auto_sync = (flags & SOFTNPU_TWIN_AUTO_SYNC) != 0;
  launch.synchronised = (flags & SOFTNPU_TWIN_CROSS_CORE) != 0;
  launch.task_type =
      entry.task_type >= 0 ? entry.task_type : KnownTaskTypes().Find(entry, options.tiling_key);
  // The order of float additions shows, and so does, in the time, who brings a line to L2: one host
  // thread keeps it.
  if ((flags & SOFTNPU_TWIN_ATOMIC) != 0 || launch.table != nullptr) launch.options.threads = 1;
  std::vector<Part> parts;
  std::vector<CoreTimeline> timelines;
  for (;;) {
    launch.layout = LayoutOf(chip, launch.task_type);
    launch.written.assign(options.outputs.size(), ByteSet{});
    for (size_t i = 0; i < options.outputs.size(); ++i) {
      launch.written[i].Reset(options.outputs[i].bytes);
    }
    launch.shared.Reset(launch.synchronised);
    parts = PartsOf(launch);
    timelines.assign(launch.table == nullptr ? 0 : parts.size(), CoreTimeline{});
    launch.footprint = Footprint{};
    launch.overwritten = Footprint{};
    struct Leave {
      ~Leave() { t_core = nullptr; }
    } leave;
    try {
      if (launch.synchronised) {
        RunTogether(launch, parts, static_cast<const uint64_t*>(args), timelines);
      } else {
        RunApart(launch, parts, static_cast<const uint64_t*>(args), timelines);
      }
      break;
    } catch (const Relaid&) {
      launch.group = nullptr;
      KnownTaskTypes().Learn(entry, options.tiling_key, launch.task_type);
    }
  }
  if (launch.table != nullptr && options.report != nullptr) {
    std::vector<TimedCore> timed;
    for (size_t i = 0; i < parts.size(); ++i) {
      timed.push_back({&timelines[i], parts[i].kind == kCubeCore});
    }
    *options.report = PlayTimelines(*launch.table, timed, chip.cube_cores, chip.vector_cores,
                                    launch.footprint.bytes(), options.warm_l2, options.slices);
    for (const Part& part : parts) {
      const uint32_t core =
          part.kind == kCubeCore
              ? part.block
              : part.block * static_cast<uint32_t>(launch.layout.vectors) + part.sub_block;
      options.report->core_names.push_back(
          Format("%s %u", part.kind == kCubeCore ? "AIC" : "AIV", core));
    }
  }
  if (options.atomics != nullptr) *options.atomics = launch.atomics;
  if (launch.races) {
    CrossRace race;
    if (launch.shared.FindRace(&race)) ThrowCrossRace(launch, parts, race);
  }
  for (size_t i = 0; i < options.outputs.size() && launch.init; ++i) {
    const Output& output = options.outputs[i];
    const uint64_t begin = launch.written[i].FirstMissing(0, output.bytes);
    if (begin == output.bytes) continue;
    KernelError::Where where;
    where.kernel = entry.name;
    where.buffer = "output " + output.name;
    where.begin = static_cast<int64_t>(begin);
    where.end = static_cast<int64_t>(launch.written[i].FirstPresent(begin, output.bytes));
    where.file = entry.file;
    where.line = static_cast<int>(entry.line);
    throw KernelError(launch.layout.vectors > 0 && chip.npu_arch != 2002 ? kVectorCoreException
                                                                         : kAicoreException,
                      Format("the output's %zu bytes are not all written", output.bytes),
                      std::move(where));
  }
}

}  // namespace

KernelError::KernelError(int32_t code, std::string fault, Where where)
    : Error(code, Describe(fault, where)), fault_(std::move(fault)), where_(std::move(where)) {}

void Launch(const Profile& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
            const void* args, size_t arg_bytes, uint32_t blocks, const LaunchOptions& options) {
  LaunchBlocks(chip, memory, entry, args, arg_bytes, blocks, options);
}

void Launch(const Profile& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
            const void* args, size_t arg_bytes, uint32_t blocks, bool strict) {
  LaunchOptions options;
  options.strict = strict;
  LaunchBlocks(chip, memory, entry, args, arg_bytes, blocks, options);
}

void LaunchForOutputs(const Profile& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
                      const void* args, size_t arg_bytes, uint32_t blocks,
                      const std::vector<Output>& outputs) {
  LaunchOptions options;
  options.outputs = outputs;
  LaunchBlocks(chip, memory, entry, args, arg_bytes, blocks, options);
}

const char* InstructionName(uint32_t opcode) { return OpcodeName(opcode); }

const SoftnpuCoreApi* CoreApi() { return &kApi; }

}  // namespace softnpu::ascendc
