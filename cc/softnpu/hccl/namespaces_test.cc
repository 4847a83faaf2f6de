// cc/softnpu/hccl/namespaces_test.cc: two processes, each in a network namespace of its own, as in
// two containers that share their processes and /tmp.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <thread>

#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/hccl/types.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu::hccl {
namespace {

constexpr uint32_t kRanks = 2;
constexpr uint64_t kCount = 4;

struct Board {
  std::atomic<bool> ready;
  char info[kRootInfoBytes];
  char name_space[kRanks][64];
  float sums[kRanks][kCount];
  char said[kRanks][1500];
};

// Puts this process into a network namespace without any interface; empty, or why not.
std::string Leave() {
  const uid_t user = geteuid();
  // Who may not do so has all rights in a user namespace of its own.
  if (unshare(CLONE_NEWNET) == 0) return "";
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return strerror(errno);
  std::ofstream("/proc/self/uid_map") << user << " " << user << " 1";
  return geteuid() == user ? "" : "the user has no number in a namespace of its own";
}

std::string Work(uint32_t rank, Board& board) {
  const std::string own = std::filesystem::read_symlink("/proc/self/ns/net");
  CopyText(board.name_space[rank], sizeof(board.name_space[rank]), own);
  SetCurrentDevice(static_cast<int>(rank));
  Device& device = GetDevice(static_cast<int>(rank));
  if (rank == 0) {
    if (HcclGetRootInfo(board.info) != 0) return OwnMessage();
    board.ready = true;
  }
  while (!board.ready) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  void* comm = nullptr;
  if (HcclCommInitRootInfo(kRanks, board.info, rank, &comm) != 0) return OwnMessage();
  DeviceMemory& memory = device.memory();
  void* const buffer = memory.Allocate(2 * sizeof(float) * kCount);
  auto* const values = reinterpret_cast<float*>(memory.Alias(buffer));
  for (uint64_t i = 0; i < kCount; ++i) values[i] = static_cast<float>((rank + 1) * (i + 1));
  memory.NoteWritten(softnpu::Bytes("x", buffer, sizeof(float) * kCount, SOFTNPU_WRITES));
  void* const sum = static_cast<float*>(buffer) + kCount;
  if (HcclAllReduce(buffer, sum, kCount, static_cast<int32_t>(DType::kFloat32),
                    static_cast<int32_t>(Reduction::kSum), comm, nullptr) != 0) {
    return OwnMessage();
  }
  try {
    device.Synchronize(-1);
  } catch (const Error& error) {
    return error.what();
  }
  std::memcpy(board.sums[rank], values + kCount, sizeof(board.sums[rank]));
  return HcclCommDestroy(comm) == 0 ? "" : OwnMessage();
}

TEST(Namespaces, RanksOfTwoNetworkNamespacesMeet) {
  void* const page =
      mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto* const board = new (page) Board();
  constexpr int kForbidden = 77;
  pid_t children[kRanks];
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    children[rank] = fork();
    if (children[rank] != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::string said = Leave();
    const bool left = said.empty();
    if (left) said = Work(rank, *board);
    CopyText(board->said[rank], sizeof(board->said[rank]), said);
    // Nobody needs to wait for a rank that does not come.
    if (!left) board->ready = true;
    _exit(left ? 0 : kForbidden);
  }
  bool forbidden = false;
  for (const pid_t child : children) {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << status;
    forbidden = forbidden || WEXITSTATUS(status) == kForbidden;
  }
  if (forbidden) {
    GTEST_SKIP() << "the system gives no network namespaces: " << board->said[0];
  }
  EXPECT_STRNE(board->name_space[0], board->name_space[1]);
  EXPECT_NE(board->name_space[0], std::filesystem::read_symlink("/proc/self/ns/net").string());
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    EXPECT_STREQ(board->said[rank], "") << "rank " << rank;
    for (uint64_t i = 0; i < kCount; ++i) {
      EXPECT_EQ(board->sums[rank][i], static_cast<float>(3 * (i + 1))) << "rank " << rank;
    }
  }
  munmap(page, sizeof(Board));
}

}  // namespace
}  // namespace softnpu::hccl
