// cc/softnpu/ascendc/memories_test.cc: limits of accesses, and which bytes hold a value.
#include "cc/softnpu/ascendc/memories.h"

#include "cc/softnpu/ascendc/testing/core_units.h"

namespace softnpu::ascendc {
namespace {

using ::testing::HasSubstr;

class MemoriesTest : public testing::CoreUnits {
 protected:
  MemoriesTest() { Issue(SOFTNPU_OP_DATA_COPY); }

  // Resolves the access, checks what a read finds, records what a write leaves.
  std::string Use(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes,
                  uint64_t rows = 1, uint64_t stride = 0) {
    Access access = AccessTo(tensor, write, base, bytes, rows, stride);
    return FaultOf([&] {
      memories.Resolve(access);
      if (write) {
        memories.Commit(access);
      } else {
        memories.CheckInitialised(access);
      }
    });
  }
};

TEST_F(MemoriesTest, AKindOfCoreHasItsMemories) {
  EXPECT_EQ(memories.bytes(SOFTNPU_SPACE_UB), 196608u);
  EXPECT_EQ(memories.bytes(SOFTNPU_SPACE_L0C), 0u);
  Start(testing::Chip910B(), kCubeCore);
  EXPECT_EQ(memories.bytes(SOFTNPU_SPACE_UB), 0u);
  EXPECT_EQ(memories.bytes(SOFTNPU_SPACE_L1), 524288u);
  Issue(SOFTNPU_OP_DATA_COPY);
  EXPECT_THAT(Use(Tensor(SOFTNPU_SPACE_UB, 0, 64), false, 0, 32), HasSubstr("a cube core (AIC)"));
  Start(testing::Chip310P(), kBothCore);
  EXPECT_GT(memories.bytes(SOFTNPU_SPACE_UB), 0u);
  EXPECT_GT(memories.bytes(SOFTNPU_SPACE_L0C), 0u);
}

TEST_F(MemoriesTest, AnAccessStaysInItsTensor) {
  const SoftnpuTensor tensor = Tensor(SOFTNPU_SPACE_UB, 64, 128);
  EXPECT_EQ(Use(tensor, true, 64, 64), "");
  EXPECT_THAT(Use(tensor, true, 64, 65), HasSubstr("writes outside the tensor's 64 bytes"));
  EXPECT_THAT(Use(tensor, false, 63, 2), HasSubstr("reads outside the tensor's 64 bytes"));
  EXPECT_EQ(Use(tensor, true, 64, 16, 2, 48), "");
  EXPECT_THAT(Use(tensor, true, 64, 16, 2, 49), HasSubstr("writes outside"));
  // 2^64 - 32 rows further on: the sum wraps.
  EXPECT_THAT(Use(tensor, true, 64, 16, 2, ~uint64_t{31}), HasSubstr("writes outside"));
}

TEST_F(MemoriesTest, AnAccessStaysInItsMemory) {
  const SoftnpuTensor tensor = Tensor(SOFTNPU_SPACE_UB, 0, ~uint64_t{0});
  EXPECT_EQ(Use(tensor, true, 196608 - 32, 32), "");
  EXPECT_THAT(Use(tensor, true, 196608 - 31, 32), HasSubstr("beyond the UB's 196608 bytes"));
  EXPECT_THAT(Use(Tensor(SOFTNPU_SPACE_NONE, 0, 32), true, 0, 32),
              HasSubstr("a tensor without memory"));
}

TEST_F(MemoriesTest, ResolveFindsTheBytes) {
  const SoftnpuTensor tensor = Tensor(SOFTNPU_SPACE_UB, 0, 64);
  Access access = AccessTo(tensor, true, 32, 4);
  memories.Resolve(access);
  EXPECT_EQ(access.host, memories.ub() + 32);
}

TEST_F(MemoriesTest, BytesHoldAValueOnceWrittenUntilForgotten) {
  const SoftnpuTensor tensor = Tensor(SOFTNPU_SPACE_UB, 0, 1024);
  EXPECT_THAT(Use(tensor, false, 0, 32), HasSubstr("the first is byte 0 of the 32 read"));
  EXPECT_EQ(Use(tensor, true, 0, 16, 4, 32), "");
  EXPECT_EQ(Use(tensor, false, 0, 16, 4, 32), "");
  EXPECT_THAT(Use(tensor, false, 32, 32), HasSubstr("the first is byte 16 of the 32 read"));
  memories.Forget(SOFTNPU_SPACE_UB, 36, 40);
  EXPECT_THAT(Use(tensor, false, 32, 16), HasSubstr("the first is byte 4 of the 16 read"));
  memories.Reset();
  EXPECT_THAT(Use(tensor, false, 0, 16), HasSubstr("bytes that hold no value"));
}

TEST_F(MemoriesTest, AnAccessToGmStaysInTensorAndAllocation) {
  const uint64_t x = gm.Put(std::vector<float>(16, 1.0f), "x");
  const SoftnpuTensor whole = Tensor(SOFTNPU_SPACE_GM, x, ~uint64_t{0});
  const SoftnpuTensor part = Tensor(SOFTNPU_SPACE_GM, x + 16, x + 32);
  EXPECT_EQ(Use(whole, false, x, 64), "");
  EXPECT_THAT(Use(whole, false, x + 36, 64), HasSubstr("beyond the end of an allocation of 64"));
  EXPECT_EQ(Use(part, false, x + 16, 16), "");
  std::vector<std::string> warnings;
  launch.options.warnings = &warnings;
  EXPECT_EQ(Use(part, false, x + 16, 20), "");
  EXPECT_EQ(Use(part, false, x + 16, 20), "");  // a place is told of once
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0],
              HasSubstr("reads bytes [0, 20) of a tensor that SetGlobalBuffer gave 16"));
  const uint64_t y = gm.Put(std::vector<float>(16, 1.0f), "y");
  EXPECT_THAT(Use(part, true, y, 8),
              HasSubstr("another allocation than the tensor, which lies in 'x'"));
  launch.bounds = false;
  EXPECT_EQ(Use(part, true, y, 8), "");
  launch.bounds = true;
  EXPECT_THAT(Use(Tensor(SOFTNPU_SPACE_GM, 4096, 8192), false, 4096, 4),
              HasSubstr("where nothing is allocated"));
  uint64_t origin = 0;
  EXPECT_EQ(memories.NameOfGlobal(whole, x + 4, &origin), "GM 'x'");
  EXPECT_EQ(origin, x);
}

