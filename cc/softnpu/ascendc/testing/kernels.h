// cc/softnpu/ascendc/testing/kernels.h: memory and launches for tests of kernels, without a
// runtime.
//
// HostMemory hands out device addresses that the host cannot dereference, poisons new memory and
// tracks which of its bytes were written, so strict launches find reads of what nobody wrote.
#pragma once

#include <dlfcn.h>

#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cc/softnpu/ascendc/simulator.h"
#include "cc/softnpu/base/profile.h"

namespace softnpu::ascendc::testing {

class HostMemory : public GlobalMemory {
 public:
  // A new allocation; its bytes hold no value.
  uintptr_t Allocate(size_t bytes, std::string name) {
    auto block = std::make_unique<Block>();
    block->bytes.assign(RoomOf(bytes), std::byte{0xA5});
    block->initialised.assign(RoomOf(bytes), 0);
    block->size = bytes;
    block->name = std::move(name);
    const uintptr_t address = next_;
    next_ += (bytes + 4095) / 4096 * 4096 + 4096;
    blocks_[address] = std::move(block);
    return address;
  }
  template <typename T>
  uintptr_t Put(const std::vector<T>& values, std::string name) {
    const uintptr_t address = Allocate(values.size() * sizeof(T), std::move(name));
    Write(address, values.data(), values.size() * sizeof(T));
    return address;
  }
  void Write(uintptr_t address, const void* data, size_t bytes) {
    if (bytes == 0) return;
    Block& block = *blocks_.at(address);
    std::memcpy(block.bytes.data(), data, bytes);
    std::memset(block.initialised.data(), 1, bytes);
  }
  template <typename T>
  std::vector<T> Get(uintptr_t address) const {
    const Block& block = *blocks_.at(address);
    std::vector<T> values(block.size / sizeof(T));
    if (!values.empty()) {
      std::memcpy(static_cast<void*>(values.data()), block.bytes.data(), values.size() * sizeof(T));
    }
    return values;
  }

  bool Find(uintptr_t address, GlobalRegion* region, std::string* nearest) override {
    auto after = blocks_.upper_bound(address);
    if (after == blocks_.begin()) {
      *nearest = "no allocation lies below it";
      return false;
    }
    --after;
    Block& block = *after->second;
    if (address - after->first >= block.bytes.size()) {
      *nearest = Format("'%s' ends %zu bytes before it", block.name.c_str(),
                        address - after->first - block.size);
      return false;
    }
    region->base = after->first;
    region->bytes = block.size;
    region->room = block.bytes.size();
    region->host = block.bytes.data();
    region->initialised = block.initialised.data();
    region->room_initialised = block.initialised.data() + block.size;
    region->name = "'" + block.name + "'";
    return true;
  }

 private:
  struct Block {
    size_t size = 0;
    std::vector<std::byte> bytes;  // with the room behind
    std::vector<uint8_t> initialised;
    std::string name;
  };
  // Above the user half of an x86-64 or AArch64 address space's usual mappings, below 48 bits.
  uintptr_t next_ = 0x100000000000;
  std::map<uintptr_t, std::unique_ptr<Block>> blocks_;
};

// The chips of profiles that come with SoftNPU; a test finds the files among its data.
inline const Profile& Chip910B() {
  static const Profile chip = ReadProfile("python/softnpu/profiles/ascend910b3.toml");
  return chip;
}
inline const Profile& Chip310P() {
  static const Profile chip = ReadProfile("python/softnpu/profiles/ascend310p3.toml");
  return chip;
}
// The same chip with other numbers.
inline Profile With(Profile chip, int64_t vector_cores, int64_t ub_bytes) {
  chip.vector_cores = vector_cores;
  chip.ub_bytes = ub_bytes;
  return chip;
}

// A line of a source, by which tests of faults know the place that a report names.
inline std::string SourceLine(const char* path, int number) {
  std::ifstream file(path);
  std::string line;
  for (int i = 0; i < number && std::getline(file, line); ++i) {
  }
  return line;
}

// Launch arguments in slots, as a host program packs them.
class Slots {
 public:
  template <typename... Args>
  explicit Slots(const Args&... args) {
    (Append(args), ...);
  }
  const void* data() const { return slots_.data(); }
  size_t bytes() const { return slots_.size() * sizeof(uint64_t); }

 private:
  template <typename T>
  void Append(const T& value) {
    const size_t first = slots_.size();
    slots_.resize(first + (sizeof(T) + 7) / 8);
    std::memcpy(slots_.data() + first, &value, sizeof(T));
  }
  std::vector<uint64_t> slots_;
};

// A twin from a file, bound to this process's simulator.
class Twin {
 public:
  explicit Twin(const std::string& path) {
    // Never closed: entries and their strings stay valid.
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw std::runtime_error(dlerror());
    const auto get = reinterpret_cast<SoftnpuTwinFunction>(dlsym(library, SOFTNPU_TWIN_SYMBOL));
    if (get == nullptr) throw std::runtime_error(path + " exports no " SOFTNPU_TWIN_SYMBOL);
    twin_ = get();
    if (twin_->abi_version != SOFTNPU_TWIN_ABI) throw std::runtime_error(path + ": another ABI");
    twin_->bind(CoreApi());
  }
  const SoftnpuKernelEntry& operator[](const std::string& name) const {
    for (uint32_t i = 0; i < twin_->entry_count; ++i) {
      if (name == twin_->entries[i].name) return twin_->entries[i];
    }
    throw std::runtime_error("the twin has no kernel " + name);
  }

 private:
  const SoftnpuTwin* twin_ = nullptr;
};

}  // namespace softnpu::ascendc::testing
