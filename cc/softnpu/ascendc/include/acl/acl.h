// cc/softnpu/ascendc/include/acl/acl.h: ACL for host programs that launch kernels, as SoftNPU's
// libascendcl.so exports it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "acl/acl_lists.h"

typedef int32_t aclError;
typedef uint16_t aclFloat16;
typedef void* aclrtStream;
typedef void* aclrtContext;
typedef void* aclrtEvent;
typedef void* aclrtBinHandle;
typedef void* aclrtFuncHandle;

#define SOFTNPU_ACL_NUMBER(name, value) name = value,
typedef enum aclDataType : int32_t { SOFTNPU_ACL_DATA_TYPES(SOFTNPU_ACL_NUMBER) } aclDataType;
typedef enum aclrtMemMallocPolicy : int32_t {
  SOFTNPU_ACL_MALLOC_POLICIES(SOFTNPU_ACL_NUMBER)
} aclrtMemMallocPolicy;
typedef enum aclrtMemcpyKind : int32_t {
  SOFTNPU_ACL_COPY_KINDS(SOFTNPU_ACL_NUMBER)
} aclrtMemcpyKind;
typedef enum aclrtMemAttr : int32_t { SOFTNPU_ACL_MEMORY_KINDS(SOFTNPU_ACL_NUMBER) } aclrtMemAttr;
typedef enum aclrtRunMode : int32_t { SOFTNPU_ACL_RUN_MODES(SOFTNPU_ACL_NUMBER) } aclrtRunMode;
typedef enum aclrtEventRecordedStatus : int32_t {
  SOFTNPU_ACL_EVENT_STATES(SOFTNPU_ACL_NUMBER)
} aclrtEventRecordedStatus;
typedef enum aclrtStreamStatus : int32_t {
  SOFTNPU_ACL_STREAM_STATES(SOFTNPU_ACL_NUMBER)
} aclrtStreamStatus;
#undef SOFTNPU_ACL_NUMBER
#define SOFTNPU_ACL_NUMBER(name, value) static const int name = value;
SOFTNPU_ACL_CODES(SOFTNPU_ACL_NUMBER)
#undef SOFTNPU_ACL_NUMBER
#define SOFTNPU_ACL_NUMBER(name, value) static const uint32_t name = value;
SOFTNPU_ACL_FLAGS(SOFTNPU_ACL_NUMBER)
#undef SOFTNPU_ACL_NUMBER

typedef void (*aclrtCallback)(void*);

extern "C" {
#define SOFTNPU_ACL_FUNCTION(result, name, parameters) result name parameters;
SOFTNPU_ACL_FUNCTIONS(SOFTNPU_ACL_FUNCTION)
#undef SOFTNPU_ACL_FUNCTION
}
