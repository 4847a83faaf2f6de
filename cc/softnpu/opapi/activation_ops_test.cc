// cc/softnpu/opapi/activation_ops_test.cc: activations against their definitions in long double.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(Relu, const Tensor*, Tensor*)
ACLNN_DECLARE(InplaceRelu, const Tensor*)
ACLNN_DECLARE(Silu, const Tensor*, Tensor*)
ACLNN_DECLARE(Gelu, const Tensor*, Tensor*)
ACLNN_DECLARE(GeluV2, const Tensor*, int64_t, Tensor*)
ACLNN_DECLARE(FastGelu, const Tensor*, Tensor*)
ACLNN_DECLARE(Hardswish, const Tensor*, Tensor*)
ACLNN_DECLARE(InplaceHardswish, const Tensor*)
ACLNN_DECLARE(Hardsigmoid, const Tensor*, Tensor*)
ACLNN_DECLARE(InplaceHardsigmoid, const Tensor*)
ACLNN_DECLARE(Mish, const Tensor*, Tensor*)
ACLNN_DECLARE(InplaceMish, const Tensor*)
ACLNN_DECLARE(LeakyRelu, const Tensor*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceLeakyRelu, Tensor*, const Scalar*)
ACLNN_DECLARE(Elu, const Tensor*, const Scalar*, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceElu, Tensor*, const Scalar*, const Scalar*, const Scalar*)
ACLNN_DECLARE(Threshold, const Tensor*, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceThreshold, Tensor*, const Scalar*, const Scalar*)
ACLNN_DECLARE(Hardtanh, const Tensor*, const Scalar*, const Scalar*, Tensor*)
ACLNN_DECLARE(InplaceHardtanh, Tensor*, const Scalar*, const Scalar*)
ACLNN_DECLARE(Softplus, const Tensor*, const Scalar*, const Scalar*, Tensor*)

