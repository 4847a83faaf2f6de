// cc/softnpu/runtime/written_test.cc: the map of written bytes, against a plain set of bytes.
#include "cc/softnpu/runtime/written.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <random>
#include <set>
#include <vector>

#include "cc/softnpu/base/error.h"

namespace softnpu {
namespace {

constexpr size_t kPage = 4096;

TEST(WrittenMap, IsWhatAPlainArrayOfFlagsIs) {
  constexpr size_t kBytes = 5 * kPage;
  WrittenMap map(kBytes);
  std::vector<char> plain(kBytes, 0);
  std::mt19937 random(1);
  for (int step = 0; step < 3000; ++step) {
    const size_t bytes = random() % (step % 3 == 0 ? 3 * kPage : 100);
    const size_t begin = random() % (kBytes - bytes);
    switch (random() % 4) {
      case 0:
        map.Mark(begin, bytes);
        std::fill_n(plain.begin() + static_cast<ptrdiff_t>(begin), bytes, 1);
        break;
      case 1:
        map.Clear(begin, bytes);
        std::fill_n(plain.begin() + static_cast<ptrdiff_t>(begin), bytes, 0);
        break;
      case 2: {
        const size_t to = random() % (kBytes - bytes);
        map.Copy(map, to, begin, bytes);
        const std::vector<char> moved(plain.begin() + static_cast<ptrdiff_t>(begin),
                                      plain.begin() + static_cast<ptrdiff_t>(begin + bytes));
        std::copy(moved.begin(), moved.end(), plain.begin() + static_cast<ptrdiff_t>(to));
        break;
      }
      default:
        // What a core of the simulator does.
        std::fill_n(map.bytes() + begin, bytes, uint8_t{1});
        std::fill_n(plain.begin() + static_cast<ptrdiff_t>(begin), bytes, 1);
    }
    const size_t from = random() % kBytes;
    const size_t length = random() % (kBytes - from + 1);
    size_t first = from;
    while (first < from + length && plain[first] != 0) ++first;
    ASSERT_EQ(map.FirstUnwritten(from, length), first) << "step " << step;
  }
}

TEST(ClearPages, GivesZerosAlsoWhereTheHostTakesNoPagesBack) {
  std::vector<uint8_t> map(3 * kPage, 1);
  ClearPages(-1, map.data(), kPage, kPage);
  std::vector<uint8_t> wanted(3 * kPage, 1);
  std::fill_n(wanted.begin() + kPage, kPage, uint8_t{0});
  EXPECT_EQ(map, wanted);
}

size_t OpenFiles() {
  const std::filesystem::directory_iterator files("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(files), end(files)));
}

TEST(WrittenMap, LeavesNothingWhenTheHostHasNoAddressSpace) {
  const size_t before = OpenFiles();
  EXPECT_THROW(WrittenMap(size_t{1} << 60), Error);
  EXPECT_EQ(OpenFiles(), before);
}

softnpu_access Make(std::vector<int64_t> dims, std::vector<int64_t> strides, int64_t element) {
  softnpu_access out = {};
  out.element_bytes = element;
  out.rank = static_cast<uint32_t>(dims.size());
  std::copy(dims.begin(), dims.end(), out.dims);
  std::copy(strides.begin(), strides.end(), out.strides);
  return out;
}

struct Covered {
  std::set<size_t> bytes;
  size_t pieces = 0;
};

Covered Cover(softnpu_access access) {
  static std::vector<std::byte> memory(1 << 16);
  access.address = memory.data();
  Covered out;
  ForEachPiece(access, [&](const std::byte* at, size_t bytes) {
    ++out.pieces;
    for (size_t i = 0; i < bytes; ++i) {
      out.bytes.insert(static_cast<size_t>(at - memory.data()) + i);
    }
    return true;
  });
  return out;
}

TEST(Pieces, CoverEveryElementAndNothingElse) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    // A random dense tensor, sliced with steps and transposed.
    std::vector<int64_t> dims;
    std::vector<int64_t> strides;
    int64_t stride = 1;
    for (size_t i = 0; i < 1 + random() % 4; ++i) {
      const int64_t size = 1 + static_cast<int64_t>(random() % 5);
      const int64_t step = 1 + static_cast<int64_t>(random() % 2);
      dims.push_back((size + step - 1) / step);
      strides.push_back(stride * step);
      stride *= size;
    }
    if (random() % 4 == 0) {
      dims.push_back(3);
      strides.push_back(0);
    }
    for (size_t i = dims.size() - 1; i > 0; --i) {
      const size_t j = random() % (i + 1);
      std::swap(dims[i], dims[j]);
      std::swap(strides[i], strides[j]);
    }
    const int64_t element = int64_t{1} << random() % 4;
    std::set<size_t> wanted;
    std::vector<int64_t> index(dims.size(), 0);
    while (true) {
      int64_t at = 0;
      for (size_t i = 0; i < dims.size(); ++i) at += index[i] * strides[i];
      for (int64_t b = 0; b < element; ++b) wanted.insert(static_cast<size_t>(at * element + b));
      size_t i = 0;
      while (i < dims.size() && ++index[i] == dims[i]) index[i++] = 0;
      if (i == dims.size()) break;
    }
    const softnpu_access access = Make(dims, strides, element);
    ASSERT_EQ(Cover(access).bytes, wanted);
    ASSERT_EQ(SpanBytes(access), *wanted.rbegin() + 1);
  }
}

TEST(Pieces, AreAsLongAsTheStridesAllow) {
  EXPECT_EQ(Cover(Make({4, 8, 16}, {128, 16, 1}, 2)).pieces, 1u);
  EXPECT_EQ(Cover(Make({16, 8, 4}, {1, 16, 128}, 2)).pieces, 1u) << "transposed";
  EXPECT_EQ(Cover(Make({4, 8, 16}, {256, 32, 1}, 2)).pieces, 32u);
  EXPECT_EQ(Cover(Make({4, 100}, {32, 0}, 2)).pieces, 4u) << "broadcast";
  EXPECT_EQ(Cover(Make({}, {}, 8)).pieces, 1u);
  EXPECT_EQ(Cover(Make({4, 0}, {1, 1}, 8)).pieces, 0u);
  EXPECT_EQ(SpanBytes(Make({4, 0}, {1, 1}, 8)), 0u);
}

}  // namespace
}  // namespace softnpu
