// cc/softnpu/ascendc/include/ascendc/cube.h: the cube unit: LoadData, Mmad, Fixpipe.
//
// Layouts of A2 and A3, in fractals of 512 bytes (16 rows of 32 bytes; C0 = elements in 32 bytes):
// L1 holds a matrix as columns of fractals (Nz), L0A as rows of fractals (Zz), L0B as rows of
// fractals that are transposed inside, 16 columns of C0 elements of k (Zn), L0C as columns of
// fractals of 16 x 16 (Nz).
#pragma once

#include "ascendc/system.h"
#include "ascendc/tensor.h"

namespace AscendC {

enum QuantMode_t : uint8_t {
  NoQuant,
  F322F16,
  F322BF16,
  DEQF16,
  VDEQF16,
  QF322B8_PRE,
  VQF322B8_PRE,
  REQ8,
  VREQ8,
};

enum class CO2Layout : uint8_t { NZ = 0, ROW_MAJOR, COLUMN_MAJOR };

struct FixpipeConfig {
  CO2Layout format;
};
constexpr FixpipeConfig CFG_NZ = {CO2Layout::NZ};
constexpr FixpipeConfig CFG_ROW_MAJOR = {CO2Layout::ROW_MAJOR};

// In fractals of 512 bytes.
struct LoadData2DParams {
  uint16_t startIndex = 0;
  uint16_t dstGap = 0;
  uint16_t srcStride = 0;
  bool ifTranspose = false;
  uint8_t repeatTimes = 0;
  uint8_t sid = 0;
  uint8_t addrMode = 0;

  LoadData2DParams() = default;
  LoadData2DParams(uint16_t start, uint8_t repeat, uint16_t source_stride, uint8_t stream,
                   uint16_t destination_gap, bool transpose, uint8_t address_mode)
      : startIndex(start),
        dstGap(destination_gap),
        srcStride(source_stride),
        ifTranspose(transpose),
        repeatTimes(repeat),
        sid(stream),
        addrMode(address_mode) {}
};

using LoadData2dParams = LoadData2DParams;

// Sources in square blocks, destinations in fractals.
struct LoadData2dTransposeParams {
  uint16_t startIndex = 0;
  uint8_t repeatTimes = 0;
  uint16_t srcStride = 0;
  uint16_t dstGap = 0;
  uint16_t dstFracGap = 0;
  uint8_t addrMode = 0;

  LoadData2dTransposeParams() = default;
  LoadData2dTransposeParams(uint16_t start, uint8_t repeat, uint16_t source_stride,
                            uint16_t destination_gap, uint16_t fractal_gap,
                            uint8_t address_mode = 0)
      : startIndex(start),
        repeatTimes(repeat),
        srcStride(source_stride),
        dstGap(destination_gap),
        dstFracGap(fractal_gap),
        addrMode(address_mode) {}
};

// A feature map in L1 (NC1HWC0) as the matrix of its windows: rows are output positions, columns
// are (c1, kh, kw, c0).
template <typename T>
struct LoadData3DParamsV2 {
  uint8_t padList[4] = {0, 0, 0, 0};  // left, right, top, bottom
  uint16_t l1H = 0;
  uint16_t l1W = 0;
  uint16_t channelSize = 0;
  uint16_t kExtension = 0;
  uint16_t mExtension = 0;
  uint16_t kStartPt = 0;
  uint16_t mStartPt = 0;
  uint8_t strideW = 1;
  uint8_t strideH = 1;
  uint8_t filterW = 1;
  uint8_t filterH = 1;
  uint8_t dilationFilterW = 1;
  uint8_t dilationFilterH = 1;
  bool enTranspose = false;
  bool enSmallK = false;
  T padValue{};
  bool filterSizeW = false;
  bool filterSizeH = false;
  bool fMatrixCtrl = false;

