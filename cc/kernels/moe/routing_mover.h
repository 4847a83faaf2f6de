// cc/kernels/moe/routing_mover.h: moves rows as bytes: loaded once for a token, stored once for
// each of its assignments; their scales, if there are some, too. Device code.
#pragma once

#include "cc/kernels/moe/routing_common.h"
#include "cc/kernels/moe/routing_indices.h"

namespace moe {

class RowMover {
 public:
  __aicore__ inline RowMover(const RoutingTensors& tensors, const MoeInitRoutingTiling& tiling,
                             const RoutingArena&, PermutedIndices& indices)
      : tiling_(tiling), indices_(indices) {
    x_gm_.SetGlobalBuffer(tensors.x, tiling.tokens * tiling.row_bytes);
    out_gm_.SetGlobalBuffer(tensors.expanded_x, tiling.out_rows * tiling.row_bytes);
    if (!tiling.has_scale) return;
    scale_gm_.SetGlobalBuffer((__gm__ float*)tensors.scale, tiling.tokens);
    scale_out_gm_.SetGlobalBuffer((__gm__ float*)tensors.expanded_scale, tiling.out_rows);
  }

  __aicore__ inline void InitRows(TPipe* pipe, const MoeInitRoutingBuffers&) {
    pipe->InitBuffer(rows_, 2, (uint32_t)tiling_.buffer_bytes);
  }
  __aicore__ inline void InitResults(TPipe* pipe, const MoeInitRoutingBuffers& bytes) {
    if (!tiling_.has_scale) return;
    pipe->InitBuffer(scales_in_, 1, (uint32_t)bytes.scales_in);
    pipe->InitBuffer(scale_words_, 2, (uint32_t)bytes.scale_words);
  }

  // There are no constants in the arena.
  __aicore__ inline void MakeTables() {}

  // Begins to load what the first assignments of `share` move: their experts are not known yet.
  __aicore__ inline void LoadAhead(const Share& share) {
    // mutant: drop bound equivalent: Rows that are not loaded ahead are loaded later.
    if (tiling_.by_row_idx || share.begin >= share.end) return;
    const int64_t token = share.begin / tiling_.k;
    Load(token, 0, Ceil(EndOfBatch(tiling_, share.begin, share.end), tiling_.k) - token);
    is_ahead_ = true;
  }

  // Moves the rows of the assignments of `share`.
  __aicore__ inline void Give(const Share& share) {
    if (tiling_.has_scale) GiveScales(share);
    for (int64_t first = share.begin; first < share.end;) {
      const int64_t token = indices_.TokenOf(first);
      int64_t end = first + 1;
      if (tiling_.by_row_idx) {
        while (end < share.end && indices_.TokenOf(end) == token) ++end;
      } else {
        end = EndOfBatch(tiling_, first, share.end);
      }
      // mutant: drop condition of `token >= 0 && indices_.HasOutRow(first, end)` equivalent: Loads
      // a row that is not used.
      if (is_ahead_ || (token >= 0 && indices_.HasOutRow(first, end))) {
        const int64_t tokens = tiling_.by_row_idx ? 1 : Ceil(end, tiling_.k) - token;
        for (int64_t at = 0; at < tiling_.row_bytes; at += tiling_.buffer_bytes) {
          if (!is_ahead_) Load(token, at, tokens);
          is_ahead_ = false;
          Store(token, at, first, end);
        }
      }
      first = end;
    }
  }

 private:
  // Whole rows of tokens, or of one token the bytes from `at` on for which there is room.
  __aicore__ inline void Load(int64_t token, int64_t at, int64_t tokens) {
    const int64_t bytes = Min(tiling_.buffer_bytes, tiling_.row_bytes - at);
    LocalTensor<uint8_t> rows = rows_.AllocTensor<uint8_t>();
    DataCopyPad(rows, x_gm_[token * tiling_.row_bytes + at],
                DataCopyExtParams((uint16_t)tokens, (uint32_t)bytes, 0, 0, 0), NoPad<uint8_t>());
    rows_.EnQue(rows);
  }

  // Stores them for assignments [first, end).
  __aicore__ inline void Store(int64_t token, int64_t at, int64_t first, int64_t end) {
    const int64_t pitch = RoundUp(tiling_.row_bytes, kBlockBytes);
    const DataCopyExtParams shape = OneRow(Min(tiling_.buffer_bytes, tiling_.row_bytes - at));
    LocalTensor<uint8_t> rows = rows_.DeQue<uint8_t>();
    for (int64_t assignment = first; assignment < end; ++assignment) {
      const int64_t row = indices_.OutRowOf(assignment);
      if (row < 0) continue;
      const int64_t from = tiling_.by_row_idx ? 0 : (assignment / tiling_.k - token) * pitch;
      DataCopyPad(out_gm_[row * tiling_.row_bytes + at], rows[(uint32_t)from], shape);
    }
    rows_.FreeTensor(rows);
  }

  // Rows take the scales of their tokens along.
  __aicore__ inline void GiveScales(const Share& share) {
    const int64_t k = tiling_.k;
    for (int64_t token = share.begin / k; token * k < share.end; token += kWords) {
      const int64_t count = Min(kWords, Ceil(share.end, k) - token);
      LocalTensor<float> scales = scales_in_.AllocTensor<float>();
      // mutant: argument off by one of `0.0f` equivalent: Nothing reads these elements; they only
      // need a value.
      DataCopyPad(scales, scale_gm_[token], OneRow(count * 4),
                  DataCopyPadExtParams<float>(
                      true, 0, (uint8_t)(RoundUp(count, kBlockFloats) - count), 0.0f));
      scales_in_.EnQue(scales);
      scales = scales_in_.DeQue<float>();
      LocalTensor<float> words = scale_words_.AllocTensor<float>();
      Brcb(words, scales, (uint8_t)Ceil(count, kBlockFloats), BrcbRepeatParams(1, 8));
      scales_in_.FreeTensor(scales);
      scale_words_.EnQue(words);
      words = scale_words_.DeQue<float>();
      const int64_t end = Min((token + count) * k, share.end);
      for (int64_t assignment = Max(token * k, share.begin); assignment < end; ++assignment) {
        const int64_t row = indices_.OutRowOf(assignment);
        if (row < 0) continue;
        DataCopyPad(scale_out_gm_[row], words[(uint32_t)((assignment / k - token) * kBlockFloats)],
                    OneRow(4));
      }
      scale_words_.FreeTensor(words);
    }
  }

  const MoeInitRoutingTiling& tiling_;
  PermutedIndices& indices_;
  bool is_ahead_ = false;  // what the next assignments move is being loaded
  GlobalTensor<uint8_t> x_gm_, out_gm_;
  GlobalTensor<float> scale_gm_, scale_out_gm_;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> rows_;
  TQue<TPosition::VECIN, 1> scales_in_;
  TQue<TPosition::VECOUT, 2> scale_words_;
};

}  // namespace moe
