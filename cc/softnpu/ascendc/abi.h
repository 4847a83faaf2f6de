// cc/softnpu/ascendc/abi.h: the C ABI between a kernel's host twin and the simulated core.
//
// A twin is a shared library: kernels compiled by a host compiler against our AscendC headers. The
// headers turn each AscendC call into one instruction record and hand it through `SoftnpuCoreApi`;
// meaning, checks and cost live in SoftNPU. A twin carries the ABI version it was built with and is
// refused when that version is not the one of the running SoftNPU.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SOFTNPU_TWIN_ABI 4
#define SOFTNPU_TWIN_SYMBOL "softnpu_twin"

#ifdef __cplusplus
extern "C" {
#endif

struct SoftnpuCoreApi;  // function table of the core, see instruction.h

// One kernel of a twin. `invoke` decodes a launch argument block and calls the kernel for the block
// that is current on this thread. The argument block consists of 8-byte slots: parameters in
// declaration order, a scalar or pointer in one slot, a struct by value in as many as it fills.
typedef struct SoftnpuKernelEntry {
  const char* name;
  const char* file;
  uint32_t line;
  uint32_t param_count;  // 8-byte slots
  void (*invoke)(const uint64_t* slots);
  const uint32_t* flags;  // of the twin: SOFTNPU_TWIN_...
  int32_t task_type;      // KernelMetaType; -1: what KERNEL_TASK_TYPE says when the kernel runs
} SoftnpuKernelEntry;

// Some kernel of the twin synchronises cores, so blocks cannot run one after the other.
#define SOFTNPU_TWIN_CROSS_CORE 1u
// The device compiler orders dependent instructions of V and V, V and S, MTE2 and S, MTE3 and S
// (--cce-auto-sync).
#define SOFTNPU_TWIN_AUTO_SYNC 2u
// Some kernel adds to GM with atomics, where the order of blocks shows in floats.
#define SOFTNPU_TWIN_ATOMIC 4u
// Some kernel has products of matrices.
#define SOFTNPU_TWIN_CUBE 8u

typedef struct SoftnpuTwin {
  uint32_t abi_version;
  uint32_t npu_arch;  // the architecture that the twin was compiled for; 0: any
  uint32_t entry_count;
  const SoftnpuKernelEntry* entries;
  void (*bind)(const struct SoftnpuCoreApi* api);
} SoftnpuTwin;

// Exported by every twin under SOFTNPU_TWIN_SYMBOL.
typedef const SoftnpuTwin* (*SoftnpuTwinFunction)(void);

#ifdef __cplusplus
}  // extern "C"
#endif
