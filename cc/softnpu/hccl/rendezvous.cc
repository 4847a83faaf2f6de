// cc/softnpu/hccl/rendezvous.cc: the listener and the ranks that connect to it.
#include "cc/softnpu/hccl/rendezvous.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/base/sharing.h"

namespace softnpu::hccl {
namespace {

constexpr char kMagic[8] = {'S', 'N', 'P', 'U', 'H', 'C', 'L', '1'};
static_assert(1 + 3 * kMaxRanks <= kMostFiles);

struct Hello {
  uint8_t token[kTokenBytes];
  uint64_t roots;
  uint32_t ranks;  // 0: nobody meets here
  uint32_t rank;
  Member member;
};

struct Reply {
  int32_t result;
  char sentence[kSentenceBytes];
  Member members[kMaxRanks];
};

[[noreturn]] void Refuse(const char* what) {
  throw Error(kSyscall, Format("%s: %s", what, strerror(errno)));
}

// Two numbers that stand for a number and a text.
std::array<uint64_t, 2> Digest(uint64_t id, const std::string& text) {
  std::array<uint64_t, 2> words = {id, 0x9E3779B97F4A7C15ULL};
  for (const char c : text) {
    for (uint64_t& word : words) {
      word = (word ^ static_cast<uint8_t>(c)) * 0x100000001B3ULL;
      word ^= word >> 29;
    }
    words[1] += words[0];
  }
  return words;
}

std::string NameOf(const std::array<uint64_t, 2>& words) {
  return "softnpu-hccl-" + Hex(reinterpret_cast<const uint8_t*>(words.data()), sizeof(words));
}

int MillisecondsUntil(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

bool WaitReadable(int fd, Clock::time_point deadline) {
  pollfd entry = {fd, POLLIN, 0};
  while (true) {
    const int got = poll(&entry, 1, MillisecondsUntil(deadline));
    if (got > 0) return true;
    if (got == 0) return false;
    if (errno != EINTR) Refuse("poll");
  }
}

// False at the end, or for a message of another size. Throws Error kSyscall when some of the
// descriptors were lost; the others are in `files`.
bool ReceiveAll(int fd, void* bytes, size_t count, std::vector<Descriptor>& files) {
  const Receipt receipt = Receive(fd, bytes, count, files);
  if (receipt == Receipt::kLostFiles) {
    throw Error(kSyscall, Format("process %d may open too few files for a communicator: %zu came "
                                 "(ulimit -n)",
                                 getpid(), files.size()));
  }
  return receipt == Receipt::kWhole;
}

// The listener's side: who has come so far.
class Gathering {
 public:
  Gathering(const RootInfo& info, std::chrono::seconds timeout)
      : info_(info),
        listener_(info.Meeting(), kMaxRanks),
        timeout_(timeout),
        deadline_(Clock::now() + timeout) {}

  void Run() noexcept {
    try {
      while (ranks_ == 0 || seats_.size() < ranks_) {
        if (!Step()) {
          Tell(kTimeout, Format("%s did not join within %lld s", Missing().c_str(),
                                static_cast<long long>(timeout_.count())));
          return;
        }
        if (dismissed_) return;
      }
      Complete();
    } catch (const Error& error) {
      Tell(error.code(), error.what());
    } catch (const std::exception& error) {
      Tell(kInternal, error.what());
    }
  }

 private:
  struct Guest {
    Descriptor socket;
    int32_t pid = 0;
    Descriptor process;
    bool seated = false;
    uint32_t rank = 0;
    Member member;
    std::vector<Descriptor> files;
  };

  // Waits for the next event. False when the time is over.
  bool Step() {
    std::vector<pollfd> entries = {{listener_.get(), POLLIN, 0}};
    for (const Guest& guest : guests_) entries.push_back({guest.socket.get(), POLLIN, 0});
    const int got = poll(entries.data(), entries.size(), MillisecondsUntil(deadline_));
    if (got == 0) return false;
    if (got < 0) {
      if (errno == EINTR) return true;
      Refuse("poll");
    }
    for (size_t i = entries.size() - 1; i > 0; --i) {
      if (entries[i].revents != 0 && !Hear(guests_[i - 1])) {
        guests_.erase(guests_.begin() + static_cast<ptrdiff_t>(i) - 1);
      }
    }
    if (entries[0].revents != 0) Accept();
    return true;
  }

  void Accept() {
    Descriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket.get() < 0) {
      // Whoever wanted to come has gone.
      if (errno == ECONNABORTED || errno == EINTR || errno == EAGAIN) return;
      Refuse("accept");
    }
    Guest guest;
    guest.pid = PeerOf(socket.get());
    if (guest.pid == 0) return;
    guest.process = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, guest.pid, 0)));
    if (guest.process.get() < 0) {
      if (errno == ESRCH) return;  // it has ended, which disturbs nobody
      Refuse("pidfd_open (Linux has it from 5.3 on)");
    }
    // While its end is open, the process is that one and no later one of the same number.
    pollfd entry = {socket.get(), POLLIN, 0};
    if (poll(&entry, 1, 0) < 0 || (entry.revents & (POLLHUP | POLLERR)) != 0) return;
    guest.socket = std::move(socket);
    guests_.push_back(std::move(guest));
  }

  // Reads what a guest says. False: the guest is turned away, which disturbs nobody.
  bool Hear(Guest& guest) {
    Hello hello = {};
    std::vector<Descriptor> files;
    const bool said = ReceiveAll(guest.socket.get(), &hello, sizeof(hello), files);
    if (guest.seated) {
      throw Error(kRemote, Format("rank %u (process %d) ended before all ranks had joined",
                                  guest.rank, guest.pid));
    }
    if (!said || std::memcmp(hello.token, info_.token, kTokenBytes) != 0) return false;
    if (hello.ranks == 0) {
      dismissed_ = true;
      return false;
    }
    if (ranks_ == 0) {
      ranks_ = hello.ranks;
      roots_ = hello.roots;
      first_ = hello.rank;
    }
    if (hello.ranks != ranks_) {
      throw Error(kPara, Format("rank %u says that there are %u ranks, rank %u that there are %u",
                                hello.rank, hello.ranks, first_, ranks_));
    }
    if (hello.roots != roots_) {
      throw Error(kPara, Format("rank %u gives another list of root infos than rank %u", hello.rank,
                                first_));
    }
    for (const Guest& other : guests_) {
      if (!other.seated) continue;
      if (other.rank == hello.rank) {
        throw Error(kPara, Format("two processes, %d and %d, say that they are rank %u", other.pid,
                                  guest.pid, hello.rank));
      }
      if (other.member.device == hello.member.device) {
        throw Error(kPara,
                    Format("the ranks %u and %u are both on device %d; each needs one of its "
                           "own",
                           std::min(other.rank, hello.rank), std::max(other.rank, hello.rank),
                           other.member.device));
      }
    }
    guest.rank = hello.rank;
    guest.member = hello.member;
    guest.member.pid = guest.pid;
    guest.files = std::move(files);
    guest.seated = true;
    seats_.push_back(hello.rank);
    if (guest.files.size() != (guest.member.has_written != 0 ? 2U : 1U)) {
      throw Error(kInternal, Format("rank %u brought %zu files", guest.rank, guest.files.size()));
    }
    return true;
  }

  std::string Missing() const {
    std::string names;
    size_t count = 0;
    for (uint32_t rank = 0; rank < ranks_; ++rank) {
      if (std::find(seats_.begin(), seats_.end(), rank) != seats_.end()) continue;
      names += (count == 0 ? "" : ", ") + std::to_string(rank);
      ++count;
    }
    return Format("%s %s of %u", count == 1 ? "rank" : "the ranks", names.c_str(), ranks_);
  }

  // Before anybody is told: who hears of the end may use the name again.
  void StopListening() { listener_.Close(); }

  void Tell(int32_t result, const std::string& sentence) noexcept {
    StopListening();
    const auto reply = std::make_unique<Reply>();
    reply->result = result;
    CopyText(reply->sentence, sizeof(reply->sentence), sentence);
    for (const Guest& guest : guests_) Send(guest.socket.get(), reply.get(), sizeof(Reply), {});
  }

  void Complete() {
    const Descriptor control = MemoryFile("softnpu-hccl", sizeof(Control));
    if (control.get() < 0) Refuse("memfd_create");
    const Mapping mapping(control.get(), sizeof(Control));
    std::erase_if(guests_, [](const Guest& guest) { return !guest.seated; });
    std::sort(guests_.begin(), guests_.end(),
              [](const Guest& a, const Guest& b) { return a.rank < b.rank; });
    const auto reply = std::make_unique<Reply>();
    std::vector<int> files = {control.get()};
    for (const Guest& guest : guests_) {
      reply->members[guest.rank] = guest.member;
      files.push_back(guest.process.get());
      for (const Descriptor& file : guest.files) files.push_back(file.get());
    }
    StopListening();
    for (const Guest& guest : guests_) {
      if (Send(guest.socket.get(), reply.get(), sizeof(Reply), files)) continue;
      FailSeat(
          reinterpret_cast<Control*>(mapping.data())->seats[guest.rank], kRemote,
          Format("process %d did not hear of the other ranks (%s)", guest.pid, strerror(errno)));
    }
  }

  const RootInfo info_;
  Listener listener_;
  const std::chrono::seconds timeout_;
  const Clock::time_point deadline_;
  uint32_t ranks_ = 0;
  uint64_t roots_ = 0;
  uint32_t first_ = 0;  // the rank that came first
  bool dismissed_ = false;
  std::vector<uint32_t> seats_;
  std::vector<Guest> guests_;
};

}  // namespace

