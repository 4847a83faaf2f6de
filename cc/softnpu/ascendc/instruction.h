// cc/softnpu/ascendc/instruction.h: the instruction record that AscendC calls become.
//
// The AscendC headers fill a record and hand it to `SoftnpuCoreApi::execute`; they check nothing
// and know nothing of what an instruction does. A fault does not return: the core leaves the kernel
// with longjmp, so no C++ exception crosses from SoftNPU into a twin.
//
// Growing: new operations and new fields are added at the end and SOFTNPU_TWIN_ABI is raised when
// the layout or the meaning of what exists changes.
#pragma once

#include <stdint.h>

#include "cc/softnpu/ascendc/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

// Groups of operations, X(name, name in AscendC). Each group has a range of numbers of its own, so
// that growth of one does not move another.

// clang-format off
// TPipe, TQue, TBuf, queries and help for debugging.
#define SOFTNPU_FRAME_OPCODES(X) \
  X(NONE, "no instruction") \
  X(BLOCK_INDEX, "GetBlockIdx") /* result */ \
  X(BLOCK_COUNT, "GetBlockNum") /* result */ \
  X(PIPE_CREATE, "TPipe") /* params: the object */ \
  X(PIPE_DESTROY, "~TPipe") \
  X(PIPE_CURRENT, "GetTPipePtr") /* result: the object of PIPE_CREATE */ \
  X(PIPE_RESET, "TPipe::Reset") /* params: pool; -1: all */ \
  X(INIT_QUEUE, "InitBuffer") /* params: source position, destination position, depth, number, bytes */ \
  X(INIT_BUFFER, "InitBuffer") /* params: position, bytes; operand[0] becomes the buffer */ \
  X(INIT_POOL, "InitBufPool") /* params: position, bytes, shared pool + 1 or 0; result: pool */ \
  X(POOL_BUFFER, "InitBuffer") /* params: pool, which the next INIT_... takes its memory from */ \
  X(ALLOC, "AllocTensor") /* params: queue; operand[0] becomes the tensor */ \
  X(ENQUEUE, "EnQue") /* params: queue, source and destination position + 1 or 0; operand[0] */ \
  X(DEQUEUE, "DeQue") /* params: as EnQue; operand[0] becomes the tensor */ \
  X(FREE, "FreeTensor") /* params: queue; operand[0] */ \
  X(QUEUE_SIZE, "GetTensorCountInQue") /* params: queue; result: tensors that wait for DeQue */ \
  X(QUEUE_IDLE, "HasIdleBuffer") /* params: queue; result: buffers that AllocTensor could give */ \
  X(EVENT_ALLOC, "AllocEventID") /* params: event; result */ \
  X(EVENT_RELEASE, "ReleaseEventID") /* params: event, id */ \
  X(EVENT_FETCH, "FetchEventID") /* params: event; result */ \
  X(SUB_BLOCK_INDEX, "GetSubBlockIdx") /* result */ \
  X(SUB_BLOCK_COUNT, "GetSubBlockNum") /* result */ \
  X(TASK_RATIO, "GetTaskRation") /* result */ \
  X(CORE_TYPE, "g_coreType") /* result: bit 0: has a vector unit, 1: a cube unit, 2: its block has both */ \
  X(TASK_TYPE, "KERNEL_TASK_TYPE") /* params: KernelMetaType, tiling key or -1 */ \
  X(SYSTEM_CYCLE, "GetSystemCycle") /* result */ \
  X(TILING_KEY, "TILING_KEY_IS") /* result: the launch's tiling key */ \
  X(TILING_COPY, "GET_TILING_DATA") /* operand[0], count: bytes of GM; params: host address of the copy */ \
  X(PRINT, "printf") /* params: text, bytes */ \
  X(DUMP, "DumpTensor") /* operand[0], count; params: description */ \
  X(ASSERT, "ASSERT") /* params: text of the condition, bytes */ \
  X(TRAP, "Trap") \
  X(UNSIZED, "GetSize") /* of a tensor of GM without a size */ \
  X(USER_WORKSPACE, "GetUserWorkspace") /* params: the workspace; result: behind what the system keeps */ \
  X(RAW_LOAD, "__gm__ pointer") /* operand[0], count: bytes of GM that the kernel's own code reads */ \
  X(RAW_STORE, "__gm__ pointer") /* the same, written behind this instruction */ \
  X(SYSTEM_WORKSPACE, "GetSysWorkSpacePtr") /* params: 1 sets it, the workspace; result: what was set, or a place nobody owns */

