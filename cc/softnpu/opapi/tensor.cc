// cc/softnpu/opapi/tensor.cc: views and the create/destroy functions of their handles.
#include "cc/softnpu/opapi/tensor.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "cc/softnpu/opapi/operator.h"

namespace softnpu {

const char* Name(DType dtype) {
  switch (dtype) {
    case DType::kFloat:
      return "float32";
    case DType::kHalf:
      return "float16";
    case DType::kInt8:
      return "int8";
    case DType::kInt32:
      return "int32";
    case DType::kUint8:
      return "uint8";
    case DType::kInt16:
      return "int16";
    case DType::kInt64:
      return "int64";
    case DType::kDouble:
      return "float64";
    case DType::kBool:
      return "bool";
    case DType::kBfloat16:
      return "bfloat16";
  }
  return "a dtype that SoftNPU does not have";
}

int64_t Size(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
    case DType::kUint8:
    case DType::kBool:
      return 1;
    case DType::kHalf:
    case DType::kBfloat16:
    case DType::kInt16:
      return 2;
    case DType::kFloat:
    case DType::kInt32:
      return 4;
    case DType::kInt64:
    case DType::kDouble:
      return 8;
  }
  throw Error(kAclnnInvalid,
              Format("the dtype %d is none that SoftNPU has", static_cast<int32_t>(dtype)));
}

int64_t View::Count() const {
  int64_t count = 1;
  for (int i = 0; i < rank; ++i) count *= Dim(i);
  return count;
}

bool View::IsContiguous() const {
  int64_t expected = 1;
  for (int i = rank - 1; i >= 0; --i) {
    if (Dim(i) != 1 && Stride(i) != expected) return false;
    expected *= Dim(i);
  }
  return true;
}

std::byte* View::Host() const {
  if (Count() == 0) return nullptr;
  int64_t last = 0;
  for (int i = 0; i < rank; ++i) last += (Dim(i) - 1) * Stride(i);
  const int64_t bytes = Size(dtype);
  auto* first = static_cast<std::byte*>(data) + offset * bytes;
  void* host = softnpu_translate(first, static_cast<uint64_t>((last + 1) * bytes));
  if (host == nullptr) throw Error(kAclnnInvalid, softnpu_own_message());
  return static_cast<std::byte*>(host);
}

softnpu_access View::Access(const char* name, uint32_t mode) const {
  softnpu_access access = {};
  access.name = name;
  access.element_bytes = Size(dtype);
  access.address = static_cast<const std::byte*>(data) + offset * access.element_bytes;
  access.rank = static_cast<uint32_t>(rank);
  access.mode = mode;
  std::copy(dims.begin(), dims.end(), access.dims);
  std::copy(strides.begin(), strides.end(), access.strides);
  return access;
}

void View::CheckWritten(const char* name) const {
  const softnpu_access access = Access(name, SOFTNPU_READS);
  if (const int32_t code = softnpu_check_written(&access)) {
    std::string_view sentence = softnpu_own_message();
    // The operator's name comes in its place.
    constexpr std::string_view kPrefix = "operator: ";
    if (sentence.substr(0, kPrefix.size()) == kPrefix) sentence.remove_prefix(kPrefix.size());
    throw Error(code, std::string(sentence));
  }
}

bool View::IsSame(const View& other) const {
  return data == other.data && offset == other.offset && dtype == other.dtype &&
         rank == other.rank && dims == other.dims && strides == other.strides;
}

bool View::IsWritten() const {
  const softnpu_access access = Access("", SOFTNPU_READS);
  return softnpu_is_written(&access) != 0;
}

void View::MarkWritten(bool written) const {
  const softnpu_access access = Access("", SOFTNPU_WRITES);
  softnpu_note_written(&access, written ? 1 : 0);
}

std::string View::Text() const {
  std::string text = std::string(Name(dtype)) + " [";
  for (int i = 0; i < rank; ++i) text += (i == 0 ? "" : ", ") + std::to_string(Dim(i));
  return text + "]";
}

View Narrowed(const View& view, int dim, int64_t begin, int64_t count) {
  View part = view;
  part.offset += begin * view.Stride(dim);
  part.dims[static_cast<size_t>(dim)] = count;
  return part;
}

View Reshaped(const View& view, const std::vector<int64_t>& dims) {
  if (dims.size() > kMaxRank) {
    throw Error(kAclnnInvalid, Format("%s cannot have %zu dimensions, the limit is %d",
                                      view.Text().c_str(), dims.size(), kMaxRank));
  }
  View out = view;
  out.rank = static_cast<int>(dims.size());
  int64_t stride = 1;
  for (int i = out.rank - 1; i >= 0; --i) {
    const auto at = static_cast<size_t>(i);
    out.dims[at] = dims[at];
    out.strides[at] = stride;
    stride *= dims[at];
  }
  return out;
}

