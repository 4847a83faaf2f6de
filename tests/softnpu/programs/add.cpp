// tests/softnpu/programs/add.cpp: z = x + y in tiles, launched by the function behind the kernel.
#include "kernel_operator.h"

constexpr int32_t kTile = 128;

class KernelAdd {
 public:
  __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t total) {
    block_ = total / AscendC::GetBlockNum();
    x_.SetGlobalBuffer((__gm__ half*)x + block_ * AscendC::GetBlockIdx(), block_);
    y_.SetGlobalBuffer((__gm__ half*)y + block_ * AscendC::GetBlockIdx(), block_);
    z_.SetGlobalBuffer((__gm__ half*)z + block_ * AscendC::GetBlockIdx(), block_);
    pipe_.InitBuffer(in_x_, 2, kTile * sizeof(half));
    pipe_.InitBuffer(in_y_, 2, kTile * sizeof(half));
    pipe_.InitBuffer(out_, 2, kTile * sizeof(half));
  }
  __aicore__ inline void Process() {
    for (uint32_t at = 0; at < block_; at += kTile) {
      AscendC::LocalTensor<half> x = in_x_.AllocTensor<half>(), y = in_y_.AllocTensor<half>();
      AscendC::DataCopy(x, x_[at], kTile);
      AscendC::DataCopy(y, y_[at], kTile);
      in_x_.EnQue(x);
      in_y_.EnQue(y);
      x = in_x_.DeQue<half>();
      y = in_y_.DeQue<half>();
      AscendC::LocalTensor<half> z = out_.AllocTensor<half>();
      AscendC::Add(z, x, y, kTile);
      out_.EnQue(z);
      in_x_.FreeTensor(x);
      in_y_.FreeTensor(y);
      z = out_.DeQue<half>();
      AscendC::DataCopy(z_[at], z, kTile);
      out_.FreeTensor(z);
    }
  }

 private:
  AscendC::TPipe pipe_;
  AscendC::TQue<AscendC::QuePosition::VECIN, 2> in_x_, in_y_;
  AscendC::TQue<AscendC::QuePosition::VECOUT, 2> out_;
  AscendC::GlobalTensor<half> x_, y_, z_;
  uint32_t block_;
};

extern "C" __global__ __aicore__ void add(GM_ADDR x, GM_ADDR y, GM_ADDR z, uint32_t total) {
  KernelAdd op;
  op.Init(x, y, z, total);
  op.Process();
}

#ifndef ASCENDC_CPU_DEBUG
void add_do(uint32_t blocks, void* stream, uint8_t* x, uint8_t* y, uint8_t* z, uint32_t total) {
  add<<<blocks, nullptr, stream>>>(x, y, z, total);
}
#endif
