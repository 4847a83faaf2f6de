// cc/softnpu/ascendc/include/ascendc/vector_cast.h: conversions between element types.
#pragma once

#include "ascendc/vector_forms.h"

namespace AscendC {

struct VdeqInfo {
  float vdeqScale[16] = {};
  int16_t vdeqOffset[16] = {};
  bool vdeqSignMode[16] = {};
};

enum class SaturationMode : uint8_t { CAST_MODE = 0, ALL_MODE };

// In the forms with a mask, the mask counts elements of the wider type.
template <typename T, typename U>
inline void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode,
                 const uint32_t count, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_CAST, where)
      .Operand(dst)
      .Operand(src)
      .Param(0, static_cast<int64_t>(roundMode))
      .Count(count);
}

#define SOFTNPU_CAST(MaskType)                                                                    \
  template <typename T, typename U, bool isSetMask = true>                                        \
  inline void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src,                          \
                   const RoundMode& roundMode, MaskType,                                          \
                   const softnpu_internal::Repeats& repeatTime, const UnaryRepeatParams& params,  \
                   Where where = Where::Here()) {                                                 \
    softnpu_internal::Vector(SOFTNPU_OP_CAST, where)                                              \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                   \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                   \
        .Param(0, static_cast<int64_t>(roundMode))                                                \
        .template Mask<isSetMask>(mask, repeatTime);                                              \
  }                                                                                               \
  template <typename T, typename U, bool isSetMask = true, bool isVecDeq = true,                  \
            bool halfBlock = true>                                                                \
  inline void CastDequant(const LocalTensor<T>& dst, const LocalTensor<U>& src, MaskType,         \
                          const softnpu_internal::Repeats& repeatTime,                            \
                          const UnaryRepeatParams& params, Where where = Where::Here()) {         \
    softnpu_internal::Vector(SOFTNPU_OP_CAST_DEQUANT, where)                                      \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                   \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                   \
        .Param(0, isVecDeq)                                                                       \
        .Param(1, halfBlock)                                                                      \
        .template Mask<isSetMask>(mask, repeatTime);                                              \
  }                                                                                               \
  template <typename T, typename U, bool isSetMask = true, bool isVecDeq = true,                  \
            bool halfBlock = true>                                                                \
  inline void CastDeq(const LocalTensor<T>& dst, const LocalTensor<U>& src, MaskType,             \
                      const softnpu_internal::Repeats& repeatTime,                                \
                      const UnaryRepeatParams& params, Where where = Where::Here()) {             \
    CastDequant<T, U, isSetMask, isVecDeq, halfBlock>(dst, src, mask, repeatTime, params, where); \
  }
SOFTNPU_CAST(const uint64_t mask)
SOFTNPU_CAST(const uint64_t mask[])
#undef SOFTNPU_CAST

// int16_t to int8_t or uint8_t with the scale, offset and sign of SetDeqScale; the results fill
// the low (halfBlock: the high) half of each block of dst.
template <typename T, typename U, bool isVecDeq = true, bool halfBlock = true>
inline void CastDequant(const LocalTensor<T>& dst, const LocalTensor<U>& src, const uint32_t count,
                        Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_CAST_DEQUANT, where)
      .Operand(dst)
      .Operand(src)
      .Param(0, isVecDeq)
      .Param(1, halfBlock)
      .Count(count);
}
template <typename T, typename U, bool isVecDeq = true, bool halfBlock = true>
inline void CastDeq(const LocalTensor<T>& dst, const LocalTensor<U>& src, const uint32_t count,
                    Where where = Where::Here()) {
  CastDequant<T, U, isVecDeq, halfBlock>(dst, src, count, where);
}

namespace softnpu_internal {
inline void DeqScale(int64_t kind, int64_t index, float scale, int16_t offset, bool sign,
                     const Where& where) {
  Vector(SOFTNPU_OP_SET_DEQ_SCALE, where)
      .Scalar(scale)
      .Param(0, kind)
      .Param(1, index)
      .Param(2, offset)
      .Param(3, sign)
      .Repeat(1);
}
}  // namespace softnpu_internal

// The factor of Cast from int32_t to half and of AddDeqRelu.
inline void SetDeqScale(half scale, Where where = Where::Here()) {
  softnpu_internal::DeqScale(0, 0, static_cast<float>(scale), 0, false, where);
}
// For CastDequant.
inline void SetDeqScale(float scale, int16_t offset, bool signMode, Where where = Where::Here()) {
  softnpu_internal::DeqScale(1, 0, scale, offset, signMode, where);
}
// A factor per element of a block, for CastDequant<..., isVecDeq = true>. `vdeq` is the place where
// a chip keeps them.
template <typename T>
inline void SetDeqScale(const LocalTensor<T>& vdeq, const VdeqInfo& vdeqInfo,
                        Where where = Where::Here()) {
  (void)vdeq;
  for (int i = 0; i < 16; ++i) {
    softnpu_internal::DeqScale(2, i, vdeqInfo.vdeqScale[i], vdeqInfo.vdeqOffset[i],
                               vdeqInfo.vdeqSignMode[i], where);
  }
}

// Saturation instead of infinities and NaN in half and bfloat16, and of wrapping integers.
template <SaturationMode mode = SaturationMode::CAST_MODE>
inline void SetSaturationFlag(bool flag, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_SET_SATURATION, where).Param(0, flag).Repeat(1);
}
// The control register's bits; of those SoftNPU has number 59, the mode of conversions.
template <int8_t startBit, int8_t endBit>
inline void SetCtrlSpr(int64_t value, Where where = Where::Here()) {
  static_assert(startBit == 59 && endBit == 59,
                "SetCtrlSpr: SoftNPU models bit 59 of the control register only");
  softnpu_internal::Vector(SOFTNPU_OP_SET_SATURATION, where).Param(0, value == 0).Repeat(1);
}
// What they are now; after a reset, as a kernel begins: no saturation.
template <SaturationMode mode = SaturationMode::CAST_MODE>
inline bool GetSaturationFlag(Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_SATURATION, where);
  instruction.params[1] = 1;
  return softnpu::core::Execute(instruction) != 0;
}
template <int8_t startBit, int8_t endBit>
inline int64_t GetCtrlSpr(Where where = Where::Here()) {
  static_assert(startBit == 59 && endBit == 59,
                "GetCtrlSpr: SoftNPU models bit 59 of the control register only");
  return GetSaturationFlag(where) ? 0 : 1;
}
template <int8_t startBit, int8_t endBit>
inline void ResetCtrlSpr(Where where = Where::Here()) {
  static_assert(startBit == 59 && endBit == 59,
                "ResetCtrlSpr: SoftNPU models bit 59 of the control register only");
  SetSaturationFlag(false, where);
}

}  // namespace AscendC
