// cc/softnpu/ascendc/include/ascendc/vector_advanced.h: high-level calls.
//
// With a temporary buffer or without; on a device they are sequences of instructions.
#pragma once

#include "ascendc/tilings.h"
#include "ascendc/vector_forms.h"

namespace AscendC {

struct SumParams {
  uint32_t outter = 1;
  uint32_t inner = 0;
  uint32_t n = 0;
};
struct MeanParams {
  uint32_t outter = 1;
  uint32_t inner = 0;
  uint32_t n = 0;
};
struct TopKInfo {
  int32_t outter = 1;
  int32_t inner = 0;
  int32_t n = 0;
};
enum class TopKMode : uint8_t { TOPK_NORMAL, TOPK_NSMALL };

namespace softnpu_internal {

struct Advanced {
  SoftnpuInstruction instruction;
  SoftnpuTensor list[10];

  Advanced(SoftnpuAdvanced call, const Where& where)
      : instruction(softnpu::core::Begin(SOFTNPU_OP_ADVANCED, where)), list{} {
    instruction.params[0] = call;
  }
  template <typename T>
  Advanced& Operand(const LocalTensor<T>& tensor) {
    list[instruction.list_count++] = tensor.raw_;
    return *this;
  }
  Advanced& Param(int index, int64_t value) {
    instruction.params[index] = value;
    return *this;
  }
  Advanced& Scalar(double value) {
    instruction.scalar = softnpu::core::Bits(value);
    return *this;
  }
  Advanced& Temporary(const LocalTensor<uint8_t>& tensor) {
    instruction.params[15] = 1;
    return Operand(tensor);
  }
  Advanced& Temporary() { return *this; }
  uint64_t Run() {
    instruction.list = list;
    return softnpu::core::Execute(instruction);
  }
};

}  // namespace softnpu_internal

// dst = f(src), by count or for all of src, with a temporary buffer or without.
#define SOFTNPU_ADVANCED_UNARY(Name, call)                                                        \
  template <typename T, bool isReuseSource = false>                                               \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                          \
                   const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t calCount,          \
                   Where where = Where::Here()) {                                                 \
    softnpu_internal::Advanced(call, where)                                                       \
        .Operand(dst)                                                                             \
        .Operand(src)                                                                             \
        .Param(1, calCount)                                                                       \
        .Temporary(sharedTmpBuffer)                                                               \
        .Run();                                                                                   \
  }                                                                                               \
  template <typename T, bool isReuseSource = false>                                               \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                          \
                   const LocalTensor<uint8_t>& sharedTmpBuffer, Where where = Where::Here()) {    \
    Name<T, isReuseSource>(dst, src, sharedTmpBuffer, src.GetSize(), where);                      \
  }                                                                                               \
  template <typename T, bool isReuseSource = false>                                               \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t calCount, \
                   Where where = Where::Here()) {                                                 \
    softnpu_internal::Advanced(call, where).Operand(dst).Operand(src).Param(1, calCount).Run();   \
  }                                                                                               \
  template <typename T, bool isReuseSource = false>                                               \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                          \
                   Where where = Where::Here()) {                                                 \
    Name<T, isReuseSource>(dst, src, src.GetSize(), where);                                       \
  }
