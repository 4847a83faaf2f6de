// cc/softnpu/ascendc/include/lib/hccl/hccl.h: refused by name.
#pragma once

#error "HCCL in kernels (Hccl, HcclTilingData) is not supported by SoftNPU"
