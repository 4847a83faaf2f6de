// cc/softnpu/ascendc/include/ascendc/vector_reduce.h: sums, maxima and minima.
//
// The order of mask and repeat differs between the calls; it is AscendC's.
#pragma once

#include "ascendc/vector_forms.h"

namespace AscendC {

enum class ReduceOrder : uint8_t {
  ORDER_VALUE_INDEX = 0,
  ORDER_INDEX_VALUE,
  ORDER_ONLY_VALUE,
  ORDER_ONLY_INDEX,
};
enum class ReduceType : uint8_t { MAX, MIN, SUM };

namespace softnpu_internal {

template <bool is_set_mask, typename T, typename M>
inline void Reduce(SoftnpuOpcode opcode, const LocalTensor<T>& dst, const LocalTensor<T>& src,
                   M mask, int32_t repeat, int32_t dst_repeat, int32_t src_block,
                   int32_t src_repeat, int64_t order, const Where& where) {
  Vector(opcode, where)
      .Operand(dst, 1, static_cast<uint32_t>(dst_repeat))
      .Operand(src, static_cast<uint32_t>(src_block), static_cast<uint32_t>(src_repeat))
      .Param(0, order)
      .template Mask<is_set_mask>(mask, static_cast<uint32_t>(repeat));
}

constexpr SoftnpuOpcode WholeOf(ReduceType type) {
  return type == ReduceType::MAX   ? SOFTNPU_OP_WHOLE_REDUCE_MAX
         : type == ReduceType::MIN ? SOFTNPU_OP_WHOLE_REDUCE_MIN
                                   : SOFTNPU_OP_WHOLE_REDUCE_SUM;
}
constexpr SoftnpuOpcode BlockOf(ReduceType type) {
  return type == ReduceType::MAX   ? SOFTNPU_OP_BLOCK_REDUCE_MAX
         : type == ReduceType::MIN ? SOFTNPU_OP_BLOCK_REDUCE_MIN
                                   : SOFTNPU_OP_BLOCK_REDUCE_SUM;
}

}  // namespace softnpu_internal

// (mask, repeat): a result per repeat; dstRepStride counts results.
#define SOFTNPU_WHOLE(MaskType, Pointer)                                                          \
  template <typename T, bool isSetMask = true>                                                    \
  inline void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, MaskType,      \
                             const softnpu_internal::Repeats& repeatTime,                         \
                             const int32_t dstRepStride, const int32_t srcBlkStride,              \
                             const int32_t srcRepStride, Where where = Where::Here()) {           \
    softnpu_internal::Reduce<isSetMask>(SOFTNPU_OP_WHOLE_REDUCE_SUM, dst, src, Pointer(mask),     \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride, 0,  \
                                        where);                                                   \
  }                                                                                               \
  template <typename T, bool isSetMask = true>                                                    \
  inline void WholeReduceMax(                                                                     \
      const LocalTensor<T>& dst, const LocalTensor<T>& src, MaskType,                             \
      const softnpu_internal::Repeats& repeatTime, const int32_t dstRepStride,                    \
      const int32_t srcBlkStride, const int32_t srcRepStride,                                     \
      ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX, Where where = Where::Here()) {          \
    softnpu_internal::Reduce<isSetMask>(SOFTNPU_OP_WHOLE_REDUCE_MAX, dst, src, Pointer(mask),     \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride,     \
                                        static_cast<int64_t>(order), where);                      \
  }                                                                                               \
  template <typename T, bool isSetMask = true>                                                    \
  inline void WholeReduceMin(                                                                     \
      const LocalTensor<T>& dst, const LocalTensor<T>& src, MaskType,                             \
      const softnpu_internal::Repeats& repeatTime, const int32_t dstRepStride,                    \
      const int32_t srcBlkStride, const int32_t srcRepStride,                                     \
      ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX, Where where = Where::Here()) {          \
    softnpu_internal::Reduce<isSetMask>(SOFTNPU_OP_WHOLE_REDUCE_MIN, dst, src, Pointer(mask),     \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride,     \
                                        static_cast<int64_t>(order), where);                      \
  }                                                                                               \
  template <ReduceType type, typename T, bool isSetMask = true>                                   \
  inline void ReduceRepeat(                                                                       \
      const LocalTensor<T>& dst, const LocalTensor<T>& src, MaskType,                             \
      const softnpu_internal::Repeats& repeatTime, const int32_t dstRepStride,                    \
      const int32_t srcBlkStride, const int32_t srcRepStride,                                     \
      ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX, Where where = Where::Here()) {          \
    softnpu_internal::Reduce<isSetMask>(softnpu_internal::WholeOf(type), dst, src, Pointer(mask), \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride,     \
                                        static_cast<int64_t>(order), where);                      \
  }                                                                                               \
  template <ReduceType type, typename T, bool isSetMask = true>                                   \
  inline void ReduceDataBlock(const LocalTensor<T>& dst, const LocalTensor<T>& src, MaskType,     \
                              const softnpu_internal::Repeats& repeatTime,                        \
                              const int32_t dstRepStride, const int32_t srcBlkStride,             \
                              const int32_t srcRepStride, Where where = Where::Here()) {          \
    softnpu_internal::Reduce<isSetMask>(softnpu_internal::BlockOf(type), dst, src, Pointer(mask), \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride, 0,  \
                                        where);                                                   \
  }                                                                                               \
  template <ReduceType type, typename T, bool isSetMask = true>                                   \
  inline void ReducePairElem(const LocalTensor<T>& dst, const LocalTensor<T>& src, MaskType,      \
                             const softnpu_internal::Repeats& repeatTime,                         \
                             const int32_t dstRepStride, const int32_t srcBlkStride,              \
                             const int32_t srcRepStride, Where where = Where::Here()) {           \
    static_assert(type == ReduceType::SUM, "ReducePairElem: pairs can be summed only");           \
    softnpu_internal::Reduce<isSetMask>(SOFTNPU_OP_PAIR_REDUCE_SUM, dst, src, Pointer(mask),      \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride, 0,  \
                                        where);                                                   \
  }                                                                                               \
  /* (repeat, mask): the order of the calls of 8.x */                                             \
  template <typename T, bool isSetMask = true>                                                    \
  inline void BlockReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src,                \
                             const softnpu_internal::Repeats& repeatTime, MaskType,               \
                             const int32_t dstRepStride, const int32_t srcBlkStride,              \
                             const int32_t srcRepStride, Where where = Where::Here()) {           \
    softnpu_internal::Reduce<isSetMask>(SOFTNPU_OP_BLOCK_REDUCE_SUM, dst, src, Pointer(mask),     \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride, 0,  \
                                        where);                                                   \
  }                                                                                               \
  template <typename T, bool isSetMask = true>                                                    \
  inline void BlockReduceMax(const LocalTensor<T>& dst, const LocalTensor<T>& src,                \
                             const softnpu_internal::Repeats& repeatTime, MaskType,               \
                             const int32_t dstRepStride, const int32_t srcBlkStride,              \
                             const int32_t srcRepStride, Where where = Where::Here()) {           \
    softnpu_internal::Reduce<isSetMask>(SOFTNPU_OP_BLOCK_REDUCE_MAX, dst, src, Pointer(mask),     \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride, 0,  \
                                        where);                                                   \
  }                                                                                               \
  template <typename T, bool isSetMask = true>                                                    \
  inline void BlockReduceMin(const LocalTensor<T>& dst, const LocalTensor<T>& src,                \
                             const softnpu_internal::Repeats& repeatTime, MaskType,               \
                             const int32_t dstRepStride, const int32_t srcBlkStride,              \
                             const int32_t srcRepStride, Where where = Where::Here()) {           \
    softnpu_internal::Reduce<isSetMask>(SOFTNPU_OP_BLOCK_REDUCE_MIN, dst, src, Pointer(mask),     \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride, 0,  \
                                        where);                                                   \
  }                                                                                               \
  template <typename T, bool isSetMask = true>                                                    \
  inline void PairReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src,                 \
                            const softnpu_internal::Repeats& repeatTime, MaskType,                \
                            const int32_t dstRepStride, const int32_t srcBlkStride,               \
                            const int32_t srcRepStride, Where where = Where::Here()) {            \
    softnpu_internal::Reduce<isSetMask>(SOFTNPU_OP_PAIR_REDUCE_SUM, dst, src, Pointer(mask),      \
                                        repeatTime, dstRepStride, srcBlkStride, srcRepStride, 0,  \
                                        where);                                                   \
  }                                                                                               \
  template <typename T>                                                                           \
  inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src,                     \
                        const LocalTensor<T>& sharedTmpBuffer, MaskType,                          \
                        const softnpu_internal::Repeats& repeatTime, const int32_t srcRepStride,  \
                        Where where = Where::Here()) {                                            \
    softnpu_internal::Vector(SOFTNPU_OP_REDUCE_SUM, where)                                        \
        .Operand(dst)                                                                             \
        .Operand(src, 1, static_cast<uint32_t>(srcRepStride))                                     \
        .Operand(sharedTmpBuffer)                                                                 \
        .Mask(Pointer(mask), static_cast<uint32_t>(repeatTime));                                  \
  }                                                                                               \
  template <typename T>                                                                           \
  inline void ReduceMax(const LocalTensor<T>& dst, const LocalTensor<T>& src,                     \
                        const LocalTensor<T>& sharedTmpBuffer, MaskType,                          \
                        const softnpu_internal::Repeats& repeatTime, const int32_t srcRepStride,  \
                        bool calIndex = false, Where where = Where::Here()) {                     \
    softnpu_internal::Vector(SOFTNPU_OP_REDUCE_MAX, where)                                        \
        .Operand(dst)                                                                             \
        .Operand(src, 1, static_cast<uint32_t>(srcRepStride))                                     \
        .Operand(sharedTmpBuffer)                                                                 \
        .Param(0, calIndex)                                                                       \
        .Mask(Pointer(mask), static_cast<uint32_t>(repeatTime));                                  \
  }                                                                                               \
  template <typename T>                                                                           \
  inline void ReduceMin(const LocalTensor<T>& dst, const LocalTensor<T>& src,                     \
                        const LocalTensor<T>& sharedTmpBuffer, MaskType,                          \
                        const softnpu_internal::Repeats& repeatTime, const int32_t srcRepStride,  \
                        bool calIndex = false, Where where = Where::Here()) {                     \
    softnpu_internal::Vector(SOFTNPU_OP_REDUCE_MIN, where)                                        \
        .Operand(dst)                                                                             \
        .Operand(src, 1, static_cast<uint32_t>(srcRepStride))                                     \
        .Operand(sharedTmpBuffer)                                                                 \
        .Param(0, calIndex)                                                                       \
        .Mask(Pointer(mask), static_cast<uint32_t>(repeatTime));                                  \
  }
