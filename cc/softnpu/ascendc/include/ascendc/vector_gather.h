// cc/softnpu/ascendc/include/ascendc/vector_gather.h: places that depend on data.
#pragma once

#include "ascendc/vector_forms.h"

namespace AscendC {

enum class GatherMaskMode : uint8_t { VERSION_V1 = 0, VERSION_V2 };
constexpr GatherMaskMode defaultGatherMaskMode = GatherMaskMode::VERSION_V2;

struct GatherRepeatParams {
  uint8_t dstBlkStride = 1;
  uint8_t dstRepStride = 8;

  GatherRepeatParams() = default;
  GatherRepeatParams(uint8_t dst_block, uint8_t dst_repeat)
      : dstBlkStride(dst_block), dstRepStride(dst_repeat) {}
};

struct GatherMaskParams {
  uint8_t src0BlockStride = 1;
  uint16_t repeatTimes = 0;
  uint16_t src0RepeatStride = 0;
  uint8_t src1RepeatStride = 0;

  GatherMaskParams() = default;
  GatherMaskParams(uint8_t src0_block, uint16_t repeats, uint16_t src0_repeat, uint8_t src1_repeat)
      : src0BlockStride(src0_block),
        repeatTimes(repeats),
        src0RepeatStride(src0_repeat),
        src1RepeatStride(src1_repeat) {}
};

// dst[i] = the element at `srcBaseAddr + srcOffset[i]` bytes of src.
template <typename T>
inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                   const LocalTensor<uint32_t>& srcOffset, const uint32_t srcBaseAddr,
                   const uint32_t count, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_GATHER, where)
      .Operand(dst)
      .Operand(src)
      .Operand(srcOffset)
      .Param(0, srcBaseAddr)
      .Count(count);
}
// The element at `dstBaseAddr + dstOffset[i]` bytes of dst = src[i]. Not on A2 and A3.
template <typename T>
inline void Scatter(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                    const LocalTensor<uint32_t>& dstOffset, const uint32_t dstBaseAddr,
                    const uint32_t count, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_SCATTER, where)
      .Operand(dst)
      .Operand(src)
      .Operand(dstOffset)
      .Param(0, dstBaseAddr)
      .Count(count);
}

#define SOFTNPU_GATHER(MaskType)                                                                   \
  template <typename T>                                                                            \
  inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src,                         \
                     const LocalTensor<uint32_t>& srcOffset, const uint32_t srcBaseAddr, MaskType, \
                     const softnpu_internal::Repeats& repeatTime, const uint16_t dstRepStride,     \
                     Where where = Where::Here()) {                                                \
    softnpu_internal::Vector(SOFTNPU_OP_GATHER, where)                                             \
        .Operand(dst, 1, dstRepStride)                                                             \
        .Operand(src)                                                                              \
        .Operand(srcOffset)                                                                        \
        .Param(0, srcBaseAddr)                                                                     \
        .Mask(mask, repeatTime);                                                                   \
  }                                                                                                \
  template <typename T>                                                                            \
  inline void Scatter(const LocalTensor<T>& dst, const LocalTensor<T>& src,                        \
                      const LocalTensor<uint32_t>& dstOffset, const uint32_t dstBaseAddr,          \
                      MaskType, const softnpu_internal::Repeats& repeatTime,                       \
                      const uint8_t srcRepStride, Where where = Where::Here()) {                   \
    softnpu_internal::Vector(SOFTNPU_OP_SCATTER, where)                                            \
        .Operand(dst)                                                                              \
        .Operand(src, 1, srcRepStride)                                                             \
        .Operand(dstOffset)                                                                        \
        .Param(0, dstBaseAddr)                                                                     \
        .Mask(mask, repeatTime);                                                                   \
  }
SOFTNPU_GATHER(const uint64_t mask)
SOFTNPU_GATHER(const uint64_t mask[])
#undef SOFTNPU_GATHER

// Per repeat eight blocks of 32 bytes, each from its byte offset in src0.
template <typename T>
inline void Gatherb(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                    const LocalTensor<uint32_t>& offset,
                    const softnpu_internal::Repeats& repeatTime, const GatherRepeatParams& params,
                    Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_GATHERB, where)
      .Operand(dst, params.dstBlkStride, params.dstRepStride)
      .Operand(src0)
      .Operand(offset)
      .Repeat(repeatTime);
}

namespace softnpu_internal {
inline uint64_t GatherMask(Vector& call, int64_t pattern, bool reduce_mode, uint32_t mask,
                           const GatherMaskParams& params) {
  return call.Param(0, pattern)
      .Param(1, reduce_mode)
      .Param(2, mask)
      .Param(3, params.src0BlockStride)
      .Param(4, params.repeatTimes)
      .Param(5, params.src0RepeatStride)
      .Param(6, params.src1RepeatStride)
      .Repeat(0);
}
}  // namespace softnpu_internal

// Packs the elements whose bit is set. Without reduceMode a repeat is 256 bytes, with it `mask`
// elements. Patterns: 1 even, 2 odd, 3 to 6 every fourth from 0 to 3 on, 7 all.
template <typename T, GatherMaskMode mode = defaultGatherMaskMode>
inline void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                       const uint8_t src1Pattern, const bool reduceMode, const uint32_t mask,
                       const GatherMaskParams& gatherMaskParams, uint64_t& rsvdCnt,
                       Where where = Where::Here()) {
  softnpu_internal::Vector call(SOFTNPU_OP_GATHER_MASK, where);
  call.Operand(dst).Operand(src0);
  rsvdCnt = softnpu_internal::GatherMask(call, src1Pattern, reduceMode, mask, gatherMaskParams);
}
template <typename T, typename U, GatherMaskMode mode = defaultGatherMaskMode>
inline void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                       const LocalTensor<U>& src1Pattern, const bool reduceMode,
                       const uint32_t mask, const GatherMaskParams& gatherMaskParams,
                       uint64_t& rsvdCnt, Where where = Where::Here()) {
  softnpu_internal::Vector call(SOFTNPU_OP_GATHER_MASK, where);
  call.Operand(dst).Operand(src0).Operand(src1Pattern);
  rsvdCnt = softnpu_internal::GatherMask(call, 0, reduceMode, mask, gatherMaskParams);
}

}  // namespace AscendC
