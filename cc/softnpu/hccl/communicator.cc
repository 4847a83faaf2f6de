// cc/softnpu/hccl/communicator.cc: joining, waiting, and how faults reach all ranks.
#include "cc/softnpu/hccl/communicator.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

namespace softnpu::hccl {
namespace {

// How often who waits looks whether the others still live.
constexpr std::chrono::milliseconds kLook{20};
// A rank that has its own core comes sooner than the host can put this one to sleep and wake it.
constexpr int kSpins = 2000;

int64_t Number(const char* name, const char* unit, int64_t fallback, int64_t low, int64_t high) {
  const char* const text = std::getenv(name);
  if (text == nullptr || *text == '\0') return fallback;
  char* end = nullptr;
  errno = 0;
  const int64_t value = std::strtoll(text, &end, 10);
  if (*end != '\0' || errno == ERANGE || value < low || value > high) {
    throw Error(kPara,
                Format("%s is '%s'; it must be a whole number of %s from %lld to %lld", name, text,
                       unit, static_cast<long long>(low), static_cast<long long>(high)));
  }
  return value;
}

std::chrono::seconds Seconds(const char* name, int64_t fallback, int64_t low, int64_t high) {
  return std::chrono::seconds(Number(name, "seconds", fallback, low, high));
}

long Futex(std::atomic<uint32_t>& word, int operation, uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), operation, value, timeout, nullptr,
                 0);
}

// The code of the device that a task gets.
int32_t DeviceCode(Result result) { return result == kRemote ? kRtRemote : kRtCollectiveTimeout; }

std::string Listed(const uint64_t* values, uint32_t count) {
  std::string out;
  for (uint32_t i = 0; i < count; ++i) out += (i == 0 ? "" : ", ") + std::to_string(values[i]);
  return out;
}

// Whether two ranks have called the same collective with arguments that fit.
bool Fits(const Call& a, uint32_t rank_a, const Call& b, uint32_t rank_b, uint32_t ranks) {
  if (a.kind != b.kind) return false;
  if (a.kind == Kind::kAlltoAll || a.kind == Kind::kAlltoAllV || a.kind == Kind::kAlltoAllVC) {
    return a.send_counts[rank_b] == b.receive_counts[rank_a] &&
           b.send_counts[rank_a] == a.receive_counts[rank_b] && a.dtype == b.received &&
           b.dtype == a.received;
  }
  if (a.kind == Kind::kExchange) {
    return std::strcmp(a.name, b.name) == 0 && std::strcmp(a.form, b.form) == 0;
  }
  const bool uneven = a.kind == Kind::kReduceScatterV || a.kind == Kind::kAllGatherV;
  const auto counts = [](const Call& call) {
    return call.kind == Kind::kReduceScatterV ? call.send_counts : call.receive_counts;
  };
  return a.dtype == b.dtype && a.reduction == b.reduction && a.root == b.root &&
         (uneven ? std::equal(counts(a), counts(a) + ranks, counts(b)) : a.count == b.count);
}

}  // namespace

std::string Describe(const Call& call, uint32_t ranks) {
  const auto sequence = static_cast<unsigned long long>(call.sequence);
  const auto count = static_cast<unsigned long long>(call.count);
  const char* const name = call.kind == Kind::kExchange ? call.name : NameOf(call.kind);
  const std::string head = Format("%s #%llu", name, sequence);
  const char* const dtype = NameOf(call.dtype);
  switch (call.kind) {
    case Kind::kAllReduce:
    case Kind::kReduceScatter:
      return head + Format(" (%llu %s, %s)", count, dtype, NameOf(call.reduction));
    case Kind::kReduce:
      return head +
             Format(" (%llu %s, %s, to rank %u)", count, dtype, NameOf(call.reduction), call.root);
    case Kind::kReduceScatterV:
      return head + Format(" (%s %s, %s)", Listed(call.send_counts, ranks).c_str(), dtype,
                           NameOf(call.reduction));
    case Kind::kAllGather:
      return head + Format(" (%llu %s)", count, dtype);
    case Kind::kAllGatherV:
      return head + Format(" (%s %s)", Listed(call.receive_counts, ranks).c_str(), dtype);
    case Kind::kAlltoAll:
    case Kind::kAlltoAllV:
    case Kind::kAlltoAllVC:
      return head + Format(" (sends %s %s, receives %s %s)",
                           Listed(call.send_counts, ranks).c_str(), dtype,
                           Listed(call.receive_counts, ranks).c_str(), NameOf(call.received));
    case Kind::kBroadcast:
    case Kind::kScatter:
      return head + Format(" (%llu %s, from rank %u)", count, dtype, call.root);
    case Kind::kExchange:
      return head + Format(" (%s)", call.form);
    case Kind::kBarrier:
      break;
  }
  return head;
}

