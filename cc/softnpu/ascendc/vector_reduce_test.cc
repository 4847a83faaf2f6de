// cc/softnpu/ascendc/vector_reduce_test.cc: reductions against references in double.
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

template <typename T>
T Round(double value) {
  if constexpr (std::is_same_v<T, half>) {
    return ToHalf(value);
  } else {
    return static_cast<float>(value);
  }
}

// The tree over adjacent elements, by recursion over the positions [first, first + n).
template <typename T>
struct Sum {
  bool present;
  double value;
};
template <typename T>
Sum<T> TreeSum(const std::function<Sum<T>(size_t)>& element, size_t first, size_t n) {
  if (n == 1) return element(first);
  const Sum<T> a = TreeSum<T>(element, first, n / 2);
  const Sum<T> b = TreeSum<T>(element, first + n / 2, n / 2);
  if (!a.present) return b;
  if (!b.present) return a;
  return {true, ToDouble(Round<T>(a.value + b.value))};
}

template <typename T>
class Reduction : public ::testing::Test {
 public:
  static constexpr size_t kPer = 256 / sizeof(T);
  static constexpr size_t kBlock = 32 / sizeof(T);
  static std::vector<T> Inputs() {
    std::mt19937 random(17);
    std::vector<T> in(2048);
    for (T& value : in) {
      value = Round<T>(static_cast<double>(static_cast<int32_t>(random())) / (1 << 24));
    }
    return in;
  }
  static uint32_t IndexBits(T value) {
    uint32_t bits = 0;
    std::memcpy(&bits, static_cast<const void*>(&value), sizeof(T));
    return bits;
  }
};
using FloatTypes = ::testing::Types<float, half>;
TYPED_TEST_SUITE(Reduction, FloatTypes);

TYPED_TEST(Reduction, WholeSums) {
  using T = TypeParam;
  constexpr size_t kPer = TestFixture::kPer;
  constexpr size_t kBlock = TestFixture::kBlock;
  const auto in = this->Inputs();
  const uint64_t bits[2] = {0xF00F0F0F0000FFF1, kPer == 128 ? 0x5u : 0u};
  const auto out = RunOn<T>(in, [&](auto a, auto d) {
    WholeReduceSum(d, a, kPer, 3, 1, 1, 8);
    WholeReduceSum(d[64], a, 13, 3, 2, 2, 5);
    WholeReduceSum(d[128], a, bits, 2, 1, 1, 8);
    ReduceRepeat<ReduceType::SUM>(d[192], a, static_cast<int32_t>(kPer), 3, 1, 1, 8);
    RepeatReduceSum(d[256], a, 3, static_cast<int32_t>(kPer), 0, 1, 1, 8);
    SetVectorMask<T>(9);
    WholeReduceSum<T, false>(d[320], a, MASK_PLACEHOLDER, 1, 1, 1, 8);
  });
  const auto want = [&](size_t r, size_t block_stride, size_t repeat_stride, auto takes_part) {
    return TreeSum<T>(
               [&](size_t e) {
                 const size_t at = (r * repeat_stride + e / kBlock * block_stride) * kBlock;
                 return Sum<T>{takes_part(e), ToDouble(in[at + e % kBlock])};
               },
               0, kPer)
        .value;
  };
  for (size_t r = 0; r < 3; ++r) {
    const double whole = want(r, 1, 8, [](size_t) { return true; });
    EXPECT_EQ(ToDouble(out[r]), whole);
    EXPECT_EQ(ToDouble(out[192 + r]), whole);
    EXPECT_EQ(ToDouble(out[256 + r]), whole);
    EXPECT_EQ(ToDouble(out[64 + 2 * r]), want(r, 2, 5, [](size_t e) { return e < 13; }));
    if (r == 2) continue;
    EXPECT_EQ(ToDouble(out[128 + r]),
              want(r, 1, 8, [&](size_t e) { return (bits[e / 64] >> (e % 64) & 1) != 0; }));
  }
  EXPECT_EQ(ToDouble(out[320]), want(0, 1, 8, [](size_t e) { return e < 9; }));
  EXPECT_EQ(ToDouble(out[3]), 0.0);
}

