// cc/softnpu/runtime/acl_abi_test.cc: each exported function has the C ABI that the ACL headers in
// the torch_npu wheel declare. The headers are for this comparison only; no product file includes
// them.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "acl/acl.h"
#include "acl/acl_mdl.h"
#include "acl/acl_op_compiler.h"

namespace softnpu {
namespace {

// Equal in registers: both pointers, both integers or enumerations of one size, both floating of
// one size, or both void.
template <typename A, typename B>
constexpr bool SameValue() {
  using X = std::decay_t<A>;
  using Y = std::decay_t<B>;
  if constexpr (std::is_void_v<X> || std::is_void_v<Y>) {
    return std::is_void_v<X> && std::is_void_v<Y>;
  } else {
    const bool same_kind = (std::is_pointer_v<X> && std::is_pointer_v<Y>) ||
                           (std::is_floating_point_v<X> && std::is_floating_point_v<Y>) ||
                           ((std::is_integral_v<X> || std::is_enum_v<X>) &&
                            (std::is_integral_v<Y> || std::is_enum_v<Y>));
    return same_kind && sizeof(X) == sizeof(Y);
  }
}

template <typename A, typename B>
struct SameFunction : std::false_type {};
template <typename R, typename... A, typename S, typename... B>
struct SameFunction<R(A...), S(B...)> {
  static constexpr bool value = [] {
    if constexpr (sizeof...(A) == sizeof...(B)) {
      return SameValue<R, S>() && (SameValue<A, B>() && ...);
    } else {
      return false;
    }
  }();
};

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

}  // namespace
}  // namespace softnpu
