// cc/softnpu/ascendc/faults_test.cc: faults of accesses, flags and values, each at its line, with a
// mended twin that passes; then what a launch checks.
#include <functional>

#include "cc/softnpu/ascendc/testing/fault_cases.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing::fault_cases;
using softnpu::Error;
using softnpu::ascendc::KernelError;
using softnpu::ascendc::Launch;
using softnpu::ascendc::testing::Chip310P;
using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using ::testing::HasSubstr;

// The kernel that all others vary: y = x + x through both queues.
template <bool fault>
void Sound(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TQue<TPosition::VECIN, 2> in;
  TQue<TPosition::VECOUT, 2> out;
  pipe.InitBuffer(in, 2, kElements * 4);
  pipe.InitBuffer(out, 2, kElements * 4);
  LocalTensor<float> a = in.AllocTensor<float>();
  DataCopy(a, gm.x, kElements);
  in.EnQue(a);
  a = in.DeQue<float>();
  LocalTensor<float> b = out.AllocTensor<float>();
  Add(b, a, a, kElements);
  in.FreeTensor(a);
  out.EnQue(b);
  b = out.DeQue<float>();
  DataCopy(gm.y, b, kElements);
  out.FreeTensor(b);
}

template <bool fault>
void UbMisaligned(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<float> a = buffer.Get<float>();
  DataCopy(a[fault ? 4 : 8], gm.x, 8);  // FAULT UbMisaligned
}

template <bool fault>
void VectorMisaligned(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<float> a = buffer.Get<float>();
  Duplicate(a, 1.0f, 128);
  PipeBarrier<PIPE_ALL>();
  Adds(a, a[fault ? 1 : 0], 1.0f, 64);  // FAULT VectorMisaligned
}

template <bool fault>
void GmMisaligned(GM_ADDR x, GM_ADDR y) {
  Tensors gm(fault ? x + 2 : x, y);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  DataCopy(buffer.Get<float>(), gm.x, 8);  // FAULT GmMisaligned
}

// The size that SetGlobalBuffer is given is no limit, the allocation of its tensor is.
template <bool fault>
void PastTheTensor(GM_ADDR x, GM_ADDR y) {
  GlobalTensor<float> part;
  part.SetGlobalBuffer(reinterpret_cast<float*>(x), 16);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  const uint64_t to_y = static_cast<uint64_t>(y - x) / 4;
  DataCopy(buffer.Get<float>(), part[fault ? to_y : 8], 16);  // FAULT PastTheTensor
}

template <bool fault>
void SizeOfNoSize(GM_ADDR x, GM_ADDR) {
  GlobalTensor<float> open;
  open.SetGlobalBuffer(reinterpret_cast<float*>(x));
  if (!fault) open.SetGlobalBuffer(reinterpret_cast<float*>(x), 64);
  ASSERT(open.GetSize() == 64);  // FAULT SizeOfNoSize
}

// Behind the end lie whole blocks and 32 bytes more, which belong to the allocation.
template <bool fault>
void PastTheRoom(GM_ADDR x, GM_ADDR) {
  GlobalTensor<float> open;
  open.SetGlobalBuffer(reinterpret_cast<float*>(x));
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 2048);
  DataCopy(buffer.Get<float>(), open[kElements - 8], fault ? 24 : 16);  // FAULT PastTheRoom
}

template <bool fault>
void SystemWorkspace(GM_ADDR x, GM_ADDR) {
  GlobalTensor<float> user;
  user.SetGlobalBuffer(reinterpret_cast<float*>(fault ? GetUserWorkspace(x) : x), 64);
  (void)user.GetValue(0);  // FAULT SystemWorkspace
}

template <bool fault>
void HalfBytesAsElements(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  Duplicate(buffer.Get<float>(), 0.0f, 64);
  PipeBarrier<PIPE_ALL>();
  if constexpr (fault) {
    (void)buffer.Get<int4b_t>().GetValue(1);  // FAULT HalfBytesAsElements
  } else {
    (void)buffer.Get<int8_t>().GetValue(1);
  }
}

