// cc/softnpu/runtime/eager_stream_test.cc: streams without workers (SOFTNPU_STREAMS=eager).
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "cc/softnpu/runtime/stream.h"

namespace softnpu {
namespace {

Task MakeTask(std::function<void()> body) {
  const auto run = [](void* context) -> int32_t {
    (*static_cast<std::function<void()>*>(context))();
    return 0;
  };
  return OperatorTask{"task", run, std::make_shared<std::function<void()>>(std::move(body)), {}};
}

std::shared_ptr<Stream> NewStream(const std::shared_ptr<DeviceError>& error) {
  return std::make_shared<Stream>(0, 0, error);
}

TEST(EagerStream, TasksRunInTheCall) {
  const auto stream = NewStream(std::make_shared<DeviceError>());
  std::thread::id thread;
  stream->Enqueue(MakeTask([&] { thread = std::this_thread::get_id(); }));
  EXPECT_EQ(thread, std::this_thread::get_id());
  EXPECT_TRUE(stream->Idle());
  EXPECT_TRUE(stream->Synchronize(0));
}

TEST(EagerStream, AnErrorStaysUntilTheDeviceIsReset) {
  const auto error = std::make_shared<DeviceError>();
  const auto stream = NewStream(error);
  EXPECT_NO_THROW(stream->Enqueue(MakeTask([] { throw Error(7, "the first"); })));
  for (int i = 0; i < 2; ++i) {
    try {
      stream->Synchronize();
      ADD_FAILURE() << "the error is lost";
    } catch (const Error& caught) {
      EXPECT_EQ(caught.code(), 7);
      EXPECT_STREQ(caught.what(), "the first");
    }
  }
  bool ran = false;
  EXPECT_THROW(stream->Enqueue(MakeTask([&] { ran = true; })), Error);
  EXPECT_FALSE(ran);
  error->Clear();
  stream->Enqueue(MakeTask([&] { ran = true; }));
  EXPECT_TRUE(ran);
  EXPECT_TRUE(stream->Synchronize());
}

TEST(EagerStream, EventsAreRecordedAtOnce) {
  const auto error = std::make_shared<DeviceError>();
  const auto first = NewStream(error);
  const auto second = NewStream(error);
  Event event(0);
  event.WaitOn(*second);
  event.Record(*first);
  EXPECT_TRUE(event.latest()->done());
  event.WaitOn(*second);
  EXPECT_TRUE(second->Synchronize(0));
}

TEST(EagerStream, ATaskMayQueueOnItsOwnStream) {
  const auto stream = NewStream(std::make_shared<DeviceError>());
  int ran = 0;
  stream->Enqueue(MakeTask([&] { stream->Enqueue(MakeTask([&] { ++ran; })); }));
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace softnpu
