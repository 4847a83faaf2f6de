// cc/softnpu/ascendc/vector_cast_test.cc: conversions: every pair, mode, limit.
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

const RoundMode kModes[] = {RoundMode::CAST_NONE, RoundMode::CAST_RINT,  RoundMode::CAST_FLOOR,
                            RoundMode::CAST_CEIL, RoundMode::CAST_ROUND, RoundMode::CAST_TRUNC};

// By the definition of the modes, on the two neighbouring integers.
double RoundTo(double value, RoundMode mode) {
  if (!std::isfinite(value)) return value;
  const double low = std::floor(value);
  const double high = low == value ? low : low + 1;
  const double to_low = value - low;
  switch (mode) {
    case RoundMode::CAST_FLOOR:
      return low;
    case RoundMode::CAST_CEIL:
      return high;
    case RoundMode::CAST_TRUNC:
      return value < 0 ? high : low;
    case RoundMode::CAST_ROUND:
      if (to_low == 0.5) return value < 0 ? low : high;
      return to_low < 0.5 ? low : high;
    default:
      if (to_low == 0.5) return std::fmod(low, 2.0) == 0 ? low : high;
      return to_low < 0.5 ? low : high;
  }
}

template <typename To>
To Fit(double value) {
  if (std::isnan(value)) return 0;
  if (value >= std::ldexp(1.0, std::numeric_limits<To>::digits)) {
    return std::numeric_limits<To>::max();
  }
  return value < static_cast<double>(std::numeric_limits<To>::min())
             ? std::numeric_limits<To>::min()
             : static_cast<To>(value);
}

template <typename To, typename From>
void CheckToInteger(const std::vector<From>& in) {
  for (const RoundMode mode : kModes) {
    const auto out = RunOn<To>(in, [&](auto a, auto d) { Cast(d, a, mode, 256); });
    for (size_t i = 0; i < 256; ++i) {
      const double value = static_cast<double>(static_cast<float>(in[i]));
      EXPECT_EQ(out[i], Fit<To>(RoundTo(value, mode)))
          << value << " mode " << static_cast<int>(mode);
    }
  }
}

TEST(Cast, FloatsToIntegers) {
  auto floats = Floats(256, 5);
  for (size_t i = 100; i < 200; ++i) floats[i] = static_cast<float>(i) * 0.5f - 75.0f;
  floats[200] = 2147483648.0f;
  floats[201] = 9.3e18f;
  floats[202] = -9.3e18f;
  CheckToInteger<int16_t>(floats);
  CheckToInteger<int32_t>(floats);
  CheckToInteger<int64_t>(floats);
  auto halves = Halves(256, 5);
  for (size_t i = 100; i < 200; ++i) halves[i] = ToHalf(static_cast<double>(i) * 0.5 - 75.0);
  CheckToInteger<int8_t>(halves);
  CheckToInteger<uint8_t>(halves);
  CheckToInteger<int16_t>(halves);
  CheckToInteger<int32_t>(halves);
  std::vector<bfloat16_t> brains(256);
  for (size_t i = 0; i < 256; ++i) brains[i] = bfloat16_t(floats[i]);
  CheckToInteger<int32_t>(brains);
}

// To fewer bytes at its own place, to more from behind: no repeat writes what a later one reads.
TEST(Cast, InPlace) {
  const auto floats = Floats(512, 6);
  const auto narrow = RunOn<half>(floats, [](auto a, auto d) {
    auto wide = d.template ReinterpretCast<float>();
    Muls(wide, a, 1.0f, 512);
    PipeBarrier<PIPE_V>();
    Cast(d, wide, RoundMode::CAST_RINT, 512);
  });
  const auto halves = Halves(512, 6);
  const auto wide = RunOn<float>(halves, [](auto a, auto d) {
    auto behind = d.template ReinterpretCast<half>()[512];
    Muls(behind, a, half(1.0f), 512);
    PipeBarrier<PIPE_V>();
    Cast(d, behind, RoundMode::CAST_NONE, uint64_t{64}, 8, UnaryRepeatParams(1, 1, 8, 4));
  });
  for (size_t i = 0; i < 512; ++i) {
    const double value = floats[i], exact = static_cast<float>(halves[i]);
    if (!std::isnan(value)) EXPECT_EQ(narrow[i].bits, ToHalf(value).bits) << i;
    if (!std::isnan(exact)) EXPECT_EQ(wide[i], exact) << i;
  }
  const auto fault = FaultOf<float, half>([](auto a, auto d) {
    auto same = d.template ReinterpretCast<half>();
    Muls(same, a, half(1.0f), 512);
    PipeBarrier<PIPE_V>();
    Cast(d, same, RoundMode::CAST_NONE, 512);
  });
  EXPECT_THAT(fault, HasSubstr("dst overlaps src0"));
}

