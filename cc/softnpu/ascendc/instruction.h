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

typedef enum SoftnpuOpcode {
  SOFTNPU_OP_NONE = 0,

  // Queries; the answer is `result`.
  SOFTNPU_OP_BLOCK_INDEX,
  SOFTNPU_OP_BLOCK_COUNT,

  // TPipe, TQue, TBuf.
  SOFTNPU_OP_PIPE_CREATE,
  SOFTNPU_OP_PIPE_DESTROY,
  SOFTNPU_OP_INIT_QUEUE,     // params: source position, destination position, depth, number, bytes
  SOFTNPU_OP_INIT_BUFFER,    // params: position, bytes; operand[0] becomes the whole buffer
  SOFTNPU_OP_ALLOC,          // params: queue; operand[0] becomes the tensor
  SOFTNPU_OP_ENQUEUE,        // params: queue; operand[0]
  SOFTNPU_OP_DEQUEUE,        // params: queue; operand[0] becomes the tensor
  SOFTNPU_OP_FREE,           // params: queue; operand[0]
  SOFTNPU_OP_QUEUE_SIZE,     // params: queue; result: tensors that wait for DeQue
  SOFTNPU_OP_QUEUE_IDLE,     // params: queue; result: buffers that AllocTensor could give
  SOFTNPU_OP_EVENT_ALLOC,    // params: event
  SOFTNPU_OP_EVENT_RELEASE,  // params: event, id
  SOFTNPU_OP_EVENT_FETCH,    // params: event

  // Synchronisation.
  SOFTNPU_OP_SET_FLAG,      // params: event, id
  SOFTNPU_OP_WAIT_FLAG,     // params: event, id
  SOFTNPU_OP_PIPE_BARRIER,  // params: pipe

  // Scalar unit. operand[0] is the element; result/scalar are its bits.
  SOFTNPU_OP_SCALAR_LOAD,
  SOFTNPU_OP_SCALAR_STORE,

  // Copies: operand[0] = operand[1].
  SOFTNPU_OP_DATA_COPY,         // count elements
  SOFTNPU_OP_DATA_COPY_BLOCKS,  // params: block count, block length, source gap, destination gap,
                                // all but the first in 32-byte blocks
  SOFTNPU_OP_DATA_COPY_PAD,     // params: rows, row bytes, source gap, destination gap (GM: bytes,
                                // on chip: 32-byte blocks), isPad, left, right (elements); scalar

  // Vector unit: operand[0] = f(operand[1], operand[2], scalar), in one of the forms.
  SOFTNPU_OP_ADD,
  SOFTNPU_OP_SUB,
  SOFTNPU_OP_MUL,
  SOFTNPU_OP_DIV,
  SOFTNPU_OP_MAX,
  SOFTNPU_OP_MIN,
  SOFTNPU_OP_ADDS,
  SOFTNPU_OP_MULS,
  SOFTNPU_OP_MAXS,
  SOFTNPU_OP_MINS,
  SOFTNPU_OP_SHIFT_LEFT,
  SOFTNPU_OP_SHIFT_RIGHT,
  SOFTNPU_OP_DUPLICATE,
  SOFTNPU_OP_CREATE_VEC_INDEX,
  SOFTNPU_OP_CAST,    // params: RoundMode
  SOFTNPU_OP_GATHER,  // operand[2]: byte offsets; params: base byte offset
  SOFTNPU_OP_COUNT
} SoftnpuOpcode;

typedef enum SoftnpuSpace {
  SOFTNPU_SPACE_NONE = 0,
  SOFTNPU_SPACE_GM,
  SOFTNPU_SPACE_UB,
  SOFTNPU_SPACE_L1,
  SOFTNPU_SPACE_OTHER,  // L0A, L0B, L0C and the like
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
  SoftnpuTensor operand[3];
  uint32_t operand_count;
  uint32_t form;  // SoftnpuForm
  int64_t count;
  uint64_t mask[2];
  uint32_t repeat;
  uint32_t block_stride[3];   // 32-byte blocks, per operand
  uint32_t repeat_stride[3];  // 32-byte blocks, per operand
  uint64_t scalar;            // bits of a scalar of operand[0]'s type
  int64_t params[8];
  uint64_t result;
} SoftnpuInstruction;

struct SoftnpuCoreApi {
  uint32_t version;
  uint32_t instruction_bytes;
  void (*execute)(SoftnpuInstruction* instruction);
};

#ifdef __cplusplus
}  // extern "C"
#endif
