// cc/softnpu/ascendc/include/tiling/matmul_tiling.h: the host's tiling of the high-level product.
//
// The splits are SoftNPU's own: they fit the chip's memories, and are not those that CANN's tiling
// finds. What a program sets itself (SetFixSplit, SetDim, SetSingleShape ...) holds.
#pragma once

#include <string.h>

#include "kernel_tiling/kernel_tiling.h"
#include "tiling/platform/platform_ascendc.h"

// clang-format off
#define SOFTNPU_TILING_FIELDS(X) \
  X(usedCoreNum) X(M) X(N) X(Ka) X(Kb) X(singleCoreM) X(singleCoreN) X(singleCoreK) \
  X(baseM) X(baseN) X(baseK) X(depthA1) X(depthB1) X(stepM) X(stepN) X(isBias) X(iterateOrder) \
  X(stepKa) X(stepKb) X(transLength) X(shareMode) X(shareL1Size) X(shareL0CSize) X(shareUbSize) \
  X(depthAL1CacheUB) X(depthBL1CacheUB) X(dbL0A) X(dbL0B) X(dbL0C) X(batchM) X(batchN) \
  X(singleBatchM) X(singleBatchN) X(BatchNum) X(mxTypePara) \
  X(ALayoutInfoB) X(ALayoutInfoS) X(ALayoutInfoN) X(ALayoutInfoG) X(ALayoutInfoD) \
  X(BLayoutInfoB) X(BLayoutInfoS) X(BLayoutInfoN) X(BLayoutInfoG) X(BLayoutInfoD) \
  X(CLayoutInfoB) X(CLayoutInfoS1) X(CLayoutInfoN) X(CLayoutInfoG) X(CLayoutInfoS2)
// clang-format on

namespace optiling {

// The kernel's struct as host code fills it in.
struct TCubeTiling : ::TCubeTiling {
#define SOFTNPU_TILING_FIELD(name)                 \
  void set_##name(int32_t value) { name = value; } \
  int32_t get_##name() const { return name; }
  SOFTNPU_TILING_FIELDS(SOFTNPU_TILING_FIELD)
#undef SOFTNPU_TILING_FIELD
  size_t GetDataSize() const { return sizeof(::TCubeTiling); }
  void SaveToBuffer(void* buffer, size_t bytes) const {
    memcpy(buffer, static_cast<const ::TCubeTiling*>(this),
           bytes < sizeof(::TCubeTiling) ? bytes : sizeof(::TCubeTiling));
  }
};

}  // namespace optiling
#undef SOFTNPU_TILING_FIELDS

namespace matmul_tiling {

using ::CubeFormat;
using AscendC::TPosition;

enum class DataType {
  DT_FLOAT = 0,
  DT_FLOAT16 = 1,
  DT_INT8 = 2,
  DT_INT32 = 3,
  DT_BF16 = 27,
  DT_BFLOAT16 = 27,
};
enum class MatrixMadType { NORMAL = 0, HF32 = 1 };
enum class DequantType { SCALAR = 0, TENSOR = 1 };
enum class ScheduleType { INNER_PRODUCT = 0, OUTER_PRODUCT = 1 };
enum class MatrixTraverse { NOSET = 0, FIRSTM = 1, FIRSTN = 2 };

inline int32_t BytesOf(DataType type) {
  return type == DataType::DT_INT8                                       ? 1
         : type == DataType::DT_FLOAT16 || type == DataType::DT_BFLOAT16 ? 2
                                                                         : 4;
}

// Of one core; MultiCoreMatmulTiling also shares the product among cores. Functions return 0, or -1
// for what cannot be, as GetTiling does for a split that no memory holds.
class MatmulApiTiling {
 public:
  MatmulApiTiling() : chip_(*platform_ascendc::PlatformAscendCManager::GetInstance()) {}
  explicit MatmulApiTiling(const platform_ascendc::PlatformAscendC& chip) : chip_(chip) {}