  LoadData3DParamsV2() = default;
  LoadData3DParamsV2(const uint8_t pads[4], uint16_t l1_h, uint16_t l1_w, uint16_t channels,
                     uint16_t k_extension, uint16_t m_extension, uint16_t k_start, uint16_t m_start,
                     uint8_t stride_w, uint8_t stride_h, uint8_t filter_w, uint8_t filter_h,
                     uint8_t dilation_w, uint8_t dilation_h, bool transpose, bool small_k,
                     T pad_value, bool filter_size_w = false, bool filter_size_h = false,
                     bool fmatrix_control = false)
      : l1H(l1_h),
        l1W(l1_w),
        channelSize(channels),
        kExtension(k_extension),
        mExtension(m_extension),
        kStartPt(k_start),
        mStartPt(m_start),
        strideW(stride_w),
        strideH(stride_h),
        filterW(filter_w),
        filterH(filter_h),
        dilationFilterW(dilation_w),
        dilationFilterH(dilation_h),
        enTranspose(transpose),
        enSmallK(small_k),
        padValue(pad_value),
        filterSizeW(filter_size_w),
        filterSizeH(filter_size_h),
        fMatrixCtrl(fmatrix_control) {
    for (int i = 0; i < 4; ++i) padList[i] = pads[i];
  }
};

struct MmadParams {
  uint16_t m = 0;
  uint16_t n = 0;
  uint16_t k = 0;
  bool isBias = false;
  int32_t fmOffset = 0;
  bool enSsparse = false;
  bool enWinogradA = false;
  bool enWinogradB = false;
  uint8_t unitFlag = 0;
  bool kDirectionAlign = false;
  bool cmatrixSource = false;  // true: the first values of the result are in C2
  bool cmatrixInitVal = true;  // true: the first values are 0
  bool disableGemv = false;
  uint8_t fixShiftVal = 0;

  MmadParams() = default;
  MmadParams(uint16_t m_size, uint16_t n_size, uint16_t k_size, uint8_t unit_flag, bool from_c2,
             bool from_zero)
      : m(m_size),
        n(n_size),
        k(k_size),
        unitFlag(unit_flag),
        cmatrixSource(from_c2),
        cmatrixInitVal(from_zero) {}
  MmadParams(uint16_t m_size, uint16_t n_size, uint16_t k_size, bool bias, int32_t offset,
             bool sparse, bool winograd_a, bool winograd_b)
      : m(m_size),
        n(n_size),
        k(k_size),
        isBias(bias),
        fmOffset(offset),
        enSsparse(sparse),
        enWinogradA(winograd_a),
        enWinogradB(winograd_b) {}
};

struct FixpipeParamsV220 {
  uint16_t nSize = 0;
  uint16_t mSize = 0;
  uint16_t srcStride = 0;  // rows of a column of fractals in L0C
  uint32_t dstStride = 0;  // ROW_MAJOR: elements of a row; NZ: 32-byte blocks
  QuantMode_t quantPre = NoQuant;
  uint64_t deqScalar = 0;  // bits of a float
  uint16_t ndNum = 1;
  uint16_t srcNdStride = 0;
  uint16_t dstNdStride = 0;
  bool reluEn = false;
  uint8_t unitFlag = 0;
  bool isChannelSplit = false;

  FixpipeParamsV220() = default;
  FixpipeParamsV220(uint16_t n, uint16_t m, uint16_t source_stride, uint32_t destination_stride,
                    bool relu)
      : nSize(n), mSize(m), srcStride(source_stride), dstStride(destination_stride), reluEn(relu) {}
};

// L0C to GM or L1 by DataCopy. nz2ndEn: rows of a matrix, as SetFixpipeNz2ndFlag says; scales are
// those of SetFixpipePreQuantFlag or SetFixPipeConfig.
struct DataCopyCO12DstParams {
  uint16_t nSize = 0;
  uint16_t mSize = 0;
  uint32_t dstStride = 0;  // nz2ndEn: elements of a row; else 32-byte blocks
  uint16_t srcStride = 0;  // rows of a column of fractals in L0C
  QuantMode_t quantPre = NoQuant;
  uint8_t reluPre = 0;
  bool channelSplit = false;
  bool nz2ndEn = false;
  uint8_t sid = 0;
  uint8_t unitFlag = 0;  // as that of MmadParams
  uint8_t clipReluPre = 0;
  uint8_t eltWiseOp = 0;
  uint8_t eltWiseAntqEn = 0;

  DataCopyCO12DstParams() = default;
  DataCopyCO12DstParams(uint16_t n, uint16_t m, uint32_t destination_stride, uint16_t source_stride,
                        QuantMode_t quantisation, uint8_t relu, bool split, bool to_rows)
      : nSize(n),
        mSize(m),
        dstStride(destination_stride),
        srcStride(source_stride),
        quantPre(quantisation),
        reluPre(relu),
        channelSplit(split),
        nz2ndEn(to_rows) {}
};

template <typename T>
struct InitConstValueParams {
  uint16_t repeatTimes = 0;
  uint16_t blockNum = 0;
  uint16_t dstGap = 0;
  T initValue{};

