// cc/softnpu/hccl/rank_table_test.cc: rank tables, and communicators that are made from them.
#include "cc/softnpu/hccl/rank_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "cc/softnpu/base/testing/error.h"
#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu::hccl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Rank 0 is on device 2, rank 1 on device 0.
constexpr char kServers[] = R"({
  "status": "completed",
  "version": "1.0",
  "server_count": "1",
  "server_list": [
    {
      "server_id": "node_0",
      "device": [
        {"device_id": "0", "device_ip": "192.168.1.8", "device_port": "16667", "rank_id": "1"},
        {"device_id": "2", "device_ip": "fe80::1", "rank_id": "0"}
      ]
    }
  ]
})";

constexpr char kSuperPods[] = R"({
  "status": "completed",
  "version": "1.2",
  "server_count": "1",
  "server_list": [
    {
      "server_id": "node_0",
      "host_ip": "172.16.0.100",
      "device": [
        {"device_id": "0", "super_device_id": "7", "device_ip": "192.168.1.6",
         "backup_device_ip": "192.168.1.7", "backup_device_port": "16667", "host_port": "16665",
         "rank_id": "0"},
        {"device_id": "1", "super_device_id": "8", "device_ip": "192.168.1.7", "rank_id": "1"}
      ]
    }
  ],
  "super_pod_list": [{"super_pod_id": "0", "server_list": [{"server_id": "node_0"}]}]
})";

std::string Write(const std::string& text, const char* name = "table.json") {
  const char* const directory = std::getenv("TEST_TMPDIR");
  const std::string path = std::string(directory == nullptr ? "/tmp" : directory) + "/" + name;
  std::ofstream(path) << text;
  return path;
}

// A text in which one part is another.
std::string With(std::string text, const std::string& part, const std::string& other) {
  const size_t at = text.find(part);
  EXPECT_NE(at, std::string::npos) << part;
  return text.replace(at, part.size(), other);
}

// What is wrong with a table, behind the name of the file.
std::string WrongWith(const std::string& text) {
  const std::string path = Write(text);
  const std::string error = ErrorOf([&] { ReadRankTable(path); });
  const std::string begin = "rank table '" + path + "': ";
  const size_t at = error.find(begin);
  return at == std::string::npos ? error : error.substr(0, at) + error.substr(at + begin.size());
}

TEST(RankTable, BothFormatsAreRead) {
  EXPECT_THAT(ReadRankTable(Write(kServers)).devices, ElementsAre(2, 0));
  EXPECT_THAT(ReadRankTable(Write(kSuperPods)).devices, ElementsAre(0, 1));
  // Addresses and ports are for networks.
  EXPECT_THAT(ReadRankTable(Write(With(kServers, R"("device_ip": "fe80::1", )", ""))).devices,
              ElementsAre(2, 0));
}

