// cc/softnpu/opapi/index.h: what operators with an index tensor share.
#pragma once

#include <string>

#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {

// Throws Error 161002 unless `index` is int32 or int64.
inline void CheckIndexType(const View& index, const char* name) {
  if (index.dtype != DType::kInt64 && index.dtype != DType::kInt32) {
    throw Error(kAclnnInvalid,
                std::string("'") + name + "' is " + index.Text() + ", it must be int32 or int64");
  }
}

// An int64 tensor with the values of `index`.
inline AtenTensor ToIndex(const View& index) {
  return Aten("aten::to", "dtype", ToAten(index), torch::headeronly::ScalarType::Long, false, false,
              std::nullopt)[0];
}

// `dim` counted from the front. Throws Error 161002 outside of [-rank, rank), or [-1, 1) for rank
// 0.
inline int Positive(const View& view, int64_t dim) {
  const int64_t rank = std::max(view.rank, 1);
  if (dim < -rank || dim >= rank) {
    throw Error(kAclnnInvalid,
                Format("dimension %lld of %s", static_cast<long long>(dim), view.Text().c_str()));
  }
  return static_cast<int>(dim < 0 ? dim + rank : dim);
}

// The values of an index of any shape, in order. O(elements).
std::vector<int64_t> IndexValues(const View& index);

// Throws Error 507015 naming the index, its value, the position and the limit.
[[noreturn]] void ThrowOutside(const std::string& name, int64_t value, int64_t position,
                               int64_t limit);

}  // namespace softnpu
