// cc/softnpu/ascendc/vector_compare_test.cc: comparison, selection, and values that are made.
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

const CMPMODE kModes[] = {CMPMODE::LT, CMPMODE::GT, CMPMODE::EQ,
                          CMPMODE::LE, CMPMODE::GE, CMPMODE::NE};

bool Reference(double a, double b, CMPMODE mode) {
  if (std::isnan(a) || std::isnan(b)) return false;  // NE, too
  switch (mode) {
    case CMPMODE::LT:
      return a < b;
    case CMPMODE::GT:
      return a > b;
    case CMPMODE::EQ:
      return a == b;
    case CMPMODE::LE:
      return a <= b;
    case CMPMODE::GE:
      return a >= b;
    default:
      return a != b;
  }
}
bool Bit(const std::vector<uint8_t>& bytes, size_t i, size_t base = 0) {
  return (bytes[base + i / 8] >> (i % 8) & 1) != 0;
}

template <typename T>
std::vector<T> Pairs() {
  std::vector<T> in(1024);
  const double specials[] = {0.0, -0.0, 1.0, NAN, INFINITY, -INFINITY, -1.0, 2.0};
  for (size_t i = 0; i < 512; ++i) {
    in[i] = T(static_cast<float>(specials[i % 8]));
    in[512 + i] = T(static_cast<float>(specials[i / 8 % 8]));
  }
  return in;
}

template <typename T>
class Comparison : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, half>;
TYPED_TEST_SUITE(Comparison, FloatTypes);

TYPED_TEST(Comparison, OfTensorsAndScalars) {
  using T = TypeParam;
  constexpr uint32_t kPer = 256 / sizeof(T);
  const auto in = Pairs<T>();
  for (const CMPMODE mode : kModes) {
    const auto out = RunOn<uint8_t>(in, [&](auto a, auto d) {
      Compare(d, a, a[512], mode, 256);
      CompareScalar(d[256], a, T(1.0f), mode, 256);
      Compares(d[512], a[512], T(0.0f), mode, 256);
      Compare(d[1024], a, a[512], mode, uint64_t{kPer}, 2, BinaryRepeatParams(1, 1, 1, 8, 16, 8));
      const uint64_t bits[2] = {5, 0};
      Compare(d[1280], a, a[512], mode, bits, 1, BinaryRepeatParams());
      CompareScalar(d[1536], a, T(1.0f), mode, uint64_t{3}, 2, UnaryRepeatParams(1, 1, 8, 8));
      Compares(d[1792], a, T(1.0f), mode, bits, 1, UnaryRepeatParams());
    });
    for (size_t i = 0; i < 256; ++i) {
      const double a = ToDouble(in[i]);
      const double b = ToDouble(in[512 + i]);
      EXPECT_EQ(Bit(out, i), Reference(a, b, mode)) << a << " " << b;
      EXPECT_EQ(Bit(out, i, 256), Reference(a, 1.0, mode)) << a;
      EXPECT_EQ(Bit(out, i, 512), Reference(b, 0.0, mode)) << b;
    }
    EXPECT_EQ(out[32], 0);
    for (size_t i = 0; i < 2 * kPer; ++i) {
      const size_t r = i / kPer;
      const size_t e = i % kPer;
      EXPECT_EQ(Bit(out, i, 1024),
                Reference(ToDouble(in[r * 2 * kPer + e]), ToDouble(in[512 + r * kPer + e]), mode));
      const bool third = e < 3 && Reference(ToDouble(in[r * kPer + e]), 1.0, mode);
      EXPECT_EQ(Bit(out, i, 1536), third) << i;
    }
    for (size_t e = 0; e < kPer; ++e) {
      const bool in_mask = e == 0 || e == 2;
      EXPECT_EQ(Bit(out, e, 1280),
                in_mask && Reference(ToDouble(in[e]), ToDouble(in[512 + e]), mode));
      EXPECT_EQ(Bit(out, e, 1792), in_mask && Reference(ToDouble(in[e]), 1.0, mode));
    }
  }
}

