// cc/softnpu/ascendc/vector_quant_test.cc: calls to and from small integers, and transpositions
// with a tiling: exact, step by step as the device rounds.
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

float FromBits(bfloat16_t value) { return static_cast<float>(value); }

std::vector<int32_t> Integers(size_t n) {
  std::mt19937 random(1);
  std::vector<int32_t> values(n);
  for (int32_t& value : values) value = static_cast<int32_t>(random()) >> 8;
  return values;
}

TEST(AscendDequant, MultipliesTheFirstOfEachRow) {
  const auto in = Integers(64);  // 4 rows of 8, 8 scales
  const auto scaled = RunOn<float>(in, [](auto a, auto d, auto t) {
    AscendDequant(d, a, a[32].template ReinterpretCast<float>(), t, DequantParams{4, 8, 6});
  });
  const auto by_one =
      RunOn<bfloat16_t>(in, [](auto a, auto d, auto) { AscendDequant(d, a, 0.37f, {4, 8, 6}); });
  for (size_t r = 0; r < 4; ++r) {
    for (size_t e = 0; e < 8; ++e) {
      const float x = static_cast<float>(in[r * 8 + e]);
      float scale = 0;
      std::memcpy(&scale, &in[32 + e], 4);
      EXPECT_TRUE(Same(scaled[r * 8 + e], e < 6 ? x * scale : 0.0f)) << r << ' ' << e;
      // Rows of dst are padded to whole blocks.
      const float want = e < 6 ? FromBits(bfloat16_t(x * 0.37f)) : 0.0f;
      EXPECT_EQ(FromBits(by_one[r * 16 + e]), want) << r << ' ' << e;
    }
  }
}

TEST(AscendDequant, ScalesOf64BitsHaveAFloatBelow) {
  auto in = Integers(32);
  for (size_t e = 0; e < 8; ++e) {
    const float scale = 0.25f * static_cast<float>(e) * 0x1p-12f;
    std::memcpy(&in[16 + 2 * e], &scale, 4);
  }
  const auto out = RunOn<half>(in, [](auto a, auto d, auto t) {
    AscendDequant<half, uint64_t, DeQuantMode::DEQUANT_WITH_MULTI_ROW>(
        d, a, a[16].template ReinterpretCast<uint64_t>(), t, {1, 16, 8});
  });
  for (size_t e = 0; e < 8; ++e) {
    const float scale = 0.25f * static_cast<float>(e) * 0x1p-12f;
    EXPECT_TRUE(Same(out[e], half(static_cast<float>(in[e]) * scale)));
  }
}

// DEQUANT_WITH_SINGLE_ROW: {1, 16, 8} is {2, 8, 8}.
TEST(AscendDequant, OneRowIsAsManyAsFit) {
  const auto in = Integers(24);
  const auto out = RunOn<float>(in, [](auto a, auto d, auto) {
    AscendDequant(d, a, a[16].template ReinterpretCast<float>(), {1, 16, 8});
  });
  for (size_t e = 0; e < 16; ++e) {
    float scale = 0;
    std::memcpy(&scale, &in[16 + e % 8], 4);
    EXPECT_TRUE(Same(out[e], static_cast<float>(in[e]) * scale));
  }
}

// [K, N] = [4, 32] with 2 groups of rows, and transposed with groups of columns.
TEST(AscendAntiQuant, GroupsHaveScalesAndOffsets) {
  std::vector<int8_t> in(1024);
  std::mt19937 random(2);
  for (size_t e = 0; e < 128; ++e) in[e] = static_cast<int8_t>(random());
  std::vector<half> offsets(64), scales(64);
  for (size_t e = 0; e < 64; ++e) {
    offsets[e] = half(static_cast<float>(static_cast<int>(random() % 64)) / 8);
    scales[e] = half(static_cast<float>(static_cast<int>(random() % 1000)) / 777);
  }
  std::memcpy(&in[128], static_cast<const void*>(offsets.data()), 128);
  std::memcpy(&in[256], static_cast<const void*>(scales.data()), 128);
  const auto run = [&](auto transposed) {
    return RunOn<half>(in, [&](auto a, auto d, auto t) {
      constexpr bool kTransposed = decltype(transposed)::value;
      const AntiQuantShapeInfo shape =
          kTransposed ? AntiQuantShapeInfo{4, 2, 4, 2} : AntiQuantShapeInfo{2, 32, 2, 32};
      auto x = a[0];
      x.SetSize(128);
      AscendAntiQuant<int8_t, half, kTransposed>(d, x, a[128].template ReinterpretCast<half>(),
                                                 a[256].template ReinterpretCast<half>(), t,
                                                 kTransposed ? 32 : 4, shape);
    });
  };
  const auto plain = run(std::false_type()), turned = run(std::true_type());
  for (size_t e = 0; e < 128; ++e) {
    const size_t groups[] = {e / 32 / 2 * 32 + e % 32, e / 32 * 2 + e % 32 / 16};
    const half results[] = {plain[e], turned[e]};
    for (int i = 0; i < 2; ++i) {
      const half sum = half(static_cast<float>(in[e]) + static_cast<float>(offsets[groups[i]]));
      EXPECT_TRUE(
          Same(results[i], half(static_cast<float>(sum) * static_cast<float>(scales[groups[i]]))))
          << e << ' ' << i;
    }
  }
}