View Expanded(const View& view, const View& like, const char* what) {
  View out = like;
  out.data = view.data;
  out.offset = view.offset;
  out.dtype = view.dtype;
  bool fits = view.rank <= like.rank;
  for (int i = 0; i < like.rank && fits; ++i) {
    const auto at = static_cast<size_t>(like.rank - 1 - i);
    if (i >= view.rank) {
      out.strides[at] = 0;
      continue;
    }
    const int64_t dim = view.Dim(view.rank - 1 - i);
    fits = dim == 1 || dim == like.dims[at];
    out.strides[at] = dim == 1 ? 0 : view.Stride(view.rank - 1 - i);
  }
  if (!fits) {
    throw Error(kAclnnInvalid, std::string(what) + " " + view.Text() +
                                   " cannot be broadcast to the shape of " + like.Text());
  }
  return out;
}

namespace {

// What `make` gives; null, with the sentence reported, when it throws.
template <typename Make>
auto Made(const char* function, Make&& make) noexcept -> decltype(make()) {
  try {
    return make();
  } catch (const Error& error) {
    softnpu_report(error.code(), (std::string(function) + ": " + error.what()).c_str());
  } catch (const std::exception& error) {
    softnpu_report(kRtInternal, error.what());
  }
  return nullptr;
}

// Throws Error 161001 for values that are null, 161002 for more than anyone can mean.
template <typename T>
void CheckValues(const T* values, uint64_t count) {
  constexpr uint64_t kMost = uint64_t{1} << 32;
  if (count > 0 && values == nullptr) {
    throw Error(kAclnnNullptr, Format("%llu values, but their address is null",
                                      static_cast<unsigned long long>(count)));
  }
  if (count > kMost) {
    throw Error(kAclnnInvalid,
                Format("%llu values, the limit is %llu", static_cast<unsigned long long>(count),
                       static_cast<unsigned long long>(kMost)));
  }
}

template <typename Array, typename T>
Array* MadeArray(const char* function, const T* values, uint64_t count) {
  return Made(function, [&] {
    CheckValues(values, count);
    return new Array{{values, values + count}};
  });
}

template <typename T>
T Read(const void* value) {
  T out;
  std::memcpy(&out, value, sizeof(out));
  return out;
}

}  // namespace
}  // namespace softnpu

using softnpu::DType;
using softnpu::Scalar;
using softnpu::Tensor;

