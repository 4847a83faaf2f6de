// cc/softnpu/ascendc/core.h: one simulated core while it runs its part of a block.
//
// A core owns its units (units.h). Run() is the one point where an instruction is executed. Its
// steps are the same for all: the function of the operation (semantics.h) lists the accesses, lets
// them be checked and computes; the cost model notes the time; the race monitor judges the order.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <exception>
#include <string>

#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/units.h"

namespace softnpu::ascendc {

class Core final : private BufferNames {
 public:
  Core() = default;
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Makes the core ready for its part of a block of a launch.
  void Reset(LaunchState* launch, CoreKind kind, uint32_t block, uint32_t sub_block,
             uint32_t context);

  const Site& site() const { return units_.site; }
  PipeOrder& order() { return units_.order; }
  // Another core, or its DMA, has written GM behind this core's data cache.
  void MarkStale(const Pattern& bytes, const Place& writer) {
    units_.cache.MarkStale(bytes, writer);
  }
  // What each pipe did last and which flags are set, for a deadlock's report.
  std::string StateOfPipes() const {
    return units_.monitor.DescribePipes() + units_.flags.Describe();
  }

  // False when the instruction faulted; then `fault` holds a KernelError.
  bool Run(SoftnpuInstruction& instruction) noexcept;
  // Checks what has to hold when a block has ended; throws KernelError.
  void Finish();

  // For a signal of the CPU. False when it was not the kernel's own code that was running; else
  // `fault` holds a KernelError at the instruction before.
  bool Interrupt(const char* sentence) noexcept;

  std::exception_ptr fault;
  jmp_buf exit;
  bool in_kernel = false;

 private:
  std::string NameOf(const SoftnpuTensor& tensor, uint64_t address,
                     uint64_t* origin) const override;

  Units units_{this};
  Place latest_{};  // the last instruction
};

}  // namespace softnpu::ascendc
