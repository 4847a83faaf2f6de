// cc/softnpu/ascendc/no_value_test.cc: bytes without a value travel through instructions, and are a
// fault where they decide something or are handed out. Kernels with the fault at the line with
// FAULT and their name, and twins that do the same and hand out less.
#include "cc/softnpu/ascendc/testing/device.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using namespace AscendC;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::LaunchOptions;
using softnpu::ascendc::testing::Device;
using softnpu::ascendc::testing::KernelFrame;
using softnpu::ascendc::testing::SourceLine;
using ::testing::HasSubstr;

// Eight elements of f.a hold values, the others none.
struct Frame : KernelFrame {
  Frame(GM_ADDR x, GM_ADDR y, GM_ADDR w) : KernelFrame(x, y, w) {
    DataCopy(a, this->x, 8);
    PipeBarrier<PIPE_ALL>();
  }
};
#define DONE PipeBarrier<PIPE_ALL>()

template <bool fault>
void Binary(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Duplicate(f.b, 1.0f, 64);
  DONE;
  Add(f.b, f.b, f.a, 64);
  DONE;
  DataCopy(f.y, f.b, fault ? 16 : 8);  // FAULT Binary
}
template <bool fault>
void ReadsItsResult(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Duplicate(f.b, 1.0f, 64);
  DONE;
  Axpy(f.a, f.b, 2.0f, 64);
  DONE;
  DataCopy(f.y, f.a, fault ? 16 : 8);  // FAULT ReadsItsResult
}
template <bool fault>
void Narrowed(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Cast(f.b.ReinterpretCast<half>(), f.a, RoundMode::CAST_RINT, 64);
  DONE;
  Cast(f.b[64], f.b.ReinterpretCast<half>(), RoundMode::CAST_NONE, 64);
  DONE;
  DataCopy(f.y, f.b[64], fault ? 16 : 8);  // FAULT Narrowed
}
template <bool fault>
void Strided(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Adds(f.b, f.a, 1.0f, 64, 1, {2, 1, 8, 8});
  DONE;
  DataCopy(f.y, f.b[fault ? 16 : 0], 8);  // FAULT Strided
}
template <bool fault>
void Broadcasts(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Brcb(f.b, f.a, 2, {1, 8});  // the second repeat takes elements 8 to 15
  DONE;
  DataCopy(f.y, f.b, fault ? 72 : 64);  // FAULT Broadcasts
}
template <bool fault>
void Copied(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  DataCopy(f.b, f.a, 64);
  DONE;
  Copy(f.b[64], f.b, 64, 1, {1, 1, 8, 8});
  DONE;
  DataCopy(f.y, f.b[64], fault ? 16 : 8);  // FAULT Copied
}
template <bool fault>
void KeptElements(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  uint64_t kept = 0;
  GatherMask(f.b, f.a, uint8_t{1}, false, 0, {1, 1, 8, 0}, kept);  // every second
  DONE;
  (void)f.b.GetValue(fault ? 4 : 3);  // FAULT KeptElements
}
template <bool fault>
void ChosenElements(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  const LocalTensor<uint8_t> bits = f.b[128].ReinterpretCast<uint8_t>();
  Duplicate(f.b, 5.0f, 64);
  DONE;
  // x is 0 to 7: bits of the first half are 1. The others are bits of no value.
  CompareScalar(bits, f.a, 4.0f, CMPMODE::LT, 64);
  DONE;
  Select(f.b, bits, f.a, f.b, SELMODE::VSEL_TENSOR_TENSOR_MODE, 64);
  DONE;
  DataCopy(f.y, f.b, fault ? 16 : 8);  // FAULT ChosenElements
}
template <bool fault>
void BitsOfOneByte(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  DataCopyPad(f.a, f.x, {1, 20, 0, 0, 0}, {true, 0, 0, 0.0f});  // five of eight, for sure
  DONE;
  const LocalTensor<uint8_t> bits = f.b[128].ReinterpretCast<uint8_t>();
  Duplicate(f.b, 5.0f, 64);
  Duplicate(f.b[64], 6.0f, 64);
  DONE;
  CompareScalar(bits, f.a, 2.0f, CMPMODE::GE, 64);
  DONE;
  Select(f.b, bits, f.b, f.b[64], SELMODE::VSEL_TENSOR_TENSOR_MODE, 64);
  DONE;
  (void)f.b.GetValue(fault ? 5 : 4);  // FAULT BitsOfOneByte
}
template <bool fault>
void CompareMask(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Duplicate(f.b, 5.0f, 64);
  DONE;
  Compare(f.a, f.b, CMPMODE::LT, 64, BinaryRepeatParams());
  DONE;
  Select<float>(f.b, f.b, f.b, 1, BinaryRepeatParams());
  DONE;
  DataCopy(f.y, f.b, fault ? 16 : 8);  // FAULT CompareMask
}
template <bool fault>
void SumsOfBlocks(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  BlockReduceSum(f.b, f.a, 1, 64, 1, 1, 8);
  DONE;
  (void)f.b.GetValue(fault ? 1 : 0);  // FAULT SumsOfBlocks
}
template <bool fault>
void Transposed(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  const LocalTensor<half> from = f.a.ReinterpretCast<half>(), to = f.b.ReinterpretCast<half>();
  Transpose(to, from);  // the first row of 16 halves becomes the first column
  DONE;
  (void)to.GetValue(fault ? 17 : 16);  // FAULT Transposed
}
template <bool fault>
void OfGm(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  KernelFrame f(x, y, w);
  DataCopy(f.a, f.x, 64);
  DataCopy(f.a[64], f.y, 64);  // y holds none
  DONE;
  DataCopy(f.y, f.a, fault ? 72 : 64);  // FAULT OfGm
}
template <bool fault>
void HighLevel(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Sigmoid(f.b, f.a, 64);
  DONE;
  DataCopy(f.y, f.b, fault ? 16 : 8);  // FAULT HighLevel
}

