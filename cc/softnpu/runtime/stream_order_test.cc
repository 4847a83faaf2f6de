// cc/softnpu/runtime/stream_order_test.cc: what orders tasks of streams, and what races.
#include "cc/softnpu/runtime/stream_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cc/softnpu/base/testing/error.h"
#include "cc/softnpu/runtime/stream.h"

namespace softnpu {
namespace {

using ::testing::HasSubstr;

// Nobody dereferences these.
const void* At(uintptr_t offset) { return reinterpret_cast<const void*>(0x10000 + offset); }

Task Of(
    EventKind kind, const char* name, std::vector<softnpu_access> accesses,
    std::function<void()> body = [] {}) {
  const auto run = [](void* context) -> int32_t {
    (*static_cast<std::function<void()>*>(context))();
    return 0;
  };
  return OperatorTask{name, run, std::make_shared<std::function<void()>>(std::move(body)),
                      std::move(accesses), kind};
}

Task Writes(uintptr_t offset, size_t bytes) {
  return Of(EventKind::kOperator, "aclnnFill", {Bytes("self", At(offset), bytes, SOFTNPU_WRITES)});
}
Task Reads(uintptr_t offset, size_t bytes) {
  return Of(EventKind::kOperator, "aclnnSum", {Bytes("self", At(offset), bytes, SOFTNPU_READS)});
}
// Reads 64 bytes from 0 on, and writes 64 from 1000 on.
Task Collective() {
  return Of(EventKind::kCollective, "HcclAllReduce",
            {Bytes("sendBuf", At(0), 64, SOFTNPU_READS | SOFTNPU_SOME),
             Bytes("recvBuf", At(1000), 64, SOFTNPU_WRITES | SOFTNPU_SOME)});
}

class Order : public ::testing::Test {
 protected:
  Order() {
    StreamOrder::Activate();
    a_ = New();
    b_ = New();
  }
  ~Order() override {
    for (const auto& stream : made_) stream->Close(/*drop=*/false);
  }
  std::shared_ptr<Stream> New() {
    static uint32_t next = 0;
    made_.push_back(std::make_shared<Stream>(0, next++, error_));
    return made_.back();
  }
  // Why a stream does not take a task; empty when it does.
  static std::string Try(Stream& stream, Task task) {
    return ErrorOf([&] { stream.Enqueue(std::move(task)); });
  }
  // `to` waits for all that `from` has.
  static void Join(Stream& from, Stream& to) {
    Event event(0);
    event.Record(from);
    event.WaitOn(to);
  }