namespace {

using ::testing::ElementsAre;

// Values of all three dtypes. Far to the left the definitions of GELU lose digits in double.
const std::vector<double> kValues = {-4, -3, -2.5, -1, -0.25, 0, 0.125, 0.5, 1, 2, 3.5, 6, 30};

std::vector<int64_t> Shape() { return {static_cast<int64_t>(kValues.size())}; }

using Function = std::function<long double(long double)>;

// The operator computes in double, 29 bits more than float32 has, and rounds once. None of the
// values of this file comes so close to the middle of two neighbours that those errors would show.
std::vector<double> Expected(DType dtype, const Function& function) {
  std::vector<double> out;
  for (const double value : kValues) {
    out.push_back(Rounded(dtype, static_cast<double>(function(value))));
  }
  return out;
}

// Runs `call` (x, out) in each dtype.
template <typename Body>
void Check(const Function& function, Body&& call) {
  for (const DType dtype : {DType::kFloat, DType::kHalf, DType::kBfloat16}) {
    const DeviceTensor x(dtype, Shape(), kValues);
    const DeviceTensor out(dtype, Shape());
    const Outcome outcome = call(x, out);
    ASSERT_EQ(outcome.result, "ran");
    EXPECT_EQ(out.Values(), Expected(dtype, function)) << Name(dtype);
    EXPECT_EQ(x.Values(), kValues) << "the operand has changed";
    EXPECT_THAT(outcome.accesses, ElementsAre("self reads [13]", "out writes [13]"));
  }
}

template <typename Body>
void CheckInplace(const Function& function, Body&& call) {
  const DeviceTensor x(DType::kHalf, Shape(), kValues);
  const Outcome outcome = call(x);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_EQ(x.Values(), Expected(DType::kHalf, function));
  EXPECT_THAT(outcome.accesses, ElementsAre("self reads writes [13]"));
}

#define CHECK_ACTIVATION(NAME, FUNCTION) \
  Check(FUNCTION, [](const DeviceTensor& x, const DeviceTensor& out) { return CALL(NAME, x, out); })
#define CHECK_INPLACE(NAME, FUNCTION) \
  CheckInplace(FUNCTION, [](const DeviceTensor& x) { return CALL(NAME, x); })

long double NormalDistribution(long double x) { return std::erfc(-x / std::sqrt(2.0L)) / 2; }
long double TanhGelu(long double x) {
  const long double u = std::sqrt(2 / std::acos(-1.0L)) * (x + 0.044715L * x * x * x);
  return x / (1 + std::exp(-2 * u));  // (1 + tanh(u)) / 2 is the logistic function of 2 u
}
long double HardSwish(long double x) { return x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6; }
long double HardSigmoid(long double x) { return x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6; }
// tanh(log(s)) with s = 1 + e^x.
long double Mish(long double x) {
  const long double s = 1 + std::exp(x);
  return x * (s * s - 1) / (s * s + 1);
}

TEST(Activations, AreTheirDefinitions) {
  CHECK_ACTIVATION(Relu, [](long double x) { return x > 0 ? x : 0; });
  CHECK_ACTIVATION(Silu, [](long double x) { return x / (1 + std::exp(-x)); });
  CHECK_ACTIVATION(Gelu, [](long double x) { return x * NormalDistribution(x); });
  CHECK_ACTIVATION(FastGelu, [](long double x) { return x / (1 + std::exp(-1.702L * x)); });
  CHECK_ACTIVATION(Hardswish, HardSwish);
  CHECK_ACTIVATION(Hardsigmoid, HardSigmoid);
  CHECK_ACTIVATION(Mish, Mish);
}

TEST(Activations, WorkInPlace) {
  CHECK_INPLACE(InplaceRelu, [](long double x) { return x > 0 ? x : 0; });
  CHECK_INPLACE(InplaceHardswish, HardSwish);
  CHECK_INPLACE(InplaceHardsigmoid, HardSigmoid);
  CHECK_INPLACE(InplaceMish, Mish);
}

TEST(Activations, GeluHasTwoForms) {
  const auto run = [](int64_t approximate) {
    return [approximate](const DeviceTensor& x, const DeviceTensor& out) {
      return CALL(GeluV2, x, approximate, out);
    };
  };
  Check([](long double x) { return x * NormalDistribution(x); }, run(0));
  Check(TanhGelu, run(1));
}

TEST(Activations, ScalarsShapeThem) {
  const HostScalar slope(DType::kDouble, 0.25);
  const auto leaky = [](long double x) { return x > 0 ? x : x / 4; };
  Check(leaky, [&](const DeviceTensor& x, const DeviceTensor& out) {
    return CALL(LeakyRelu, x, slope, out);
  });
  CheckInplace(leaky, [&](const DeviceTensor& x) { return CALL(InplaceLeakyRelu, x, slope); });

  const HostScalar alpha(DType::kDouble, 1.5);
  const HostScalar scale(DType::kDouble, 3);
  const HostScalar input_scale(DType::kDouble, 0.5);
  const auto elu = [](long double x) { return x > 0 ? 3 * x : 3 * 1.5L * (std::exp(x / 2) - 1); };
  Check(elu, [&](const DeviceTensor& x, const DeviceTensor& out) {
    return CALL(Elu, x, alpha, scale, input_scale, out);
  });
  CheckInplace(
      elu, [&](const DeviceTensor& x) { return CALL(InplaceElu, x, alpha, scale, input_scale); });

  const HostScalar limit(DType::kDouble, 1);
  const HostScalar value(DType::kDouble, -7);
  const auto threshold = [](long double x) { return x <= 1 ? -7 : x; };
  Check(threshold, [&](const DeviceTensor& x, const DeviceTensor& out) {
    return CALL(Threshold, x, limit, value, out);
  });
  CheckInplace(threshold,
               [&](const DeviceTensor& x) { return CALL(InplaceThreshold, x, limit, value); });

  const HostScalar low(DType::kDouble, -2);
  const auto clipped = [](long double x) { return x < -2 ? -2 : x > 1 ? 1 : x; };
  Check(clipped, [&](const DeviceTensor& x, const DeviceTensor& out) {
    return CALL(Hardtanh, x, low, limit, out);
  });
  CheckInplace(clipped,
               [&](const DeviceTensor& x) { return CALL(InplaceHardtanh, x, low, limit); });
}

TEST(Activations, SoftplusIsLinearAboveItsThreshold) {
  const HostScalar beta(DType::kDouble, 2);
  const HostScalar threshold(DType::kDouble, 6);  // 2 x > 6
  Check([](long double x) { return x > 3 ? x : std::log(1 + std::exp(2 * x)) / 2; },
        [&](const DeviceTensor& x, const DeviceTensor& out) {
          return CALL(Softplus, x, beta, threshold, out);
        });
}

TEST(Activations, ReluKeepsIntegersAndNan) {
  const DeviceTensor whole(DType::kInt32, {3}, {-5, 0, 7});
  const DeviceTensor out(DType::kInt32, {3});
  ASSERT_EQ(CALL(Relu, whole, out).result, "ran");
  EXPECT_THAT(out.Values(), ElementsAre(0, 0, 7));
  const DeviceTensor nan(DType::kFloat, {1}, {kNan});
  ASSERT_EQ(CALL(InplaceRelu, nan).result, "ran");
  EXPECT_TRUE(std::isnan(nan.Values()[0]));
}

TEST(Activations, FollowStrides) {
  // [[1, 2, 3], [4, 5, 6]] transposed; the output has a gap behind each element.
  const DeviceTensor x(DType::kFloat, {3, 2}, {1, 3}, 0, {1, 2, 3, 4, 5, 6});
  const DeviceTensor out(DType::kFloat, {3, 2}, {4, 2}, 1, std::vector<double>(12, 9));
  const HostScalar least(DType::kDouble, 2);
  const HostScalar most(DType::kDouble, 5);
  ASSERT_EQ(CALL(Hardtanh, x, least, most, out).result, "ran");
  EXPECT_THAT(out.Storage(), ElementsAre(9, 2, 9, 4, 9, 2, 9, 5, 9, 3, 9, 5));
}

TEST(Activations, RefuseByName) {
  const DeviceTensor x(DType::kHalf, {2}, {1, 2});
  const DeviceTensor out(DType::kHalf, {2});
  const DeviceTensor whole(DType::kInt32, {2}, {1, 2});
  const DeviceTensor other(DType::kFloat, {2});
  const DeviceTensor longer(DType::kHalf, {3});
  Tensor* const nothing = nullptr;
  EXPECT_EQ(CALL(Silu, nothing, out).result,
            "refused 161001: aclnnSilu: the argument 'self' is null");
  EXPECT_EQ(CALL(Silu, x, nothing).result, "refused 161001: aclnnSilu: the argument 'out' is null");
  EXPECT_EQ(CALL(Silu, whole, whole).result,
            "refused 161002: aclnnSilu: 'self' is int32 [2], it must be float32, float16 or "
            "bfloat16");
  EXPECT_EQ(CALL(Silu, x, other).result,
            "refused 161002: aclnnSilu: 'out' is float32 [2], 'self' is float16 [2]");
  EXPECT_EQ(CALL(Silu, x, longer).result,
            "refused 161002: aclnnSilu: 'out' is float16 [3], 'self' is float16 [2]");
  EXPECT_EQ(CALL(GeluV2, x, 2, out).result,
            "refused 161002: aclnnGeluV2: 'approximate' is 2, 0 is none and 1 is tanh");
  Scalar* const no_scalar = nullptr;
  EXPECT_EQ(CALL(InplaceLeakyRelu, x, no_scalar).result,
            "refused 161001: aclnnInplaceLeakyRelu: the argument 'negative_slope' is null");
}

TEST(Activations, OperandsHaveToBeWritten) {
  const DeviceTensor x(DType::kHalf, {2});
  const DeviceTensor out(DType::kHalf, {2});
  EXPECT_THAT(
      CALL(Silu, x, out).result,
      ::testing::StartsWith("failed 507015: aclnnSilu: 'self' is read where nobody has written: "));
  EXPECT_EQ(out.Written(), "..");
}

}  // namespace
}  // namespace softnpu
