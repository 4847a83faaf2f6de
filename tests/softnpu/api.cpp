// tests/softnpu/api.cpp: kernels for the tests of softnpu.launch.
#include "kernel_operator.h"

using namespace AscendC;

struct Scale {
  float factor;
  int32_t offset;
  uint64_t count;
};

// y = x * factor + offset, all arguments by value; some of it in a struct.
extern "C" __global__ __aicore__ void affine(GM_ADDR x, GM_ADDR y, Scale scale, int32_t sign,
                                             bool twice, GM_ADDR nothing) {
  GlobalTensor<float> from, to;
  from.SetGlobalBuffer((__gm__ float*)x, scale.count);
  to.SetGlobalBuffer((__gm__ float*)y, scale.count);
  ASSERT(nothing == nullptr);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, scale.count * sizeof(float));
  LocalTensor<float> a = buffer.Get<float>();
  const int32_t count = static_cast<int32_t>(scale.count);
  DataCopy(a, from, count);
  PipeBarrier<PIPE_ALL>();
  Muls(a, a, scale.factor * (twice ? 2.0f : 1.0f), count);
  PipeBarrier<PIPE_V>();
  Adds(a, a, static_cast<float>(scale.offset * sign), count);
  PipeBarrier<PIPE_ALL>();
  DataCopy(to, a, count);
}

// Every block adds its value to the same eight floats.
extern "C" __global__ __aicore__ void accumulate(GM_ADDR values, GM_ADDR sum) {
  GlobalTensor<float> from, to;
  from.SetGlobalBuffer((__gm__ float*)values + GetBlockIdx() * 8, 8);
  to.SetGlobalBuffer((__gm__ float*)sum, 8);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 32);
  DataCopy(buffer.Get<float>(), from, 8);
  SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  SetAtomicAdd<float>();
  DataCopy(to, buffer.Get<float>(), 8);
  SetAtomicNone();
}

// Needs its blocks at the same time.
extern "C" __global__ __vector__ __aicore__ void meet(GM_ADDR) { SyncAll(); }

// A block writes what the blocks before it have left: wrong in any order but one, and a race.
extern "C" __global__ __aicore__ void chain(GM_ADDR x) {
  GlobalTensor<int32_t> gm;
  gm.SetGlobalBuffer((__gm__ int32_t*)x, 8);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 32);
  LocalTensor<int32_t> a = buffer.Get<int32_t>();
  DataCopy(a, gm, 8);
  PipeBarrier<PIPE_ALL>();
  Muls(a, a, 2, 8);
  PipeBarrier<PIPE_V>();
  Adds(a, a, static_cast<int32_t>(GetBlockIdx()), 8);
  PipeBarrier<PIPE_ALL>();
  DataCopy(gm, a, 8);
}
