// tests/softnpu/forms.cpp: kernels in the forms that public repositories have, for forms_test.py.
#include "kernel_operator.h"

#ifdef NO_SUCH_CHIP
extern "C" __global__ __aicore__ void branches(GM_ADDR x) { AscendC::printf("no such chip\n"); }
#else
extern "C" __global__ __aicore__ void branches(GM_ADDR x) {
  AscendC::GlobalTensor<int32_t> g;
  g.SetGlobalBuffer((__gm__ int32_t*)x);
  g.SetValue(0, g.GetValue(0) * 2);
}
#endif

namespace forms {
template <typename T>
__aicore__ inline void Body(GM_ADDR x) {
  AscendC::GlobalTensor<T> g;
  g.SetGlobalBuffer((__gm__ T*)x, 1);
  g.SetValue(0, g.GetValue(0) + g.GetValue(0));
}

__global__ __aicore__ void twice(GM_ADDR x) { Body<int32_t>(x); }

template <typename T, int times>
__global__ __aicore__ void repeated(GM_ADDR x) {
  for (int i = 0; i < times; ++i) Body<T>(x);
}
template __global__ __aicore__ void repeated<float, 3>(GM_ADDR);
template __global__ __aicore__ void repeated<int32_t, 2>(GM_ADDR);
}  // namespace forms

#define DEFINE(NAME, T) \
  extern "C" __global__ __aicore__ void NAME(GM_ADDR x) { forms::Body<T>(x); }
DEFINE(by_macro, int32_t)
// Named like functions of C.
DEFINE(exp, float)
DEFINE(abs, int32_t)
// And like ones that the device compiler has.
DEFINE(max, int32_t)

// Functions of the kernel's own with names that the headers have, too.
namespace own {
using namespace AscendC;
template <typename T>
__aicore__ inline T AlignUp(T a, T b) {
  return (a + b - 1) / b * b;
}
__aicore__ inline uint32_t min(uint32_t a, uint32_t b) { return a < b ? a : b; }
template <typename T>
__aicore__ inline T max(T a, T b) {
  return a < b ? b : a;
}
}  // namespace own
template <typename T>
__aicore__ inline T min(T a, T b) {
  return a < b ? a : b;
}
#define likely(x) __builtin_expect(!!(x), 1)

constexpr int32_t BUFFER_NUM = 2;

// The official first kernel: three queues, a class, a host function that launches.
class KernelAdd {
 public:
  __aicore__ inline KernelAdd() {}
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t total, uint32_t tiles) {
    ASSERT(AscendC::GetBlockNum() != 0 && "block dim can not be zero!");
    this->blockLength = total / AscendC::GetBlockNum();
    this->tileNum = tiles;
    this->tileLength = this->blockLength / tiles / BUFFER_NUM;
    xGm.SetGlobalBuffer((__gm__ half*)x + this->blockLength * AscendC::GetBlockIdx(),
                        this->blockLength);
    yGm.SetGlobalBuffer((__gm__ half*)y + this->blockLength * AscendC::GetBlockIdx(),
                        this->blockLength);
    zGm.SetGlobalBuffer((__gm__ half*)z + this->blockLength * AscendC::GetBlockIdx(),
                        this->blockLength);
    pipe.InitBuffer(inQueueX, BUFFER_NUM, this->tileLength * sizeof(half));
    pipe.InitBuffer(inQueueY, BUFFER_NUM, this->tileLength * sizeof(half));
    pipe.InitBuffer(outQueueZ, BUFFER_NUM, this->tileLength * sizeof(half));
  }
  __aicore__ inline void Process() {
    const int32_t loopCount = this->tileNum * BUFFER_NUM;
    for (int32_t i = 0; i < loopCount; i++) {
      CopyIn(i);
      Compute(i);
      CopyOut(i);
    }
  }

 private:
  __aicore__ inline void CopyIn(int32_t progress) {
    AscendC::LocalTensor<half> xLocal = inQueueX.AllocTensor<half>();
    AscendC::LocalTensor<half> yLocal = inQueueY.AllocTensor<half>();
    AscendC::DataCopy(xLocal, xGm[progress * this->tileLength], this->tileLength);
    AscendC::DataCopy(yLocal, yGm[progress * this->tileLength], this->tileLength);
    inQueueX.EnQue(xLocal);
    inQueueY.EnQue(yLocal);
  }
  __aicore__ inline void Compute(int32_t) {
    AscendC::LocalTensor<half> xLocal = inQueueX.DeQue<half>();
    AscendC::LocalTensor<half> yLocal = inQueueY.DeQue<half>();
    AscendC::LocalTensor<half> zLocal = outQueueZ.AllocTensor<half>();
    AscendC::Add(zLocal, xLocal, yLocal, this->tileLength);
    outQueueZ.EnQue<half>(zLocal);
    inQueueX.FreeTensor(xLocal);
    inQueueY.FreeTensor(yLocal);
  }
  __aicore__ inline void CopyOut(int32_t progress) {
    AscendC::LocalTensor<half> zLocal = outQueueZ.DeQue<half>();
    AscendC::DataCopy(zGm[progress * this->tileLength], zLocal, this->tileLength);
    outQueueZ.FreeTensor(zLocal);
  }

  AscendC::TPipe pipe;
  AscendC::TQue<AscendC::QuePosition::VECIN, BUFFER_NUM> inQueueX, inQueueY;
  AscendC::TQue<AscendC::QuePosition::VECOUT, BUFFER_NUM> outQueueZ;
  AscendC::GlobalTensor<half> xGm, yGm, zGm;
  uint32_t blockLength, tileNum, tileLength;
};

extern "C" __global__ __aicore__ void add_custom(GM_ADDR x, GM_ADDR y, GM_ADDR z) {
  KernelAdd op;
  op.Init(x, y, z, own::AlignUp(own::min(2000u, 4000u), 2048u), own::max(8, min(2, 3)));
  if (likely(true)) op.Process();
}

#ifndef ASCENDC_CPU_DEBUG
void add_custom_do(uint32_t blockDim, void* stream, uint8_t* x, uint8_t* y, uint8_t* z) {
  add_custom<<<blockDim, nullptr, stream>>>(x, y, z);
}
#endif

struct Shape {
  uint32_t count;
  float by;
  int64_t sizes[4];
};

// A struct, an array in it, and a table of addresses, all through pointers.
extern "C" __global__ __aicore__ void through_pointers(GM_ADDR table, GM_ADDR tiling) {
  __gm__ Shape* shape = reinterpret_cast<__gm__ Shape*>(tiling);
  __gm__ uint64_t* addresses = reinterpret_cast<__gm__ uint64_t*>(table);
  for (uint32_t t = 0; t < shape->count; ++t) {
    __gm__ float* x = reinterpret_cast<__gm__ float*>(addresses[t]);
    const Shape copy = *shape;
    for (int64_t i = 0; i < copy.sizes[t]; ++i) x[i] = x[i] * copy.by;
  }
}
