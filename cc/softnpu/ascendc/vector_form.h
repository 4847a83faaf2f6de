// cc/softnpu/ascendc/vector_form.h: forms of vector instructions: limits, accesses, overlaps, mask.
#pragma once

#include <cstdint>

#include "cc/softnpu/ascendc/context.h"

namespace softnpu::ascendc::semantics {

// All throw KernelError. `widest`: bytes of the widest operand's element.

// Checks the form's parameters and admits the accesses; false when there is nothing to do.
// `reads_dst`: the instruction reads operand[0], too.
bool PlanVector(Context& ctx, SoftnpuInstruction& in, uint64_t widest, bool reads_dst = false);

// The parts of it.
// Replaces the mask register form by what the register says; keeps the register up to date.
void ResolveMask(Context& ctx, SoftnpuInstruction& in);
// The form's limits; false: there is nothing to do.
bool CheckForm(const Context& ctx, const SoftnpuInstruction& in, uint64_t widest);
// The number of repeats of an instruction that has them: 0 is a slip, and a fault where the
// compiler knows it.
void CheckRepeat(const Context& ctx, const SoftnpuInstruction& in);
// Adds the accesses of one operand. Bytes without a value travel where `travels`.
void AddLanes(Context& ctx, const SoftnpuInstruction& in, uint32_t operand, bool write,
              uint64_t widest, bool travels = true);
// Judges the accesses of operand[0] with those of the sources.
void CheckOverlap(const Context& ctx, const SoftnpuInstruction& in);

}  // namespace softnpu::ascendc::semantics
