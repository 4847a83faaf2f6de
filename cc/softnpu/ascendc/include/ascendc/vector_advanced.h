// cc/softnpu/ascendc/include/ascendc/vector_advanced.h: high-level calls.
//
// With a temporary buffer or without; on a device they are sequences of instructions.
#pragma once

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
// The fields that SoftNPU looks at; the host's tiling functions fill in more.
struct SoftMaxTiling {
  uint32_t srcM = 0;
  uint32_t srcK = 0;
};
struct SoftMaxShapeInfo {
  uint32_t srcM = 0;
  uint32_t srcK = 0;
  uint32_t oriSrcM = 0;
  uint32_t oriSrcK = 0;
};
struct RmsNormTiling {
  uint32_t bLength = 0;
  uint32_t sLength = 0;
  uint32_t hLength = 0;
  uint32_t originalHLength = 0;
};
struct LayerNormTiling {
  uint32_t bLength = 0;
  uint32_t sLength = 0;
  uint32_t hLength = 0;
  uint32_t originalHLength = 0;
};
struct TopkTiling {
  int32_t tmpLocalSize = 0;
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
  SoftnpuTensor list[9];

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
  void Run() {
    instruction.list = list;
    softnpu::core::Execute(instruction);
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
#undef SOFTNPU_ADVANCED_UNARY

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

// base to the power of an exponent; one of them can be a scalar.
template <typename T, bool isReuseSource = false>
inline void Power(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                  uint32_t calCount, Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_POWER, where)
      .Operand(dst)
      .Operand(src0)
      .Operand(src1)
      .Param(1, calCount)
      .Run();
}
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
inline void Power(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                  const LocalTensor<uint8_t>& sharedTmpBuffer, uint32_t calCount,
                  Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_POWER, where)
      .Operand(dst)
      .Operand(src0)
      .Operand(src1)
      .Param(1, calCount)
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

namespace softnpu_internal {
inline Advanced& Shape(Advanced& call, const SoftMaxTiling& tiling, const SoftMaxShapeInfo& shape) {
  const uint32_t rows = shape.srcM != 0 ? shape.srcM : tiling.srcM;
  const uint32_t columns = shape.srcK != 0 ? shape.srcK : tiling.srcK;
  return call.Param(1, rows)
      .Param(2, columns)
      .Param(3, shape.oriSrcK != 0 ? shape.oriSrcK : columns);
}
}  // namespace softnpu_internal

// Rows of srcK elements. sum and max have a block of 32 bytes per row, filled with the value.
#define SOFTNPU_SOFTMAX(Name, call, Buffer, Pass)                                        \
  template <typename T, bool isReuseSource = false, bool isBasicBlock = false,           \
            bool isDataFormatNZ = false, typename U>                                     \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<U>& sum,                 \
                   const LocalTensor<U>& max, const LocalTensor<T>& src Buffer,          \
                   const SoftMaxTiling& tiling, const SoftMaxShapeInfo& shape = {},      \
                   Where where = Where::Here()) {                                        \
    static_assert(!isDataFormatNZ, #Name ": the NZ format is not supported by SoftNPU"); \
    softnpu_internal::Advanced softmax(call, where);                                     \
    softmax.Operand(dst).Operand(sum).Operand(max).Operand(src).Param(4, 1);             \
    softnpu_internal::Shape(softmax, tiling, shape).Temporary(Pass).Run();               \
  }
#define SOFTNPU_NOTHING
#define SOFTNPU_BUFFER , const LocalTensor<uint8_t>& sharedTmpBuffer
SOFTNPU_SOFTMAX(SoftMax, SOFTNPU_ADV_SOFTMAX, SOFTNPU_NOTHING, )
SOFTNPU_SOFTMAX(SoftMax, SOFTNPU_ADV_SOFTMAX, SOFTNPU_BUFFER, sharedTmpBuffer)
// With the sum and the maximum given.
SOFTNPU_SOFTMAX(SimpleSoftMax, SOFTNPU_ADV_SIMPLE_SOFTMAX, SOFTNPU_NOTHING, )
SOFTNPU_SOFTMAX(SimpleSoftMax, SOFTNPU_ADV_SIMPLE_SOFTMAX, SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_SOFTMAX

template <typename T, bool isReuseSource = false, bool isBasicBlock = false>
inline void SoftMax(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                    const SoftMaxTiling& tiling, const SoftMaxShapeInfo& shape = {},
                    Where where = Where::Here()) {
  softnpu_internal::Advanced call(SOFTNPU_ADV_SOFTMAX, where);
  call.Operand(dst).Operand(src);
  softnpu_internal::Shape(call, tiling, shape).Run();
}
template <typename T, bool isReuseSource = false, bool isBasicBlock = false>
inline void SoftMax(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                    const LocalTensor<uint8_t>& sharedTmpBuffer, const SoftMaxTiling& tiling,
                    const SoftMaxShapeInfo& shape = {}, Where where = Where::Here()) {
  softnpu_internal::Advanced call(SOFTNPU_ADV_SOFTMAX, where);
  call.Operand(dst).Operand(src);
  softnpu_internal::Shape(call, tiling, shape).Temporary(sharedTmpBuffer).Run();
}

// dst = exp(src - max) without the division; with isUpdate the earlier sum and maximum take part,
// and expMax = exp(inMax - max).
#define SOFTNPU_FLASH(Buffer, Pass)                                                              \
  template <typename T, bool isUpdate = false, bool isReuseSource = false,                       \
            bool isBasicBlock = false, bool isDataFormatNZ = false, typename U>                  \
  inline void SoftmaxFlashV2(const LocalTensor<T>& dst, const LocalTensor<U>& expSum,            \
                             const LocalTensor<U>& max, const LocalTensor<T>& src,               \
                             const LocalTensor<T>& expMax, const LocalTensor<U>& inExpSum,       \
                             const LocalTensor<U>& inMax Buffer, const SoftMaxTiling& tiling,    \
                             const SoftMaxShapeInfo& shape = {}, Where where = Where::Here()) {  \
    static_assert(!isDataFormatNZ, "SoftmaxFlashV2: the NZ format is not supported by SoftNPU"); \
    softnpu_internal::Advanced call(SOFTNPU_ADV_SOFTMAX_FLASH_V2, where);                        \
    call.Operand(dst).Operand(expSum).Operand(max).Operand(expMax).Operand(src);                 \
    call.Operand(inExpSum).Operand(inMax).Param(5, isUpdate);                                    \
    softnpu_internal::Shape(call, tiling, shape).Temporary(Pass).Run();                          \
  }
SOFTNPU_FLASH(SOFTNPU_NOTHING, )
SOFTNPU_FLASH(SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_FLASH
#undef SOFTNPU_BUFFER
#undef SOFTNPU_NOTHING

// x / sqrt(mean(x * x) + epsilon) * gamma over the last axis.
template <typename T, bool isBasicBlock = false>
inline void RmsNorm(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                    const LocalTensor<T>& gamma, const LocalTensor<uint8_t>& sharedTmpBuffer,
                    const T epsilon, const RmsNormTiling& tiling, Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_RMS_NORM, where)
      .Operand(dst)
      .Operand(src)
      .Operand(gamma)
      .Param(1, int64_t{tiling.bLength} * tiling.sLength)
      .Param(2, tiling.hLength)
      .Param(3, tiling.originalHLength)
      .Scalar(static_cast<double>(static_cast<float>(epsilon)))
      .Temporary(sharedTmpBuffer)
      .Run();
}
template <typename T, bool isBasicBlock = false>
inline void RmsNorm(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                    const LocalTensor<T>& gamma, const T epsilon, const RmsNormTiling& tiling,
                    Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_RMS_NORM, where)
      .Operand(dst)
      .Operand(src)
      .Operand(gamma)
      .Param(1, int64_t{tiling.bLength} * tiling.sLength)
      .Param(2, tiling.hLength)
      .Param(3, tiling.originalHLength)
      .Scalar(static_cast<double>(static_cast<float>(epsilon)))
      .Run();
}

// (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axis.
template <typename T, bool isReuseSource = false>
inline void LayerNorm(const LocalTensor<T>& output, const LocalTensor<T>& outputMean,
                      const LocalTensor<T>& outputVariance, const LocalTensor<T>& inputX,
                      const LocalTensor<T>& gamma, const LocalTensor<T>& beta,
                      const LocalTensor<uint8_t>& sharedTmpBuffer, const T epsilon,
                      LayerNormTiling& tiling, Where where = Where::Here()) {
  softnpu_internal::Advanced(SOFTNPU_ADV_LAYER_NORM, where)
      .Operand(output)
      .Operand(outputMean)
      .Operand(outputVariance)
      .Operand(inputX)
      .Operand(gamma)
      .Operand(beta)
      .Param(1, int64_t{tiling.bLength} * tiling.sLength)
      .Param(2, tiling.hLength)
      .Param(3, tiling.originalHLength)
      .Scalar(static_cast<double>(static_cast<float>(epsilon)))
      .Temporary(sharedTmpBuffer)
      .Run();
}

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

}  // namespace AscendC