TEST(RankTable, WhatIsWrongIsNamed) {
  const auto wrong = [](const std::string& part, const std::string& other) {
    return WrongWith(With(kServers, part, other));
  };
  EXPECT_EQ(ErrorOf([] { ReadRankTable("/nowhere/table.json"); }),
            "6 rank table '/nowhere/table.json': No such file or directory");
  EXPECT_EQ(ErrorOf([] { ReadRankTable(std::string(4096, 'x')); }),
            "1 the path of the rank table has 4096 bytes; there are 1 to 4095");
  EXPECT_THAT(ErrorOf([] { ReadRankTable("/"); }), HasSubstr("it has to be a file"));
  EXPECT_THAT(WrongWith("{\"status\": \"completed\", // usable\n}"),
              ::testing::StartsWith("1 it is no JSON: "));
  EXPECT_THAT(WrongWith("{\"status\": \"completed\", // usable\n}"),
              HasSubstr("line 1, column 25"));
  EXPECT_EQ(WrongWith("[1]"), "1 the whole is [1]; it has to be an object");
  EXPECT_EQ(wrong("\"status\"", "\"state\""), "1 there is no status");
  EXPECT_EQ(wrong("completed", "initializing"),
            "7 status is \"initializing\"; it has to be \"completed\" before ranks join");
  EXPECT_EQ(wrong("\"1.0\"", "1.0"), "1 version is 1.0; it has to be a string that is not empty");
  EXPECT_EQ(wrong("\"1.0\"", "\"2.0\""), "1 version is \"2.0\"; SoftNPU reads \"1.0\" and \"1.2\"");
  EXPECT_EQ(wrong("\"server_count\": \"1\"", "\"server_count\": \"2\""),
            "1 server_count is \"2\"; server_list has 1");
  EXPECT_EQ(wrong("\"server_count\": \"1\"", "\"server_count\": 1"),
            "1 server_count is 1; it has to be a whole number from 1 to 4294967295, in quotes");
  EXPECT_EQ(wrong("\"server_id\": \"node_0\",", ""), "1 there is no server_list[0].server_id");
  EXPECT_EQ(wrong("\"device\": [", "\"devices\": ["), "1 there is no server_list[0].device");
  EXPECT_EQ(wrong("\"device_id\": \"2\"", "\"device_id\": \"0\""),
            "1 server_list[0].device[1].device_id is \"0\"; it has been there before");
  EXPECT_EQ(wrong("\"device_id\": \"2\"", "\"device_id\": \"16\""),
            "1 server_list[0].device[1].device_id is \"16\"; it has to be a whole number from 0 to "
            "15, in quotes");
  EXPECT_EQ(wrong("\"device_id\": \"2\"", "\"device_id\": \"-2\""),
            "1 server_list[0].device[1].device_id is \"-2\"; it has to be a whole number from 0 to "
            "15, in quotes");
  EXPECT_EQ(wrong("\"rank_id\": \"1\"", "\"rank_id\": \"2\""),
            "1 server_list[0].device[0].rank_id is \"2\"; it has to be a whole number from 0 to 1, "
            "in quotes");
  EXPECT_EQ(wrong("\"rank_id\": \"1\"", "\"rank_id\": \"0\""),
            "1 server_list[0].device[1].rank_id is \"0\"; it has been there before");
  EXPECT_EQ(wrong("192.168.1.8", "192.168.1.800"),
            "1 server_list[0].device[0].device_ip is \"192.168.1.800\"; it has to be an IPv4 or "
            "IPv6 address");
  EXPECT_EQ(wrong("fe80::1", "192.168.1.8"),
            "1 server_list[0].device[1].device_ip is \"192.168.1.8\"; it has been there before");
  EXPECT_EQ(
      wrong("\"16667\"", "\"0\""),
      "1 server_list[0].device[0].device_port is \"0\"; it has to be a whole number from 1 to "
      "65535, in quotes");
  const std::string second =
      R"({"server_id": "node_1", "device": [{"device_id": "0", "rank_id": "2"}]},)";
  EXPECT_EQ(WrongWith(With(With(kServers, "\"server_list\": [", "\"server_list\": [" + second),
                           "\"server_count\": \"1\"", "\"server_count\": \"2\"")),
            "5 server_count is \"2\"; SoftNPU has the devices of one machine");
}

TEST(RankTable, WhatIsWrongWithSuperPodsIsNamed) {
  const auto wrong = [](const std::string& part, const std::string& other) {
    return WrongWith(With(kSuperPods, part, other));
  };
  EXPECT_EQ(wrong("\"super_pod_list\"", "\"pods\""), "1 there is no super_pod_list");
  EXPECT_EQ(
      wrong("[{\"server_id\": \"node_0\"}]", "[{\"server_id\": \"node_9\"}]"),
      "1 super_pod_list[0].server_list[0].server_id is \"node_9\"; there is no such server in "
      "server_list");
  EXPECT_EQ(wrong("[{\"server_id\": \"node_0\"}]", "[]"),
            "1 super_pod_list[0].server_list is []; it has to be a list with entries");
  EXPECT_EQ(wrong("\"super_device_id\": \"8\"", "\"super_device_id\": \"7\""),
            "1 server_list[0].device[1].super_device_id is \"7\"; it has been there before");
  EXPECT_EQ(wrong("\"super_device_id\": \"8\", ", ""),
            "1 there is no server_list[0].device[1].super_device_id");
}

