// cc/softnpu/ascendc/include/ascendc/local_memory.h: memories on the chip without a TPipe.
//
// The kernel places tensors itself, one behind the other, and orders the pipes with flags.
#pragma once

#include "ascendc/tensor.h"

namespace AscendC {

enum class Hardware : uint8_t { GM, UB, L1, L0A, L0B, L0C, BIAS, FIXBUF, MAX };

namespace softnpu_internal {

// By Hardware.
constexpr uint8_t kSpaceOf[] = {SOFTNPU_SPACE_GM,  SOFTNPU_SPACE_UB,  SOFTNPU_SPACE_L1,
                                SOFTNPU_SPACE_L0A, SOFTNPU_SPACE_L0B, SOFTNPU_SPACE_L0C,
                                SOFTNPU_SPACE_BT,  SOFTNPU_SPACE_FB};
constexpr TPosition kPositionOf[] = {TPosition::GM, TPosition::VECCALC,  TPosition::A1,
                                     TPosition::A2, TPosition::B2,       TPosition::CO1,
                                     TPosition::C2, TPosition::C2PIPE2GM};

}  // namespace softnpu_internal

template <Hardware hard = Hardware::UB>
class LocalMemAllocator {
  static_assert(hard != Hardware::GM && hard != Hardware::MAX,
                "LocalMemAllocator is for memories on the chip");

 public:
  // Bytes that are taken.
  uint32_t GetCurAddr() const { return taken_; }

  // `tileSize` in elements. What does not fit is told at the first access beyond the memory.
  template <TPosition pos, class DataType>
  LocalTensor<DataType> Alloc(uint32_t tileSize) {
    return Place<DataType>(pos, tileSize);
  }
  template <class DataType>
  LocalTensor<DataType> Alloc(uint32_t tileSize) {
    return Place<DataType>(softnpu_internal::kPositionOf[static_cast<uint8_t>(hard)], tileSize);
  }
  template <TPosition pos, class DataType, uint32_t tileSize>
  LocalTensor<DataType> Alloc() {
    return Place<DataType>(pos, tileSize);
  }
  template <class DataType, uint32_t tileSize>
  LocalTensor<DataType> Alloc() {
    return Alloc<DataType>(tileSize);
  }

 private:
  template <class DataType>
  LocalTensor<DataType> Place(TPosition position, uint32_t size) {
    LocalTensor<DataType> tensor(position, taken_, size);
    tensor.raw_.space = softnpu_internal::kSpaceOf[static_cast<uint8_t>(hard)];
    const auto bytes = static_cast<uint32_t>(softnpu::core::BytesOf<DataType>(size));
    taken_ += (bytes + ONE_BLK_SIZE - 1) / ONE_BLK_SIZE * ONE_BLK_SIZE;
    return tensor;
  }

  uint32_t taken_ = 0;
};

}  // namespace AscendC
