// cc/softnpu/ascendc/vector_sort_test.cc: sorting records against std::stable_sort.
#include <algorithm>

#include "cc/softnpu/ascendc/testing/vector.h"

namespace {

using namespace AscendC;
using namespace softnpu::ascendc::testing;
using ::testing::HasSubstr;

template <typename T>
struct Record {
  float score;
  uint32_t index;
};
template <typename T>
Record<T> RecordAt(const std::vector<T>& values, size_t i) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data()) + 8 * i;
  Record<T> record;
  T score;
  std::memcpy(static_cast<void*>(&score), bytes, sizeof(T));
  std::memcpy(&record.index, bytes + 4, 4);
  record.score = static_cast<float>(score);
  return record;
}

// n scores, few of them distinct, and behind them (at byte 4096) n indices.
template <typename T>
std::vector<T> Scores(uint32_t n) {
  std::vector<T> in(8192 / sizeof(T));
  std::mt19937 random(n);
  for (uint32_t i = 0; i < n; ++i) {
    in[i] = T(static_cast<float>(static_cast<int>(random() % 40)) - 20.0f);
    const uint32_t index = 5000 + i;
    std::memcpy(reinterpret_cast<uint8_t*>(in.data()) + 4096 + 4 * i, &index, 4);
  }
  return in;
}
template <typename T>
std::vector<uint32_t> Order(const std::vector<T>& in, uint32_t first, uint32_t n) {
  std::vector<uint32_t> order(n);
  for (uint32_t i = 0; i < n; ++i) order[i] = first + i;
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return static_cast<float>(in[a]) > static_cast<float>(in[b]);
  });
  return order;
}
constexpr uint32_t kIndices = 4096 / 4;

template <typename T>
class Sorting : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, half>;
TYPED_TEST_SUITE(Sorting, FloatTypes);

TYPED_TEST(Sorting, ThirtyTwoAtATime) {
  using T = TypeParam;
  const auto in = Scores<T>(96);
  const auto out = RunOn<T>(in, [](auto a, auto d) {
    Sort32(d, a, a.template ReinterpretCast<uint32_t>()[kIndices], 3);
  });
  for (uint32_t first = 0; first < 96; first += 32) {
    const auto order = Order(in, first, 32);
    for (uint32_t i = 0; i < 32; ++i) {
      const auto record = RecordAt(out, first + i);
      EXPECT_EQ(record.score, static_cast<float>(in[order[i]]));
      EXPECT_EQ(record.index, 5000 + order[i]);
    }
  }
  EXPECT_THAT((FaultOf<T, T>([](auto a, auto d) {
                Sort32(d, a, a.template ReinterpretCast<uint32_t>()[kIndices], 256);
              })),
              HasSubstr("repeatTime 256, the limits are 0 and 255"));
}

TYPED_TEST(Sorting, Merges) {
  using T = TypeParam;
  const auto in = Scores<T>(128);
  const auto out = RunOn<T>(in, [](auto a, auto d, auto scratch) {
    const auto r = scratch.template ReinterpretCast<T>();
    Sort32(r, a, a.template ReinterpretCast<uint32_t>()[kIndices], 4);
    PipeBarrier<PIPE_V>();
    const auto part = [&](uint32_t i) { return r[GetSortOffset<T>(32 * i)]; };
    const MrgSortSrcList<T> list(part(0), part(1), part(2), part(3));
    const uint16_t lengths[4] = {32, 32, 32, 32};
    MrgSort(d, list, MrgSort4Info(lengths, false, 15, 1));
    uint16_t merged[4];
    GetMrgSortResult(merged[0], merged[1], merged[2], merged[3]);
    for (const uint16_t n : merged) EXPECT_EQ(n, 32);
    const uint16_t two[4] = {32, 7, 0, 0};
    uint32_t sorted[4] = {};
    MrgSort<T, false>(d[GetSortOffset<T>(256)], list, two, sorted, 3, 1);
    EXPECT_EQ(sorted[0], 32u);
    EXPECT_EQ(sorted[1], 7u);
    MrgSort<T, true>(d[GetSortOffset<T>(512)], list, two, sorted, 3, 1);
    EXPECT_TRUE(sorted[0] == 32 || sorted[1] == 7);
    EXPECT_LT(sorted[0] + sorted[1], 39u);
    const uint16_t eights[4] = {8, 8, 8, 8};  // of each 32 sorted ones: four lists in order
    MrgSort(d[GetSortOffset<T>(768)],
            MrgSortSrcList<T>(r, r[GetSortOffset<T>(8)], r[GetSortOffset<T>(16)],
                              r[GetSortOffset<T>(24)]),
            MrgSort4Info(eights, false, 15, 4));
  });
  const auto order = Order(in, 0, 128);
  for (uint32_t i = 0; i < 128; ++i) {
    const auto record = RecordAt(out, i);
    EXPECT_EQ(record.score, static_cast<float>(in[order[i]]));
    EXPECT_EQ(record.index, 5000 + order[i]);
    const auto part = Order(in, i / 32 * 32, 32);
    EXPECT_EQ(RecordAt(out, 768 + i).index, 5000 + part[i % 32]);
  }
  // The second list's first seven, merged into the first: by score, then list.
  auto first = Order(in, 0, 32);
  const auto second = Order(in, 32, 32);
  first.insert(first.end(), second.begin(), second.begin() + 7);
  std::stable_sort(first.begin(), first.end(), [&](uint32_t a, uint32_t b) {
    return static_cast<float>(in[a]) > static_cast<float>(in[b]);
  });
  for (uint32_t i = 0; i < 39; ++i) EXPECT_EQ(RecordAt(out, 256 + i).index, 5000 + first[i]);
}

