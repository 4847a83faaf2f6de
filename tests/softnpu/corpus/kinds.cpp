// tests/softnpu/corpus/kinds.cpp: code that is chosen by the kind of the core before it runs, by
// macros of the compiler and by template arguments, as libraries of templates do it.
#include "kernel_operator.h"

using namespace AscendC;

namespace {

constexpr uint16_t kSize = 16;
constexpr uint16_t kReady = 3;

// What waits and what is waited for differ by kind.
template <int32_t kind>
struct Meeting;
template <>
struct Meeting<AIC> {
  __aicore__ inline static void Arrive() { CrossCoreSetFlag<0x2, PIPE_FIX>(kReady); }
};
template <>
struct Meeting<AIV> {
  __aicore__ inline static void Arrive() { CrossCoreWaitFlag(kReady); }
};

class ProductThenScale {
 public:
  __aicore__ inline void Init(GM_ADDR a, GM_ADDR b, GM_ADDR c, GM_ADDR workspace) {
    middle_.SetGlobalBuffer((__gm__ float*)GetUserWorkspace(workspace), kSize * kSize);
#ifdef __DAV_C220_CUBE__
    aGm_.SetGlobalBuffer((__gm__ half*)a, kSize * kSize);
    bGm_.SetGlobalBuffer((__gm__ half*)b, kSize * kSize);
    pipe_.InitBuffer(l1_, 2 * kSize * kSize * sizeof(half));
    pipe_.InitBuffer(l0a_, kSize * kSize * sizeof(half));
    pipe_.InitBuffer(l0b_, kSize * kSize * sizeof(half));
    pipe_.InitBuffer(l0c_, kSize * kSize * sizeof(float));
#endif
#ifdef __DAV_C220_VEC__
    cGm_.SetGlobalBuffer((__gm__ float*)c, kSize * kSize);
    pipe_.InitBuffer(rows_, kSize * kSize / 2 * sizeof(float));
#endif
  }

  template <int32_t kind = g_coreType>
  __aicore__ inline void operator()();

 private:
  TPipe pipe_;
  GlobalTensor<float> middle_;
#ifdef __DAV_C220_CUBE__
  GlobalTensor<half> aGm_, bGm_;
  TBuf<TPosition::A1> l1_;
  TBuf<TPosition::A2> l0a_;
  TBuf<TPosition::B2> l0b_;
  TBuf<TPosition::CO1> l0c_;
#else
  GlobalTensor<float> cGm_;
  TBuf<TPosition::VECCALC> rows_;
#endif
};

#ifdef __DAV_C220_CUBE__
template <>
__aicore__ inline void ProductThenScale::operator()<AIC>() {
  auto left = l1_.Get<half>(), right = left[kSize * kSize];
  const Nd2NzParams nz(1, kSize, kSize, 0, kSize, kSize, 1, 0);
  DataCopy(left, aGm_, nz);
  DataCopy(right, bGm_, nz);
  SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
  LoadData2DParams load(0, 1, 1, 0, 0, false, 0);
  LoadData(l0a_.Get<half>(), left, load);
  load.ifTranspose = true;
  LoadData(l0b_.Get<half>(), right, load);
  SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
  WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
  MmadParams sizes;
  sizes.m = sizes.n = sizes.k = kSize;
  Mmad(l0c_.Get<float>(), l0a_.Get<half>(), l0b_.Get<half>(), sizes);
  SetFlag<HardEvent::M_FIX>(EVENT_ID0);
  WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
  Fixpipe(middle_, l0c_.Get<float>(), FixpipeParamsV220(kSize, kSize, kSize, kSize, false));
  Meeting<AIC>::Arrive();
}
#else
template <>
__aicore__ inline void ProductThenScale::operator()<AIV>() {
  Meeting<g_coreType>::Arrive();
  const uint32_t part = kSize * kSize / 2, first = GetSubBlockIdx() * part;
  auto rows = rows_.Get<float>();
  DataCopy(rows, middle_[first], part);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  Muls(rows, rows, 0.5f, part);
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(cGm_[first], rows, part);
}
#endif

}  // namespace

extern "C" __global__ __aicore__ void product_then_scale(GM_ADDR a, GM_ADDR b, GM_ADDR c,
                                                         GM_ADDR workspace) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  ProductThenScale op;
  op.Init(a, b, c, workspace);
  op();
}
