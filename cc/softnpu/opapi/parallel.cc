// cc/softnpu/opapi/parallel.cc: helpers that wait for parts of one caller at a time.
#include "cc/softnpu/opapi/parallel.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace softnpu {
namespace {

class Helpers {
 public:
  explicit Helpers(int count) : process_(getpid()), count_(count) {
    for (int i = 0; i < count; ++i) std::thread([this] { Work(); }).detach();
  }

  // Does the parts together with the helpers. False, and nothing done, when there are no helpers or
  // another caller has them: a stream of another device, or the parent of a forked process.
  bool Run(int64_t parts, const std::function<void(int64_t)>& body) {
    if (count_ == 0 || getpid() != process_ || !caller_.try_lock()) return false;
    const std::lock_guard owner(caller_, std::adopt_lock);
    std::unique_lock lock(mutex_);
    body_ = &body;
    next_ = 0;
    parts_ = parts;
    open_ = parts;
    error_ = nullptr;
    work_.notify_all();
    while (TakePart(&lock)) {
    }
    done_.wait(lock, [&] { return open_ == 0; });
    body_ = nullptr;
    if (error_) std::rethrow_exception(error_);
    return true;
  }

  int count() const { return count_; }

 private:
  // Does a part, if there is one; `mutex_` is held before and after.
  bool TakePart(std::unique_lock<std::mutex>* lock) {
    if (body_ == nullptr || next_ == parts_) return false;
    const int64_t part = next_++;
    const auto* const body = body_;
    lock->unlock();
    std::exception_ptr error;
    try {
      (*body)(part);
    } catch (...) {
      error = std::current_exception();
    }
    lock->lock();
    if (error && !error_) error_ = error;
    if (--open_ == 0) done_.notify_all();
    return true;
  }

  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [&] { return body_ != nullptr && next_ < parts_; });
      TakePart(&lock);
    }
  }

  const pid_t process_;
  const int count_;
  std::mutex caller_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  const std::function<void(int64_t)>* body_ = nullptr;
  int64_t next_ = 0;
  int64_t parts_ = 0;
  int64_t open_ = 0;
  std::exception_ptr error_;
};

// Never destroyed: helpers wait in it until the process ends.
Helpers& TheHelpers() {
  static auto* const helpers =
      new Helpers(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())) - 1);
  return *helpers;
}

}  // namespace

void InParts(int64_t count, int64_t step, const std::function<void(int64_t, int64_t)>& body) {
  if (count <= 0) return;
  Helpers& helpers = TheHelpers();
  const int64_t steps = (count + step - 1) / step;
  const int64_t parts = std::min<int64_t>(steps, helpers.count() + 1);
  const auto part = [&](int64_t i) {
    body(steps * i / parts * step, std::min(count, steps * (i + 1) / parts * step));
  };
  if (parts > 1 && helpers.Run(parts, part)) return;
  body(0, count);
}

}  // namespace softnpu
