// tests/softnpu/corpus/pointers.cpp: GM through pointers and lists.
#include "kernel_operator.h"
#include "kernel_operator_list_tensor_intf.h"

struct Params {
  uint32_t rows;
  uint32_t columns;
  float alpha[4];
  int64_t strides[2];
};

// Words of a struct, copied one by one.
__aicore__ inline void CopyTiling(Params* to, GM_ADDR from) {
  uint32_t* words = reinterpret_cast<uint32_t*>(to);
  auto source = reinterpret_cast<__gm__ uint32_t*>(from);
  for (uint32_t i = 0; i < sizeof(Params) / sizeof(uint32_t); ++i, ++words) {
    *words = *(source + i);
  }
}

extern "C" __global__ __aicore__ void scale_by_struct(GM_ADDR x, GM_ADDR y, GM_ADDR tiling) {
  Params params;
  CopyTiling(&params, tiling);
  AscendC::GlobalTensor<float> xGm, yGm;
  xGm.SetGlobalBuffer((__gm__ float*)x);
  yGm.SetGlobalBuffer((__gm__ float*)y);
  AscendC::TPipe pipe;
  AscendC::TQueBind<AscendC::TPosition::VECIN, AscendC::TPosition::VECOUT, 1> queue;
  pipe.InitBuffer(queue, 1, params.columns * sizeof(float));
  for (uint32_t r = 0; r < params.rows; ++r) {
    auto row = queue.AllocTensor<float>();
    AscendC::DataCopy(row, xGm[r * params.strides[0]], params.columns);
    queue.EnQue<AscendC::TPosition::GM, AscendC::TPosition::VECIN, float>(row);
    row = queue.DeQue<AscendC::TPosition::GM, AscendC::TPosition::VECIN, float>();
    AscendC::Muls(row, row, params.alpha[r % 4], params.columns);
    queue.EnQue<AscendC::TPosition::VECOUT, AscendC::TPosition::GM, float>(row);
    row = queue.DeQue<AscendC::TPosition::VECOUT, AscendC::TPosition::GM, float>();
    AscendC::DataCopy(yGm[r * params.strides[1]], row, params.columns);
    queue.FreeTensor(row);
  }
}

// A loop over a raw pointer, element by element.
extern "C" __global__ __aicore__ void running_max(__gm__ int32_t* x, __gm__ int32_t* __restrict__ y,
                                                  int32_t count) {
  int32_t best = INT32_MIN;
  for (int32_t i = 0; i < count; ++i) {
    best = x[i] > best ? x[i] : best;
    y[i] = best;
  }
}

// Each tensor of a list plus a number.
extern "C" __global__ __aicore__ void add_to_each(GM_ADDR list, float value, uint32_t count) {
  AscendC::ListTensorDesc tensors(reinterpret_cast<__gm__ void*>(list));
  AscendC::TPipe pipe;
  AscendC::TBuf<> buffer;
  pipe.InitBuffer(buffer, 4096);
  uint64_t shape[8];
  AscendC::TensorDesc<float> desc;
  desc.SetShapeAddr(shape);
  for (uint32_t i = 0; i < count; ++i) {
    tensors.GetDesc(desc, i);
    uint32_t size = 1;
    for (uint32_t d = 0; d < desc.GetDim(); ++d) size *= desc.GetShape(d);
    AscendC::GlobalTensor<float> gm;
    gm.SetGlobalBuffer(tensors.GetDataPtr<float>(i), size);
    auto local = buffer.Get<float>();
    AscendC::PipeBarrier<PIPE_ALL>();
    AscendC::DataCopy(local, gm, size);
    AscendC::PipeBarrier<PIPE_ALL>();
    AscendC::Adds(local, local, value, size);
    AscendC::PipeBarrier<PIPE_ALL>();
    AscendC::DataCopy(gm, local, size);
  }
}
