// cc/softnpu/ascendc/core.cc: the steps of an instruction, and of the end of a block.
#include "cc/softnpu/ascendc/core.h"

#include "cc/softnpu/ascendc/semantics.h"

namespace softnpu::ascendc {

void Core::Reset(LaunchState* launch, CoreKind kind, uint32_t block, uint32_t sub_block,
                 uint32_t context) {
  units_.Reset(launch, kind, block, sub_block, context);
  fault = nullptr;
  latest_ = {};
}

bool Core::Run(SoftnpuInstruction& instruction) noexcept {
  Site& site = units_.site;
  const std::vector<Access>& accesses = units_.context.accesses;
  if (instruction.file == nullptr) {  // of the kernel's own code, somewhere behind the last one
    instruction.file = latest_.file;
    instruction.line = latest_.line;
  }
  site.Begin(instruction);
  units_.context.Begin();
  try {
    Execute(units_.context, instruction);
    if (site.timed()) units_.cost.Note(instruction, accesses, units_.order.timeline());
    if (site.races() && !accesses.empty()) units_.monitor.Observe(accesses);
    latest_ = site.place();
    site.End();
    return true;
  } catch (...) {
    fault = std::current_exception();
    return false;
  }
}

bool Core::Interrupt(const char* sentence) noexcept {
  if (!in_kernel || units_.site.instruction() != nullptr) return false;
  try {
    if (latest_.file == nullptr) units_.site.Fail(sentence);
    units_.site.FailAtPlace(latest_, Format("%s, after this instruction", sentence));
  } catch (...) {
    fault = std::current_exception();
  }
  return true;
}

void Core::Finish() {
  units_.site.End();
  if (!units_.site.strict()) return;
  units_.monitor.Finish();
  const Registers& r = units_.registers;
  if (r.atomic != 0) {
    units_.site.FailAtPlace(
        {r.atomic, r.atomic_line, r.atomic_file},
        "still holds when the kernel ends: SetAtomicNone is missing, and the next kernel's copies "
        "would combine, too");
  }
  if (units_.site.queues()) units_.frame.CheckQueuesAreEmpty();
  units_.flags.CheckNoneIsSet();
}

std::string Core::NameOf(const SoftnpuTensor& tensor, uint64_t address, uint64_t* origin) const {
  return tensor.space == SOFTNPU_SPACE_GM ? units_.memories.NameOfGlobal(tensor, address, origin)
                                          : units_.frame.NameOfBuffer(tensor, origin);
}

}  // namespace softnpu::ascendc
