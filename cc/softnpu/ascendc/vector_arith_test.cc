// cc/softnpu/ascendc/vector_arith_test.cc: arithmetic against references in double and int64.
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

constexpr size_t kN = 208;  // a repeat and a tail, of either type

// Rounds a result in double, which is exact or nearly, to the element's type.
template <typename T>
T Round(double value) {
  if constexpr (std::is_same_v<T, half>) {
    return ToHalf(value);
  } else {
    return static_cast<float>(value);
  }
}

// The reference of one element against a run of kN, of which the last are left alone.
template <typename T, typename U, typename Instruction, typename Reference>
void Check(const std::vector<U>& in, const Instruction& instruction, const Reference& reference,
           double tolerance = 0) {
  const auto out = RunOn<T>(in, [&](auto a, auto d) { instruction(d, a, a[256]); });
  for (size_t i = 0; i < kN; ++i) {
    const T want = reference(in[i], in[256 + i]);
    if (Same(out[i], want)) continue;
    // Where nothing is approximate, the bits have to be those of the reference.
    EXPECT_GT(tolerance, 0) << "element " << i << ": " << ToDouble(out[i]) << " for "
                            << ToDouble(want);
    const double got = ToDouble(out[i]);
    const double reference_value = ToDouble(want);
    EXPECT_LE(std::fabs(got - reference_value), tolerance * std::fabs(reference_value))
        << "element " << i << ": " << got << " for " << reference_value << " of " << ToDouble(in[i])
        << ", " << ToDouble(in[256 + i]);
  }
  EXPECT_EQ(ToDouble(out[kN]), 0.0);
}

