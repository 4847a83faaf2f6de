// cc/softnpu/runtime/ipc.cc: keys, the thread that answers those who import, and imports.
#include "cc/softnpu/runtime/ipc.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "cc/softnpu/runtime/options.h"

namespace softnpu {
namespace {

constexpr size_t kHalf = kKeyDigits / 2;  // the digits of a name, and those of a token
constexpr int kAnswerMs = 5000;
// Ended exports whose reason is kept, and closed imports whose addresses are.
constexpr size_t kRemembered = 256;

struct Request {
  char token[kHalf];
};

struct Reply {
  int32_t code;
  char sentence[kReasonBytes];
  uint64_t offset;  // of the first byte in the files
  uint64_t bytes;
  uint64_t serial;
  int32_t has_written;
};

std::string RandomDigits() {
  std::array<uint8_t, kHalf / 2> bytes;
  if (!FillRandom(bytes.data(), bytes.size())) {
    throw Error(kRtIpc, Format("getrandom: %s", strerror(errno)));
  }
  return Hex(bytes.data(), bytes.size());
}

std::string SocketName(const std::string& digits) { return "softnpu-ipc-" + digits; }

// Whether nothing has come and the other end is open.
bool IsOpen(int socket) {
  char byte = 0;
  const ssize_t got = recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EINTR);
}

void SendReason(int socket, const std::string& reason) {
  char sentence[kReasonBytes];
  CopyText(sentence, sizeof(sentence), reason);
  Send(socket, sentence, sizeof(sentence), {});
}

// What this process has exported. It lives as long as the process.
class Exports {
 public:
  static Exports& Get() {
    static auto* const exports = new Exports;
    return *exports;
  }

  std::string AddMemory(const void* address, size_t bytes, bool any_process) {
    DeviceMemory* const memory = FindMemory(address);
    if (memory == nullptr) {
      throw Error(kRtParamInvalid, Format("%p is not device memory", address));
    }
    if (memory->foreign()) {
      throw Error(kRtParamInvalid,
                  Format("%p: what another process has exported is not exported again", address));
    }
    if (bytes == 0) throw Error(kRtParamInvalid, "0 bytes are to be exported");
    Export made;
    made.allocation = memory->Check(address, bytes);
    made.memory = memory;
    made.address = address;
    made.bytes = bytes;
    made.any_process = any_process;
    if (WrittenMap* const written = memory->written()) {
      written->Share(memory->Offset(address), bytes);
    }
    return Add(std::move(made));
  }

  std::string AddEvent(const std::shared_ptr<SharedEvent>& event) {
    Export made;
    made.event = event;
    made.is_event = true;
    made.any_process = true;
    {
      // torch makes one for each tensor that it sends.
      const std::lock_guard<std::mutex> lock(mutex_);
      for (auto& [token, one] : exports_) {
        if (one.is_event && one.gone.empty() && one.event.expired()) End(one, Destroyed());
      }
    }
    return Add(std::move(made));
  }

  bool IsOwn(const std::string& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return !name_.empty() && key.compare(0, kHalf, name_) == 0;
  }

  void Allow(const std::string& key, const std::vector<int32_t>& processes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    FindOwn(key).processes.insert(processes.begin(), processes.end());
  }

  void Close(const std::string& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Export& found = FindOwn(key);
    std::string users;
    for (const Import& import : found.imports) {
      if (IsOpen(import.socket.get())) {
        users += (users.empty() ? "" : ", ") + std::to_string(import.pid);
      }
    }
    if (!users.empty()) {
      throw Error(kRtIpc, Format("process %s has still imported the key %s: it has to close it "
                                 "first",
                                 users.c_str(), key.c_str()));
    }
    End(found, Format("process %d has closed the key", getpid()));
  }

  void EndThoseOf(const Allocation& allocation, int device) {
    if (!any_.load()) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [token, one] : exports_) {
      if (one.is_event || !one.gone.empty() || one.allocation.serial != allocation.serial ||
          one.memory->device() != device) {
        continue;
      }
      End(one,
          Format("process %d has freed allocation #%llu (%zu bytes, device %d)", getpid(),
                 static_cast<unsigned long long>(allocation.serial), allocation.bytes, device));
    }
  }

 private:
  struct Import {
    Descriptor socket;
    int32_t pid;
  };
  struct Export {
    bool is_event = false;
    std::weak_ptr<SharedEvent> event;
    DeviceMemory* memory = nullptr;
    Allocation allocation;
    const void* address = nullptr;
    size_t bytes = 0;
    bool any_process = false;
    std::set<int32_t> processes;
    std::vector<Import> imports;
    std::string gone;  // why nobody can import it any more
  };

