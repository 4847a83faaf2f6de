// cc/softnpu/ascendc/timing_test.cc: a core that runs ahead of the others has the same times as one
// that keeps step with them.
#include "cc/softnpu/ascendc/timing.h"

#include <algorithm>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "cc/softnpu/ascendc/testing/core_units.h"

namespace softnpu::ascendc {
namespace {

constexpr int kCubes = 2;
constexpr int kVectors = 4;
constexpr int kUsed[] = {SOFTNPU_PIPE_V, SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_MTE3};

class Timelines {
 public:
  explicit Timelines(uint64_t seed) : random_(seed) {}

  // Copies, instructions, barriers and flags of a core.
  CoreTimeline Make(uint32_t context) {
    CoreTimeline out;
    out.Reset(context);
    std::vector<std::pair<int, uint64_t>> set;
    for (size_t i = 0, count = Below(120); i < count; ++i) {
      const int pipe = kUsed[Below(3)];
      const Place place = {0, static_cast<uint32_t>(i), "k.cpp"};
      switch (Below(8)) {
        case 0:
          out.Barrier(Below(3) == 0 ? SOFTNPU_PIPE_ALL : pipe, place);
          break;
        case 1:
          set.emplace_back(pipe, out.Set(pipe, place));
          break;
        case 2:
          if (!set.empty()) {
            const auto& [from, token] = set[Below(set.size())];
            const int to = Below(4) == 0 ? static_cast<int>(SOFTNPU_PIPE_S) : pipe;
            if (from != to) out.Wait(to, token, place);
          }
          break;
        case 3:
          out.Add(TimeOp::Kind::kScalar, SOFTNPU_PIPE_S, place).work =
              static_cast<float>(Below(40));
          break;
        default:
          Work(out.Add(TimeOp::Kind::kWork, pipe, place));
      }
    }
    return out;
  }

 private:
  uint64_t Below(uint64_t end) { return random_() % end; }

  void Work(TimeOp& op) {
    op.issue = 8;
    op.work = static_cast<float>(1 + Below(300));
    op.latency = static_cast<float>(Below(200));
    if (op.pipe == SOFTNPU_PIPE_V) return;
    op.bytes = op.moved = static_cast<uint32_t>(32 + Below(20000));
    op.missed = static_cast<uint32_t>(Below(2) * Below(20000));
    op.write = op.pipe == SOFTNPU_PIPE_MTE3;
  }

  std::mt19937_64 random_;
};

// Of the first `cores`, in an order of their own.
std::vector<TimeSlice> SlicesOf(const TimeReport& report, size_t cores) {
  std::vector<TimeSlice> out;
  for (const TimeSlice& slice : report.slices) {
    if (slice.context < cores) out.push_back(slice);
  }
  std::sort(out.begin(), out.end(), [](const TimeSlice& a, const TimeSlice& b) {
    return std::tie(a.context, a.place.line) < std::tie(b.context, b.place.line);
  });
  return out;
}

TEST(Timing, CoresThatRunAheadHaveTheTimesOfCoresThatKeepStep) {
  const TimeTable table(*testing::Chip910B().time);
  size_t slices = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Timelines made(seed);
    std::vector<CoreTimeline> timelines;
    const size_t count = 1 + seed % 5;
    for (size_t c = 0; c < count; ++c) timelines.push_back(made.Make(static_cast<uint32_t>(c)));
    // Two cube cores of which one waits for the other: nothing else, and all cores keep step.
    timelines.resize(count + kCubes);
    for (size_t c = count; c < timelines.size(); ++c) {
      timelines[c].Reset(static_cast<uint32_t>(c));
    }
    const uint64_t token = timelines[count].Set(SOFTNPU_PIPE_MTE2, Place{});
    timelines[count + 1].Wait(SOFTNPU_PIPE_MTE2, token, Place{});
    std::vector<TimedCore> cores;
    for (size_t c = 0; c < timelines.size(); ++c) cores.push_back({&timelines[c], c >= count});
    const bool warm = seed % 2 == 0;
    const TimeReport step = PlayTimelines(table, cores, kCubes, kVectors, 0, warm, true);
    cores.resize(count);
    const TimeReport ahead = PlayTimelines(table, cores, kCubes, kVectors, 0, warm, true);
    const std::vector<TimeSlice> want = SlicesOf(step, count);
    const std::vector<TimeSlice> found = SlicesOf(ahead, count);
    ASSERT_EQ(found.size(), want.size()) << seed;
    // Sums of the same numbers, in steps that are cut in other places: some 1e5 roundings of 1e-16.
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(found[i].begin, want[i].begin, 1e-10 * (1 + want[i].begin)) << seed;
      ASSERT_NEAR(found[i].end, want[i].end, 1e-10 * (1 + want[i].end)) << seed;
    }
    slices += want.size();
  }
  EXPECT_GT(slices, 10000u);
}

// Copies of all cores together take what the memory takes; with one place, cores run in turn.
TEST(Timing, CoresShareTheChipsRateAndItsPlaces) {
  const TimeTable table(*testing::Chip910B().time);
  std::vector<CoreTimeline> timelines(80);
  std::vector<TimedCore> cores;
  for (uint32_t c = 0; c < timelines.size(); ++c) {
    timelines[c].Reset(c);
    TimeOp& op = timelines[c].Add(TimeOp::Kind::kWork, SOFTNPU_PIPE_MTE2, Place{});
    op.bytes = op.moved = op.missed = 1 << 20;
    cores.push_back({&timelines[c], false});
  }
  const double bytes = 80.0 * (1 << 20);
  const double all = PlayTimelines(table, cores, 0, 80, 0, false, false).cycles;
  EXPECT_NEAR(all, bytes / table.At("hbm_bytes_per_cycle"), 1e-6 * all);
  const double one = PlayTimelines(table, {cores[0]}, 0, 1, 0, false, false).cycles;
  const double in_turn = PlayTimelines(table, cores, 0, 1, 0, false, false).cycles;
  EXPECT_NEAR(in_turn, 80 * one, 1e-6 * in_turn);
}

}  // namespace
}  // namespace softnpu::ascendc
