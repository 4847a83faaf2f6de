// cc/kernels/moe/routing_quantiser.h: rounds rows to int8 and stores them for their assignments.
// Device code.
//
// Static: x * scale + offset. Dynamic: x, times the factors of the assignment's expert if there are
// some, divided by its largest magnitude / 127, which is given as its scale. Arithmetic is in
// float, with one rounding to nearest even.
//
// Of a single token, if experts have no factors, cores share the row: each makes some columns for
// all assignments, with the largest magnitude of the whole row.
#pragma once

#include "cc/kernels/moe/routing_common.h"
#include "cc/kernels/moe/routing_indices.h"

namespace moe {

// T: elements of x.
template <typename T>
class RowQuantiser {
  using Storage = typename StorageOf<T>::Type;

 public:
  __aicore__ inline RowQuantiser(const RoutingTensors& tensors, const MoeInitRoutingTiling& tiling,
                                 const RoutingArena& arena, PermutedIndices& indices)
      : tiling_(tiling),
        arena_(arena),
        at_(arena.parts),
        indices_(indices),
        has_factors_(MoeInitRoutingHasFactors(tiling)) {
    const int64_t size = tiling.row_elements;
    x_gm_.SetGlobalBuffer((__gm__ Storage*)tensors.x, tiling.tokens * size);
    out_gm_.SetGlobalBuffer(tensors.expanded_x, tiling.out_rows * size);
    if (tiling.has_scale) {
      scale_gm_.SetGlobalBuffer((__gm__ float*)tensors.scale,
                                has_factors_ ? tiling.experts * size : 1);
    }
    if (tiling.quant_mode == 0) {
      offset_gm_.SetGlobalBuffer((__gm__ float*)tensors.offset, 1);
    } else {
      scale_out_gm_.SetGlobalBuffer((__gm__ float*)tensors.expanded_scale, tiling.out_rows);
    }
  }

  __aicore__ inline void InitRows(TPipe* pipe, const MoeInitRoutingBuffers& bytes) {
    pipe->InitBuffer(in_, 2, (uint32_t)bytes.row_in);
  }
  __aicore__ inline void InitResults(TPipe* pipe, const MoeInitRoutingBuffers& bytes) {
    pipe->InitBuffer(out_, 2, (uint32_t)bytes.row_out);
    pipe->InitBuffer(scale_out_, 2, (uint32_t)bytes.scale_out);
    if (has_factors_) pipe->InitBuffer(factors_in_, 1, (uint32_t)bytes.factors);
  }

  // Constants in the arena.
  __aicore__ inline void MakeTables() {
    Duplicate(arena_.Get<float>(at_.limit), 127.0f, (int32_t)kBlockFloats);
  }

  // Begins to load the row of the first assignment of `share`: its expert is not known yet.
  __aicore__ inline void LoadAhead(const Share& share) {
    // mutant: drop bound equivalent: Rows that are not loaded ahead are loaded later.
    if (tiling_.by_row_idx || share.begin >= share.end) return;
    Load(share.begin / tiling_.k);
    is_ahead_ = true;
  }

