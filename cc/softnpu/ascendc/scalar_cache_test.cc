// cc/softnpu/ascendc/scalar_cache_test.cc: dirty and stale bytes, and what leaves the cache.
#include "cc/softnpu/ascendc/scalar_cache.h"

#include <algorithm>

#include "cc/softnpu/ascendc/testing/core_units.h"

namespace softnpu::ascendc {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kGm = 0x1000;  // a line begins here

class ScalarCacheTest : public testing::CoreUnits {
 protected:
  void Store(uint64_t at, uint64_t bytes, uint32_t line, uint32_t epoch = 0) {
    Issue(SOFTNPU_OP_SCALAR_STORE, line);
    cache.Store(AccessTo(tensor_, true, kGm + at, bytes), epoch);
  }
  std::string Load(uint64_t at, uint64_t bytes) {
    Issue(SOFTNPU_OP_SCALAR_LOAD);
    return FaultOf([&] { cache.Load(AccessTo(tensor_, false, kGm + at, bytes)); });
  }
  std::string Bypass(bool write, uint64_t at, uint64_t bytes, uint64_t rows = 1,
                     uint64_t stride = 0) {
    Issue(SOFTNPU_OP_DATA_COPY, 9, write ? SOFTNPU_PIPE_MTE3 : SOFTNPU_PIPE_MTE2);
    return FaultOf([&] { cache.Bypass(AccessTo(tensor_, write, kGm + at, bytes, rows, stride)); });
  }
  void OtherCoreWrites(uint64_t at, uint64_t bytes) {
    cache.MarkStale({kGm + at, bytes}, {SOFTNPU_OP_DATA_COPY, 7, "other.cpp"});
  }

  SoftnpuTensor tensor_ = Tensor(SOFTNPU_SPACE_GM, kGm, kGm + 65536);
};

TEST_F(ScalarCacheTest, ALoadOfAStaleByteNamesWhoHasWrittenGm) {
  EXPECT_EQ(Load(0, 4), "");
  OtherCoreWrites(4, 4);
  EXPECT_EQ(Load(0, 4), "");  // another byte of the line
  EXPECT_THAT(Load(4, 4), HasSubstr("older than GM, which DataCopy at other.cpp:7 has written"));
  EXPECT_EQ(Load(64, 4), "");
}

TEST_F(ScalarCacheTest, ALineThatIsNotInTheCacheIsNeverStale) {
  OtherCoreWrites(0, 64);
  EXPECT_EQ(Load(0, 4), "");
}

TEST_F(ScalarCacheTest, AStoreMakesItsBytesNew) {
  EXPECT_EQ(Load(0, 8), "");
  OtherCoreWrites(0, 8);
  Store(0, 4, 3);
  EXPECT_EQ(Load(0, 4), "");
  EXPECT_THAT(Load(4, 4), HasSubstr("older than GM"));
}

TEST_F(ScalarCacheTest, ACopyReadsNoDirtyByte) {
  Store(8, 4, 3);
  EXPECT_EQ(Bypass(false, 12, 4), "");
  EXPECT_THAT(Bypass(false, 0, 64), HasSubstr("reads bytes that SetValue at k.cpp:3 has written"));
}

TEST_F(ScalarCacheTest, ACopyWritesIntoNoDirtyLine) {
  Store(8, 4, 3);
  EXPECT_THAT(Bypass(true, 32, 4), HasSubstr("writes into a line that SetValue at k.cpp:3"));
  EXPECT_EQ(Bypass(true, 64, 4), "");
}

TEST_F(ScalarCacheTest, ACopyOfThisCoreMakesLinesStaleToo) {
  EXPECT_EQ(Load(0, 4), "");
  EXPECT_EQ(Bypass(true, 0, 4), "");
  EXPECT_THAT(Load(0, 4), HasSubstr("which DataCopy at k.cpp:9 has written"));
}

// A copy of many lines looks at the lines of the cache instead of its own.
TEST_F(ScalarCacheTest, LargeCopiesAreJudgedAsSmallOnes) {
  Store(8, 4, 3);
  EXPECT_EQ(Load(640, 4), "");
  EXPECT_EQ(Bypass(false, 0, 8, 100, 128), "");  // its rows do not touch the dirty bytes
  EXPECT_THAT(Bypass(false, 0, 12, 100, 128), HasSubstr("SetValue at k.cpp:3"));
  EXPECT_EQ(Bypass(true, 128, 4, 100, 128), "");
  EXPECT_THAT(Load(640, 4), HasSubstr("older than GM"));
  EXPECT_EQ(Load(648, 4), "");
}

TEST_F(ScalarCacheTest, CleaningGivesTheRunsOfDirtyBytes) {
  Store(0, 4, 3, 5);
  Store(16, 2, 4, 6);
  const std::vector<RaceRecord> runs = cache.Clean(kGm + 60, 8);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].pattern.base, kGm);
  EXPECT_EQ(runs[0].pattern.bytes, 4u);
  EXPECT_EQ(runs[1].pattern.base, kGm + 16);
  EXPECT_EQ(runs[1].pattern.bytes, 2u);
  for (const RaceRecord& run : runs) {
    EXPECT_EQ(run.epoch, 8u);
    EXPECT_EQ(run.place.line, 4u);  // the line's last store
    EXPECT_TRUE(run.cleaned && run.write && run.scalar);
  }
  EXPECT_TRUE(cache.Clean(kGm, 8).empty());
}

TEST_F(ScalarCacheTest, CleaningALineLeavesTheOthers) {
  Store(0, 4, 3);
  Store(64, 4, 4);
  EXPECT_EQ(cache.Clean(kGm, 1).size(), 1u);
  EXPECT_THAT(Bypass(false, 64, 4), HasSubstr("SetValue at k.cpp:4"));
  EXPECT_EQ(Bypass(false, 0, 4), "");
}

TEST_F(ScalarCacheTest, WhatIsLeftAtTheEndCountsAsWrittenWhenItWasStored) {
  Store(0, 64, 3, 5);
  Store(128, 4, 4, 6);
  EXPECT_EQ(Load(256, 4), "");
  std::vector<RaceRecord> runs = cache.CleanAll(std::nullopt);
  std::sort(runs.begin(), runs.end(), [](const RaceRecord& a, const RaceRecord& b) {
    return a.pattern.base < b.pattern.base;
  });
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].pattern.bytes, 64u);
  EXPECT_EQ(runs[0].epoch, 5u);
  EXPECT_EQ(runs[1].epoch, 6u);
  EXPECT_FALSE(runs[0].cleaned || runs[1].cleaned);
  EXPECT_TRUE(cache.CleanAll(std::nullopt).empty());
}

}  // namespace
}  // namespace softnpu::ascendc
