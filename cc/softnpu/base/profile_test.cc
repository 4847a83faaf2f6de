// cc/softnpu/base/profile_test.cc: every field of a profile, and what is wrong with one.
#include "cc/softnpu/base/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "cc/softnpu/base/error.h"

namespace softnpu {
namespace {

using ::testing::HasSubstr;

constexpr char kDirectory[] = "python/softnpu/profiles/";

std::string Text(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

std::string Write(const std::string& text) {
  const std::string path = ::testing::TempDir() + "/chip.toml";
  std::ofstream(path) << text;
  return path;
}

// The profile of the 910B2, which has a time model, with one change.
std::string With(const std::string& line, const std::string& instead) {
  std::string text = Text(std::string(kDirectory) + "ascend910b2.toml");
  const size_t at = text.find(line);
  EXPECT_NE(at, std::string::npos) << line;
  return at == std::string::npos ? text : text.replace(at, line.size(), instead);
}

std::string RefusalOf(const std::string& text) {
  const std::string path = Write(text);
  try {
    ReadProfile(path);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("the device profile " + path + " "));
    EXPECT_EQ(error.code(), kInvalidParam);
    return error.what();
  }
  return "accepted";
}

TEST(Profile, EveryFieldIsRead) {
  const Profile profile = ReadProfile(Write(R"(soc_name = "Ascend910B9"
npu_arch = 2201
ai_cores = 1_1
cube_cores = 12
vector_cores = 13
ub_bytes = 14
l1_bytes = 0xF
l0a_bytes = 16
l0b_bytes = 17
l0c_bytes = 18
bias_bytes = 0
fixpipe_bytes = 20
l2_bytes = 21
hbm_bytes = 68_719_476_736
bfloat16 = true  # has it
data_copy_pad = false
)"));
  EXPECT_EQ(profile.soc_name, "Ascend910B9");
  EXPECT_EQ(profile.npu_arch, 2201);
  EXPECT_EQ(profile.ai_cores, 11);
  EXPECT_EQ(profile.cube_cores, 12);
  EXPECT_EQ(profile.vector_cores, 13);
  EXPECT_EQ(profile.ub_bytes, 14);
  EXPECT_EQ(profile.l1_bytes, 15);
  EXPECT_EQ(profile.l0a_bytes, 16);
  EXPECT_EQ(profile.l0b_bytes, 17);
  EXPECT_EQ(profile.l0c_bytes, 18);
  EXPECT_EQ(profile.bias_bytes, 0);
  EXPECT_EQ(profile.fixpipe_bytes, 20);
  EXPECT_EQ(profile.l2_bytes, 21);
  EXPECT_EQ(profile.hbm_bytes, 68719476736);
  EXPECT_TRUE(profile.bfloat16);
  EXPECT_FALSE(profile.data_copy_pad);
  EXPECT_FALSE(profile.time.has_value());

  std::string named;
  for (const auto& [name, value] : FieldsOf(profile)) {
    const int64_t* const number = std::get_if<int64_t>(&value);
    named += std::string(name) + "=" + (number == nullptr ? "" : std::to_string(*number)) + " ";
  }
  EXPECT_EQ(named,
            "soc_name= npu_arch=2201 ai_cores=11 cube_cores=12 vector_cores=13 ub_bytes=14 "
            "l1_bytes=15 l0a_bytes=16 l0b_bytes=17 l0c_bytes=18 bias_bytes=0 fixpipe_bytes=20 "
            "l2_bytes=21 hbm_bytes=68719476736 bfloat16= data_copy_pad= ");
}

TEST(Profile, TimeIsNumbersByDottedNames) {
  const Profile profile = ReadProfile(std::string(kDirectory) + "ascend910b2.toml");
  ASSERT_TRUE(profile.time.has_value());
  EXPECT_EQ(profile.time->at("clock_mhz"), 1800);
  EXPECT_EQ(profile.time->at("read.most_bytes_per_cycle"), 46.5);
  EXPECT_EQ(profile.time->at("bank.read_write_cycles"), 0.77);
  EXPECT_EQ(profile.time->at("cube.k_per_cycle.b16"), 16);
  EXPECT_EQ(profile.time->at("vector.Gather.b16"), 25.6);
  EXPECT_EQ(profile.time->count("vector.Transpose.b32"), 0u);
  EXPECT_EQ(profile.time->at("link.devices"), 8);
  EXPECT_EQ(profile.time->at("link.gigabytes_per_second"), 28);
}

TEST(Profile, WhatIsWrongIsNamed) {
  const auto refusal = [](const std::string& line, const std::string& instead) {
    return RefusalOf(With(line, instead));
  };
  EXPECT_EQ(RefusalOf(With("cube_cores = 24", "cube_cores = 24 ")), "accepted");
  for (const auto& [name, value] : FieldsOf(Profile())) {
    const std::string text = With(std::string("\n") + name + " =", "\nother =");
    EXPECT_THAT(RefusalOf(text), HasSubstr(std::string("has no key '") + name + "'"));
  }
  for (const char* value : {"2.5", "'20'", "true", "0", "-3", "1025", "[ 20 ]", "{ a = 1 }"}) {
    EXPECT_THAT(refusal("cube_cores = 24", std::string("cube_cores = ") + value),
                HasSubstr(std::string("has ") + value +
                          " for 'cube_cores' (line 6); wanted is a whole number from 1 to 1024"));
  }
  for (const char* value : {"1", "'yes'", "0.0"}) {
    EXPECT_THAT(refusal("bfloat16 = true", std::string("bfloat16 = ") + value),
                HasSubstr(std::string("has ") + value + " for 'bfloat16'"));
  }
  EXPECT_THAT(refusal("bfloat16 = true", "bfloat16 = 1"), HasSubstr("wanted is true or false"));
  EXPECT_THAT(refusal("\"Ascend910B2\"", "910"), HasSubstr("has 910 for 'soc_name'"));
  EXPECT_THAT(refusal("\"Ascend910B2\"", "\"\""), HasSubstr("wanted is a text that is not empty"));
  EXPECT_THAT(refusal("[time]", "cores = 20\n[time]"), HasSubstr("the unknown key 'cores' (line"));
  EXPECT_THAT(refusal("[time]", "[more]\na = 1\n[time]"), HasSubstr("the unknown key 'more'"));
  EXPECT_THAT(refusal("ai_cores = 24", "ai_cores 24"),
              ::testing::AllOf(HasSubstr("is no TOML: "), HasSubstr("(line 5, column ")));
  EXPECT_THAT(refusal("ai_cores = 24", "ai_cores = 24\nai_cores = 24"), HasSubstr("is no TOML: "));
}

TEST(Profile, WhatIsWrongWithTheTimeIsNamed) {
  const auto refusal = [](const std::string& line, const std::string& instead) {
    return RefusalOf(With(line, instead));
  };
  EXPECT_THAT(refusal("clock_mhz = 1800", "clock_mhz = \"fast\""),
              HasSubstr("has 'fast' for 'time.clock_mhz'"));
  EXPECT_THAT(refusal("clock_mhz = 1800", "clock_mhz = true"), HasSubstr("a number above 0"));
  EXPECT_THAT(refusal("clock_mhz = 1800", "clock_mhz = 0"), HasSubstr("a number above 0"));
  EXPECT_THAT(refusal("flag_cycles = 8", "flag_cycles = -1"), HasSubstr("a number, 0 or more"));
  EXPECT_THAT(refusal("flag_cycles = 8", "flag_cycles = inf"), HasSubstr("a number, 0 or more"));
  EXPECT_THAT(refusal("flag_cycles = 8", "flags_cycles = 8"),
              HasSubstr("the unknown key 'time.flags_cycles'"));
  EXPECT_THAT(refusal("flag_cycles = 8", ""), HasSubstr("no key 'time.flag_cycles'"));
  EXPECT_THAT(refusal("b8 = 32\n", ""), HasSubstr("no key 'time.cube.k_per_cycle.b8'"));
  EXPECT_THAT(refusal("Add = { start = 24, b16 = 1,", "Add = { start = 24, b17 = 1,"),
              HasSubstr("the unknown key 'time.vector.Add.b17'"));
  EXPECT_THAT(refusal("otherwise = { start = 25,", "otherwise = { start = 25, b16 = 1,"),
              HasSubstr("the unknown key 'time.vector.otherwise.b16'"));
  const std::string text = With("[time]", "[later]");
  EXPECT_THAT(RefusalOf("time = 3\n" + text.substr(0, text.find("[later]"))),
              HasSubstr("has 3 for 'time' (line 1); wanted is a section"));
}

TEST(Profile, AFileThatCannotBeReadIsNamed) {
  for (const std::string path : {"/nowhere.toml", "/"}) {
    try {
      ReadProfile(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), kFileNotFound);
      EXPECT_THAT(error.what(), HasSubstr("the device profile " + path + " cannot be read ("));
    }
  }
}

}  // namespace
}  // namespace softnpu