TYPED_TEST(Comparison, ThroughTheRegister) {
  using T = TypeParam;
  constexpr uint32_t kPer = 256 / sizeof(T);
  const auto in = Pairs<T>();
  const auto mask = RunOn<uint8_t>(in, [&](auto a, auto d, auto scratch) {
    Compare(a, a[512], CMPMODE::LE, uint64_t{kPer}, BinaryRepeatParams());
    PipeBarrier<PIPE_V>();
    GetCmpMask(d);
    const uint64_t bits[2] = {0xFF, 0};
    Compare(a, a[512], CMPMODE::LE, bits, BinaryRepeatParams());
    PipeBarrier<PIPE_V>();
    GetCmpMask(scratch);
    PipeBarrier<PIPE_V>();
    SetCmpMask(scratch);
    PipeBarrier<PIPE_V>();
    GetCmpMask(d[32]);
  });
  for (size_t i = 0; i < kPer; ++i) {
    const bool want = Reference(ToDouble(in[i]), ToDouble(in[512 + i]), CMPMODE::LE);
    EXPECT_EQ(Bit(mask, i), want) << i;
    EXPECT_EQ(Bit(mask, i, 32), want && i < 8) << i;
  }
}

TYPED_TEST(Comparison, SelectsInAllModes) {
  using T = TypeParam;
  constexpr uint32_t kPer = 256 / sizeof(T);
  constexpr uint32_t kCount = kPer * 2 + 5;
  std::vector<T> in(2048);
  for (size_t i = 0; i < 1024; ++i) in[i] = T(static_cast<float>(i % 100 + 1));
  for (size_t i = 0; i < 512; ++i) in[512 + i] = T(-static_cast<float>(i % 100 + 1));
  std::vector<uint8_t> bits(128);
  std::mt19937 random(3);
  for (uint8_t& byte : bits) byte = static_cast<uint8_t>(random());
  std::memcpy(static_cast<void*>(&in[1024]), bits.data(), bits.size());
  const auto chosen = [&](size_t bit) { return (bits[bit / 8] >> (bit % 8) & 1) != 0; };
  const auto out = RunOn<T>(in, [&](auto a, auto d) {
    const auto mask = a[1024].template ReinterpretCast<uint8_t>();
    Select(d, mask, a, a[512], SELMODE::VSEL_TENSOR_TENSOR_MODE, kCount);
    Select(d[512], mask, a, T(-7.0f), SELMODE::VSEL_TENSOR_SCALAR_MODE, kCount);
    Select(d[1024], mask, a, a[512], SELMODE::VSEL_CMPMASK_SPR, kCount);
    Select(d[1536], mask, a, a[512], SELMODE::VSEL_TENSOR_TENSOR_MODE, uint64_t{9}, 2,
           BinaryRepeatParams(1, 1, 1, 8, 8, 8));
    Select(d[2048], mask, a, T(-7.0f), SELMODE::VSEL_TENSOR_SCALAR_MODE, uint64_t{9}, 2,
           BinaryRepeatParams(1, 1, 1, 8, 8, 8));
    const uint64_t lanes[2] = {0x11, 0};
    Select(d[2560], mask, a, a[512], SELMODE::VSEL_CMPMASK_SPR, lanes, 2,
           BinaryRepeatParams(1, 1, 1, 8, 8, 8));
    Select(d[3072], mask, a, T(-7.0f), SELMODE::VSEL_TENSOR_SCALAR_MODE, lanes, 1,
           BinaryRepeatParams());
    SetCmpMask(mask);
    PipeBarrier<PIPE_V>();
    SetVectorMask<T>(kPer);
    Select<T, SELMODE::VSEL_CMPMASK_SPR>(d[3584], a, a[512], 2,
                                         BinaryRepeatParams(1, 1, 1, 8, 8, 8));
  });
  const auto at = [&](size_t i) { return static_cast<float>(out[i]); };
  for (size_t i = 0; i < 512; ++i) {
    const float a = static_cast<float>(in[i]);
    const float b = static_cast<float>(in[512 + i]);
    const size_t lane = i % kPer;
    const bool count = i < kCount;
    EXPECT_EQ(at(i), !count ? 0 : chosen(i) ? a : b) << i;
    EXPECT_EQ(at(512 + i), !count ? 0 : chosen(i) ? a : -7) << i;
    EXPECT_EQ(at(1024 + i), !count ? 0 : chosen(lane) ? a : b) << i;
    const bool nine = i < 2 * kPer && lane < 9;
    EXPECT_EQ(at(1536 + i), !nine ? 0 : chosen(i) ? a : b) << i;
    EXPECT_EQ(at(2048 + i), !nine ? 0 : chosen(i) ? a : -7) << i;
    const bool two = i < 2 * kPer && (lane == 0 || lane == 4);
    EXPECT_EQ(at(2560 + i), !two ? 0 : chosen(lane) ? a : b) << i;
    EXPECT_EQ(at(3072 + i), !two || i >= kPer ? 0 : chosen(i) ? a : -7) << i;
    EXPECT_EQ(at(3584 + i), i >= 2 * kPer ? 0 : chosen(lane) ? a : b) << i;
  }
}

