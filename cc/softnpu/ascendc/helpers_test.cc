// cc/softnpu/ascendc/helpers_test.cc: names that kernels take for given: of the scalar unit, of
// elements and whole tensors, and beside the C library's.
#include <stdio.h>

#include "cc/softnpu/ascendc/include/tiling/tiling_api.h"
#include "cc/softnpu/ascendc/testing/device.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel_operator_intf.h"
#include "kernel_operator_list_tensor_intf.h"
#include "kernel_tiling/kernel_tiling.h"
#include "lib/matrix/matmul/matmul.h"
#include "lib/matrix/matmul/tiling.h"

namespace {

using namespace AscendC;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::Device;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::KernelFrame;
using softnpu::ascendc::testing::Slots;

namespace own {
// As kernels have it; it is the better match beside the one of AscendC.
template <typename T>
constexpr T CeilDiv(T a, T b) {
  return b == 0 ? -1 : (a + b - 1) / b;
}
constexpr int Quotient() {
  using namespace AscendC;
  return CeilDiv(7, 0);
}
static_assert(Quotient() == -1);
}  // namespace own

TEST(Helpers, SizesInBlocks) {
  static_assert(CeilDiv(9u, 8) == 2 && AscendC::CeilDiv(uint64_t{1} << 40, 1 << 8) == 1ull << 32);
  static_assert(CeilDiv(3, 0) == 3);
  static_assert(DivCeil(9, 8) == 2 && Ceil(8, 8) == 1 && CeilDivision(1, 3) == 1);
  static_assert(AlignUp(5, 8) == 8 && CeilAlign(16, 8) == 16 && DivCeil(3, 0) == 0);
  static_assert(GetDataBlockSizeInBytes() == 32 && GetVecLen() == 256 && BLOCK_CUBE == 16);
  static_assert(B32_DATA_NUM_PER_REPEAT == 64 && B32_DATA_NUM_PER_BLOCK * B32_BYTE_SIZE == 32);
  static_assert(FULL_MASK == ~uint64_t{0} && TOTAL_UB_SIZE == 196608 && DEFAULT_C0_SIZE == 32);
}

TEST(Helpers, NumbersOfMixedTypes) {
  static_assert(min(3, 5u) == 3u && max(int64_t{-4}, 2) == 2 && min(2, 1) == 1);
  static_assert(Std::max(1, 2.5f) == 2.5f && Std::min(uint8_t{7}, 300) == 7);
  static_assert(Std::is_same_v<int, int> && std::is_same<half, float>::value == false);
  EXPECT_EQ(clz(1), 63);
  EXPECT_EQ(clz(0), 64);
  static_assert(sbitset0(0b1011, 1) == 0b1001 && sbitset1(0b1001, 63) == (uint64_t{1} << 63 | 9));
  static_assert(bcnt1(0b1011) == 3 && bcnt0(0b1011) == 61 && sff1(0b1000) == 3 &&
                sff0(0b0011) == 2);
  static_assert(sff1(0) == -1 && sff0(~uint64_t{0}) == -1);
  EXPECT_TRUE(::abs(-2.5f) == 2.5f && ::abs(-7) == 7);
  static_assert(SizeOfBits<half>::value == 16 && SizeOfBits<int4b_t>::value == 4);
  static_assert(sizeof(float32_t) == 4 && sizeof(float64_t) == 8);
  static_assert(sizeof(Mc2InitTiling) == 64 && sizeof(Mc2CcTiling) == 280);
  static_assert(AscendCUtils::GetBitSize(sizeof(float)) == 32);
  EXPECT_TRUE(likely(true) && !unlikely(false));
}

TEST(Helpers, TensorsPlacedByHandLieWhereTheirPositionIs) {
  const auto space = [](TPosition position) {
    return static_cast<int>(LocalTensor<half>(position, 64, 16).raw_.space);
  };
  EXPECT_EQ(space(TPosition::VECIN), SOFTNPU_SPACE_UB);
  EXPECT_EQ(space(TPosition::A1), SOFTNPU_SPACE_L1);
  EXPECT_EQ(space(TPosition::B1), SOFTNPU_SPACE_L1);
  EXPECT_EQ(space(TPosition::A2), SOFTNPU_SPACE_L0A);
  EXPECT_EQ(space(TPosition::B2), SOFTNPU_SPACE_L0B);
  EXPECT_EQ(space(TPosition::CO1), SOFTNPU_SPACE_L0C);
  LocalTensor<half> tensor(TPosition::A1, 64, 16);
  tensor.address_.bufferAddr = 256;
  tensor.address_.dataLen = 96;
  tensor.address_.logicPos = static_cast<uint8_t>(TPosition::B2);
  EXPECT_EQ(tensor.GetPhyAddr(), 256u);
  EXPECT_EQ(tensor.GetSize(), 48u);
  EXPECT_EQ(static_cast<uint32_t>(tensor.address_.dataLen), 96u);
  EXPECT_EQ(tensor.GetPosition(), TPosition::B2);
  EXPECT_EQ(tensor.raw_.space, SOFTNPU_SPACE_L0B);
}

TEST(Helpers, FloatsOf16BitsAreConstants) {
  constexpr half one = 1.0f;
  constexpr half third = 1.0f / 3;
  static_assert(one.bits == 0x3c00 && third.bits == 0x3555 && half(65520.0f).bits == 0x7c00);
  constexpr bfloat16_t two = 2;
  static_assert(two.bits == 0x4000 && ToFloat(ToBfloat16(1.00390625f)) == 1.0f);
  const DataCopyPadExtParams<bfloat16_t> padding{false, 0, 0, 0};
  EXPECT_EQ(padding.paddingValue.bits, 0);
}

TEST(Helpers, HeadersOfTilingHaveTheStructs) {
  tiling::TCubeTiling product;
  product.M = 16;
  ::SoftMaxTiling softmax;
  softmax.srcM = 1;
  const LoadData2dParams load;
  static_assert(std::is_same_v<::QuantMode_t, AscendC::QuantMode_t>);
  static_assert(std::is_same_v<AscendC::int4b_t, ::int4b_t>);
  constexpr MatmulConfig config = CFG_NORM;
  static_assert(config.doNorm && !CFG_MDL.doNorm && GetMDLConfig(true).doMultiDataLoad);
  static_assert(GetNormalConfig(false, true).doNorm && GetIBShareNormConfig().doNorm);
  static_assert(GetBasicConfig(16, 16, 16).doBasicBlock && GetSpecialBasicConfig().doBasicBlock);
  static_assert(GetSpecialMDLConfig().doMultiDataLoad);
  static_assert(GetNormalConfig(false, false, false, BatchMode::BATCH_LESS_THAN_L1, true,
                                IterateOrder::ORDER_M, ScheduleType::OUTER_PRODUCT)
                    .doNorm);
  g_cubeTPipePtr = nullptr;
  static_assert(GetMMConfig<MatmulConfigMode::CONFIG_MDL>(1, 2).doMultiDataLoad);
  constexpr SoftMaxShapeInfo shape{8, 32, 8, 32};
  static_assert(SoftMaxTilingFunc(shape, 4, 1024).srcK == 32);
  static_assert(SoftMaxFlashV2TilingFunc(shape, 2, 4, 1024, true).srcM == 8);
  EXPECT_EQ(product.M + static_cast<int>(softmax.srcM) + load.repeatTimes, 17);
  EXPECT_EQ(static_cast<int>(LayoutMode::NONE), 0);
}

// What hosts compute for kernels: the sizes of the shape, and buffers that can be allocated.
// Programs ask for the splits where there is a chip (tests/softnpu/programs/product_main.cpp).
TEST(Helpers, SplitsOfAProductAreAskedForInVainBefore) {
  matmul_tiling::MultiCoreMatmulTiling tiling;
  EXPECT_EQ(tiling.GetBaseM(), -1);
  EXPECT_EQ(tiling.GetBaseN(), -1);
  EXPECT_EQ(tiling.GetBaseK(), -1);
  int32_t m = 0, n = 0, k = 0;
  EXPECT_EQ(tiling.GetSingleShape(m, n, k), -1);
  EXPECT_EQ(tiling.EnableBias(true), 0);
  EXPECT_EQ(tiling.SetMadType(matmul_tiling::MatrixMadType::NORMAL), 0);
  EXPECT_EQ(tiling.SetDequantType(matmul_tiling::DequantType::SCALAR), 0);
  EXPECT_EQ(tiling.SetDoubleBuffer(true, true, true, true), 0);
  EXPECT_EQ(tiling.SetMatmulConfigParams(1), 0);
  EXPECT_EQ(tiling.EnableL1BankConflictOptimise(), 0);
}

TEST(Helpers, HostsFillInTilings) {
  uint32_t most = 0, least = 0;
  const ge::Shape rows(std::vector<int64_t>{2, 16, 64, 60});
  GetLayerNormMaxMinTmpSize(rows, 2, false, most, least);
  EXPECT_GE(most, least);
  EXPECT_GE(least, 64u * 4);
  // Whatever stands between the shape and the two sizes.
  uint32_t other_most = 0, other_least = 0, type_size = 4;
  GetReduceSumMaxMinTmpSize(rows, type_size, false, other_most, other_least);
  EXPECT_EQ(other_most, most);
  EXPECT_EQ(other_least, least);
  EXPECT_EQ(type_size, 4u);
  GetSiluTmpSize(rows, 4, false, other_most, other_least);
  GetSwishTmpSize(rows, 4, false, other_most, other_least);
  EXPECT_EQ(other_most, most);
  uint32_t tensors = 0, more = 7;
  GetTanhTmpBufferFactorSize(4, tensors, more);
  EXPECT_EQ(tensors, 1u);
  EXPECT_EQ(more, 0u);
  EXPECT_EQ(GetSortTmpSize(platform_ascendc::PlatformAscendC(), 33, 4), 64u * 8);
  EXPECT_EQ(GetConcatTmpSize(platform_ascendc::PlatformAscendC(), 32, 2), 32u * 8);
  optiling::LayerNormTiling layer;
  GetLayerNormNDTilingInfo(rows, least, 2, false, layer);
  EXPECT_EQ(layer.bLength * layer.sLength * layer.hLength, 2u * 16 * 64);
  EXPECT_EQ(layer.originalHLength, 60u);
  LayerNormSeparateTiling separate;
  GetLayerNormNDTilingInfo({8, 64}, least, 2, false, true, separate);
  EXPECT_EQ(separate.aLength * separate.rLength, 8u * 64);
  LayerNormGradTiling grad;
  GetLayerNormGradNDTilingInfo({1, 8, 32, 32}, least, 4, false, grad);
  LayerNormGradBetaTiling beta;
  GetLayerNormGradBetaNDTilingInfo({1, 8, 32, 32}, least, 4, false, beta);
  EXPECT_EQ(grad.sLength * grad.hLength, beta.bshLength);
  RmsNormTiling rms;
  EXPECT_TRUE(GetRmsNormTilingInfo({2, 3, 64}, {2, 3, 61}, least, 2, rms));
  EXPECT_EQ(rms.originalHLength, 61u);
  DeepNormTiling deep;
  EXPECT_TRUE(GetDeepNormTilingInfo({2, 3, 64}, {2, 3, 64}, least, 2, false, false, deep));
  EXPECT_FALSE(GetDeepNormTilingInfo({1, 1, 2048}, {1, 1, 2048}, least, 2, false, false, deep));
  BatchNormTiling batch;
  EXPECT_TRUE(GetBatchNormNDTilingInfo({16, 4, 8}, {15, 4, 8}, least, 4, false, batch));
  EXPECT_EQ(batch.originalBLength * batch.meanVarSize, 15u * 32);
  EXPECT_FALSE(GetBatchNormNDTilingInfo({16, 3, 3}, {16, 3, 3}, least, 4, false, batch));
  GroupNormTiling group;
  GetGroupNormNDTilingInfo({2, 16, 8, 8}, least, 2, false, 4, group);
  EXPECT_EQ(group.g * group.d * group.hw, 16u * 64);
  SoftMaxTiling softmax;
  SoftMaxTilingFunc({4, 80, 64}, 2, GetSoftMaxMinTmpSize({4, 80, 64}, 2, false), softmax);
  EXPECT_EQ(softmax.srcM, 320u);
  EXPECT_EQ(softmax.outMaxK, 16u);
  EXPECT_FALSE(IsBasicBlockInSoftMax(softmax));
  SoftMaxFlashV2TilingFunc({8, 128}, 2, 4, GetSoftMaxFlashV2MaxTmpSize({8, 128}, 2, 4, true),
                           softmax, true);
  EXPECT_TRUE(IsBasicBlockInSoftMax(softmax, 2));
  LogSoftMaxTiling logs;
  LogSoftMaxTilingFunc({8, 32}, 4, GetLogSoftMaxMinTmpSize({8, 32}, 4, false), logs);
  EXPECT_EQ(logs.srcK, 32u);
  PadTiling pad;
  PadTilingFunc({20, 64}, {20, 63}, least, 2, pad);
  EXPECT_EQ(pad.srcOriWidth + pad.srcWidth, 127u);
  ConfusionTransposeTiling transpose;
  GetTransposeTilingInfo({32, 16}, least, 2, 7, transpose);
  EXPECT_EQ(transpose.param1 * 100 + transpose.param2, 3216u);
  TopkTiling top;
  const platform_ascendc::PlatformAscendC chip;
  EXPECT_TRUE(TopKTilingFunc(chip, 64, 2, 9, 4, false, TopKMode::TOPK_NORMAL, true, top));
  EXPECT_EQ(top.kAlignFourBytes, 16);
  EXPECT_FALSE(TopKTilingFunc(chip, 33, 2, 9, 4, false, TopKMode::TOPK_NORMAL, true, top));
}

void Elements(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  TBuf<> more;
  f.pipe.InitBuffer(more, 256);
  LocalTensor<float> c = more.AllocTensor<float>();
  Duplicate(f.a, 6.0f, 64);
  Duplicate(f.b, 4.0f, 64);
  PipeBarrier<PIPE_ALL>();
  f.a.SetSize(64);
  f.b.SetSize(64);
  c = f.a * f.b;
  PipeBarrier<PIPE_ALL>();
  c(0) += 2;
  c(1) = c(0);
  c(2) -= f.a(0);
  c(3) /= 4;
  c(4) *= 2;
  f.w(0) = static_cast<int32_t>(block_num) + static_cast<int32_t>(block_idx);
  f.w(1) += 5;
  PipeBarrier<PIPE_ALL>();
  DataCopy(f.y, c, 8);
  more.FreeTensor(c);
  AscendCUtils::SetMask<float>(0, FULL_MASK);
  AscendCUtils::SetMask<float>(8);
  AscendCUtils::ResetMask();
}

TEST(Helpers, ElementsAndWholeTensors) {
  Device device;
  device.Run(softnpu::twin::MakeEntry<&Elements>("elements", __FILE__, __LINE__), 1);
  const std::vector<float> y = device.y();
  EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + 6),
            (std::vector<float>{26, 26, 18, 6, 48, 24}));
  EXPECT_EQ(device.w()[0], 1);
  EXPECT_EQ(device.w()[1], 5);
}

