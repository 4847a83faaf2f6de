// cc/softnpu/runtime/shared_event.h: an event that several processes record and wait for.
//
// Its recordings have numbers, from 1. A page that the processes share says for each of the last
// ones whether it was reached, with which error, and which process has to reach it: who waits looks
// whether that one still lives.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/base/sharing.h"
#include "cc/softnpu/runtime/stream.h"

namespace softnpu {

class SharedEvent {
 public:
  // Throws Error 207001 when the host has no file for it.
  static std::shared_ptr<SharedEvent> Make();
  // The event of another process, by its file.
  explicit SharedEvent(Descriptor file);
  ~SharedEvent();
  SharedEvent(const SharedEvent&) = delete;
  SharedEvent& operator=(const SharedEvent&) = delete;

  int fd() const { return file_.get(); }
  // The number of a new recording of this process.
  uint64_t Next();
  // The number of the latest one of any process; 0: there is none.
  uint64_t latest() const;
  bool Reached(uint64_t number) const;
  void Reach(uint64_t number, const std::optional<Error>& error);
  // Throws Error 507022 when the process that has to reach it has ended.
  void Wait(uint64_t number) const;
  // Of a reached recording.
  std::optional<Error> ErrorOf(uint64_t number) const;

 private:
  struct Page;
  const Descriptor file_;
  Page* page_ = nullptr;
};

// A recording of a shared event, by this process or another one.
class SharedRecording : public Recording {
 public:
  SharedRecording(std::shared_ptr<SharedEvent> event, uint64_t number)
      : event_(std::move(event)), number_(number) {}

  uint64_t number() const { return number_; }
  void Complete(std::optional<Error> error) override;
  void Wait() override { event_->Wait(number_); }
  bool done() const override { return event_->Reached(number_); }
  std::optional<Error> error() const override;

 private:
  const std::shared_ptr<SharedEvent> event_;
  const uint64_t number_;
  std::atomic<bool> own_{false};  // this process has reached it
};

}  // namespace softnpu
