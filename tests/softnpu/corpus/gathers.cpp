// tests/softnpu/corpus/gathers.cpp: places that depend on data: rows of tables, elements of tiles,
// additions to rows, transpositions, choices.
#include "kernel_operator.h"

using namespace AscendC;

// Rows of a table; the indices come through the scalar unit.
class Embedding {
 public:
  __aicore__ inline void Init(GM_ADDR table, GM_ADDR indices, GM_ADDR y, uint32_t count,
                              uint32_t width, uint32_t rows) {
    table_.SetGlobalBuffer((__gm__ half*)table, static_cast<uint64_t>(rows) * width);
    indices_.SetGlobalBuffer((__gm__ int64_t*)indices, count);
    y_.SetGlobalBuffer((__gm__ half*)y, static_cast<uint64_t>(count) * width);
    count_ = count, width_ = width, rows_ = rows;
    pipe_.InitBuffer(queue_, 2, width * sizeof(half));
  }
  __aicore__ inline void Process() {
    const uint32_t share = DivCeil(count_, GetBlockNum());
    const uint32_t begin = GetBlockIdx() * share;
    const uint32_t end = Std::min(begin + share, count_);
    for (uint32_t i = begin; i < end; ++i) {
      int64_t at = indices_.GetValue(i);
      if (at < 0) at += rows_;
      LocalTensor<half> row = queue_.AllocTensor<half>();
      DataCopy(row, table_[at * width_], width_);
      queue_.EnQue(row);
      LocalTensor<half> out = queue_.DeQue<half>();
      DataCopy(y_[static_cast<uint64_t>(i) * width_], out, width_);
      queue_.FreeTensor(out);
    }
  }

 private:
  TPipe pipe_;
  TQueBind<QuePosition::VECIN, QuePosition::VECOUT, 1> queue_;
  GlobalTensor<half> table_, y_;
  GlobalTensor<int64_t> indices_;
  uint32_t count_, width_, rows_;
};

extern "C" __global__ __aicore__ void embedding(GM_ADDR table, GM_ADDR indices, GM_ADDR y,
                                                uint32_t count, uint32_t width, uint32_t rows) {
  Embedding op;
  op.Init(table, indices, y, count, width, rows);
  op.Process();
}

// y[i] = x[index[i]] inside a tile.
extern "C" __global__ __aicore__ void take(GM_ADDR x, GM_ADDR index, GM_ADDR y) {
  constexpr uint32_t kCount = 128;
  GlobalTensor<float> xGm, yGm;
  GlobalTensor<int32_t> indexGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, kCount);
  indexGm.SetGlobalBuffer((__gm__ int32_t*)index, kCount);
  yGm.SetGlobalBuffer((__gm__ float*)y, kCount);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> xQue, indexQue;
  TQue<TPosition::VECOUT, 1> yQue;
  pipe.InitBuffer(xQue, 1, kCount * sizeof(float));
  pipe.InitBuffer(indexQue, 1, kCount * sizeof(int32_t));
  pipe.InitBuffer(yQue, 1, kCount * sizeof(float));
  auto xs = xQue.AllocTensor<float>();
  auto at = indexQue.AllocTensor<int32_t>();
  DataCopy(xs, xGm, kCount);
  DataCopy(at, indexGm, kCount);
  xQue.EnQue(xs);
  indexQue.EnQue(at);
  xs = xQue.DeQue<float>();
  at = indexQue.DeQue<int32_t>();
  auto ys = yQue.AllocTensor<float>();
  Muls(at, at, static_cast<int32_t>(sizeof(float)), kCount);
  PipeBarrier<PIPE_V>();
  Gather(ys, xs, at.ReinterpretCast<uint32_t>(), static_cast<uint32_t>(0), kCount);
  xQue.FreeTensor(xs);
  indexQue.FreeTensor(at);
  yQue.EnQue(ys);
  ys = yQue.DeQue<float>();
  DataCopy(yGm, ys, kCount);
  yQue.FreeTensor(ys);
}

