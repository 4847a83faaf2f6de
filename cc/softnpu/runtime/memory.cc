// cc/softnpu/runtime/memory.cc: allocator, alias mapping and fault reporter of device memory.
#include "cc/softnpu/runtime/memory.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/base/signals.h"
#include "cc/softnpu/runtime/options.h"

namespace softnpu {
namespace {

constexpr size_t kAlignment = 512;
constexpr size_t kGuardBytes = 32;
constexpr size_t kPage = 4096;
constexpr size_t kRememberedFrees = 256;
// Fresh memory is filled with this byte: NaN in every floating-point type.
constexpr int kPoison = 0xFF;
// Poisoning touches pages, so larger allocations (KV caches) are zero pages until they are written.
// For all of them there is the account of written bytes; poison shows what it lets pass.
constexpr size_t kPoisonLimit = size_t{64} << 20;

// A process usually maps nothing here.
constexpr uintptr_t kFirstAddress = 0x200000000000;
// Those of devices, by their numbers, then those of other processes.
constexpr size_t kMaxForeign = 4096;
std::array<std::atomic<DeviceMemory*>, kMaxDevices + kMaxForeign> g_memories;
std::atomic<size_t> g_memory_count{kMaxDevices};

void Enlist(DeviceMemory* memory) {
  for (size_t i = kMaxDevices; i < g_memories.size(); ++i) {
    DeviceMemory* none = nullptr;
    if (!g_memories[i].compare_exchange_strong(none, memory)) continue;
    size_t count = g_memory_count.load();
    while (count <= i && !g_memory_count.compare_exchange_weak(count, i + 1)) {
    }
    return;
  }
  throw Error(kRtMemoryAllocation,
              Format("%zu allocations of other processes are imported at a time", kMaxForeign));
}

bool KeepsAccount() { return GetOptions().strict && GetOptions().unwritten; }

size_t RoundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

DeviceMemory::DeviceMemory(int device, size_t capacity)
    : device_(device),
      capacity_(capacity),
      span_(RoundUp(capacity, kPage)),
      file_(MemoryFile("softnpu-hbm", span_)) {
  if (file_.get() < 0) {
    throw Error(kRtMemoryAllocation,
                Format("device %d: the host cannot provide %zu bytes of device "
                       "memory (%s)",
                       device, span_, strerror(errno)));
  }
  Map(0);
  if (KeepsAccount()) written_ = std::make_unique<WrittenMap>(span_);
  free_[base_] = span_;
  g_memories[static_cast<size_t>(device)].store(this);
}

void DeviceMemory::Map(size_t offset) {
  const int visible = GetOptions().host_visible ? PROT_READ | PROT_WRITE : PROT_NONE;
  // Kernels with pointers know GM by its addresses (pointers.h); elsewhere such a kernel fails.
  void* const wanted = reinterpret_cast<void*>(
      kFirstAddress + (static_cast<uintptr_t>(foreign() ? kMaxDevices : device_) << 38));
  const auto start = static_cast<off_t>(offset);
  void* base = mmap(wanted, span_, visible, MAP_SHARED | MAP_NORESERVE, fd(), start);
  void* alias =
      mmap(nullptr, span_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd(), start);
  if (base == MAP_FAILED || alias == MAP_FAILED) {
    throw Error(kRtMemoryAllocation, Format("device %d: no address space for %zu bytes of device "
                                            "memory (%s)",
                                            device_, span_, strerror(errno)));
  }
  base_ = reinterpret_cast<uintptr_t>(base);
  alias_ = static_cast<std::byte*>(alias);
}

DeviceMemory::DeviceMemory(int device, Foreign foreign)
    : device_(device),
      foreign_(std::move(foreign)),
      capacity_(foreign_->bytes),
      span_(RoundUp(foreign_->offset % kPage + foreign_->bytes, kPage)),
      file_(std::move(foreign_->memory)) {
  const size_t inside = foreign_->offset % kPage;
  Map(foreign_->offset - inside);
  if (foreign_->written.get() >= 0) {
    auto written =
        std::make_unique<WrittenMap>(foreign_->written.get(), foreign_->offset - inside, span_);
    if (KeepsAccount()) {
      written_ = std::move(written);
    } else {
      // What this process writes is not noted, so the other one cannot count on its account.
      written->Mark(inside, foreign_->bytes);
    }
  }
  live_[base_ + inside] = {base_ + inside, foreign_->bytes, foreign_->serial, true};
  Enlist(this);
}

void DeviceMemory::CloseForeign() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Allocation gone = live_.begin()->second;
  gone.live = false;
  freed_.push_back(gone);
  live_.clear();
  // A task that runs now may still have an address of the alias. It reads zeros.
  mmap(alias_, span_, PROT_READ | PROT_WRITE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  mmap(reinterpret_cast<void*>(base_), span_, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  foreign_->tie = Descriptor();
  file_ = Descriptor();
}

void DeviceMemory::RequireAlive() const {
  if (!foreign()) return;
  std::array<pollfd, 2> entries = {
      {{foreign_->tie.get(), POLLIN, 0}, {foreign_->life.get(), POLLIN, 0}}};
  if (poll(entries.data(), entries.size(), 0) <= 0) return;
  std::array<char, kReasonBytes> reason = {};
  std::string why = Format("process %d has ended", foreign_->pid);
  if (recv(foreign_->tie.get(), reason.data(), reason.size(), MSG_PEEK | MSG_DONTWAIT) > 0) {
    why = reason.data();
  }
  throw Error(kAicoreException, "access to imported memory: " + why);
}

std::string DeviceMemory::Owner() const {
  return foreign() ? Format(" of process %d", foreign_->pid) : "";
}

DeviceMemory::~DeviceMemory() {
  for (std::atomic<DeviceMemory*>& slot : g_memories) {
    DeviceMemory* own = this;
    slot.compare_exchange_strong(own, nullptr);
  }
  munmap(reinterpret_cast<void*>(base_), span_);
  munmap(alias_, span_);
}

void* DeviceMemory::Allocate(size_t bytes) {
  Allocation allocation;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    // Sizes near the end of the number range would wrap around in the sum.
    const size_t need = bytes > capacity_
                            ? SIZE_MAX
                            : RoundUp(std::max<size_t>(bytes, 1) + kGuardBytes, kAlignment);
    const auto slot = std::find_if(free_.begin(), free_.end(),
                                   [need](const auto& range) { return range.second >= need; });
    if (slot == free_.end()) {
      throw Error(kRtMemoryAllocation,
                  Format("device %d is out of memory: %zu bytes asked for, %zu of %zu in use",
                         device_, bytes, used_, capacity_));
    }
    const auto [start, length] = *slot;
    free_.erase(slot);
    if (length > need) free_[start + need] = length - need;
    used_ += need;
    allocation = {start, bytes, ++serial_, true};
    live_[start] = allocation;
  }
  if (written_ != nullptr) {
    written_->Clear(allocation.base - base_, RoundUp(bytes, kGuardBytes) + kGuardBytes);
  }
  if (GetOptions().strict && bytes <= kPoisonLimit) {
    std::memset(Alias(reinterpret_cast<void*>(allocation.base)), kPoison, bytes);
  }
  return reinterpret_cast<void*>(allocation.base);
}

void DeviceMemory::Free(void* address) {
  if (foreign()) {
    throw Error(kRtParamInvalid, Format("%p was imported: aclrtIpcMemClose ends that", address));
  }
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = live_.find(reinterpret_cast<uintptr_t>(address));
  if (it == live_.end()) {
    throw Error(kRtParamInvalid,
                Format("%p is not the start of a live allocation of device %d", address, device_));
  }
  Allocation gone = it->second;
  gone.live = false;
  if (freed_.size() >= kRememberedFrees) freed_.erase(freed_.begin());
  freed_.push_back(gone);
  live_.erase(it);

  uintptr_t start = gone.base;
  size_t length = RoundUp(std::max<size_t>(gone.bytes, 1) + kGuardBytes, kAlignment);
  used_ -= length;
  // Whole pages go back to the host; the next owner finds zero pages, then poison.
  const uintptr_t first = RoundUp(start, kPage);
  const uintptr_t last = (start + length) / kPage * kPage;
  if (last > first) {
    ClearPages(fd(), alias_, first - base_, last - first);
  }
  auto next = free_.lower_bound(start);
  if (next != free_.end() && next->first == start + length) {
    length += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == start) {
      start = before->first;
      length += before->second;
      free_.erase(before);
    }
  }
  free_[start] = length;
}

bool DeviceMemory::Contains(const void* address) const {
  const auto value = reinterpret_cast<uintptr_t>(address);
  return value >= base_ && value < base_ + span_;
}

const Allocation* DeviceMemory::FindLocked(uintptr_t address) const {
  auto it = live_.upper_bound(address);
  if (it == live_.begin()) return nullptr;
  --it;
  return address < it->second.base + std::max<size_t>(it->second.bytes, 1) ? &it->second : nullptr;
}

std::optional<Allocation> DeviceMemory::Find(const void* address) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const Allocation* found = FindLocked(reinterpret_cast<uintptr_t>(address));
  return found == nullptr ? std::nullopt : std::optional<Allocation>(*found);
}

