// cc/softnpu/ascendc/byte_set.h: which bytes of a memory are in a set, one bit per byte.
//
// Ranges are handled 64 bytes at a time, so that tracking every byte of a core's memory costs a
// small part of the copy that is tracked.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace softnpu::ascendc {

class ByteSet {
 public:
  // Empties the set; `bytes` becomes the size of the memory. Cost: as far as the set was filled.
  void Reset(uint64_t bytes) {
    std::fill_n(words_.begin(), std::min<size_t>(words_.size(), (high_ + 63) / 64), 0);
    words_.resize((bytes + 63) / 64);
    high_ = 0;
  }

  void Insert(uint64_t begin, uint64_t end) {
    high_ = std::max(high_, end);
    ForWords(begin, end, [this](size_t i, uint64_t bits) {
      words_[i] |= bits;
      return true;
    });
  }
  void Remove(uint64_t begin, uint64_t end) {
    ForWords(begin, end, [this](size_t i, uint64_t bits) {
      words_[i] &= ~bits;
      return true;
    });
  }

  // The first byte of [begin, end) that is not in the set; `end` when all are.
  uint64_t FirstMissing(uint64_t begin, uint64_t end) const {
    uint64_t found = end;
    ForWords(begin, end, [&](size_t i, uint64_t bits) {
      const uint64_t missing = ~words_[i] & bits;
      if (missing == 0) return true;
      found = i * 64 + static_cast<uint64_t>(std::countr_zero(missing));
      return false;
    });
    return found;
  }
  // The first byte of [begin, end) that is in the set; `end` when none is.
  uint64_t FirstPresent(uint64_t begin, uint64_t end) const {
    uint64_t found = end;
    ForWords(begin, end, [&](size_t i, uint64_t bits) {
      const uint64_t present = words_[i] & bits;
      if (present == 0) return true;
      found = i * 64 + static_cast<uint64_t>(std::countr_zero(present));
      return false;
    });
    return found;
  }

 private:
  template <typename Body>
  static void ForWords(uint64_t begin, uint64_t end, Body&& body) {
    while (begin < end) {
      const uint64_t stop = std::min(end, (begin | 63) + 1);
      const uint64_t length = stop - begin;
      const uint64_t ones = length == 64 ? ~uint64_t{0} : (uint64_t{1} << length) - 1;
      if (!body(static_cast<size_t>(begin / 64), ones << (begin % 64))) return;
      begin = stop;
    }
  }

  std::vector<uint64_t> words_;
  uint64_t high_ = 0;  // no byte at or above it is in the set
};

}  // namespace softnpu::ascendc
