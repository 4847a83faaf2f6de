// cc/softnpu/runtime/internal.h: what libascendcl.so offers to the other libraries of SoftNPU.
//
// Plain C, because each library carries a C++ runtime of its own: no exception, no C++ object
// crosses.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Runs `run(context)` as a task of `stream` (null = the default stream of the current device), then
// `drop(context)` in any case. `run` returns 0 or a code for which it has called softnpu_report.
__attribute__((visibility("default"))) int32_t softnpu_enqueue(void* stream, const char* name,
                                                               int32_t (*run)(void*),
                                                               void (*drop)(void*), void* context);
// Host pointer for [address, address + bytes) of device memory; null after softnpu_report
// otherwise.
__attribute__((visibility("default"))) void* softnpu_translate(const void* address, uint64_t bytes);
// Stores the sentence for aclGetRecentErrMsg and returns `code`.
__attribute__((visibility("default"))) int32_t softnpu_report(int32_t code, const char* message);
// The sentence that was stored last.
__attribute__((visibility("default"))) const char* softnpu_message(void);
// Adds one to a counter of kind "host" in the state files.
__attribute__((visibility("default"))) void softnpu_count(const char* name);
// 1 when the chip of this process has the data type bfloat16.
__attribute__((visibility("default"))) int32_t softnpu_has_bfloat16(void);
__attribute__((visibility("default"))) const char* softnpu_soc_name(void);

#ifdef __cplusplus
}  // extern "C"
#endif
