// cc/softnpu/runtime/stream.h: streams and events.
//
// A stream runs its tasks in order. Mode async: on a worker thread of its own, made at the first
// task (torch_npu opens about 34 streams and uses two or three), optionally after a seeded random
// delay so that a missing wait shows. Mode eager: at once on the calling thread.
//
// A task that throws leaves its Error in the stream; tasks after it are skipped (event records are
// not, or a waiter would hang) until a synchronising call has reported it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "cc/softnpu/ascendc/error.h"
#include "cc/softnpu/runtime/trace.h"

namespace softnpu {

struct Task {
  EventKind kind = EventKind::kOperator;
  std::string name;
  bool always = false;  // also runs after an error of the stream
  std::function<void()> run;
};

class Stream {
 public:
  Stream(int device, uint32_t id);

  void Enqueue(Task task);
  // Waits until all tasks are done; negative timeout = no limit. Returns false on timeout.
  // Throws the stream's error, which is thereby consumed.
  bool Synchronize(int64_t timeout_ms = -1);
  bool Idle();

  int device() const { return device_; }
  uint32_t id() const { return id_; }

 private:
  void Work();
  void RunTask(Task& task);

  const int device_;
  const uint32_t id_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> queue_;
  bool busy_ = false;
  bool worker_started_ = false;
  std::unique_ptr<Error> error_;
  std::mutex eager_mutex_;
  std::mt19937_64 random_;
};

// One recording of an event: set once, by the stream that reaches it.
class Recording {
 public:
  void Complete();
  void Wait();
  bool done();
  int64_t time_ns() const { return time_ns_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  int64_t time_ns_ = 0;
};

class Event {
 public:
  explicit Event(uint32_t flag) : flag_(flag) {}
  void Record(Stream& stream);
  // Makes `stream` wait for the recording that is the latest at the time of the call.
  void WaitOn(Stream& stream);
  // Null before the first Record.
  std::shared_ptr<Recording> latest();
  void Reset();
  uint32_t flag() const { return flag_; }

 private:
  const uint32_t flag_;
  std::mutex mutex_;
  std::shared_ptr<Recording> latest_;
};

}  // namespace softnpu
