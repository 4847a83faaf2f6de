// cc/softnpu/ascendc/include/tiling/tiling_api.h: of the host's tiling functions, those of the
// product of matrices, and the structs of all.
#pragma once

#include "kernel_tiling/kernel_tiling.h"
#include "tiling/matmul_tiling.h"