  int32_t SetAType(TPosition, CubeFormat, DataType type, bool transposed = false) {
    a_bytes_ = BytesOf(type);
    static_cast<void>(transposed);
    return 0;
  }
  int32_t SetBType(TPosition, CubeFormat, DataType type, bool transposed = false) {
    b_bytes_ = BytesOf(type);
    static_cast<void>(transposed);
    return 0;
  }
  int32_t SetCType(TPosition, CubeFormat, DataType) { return 0; }
  int32_t SetBiasType(TPosition, CubeFormat, DataType) { return 0; }
  int32_t SetBias(bool bias) {
    bias_ = bias;
    return 0;
  }
  int32_t SetShape(int32_t m, int32_t n, int32_t k) {
    m_ = m;
    n_ = n;
    k_ = k;
    return m > 0 && n > 0 && k > 0 ? 0 : -1;
  }
  int32_t SetOrgShape(int32_t m, int32_t n, int32_t k) {
    org_m_ = m;
    org_n_ = n;
    org_ka_ = org_kb_ = k;
    return 0;
  }
  int32_t SetOrgShape(int32_t m, int32_t n, int32_t ka, int32_t kb) {
    SetOrgShape(m, n, ka);
    org_kb_ = kb;
    return 0;
  }
  // -1 leaves a size to GetTiling.
  int32_t SetFixSplit(int32_t base_m = -1, int32_t base_n = -1, int32_t base_k = -1) {
    base_m_ = base_m;
    base_n_ = base_n;
    base_k_ = base_k;
    return 0;
  }
  int32_t SetTraverse(MatrixTraverse traverse) {
    n_first_ = traverse == MatrixTraverse::FIRSTN;
    return 0;
  }
  // What holds for a chip, and not for the splits here.
  int32_t SetMadType(MatrixMadType) { return 0; }
  int32_t SetDoubleBuffer(bool, bool, bool, bool, bool = true, bool = true) { return 0; }
  int32_t SetDequantType(DequantType) { return 0; }
  int32_t SetMatmulConfigParams(int32_t = 1, bool = false,
                                ScheduleType = ScheduleType::INNER_PRODUCT,
                                MatrixTraverse = MatrixTraverse::NOSET, bool = false) {
    return 0;
  }
  int32_t EnableL1BankConflictOptimise() { return 0; }
  int32_t EnableBias(bool bias) { return SetBias(bias); }
  // Of the tiling that GetTiling finds; -1 before.
  int32_t GetBaseM() const { return found_m_; }
  int32_t GetBaseN() const { return found_n_; }
  int32_t GetBaseK() const { return found_k_; }
  int32_t SetBufferSpace(int32_t = -1, int32_t = -1, int32_t = -1, int32_t = -1) { return 0; }
  int32_t SetSingleShape(int32_t m, int32_t n, int32_t k) {
    single_m_ = m;
    single_n_ = n;
    single_k_ = k;
    return 0;
  }

  int64_t GetTiling(optiling::TCubeTiling& out) {
    return GetTiling(static_cast<TCubeTiling&>(out));
  }
  int64_t GetTiling(::TCubeTiling& out) {
    if (m_ <= 0 || n_ <= 0 || k_ <= 0) return -1;
    int32_t single_m = single_m_ > 0 ? single_m_ : m_;
    int32_t single_n = single_n_ > 0 ? single_n_ : n_;
    if (single_m_ <= 0 && single_n_ <= 0) Share(single_m, single_n);
    const int32_t k_block = 32 / a_bytes_;  // elements of a block
    const int32_t base_m = base_m_ > 0 ? base_m_ : Least(128, Up(single_m, 16));
    const int32_t base_n = base_n_ > 0 ? base_n_ : Least(128, Up(single_n, 16));
    uint64_t l0a = 0, l0b = 0, l0c = 0;
    chip_.GetCoreMemSize(platform_ascendc::CoreMemType::L0_A, l0a);
    chip_.GetCoreMemSize(platform_ascendc::CoreMemType::L0_B, l0b);
    chip_.GetCoreMemSize(platform_ascendc::CoreMemType::L0_C, l0c);
    // Two parts of A and of B lie in L0 at a time.
    const int32_t most_k = Least(static_cast<int32_t>(l0a) / 2 / (base_m * a_bytes_),
                                 static_cast<int32_t>(l0b) / 2 / (base_n * b_bytes_)) /
                           k_block * k_block;
    const int32_t base_k = base_k_ > 0 ? base_k_ : Least(most_k, Up(k_, k_block));
    if (base_k <= 0 || base_k > 2 * most_k ||
        static_cast<uint64_t>(base_m) * static_cast<uint64_t>(base_n) * 4 > l0c) {
      return -1;
    }
    out = ::TCubeTiling{};
    out.M = org_m_ > 0 ? org_m_ : m_;
    out.N = org_n_ > 0 ? org_n_ : n_;
    out.Ka = org_ka_ > 0 ? org_ka_ : k_;
    out.Kb = org_kb_ > 0 ? org_kb_ : k_;
    out.singleCoreM = single_m;
    out.singleCoreN = single_n;
    out.singleCoreK = single_k_ > 0 ? single_k_ : k_;
    out.baseM = found_m_ = base_m;
    out.baseN = found_n_ = base_n;
    out.baseK = found_k_ = base_k;
    out.depthA1 = out.depthB1 = 2;
    out.stepM = out.stepN = 1;
    out.isBias = bias_ ? 1 : 0;
    out.iterateOrder = n_first_ ? 1 : 0;
    out.usedCoreNum = Steps(m_, single_m) * Steps(n_, single_n);
    return 0;
  }

