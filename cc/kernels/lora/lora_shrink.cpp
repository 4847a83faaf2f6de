// cc/kernels/lora/lora_shrink.cpp: the first half of LoRA: rows times the A of each row's adapter.
//
// out[s, t, r] = scale * sum over i of x[t, i] * weights_s[index(t), r, i], in float; 0 for a token
// without an adapter. The kernel traps at an index that is neither -1 nor an adapter.
//
// A piece of work is a batch of tokens and a group of ranks of a slice. Rows are loaded part by
// part. Neighbouring tokens of one adapter share a load of its weights. One instruction multiplies
// 64 elements of a token with those of all ranks of the group, and adds them to 64 partial sums of
// each rank; each rank's are added up at the end.
#include "cc/kernels/lora/lora_common.h"
#include "cc/kernels/lora/lora_shrink_tiling.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace lora;

template <typename T>
class LoraShrink {
  using Storage = typename StorageOf<T>::Type;

 public:
  __aicore__ inline LoraShrink(TPipe* pipe, GM_ADDR x, GM_ADDR weights0, GM_ADDR weights1,
                               GM_ADDR weights2, GM_ADDR indices, GM_ADDR out,
                               const LoraShrinkTiling& tiling)
      : tiling_(tiling), scale_(FloatOf(tiling.scale_bits)) {
    const int64_t weights = tiling.adapters * tiling.rank * tiling.in_size;
    const GM_ADDR slices[3] = {weights0, weights1, weights2};
    for (int64_t s = 0; s < tiling.slices; ++s) {
      weights_gm_[s].SetGlobalBuffer((__gm__ Storage*)slices[s], weights);
    }
    x_gm_.SetGlobalBuffer((__gm__ Storage*)x, tiling.tokens * tiling.in_size);
    out_gm_.SetGlobalBuffer((__gm__ float*)out, tiling.slices * tiling.tokens * tiling.rank);
    const LoraShrinkBuffers bytes = LoraShrinkBuffersOf(tiling, sizeof(T));
    adapters_.Init(pipe, indices, tiling.tokens, tiling.index_bytes, tiling.adapters,
                   bytes.indices);
    x_.Init(pipe, bytes.x, bytes.wide_x);
    weights_.Init(pipe, bytes.weights, bytes.wide_weights);
    pipe->InitBuffer(out_, 2, (uint32_t)bytes.out);
    pipe->InitBuffer(sums_, (uint32_t)bytes.sums);
  }

  __aicore__ inline void Run() {
    const int64_t batches = Ceil(tiling_.tokens, tiling_.token_batch);
    const int64_t groups = Ceil(tiling_.rank, tiling_.group);
    const auto [begin, end] = ShareOf(tiling_.slices * batches * groups);
    for (int64_t work = begin; work < end; ++work) {
      const int64_t first = work % batches * tiling_.token_batch;
      const int64_t rank = work / batches % groups * tiling_.group;
      Work(work / batches / groups, first, rank);
    }
  }

 private:
  __aicore__ inline void Work(int64_t slice, int64_t first, int64_t rank) {
    tokens_ = Min(tiling_.token_batch, tiling_.tokens - first);
    ranks_ = Min(tiling_.group, tiling_.rank - rank);
    adapters_.Load(first, tokens_);
    const LocalTensor<float> sums = sums_.Get<float>();
    Step();  // the sums of the former work have been added up
    Duplicate(sums, 0.0f, (int32_t)(tokens_ * ranks_ * kLanes));
    Step();
    for (int64_t at = 0; at < tiling_.in_size; at += tiling_.part_elements) {
      Part(sums, slice, first, rank, at);
    }
    weights_.Release();
    x_.Release();
    Store(sums, slice, first, rank);
  }

