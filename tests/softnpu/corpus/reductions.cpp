// tests/softnpu/corpus/reductions.cpp: sums, maxima and running sums, by instructions with masks
// and repeats and by the calls above them.
#include "kernel_operator.h"

using namespace AscendC;

// Sums over rows: each core adds its rows, then adds its sums to the others' in GM.
extern "C" __global__ __aicore__ void column_sums(GM_ADDR x, GM_ADDR y, uint32_t rows,
                                                  uint32_t columns) {
  GlobalTensor<float> xGm, yGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, rows * columns);
  yGm.SetGlobalBuffer((__gm__ float*)y, columns);
  TPipe pipe;
  TQue<TPosition::VECIN, 2> in;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(in, 2, columns * sizeof(float));
  pipe.InitBuffer(out, 1, columns * sizeof(float));
  LocalTensor<float> sums = out.AllocTensor<float>();
  Duplicate(sums, 0.0f, columns);
  for (uint32_t r = GetBlockIdx(); r < rows; r += GetBlockNum()) {
    LocalTensor<float> row = in.AllocTensor<float>();
    DataCopy(row, xGm[r * columns], columns);
    in.EnQue(row);
    row = in.DeQue<float>();
    PipeBarrier<PIPE_V>();
    Add(sums, sums, row, columns);
    in.FreeTensor(row);
  }
  out.EnQue(sums);
  sums = out.DeQue<float>();
  SetAtomicAdd<float>();
  DataCopy(yGm, sums, columns);
  SetAtomicNone();
  out.FreeTensor(sums);
}

// The place of each row's largest element.
extern "C" __global__ __aicore__ void argmax_rows(GM_ADDR x, GM_ADDR y, uint32_t rows,
                                                  uint32_t columns) {
  GlobalTensor<float> xGm;
  GlobalTensor<int32_t> yGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, rows * columns);
  yGm.SetGlobalBuffer((__gm__ int32_t*)y, rows);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  TBuf<> work, result, places;
  pipe.InitBuffer(in, 1, columns * sizeof(float));
  pipe.InitBuffer(work, columns * sizeof(float));
  pipe.InitBuffer(result, 32);
  pipe.InitBuffer(places, (rows + 7) / 8 * 32);
  LocalTensor<int32_t> place = places.Get<int32_t>();
  for (uint32_t r = 0; r < rows; ++r) {
    LocalTensor<float> row = in.AllocTensor<float>();
    DataCopy(row, xGm[r * columns], columns);
    in.EnQue(row);
    row = in.DeQue<float>();
    ReduceMax<float>(result.Get<float>(), row, work.Get<float>(), columns, true);
    in.FreeTensor(row);
    SetFlag<HardEvent::V_S>(EVENT_ID0);
    WaitFlag<HardEvent::V_S>(EVENT_ID0);
    float index = result.Get<float>().GetValue(1);
    place.SetValue(r, *reinterpret_cast<int32_t*>(&index));
    SetFlag<HardEvent::S_V>(EVENT_ID0);
    WaitFlag<HardEvent::S_V>(EVENT_ID0);
  }
  SetFlag<HardEvent::S_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::S_MTE3>(EVENT_ID0);
  DataCopyExtParams params{1, static_cast<uint32_t>(rows * sizeof(int32_t)), 0, 0, 0};
  DataCopyPad(yGm, place, params);
}

