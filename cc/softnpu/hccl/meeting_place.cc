// cc/softnpu/hccl/meeting_place.cc: paths of sockets, and how they are removed.
//
// Whoever adds a path or removes the directory holds the directory's lock: nobody takes a socket
// between bind and listen for one that was left, and no directory goes away before a bind.
#include "cc/softnpu/hccl/meeting_place.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/hccl/types.h"

namespace softnpu::hccl {
namespace {

constexpr const char* kPrefix = "softnpu-hccl-";

[[noreturn]] void Refuse(const char* what, const std::string& path) {
  throw Error(kSyscall, Format("%s '%s': %s (SOFTNPU_RUNTIME_DIR names another directory)", what,
                               path.c_str(), strerror(errno)));
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  CopyText(address.sun_path, sizeof(address.sun_path), path);
  return address;
}

int Connect(int socket, const std::string& path) {
  const sockaddr_un address = AddressOf(path);
  return connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

// Its user alone may enter it, so it has only what this user's processes put there.
void CheckOwner(int directory, const std::string& path) {
  struct stat info = {};
  if (fstat(directory, &info) != 0) Refuse("stat", path);
  if (info.st_uid == geteuid() && (info.st_mode & 077) == 0) return;
  throw Error(kPara,
              Format("the directory '%s' is of user %u, with mode %o; it must be of user %u, and "
                     "closed to others (700)",
                     path.c_str(), info.st_uid, info.st_mode & 07777, geteuid()));
}

// The directory, locked until the descriptor is closed; without one where it does not exist and is
// not to be made.
Descriptor Lock(const std::string& path, bool make) {
  while (true) {
    if (make && mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) Refuse("mkdir", path);
    Descriptor out(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (out.get() < 0) {
      if (errno != ENOENT) Refuse("open", path);
      if (make) continue;
      return out;
    }
    CheckOwner(out.get(), path);
    while (flock(out.get(), LOCK_EX) != 0) {
      if (errno != EINTR) Refuse("flock", path);
    }
    struct stat locked = {};
    struct stat there = {};
    if (fstat(out.get(), &locked) == 0 && stat(path.c_str(), &there) == 0 &&
        locked.st_dev == there.st_dev && locked.st_ino == there.st_ino) {
      return out;
    }
    // It was removed meanwhile.
  }
}

// Of a locked directory.
void RemoveIfLeft(const std::string& path) {
  const Descriptor probe(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe.get() >= 0 && Connect(probe.get(), path) != 0 && errno == ECONNREFUSED) {
    unlink(path.c_str());
  }
}

void Sweep(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(directory.c_str()), closedir);
  if (entries == nullptr) return;
  std::vector<std::string> names;
  while (const dirent* const entry = readdir(entries.get())) names.emplace_back(entry->d_name);
  for (const std::string& name : names) {
    if (name.rfind(kPrefix, 0) == 0) RemoveIfLeft(directory + "/" + name);
  }
}

// Places of this process, for its end.
struct Open {
  std::mutex mutex;
  std::vector<Place> places;
  pid_t owner = 0;  // a child of a fork has none of its parent's
};

Open& OpenPlaces() {
  static auto* const open = new Open;
  return *open;
}

void Remove(const Place& place) noexcept {
  unlink(place.Path().c_str());
  try {
    const Descriptor lock = Lock(place.directory, /*make=*/false);
    if (lock.get() >= 0) rmdir(place.directory.c_str());
  } catch (const Error&) {
    // The directory is another's by now.
  }
}

void RemoveAll() {
  Open& open = OpenPlaces();
  // A thread that holds it may be gone already.
  const std::unique_lock<std::mutex> lock(open.mutex, std::try_to_lock);
  if (!lock.owns_lock() || open.owner != getpid()) return;
  for (const Place& place : open.places) Remove(place);
  open.places.clear();
}

void Note(const Place& place) {
  static const int registered = std::atexit(RemoveAll);
  (void)registered;
  Open& open = OpenPlaces();
  const std::lock_guard<std::mutex> lock(open.mutex);
  if (open.owner != getpid()) open.places.clear();
  open.owner = getpid();
  open.places.push_back(place);
}

}  // namespace

std::string MeetingDirectory() {
  const char* const given = std::getenv("SOFTNPU_RUNTIME_DIR");
  const std::string base = given == nullptr || *given == '\0' ? "/tmp" : given;
  std::string out = base + Format("/softnpu-%u", geteuid());
  if (base[0] != '/' || out.size() > kLongestDirectory) {
    throw Error(kPara, Format("SOFTNPU_RUNTIME_DIR is '%s'; it must be an absolute path of up to "
                              "%zu characters",
                              base.c_str(), kLongestDirectory - (out.size() - base.size())));
  }
  return out;
}

Listener::Listener(Place place, int waiting) : place_(std::move(place)), socket_(MakeSocket()) {
  if (socket_.get() < 0) Refuse("socket", place_.Path());
  const Descriptor lock = Lock(place_.directory, /*make=*/true);
  Sweep(place_.directory);
  const sockaddr_un address = AddressOf(place_.Path());
  if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    Refuse("bind", place_.Path());
  }
  Note(place_);
  if (listen(socket_.get(), waiting) != 0) {
    const int reason = errno;
    unlink(place_.Path().c_str());
    errno = reason;
    Refuse("listen", place_.Path());
  }
}

Listener::~Listener() { Close(); }

void Listener::Close() {
  if (socket_.get() < 0) return;
  {
    Open& open = OpenPlaces();
    const std::lock_guard<std::mutex> lock(open.mutex);
    std::erase_if(open.places, [this](const Place& one) { return one.Path() == place_.Path(); });
  }
  // First the path: a socket at a path that nobody listens at is one that was left.
  Remove(place_);
  socket_ = Descriptor();
}

Found ConnectTo(int socket, const Place& place) {
  if (Connect(socket, place.Path()) == 0) return Found::kListener;
  if (errno == EINTR) return Found::kInterrupted;
  if (errno == ECONNREFUSED || errno == ENOENT) return Found::kNobody;
  Refuse("connect", place.Path());
}

void RemoveLeft(const Place& place) noexcept {
  try {
    const Descriptor lock = Lock(place.directory, /*make=*/false);
    if (lock.get() < 0) return;
    RemoveIfLeft(place.Path());
    rmdir(place.directory.c_str());
  } catch (const Error&) {
    // Whoever comes there is told.
  }
}

}  // namespace softnpu::hccl
