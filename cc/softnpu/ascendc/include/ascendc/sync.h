// cc/softnpu/ascendc/include/ascendc/sync.h: flags, barriers and order between cores.
#pragma once

#include "ascendc/tensor.h"

namespace softnpu::core {

// The event of two pipes; 255 when there is none.
constexpr uint8_t EventOf(pipe_t source, pipe_t destination) {
  constexpr pipe_t kSource[] = {PIPE_MTE2, PIPE_MTE1, PIPE_MTE1, PIPE_M,    PIPE_MTE2, PIPE_V,
                                PIPE_MTE3, PIPE_V,    PIPE_M,    PIPE_V,    PIPE_V,    PIPE_MTE3,
                                PIPE_MTE1, PIPE_MTE1, PIPE_MTE2, PIPE_M,    PIPE_V,    PIPE_M,
                                PIPE_FIX,  PIPE_MTE3, PIPE_MTE2, PIPE_S,    PIPE_V,    PIPE_S,
                                PIPE_MTE2, PIPE_S,    PIPE_MTE3, PIPE_MTE2, PIPE_FIX,  PIPE_FIX,
                                PIPE_M,    PIPE_FIX,  PIPE_MTE1, PIPE_FIX,  PIPE_FIX};
  constexpr pipe_t kDestination[] = {
      PIPE_MTE1, PIPE_MTE2, PIPE_M,    PIPE_MTE1, PIPE_V,    PIPE_MTE2, PIPE_V,
      PIPE_MTE3, PIPE_V,    PIPE_M,    PIPE_V,    PIPE_MTE1, PIPE_MTE3, PIPE_V,
      PIPE_M,    PIPE_MTE2, PIPE_MTE1, PIPE_FIX,  PIPE_M,    PIPE_MTE2, PIPE_MTE3,
      PIPE_V,    PIPE_S,    PIPE_MTE2, PIPE_S,    PIPE_MTE3, PIPE_S,    PIPE_FIX,
      PIPE_MTE2, PIPE_S,    PIPE_S,    PIPE_MTE3, PIPE_FIX,  PIPE_MTE1, PIPE_FIX};
  for (uint8_t event = 0; event < 35; ++event) {
    if (kSource[event] == source && kDestination[event] == destination) return event;
  }
  return 255;
}

}  // namespace softnpu::core

namespace AscendC {

enum class MemDsbT : uint8_t { ALL, DDR, UB, SEQ };
enum class CacheLine : uint8_t { SINGLE_CACHE_LINE, ENTIRE_DATA_CACHE };
enum class DcciDst : uint8_t { CACHELINE_ALL, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC };

namespace softnpu_internal {

inline void Sync(SoftnpuOpcode opcode, const Where& where, int64_t first, int64_t second = 0,
                 int64_t third = 0) {
  SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
  instruction.params[0] = first;
  instruction.params[1] = second;
  instruction.params[2] = third;
  softnpu::core::Execute(instruction);
}

inline void SyncOn(SoftnpuOpcode opcode, const Where& where, const SoftnpuTensor& global,
                   const SoftnpuTensor& local, int64_t first, int64_t second) {
  softnpu::core::Note<SOFTNPU_TWIN_CROSS_CORE>();
  SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
  instruction.operand_count = 2;
  instruction.operand[0] = global;
  instruction.operand[1] = local;
  instruction.params[0] = first;
  instruction.params[1] = second;
  softnpu::core::Execute(instruction);
}

inline void CleanCache(const SoftnpuTensor& tensor, uint64_t line, uint64_t destination,
                       const Where& where) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_CACHE_CLEAN, where);
  instruction.operand_count = 1;
  instruction.operand[0] = tensor;
  instruction.params[0] = static_cast<int64_t>(line);
  instruction.params[1] = static_cast<int64_t>(destination);
  softnpu::core::Execute(instruction);
}

}  // namespace softnpu_internal

