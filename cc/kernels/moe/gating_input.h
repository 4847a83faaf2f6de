// cc/kernels/moe/gating_input.h: loads tiles of logits, and which of their rows are finished.
// Device code.
#pragma once

#include "cc/kernels/moe/gating_common.h"
#include "cc/kernels/moe/gating_rows.h"

namespace moe {

// Rows of experts from GM to groups at their pitch.
template <typename T, typename Storage>
__aicore__ inline void LoadGroups(const MoeGatingTopKTiling& tiling, const LocalTensor<T>& dst,
                                  const GlobalTensor<Storage>& src, int64_t rows) {
  const LocalTensor<Storage> tile = dst.template ReinterpretCast<Storage>();
  const DataCopyPadExtParams<Storage> pad = NoPad<Storage>();
  if (IsDense(tiling)) {
    DataCopyPad(tile, src, OneRow(rows * tiling.width * (int64_t)sizeof(T)), pad);
    return;
  }
  const int64_t bytes = tiling.group_size * (int64_t)sizeof(T);
  const int64_t gap =
      tiling.score_pitch * (int64_t)sizeof(T) / ONE_BLK_SIZE - Ceil(bytes, ONE_BLK_SIZE);
  DataCopyPad(
      tile, src,
      DataCopyExtParams((uint16_t)(rows * tiling.groups), (uint32_t)bytes, 0, (uint32_t)gap, 0),
      pad);
}

// Groups of experts as floats; between the end of a group and its pitch dst keeps what it has.
template <typename T>
__aicore__ inline void WidenGroups(const MoeGatingTopKTiling& tiling, const LocalTensor<float>& dst,
                                   const LocalTensor<T>& src, int64_t groups) {
  const int64_t pitch = tiling.score_pitch;
  if constexpr (sizeof(T) < 4) {
    if (IsDense(tiling)) {
      Cast(dst, src, RoundMode::CAST_NONE, (uint32_t)(groups * pitch));
      return;
    }
  }
  const UnaryRepeatParams steps(1, 1, Step(pitch), (uint8_t)(Step(pitch) * (int64_t)sizeof(T) / 4));
  // mutant: bound off by one equivalent: The extra iteration has no elements.
  for (int64_t lane = 0; lane < tiling.group_size; lane += kLanes) {
    const uint64_t lanes = (uint64_t)Min(kLanes, tiling.group_size - lane);
    const uint32_t at = (uint32_t)lane;
    if constexpr (sizeof(T) == 4) {
      Adds(dst[at], src[at], 0.0f, lanes, (uint8_t)groups, steps);
    } else {
      Cast(dst[at], src[at], RoundMode::CAST_NONE, lanes, (uint8_t)groups, steps);
    }
  }
}

template <typename T>
class GatingInput {
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

 public:
  __aicore__ inline GatingInput(GM_ADDR x, GM_ADDR finished, const MoeGatingTopKTiling& tiling,
                                const GatingArena& arena)
      : tiling_(tiling), arena_(arena) {
    x_gm_.SetGlobalBuffer((__gm__ Storage*)x, tiling.rows * tiling.experts);
    if (tiling.has_finished) finished_gm_.SetGlobalBuffer((__gm__ uint8_t*)finished, tiling.rows);
  }

  __aicore__ inline void InitBuffers(TPipe* pipe, const MoeGatingTopKBuffers& bytes) {
    pipe->InitBuffer(in_, 2, (uint32_t)bytes.logits);
    if (tiling_.has_finished) pipe->InitBuffer(finished_in_, 2, (uint32_t)bytes.finished);
  }

  // Begins to load rows [row, row + rows).
  __aicore__ inline void Load(int64_t row, int64_t rows) {
    const LocalTensor<T> in = in_.template AllocTensor<T>();
    LoadGroups(tiling_, in, x_gm_[row * tiling_.experts], rows);
    in_.EnQue(in);
    if (!tiling_.has_finished) return;
    const LocalTensor<uint8_t> flags = finished_in_.template AllocTensor<uint8_t>();
    // mutant: constant off by one equivalent: Nothing reads what Brcb makes of the bytes after the
    // last row.
    DataCopyPad(
        flags, finished_gm_[row], OneRow(rows),
        DataCopyPadExtParams<uint8_t>(true, 0, (uint8_t)(RoundUp(rows, kBlockBytes) - rows), 0));
    finished_in_.EnQue(flags);
  }

  // Waits for the tile that was loaded first.
  __aicore__ inline void Await() { loaded_ = in_.template DeQue<T>(); }

  // Its logits as floats, -inf between the end of a group and its pitch. Valid until Release.
  __aicore__ inline LocalTensor<float> Logits(int64_t rows) {
    LocalTensor<float> logits = arena_.Get<float>(arena_.parts.records);
    if (!IsDense(tiling_)) {
      Duplicate(logits, MinusInfinity(), (int32_t)(rows * tiling_.width));
      PipeBarrier<PIPE_V>();
    }
    if constexpr (kIsFloat) {
      if (IsDense(tiling_)) {
        logits = loaded_;
      } else {
        WidenGroups(tiling_, logits, loaded_, rows * tiling_.groups);
      }
    } else {
      WidenGroups(tiling_, logits, loaded_, rows * tiling_.groups);
      in_.FreeTensor(loaded_);
    }
    PipeBarrier<PIPE_V>();
    return logits;
  }
  __aicore__ inline void Release() {
    if constexpr (kIsFloat) in_.FreeTensor(loaded_);
  }

  // Where the rows of a tile are finished, their experts become number `experts`, which is above
  // all others. experts: [rows, kept records].
  __aicore__ inline void MarkFinished(const LocalTensor<int32_t>& experts, int64_t rows) {
    LocalTensor<uint8_t> flags = finished_in_.template DeQue<uint8_t>();
    const MoeGatingTopKArena& at = arena_.parts;
    const LocalTensor<half> narrow = arena_.Get<half>(at.folds);
    const LocalTensor<int32_t> none = arena_.Get<int32_t>(at.finished);
    const LocalTensor<int32_t> spread = arena_.Get<int32_t>(at.blocks);
    const int64_t padded = RoundUp(rows, kBlockFloats);  // what Brcb reads
    Cast(narrow, flags, RoundMode::CAST_NONE, (uint32_t)padded);
    PipeBarrier<PIPE_V>();
    finished_in_.FreeTensor(flags);
    Cast(none, narrow, RoundMode::CAST_RINT, (uint32_t)padded);
    PipeBarrier<PIPE_V>();
    Muls(none, none, (int32_t)tiling_.experts, (int32_t)padded);
    PipeBarrier<PIPE_V>();
    Brcb(spread, none, (uint8_t)(padded / kBlockFloats), BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    ByRow(
        [&](uint32_t i, uint32_t row, uint64_t lanes, uint8_t repeats,
            const BinaryRepeatParams& steps) {
          Max(experts[i], experts[i], spread[row], lanes, repeats, steps);
        },
        tiling_.kept_records, tiling_.kept_records, rows);
  }

 private:
  const MoeGatingTopKTiling& tiling_;
  const GatingArena& arena_;
  LocalTensor<T> loaded_;
  GlobalTensor<Storage> x_gm_;
  GlobalTensor<uint8_t> finished_gm_;
  TQue<TPosition::VECIN, 2> in_, finished_in_;
};

}  // namespace moe
