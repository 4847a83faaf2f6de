// cc/softnpu/ascendc/include/ascendc/hccl.h: communication from inside kernels, by its names alone.
//
// A kernel with it compiles and runs up to the first call, which is refused by name: what else the
// kernel does can be checked, and a folder with one such kernel is built like any other.
#pragma once

#include "ascendc/system.h"
#include "ascendc/tilings.h"

namespace AscendC {

enum HcclServerType {
  HCCL_SERVER_TYPE_AICPU = 0,
  HCCL_SERVER_TYPE_CCU = 5,
  HCCL_SERVER_TYPE_END,
};
enum class HcclCMDType {
  HCCL_CMD_INVALID = 0,
  HCCL_CMD_BROADCAST,
  HCCL_CMD_ALLREDUCE,
  HCCL_CMD_REDUCE,
  HCCL_CMD_SEND,
  HCCL_CMD_RECEIVE,
  HCCL_CMD_ALLGATHER,
  HCCL_CMD_REDUCE_SCATTER,
  HCCL_CMD_ALLTOALLV,
  HCCL_CMD_ALLTOALLVC,
  HCCL_CMD_ALLTOALL,
  HCCL_CMD_GATHER,
  HCCL_CMD_SCATTER,
  HCCL_CMD_BATCH_SEND_RECV,
  HCCL_CMD_BATCH_PUT,
  HCCL_CMD_BATCH_GET,
  HCCL_CMD_ALLGATHER_V,
  HCCL_CMD_REDUCE_SCATTER_V,
  HCCL_CMD_BATCH_WRITE,
};
enum HcclReduceOp {
  HCCL_REDUCE_SUM = 0,
  HCCL_REDUCE_PROD,
  HCCL_REDUCE_MAX,
  HCCL_REDUCE_MIN,
  HCCL_REDUCE_RESERVED,
};
enum HcclDataType {
  HCCL_DATA_TYPE_INT8 = 0,
  HCCL_DATA_TYPE_INT16,
  HCCL_DATA_TYPE_INT32,
  HCCL_DATA_TYPE_FP16,
  HCCL_DATA_TYPE_FP32,
  HCCL_DATA_TYPE_INT64,
  HCCL_DATA_TYPE_UINT64,
  HCCL_DATA_TYPE_UINT8,
  HCCL_DATA_TYPE_UINT16,
  HCCL_DATA_TYPE_UINT32,
  HCCL_DATA_TYPE_FP64,
  HCCL_DATA_TYPE_BFP16,
  HCCL_DATA_TYPE_RESERVED = 255,
};
enum class ScopeType { ALL = 0, QUEUE, BLOCK };
using HcclHandle = int8_t;

constexpr uint32_t HCCL_GROUP_ID_0 = 0;
constexpr int32_t HCCL_SUCCESS = 0;
constexpr int32_t HCCL_FAILED = -1;

struct HcclServerConfig {
  int32_t type;
  int64_t blockId;
};
inline constexpr HcclServerConfig DEFAULT_CFG = {0, 0};

namespace softnpu_internal {
using GmPointer = __gm__ uint8_t*;
}  // namespace softnpu_internal

// Communication of a kernel with other devices.
template <HcclServerType serverType = HCCL_SERVER_TYPE_AICPU, const auto& config = DEFAULT_CFG>
class Hccl {
 public:
// A call: what it would give does not matter, as the kernel stops.
#define SOFTNPU_HCCL(Name, Result, ...)                                   \
  template <__VA_ARGS__ typename... Args>                                 \
  Result Name(Args&&...) const {                                          \
    softnpu_internal::Unsupported("Hccl::" #Name, Where::At(nullptr, 0)); \
    return Result();                                                      \
  }
  SOFTNPU_HCCL(Init, int32_t)
  SOFTNPU_HCCL(InitV2, int32_t)
  SOFTNPU_HCCL(SetCcTiling, int32_t)
  SOFTNPU_HCCL(SetCcTilingV2, int32_t)
  SOFTNPU_HCCL(AllReduce, HcclHandle, bool commit = false, )
  SOFTNPU_HCCL(AllGather, HcclHandle, bool commit = false, )
  SOFTNPU_HCCL(ReduceScatter, HcclHandle, bool commit = false, )
  SOFTNPU_HCCL(AlltoAll, HcclHandle, bool commit = false, )
  SOFTNPU_HCCL(AlltoAllV, HcclHandle, bool commit = false, )
  SOFTNPU_HCCL(AlltoAllvWrite, HcclHandle, bool commit = false, )
  SOFTNPU_HCCL(BatchWrite, HcclHandle, bool commit = false, )
  SOFTNPU_HCCL(Commit, void)
  SOFTNPU_HCCL(Wait, int32_t)
  SOFTNPU_HCCL(Query, int32_t)
  SOFTNPU_HCCL(Iterate, int32_t, bool sync = true, )
  SOFTNPU_HCCL(InterHcclGroupSync, void)
  SOFTNPU_HCCL(QueueBarrier, void, ScopeType type = ScopeType::ALL, )
  SOFTNPU_HCCL(Finalize, void, bool sync = true, )
  SOFTNPU_HCCL(GetWindowsInAddr, softnpu_internal::GmPointer)
  SOFTNPU_HCCL(GetWindowsOutAddr, softnpu_internal::GmPointer)
  SOFTNPU_HCCL(GetRankId, uint32_t)
  SOFTNPU_HCCL(GetRankDim, uint32_t)
  SOFTNPU_HCCL(SetReduceDataTypeAbility, bool)
#undef SOFTNPU_HCCL
};

template <uint32_t index>
inline __gm__ uint8_t* GetHcclContext() {
  softnpu_internal::Unsupported("GetHcclContext", Where::At(nullptr, 0));
  return nullptr;
}
template <uint32_t index>
inline void SetHcclContext(__gm__ uint8_t*) {
  softnpu_internal::Unsupported("SetHcclContext", Where::At(nullptr, 0));
}

}  // namespace AscendC

using AscendC::HcclHandle;
using AscendC::Mc2CcTiling;
using AscendC::Mc2InitTiling;
