// tests/softnpu/corpus/specialised.cpp: specialisations inside a class, as clang takes them, and
// GCC from 14 on.
#include "kernel_operator.h"

template <typename Shape>
class Types {
 public:
  template <typename T>
  struct Wide {
    using type = T;
  };
  template <>
  struct Wide<half> {
    using type = float;
  };
  template <typename T>
  __aicore__ inline static int32_t Bytes() {
    return sizeof(T);
  }
  template <>
  __aicore__ inline int32_t Bytes<Shape>() {
    return -1;
  }
};

extern "C" __global__ __aicore__ void widths(GM_ADDR y) {
  AscendC::GlobalTensor<int32_t> out;
  out.SetGlobalBuffer((__gm__ int32_t*)y, 4);
  out(0) = sizeof(Types<int>::Wide<half>::type);
  out(1) = sizeof(Types<int>::Wide<int16_t>::type);
  out(2) = Types<int>::Bytes<float>();
  out(3) = Types<half>::Bytes<half>();
}
