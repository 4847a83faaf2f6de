// cc/softnpu/ascendc/vector_test.cc: arithmetic and addressing of the vector unit.
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using softnpu::ascendc::KernelError;
namespace numeric = softnpu::numeric;

float Bits(uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(Numeric, HalfToFloatIsExact) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto reference = static_cast<float>(std::bit_cast<_Float16>(static_cast<uint16_t>(bits)));
    const float value = numeric::HalfToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(reference)) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(reference)) << bits;
    }
  }
}

TEST(Numeric, FloatToHalfRoundsToNearestEven) {
  const auto check = [](float value) {
    const uint16_t out = numeric::FloatToHalf(value);
    if (std::isnan(value)) {
      return (out & 0x7fff) > 0x7c00;
    }
    return out == std::bit_cast<uint16_t>(static_cast<_Float16>(value));
  };
  for (uint32_t bits = 0; bits < 65536; ++bits) {  // each half, the middle to the next, and beside
    const uint32_t at = std::bit_cast<uint32_t>(numeric::HalfToFloat(static_cast<uint16_t>(bits)));
    for (const uint32_t offset : {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu}) {
      ASSERT_TRUE(check(Bits(at + offset))) << std::hex << at + offset;
    }
  }
  for (uint64_t bits = 0; bits < (1ull << 32); bits += 4099) {
    ASSERT_TRUE(check(Bits(static_cast<uint32_t>(bits)))) << std::hex << bits;
  }
}

TEST(Numeric, FloatToBfloat16RoundsToNearestEven) {
  for (uint64_t bits = 0; bits < (1ull << 32); bits += 4093) {
    const float value = Bits(static_cast<uint32_t>(bits));
    const uint16_t out = numeric::FloatToBfloat16(value);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(numeric::Bfloat16ToFloat(out)));
      continue;
    }
    // The neighbours in magnitude; the distances are exact in double, and infinity counts as 2^128.
    const uint16_t low = static_cast<uint16_t>(bits >> 16);
    const uint16_t high = static_cast<uint16_t>(low + 1);
    const auto magnitude = [](uint16_t b) {
      return (b & 0x7fff) == 0x7f80 ? 0x1p128 : std::fabs(double{numeric::Bfloat16ToFloat(b)});
    };
    const double to_low = std::fabs(double{value}) - magnitude(low);
    const double to_high = magnitude(high) - std::fabs(double{value});
    uint16_t nearest = to_low < to_high ? low : high;
    if (to_low == to_high) nearest = (low & 1) == 0 ? low : high;
    if (std::isinf(value)) nearest = low;
    ASSERT_EQ(out, nearest) << std::hex << bits;
  }
}

TEST(Vector, ArithmeticByCount) {
  const std::vector<float> in = {1.5f, -2.0f, 0.0f,  -0.0f, INFINITY,  1e30f, NAN,  3.0f,
                                 2.0f, 3.0f,  -0.0f, 0.0f,  -INFINITY, 1e30f, 1.0f, 0.0f};
  const auto check = [&](auto instruction, const std::vector<float>& want) {
    const auto out = RunOn<float>(in, [&](auto a, auto d) { instruction(d, a, a[8]); });
    for (size_t i = 0; i < want.size(); ++i) {
      if (std::isnan(want[i])) {
        EXPECT_TRUE(std::isnan(out[i])) << i;
      } else {
        EXPECT_EQ(std::bit_cast<uint32_t>(out[i]), std::bit_cast<uint32_t>(want[i])) << i;
      }
    }
    EXPECT_EQ(out[8], 0.0f);  // what lies behind is untouched
  };
  check([](auto d, auto a, auto b) { Add(d, a, b, 8); },
        {3.5f, 1.0f, 0.0f, 0.0f, NAN, 2e30f, NAN, 3.0f});
  check([](auto d, auto a, auto b) { Sub(d, a, b, 8); },
        {-0.5f, -5.0f, 0.0f, -0.0f, INFINITY, 0.0f, NAN, 3.0f});
  check([](auto d, auto a, auto b) { Mul(d, a, b, 8); },
        {3.0f, -6.0f, -0.0f, -0.0f, -INFINITY, INFINITY, NAN, 0.0f});
  check([](auto d, auto a, auto b) { Div(d, a, b, 8); },
        {0.75f, -2.0f / 3.0f, NAN, NAN, NAN, 1.0f, NAN, INFINITY});
  check([](auto d, auto a, auto b) { Max(d, a, b, 8); },
        {2.0f, 3.0f, 0.0f, 0.0f, INFINITY, 1e30f, NAN, 3.0f});
  check([](auto d, auto a, auto b) { Min(d, a, b, 8); },
        {1.5f, -2.0f, -0.0f, -0.0f, -INFINITY, 1e30f, NAN, 0.0f});
  check([](auto d, auto a, auto) { Adds(d, a, 1.0f, 8); },
        {2.5f, -1.0f, 1.0f, 1.0f, INFINITY, 1e30f, NAN, 4.0f});
  check([](auto d, auto a, auto) { Muls(d, a, -2.0f, 8); },
        {-3.0f, 4.0f, -0.0f, 0.0f, -INFINITY, -2e30f, NAN, -6.0f});
}

