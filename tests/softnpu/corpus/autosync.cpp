// tests/softnpu/corpus/autosync.cpp: kernels that leave V-V, V-S, MTE2-S and MTE3-S to
// --cce-auto-sync, as projects of CANN's CMake functions do: no barrier, no flag of those pairs.
#include "kernel_operator.h"

namespace {

using AscendC::LocalTensor;

// (x - mean) / sqrt(var + eps) * gamma + beta, row by row.
class LayerNormKernel {
 public:
  __aicore__ inline LayerNormKernel() = default;
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR gamma, GM_ADDR beta, GM_ADDR y, uint32_t rows,
                              uint32_t columns, float eps) {
    rows_ = rows, columns_ = columns, eps_ = eps;
    x_.SetGlobalBuffer((__gm__ float*)x, rows * columns);
    y_.SetGlobalBuffer((__gm__ float*)y, rows * columns);
    gamma_.SetGlobalBuffer((__gm__ float*)gamma, columns);
    beta_.SetGlobalBuffer((__gm__ float*)beta, columns);
    pipe_.InitBuffer(in_, 2, columns * sizeof(float));
    pipe_.InitBuffer(out_, 2, columns * sizeof(float));
    pipe_.InitBuffer(weights_, 1, 2 * columns * sizeof(float));
    pipe_.InitBuffer(work_, columns * sizeof(float));
    pipe_.InitBuffer(one_, 32);
  }
  __aicore__ inline void Process() {
    LocalTensor<float> weights = weights_.AllocTensor<float>();
    AscendC::DataCopy(weights, gamma_, columns_);
    AscendC::DataCopy(weights[columns_], beta_, columns_);
    weights_.EnQue(weights);
    weights = weights_.DeQue<float>();
    for (uint32_t r = AscendC::GetBlockIdx(); r < rows_; r += AscendC::GetBlockNum()) {
      LocalTensor<float> row = in_.AllocTensor<float>();
      AscendC::DataCopy(row, x_[r * columns_], columns_);
      in_.EnQue(row);
      row = in_.DeQue<float>();
      LocalTensor<float> out = out_.AllocTensor<float>();
      Row(row, out, weights);
      in_.FreeTensor(row);
      out_.EnQue(out);
      out = out_.DeQue<float>();
      AscendC::DataCopy(y_[r * columns_], out, columns_);
      out_.FreeTensor(out);
    }
    weights_.FreeTensor(weights);
  }

 private:
  __aicore__ inline void Row(LocalTensor<float>& row, LocalTensor<float>& out,
                             const LocalTensor<float>& weights) {
    LocalTensor<float> work = work_.Get<float>(), one = one_.Get<float>();
    ReduceSum<float>(one, row, work, columns_);
    const float mean = one.GetValue(0) / static_cast<float>(columns_);
    AscendC::Adds(out, row, -mean, columns_);
    AscendC::Mul(row, out, out, columns_);
    ReduceSum<float>(one, row, work, columns_);
    const float variance = one.GetValue(0) / columns_;
    AscendC::Muls(out, out, 1.0f / sqrt(variance + eps_), columns_);
    AscendC::Mul(out, out, weights, columns_);
    AscendC::Add(out, out, weights[columns_], columns_);
  }
  template <typename T>
  __aicore__ inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                   const LocalTensor<T>& work, int32_t count) {
    AscendC::ReduceSum<T>(dst, src, work, count);
  }

  AscendC::TPipe pipe_;
  AscendC::TQue<AscendC::TPosition::VECIN, 2> in_;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> weights_;
  AscendC::TQue<AscendC::TPosition::VECOUT, 2> out_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> work_, one_;
  AscendC::GlobalTensor<float> x_, y_, gamma_, beta_;
  uint32_t rows_ = 0, columns_ = 0;
  float eps_ = 0;
};

}  // namespace

extern "C" __global__ __aicore__ void layer_norm(GM_ADDR x, GM_ADDR gamma, GM_ADDR beta, GM_ADDR y,
                                                 uint32_t rows, uint32_t columns, float eps) {
  LayerNormKernel op;
  op.Init(x, gamma, beta, y, rows, columns, eps);
  op.Process();
}

