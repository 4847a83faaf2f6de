// cc/softnpu/runtime/written.cc: the map of written bytes, and the pieces of strided accesses.
#include "cc/softnpu/runtime/written.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "cc/softnpu/base/error.h"

namespace softnpu {
namespace {

constexpr size_t kPage = 4096;
constexpr uint8_t kUnknown = 0;
constexpr uint8_t kFull = 1;
constexpr uint8_t kShared = 2;

// Of a file, or of this process alone (-1).
uint8_t* Map(size_t bytes, int fd, size_t offset = 0) {
  const int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kind | MAP_NORESERVE, fd,
                   static_cast<off_t>(offset));
  if (map == MAP_FAILED) {
    throw Error(kRtMemoryAllocation,
                Format("the host has no address space for a map of %zu written bytes (%s)", bytes,
                       strerror(errno)));
  }
  return static_cast<uint8_t*>(map);
}

}  // namespace

void ClearPages(int fd, void* map, size_t begin, size_t bytes) {
  const int result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               static_cast<off_t>(begin), static_cast<off_t>(bytes));
  if (result != 0) std::memset(static_cast<uint8_t*>(map) + begin, 0, bytes);
}

WrittenMap::WrittenMap(size_t bytes)
    : size_((bytes + kPage - 1) / kPage * kPage),
      page_count_(size_ / kPage),
      file_(MemoryFile("softnpu-written", size_)) {
  try {
    if (fd() < 0) {
      throw Error(kRtMemoryAllocation,
                  Format("the host cannot provide a map of %zu written bytes (%s)", size_,
                         strerror(errno)));
    }
    bytes_ = Map(size_, fd());
    full_ = Map(page_count_, -1);
  } catch (...) {
    Release();
    throw;
  }
}

WrittenMap::WrittenMap(int fd, size_t offset, size_t bytes)
    : size_(bytes), page_count_(size_ / kPage) {
  try {
    bytes_ = Map(size_, fd, offset);
    full_ = Map(page_count_, -1);
  } catch (...) {
    Release();
    throw;
  }
  std::memset(full_, kShared, page_count_);
}

WrittenMap::~WrittenMap() { Release(); }

void WrittenMap::Release() {
  if (bytes_ != nullptr) munmap(bytes_, size_);
  if (full_ != nullptr) munmap(full_, page_count_);
}

WrittenMap::Pages WrittenMap::Inside(size_t begin, size_t bytes) {
  const size_t first = (begin + kPage - 1) / kPage;
  return {first, std::max(first, (begin + bytes) / kPage)};
}

void WrittenMap::Mark(size_t begin, size_t bytes) {
  std::memset(bytes_ + begin, 1, bytes);
  const Pages pages = Inside(begin, bytes);
  Note(pages.first, pages.end, kFull);
}

// A page at the edge of a range may belong to others, too, whose calls come at the same time. It is
// never full for one of them, so nobody stores there but Share.
void WrittenMap::Note(size_t first, size_t end, uint8_t what) {
  for (size_t page = first; page < end; ++page) {
    const uint8_t now = StateOf(page);
    if (now != kShared && now != what) __atomic_store_n(&full_[page], what, __ATOMIC_RELAXED);
  }
}

uint8_t WrittenMap::StateOf(size_t page) const {
  return __atomic_load_n(&full_[page], __ATOMIC_RELAXED);
}

void WrittenMap::Forget(size_t begin, size_t bytes) {
  if (bytes > 0) Note(begin / kPage, (begin + bytes - 1) / kPage + 1, kUnknown);
}

void WrittenMap::Share(size_t begin, size_t bytes) {
  if (bytes > 0) Note(begin / kPage, (begin + bytes - 1) / kPage + 1, kShared);
}

void WrittenMap::Clear(size_t begin, size_t bytes) {
  if (bytes == 0) return;
  Forget(begin, bytes);
  const Pages pages = Inside(begin, bytes);
  if (pages.first == pages.end) {
    std::memset(bytes_ + begin, 0, bytes);
    return;
  }
  std::memset(bytes_ + begin, 0, pages.first * kPage - begin);
  ClearPages(fd(), bytes_, pages.first * kPage, (pages.end - pages.first) * kPage);
  std::memset(bytes_ + pages.end * kPage, 0, begin + bytes - pages.end * kPage);
}

void WrittenMap::Copy(WrittenMap& to_map, size_t to, size_t from, size_t bytes) {
  if (FirstUnwritten(from, bytes) == from + bytes) {
    to_map.Mark(to, bytes);
    return;
  }
  if (bytes == 0) return;
  to_map.Forget(to, bytes);
  std::memmove(to_map.bytes_ + to, bytes_ + from, bytes);
}

size_t WrittenMap::FirstUnwritten(size_t begin, size_t bytes) {
  const size_t end = begin + bytes;
  size_t at = begin;
  while (at < end) {
    const size_t page = at / kPage;
    const size_t next = std::min(end, (page + 1) * kPage);
    if (StateOf(page) != kFull) {
      if (const void* zero = std::memchr(bytes_ + at, 0, next - at)) {
        return static_cast<size_t>(static_cast<const uint8_t*>(zero) - bytes_);
      }
      if (at == page * kPage && next == at + kPage) Note(page, page + 1, kFull);
    }
    at = next;
  }
  return end;
}

void ForEachPiece(const softnpu_access& access,
                  const std::function<bool(const std::byte*, size_t)>& run) {
  struct Dim {
    int64_t count;
    int64_t stride;  // bytes
  };
  std::array<Dim, 8> dims;
  size_t rank = 0;
  for (uint32_t i = 0; i < access.rank; ++i) {
    if (access.dims[i] == 0) return;
    // A dimension that is broadcast has its elements once.
    if (access.dims[i] > 1 && access.strides[i] != 0) {
      dims[rank++] = {access.dims[i], access.strides[i] * access.element_bytes};
    }
  }
  std::sort(dims.begin(), dims.begin() + rank,
            [](const Dim& a, const Dim& b) { return a.stride > b.stride; });
  int64_t piece = access.element_bytes;
  while (rank > 0 && dims[rank - 1].stride <= piece) {
    // Dimensions that overlap (as windows do) cover what lies between their first and last byte.
    piece += (dims[rank - 1].count - 1) * dims[rank - 1].stride;
    --rank;
  }
  std::array<int64_t, 8> index = {};
  const auto* at = static_cast<const std::byte*>(access.address);
  while (true) {
    if (!run(at, static_cast<size_t>(piece))) return;
    size_t i = rank;
    while (i > 0) {
      --i;
      at += dims[i].stride;
      if (++index[i] < dims[i].count) break;
      at -= dims[i].stride * dims[i].count;
      index[i] = 0;
      if (i == 0) return;
    }
    if (rank == 0) return;
  }
}

size_t SpanBytes(const softnpu_access& access) {
  int64_t last = 0;
  for (uint32_t i = 0; i < access.rank; ++i) {
    if (access.dims[i] == 0) return 0;
    last += (access.dims[i] - 1) * access.strides[i];
  }
  return static_cast<size_t>((last + 1) * access.element_bytes);
}

}  // namespace softnpu
