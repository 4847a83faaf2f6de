// cc/softnpu/ascendc/include/ascendc/host_api/tiling/template_argument.h: a kernel template whose
// arguments stand for the tiling key.
//
// A build reads ASCENDC_TPL_SEL in the preprocessed source and makes a kernel of each selection;
// for the compiler the macros are nothing.
#pragma once

#ifndef SOFTNPU_SCAN
#define ASCENDC_TPL_ARGS_DECL(...)
#define ASCENDC_TPL_SEL(...)
#endif

// Arguments of ASCENDC_TPL_DTYPE_SEL and ASCENDC_TPL_FORMAT_SEL.
enum SoftnpuTemplateType : int {
  C_DT_FLOAT = 0,
  C_DT_FLOAT16 = 1,
  C_DT_INT8 = 2,
  C_DT_INT32 = 3,
  C_DT_UINT8 = 4,
  C_DT_INT16 = 6,
  C_DT_UINT16 = 7,
  C_DT_UINT32 = 8,
  C_DT_INT64 = 9,
  C_DT_UINT64 = 10,
  C_DT_DOUBLE = 11,
  C_DT_BOOL = 12,
  C_DT_BF16 = 27,
  C_DT_INT4 = 29,
};
enum SoftnpuTemplateFormat : int {
  C_FORMAT_NCHW = 0,
  C_FORMAT_NHWC = 1,
  C_FORMAT_ND = 2,
  C_FORMAT_NC1HWC0 = 3,
  C_FORMAT_FRACTAL_NZ = 29,
};
