// cc/kernels/lora/lora_expand.cpp: the second half of LoRA: what shrink made, times the B of each
// token's adapter, added to slices of y.
//
// y[t, o_s + i] += sum over r of h[s, t, r] * weights_s[index(t), i, r], where o_s is the place of
// slice s: the slices follow each other from `offset` on. Arithmetic is in float; one rounding, to
// nearest even, makes the result. Rows of tokens without an adapter are not touched when the kernel
// adds, and become 0 in the slices when it does not. The kernel traps at an index that is neither
// -1 nor an adapter.
//
// A piece of work is a batch of tokens and a tile of columns of a slice. Neighbouring tokens of one
// adapter share a load of its weights. A token's h is repeated until it fills the 64 lanes of an
// instruction, which so multiplies 64 / rank columns; the products of each 8 ranks are added by
// blocks, and sums of more by blocks or by pairs.
#include "cc/kernels/lora/lora_common.h"
#include "cc/kernels/lora/lora_expand_tiling.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace lora;

template <typename T>
class LoraExpand {
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

 public:
  __aicore__ inline LoraExpand(TPipe* pipe, GM_ADDR h, GM_ADDR weights0, GM_ADDR weights1,
                               GM_ADDR weights2, GM_ADDR indices, GM_ADDR y,
                               const LoraExpandTiling& tiling)
      : tiling_(tiling) {
    const GM_ADDR slices[3] = {weights0, weights1, weights2};
    int64_t columns = tiling.offset;
    for (int64_t s = 0; s < tiling.slices; ++s) {
      weights_gm_[s].SetGlobalBuffer((__gm__ Storage*)slices[s],
                                     tiling.adapters * tiling.widths[s] * tiling.rank);
      columns += tiling.widths[s];
    }
    h_gm_.SetGlobalBuffer((__gm__ float*)h, tiling.slices * tiling.tokens * tiling.rank);
    y_gm_.SetGlobalBuffer((__gm__ Storage*)y, (tiling.tokens - 1) * tiling.row_elements + columns);
    const LoraExpandBuffers bytes = LoraExpandBuffersOf(tiling, sizeof(T));
    // mutant: argument off by one of `tiling.tokens` equivalent: Nothing accesses the tensor there.
    adapters_.Init(pipe, indices, tiling.tokens, tiling.index_bytes, tiling.adapters,
                   bytes.indices);
    weights_.Init(pipe, bytes.weights, bytes.wide_weights);
    y_.Init(pipe, bytes.y, bytes.wide_y);
    pipe->InitBuffer(h_, 2, (uint32_t)bytes.h);
    pipe->InitBuffer(out_, 2, (uint32_t)bytes.out);
    pipe->InitBuffer(repeated_, (uint32_t)bytes.repeated);
    pipe->InitBuffer(products_, (uint32_t)bytes.products);
    pipe->InitBuffer(sums_, (uint32_t)bytes.sums);
  }

  __aicore__ inline void Run() {
    const int64_t batches = Ceil(tiling_.tokens, tiling_.token_batch);
    const auto [begin, end] = ShareOf(tiling_.tiles * batches);
    for (int64_t work = begin; work < end; ++work) {
      int64_t tile = work / batches;
      int64_t slice = 0;
      int64_t column = tiling_.offset;
      for (; tile >= Ceil(tiling_.widths[slice], tiling_.tile); ++slice) {
        tile -= Ceil(tiling_.widths[slice], tiling_.tile);
        column += tiling_.widths[slice];
      }
      Work(slice, column, tile * tiling_.tile, work % batches * tiling_.token_batch);
    }
  }