TEST(Vector, IntegersWrap) {
  const std::vector<int32_t> in = {INT32_MAX, INT32_MIN, 7,  -7, 65537, 0, 0, 0,
                                   1,         -1,        -3, 3,  65537, 0, 0, 0};
  const auto take = [&](auto instruction) {
    auto out = RunOn<int32_t>(in, [&](auto a, auto d) { instruction(d, a, a[8]); });
    out.resize(5);
    return out;
  };
  using Vec = std::vector<int32_t>;
  EXPECT_EQ(take([](auto d, auto a, auto b) { Add(d, a, b, 8); }),
            (Vec{INT32_MIN, INT32_MAX, 4, -4, 131074}));
  EXPECT_EQ(take([](auto d, auto a, auto b) { Mul(d, a, b, 8); }),
            (Vec{INT32_MAX, INT32_MIN, -21, -21, 131073}));
  EXPECT_EQ(take([](auto d, auto a, auto) { ShiftRight(d, a, 1, 8); }),
            (Vec{INT32_MAX >> 1, INT32_MIN >> 1, 3, -4, 32768}));
  EXPECT_EQ(take([](auto d, auto a, auto) { ShiftLeft(d, a, 1, 8); }),
            (Vec{-2, 0, 14, -14, 131074}));
  const std::vector<int16_t> small = {32767, -32768, 300, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const auto out = RunOn<int16_t>(small, [](auto a, auto d) { Mul(d, a, a, 16); });
  EXPECT_EQ(std::vector<int16_t>(out.begin(), out.begin() + 3),
            (std::vector<int16_t>{1, 0, 24464}));
}

TEST(Vector, HalfArithmeticRoundsOnce) {
  std::mt19937 random(7);
  std::vector<half> in(512);
  for (half& value : in) value = HalfOfBits(static_cast<uint16_t>(random()));
  const auto check = [&](auto instruction, auto reference) {
    const auto out = RunOn<half>(in, [&](auto a, auto d) { instruction(d, a, a[256]); });
    for (size_t i = 0; i < 256; ++i) {
      const auto a = std::bit_cast<_Float16>(in[i].bits);
      const auto b = std::bit_cast<_Float16>(in[i + 256].bits);
      const auto want = static_cast<_Float16>(reference(double{a}, double{b}));
      if (want != want) {
        EXPECT_GT(out[i].bits & 0x7fff, 0x7c00);
      } else {
        EXPECT_EQ(out[i].bits, std::bit_cast<uint16_t>(want)) << i;
      }
    }
  };
  check([](auto d, auto a, auto b) { Add(d, a, b, 256); }, std::plus<double>());
  check([](auto d, auto a, auto b) { Mul(d, a, b, 256); }, std::multiplies<double>());
}

// Every form against one sentence: element e of repeat r lies in block e/8 of the repeat.
TEST(Vector, MaskFormsAddressByBlocks) {
  std::vector<float> in(512);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i + 1);
  struct Form {
    bool bits;
    uint64_t mask;
    uint8_t repeat;
    BinaryRepeatParams params;
  };
  const std::vector<Form> forms = {
      {false, 64, 3, {1, 1, 1, 8, 8, 8}},         {false, 13, 3, {1, 1, 1, 8, 8, 0}},
      {false, 40, 2, {2, 1, 3, 16, 5, 0}},        {true, 0x8000000000000001, 2, {1, 1, 1, 9, 7, 8}},
      {true, 0xF0F0A5A5, 3, {2, 2, 1, 16, 1, 2}}, {false, 64, 1, {1, 0, 1, 8, 8, 8}},
  };
  for (size_t f = 0; f < forms.size(); ++f) {
    const Form& form = forms[f];
    const BinaryRepeatParams& p = form.params;
    const auto out = RunOn<float>(in, [&](auto a, auto d) {
      if (form.bits) {
        uint64_t mask[2] = {form.mask, 0};
        Mul(d, a, a[32], mask, form.repeat, p);
      } else {
        Mul(d, a, a[32], form.mask, form.repeat, p);
      }
    });
    std::vector<float> want(kBytes / 4, 0.0f);
    for (uint32_t r = 0; r < form.repeat; ++r) {
      for (uint32_t e = 0; e < 64; ++e) {
        if (form.bits ? (form.mask >> e & 1) == 0 : e >= form.mask) continue;
        const uint32_t lane = e % 8;
        const uint32_t block = e / 8;
        want[(r * p.dstRepStride + block * p.dstBlkStride) * 8 + lane] =
            in[(r * p.src0RepStride + block * p.src0BlkStride) * 8 + lane] *
            in[32 + (r * p.src1RepStride + block * p.src1BlkStride) * 8 + lane];
      }
    }
    EXPECT_EQ(out, want) << "form " << f;
  }
}