  // Elements [at, at + part_elements) of the rows, or what is left of them.
  __aicore__ inline void Part(const LocalTensor<float>& sums, int64_t slice, int64_t first,
                              int64_t rank, int64_t at) {
    const int64_t length = Min(tiling_.part_elements, tiling_.in_size - at);
    const int64_t pitch = Rows<T>::Pitch(length);
    LocalTensor<float> x;
    bool has_x = false;
    for (int64_t t = 0; t < tokens_;) {
      const int64_t run = adapters_.EndOfRun(t, tokens_);
      const int64_t adapter = adapters_[t];
      if (adapter >= 0) {
        if (!has_x)
          x = x_.Load(x_gm_[first * tiling_.in_size + at], tokens_, length, tiling_.in_size);
        has_x = true;
        const int64_t row = adapter * tiling_.rank + rank;
        const LocalTensor<float> weights = weights_.Load(
            weights_gm_[slice][row * tiling_.in_size + at], ranks_, length, tiling_.in_size);
        for (int64_t i = 0; i < length; i += kLanes) {
          for (int64_t u = t; u < run; ++u) {
            MulAddDst(sums[(uint32_t)(u * ranks_ * kLanes)], weights[(uint32_t)i],
                      x[(uint32_t)(u * pitch + i)], (uint64_t)Min(kLanes, length - i),
                      (uint8_t)ranks_,
                      BinaryRepeatParams(1, 1, 1, 8, (uint8_t)(pitch / kBlockFloats), 0));
          }
          Step();
        }
      }
      t = run;
    }
  }

  __aicore__ inline void Store(const LocalTensor<float>& sums, int64_t slice, int64_t first,
                               int64_t rank) {
    const int64_t pitch = RoundUp(ranks_, kBlockFloats);
    LocalTensor<float> out = out_.AllocTensor<float>();
    for (int64_t t = 0; t < tokens_; ++t) {
      WholeReduceSum(out[(uint32_t)(t * pitch)], sums[(uint32_t)(t * ranks_ * kLanes)],
                     (int32_t)kLanes, (int32_t)ranks_, 1, 1, 8);
    }
    Step();
    for (int64_t t = 0; t < tokens_; ++t) {
      const LocalTensor<float> row = out[(uint32_t)(t * pitch)];
      Muls(row, row, scale_, (int32_t)ranks_);
    }
    out_.EnQue(out);
    out = out_.DeQue<float>();
    const int64_t place = (slice * tiling_.tokens + first) * tiling_.rank + rank;
    DataCopyPad(out_gm_[place], out,
                DataCopyExtParams((uint16_t)tokens_, (uint32_t)(ranks_ * 4), 0,
                                  (uint32_t)((tiling_.rank - ranks_) * 4), 0));
    out_.FreeTensor(out);
  }

  const LoraShrinkTiling& tiling_;
  const float scale_;
  int64_t tokens_ = 0;  // of the piece of work
  int64_t ranks_ = 0;
  GlobalTensor<Storage> x_gm_;
  GlobalTensor<Storage> weights_gm_[3];
  GlobalTensor<float> out_gm_;
  Adapters adapters_;
  Rows<T, kLead> x_;
  Rows<T> weights_;
  TQue<TPosition::VECOUT, 2> out_;
  TBuf<> sums_;
};

template <typename T>
__aicore__ inline void Run(GM_ADDR x, GM_ADDR weights0, GM_ADDR weights1, GM_ADDR weights2,
                           GM_ADDR indices, GM_ADDR out, const LoraShrinkTiling& tiling) {
  TPipe pipe;
  LoraShrink<T> kernel(&pipe, x, weights0, weights1, weights2, indices, out, tiling);
  kernel.Run();
}

}  // namespace

extern "C" __global__ __aicore__ void lora_shrink_half(GM_ADDR x, GM_ADDR weights0,
                                                       GM_ADDR weights1, GM_ADDR weights2,
                                                       GM_ADDR indices, GM_ADDR out,
                                                       LoraShrinkTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<half>(x, weights0, weights1, weights2, indices, out, tiling);
}

extern "C" __global__ __aicore__ void lora_shrink_bfloat16(GM_ADDR x, GM_ADDR weights0,
                                                           GM_ADDR weights1, GM_ADDR weights2,
                                                           GM_ADDR indices, GM_ADDR out,
                                                           LoraShrinkTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<bfloat16_t>(x, weights0, weights1, weights2, indices, out, tiling);
}

extern "C" __global__ __aicore__ void lora_shrink_float(GM_ADDR x, GM_ADDR weights0,
                                                        GM_ADDR weights1, GM_ADDR weights2,
                                                        GM_ADDR indices, GM_ADDR out,
                                                        LoraShrinkTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<float>(x, weights0, weights1, weights2, indices, out, tiling);
}
