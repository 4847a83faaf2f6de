// tests/softnpu/corpus/casts.cpp: quantisation and types.
#include "kernel_operator.h"

using namespace AscendC;

// int8 for each row with the row's own scale: max(abs(x)) / 127.
extern "C" __global__ __aicore__ void dynamic_quant(GM_ADDR x, GM_ADDR y, GM_ADDR scales,
                                                    uint32_t rows, uint32_t columns) {
  GlobalTensor<half> xGm;
  GlobalTensor<int8_t> yGm;
  GlobalTensor<float> scaleGm;
  xGm.SetGlobalBuffer((__gm__ half*)x);
  yGm.SetGlobalBuffer((__gm__ int8_t*)y);
  scaleGm.SetGlobalBuffer((__gm__ float*)scales);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 1> out, scaleOut;
  TBuf<TPosition::VECCALC> buf;
  pipe.InitBuffer(in, 1, columns * sizeof(half));
  pipe.InitBuffer(out, 1, columns * sizeof(int8_t));
  pipe.InitBuffer(scaleOut, 1, rows * sizeof(float) + 32);
  pipe.InitBuffer(buf, (2 * columns + 64) * sizeof(float));
  auto wide = buf.Get<float>();
  auto magnitude = wide[columns];
  auto largest = wide[2 * columns];
  auto own = scaleOut.AllocTensor<float>();
  for (uint32_t r = 0; r < rows; ++r) {
    auto row = in.AllocTensor<half>();
    DataCopy(row, xGm[r * columns], columns);
    in.EnQue(row);
    row = in.DeQue<half>();
    Cast(wide, row, RoundMode::CAST_NONE, columns);
    PipeBarrier<PIPE_V>();
    Abs(magnitude, wide, columns);
    PipeBarrier<PIPE_V>();
    ReduceMax(largest, magnitude, magnitude, columns, false);
    event_t toScalar = static_cast<event_t>(GetTPipePtr()->FetchEventID(HardEvent::V_S));
    SetFlag<HardEvent::V_S>(toScalar);
    WaitFlag<HardEvent::V_S>(toScalar);
    const float scale = largest.GetValue(0) / 127.0f;
    own.SetValue(r, scale);
    event_t toVector = static_cast<event_t>(GetTPipePtr()->FetchEventID(HardEvent::S_V));
    SetFlag<HardEvent::S_V>(toVector);
    WaitFlag<HardEvent::S_V>(toVector);
    Muls(wide, wide, 1.0f / scale, columns);
    PipeBarrier<PIPE_V>();
    Cast(wide.ReinterpretCast<int32_t>(), wide, RoundMode::CAST_RINT, columns);
    PipeBarrier<PIPE_V>();
    SetDeqScale(static_cast<half>(1.0f));
    Cast(magnitude.ReinterpretCast<half>(), wide.ReinterpretCast<int32_t>(), RoundMode::CAST_NONE,
         columns);
    PipeBarrier<PIPE_V>();
    auto q = out.AllocTensor<int8_t>();
    Cast(q, magnitude.ReinterpretCast<half>(), RoundMode::CAST_TRUNC, columns);
    in.FreeTensor(row);
    out.EnQue(q);
    q = out.DeQue<int8_t>();
    DataCopy(yGm[r * columns], q, columns);
    out.FreeTensor(q);
  }
  scaleOut.EnQue(own);
  own = scaleOut.DeQue<float>();
  SetFlag<HardEvent::S_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::S_MTE3>(EVENT_ID0);
  DataCopyPad(scaleGm, own, {1, static_cast<uint32_t>(rows * sizeof(float)), 0, 0, 0});
  scaleOut.FreeTensor(own);
}

