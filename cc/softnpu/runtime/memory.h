// cc/softnpu/runtime/memory.h: device memory that the host cannot touch.
//
// A device's memory is one memfd. The addresses that are handed out lie in a range without access
// rights; SoftNPU itself works through an alias mapping of the same pages at a fixed distance. A
// host dereference of a device address therefore faults, and the fault handler names the
// allocation. SOFTNPU_HOST_VISIBLE=1 also maps the pages at the device address, for libraries that
// need it.
//
// Invariants: every live allocation is followed by a gap of at least 32 bytes behind whole blocks
// of 32, which kernels may read and write and nobody else; address ranges of different devices are
// disjoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/base/sharing.h"
#include "cc/softnpu/runtime/written.h"

namespace softnpu {

// Bytes of a sentence that tells another process why it cannot go on, with the zero at its end.
inline constexpr size_t kReasonBytes = 512;

// An allocation of another process.
struct Foreign {
  Descriptor memory;   // the files of the other one's device
  Descriptor written;  // without one where it keeps no account
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t serial = 0;
  int32_t pid = 0;
  Descriptor tie;   // readable when the other process has freed it: kReasonBytes say so
  Descriptor life;  // readable when the other process has ended
};

struct Allocation {
  uintptr_t base = 0;
  size_t bytes = 0;
  uint64_t serial = 0;
  bool live = true;
};

class DeviceMemory {
 public:
  // Reserves address space for `capacity` bytes of device `device`; pages are taken lazily.
  DeviceMemory(int device, size_t capacity);
  // One allocation of another process, as memory of `device`. Throws Error 207001.
  DeviceMemory(int device, Foreign foreign);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // Returns a 512-byte aligned device address. Throws Error 207001 when the memory is exhausted.
  void* Allocate(size_t bytes);
  // Throws Error 107000 for an address that is not the base of a live allocation.
  void Free(void* address);

  // Whether another process has allocated it.
  bool foreign() const { return foreign_.has_value(); }
  // The address of its only allocation.
  uintptr_t first() const { return live_.begin()->first; }
  // Nobody may access it any more; the other process keeps what it has.
  void CloseForeign();

  bool Contains(const void* address) const;
  // The allocation that holds [address, address + bytes), or the reason why there is none.
  // Throws Error 507015 naming address, range and nearest allocation, or saying that the other
  // process has freed it.
  Allocation Check(const void* address, size_t bytes) const;
  // The live allocation that holds the address, if one does.
  std::optional<Allocation> Find(const void* address) const;
  // The same with the bytes that an allocation has behind its end, as aclrtMalloc gives them.
  std::optional<Allocation> FindWithRoom(const void* address) const;
  // What is known about an address: "offset 12 of allocation #3 (64 bytes)", or a freed one.
  std::string Describe(const void* address) const;

  // Throws Error 507015 unless somebody has written all bytes that the access reads: it names the
  // argument, the first byte that nobody wrote, and the allocation. Nothing without account.
  void CheckWritten(const softnpu_access& access);
  // The first byte of the access that nobody has written, null if there is none.
  const std::byte* FirstUnwritten(const softnpu_access& access);
  // The host's copy of bytes from `address` on: what nobody has written becomes 0xFF there.
  void Poison(const void* address, std::byte* copy, size_t bytes);
  void NoteWritten(const softnpu_access& access, bool written = true);
  // The account of written bytes: null when it is not kept.
  WrittenMap* written() { return written_.get(); }
  size_t Offset(const void* address) const { return reinterpret_cast<uintptr_t>(address) - base_; }
  // The file of all bytes, which other processes may map, its size, and the address of its start.
  int fd() const { return file_.get(); }
  size_t span() const { return span_; }
  uintptr_t base() const { return base_; }

  // Host-side pointer to the same bytes.
  std::byte* Alias(const void* address) const {
    return alias_ + (reinterpret_cast<uintptr_t>(address) - base_);
  }

  // A kernel's own code may access the page at this address, until ClosePage was called as often.
  // Host code is not kept off meanwhile.
  void OpenPage(uintptr_t page);
  void ClosePage(uintptr_t page);

  size_t capacity() const { return capacity_; }
  size_t used() const;
  int device() const { return device_; }

 private:
  const Allocation* FindLocked(uintptr_t address) const;
  void Map(size_t offset);
  void RequireAlive() const;
  std::string Owner() const;

  int device_;
  std::optional<Foreign> foreign_;
  size_t capacity_;
  size_t span_;
  Descriptor file_;
  uintptr_t base_ = 0;
  std::byte* alias_ = nullptr;
  std::unique_ptr<WrittenMap> written_;
  mutable std::mutex mutex_;
  std::map<uintptr_t, Allocation> live_;
  std::map<uintptr_t, size_t> free_;  // start -> length, coalesced
  std::vector<Allocation> freed_;     // the most recent ones, for messages only
  size_t used_ = 0;
  uint64_t serial_ = 0;
  std::mutex pages_mutex_;
  std::map<uintptr_t, int> opened_;  // page -> how often
};

// The device memory that holds `address`, null when it is a host address.
DeviceMemory* FindMemory(const void* address);

// Host pointer for an address that is either device memory (checked, translated) or host memory.
std::byte* HostPointer(const void* address, size_t bytes);

// Installs the SIGSEGV/SIGBUS handler that reports host accesses to device memory, once.
void InstallFaultReporter();

}  // namespace softnpu
