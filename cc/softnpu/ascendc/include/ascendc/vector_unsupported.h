// cc/softnpu/ascendc/include/ascendc/vector_unsupported.h: names that AscendC has and SoftNPU not.
//
// A call does not compile, and the compiler's message has the name.
#pragma once

#include "ascendc/vector_forms.h"

namespace AscendC {

#define SOFTNPU_UNSUPPORTED(Name)                                               \
  template <typename... Args>                                                   \
  inline void Name(Args&&...) {                                                 \
    static_assert(sizeof...(Args) > 100, #Name " is not supported by SoftNPU"); \
  }
SOFTNPU_UNSUPPORTED(Acos)
SOFTNPU_UNSUPPORTED(Acosh)
SOFTNPU_UNSUPPORTED(AscendAntiQuant)
SOFTNPU_UNSUPPORTED(AscendDequant)
SOFTNPU_UNSUPPORTED(AscendQuant)
SOFTNPU_UNSUPPORTED(Asin)
SOFTNPU_UNSUPPORTED(Asinh)
SOFTNPU_UNSUPPORTED(AtomicAdd)
SOFTNPU_UNSUPPORTED(AtomicCas)
SOFTNPU_UNSUPPORTED(AtomicExch)
SOFTNPU_UNSUPPORTED(AtomicMax)
SOFTNPU_UNSUPPORTED(AtomicMin)
SOFTNPU_UNSUPPORTED(Atan)
SOFTNPU_UNSUPPORTED(Atanh)
SOFTNPU_UNSUPPORTED(BatchNorm)
SOFTNPU_UNSUPPORTED(ConfusionTranspose)
SOFTNPU_UNSUPPORTED(Cosh)
SOFTNPU_UNSUPPORTED(CumSum)
SOFTNPU_UNSUPPORTED(DeepNorm)
SOFTNPU_UNSUPPORTED(Digamma)
SOFTNPU_UNSUPPORTED(DropOut)
SOFTNPU_UNSUPPORTED(DumpAccChkPoint)
SOFTNPU_UNSUPPORTED(Erfc)
SOFTNPU_UNSUPPORTED(FasterGelu)
SOFTNPU_UNSUPPORTED(FasterGeluV2)
SOFTNPU_UNSUPPORTED(Fmod)
SOFTNPU_UNSUPPORTED(GeGLU)
SOFTNPU_UNSUPPORTED(GroupNorm)
SOFTNPU_UNSUPPORTED(LayerNormGrad)
SOFTNPU_UNSUPPORTED(Lgamma)
SOFTNPU_UNSUPPORTED(LogSoftMax)
SOFTNPU_UNSUPPORTED(Pad)
SOFTNPU_UNSUPPORTED(ReGlu)
SOFTNPU_UNSUPPORTED(SetFmatrix)
SOFTNPU_UNSUPPORTED(SetLoadDataBoundary)
SOFTNPU_UNSUPPORTED(SetLoadDataPaddingValue)
SOFTNPU_UNSUPPORTED(SetLoadDataRepeat)
SOFTNPU_UNSUPPORTED(Sign)
SOFTNPU_UNSUPPORTED(Sinh)
SOFTNPU_UNSUPPORTED(SoftmaxFlash)
SOFTNPU_UNSUPPORTED(SoftmaxFlashV3)
SOFTNPU_UNSUPPORTED(SoftmaxGrad)
SOFTNPU_UNSUPPORTED(SoftmaxGradFront)
SOFTNPU_UNSUPPORTED(Tan)
SOFTNPU_UNSUPPORTED(UnPad)
SOFTNPU_UNSUPPORTED(WelfordUpdate)
SOFTNPU_UNSUPPORTED(Xor)
#undef SOFTNPU_UNSUPPORTED

// The same for types: an object of one does not compile.
#define SOFTNPU_UNSUPPORTED_TYPE(Name)                                        \
  struct Name {                                                               \
    template <typename Any = char, typename... Args>                          \
    explicit Name(Args&&...) {                                                \
      static_assert(sizeof(Any) > 100, #Name " is not supported by SoftNPU"); \
    }                                                                         \
  };
SOFTNPU_UNSUPPORTED_TYPE(FixpipeParamsC310)
SOFTNPU_UNSUPPORTED_TYPE(ListTensorDesc)
SOFTNPU_UNSUPPORTED_TYPE(LoadData2DParamsV2)
SOFTNPU_UNSUPPORTED_TYPE(ShapeInfo)
SOFTNPU_UNSUPPORTED_TYPE(TensorDesc)
#undef SOFTNPU_UNSUPPORTED_TYPE

}  // namespace AscendC