  // Quantises the rows of the assignments of `share`.
  __aicore__ inline void Give(const Share& share) {
    const int64_t count = tiling_.row_elements;
    Share rows = share;
    Share columns = {0, count};
    if (tiling_.shares_row) {  // every core that moves rows has an assignment
      const Share lanes = ShareOf(Ceil(count, kLanes), MovingCores(tiling_));
      columns = {lanes.begin * kLanes, Min(lanes.end * kLanes, count)};
      rows = {0, tiling_.pairs};
    }
    const LocalTensor<float> row = arena_.Get<float>(at_.row);
    float scale = 1.0f;
    float offset = 0.0f;
    if (tiling_.quant_mode == 0) {
      scale = scale_gm_.GetValue(0);
      offset = offset_gm_.GetValue(0);
    }
    for (int64_t first = rows.begin; first < rows.end;) {
      const int64_t end = EndOfBatch(tiling_, first, rows.end);
      if (!is_ahead_) {
        if (!indices_.HasOutRow(first, end)) {
          first = end;
          continue;
        }
        Load(first / tiling_.k);
      }
      is_ahead_ = false;
      Take(row);
      if (tiling_.quant_mode == 0) {
        Muls(row, row, scale, (int32_t)count);
        PipeBarrier<PIPE_V>();
        Adds(row, row, offset, (int32_t)count);
      }
      if (has_factors_) {
        for (int64_t assignment = first; assignment < end; ++assignment) {
          if (indices_.OutRowOf(assignment) < 0) continue;
          MultiplyByFactors(row, assignment);
          Round(arena_.Get<float>(at_.product), columns, {assignment, assignment + 1}, share);
        }
      } else {
        Round(row, columns, {first, end}, share);
      }
      first = end;
    }
  }

 private:
  __aicore__ inline void Load(int64_t token) {
    LocalTensor<T> in = in_.template AllocTensor<T>();
    DataCopyPad(in.template ReinterpretCast<Storage>(), x_gm_[token * tiling_.row_elements],
                OneRow(tiling_.row_bytes), NoPad<Storage>());
    in_.EnQue(in);
  }

  // row = the loaded row, as floats.
  __aicore__ inline void Take(const LocalTensor<float>& row) {
    const int64_t count = tiling_.row_elements;
    LocalTensor<T> in = in_.template DeQue<T>();
    PipeBarrier<PIPE_V>();
    if constexpr (sizeof(T) == 4) {
      Adds(row, in, 0.0f, (int32_t)count);
    } else {
      Cast(row, in, RoundMode::CAST_NONE, (uint32_t)count);
    }
    PipeBarrier<PIPE_V>();
    in_.FreeTensor(in);
  }

  // `product` of the arena = the row times the factors of the assignment's expert.
  __aicore__ inline void MultiplyByFactors(const LocalTensor<float>& row, int64_t assignment) {
    const int64_t count = tiling_.row_elements;
    const int64_t expert = indices_.ExpertOf(assignment) - tiling_.first_expert;
    LocalTensor<float> factors = factors_in_.AllocTensor<float>();
    DataCopyPad(factors, scale_gm_[expert * count], OneRow(count * 4), NoPad<float>());
    factors_in_.EnQue(factors);
    factors = factors_in_.DeQue<float>();
    Mul(arena_.Get<float>(at_.product), row, factors, (int32_t)count);
    factors_in_.FreeTensor(factors);
  }

  // scale = a block of copies of a row's largest magnitude / 127.
  __aicore__ inline void MakeScale(const LocalTensor<float>& scale, const LocalTensor<float>& row) {
    const LocalTensor<float> scratch = arena_.Get<float>(at_.scratch);
    const LocalTensor<float> largest = arena_.Get<float>(at_.peaks);
    const LocalTensor<float> copies = largest[kBlockFloats];
    const int32_t count = (int32_t)tiling_.row_elements;
    Abs(scratch, row, count);
    PipeBarrier<PIPE_V>();
    ReduceMax(largest, scratch, scratch, count, false);
    PipeBarrier<PIPE_V>();
    const uint64_t first[2] = {0x0101010101010101, 0};
    // mutant: constant off by one of `1`, constant off by one of `8` equivalent: One repeat:
    // strides are not used.
    BlockReduceMax(copies, largest, 1, first, 1, 0, 8);
    PipeBarrier<PIPE_V>();
    Div(scale, copies, arena_.Get<float>(at_.limit), (int32_t)kBlockFloats);
    PipeBarrier<PIPE_V>();
  }

