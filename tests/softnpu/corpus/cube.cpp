// tests/softnpu/corpus/cube.cpp: products of matrices: fractals by hand, by queues, and by Matmul.
#include "kernel_operator.h"
#include "lib/matmul_intf.h"

// C = A x B for one core: 32 x 64 by 64 x 48, queues of L1, L0A, L0B and L0C.
class Product {
 public:
  __aicore__ inline void Init(GM_ADDR a, GM_ADDR b, GM_ADDR c) {
    aGm.SetGlobalBuffer((__gm__ half*)a);
    bGm.SetGlobalBuffer((__gm__ half*)b);
    cGm.SetGlobalBuffer((__gm__ float*)c);
    pipe.InitBuffer(inQueueA1, 1, m * k * sizeof(half));
    pipe.InitBuffer(inQueueA2, 1, m * k * sizeof(half));
    pipe.InitBuffer(inQueueB1, 1, k * n * sizeof(half));
    pipe.InitBuffer(inQueueB2, 1, k * n * sizeof(half));
    pipe.InitBuffer(outQueueCO1, 1, m * n * sizeof(float));
  }
  __aicore__ inline void Process() {
    CopyIn();
    SplitA();
    SplitB();
    Compute();
    CopyOut();
  }

 private:
  __aicore__ inline void CopyIn() {
    AscendC::LocalTensor<half> a1 = inQueueA1.AllocTensor<half>();
    AscendC::LocalTensor<half> b1 = inQueueB1.AllocTensor<half>();
    AscendC::Nd2NzParams paramsA(1, m, k, 0, k, m, 1, 0);
    AscendC::DataCopy(a1, aGm, paramsA);
    AscendC::Nd2NzParams paramsB;
    paramsB.ndNum = 1;
    paramsB.nValue = k;
    paramsB.dValue = n;
    paramsB.srcNdMatrixStride = 0;
    paramsB.srcDValue = n;
    paramsB.dstNzC0Stride = k;
    paramsB.dstNzNStride = 1;
    paramsB.dstNzMatrixStride = 0;
    AscendC::DataCopy(b1, bGm, paramsB);
    inQueueA1.EnQue(a1);
    inQueueB1.EnQue(b1);
  }
  __aicore__ inline void SplitA() {
    AscendC::LocalTensor<half> a1 = inQueueA1.DeQue<half>();
    AscendC::LocalTensor<half> a2 = inQueueA2.AllocTensor<half>();
    // Columns of fractals become rows of fractals.
    for (int i = 0; i < m / 16; ++i) {
      AscendC::LoadData2DParams params;
      params.repeatTimes = k / 16;
      params.srcStride = m / 16;
      params.ifTranspose = false;
      AscendC::LoadData(a2[i * 16 * k], a1[i * 16 * 16], params);
    }
    inQueueA2.EnQue<half>(a2);
    inQueueA1.FreeTensor(a1);
  }
  __aicore__ inline void SplitB() {
    AscendC::LocalTensor<half> b1 = inQueueB1.DeQue<half>();
    AscendC::LocalTensor<half> b2 = inQueueB2.AllocTensor<half>();
    for (int i = 0; i < k / 16; ++i) {
      AscendC::LoadData2DParams params;
      params.repeatTimes = n / 16;
      params.srcStride = k / 16;
      params.ifTranspose = true;
      AscendC::LoadData(b2[i * 16 * n], b1[i * 16 * 16], params);
    }
    inQueueB1.FreeTensor(b1);
    inQueueB2.EnQue<half>(b2);
  }
  __aicore__ inline void Compute() {
    AscendC::LocalTensor<half> a2 = inQueueA2.DeQue<half>();
    AscendC::LocalTensor<half> b2 = inQueueB2.DeQue<half>();
    AscendC::LocalTensor<float> c1 = outQueueCO1.AllocTensor<float>();
    AscendC::MmadParams params;
    params.m = m;
    params.n = n;
    params.k = k;
    AscendC::Mmad(c1, a2, b2, params);
    outQueueCO1.EnQue<float>(c1);
    inQueueA2.FreeTensor(a2);
    inQueueB2.FreeTensor(b2);
  }
  __aicore__ inline void CopyOut() {
    AscendC::LocalTensor<float> c1 = outQueueCO1.DeQue<float>();
    AscendC::FixpipeParamsV220 params;
    params.nSize = n;
    params.mSize = m;
    params.srcStride = m;
    params.dstStride = n;
    params.ndNum = 1;
    params.srcNdStride = 0;
    params.dstNdStride = 0;
    AscendC::Fixpipe(cGm, c1, params);
    outQueueCO1.FreeTensor(c1);
  }

