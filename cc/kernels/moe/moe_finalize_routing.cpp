// cc/kernels/moe/moe_finalize_routing.cpp: adds up the rows of each token: for
// moe_finalize_routing and moe_token_unpermute.
//
// out[t] = skip1[t] + skip2[t] + sum over j of scale[t, j] * (rows[index(t, j)] + bias[expert[t,
// j]]) in this order, so results do not depend on anything else. An index that is negative or not
// below the number of rows adds nothing, its bias neither. An expert out of range has no bias.
// Arithmetic is in float; one rounding, to nearest even, makes the result.
//
// A piece of work is a part of a token's row. Its terms are loaded some at a time into one buffer,
// the biases behind them, widened by one instruction and added one by one.
#include "cc/kernels/device.h"
#include "cc/kernels/moe/moe_common.h"
#include "cc/kernels/moe/moe_finalize_routing_tiling.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace moe;

constexpr int64_t kHalfType = 1;

template <typename T>
class MoeFinalizeRouting {
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

 public:
  __aicore__ inline MoeFinalizeRouting(TPipe* pipe, GM_ADDR rows, GM_ADDR skip1, GM_ADDR skip2,
                                       GM_ADDR bias, GM_ADDR scales, GM_ADDR indices,
                                       GM_ADDR experts, GM_ADDR out,
                                       const MoeFinalizeRoutingTiling& tiling)
      : tiling_(tiling) {
    const int64_t elements = tiling.tokens * tiling.row_elements;
    const int64_t assignments = tiling.tokens * tiling.k;
    rows_gm_.SetGlobalBuffer((__gm__ Storage*)rows, tiling.rows * tiling.row_elements);
    out_gm_.SetGlobalBuffer((__gm__ Storage*)out, elements);
    index_gm_.SetGlobalBuffer((__gm__ int32_t*)indices, assignments);
    // mutant: drop bound, bound off by one equivalent: Nothing accesses this tensor: its address
    // is not used.
    if (tiling.skips > 0) skip_gm_[0].SetGlobalBuffer((__gm__ Storage*)skip1, elements);
    // mutant: drop bound, bound off by one equivalent: Nothing accesses this tensor: its address
    // is not used.
    if (tiling.skips > 1) skip_gm_[1].SetGlobalBuffer((__gm__ Storage*)skip2, elements);
    const MoeFinalizeRoutingBuffers bytes = MoeFinalizeRoutingBuffersOf(tiling, sizeof(T));
    pipe->InitBuffer(in_, 2, (uint32_t)bytes.rows);
    pipe->InitBuffer(out_, 2, (uint32_t)bytes.out);
    pipe->InitBuffer(index_buffer_, (uint32_t)bytes.indices);
    if (tiling.bias_rows > 0) {
      bias_gm_.SetGlobalBuffer((__gm__ Storage*)bias, tiling.bias_rows * tiling.row_elements);
      expert_gm_.SetGlobalBuffer((__gm__ int32_t*)experts, assignments);
      pipe->InitBuffer(expert_buffer_, (uint32_t)bytes.experts);
    }
    if (tiling.scale_type >= 0) {
      const int64_t narrow = tiling.scale_type == 0 ? 1 : 2;
      scale_gm_.SetGlobalBuffer((__gm__ uint16_t*)scales, assignments * 2 / narrow);
      pipe->InitBuffer(scale_buffer_, (uint32_t)bytes.scales);
      if (narrow > 1) pipe->InitBuffer(narrow_buffer_, (uint32_t)bytes.narrow_scales);
    }
    if constexpr (!kIsFloat) {
      pipe->InitBuffer(wide_buffer_, (uint32_t)bytes.wide);
      pipe->InitBuffer(sum_buffer_, (uint32_t)bytes.sum);
    }
  }

  __aicore__ inline void Run() {
    const Share share = ShareOf(tiling_.tokens * tiling_.parts);
    int64_t loaded = 0;  // tokens whose indices are there end here
    for (int64_t work = share.begin; work < share.end; ++work) {
      const int64_t token = work / tiling_.parts;
      // mutant: drop bound equivalent: Same result by more instructions.
      if (token >= loaded) {
        const int64_t last = Ceil(share.end, tiling_.parts);
        loaded = Min(token + tiling_.token_batch, last);
        LoadIndices(token, loaded - token);
      }
      Part(token, work % tiling_.parts * tiling_.part_elements);
    }
  }

