// cc/softnpu/ascendc/include/lib/matmul_config.h: configurations of the high-level product.
//
// But for isBiasBatch and the constants of a static tiling they change speed and no result.
#pragma once

#include "ascendc/tilings.h"
#include "kernel_operator.h"

enum class CubeFormat : uint8_t { ND = 0, NZ, ZN, ZZ, NN, ND_ALIGN, SCALAR, VECTOR };
enum class LayoutMode : uint8_t { NONE = 0, BSNGD = 1, SBNGD = 2, BNGS1S2 = 3, NORMAL = 4 };

enum class BatchMode : uint8_t {
  NONE,
  BATCH_LESS_THAN_L1,
  BATCH_LARGE_THAN_L1,
  SINGLE_LARGE_THAN_L1
};
enum class IterateOrder : uint8_t { ORDER_M, ORDER_N, UNDEF };
enum class ScheduleType : uint8_t { INNER_PRODUCT, OUTER_PRODUCT, N_BUFFER_33 };
enum class IterateMode : uint8_t {
  ITERATE_MODE_NORMAL = 0b00000001,
  ITERATE_MODE_ALL = 0b00000010,
  ITERATE_MODE_BATCH = 0b00000100,
  ITERATE_MODE_N_BATCH = 0b00001000,
  ITERATE_MODE_DEFAULT = 0b11111111,
};
enum class MatmulConfigMode : uint8_t {
  CONFIG_NORM,
  CONFIG_MDL,
  CONFIG_SPECIALMDL,
  CONFIG_IBSHARE
};

// The order of the fields is that of CANN's documentation, as kernels initialise by place.
struct MatmulConfig {
  bool doNorm = false;
  bool doBasicBlock = false;
  bool doMultiDataLoad = false;
  uint32_t basicM = 0;
  uint32_t basicN = 0;
  uint32_t basicK = 0;
  bool intrinsicsCheck = false;
  bool isNBatch = false;
  bool enVecND2NZ = false;
  bool doSpecialBasicBlock = false;
  uint32_t doMTE2Preload = 0;
  uint32_t singleCoreM = 0;
  uint32_t singleCoreN = 0;
  uint32_t singleCoreK = 0;
  uint32_t stepM = 0;
  uint32_t stepN = 0;
  uint32_t baseMN = 0;
  uint32_t singleCoreMN = 0;
  bool enUnitFlag = true;
  bool isPerTensor = false;
  bool hasAntiQuantOffset = false;
  bool doIBShareNorm = false;
  bool doSpecialMDL = false;
  bool enableInit = true;
  BatchMode batchMode = BatchMode::NONE;
  bool enableEnd = true;
  bool enableGetTensorC = true;
  bool enableSetOrgShape = true;
  bool enableSetBias = true;
  bool enableSetTail = true;
  bool enableQuantVector = true;
  bool enableSetDefineData = true;
  IterateMode iterateMode = IterateMode::ITERATE_MODE_DEFAULT;
  bool enableReuse = true;
  bool enableUBReuse = true;
  bool enableL1CacheUB = false;
  bool intraBlockPartSum = false;
  IterateOrder iterateOrder = IterateOrder::UNDEF;
  ScheduleType scheduleType = ScheduleType::INNER_PRODUCT;
  bool enableDoubleCache = false;
  bool isBiasBatch = true;
  bool enableStaticPadZeros = false;
  bool isPartialOutput = false;
  bool enableMixDualMaster = false;
  bool isA2B2Shared = false;
  bool isEnableChannelSplit = false;
  bool enableKdimReorderLoad = false;
  bool isCO1Shared = false;
  uint32_t sharedCO1BufferSize = 0;
  bool isA_B_Transposed = false;
};