TYPED_TEST(Reduction, WholeExtremes) {
  using T = TypeParam;
  constexpr size_t kPer = TestFixture::kPer;
  auto in = this->Inputs();
  in[40] = in[50] = T(1000.0f);       // the first of equal ones
  in[kPer + 7] = HalfOfBits(0x7e00);  // NaN
  in[2 * kPer + 3] = in[2 * kPer + 9] = T(-1000.0f);
  const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) {
    WholeReduceMax(d, a, kPer, 3, 1, 1, 8);
    WholeReduceMin(d[64], a, kPer, 3, 1, 1, 8, ReduceOrder::ORDER_INDEX_VALUE);
    WholeReduceMax(d[128], a, kPer, 3, 1, 1, 8, ReduceOrder::ORDER_ONLY_VALUE);
    WholeReduceMin(d[192], a, kPer, 3, 1, 1, 8, ReduceOrder::ORDER_ONLY_INDEX);
    ReduceRepeat<ReduceType::MAX>(d[256], a, static_cast<int32_t>(kPer), 3, 2, 1, 8);
    const uint64_t bits[2] = {0xF0, 0};
    ReduceRepeat<ReduceType::MIN>(d[320], a, bits, 3, 1, 1, 8);
    const auto tmp = scratch.template ReinterpretCast<T>();
    WholeReduceMax(tmp, a, kPer, 1, 1, 1, 8);
    T value, index;
    GetReduceMaxMinCount(value, index);
    EXPECT_EQ(ToDouble(value), 1000.0);
    EXPECT_EQ(this->IndexBits(index), 40u);
    GetReduceRepeatMaxMinSpr(value, index);
    EXPECT_EQ(this->IndexBits(index), 40u);
    T again;
    GetReduceRepeatMaxMinSpr(again);
    GetReduceMaxMinCount(value);
    EXPECT_EQ(ToDouble(value), ToDouble(again));
    WholeReduceSum(tmp[16], a, 2, 1, 1, 1, 8);
    EXPECT_EQ(ToDouble(GetAccVal<T>()), ToDouble(Round<T>(ToDouble(in[0]) + ToDouble(in[1]))));
    EXPECT_EQ(ToDouble(GetReduceRepeatSumSpr<T>()), ToDouble(GetAccVal<T>()));
  });
  for (size_t r = 0; r < 3; ++r) {
    size_t max = 0, min = 0, part = 4;
    bool nan = false;
    for (size_t e = 0; e < kPer; ++e) {
      const auto at = [&](size_t i) { return ToDouble(in[r * kPer + i]); };
      if (std::isnan(at(e))) {
        max = min = e;
        nan = true;
      }
      if (!nan && at(e) > at(max)) max = e;
      if (!nan && at(e) < at(min)) min = e;
    }
    for (size_t e = 4; e < 8; ++e) {
      const double value = ToDouble(in[r * kPer + e]);
      if (std::isnan(ToDouble(in[r * kPer + part]))) break;
      if (std::isnan(value) || value < ToDouble(in[r * kPer + part])) part = e;
    }
    EXPECT_TRUE(Same(out[2 * r], in[r * kPer + max]));
    EXPECT_EQ(this->IndexBits(out[2 * r + 1]), max);
    EXPECT_TRUE(Same(out[64 + 2 * r + 1], in[r * kPer + min]));
    EXPECT_EQ(this->IndexBits(out[64 + 2 * r]), min);
    EXPECT_TRUE(Same(out[128 + r], in[r * kPer + max]));
    uint32_t index;
    std::memcpy(&index, reinterpret_cast<const uint8_t*>(&out[192]) + 4 * r, 4);
    EXPECT_EQ(index, min);
    EXPECT_TRUE(Same(out[256 + 4 * r], in[r * kPer + max]));
    EXPECT_TRUE(Same(out[320 + 2 * r], in[r * kPer + part]));
    EXPECT_EQ(this->IndexBits(out[320 + 2 * r + 1]), part);
  }
}