SOFTNPU_ADVANCED_UNARY(Sigmoid, SOFTNPU_ADV_SIGMOID)
SOFTNPU_ADVANCED_UNARY(Gelu, SOFTNPU_ADV_GELU)
SOFTNPU_ADVANCED_UNARY(Silu, SOFTNPU_ADV_SILU)
SOFTNPU_ADVANCED_UNARY(Tanh, SOFTNPU_ADV_TANH)
SOFTNPU_ADVANCED_UNARY(Erf, SOFTNPU_ADV_ERF)
SOFTNPU_ADVANCED_UNARY(Log, SOFTNPU_ADV_LOG)
SOFTNPU_ADVANCED_UNARY(Log2, SOFTNPU_ADV_LOG2)
SOFTNPU_ADVANCED_UNARY(Log10, SOFTNPU_ADV_LOG10)
SOFTNPU_ADVANCED_UNARY(Round, SOFTNPU_ADV_ROUND)
SOFTNPU_ADVANCED_UNARY(Floor, SOFTNPU_ADV_FLOOR)
SOFTNPU_ADVANCED_UNARY(Ceil, SOFTNPU_ADV_CEIL)
SOFTNPU_ADVANCED_UNARY(Trunc, SOFTNPU_ADV_TRUNC)
SOFTNPU_ADVANCED_UNARY(Frac, SOFTNPU_ADV_FRAC)
SOFTNPU_ADVANCED_UNARY(Sin, SOFTNPU_ADV_SIN)
SOFTNPU_ADVANCED_UNARY(Cos, SOFTNPU_ADV_COS)
SOFTNPU_ADVANCED_UNARY(Tan, SOFTNPU_ADV_TAN)
SOFTNPU_ADVANCED_UNARY(Asin, SOFTNPU_ADV_ASIN)
SOFTNPU_ADVANCED_UNARY(Acos, SOFTNPU_ADV_ACOS)
SOFTNPU_ADVANCED_UNARY(Atan, SOFTNPU_ADV_ATAN)
SOFTNPU_ADVANCED_UNARY(Sinh, SOFTNPU_ADV_SINH)
SOFTNPU_ADVANCED_UNARY(Cosh, SOFTNPU_ADV_COSH)
SOFTNPU_ADVANCED_UNARY(Asinh, SOFTNPU_ADV_ASINH)
SOFTNPU_ADVANCED_UNARY(Acosh, SOFTNPU_ADV_ACOSH)
SOFTNPU_ADVANCED_UNARY(Atanh, SOFTNPU_ADV_ATANH)
SOFTNPU_ADVANCED_UNARY(Erfc, SOFTNPU_ADV_ERFC)
SOFTNPU_ADVANCED_UNARY(Lgamma, SOFTNPU_ADV_LGAMMA)
SOFTNPU_ADVANCED_UNARY(Sign, SOFTNPU_ADV_SIGN)
SOFTNPU_ADVANCED_UNARY(Digamma, SOFTNPU_ADV_DIGAMMA)
// x / (1 + exp(-1.702 x)); the second parameter of the template is for speed here.
SOFTNPU_ADVANCED_UNARY(FasterGelu, SOFTNPU_ADV_FASTER_GELU)
SOFTNPU_ADVANCED_UNARY(FasterGeluV2, SOFTNPU_ADV_FASTER_GELU_V2)
#undef SOFTNPU_ADVANCED_UNARY

// The same with both of their modes, which are for speed here.
#define SOFTNPU_GELU_MODES(Name)                                                                  \
  template <typename T, bool highPrecision, bool highPerformance>                                 \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                          \
                   const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t dataSize,          \
                   Where where = Where::Here()) {                                                 \
    Name<T, false>(dst, src, sharedTmpBuffer, dataSize, where);                                   \
  }                                                                                               \
  template <typename T, bool highPrecision, bool highPerformance>                                 \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t dataSize, \
                   Where where = Where::Here()) {                                                 \
    Name<T, false>(dst, src, dataSize, where);                                                    \
  }
SOFTNPU_GELU_MODES(Gelu)
SOFTNPU_GELU_MODES(FasterGelu)
SOFTNPU_GELU_MODES(FasterGeluV2)
#undef SOFTNPU_GELU_MODES

// Exp and Axpy as functions of the library: the instructions, which are exact to their type.
template <typename T, uint8_t taylorExpandLevel, bool isReuseSource = false>
inline void Exp(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t calCount,
                Where where = Where::Here()) {
  Exp(dst, src, static_cast<int32_t>(calCount), where);
}
template <typename T, uint8_t taylorExpandLevel, bool isReuseSource = false>
inline void Exp(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t calCount,
                Where where = Where::Here()) {
  (void)sharedTmpBuffer;
  Exp(dst, src, static_cast<int32_t>(calCount), where);
}
template <typename T, typename U, bool isReuseSource = false>
inline void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U scalarValue,
                 const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t calCount,
                 Where where = Where::Here()) {
  (void)sharedTmpBuffer;
  Axpy(dst, src, scalarValue, static_cast<int32_t>(calCount), where);
}