// A rank that joins on a device. What it says when it fails.
struct Rank {
  uint32_t rank;
  int device;
  void* comm = nullptr;
  std::string said = {};
  std::thread thread = {};

  void Join(const std::string& path) {
    thread = std::thread([this, path] {
      SetCurrentDevice(device);
      if (HcclCommInitClusterInfo(path.c_str(), rank, &comm) != 0) said = OwnMessage();
    });
  }
};

TEST(RankTable, MakesACommunicatorAsOftenAsAsked) {
  const std::string path = Write(kServers);
  for (int time = 0; time < 3; ++time) {
    Rank ranks[] = {{0, 2}, {1, 0}};
    // Either may come first.
    ranks[time % 2].Join(path);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ranks[1 - time % 2].Join(path);
    for (Rank& rank : ranks) rank.thread.join();
    float* buffers[2];
    for (Rank& rank : ranks) {
      ASSERT_EQ(rank.said, "");
      uint32_t found = 9;
      EXPECT_EQ(HcclGetRankId(rank.comm, &found), 0);
      EXPECT_EQ(found, rank.rank);
      DeviceMemory& memory = GetDevice(rank.device).memory();
      buffers[rank.rank] = static_cast<float*>(memory.Allocate(4));
      const float value = static_cast<float>(rank.rank) + 1;
      std::memcpy(memory.Alias(buffers[rank.rank]), &value, 4);
      memory.NoteWritten(softnpu::Bytes("value", buffers[rank.rank], 4, SOFTNPU_WRITES));
      ASSERT_EQ(HcclAllReduce(buffers[rank.rank], buffers[rank.rank], 1,
                              static_cast<int32_t>(DType::kFloat32), 0, rank.comm, nullptr),
                0)
          << softnpu_message();
    }
    for (Rank& rank : ranks) {
      Device& device = GetDevice(rank.device);
      device.Synchronize(-1);
      float sum = 0;
      std::memcpy(&sum, device.memory().Alias(buffers[rank.rank]), 4);
      EXPECT_EQ(sum, 3);
      EXPECT_EQ(HcclCommDestroy(rank.comm), 0);
      device.memory().Free(buffers[rank.rank]);
    }
  }
}

TEST(RankTable, ARankOnAnotherDeviceIsRefused) {
  const std::string path = Write(kServers);
  SetCurrentDevice(1);
  void* comm = nullptr;
  EXPECT_EQ(HcclCommInitClusterInfo(path.c_str(), 0, &comm), static_cast<int32_t>(kPara));
  EXPECT_THAT(OwnMessage(), HasSubstr("rank table '" + path +
                                      "': device_id of rank 0 is \"2\", but it is on device 1"));
  EXPECT_EQ(HcclCommInitClusterInfo(path.c_str(), 2, &comm), static_cast<int32_t>(kPara));
  EXPECT_THAT(OwnMessage(), HasSubstr("it has 2 ranks, and this is rank 2"));
  EXPECT_EQ(HcclCommInitClusterInfo(nullptr, 0, &comm), static_cast<int32_t>(kPointer));
}

TEST(RankTable, ARankThatDoesNotComeIsNamed) {
  const std::string path = Write(kServers);
  Rank first = {0, 2};
  first.Join(path);
  first.thread.join();
  EXPECT_THAT(first.said, HasSubstr("rank 1 of 2 did not join within 2 s [HCCL_E_TIMEOUT, 9]"));
  Rank second = {1, 0};
  second.Join(path);
  second.thread.join();
  EXPECT_THAT(second.said, HasSubstr("rank 0 did not join within 2 s [HCCL_E_TIMEOUT, 9]"));
}

TEST(RankTable, RanksWithOtherTablesDoNotMeet) {
  Rank ranks[] = {{0, 2}, {1, 0}};
  ranks[0].Join(Write(kServers, "one.json"));
  ranks[1].Join(Write(kServers, "two.json"));
  for (Rank& rank : ranks) {
    rank.thread.join();
    EXPECT_THAT(rank.said, HasSubstr("HCCL_E_TIMEOUT"));
  }
}

}  // namespace
}  // namespace softnpu::hccl
