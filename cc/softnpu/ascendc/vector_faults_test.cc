// cc/softnpu/ascendc/vector_faults_test.cc: faults of the vector unit, their lines, and mended
// twins.
//
// As testing/fault_cases.h says.

#include "cc/softnpu/ascendc/testing/fault_cases.h"
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc;
using namespace softnpu::ascendc::testing;
using fault_cases::Case;

// 16 KiB of ones, as float.
struct Place {
  TPipe pipe;
  TBuf<> buffer;
  LocalTensor<float> a;
  Place() {
    pipe.InitBuffer(buffer, 16384);
    a = buffer.Get<float>();
    Duplicate(a, 1.0f, 4096);
    PipeBarrier<PIPE_ALL>();
  }
};

template <bool fault>
void MaskBitBeyondTheRepeat(GM_ADDR) {
  Place p;
  const uint64_t mask[2] = {1, fault ? 1u : 0u};
  Adds(p.a, p.a, 1.0f, mask, 1, UnaryRepeatParams());  // FAULT MaskBitBeyondTheRepeat
}

template <bool fault>
void MaskOfNoElement(GM_ADDR) {
  Place p;
  Adds(p.a[64], p.a, 1.0f, fault ? 0 : 1, 1, UnaryRepeatParams());  // FAULT MaskOfNoElement
}

template <bool fault>
void MaskOfNoBit(GM_ADDR) {
  Place p;
  const uint64_t mask[2] = {fault ? uint64_t{0} : uint64_t{4}, 0};
  Adds(p.a[64], p.a, 1.0f, mask, 1, UnaryRepeatParams());  // FAULT MaskOfNoBit
}

template <bool fault>
void RegisterOfAnotherMode(GM_ADDR) {
  Place p;
  if (!fault) SetMaskCount();
  SetVectorMask<float, MaskMode::COUNTER>(100);
  Adds<float, false>(p.a, p.a, 1.0f, MASK_PLACEHOLDER, 1, {});  // FAULT RegisterOfAnotherMode
}

template <bool fault>
void BitsInCounterMode(GM_ADDR) {
  Place p;
  if (fault) SetMaskCount();
  const uint64_t mask[2] = {1, 0};
  Adds(p.a, p.a, 1.0f, mask, 1, UnaryRepeatParams());  // FAULT BitsInCounterMode
}

template <bool fault>
void ComparedNotWhole(GM_ADDR) {
  Place p;
  const LocalTensor<uint8_t> bits = p.a[2048].ReinterpretCast<uint8_t>();
  Compare(bits, p.a, p.a, CMPMODE::EQ, fault ? 96 : 128);  // FAULT ComparedNotWhole
}

template <bool fault>
void NoComparison(GM_ADDR) {
  Place p;
  if (!fault) Compare(p.a, p.a[64], CMPMODE::EQ, uint64_t{64}, BinaryRepeatParams());
  PipeBarrier<PIPE_V>();
  Select<float>(p.a[512], p.a, p.a[64], 1, BinaryRepeatParams());  // FAULT NoComparison
}

template <bool fault>
void ResultOnLaterInput(GM_ADDR) {
  Place p;
  WholeReduceSum(p.a[fault ? 64 : 0], p.a, 64, 4, 1, 1, 8);  // FAULT ResultOnLaterInput
}

template <bool fault>
void TooLittleTmp(GM_ADDR) {
  Place p;
  LocalTensor<float> tmp = p.a[1024];
  tmp.SetSize(fault ? 8 : 16);
  ReduceSum(p.a[2048], p.a, tmp, 1000);  // FAULT TooLittleTmp
}

template <bool fault>
void OffsetOfNoBlock(GM_ADDR) {
  Place p;
  const LocalTensor<uint32_t> offset = p.a[1024].ReinterpretCast<uint32_t>();
  Duplicate(offset, fault ? 8u : 32u, 8);
  PipeBarrier<PIPE_V>();
  Gatherb(p.a[2048], p.a, offset, 1, GatherRepeatParams());  // FAULT OffsetOfNoBlock
}