// Order.
#define SOFTNPU_SYNC_OPCODES(X) \
  X(SET_FLAG, "SetFlag") /* params: event, id */ \
  X(WAIT_FLAG, "WaitFlag") /* params: event, id */ \
  X(PIPE_BARRIER, "PipeBarrier") /* params: pipe */ \
  X(CROSS_SET, "CrossCoreSetFlag") /* params: mode, pipe, flag */ \
  X(CROSS_WAIT, "CrossCoreWaitFlag") /* params: mode, pipe, flag */ \
  X(SYNC_ALL, "SyncAll") /* params: vector cores only, used cores; operands: workspaces or none */ \
  X(IB_SET, "IBSet") /* operands: workspaces; params: block, event */ \
  X(IB_WAIT, "IBWait") /* operands: workspaces; params: block, event */ \
  X(DETERMINE_INIT, "InitDetermineComputeWorkspace") /* operands: workspaces */ \
  X(WAIT_PRE_BLOCK, "WaitPreBlock") /* operands: workspaces */ \
  X(NOTIFY_NEXT_BLOCK, "NotifyNextBlock") /* operands: workspaces */ \
  X(CACHE_CLEAN, "DataCacheCleanAndInvalid") /* operand[0]; params: CacheLine, DcciDst */ \
  X(DATA_SYNC_BARRIER, "DataSyncBarrier") /* params: MemDsbT */

// The scalar unit and the DMA engines. A copy is operand[0] = operand[1].
#define SOFTNPU_MOVE_OPCODES(X) \
  X(SCALAR_LOAD, "GetValue") /* operand[0] is the element; its bits are `result` */ \
  X(SCALAR_STORE, "SetValue") /* operand[0] is the element; its bits are `scalar` */ \
  X(DATA_COPY, "DataCopy") /* count elements */ \
  X(DATA_COPY_BLOCKS, "DataCopy") /* params: blocks; length, source and destination gap in 32 bytes */ \
  X(DATA_COPY_PAD, "DataCopyPad") /* params: rows, row bytes, source gap, destination gap (GM: bytes, on chip: 32-byte blocks), isPad, left, right (elements); scalar */ \
  X(DATA_COPY_ND2NZ, "DataCopy") /* params: the fields of Nd2NzParams, Nz2NdParamsFull in their order */ \
  X(DATA_COPY_NZ2ND, "DataCopy") \
  X(SET_ATOMIC_ADD, "SetAtomicAdd") /* params: SoftnpuType */ \
  X(SET_ATOMIC_MAX, "SetAtomicMax") \
  X(SET_ATOMIC_MIN, "SetAtomicMin") \
  X(SET_ATOMIC_TYPE, "SetAtomicType") \
  X(SET_ATOMIC_NONE, "SetAtomicNone") \
  X(DISABLE_DMA_ATOMIC, "DisableDmaAtomic") \
  X(SET_PAD_VALUE, "SetPadValue") /* params: bytes; scalar */ \
  X(INIT_OUTPUT, "InitOutput")    /* count; scalar */

