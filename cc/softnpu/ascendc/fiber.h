// cc/softnpu/ascendc/fiber.h: a stack of its own for code that has to stop in the middle.
//
// A fiber belongs to the thread that made it. Exceptions and longjmp stay inside one fiber, and
// Yield() is not called while an exception is handled.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>
#include <memory>

namespace softnpu::ascendc {

class Fiber {
 public:
  // `body` runs on the fiber's stack, from the first Resume() on.
  explicit Fiber(std::function<void()> body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs the body until it yields or returns; true when it has returned.
  bool Resume();
  // Called by the body: back to the caller of Resume().
  void Yield();

 private:
  static void Enter(unsigned high, unsigned low);

  std::function<void()> body_;
  std::byte* stack_ = nullptr;
  ucontext_t inside_{};
  ucontext_t outside_{};
  bool done_ = false;
  // What AddressSanitizer keeps of the two stacks.
  [[maybe_unused]] void* inside_shadow_ = nullptr;
  [[maybe_unused]] void* outside_shadow_ = nullptr;
  [[maybe_unused]] const void* outside_bottom_ = nullptr;
  [[maybe_unused]] size_t outside_bytes_ = 0;
};

}  // namespace softnpu::ascendc
