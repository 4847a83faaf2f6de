// cc/softnpu/runtime/stream.h: streams and events.
//
// A stream runs its tasks in order. Mode async: on a worker thread of its own, made at the first
// task (torch_npu opens about 34 streams and uses two or three), optionally after a seeded random
// delay so that a missing wait shows. Mode eager: at once on the calling thread.
//
// A task that fails puts its device into error (DeviceError). From then on no task of that device
// does its work: what the failed one would have written is missing. Recordings still complete, or a
// waiter would hang, but they carry the error, and who waits for one inherits it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string_view>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/runtime/task.h"

namespace softnpu {

// The first error of a device. It stays until the device is reset.
class DeviceError {
 public:
  // Keeps the first of several.
  void Set(const Error& error);
  // Throws the error if there is one.
  void Raise() const;
  std::optional<Error> Get() const;
  void Clear();
  // How often it was cleared: what belongs to an earlier count is over.
  uint64_t resets() const { return resets_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> set_{false};
  std::atomic<uint64_t> resets_{0};
  mutable std::mutex mutex_;
  std::optional<Error> error_;
};

// One recording of an event: completed once, by the stream that reaches it.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void Complete(std::optional<Error> error);
  // With the error of a device, if it has one. A reset of that device ends what the recording
  // carries, too.
  void CompleteWith(const std::shared_ptr<DeviceError>& device);
  virtual void Wait();
  virtual bool done() const;
  // Of a completed recording.
  virtual std::optional<Error> error() const;
  // What has ended when it is completed.
  void SetReached(OrderClock reached);
  OrderClock reached() const;
  int64_t time_ns() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  int64_t time_ns_ = 0;
  std::optional<Error> error_;
  OrderClock reached_;
  std::shared_ptr<DeviceError> device_;  // whose error it is; null: the recording's own
  uint64_t resets_ = 0;
};

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  // `error` is shared by the streams of a device. Streams are made by std::make_shared: a worker
  // holds its stream.
  Stream(int device, uint32_t id, std::shared_ptr<DeviceError> error);
  ~Stream();

  // Throws Error: the device is in error, the stream was destroyed, or the task races with a
  // collective, which puts the device into error.
  void Enqueue(Task task);
  // On a device in error the recording completes at once, with that error, and nothing is thrown:
  // torch_npu records events in destructors.
  void EnqueueRecord(std::shared_ptr<Recording> recording);
  // On a device in error there is nothing left to order, so nothing is queued or thrown.
  void EnqueueWait(std::shared_ptr<Recording> recording);
  // The same, then waits until the task is done. Throws the error of the stream.
  void EnqueueAndWait(Task task);
  // Waits until the tasks that are queued by now are done or left out; negative timeout = no limit.
  // Returns false on timeout.
  bool WaitForQueued(int64_t timeout_ms);
  // The same, then throws the error of the device.
  bool Synchronize(int64_t timeout_ms = -1);
  // Whether all tasks are done. Throws the error of the device.
  bool Idle();
  // Tasks that were queued are done, or dropped, then the worker ends. What a dropped recording
  // would have told becomes an error of its waiters.
  void Close(bool drop);

  // Whether it was closed and all its tasks are done.
  bool Ended();

  int device() const { return device_; }
  uint32_t id() const { return id_; }

 private:
  void Work();
  void RunTask(const Task& task);
  bool IsClosed();

  const int device_;
  const uint32_t id_;
  const std::shared_ptr<DeviceError> error_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> queue_;
  uint64_t queued_count_ = 0;    // tasks ever queued
  uint64_t finished_count_ = 0;  // of these, done, left out or dropped
  bool closed_ = false;
  bool worker_started_ = false;
  // A host function may queue on its own stream.
  std::recursive_mutex eager_mutex_;
  std::mt19937_64 random_;
};

class SharedEvent;

class Event {
 public:
  // `shared`: what it has in common with events of other processes.
  explicit Event(uint32_t flag, std::shared_ptr<SharedEvent> shared = nullptr)
      : flag_(flag), shared_(std::move(shared)) {}
  void Record(Stream& stream);
  // Makes `stream` wait for the recording that is the latest at the time of the call.
  void WaitOn(Stream& stream);
  // Null before the first Record.
  std::shared_ptr<Recording> latest() const;
  void Reset();
  uint32_t flag() const { return flag_; }
  const std::shared_ptr<SharedEvent>& shared() const { return shared_; }

 private:
  const uint32_t flag_;
  const std::shared_ptr<SharedEvent> shared_;
  mutable std::mutex mutex_;
  std::shared_ptr<Recording> latest_;
};

}  // namespace softnpu
