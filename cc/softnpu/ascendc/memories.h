// cc/softnpu/ascendc/memories.h: the memories that a core reaches: those on the chip, and GM.
//
// Resolve finds the host's bytes of an access and refuses what lies outside of its tensor, its
// memory or its allocation. The rest is for strict launches: which bytes hold a value, and which
// bytes of GM a launch has written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
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
  // Throws KernelError when the access, which was resolved, reads a byte that holds no value.
  void CheckInitialised(const Access& access) const {
    if (access.rows == 1 && access.tensor->space != SOFTNPU_SPACE_GM) {
      const uint64_t end = access.base + access.bytes;
      if (spaces_[access.tensor->space].defined.FirstMissing(access.base, end) == end) return;
    }
    CheckRows(access);
  }
  // The bytes of a write, which was resolved, hold values.
  void Commit(const Access& access);
  // The bytes [begin, end) of a memory on the chip hold no value any more.
  void Forget(uint8_t space, uint64_t begin, uint64_t end) {
    spaces_[space].defined.Remove(begin, end);
  }

  // As BufferNames::NameOf, for a tensor of GM.
  std::string NameOfGlobal(const SoftnpuTensor& tensor, uint64_t address, uint64_t* origin) const;

 private:
  struct Space {
    std::vector<std::byte> bytes;
    ByteSet defined;  // bytes that hold a value
    uint64_t taken = 0;
  };

  void CheckRows(const Access& access) const;
  void ResolveOnChip(Access& access);
  void ResolveGlobal(Access& access);
  void CommitGlobal(const Access& access);

  const Site& site_;
  std::array<Space, SOFTNPU_SPACE_FB + 1> spaces_;
  std::vector<GlobalRegion> regions_;  // those that the core has touched
};

}  // namespace softnpu::ascendc
