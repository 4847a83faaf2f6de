// cc/softnpu/opapi/unsupported_test.cc: operators that CANN has and SoftNPU does not compute.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cc/softnpu/runtime/acl_abi.h"
#include "tests/softnpu/aclnn.h"

namespace softnpu {

ACLNN_DECLARE(ConfusionTranspose, const Tensor*, const IntArray*, Tensor*)  // reads none of them
ACLNN_DECLARE(InplaceZero, Tensor*)

namespace {

constexpr const char* kSentence =
    "aclnnConfusionTranspose: SoftNPU does not implement this operator";

TEST(Unsupported, RefusesByName) {
  const DeviceTensor x(DType::kFloat, {1, 1, 2, 2}, {1, 2, 3, 4});
  const HostInts size({1, 1});
  const DeviceTensor out(DType::kFloat, {1, 1, 1, 1});
  EXPECT_EQ(CALL(ConfusionTranspose, x, size, out).result,
            std::string("refused 561103: ") + kSentence);
  EXPECT_EQ(out.Written(), ".");
}

// torch_npu with a task queue tells of the refusal once and goes on, so that what comes behind it
// must not compute with results that nobody made.
TEST(Unsupported, PutsTheDeviceIntoError) {
  const DeviceTensor x(DType::kFloat, {1});
  uint64_t workspace_bytes = 0;
  Executor* executor = nullptr;
  ASSERT_EQ(aclnnConfusionTransposeGetWorkspaceSize(x, nullptr, x, &workspace_bytes, &executor),
            kAclnnNotImplemented);
  EXPECT_EQ(aclrtSynchronizeDevice(), kAclnnNotImplemented);
  EXPECT_EQ(softnpu_message(),
            std::string(kMessagePrefix) + "aclrtSynchronizeDevice: " + kSentence);
  ASSERT_EQ(aclrtResetDevice(0), 0);
  ASSERT_EQ(aclrtSetDevice(0), 0);
  EXPECT_EQ(CALL(InplaceZero, x).result, "ran");
}

TEST(Unsupported, TheSecondPhaseRefusesToo) {
  const DeviceTensor x(DType::kFloat, {1});
  EXPECT_EQ(aclnnConfusionTranspose(nullptr, 0, nullptr, nullptr), kAclnnNotImplemented);
  EXPECT_EQ(softnpu_message(), std::string(kMessagePrefix) + kSentence);
  ASSERT_EQ(aclrtResetDevice(0), 0);
}

// An operator that SoftNPU has stands in the manifest too: the definition that computes is linked.
TEST(Unsupported, AWrittenOperatorTakesThePlaceOfItsRefusal) {
  const DeviceTensor x(DType::kFloat, {2});
  ASSERT_EQ(CALL(InplaceZero, x).result, "ran");
  EXPECT_THAT(x.Values(), ::testing::Each(0));
}

}  // namespace
}  // namespace softnpu
