// cc/softnpu/hccl/killed_test.cc: three processes with a rank each, of which one is killed. The
// others hear of it soon, and nothing is left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/hccl/rendezvous.h"
#include "cc/softnpu/hccl/testing/calls.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu::hccl {
namespace {

using std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr uint32_t kRanks = 3;
constexpr uint64_t kLargest = uint64_t{1} << 18;  // elements of a part

// When the process of a rank ends.
enum class Phase {
  kBeforeJoin,
  kWhileJoining,  // it has come, another rank has not
  kAfterJoin,     // before its first call
  kBetween,       // it has called once, and does not call again
  kDuring,        // at some time while calls run one after another
};

// What a rank calls; messages are no Kind.
enum class What { kCollective, kBatch, kGroup, kSingle };

struct Case {
  Phase phase = Phase::kAfterJoin;
  What what = What::kCollective;
  Kind kind = Kind::kAllReduce;
  uint32_t victim = 1;
};

// What the processes of a case share.
struct Board {
  std::atomic<bool> ready;
  char info[kRootInfoBytes];
  std::atomic<int> came;
  char said[kRanks][1500];  // the error of a survivor
  char left[kRanks][500];   // what it finds left behind
};

int64_t EntriesOf(const char* directory) {
  int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    (void)entry;
    ++count;
  }
  return count;
}

int64_t SharedMappings() {
  int64_t count = 0;
  std::string line;
  for (std::ifstream maps("/proc/self/maps"); std::getline(maps, line);) {
    count += line.find("/memfd:softnpu-") != std::string::npos ? 1 : 0;
  }
  return count;
}

class Rank {
 public:
  Rank(const Case& asked, uint32_t rank, Board& board) : case_(asked), rank_(rank), board_(board) {}

  void Run() {
    SetCurrentDevice(static_cast<int>(rank_));
    DeviceMemory& memory = GetDevice(static_cast<int>(rank_)).memory();
    const size_t bytes = kRanks * kLargest * sizeof(float);
    for (void*& buffer : buffers_) {
      buffer = memory.Allocate(bytes);
      std::memset(memory.Alias(buffer), 0, bytes);
      memory.NoteWritten(softnpu::Bytes("values", buffer, bytes, SOFTNPU_WRITES));
    }
    // The stream has its thread from here on.
    GetDevice(static_cast<int>(rank_))
        .default_stream()
        ->EnqueueAndWait(FillTask{buffers_[0], 0, 4});
    const int64_t descriptors = EntriesOf("/proc/self/fd");
    const int64_t threads = EntriesOf("/proc/self/task");
    const int64_t mappings = SharedMappings();
    const std::string said = Work();
    CopyText(board_.said[rank_], sizeof(board_.said[rank_]), said);
    if (comm_ != nullptr) HcclCommDestroy(comm_);
    GetDevice(static_cast<int>(rank_)).Reset();
    // A listener's thread may take a moment.
    for (int i = 0; i < 200 && EntriesOf("/proc/self/task") > threads; ++i) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    const std::string left =
        Format("%lld descriptors, %lld threads, %lld mappings more",
               static_cast<long long>(EntriesOf("/proc/self/fd") - descriptors),
               static_cast<long long>(EntriesOf("/proc/self/task") - threads),
               static_cast<long long>(SharedMappings() - mappings));
    CopyText(board_.left[rank_], sizeof(board_.left[rank_]), left);
  }

 private:
  bool victim() const { return rank_ == case_.victim; }
  [[noreturn]] static void Die() {
    kill(getpid(), SIGKILL);
    while (true) pause();
  }

  std::string Work() {
    if (rank_ == 0) {
      if (HcclGetRootInfo(board_.info) != 0) return OwnMessage();
      board_.ready = true;
    }
    while (!board_.ready) std::this_thread::sleep_for(milliseconds(1));
    if (case_.phase == Phase::kBeforeJoin && victim()) Die();
    if (case_.phase == Phase::kWhileJoining) {
      if (victim()) {
        std::thread([] {
          std::this_thread::sleep_for(milliseconds(100));
          Die();
        }).detach();
      } else if (rank_ == 2) {
        std::this_thread::sleep_for(milliseconds(300));
      }
    }
    if (HcclCommInitRootInfo(kRanks, board_.info, rank_, &comm_) != 0) {
      comm_ = nullptr;
      return OwnMessage();
    }
    // Rank 0 has its answer first, and answers the others from a thread of its own.
    ++board_.came;
    while (board_.came < static_cast<int>(kRanks)) std::this_thread::sleep_for(milliseconds(1));
    if (case_.phase == Phase::kAfterJoin && victim()) Die();
    if (case_.phase == Phase::kBetween) {
      const std::string end = Call(8);
      if (!end.empty()) return end;
      if (victim()) Die();
    }
    if (case_.phase == Phase::kDuring && victim()) {
      std::thread([] {
        std::this_thread::sleep_for(std::chrono::microseconds(getpid() * 977 % 20000));
        Die();
      }).detach();
    }
    while (true) {
      const std::string end = Call(case_.phase == Phase::kDuring ? kLargest : 8);
      if (!end.empty()) return end;
    }
  }

