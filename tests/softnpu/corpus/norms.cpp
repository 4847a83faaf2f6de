// tests/softnpu/corpus/norms.cpp: normalisation, softmax and dequantisation by the calls of the
// library, whose tilings the kernels fill in.
// No shapes are kept with tensors.
#define K_MAX_SHAPE_DIM 0

#include "kernel_operator.h"
#include "kernel_tiling/kernel_tiling.h"

using namespace AscendC;

// Rows that are long enough to be read in tiles: their moments by Welford, then the rows once more.
class KernelWelfordNorm {
 public:
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, uint32_t rows, uint32_t columns,
                              uint32_t tile) {
    rows_ = rows;
    columns_ = columns;
    tile_ = tile;
    xGm_.SetGlobalBuffer((__gm__ float*)x, rows * columns);
    yGm_.SetGlobalBuffer((__gm__ float*)y, rows * columns);
    pipe_.InitBuffer(in_, 1, tile * sizeof(float));
    pipe_.InitBuffer(out_, 1, tile * sizeof(float));
    pipe_.InitBuffer(moments_, 4 * tile * sizeof(float));
    pipe_.InitBuffer(result_, 64);
  }
  __aicore__ inline void Process() {
    for (uint32_t r = GetBlockIdx(); r < rows_; r += GetBlockNum()) Row(r * columns_);
  }

 private:
  __aicore__ inline void Row(uint32_t start) {
    const uint32_t tiles = columns_ / tile_;
    LocalTensor<float> state = moments_.Get<float>();
    Duplicate(state, 0.0f, 4 * tile_);
    PipeBarrier<PIPE_V>();
    for (uint32_t i = 0; i < tiles; ++i) {
      LocalTensor<float> x = CopyIn(start + i * tile_);
      const WelfordUpdateParam para{1, tile_, tile_, 1.0f / static_cast<float>(i + 1)};
      LocalTensor<float> from = state[i % 2 * 2 * tile_], to = state[(1 - i % 2) * 2 * tile_];
      WelfordUpdate<float, float>(to, to[tile_], from, from[tile_], x, para);
      PipeBarrier<PIPE_V>();
      in_.FreeTensor(x);
    }
    LocalTensor<float> result = result_.Get<float>();
    LocalTensor<float> last = state[tiles % 2 * 2 * tile_];
    WelfordFinalizePara para{tiles,
                             tile_,
                             tiles,
                             tile_,
                             0,
                             0,
                             1.0f / static_cast<float>(tile_),
                             1.0f / static_cast<float>(columns_),
                             0};
    WelfordFinalize(result, result[8], last, last[tile_], para);
    event_t event = static_cast<event_t>(GetTPipePtr()->FetchEventID(HardEvent::V_S));
    SetFlag<HardEvent::V_S>(event);
    WaitFlag<HardEvent::V_S>(event);
    const float mean = result.GetValue(0), scale = 1.0f / sqrt(result.GetValue(8) + 1e-5f);
    SetFlag<HardEvent::S_V>(event);
    WaitFlag<HardEvent::S_V>(event);
    for (uint32_t i = 0; i < tiles; ++i) {
      LocalTensor<float> x = CopyIn(start + i * tile_), y = out_.AllocTensor<float>();
      Adds(y, x, -mean, tile_);
      PipeBarrier<PIPE_V>();
      Muls(y, y, scale, tile_);
      in_.FreeTensor(x);
      out_.EnQue(y);
      y = out_.DeQue<float>();
      DataCopy(yGm_[start + i * tile_], y, tile_);
      out_.FreeTensor(y);
    }
  }
  __aicore__ inline LocalTensor<float> CopyIn(uint32_t at) {
    LocalTensor<float> x = in_.AllocTensor<float>();
    DataCopy(x, xGm_[at], tile_);
    in_.EnQue(x);
    return in_.DeQue<float>();
  }

  TPipe pipe_;
  TQue<TPosition::VECIN, 1> in_;
  TQue<TPosition::VECOUT, 1> out_;
  TBuf<> moments_, result_;
  GlobalTensor<float> xGm_, yGm_;
  uint32_t rows_ = 0, columns_ = 0, tile_ = 0;
};

extern "C" __global__ __aicore__ void welford_norm(GM_ADDR x, GM_ADDR y, uint32_t rows,
                                                   uint32_t columns, uint32_t tile) {
  KernelWelfordNorm op;
  op.Init(x, y, rows, columns, tile);
  op.Process();
}

