// cc/softnpu/ascendc/include/lib/matmul_intf.h: the high-level product of matrices.
//
// On a device a vector core sends a message to its block's cube core and waits; here the product is
// one instruction of the core that asks for it, with the same tensors touched.
#pragma once

#include "kernel_operator.h"
#include "lib/matmul_config.h"

namespace AscendC {

template <TPosition position, CubeFormat layout, typename Type, bool transpose = false,
          LayoutMode batchLayout = LayoutMode::NONE, bool ibShare = false>
struct MatmulType {
  static constexpr TPosition pos = position;
  static constexpr CubeFormat format = layout;
  static constexpr bool isTrans = transpose;
  static constexpr LayoutMode layoutMode = batchLayout;
  static constexpr bool ibshare = ibShare;
  using T = Type;
};

// Functions of the kernel's own that move data. Those of CANN, which nullptr stands for, are the
// only ones that SoftNPU has.
template <auto copyC = nullptr, auto copyA1 = nullptr, auto copyB1 = nullptr>
struct MatmulCallBackFunc {
  static constexpr bool own = !(IsSameType<decltype(copyC), decltype(nullptr)>::value &&
                                IsSameType<decltype(copyA1), decltype(nullptr)>::value &&
                                IsSameType<decltype(copyB1), decltype(nullptr)>::value);
};

template <class A, class B, class C, class Bias = C, const auto& config = CFG_NORM,
          class Callback = MatmulCallBackFunc<>>
class Matmul {
  static_assert(A::format == CubeFormat::ND || A::format == CubeFormat::NZ ||
                    A::format == CubeFormat::VECTOR || A::format == CubeFormat::SCALAR,
                "SoftNPU: Matmul takes A in ND, NZ, VECTOR and SCALAR");
  static_assert(B::format == CubeFormat::ND || B::format == CubeFormat::NZ,
                "SoftNPU: Matmul takes B in ND and NZ");
  static_assert(C::format == CubeFormat::ND || C::format == CubeFormat::NZ ||
                    C::format == CubeFormat::ND_ALIGN,
                "SoftNPU: Matmul gives C in ND, ND_ALIGN and NZ");
  static_assert(!Callback::own, "SoftNPU: Matmul has no MatmulCallBackFunc of the kernel's own");
  static constexpr MatmulConfig kConfig = softnpu_internal::ConfigOf(config);

  using AT = typename A::T;
  using BT = typename B::T;
  using CT = typename C::T;
  using BiasT = typename Bias::T;

 public:
  void Init(const TCubeTiling* tiling, TPipe* = nullptr) {
    if (tiling != nullptr) tiling_ = *tiling;
    softnpu_internal::Constants(config, tiling_);
    SetOrgShape(tiling_.M, tiling_.N, tiling_.Ka, tiling_.Kb != 0 ? tiling_.Kb : tiling_.Ka);
    SetSingleShape(tiling_.singleCoreM, tiling_.singleCoreN, tiling_.singleCoreK);
  }
  // With one sequence of sizes for all products.
  void SetOrgShape(int32_t m, int32_t n, int32_t k) { SetOrgShape(m, n, k, k); }
  void SetOrgShape(int32_t m, int32_t n, int32_t ka, int32_t kb, int32_t kc = 0) {
    m_ = m;
    n_ = n;
    ka_ = ka;
    kb_ = kb;
    kc_ = kc;
  }
  void SetLocalWorkspace(const LocalTensor<uint8_t>&) {}
  template <typename T>
  void SetWorkspace(const GlobalTensor<T>&) {}
  template <typename T>
  void SetWorkspace(const T*, uint64_t) {}
  template <typename T>
  void SetUserDefInfo(const T) {}
  template <typename T>
  void SetSelfDefineData(const T) {}
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
  void SetTensorA(const GlobalTensor<AT>& a, bool transpose = A::isTrans) {
    static_assert(A::pos == TPosition::GM, "SetTensorA of a tensor in GM needs A in GM");
    SetA(a.raw_, transpose);
  }
  void SetTensorA(const LocalTensor<AT>& a, bool transpose = A::isTrans) {
    SetA(a.raw_, transpose);
  }
  void SetTensorB(const GlobalTensor<BT>& b, bool transpose = B::isTrans) {
    static_assert(B::pos == TPosition::GM, "SetTensorB of a tensor in GM needs B in GM");
    SetB(b.raw_, transpose);
  }
  void SetTensorB(const LocalTensor<BT>& b, bool transpose = B::isTrans) {
    SetB(b.raw_, transpose);
  }
  // A matrix with one element everywhere.
  void SetTensorA(AT scalar) {
    a_scalar_ = softnpu::core::Bits(scalar);
    a_is_scalar_ = true;
    step_ = 0;
  }
  void SetBias(const GlobalTensor<BiasT>& bias) { SetBiasOf(bias.raw_); }
  void SetBias(const LocalTensor<BiasT>& bias) { SetBiasOf(bias.raw_); }
  void DisableBias() { has_bias_ = false; }
  void ClearBias() { has_bias_ = false; }
  // One scale for all columns, or one for each: the float in the lower half of the word.
  void SetQuantScalar(const uint64_t scale) {
    quant_scalar_ = scale;
    quant_ = softnpu_internal::kOneScale;
  }
  void SetQuantVector(const GlobalTensor<uint64_t>& scales) {
    quant_vector_ = scales.raw_;
    quant_ = softnpu_internal::kScalePerColumn;
  }
  void SetBatchNum(int32_t batchA, int32_t batchB) {
    batch_a_ = batchA;
    batch_b_ = batchB;
  }