Settings Settings::FromEnvironment() {
  Settings out;
  out.run_timeout = Seconds("HCCL_EXEC_TIMEOUT", 1836, 0, INT32_MAX);
  out.buffer_megabytes = Number("HCCL_BUFFSIZE", "megabytes", 200, 1, INT32_MAX);
  return out;
}

// CANN takes no less than 120 s; tests of a rank that never comes would last as long.
std::chrono::seconds JoinTimeout() { return Seconds("HCCL_CONNECT_TIMEOUT", 120, 1, 7200); }

Communicator::Communicator(const RootInfo& info, uint32_t ranks, uint32_t rank, int32_t device,
                           Settings settings, bool early, uint64_t roots)
    : info_(info),
      ranks_(ranks),
      rank_(rank),
      device_(device),
      settings_(std::move(settings)),
      sends_(ranks),
      receives_(ranks) {
  if (softnpu_device_memory(device, &memory_) != 0) throw Error(kRuntime, softnpu_own_message());
  if (settings_.name.empty()) settings_.name = info.name;
  Entry entry;
  entry.ranks = ranks;
  entry.rank = rank;
  entry.roots = roots;
  entry.member.device = softnpu_physical_device(device);
  entry.member.bytes = memory_.bytes;
  entry.memory = memory_.memory;
  entry.written = memory_.written;
  Joined joined = Join(info, entry, JoinTimeout(), early);
  control_ = Share(joined.control.get(), sizeof(Control));
  // The others have this rank's seat by now, and wait for it.
  const auto tell = [this](Result result, const char* why) {
    Fail(result, std::string("it could not join: ") + why);
  };
  try {
    if (joined.trouble) throw *joined.trouble;
    MapOthers(std::move(joined));
  } catch (const Error& error) {
    tell(static_cast<Result>(error.code()), error.what());
    throw;
  } catch (const std::exception& error) {
    tell(kInternal, error.what());
    throw;
  }
}

void Communicator::MapOthers(Joined joined) {
  for (uint32_t other = 0; other < ranks_; ++other) {
    Peer peer;
    peer.member = joined.members[other];
    if (other == rank_) {
      peer.bytes = reinterpret_cast<std::byte*>(memory_.host);
      peer.marks = memory_.marks;
    } else {
      peer.memory = Share(joined.memories[other].get(), peer.member.bytes);
      peer.bytes = peer.memory->data();
      if (joined.written[other].get() >= 0) {
        peer.written = Share(joined.written[other].get(), peer.member.bytes);
        peer.marks = reinterpret_cast<uint8_t*>(peer.written->data());
      }
    }
    peer.process = std::move(joined.processes[other]);
    peers_.push_back(std::move(peer));
  }
  int32_t highest = 0;
  for (const Peer& peer : peers_) highest = std::max(highest, peer.member.device);
  link_rate_ = softnpu_link_rate(highest);
}

void Communicator::RequireWorking() const {
  const Result result = this->result();
  if (destroyed_.load()) throw Error(kPara, "the communicator was destroyed");
  if (result == kSuccess) return;
  std::lock_guard<std::mutex> lock(mutex_);
  throw Error(result, sentence_);
}

void Communicator::Fail(Result result, const std::string& sentence) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (result_.load() != kSuccess || destroyed_.load()) return;
    sentence_ = sentence;
    FailSeat(control().seats[rank_], result, sentence);
    result_.store(result, std::memory_order_release);
    turn_changed_.notify_all();
  }
  Ring();
}