Allocation DeviceMemory::Check(const void* address, size_t bytes) const {
  const auto value = reinterpret_cast<uintptr_t>(address);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const Allocation* found = FindLocked(value);
    // No sum with `bytes`, which may be near the end of the number range.
    if (found != nullptr && found->base + found->bytes >= value &&
        bytes <= found->base + found->bytes - value) {
      RequireAlive();
      return *found;
    }
  }
  throw Error(kAicoreException, Format("device memory access out of bounds: %zu bytes at %p, %s",
                                       bytes, address, Describe(address).c_str()));
}

const std::byte* DeviceMemory::FirstUnwritten(const softnpu_access& access) {
  const std::byte* found = nullptr;
  if (written_ == nullptr) return found;
  ForEachPiece(access, [&](const std::byte* at, size_t bytes) {
    const size_t begin = Offset(at);
    const size_t first = written_->FirstUnwritten(begin, bytes);
    if (first != begin + bytes) found = at + (first - begin);
    return found == nullptr;
  });
  return found;
}

void DeviceMemory::CheckWritten(const softnpu_access& access) {
  if (const std::byte* const first = FirstUnwritten(access)) {
    throw Error(kAicoreException, Format("'%s' is read where nobody has written: %s "
                                         "(softnpu run --unwritten ignore lets it pass)",
                                         access.name, Describe(first).c_str()));
  }
}