  // scratch = `columns` of the row divided by its scale, which is stored for the assignments that
  // are in `rows` and in `mine`.
  __aicore__ inline void DivideByScale(const LocalTensor<float>& scratch,
                                       const LocalTensor<float>& row, const Share& columns,
                                       const Share& rows, const Share& mine) {
    const int64_t count = columns.end - columns.begin;
    const LocalTensor<float> part = row[(uint32_t)columns.begin];
    LocalTensor<float> scale = scale_out_.AllocTensor<float>();
    MakeScale(scale, row);
    const BinaryRepeatParams steps(1, 1, 0, 8, 8, 0);
    const int64_t whole = count / kLanes;  // the host sees to at most 255
    const uint32_t tail = (uint32_t)(whole * kLanes);
    if (whole > 0) Div(scratch, part, scale, (uint64_t)kLanes, (uint8_t)whole, steps);
    if (count % kLanes > 0) {
      Div(scratch[tail], part[tail], scale, (uint64_t)(count % kLanes), 1, steps);
    }
    scale_out_.EnQue(scale);
    scale = scale_out_.DeQue<float>();
    for (int64_t assignment = rows.begin; assignment < Min(rows.end, mine.end); ++assignment) {
      const int64_t at = assignment < mine.begin ? -1 : indices_.OutRowOf(assignment);
      if (at >= 0) DataCopyPad(scale_out_gm_[at], scale, OneRow(4));
    }
    scale_out_.FreeTensor(scale);
    PipeBarrier<PIPE_V>();
  }

  // Rounds `columns` of a row, and stores them for the assignments `rows`; in dynamic quantisation
  // scales for those of them in `mine`. By way of int16 and half, which hold all of int8.
  __aicore__ inline void Round(const LocalTensor<float>& row, const Share& columns,
                               const Share& rows, const Share& mine) {
    const int32_t count = (int32_t)(columns.end - columns.begin);
    const LocalTensor<float> scratch = arena_.Get<float>(at_.scratch);
    // What is rounded and what takes the result: neither is needed any more.
    LocalTensor<float> from = row[(uint32_t)columns.begin];
    LocalTensor<float> to = scratch;
    PipeBarrier<PIPE_V>();
    if (tiling_.quant_mode == 1) {
      DivideByScale(scratch, row, columns, rows, mine);
      to = from;
      from = scratch;
    }
    const LocalTensor<int16_t> whole = to.ReinterpretCast<int16_t>();
    const LocalTensor<half> narrow = from.ReinterpretCast<half>();
    Cast(whole, from, RoundMode::CAST_RINT, (uint32_t)count);
    PipeBarrier<PIPE_V>();
    Cast(narrow, whole, RoundMode::CAST_NONE, (uint32_t)count);
    PipeBarrier<PIPE_V>();
    LocalTensor<int8_t> out = out_.template AllocTensor<int8_t>();
    Cast(out, narrow, RoundMode::CAST_RINT, (uint32_t)count);
    out_.EnQue(out);
    out = out_.template DeQue<int8_t>();
    for (int64_t assignment = rows.begin; assignment < rows.end; ++assignment) {
      const int64_t at = indices_.OutRowOf(assignment);
      if (at < 0) continue;
      DataCopyPad(out_gm_[at * tiling_.row_elements + columns.begin],
                  out.template ReinterpretCast<uint8_t>(), OneRow(count));
    }
    out_.FreeTensor(out);
  }

  const MoeInitRoutingTiling& tiling_;
  const RoutingArena& arena_;
  const MoeInitRoutingArena& at_;
  PermutedIndices& indices_;
  bool has_factors_;       // experts have factors of their own
  bool is_ahead_ = false;  // the next row is being loaded
  GlobalTensor<Storage> x_gm_;
  GlobalTensor<uint8_t> out_gm_;
  GlobalTensor<float> scale_gm_, offset_gm_, scale_out_gm_;
  TQue<TPosition::VECIN, 2> in_;
  TQue<TPosition::VECIN, 1> factors_in_;
  TQue<TPosition::VECOUT, 2> out_, scale_out_;
};

}  // namespace moe
