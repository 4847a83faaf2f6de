// cc/softnpu/opapi/tensor_test.cc: views, and the functions that make and destroy their handles.
#include "cc/softnpu/opapi/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <limits>
#include <memory>
#include <string>
#include <thread>

#include "cc/softnpu/base/testing/error.h"
#include "cc/softnpu/runtime/acl_abi.h"
#include "tests/softnpu/aclnn.h"

namespace softnpu {

extern "C" {
Tensor* aclCreateTensor(const int64_t*, uint64_t, int32_t, const int64_t*, int64_t, int32_t,
                        const int64_t*, uint64_t, void*);
int32_t aclDestroyTensor(const Tensor*);
Scalar* aclCreateScalar(const void*, int32_t);
int32_t aclDestroyScalar(const Scalar*);
IntArray* aclCreateIntArray(const int64_t*, uint64_t);
int32_t aclDestroyIntArray(const IntArray*);
int32_t aclGetIntArraySize(const IntArray*, uint64_t*);
FloatArray* aclCreateFloatArray(const float*, uint64_t);
int32_t aclDestroyFloatArray(const FloatArray*);
BoolArray* aclCreateBoolArray(const uint8_t*, uint64_t);
int32_t aclDestroyBoolArray(const BoolArray*);
ScalarList* aclCreateScalarList(Scalar* const*, uint64_t);
int32_t aclDestroyScalarList(const ScalarList*);
int32_t aclGetViewShape(const Tensor*, int64_t**, uint64_t*);
}

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

View Strided(DType dtype, std::vector<int64_t> dims, std::vector<int64_t> strides) {
  View view;
  view.dtype = dtype;
  view.rank = static_cast<int>(dims.size());
  std::copy(dims.begin(), dims.end(), view.dims.begin());
  std::copy(strides.begin(), strides.end(), view.strides.begin());
  return view;
}

TEST(DTypes, HaveNamesAndSizes) {
  EXPECT_STREQ(Name(DType::kBfloat16), "bfloat16");
  EXPECT_EQ(Size(DType::kBfloat16), 2);
  EXPECT_EQ(Size(DType::kDouble), 8);
  EXPECT_EQ(Size(DType::kBool), 1);
  EXPECT_EQ(Size(DType::kInt32), 4);
  EXPECT_STREQ(Name(static_cast<DType>(5)), "a dtype that SoftNPU does not have");
  EXPECT_EQ(ErrorOf([] { Size(static_cast<DType>(5)); }),
            "161002 the dtype 5 is none that SoftNPU has");
}

TEST(View, CountsAndKnowsWhetherItIsDense) {
  EXPECT_EQ(Strided(DType::kFloat, {2, 3, 4}, {12, 4, 1}).Count(), 24);
  EXPECT_EQ(Strided(DType::kFloat, {}, {}).Count(), 1);
  EXPECT_EQ(Strided(DType::kFloat, {2, 0}, {0, 1}).Count(), 0);
  EXPECT_TRUE(Strided(DType::kFloat, {2, 3, 4}, {12, 4, 1}).IsContiguous());
  EXPECT_TRUE(Strided(DType::kFloat, {2, 1, 4}, {4, 99, 1}).IsContiguous()) << "one of one";
  EXPECT_FALSE(Strided(DType::kFloat, {2, 3}, {1, 2}).IsContiguous());
  EXPECT_FALSE(Strided(DType::kFloat, {2, 3}, {4, 1}).IsContiguous());
  EXPECT_EQ(Strided(DType::kHalf, {2, 3}, {3, 1}).Text(), "float16 [2, 3]");
  EXPECT_EQ(Strided(DType::kHalf, {}, {}).Text(), "float16 []");
}

TEST(View, ReshapedIsDenseAndHasALimit) {
  const View dense = Strided(DType::kFloat, {2, 6}, {6, 1});
  const View cube = Reshaped(dense, {2, 3, 2});
  EXPECT_THAT(cube.Shape(), ElementsAre(2, 3, 2));
  EXPECT_EQ(cube.Stride(0), 6);
  EXPECT_EQ(cube.Stride(1), 2);
  EXPECT_EQ(cube.Stride(2), 1);
  EXPECT_EQ(ErrorOf([&] { Reshaped(dense, std::vector<int64_t>(9, 1)); }),
            "161002 float32 [2, 6] cannot have 9 dimensions, the limit is 8");
}

TEST(View, ExpandedRepeatsThroughStridesOfZero) {
  const View row = Strided(DType::kHalf, {3}, {2});
  const View column = Strided(DType::kHalf, {2, 1}, {5, 1});
  const View like = Strided(DType::kFloat, {2, 3}, {3, 1});
  const View rows = Expanded(row, like, "'x'");
  EXPECT_EQ(rows.Text(), "float16 [2, 3]");
  EXPECT_EQ(rows.Stride(0), 0);
  EXPECT_EQ(rows.Stride(1), 2);
  const View columns = Expanded(column, like, "'x'");
  EXPECT_EQ(columns.Stride(0), 5);
  EXPECT_EQ(columns.Stride(1), 0);
  EXPECT_EQ(ErrorOf([&] { Expanded(like, row, "'x'"); }),
            "161002 'x' float32 [2, 3] cannot be broadcast to the shape of float16 [3]");
}

TEST(View, EveryElementLiesInOneAllocation) {
  const DeviceTensor x(DType::kFloat, {4}, {1, 2, 3, 4});
  View view = x.view();
  EXPECT_NE(view.Host(), nullptr);
  EXPECT_EQ(*reinterpret_cast<const float*>(view.Host()), 1.0F);
  view.offset = 1;
  EXPECT_THAT(ErrorOf([&] { view.Host(); }), HasSubstr("161002 "));
  view.dims[0] = 3;
  EXPECT_EQ(*reinterpret_cast<const float*>(view.Host()), 2.0F);
  view.strides[0] = 2;
  EXPECT_THAT(ErrorOf([&] { view.Host(); }), HasSubstr("161002 "));
  view.dims[0] = 0;
  EXPECT_EQ(view.Host(), nullptr) << "no element has an address";
}

TEST(View, AccessIsWhereItsElementsAre) {
  const DeviceTensor x(DType::kHalf, {2, 2}, {3, 1}, 1, {0, 1, 2, 3, 4, 5});
  const softnpu_access access = x.view().Access("x", SOFTNPU_READS);
  EXPECT_EQ(access.address, static_cast<const std::byte*>(x.view().data) + 2);
  EXPECT_EQ(access.element_bytes, 2);
  EXPECT_EQ(access.rank, 2u);
  EXPECT_EQ(access.dims[1], 2);
  EXPECT_EQ(access.strides[0], 3);
  EXPECT_STREQ(access.name, "x");
}

TEST(View, KeepsTheAccountOfItsElements) {
  const DeviceTensor x(DType::kFloat, {2, 3});
  View column = Reshaped(x.view(), {2, 1});
  column.strides[0] = 3;
  column.offset = 1;
  EXPECT_FALSE(column.IsWritten());
  column.MarkWritten();
  EXPECT_TRUE(column.IsWritten());
  EXPECT_EQ(x.Written(), ".w..w.");
  column.CheckWritten("column");
  EXPECT_THAT(ErrorOf([&] { x.view().CheckWritten("x"); }),
              ::testing::StartsWith("507015 'x' is read where nobody has written: "));
  column.MarkWritten(false);
  EXPECT_EQ(x.Written(), "......");
}

TEST(View, IsRefusedWithTheSentenceOfItsOwnThread) {
  const DeviceTensor x(DType::kFloat, {2});
  View host = x.view();
  float value = 0;
  host.data = &value;
  std::atomic<bool> done{false};
  std::thread other([&done] {
    aclrtSetDevice(0);
    while (!done) softnpu_report(1, "a sentence of another thread");
  });
  std::string odd;
  for (int i = 0; i < 50000 && odd.empty(); ++i) {
    const std::string unwritten = ErrorOf([&] { x.view().CheckWritten("x"); });
    const std::string elsewhere = ErrorOf([&] { host.Host(); });
    if (unwritten.find("'x' is read where nobody has written") == std::string::npos)
      odd = unwritten;
    if (elsewhere.find("is host memory") == std::string::npos) odd = elsewhere;
  }
  done = true;
  other.join();
  EXPECT_EQ(odd, "");
}

TEST(View, IsSameOnlyInEveryField) {
  const DeviceTensor x(DType::kFloat, {2, 2}, {1, 2, 3, 4});
  View other = x.view();
  EXPECT_TRUE(x.view().IsSame(other));
  std::swap(other.strides[0], other.strides[1]);
  EXPECT_FALSE(x.view().IsSame(other));
  other = x.view();
  other.offset = 1;
  EXPECT_FALSE(x.view().IsSame(other));
}

TEST(Handles, ATensorIsAStridedView) {
  const std::array<int64_t, 2> dims = {2, 3};
  const std::array<int64_t, 2> strides = {1, 2};
  int storage = 0;
  const Tensor* const tensor = aclCreateTensor(dims.data(), 2, static_cast<int32_t>(DType::kInt32),
                                               strides.data(), 7, 30, nullptr, 0, &storage);
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->view.Text(), "int32 [2, 3]");
  EXPECT_EQ(tensor->view.Stride(1), 2);
  EXPECT_EQ(tensor->view.offset, 7);
  EXPECT_EQ(tensor->view.data, &storage);
  EXPECT_EQ(tensor->format, 30);
  EXPECT_EQ(aclDestroyTensor(tensor), 0);
  EXPECT_EQ(aclDestroyTensor(nullptr), 0);
}