TEST(AscendAntiQuant, ToBfloat16InFloat) {
  std::vector<int8_t> in(64);
  for (size_t e = 0; e < 64; ++e) in[e] = static_cast<int8_t>(4 * e - 128);
  const auto out = RunOn<bfloat16_t>(in, [](auto a, auto d, auto t) {
    auto x = a[0];
    x.SetSize(64);
    AscendAntiQuant<int8_t, bfloat16_t, false>(d, x, bfloat16_t(1.5f), bfloat16_t(0.3f), t, 2);
  });
  const float scale = FromBits(bfloat16_t(0.3f));
  for (size_t e = 0; e < 64; ++e) {
    EXPECT_EQ(FromBits(out[e]), FromBits(bfloat16_t((static_cast<float>(in[e]) + 1.5f) * scale)));
  }
}

// [B, N, S, D] = [1, 2, 32, 16]; in NZ fractals of 16 x 16 follow one another down the rows.
TEST(ConfusionTranspose, MovesAxesBetweenFormats) {
  std::vector<int16_t> in(2 * 32 * 16);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<int16_t>(i);
  const auto run = [&](TransposeType type) {
    return RunOn<int16_t>(in, [&](auto a, auto d, auto t) {
      ConfusionTransposeTiling tiling;
      tiling.param14 = 1;
      tiling.param15 = 2;
      tiling.param16 = 32;
      tiling.param17 = 16;
      ConfusionTranspose(d, a, t, type, tiling);
    });
  };
  const auto nz = [](size_t row, size_t column, size_t rows) {
    return column / 16 * rows * 16 + row * 16 + column % 16;
  };
  const auto swapped = run(TransposeType::TRANSPOSE_NZ2ND_0213_WITH_N);
  const auto split = run(TransposeType::TRANSPOSE_NZ2ND_012_WITH_N);
  const auto split_nz = run(TransposeType::TRANSPOSE_NZ2NZ_012_WITH_N);
  const auto merged = run(TransposeType::TRANSPOSE_NZ2ND_012_WITHOUT_N);
  const auto merged_nz = run(TransposeType::TRANSPOSE_NZ2NZ_012_WITHOUT_N);
  for (size_t n = 0; n < 2; ++n) {
    for (size_t s = 0; s < 32; ++s) {
      for (size_t d = 0; d < 16; ++d) {
        const int16_t head = in[n * 512 + nz(s, d, 32)], row = in[nz(s, n * 16 + d, 32)];
        EXPECT_EQ(swapped[(s * 2 + n) * 16 + d], head);
        EXPECT_EQ(merged[s * 32 + n * 16 + d], head);
        EXPECT_EQ(merged_nz[nz(s, n * 16 + d, 32)], head);
        EXPECT_EQ(split[n * 512 + s * 16 + d], row);
        EXPECT_EQ(split_nz[n * 512 + nz(s, d, 32)], row);
      }
    }
  }
  const auto turned = RunOn<int16_t>(in, [](auto a, auto d, auto t) {
    ConfusionTransposeTiling tiling;
    tiling.param1 = 32;
    tiling.param2 = 16;
    Transpose(d, a, t, TransposeType::TRANSPOSE_ND2ND_ONLY, tiling);
  });
  for (size_t i = 0; i < 512; ++i) EXPECT_EQ(turned[i % 16 * 32 + i / 16], in[i]);
}

TEST(SmallIntegers, Limits) {
  EXPECT_THAT(
      (FaultOf<float, int32_t>([](auto a, auto d) { AscendDequant(d, a, 1.0f, {1, 9, 8}); })),
      HasSubstr("n of 9 elements is not a multiple of 32 bytes"));
  EXPECT_THAT(
      (FaultOf<float, int32_t>([](auto a, auto d) { AscendDequant(d, a, 1.0f, {2, 8, 9}); })),
      HasSubstr("calCount"));
  EXPECT_THAT((FaultOf<half, int32_t>([](auto a, auto d) {
                AscendDequant(d, a, a.template ReinterpretCast<float>(), {2, 8, 8});
              })),
              HasSubstr("does not take scales of float"));
  EXPECT_THAT((FaultOf<half, int8_t>([](auto a, auto d) {
                AscendAntiQuant<int8_t, half, false>(d, a, d[4096], d[4096], 4096 * 3,
                                                     AntiQuantShapeInfo{7, 1, 7, 1});
              })),
              HasSubstr("cannot have 7 x 1 scales"));
}

}  // namespace
