// cc/softnpu/opapi/function_ops_test.cc: functions of elements against the C library in long
// double.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

#define DECLARE_FUNCTION(NAME)                \
  ACLNN_DECLARE(NAME, const Tensor*, Tensor*) \
  ACLNN_DECLARE(Inplace##NAME, Tensor*)
DECLARE_FUNCTION(Acos)
DECLARE_FUNCTION(Acosh)
DECLARE_FUNCTION(Asin)
DECLARE_FUNCTION(Asinh)
DECLARE_FUNCTION(Atan)
DECLARE_FUNCTION(Atanh)
DECLARE_FUNCTION(Cosh)
DECLARE_FUNCTION(Erfc)
DECLARE_FUNCTION(Erfinv)
DECLARE_FUNCTION(Exp2)
DECLARE_FUNCTION(Frac)
DECLARE_FUNCTION(Log10)
DECLARE_FUNCTION(Sinc)
DECLARE_FUNCTION(Sinh)
DECLARE_FUNCTION(Tan)
ACLNN_DECLARE(IsNegInf, const Tensor*, Tensor*)
ACLNN_DECLARE(IsPosInf, const Tensor*, Tensor*)
ACLNN_DECLARE(Signbit, const Tensor*, Tensor*)
ACLNN_DECLARE(Atan2, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(InplaceAtan2, Tensor*, const Tensor*)
ACLNN_DECLARE(LogAddExp, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(LogAddExp2, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(XLogYTensor, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(XLogYScalarOther, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceXLogYScalarOther, Tensor*, const Scalar*)
ACLNN_DECLARE(XLogYScalarSelf, const Scalar*, const Tensor*, Tensor*)
ACLNN_DECLARE(Gcd, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(Lerp, const Tensor*, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(InplaceLerp, Tensor*, const Tensor*, const Tensor*)
ACLNN_DECLARE(Lerps, const Tensor*, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceLerps, Tensor*, const Tensor*, const Scalar*)
ACLNN_DECLARE(Addcmul, const Tensor*, const Tensor*, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceAddcmul, Tensor*, const Tensor*, const Tensor*, const Scalar*)
ACLNN_DECLARE(Addcdiv, const Tensor*, const Tensor*, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(ClampTensor, const Tensor*, const Tensor*, const Tensor*, Tensor*)
ACLNN_DECLARE(RoundDecimals, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(InplaceRoundDecimals, Tensor*, int64_t)
ACLNN_DECLARE(Logit, const Tensor*, double, Tensor*)
ACLNN_DECLARE(Celu, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceCelu, Tensor*, const Scalar*)
ACLNN_DECLARE(Hardshrink, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(Softshrink, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(LogSigmoid, const Tensor*, Tensor*)
ACLNN_DECLARE(LogSigmoidForward, const Tensor*, Tensor*, Tensor*)
ACLNN_DECLARE(Glu, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(Prelu, const Tensor*, const Tensor*, Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Tensor* kNone = nullptr;

// The operator and its form in place give EXPRESSION of x, rounded.
#define EXPECT_FUNCTION(NAME, EXPRESSION, ...)                                    \
  for (const DType dtype : {DType::kHalf, DType::kBfloat16}) {                    \
    const std::vector<double> values = {__VA_ARGS__};                             \
    const auto count = static_cast<int64_t>(values.size());                       \
    const DeviceTensor in(dtype, {count}, values);                                \
    const DeviceTensor out(dtype, {count});                                       \
    ASSERT_EQ(CALL(NAME, in, out).result, "ran") << #NAME;                        \
    ASSERT_EQ(CALL(Inplace##NAME, in).result, "ran") << #NAME;                    \
    for (size_t i = 0; i < values.size(); ++i) {                                  \
      const long double x = values[i];                                            \
      EXPECT_EQ(out.Values()[i], Rounded(dtype, static_cast<double>(EXPRESSION))) \
          << #NAME << " of " << values[i];                                        \
    }                                                                             \
    EXPECT_EQ(in.Values(), out.Values()) << #NAME;                                \
  }

TEST(Functions, AreRoundedOnce){
    EXPECT_FUNCTION(Acos, std::acos(x), -0.75, 0, 0.5, 1)
        EXPECT_FUNCTION(Acosh, std::acosh(x), 1, 1.5, 40)
            EXPECT_FUNCTION(Asin, std::asin(x), -0.75, 0, 0.5, 1)
                EXPECT_FUNCTION(Asinh, std::asinh(x), -3, 0.5, 40)
                    EXPECT_FUNCTION(Atan, std::atan(x), -3, 0.5, 40)
                        EXPECT_FUNCTION(Atanh, std::atanh(x), -0.75, 0.5)
                            EXPECT_FUNCTION(Cosh, std::cosh(x), -3, 0.5, 4)
                                EXPECT_FUNCTION(Erfc, std::erfc(x), -1.5, 0.25, 2)
    // The solution of erf(y) = x by Newton's method.
    EXPECT_FUNCTION(Erfinv, ([&] {
                      long double y = 0;
                      for (int i = 0; i < 60; ++i) {
                        y -= (std::erf(y) - x) * std::exp(y * y) *
                             std::sqrt(std::numbers::pi_v<long double>) / 2;
                      }
                      return y;
                    }()),
                    -0.75, 0.25, 0.5) EXPECT_FUNCTION(Exp2, std::exp2(x), -3, 0.5, 4)
        EXPECT_FUNCTION(Frac, x - std::trunc(x), -2.75, 0.5,
                        3) EXPECT_FUNCTION(Log10, std::log10(x), 0.5, 3, 1000)
            EXPECT_FUNCTION(Sinc,
                            x == 0 ? 1
                                   : std::sin(std::numbers::pi_v<long double> * x) /
                                         (std::numbers::pi_v<long double> * x),
                            0, 0.25, -2.5) EXPECT_FUNCTION(Sinh, std::sinh(x), -3, 0.5, 4)
                EXPECT_FUNCTION(Tan, std::tan(x), -3, 0.5, 4)}

TEST(Functions, TakeWholeNumbersAndRefuseByName) {
  const DeviceTensor whole(DType::kInt32, {2}, {0, 1});
  const DeviceTensor out(DType::kFloat, {2});
  ASSERT_EQ(CALL(Acos, whole, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(Rounded(DType::kFloat, std::acos(0.0)), 0));
  EXPECT_THAT(CALL(Acos, whole, whole).result,
              HasSubstr("'out' is int32 [2]; its type must be one of float32, float16"));
  EXPECT_THAT(CALL(Acos, whole, DeviceTensor(DType::kFloat, {3})).result,
              HasSubstr("both must have one shape"));
}

TEST(Questions, AreAnsweredInBool) {
  const DeviceTensor x(DType::kFloat, {4}, {-kInfinity, -0.0, kInfinity, kNan});
  const DeviceTensor out(DType::kBool, {4});
  ASSERT_EQ(CALL(IsNegInf, x, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1, 0, 0, 0));
  ASSERT_EQ(CALL(IsPosInf, x, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0, 1, 0));
  ASSERT_EQ(CALL(Signbit, x, out).result, "ran");
  EXPECT_THAT(out.Values()[1], 1);
}

TEST(OfTwo, BroadcastAndAreRoundedOnce) {
  const DType half = DType::kHalf;
  const DeviceTensor a(half, {2, 1}, {1, 3});
  const DeviceTensor b(half, {2}, {2, -1});
  const DeviceTensor out(half, {2, 2});
  ASSERT_EQ(CALL(Atan2, a, b, out).result, "ran");
  EXPECT_EQ(out.Values(), Rounded(half, {std::atan2(1, 2), std::atan2(1, -1), std::atan2(3, 2),
                                         std::atan2(3, -1)}));
  ASSERT_EQ(CALL(LogAddExp, a, b, out).result, "ran");
  EXPECT_EQ(out.Values()[3], Rounded(half, std::log(std::exp(3) + std::exp(-1))));
  ASSERT_EQ(CALL(LogAddExp2, a, b, out).result, "ran");
  EXPECT_EQ(out.Values()[3], Rounded(half, std::log2(8.5)));
  const DeviceTensor c(half, {2}, {1, 3});
  ASSERT_EQ(CALL(InplaceAtan2, c, b).result, "ran");
  EXPECT_EQ(c.Values(), Rounded(half, {std::atan2(1, 2), std::atan2(3, -1)}));
  EXPECT_THAT(CALL(LogAddExp, DeviceTensor(DType::kInt32, {2}, {1, 1}), b, out).result,
              HasSubstr("'self' is int32 [2]"));
  const DeviceTensor six(DType::kInt32, {2}, {12, -8});
  const DeviceTensor found(DType::kInt32, {2});
  ASSERT_EQ(CALL(Gcd, six, DeviceTensor(DType::kInt32, {2}, {18, 12}), found).result, "ran");
  EXPECT_THAT(found.Values(), ElementsAre(6, 4));
}

TEST(XLogY, IsNothingOfNothing) {
  const DeviceTensor x(DType::kFloat, {2}, {0, 2});
  const DeviceTensor out(DType::kFloat, {2});
  const HostScalar three(DType::kDouble, 3);
  const double log3 = Rounded(DType::kFloat, 2 * std::log(3.0));
  ASSERT_EQ(CALL(XLogYTensor, x, DeviceTensor(DType::kFloat, {2}, {0, 3}), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, log3));
  ASSERT_EQ(CALL(XLogYScalarOther, x, three, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, log3));
  ASSERT_EQ(CALL(InplaceXLogYScalarOther, x, three).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(0, log3));
  ASSERT_EQ(CALL(XLogYScalarSelf, three, DeviceTensor(DType::kFloat, {2}, {1, 4}), out).result,
            "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, Rounded(DType::kFloat, 3 * std::log(4.0))));
}

TEST(Lerp, GoesFromOneToTheOther) {
  const DeviceTensor from(DType::kFloat, {2}, {1, 2});
  const DeviceTensor to(DType::kFloat, {2}, {3, -2});
  const DeviceTensor weight(DType::kFloat, {2}, {0.5, 0.25});
  const DeviceTensor out(DType::kFloat, {2});
  const HostScalar quarter(DType::kDouble, 0.25);
  ASSERT_EQ(CALL(Lerp, from, to, weight, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 1));
  ASSERT_EQ(CALL(Lerps, from, to, quarter, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1.5, 1));
  ASSERT_EQ(CALL(InplaceLerps, from, to, quarter).result, "ran");
  ASSERT_EQ(CALL(InplaceLerp, from, to, weight).result, "ran");
  EXPECT_THAT(from.Values(), ElementsAre(2.25, 0.25));
  EXPECT_THAT(CALL(Lerps, from, DeviceTensor(DType::kHalf, {2}, {3, 4}), quarter, out).result,
              HasSubstr("'end' is float16 [2], and 'out' is float32 [2]; both must have one type"));
}

TEST(Addc, AddsAProductOrAQuotient) {
  const HostScalar two(DType::kInt64, 2);
  const DeviceTensor x(DType::kInt64, {2}, {1, 2});
  const DeviceTensor a(DType::kInt64, {2}, {3, 4});
  const DeviceTensor whole(DType::kInt64, {2});
  ASSERT_EQ(CALL(Addcmul, x, a, a, two, whole).result, "ran");
  EXPECT_THAT(whole.Values(), ElementsAre(19, 34));
  ASSERT_EQ(CALL(InplaceAddcmul, x, a, a, two).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(19, 34));
  const DeviceTensor y(DType::kFloat, {2}, {1, 2});
  const DeviceTensor b(DType::kFloat, {1}, {4});
  const DeviceTensor out(DType::kFloat, {2});
  ASSERT_EQ(CALL(Addcdiv, y, y, b, two, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(1.5, 3));
  EXPECT_THAT(CALL(Addcdiv, x, a, a, two, whole).result, HasSubstr("'self' is int64 [2]"));
}

TEST(ClampTensor, MayLackABound) {
  const DeviceTensor x(DType::kInt32, {3}, {-5, 0, 5});
  const DeviceTensor bound(DType::kInt32, {1}, {2});
  const DeviceTensor out(DType::kInt32, {3});
  ASSERT_EQ(CALL(ClampTensor, x, bound, kNone, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(2, 2, 5));
  ASSERT_EQ(CALL(ClampTensor, x, kNone, bound, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-5, 0, 2));
  EXPECT_THAT(CALL(ClampTensor, x, kNone, kNone, out).result, HasSubstr("'min'"));
}

TEST(Rounding, KeepsDecimals) {
  const DeviceTensor x(DType::kFloat, {2}, {1.25, -2.375});
  const DeviceTensor out(DType::kFloat, {2});
  ASSERT_EQ(CALL(RoundDecimals, x, 1, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(Rounded(DType::kFloat, 1.2), Rounded(DType::kFloat, -2.4)));
  ASSERT_EQ(CALL(InplaceRoundDecimals, x, 0).result, "ran");
  EXPECT_THAT(x.Values(), ElementsAre(1, -2));
}

TEST(Activations, AreTheirFormulas) {
  const DType half = DType::kHalf;
  const DeviceTensor x(half, {4}, {-2, -0.25, 0.25, 2});
  const DeviceTensor out(half, {4});
  const HostScalar part(DType::kDouble, 0.5);
  ASSERT_EQ(CALL(Celu, x, part, out).result, "ran");
  EXPECT_EQ(out.Values(), Rounded(half, {0.5 * std::expm1(-4), 0.5 * std::expm1(-0.5), 0.25, 2}));
  ASSERT_EQ(CALL(Hardshrink, x, part, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-2, 0, 0, 2));
  ASSERT_EQ(CALL(Softshrink, x, part, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-1.5, 0, 0, 1.5));
  EXPECT_THAT(CALL(Softshrink, x, HostScalar(DType::kDouble, -1), out).result,
              HasSubstr("'lambd' is -1; it must be 0 or more"));
  const std::vector<double> logs =
      Rounded(half, {-std::log1p(std::exp(2)), -std::log1p(std::exp(0.25)),
                     -std::log1p(std::exp(-0.25)), -std::log1p(std::exp(-2))});
  ASSERT_EQ(CALL(LogSigmoid, x, out).result, "ran");
  EXPECT_EQ(out.Values(), logs);
  const DeviceTensor buffer(half, {4});
  ASSERT_EQ(CALL(LogSigmoidForward, x, out, buffer).result, "ran");
  EXPECT_EQ(out.Values(), logs);
  EXPECT_EQ(buffer.Values()[3], Rounded(half, std::exp(-2)));
  const DeviceTensor glu(half, {2});
  ASSERT_EQ(CALL(Glu, x, -1, glu).result, "ran");
  EXPECT_EQ(glu.Values(), Rounded(half, {-2 / (1 + std::exp(-0.25)), -0.25 / (1 + std::exp(-2))}));
  EXPECT_THAT(CALL(Glu, DeviceTensor(half, {3}, {1, 2, 3}), 0, glu).result,
              HasSubstr("dimension 0 must be even"));
  ASSERT_EQ(CALL(InplaceCelu, x, part).result, "ran");
  EXPECT_EQ(x.Values()[0], Rounded(half, 0.5 * std::expm1(-4)));
  const DeviceTensor p(DType::kFloat, {2}, {0.5, 0.75});
  ASSERT_EQ(CALL(Logit, p, -1.0, DeviceTensor(DType::kFloat, {2})).result, "ran");
  const DeviceTensor logit(DType::kFloat, {2});
  ASSERT_EQ(CALL(Logit, p, 0.375, logit).result, "ran");
  EXPECT_THAT(logit.Values(), ElementsAre(0, Rounded(DType::kFloat, std::log(0.625 / 0.375))));
}

TEST(Prelu, HasASlopeForEachChannel) {
  const DeviceTensor x(DType::kFloat, {1, 2, 2}, {-1, 1, -1, 1});
  const DeviceTensor out(DType::kFloat, {1, 2, 2});
  ASSERT_EQ(CALL(Prelu, x, DeviceTensor(DType::kFloat, {2}, {0.5, 4}), out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(-0.5, 1, -4, 1));
  EXPECT_THAT(CALL(Prelu, x, DeviceTensor(DType::kFloat, {3}, {1, 2, 3}), out).result,
              HasSubstr("it must have 1 or 2 numbers"));
}

}  // namespace
}  // namespace softnpu
