// cc/softnpu/runtime/memory_test.cc: allocator, bounds and messages of device memory.
#include "cc/softnpu/runtime/memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/base/testing/error.h"
#include "cc/softnpu/runtime/task.h"

namespace softnpu {
namespace {

using ::testing::HasSubstr;

constexpr size_t kCapacity = 64 << 10;
constexpr size_t kUnit = 512;  // alignment, and what the smallest allocation takes
constexpr size_t kGap = 32;    // belongs to nobody, behind every allocation

std::byte* At(void* address, size_t offset) { return static_cast<std::byte*>(address) + offset; }

// The Error of `body`, as "code sentence"; "" when there is none.
TEST(DeviceMemory, AllocationsAreAlignedApartAndPoisoned) {
  DeviceMemory memory(0, kCapacity);
  std::set<uintptr_t> starts;
  uintptr_t end = 0;
  for (const size_t bytes : {size_t{1}, kUnit - kGap, kUnit - kGap + 1, kUnit, size_t{5000}}) {
    void* address = memory.Allocate(bytes);
    const auto start = reinterpret_cast<uintptr_t>(address);
    EXPECT_EQ(start % kUnit, 0u);
    if (end != 0) {
      EXPECT_GE(start, end + kGap);
    }
    end = start + bytes;
    EXPECT_TRUE(starts.insert(start).second);
    const std::byte* host = memory.Alias(address);
    EXPECT_TRUE(std::all_of(host, host + bytes, [](std::byte b) { return b == std::byte{0xFF}; }));
  }
  EXPECT_EQ(memory.used(), kUnit * (1 + 1 + 2 + 2 + 10));
}

TEST(DeviceMemory, TheGapBehindAnAllocationIsNobodys) {
  DeviceMemory memory(0, kCapacity);
  void* first = memory.Allocate(kUnit - kGap);
  void* second = memory.Allocate(8);
  ASSERT_EQ(At(first, kUnit), second);
  for (size_t i = 0; i < kGap; ++i) {
    EXPECT_THROW(memory.Check(At(first, kUnit - kGap + i), 1), Error) << i;
  }
  EXPECT_NO_THROW(memory.Check(second, 1));
}

// Whether this process may read the byte at an address: the kernel looks, so nothing faults.
bool Readable(const void* address) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const bool readable = write(ends[1], address, 1) == 1;
  EXPECT_TRUE(readable || errno == EFAULT);
  close(ends[0]);
  close(ends[1]);
  return readable;
}

TEST(DeviceMemory, PagesAreOpenAsLongAsAKernelNeedsThem) {
  DeviceMemory memory(0, kCapacity);
  void* const address = memory.Allocate(8192);
  const auto page = reinterpret_cast<uintptr_t>(address);
  ASSERT_EQ(page % 4096, 0u);
  EXPECT_FALSE(Readable(address));
  memory.OpenPage(page);
  memory.OpenPage(page);
  EXPECT_TRUE(Readable(address));
  EXPECT_FALSE(Readable(At(address, 4096)));
  *static_cast<char*>(address) = 'x';
  EXPECT_EQ(memory.Alias(address)[0], std::byte{'x'});
  memory.ClosePage(page);
  EXPECT_TRUE(Readable(address));
  memory.ClosePage(page);
  EXPECT_FALSE(Readable(address));
}

TEST(DeviceMemory, ChecksRanges) {
  DeviceMemory memory(0, kCapacity);
  void* address = memory.Allocate(100);
  const Allocation allocation = memory.Check(At(address, 99), 1);
  EXPECT_EQ(allocation.base, reinterpret_cast<uintptr_t>(address));
  EXPECT_EQ(allocation.bytes, 100u);
  EXPECT_NO_THROW(memory.Check(address, 100));
  EXPECT_NO_THROW(memory.Check(At(address, 50), 0));
  const std::string past = ErrorOf([&] { memory.Check(At(address, 60), 41); });
  EXPECT_THAT(past, HasSubstr("507015 device memory access out of bounds: 41 bytes at "));
  EXPECT_THAT(past, HasSubstr("offset 60 of allocation #1 (100 bytes, device 0)"));
  // The end of such a range wraps around.
  EXPECT_THROW(memory.Check(At(address, 60), SIZE_MAX), Error);
  EXPECT_THROW(memory.Check(At(address, 60), SIZE_MAX - 59), Error);
}

TEST(DeviceMemory, DescribesAnyAddress) {
  DeviceMemory memory(3, kCapacity);
  void* first = memory.Allocate(100);
  void* second = memory.Allocate(200);
  EXPECT_EQ(memory.Describe(At(second, 7)), "offset 7 of allocation #2 (200 bytes, device 3)");
  EXPECT_EQ(memory.Describe(At(first, 100)),
            "0 bytes past the end of allocation #1 (100 bytes, device 3)");
  EXPECT_EQ(memory.Describe(At(second, 212)),
            "12 bytes past the end of allocation #2 (200 bytes, device 3)");
  memory.Free(first);
  EXPECT_EQ(memory.Describe(At(first, 12)),
            "offset 12 of the freed allocation #1 (100 bytes, device 3)");
  EXPECT_EQ(memory.Describe(At(first, 100)), "inside no allocation of device 3");
  EXPECT_THAT(ErrorOf([&] { memory.Check(At(first, 12), 4); }), HasSubstr("the freed allocation"));
  // The newest owner of an address is named, living or gone.
  EXPECT_EQ(memory.Allocate(64), first);
  EXPECT_EQ(memory.Describe(At(first, 12)), "offset 12 of allocation #3 (64 bytes, device 3)");
  memory.Free(first);
  EXPECT_EQ(memory.Describe(At(first, 12)),
            "offset 12 of the freed allocation #3 (64 bytes, device 3)");
}

TEST(DeviceMemory, ZeroBytesHaveAnAddressOfTheirOwn) {
  DeviceMemory memory(0, kCapacity);
  void* first = memory.Allocate(0);
  void* second = memory.Allocate(0);
  EXPECT_NE(first, second);
  EXPECT_NO_THROW(memory.Check(first, 0));
  EXPECT_THROW(memory.Check(first, 1), Error);
  EXPECT_EQ(memory.Describe(first), "offset 0 of allocation #1 (0 bytes, device 0)");
  memory.Free(first);
  memory.Free(second);
  EXPECT_EQ(memory.used(), 0u);
}

TEST(DeviceMemory, OnlyTheStartOfALiveAllocationIsFreed) {
  DeviceMemory memory(0, kCapacity);
  void* address = memory.Allocate(100);
  int host = 0;
  for (void* wrong : {static_cast<void*>(At(address, 1)), static_cast<void*>(At(address, kUnit)),
                      static_cast<void*>(&host), static_cast<void*>(nullptr)}) {
    EXPECT_THAT(ErrorOf([&] { memory.Free(wrong); }),
                HasSubstr("is not the start of a live allocation of device 0"));
  }
  memory.Free(address);
  EXPECT_THAT(ErrorOf([&] { memory.Free(address); }), ::testing::StartsWith("107000 "));
  EXPECT_EQ(memory.used(), 0u);
}

TEST(DeviceMemory, ExhaustionSaysHowMuch) {
  DeviceMemory memory(2, kCapacity);
  memory.Allocate(kUnit);
  const std::string text = ErrorOf([&] { memory.Allocate(kCapacity - kUnit); });
  EXPECT_EQ(text, "207001 device 2 is out of memory: 65024 bytes asked for, 1024 of 65536 in use");
  // Sizes whose sum with the gap wraps around.
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX - kGap, SIZE_MAX - kGap + 1, SIZE_MAX - kUnit}) {
    EXPECT_THAT(ErrorOf([&] { memory.Allocate(bytes); }), HasSubstr("is out of memory")) << bytes;
  }
  EXPECT_EQ(memory.used(), 2 * kUnit);
  EXPECT_NE(memory.Allocate(kCapacity - 2 * kUnit - kGap), nullptr);
}

