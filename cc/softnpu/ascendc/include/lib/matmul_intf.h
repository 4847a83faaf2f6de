// cc/softnpu/ascendc/include/lib/matmul_intf.h: the high-level product of matrices in GM.
//
// Common configuration: A, B and the bias are ND tensors in GM, C is one in GM or in the UB. On a
// device a vector core sends a message to its block's cube core and waits; here the product is one
// instruction of the core that asks for it, with the same tensors touched.
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
  // These change speed and no result.
  int32_t stepKa = 1;
  int32_t stepKb = 1;
  int32_t transLength = 0;
  int32_t shareMode = 0;
  int32_t shareL1Size = 0;
  int32_t shareL0CSize = 0;
  int32_t shareUbSize = 0;
  int32_t depthAL1CacheUB = 0;
  int32_t depthBL1CacheUB = 0;
  int32_t dbL0A = 2;
  int32_t dbL0B = 2;
  int32_t dbL0C = 1;
  int32_t batchM = 1;
  int32_t batchN = 1;
  int32_t singleBatchM = 1;
  int32_t singleBatchN = 1;
  int32_t BatchNum = 1;
};

namespace matmul {

template <AscendC::TPosition position, CubeFormat layout, typename Type, bool transpose = false>
struct MatmulType {
  static constexpr AscendC::TPosition pos = position;
  static constexpr CubeFormat format = layout;
  static constexpr bool isTrans = transpose;
  using T = Type;
};

// Configurations, which change speed and no result.
struct MatmulConfig {
  bool doNorm = true;
  bool doMultiDataLoad = false;
  bool doBasicBlock = false;
};
constexpr MatmulConfig CFG_NORM{};
constexpr MatmulConfig CFG_MDL{false, true, false};
constexpr MatmulConfig CFG_IBSHARE_NORM{};
constexpr MatmulConfig MM_CFG_BB{false, false, true};
enum class BatchMode : uint8_t {
  NONE,
  BATCH_LESS_THAN_L1,
  BATCH_LARGE_THAN_L1,
  SINGLE_LARGE_THAN_L1
};
enum class IterateOrder : uint8_t { ORDER_M, ORDER_N, UNDEF };
enum class ScheduleType : uint8_t { INNER_PRODUCT, OUTER_PRODUCT };
enum class MatmulConfigMode : uint8_t {
  CONFIG_NORM,
  CONFIG_MDL,
  CONFIG_SPECIALMDL,
  CONFIG_IBSHARE
};
// Their parameters are limits and modes of the pipes.
template <typename... Modes>
constexpr MatmulConfig GetNormalConfig(Modes...) {
  return CFG_NORM;
}
template <typename... Modes>
constexpr MatmulConfig GetMDLConfig(Modes...) {
  return CFG_MDL;
}
template <typename... Modes>
constexpr MatmulConfig GetSpecialMDLConfig(Modes...) {
  return CFG_MDL;
}
template <typename... Modes>
constexpr MatmulConfig GetIBShareNormConfig(Modes...) {
  return CFG_IBSHARE_NORM;
}
template <typename... Modes>
constexpr MatmulConfig GetBasicConfig(Modes...) {
  return MM_CFG_BB;
}
template <typename... Modes>
constexpr MatmulConfig GetSpecialBasicConfig(Modes...) {
  return MM_CFG_BB;
}
template <MatmulConfigMode mode, typename... Modes>
constexpr MatmulConfig GetMMConfig(Modes&&...) {
  return mode == MatmulConfigMode::CONFIG_NORM || mode == MatmulConfigMode::CONFIG_IBSHARE
             ? CFG_NORM
             : CFG_MDL;
}

template <class A, class B, class C, class Bias = C, const auto& config = CFG_NORM>
class Matmul {
  static_assert(A::format == CubeFormat::ND && B::format == CubeFormat::ND &&
                    C::format == CubeFormat::ND,
                "SoftNPU: Matmul takes tensors in ND");
  static_assert(A::pos == AscendC::TPosition::GM && B::pos == AscendC::TPosition::GM,
                "SoftNPU: Matmul takes A and B in GM");
  static_assert(C::pos == AscendC::TPosition::GM || C::pos == AscendC::TPosition::VECIN ||
                    C::pos == AscendC::TPosition::VECCALC,
                "SoftNPU: Matmul gives C in GM or in the UB");

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
  void SetOrgShape(int32_t m, int32_t n, int32_t ka, int32_t kb) {
    static_cast<void>(kb);
    SetOrgShape(m, n, ka);
  }
  void SetLocalWorkspace(const AscendC::LocalTensor<uint8_t>&) {}
  template <typename T>
  void SetWorkspace(const AscendC::GlobalTensor<T>&) {}
  template <typename T>
  void SetWorkspace(const T*, uint64_t) {}
  // Products of floats are float.
  void SetHF32(bool, int32_t = 0) {}
  void SetSubBlockIdx(uint8_t) {}
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
  void ClearBias() { has_bias_ = false; }