// x * scale of int8 with a scale for each column.
extern "C" __global__ __aicore__ void dequant(GM_ADDR x, GM_ADDR scale, GM_ADDR y, uint32_t rows) {
  constexpr uint32_t kColumns = 128;
  GlobalTensor<int8_t> xGm;
  GlobalTensor<half> scaleGm, yGm;
  xGm.SetGlobalBuffer((__gm__ int8_t*)x, rows * kColumns);
  scaleGm.SetGlobalBuffer((__gm__ half*)scale, kColumns);
  yGm.SetGlobalBuffer((__gm__ half*)y, rows * kColumns);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in, scaleIn;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(in, 2, rows * kColumns);
  pipe.InitBuffer(scaleIn, 1, kColumns * sizeof(half));
  pipe.InitBuffer(out, 1, rows * kColumns * sizeof(half));
  auto s = scaleIn.AllocTensor<half>();
  DataCopy(s, scaleGm, kColumns);
  scaleIn.EnQue(s);
  s = scaleIn.DeQue<half>();
  auto q = in.AllocTensor<int8_t>();
  DataCopy(q, xGm, rows * kColumns);
  in.EnQue(q);
  q = in.DeQue<int8_t>();
  auto wide = out.AllocTensor<half>();
  Cast<half, int8_t>(wide, q, RoundMode::CAST_NONE, rows * kColumns);
  PipeBarrier<PIPE_V>();
  // One repeat is one row of 128 halves; the scales are the same for each.
  BinaryRepeatParams params;
  params.src1RepStride = 0;
  Mul(wide, wide, s, static_cast<uint64_t>(kColumns), static_cast<uint8_t>(rows), params);
  in.FreeTensor(q);
  scaleIn.FreeTensor(s);
  out.EnQue(wide);
  wide = out.DeQue<half>();
  DataCopy(yGm, wide, rows * kColumns);
  out.FreeTensor(wide);
}

// Float to integers in each mode of rounding, and back.
extern "C" __global__ __aicore__ void roundings(GM_ADDR x, GM_ADDR y) {
  constexpr uint32_t kCount = 64;
  GlobalTensor<float> xGm;
  GlobalTensor<int32_t> yGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, kCount);
  yGm.SetGlobalBuffer((__gm__ int32_t*)y, 5 * kCount);
  TPipe pipe;
  TBuf<> a, b;
  pipe.InitBuffer(a, kCount * sizeof(float));
  pipe.InitBuffer(b, 5 * kCount * sizeof(int32_t));
  auto in = a.Get<float>();
  auto out = b.Get<int32_t>();
  DataCopy(in, xGm, kCount);
  TQueSync<PIPE_MTE2, PIPE_V> sync;
  sync.SetFlag(0);
  sync.WaitFlag(0);
  const RoundMode modes[] = {RoundMode::CAST_RINT, RoundMode::CAST_FLOOR, RoundMode::CAST_CEIL,
                             RoundMode::CAST_ROUND, RoundMode::CAST_TRUNC};
  for (uint32_t i = 0; i < 5; ++i) Cast(out[i * kCount], in, modes[i], kCount);
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(yGm, out, 5 * kCount);
}

// Bits: (x & mask) | (x >> 4), and a parity by the scalar unit.
extern "C" __global__ __aicore__ void bits(GM_ADDR x, GM_ADDR y, GM_ADDR counts, uint16_t mask) {
  constexpr uint32_t kCount = 256;
  GlobalTensor<uint16_t> xGm, yGm;
  GlobalTensor<int64_t> countGm;
  xGm.SetGlobalBuffer((__gm__ uint16_t*)x, kCount);
  yGm.SetGlobalBuffer((__gm__ uint16_t*)y, kCount);
  countGm.SetGlobalBuffer((__gm__ int64_t*)counts, 4);
  TPipe pipe;
  TBuf<> a, b, c;
  pipe.InitBuffer(a, kCount * sizeof(uint16_t));
  pipe.InitBuffer(b, kCount * sizeof(uint16_t));
  pipe.InitBuffer(c, kCount * sizeof(uint16_t));
  auto in = a.Get<uint16_t>(), out = b.Get<uint16_t>(), low = c.Get<uint16_t>();
  DataCopy(in, xGm, kCount);
  PipeBarrier<PIPE_ALL>();
  Duplicate(low, mask, kCount);
  PipeBarrier<PIPE_V>();
  And(low, in, low, kCount);
  ShiftRight(out, in, static_cast<uint16_t>(4), kCount);
  PipeBarrier<PIPE_V>();
  Or(out, out, low, kCount);
  PipeBarrier<PIPE_ALL>();
  DataCopy(yGm, out, kCount);
  const uint64_t word = xGm.GetValue(0) | (static_cast<uint64_t>(xGm.GetValue(1)) << 16);
  countGm.SetValue(0, ScalarGetCountOfValue<1>(word));
  countGm.SetValue(1, ScalarCountLeadingZero(word));
  countGm.SetValue(2, ScalarGetSFFValue<1>(word));
  countGm.SetValue(3, ScalarCast<float, int32_t, RoundMode::CAST_ROUND>(2.5f));
  DataCacheCleanAndInvalid<int64_t, CacheLine::SINGLE_CACHE_LINE, DcciDst::CACHELINE_OUT>(countGm);
}
