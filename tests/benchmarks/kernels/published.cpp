// tests/benchmarks/kernels/published.cpp: kernels whose times on a 910B2 were published, written
// here in the plainest way that keeps two buffers: nothing is tuned for the model of time.
#include "kernel_operator.h"

using namespace AscendC;

// Rows of `unit` elements, a share of them for each block.
struct Share {
  uint64_t first, end;
  __aicore__ inline explicit Share(uint64_t rows) {
    const uint64_t blocks = GetBlockNum();
    const uint64_t each = (rows + blocks - 1) / blocks;
    first = GetBlockIdx() * each;
    end = first + each < rows ? first + each : rows;
  }
};

// y = exp(x); T of 16 bits other than half goes through float.
template <typename T>
__aicore__ inline void Exponentials(GM_ADDR x, GM_ADDR y, uint64_t count, uint32_t tile) {
  GlobalTensor<T> from, to;
  from.SetGlobalBuffer((__gm__ T*)x, count);
  to.SetGlobalBuffer((__gm__ T*)y, count);
  TPipe pipe;
  TQue<TPosition::VECIN, 2> in;
  TQue<TPosition::VECOUT, 2> out;
  TBuf<> wide;
  pipe.InitBuffer(in, 2, tile * sizeof(T));
  pipe.InitBuffer(out, 2, tile * sizeof(T));
  constexpr bool direct = IsSameType<T, half>::value || IsSameType<T, float>::value;
  if constexpr (!direct) pipe.InitBuffer(wide, tile * sizeof(float));
  const Share share(count / tile);
  for (uint64_t i = share.first; i < share.end; ++i) {
    LocalTensor<T> a = in.template AllocTensor<T>();
    DataCopy(a, from[i * tile], tile);
    in.EnQue(a);
    a = in.template DeQue<T>();
    LocalTensor<T> b = out.template AllocTensor<T>();
    if constexpr (direct) {
      Exp(b, a, tile);
    } else {
      LocalTensor<float> f = wide.Get<float>();
      PipeBarrier<PIPE_V>();
      Cast(f, a, RoundMode::CAST_NONE, tile);
      PipeBarrier<PIPE_V>();
      Exp(f, f, tile);
      PipeBarrier<PIPE_V>();
      Cast(b, f, RoundMode::CAST_RINT, tile);
    }
    out.EnQue(b);
    in.FreeTensor(a);
    b = out.template DeQue<T>();
    DataCopy(to[i * tile], b, tile);
    out.FreeTensor(b);
  }
}
extern "C" __global__ __aicore__ void exp_half(GM_ADDR x, GM_ADDR y, uint64_t count,
                                               uint32_t tile) {
  Exponentials<half>(x, y, count, tile);
}
extern "C" __global__ __aicore__ void exp_float(GM_ADDR x, GM_ADDR y, uint64_t count,
                                                uint32_t tile) {
  Exponentials<float>(x, y, count, tile);
}
extern "C" __global__ __aicore__ void exp_bfloat16(GM_ADDR x, GM_ADDR y, uint64_t count,
                                                   uint32_t tile) {
  Exponentials<bfloat16_t>(x, y, count, tile);
}

