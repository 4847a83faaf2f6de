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
SOFTNPU_UNSUPPORTED(AtomicAdd)
SOFTNPU_UNSUPPORTED(AtomicCas)
SOFTNPU_UNSUPPORTED(AtomicExch)
SOFTNPU_UNSUPPORTED(AtomicMax)
SOFTNPU_UNSUPPORTED(AtomicMin)
SOFTNPU_UNSUPPORTED(BilinearInterpolation)
SOFTNPU_UNSUPPORTED(CheckLocalMemoryIA)
SOFTNPU_UNSUPPORTED(Conv2D)
SOFTNPU_UNSUPPORTED(CreateCubeResGroup)
SOFTNPU_UNSUPPORTED(Gemm)
SOFTNPU_UNSUPPORTED(GetArchVersion)
SOFTNPU_UNSUPPORTED(GetProgramCounter)
SOFTNPU_UNSUPPORTED(GetStoreAtomicConfig)
SOFTNPU_UNSUPPORTED(LoadDataUnzip)
SOFTNPU_UNSUPPORTED(LoadDataWithSparse)
SOFTNPU_UNSUPPORTED(LoadImageToLocal)
SOFTNPU_UNSUPPORTED(LoadUnzipIndex)
SOFTNPU_UNSUPPORTED(MakeCoord)
SOFTNPU_UNSUPPORTED(MakeLayout)
SOFTNPU_UNSUPPORTED(MakeShape)
SOFTNPU_UNSUPPORTED(MakeStride)
SOFTNPU_UNSUPPORTED(MakeTensorTrait)
SOFTNPU_UNSUPPORTED(MmadWithSparse)
SOFTNPU_UNSUPPORTED(ReadGmByPassDCache)
SOFTNPU_UNSUPPORTED(SetAippFunctions)
SOFTNPU_UNSUPPORTED(SetFixPipeAddr)
SOFTNPU_UNSUPPORTED(SetFixPipeClipRelu)
SOFTNPU_UNSUPPORTED(SetStoreAtomicConfig)
SOFTNPU_UNSUPPORTED(SoftmaxFlashV3)
SOFTNPU_UNSUPPORTED(TransData)
SOFTNPU_UNSUPPORTED(VectorPadding)
SOFTNPU_UNSUPPORTED(WriteGmByPassDCache)
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
SOFTNPU_UNSUPPORTED_TYPE(LoadData2DParamsV2)
#undef SOFTNPU_UNSUPPORTED_TYPE

}  // namespace AscendC
