// cc/softnpu/ascendc/copy.h: rules that all DMA copies share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cc/softnpu/ascendc/context.h"

namespace softnpu::ascendc::semantics {

// A copy is operand[0] = operand[1]; where the two lie says which pipe does it.
void SetCopyPipe(Context& ctx, const SoftnpuInstruction& in);
// Strict: throws KernelError when an address is not what DMA takes.
void CheckCopyAlignment(const Context& ctx, const SoftnpuInstruction& in);
// Strict: throws KernelError when the SetAtomic that holds is of another type.
void CheckAtomicType(const Context& ctx, const SoftnpuTensor& destination);
// to = to combined with from, as the SetAtomic says that holds.
void Combine(const Context& ctx, std::byte* to, const std::byte* from, uint64_t bytes);

}  // namespace softnpu::ascendc::semantics
