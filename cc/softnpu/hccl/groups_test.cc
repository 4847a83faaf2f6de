// cc/softnpu/hccl/groups_test.cc: many communicators, one after another, leave nothing behind.
// GROUPS_MADE of them, 300 where it is not set.
#include <dirent.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/hccl/types.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu::hccl {
namespace {

constexpr uint32_t kRanks = 4;

int64_t EntriesOf(const char* directory) {
  int64_t count = 0;
  DIR* const open = opendir(directory);
  while (readdir(open) != nullptr) ++count;
  closedir(open);
  return count;
}

struct Use {
  int64_t descriptors = EntriesOf("/proc/self/fd");
  int64_t threads = EntriesOf("/proc/self/task");
  int64_t mappings = 0;
  int64_t kilobytes = 0;

  Use() {
    std::string line;
    for (std::ifstream maps("/proc/self/maps"); std::getline(maps, line);) ++mappings;
    int64_t all = 0;
    std::ifstream("/proc/self/statm") >> all >> kilobytes;
    kilobytes *= sysconf(_SC_PAGESIZE) / 1024;
  }
};

// Threads that were told to end may take a moment.
Use Settled(int64_t threads) {
  for (int i = 0; i < 200; ++i) {
    if (EntriesOf("/proc/self/task") <= threads) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  malloc_trim(0);
  return Use();
}

// A communicator of all devices, one sum on each, and the end of it.
void MakeAndDestroy(float* const* buffers) {
  int32_t devices[kRanks] = {0, 1, 2, 3};
  void* comms[kRanks] = {};
  ASSERT_EQ(HcclCommInitAll(kRanks, devices, comms), 0) << softnpu_message();
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    ASSERT_EQ(HcclAllReduce(buffers[rank], buffers[rank], 64, static_cast<int32_t>(DType::kFloat32),
                            2, comms[rank], nullptr),
              0);
  }
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    GetDevice(static_cast<int>(rank)).Synchronize(-1);
  }
  for (void* const comm : comms) ASSERT_EQ(HcclCommDestroy(comm), 0);
}

TEST(Groups, LeaveNothingBehind) {
  const char* const asked = std::getenv("GROUPS_MADE");
  const int groups = asked == nullptr ? 300 : std::atoi(asked);
  SetCurrentDevice(0);
  float* buffers[kRanks];
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    DeviceMemory& memory = GetDevice(static_cast<int>(rank)).memory();
    buffers[rank] = static_cast<float*>(memory.Allocate(64 * sizeof(float)));
    memory.NoteWritten(softnpu::Bytes("values", buffers[rank], 64 * sizeof(float), SOFTNPU_WRITES));
  }
  // The first ones start the streams' threads and fill what is kept for the next.
  for (int i = 0; i < 50; ++i) MakeAndDestroy(buffers);
  const Use before = Settled(2 * kRanks + 2);
  for (int i = 0; i < groups; ++i) MakeAndDestroy(buffers);
  const Use after = Settled(before.threads);
  EXPECT_LE(after.descriptors, before.descriptors);
  EXPECT_LE(after.threads, before.threads);
  // The allocator's own.
  EXPECT_LE(after.mappings, before.mappings + 16);
  EXPECT_LE(after.kilobytes, before.kilobytes + 4096);
  std::printf("%d groups: %lld descriptors, %lld threads, %lld mappings, %lld KiB; %lld KiB more\n",
              groups, static_cast<long long>(after.descriptors),
              static_cast<long long>(after.threads), static_cast<long long>(after.mappings),
              static_cast<long long>(after.kilobytes),
              static_cast<long long>(after.kilobytes - before.kilobytes));
}

}  // namespace
}  // namespace softnpu::hccl
