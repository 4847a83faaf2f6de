// cc/softnpu/ascendc/queue_faults_test.cc: faults of TPipe, queues and buffers, each at its line,
// with a mended twin that passes.
#include "cc/softnpu/ascendc/testing/fault_cases.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing::fault_cases;

template <bool fault>
void UbCapacity(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TBuf<> whole, more;
  pipe.InitBuffer(whole, 196608 - 32);
  pipe.InitBuffer(more, fault ? 33 : 32);  // FAULT UbCapacity
}

template <bool fault>
void UseBeforeDeQue(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  pipe.InitBuffer(in, 1, 1024);
  LocalTensor<float> a = in.AllocTensor<float>();
  DataCopy(a, gm.x, 64);
  if (!fault) {  // flags by hand do as well as EnQue and DeQue
    const TEventID id = pipe.FetchEventID(HardEvent::MTE2_V);
    SetFlag<HardEvent::MTE2_V>(id);
    WaitFlag<HardEvent::MTE2_V>(id);
  }
  Adds(a, a, 1.0f, 64);  // FAULT UseBeforeDeQue
  in.FreeTensor(a);
}

template <bool fault>
void UseWhileQueued(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  Duplicate(a, 1.0f, 64);
  out.EnQue(a);
  if (fault) DataCopy(gm.y, a, 64);  // FAULT UseWhileQueued
  a = out.DeQue<float>();
  DataCopy(gm.y, a, 64);
  out.FreeTensor(a);
}

// A tensor of VECIN that no copy touches: the vector unit's scratch.
template <bool fault>
void Scratch(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> scratch;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(scratch, 1, 1024);
  pipe.InitBuffer(out, 1, 1024);
  for (int i = 0; i < 2; ++i) {
    LocalTensor<float> a = scratch.AllocTensor<float>();
    LocalTensor<float> b = out.AllocTensor<float>();
    PipeBarrier<PIPE_V>();
    Duplicate(a, 1.0f, 64);
    if (!fault) PipeBarrier<PIPE_V>();
    Adds(b, a, 1.0f, 64);  // FAULT Scratch
    scratch.FreeTensor(a);
    out.EnQue(b);
    b = out.DeQue<float>();
    DataCopy(gm.y, b, 64);
    out.FreeTensor(b);
  }
}