TEST(Cast, IntegersToFloats) {
  std::vector<int16_t> in16(256);
  std::vector<int32_t> in32(256);
  std::vector<int64_t> in64(256);
  std::mt19937_64 random(9);
  for (size_t i = 0; i < 256; ++i) {
    in64[i] = static_cast<int64_t>(random()) >> (random() % 60);
    in32[i] = static_cast<int32_t>(random()) >> (random() % 28);
    in16[i] = static_cast<int16_t>(random());
  }
  in16[0] = 32767;
  in32[0] = 16777217;
  in32[1] = INT32_MIN;
  const auto h = RunOn<half>(in16, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_RINT, 256); });
  const auto f = RunOn<float>(in16, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_NONE, 256); });
  const auto f32 =
      RunOn<float>(in32, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_RINT, 256); });
  const auto down =
      RunOn<float>(in32, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_FLOOR, 256); });
  const auto f64 =
      RunOn<float>(in64, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_RINT, 256); });
  const auto scaled = RunOn<half>(in32, [](auto a, auto d) {
    SetDeqScale(half(0.25f));
    Cast(d, a, RoundMode::CAST_NONE, 256);
  });
  const auto i16 =
      RunOn<int16_t>(in32, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_NONE, 256); });
  for (size_t i = 0; i < 256; ++i) {
    EXPECT_TRUE(Same(h[i], ToHalf(in16[i]))) << in16[i];
    EXPECT_EQ(f[i], static_cast<float>(in16[i]));
    EXPECT_EQ(f32[i], static_cast<float>(in32[i]));
    float below = static_cast<float>(in32[i]);
    if (static_cast<double>(below) > in32[i]) below = std::nextafter(below, -INFINITY);
    EXPECT_EQ(down[i], below) << in32[i];
    EXPECT_EQ(f64[i], static_cast<float>(in64[i]));
    EXPECT_TRUE(Same(scaled[i], ToHalf(in32[i] * 0.25))) << in32[i];
    EXPECT_EQ(i16[i], std::clamp(in32[i], -32768, 32767));
  }
  EXPECT_EQ(static_cast<float>(h[0]), 32768.0f);
  std::vector<int8_t> in8(256);
  std::vector<uint8_t> un8(256);
  for (size_t i = 0; i < 256; ++i) in8[i] = static_cast<int8_t>(un8[i] = static_cast<uint8_t>(i));
  const auto h8 = RunOn<half>(in8, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_NONE, 256); });
  const auto u8 = RunOn<half>(un8, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_NONE, 256); });
  for (size_t i = 0; i < 256; ++i) {
    EXPECT_EQ(static_cast<float>(h8[i]), in8[i]);
    EXPECT_EQ(static_cast<float>(u8[i]), un8[i]);
  }
}

TEST(Cast, FloatToFloatRoundsToIntegers) {
  const auto in = Floats(256, 3);
  for (const RoundMode mode : kModes) {
    const auto out = RunOn<float>(in, [&](auto a, auto d) { Cast(d, a, mode, 256); });
    for (size_t i = 0; i < 256; ++i) {
      const double want = RoundTo(in[i], mode);
      EXPECT_TRUE(Same(out[i], want == 0 ? 0.0f : static_cast<float>(want))) << in[i];
    }
  }
}

TEST(Cast, BetweenFloatTypesAndSaturation) {
  const auto halves = Halves(256, 2);
  const auto wide =
      RunOn<float>(halves, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_NONE, 256); });
  for (size_t i = 0; i < 256; ++i) {
    EXPECT_TRUE(Same(wide[i], static_cast<float>(FromHalf(halves[i]))));
  }
  std::vector<bfloat16_t> brains(256);
  for (size_t i = 0; i < 256; ++i) brains[i].bits = static_cast<uint16_t>(i * 257);
  const auto exact =
      RunOn<float>(brains, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_NONE, 256); });
  for (size_t i = 0; i < 256; ++i) {
    EXPECT_TRUE(Same(exact[i], std::bit_cast<float>(uint32_t{brains[i].bits} << 16)));
  }
  const std::vector<float> big = {1e30f, -1e30f, NAN, INFINITY, 3.4e38f, 1.0f, 65504.0f, 65520.0f};
  const auto cast = [&](auto type, bool saturate) {
    using T = decltype(type);
    const auto out = RunOn<T>(big, [&](auto a, auto d) {
      SetSaturationFlag<SaturationMode::CAST_MODE>(saturate);
      Cast(d, a, RoundMode::CAST_RINT, 8);
    });
    std::vector<uint16_t> bits;
    for (size_t i = 0; i < 8; ++i) bits.push_back(out[i].bits);
    return bits;
  };
  using Bits = std::vector<uint16_t>;
  EXPECT_EQ(cast(half(), true), (Bits{0x7bff, 0xfbff, 0, 0x7bff, 0x7bff, 0x3c00, 0x7bff, 0x7bff}));
  EXPECT_EQ(cast(half(), false),
            (Bits{0x7c00, 0xfc00, 0x7e00, 0x7c00, 0x7c00, 0x3c00, 0x7bff, 0x7c00}));
  const Bits brain = cast(bfloat16_t(), true);
  EXPECT_EQ(brain[2], 0);
  EXPECT_EQ(brain[3], 0x7f7f);
  EXPECT_EQ(brain[4], 0x7f7f);
  EXPECT_EQ(cast(bfloat16_t(), false)[3], 0x7f80);
}

