// cc/softnpu/ascendc/access.h: the bytes that an instruction reads or writes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/race.h"

namespace softnpu::ascendc {

inline constexpr uint64_t kBlockBytes = 32;
inline constexpr uint64_t kRepeatBytes = 256;

// `rows` runs of `bytes`, `stride` bytes apart.
struct Access {
  const SoftnpuTensor* tensor = nullptr;
  uint64_t base = 0;
  uint64_t bytes = 0;
  uint64_t rows = 1;
  uint64_t stride = 0;
  bool write = false;
  bool atomic = false;        // a write that reads and combines, in one step, with what is there
  bool travels = false;       // a read whose bytes without a value make results without a value
  std::byte* host = nullptr;  // of `base`; set by Memories::Resolve
  int region = -1;            // index of the GM region; set by Memories::Resolve

  uint64_t extent() const { return (rows - 1) * stride + bytes; }
  Pattern pattern() const { return {base, bytes, rows, stride}; }
};

}  // namespace softnpu::ascendc