// Through its queue twice; the second time with or without a DeQue before.
template <bool fault>
void EnQueTwice(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TQue<TPosition::VECOUT, 2> out;
  pipe.InitBuffer(out, 2, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  Duplicate(a, 1.0f, 64);
  out.EnQue(a);
  if (!fault) a = out.DeQue<float>();
  PipeBarrier<PIPE_V>();
  Adds(a, a, 1.0f, 64);
  out.EnQue(a);  // FAULT EnQueTwice
  a = out.DeQue<float>();
  DataCopy(gm.y, a, 64);
  out.FreeTensor(a);
}

// The second EnQue alone says when the vector unit has ended.
template <bool fault>
void WorkAfterDeQue(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  Duplicate(a, 1.0f, 64);
  out.EnQue(a);
  a = out.DeQue<float>();
  PipeBarrier<PIPE_V>();
  Adds(a, a, 1.0f, 64);
  if (!fault) {
    out.EnQue(a);
    a = out.DeQue<float>();
  }
  DataCopy(gm.y, a, 64);  // FAULT WorkAfterDeQue
  out.FreeTensor(a);
}

template <bool fault>
void FreedInTheQueue(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  out.EnQue(a);
  if (!fault) a = out.DeQue<float>();
  out.FreeTensor(a);  // FAULT FreedInTheQueue
}

template <bool fault>
void DeQueOfAFreedTensor(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  out.EnQue(a);
  if (fault) out.FreeTensor(a);
  a = out.DeQue<float>();  // FAULT DeQueOfAFreedTensor
  out.FreeTensor(a);
}

template <bool fault>
void WriteAfterDeQue(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in;
  pipe.InitBuffer(in, 1, 1024);
  LocalTensor<float> a = in.AllocTensor<float>();
  DataCopy(a, gm.x, 64);
  in.EnQue(a);
  a = in.DeQue<float>();
  if (fault) DataCopy(a, gm.x[64], 64);  // FAULT WriteAfterDeQue
  in.FreeTensor(a);
}

template <bool fault>
void UseAfterFree(GM_ADDR x, GM_ADDR y) {
  Tensors gm(x, y);
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  Duplicate(a, 1.0f, 64);
  out.EnQue(a);
  a = out.DeQue<float>();
  if (!fault) DataCopy(gm.y, a, 64);
  out.FreeTensor(a);
  if (fault) DataCopy(gm.y, a, 64);  // FAULT UseAfterFree
}

template <bool fault>
void StaleTensor(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> old = out.AllocTensor<float>();
  LocalTensor<float> copy = old;
  out.FreeTensor(old);
  LocalTensor<float> now = out.AllocTensor<float>();
  Duplicate(fault ? copy : now, 1.0f, 64);  // FAULT StaleTensor
  out.FreeTensor(now);
}

template <bool fault>
void EnQueWithoutAlloc(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  if (fault) out.FreeTensor(a);
  out.EnQue(a);  // FAULT EnQueWithoutAlloc
  a = out.DeQue<float>();
  out.FreeTensor(a);
}

template <bool fault>
void DeQueEmpty(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  if (!fault) out.EnQue(a);
  a = out.DeQue<float>();  // FAULT DeQueEmpty
  out.FreeTensor(a);
}

template <bool fault>
void FreeTwice(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  out.FreeTensor(a);
  if (fault) out.FreeTensor(a);  // FAULT FreeTwice
}

template <bool fault>
void AllocTooOften(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECIN, 2> in;
  pipe.InitBuffer(in, 2, 1024);
  LocalTensor<float> tensors[3];
  for (int i = 0; i < (fault ? 3 : 2); ++i) {
    tensors[i] = in.AllocTensor<float>();  // FAULT AllocTooOften
  }
  for (int i = 0; i < 2; ++i) in.FreeTensor(tensors[i]);
}

template <bool fault>
void QueueTooDeep(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 2, 1024);
  for (int i = 0; i < (fault ? 2 : 1); ++i) {
    LocalTensor<float> a = out.AllocTensor<float>();
    out.EnQue(a);  // FAULT QueueTooDeep
  }
  LocalTensor<float> a = out.DeQue<float>();
  out.FreeTensor(a);
}

template <bool fault>
void NoInitBuffer(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  if (!fault) pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();  // FAULT NoInitBuffer
  out.FreeTensor(a);
}

template <bool fault>
void QueuedAtTheEnd(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  out.EnQue(a);  // FAULT QueuedAtTheEnd
  if (fault) return;
  a = out.DeQue<float>();
  out.FreeTensor(a);
}

template <bool fault>
void FlagOfAQueue(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> out;
  pipe.InitBuffer(out, 1, 1024);
  LocalTensor<float> a = out.AllocTensor<float>();
  out.EnQue(a);
  const TEventID id = fault ? EVENT_ID0 : pipe.FetchEventID(HardEvent::V_MTE3);
  SetFlag<HardEvent::V_MTE3>(id);  // FAULT FlagOfAQueue
  WaitFlag<HardEvent::V_MTE3>(id);
  a = out.DeQue<float>();
  out.FreeTensor(a);
}

template <bool fault>
void ReusedBuffer(GM_ADDR, GM_ADDR) {
  TPipe pipe;
  TQue<TPosition::VECCALC, 2> queue;
  pipe.InitBuffer(queue, 2, 1024);
  for (int i = 0; i < 3; ++i) {
    LocalTensor<float> a = queue.AllocTensor<float>();
    PipeBarrier<PIPE_ALL>();
    if (i < 2 || !fault) Duplicate(a, 1.0f, 64);
    PipeBarrier<PIPE_ALL>();
    Adds(a, a, 1.0f, 64);
    PipeBarrier<PIPE_ALL>();
    (void)a.GetValue(63);  // FAULT ReusedBuffer
    queue.FreeTensor(a);
  }
}