TEST(Vector, AccumulationOverRepeats) {
  std::vector<float> in(256, 1.0f);
  const auto out = RunOn<float>(in, [](auto a, auto d) {
    Add(d, a, d, uint64_t{64}, 4, BinaryRepeatParams(1, 1, 1, 0, 8, 0));
  });
  EXPECT_EQ(out[0], 4.0f);
  EXPECT_EQ(out[63], 4.0f);
  EXPECT_EQ(out[64], 0.0f);
}

TEST(Vector, OverlapAcrossRepeatsIsAFault) {
  std::vector<float> in(256, 1.0f);
  EXPECT_THROW(RunOn<float>(in,
                            [](auto, auto d) {
                              Adds(d[64], d, 1.0f, uint64_t{64}, 2, UnaryRepeatParams(1, 1, 8, 8));
                            }),
               KernelError);
}

TEST(Cast, ModesOfFloatToInteger) {
  const std::vector<float> in = {2.5f, -2.5f, 3.5f, 0.4f, -0.6f, 1e20f, -1e20f, NAN};
  using Vec = std::vector<int32_t>;
  const auto cast = [&](RoundMode mode) {
    auto out = RunOn<int32_t>(in, [&](auto a, auto d) { Cast(d, a, mode, 8); });
    out.resize(8);
    return out;
  };
  EXPECT_EQ(cast(RoundMode::CAST_RINT), (Vec{2, -2, 4, 0, -1, INT32_MAX, INT32_MIN, 0}));
  EXPECT_EQ(cast(RoundMode::CAST_NONE), (Vec{2, -2, 4, 0, -1, INT32_MAX, INT32_MIN, 0}));
  EXPECT_EQ(cast(RoundMode::CAST_FLOOR), (Vec{2, -3, 3, 0, -1, INT32_MAX, INT32_MIN, 0}));
  EXPECT_EQ(cast(RoundMode::CAST_CEIL), (Vec{3, -2, 4, 1, 0, INT32_MAX, INT32_MIN, 0}));
  EXPECT_EQ(cast(RoundMode::CAST_ROUND), (Vec{3, -3, 4, 0, -1, INT32_MAX, INT32_MIN, 0}));
  EXPECT_EQ(cast(RoundMode::CAST_TRUNC), (Vec{2, -2, 3, 0, 0, INT32_MAX, INT32_MIN, 0}));
}