// A list of two tensors: three dimensions and one; the sum of the first elements goes to w.
void ReadsAList(GM_ADDR list, GM_ADDR, GM_ADDR w) {
  ListTensorDesc tensors(list, 9 * sizeof(uint64_t));
  GlobalTensor<int32_t> out;
  out.SetGlobalBuffer(reinterpret_cast<__gm__ int32_t*>(w));
  uint64_t shape[8] = {};
  TensorDesc<float> first, second;
  first.SetShapeAddr(shape);
  tensors.GetDesc(first, 0);
  tensors.GetDesc(second, 1);
  out(0) = static_cast<int32_t>(tensors.GetSize());
  out(1) = static_cast<int32_t>(first.GetDim() * 10 + first.GetIndex());
  out(2) =
      static_cast<int32_t>(first.GetShape(0) * 100 + first.GetShape(1) * 10 + first.GetShape(2));
  out(3) = static_cast<int32_t>(second.GetDim() * 10 + second.GetIndex());
  out(4) = static_cast<int32_t>(first.GetDataObj()(1));
  out(5) = static_cast<int32_t>(second.GetDataObj()(0));
  out(6) = tensors.GetDataPtr<float>(1) == second.GetDataPtr() ? 1 : 0;
  out(7) = static_cast<int32_t>(sqrt(49) + sqrt(6.25f) * 2);
}