  template <bool sync = true>
  void IterateAll(const GlobalTensor<CT>& c, uint8_t enAtomic = 0, bool enSequentialWrite = false,
                  bool waitIterateAll = false, bool fakeMsg = false, Where where = Where::Here()) {
    static_cast<void>(waitIterateAll);
    static_cast<void>(fakeMsg);
    if (!enSequentialWrite) {
      Part(PlaceOfC(c.raw_, {0, 0, single_m_, single_n_}, false), {0, 0, single_m_, single_n_}, {},
           enAtomic, where);
      return;
    }
    // Block behind block, each with rows of baseN.
    uint64_t offset = 0;
    for (step_ = 0; Iterate(); offset += BlockElements()) {
      const Block block = Current();
      SoftnpuTensor at = c.raw_;
      at.address += softnpu::core::BytesOf<CT>(offset);
      Part({at, Pitch(true), AlignedRows(tiling_.baseM)}, block, {}, enAtomic, where);
    }
  }
  template <bool sync = true>
  void IterateAll(const LocalTensor<CT>& c, uint8_t enAtomic = 0, Where where = Where::Here()) {
    Part(PlaceOfC(c.raw_, {0, 0, single_m_, single_n_}, true), {0, 0, single_m_, single_n_}, {},
         enAtomic, where);
  }
  // Products are done when their call returns.
  void WaitIterateAll() {}
  void WaitIterateBatch() {}
  void WaitGetTensorC() {}

  // The next block of baseM x baseN; false when there is none. With enPartialSum it is added to the
  // last one.
  template <bool sync = true>
  bool Iterate(bool enPartialSum = false) {
    if (step_ >= Steps(single_m_, tiling_.baseM) * Steps(single_n_, tiling_.baseN)) {
      step_ = 0;
      return false;
    }
    partial_ = enPartialSum;
    ++step_;
    return true;
  }
  // The block of Iterate at its place in the matrix, or, with `sequential`, with its rows baseN
  // apart at the beginning of c.
  template <bool sync = true>
  void GetTensorC(const GlobalTensor<CT>& c, uint8_t enAtomic = 0, bool sequential = false,
                  Where where = Where::Here()) {
    Get(c.raw_, sequential, enAtomic, where);
  }
  // Rows of baseN elements.
  template <bool sync = true>
  void GetTensorC(const LocalTensor<CT>& c, uint8_t enAtomic = 0, bool sequential = false,
                  Where where = Where::Here()) {
    static_cast<void>(sequential);
    Get(c.raw_, true, enAtomic, where);
  }
  // Both.
  template <bool sync = true>
  void GetTensorC(const GlobalTensor<CT>& gm, const LocalTensor<CT>& c, uint8_t enAtomic = 0,
                  bool sequential = false, Where where = Where::Here()) {
    const int32_t step = step_;
    Get(gm.raw_, sequential, enAtomic, where);
    step_ = step;
    Get(c.raw_, true, enAtomic, where);
  }
  // Without waiting, which GetTensorC does.
  void AsyncGetTensorC(const LocalTensor<CT>& c, Where where = Where::Here()) {
    Get(c.raw_, true, 0, where);
  }
  // Where the block of Iterate begins in C, in elements.
  struct Offset {
    int32_t row, column;
  };
  Offset GetOffsetC() const {
    const Block block = Current();
    return {block.row, block.column};
  }
  void End() { step_ = 0; }

