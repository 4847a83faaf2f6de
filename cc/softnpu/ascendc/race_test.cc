// cc/softnpu/ascendc/race_test.cc: records of accesses: few of them, and none dropped that counts.
#include "cc/softnpu/ascendc/race.h"

#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace softnpu::ascendc {
namespace {

constexpr int kV = SOFTNPU_PIPE_V, kMte3 = SOFTNPU_PIPE_MTE3;

class Records : public ::testing::Test {
 protected:
  Records() { clocks_.Reset(true); }

  RaceRecord Access(int pipe, bool write, uint64_t base, uint64_t bytes, uint32_t line) const {
    RaceRecord record;
    record.pattern = {base, bytes, 1, 0};
    record.place = {0, line, "k.cpp"};
    record.epoch = clocks_.epoch(pipe);
    record.pipe = static_cast<uint8_t>(pipe);
    record.space = SOFTNPU_SPACE_UB;
    record.write = write;
    return record;
  }
  void Add(int pipe, bool write, uint64_t base, uint64_t bytes, uint32_t line) {
    accesses_.Add(Access(pipe, write, base, bytes, line), clocks_);
  }
  bool Races(int pipe, bool write, uint64_t base, uint64_t bytes) {
    Race race;
    return accesses_.FindRace(Access(pipe, write, base, bytes, 99), clocks_.of(pipe), false, &race);
  }

  CoreClocks clocks_;
  CoreAccesses accesses_;
};

TEST_F(Records, LoopsOfNeighboursDoNotPileUp) {
  for (int round = 0; round < 1000; ++round) {
    for (uint64_t part = 0; part < 8; ++part) Add(kMte3, false, 4096 + part * 128, 128, 1);
    clocks_.Acquire(kV, clocks_.Release(kMte3));
    Add(kV, true, 4096, 1024, 2);
    clocks_.Acquire(kMte3, clocks_.Release(kV));
  }
  EXPECT_LE(accesses_.size(), 2u);
  // Without a write that replaces them, too.
  for (int round = 0; round < 1000; ++round) {
    for (uint64_t part = 0; part < 8; ++part) Add(kMte3, false, part * 128, 128, 1);
    clocks_.Release(kMte3);
  }
  EXPECT_LE(accesses_.size(), 4u);
}

// A part of a run that was read before the pipe knew of a write races with it; what comes later and
// knows of the run only by its end must not lose the write.
TEST_F(Records, RunsKeepWhatTheirPartsDoNotKnow) {
  Add(kV, true, 0, 256, 1);
  Add(kMte3, false, 0, 128, 2);
  EXPECT_TRUE(Races(kMte3, false, 128, 128));
  Add(kMte3, false, 128, 128, 2);
  EXPECT_TRUE(Races(SOFTNPU_PIPE_MTE2, false, 0, 8));  // with the write, which reads do not replace
  EXPECT_TRUE(Races(SOFTNPU_PIPE_MTE2, true, 200, 8));
}

TEST_F(Records, ARunReplacesWhatItsEndKnowsAndNothingElse) {
  Add(kMte3, true, 0, 256, 1);
  Add(kV, true, 0, 128, 2);
  Add(kV, true, 128, 128, 2);  // covers the write, but does not know of it
  EXPECT_EQ(accesses_.size(), 2u);
  clocks_.Acquire(kV, clocks_.Release(kMte3));
  Add(kV, true, 256, 128, 2);  // of the same epoch: one record, which now knows
  EXPECT_EQ(accesses_.size(), 1u);
  EXPECT_TRUE(Races(SOFTNPU_PIPE_MTE2, false, 0, 8));
  clocks_.Acquire(SOFTNPU_PIPE_MTE2, clocks_.Release(kV));
  EXPECT_FALSE(Races(SOFTNPU_PIPE_MTE2, false, 0, 256));
}

TEST_F(Records, AWriteInPartsReplacesWhatItKnows) {
  Add(kMte3, true, 0, 256, 1);
  clocks_.Acquire(kV, clocks_.Release(kMte3));
  Add(kV, true, 0, 128, 2);
  EXPECT_EQ(accesses_.size(), 2u);
  Add(kV, true, 128, 128, 2);
  EXPECT_EQ(accesses_.size(), 1u);
  // Who does not know of the run does not know of what it replaced.
  EXPECT_TRUE(Races(SOFTNPU_PIPE_MTE2, false, 0, 8));
  clocks_.Acquire(SOFTNPU_PIPE_MTE2, clocks_.Release(kV));
  EXPECT_FALSE(Races(SOFTNPU_PIPE_MTE2, false, 0, 256));
}

// The bytes of an access, or the cache lines where the scalar unit writes.
std::set<uint64_t> PlacesOf(const RaceRecord& access, bool lines) {
  std::set<uint64_t> out;
  const Pattern& pattern = access.pattern;
  for (uint64_t row = 0; row < pattern.rows; ++row) {
    for (uint64_t i = 0; i < pattern.bytes; ++i) {
      const uint64_t at = pattern.base + row * pattern.stride + i;
      out.insert(lines ? at / 64 : at);
    }
  }
  return out;
}

bool Meet(const RaceRecord& a, const RaceRecord& b, bool lines) {
  const std::set<uint64_t> places = PlacesOf(a, lines);
  for (const uint64_t place : PlacesOf(b, lines)) {
    if (places.count(place) > 0) return true;
  }
  return false;
}

// Cores that nothing orders: two of them race where they touch a byte that one writes.
TEST(SharedAccesses, FindARaceJustWhereBytesAreShared) {
  std::mt19937 random(7);
  const auto below = [&](uint64_t end) { return random() % end; };
  size_t races = 0;
  for (int round = 0; round < 3000; ++round) {
    const uint64_t room = 64 << below(6);
    std::vector<std::pair<RaceRecord, uint32_t>> accesses(2 + below(5));
    SharedAccesses shared;
    shared.Reset(false);
    for (auto& [access, context] : accesses) {
      context = static_cast<uint32_t>(below(3));
      access.pattern.base = below(room);
      access.pattern.bytes = 1 + below(40);
      access.pattern.rows = 1 + below(4);
      access.pattern.stride = below(3) == 0 ? access.pattern.bytes : below(80);
      access.place.line = static_cast<uint32_t>(below(2));
      access.write = below(2) == 0;
      access.atomic = access.write && below(4) == 0;
      access.scalar = !access.atomic && below(4) == 0;
      if (access.scalar) access.pattern.rows = 1;
      shared.Add(access, context, nullptr);
    }
    bool want = false;
    for (const auto& [a, context] : accesses) {
      for (const auto& [b, other] : accesses) {
        if (context == other || !(a.write || b.write) || (a.atomic && b.atomic)) continue;
        const bool lines = a.write && b.write && (a.scalar || b.scalar);
        want |= Meet(a, b, false) || (lines && Meet(a, b, true));
      }
    }
    CrossRace race;
    ASSERT_EQ(shared.FindRace(&race), want) << "round " << round;
    races += want ? 1 : 0;
  }
  EXPECT_GT(races, 500u);
  EXPECT_LT(races, 2500u);
}

}  // namespace
}  // namespace softnpu::ascendc
