// tests/softnpu/programs/product.cpp: c = leaky_relu(a b + bias, 0.001), the product from the cube
// cores and the rest on the vector cores; its tiling comes through a pointer to GM.
#include "kernel_operator.h"
#include "lib/matmul_intf.h"

using namespace AscendC;
using namespace matmul;

__aicore__ inline void CopyTiling(TCubeTiling* tiling, GM_ADDR address) {
  auto* const to = reinterpret_cast<uint32_t*>(tiling);
  auto* const from = reinterpret_cast<__gm__ uint32_t*>(address);
  for (uint32_t i = 0; i < sizeof(TCubeTiling) / sizeof(uint32_t); ++i) to[i] = from[i];
}

class Product {
 public:
  Matmul<MatmulType<TPosition::GM, CubeFormat::ND, half>,
         MatmulType<TPosition::GM, CubeFormat::ND, half>,
         MatmulType<TPosition::VECIN, CubeFormat::ND, float>,
         MatmulType<TPosition::GM, CubeFormat::ND, float>>
      object;

  __aicore__ inline void Init(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR c,
                              const TCubeTiling& tiling, TPipe* pipe) {
    tiling_ = tiling;
    const int32_t rows = (tiling.M + tiling.singleCoreM - 1) / tiling.singleCoreM;
    const int32_t row = static_cast<int32_t>(GetBlockIdx()) % rows * tiling.singleCoreM;
    const int32_t column = static_cast<int32_t>(GetBlockIdx()) / rows * tiling.singleCoreN;
    a_.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(a) + row * tiling.Ka);
    b_.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(b) + column);
    bias_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(bias) + column);
    c_.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(c) + row * tiling.N + column);
    pipe->InitBuffer(out_, 1, tiling.baseM * tiling.baseN * sizeof(float));
  }
  __aicore__ inline void Process() {
    object.SetTensorA(a_);
    object.SetTensorB(b_);
    object.SetBias(bias_);
    const uint32_t rows = tiling_.singleCoreM / tiling_.baseM;
    for (uint32_t block = 0; object.template Iterate<true>(); ++block) {
      LocalTensor<float> c = out_.AllocTensor<float>();
      object.template GetTensorC<true>(c, false, true);
      LeakyRelu(c, c, 0.001f, tiling_.baseM * tiling_.baseN);
      out_.EnQue(c);
      c = out_.DeQue<float>();
      const uint32_t at = block % rows * tiling_.baseM * tiling_.N + block / rows * tiling_.baseN;
      const DataCopyParams params = {static_cast<uint16_t>(tiling_.baseM),
                                     static_cast<uint16_t>(tiling_.baseN / 8), 0,
                                     static_cast<uint16_t>((tiling_.N - tiling_.baseN) / 8)};
      DataCopy(c_[at], c, params);
      out_.FreeTensor(c);
    }
    object.End();
  }

 private:
  GlobalTensor<half> a_, b_;
  GlobalTensor<float> bias_, c_;
  TCubeTiling tiling_;
  TQue<QuePosition::VECOUT, 1> out_;
};

extern "C" __global__ __aicore__ void product(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR c,
                                              GM_ADDR workspace, GM_ADDR address) {
  TPipe pipe;
  TCubeTiling tiling;
  CopyTiling(&tiling, address);
  Product product;
  product.Init(a, b, bias, c, tiling, &pipe);
  REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), product.object, &tiling);
  product.Process();
}