  InitConstValueParams() = default;
  InitConstValueParams(uint16_t repeat, uint16_t blocks, uint16_t gap, T value)
      : repeatTimes(repeat), blockNum(blocks), dstGap(gap), initValue(value) {}
};

namespace softnpu_internal {

inline SoftnpuInstruction Cube(SoftnpuOpcode opcode, const Where& where, const SoftnpuTensor& dst,
                               const SoftnpuTensor& src) {
  SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
  instruction.operand_count = 2;
  instruction.operand[0] = dst;
  instruction.operand[1] = src;
  return instruction;
}

template <typename Source>
inline void Load2D(const SoftnpuTensor& dst, const Source& src, const LoadData2DParams& params,
                   const Where& where) {
  SoftnpuInstruction instruction = Cube(SOFTNPU_OP_LOAD_2D, where, dst, src.raw_);
  instruction.params[0] = params.startIndex;
  instruction.params[1] = params.repeatTimes;
  instruction.params[2] = params.srcStride;
  instruction.params[3] = params.dstGap;
  instruction.params[4] = params.ifTranspose;
  instruction.params[5] = params.addrMode;
  softnpu::core::Execute(instruction);
}

template <CO2Layout layout, typename Destination, typename T>
inline void Fix(const Destination& dst, const LocalTensor<T>& src, const SoftnpuTensor* scales,
                const FixpipeParamsV220& params, const Where& where) {
  SoftnpuInstruction instruction = Cube(SOFTNPU_OP_FIXPIPE, where, dst.raw_, src.raw_);
  if (scales != nullptr) {
    instruction.operand_count = 3;
    instruction.operand[2] = *scales;
  }
  instruction.params[0] = params.nSize;
  instruction.params[1] = params.mSize;
  instruction.params[2] = params.srcStride;
  instruction.params[3] = params.dstStride;
  instruction.params[4] = params.quantPre;
  instruction.params[5] = params.ndNum;
  instruction.params[6] = params.srcNdStride;
  instruction.params[7] = params.dstNdStride;
  instruction.params[8] = params.reluEn;
  instruction.params[9] = static_cast<int64_t>(layout);
  instruction.params[10] = params.isChannelSplit;
  instruction.scalar = params.deqScalar;
  softnpu::core::Execute(instruction);
}

template <typename Destination, typename T>
inline void CopyL0c(const Destination& dst, const LocalTensor<T>& src,
                    const DataCopyCO12DstParams& params, const Where& where) {
  SoftnpuInstruction instruction = Cube(SOFTNPU_OP_COPY_L0C, where, dst.raw_, src.raw_);
  instruction.params[0] = params.nSize;
  instruction.params[1] = params.mSize;
  instruction.params[2] = params.srcStride;
  instruction.params[3] = params.dstStride;
  instruction.params[4] = params.quantPre;
  instruction.params[8] = params.reluPre;
  instruction.params[9] =
      static_cast<int64_t>(params.nz2ndEn ? CO2Layout::ROW_MAJOR : CO2Layout::NZ);
  instruction.params[10] = params.channelSplit;
  softnpu::core::Execute(instruction);
}

}  // namespace softnpu_internal

// L1 (or GM) to L0A or L0B, fractal by fractal.
template <typename T>
inline void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                     const LoadData2DParams& params, Where where = Where::Here()) {
  softnpu_internal::Load2D(dst.raw_, src, params, where);
}
template <typename T>
inline void LoadData(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                     const LoadData2DParams& params, Where where = Where::Here()) {
  softnpu_internal::Load2D(dst.raw_, src, params, where);
}

template <typename T>
inline void LoadDataWithTranspose(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                  const LoadData2dTransposeParams& params,
                                  Where where = Where::Here()) {
  SoftnpuInstruction instruction =
      softnpu_internal::Cube(SOFTNPU_OP_LOAD_TRANSPOSE, where, dst.raw_, src.raw_);
  instruction.params[0] = params.startIndex;
  instruction.params[1] = params.repeatTimes;
  instruction.params[2] = params.srcStride;
  instruction.params[3] = params.dstGap;
  instruction.params[4] = params.dstFracGap;
  instruction.params[5] = params.addrMode;
  softnpu::core::Execute(instruction);
}

