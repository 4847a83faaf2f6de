// cc/softnpu/opapi/aten_test.cc: views as torch tensors over the same memory, and the account of
// written bytes as tensors.
#include "cc/softnpu/opapi/aten.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cc/softnpu/base/testing/error.h"
#include "tests/softnpu/aclnn.h"

namespace softnpu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr DType kAllDTypes[] = {
    DType::kFloat, DType::kHalf,  DType::kInt8,   DType::kInt32, DType::kUint8,
    DType::kInt16, DType::kInt64, DType::kDouble, DType::kBool,  DType::kBfloat16,
};

// torch writes the device's memory, element by element in each dtype.
TEST(ToAten, SharesMemoryInEveryDType) {
  for (const DType dtype : kAllDTypes) {
    const DeviceTensor from(DType::kFloat, {3}, {1, 0, 1});
    const DeviceTensor to(dtype, {3}, {2}, 1, {0, 0, 0, 0, 0, 0});
    Aten("aten::copy_", "", ToAten(to.view()), ToAten(from.view()), false);
    EXPECT_THAT(to.Storage(), ElementsAre(0, 1, 0, 0, 0, 1)) << Name(dtype);
  }
}

TEST(ToAten, HasTheShapeOfTheView) {
  const DeviceTensor x(DType::kFloat, {2, 3});
  EXPECT_THAT(ShapeOf(ToAten(x.view())), ElementsAre(2, 3));
  const DeviceTensor number(DType::kFloat, {});
  EXPECT_THAT(ShapeOf(ToAten(number.view())), ElementsAre());
  const std::vector<AtenTensor> both = ToAten(std::vector<View>{x.view(), number.view()});
  ASSERT_EQ(both.size(), 2u);
  EXPECT_THAT(ShapeOf(both[0]), ElementsAre(2, 3));
}

TEST(ToAten, RefusesMemoryThatIsGone) {
  View view;
  {
    const DeviceTensor x(DType::kFloat, {2}, {1, 2});
    view = x.view();
  }
  EXPECT_THAT(ErrorOf([&] { ToAten(view); }), StartsWith("161002 "));
}

TEST(Aten, GivesItsResults) {
  const DeviceTensor x(DType::kFloat, {3}, {2, 3, 1});
  const DeviceTensor values(DType::kFloat, {3}, {0, 0, 0});
  const DeviceTensor places(DType::kInt32, {3}, {0, 0, 0});
  const std::vector<AtenTensor> sorted = Aten<2>("aten::sort", "stable", ToAten(x.view()),
                                                 std::optional<bool>(true), int64_t{0}, true);
  ASSERT_EQ(sorted.size(), 2u);
  CopyFromAten(values.view(), sorted[0]);
  CopyFromAten(places.view(), sorted[1]);  // int64 into int32
  EXPECT_THAT(values.Values(), ElementsAre(3, 2, 1));
  EXPECT_THAT(places.Values(), ElementsAre(1, 0, 2));
}

TEST(Aten, ItsErrorIsOurs) {
  const DeviceTensor x(DType::kFloat, {2, 3}, {1, 2, 3, 4, 5, 6});
  const std::string error =
      ErrorOf([&] { Aten("aten::mm", "", ToAten(x.view()), ToAten(x.view())); });
  EXPECT_THAT(error, StartsWith("561002 aten::mm on the host: "));
  EXPECT_THAT(error, HasSubstr("2x3 and 2x3"));
  EXPECT_THAT(AtenError(), HasSubstr("2x3 and 2x3"));
}

TEST(CopyFromAten, OfNothingNeedsNoMemory) {
  const DeviceTensor x(DType::kFloat, {2}, {1, 2});
  View empty = x.view();
  empty.dims[0] = 0;
  empty.data = nullptr;
  EXPECT_EQ(ErrorOf([&] { CopyFromAten(empty, ToAten(empty)); }), "");
}

// ATen would repeat a result, or write a part of the output, and say nothing.
TEST(Results, HaveTheShapeOfTheOutput) {
  const DeviceTensor row(DType::kFloat, {3}, {1, 2, 3});
  const DeviceTensor rows(DType::kFloat, {2, 3}, std::vector<double>(6, 9));
  EXPECT_EQ(ErrorOf([&] { CopyFromAten(rows.view(), ToAten(row.view())); }),
            "161002 'out' is float32 [2, 3], the result is float32 [3]");
  EXPECT_EQ(rows.Values(), std::vector<double>(6, 9));
  const DeviceTensor column(DType::kFloat, {1, 3}, {9, 9, 9});
  CopyFromAten(column.view(), ToAten(row.view()));
  EXPECT_EQ(column.Values(), row.Values());

  const std::vector<int64_t> last = {1};
  const auto sum = [&](const DeviceTensor& out) {
    return ErrorOf(
        [&] { AtenInto(out.view(), "aten::amax", "out", ToAten(rows.view()), last, false); });
  };
  const DeviceTensor two(DType::kFloat, {2}, {1, 1});
  EXPECT_EQ(sum(two), "");
  EXPECT_THAT(two.Values(), ElementsAre(9, 9));
  EXPECT_EQ(sum(row), "161002 'out' is float32 [3], the result is float32 [2]");
}

TEST(WrittenPlane, IsAByteOfEachElement) {
  // Rows of three elements, of which the view has the outer two.
  const DeviceTensor x(DType::kHalf, {2, 2}, {3, 2}, 0, std::vector<double>(6, 1));
  x.view().MarkWritten(false);
  for (const int64_t byte : {0, 1}) {
    const std::optional<AtenTensor> plane = WrittenPlane(x.view(), byte);
    ASSERT_TRUE(plane.has_value());
    EXPECT_THAT(ShapeOf(*plane), ElementsAre(2, 2));
    Aten("aten::copy_", "", *plane, Ones({2, 2}), false);
    // An element is written when all of its bytes are.
    EXPECT_EQ(x.Written(), byte == 0 ? "...." : "wwww");
  }
  View empty = x.view();
  empty.dims[0] = 0;
  EXPECT_FALSE(WrittenPlane(empty, 0).has_value());
}

TEST(WrittenPlane, EachOfThemOnce) {
  const DeviceTensor x(DType::kInt64, {2});
  std::vector<int64_t> bytes;
  ForEachWrittenPlane(x.view(), [&](const AtenTensor&, int64_t byte) { bytes.push_back(byte); });
  EXPECT_THAT(bytes, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(CopyWritten, TakesGapsAlong) {
  const DeviceTensor narrow(DType::kHalf, {4});
  View second = Reshaped(narrow.view(), {1});
  second.offset = 1;
  second.MarkWritten();
  const DeviceTensor wide(DType::kInt64, {4}, {1, 2, 3, 4});
  CopyWritten(wide.view(), narrow.view());
  EXPECT_EQ(wide.Written(), ".w..");
  narrow.view().MarkWritten();
  CopyWritten(wide.view(), narrow.view());
  EXPECT_EQ(wide.Written(), "wwww");
}

TEST(CheckGathered, NamesWhatWasRead) {
  CheckGathered(Ones({2, 3}), "x");
  const DeviceTensor x(DType::kInt8, {3});
  EXPECT_EQ(ErrorOf([&] { CheckGathered(*WrittenPlane(x.view(), 0), "x"); }),
            "507015 'x' is read where nobody has written");
}

}  // namespace
}  // namespace softnpu
