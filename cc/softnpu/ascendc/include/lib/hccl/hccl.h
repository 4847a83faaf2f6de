// cc/softnpu/ascendc/include/lib/hccl/hccl.h: communication from inside kernels.
#pragma once

#include "ascendc/hccl.h"
#include "kernel_operator.h"