template <bool fault>
void PastTheAllocation(GM_ADDR x, GM_ADDR) {
  GlobalTensor<float> open;
  open.SetGlobalBuffer(reinterpret_cast<float*>(x));
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 2048);
  DataCopy(buffer.Get<float>(), open[fault ? 16 : 0], kElements);  // FAULT PastTheAllocation
}

template <bool fault>
void PastTheAllocationByStride(GM_ADDR x, GM_ADDR) {
  GlobalTensor<float> open;
  open.SetGlobalBuffer(reinterpret_cast<float*>(x));
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 2048);
  const DataCopyExtParams rows(4, 12, fault ? 400 : 300, 0, 0);
  DataCopyPad(buffer.Get<float>(), open, rows, {});  // FAULT PastTheAllocationByStride
}

template <bool fault>
void NotAllocated(GM_ADDR x, GM_ADDR) {
  GlobalTensor<float> gm;
  gm.SetGlobalBuffer(reinterpret_cast<float*>(fault ? x - 4096 : x), 64);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  DataCopy(buffer.Get<float>(), gm, 64);  // FAULT NotAllocated
}

template <bool fault>
void PastTheBuffer(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBuf<> first, second;
  pipe.InitBuffer(first, 256);
  pipe.InitBuffer(second, 256);
  Duplicate(first.Get<float>(), 1.0f, fault ? 65 : 64);  // FAULT PastTheBuffer
}

template <bool fault>
void PastTheUb(GM_ADDR, GM_ADDR) {
  LocalTensor<float> placed(TPosition::VECCALC, 196608 - 64, 32);
  Duplicate(placed, 1.0f, fault ? 24 : 16);  // FAULT PastTheUb
}

template <bool fault>
void UninitialisedUb(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<float> a = buffer.Get<float>();
  DataCopy(a, gm.x, 64);
  PipeBarrier<PIPE_ALL>();
  Adds(a, a, 1.0f, 72);
  PipeBarrier<PIPE_ALL>();
  DataCopy(gm.y, a, fault ? 72 : 64);  // FAULT UninitialisedUb
}

template <bool fault>
void UninitialisedGm(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  DataCopy(buffer.Get<float>(), fault ? gm.y : gm.x, 64);
  PipeBarrier<PIPE_ALL>();
  (void)buffer.Get<float>().GetValue(63);  // FAULT UninitialisedGm
}

template <bool fault>
void PaddingIsNoValue(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<float> a = buffer.Get<float>();
  // Five elements and two of padding; the eighth of the block is nobody's.
  DataCopyPad(a, gm.x, {1, 20, 0, 0, 0}, {true, 0, static_cast<uint8_t>(fault ? 2 : 3), 0.0f});
  PipeBarrier<PIPE_ALL>();
  Adds(a, a, 1.0f, 8);
  PipeBarrier<PIPE_ALL>();
  DataCopy(gm.y, a, 8);  // FAULT PaddingIsNoValue
}

template <bool fault>
void UnspecifiedPadding(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<float> a = buffer.Get<float>();
  DataCopyPad(a, gm.x, {1, 20, 0, 0, 0}, {!fault, 1, 2, 0.0f});
  PipeBarrier<PIPE_ALL>();
  Adds(a, a, 1.0f, 8);
  PipeBarrier<PIPE_ALL>();
  DataCopy(gm.y, a, 8);  // FAULT UnspecifiedPadding
}

template <bool fault>
__attribute__((no_sanitize("undefined"))) void DivisionByZero(GM_ADDR, GM_ADDR) {
  const volatile int64_t divisor = fault ? 0 : 7;
  const int64_t blocks = GetBlockNum();  // FAULT DivisionByZero
  const volatile int64_t quotient = blocks / divisor;
  static_cast<void>(quotient);
}

