// cc/softnpu/ascendc/include/adv_api/hccl/hccl.h: communication from inside kernels.
#pragma once

#include "ascendc/hccl.h"
#include "kernel_operator.h"