double MaxOf(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return NAN;
  if (a == b) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
double MinOf(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return NAN;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}
double ReluOf(double a) { return std::isnan(a) ? a : a > 0 ? a : 0.0; }

template <typename T>
class Float : public ::testing::Test {
 public:
  static std::vector<T> Inputs() {
    if constexpr (std::is_same_v<T, half>) {
      return Join(Halves(256, 1), Halves(256, 7));
    } else {
      return Join(Floats(256, 1), Floats(256, 7));
    }
  }
};
using FloatTypes = ::testing::Types<float, half>;
TYPED_TEST_SUITE(Float, FloatTypes);

TYPED_TEST(Float, Binary) {
  using T = TypeParam;
  const auto in = this->Inputs();
  const auto check = [&](auto instruction, auto reference) {
    Check<T>(in, instruction,
             [&](T a, T b) { return Round<T>(reference(ToDouble(a), ToDouble(b))); });
  };
  // In float a sum or quotient in double is rounded twice: equal to once, since 53 >= 2 * 24 + 2.
  check([](auto d, auto a, auto b) { Add(d, a, b, kN); }, std::plus<double>());
  check([](auto d, auto a, auto b) { Sub(d, a, b, kN); }, std::minus<double>());
  check([](auto d, auto a, auto b) { Mul(d, a, b, kN); }, std::multiplies<double>());
  check([](auto d, auto a, auto b) { Div(d, a, b, kN); }, std::divides<double>());
  check([](auto d, auto a, auto b) { Max(d, a, b, kN); }, MaxOf);
  check([](auto d, auto a, auto b) { Min(d, a, b, kN); }, MinOf);
  // The sum is rounded before Relu compares it, which gives the same.
  check([](auto d, auto a, auto b) { AddRelu(d, a, b, kN); },
        [](double a, double b) { return ReluOf(a + b); });
  check([](auto d, auto a, auto b) { SubRelu(d, a, b, kN); },
        [](double a, double b) { return ReluOf(a - b); });
}

TYPED_TEST(Float, WithScalar) {
  using T = TypeParam;
  const auto in = this->Inputs();
  const T s = Round<T>(-1.375);
  const auto check = [&](auto instruction, auto reference) {
    Check<T>(in, instruction, [&](T a, T) { return Round<T>(reference(ToDouble(a), -1.375)); });
  };
  check([s](auto d, auto a, auto) { Adds(d, a, s, kN); }, std::plus<double>());
  check([s](auto d, auto a, auto) { Muls(d, a, s, kN); }, std::multiplies<double>());
  check([s](auto d, auto a, auto) { Maxs(d, a, s, kN); }, MaxOf);
  check([s](auto d, auto a, auto) { Mins(d, a, s, kN); }, MinOf);
  check([s](auto d, auto a, auto) { LeakyRelu(d, a, s, kN); },
        [](double a, double slope) { return a > 0 ? a : a * slope; });
  // The spellings of a scalar that kernels use.
  check([](auto d, auto a, auto) { Muls(d, a, static_cast<T>(-1.375f), kN); },
        std::multiplies<double>());
  check([](auto d, auto a, auto) { Muls(d, a, -1.375f, kN); }, std::multiplies<double>());
  check([](auto d, auto a, auto) { Muls<T>(d, a, T(-1.375), static_cast<int32_t>(kN)); },
        std::multiplies<double>());
  check([](auto d, auto a, auto) { Muls<T, T>(d, a, T(-1.375), static_cast<uint32_t>(kN)); },
        std::multiplies<double>());
  check(
      [](auto d, auto a, auto) {
        // No repeat at all, which only the compiler may not know.
        const auto none = static_cast<uint8_t>(GetBlockIdx());
        Muls<T, false>(d, a, T(-1.375), MASK_PLACEHOLDER, none, UnaryRepeatParams());
        Muls(d, a, (T)-1.375, kN);
      },
      std::multiplies<double>());
}

TYPED_TEST(Float, Unary) {
  using T = TypeParam;
  const auto in = this->Inputs();
  // expf, logf have an error below 1 ulp in glibc; rounding to half leaves half an ulp of half,
  // which can move a result by one half: 2^-10.
  const double ulp = std::is_same_v<T, half> ? 0x1p-10 : 0x1p-23;
  const auto check = [&](auto instruction, auto reference, double tolerance) {
    Check<T>(in, instruction, [&](T a, T) { return Round<T>(reference(ToDouble(a))); }, tolerance);
  };
  check([](auto d, auto a, auto) { Exp(d, a, kN); }, [](double a) { return std::exp(a); }, ulp);
  check([](auto d, auto a, auto) { Ln(d, a, kN); }, [](double a) { return std::log(a); }, ulp);
  check([](auto d, auto a, auto) { Abs(d, a, kN); }, [](double a) { return std::fabs(a); }, 0);
  check([](auto d, auto a, auto) { Reciprocal(d, a, kN); }, [](double a) { return 1 / a; }, 0);
  check([](auto d, auto a, auto) { Sqrt(d, a, kN); }, [](double a) { return std::sqrt(a); }, 0);
  check([](auto d, auto a, auto) { Rsqrt(d, a, kN); }, [](double a) { return 1 / std::sqrt(a); },
        0);
  check([](auto d, auto a, auto) { Relu(d, a, kN); }, ReluOf, 0);
}

TYPED_TEST(Float, DstTakesPart) {
  using T = TypeParam;
  const auto in = this->Inputs();
  const double old = 0.75;
  const auto check = [&](auto instruction, auto reference) {
    Check<T>(
        in,
        [&](auto d, auto a, auto b) {
          Duplicate(d, T(0.75f), kN);
          PipeBarrier<PIPE_V>();
          instruction(d, a, b);
        },
        [&](T a, T b) { return Round<T>(reference(ToDouble(a), ToDouble(b))); });
  };
  check([](auto d, auto a, auto b) { MulAddDst(d, a, b, kN); },
        [&](double a, double b) { return a * b + old; });
  check([](auto d, auto a, auto b) { FusedMulAdd(d, a, b, kN); },
        [&](double a, double b) { return a * old + b; });
  check([](auto d, auto a, auto b) { FusedMulAddRelu(d, a, b, kN); },
        [&](double a, double b) { return ReluOf(a * old + b); });
  check([](auto d, auto a, auto b) { MulAddRelu(d, a, b, kN); },
        [&](double a, double b) { return ReluOf(a * old + b); });
  check([](auto d, auto a, auto) { Axpy(d, a, T(-1.375f), kN); },
        [&](double a, double) { return a * -1.375 + old; });
}

TEST(Arith, HalvesIntoFloat) {
  const auto in = Join(Halves(256, 3), Halves(256, 9));
  const auto check = [&](auto instruction, auto reference) {
    const auto out = RunOn<float>(in, [&](auto a, auto d) {
      Duplicate(d, 2.0f, 64);
      PipeBarrier<PIPE_V>();
      instruction(d, a, a[256]);
    });
    for (size_t i = 0; i < 64; ++i) {
      const double want = reference(FromHalf(in[i]), FromHalf(in[256 + i]));
      EXPECT_TRUE(Same(out[i], static_cast<float>(want))) << i << ": " << out[i] << " " << want;
    }
  };
  check([](auto d, auto a, auto b) { MulAddDst(d, a, b, 64); },
        [](double a, double b) { return a * b + 2; });
  check([](auto d, auto a, auto) { Axpy(d, a, half(0.5f), 64); },
        [](double a, double) { return a * 0.5 + 2; });
}

template <typename T>
std::vector<T> Integers(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> values(512);
  for (T& value : values) value = static_cast<T>(random() >> (random() % 24));
  values[0] = values[257] = std::numeric_limits<T>::max();
  values[256] = values[1] = std::numeric_limits<T>::min();
  values[2] = values[258] = std::numeric_limits<T>::min();
  values[3] = values[259] = std::numeric_limits<T>::max();
  return values;
}

template <typename T>
class Integer : public ::testing::Test {};
using IntegerTypes = ::testing::Types<int16_t, int32_t>;
TYPED_TEST_SUITE(Integer, IntegerTypes);

TYPED_TEST(Integer, WrapsAndSaturates) {
  using T = TypeParam;
  const auto in = Integers<T>(5);
  for (const bool saturate : {false, true}) {
    const auto fit = [&](__int128 value) {
      if (!saturate) return static_cast<T>(value);
      value = std::min<__int128>(value, std::numeric_limits<T>::max());
      return static_cast<T>(std::max<__int128>(value, std::numeric_limits<T>::min()));
    };
    const auto check = [&](auto instruction, auto reference) {
      const auto out = RunOn<T>(in, [&](auto a, auto d) {
        SetSaturationFlag(saturate);
        instruction(d, a, a[256]);
      });
      for (size_t i = 0; i < kN; ++i) {
        EXPECT_EQ(out[i], fit(reference(__int128{in[i]}, __int128{in[256 + i]}))) << i;
      }
    };
    check([](auto d, auto a, auto b) { Add(d, a, b, kN); }, [](auto a, auto b) { return a + b; });
    check([](auto d, auto a, auto b) { Sub(d, a, b, kN); }, [](auto a, auto b) { return a - b; });
    check([](auto d, auto a, auto b) { Mul(d, a, b, kN); }, [](auto a, auto b) { return a * b; });
    check([](auto d, auto a, auto b) { Max(d, a, b, kN); },
          [](auto a, auto b) { return a > b ? a : b; });
    check([](auto d, auto a, auto b) { Min(d, a, b, kN); },
          [](auto a, auto b) { return a < b ? a : b; });
    check([](auto d, auto a, auto) { Adds(d, a, T{1000}, kN); },
          [](auto a, auto) { return a + 1000; });
    check([](auto d, auto a, auto) { Muls(d, a, -3, kN); }, [](auto a, auto) { return a * -3; });
    check([](auto d, auto a, auto) { Maxs(d, a, T{-7}, kN); },
          [](auto a, auto) { return a > -7 ? a : -7; });
    check([](auto d, auto a, auto) { Mins(d, a, T{-7}, kN); },
          [](auto a, auto) { return a < -7 ? a : -7; });
  }
}

TEST(Arith, Int16ReluAndInt32Relu) {
  const auto in16 = Integers<int16_t>(6);
  auto out16 = RunOn<int16_t>(in16, [](auto a, auto d) { AddRelu(d, a, a[256], 128); });
  for (size_t i = 0; i < 128; ++i) {
    const auto sum = static_cast<int16_t>(in16[i] + in16[256 + i]);
    EXPECT_EQ(out16[i], sum > 0 ? sum : 0) << i;
  }
  const auto in32 = Integers<int32_t>(6);
  const auto out32 = RunOn<int32_t>(in32, [](auto a, auto d) { Relu(d, a, 128); });
  for (size_t i = 0; i < 128; ++i) EXPECT_EQ(out32[i], in32[i] > 0 ? in32[i] : 0) << i;
}

TEST(Arith, Bits) {
  const auto in = Integers<int16_t>(8);
  const auto take = [&](auto instruction, auto reference) {
    const auto out = RunOn<int16_t>(in, [&](auto a, auto d) { instruction(d, a, a[256]); });
    for (size_t i = 0; i < kN; ++i) {
      EXPECT_EQ(out[i], static_cast<int16_t>(reference(in[i], in[256 + i]))) << i;
    }
  };
  take([](auto d, auto a, auto b) { And(d, a, b, kN); }, [](int a, int b) { return a & b; });
  take([](auto d, auto a, auto b) { Or(d, a, b, kN); }, [](int a, int b) { return a | b; });
  take([](auto d, auto a, auto) { Not(d, a, kN); }, [](int a, int) { return ~a; });
  EXPECT_THAT((FaultOf<int32_t, int32_t>([](auto a, auto d) { And(d, a, a, 8); })),
              HasSubstr("And does not take int32_t"));
}

template <typename T>
void CheckShifts() {
  const auto in = Integers<T>(4);
  const int width = sizeof(T) * 8;
  for (const int by : {0, 1, 7, width - 1, width}) {
    const auto left =
        RunOn<T>(in, [&](auto a, auto d) { ShiftLeft(d, a, static_cast<T>(by), kN); });
    const auto right =
        RunOn<T>(in, [&](auto a, auto d) { ShiftRight(d, a, static_cast<T>(by), kN); });
    const uint64_t mask = sizeof(T) == 2 ? 128 : 64;
    for (size_t i = 0; i < kN; ++i) {
      EXPECT_EQ(left[i], static_cast<T>(static_cast<__int128>(in[i]) << by)) << by;
      EXPECT_EQ(right[i], static_cast<T>(static_cast<__int128>(in[i]) >> by)) << by;
    }
    if (std::is_unsigned_v<T>) continue;
    const auto rounded = RunOn<T>(in, [&](auto a, auto d) {
      ShiftRight(d, a, static_cast<T>(by), mask, 1, UnaryRepeatParams(1, 1, 8, 8), true);
    });
    for (size_t i = 0; i < mask; ++i) {
      const __int128 half = by == 0 ? 0 : static_cast<__int128>(1) << (by - 1);
      EXPECT_EQ(rounded[i], static_cast<T>((static_cast<__int128>(in[i]) + half) >> by)) << by;
    }
  }
  EXPECT_THAT((FaultOf<T, T>([&](auto a, auto d) { ShiftLeft(d, a, T(width + 1), 8); })),
              HasSubstr("the limits for"));
}

TEST(Arith, Shifts) {
  CheckShifts<int16_t>();
  CheckShifts<uint16_t>();
  CheckShifts<int32_t>();
  CheckShifts<uint32_t>();
  EXPECT_THAT((FaultOf<uint32_t, uint32_t>([](auto a, auto d) {
                ShiftRight(d, a, 1u, uint64_t{8}, 1, UnaryRepeatParams(), true);
              })),
              HasSubstr("roundEn is for int16_t and int32_t, not for uint32_t"));
}

TEST(Arith, NarrowingSums) {
  const auto in = Join(Floats(256, 2), Floats(256, 12));
  const auto sums = RunOn<half>(in, [](auto a, auto d) {
    AddReluCast(d, a, a[256], 128);
    SubReluCast(d[256], a, a[256], 128);
  });
  for (size_t i = 0; i < 128; ++i) {
    const float sum = in[i] + in[256 + i];
    const float difference = in[i] - in[256 + i];
    EXPECT_TRUE(Same(sums[i], ToHalf(sum > 0 ? sum : 0))) << i;  // NaN becomes +0
    EXPECT_TRUE(Same(sums[256 + i], ToHalf(difference > 0 ? difference : 0))) << i;
  }
  std::vector<half> halves(512);
  for (size_t i = 0; i < 512; ++i) halves[i] = half(static_cast<float>(i % 97) * 0.5f - 20.0f);
  halves[0] = HalfOfBits(0x7e00);
  const auto bytes = RunOn<int8_t>(halves, [](auto a, auto d) {
    MulCast(d, a, a[256], 128);
    AddReluCast(d[256], a, a[256], 128);
    MulCast(d[512].template ReinterpretCast<uint8_t>(), a, a[256], 128);
  });
  for (size_t i = 0; i < 128; ++i) {
    const double a = FromHalf(halves[i]);
    const double b = FromHalf(halves[256 + i]);
    const double product = std::nearbyint(FromHalf(ToHalf(a * b)));
    const double sum = std::nearbyint(a + b);
    EXPECT_EQ(bytes[i], i == 0 ? 0 : std::clamp(product, -128.0, 127.0)) << i;
    EXPECT_EQ(bytes[256 + i], i == 0 ? 0 : std::clamp(sum, 0.0, 127.0)) << i;
    EXPECT_EQ(static_cast<uint8_t>(bytes[512 + i]), i == 0 ? 0 : std::clamp(product, 0.0, 255.0));
  }
  const auto in16 = Integers<int16_t>(3);
  const auto small = RunOn<int8_t>(in16, [](auto a, auto d) { SubReluCast(d, a, a[256], 128); });
  for (size_t i = 0; i < 128; ++i) {
    EXPECT_EQ(small[i], std::clamp(int{in16[i]} - int{in16[256 + i]}, 0, 127)) << i;
  }
}

TEST(Arith, AddDeqReluScales) {
  std::vector<int32_t> in(128);
  for (int i = 0; i < 128; ++i) in[static_cast<size_t>(i)] = i * 37 - 1000;
  const auto out = RunOn<half>(in, [](auto a, auto d) {
    SetDeqScale(half(0.125f));
    AddDeqRelu(d, a, a[64], 64);
  });
  for (size_t i = 0; i < 64; ++i) {
    const double value = (in[i] + in[64 + i]) * 0.125;
    EXPECT_TRUE(Same(out[i], ToHalf(value > 0 ? value : 0))) << i;
  }
}

TEST(Arith, SaturationModeOfHalf) {
  const std::vector<half> in = {HalfOfBits(0x7bff), HalfOfBits(0xfbff), HalfOfBits(0x7e00),
                                HalfOfBits(0x3c00)};
  const auto out = RunOn<half>(in, [](auto a, auto d) {
    SetSaturationFlag(true);
    Add(d, a, a, 16);
    SetSaturationFlag(false);
    Add(d[16], a, a, 16);
  });
  EXPECT_EQ(out[0].bits, 0x7bff);
  EXPECT_EQ(out[1].bits, 0xfbff);
  EXPECT_EQ(out[2].bits, 0);
  EXPECT_EQ(out[3].bits, 0x4000);
  EXPECT_EQ(out[16].bits, 0x7c00);
  EXPECT_EQ(out[17].bits, 0xfc00);
  EXPECT_TRUE(std::isnan(FromHalf(out[18])));
  const auto infinity = RunOn<float>(std::vector<float>{3e38f}, [](auto a, auto d) {
    EXPECT_FALSE(GetSaturationFlag());
    SetCtrlSpr<59, 59>(0);
    EXPECT_TRUE(GetSaturationFlag());
    EXPECT_EQ((GetCtrlSpr<59, 59>()), 0);
    Add(d, a, a, 8);  // float never saturates
    ResetCtrlSpr<59, 59>();
    EXPECT_FALSE(GetSaturationFlag());
    EXPECT_EQ((GetCtrlSpr<59, 59>()), 1);
  });
  EXPECT_EQ(infinity[0], INFINITY);
}

// Every form of three families against one sentence: element e of repeat r lies in block e / per of
// the repeat.
template <typename T>
void CheckForms() {
  constexpr uint32_t kPer = 256 / sizeof(T);
  constexpr uint32_t kBlock = 32 / sizeof(T);
  std::vector<T> in(4096 / sizeof(T));
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<T>(static_cast<float>(i % 250) + 1);
  struct Form {
    uint64_t mask;  // 0: bits
    uint64_t bits[2];
    uint8_t repeat;
    BinaryRepeatParams p;
  };
  const Form forms[] = {
      {kPer, {}, 3, {1, 1, 1, 8, 8, 8}},
      {13, {}, 3, {1, 1, 1, 8, 8, 0}},
      {40, {}, 2, {2, 1, 3, 24, 5, 0}},
      {1, {}, 4, {1, 1, 1, 1, 2, 3}},
      {0, {0x8000000000000001, kPer == 128 ? 0x8000000000000001u : 0}, 2, {1, 1, 1, 9, 7, 8}},
      {0, {0xF0F0A5A5, kPer == 128 ? 0xFFFFu : 0}, 3, {2, 2, 1, 17, 1, 2}},
      {kPer, {}, 1, {1, 0, 1, 8, 8, 8}},
  };
  for (const bool of_register : {false, true}) {
    for (const Form& f : forms) {
      const auto run = [&](auto call) {
        return RunOn<T>(in, [&](auto a, auto d) {
          if (of_register) {
            uint64_t low = f.bits[0];
            uint64_t high = f.bits[1];
            if (f.mask != 0) {
              low = f.mask >= 64 ? ~uint64_t{0} : (uint64_t{1} << f.mask) - 1;
              high = f.mask == 128 ? ~uint64_t{0} : 0;
            }
            if (f.mask == 13) {
              SetVectorMask<T>(13);
            } else {
              SetVectorMask<T>(high, low);
            }
          }
          call(d, a);
        });
      };
      const auto binary = run([&](auto d, auto a) {
        if (of_register) {
          Add<T, false>(d, a, a[32], MASK_PLACEHOLDER, f.repeat, f.p);
        } else if (f.mask != 0) {
          Add(d, a, a[32], f.mask, f.repeat, f.p);
        } else {
          Add(d, a, a[32], f.bits, f.repeat, f.p);
        }
      });
      const UnaryRepeatParams u(f.p.dstBlkStride, f.p.src0BlkStride, f.p.dstRepStride,
                                f.p.src0RepStride);
      const auto scalar = run([&](auto d, auto a) {
        if (of_register) {
          Adds<T, false>(d, a, T(3.0f), MASK_PLACEHOLDER, f.repeat, u);
        } else if (f.mask != 0) {
          Adds(d, a, T(3.0f), f.mask, f.repeat, u);
        } else {
          Adds(d, a, T(3.0f), f.bits, f.repeat, u);
        }
      });
      const auto unary = run([&](auto d, auto a) {
        if (of_register) {
          Abs<T, false>(d, a, MASK_PLACEHOLDER, f.repeat, u);
        } else if (f.mask != 0) {
          Abs(d, a, f.mask, f.repeat, u);
        } else {
          Abs(d, a, f.bits, f.repeat, u);
        }
      });
      std::vector<float> want[3];
      for (auto& values : want) values.assign(kBytes / sizeof(T), 0.0f);
      for (uint32_t r = 0; r < f.repeat; ++r) {
        for (uint32_t e = 0; e < kPer; ++e) {
          if (f.mask != 0 ? e >= f.mask : (f.bits[e / 64] >> (e % 64) & 1) == 0) continue;
          const uint32_t lane = e % kBlock;
          const uint32_t block = e / kBlock;
          const auto at = [&](uint32_t repeat_stride, uint32_t block_stride) {
            return (r * repeat_stride + block * block_stride) * kBlock + lane;
          };
          const float a = in[at(f.p.src0RepStride, f.p.src0BlkStride)];
          const float b = in[32 + at(f.p.src1RepStride, f.p.src1BlkStride)];
          const uint32_t to = at(f.p.dstRepStride, f.p.dstBlkStride);
          want[0][to] = a + b;
          want[1][to] = a + 3;
          want[2][to] = a;
        }
      }
      for (size_t i = 0; i < binary.size(); ++i) {
        ASSERT_EQ(static_cast<float>(binary[i]), want[0][i]) << i << " mask " << f.mask;
        ASSERT_EQ(static_cast<float>(scalar[i]), want[1][i]) << i << " mask " << f.mask;
        ASSERT_EQ(static_cast<float>(unary[i]), want[2][i]) << i << " mask " << f.mask;
      }
    }
  }
}

TEST(Forms, EveryFormOfFloat) { CheckForms<float>(); }
TEST(Forms, EveryFormOfHalf) { CheckForms<half>(); }

TEST(Forms, CounterModeLaysElementsOverRepeats) {
  std::vector<float> in(1024);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i + 1);
  const auto out = RunOn<float>(in, [](auto a, auto d) {
    SetMaskCount();
    SetVectorMask<float, MaskMode::COUNTER>(0, 150);
    Adds<float, false>(d, a, 1.0f, MASK_PLACEHOLDER, 1, UnaryRepeatParams(1, 1, 8, 16));
    SetMaskNorm();
    ResetMask();
  });
  for (size_t i = 0; i < 1024; ++i) {
    ASSERT_EQ(out[i], i < 150 ? in[i / 64 * 128 + i % 64] + 1 : 0) << i;
  }
  // A mask given with the call is a count, too.
  const auto given = RunOn<float>(in, [](auto a, auto d) {
    SetMaskCount();
    Adds(d, a, 1.0f, uint64_t{100}, 1, UnaryRepeatParams(1, 1, 8, 8));
    SetMaskNorm();
  });
  EXPECT_EQ(given[99], 101.0f);
  EXPECT_EQ(given[100], 0.0f);
}