  std::string Add(Export made) {
    const std::string token = RandomDigits();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (name_.empty()) Listen();
    exports_.emplace(token, std::move(made));
    any_ = true;
    return name_ + token;
  }

  Export& FindOwn(const std::string& key) {
    const auto found = name_.empty() || key.compare(0, kHalf, name_) != 0
                           ? exports_.end()
                           : exports_.find(key.substr(kHalf));
    if (found == exports_.end() || found->second.is_event) {
      throw Error(kRtParamInvalid, "the key '" + key + "' was not exported by this process");
    }
    if (!found->second.gone.empty()) throw Error(kRtParamInvalid, found->second.gone);
    return found->second;
  }

  static std::string Destroyed() { return Format("process %d has destroyed the event", getpid()); }

  void End(Export& one, const std::string& reason) {
    one.gone = reason;
    for (const Import& import : one.imports) SendReason(import.socket.get(), reason);
    one.imports.clear();
    ended_.push_back(&one);
    if (ended_.size() <= kRemembered) return;
    std::erase_if(exports_, [&](const auto& entry) { return &entry.second == ended_.front(); });
    ended_.pop_front();
  }

  void Listen() {
    const std::string name = RandomDigits();
    Descriptor listener = ListenAt(SocketName(name), 128);
    if (listener.get() < 0) throw Error(kRtIpc, Format("bind: %s", strerror(errno)));
    name_ = name;
    std::thread([this, listener = std::move(listener)] { Serve(listener.get()); }).detach();
  }

  void Serve(int listener) noexcept {
    while (true) {
      Descriptor socket(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
      if (socket.get() < 0) {
        // Too many files are open: somebody may close one.
        if (errno == EMFILE || errno == ENFILE) {
          std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        continue;
      }
      const int32_t pid = PeerOf(socket.get());
      pollfd entry = {socket.get(), POLLIN, 0};
      Request request = {};
      std::vector<Descriptor> files;
      if (pid == 0 || poll(&entry, 1, kAnswerMs) <= 0 ||
          Receive(socket.get(), &request, sizeof(request), files) != Receipt::kWhole) {
        continue;
      }
      Answer(std::string(request.token, kHalf), pid, std::move(socket));
    }
  }

  void Answer(const std::string& token, int32_t pid, Descriptor socket) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Reply reply = {};
    std::vector<int> files;
    const auto refuse = [&](const std::string& sentence) {
      reply.code = kRtIpc;
      CopyText(reply.sentence, sizeof(reply.sentence), sentence);
    };
    const auto found = exports_.find(token);
    std::shared_ptr<SharedEvent> event;
    if (found == exports_.end()) {
      refuse(Format("process %d has not exported this key", getpid()));
    } else if (Export& one = found->second; !one.gone.empty()) {
      refuse(one.gone);
    } else if (!one.any_process && one.processes.count(pid) == 0) {
      refuse(
          Format("process %d may not import it: aclrtIpcMemSetImportPid of process %d has not "
                 "named it",
                 pid, getpid()));
    } else if (one.is_event) {
      event = one.event.lock();
      if (event == nullptr) {
        refuse(Destroyed());
      } else {
        files.push_back(event->fd());
      }
    } else {
      reply.offset = one.memory->Offset(one.address);
      reply.bytes = one.bytes;
      reply.serial = one.allocation.serial;
      files.push_back(one.memory->fd());
      if (WrittenMap* const written = one.memory->written()) {
        reply.has_written = 1;
        files.push_back(written->fd());
      }
      std::erase_if(one.imports, [](const Import& import) { return !IsOpen(import.socket.get()); });
    }
    if (!Send(socket.get(), &reply, sizeof(reply), files) || reply.code != 0) return;
    if (event == nullptr) found->second.imports.push_back({std::move(socket), pid});
  }

  std::atomic<bool> any_{false};
  std::mutex mutex_;
  std::string name_;                       // digits; empty until something is exported
  std::map<std::string, Export> exports_;  // by token
  std::deque<Export*> ended_;
};

// What this process has imported.
class Imports {
 public:
  static Imports& Get() {
    static auto* const imports = new Imports;
    return *imports;
  }

