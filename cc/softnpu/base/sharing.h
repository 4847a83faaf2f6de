// cc/softnpu/base/sharing.h: what processes of one user share: files of memory, and sockets that
// pass them on.
//
// Sockets have abstract names, so nothing is left behind when a process is killed. Both sides let
// in only processes of their own user. Functions that can fail leave the reason in errno.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace softnpu {

// A file descriptor that is closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// A file of `bytes` zeros without a place in any directory. It is gone when the last process that
// has it ends. Its owner alone may open it, also through /proc.
Descriptor MemoryFile(const char* name, size_t bytes);

// Copies a text and a zero into a field, and leaves out what does not fit.
void CopyText(char* to, size_t bytes, const std::string& text);
// Random bytes that nobody guesses. False: the system has none.
bool FillRandom(void* to, size_t bytes);
// "0aff" for {10, 255}.
std::string Hex(const uint8_t* bytes, size_t count);

// Packets whose limits are kept.
Descriptor MakeSocket();
// A socket that listens under an abstract name.
Descriptor ListenAt(const std::string& name, int waiting);
bool ConnectTo(int socket, const std::string& name);
// The process at the other end; 0 when it is one of another user.
int32_t PeerOf(int socket);

// At most kMostFiles of them at once; the kernel passes no more than 253.
inline constexpr size_t kMostFiles = 64;
bool Send(int socket, const void* bytes, size_t count, const std::vector<int>& files);

enum class Receipt {
  kWhole,
  kNone,       // the end, or a message of another size
  kLostFiles,  // this process may not open as many files
};
// Takes one message of `count` bytes. The files that came are in `files` in any case.
Receipt Receive(int socket, void* bytes, size_t count, std::vector<Descriptor>& files);

}  // namespace softnpu
