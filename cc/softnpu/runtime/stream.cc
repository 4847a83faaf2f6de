// cc/softnpu/runtime/stream.cc: stream workers, delays, events.
#include "cc/softnpu/runtime/stream.h"

#include <chrono>
#include <thread>
#include <utility>

#include "cc/softnpu/runtime/options.h"

namespace softnpu {

Stream::Stream(int device, uint32_t id)
    : device_(device), id_(id), random_(GetOptions().seed * 0x9E3779B97F4A7C15ULL + id) {}

void Stream::RunTask(Task& task) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (error_ != nullptr && !task.always) return;
  }
  const int64_t start = NowNanoseconds();
  try {
    task.run();
  } catch (const Error& error) {
    Report(error.code(), error.what());
    std::lock_guard<std::mutex> lock(mutex_);
    if (error_ == nullptr) error_ = std::make_unique<Error>(error);
  } catch (const std::exception& error) {
    Report(kAicoreException, task.name + ": " + error.what());
    std::lock_guard<std::mutex> lock(mutex_);
    if (error_ == nullptr) {
      error_ = std::make_unique<Error>(kAicoreException, task.name + ": " + error.what());
    }
  }
  TraceSlice(task.kind, device_, id_, task.name, start, NowNanoseconds());
}

void Stream::Enqueue(Task task) {
  Count(task.kind, task.name);
  if (!GetOptions().async) {
    std::lock_guard<std::mutex> lock(eager_mutex_);
    RunTask(task);
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back(std::move(task));
  if (!worker_started_) {
    worker_started_ = true;
    // Detached: streams live until the process ends, like the driver's.
    std::thread([this] { Work(); }).detach();
  }
  changed_.notify_all();
}

void Stream::Work() {
  const int64_t delay_us = GetOptions().delay_us;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !queue_.empty(); });
    Task task = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    if (delay_us > 0) {
      const auto wait = static_cast<int64_t>(random_() % static_cast<uint64_t>(delay_us + 1));
      std::this_thread::sleep_for(std::chrono::microseconds(wait));
    }
    RunTask(task);
    task = Task{};  // what the task holds is released before the stream reports idle
    lock.lock();
    busy_ = false;
    if (queue_.empty()) changed_.notify_all();
  }
}

bool Stream::Synchronize(int64_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto idle = [this] { return queue_.empty() && !busy_; };
  if (timeout_ms < 0) {
    changed_.wait(lock, idle);
  } else if (!changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), idle)) {
    return false;
  }
  if (error_ != nullptr) {
    const Error error = *error_;
    error_.reset();
    throw error;
  }
  return true;
}

bool Stream::Idle() {
  std::lock_guard<std::mutex> lock(mutex_);
  return queue_.empty() && !busy_;
}

void Recording::Complete() {
  std::lock_guard<std::mutex> lock(mutex_);
  done_ = true;
  time_ns_ = NowNanoseconds();
  changed_.notify_all();
}

void Recording::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return done_; });
}

bool Recording::done() {
  std::lock_guard<std::mutex> lock(mutex_);
  return done_;
}

void Event::Record(Stream& stream) {
  auto recording = std::make_shared<Recording>();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    latest_ = recording;
  }
  stream.Enqueue({EventKind::kEvent, "EventRecord", true, [recording] { recording->Complete(); }});
}

void Event::WaitOn(Stream& stream) {
  const std::shared_ptr<Recording> recording = latest();
  if (recording == nullptr) return;  // an event that was never recorded does not block
  stream.Enqueue({EventKind::kEvent, "EventWait", true, [recording] { recording->Wait(); }});
}

std::shared_ptr<Recording> Event::latest() {
  std::lock_guard<std::mutex> lock(mutex_);
  return latest_;
}

void Event::Reset() {
  std::lock_guard<std::mutex> lock(mutex_);
  latest_.reset();
}

}  // namespace softnpu
