// cc/softnpu/ascendc/include/tiling/vector_tiling.h: the host's tiling functions of the high-level
// calls on vectors.
//
// They fill in the sizes, and do not split: SoftNPU's calls work on all of their tensors at once.
// Sizes of temporary buffers are SoftNPU's own; its calls use none.
#pragma once

#include <stdint.h>

#include <initializer_list>
#include <type_traits>
#include <vector>

#include "kernel_tiling/kernel_tiling.h"
#include "tiling/platform/platform_ascendc.h"

namespace AscendC {

// A shape on the host; ge::Shape in older versions.
class TensorShape {
 public:
  TensorShape() = default;
  TensorShape(const std::vector<int64_t>& dims) : dims_(dims) {}
  TensorShape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  size_t GetDimNum() const { return dims_.size(); }
  int64_t GetDim(size_t i) const { return i < dims_.size() ? dims_[i] : 0; }
  int64_t SetDim(size_t i, int64_t size) { return dims_.at(i) = size; }
  const std::vector<int64_t>& GetDims() const { return dims_; }
  int64_t GetShapeSize() const {
    int64_t size = 1;
    for (const int64_t dim : dims_) size *= dim;
    return size;
  }

 private:
  std::vector<int64_t> dims_;
};

}  // namespace AscendC

namespace ge {
using AscendC::TensorShape;
using Shape = TensorShape;
}  // namespace ge

namespace optiling {
using AscendC::BatchNormTiling;
using AscendC::ConfusionTransposeTiling;
using AscendC::DeepNormTiling;
using AscendC::GroupNormTiling;
using AscendC::LayerNormGradBetaTiling;
using AscendC::LayerNormGradTiling;
using AscendC::LayerNormSeparateTiling;
using AscendC::LayerNormTiling;
using AscendC::LogSoftMaxTiling;
using AscendC::PadTiling;
using AscendC::RmsNormTiling;
using AscendC::SoftMaxTiling;
using AscendC::TopkTiling;
using AscendC::UnPadTiling;
}  // namespace optiling

namespace AscendC {
namespace softnpu_internal {

inline uint32_t Dim(const TensorShape& shape, size_t i) {
  return static_cast<uint32_t>(shape.GetDim(i));
}
// The last dimension, and the product of the others.
inline uint32_t Last(const TensorShape& shape) {
  return shape.GetDimNum() == 0 ? 0 : Dim(shape, shape.GetDimNum() - 1);
}
inline uint32_t Others(const TensorShape& shape) {
  uint32_t size = 1;
  for (size_t i = 0; i + 1 < shape.GetDimNum(); ++i) size *= Dim(shape, i);
  return size;
}
// At least a row of floats, at most two tensors of them; whole repeats.
inline uint32_t LeastBuffer(const TensorShape& shape) {
  return (Last(shape) * 4 + 511) / 256 * 256;
}
inline uint32_t MostBuffer(const TensorShape& shape) {
  const auto size = static_cast<uint32_t>(shape.GetShapeSize());
  return (size * 8 + 511) / 256 * 256;
}
inline void Buffers(const TensorShape& shape, uint32_t& most, uint32_t& least) {
  most = MostBuffer(shape);
  least = LeastBuffer(shape);
}
template <typename Tiling>
inline void Rows(const TensorShape& shape, uint32_t original, Tiling& tiling) {
  tiling = Tiling();
  tiling.bLength = Dim(shape, 0);
  tiling.sLength = Dim(shape, 1);
  tiling.hLength = Dim(shape, 2);
  tiling.originalHLength = original != 0 ? original : Dim(shape, 2);
}

}  // namespace softnpu_internal

// Softmax and its kin, of [..., n].
inline void SoftMaxTilingFunc(const TensorShape& srcShape, const uint32_t dataTypeSize,
                              const uint32_t, SoftMaxTiling& tiling) {
  tiling = softnpu_internal::SoftMaxTilingOf(softnpu_internal::Others(srcShape),
                                             softnpu_internal::Last(srcShape), dataTypeSize);
}
inline void SoftMaxFlashTilingFunc(const TensorShape& srcShape, const uint32_t dataTypeSize,
                                   const uint32_t localWorkSpaceSize, SoftMaxTiling& tiling,
                                   const bool = false) {
  SoftMaxTilingFunc(srcShape, dataTypeSize, localWorkSpaceSize, tiling);
}
inline void SoftMaxGradTilingFunc(const TensorShape& srcShape, const uint32_t dataTypeSize,
                                  const uint32_t localWorkSpaceSize, SoftMaxTiling& tiling,
                                  const bool = false) {
  SoftMaxTilingFunc(srcShape, dataTypeSize, localWorkSpaceSize, tiling);
}
inline void SoftMaxFlashV2TilingFunc(const TensorShape& srcShape, const uint32_t,
                                     const uint32_t dataTypeSize2,
                                     const uint32_t localWorkSpaceSize, SoftMaxTiling& tiling,
                                     const bool = false, const bool = false, const bool = false) {
  SoftMaxTilingFunc(srcShape, dataTypeSize2, localWorkSpaceSize, tiling);
}
inline void LogSoftMaxTilingFunc(const TensorShape& srcShape, const uint32_t, const uint32_t,
                                 LogSoftMaxTiling& tiling) {
  tiling = LogSoftMaxTiling();
  tiling.srcM = softnpu_internal::Others(srcShape);
  tiling.srcK = softnpu_internal::Last(srcShape);
  tiling.srcSize = tiling.srcM * tiling.srcK;
}
inline bool IsBasicBlockInSoftMax(const SoftMaxTiling& tiling, const uint32_t dataTypeSize = 2) {
  return tiling.srcK < 2048 && tiling.srcK >= 256 / dataTypeSize && tiling.srcK % 64 == 0 &&
         tiling.srcM % 8 == 0;
}
// The same parameters differ from call to call in their number and not in what they decide here.
#define SOFTNPU_BUFFER_SIZES(Name)                                                                \
  template <typename... Others>                                                                   \
  inline uint32_t Get##Name##MinTmpSize(const TensorShape& srcShape, const uint32_t, Others...) { \
    return softnpu_internal::LeastBuffer(srcShape);                                               \
  }                                                                                               \
  template <typename... Others>                                                                   \
  inline uint32_t Get##Name##MaxTmpSize(const TensorShape& srcShape, const uint32_t, Others...) { \
    return softnpu_internal::MostBuffer(srcShape);                                                \
  }
