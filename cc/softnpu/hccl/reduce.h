// cc/softnpu/hccl/reduce.h: one element from those of all ranks.
#pragma once

#include <cstddef>
#include <vector>

#include "cc/softnpu/hccl/types.h"

namespace softnpu::hccl {

// out[i] = ((in[0][i] op in[1][i]) op in[2][i]) ... for i below `count`, in each of `outs`.
//
// The order is that of the ranks, and each step is rounded to the data type, so results do not
// depend on time or on how the work is divided. Integers wrap. max and min give NaN where an
// operand is one. An `outs` may be one of `ins`: element i is read from all before it is written.
void Reduce(DType dtype, Reduction reduction, const std::vector<const std::byte*>& ins,
            const std::vector<std::byte*>& outs, size_t count);

}  // namespace softnpu::hccl
