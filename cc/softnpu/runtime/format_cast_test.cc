// cc/softnpu/runtime/format_cast_test.cc: the layout of FRACTAL_NZ, element by element.
#include "cc/softnpu/runtime/format_cast.h"

#include <cstring>

#include "cc/softnpu/base/error.h"
#include "gtest/gtest.h"

namespace softnpu {
namespace {

constexpr int32_t kHalf = 1;
constexpr int32_t kInt8 = 2;
constexpr int32_t kInt32 = 3;

FormatDesc Dense(int32_t dtype, std::vector<int64_t> dims) {
  return {dtype, kFormatNd, dims, dims};
}
FormatDesc Nz(int32_t dtype, std::vector<int64_t> dims, std::vector<int64_t> storage) {
  return {dtype, kFormatNz, std::move(dims), std::move(storage)};
}

template <typename T>
std::vector<T> Cast(const FormatDesc& from, const std::vector<T>& source, const FormatDesc& to) {
  CheckFormatCast(from, to);
  std::vector<T> out(static_cast<size_t>(StorageBytes(to)) / sizeof(T), T{77});
  FormatCast(from, reinterpret_cast<const std::byte*>(source.data()), to,
             reinterpret_cast<std::byte*>(out.data()));
  return out;
}

template <typename T>
std::vector<T> Count(int64_t count) {
  std::vector<T> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(i + 1);
  return out;
}

TEST(FormatCast, ElementsLieWhereTheFormatSays) {
  const FormatDesc dense = Dense(kHalf, {2, 18, 35});
  const FormatDesc nz = Nz(kHalf, {2, 18, 35}, {2, 3, 2, 16, 16});
  const std::vector<uint16_t> source = Count<uint16_t>(2 * 18 * 35);
  const std::vector<uint16_t> stored = Cast(dense, source, nz);
  ASSERT_EQ(stored.size(), 2U * 3 * 2 * 16 * 16);
  size_t padding = 0;
  for (size_t at = 0; at < stored.size(); ++at) {
    const size_t column = at / (2 * 16 * 16) % 3 * 16 + at % 16;
    const size_t row = at / (16 * 16) % 2 * 16 + at / 16 % 16;
    const size_t batch = at / (3 * 2 * 16 * 16);
    if (row < 18 && column < 35) {
      EXPECT_EQ(stored[at], source[(batch * 18 + row) * 35 + column]) << at;
    } else {
      EXPECT_EQ(stored[at], 0) << at;
      ++padding;
    }
  }
  EXPECT_EQ(padding, stored.size() - source.size());
  EXPECT_EQ(Cast(nz, stored, dense), source);
}

TEST(FormatCast, BlocksOfBytesHave32Columns) {
  const FormatDesc dense = Dense(kInt8, {17, 33});
  const FormatDesc nz = Nz(kInt8, {17, 33}, {2, 2, 16, 32});
  const std::vector<int8_t> source = Count<int8_t>(17 * 33);
  const std::vector<int8_t> stored = Cast(dense, source, nz);
  EXPECT_EQ(stored[31], source[31]);
  EXPECT_EQ(stored[32], source[33]);           // the second row of the first block
  EXPECT_EQ(stored[2 * 16 * 32], source[32]);  // the first row of the second block of columns
  EXPECT_EQ(stored[2 * 16 * 32 + 1], 0);
  EXPECT_EQ(Cast(nz, stored, dense), source);
}

TEST(FormatCast, OneDimensionIsAColumn) {
  const FormatDesc nz = Nz(kInt32, {20}, {1, 2, 16, 16});
  const std::vector<int32_t> source = Count<int32_t>(20);
  const std::vector<int32_t> stored = Cast(Dense(kInt32, {20}), source, nz);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(stored[i * 16], source[i]);
  EXPECT_EQ(Cast(nz, stored, Dense(kInt32, {20})), source);
}

TEST(FormatCast, EqualFormatsMoveBytes) {
  const std::vector<uint16_t> source = Count<uint16_t>(12);
  EXPECT_EQ(Cast(Dense(kHalf, {3, 4}), source, Dense(kHalf, {3, 4})), source);
}

void ExpectRefusal(const FormatDesc& from, const FormatDesc& to, const std::string& words) {
  try {
    CheckFormatCast(from, to);
    ADD_FAILURE() << "accepted: " << words;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), kAclnnInvalid);
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST(FormatCast, RefusesByName) {
  const FormatDesc nz = Nz(kHalf, {3, 4}, {1, 1, 16, 16});
  FormatDesc other = nz;
  other.format = 3;
  ExpectRefusal(Dense(kHalf, {3, 4}), other, "format 3: SoftNPU casts between");
  ExpectRefusal(Dense(9, {3, 4}), Nz(9, {3, 4}, {1, 1, 16, 16}), "dtype 9 [3, 4], format 2: a");
  ExpectRefusal(Dense(kHalf, {0, 4}), Nz(kHalf, {0, 4}, {1, 0, 16, 16}), "an empty tensor");
  ExpectRefusal(Dense(kHalf, {1, 1, 1, 1, 1, 3, 4}), nz, "7 dimensions, the limits are 1 and 6");
  ExpectRefusal(Dense(kHalf, {3, 4}), Nz(kHalf, {3, 4}, {1, 1, 16, 8}), "needs [1, 1, 16, 16]");
  ExpectRefusal(Dense(kHalf, {3, 4}), Nz(kHalf, {3, 5}, {1, 1, 16, 16}), "changes more");
  ExpectRefusal(Dense(kInt32, {3, 4}), nz, "changes more");
}

}  // namespace
}  // namespace softnpu