// LayerNorm of [A, R] in half, with the mean and 1 / deviation of each row.
extern "C" __global__ __aicore__ void layer_norm_rstd(GM_ADDR x, GM_ADDR gamma, GM_ADDR beta,
                                                      GM_ADDR y, GM_ADDR mean, GM_ADDR rstd,
                                                      uint32_t rows, uint32_t columns) {
  GlobalTensor<half> xGm, gammaGm, betaGm, yGm;
  GlobalTensor<float> meanGm, rstdGm;
  xGm.SetGlobalBuffer((__gm__ half*)x, rows * columns);
  gammaGm.SetGlobalBuffer((__gm__ half*)gamma, columns);
  betaGm.SetGlobalBuffer((__gm__ half*)beta, columns);
  yGm.SetGlobalBuffer((__gm__ half*)y, rows * columns);
  meanGm.SetGlobalBuffer((__gm__ float*)mean, rows);
  rstdGm.SetGlobalBuffer((__gm__ float*)rstd, rows);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 1> out, moments;
  TBuf<> tmp;
  const uint32_t block = rows * sizeof(float);
  pipe.InitBuffer(in, 1, (rows + 2) * columns * sizeof(half));
  pipe.InitBuffer(out, 1, rows * columns * sizeof(half));
  pipe.InitBuffer(moments, 1, 2 * block);
  pipe.InitBuffer(tmp, 8192);
  LocalTensor<half> xs = in.AllocTensor<half>();
  DataCopy(xs, xGm, rows * columns);
  DataCopy(xs[rows * columns], gammaGm, columns);
  DataCopy(xs[(rows + 1) * columns], betaGm, columns);
  in.EnQue(xs);
  xs = in.DeQue<half>();
  LocalTensor<half> ys = out.AllocTensor<half>();
  LocalTensor<float> ms = moments.AllocTensor<float>();
  LayerNormSeparateTiling tiling;
  tiling.aLength = rows;
  tiling.rLength = columns;
  LayerNorm<half, half>(ys, ms, ms[rows], xs, xs[rows * columns], xs[(rows + 1) * columns], 1e-3f,
                        tmp.Get<uint8_t>(), LayerNormPara{rows, columns, columns}, tiling);
  in.FreeTensor(xs);
  out.EnQue(ys);
  moments.EnQue(ms);
  ys = out.DeQue<half>();
  ms = moments.DeQue<float>();
  DataCopy(yGm, ys, rows * columns);
  DataCopy(meanGm, ms, rows);
  DataCopy(rstdGm, ms[rows], rows);
  out.FreeTensor(ys);
  moments.FreeTensor(ms);
}

// [N, C, H * W] normalised over groups of channels.
extern "C" __global__ __aicore__ void group_norm(GM_ADDR x, GM_ADDR gamma, GM_ADDR beta, GM_ADDR y,
                                                 uint32_t samples, uint32_t channels, uint32_t size,
                                                 uint32_t groups) {
  const uint32_t total = samples * channels * size;
  GlobalTensor<float> xGm, gammaGm, betaGm, yGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, total);
  gammaGm.SetGlobalBuffer((__gm__ float*)gamma, channels);
  betaGm.SetGlobalBuffer((__gm__ float*)beta, channels);
  yGm.SetGlobalBuffer((__gm__ float*)y, total);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 1> out;
  TBuf<> moments;
  pipe.InitBuffer(in, 1, (total + 2 * channels) * sizeof(float));
  pipe.InitBuffer(out, 1, total * sizeof(float));
  pipe.InitBuffer(moments, 256);
  LocalTensor<float> xs = in.AllocTensor<float>();
  DataCopy(xs, xGm, total);
  DataCopy(xs[total], gammaGm, channels);
  DataCopy(xs[total + channels], betaGm, channels);
  in.EnQue(xs);
  xs = in.DeQue<float>();
  LocalTensor<float> ys = out.AllocTensor<float>(), ms = moments.Get<float>();
  GroupNormTiling tiling;
  tiling.n = samples;
  tiling.c = channels;
  tiling.hw = size;
  tiling.g = groups;
  tiling.d = channels / groups;
  GroupNorm<float>(ys, ms, ms[32], xs, xs[total], xs[total + channels], 1e-5f, tiling);
  in.FreeTensor(xs);
  out.EnQue(ys);
  ys = out.DeQue<float>();
  DataCopy(yGm, ys, total);
  out.FreeTensor(ys);
}

