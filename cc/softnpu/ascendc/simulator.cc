// cc/softnpu/ascendc/simulator.cc: launches a kernel, block after block, on the calling thread.
#include "cc/softnpu/ascendc/simulator.h"

#include <cstdio>
#include <cstdlib>

#include "cc/softnpu/ascendc/core.h"

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

constexpr SoftnpuCoreApi kApi = {SOFTNPU_TWIN_ABI, sizeof(SoftnpuInstruction), &Execute};

// False when the kernel was left at a fault. A function of its own: nothing in it has to survive
// the longjmp.
[[gnu::noinline]] bool RunBlock(Core& core, const SoftnpuKernelEntry& entry,
                                const uint64_t* slots) {
  if (setjmp(core.exit) != 0) return false;
  entry.invoke(slots);
  return true;
}

std::string Describe(const std::string& fault, const KernelError::Where& where) {
  std::string out = fault + " (kernel " + where.kernel;
  if (where.block >= 0) {
    out += Format(", block %lld on core %lld", static_cast<long long>(where.block),
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

void LaunchBlocks(const ChipSpec& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
                  const void* args, size_t arg_bytes, uint32_t blocks, bool strict,
                  const std::vector<Output>& outputs) {
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
  // Kept between launches: the UB is what costs.
  static thread_local Core core;
  LaunchState launch;
  launch.chip = &chip;
  launch.memory = &memory;
  launch.kernel = entry.name;
  launch.blocks = blocks;
  launch.strict = strict;
  launch.outputs = &outputs;
  launch.written.resize(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) launch.written[i].Reset(outputs[i].bytes);

  struct Current {
    explicit Current(Core* core) { t_core = core; }
    ~Current() { t_core = nullptr; }
  } current(&core);
  for (uint32_t block = 0; block < blocks; ++block) {
    core.Reset(&launch, block);
    if (!RunBlock(core, entry, static_cast<const uint64_t*>(args))) {
      std::rethrow_exception(std::exchange(core.fault, nullptr));
    }
    core.Finish();
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const uint64_t begin = launch.written[i].FirstMissing(0, outputs[i].bytes);
    if (begin == outputs[i].bytes) continue;
    KernelError::Where where;
    where.kernel = entry.name;
    where.buffer = "output " + outputs[i].name;
    where.begin = static_cast<int64_t>(begin);
    where.end = static_cast<int64_t>(launch.written[i].FirstPresent(begin, outputs[i].bytes));
    where.file = entry.file;
    where.line = static_cast<int>(entry.line);
    throw KernelError(chip.npu_arch == 2002 ? kAicoreException : kVectorCoreException,
                      Format("the output's %zu bytes are not all written", outputs[i].bytes),
                      std::move(where));
  }
}

}  // namespace

KernelError::KernelError(int32_t code, std::string fault, Where where)
    : Error(code, Describe(fault, where)), fault_(std::move(fault)), where_(std::move(where)) {}

void Launch(const ChipSpec& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
            const void* args, size_t arg_bytes, uint32_t blocks, bool strict) {
  LaunchBlocks(chip, memory, entry, args, arg_bytes, blocks, strict, {});
}

void LaunchForOutputs(const ChipSpec& chip, GlobalMemory& memory, const SoftnpuKernelEntry& entry,
                      const void* args, size_t arg_bytes, uint32_t blocks,
                      const std::vector<Output>& outputs) {
  LaunchBlocks(chip, memory, entry, args, arg_bytes, blocks, true, outputs);
}

const SoftnpuCoreApi* CoreApi() { return &kApi; }

}  // namespace softnpu::ascendc