TEST(Forms, TheRegisterKeepsTheLastMask) {
  const std::vector<float> in(128, 1.0f);
  const auto out = RunOn<float>(in, [](auto a, auto d) {
    Adds(d, a, 1.0f, uint64_t{5}, 1, UnaryRepeatParams());
    Adds<float, false>(d[64], a, 1.0f, MASK_PLACEHOLDER, 1, UnaryRepeatParams());
    Adds(d[128], a, 1.0f, 3);
    Adds<float, false>(d[192], a, 1.0f, MASK_PLACEHOLDER, 1, UnaryRepeatParams());
  });
  EXPECT_EQ(out[68], 2.0f);
  EXPECT_EQ(out[69], 0.0f);
  EXPECT_EQ(out[192 + 63], 2.0f);  // the count form leaves all elements behind
  const auto mode = RunOn<float>(in, [](auto a, auto d) {
    SetMaskCount();
    Adds(d, a, 1.0f, 3);  // and normal mode
    Adds(d[64], a, 1.0f, uint64_t{2}, 2, UnaryRepeatParams());
  });
  EXPECT_EQ(mode[64 + 1], 2.0f);
  EXPECT_EQ(mode[128 + 1], 2.0f);
}

TEST(Forms, LimitsAreRefused) {
  EXPECT_EQ(FaultOf([](auto a, auto d) { Add(d, a, a, uint64_t{64}, 15, {}); }), "");
  EXPECT_THAT(FaultOf([](auto a, auto d) { Add(d, a, a, uint64_t{65}, 1, {}); }),
              HasSubstr("mask 65, the limit for elements of 4 bytes is 64"));
  EXPECT_THAT((FaultOf<half, half>([](auto a, auto d) { Add(d, a, a, uint64_t{129}, 1, {}); })),
              HasSubstr("mask 129, the limit for elements of 2 bytes is 128"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                const uint64_t bits[2] = {1, 1};
                Add(d, a, a, bits, 1, {});
              }),
              HasSubstr("beyond the 64 elements"));
  EXPECT_THAT(FaultOf([](auto a, auto d) { Add(d, a, a, -1); }), HasSubstr("count -1 is negative"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                Add(d, a, a, uint64_t{8}, 1, BinaryRepeatParams(0, 1, 1, 8, 8, 8));
              }),
              HasSubstr("dstBlkStride 0"));
  EXPECT_THAT(FaultOf([](auto, auto) { SetVectorMask<float>(65); }),
              HasSubstr("the length of the mask 65, the limits are 0 and 64"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                SetMaskCount();
                Adds<float, false>(d, a, 1.0f, MASK_PLACEHOLDER, 1, {});
              }),
              HasSubstr("SetMaskCount holds, but the mask register has bits"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                SetVectorMask<float, MaskMode::COUNTER>(8);
                Adds<float, false>(d, a, 1.0f, MASK_PLACEHOLDER, 1, {});
              }),
              HasSubstr("SetMaskCount does not hold"));
}

}  // namespace