 private:
  // Words of [tokens, k] as they lie.
  __aicore__ inline void LoadWords(const LocalTensor<int32_t>& words,
                                   const GlobalTensor<int32_t>& from, int64_t token,
                                   int64_t tokens) {
    DataCopyPad(words, from[token * tiling_.k], OneRow(tokens * tiling_.k * 4), NoPad<int32_t>());
  }

  __aicore__ inline void LoadIndices(int64_t token, int64_t tokens) {
    first_ = token;
    // What is overwritten now was read by the scalar and the vector unit.
    Order<HardEvent::S_MTE2>();
    Order<HardEvent::V_MTE2>();
    const LocalTensor<int32_t> index = index_buffer_.Get<int32_t>();
    if (tiling_.by_column) {
      pitch_ = RoundUp(tokens, kBlockFloats);
      const int64_t gap = (tiling_.tokens - tokens) * 4;
      DataCopyPad(
          index, index_gm_[token],
          DataCopyExtParams((uint16_t)tiling_.k, (uint32_t)(tokens * 4), (uint32_t)gap, 0, 0),
          NoPad<int32_t>());
    } else {
      LoadWords(index, index_gm_, token, tokens);
    }
    if (tiling_.bias_rows > 0) {
      LoadWords(expert_buffer_.Get<int32_t>(), expert_gm_, token, tokens);
    }
    if (tiling_.scale_type >= 0) LoadScales(token, tokens);
    Order<HardEvent::MTE2_S>();
  }

  __aicore__ inline void LoadScales(int64_t token, int64_t tokens) {
    const int64_t halves = tiling_.scale_type == 0 ? 2 : 1;
    const int64_t count = tokens * tiling_.k;
    const LocalTensor<uint16_t> loaded =
        tiling_.scale_type == 0 ? scale_buffer_.Get<uint16_t>() : narrow_buffer_.Get<uint16_t>();
    DataCopyPad(loaded, scale_gm_[token * tiling_.k * halves], OneRow(count * halves * 2),
                NoPad<uint16_t>());
    if (tiling_.scale_type == 0) return;
    const LocalTensor<float> scale = scale_buffer_.Get<float>();
    Order<HardEvent::S_V>();
    Order<HardEvent::MTE2_V>();
    if (tiling_.scale_type == kHalfType) {
      Cast(scale, loaded.ReinterpretCast<half>(), RoundMode::CAST_NONE, (uint32_t)count);
    } else {
      // mutant: argument off by one of `(uint32_t)count` equivalent: Nothing reads the extra
      // elements.
      Cast(scale, loaded.ReinterpretCast<bfloat16_t>(), RoundMode::CAST_NONE, (uint32_t)count);
    }
    Order<HardEvent::V_S>();
  }

  // The row of (token, j); -1: none.
  __aicore__ inline int64_t RowOf(int64_t token, int64_t j) {
    const int64_t at =
        tiling_.by_column ? j * pitch_ + token - first_ : (token - first_) * tiling_.k + j;
    const int64_t row = index_buffer_.Get<int32_t>().GetValue((uint32_t)at);
    // mutant: drop condition equivalent: Callers treat every negative index alike.
    return row < tiling_.rows && row >= 0 ? row : -1;
  }

  __aicore__ inline float ScaleOf(int64_t token, int64_t j) {
    if (tiling_.scale_type < 0) return 1.0f;
    const int64_t at = (token - first_) * tiling_.k + j;
    return scale_buffer_.Get<float>().GetValue((uint32_t)at);
  }