template <bool fault>
void GatherMaskPastTheEnd(GM_ADDR) {
  Place p;
  uint64_t kept = 0;
  const GatherMaskParams params(1, 2, 8, 0);
  LocalTensor<float> out = p.a[2048];
  out.raw_.begin = out.raw_.address;
  out.SetSize(fault ? 63 : 64);
  GatherMask(out, p.a, uint8_t{1}, false, 0, params, kept);  // FAULT GatherMaskPastTheEnd
}

template <bool fault>
void ListsOfDifferentLength(GM_ADDR) {
  Place p;
  const uint16_t lengths[4] = {16, 16, 16, static_cast<uint16_t>(fault ? 8 : 16)};
  const MrgSortSrcList<float> list(p.a, p.a[32], p.a[64], p.a[96]);
  MrgSort(p.a[2048], list, MrgSort4Info(lengths, false, 15, 2));  // FAULT ListsOfDifferentLength
}

template <bool fault>
void NameOfAnotherChip(GM_ADDR) {
  Place p;
  const LocalTensor<uint32_t> offset = p.a[1024].ReinterpretCast<uint32_t>();
  Duplicate(offset, 0u, 8);
  PipeBarrier<PIPE_V>();
  if (fault) Scatter(p.a[2048], p.a, offset, 0, 8);  // FAULT NameOfAnotherChip
}

template <bool fault>
void CastOddElsewhere(GM_ADDR) {
  Place p;
  const LocalTensor<bfloat16_t> out = p.a[1024].ReinterpretCast<bfloat16_t>();
  const RoundMode mode = fault ? RoundMode::CAST_ODD : RoundMode::CAST_RINT;
  Cast(out, p.a, mode, 64);  // FAULT CastOddElsewhere
}

template <bool fault>
void HalfOfAByte(GM_ADDR) {
  Place p;
  const LocalTensor<half> in = p.a.ReinterpretCast<half>();
  const LocalTensor<int4b_t> out = p.a[1024].ReinterpretCast<int4b_t>();
  Cast(out, in, RoundMode::CAST_RINT, fault ? 15 : 16);  // FAULT HalfOfAByte
}

template <bool fault>
void RepeatsThatDoNotFit(GM_ADDR) {
  Place p;
  const int64_t repeats = GetBlockNum() * (fault ? 256 : 2);
  Adds(p.a, p.a, 1.0f, 1, repeats, {1, 1, 8, 8});  // FAULT RepeatsThatDoNotFit
}

// As the compiler sees the sum of a constant and nothing: only with optimisation.
template <bool fault>
void NoRepeat(GM_ADDR) {
  Place p;
  SoftnpuInstruction call = softnpu::core::Begin(SOFTNPU_OP_EXP, Where::Here());  // FAULT NoRepeat
  call.operand_count = 2;
  call.operand[0] = call.operand[1] = p.a.raw_;
  call.block_stride[0] = call.block_stride[1] = 1;
  call.form = SOFTNPU_FORM_MASK;
  call.mask[0] = 64;
  call.constant_repeat = fault ? 1 : 0;
  softnpu::core::Execute(call);
}

template <bool fault>
void AtomicLeftOn(GM_ADDR) {
  SetAtomicAdd<float>();  // FAULT AtomicLeftOn
  if (!fault) SetAtomicNone();
}

template <bool fault>
void AtomicOfAnotherType(GM_ADDR x) {
  Place p;
  GlobalTensor<float> gm;
  gm.SetGlobalBuffer(reinterpret_cast<float*>(x), 64);
  if (fault) {
    SetAtomicAdd<int32_t>();
  } else {
    SetAtomicAdd<float>();
  }
  DataCopy(gm, p.a, 64);  // FAULT AtomicOfAnotherType
  SetAtomicNone();
}

template <bool fault>
void TmpIsNoValue(GM_ADDR) {
  Place p;
  const LocalTensor<uint8_t> tmp = p.buffer.GetWithOffset<uint8_t>(1024, 8192);
  Sigmoid(p.a, p.a, tmp, 64);
  PipeBarrier<PIPE_V>();
  WholeReduceSum(p.a[64], p.a[fault ? 2048 : 0], 8, 1, 1, 1, 8);  // FAULT TmpIsNoValue
}