// The vector unit: operand[0] = f(operand[1], operand[2], scalar), in one of the forms.
#define SOFTNPU_VECTOR_OPCODES(X) \
  X(ADD, "Add") \
  X(SUB, "Sub") \
  X(MUL, "Mul") \
  X(DIV, "Div") \
  X(MAX, "Max") \
  X(MIN, "Min") \
  X(ADDS, "Adds") \
  X(MULS, "Muls") \
  X(MAXS, "Maxs") \
  X(MINS, "Mins") \
  X(SHIFT_LEFT, "ShiftLeft") \
  X(SHIFT_RIGHT, "ShiftRight") \
  X(DUPLICATE, "Duplicate") \
  X(CREATE_VEC_INDEX, "CreateVecIndex") \
  X(CAST, "Cast")     /* params: RoundMode */ \
  X(GATHER, "Gather") /* operand[2]: byte offsets; params: base byte offset */ \
  X(AND, "And") \
  X(OR, "Or") \
  X(NOT, "Not") \
  X(ADD_RELU, "AddRelu") \
  X(SUB_RELU, "SubRelu") \
  X(MUL_ADD_DST, "MulAddDst") \
  X(FUSED_MUL_ADD, "FusedMulAdd") \
  X(FUSED_MUL_ADD_RELU, "FusedMulAddRelu") \
  X(MUL_CAST, "MulCast") \
  X(ADD_RELU_CAST, "AddReluCast") \
  X(SUB_RELU_CAST, "SubReluCast") \
  X(ADD_DEQ_RELU, "AddDeqRelu") \
  X(LEAKY_RELU, "LeakyRelu") \
  X(AXPY, "Axpy") \
  X(EXP, "Exp") \
  X(LN, "Ln") \
  X(ABS, "Abs") \
  X(RECIPROCAL, "Reciprocal") \
  X(SQRT, "Sqrt") \
  X(RSQRT, "Rsqrt") \
  X(RELU, "Relu") \
  X(SET_VECTOR_MASK, "SetVectorMask") /* params: MaskMode, by length?; mask or count */ \
  X(SET_MASK_COUNT, "SetMaskCount") \
  X(SET_MASK_NORM, "SetMaskNorm") \
  X(RESET_MASK, "ResetMask") \
  X(COMPARE, "Compare")              /* params: CMPMODE; operand[0]: bits */ \
  X(COMPARE_SCALAR, "CompareScalar") /* the same */ \
  X(COMPARE_REGISTER, "Compare")     /* params: CMPMODE; operands: the two sources */ \
  X(SELECT, "Select")                /* params: SELMODE; dst, src0, src1 or scalar, selMask */ \
  X(GET_CMP_MASK, "GetCmpMask") \
  X(SET_CMP_MASK, "SetCmpMask") \
  X(BRCB, "Brcb") \
  X(ARITH_PROGRESSION, "ArithProgression")                  /* scalar: first value; params: bits of the difference */ \
  X(CAST_DEQUANT, "CastDequant")         /* params: isVecDeq, halfBlock */ \
  X(SET_DEQ_SCALE, "SetDeqScale")        /* params: kind; see vector_cast.cc */ \
  X(SET_SATURATION, "SetSaturationFlag") /* params: on, only asked? */ \
  X(GATHERB, "Gatherb") \
  X(SCATTER, "Scatter")        /* operand[2]: byte offsets; params: base byte offset */ \
  X(GATHER_MASK, "GatherMask") /* params: pattern (0: operand[2]), reduceMode, mask, strides */ \
  X(TRANSPOSE, "Transpose") \
  X(TRANS_DATA_TO_5HD, "TransDataTo5HD") /* list: 16 destinations, 16 sources */ \
  X(WHOLE_REDUCE_SUM, "WholeReduceSum") \
  X(WHOLE_REDUCE_MAX, "WholeReduceMax") /* params: ReduceOrder */ \
  X(WHOLE_REDUCE_MIN, "WholeReduceMin") \
  X(BLOCK_REDUCE_SUM, "BlockReduceSum") \
  X(BLOCK_REDUCE_MAX, "BlockReduceMax") \
  X(BLOCK_REDUCE_MIN, "BlockReduceMin") \
  X(PAIR_REDUCE_SUM, "PairReduceSum") \
  X(REPEAT_REDUCE_SUM, "RepeatReduceSum") \
  X(REDUCE_SUM, "ReduceSum") /* operands: dst, src, tmp */ \
  X(REDUCE_MAX, "ReduceMax") /* params: calIndex */ \
  X(REDUCE_MIN, "ReduceMin") \
  X(GET_REDUCE_VALUE, "GetReduceMaxMinCount") /* params: 0 value, 1 index; result */ \
  X(GET_ACC_VAL, "GetAccVal")                 /* result */ \
  X(SORT32, "Sort32") \
  X(MRG_SORT, "MrgSort") /* list: sources; params: see vector_sort.cc */ \
  X(GET_MRG_SORT_RESULT, "GetMrgSortResult") \
  X(RP_SORT16, "RpSort16") \
  X(MRG_SORT4, "MrgSort4") \
  X(PROPOSAL_CONCAT, "ProposalConcat") \
  X(PROPOSAL_EXTRACT, "ProposalExtract") \
  X(COPY, "Copy") \
  X(ADVANCED, "high-level API") /* params: see vector_advanced.cc */