TEST(Handles, WithoutStridesATensorIsDense) {
  const std::array<int64_t, 2> dims = {2, 3};
  const std::unique_ptr<const Tensor> tensor(
      aclCreateTensor(dims.data(), 2, 0, nullptr, 0, kFormatNd, nullptr, 0, nullptr));
  EXPECT_TRUE(tensor->view.IsContiguous());
}

TEST(Handles, ATensorOfTooManyDimensionsKeepsThem) {
  const std::array<int64_t, 9> dims = {1, 2, 1, 1, 1, 1, 1, 1, 3};
  const std::unique_ptr<const Tensor> tensor(
      aclCreateTensor(dims.data(), 9, 0, nullptr, 0, kFormatNd, nullptr, 0, nullptr));
  EXPECT_THAT(tensor->excess_dims, ::testing::ElementsAreArray(dims));
}

TEST(Handles, AScalarHasBothForms) {
  const float real = -2.75F;
  const std::unique_ptr<const Scalar> floating(
      aclCreateScalar(&real, static_cast<int32_t>(DType::kFloat)));
  EXPECT_EQ(floating->real, -2.75);
  EXPECT_EQ(floating->integer, -2);
  EXPECT_TRUE(floating->floating());
  const uint8_t byte = 200;
  const std::unique_ptr<const Scalar> whole(
      aclCreateScalar(&byte, static_cast<int32_t>(DType::kUint8)));
  EXPECT_EQ(whole->real, 200);
  EXPECT_EQ(whole->integer, 200);
  EXPECT_FALSE(whole->floating());
}