  // Products of matrices that lie one behind the other, or as the LayoutMode says: batchA (batchB)
  // of A (B), and where one of the numbers is smaller, its matrices serve several products.
  void IterateBatch(const GlobalTensor<CT>& gm, uint32_t batchA, uint32_t batchB,
                    bool enSequentialWrite = false, const uint32_t matrixStrideA = 0,
                    const uint32_t matrixStrideB = 0, const uint32_t matrixStrideC = 0,
                    const bool enPartialSum = false, const uint8_t enAtomic = 0,
                    Where where = Where::Here()) {
    static_cast<void>(enSequentialWrite);
    static_cast<void>(enPartialSum);
    Batches(gm.raw_, false, batchA, batchB, {matrixStrideA, matrixStrideB, matrixStrideC}, enAtomic,
            where);
  }
  void IterateBatch(const LocalTensor<CT>& ubCmatrix, uint32_t batchA, uint32_t batchB,
                    bool enSequentialWrite = false, const uint32_t matrixStrideA = 0,
                    const uint32_t matrixStrideB = 0, const uint32_t matrixStrideC = 0,
                    const bool enPartialSum = false, const uint8_t enAtomic = 0,
                    Where where = Where::Here()) {
    static_cast<void>(enSequentialWrite);
    static_cast<void>(enPartialSum);
    Batches(ubCmatrix.raw_, true, batchA, batchB, {matrixStrideA, matrixStrideB, matrixStrideC},
            enAtomic, where);
  }
  template <bool sync = true>
  void IterateBatch(const GlobalTensor<CT>& gm, bool enPartialSum = false, uint8_t enAtomic = 0,
                    bool enSequentialWrite = false, uint32_t matrixStrideA = 0,
                    uint32_t matrixStrideB = 0, uint32_t matrixStrideC = 0,
                    Where where = Where::Here()) {
    IterateBatch(gm, static_cast<uint32_t>(batch_a_ != 0 ? batch_a_ : tiling_.batchM),
                 static_cast<uint32_t>(batch_b_ != 0 ? batch_b_ : tiling_.batchN),
                 enSequentialWrite, matrixStrideA, matrixStrideB, matrixStrideC, enPartialSum,
                 enAtomic, where);
  }
  // batchLoop times IterateBatch, each on the matrices behind the last ones.
  template <bool sync = true, bool waitIterateBatch = false>
  void IterateNBatch(const uint32_t batchLoop, uint32_t batchA, uint32_t batchB,
                     bool enSequentialWrite, const uint32_t matrixStrideA = 0,
                     const uint32_t matrixStrideB = 0, const uint32_t matrixStrideC = 0,
                     const bool enPartialSum = false, const uint8_t enAtomic = 0,
                     Where where = Where::Here()) {
    static_cast<void>(enSequentialWrite);
    static_cast<void>(enPartialSum);
    static_cast<void>(where);
    static_cast<void>(enAtomic);
    batches_ = {batchLoop, batchA, batchB, matrixStrideA, matrixStrideB, matrixStrideC};
  }
  // The results of IterateNBatch, loop by loop.
  template <bool sync = true>
  void GetBatchTensorC(const GlobalTensor<CT>& c, uint32_t batchA = 0, uint32_t batchB = 0,
                       bool enSequentialWrite = false, Where where = Where::Here()) {
    static_cast<void>(enSequentialWrite);
    const uint32_t a = batchA != 0 ? batchA : batches_.a, b = batchB != 0 ? batchB : batches_.b;
    Batches(c.raw_, false, a, b, {batches_.stride_a, batches_.stride_b, batches_.stride_c}, 0,
            where);
    first_batch_ += a > b ? a : b;
  }

 private:
  static int32_t Steps(int32_t size, int32_t base) {
    return base <= 0 ? 1 : (size + base - 1) / base;
  }
  static int32_t Least(int32_t a, int32_t b) { return a < b ? a : b; }
  static int32_t Up(int32_t size, int32_t unit) { return (size + unit - 1) / unit * unit; }
  // Elements of 32 bytes, the width of a fractal.
  template <typename T>
  static constexpr int32_t kWidth = IsSameType<T, int4b_t>::value ? 64 : 32 / sizeof(T);
  // That of C: 16, and 32 of bytes.
  static constexpr int32_t kWidthOfC = sizeof(CT) == 1 ? 32 : 16;