  template <bool sync = true>
  void IterateAll(const AscendC::GlobalTensor<typename C::T>& c, uint8_t enAtomic = 0,
                  [[maybe_unused]] bool enSequentialWrite = false,
                  [[maybe_unused]] bool waitIterateAll = false,
                  [[maybe_unused]] bool fakeMsg = false,
                  AscendC::Where where = AscendC::Where::Here()) {
    Part(c.raw_, c.raw_.address, n_, {0, 0, single_m_, single_n_}, enAtomic, where);
  }
  template <bool sync = true>
  void IterateAll(const AscendC::LocalTensor<typename C::T>& c, uint8_t enAtomic = 0,
                  AscendC::Where where = AscendC::Where::Here()) {
    Part(c.raw_, c.raw_.address, single_n_, {0, 0, single_m_, single_n_}, enAtomic, where);
  }
  // Products are done when their call returns.
  void WaitIterateAll() {}
  void WaitGetTensorC() {}

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
  // The block of Iterate at its place in the matrix, or, with `sequential`, with its rows baseN
  // apart at the beginning of c.
  template <bool sync = true>
  void GetTensorC(const AscendC::GlobalTensor<typename C::T>& c, uint8_t enAtomic = 0,
                  bool sequential = false, AscendC::Where where = AscendC::Where::Here()) {
    const Block block = Current();
    if (sequential) {
      Part(c.raw_, c.raw_.address, tiling_.baseN, block, enAtomic, where);
      return;
    }
    const auto at = static_cast<uint64_t>(block.row) * static_cast<uint64_t>(n_) +
                    static_cast<uint64_t>(block.column);
    Part(c.raw_, c[at].raw_.address, n_, block, enAtomic, where);
  }
  // Rows of baseN elements.
  template <bool sync = true>
  void GetTensorC(const AscendC::LocalTensor<typename C::T>& c, uint8_t enAtomic = 0, bool = false,
                  AscendC::Where where = AscendC::Where::Here()) {
    Part(c.raw_, c.raw_.address, tiling_.baseN, Current(), enAtomic, where);
  }
  void End() { step_ = 0; }

 private:
  static int32_t Steps(int32_t size, int32_t base) { return (size + base - 1) / base; }
  static int32_t Least(int32_t a, int32_t b) { return a < b ? a : b; }

  // A part of C, in elements.
  struct Block {
    int32_t row, column, rows, columns;
  };

  Block Current() const {
    const int32_t rows = Steps(single_m_, tiling_.baseM);
    const int32_t columns = Steps(single_n_, tiling_.baseN);
    const bool n_first = tiling_.iterateOrder != 0;
    const int32_t at = step_ - 1;
    const int32_t row = (n_first ? at / columns : at % rows) * tiling_.baseM;
    const int32_t column = (n_first ? at % columns : at / rows) * tiling_.baseN;
    return {row, column, Least(tiling_.baseM, single_m_ - row),
            Least(tiling_.baseN, single_n_ - column)};
  }

