// tests/softnpu/corpus/forms.cpp: forms of C++ that kernels have: functors, tags, specialisations,
// lookup by arguments, kernels from macros, tiling keys.
#include "kernel_operator.h"

namespace ops {

using AscendC::GlobalTensor;
using AscendC::LocalTensor;

// Calls without their namespace: the arguments bring it.
struct Square {
  template <typename T>
  __aicore__ inline void operator()(const LocalTensor<T>& y, const LocalTensor<T>& x, int32_t n) {
    Mul(y, x, x, n);
  }
};
struct ReciprocalOf {
  template <typename T>
  __aicore__ inline void operator()(const LocalTensor<T>& y, const LocalTensor<T>& x, int32_t n) {
    Duplicate(y, static_cast<T>(1), n);
    AscendC::PipeBarrier<PIPE_V>();
    Div(y, y, x, n);
  }
};

template <typename T, class Body, uint32_t kTile>
__aicore__ inline void Map(GM_ADDR x, GM_ADDR y, uint32_t tiles, Body body) {
  GlobalTensor<T> from, to;
  from.SetGlobalBuffer((__gm__ T*)x + AscendC::GetBlockIdx() * tiles * kTile);
  to.SetGlobalBuffer((__gm__ T*)y + AscendC::GetBlockIdx() * tiles * kTile);
  AscendC::TPipe pipe;
  AscendC::TQue<AscendC::TPosition::VECIN, 2> in;
  AscendC::TQue<AscendC::TPosition::VECOUT, 2> out;
  pipe.InitBuffer(in, 2, kTile * sizeof(T));
  pipe.InitBuffer(out, 2, kTile * sizeof(T));
  for (uint32_t i = 0; i < tiles; ++i) {
    auto a = in.AllocTensor<T>();
    DataCopy(a, from[i * kTile], kTile);
    in.EnQue(a);
    a = in.DeQue<T>();
    auto b = out.AllocTensor<T>();
    body(b, a, kTile);
    in.FreeTensor(a);
    out.EnQue(b);
    b = out.DeQue<T>();
    DataCopy(to[i * kTile], b, kTile);
    out.FreeTensor(b);
  }
}

template <typename T>
__aicore__ inline constexpr T Identity(T value) {
  if constexpr (std::is_same<T, half>::value) {
    return value;
  } else if constexpr (AscendC::IsSameType<T, float>::value) {
    return value + 0.0f;
  } else {
    return value;
  }
}

}  // namespace ops

extern "C" __global__ __aicore__ void square(GM_ADDR x, GM_ADDR y, uint32_t tiles) {
  ops::Map<half, ops::Square, 256>(x, y, tiles, ops::Square());
}

#define ELEMENTWISE(name, T, Body, TILE)                                                   \
  extern "C" __global__ __aicore__ void name##_##T(GM_ADDR x, GM_ADDR y, uint32_t tiles) { \
    ops::Map<T, Body, TILE>(x, y, tiles, Body{});                                          \
  }
ELEMENTWISE(reciprocal, float, ops::ReciprocalOf, 128)
ELEMENTWISE(reciprocal, half, ops::ReciprocalOf, 128)

// Elements by their index, in the scalar unit.
extern "C" __global__ __aicore__ void by_index(GM_ADDR y) {
  AscendC::GlobalTensor<int32_t> out;
  out.SetGlobalBuffer((__gm__ int32_t*)y, 4);
  out(0) = ops::Identity(7);
  out(1) = static_cast<int32_t>(ops::Identity(2.5f));
  out(2) = out(0);
  out(2) += 3;
  out(3) = sizeof(ops::Identity<half>(half(1.0f)));
}

struct ShiftTiling {
  uint32_t count;
  float by;
};

// The tiling key says what is computed.
extern "C" __global__ __aicore__ void shift(GM_ADDR x, GM_ADDR y, GM_ADDR workspace,
                                            GM_ADDR tiling) {
  REGISTER_TILING_DEFAULT(ShiftTiling);
  GET_TILING_DATA(data, tiling);
  GET_TILING_DATA_MEMBER(ShiftTiling, by, by, tiling);
  AscendC::TPipe pipe;
  AscendC::TBuf<> buffer;
  pipe.InitBuffer(buffer, data.count * sizeof(float));
  AscendC::GlobalTensor<float> from, to;
  from.SetGlobalBuffer((__gm__ float*)x, data.count);
  to.SetGlobalBuffer((__gm__ float*)y, data.count);
  auto tile = buffer.Get<float>();
  AscendC::DataCopy(tile, from, data.count);
  AscendC::PipeBarrier<PIPE_ALL>();
  if (TILING_KEY_IS(1)) {
    AscendC::Adds(tile, tile, by, data.count);
  } else if (TILING_KEY_IS(2)) {
    AscendC::Adds(tile, tile, -by, data.count);
  } else if (TILING_KEY_IS(10000000000000000003UL)) {
    AscendC::Muls(tile, tile, by, data.count);
  }
  AscendC::PipeBarrier<PIPE_ALL>();
  AscendC::DataCopy(to, tile, data.count);
}