extern "C" {

SOFTNPU_API Tensor* aclCreateTensor(const int64_t* dims, uint64_t rank, int32_t dtype,
                                    const int64_t* strides, int64_t offset, int32_t format,
                                    const int64_t*, uint64_t, void* data) {
  return softnpu::Made("aclCreateTensor", [&]() -> Tensor* {
    softnpu::CheckValues(dims, rank);
    auto made = std::make_unique<Tensor>();
    Tensor* const tensor = made.get();
    tensor->format = format;
    tensor->view.data = data;
    tensor->view.offset = offset;
    tensor->view.dtype = static_cast<DType>(dtype);
    if (rank > softnpu::kMaxRank) {
      tensor->excess_dims.assign(dims, dims + rank);
      return made.release();
    }
    tensor->view.rank = static_cast<int>(rank);
    std::copy(dims, dims + rank, tensor->view.dims.begin());
    if (strides != nullptr) {
      std::copy(strides, strides + rank, tensor->view.strides.begin());
    } else {
      tensor->view = softnpu::Reshaped(tensor->view, tensor->view.Shape());
    }
    return made.release();
  });
}
SOFTNPU_API int32_t aclDestroyTensor(const Tensor* tensor) {
  delete tensor;
  return softnpu::kOk;
}

SOFTNPU_API Scalar* aclCreateScalar(const void* value, int32_t dtype) {
  return softnpu::Made("aclCreateScalar", [&]() -> Scalar* {
    softnpu::CheckValues(static_cast<const char*>(value), 1);
    auto made = std::make_unique<Scalar>();
    Scalar* const scalar = made.get();
    scalar->dtype = static_cast<DType>(dtype);
    switch (scalar->dtype) {
      case DType::kDouble:
        scalar->real = softnpu::Read<double>(value);
        break;
      case DType::kFloat:
        scalar->real = static_cast<double>(softnpu::Read<float>(value));
        break;
      case DType::kInt64:
        scalar->integer = softnpu::Read<int64_t>(value);
        break;
      case DType::kInt32:
        scalar->integer = softnpu::Read<int32_t>(value);
        break;
      case DType::kInt16:
        scalar->integer = softnpu::Read<int16_t>(value);
        break;
      case DType::kInt8:
        scalar->integer = softnpu::Read<int8_t>(value);
        break;
      case DType::kUint8:
      case DType::kBool:
        scalar->integer = softnpu::Read<uint8_t>(value);
        break;
      default:
        throw softnpu::Error(softnpu::kAclnnInvalid,
                             softnpu::Format("no scalar of dtype %d (%s)", dtype,
                                             softnpu::Name(static_cast<DType>(dtype))));
    }
    if (scalar->floating()) {
      // Used where an integer is wanted; out of range saturates.
      const double limit = 9223372036854774784.0;
      scalar->integer =
          scalar->real != scalar->real
              ? 0
              : static_cast<int64_t>(std::clamp(scalar->real, -9223372036854775808.0, limit));
    } else {
      scalar->real = static_cast<double>(scalar->integer);
    }
    return made.release();
  });
}
SOFTNPU_API int32_t aclDestroyScalar(const Scalar* scalar) {
  delete scalar;
  return softnpu::kOk;
}

SOFTNPU_API softnpu::IntArray* aclCreateIntArray(const int64_t* values, uint64_t count) {
  return softnpu::MadeArray<softnpu::IntArray>("aclCreateIntArray", values, count);
}
SOFTNPU_API int32_t aclDestroyIntArray(const softnpu::IntArray* array) {
  delete array;
  return softnpu::kOk;
}
SOFTNPU_API int32_t aclGetIntArraySize(const softnpu::IntArray* array, uint64_t* count) {
  if (array == nullptr || count == nullptr) {
    return softnpu_report(softnpu::kAclnnNullptr, "aclGetIntArraySize: an argument is null");
  }
  *count = array->values.size();
  return softnpu::kOk;
}
SOFTNPU_API softnpu::FloatArray* aclCreateFloatArray(const float* values, uint64_t count) {
  return softnpu::MadeArray<softnpu::FloatArray>("aclCreateFloatArray", values, count);
}
SOFTNPU_API int32_t aclDestroyFloatArray(const softnpu::FloatArray* array) {
  delete array;
  return softnpu::kOk;
}
SOFTNPU_API softnpu::BoolArray* aclCreateBoolArray(const uint8_t* values, uint64_t count) {
  return softnpu::MadeArray<softnpu::BoolArray>("aclCreateBoolArray", values, count);
}
SOFTNPU_API int32_t aclDestroyBoolArray(const softnpu::BoolArray* array) {
  delete array;
  return softnpu::kOk;
}

// A list owns its members.
SOFTNPU_API softnpu::TensorList* aclCreateTensorList(Tensor* const* tensors, uint64_t count) {
  return softnpu::MadeArray<softnpu::TensorList>("aclCreateTensorList", tensors, count);
}
SOFTNPU_API int32_t aclDestroyTensorList(const softnpu::TensorList* list) {
  if (list == nullptr) return softnpu::kOk;
  for (Tensor* tensor : list->tensors) delete tensor;
  delete list;
  return softnpu::kOk;
}
SOFTNPU_API softnpu::ScalarList* aclCreateScalarList(Scalar* const* scalars, uint64_t count) {
  return softnpu::MadeArray<softnpu::ScalarList>("aclCreateScalarList", scalars, count);
}
SOFTNPU_API int32_t aclDestroyScalarList(const softnpu::ScalarList* list) {
  if (list == nullptr) return softnpu::kOk;
  for (Scalar* scalar : list->scalars) delete scalar;
  delete list;
  return softnpu::kOk;
}

// The caller delete[]s the dimensions. Operators with a data-dependent shape write it here.
SOFTNPU_API int32_t aclGetViewShape(const Tensor* tensor, int64_t** dims, uint64_t* rank) {
  if (tensor == nullptr || dims == nullptr || rank == nullptr) {
    return softnpu_report(softnpu::kAclnnNullptr, "aclGetViewShape: an argument is null");
  }
  int64_t* const made = softnpu::Made("aclGetViewShape", [&] {
    const std::vector<int64_t> shape = tensor->view.Shape();
    auto* const out = new int64_t[std::max<size_t>(shape.size(), 1)];
    std::copy(shape.begin(), shape.end(), out);
    *rank = shape.size();
    return out;
  });
  if (made == nullptr) return softnpu::kRtInternal;
  *dims = made;
  return softnpu::kOk;
}

}  // extern "C"