 private:
  // Columns [at, at + tile) of a slice that begins at `column`, or what is left of it.
  __aicore__ inline void Work(int64_t slice, int64_t column, int64_t at, int64_t first) {
    const int64_t tokens = Min(tiling_.token_batch, tiling_.tokens - first);
    columns_ = Min(tiling_.tile, tiling_.widths[slice] - at);
    adapters_.Load(first, tokens);
    LocalTensor<float> h;
    bool has_h = false;
    for (int64_t t = 0; t < tokens;) {
      const int64_t run = adapters_.EndOfRun(t, tokens);
      const int64_t adapter = adapters_[t];
      if (adapter >= 0) {
        if (!has_h) h = LoadH(slice, first, tokens);
        has_h = true;
        const int64_t row = adapter * tiling_.widths[slice] + at;
        const int64_t elements = columns_ * tiling_.rank;
        const LocalTensor<float> weights =
            weights_.Load(weights_gm_[slice][row * tiling_.rank], 1, elements, elements);
        for (int64_t u = t; u < run; ++u) {
          const LocalTensor<float> sums =
              Products(weights, h[(uint32_t)(u * LoraExpandPitch(tiling_))]);
          Finish(sums, (first + u) * tiling_.row_elements + column + at);
        }
      } else if (tiling_.adds == 0) {
        for (int64_t u = t; u < run; ++u) {
          Clear((first + u) * tiling_.row_elements + column + at);
        }
      }
      t = run;
    }
    weights_.Release();
  }

  // The h of the batch's tokens, each repeated until it fills the lanes.
  __aicore__ inline LocalTensor<float> LoadH(int64_t slice, int64_t first, int64_t tokens) {
    LocalTensor<float> in = h_.AllocTensor<float>();
    DataCopyPad(in, h_gm_[(slice * tiling_.tokens + first) * tiling_.rank],
                OneRow(tokens * tiling_.rank * 4), NoPad<float>());
    h_.EnQue(in);
    in = h_.DeQue<float>();
    const LocalTensor<float> repeated = repeated_.Get<float>()[(uint32_t)kLead];
    const int64_t pitch = LoraExpandPitch(tiling_);
    const int64_t lanes = Min(tiling_.rank, kLanes);
    const bool is_wide = tiling_.rank > kLanes;
    const uint8_t step = (uint8_t)(lanes / kBlockFloats);
    Step();  // nothing multiplies with the former ones any more
    for (int64_t t = 0; t < tokens; ++t) {
      Adds(repeated[(uint32_t)(t * pitch)], in[(uint32_t)(t * tiling_.rank)], 0.0f, (uint64_t)lanes,
           (uint8_t)(pitch / lanes), UnaryRepeatParams(1, 1, step, is_wide ? step : (uint8_t)0));
    }
    Step();
    h_.FreeTensor(in);
    return repeated;
  }

  // For each column, the sum over the ranks of weights * h.
  __aicore__ inline LocalTensor<float> Products(const LocalTensor<float>& weights,
                                                const LocalTensor<float>& h) {
    const LocalTensor<float> products = products_.Get<float>();
    int64_t count = columns_ * tiling_.rank;
    const int64_t pitch = LoraExpandPitch(tiling_);
    Step();  // the sums of the former token have become its result
    const uint8_t stride = (uint8_t)(pitch / kBlockFloats);
    for (int64_t lane = 0; lane < pitch; lane += kLanes) {
      for (int64_t at = 0; at < count;) {
        const int64_t repeats = Min((count - at) / pitch, kMaxRepeat);
        // The last columns may be fewer than fill the lanes.
        const int64_t mask = repeats > 0 ? kLanes : count - at;
        const LocalTensor<float> to = products[(uint32_t)(at + lane)];
        Mul(to, weights[(uint32_t)(at + lane)], h[(uint32_t)lane], (uint64_t)mask,
            (uint8_t)(repeats > 0 ? repeats : 1), BinaryRepeatParams(1, 1, 1, stride, stride, 0));
        at += repeats > 0 ? repeats * pitch : mask;
      }
    }
    LocalTensor<float> from = products;
    LocalTensor<float> to = sums_.Get<float>();
    for (int64_t left = tiling_.rank; left > 1;) {
      const int64_t by = left % kBlockFloats == 0 ? kBlockFloats : 2;
      Step();
      Fold(to, from, count, by);
      count /= by;
      left /= by;
      const LocalTensor<float> last = from;
      from = to;
      to = last;
    }
    Step();
    return from;
  }

