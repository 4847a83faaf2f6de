// cc/softnpu/ascendc/include/ascendc/data_copy.h: copies between global memory and the UB.
//
// The direction gives the pipe: GM to UB is MTE2, UB to GM is MTE3, UB to UB is the vector unit.
#pragma once

#include "ascendc/tensor.h"

namespace AscendC {

// Lengths and gaps (tail of a block to head of the next) in 32-byte blocks; in DataCopyPad the
// length and the gap on the side of GM are bytes.
struct DataCopyParams {
  uint16_t blockCount = 1;
  uint16_t blockLen = 0;
  union {
    uint16_t srcGap = 0;
    uint16_t srcStride;
  };
  union {
    uint16_t dstGap = 0;
    uint16_t dstStride;
  };

  DataCopyParams() {}
  DataCopyParams(uint16_t count, uint16_t length, uint16_t source_gap, uint16_t destination_gap)
      : blockCount(count), blockLen(length), srcGap(source_gap), dstGap(destination_gap) {}
};

// blockLen in bytes; gaps in bytes on the side of GM, in 32-byte blocks on chip.
struct DataCopyExtParams {
  uint16_t blockCount = 1;
  uint32_t blockLen = 0;
  uint32_t srcStride = 0;
  uint32_t dstStride = 0;
  uint32_t rsv = 0;

  DataCopyExtParams() = default;
  DataCopyExtParams(uint16_t count, uint32_t length, uint32_t source_stride,
                    uint32_t destination_stride, uint32_t reserved)
      : blockCount(count),
        blockLen(length),
        srcStride(source_stride),
        dstStride(destination_stride),
        rsv(reserved) {}
};

// Paddings in elements.
template <typename T>
struct DataCopyPadExtParams {
  bool isPad = false;
  uint8_t leftPadding = 0;
  uint8_t rightPadding = 0;
  T paddingValue{};

  DataCopyPadExtParams() = default;
  DataCopyPadExtParams(bool pad, uint8_t left, uint8_t right, T value)
      : isPad(pad), leftPadding(left), rightPadding(right), paddingValue(value) {}
};

struct DataCopyPadParams {
  bool isPad = false;
  uint8_t leftPadding = 0;
  uint8_t rightPadding = 0;
  uint64_t paddingValue = 0;

  DataCopyPadParams() = default;
  DataCopyPadParams(bool pad, uint8_t left, uint8_t right, uint64_t value)
      : isPad(pad), leftPadding(left), rightPadding(right), paddingValue(value) {}
};

// Rows in the UB: each in whole blocks, or all behind each other.
enum class PaddingMode : uint8_t { Normal = 0, Compact };

namespace softnpu_internal {

inline SoftnpuInstruction BeginCopy(SoftnpuOpcode opcode, const SoftnpuTensor& destination,
                                    const SoftnpuTensor& source, const Where& where) {
  SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
  instruction.operand_count = 2;
  instruction.operand[0] = destination;
  instruction.operand[1] = source;
  return instruction;
}

inline void Copy(const SoftnpuTensor& destination, const SoftnpuTensor& source, uint32_t count,
                 const Where& where) {
  SoftnpuInstruction instruction = BeginCopy(SOFTNPU_OP_DATA_COPY, destination, source, where);
  instruction.count = count;
  softnpu::core::Execute(instruction);
}

inline void CopyBlocks(const SoftnpuTensor& destination, const SoftnpuTensor& source,
                       const DataCopyParams& params, const Where& where) {
  SoftnpuInstruction instruction =
      BeginCopy(SOFTNPU_OP_DATA_COPY_BLOCKS, destination, source, where);
  instruction.params[0] = params.blockCount;
  instruction.params[1] = params.blockLen;
  instruction.params[2] = params.srcGap;
  instruction.params[3] = params.dstGap;
  softnpu::core::Execute(instruction);
}

template <PaddingMode mode>
constexpr void CheckPaddingMode() {
  static_assert(
      mode == PaddingMode::Normal,
      "PaddingMode::Compact of DataCopyPad is for Ascend 950: SoftNPU's chips have Normal");
}

inline void CopyPad(const SoftnpuTensor& destination, const SoftnpuTensor& source, uint32_t rows,
                    uint32_t row_bytes, uint32_t source_gap, uint32_t destination_gap, bool pad,
                    uint32_t left, uint32_t right, uint64_t value, const Where& where) {
  SoftnpuInstruction instruction = BeginCopy(SOFTNPU_OP_DATA_COPY_PAD, destination, source, where);
  instruction.params[0] = rows;
  instruction.params[1] = row_bytes;
  instruction.params[2] = source_gap;
  instruction.params[3] = destination_gap;
  instruction.params[4] = pad;
  instruction.params[5] = left;
  instruction.params[6] = right;
  instruction.scalar = value;
  softnpu::core::Execute(instruction);
}

}  // namespace softnpu_internal

template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const uint32_t count,
                     Where where = Where::Here()) {
  softnpu_internal::Copy(dst.raw_, src.raw_, count, where);
}
template <typename T>
inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t count,
                     Where where = Where::Here()) {
  softnpu_internal::Copy(dst.raw_, src.raw_, count, where);
}
template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t count,
                     Where where = Where::Here()) {
  softnpu_internal::Copy(dst.raw_, src.raw_, count, where);
}

template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                     const DataCopyParams& params, Where where = Where::Here()) {
  softnpu_internal::CopyBlocks(dst.raw_, src.raw_, params, where);
}
template <typename T>
inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                     const DataCopyParams& params, Where where = Where::Here()) {
  softnpu_internal::CopyBlocks(dst.raw_, src.raw_, params, where);
}
template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                     const DataCopyParams& params, Where where = Where::Here()) {
  softnpu_internal::CopyBlocks(dst.raw_, src.raw_, params, where);
}

template <typename T, PaddingMode mode = PaddingMode::Normal>
inline void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                        const DataCopyExtParams& params, const DataCopyPadExtParams<T>& pad,
                        Where where = Where::Here()) {
  softnpu_internal::CheckPaddingMode<mode>();
  softnpu_internal::CopyPad(dst.raw_, src.raw_, params.blockCount, params.blockLen,
                            params.srcStride, params.dstStride, pad.isPad, pad.leftPadding,
                            pad.rightPadding, softnpu::core::Bits(pad.paddingValue), where);
}
template <typename T, PaddingMode mode = PaddingMode::Normal>
inline void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                        const DataCopyExtParams& params, Where where = Where::Here()) {
  softnpu_internal::CheckPaddingMode<mode>();
  softnpu_internal::CopyPad(dst.raw_, src.raw_, params.blockCount, params.blockLen,
                            params.srcStride, params.dstStride, false, 0, 0, 0, where);
}
template <typename T, PaddingMode mode = PaddingMode::Normal>
inline void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                        const DataCopyParams& params, const DataCopyPadParams& pad,
                        Where where = Where::Here()) {
  softnpu_internal::CheckPaddingMode<mode>();
  softnpu_internal::CopyPad(dst.raw_, src.raw_, params.blockCount, params.blockLen, params.srcGap,
                            params.dstGap, pad.isPad, pad.leftPadding, pad.rightPadding,
                            pad.paddingValue, where);
}
template <typename T, PaddingMode mode = PaddingMode::Normal>
inline void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                        const DataCopyParams& params, Where where = Where::Here()) {
  softnpu_internal::CheckPaddingMode<mode>();
  softnpu_internal::CopyPad(dst.raw_, src.raw_, params.blockCount, params.blockLen, params.srcGap,
                            params.dstGap, false, 0, 0, 0, where);
}

}  // namespace AscendC
