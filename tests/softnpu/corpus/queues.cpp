// tests/softnpu/corpus/queues.cpp: vector kernels with queues, as most public ones are: classes
// with Init, Process, CopyIn, Compute and CopyOut, double buffers, uneven splits and tails.
#include "kernel_operator.h"

using namespace AscendC;
constexpr int32_t BUFFER_NUM = 2;

// y = gelu(x) by its approximation with a sigmoid; rows of any length, split unevenly over cores.
template <typename T>
class KernelGelu {
 public:
  __aicore__ inline KernelGelu() {}
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, uint32_t total, uint32_t tile) {
    const uint32_t cores = GetBlockNum();
    const uint32_t base = total / cores, more = total % cores;
    this->length = base + (GetBlockIdx() < more ? 1 : 0);
    const uint32_t begin = base * GetBlockIdx() + min(static_cast<uint32_t>(GetBlockIdx()), more);
    this->tile = tile;
    xGm.SetGlobalBuffer((__gm__ T*)x + begin, this->length);
    yGm.SetGlobalBuffer((__gm__ T*)y + begin, this->length);
    pipe.InitBuffer(inQueue, BUFFER_NUM, tile * sizeof(T));
    pipe.InitBuffer(outQueue, BUFFER_NUM, tile * sizeof(T));
    pipe.InitBuffer(calcBuf, 2 * tile * sizeof(float));
  }
  __aicore__ inline void Process() {
    for (uint32_t at = 0; at < this->length; at += this->tile) {
      const uint32_t count = at + this->tile > this->length ? this->length - at : this->tile;
      CopyIn(at, count);
      Compute(count);
      CopyOut(at, count);
    }
  }

 private:
  __aicore__ inline void CopyIn(uint32_t at, uint32_t count) {
    LocalTensor<T> xLocal = inQueue.template AllocTensor<T>();
    DataCopyExtParams params{1, static_cast<uint32_t>(count * sizeof(T)), 0, 0, 0};
    DataCopyPadExtParams<T> pad{false, 0, 0, 0};
    DataCopyPad(xLocal, xGm[at], params, pad);
    inQueue.EnQue(xLocal);
  }
  __aicore__ inline void Compute(uint32_t count) {
    LocalTensor<T> xLocal = inQueue.template DeQue<T>();
    LocalTensor<T> yLocal = outQueue.template AllocTensor<T>();
    LocalTensor<float> a = calcBuf.Get<float>();
    LocalTensor<float> b = a[this->tile];
    PipeBarrier<PIPE_V>();  // the tile before is still read
    Cast(a, xLocal, RoundMode::CAST_NONE, count);
    PipeBarrier<PIPE_V>();
    Muls(b, a, -1.702f, count);
    PipeBarrier<PIPE_V>();
    Exp(b, b, count);
    PipeBarrier<PIPE_V>();
    Adds(b, b, 1.0f, count);
    PipeBarrier<PIPE_V>();
    Div(a, a, b, count);
    PipeBarrier<PIPE_V>();
    Cast(yLocal, a, RoundMode::CAST_RINT, count);
    outQueue.template EnQue<T>(yLocal);
    inQueue.FreeTensor(xLocal);
  }
  __aicore__ inline void CopyOut(uint32_t at, uint32_t count) {
    LocalTensor<T> yLocal = outQueue.template DeQue<T>();
    DataCopyParams params{1, static_cast<uint16_t>(count * sizeof(T)), 0, 0};
    DataCopyPad(yGm[at], yLocal, params);
    outQueue.FreeTensor(yLocal);
  }

  TPipe pipe;
  TQue<QuePosition::VECIN, BUFFER_NUM> inQueue;
  TQue<QuePosition::VECOUT, BUFFER_NUM> outQueue;
  TBuf<QuePosition::VECCALC> calcBuf;
  GlobalTensor<T> xGm, yGm;
  uint32_t length, tile;
};

extern "C" __global__ __aicore__ void gelu_half(GM_ADDR x, GM_ADDR y, uint32_t total,
                                                uint32_t tile) {
  KernelGelu<half> op;
  op.Init(x, y, total, tile);
  op.Process();
}
extern "C" __global__ __aicore__ void gelu_bf16(GM_ADDR x, GM_ADDR y, uint32_t total,
                                                uint32_t tile) {
  KernelGelu<bfloat16_t> op;
  op.Init(x, y, total, tile);
  op.Process();
}

// z = x * y of integers, the result in the place of x.
class KernelMulInPlace {
 public:
  __aicore__ inline void Init(TPipe* pipe, GM_ADDR x, GM_ADDR y, uint32_t total) {
    length = total / GetBlockNum();
    xGm.SetGlobalBuffer(reinterpret_cast<__gm__ int32_t*>(x) + length * GetBlockIdx(), length);
    yGm.SetGlobalBuffer(reinterpret_cast<__gm__ int32_t*>(y) + length * GetBlockIdx(), length);
    pipe->InitBuffer(xQueue, 1, kTile * sizeof(int32_t));
    pipe->InitBuffer(yQueue, 1, kTile * sizeof(int32_t));
    pipe->InitBuffer(zQueue, 1, kTile * sizeof(int32_t));
  }
  __aicore__ inline void Process() {
    for (uint32_t i = 0; i < length / kTile; ++i) {
      {
        LocalTensor<int32_t> xLocal, yLocal;
        xQueue.AllocTensor<int32_t>(xLocal);
        yQueue.AllocTensor<int32_t>(yLocal);
        DataCopy(xLocal, xGm[i * kTile], kTile);
        DataCopy(yLocal, yGm[i * kTile], kTile);
        xQueue.EnQue(xLocal);
        yQueue.EnQue(yLocal);
      }
      auto xLocal = xQueue.DeQue<int32_t>();
      auto yLocal = yQueue.DeQue<int32_t>();
      auto zLocal = zQueue.AllocTensor<int32_t>();
      zLocal = xLocal * yLocal;
      zQueue.EnQue(zLocal);
      xQueue.FreeTensor(xLocal);
      yQueue.FreeTensor(yLocal);
      auto out = zQueue.DeQue<int32_t>();
      DataCopy(xGm[i * kTile], out, kTile);
      zQueue.FreeTensor(out);
    }
  }

