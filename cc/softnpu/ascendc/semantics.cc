// cc/softnpu/ascendc/semantics.cc: the table from operations to their functions.
#include "cc/softnpu/ascendc/semantics.h"

#include <array>

#include "cc/softnpu/ascendc/names.h"

namespace softnpu::ascendc {
namespace {

using namespace semantics;  // NOLINT: the table names all of them

// Functions that one unit does alone.
template <auto Method>
void OfFrame(Context& ctx, SoftnpuInstruction& in) {
  (ctx.frame.*Method)(in);
}
template <auto Method>
void OfFlags(Context& ctx, SoftnpuInstruction& in) {
  (ctx.flags.*Method)(in);
}

struct Entry {
  uint32_t opcode;
  Semantics* run;
  int16_t arch = 0;
};

constexpr Entry kCoreEntries[] = {
    // Queries, and help for debugging.
    {SOFTNPU_OP_BLOCK_INDEX, BlockIndex},
    {SOFTNPU_OP_BLOCK_COUNT, BlockCount},
    {SOFTNPU_OP_SUB_BLOCK_INDEX, SubBlockIndex},
    {SOFTNPU_OP_SUB_BLOCK_COUNT, SubBlockCount},
    {SOFTNPU_OP_TASK_RATIO, SubBlockCount},
    {SOFTNPU_OP_CORE_TYPE, CoreType},
    {SOFTNPU_OP_TILING_KEY, TilingKey},
    {SOFTNPU_OP_SYSTEM_CYCLE, SystemCycle},
    {SOFTNPU_OP_TASK_TYPE, TaskType},
    {SOFTNPU_OP_TILING_COPY, TilingCopy},
    {SOFTNPU_OP_PRINT, Print},
    {SOFTNPU_OP_DUMP, Dump},
    {SOFTNPU_OP_ASSERT, Assert},
    {SOFTNPU_OP_TRAP, Assert},
    {SOFTNPU_OP_UNSIZED, Unsized},
    {SOFTNPU_OP_USER_WORKSPACE, UserWorkspace},
    {SOFTNPU_OP_SYSTEM_WORKSPACE, SystemWorkspace},
    {SOFTNPU_OP_RAW_LOAD, RawAccess},
    {SOFTNPU_OP_RAW_STORE, RawAccess},
    // TPipe, TQue, TBuf.
    {SOFTNPU_OP_PIPE_CREATE, OfFrame<&Frame::CreatePipe>},
    {SOFTNPU_OP_PIPE_DESTROY, [](Context& ctx, SoftnpuInstruction&) { ctx.frame.DestroyPipe(); }},
    {SOFTNPU_OP_PIPE_CURRENT,
     [](Context& ctx, SoftnpuInstruction& in) { in.result = ctx.frame.pipe_object(); }},
    {SOFTNPU_OP_PIPE_RESET, OfFrame<&Frame::ResetPool>},
    {SOFTNPU_OP_INIT_QUEUE, OfFrame<&Frame::InitQueue>},
    {SOFTNPU_OP_INIT_BUFFER, OfFrame<&Frame::InitBuffer>},
    {SOFTNPU_OP_INIT_POOL, OfFrame<&Frame::InitPool>},
    {SOFTNPU_OP_POOL_BUFFER, OfFrame<&Frame::ChoosePool>},
    {SOFTNPU_OP_ALLOC, OfFrame<&Frame::Alloc>},
    {SOFTNPU_OP_ENQUEUE, OfFrame<&Frame::EnQue>},
    {SOFTNPU_OP_DEQUEUE, OfFrame<&Frame::DeQue>},
    {SOFTNPU_OP_FREE, OfFrame<&Frame::Free>},
    {SOFTNPU_OP_QUEUE_SIZE, OfFrame<&Frame::CountWaiting>},
    {SOFTNPU_OP_QUEUE_IDLE, OfFrame<&Frame::CountFree>},
    // Order.
    {SOFTNPU_OP_EVENT_ALLOC, OfFlags<&EventFlags::AllocId>},
    {SOFTNPU_OP_EVENT_RELEASE, OfFlags<&EventFlags::ReleaseId>},
    {SOFTNPU_OP_EVENT_FETCH, OfFlags<&EventFlags::FetchId>},
    {SOFTNPU_OP_SET_FLAG, OfFlags<&EventFlags::Set>},
    {SOFTNPU_OP_WAIT_FLAG, OfFlags<&EventFlags::Wait>},
    {SOFTNPU_OP_PIPE_BARRIER, PipeBarrier},
    {SOFTNPU_OP_DATA_SYNC_BARRIER, DataSyncBarrier},
    {SOFTNPU_OP_CACHE_CLEAN, CacheClean},
    {SOFTNPU_OP_CROSS_SET, OrderCores},
    {SOFTNPU_OP_CROSS_WAIT, OrderCores},
    {SOFTNPU_OP_SYNC_ALL, OrderCores},
    {SOFTNPU_OP_IB_SET, OrderCores},
    {SOFTNPU_OP_IB_WAIT, OrderCores},
    {SOFTNPU_OP_DETERMINE_INIT, OrderCores},
    {SOFTNPU_OP_WAIT_PRE_BLOCK, OrderCores},
    {SOFTNPU_OP_NOTIFY_NEXT_BLOCK, OrderCores},
    // The scalar unit and the DMA engines.
    {SOFTNPU_OP_SCALAR_LOAD, ScalarLoad},
    {SOFTNPU_OP_SCALAR_STORE, ScalarStore},
    {SOFTNPU_OP_DATA_COPY, DataCopy},
    {SOFTNPU_OP_DATA_COPY_BLOCKS, DataCopyBlocks},
    {SOFTNPU_OP_DATA_COPY_PAD, DataCopyPad},
    {SOFTNPU_OP_DATA_COPY_ND2NZ, CopyNd2Nz},
    {SOFTNPU_OP_DATA_COPY_NZ2ND, CopyNz2Nd},
    {SOFTNPU_OP_SET_ATOMIC_ADD, SetAtomic},
    {SOFTNPU_OP_SET_ATOMIC_MAX, SetAtomic},
    {SOFTNPU_OP_SET_ATOMIC_MIN, SetAtomic},
    {SOFTNPU_OP_SET_ATOMIC_TYPE, SetAtomic},
    {SOFTNPU_OP_SET_ATOMIC_NONE, SetAtomic},
    {SOFTNPU_OP_DISABLE_DMA_ATOMIC, SetAtomic},
    {SOFTNPU_OP_SET_PAD_VALUE, SetPadValue},
    {SOFTNPU_OP_INIT_OUTPUT, InitOutput},
    // The cube unit and what feeds it.
    {SOFTNPU_OP_LOAD_2D, LoadData2D},
    {SOFTNPU_OP_LOAD_TRANSPOSE, LoadTransposed},
    {SOFTNPU_OP_LOAD_3D, LoadData3D},
    {SOFTNPU_OP_INIT_CONST, InitConst},
    {SOFTNPU_OP_MMAD, Mmad},
    {SOFTNPU_OP_FIXPIPE, Fixpipe},
    {SOFTNPU_OP_MATMUL, Matmul},
    {SOFTNPU_OP_COPY_L0C, CopyL0c},
    {SOFTNPU_OP_SET_NZ2ND, SetNz2Nd},
    {SOFTNPU_OP_SET_PRE_QUANT, SetPreQuant},
    {SOFTNPU_OP_SET_FIXPIPE_SCALES, SetFixpipeScales},
    {SOFTNPU_OP_SET_FMATRIX, SetLoad3D},
    {SOFTNPU_OP_SET_LOAD_PADDING, SetLoad3D},
    {SOFTNPU_OP_SET_LOAD_REPEAT, SetLoad3D},
    {SOFTNPU_OP_SET_LOAD_BOUNDARY, SetLoad3D},
};

constexpr Entry kVectorEntries[] = {
    {SOFTNPU_OP_ADD, Elementwise},
    {SOFTNPU_OP_SUB, Elementwise},
    {SOFTNPU_OP_MUL, Elementwise},
    {SOFTNPU_OP_DIV, Elementwise},
    {SOFTNPU_OP_MAX, Elementwise},
    {SOFTNPU_OP_MIN, Elementwise},
    {SOFTNPU_OP_ADDS, Elementwise},
    {SOFTNPU_OP_MULS, Elementwise},
    {SOFTNPU_OP_MAXS, Elementwise},
    {SOFTNPU_OP_MINS, Elementwise},
    {SOFTNPU_OP_SHIFT_LEFT, Elementwise},
    {SOFTNPU_OP_SHIFT_RIGHT, Elementwise},
    {SOFTNPU_OP_AND, Elementwise},
    {SOFTNPU_OP_OR, Elementwise},
    {SOFTNPU_OP_NOT, Elementwise},
    {SOFTNPU_OP_ADD_RELU, Elementwise},
    {SOFTNPU_OP_SUB_RELU, Elementwise},
    {SOFTNPU_OP_MUL_ADD_DST, Elementwise},
    {SOFTNPU_OP_FUSED_MUL_ADD, Elementwise},
    {SOFTNPU_OP_FUSED_MUL_ADD_RELU, Elementwise},
    {SOFTNPU_OP_MUL_CAST, Elementwise},
    {SOFTNPU_OP_ADD_RELU_CAST, Elementwise},
    {SOFTNPU_OP_SUB_RELU_CAST, Elementwise},
    {SOFTNPU_OP_ADD_DEQ_RELU, Elementwise},
    {SOFTNPU_OP_LEAKY_RELU, Elementwise},
    {SOFTNPU_OP_AXPY, Elementwise},
    {SOFTNPU_OP_EXP, Elementwise},
    {SOFTNPU_OP_LN, Elementwise},
    {SOFTNPU_OP_ABS, Elementwise},
    {SOFTNPU_OP_RECIPROCAL, Elementwise},
    {SOFTNPU_OP_SQRT, Elementwise},
    {SOFTNPU_OP_RSQRT, Elementwise},
    {SOFTNPU_OP_RELU, Elementwise},
    {SOFTNPU_OP_DUPLICATE, Fill},
    {SOFTNPU_OP_CREATE_VEC_INDEX, Fill},
    {SOFTNPU_OP_ARITH_PROGRESSION, Fill},
    {SOFTNPU_OP_BRCB, Brcb},
    {SOFTNPU_OP_COPY, VectorCopy},
    {SOFTNPU_OP_CAST, Cast},
    {SOFTNPU_OP_CAST_DEQUANT, CastDequant},
    {SOFTNPU_OP_SET_DEQ_SCALE, SetDeqScale},
    {SOFTNPU_OP_SET_SATURATION, SetSaturation},
    {SOFTNPU_OP_SET_VECTOR_MASK, SetMask},
    {SOFTNPU_OP_SET_MASK_COUNT, SetMask},
    {SOFTNPU_OP_SET_MASK_NORM, SetMask},
    {SOFTNPU_OP_RESET_MASK, SetMask},
    {SOFTNPU_OP_COMPARE, Compare},
    {SOFTNPU_OP_COMPARE_SCALAR, Compare},
    {SOFTNPU_OP_COMPARE_REGISTER, Compare},
    {SOFTNPU_OP_SELECT, Select},
    {SOFTNPU_OP_GET_CMP_MASK, MoveCmpMask},
    {SOFTNPU_OP_SET_CMP_MASK, MoveCmpMask},
    {SOFTNPU_OP_GATHER, Gather},
    {SOFTNPU_OP_SCATTER, Gather, 2002},
    {SOFTNPU_OP_GATHERB, Gatherb},
    {SOFTNPU_OP_GATHER_MASK, GatherMask},
    {SOFTNPU_OP_TRANSPOSE, Transpose},
    {SOFTNPU_OP_TRANS_DATA_TO_5HD, TransDataTo5HD},
    {SOFTNPU_OP_WHOLE_REDUCE_SUM, Reduce},
    {SOFTNPU_OP_WHOLE_REDUCE_MAX, Reduce},
    {SOFTNPU_OP_WHOLE_REDUCE_MIN, Reduce},
    {SOFTNPU_OP_BLOCK_REDUCE_SUM, Reduce},
    {SOFTNPU_OP_BLOCK_REDUCE_MAX, Reduce},
    {SOFTNPU_OP_BLOCK_REDUCE_MIN, Reduce},
    {SOFTNPU_OP_PAIR_REDUCE_SUM, Reduce},
    {SOFTNPU_OP_REPEAT_REDUCE_SUM, Reduce},
    {SOFTNPU_OP_REDUCE_SUM, ReduceAll},
    {SOFTNPU_OP_REDUCE_MAX, ReduceAll},
    {SOFTNPU_OP_REDUCE_MIN, ReduceAll},
    {SOFTNPU_OP_GET_REDUCE_VALUE, GetReduced},
    {SOFTNPU_OP_GET_ACC_VAL, GetReduced},
    {SOFTNPU_OP_SORT32, Sort32, 2201},
    {SOFTNPU_OP_MRG_SORT, MrgSort, 2201},
    {SOFTNPU_OP_GET_MRG_SORT_RESULT, GetMrgSortResult},
    {SOFTNPU_OP_RP_SORT16, Proposals, 2002},
    {SOFTNPU_OP_MRG_SORT4, MrgSort, 2002},
    {SOFTNPU_OP_PROPOSAL_CONCAT, Proposals, 2002},
    {SOFTNPU_OP_PROPOSAL_EXTRACT, Proposals, 2002},
    {SOFTNPU_OP_ADVANCED, Advanced},
};

constexpr size_t kOpcodes = SOFTNPU_OP_SET_LOAD_BOUNDARY + 1;  // the last of the last group

constexpr std::array<Operation, kOpcodes> kOperations = [] {
  std::array<Operation, kOpcodes> table = {};
  for (const Entry& entry : kCoreEntries) table[entry.opcode] = {entry.run, false, entry.arch};
  for (const Entry& entry : kVectorEntries) table[entry.opcode] = {entry.run, true, entry.arch};
  return table;
}();

// The functions of the vector unit address the UB.
void CheckInUb(const Context& ctx, const SoftnpuTensor& tensor) {
  if (tensor.space == SOFTNPU_SPACE_UB || tensor.space == SOFTNPU_SPACE_NONE) return;
  ctx.Fail(Format("a tensor of the %s: the vector unit works on the UB", SpaceName(tensor.space)));
}

// Moves bytes, whatever they mean, or knows int4b_t.
bool TakesHalfBytes(uint32_t opcode) {
  return opcode < SOFTNPU_OP_MOVE || opcode == SOFTNPU_OP_DATA_COPY ||
         opcode == SOFTNPU_OP_DATA_COPY_BLOCKS || opcode == SOFTNPU_OP_DATA_COPY_PAD ||
         opcode == SOFTNPU_OP_CAST || opcode == SOFTNPU_OP_LOAD_2D;
}

void CheckTypes(const Context& ctx, const SoftnpuInstruction& in) {
  const Profile& chip = ctx.chip();
  for (uint32_t i = 0; i < in.operand_count; ++i) {
    const SoftnpuTensor& tensor = in.operand[i];
    if (TypeBytes(tensor.type) != 0 || tensor.space == SOFTNPU_SPACE_NONE) continue;
    if (tensor.type == SOFTNPU_INT4 && TakesHalfBytes(in.opcode)) continue;
    if (tensor.type != SOFTNPU_INT4 && in.opcode < SOFTNPU_OP_MOVE) continue;
    ctx.Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(tensor.type)));
  }
  for (uint32_t i = 0; i < in.list_count; ++i) {
    if (TypeBytes(in.list[i].type) != 0) continue;
    ctx.Fail(Format(
        "%s does not take %s",
        in.opcode == SOFTNPU_OP_ADVANCED ? AdvancedName(in.params[0]) : OpcodeName(in.opcode),
        TypeName(in.list[i].type)));
  }
  if (chip.bfloat16) return;
  for (uint32_t i = 0; i < in.operand_count; ++i) {
    if (in.operand[i].type != SOFTNPU_BFLOAT16) continue;
    ctx.Fail(Format("%s has no bfloat16_t (NPU architecture %lld)", chip.soc_name.c_str(),
                    static_cast<long long>(chip.npu_arch)));
  }
}

}  // namespace

const Operation& OperationOf(uint32_t opcode) {
  static constexpr Operation kNone;
  return opcode < kOpcodes ? kOperations[opcode] : kNone;
}

void Execute(Context& ctx, SoftnpuInstruction& in) {
  CheckTypes(ctx, in);
  const Operation& operation = OperationOf(in.opcode);
  if (operation.run == nullptr) {
    ctx.Fail(Format("operation %u is unknown to this SoftNPU", in.opcode));
  }
  if (operation.vector) {
    ctx.site.SetPipe(SOFTNPU_PIPE_V);
    for (uint32_t i = 0; i < in.operand_count; ++i) CheckInUb(ctx, in.operand[i]);
    for (uint32_t i = 0; i < in.list_count; ++i) CheckInUb(ctx, in.list[i]);
  }
  const Profile& chip = ctx.chip();
  if (operation.arch != 0 && chip.npu_arch != operation.arch) {
    ctx.Fail(Format("%s has no %s (NPU architecture %lld)", chip.soc_name.c_str(),
                    OpcodeName(in.opcode), static_cast<long long>(chip.npu_arch)));
  }
  operation.run(ctx, in);
}

}  // namespace softnpu::ascendc