  // A part of C, in elements.
  struct Block {
    int32_t row, column, rows, columns;
  };
  // Where a part of C goes: the address of its first element; the pitch of rows in ND; in NZ the
  // rows of a column of fractals.
  struct Place {
    SoftnpuTensor tensor;
    int32_t pitch, rows;
  };
  // Elements from the tensors' beginnings to a batch's matrices, and pitches where they differ.
  struct Batch {
    uint64_t a = 0, b = 0, c = 0, bias = 0;
    int32_t a_pitch = 0, b_pitch = 0;
  };
  struct BatchLoop {
    uint32_t loop = 0, a = 0, b = 0, stride_a = 0, stride_b = 0, stride_c = 0;
  };
  struct Strides {
    uint32_t a, b, c;
  };

  void SetA(const SoftnpuTensor& a, bool transpose) {
    a_ = a;
    transpose_a_ = transpose;
    a_is_scalar_ = false;
    first_batch_ = 0;
    step_ = 0;
  }
  void SetB(const SoftnpuTensor& b, bool transpose) {
    b_ = b;
    transpose_b_ = transpose;
    first_batch_ = 0;
    step_ = 0;
  }
  void SetBiasOf(const SoftnpuTensor& bias) {
    bias_ = bias;
    has_bias_ = true;
  }

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

  // Elements from row to row of C in ND: of a block alone (or in the UB), or of the matrix.
  int32_t Pitch(bool block) const {
    const int32_t columns = block ? tiling_.baseN : kc_ != 0 ? kc_ : n_;
    if constexpr (C::format == CubeFormat::ND_ALIGN) return Up(columns, 32 / int32_t{sizeof(CT)});
    return columns;
  }
  static int32_t AlignedRows(int32_t rows) {
    return C::format == CubeFormat::NZ ? Up(rows, 16) : 0;
  }
  uint64_t BlockElements() const {
    return static_cast<uint64_t>(tiling_.baseM) * static_cast<uint64_t>(tiling_.baseN);
  }
  // A block of C at its place in the matrix in GM, or in a tensor of the UB with all of singleCoreM
  // and singleCoreN.
  Place PlaceOfC(SoftnpuTensor c, const Block& block, bool local) const {
    int32_t pitch = local ? single_n_ : kc_ != 0 ? kc_ : n_;
    if constexpr (C::format == CubeFormat::ND_ALIGN) pitch = Up(pitch, 32 / int32_t{sizeof(CT)});
    const int32_t rows = AlignedRows(local ? single_m_ : m_);
    const auto r = static_cast<uint64_t>(block.row), j = static_cast<uint64_t>(block.column);
    const uint64_t at = C::format == CubeFormat::NZ
                            ? j * static_cast<uint64_t>(rows) + r * static_cast<uint64_t>(kWidthOfC)
                            : r * static_cast<uint64_t>(pitch) + j;
    c.address += softnpu::core::BytesOf<CT>(at);
    return {c, pitch, rows};
  }

  void Get(const SoftnpuTensor& c, bool sequential, uint8_t atomic, const Where& where) {
    const Block block = Current();
    const Place place =
        sequential ? Place{c, Pitch(true), AlignedRows(tiling_.baseM)} : PlaceOfC(c, block, false);
    Part(place, block, {}, atomic, where);
  }

  // Elements from the beginning of a matrix to a row or column that is a multiple of a fractal's.
  template <typename T, CubeFormat format>
  static uint64_t Skip(int32_t row, int32_t column, int32_t pitch, int32_t rows) {
    const auto r = static_cast<uint64_t>(row), j = static_cast<uint64_t>(column);
    if constexpr (format == CubeFormat::NZ) {
      return j * static_cast<uint64_t>(rows) + r * static_cast<uint64_t>(kWidth<T>);
    }
    return r * static_cast<uint64_t>(pitch) + j;
  }