// Whether the call sets the feature map's size and the value of paddings itself.
struct IsResetLoad3dConfig {
  bool isSetFMatrix = true;
  bool isSetPadding = true;
};
constexpr IsResetLoad3dConfig IS_RESER_LOAD3D_DEFAULT_CONFIG{};

// GCC 12 does not survive a reference to a constant of the calling function; C++20 needs none.
#if __cplusplus >= 202002L
template <typename T, IsResetLoad3dConfig config = IS_RESER_LOAD3D_DEFAULT_CONFIG>
#else
template <typename T, const IsResetLoad3dConfig& config = IS_RESER_LOAD3D_DEFAULT_CONFIG>
#endif
inline void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                     const LoadData3DParamsV2<T>& params, Where where = Where::Here()) {
  SoftnpuInstruction instruction =
      softnpu_internal::Cube(SOFTNPU_OP_LOAD_3D, where, dst.raw_, src.raw_);
  for (int i = 0; i < 4; ++i) instruction.params[0] |= int64_t{params.padList[i]} << (8 * i);
  instruction.params[1] = params.l1H;
  instruction.params[2] = params.l1W;
  instruction.params[3] = params.channelSize;
  instruction.params[4] = params.kExtension;
  instruction.params[5] = params.mExtension;
  instruction.params[6] = params.kStartPt;
  instruction.params[7] = params.mStartPt;
  instruction.params[8] = params.strideW;
  instruction.params[9] = params.strideH;
  instruction.params[10] = params.filterW + (params.filterSizeW ? 256 : 0);
  instruction.params[11] = params.filterH + (params.filterSizeH ? 256 : 0);
  instruction.params[12] = params.dilationFilterW;
  instruction.params[13] = params.dilationFilterH;
  instruction.params[14] = params.enTranspose;
  instruction.params[15] = (config.isSetFMatrix ? 0 : 1) + (config.isSetPadding ? 0 : 2);
  instruction.scalar = softnpu::core::Bits(params.padValue);
  softnpu::core::Execute(instruction);
}

enum class FmatrixMode : uint8_t { FMATRIX_LEFT = 0, FMATRIX_RIGHT };

// The size and the paddings (left, right, top, bottom) of the feature map.
inline void SetFmatrix(uint16_t l1H, uint16_t l1W, const uint8_t padList[4],
                       const FmatrixMode& fmatrixMode, Where where = Where::Here()) {
  (void)fmatrixMode;
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_FMATRIX, where);
  for (int i = 0; i < 4; ++i) instruction.params[0] |= int64_t{padList[i]} << (8 * i);
  instruction.params[1] = l1H;
  instruction.params[2] = l1W;
  softnpu::core::Execute(instruction);
}
// The same for the left matrix, under the name that libraries of templates use.
inline void Load3DSetFMatrixCal(uint16_t l1H, uint16_t l1W, const uint8_t padList[4],
                                Where where = Where::Here()) {
  SetFmatrix(l1H, l1W, padList, FmatrixMode::FMATRIX_LEFT, where);
}

// LoadData3DParamsV2 as words of registers, with the feature map of SetFmatrix. extConfig: from the
// lowest 16 bits up kExtension, mExtension, kStartPt, mStartPt; filterConfig: a byte each for
// strideW, strideH, filterW, filterH, dilationFilterW, dilationFilterH.
struct LoadData3DParamsV2Pro {
  uint16_t channelSize = 0;
  bool enTranspose = false;
  bool enSmallK = false;
  bool filterSizeW = false;
  bool filterSizeH = false;
  bool fMatrixCtrl = false;
  uint64_t extConfig = 0;
  uint64_t filterConfig = 0x010101010101;
};
namespace softnpu_internal {
inline constexpr IsResetLoad3dConfig kMapOfRegisters{false, true};
}  // namespace softnpu_internal
template <typename T>
inline void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                     const LoadData3DParamsV2Pro& params, Where where = Where::Here()) {
  const auto part = [&](int i) { return static_cast<uint16_t>(params.extConfig >> (16 * i)); };
  const auto byte = [&](int i) { return static_cast<uint8_t>(params.filterConfig >> (8 * i)); };
  constexpr uint8_t kNone[4] = {};
  LoadData<T, softnpu_internal::kMapOfRegisters>(
      dst, src,
      LoadData3DParamsV2<T>(kNone, 0, 0, params.channelSize, part(0), part(1), part(2), part(3),
                            byte(0), byte(1), byte(2), byte(3), byte(4), byte(5),
                            params.enTranspose, params.enSmallK, T{}, params.filterSizeW,
                            params.filterSizeH, params.fMatrixCtrl),
      where);
}
template <typename T>
inline void SetLoadDataPaddingValue(const T padValue, Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_LOAD_PADDING, where);
  instruction.scalar = softnpu::core::Bits(padValue);
  softnpu::core::Execute(instruction);
}

