// cc/softnpu/opapi/operator_test.cc: the two phases of an operator, with operators of the test.
#include "cc/softnpu/opapi/operator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "tests/softnpu/aclnn.h"

namespace softnpu {

extern "C" Tensor* aclCreateTensor(const int64_t*, uint64_t, int32_t, const int64_t*, int64_t,
                                   int32_t, const int64_t*, uint64_t, void*);

namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

// Both phases of an operator that this closure prepares.
Outcome RunPlan(const std::function<void(Plan&)>& prepare) {
  uint64_t workspace_bytes = 1;
  Executor* executor = nullptr;
  const int32_t code = Prepare("aclnnOfTheTest", &workspace_bytes, &executor, prepare);
  EXPECT_EQ(executor == nullptr, code != 0);
  if (code == 0) EXPECT_EQ(workspace_bytes, 0u);
  const auto execute = [](void*, uint64_t, Executor* made, void* stream) {
    return Execute(made, stream);
  };
  return Finish(code, workspace_bytes, executor, execute);
}

TEST(Plan, NotesHowItsTensorsAreUsed) {
  const DeviceTensor x(DType::kHalf, {2}, {1, 2});
  const DeviceTensors list({&x, &x});
  bool has_run = false;
  const Outcome outcome = RunPlan([&](Plan& plan) {
    plan.Get(x, "in");
    plan.Out(x, "out");
    plan.InOut(x, "both");
    plan.Some(x, "some");
    plan.Get(list, "list");
    plan.run = [&] { has_run = true; };
  });
  EXPECT_EQ(outcome.result, "ran");
  EXPECT_TRUE(has_run);
  EXPECT_THAT(outcome.accesses,
              ElementsAre("in reads [2]", "out writes [2]", "both reads writes [2]",
                          "some some [2]", "list reads [2]", "list reads [2]"));
}

TEST(Plan, WhatIsWrittenIsSoAfterTheRun) {
  const DeviceTensor x(DType::kHalf, {2});
  const DeviceTensor y(DType::kHalf, {2});
  EXPECT_EQ(RunPlan([&](Plan& plan) {
              plan.Out(x, "out");
              plan.Some(y, "some");
              plan.run = [&] { EXPECT_EQ(x.Written(), ".."); };
            }).result,
            "ran");
  EXPECT_EQ(x.Written(), "ww");
  EXPECT_EQ(y.Written(), "..") << "an operator marks itself what it writes of these";
}

TEST(Plan, WhatIsReadHasToBeWritten) {
  const DeviceTensor x(DType::kHalf, {2});
  bool has_run = false;
  const auto reads = [&](View (Plan::*how)(const Tensor*, const char*) const) {
    return RunPlan([&](Plan& plan) {
             (plan.*how)(x, "x");
             plan.run = [&] { has_run = true; };
           })
        .result;
  };
  EXPECT_THAT(reads(&Plan::Get),
              StartsWith("failed 507015: aclnnOfTheTest: 'x' is read where nobody has written: "));
  EXPECT_THAT(reads(&Plan::InOut),
              StartsWith("failed 507015: aclnnOfTheTest: 'x' is read where nobody has written: "));
  EXPECT_FALSE(has_run);
}

TEST(Plan, RefusesTensorsByName) {
  const DeviceTensor x(DType::kHalf, {2}, {1, 2});
  const auto get = [](const Tensor* tensor) {
    return RunPlan([&](Plan& plan) {
             plan.Get(tensor, "x");
             plan.run = [] {};
           })
        .result;
  };
  EXPECT_EQ(get(nullptr), "refused 161001: aclnnOfTheTest: the argument 'x' is null");

  const std::unique_ptr<Tensor> changed(x.NewHandle());
  changed->format = 29;
  EXPECT_EQ(
      get(changed.get()),
      "refused 161002: aclnnOfTheTest: 'x' has the private format 29; SoftNPU has no operator "
      "for other formats than ND");
  for (const int32_t dense : {0, 1, 2, 30, 47}) {
    changed->format = dense;
    EXPECT_EQ(get(changed.get()), "ran") << dense;
  }
  changed->view.dtype = static_cast<DType>(16);
  EXPECT_EQ(get(changed.get()),
            "refused 161002: aclnnOfTheTest: the dtype 16 is none that SoftNPU has");

  const std::vector<int64_t> dims(9, 1);
  const std::unique_ptr<Tensor> deep(
      aclCreateTensor(dims.data(), 9, 1, nullptr, 0, kFormatNd, nullptr, 0, x.view().data));
  EXPECT_EQ(get(deep.get()),
            "refused 161002: aclnnOfTheTest: 'x' has 9 dimensions, the limit is 8");

  const std::unique_ptr<Tensor> beyond(x.NewHandle());
  beyond->view.dims[0] = 1000;
  EXPECT_THAT(get(beyond.get()), StartsWith("refused 161002: aclnnOfTheTest: "));
}

// The handles may be gone when the operator runs.
TEST(Plan, AViewOutlivesItsHandle) {
  const DeviceTensor x(DType::kFloat, {2}, {1, 2});
  Tensor* const handle = x.NewHandle();
  const float* first = nullptr;
  EXPECT_EQ(RunPlan([&](Plan& plan) {
              const View view = plan.Get(handle, "x");
              delete handle;
              plan.run = [view, &first] { first = reinterpret_cast<const float*>(view.Host()); };
            }).result,
            "ran");
  EXPECT_EQ(first[1], 2);
}

TEST(Phases, ErrorsBecomeCodesWithTheOperatorsName) {
  EXPECT_EQ(RunPlan([](Plan&) { throw Error(kAclnnTiling, "no"); }).result,
            "refused 561002: aclnnOfTheTest: no");
  EXPECT_EQ(RunPlan([](Plan&) { throw std::bad_alloc(); }).result,
            "refused 561002: aclnnOfTheTest: std::bad_alloc");
  EXPECT_EQ(RunPlan([](Plan&) { throw 1; }).result, "refused 561002: aclnnOfTheTest");
  const auto failing = [](auto thrown) {
    return RunPlan([=](Plan& plan) { plan.run = [=] { throw thrown; }; }).result;
  };
  EXPECT_EQ(failing(Error(kAclnnInvalid, "no")), "failed 161002: aclnnOfTheTest: no");
  EXPECT_EQ(failing(std::runtime_error("no")), "failed 507015: aclnnOfTheTest: no");
  EXPECT_EQ(failing(1), "failed 507015: aclnnOfTheTest");
}

TEST(Phases, NeedTheirAddresses) {
  uint64_t workspace_bytes = 0;
  Executor* executor = nullptr;
  const auto nothing = [](Plan& plan) { plan.run = [] {}; };
  EXPECT_EQ(Prepare("aclnnOfTheTest", nullptr, &executor, nothing), kAclnnNullptr);
  EXPECT_EQ(Prepare("aclnnOfTheTest", &workspace_bytes, nullptr, nothing), kAclnnNullptr);
  EXPECT_STREQ(softnpu_message(),
               "SoftNPU: aclnnOfTheTest: the address for the workspace's size or the executor is "
               "null");
  EXPECT_EQ(Execute(nullptr, nullptr), kAclnnNullptr);
  EXPECT_STREQ(softnpu_message(), "SoftNPU: an operator was run without an executor");
}

}  // namespace
}  // namespace softnpu