RootInfo RootInfo::Make() {
  RootInfo out = {};
  std::memcpy(out.magic, kMagic, sizeof(kMagic));
  CopyText(out.directory, sizeof(out.directory), MeetingDirectory());
  std::array<uint64_t, 2> name;
  if (!FillRandom(name.data(), sizeof(name)) || !FillRandom(out.token, sizeof(out.token))) {
    Refuse("getrandom");
  }
  CopyText(out.name, sizeof(out.name), NameOf(name));
  return out;
}

RootInfo RootInfo::Of(const std::string& text) {
  RootInfo out = {};
  std::memcpy(out.magic, kMagic, sizeof(kMagic));
  CopyText(out.directory, sizeof(out.directory), MeetingDirectory());
  const std::array<uint64_t, 2> words = Digest(0, text);
  CopyText(out.name, sizeof(out.name), NameOf(words));
  std::memcpy(out.token, words.data(), sizeof(words));
  return out;
}

RootInfo RootInfo::Part(uint64_t id) const {
  RootInfo out = *this;
  // Also unlike every part of a part.
  CopyText(out.name, sizeof(out.name), NameOf(Digest(id + 1, name)));
  return out;
}

void RootInfo::Check() const {
  if (std::memcmp(magic, kMagic, sizeof(kMagic)) != 0 ||
      strnlen(name, sizeof(name)) == sizeof(name) || name[0] == '\0' || directory[0] != '/' ||
      strnlen(directory, sizeof(directory)) > kLongestDirectory) {
    throw Error(kPara, "the root info is not one that HcclGetRootInfo has given");
  }
}

