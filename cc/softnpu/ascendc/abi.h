// cc/softnpu/ascendc/abi.h: the C ABI between a kernel's host twin and the simulated core.
//
// A twin is a shared library: kernels compiled by a host compiler against our AscendC headers. The
// headers turn each AscendC call into one instruction record and hand it through `SoftnpuCoreApi`;
// meaning, checks and cost live in SoftNPU. A twin carries the ABI version it was built with and is
// refused when that version is not the one of the running SoftNPU.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SOFTNPU_TWIN_ABI 2
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
} SoftnpuKernelEntry;

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
