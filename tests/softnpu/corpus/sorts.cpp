// tests/softnpu/corpus/sorts.cpp: sorting, the largest k, and choosing by a mask.
#include "kernel_operator.h"

using namespace AscendC;

// Scores in falling order with their places.
extern "C" __global__ __aicore__ void sort_with_places(GM_ADDR x, GM_ADDR values, GM_ADDR places) {
  constexpr uint32_t kCount = 256;
  GlobalTensor<float> xGm, valueGm;
  GlobalTensor<uint32_t> placeGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, kCount);
  valueGm.SetGlobalBuffer((__gm__ float*)values, kCount);
  placeGm.SetGlobalBuffer((__gm__ uint32_t*)places, kCount);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 2> out;
  TBuf<> indexBuf, sortedBuf, tmpBuf, concatBuf;
  pipe.InitBuffer(in, 1, kCount * sizeof(float));
  pipe.InitBuffer(out, 2, kCount * sizeof(float));
  pipe.InitBuffer(indexBuf, kCount * sizeof(uint32_t));
  pipe.InitBuffer(sortedBuf, kCount * 8);
  pipe.InitBuffer(tmpBuf, kCount * 8);
  pipe.InitBuffer(concatBuf, kCount * 8);
  LocalTensor<float> local = in.AllocTensor<float>();
  DataCopy(local, xGm, kCount);
  in.EnQue(local);
  local = in.DeQue<float>();
  LocalTensor<uint32_t> index = indexBuf.Get<uint32_t>();
  ArithProgression<int32_t>(index.ReinterpretCast<int32_t>(), 0, 1, kCount);
  PipeBarrier<PIPE_V>();
  LocalTensor<float> concat = concatBuf.Get<float>(), sorted = sortedBuf.Get<float>();
  LocalTensor<float> tmp = tmpBuf.Get<float>();
  const int32_t repeat = kCount / 32;
  Concat(concat, local, tmp, kCount / 16);
  PipeBarrier<PIPE_V>();
  Sort<float, true>(sorted, concat, index, tmp, repeat);
  PipeBarrier<PIPE_V>();
  LocalTensor<float> value = out.AllocTensor<float>();
  LocalTensor<uint32_t> place = out.AllocTensor<uint32_t>();
  Extract(value, place, sorted, repeat);
  in.FreeTensor(local);
  out.EnQue(value);
  out.EnQue(place);
  value = out.DeQue<float>();
  place = out.DeQue<uint32_t>();
  DataCopy(valueGm, value, kCount);
  DataCopy(placeGm, place, kCount);
  out.FreeTensor(value);
  out.FreeTensor(place);
}

// Four sorted runs of 32 become one; halves.
extern "C" __global__ __aicore__ void merge_four_runs(GM_ADDR x, GM_ADDR records) {
  constexpr uint32_t kCount = 128;
  GlobalTensor<half> xGm, outGm;
  xGm.SetGlobalBuffer((__gm__ half*)x, kCount);
  outGm.SetGlobalBuffer((__gm__ half*)records, kCount * 4);
  TPipe pipe;
  TBuf<> a, b, c, d;
  pipe.InitBuffer(a, kCount * sizeof(half));
  pipe.InitBuffer(b, kCount * sizeof(uint32_t));
  pipe.InitBuffer(c, kCount * 8);
  pipe.InitBuffer(d, kCount * 8);
  auto scores = a.Get<half>();
  auto index = b.Get<uint32_t>();
  auto runs = c.Get<half>(), merged = d.Get<half>();
  DataCopy(scores, xGm, kCount);
  CreateVecIndex(index.ReinterpretCast<int32_t>(), 0, kCount);
  PipeBarrier<PIPE_ALL>();
  Sort32<half>(runs, scores, index, kCount / 32);
  PipeBarrier<PIPE_V>();
  MrgSortSrcList<half> list;
  list.src1 = runs[GetSortOffset<half>(0)];
  list.src2 = runs[GetSortOffset<half>(32)];
  list.src3 = runs[GetSortOffset<half>(64)];
  list.src4 = runs[GetSortOffset<half>(96)];
  uint16_t lengths[4] = {32, 32, 32, 32};
  MrgSort4Info info(lengths, false, 0b1111, 1);
  MrgSort<half>(merged, list, info);
  PipeBarrier<PIPE_ALL>();
  DataCopy(outGm, merged, GetSortLen<half>(kCount));
}