  // Sums of each `by` neighbours, 8 or 2.
  __aicore__ inline void Fold(const LocalTensor<float>& to, const LocalTensor<float>& from,
                              int64_t count, int64_t by) {
    for (int64_t at = 0; at < count;) {
      const int64_t repeats = Min((count - at) / kLanes, kMaxRepeat);
      const int32_t mask = (int32_t)(repeats > 0 ? kLanes : count - at);
      const int32_t times = (int32_t)(repeats > 0 ? repeats : 1);
      if (by == 2) {
        PairReduceSum(to[(uint32_t)(at / 2)], from[(uint32_t)at], times, mask, 1, 1, 8);
      } else {
        BlockReduceSum(to[(uint32_t)(at / kBlockFloats)], from[(uint32_t)at], times, mask, 1, 1, 8);
      }
      at += repeats > 0 ? repeats * kLanes : mask;
    }
  }

  // Adds to columns of y, or replaces them.
  __aicore__ inline void Finish(const LocalTensor<float>& sums, int64_t place) {
    LocalTensor<float> y = sums;
    if (tiling_.adds != 0) {
      // mutant: argument off by one of `columns_` equivalent: One row is copied: strides are not
      // used.
      y = y_.Load(y_gm_[place], 1, columns_, columns_);
      Add(sums, sums, y, (int32_t)columns_);
      Step();
      y_.Release();
    }
    LocalTensor<T> out = out_.template AllocTensor<T>();
    if constexpr (kIsFloat) {
      Adds(out, sums, 0.0f, (int32_t)columns_);
    } else {
      Cast(out, sums, RoundMode::CAST_RINT, (uint32_t)columns_);
    }
    Put(out, place);
  }

  __aicore__ inline void Clear(int64_t place) {
    LocalTensor<T> out = out_.template AllocTensor<T>();
    Duplicate(out.template ReinterpretCast<Storage>(), (Storage)0, (int32_t)columns_);
    Put(out, place);
  }

  __aicore__ inline void Put(LocalTensor<T>& out, int64_t place) {
    out_.EnQue(out);
    out = out_.template DeQue<T>();
    DataCopyPad(y_gm_[place], out.template ReinterpretCast<Storage>(),
                OneRow(columns_ * (int64_t)sizeof(T)));
    out_.FreeTensor(out);
  }

  const LoraExpandTiling& tiling_;
  int64_t columns_ = 0;  // of the piece of work
  GlobalTensor<float> h_gm_;
  GlobalTensor<Storage> y_gm_;
  GlobalTensor<Storage> weights_gm_[3];
  Adapters adapters_;
  Rows<T> weights_, y_;
  TQue<TPosition::VECIN, 2> h_;
  TQue<TPosition::VECOUT, 2> out_;
  TBuf<> repeated_, products_, sums_;
};

template <typename T>
__aicore__ inline void Run(GM_ADDR h, GM_ADDR weights0, GM_ADDR weights1, GM_ADDR weights2,
                           GM_ADDR indices, GM_ADDR y, const LoraExpandTiling& tiling) {
  TPipe pipe;
  LoraExpand<T> kernel(&pipe, h, weights0, weights1, weights2, indices, y, tiling);
  kernel.Run();
}

}  // namespace

extern "C" __global__ __aicore__ void lora_expand_half(GM_ADDR h, GM_ADDR weights0,
                                                       GM_ADDR weights1, GM_ADDR weights2,
                                                       GM_ADDR indices, GM_ADDR y,
                                                       LoraExpandTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<half>(h, weights0, weights1, weights2, indices, y, tiling);
}

extern "C" __global__ __aicore__ void lora_expand_bfloat16(GM_ADDR h, GM_ADDR weights0,
                                                           GM_ADDR weights1, GM_ADDR weights2,
                                                           GM_ADDR indices, GM_ADDR y,
                                                           LoraExpandTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<bfloat16_t>(h, weights0, weights1, weights2, indices, y, tiling);
}

extern "C" __global__ __aicore__ void lora_expand_float(GM_ADDR h, GM_ADDR weights0,
                                                        GM_ADDR weights1, GM_ADDR weights2,
                                                        GM_ADDR indices, GM_ADDR y,
                                                        LoraExpandTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<float>(h, weights0, weights1, weights2, indices, y, tiling);
}