TEST(DeviceMemory, FreedNeighboursBecomeOneRange) {
  std::mt19937 random(1);
  DeviceMemory memory(0, kCapacity);
  for (int round = 0; round < 50; ++round) {
    std::vector<void*> all;
    for (size_t i = 0; i < kCapacity / kUnit; ++i) all.push_back(memory.Allocate(1));
    EXPECT_THROW(memory.Allocate(1), Error);
    std::shuffle(all.begin(), all.end(), random);
    for (void* address : all) memory.Free(address);
    memory.Free(memory.Allocate(kCapacity - kGap));  // fits only into one piece
  }
  EXPECT_EQ(memory.used(), 0u);
}

// Random traffic against what a list of live ranges says; contents survive their neighbours.
TEST(DeviceMemory, LiveAllocationsNeverMeet) {
  std::mt19937 random(2);
  DeviceMemory memory(0, kCapacity);
  struct Block {
    std::byte* address;
    size_t bytes;
    std::byte value;
  };
  std::vector<Block> live;
  size_t exhausted = 0;
  for (int step = 0; step < 5000; ++step) {
    if (live.empty() || random() % 5 < 3) {
      const size_t bytes = random() % 6000;
      try {
        auto* address = static_cast<std::byte*>(memory.Allocate(bytes));
        for (const Block& other : live) {
          EXPECT_TRUE(address + bytes + kGap <= other.address ||
                      other.address + other.bytes + kGap <= address);
        }
        const auto value = static_cast<std::byte>(random());
        std::memset(memory.Alias(address), static_cast<int>(value), bytes);
        live.push_back({address, bytes, value});
      } catch (const Error&) {
        ++exhausted;
      }
    } else {
      std::swap(live[random() % live.size()], live.back());
      const Block block = live.back();
      live.pop_back();
      const std::byte* host = memory.Alias(block.address);
      EXPECT_TRUE(std::all_of(host, host + block.bytes,
                              [&block](std::byte b) { return b == block.value; }));
      memory.Free(block.address);
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(exhausted, 0u);
}

TEST(DeviceMemory, AddressesOfDevicesAndOfTheHostAreTold) {
  int host = 0;
  void* address = nullptr;
  {
    DeviceMemory first(0, kCapacity);
    DeviceMemory second(7, kCapacity);
    address = first.Allocate(8);
    EXPECT_EQ(FindMemory(address), &first);
    EXPECT_EQ(FindMemory(second.Allocate(8)), &second);
    EXPECT_EQ(FindMemory(&host), nullptr);
    EXPECT_EQ(HostPointer(&host, 4), reinterpret_cast<std::byte*>(&host));
    EXPECT_EQ(HostPointer(address, 8), first.Alias(address));
    EXPECT_NE(static_cast<void*>(first.Alias(address)), address);
    EXPECT_THROW(HostPointer(address, 9), Error);
  }
  EXPECT_EQ(FindMemory(address), nullptr);
}

// The numbers of processes that have a file, by /proc: in their mappings or open.
std::vector<pid_t> HoldersOf(const struct stat& file) {
  std::vector<pid_t> out;
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(process.path().filename().c_str());
    bool holds = false;
    std::string line;
    for (std::ifstream maps(process.path() / "maps"); pid > 0 && std::getline(maps, line);) {
      holds = holds || (line.find(" " + std::to_string(file.st_ino) + " ") != std::string::npos &&
                        line.find("/memfd:softnpu-") != std::string::npos);
    }
    std::error_code none;
    for (const auto& open : std::filesystem::directory_iterator(process.path() / "fd", none)) {
      struct stat info = {};
      holds = holds || (stat(open.path().c_str(), &info) == 0 && info.st_dev == file.st_dev &&
                        info.st_ino == file.st_ino);
    }
    if (holds) out.push_back(pid);
  }
  return out;
}

// Starts a process that runs `body` and waits for its end.
template <typename Body>
pid_t Start(Body&& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    while (true) pause();
  }
  return child;
}

