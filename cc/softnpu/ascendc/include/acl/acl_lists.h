// cc/softnpu/ascendc/include/acl/acl_lists.h: the numbers and functions of ACL that host programs
// get, as lists: X(name, value) and X(result, name, (parameters)).
//
// acl_abi_test compares both with the headers in the torch_npu wheel, and the functions with what
// SoftNPU exports.
#pragma once

#define SOFTNPU_ACL_DATA_TYPES(X) \
  X(ACL_DT_UNDEFINED, -1)         \
  X(ACL_FLOAT, 0)                 \
  X(ACL_FLOAT16, 1)               \
  X(ACL_INT8, 2)                  \
  X(ACL_INT32, 3)                 \
  X(ACL_UINT8, 4)                 \
  X(ACL_INT16, 6)                 \
  X(ACL_UINT16, 7)                \
  X(ACL_UINT32, 8)                \
  X(ACL_INT64, 9)                 \
  X(ACL_UINT64, 10)               \
  X(ACL_DOUBLE, 11)               \
  X(ACL_BOOL, 12)                 \
  X(ACL_STRING, 13)               \
  X(ACL_COMPLEX64, 16)            \
  X(ACL_COMPLEX128, 17)           \
  X(ACL_BF16, 27)                 \
  X(ACL_INT4, 29)
#define SOFTNPU_ACL_MALLOC_POLICIES(X)  \
  X(ACL_MEM_MALLOC_HUGE_FIRST, 0)       \
  X(ACL_MEM_MALLOC_HUGE_ONLY, 1)        \
  X(ACL_MEM_MALLOC_NORMAL_ONLY, 2)      \
  X(ACL_MEM_MALLOC_HUGE_FIRST_P2P, 3)   \
  X(ACL_MEM_MALLOC_HUGE_ONLY_P2P, 4)    \
  X(ACL_MEM_MALLOC_NORMAL_ONLY_P2P, 5)  \
  X(ACL_MEM_TYPE_LOW_BAND_WIDTH, 0x100) \
  X(ACL_MEM_TYPE_HIGH_BAND_WIDTH, 0x1000)
#define SOFTNPU_ACL_COPY_KINDS(X)   \
  X(ACL_MEMCPY_HOST_TO_HOST, 0)     \
  X(ACL_MEMCPY_HOST_TO_DEVICE, 1)   \
  X(ACL_MEMCPY_DEVICE_TO_HOST, 2)   \
  X(ACL_MEMCPY_DEVICE_TO_DEVICE, 3) \
  X(ACL_MEMCPY_DEFAULT, 4)
#define SOFTNPU_ACL_MEMORY_KINDS(X) \
  X(ACL_DDR_MEM, 0)                 \
  X(ACL_HBM_MEM, 1)                 \
  X(ACL_DDR_MEM_HUGE, 2)            \
  X(ACL_DDR_MEM_NORMAL, 3)          \
  X(ACL_HBM_MEM_HUGE, 4)            \
  X(ACL_HBM_MEM_NORMAL, 5)
#define SOFTNPU_ACL_RUN_MODES(X) \
  X(ACL_DEVICE, 0)               \
  X(ACL_HOST, 1)
#define SOFTNPU_ACL_EVENT_STATES(X)         \
  X(ACL_EVENT_RECORDED_STATUS_NOT_READY, 0) \
  X(ACL_EVENT_RECORDED_STATUS_COMPLETE, 1)
#define SOFTNPU_ACL_STREAM_STATES(X) \
  X(ACL_STREAM_STATUS_COMPLETE, 0)   \
  X(ACL_STREAM_STATUS_NOT_READY, 1)
#define SOFTNPU_ACL_CODES(X)                  \
  X(ACL_SUCCESS, 0)                           \
  X(ACL_ERROR_NONE, 0)                        \
  X(ACL_ERROR_INVALID_PARAM, 100000)          \
  X(ACL_ERROR_UNINITIALIZE, 100001)           \
  X(ACL_ERROR_REPEAT_INITIALIZE, 100002)      \
  X(ACL_ERROR_API_NOT_SUPPORT, 200001)        \
  X(ACL_ERROR_RT_PARAM_INVALID, 107000)       \
  X(ACL_ERROR_RT_INVALID_DEVICEID, 107001)    \
  X(ACL_ERROR_RT_CONTEXT_NULL, 107002)        \
  X(ACL_ERROR_RT_STREAM_CONTEXT, 107003)      \
  X(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, 207000) \
  X(ACL_ERROR_RT_MEMORY_ALLOCATION, 207001)   \
  X(ACL_ERROR_RT_AICORE_TIMEOUT, 507014)      \
  X(ACL_ERROR_RT_AICORE_EXCEPTION, 507015)    \
  X(ACL_ERROR_RT_VECTOR_CORE_TIMEOUT, 507034) \
  X(ACL_ERROR_RT_VECTOR_CORE_EXCEPTION, 507035)