// The flag (event, id) is set when all earlier instructions of the event's first pipe have ended.
template <HardEvent event>
inline void SetFlag(int32_t id, Where where = Where::Here()) {
  softnpu_internal::Sync(SOFTNPU_OP_SET_FLAG, where, static_cast<int64_t>(event), id);
}

// The event's second pipe waits for the flag and clears it.
template <HardEvent event>
inline void WaitFlag(int32_t id, Where where = Where::Here()) {
  softnpu_internal::Sync(SOFTNPU_OP_WAIT_FLAG, where, static_cast<int64_t>(event), id);
}

template <pipe_t pipe>
inline void PipeBarrier(Where where = Where::Here()) {
  softnpu_internal::Sync(SOFTNPU_OP_PIPE_BARRIER, where, pipe);
}

// modeId 0: all cores of a kind; 1: the two vector cores of a block; 2: a block's cube core and
// its vector cores. Flags count to 15.
template <uint8_t modeId, pipe_t pipe>
inline void CrossCoreSetFlag(uint16_t flagId, Where where = Where::Here()) {
  softnpu::core::Note<SOFTNPU_TWIN_CROSS_CORE>();
  softnpu_internal::Sync(SOFTNPU_OP_CROSS_SET, where, modeId, pipe, flagId);
}
template <uint8_t modeId = 0, pipe_t pipe = PIPE_S>
inline void CrossCoreWaitFlag(uint16_t flagId, Where where = Where::Here()) {
  softnpu::core::Note<SOFTNPU_TWIN_CROSS_CORE>();
  softnpu_internal::Sync(SOFTNPU_OP_CROSS_WAIT, where, modeId, pipe, flagId);
}

// CrossCoreWaitFlag under its older name.
inline void WaitEvent(uint16_t flagId, Where where = Where::Here()) {
  CrossCoreWaitFlag(flagId, where);
}

// Waits for all vector cores, or for all cores of the kernel.
template <bool isAIVOnly = true>
inline void SyncAll(Where where = Where::Here()) {
  softnpu::core::Note<SOFTNPU_TWIN_CROSS_CORE>();
  softnpu_internal::Sync(SOFTNPU_OP_SYNC_ALL, where, isAIVOnly, 0);
}
// The same in software: a zeroed workspace of 32 bytes per block in GM and in the UB.
template <bool isAIVOnly = true>
inline void SyncAll(const GlobalTensor<int32_t>& gmWorkspace,
                    const LocalTensor<int32_t>& ubWorkspace, const int32_t usedCores = 0,
                    Where where = Where::Here()) {
  softnpu_internal::SyncOn(SOFTNPU_OP_SYNC_ALL, where, gmWorkspace.raw_, ubWorkspace.raw_,
                           isAIVOnly, usedCores);
}

// A flag for a block in GM; IBWait waits for it and clears it.
template <bool isAIVOnly = true>
inline void IBSet(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>& ubWorkspace,
                  int32_t blockIdx, int32_t eventID, Where where = Where::Here()) {
  softnpu_internal::SyncOn(SOFTNPU_OP_IB_SET, where, gmWorkspace.raw_, ubWorkspace.raw_, blockIdx,
                           eventID);
}
template <bool isAIVOnly = true>
inline void IBWait(const GlobalTensor<int32_t>& gmWorkspace,
                   const LocalTensor<int32_t>& ubWorkspace, int32_t blockIdx, int32_t eventID,
                   Where where = Where::Here()) {
  softnpu_internal::SyncOn(SOFTNPU_OP_IB_WAIT, where, gmWorkspace.raw_, ubWorkspace.raw_, blockIdx,
                           eventID);
}