// y[index[i]] += x[i], rows of float, additions in GM.
extern "C" __global__ __aicore__ void index_add(GM_ADDR x, GM_ADDR index, GM_ADDR y, uint32_t rows,
                                                uint32_t width) {
  GlobalTensor<float> xGm, yGm;
  GlobalTensor<int32_t> indexGm;
  xGm.SetGlobalBuffer((__gm__ float*)x);
  yGm.SetGlobalBuffer((__gm__ float*)y);
  indexGm.SetGlobalBuffer((__gm__ int32_t*)index);
  TPipe pipe;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> queue;
  pipe.InitBuffer(queue, 2, width * sizeof(float));
  SetAtomicAdd<float>();
  for (uint32_t r = GetBlockIdx(); r < rows; r += GetBlockNum()) {
    auto row = queue.AllocTensor<float>();
    DataCopy(row, xGm[r * width], width);
    queue.EnQue(row);
    row = queue.DeQue<float>();
    DataCopy(yGm[indexGm.GetValue(r) * width], row, width);
    queue.FreeTensor(row);
  }
  SetAtomicNone();
}

// A matrix of 64 x 64 halves, transposed in fractals of 16 x 16.
extern "C" __global__ __aicore__ void transpose_64(GM_ADDR x, GM_ADDR y) {
  constexpr uint16_t kSize = 64;
  GlobalTensor<half> xGm, yGm;
  xGm.SetGlobalBuffer((__gm__ half*)x, kSize * kSize);
  yGm.SetGlobalBuffer((__gm__ half*)y, kSize * kSize);
  TPipe pipe;
  TBuf<> a, b;
  pipe.InitBuffer(a, kSize * kSize * sizeof(half));
  pipe.InitBuffer(b, kSize * kSize * sizeof(half));
  auto in = a.Get<half>(), out = b.Get<half>();
  DataCopy(in, xGm, kSize * kSize);
  PipeBarrier<PIPE_ALL>();
  TransDataTo5HDParams params;
  params.repeatTimes = kSize / 16;
  params.dstRepStride = kSize;
  params.srcRepStride = 1;
  for (uint16_t block = 0; block < kSize / 16; ++block) {
    LocalTensor<half> dst[16], src[16];
    for (int i = 0; i < 16; ++i) {
      src[i] = in[(block * 16 + i) * kSize];
      dst[i] = out[i * kSize + block * 16];
    }
    TransDataTo5HD<half>(dst, src, params);
  }
  PipeBarrier<PIPE_ALL>();
  DataCopy(yGm, out, kSize * kSize);
}

// y = mask ? value : x; the mask is a byte for each element.
extern "C" __global__ __aicore__ void masked_fill(GM_ADDR x, GM_ADDR mask, GM_ADDR y, float value) {
  constexpr uint32_t kCount = 512;
  GlobalTensor<half> xGm, yGm;
  GlobalTensor<uint8_t> maskGm;
  xGm.SetGlobalBuffer((__gm__ half*)x, kCount);
  maskGm.SetGlobalBuffer((__gm__ uint8_t*)mask, kCount);
  yGm.SetGlobalBuffer((__gm__ half*)y, kCount);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> xQue, maskQue;
  TQue<TPosition::VECOUT, 1> yQue;
  TBuf<> maskHalf, bitsBuf;
  pipe.InitBuffer(xQue, 1, kCount * sizeof(half));
  pipe.InitBuffer(maskQue, 1, kCount);
  pipe.InitBuffer(yQue, 1, kCount * sizeof(half));
  pipe.InitBuffer(maskHalf, kCount * sizeof(half));
  pipe.InitBuffer(bitsBuf, kCount / 8);
  auto xs = xQue.AllocTensor<half>();
  auto ms = maskQue.AllocTensor<uint8_t>();
  DataCopy(xs, xGm, kCount);
  DataCopy(ms, maskGm, kCount);
  xQue.EnQue(xs);
  maskQue.EnQue(ms);
  xs = xQue.DeQue<half>();
  ms = maskQue.DeQue<uint8_t>();
  auto wide = maskHalf.Get<half>();
  auto bits = bitsBuf.Get<uint8_t>();
  Cast(wide, ms, RoundMode::CAST_NONE, kCount);
  PipeBarrier<PIPE_V>();
  CompareScalar(bits, wide, static_cast<half>(0), CMPMODE::EQ, kCount);
  PipeBarrier<PIPE_V>();
  auto ys = yQue.AllocTensor<half>();
  Select(ys, bits, xs, static_cast<half>(value), SELMODE::VSEL_TENSOR_SCALAR_MODE, kCount);
  xQue.FreeTensor(xs);
  maskQue.FreeTensor(ms);
  yQue.EnQue(ys);
  ys = yQue.DeQue<half>();
  DataCopy(yGm, ys, kCount);
  yQue.FreeTensor(ys);
}
