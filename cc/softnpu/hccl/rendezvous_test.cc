// cc/softnpu/hccl/rendezvous_test.cc: ranks that cannot join, and others who come to the listener.
#include "cc/softnpu/hccl/rendezvous.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu::hccl {
namespace {

constexpr std::chrono::seconds kTimeoutTime{5};

// A rank whose device is a file of one page.
class Guest {
 public:
  Guest() : file_(memfd_create("memory", MFD_CLOEXEC)) {
    EXPECT_EQ(ftruncate(file_.get(), kBytes), 0);
  }
  Joined Join(const RootInfo& info, uint32_t ranks, uint32_t rank, uint64_t claimed = kBytes) {
    Entry entry;
    entry.ranks = ranks;
    entry.rank = rank;
    entry.member.device = static_cast<int32_t>(rank);
    entry.member.bytes = claimed;
    entry.memory = file_.get();
    return hccl::Join(info, entry, kTimeoutTime, /*early=*/false);
  }

 private:
  static constexpr size_t kBytes = 4096;
  Descriptor file_;
};

// A rank that joins with several root infos; what it says when it fails.
std::string JoinScalable(std::vector<std::array<char, kRootInfoBytes>> infos, uint32_t ranks,
                         uint32_t rank, void** comm) {
  SetCurrentDevice(static_cast<int>(rank));
  const auto roots = static_cast<uint32_t>(infos.size());
  return HcclCommInitRootInfoScalable(ranks, roots, infos.data(), rank, 0, nullptr, comm) == 0
             ? ""
             : OwnMessage();
}

TEST(Scalable, RanksMeetAtTheFirstOfSeveralRoots) {
  SetCurrentDevice(0);
  std::vector<std::array<char, kRootInfoBytes>> infos(2);
  for (auto& info : infos) ASSERT_EQ(HcclGetRootInfoScalable(info.data()), 0);
  void* comms[3] = {};
  std::vector<std::string> said(3);
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] { said[rank] = JoinScalable(infos, 3, rank, &comms[rank]); });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint32_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(said[rank], "");
    EXPECT_EQ(HcclBarrier(comms[rank], nullptr), 0);
  }
  for (uint32_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(GetDevice(static_cast<int>(rank)).Synchronize(-1), true);
    EXPECT_EQ(HcclCommDestroy(comms[rank]), 0);
  }
  // Nobody listens for the second root any more.
  RootInfo second;
  std::memcpy(&second, infos[1].data(), sizeof(second));
  const std::string path = second.Meeting().Path();
  for (int i = 0; i < 100 && std::filesystem::exists(path); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Scalable, RanksWithOtherRootsAreNamed) {
  SetCurrentDevice(0);
  std::vector<std::array<char, kRootInfoBytes>> infos(2);
  for (auto& info : infos) ASSERT_EQ(HcclGetRootInfoScalable(info.data()), 0);
  std::string said[2];
  void* comm = nullptr;
  EXPECT_EQ(HcclCommInitRootInfoScalable(2, 3, infos.data(), 0, 0, nullptr, &comm),
            static_cast<int32_t>(kPara));
  EXPECT_NE(OwnMessage().find("there are 3 roots; 2 ranks have 1 to 2"), std::string::npos);
  EXPECT_EQ(HcclCommInitRootInfoScalable(2, 2, infos.data(), 0, 1, nullptr, &comm),
            static_cast<int32_t>(kPara));
  EXPECT_NE(OwnMessage().find("nExtRoot is 1; it has to be 0"), std::string::npos);
  std::thread other([&] { said[1] = JoinScalable({infos[0]}, 2, 1, &comm); });
  void* first = nullptr;
  said[0] = JoinScalable(infos, 2, 0, &first);
  other.join();
  for (const std::string& one : said) {
    EXPECT_NE(one.find("gives another list of root infos than rank"), std::string::npos) << one;
  }
}

