// tests/softnpu/corpus/products.cpp: forms of the high-level product of matrices.
#include "kernel_operator.h"
#include "lib/matmul_intf.h"

using namespace AscendC;
using namespace matmul;

namespace {
__aicore__ inline TCubeTiling Whole(int32_t m, int32_t n, int32_t k) {
  TCubeTiling tiling;
  tiling.usedCoreNum = 1;
  tiling.M = tiling.singleCoreM = m;
  tiling.N = tiling.singleCoreN = n;
  tiling.Ka = tiling.Kb = tiling.singleCoreK = k;
  tiling.baseM = tiling.baseN = 32;
  tiling.baseK = 32;
  return tiling;
}
}  // namespace

// B lies in fractals of 16 x 16, as weights are stored; C too.
extern "C" __global__ __aicore__ void product_nz(GM_ADDR a, GM_ADDR b, GM_ADDR c, int32_t m,
                                                 int32_t n, int32_t k) {
  using A = MatmulType<TPosition::GM, CubeFormat::ND, half>;
  using B = MatmulType<TPosition::GM, CubeFormat::NZ, half>;
  using C = MatmulType<TPosition::GM, CubeFormat::NZ, float>;
  TPipe pipe;
  Matmul<A, B, C> mm;
  const TCubeTiling tiling = Whole(m, n, k);
  REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), mm, &tiling);
  if (GetBlockIdx() != 0) return;
  GlobalTensor<half> aGm, bGm;
  GlobalTensor<float> cGm;
  aGm.SetGlobalBuffer((__gm__ half*)a, m * k);
  bGm.SetGlobalBuffer((__gm__ half*)b, k * n);
  cGm.SetGlobalBuffer((__gm__ float*)c, m * n);
  mm.SetTensorA(aGm);
  mm.SetTensorB(bGm);
  while (mm.Iterate()) mm.GetTensorC(cGm);
  mm.End();
}

// int8_t to half with a scale per column, A transposed.
extern "C" __global__ __aicore__ void product_scaled(GM_ADDR a, GM_ADDR b, GM_ADDR scales,
                                                     GM_ADDR c, int32_t m, int32_t n, int32_t k) {
  using A = MatmulType<TPosition::GM, CubeFormat::ND, int8_t, true>;
  using B = MatmulType<TPosition::GM, CubeFormat::ND, int8_t>;
  using C = MatmulType<TPosition::GM, CubeFormat::ND, half>;
  using Bias = MatmulType<TPosition::GM, CubeFormat::ND, int32_t>;
  TPipe pipe;
  Matmul<A, B, C, Bias, CFG_MDL> mm;
  const TCubeTiling tiling = Whole(m, n, k);
  REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), mm, &tiling);
  if (GetBlockIdx() != 0) return;
  GlobalTensor<int8_t> aGm, bGm;
  GlobalTensor<uint64_t> scaleGm;
  GlobalTensor<half> cGm;
  aGm.SetGlobalBuffer((__gm__ int8_t*)a, m * k);
  bGm.SetGlobalBuffer((__gm__ int8_t*)b, k * n);
  scaleGm.SetGlobalBuffer((__gm__ uint64_t*)scales, n);
  cGm.SetGlobalBuffer((__gm__ half*)c, m * n);
  mm.SetTensorA(aGm, true);
  mm.SetTensorB(bGm);
  mm.SetQuantVector(scaleGm);
  mm.IterateAll(cGm);
  mm.End();
}

// Heads of [B, S, N, D] times heads of [B, S, N, D] transposed, as scores of attention.
extern "C" __global__ __aicore__ void product_heads(GM_ADDR q, GM_ADDR k, GM_ADDR c, int32_t batch,
                                                    int32_t rows, int32_t keys, int32_t heads,
                                                    int32_t depth) {
  using A = MatmulType<TPosition::GM, CubeFormat::ND, half, false, LayoutMode::BSNGD>;
  using B = MatmulType<TPosition::GM, CubeFormat::ND, half, true, LayoutMode::BSNGD>;
  using C = MatmulType<TPosition::GM, CubeFormat::ND, float, false, LayoutMode::BNGS1S2>;
  TPipe pipe;
  Matmul<A, B, C> mm;
  TCubeTiling tiling = Whole(rows, keys, depth);
  tiling.ALayoutInfoB = tiling.BLayoutInfoB = tiling.CLayoutInfoB = batch;
  tiling.ALayoutInfoS = tiling.CLayoutInfoS1 = rows;
  tiling.BLayoutInfoS = tiling.CLayoutInfoS2 = keys;
  tiling.ALayoutInfoN = tiling.BLayoutInfoN = tiling.CLayoutInfoN = heads;
  tiling.ALayoutInfoG = tiling.BLayoutInfoG = tiling.CLayoutInfoG = 1;
  tiling.ALayoutInfoD = tiling.BLayoutInfoD = depth;
  REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), mm, &tiling);
  if (GetBlockIdx() != 0) return;
  GlobalTensor<half> qGm, kGm;
  GlobalTensor<float> cGm;
  qGm.SetGlobalBuffer((__gm__ half*)q, batch * rows * heads * depth);
  kGm.SetGlobalBuffer((__gm__ half*)k, batch * keys * heads * depth);
  cGm.SetGlobalBuffer((__gm__ float*)c, batch * heads * rows * keys);
  mm.SetTensorA(qGm);
  mm.SetTensorB(kGm, true);
  mm.IterateBatch(cGm, batch * heads, batch * heads, false);
  mm.End();
}

// A is made by the vector unit and stays in the UB; C comes back there, and is stored.
extern "C" __global__ __aicore__ void product_of_ub(GM_ADDR a, GM_ADDR b, GM_ADDR c, int32_t m,
                                                    int32_t n, int32_t k) {
  using A = MatmulType<TPosition::VECOUT, CubeFormat::ND, half>;
  using B = MatmulType<TPosition::GM, CubeFormat::ND, half>;
  using C = MatmulType<TPosition::VECIN, CubeFormat::ND, float>;
  TPipe pipe;
  Matmul<A, B, C> mm;
  const TCubeTiling tiling = Whole(m, n, k);
  REGIST_MATMUL_OBJ(&pipe, GetSysWorkSpacePtr(), mm, &tiling);
  if (GetBlockIdx() != 0) return;
  GlobalTensor<half> aGm, bGm;
  GlobalTensor<float> cGm;
  aGm.SetGlobalBuffer((__gm__ half*)a, m * k);
  bGm.SetGlobalBuffer((__gm__ half*)b, k * n);
  cGm.SetGlobalBuffer((__gm__ float*)c, m * n);
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 1> doubled;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(in, 1, m * k * sizeof(half));
  pipe.InitBuffer(doubled, 1, m * k * sizeof(half));
  pipe.InitBuffer(out, 1, m * n * sizeof(float));
  LocalTensor<half> as = in.AllocTensor<half>();
  DataCopy(as, aGm, m * k);
  in.EnQue(as);
  as = in.DeQue<half>();
  LocalTensor<half> twice = doubled.AllocTensor<half>();
  Add(twice, as, as, m * k);
  in.FreeTensor(as);
  doubled.EnQue(twice);
  twice = doubled.DeQue<half>();
  LocalTensor<float> cs = out.AllocTensor<float>();
  mm.SetTensorA(twice);
  mm.SetTensorB(bGm);
  mm.IterateAll(cs);
  mm.End();
  doubled.FreeTensor(twice);
  out.EnQue(cs);
  cs = out.DeQue<float>();
  DataCopy(cGm, cs, m * n);
  out.FreeTensor(cs);
}
