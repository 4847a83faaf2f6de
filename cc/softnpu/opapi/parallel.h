// cc/softnpu/opapi/parallel.h: work of an operator on all processors of the host.
//
// ATen has threads of its own, but whoever runs the server decides how many: vLLM sets one, for the
// work of its host. A device's work is not the host's.
#pragma once

#include <cstdint>
#include <functional>

namespace softnpu {

// Calls body(begin, end) for parts that make up [0, count), each but the last a multiple of `step`,
// at the same time where that is possible. The first error of a part is thrown when all have ended.
void InParts(int64_t count, int64_t step, const std::function<void(int64_t, int64_t)>& body);

}  // namespace softnpu
