// cc/softnpu/runtime/ipc_test.cc: memory and events between processes. The test's own process has
// no device: it tells other processes what to call.
#include "cc/softnpu/runtime/ipc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cc/softnpu/runtime/acl_abi.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

// What a process does with one line. Memory has a name for each letter.
class Actor {
 public:
  std::string Do(const std::string& line) {
    std::istringstream words(line);
    std::string what;
    words >> what;
    if (what == "device") {
      int32_t device = 0;
      words >> device;
      return Said(aclrtSetDevice(device));
    }
    if (what == "allocate") {  // name bytes value; without value nobody has written
      std::string name;
      size_t bytes = 0;
      int value = -1;
      words >> name >> bytes >> value;
      const int32_t code = aclrtMalloc(&memory_[name], bytes, 0);
      if (code != 0 || value < 0) return Said(code);
      return Said(aclrtMemset(memory_[name], bytes, value, bytes));
    }
    if (what == "export") {  // name offset bytes flags
      std::string name;
      size_t offset = 0, bytes = 0;
      uint64_t flags = 0;
      words >> name >> offset >> bytes >> flags;
      char key[kKeyDigits + 1] = {};
      const int32_t code = aclrtIpcMemGetExportKey(static_cast<char*>(memory_[name]) + offset,
                                                   bytes, key, sizeof(key), flags);
      return code == 0 ? key : Said(code);
    }
    if (what == "allow") {  // key process
      std::string key;
      int32_t process = 0;
      words >> key >> process;
      return Said(aclrtIpcMemSetImportPid(key.c_str(), &process, 1));
    }
    if (what == "import") {  // name key flags
      std::string name, key;
      uint64_t flags = 0;
      words >> name >> key >> flags;
      return Said(aclrtIpcMemImportByKey(&memory_[name], key.c_str(), flags));
    }
    if (what == "close") {
      std::string key;
      words >> key;
      return Said(aclrtIpcMemClose(key.c_str()));
    }
    if (what == "free") {
      std::string name;
      words >> name;
      return Said(aclrtFree(memory_[name]));
    }
    if (what == "read") {  // name offset bytes
      std::string name;
      size_t offset = 0, bytes = 0;
      words >> name >> offset >> bytes;
      std::vector<uint8_t> host(bytes);
      const int32_t code =
          aclrtMemcpy(host.data(), bytes, static_cast<char*>(memory_[name]) + offset, bytes, 2);
      return code == 0 ? Hex(host.data(), bytes) : Said(code);
    }
    if (what == "write") {  // name offset bytes value
      std::string name;
      size_t offset = 0, bytes = 0;
      int value = 0;
      words >> name >> offset >> bytes >> value;
      return Said(aclrtMemset(static_cast<char*>(memory_[name]) + offset, bytes, value, bytes));
    }
    if (what == "written") {  // name bytes
      std::string name, out;
      size_t bytes = 0;
      words >> name >> bytes;
      for (size_t i = 0; i < bytes; ++i) {
        const auto access = Bytes("byte", static_cast<char*>(memory_[name]) + i, 1, SOFTNPU_READS);
        out += FindMemory(memory_[name])->FirstUnwritten(access) == nullptr ? '1' : '0';
      }
      return out;
    }
    if (what == "event") {  // flags
      uint32_t flags = 0;
      words >> flags;
      const int32_t code = aclrtCreateEventExWithFlag(&event_, flags);
      EventHandle handle;
      if (code != 0 || aclrtIpcGetEventHandle(event_, &handle) != 0) return Said(1);
      return std::string(handle.text, sizeof(handle.text));
    }
    if (what == "open") {  // handle
      std::string text;
      words >> text;
      EventHandle handle;
      std::memcpy(handle.text, text.data(), sizeof(handle.text));
      return Said(aclrtIpcOpenEventHandle(handle, &event_));
    }
    if (what == "destroy") return Said(aclrtDestroyEvent(event_));
    if (what == "reset") return Said(aclrtResetEvent(event_, nullptr));
    if (what == "record") {  // milliseconds before the stream is there
      words >> delay_ms_;
      const int32_t code = aclrtLaunchHostFunc(
          nullptr,
          [](void* delay) {
            std::this_thread::sleep_for(std::chrono::milliseconds(*static_cast<int*>(delay)));
          },
          &delay_ms_);
      return Said(code != 0 ? code : aclrtRecordEvent(event_, nullptr));
    }
    if (what == "mark") return Said(aclrtRecordEvent(event_, nullptr));
    if (what == "fail") {
      CurrentDevice().error().Set(Error(kAicoreException, "the planted fault"));
      return "";
    }
    if (what == "query") {
      int32_t status = -1;
      const int32_t code = aclrtQueryEventStatus(event_, &status);
      return code == 0 ? std::to_string(status) : Said(code);
    }
    if (what == "time") {
      uint64_t us = 0;
      return Said(aclrtEventGetTimestamp(event_, &us));
    }
    if (what == "wait") {
      const int32_t code = aclrtStreamWaitEvent(nullptr, event_);
      return Said(code != 0 ? code : aclrtSynchronizeStream(nullptr));
    }
    if (what == "pid") return std::to_string(getpid());
    return "unknown: " + line;
  }

