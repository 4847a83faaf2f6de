// cc/kernels/moe/moe_common.h: what the mixture-of-experts kernels share. Device code: included
// behind kernel_operator.h.
#pragma once

#include <stdint.h>

namespace moe {

constexpr int64_t kLanes = 64;       // floats of a repeat
constexpr int64_t kBlockFloats = 8;  // of 32 bytes
constexpr int64_t kBlockBytes = 32;
constexpr int64_t kMaxRepeat = 255;
constexpr int64_t kList = 32;         // what Sort32 sorts
constexpr int64_t kFanIn = 4;         // lists that a merge takes
constexpr int64_t kRecordBlocks = 4;  // records in 32 bytes

__aicore__ inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
__aicore__ inline int64_t Ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
__aicore__ inline int64_t RoundUp(int64_t a, int64_t b) { return Ceil(a, b) * b; }
// What a bit per element takes.
__aicore__ inline uint32_t BitBytes(int64_t elements) {
  return (uint32_t)RoundUp(elements / 8, kBlockBytes);
}

// Moves data: DataCopyPad knows bytes.
template <typename T>
struct StorageOf {
  using Type = uint16_t;
};
template <>
struct StorageOf<float> {
  using Type = uint32_t;
};

// A part of a buffer.
struct Part {
  AscendC::LocalTensor<float> words;
  template <typename E>
  __aicore__ inline AscendC::LocalTensor<E> Get() const {
    return words.template ReinterpretCast<E>();
  }
};

// A copy of `bytes` bytes in one piece, without padding; GatherMask over one row.
__aicore__ inline AscendC::DataCopyExtParams OneRow(int64_t bytes) {
  return AscendC::DataCopyExtParams(1, (uint32_t)bytes, 0, 0, 0);
}
template <typename T>
__aicore__ inline AscendC::DataCopyPadExtParams<T> NoPad() {
  return AscendC::DataCopyPadExtParams<T>(false, 0, 0, (T)0);
}
__aicore__ inline AscendC::GatherMaskParams Once() { return AscendC::GatherMaskParams(1, 1, 0, 0); }

// [begin, end) of `count` for this core, one of the first `cores`: the first `count % cores` take
// one more than the others.
struct Share {
  int64_t begin;
  int64_t end;
};
__aicore__ inline Share ShareOf(int64_t count, int64_t cores = AscendC::GetBlockNum()) {
  const int64_t core = AscendC::GetBlockIdx();
  const int64_t share = count / cores;
  const int64_t rest = count % cores;
  const int64_t begin = core * share + Min(core, rest);
  return {begin, begin + share + (core < rest ? 1 : 0)};
}

// The pipe behind `event` goes on when the one before it has done all it was given.
template <AscendC::HardEvent event>
__aicore__ inline void Order() {
  const AscendC::TEventID id = AscendC::GetTPipePtr()->FetchEventID(event);
  AscendC::SetFlag<event>(id);
  AscendC::WaitFlag<event>(id);
}

// dst[i] = the element `base` + offsets[i] bytes into src. As repeats: what lies between the first
// and the last element that is read does not matter. `count` is at most that of 255 repeats, more
// than the UB has room for beside what the callers hold.
template <typename E>
__aicore__ inline void Pick(const AscendC::LocalTensor<E>& dst, const AscendC::LocalTensor<E>& src,
                            const AscendC::LocalTensor<uint32_t>& offsets, uint32_t base,
                            uint32_t count) {
  const uint32_t whole = count / (uint32_t)kLanes * (uint32_t)kLanes;
  if (whole > 0) {
    AscendC::Gather(dst, src, offsets, base, (uint64_t)kLanes, (uint8_t)(whole / (uint32_t)kLanes),
                    8);
  }
  if (whole < count) {
    AscendC::Gather(dst[whole], src, offsets[whole], base, (uint64_t)(count - whole), 1, 8);
  }
}

// The scores (0) or the numbers (1) of `count` records.
template <typename E>
__aicore__ inline void Fields(const AscendC::LocalTensor<E>& dst,
                              const AscendC::LocalTensor<float>& records, int64_t field,
                              int64_t count) {
  uint64_t taken = 0;
  AscendC::GatherMask(dst, records.ReinterpretCast<E>(), (uint8_t)(field + 1), true,
                      (uint32_t)(2 * count), Once(), taken);
}

}  // namespace moe