// dst = src0 < src1, of whole tensors.
TEST(Compare, Operators) {
  const auto in = Pairs<float>();
  const auto out = RunOn<uint8_t>(in, [&](auto a, auto d) {
    auto left = a, right = a[512];
    left.SetSize(512);
    right.SetSize(512);
    auto part = d;
    part = left < right;
    part = d[64];
    part = left > right;
    part = d[128];
    part = left == right;
    part = d[192];
    part = left <= right;
    part = d[256];
    part = left >= right;
    part = d[320];
    part = left != right;
  });
  for (size_t mode = 0; mode < 6; ++mode) {
    for (size_t i = 0; i < 512; ++i) {
      EXPECT_EQ(Bit(out, i, mode * 64), Reference(static_cast<double>(in[i]),
                                                  static_cast<double>(in[512 + i]), kModes[mode]))
          << mode << " " << i;
    }
  }
}

TEST(Compare, Limits) {
  EXPECT_THAT((FaultOf<uint8_t, float>([](auto a, auto d) { Compare(d, a, a, CMPMODE::LT, 65); })),
              HasSubstr("65 elements are 260 bytes, which is not a multiple of 256"));
  EXPECT_EQ((FaultOf<uint8_t, int32_t>([](auto a, auto d) { Compare(d, a, a, CMPMODE::EQ, 64); })),
            "");
  EXPECT_THAT(
      (FaultOf<uint8_t, int32_t>([](auto a, auto d) { Compare(d, a, a, CMPMODE::LT, 64); })),
      HasSubstr("int32_t compares in mode EQ only"));
  EXPECT_THAT((FaultOf<uint8_t>([](auto, auto d) { GetCmpMask(d); })),
              HasSubstr("CMPMASK holds no value"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                Select(d, a.template ReinterpretCast<uint8_t>(), a, a[512],
                       SELMODE::VSEL_TENSOR_SCALAR_MODE, 64);
              }),
              HasSubstr("needs a scalar src1"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                Select(d, a.template ReinterpretCast<uint8_t>(), a, 1.0f,
                       SELMODE::VSEL_TENSOR_TENSOR_MODE, 64);
              }),
              HasSubstr("a scalar src1 needs SELMODE VSEL_TENSOR_SCALAR_MODE"));
}

template <typename T>
void CheckFills() {
  constexpr size_t kPer = 256 / sizeof(T);
  constexpr size_t kBlock = 32 / sizeof(T);
  const auto out = RunOn<T>(std::vector<T>(), [](auto, auto d) {
    Duplicate(d, T(7), 19);
    Duplicate(d[256], T(7), uint64_t{11}, 2, 1, 9);
    const uint64_t bits[2] = {0x8001, 0};
    Duplicate(d[768], T(7), bits, 2, 2, 16);
    CreateVecIndex(d[1280], T(-3), 37);
    CreateVecIndex(d[1536], T(5), uint64_t{kPer}, 2, 1, 8);
    CreateVecIndex(d[2048], T(5), bits, 2, 1, 8);
    ArithProgression(d[2560], T(100), T(-3), 21);
    Arange(d[2816], T(100), T(2), 21);
    SetVectorMask<T>(4);
    Duplicate<T, false>(d[3072], T(9), MASK_PLACEHOLDER, 1, 1, 8);
  });
  std::vector<double> want(out.size(), 0.0);
  for (size_t i = 0; i < 19; ++i) want[i] = 7;
  for (size_t r = 0; r < 2; ++r) {
    for (size_t i = 0; i < 11; ++i) want[256 + r * 9 * kBlock + i] = 7;
    for (const size_t e : {size_t{0}, size_t{15}}) {
      want[768 + (r * 16 + e / kBlock * 2) * kBlock + e % kBlock] = 7;
      want[2048 + r * kPer + e] = 5.0 + static_cast<double>(r * kPer + e);
    }
  }
  for (size_t i = 0; i < 37; ++i) want[1280 + i] = static_cast<double>(i) - 3;
  for (size_t i = 0; i < 2 * kPer; ++i) want[1536 + i] = 5.0 + static_cast<double>(i);
  for (size_t i = 0; i < 21; ++i) {
    want[2560 + i] = 100.0 - 3.0 * static_cast<double>(i);
    want[2816 + i] = 100.0 + 2.0 * static_cast<double>(i);
  }
  for (size_t i = 0; i < 4; ++i) want[3072 + i] = 9;
  for (size_t i = 0; i < out.size(); ++i) {
    ASSERT_EQ(static_cast<double>(static_cast<float>(out[i])), want[i]) << i;
  }
}

