// tests/softnpu/corpus/handsync.cpp: kernels that order the pipes themselves, with flags and
// barriers, and no queue. They are built with --cce-auto-sync=off.
#include "kernel_operator.h"

// Two buffers in turn, each with an event of its own.
extern "C" __global__ __aicore__ void saxpy_ping_pong(GM_ADDR x, GM_ADDR y, float a,
                                                      uint32_t tiles) {
  using namespace AscendC;
  constexpr uint32_t kTile = 512;
  GlobalTensor<float> xGm, yGm;
  const uint64_t first = static_cast<uint64_t>(GetBlockIdx()) * tiles * kTile;
  xGm.SetGlobalBuffer((__gm__ float*)x + first, tiles * kTile);
  yGm.SetGlobalBuffer((__gm__ float*)y + first, tiles * kTile);
  TPipe pipe;
  TBuf<TPosition::VECCALC> buffer;
  pipe.InitBuffer(buffer, 4 * kTile * sizeof(float));
  LocalTensor<float> all = buffer.Get<float>();
  SetFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
  SetFlag<HardEvent::MTE3_MTE2>(EVENT_ID1);
  for (uint32_t i = 0; i < tiles; ++i) {
    const event_t id = (i & 1) == 0 ? EVENT_ID0 : EVENT_ID1;
    LocalTensor<float> tx = all[(i & 1) * 2 * kTile];
    LocalTensor<float> ty = all[(i & 1) * 2 * kTile + kTile];
    WaitFlag<HardEvent::MTE3_MTE2>(id);
    DataCopy(tx, xGm[i * kTile], kTile);
    DataCopy(ty, yGm[i * kTile], kTile);
    SetFlag<HardEvent::MTE2_V>(id);
    WaitFlag<HardEvent::MTE2_V>(id);
    Axpy(ty, tx, a, kTile);
    SetFlag<HardEvent::V_MTE3>(id);
    WaitFlag<HardEvent::V_MTE3>(id);
    DataCopy(yGm[i * kTile], ty, kTile);
    SetFlag<HardEvent::MTE3_MTE2>(id);
  }
  WaitFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
  WaitFlag<HardEvent::MTE3_MTE2>(EVENT_ID1);
}

// Each row over its sum: the sum goes through the scalar unit.
extern "C" __global__ __aicore__ void normalise_rows(GM_ADDR x, GM_ADDR y, int32_t rows) {
  using namespace AscendC;
  constexpr int32_t kColumns = 256;
  GlobalTensor<float> from, to;
  from.SetGlobalBuffer((__gm__ float*)x, rows * kColumns);
  to.SetGlobalBuffer((__gm__ float*)y, rows * kColumns);
  TPipe pipe;
  TBuf<> rowBuf, sumBuf;
  pipe.InitBuffer(rowBuf, kColumns * sizeof(float));
  pipe.InitBuffer(sumBuf, 64 * sizeof(float));
  LocalTensor<float> row = rowBuf.Get<float>(), sum = sumBuf.Get<float>();
  for (int32_t r = GetBlockIdx(); r < rows; r += GetBlockNum()) {
    DataCopy(row, from[r * kColumns], kColumns);
    set_flag(PIPE_MTE2, PIPE_V, EVENT_ID2);
    wait_flag(PIPE_MTE2, PIPE_V, EVENT_ID2);
    WholeReduceSum<float>(sum, row, 64, kColumns / 64, 1, 1, 8);
    pipe_barrier(PIPE_V);
    WholeReduceSum<float>(sum, sum, kColumns / 64, 1, 1, 1, 8);
    event_t id = static_cast<event_t>(GetTPipePtr()->FetchEventID(HardEvent::V_S));
    SetFlag<HardEvent::V_S>(id);
    WaitFlag<HardEvent::V_S>(id);
    const float scale = 1.0f / sum.GetValue(0);
    SetFlag<HardEvent::S_V>(EVENT_ID0);
    WaitFlag<HardEvent::S_V>(EVENT_ID0);
    Muls(row, row, scale, kColumns);
    SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
    DataCopy(to[r * kColumns], row, kColumns);
    SetFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
    WaitFlag<HardEvent::MTE3_MTE2>(EVENT_ID0);
  }
}

// The largest of all tiles, with barriers for all pipes: slow, and right.
extern "C" __global__ __aicore__ void maximum_with_barriers(GM_ADDR x, GM_ADDR y, int32_t tiles) {
  constexpr int32_t kTile = 128;
  AscendC::GlobalTensor<half> from, to;
  from.SetGlobalBuffer((__gm__ half*)x, tiles * kTile);
  to.SetGlobalBuffer((__gm__ half*)y, kTile);
  AscendC::LocalTensor<half> best(AscendC::TPosition::VECCALC, 0, kTile);
  AscendC::LocalTensor<half> tile(AscendC::TPosition::VECCALC, kTile * sizeof(half), kTile);
  AscendC::Duplicate<half>(best, static_cast<half>(-65504.0f), kTile);
  for (int32_t i = 0; i < tiles; ++i) {
    AscendC::PipeBarrier<PIPE_ALL>();
    AscendC::DataCopy(tile, from[i * kTile], kTile);
    AscendC::PipeBarrier<PIPE_ALL>();
    AscendC::Max(best, best, tile, kTile);
  }
  AscendC::PipeBarrier<PIPE_ALL>();
  AscendC::DataCopy(to, best, kTile);
}
