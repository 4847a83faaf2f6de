// cc/softnpu/opapi/elementwise_test.cc: conversions bit by bit, and strided loops against index
// walks.
//
// The views lie in host memory: this file stands in for libascendcl.so, which would translate.
#include "cc/softnpu/opapi/elementwise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>

#include "cc/softnpu/base/testing/error.h"
#include "cc/softnpu/runtime/internal.h"

extern "C" {
void* softnpu_translate(const void* address, uint64_t) { return const_cast<void*>(address); }
int32_t softnpu_report(int32_t code, const char*) { return code; }
const char* softnpu_own_message() { return ""; }
int32_t softnpu_check_written(const softnpu_access*) { return 0; }
int32_t softnpu_is_written(const softnpu_access*) { return 1; }
void softnpu_note_written(const softnpu_access*, int32_t) {}
}

namespace softnpu {
namespace {

using ::testing::HasSubstr;

// A 16-bit format by its definition, for comparison.
struct Format16 {
  int exponent_bits;
  int fraction_bits;
  float (*to_float)(uint16_t);
  uint16_t (*from_float)(float);
  DType dtype;

  uint16_t infinity() const {
    return static_cast<uint16_t>(((1 << exponent_bits) - 1) << fraction_bits);
  }
  // The magnitude of bits without a sign; that of infinity is what the next exponent would be.
  long double Magnitude(uint16_t bits) const {
    const int exponent = bits >> fraction_bits;
    const int fraction = bits & ((1 << fraction_bits) - 1);
    const int bias = (1 << (exponent_bits - 1)) - 1;
    if (exponent == 0)
      return std::ldexp(static_cast<long double>(fraction), 1 - bias - fraction_bits);
    return std::ldexp(static_cast<long double>(fraction + (1 << fraction_bits)),
                      exponent - bias - fraction_bits);
  }
  // To nearest, ties to even. Exact: long double holds every double, every int64 and every middle.
  uint16_t Nearest(long double value) const {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const long double magnitude = std::fabs(value);
    uint32_t low = 0;  // the largest not above `magnitude`
    uint32_t high = infinity() + 1U;
    while (high - low > 1) {
      const uint32_t middle = (low + high) / 2;
      (Magnitude(static_cast<uint16_t>(middle)) <= magnitude ? low : high) = middle;
    }
    if (low < infinity()) {
      const long double middle =
          (Magnitude(static_cast<uint16_t>(low)) + Magnitude(static_cast<uint16_t>(low + 1))) / 2;
      if (magnitude > middle || (magnitude == middle && (low & 1) != 0)) ++low;
    }
    return static_cast<uint16_t>(sign | low);
  }
};

const Format16 kHalfFormat = {5, 10, HalfToFloat, FloatToHalf, DType::kHalf};
const Format16 kBfloat16Format = {8, 7, Bfloat16ToFloat, FloatToBfloat16, DType::kBfloat16};

TEST(Conversions, EveryHalfAndBfloat16IsKept) {
  for (const Format16& format : {kHalfFormat, kBfloat16Format}) {
    for (uint32_t i = 0; i < 65536; ++i) {
      const auto bits = static_cast<uint16_t>(i);
      const uint16_t magnitude = bits & 0x7FFF;
      const float value = format.to_float(bits);
      ASSERT_EQ(std::signbit(value), bits >> 15 != 0) << i;
      const uint16_t back = format.from_float(value);
      if (magnitude > format.infinity()) {
        ASSERT_TRUE(std::isnan(value)) << i;
        ASSERT_GT(back & 0x7FFF, format.infinity()) << i;  // the payload may change
        ASSERT_EQ(back >> 15, bits >> 15) << i;
        continue;
      }
      ASSERT_EQ(back, bits);
      if (magnitude == format.infinity()) {
        ASSERT_TRUE(std::isinf(value)) << i;
      } else {
        ASSERT_EQ(std::fabs(static_cast<long double>(value)), format.Magnitude(magnitude)) << i;
      }
    }
  }
}

// Floats that show a wrong rounding: every exponent and sign with every upper fraction, and below
// that what lies at, just below and just above each power of two; and random ones.
template <typename Body>
void ForTellingFloats(Body&& body) {
  std::mt19937 random(1);
  for (uint32_t upper = 0; upper < 1U << 17; ++upper) {  // sign, exponent, 8 bits of the fraction
    const uint32_t bits = upper << 15;
    body(bits);
    for (const int k : {0, 11, 12, 13, 14}) {
      const uint32_t one = 1U << k;
      body(bits + one - 1);
      body(bits + one);
      body(bits + one + 1);
    }
    body(bits | 0x7FFF);
    for (int i = 0; i < 4; ++i) body(bits | (random() & 0x7FFF));
  }
  // Subnormal results end anywhere in the fraction.
  for (uint32_t exponent = 0; exponent < 512; ++exponent) {
    for (int k = 0; k < 23; ++k) {
      for (int i = 0; i < 8; ++i) {
        const uint32_t kept = (random() << (k + 1)) & 0x7FFFFF;
        for (const uint32_t below : {(1U << k) - 1, 1U << k, (1U << k) + 1}) {
          body(exponent << 23 | ((kept + below) & 0x7FFFFF));
        }
      }
    }
  }
}

TEST(Conversions, FloatsBecomeHalvesAsTheCompilersDo) {
  ForTellingFloats([](uint32_t bits) {
    const float value = std::bit_cast<float>(bits);
    const uint16_t half = FloatToHalf(value);
    const uint16_t brain = FloatToBfloat16(value);
    if (std::isnan(value)) {
      ASSERT_TRUE((half & 0x7FFF) > 0x7C00 && half >> 15 == bits >> 31) << bits;
      ASSERT_TRUE((brain & 0x7FFF) > 0x7F80 && brain >> 15 == bits >> 31) << bits;
      return;
    }
    ASSERT_EQ(half, std::bit_cast<uint16_t>(static_cast<_Float16>(value))) << bits;
    // The compiler's runtime has no float to __bf16: the next test is its only witness.
  });
}

// Against the definition of the formats.
TEST(Conversions, FloatsRoundToNearestEven) {
  std::mt19937 random(2);
  int count = 0;
  ForTellingFloats([&](uint32_t bits) {
    const float value = std::bit_cast<float>(bits);
    if (std::isnan(value) || random() % 3 != 0) return;
    ASSERT_EQ(FloatToHalf(value), kHalfFormat.Nearest(value)) << bits;
    ASSERT_EQ(FloatToBfloat16(value), kBfloat16Format.Nearest(value)) << bits;
    ++count;
  });
  EXPECT_GT(count, 100000);
}

template <typename C>
uint16_t Stored(DType dtype, C value) {
  uint16_t out = 0;
  StoreElements(dtype, reinterpret_cast<std::byte*>(&out), 1, 1, &value);
  return out;
}

// A double just beside the middle of two 16-bit values becomes that middle as a float, from which
// a second rounding would go to the wrong side.
TEST(Conversions, DoublesAreRoundedOnce) {
  std::mt19937_64 random(3);
  for (const Format16& format : {kHalfFormat, kBfloat16Format}) {
    const auto check = [&format](double value) {
      ASSERT_EQ(Stored(format.dtype, value), format.Nearest(value))
          << Name(format.dtype) << " " << std::hexfloat << value;
    };
    for (uint32_t i = 0; i < format.infinity(); ++i) {
      const auto bits = static_cast<uint16_t>(i);
      const auto next = static_cast<uint16_t>(i + 1);
      const auto middle =
          static_cast<double>((format.Magnitude(bits) + format.Magnitude(next)) / 2);
      for (const double sign : {1.0, -1.0}) {
        check(sign * middle);
        check(sign * std::nextafter(middle, 0.0));
        check(sign * std::nextafter(middle, 1e300));
        check(sign * middle * (1 + 1e-12));
        check(sign * middle * (1 - 1e-12));
      }
    }
    for (int i = 0; i < 20000; ++i) check(std::bit_cast<double>(random() & ~(uint64_t{1} << 62)));
    for (const double value : {0.0, -0.0, 1e-320, -1e-320, 1e300, -1e300, HUGE_VAL, -HUGE_VAL}) {
      check(value);
    }
    EXPECT_GT(Stored(format.dtype, std::nan("")) & 0x7FFF, format.infinity());
  }
}

TEST(Conversions, IntegersAreRoundedOnce) {
  std::mt19937_64 random(4);
  const auto check = [](int64_t value) {
    for (const Format16& format : {kHalfFormat, kBfloat16Format}) {
      ASSERT_EQ(Stored(format.dtype, value), format.Nearest(static_cast<long double>(value)))
          << Name(format.dtype) << " " << value;
    }
  };
  for (int64_t value = -70000; value <= 70000; ++value) check(value);
  for (int shift = 0; shift < 55; ++shift) {
    for (int64_t top = 256; top < 512; ++top) {  // 256 + odd: middles of bfloat16
      for (const int64_t low : {-1, 0, 1}) {
        check((top << shift) + low);
        check(-((top << shift) + low));
      }
    }
  }
  for (int i = 0; i < 20000; ++i) check(static_cast<int64_t>(random()) >> (random() % 64));
  check(std::numeric_limits<int64_t>::min());
  check(std::numeric_limits<int64_t>::max());
}

// Truncates, saturates, NaN becomes 0: in long double, which holds every bound.
template <typename T>
T Saturated(long double value) {
  if (std::isnan(value)) return 0;
  const long double whole = std::trunc(value);
  if (whole <= static_cast<long double>(std::numeric_limits<T>::min())) {
    return std::numeric_limits<T>::min();
  }
  if (whole >= static_cast<long double>(std::numeric_limits<T>::max())) {
    return std::numeric_limits<T>::max();
  }
  return static_cast<T>(whole);
}

template <typename T, typename C>
void CheckSaturation(DType dtype, C value) {
  T out = 77;
  StoreElements(dtype, reinterpret_cast<std::byte*>(&out), 1, 1, &value);
  ASSERT_EQ(out, Saturated<T>(value)) << Name(dtype) << " " << std::hexfloat << value;
}

template <typename C>
void CheckSaturations(DType from, C value) {
  CheckSaturation<int8_t>(DType::kInt8, value);
  CheckSaturation<uint8_t>(DType::kUint8, value);
  CheckSaturation<int16_t>(DType::kInt16, value);
  CheckSaturation<int32_t>(DType::kInt32, value);
  CheckSaturation<int64_t>(DType::kInt64, value);
  int64_t loaded = 77;
  LoadElements(from, reinterpret_cast<const std::byte*>(&value), 1, 1, &loaded);
  ASSERT_EQ(loaded, Saturated<int64_t>(value)) << std::hexfloat << value;
  uint8_t truth = 77;
  StoreElements(DType::kBool, reinterpret_cast<std::byte*>(&truth), 1, 1, &value);
  ASSERT_EQ(truth, value != C{0} ? 1 : 0) << value;
}

template <typename C>
void CheckSaturationsAtBounds(DType from) {
  std::mt19937_64 random(5);
  for (int power = 0; power < 70; ++power) {
    const C base = std::ldexp(C{1}, power);
    for (const C sign : {C{1}, C{-1}}) {
      for (const C offset : {C{0}, C{0.25}, C{-0.25}, C{0.5}, C{-0.5}, C{1}, C{-1}, C{1.5}}) {
        CheckSaturations<C>(from, sign * base + offset);
      }
      CheckSaturations<C>(from, sign * std::nextafter(base, C{0}));
      CheckSaturations<C>(from, sign * std::nextafter(base, base * 2));
    }
  }
  using Limits = std::numeric_limits<C>;
  for (const C value :
       {C{0}, -C{0}, Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(),
        -Limits::quiet_NaN(), Limits::max(), Limits::lowest(), Limits::denorm_min()}) {
    CheckSaturations<C>(from, value);
  }
  for (int i = 0; i < 20000; ++i) {
    CheckSaturations<C>(from, std::ldexp(static_cast<C>(static_cast<int64_t>(random())),
                                         -static_cast<int>(random() % 66)));
  }
}

TEST(Conversions, FloatingToIntegerSaturates) {
  CheckSaturationsAtBounds<float>(DType::kFloat);
  CheckSaturationsAtBounds<double>(DType::kDouble);
  for (const Format16& format : {kHalfFormat, kBfloat16Format}) {
    for (uint32_t i = 0; i < 65536; ++i) {
      const auto bits = static_cast<uint16_t>(i);
      int64_t out = 77;
      LoadElements(format.dtype, reinterpret_cast<const std::byte*>(&bits), 1, 1, &out);
      ASSERT_EQ(out, Saturated<int64_t>(format.to_float(bits))) << i;
    }
  }
}

TEST(Conversions, IntegersWrap) {
  for (const int64_t value :
       {int64_t{-129}, int64_t{255}, int64_t{1} << 40, (int64_t{1} << 40) - 3}) {
    int8_t narrow = 0;
    StoreElements(DType::kInt8, reinterpret_cast<std::byte*>(&narrow), 1, 1, &value);
    EXPECT_EQ(narrow, static_cast<int8_t>(static_cast<uint64_t>(value) & 0xFF));
    int32_t word = 0;
    StoreElements(DType::kInt32, reinterpret_cast<std::byte*>(&word), 1, 1, &value);
    EXPECT_EQ(word, static_cast<int32_t>(static_cast<uint64_t>(value) & 0xFFFFFFFF));
  }
}

// Random views.

std::vector<int64_t> RandomDims(std::mt19937& random) {
  std::vector<int64_t> dims(random() % (kMaxRank + 1));
  int64_t count = 1;
  for (int64_t& dim : dims) {
    dim = static_cast<int64_t>(random() % 5);
    if (dim == 0 && random() % 4 != 0) dim = 1;
    if (random() % 8 == 0 && count < 50) dim = 600 + static_cast<int64_t>(random() % 600);
    if (count * dim > 5000) dim = 1;
    count *= std::max<int64_t>(dim, 1);  // of no elements too: strides are made of it
  }
  return dims;
}

// A view of these dimensions in any order of its strides, with gaps; its elements do not overlap
// unless `broadcast`, which gives some dimensions a stride of 0 (or, on the left, none at all).
struct Storage {
  View view;
  std::vector<std::byte> bytes;
};

Storage RandomView(std::mt19937& random, DType dtype, std::vector<int64_t> dims, bool broadcast) {
  if (broadcast) {
    while (!dims.empty() && random() % 4 == 0) dims.erase(dims.begin());
    for (int64_t& dim : dims) {
      if (random() % 4 == 0) dim = 1;
    }
  }
  Storage out;
  View& view = out.view;
  view.dtype = dtype;
  view.rank = static_cast<int>(dims.size());
  std::copy(dims.begin(), dims.end(), view.dims.begin());
  std::vector<size_t> order(dims.size());
  std::iota(order.rbegin(), order.rend(), size_t{0});
  if (random() % 2 == 0) std::shuffle(order.begin(), order.end(), random);
  const bool gaps = random() % 2 == 0;
  int64_t stride = 1;
  for (const size_t d : order) {
    if (gaps && stride < 1000 && random() % 3 == 0) stride *= 2;
    view.strides[d] = stride;
    stride *= std::max<int64_t>(dims[d], 1);
    if (gaps && random() % 3 == 0) stride += 3;
    if (broadcast && random() % 8 == 0) view.strides[d] = 0;  // as torch's expand gives it
  }
  view.offset = static_cast<int64_t>(random() % 5);
  out.bytes.resize(static_cast<size_t>((view.offset + stride + 8) * Size(dtype)));
  uint32_t state = random();
  for (std::byte& byte : out.bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  view.data = out.bytes.data();
  return out;
}

// Calls body(index) for every index of `dims`, slowly.
void Walk(const View& like, const std::function<void(const std::vector<int64_t>&)>& body) {
  std::vector<int64_t> index(static_cast<size_t>(like.rank), 0);
  const int64_t count = like.Count();
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i;
    for (int d = like.rank - 1; d >= 0; --d) {
      index[static_cast<size_t>(d)] = rest % like.Dim(d);
      rest /= like.Dim(d);
    }
    body(index);
  }
}

// Byte offset in the storage of an element, by the rules of broadcasting.
size_t OffsetOf(const View& view, const std::vector<int64_t>& index) {
  int64_t at = view.offset;
  for (int d = 0; d < view.rank; ++d) {
    const size_t mine = index.size() - static_cast<size_t>(view.rank - d);
    if (view.Dim(d) != 1) at += index[mine] * view.Stride(d);
  }
  return static_cast<size_t>(at * Size(view.dtype));
}

template <typename T>
T At(const std::vector<std::byte>& bytes, size_t offset) {
  T out;
  std::memcpy(&out, &bytes[offset], sizeof(T));
  return out;
}

TEST(Loops, MapVisitsEveryElementOnce) {
  std::mt19937 random(6);
  for (int round = 0; round < 500; ++round) {
    const std::vector<int64_t> dims = RandomDims(random);
    Storage out = RandomView(random, DType::kInt32, dims, false);
    const Storage a = RandomView(random, DType::kInt32, dims, true);
    const Storage b = RandomView(random, DType::kInt16, dims, true);
    std::vector<std::byte> want = out.bytes;
    Walk(out.view, [&](const std::vector<int64_t>& index) {
      const auto sum =
          static_cast<int32_t>(3 * int64_t{At<int32_t>(a.bytes, OffsetOf(a.view, index))} -
                               At<int16_t>(b.bytes, OffsetOf(b.view, index)));
      std::memcpy(&want[OffsetOf(out.view, index)], &sum, sizeof(sum));
    });
    int64_t calls = 0;
    Map<int64_t, 2>(out.view, {a.view, b.view}, [&calls](int64_t x, int64_t y) {
      ++calls;
      return 3 * x - y;
    });
    ASSERT_EQ(calls, out.view.Count()) << round;
    ASSERT_TRUE(out.bytes == want) << round << " " << out.view.Text();
  }
}

TEST(Loops, MapOfNoAndOfThreeOperands) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const std::vector<int64_t> dims = RandomDims(random);
    Storage out = RandomView(random, DType::kInt64, dims, false);
    std::vector<std::byte> want = out.bytes;
    const Storage a = RandomView(random, DType::kUint8, dims, true);
    const Storage b = RandomView(random, DType::kInt8, dims, true);
    const Storage c = RandomView(random, DType::kBool, dims, true);
    Walk(out.view, [&](const std::vector<int64_t>& index) {
      const int64_t value = At<uint8_t>(a.bytes, OffsetOf(a.view, index)) * 1000 +
                            At<int8_t>(b.bytes, OffsetOf(b.view, index)) * 10 +
                            (At<uint8_t>(c.bytes, OffsetOf(c.view, index)) != 0 ? 1 : 0);
      std::memcpy(&want[OffsetOf(out.view, index)], &value, sizeof(value));
    });
    Map<int64_t, 3>(out.view, {a.view, b.view, c.view},
                    [](int64_t x, int64_t y, int64_t z) { return 1000 * x + 10 * y + z; });
    ASSERT_TRUE(out.bytes == want) << round;
    Walk(out.view, [&](const std::vector<int64_t>& index) {
      const int64_t value = 42;
      std::memcpy(&want[OffsetOf(out.view, index)], &value, sizeof(value));
    });
    Map<int64_t, 0>(out.view, {}, [] { return int64_t{42}; });
    ASSERT_TRUE(out.bytes == want) << round;
  }
}

