// cc/softnpu/ascendc/include/ascendc/vector_transpose.h: transpositions inside the UB.
#pragma once

#include "ascendc/vector_forms.h"

namespace AscendC {

constexpr int32_t NCHW_CONV_ADDR_LIST_SIZE = 16;

struct TransDataTo5HDParams {
  bool dstHighHalf = false;
  bool srcHighHalf = false;
  uint8_t repeatTimes = 1;
  uint16_t dstRepStride = 0;
  uint16_t srcRepStride = 0;

  TransDataTo5HDParams() = default;
  TransDataTo5HDParams(bool dst_high, bool src_high, uint8_t repeats, uint16_t dst_repeat,
                       uint16_t src_repeat)
      : dstHighHalf(dst_high),
        srcHighHalf(src_high),
        repeatTimes(repeats),
        dstRepStride(dst_repeat),
        srcRepStride(src_repeat) {}
};

enum class TransposeType : uint8_t {
  TRANSPOSE_TYPE_NONE,
  TRANSPOSE_NZ2ND_0213_WITH_N,
  TRANSPOSE_NZ2NZ_0213_WITH_N,
  TRANSPOSE_NZ2NZ_012_WITH_N,
  TRANSPOSE_NZ2ND_012_WITH_N,
  TRANSPOSE_NZ2ND_012_WITHOUT_N,
  TRANSPOSE_NZ2NZ_012_WITHOUT_N,
  TRANSPOSE_ND2ND_ONLY,
  TRANSPOSE_ND_UB_GM,
  TRANSPOSE_GRAD_ND_UB_GM,
  TRANSPOSE_ND2ND_B16,
  TRANSPOSE_NCHW2NHWC,
  TRANSPOSE_NHWC2NCHW,
};

struct TransposeParamsExt {
  uint16_t nSize = 0;
  uint16_t cSize = 0;
  uint16_t hSize = 0;
  uint16_t wSize = 0;
  TransposeType transposeType = TransposeType::TRANSPOSE_ND2ND_B16;

  TransposeParamsExt() = default;
  TransposeParamsExt(uint16_t n, uint16_t c, uint16_t h, uint16_t w, TransposeType type)
      : nSize(n), cSize(c), hSize(h), wSize(w), transposeType(type) {}
};

// 16 x 16 elements of 16 bits.
template <typename T>
inline void Transpose(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                      Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_TRANSPOSE, where)
      .Operand(dst)
      .Operand(src)
      .Param(0, static_cast<int64_t>(TransposeType::TRANSPOSE_ND2ND_B16))
      .Repeat(1);
}
// The buffer is for chips that need one.
template <typename T>
inline void Transpose(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                      const LocalTensor<uint8_t>& sharedTmpBuffer, const TransposeParamsExt& params,
                      Where where = Where::Here()) {
  (void)sharedTmpBuffer;
  softnpu_internal::Vector(SOFTNPU_OP_TRANSPOSE, where)
      .Operand(dst)
      .Operand(src)
      .Param(0, static_cast<int64_t>(params.transposeType))
      .Param(1, params.nSize)
      .Param(2, params.cSize)
      .Param(3, params.hSize)
      .Param(4, params.wSize)
      .Repeat(1);
}

namespace softnpu_internal {
inline void TransData(const SoftnpuTensor* list, const TransDataTo5HDParams& params,
                      const Where& where) {
  Vector call(SOFTNPU_OP_TRANS_DATA_TO_5HD, where);
  call.instruction.list = list;
  call.instruction.list_count = 2 * NCHW_CONV_ADDR_LIST_SIZE;
  call.instruction.repeat_stride[0] = params.dstRepStride;
  call.instruction.repeat_stride[1] = params.srcRepStride;
  call.Param(0, params.dstHighHalf).Param(1, params.srcHighHalf).Repeat(params.repeatTimes);
}
}  // namespace softnpu_internal

// Rows of 32 bytes become columns: 16 x 16 of 16 bits, 16 x 8 of 32 bits (two destinations a row),
// 16 x 16 of one half of the rows of 8 bits.
template <typename T>
inline void TransDataTo5HD(const LocalTensor<T> (&dstList)[NCHW_CONV_ADDR_LIST_SIZE],
                           const LocalTensor<T> (&srcList)[NCHW_CONV_ADDR_LIST_SIZE],
                           const TransDataTo5HDParams& params, Where where = Where::Here()) {
  SoftnpuTensor list[2 * NCHW_CONV_ADDR_LIST_SIZE];
  for (int i = 0; i < NCHW_CONV_ADDR_LIST_SIZE; ++i) {
    list[i] = dstList[i].raw_;
    list[NCHW_CONV_ADDR_LIST_SIZE + i] = srcList[i].raw_;
  }
  softnpu_internal::TransData(list, params, where);
}
// The same with addresses that GetPhyAddr gave.
template <typename T>
inline void TransDataTo5HD(uint64_t dstList[NCHW_CONV_ADDR_LIST_SIZE],
                           uint64_t srcList[NCHW_CONV_ADDR_LIST_SIZE],
                           const TransDataTo5HDParams& params, Where where = Where::Here()) {
  SoftnpuTensor list[2 * NCHW_CONV_ADDR_LIST_SIZE] = {};
  for (int i = 0; i < 2 * NCHW_CONV_ADDR_LIST_SIZE; ++i) {
    list[i].space = SOFTNPU_SPACE_UB;
    list[i].type = softnpu::core::kTypeOf<T>;
    list[i].address =
        i < NCHW_CONV_ADDR_LIST_SIZE ? dstList[i] : srcList[i - NCHW_CONV_ADDR_LIST_SIZE];
    list[i].end = UINT64_MAX;
  }
  softnpu_internal::TransData(list, params, where);
}

}  // namespace AscendC