 protected:
  static int32_t Steps(int32_t size, int32_t part) { return (size + part - 1) / part; }
  static int32_t Up(int32_t size, int32_t unit) { return Steps(size, unit) * unit; }
  static int32_t Least(int32_t a, int32_t b) { return a < b ? a : b; }

  // Rows and columns of a core such that no core has more than it needs, in whole base blocks.
  void Share(int32_t& single_m, int32_t& single_n) const {
    const int32_t unit_m = base_m_ > 0 ? base_m_ : 16, unit_n = base_n_ > 0 ? base_n_ : 16;
    int64_t best = INT64_MAX;
    for (int32_t rows = 1; rows <= cores_; ++rows) {
      const int32_t m = Least(Up(Steps(m_, rows), unit_m), m_);
      const int32_t n = Least(Up(Steps(n_, cores_ / rows), unit_n), n_);
      const int64_t work = static_cast<int64_t>(m) * n;
      if (work < best) {
        best = work;
        single_m = m;
        single_n = n;
      }
    }
  }

  const platform_ascendc::PlatformAscendC& chip_;
  int32_t a_bytes_ = 2, b_bytes_ = 2;
  int32_t m_ = 0, n_ = 0, k_ = 0;
  int32_t org_m_ = 0, org_n_ = 0, org_ka_ = 0, org_kb_ = 0;
  int32_t single_m_ = 0, single_n_ = 0, single_k_ = 0;
  int32_t base_m_ = -1, base_n_ = -1, base_k_ = -1;
  int32_t found_m_ = -1, found_n_ = -1, found_k_ = -1;
  int32_t cores_ = 1;
  bool bias_ = false;
  bool n_first_ = false;
};

class MultiCoreMatmulTiling : public MatmulApiTiling {
 public:
  using MatmulApiTiling::MatmulApiTiling;
  int32_t SetDim(int32_t cores) {
    cores_ = cores;
    return cores > 0 ? 0 : -1;
  }
  // K is not shared among cores.
  int32_t EnableMultiCoreSplitK(bool split) { return split ? -1 : 0; }
  int32_t GetCoreNum(int32_t& cores, int32_t& rows, int32_t& columns) {
    ::TCubeTiling tiling;
    if (GetTiling(tiling) != 0) return -1;
    rows = Steps(m_, tiling.singleCoreM);
    columns = Steps(n_, tiling.singleCoreN);
    cores = rows * columns;
    return 0;
  }
  int32_t GetSingleShape(int32_t& m, int32_t& n, int32_t& k) {
    ::TCubeTiling tiling;
    if (GetTiling(tiling) != 0) return -1;
    m = tiling.singleCoreM;
    n = tiling.singleCoreN;
    k = tiling.singleCoreK;
    return 0;
  }
};

}  // namespace matmul_tiling