  std::shared_ptr<DeviceError> error_ = std::make_shared<DeviceError>();
  std::vector<std::shared_ptr<Stream>> made_;
  std::shared_ptr<Stream> a_, b_;
};

TEST_F(Order, ACollectiveDoesNotReadWhatAnotherStreamStillWrites) {
  a_->Enqueue(Reads(0, 4));
  a_->Enqueue(Writes(60, 8));
  const std::string error = Try(*b_, Collective());
  EXPECT_THAT(error, HasSubstr("507015 HcclAllReduce (task 1 of stream "));
  EXPECT_THAT(error, HasSubstr("of device 0) reads 'sendBuf' (64 bytes from 0x10000 on), while "
                               "aclnnFill (task 2 of stream "));
  EXPECT_THAT(error, HasSubstr("writes 'self' (8 bytes from 0x1003c on): nothing orders the two"));
  // The device is in error from here on.
  EXPECT_EQ(ErrorOf([&] { a_->Enqueue(Reads(0, 4)); }), error);
}

TEST_F(Order, NobodyWritesWhatACollectiveStillReads) {
  a_->Enqueue(Collective());
  EXPECT_EQ(Try(*b_, Reads(0, 64)), "");
  EXPECT_EQ(Try(*b_, Writes(64, 64)), "");
  EXPECT_THAT(Try(*b_, Writes(63, 1)), HasSubstr("writes 'self' (1 bytes from 0x1003f on), while "
                                                 "HcclAllReduce (task 1 of stream "));
}

TEST_F(Order, NobodyReadsWhatACollectiveStillWrites) {
  a_->Enqueue(Collective());
  EXPECT_THAT(Try(*b_, Reads(1063, 1)), HasSubstr("writes 'recvBuf' (64 bytes from 0x103e8 on)"));
}

TEST_F(Order, TwoCollectivesRaceToo) {
  a_->Enqueue(Collective());
  EXPECT_THAT(Try(*b_, Collective()), HasSubstr("writes 'recvBuf'"));
}

TEST_F(Order, AStreamIsInOrderWithItself) {
  a_->Enqueue(Writes(0, 2000));
  EXPECT_EQ(Try(*a_, Collective()), "");
  EXPECT_EQ(Try(*a_, Writes(0, 2000)), "");
}

TEST_F(Order, OtherTasksAreNotCompared) {
  a_->Enqueue(Writes(0, 64));
  EXPECT_EQ(Try(*b_, Writes(0, 64)), "");
}

TEST_F(Order, AnEventOrders) {
  a_->Enqueue(Writes(0, 64));
  Join(*a_, *b_);
  EXPECT_EQ(Try(*b_, Collective()), "");
  Join(*b_, *a_);
  EXPECT_EQ(Try(*a_, Writes(0, 2000)), "");
}

TEST_F(Order, AnEventOrdersOnlyWhatWasBeforeIt) {
  Event event(0);
  event.Record(*a_);
  a_->Enqueue(Writes(0, 64));
  event.WaitOn(*b_);
  EXPECT_NE(Try(*b_, Collective()), "");
}

TEST_F(Order, WaitingIsNoOrderForTheOtherStream) {
  a_->Enqueue(Collective());
  Join(*b_, *a_);
  EXPECT_NE(Try(*b_, Writes(0, 64)), "");
}

TEST_F(Order, EventsOrderThroughAThirdStream) {
  const std::shared_ptr<Stream> c = New();
  a_->Enqueue(Collective());
  Join(*a_, *b_);
  Join(*b_, *c);
  EXPECT_EQ(Try(*c, Writes(0, 64)), "");
}

TEST_F(Order, WhatTheHostHasSeenIsOver) {
  a_->Enqueue(Collective());
  a_->Synchronize();
  EXPECT_EQ(Try(*b_, Writes(0, 64)), "");
  b_->EnqueueAndWait(Reads(0, 4));
  EXPECT_EQ(Try(*a_, Collective()), "");
  while (!a_->Idle()) std::this_thread::yield();
  EXPECT_EQ(Try(*b_, Writes(0, 64)), "");
}

TEST_F(Order, WhatCameAfterTheHostHasLookedIsNot) {
  a_->Enqueue(Writes(100, 4));
  a_->Synchronize();
  a_->Enqueue(Collective());
  EXPECT_NE(Try(*b_, Writes(0, 64)), "");
}

TEST_F(Order, AHostFunctionTellsTheHost) {
  std::atomic<bool> called = false;
  a_->Enqueue(Collective());
  a_->Enqueue(
      HostTask{[](void* flag) { *static_cast<std::atomic<bool>*>(flag) = true; }, &called, {}});
  a_->WaitForQueued(-1);
  ASSERT_TRUE(called);
  EXPECT_EQ(Try(*b_, Writes(0, 64)), "");
}

TEST_F(Order, TheHostRacesWithACollectiveItHasNotWaitedFor) {
  StreamOrder& order = StreamOrder::Get();
  const std::vector<softnpu_access> freed = {Bytes("what is freed", At(0), 64, SOFTNPU_WRITES)};
  a_->Enqueue(Collective());
  EXPECT_THAT(ErrorOf([&] { order.HostTouches("aclrtFree", freed); }),
              HasSubstr("aclrtFree of the host writes 'what is freed' (64 bytes from 0x10000 on), "
                        "while HcclAllReduce (task 1 of stream "));
  a_->Synchronize();
  order.HostTouches("aclrtFree", freed);
}

TEST_F(Order, AnOperatorThatTouchesSomeBytesOnlyIsLeftOut) {
  a_->Enqueue(Collective());
  EXPECT_EQ(Try(*b_, Of(EventKind::kOperator, "aclnnIndexPut",
                        {Bytes("self", At(0), 64, SOFTNPU_WRITES | SOFTNPU_SOME)})),
            "");
}

softnpu_access Columns(uintptr_t offset, int64_t rows, int64_t columns, int64_t stride) {
  softnpu_access access = Bytes("self", At(offset), 0, SOFTNPU_WRITES);
  access.element_bytes = 4;
  access.rank = 2;
  access.dims[0] = rows;
  access.dims[1] = columns;
  access.strides[0] = stride;
  access.strides[1] = 1;
  return access;
}

TEST(Conflicts, StridedAccessesAreComparedByTheirPieces) {
  const softnpu_access left = Columns(0, 8, 3, 6);
  const softnpu_access right = Columns(12, 8, 3, 6);
  EXPECT_FALSE(Conflicts(left, right));
  EXPECT_FALSE(Conflicts(right, left));
  EXPECT_TRUE(Conflicts(left, Columns(8, 8, 3, 6)));
  // Between two rows, and in one.
  EXPECT_FALSE(Conflicts(left, Bytes("x", At(12), 12, SOFTNPU_READS)));
  EXPECT_TRUE(Conflicts(left, Bytes("x", At(12), 13, SOFTNPU_READS)));
  EXPECT_TRUE(Conflicts(Bytes("x", At(12), 13, SOFTNPU_READS), left));
  // The last element, and behind it.
  EXPECT_TRUE(Conflicts(left, Bytes("x", At(4 * (7 * 6 + 2) + 3), 1, SOFTNPU_READS)));
  EXPECT_FALSE(Conflicts(left, Bytes("x", At(4 * (7 * 6 + 3)), 100, SOFTNPU_READS)));
}

TEST(Conflicts, NothingIsTouchedByNoElementsAndByTwoReads) {
  EXPECT_FALSE(Conflicts(Columns(0, 0, 3, 6), Bytes("x", At(0), 64, SOFTNPU_WRITES)));
  EXPECT_FALSE(
      Conflicts(Bytes("x", At(8), 0, SOFTNPU_READS), Bytes("x", At(0), 64, SOFTNPU_WRITES)));
  EXPECT_FALSE(
      Conflicts(Bytes("x", At(0), 64, SOFTNPU_READS), Bytes("x", At(0), 64, SOFTNPU_READS)));
  // A scalar has no dimensions.
  softnpu_access scalar = Columns(4, 1, 1, 1);
  scalar.rank = 0;
  EXPECT_TRUE(Conflicts(scalar, Bytes("x", At(7), 1, SOFTNPU_READS)));
  EXPECT_FALSE(Conflicts(scalar, Bytes("x", At(8), 1, SOFTNPU_READS)));
}

TEST(Conflicts, RowsThatGoBackwards) {
  softnpu_access access = Columns(100, 3, 2, -4);
  EXPECT_TRUE(Conflicts(access, Bytes("x", At(68), 1, SOFTNPU_READS)));
  EXPECT_FALSE(Conflicts(access, Bytes("x", At(67), 1, SOFTNPU_READS)));
  EXPECT_FALSE(Conflicts(access, Bytes("x", At(76), 8, SOFTNPU_READS)));
}

}  // namespace
}  // namespace softnpu