void Kill(pid_t child) {
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
}

std::set<std::string> FilesIn(const char* directory) {
  std::set<std::string> out;
  for (const auto& file : std::filesystem::directory_iterator(directory)) out.insert(file.path());
  return out;
}

TEST(DeviceMemory, ItsFilesAreGoneWhenTheLastProcessIsKilled) {
  const std::set<std::string> before = FilesIn("/dev/shm");
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
  const pid_t owner = Start([&] {
    static DeviceMemory memory(0, kCapacity);
    void* const address = memory.Allocate(4);
    std::memcpy(memory.Alias(address), "here", 4);
    memory.NoteWritten(Bytes("address", address, 4, SOFTNPU_WRITES));
    char byte = 0;
    Send(sockets[1], &byte, 1, {memory.fd(), memory.written()->fd()});
  });
  std::vector<Descriptor> files;
  char byte = 0;
  ASSERT_EQ(Receive(sockets[0], &byte, 1, files), Receipt::kWhole);
  ASSERT_EQ(files.size(), 2u);
  std::vector<struct stat> held;
  for (const Descriptor& file : files) {
    struct stat info = {};
    ASSERT_EQ(fstat(file.get(), &info), 0);
    held.push_back(info);
    // No directory has it, and its owner alone may open it.
    EXPECT_EQ(info.st_nlink, 0u);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    EXPECT_EQ(info.st_uid, geteuid());
  }
  // Another process has mapped it, as a rank does.
  const pid_t other = Start([&] {
    mmap(nullptr, kCapacity, PROT_READ, MAP_SHARED, files[0].get(), 0);
    mmap(nullptr, kCapacity, PROT_READ, MAP_SHARED, files[1].get(), 0);
    Send(sockets[1], &byte, 1, {});
  });
  std::vector<Descriptor> none;
  ASSERT_EQ(Receive(sockets[0], &byte, 1, none), Receipt::kWhole);
  Kill(owner);
  char text[4];
  EXPECT_EQ(pread(files[0].get(), text, sizeof(text), 0), 4);
  EXPECT_EQ(std::string(text, 4), "here");
  files.clear();
  for (const auto& file : held) EXPECT_THAT(HoldersOf(file), ::testing::ElementsAre(other));
  Kill(other);
  for (const auto& file : held) EXPECT_THAT(HoldersOf(file), ::testing::IsEmpty());
  EXPECT_EQ(FilesIn("/dev/shm"), before);
}