void Listen(const RootInfo& info, std::chrono::seconds timeout) {
  auto gathering = std::make_unique<Gathering>(info, timeout);
  std::thread([gathering = std::move(gathering)] { gathering->Run(); }).detach();
}

Joined Join(const RootInfo& info, const Entry& entry, std::chrono::seconds timeout, bool early) {
  // The listener tells who is missing, so it is to speak first.
  const Clock::time_point deadline = Clock::now() + timeout + std::chrono::seconds(2);
  Descriptor socket;
  while (true) {
    socket = MakeSocket();
    if (socket.get() < 0) Refuse("socket");
    const Found found = ConnectTo(socket.get(), info.Meeting());
    if (found == Found::kListener) break;
    if (found == Found::kInterrupted) continue;
    if (early && Clock::now() > deadline) {
      throw Error(kTimeout, Format("rank 0 did not join within %lld s",
                                   static_cast<long long>(timeout.count())));
    }
    if (!early) {
      RemoveLeft(info.Meeting());
      throw Error(kRemote,
                  "nobody listens for this root info: the process that made it has ended, or "
                  "its time was over");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (PeerOf(socket.get()) == 0) {
    throw Error(kPara, "the process that listens for this root info is one of another user");
  }
  Hello hello = {};
  std::memcpy(hello.token, info.token, kTokenBytes);
  hello.ranks = entry.ranks;
  hello.roots = entry.roots;
  hello.rank = entry.rank;
  hello.member = entry.member;
  std::vector<int> files = {entry.memory};
  if (entry.written >= 0) files.push_back(entry.written);
  hello.member.has_written = entry.written >= 0 ? 1 : 0;
  const auto reply = std::make_unique<Reply>();
  std::vector<Descriptor> got;
  if (!Send(socket.get(), &hello, sizeof(hello), files)) {
    RemoveLeft(info.Meeting());
    throw Error(kRemote, "the process that made the root info ended before all ranks had joined");
  }
  if (!WaitReadable(socket.get(), deadline)) {
    throw Error(kTimeout, Format("no answer from the process that made the root info within %lld s",
                                 static_cast<long long>(timeout.count())));
  }
  Joined out;
  try {
    if (!ReceiveAll(socket.get(), reply.get(), sizeof(Reply), got)) {
      RemoveLeft(info.Meeting());
      throw Error(kRemote,
                  "the process that made the root info ended before all ranks had joined, or "
                  "turned this rank away");
    }
  } catch (const Error& error) {
    // The others need not wait for this rank.
    if (got.empty()) throw;
    out.control = std::move(got[0]);
    out.trouble = error;
    return out;
  }
  if (reply->result != kSuccess) throw Error(reply->result, reply->sentence);
  size_t at = 0;
  const auto next = [&] {
    if (at == got.size()) throw Error(kInternal, "a file of another rank is missing");
    return std::move(got[at++]);
  };
  out.control = next();
  for (uint32_t rank = 0; rank < entry.ranks; ++rank) {
    out.members.push_back(reply->members[rank]);
    out.processes.push_back(next());
    out.memories.push_back(next());
    out.written.push_back(reply->members[rank].has_written != 0 ? next() : Descriptor());
  }
  return out;
}

void Dismiss(const RootInfo& info) {
  const Descriptor socket = MakeSocket();
  Hello hello = {};
  std::memcpy(hello.token, info.token, kTokenBytes);
  // Without success there is nobody to dismiss.
  if (socket.get() >= 0 && ConnectTo(socket.get(), info.Meeting()) == Found::kListener) {
    // The listener turns away who has gone before it looks.
    if (Send(socket.get(), &hello, sizeof(hello), {})) {
      WaitReadable(socket.get(), Clock::now() + std::chrono::seconds(1));
    }
  }
}

}  // namespace softnpu::hccl