TEST(Handles, AScalarSaturatesAsAnInteger) {
  for (const auto& [value, integer] :
       {std::pair{1e300, std::numeric_limits<int64_t>::max() - 1023},
        std::pair{-kInfinity, std::numeric_limits<int64_t>::min()}, std::pair{kNan, int64_t{0}}}) {
    const std::unique_ptr<const Scalar> scalar(
        aclCreateScalar(&value, static_cast<int32_t>(DType::kDouble)));
    EXPECT_EQ(scalar->integer, integer) << value;
  }
}

TEST(Handles, BadScalarsGiveNullAndASentence) {
  const uint16_t half = 0;
  EXPECT_EQ(aclCreateScalar(&half, static_cast<int32_t>(DType::kHalf)), nullptr);
  EXPECT_STREQ(softnpu_message(), "SoftNPU: aclCreateScalar: no scalar of dtype 1 (float16)");
  EXPECT_EQ(aclCreateScalar(nullptr, 0), nullptr);
  EXPECT_STREQ(softnpu_message(), "SoftNPU: aclCreateScalar: 1 values, but their address is null");
}

TEST(Handles, Arrays) {
  const std::array<int64_t, 3> integers = {4, -5, 6};
  const IntArray* const array = aclCreateIntArray(integers.data(), 3);
  uint64_t count = 0;
  EXPECT_EQ(aclGetIntArraySize(array, &count), 0);
  EXPECT_EQ(count, 3u);
  EXPECT_THAT(array->values, ElementsAre(4, -5, 6));
  EXPECT_EQ(aclDestroyIntArray(array), 0);
  EXPECT_EQ(aclGetIntArraySize(nullptr, &count), kAclnnNullptr);
  EXPECT_STREQ(softnpu_message(), "SoftNPU: aclGetIntArraySize: an argument is null");

  const std::array<float, 2> reals = {0.5F, -1};
  const FloatArray* const floats = aclCreateFloatArray(reals.data(), 2);
  EXPECT_THAT(floats->values, ElementsAre(0.5F, -1));
  EXPECT_EQ(aclDestroyFloatArray(floats), 0);
  const std::array<uint8_t, 2> truth = {1, 0};
  const BoolArray* const bools = aclCreateBoolArray(truth.data(), 2);
  EXPECT_THAT(bools->values, ElementsAre(1, 0));
  EXPECT_EQ(aclDestroyBoolArray(bools), 0);
  const IntArray* const empty = aclCreateIntArray(nullptr, 0);
  EXPECT_THAT(empty->values, IsEmpty());
  EXPECT_EQ(aclDestroyIntArray(empty), 0);
}