// x / sqrt(mean(x * x) + eps) * gamma in half, computed in float.
extern "C" __global__ __aicore__ void rms_norm(GM_ADDR x, GM_ADDR gamma, GM_ADDR y, uint32_t rows,
                                               uint32_t columns) {
  using namespace AscendC;
  GlobalTensor<half> xGm, gammaGm, yGm;
  xGm.SetGlobalBuffer((__gm__ half*)x);
  gammaGm.SetGlobalBuffer((__gm__ half*)gamma);
  yGm.SetGlobalBuffer((__gm__ half*)y);
  TPipe pipe;
  TQue<QuePosition::VECIN, 1> in;
  TQue<QuePosition::VECOUT, 1> out;
  TBuf<QuePosition::VECCALC> calc;
  pipe.InitBuffer(in, 1, 2 * columns * sizeof(half));
  pipe.InitBuffer(out, 1, columns * sizeof(half));
  pipe.InitBuffer(calc, 3 * columns * sizeof(float) + 32);
  auto a = calc.Get<float>(columns);
  auto g = calc.GetWithOffset<float>(columns, columns * sizeof(float));
  auto t = calc.GetWithOffset<float>(columns, 2 * columns * sizeof(float));
  auto s = calc.GetWithOffset<float>(8, 3 * columns * sizeof(float));
  for (uint32_t r = GetBlockIdx(); r < rows; r += GetBlockNum()) {
    auto local = in.AllocTensor<half>();
    DataCopy(local, xGm[r * columns], columns);
    DataCopy(local[columns], gammaGm, columns);
    in.EnQue<half>(local);
    local = in.DeQue<half>();
    Cast(a, local, RoundMode::CAST_NONE, columns);
    Cast(g, local[columns], RoundMode::CAST_NONE, columns);
    Mul(t, a, a, columns);
    ReduceSum(s, t, t, columns);
    Muls(s, s, 1.0f / columns, 1);
    Adds(s, s, 1e-6f, 1);
    Sqrt(s, s, 1);
    const float scale = 1.0f / s.GetValue(0);
    Muls(a, a, scale, columns);
    Mul(a, a, g, columns);
    auto result = out.AllocTensor<half>();
    Cast(result, a, RoundMode::CAST_RINT, columns);
    in.FreeTensor(local);
    out.EnQue<half>(result);
    result = out.DeQue<half>();
    DataCopy(yGm[r * columns], result, columns);
    out.FreeTensor(result);
  }
}

// A softmax in the UB; the row's maximum and sum are read by the scalar unit.
template <typename T>
__aicore__ inline void SoftmaxRow(const AscendC::LocalTensor<T>& row,
                                  const AscendC::LocalTensor<T>& work, int32_t count) {
  using namespace AscendC;
  ReduceMax(work, row, work[8], count);
  const T largest = work.GetValue(0);
  Adds(row, row, static_cast<T>(-largest), count);
  Exp(row, row, count);
  ReduceSum(work, row, work[8], count);
  const T sum = work.GetValue(0);
  Muls(row, row, static_cast<T>(static_cast<T>(1) / sum), count);
}

extern "C" __global__ __aicore__ void softmax_rows(GM_ADDR x, GM_ADDR y, int32_t rows,
                                                   int32_t columns) {
  using namespace AscendC;
  GlobalTensor<float> from, to;
  from.SetGlobalBuffer((__gm__ float*)x, rows * columns);
  to.SetGlobalBuffer((__gm__ float*)y, rows * columns);
  TPipe pipe;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 1> queue;
  TBuf<> work;
  pipe.InitBuffer(queue, 2, columns * sizeof(float));
  pipe.InitBuffer(work, columns * sizeof(float) + 32);
  for (int32_t r = GetBlockIdx(); r < rows; r += GetBlockNum()) {
    LocalTensor<float> row = queue.AllocTensor<float>();
    DataCopy(row, from[r * columns], columns);
    event_t in = static_cast<event_t>(pipe.FetchEventID(HardEvent::MTE2_V));
    SetFlag<HardEvent::MTE2_V>(in);
    WaitFlag<HardEvent::MTE2_V>(in);
    SoftmaxRow(row, work.Get<float>(), columns);
    event_t out = static_cast<event_t>(pipe.FetchEventID(HardEvent::V_MTE3));
    SetFlag<HardEvent::V_MTE3>(out);
    WaitFlag<HardEvent::V_MTE3>(out);
    DataCopy(to[r * columns], row, columns);
    queue.FreeTensor(row);
    PipeBarrier<PIPE_ALL>();
  }
}

// The scalar unit reads what MTE2 has brought, and writes what MTE3 takes.
extern "C" __global__ __aicore__ void histogram(GM_ADDR x, GM_ADDR counts, int32_t count) {
  using namespace AscendC;
  GlobalTensor<int32_t> from, to;
  from.SetGlobalBuffer((__gm__ int32_t*)x, count);
  to.SetGlobalBuffer((__gm__ int32_t*)counts, 16);
  TPipe pipe;
  TBuf<> values, bins;
  pipe.InitBuffer(values, count * sizeof(int32_t));
  pipe.InitBuffer(bins, 16 * sizeof(int32_t));
  auto v = values.Get<int32_t>();
  auto b = bins.Get<int32_t>();
  DataCopy(v, from, count);
  Duplicate(b, 0, 16);
  for (int32_t i = 0; i < count; ++i) {
    const int32_t at = v.GetValue(i) & 15;
    b.SetValue(at, b.GetValue(at) + 1);
  }
  DataCopy(to, b, 16);
}
