// cc/kernels/device.h: what kernels of all families share. Device code.
#pragma once

#include <stdint.h>

#include "cc/kernels/sizes.h"
#include "kernel_operator.h"

namespace device {

using sizes::kBlockBytes;
using sizes::kBlockFloats;
using sizes::kLanes;
using sizes::Max;
using sizes::Min;

constexpr int64_t kMaxRepeat = 255;  // of an instruction

// The vector instructions behind it begin when those before it have ended.
__aicore__ inline void Step() { AscendC::PipeBarrier<PIPE_V>(); }

// The float of the lower 32 bits, in which a tiling carries one.
__aicore__ inline float FloatOf(int64_t bits) {
  const uint32_t word = (uint32_t)bits;
  return *reinterpret_cast<const float*>(&word);
}

// A copy of `bytes` bytes in one piece; a load without padding.
__aicore__ inline AscendC::DataCopyExtParams OneRow(int64_t bytes) {
  // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
  return AscendC::DataCopyExtParams(1, (uint32_t)bytes, 0, 0, 0);
}
template <typename T>
__aicore__ inline AscendC::DataCopyPadExtParams<T> NoPad() {
  // mutant: argument off by one equivalent: No padding: the padding value is not used.
  return AscendC::DataCopyPadExtParams<T>(false, 0, 0, (T)0);
}

// A type of as many bytes, for copies: DataCopyPad knows it, and its zero is a zero of T.
template <typename T>
struct StorageOf {
  using Type = uint16_t;
};
template <>
struct StorageOf<float> {
  using Type = uint32_t;
};

// [begin, end) of `count` items for core `core` of `cores`: the first `count % cores` cores take
// one more than the others.
struct Share {
  int64_t begin;
  int64_t end;
};
__aicore__ inline Share ShareOf(int64_t count, int64_t cores, int64_t core) {
  const int64_t share = count / cores;
  const int64_t rest = count % cores;
  const int64_t begin = core * share + Min(core, rest);
  return {begin, begin + share + (core < rest ? 1 : 0)};
}
// For this core, one of the first `cores`, or of all.
__aicore__ inline Share ShareOf(int64_t count, int64_t cores) {
  return ShareOf(count, cores, AscendC::GetBlockIdx());
}
__aicore__ inline Share ShareOf(int64_t count) { return ShareOf(count, AscendC::GetBlockNum()); }

}  // namespace device