// The cube unit and what feeds it.
#define SOFTNPU_CUBE_OPCODES(X) \
  X(LOAD_2D, "LoadData") /* params: startIndex, repeatTimes, srcStride, dstGap, ifTranspose, addrMode */ \
  X(LOAD_TRANSPOSE, "LoadDataWithTranspose") /* params: as above, dstFracGap for ifTranspose */ \
  X(LOAD_3D, "LoadData") /* params: the fields of LoadData3DParamsV2, 15: 1: the size, 2: padValue are those that were set; scalar: padValue */ \
  X(INIT_CONST, "InitConstValue") /* params: repeatTimes, blockNum, dstGap; scalar */ \
  X(MMAD, "Mmad") /* operands: dst, a, b, bias or none; params: m, n, k, cmatrixInitVal, ... */ \
  X(FIXPIPE, "Fixpipe") /* operands: dst, src, scales or none; params: the fields of its struct */ \
  X(MATMUL, "Matmul") /* operands: c in GM or UB; a, b, bias or none in GM; params: m, n, k, ... */ \
  X(COPY_L0C, "DataCopy") /* as FIXPIPE; matrices and scales come from the core's registers */ \
  X(SET_NZ2ND, "SetFixpipeNz2ndFlag") /* params: matrices, source step, destination step */ \
  X(SET_PRE_QUANT, "SetFixpipePreQuantFlag") /* scalar */ \
  X(SET_FIXPIPE_SCALES, "SetFixPipeConfig") /* operand[0] */ \
  X(SET_FMATRIX, "SetFmatrix") /* params: pads, l1H, l1W, as LOAD_3D has them */ \
  X(SET_LOAD_PADDING, "SetLoadDataPaddingValue") /* scalar */ \
  X(SET_LOAD_REPEAT, "SetLoadDataRepeat") /* params: repeatTime, repeatStride, repeatMode */ \
  X(SET_LOAD_BOUNDARY, "SetLoadDataBoundary") /* params: bytes, 0: none */