  // Elements [at, at + part_elements) of a token's row, or what is left of it.
  __aicore__ inline void Part(int64_t token, int64_t at) {
    at_ = at;
    length_ = Min(tiling_.part_elements, tiling_.row_elements - at);
    pitch_of_part_ = RoundUp(length_, kBlockBytes / (int64_t)sizeof(T));
    LocalTensor<T> out = out_.template AllocTensor<T>();
    LocalTensor<float> sum;
    if constexpr (kIsFloat) {
      sum = out;
    } else {
      sum = sum_buffer_.Get<float>();
    }
    bool is_first = true;
    PipeBarrier<PIPE_V>();
    // mutant: drop bound, bound off by one equivalent: The extra iteration has no elements.
    if (tiling_.skips > 0) {
      LocalTensor<T> in = in_.template AllocTensor<T>();
      int64_t terms = 0;
      for (; terms < tiling_.skips && terms < tiling_.slots; ++terms) {
        LoadSlot(in, terms, skip_gm_[terms], token);
      }
      const LocalTensor<float> wide = Widen(in, terms);
      for (int64_t i = 0; i < terms; ++i) AddTerm(sum, wide, i, 1.0f, is_first);
      Done(in);
      if (terms < tiling_.skips) {
        in = in_.template AllocTensor<T>();
        LoadSlot(in, 0, skip_gm_[1], token);
        AddTerm(sum, Widen(in, 1), 0, 1.0f, is_first);
        Done(in);
      }
    }
    for (int64_t j = 0; j < tiling_.k;) j = AddRows(sum, token, j, is_first);
    if (is_first) {
      Duplicate(sum, 0.0f, (int32_t)length_);
      PipeBarrier<PIPE_V>();
    }
    if constexpr (!kIsFloat) Cast(out, sum, RoundMode::CAST_RINT, (uint32_t)length_);
    out_.EnQue(out);
    out = out_.template DeQue<T>();
    DataCopyPad(out_gm_[token * tiling_.row_elements + at], out.template ReinterpretCast<Storage>(),
                OneRow(length_ * (int64_t)sizeof(T)));
    out_.FreeTensor(out);
  }

  // Adds the next terms from j on, as many as there are slots; gives the j behind them.
  __aicore__ inline int64_t AddRows(const LocalTensor<float>& sum, int64_t token, int64_t j,
                                    bool& is_first) {
    const int64_t begin = j;
    int64_t terms = 0;
    while (j < tiling_.k && RowOf(token, j) < 0) ++j;
    // mutant: drop guard equivalent: The extra iteration has no elements.
    if (j == tiling_.k) return j;
    const bool has_bias = tiling_.bias_rows > 0;
    LocalTensor<T> in = in_.template AllocTensor<T>();
    for (j = begin; j < tiling_.k && terms < tiling_.slots; ++j) {
      const int64_t row = RowOf(token, j);
      if (row < 0) continue;
      LoadSlot(in, terms, rows_gm_, row);
      ++terms;
    }
    int64_t biases = 0;
    if (has_bias) {
      for (int64_t i = begin; i < j; ++i) {
        if (RowOf(token, i) < 0) continue;
        const int64_t expert = ExpertOf(token, i);
        // Some row has to be there, it is not added.
        LoadSlot(in, terms + biases, bias_gm_, expert < 0 ? 0 : expert);
        ++biases;
      }
    }
    const LocalTensor<float> wide = Widen(in, terms + biases);
    int64_t term = 0;
    for (int64_t i = begin; i < j; ++i) {
      if (RowOf(token, i) < 0) continue;
      if (has_bias && ExpertOf(token, i) >= 0) {
        const LocalTensor<float> row = wide[(uint32_t)(term * pitch_of_part_)];
        Add(row, row, wide[(uint32_t)((terms + term) * pitch_of_part_)], (int32_t)length_);
      }
      ++term;
    }
    if (has_bias) PipeBarrier<PIPE_V>();
    term = 0;
    for (int64_t i = begin; i < j; ++i) {
      if (RowOf(token, i) < 0) continue;
      AddTerm(sum, wide, term, ScaleOf(token, i), is_first);
      ++term;
    }
    Done(in);
    return j;
  }

  __aicore__ inline int64_t ExpertOf(int64_t token, int64_t j) {
    const int64_t at = (token - first_) * tiling_.k + j;
    const int64_t expert = expert_buffer_.Get<int32_t>().GetValue((uint32_t)at);
    // mutant: drop condition equivalent: Callers treat every negative index alike.
    return expert < tiling_.bias_rows && expert >= 0 ? expert : -1;
  }

  // The part of row `row` of a tensor; its last block is filled up with zeros.
  __aicore__ inline void LoadSlot(const LocalTensor<T>& in, int64_t slot,
                                  const GlobalTensor<Storage>& from, int64_t row) {
    // mutant: constant off by one equivalent: Nothing reads these elements; they only need a
    // value.
    DataCopyPad(in[(uint32_t)(slot * pitch_of_part_)].template ReinterpretCast<Storage>(),
                from[row * tiling_.row_elements + at_], OneRow(length_ * (int64_t)sizeof(T)),
                DataCopyPadExtParams<Storage>(true, 0, (uint8_t)(pitch_of_part_ - length_), 0));
  }