TEST(Helpers, AListOfTensors) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  const uintptr_t one = memory.Put(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}, "one");
  const uintptr_t two = memory.Put(std::vector<float>{9, 10}, "two");
  const std::vector<uint64_t> words = {7 * 8, 3, 2, 3, 4, (uint64_t{1} << 32) | 1, 2, one, two};
  const uintptr_t list = memory.Put(words, "list");
  const uintptr_t out = memory.Allocate(32, "out");
  const Slots slots(list, uint64_t{0}, out);
  softnpu::ascendc::Launch(Chip910B(), memory,
                           softnpu::twin::MakeEntry<&ReadsAList>("list", __FILE__, __LINE__),
                           slots.data(), slots.bytes(), 1, true);
  EXPECT_EQ(memory.Get<int32_t>(out), (std::vector<int32_t>{2, 30, 234, 11, 2, 9, 1, 12}));
}

// Two tensors placed by an allocator; with `count` too large the second one leaves the UB.
void PlacesTensors(GM_ADDR x, GM_ADDR y, uint32_t count) {
  GlobalTensor<float> from, to;
  from.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x));
  to.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(y));
  LocalMemAllocator<Hardware::UB> ub;
  LocalTensor<float> a = ub.Alloc<TPosition::VECIN, float, 9>();
  ascendc_assert(ub.GetCurAddr() == 64 && a.GetPosition() == TPosition::VECIN);
  LocalTensor<float> b = ub.Alloc<float>(count);
  LocalMemAllocator<Hardware::L1> l1;
  ascendc_assert((l1.Alloc<half, 16>().GetPosition() == TPosition::A1 && l1.GetCurAddr() == 32));
  DataCopy(a, from, 8);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  Adds(b[count - 8], a, 1.0f, 8);
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(to, b[count - 8], 8);
}