// The k largest of each row by the call above.
extern "C" __global__ __aicore__ void top_k(GM_ADDR x, GM_ADDR values, GM_ADDR places) {
  constexpr int32_t kRows = 2, kInner = 64, kTop = 8;
  GlobalTensor<float> xGm, valueGm;
  GlobalTensor<int32_t> placeGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, kRows * kInner);
  valueGm.SetGlobalBuffer((__gm__ float*)values, kRows * kTop);
  placeGm.SetGlobalBuffer((__gm__ int32_t*)places, kRows * kTop);
  TPipe pipe;
  TBuf<> a, b, c, t;
  pipe.InitBuffer(a, kRows * kInner * sizeof(float));
  pipe.InitBuffer(b, kRows * kTop * sizeof(float));
  pipe.InitBuffer(c, kRows * kTop * sizeof(int32_t));
  pipe.InitBuffer(t, 16384);
  auto src = a.Get<float>();
  DataCopy(src, xGm, kRows * kInner);
  PipeBarrier<PIPE_ALL>();
  LocalTensor<int32_t> noIndex;
  LocalTensor<bool> noFinish;
  TopkTiling tiling;
  TopKInfo info;
  info.outter = kRows;
  info.inner = kInner;
  info.n = kInner;
  TopK<float, false, false, false, TopKMode::TOPK_NORMAL>(b.Get<float>(), c.Get<int32_t>(), src,
                                                          noIndex, noFinish, t.Get<uint8_t>(), kTop,
                                                          tiling, info, true);
  PipeBarrier<PIPE_ALL>();
  DataCopy(valueGm, b.Get<float>(), kRows * kTop);
  DataCopy(placeGm, c.Get<int32_t>(), kRows * kTop);
}

// Elements that are larger than a limit, one behind the other; y[0] of counts says how many.
extern "C" __global__ __aicore__ void compress(GM_ADDR x, GM_ADDR y, GM_ADDR counts, float limit) {
  constexpr uint32_t kCount = 256;
  GlobalTensor<float> xGm, yGm;
  GlobalTensor<uint32_t> countGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, kCount);
  yGm.SetGlobalBuffer((__gm__ float*)y, kCount);
  countGm.SetGlobalBuffer((__gm__ uint32_t*)counts, 8);
  TPipe pipe;
  TBuf<> a, b, m, n;
  pipe.InitBuffer(a, kCount * sizeof(float));
  pipe.InitBuffer(b, kCount * sizeof(float));
  pipe.InitBuffer(m, 32);
  pipe.InitBuffer(n, 32);
  auto src = a.Get<float>(), dst = b.Get<float>();
  auto bits = m.Get<uint8_t>();
  DataCopy(src, xGm, kCount);
  PipeBarrier<PIPE_ALL>();
  Duplicate(dst, 0.0f, kCount);
  CompareScalar(bits, src, limit, CMPMODE::GT, kCount);
  PipeBarrier<PIPE_V>();
  uint64_t kept = 0;
  GatherMaskParams params;
  params.repeatTimes = 1;
  params.src0BlockStride = 1;
  params.src0RepeatStride = 0;
  params.src1RepeatStride = 0;
  GatherMask(dst, src, bits.ReinterpretCast<uint32_t>(), true, kCount, params, kept);
  PipeBarrier<PIPE_ALL>();
  auto number = n.Get<uint32_t>();
  number.SetValue(0, static_cast<uint32_t>(kept));
  PipeBarrier<PIPE_ALL>();
  DataCopy(yGm, dst, kCount);
  DataCopyPad(countGm, number, DataCopyExtParams(1, 4, 0, 0, 0));
}