// repeatStride: 16 elements along the height (mode 0), 32 bytes along the width (mode 1).
struct LoadDataRepeatParam {
  uint16_t repeatStride = 0;
  uint8_t repeatTime = 1;
  uint8_t repeatMode = 0;

  LoadDataRepeatParam() = default;
  LoadDataRepeatParam(uint16_t stride, uint8_t time, uint8_t mode)
      : repeatStride(stride), repeatTime(time), repeatMode(mode) {}
};
inline void SetLoadDataRepeat(const LoadDataRepeatParam& repeatParams,
                              Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_LOAD_REPEAT, where);
  instruction.params[0] = repeatParams.repeatTime;
  instruction.params[1] = repeatParams.repeatStride;
  instruction.params[2] = repeatParams.repeatMode;
  softnpu::core::Execute(instruction);
}
// The end of the feature map in L1, bytes; 0: none.
inline void SetLoadDataBoundary(uint32_t boundaryValue, Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_LOAD_BOUNDARY, where);
  instruction.params[0] = boundaryValue;
  softnpu::core::Execute(instruction);
}

template <typename T>
inline void InitConstValue(const LocalTensor<T>& dst, const InitConstValueParams<T>& params,
                           Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_INIT_CONST, where);
  instruction.operand_count = 1;
  instruction.operand[0] = dst.raw_;
  instruction.params[0] = params.repeatTimes;
  instruction.params[1] = params.blockNum;
  instruction.params[2] = params.dstGap;
  instruction.scalar = softnpu::core::Bits(params.initValue);
  softnpu::core::Execute(instruction);
}
template <typename T>
inline void Fill(const LocalTensor<T>& dst, const InitConstValueParams<T>& params,
                 Where where = Where::Here()) {
  InitConstValue(dst, params, where);
}

// dst (m x n, L0C) = a (m x k, L0A) x b (k x n, L0B), on top of 0, of dst, or of a row of n values.
template <typename T, typename U, typename S>
inline void Mmad(const LocalTensor<T>& dst, const LocalTensor<U>& a, const LocalTensor<S>& b,
                 const MmadParams& params, Where where = Where::Here()) {
  softnpu::core::Note<SOFTNPU_TWIN_CUBE>();
  SoftnpuInstruction instruction = softnpu_internal::Cube(SOFTNPU_OP_MMAD, where, dst.raw_, a.raw_);
  instruction.operand_count = 3;
  instruction.operand[2] = b.raw_;
  instruction.params[0] = params.m;
  instruction.params[1] = params.n;
  instruction.params[2] = params.k;
  instruction.params[3] = params.cmatrixInitVal;
  instruction.params[4] = params.kDirectionAlign;
  instruction.params[5] = params.enSsparse || params.enWinogradA || params.enWinogradB;
  softnpu::core::Execute(instruction);
}
template <typename T, typename U, typename S, typename V>
inline void Mmad(const LocalTensor<T>& dst, const LocalTensor<U>& a, const LocalTensor<S>& b,
                 const LocalTensor<V>& bias, const MmadParams& params,
                 Where where = Where::Here()) {
  softnpu::core::Note<SOFTNPU_TWIN_CUBE>();
  SoftnpuInstruction instruction = softnpu_internal::Cube(SOFTNPU_OP_MMAD, where, dst.raw_, a.raw_);
  instruction.operand_count = 4;
  instruction.operand[2] = b.raw_;
  instruction.operand[3] = bias.raw_;
  instruction.params[0] = params.m;
  instruction.params[1] = params.n;
  instruction.params[2] = params.k;
  instruction.params[3] = false;
  instruction.params[4] = params.kDirectionAlign;
  instruction.params[5] = params.enSsparse || params.enWinogradA || params.enWinogradB;
  softnpu::core::Execute(instruction);
}

