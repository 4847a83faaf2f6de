// cc/softnpu/ascendc/include/ascendc/softmax.h: the high-level calls around softmax.
//
// With a temporary buffer or without; each is one instruction. Tensors are matrices of srcM rows
// with srcK elements, the first oriSrcK of which count; sums and maxima have a block of 32 bytes
// per row, filled with the value.
#pragma once

#include "ascendc/tilings.h"
#include "ascendc/vector_advanced.h"

namespace AscendC {

struct SoftMaxShapeInfo {
  uint32_t srcM = 0;
  uint32_t srcK = 0;
  uint32_t oriSrcM = 0;
  uint32_t oriSrcK = 0;
};
struct SoftMaxParams {
  uint32_t srcM = 0;
  uint32_t srcK = 0;
  uint32_t oriSrcM = 0;
  uint32_t oriSrcK = 0;
  uint32_t loopCnt = 0;
  uint32_t splitMeanCnt = 0;
  float alpha = 0;
};

// SOFTMAX_OUTPUT_WITHOUT_BRC: sums and maxima have one element per row.
enum class SoftmaxMode : uint8_t { SOFTMAX_NORMAL = 0, SOFTMAX_OUTPUT_WITHOUT_BRC = 1 };
// What is known when the kernel is compiled; but for the mode it changes speed and no result.
struct SoftmaxConfig {
  bool isCheckTiling = true;
  uint32_t oriSrcM = 0;
  uint32_t oriSrcK = 0;
  SoftmaxMode mode = SoftmaxMode::SOFTMAX_NORMAL;
};
constexpr SoftmaxConfig SOFTMAX_DEFAULT_CFG{};

namespace softnpu_internal {

// A tiling that holds a shape and the block of its sums.
constexpr SoftMaxTiling SoftMaxTilingOf(uint32_t rows, uint32_t columns, uint32_t bytes) {
  SoftMaxTiling out;
  const uint32_t width = bytes == 0 ? 0 : 32 / bytes;
  out.srcM = rows;
  out.srcK = columns;
  out.srcSize = rows * columns;
  out.outMaxM = rows;
  out.outMaxK = width;
  out.outMaxSize = rows * width;
  // All rows at a time: SoftNPU does not split.
  out.splitM = out.reduceM = rows;
  out.splitK = columns;
  out.splitSize = rows * columns;
  out.reduceK = width;
  out.reduceSize = rows * width;
  out.rangeM = 1;
  return out;
}

template <typename Tiling>
inline Advanced& Shape(Advanced& call, const Tiling& tiling, const SoftMaxShapeInfo& shape) {
  const uint32_t rows = shape.srcM != 0 ? shape.srcM : tiling.srcM;
  const uint32_t columns = shape.srcK != 0 ? shape.srcK : tiling.srcK;
  return call.Param(1, rows)
      .Param(2, columns)
      .Param(3, shape.oriSrcK != 0 ? shape.oriSrcK : columns);
}

}  // namespace softnpu_internal

// The tiling for a shape, where a kernel makes it itself.
constexpr SoftMaxTiling SoftMaxTilingFunc(const SoftMaxShapeInfo& shape, uint32_t dataTypeSize,
                                          uint32_t localWorkSpaceSize, bool isBasicBlock = false,
                                          bool isDataFormatNZ = false) {
  (void)localWorkSpaceSize;
  (void)isBasicBlock;
  (void)isDataFormatNZ;
  return softnpu_internal::SoftMaxTilingOf(shape.srcM, shape.srcK, dataTypeSize);
}
constexpr SoftMaxTiling SoftMaxFlashV2TilingFunc(const SoftMaxShapeInfo& shape,
                                                 uint32_t dataTypeSize1, uint32_t dataTypeSize2,
                                                 uint32_t localWorkSpaceSize, bool isUpdate = false,
                                                 bool isBasicBlock = false,
                                                 bool isDataFormatNZ = false,
                                                 bool isFlashOutputBrc = false) {
  (void)dataTypeSize1;
  (void)localWorkSpaceSize;
  (void)isUpdate;
  (void)isBasicBlock;
  (void)isDataFormatNZ;
  (void)isFlashOutputBrc;
  return softnpu_internal::SoftMaxTilingOf(shape.srcM, shape.srcK, dataTypeSize2);
}

#define SOFTNPU_NOTHING
#define SOFTNPU_BUFFER , const LocalTensor<uint8_t>& sharedTmpBuffer

#define SOFTNPU_SOFTMAX(Name, call, Buffer, Pass)                                              \
  template <typename T, bool isReuseSource = false, bool isBasicBlock = false,                 \
            bool isDataFormatNZ = false, const auto& config = SOFTMAX_DEFAULT_CFG, typename U> \
  inline void Name(const LocalTensor<T>& dst, const LocalTensor<U>& sum,                       \
                   const LocalTensor<U>& max, const LocalTensor<T>& src Buffer,                \
                   const SoftMaxTiling& tiling, const SoftMaxShapeInfo& shape = {},            \
                   Where where = Where::Here()) {                                              \
    static_assert(!isDataFormatNZ, #Name ": the NZ format is not supported by SoftNPU");       \
    softnpu_internal::Advanced softmax(call, where);                                           \
    softmax.Operand(dst).Operand(sum).Operand(max).Operand(src).Param(4, 1);                   \
    softmax.Param(6, config.mode == SoftmaxMode::SOFTMAX_OUTPUT_WITHOUT_BRC);                  \
    softnpu_internal::Shape(softmax, tiling, shape).Temporary(Pass).Run();                     \
  }
SOFTNPU_SOFTMAX(SoftMax, SOFTNPU_ADV_SOFTMAX, SOFTNPU_NOTHING, )
SOFTNPU_SOFTMAX(SoftMax, SOFTNPU_ADV_SOFTMAX, SOFTNPU_BUFFER, sharedTmpBuffer)
// With the sum and the maximum given.
SOFTNPU_SOFTMAX(SimpleSoftMax, SOFTNPU_ADV_SIMPLE_SOFTMAX, SOFTNPU_NOTHING, )
SOFTNPU_SOFTMAX(SimpleSoftMax, SOFTNPU_ADV_SIMPLE_SOFTMAX, SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_SOFTMAX

// Without them.
#define SOFTNPU_SOFTMAX(Buffer, Pass)                                                  \
  template <typename T, bool isReuseSource = false, bool isBasicBlock = false,         \
            const auto& config = SOFTMAX_DEFAULT_CFG>                                  \
  inline void SoftMax(const LocalTensor<T>& dst, const LocalTensor<T>& src Buffer,     \
                      const SoftMaxTiling& tiling, const SoftMaxShapeInfo& shape = {}, \
                      Where where = Where::Here()) {                                   \
    softnpu_internal::Advanced call(SOFTNPU_ADV_SOFTMAX, where);                       \
    call.Operand(dst).Operand(src);                                                    \
    softnpu_internal::Shape(call, tiling, shape).Temporary(Pass).Run();                \
  }
SOFTNPU_SOFTMAX(SOFTNPU_NOTHING, )
SOFTNPU_SOFTMAX(SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_SOFTMAX

// The logarithm to base 10 of softmax.
template <typename T, bool isReuseSource = false, bool isDataFormatNZ = false>
inline void LogSoftMax(const LocalTensor<T>& dst, const LocalTensor<T>& sum,
                       const LocalTensor<T>& max, const LocalTensor<T>& src,
                       const LocalTensor<uint8_t>& sharedTmpBuffer, const LogSoftMaxTiling& tiling,
                       const SoftMaxShapeInfo& softmaxShapeInfo = {}, Where where = Where::Here()) {
  static_assert(!isDataFormatNZ, "LogSoftMax: the NZ format is not supported by SoftNPU");
  softnpu_internal::Advanced call(SOFTNPU_ADV_LOG_SOFTMAX, where);
  call.Operand(dst).Operand(sum).Operand(max).Operand(src).Param(4, 1);
  softnpu_internal::Shape(call, tiling, softmaxShapeInfo).Temporary(sharedTmpBuffer).Run();
}

namespace softnpu_internal {
template <typename T, typename U>
inline Advanced FlashOf(SoftnpuAdvanced name, const LocalTensor<T>& dst, const LocalTensor<U>& sum,
                        const LocalTensor<U>& max, const LocalTensor<T>& src,
                        const LocalTensor<T>& expMax, const LocalTensor<U>& inSum,
                        const LocalTensor<U>& inMax, bool update, const Where& where) {
  Advanced call(name, where);
  call.Operand(dst).Operand(sum).Operand(max).Operand(expMax).Operand(src);
  call.Operand(inSum).Operand(inMax).Param(5, update);
  return call;
}
}  // namespace softnpu_internal

// SoftmaxFlash: with isUpdate the earlier sum and maximum take part, and expMax is the share of the
// earlier sum in the new one.
#define SOFTNPU_FLASH(Buffer, Pass)                                                            \
  template <typename T, bool isReuseSource = false, bool isBasicBlock = false, typename U>     \
  inline void SoftmaxFlash(                                                                    \
      const LocalTensor<T>& dst, const LocalTensor<U>& sum, const LocalTensor<U>& max,         \
      const LocalTensor<T>& src, const LocalTensor<T>& expMax, const LocalTensor<U>& inSum,    \
      const LocalTensor<U>& inMax Buffer, const SoftMaxTiling& tiling, bool isUpdate = false,  \
      const SoftMaxShapeInfo& shape = {}, Where where = Where::Here()) {                       \
    softnpu_internal::Advanced call = softnpu_internal::FlashOf(                               \
        SOFTNPU_ADV_SOFTMAX_FLASH, dst, sum, max, src, expMax, inSum, inMax, isUpdate, where); \
    softnpu_internal::Shape(call, tiling, shape).Temporary(Pass).Run();                        \
  }
SOFTNPU_FLASH(SOFTNPU_NOTHING, )
SOFTNPU_FLASH(SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_FLASH

// SoftmaxFlashV2: dst = exp(src - max) without the division, and expMax = exp(inMax - max). The
// second form also gives the maximum of this call's rows alone; without isUpdate it does not.
#define SOFTNPU_FLASH(Buffer, Pass)                                                              \
  template <typename T, bool isUpdate = false, bool isReuseSource = false,                       \
            bool isBasicBlock = false, bool isDataFormatNZ = false,                              \
            const auto& config = SOFTMAX_DEFAULT_CFG, typename U>                                \
  inline void SoftmaxFlashV2(const LocalTensor<T>& dst, const LocalTensor<U>& expSum,            \
                             const LocalTensor<U>& max, const LocalTensor<T>& src,               \
                             const LocalTensor<T>& expMax, const LocalTensor<U>& inExpSum,       \
                             const LocalTensor<U>& inMax Buffer, const SoftMaxTiling& tiling,    \
                             const SoftMaxShapeInfo& shape = {}, Where where = Where::Here()) {  \
    static_assert(!isDataFormatNZ, "SoftmaxFlashV2: the NZ format is not supported by SoftNPU"); \
    softnpu_internal::Advanced call =                                                            \
        softnpu_internal::FlashOf(SOFTNPU_ADV_SOFTMAX_FLASH_V2, dst, expSum, max, src, expMax,   \
                                  inExpSum, inMax, isUpdate, where);                             \
    call.Param(6, config.mode == SoftmaxMode::SOFTMAX_OUTPUT_WITHOUT_BRC);                       \
    softnpu_internal::Shape(call, tiling, shape).Temporary(Pass).Run();                          \
  }                                                                                              \
  template <typename T, bool isUpdate = false, bool isReuseSource = false,                       \
            bool isBasicBlock = false, bool isDataFormatNZ = false,                              \
            const auto& config = SOFTMAX_DEFAULT_CFG>                                            \
  inline void SoftmaxFlashV2(const LocalTensor<T>& dst, const LocalTensor<T>& outReduceMax,      \
                             const LocalTensor<T>& expSum, const LocalTensor<T>& max,            \
                             const LocalTensor<T>& src, const LocalTensor<T>& expMax,            \
                             const LocalTensor<T>& inExpSum, const LocalTensor<T>& inMax Buffer, \
                             const SoftMaxTiling& tiling, const SoftMaxShapeInfo& shape = {},    \
                             Where where = Where::Here()) {                                      \
    static_assert(config.mode == SoftmaxMode::SOFTMAX_OUTPUT_WITHOUT_BRC,                        \
                  "SoftmaxFlashV2 with outReduceMax does nothing but in the mode "               \
                  "SOFTMAX_OUTPUT_WITHOUT_BRC");                                                 \
    softnpu_internal::Advanced call =                                                            \
        softnpu_internal::FlashOf(SOFTNPU_ADV_SOFTMAX_FLASH_V2, dst, expSum, max, src, expMax,   \
                                  inExpSum, inMax, isUpdate, where);                             \
    call.Param(6, 1).Operand(outReduceMax);                                                      \
    softnpu_internal::Shape(call, tiling, shape).Temporary(Pass).Run();                          \
  }
SOFTNPU_FLASH(SOFTNPU_NOTHING, )
SOFTNPU_FLASH(SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_FLASH

// (grad - sum(grad * src)) * src, row by row; with isFront, and in SoftmaxGradFront, a block with
// the row's sum.
#define SOFTNPU_GRAD(Buffer, Pass)                                                                 \
  template <typename T, bool isBasicBlock = false, bool isDataFormatNZ = false>                    \
  inline void SoftmaxGradFront(const LocalTensor<T>& dst, const LocalTensor<T>& grad,              \
                               const LocalTensor<T>& src Buffer, const SoftMaxTiling& tiling,      \
                               const SoftMaxShapeInfo& shape = {}, Where where = Where::Here()) {  \
    static_assert(!isDataFormatNZ, "SoftmaxGradFront: the NZ format is not supported by SoftNPU"); \
    softnpu_internal::Advanced call(SOFTNPU_ADV_SOFTMAX_GRAD_FRONT, where);                        \
    call.Operand(dst).Operand(grad).Operand(src);                                                  \
    softnpu_internal::Shape(call, tiling, shape).Temporary(Pass).Run();                            \
  }                                                                                                \
  template <typename T, bool isReuseSource = false, bool isDataFormatNZ = false>                   \
  inline void SoftmaxGrad(const LocalTensor<T>& dst, const LocalTensor<T>& grad,                   \
                          const LocalTensor<T>& src Buffer, const SoftMaxTiling& tiling,           \
                          bool isFront = false, const SoftMaxShapeInfo& shape = {},                \
                          Where where = Where::Here()) {                                           \
    static_assert(!isDataFormatNZ, "SoftmaxGrad: the NZ format is not supported by SoftNPU");      \
    softnpu_internal::Advanced call(                                                               \
        isFront ? SOFTNPU_ADV_SOFTMAX_GRAD_FRONT : SOFTNPU_ADV_SOFTMAX_GRAD, where);               \
    call.Operand(dst).Operand(grad).Operand(src);                                                  \
    softnpu_internal::Shape(call, tiling, shape).Temporary(Pass).Run();                            \
  }
SOFTNPU_GRAD(SOFTNPU_NOTHING, )
SOFTNPU_GRAD(SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_GRAD
#undef SOFTNPU_BUFFER
#undef SOFTNPU_NOTHING

// Rows of the result whose maximum has the bits `from` become `to`; returns whether there are any.
// stepSizeMode 0: the maxima lie in blocks, else one after the other.
template <typename T1, typename T2, bool isDataFormatNZ = false, uint8_t stepSizeMode = 0>
inline bool AdjustSoftMaxRes(const LocalTensor<T1>& softMaxRes, const LocalTensor<T2>& maxTensor,
                             const uint32_t from, const T1 to,
                             const SoftMaxShapeInfo& softmaxShapeInfo,
                             Where where = Where::Here()) {
  static_assert(!isDataFormatNZ, "AdjustSoftMaxRes: the NZ format is not supported by SoftNPU");
  softnpu_internal::Advanced call(SOFTNPU_ADV_ADJUST_SOFTMAX, where);
  call.Operand(softMaxRes).Operand(maxTensor).Param(1, softmaxShapeInfo.srcM);
  call.Param(2, softmaxShapeInfo.srcK).Param(3, from);
  call.Param(4, stepSizeMode == 0 ? 32 / sizeof(T2) : 1);
  return call.Scalar(static_cast<double>(static_cast<float>(to))).Run() != 0;
}

}  // namespace AscendC