// Blocks in the order of their indices: WaitPreBlock waits until the block before has called
// NotifyNextBlock as often; block 0 waits for the last block's round before.
inline void InitDetermineComputeWorkspace(const GlobalTensor<int32_t>& gmWorkspace,
                                          const LocalTensor<int32_t>& ubWorkspace,
                                          Where where = Where::Here()) {
  softnpu_internal::SyncOn(SOFTNPU_OP_DETERMINE_INIT, where, gmWorkspace.raw_, ubWorkspace.raw_, 0,
                           0);
}
inline void WaitPreBlock(const GlobalTensor<int32_t>& gmWorkspace,
                         const LocalTensor<int32_t>& ubWorkspace, Where where = Where::Here()) {
  softnpu_internal::SyncOn(SOFTNPU_OP_WAIT_PRE_BLOCK, where, gmWorkspace.raw_, ubWorkspace.raw_, 0,
                           0);
}
inline void NotifyNextBlock(const GlobalTensor<int32_t>& gmWorkspace,
                            const LocalTensor<int32_t>& ubWorkspace, Where where = Where::Here()) {
  softnpu_internal::SyncOn(SOFTNPU_OP_NOTIFY_NEXT_BLOCK, where, gmWorkspace.raw_, ubWorkspace.raw_,
                           0, 0);
}

// Flags of two pipes by their names.
template <pipe_t src, pipe_t dst>
class TQueSync {
 public:
  void SetFlag(TEventID id, Where where = Where::Here()) {
    softnpu_internal::Sync(SOFTNPU_OP_SET_FLAG, where, softnpu::core::EventOf(src, dst), id);
  }
  void WaitFlag(TEventID id, Where where = Where::Here()) {
    softnpu_internal::Sync(SOFTNPU_OP_WAIT_FLAG, where, softnpu::core::EventOf(src, dst), id);
  }
};

// Of two launches that follow each other on a chip; here a launch has ended before the next begins.
template <pipe_t pipe = PIPE_ALL>
inline void SetNextTaskStart() {}
inline void WaitPreTaskEnd() {}

// The scalar unit's data cache holds lines of 64 bytes of GM, which neither the DMA engines nor
// other cores see: written back and forgotten here.
template <typename T, CacheLine line, DcciDst destination = DcciDst::CACHELINE_OUT>
inline void DataCacheCleanAndInvalid(const GlobalTensor<T>& tensor, Where where = Where::Here()) {
  softnpu_internal::CleanCache(tensor.raw_, static_cast<uint64_t>(line),
                               static_cast<uint64_t>(destination), where);
}

// The scalar unit waits until its earlier accesses have ended.
template <MemDsbT kind>
inline void DataSyncBarrier(Where where = Where::Here()) {
  softnpu_internal::Sync(SOFTNPU_OP_DATA_SYNC_BARRIER, where, static_cast<int64_t>(kind));
}

}  // namespace AscendC

template <typename T>
inline void dcci(__gm__ T* address, uint64_t entire, uint64_t destination = 0,
                 AscendC::Where where = AscendC::Where::Here()) {
  AscendC::GlobalTensor<uint8_t> tensor;
  tensor.SetGlobalBuffer(reinterpret_cast<uint8_t*>(address));
  AscendC::softnpu_internal::CleanCache(tensor.raw_, entire, destination, where);
}

inline void pipe_barrier(pipe_t pipe, AscendC::Where where = AscendC::Where::Here()) {
  AscendC::softnpu_internal::Sync(SOFTNPU_OP_PIPE_BARRIER, where, pipe);
}

inline void set_flag(pipe_t source, pipe_t destination, event_t id,
                     AscendC::Where where = AscendC::Where::Here()) {
  AscendC::softnpu_internal::Sync(SOFTNPU_OP_SET_FLAG, where,
                                  softnpu::core::EventOf(source, destination), id);
}
inline void wait_flag(pipe_t source, pipe_t destination, event_t id,
                      AscendC::Where where = AscendC::Where::Here()) {
  AscendC::softnpu_internal::Sync(SOFTNPU_OP_WAIT_FLAG, where,
                                  softnpu::core::EventOf(source, destination), id);
}