// Sizes that are known when the kernel is compiled; -1: those of the tiling.
struct MatmulApiStaticTiling {
  int32_t usedCoreNum = -1;
  int32_t M = -1;
  int32_t N = -1;
  int32_t Ka = -1;
  int32_t Kb = -1;
  int32_t singleCoreM = -1;
  int32_t singleCoreN = -1;
  int32_t singleCoreK = -1;
  int32_t baseM = -1;
  int32_t baseN = -1;
  int32_t baseK = -1;
  int32_t depthA1 = -1;
  int32_t depthB1 = -1;
  int32_t stepM = -1;
  int32_t stepN = -1;
  int32_t stepKa = -1;
  int32_t stepKb = -1;
  int32_t isBias = -1;
  int32_t transLength = -1;
  int32_t iterateOrder = -1;
  int32_t dbL0A = -1;
  int32_t dbL0B = -1;
  int32_t dbL0C = -1;
  int32_t shareMode = -1;
  int32_t shareL1Size = -1;
  int32_t shareL0CSize = -1;
  int32_t shareUbSize = -1;
  int32_t batchM = -1;
  int32_t batchN = -1;
  int32_t singleBatchM = -1;
  int32_t singleBatchN = -1;
  MatmulConfig cfg{true};
};

struct MatmulShapeParams {
  uint32_t singleCoreM = 0;
  uint32_t singleCoreN = 0;
  uint32_t singleCoreK = 0;
  uint32_t basicM = 0;
  uint32_t basicN = 0;
  uint32_t basicK = 0;
};
struct MatmulQuantParams {
  bool isPerTensor = false;
  bool hasAntiQuantOffset = false;
};
struct MatmulBatchParams {
  bool isNBatch = false;
  BatchMode batchMode = BatchMode::BATCH_LESS_THAN_L1;
  bool isBiasBatch = true;
};
struct MatmulFuncParams {
  bool intrinsicsLimit = false;
  bool enVecND2NZ = false;
  bool enableDoubleCache = false;
  bool enableL1CacheUB = false;
  uint32_t doMTE2Preload = 0;
  IterateOrder iterateOrder = IterateOrder::UNDEF;
  ScheduleType scheduleType = ScheduleType::INNER_PRODUCT;
  bool enableReuse = true;
  bool enableUBReuse = true;
  bool isPartialOutput = false;
  bool isA2B2Shared = false;
  bool isEnableChannelSplit = false;
  bool enableKdimReorderLoad = false;
};

namespace AscendC {

using ::BatchMode;
using ::CubeFormat;
using ::IterateMode;
using ::IterateOrder;
using ::LayoutMode;
using ::MatmulApiStaticTiling;
using ::MatmulBatchParams;
using ::MatmulConfig;
using ::MatmulConfigMode;
using ::MatmulFuncParams;
using ::MatmulQuantParams;
using ::MatmulShapeParams;
using ::ScheduleType;

constexpr MatmulConfig CFG_NORM{true};
constexpr MatmulConfig CFG_MDL{false, false, true};
constexpr MatmulConfig MM_CFG_BB{false, true, false};
// The parameters are limits and modes of the pipes.
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
  MatmulConfig config;
  config.doMultiDataLoad = config.doSpecialMDL = true;
  return config;
}
template <typename... Modes>
constexpr MatmulConfig GetIBShareNormConfig(Modes...) {
  MatmulConfig config = CFG_NORM;
  config.doIBShareNorm = true;
  return config;
}
constexpr MatmulConfig GetBasicConfig(uint32_t basicM = 0, uint32_t basicN = 0,
                                      uint32_t basicK = 0) {
  MatmulConfig config = MM_CFG_BB;
  config.basicM = basicM;
  config.basicN = basicN;
  config.basicK = basicK;
  return config;
}
template <typename... Modes>
constexpr MatmulConfig GetSpecialBasicConfig(Modes...) {
  MatmulConfig config = MM_CFG_BB;
  config.doSpecialBasicBlock = true;
  return config;
}
constexpr MatmulConfig CFG_IBSHARE_NORM = GetIBShareNormConfig();
constexpr MatmulConfig CFG_SPECIAL_MDL = GetSpecialMDLConfig();

