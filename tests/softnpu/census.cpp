// tests/softnpu/census.cpp: kernels that show what chip they run on.
#include "kernel_operator.h"

using namespace AscendC;

// Block i writes (blocks, i) to words 8 i and 8 i + 1; its buffer takes `bytes` of UB.
extern "C" __global__ __aicore__ void blocks(GM_ADDR out, int64_t bytes) {
  GlobalTensor<int32_t> to;
  to.SetGlobalBuffer((__gm__ int32_t*)out + GetBlockIdx() * 8, 8);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, bytes);
  LocalTensor<int32_t> words = buffer.Get<int32_t>();
  Duplicate(words, static_cast<int32_t>(GetBlockNum()), 8);
  SetFlag<HardEvent::V_S>(EVENT_ID0);
  WaitFlag<HardEvent::V_S>(EVENT_ID0);
  words.SetValue(1, static_cast<int32_t>(GetBlockIdx()));
  SetFlag<HardEvent::S_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::S_MTE3>(EVENT_ID0);
  DataCopy(to, words, 8);
}

// All vector cores of the blocks at once.
extern "C" __global__ __vector__ __aicore__ void vectors(GM_ADDR) { SyncAll(); }

// A cube core and two vector cores for each block, all at once.
extern "C" __global__ __aicore__ __mix__(1, 2) void pairs(GM_ADDR) { SyncAll<false>(); }

// A buffer of `bytes` in L1 and one in L0C.
extern "C" __global__ __cube__ __aicore__ void buffers(GM_ADDR, int64_t l1_bytes,
                                                       int64_t l0c_bytes) {
  TPipe pipe;
  TBuf<TPosition::A1> l1;
  TBuf<TPosition::CO1> l0c;
  pipe.InitBuffer(l1, l1_bytes);
  pipe.InitBuffer(l0c, l0c_bytes);
}
