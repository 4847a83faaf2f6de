// cc/softnpu/ascendc/include/kernel_tiling/kernel_tiling.h: structs that the host's tiling
// functions fill in, under the names that kernels and tilings use.
#pragma once

#include "lib/matmul_intf.h"

using AscendC::BatchNormTiling;
using AscendC::ConfusionTransposeTiling;
using AscendC::DeepNormTiling;
using AscendC::GroupNormTiling;
using AscendC::LayerNormGradBetaTiling;
using AscendC::LayerNormGradTiling;
using AscendC::LayerNormSeparateTiling;
using AscendC::LayerNormTiling;
using AscendC::LogSoftMaxTiling;
using AscendC::Mc2CcTiling;
using AscendC::Mc2InitTiling;
using AscendC::PadTiling;
using AscendC::RmsNormTiling;
using AscendC::SoftMaxTiling;
using AscendC::TopkTiling;
using AscendC::UnPadTiling;

namespace AscendC::tiling {
using AscendC::BatchNormTiling;
using AscendC::ConfusionTransposeTiling;
using AscendC::DeepNormTiling;
using AscendC::GroupNormTiling;
using AscendC::LayerNormGradBetaTiling;
using AscendC::LayerNormGradTiling;
using AscendC::LayerNormSeparateTiling;
using AscendC::LayerNormTiling;
using AscendC::LogSoftMaxTiling;
using AscendC::Mc2CcTiling;
using AscendC::Mc2InitTiling;
using AscendC::PadTiling;
using AscendC::RmsNormTiling;
using AscendC::SoftMaxTiling;
using AscendC::TopkTiling;
using AscendC::UnPadTiling;
using TCubeTiling = ::TCubeTiling;
}  // namespace AscendC::tiling