// x / (1 + exp(-scalar * x))
template <typename T, bool isReuseSource = false>
inline void Swish(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint32_t dataSize,
                  const T scalarValue, Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_SWISH, where)
      .Operand(dst)
      .Operand(src)
      .Param(1, dataSize)
      .Scalar(static_cast<double>(static_cast<float>(scalarValue)))
      .Run();
}
// src0 * Swish(src1)
template <typename T, bool isReuseSource = false>
inline void SwiGLU(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                   const LocalTensor<T>& src1, const float& scalarValue,
                   const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t calCount,
                   Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_SWIGLU, where)
      .Operand(dst)
      .Operand(src0)
      .Operand(src1)
      .Param(1, calCount)
      .Scalar(static_cast<double>(scalarValue))
      .Temporary(sharedTmpBuffer)
      .Run();
}
template <typename T, bool isReuseSource = false>
inline void SwiGLU(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                   const LocalTensor<T>& src1, const float& scalarValue, const uint32_t calCount,
                   Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_SWIGLU, where)
      .Operand(dst)
      .Operand(src0)
      .Operand(src1)
      .Param(1, calCount)
      .Scalar(static_cast<double>(scalarValue))
      .Run();
}

#define SOFTNPU_CLAMP(Name, call)                                                        \
  template <typename T, bool isReuseSource = false>                                      \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                 \
                   const LocalTensor<uint8_t>& sharedTmpBuffer, const T scalar,          \
                   const uint32_t calCount, Where where = Where::Here()) {               \
    softnpu_internal::Advanced(call, where)                                              \
        .Operand(dst)                                                                    \
        .Operand(src)                                                                    \
        .Param(1, calCount)                                                              \
        .Scalar(static_cast<double>(static_cast<float>(scalar)))                         \
        .Temporary(sharedTmpBuffer)                                                      \
        .Run();                                                                          \
  }                                                                                      \
  template <typename T, bool isReuseSource = false>                                      \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T scalar, \
                   const uint32_t calCount, Where where = Where::Here()) {               \
    softnpu_internal::Advanced(call, where)                                              \
        .Operand(dst)                                                                    \
        .Operand(src)                                                                    \
        .Param(1, calCount)                                                              \
        .Scalar(static_cast<double>(static_cast<float>(scalar)))                         \
        .Run();                                                                          \
  }
SOFTNPU_CLAMP(ClampMax, SOFTNPU_ADV_CLAMP_MAX)
SOFTNPU_CLAMP(ClampMin, SOFTNPU_ADV_CLAMP_MIN)
#undef SOFTNPU_CLAMP

// Of two tensors, by count. Fmod: src0 - trunc(src0 / src1) * src1; Xor: the bits of one or the
// other; Power: src0 to the power of src1.
#define SOFTNPU_ADVANCED_BINARY(Name, call)                                                 \
  template <typename T, bool isReuseSource = false>                                         \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0,                   \
                   const LocalTensor<T>& src1, const LocalTensor<uint8_t>& sharedTmpBuffer, \
                   const uint32_t calCount, Where where = Where::Here()) {                  \
    softnpu_internal::Advanced(call, where)                                                 \
        .Operand(dst)                                                                       \
        .Operand(src0)                                                                      \
        .Operand(src1)                                                                      \
        .Param(1, calCount)                                                                 \
        .Temporary(sharedTmpBuffer)                                                         \
        .Run();                                                                             \
  }                                                                                         \
  template <typename T, bool isReuseSource = false>                                         \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0,                   \
                   const LocalTensor<T>& src1, const uint32_t calCount,                     \
                   Where where = Where::Here()) {                                           \
    softnpu_internal::Advanced(call, where)                                                 \
        .Operand(dst)                                                                       \
        .Operand(src0)                                                                      \
        .Operand(src1)                                                                      \
        .Param(1, calCount)                                                                 \
        .Run();                                                                             \
  }