  static constexpr uint16_t m = 32, k = 64, n = 48;
  AscendC::TPipe pipe;
  AscendC::TQue<AscendC::QuePosition::A1, 1> inQueueA1;
  AscendC::TQue<AscendC::QuePosition::A2, 1> inQueueA2;
  AscendC::TQue<AscendC::QuePosition::B1, 1> inQueueB1;
  AscendC::TQue<AscendC::QuePosition::B2, 1> inQueueB2;
  AscendC::TQue<AscendC::QuePosition::CO1, 1> outQueueCO1;
  AscendC::GlobalTensor<half> aGm, bGm;
  AscendC::GlobalTensor<float> cGm;
};

extern "C" __global__ __aicore__ void product_by_queues(GM_ADDR a, GM_ADDR b, GM_ADDR c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  if ASCEND_IS_AIC {
    Product op;
    op.Init(a, b, c);
    op.Process();
  }
}

// The same for int8, by flags, with a scale on the way out.
extern "C" __global__ __aicore__ __cube__ void product_int8(GM_ADDR a, GM_ADDR b, GM_ADDR c,
                                                            float scale) {
  using namespace AscendC;
  constexpr uint16_t m = 16, k = 64, n = 32;
  GlobalTensor<int8_t> aGm, bGm;
  GlobalTensor<half> cGm;
  aGm.SetGlobalBuffer((__gm__ int8_t*)a, m * k);
  bGm.SetGlobalBuffer((__gm__ int8_t*)b, k * n);
  cGm.SetGlobalBuffer((__gm__ half*)c, m * n);
  TPipe pipe;
  TBuf<TPosition::A1> a1Buf;
  TBuf<TPosition::B1> b1Buf;
  TBuf<TPosition::A2> a2Buf;
  TBuf<TPosition::B2> b2Buf;
  TBuf<TPosition::CO1> cBuf;
  pipe.InitBuffer(a1Buf, m * k);
  pipe.InitBuffer(b1Buf, k * n);
  pipe.InitBuffer(a2Buf, m * k);
  pipe.InitBuffer(b2Buf, k * n);
  pipe.InitBuffer(cBuf, m * n * sizeof(int32_t));
  auto a1 = a1Buf.Get<int8_t>(), b1 = b1Buf.Get<int8_t>();
  auto a2 = a2Buf.Get<int8_t>(), b2 = b2Buf.Get<int8_t>();
  auto co = cBuf.Get<int32_t>();
  DataCopy(a1, aGm, Nd2NzParams(1, m, k, 0, k, m, 1, 0));
  DataCopy(b1, bGm, Nd2NzParams(1, k, n, 0, n, k, 1, 0));
  SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
  LoadData(a2, a1, LoadData2DParams(0, k / 32, 1, 0, 0, false, 0));
  LoadData2dTransposeParams transpose;
  transpose.startIndex = 0;
  transpose.repeatTimes = k / 32;
  transpose.srcStride = 1;
  transpose.dstGap = n / 16 - 1;
  transpose.dstFracGap = 0;
  for (int i = 0; i < n / 32; ++i) LoadDataWithTranspose(b2, b1, transpose);
  SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
  WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
  Mmad(co, a2, b2, MmadParams(m, n, k, 0, false, true));
  SetFlag<HardEvent::M_FIX>(EVENT_ID0);
  WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
  FixpipeParamsV220 out(n, m, m, n, false);
  out.quantPre = QuantMode_t::DEQF16;
  out.deqScalar = static_cast<uint64_t>(*reinterpret_cast<uint32_t*>(&scale));
  Fixpipe<half, int32_t, CFG_ROW_MAJOR>(cGm, co, out);
}

