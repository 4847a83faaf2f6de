// cc/softnpu/runtime/trace.cc: memory-mapped event and counter files.
#include "cc/softnpu/runtime/trace.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>

#include "cc/softnpu/runtime/options.h"

namespace softnpu {
namespace {

constexpr char kEventMagic[8] = {'S', 'N', 'P', 'U', 'E', 'V', 'T', '1'};
constexpr char kCountMagic[8] = {'S', 'N', 'P', 'U', 'C', 'N', 'T', '1'};
constexpr uint64_t kMaxEvents = uint64_t{1}
                                << 21;  // 192 MiB of sparse file; more are counted as dropped
constexpr uint64_t kMaxCounters = 4096;

struct Header {
  char magic[8];
  uint64_t capacity;
  std::atomic<uint64_t> used;  // records asked for; more than `capacity` means some were dropped
  uint64_t pid;
  char reserved[32];
};
static_assert(sizeof(Header) == 64);

struct EventRecord {
  int64_t start_ns;
  int64_t end_ns;
  int32_t device;
  uint32_t stream;
  uint32_t kind;
  uint32_t reserved;
  char name[64];
};
static_assert(sizeof(EventRecord) == 96);

struct Counter {
  std::atomic<uint64_t> value;
  uint32_t kind;
  char name[52];
};
static_assert(sizeof(Counter) == 64);

template <typename Record>
struct MappedFile {
  Header* header = nullptr;
  Record* records = nullptr;

  void Open(const char* suffix, const char (&magic)[8], uint64_t capacity) {
    const std::string path = GetOptions().state_dir + "/" + std::to_string(getpid()) + suffix;
    const size_t bytes = sizeof(Header) + capacity * sizeof(Record);
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
      std::fprintf(stderr, "SoftNPU: cannot write %s (%s); this process is not traced\n",
                   path.c_str(), strerror(errno));
      if (fd >= 0) close(fd);
      return;
    }
    void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) return;
    header = static_cast<Header*>(map);
    std::memcpy(header->magic, magic, sizeof(magic));
    header->capacity = capacity;
    header->pid = static_cast<uint64_t>(getpid());
    records = reinterpret_cast<Record*>(header + 1);
  }
};

struct Files {
  MappedFile<EventRecord> events;
  MappedFile<Counter> counters;
  std::mutex counter_mutex;
};

std::atomic<Files*> g_files;
std::mutex g_open_mutex;

Files* GetFiles() {
  Files* files = g_files.load(std::memory_order_acquire);
  if (files != nullptr || GetOptions().state_dir.empty()) return files;
  std::lock_guard<std::mutex> lock(g_open_mutex);
  files = g_files.load(std::memory_order_acquire);
  if (files == nullptr) {
    files = new Files;  // lives as long as the process: tasks may end after static destruction
    files->events.Open(".events", kEventMagic, kMaxEvents);
    files->counters.Open(".counts", kCountMagic, kMaxCounters);
    g_files.store(files, std::memory_order_release);
  }
  return files;
}

void CopyName(char* target, size_t size, std::string_view name) {
  const size_t length = std::min(size - 1, name.size());
  std::memcpy(target, name.data(), length);
  target[length] = '\0';
}

}  // namespace

int64_t NowNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void TraceSlice(EventKind kind, int device, uint32_t stream, std::string_view name,
                int64_t start_ns, int64_t end_ns) {
  Files* files = GetFiles();
  if (files == nullptr || files->events.header == nullptr) return;
  const uint64_t index = files->events.header->used.fetch_add(1, std::memory_order_relaxed);
  if (index >= kMaxEvents) return;
  EventRecord& record = files->events.records[index];
  record.end_ns = end_ns;
  record.device = device;
  record.stream = stream;
  record.kind = static_cast<uint32_t>(kind);
  CopyName(record.name, sizeof(record.name), name);
  // A reader takes a record as complete once start_ns is set.
  std::atomic_ref<int64_t>(record.start_ns).store(start_ns, std::memory_order_release);
}

void Count(EventKind kind, std::string_view name) {
  Files* files = GetFiles();
  if (files == nullptr || files->counters.header == nullptr) return;
  name = name.substr(0, sizeof(Counter::name) - 1);
  std::lock_guard<std::mutex> lock(files->counter_mutex);
  Header* header = files->counters.header;
  const uint64_t used = header->used.load(std::memory_order_relaxed);
  for (uint64_t i = 0; i < std::min(used, kMaxCounters); ++i) {
    Counter& counter = files->counters.records[i];
    if (counter.kind == static_cast<uint32_t>(kind) && name == counter.name) {
      counter.value.fetch_add(1, std::memory_order_relaxed);
      return;
    }
  }
  if (used >= kMaxCounters) {
    header->used.store(kMaxCounters + 1, std::memory_order_release);
    return;
  }
  Counter& counter = files->counters.records[used];
  counter.kind = static_cast<uint32_t>(kind);
  CopyName(counter.name, sizeof(counter.name), name);
  counter.value.store(1, std::memory_order_relaxed);
  header->used.store(used + 1, std::memory_order_release);
}

void ForgetTraceAfterFork() { g_files.store(nullptr); }

}  // namespace softnpu
