// cc/softnpu/ascendc/include/ascendc/data_copy_layout.h: copies that change a layout or combine.
#pragma once

#include "ascendc/data_copy.h"
#include "ascendc/system.h"

namespace AscendC {

template <typename>
constexpr bool softnpu_internal_unsupported = false;

// Strides: elements, but dstNzC0Stride and dstNzNStride 32-byte blocks.
struct Nd2NzParams {
  uint16_t ndNum = 0;
  uint16_t nValue = 0;
  uint16_t dValue = 0;
  uint16_t srcNdMatrixStride = 0;
  uint16_t srcDValue = 0;
  uint16_t dstNzC0Stride = 0;
  uint16_t dstNzNStride = 0;
  uint16_t dstNzMatrixStride = 0;

  Nd2NzParams() = default;
  Nd2NzParams(uint16_t matrices, uint16_t n, uint16_t d, uint16_t src_matrix, uint16_t src_d,
              uint16_t dst_c0, uint16_t dst_n, uint16_t dst_matrix)
      : ndNum(matrices),
        nValue(n),
        dValue(d),
        srcNdMatrixStride(src_matrix),
        srcDValue(src_d),
        dstNzC0Stride(dst_c0),
        dstNzNStride(dst_n),
        dstNzMatrixStride(dst_matrix) {}
};

// srcNdMatrixStride in 256 elements, srcNStride in 16, the others in elements.
struct Nz2NdParamsFull {
  uint16_t ndNum = 1;
  uint16_t nValue = 0;
  uint16_t dValue = 0;
  uint16_t srcNdMatrixStride = 1;
  uint16_t srcNStride = 0;
  uint16_t dstDStride = 0;
  uint16_t dstNdMatrixStride = 1;

  Nz2NdParamsFull() = default;
  Nz2NdParamsFull(uint16_t matrices, uint16_t n, uint16_t d, uint16_t src_matrix, uint16_t src_n,
                  uint16_t dst_d, uint16_t dst_matrix)
      : ndNum(matrices),
        nValue(n),
        dValue(d),
        srcNdMatrixStride(src_matrix),
        srcNStride(src_n),
        dstDStride(dst_d),
        dstNdMatrixStride(dst_matrix) {}
};

// A dimension of a slice, the innermost first: from startIndex to endIndex (inclusive) in pieces of
// burstLen (32-byte blocks in the innermost dimension, 1 in the others) with gaps of `stride`.
struct SliceInfo {
  uint32_t startIndex = 0;
  uint32_t endIndex = 0;
  uint32_t stride = 0;
  uint32_t burstLen = 0;
  uint32_t shapeValue = 0;

  SliceInfo() = default;
  SliceInfo(uint32_t start, uint32_t end, uint32_t gap, uint32_t burst, uint32_t shape)
      : startIndex(start), endIndex(end), stride(gap), burstLen(burst), shapeValue(shape) {}
};

enum class BlockMode : uint8_t {
  BLOCK_MODE_NORMAL = 0,
  BLOCK_MODE_MATRIX,
  BLOCK_MODE_VECTOR,
  BLOCK_MODE_SMALL_CHANNEL,
  BLOCK_MODE_DEPTHWISE,
};

enum class DeqScale : uint8_t { DEQ_NONE = 0, DEQ, VDEQ, DEQ8, VDEQ8, DEQ16, VDEQ16 };

struct DataCopyEnhancedParams {
  BlockMode blockMode = BlockMode::BLOCK_MODE_NORMAL;
  DeqScale deqScale = DeqScale::DEQ_NONE;
  uint64_t deqValue = 0;
  uint8_t sidStoreMode = 0;
  bool isRelu = false;
  pad_t padMode = pad_t::PAD_NONE;
  uint64_t padValue = 0;

