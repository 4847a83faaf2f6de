// cc/softnpu/ascendc/include/ascendc/vector_fill.h: values that are made or repeated.
#pragma once

#include "ascendc/vector_forms.h"

namespace AscendC {

struct BrcbRepeatParams {
  uint16_t dstBlkStride = 1;
  uint16_t dstRepStride = 8;

  BrcbRepeatParams() = default;
  BrcbRepeatParams(uint16_t dst_block, uint16_t dst_repeat)
      : dstBlkStride(dst_block), dstRepStride(dst_repeat) {}
};

struct CopyRepeatParams {
  uint16_t dstStride = 1;
  uint16_t srcStride = 1;
  uint16_t dstRepeatSize = 8;
  uint16_t srcRepeatSize = 8;

  CopyRepeatParams() = default;
  CopyRepeatParams(uint16_t dst_block, uint16_t src_block, uint16_t dst_repeat, uint16_t src_repeat)
      : dstStride(dst_block),
        srcStride(src_block),
        dstRepeatSize(dst_repeat),
        srcRepeatSize(src_repeat) {}
};

#define SOFTNPU_FILL(Name, opcode, Template, V)                                                 \
  template <Template, bool isSetMask = true>                                                    \
  inline void Name(const LocalTensor<T>& dst, const V& value, const int32_t& count,             \
                   Where where = Where::Here()) {                                               \
    softnpu_internal::Vector(opcode, where)                                                     \
        .Operand(dst)                                                                           \
        .Scalar(static_cast<T>(value))                                                          \
        .Param(0, static_cast<int64_t>(softnpu::core::Bits(static_cast<T>(1))))                 \
        .Count(count);                                                                          \
  }                                                                                             \
  template <Template, bool isSetMask = true>                                                    \
  inline void Name(const LocalTensor<T>& dst, const V& value, uint64_t mask,                    \
                   const softnpu_internal::Repeats& repeatTimes, const uint16_t dstBlockStride, \
                   const uint8_t dstRepeatStride, Where where = Where::Here()) {                \
    softnpu_internal::Vector(opcode, where)                                                     \
        .Operand(dst, dstBlockStride, dstRepeatStride)                                          \
        .Scalar(static_cast<T>(value))                                                          \
        .Param(0, static_cast<int64_t>(softnpu::core::Bits(static_cast<T>(1))))                 \
        .template Mask<isSetMask>(mask, repeatTimes);                                           \
  }                                                                                             \
  template <Template, bool isSetMask = true>                                                    \
  inline void Name(const LocalTensor<T>& dst, const V& value, const uint64_t mask[],            \
                   const softnpu_internal::Repeats& repeatTimes, const uint16_t dstBlockStride, \
                   const uint8_t dstRepeatStride, Where where = Where::Here()) {                \
    softnpu_internal::Vector(opcode, where)                                                     \
        .Operand(dst, dstBlockStride, dstRepeatStride)                                          \
        .Scalar(static_cast<T>(value))                                                          \
        .Param(0, static_cast<int64_t>(softnpu::core::Bits(static_cast<T>(1))))                 \
        .template Mask<isSetMask>(mask, repeatTimes);                                           \
  }
#define SOFTNPU_COMMA ,

SOFTNPU_FILL(Duplicate, SOFTNPU_OP_DUPLICATE, typename T, T)
SOFTNPU_FILL(Duplicate, SOFTNPU_OP_DUPLICATE, typename T SOFTNPU_COMMA typename U, U)
// value, value + 1, ...: the index counts over all repeats.
SOFTNPU_FILL(CreateVecIndex, SOFTNPU_OP_CREATE_VEC_INDEX, typename T, T)
SOFTNPU_FILL(CreateVecIndex, SOFTNPU_OP_CREATE_VEC_INDEX, typename T SOFTNPU_COMMA typename U, U)
#undef SOFTNPU_FILL
#undef SOFTNPU_COMMA

// firstValue + i * diffValue
template <typename T>
inline void ArithProgression(const LocalTensor<T>& dst, const T firstValue, const T diffValue,
                             const int32_t count, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_ARITH_PROGRESSION, where)
      .Operand(dst)
      .Scalar(firstValue)
      .Param(0, static_cast<int64_t>(softnpu::core::Bits(diffValue)))
      .Count(count);
}
template <typename T>
inline void Arange(const LocalTensor<T>& dst, const T firstValue, const T diffValue,
                   const int32_t count, Where where = Where::Here()) {
  ArithProgression(dst, firstValue, diffValue, count, where);
}

// Per repeat eight elements of src0; each fills one block of dst.
template <typename T>
inline void Brcb(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                 const softnpu_internal::Repeats& repeatTime, const BrcbRepeatParams& params,
                 Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_BRCB, where)
      .Operand(dst, params.dstBlkStride, params.dstRepStride)
      .Operand(src0)
      .Repeat(repeatTime);
}

#define SOFTNPU_COPY(MaskType)                                                                  \
  template <typename T, bool isSetMask = true>                                                  \
  inline void Copy(const LocalTensor<T>& dst, const LocalTensor<T>& src, MaskType,              \
                   const softnpu_internal::Repeats& repeatTime, const CopyRepeatParams& params, \
                   Where where = Where::Here()) {                                               \
    softnpu_internal::Vector(SOFTNPU_OP_COPY, where)                                            \
        .Operand(dst, params.dstStride, params.dstRepeatSize)                                   \
        .Operand(src, params.srcStride, params.srcRepeatSize)                                   \
        .template Mask<isSetMask>(mask, repeatTime);                                            \
  }
SOFTNPU_COPY(const uint64_t mask)
SOFTNPU_COPY(const uint64_t mask[])
#undef SOFTNPU_COPY

}  // namespace AscendC
