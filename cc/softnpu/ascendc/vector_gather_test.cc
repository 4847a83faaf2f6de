// cc/softnpu/ascendc/vector_gather_test.cc: gathering, packing and transposing.
#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

// Words 0..1023 are i + 1; offsets lie in words 1024 and on.
std::vector<uint32_t> WithOffsets(const std::function<uint32_t(uint32_t)>& offset) {
  std::vector<uint32_t> in(3072);
  for (uint32_t i = 0; i < 1024; ++i) in[i] = i + 1;
  for (uint32_t i = 0; i < 2048; ++i) in[1024 + i] = offset(i);
  return in;
}

TEST(Gather, ByCountAndMask) {
  const auto in = WithOffsets([](uint32_t i) { return i * 77 % 512 * 4; });
  const auto out = RunOn<uint32_t>(in, [](auto a, auto d) {
    Gather(d, a, a[1024], 8, 100);
    Gather(d[256], a, a[1024], 0, uint64_t{50}, 2, 9);
    const uint64_t bits[2] = {0x1001, 0};
    Gather(d[512], a, a[1024], 4, bits, 2, 8);
    Gather(d[1024].template ReinterpretCast<half>(), a.template ReinterpretCast<half>(), a[1024], 2,
           uint64_t{128}, 1, 8);
  });
  const auto at = [](uint32_t i) { return i * 77 % 512; };
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(out[i], at(i) + 3);
  EXPECT_EQ(out[100], 0u);
  for (uint32_t r = 0; r < 2; ++r) {
    for (uint32_t e = 0; e < 64; ++e) {
      if (e < 50) EXPECT_EQ(out[256 + r * 72 + e], at(r * 64 + e) + 1);
      EXPECT_EQ(out[512 + r * 64 + e], e == 0 || e == 12 ? at(r * 64 + e) + 2 : 0u);
    }
  }
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(out[1024 + i], 0u);  // the upper halves are zero
  EXPECT_THAT((FaultOf<uint32_t, uint32_t>([](auto a, auto d) {
                Duplicate(a[1024], 6u, 64);
                PipeBarrier<PIPE_V>();
                Gather(d, a, a[1024], 0, 8);
              })),
              HasSubstr("offset 6 of element 0 is not a multiple of the element's 4 bytes"));
}

TEST(Gather, BlocksByOffset) {
  const auto in = WithOffsets([](uint32_t i) { return i * 5 % 64 * 32; });
  const auto out = RunOn<uint32_t>(in, [](auto a, auto d) {
    Gatherb(d, a, a[1024], 2, GatherRepeatParams(1, 8));
    Gatherb(d[1024], a, a[1024], 2, GatherRepeatParams(2, 1));
  });
  for (uint32_t i = 0; i < 16; ++i) {
    for (uint32_t e = 0; e < 8; ++e) {
      EXPECT_EQ(out[i * 8 + e], i * 5 % 64 * 8 + e + 1);
      EXPECT_EQ(out[1024 + (i / 8 + i % 8 * 2) * 8 + e], i * 5 % 64 * 8 + e + 1);
    }
  }
  EXPECT_THAT((FaultOf<uint32_t, uint32_t>([](auto a, auto d) {
                Duplicate(a[1024], 16u, 64);
                PipeBarrier<PIPE_V>();
                Gatherb(d, a, a[1024], 1, GatherRepeatParams());
              })),
              HasSubstr("offset 16 of block 0 is not a multiple of 32"));
}

TEST(Gather, ScatterIsOf310P) {
  const auto in = WithOffsets([](uint32_t i) { return (i ^ 3) * 8; });
  const auto scatter = [](auto a, auto d) {
    Scatter(d, a, a[1024], 4, 40);
    Scatter(d[512], a, a[1024], 0, uint64_t{5}, 1, 8);
    const uint64_t bits[2] = {6, 0};
    Scatter(d[1024], a, a[1024], 0, bits, 1, 8);
  };
  const auto out = RunOn<uint32_t>(in, scatter, Chip310P());
  for (uint32_t i = 0; i < 40; ++i) EXPECT_EQ(out[(i ^ 3) * 2 + 1], i + 1);
  EXPECT_EQ(out[0], 0u);
  EXPECT_EQ(out[512 + 7 * 2], 5u);
  EXPECT_EQ(out[512 + 6 * 2], 0u);
  EXPECT_EQ(out[1024 + 2 * 2], 2u);
  EXPECT_THAT((FaultOf<uint32_t, uint32_t>(scatter)),
              HasSubstr("Ascend910B3 has no Scatter (NPU architecture 2201)"));
}

