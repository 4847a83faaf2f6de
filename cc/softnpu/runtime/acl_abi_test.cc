// cc/softnpu/runtime/acl_abi_test.cc: each exported function has the C ABI that the ACL headers in
// the torch_npu wheel declare. The headers are for this comparison only; no product file includes
// them.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "acl/acl.h"
#include "acl/acl_mdl.h"
#include "acl/acl_op_compiler.h"
#include "cc/softnpu/ascendc/include/acl/acl_lists.h"
#include "cc/softnpu/base/testing/same_function.h"
#include "cc/softnpu/runtime/event_handle.h"

namespace softnpu {
namespace {

TEST(AclAbi, TheComparisonSeesDifferences) {
  EXPECT_TRUE((SameFunction<int32_t(void*, size_t), aclError(aclrtStream, uint64_t)>::value));
  EXPECT_FALSE((SameFunction<int32_t(void*, size_t), aclError(aclrtStream, uint32_t)>::value));
  EXPECT_FALSE((SameFunction<int32_t(void*), aclError(aclrtStream, uint64_t)>::value));
  EXPECT_FALSE((SameFunction<void(float), void(double)>::value));
  EXPECT_FALSE((SameFunction<void(int64_t), void(void*)>::value));
}

TEST(AclAbi, EveryFunctionIsThatOfTheHeaders) {
#define SOFTNPU_ACL(result, name, parameters) \
  EXPECT_TRUE((SameFunction<result parameters, decltype(::name)>::value)) << #name;
#include "cc/softnpu/runtime/acl_functions.inc"
#undef SOFTNPU_ACL
}

// What host programs are compiled against.
TEST(AclAbi, TheHeaderOfHostProgramsHasTheFunctionsOfTheHeaders) {
#define SOFTNPU_ACL_FUNCTION(result, name, parameters) \
  EXPECT_TRUE((SameFunction<result parameters, decltype(::name)>::value)) << #name;
  SOFTNPU_ACL_FUNCTIONS(SOFTNPU_ACL_FUNCTION)
#undef SOFTNPU_ACL_FUNCTION
}

TEST(AclAbi, TheHeaderOfHostProgramsHasTheNumbersOfTheHeaders) {
#define SOFTNPU_ACL_NUMBER(name, value) EXPECT_EQ(static_cast<int64_t>(name), value) << #name;
  SOFTNPU_ACL_DATA_TYPES(SOFTNPU_ACL_NUMBER)
  SOFTNPU_ACL_MALLOC_POLICIES(SOFTNPU_ACL_NUMBER)
  SOFTNPU_ACL_COPY_KINDS(SOFTNPU_ACL_NUMBER)
  SOFTNPU_ACL_MEMORY_KINDS(SOFTNPU_ACL_NUMBER)
  SOFTNPU_ACL_RUN_MODES(SOFTNPU_ACL_NUMBER)
  SOFTNPU_ACL_EVENT_STATES(SOFTNPU_ACL_NUMBER)
  SOFTNPU_ACL_STREAM_STATES(SOFTNPU_ACL_NUMBER)
  SOFTNPU_ACL_CODES(SOFTNPU_ACL_NUMBER)
  SOFTNPU_ACL_FLAGS(SOFTNPU_ACL_NUMBER)
#undef SOFTNPU_ACL_NUMBER
}

TEST(AclAbi, SoftNpuExportsTheFunctionsOfHostPrograms) {
  const std::set<std::string> exported = {
#define SOFTNPU_ACL(result, name, parameters) #name,
#include "cc/softnpu/runtime/acl_functions.inc"
#undef SOFTNPU_ACL
  };
#define SOFTNPU_ACL_FUNCTION(result, name, parameters) EXPECT_EQ(exported.count(#name), 1) << #name;
  SOFTNPU_ACL_FUNCTIONS(SOFTNPU_ACL_FUNCTION)
#undef SOFTNPU_ACL_FUNCTION
}

}  // namespace
}  // namespace softnpu
