// cc/softnpu/opapi/foreach_ops_test.cc: functions of lists of tensors, by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

#define DECLARE_FOREACH(NAME) ACLNN_DECLARE(Foreach##NAME, const TensorList*, TensorList*)
#define DECLARE_FOREACH_SCALAR(NAME)                                                    \
  ACLNN_DECLARE(Foreach##NAME##ScalarV2, const TensorList*, const Scalar*, TensorList*) \
  ACLNN_DECLARE(Foreach##NAME##ScalarList, const TensorList*, const ScalarList*, TensorList*)
#define DECLARE_FOREACH_LIST(NAME) \
  ACLNN_DECLARE(Foreach##NAME, const TensorList*, const TensorList*, TensorList*)
#define DECLARE_FOREACH_SCALED(NAME) \
  ACLNN_DECLARE(Foreach##NAME, const TensorList*, const TensorList*, const Scalar*, TensorList*)
#define DECLARE_FOREACH_ADDC(NAME)                                                                \
  ACLNN_DECLARE(Foreach##NAME##ScalarV2, const TensorList*, const TensorList*, const TensorList*, \
                const Scalar*, TensorList*)                                                       \
  ACLNN_DECLARE(Foreach##NAME##ScalarList, const TensorList*, const TensorList*,                  \
                const TensorList*, const Tensor*, TensorList*)
DECLARE_FOREACH(Abs)
DECLARE_FOREACH(Acos)
DECLARE_FOREACH(Asin)
DECLARE_FOREACH(Atan)
DECLARE_FOREACH(Cos)
DECLARE_FOREACH(Cosh)
DECLARE_FOREACH(Erf)
DECLARE_FOREACH(Erfc)
DECLARE_FOREACH(Exp)
DECLARE_FOREACH(Expm1)
DECLARE_FOREACH(Log)
DECLARE_FOREACH(Log10)
DECLARE_FOREACH(Log1p)
DECLARE_FOREACH(Log2)
DECLARE_FOREACH(Neg)
DECLARE_FOREACH(Reciprocal)
DECLARE_FOREACH(Sigmoid)
DECLARE_FOREACH(Sign)
DECLARE_FOREACH(Sin)
DECLARE_FOREACH(Sinh)
DECLARE_FOREACH(Sqrt)
DECLARE_FOREACH(Tan)
DECLARE_FOREACH(Tanh)
DECLARE_FOREACH(Copy)
DECLARE_FOREACH_SCALAR(Add)
DECLARE_FOREACH_SCALAR(Sub)
DECLARE_FOREACH_SCALAR(Mul)
DECLARE_FOREACH_SCALAR(Div)
DECLARE_FOREACH_SCALAR(Pow)
DECLARE_FOREACH_SCALAR(Maximum)
DECLARE_FOREACH_SCALAR(Minimum)
DECLARE_FOREACH_LIST(MulList)
DECLARE_FOREACH_LIST(DivList)
DECLARE_FOREACH_LIST(MaximumList)
DECLARE_FOREACH_LIST(MinimumList)
DECLARE_FOREACH_LIST(PowList)
DECLARE_FOREACH_SCALED(AddListV2)
DECLARE_FOREACH_SCALED(SubListV2)
DECLARE_FOREACH_SCALED(LerpScalar)
ACLNN_DECLARE(ForeachLerpList, const TensorList*, const TensorList*, const TensorList*, TensorList*)
ACLNN_DECLARE(ForeachPowScalarAndTensor, const Scalar*, const TensorList*, TensorList*)
DECLARE_FOREACH_ADDC(Addcmul)
DECLARE_FOREACH_ADDC(Addcdiv)
ACLNN_DECLARE(ForeachNorm, const TensorList*, const Scalar*, TensorList*)
ACLNN_DECLARE(ForeachZeroInplace, TensorList*)
ACLNN_DECLARE(ForeachNonFiniteCheckAndUnscale, TensorList*, Tensor*, const Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two lists of two tensors, and one for results.
class Foreach : public ::testing::Test {
 protected:
  const DeviceTensor x1{DType::kFloat, {2}, {0.25, 0.75}}, x2{DType::kFloat, {1, 1}, {0.5}};
  const DeviceTensor y1{DType::kFloat, {2}, {2, 4}}, y2{DType::kFloat, {1, 1}, {-1}};
  const DeviceTensor o1{DType::kFloat, {2}}, o2{DType::kFloat, {1, 1}};
  const DeviceTensors x{&x1, &x2}, y{&y1, &y2}, out{&o1, &o2};
  const HostScalar two{DType::kDouble, 2}, three{DType::kDouble, 3};
  const ScalarList scalars{{two, three}};

  std::vector<double> Found() const {
    std::vector<double> found = o1.Values();
    found.push_back(o2.Values()[0]);
    return found;
  }
};

#define EXPECT_FOREACH(NAME, FUNCTION)                                                        \
  ASSERT_EQ(CALL(NAME, x, out).result, "ran") << #NAME;                                       \
  EXPECT_EQ(Found(), Rounded(DType::kFloat, {FUNCTION(0.25), FUNCTION(0.75), FUNCTION(0.5)})) \
      << #NAME

TEST_F(Foreach, FunctionsAreRoundedOnce) {
  EXPECT_FOREACH(ForeachAbs, std::fabs);
  EXPECT_FOREACH(ForeachAcos, std::acos);
  EXPECT_FOREACH(ForeachAsin, std::asin);
  EXPECT_FOREACH(ForeachAtan, std::atan);
  EXPECT_FOREACH(ForeachCos, std::cos);
  EXPECT_FOREACH(ForeachCosh, std::cosh);
  EXPECT_FOREACH(ForeachErf, std::erf);
  EXPECT_FOREACH(ForeachErfc, std::erfc);
  EXPECT_FOREACH(ForeachExp, std::exp);
  EXPECT_FOREACH(ForeachExpm1, std::expm1);
  EXPECT_FOREACH(ForeachLog, std::log);
  EXPECT_FOREACH(ForeachLog10, std::log10);
  EXPECT_FOREACH(ForeachLog1p, std::log1p);
  EXPECT_FOREACH(ForeachLog2, std::log2);
  EXPECT_FOREACH(ForeachNeg, -);
  EXPECT_FOREACH(ForeachReciprocal, 1 /);
  EXPECT_FOREACH(ForeachSigmoid, ([](double v) { return 1 / (1 + std::exp(-v)); }));
  EXPECT_FOREACH(ForeachSign, ([](double) { return 1.0; }));
  EXPECT_FOREACH(ForeachSin, std::sin);
  EXPECT_FOREACH(ForeachSinh, std::sinh);
  EXPECT_FOREACH(ForeachSqrt, std::sqrt);
  EXPECT_FOREACH(ForeachTan, std::tan);
  EXPECT_FOREACH(ForeachTanh, std::tanh);
}

#define EXPECT_SCALAR(ONE, EACH, A, B, C, D)             \
  ASSERT_EQ(CALL(ONE, y, two, out).result, "ran");       \
  EXPECT_THAT(Found(), ElementsAre(A, B, C));            \
  ASSERT_EQ(CALL(EACH, y, &scalars, out).result, "ran"); \
  EXPECT_THAT(Found(), ElementsAre(A, B, Rounded(DType::kFloat, D)))

TEST_F(Foreach, TakesOneScalarOrOneForEach) {
  EXPECT_SCALAR(ForeachAddScalarV2, ForeachAddScalarList, 4, 6, 1, 2);
  EXPECT_SCALAR(ForeachSubScalarV2, ForeachSubScalarList, 0, 2, -3, -4);
  EXPECT_SCALAR(ForeachMulScalarV2, ForeachMulScalarList, 4, 8, -2, -3);
  EXPECT_SCALAR(ForeachDivScalarV2, ForeachDivScalarList, 1, 2, -0.5, -1.0 / 3);
  EXPECT_SCALAR(ForeachPowScalarV2, ForeachPowScalarList, 4, 16, 1, -1);
  EXPECT_SCALAR(ForeachMaximumScalarV2, ForeachMaximumScalarList, 2, 4, 2, 3);
  EXPECT_SCALAR(ForeachMinimumScalarV2, ForeachMinimumScalarList, 2, 2, -1, -1);
}

TEST_F(Foreach, TakesTwoLists) {
  ASSERT_EQ(CALL(ForeachMulList, x, y, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(0.5, 3, -0.5));
  ASSERT_EQ(CALL(ForeachDivList, x, y, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(0.125, 0.1875, -0.5));
  ASSERT_EQ(CALL(ForeachMaximumList, x, y, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(2, 4, 0.5));
  ASSERT_EQ(CALL(ForeachMinimumList, x, y, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(0.25, 0.75, -1));
  ASSERT_EQ(CALL(ForeachPowList, x, y, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(0.0625, 0.31640625, 2));
  ASSERT_EQ(CALL(ForeachAddListV2, x, y, two, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(4.25, 8.75, -1.5));
  ASSERT_EQ(CALL(ForeachSubListV2, x, y, two, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(-3.75, -7.25, 2.5));
  ASSERT_EQ(CALL(ForeachLerpScalar, x, y, two, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(3.75, 7.25, -2.5));
  ASSERT_EQ(CALL(ForeachLerpList, x, y, x, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(0.6875, 3.1875, -0.25));
  ASSERT_EQ(CALL(ForeachPowScalarAndTensor, two, y, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(4, 16, 0.5));
}

TEST_F(Foreach, AddsProductsAndQuotients) {
  const DeviceTensor factors(DType::kFloat, {2}, {2, 3});
  ASSERT_EQ(CALL(ForeachAddcmulScalarV2, x, y, y, two, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(8.25, 32.75, 2.5));
  ASSERT_EQ(CALL(ForeachAddcmulScalarList, x, y, y, factors, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(8.25, 32.75, 3.5));
  ASSERT_EQ(CALL(ForeachAddcdivScalarV2, x, x, y, two, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(0.5, 1.125, -0.5));
  ASSERT_EQ(CALL(ForeachAddcdivScalarList, x, x, y, factors, out).result, "ran");
  EXPECT_THAT(Found(), ElementsAre(0.5, 1.125, -1));
}

TEST_F(Foreach, WorksInPlaceAndOnWholeNumbers) {
  ASSERT_EQ(CALL(ForeachAddScalarV2, x, two, x).result, "ran");
  EXPECT_THAT(x1.Values(), ElementsAre(2.25, 2.75));
  ASSERT_EQ(CALL(ForeachZeroInplace, x).result, "ran");
  EXPECT_THAT(x1.Values(), ElementsAre(0, 0));
  const DeviceTensor whole(DType::kInt32, {2}, {3, -4});
  const DeviceTensors wholes{&whole};
  ASSERT_EQ(CALL(ForeachMulScalarV2, wholes, HostScalar(DType::kInt64, 3), wholes).result, "ran");
  EXPECT_THAT(whole.Values(), ElementsAre(9, -12));
}

TEST_F(Foreach, GivesANormForEach) {
  const DeviceTensor n1(DType::kFloat, {}), n2(DType::kFloat, {});
  const DeviceTensors norms{&n1, &n2};
  const DeviceTensor legs(DType::kFloat, {2}, {-3, 4});
  const DeviceTensors lists{&legs, &y2};
  ASSERT_EQ(CALL(ForeachNorm, lists, two, norms).result, "ran");
  EXPECT_EQ(n1.Values()[0], 5);
  EXPECT_EQ(n2.Values()[0], 1);
  ASSERT_EQ(CALL(ForeachNorm, lists, HostScalar(DType::kDouble, 1), norms).result, "ran");
  EXPECT_EQ(n1.Values()[0], 7);
  ASSERT_EQ(CALL(ForeachNorm, lists, HostScalar(DType::kDouble, kInfinity), norms).result, "ran");
  EXPECT_EQ(n1.Values()[0], 4);
  EXPECT_THAT(CALL(ForeachNorm, lists, three, norms).result,
              HasSubstr("'scalar' is 3; the order of a norm must be 1, 2 or infinity"));
}

TEST_F(Foreach, FindsWhatIsNotFinite) {
  const DeviceTensor found(DType::kFloat, {1}, {0});
  const DeviceTensor half(DType::kFloat, {1}, {0.5});
  ASSERT_EQ(CALL(ForeachNonFiniteCheckAndUnscale, y, found, half).result, "ran");
  EXPECT_THAT(y1.Values(), ElementsAre(1, 2));
  EXPECT_EQ(found.Values()[0], 0);
  const DeviceTensor bad(DType::kFloat, {2}, {kInfinity, 1});
  ASSERT_EQ(CALL(ForeachNonFiniteCheckAndUnscale, DeviceTensors({&bad}), found, half).result,
            "ran");
  EXPECT_EQ(found.Values()[0], 1);
}

TEST_F(Foreach, RefusesByName) {
  EXPECT_THAT(CALL(ForeachMulList, x, DeviceTensors({&y1}), out).result,
              HasSubstr("'x2' has 1 tensors, and 'out' 2"));
  EXPECT_THAT(CALL(ForeachSqrt, DeviceTensors({&x2, &x1}), out).result,
              HasSubstr("both must have one shape"));
  const DeviceTensor wide(DType::kDouble, {2}, {1, 2});
  EXPECT_THAT(CALL(ForeachSqrt, DeviceTensors({&wide}), DeviceTensors({&o1})).result,
              HasSubstr("'x1' is float64 [2]"));
  const ScalarList one{{two}};
  EXPECT_THAT(CALL(ForeachAddScalarList, x, &one, out).result,
              HasSubstr("'scalars' has 1 numbers for 2 tensors"));
}

}  // namespace
}  // namespace softnpu