SOFTNPU_BUFFER_SIZES(SoftMax)
SOFTNPU_BUFFER_SIZES(SoftMaxFlash)
SOFTNPU_BUFFER_SIZES(SoftMaxFlashV2)
SOFTNPU_BUFFER_SIZES(SoftMaxGrad)
SOFTNPU_BUFFER_SIZES(LogSoftMax)
#undef SOFTNPU_BUFFER_SIZES

// Normalisation.
inline void GetLayerNormNDTilingInfo(const TensorShape& srcShape, const uint32_t, const uint32_t,
                                     const bool, LayerNormTiling& tiling) {
  softnpu_internal::Rows(srcShape, softnpu_internal::Dim(srcShape, 3), tiling);
  tiling.lastDimValueBack = 1.0f / static_cast<float>(tiling.originalHLength);
}
inline void GetLayerNormNDTillingInfo(const TensorShape& srcShape, const uint32_t stackBufferSize,
                                      const uint32_t typeSize, const bool isReuseSource,
                                      LayerNormTiling& tilling) {
  GetLayerNormNDTilingInfo(srcShape, stackBufferSize, typeSize, isReuseSource, tilling);
}
inline void GetLayerNormNDTilingInfo(const TensorShape& srcShape, const uint32_t, const uint32_t,
                                     const bool, const bool, LayerNormSeparateTiling& tiling) {
  tiling = LayerNormSeparateTiling();
  tiling.aLength = softnpu_internal::Dim(srcShape, 0);
  tiling.rLength = softnpu_internal::Dim(srcShape, 1);
  tiling.rValueBack = 1.0f / static_cast<float>(tiling.rLength);
}
inline void GetLayerNormGradNDTilingInfo(const TensorShape& srcShape,
                                         const uint32_t stackBufferSize, const uint32_t, const bool,
                                         LayerNormGradTiling& tiling) {
  softnpu_internal::Rows(srcShape, softnpu_internal::Dim(srcShape, 3), tiling);
  tiling.stackBufferSize = stackBufferSize;
}
inline void GetLayerNormGradBetaNDTilingInfo(const TensorShape& srcShape,
                                             const uint32_t stackBufferSize, const uint32_t,
                                             const bool, LayerNormGradBetaTiling& tiling) {
  softnpu_internal::Rows(srcShape, softnpu_internal::Dim(srcShape, 3), tiling);
  tiling.stackBufferSize = stackBufferSize;
  tiling.bsLength = tiling.bLength * tiling.sLength;
  tiling.bshLength = tiling.bsLength * tiling.hLength;
}
inline bool GetRmsNormTilingInfo(const TensorShape& srcShape, const TensorShape& originSrcShape,
                                 const uint32_t, const uint32_t, RmsNormTiling& tiling,
                                 const bool = false) {
  softnpu_internal::Rows(srcShape, softnpu_internal::Dim(originSrcShape, 2), tiling);
  tiling.reciprocalOfHLength = 1.0f / static_cast<float>(tiling.originalHLength);
  return tiling.originalHLength <= tiling.hLength;
}
inline bool GetDeepNormTilingInfo(const TensorShape& srcShape, const TensorShape& originSrcShape,
                                  const uint32_t, const uint32_t, const bool, const bool,
                                  DeepNormTiling& tiling) {
  softnpu_internal::Rows(srcShape, softnpu_internal::Dim(originSrcShape, 2), tiling);
  return tiling.hLength <= 2040 && tiling.originalHLength <= tiling.hLength;
}
inline bool GetBatchNormNDTilingInfo(const TensorShape& srcShape, const TensorShape& originSrcShape,
                                     const uint32_t, const uint32_t typeSize, const bool,
                                     BatchNormTiling& tiling, const bool = false) {
  tiling = BatchNormTiling();
  tiling.originalBLength = softnpu_internal::Dim(originSrcShape, 0);
  tiling.meanVarSize = softnpu_internal::Dim(srcShape, 1) * softnpu_internal::Dim(srcShape, 2);
  tiling.firstDimValueBack = 1.0f / static_cast<float>(tiling.originalBLength);
  return tiling.meanVarSize * typeSize % 32 == 0;
}
inline void GetGroupNormNDTilingInfo(const TensorShape& srcShape, const uint32_t, const uint32_t,
                                     const bool, const uint32_t groupNum, GroupNormTiling& tiling) {
  tiling = GroupNormTiling();
  tiling.n = softnpu_internal::Dim(srcShape, 0);
  tiling.c = softnpu_internal::Dim(srcShape, 1);
  tiling.hw = softnpu_internal::Dim(srcShape, 2) * softnpu_internal::Dim(srcShape, 3);
  tiling.g = groupNum;
  tiling.d = groupNum == 0 ? 0 : tiling.c / groupNum;
}
inline void GetLayerNormMaxMinTmpSize(const TensorShape& srcShape, const uint32_t, const bool,
                                      uint32_t& maxValue, uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
}
inline void GetLayerNormMaxMinTmpSize(const TensorShape& srcShape, const uint32_t, const bool,
                                      const bool, const bool, uint32_t& maxValue,
                                      uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
}
inline bool GetRmsNormMaxMinTmpSize(const TensorShape& srcShape, const uint32_t, uint32_t& maxValue,
                                    uint32_t& minValue, const bool = false) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
  return true;
}
inline bool GetDeepNormMaxMinTmpSize(const TensorShape& srcShape, const uint32_t, const bool,
                                     const bool, uint32_t& maxValue, uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
  return true;
}
inline bool GetBatchNormMaxMinTmpSize(const TensorShape& srcShape, const TensorShape&,
                                      const uint32_t, const bool, uint32_t& maxValue,
                                      uint32_t& minValue, const bool = false) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
  return true;
}
inline void GetGroupNormMaxMinTmpSize(const TensorShape& srcShape, const uint32_t, const bool,
                                      const uint32_t, uint32_t& maxValue, uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
}
inline void GetWelfordUpdateMaxMinTmpSize(const TensorShape& srcShape, const uint32_t,
                                          const uint32_t, const bool, const bool,
                                          uint32_t& maxValue, uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
}
inline void GetNormalizeMaxMinTmpSize(const TensorShape& srcShape, const uint32_t, const uint32_t,
                                      const bool, const bool, const bool, uint32_t& maxValue,
                                      uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
}