SOFTNPU_ADVANCED_BINARY(Fmod, SOFTNPU_ADV_FMOD)
SOFTNPU_ADVANCED_BINARY(Xor, SOFTNPU_ADV_XOR)
SOFTNPU_ADVANCED_BINARY(Power, SOFTNPU_ADV_POWER)
// src0 * Gelu(src1), src0 * Relu(src1)
SOFTNPU_ADVANCED_BINARY(GeGLU, SOFTNPU_ADV_GEGLU)
SOFTNPU_ADVANCED_BINARY(ReGlu, SOFTNPU_ADV_REGLU)
#undef SOFTNPU_ADVANCED_BINARY

// Either the base or the exponent is a scalar.
template <typename T, bool isReuseSource = false>
inline void Power(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const T& scalarValue,
                  uint32_t calCount, Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_POWER, where)
      .Operand(dst)
      .Operand(src0)
      .Param(1, calCount)
      .Scalar(static_cast<double>(scalarValue))
      .Run();
}
template <typename T, bool isReuseSource = false>
inline void Power(const LocalTensor<T>& dst, const T& scalarValue, const LocalTensor<T>& src1,
                  uint32_t calCount, Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_POWER, where)
      .Operand(dst)
      .Operand(src1)
      .Param(1, calCount)
      .Param(2, 1)
      .Scalar(static_cast<double>(scalarValue))
      .Run();
}
template <typename T, bool isReuseSource = false>
inline void Power(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const T& scalarValue,
                  const LocalTensor<uint8_t>& sharedTmpBuffer, uint32_t calCount,
                  Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_POWER, where)
      .Operand(dst)
      .Operand(src0)
      .Param(1, calCount)
      .Scalar(static_cast<double>(scalarValue))
      .Temporary(sharedTmpBuffer)
      .Run();
}
template <typename T, bool isReuseSource = false>
inline void Power(const LocalTensor<T>& dst, const T& scalarValue, const LocalTensor<T>& src1,
                  const LocalTensor<uint8_t>& sharedTmpBuffer, uint32_t calCount,
                  Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_POWER, where)
      .Operand(dst)
      .Operand(src1)
      .Param(1, calCount)
      .Param(2, 1)
      .Scalar(static_cast<double>(scalarValue))
      .Temporary(sharedTmpBuffer)
      .Run();
}

// A result per row of `inner` elements, of which `n` count.
#define SOFTNPU_ROWS(Name, call, Params)                                                       \
  template <typename T, int32_t reduceDim = -1, bool isReuseSource = false>                    \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                       \
                   const LocalTensor<uint8_t>& sharedTmpBuffer, const Params& params,          \
                   Where where = Where::Here()) {                                              \
    softnpu_internal::Advanced(call, where)                                                    \
        .Operand(dst)                                                                          \
        .Operand(src)                                                                          \
        .Param(1, params.outter)                                                               \
        .Param(2, params.inner)                                                                \
        .Param(3, params.n)                                                                    \
        .Temporary(sharedTmpBuffer)                                                            \
        .Run();                                                                                \
  }                                                                                            \
  template <typename T, int32_t reduceDim = -1, bool isReuseSource = false>                    \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const Params& params, \
                   Where where = Where::Here()) {                                              \
    softnpu_internal::Advanced(call, where)                                                    \
        .Operand(dst)                                                                          \
        .Operand(src)                                                                          \
        .Param(1, params.outter)                                                               \
        .Param(2, params.inner)                                                                \
        .Param(3, params.n)                                                                    \
        .Run();                                                                                \
  }
SOFTNPU_ROWS(Sum, SOFTNPU_ADV_SUM, SumParams)
SOFTNPU_ROWS(Mean, SOFTNPU_ADV_MEAN, MeanParams)
#undef SOFTNPU_ROWS

