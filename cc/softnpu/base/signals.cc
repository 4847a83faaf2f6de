// cc/softnpu/base/signals.cc: chained signal handlers and their stacks.
#include "cc/softnpu/base/signals.h"

#include <sys/mman.h>

namespace softnpu {
namespace {

constexpr size_t kStackBytes = 64 << 10;

class SignalStack {
 public:
  SignalStack() {
    stack_t now = {};
    if (sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) return;
    memory_ = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory_ == MAP_FAILED) return;
    stack_t ours = {};
    ours.ss_sp = memory_;
    ours.ss_size = kStackBytes;
    sigaltstack(&ours, nullptr);
  }
  ~SignalStack() {
    if (memory_ == MAP_FAILED) return;
    stack_t now = {};
    // Somebody may have replaced it since.
    if (sigaltstack(nullptr, &now) == 0 && now.ss_sp == memory_) {
      stack_t none = {};
      none.ss_flags = SS_DISABLE;
      sigaltstack(&none, nullptr);
    }
    munmap(memory_, kStackBytes);
  }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  void* memory_ = MAP_FAILED;
};

}  // namespace

void PassOn(int number, siginfo_t* info, void* context, const struct sigaction& before) {
  // Both kinds of handlers share their place, and SIG_IGN may stand there with SA_SIGINFO.
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    if ((before.sa_flags & SA_SIGINFO) != 0) {
      before.sa_sigaction(number, info, context);
    } else {
      before.sa_handler(number);
    }
    return;
  }
  // Positive codes are the kernel's: the instruction faults again, and nothing can ignore that.
  const bool sent = info->si_code <= 0;
  if (sent && before.sa_handler == SIG_IGN) return;
  signal(number, SIG_DFL);
  if (sent) raise(number);
}

void UseSignalStack() {
  static thread_local SignalStack stack;
  (void)stack;
}

}  // namespace softnpu
