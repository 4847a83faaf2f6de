// cc/kernels/lora/lora_common.h: what the LoRA kernels share: the adapters of tokens, and rows of
// any floating type as floats in the UB. Device code.
#pragma once

#include <stdint.h>

#include "cc/kernels/device.h"
#include "cc/kernels/lora/buffers_tiling.h"
#include "cc/kernels/sizes.h"
#include "kernel_operator.h"

namespace lora {

using device::FloatOf;
using device::kBlockBytes;
using device::kBlockFloats;
using device::kLanes;
using device::kMaxRepeat;
using device::Min;
using device::NoPad;
using device::OneRow;
using device::ShareOf;
using device::Step;
using device::StorageOf;
using sizes::Ceil;
using sizes::RoundUp;

// The pipe behind `event` goes on when the one before it has done all it was given.
template <AscendC::HardEvent event>
__aicore__ inline void Order() {
  const AscendC::TEventID id = AscendC::GetTPipePtr()->FetchEventID(event);
  AscendC::SetFlag<event>(id);
  AscendC::WaitFlag<event>(id);
}

// The adapters of a batch of tokens.
class Adapters {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, GM_ADDR indices, int64_t tokens,
                              int64_t index_bytes, int64_t adapters, int64_t buffer_bytes) {
    words_ = index_bytes / 4;
    adapters_ = adapters;
    gm_.SetGlobalBuffer((__gm__ int32_t*)indices, tokens * words_);
    pipe->InitBuffer(buffer_, (uint32_t)buffer_bytes);
  }

  __aicore__ inline void Load(int64_t first, int64_t count) {
    Order<AscendC::HardEvent::S_MTE2>();  // the scalar unit has read what lay there before
    AscendC::DataCopyPad(buffer_.Get<int32_t>(), gm_[first * words_], OneRow(count * words_ * 4),
                         NoPad<int32_t>());
    Order<AscendC::HardEvent::MTE2_S>();
  }

  // Of token `t` of the batch; -1: none. Traps at a number that no adapter has.
  __aicore__ inline int64_t operator[](int64_t t) const {
    const int64_t adapter = words_ == 1 ? (int64_t)buffer_.Get<int32_t>().GetValue((uint32_t)t)
                                        : buffer_.Get<int64_t>().GetValue((uint32_t)t);
    if (adapter < -1 || adapter >= adapters_) AscendC::Trap();
    return adapter;
  }

  // The first token behind `t`, below `count`, that has another adapter.
  __aicore__ inline int64_t EndOfRun(int64_t t, int64_t count) const {
    int64_t end = t + 1;
    while (end < count && (*this)[end] == (*this)[t]) ++end;
    return end;
  }

 private:
  int64_t words_ = 1;
  int64_t adapters_ = 0;
  AscendC::GlobalTensor<int32_t> gm_;
  mutable AscendC::TBuf<> buffer_;
};

// Rows of T in GM, as floats in the UB. Floats are used where they were loaded: the buffer of one
// load is held until the next. The rows begin `lead` floats behind the beginning of their buffer.
template <typename T, int64_t lead = 0>
class Rows {
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, int64_t buffer_bytes, int64_t wide_bytes) {
    pipe->InitBuffer(queue_, 2, (uint32_t)buffer_bytes);
    if constexpr (!kIsFloat) pipe->InitBuffer(wide_, (uint32_t)wide_bytes);
  }

  // `rows` rows of `length` elements, `gm_pitch` elements from each other; in the UB a row takes
  // Pitch(length) floats, and what is no element is 0.
  __aicore__ inline AscendC::LocalTensor<float> Load(const AscendC::GlobalTensor<Storage>& from,
                                                     int64_t rows, int64_t length,
                                                     int64_t gm_pitch) {
    Release();
    AscendC::LocalTensor<T> in = queue_.template AllocTensor<T>();
    const AscendC::DataCopyExtParams shape((uint16_t)rows, (uint32_t)(length * (int64_t)sizeof(T)),
                                           (uint32_t)((gm_pitch - length) * (int64_t)sizeof(T)), 0,
                                           0);
    constexpr uint32_t place = kIsFloat ? (uint32_t)lead : 0;
    AscendC::DataCopyPad(
        in[place].template ReinterpretCast<Storage>(), from, shape,
        AscendC::DataCopyPadExtParams<Storage>(true, 0, (uint8_t)(Pitch(length) - length), 0));
    queue_.EnQue(in);
    in = queue_.template DeQue<T>();
    if constexpr (kIsFloat) {
      held_ = in;
      is_held_ = true;
      return in[place];
    } else {
      const AscendC::LocalTensor<float> wide = wide_.template Get<float>()[(uint32_t)lead];
      Step();  // nothing reads the former rows any more
      AscendC::Cast(wide, in, AscendC::RoundMode::CAST_NONE, (uint32_t)(rows * Pitch(length)));
      queue_.FreeTensor(in);
      Step();
      return wide;
    }
  }

  // The rows are not used any more.
  __aicore__ inline void Release() {
    if constexpr (kIsFloat) {
      if (is_held_) queue_.FreeTensor(held_);
      is_held_ = false;
    }
  }

  __aicore__ static inline int64_t Pitch(int64_t length) {
    return RoundUp(length, kBlockBytes / (int64_t)sizeof(T));
  }

 private:
  AscendC::TQue<AscendC::TPosition::VECIN, 2> queue_;
  AscendC::TBuf<> wide_;
  AscendC::LocalTensor<T> held_;
  bool is_held_ = false;
};

}  // namespace lora