// The k largest (smallest) of the first n of each row, with their indices.
#define SOFTNPU_TOP_K(Buffer, Pass)                                                             \
  template <typename T, bool isInitIndex = false, bool isHasfinish = false,                     \
            bool isReuseSrc = false, TopKMode topkMode = TopKMode::TOPK_NORMAL>                 \
  inline void TopK(const LocalTensor<T>& dstValue, const LocalTensor<int32_t>& dstIndex,        \
                   const LocalTensor<T>& src, const LocalTensor<int32_t>& srcIndex,             \
                   const LocalTensor<bool>& finish Buffer, const int32_t k,                     \
                   const TopkTiling& tiling, const TopKInfo& info, const bool isLargest = true, \
                   Where where = Where::Here()) {                                               \
    (void)tiling;                                                                               \
    softnpu_internal::Advanced call(SOFTNPU_ADV_TOP_K, where);                                  \
    call.Operand(dstValue).Operand(dstIndex).Operand(src);                                      \
    if (isInitIndex) call.Operand(srcIndex);                                                    \
    if (isHasfinish) call.Operand(finish);                                                      \
    call.Param(1, info.outter).Param(2, info.inner).Param(3, info.n).Param(4, k);               \
    call.Param(5, isInitIndex).Param(6, isHasfinish).Param(7, isLargest);                       \
    call.Param(8, topkMode == TopKMode::TOPK_NSMALL).Temporary(Pass).Run();                     \
  }
#define SOFTNPU_BUFFER , const LocalTensor<uint8_t>& tmp
#define SOFTNPU_NOTHING
SOFTNPU_TOP_K(SOFTNPU_NOTHING, )
SOFTNPU_TOP_K(SOFTNPU_BUFFER, tmp)
#undef SOFTNPU_TOP_K
#undef SOFTNPU_BUFFER
#undef SOFTNPU_NOTHING

// An axis of length 1 becomes longer; one or two dimensions.
template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false>
inline void Broadcast(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                      const uint32_t dstShape[dim], const uint32_t srcShape[dim],
                      Where where = Where::Here()) {
  static_assert((dim == 1 || dim == 2) && axis >= 0 && axis < dim,
                "Broadcast: one or two dimensions, and an axis of them");
  (void)srcShape;
  softnpu_internal::Advanced(SOFTNPU_ADV_BROADCAST, where)
      .Operand(dst)
      .Operand(src)
      .Param(1, dim == 1 ? 1 : dstShape[0])
      .Param(2, dstShape[dim - 1])
      .Param(3, dim == 2 && axis == 0 ? 0 : 1)
      .Run();
}
template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false>
inline void Broadcast(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                      const uint32_t dstShape[dim], const uint32_t srcShape[dim],
                      const LocalTensor<uint8_t>& sharedTmpBuffer, Where where = Where::Here()) {
  (void)sharedTmpBuffer;
  Broadcast<T, dim, axis, isReuseSource>(dst, src, dstShape, srcShape, where);
}

// Broadcast under its other spelling.
template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false, typename... Args>
inline void BroadCast(const LocalTensor<T>& dst, const LocalTensor<T>& src, Args&&... args) {
  Broadcast<T, dim, axis, isReuseSource>(dst, src, static_cast<Args&&>(args)...);
}

