// cc/softnpu/ascendc/memories.h: the memories that a core reaches: those on the chip, and GM.
//
// Resolve finds the host's bytes of an access and refuses what lies outside of its tensor, its
// memory or its allocation. The rest is for strict launches: which bytes hold a value, where bytes
// without one come from, and which bytes of GM a launch has written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "cc/softnpu/ascendc/access.h"
#include "cc/softnpu/ascendc/byte_set.h"
#include "cc/softnpu/ascendc/site.h"

namespace softnpu::ascendc {

class Memories {
 public:
  explicit Memories(const Site& site) : site_(site) {}

  // The memories of the site's chip and kind of core. No byte holds a value; nothing is taken.
  void Reset();

  uint64_t bytes(uint8_t space) const { return spaces_[space].bytes.size(); }
  // Of the cores that have it, whether this one does or not.
  uint64_t chip_bytes(uint8_t space) const { return spaces_[space].chip_bytes; }
  std::byte* ub() { return spaces_[SOFTNPU_SPACE_UB].bytes.data(); }
  // Bytes of a memory that buffers have taken. Buffers lie one behind the other.
  uint64_t& taken(uint8_t space) { return spaces_[space].taken; }
  void GiveBackAll();

  // Sets access.host and access.region; throws KernelError when a byte is out of limits.
  void Resolve(Access& access) {
    // Nearly all accesses are on the chip and inside their tensors, so this case is inline.
    const SoftnpuTensor& tensor = *access.tensor;
    if (tensor.space < spaces_.size()) {
      std::vector<std::byte>& memory = spaces_[tensor.space].bytes;  // of GM: empty
      const uint64_t last = access.base + access.extent();
      if (access.base >= tensor.begin && last >= access.base && last <= tensor.end &&
          last <= memory.size() && !memory.empty()) [[likely]] {
        access.host = memory.data() + access.base;
        return;
      }
    }
    if (tensor.space == SOFTNPU_SPACE_GM) {
      ResolveGlobal(access);
    } else {
      ResolveOnChip(access);
    }
  }
  // Of an access that was resolved: all bytes hold values.
  bool HasValues(const Access& access) const;
  // The first byte of [begin, end) in the access's memory that holds no value, or one; `end`: none.
  uint64_t FirstMissing(const Access& access, uint64_t begin, uint64_t end) const;
  uint64_t FirstPresent(const Access& access, uint64_t begin, uint64_t end) const;
  uint64_t FirstMissing(uint8_t space, uint64_t begin, uint64_t end) const {
    return spaces_[space].defined.FirstMissing(begin, end);
  }
  // Throws KernelError when the access reads a byte that holds no value.
  void CheckInitialised(const Access& access) const {
    if (!HasValues(access)) CheckRows(access);
  }
  // Throws KernelError: [begin, end) of the access has a byte without a value, and has to have one.
  [[noreturn]] void FailMissing(const Access& access, uint64_t begin, uint64_t end) const;
  // The site's instruction leaves [begin, end) of a memory on the chip without a value, because it
  // has read byte `at` of `from`. Kept for messages.
  void NoteOrigin(uint8_t space, uint64_t begin, uint64_t end, const SoftnpuTensor& from,
                  uint64_t at);
  // Bits of a byte of the UB that hold no value, where others of its bits do.
  void SpoilBits(uint64_t address, uint8_t bits);
  // Some bit of the bytes of the UB holds no value.
  bool HasMissingBits(uint64_t begin, uint64_t bytes) const {
    return !missing_bits_.empty() ||
           FirstMissing(SOFTNPU_SPACE_UB, begin, begin + bytes) < begin + bytes;
  }
  // All bits of a byte of the UB that hold no value.
  uint8_t MissingBits(uint64_t address) const;
  // The bytes of a write, which was resolved, hold values.
  void Commit(const Access& access);
  // The bytes [begin, end) of a memory on the chip hold no value any more; Drop: as NoteOrigin
  // says.
  void Forget(uint8_t space, uint64_t begin, uint64_t end) {
    Drop(space, begin, end);
    if (origins_.empty()) return;
    std::erase_if(origins_, [&](const Origin& origin) {
      return origin.space == space && origin.begin < end && begin < origin.end;
    });
  }
  void Drop(uint8_t space, uint64_t begin, uint64_t end) {
    spaces_[space].defined.Remove(begin, end);
  }
  // Of an access to GM: where the bytes end that belong to a tensor; the room is behind.
  uint64_t EndOf(const Access& access) const {
    const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
    return region.base + region.bytes;
  }
  // Bytes behind the end of a region hold no value.
  void ForgetBehind(int region, uint64_t begin, uint64_t end);
  // An address that GetUserWorkspace has given, for messages.
  void NoteWorkspace(uint64_t address, uint64_t system_bytes) {
    workspace_ = address;
    system_bytes_ = system_bytes;
  }

  // As BufferNames::NameOf, for a tensor of GM.
  std::string NameOfGlobal(const SoftnpuTensor& tensor, uint64_t address, uint64_t* origin) const;

 private:
  struct Space {
    std::vector<std::byte> bytes;
    ByteSet defined;  // bytes that hold a value
    uint64_t taken = 0;
    uint64_t chip_bytes = 0;
  };

  // Where bytes without a value come from.
  struct Origin {
    uint8_t space = 0;
    uint64_t begin = 0;
    uint64_t end = 0;
    Place maker;
    size_t root = 0;  // index of roots_
  };

  const Origin* OriginOf(uint8_t space, uint64_t address) const;
  void CheckRows(const Access& access) const;
  void ResolveOnChip(Access& access);
  void ResolveGlobal(Access& access);
  // The region that holds the access's first byte; throws KernelError when there is none.
  void FindRegion(Access& access);
  void CheckDeclared(const Access& access, const GlobalRegion& region);
  void CommitGlobal(const Access& access);

  const Site& site_;
  std::array<Space, SOFTNPU_SPACE_FB + 1> spaces_;
  std::vector<GlobalRegion> regions_;  // those that the core has touched
  std::vector<Origin> origins_;        // the latest is the last
  std::vector<std::string> roots_;
  std::unordered_map<uint64_t, uint8_t> missing_bits_;  // by address; of bytes with both kinds
  uint64_t workspace_ = 0;                              // 0: GetUserWorkspace was not called
  uint64_t system_bytes_ = 0;
};

}  // namespace softnpu::ascendc
