// tests/softnpu/corpus/cores.cpp: cores that work together: workspaces, SyncAll, flags between
// cube and vector cores, blocks in an order.
#include "kernel_operator.h"

using namespace AscendC;

// The mean of all elements is taken off each: sums in a workspace, then all cores meet.
extern "C" __global__ __aicore__ void centre(GM_ADDR x, GM_ADDR y, GM_ADDR workspace,
                                             int32_t part) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  const int64_t me = GetBlockIdx(), all = GetBlockNum();
  GlobalTensor<float> xGm, yGm, sumGm;
  xGm.SetGlobalBuffer((__gm__ float*)x + me * part, part);
  yGm.SetGlobalBuffer((__gm__ float*)y + me * part, part);
  sumGm.SetGlobalBuffer((__gm__ float*)GetUserWorkspace(workspace), all * 8);
  TPipe pipe;
  TBuf<> tileBuf, workBuf, sumBuf, allBuf;
  pipe.InitBuffer(tileBuf, part * sizeof(float));
  pipe.InitBuffer(workBuf, part * sizeof(float));
  pipe.InitBuffer(sumBuf, 32);
  pipe.InitBuffer(allBuf, all * 32);
  auto tile = tileBuf.Get<float>();
  auto sum = sumBuf.Get<float>();
  auto sums = allBuf.Get<float>();
  DataCopy(tile, xGm, part);
  Duplicate(sum, 0.0f, 8);
  PipeBarrier<PIPE_ALL>();
  ReduceSum(sum, tile, workBuf.Get<float>(), part);
  PipeBarrier<PIPE_ALL>();
  DataCopy(sumGm[me * 8], sum, 8);
  PipeBarrier<PIPE_ALL>();
  SyncAll();
  DataCopy(sums, sumGm, all * 8);
  PipeBarrier<PIPE_ALL>();
  float total = 0;
  for (int64_t i = 0; i < all; ++i) total += sums.GetValue(i * 8);
  Adds(tile, tile, -total / static_cast<float>(all * part), part);
  PipeBarrier<PIPE_ALL>();
  DataCopy(yGm, tile, part);
}

// The blocks write one after the other; each appends its number behind what it finds.
extern "C" __global__ __aicore__ void append_in_turn(GM_ADDR list, GM_ADDR sync) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GlobalTensor<int32_t> out, syncGm;
  out.SetGlobalBuffer((__gm__ int32_t*)list, 8);
  syncGm.SetGlobalBuffer((__gm__ int32_t*)sync, 8 * GetBlockNum());
  TPipe pipe;
  TBuf<> buffer;
  TQue<QuePosition::VECIN, 1> work;
  pipe.InitBuffer(buffer, 32);
  pipe.InitBuffer(work, 1, 8 * 32);
  auto local = buffer.Get<int32_t>();
  auto ub = work.AllocTensor<int32_t>();
  if (GetBlockIdx() > 0) IBWait(syncGm, ub, static_cast<int32_t>(GetBlockIdx()) - 1, 0);
  DataCopy(local, out, 8);
  PipeBarrier<PIPE_ALL>();
  const int32_t count = local.GetValue(0) + 1;
  local.SetValue(count, static_cast<int32_t>(GetBlockIdx() + 100));
  local.SetValue(0, count);
  PipeBarrier<PIPE_ALL>();
  DataCopy(out, local, 8);
  PipeBarrier<PIPE_ALL>();
  if (GetBlockIdx() + 1 < GetBlockNum()) IBSet(syncGm, ub, static_cast<int32_t>(GetBlockIdx()), 0);
  work.FreeTensor(ub);
}

// The cube core multiplies, its two vector cores take half of the rows each and apply relu.
extern "C" __global__ __aicore__ void product_then_relu(GM_ADDR a, GM_ADDR b, GM_ADDR c,
                                                        GM_ADDR workspace) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  constexpr uint16_t kSize = 16;
  GlobalTensor<float> middle;
  middle.SetGlobalBuffer((__gm__ float*)GetUserWorkspace(workspace), kSize * kSize);
  TPipe pipe;
  if ASCEND_IS_AIC {
    GlobalTensor<half> aGm, bGm;
    aGm.SetGlobalBuffer((__gm__ half*)a, kSize * kSize);
    bGm.SetGlobalBuffer((__gm__ half*)b, kSize * kSize);
    TBuf<TPosition::A1> l1;
    TBuf<TPosition::A2> l0a;
    TBuf<TPosition::B2> l0b;
    TBuf<TPosition::CO1> l0c;
    pipe.InitBuffer(l1, 2 * kSize * kSize * sizeof(half));
    pipe.InitBuffer(l0a, kSize * kSize * sizeof(half));
    pipe.InitBuffer(l0b, kSize * kSize * sizeof(half));
    pipe.InitBuffer(l0c, kSize * kSize * sizeof(float));
    auto l1a = l1.Get<half>();
    auto l1b = l1a[kSize * kSize];
    Nd2NzParams nz(1, kSize, kSize, 0, kSize, kSize, 1, 0);
    DataCopy(l1a, aGm, nz);
    DataCopy(l1b, bGm, nz);
    SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID1);
    WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID1);
    LoadData2DParams load(0, 1, 1, 0, 0, false, 0);
    LoadData(l0a.Get<half>(), l1a, load);
    load.ifTranspose = true;
    LoadData(l0b.Get<half>(), l1b, load);
    SetFlag<HardEvent::MTE1_M>(EVENT_ID1);
    WaitFlag<HardEvent::MTE1_M>(EVENT_ID1);
    MmadParams mm;
    mm.m = mm.n = mm.k = kSize;
    Mmad(l0c.Get<float>(), l0a.Get<half>(), l0b.Get<half>(), mm);
    SetFlag<HardEvent::M_FIX>(EVENT_ID1);
    WaitFlag<HardEvent::M_FIX>(EVENT_ID1);
    Fixpipe(middle, l0c.Get<float>(), FixpipeParamsV220(kSize, kSize, kSize, kSize, false));
    CrossCoreSetFlag<0x2, PIPE_FIX>(0x3);
  }
  if ASCEND_IS_AIV {
    GlobalTensor<float> cGm;
    const uint32_t half_size = kSize * kSize / 2;
    cGm.SetGlobalBuffer((__gm__ float*)c + GetSubBlockIdx() * half_size, half_size);
    TBuf<> buffer;
    pipe.InitBuffer(buffer, half_size * sizeof(float));
    auto tile = buffer.Get<float>();
    CrossCoreWaitFlag(0x3);
    DataCopy(tile, middle[GetSubBlockIdx() * half_size], half_size);
    PipeBarrier<PIPE_ALL>();
    Relu(tile, tile, half_size);
    PipeBarrier<PIPE_ALL>();
    DataCopy(cGm, tile, half_size);
  }
}