// High-level calls, params[0] of SOFTNPU_OP_ADVANCED. `list` has the tensors, params[1..] the
// sizes.
#define SOFTNPU_ADVANCED_CALLS(X) \
  X(SIGMOID, "Sigmoid") \
  X(SILU, "Silu") \
  X(SWISH, "Swish") \
  X(GELU, "Gelu") \
  X(SWIGLU, "SwiGLU") \
  X(TANH, "Tanh") \
  X(ERF, "Erf") \
  X(LOG, "Log") \
  X(LOG2, "Log2") \
  X(LOG10, "Log10") \
  X(POWER, "Power") \
  X(CLAMP_MAX, "ClampMax") \
  X(CLAMP_MIN, "ClampMin") \
  X(ROUND, "Round") \
  X(FLOOR, "Floor") \
  X(CEIL, "Ceil") \
  X(TRUNC, "Trunc") \
  X(FRAC, "Frac") \
  X(SIN, "Sin") \
  X(COS, "Cos") \
  X(SUM, "Sum") \
  X(MEAN, "Mean") \
  X(SOFTMAX, "SoftMax") \
  X(SIMPLE_SOFTMAX, "SimpleSoftMax") \
  X(SOFTMAX_FLASH_V2, "SoftmaxFlashV2") \
  X(RMS_NORM, "RmsNorm") \
  X(LAYER_NORM, "LayerNorm") \
  X(TOP_K, "TopK") \
  X(BROADCAST, "Broadcast") \
  X(CUM_SUM, "CumSum") \
  X(REDUCE_SUM, "ReduceSum") \
  X(REDUCE_MAX, "ReduceMax") \
  X(REDUCE_MIN, "ReduceMin") \
  X(SELECT_BYTES, "SelectWithBytesMask") \
  X(TAN, "Tan") \
  X(ASIN, "Asin") \
  X(ACOS, "Acos") \
  X(ATAN, "Atan") \
  X(SINH, "Sinh") \
  X(COSH, "Cosh") \
  X(ASINH, "Asinh") \
  X(ACOSH, "Acosh") \
  X(ATANH, "Atanh") \
  X(ERFC, "Erfc") \
  X(LGAMMA, "Lgamma") \
  X(SIGN, "Sign") \
  X(FMOD, "Fmod") \
  X(XOR, "Xor") \
  X(DIGAMMA, "Digamma") \
  X(FASTER_GELU, "FasterGelu") \
  X(FASTER_GELU_V2, "FasterGeluV2") \
  X(GEGLU, "GeGLU") \
  X(REGLU, "ReGlu") \
  X(PAD, "Pad") \
  X(UNPAD, "UnPad") \
  X(SOFTMAX_GRAD, "SoftmaxGrad") \
  X(SOFTMAX_GRAD_FRONT, "SoftmaxGradFront") \
  X(QUANT, "AscendQuant") \
  X(DROP_OUT, "DropOut") \
  X(REDUCE_PROD, "ReduceProd") \
  X(REDUCE_MEAN, "ReduceMean") \
  X(REDUCE_ALL, "ReduceAll") \
  X(REDUCE_ANY, "ReduceAny") \
  X(REDUCE_XOR_SUM, "ReduceXorSum") \
  X(LOG_SOFTMAX, "LogSoftMax") \
  X(SOFTMAX_FLASH, "SoftmaxFlash") \
  X(ADJUST_SOFTMAX, "AdjustSoftMaxRes") \
  X(LAYER_NORM_RSTD, "LayerNorm") \
  X(NORMALIZE, "Normalize") \
  X(DEEP_NORM, "DeepNorm") \
  X(LAYER_NORM_GRAD, "LayerNormGrad") \
  X(LAYER_NORM_GRAD_BETA, "LayerNormGradBeta") \
  X(BATCH_NORM, "BatchNorm") \
  X(GROUP_NORM, "GroupNorm") \
  X(WELFORD_UPDATE, "WelfordUpdate") \
  X(WELFORD_FINALIZE, "WelfordFinalize") \
  X(DEQUANT, "AscendDequant") \
  X(ANTI_QUANT, "AscendAntiQuant") \
  X(CONFUSION_TRANSPOSE, "Transpose")
// clang-format on

#define SOFTNPU_ADVANCED_CALL(name, text) SOFTNPU_ADV_##name,
typedef enum SoftnpuAdvanced { SOFTNPU_ADVANCED_CALLS(SOFTNPU_ADVANCED_CALL) } SoftnpuAdvanced;
#undef SOFTNPU_ADVANCED_CALL

#define SOFTNPU_OPCODE(name, text) SOFTNPU_OP_##name,
typedef enum SoftnpuOpcode {
  SOFTNPU_FRAME_OPCODES(SOFTNPU_OPCODE) SOFTNPU_OP_SYNC = 63,
  SOFTNPU_SYNC_OPCODES(SOFTNPU_OPCODE) SOFTNPU_OP_MOVE = 127,
  SOFTNPU_MOVE_OPCODES(SOFTNPU_OPCODE) SOFTNPU_OP_VECTOR = 255,
  SOFTNPU_VECTOR_OPCODES(SOFTNPU_OPCODE) SOFTNPU_OP_CUBE = 1023,
  SOFTNPU_CUBE_OPCODES(SOFTNPU_OPCODE)
} SoftnpuOpcode;
#undef SOFTNPU_OPCODE

