// cc/kernels/cache/row_copy.h: copies of rows of bytes, for the kernels of this family.
#pragma once

#include <stdint.h>

#include "cc/kernels/device.h"
#include "kernel_operator.h"

namespace cache_rows {

using device::kBlockBytes;
using device::kLanes;
using device::Min;
using device::ShareOf;
using device::Step;
using sizes::kMaxRows;

constexpr int64_t kMaxGap = 0xFFFFFFFFll;  // bytes between the rows of one DataCopyPad in GM
constexpr int64_t kMaxGapBlocks = 65535;   // of one DataCopy, on both sides

// `rows` of `bytes` each; gaps lie between rows, in bytes. In the UB a row begins with a block of
// 32 bytes, and `ub_gap` is of whole blocks. Without DataCopyPad, on 310P, `bytes` and `gm_gap` are
// whole blocks, too.
__aicore__ inline void Load(const AscendC::LocalTensor<uint8_t>& to,
                            const AscendC::GlobalTensor<uint8_t>& from, int64_t rows, int64_t bytes,
                            int64_t gm_gap, int64_t ub_gap, bool has_copy_pad) {
  if (has_copy_pad) {
    const AscendC::DataCopyExtParams shape((uint16_t)rows, (uint32_t)bytes, (uint32_t)gm_gap,
                                           (uint32_t)(ub_gap / kBlockBytes), 0);
    AscendC::DataCopyPad(to, from, shape, device::NoPad<uint8_t>());
  } else {
    const AscendC::DataCopyParams shape((uint16_t)rows, (uint16_t)(bytes / kBlockBytes),
                                        (uint16_t)(gm_gap / kBlockBytes),
                                        (uint16_t)(ub_gap / kBlockBytes));
    AscendC::DataCopy(to, from, shape);
  }
}

__aicore__ inline void Store(const AscendC::GlobalTensor<uint8_t>& to,
                             const AscendC::LocalTensor<uint8_t>& from, int64_t rows, int64_t bytes,
                             int64_t gm_gap, int64_t ub_gap, bool has_copy_pad) {
  if (has_copy_pad) {
    const AscendC::DataCopyExtParams shape((uint16_t)rows, (uint32_t)bytes,
                                           (uint32_t)(ub_gap / kBlockBytes), (uint32_t)gm_gap, 0);
    AscendC::DataCopyPad(to, from, shape);
  } else {
    const AscendC::DataCopyParams shape((uint16_t)rows, (uint16_t)(bytes / kBlockBytes),
                                        (uint16_t)(ub_gap / kBlockBytes),
                                        (uint16_t)(gm_gap / kBlockBytes));
    AscendC::DataCopy(to, from, shape);
  }
}

// Words of 4 bytes into the UB, for the scalar unit, which may read them when it has waited for the
// MTE2_S flag that this gives; until then nothing else fetches an event of that kind. `again`: it
// has read what lay there before.
__aicore__ inline AscendC::TEventID StartWords(AscendC::TPipe* pipe,
                                               const AscendC::LocalTensor<int32_t>& to,
                                               const AscendC::GlobalTensor<int32_t>& from,
                                               int64_t words, bool again, bool has_copy_pad) {
  if (again) {
    const AscendC::TEventID read = pipe->FetchEventID(AscendC::HardEvent::S_MTE2);
    AscendC::SetFlag<AscendC::HardEvent::S_MTE2>(read);
    AscendC::WaitFlag<AscendC::HardEvent::S_MTE2>(read);
  }
  if (has_copy_pad) {
    AscendC::DataCopyPad(to, from, device::OneRow(words * 4), device::NoPad<int32_t>());
  } else {
    // Whole blocks, and the rest by the scalar unit.
    // mutant: drop term of `kBlockBytes / 4`, constant off by one equivalent: Same result by more
    // instructions.
    const int64_t whole = words / (kBlockBytes / 4) * (kBlockBytes / 4);
    if (whole > 0) AscendC::DataCopy(to, from, (uint32_t)whole);
    for (int64_t i = whole; i < words; ++i) {
      to.SetValue((uint32_t)i, from.GetValue((uint64_t)i));
    }
  }
  const AscendC::TEventID loaded = pipe->FetchEventID(AscendC::HardEvent::MTE2_S);
  AscendC::SetFlag<AscendC::HardEvent::MTE2_S>(loaded);
  return loaded;
}

// The same; the scalar unit may read them when this returns.
__aicore__ inline void LoadWords(AscendC::TPipe* pipe, const AscendC::LocalTensor<int32_t>& to,
                                 const AscendC::GlobalTensor<int32_t>& from, int64_t words,
                                 bool again, bool has_copy_pad) {
  // mutant: argument off by one of `again` equivalent: One more pair of set and wait orders more
  // than needed.
  AscendC::WaitFlag<AscendC::HardEvent::MTE2_S>(
      StartWords(pipe, to, from, words, again, has_copy_pad));
}

}  // namespace cache_rows
