// cc/kernels/moe/moe_common.h: what the mixture-of-experts kernels share. Device code.
#pragma once

#include <stdint.h>

#include "cc/kernels/device.h"
#include "cc/kernels/sizes.h"

namespace moe {

using device::FloatOf;
using device::kBlockBytes;
using device::kBlockFloats;
using device::kLanes;
using device::kMaxRepeat;
using device::Max;
using device::Min;
using device::NoPad;
using device::OneRow;
using device::Share;
using device::ShareOf;
using device::StorageOf;
using sizes::Ceil;
using sizes::RoundUp;

constexpr int64_t kList = 32;         // records that Sort32 sorts
constexpr int64_t kFanIn = 4;         // lists that a merge takes
constexpr int64_t kRecordBlocks = 4;  // records in 32 bytes

// One buffer of the UB, of which parts are tensors: their places are in `parts`, a struct of the
// tiling header.
template <typename Parts>
class Arena {
 public:
  __aicore__ inline void Init(AscendC::TPipe* pipe, const Parts& of) {
    parts = of;
    pipe->InitBuffer(buffer_, (uint32_t)(parts.words * 4));
  }
  template <typename E>
  __aicore__ inline AscendC::LocalTensor<E> Get(const sizes::Part& part) const {
    return buffer_.template GetWithOffset<float>((uint32_t)part.words, (uint32_t)(part.begin * 4))
        .template ReinterpretCast<E>();
  }

  Parts parts{};

 private:
  mutable AscendC::TBuf<> buffer_;
};

// GatherMask over one row.
__aicore__ inline AscendC::GatherMaskParams Once() {
  // mutant: constant off by one of `0` equivalent: One repeat: strides are not used.
  return AscendC::GatherMaskParams(1, 1, 0, 0);
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
  // mutant: drop bound, bound off by one equivalent: With no elements nothing happens either way.
  if (whole > 0) {
    AscendC::Gather(dst, src, offsets, base, (uint64_t)kLanes, (uint8_t)(whole / (uint32_t)kLanes),
                    8);
  }
  if (whole < count) {
    // mutant: constant off by one of `8` equivalent: One repeat: strides are not used.
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
