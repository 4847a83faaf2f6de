// cc/softnpu/ascendc/include/tikicpulib.h: host programs that launch kernels on host memory, as
// CANN's CPU debugging does.
//
// ICPU_RUN_KF copies the blocks of GmAlloc that it gets to the device, launches, waits and copies
// them back. A fault ends the program with the sentence. Memory that GmAlloc did not give is no
// argument of a kernel.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl/acl.h"
#include "cc/softnpu/ascendc/host.h"
#include "kernel_operator.h"

enum class KernelMode : int32_t { MIX_MODE = 0, AIC_MODE, AIV_MODE };

namespace softnpu::cpu {

struct Block {
  uint8_t* host;
  size_t bytes;
  uint8_t* device;  // while a launch runs
  Block* next;
};
inline Block* g_blocks = nullptr;
inline int32_t g_layout = -1;  // KernelMetaType of the next launches; -1: what the kernel says

inline void Check(int32_t code, const char* what) {
  if (code == 0) return;
  const char* const text = aclGetRecentErrMsg();
  fprintf(stderr, "SoftNPU: %s: %d: %s\n", what, code, text == nullptr ? "" : text);
  exit(1);
}

// One thread launches: a guard for more would need the C++ library.
inline void Start() {
  static bool started = false;
  if (started) return;
  started = true;
  aclInit(nullptr);  // a program may have done so
  Check(aclrtSetDevice(0), "aclrtSetDevice");
}

// A pointer into a block becomes the address of its copy on the device; other values stay.
template <typename T>
T OnDevice(T value) {
  return value;
}
template <typename T>
T* OnDevice(T* value) {
  const auto at = reinterpret_cast<uintptr_t>(value);
  for (Block* block = g_blocks; block != nullptr; block = block->next) {
    const auto begin = reinterpret_cast<uintptr_t>(block->host);
    if (at < begin || at >= begin + block->bytes) continue;
    if (block->device == nullptr) {
      void* memory = nullptr;
      Check(aclrtMalloc(&memory, block->bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
      block->device = static_cast<uint8_t*>(memory);
      Check(aclrtMemcpy(memory, block->bytes, block->host, block->bytes, ACL_MEMCPY_HOST_TO_DEVICE),
            "aclrtMemcpy");
    }
    return reinterpret_cast<T*>(block->device + (at - begin));
  }
  return value;
}

template <auto kernel>
struct Run;

template <typename... Parameters, void (*kernel)(Parameters...)>
struct Run<kernel> {
  static void Launch(uint32_t blocks, Parameters... arguments) {
    Start();
    uint64_t slots[twin::Invoker<kernel>::kSlots + 1] = {};
    [[maybe_unused]] uint64_t* at = slots;
    (twin::Encode(OnDevice(arguments), at), ...);
    // Lives on: a launch may be looked at after it has ended.
    static SoftnpuKernelEntry entries[kTypes];
    SoftnpuKernelEntry& entry = entries[g_layout + 1];
    entry = twin::Described<kernel, -1>::kEntry;
    entry.task_type = g_layout;
    twin::Prepare<kernel>();
    if (softnpu_launch_kernel == nullptr) {
      fprintf(stderr, "SoftNPU: start the program with softnpu run --\n");
      exit(1);
    }
    Check(softnpu_launch_kernel(&entry, &twin::BindCores, SOFTNPU_TWIN_ABI, blocks, nullptr, slots,
                                twin::Invoker<kernel>::kSlots),
          entry.name);
    Check(aclrtSynchronizeStream(nullptr), entry.name);
    for (Block* block = g_blocks; block != nullptr; block = block->next) {
      if (block->device == nullptr) continue;
      Check(aclrtMemcpy(block->host, block->bytes, block->device, block->bytes,
                        ACL_MEMCPY_DEVICE_TO_HOST),
            "aclrtMemcpy");
      Check(aclrtFree(block->device), "aclrtFree");
      block->device = nullptr;
    }
  }

 private:
  static constexpr int kTypes = AscendC::KERNEL_TYPE_MAX + 1;
};

}  // namespace softnpu::cpu

namespace AscendC {

using ::KernelMode;

// Zeroed memory that kernels may get.
inline void* GmAlloc(size_t size) {
  auto* const block = static_cast<softnpu::cpu::Block*>(malloc(sizeof(softnpu::cpu::Block)));
  auto* const host = static_cast<uint8_t*>(aligned_alloc(64, (size + 63) / 64 * 64));
  if (block == nullptr || host == nullptr) {
    fprintf(stderr, "SoftNPU: GmAlloc of %zu bytes: no memory\n", size);
    exit(1);
  }
  memset(host, 0, size);
  *block = {host, size, nullptr, softnpu::cpu::g_blocks};
  softnpu::cpu::g_blocks = block;
  return host;
}
inline void GmFree(void* memory) {
  for (softnpu::cpu::Block** at = &softnpu::cpu::g_blocks; *at != nullptr; at = &(*at)->next) {
    if ((*at)->host != memory) continue;
    softnpu::cpu::Block* const block = *at;
    *at = block->next;
    free(block->host);
    free(block);
    return;
  }
}
// The cores of the next launches; MIX_MODE: what the kernel says.
inline void SetKernelMode(KernelMode mode) {
  softnpu::cpu::g_layout = mode == KernelMode::AIC_MODE   ? KERNEL_TYPE_AIC_ONLY
                           : mode == KernelMode::AIV_MODE ? KERNEL_TYPE_AIV_ONLY
                                                          : -1;
}

}  // namespace AscendC

#define ICPU_RUN_KF(kernel, blocks, ...) ::softnpu::cpu::Run<&kernel>::Launch(blocks, ##__VA_ARGS__)
#define ICPU_SET_TILING_KEY(key) ::softnpu::core::SetTilingKey(key)