void LaunchPlaced(HostMemory& memory, uintptr_t y, uint32_t count) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  const uintptr_t x = memory.Put(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}, "x");
  const Slots slots(x, y, uint64_t{count});
  softnpu::ascendc::Launch(Chip910B(), memory,
                           softnpu::twin::MakeEntry<&PlacesTensors>("placed", __FILE__, __LINE__),
                           slots.data(), slots.bytes(), 1, true);
}

TEST(Helpers, TensorsThatAnAllocatorPlaces) {
  HostMemory memory;
  const uintptr_t y = memory.Allocate(32, "y");
  LaunchPlaced(memory, y, 64);
  EXPECT_EQ(memory.Get<float>(y), (std::vector<float>{2, 3, 4, 5, 6, 7, 8, 9}));
  try {
    LaunchPlaced(memory, y, 49152);
    FAIL() << "the second tensor ends 64 bytes behind the UB";
  } catch (const softnpu::ascendc::KernelError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("beyond the UB's 196608 bytes"));
  }
}

void FillsGm(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  InitGlobalMemory(f.y, 64, 3.0f);
  Fill(f.y[64], 64, 4.0f);
  ascendc_assert((AscendC::g_coreType == AscendC::AIV), "it is %d", 1);
}

TEST(Helpers, InitGlobalMemoryFills) {
  Device device;
  device.Run(softnpu::twin::MakeEntry<&FillsGm>("fills", __FILE__, __LINE__), 1);
  EXPECT_EQ(device.y()[63], 3.0f);
  EXPECT_EQ(device.y()[64], 4.0f);
  EXPECT_EQ(device.y()[127], 4.0f);
}