template <bool fault>
__attribute__((no_sanitize("address"))) void RawPointer(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  // An address that is none of the host, whatever a sanitizer has mapped.
  GM_ADDR const volatile address = reinterpret_cast<GM_ADDR>(uintptr_t{0x123});
  GetBlockNum();  // FAULT RawPointer
  const volatile uint8_t byte = fault ? *address : 0;
  static_cast<void>(byte);
  gm.x.GetValue(0);
}

template <bool fault>
void WaitWithoutSet(GM_ADDR, GM_ADDR) {
  if (!fault) SetFlag<HardEvent::MTE2_S>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_S>(EVENT_ID0);  // FAULT WaitWithoutSet
}

template <bool fault>
void SetTwice(GM_ADDR, GM_ADDR) {
  SetFlag<HardEvent::V_S>(EVENT_ID3);
  if (!fault) WaitFlag<HardEvent::V_S>(EVENT_ID3);
  SetFlag<HardEvent::V_S>(EVENT_ID3);  // FAULT SetTwice
  WaitFlag<HardEvent::V_S>(EVENT_ID3);
}

template <bool fault>
void FlagLeftSet(GM_ADDR, GM_ADDR) {
  SetFlag<HardEvent::S_MTE3>(EVENT_ID1);  // FAULT FlagLeftSet
  if (!fault) WaitFlag<HardEvent::S_MTE3>(EVENT_ID1);
}

template <bool fault>
void EventOfAnotherCore(GM_ADDR, GM_ADDR) {
  if constexpr (fault) {
    SetFlag<HardEvent::M_FIX>(EVENT_ID0);  // FAULT EventOfAnotherCore
  }
}

template <bool fault>
void EventIdRange(GM_ADDR, GM_ADDR) {
  const int32_t id = fault ? 8 : 7;
  SetFlag<HardEvent::MTE2_V>(id);  // FAULT EventIdRange
  WaitFlag<HardEvent::MTE2_V>(id);
}

template <bool fault>
void BarrierOfTheScalarUnit(GM_ADDR, GM_ADDR) {
  PipeBarrier<fault ? PIPE_S : PIPE_V>();  // FAULT BarrierOfTheScalarUnit
}

template <bool fault>
void BarrierOfACubePipe(GM_ADDR, GM_ADDR) {
  PipeBarrier<fault ? PIPE_FIX : PIPE_MTE3>();  // FAULT BarrierOfACubePipe
}

template <bool fault>
void FlagOfACubePipe(GM_ADDR, GM_ADDR) {
  CrossCoreSetFlag<0, fault ? PIPE_M : PIPE_MTE2>(3);  // FAULT FlagOfACubePipe
  CrossCoreWaitFlag(3);
}

template <bool fault>
void MaskTooLarge(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<float> a = buffer.Get<float>();
  Duplicate(a, 1.0f, uint64_t{fault ? 65 : 64}, 1, 1, 8);  // FAULT MaskTooLarge
}

template <bool fault>
void CountNotWholeBlocks(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  DataCopy(buffer.Get<float>(), gm.x, fault ? 12 : 16);  // FAULT CountNotWholeBlocks
}

template <bool fault>
void PartialOverlap(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<float> a = buffer.Get<float>();
  Duplicate(a, 1.0f, 128);
  PipeBarrier<PIPE_ALL>();
  Adds(a[fault ? 8 : 0], a, 1.0f, 64);  // FAULT PartialOverlap
}

template <bool fault>
void GatherOutside(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBuf<> source, index, target;
  pipe.InitBuffer(source, 256);
  pipe.InitBuffer(index, 256);
  pipe.InitBuffer(target, 256);
  Duplicate(source.Get<float>(), 1.0f, 64);
  LocalTensor<int32_t> offsets = index.Get<int32_t>();
  Duplicate(offsets, fault ? 256 : 252, 64);
  const LocalTensor<uint32_t> bytes = offsets.ReinterpretCast<uint32_t>();
  PipeBarrier<PIPE_ALL>();
  Gather(target.Get<float>(), source.Get<float>(), bytes, 0, 64);  // FAULT GatherOutside
}