void Communicator::Destroy() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    destroyed_ = true;
    if (result_.load() == kSuccess) {
      control().seats[rank_].state.store(State::kDestroyed);
    }
    turn_changed_.notify_all();
  }
  Ring();
}

void Communicator::Stop(Result result, const std::string& sentence) {
  Fail(result, sentence);
  throw Error(DeviceCode(result), sentence + Format(" [%s, %d]", NameOf(result), result));
}

void Communicator::Claim(Use use, const char* name) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (use_ == Use::kNothing) {
    use_ = use;
    used_by_ = name;
  }
  if (use_ == use) return;
  throw Error(kPara,
              Format("the group '%s' has run %s, and %s is called: a group that has operators "
                     "which exchange tokens may have nothing else",
                     settings_.name.c_str(), used_by_, name));
}

uint64_t Communicator::NextCollective() {
  std::lock_guard<std::mutex> lock(mutex_);
  return ++collectives_;
}
uint64_t Communicator::NextSend(uint32_t to) {
  std::lock_guard<std::mutex> lock(mutex_);
  return ++sends_[to];
}
uint64_t Communicator::NextReceive(uint32_t from) {
  std::lock_guard<std::mutex> lock(mutex_);
  return ++receives_[from];
}

void Communicator::Ring() const {
  Control& shared = control();
  shared.bell.fetch_add(1);
  if (shared.sleepers.load() > 0) Futex(shared.bell, FUTEX_WAKE, INT32_MAX, nullptr);
}

std::optional<Error> Communicator::TroubleOf(uint32_t from, bool processes,
                                             const std::function<std::string()>& waiting) const {
  for (uint32_t other = 0; other < ranks_; ++other) {
    if ((from >> other & 1) == 0 || other == rank_) continue;
    // Before its seat: a process that has ended leaves its last word there.
    pollfd entry = {peers_[other].process.get(), POLLIN, 0};
    const bool ended = processes && poll(&entry, 1, 0) > 0;
    const Seat& seat = control().seats[other];
    switch (seat.state.load()) {
      case State::kJoined:
        break;
      case State::kDestroyed:
        return Error(kRemote,
                     waiting() + Format(": rank %u has destroyed the communicator", other));
      case State::kFailed: {
        // A sentence that came from another rank says so once.
        const std::string sentence = seat.sentence;
        const bool told =
            sentence.rfind("rank ", 0) == 0 && sentence.find(" gave up: ") != std::string::npos;
        return Error(seat.result,
                     told ? sentence : Format("rank %u gave up: %s", other, sentence.c_str()));
      }
    }
    if (ended) {
      return Error(kRemote, waiting() + Format(": rank %u (process %d) has ended", other,
                                               peers_[other].member.pid));
    }
  }
  return std::nullopt;
}

void Communicator::Wait(const std::function<bool()>& ready, const std::function<uint32_t()>& from,
                        const std::function<std::string()>& waiting) {
  static const int spins = std::thread::hardware_concurrency() >= 2 ? kSpins : 0;
  for (int i = 0; i < spins; ++i) {
    if (ready()) return;
  }
  Control& shared = control();
  const Clock::time_point start = Clock::now();
  Clock::time_point look = start + kLook;
  while (true) {
    const uint32_t bell = shared.bell.load();
    if (ready()) return;
    const Clock::time_point now = Clock::now();
    const bool processes = now >= look;
    if (processes) look = now + kLook;
    if (destroyed_.load()) {
      throw Error(kRtCollectiveTimeout, waiting() + ": this rank has destroyed the communicator");
    }
    if (const std::optional<Error> trouble = TroubleOf(from(), processes, waiting)) {
      // A rank may have done its part before it ended.
      if (ready()) return;
      Stop(static_cast<Result>(trouble->code()), trouble->what());
    }
    if (settings_.run_timeout.count() > 0 && now - start >= settings_.run_timeout) {
      Stop(kTimeout, waiting() + Format(" within %lld s",
                                        static_cast<long long>(settings_.run_timeout.count())));
    }
    const timespec nap = {0, std::chrono::nanoseconds(kLook).count()};
    shared.sleepers.fetch_add(1);
    Futex(shared.bell, FUTEX_WAIT, bell, &nap);
    shared.sleepers.fetch_sub(1);
  }
}

