// cc/softnpu/opapi/collective_ops_test.cc: what operators with a collective refuse. Sums over ranks
// are in tests/softnpu/collectives_test.py: they need several devices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "cc/softnpu/runtime/acl_abi.h"
#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(MatmulAllReduce, const Tensor*, const Tensor*, const Tensor*, const char*,
              const char*, int64_t, int64_t, const Tensor*)
ACLNN_DECLARE(MatmulAllReduceV2, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const char*, const char*, int64_t, int64_t, const Tensor*)
ACLNN_DECLARE(MatmulAllReduceV3, const Tensor*, const Tensor*, const Tensor*, const Tensor*,
              const char*, const char*, const char*, int64_t, int64_t, const Tensor*)

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Tensor* const kNone = nullptr;

// Groups of 2 and of 3 ranks; the others have zeros, so that a sum is what this one has.
uint32_t Ranks(const char* group) {
  return std::strcmp(group, "two") == 0 ? 2 : std::strcmp(group, "three") == 0 ? 3 : 0;
}

bool g_fails = false;
std::vector<std::string> g_told;  // the other ranks of "two"

void GiveUp(const char* group, const char* why) {
  EXPECT_STREQ(group, "two");
  g_told.emplace_back(why);
}

int32_t Sum(const char* group, void* buffer, uint64_t count, int32_t dtype, void*) {
  EXPECT_STREQ(group, "two");
  EXPECT_EQ(count, 2);
  EXPECT_EQ(dtype, static_cast<int32_t>(DType::kHalf));
  EXPECT_NE(buffer, nullptr);
  return g_fails ? softnpu_report(1, "the links are down") : kOk;
}

class MatmulAllReduce : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    static constexpr softnpu_groups kGroups{Ranks, Sum, nullptr, nullptr, nullptr, GiveUp};
    softnpu_offer_groups(&kGroups);
  }

  void SetUp() override { g_told.clear(); }

  // The second phase is still to come.
  Executor* Prepared() const {
    uint64_t bytes = 0;
    Executor* executor = nullptr;
    EXPECT_EQ(aclnnMatmulAllReduceV3GetWorkspaceSize(x1_, x2_, kNone, kNone, "two", "sum", "", 0, 1,
                                                     out_, &bytes, &executor),
              kOk);
    return executor;
  }

  std::string Error(const DeviceTensor& x1, const DeviceTensor& x2, const DeviceTensor& out,
                    const char* group = "two", const char* reduction = "sum",
                    const char* mode = "aiv", int64_t turn = 0, int64_t stream = 1) {
    return CALL(MatmulAllReduceV3, x1, x2, kNone, kNone, group, reduction, mode, turn, stream, out)
        .result;
  }

  const DeviceTensor x1_{DType::kHalf, {1, 2}, {3, 4}};
  const DeviceTensor x2_{DType::kHalf, {2, 2}, {1, 0, 0, 2}};
  const DeviceTensor out_{DType::kHalf, {1, 2}};
};

TEST_F(MatmulAllReduce, MultipliesAndAddsBeforeItSums) {
  const DeviceTensor bias(DType::kHalf, {2}, {10, 20});
  const DeviceTensor x3(DType::kHalf, {1, 2}, {100, 200});
  const Outcome outcome =
      CALL(MatmulAllReduceV3, x1_, x2_, bias, x3, "two", "sum", nullptr, 0, 1, out_);
  ASSERT_EQ(outcome.result, "ran");
  EXPECT_THAT(out_.Values(), ElementsAre(113, 228));
  ASSERT_EQ(CALL(MatmulAllReduceV2, x1_, x2_, kNone, x3, "two", "sum", 0, 1, out_).result, "ran");
  EXPECT_THAT(out_.Values(), ElementsAre(103, 208));
  ASSERT_EQ(CALL(MatmulAllReduce, x1_, x2_, bias, "two", "sum", 0, 1, out_).result, "ran");
  EXPECT_THAT(out_.Values(), ElementsAre(13, 28));
}

TEST_F(MatmulAllReduce, PutsTheDeviceIntoErrorWhenNobodySums) {
  Executor* const executor = Prepared();
  g_fails = true;
  EXPECT_EQ(aclnnMatmulAllReduceV3(nullptr, 0, executor, nullptr), 1);
  g_fails = false;
  EXPECT_EQ(aclrtSynchronizeStream(nullptr), 1);
  EXPECT_THAT(softnpu_message(), HasSubstr("the links are down"));
  EXPECT_THAT(g_told, ElementsAre("the links are down"));
  ASSERT_EQ(aclrtResetDevice(0), kOk);
  ASSERT_EQ(aclrtSetDevice(0), kOk);
}

TEST_F(MatmulAllReduce, TellsTheOthersOfADeviceThatTakesNoProduct) {
  Executor* const executor = Prepared();
  softnpu_fail(kAicoreException, "an earlier operator has failed");
  EXPECT_EQ(aclnnMatmulAllReduceV3(nullptr, 0, executor, nullptr), kAicoreException);
  EXPECT_THAT(softnpu_message(), HasSubstr("an earlier operator has failed"));
  EXPECT_THAT(g_told, ElementsAre(HasSubstr("an earlier operator has failed")));
  ASSERT_EQ(aclrtResetDevice(0), kOk);
  ASSERT_EQ(aclrtSetDevice(0), kOk);
}

TEST_F(MatmulAllReduce, RefusesByName) {
  EXPECT_THAT(Error(x1_, x2_, out_, "four"), HasSubstr("no communicator of that name"));
  EXPECT_THAT(Error(x1_, x2_, out_, "three"), HasSubstr("of 3 ranks; it must have 1, 2, 4 or 8"));
  EXPECT_THAT(Error(x1_, x2_, out_, "two", "max"), HasSubstr("'reduceOp' is 'max'"));
  EXPECT_THAT(Error(x1_, x2_, out_, "two", "sum", "fast"), HasSubstr("'commMode' is 'fast'"));
  EXPECT_THAT(Error(x1_, x2_, out_, "two", "sum", "", 1), HasSubstr("'commTurn' is 1; it must"));
  EXPECT_THAT(Error(x1_, x2_, out_, "two", "sum", "", 0, 0), HasSubstr("'streamMode' is 0"));
  EXPECT_THAT(Error(DeviceTensor(DType::kFloat, {1, 2}, {3, 4}), x2_, out_),
              HasSubstr("it must be float16 or bfloat16, contiguous, of 2 or 3 dimensions"));
  EXPECT_THAT(Error(x1_, DeviceTensor(DType::kBfloat16, {2, 2}, {1, 0, 0, 2}), out_),
              HasSubstr("both must have one type"));
  EXPECT_THAT(Error(x1_, DeviceTensor(DType::kHalf, {1, 2}, {1, 0}), out_),
              HasSubstr("the first as the last of 'x1'"));
  EXPECT_THAT(Error(x1_, x2_, DeviceTensor(DType::kHalf, {2, 2})),
              HasSubstr("it must have the rows of the one"));
}

}  // namespace
}  // namespace softnpu
