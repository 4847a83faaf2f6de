// cc/softnpu/runtime/written.h: which bytes of a device's memory somebody has written.
//
// One byte for each byte of memory, mapped lazily: what nobody has touched costs nothing, the rest
// costs as much again. Whole pages that are known to be written are noted once more, so that asking
// again for a large tensor (weights) costs a byte for each page and not a byte for each byte.
//
// The cores of the simulator set bytes of the map themselves (GlobalRegion::initialised). Calls for
// bytes that are accessed at the same time are not ordered here: that is the program's affair.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "cc/softnpu/base/sharing.h"
#include "cc/softnpu/runtime/internal.h"

namespace softnpu {

// Makes [begin, begin + bytes) of a file, whole pages that this process has at `map`, zero, and
// gives the pages back to the host where it takes them.
void ClearPages(int fd, void* map, size_t begin, size_t bytes);

class WrittenMap {
 public:
  // Nothing is written. Throws Error 207001 when the host has no file or address space for it.
  explicit WrittenMap(size_t bytes);
  // [offset, offset + bytes), whole pages, of the map of another process, by its file.
  WrittenMap(int fd, size_t offset, size_t bytes);
  ~WrittenMap();
  WrittenMap(const WrittenMap&) = delete;
  WrittenMap& operator=(const WrittenMap&) = delete;

  void Mark(size_t begin, size_t bytes);
  void Clear(size_t begin, size_t bytes);
  // What was written at [from, from + bytes) is now written at [to, to + bytes).
  void Copy(WrittenMap& to_map, size_t to, size_t from, size_t bytes);
  // The first byte of [begin, begin + bytes) that nobody has written; begin + bytes if there is
  // none.
  size_t FirstUnwritten(size_t begin, size_t bytes);

  // A byte for each byte, 1 for a written one.
  uint8_t* bytes() { return bytes_; }
  // Other processes set bytes of these pages from now on: nothing is noted of whole pages.
  void Share(size_t begin, size_t bytes);
  // Another process has set bytes of [begin, begin + bytes).
  void Forget(size_t begin, size_t bytes);
  // The file that bytes() maps: device memory and its map are shared with other processes.
  int fd() const { return file_.get(); }

 private:
  // The pages that lie wholly inside a range.
  struct Pages {
    size_t first;
    size_t end;
  };
  static Pages Inside(size_t begin, size_t bytes);
  void Release();
  void Note(size_t first, size_t end, uint8_t what);
  uint8_t StateOf(size_t page) const;

  size_t size_;
  size_t page_count_;
  Descriptor file_;
  uint8_t* bytes_ = nullptr;
  // For each page: kFull when all of it is known to be written, kShared when that is never noted.
  uint8_t* full_ = nullptr;
};

// Calls `run` with (address, bytes) for each piece of contiguous memory of an access, in the order
// of addresses; pieces are as long as the strides allow. Stops when `run` returns false. O(pieces).
void ForEachPiece(const softnpu_access& access,
                  const std::function<bool(const std::byte*, size_t)>& run);

// The bytes that an access spans, from its first to its last.
size_t SpanBytes(const softnpu_access& access);

}  // namespace softnpu
