// cc/softnpu/ascendc/include/kernel_operator.h: the AscendC programming interface on a host.
//
// Kernels include this file and nothing else but their tiling structs. On a device CANN's header of
// the same name stands here. Each call becomes one record for the simulated core, see
// instruction.h; every call takes a last parameter that no kernel passes: the place of the call in
// the source.
//
// The headers below are read once. Of this one, what kernels redefine before they include it is
// put right each time.
#undef __aicore__
#define __aicore__

#include "ascendc/cube.h"
#include "ascendc/data_copy.h"
#include "ascendc/data_copy_layout.h"
#include "ascendc/helpers.h"
#include "ascendc/list_tensor.h"
#include "ascendc/local_memory.h"
#include "ascendc/normalization.h"
#include "ascendc/pipe.h"
#include "ascendc/quantization.h"
#include "ascendc/softmax.h"
#include "ascendc/sync.h"
#include "ascendc/system.h"
#include "ascendc/tensor.h"
#include "ascendc/types.h"
#include "ascendc/vector.h"
#include "ascendc/vector_advanced.h"
#include "ascendc/vector_cast.h"
#include "ascendc/vector_compare.h"
#include "ascendc/vector_fill.h"
#include "ascendc/vector_forms.h"
#include "ascendc/vector_gather.h"
#include "ascendc/vector_reduce.h"
#include "ascendc/vector_sort.h"
#include "ascendc/vector_transpose.h"
#include "ascendc/vector_unsupported.h"
