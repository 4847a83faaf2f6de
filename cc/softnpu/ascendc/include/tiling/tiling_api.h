// cc/softnpu/ascendc/include/tiling/tiling_api.h: the host's tiling functions.
#pragma once

#include "kernel_tiling/kernel_tiling.h"
#include "tiling/matmul_tiling.h"

// Shapes are vectors of C++'s library, which a program may be built without.
#if __has_include(<vector>)
#include "tiling/vector_tiling.h"
#endif
