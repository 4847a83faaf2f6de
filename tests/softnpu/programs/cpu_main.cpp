// tests/softnpu/programs/cpu_main.cpp: a program that debugs kernels on host memory, as samples do
// with tikicpulib.h; prints how many elements are wrong.
#include <stdio.h>
#include <string.h>

#include "tikicpulib.h"

extern "C" __global__ __aicore__ void scale(GM_ADDR x, GM_ADDR y, uint32_t count, float by);

int main(int argc, char**) {
  constexpr uint32_t kCount = 1024;
  auto* const x = static_cast<float*>(AscendC::GmAlloc(kCount * sizeof(float)));
  auto* const y = static_cast<float*>(AscendC::GmAlloc(kCount * sizeof(float)));
  for (uint32_t i = 0; i < kCount; ++i) x[i] = static_cast<float>(i);
  AscendC::SetKernelMode(KernelMode::AIV_MODE);
  int wrong = 0;
  for (uint32_t key = 1; key <= 2; ++key) {
    ICPU_SET_TILING_KEY(key);
    // With an argument the second half of the elements lies behind the allocation.
    const uint32_t count = argc > 1 ? 2 * kCount : kCount;
    ICPU_RUN_KF(scale, 4, reinterpret_cast<uint8_t*>(x), reinterpret_cast<uint8_t*>(y), count,
                0.5f);
    for (uint32_t i = 0; i < kCount; ++i) wrong += y[i] != x[i] * (key == 1 ? 0.5f : -0.5f);
  }
  AscendC::GmFree(x);
  AscendC::GmFree(y);
  printf("%d of %u are wrong\n", wrong, 2 * kCount);
  return wrong == 0 ? 0 : 1;
}