// Calls that take a shape, the size of an element and whether the source may be written.
#define SOFTNPU_BUFFER_SIZES(Name)                                                              \
  inline void Get##Name##MaxMinTmpSize(const TensorShape& srcShape, const uint32_t, const bool, \
                                       uint32_t& maxValue, uint32_t& minValue) {                \
    softnpu_internal::Buffers(srcShape, maxValue, minValue);                                    \
  }
SOFTNPU_BUFFER_SIZES(Acos)
SOFTNPU_BUFFER_SIZES(Acosh)
SOFTNPU_BUFFER_SIZES(Asin)
SOFTNPU_BUFFER_SIZES(Asinh)
SOFTNPU_BUFFER_SIZES(Atan)
SOFTNPU_BUFFER_SIZES(Atanh)
SOFTNPU_BUFFER_SIZES(Axpy)
SOFTNPU_BUFFER_SIZES(Ceil)
SOFTNPU_BUFFER_SIZES(Clamp)
SOFTNPU_BUFFER_SIZES(Cos)
SOFTNPU_BUFFER_SIZES(Cosh)
SOFTNPU_BUFFER_SIZES(Digamma)
SOFTNPU_BUFFER_SIZES(Erf)
SOFTNPU_BUFFER_SIZES(Erfc)
SOFTNPU_BUFFER_SIZES(Exp)
SOFTNPU_BUFFER_SIZES(Floor)
SOFTNPU_BUFFER_SIZES(Fmod)
SOFTNPU_BUFFER_SIZES(Frac)
SOFTNPU_BUFFER_SIZES(LayerNormGrad)
SOFTNPU_BUFFER_SIZES(LayerNormGradBeta)
SOFTNPU_BUFFER_SIZES(Lgamma)
SOFTNPU_BUFFER_SIZES(Log)
SOFTNPU_BUFFER_SIZES(Power)
SOFTNPU_BUFFER_SIZES(ReGlu)
SOFTNPU_BUFFER_SIZES(Round)
SOFTNPU_BUFFER_SIZES(Sigmoid)
SOFTNPU_BUFFER_SIZES(Sign)
SOFTNPU_BUFFER_SIZES(Silu)
SOFTNPU_BUFFER_SIZES(Sin)
SOFTNPU_BUFFER_SIZES(Sinh)
SOFTNPU_BUFFER_SIZES(SwiGLU)
SOFTNPU_BUFFER_SIZES(Swish)
SOFTNPU_BUFFER_SIZES(Tan)
SOFTNPU_BUFFER_SIZES(Tanh)
SOFTNPU_BUFFER_SIZES(Trunc)
SOFTNPU_BUFFER_SIZES(WelfordFinalize)
SOFTNPU_BUFFER_SIZES(Xor)
#undef SOFTNPU_BUFFER_SIZES
// Calls that take a shape and the size of an element.
#define SOFTNPU_BUFFER_SIZES(Name)                                                  \
  inline void Get##Name##MaxMinTmpSize(const TensorShape& srcShape, const uint32_t, \
                                       uint32_t& maxValue, uint32_t& minValue) {    \
    softnpu_internal::Buffers(srcShape, maxValue, minValue);                        \
  }