// Sums along the last axis of `inner` elements, or along the first one. The last row of sums also
// goes to lastRowTensor where the configuration asks for it.
struct CumSumConfig {
  bool isLastAxis = true;
  bool isReuseSource = false;
  bool outputLastRow = false;
};
constexpr CumSumConfig defaultCumSumConfig{};
struct CumSumInfo {
  uint32_t outter = 0;
  uint32_t inner = 0;
};
namespace softnpu_internal {
template <typename T>
inline Advanced CumSumOf(const CumSumConfig& config, const LocalTensor<T>& dst,
                         const LocalTensor<T>& lastRow, const LocalTensor<T>& src,
                         const CumSumInfo& info, const Where& where) {
  Advanced call(SOFTNPU_ADV_CUM_SUM, where);
  call.Operand(dst).Operand(src);
  if (config.outputLastRow) call.Operand(lastRow);
  call.Param(1, info.outter).Param(2, info.inner).Param(3, config.isLastAxis);
  return call;
}
}  // namespace softnpu_internal
template <typename T, const CumSumConfig& config = defaultCumSumConfig>
inline void CumSum(const LocalTensor<T>& dstTensor, const LocalTensor<T>& lastRowTensor,
                   const LocalTensor<T>& srcTensor, const LocalTensor<uint8_t>& sharedTmpBuffer,
                   const CumSumInfo& cumSumInfo, Where where = Where::Here()) {
  softnpu_internal::CumSumOf(config, dstTensor, lastRowTensor, srcTensor, cumSumInfo, where)
      .Temporary(sharedTmpBuffer)
      .Run();
}
template <typename T, const CumSumConfig& config = defaultCumSumConfig>
inline void CumSum(const LocalTensor<T>& dstTensor, const LocalTensor<T>& lastRowTensor,
                   const LocalTensor<T>& srcTensor, const CumSumInfo& cumSumInfo,
                   Where where = Where::Here()) {
  softnpu_internal::CumSumOf(config, dstTensor, lastRowTensor, srcTensor, cumSumInfo, where).Run();
}

// Which axis of two is reduced (R) and which one stays (A).
namespace Pattern {
namespace Reduce {
struct AR {};
struct RA {};
}  // namespace Reduce
}  // namespace Pattern

namespace softnpu_internal {
template <typename pattern>
constexpr bool kLastAxis = IsSameType<pattern, Pattern::Reduce::AR>::value;
}  // namespace softnpu_internal

// srcInnerPad: rows of the source begin at multiples of 32 bytes.
#define SOFTNPU_REDUCE(Name, call)                                                             \
  template <class T, class pattern, bool isReuseSource = false>                                \
  inline void Name(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,           \
                   const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t srcShape[],     \
                   bool srcInnerPad, Where where = Where::Here()) {                            \
    softnpu_internal::Advanced(call, where)                                                    \
        .Operand(dstTensor)                                                                    \
        .Operand(srcTensor)                                                                    \
        .Param(1, srcShape[0])                                                                 \
        .Param(2, srcShape[1])                                                                 \
        .Param(3, softnpu_internal::kLastAxis<pattern>)                                        \
        .Param(4, srcInnerPad)                                                                 \
        .Temporary(sharedTmpBuffer)                                                            \
        .Run();                                                                                \
  }                                                                                            \
  template <class T, class pattern, bool isReuseSource = false>                                \
  inline void Name(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,           \
                   const uint32_t srcShape[], bool srcInnerPad, Where where = Where::Here()) { \
    softnpu_internal::Advanced(call, where)                                                    \
        .Operand(dstTensor)                                                                    \
        .Operand(srcTensor)                                                                    \
        .Param(1, srcShape[0])                                                                 \
        .Param(2, srcShape[1])                                                                 \
        .Param(3, softnpu_internal::kLastAxis<pattern>)                                        \
        .Param(4, srcInnerPad)                                                                 \
        .Run();                                                                                \
  }
SOFTNPU_REDUCE(ReduceSum, SOFTNPU_ADV_REDUCE_SUM)
SOFTNPU_REDUCE(ReduceMax, SOFTNPU_ADV_REDUCE_MAX)
SOFTNPU_REDUCE(ReduceMin, SOFTNPU_ADV_REDUCE_MIN)
SOFTNPU_REDUCE(ReduceProd, SOFTNPU_ADV_REDUCE_PROD)
SOFTNPU_REDUCE(ReduceMean, SOFTNPU_ADV_REDUCE_MEAN)
SOFTNPU_REDUCE(ReduceAll, SOFTNPU_ADV_REDUCE_ALL)
SOFTNPU_REDUCE(ReduceAny, SOFTNPU_ADV_REDUCE_ANY)
#undef SOFTNPU_REDUCE

