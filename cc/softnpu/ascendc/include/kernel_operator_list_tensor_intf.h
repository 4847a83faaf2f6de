// cc/softnpu/ascendc/include/kernel_operator_list_tensor_intf.h: another name of kernel_operator.h.
#pragma once

#include "kernel_operator.h"