// y = x / sqrt(mean(x^2) + 1e-6) * gamma, a row of `width` at a time, in float.
template <typename T>
__aicore__ inline void RootMeanSquare(GM_ADDR x, GM_ADDR gamma, GM_ADDR y, uint64_t rows,
                                      uint32_t width) {
  GlobalTensor<T> from, scale, to;
  from.SetGlobalBuffer((__gm__ T*)x, rows * width);
  scale.SetGlobalBuffer((__gm__ T*)gamma, width);
  to.SetGlobalBuffer((__gm__ T*)y, rows * width);
  TPipe pipe;
  TQue<TPosition::VECIN, 2> in, weights;
  TQue<TPosition::VECOUT, 2> out;
  TBuf<> wide_buffer, square_buffer, gamma_buffer, sum_buffer;
  pipe.InitBuffer(in, 2, width * sizeof(T));
  pipe.InitBuffer(weights, 1, width * sizeof(T));
  pipe.InitBuffer(out, 2, width * sizeof(T));
  pipe.InitBuffer(sum_buffer, 1024);
  constexpr bool wide = IsSameType<T, float>::value;
  if constexpr (!wide) {
    pipe.InitBuffer(square_buffer, width * sizeof(float));
    pipe.InitBuffer(wide_buffer, width * sizeof(float));
    pipe.InitBuffer(gamma_buffer, width * sizeof(float));
  }
  LocalTensor<T> g = weights.template AllocTensor<T>();
  DataCopy(g, scale, width);
  weights.EnQue(g);
  g = weights.template DeQue<T>();
  LocalTensor<float> gf;
  if constexpr (wide) {
    gf = g;
  } else {
    gf = gamma_buffer.Get<float>();
    Cast(gf, g, RoundMode::CAST_NONE, width);
  }
  LocalTensor<float> square, sum = sum_buffer.Get<float>();
  if constexpr (!wide) square = square_buffer.Get<float>();
  const Share share(rows);
  for (uint64_t row = share.first; row < share.end; ++row) {
    LocalTensor<T> a = in.template AllocTensor<T>();
    DataCopy(a, from[row * width], width);
    in.EnQue(a);
    a = in.template DeQue<T>();
    LocalTensor<float> f;
    LocalTensor<T> b = out.template AllocTensor<T>();
    PipeBarrier<PIPE_V>();
    if constexpr (wide) {
      f = a;
      square = b;
    } else {
      f = wide_buffer.Get<float>();
      Cast(f, a, RoundMode::CAST_NONE, width);
      PipeBarrier<PIPE_V>();
    }
    Mul(square, f, f, width);
    PipeBarrier<PIPE_V>();
    ReduceSum(sum, square, sum, width);
    PipeBarrier<PIPE_V>();
    Muls(sum, sum, 1.0f / width, 1);
    PipeBarrier<PIPE_V>();
    Adds(sum, sum, 1e-6f, 1);
    PipeBarrier<PIPE_V>();
    Sqrt(sum, sum, 1);
    SetFlag<HardEvent::V_S>(EVENT_ID0);
    WaitFlag<HardEvent::V_S>(EVENT_ID0);
    const float factor = 1.0f / sum.GetValue(0);
    SetFlag<HardEvent::S_V>(EVENT_ID0);
    WaitFlag<HardEvent::S_V>(EVENT_ID0);
    Muls(square, f, factor, width);
    PipeBarrier<PIPE_V>();
    Mul(square, square, gf, width);
    if constexpr (!wide) {
      PipeBarrier<PIPE_V>();
      Cast(b, square, RoundMode::CAST_RINT, width);
    }
    out.EnQue(b);
    in.FreeTensor(a);
    b = out.template DeQue<T>();
    DataCopy(to[row * width], b, width);
    out.FreeTensor(b);
  }
  weights.FreeTensor(g);
}
extern "C" __global__ __aicore__ void rms_norm_half(GM_ADDR x, GM_ADDR gamma, GM_ADDR y,
                                                    uint64_t rows, uint32_t width) {
  RootMeanSquare<half>(x, gamma, y, rows, width);
}
extern "C" __global__ __aicore__ void rms_norm_bfloat16(GM_ADDR x, GM_ADDR gamma, GM_ADDR y,
                                                        uint64_t rows, uint32_t width) {
  RootMeanSquare<bfloat16_t>(x, gamma, y, rows, width);
}
extern "C" __global__ __aicore__ void rms_norm_float(GM_ADDR x, GM_ADDR gamma, GM_ADDR y,
                                                     uint64_t rows, uint32_t width) {
  RootMeanSquare<float>(x, gamma, y, rows, width);
}

// y = x^T, in tiles of 128 x 128 (16 bits) or 64 x 64 (32 bits).
template <typename T, uint32_t side>
__aicore__ inline void Transposed(GM_ADDR x, GM_ADDR y, uint32_t rows, uint32_t columns) {
  constexpr uint32_t block = 32 / sizeof(T);
  GlobalTensor<T> from, to;
  from.SetGlobalBuffer((__gm__ T*)x, uint64_t{rows} * columns);
  to.SetGlobalBuffer((__gm__ T*)y, uint64_t{rows} * columns);
  TPipe pipe;
  TQue<TPosition::VECIN, 2> in;
  TQue<TPosition::VECOUT, 2> out;
  pipe.InitBuffer(in, 2, side * side * sizeof(T));
  pipe.InitBuffer(out, 2, side * side * sizeof(T));
  const uint32_t across = columns / side;
  const Share share(uint64_t{rows / side} * across);
  for (uint64_t tile = share.first; tile < share.end; ++tile) {
    const uint64_t r = tile / across * side, c = tile % across * side;
    LocalTensor<T> a = in.template AllocTensor<T>();
    DataCopy(a, from[r * columns + c],
             DataCopyParams(side, side / block, (columns - side) / block, 0));
    in.EnQue(a);
    a = in.template DeQue<T>();
    LocalTensor<T> b = out.template AllocTensor<T>();
    for (uint32_t i = 0; i < side / 16; ++i) {
      // 16 rows, all columns: a repeat for each block of columns.
      LocalTensor<T> dst[16], src[16];
      for (uint32_t j = 0; j < 16; ++j) {
        src[j] = a[(i * 16 + j) * side];
        if constexpr (sizeof(T) == 2) {
          dst[j] = b[j * side + i * 16];
        } else {
          dst[j] = b[j / 2 * side + i * 16 + j % 2 * 8];
        }
      }
      TransDataTo5HDParams params(false, false, side / block, block * side / block, 1);
      TransDataTo5HD(dst, src, params);
    }
    out.EnQue(b);
    in.FreeTensor(a);
    b = out.template DeQue<T>();
    DataCopy(to[c * rows + r], b, DataCopyParams(side, side / block, 0, (rows - side) / block));
    out.FreeTensor(b);
  }
}
extern "C" __global__ __aicore__ void transpose_16(GM_ADDR x, GM_ADDR y, uint32_t rows,
                                                   uint32_t columns) {
  Transposed<half, 128>(x, y, rows, columns);
}
extern "C" __global__ __aicore__ void transpose_32(GM_ADDR x, GM_ADDR y, uint32_t rows,
                                                   uint32_t columns) {
  Transposed<float, 64>(x, y, rows, columns);
}

