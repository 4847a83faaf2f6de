// cc/softnpu/runtime/trace_test.cc: the event and counter files, read as python/softnpu/trace.py
// does.
#include "cc/softnpu/runtime/trace.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace softnpu {
namespace {

// Before the options are read, which is once per process.
const bool g_directory_set = [] {
  setenv("SOFTNPU_STATE_DIR", getenv("TEST_TMPDIR") != nullptr ? getenv("TEST_TMPDIR") : "/tmp", 1);
  setenv("SOFTNPU_TRACE_TASKS", "5000", 0);
  return true;
}();

struct Header {
  char magic[8];
  uint64_t capacity, used, pid, started;
  char reserved[24];
};
struct Event {
  int64_t start, end;
  int32_t device;
  uint32_t stream, kind, spare;
  char name[64];
};
struct Counter {
  uint64_t value;
  uint32_t kind;
  char name[52];
};

template <typename Record>
struct Contents {
  Header header;
  std::vector<Record> records;
};

template <typename Record>
Contents<Record> Read(pid_t pid, const char* suffix) {
  std::ifstream in(std::string(getenv("SOFTNPU_STATE_DIR")) + "/" + std::to_string(pid) + suffix,
                   std::ios::binary);
  Contents<Record> out;
  EXPECT_TRUE(in.read(reinterpret_cast<char*>(&out.header), sizeof(Header)));
  EXPECT_EQ(out.header.pid, static_cast<uint64_t>(pid));
  out.records.resize(std::min(out.header.used, out.header.capacity));
  const auto bytes = static_cast<std::streamsize>(out.records.size() * sizeof(Record));
  EXPECT_TRUE(in.read(reinterpret_cast<char*>(out.records.data()), bytes) || bytes == 0);
  return out;
}

// Runs `body` in a process that is then killed: files belong to a process and outlive it.
pid_t InChild(const std::function<void()>& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    ForgetTraceAfterFork();
    body();
    raise(SIGKILL);
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  return pid;
}

TEST(Trace, SlicesAreRecords) {
  const std::string long_name(100, 'x');
  const pid_t pid = InChild([&] {
    TraceSlice(EventKind::kKernel, 3, 17, "rotary", 1000, 2000);
    TraceSlice(EventKind::kCopy, 0, 0, long_name, 5, 6);
  });
  const auto events = Read<Event>(pid, ".events");
  EXPECT_EQ(std::memcmp(events.header.magic, "SNPUEVT2", 8), 0);
  ASSERT_EQ(events.records.size(), 2u);
  const Event& event = events.records[0];
  EXPECT_EQ(event.start, 1000);
  EXPECT_EQ(event.end, 2000);
  EXPECT_EQ(event.device, 3);
  EXPECT_EQ(event.stream, 17u);
  EXPECT_EQ(event.kind, 0u);
  EXPECT_STREQ(event.name, "rotary");
  EXPECT_EQ(events.records[1].kind, 2u);
  EXPECT_EQ(std::string(events.records[1].name), long_name.substr(0, 63));
}

TEST(Trace, SlicesOfManyThreadsAreAllThere) {
  const pid_t pid = InChild([] {
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < 4; ++t) {
      threads.emplace_back([t] {
        for (int i = 1; i <= 1000; ++i) TraceSlice(EventKind::kOperator, 0, t, "op", i, i + 1);
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  const auto events = Read<Event>(pid, ".events");
  ASSERT_EQ(events.records.size(), 4000u);
  std::vector<int64_t> last(4, 0);
  for (const Event& event : events.records) {
    EXPECT_EQ(event.start, ++last[event.stream]);  // each thread's slices in its order
    EXPECT_EQ(event.end, event.start + 1);
  }
}

TEST(Trace, TheLatestSlicesAreKept) {
  const pid_t pid = InChild([] {
    for (int i = 1; i <= 12345; ++i) TraceSlice(EventKind::kOperator, 0, 0, "op", i, i + 1);
  });
  const auto events = Read<Event>(pid, ".events");
  EXPECT_EQ(events.header.capacity, 5000u);
  EXPECT_EQ(events.header.used, 12345u);
  ASSERT_EQ(events.records.size(), 5000u);
  // The oldest lies where the next one would go.
  for (size_t i = 0; i < 5000; ++i) {
    EXPECT_EQ(events.records[(12345 + i) % 5000].start, 7346 + static_cast<int64_t>(i));
  }
}

TEST(Trace, WithoutATraceThereAreCountersOnly) {
  // The options are read once per process: a new program.
  const pid_t pid = fork();
  if (pid == 0) {
    setenv("SOFTNPU_TRACE_TASKS", "0", 1);
    execl("/proc/self/exe", "trace_test", "--gtest_also_run_disabled_tests",
          "--gtest_filter=Trace.DISABLED_OneTask", nullptr);
    _exit(99);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(Read<Counter>(pid, ".counts").records.size(), 1u);
  EXPECT_FALSE(std::ifstream(std::string(getenv("SOFTNPU_STATE_DIR")) + "/" + std::to_string(pid) +
                             ".events")
                   .good());
}

TEST(Trace, DISABLED_OneTask) {
  TraceSlice(EventKind::kKernel, 0, 0, "kernel", 1, 2);
  Count(EventKind::kKernel, "kernel");
}

TEST(Trace, AProcessGoesOnWithItsOwnFilesOnly) {
  const pid_t pid = InChild([] {
    Count(EventKind::kHost, "mine");
    TraceSlice(EventKind::kHost, 0, 0, "mine", 1, 2);
    ForgetTraceAfterFork();  // as a program has it after an exec
    Count(EventKind::kHost, "mine");
    TraceSlice(EventKind::kHost, 0, 0, "mine", 3, 4);
  });
  auto counters = Read<Counter>(pid, ".counts");
  EXPECT_EQ(counters.records[0].value, 2u);
  EXPECT_EQ(Read<Event>(pid, ".events").records.size(), 2u);
  const std::string directory = getenv("SOFTNPU_STATE_DIR");
  usleep(50000);  // a process start is known in ticks of 10 ms
  const pid_t other = InChild([&] {
    // Files that another process with this process id has left.
    for (const char* suffix : {".counts", ".events"}) {
      std::ifstream in(directory + "/" + std::to_string(pid) + suffix, std::ios::binary);
      std::ofstream(directory + "/" + std::to_string(getpid()) + suffix, std::ios::binary)
          << in.rdbuf();
    }
    Count(EventKind::kHost, "other");
    TraceSlice(EventKind::kHost, 0, 0, "other", 5, 6);
  });
  counters = Read<Counter>(other, ".counts");
  ASSERT_EQ(counters.records.size(), 1u);
  EXPECT_STREQ(counters.records[0].name, "other");
  const auto events = Read<Event>(other, ".events");
  ASSERT_EQ(events.records.size(), 1u);
  EXPECT_STREQ(events.records[0].name, "other");
}

TEST(Trace, CountersAreByKindAndName) {
  const pid_t pid = InChild([] {
    Count(EventKind::kKernel, "same");
    for (int i = 0; i < 5; ++i) Count(EventKind::kOperator, "same");
    Count(EventKind::kHost, "other");
  });
  const auto counters = Read<Counter>(pid, ".counts");
  EXPECT_EQ(std::memcmp(counters.header.magic, "SNPUCNT2", 8), 0);
  ASSERT_EQ(counters.records.size(), 3u);
  EXPECT_EQ(counters.records[0].value, 1u);
  EXPECT_EQ(counters.records[0].kind, 0u);
  EXPECT_STREQ(counters.records[0].name, "same");
  EXPECT_EQ(counters.records[1].value, 5u);
  EXPECT_EQ(counters.records[1].kind, 1u);
  EXPECT_EQ(counters.records[2].kind, 4u);
  EXPECT_STREQ(counters.records[2].name, "other");
}

TEST(Trace, LongNamesAreCutAndStillCounted) {
  const std::string name(52, 'y');
  const pid_t pid = InChild([&] {
    Count(EventKind::kHost, name);
    Count(EventKind::kHost, name);
    Count(EventKind::kHost, name.substr(0, 51));
  });
  const auto counters = Read<Counter>(pid, ".counts");
  ASSERT_EQ(counters.records.size(), 1u);
  EXPECT_EQ(counters.records[0].value, 3u);
  EXPECT_EQ(std::string(counters.records[0].name), name.substr(0, 51));
}

TEST(Trace, MoreCountersThanThereIsRoomForMarkTheFileAsIncomplete) {
  const pid_t full = InChild([] {
    for (int i = 0; i < 4096; ++i) Count(EventKind::kHost, std::to_string(i));
  });
  EXPECT_EQ(Read<Counter>(full, ".counts").header.used, 4096u);
  const pid_t over = InChild([] {
    for (int i = 0; i < 4100; ++i) Count(EventKind::kHost, std::to_string(i));
    Count(EventKind::kHost, "4095");  // those that are there go on counting
    Count(EventKind::kHost, "4096");
  });
  const auto counters = Read<Counter>(over, ".counts");
  EXPECT_EQ(counters.header.capacity, 4096u);
  EXPECT_GT(counters.header.used, counters.header.capacity);
  ASSERT_EQ(counters.records.size(), 4096u);
  EXPECT_STREQ(counters.records[4095].name, "4095");
  EXPECT_EQ(counters.records[4095].value, 2u);
}

}  // namespace
}  // namespace softnpu
