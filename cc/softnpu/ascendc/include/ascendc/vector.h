// cc/softnpu/ascendc/include/ascendc/vector.h: instructions of the vector unit.
//
// Three forms each: `count` contiguous elements; the first `mask` elements of `repeatTime` repeats
// of 256 bytes; the elements of each repeat whose bit is set in mask[0] (low 64) and mask[1].
// Strides are in 32-byte blocks.
#pragma once

#include "ascendc/tensor.h"

namespace AscendC {

struct UnaryRepeatParams {
  uint16_t dstBlkStride = 1;
  uint16_t srcBlkStride = 1;
  uint8_t dstRepStride = 8;
  uint8_t srcRepStride = 8;
  bool halfBlock = false;

  UnaryRepeatParams() = default;
  UnaryRepeatParams(uint16_t dst_block, uint16_t src_block, uint8_t dst_repeat, uint8_t src_repeat)
      : dstBlkStride(dst_block),
        srcBlkStride(src_block),
        dstRepStride(dst_repeat),
        srcRepStride(src_repeat) {}
};

struct BinaryRepeatParams {
  uint8_t dstBlkStride = 1;
  uint8_t src0BlkStride = 1;
  uint8_t src1BlkStride = 1;
  uint8_t dstRepStride = 8;
  uint8_t src0RepStride = 8;
  uint8_t src1RepStride = 8;

  BinaryRepeatParams() = default;
  BinaryRepeatParams(uint8_t dst_block, uint8_t src0_block, uint8_t src1_block, uint8_t dst_repeat,
                     uint8_t src0_repeat, uint8_t src1_repeat)
      : dstBlkStride(dst_block),
        src0BlkStride(src0_block),
        src1BlkStride(src1_block),
        dstRepStride(dst_repeat),
        src0RepStride(src0_repeat),
        src1RepStride(src1_repeat) {}
};

namespace softnpu_internal {

struct Vector {
  SoftnpuInstruction instruction;

  Vector(SoftnpuOpcode opcode, const Where& where)
      : instruction(softnpu::core::Begin(opcode, where)) {}

  template <typename T>
  Vector& Operand(const LocalTensor<T>& tensor, uint32_t block_stride = 1,
                  uint32_t repeat_stride = 8) {
    const uint32_t i = instruction.operand_count++;
    instruction.operand[i] = tensor.raw_;
    instruction.block_stride[i] = block_stride;
    instruction.repeat_stride[i] = repeat_stride;
    return *this;
  }
  template <typename T>
  Vector& Scalar(const T& value) {
    instruction.scalar = softnpu::core::Bits(value);
    return *this;
  }
  Vector& Param(int index, int64_t value) {
    instruction.params[index] = value;
    return *this;
  }
  void Count(int64_t count) {
    instruction.form = SOFTNPU_FORM_COUNT;
    instruction.count = count;
    softnpu::core::Execute(instruction);
  }
  void Mask(uint64_t mask, uint32_t repeat) {
    instruction.form = SOFTNPU_FORM_MASK;
    instruction.mask[0] = mask;
    instruction.repeat = repeat;
    softnpu::core::Execute(instruction);
  }
  void Bits(const uint64_t* mask, uint32_t repeat) {
    instruction.form = SOFTNPU_FORM_BITS;
    instruction.mask[0] = mask[0];
    instruction.mask[1] = mask[1];
    instruction.repeat = repeat;
    softnpu::core::Execute(instruction);
  }
};

}  // namespace softnpu_internal

#define SOFTNPU_BINARY(Name, opcode)                                                               \
  template <typename T, bool isSetMask = true>                                                     \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0,                          \
                   const LocalTensor<T>& src1, const int32_t& count,                               \
                   Where where = Where::Here()) {                                                  \
    softnpu_internal::Vector(opcode, where).Operand(dst).Operand(src0).Operand(src1).Count(count); \
  }                                                                                                \
  template <typename T, bool isSetMask = true>                                                     \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0,                          \
                   const LocalTensor<T>& src1, uint64_t mask, const uint8_t repeatTime,            \
                   const BinaryRepeatParams& params, Where where = Where::Here()) {                \
    softnpu_internal::Vector(opcode, where)                                                        \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                    \
        .Operand(src0, params.src0BlkStride, params.src0RepStride)                                 \
        .Operand(src1, params.src1BlkStride, params.src1RepStride)                                 \
        .Mask(mask, repeatTime);                                                                   \
  }                                                                                                \
  template <typename T, bool isSetMask = true>                                                     \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0,                          \
                   const LocalTensor<T>& src1, uint64_t mask[], const uint8_t repeatTime,          \
                   const BinaryRepeatParams& params, Where where = Where::Here()) {                \
    softnpu_internal::Vector(opcode, where)                                                        \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                    \
        .Operand(src0, params.src0BlkStride, params.src0RepStride)                                 \
        .Operand(src1, params.src1BlkStride, params.src1RepStride)                                 \
        .Bits(mask, repeatTime);                                                                   \
  }

