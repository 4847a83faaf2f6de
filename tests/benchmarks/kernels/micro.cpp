// tests/benchmarks/kernels/micro.cpp: small programs whose times on a chip were published: the
// ladder of additions, sweeps of copies, bank conflicts.
#include "kernel_operator.h"

using namespace AscendC;

// z = x + y in tiles, `buffers` of each queue.
template <int buffers>
__aicore__ inline void Added(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint64_t count, uint32_t tile) {
  GlobalTensor<half> gx, gy, gz;
  gx.SetGlobalBuffer((__gm__ half*)x, count);
  gy.SetGlobalBuffer((__gm__ half*)y, count);
  gz.SetGlobalBuffer((__gm__ half*)z, count);
  TPipe pipe;
  TQue<TPosition::VECIN, buffers> in_x, in_y;
  TQue<TPosition::VECOUT, buffers> out;
  pipe.InitBuffer(in_x, buffers, tile * sizeof(half));
  pipe.InitBuffer(in_y, buffers, tile * sizeof(half));
  pipe.InitBuffer(out, buffers, tile * sizeof(half));
  const uint64_t part = count / GetBlockNum();
  const uint64_t first = GetBlockIdx() * part;
  for (uint64_t at = first; at < first + part; at += tile) {
    LocalTensor<half> a = in_x.template AllocTensor<half>();
    LocalTensor<half> b = in_y.template AllocTensor<half>();
    DataCopy(a, gx[at], tile);
    DataCopy(b, gy[at], tile);
    in_x.EnQue(a);
    in_y.EnQue(b);
    a = in_x.template DeQue<half>();
    b = in_y.template DeQue<half>();
    LocalTensor<half> c = out.template AllocTensor<half>();
    Add(c, a, b, tile);
    out.EnQue(c);
    in_x.FreeTensor(a);
    in_y.FreeTensor(b);
    c = out.template DeQue<half>();
    DataCopy(gz[at], c, tile);
    out.FreeTensor(c);
  }
}
extern "C" __global__ __aicore__ void add_single(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint64_t count,
                                                 uint32_t tile) {
  Added<1>(x, y, z, count, tile);
}
extern "C" __global__ __aicore__ void add_double(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint64_t count,
                                                 uint32_t tile) {
  Added<2>(x, y, z, count, tile);
}
extern "C" __global__ __aicore__ void add_scalar(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint64_t count) {
  GlobalTensor<half> gx, gy, gz;
  gx.SetGlobalBuffer((__gm__ half*)x, count);
  gy.SetGlobalBuffer((__gm__ half*)y, count);
  gz.SetGlobalBuffer((__gm__ half*)z, count);
  for (uint64_t i = 0; i < count; ++i) gz.SetValue(i, gx.GetValue(i) + gy.GetValue(i));
}

// One copy of `bytes` in, or out.
extern "C" __global__ __aicore__ void copy_in(GM_ADDR x, uint32_t bytes) {
  GlobalTensor<uint8_t> gm;
  gm.SetGlobalBuffer(x, bytes);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, bytes);
  DataCopy(buffer.Get<uint8_t>(), gm, bytes);
}
extern "C" __global__ __aicore__ void copy_out(GM_ADDR x, uint32_t bytes) {
  GlobalTensor<uint8_t> gm;
  gm.SetGlobalBuffer(x, bytes);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, bytes);
  Duplicate(buffer.Get<int32_t>(), 0, bytes / 4);
  PipeBarrier<PIPE_ALL>();
  DataCopy(gm, buffer.Get<uint8_t>(), bytes);
}

// A matrix of half, `columns` wide, read in pieces of `rows` rows of `width` elements. For the time
// alone: pieces overwrite each other in no order.
extern "C" __global__ __aicore__ void sweep(GM_ADDR x, uint64_t count, uint32_t columns,
                                            uint32_t rows, uint32_t width) {
  GlobalTensor<half> gm;
  gm.SetGlobalBuffer((__gm__ half*)x, count);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 190 * 1024);
  const uint32_t places = 190 * 512 / (rows * width) > 8 ? 8 : 190 * 512 / (rows * width);
  const uint64_t across = columns / width;
  const uint64_t pieces = count / columns / rows * across;
  uint32_t i = 0;
  for (uint64_t piece = GetBlockIdx(); piece < pieces; piece += GetBlockNum(), ++i) {
    DataCopy(buffer.Get<half>()[i % places * rows * width],
             gm[piece / across * rows * columns + piece % across * width],
             DataCopyParams(rows, width / 16, (columns - width) / 16, 0));
  }
}

// 1000 additions of 64 repeats of float; the operands' places in the UB decide on bank conflicts.
extern "C" __global__ __aicore__ void conflicts(uint32_t first, uint32_t second, uint32_t target) {
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 190 * 1024);
  LocalTensor<float> all = buffer.Get<float>();
  Duplicate(all, 1.0f, 190 * 256);
  PipeBarrier<PIPE_ALL>();
  for (int i = 0; i < 1000; ++i) {
    Add(all[target / 4], all[first / 4], all[second / 4], 64 * 64);
    PipeBarrier<PIPE_V>();
  }
}
