// cc/softnpu/ascendc/frame_test.cc: buffers, pools and queues, instruction by instruction.
#include "cc/softnpu/ascendc/frame.h"

#include "cc/softnpu/ascendc/testing/core_units.h"

namespace softnpu::ascendc {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kGm = 0, kVecIn = 9, kVecOut = 10, kVecCalc = 11;  // TPosition

class FrameTest : public testing::CoreUnits {
 protected:
  FrameTest() { CreatePipe(); }

  void CreatePipe() {
    Issue(SOFTNPU_OP_PIPE_CREATE).params[0] = 77;
    frame.CreatePipe(instruction);
  }
  SoftnpuTensor InitBuffer(int64_t position, int64_t bytes) {
    Issue(SOFTNPU_OP_INIT_BUFFER);
    instruction.params[0] = position;
    instruction.params[1] = bytes;
    frame.InitBuffer(instruction);
    return instruction.operand[0];
  }
  int64_t InitQueue(int64_t source, int64_t destination, int64_t depth, int64_t number,
                    int64_t bytes) {
    Issue(SOFTNPU_OP_INIT_QUEUE);
    const int64_t params[] = {source, destination, depth, number, bytes};
    std::copy(std::begin(params), std::end(params), instruction.params);
    frame.InitQueue(instruction);
    return static_cast<int64_t>(instruction.result);
  }
  int64_t InitPool(int64_t bytes, int64_t shared = 0) {
    Issue(SOFTNPU_OP_INIT_POOL);
    const int64_t params[] = {kVecCalc, bytes, shared};
    std::copy(std::begin(params), std::end(params), instruction.params);
    frame.InitPool(instruction);
    return static_cast<int64_t>(instruction.result);
  }
  void ChoosePool(int64_t pool) {
    Issue(SOFTNPU_OP_POOL_BUFFER).params[0] = pool;
    frame.ChoosePool(instruction);
  }
  using Step = void (Frame::*)(SoftnpuInstruction&);
  SoftnpuTensor Do(Step step, uint32_t opcode, int64_t queue, const SoftnpuTensor& tensor = {},
                   uint32_t line = 1) {
    Issue(opcode, line);
    instruction.params[0] = queue;
    instruction.operand[0] = tensor;
    (frame.*step)(instruction);
    return instruction.operand[0];
  }
  SoftnpuTensor Alloc(int64_t queue) { return Do(&Frame::Alloc, SOFTNPU_OP_ALLOC, queue, {}, 2); }
  void EnQue(int64_t queue, const SoftnpuTensor& tensor) {
    Do(&Frame::EnQue, SOFTNPU_OP_ENQUEUE, queue, tensor, 3);
  }
  SoftnpuTensor DeQue(int64_t queue) { return Do(&Frame::DeQue, SOFTNPU_OP_DEQUEUE, queue, {}, 4); }
  void Free(int64_t queue, const SoftnpuTensor& tensor) {
    Do(&Frame::Free, SOFTNPU_OP_FREE, queue, tensor, 5);
  }
  std::string Touch(int pipe, bool write, const SoftnpuTensor& tensor) {
    Issue(SOFTNPU_OP_DATA_COPY, 6, pipe);
    return FaultOf([&] { frame.CheckAlive(AccessTo(tensor, write, tensor.begin, 32)); });
  }
};

TEST_F(FrameTest, BuffersLieOneBehindTheOtherInWholeBlocks) {
  const SoftnpuTensor a = InitBuffer(kVecCalc, 33);
  const SoftnpuTensor b = InitBuffer(kVecCalc, 64);
  EXPECT_EQ(a.begin, 0u);
  EXPECT_EQ(a.end, 64u);
  EXPECT_EQ(b.begin, 64u);
  EXPECT_EQ(memories.taken(SOFTNPU_SPACE_UB), 128u);
  uint64_t origin = 0;
  EXPECT_EQ(frame.NameOfBuffer(b, &origin), "TBuf<VECCALC> #1 (64 bytes)");
  EXPECT_EQ(origin, 64u);
}

TEST_F(FrameTest, BuffersFitTheMemoryOfTheCore) {
  InitBuffer(kVecCalc, 196608 - 32);
  EXPECT_THAT(FaultOf([&] { InitBuffer(kVecCalc, 64); }), HasSubstr("32 are left"));
  InitBuffer(1, 32);  // a memory that the core lacks: only an access is at fault
  EXPECT_THAT(FaultOf([&] { InitBuffer(kVecCalc, 0); }), HasSubstr("a buffer of 0 bytes"));
}

TEST_F(FrameTest, OnePipeLivesAtATime) {
  EXPECT_EQ(frame.pipe_object(), 77u);
  EXPECT_THAT(FaultOf([&] { CreatePipe(); }), HasSubstr("a second TPipe"));
  const SoftnpuTensor buffer = InitBuffer(kVecCalc, 64);
  EXPECT_EQ(Touch(SOFTNPU_PIPE_V, true, buffer), "");
  Issue(SOFTNPU_OP_PIPE_DESTROY);
  frame.DestroyPipe();
  EXPECT_EQ(frame.pipe_object(), 0u);
  // The place is the TBuf's until another TPipe gives it away.
  EXPECT_EQ(Touch(SOFTNPU_PIPE_V, true, buffer), "");
  CreatePipe();
  EXPECT_EQ(InitBuffer(kVecCalc, 64).begin, 0u);
  EXPECT_THAT(Touch(SOFTNPU_PIPE_V, true, buffer), HasSubstr("the tensor's TPipe is gone"));
}

TEST_F(FrameTest, PoolsShareOutTheirPart) {
  InitBuffer(kVecCalc, 64);
  const int64_t pool = InitPool(128);
  ChoosePool(pool);
  EXPECT_EQ(InitBuffer(kVecCalc, 96).begin, 64u);
  EXPECT_EQ(InitBuffer(kVecCalc, 32).begin, 192u);  // of the UB again
  ChoosePool(pool);
  EXPECT_THAT(FaultOf([&] { InitBuffer(kVecCalc, 64); }), HasSubstr("of the TBufPool's 128 bytes"));
  const int64_t twin = InitPool(64, pool + 1);  // at the same place
  ChoosePool(twin);
  EXPECT_EQ(InitBuffer(kVecCalc, 64).begin, 64u);
  Issue(SOFTNPU_OP_PIPE_RESET).params[0] = pool;
  frame.ResetPool(instruction);
  ChoosePool(pool);
  EXPECT_EQ(InitBuffer(kVecCalc, 128).begin, 64u);
  EXPECT_THAT(FaultOf([&] { ChoosePool(-1); }), HasSubstr("the TBufPool has no memory"));
}

TEST_F(FrameTest, TensorsOfAQueueGoRound) {
  const int64_t queue = InitQueue(kGm, kVecIn, 2, 2, 64);
  const SoftnpuTensor a = Alloc(queue);
  const SoftnpuTensor b = Alloc(queue);
  EXPECT_NE(a.begin, b.begin);
  EXPECT_THAT(FaultOf([&] { Alloc(queue); }), HasSubstr("all 2 buffers of TQue<VECIN> #0"));
  EnQue(queue, b);
  EnQue(queue, a);
  Do(&Frame::CountWaiting, SOFTNPU_OP_QUEUE_SIZE, queue);
  EXPECT_EQ(instruction.result, 2u);
  EXPECT_EQ(DeQue(queue).begin, b.begin);  // first in, first out
  Free(queue, b);
  Do(&Frame::CountFree, SOFTNPU_OP_QUEUE_IDLE, queue);
  EXPECT_EQ(instruction.result, 1u);
  const SoftnpuTensor c = Alloc(queue);
  EXPECT_EQ(c.begin, b.begin);
  EXPECT_NE(c.buffer, b.buffer);  // another generation
  EXPECT_THAT(FaultOf([&] { EnQue(queue, b); }), HasSubstr("now belongs to a later AllocTensor"));
}

TEST_F(FrameTest, EachStepNeedsTheOneBefore) {
  const int64_t queue = InitQueue(kGm, kVecIn, 1, 2, 64);
  EXPECT_THAT(FaultOf([&] { DeQue(queue); }), HasSubstr("TQue<VECIN> #0 is empty"));
  const SoftnpuTensor a = Alloc(queue);
  EnQue(queue, a);
  EXPECT_THAT(FaultOf([&] { EnQue(queue, a); }), HasSubstr("in the queue already"));
  const SoftnpuTensor b = Alloc(queue);
  EXPECT_THAT(FaultOf([&] { EnQue(queue, b); }), HasSubstr("its depth is 1"));
  DeQue(queue);
  EnQue(queue, a);  // again
  DeQue(queue);
  Free(queue, a);
  EXPECT_THAT(FaultOf([&] { Free(queue, a); }), HasSubstr("free already"));
  EXPECT_THAT(FaultOf([&] { EnQue(queue + 1, a); }), HasSubstr("the queue has no buffers"));
  EXPECT_THAT(FaultOf([&] { InitQueue(kVecIn, kGm, 1, 1, 64); }), HasSubstr("SoftNPU has none"));
  EXPECT_THAT(FaultOf([&] { InitQueue(kGm, kVecIn, 1, 9, 64); }), HasSubstr("of 9 buffers"));
}

TEST_F(FrameTest, ATensorIsUsedUntilItsFreeTensor) {
  const int64_t queue = InitQueue(kGm, kVecIn, 1, 1, 64);
  const SoftnpuTensor a = Alloc(queue);
  const auto touch_by_all = [&] {
    for (const int pipe : {SOFTNPU_PIPE_S, SOFTNPU_PIPE_V, SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_MTE3}) {
      EXPECT_EQ(Touch(pipe, true, a) + Touch(pipe, false, a), "") << pipe;
    }
  };
  touch_by_all();
  EnQue(queue, a);
  touch_by_all();
  DeQue(queue);
  touch_by_all();
  Free(queue, a);
  EXPECT_THAT(Touch(SOFTNPU_PIPE_V, false, a), HasSubstr("after its FreeTensor at k.cpp:5"));
}

TEST_F(FrameTest, ATensorThatIsFreedInTheQueueKeepsItsFlag) {
  const int64_t queue = InitQueue(kGm, kVecIn, 1, 1, 64);
  const SoftnpuTensor a = Alloc(queue);
  EnQue(queue, a);
  Free(queue, a);
  EXPECT_THAT(FaultOf([&] { frame.CheckQueuesAreEmpty(); }), HasSubstr("had no DeQue"));
  EXPECT_THAT(FaultOf([&] { DeQue(queue); }), HasSubstr("freed at k.cpp:5"));
}

TEST_F(FrameTest, AQueueOrdersItsSides) {
  const int64_t queue = InitQueue(kGm, kVecIn, 1, 1, 64);
  const auto knows = [&](int pipe, int other) {
    return order.clocks().of(pipe).own[static_cast<size_t>(other)];
  };
  const SoftnpuTensor a = Alloc(queue);
  const uint32_t copied = order.clocks().epoch(SOFTNPU_PIPE_MTE2);
  EXPECT_LT(knows(SOFTNPU_PIPE_V, SOFTNPU_PIPE_MTE2), copied);
  EnQue(queue, a);
  EXPECT_LT(knows(SOFTNPU_PIPE_V, SOFTNPU_PIPE_MTE2), copied);
  DeQue(queue);
  EXPECT_GE(knows(SOFTNPU_PIPE_V, SOFTNPU_PIPE_MTE2), copied);
  const uint32_t computed = order.clocks().epoch(SOFTNPU_PIPE_V);
  Free(queue, a);
  EXPECT_LT(knows(SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_V), computed);
  Alloc(queue);
  EXPECT_GE(knows(SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_V), computed);
}

// Of several buffers; the only one of a queue holds what it held.
TEST_F(FrameTest, AnAllocatedTensorHoldsNoValue) {
  const int64_t queue = InitQueue(kGm, kVecIn, 2, 2, 64);
  const int64_t single = InitQueue(kGm, kVecIn, 1, 1, 64);
  const auto fill_and_read = [&](const SoftnpuTensor& tensor, bool fill) {
    return FaultOf([&] {
      Access access = AccessTo(tensor, fill, tensor.begin, 32);
      memories.Resolve(access);
      if (fill) return memories.Commit(access);
      memories.CheckInitialised(access);
    });
  };
  const SoftnpuTensor a = Alloc(queue);
  EXPECT_EQ(fill_and_read(a, true), "");
  EXPECT_EQ(fill_and_read(a, false), "");
  EnQue(queue, a);
  EXPECT_EQ(fill_and_read(DeQue(queue), false), "");
  Free(queue, a);
  Free(queue, Alloc(queue));
  EXPECT_THAT(fill_and_read(Alloc(queue), false), HasSubstr("bytes that hold no value"));
  const SoftnpuTensor only = Alloc(single);
  EXPECT_THAT(fill_and_read(only, false), HasSubstr("bytes that hold no value"));
  EXPECT_EQ(fill_and_read(only, true), "");
  Free(single, only);
  EXPECT_EQ(fill_and_read(Alloc(single), false), "");
}

TEST_F(FrameTest, NothingIsLeftAtTheEnd) {
  EXPECT_EQ(FaultOf([&] { frame.CheckQueuesAreEmpty(); }), "");
  const int64_t queue = InitQueue(kVecOut, kGm, 1, 1, 64);
  EXPECT_EQ(FaultOf([&] { frame.CheckQueuesAreEmpty(); }), "");
  const SoftnpuTensor a = Alloc(queue);
  EXPECT_EQ(FaultOf([&] { frame.CheckQueuesAreEmpty(); }), "");  // a warning
  EnQue(queue, a);
  EXPECT_THAT(FaultOf([&] { frame.CheckQueuesAreEmpty(); }),
              HasSubstr("1 tensors of TQue<VECOUT> #0 had no DeQue"));
  DeQue(queue);
  Free(queue, a);
  EXPECT_EQ(FaultOf([&] { frame.CheckQueuesAreEmpty(); }), "");
}

}  // namespace
}  // namespace softnpu::ascendc