template <bool fault>
void GatherOfNoValue(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TBuf<> source, index, target;
  pipe.InitBuffer(source, 256);
  pipe.InitBuffer(index, 256);
  pipe.InitBuffer(target, 256);
  Duplicate(source.Get<float>(), 1.0f, 8);
  Duplicate(source.Get<float>()[16], 1.0f, 8);  // elements 8 to 15 hold nothing
  LocalTensor<int32_t> offsets = index.Get<int32_t>();
  Duplicate(offsets, 64, 16);
  PipeBarrier<PIPE_ALL>();
  Duplicate(offsets, fault ? 32 : 0, 8);
  const LocalTensor<uint32_t> bytes = offsets.ReinterpretCast<uint32_t>();
  PipeBarrier<PIPE_ALL>();
  Gather(target.Get<float>(), source.Get<float>(), bytes, 0, 16);
  PipeBarrier<PIPE_ALL>();
  DataCopy(gm.y, target.Get<float>(), 16);  // FAULT GatherOfNoValue
}

template <bool fault>
void HoleBetweenRows(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<float> a = buffer.Get<float>();
  DataCopy(a, gm.x, DataCopyParams(2, 1, 0, fault ? 1 : 0));
  PipeBarrier<PIPE_ALL>();
  Adds(a, a, 1.0f, 16);
  PipeBarrier<PIPE_ALL>();
  DataCopy(gm.y, a, 16);  // FAULT HoleBetweenRows
}

template <bool fault>
void NoSuchCast(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<int32_t> a = buffer.Get<int32_t>();
  Duplicate(a, 1, 64);
  PipeBarrier<PIPE_V>();
  if constexpr (fault) {
    Cast(a[64].ReinterpretCast<bfloat16_t>(), a, RoundMode::CAST_RINT, 64);  // FAULT NoSuchCast
  } else {
    Cast(a[64].ReinterpretCast<float>(), a, RoundMode::CAST_RINT, 64);
  }
}

template <bool fault>
void NoSuchAddition(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  if constexpr (fault) {
    LocalTensor<bfloat16_t> a = buffer.Get<bfloat16_t>();
    Add(a, a, a, 64);  // FAULT NoSuchAddition
  }
}

// Rows of five elements out of x and into y, through rows of whole blocks; more often than there
// are event ids.
void CopyRows(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> rows;
  pipe.InitBuffer(rows, 2, 256);
  for (int i = 0; i < 16; ++i) {
    LocalTensor<float> a = rows.AllocTensor<float>();
    DataCopyPad(a, gm.x[i * 16], DataCopyExtParams(3, 20, 4, 1, 0), {});
    rows.EnQue(a);
    a = rows.DeQue<float>();
    DataCopyPad(gm.y[i * 15], a, DataCopyExtParams(3, 20, 1, 0, 0));
    rows.FreeTensor(a);
  }
}