void DeviceMemory::Poison(const void* address, std::byte* copy, size_t bytes) {
  if (written_ == nullptr) return;
  const size_t begin = Offset(address);
  const uint8_t* const marks = written_->bytes() + begin;
  for (size_t at = written_->FirstUnwritten(begin, bytes) - begin; at < bytes; ++at) {
    if (marks[at] == 0) copy[at] = static_cast<std::byte>(kPoison);
  }
}

void DeviceMemory::NoteWritten(const softnpu_access& access, bool written) {
  if (written_ == nullptr) return;
  ForEachPiece(access, [&](const std::byte* at, size_t bytes) {
    written ? written_->Mark(Offset(at), bytes) : written_->Clear(Offset(at), bytes);
    return true;
  });
}

std::optional<Allocation> DeviceMemory::FindWithRoom(const void* address) const {
  const auto value = reinterpret_cast<uintptr_t>(address);
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = live_.upper_bound(value);
  if (it == live_.begin()) return std::nullopt;
  --it;
  // What is behind a foreign one is the other process's.
  const size_t room =
      foreign() ? it->second.bytes : RoundUp(it->second.bytes, kGuardBytes) + kGuardBytes;
  if (value >= it->second.base + room) return std::nullopt;
  RequireAlive();
  return it->second;
}