// Maxima of blocks of 16 halves, and sums of pairs; masks as bits.
extern "C" __global__ __aicore__ void blocks_and_pairs(GM_ADDR x, GM_ADDR maxima, GM_ADDR pairs) {
  constexpr int32_t kCount = 1024;
  GlobalTensor<half> xGm, maxGm, pairGm;
  xGm.SetGlobalBuffer((__gm__ half*)x, kCount);
  maxGm.SetGlobalBuffer((__gm__ half*)maxima, kCount / 16);
  pairGm.SetGlobalBuffer((__gm__ half*)pairs, kCount / 2);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(in, 1, kCount * sizeof(half));
  pipe.InitBuffer(out, 2, kCount * sizeof(half));
  LocalTensor<half> local = in.AllocTensor<half>();
  DataCopy(local, xGm, kCount);
  in.EnQue(local);
  local = in.DeQue<half>();
  LocalTensor<half> result = out.AllocTensor<half>();
  BlockReduceMax<half>(result, local, kCount / 128, 128, 1, 1, 8);
  out.EnQue(result);
  result = out.DeQue<half>();
  DataCopy(maxGm, result, kCount / 16);
  out.FreeTensor(result);
  result = out.AllocTensor<half>();
  uint64_t mask[2] = {UINT64_MAX, UINT64_MAX};
  PairReduceSum<half>(result, local, kCount / 128, mask, 1, 1, 8);
  in.FreeTensor(local);
  out.EnQue(result);
  result = out.DeQue<half>();
  DataCopy(pairGm, result, kCount / 2);
  out.FreeTensor(result);
}

// Sums of rows whose length is no whole number of blocks.
extern "C" __global__ __aicore__ void ragged_row_sums(GM_ADDR x, GM_ADDR y, uint32_t rows,
                                                      uint32_t columns) {
  GlobalTensor<float> xGm, yGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, rows * columns);
  yGm.SetGlobalBuffer((__gm__ float*)y, rows);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 1> out;
  const uint32_t padded = (columns + 7) / 8 * 8;
  pipe.InitBuffer(in, 1, rows * padded * sizeof(float));
  pipe.InitBuffer(out, 1, (rows * sizeof(float) + 31) / 32 * 32);
  LocalTensor<float> local = in.AllocTensor<float>();
  DataCopyExtParams copy{static_cast<uint16_t>(rows),
                         static_cast<uint32_t>(columns * sizeof(float)), 0, 0, 0};
  DataCopyPadExtParams<float> pad{true, 0, static_cast<uint8_t>(padded - columns), 0.0f};
  DataCopyPad(local, xGm, copy, pad);
  in.EnQue(local);
  local = in.DeQue<float>();
  LocalTensor<float> sums = out.AllocTensor<float>();
  SumParams params{rows, padded, columns};
  Sum(sums, local, params);
  in.FreeTensor(local);
  out.EnQue(sums);
  sums = out.DeQue<float>();
  DataCopyExtParams back{1, static_cast<uint32_t>(rows * sizeof(float)), 0, 0, 0};
  DataCopyPad(yGm, sums, back);
  out.FreeTensor(sums);
}

// Running sums of each row.
extern "C" __global__ __aicore__ void running_sums(GM_ADDR x, GM_ADDR y) {
  constexpr uint32_t kRows = 4, kColumns = 64;
  GlobalTensor<float> xGm, yGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, kRows * kColumns);
  yGm.SetGlobalBuffer((__gm__ float*)y, kRows * kColumns);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 1> out;
  TBuf<> tmp;
  pipe.InitBuffer(in, 1, kRows * kColumns * sizeof(float));
  pipe.InitBuffer(out, 1, (kRows + 1) * kColumns * sizeof(float));
  pipe.InitBuffer(tmp, 8192);
  auto local = in.AllocTensor<float>();
  DataCopy(local, xGm, kRows * kColumns);
  in.EnQue(local);
  local = in.DeQue<float>();
  auto sums = out.AllocTensor<float>();
  auto last = sums[kRows * kColumns];
  static constexpr CumSumConfig config{true, false, false};
  CumSum<float, config>(sums, last, local, tmp.Get<uint8_t>(), {kRows, kColumns});
  in.FreeTensor(local);
  out.EnQue(sums);
  sums = out.DeQue<float>();
  DataCopy(yGm, sums, kRows * kColumns);
  out.FreeTensor(sums);
}