 private:
  static std::string Said(int32_t code) {
    return code == 0 ? "" : std::to_string(code) + " " + OwnMessage();
  }
  std::map<std::string, void*> memory_;
  void* event_ = nullptr;
  int delay_ms_ = 0;
};

class Process {
 public:
  Process() {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(sockets[0]);
      Serve(sockets[1]);
    }
    close(sockets[1]);
    socket_ = Descriptor(sockets[0]);
    EXPECT_EQ(Ask("device 0"), "");
  }
  ~Process() { Kill(); }

  void Begin(const std::string& line) const {
    EXPECT_EQ(send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(line.size()));
  }
  std::string End() const {
    char answer[4096];
    const ssize_t got = recv(socket_.get(), answer, sizeof(answer), 0);
    // An empty answer comes as a space.
    return got <= 0 ? "gone" : std::string(answer + 1, static_cast<size_t>(got) - 1);
  }
  std::string Ask(const std::string& line) const {
    Begin(line);
    return End();
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  pid_t pid() const { return pid_; }

 private:
  [[noreturn]] static void Serve(int socket) {
    Actor actor;
    char line[4096];
    while (true) {
      const ssize_t got = recv(socket, line, sizeof(line), 0);
      if (got <= 0) _exit(0);
      const std::string answer = " " + actor.Do(std::string(line, static_cast<size_t>(got)));
      if (send(socket, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) _exit(0);
    }
  }
  pid_t pid_ = 0;
  Descriptor socket_;
};

std::string Text(pid_t pid) { return std::to_string(pid); }

TEST(IpcMemory, BothProcessesReadAndWriteIt) {
  const Process a, b;
  ASSERT_EQ(a.Ask("allocate x 5000 1"), "");
  const std::string key = a.Ask("export x 0 5000 1");
  ASSERT_THAT(key, MatchesRegex("[0-9a-f]+"));
  ASSERT_EQ(key.size(), kKeyDigits);
  ASSERT_EQ(b.Ask("import y " + key + " 1"), "");
  EXPECT_EQ(b.Ask("read y 4996 4"), "01010101");
  EXPECT_EQ(b.Ask("write y 4997 2 5"), "");
  EXPECT_EQ(a.Ask("read x 4996 4"), "01050501");
  EXPECT_EQ(a.Ask("write x 0 1 9"), "");
  EXPECT_EQ(b.Ask("read y 0 2"), "0901");
  // It has the size that was exported.
  EXPECT_THAT(b.Ask("read y 4997 4"), HasSubstr("device memory access out of bounds: 4 bytes at "));
  EXPECT_THAT(b.Ask("read y 4997 4"), HasSubstr("offset 4997 of allocation #1 of process " +
                                                Text(a.pid()) + " (5000 bytes, device 0)"));
  EXPECT_THAT(b.Ask("free y"), HasSubstr("was imported: aclrtIpcMemClose ends that"));
  EXPECT_EQ(b.Ask("close " + key), "");
  EXPECT_EQ(a.Ask("close " + key), "");
  EXPECT_EQ(a.Ask("free x"), "");
}

TEST(IpcMemory, APartOfAnAllocationIsAllThatIsShared) {
  const Process a, b;
  ASSERT_EQ(a.Ask("allocate x 20000 1"), "");
  ASSERT_EQ(a.Ask("write x 9000 8 2"), "");
  const std::string key = a.Ask("export x 9000 8 1");
  ASSERT_EQ(b.Ask("import y " + key + " 0"), "");
  EXPECT_EQ(b.Ask("read y 0 8"), "0202020202020202");
  EXPECT_THAT(b.Ask("read y 0 9"), HasSubstr("out of bounds"));
  EXPECT_THAT(a.Ask("export x 9000 11001 1"), HasSubstr("out of bounds"));
}

TEST(IpcMemory, UnwrittenBytesAreSeenByBoth) {
  const Process a, b;
  ASSERT_EQ(a.Ask("allocate x 8"), "");
  const std::string key = a.Ask("export x 0 8 1");
  ASSERT_EQ(b.Ask("import y " + key + " 0"), "");
  EXPECT_EQ(b.Ask("written y 8"), "00000000");
  ASSERT_EQ(b.Ask("write y 2 3 1"), "");
  EXPECT_EQ(a.Ask("written x 8"), "00111000");
  ASSERT_EQ(a.Ask("write x 0 2 1"), "");
  EXPECT_EQ(b.Ask("written y 8"), "11111000");
  // Whole pages, which a process notes once where it has them alone.
  ASSERT_EQ(a.Ask("allocate large 20000 1"), "");
  ASSERT_EQ(a.Ask("allocate source 20000"), "");
  EXPECT_EQ(a.Ask("written large 9000").find('0'), std::string::npos);
}

TEST(IpcMemory, OnlyProcessesThatAreNamedImportIt) {
  const Process a, b, c;
  ASSERT_EQ(a.Ask("allocate x 8 1"), "");
  const std::string key = a.Ask("export x 0 8 0");
  const std::string refused = "507022 aclrtIpcMemImportByKey: the key '" + key + "': process " +
                              Text(b.pid()) +
                              " may not import it: aclrtIpcMemSetImportPid of "
                              "process " +
                              Text(a.pid()) + " has not named it";
  EXPECT_EQ(b.Ask("import y " + key + " 0"), refused);
  ASSERT_EQ(a.Ask("allow " + key + " " + Text(c.pid())), "");
  EXPECT_EQ(b.Ask("import y " + key + " 0"), refused);
  EXPECT_EQ(c.Ask("import y " + key + " 0"), "");
  ASSERT_EQ(a.Ask("allow " + key + " " + Text(b.pid())), "");
  EXPECT_EQ(b.Ask("import y " + key + " 0"), "");
  EXPECT_THAT(b.Ask("allow " + key + " 1"), HasSubstr("was not exported by this process"));
}

TEST(IpcMemory, IsImportedOnce) {
  const Process a, b;
  ASSERT_EQ(a.Ask("allocate x 8 1"), "");
  const std::string key = a.Ask("export x 0 8 1");
  ASSERT_EQ(b.Ask("import y " + key + " 0"), "");
  EXPECT_THAT(b.Ask("import z " + key + " 0"),
              StartsWith("107000 aclrtIpcMemImportByKey: the key '" + key +
                         "' is imported already, at 0x"));
  EXPECT_THAT(a.Ask("import z " + key + " 0"), HasSubstr("is of this process"));
  // What is imported is not handed on.
  EXPECT_THAT(b.Ask("export y 0 8 1"), HasSubstr("is not exported again"));
  ASSERT_EQ(b.Ask("close " + key), "");
  EXPECT_EQ(b.Ask("import y " + key + " 0"), "");
}

TEST(IpcMemory, WhatWasFreedIsNotUsed) {
  const Process a, b, c;
  ASSERT_EQ(a.Ask("allocate x 64 1"), "");
  const std::string key = a.Ask("export x 0 64 1");
  ASSERT_EQ(b.Ask("import y " + key + " 0"), "");
  ASSERT_EQ(a.Ask("free x"), "");
  const std::string reason =
      "process " + Text(a.pid()) + " has freed allocation #1 (64 bytes, device 0)";
  EXPECT_THAT(b.Ask("read y 0 4"), HasSubstr("access to imported memory: " + reason));
  EXPECT_THAT(b.Ask("write y 0 4 7"), HasSubstr(reason));
  EXPECT_EQ(c.Ask("import y " + key + " 0"),
            "507022 aclrtIpcMemImportByKey: the key '" + key + "': " + reason);
  EXPECT_EQ(b.Ask("close " + key), "");
  // The next owner of these bytes is another one.
  ASSERT_EQ(a.Ask("allocate x 64 3"), "");
  EXPECT_THAT(c.Ask("import y " + key + " 0"), HasSubstr(reason));
}

TEST(IpcMemory, WhatIsClosedIsNotUsed) {
  const Process a, b, c;
  ASSERT_EQ(a.Ask("allocate x 64 1"), "");
  const std::string key = a.Ask("export x 0 64 1");
  ASSERT_EQ(b.Ask("import y " + key + " 0"), "");
  EXPECT_THAT(a.Ask("close " + key),
              HasSubstr("process " + Text(b.pid()) + " has still imported the key " + key));
  ASSERT_EQ(b.Ask("close " + key), "");
  EXPECT_THAT(b.Ask("read y 3 4"), HasSubstr("offset 3 of the closed allocation #1 of process " +
                                             Text(a.pid()) + " (64 bytes, device 0)"));
  EXPECT_THAT(b.Ask("close " + key), HasSubstr("is not imported"));
  ASSERT_EQ(a.Ask("close " + key), "");
  const std::string reason = "process " + Text(a.pid()) + " has closed the key";
  EXPECT_THAT(a.Ask("close " + key), HasSubstr(reason));
  EXPECT_THAT(c.Ask("import y " + key + " 0"), HasSubstr(reason));
}

TEST(IpcMemory, AKilledProcessIsNamed) {
  Process a, c;
  const Process b;
  ASSERT_EQ(a.Ask("allocate x 64 1"), "");
  const std::string key = a.Ask("export x 0 64 1");
  ASSERT_EQ(b.Ask("import y " + key + " 0"), "");
  ASSERT_EQ(c.Ask("import y " + key + " 0"), "");
  c.Kill();
  // Who has ended has no import any more.
  EXPECT_THAT(a.Ask("close " + key), HasSubstr("process " + Text(b.pid()) + " has still"));
  const pid_t owner = a.pid();
  a.Kill();
  EXPECT_THAT(b.Ask("read y 0 4"),
              HasSubstr("access to imported memory: process " + Text(owner) + " has ended"));
  EXPECT_EQ(b.Ask("close " + key), "");
  EXPECT_THAT(b.Ask("import y " + key + " 0"), HasSubstr("' has ended"));
}

TEST(IpcMemory, WrongArgumentsAreNamed) {
  const Process a;
  EXPECT_THAT(a.Ask("import y abc 0"), HasSubstr("'abc' is no key: it has 64 hexadecimal digits"));
  EXPECT_THAT(a.Ask("import y " + std::string(64, 'f') + " 0"), HasSubstr("has ended"));
  EXPECT_THAT(a.Ask("close " + std::string(64, 'f')), HasSubstr("is not imported"));
  ASSERT_EQ(a.Ask("allocate x 8 1"), "");
  EXPECT_THAT(a.Ask("export x 0 8 2"), HasSubstr("the flags are 2"));
  EXPECT_THAT(a.Ask("export x 0 0 1"), HasSubstr("0 bytes"));
  EXPECT_THAT(a.Ask("export nothing 0 8 1"), HasSubstr("is not device memory"));
  const std::string key = a.Ask("export x 0 8 1");
  // A token that nobody has given away.
  const Process b;
  std::string forged = key;
  forged.back() = forged.back() == '0' ? '1' : '0';
  EXPECT_THAT(b.Ask("import y " + forged + " 0"), HasSubstr("has not exported this key"));
}

TEST(IpcMemory, AnotherUserIsRefused) {
  const Process a;
  ASSERT_EQ(a.Ask("allocate x 8 1"), "");
  const std::string key = a.Ask("export x 0 8 1");
  const pid_t child = fork();
  if (child == 0) {
    const uid_t nobody = 65534;
    if (setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0) _exit(77);
    Actor actor;
    if (!actor.Do("device 0").empty()) _exit(2);
    const std::string said = actor.Do("import y " + key + " 0");
    _exit(said.find("was exported by a process of another user") != std::string::npos ? 0 : 3);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "root alone becomes another user; so no sandbox";
  EXPECT_EQ(status, 0);
}

TEST(IpcEvent, AStreamOfAnotherProcessWaits) {
  const Process a, b;
  const std::string handle = a.Ask("event 64");
  ASSERT_EQ(handle.size(), kKeyDigits) << handle;
  ASSERT_EQ(b.Ask("open " + handle), "");
  // An event that was never recorded does not block.
  EXPECT_EQ(b.Ask("wait"), "");
  EXPECT_EQ(b.Ask("query"), "1");
  ASSERT_EQ(a.Ask("record 1500"), "");
  EXPECT_EQ(a.Ask("query"), "0");
  EXPECT_EQ(b.Ask("query"), "0");
  EXPECT_EQ(b.Ask("wait"), "");
  EXPECT_EQ(a.Ask("query"), "1");
  // The other way round, and after its maker has destroyed it.
  ASSERT_EQ(b.Ask("record 1500"), "");
  EXPECT_EQ(a.Ask("query"), "0");
  EXPECT_EQ(a.Ask("wait"), "");
  EXPECT_EQ(b.Ask("query"), "1");
  ASSERT_EQ(a.Ask("record 100"), "");
  ASSERT_EQ(a.Ask("destroy"), "");
  EXPECT_EQ(b.Ask("wait"), "");
  EXPECT_EQ(b.Ask("destroy"), "");
  EXPECT_THAT(b.Ask("open " + handle), HasSubstr("has destroyed the event"));
}

TEST(IpcEvent, AProcessThatEndsFirstIsNamed) {
  Process a;
  const Process b;
  ASSERT_EQ(b.Ask("open " + a.Ask("event 64")), "");
  ASSERT_EQ(a.Ask("record 60000"), "");
  b.Begin("wait");
  const pid_t owner = a.pid();
  a.Kill();
  EXPECT_THAT(b.End(), HasSubstr("process " + Text(owner) +
                                 ", which has recorded an event, has ended before its stream was "
                                 "there"));
}

TEST(IpcEvent, CarriesTheErrorOfItsDevice) {
  const Process a, b;
  ASSERT_EQ(b.Ask("open " + a.Ask("event 64")), "");
  // A device in error takes no task, but records.
  ASSERT_EQ(a.Ask("fail"), "");
  ASSERT_EQ(a.Ask("mark"), "");
  EXPECT_THAT(b.Ask("wait"), HasSubstr("process " + Text(a.pid()) + ": the planted fault"));
}

TEST(IpcEvent, WrongUseIsNamed) {
  const Process a;
  EXPECT_THAT(a.Ask("event 0"), HasSubstr("the event has the flags 0; one between processes has "
                                          "0x40"));
  EXPECT_THAT(a.Ask("event 65"), HasSubstr("is alone"));
  ASSERT_EQ(a.Ask("event 64").size(), kKeyDigits);
  EXPECT_THAT(a.Ask("time"), HasSubstr("between processes, without a time"));
  EXPECT_THAT(a.Ask("reset"), HasSubstr("is not reset"));
  EXPECT_THAT(a.Ask("open " + std::string(64, 'f')), HasSubstr("has ended"));
}

}  // namespace
}  // namespace softnpu
