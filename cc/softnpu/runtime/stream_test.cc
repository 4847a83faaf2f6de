// cc/softnpu/runtime/stream_test.cc: order, errors and events of streams with workers and delays.
#include "cc/softnpu/runtime/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "cc/softnpu/base/testing/error.h"

namespace softnpu {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

// An operator that runs a closure.
Task MakeTask(std::function<void()> body) {
  const auto run = [](void* context) -> int32_t {
    (*static_cast<std::function<void()>*>(context))();
    return 0;
  };
  return OperatorTask{"task", run, std::make_shared<std::function<void()>>(std::move(body)), {}};
}

Task Failing(int32_t code, const char* sentence) {
  return MakeTask([=] { throw Error(code, sentence); });
}

// A task that holds its stream until it is opened.
class Gate {
 public:
  Task Hold() {
    return MakeTask([future = future_] { future.wait(); });
  }
  void Open() { promise_.set_value(); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> future_ = promise_.get_future().share();
};

class Streams : public ::testing::Test {
 protected:
  ~Streams() override {
    for (const auto& stream : made_) stream->Close(/*drop=*/false);
  }
  Stream& New(int device = 0) {
    auto& error = device == 0 ? error_ : other_error_;
    made_.push_back(std::make_shared<Stream>(device, static_cast<uint32_t>(made_.size()), error));
    return *made_.back();
  }

  std::shared_ptr<DeviceError> error_ = std::make_shared<DeviceError>();
  std::shared_ptr<DeviceError> other_error_ = std::make_shared<DeviceError>();
  std::vector<std::shared_ptr<Stream>> made_;
};

TEST_F(Streams, TasksRunInOrderOnOneOtherThread) {
  Stream& stream = New();
  std::vector<int> order;
  std::vector<std::thread::id> threads;
  for (int i = 0; i < 200; ++i) {
    stream.Enqueue(MakeTask([&, i] {
      order.push_back(i);
      threads.push_back(std::this_thread::get_id());
    }));
  }
  EXPECT_TRUE(stream.Synchronize());
  EXPECT_TRUE(stream.Idle());
  ASSERT_EQ(order.size(), 200u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  EXPECT_THAT(threads, ::testing::Each(threads[0]));
  EXPECT_NE(threads[0], std::this_thread::get_id());
}

TEST_F(Streams, TasksAreDelayed) {
  Stream& stream = New();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) stream.Enqueue(MakeTask([] {}));
  stream.Synchronize();
  // 100 delays of 0.1 ms on average; seeded, so the sum is the same in every run.
  EXPECT_GT(std::chrono::steady_clock::now() - start, milliseconds(5));
}

TEST_F(Streams, TheFirstErrorStaysForEveryStreamOfTheDevice) {
  Stream& bad = New();
  Stream& good = New();
  Stream& elsewhere = New(1);
  std::atomic<bool> ran = false;
  Gate gate;
  bad.Enqueue(gate.Hold());
  bad.Enqueue(Failing(kVectorCoreException, "the first"));
  bad.Enqueue(MakeTask([&] { ran = true; }));
  bad.Enqueue(Failing(kRtInternal, "the second"));
  gate.Open();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ErrorOf([&] { bad.Synchronize(); }), "507035 the first");
    EXPECT_EQ(ErrorOf([&] { bad.Idle(); }), "507035 the first");
    EXPECT_EQ(ErrorOf([&] { bad.Enqueue(MakeTask([&] { ran = true; })); }), "507035 the first");
    EXPECT_EQ(ErrorOf([&] { bad.EnqueueAndWait(MakeTask([] {})); }), "507035 the first");
    EXPECT_EQ(ErrorOf([&] { good.Synchronize(); }), "507035 the first");
    EXPECT_EQ(ErrorOf([&] { good.Enqueue(MakeTask([&] { ran = true; })); }), "507035 the first");
  }
  EXPECT_FALSE(ran);
  elsewhere.Enqueue(MakeTask([&] { ran = true; }));
  EXPECT_TRUE(elsewhere.Synchronize());
  EXPECT_TRUE(ran);

  error_->Clear();
  bool after = false;
  bad.Enqueue(MakeTask([&] { after = true; }));
  EXPECT_TRUE(bad.Synchronize());
  EXPECT_TRUE(after);
}