TEST(Fill, AllForms) {
  CheckFills<float>();
  CheckFills<half>();
  CheckFills<int16_t>();
  CheckFills<int32_t>();
  const auto out = RunOn<bfloat16_t>(std::vector<float>(),
                                     [](auto, auto d) { Duplicate(d, bfloat16_t(1.5f), 5); });
  EXPECT_EQ(static_cast<float>(out[4]), 1.5f);
  EXPECT_EQ(static_cast<float>(out[5]), 0.0f);
  EXPECT_THAT((FaultOf<int8_t>([](auto, auto d) { Duplicate(d, int8_t{1}, 32); })),
              HasSubstr("Duplicate does not take int8_t"));
}

template <typename T>
void CheckBrcb() {
  constexpr size_t kBlock = 32 / sizeof(T);
  std::vector<T> in(64);
  for (size_t i = 0; i < in.size(); ++i) in[i] = T(static_cast<float>(i + 1));
  const auto out = RunOn<T>(in, [](auto a, auto d) {
    Brcb(d, a, 2, BrcbRepeatParams(1, 8));
    Brcb(d[2048], a, 2, BrcbRepeatParams(2, 1));
  });
  for (size_t i = 0; i < 16; ++i) {
    for (size_t lane = 0; lane < kBlock; ++lane) {
      EXPECT_EQ(static_cast<float>(out[i * kBlock + lane]), static_cast<float>(i + 1));
      EXPECT_EQ(static_cast<float>(out[2048 + (i / 8 + i % 8 * 2) * kBlock + lane]),
                static_cast<float>(i + 1));
    }
  }
}

TEST(Fill, BrcbSpreadsEightElementsARepeat) {
  CheckBrcb<float>();
  CheckBrcb<half>();
  EXPECT_THAT(FaultOf([](auto a, auto) { Brcb(a, a, 1, BrcbRepeatParams(1, 8)); }),
              HasSubstr("dst overlaps src0"));
}

TEST(Fill, CopyMovesUnderAMask) {
  std::vector<int32_t> in(512);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<int32_t>(i + 1);
  const auto out = RunOn<int32_t>(in, [](auto a, auto d) {
    Copy(d, a, uint64_t{20}, 3, CopyRepeatParams(1, 2, 4, 1));
    const uint64_t bits[2] = {0x300, 0};
    Copy(d[512], a, bits, 2, CopyRepeatParams(1, 1, 8, 16));
    Copy(d[1024].template ReinterpretCast<half>(), a.template ReinterpretCast<half>(),
         uint64_t{128}, 1, CopyRepeatParams(1, 1, 8, 8));
  });
  for (size_t r = 0; r < 3; ++r) {
    for (size_t e = 0; e < 20; ++e) {
      EXPECT_EQ(out[r * 32 + e], in[(r + e / 8 * 2) * 8 + e % 8]) << r << " " << e;
    }
  }
  EXPECT_EQ(out[20], 0);
  EXPECT_EQ(out[512 + 8], 9);
  EXPECT_EQ(out[512 + 7], 0);
  EXPECT_EQ(out[512 + 64 + 9], 138);
  EXPECT_EQ(out[1024 + 63], 64);
  EXPECT_EQ(out[1024 + 64], 0);
}

}  // namespace
