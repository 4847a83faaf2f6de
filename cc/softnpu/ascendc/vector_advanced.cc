// cc/softnpu/ascendc/vector_advanced.cc: high-level calls that are one instruction here.
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc {

void Core::Advanced(SoftnpuInstruction& in) {
  Fail(Format("high-level API %lld is unknown to this SoftNPU",
              static_cast<long long>(in.params[0])));
}

}  // namespace softnpu::ascendc
