// cc/softnpu/ascendc/include/lib/matmul_intf.h: the high-level product of matrices in GM.
//
// Common configuration: A, B, C and the bias are ND tensors in GM. On a device a vector core sends
// a message to its block's cube core and waits; here the product is one instruction of the core
// that asks for it, with the same tensors touched.
#pragma once

#include "kernel_operator.h"

enum class CubeFormat : uint8_t { ND = 0, NZ, ZN, ZZ, NN, ND_ALIGN, SCALAR, VECTOR };

struct TCubeTiling {
  int32_t usedCoreNum = 0;
  int32_t M = 0;
  int32_t N = 0;
  int32_t Ka = 0;
  int32_t Kb = 0;
  int32_t singleCoreM = 0;
  int32_t singleCoreN = 0;
  int32_t singleCoreK = 0;
  int32_t baseM = 0;
  int32_t baseN = 0;
  int32_t baseK = 0;
  int32_t depthA1 = 0;
  int32_t depthB1 = 0;
  int32_t stepM = 0;
  int32_t stepN = 0;
  int32_t isBias = 0;
  int32_t iterateOrder = 0;
};

namespace matmul {

template <AscendC::TPosition position, CubeFormat layout, typename Type, bool transpose = false>
struct MatmulType {
  static constexpr AscendC::TPosition pos = position;
  static constexpr CubeFormat format = layout;
  static constexpr bool isTrans = transpose;
  using T = Type;
};

template <class A, class B, class C, class Bias = C>
class Matmul {
  static_assert(A::format == CubeFormat::ND && B::format == CubeFormat::ND &&
                    C::format == CubeFormat::ND,
                "SoftNPU: Matmul takes tensors in ND");
  static_assert(A::pos == AscendC::TPosition::GM && B::pos == AscendC::TPosition::GM &&
                    C::pos == AscendC::TPosition::GM,
                "SoftNPU: Matmul takes tensors in GM");

 public:
  void Init(const TCubeTiling* tiling, AscendC::TPipe* = nullptr) {
    tiling_ = *tiling;
    SetOrgShape(tiling_.M, tiling_.N, tiling_.Ka);
    SetSingleShape(tiling_.singleCoreM, tiling_.singleCoreN, tiling_.singleCoreK);
  }
  void SetOrgShape(int32_t m, int32_t n, int32_t k) {
    m_ = m;
    n_ = n;
    k_ = k;
  }
  void SetSingleShape(int32_t m, int32_t n, int32_t k) {
    single_m_ = m;
    single_n_ = n;
    single_k_ = k;
  }
  // What is left at the end of the matrices; -1 leaves a size as it is.
  void SetTail(int32_t m = -1, int32_t n = -1, int32_t k = -1) {
    if (m != -1) single_m_ = m;
    if (n != -1) single_n_ = n;
    if (k != -1) single_k_ = k;
  }
  void SetTensorA(const AscendC::GlobalTensor<typename A::T>& a, bool transpose = A::isTrans) {
    a_ = a;
    transpose_a_ = transpose;
    step_ = 0;
  }
  void SetTensorB(const AscendC::GlobalTensor<typename B::T>& b, bool transpose = B::isTrans) {
    b_ = b;
    transpose_b_ = transpose;
    step_ = 0;
  }
  void SetBias(const AscendC::GlobalTensor<typename Bias::T>& bias) {
    bias_ = bias;
    has_bias_ = true;
  }
  void DisableBias() { has_bias_ = false; }

  template <bool sync = true>
  void IterateAll(const AscendC::GlobalTensor<typename C::T>& c, uint8_t enAtomic = 0,
                  AscendC::Where where = AscendC::Where::Here()) {
    Part(c, 0, 0, single_m_, single_n_, enAtomic, where);
  }

  // The next block of baseM x baseN; false when there is none.
  template <bool sync = true>
  bool Iterate(bool = false) {
    if (step_ >= Steps(single_m_, tiling_.baseM) * Steps(single_n_, tiling_.baseN)) {
      step_ = 0;
      return false;
    }
    ++step_;
    return true;
  }
  template <bool sync = true>
  void GetTensorC(const AscendC::GlobalTensor<typename C::T>& c, uint8_t enAtomic = 0, bool = false,
                  AscendC::Where where = AscendC::Where::Here()) {
    const int32_t rows = Steps(single_m_, tiling_.baseM);
    const int32_t columns = Steps(single_n_, tiling_.baseN);
    const bool n_first = tiling_.iterateOrder != 0;
    const int32_t at = step_ - 1;
    const int32_t row = (n_first ? at / columns : at % rows) * tiling_.baseM;
    const int32_t column = (n_first ? at % columns : at / rows) * tiling_.baseN;
    Part(c, row, column, Least(tiling_.baseM, single_m_ - row),
         Least(tiling_.baseN, single_n_ - column), enAtomic, where);
  }
  void End() { step_ = 0; }

 private:
  static int32_t Steps(int32_t size, int32_t base) { return (size + base - 1) / base; }
  static int32_t Least(int32_t a, int32_t b) { return a < b ? a : b; }

  void Part(const AscendC::GlobalTensor<typename C::T>& c, int32_t row, int32_t column, int32_t m,
            int32_t n, uint8_t atomic, const AscendC::Where& where) {
    const uint64_t a_pitch = static_cast<uint64_t>(transpose_a_ ? m_ : k_);
    const uint64_t b_pitch = static_cast<uint64_t>(transpose_b_ ? k_ : n_);
    const auto r = static_cast<uint64_t>(row), j = static_cast<uint64_t>(column);
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_MATMUL, where);
    instruction.operand_count = has_bias_ ? 4 : 3;
    instruction.operand[0] = c[r * static_cast<uint64_t>(n_) + j].raw_;
    instruction.operand[1] = a_[transpose_a_ ? r : r * a_pitch].raw_;
    instruction.operand[2] = b_[transpose_b_ ? j * b_pitch : j].raw_;
    if (has_bias_) instruction.operand[3] = bias_[j].raw_;
    const int64_t params[] = {m,
                              n,
                              single_k_,
                              transpose_a_,
                              transpose_b_,
                              static_cast<int64_t>(a_pitch),
                              static_cast<int64_t>(b_pitch),
                              n_,
                              atomic};
    for (int i = 0; i < 9; ++i) instruction.params[i] = params[i];
    softnpu::core::Execute(instruction);
  }

  TCubeTiling tiling_;
  int32_t m_ = 0, n_ = 0, k_ = 0;
  int32_t single_m_ = 0, single_n_ = 0, single_k_ = 0;
  int32_t step_ = 0;
  bool transpose_a_ = false;
  bool transpose_b_ = false;
  bool has_bias_ = false;
  AscendC::GlobalTensor<typename A::T> a_;
  AscendC::GlobalTensor<typename B::T> b_;
  AscendC::GlobalTensor<typename Bias::T> bias_;
};

}  // namespace matmul

namespace AscendC {
using ::matmul::Matmul;
using ::matmul::MatmulType;
}  // namespace AscendC

// A cube core of a kernel that also has vector cores only serves them, and is done here.
#define REGIST_MATMUL_OBJ(pipe, workspace, object, tiling)      \
  if (::AscendC::softnpu_internal::ServesVectorCores()) return; \
  (object).Init(tiling, pipe)