// Equal dtypes move bytes: random bytes hold signalling NaNs and bools that are neither 0 nor 1.
TEST(Loops, CopiesOfEqualDtypesKeepEveryByte) {
  std::mt19937 random(8);
  for (const DType dtype : {DType::kInt8, DType::kBool, DType::kHalf, DType::kBfloat16,
                            DType::kFloat, DType::kInt32, DType::kDouble, DType::kInt64}) {
    const auto size = static_cast<size_t>(Size(dtype));
    for (int round = 0; round < 300; ++round) {
      const std::vector<int64_t> dims = RandomDims(random);
      Storage out = RandomView(random, dtype, dims, false);
      const Storage in = RandomView(random, dtype, dims, true);
      std::vector<std::byte> want = out.bytes;
      Walk(out.view, [&](const std::vector<int64_t>& index) {
        std::memcpy(&want[OffsetOf(out.view, index)], &in.bytes[OffsetOf(in.view, index)], size);
      });
      CopyElements(out.view, in.view);
      ASSERT_TRUE(out.bytes == want) << Name(dtype) << " " << round;
    }
  }
}

TEST(Loops, CopiesConvert) {
  std::mt19937 random(9);
  for (int round = 0; round < 300; ++round) {
    const std::vector<int64_t> dims = RandomDims(random);
    Storage out = RandomView(random, DType::kBfloat16, dims, false);
    const Storage in = RandomView(random, DType::kInt32, dims, true);
    std::vector<std::byte> want = out.bytes;
    Walk(out.view, [&](const std::vector<int64_t>& index) {
      const uint16_t bits =
          kBfloat16Format.Nearest(At<int32_t>(in.bytes, OffsetOf(in.view, index)));
      std::memcpy(&want[OffsetOf(out.view, index)], &bits, sizeof(bits));
    });
    CopyElements(out.view, in.view);
    ASSERT_TRUE(out.bytes == want) << round;
  }
}

