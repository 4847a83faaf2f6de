// cc/softnpu/ascendc/include/ascendc/vector_forms.h: what calls of the vector unit are made of.
//
// Three forms each: `count` contiguous elements; the first `mask` elements of `repeatTime` repeats
// of 256 bytes; the elements of each repeat whose bit is set in mask[0] (low 64) and mask[1]. With
// isSetMask = false the mask register of SetVectorMask stands for the mask. Strides are in 32-byte
// blocks.
#pragma once

#include "ascendc/tensor.h"

namespace AscendC {

constexpr uint64_t MASK_PLACEHOLDER = 0;
constexpr uint64_t MASK_PLACEHOLDER_LIST[2] = {0, 0};

enum class MaskMode : uint8_t { NORMAL = 0, COUNTER };

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
  UnaryRepeatParams(uint16_t dst_block, uint16_t src_block, uint8_t dst_repeat, uint8_t src_repeat,
                    bool half_block)
      : UnaryRepeatParams(dst_block, src_block, dst_repeat, src_repeat) {
    halfBlock = half_block;
  }
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

template <typename>
constexpr bool kNever = false;

// A number of repeats as the call has it, before the device's uint8_t cuts it.
struct Repeats {
  int64_t value;
  bool constant;  // the compiler knows it

#define SOFTNPU_REPEATS(Type)                   \
  [[gnu::always_inline]] inline Repeats(Type n) \
      : value(static_cast<int64_t>(n)), constant(__builtin_constant_p(n) != 0) {}
  SOFTNPU_REPEATS(int)
  SOFTNPU_REPEATS(unsigned)
  SOFTNPU_REPEATS(long)
  SOFTNPU_REPEATS(unsigned long)
  SOFTNPU_REPEATS(long long)
  SOFTNPU_REPEATS(unsigned long long)
#undef SOFTNPU_REPEATS
  operator int64_t() const { return value; }
};

// Collects an instruction and executes it.
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
  uint64_t Count(int64_t count) {
    instruction.form = SOFTNPU_FORM_COUNT;
    instruction.count = count;
    return softnpu::core::Execute(instruction);
  }
  template <bool is_set_mask = true>
  void Mask(uint64_t mask, const Repeats& repeat) {
    instruction.form = is_set_mask ? SOFTNPU_FORM_MASK : SOFTNPU_FORM_REGISTER;
    instruction.mask[0] = mask;
    Repeat(repeat, false);
    softnpu::core::Execute(instruction);
  }
  template <bool is_set_mask = true>
  void Mask(const uint64_t* mask, const Repeats& repeat) {
    instruction.form = is_set_mask ? SOFTNPU_FORM_BITS : SOFTNPU_FORM_REGISTER;
    instruction.mask[0] = mask[0];
    instruction.mask[1] = mask[1];
    Repeat(repeat, false);
    softnpu::core::Execute(instruction);
  }
  // Instructions without a mask.
  uint64_t Repeat(const Repeats& repeat, bool execute = true) {
    instruction.repeat = static_cast<uint32_t>(repeat.value);
    instruction.constant_repeat = repeat.constant ? 1 : 0;
    return execute ? softnpu::core::Execute(instruction) : 0;
  }
};

inline void SetMaskRegister(SoftnpuOpcode opcode, const Where& where) {
  SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
  softnpu::core::Execute(instruction);
}

}  // namespace softnpu_internal

// Counter mode: the mask is a number of elements, and the number of repeats follows from it.
inline void SetMaskCount(Where where = Where::Here()) {
  softnpu_internal::SetMaskRegister(SOFTNPU_OP_SET_MASK_COUNT, where);
}
inline void SetMaskNorm(Where where = Where::Here()) {
  softnpu_internal::SetMaskRegister(SOFTNPU_OP_SET_MASK_NORM, where);
}
// All elements of each repeat.
inline void ResetMask(Where where = Where::Here()) {
  softnpu_internal::SetMaskRegister(SOFTNPU_OP_RESET_MASK, where);
}
template <typename T, MaskMode mode = MaskMode::NORMAL>
inline void SetVectorMask(const uint64_t maskHigh, const uint64_t maskLow,
                          Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_VECTOR_MASK, where);
  instruction.params[0] = mode == MaskMode::COUNTER;
  instruction.mask[0] = maskLow;
  instruction.mask[1] = maskHigh;
  softnpu::core::Execute(instruction);
}
template <typename T, MaskMode mode = MaskMode::NORMAL>
inline void SetVectorMask(int32_t len, Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_VECTOR_MASK, where);
  instruction.params[0] = mode == MaskMode::COUNTER;
  instruction.params[1] = 1;
  instruction.params[2] = sizeof(T) >= 2 ? 256 / sizeof(T) : 128;
  instruction.count = len;
  softnpu::core::Execute(instruction);
}

}  // namespace AscendC