// leaky_relu(A x B + bias) with Matmul; the vector cores ask the cube core.
template <typename aType, typename bType, typename cType, typename biasType>
class MatmulLeakyKernel {
 public:
  __aicore__ inline MatmulLeakyKernel() {}
  __aicore__ inline void Init(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR c, GM_ADDR workspace,
                              const TCubeTiling& tiling, AscendC::TPipe* pipe) {
    this->tiling = tiling;
    aGlobal.SetGlobalBuffer(reinterpret_cast<__gm__ aType*>(a), tiling.M * tiling.Ka);
    bGlobal.SetGlobalBuffer(reinterpret_cast<__gm__ bType*>(b), tiling.Kb * tiling.N);
    cGlobal.SetGlobalBuffer(reinterpret_cast<__gm__ cType*>(c), tiling.M * tiling.N);
    biasGlobal.SetGlobalBuffer(reinterpret_cast<__gm__ biasType*>(bias), tiling.N);
    const int32_t mBlocks = Ceiling(tiling.M, tiling.singleCoreM);
    const int32_t mIndex = AscendC::GetBlockIdx() % mBlocks;
    const int32_t nIndex = AscendC::GetBlockIdx() / mBlocks;
    const int32_t offsetC = mIndex * tiling.N * tiling.singleCoreM + nIndex * tiling.singleCoreN;
    aGlobal = aGlobal[mIndex * tiling.Ka * tiling.singleCoreM];
    bGlobal = bGlobal[nIndex * tiling.singleCoreN];
    cGlobal = cGlobal[offsetC];
    biasGlobal = biasGlobal[nIndex * tiling.singleCoreN];
    pipe->InitBuffer(reluOut, 1, tiling.baseM * tiling.baseN * sizeof(cType));
    if (GetSysWorkSpacePtr() == nullptr) SetSysWorkspace(workspace);
  }
  __aicore__ inline void Process() {
    uint32_t step = 0;
    matmulObj.SetTensorA(aGlobal);
    matmulObj.SetTensorB(bGlobal);
    matmulObj.SetBias(biasGlobal);
    while (matmulObj.template Iterate<true>()) {
      auto relu = reluOut.AllocTensor<cType>();
      matmulObj.template GetTensorC<true>(relu, false, true);
      AscendC::LeakyRelu(relu, relu, static_cast<cType>(0.001), tiling.baseM * tiling.baseN);
      reluOut.EnQue(relu);
      relu = reluOut.template DeQue<cType>();
      const uint32_t rounds = tiling.singleCoreM / tiling.baseM;
      const uint32_t at = step % rounds * tiling.baseM * tiling.N + step / rounds * tiling.baseN;
      AscendC::DataCopyParams params = {
          static_cast<uint16_t>(tiling.baseM),
          static_cast<uint16_t>(tiling.baseN * sizeof(cType) / AscendC::DEFAULT_C0_SIZE), 0,
          static_cast<uint16_t>((tiling.N - tiling.baseN) * sizeof(cType) /
                                AscendC::DEFAULT_C0_SIZE)};
      AscendC::DataCopy(cGlobal[at], relu, params);
      reluOut.FreeTensor(relu);
      ++step;
    }
    matmulObj.End();
  }

  matmul::Matmul<matmul::MatmulType<AscendC::TPosition::GM, CubeFormat::ND, aType>,
                 matmul::MatmulType<AscendC::TPosition::GM, CubeFormat::ND, bType>,
                 matmul::MatmulType<AscendC::TPosition::VECIN, CubeFormat::ND, cType>,
                 matmul::MatmulType<AscendC::TPosition::GM, CubeFormat::ND, biasType>>
      matmulObj;
  TCubeTiling tiling;

 private:
  static __aicore__ inline int32_t Ceiling(int32_t a, int32_t b) { return (a + b - 1) / b; }
  AscendC::GlobalTensor<aType> aGlobal;
  AscendC::GlobalTensor<bType> bGlobal;
  AscendC::GlobalTensor<cType> cGlobal;
  AscendC::GlobalTensor<biasType> biasGlobal;
  AscendC::TQue<AscendC::QuePosition::VECOUT, 1> reluOut;
};

extern "C" __global__ __aicore__ void matmul_leaky(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR c,
                                                   GM_ADDR workspace, GM_ADDR tilingGm) {
  AscendC::TPipe pipe;
  TCubeTiling tiling;
  auto* words = reinterpret_cast<uint32_t*>(&tiling);
  auto* source = reinterpret_cast<__gm__ uint32_t*>(tilingGm);
  for (uint32_t i = 0; i < sizeof(TCubeTiling) / sizeof(uint32_t); ++i) words[i] = source[i];
  MatmulLeakyKernel<half, half, float, float> op;
  op.Init(a, b, bias, c, workspace, tiling, &pipe);
  REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), op.matmulObj, &op.tiling);
  op.Process();
}
