// cc/softnpu/ascendc/include/kernel_tiling/kernel_tiling.h: structs that the host's tiling
// functions fill in.
//
// Their fields are those that SoftNPU looks at, and their layout is SoftNPU's: a host that fills
// them in by name does right, bytes of CANN's own tiling functions would be misread.
#pragma once

#include "lib/matmul_intf.h"

using AscendC::LayerNormTiling;
using AscendC::PadTiling;
using AscendC::RmsNormTiling;
using AscendC::SoftMaxTiling;
using AscendC::TopkTiling;
using AscendC::UnPadTiling;

namespace AscendC::tiling {
using AscendC::LayerNormTiling;
using AscendC::PadTiling;
using AscendC::RmsNormTiling;
using AscendC::SoftMaxTiling;
using AscendC::TopkTiling;
using AscendC::UnPadTiling;
using TCubeTiling = ::TCubeTiling;
}  // namespace AscendC::tiling
