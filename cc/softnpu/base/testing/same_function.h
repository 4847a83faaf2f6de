// cc/softnpu/base/testing/same_function.h: whether two functions have one C ABI.
#pragma once

#include <cstddef>
#include <type_traits>

namespace softnpu {

// Passed alike: both pointers, both integers or enumerations of one size, both floating of one
// size, both unions or both structs of one size, or both void.
template <typename A, typename B>
constexpr bool SameValue() {
  using X = std::decay_t<A>;
  using Y = std::decay_t<B>;
  if constexpr (std::is_void_v<X> || std::is_void_v<Y>) {
    return std::is_void_v<X> && std::is_void_v<Y>;
  } else {
    const bool same_kind = (std::is_pointer_v<X> && std::is_pointer_v<Y>) ||
                           (std::is_floating_point_v<X> && std::is_floating_point_v<Y>) ||
                           (std::is_union_v<X> && std::is_union_v<Y>) ||
                           (std::is_class_v<X> && std::is_class_v<Y>) ||
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

}  // namespace softnpu