// softmax(x) in tiles, as attention does it: sums and maxima are brought up to date tile by tile.
extern "C" __global__ __aicore__ void flash_sums(GM_ADDR x, GM_ADDR y, uint32_t rows,
                                                 uint32_t columns, uint32_t tile) {
  GlobalTensor<float> xGm, yGm;
  xGm.SetGlobalBuffer((__gm__ float*)x, rows * columns);
  yGm.SetGlobalBuffer((__gm__ float*)y, 2 * rows * 8);
  TPipe pipe;
  TQue<TPosition::VECIN, 2> in;
  TQue<TPosition::VECOUT, 1> out;
  TBuf<> exps, factors;
  pipe.InitBuffer(in, 2, rows * tile * sizeof(float));
  pipe.InitBuffer(out, 1, 2 * rows * 32);
  pipe.InitBuffer(exps, rows * tile * sizeof(float));
  pipe.InitBuffer(factors, rows * 32);
  LocalTensor<float> sums = out.AllocTensor<float>(), maxima = sums[rows * 8];
  const SoftMaxShapeInfo shape{rows, tile, rows, tile};
  const SoftMaxTiling tiling = SoftMaxFlashV2TilingFunc(shape, 4, 4, 8192, true);
  for (uint32_t i = 0; i < columns / tile; ++i) {
    LocalTensor<float> xs = in.AllocTensor<float>();
    DataCopy(xs, xGm[i * tile],
             {static_cast<uint16_t>(rows), static_cast<uint16_t>(tile / 8),
              static_cast<uint16_t>((columns - tile) / 8), 0});
    in.EnQue(xs);
    xs = in.DeQue<float>();
    LocalTensor<float> es = exps.Get<float>(), fs = factors.Get<float>();
    if (i == 0) {
      SoftmaxFlashV2<float, false>(es, sums, maxima, xs, fs, sums, maxima, tiling, shape);
    } else {
      SoftmaxFlashV2<float, true>(es, sums, maxima, xs, fs, sums, maxima, tiling, shape);
    }
    PipeBarrier<PIPE_V>();
    in.FreeTensor(xs);
  }
  out.EnQue(sums);
  sums = out.DeQue<float>();
  DataCopy(yGm, sums, 2 * rows * 8);
  out.FreeTensor(sums);
}

// int32_t products to bfloat16_t with a scale per column, as behind a product of int8_t.
extern "C" __global__ __aicore__ void dequant_columns(GM_ADDR x, GM_ADDR scale, GM_ADDR y,
                                                      uint32_t rows, uint32_t columns) {
  GlobalTensor<int32_t> xGm;
  GlobalTensor<float> scaleGm;
  GlobalTensor<bfloat16_t> yGm;
  xGm.SetGlobalBuffer((__gm__ int32_t*)x, rows * columns);
  scaleGm.SetGlobalBuffer((__gm__ float*)scale, columns);
  yGm.SetGlobalBuffer((__gm__ bfloat16_t*)y, rows * columns);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in, scales;
  TQue<TPosition::VECOUT, 1> out;
  TBuf<> tmp;
  pipe.InitBuffer(in, 1, rows * columns * sizeof(int32_t));
  pipe.InitBuffer(scales, 1, columns * sizeof(float));
  pipe.InitBuffer(out, 1, rows * columns * sizeof(bfloat16_t));
  pipe.InitBuffer(tmp, 8192);
  LocalTensor<int32_t> xs = in.AllocTensor<int32_t>();
  LocalTensor<float> ss = scales.AllocTensor<float>();
  DataCopy(xs, xGm, rows * columns);
  DataCopy(ss, scaleGm, columns);
  in.EnQue(xs);
  scales.EnQue(ss);
  xs = in.DeQue<int32_t>();
  ss = scales.DeQue<float>();
  LocalTensor<bfloat16_t> ys = out.AllocTensor<bfloat16_t>();
  AscendDequant(ys, xs, ss, tmp.Get<uint8_t>(), {rows, columns, columns});
  in.FreeTensor(xs);
  scales.FreeTensor(ss);
  out.EnQue(ys);
  ys = out.DeQue<bfloat16_t>();
  DataCopy(yGm, ys, rows * columns);
  out.FreeTensor(ys);
}
