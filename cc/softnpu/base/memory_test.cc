// cc/softnpu/base/memory_test.cc: the memcpy that is linked in does what C says, at all sizes.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

namespace softnpu {
namespace {

constexpr size_t kMost = 600;

// Calls through this are not replaced by the compiler's own code.
void* (*volatile g_copy)(void*, const void*, size_t) = std::memcpy;

std::vector<unsigned char> Numbers() {
  std::vector<unsigned char> out(2 * kMost);
  std::iota(out.begin(), out.end(), 1);
  return out;
}

TEST(Memory, CopiesJustItsBytes) {
  for (size_t bytes = 0; bytes <= kMost; ++bytes) {
    const std::vector<unsigned char> from = Numbers();
    std::vector<unsigned char> to(from.size(), 7);
    EXPECT_EQ(g_copy(&to[3], &from[5], bytes), &to[3]);
    std::vector<unsigned char> want(from.size(), 7);
    for (size_t i = 0; i < bytes; ++i) want[3 + i] = from[5 + i];
    ASSERT_EQ(to, want) << bytes;
  }
}

}  // namespace
}  // namespace softnpu