// y[0, 256) without the last eight elements.
template <bool fault>
void OutputWithAHole(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<float> a = buffer.Get<float>();
  Duplicate(a, 1.0f, kElements);
  PipeBarrier<PIPE_ALL>();
  DataCopy(gm.y, a, fault ? kElements - 8 : kElements);
}

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      SOFTNPU_FAULT_CASE(UbMisaligned, "MTE2", "DataCopy", "the destination", "byte 16",
                         "multiple of 32"),
      SOFTNPU_FAULT_CASE(VectorMisaligned, "V", "Adds", "src0", "byte 4", "multiple of 32"),
      SOFTNPU_FAULT_CASE(GmMisaligned, "MTE2", "DataCopy", "the source",
                         "multiple of the element's 4"),
      SOFTNPU_FAULT_CASE(PastTheTensor, "MTE2", "DataCopy", "belongs to another allocation",
                         "GM 'y'", "[0, 64)"),
      SOFTNPU_FAULT_CASE(PastTheAllocation, "MTE2", "DataCopy", "beyond the end", "1024",
                         "[64, 1088)"),
      SOFTNPU_FAULT_CASE(PastTheRoom, "MTE2", "DataCopy", "beyond the end", "[992, 1088)"),
      SOFTNPU_FAULT_CASE(SizeOfNoSize, "S", "GetSize", "gave no size"),
      SOFTNPU_FAULT_CASE(SystemWorkspace, "S", "GetValue", "nothing is allocated",
                         "behind the 16 MiB of the system"),
      SOFTNPU_FAULT_CASE(HalfBytesAsElements, "S", "GetValue", "does not take int4b_t"),
      SOFTNPU_FAULT_CASE(PastTheAllocationByStride, "MTE2", "DataCopyPad", "beyond the end",
                         "[1236, 1248)"),
      SOFTNPU_FAULT_CASE(NotAllocated, "MTE2", "DataCopy", "nothing is allocated"),
      SOFTNPU_FAULT_CASE(PastTheBuffer, "V", "Duplicate", "outside the tensor's 256 bytes",
                         "TBuf<VECCALC> #0", "[0, 260)"),
      SOFTNPU_FAULT_CASE(PastTheUb, "V", "Duplicate", "beyond the UB's 196608 bytes"),
      SOFTNPU_FAULT_CASE(UninitialisedUb, "MTE3", "DataCopy", "hold no value: Adds at",
                         "has made them of byte 256 of TBuf<VECCALC> #0", "[256, 288)"),
      SOFTNPU_FAULT_CASE(UninitialisedGm, "S", "GetValue", "hold no value: DataCopy at",
                         "has made them of byte 0 of GM 'y', which was never written"),
      SOFTNPU_FAULT_CASE(PaddingIsNoValue, "MTE3", "DataCopy", "padding of a DataCopyPad",
                         "[28, 32)"),
      SOFTNPU_FAULT_CASE(UnspecifiedPadding, "MTE3", "DataCopy", "padding of a DataCopyPad",
                         "[0, 4)"),
      SOFTNPU_FAULT_CASE(DivisionByZero, "S", "GetBlockNum",
                         "divides an integer by zero, after this"),
      SOFTNPU_FAULT_CASE(RawPointer, "S", "GetBlockNum",
                         "own code dereferences 0x123; only GlobalTensor"),
      SOFTNPU_FAULT_CASE(WaitWithoutSet, "S", "WaitFlag", "(MTE2_S, id 0) is not set"),
      SOFTNPU_FAULT_CASE(SetTwice, "S", "SetFlag", "(V_S, id 3) is set already"),
      SOFTNPU_FAULT_CASE(FlagLeftSet, "S", "SetFlag", "(S_MTE3, id 1) is still set"),
      SOFTNPU_FAULT_CASE(EventOfAnotherCore, "S", "SetFlag", "a vector core has no event M_FIX"),
      SOFTNPU_FAULT_CASE(EventIdRange, "S", "SetFlag", "event id 8", "0 and 7"),
      SOFTNPU_FAULT_CASE(BarrierOfTheScalarUnit, "S", "PipeBarrier", "PIPE_S"),
      SOFTNPU_FAULT_CASE(BarrierOfACubePipe, "S", "PipeBarrier", "(AIV) has no pipe FIX"),
      SOFTNPU_FAULT_CASE(FlagOfACubePipe, "S", "CrossCoreSetFlag", "a vector core has no pipe M"),
      SOFTNPU_FAULT_CASE(MaskTooLarge, "V", "Duplicate", "mask 65", "4 bytes is 64"),
      SOFTNPU_FAULT_CASE(CountNotWholeBlocks, "MTE2", "DataCopy", "12 elements are 48 bytes",
                         "first 32"),
      SOFTNPU_FAULT_CASE(PartialOverlap, "V", "Adds", "dst overlaps src0"),
      SOFTNPU_FAULT_CASE(GatherOutside, "V", "Gather", "outside the tensor's 256 bytes",
                         "TBuf<VECCALC> #0"),
      SOFTNPU_FAULT_CASE(GatherOfNoValue, "MTE3", "DataCopy", "hold no value: Gather at",
                         "[0, 32)"),
      SOFTNPU_FAULT_CASE(HoleBetweenRows, "MTE3", "DataCopy", "hold no value", "[32, 64)"),
      SOFTNPU_FAULT_CASE(NoSuchCast, "V", "Cast", "no Cast from int32_t to bfloat16_t"),
      SOFTNPU_FAULT_CASE(NoSuchAddition, "V", "Add", "Add does not take bfloat16_t"),
  };
  return cases;
}