  DataCopyEnhancedParams() = default;
  explicit DataCopyEnhancedParams(BlockMode mode) : blockMode(mode) {}
  DataCopyEnhancedParams(BlockMode mode, DeqScale scale, uint64_t scale_value, uint8_t store_mode,
                         bool relu, pad_t pad, uint64_t pad_value)
      : blockMode(mode),
        deqScale(scale),
        deqValue(scale_value),
        sidStoreMode(store_mode),
        isRelu(relu),
        padMode(pad),
        padValue(pad_value) {}
};

template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                     const Nd2NzParams& params, Where where = Where::Here()) {
  SoftnpuInstruction instruction =
      softnpu_internal::BeginCopy(SOFTNPU_OP_DATA_COPY_ND2NZ, dst.raw_, src.raw_, where);
  const uint16_t fields[] = {
      params.ndNum,     params.nValue,        params.dValue,       params.srcNdMatrixStride,
      params.srcDValue, params.dstNzC0Stride, params.dstNzNStride, params.dstNzMatrixStride};
  for (int i = 0; i < 8; ++i) instruction.params[i] = fields[i];
  softnpu::core::Execute(instruction);
}
template <typename T>
inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                     const Nz2NdParamsFull& params, Where where = Where::Here()) {
  SoftnpuInstruction instruction =
      softnpu_internal::BeginCopy(SOFTNPU_OP_DATA_COPY_NZ2ND, dst.raw_, src.raw_, where);
  const uint16_t fields[] = {
      params.ndNum,      params.nValue,     params.dValue,           params.srcNdMatrixStride,
      params.srcNStride, params.dstDStride, params.dstNdMatrixStride};
  for (int i = 0; i < 7; ++i) instruction.params[i] = fields[i];
  softnpu::core::Execute(instruction);
}

namespace softnpu_internal {
// Element offset of piece `piece` of dimension `dimension`.
template <typename T>
inline uint64_t SliceOffset(const SliceInfo* slices, uint32_t dimension, uint32_t piece) {
  const SliceInfo& slice = slices[dimension];
  const uint32_t burst =
      dimension == 0 ? slice.burstLen * 32 / static_cast<uint32_t>(sizeof(T)) : 1;
  uint64_t offset = slice.startIndex + uint64_t{piece} * (burst + slice.stride);
  for (uint32_t i = 0; i < dimension; ++i) offset *= slices[i].shapeValue;
  return offset;
}
template <typename T>
inline uint32_t SlicePieces(const SliceInfo& slice, uint32_t dimension) {
  const uint32_t burst =
      dimension == 0 ? slice.burstLen * 32 / static_cast<uint32_t>(sizeof(T)) : 1;
  return (slice.endIndex - slice.startIndex + 1 + slice.stride) / (burst + slice.stride);
}
template <typename T, typename D, typename S>
inline void CopySlices(const D& dst, const S& src, const SliceInfo* dst_slices,
                       const SliceInfo* src_slices, uint32_t dimension, uint64_t dst_offset,
                       uint64_t src_offset, const Where& where) {
  const uint32_t pieces = SlicePieces<T>(src_slices[dimension], dimension);
  for (uint32_t i = 0; i < pieces; ++i) {
    const uint64_t to = dst_offset + SliceOffset<T>(dst_slices, dimension, i);
    const uint64_t from = src_offset + SliceOffset<T>(src_slices, dimension, i);
    if (dimension == 0) {
      DataCopy(dst[to], src[from], src_slices[0].burstLen * 32 / static_cast<uint32_t>(sizeof(T)),
               where);
    } else {
      CopySlices<T>(dst, src, dst_slices, src_slices, dimension - 1, to, from, where);
    }
  }
}
}  // namespace softnpu_internal

template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                     const SliceInfo dstSliceInfo[], const SliceInfo srcSliceInfo[],
                     const uint32_t dimValue = 1, Where where = Where::Here()) {
  softnpu_internal::CopySlices<T>(dst, src, dstSliceInfo, srcSliceInfo, dimValue - 1, 0, 0, where);
}
template <typename T>
inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                     const SliceInfo dstSliceInfo[], const SliceInfo srcSliceInfo[],
                     const uint32_t dimValue = 1, Where where = Where::Here()) {
  softnpu_internal::CopySlices<T>(dst, src, dstSliceInfo, srcSliceInfo, dimValue - 1, 0, 0, where);
}

namespace softnpu_internal {
inline void CopyEnhanced(const SoftnpuTensor& dst, const SoftnpuTensor& src,
                         const DataCopyParams& params, const DataCopyEnhancedParams& enhanced,
                         const Where& where) {
  SoftnpuInstruction instruction = BeginCopy(SOFTNPU_OP_DATA_COPY_BLOCKS, dst, src, where);
  instruction.params[0] = params.blockCount;
  instruction.params[1] = params.blockLen;
  instruction.params[2] = params.srcGap;
  instruction.params[3] = params.dstGap;
  instruction.params[8] = static_cast<int64_t>(enhanced.blockMode);
  softnpu::core::Execute(instruction);
}
}  // namespace softnpu_internal

