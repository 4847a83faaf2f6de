// cc/softnpu/runtime/stream.cc: stream workers, delays, errors of devices, events.
#include "cc/softnpu/runtime/stream.h"

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "cc/softnpu/base/signals.h"
#include "cc/softnpu/runtime/options.h"
#include "cc/softnpu/runtime/shared_event.h"
#include "cc/softnpu/runtime/stream_order.h"

namespace softnpu {

void DeviceError::Set(const Error& error) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_) error_.emplace(error);
  set_.store(true, std::memory_order_release);
}

void DeviceError::Raise() const {
  if (const std::optional<Error> error = Get()) throw *error;
}

std::optional<Error> DeviceError::Get() const {
  if (!set_.load(std::memory_order_acquire)) return std::nullopt;
  std::lock_guard<std::mutex> lock(mutex_);
  return error_;
}

void DeviceError::Clear() {
  std::lock_guard<std::mutex> lock(mutex_);
  error_.reset();
  resets_.fetch_add(1, std::memory_order_acq_rel);
  set_.store(false, std::memory_order_release);
}

Stream::Stream(int device, uint32_t id, std::shared_ptr<DeviceError> error)
    : device_(device),
      id_(id),
      error_(std::move(error)),
      random_(GetOptions().seed * 0x9E3779B97F4A7C15ULL + id) {}

Stream::~Stream() {
  if (StreamOrder::Active()) StreamOrder::Get().Forget(id_);
}

void Stream::RunTask(const Task& task) {
  if (const auto* record = std::get_if<RecordTask>(&task)) {
    record->recording->CompleteWith(error_);
    TraceSlice(EventKind::kEvent, device_, id_, NameOf(task), record->recording->time_ns(),
               record->recording->time_ns());
    return;
  }
  if (error_->Get()) return;
  const int64_t start = NowNanoseconds();
  uint32_t modelled_ns = ModelledTimeOf(task);
  const auto fail = [this](int32_t code, const std::string& sentence) {
    Report(code, sentence);
    error_->Set(Error(code, sentence));
  };
  try {
    if (const auto* wait = std::get_if<WaitTask>(&task)) {
      wait->recording->Wait();
      const std::optional<Error> inherited = wait->recording->error();
      // Nobody is behind the wait of a stream that was destroyed.
      if (inherited && !IsClosed()) throw *inherited;
    } else {
      modelled_ns = Run(task);
      // What it told other threads is behind all that was before it.
      const auto* const host = std::get_if<HostTask>(&task);
      if (host != nullptr && StreamOrder::Active()) StreamOrder::Get().HostSaw(host->reached);
    }
  } catch (const Error& error) {
    fail(error.code(), error.what());
  } catch (const std::exception& error) {
    fail(kAicoreException, std::string(NameOf(task)) + ": " + error.what());
  } catch (...) {
    fail(kAicoreException, std::string(NameOf(task)) + ": an exception of an unknown type");
  }
  TraceSlice(KindOf(task), device_, id_, NameOf(task), start, NowNanoseconds(), modelled_ns);
}

void Stream::Enqueue(Task task) {
  error_->Raise();
  Count(KindOf(task), NameOf(task));
  if (!GetOptions().async) {
    std::lock_guard<std::recursive_mutex> lock(eager_mutex_);
    RunTask(task);
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) throw Error(kRtStreamContext, Format("stream %u was destroyed", id_));
  if (StreamOrder::Active()) {
    try {
      StreamOrder::Get().Enter(device_, id_, task);
    } catch (const Error& error) {
      error_->Set(error);
      throw;
    }
  }
  queue_.push_back(std::move(task));
  ++queued_count_;
  if (!worker_started_) {
    worker_started_ = true;
    std::thread([self = shared_from_this()] { self->Work(); }).detach();
  }
  changed_.notify_all();
}

void Stream::EnqueueRecord(std::shared_ptr<Recording> recording) {
  try {
    Enqueue(RecordTask{recording});
  } catch (const Error& error) {
    if (error_->Get()) {
      recording->CompleteWith(error_);
      return;
    }
    recording->Complete(error);
    throw;
  }
}

void Stream::EnqueueWait(std::shared_ptr<Recording> recording) {
  try {
    Enqueue(WaitTask{std::move(recording)});
  } catch (const Error&) {
    if (!error_->Get()) throw;
  }
}

bool Stream::IsClosed() {
  std::lock_guard<std::mutex> lock(mutex_);
  return closed_;
}