  void Part(const Place& place, const Block& block, const Batch& batch, uint8_t atomic,
            const Where& where) {
    // The stored matrices: A is [M, K] or transposed [K, M], B [K, N] or [N, K].
    constexpr bool kAlone = A::pos != TPosition::GM || A::format == CubeFormat::VECTOR;
    constexpr bool kAloneB = B::pos != TPosition::GM;
    const int32_t m = kAlone ? single_m_ : m_, k = kAlone ? single_k_ : ka_;
    const int32_t n = kAloneB ? single_n_ : n_, kb = kAloneB ? single_k_ : kb_;
    const int32_t a_rows = transpose_a_ ? k : m, b_rows = transpose_b_ ? n : kb;
    const int32_t a_pitch = batch.a_pitch != 0 ? batch.a_pitch : transpose_a_ ? m : k;
    const int32_t b_pitch = batch.b_pitch != 0 ? batch.b_pitch : transpose_b_ ? kb : n;
    // Rows of a column of fractals; a matrix of the UB has its own.
    const int32_t a_tall = A::format == CubeFormat::NZ ? Up(a_rows, 16) : 0;
    const int32_t b_tall = B::format == CubeFormat::NZ ? Up(b_rows, 16) : 0;
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_MATMUL, where);
    instruction.operand_count = has_bias_ ? 4 : 3;
    instruction.operand[0] = place.tensor;
    instruction.operand[1] = a_;
    instruction.operand[1].address += softnpu::core::BytesOf<AT>(
        batch.a + (transpose_a_ ? Skip<AT, A::format>(0, block.row, a_pitch, a_tall)
                                : Skip<AT, A::format>(block.row, 0, a_pitch, a_tall)));
    instruction.operand[2] = b_;
    instruction.operand[2].address += softnpu::core::BytesOf<BT>(
        batch.b + (transpose_b_ ? Skip<BT, B::format>(block.column, 0, b_pitch, b_tall)
                                : Skip<BT, B::format>(0, block.column, b_pitch, b_tall)));
    if (has_bias_) {
      instruction.operand[3] = bias_;
      instruction.operand[3].address +=
          softnpu::core::BytesOf<BiasT>(batch.bias + static_cast<uint64_t>(block.column));
    }
    SoftnpuTensor scales = quant_vector_;
    if (quant_ == softnpu_internal::kScalePerColumn) {
      scales.address += static_cast<uint64_t>(block.column) * 8;
      instruction.list = &scales;
      instruction.list_count = 1;
    }
    instruction.scalar = quant_scalar_;
    const int64_t params[] = {
        block.rows, block.columns, single_k_,   transpose_a_, transpose_b_,
        a_pitch,    b_pitch,       place.pitch, atomic,       a_tall,
        b_tall,     place.rows,    quant_,      a_is_scalar_, static_cast<int64_t>(a_scalar_),
        partial_};
    for (int i = 0; i < 16; ++i) instruction.params[i] = params[i];
    if (a_is_scalar_) instruction.operand[1] = instruction.operand[2];
    softnpu::core::Execute(instruction);
  }

  // Matrix i of a batch in a tensor [B, S, N, G, D] or in another order: its first element, and the
  // elements from row to row.
  struct Matrix {
    uint64_t offset;
    int32_t pitch;
  };
  static Matrix MatrixOf(LayoutMode mode, uint64_t i, int32_t b, int32_t s, int32_t n, int32_t g,
                         int32_t d) {
    const auto wide = [](int32_t value) { return static_cast<uint64_t>(value > 0 ? value : 1); };
    const uint64_t heads = wide(n) * wide(g), head = i % heads, batch = i / heads;
    const uint64_t row = heads * wide(d);
    if (mode == LayoutMode::BSNGD) {
      return {batch * wide(s) * row + head * wide(d), static_cast<int32_t>(row)};
    }
    if (mode == LayoutMode::SBNGD) {
      return {batch * row + head * wide(d), static_cast<int32_t>(wide(b) * row)};
    }
    return {i * wide(s) * wide(d), d};  // BNGS1S2
  }