TYPED_TEST(Reduction, BlocksAndPairs) {
  using T = TypeParam;
  constexpr size_t kPer = TestFixture::kPer;
  constexpr size_t kBlock = TestFixture::kBlock;
  auto in = this->Inputs();
  const int32_t per = static_cast<int32_t>(kPer);
  const auto out = RunOn<T>(in, [&](auto a, auto d) {
    // Of the names of 8.x the repeat comes first, of those of 9.x the mask.
    BlockReduceSum(d, a, 2, per, 1, 1, 8);
    BlockReduceMax(d[64], a, 2, per, 1, 1, 8);
    BlockReduceMin(d[128], a, 2, per, 2, 1, 8);
    ReduceDataBlock<ReduceType::SUM>(d[192], a, per, 2, 1, 1, 8);
    ReduceDataBlock<ReduceType::MAX>(d[256], a, per, 2, 1, 1, 8);
    ReduceDataBlock<ReduceType::MIN>(d[320], a, per, 2, 1, 1, 8);
    PairReduceSum(d[384], a, 2, per, 1, 1, 8);
    ReducePairElem<ReduceType::SUM>(d[640], a, per, 2, 1, 1, 8);
    const uint64_t bits[2] = {0x3, 0};
    BlockReduceSum(d[896], a, 1, bits, 1, 1, 8);
    PairReduceSum(d[960], a, 1, bits, 1, 1, 8);
    BlockReduceMax(d[1024], a, 1, bits, 1, 1, 8);
    BlockReduceMin(d[1088], a, 1, bits, 1, 1, 8);
  });
  for (size_t block = 0; block < 16; ++block) {
    double max = -INFINITY, min = INFINITY;
    for (size_t e = 0; e < kBlock; ++e) {
      max = std::max(max, ToDouble(in[block * kBlock + e]));
      min = std::min(min, ToDouble(in[block * kBlock + e]));
    }
    const double sum =
        TreeSum<T>([&](size_t e) { return Sum<T>{true, ToDouble(in[block * kBlock + e])}; }, 0,
                   kBlock)
            .value;
    EXPECT_EQ(ToDouble(out[block]), sum);
    EXPECT_EQ(ToDouble(out[64 + block]), max);
    EXPECT_EQ(ToDouble(out[128 + block / 8 * 16 + block % 8]), min);
    EXPECT_EQ(ToDouble(out[192 + block]), sum);
    EXPECT_EQ(ToDouble(out[256 + block]), max);
    EXPECT_EQ(ToDouble(out[320 + block]), min);
  }
  for (size_t i = 0; i < kPer; ++i) {
    const double want = ToDouble(Round<T>(ToDouble(in[2 * i]) + ToDouble(in[2 * i + 1])));
    EXPECT_EQ(ToDouble(out[384 + i]), want) << i;
    EXPECT_EQ(ToDouble(out[640 + i]), want) << i;
  }
  const double pair = ToDouble(Round<T>(ToDouble(in[0]) + ToDouble(in[1])));
  EXPECT_EQ(ToDouble(out[896]), pair);
  EXPECT_EQ(ToDouble(out[897]), 0.0);  // a block without elements stays as it is
  EXPECT_EQ(ToDouble(out[960]), pair);
  EXPECT_EQ(ToDouble(out[1024]), std::max(ToDouble(in[0]), ToDouble(in[1])));
  EXPECT_EQ(ToDouble(out[1088]), std::min(ToDouble(in[0]), ToDouble(in[1])));
}

TYPED_TEST(Reduction, OfTensors) {
  using T = TypeParam;
  constexpr size_t kPer = TestFixture::kPer;
  auto in = this->Inputs();
  const size_t n = 3 * kPer + 11;
  in[2 * kPer + 5] = T(999.0f);
  in[3 * kPer + 10] = T(-999.0f);
  in[3 * kPer + 11] = T(30000.0f);  // behind the end
  const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) {
    const auto tmp = scratch.template ReinterpretCast<T>();
    ReduceSum(d, a, tmp, static_cast<int32_t>(n));
    PipeBarrier<PIPE_V>();
    ReduceMax(d[16], a, tmp, static_cast<int32_t>(n), true);
    PipeBarrier<PIPE_V>();
    ReduceMin(d[32], a, tmp, static_cast<int32_t>(n), true);
    PipeBarrier<PIPE_V>();
    ReduceMax(d[48], a, tmp, static_cast<int32_t>(n));
    PipeBarrier<PIPE_V>();
    ReduceSum(d[64], a, tmp, 4, 2, 8);
    PipeBarrier<PIPE_V>();
    ReduceMax(d[80], a, tmp, static_cast<int32_t>(kPer), 3, 8, true);
    PipeBarrier<PIPE_V>();
    ReduceMin(d[96], a, tmp, static_cast<int32_t>(kPer), 4, 8, false);
    PipeBarrier<PIPE_V>();
    const uint64_t bits[2] = {2, 0};
    ReduceSum(d[112], a, tmp, bits, 2, 8);
    PipeBarrier<PIPE_V>();
    ReduceMax(d[128], a, tmp, bits, 1, 8);
    PipeBarrier<PIPE_V>();
    ReduceMin(d[144], a, tmp, bits, 1, 8);
  });
  // The tree's error: n * 2^-11 (half) of the sum of magnitudes, at the very most.
  double sum = 0, magnitude = 0;
  for (size_t i = 0; i < n; ++i) {
    sum += ToDouble(in[i]);
    magnitude += std::fabs(ToDouble(in[i]));
  }
  const double unit = std::is_same_v<T, half> ? 0x1p-11 : 0x1p-24;
  EXPECT_NEAR(ToDouble(out[0]), sum, magnitude * unit * 10);  // at most 10 levels
  EXPECT_EQ(ToDouble(out[16]), 999.0);
  EXPECT_EQ(this->IndexBits(out[17]), 2 * kPer + 5);
  EXPECT_EQ(ToDouble(out[32]), -999.0);
  EXPECT_EQ(this->IndexBits(out[33]), 3 * kPer + 10);
  EXPECT_EQ(ToDouble(out[48]), 999.0);
  double eight = 0;
  for (size_t i = 0; i < 4; ++i) eight += ToDouble(in[i]) + ToDouble(in[kPer + i]);
  EXPECT_NEAR(ToDouble(out[64]), eight, std::fabs(magnitude) * unit);
  EXPECT_EQ(ToDouble(out[80]), 999.0);
  EXPECT_EQ(this->IndexBits(out[81]), 2 * kPer + 5);
  EXPECT_EQ(ToDouble(out[96]), -999.0);
  EXPECT_EQ(ToDouble(out[112]), ToDouble(Round<T>(ToDouble(in[1]) + ToDouble(in[kPer + 1]))));
  EXPECT_EQ(ToDouble(out[128]), ToDouble(in[1]));
  EXPECT_EQ(ToDouble(out[144]), ToDouble(in[1]));
}