template <bool fault>
void ListThatIsNotSorted(GM_ADDR) {
  Place p;
  const uint16_t lengths[4] = {16, 16, 16, 16};
  Duplicate(p.a, 0.0f, 128);
  PipeBarrier<PIPE_V>();
  // A list with a NaN has no order that could be wrong.
  Duplicate(p.a[72], fault ? 1.0f : std::numeric_limits<float>::quiet_NaN(), 8);
  PipeBarrier<PIPE_V>();
  const MrgSortSrcList<float> list(p.a, p.a[32], p.a[64], p.a[96]);
  MrgSort(p.a[2048], list, MrgSort4Info(lengths, false, 15, 1));  // FAULT ListThatIsNotSorted
}

const Case kCases[] = {
    SOFTNPU_FAULT_CASE(MaskBitBeyondTheRepeat, "V", "Adds",
                       "a bit of the mask is set beyond the 64 elements"),
    SOFTNPU_FAULT_CASE(MaskOfNoElement, "V", "Adds", "the mask is 0"),
    SOFTNPU_FAULT_CASE(MaskOfNoBit, "V", "Adds", "the mask is 0"),
    SOFTNPU_FAULT_CASE(RegisterOfAnotherMode, "V", "Adds",
                       "the mask register has a count of elements"),
    SOFTNPU_FAULT_CASE(BitsInCounterMode, "V", "Adds", "a mask of bits while SetMaskCount holds"),
    SOFTNPU_FAULT_CASE(ComparedNotWhole, "V", "Compare", "96 elements are 384 bytes"),
    SOFTNPU_FAULT_CASE(NoComparison, "V", "Select", "CMPMASK holds no value"),
    SOFTNPU_FAULT_CASE(ResultOnLaterInput, "V", "WholeReduceSum",
                       "the result of repeat 0 overlaps what a later repeat reads"),
    SOFTNPU_FAULT_CASE(TooLittleTmp, "V", "ReduceSum",
                       "sharedTmpBuffer has 32 bytes, 64 are needed"),
    SOFTNPU_FAULT_CASE(OffsetOfNoBlock, "V", "Gatherb",
                       "offset 8 of block 0 is not a multiple of 32"),
    SOFTNPU_FAULT_CASE(GatherMaskPastTheEnd, "V", "GatherMask",
                       "writes outside the tensor's 252 bytes"),
    SOFTNPU_FAULT_CASE(ListsOfDifferentLength, "V", "MrgSort", "four lists of equal length"),
    SOFTNPU_FAULT_CASE(ListThatIsNotSorted, "V", "MrgSort",
                       "source 2 is not sorted: its record 4 has the score 1, the one before it 0"),
    SOFTNPU_FAULT_CASE(NameOfAnotherChip, "V", "Scatter", "Ascend910B3 has no Scatter"),
    SOFTNPU_FAULT_CASE(CastOddElsewhere, "V", "Cast", "CAST_ODD is for float to half only"),
    SOFTNPU_FAULT_CASE(HalfOfAByte, "V", "Cast", "one of two int4b_t that share a byte"),
    SOFTNPU_FAULT_CASE(NoRepeat, "V", "Exp", "repeatTime 0", "256 in a uint8_t is 0"),
    SOFTNPU_FAULT_CASE(AtomicLeftOn, "S", "SetAtomicAdd", "still holds when the kernel ends"),
    SOFTNPU_FAULT_CASE(AtomicOfAnotherType, "MTE3", "DataCopy", "SetAtomicAdd of int32_t holds"),
    SOFTNPU_FAULT_CASE(TmpIsNoValue, "V", "WholeReduceSum", "hold no value"),
    SOFTNPU_FAULT_CASE(RepeatsThatDoNotFit, "V", "Adds", "repeatTime 256, the limit is 255"),
};

void Execute(const SoftnpuKernelEntry& entry) {
  softnpu::twin::Bind(CoreApi());
  HostMemory memory;
  const Slots slots(memory.Put(std::vector<float>(64, 1.0f), "x"));
  Launch(Chip910B(), memory, entry, slots.data(), slots.bytes(), 1, true);
}

class VectorFaults : public ::testing::TestWithParam<Case> {};

TEST_P(VectorFaults, FaultyKernelStopsAtItsLine) {
  fault_cases::ExpectStopsAtItsLine(GetParam(), Execute);
}
TEST_P(VectorFaults, MendedKernelPasses) { EXPECT_NO_THROW(Execute(GetParam().mended)); }

INSTANTIATE_TEST_SUITE_P(All, VectorFaults, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
