// cc/softnpu/ascendc/include/lib/matrix/matmul/tiling.h: its tiling under its long name.
#pragma once

#include "kernel_tiling/kernel_tiling.h"
