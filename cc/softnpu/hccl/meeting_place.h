// cc/softnpu/hccl/meeting_place.h: the socket at which ranks meet.
//
// It has a path, which processes of all network namespaces of a machine find; an abstract name
// belongs to one of them. It lies in a directory that its user alone may enter. Paths and directory
// are removed when nobody listens any more: by the listener, also when its process exits; after a
// kill by whoever looked for it, or by the next one that listens.
#pragma once

#include <string>

#include "cc/softnpu/base/sharing.h"

namespace softnpu::hccl {

// "softnpu-UID" in SOFTNPU_RUNTIME_DIR, which is /tmp where it is not set. Throws Error kPara for a
// path that is relative or too long.
std::string MeetingDirectory();

// The longest directory with a name of 45 characters in it that Linux takes for a socket.
inline constexpr size_t kLongestDirectory = 61;

struct Place {
  std::string directory;
  std::string name;

  std::string Path() const { return directory + "/" + name; }
};

// A socket that listens at a place.
class Listener {
 public:
  // Makes the directory where it is missing, and removes in it what killed processes have left.
  // Throws Error: kSyscall; kPara for a directory that others may enter.
  Listener(Place place, int waiting);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  int get() const { return socket_.get(); }
  // From here on the place is free.
  void Close();

 private:
  const Place place_;
  Descriptor socket_;
};

enum class Found { kListener, kNobody, kInterrupted };

// Throws Error kSyscall.
Found ConnectTo(int socket, const Place& place);

// Removes what a listener that was killed has left at a place.
void RemoveLeft(const Place& place) noexcept;

}  // namespace softnpu::hccl
