// cc/softnpu/ascendc/include/ascendc/vector.h: arithmetic, element by element.
#pragma once

#include "ascendc/vector_forms.h"

namespace AscendC {

// dst = f(src0, src1); D, S: element types of dst and of the sources.
#define SOFTNPU_BINARY(Name, opcode, Template, D, S)                                               \
  template <Template, bool isSetMask = true>                                                       \
  inline void Name(const LocalTensor<D>& dst, const LocalTensor<S>& src0,                          \
                   const LocalTensor<S>& src1, const int32_t& count,                               \
                   Where where = Where::Here()) {                                                  \
    softnpu_internal::Vector(opcode, where).Operand(dst).Operand(src0).Operand(src1).Count(count); \
  }                                                                                                \
  template <Template, bool isSetMask = true>                                                       \
  inline void Name(const LocalTensor<D>& dst, const LocalTensor<S>& src0,                          \
                   const LocalTensor<S>& src1, uint64_t mask,                                      \
                   const softnpu_internal::Repeats& repeatTime, const BinaryRepeatParams& params,  \
                   Where where = Where::Here()) {                                                  \
    softnpu_internal::Vector(opcode, where)                                                        \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                    \
        .Operand(src0, params.src0BlkStride, params.src0RepStride)                                 \
        .Operand(src1, params.src1BlkStride, params.src1RepStride)                                 \
        .template Mask<isSetMask>(mask, repeatTime);                                               \
  }                                                                                                \
  template <Template, bool isSetMask = true>                                                       \
  inline void Name(const LocalTensor<D>& dst, const LocalTensor<S>& src0,                          \
                   const LocalTensor<S>& src1, const uint64_t mask[],                              \
                   const softnpu_internal::Repeats& repeatTime, const BinaryRepeatParams& params,  \
                   Where where = Where::Here()) {                                                  \
    softnpu_internal::Vector(opcode, where)                                                        \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                    \
        .Operand(src0, params.src0BlkStride, params.src0RepStride)                                 \
        .Operand(src1, params.src1BlkStride, params.src1RepStride)                                 \
        .template Mask<isSetMask>(mask, repeatTime);                                               \
  }
#define SOFTNPU_COMMA ,

SOFTNPU_BINARY(Add, SOFTNPU_OP_ADD, typename T, T, T)
SOFTNPU_BINARY(Sub, SOFTNPU_OP_SUB, typename T, T, T)
SOFTNPU_BINARY(Mul, SOFTNPU_OP_MUL, typename T, T, T)
SOFTNPU_BINARY(Div, SOFTNPU_OP_DIV, typename T, T, T)
SOFTNPU_BINARY(Max, SOFTNPU_OP_MAX, typename T, T, T)
SOFTNPU_BINARY(Min, SOFTNPU_OP_MIN, typename T, T, T)
SOFTNPU_BINARY(And, SOFTNPU_OP_AND, typename T, T, T)
SOFTNPU_BINARY(Or, SOFTNPU_OP_OR, typename T, T, T)
SOFTNPU_BINARY(AddRelu, SOFTNPU_OP_ADD_RELU, typename T, T, T)
SOFTNPU_BINARY(SubRelu, SOFTNPU_OP_SUB_RELU, typename T, T, T)
// dst = src0 * dst + src1, and its Relu.
SOFTNPU_BINARY(FusedMulAdd, SOFTNPU_OP_FUSED_MUL_ADD, typename T, T, T)
SOFTNPU_BINARY(FusedMulAddRelu, SOFTNPU_OP_FUSED_MUL_ADD_RELU, typename T, T, T)
SOFTNPU_BINARY(MulAddRelu, SOFTNPU_OP_FUSED_MUL_ADD_RELU, typename T, T, T)
// dst += src0 * src1; dst may be float with sources of half.
SOFTNPU_BINARY(MulAddDst, SOFTNPU_OP_MUL_ADD_DST, typename T SOFTNPU_COMMA typename U, T, U)
SOFTNPU_BINARY(MulCast, SOFTNPU_OP_MUL_CAST, typename T SOFTNPU_COMMA typename U, T, U)
SOFTNPU_BINARY(AddReluCast, SOFTNPU_OP_ADD_RELU_CAST, typename T SOFTNPU_COMMA typename U, T, U)
SOFTNPU_BINARY(SubReluCast, SOFTNPU_OP_SUB_RELU_CAST, typename T SOFTNPU_COMMA typename U, T, U)
// Relu((src0 + src1) * the scale of SetDeqScale)
SOFTNPU_BINARY(AddDeqRelu, SOFTNPU_OP_ADD_DEQ_RELU, typename T SOFTNPU_COMMA typename U, T, U)
#undef SOFTNPU_BINARY

// dst = f(src, scalar). V is the scalar's type as the call has it; it becomes the source's.
#define SOFTNPU_SCALAR_OF(Name, opcode, Template, D, S, V)                                     \
  template <Template, bool isSetMask = true>                                                   \
  inline void Name(const LocalTensor<D>& dst, const LocalTensor<S>& src, const V& scalarValue, \
                   const int32_t& count, Where where = Where::Here()) {                        \
    softnpu_internal::Vector(opcode, where)                                                    \
        .Operand(dst)                                                                          \
        .Operand(src)                                                                          \
        .Scalar(static_cast<S>(scalarValue))                                                   \
        .Count(count);                                                                         \
  }                                                                                            \
  template <Template, bool isSetMask = true>                                                   \
  inline void Name(const LocalTensor<D>& dst, const LocalTensor<S>& src, const V& scalarValue, \
                   uint64_t mask, const softnpu_internal::Repeats& repeatTime,                 \
                   const UnaryRepeatParams& params, Where where = Where::Here()) {             \
    softnpu_internal::Vector(opcode, where)                                                    \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                \
        .Scalar(static_cast<S>(scalarValue))                                                   \
        .template Mask<isSetMask>(mask, repeatTime);                                           \
  }                                                                                            \
  template <Template, bool isSetMask = true>                                                   \
  inline void Name(const LocalTensor<D>& dst, const LocalTensor<S>& src, const V& scalarValue, \
                   const uint64_t mask[], const softnpu_internal::Repeats& repeatTime,         \
                   const UnaryRepeatParams& params, Where where = Where::Here()) {             \
    softnpu_internal::Vector(opcode, where)                                                    \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                \
        .Scalar(static_cast<S>(scalarValue))                                                   \
        .template Mask<isSetMask>(mask, repeatTime);                                           \
  }
#define SOFTNPU_SCALAR(Name, opcode)                   \
  SOFTNPU_SCALAR_OF(Name, opcode, typename T, T, T, T) \
  SOFTNPU_SCALAR_OF(Name, opcode, typename T SOFTNPU_COMMA typename U, T, T, U)

SOFTNPU_SCALAR(Adds, SOFTNPU_OP_ADDS)
SOFTNPU_SCALAR(Muls, SOFTNPU_OP_MULS)
SOFTNPU_SCALAR(Maxs, SOFTNPU_OP_MAXS)
SOFTNPU_SCALAR(Mins, SOFTNPU_OP_MINS)
SOFTNPU_SCALAR(LeakyRelu, SOFTNPU_OP_LEAKY_RELU)
SOFTNPU_SCALAR(ShiftLeft, SOFTNPU_OP_SHIFT_LEFT)
// dst += src * scalar; dst may be float with a source of half.
SOFTNPU_SCALAR_OF(Axpy, SOFTNPU_OP_AXPY, typename T SOFTNPU_COMMA typename U, T, U, U)
SOFTNPU_SCALAR_OF(Axpy, SOFTNPU_OP_AXPY,
                  typename T SOFTNPU_COMMA typename U SOFTNPU_COMMA typename V, T, U, V)
#undef SOFTNPU_SCALAR
#undef SOFTNPU_SCALAR_OF

// roundEn adds the last bit that is shifted out; for signed types.
#define SOFTNPU_SHIFT_RIGHT(Template, V)                                                         \
  template <Template, bool isSetMask = true>                                                     \
  inline void ShiftRight(const LocalTensor<T>& dst, const LocalTensor<T>& src,                   \
                         const V& scalarValue, const int32_t& count,                             \
                         Where where = Where::Here()) {                                          \
    softnpu_internal::Vector(SOFTNPU_OP_SHIFT_RIGHT, where)                                      \
        .Operand(dst)                                                                            \
        .Operand(src)                                                                            \
        .Scalar(static_cast<T>(scalarValue))                                                     \
        .Count(count);                                                                           \
  }                                                                                              \
  template <Template, bool isSetMask = true>                                                     \
  inline void ShiftRight(                                                                        \
      const LocalTensor<T>& dst, const LocalTensor<T>& src, const V& scalarValue, uint64_t mask, \
      const softnpu_internal::Repeats& repeatTime, const UnaryRepeatParams& params,              \
      bool roundEn = false, Where where = Where::Here()) {                                       \
    softnpu_internal::Vector(SOFTNPU_OP_SHIFT_RIGHT, where)                                      \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                  \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                  \
        .Scalar(static_cast<T>(scalarValue))                                                     \
        .Param(0, roundEn)                                                                       \
        .template Mask<isSetMask>(mask, repeatTime);                                             \
  }                                                                                              \
  template <Template, bool isSetMask = true>                                                     \
  inline void ShiftRight(                                                                        \
      const LocalTensor<T>& dst, const LocalTensor<T>& src, const V& scalarValue,                \
      const uint64_t mask[], const softnpu_internal::Repeats& repeatTime,                        \
      const UnaryRepeatParams& params, bool roundEn = false, Where where = Where::Here()) {      \
    softnpu_internal::Vector(SOFTNPU_OP_SHIFT_RIGHT, where)                                      \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                  \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                  \
        .Scalar(static_cast<T>(scalarValue))                                                     \
        .Param(0, roundEn)                                                                       \
        .template Mask<isSetMask>(mask, repeatTime);                                             \
  }
SOFTNPU_SHIFT_RIGHT(typename T, T)
SOFTNPU_SHIFT_RIGHT(typename T SOFTNPU_COMMA typename U, U)
#undef SOFTNPU_SHIFT_RIGHT

// dst = f(src)
#define SOFTNPU_UNARY(Name, opcode)                                                              \
  template <typename T, bool isSetMask = true>                                                   \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t& count,   \
                   Where where = Where::Here()) {                                                \
    softnpu_internal::Vector(opcode, where).Operand(dst).Operand(src).Count(count);              \
  }                                                                                              \
  template <typename T, bool isSetMask = true>                                                   \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask,          \
                   const softnpu_internal::Repeats& repeatTime, const UnaryRepeatParams& params, \
                   Where where = Where::Here()) {                                                \
    softnpu_internal::Vector(opcode, where)                                                      \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                  \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                  \
        .template Mask<isSetMask>(mask, repeatTime);                                             \
  }                                                                                              \
  template <typename T, bool isSetMask = true>                                                   \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask[],  \
                   const softnpu_internal::Repeats& repeatTime, const UnaryRepeatParams& params, \
                   Where where = Where::Here()) {                                                \
    softnpu_internal::Vector(opcode, where)                                                      \
        .Operand(dst, params.dstBlkStride, params.dstRepStride)                                  \
        .Operand(src, params.srcBlkStride, params.srcRepStride)                                  \
        .template Mask<isSetMask>(mask, repeatTime);                                             \
  }

SOFTNPU_UNARY(Exp, SOFTNPU_OP_EXP)
SOFTNPU_UNARY(Ln, SOFTNPU_OP_LN)
SOFTNPU_UNARY(Abs, SOFTNPU_OP_ABS)
SOFTNPU_UNARY(Reciprocal, SOFTNPU_OP_RECIPROCAL)
SOFTNPU_UNARY(Sqrt, SOFTNPU_OP_SQRT)
SOFTNPU_UNARY(Rsqrt, SOFTNPU_OP_RSQRT)
SOFTNPU_UNARY(Relu, SOFTNPU_OP_RELU)
SOFTNPU_UNARY(Not, SOFTNPU_OP_NOT)
#undef SOFTNPU_UNARY
#undef SOFTNPU_COMMA

}  // namespace AscendC
