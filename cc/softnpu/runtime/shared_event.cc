// cc/softnpu/runtime/shared_event.cc: the page of a shared event.
#include "cc/softnpu/runtime/shared_event.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

namespace softnpu {
namespace {

// Recordings that are kept apart; one that is older than that counts as reached when a later one
// is.
constexpr uint64_t kKept = 64;
constexpr long kLookNs = 20'000'000;

long Futex(std::atomic<uint32_t>& word, int operation, uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), operation, value, timeout, nullptr,
                 0);
}

}  // namespace

struct SharedEvent::Page {
  struct Slot {
    std::atomic<uint64_t> number;  // the latest one that was reached
    std::atomic<int32_t> process;  // of the latest one that was asked for
    int32_t code;                  // what follows is written before `number`
    char sentence[256];
  };
  std::atomic<uint64_t> latest;
  std::atomic<uint32_t> bell;
  Slot slots[kKept];
};

std::shared_ptr<SharedEvent> SharedEvent::Make() {
  Descriptor file = MemoryFile("softnpu-event", sizeof(Page));
  if (file.get() < 0) {
    throw Error(kRtMemoryAllocation,
                Format("the host has no file for an event (%s)", strerror(errno)));
  }
  return std::make_shared<SharedEvent>(std::move(file));
}

SharedEvent::SharedEvent(Descriptor file) : file_(std::move(file)) {
  void* const map = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd(), 0);
  if (map == MAP_FAILED) {
    throw Error(kRtMemoryAllocation,
                Format("the host has no address space for an event (%s)", strerror(errno)));
  }
  page_ = static_cast<Page*>(map);
}

SharedEvent::~SharedEvent() { munmap(page_, sizeof(Page)); }

uint64_t SharedEvent::Next() {
  const uint64_t number = page_->latest.load() + 1;
  page_->slots[number % kKept].process.store(getpid());
  page_->latest.store(number);
  return number;
}

uint64_t SharedEvent::latest() const { return page_->latest.load(); }

bool SharedEvent::Reached(uint64_t number) const {
  return page_->slots[number % kKept].number.load() >= number;
}

void SharedEvent::Reach(uint64_t number, const std::optional<Error>& error) {
  Page::Slot& slot = page_->slots[number % kKept];
  if (slot.number.load() >= number) return;
  slot.code = error ? error->code() : 0;
  CopyText(slot.sentence, sizeof(slot.sentence), error ? error->what() : "");
  slot.number.store(number);
  page_->bell.fetch_add(1);
  Futex(page_->bell, FUTEX_WAKE, INT_MAX, nullptr);
}

void SharedEvent::Wait(uint64_t number) const {
  const int32_t process = page_->slots[number % kKept].process.load();
  Descriptor life;
  while (true) {
    const uint32_t bell = page_->bell.load();
    if (Reached(number)) return;
    const timespec nap = {0, kLookNs};
    Futex(page_->bell, FUTEX_WAIT, bell, &nap);
    if (process == getpid()) continue;
    if (life.get() < 0) life = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
    pollfd entry = {life.get(), POLLIN, 0};
    const bool ended = life.get() < 0 ? errno == ESRCH : poll(&entry, 1, 0) > 0;
    if (ended && !Reached(number)) {
      throw Error(kRtIpc, Format("process %d, which has recorded an event, has ended before its "
                                 "stream was there",
                                 process));
    }
  }
}

std::optional<Error> SharedEvent::ErrorOf(uint64_t number) const {
  const Page::Slot& slot = page_->slots[number % kKept];
  if (slot.number.load() != number || slot.code == 0) return std::nullopt;
  return Error(slot.code, Format("process %d: %s", slot.process.load(), slot.sentence));
}

void SharedRecording::Complete(std::optional<Error> error) {
  own_ = true;
  Recording::Complete(error);
  event_->Reach(number_, error);
}

std::optional<Error> SharedRecording::error() const {
  return own_ ? Recording::error() : event_->ErrorOf(number_);
}

}  // namespace softnpu
