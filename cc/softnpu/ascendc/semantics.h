// cc/softnpu/ascendc/semantics.h: what each instruction does: a function per operation.
//
// A function gets a context with the units of its core and one record (instruction.h); it throws
// KernelError. The file that defines it documents its operands and params.
#pragma once

#include <cstdint>

#include "cc/softnpu/ascendc/context.h"
#include "cc/softnpu/ascendc/instruction.h"

namespace softnpu::ascendc {

using Semantics = void(Context& ctx, SoftnpuInstruction& in);

struct Operation {
  Semantics* run = nullptr;  // null: there is no such operation
  bool vector = false;       // of the vector unit: its operands lie in the UB
  int16_t arch = 0;          // the NPU architecture that alone has it; 0: all have it
};
// Null `run` for numbers that SoftnpuOpcode does not have, and for SOFTNPU_OP_NONE.
const Operation& OperationOf(uint32_t opcode);

// Carries out the site's instruction: finds its operation, checks that the chip has it, runs it.
void Execute(Context& ctx, SoftnpuInstruction& in);

namespace semantics {

// system.cc
Semantics BlockIndex, BlockCount, SubBlockIndex, SubBlockCount, CoreType, TilingKey, SystemCycle;
Semantics TaskType, TilingCopy, Print, Dump, Assert, Unsized, UserWorkspace, SystemWorkspace;
Semantics PipeBarrier, DataSyncBarrier, CacheClean, OrderCores;
// copy.cc
Semantics ScalarLoad, ScalarStore, RawAccess, DataCopy, DataCopyBlocks, DataCopyPad, SetPadValue;
// copy_layout.cc
Semantics CopyNd2Nz, CopyNz2Nd, SetAtomic, InitOutput;
// vector_form.cc
Semantics SetMask;
// vector_arith.cc
Semantics Elementwise;
// vector_cast.cc
Semantics Cast, CastDequant, SetDeqScale, SetSaturation;
// vector_compare.cc
Semantics Compare, Select, MoveCmpMask;
// vector_fill.cc
Semantics Fill, Brcb, VectorCopy;
// vector_gather.cc
Semantics Gather, Gatherb, GatherMask;
// vector_transpose.cc
Semantics Transpose, TransDataTo5HD;
// vector_reduce.cc
Semantics Reduce, ReduceAll, GetReduced;
// vector_sort.cc
Semantics Sort32, MrgSort, GetMrgSortResult, Proposals;
// vector_advanced.cc
Semantics Advanced;
// cube.cc
Semantics LoadData2D, LoadTransposed, LoadData3D, InitConst, Mmad;
Semantics Fixpipe, CopyL0c, SetNz2Nd, SetPreQuant, SetFixpipeScales, Matmul, SetLoad3D;

}  // namespace semantics
}  // namespace softnpu::ascendc