TEST(Helpers, BitsOfWords) {
  static_assert(ScalarGetCountOfValue<1>(0xf0) == 4 && ScalarGetCountOfValue<0>(0xf0) == 60);
  static_assert(ScalarGetSFFValue<1>(28) == 2 && ScalarGetSFFValue<0>(7) == 3);
  static_assert(ScalarGetSFFValue<1>(0) == -1 && ScalarGetSFFValue<0>(~uint64_t{0}) == -1);
  static_assert(GetBitCount<1>(0xffff) == 16 && GetBitCount<0>(0xffff) == 48);
  static_assert(GetSFFValue<1>(28) == 2 && GetSFFValue<1>(0) == -1);
  static_assert(CountLeadingZero(0xff) == 56 && CountLeadingZero(0) == 64);
  MarkStamp(1);  // of a timeline
  static_assert(ScalarCountLeadingZero(1) == 63 && ScalarCountLeadingZero(0) == 64);
  static_assert(CountBitsCntSameAsSignBit(0x0f00000000000000) == 3);
  static_assert(CountBitsCntSameAsSignBit(0) == -1 && CountBitsCntSameAsSignBit(-1) == -1);
}

TEST(Helpers, ScalarsAreCastAsVectorsAre) {
  EXPECT_EQ((ScalarCast<float, int32_t, RoundMode::CAST_ROUND>(2.5f)), 3);
  EXPECT_EQ((ScalarCast<float, int32_t, RoundMode::CAST_RINT>(2.5f)), 2);
  EXPECT_EQ((ScalarCast<float, int32_t, RoundMode::CAST_FLOOR>(-2.5f)), -3);
  EXPECT_EQ((ScalarCast<float, int32_t, RoundMode::CAST_CEIL>(3e9f)), INT32_MAX);
  const auto odd = [](float value) {
    return ScalarCast<float, half, RoundMode::CAST_ODD>(value).bits;
  };
  EXPECT_EQ(odd(1.0f), 0x3c00);
  EXPECT_EQ(odd(1.0002f), 0x3c01);
  EXPECT_EQ(odd(1.0015f), 0x3c01);
  EXPECT_EQ(odd(-1.0002f), 0xbc01);
  EXPECT_EQ(odd(3e-8f), 1);  // below the smallest half
  EXPECT_EQ(odd(65519.0f), 0x7bff);
  EXPECT_EQ(odd(65536.0f), 0x7c00);
  EXPECT_EQ(odd(6.1e-5f), 0x03ff);  // a subnormal half
}

