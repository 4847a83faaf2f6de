// cc/softnpu/opapi/wide_test.cc: limits name the argument, what it is and what it has to be.
#include "cc/softnpu/opapi/wide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/softnpu/aclnn.h"

namespace softnpu {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Limits : public ::testing::Test {
 protected:
  const DeviceTensor matrix_{DType::kFloat, {2, 3}, {1, 2, 3, 4, 5, 6}};
  const DeviceTensor row_{DType::kInt64, {3}, {1, 2, 3}};
  const View matrix = matrix_.view();
  const View row = row_.view();
};

TEST_F(Limits, AreOfTypesAndDimensions) {
  EXPECT_EQ(&Checked(matrix, "self", kFloats, 2, 2), &matrix);
  EXPECT_THAT([&] { Checked(row, "index", kFloats); },
              ThrowsMessage<Error>(HasSubstr("'index' is int64 [3]; its type must be one of")));
  EXPECT_THAT([&] { Checked(matrix, "self", kFloats, 3, 4); },
              ThrowsMessage<Error>(HasSubstr("[2, 3]; it must have 3 to 4 dimensions")));
  EXPECT_THAT([&] { CheckSameType(matrix, "x", row, "y"); },
              ThrowsMessage<Error>(HasSubstr("both must have one type")));
  EXPECT_THAT([&] { CheckEqualShape(matrix, "x", row, "y"); },
              ThrowsMessage<Error>(HasSubstr("both must have one shape")));
}

TEST_F(Limits, AreOfNumbers) {
  EXPECT_EQ(CheckedDim(matrix, -1), 1);
  EXPECT_THAT([&] { CheckedDim(matrix, 2); },
              ThrowsMessage<Error>(HasSubstr("'dim' is 2; for float32 [2, 3] it must be -2 to 1")));
  EXPECT_EQ(CheckedReduction(2), 2);
  EXPECT_THAT([] { CheckedReduction(3); },
              ThrowsMessage<Error>(HasSubstr("'reduction' is 3; it must be 0, 1 or 2")));
}

}  // namespace
}  // namespace softnpu
