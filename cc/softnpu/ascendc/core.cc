// cc/softnpu/ascendc/core.cc: the steps of an instruction, and of the end of a block.
#include "cc/softnpu/ascendc/core.h"

#include "cc/softnpu/ascendc/semantics.h"

namespace softnpu::ascendc {

void Core::Reset(LaunchState* launch, CoreKind kind, uint32_t block, uint32_t sub_block,
                 uint32_t context) {
  site_.Reset(launch, kind, block, sub_block, context);
  fault = nullptr;
  latest_ = {};
  registers_ = Registers{};
  memories_.Reset();
  order_.Reset();
  flags_.Reset();
  frame_.Reset();
  cache_.Reset();
  monitor_.Reset();
  cost_.Reset();
}

bool Core::Run(SoftnpuInstruction& instruction) noexcept {
  site_.Begin(instruction);
  context_.accesses.clear();
  try {
    Execute(context_, instruction);
    if (site_.timed()) cost_.Note(instruction, context_.accesses, order_.timeline());
    if (site_.races() && !context_.accesses.empty()) monitor_.Observe(context_.accesses);
    latest_ = site_.place();
    site_.End();
    return true;
  } catch (...) {
    fault = std::current_exception();
    return false;
  }
}

bool Core::Interrupt(const char* sentence) noexcept {
  if (!in_kernel || site_.instruction() != nullptr) return false;
  try {
    if (latest_.file == nullptr) site_.Fail(sentence);
    site_.FailAtPlace(latest_, Format("%s, after this instruction", sentence));
  } catch (...) {
    fault = std::current_exception();
  }
  return true;
}

void Core::Finish() {
  site_.End();
  if (!site_.strict()) return;
  monitor_.Finish();
  const Registers& r = registers_;
  if (r.atomic != 0) {
    site_.FailAtPlace(
        {r.atomic, r.atomic_line, r.atomic_file},
        "still holds when the kernel ends: SetAtomicNone is missing, and the next kernel's copies "
        "would combine, too");
  }
  frame_.CheckQueuesAreEmpty();
  flags_.CheckNoneIsSet();
}

std::string Core::NameOf(const SoftnpuTensor& tensor, uint64_t address, uint64_t* origin) const {
  return tensor.space == SOFTNPU_SPACE_GM ? memories_.NameOfGlobal(tensor, address, origin)
                                          : frame_.NameOfBuffer(tensor, origin);
}

}  // namespace softnpu::ascendc