SOFTNPU_BUFFER_SIZES(AscendDequant)
SOFTNPU_BUFFER_SIZES(AscendQuant)
SOFTNPU_BUFFER_SIZES(GeGLU)
SOFTNPU_BUFFER_SIZES(Gelu)
SOFTNPU_BUFFER_SIZES(Pad)
#undef SOFTNPU_BUFFER_SIZES
// Calls whose parameters between the shape and the two sizes differ from version to version.
namespace softnpu_internal {
template <typename... Others>
inline void BuffersOf(const TensorShape& shape, Others&&... others) {
  static_assert((0 + ... + int{std::is_same_v<Others, uint32_t&>}) >= 2, "the sizes come last");
  uint32_t* sizes[2] = {};
  const auto note = [&sizes](auto& value) {
    if constexpr (std::is_same_v<decltype(value), uint32_t&>) {
      sizes[0] = sizes[1];
      sizes[1] = &value;
    }
  };
  (note(others), ...);
  Buffers(shape, *sizes[0], *sizes[1]);
}
}  // namespace softnpu_internal
#define SOFTNPU_BUFFER_SIZES(Name)                                                      \
  template <typename... Others>                                                         \
  inline void Get##Name##MaxMinTmpSize(const TensorShape& srcShape, Others&&... rest) { \
    softnpu_internal::BuffersOf(srcShape, rest...);                                     \
  }
