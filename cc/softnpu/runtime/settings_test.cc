// cc/softnpu/runtime/settings_test.cc: the environment, and what is wrong with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/runtime/options.h"
#include "cc/softnpu/runtime/profile.h"

namespace softnpu {
namespace {

using ::testing::HasSubstr;

constexpr char kGood[] = R"(soc_name = "Ascend910B3"
npu_arch = 2201
ai_cores = 20
cube_cores = 20
vector_cores = 40
ub_bytes = 196_608
l1_bytes = 524288
l0a_bytes = 65536
l0b_bytes = 65536
l0c_bytes = 131072
bias_bytes = 1024
fixpipe_bytes = 7168
l2_bytes = 201_326_592
hbm_bytes = 68_719_476_736
bfloat16 = true
data_copy_pad = false
)";

std::string Write(const std::string& text) {
  const std::string path = ::testing::TempDir() + "/chip.toml";
  std::ofstream(path) << text;
  return path;
}

// The environment is read once per process, so each of these is a process: it prints what it found.
template <typename Body>
[[noreturn]] void Print(const char* name, const std::string& value, Body&& body) {
  setenv(name, value.c_str(), 1);
  try {
    std::fprintf(stderr, "found %s", body().c_str());
  } catch (const Error& error) {
    std::fprintf(stderr, "refused %s", error.what());
  }
  std::_Exit(0);
}

void ExpectOption(const char* name, const char* value, const std::string& want) {
  EXPECT_EXIT(Print(name, value,
                    [] {
                      const Options& o = GetOptions();
                      return Format(
                          "strict %d async %d delay %lld seed %llu visible %d dir '%s' "
                          "tasks %llu",
                          o.strict, o.async, static_cast<long long>(o.delay_us),
                          static_cast<unsigned long long>(o.seed), o.host_visible,
                          o.state_dir.c_str(), static_cast<unsigned long long>(o.trace_tasks));
                    }),
              ::testing::ExitedWithCode(0), HasSubstr(want))
      << name << "=" << value;
}

TEST(OptionsDeathTest, AreReadOrRefused) {
  ExpectOption("SOFTNPU_CHECKS", "",
               "found strict 1 async 1 delay 0 seed 0 visible 0 dir '' tasks 0");
  ExpectOption("SOFTNPU_CHECKS", "off", "found strict 0 async 1");
  ExpectOption("SOFTNPU_STREAMS", "eager", "found strict 1 async 0");
  ExpectOption("SOFTNPU_DELAY_US", "100000", "delay 100000");
  ExpectOption("SOFTNPU_SEED", "9223372036854775807", "seed 9223372036854775807");
  ExpectOption("SOFTNPU_HOST_VISIBLE", "1", "visible 1");
  ExpectOption("SOFTNPU_STATE_DIR", "/some/where", "dir '/some/where'");
  ExpectOption("SOFTNPU_CHECKS", "loose",
               "refused SOFTNPU_CHECKS is 'loose'; it must be 'strict' or 'off'");
  ExpectOption("SOFTNPU_HOST_VISIBLE", "yes",
               "refused SOFTNPU_HOST_VISIBLE is 'yes'; it must be '1' or '0'");
  for (const char* value : {"-1", "100001", "1.5", "fast", " "}) {
    ExpectOption("SOFTNPU_DELAY_US", value,
                 Format("refused SOFTNPU_DELAY_US is '%s'; it must be a whole number from 0 to "
                        "100000",
                        value));
  }
  ExpectOption("SOFTNPU_SEED", "9223372036854775808", "refused SOFTNPU_SEED is");
  ExpectOption("SOFTNPU_TRACE_TASKS", "67108864", "tasks 67108864");
  ExpectOption("SOFTNPU_TRACE_TASKS", "67108865",
               "refused SOFTNPU_TRACE_TASKS is '67108865'; it must be a whole number from 0 to "
               "67108864");
}

TEST(OptionsDeathTest, ChecksAreSwitchedOffByTheirNames) {
  const auto expect = [](const char* value, const std::string& want) {
    EXPECT_EXIT(Print("SOFTNPU_UNCHECKED", value,
                      [] {
                        std::string all;
                        for (const std::string& name : GetOptions().unchecked) all += name + " ";
                        return all;
                      }),
                ::testing::ExitedWithCode(0), HasSubstr(want))
        << value;
  };
  expect("", "found ");
  expect("races,init", "found init races ");
  expect("races,speed", "refused SOFTNPU_UNCHECKED has 'speed'; there are alignment, bounds, init");
}

void ExpectLimit(const char* name, const char* value, const std::string& want) {
  setenv("SOFTNPU_PROFILE_FILE", Write(kGood).c_str(), 1);
  EXPECT_EXIT(Print(name, value,
                    [] {
                      const ProcessProfile& p = CurrentProfile();
                      return Format("%u devices of %lld bytes", p.devices,
                                    static_cast<long long>(p.hbm_bytes));
                    }),
              ::testing::ExitedWithCode(0), HasSubstr(want))
      << name << "=" << value;
}

TEST(ProfileDeathTest, TheEnvironmentLowersIt) {
  ExpectLimit("SOFTNPU_DEVICES", "", "found 1 devices of 68719476736 bytes");
  ExpectLimit("SOFTNPU_DEVICES", "8", "found 8 devices");
  ExpectLimit("SOFTNPU_HBM_BYTES", "1048576", "devices of 1048576 bytes");
  ExpectLimit("SOFTNPU_DEVICES", "0", "refused SOFTNPU_DEVICES is '0'");
  ExpectLimit("SOFTNPU_DEVICES", "17", "it must be a whole number from 1 to 16");
  ExpectLimit("SOFTNPU_HBM_BYTES", "1048575", "refused SOFTNPU_HBM_BYTES is '1048575'");
  ExpectLimit("SOFTNPU_HBM_BYTES", "68719476737", "from 1048576 to 68719476736");
  ExpectLimit("SOFTNPU_HBM_BYTES", "99999999999999999999", "refused SOFTNPU_HBM_BYTES is");
  ExpectLimit("SOFTNPU_PROFILE_FILE", "", "refused SOFTNPU_PROFILE_FILE is not set");
  ExpectLimit("SOFTNPU_PROFILE_FILE", "/nowhere.toml",
              "refused the device profile /nowhere.toml cannot be read");
}

TEST(ProfileDeathTest, VisibleDevicesAreCountedFromZero) {
  const auto expect = [](const char* value, const std::string& want) {
    setenv("SOFTNPU_PROFILE_FILE", Write(kGood).c_str(), 1);
    setenv("SOFTNPU_DEVICES", "4", 1);
    EXPECT_EXIT(Print("ASCEND_RT_VISIBLE_DEVICES", value,
                      [] {
                        std::string all;
                        for (const int device : CurrentProfile().physical) {
                          all += std::to_string(device) + " ";
                        }
                        return Format("%u: ", CurrentProfile().devices) + all;
                      }),
                ::testing::ExitedWithCode(0), HasSubstr(want))
        << value;
    unsetenv("SOFTNPU_DEVICES");
  };
  expect("", "found 4: 0 1 2 3 ");
  expect("3,1", "found 2: 3 1 ");
  expect("4", "refused ASCEND_RT_VISIBLE_DEVICES is '4': '4' has to be a device of 0 to 3, once");
  expect("1,1", "'1' has to be a device of 0 to 3, once");
  expect("0, 1", "' 1' has to be");
}

}  // namespace
}  // namespace softnpu