class Faults : public ::testing::TestWithParam<Case> {};

TEST_P(Faults, FaultyKernelStopsAtItsLine) { ExpectStopsAtItsLine(GetParam()); }

TEST_P(Faults, MendedKernelPasses) { EXPECT_NO_THROW(Device().Run(GetParam().mended)); }

INSTANTIATE_TEST_SUITE_P(All, Faults, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Simulator, SoundKernelComputes) {
  Device device;
  device.RunForOutput(softnpu::twin::MakeEntry<&Sound<false>>("Sound", __FILE__, __LINE__));
  EXPECT_EQ(device.y(), std::vector<float>(kElements, 3.0f));
}

TEST(Simulator, DataCopyPadPacksRows) {
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  std::vector<float> values(kElements * 2);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const uintptr_t x = memory.Put(values, "x");
  const uintptr_t y = memory.Allocate(240 * 4, "y");
  const Slots slots(x, y);
  // The last rows end at element 16 * 15 + 17, beyond the 256 elements of the kernel's x, which are
  // no limit but odd: a sentence tells of each such place.
  std::vector<std::string> warnings;
  softnpu::ascendc::LaunchOptions options;
  options.warnings = &warnings;
  Launch(Chip910B(), memory, softnpu::twin::MakeEntry<&CopyRows>("CopyRows", __FILE__, __LINE__),
         slots.data(), slots.bytes(), 1, options);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], HasSubstr("DataCopyPad: reads bytes [960, 1028) of a tensor that "
                                     "SetGlobalBuffer gave 1024 bytes"));
  const std::vector<float> out = memory.Get<float>(y);
  for (size_t i = 0; i < 15 * 15; ++i) {
    ASSERT_EQ(out[i], static_cast<float>(i / 15 * 16 + i % 15 / 5 * 6 + i % 5)) << i;
  }
}

TEST(Simulator, ResultsDoNotDependOnStrict) {
  Device device;
  device.Run(softnpu::twin::MakeEntry<&Sound<false>>("Sound", __FILE__, __LINE__), false);
  EXPECT_EQ(device.y(), std::vector<float>(kElements, 3.0f));
}

TEST(Simulator, LaxModeStillGuardsTheHost) {
  Device device;
  const auto lax = [&]<auto kernel>() {
    device.Run(softnpu::twin::MakeEntry<kernel>("lax", __FILE__, __LINE__), false);
  };
  EXPECT_NO_THROW(lax.operator()<&UninitialisedUb<true>>());
  EXPECT_NO_THROW(lax.operator()<&FlagLeftSet<true>>());
  EXPECT_THROW(lax.operator()<&PastTheUb<true>>(), KernelError);
  EXPECT_THROW(lax.operator()<&PastTheAllocation<true>>(), KernelError);
}

TEST(Simulator, OutputLeftUnwrittenIsAFault) {
  Device device;
  device.RunForOutput(
      softnpu::twin::MakeEntry<&OutputWithAHole<false>>("Whole", __FILE__, __LINE__));
  try {
    device.RunForOutput(softnpu::twin::MakeEntry<&OutputWithAHole<true>>("Hole", "hole.cpp", 17));
    FAIL() << "the hole went unnoticed";
  } catch (const KernelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("not all written"));
    EXPECT_THAT(error.what(), HasSubstr("bytes [992, 1024) of output y, hole.cpp:17"));
  }
}