  __aicore__ inline LocalTensor<float> Widen(LocalTensor<T>& in, int64_t slots) {
    in_.EnQue(in);
    in = in_.template DeQue<T>();
    if constexpr (kIsFloat) {
      return in;
    } else {
      const LocalTensor<float> wide = wide_buffer_.Get<float>();
      // mutant: remove barrier equivalent: Another barrier orders the same accesses.
      PipeBarrier<PIPE_V>();  // the former terms have been added
      Cast(wide, in, RoundMode::CAST_NONE, (uint32_t)(slots * pitch_of_part_));
      in_.FreeTensor(in);
      PipeBarrier<PIPE_V>();
      return wide;
    }
  }

  // In float the loaded values are what was added.
  __aicore__ inline void Done(LocalTensor<T>& in) {
    if constexpr (kIsFloat) in_.FreeTensor(in);
  }

  __aicore__ inline void AddTerm(const LocalTensor<float>& sum, const LocalTensor<float>& wide,
                                 int64_t term, float scale, bool& is_first) {
    const LocalTensor<float> row = wide[(uint32_t)(term * pitch_of_part_)];
    if (is_first) {
      Muls(sum, row, scale, (int32_t)length_);
    } else {
      Axpy(sum, row, scale, (int32_t)length_);
    }
    is_first = false;
    PipeBarrier<PIPE_V>();
  }

  const MoeFinalizeRoutingTiling& tiling_;
  int64_t first_ = 0;          // the first token of the indices that are there
  int64_t pitch_ = 0;          // of their columns
  int64_t at_ = 0;             // the first element of the part
  int64_t length_ = 0;         // its elements
  int64_t pitch_of_part_ = 0;  // those, rounded up to whole blocks
  GlobalTensor<Storage> rows_gm_, out_gm_, bias_gm_;
  GlobalTensor<Storage> skip_gm_[2];
  GlobalTensor<int32_t> index_gm_, expert_gm_;
  GlobalTensor<uint16_t> scale_gm_;
  TQue<TPosition::VECIN, 2> in_;
  TQue<TPosition::VECOUT, 2> out_;
  TBuf<> index_buffer_, expert_buffer_, scale_buffer_, narrow_buffer_, wide_buffer_, sum_buffer_;
};

template <typename T>
__aicore__ inline void Run(GM_ADDR rows, GM_ADDR skip1, GM_ADDR skip2, GM_ADDR bias, GM_ADDR scales,
                           GM_ADDR indices, GM_ADDR experts, GM_ADDR out,
                           const MoeFinalizeRoutingTiling& tiling) {
  TPipe pipe;
  MoeFinalizeRouting<T> kernel(&pipe, rows, skip1, skip2, bias, scales, indices, experts, out,
                               tiling);
  kernel.Run();
}

}  // namespace

extern "C" __global__ __aicore__ void moe_finalize_routing_half(GM_ADDR rows, GM_ADDR skip1,
                                                                GM_ADDR skip2, GM_ADDR bias,
                                                                GM_ADDR scales, GM_ADDR indices,
                                                                GM_ADDR experts, GM_ADDR out,
                                                                MoeFinalizeRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<half>(rows, skip1, skip2, bias, scales, indices, experts, out, tiling);
}

extern "C" __global__ __aicore__ void moe_finalize_routing_bfloat16(
    GM_ADDR rows, GM_ADDR skip1, GM_ADDR skip2, GM_ADDR bias, GM_ADDR scales, GM_ADDR indices,
    GM_ADDR experts, GM_ADDR out, MoeFinalizeRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<bfloat16_t>(rows, skip1, skip2, bias, scales, indices, experts, out, tiling);
}

extern "C" __global__ __aicore__ void moe_finalize_routing_float(GM_ADDR rows, GM_ADDR skip1,
                                                                 GM_ADDR skip2, GM_ADDR bias,
                                                                 GM_ADDR scales, GM_ADDR indices,
                                                                 GM_ADDR experts, GM_ADDR out,
                                                                 MoeFinalizeRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<float>(rows, skip1, skip2, bias, scales, indices, experts, out, tiling);
}