void Communicator::TakeTurn(uint64_t sequence) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto free = [&] {
    return finished_ + 1 == sequence || destroyed_.load() || result_.load() != kSuccess;
  };
  if (settings_.run_timeout.count() == 0) {
    turn_changed_.wait(lock, free);
  } else if (!turn_changed_.wait_for(lock, settings_.run_timeout, free)) {
    const uint64_t before = finished_ + 1;
    lock.unlock();
    Stop(kTimeout,
         Format("collective #%llu waits for #%llu of this rank, which another stream has "
                "not done within %lld s",
                static_cast<unsigned long long>(sequence), static_cast<unsigned long long>(before),
                static_cast<long long>(settings_.run_timeout.count())));
  }
  if (destroyed_.load()) {
    throw Error(kRtCollectiveTimeout, Format("collective #%llu: this rank has destroyed the "
                                             "communicator",
                                             static_cast<unsigned long long>(sequence)));
  }
  if (const Result result = result_.load(); result != kSuccess) {
    throw Error(DeviceCode(result), sentence_ + Format(" [%s, %d]", NameOf(result), result));
  }
}

void Communicator::Enter(const Call& call) {
  TakeTurn(call.sequence);
  Control& shared = control();
  Seat& mine = shared.seats[rank_];
  mine.call = call;
  mine.posted.store(call.sequence);
  Ring();
  uint32_t seen = 1U << rank_;
  const auto check = [&](uint32_t other) {
    const Call& theirs = shared.seats[other].call;
    for (uint32_t third = 0; third < ranks_; ++third) {
      if ((seen >> third & 1) == 0 || third == other) continue;
      const Call& one = shared.seats[third].call;
      if (Fits(one, third, theirs, other, ranks_)) continue;
      Stop(kPara,
           Format("rank %u called %s, rank %u called %s", std::min(third, other),
                  Describe(third < other ? one : theirs, ranks_).c_str(), std::max(third, other),
                  Describe(third < other ? theirs : one, ranks_).c_str()));
    }
    seen |= 1U << other;
  };
  // Of a collective that does not fit itself.
  if (call.kind == Kind::kAlltoAll || call.kind == Kind::kAlltoAllV ||
      call.kind == Kind::kAlltoAllVC) {
    if (call.send_counts[rank_] != call.receive_counts[rank_]) {
      Stop(kPara, Format("rank %u called %s: what it sends to itself is not what it receives from "
                         "itself",
                         rank_, Describe(call, ranks_).c_str()));
    }
  }
  Wait(
      [&] {
        for (uint32_t other = 0; other < ranks_; ++other) {
          if (!Works(other)) return false;
          if ((seen >> other & 1) == 0 && shared.seats[other].posted.load() >= call.sequence) {
            check(other);
          }
        }
        return seen == all();
      },
      [this] { return all(); },
      [&] {
        std::string missing;
        for (uint32_t other = 0; other < ranks_; ++other) {
          if ((seen >> other & 1) != 0) continue;
          missing += Format("%srank %u (its last: #%llu)", missing.empty() ? "" : ", ", other,
                            static_cast<unsigned long long>(shared.seats[other].posted.load()));
        }
        return Format("rank %u called %s, which %s did not call", rank_,
                      Describe(call, ranks_).c_str(), missing.c_str());
      });
}

void Communicator::Leave(const Call& call) {
  Control& shared = control();
  shared.seats[rank_].done.store(call.sequence);
  Ring();
  const auto missing = [&] {
    for (uint32_t other = 0; other < ranks_; ++other) {
      if (shared.seats[other].done.load() < call.sequence) return other;
    }
    return ranks_;
  };
  Wait([&] { return missing() == ranks_; }, [this] { return all(); },
       [&] {
         return Format("rank %u called %s, which rank %u began and did not finish", rank_,
                       Describe(call, ranks_).c_str(), missing());
       });
  std::lock_guard<std::mutex> lock(mutex_);
  finished_ = call.sequence;
  turn_changed_.notify_all();
}

}  // namespace softnpu::hccl