struct Kernel {
  static void Run(GM_ADDR, GM_ADDR) {
    if (GetBlockIdx() == 5) WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  }
};

TEST(Simulator, FaultNamesBlockAndCore) {
  Device device;
  softnpu::twin::Bind(softnpu::ascendc::CoreApi());
  HostMemory memory;
  softnpu::Profile chip = Chip910B();
  chip.vector_cores = 4;
  const Slots slots(uint64_t{0}, uint64_t{0});
  const auto entry = softnpu::twin::MakeEntry<&Kernel::Run>("waits", __FILE__, __LINE__);
  EXPECT_NO_THROW(Launch(chip, memory, entry, slots.data(), slots.bytes(), 5, true));
  try {
    Launch(chip, memory, entry, slots.data(), slots.bytes(), 6, true);
    FAIL();
  } catch (const KernelError& error) {
    EXPECT_EQ(error.where().block, 5);
    EXPECT_EQ(error.where().core, 1);
  }
}

TEST(Simulator, BadLaunchIsRefused) {
  Device device;
  HostMemory memory;
  const auto entry = softnpu::twin::MakeEntry<&Sound<false>>("Sound", __FILE__, __LINE__);
  const uint64_t slots[2] = {};
  const auto launch = [&](size_t bytes, uint32_t blocks) {
    Launch(Chip910B(), memory, entry, slots, bytes, blocks, true);
  };
  EXPECT_THROW(launch(16, 0), Error);
  EXPECT_THROW(launch(16, 65536), Error);
  EXPECT_THROW(launch(8, 1), Error);
}

template <bool pad>
void CopyHalf(GM_ADDR x, GM_ADDR) {
  GlobalTensor<half> gm;
  gm.SetGlobalBuffer(reinterpret_cast<half*>(x), 16);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  LocalTensor<half> a = buffer.Get<half>();
  if constexpr (pad) {
    DataCopyPad(a, gm, {1, 32, 0, 0, 0}, {});
  } else {
    DataCopy(a, gm, 16);
    PipeBarrier<PIPE_ALL>();
    Adds(a[1], a[1], half(1.0f), 8);  // the vector unit of 310P takes any element's address
  }
}

void CopyBfloat(GM_ADDR x, GM_ADDR) {
  GlobalTensor<bfloat16_t> gm;
  gm.SetGlobalBuffer(reinterpret_cast<bfloat16_t*>(x), 16);
  TPipe pipe;
  TBuf<> buffer;
  pipe.InitBuffer(buffer, 1024);
  DataCopy(buffer.Get<bfloat16_t>(), gm, 16);
}

TEST(Ascend310P, RefusesWhatItDoesNotHave) {
  Device device;
  device.chip = Chip310P();
  EXPECT_NO_THROW(
      device.Run(softnpu::twin::MakeEntry<&CopyHalf<false>>("plain", __FILE__, __LINE__)));
  const auto message = [&](const SoftnpuKernelEntry& entry) -> std::string {
    try {
      device.Run(entry);
    } catch (const KernelError& error) {
      EXPECT_EQ(error.code(), softnpu::kAicoreException);
      return error.what();
    }
    return "no fault";
  };
  EXPECT_THAT(message(softnpu::twin::MakeEntry<&CopyHalf<true>>("pad", __FILE__, __LINE__)),
              HasSubstr("Ascend310P3 has no DataCopyPad (NPU architecture 2002)"));
  EXPECT_THAT(message(softnpu::twin::MakeEntry<&CopyBfloat>("bf16", __FILE__, __LINE__)),
              HasSubstr("Ascend310P3 has no bfloat16_t"));
}

}  // namespace
