// cc/softnpu/opapi/parallel_test.cc: parts make up the whole, whoever calls and whatever fails.
#include "cc/softnpu/opapi/parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace softnpu {
namespace {

using ::testing::Each;

// How often each of `count` elements was in a part.
std::vector<int> Visits(int64_t count, int64_t step) {
  std::vector<int> visits(static_cast<size_t>(count));
  InParts(count, step, [&](int64_t begin, int64_t end) {
    EXPECT_EQ(begin % step, 0);
    EXPECT_TRUE(end % step == 0 || end == count) << end;
    for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
  });
  return visits;
}

TEST(InParts, VisitEachElementOnce) {
  for (const int64_t count : {0, 1, 63, 64, 65, 1000}) {
    for (const int64_t step : {1, 7, 64, 2000}) {
      EXPECT_THAT(Visits(count, step), Each(1)) << count << " by " << step;
    }
  }
}

TEST(InParts, OfSeveralCallersAtOnceAreRight) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong = 0;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        for (const int visits : Visits(100, 8)) wrong += visits != 1;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(InParts, GiveTheErrorOfAPartWhenAllHaveEnded) {
  std::atomic<int> ended = 0;
  std::atomic<int> begun = 0;
  EXPECT_THROW(InParts(64, 1,
                       [&](int64_t begin, int64_t) {
                         ++begun;
                         if (begin == 0) throw std::runtime_error("a part failed");
                         std::this_thread::sleep_for(std::chrono::milliseconds(20));
                         ++ended;
                       }),
               std::runtime_error);
  EXPECT_EQ(ended, begun - 1);
  EXPECT_THAT(Visits(64, 1), Each(1));
}

TEST(InParts, InAForkedProcessDoNotWaitForThreadsThatItDoesNotHave) {
  EXPECT_THAT(Visits(64, 1), Each(1));
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    int sum = 0;
    InParts(64, 1, [&](int64_t begin, int64_t end) { sum += static_cast<int>(end - begin); });
    _exit(sum == 64 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace softnpu