TEST(Reduce, OfZerosThePositiveIsTheLarger) {
  std::vector<float> in(128, -0.0f);
  in[5] = 0.0f;
  for (size_t i = 64; i < 128; ++i) in[i] = 0.0f;
  in[69] = -0.0f;
  const auto out = RunOn<float>(in, [](auto a, auto d, auto scratch) {
    const auto tmp = scratch.template ReinterpretCast<float>();
    WholeReduceMax(d, a, 64, 2, 1, 1, 8, ReduceOrder::ORDER_ONLY_VALUE);
    WholeReduceMin(d[8], a, 64, 2, 1, 1, 8, ReduceOrder::ORDER_ONLY_VALUE);
    BlockReduceMax(d[16], a, 1, 64, 1, 1, 8);
    ReduceMax(d[32], a, tmp, 64);
    PipeBarrier<PIPE_V>();
    ReduceMin(d[40], a[64], tmp, 64);
  });
  const auto negative = [&](size_t i) { return std::signbit(out[i]); };
  EXPECT_FALSE(negative(0) || negative(1));
  EXPECT_TRUE(negative(8) && negative(9));
  EXPECT_FALSE(negative(16));
  EXPECT_TRUE(negative(17));
  EXPECT_FALSE(negative(32));
  EXPECT_TRUE(negative(40));
}

TEST(Reduce, LimitsAndPlaces) {
  EXPECT_THAT(
      (FaultOf<int32_t, int32_t>([](auto a, auto d) { WholeReduceSum(d, a, 64, 1, 1, 1, 8); })),
      HasSubstr("WholeReduceSum does not take int32_t"));
  EXPECT_THAT(FaultOf([](auto a, auto d) { WholeReduceMax(d[1], a, 64, 1, 1, 1, 8); }),
              HasSubstr("dst begins at byte 16388 of the UB, which is not a multiple of 8"));
  EXPECT_THAT(FaultOf([](auto a, auto d) { BlockReduceSum(d, a, 256, 64, 1, 1, 8); }),
              HasSubstr("repeatTime 256, the limit is 255"));
  EXPECT_EQ(FaultOf([](auto a, auto) { WholeReduceSum(a, a, 64, 4, 1, 1, 8); }), "");
  EXPECT_THAT(FaultOf([](auto a, auto) { WholeReduceSum(a[64], a, 64, 4, 1, 1, 8); }),
              HasSubstr("overlaps what a later repeat reads"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                auto tmp = d[kBytes / 4 - 8];
                ReduceMax(d, a, tmp, 64 * 5);
              }),
              HasSubstr("sharedTmpBuffer has 32 bytes, 64 are needed"));
  EXPECT_THAT(FaultOf([](auto, auto) { GetAccVal<float>(); }),
              HasSubstr("no sum has been reduced"));
}

}  // namespace
