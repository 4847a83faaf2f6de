// cc/softnpu/base/handle_table.h: objects behind the opaque handles of a C interface.
//
// A handle is no address: it holds the kind of the object, its place in the table and the
// generation of that place. A handle that was destroyed, or that is one of another kind, is
// therefore refused by a sentence instead of being read. A generation counts to 2^28; only then a
// stale handle could name a new object.
//
// Objects are shared: one that is destroyed while another thread works with it lives until that
// thread is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cc/softnpu/base/error.h"

namespace softnpu {

// The kind of a handle, in its highest byte. No address of a user process on Linux is that large.
enum class HandleKind : uint8_t {
  kStream = 1,
  kEvent,
  kBinary,
  kFunction,
  kContext,
  kCommunicator
};

inline const char* Name(HandleKind kind) {
  switch (kind) {
    case HandleKind::kStream:
      return "stream";
    case HandleKind::kEvent:
      return "event";
    case HandleKind::kBinary:
      return "kernel binary";
    case HandleKind::kFunction:
      return "kernel function";
    case HandleKind::kContext:
      return "context";
    case HandleKind::kCommunicator:
      return "communicator";
  }
  return nullptr;
}

template <typename T>
class HandleTable {
 public:
  // `code` is what a bad handle gives.
  HandleTable(HandleKind kind, int32_t code) : kind_(kind), code_(code) {}
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;

  void* Add(std::shared_ptr<T> object) {
    std::lock_guard<std::mutex> lock(mutex_);
    size_t index = slots_.size();
    if (free_.empty()) {
      slots_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    slots_[index].object = std::move(object);
    return Encode(index, slots_[index].generation);
  }

  // Throws Error: null, a handle of another kind, one that was destroyed.
  std::shared_ptr<T> Get(const void* handle) const {
    std::lock_guard<std::mutex> lock(mutex_);
    return slots_[FindLocked(handle)].object;
  }

  // Takes the object out; the handle is stale from then on. Throws Error as Get does.
  std::shared_ptr<T> Remove(const void* handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    const size_t index = FindLocked(handle);
    Slot& slot = slots_[index];
    slot.generation = (slot.generation + 1) & kGenerations;
    free_.push_back(index);
    return std::exchange(slot.object, nullptr);
  }

  std::vector<std::shared_ptr<T>> All() const {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::shared_ptr<T>> out;
    for (const Slot& slot : slots_) {
      if (slot.object != nullptr) out.push_back(slot.object);
    }
    return out;
  }

 private:
  struct Slot {
    std::shared_ptr<T> object;
    uint64_t generation = 0;
  };

  static constexpr int kKindShift = 56;
  static constexpr int kGenerationShift = 28;
  static constexpr uint64_t kGenerations = (uint64_t{1} << 28) - 1;
  // Handles step by 16, as addresses would.
  static constexpr int kIndexShift = 4;
  static constexpr uint64_t kIndices = (uint64_t{1} << (kGenerationShift - kIndexShift)) - 1;

  void* Encode(size_t index, uint64_t generation) const {
    return reinterpret_cast<void*>(static_cast<uint64_t>(kind_) << kKindShift |
                                   generation << kGenerationShift | index << kIndexShift);
  }

  size_t FindLocked(const void* handle) const {
    const auto value = reinterpret_cast<uint64_t>(handle);
    const char* const wanted = Name(kind_);
    if (handle == nullptr) throw Error(code_, Format("the %s is null", wanted));
    const uint64_t kind = value >> kKindShift;
    if (kind != static_cast<uint64_t>(kind_)) {
      const char* const given = Name(static_cast<HandleKind>(kind));
      std::string text = Format("%p is not a live %s of this process", handle, wanted);
      if (given != nullptr) text += std::string(": it is a handle of the kind ") + given;
      throw Error(code_, text);
    }
    const uint64_t index = value >> kIndexShift & kIndices;
    const uint64_t generation = value >> kGenerationShift & kGenerations;
    if (index < slots_.size() && slots_[index].object != nullptr &&
        slots_[index].generation == generation && Encode(index, generation) == handle) {
      return index;
    }
    throw Error(code_,
                Format("%p is not a live %s of this process: it was destroyed", handle, wanted));
  }

  const HandleKind kind_;
  const int32_t code_;
  mutable std::mutex mutex_;
  std::vector<Slot> slots_;
  std::vector<size_t> free_;
};

}  // namespace softnpu