TEST_F(Streams, AStreamWithTasksLeavesThemOutOnceAnotherHasFailed) {
  Stream& bad = New();
  Stream& good = New();
  Gate gate;
  bool ran = false;
  good.Enqueue(gate.Hold());
  good.Enqueue(MakeTask([&] { ran = true; }));
  bad.Enqueue(Failing(5, "mine"));
  EXPECT_EQ(ErrorOf([&] { bad.Synchronize(); }), "5 mine");
  gate.Open();
  EXPECT_EQ(ErrorOf([&] { good.Synchronize(); }), "5 mine");
  EXPECT_FALSE(ran);
}

TEST_F(Streams, OtherExceptionsBecomeErrorsWithTheTasksName) {
  Stream& stream = New();
  stream.Enqueue(MakeTask([] { throw std::bad_alloc(); }));
  EXPECT_THAT(ErrorOf([&] { stream.Synchronize(); }), HasSubstr("507015 task: "));
  error_->Clear();
  stream.Enqueue(MakeTask([] { throw 7; }));  // NOLINT: any program can
  EXPECT_EQ(ErrorOf([&] { stream.Synchronize(); }), "507015 task: an exception of an unknown type");
}

TEST_F(Streams, ATimeoutTakesNothing) {
  Stream& stream = New();
  Gate gate;
  stream.Enqueue(gate.Hold());
  stream.Enqueue(Failing(5, "kept"));
  EXPECT_FALSE(stream.Synchronize(20));
  EXPECT_FALSE(stream.Synchronize(0));
  EXPECT_FALSE(stream.Idle());
  gate.Open();
  EXPECT_EQ(ErrorOf([&] { stream.Synchronize(); }), "5 kept");
}

TEST_F(Streams, WhatATaskHoldsIsReleasedBeforeTheStreamIsIdle) {
  Stream& stream = New();
  for (int i = 0; i < 50; ++i) {
    auto held = std::make_shared<int>(1);
    stream.Enqueue(MakeTask([held] {}));
    stream.Synchronize();
    EXPECT_EQ(held.use_count(), 1);
  }
}

TEST_F(Streams, ATaskThatIsWaitedForIsDoneWhenTheCallReturns) {
  Stream& stream = New();
  Gate gate;
  bool before = false;
  bool done = false;
  stream.Enqueue(MakeTask([&] { before = true; }));
  stream.EnqueueAndWait(MakeTask([&] { done = before; }));
  EXPECT_TRUE(done);
  stream.Enqueue(Failing(5, "before"));
  EXPECT_EQ(ErrorOf([&] { stream.EnqueueAndWait(MakeTask([&] { done = false; })); }), "5 before");
  EXPECT_TRUE(done);
}

TEST_F(Streams, AClosedStreamEndsItsTasksAndItsWorker) {
  auto stream = std::make_shared<Stream>(0, 99, error_);
  int ran = 0;
  for (int i = 0; i < 10; ++i) stream->Enqueue(MakeTask([&] { ++ran; }));
  stream->Close(/*drop=*/false);
  EXPECT_EQ(ran, 10);
  EXPECT_EQ(ErrorOf([&] { stream->Enqueue(MakeTask([] {})); }), "107003 stream 99 was destroyed");
  // The worker held the stream; nobody else but this test does once it has ended.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (stream.use_count() > 1 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(stream.use_count(), 1);
}

TEST_F(Streams, AStreamClosedByForceDropsItsTasksAndTellsWhoWaitsForThem) {
  Stream& stream = New();
  Stream& other = New(1);
  Gate gate;
  Event event(0);
  bool ran = false;
  stream.Enqueue(gate.Hold());
  stream.Enqueue(MakeTask([&] { ran = true; }));
  event.Record(stream);
  event.WaitOn(other);
  stream.Close(/*drop=*/true);
  EXPECT_THAT(ErrorOf([&] { other.Synchronize(); }),
              HasSubstr("107003 stream 0 was destroyed before it reached the recording"));
  gate.Open();
  EXPECT_FALSE(ran);
}

TEST_F(Streams, AnEventMakesAStreamWait) {
  Stream& first = New();
  Stream& second = New();
  Gate gate;
  Event event(0);
  std::atomic<bool> opened = false;
  std::atomic<bool> seen = false;
  first.Enqueue(gate.Hold());
  event.Record(first);
  event.WaitOn(second);
  second.Enqueue(MakeTask([&] { seen = opened.load(); }));
  EXPECT_FALSE(second.Synchronize(30));
  EXPECT_FALSE(event.latest()->done());
  opened = true;
  gate.Open();
  EXPECT_TRUE(second.Synchronize());
  EXPECT_TRUE(seen);
  EXPECT_TRUE(event.latest()->done());
}

