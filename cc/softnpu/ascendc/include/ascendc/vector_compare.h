// cc/softnpu/ascendc/include/ascendc/vector_compare.h: comparison and selection.
//
// A comparison gives a bit per element, packed from the lowest bit on. CMPMASK is a register of
// 128 bits.
#pragma once

#include "ascendc/vector_forms.h"

namespace AscendC {

enum class CMPMODE : uint8_t { LT = 0, GT, EQ, LE, GE, NE };
enum class SELMODE : uint8_t {
  VSEL_CMPMASK_SPR = 0,
  VSEL_TENSOR_SCALAR_MODE,
  VSEL_TENSOR_TENSOR_MODE,
};

// `count` elements are a multiple of 256 bytes.
template <typename T, typename U>
inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0,
                    const LocalTensor<T>& src1, CMPMODE cmpMode, uint32_t count,
                    Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_COMPARE, where)
      .Operand(dst)
      .Operand(src0)
      .Operand(src1)
      .Param(0, static_cast<int64_t>(cmpMode))
      .Count(count);
}

#define SOFTNPU_COMPARE(MaskType)                                                                \
  template <typename T, typename U, bool isSetMask = true>                                       \
  inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0,                     \
                      const LocalTensor<T>& src1, CMPMODE cmpMode, MaskType,                     \
                      const softnpu_internal::Repeats& repeatTime,                               \
                      const BinaryRepeatParams& params, Where where = Where::Here()) {           \
    softnpu_internal::Vector(SOFTNPU_OP_COMPARE, where)                                          \
        .Operand(dst)                                                                            \
        .Operand(src0, params.src0BlkStride, params.src0RepStride)                               \
        .Operand(src1, params.src1BlkStride, params.src1RepStride)                               \
        .Param(0, static_cast<int64_t>(cmpMode))                                                 \
        .template Mask<isSetMask>(mask, repeatTime);                                             \
  }                                                                                              \
  template <typename T, bool isSetMask = true>                                                   \
  inline void Compare(const LocalTensor<T>& src0, const LocalTensor<T>& src1, CMPMODE cmpMode,   \
                      MaskType, const BinaryRepeatParams& params, Where where = Where::Here()) { \
    softnpu_internal::Vector(SOFTNPU_OP_COMPARE_REGISTER, where)                                 \
        .Operand(src0, params.src0BlkStride, params.src0RepStride)                               \
        .Operand(src1, params.src1BlkStride, params.src1RepStride)                               \
        .Param(0, static_cast<int64_t>(cmpMode))                                                 \
        .template Mask<isSetMask>(mask, 1);                                                      \
  }
SOFTNPU_COMPARE(const uint64_t mask)
SOFTNPU_COMPARE(const uint64_t mask[])
#undef SOFTNPU_COMPARE

#define SOFTNPU_COMPARE_SCALAR(Name)                                                             \
  template <typename T, typename U>                                                              \
  inline void Name(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar,    \
                   CMPMODE cmpMode, uint32_t count, Where where = Where::Here()) {               \
    softnpu_internal::Vector(SOFTNPU_OP_COMPARE_SCALAR, where)                                   \
        .Operand(dst)                                                                            \
        .Operand(src0)                                                                           \
        .Scalar(src1Scalar)                                                                      \
        .Param(0, static_cast<int64_t>(cmpMode))                                                 \
        .Count(count);                                                                           \
  }                                                                                              \
  template <typename T, typename U, bool isSetMask = true>                                       \
  inline void Name(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar,    \
                   CMPMODE cmpMode, const uint64_t mask,                                         \
                   const softnpu_internal::Repeats& repeatTime, const UnaryRepeatParams& params, \
                   Where where = Where::Here()) {                                                \
    softnpu_internal::Vector(SOFTNPU_OP_COMPARE_SCALAR, where)                                   \
        .Operand(dst)                                                                            \
        .Operand(src0, params.srcBlkStride, params.srcRepStride)                                 \
        .Scalar(src1Scalar)                                                                      \
        .Param(0, static_cast<int64_t>(cmpMode))                                                 \
        .template Mask<isSetMask>(mask, repeatTime);                                             \
  }                                                                                              \
  template <typename T, typename U, bool isSetMask = true>                                       \
  inline void Name(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar,    \
                   CMPMODE cmpMode, const uint64_t mask[],                                       \
                   const softnpu_internal::Repeats& repeatTime, const UnaryRepeatParams& params, \
                   Where where = Where::Here()) {                                                \
    softnpu_internal::Vector(SOFTNPU_OP_COMPARE_SCALAR, where)                                   \
        .Operand(dst)                                                                            \
        .Operand(src0, params.srcBlkStride, params.srcRepStride)                                 \
        .Scalar(src1Scalar)                                                                      \
        .Param(0, static_cast<int64_t>(cmpMode))                                                 \
        .template Mask<isSetMask>(mask, repeatTime);                                             \
  }
