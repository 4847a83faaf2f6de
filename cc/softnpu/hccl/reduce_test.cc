// cc/softnpu/hccl/reduce_test.cc: the order of sums, rounding, and values that have an own rule.
#include "cc/softnpu/hccl/reduce.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "cc/softnpu/base/testing/error.h"

namespace softnpu::hccl {
namespace {

template <typename T>
std::vector<T> Reduced(DType dtype, Reduction reduction, std::vector<std::vector<T>> values) {
  std::vector<T> out(values[0].size());
  std::vector<const std::byte*> ins;
  for (const auto& given : values) ins.push_back(reinterpret_cast<const std::byte*>(given.data()));
  Reduce(dtype, reduction, ins, {reinterpret_cast<std::byte*>(out.data())}, out.size());
  return out;
}

TEST(Reduce, SumsInTheOrderOfRanks) {
  // From the left: (1e8 + 1) is 1e8 in float32, and so is the next; from the right it would be
  // more.
  const float large = 1e8F;
  EXPECT_EQ(Reduced<float>(DType::kFloat32, Reduction::kSum, {{large}, {4}, {4}})[0], large);
  EXPECT_EQ(Reduced<float>(DType::kFloat32, Reduction::kSum, {{4}, {4}, {large}})[0], large + 8);
}

TEST(Reduce, RoundsEachStepToTheType) {
  // bfloat16 256 (0x4380) + 1 (0x3f80) is 256 each time; rounded once, 256 + 1 + 1 would be 258.
  EXPECT_EQ(Reduced<uint16_t>(DType::kBfloat16, Reduction::kSum, {{0x4380}, {0x3f80}, {0x3f80}})[0],
            0x4380);
  // float16 2048 (0x6800) + 1 (0x3c00) likewise.
  EXPECT_EQ(Reduced<uint16_t>(DType::kFloat16, Reduction::kSum, {{0x6800}, {0x3c00}, {0x3c00}})[0],
            0x6800);
  EXPECT_EQ(Reduced<uint16_t>(DType::kFloat16, Reduction::kProd, {{0x4000}, {0x4200}})[0], 0x4600);
}

TEST(Reduce, IntegersWrap) {
  EXPECT_EQ(Reduced<int8_t>(DType::kInt8, Reduction::kSum, {{127}, {1}})[0], -128);
  EXPECT_EQ(Reduced<int16_t>(DType::kInt16, Reduction::kSum, {{32767}, {2}})[0], -32767);
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Reduced<int64_t>(DType::kInt64, Reduction::kProd, {{most}, {2}})[0], -2);
}

TEST(Reduce, LargestAndSmallestGiveNaNOnward) {
  const float nan = std::nanf("");
  for (const Reduction reduction : {Reduction::kMax, Reduction::kMin}) {
    for (const auto& values :
         {std::vector<std::vector<float>>{{nan}, {1}, {2}}, {{1}, {nan}, {2}}, {{1}, {2}, {nan}}}) {
      EXPECT_TRUE(std::isnan(Reduced<float>(DType::kFloat32, reduction, values)[0]));
    }
  }
  EXPECT_EQ(Reduced<int32_t>(DType::kInt32, Reduction::kMax, {{-3}, {-2}})[0], -2);
  EXPECT_EQ(Reduced<int32_t>(DType::kInt32, Reduction::kMin, {{-3}, {-2}})[0], -3);
}

TEST(Reduce, ABlockMoreThanFitsAndInPlace) {
  std::vector<float> a(5000), b(5000);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i), b[i] = 1;
  Reduce(DType::kFloat32, Reduction::kSum,
         {reinterpret_cast<std::byte*>(a.data()), reinterpret_cast<std::byte*>(b.data())},
         {reinterpret_cast<std::byte*>(a.data()), reinterpret_cast<std::byte*>(b.data())},
         a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i], static_cast<float>(i + 1));
    ASSERT_EQ(b[i], a[i]);
  }
}

TEST(Reduce, TypesAreThoseOfTheChip) {
  const auto refused = [](DType dtype, Reduction reduction, bool to_one = false) {
    return ErrorOf([&] { RequireReducible(dtype, reduction, to_one); });
  };
  EXPECT_EQ(refused(DType::kInt64, Reduction::kSum), "");
  EXPECT_NE(refused(DType::kInt64, Reduction::kSum, true), "");
  EXPECT_EQ(refused(DType::kBfloat16, Reduction::kProd), "5 there is no prod of bfloat16");
  EXPECT_EQ(refused(DType::kInt16, Reduction::kProd), "5 there is no prod of int16");
  EXPECT_EQ(refused(DType::kFloat64, Reduction::kSum),
            "5 float64 cannot be reduced; int8, int16, int32, int64, float16, float32 and bfloat16 "
            "can");
  EXPECT_EQ(refused(DType::kFloat32, static_cast<Reduction>(4)),
            "1 the reduction 4 is unknown (0 to 3 are sum, prod, max and min)");
}

}  // namespace
}  // namespace softnpu::hccl