SOFTNPU_BUFFER_SIZES(AscendAntiQuant)
SOFTNPU_BUFFER_SIZES(CumSum)
SOFTNPU_BUFFER_SIZES(DropOut)
SOFTNPU_BUFFER_SIZES(ReduceAll)
SOFTNPU_BUFFER_SIZES(ReduceAny)
SOFTNPU_BUFFER_SIZES(ReduceMax)
SOFTNPU_BUFFER_SIZES(ReduceMean)
SOFTNPU_BUFFER_SIZES(ReduceMin)
SOFTNPU_BUFFER_SIZES(ReduceProd)
SOFTNPU_BUFFER_SIZES(ReduceSum)
SOFTNPU_BUFFER_SIZES(ReduceXorSum)
#undef SOFTNPU_BUFFER_SIZES
// What Sort and Concat work in: a record of 8 bytes for each element, whole groups of 32.
inline uint32_t GetSortTmpSize(const platform_ascendc::PlatformAscendC&, const uint32_t elemCount,
                               const uint32_t) {
  return (elemCount + 31) / 32 * 32 * 8;
}
inline uint32_t GetConcatTmpSize(const platform_ascendc::PlatformAscendC& chip,
                                 const uint32_t elemCount, const uint32_t dataTypeSize) {
  return GetSortTmpSize(chip, elemCount, dataTypeSize);
}
inline void GetSiluTmpSize(const TensorShape& srcShape, const uint32_t, const bool,
                           uint32_t& maxValue, uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
}
inline void GetSwishTmpSize(const TensorShape& srcShape, const uint32_t, const bool,
                            uint32_t& maxValue, uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
}
// How many tensors of the source's size a call has beside it, and bytes more: none here. The number
// is a divisor in programs.
#define SOFTNPU_BUFFER_FACTORS(Name)                                                     \
  inline void Get##Name##TmpBufferFactorSize(const uint32_t, uint32_t& maxLiveNodeCount, \
                                             uint32_t& extraBuf) {                       \
    maxLiveNodeCount = 1;                                                                \
    extraBuf = 0;                                                                        \
  }
SOFTNPU_BUFFER_FACTORS(Acos)
SOFTNPU_BUFFER_FACTORS(Acosh)
SOFTNPU_BUFFER_FACTORS(AscendAntiQuant)
SOFTNPU_BUFFER_FACTORS(AscendDequant)
SOFTNPU_BUFFER_FACTORS(AscendQuant)
SOFTNPU_BUFFER_FACTORS(Asin)
SOFTNPU_BUFFER_FACTORS(Asinh)
SOFTNPU_BUFFER_FACTORS(Atan)
SOFTNPU_BUFFER_FACTORS(Atanh)
SOFTNPU_BUFFER_FACTORS(Axpy)
SOFTNPU_BUFFER_FACTORS(Ceil)
SOFTNPU_BUFFER_FACTORS(Clamp)
SOFTNPU_BUFFER_FACTORS(Cos)
SOFTNPU_BUFFER_FACTORS(Cosh)
SOFTNPU_BUFFER_FACTORS(Digamma)
SOFTNPU_BUFFER_FACTORS(Erf)
SOFTNPU_BUFFER_FACTORS(Erfc)
SOFTNPU_BUFFER_FACTORS(Exp)
SOFTNPU_BUFFER_FACTORS(Floor)
SOFTNPU_BUFFER_FACTORS(Fmod)
SOFTNPU_BUFFER_FACTORS(Frac)
SOFTNPU_BUFFER_FACTORS(GeGLU)
SOFTNPU_BUFFER_FACTORS(Lgamma)
SOFTNPU_BUFFER_FACTORS(Log)
SOFTNPU_BUFFER_FACTORS(Mean)
SOFTNPU_BUFFER_FACTORS(Power)
SOFTNPU_BUFFER_FACTORS(Round)
SOFTNPU_BUFFER_FACTORS(Sign)
SOFTNPU_BUFFER_FACTORS(Sin)
SOFTNPU_BUFFER_FACTORS(Sinh)
SOFTNPU_BUFFER_FACTORS(SwiGLU)
SOFTNPU_BUFFER_FACTORS(Tan)
SOFTNPU_BUFFER_FACTORS(Tanh)
SOFTNPU_BUFFER_FACTORS(Trunc)
SOFTNPU_BUFFER_FACTORS(Xor)
#undef SOFTNPU_BUFFER_FACTORS
inline void GetSumMaxMinTmpSize(const uint32_t n, const uint32_t, const bool, uint32_t& maxValue,
                                uint32_t& minValue) {
  softnpu_internal::Buffers(TensorShape{static_cast<int64_t>(n)}, maxValue, minValue);
}
inline void GetMeanMaxMinTmpSize(const uint32_t n, const uint32_t, const uint32_t, const bool,
                                 uint32_t& maxValue, uint32_t& minValue) {
  softnpu_internal::Buffers(TensorShape{static_cast<int64_t>(n)}, maxValue, minValue);
}