// To bfloat16 in the directed modes: the neighbour by definition.
TEST(Cast, ModesOfFloatToBfloat16) {
  const auto in = Floats(256, 21);
  for (const RoundMode mode : kModes) {
    const auto out = RunOn<bfloat16_t>(in, [&](auto a, auto d) { Cast(d, a, mode, 256); });
    for (size_t i = 0; i < 256; ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(in[i]);
      if ((bits & 0x7fffffff) >= 0x7f000000 || (bits & 0x7f800000) == 0) continue;
      // The last 16 bits are a fraction between neighbours; truncation of the bits is towards 0.
      const double fraction = (bits & 0xFFFF) / 65536.0;
      const bool negative = bits >> 31 != 0;
      const double magnitude = static_cast<double>(bits >> 16 & 0x7fff) + fraction;
      const double want = std::fabs(RoundTo(negative ? -magnitude : magnitude, mode));
      EXPECT_EQ(out[i].bits, static_cast<uint16_t>(want) | (negative ? 0x8000 : 0)) << in[i];
    }
  }
}

TEST(Cast, FormsCountTheWiderType) {
  std::vector<half> in(512);
  for (size_t i = 0; i < in.size(); ++i) in[i] = half(static_cast<float>(i + 1));
  const auto out = RunOn<float>(in, [](auto a, auto d) {
    Cast(d, a, RoundMode::CAST_NONE, uint64_t{40}, 2, UnaryRepeatParams(1, 1, 8, 4));
    const uint64_t bits[2] = {0x8000000000010001, 0};
    Cast(d[512], a, RoundMode::CAST_NONE, bits, 2, UnaryRepeatParams(2, 2, 16, 8));
    SetVectorMask<float>(3);
    Cast<float, half, false>(d[1024], a, RoundMode::CAST_NONE, MASK_PLACEHOLDER, 1,
                             UnaryRepeatParams(1, 1, 8, 4));
  });
  for (size_t e = 0; e < 64; ++e) {
    for (size_t r = 0; r < 2; ++r) {
      EXPECT_EQ(out[r * 64 + e], e < 40 ? static_cast<float>(r * 64 + e + 1) : 0.0f);
      if (e != 0 && e != 16 && e != 63) continue;
      EXPECT_EQ(out[512 + (r * 16 + e / 8 * 2) * 8 + e % 8],
                static_cast<float>((r * 8 + e / 16 * 2) * 16 + e % 16 + 1));
    }
  }
  EXPECT_EQ(out[1026], 3.0f);
  EXPECT_EQ(out[1027], 0.0f);
}