void NotesShapes(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  const uint32_t sizes[] = {4, 16}, original[] = {4, 13};
  f.a.SetShapeInfo(ShapeInfo(2, sizes, 2, original, DataFormat::ND));
  EXPECT_EQ(GetShapeSize(f.a.GetShapeInfo()), 64u);
  EXPECT_EQ(f.a.GetShapeInfo().originalShape[1], 13u);
  f.x.SetShapeInfo(ShapeInfo(2, sizes));
  EXPECT_EQ(f.x.GetShapeInfo().dataFormat, DataFormat::ND);
  f.a.SetUserTag(TTagType{7});
  EXPECT_EQ(f.a.GetUserTag(), 7);
  LocalTensor<half> part;
  part.SetAddrWithOffset(f.b, 8);
  EXPECT_EQ(part.GetPhyAddr(), f.b[8].GetPhyAddr());
  part.SetBufferLen(16);
  EXPECT_EQ(part.GetLength(), 32u);
  EXPECT_EQ(part.GetPosition(), TPosition::VECCALC);
}

TEST(Helpers, TensorsKeepNotes) {
  Device().Run(softnpu::twin::MakeEntry<&NotesShapes>("notes", __FILE__, __LINE__), 1);
}

int g_calls = 0;
void Called(int by) { g_calls += by; }

