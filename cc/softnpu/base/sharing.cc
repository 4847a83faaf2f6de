// cc/softnpu/base/sharing.cc: files of memory, and messages with descriptors.
#include "cc/softnpu/base/sharing.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cc/softnpu/base/error.h"

namespace softnpu {
namespace {

// The address with an abstract name and its length.
std::pair<sockaddr_un, socklen_t> AddressOf(const std::string& name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const size_t length = std::min(name.size(), sizeof(address.sun_path) - 1);
  std::memcpy(address.sun_path + 1, name.data(), length);
  return {address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length)};
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.Release();
  }
  return *this;
}

Descriptor MemoryFile(const char* name, size_t bytes) {
  Descriptor out(static_cast<int>(syscall(SYS_memfd_create, name, 1U /* MFD_CLOEXEC */)));
  if (out.get() >= 0 && (fchmod(out.get(), S_IRUSR | S_IWUSR) != 0 ||
                         ftruncate(out.get(), static_cast<off_t>(bytes)) != 0)) {
    const int reason = errno;
    out = Descriptor();
    errno = reason;
  }
  return out;
}

void CopyText(char* to, size_t bytes, const std::string& text) {
  const size_t length = std::min(bytes - 1, text.size());
  std::memcpy(to, text.data(), length);
  to[length] = '\0';
}

bool FillRandom(void* to, size_t bytes) {
  return getrandom(to, bytes, 0) == static_cast<ssize_t>(bytes);
}

std::string Hex(const uint8_t* bytes, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += Format("%02x", bytes[i]);
  return out;
}

Descriptor MakeSocket() { return Descriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)); }

Descriptor ListenAt(const std::string& name, int waiting) {
  Descriptor out = MakeSocket();
  const auto [address, length] = AddressOf(name);
  if (out.get() < 0 || bind(out.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      listen(out.get(), waiting) != 0) {
    const int reason = errno;
    out = Descriptor();
    errno = reason;
  }
  return out;
}

bool ConnectTo(int socket, const std::string& name) {
  const auto [address, length] = AddressOf(name);
  return connect(socket, reinterpret_cast<const sockaddr*>(&address), length) == 0;
}

int32_t PeerOf(int socket) {
  ucred peer = {};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return 0;
  return peer.uid == geteuid() ? peer.pid : 0;
}

bool Send(int socket, const void* bytes, size_t count, const std::vector<int>& files) {
  iovec part = {const_cast<void*>(bytes), count};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFiles * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!files.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(files.size() * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(files.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), files.data(), files.size() * sizeof(int));
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(count);
}

Receipt Receive(int socket, void* bytes, size_t count, std::vector<Descriptor>& files) {
  iovec part = {bytes, count};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFiles * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got = 0;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t length = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < length; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      files.emplace_back(descriptor);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) return Receipt::kLostFiles;
  const bool whole = got == static_cast<ssize_t>(count) && (message.msg_flags & MSG_TRUNC) == 0;
  return whole ? Receipt::kWhole : Receipt::kNone;
}

}  // namespace softnpu
