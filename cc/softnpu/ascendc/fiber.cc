// cc/softnpu/ascendc/fiber.cc: fibers on ucontext, announced to AddressSanitizer.
#include "cc/softnpu/ascendc/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define SOFTNPU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SOFTNPU_ASAN 1
#endif
#endif
#ifdef SOFTNPU_ASAN
// AddressSanitizer's interface; the hermetic compiler comes without its headers.
extern "C" {
void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t bytes);
void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, size_t* bytes);
void __asan_unpoison_memory_region(const volatile void* address, size_t bytes);
}
#endif

namespace softnpu::ascendc {
namespace {

constexpr size_t kGuardBytes = 4096;
constexpr size_t kStackBytes = 1 << 20;  // AddressSanitizer's frames are large

// Stacks are kept: mapping one costs more than running a small kernel.
std::vector<std::byte*>& FreeStacks() {
  static thread_local struct Pool {
    std::vector<std::byte*> stacks;
    ~Pool() {
      for (std::byte* stack : stacks) munmap(stack, kGuardBytes + kStackBytes);
    }
  } pool;
  return pool.stacks;
}

std::byte* TakeStack() {
  std::vector<std::byte*>& free = FreeStacks();
  if (!free.empty()) {
    std::byte* const stack = free.back();
    free.pop_back();
    return stack;
  }
  void* const map = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) throw std::bad_alloc();
  mprotect(map, kGuardBytes, PROT_NONE);
  return static_cast<std::byte*>(map);
}

}  // namespace

Fiber::Fiber(std::function<void()> body) : body_(std::move(body)), stack_(TakeStack()) {
  getcontext(&inside_);
  inside_.uc_stack.ss_sp = stack_ + kGuardBytes;
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  const auto self = reinterpret_cast<uintptr_t>(this);
  makecontext(&inside_, reinterpret_cast<void (*)()>(&Fiber::Enter), 2,
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
}

Fiber::~Fiber() {
#ifdef SOFTNPU_ASAN
  // Frames that were left by longjmp or never left have poisoned their parts of the stack.
  __asan_unpoison_memory_region(stack_ + kGuardBytes, kStackBytes);
#endif
  FreeStacks().push_back(stack_);
}

void Fiber::Enter(unsigned high, unsigned low) {
  auto* const self =
      reinterpret_cast<Fiber*>(static_cast<uintptr_t>(high) << 32 | static_cast<uintptr_t>(low));
#ifdef SOFTNPU_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &self->outside_bottom_, &self->outside_bytes_);
#endif
  self->body_();
  self->done_ = true;
#ifdef SOFTNPU_ASAN
  __sanitizer_start_switch_fiber(nullptr, self->outside_bottom_, self->outside_bytes_);
#endif
  setcontext(&self->outside_);
}

bool Fiber::Resume() {
#ifdef SOFTNPU_ASAN
  __sanitizer_start_switch_fiber(&outside_shadow_, stack_ + kGuardBytes, kStackBytes);
#endif
  swapcontext(&outside_, &inside_);
#ifdef SOFTNPU_ASAN
  __sanitizer_finish_switch_fiber(outside_shadow_, nullptr, nullptr);
#endif
  return done_;
}

void Fiber::Yield() {
#ifdef SOFTNPU_ASAN
  __sanitizer_start_switch_fiber(&inside_shadow_, outside_bottom_, outside_bytes_);
#endif
  swapcontext(&inside_, &outside_);
#ifdef SOFTNPU_ASAN
  __sanitizer_finish_switch_fiber(inside_shadow_, &outside_bottom_, &outside_bytes_);
#endif
}

}  // namespace softnpu::ascendc