SOFTNPU_BINARY(Add, SOFTNPU_OP_ADD)
SOFTNPU_BINARY(Sub, SOFTNPU_OP_SUB)
SOFTNPU_BINARY(Mul, SOFTNPU_OP_MUL)
SOFTNPU_BINARY(Div, SOFTNPU_OP_DIV)
SOFTNPU_BINARY(Max, SOFTNPU_OP_MAX)
SOFTNPU_BINARY(Min, SOFTNPU_OP_MIN)
#undef SOFTNPU_BINARY

#define SOFTNPU_SCALAR(Name, opcode)                                                           \
  template <typename T, bool isSetMask = true>                                                 \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue, \
                   const int32_t& count, Where where = Where::Here()) {                        \
    softnpu_internal::Vector(opcode, where)                                                    \
        .Operand(dst)                                                                          \
        .Operand(src)                                                                          \
        .Scalar(scalarValue)                                                                   \
        .Count(count);                                                                         \
  }                                                                                            \
  template <typename T, bool isSetMask = true>                                                 \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue, \
                   uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& params,   \
                   Where where = Where::Here()) {                                              \
    softnpu_internal::Vector(opcode, where)                                                    \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                \
        .Scalar(scalarValue)                                                                   \
        .Mask(mask, repeatTime);                                                               \
  }                                                                                            \
  template <typename T, bool isSetMask = true>                                                 \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue, \
                   uint64_t mask[], const uint8_t repeatTime, const UnaryRepeatParams& params, \
                   Where where = Where::Here()) {                                              \
    softnpu_internal::Vector(opcode, where)                                                    \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                \
        .Scalar(scalarValue)                                                                   \
        .Bits(mask, repeatTime);                                                               \
  }

SOFTNPU_SCALAR(Adds, SOFTNPU_OP_ADDS)
SOFTNPU_SCALAR(Muls, SOFTNPU_OP_MULS)
SOFTNPU_SCALAR(Maxs, SOFTNPU_OP_MAXS)
SOFTNPU_SCALAR(Mins, SOFTNPU_OP_MINS)
SOFTNPU_SCALAR(ShiftLeft, SOFTNPU_OP_SHIFT_LEFT)
SOFTNPU_SCALAR(ShiftRight, SOFTNPU_OP_SHIFT_RIGHT)
#undef SOFTNPU_SCALAR

template <typename T, bool isSetMask = true>
inline void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, const int32_t& count,
                      Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_DUPLICATE, where)
      .Operand(dst)
      .Scalar(scalarValue)
      .Count(count);
}
template <typename T, bool isSetMask = true>
inline void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, uint64_t mask,
                      const uint8_t repeatTimes, const uint16_t dstBlockStride,
                      const uint8_t dstRepeatStride, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_DUPLICATE, where)
      .Operand(dst, dstBlockStride, dstRepeatStride)
      .Scalar(scalarValue)
      .Mask(mask, repeatTimes);
}
template <typename T, bool isSetMask = true>
inline void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, uint64_t mask[],
                      const uint8_t repeatTimes, const uint16_t dstBlockStride,
                      const uint8_t dstRepeatStride, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_DUPLICATE, where)
      .Operand(dst, dstBlockStride, dstRepeatStride)
      .Scalar(scalarValue)
      .Bits(mask, repeatTimes);
}

// dst[i] = firstValue + i
template <typename T>
inline void CreateVecIndex(const LocalTensor<T>& dst, const T& firstValue, uint32_t count,
                           Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_CREATE_VEC_INDEX, where)
      .Operand(dst)
      .Scalar(firstValue)
      .Count(count);
}

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
template <typename T, typename U, bool isSetMask = true>
inline void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode,
                 const uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& params,
                 Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_CAST, where)
      .Operand(dst, params.dstBlkStride, params.dstRepStride)
      .Operand(src, params.srcBlkStride, params.srcRepStride)
      .Param(0, static_cast<int64_t>(roundMode))
      .Mask(mask, repeatTime);
}

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

}  // namespace AscendC