  // Writes a block to `address` in the tensor c, rows `pitch` elements apart.
  void Part(const SoftnpuTensor& c, uint64_t address, int32_t pitch, const Block& block,
            uint8_t atomic, const AscendC::Where& where) {
    const uint64_t a_pitch = static_cast<uint64_t>(transpose_a_ ? m_ : k_);
    const uint64_t b_pitch = static_cast<uint64_t>(transpose_b_ ? k_ : n_);
    const auto r = static_cast<uint64_t>(block.row), j = static_cast<uint64_t>(block.column);
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_MATMUL, where);
    instruction.operand_count = has_bias_ ? 4 : 3;
    instruction.operand[0] = c;
    instruction.operand[0].address = address;
    instruction.operand[1] = a_[transpose_a_ ? r : r * a_pitch].raw_;
    instruction.operand[2] = b_[transpose_b_ ? j * b_pitch : j].raw_;
    if (has_bias_) instruction.operand[3] = bias_[j].raw_;
    const int64_t params[] = {block.rows,
                              block.columns,
                              single_k_,
                              transpose_a_,
                              transpose_b_,
                              static_cast<int64_t>(a_pitch),
                              static_cast<int64_t>(b_pitch),
                              pitch,
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

// Of one core without messages between cores: here the same.
template <class A, class B, class C, class Bias = C, const auto& config = CFG_NORM>
using MatmulImpl = Matmul<A, B, C, Bias, config>;

}  // namespace matmul

namespace AscendC {
using ::matmul::Matmul;
using ::matmul::MatmulImpl;
using ::matmul::MatmulType;
}  // namespace AscendC

enum class LayoutMode : uint8_t { NONE = 0, BSNGD = 1, SBNGD = 2, BNGS1S2 = 3, NORMAL = 4 };

namespace AscendC {
using ::CubeFormat;
using ::LayoutMode;
using ::matmul::BatchMode;
using ::matmul::CFG_IBSHARE_NORM;
using ::matmul::CFG_MDL;
using ::matmul::CFG_NORM;
using ::matmul::GetBasicConfig;
using ::matmul::GetIBShareNormConfig;
using ::matmul::GetMDLConfig;
using ::matmul::GetMMConfig;
using ::matmul::GetNormalConfig;
using ::matmul::GetSpecialBasicConfig;
using ::matmul::GetSpecialMDLConfig;
using ::matmul::IterateOrder;
using ::matmul::MatmulConfig;
using ::matmul::MatmulConfigMode;
using ::matmul::MM_CFG_BB;
using ::matmul::ScheduleType;

// Matrix products of a kernel may be told their pipe by it.
inline thread_local TPipe* g_cubeTPipePtr = nullptr;

namespace softnpu_internal {

inline void InitProducts(TPipe*) {}
template <typename Object>
inline void InitProducts(TPipe*, Object&) {}  // the kernel calls Init
template <typename Object, typename Tiling, typename... Others>
inline void InitProducts(TPipe* pipe, Object& object, Tiling tiling, Others&&... others) {
  object.Init(tiling, pipe);
  InitProducts(pipe, others...);
}

}  // namespace softnpu_internal
}  // namespace AscendC

// A kernel that says nothing of its kind has two vector cores for each cube core. A cube core of a
// kernel that also has vector cores only serves them, and is done here. Behind the workspace follow
// objects, each with its tiling; one alone without.
#define REGIST_MATMUL_OBJ(pipe, workspace, ...)                                                \
  ::AscendC::softnpu_internal::TaskType(::AscendC::KERNEL_TYPE_MIX_AIC_1_2, -2, SOFTNPU_HERE); \
  if (::AscendC::softnpu_internal::ServesVectorCores()) return;                                \
  ::AscendC::softnpu_internal::InitProducts(pipe, __VA_ARGS__)