SOFTNPU_COMPARE_SCALAR(CompareScalar)
SOFTNPU_COMPARE_SCALAR(Compares)
#undef SOFTNPU_COMPARE_SCALAR

// dst = bit ? src0 : src1. With VSEL_CMPMASK_SPR the bits of one repeat serve all repeats.
template <typename T, typename U>
inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask,
                   const LocalTensor<T>& src0, const LocalTensor<T>& src1, SELMODE selMode,
                   uint32_t count, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_SELECT, where)
      .Operand(dst)
      .Operand(src0)
      .Operand(src1)
      .Operand(selMask)
      .Param(0, static_cast<int64_t>(selMode))
      .Count(count);
}
template <typename T, typename U>
inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask,
                   const LocalTensor<T>& src0, T src1, SELMODE selMode, uint32_t count,
                   Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_SELECT, where)
      .Operand(dst)
      .Operand(src0)
      .Operand(selMask)
      .Scalar(src1)
      .Param(0, static_cast<int64_t>(selMode))
      .Param(1, 1)
      .Count(count);
}

#define SOFTNPU_SELECT(MaskType)                                                              \
  template <typename T, typename U, bool isSetMask = true>                                    \
  inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask,                \
                     const LocalTensor<T>& src0, const LocalTensor<T>& src1, SELMODE selMode, \
                     MaskType, const softnpu_internal::Repeats& repeatTime,                   \
                     const BinaryRepeatParams& params, Where where = Where::Here()) {         \
    softnpu_internal::Vector(SOFTNPU_OP_SELECT, where)                                        \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                               \
        .Operand(src0, params.src0BlkStride, params.src0RepStride)                            \
        .Operand(src1, params.src1BlkStride, params.src1RepStride)                            \
        .Operand(selMask)                                                                     \
        .Param(0, static_cast<int64_t>(selMode))                                              \
        .template Mask<isSetMask>(mask, repeatTime);                                          \
  }                                                                                           \
  template <typename T, typename U, bool isSetMask = true>                                    \
  inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask,                \
                     const LocalTensor<T>& src0, T src1, SELMODE selMode, MaskType,           \
                     const softnpu_internal::Repeats& repeatTime,                             \
                     const BinaryRepeatParams& params, Where where = Where::Here()) {         \
    softnpu_internal::Vector(SOFTNPU_OP_SELECT, where)                                        \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                               \
        .Operand(src0, params.src0BlkStride, params.src0RepStride)                            \
        .Operand(selMask)                                                                     \
        .Scalar(src1)                                                                         \
        .Param(0, static_cast<int64_t>(selMode))                                              \
        .Param(1, 1)                                                                          \
        .template Mask<isSetMask>(mask, repeatTime);                                          \
  }
SOFTNPU_SELECT(uint64_t mask)
SOFTNPU_SELECT(const uint64_t mask[])
#undef SOFTNPU_SELECT

// The bits of CMPMASK select, the mask register says which elements take part.
template <typename T, SELMODE selMode = SELMODE::VSEL_CMPMASK_SPR>
inline void Select(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                   const LocalTensor<T>& src1, const softnpu_internal::Repeats& repeatTime,
                   const BinaryRepeatParams& params, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_SELECT, where)
      .Operand(dst, params.dstBlkStride, params.dstRepStride)
      .Operand(src0, params.src0BlkStride, params.src0RepStride)
      .Operand(src1, params.src1BlkStride, params.src1RepStride)
      .Param(0, static_cast<int64_t>(selMode))
      .Param(2, 1)
      .template Mask<false>(MASK_PLACEHOLDER, repeatTime);
}

// 16 bytes of CMPMASK.
template <typename T>
inline void GetCmpMask(const LocalTensor<T>& dst, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_GET_CMP_MASK, where).Operand(dst).Repeat(1);
}
template <typename T>
inline void SetCmpMask(const LocalTensor<T>& src, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_SET_CMP_MASK, where).Operand(src).Repeat(1);
}

}  // namespace AscendC