void Stream::EnqueueAndWait(Task task) {
  Enqueue(std::move(task));
  const auto done = std::make_shared<Recording>();
  try {
    Enqueue(RecordTask{done});
  } catch (const Error&) {
    // The task has failed already. Nothing may touch the caller's memory when this returns.
    WaitForQueued(-1);
    throw;
  }
  done->Wait();
  if (StreamOrder::Active()) StreamOrder::Get().HostSaw(done->reached());
  if (const std::optional<Error> error = done->error()) throw *error;
}

void Stream::Work() {
  UseSignalStack();
  SetMessageDevice(device_);
  const int64_t delay_us = GetOptions().delay_us;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !queue_.empty() || closed_; });
    if (queue_.empty()) return;
    {
      const Task task = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      if (delay_us > 0) {
        const auto wait = static_cast<int64_t>(random_() % static_cast<uint64_t>(delay_us + 1));
        std::this_thread::sleep_for(std::chrono::microseconds(wait));
      }
      RunTask(task);
      // What the task holds is released before the stream reports idle.
    }
    lock.lock();
    ++finished_count_;
    changed_.notify_all();
  }
}

bool Stream::WaitForQueued(int64_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto done = [this, wanted = queued_count_] { return finished_count_ >= wanted; };
  OrderClock reached;
  if (StreamOrder::Active()) reached = StreamOrder::Get().Reached(id_);
  if (timeout_ms < 0) {
    changed_.wait(lock, done);
  } else if (!changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), done)) {
    return false;
  }
  if (StreamOrder::Active()) StreamOrder::Get().HostSaw(reached);
  return true;
}

bool Stream::Synchronize(int64_t timeout_ms) {
  if (!WaitForQueued(timeout_ms)) return false;
  error_->Raise();
  return true;
}

bool Stream::Idle() {
  error_->Raise();
  std::lock_guard<std::mutex> lock(mutex_);
  if (finished_count_ != queued_count_) return false;
  if (StreamOrder::Active()) StreamOrder::Get().HostSaw(StreamOrder::Get().Reached(id_));
  return true;
}

bool Stream::Ended() {
  std::lock_guard<std::mutex> lock(mutex_);
  return closed_ && finished_count_ == queued_count_;
}

void Stream::Close(bool drop) {
  std::deque<Task> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    if (drop) dropped.swap(queue_);
    finished_count_ += dropped.size();
    changed_.notify_all();
  }
  const Error gone(kRtStreamContext,
                   Format("stream %u was destroyed before it reached the recording", id_));
  for (const Task& task : dropped) {
    if (const auto* record = std::get_if<RecordTask>(&task)) record->recording->Complete(gone);
  }
  if (!drop) WaitForQueued(-1);
}

void Recording::Complete(std::optional<Error> error) {
  std::lock_guard<std::mutex> lock(mutex_);
  done_ = true;
  error_ = std::move(error);
  time_ns_ = NowNanoseconds();
  changed_.notify_all();
}

void Recording::CompleteWith(const std::shared_ptr<DeviceError>& device) {
  const uint64_t resets = device->resets();
  const std::optional<Error> error = device->Get();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    device_ = device;
    resets_ = resets;
  }
  Complete(error);
}

void Recording::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return done_; });
}

bool Recording::done() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return done_;
}

std::optional<Error> Recording::error() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (device_ != nullptr && device_->resets() != resets_) return std::nullopt;
  return error_;
}

void Recording::SetReached(OrderClock reached) {
  std::lock_guard<std::mutex> lock(mutex_);
  reached_ = std::move(reached);
}

OrderClock Recording::reached() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return reached_;
}

int64_t Recording::time_ns() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return time_ns_;
}

void Event::Record(Stream& stream) {
  std::shared_ptr<Recording> recording;
  if (shared_ == nullptr) {
    recording = std::make_shared<Recording>();
  } else {
    recording = std::make_shared<SharedRecording>(shared_, shared_->Next());
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    latest_ = recording;
  }
  stream.EnqueueRecord(recording);
}

void Event::WaitOn(Stream& stream) {
  std::shared_ptr<Recording> recording = latest();
  if (recording == nullptr) return;  // an event that was never recorded does not block
  stream.EnqueueWait(std::move(recording));
}

std::shared_ptr<Recording> Event::latest() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (shared_ == nullptr) return latest_;
  const uint64_t number = shared_->latest();
  if (number == 0) return nullptr;
  const auto* const own = static_cast<const SharedRecording*>(latest_.get());
  if (own != nullptr && own->number() == number) return latest_;
  return std::make_shared<SharedRecording>(shared_, number);
}

void Event::Reset() {
  std::lock_guard<std::mutex> lock(mutex_);
  latest_.reset();
}

}  // namespace softnpu