template <typename T, typename U>
void CheckGatherMask() {
  constexpr uint32_t kPer = 256 / sizeof(T);
  std::vector<T> in(8192 / sizeof(T));
  for (size_t i = 0; i < 1024; ++i) in[i] = static_cast<T>(i + 1);
  std::mt19937 random(4);
  std::vector<uint8_t> bits(256);
  for (auto& byte : bits) byte = static_cast<uint8_t>(random());
  std::memcpy(&in[1024], bits.data(), bits.size());
  for (uint8_t pattern = 0; pattern <= 7; ++pattern) {  // 0: the bits
    for (const bool counter : {false, true}) {
      uint64_t kept = 99;
      const uint32_t n = counter ? kPer + 9 : kPer;
      const GatherMaskParams params(1, 3, static_cast<uint16_t>(counter ? 16 : 8), 2);
      const auto out = RunOn<T>(in, [&](auto a, auto d) {
        if (pattern == 0) {
          GatherMask(d, a, a[1024].template ReinterpretCast<U>(), counter, counter ? n : 0, params,
                     kept);
        } else {
          GatherMask<T, GatherMaskMode::VERSION_V2>(d, a, pattern, counter, counter ? n : 0, params,
                                                    kept);
        }
      });
      std::vector<T> want;
      for (uint32_t r = 0; r < 3; ++r) {
        for (uint32_t e = 0; e < n; ++e) {
          bool take = pattern == 7;
          if (pattern == 0) take = (bits[r * 64 + e / 8] >> (e % 8) & 1) != 0;
          if (pattern == 1 || pattern == 2) take = e % 2 == pattern - 1u;
          if (pattern >= 3 && pattern <= 6) take = e % 4 == pattern - 3u;
          if (take) want.push_back(in[r * (counter ? 2 : 1) * kPer + e]);
        }
      }
      EXPECT_EQ(kept, want.size()) << int{pattern};
      for (size_t i = 0; i < want.size(); ++i) ASSERT_EQ(out[i], want[i]) << int{pattern};
      EXPECT_EQ(out[want.size()], T{0});
    }
  }
}

TEST(GatherMask, PatternsAndBits) {
  CheckGatherMask<int16_t, uint16_t>();
  CheckGatherMask<int32_t, uint32_t>();
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                uint64_t kept;
                GatherMask(d, a, uint8_t{8}, false, 0, {1, 1, 8, 8}, kept);
              }),
              HasSubstr("src1Pattern 8, the limits are 1 and 7"));
  EXPECT_THAT(FaultOf([](auto a, auto d) {
                uint64_t kept;
                GatherMask(d, a, a[64].template ReinterpretCast<uint16_t>(), false, 0, {1, 1, 8, 8},
                           kept);
              }),
              HasSubstr("which need uint32_t"));
}

TEST(Transpose, SquareAndLayouts) {
  std::vector<int16_t> in(1024);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<int16_t>(i + 1);
  const auto out = RunOn<int16_t>(in, [](auto a, auto d, auto scratch) {
    Transpose(d, a);
    Transpose(d[512], a, scratch,
              TransposeParamsExt(2, 3, 4, 8, TransposeType::TRANSPOSE_NCHW2NHWC));
    Transpose(d[1024], a, scratch,
              TransposeParamsExt(2, 3, 4, 8, TransposeType::TRANSPOSE_NHWC2NCHW));
  });
  for (size_t r = 0; r < 16; ++r) {
    for (size_t c = 0; c < 16; ++c) EXPECT_EQ(out[c * 16 + r], in[r * 16 + c]);
  }
  for (size_t n = 0; n < 2; ++n) {
    for (size_t c = 0; c < 3; ++c) {
      for (size_t p = 0; p < 32; ++p) {
        EXPECT_EQ(out[512 + (n * 32 + p) * 3 + c], in[(n * 3 + c) * 32 + p]);
        EXPECT_EQ(out[1024 + (n * 3 + c) * 32 + p], in[(n * 32 + p) * 3 + c]);
      }
    }
  }
  EXPECT_THAT((FaultOf<int32_t, int32_t>([](auto a, auto d) { Transpose(d, a); })),
              HasSubstr("Transpose does not take int32_t"));
}

template <typename T>
void CheckTransData(bool addresses) {
  constexpr size_t kRow = 32 / sizeof(T);
  std::vector<T> in(2048);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<T>(i * 7);
  for (const bool high : {false, true}) {
    if (high && sizeof(T) != 1) continue;
    const auto out = RunOn<T>(in, [&](auto a, auto d) {
      LocalTensor<T> to[16], from[16];
      uint64_t to_address[16], from_address[16];
      for (uint32_t i = 0; i < 16; ++i) {
        to[i] = d[i * kRow * 2];
        from[i] = a[i * kRow * 2];
        to_address[i] = to[i].GetPhyAddr();
        from_address[i] = from[i].GetPhyAddr();
      }
      const TransDataTo5HDParams params(high, !high && sizeof(T) == 1, 2, 1, 1);
      if (addresses) {
        TransDataTo5HD<T>(to_address, from_address, params);
      } else {
        TransDataTo5HD(to, from, params);
      }
    });
    for (size_t repeat = 0; repeat < 2; ++repeat) {
      const auto source = [&](size_t row, size_t column) {
        return in[row * kRow * 2 + repeat * kRow + column];
      };
      const auto result = [&](size_t row, size_t column) {
        return out[row * kRow * 2 + repeat * kRow + column];
      };
      for (size_t i = 0; i < 16; ++i) {
        for (size_t j = 0; j < 16; ++j) {
          if constexpr (sizeof(T) == 2) {
            ASSERT_EQ(result(i, j), source(j, i));
          } else if constexpr (sizeof(T) == 4) {
            if (i < 8) ASSERT_EQ(result(2 * i + j / 8, j % 8), source(j, i));
          } else {
            ASSERT_EQ(result(i, j + (high ? 16 : 0)), source(j, i + (high ? 0 : 16)));
            ASSERT_EQ(result(i, j + (high ? 0 : 16)), 0);
          }
        }
      }
    }
  }
}

TEST(Transpose, TransDataTo5HD) {
  for (const bool addresses : {false, true}) {
    CheckTransData<int16_t>(addresses);
    CheckTransData<int32_t>(addresses);
    CheckTransData<int8_t>(addresses);
  }
}

}  // namespace
