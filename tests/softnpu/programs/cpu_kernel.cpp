// tests/softnpu/programs/cpu_kernel.cpp: the kernel of cpu_main.cpp; the tiling key says the sign.
#include "kernel_operator.h"

extern "C" __global__ __aicore__ void scale(GM_ADDR x, GM_ADDR y, uint32_t count, float by) {
  const uint32_t part = count / AscendC::GetBlockNum();
  const uint32_t first = part * AscendC::GetBlockIdx();
  AscendC::GlobalTensor<float> from, to;
  from.SetGlobalBuffer((__gm__ float*)x + first, part);
  to.SetGlobalBuffer((__gm__ float*)y + first, part);
  AscendC::TPipe pipe;
  AscendC::TQue<AscendC::TPosition::VECIN, 1> in;
  AscendC::TQue<AscendC::TPosition::VECOUT, 1> out;
  pipe.InitBuffer(in, 1, part * sizeof(float));
  pipe.InitBuffer(out, 1, part * sizeof(float));
  auto a = in.AllocTensor<float>();
  AscendC::DataCopy(a, from, part);
  in.EnQue(a);
  a = in.DeQue<float>();
  auto b = out.AllocTensor<float>();
  if (TILING_KEY_IS(1)) AscendC::Muls(b, a, by, part);
  if (TILING_KEY_IS(2)) AscendC::Muls(b, a, -by, part);
  in.FreeTensor(a);
  out.EnQue(b);
  b = out.DeQue<float>();
  AscendC::DataCopy(to, b, part);
  out.FreeTensor(b);
}
