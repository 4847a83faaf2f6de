// cc/softnpu/ascendc/registers.h: the registers of a core.
#pragma once

#include <cstdint>

#include "cc/softnpu/ascendc/instruction.h"

namespace softnpu::ascendc {

// Registers of the vector unit and of the DMA engines.
struct Registers {
  uint64_t mask[2] = {~uint64_t{0}, ~uint64_t{0}};  // in counter mode mask[0] is a count
  bool counter = false;              // the mode that SetMaskCount and SetMaskNorm set
  bool mask_count = false;           // what SetVectorMask put into `mask`
  uint64_t compare[2] = {};          // CMPMASK
  uint64_t compare_missing[2] = {};  // its bits without a value
  bool compare_set = false;
  bool saturate = false;
  float deq_scale = 1.0f;  // for int32_t to half
  float deq_scales[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  int16_t deq_offsets[16] = {};
  bool deq_signed[16] = {};
  uint64_t reduce_value = 0;  // of the last repeat of WholeReduceMax or Min
  uint64_t reduce_index = 0;
  uint64_t accumulated = 0;  // of the last WholeReduceSum
  uint8_t reduce_type = 0xFF;
  uint8_t accumulated_type = 0xFF;
  uint16_t sorted[4] = {};
  bool sorted_set = false;
  uint32_t atomic = 0;  // opcode of the SetAtomic instruction that holds
  uint8_t atomic_type = 0xFF;
  const char* atomic_file = nullptr;
  uint32_t atomic_line = 0;
  uint64_t pad_value = 0;
  uint64_t pad_bytes = 0;  // 0: SetPadValue was not called
  int64_t nz2nd[3] = {};   // matrices (0: SetFixpipeNz2ndFlag was not called), steps
  bool pre_quant_set = false;
  uint64_t pre_quant = 0;             // bits of a float
  SoftnpuTensor fixpipe_scales = {};  // no space: SetFixPipeConfig was not called
  int64_t fmatrix[3] = {};            // pads, l1H, l1W; height 0: SetFmatrix was not called
  bool load_padding_set = false;
  uint64_t load_padding = 0;      // of LoadData, bits
  int64_t load_repeat = 1;        // repeatTime
  uint64_t load_boundary = 0;     // bytes of L1; 0: all
  uint64_t system_workspace = 0;  // 0: SetSysWorkspace was not called
};

}  // namespace softnpu::ascendc