TEST(Rendezvous, ADeviceThatDoesNotExistIsNamedAtOnce) {
  int32_t devices[] = {0, 9};
  void* comms[2] = {};
  const Clock::time_point start = Clock::now();
  EXPECT_EQ(HcclCommInitAll(2, devices, comms), static_cast<int32_t>(kRuntime));
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(2));
  EXPECT_NE(OwnMessage().find("devices[1]: device: "), std::string::npos) << OwnMessage();
  EXPECT_NE(OwnMessage().find(" 9"), std::string::npos) << OwnMessage();
}

TEST(Rendezvous, ARankThatCannotMapTheOthersTellsThem) {
  SetCurrentDevice(0);
  char info[kRootInfoBytes];
  ASSERT_EQ(HcclGetRootInfo(info), 0);
  RootInfo root;
  std::memcpy(&root, info, sizeof(root));
  Guest guest;
  Joined joined;
  std::thread other([&] { joined = guest.Join(root, 2, 1, 1 << 20); });
  void* comm = nullptr;
  EXPECT_EQ(HcclCommInitRootInfo(2, info, 0, &comm), static_cast<int32_t>(kSyscall));
  other.join();
  const auto mapping = Share(joined.control.get(), sizeof(Control));
  const Seat& seat = reinterpret_cast<Control*>(mapping->data())->seats[0];
  EXPECT_EQ(seat.state.load(), State::kFailed);
  EXPECT_STREQ(seat.sentence,
               "it could not join: another rank gave a file of less than 1048576 bytes");
}

TEST(Rendezvous, TheNameIsFreeWhenARankHasItsAnswer) {
  for (int i = 0; i < 300; ++i) {
    const RootInfo info = RootInfo::Make();
    for (int time = 0; time < 2; ++time) {
      ASSERT_NO_THROW(Listen(info, kTimeoutTime)) << i;
      Guest guest;
      ASSERT_NO_THROW(guest.Join(info, 1, 0)) << i;
    }
  }
}

// Runs on one processor, and where `idle`, only while nobody else wants it.
void Settle(bool idle) {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  CPU_SET(sched_getcpu(), &processors);
  ASSERT_EQ(sched_setaffinity(0, sizeof(processors), &processors), 0);
  const sched_param none = {};
  if (idle) ASSERT_EQ(sched_setscheduler(0, SCHED_IDLE, &none), 0);
}

TEST(Rendezvous, AProcessThatHasDiedDisturbsNobody) {
  const RootInfo info = RootInfo::Make();
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  Settle(false);
  // The listener's thread has its creator's scheduling: it looks when the guests have ended.
  std::thread([&] {
    Settle(true);
    Listen(info, kTimeoutTime);
  }).join();
  for (int i = 0; i < 8; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      const Descriptor socket = MakeSocket();
      _exit(ConnectTo(socket.get(), info.Meeting()) == Found::kListener ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  Guest guest;
  EXPECT_NO_THROW(guest.Join(info, 1, 0));
}

TEST(Rendezvous, TooFewFilesAreNamed) {
  const RootInfo info = RootInfo::Make();
  Listen(info, kTimeoutTime);
  const pid_t child = fork();
  if (child == 0) {
    // Three files, that of its memory and its socket leave room for two of the five that come.
    for (int fd = 3; fd < 1024; ++fd) close(fd);
    const rlimit few = {7, 7};
    if (setrlimit(RLIMIT_NOFILE, &few) != 0) _exit(2);
    try {
      Guest guest;
      const Joined joined = guest.Join(info, 2, 1);
      const std::string wanted = Format(
          "process %d may open too few files for a communicator: 2 came (ulimit -n)", getpid());
      _exit(joined.trouble && joined.trouble->what() == wanted && joined.control.get() >= 0 ? 0
                                                                                            : 3);
    } catch (const Error& error) {
      const std::string text = std::string(error.what()) + "\n";
      _exit(write(STDERR_FILENO, text.data(), text.size()) > 0 ? 4 : 5);
    }
  }
  Guest guest;
  EXPECT_FALSE(guest.Join(info, 2, 0).trouble);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace softnpu::hccl
