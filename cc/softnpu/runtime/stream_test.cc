// cc/softnpu/runtime/stream_test.cc: order, errors and events of streams with workers and delays.
#include "cc/softnpu/runtime/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

namespace softnpu {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

// As in the runtime, streams are never freed: their workers are not either. The list keeps them
// reachable, so that they are no leaks.
Stream& NewStream() {
  static std::vector<Stream*>* streams = new std::vector<Stream*>;
  streams->push_back(new Stream(0, static_cast<uint32_t>(streams->size())));
  return *streams->back();
}

Task MakeTask(std::function<void()> body, bool always = false) {
  return {EventKind::kOperator, "task", always, std::move(body)};
}

// A task that holds its stream until it is opened.
class Gate {
 public:
  Task Hold(bool always = false) {
    return MakeTask([future = future_] { future.wait(); }, always);
  }
  void Open() { promise_.set_value(); }

 private:
  std::promise<void> promise_;
  std::shared_future<void> future_ = promise_.get_future().share();
};

std::string SynchronizeError(Stream& stream) {
  try {
    stream.Synchronize();
  } catch (const Error& error) {
    return std::to_string(error.code()) + " " + error.what();
  }
  return "";
}

TEST(Stream, TasksRunInOrderOnOneOtherThread) {
  Stream& stream = NewStream();
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

TEST(Stream, TasksAreDelayed) {
  Stream& stream = NewStream();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) stream.Enqueue(MakeTask([] {}));
  stream.Synchronize();
  // 100 delays of 0.1 ms on average; seeded, so the sum is the same in every run.
  EXPECT_GT(std::chrono::steady_clock::now() - start, milliseconds(5));
}

TEST(Stream, AnErrorStaysUntilItIsReported) {
  Stream& stream = NewStream();
  bool skipped = false;
  bool always = false;
  stream.Enqueue(MakeTask([] { throw Error(kVectorCoreException, "the first"); }));
  stream.Enqueue(MakeTask([&] { skipped = true; }));
  stream.Enqueue(MakeTask([] { throw Error(kRtInternal, "the second"); }, true));
  stream.Enqueue(MakeTask([&] { always = true; }, true));
  EXPECT_EQ(SynchronizeError(stream), "507035 the first");
  EXPECT_FALSE(skipped);
  EXPECT_TRUE(always);
  EXPECT_EQ(SynchronizeError(stream), "");
  bool after = false;
  stream.Enqueue(MakeTask([&] { after = true; }));
  EXPECT_TRUE(stream.Synchronize());
  EXPECT_TRUE(after);
}

TEST(Stream, OtherExceptionsBecomeErrorsWithTheTasksName) {
  Stream& stream = NewStream();
  stream.Enqueue({EventKind::kOperator, "aclnnOdd", false, [] { throw std::bad_alloc(); }});
  EXPECT_THAT(SynchronizeError(stream), HasSubstr("507015 aclnnOdd: "));
}

TEST(Stream, ErrorsAreThoseOfTheirStream) {
  Stream& bad = NewStream();
  Stream& good = NewStream();
  bool ran = false;
  bad.Enqueue(MakeTask([] { throw Error(1, "mine"); }));
  good.Enqueue(MakeTask([&] { ran = true; }));
  EXPECT_EQ(SynchronizeError(good), "");
  EXPECT_TRUE(ran);
  EXPECT_EQ(SynchronizeError(bad), "1 mine");
}

TEST(Stream, ATimeoutTakesNothing) {
  Stream& stream = NewStream();
  Gate gate;
  stream.Enqueue(MakeTask([] { throw Error(5, "kept"); }));
  stream.Enqueue(gate.Hold(true));
  EXPECT_FALSE(stream.Synchronize(20));
  EXPECT_FALSE(stream.Synchronize(0));
  EXPECT_FALSE(stream.Idle());
  gate.Open();
  EXPECT_EQ(SynchronizeError(stream), "5 kept");
  EXPECT_TRUE(stream.Synchronize(0));
}

TEST(Stream, WhatATaskHoldsIsReleasedBeforeTheStreamIsIdle) {
  Stream& stream = NewStream();
  for (int i = 0; i < 50; ++i) {
    auto held = std::make_shared<int>(1);
    stream.Enqueue(MakeTask([held] {}));
    stream.Synchronize();
    EXPECT_EQ(held.use_count(), 1);
  }
}

TEST(Event, MakesAStreamWait) {
  Stream& first = NewStream();
  Stream& second = NewStream();
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

TEST(Event, AWaitBeforeTheFirstRecordingDoesNotBlock) {
  Stream& first = NewStream();
  Stream& second = NewStream();
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

TEST(Event, AWaitIsForTheRecordingOfItsTime) {
  Stream& first = NewStream();
  Stream& second = NewStream();
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

TEST(Event, IsRecordedAfterAnErrorToo) {
  Stream& first = NewStream();
  Stream& second = NewStream();
  Event event(0);
  first.Enqueue(MakeTask([] { throw Error(9, "before the recording"); }));
  event.Record(first);
  event.WaitOn(second);
  EXPECT_TRUE(second.Synchronize(5000));
  event.latest()->Wait();
  EXPECT_EQ(SynchronizeError(first), "9 before the recording");
}

TEST(Event, ForgetsItsRecordingWhenReset) {
  Stream& first = NewStream();
  Stream& second = NewStream();
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