View Dense(std::vector<std::byte>& bytes, const std::vector<int64_t>& dims) {
  View view;
  view.dtype = DType::kInt8;
  view = Reshaped(view, dims);
  bytes.resize(static_cast<size_t>(view.Count()));
  view.data = bytes.data();
  return view;
}

TEST(Loops, DenseDimensionsAreOneRun) {
  std::vector<std::byte> bytes;
  const View dense = Dense(bytes, {2, 3, 1, 4});
  std::vector<int64_t> runs;
  const auto note = [&runs](const auto&, const auto&, int64_t count) { runs.push_back(count); };
  ForEachRun<1>({dense}, note);
  EXPECT_THAT(runs, ::testing::ElementsAre(24));
  runs.clear();
  View holes = dense;
  holes.strides = {24, 4, 4, 1};  // between the two planes
  ForEachRun<2>({dense, holes}, note);
  EXPECT_THAT(runs, ::testing::ElementsAre(12, 12));
  runs.clear();
  ForEachRun<1>({Dense(bytes, {})}, note);
  EXPECT_THAT(runs, ::testing::ElementsAre(1));
  runs.clear();
  ForEachRun<1>({Dense(bytes, {4, 0, 2})}, note);
  EXPECT_THAT(runs, ::testing::IsEmpty());
}