  void Batches(const SoftnpuTensor& c, bool local, uint32_t batch_a, uint32_t batch_b,
               const Strides& strides, uint8_t atomic, const Where& where) {
    const uint32_t count = batch_a > batch_b ? batch_a : batch_b;
    constexpr bool kPlain =
        A::layoutMode == LayoutMode::NONE || A::layoutMode == LayoutMode::NORMAL;
    const auto size = [](int32_t x, int32_t y) {
      return static_cast<uint64_t>(x) * static_cast<uint64_t>(y);
    };
    for (uint32_t i = 0; i < count; ++i) {
      // One of A for several of B, or the other way round.
      const uint64_t loops = first_batch_;
      const uint64_t i_a = loops * batch_a / count + i * uint64_t{batch_a} / count;
      const uint64_t i_b = loops * batch_b / count + i * uint64_t{batch_b} / count;
      const uint64_t i_c = local ? i : i + (batches_.loop == 0 ? loops : 0);
      Batch batch;
      SoftnpuTensor target = c;
      int32_t pitch = single_n_;
      if constexpr (kPlain) {
        batch.a = i_a * (strides.a != 0 ? strides.a : size(single_m_, single_k_));
        batch.b = i_b * (strides.b != 0 ? strides.b : size(single_n_, single_k_));
        const int32_t wide =
            C::format == CubeFormat::ND_ALIGN ? Up(single_n_, 32 / int32_t{sizeof(CT)}) : single_n_;
        batch.c = i_c * (strides.c != 0 ? strides.c : size(single_m_, wide));
        pitch = wide;
        batch.a_pitch = transpose_a_ ? single_m_ : single_k_;
        batch.b_pitch = transpose_b_ ? single_k_ : single_n_;
      } else {
        const TCubeTiling& t = tiling_;
        const Matrix a = MatrixOf(A::layoutMode, i_a, t.ALayoutInfoB, t.ALayoutInfoS,
                                  t.ALayoutInfoN, t.ALayoutInfoG, t.ALayoutInfoD);
        const Matrix b = MatrixOf(B::layoutMode, i_b, t.BLayoutInfoB, t.BLayoutInfoS,
                                  t.BLayoutInfoN, t.BLayoutInfoG, t.BLayoutInfoD);
        const Matrix out = MatrixOf(C::layoutMode, i_c, t.CLayoutInfoB, t.CLayoutInfoS1,
                                    t.CLayoutInfoN, t.CLayoutInfoG, t.CLayoutInfoS2);
        batch.a = a.offset;
        batch.b = b.offset;
        batch.c = out.offset;
        batch.a_pitch = a.pitch;
        batch.b_pitch = b.pitch;
        pitch = out.pitch;
      }
      if (kConfig.isBiasBatch) batch.bias = i_c * static_cast<uint64_t>(single_n_);
      target.address += softnpu::core::BytesOf<CT>(batch.c);
      Part({target, pitch, AlignedRows(single_m_)}, {0, 0, single_m_, single_n_}, batch, atomic,
           where);
    }
    if (batches_.loop == 0) first_batch_ = 0;
  }

  TCubeTiling tiling_;
  int32_t m_ = 0, n_ = 0, ka_ = 0, kb_ = 0, kc_ = 0;
  int32_t single_m_ = 0, single_n_ = 0, single_k_ = 0;
  int32_t step_ = 0;
  int32_t batch_a_ = 0, batch_b_ = 0;
  uint64_t first_batch_ = 0;
  BatchLoop batches_;
  bool transpose_a_ = A::isTrans;
  bool transpose_b_ = B::isTrans;
  bool has_bias_ = false;
  bool partial_ = false;
  bool a_is_scalar_ = false;
  uint64_t a_scalar_ = 0;
  uint64_t quant_scalar_ = 0;
  int64_t quant_ = softnpu_internal::kNoScale;
  SoftnpuTensor quant_vector_{};
  SoftnpuTensor a_{}, b_{}, bias_{};
};

// Of one core without messages between cores: here the same.
template <class A, class B, class C, class Bias = C, const auto& config = CFG_NORM,
          class Callback = MatmulCallBackFunc<>>
using MatmulImpl = Matmul<A, B, C, Bias, config, Callback>;

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

namespace matmul = AscendC;

// A kernel that says nothing of its kind has two vector cores for each cube core. A cube core of a
// kernel that also has vector cores only serves them, and is done here. Behind the workspace follow
// objects, each with its tiling; one alone without.
#define REGIST_MATMUL_OBJ(pipe, workspace, ...)                                                \
  ::AscendC::softnpu_internal::TaskType(::AscendC::KERNEL_TYPE_MIX_AIC_1_2, -2, SOFTNPU_HERE); \
  if (::AscendC::softnpu_internal::ServesVectorCores()) return;                                \
  ::AscendC::softnpu_internal::InitProducts(pipe, __VA_ARGS__)