// L0C to GM or L1, with a conversion on the way.
template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR>
inline void Fixpipe(const GlobalTensor<T>& dst, const LocalTensor<U>& src,
                    const FixpipeParamsV220& params, Where where = Where::Here()) {
  softnpu_internal::Fix<config.format>(dst, src, nullptr, params, where);
}
template <typename T, typename U, const FixpipeConfig& config = CFG_NZ>
inline void Fixpipe(const LocalTensor<T>& dst, const LocalTensor<U>& src,
                    const FixpipeParamsV220& params, Where where = Where::Here()) {
  softnpu_internal::Fix<config.format>(dst, src, nullptr, params, where);
}
// `scales`: a 64-bit word per column, whose low half is a float.
template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR>
inline void Fixpipe(const GlobalTensor<T>& dst, const LocalTensor<U>& src,
                    const LocalTensor<uint64_t>& scales, const FixpipeParamsV220& params,
                    Where where = Where::Here()) {
  softnpu_internal::Fix<config.format>(dst, src, &scales.raw_, params, where);
}

template <typename T, typename U>
inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<U>& src,
                     const DataCopyCO12DstParams& params, Where where = Where::Here()) {
  softnpu_internal::CopyL0c(dst, src, params, where);
}
template <typename T, typename U>
inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<U>& src,
                     const DataCopyCO12DstParams& params, Where where = Where::Here()) {
  softnpu_internal::CopyL0c(dst, src, params, where);
}

// Steps from matrix to matrix: 1024 bytes in L0C, elements in the destination.
inline void SetFixpipeNz2ndFlag(uint16_t matrices, uint16_t source_step, uint16_t destination_step,
                                Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_NZ2ND, where);
  instruction.params[0] = matrices;
  instruction.params[1] = source_step;
  instruction.params[2] = destination_step;
  softnpu::core::Execute(instruction);
}
// The low half of the word is a float.
inline void SetFixpipePreQuantFlag(uint64_t scale, Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_PRE_QUANT, where);
  instruction.scalar = scale;
  softnpu::core::Execute(instruction);
}
template <typename T, bool setRelu = false>
inline void SetFixPipeConfig(const LocalTensor<T>& scales, bool unit_flag = false,
                             Where where = Where::Here()) {
  static_assert(!setRelu, "SetFixPipeConfig of relu is not supported by SoftNPU");
  static_cast<void>(unit_flag);
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SET_FIXPIPE_SCALES, where);
  instruction.operand_count = 1;
  instruction.operand[0] = scales.raw_;
  softnpu::core::Execute(instruction);
}

// float operands are taken as HF32; the model computes them as float.
inline void SetHF32Mode(bool) {}
inline void SetHF32TransMode(bool) {}
inline void SetMMLayoutTransform(bool) {}
inline void SetMMColumnMajor() {}
inline void SetMMRowMajor() {}

// Fixpipe as chips before A2 have it: a kernel that comes to it stops.
struct Nz2NdParams {
  bool nz2ndEn = false;
  uint16_t ndNum = 1;
  uint16_t srcNdStride = 0;
  uint16_t dstNdStride = 0;
  uint16_t originalNSize = 0;
};
struct QuantParams {
  QuantMode_t quantPre = NoQuant;
  uint64_t deqScalar = 0;
};
template <typename SrcT>
struct FixpipeParams {
  uint16_t cburstNum = 0;
  uint16_t burstLen = 1;
  uint32_t dstStride = 0;
  uint16_t srcStride = 0;
  QuantParams quantParams;
  bool reluEn = false;
  Nz2NdParams nz2ndParams;
  uint8_t unitFlag = 0;

  FixpipeParams() = default;
  FixpipeParams(uint16_t bursts, uint16_t length, uint16_t source_stride,
                uint32_t destination_stride)
      : cburstNum(bursts),
        burstLen(length),
        dstStride(destination_stride),
        srcStride(source_stride) {}
};
template <template <typename> class Tensor, typename T, typename SrcT>
inline void Fixpipe(const Tensor<T>&, const LocalTensor<SrcT>&, const FixpipeParams<SrcT>&,
                    Where where = Where::Here()) {
  softnpu_internal::Unsupported("Fixpipe with FixpipeParams", where);
}
template <template <typename> class Tensor, typename T, typename SrcT>
inline void Fixpipe(const Tensor<T>&, const LocalTensor<SrcT>&, const LocalTensor<uint64_t>&,
                    const FixpipeParams<SrcT>&, Where where = Where::Here()) {
  softnpu_internal::Unsupported("Fixpipe with FixpipeParams", where);
}

}  // namespace AscendC

using AscendC::QuantMode_t;