void MasksByTheCompilersNames(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  Duplicate(f.a, 0.0f, 64);
  pipe_barrier(PIPE_V);
  set_mask_norm();
  set_vector_mask(0, 0xf);
  Adds<float, false>(f.a, f.a, 1.0f, MASK_PLACEHOLDER, 1, UnaryRepeatParams());
  set_mask_count();
  set_mask_norm();
  ResetMask();
  set_flag(PIPE_V, PIPE_MTE3, EVENT_ID0);
  wait_flag(PIPE_V, PIPE_MTE3, EVENT_ID0);
  DataCopy(f.y, f.a, 8);
  EXPECT_EQ(get_block_idx(), 0);
  EXPECT_EQ(get_block_num(), 1);
  EXPECT_EQ(get_subblockid(), 0);
}

TEST(Helpers, MasksByTheCompilersNames) {
  Device device;
  device.Run(softnpu::twin::MakeEntry<&MasksByTheCompilersNames>("masks", __FILE__, __LINE__), 1);
  EXPECT_EQ(device.y()[3], 1.0f);
  EXPECT_EQ(device.y()[4], 0.0f);
}

void AsksTheSystem(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  EXPECT_NE(GetSysWorkSpacePtr(), nullptr);
  SetSysWorkspace(w);
  EXPECT_EQ(GetSysWorkSpacePtr(), w);
  SetSysWorkSpace(y);
  EXPECT_EQ(GetSysWorkSpacePtr(), y);
  Async<EngineType::AIV, Called>(1);
  Async<EngineType::AIC, Called>(10);
  Async<EngineType::ALL, Called>(100);
  InitSocState();
  MetricsProfStart();
  MetricsProfStop();
  PrintTimeStamp(3);
  SetNextTaskStart();
  WaitPreTaskEnd();
  TRACE_START(1);
  TRACE_STOP(1);
  EXPECT_EQ(GetICachePreloadStatus(), 0);
  TQueSync<PIPE_MTE2, PIPE_V> sync;
  DataCopy(f.a, f.x, 8);
  sync.SetFlag(0);
  sync.WaitFlag(0);
  Adds(f.b, f.a, 1.0f, 8);
}

TEST(Helpers, TheSystemAndItsMarks) {
  g_calls = 0;
  Device().Run(softnpu::twin::MakeEntry<&AsksTheSystem>("system", __FILE__, __LINE__), 1);
  EXPECT_EQ(g_calls, 101);
}

struct TwoWords {
  int32_t first, second;
};
REGISTER_NONE_TILING;

void TakesTilings(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  REGISTER_TILING_DEFAULT(TwoWords);
  REGISTER_TILING_FOR_TILINGKEY("TILING_KEY_VAR == 1", TwoWords);
  TILING_KEY_LIST(1, 2);
  KernelFrame f(x, y, w);
  GET_TILING_DATA(data, w);
  GET_TILING_DATA_MEMBER(TwoWords, second, second, w);
  GET_TILING_DATA_PTR_WITH_STRUCT(TwoWords, pointer, w);
  COPY_TILING_WITH_STRUCT(TwoWords, w, copy);
  COPY_TILING_WITH_ARRAY(int32_t, 4, w, words);
  EXPECT_EQ(data.first + second + pointer->first + copy->second + words[3], 0);
}

TEST(Helpers, TilingsAreCopied) {
  Device().Run(softnpu::twin::MakeEntry<&TakesTilings>("tilings", __FILE__, __LINE__), 1);
}

}  // namespace