// What decides something has to have a value at once.
template <bool fault>
void AsScalar(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  (void)f.a.GetValue(fault ? 8 : 7);  // FAULT AsScalar
}
template <bool fault>
void AsAddress(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Duplicate(f.b.ReinterpretCast<int32_t>(), 0, fault ? 8 : 16);
  DONE;
  Gather(f.b[64], f.a, f.b.ReinterpretCast<uint32_t>(), 0, 16);  // FAULT AsAddress
}
template <bool fault>
void AsMask(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  Duplicate(f.b.ReinterpretCast<int32_t>(), -1, 8);
  DONE;
  uint64_t kept = 0;
  const LocalTensor<uint32_t> bits = f.b[fault ? 8 : 0].ReinterpretCast<uint32_t>();
  GatherMask(f.b[64], f.a, bits, true, 8, {1, 1, 8, 8}, kept);  // FAULT AsMask
}
template <bool fault>
void AsSummand(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  WholeReduceSum(f.b, f.a, fault ? 9 : 8, 1, 1, 1, 8);  // FAULT AsSummand
}
template <bool fault>
void AsSummandOfAll(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  ReduceMax(f.b, f.a, f.b[64], fault ? 9 : 8);  // FAULT AsSummandOfAll
}
template <bool fault>
void AsAddend(GM_ADDR x, GM_ADDR y, GM_ADDR w) {
  Frame f(x, y, w);
  SetAtomicAdd<float>();
  DataCopy(f.x, f.a, fault ? 16 : 8);  // FAULT AsAddend
  SetAtomicNone();
}

struct Case {
  const char* name;
  SoftnpuKernelEntry faulty;
  SoftnpuKernelEntry mended;
};
void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }
#define CASE(name)                                                           \
  Case {                                                                     \
    #name, softnpu::twin::MakeEntry<&name<true>>(#name, __FILE__, __LINE__), \
        softnpu::twin::MakeEntry<&name<false>>(#name, __FILE__, __LINE__)    \
  }

const Case kCases[] = {
    CASE(Binary),        CASE(ReadsItsResult), CASE(Narrowed),       CASE(Strided),
    CASE(Broadcasts),    CASE(Copied),         CASE(KeptElements),   CASE(ChosenElements),
    CASE(BitsOfOneByte), CASE(CompareMask),    CASE(SumsOfBlocks),   CASE(Transposed),
    CASE(OfGm),          CASE(HighLevel),      CASE(AsScalar),       CASE(AsAddress),
    CASE(AsMask),        CASE(AsSummand),      CASE(AsSummandOfAll), CASE(AsAddend),
};

class NoValue : public ::testing::TestWithParam<Case> {};

TEST_P(NoValue, IsAFaultWhereItMatters) {
  try {
    Device().Run(GetParam().faulty, 1);
    FAIL() << "ran";
  } catch (const KernelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("hold no value"));
    EXPECT_THAT(SourceLine(__FILE__, error.where().line),
                HasSubstr(std::string("// FAULT ") + GetParam().name))
        << error.what();
  }
}
TEST_P(NoValue, IsNoneWhereItDoesNot) { EXPECT_NO_THROW(Device().Run(GetParam().mended, 1)); }

TEST_P(NoValue, CanBeLeftUnchecked) {
  if (std::string(GetParam().name) == "AsAddress") return;  // any address: another fault
  LaunchOptions options;
  options.init = false;
  EXPECT_NO_THROW(Device().Run(GetParam().faulty, 1, options));
}

INSTANTIATE_TEST_SUITE_P(All, NoValue, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