 private:
  static constexpr uint32_t kTile = 256;
  TQue<TPosition::VECIN, 1> xQueue, yQueue;
  TQue<TPosition::VECOUT, 1> zQueue;
  GlobalTensor<int32_t> xGm, yGm;
  uint32_t length;
};

extern "C" __global__ __aicore__ void mul_in_place(GM_ADDR x, GM_ADDR y, uint32_t total) {
  TPipe pipe;
  KernelMulInPlace op;
  op.Init(&pipe, x, y, total);
  op.Process();
}

// Rows in another order; the vector unit has no part in it.
extern "C" __global__ __aicore__ void reverse_rows(GM_ADDR x, GM_ADDR y, int32_t rows,
                                                   int32_t columns) {
  GlobalTensor<half> xGm, yGm;
  xGm.SetGlobalBuffer((__gm__ half*)x);
  yGm.SetGlobalBuffer((__gm__ half*)y);
  TPipe pipe;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> queue;
  pipe.InitBuffer(queue, 2, columns * sizeof(half));
  for (int32_t r = GetBlockIdx(); r < rows; r += GetBlockNum()) {
    auto row = queue.AllocTensor<half>();
    DataCopy(row, xGm[r * columns], columns);
    queue.EnQue(row);
    row = queue.DeQue<half>();
    DataCopy(yGm[(rows - 1 - r) * columns], row, columns);
    queue.FreeTensor(row);
  }
}

// silu(gate) * up, as feed-forward layers have it; each row of x holds gate and up.
template <typename T, int DEPTH>
class SwiGluRows {
  using Calc = float;

 public:
  __aicore__ inline SwiGluRows(GM_ADDR x, GM_ADDR y, int32_t rows, int32_t half_row)
      : rows_(rows), width_(half_row) {
    x_.SetGlobalBuffer((__gm__ T*)x, rows * half_row * 2);
    y_.SetGlobalBuffer((__gm__ T*)y, rows * half_row);
    pipe_.InitBuffer(in_, DEPTH, 2 * width_ * sizeof(T));
    pipe_.InitBuffer(out_, DEPTH, width_ * sizeof(T));
    pipe_.InitBuffer(buf_, 3 * width_ * sizeof(Calc));
  }
  __aicore__ inline void operator()() {
    const int32_t per = (rows_ + GetBlockNum() - 1) / GetBlockNum();
    const int32_t first = GetBlockIdx() * per;
    const int32_t last = first + per < rows_ ? first + per : rows_;
    for (int32_t r = first; r < last; ++r) One(r);
  }

 private:
  __aicore__ inline void One(int32_t r) {
    LocalTensor<T> in = in_.template AllocTensor<T>();
    DataCopy(in, x_[static_cast<uint64_t>(r) * 2 * width_], 2 * width_);
    in_.EnQue(in);
    in = in_.template DeQue<T>();
    LocalTensor<Calc> gate = buf_.template GetWithOffset<Calc>(width_, 0);
    LocalTensor<Calc> up = buf_.template GetWithOffset<Calc>(width_, width_ * sizeof(Calc));
    LocalTensor<Calc> e = buf_.template GetWithOffset<Calc>(width_, 2 * width_ * sizeof(Calc));
    PipeBarrier<PIPE_V>();  // the row before is still read
    Cast(gate, in, RoundMode::CAST_NONE, width_);
    Cast(up, in[width_], RoundMode::CAST_NONE, width_);
    in_.FreeTensor(in);
    PipeBarrier<PIPE_V>();
    Muls(e, gate, static_cast<Calc>(-1), width_);
    PipeBarrier<PIPE_V>();
    Exp(e, e, width_);
    PipeBarrier<PIPE_V>();
    Adds(e, e, static_cast<Calc>(1), width_);
    Mul(up, up, gate, width_);
    PipeBarrier<PIPE_V>();
    Div(up, up, e, width_);
    PipeBarrier<PIPE_V>();
    LocalTensor<T> out = out_.template AllocTensor<T>();
    Cast(out, up, RoundMode::CAST_RINT, width_);
    out_.EnQue(out);
    out = out_.template DeQue<T>();
    DataCopy(y_[r * width_], out, width_);
    out_.FreeTensor(out);
  }

  TPipe pipe_;
  TQue<TPosition::VECIN, DEPTH> in_;
  TQue<TPosition::VECOUT, DEPTH> out_;
  TBuf<> buf_;
  GlobalTensor<T> x_, y_;
  int32_t rows_, width_;
};

__global__ __aicore__ void swiglu_rows(GM_ADDR x, GM_ADDR y, int32_t rows, int32_t width) {
  SwiGluRows<half, 2> op(x, y, rows, width);
  op();
}