template <bool fault>
void TwoPipes(GM_ADDR, GM_ADDR) {
  TPipe first;
  if (!fault) first.Destroy();
  TPipe second;  // FAULT TwoPipes
}

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      SOFTNPU_FAULT_CASE(UbCapacity, "S", "InitBuffer", "64 bytes", "196608", "32 are left"),
      SOFTNPU_FAULT_CASE(UseBeforeDeQue, "V", "Adds", "not ordered with DataCopy of pipe MTE2",
                         "TQue<VECIN> #0"),
      SOFTNPU_FAULT_CASE(Scratch, "V", "Adds", "read after write", "TQue<VECIN> #0"),
      SOFTNPU_FAULT_CASE(EnQueTwice, "S", "EnQue", "in the queue already"),
      SOFTNPU_FAULT_CASE(WorkAfterDeQue, "MTE3", "DataCopy", "not ordered with Adds of pipe V"),
      SOFTNPU_FAULT_CASE(FreedInTheQueue, "S", "EnQue", "had no DeQue when the kernel ended"),
      SOFTNPU_FAULT_CASE(DeQueOfAFreedTensor, "S", "DeQue", "while it was in the queue"),
      SOFTNPU_FAULT_CASE(UseWhileQueued, "MTE3", "DataCopy", "not ordered with Duplicate",
                         "TQue<VECOUT> #0"),
      SOFTNPU_FAULT_CASE(WriteAfterDeQue, "MTE2", "DataCopy", "write after write",
                         "PipeBarrier<PIPE_MTE2>()"),
      SOFTNPU_FAULT_CASE(UseAfterFree, "MTE3", "DataCopy", "after its FreeTensor"),
      SOFTNPU_FAULT_CASE(StaleTensor, "V", "Duplicate", "a tensor that was freed"),
      SOFTNPU_FAULT_CASE(EnQueWithoutAlloc, "S", "EnQue", "AllocTensor has not given"),
      SOFTNPU_FAULT_CASE(DeQueEmpty, "S", "DeQue", "TQue<VECOUT> #0 is empty"),
      SOFTNPU_FAULT_CASE(FreeTwice, "S", "FreeTensor", "free already"),
      SOFTNPU_FAULT_CASE(AllocTooOften, "S", "AllocTensor",
                         "all 2 buffers of TQue<VECIN> #0 are in use"),
      SOFTNPU_FAULT_CASE(QueueTooDeep, "S", "EnQue", "holds 1 tensors already, its depth is 1"),
      SOFTNPU_FAULT_CASE(NoInitBuffer, "S", "AllocTensor", "InitBuffer was not called"),
      SOFTNPU_FAULT_CASE(QueuedAtTheEnd, "S", "EnQue", "had no DeQue when the kernel ended"),
      SOFTNPU_FAULT_CASE(FlagOfAQueue, "S", "SetFlag", "(V_MTE3, id 0) is set already, by a queue"),
      SOFTNPU_FAULT_CASE(ReusedBuffer, "S", "GetValue", "hold no value: Adds at",
                         "TQue<VECCALC> #0 buffer 0", "[252, 256)"),
      SOFTNPU_FAULT_CASE(TwoPipes, "S", "TPipe", "a second TPipe"),
  };
  return cases;
}

class QueueFaults : public ::testing::TestWithParam<Case> {};

TEST_P(QueueFaults, FaultyKernelStopsAtItsLine) { ExpectStopsAtItsLine(GetParam()); }

TEST_P(QueueFaults, MendedKernelPasses) { EXPECT_NO_THROW(Device().Run(GetParam().mended)); }

INSTANTIATE_TEST_SUITE_P(All, QueueFaults, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