namespace softnpu_internal {

constexpr void Apply(MatmulConfig& config, const MatmulShapeParams& shape) {
  config.singleCoreM = shape.singleCoreM;
  config.singleCoreN = shape.singleCoreN;
  config.singleCoreK = shape.singleCoreK;
  config.basicM = shape.basicM;
  config.basicN = shape.basicN;
  config.basicK = shape.basicK;
}
constexpr void Apply(MatmulConfig& config, const MatmulQuantParams& quant) {
  config.isPerTensor = quant.isPerTensor;
  config.hasAntiQuantOffset = quant.hasAntiQuantOffset;
}
constexpr void Apply(MatmulConfig& config, const MatmulBatchParams& batch) {
  config.isNBatch = batch.isNBatch;
  config.batchMode = batch.batchMode;
  config.isBiasBatch = batch.isBiasBatch;
}
template <typename Other>
constexpr void Apply(MatmulConfig&, const Other&) {}

// How C gets its type: as the product's, with one scale, with one per column.
constexpr int64_t kNoScale = 0, kOneScale = 1, kScalePerColumn = 2;

constexpr MatmulConfig ConfigOf(const MatmulConfig& config) { return config; }
constexpr MatmulConfig ConfigOf(const MatmulApiStaticTiling& tiling) { return tiling.cfg; }

// What a configuration says of sizes stands for what the tiling says.
constexpr void Constants(const MatmulConfig& config, ::TCubeTiling& tiling) {
  const auto take = [](uint32_t from, int32_t& to) {
    if (from != 0) to = static_cast<int32_t>(from);
  };
  take(config.basicM, tiling.baseM);
  take(config.basicN, tiling.baseN);
  take(config.basicK, tiling.baseK);
  take(config.singleCoreM, tiling.singleCoreM);
  take(config.singleCoreN, tiling.singleCoreN);
  take(config.singleCoreK, tiling.singleCoreK);
}
constexpr void Constants(const MatmulApiStaticTiling& from, ::TCubeTiling& tiling) {
  const auto take = [](int32_t constant, int32_t& to) {
    if (constant >= 0) to = constant;
  };
  take(from.M, tiling.M);
  take(from.N, tiling.N);
  take(from.Ka, tiling.Ka);
  take(from.Kb, tiling.Kb);
  take(from.singleCoreM, tiling.singleCoreM);
  take(from.singleCoreN, tiling.singleCoreN);
  take(from.singleCoreK, tiling.singleCoreK);
  take(from.baseM, tiling.baseM);
  take(from.baseN, tiling.baseN);
  take(from.baseK, tiling.baseK);
  take(from.isBias, tiling.isBias);
  take(from.iterateOrder, tiling.iterateOrder);
}

}  // namespace softnpu_internal

template <MatmulConfigMode mode, typename... Params>
constexpr MatmulConfig GetMMConfig(Params&&... params) {
  MatmulConfig config = mode == MatmulConfigMode::CONFIG_NORM         ? CFG_NORM
                        : mode == MatmulConfigMode::CONFIG_MDL        ? CFG_MDL
                        : mode == MatmulConfigMode::CONFIG_SPECIALMDL ? CFG_SPECIAL_MDL
                                                                      : CFG_IBSHARE_NORM;
  (softnpu_internal::Apply(config, params), ...);
  return config;
}

// The constants of a configuration as a tiling.
template <class A, class B, class C, class Bias>
constexpr MatmulApiStaticTiling GetMatmulApiTiling(const MatmulConfig& mmCFG,
                                                   int32_t l1Size = 524288) {
  static_cast<void>(l1Size);
  MatmulApiStaticTiling tiling;
  tiling.cfg = mmCFG;
  const auto take = [](uint32_t from, int32_t& to) {
    if (from != 0) to = static_cast<int32_t>(from);
  };
  take(mmCFG.basicM, tiling.baseM);
  take(mmCFG.basicN, tiling.baseN);
  take(mmCFG.basicK, tiling.baseK);
  take(mmCFG.singleCoreM, tiling.singleCoreM);
  take(mmCFG.singleCoreN, tiling.singleCoreN);
  take(mmCFG.singleCoreK, tiling.singleCoreK);
  return tiling;
}

}  // namespace AscendC
