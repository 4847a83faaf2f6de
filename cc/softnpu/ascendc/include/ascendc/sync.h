// cc/softnpu/ascendc/include/ascendc/sync.h: flags, barriers and indices of blocks.
#pragma once

#include "ascendc/types.h"

namespace AscendC {

template <HardEvent event>
inline void SetFlag(int32_t id, Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_FLAG, where);
  instruction.params[0] = static_cast<int64_t>(event);
  instruction.params[1] = id;
  softnpu::core::Execute(instruction);
}

template <HardEvent event>
inline void WaitFlag(int32_t id, Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_WAIT_FLAG, where);
  instruction.params[0] = static_cast<int64_t>(event);
  instruction.params[1] = id;
  softnpu::core::Execute(instruction);
}

template <pipe_t pipe>
inline void PipeBarrier(Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_PIPE_BARRIER, where);
  instruction.params[0] = pipe;
  softnpu::core::Execute(instruction);
}

inline int64_t GetBlockIdx(Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_BLOCK_INDEX, where);
  return static_cast<int64_t>(softnpu::core::Execute(instruction));
}

inline int64_t GetBlockNum(Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_BLOCK_COUNT, where);
  return static_cast<int64_t>(softnpu::core::Execute(instruction));
}

inline int64_t GetSubBlockIdx() { return 0; }
inline int64_t GetSubBlockNum() { return 1; }

}  // namespace AscendC