// dst[0] = the sum of src0 xor src1.
template <typename T, bool isReuseSource = false>
inline void ReduceXorSum(const LocalTensor<T>& dstTensor, const LocalTensor<T>& src0Tensor,
                         const LocalTensor<T>& src1Tensor,
                         const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t calCount,
                         Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_REDUCE_XOR_SUM, where)
      .Operand(dstTensor)
      .Operand(src0Tensor)
      .Operand(src1Tensor)
      .Param(1, calCount)
      .Temporary(sharedTmpBuffer)
      .Run();
}
template <typename T, bool isReuseSource = false>
inline void ReduceXorSum(const LocalTensor<T>& dstTensor, const LocalTensor<T>& src0Tensor,
                         const LocalTensor<T>& src1Tensor, const uint32_t calCount,
                         Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_REDUCE_XOR_SUM, where)
      .Operand(dstTensor)
      .Operand(src0Tensor)
      .Operand(src1Tensor)
      .Param(1, calCount)
      .Run();
}

// Rows of `srcWidth` elements get paddings, or lose them; the width of dst is the next whole number
// of blocks. In columns.
struct PadParams {
  uint16_t leftPad = 0;
  uint16_t rightPad = 0;
  int32_t padValue = 0;
};
struct UnPadParams {
  uint16_t leftPad = 0;  // without effect
  uint16_t rightPad = 0;
};
namespace softnpu_internal {
template <typename T>
inline Advanced PadOf(const LocalTensor<T>& dst, const LocalTensor<T>& src, const PadParams& params,
                      const PadTiling& tiling, const Where& where) {
  constexpr uint32_t kBlock = ONE_BLK_SIZE / sizeof(T);
  Advanced call(SOFTNPU_ADV_PAD, where);
  call.Operand(dst).Operand(src).Param(1, tiling.srcHeight).Param(2, tiling.srcWidth);
  call.Param(3, (tiling.srcWidth + kBlock - 1) / kBlock * kBlock);
  call.Param(4, params.leftPad).Param(5, params.rightPad);
  call.instruction.scalar = softnpu::core::Bits(static_cast<T>(params.padValue));
  return call;
}
}  // namespace softnpu_internal
template <typename T>
inline void Pad(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,
                PadParams& padParams, const LocalTensor<uint8_t>& sharedTmpBuffer,
                PadTiling& tiling, Where where = Where::Here()) {
  softnpu_internal::PadOf(dstTensor, srcTensor, padParams, tiling, where)
      .Temporary(sharedTmpBuffer)
      .Run();
}
template <typename T>
inline void Pad(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,
                PadParams& padParams, PadTiling& tiling, Where where = Where::Here()) {
  softnpu_internal::PadOf(dstTensor, srcTensor, padParams, tiling, where).Run();
}
template <typename T>
inline void UnPad(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,
                  UnPadParams& unPadParams, LocalTensor<uint8_t>& sharedTmpBuffer,
                  UnPadTiling& tiling, Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_UNPAD, where)
      .Operand(dstTensor)
      .Operand(srcTensor)
      .Param(1, tiling.srcHeight)
      .Param(2, tiling.srcWidth)
      .Param(3, unPadParams.rightPad)
      .Temporary(sharedTmpBuffer)
      .Run();
}
template <typename T>
inline void UnPad(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,
                  UnPadParams& unPadParams, UnPadTiling& tiling, Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_UNPAD, where)
      .Operand(dstTensor)
      .Operand(srcTensor)
      .Param(1, tiling.srcHeight)
      .Param(2, tiling.srcWidth)
      .Param(3, unPadParams.rightPad)
      .Run();
}

