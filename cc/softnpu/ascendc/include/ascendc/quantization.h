// cc/softnpu/ascendc/include/ascendc/quantization.h: the high-level calls from and to small
// integers, and the transpositions with a tiling. With a temporary buffer or without; each is one
// instruction.
#pragma once

#include "ascendc/tilings.h"
#include "ascendc/vector_advanced.h"
#include "ascendc/vector_transpose.h"

namespace AscendC {

// int8_t = round(src * scale + offset) with one scale, or with one for each of `scaleCount`
// columns.
struct AscendQuantConfig {
  uint32_t calcCount = 0;
  uint32_t offsetCount = 0;
  uint32_t scaleCount = 0;
  uint32_t workLocalSize = 0;
};
constexpr AscendQuantConfig ASCEND_QUANT_DEFAULT_CFG{};
namespace softnpu_internal {
template <typename T>
inline Advanced QuantOf(const LocalTensor<int8_t>& dst, const LocalTensor<T>& src, float scale,
                        float offset, uint32_t count, const Where& where) {
  Advanced call(SOFTNPU_ADV_QUANT, where);
  call.Operand(dst).Operand(src).Param(1, count);
  call.Param(3, static_cast<int64_t>(softnpu::core::Bits(offset)));
  return call.Scalar(static_cast<double>(scale));
}
}  // namespace softnpu_internal
#define SOFTNPU_QUANT(Buffer, Pass)                                                               \
  template <typename T, bool isReuseSource = false,                                               \
            const AscendQuantConfig& config = ASCEND_QUANT_DEFAULT_CFG>                           \
  inline void AscendQuant(const LocalTensor<int8_t>& dst, const LocalTensor<T>& src Buffer,       \
                          const float scale, const float offset, const uint32_t calCount,         \
                          Where where = Where::Here()) {                                          \
    softnpu_internal::QuantOf(dst, src, scale, offset, calCount, where).Temporary(Pass).Run();    \
  }                                                                                               \
  template <typename T, bool isReuseSource = false,                                               \
            const AscendQuantConfig& config = ASCEND_QUANT_DEFAULT_CFG>                           \
  inline void AscendQuant(const LocalTensor<int8_t>& dst, const LocalTensor<T>& src Buffer,       \
                          const float scale, const float offset, Where where = Where::Here()) {   \
    softnpu_internal::QuantOf(dst, src, scale, offset, src.GetSize(), where)                      \
        .Temporary(Pass)                                                                          \
        .Run();                                                                                   \
  }                                                                                               \
  template <typename T, bool isReuseSource = false,                                               \
            const AscendQuantConfig& config = ASCEND_QUANT_DEFAULT_CFG>                           \
  inline void AscendQuant(const LocalTensor<int8_t>& dst, const LocalTensor<T>& src Buffer,       \
                          const LocalTensor<T>& scale, const T offset, const uint32_t scaleCount, \
                          const uint32_t calCount, Where where = Where::Here()) {                 \
    softnpu_internal::QuantOf(dst, src, 1.0f, static_cast<float>(offset), calCount, where)        \
        .Operand(scale)                                                                           \
        .Param(2, scaleCount)                                                                     \
        .Temporary(Pass)                                                                          \
        .Run();                                                                                   \
  }                                                                                               \
  template <typename T, bool isReuseSource = false,                                               \
            const AscendQuantConfig& config = ASCEND_QUANT_DEFAULT_CFG>                           \
  inline void AscendQuant(const LocalTensor<int8_t>& dst, const LocalTensor<T>& src Buffer,       \
                          const LocalTensor<T>& scale, const LocalTensor<T>& offset,              \
                          const uint32_t scaleCount, const uint32_t offsetCount,                  \
                          const uint32_t calCount, Where where = Where::Here()) {                 \
    (void)offsetCount;                                                                            \
    softnpu_internal::QuantOf(dst, src, 1.0f, 0.0f, calCount, where)                              \
        .Operand(scale)                                                                           \
        .Operand(offset)                                                                          \
        .Param(2, scaleCount)                                                                     \
        .Temporary(Pass)                                                                          \
        .Run();                                                                                   \
  }
#define SOFTNPU_BUFFER , const LocalTensor<uint8_t>& sharedTmpBuffer
#define SOFTNPU_NOTHING
SOFTNPU_QUANT(SOFTNPU_NOTHING, )
SOFTNPU_QUANT(SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_QUANT

// dst = src * scale, for the first calCount of each of m rows of n int32_t; rows of dst are padded
// to whole blocks. A scale of uint64_t has its float in the lower half.
struct DequantParams {
  uint32_t m = 0;
  uint32_t n = 0;
  uint32_t calCount = 0;
};
// DEQUANT_WITH_SINGLE_ROW: one row of n is n / calCount rows, where calCount divides it and fills
// whole blocks of dst.
enum class DeQuantMode : uint8_t { DEQUANT_WITH_SINGLE_ROW = 0, DEQUANT_WITH_MULTI_ROW = 1 };
namespace softnpu_internal {
template <DeQuantMode mode, typename To>
inline Advanced DequantOf(const LocalTensor<To>& dst, const LocalTensor<int32_t>& src,
                          DequantParams params, const Where& where) {
  if (mode == DeQuantMode::DEQUANT_WITH_SINGLE_ROW && params.m == 1 && params.calCount != 0 &&
      params.calCount % (32 / sizeof(To)) == 0 && params.n % params.calCount == 0) {
    params = {params.n / params.calCount, params.calCount, params.calCount};
  }
  Advanced call(SOFTNPU_ADV_DEQUANT, where);
  call.Operand(dst).Operand(src).Param(1, params.m).Param(2, params.n).Param(3, params.calCount);
  return call;
}
}  // namespace softnpu_internal
#define SOFTNPU_DEQUANT(Buffer, Pass)                                                              \
  template <typename dstT, typename scaleT,                                                        \
            DeQuantMode mode = DeQuantMode::DEQUANT_WITH_SINGLE_ROW>                               \
  inline void AscendDequant(const LocalTensor<dstT>& dstTensor,                                    \
                            const LocalTensor<int32_t>& srcTensor,                                 \
                            const LocalTensor<scaleT>& deqScale Buffer, DequantParams params,      \
                            Where where = Where::Here()) {                                         \
    softnpu_internal::DequantOf<mode>(dstTensor, srcTensor, params, where)                         \
        .Operand(deqScale)                                                                         \
        .Temporary(Pass)                                                                           \
        .Run();                                                                                    \
  }                                                                                                \
  template <typename dstT, typename scaleT,                                                        \
            DeQuantMode mode = DeQuantMode::DEQUANT_WITH_SINGLE_ROW>                               \
  inline void AscendDequant(const LocalTensor<dstT>& dstTensor,                                    \
                            const LocalTensor<int32_t>& srcTensor, const scaleT deqScale Buffer,   \
                            DequantParams params, Where where = Where::Here()) {                   \
    softnpu_internal::DequantOf<mode>(dstTensor, srcTensor, params, where)                         \
        .Scalar(static_cast<double>(static_cast<float>(deqScale)))                                 \
        .Temporary(Pass)                                                                           \
        .Run();                                                                                    \
  }                                                                                                \
  template <typename dstT, typename scaleT,                                                        \
            DeQuantMode mode = DeQuantMode::DEQUANT_WITH_SINGLE_ROW>                               \
  inline void AscendDequant(const LocalTensor<dstT>& dstTensor,                                    \
                            const LocalTensor<int32_t>& srcTensor,                                 \
                            const LocalTensor<scaleT>& deqScale Buffer, const uint32_t calCount,   \
                            Where where = Where::Here()) {                                         \
    const auto size = static_cast<uint32_t>(srcTensor.GetSize());                                  \
    softnpu_internal::DequantOf<mode>(dstTensor, srcTensor, {1, size, calCount}, where)            \
        .Operand(deqScale)                                                                         \
        .Temporary(Pass)                                                                           \
        .Run();                                                                                    \
  }                                                                                                \
  template <typename dstT, typename scaleT,                                                        \
            DeQuantMode mode = DeQuantMode::DEQUANT_WITH_SINGLE_ROW>                               \
  inline void AscendDequant(                                                                       \
      const LocalTensor<dstT>& dstTensor, const LocalTensor<int32_t>& srcTensor,                   \
      const LocalTensor<scaleT>& deqScale Buffer, Where where = Where::Here()) {                   \
    const auto size = static_cast<uint32_t>(srcTensor.GetSize());                                  \
    softnpu_internal::DequantOf<mode>(dstTensor, srcTensor,                                        \
                                      {1, size, static_cast<uint32_t>(deqScale.GetSize())}, where) \
        .Operand(deqScale)                                                                         \
        .Temporary(Pass)                                                                           \
        .Run();                                                                                    \
  }

// dst = scale * (src + offset). src is [K, N], or [N, K] with isTranspose; scale and offset are
// scalars, or matrices whose elements hold for as many rows (with isTranspose: columns) of src as
// their shape says. Without shapeInfo the shape follows from the size of the tensor.
struct AntiQuantShapeInfo {
  uint32_t offsetHeight = 0;
  uint32_t offsetWidth = 0;
  uint32_t scaleHeight = 0;
  uint32_t scaleWidth = 0;
};
namespace softnpu_internal {
template <bool isTranspose, typename To, typename From>
inline Advanced AntiQuantOf(const LocalTensor<To>& dst, const LocalTensor<From>& src, uint32_t k,
                            const Where& where) {
  const auto other = static_cast<uint32_t>(k == 0 ? 0 : src.GetSize() / k);
  Advanced call(SOFTNPU_ADV_ANTI_QUANT, where);
  call.Operand(dst).Operand(src);
  call.Param(1, isTranspose ? other : k).Param(2, isTranspose ? k : other);
  return call;
}
template <bool isTranspose, typename To, typename From>
inline Advanced AntiQuantOf(const LocalTensor<To>& dst, const LocalTensor<From>& src,
                            const LocalTensor<To>& scale, uint32_t k,
                            const AntiQuantShapeInfo& info, const Where& where) {
  Advanced call = AntiQuantOf<isTranspose>(dst, src, k, where);
  const auto size = static_cast<int64_t>(scale.GetSize());
  const int64_t rows = call.instruction.params[1], columns = call.instruction.params[2];
  const int64_t height = info.scaleHeight != 0 ? info.scaleHeight
                         : isTranspose         ? rows
                         : columns != 0        ? size / columns
                                               : 0;
  const int64_t width = info.scaleWidth != 0 ? info.scaleWidth
                        : !isTranspose       ? columns
                        : rows != 0          ? size / rows
                                             : 0;
  call.Param(3, height).Param(4, width);
  return call;
}
}  // namespace softnpu_internal
#define SOFTNPU_ANTI_QUANT(Buffer, Pass)                                                          \
  template <typename InputDataType, typename OutputDataType, bool isTranspose>                    \
  inline void AscendAntiQuant(                                                                    \
      const LocalTensor<OutputDataType>& dst, const LocalTensor<InputDataType>& src,              \
      const LocalTensor<OutputDataType>& offset, const LocalTensor<OutputDataType>& scale Buffer, \
      const uint32_t k, const AntiQuantShapeInfo& shapeInfo = {}, Where where = Where::Here()) {  \
    softnpu_internal::AntiQuantOf<isTranspose>(dst, src, scale, k, shapeInfo, where)              \
        .Operand(offset)                                                                          \
        .Operand(scale)                                                                           \
        .Param(6, 1)                                                                              \
        .Temporary(Pass)                                                                          \
        .Run();                                                                                   \
  }                                                                                               \
  template <typename InputDataType, typename OutputDataType, bool isTranspose>                    \
  inline void AscendAntiQuant(                                                                    \
      const LocalTensor<OutputDataType>& dst, const LocalTensor<InputDataType>& src,              \
      const OutputDataType offset, const OutputDataType scale Buffer, const uint32_t k,           \
      const AntiQuantShapeInfo& shapeInfo = {}, Where where = Where::Here()) {                    \
    (void)shapeInfo;                                                                              \
    softnpu_internal::AntiQuantOf<isTranspose>(dst, src, k, where)                                \
        .Param(5, static_cast<int64_t>(softnpu::core::Bits(static_cast<float>(offset))))          \
        .Param(6, 1)                                                                              \
        .Scalar(static_cast<double>(static_cast<float>(scale)))                                   \
        .Temporary(Pass)                                                                          \
        .Run();                                                                                   \
  }
// Without an offset.
template <typename InputDataType, typename OutputDataType, bool isTranspose>
inline void AscendAntiQuant(const LocalTensor<OutputDataType>& dst,
                            const LocalTensor<InputDataType>& src,
                            const LocalTensor<OutputDataType>& scale,
                            const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t k,
                            const AntiQuantShapeInfo& shapeInfo = {}, Where where = Where::Here()) {
  softnpu_internal::AntiQuantOf<isTranspose>(dst, src, scale, k, shapeInfo, where)
      .Operand(scale)
      .Temporary(sharedTmpBuffer)
      .Run();
}
template <typename InputDataType, typename OutputDataType, bool isTranspose>
inline void AscendAntiQuant(const LocalTensor<OutputDataType>& dst,
                            const LocalTensor<InputDataType>& src, const OutputDataType scale,
                            const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t k,
                            const AntiQuantShapeInfo& shapeInfo = {}, Where where = Where::Here()) {
  (void)shapeInfo;
  softnpu_internal::AntiQuantOf<isTranspose>(dst, src, k, where)
      .Scalar(static_cast<double>(static_cast<float>(scale)))
      .Temporary(sharedTmpBuffer)
      .Run();
}

// Tensors [B, N, S, H/N] and matrices, transposed; see TransposeType.
#define SOFTNPU_TRANSPOSE(Name, Buffer, Pass)                                           \
  template <typename T>                                                                 \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src Buffer,         \
                   TransposeType transposeType, const ConfusionTransposeTiling& tiling, \
                   Where where = Where::Here()) {                                       \
    const bool matrix = transposeType == TransposeType::TRANSPOSE_ND2ND_ONLY;           \
    softnpu_internal::Advanced(SOFTNPU_ADV_CONFUSION_TRANSPOSE, where)                  \
        .Operand(dst)                                                                   \
        .Operand(src)                                                                   \
        .Param(1, static_cast<int64_t>(transposeType))                                  \
        .Param(2, matrix ? 1 : tiling.param14)                                          \
        .Param(3, matrix ? 1 : tiling.param15)                                          \
        .Param(4, matrix ? tiling.param1 : tiling.param16)                              \
        .Param(5, matrix ? tiling.param2 : tiling.param17)                              \
        .Temporary(Pass)                                                                \
        .Run();                                                                         \
  }

#define SOFTNPU_BUFFER , const LocalTensor<uint8_t>& sharedTmpBuffer
#define SOFTNPU_NOTHING
SOFTNPU_DEQUANT(SOFTNPU_NOTHING, )
SOFTNPU_DEQUANT(SOFTNPU_BUFFER, sharedTmpBuffer)
SOFTNPU_ANTI_QUANT(SOFTNPU_NOTHING, )
SOFTNPU_ANTI_QUANT(SOFTNPU_BUFFER, sharedTmpBuffer)
SOFTNPU_TRANSPOSE(Transpose, SOFTNPU_NOTHING, )
SOFTNPU_TRANSPOSE(Transpose, SOFTNPU_BUFFER, sharedTmpBuffer)
SOFTNPU_TRANSPOSE(ConfusionTranspose, SOFTNPU_NOTHING, )
SOFTNPU_TRANSPOSE(ConfusionTranspose, SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_DEQUANT
#undef SOFTNPU_ANTI_QUANT
#undef SOFTNPU_TRANSPOSE
#undef SOFTNPU_BUFFER
#undef SOFTNPU_NOTHING

}  // namespace AscendC
