// cc/softnpu/runtime/eager_stream_test.cc: streams without workers (SOFTNPU_STREAMS=eager).
#include <gtest/gtest.h>

#include <thread>

#include "cc/softnpu/runtime/stream.h"

namespace softnpu {
namespace {

Task MakeTask(std::function<void()> body, bool always = false) {
  return {EventKind::kOperator, "task", always, std::move(body)};
}

TEST(EagerStream, TasksRunInTheCall) {
  Stream stream(0, 0);
  std::thread::id thread;
  stream.Enqueue(MakeTask([&] { thread = std::this_thread::get_id(); }));
  EXPECT_EQ(thread, std::this_thread::get_id());
  EXPECT_TRUE(stream.Idle());
  EXPECT_TRUE(stream.Synchronize(0));
}

TEST(EagerStream, AnErrorStaysUntilItIsReported) {
  Stream stream(0, 0);
  bool skipped = false;
  bool always = false;
  EXPECT_NO_THROW(stream.Enqueue(MakeTask([] { throw Error(7, "the first"); })));
  stream.Enqueue(MakeTask([&] { skipped = true; }));
  stream.Enqueue(MakeTask([&] { always = true; }, true));
  EXPECT_FALSE(skipped);
  EXPECT_TRUE(always);
  try {
    stream.Synchronize();
    ADD_FAILURE() << "the error is lost";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), 7);
    EXPECT_STREQ(error.what(), "the first");
  }
  bool after = false;
  stream.Enqueue(MakeTask([&] { after = true; }));
  EXPECT_TRUE(after);
  EXPECT_TRUE(stream.Synchronize());
}

TEST(EagerStream, EventsAreRecordedAtOnce) {
  Stream first(0, 0);
  Stream second(0, 1);
  Event event(0);
  event.WaitOn(second);
  event.Record(first);
  EXPECT_TRUE(event.latest()->done());
  event.WaitOn(second);
  EXPECT_TRUE(second.Synchronize(0));
}

}  // namespace
}  // namespace softnpu
