// cc/kernels/rotary/angles.h: cosines and sines of the tokens of a tile.
//
// A row of the table is cos and sin of rotary_dim / 2 angles: row p of cos_sin_cache, which is [cos
// | sin], for a token at position p, or row t % rows of cos and sin for token t. With three axes of
// positions each lane takes the row of its axis. 0 <= position < rows is the caller's promise.
//
// Without DataCopyPad (310P) halves of rows are whole blocks, copied by DataCopy, and the scalar
// unit reads positions from GM.
#pragma once

#include <stdint.h>

#include "cc/kernels/device.h"
#include "cc/kernels/rotary/angles_tiling.h"
#include "kernel_operator.h"

namespace rotary {

using namespace AscendC;

using device::kLanes;
using device::Max;
using device::Min;
using device::StorageOf;

template <typename T>
__aicore__ inline DataCopyPadExtParams<T> ZeroPadding(int64_t length, int64_t pitch) {
  // mutant: constant off by one equivalent: Nothing stores the padding.
  return DataCopyPadExtParams<T>(true, 0, (uint8_t)(pitch - length), 0);
}

template <typename T>
class Angles {
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

 public:
  // `sin` is null when sines follow the cosines of a row.
  __aicore__ inline Angles(TPipe* pipe, GM_ADDR positions, GM_ADDR cos, GM_ADDR sin,
                           const RotaryAngles& shape)
      : shape_(shape), pipe_(pipe), half_(shape.rotary_dim / 2), is_separate_(sin != nullptr) {
    positions_gm_.SetGlobalBuffer(
        (__gm__ int32_t*)positions,
        ((shape.axes - 1) * shape.axis_stride + shape.tokens) * (shape.position_bytes / 4));
    const int64_t row = is_separate_ ? half_ : shape.rotary_dim;
    // mutant: drop term of `shape.table_rows - 1`, swap + and - of `-`, constant off by one
    // equivalent: SetGlobalBuffer's size is only a promise of how far accesses go; a larger one
    // changes nothing.
    const int64_t table = (shape.table_rows - 1) * shape.table_stride + row;
    cos_gm_.SetGlobalBuffer((__gm__ Storage*)cos, table);
    sin_gm_.SetGlobalBuffer((__gm__ Storage*)sin, table);
    position_pitch_ = RotaryAxisBytes(shape) / 4;
    const RotaryAnglesBuffers bytes = RotaryAnglesBuffersOf(shape, sizeof(T));
    if (HasBatch()) pipe->InitBuffer(position_buffer_, (uint32_t)bytes.positions);
    pipe->InitBuffer(in_, 2, (uint32_t)bytes.in);
    if constexpr (!kIsFloat) pipe->InitBuffer(wide_buffer_, (uint32_t)bytes.wide);
  }

  // Begins to make the positions of tokens [first, first + count) known to the scalar unit.
  // `again`: there were others before.
  __aicore__ inline void LoadPositions(int64_t first, int64_t count, bool again) {
    first_ = first;
    if (!HasBatch()) return;
    if (again) {
      // The scalar unit has read the former batch before the copy overwrites it.
      const TEventID read = pipe_->FetchEventID(HardEvent::S_MTE2);
      SetFlag<HardEvent::S_MTE2>(read);
      WaitFlag<HardEvent::S_MTE2>(read);
    }
    const LocalTensor<int32_t> positions = position_buffer_.Get<int32_t>();
    const auto shape = device::OneRow(count * shape_.position_bytes);
    const auto pad = device::NoPad<int32_t>();
    for (int64_t axis = 0; axis < shape_.axes; ++axis) {
      // mutant: constant off by one equivalent: The integer quotient is the same for all values
      // that occur.
      DataCopyPad(positions[(uint32_t)(axis * position_pitch_)],
                  positions_gm_[(axis * shape_.axis_stride + first) * (shape_.position_bytes / 4)],
                  shape, pad);
    }
    positions_loaded_ = pipe_->FetchEventID(HardEvent::MTE2_S);
    SetFlag<HardEvent::MTE2_S>(positions_loaded_);
  }

  // Waits for them, before Load needs them; what was loaded in between is under way meanwhile.
  __aicore__ inline void AwaitPositions() {
    if (HasBatch()) WaitFlag<HardEvent::MTE2_S>(positions_loaded_);
  }

  // Begins to load the rows of tokens [first, first + tokens), whose positions are loaded.
  __aicore__ inline void Load(int64_t first, int64_t tokens) {
    const int64_t pitch = shape_.half_pitch;
    LocalTensor<T> loaded = in_.template AllocTensor<T>();
    const LocalTensor<Storage> target = loaded.template ReinterpretCast<Storage>();
    for (int64_t axis = 0; axis < shape_.axes; ++axis) {
      for (int64_t token = 0; token < tokens; ++token) {
        const int64_t row = TableRow(axis, first + token) * shape_.table_stride;
        const LocalTensor<Storage> place = target[(uint32_t)((axis * tokens + token) * 2 * pitch)];
        if (is_separate_) {
          LoadRow(place, cos_gm_[row], 1);
          LoadRow(place[(uint32_t)pitch], sin_gm_[row], 1);
        } else {
          LoadRow(place, cos_gm_[row], 2);
        }
      }
    }
    in_.EnQue(loaded);
  }

