// cc/softnpu/runtime/acl_abi.h: SoftNPU's own declarations of what it exports as libascendcl.so.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cc/softnpu/runtime/event_handle.h"

#define SOFTNPU_EXPORT __attribute__((visibility("default")))

extern "C" {
#define SOFTNPU_ACL(result, name, parameters) SOFTNPU_EXPORT result name parameters;
#include "cc/softnpu/runtime/acl_functions.inc"
#undef SOFTNPU_ACL
}