TEST(Handles, AnArrayNeedsItsValuesAndALimit) {
  EXPECT_EQ(aclCreateIntArray(nullptr, 2), nullptr);
  EXPECT_STREQ(softnpu_message(),
               "SoftNPU: aclCreateIntArray: 2 values, but their address is null");
  const int64_t value = 0;
  EXPECT_EQ(aclCreateIntArray(&value, (uint64_t{1} << 32) + 1), nullptr);
  EXPECT_STREQ(softnpu_message(),
               "SoftNPU: aclCreateIntArray: 4294967297 values, the limit is 4294967296");
}

// The list destroys its members: a leak or a second destruction shows under AddressSanitizer.
TEST(Handles, AListOwnsItsMembers) {
  const double value = 1;
  Scalar* const scalar = aclCreateScalar(&value, static_cast<int32_t>(DType::kDouble));
  const ScalarList* const list = aclCreateScalarList(&scalar, 1);
  EXPECT_THAT(list->scalars, ElementsAre(scalar));
  EXPECT_EQ(aclDestroyScalarList(list), 0);
  EXPECT_EQ(aclDestroyScalarList(nullptr), 0);
}

TEST(Handles, TheShapeOfAView) {
  const DeviceTensor x(DType::kFloat, {2, 3});
  int64_t* dims = nullptr;
  uint64_t rank = 0;
  ASSERT_EQ(aclGetViewShape(x, &dims, &rank), 0);
  const std::unique_ptr<int64_t[]> owned(dims);
  EXPECT_EQ(rank, 2u);
  EXPECT_THAT(std::vector<int64_t>(dims, dims + rank), ElementsAre(2, 3));
  EXPECT_EQ(aclGetViewShape(x, nullptr, &rank), kAclnnNullptr);
  EXPECT_STREQ(softnpu_message(), "SoftNPU: aclGetViewShape: an argument is null");
}

}  // namespace
}  // namespace softnpu