// BLOCK_MODE_NORMAL only.
template <typename T>
inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                     const DataCopyParams& params, const DataCopyEnhancedParams& enhancedParams,
                     Where where = Where::Here()) {
  softnpu_internal::CopyEnhanced(dst.raw_, src.raw_, params, enhancedParams, where);
}
template <typename T>
inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                     const DataCopyParams& params, const DataCopyEnhancedParams& enhancedParams,
                     Where where = Where::Here()) {
  softnpu_internal::CopyEnhanced(dst.raw_, src.raw_, params, enhancedParams, where);
}

// From L0C to the UB, which 310P has: a kernel that comes to it stops.
template <typename T, typename U>
inline void DataCopy(const LocalTensor<T>&, const LocalTensor<U>&, const DataCopyParams&,
                     const DataCopyEnhancedParams&, Where where = Where::Here()) {
  softnpu_internal::Unsupported("DataCopy on the chip with DataCopyEnhancedParams", where);
}

namespace softnpu_internal {
inline void Atomic(SoftnpuOpcode opcode, int64_t type, const Where& where) {
  softnpu::core::Note<SOFTNPU_TWIN_ATOMIC>();
  SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
  instruction.params[0] = type;
  softnpu::core::Execute(instruction);
}
}  // namespace softnpu_internal

// Until SetAtomicNone, copies to GM combine with what is there.
template <typename T>
inline void SetAtomicAdd(Where where = Where::Here()) {
  softnpu_internal::Atomic(SOFTNPU_OP_SET_ATOMIC_ADD, softnpu::core::kTypeOf<T>, where);
}
template <typename T>
inline void SetAtomicMax(Where where = Where::Here()) {
  softnpu_internal::Atomic(SOFTNPU_OP_SET_ATOMIC_MAX, softnpu::core::kTypeOf<T>, where);
}
template <typename T>
inline void SetAtomicMin(Where where = Where::Here()) {
  softnpu_internal::Atomic(SOFTNPU_OP_SET_ATOMIC_MIN, softnpu::core::kTypeOf<T>, where);
}
template <typename T>
inline void SetAtomicType(Where where = Where::Here()) {
  softnpu_internal::Atomic(SOFTNPU_OP_SET_ATOMIC_TYPE, softnpu::core::kTypeOf<T>, where);
}
inline void SetAtomicNone(Where where = Where::Here()) {
  softnpu_internal::Atomic(SOFTNPU_OP_SET_ATOMIC_NONE, 0, where);
}
inline void DisableDmaAtomic(Where where = Where::Here()) {
  softnpu_internal::Atomic(SOFTNPU_OP_DISABLE_DMA_ATOMIC, 0, where);
}

// The value of DataCopyPad's paddings without isPad.
template <typename T, TPosition pos = TPosition::MAX>
inline void SetPadValue(T paddingValue, Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_PAD_VALUE, where);
  instruction.params[0] = sizeof(T);
  instruction.scalar = softnpu::core::Bits(paddingValue);
  softnpu::core::Execute(instruction);
}

// Fills `size` elements of GM.
template <typename T>
inline void InitOutput(GlobalTensor<T> gmWorkspaceAddr, uint32_t size, T value = 0,
                       Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_INIT_OUTPUT, where);
  instruction.operand_count = 1;
  instruction.operand[0] = gmWorkspaceAddr.raw_;
  instruction.count = size;
  instruction.scalar = softnpu::core::Bits(value);
  softnpu::core::Execute(instruction);
}

template <typename T>
inline void InitGlobalMemory(const GlobalTensor<T>& gmWorkspaceAddr, const uint64_t size,
                             const T value, Where where = Where::Here()) {
  InitOutput(gmWorkspaceAddr, static_cast<uint32_t>(size), value, where);
}

template <typename T>
inline void Fill(const GlobalTensor<T>& gmWorkspaceAddr, const uint64_t size, const T value,
                 Where where = Where::Here()) {
  InitOutput(gmWorkspaceAddr, static_cast<uint32_t>(size), value, where);
}

// Inside the UB: not supported.
template <typename T, typename... Params>
inline void DataCopyPad(const LocalTensor<T>&, const LocalTensor<T>&, const Params&...) {
  static_assert(softnpu_internal_unsupported<T>,
                "DataCopyPad from LocalTensor to LocalTensor is not supported by SoftNPU");
}

}  // namespace AscendC
