// tests/softnpu/programs/two_kinds.hpp: a library of kernel templates, as others have them: what a
// core does is a template argument, and host code launches one of two kernels of one name.
#pragma once

#if defined(__CCE__)
#include <kernel_operator.h>
#endif

namespace two_kinds {

// A line of the data cache for each core: what it is, and what it was given.
struct Lines {
  struct Params {
    __gm__ int32_t* out;
    int32_t value;
  };

  template <int32_t CORE_TYPE = g_coreType>
  __aicore__ void operator()(const Params& params) {
    const uint32_t line = CORE_TYPE == AscendC::AIC
                              ? AscendC::GetBlockIdx()
                              : AscendC::GetBlockNum() + AscendC::GetBlockIdx();
    AscendC::GlobalTensor<int32_t> out;
    out.SetGlobalBuffer(params.out);
    out.SetValue(line * 16, CORE_TYPE == AscendC::AIC ? params.value : -params.value);
    AscendC::DataCacheCleanAndInvalid<int32_t, AscendC::CacheLine::SINGLE_CACHE_LINE>(
        out[line * 16]);
  }
};

template <class Operator>
__global__ __mix__(1, 2) void Adapter(typename Operator::Params params) {
  Operator()(params);
}
template <class Operator>
__global__ __mix__(1, 2) void Adapter(typename Operator::Params params, int32_t more) {
  params.value += more;
  Operator()(params);
}

template <class Operator>
void Run(void* stream, uint32_t blocks, typename Operator::Params params, int32_t more) {
  if (more == 0) {
    two_kinds::Adapter<Operator><<<blocks, nullptr, stream>>>(params);
  } else {
    two_kinds::Adapter<Operator><<<blocks, nullptr, stream>>>(params, more);
  }
}

// Products of matrices, where there are some, show that a kernel is for both kinds of cores.
struct Products : Lines {
  template <int32_t CORE_TYPE = g_coreType>
  __aicore__ void operator()(const Params& params) {
    if constexpr (CORE_TYPE == AscendC::AIC) {
      if (params.value > 1000) {
        AscendC::LocalTensor<half> a, b;
        AscendC::Mmad(AscendC::LocalTensor<float>(), a, b, AscendC::MmadParams());
      }
    }
    Lines()(params);
  }
};
template <class Operator>
__global__ __aicore__ void OfNoSaidKind(typename Operator::Params params) {
  Operator()(params);
}
template <class Operator>
void RunOfNoSaidKind(void* stream, uint32_t blocks, typename Operator::Params params) {
  two_kinds::OfNoSaidKind<Operator><<<blocks, nullptr, stream>>>(params);
}

}  // namespace two_kinds