typedef enum SoftnpuSpace {
  SOFTNPU_SPACE_NONE = 0,
  SOFTNPU_SPACE_GM,
  SOFTNPU_SPACE_UB,
  SOFTNPU_SPACE_L1,
  SOFTNPU_SPACE_L0A,
  SOFTNPU_SPACE_L0B,
  SOFTNPU_SPACE_L0C,
  SOFTNPU_SPACE_BT,  // bias table
  SOFTNPU_SPACE_FB,  // of the fix pipe
} SoftnpuSpace;

// CANN's numbers of data types.
typedef enum SoftnpuType {
  SOFTNPU_FLOAT = 0,
  SOFTNPU_FLOAT16 = 1,
  SOFTNPU_INT8 = 2,
  SOFTNPU_INT32 = 3,
  SOFTNPU_UINT8 = 4,
  SOFTNPU_INT16 = 6,
  SOFTNPU_UINT16 = 7,
  SOFTNPU_UINT32 = 8,
  SOFTNPU_INT64 = 9,
  SOFTNPU_UINT64 = 10,
  SOFTNPU_DOUBLE = 11,
  SOFTNPU_BOOL = 12,
  SOFTNPU_BFLOAT16 = 27,
  SOFTNPU_INT4 = 29,  // two elements in a byte, the first in the low half
} SoftnpuType;

typedef enum SoftnpuPipe {
  SOFTNPU_PIPE_S = 0,
  SOFTNPU_PIPE_V,
  SOFTNPU_PIPE_M,
  SOFTNPU_PIPE_MTE1,
  SOFTNPU_PIPE_MTE2,
  SOFTNPU_PIPE_MTE3,
  SOFTNPU_PIPE_ALL,
  SOFTNPU_PIPE_FIX,
} SoftnpuPipe;

typedef enum SoftnpuForm {
  SOFTNPU_FORM_COUNT = 0,  // `count` contiguous elements
  SOFTNPU_FORM_MASK,       // the first mask[0] elements of each repeat
  SOFTNPU_FORM_BITS,       // the elements of each repeat whose bit in mask[0..1] is set
  SOFTNPU_FORM_REGISTER,   // as the core's mask register and mask mode say
  SOFTNPU_FORM_COUNTER,    // `count` elements, laid over repeats with strides (counter mode)
} SoftnpuForm;

typedef struct SoftnpuTensor {
  uint64_t address;  // GM: device address; on chip: byte offset in the space
  uint64_t begin;    // the tensor's own bytes: [begin, end) of the space
  uint64_t end;
  uint32_t buffer;  // handle of the TPipe buffer that it lies in; 0: none
  uint8_t space;    // SoftnpuSpace
  uint8_t type;     // SoftnpuType
  uint8_t position;
  uint8_t reserved;
} SoftnpuTensor;

typedef struct SoftnpuInstruction {
  uint32_t opcode;
  uint32_t line;
  const char* file;
  SoftnpuTensor operand[4];
  uint32_t operand_count;
  uint32_t list_count;
  const SoftnpuTensor* list;  // operands of instructions that have many
  uint32_t form;              // SoftnpuForm
  int64_t count;
  uint64_t mask[2];
  uint32_t repeat;
  uint32_t block_stride[4];   // 32-byte blocks, per operand
  uint32_t repeat_stride[4];  // 32-byte blocks, per operand
  uint64_t scalar;            // bits of a scalar of operand[0]'s type
  int64_t params[16];
  uint64_t result;
  uint32_t constant_repeat;  // 1: the compiler knows `repeat`
} SoftnpuInstruction;

struct SoftnpuCoreApi {
  uint32_t version;
  uint32_t instruction_bytes;
  void (*execute)(SoftnpuInstruction* instruction);
  // Whether this thread runs a kernel.
  bool (*in_kernel)();
};

#ifdef __cplusplus
}  // extern "C"
#endif