// q and k (tokens x heads x width) in place: x cos + rotated(x) sin, halves swapped, in T. The
// sines of the first half are negative already.
template <typename T>
__aicore__ inline void Rotated(GM_ADDR q, GM_ADDR k, GM_ADDR cos, GM_ADDR sin, uint64_t tokens,
                               uint32_t heads, uint32_t width) {
  GlobalTensor<T> cosines, sines;
  cosines.SetGlobalBuffer((__gm__ T*)cos, tokens * width);
  sines.SetGlobalBuffer((__gm__ T*)sin, tokens * width);
  const uint32_t row = heads * width;
  TPipe pipe;
  TQue<TPosition::VECIN, 2> in, table;
  TQue<TPosition::VECOUT, 2> out;
  TBuf<> swapped_buffer;
  pipe.InitBuffer(in, 2, row * sizeof(T));
  pipe.InitBuffer(table, 2, 2 * width * sizeof(T));
  pipe.InitBuffer(out, 2, row * sizeof(T));
  pipe.InitBuffer(swapped_buffer, row * sizeof(T));
  LocalTensor<T> swapped = swapped_buffer.Get<T>();
  const uint8_t blocks = width * sizeof(T) / 32;
  constexpr uint32_t lanes = 256 / sizeof(T);
  const Share share(tokens);
  for (uint64_t token = share.first; token < share.end; ++token) {
    LocalTensor<T> angles = table.template AllocTensor<T>();
    DataCopy(angles, cosines[token * width], width);
    DataCopy(angles[width], sines[token * width], width);
    table.EnQue(angles);
    angles = table.template DeQue<T>();
    for (uint32_t side = 0; side < 2; ++side) {
      GlobalTensor<T> x;
      x.SetGlobalBuffer((__gm__ T*)(side == 0 ? q : k) + token * row, row);
      LocalTensor<T> a = in.template AllocTensor<T>();
      DataCopy(a, x, row);
      in.EnQue(a);
      a = in.template DeQue<T>();
      LocalTensor<T> b = out.template AllocTensor<T>();
      PipeBarrier<PIPE_V>();
      const DataCopyParams halves(heads, blocks / 2, blocks / 2, blocks / 2);
      DataCopy(swapped, a[width / 2], halves);
      DataCopy(swapped[width / 2], a, halves);
      PipeBarrier<PIPE_V>();
      // A repeat for each head and 256 bytes of it; the angles are read again for every head.
      for (uint32_t at = 0; at < width; at += lanes) {
        const uint64_t mask = width - at < lanes ? width - at : lanes;
        const BinaryRepeatParams heads_by_table(1, 1, 1, blocks, blocks, 0);
        Mul(b[at], a[at], angles[at], mask, heads, heads_by_table);
        Mul(swapped[at], swapped[at], angles[width + at], mask, heads, heads_by_table);
      }
      PipeBarrier<PIPE_V>();
      Add(b, b, swapped, row);
      out.EnQue(b);
      in.FreeTensor(a);
      b = out.template DeQue<T>();
      DataCopy(x, b, row);
      out.FreeTensor(b);
    }
    table.FreeTensor(angles);
  }
}
extern "C" __global__ __aicore__ void rope_half(GM_ADDR q, GM_ADDR k, GM_ADDR cos, GM_ADDR sin,
                                                uint64_t tokens, uint32_t heads, uint32_t width) {
  Rotated<half>(q, k, cos, sin, tokens, heads, width);
}
extern "C" __global__ __aicore__ void rope_float(GM_ADDR q, GM_ADDR k, GM_ADDR cos, GM_ADDR sin,
                                                 uint64_t tokens, uint32_t heads, uint32_t width) {
  Rotated<float>(q, k, cos, sin, tokens, heads, width);
}