#define SOFTNPU_ACL_FLAGS(X)         \
  X(ACL_EVENT_SYNC, 0x1)             \
  X(ACL_EVENT_TIME_LINE, 0x8)        \
  X(ACL_EVENT_DEVICE_USE_ONLY, 0x10) \
  X(ACL_STREAM_FAST_LAUNCH, 0x1)     \
  X(ACL_STREAM_FAST_SYNC, 0x2)

#define SOFTNPU_ACL_FUNCTIONS(X)                                                                 \
  X(aclError, aclInit, (const char* configPath))                                                 \
  X(aclError, aclFinalize, ())                                                                   \
  X(const char*, aclGetRecentErrMsg, ())                                                         \
  X(float, aclFloat16ToFloat, (aclFloat16 value))                                                \
  X(aclFloat16, aclFloatToFloat16, (float value))                                                \
  X(size_t, aclDataTypeSize, (aclDataType dataType))                                             \
  X(const char*, aclrtGetSocName, ())                                                            \
  X(aclError, aclrtGetRunMode, (aclrtRunMode * runMode))                                         \
  X(aclError, aclrtGetDeviceCount, (uint32_t* count))                                            \
  X(aclError, aclrtSetDevice, (int32_t deviceId))                                                \
  X(aclError, aclrtResetDevice, (int32_t deviceId))                                              \
  X(aclError, aclrtGetDevice, (int32_t* deviceId))                                               \
  X(aclError, aclrtCreateContext, (aclrtContext * context, int32_t deviceId))                    \
  X(aclError, aclrtDestroyContext, (aclrtContext context))                                       \
  X(aclError, aclrtSetCurrentContext, (aclrtContext context))                                    \
  X(aclError, aclrtGetCurrentContext, (aclrtContext * context))                                  \
  X(aclError, aclrtSetOpExecuteTimeOut, (uint32_t seconds))                                      \
  X(aclError, aclrtSetOpWaitTimeout, (uint32_t seconds))                                         \
  X(aclError, aclrtMalloc, (void** devPtr, size_t size, aclrtMemMallocPolicy policy))            \
  X(aclError, aclrtMallocAlign32, (void** devPtr, size_t size, aclrtMemMallocPolicy policy))     \
  X(aclError, aclrtFree, (void* devPtr))                                                         \
  X(aclError, aclrtMallocHost, (void** hostPtr, size_t size))                                    \
  X(aclError, aclrtFreeHost, (void* hostPtr))                                                    \
  X(aclError, aclrtGetMemInfo, (aclrtMemAttr attr, size_t* free, size_t* total))                 \
  X(aclError, aclrtMemset, (void* devPtr, size_t maxCount, int32_t value, size_t count))         \
  X(aclError, aclrtMemsetAsync,                                                                  \
    (void* devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream))            \
  X(aclError, aclrtMemcpy,                                                                       \
    (void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind))            \
  X(aclError, aclrtMemcpyAsync,                                                                  \
    (void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind,             \
     aclrtStream stream))                                                                        \
  X(aclError, aclrtCreateStream, (aclrtStream * stream))                                         \
  X(aclError, aclrtCreateStreamWithConfig,                                                       \
    (aclrtStream * stream, uint32_t priority, uint32_t flag))                                    \
  X(aclError, aclrtDestroyStream, (aclrtStream stream))                                          \
  X(aclError, aclrtDestroyStreamForce, (aclrtStream stream))                                     \
  X(aclError, aclrtSynchronizeStream, (aclrtStream stream))                                      \
  X(aclError, aclrtSynchronizeStreamWithTimeout, (aclrtStream stream, int32_t timeout))          \
  X(aclError, aclrtSynchronizeDevice, ())                                                        \
  X(aclError, aclrtSynchronizeDeviceWithTimeout, (int32_t timeout))                              \
  X(aclError, aclrtStreamQuery, (aclrtStream stream, aclrtStreamStatus * status))                \
  X(aclError, aclrtCreateEvent, (aclrtEvent * event))                                            \
  X(aclError, aclrtCreateEventWithFlag, (aclrtEvent * event, uint32_t flag))                     \
  X(aclError, aclrtCreateEventExWithFlag, (aclrtEvent * event, uint32_t flag))                   \
  X(aclError, aclrtDestroyEvent, (aclrtEvent event))                                             \
  X(aclError, aclrtRecordEvent, (aclrtEvent event, aclrtStream stream))                          \
  X(aclError, aclrtResetEvent, (aclrtEvent event, aclrtStream stream))                           \
  X(aclError, aclrtStreamWaitEvent, (aclrtStream stream, aclrtEvent event))                      \
  X(aclError, aclrtSynchronizeEvent, (aclrtEvent event))                                         \
  X(aclError, aclrtQueryEventStatus, (aclrtEvent event, aclrtEventRecordedStatus * status))      \
  X(aclError, aclrtEventElapsedTime, (float* ms, aclrtEvent startEvent, aclrtEvent endEvent))    \
  X(aclError, aclrtLaunchHostFunc, (aclrtStream stream, aclrtCallback function, void* argument)) \
  X(aclError, aclrtPeekAtLastError, (int32_t level))                                             \
  X(aclError, aclrtGetLastError, (int32_t level))
