// cc/softnpu/opapi/collective_group.h: what products that are summed over ranks have in common.
#pragma once

#include <cstdint>

#include "cc/softnpu/opapi/operator.h"

namespace softnpu {

// Throws Error unless the links of a server connect the ranks of a group of this name, and the sum
// is one that an Atlas A2 has.
void CheckSummingGroup(const Plan& plan, const char* group, const char* reduction,
                       int64_t comm_turn, int64_t stream_mode);
// Throws Error for what is no unit of a chip that carries data. A null pointer leaves the choice.
void CheckCommMode(const char* comm_mode);

// After the plan has run, `out` becomes the sum over the ranks of the group, in place.
void SumOverRanks(Plan* plan, const View& out, const char* group);

}  // namespace softnpu