  // What Load has brought, as floats: per token cos at pitch half_pitch, and then sin. Valid until
  // Release, which comes before the next Take. A barrier stands behind what has read the former
  // ones.
  __aicore__ inline LocalTensor<float> Take(int64_t tokens) {
    loaded_ = in_.template DeQue<T>();
    LocalTensor<float> angles;
    if constexpr (kIsFloat) {
      angles = loaded_;
    } else {
      angles = wide_buffer_.Get<float>();
      Cast(angles, loaded_, RoundMode::CAST_NONE,
           (uint32_t)(shape_.axes * tokens * 2 * shape_.half_pitch));
      // mutant: remove barrier equivalent: Another barrier orders the same accesses.
      PipeBarrier<PIPE_V>();
    }
    // mutant: drop bound, bound off by one equivalent: With one axis every lane takes the first.
    if (shape_.axes > 1) {
      TakeLanes(angles, 1, shape_.second, tokens);
      TakeLanes(angles, 2, shape_.third, tokens);
      PipeBarrier<PIPE_V>();
    }
    return angles;
  }

  __aicore__ inline void Release() { in_.FreeTensor(loaded_); }

 private:
  // Whether positions come to the UB.
  __aicore__ inline bool HasBatch() const { return shape_.has_positions && shape_.has_copy_pad; }

  __aicore__ inline int64_t TableRow(int64_t axis, int64_t token) {
    if (!shape_.has_positions) return token % shape_.table_rows;
    if (!shape_.has_copy_pad) {
      const int64_t at = axis * shape_.axis_stride + token;
      return shape_.position_bytes == 8 ? positions_gm_.ReinterpretCast<int64_t>().GetValue(at)
                                        : (int64_t)positions_gm_.GetValue(at);
    }
    const LocalTensor<int32_t> positions =
        position_buffer_.Get<int32_t>()[(uint32_t)(axis * position_pitch_)];
    const uint32_t i = (uint32_t)(token - first_);
    return shape_.position_bytes == 8 ? positions.ReinterpretCast<int64_t>().GetValue(i)
                                      : (int64_t)positions.GetValue(i);
  }

  // `parts` halves of a row of the table, one after the other.
  __aicore__ inline void LoadRow(const LocalTensor<Storage>& to, const GlobalTensor<Storage>& from,
                                 int64_t parts) {
    if (!shape_.has_copy_pad) {
      DataCopy(to, from, (uint32_t)(parts * half_));
      return;
    }
    const DataCopyExtParams shape((uint16_t)parts, (uint32_t)(half_ * sizeof(T)), 0, 0, 0);
    DataCopyPad(to, from, shape, ZeroPadding<Storage>(half_, shape_.half_pitch));
  }

  // The lanes whose bits are set get the angles of another axis.
  __aicore__ inline void TakeLanes(const LocalTensor<float>& angles, int64_t axis,
                                   const uint64_t* lanes, int64_t tokens) {
    const int64_t pitch = shape_.half_pitch;
    const uint32_t other = (uint32_t)(axis * tokens * 2 * pitch);
    const uint8_t stride = (uint8_t)(2 * pitch / 8);
    const UnaryRepeatParams params(1, 1, stride, stride);
    for (uint32_t word = 0; word < 2; ++word) {
      const uint64_t mask[2] = {lanes[word], 0};
      if (mask[0] == 0) continue;
      for (uint32_t part = 0; part < 2; ++part) {
        const uint32_t at = part * (uint32_t)pitch + word * (uint32_t)kLanes;
        Muls(angles[at], angles[other + at], 1.0f, mask, (uint8_t)tokens, params);
      }
    }
  }

  const RotaryAngles& shape_;
  TPipe* pipe_;
  int64_t half_;
  bool is_separate_;            // cos and sin are tables of their own
  int64_t first_ = 0;           // token of the first position of the batch
  int64_t position_pitch_ = 0;  // words of an axis
  TEventID positions_loaded_{};
  GlobalTensor<int32_t> positions_gm_;
  GlobalTensor<Storage> cos_gm_;
  GlobalTensor<Storage> sin_gm_;
  TBuf<TPosition::VECCALC> position_buffer_;
  TQue<TPosition::VECIN, 2> in_;
  TBuf<TPosition::VECCALC> wide_buffer_;
  LocalTensor<T> loaded_;
};

}  // namespace rotary