std::string DeviceMemory::Describe(const void* address) const {
  const auto value = reinterpret_cast<uintptr_t>(address);
  std::lock_guard<std::mutex> lock(mutex_);
  if (const Allocation* found = FindLocked(value)) {
    return Format("offset %zu of allocation #%llu%s (%zu bytes, device %d)", value - found->base,
                  static_cast<unsigned long long>(found->serial), Owner().c_str(), found->bytes,
                  device_);
  }
  for (auto it = freed_.rbegin(); it != freed_.rend(); ++it) {
    if (value >= it->base && value < it->base + it->bytes) {
      return Format("offset %zu of the %s allocation #%llu%s (%zu bytes, device %d)",
                    value - it->base, foreign() ? "closed" : "freed",
                    static_cast<unsigned long long>(it->serial), Owner().c_str(), it->bytes,
                    device_);
    }
  }
  auto next = live_.upper_bound(value);
  if (next != live_.begin()) {
    const Allocation& before = std::prev(next)->second;
    return Format("%zu bytes past the end of allocation #%llu (%zu bytes, device %d)",
                  value - before.base - before.bytes,
                  static_cast<unsigned long long>(before.serial), before.bytes, device_);
  }
  return Format("inside no allocation of device %d", device_);
}

size_t DeviceMemory::used() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return used_;
}

void DeviceMemory::OpenPage(uintptr_t page) {
  std::lock_guard<std::mutex> lock(pages_mutex_);
  if (++opened_[page] > 1) return;
  if (mprotect(reinterpret_cast<void*>(page), kPage, PROT_READ | PROT_WRITE) != 0) {
    opened_.erase(page);
    throw Error(kRtMemoryAllocation,
                Format("device %d: the host gives no access to the page at %#llx, which a kernel "
                       "reads or writes through a pointer (%s)",
                       device_, static_cast<unsigned long long>(page), strerror(errno)));
  }
}

void DeviceMemory::ClosePage(uintptr_t page) {
  std::lock_guard<std::mutex> lock(pages_mutex_);
  const auto at = opened_.find(page);
  if (at == opened_.end() || --at->second > 0) return;
  opened_.erase(at);
  mprotect(reinterpret_cast<void*>(page), kPage, PROT_NONE);
}

DeviceMemory* FindMemory(const void* address) {
  const size_t count = g_memory_count.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) {
    DeviceMemory* memory = g_memories[i].load(std::memory_order_acquire);
    if (memory != nullptr && memory->Contains(address)) return memory;
  }
  return nullptr;
}

std::byte* HostPointer(const void* address, size_t bytes) {
  DeviceMemory* memory = FindMemory(address);
  if (memory == nullptr) return static_cast<std::byte*>(const_cast<void*>(address));
  if (bytes > 0) memory->Check(address, bytes);
  return memory->Alias(address);
}

namespace {

struct sigaction g_previous_segv;
struct sigaction g_previous_bus;

void OnFault(int signal_number, siginfo_t* info, void* context) {
  // A signal that somebody sent has no address.
  const DeviceMemory* memory = info->si_code > 0 ? FindMemory(info->si_addr) : nullptr;
  if (memory != nullptr) {
    // The process is lost: formatting (which allocates) is a risk worth a readable last word.
    const std::string text = Format(
        "SoftNPU: host code dereferenced device memory at %p: %s. A device pointer is not host "
        "memory; copy it with aclrtMemcpy or tensor.cpu(). (SOFTNPU_HOST_VISIBLE=1 permits it.)\n",
        info->si_addr, memory->Describe(info->si_addr).c_str());
    const ssize_t ignored = write(STDERR_FILENO, text.data(), text.size());
    (void)ignored;
  }
  PassOn(signal_number, info, context, signal_number == SIGSEGV ? g_previous_segv : g_previous_bus);
}

}  // namespace

void InstallFaultReporter() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = OnFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &g_previous_segv);
    sigaction(SIGBUS, &action, &g_previous_bus);
  });
}

}  // namespace softnpu