// Layouts.
inline void PadTilingFunc(const TensorShape srcShape, const TensorShape oriSrcShape, const uint32_t,
                          const uint32_t, PadTiling& tiling) {
  tiling.srcHeight = softnpu_internal::Dim(srcShape, 0);
  tiling.srcWidth = softnpu_internal::Dim(srcShape, 1);
  tiling.srcOriWidth = softnpu_internal::Dim(oriSrcShape, 1);
}
inline void UnPadTilingFunc(const TensorShape srcShape, const uint32_t, const uint32_t,
                            UnPadTiling& tiling) {
  tiling.srcHeight = softnpu_internal::Dim(srcShape, 0);
  tiling.srcWidth = softnpu_internal::Dim(srcShape, 1);
}
inline void GetUnPadMaxMinTmpSize(const platform_ascendc::PlatformAscendC&,
                                  const TensorShape& srcShape, const uint32_t, uint32_t& maxValue,
                                  uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
}
inline void GetTransposeMaxMinTmpSize(const TensorShape& srcShape, const uint32_t, const uint32_t,
                                      uint32_t& maxValue, uint32_t& minValue) {
  softnpu_internal::Buffers(srcShape, maxValue, minValue);
}
inline void GetConfusionTransposeMaxMinTmpSize(const TensorShape& srcShape, const uint32_t typeSize,
                                               const uint32_t transposeTypeIn, uint32_t& maxValue,
                                               uint32_t& minValue) {
  GetTransposeMaxMinTmpSize(srcShape, typeSize, transposeTypeIn, maxValue, minValue);
}
inline void GetTransposeTilingInfo(const TensorShape& srcShape, const uint32_t, const uint32_t,
                                   const uint32_t transposeTypeIn,
                                   ConfusionTransposeTiling& tiling) {
  tiling = ConfusionTransposeTiling();
  if (transposeTypeIn == static_cast<uint32_t>(TransposeType::TRANSPOSE_ND2ND_ONLY)) {
    tiling.param1 = softnpu_internal::Dim(srcShape, 0);
    tiling.param2 = softnpu_internal::Dim(srcShape, 1);
    return;
  }
  tiling.param14 = softnpu_internal::Dim(srcShape, 0);
  tiling.param15 = softnpu_internal::Dim(srcShape, 1);
  tiling.param16 = softnpu_internal::Dim(srcShape, 2);
  tiling.param17 = softnpu_internal::Dim(srcShape, 3);
}
inline void GetConfusionTransposeTilingInfo(const TensorShape& srcShape,
                                            const uint32_t stackBufferSize, const uint32_t typeSize,
                                            const uint32_t transposeTypeIn,
                                            ConfusionTransposeTiling& tiling) {
  GetTransposeTilingInfo(srcShape, stackBufferSize, typeSize, transposeTypeIn, tiling);
}
inline bool TopKTilingFunc(const platform_ascendc::PlatformAscendC&, const int32_t inner,
                           const int32_t outter, const int32_t k, const uint32_t, const bool,
                           enum TopKMode, const bool, TopkTiling& topKTiling) {
  topKTiling = TopkTiling();
  topKTiling.innerDataSize = inner;
  topKTiling.allDataSize = inner * outter;
  topKTiling.kAlignFourBytes = (k + 7) / 8 * 8;
  topKTiling.kAlignTwoBytes = (k + 15) / 16 * 16;
  return inner > 0 && inner % 32 == 0 && k > 0 && k <= inner;
}
inline bool GetTopKMaxMinTmpSize(const platform_ascendc::PlatformAscendC&, const int32_t inner,
                                 const int32_t outter, const bool, const bool, enum TopKMode,
                                 const bool, const uint32_t, uint32_t& maxValue,
                                 uint32_t& minValue) {
  softnpu_internal::Buffers(TensorShape{int64_t{outter}, int64_t{inner}}, maxValue, minValue);
  return true;
}

}  // namespace AscendC