TEST(DeviceMemory, AnotherUserCannotOpenItsFiles) {
  DeviceMemory memory(0, kCapacity);
  const pid_t child = fork();
  if (child == 0) {
    const uid_t nobody = 65534;
    if (setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0) _exit(77);
    prctl(PR_SET_DUMPABLE, 1);  // or nobody could look into /proc/self/fd
    for (const int fd : {memory.fd(), memory.written()->fd()}) {
      const std::string path = "/proc/self/fd/" + std::to_string(fd);
      for (const int mode : {O_RDONLY, O_WRONLY, O_RDWR}) {
        if (open(path.c_str(), mode) >= 0 || errno != EACCES) _exit(3);
      }
    }
    const std::string parent = "/proc/" + std::to_string(getppid()) + "/fd/";
    _exit(open((parent + std::to_string(memory.fd())).c_str(), O_RDONLY) < 0 ? 0 : 4);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "root alone becomes another user; so no sandbox";
  EXPECT_EQ(status, 0);
}

TEST(DeviceMemoryDeathTest, ADereferenceByTheHostIsReported) {
  DeviceMemory memory(0, kCapacity);
  volatile auto* address = static_cast<volatile char*>(memory.Allocate(100));
  EXPECT_DEATH(
      {
        InstallFaultReporter();
        address[8] = 1;
      },
      "host code dereferenced device memory at .*: offset 8 of allocation #1");
}

}  // namespace
}  // namespace softnpu