// A mask that counts is an int32_t in these calls.
SOFTNPU_WHOLE(const int32_t mask, static_cast<uint64_t>)
SOFTNPU_WHOLE(const uint64_t mask[], static_cast<const uint64_t*>)
#undef SOFTNPU_WHOLE

// The old form of WholeReduceSum.
template <typename T, bool isSetMask = true>
inline void RepeatReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                            const softnpu_internal::Repeats& repeatTime,
                            const int32_t elemsInOneRepeat, const int32_t dstBlkStride,
                            const int32_t srcBlkStride, const int32_t dstRepStride,
                            const int32_t srcRepStride, Where where = Where::Here()) {
  (void)dstBlkStride;
  softnpu_internal::Reduce<isSetMask>(SOFTNPU_OP_REPEAT_REDUCE_SUM, dst, src,
                                      static_cast<uint64_t>(elemsInOneRepeat), repeatTime,
                                      dstRepStride, srcBlkStride, srcRepStride, 0, where);
}

// All `count` elements to dst[0]; with calIndex dst[1] holds the index's bits.
template <typename T>
inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                      const LocalTensor<T>& sharedTmpBuffer, const int32_t count,
                      Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_REDUCE_SUM, where)
      .Operand(dst)
      .Operand(src)
      .Operand(sharedTmpBuffer)
      .Count(count);
}
template <typename T>
inline void ReduceMax(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                      const LocalTensor<T>& sharedTmpBuffer, const int32_t count,
                      bool calIndex = false, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_REDUCE_MAX, where)
      .Operand(dst)
      .Operand(src)
      .Operand(sharedTmpBuffer)
      .Param(0, calIndex)
      .Count(count);
}
template <typename T>
inline void ReduceMin(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                      const LocalTensor<T>& sharedTmpBuffer, const int32_t count,
                      bool calIndex = false, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_REDUCE_MIN, where)
      .Operand(dst)
      .Operand(src)
      .Operand(sharedTmpBuffer)
      .Param(0, calIndex)
      .Count(count);
}