  void* Add(const std::string& key, int device) {
    // Held while it is imported: nobody does it twice.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = open_.find(key); found != open_.end()) {
      throw Error(kRtParamInvalid, Format("the key '%s' is imported already, at %p", key.c_str(),
                                          reinterpret_cast<const void*>(found->second->base())));
    }
    Foreign foreign;
    const Reply reply = Fetch(key, foreign);
    foreign.offset = reply.offset;
    foreign.bytes = reply.bytes;
    foreign.serial = reply.serial;
    if (reply.has_written == 0) foreign.written = Descriptor();
    auto memory = std::make_unique<DeviceMemory>(device, std::move(foreign));
    void* const address = reinterpret_cast<void*>(memory->first());
    open_.emplace(key, std::move(memory));
    return address;
  }

  // False when it is none of this process.
  bool Close(const std::string& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = open_.find(key);
    if (found == open_.end()) return false;
    found->second->CloseForeign();
    closed_.push_back(std::move(found->second));
    open_.erase(found);
    // Late accesses are named. A task that runs now may still have an address of it.
    if (closed_.size() > kRemembered) closed_.pop_front();
    return true;
  }

  // The files of an export, and the connection. Throws Error.
  static Reply Fetch(const std::string& key, Foreign& foreign) {
    if (Exports::Get().IsOwn(key)) {
      throw Error(kRtParamInvalid,
                  "the key '" + key + "' is of this process, which has what it stands for");
    }
    Descriptor socket = MakeSocket();
    if (socket.get() < 0 || !ConnectTo(socket.get(), SocketName(key.substr(0, kHalf)))) {
      throw Error(kRtIpc, errno == ECONNREFUSED
                              ? "the process that exported the key '" + key + "' has ended"
                              : Format("connect: %s", strerror(errno)));
    }
    foreign.pid = PeerOf(socket.get());
    if (foreign.pid == 0) {
      throw Error(kRtIpc, "the key '" + key + "' was exported by a process of another user");
    }
    Request request;
    std::memcpy(request.token, key.data() + kHalf, kHalf);
    Reply reply = {};
    std::vector<Descriptor> files;
    pollfd entry = {socket.get(), POLLIN, 0};
    if (!Send(socket.get(), &request, sizeof(request), {}) || poll(&entry, 1, kAnswerMs) <= 0 ||
        Receive(socket.get(), &reply, sizeof(reply), files) != Receipt::kWhole) {
      throw Error(kRtIpc, Format("process %d, which exported the key '%s', does not answer",
                                 foreign.pid, key.c_str()));
    }
    if (reply.code != 0) throw Error(reply.code, "the key '" + key + "': " + reply.sentence);
    if (files.size() != 1 + static_cast<size_t>(reply.has_written)) {
      throw Error(kRtIpc, "the key '" + key + "': a file did not come");
    }
    foreign.memory = std::move(files[0]);
    if (reply.has_written != 0) foreign.written = std::move(files[1]);
    foreign.tie = std::move(socket);
    foreign.life = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, foreign.pid, 0)));
    return reply;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<DeviceMemory>> open_;
  std::deque<std::unique_ptr<DeviceMemory>> closed_;
};

void CheckKey(const std::string& key) {
  const bool digits = std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  if (key.size() != kKeyDigits || !digits) {
    throw Error(kRtParamInvalid,
                Format("'%s' is no key: it has %zu hexadecimal digits", key.c_str(), kKeyDigits));
  }
}

}  // namespace

std::string ExportMemory(const void* address, size_t bytes, bool any_process) {
  return Exports::Get().AddMemory(address, bytes, any_process);
}

void AllowImport(const std::string& key, const std::vector<int32_t>& processes) {
  CheckKey(key);
  Exports::Get().Allow(key, processes);
}

void* ImportMemory(const std::string& key, int device) {
  CheckKey(key);
  return Imports::Get().Add(key, device);
}

void CloseMemory(const std::string& key) {
  CheckKey(key);
  if (Imports::Get().Close(key)) return;
  if (!Exports::Get().IsOwn(key)) {
    throw Error(kRtParamInvalid, "the key '" + key + "' is not imported");
  }
  Exports::Get().Close(key);
}

void EndExportsOf(const Allocation& allocation, int device) {
  Exports::Get().EndThoseOf(allocation, device);
}

std::string ExportEvent(const std::shared_ptr<SharedEvent>& event) {
  return Exports::Get().AddEvent(event);
}

std::shared_ptr<SharedEvent> ImportEvent(const std::string& key) {
  CheckKey(key);
  Foreign foreign;
  Imports::Fetch(key, foreign);
  return std::make_shared<SharedEvent>(std::move(foreign.memory));
}

}  // namespace softnpu