// mask ? src / keepProb : 0. dropOutMode: 1 and 2: a byte of the mask for each element, 3 and 4: a
// bit, the lowest first; 0: bytes where the mask is as wide as the source.
constexpr uint32_t DROPOUT_MODE_BYTE_MISALIGN = 1;
constexpr uint32_t DROPOUT_MODE_BYTE_ALIGN = 2;
constexpr uint32_t DROPOUT_MODE_BIT_ALIGN = 3;
constexpr uint32_t DROPOUT_MODE_BIT_MISALIGN = 4;
struct DropOutShapeInfo {
  uint32_t firstAxis = 0;
  uint32_t srcLastAxis = 0;
  uint32_t maskLastAxis = 0;
};
namespace softnpu_internal {
template <uint32_t mode, typename T>
inline Advanced DropOutOf(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                          const LocalTensor<uint8_t>& mask, float keep,
                          const DropOutShapeInfo& info, const Where& where) {
  static_assert(mode <= 4, "DropOut has the modes 0 to 4");
  Advanced call(SOFTNPU_ADV_DROP_OUT, where);
  call.Operand(dst).Operand(src).Operand(mask).Param(1, info.firstAxis);
  call.Param(2, info.srcLastAxis).Param(3, info.maskLastAxis);
  call.Param(4, mode == 0 ? info.maskLastAxis < info.srcLastAxis : mode >= 3);
  return call.Scalar(static_cast<double>(keep));
}
}  // namespace softnpu_internal
template <typename T, bool isInitBitMode = false, uint32_t dropOutMode = 0>
inline void DropOut(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,
                    const LocalTensor<uint8_t>& maskLocal,
                    const LocalTensor<uint8_t>& sharedTmpBuffer, const float keepProb,
                    const DropOutShapeInfo& info, Where where = Where::Here()) {
  softnpu_internal::DropOutOf<dropOutMode>(dstLocal, srcLocal, maskLocal, keepProb, info, where)
      .Temporary(sharedTmpBuffer)
      .Run();
}
template <typename T, bool isInitBitMode = false, uint32_t dropOutMode = 0>
inline void DropOut(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,
                    const LocalTensor<uint8_t>& maskLocal, const float keepProb,
                    const DropOutShapeInfo& info, Where where = Where::Here()) {
  softnpu_internal::DropOutOf<dropOutMode>(dstLocal, srcLocal, maskLocal, keepProb, info, where)
      .Run();
}

// The element of src0 where the mask is 0, else the one of src1; one of them is a scalar. The mask
// has an element for each element, and may have longer rows.
struct SelectWithBytesMaskShapeInfo {
  uint32_t firstAxis = 0;
  uint32_t srcLastAxis = 0;
  uint32_t maskLastAxis = 0;
};
namespace softnpu_internal {
template <typename T, typename U>
inline void SelectBytes(const LocalTensor<T>& dst, const LocalTensor<T>& src, T scalar,
                        bool scalar_first, const LocalTensor<U>& mask,
                        const LocalTensor<uint8_t>& tmp, const SelectWithBytesMaskShapeInfo& info,
                        const Where& where) {
  Advanced(SOFTNPU_ADV_SELECT_BYTES, where)
      .Operand(dst)
      .Operand(src)
      .Operand(mask)
      .Param(1, info.firstAxis)
      .Param(2, info.srcLastAxis)
      .Param(3, info.maskLastAxis)
      .Param(4, scalar_first)
      .Scalar(static_cast<double>(static_cast<float>(scalar)))
      .Temporary(tmp)
      .Run();
}
}  // namespace softnpu_internal
template <typename T, typename U, bool isReuseMask = true>
inline void SelectWithBytesMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0, T src1,
                                const LocalTensor<U>& mask,
                                const LocalTensor<uint8_t>& sharedTmpBuffer,
                                const SelectWithBytesMaskShapeInfo& info,
                                Where where = Where::Here()) {
  softnpu_internal::SelectBytes(dst, src0, src1, false, mask, sharedTmpBuffer, info, where);
}
template <typename T, typename U, bool isReuseMask = true>
inline void SelectWithBytesMask(const LocalTensor<T>& dst, T src0, const LocalTensor<T>& src1,
                                const LocalTensor<U>& mask,
                                const LocalTensor<uint8_t>& sharedTmpBuffer,
                                const SelectWithBytesMaskShapeInfo& info,
                                Where where = Where::Here()) {
  softnpu_internal::SelectBytes(dst, src1, src0, true, mask, sharedTmpBuffer, info, where);
}

}  // namespace AscendC