// To half in a directed mode: the chosen neighbour of the value among all halves.
TEST(Cast, ModesOfFloatToHalf) {
  std::mt19937 random(11);
  std::vector<float> in(256);
  for (float& value : in) {
    // Exponents from below the subnormal halves up to just above the largest.
    const uint32_t exponent = 127 - 28 + random() % 45;
    value = Bits((random() & 0x807fffff) | exponent << 23);
  }
  in[0] = 65519.9f;
  in[1] = -65504.0f;
  in[2] = 0.0f;
  in[3] = -0.0f;
  for (const RoundMode mode : {RoundMode::CAST_RINT, RoundMode::CAST_FLOOR, RoundMode::CAST_CEIL,
                               RoundMode::CAST_ROUND, RoundMode::CAST_TRUNC, RoundMode::CAST_ODD}) {
    const auto out = RunOn<half>(in, [&](auto a, auto d) { Cast(d, a, mode, 256); });
    for (size_t i = 0; i < in.size(); ++i) {
      // Neighbours by magnitude; beyond the largest half lies infinity, 65536 for the distances.
      uint16_t low = 0;
      const double magnitude = std::fabs(double{in[i]});
      const auto value = [](uint16_t b) {
        return b == 0x7c00 ? 65536.0 : double{std::bit_cast<_Float16>(b)};
      };
      while (low < 0x7bff && value(static_cast<uint16_t>(low + 1)) <= magnitude) ++low;
      const uint16_t high = static_cast<uint16_t>(low + 1);
      const bool exact = value(low) == magnitude;
      const double to_low = magnitude - value(low);
      const double to_high = value(high) - magnitude;
      const bool negative = std::signbit(in[i]);
      const uint16_t even = (low & 1) == 0 ? low : high;
      uint16_t want = low;
      switch (mode) {
        case RoundMode::CAST_RINT:
          want = to_low == to_high ? even : to_low < to_high ? low : high;
          break;
        case RoundMode::CAST_ROUND:
          want = to_low < to_high ? low : high;
          break;
        case RoundMode::CAST_FLOOR:
          want = negative ? high : low;
          break;
        case RoundMode::CAST_CEIL:
          want = negative ? low : high;
          break;
        case RoundMode::CAST_ODD:
          want = (low & 1) != 0 ? low : high;
          break;
        default:
          break;
      }
      if (exact) want = low;
      if (magnitude >= 65536.0) want = 0x7c00;
      EXPECT_EQ(out[i].bits, want | (negative ? 0x8000 : 0))
          << in[i] << " mode " << static_cast<int>(mode);
    }
  }
}

TEST(Cast, WidensAndNarrowsIntegers) {
  const std::vector<int64_t> in = {1, -1, int64_t{1} << 40, -(int64_t{1} << 40)};
  const auto narrow =
      RunOn<int32_t>(in, [](auto a, auto d) { Cast(d, a, RoundMode::CAST_NONE, 4); });
  EXPECT_EQ(std::vector<int32_t>(narrow.begin(), narrow.begin() + 4),
            (std::vector<int32_t>{1, -1, INT32_MAX, INT32_MIN}));
  const auto wide = RunOn<int64_t>(std::vector<int32_t>{5, INT32_MIN},
                                   [](auto a, auto d) { Cast(d, a, RoundMode::CAST_NONE, 2); });
  EXPECT_EQ(wide[0], 5);
  EXPECT_EQ(wide[1], INT32_MIN);
  EXPECT_EQ(wide[2], 0);
}

TEST(Cast, FloatToFloatLosesTheSignOfZero) {
  const auto out = RunOn<float>(std::vector<float>{-0.0f, -0.3f, 2.5f},
                                [](auto a, auto d) { Cast(d, a, RoundMode::CAST_RINT, 8); });
  EXPECT_EQ(std::bit_cast<uint32_t>(out[0]), 0u);
  EXPECT_EQ(std::bit_cast<uint32_t>(out[1]), 0u);
  EXPECT_EQ(out[2], 2.0f);
}

TEST(Cast, MaskCountsTheWiderType) {
  std::vector<half> in(256);
  for (size_t i = 0; i < in.size(); ++i) in[i] = half(static_cast<float>(i));
  // Repeats of 64 elements: 128 bytes of half, 256 of float.
  const auto out = RunOn<float>(in, [](auto a, auto d) {
    Cast(d, a, RoundMode::CAST_NONE, uint64_t{64}, 3, UnaryRepeatParams(1, 1, 8, 4));
  });
  for (size_t i = 0; i < 192; ++i) ASSERT_EQ(out[i], static_cast<float>(i));
  EXPECT_EQ(out[192], 0.0f);
}

TEST(Vector, GatherTakesByteOffsets) {
  std::vector<uint32_t> in(128);
  for (uint32_t i = 0; i < 64; ++i) in[i] = 1000 + i;
  for (uint32_t i = 0; i < 64; ++i) in[64 + i] = (i ^ 1) * 4;
  const auto out = RunOn<uint32_t>(in, [](auto a, auto d) {
    Gather(d.template ReinterpretCast<float>(), a.template ReinterpretCast<float>(), a[64], 0, 64);
  });
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(out[i], 1000 + (i ^ 1));
}

TEST(Vector, CreateVecIndexCounts) {
  const auto out =
      RunOn<int32_t>(std::vector<int32_t>{0}, [](auto, auto d) { CreateVecIndex(d, -2, 5); });
  EXPECT_EQ(std::vector<int32_t>(out.begin(), out.begin() + 6),
            (std::vector<int32_t>{-2, -1, 0, 1, 2, 0}));
}

}  // namespace