TEST_F(MemoriesTest, BytesOfGmHoldAValueOnceWritten) {
  const uint64_t y = gm.Allocate(64, "y");
  const SoftnpuTensor tensor = Tensor(SOFTNPU_SPACE_GM, y, y + 64);
  EXPECT_THAT(Use(tensor, false, y, 8), HasSubstr("never written, from byte 0"));
  EXPECT_EQ(Use(tensor, true, y, 4), "");
  EXPECT_THAT(Use(tensor, false, y, 8), HasSubstr("never written, from byte 4"));
}

TEST_F(MemoriesTest, WritesToAnOutputAreNoted) {
  const uint64_t y = gm.Allocate(256, "y");
  launch.options.outputs = {{y + 64, 64, "y"}};
  launch.written.assign(1, ByteSet{});
  launch.written[0].Reset(64);
  const SoftnpuTensor tensor = Tensor(SOFTNPU_SPACE_GM, y, y + 256);
  EXPECT_EQ(Use(tensor, true, y, 96), "");
  EXPECT_EQ(launch.written[0].FirstMissing(0, 64), 32u);
  EXPECT_EQ(Use(tensor, true, y + 100, 100), "");
  EXPECT_EQ(launch.written[0].FirstMissing(0, 64), 32u);
  EXPECT_EQ(launch.written[0].FirstMissing(36, 64), 64u);
  EXPECT_FALSE(launch.atomics);
}

}  // namespace
}  // namespace softnpu::ascendc