  // One call, and its end.
  std::string Call(uint64_t count) {
    const auto dtype = static_cast<int32_t>(DType::kFloat32);
    const uint32_t next = (rank_ + 1) % kRanks;
    const uint32_t last = (rank_ + kRanks - 1) % kRanks;
    int32_t code = 0;
    if (case_.what == What::kCollective) {
      code = Ask({.kind = case_.kind, .count = count}, kRanks, rank_, buffers_[0], buffers_[1],
                 comm_, nullptr);
    } else if (case_.what == What::kBatch) {
      SendRecvItem items[] = {{0, buffers_[0], count, dtype, next},
                              {1, buffers_[1], count, dtype, last}};
      code = HcclBatchSendRecv(items, 2, comm_, nullptr);
    } else {
      // A ring: one sends first, so that single messages pass, too.
      if (case_.what == What::kGroup) code = HcclGroupStart();
      if (code == 0 && rank_ != 0) code = HcclRecv(buffers_[1], count, dtype, last, comm_, nullptr);
      if (code == 0) code = HcclSend(buffers_[0], count, dtype, next, comm_, nullptr);
      if (code == 0 && rank_ == 0) code = HcclRecv(buffers_[1], count, dtype, last, comm_, nullptr);
      if (code == 0 && case_.what == What::kGroup) code = HcclGroupEnd();
    }
    if (code != 0) return OwnMessage();
    try {
      GetDevice(static_cast<int>(rank_)).Synchronize(-1);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  const Case case_;
  const uint32_t rank_;
  Board& board_;
  void* buffers_[2] = {};
  void* comm_ = nullptr;
};

class Killed : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/killed-XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    meetings_ = directory;
    setenv("SOFTNPU_RUNTIME_DIR", directory, 1);
  }
  void TearDown() override { std::filesystem::remove_all(meetings_); }

  // Runs a case. Each survivor has to say one of `sentences`, in which PID is the victim's.
  void Expect(const Case& asked, std::vector<std::string> sentences) {
    void* const page =
        mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    auto* const board = new (page) Board();
    const std::set<std::string> before = Files();
    const Clock::time_point start = Clock::now();
    std::vector<pid_t> children;
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      children.push_back(fork());
      if (children.back() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        Rank(asked, rank, *board).Run();
        _exit(0);
      }
    }
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      int status = -1;
      ASSERT_EQ(waitpid(children[rank], &status, 0), children[rank]);
      const bool victim = rank == asked.victim;
      EXPECT_TRUE(victim ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                         : WIFEXITED(status) && WEXITSTATUS(status) == 0)
          << "rank " << rank << ": " << status;
    }
    // HCCL_EXEC_TIMEOUT is 20 s, so nobody waited for that.
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(15));
    for (std::string& sentence : sentences) {
      const size_t at = sentence.find("PID");
      if (at != std::string::npos) {
        sentence.replace(at, 3, std::to_string(children[asked.victim]));
      }
    }
    for (uint32_t rank = 0; rank < kRanks; ++rank) {
      if (rank == asked.victim) continue;
      EXPECT_THAT(std::string(board->said[rank]),
                  AnyOf(HasSubstr(sentences[0]), HasSubstr(sentences.back())))
          << "rank " << rank;
      EXPECT_STREQ(board->left[rank], "0 descriptors, 0 threads, 0 mappings more")
          << "rank " << rank;
    }
    EXPECT_EQ(Files(), before);
    RootInfo info;
    std::memcpy(&info, board->info, sizeof(info));
    EXPECT_EQ(std::filesystem::path(info.directory).parent_path(), meetings_);
    EXPECT_TRUE(std::filesystem::is_empty(meetings_)) << info.Meeting().Path();
    munmap(page, sizeof(Board));
  }

  void ExpectRemote(const Case& asked) {
    Expect(asked, {"rank " + std::to_string(asked.victim) + " (process PID) has ended"});
  }

  static std::set<std::string> Files() {
    std::set<std::string> out;
    for (const auto& file : std::filesystem::directory_iterator(".")) out.insert(file.path());
    // Other programs have files there, too.
    for (const auto& file : std::filesystem::directory_iterator("/dev/shm")) {
      const std::string path = file.path();
      if (path.find("softnpu") != std::string::npos) out.insert(path);
    }
    return out;
  }

 private:
  std::filesystem::path meetings_;
};

TEST_F(Killed, BeforeItJoins) {
  Expect({.phase = Phase::kBeforeJoin, .victim = 1}, {"rank 1 of 3 did not join within 2 s"});
}

TEST_F(Killed, WhileOthersHaveNotJoined) {
  // Who comes later finds nobody.
  Expect({.phase = Phase::kWhileJoining, .victim = 1},
         {"rank 1 (process PID) ended before all ranks had joined",
          "nobody listens for this root info"});
  Expect({.phase = Phase::kWhileJoining, .victim = 0},
         {"the process that made the root info ended before all ranks had joined",
          "nobody listens for this root info"});
}

TEST_F(Killed, InEveryCollective) {
  for (const Phase phase : {Phase::kAfterJoin, Phase::kBetween, Phase::kDuring}) {
    uint32_t victim = 0;
    for (const Kind kind : kKinds) {
      SCOPED_TRACE(Format("phase %d of %s", static_cast<int>(phase), NameOf(kind)));
      ExpectRemote({.phase = phase, .kind = kind, .victim = victim++ % kRanks});
    }
  }
}

TEST_F(Killed, InMessages) {
  for (const Phase phase : {Phase::kAfterJoin, Phase::kBetween, Phase::kDuring}) {
    for (const What what : {What::kBatch, What::kGroup, What::kSingle}) {
      for (uint32_t victim = 0; victim < kRanks; ++victim) {
        SCOPED_TRACE(
            Format("phase %d of messages %d", static_cast<int>(phase), static_cast<int>(what)));
        ExpectRemote({.phase = phase, .what = what, .victim = victim});
      }
    }
  }
}

}  // namespace
}  // namespace softnpu::hccl
