// cc/softnpu/opapi/tensor.h: the objects behind aclTensor, aclScalar and the list handles.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/runtime/internal.h"

namespace softnpu {

// aclDataType, the values that operators here know.
enum class DType : int32_t {
  kFloat = 0,
  kHalf = 1,
  kInt8 = 2,
  kInt32 = 3,
  kUint8 = 4,
  kInt16 = 6,
  kInt64 = 9,
  kDouble = 11,
  kBool = 12,
  kBfloat16 = 27,
};

const char* Name(DType dtype);
// Bytes of an element. Throws Error 161002 for a dtype that is not in the list above.
int64_t Size(DType dtype);
inline bool IsFloating(DType d) {
  return d == DType::kFloat || d == DType::kHalf || d == DType::kBfloat16 || d == DType::kDouble;
}

constexpr int kMaxRank = 8;
constexpr int32_t kFormatNd = 2;

// A strided view of device memory. A value, not a handle: it outlives the aclTensor.
// For messages: what `%lld` takes.
inline long long Long(int64_t value) { return static_cast<long long>(value); }

struct View {
  void* data = nullptr;  // device address of the storage
  int64_t offset = 0;    // elements
  DType dtype = DType::kFloat;
  int rank = 0;
  std::array<int64_t, kMaxRank> dims = {};
  std::array<int64_t, kMaxRank> strides = {};  // elements, not negative

  int64_t Count() const;
  int64_t Dim(int index) const { return dims[static_cast<size_t>(index)]; }
  int64_t Stride(int index) const { return strides[static_cast<size_t>(index)]; }
  bool IsContiguous() const;
  std::vector<int64_t> Shape() const { return {dims.begin(), dims.begin() + rank}; }
  // Host address of element 0, after a check that every element lies in one live allocation.
  std::byte* Host() const;
  std::string Text() const;  // "float16 [2, 3]"
  // The elements as the runtime counts them; `mode` is made of SOFTNPU_READS and SOFTNPU_WRITES.
  softnpu_access Access(const char* name, uint32_t mode) const;
  // Throws Error 507015 naming the argument unless somebody has written every element.
  void CheckWritten(const char* name) const;
  bool IsWritten() const;
  // Whether both are the same elements of the same memory, in the same order.
  bool IsSame(const View& other) const;
  // Notes that every element is written now, or that none is.
  void MarkWritten(bool written = true) const;
};

// The same memory with another shape, dense; `view` has to be contiguous.
// Throws Error 161002 for more than kMaxRank dimensions.
View Reshaped(const View& view, const std::vector<int64_t>& dims);
// The elements [begin, begin + count) of one dimension.
View Narrowed(const View& view, int dim, int64_t begin, int64_t count);
// `view` seen with the shape of `like`, by the rules of broadcasting.
// Throws Error 161002 naming `what` when the shapes do not fit.
View Expanded(const View& view, const View& like, const char* what);

struct Tensor {
  View view;
  int32_t format = kFormatNd;
  // The shape of a tensor of more than kMaxRank dimensions, which every operator refuses; `view` is
  // of no use then. Empty otherwise.
  std::vector<int64_t> excess_dims;
};

struct Scalar {
  DType dtype = DType::kDouble;
  double real = 0;
  int64_t integer = 0;

  bool floating() const { return IsFloating(dtype); }
};

struct IntArray {
  std::vector<int64_t> values;
};
struct FloatArray {
  std::vector<float> values;
};
struct BoolArray {
  std::vector<uint8_t> values;
};
struct TensorList {
  std::vector<Tensor*> tensors;
};
struct ScalarList {
  std::vector<Scalar*> scalars;
};

}  // namespace softnpu
