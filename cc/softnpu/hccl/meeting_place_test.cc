// cc/softnpu/hccl/meeting_place_test.cc: sockets with paths, and that nobody leaves one behind.
#include "cc/softnpu/hccl/meeting_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/hccl/types.h"

namespace softnpu::hccl {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// More than ever come: nobody accepts them.
constexpr int kWaiting = 64;

// Each test has a directory of its own.
class MeetingPlace : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/meeting-XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    base_ = directory;
    setenv("SOFTNPU_RUNTIME_DIR", directory, 1);
  }
  void TearDown() override {
    std::filesystem::remove_all(base_);
    unsetenv("SOFTNPU_RUNTIME_DIR");
  }

  static Place At(const std::string& name) { return {MeetingDirectory(), "softnpu-hccl-" + name}; }

  static bool SomebodyListens(const Place& place) {
    const Descriptor socket = MakeSocket();
    return ConnectTo(socket.get(), place) == Found::kListener;
  }

  // What lies in the directory, also in those below it.
  std::vector<std::string> Left() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(base_)) {
      out.push_back(entry.path());
    }
    return out;
  }

  // The sentence of an error; the code is kPara or kSyscall.
  static std::string ErrorOf(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return std::to_string(error.code()) + " " + error.what();
    }
    return "";
  }

  static std::string ErrorOfListening() {
    return ErrorOf([] { Listener(At("a"), kWaiting); });
  }

  // A process that listens, and then runs `body` without an end of its listener.
  static pid_t Listening(const Place& place, const std::function<void()>& body) {
    int pipes[2];
    EXPECT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto* const listener = new Listener(place, kWaiting);
      const char ready = listener->get() >= 0 ? 'y' : 'n';
      if (write(pipes[1], &ready, 1) != 1) _exit(1);
      body();
      _exit(1);
    }
    char ready = 0;
    EXPECT_EQ(read(pipes[0], &ready, 1), 1);
    EXPECT_EQ(ready, 'y');
    close(pipes[0]);
    close(pipes[1]);
    return child;
  }

  static void Kill(pid_t child) {
    kill(child, SIGKILL);
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
  }

  [[noreturn]] static void Forever() {
    while (true) pause();
  }

  std::filesystem::path base_;
};

TEST_F(MeetingPlace, IsThereAsLongAsSomebodyListens) {
  Listener first(At("a"), kWaiting);
  {
    const Listener second(At("b"), kWaiting);
    EXPECT_TRUE(SomebodyListens(At("b")));
  }
  EXPECT_FALSE(SomebodyListens(At("b")));
  EXPECT_TRUE(SomebodyListens(At("a")));
  EXPECT_THAT(ErrorOfListening(), HasSubstr("bind '"));
  first.Close();
  EXPECT_THAT(Left(), IsEmpty());
  EXPECT_FALSE(SomebodyListens(At("a")));
  EXPECT_EQ(ErrorOfListening(), "") << "the place is free again";
}

TEST_F(MeetingPlace, IsItsUsersAlone) {
  const Listener listener(At("a"), kWaiting);
  struct stat info = {};
  ASSERT_EQ(stat(MeetingDirectory().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_EQ(info.st_uid, geteuid());
}

TEST_F(MeetingPlace, TheNextListenerRemovesWhatAKilledOneLeft) {
  const pid_t lives = Listening(At("lives"), Forever);
  Kill(Listening(At("killed"), Forever));
  EXPECT_TRUE(std::filesystem::exists(At("killed").Path()));
  {
    const Listener listener(At("next"), kWaiting);
    EXPECT_FALSE(std::filesystem::exists(At("killed").Path()));
    EXPECT_TRUE(SomebodyListens(At("lives")));
  }
  Kill(lives);
  // Also at the same place.
  {
    const Listener listener(At("lives"), kWaiting);
    EXPECT_TRUE(SomebodyListens(At("lives")));
  }
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(MeetingPlace, WhoeverLookedForAKilledOneRemovesIt) {
  const pid_t child = Listening(At("a"), Forever);
  RemoveLeft(At("a"));
  EXPECT_TRUE(SomebodyListens(At("a"))) << "it lives";
  Kill(child);
  EXPECT_FALSE(SomebodyListens(At("a")));
  RemoveLeft(At("a"));
  EXPECT_THAT(Left(), IsEmpty());
  RemoveLeft(At("a"));
}

TEST_F(MeetingPlace, AProcessThatExitsRemovesItsOwn) {
  // As a child of it exits, which has its memory, it stays.
  const pid_t child = Listening(At("a"), [] {
    const pid_t grandchild = fork();
    if (grandchild == 0) exit(0);
    int status = -1;
    if (waitpid(grandchild, &status, 0) != grandchild || !SomebodyListens(At("a"))) _exit(1);
    exit(0);
  });
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(MeetingPlace, ListenersComeAndGoAtTheSameTime) {
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(fork());
    if (children.back() != 0) continue;
    const std::string error = ErrorOf([&] {
      for (int time = 0; time < 300; ++time) {
        const Listener listener(At(std::to_string(i)), kWaiting);
        // Not by a connection: those of the others' sweeps fill the queue, as nobody accepts.
        if (!std::filesystem::exists(At(std::to_string(i)).Path())) {
          throw Error(kInternal, "it was removed");
        }
      }
    });
    if (!error.empty()) fprintf(stderr, "%s\n", error.c_str());
    _exit(error.empty() ? 0 : 1);
  }
  for (const pid_t child : children) {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(MeetingPlace, RefusesDirectoriesThatOthersMayEnter) {
  std::filesystem::create_directory(MeetingDirectory());
  chmod(MeetingDirectory().c_str(), 0755);
  EXPECT_THAT(ErrorOfListening(), HasSubstr("with mode 755; it must be of user"));
  std::filesystem::remove(MeetingDirectory());
  std::filesystem::create_directory(base_ / "elsewhere");
  std::filesystem::create_directory_symlink(base_ / "elsewhere", MeetingDirectory());
  EXPECT_THAT(ErrorOfListening(), HasSubstr("open '" + MeetingDirectory() + "'"));
}

TEST_F(MeetingPlace, NamesADirectoryThatCannotBe) {
  setenv("SOFTNPU_RUNTIME_DIR", "relative", 1);
  EXPECT_THAT(ErrorOf(MeetingDirectory), HasSubstr("is 'relative'; it must be an absolute path"));
  const std::string end = Format("/softnpu-%u", geteuid());
  std::string most = "/" + std::string(kLongestDirectory - end.size() - 1, 'x');
  setenv("SOFTNPU_RUNTIME_DIR", most.c_str(), 1);
  EXPECT_EQ(MeetingDirectory(), most + end);
  setenv("SOFTNPU_RUNTIME_DIR", (most + "x").c_str(), 1);
  EXPECT_THAT(ErrorOf(MeetingDirectory), HasSubstr(Format("up to %zu characters", most.size())));
  setenv("SOFTNPU_RUNTIME_DIR", "/proc", 1);
  EXPECT_THAT(ErrorOfListening(), HasSubstr("mkdir '/proc/softnpu-"));
}

}  // namespace
}  // namespace softnpu::hccl
