// cc/softnpu/ascendc/include/lib/matrix/matmul/matmul.h: the high-level product under its long
// name.
#pragma once

#include "lib/matmul_intf.h"
