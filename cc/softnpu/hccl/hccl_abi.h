// cc/softnpu/hccl/hccl_abi.h: SoftNPU's own declarations of what it exports as libhccl.so.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cc/softnpu/hccl/types.h"

#define SOFTNPU_EXPORT __attribute__((visibility("default")))

extern "C" {
#define SOFTNPU_HCCL(result, name, parameters) SOFTNPU_EXPORT result name parameters;
#include "cc/softnpu/hccl/hccl_functions.inc"
#undef SOFTNPU_HCCL
}