TEST_F(Streams, AWaitBeforeTheFirstRecordingDoesNotBlock) {
  Stream& first = New();
  Stream& second = New();
  Gate gate;
  Event event(0);
  EXPECT_EQ(event.latest(), nullptr);
  event.WaitOn(second);
  first.Enqueue(gate.Hold());
  event.Record(first);
  EXPECT_TRUE(second.Synchronize(5000));
  gate.Open();
  first.Synchronize();
}

TEST_F(Streams, AWaitIsForTheRecordingOfItsTime) {
  Stream& first = New();
  Stream& second = New();
  Gate gate;
  Event event(0);
  event.Record(first);
  const auto recording = event.latest();
  event.WaitOn(second);
  first.Enqueue(gate.Hold());
  event.Record(first);  // waits behind the gate
  EXPECT_TRUE(second.Synchronize(5000));
  EXPECT_TRUE(recording->done());
  EXPECT_FALSE(event.latest()->done());
  std::this_thread::sleep_for(milliseconds(5));
  gate.Open();
  first.Synchronize();
  EXPECT_TRUE(event.latest()->done());
  EXPECT_GE(event.latest()->time_ns() - recording->time_ns(), 5'000'000);
}

TEST_F(Streams, ARecordingBehindAnErrorCarriesItToWhoWaits) {
  Stream& first = New();
  Stream& second = New(1);  // of another device
  Stream& third = New(1);
  Event event(0);
  bool ran = false;
  Gate gate;
  first.Enqueue(gate.Hold());
  first.Enqueue(Failing(9, "before the recording"));
  event.Record(first);
  event.WaitOn(second);
  second.Enqueue(MakeTask([&] { ran = true; }));
  gate.Open();
  event.latest()->Wait();
  EXPECT_EQ(event.latest()->error()->code(), 9);
  EXPECT_EQ(ErrorOf([&] { second.Synchronize(); }), "9 before the recording");
  EXPECT_EQ(ErrorOf([&] { third.Synchronize(); }), "9 before the recording");
  EXPECT_FALSE(ran);
}

TEST_F(Streams, ARecordingOnADeviceInErrorCarriesItAtOnce) {
  Stream& first = New();
  Stream& second = New(1);
  Stream& third = New();
  Event event(0);
  first.Enqueue(Failing(9, "earlier"));
  EXPECT_EQ(ErrorOf([&] { first.Synchronize(); }), "9 earlier");
  event.Record(first);
  ASSERT_TRUE(event.latest()->done());
  EXPECT_EQ(event.latest()->error()->code(), 9);
  event.WaitOn(third);  // of the same device: there is nothing left to order
  event.WaitOn(second);
  EXPECT_EQ(ErrorOf([&] { second.Synchronize(5000); }), "9 earlier");
  error_->Clear();
  EXPECT_FALSE(event.latest()->error()) << "it ended with the device's error";
  event.WaitOn(third);
  EXPECT_TRUE(third.Synchronize(5000));
}

TEST_F(Streams, OnlyTasksThatAreQueuedByThenAreWaitedFor) {
  Stream& stream = New();
  Gate first;
  Gate later;
  stream.Enqueue(first.Hold());
  std::thread thread([&] {
    std::this_thread::sleep_for(milliseconds(20));
    stream.Enqueue(later.Hold());
    first.Open();
  });
  EXPECT_TRUE(stream.Synchronize(5000));
  EXPECT_FALSE(stream.Idle());
  thread.join();
  later.Open();
}

TEST_F(Streams, ARecordingBeforeAnErrorIsGood) {
  Stream& first = New();
  Stream& second = New(1);
  Event event(0);
  event.Record(first);
  event.latest()->Wait();
  first.Enqueue(Failing(9, "after the recording"));
  event.WaitOn(second);
  EXPECT_TRUE(second.Synchronize(5000));
  EXPECT_FALSE(event.latest()->error());
}

TEST_F(Streams, AnEventForgetsItsRecordingWhenReset) {
  Stream& first = New();
  Stream& second = New();
  Gate gate;
  Event event(0);
  first.Enqueue(gate.Hold());
  event.Record(first);
  event.Reset();
  EXPECT_EQ(event.latest(), nullptr);
  event.WaitOn(second);
  EXPECT_TRUE(second.Synchronize(5000));
  gate.Open();
  first.Synchronize();
}

}  // namespace
}  // namespace softnpu