TEST(Cast, Int4SharesBytes) {
  std::vector<half> in(256);
  for (size_t i = 0; i < in.size(); ++i) in[i] = ToHalf(static_cast<double>(i % 41) * 0.5 - 10.25);
  in[3] = HalfOfBits(0x7e00);
  const auto out = RunOn<int8_t>(in, [](auto a, auto d) {
    const auto packed = d.template ReinterpretCast<int4b_t>();
    Cast(packed, a, RoundMode::CAST_RINT, 256);
    Cast(packed[1024], a, RoundMode::CAST_FLOOR, uint64_t{128}, 2, UnaryRepeatParams(1, 1, 4, 8));
    PipeBarrier<PIPE_V>();
    Cast(d[4096].template ReinterpretCast<half>(), packed, RoundMode::CAST_NONE, 256);
  });
  const auto nibble = [&](size_t base, size_t i) {
    const int value = static_cast<uint8_t>(out[base + i / 2]) >> (i % 2 * 4) & 15;
    return value >= 8 ? value - 16 : value;
  };
  for (size_t i = 0; i < 256; ++i) {
    const double value = FromHalf(in[i]);
    const auto want = [&](RoundMode mode) {
      return std::isnan(value) ? 0 : static_cast<int>(std::clamp(RoundTo(value, mode), -8.0, 7.0));
    };
    EXPECT_EQ(nibble(0, i), want(RoundMode::CAST_RINT)) << value;
    EXPECT_EQ(nibble(512 + i / 128 * 128, i % 128), want(RoundMode::CAST_FLOOR)) << i;
    half back;
    std::memcpy(static_cast<void*>(&back), &out[4096 + 2 * i], 2);
    EXPECT_EQ(FromHalf(back), want(RoundMode::CAST_RINT));
  }
  EXPECT_THAT((FaultOf<int8_t, float>([](auto a, auto d) {
                Cast(d.template ReinterpretCast<int4b_t>(), a, RoundMode::CAST_RINT, 8);
              })),
              HasSubstr("no Cast from float to int4b_t"));
}

TEST(Cast, DequantScalesIntoHalfABlock) {
  std::vector<int16_t> in(128);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<int16_t>(i * 41 - 2600);
  const auto one = RunOn<int8_t>(in, [](auto a, auto d) {
    SetDeqScale(0.125f, 3, true);
    CastDequant<int8_t, int16_t, false, false>(d, a, 128);
    CastDequant<int8_t, int16_t, true, false, true>(d[1024], a, uint64_t{128}, 1,
                                                    UnaryRepeatParams(1, 1, 8, 8));
    CastDeq<int8_t, int16_t, false, true>(d[2048], a, 20);
    const uint64_t bits[2] = {0x2, 0};
    CastDeq<int8_t, int16_t, true, false, false>(d[3072], a, bits, 1, UnaryRepeatParams());
  });
  const auto want = [&](size_t i, double scale, int offset) {
    return std::clamp(RoundTo(in[i] * scale, RoundMode::CAST_RINT) + offset, -128.0, 127.0);
  };
  for (size_t i = 0; i < 128; ++i) {
    const size_t at = i / 16 * 32 + i % 16;
    EXPECT_EQ(one[at], want(i, 0.125, 3)) << i;
    EXPECT_EQ(one[at + 16], 0);
    EXPECT_EQ(one[1024 + at + 16], want(i, 0.125, 3));
    EXPECT_EQ(one[2048 + at + 16], i < 20 ? want(i, 0.125, 3) : 0);
    EXPECT_EQ(one[3072 + at], i == 1 ? want(i, 0.125, 3) : 0);
  }
  const auto sixteen = RunOn<uint8_t>(in, [](auto a, auto d) {
    VdeqInfo info;
    for (int i = 0; i < 16; ++i) {
      info.vdeqScale[i] = 0.01f * static_cast<float>(i + 1);
      info.vdeqOffset[i] = static_cast<int16_t>(i);
      info.vdeqSignMode[i] = false;
    }
    SetDeqScale(d[8192].template ReinterpretCast<uint64_t>(), info);
    CastDequant<uint8_t, int16_t, true, false>(d, a, 128);
  });
  for (size_t i = 0; i < 128; ++i) {
    const double scale = static_cast<double>(0.01f * static_cast<float>(i % 16 + 1));
    EXPECT_EQ(sixteen[i / 16 * 32 + i % 16],
              std::clamp(RoundTo(in[i] * scale, RoundMode::CAST_RINT) + static_cast<double>(i % 16),
                         0.0, 255.0))
        << i;
  }
  const auto halves = RunOn<half>(std::vector<int32_t>{7, -9}, [](auto a, auto d) {
    SetDeqScale(half(0.5f));
    CastDeq<half, int32_t, false, false>(d, a, 8);
  });
  EXPECT_EQ(FromHalf(halves[0]), 3.5);
  EXPECT_EQ(FromHalf(halves[1]), -4.5);
  EXPECT_THAT((FaultOf<uint8_t, int16_t>([](auto a, auto d) {
                SetDeqScale(1.0f, 0, true);
                CastDequant<uint8_t, int16_t, false, false>(d, a, 16);
              })),
              HasSubstr("signMode of SetDeqScale is true, dst is uint8_t"));
  EXPECT_THAT((FaultOf<uint8_t, int16_t>([](auto, auto) { SetDeqScale(1.0f, 256, true); })),
              HasSubstr("the offset 256, the limits are -256 and 255"));
}

}  // namespace
