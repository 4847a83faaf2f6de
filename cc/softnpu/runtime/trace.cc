// cc/softnpu/runtime/trace.cc: memory-mapped event and counter files.
#include "cc/softnpu/runtime/trace.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>

#include "cc/softnpu/runtime/options.h"

namespace softnpu {
namespace {

constexpr char kEventMagic[8] = {'S', 'N', 'P', 'U', 'E', 'V', 'T', '2'};
constexpr char kCountMagic[8] = {'S', 'N', 'P', 'U', 'C', 'N', 'T', '2'};
constexpr uint64_t kMaxCounters = 4096;

struct Header {
  char magic[8];
  uint64_t capacity;
  std::atomic<uint64_t> used;  // records asked for; more than `capacity` means some were dropped
  uint64_t pid;
  uint64_t started;  // of the process: with `pid` it tells it from all others since the host's boot
  char reserved[24];
};
static_assert(sizeof(Header) == 64);

struct EventRecord {
  int64_t start_ns;
  int64_t end_ns;
  int32_t device;
  uint32_t stream;
  uint32_t kind;
  uint32_t modelled_ns;
  char name[64];
};
static_assert(sizeof(EventRecord) == 96);

struct Counter {
  std::atomic<uint64_t> value;
  uint32_t kind;
  char name[52];
};
static_assert(sizeof(Counter) == 64);

// Clock ticks from the host's boot to the start of this process; 0 when /proc does not tell.
uint64_t ProcessStart() {
  std::ifstream in("/proc/self/stat");
  std::string text;
  std::getline(in, text);
  // Field 22; field 2 is a name in parentheses that may hold anything.
  std::istringstream fields(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  uint64_t ticks = 0;
  fields >> ticks;
  return ticks;
}

template <typename Record>
struct MappedFile {
  Header* header = nullptr;
  Record* records = nullptr;

  void Open(const char* suffix, const char (&magic)[8], uint64_t capacity, const char* lost) {
    const std::string path = GetOptions().state_dir + "/" + std::to_string(getpid()) + suffix;
    const uint64_t started = ProcessStart();
    void* map = MAP_FAILED;
    int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
      map = Map(fd, capacity);
      const Header* const before = static_cast<Header*>(map);
      if (map != MAP_FAILED &&
          (std::memcmp(before->magic, magic, sizeof(magic)) != 0 || started == 0 ||
           before->started != started || before->capacity != capacity)) {
        munmap(map, Bytes(capacity));
        map = MAP_FAILED;
      }
      close(fd);
    }
    if (map == MAP_FAILED) {
      // Another file under this name: a process that still has the old one keeps it.
      unlink(path.c_str());
      fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
      if (fd >= 0 && ftruncate(fd, static_cast<off_t>(Bytes(capacity))) == 0) {
        map = Map(fd, capacity);
      }
      const int error = errno;
      if (fd >= 0) close(fd);
      if (map == MAP_FAILED) {
        std::fprintf(stderr, "SoftNPU: cannot write %s (%s); %s\n", path.c_str(), strerror(error),
                     lost);
        return;
      }
    }
    header = static_cast<Header*>(map);
    header->capacity = capacity;
    header->pid = static_cast<uint64_t>(getpid());
    header->started = started;
    // Last: without it a reader takes the file for an empty one.
    std::atomic_thread_fence(std::memory_order_release);
    std::memcpy(header->magic, magic, sizeof(magic));
    records = reinterpret_cast<Record*>(header + 1);
  }

 private:
  static size_t Bytes(uint64_t capacity) { return sizeof(Header) + capacity * sizeof(Record); }
  // MAP_FAILED, too, for a file of another size.
  static void* Map(int fd, uint64_t capacity) {
    struct stat info;
    if (fstat(fd, &info) != 0 || static_cast<size_t>(info.st_size) != Bytes(capacity)) {
      return MAP_FAILED;
    }
    return mmap(nullptr, Bytes(capacity), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
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
    if (GetOptions().trace_tasks > 0) {
      files->events.Open(".events", kEventMagic, GetOptions().trace_tasks,
                         "this process is not traced");
    }
    files->counters.Open(".counts", kCountMagic, kMaxCounters,
                         "what this process runs is not counted");
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
                int64_t start_ns, int64_t end_ns, uint32_t modelled_ns) {
  Files* files = GetFiles();
  if (files == nullptr || files->events.header == nullptr) return;
  Header* header = files->events.header;
  const uint64_t index = header->used.fetch_add(1, std::memory_order_relaxed);
  EventRecord& record = files->events.records[index % header->capacity];
  const std::atomic_ref<int64_t> start(record.start_ns);
  // A reader takes a record as complete while start_ns is not 0. What stood here is dropped.
  start.store(0, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  record.end_ns = end_ns;
  record.device = device;
  record.stream = stream;
  record.kind = static_cast<uint32_t>(kind);
  record.modelled_ns = modelled_ns;
  CopyName(record.name, sizeof(record.name), name);
  start.store(start_ns, std::memory_order_release);
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
