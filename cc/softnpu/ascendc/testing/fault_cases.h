// cc/softnpu/ascendc/testing/fault_cases.h: kernels that commit one fault each, and their judge.
//
// A kernel is a template over whether it commits its fault. The faulty line carries the comment
// FAULT with the name of the kernel: the judge reads the file and compares.
#pragma once

#include <string>
#include <vector>

#include "cc/softnpu/ascendc/testing/kernels.h"
#include "cc/softnpu/ascendc/twin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace softnpu::ascendc::testing::fault_cases {

inline constexpr uint32_t kElements = 256;

struct Tensors {
  AscendC::GlobalTensor<float> x, y;
  Tensors(GM_ADDR x_address, GM_ADDR y_address) {
    x.SetGlobalBuffer(reinterpret_cast<float*>(x_address), kElements);
    y.SetGlobalBuffer(reinterpret_cast<float*>(y_address), kElements);
  }
};

// A case: the kernel in both variants, where its fault is, and what the message has to say.
struct Case {
  const char* name;
  const char* file;
  SoftnpuKernelEntry faulty;
  SoftnpuKernelEntry mended;
  const char* pipe;
  const char* instruction;
  std::vector<const char*> parts;
};

inline void PrintTo(const Case& test, std::ostream* out) { *out << test.name; }

// A Case of the kernel `name` in this file. The rest are parts of the message.
#define SOFTNPU_FAULT_CASE(name, pipe, instruction, ...)                                        \
  softnpu::ascendc::testing::fault_cases::Case {                                                \
    #name, __FILE__, softnpu::twin::MakeEntry<&name<true>>(#name, __FILE__, __LINE__),          \
        softnpu::twin::MakeEntry<&name<false>>(#name, __FILE__, __LINE__), pipe, instruction, { \
      __VA_ARGS__                                                                               \
    }                                                                                           \
  }

// x holds 1.5s; y holds no value.
class Device {
 public:
  Device() {
    twin::Bind(CoreApi());
    x_ = memory_.Put(std::vector<float>(kElements, 1.5f), "x");
    y_ = memory_.Allocate(kElements * 4, "y");
  }
  void Run(const SoftnpuKernelEntry& entry, bool strict = true) {
    const Slots slots(x_, y_);
    Launch(chip, memory_, entry, slots.data(), slots.bytes(), 1, strict);
  }
  void RunForOutput(const SoftnpuKernelEntry& entry) {
    const Slots slots(x_, y_);
    LaunchForOutputs(chip, memory_, entry, slots.data(), slots.bytes(), 1,
                     {Output{y_, kElements * 4, "y"}});
  }
  std::vector<float> y() const { return memory_.Get<float>(y_); }

  Profile chip = Chip910B();

 private:
  HostMemory memory_;
  uintptr_t x_ = 0;
  uintptr_t y_ = 0;
};

// The faulty variant stops at its line with its message. `run` launches a kernel on one core.
template <typename Run>
void ExpectStopsAtItsLine(const Case& test, Run&& run) {
  try {
    run(test.faulty);
    FAIL() << test.name << " ran without a fault";
  } catch (const KernelError& error) {
    const KernelError::Where& where = error.where();
    EXPECT_EQ(error.code(), kVectorCoreException);
    EXPECT_EQ(where.kernel, test.name);
    EXPECT_EQ(where.block, 0);
    EXPECT_EQ(where.core, 0);
    EXPECT_EQ(where.pipe, test.pipe) << error.what();
    EXPECT_EQ(where.instruction, test.instruction) << error.what();
    for (const char* const part : test.parts) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(part));
    }
    EXPECT_EQ(where.file, test.file);
    EXPECT_THAT(SourceLine(test.file, where.line),
                ::testing::HasSubstr(std::string("// FAULT ") + test.name))
        << error.what();
  }
}

inline void ExpectStopsAtItsLine(const Case& test) {
  ExpectStopsAtItsLine(test, [](const SoftnpuKernelEntry& entry) { Device().Run(entry); });
}

}  // namespace softnpu::ascendc::testing::fault_cases
