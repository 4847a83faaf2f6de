// cc/softnpu/opapi/pointwise_ops_test.cc: arithmetic element by element, by hand; functions against
// the C library in long double.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

#define DECLARE_BINARY(NAME, OTHER)                         \
  ACLNN_DECLARE(NAME, const Tensor*, const OTHER*, Tensor*) \
  ACLNN_DECLARE(Inplace##NAME, const Tensor*, const OTHER*)
#define DECLARE_UNARY(NAME)                   \
  ACLNN_DECLARE(NAME, const Tensor*, Tensor*) \
  ACLNN_DECLARE(Inplace##NAME, const Tensor*)

ACLNN_DECLARE(Add, const Tensor*, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceAdd, const Tensor*, const Tensor*, const Scalar*)
ACLNN_DECLARE(Adds, const Tensor*, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(Sub, const Tensor*, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(Subs, const Tensor*, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceSubs, const Tensor*, const Scalar*, const Scalar*)
ACLNN_DECLARE(Rsubs, const Tensor*, const Scalar*, const Scalar*, Tensor*)
DECLARE_BINARY(Mul, Tensor)
DECLARE_BINARY(Muls, Scalar)
DECLARE_BINARY(Div, Tensor)
DECLARE_BINARY(Divs, Scalar)
DECLARE_BINARY(FloorDivide, Tensor)
DECLARE_BINARY(FloorDivides, Scalar)
DECLARE_BINARY(RemainderTensorTensor, Tensor)
DECLARE_BINARY(RemainderTensorScalar, Scalar)
DECLARE_BINARY(FmodTensor, Tensor)
DECLARE_BINARY(FmodScalar, Scalar)
ACLNN_DECLARE(RemainderScalarTensor, const Scalar*, const Tensor*, Tensor*)
ACLNN_DECLARE(InplaceDivMod, Tensor*, const Tensor*, int32_t)
ACLNN_DECLARE(InplaceDivMods, Tensor*, const Scalar*, int32_t)
ACLNN_DECLARE(InplaceNanToNum, Tensor*, float, float, float)
DECLARE_BINARY(PowTensorTensor, Tensor)
DECLARE_BINARY(PowTensorScalar, Scalar)
DECLARE_BINARY(Maximum, Tensor)
DECLARE_BINARY(Minimum, Tensor)
DECLARE_BINARY(ClampMin, Scalar)
DECLARE_BINARY(ClampMax, Scalar)
DECLARE_BINARY(ClampMinTensor, Tensor)
DECLARE_BINARY(ClampMaxTensor, Tensor)
DECLARE_BINARY(EqTensor, Tensor)
DECLARE_BINARY(NeTensor, Tensor)
DECLARE_BINARY(LtTensor, Tensor)
DECLARE_BINARY(LeTensor, Tensor)
DECLARE_BINARY(GtTensor, Tensor)
DECLARE_BINARY(GeTensor, Tensor)
DECLARE_BINARY(EqScalar, Scalar)
DECLARE_BINARY(NeScalar, Scalar)
DECLARE_BINARY(LtScalar, Scalar)
DECLARE_BINARY(LeScalar, Scalar)
DECLARE_BINARY(GtScalar, Scalar)
DECLARE_BINARY(GeScalar, Scalar)
DECLARE_BINARY(LogicalAnd, Tensor)
DECLARE_BINARY(LogicalOr, Tensor)
DECLARE_BINARY(LogicalXor, Tensor)
DECLARE_UNARY(Neg)
DECLARE_UNARY(Abs)
DECLARE_UNARY(Square)
DECLARE_UNARY(Sign)
DECLARE_UNARY(LogicalNot)
DECLARE_UNARY(Floor)
DECLARE_UNARY(Ceil)
DECLARE_UNARY(Trunc)
DECLARE_UNARY(Round)
DECLARE_UNARY(Exp)
DECLARE_UNARY(Log)
DECLARE_UNARY(Log2)
DECLARE_UNARY(Log1p)
DECLARE_UNARY(Expm1)
DECLARE_UNARY(Sqrt)
DECLARE_UNARY(Rsqrt)
DECLARE_UNARY(Reciprocal)
DECLARE_UNARY(Sin)
DECLARE_UNARY(Cos)
DECLARE_UNARY(Tanh)
DECLARE_UNARY(Erf)
DECLARE_UNARY(Sigmoid)
ACLNN_DECLARE(PowScalarTensor, const Scalar*, const Tensor*, Tensor*)
ACLNN_DECLARE(DivMod, const Tensor*, const Tensor*, int32_t, Tensor*)
ACLNN_DECLARE(DivMods, const Tensor*, const Scalar*, int32_t, Tensor*)
ACLNN_DECLARE(IsFinite, const Tensor*, Tensor*)
ACLNN_DECLARE(IsInf, const Tensor*, Tensor*)
ACLNN_DECLARE(IsClose, const Tensor*, const Tensor*, double, double, bool, Tensor*)
ACLNN_DECLARE(Clamp, const Tensor*, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(NanToNum, const Tensor*, float, float, float, Tensor*)
ACLNN_DECLARE(InplaceCopy, Tensor*, const Tensor*)
ACLNN_DECLARE(ForeachCopy, const TensorList*, const TensorList*)
ACLNN_DECLARE(Cast, const Tensor*, int32_t, Tensor*)
ACLNN_DECLARE(InplaceFillScalar, Tensor*, const Scalar*)
ACLNN_DECLARE(InplaceZero, Tensor*)
ACLNN_DECLARE(InplaceOne, Tensor*)
ACLNN_DECLARE(InplaceFillTensor, Tensor*, const Tensor*)
ACLNN_DECLARE(InplaceMaskedFillScalar, Tensor*, const Tensor*, const Scalar*)
ACLNN_DECLARE(InplaceMaskedFillTensor, Tensor*, const Tensor*, const Tensor*)
ACLNN_DECLARE(SWhere, const Tensor*, const Tensor*, const Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::IsNan;

// What CALL(NAME, a, b, out) gives for two tensors of one dtype.
#define OF_TWO(NAME, DTYPE, A, B) \
  OfTwo(DTYPE, A, B, [](Tensor* a, Tensor* b, Tensor* out) { return CALL(NAME, a, b, out); })
template <typename Body>
std::vector<double> OfTwo(DType dtype, const std::vector<double>& a, const std::vector<double>& b,
                          Body&& call) {
  const DeviceTensor left(dtype, {static_cast<int64_t>(a.size())}, a);
  const DeviceTensor right(dtype, {static_cast<int64_t>(b.size())}, b);
  const DeviceTensor out(dtype, {static_cast<int64_t>(a.size())});
  EXPECT_EQ(call(left, right, out).result, "ran");
  return out.Values();
}

TEST(Arithmetic, AddAndSubtractScaled) {
  const HostScalar two(DType::kDouble, 2);
  const DeviceTensor a(DType::kFloat, {2, 2}, {1, 2, 3, 4});
  const DeviceTensor b(DType::kFloat, {2}, {10, 20});
  const DeviceTensor out(DType::kFloat, {2, 2});
  const Outcome outcome = CALL(Add, a, b, two, out);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(21, 42, 23, 44));
  EXPECT_THAT(outcome.accesses,
              ElementsAre("self reads [2, 2]", "other reads [2]", "out writes [2, 2]"));
  ASSERT_EQ(CALL(Sub, a, b, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-19, -38, -17, -36));
  const HostScalar five(DType::kDouble, 5);
  ASSERT_EQ(CALL(Adds, a, five, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(11, 12, 13, 14));
  ASSERT_EQ(CALL(Rsubs, a, five, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(3, 1, -1, -3));

  ASSERT_EQ(CALL(InplaceSubs, a, five, two).result, "ran");
  EXPECT_THAT(a.Values(), ElementsAre(-9, -8, -7, -6));
  const Outcome inplace = CALL(InplaceAdd, a, b, two);
  ASSERT_EQ(inplace.result, "ran");
  EXPECT_THAT(a.Values(), ElementsAre(11, 32, 13, 34));
  EXPECT_THAT(inplace.accesses, ElementsAre("self reads writes [2, 2]", "other reads [2]"));
}

// float16 has 11 digits: 2048 + 1 is a tie and goes to the even neighbour, 2048 + 3 to 2052.
TEST(Arithmetic, SumsRoundToNearestEven) {
  EXPECT_THAT(OfTwo(DType::kHalf, {2048, 2048, 65504}, {1, 3, 65504},
                    [](Tensor* a, Tensor* b, Tensor* out) {
                      const HostScalar one(DType::kDouble, 1);
                      return CALL(Add, a, b, one, out);
                    }),
              ElementsAre(2048, 2052, kInfinity));
}

TEST(Arithmetic, IntegersWrap) {
  EXPECT_THAT(
      OF_TWO(Mul, DType::kInt8, (std::vector<double>{100, -128}), (std::vector<double>{3, -1})),
      ElementsAre(44, -128));
  EXPECT_THAT(OF_TWO(PowTensorTensor, DType::kInt32, (std::vector<double>{3, 2, -1, 5, 1}),
                     (std::vector<double>{4, 32, -3, -1, -9})),
              ElementsAre(81, 0, -1, 0, 1));
}

// The least int64 has no opposite: its negative is itself, and a division by -1 traps on the host.
TEST(Arithmetic, TheLeastIntegerWraps) {
  const double least = -0x1p63;
  const DeviceTensor x(DType::kInt64, {2}, {least, 6});
  const DeviceTensor minus_one(DType::kInt64, {1}, {-1});
  const DeviceTensor out(DType::kInt64, {2});
  const auto gives = [&](const Outcome& outcome, double first, double second) {
    ASSERT_EQ(outcome.result, "ran");
    EXPECT_THAT(out.Values(), ElementsAre(first, second));
  };
  gives(CALL(FloorDivide, x, minus_one, out), least, -6);
  gives(CALL(DivMod, x, minus_one, 1, out), least, -6);
  gives(CALL(RemainderTensorTensor, x, minus_one, out), 0, 0);
  gives(CALL(Neg, x, out), least, -6);
  gives(CALL(Abs, x, out), least, 6);
  gives(CALL(Square, x, out), 0, 36);
  const HostScalar one(DType::kInt64, 1);
  const HostScalar zero(DType::kInt64, 0);
  gives(CALL(Rsubs, x, zero, one, out), least, -6);
}

TEST(Arithmetic, Divisions) {
  const std::vector<double> a = {7, -7, 7, -7, 6};
  const std::vector<double> b = {2, 2, -2, -2, 3};
  for (const DType dtype : {DType::kFloat, DType::kInt32}) {
    EXPECT_THAT(OF_TWO(FloorDivide, dtype, a, b), ElementsAre(3, -4, -4, 3, 2));
    EXPECT_THAT(OF_TWO(RemainderTensorTensor, dtype, a, b), ElementsAre(1, 1, -1, -1, 0));
    const DeviceTensor left(dtype, {5}, a);
    const DeviceTensor right(dtype, {5}, b);
    const DeviceTensor whole(dtype, {5});
    ASSERT_EQ(CALL(DivMod, left, right, 1, whole).result, "ran");
    EXPECT_THAT(whole.Values(), ElementsAre(3, -3, -3, 3, 2));
    ASSERT_EQ(CALL(DivMod, left, right, 2, whole).result, "ran");
    EXPECT_THAT(whole.Values(), ElementsAre(3, -4, -4, 3, 2));
    // True division of integers is floating.
    const DeviceTensor real(DType::kFloat, {5});
    ASSERT_EQ(CALL(Div, left, right, real).result, "ran");
    EXPECT_THAT(real.Values(), ElementsAre(3.5, -3.5, -3.5, 3.5, 2));
  }
}

// Just below 1 divided by 0.1f's double the quotient rounds to 10, its floor is 9.
TEST(Arithmetic, FloorDivisionTakesTheFloorOfTheExactQuotient) {
  const double tenth = static_cast<double>(0.1F);  // a little above 0.1
  EXPECT_THAT(OF_TWO(FloorDivide, DType::kFloat, (std::vector<double>{1, -1}),
                     (std::vector<double>{tenth, tenth})),
              ElementsAre(9, -10));
}

TEST(Arithmetic, ADivisionOfIntegersByZeroStops) {
  const DeviceTensor a(DType::kInt32, {2}, {1, 2});
  const DeviceTensor b(DType::kInt32, {2}, {1, 0});
  const DeviceTensor out(DType::kInt32, {2});
  EXPECT_EQ(CALL(FloorDivide, a, b, out).result,
            "failed 161002: aclnnFloorDivide: an integer is divided by zero");
  EXPECT_THAT(
      OF_TWO(Div, DType::kFloat, (std::vector<double>{1, -1, 0}), (std::vector<double>{0, 0, 0})),
      ElementsAre(kInfinity, -kInfinity, IsNan()));
}

TEST(Arithmetic, ScalarsOnTheRightAndOnTheLeft) {
  const HostScalar half(DType::kDouble, 0.5);
  const HostScalar three(DType::kInt64, 3);
  const DeviceTensor x(DType::kFloat, {3}, {1, -2, 4});
  const DeviceTensor out(DType::kFloat, {3});
  ASSERT_EQ(CALL(Muls, x, half, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0.5, -1, 2));
  ASSERT_EQ(CALL(Divs, x, half, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, -4, 8));
  ASSERT_EQ(CALL(FloorDivides, x, three, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, -1, 1));
  ASSERT_EQ(CALL(PowTensorScalar, x, three, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, -8, 64));
  ASSERT_EQ(CALL(PowScalarTensor, three, x, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(3, Rounded(DType::kFloat, 1.0 / 9), 81));
  ASSERT_EQ(CALL(DivMods, x, three, 0, out).result, "ran");
  EXPECT_THAT(out.Values(),
              ElementsAre(Rounded(DType::kFloat, 1.0 / 3), Rounded(DType::kFloat, -2.0 / 3),
                          Rounded(DType::kFloat, 4.0 / 3)));
}

TEST(Extremes, NanWins) {
  const std::vector<double> a = {1, kNan, 3};
  const std::vector<double> b = {2, 0, kNan};
  EXPECT_THAT(OF_TWO(Maximum, DType::kFloat, a, b), ElementsAre(2, IsNan(), IsNan()));
  EXPECT_THAT(OF_TWO(Minimum, DType::kFloat, a, b), ElementsAre(1, IsNan(), IsNan()));
  EXPECT_THAT(OF_TWO(ClampMaxTensor, DType::kFloat, a, b), ElementsAre(1, IsNan(), IsNan()));
}

TEST(Arithmetic, WithAScalarOnTheRight) {
  const DeviceTensor x(DType::kFloat, {3}, {-3, 0.5, 7});
  const HostScalar two(DType::kDouble, 2);
  const HostScalar three(DType::kDouble, 3);
  const DeviceTensor out(DType::kFloat, {3});
  ASSERT_EQ(CALL(Subs, x, two, three, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-9, -5.5, 1));
  ASSERT_EQ(CALL(RemainderTensorScalar, x, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 0.5, 1));
}

TEST(Comparisons, OfEveryOrder) {
  const DeviceTensor a(DType::kFloat, {4}, {1, 2, 3, kNan});
  const DeviceTensor b(DType::kFloat, {4}, {2, 2, 2, kNan});
  const DeviceTensor out(DType::kBool, {4});
  ASSERT_EQ(CALL(EqTensor, a, b, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 1, 0, 0));
  ASSERT_EQ(CALL(NeTensor, a, b, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 0, 1, 1));
  ASSERT_EQ(CALL(LtTensor, a, b, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 0, 0, 0));
  ASSERT_EQ(CALL(LeTensor, a, b, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 1, 0, 0));
  ASSERT_EQ(CALL(GtTensor, a, b, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0, 1, 0));
  ASSERT_EQ(CALL(GeTensor, a, b, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 1, 1, 0));
  const HostScalar two(DType::kDouble, 2);
  ASSERT_EQ(CALL(EqScalar, a, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 1, 0, 0));
  ASSERT_EQ(CALL(NeScalar, a, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 0, 1, 1));
  ASSERT_EQ(CALL(LtScalar, a, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 0, 0, 0));
  ASSERT_EQ(CALL(LeScalar, a, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 1, 0, 0));
  ASSERT_EQ(CALL(GtScalar, a, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0, 1, 0));
  ASSERT_EQ(CALL(GeScalar, a, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 1, 1, 0));
  // 2^24 + 1 has no float32: integers are compared as integers.
  EXPECT_THAT(OF_TWO(EqTensor, DType::kInt64, (std::vector<double>{16777217}),
                     (std::vector<double>{16777216})),
              ElementsAre(0));
}

TEST(Logic, OfEveryPair) {
  const std::vector<double> a = {0, 0, 2, 2};
  const std::vector<double> b = {0, -1, 0, -1};
  EXPECT_THAT(OF_TWO(LogicalAnd, DType::kInt32, a, b), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(OF_TWO(LogicalOr, DType::kInt32, a, b), ElementsAre(0, 1, 1, 1));
  EXPECT_THAT(OF_TWO(LogicalXor, DType::kInt32, a, b), ElementsAre(0, 1, 1, 0));
}

struct UnaryCase {
  const char* name;
  std::function<Outcome(Tensor*, Tensor*)> call;
  std::function<Outcome(Tensor*)> inplace;
  std::function<long double(long double)> wanted;
};
#define UNARY(NAME, WANTED)                                           \
  UnaryCase {                                                         \
    #NAME, [](Tensor* x, Tensor* out) { return CALL(NAME, x, out); }, \
        [](Tensor* x) { return CALL(Inplace##NAME, x); },             \
        [](long double x) -> long double { return WANTED; }           \
  }

// Positive values, so that logarithms and roots are defined; the operators compute in double and
// round once, and none of these results lies within a double's error of a tie.
TEST(Functions, AreThoseOfTheCLibrary) {
  const std::vector<double> values = {0.25, 0.5, 1.25, 1.5, 2.5, 3, 7.75};
  for (const UnaryCase& function : {
           UNARY(Neg, -x),
           UNARY(Square, x * x),
           UNARY(Floor, std::floor(x)),
           UNARY(Ceil, std::ceil(x)),
           UNARY(Trunc, std::trunc(x)),
           UNARY(Round, std::nearbyint(x)),  // 0.5 -> 0, 1.5 -> 2, 2.5 -> 2
           UNARY(Exp, std::exp(x)),
           UNARY(Log, std::log(x)),
           UNARY(Log2, std::log2(x)),
           UNARY(Log1p, std::log(1 + x)),
           UNARY(Expm1, std::exp(x) - 1),
           UNARY(Sqrt, std::sqrt(x)),
           UNARY(Rsqrt, 1 / std::sqrt(x)),
           UNARY(Reciprocal, 1 / x),
           UNARY(Sin, std::sin(x)),
           UNARY(Cos, std::cos(x)),
           UNARY(Tanh, (std::exp(2 * x) - 1) / (std::exp(2 * x) + 1)),
           UNARY(Erf, 1 - std::erfc(x)),
           UNARY(Sigmoid, 1 / (1 + std::exp(-x))),
       }) {
    for (const DType dtype : {DType::kFloat, DType::kHalf, DType::kBfloat16}) {
      std::vector<double> wanted;
      for (const double value : values) {
        wanted.push_back(Rounded(dtype, static_cast<double>(function.wanted(value))));
      }
      const DeviceTensor x(dtype, {7}, values);
      const DeviceTensor out(dtype, {7});
      const Outcome outcome = function.call(x, out);
      ASSERT_EQ(outcome.result, "ran") << function.name;
      EXPECT_EQ(out.Values(), wanted) << function.name << " " << Name(dtype);
      EXPECT_THAT(outcome.accesses, ElementsAre("self reads [7]", "out writes [7]"));
      const Outcome inplace = function.inplace(x);
      ASSERT_EQ(inplace.result, "ran") << function.name;
      EXPECT_EQ(x.Values(), wanted) << function.name << " in place, " << Name(dtype);
      EXPECT_THAT(inplace.accesses, ElementsAre("self reads writes [7]"));
    }
  }
}

TEST(Functions, OfSignsAndTruth) {
  const DeviceTensor x(DType::kFloat, {4}, {-2.5, -0.0, 0, 3});
  const DeviceTensor out(DType::kFloat, {4});
  ASSERT_EQ(CALL(Abs, x, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2.5, 0, 0, 3));
  EXPECT_FALSE(std::signbit(out.Values()[1]));
  ASSERT_EQ(CALL(Sign, x, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-1, 0, 0, 1));
  ASSERT_EQ(CALL(LogicalNot, x, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 1, 1, 0));
}

TEST(Classes, OfInfinityAndNan) {
  const DeviceTensor x(DType::kHalf, {4}, {1, kInfinity, -kInfinity, kNan});
  const DeviceTensor truth(DType::kBool, {4});
  ASSERT_EQ(CALL(IsFinite, x, truth).result, "ran");
  EXPECT_THAT(truth.Values(), ElementsAre(1, 0, 0, 0));
  ASSERT_EQ(CALL(IsInf, x, truth).result, "ran");
  EXPECT_THAT(truth.Values(), ElementsAre(0, 1, 1, 0));
  const DeviceTensor out(DType::kHalf, {4});
  ASSERT_EQ(CALL(NanToNum, x, 7.0F, 8.0F, -9.0F, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 8, -9, 7));
}

// |a - b| <= 0.5 + 0.25 |b|
TEST(IsClose, UsesBothTolerances) {
  const DeviceTensor a(DType::kFloat, {6}, {10, 9.25, 9, kInfinity, kInfinity, kNan});
  const DeviceTensor b(DType::kFloat, {6}, {8, 7, 7, kInfinity, 1, kNan});
  const DeviceTensor out(DType::kBool, {6});
  ASSERT_EQ(CALL(IsClose, a, b, 0.25, 0.5, false, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 1, 1, 1, 0, 0));
  ASSERT_EQ(CALL(IsClose, b, a, 0.125, 0.5, true, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0, 0, 1, 0, 1));
}

TEST(Clamp, EitherSideMayBeOpen) {
  Scalar* const open = nullptr;
  const HostScalar low(DType::kDouble, -1);
  const HostScalar high(DType::kDouble, 2);
  const DeviceTensor x(DType::kFloat, {4}, {-3, 0, 5, kNan});
  const DeviceTensor out(DType::kFloat, {4});
  ASSERT_EQ(CALL(Clamp, x, low, high, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-1, 0, 2, IsNan()));
  ASSERT_EQ(CALL(Clamp, x, open, high, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-3, 0, 2, IsNan()));
  ASSERT_EQ(CALL(ClampMin, x, low, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-1, 0, 5, IsNan()));
  ASSERT_EQ(CALL(ClampMax, x, high, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-3, 0, 2, IsNan()));
  const DeviceTensor lows(DType::kFloat, {4}, {-4, 1, 1, 1});
  ASSERT_EQ(CALL(ClampMinTensor, x, lows, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-3, 1, 5, IsNan()));
}

TEST(Copies, ConvertAndBroadcast) {
  const DeviceTensor x(DType::kFloat, {3}, {1.75, -300, kNan});
  const DeviceTensor bytes(DType::kInt16, {2, 3});
  ASSERT_EQ(CALL(InplaceCopy, bytes, x).result, "ran");
  EXPECT_THAT(bytes.Values(), ElementsAre(1, -300, 0, 1, -300, 0));
  const DeviceTensor out(DType::kHalf, {3});
  ASSERT_EQ(CALL(Cast, x, static_cast<int32_t>(DType::kHalf), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1.75, -300, IsNan()));
  EXPECT_EQ(CALL(Cast, x, static_cast<int32_t>(DType::kFloat), out).result,
            "refused 161002: aclnnCast: 'out' is float16, the dtype asked for is float32");
}

TEST(Copies, TakeTheAccountAlong) {
  const DeviceTensor x(DType::kFloat, {4});
  const DeviceTensor mask(DType::kBool, {4}, {0, 1, 1, 0});
  const HostScalar value(DType::kDouble, 5);
  const Outcome outcome = CALL(InplaceMaskedFillScalar, x, mask, value);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_EQ(x.Written(), ".ww.");
  EXPECT_THAT(outcome.accesses, ElementsAre("self some [4]", "mask reads [4]"));
  const DeviceTensor out(DType::kHalf, {4});
  const Outcome copy = CALL(InplaceCopy, out, x);
  ASSERT_EQ(copy.result, "ran");
  EXPECT_EQ(out.Written(), ".ww.");
  EXPECT_THAT(copy.accesses, ElementsAre("self some [4]", "source some [4]"));
}

TEST(Fills, OfEveryKind) {
  const DeviceTensor x(DType::kInt32, {3});
  const HostScalar value(DType::kDouble, -2.75);
  const Outcome outcome = CALL(InplaceFillScalar, x, value);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(-2, -2, -2));
  EXPECT_THAT(outcome.accesses, ElementsAre("self writes [3]"));
  ASSERT_EQ(CALL(InplaceOne, x).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(1, 1, 1));
  ASSERT_EQ(CALL(InplaceZero, x).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(0, 0, 0));
  const DeviceTensor one(DType::kFloat, {1}, {9});
  ASSERT_EQ(CALL(InplaceFillTensor, x, one).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(9, 9, 9));
  const DeviceTensor mask(DType::kBool, {3}, {1, 0, 1});
  const DeviceTensor seven(DType::kInt32, {}, {7});
  ASSERT_EQ(CALL(InplaceMaskedFillTensor, x, mask, seven).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(7, 9, 7));
}

TEST(Where, ChoosesByTheMask) {
  const DeviceTensor mask(DType::kBool, {2, 1}, {1, 0});
  const DeviceTensor a(DType::kFloat, {2}, {1, 2});
  const DeviceTensor b(DType::kFloat, {1}, {9});
  const DeviceTensor out(DType::kFloat, {2, 2});
  ASSERT_EQ(CALL(SWhere, mask, a, b, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 2, 9, 9));
}

TEST(Pointwise, RefuseByName) {
  const DeviceTensor x(DType::kFloat, {2}, {1, 2});
  const DeviceTensor three(DType::kFloat, {3}, {1, 2, 3});
  const DeviceTensor out(DType::kFloat, {2});
  Scalar* const no_scalar = nullptr;
  EXPECT_EQ(CALL(Mul, x, three, out).result,
            "refused 161002: aclnnMul: 'other' float32 [3] cannot be broadcast to the shape of "
            "float32 [2]");
  EXPECT_EQ(CALL(Exp, three, out).result,
            "refused 161002: aclnnExp: 'self' float32 [3] cannot be broadcast to the shape of "
            "float32 [2]");
  EXPECT_EQ(CALL(Add, x, x, no_scalar, out).result,
            "refused 161001: aclnnAdd: the argument 'alpha' is null");
  EXPECT_EQ(CALL(Muls, x, no_scalar, out).result,
            "refused 161001: aclnnMuls: the argument 'other' is null");
  EXPECT_EQ(CALL(DivMod, x, x, 3, out).result,
            "refused 161002: aclnnDivMod: the rounding mode 3 is none of 0, 1, 2");
  EXPECT_EQ(CALL(SWhere, x, x, x, out).result,
            "refused 161002: aclnnSWhere: the mask is float32 [2], it must be bool or uint8");
  EXPECT_EQ(CALL(InplaceFillTensor, out, x).result,
            "refused 161002: aclnnInplaceFillTensor: 'value' is float32 [2], it must have one "
            "element");
}

TEST(ForeachCopy, CopiesEachTensorWithWhatIsUnwritten) {
  const DeviceTensor x(DType::kFloat, {2, 2}, {1, 2, 3, 4});
  const DeviceTensor y(DType::kInt64, {3});
  // A view in which columns are rows.
  const DeviceTensor x_out(DType::kFloat, {2, 2}, {1, 2}, 0, {0, 0, 0, 0});
  const DeviceTensor y_out(DType::kInt64, {3}, {7, 8, 9});
  const DeviceTensors from({&x, &y});
  const DeviceTensors to({&x_out, &y_out});
  ASSERT_EQ(CALL(ForeachCopy, from, to).result, "ran");
  EXPECT_THAT(x_out.Values(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(x_out.Storage(), ElementsAre(1, 3, 2, 4));
  EXPECT_EQ(y_out.Written(), "...");
  const DeviceTensors one({&x_out});
  EXPECT_EQ(CALL(ForeachCopy, from, one).result,
            "refused 161002: aclnnForeachCopy: 'x' has 2 tensors, 'out' has 1");
  const DeviceTensors crossed({&y_out, &x_out});
  EXPECT_EQ(CALL(ForeachCopy, from, crossed).result,
            "refused 161002: aclnnForeachCopy: 'out'[0] is int64 [3], 'x'[0] is float32 [2, 2]");
}

TEST(Rest, HasTheSignOfDividendOrDivisor) {
  EXPECT_THAT(OF_TWO(FmodTensor, DType::kFloat, (std::vector<double>{-5.5, 5.5}),
                     (std::vector<double>{2, -2})),
              ElementsAre(-1.5, 1.5));
  EXPECT_THAT(
      OF_TWO(FmodTensor, DType::kInt64, (std::vector<double>{-5, 5}), (std::vector<double>{3, -3})),
      ElementsAre(-2, 2));
  const DeviceTensor x(DType::kInt32, {2}, {-5, 5});
  ASSERT_EQ(CALL(InplaceFmodScalar, x, HostScalar(DType::kInt64, 3)).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(-2, 2));
  const DeviceTensor out(DType::kInt32, {2});
  ASSERT_EQ(CALL(FmodScalar, x, HostScalar(DType::kInt64, 2), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0));
  ASSERT_EQ(CALL(RemainderScalarTensor, HostScalar(DType::kInt64, 7),
                 DeviceTensor(DType::kInt32, {2}, {4, -4}), out)
                .result,
            "ran");
  EXPECT_THAT(out.Values(), ElementsAre(3, -1));
}

TEST(InPlace, DividesByModeAndReplacesNan) {
  const DeviceTensor x(DType::kFloat, {2}, {-7, 7});
  const DeviceTensor two(DType::kFloat, {1}, {2});
  ASSERT_EQ(CALL(InplaceDivMod, x, two, 2).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(-4, 3));
  ASSERT_EQ(CALL(InplaceDivMods, x, HostScalar(DType::kDouble, 2), 1).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(-2, 1));
  const DeviceTensor odd(DType::kFloat, {3}, {kNan, kInfinity, -kInfinity});
  ASSERT_EQ(CALL(InplaceNanToNum, odd, 1.0F, 2.0F, 3.0F).result, "ran");
  EXPECT_THAT(odd.Values(), ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace softnpu