TEST(Views, ExpandedFollowsBroadcasting) {
  std::vector<std::byte> a;
  std::vector<std::byte> b;
  const View like = Dense(a, {4, 2, 3});
  const View out = Expanded(Dense(b, {2, 1}), like, "'x'");
  EXPECT_EQ(out.Shape(), like.Shape());
  EXPECT_EQ(out.Stride(0), 0);
  EXPECT_EQ(out.Stride(1), 1);
  EXPECT_EQ(out.Stride(2), 0);
  EXPECT_EQ(out.data, b.data());
  for (const std::vector<int64_t>& wrong :
       {std::vector<int64_t>{2}, {4, 1, 2}, {3, 2, 3}, {1, 4, 2, 3}, {0, 3}}) {
    const View view = Dense(b, wrong);
    EXPECT_EQ(ErrorOf([&] { Expanded(view, like, "'x'"); }),
              "161002 'x' " + view.Text() + " cannot be broadcast to the shape of int8 [4, 2, 3]");
  }
  // The other way round, a dimension of 1 takes no more.
  const View one = Dense(b, {1});
  EXPECT_THAT(ErrorOf([&] { Expanded(like, one, "'x'"); }), HasSubstr("cannot be broadcast"));
}

TEST(Views, ReshapedIsDense) {
  std::vector<std::byte> bytes;
  const View view = Reshaped(Dense(bytes, {4, 6}), {2, 3, 4});
  EXPECT_EQ(view.Text(), "int8 [2, 3, 4]");
  EXPECT_TRUE(view.IsContiguous());
  EXPECT_EQ(view.Stride(0), 12);
  EXPECT_EQ(ErrorOf([&] { Reshaped(view, std::vector<int64_t>(9, 1)); }),
            "161002 int8 [2, 3, 4] cannot have 9 dimensions, the limit is 8");
  EXPECT_NO_THROW(Reshaped(view, std::vector<int64_t>(8, 1)));
}

TEST(Views, AnUnknownDtypeIsRefused) {
  EXPECT_EQ(ErrorOf([] { Size(static_cast<DType>(16)); }),
            "161002 the dtype 16 is none that SoftNPU has");
}

}  // namespace
}  // namespace softnpu