TYPED_TEST(Sorting, WholeAndExtracted) {
  using T = TypeParam;
  for (const uint32_t n : {32u, 64u, 160u, 544u}) {
    const auto in = Scores<T>(n);
    const auto order = Order(in, 0, n);
    const auto out = RunOn<T>(in, [&](auto a, auto d, auto scratch) {
      const int32_t repeat = static_cast<int32_t>(n / 32);
      auto tmp = scratch.template ReinterpretCast<T>();
      LocalTensor<T> concat;
      Concat(concat, a, tmp, repeat);
      const auto sorted = tmp[GetSortLen<T>(1024)];
      Sort<T, true>(sorted, concat, a.template ReinterpretCast<uint32_t>()[kIndices], tmp, repeat);
      PipeBarrier<PIPE_V>();
      Extract(d, d.template ReinterpretCast<uint32_t>()[kIndices], sorted, repeat);
    });
    for (uint32_t i = 0; i < n; ++i) {
      uint32_t index;
      std::memcpy(&index, reinterpret_cast<const uint8_t*>(out.data()) + 4096 + 4 * i, 4);
      ASSERT_EQ(static_cast<float>(out[i]), static_cast<float>(in[order[i]])) << n;
      ASSERT_EQ(index, 5000 + order[i]) << n;
    }
  }
}

TEST(Sort, MergeLimits) {
  const auto merge = [](uint16_t length, uint16_t valid, uint8_t repeats, uint32_t at) {
    return FaultOf([=](auto a, auto d) {
      const uint16_t lengths[4] = {length, 8, 8, 8};
      MrgSort(d, MrgSortSrcList<float>(a, a[at], a[32], a[48]),
              MrgSort4Info(lengths, false, valid, repeats));
    });
  };
  EXPECT_EQ(merge(8, 15, 2, 16), "");
  EXPECT_THAT(merge(4096, 3, 1, 16),
              HasSubstr("elementLengths[0] 4096, the limits are 0 and 4095"));
  EXPECT_THAT(merge(8, 5, 1, 16), HasSubstr("validBit 5, it can be 3, 7 or 15"));
  EXPECT_THAT(merge(8, 7, 2, 16), HasSubstr("repeatTimes above 1 needs"));
  EXPECT_THAT(merge(8, 3, 1, 17), HasSubstr("source 1 begins at byte 68 of the UB"));
  EXPECT_THAT(FaultOf([](auto, auto) {
                uint16_t a, b, c, d;
                GetMrgSortResult(a, b, c, d);
              }),
              HasSubstr("no MrgSort has run"));
}

TEST(Sort, ProposalsAreOf310P) {
  std::vector<half> in(512);
  std::mt19937 random(3);
  for (auto& value : in) value = half(static_cast<float>(random() % 50));
  const auto body = [](auto a, auto d, auto scratch) {
    const auto tmp = scratch.template ReinterpretCast<half>();
    Duplicate(tmp, half(0.0f), 512);
    PipeBarrier<PIPE_V>();
    ProposalConcat(tmp, a, 2, 4);      // 32 scores
    ProposalConcat(tmp, a[64], 2, 0);  // and what follows them
    PipeBarrier<PIPE_V>();
    RpSort16(d, tmp, 2);
    PipeBarrier<PIPE_V>();
    const uint16_t lengths[4] = {16, 16, 0, 0};
    MrgSort4(d[512], MrgSortSrcList<half>(d, d[128], d, d), MrgSort4Info(lengths, false, 3, 1));
    PipeBarrier<PIPE_V>();
    ProposalExtract(d[1024], d[512], 2, 4);
    ProposalExtract(d[1536], d[512], 2, 0);
  };
  const auto out = RunOn<half>(in, body, Chip310P());
  const auto order = Order(in, 0, 32);
  for (uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(static_cast<float>(out[1024 + i]), static_cast<float>(in[order[i]]));
    EXPECT_EQ(static_cast<float>(out[1536 + i]), static_cast<float>(in[64 + order[i]]));
  }
  EXPECT_THAT((FaultOf<half, half>(body)), HasSubstr("Ascend910B3 has no ProposalConcat"));
  EXPECT_THAT(
      (FaultOf<half, half>(
          [](auto a, auto d) { Sort32(d, a, a.template ReinterpretCast<uint32_t>()[kIndices], 1); },
          Chip310P())),
      HasSubstr("Ascend310P3 has no Sort32 (NPU architecture 2002)"));
}

}  // namespace