namespace softnpu_internal {
template <typename T>
inline T Reduced(SoftnpuOpcode opcode, int64_t which, const Where& where) {
  return softnpu::core::FromBits<T>(
      Vector(opcode, where).Param(0, softnpu::core::kTypeOf<T>).Param(1, which).Repeat(1));
}
}  // namespace softnpu_internal

// What the last maximum or minimum left in the special registers; the index is bits in a T.
template <typename T>
inline void GetReduceMaxMinCount(T& maxMinValue, T& maxMinIndex, Where where = Where::Here()) {
  maxMinValue = softnpu_internal::Reduced<T>(SOFTNPU_OP_GET_REDUCE_VALUE, 0, where);
  maxMinIndex = softnpu_internal::Reduced<T>(SOFTNPU_OP_GET_REDUCE_VALUE, 1, where);
}
template <typename T>
inline void GetReduceMaxMinCount(T& maxMinValue, Where where = Where::Here()) {
  maxMinValue = softnpu_internal::Reduced<T>(SOFTNPU_OP_GET_REDUCE_VALUE, 0, where);
}
template <typename T>
inline void GetReduceRepeatMaxMinSpr(T& maxMinValue, T& maxMinIndex, Where where = Where::Here()) {
  GetReduceMaxMinCount(maxMinValue, maxMinIndex, where);
}
template <typename T>
inline void GetReduceRepeatMaxMinSpr(T& maxMinValue, Where where = Where::Here()) {
  GetReduceMaxMinCount(maxMinValue, where);
}
// What the last sum left.
template <typename T = float>
inline T GetAccVal(Where where = Where::Here()) {
  return softnpu_internal::Reduced<T>(SOFTNPU_OP_GET_ACC_VAL, 0, where);
}
template <typename T>
inline T GetReduceRepeatSumSpr(Where where = Where::Here()) {
  return GetAccVal<T>(where);
}

}  // namespace AscendC
