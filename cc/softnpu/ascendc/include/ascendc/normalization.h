// cc/softnpu/ascendc/include/ascendc/normalization.h: the high-level calls that normalise.
//
// With a temporary buffer or without; each is one instruction. Tensors [B, S, H] have rows of
// hLength elements, the first originalHLength of which count.
#pragma once

#include "ascendc/tilings.h"
#include "ascendc/vector_advanced.h"

namespace AscendC {

// What is known when the kernel is compiled.
struct LayerNormConfig {
  bool isNoBeta = false;
  bool isNoGamma = false;
  bool isOnlyOutput = false;
  bool isOutputRstd = true;
};
constexpr LayerNormConfig LNCFG_NORM{};
struct LayerNormPara {
  uint32_t aLength = 0;
  uint32_t rLength = 0;
  uint32_t rLengthWithPadding = 0;
};
enum class ReducePattern : uint32_t { AR = 0, RA = 1 };
struct NormalizeConfig {
  ReducePattern reducePattern = ReducePattern::AR;
  int32_t aLength = -1;
  bool isNoBeta = false;
  bool isNoGamma = false;
  bool isOnlyOutput = false;
};
constexpr NormalizeConfig NLCFG_NORM{};
struct NormalizePara {
  uint32_t aLength = 0;
  uint32_t rLength = 0;
  uint32_t rLengthWithPadding = 0;
};
struct LayerNormGradShapeInfo {
  DataFormat dataFormat = DataFormat::ND;
};
// isInplace: what lies beyond abComputeLength is copied from the earlier results.
struct WelfordUpdateConfig {
  bool isInplace = false;
};
constexpr WelfordUpdateConfig WFUPDATE_DEFAULT_CFG{};
struct WelfordUpdateParam {
  uint32_t rnLength = 1;
  uint32_t abLength = 0;
  uint32_t abComputeLength = 0;
  float nRec = 0;
};
struct WelfordFinalizeConfig {
  bool isCorrection = false;
};
constexpr WelfordFinalizeConfig WFFINALIZE_DEFAULT_CFG{};
struct WelfordFinalizePara {
  uint32_t rnLength = 0;
  uint32_t abLength = 0;
  uint32_t headCount = 0;
  uint32_t headCountLength = 0;
  uint32_t tailCount = 0;
  uint32_t tailCountLength = 0;
  float abRec = 0;
  float rRec = 0;
  float rRecWithCorrection = 0;
};

namespace softnpu_internal {

template <typename T>
inline double Wide(T value) {
  return static_cast<double>(static_cast<float>(value));
}

template <typename Tiling>
inline Advanced& RowsOf(Advanced& call, const Tiling& tiling) {
  return call.Param(1, int64_t{tiling.bLength} * tiling.sLength)
      .Param(2, tiling.hLength)
      .Param(3, tiling.originalHLength);
}

template <typename T, typename U, typename V>
inline Advanced NormOf(SoftnpuAdvanced name, const LocalTensor<T>& dst, const LocalTensor<V>& mean,
                       const LocalTensor<V>& spread, const LocalTensor<T>& src,
                       const LocalTensor<U>& gamma, const LocalTensor<U>& beta, double epsilon,
                       const Where& where) {
  Advanced call(name, where);
  call.Operand(dst).Operand(mean).Operand(spread).Operand(src).Operand(gamma).Operand(beta);
  call.Param(5, 1).Param(6, 1).Scalar(epsilon);
  return call;
}

}  // namespace softnpu_internal

#define SOFTNPU_NORMS(Buffer, Pass)                                                                \
  /* x / sqrt(mean(x * x) + epsilon) * gamma over the last axis. */                                \
  template <typename T, bool isBasicBlock = false>                                                 \
  inline void RmsNorm(const LocalTensor<T>& dst, const LocalTensor<T>& src,                        \
                      const LocalTensor<T>& gamma Buffer, const T epsilon,                         \
                      const RmsNormTiling& tiling, Where where = Where::Here()) {                  \
    softnpu_internal::Advanced call(SOFTNPU_ADV_RMS_NORM, where);                                  \
    call.Operand(dst).Operand(src).Operand(gamma).Scalar(softnpu_internal::Wide(epsilon));         \
    softnpu_internal::RowsOf(call, tiling).Temporary(Pass).Run();                                  \
  }                                                                                                \
  /* (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axis. */                   \
  template <typename T, bool isReuseSource = false>                                                \
  inline void LayerNorm(const LocalTensor<T>& output, const LocalTensor<T>& outputMean,            \
                        const LocalTensor<T>& outputVariance, const LocalTensor<T>& inputX,        \
                        const LocalTensor<T>& gamma, const LocalTensor<T>& beta Buffer,            \
                        const T epsilon, const LayerNormTiling& tiling,                            \
                        Where where = Where::Here()) {                                             \
    softnpu_internal::Advanced call =                                                              \
        softnpu_internal::NormOf(SOFTNPU_ADV_LAYER_NORM, output, outputMean, outputVariance,       \
                                 inputX, gamma, beta, softnpu_internal::Wide(epsilon), where);     \
    softnpu_internal::RowsOf(call, tiling).Temporary(Pass).Run();                                  \
  }                                                                                                \
  /* LayerNorm of alpha * src + gx. */                                                             \
  template <typename T, bool isReuseSrc = false, bool isBasicBlock = false>                        \
  inline void DeepNorm(const LocalTensor<T>& dstLocal, const LocalTensor<T>& meanLocal,            \
                       const LocalTensor<T>& rstdLocal, const LocalTensor<T>& srcLocal,            \
                       const LocalTensor<T>& gxLocal, const LocalTensor<T>& betaLocal,             \
                       const LocalTensor<T>& gammaLocal Buffer, const T alpha, const T epsilon,    \
                       const DeepNormTiling& tiling, Where where = Where::Here()) {                \
    softnpu_internal::Advanced call =                                                              \
        softnpu_internal::NormOf(SOFTNPU_ADV_DEEP_NORM, dstLocal, meanLocal, rstdLocal, srcLocal,  \
                                 gammaLocal, betaLocal, softnpu_internal::Wide(epsilon), where);   \
    call.Operand(gxLocal).Param(                                                                   \
        4, static_cast<int64_t>(softnpu::core::Bits(softnpu_internal::Wide(alpha))));              \
    softnpu_internal::RowsOf(call, tiling).Temporary(Pass).Run();                                  \
  }                                                                                                \
  /* The gradient by x, and (x - mean) / deviation for LayerNormGradBeta. */                       \
  template <typename T, bool isReuseSource = false>                                                \
  inline void LayerNormGrad(                                                                       \
      const LocalTensor<T>& outputPdX, const LocalTensor<T>& resForGamma,                          \
      const LocalTensor<T>& inputDy, const LocalTensor<T>& inputX,                                 \
      const LocalTensor<T>& inputVariance, const LocalTensor<T>& inputMean,                        \
      const LocalTensor<T>& inputGamma Buffer, T epsilon, const LayerNormGradTiling& tiling,       \
      const LayerNormGradShapeInfo& shapeInfo = {}, Where where = Where::Here()) {                 \
    (void)shapeInfo;                                                                               \
    softnpu_internal::Advanced call(SOFTNPU_ADV_LAYER_NORM_GRAD, where);                           \
    call.Operand(outputPdX).Operand(resForGamma).Operand(inputDy).Operand(inputX);                 \
    call.Operand(inputVariance).Operand(inputMean).Operand(inputGamma);                            \
    call.Scalar(softnpu_internal::Wide(epsilon));                                                  \
    softnpu_internal::RowsOf(call, tiling).Temporary(Pass).Run();                                  \
  }                                                                                                \
  /* The gradients by gamma and beta. */                                                           \
  template <typename T, bool isReuseSource = false>                                                \
  inline void LayerNormGradBeta(                                                                   \
      const LocalTensor<T>& outputPdGamma, const LocalTensor<T>& outputPdBeta,                     \
      const LocalTensor<T>& resForGamma, const LocalTensor<T>& inputDy Buffer,                     \
      const LayerNormGradBetaTiling& tiling, Where where = Where::Here()) {                        \
    softnpu_internal::Advanced call(SOFTNPU_ADV_LAYER_NORM_GRAD_BETA, where);                      \
    call.Operand(outputPdGamma).Operand(outputPdBeta).Operand(resForGamma).Operand(inputDy);       \
    softnpu_internal::RowsOf(call, tiling).Temporary(Pass).Run();                                  \
  }                                                                                                \
  /* Normalised over the batch, the first axis; gamma and beta have an element per row of it. */   \
  template <typename T, bool isReuseSource = false, bool isBasicBlock = false>                     \
  inline void BatchNorm(const LocalTensor<T>& output, const LocalTensor<T>& outputMean,            \
                        const LocalTensor<T>& outputVariance, const LocalTensor<T>& inputX,        \
                        const LocalTensor<T>& gamm, const LocalTensor<T>& beta Buffer,             \
                        const T epsilon, const BatchNormTiling& tiling,                            \
                        Where where = Where::Here()) {                                             \
    softnpu_internal::NormOf(SOFTNPU_ADV_BATCH_NORM, output, outputMean, outputVariance, inputX,   \
                             gamm, beta, softnpu_internal::Wide(epsilon), where)                   \
        .Param(1, tiling.originalBLength)                                                          \
        .Param(2, tiling.meanVarSize)                                                              \
        .Temporary(Pass)                                                                           \
        .Run();                                                                                    \
  }                                                                                                \
  /* [N, C, H, W] normalised over groups of channels. */                                           \
  template <typename T, bool isReuseSource = false>                                                \
  inline void GroupNorm(const LocalTensor<T>& output, const LocalTensor<T>& outputMean,            \
                        const LocalTensor<T>& outputVariance, const LocalTensor<T>& inputX,        \
                        const LocalTensor<T>& gamma, const LocalTensor<T>& beta Buffer,            \
                        const T epsilon, const GroupNormTiling& tiling,                            \
                        Where where = Where::Here()) {                                             \
    softnpu_internal::NormOf(SOFTNPU_ADV_GROUP_NORM, output, outputMean, outputVariance, inputX,   \
                             gamma, beta, softnpu_internal::Wide(epsilon), where)                  \
        .Param(1, tiling.n)                                                                        \
        .Param(2, tiling.g)                                                                        \
        .Param(3, tiling.d)                                                                        \
        .Param(4, tiling.hw)                                                                       \
        .Temporary(Pass)                                                                           \
        .Run();                                                                                    \
  }                                                                                                \
  /* Rows of mean and variance that are given; outputRstd = 1 / sqrt(variance + epsilon). */       \
  template <typename U, typename T, bool isReuseSource = false, const auto& config = NLCFG_NORM>   \
  inline void Normalize(const LocalTensor<T>& output, const LocalTensor<float>& outputRstd,        \
                        const LocalTensor<float>& inputMean,                                       \
                        const LocalTensor<float>& inputVariance, const LocalTensor<T>& inputX,     \
                        const LocalTensor<U>& gamma, const LocalTensor<U>& beta Buffer,            \
                        const float epsilon, const NormalizePara& para,                            \
                        Where where = Where::Here()) {                                             \
    static_assert(config.reducePattern == ReducePattern::AR, "Normalize reduces the last axis");   \
    softnpu_internal::NormOf(SOFTNPU_ADV_NORMALIZE, output, inputMean, outputRstd, inputX, gamma,  \
                             beta, softnpu_internal::Wide(epsilon), where)                         \
        .Operand(inputVariance)                                                                    \
        .Param(1, para.aLength)                                                                    \
        .Param(2, para.rLengthWithPadding)                                                         \
        .Param(3, para.rLength)                                                                    \
        .Param(5, !config.isNoGamma)                                                               \
        .Param(6, !config.isNoBeta)                                                                \
        .Temporary(Pass)                                                                           \
        .Run();                                                                                    \
  }                                                                                                \
  /* The next block of data joins the running mean and the sum of squares. */                      \
  template <typename T, typename U, bool isReuseSource = false,                                    \
            const auto& config = WFUPDATE_DEFAULT_CFG>                                             \
  inline void WelfordUpdate(const LocalTensor<U>& outputMean,                                      \
                            const LocalTensor<U>& outputVariance, const LocalTensor<U>& inputMean, \
                            const LocalTensor<U>& inputVariance,                                   \
                            const LocalTensor<T>& inputX Buffer, const WelfordUpdateParam& para,   \
                            Where where = Where::Here()) {                                         \
    softnpu_internal::Advanced call(SOFTNPU_ADV_WELFORD_UPDATE, where);                            \
    call.Operand(outputMean).Operand(outputVariance).Operand(inputMean).Operand(inputVariance);    \
    call.Operand(inputX).Param(1, para.abLength).Param(2, para.abComputeLength);                   \
    call.Param(3, config.isInplace).Scalar(softnpu_internal::Wide(para.nRec));                     \
    call.Temporary(Pass).Run();                                                                    \
  }                                                                                                \
  /* Mean and variance of all from those of the columns; counts: the data of each column. */       \
  template <bool isReuseSource = false, const auto& config = WFFINALIZE_DEFAULT_CFG>               \
  inline void WelfordFinalize(                                                                     \
      const LocalTensor<float>& outputMean, const LocalTensor<float>& outputVariance,              \
      const LocalTensor<float>& inputMean, const LocalTensor<float>& inputVariance Buffer,         \
      const WelfordFinalizePara& para, Where where = Where::Here()) {                              \
    softnpu_internal::FinalizeOf<config.isCorrection>(outputMean, outputVariance, inputMean,       \
                                                      inputVariance, para, where)                  \
        .Temporary(Pass)                                                                           \
        .Run();                                                                                    \
  }                                                                                                \
  template <bool isReuseSource = false, const auto& config = WFFINALIZE_DEFAULT_CFG>               \
  inline void WelfordFinalize(                                                                     \
      const LocalTensor<float>& outputMean, const LocalTensor<float>& outputVariance,              \
      const LocalTensor<float>& inputMean, const LocalTensor<float>& inputVariance,                \
      const LocalTensor<int32_t>& counts Buffer, const WelfordFinalizePara& para,                  \
      Where where = Where::Here()) {                                                               \
    softnpu_internal::FinalizeOf<config.isCorrection>(outputMean, outputVariance, inputMean,       \
                                                      inputVariance, para, where)                  \
        .Operand(counts)                                                                           \
        .Temporary(Pass)                                                                           \
        .Run();                                                                                    \
  }

namespace softnpu_internal {
template <bool correction>
inline Advanced FinalizeOf(const LocalTensor<float>& mean, const LocalTensor<float>& variance,
                           const LocalTensor<float>& means, const LocalTensor<float>& squares,
                           const WelfordFinalizePara& para, const Where& where) {
  static_assert(!correction, "WelfordFinalize: chips before Ascend 950 have no isCorrection");
  Advanced call(SOFTNPU_ADV_WELFORD_FINALIZE, where);
  call.Operand(mean).Operand(variance).Operand(means).Operand(squares);
  call.Param(1, para.abLength).Param(2, para.rnLength).Param(3, para.headCount);
  call.Param(4, para.headCountLength).Param(5, para.tailCount).Param(6, para.tailCountLength);
  call.Param(7, static_cast<int64_t>(softnpu::core::Bits(Wide(para.abRec))));
  return call.Scalar(Wide(para.rRec));
}
}  // namespace softnpu_internal

#define SOFTNPU_NOTHING
#define SOFTNPU_BUFFER , const LocalTensor<uint8_t>& sharedTmpBuffer
SOFTNPU_NORMS(SOFTNPU_NOTHING, )
SOFTNPU_NORMS(SOFTNPU_BUFFER, sharedTmpBuffer)

// LayerNorm of [A, R], which gives 1 / deviation. Here epsilon stands before the buffer.
#define SOFTNPU_SEPARATE(Buffer, Pass)                                                            \
  template <typename U, typename T, bool isReuseSource = false, const auto& config = LNCFG_NORM>  \
  inline void LayerNorm(const LocalTensor<T>& output, const LocalTensor<float>& outputMean,       \
                        const LocalTensor<float>& outputRstd, const LocalTensor<T>& inputX,       \
                        const LocalTensor<U>& gamma, const LocalTensor<U>& beta,                  \
                        const float epsilon Buffer, const LayerNormPara& para,                    \
                        const LayerNormSeparateTiling& tiling, Where where = Where::Here()) {     \
    static_assert(config.isOutputRstd,                                                            \
                  "LayerNorm: chips before Ascend 950 give no variance in this form");            \
    (void)tiling;                                                                                 \
    softnpu_internal::NormOf(SOFTNPU_ADV_LAYER_NORM_RSTD, output, outputMean, outputRstd, inputX, \
                             gamma, beta, softnpu_internal::Wide(epsilon), where)                 \
        .Param(1, para.aLength)                                                                   \
        .Param(2, para.rLengthWithPadding)                                                        \
        .Param(3, para.rLength)                                                                   \
        .Param(5, !config.isNoGamma)                                                              \
        .Param(6, !config.isNoBeta)                                                               \
        .Temporary(Pass)                                                                          \
        .Run();                                                                                   \
  }
SOFTNPU_SEPARATE(SOFTNPU_NOTHING, )
SOFTNPU_SEPARATE(SOFTNPU_BUFFER, sharedTmpBuffer)
#undef SOFTNPU_SEPARATE
#undef SOFTNPU_NORMS
#undef SOFTNPU_BUFFER
#undef SOFTNPU_NOTHING

}  // namespace AscendC
