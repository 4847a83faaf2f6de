// tests/softnpu/aclnn.cc: calls aclnn operators from a gtest, on SoftNPU's runtime.
#include "tests/softnpu/aclnn.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "cc/softnpu/runtime/acl_abi.h"
#include "cc/softnpu/runtime/internal.h"

extern "C" {
softnpu::Tensor* aclCreateTensor(const int64_t*, uint64_t, int32_t, const int64_t*, int64_t,
                                 int32_t, const int64_t*, uint64_t, void*);
int32_t aclDestroyTensor(const softnpu::Tensor*);
softnpu::Scalar* aclCreateScalar(const void*, int32_t);
int32_t aclDestroyScalar(const softnpu::Scalar*);
softnpu::IntArray* aclCreateIntArray(const int64_t*, uint64_t);
int32_t aclDestroyIntArray(const softnpu::IntArray*);
softnpu::TensorList* aclCreateTensorList(softnpu::Tensor* const*, uint64_t);
int32_t aclDestroyTensorList(const softnpu::TensorList*);
}

namespace softnpu {
namespace {

constexpr int32_t kHostToDevice = 1;
constexpr int32_t kDeviceToHost = 2;

// Helpers have no assertion to fail: a call that has to work ends the test otherwise.
void Must(int32_t code) {
  if (code != 0) throw std::runtime_error(softnpu_message());
}

template <typename T>
T& MustBe(T* object) {
  if (object == nullptr) throw std::runtime_error(softnpu_message());
  return *object;
}

void UseDevice() {
  static const bool done = [] {
    Must(aclInit(nullptr));
    return true;
  }();
  static_cast<void>(done);
  Must(aclrtSetDevice(0));
}

template <typename T>
void Put(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}

template <typename T>
T Take(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

void Encode(DType dtype, double value, std::byte* to) {
  switch (dtype) {
    case DType::kFloat:
      return Put(to, static_cast<float>(value));
    case DType::kHalf:
      // Exact: the value is one of the dtype's already.
      return Put(to, static_cast<_Float16>(static_cast<float>(Rounded(dtype, value))));
    case DType::kBfloat16: {
      const auto bits = std::bit_cast<uint32_t>(static_cast<float>(Rounded(dtype, value)));
      return Put(to, static_cast<uint16_t>(bits >> 16));
    }
    case DType::kDouble:
      return Put(to, value);
    case DType::kInt8:
      return Put(to, static_cast<int8_t>(value));
    case DType::kUint8:
      return Put(to, static_cast<uint8_t>(value));
    case DType::kInt16:
      return Put(to, static_cast<int16_t>(value));
    case DType::kInt32:
      return Put(to, static_cast<int32_t>(value));
    case DType::kInt64:
      return Put(to, static_cast<int64_t>(value));
    case DType::kBool:
      return Put(to, static_cast<uint8_t>(value != 0));
  }
}

int64_t DecodeInteger(DType dtype, const std::byte* from) {
  switch (dtype) {
    case DType::kInt8:
      return Take<int8_t>(from);
    case DType::kUint8:
    case DType::kBool:
      return Take<uint8_t>(from);
    case DType::kInt16:
      return Take<int16_t>(from);
    case DType::kInt32:
      return Take<int32_t>(from);
    case DType::kInt64:
      return Take<int64_t>(from);
    default:
      throw std::runtime_error("the elements are not integers");
  }
}

double Decode(DType dtype, const std::byte* from) {
  switch (dtype) {
    case DType::kFloat:
      return static_cast<double>(Take<float>(from));
    case DType::kHalf:
      return static_cast<double>(static_cast<float>(Take<_Float16>(from)));
    case DType::kBfloat16:
      return static_cast<double>(
          std::bit_cast<float>(static_cast<uint32_t>(Take<uint16_t>(from)) << 16));
    case DType::kDouble:
      return Take<double>(from);
    default:
      return static_cast<double>(DecodeInteger(dtype, from));
  }
}

size_t Product(const std::vector<int64_t>& shape) {
  size_t count = 1;
  for (const int64_t dim : shape) count *= static_cast<size_t>(dim);
  return count;
}

std::string AccessText(const softnpu_access& access) {
  std::string text = access.name;
  if ((access.mode & SOFTNPU_SOME) != 0) {
    text += " some";
  } else {
    if ((access.mode & SOFTNPU_READS) != 0) text += " reads";
    if ((access.mode & SOFTNPU_WRITES) != 0) text += " writes";
  }
  text += " [";
  for (uint32_t i = 0; i < access.rank; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(access.dims[i]);
  }
  return text + "]";
}

// The last sentence, without the prefix of all sentences and the name of the call that waited.
std::string Sentence() {
  std::string sentence = softnpu_message();
  for (const std::string_view prefix :
       {kMessagePrefix, std::string_view("aclrtSynchronizeStream: ")}) {
    if (sentence.starts_with(prefix)) sentence.erase(0, prefix.size());
  }
  return sentence;
}

Outcome Failure(const char* how, int32_t code, std::vector<std::string> accesses) {
  Outcome out{std::string(how) + " " + std::to_string(code) + ": " + Sentence(),
              std::move(accesses)};
  Must(aclrtResetDevice(0));
  Must(aclrtSetDevice(0));
  return out;
}

}  // namespace

double Rounded(DType dtype, double value) {
  int fraction_bits = 0;
  int least_exponent = 0;  // of a normal value
  switch (dtype) {
    case DType::kFloat:
      return static_cast<double>(static_cast<float>(value));
    case DType::kHalf:
      fraction_bits = 10;
      least_exponent = -14;
      break;
    case DType::kBfloat16:
      fraction_bits = 7;
      least_exponent = -126;
      break;
    default:
      return value;
  }
  if (!std::isfinite(value) || value == 0) return value;
  // The distance between neighbours; a division by a power of two is exact.
  const double unit = std::ldexp(1.0, std::max(std::ilogb(value), least_exponent) - fraction_bits);
  const double rounded = std::nearbyint(value / unit) * unit;
  const double limit = dtype == DType::kHalf ? 0x1p16 : 0x1p128;
  return std::fabs(rounded) < limit ? rounded : std::copysign(kInfinity, value);
}

std::vector<double> Rounded(DType dtype, std::vector<double> values) {
  for (double& value : values) value = Rounded(dtype, value);
  return values;
}

DeviceTensor::DeviceTensor(DType dtype, const std::vector<int64_t>& shape)
    : bytes_(std::max<size_t>(Product(shape), 1) * static_cast<size_t>(Size(dtype))) {
  UseDevice();
  Must(aclrtMalloc(&memory_, bytes_, 0));
  tensor_ = &MustBe(aclCreateTensor(shape.data(), shape.size(), static_cast<int32_t>(dtype),
                                    nullptr, 0, kFormatNd, nullptr, 0, memory_));
}

DeviceTensor::DeviceTensor(DType dtype, const std::vector<int64_t>& shape,
                           const std::vector<double>& values)
    : DeviceTensor(dtype, shape, {}, 0, values) {
  if (values.size() != Product(shape)) throw std::runtime_error("a tensor without its values");
}

DeviceTensor::DeviceTensor(DType dtype, const std::vector<int64_t>& shape,
                           const std::vector<int64_t>& strides, int64_t offset,
                           const std::vector<double>& storage)
    : bytes_(std::max<size_t>(storage.size(), 1) * static_cast<size_t>(Size(dtype))) {
  UseDevice();
  Must(aclrtMalloc(&memory_, bytes_, 0));
  std::vector<std::byte> encoded(storage.size() * static_cast<size_t>(Size(dtype)));
  for (size_t i = 0; i < storage.size(); ++i) {
    Encode(dtype, storage[i], encoded.data() + i * static_cast<size_t>(Size(dtype)));
  }
  if (!storage.empty()) {
    Must(aclrtMemcpy(memory_, bytes_, encoded.data(), encoded.size(), kHostToDevice));
  }
  tensor_ = &MustBe(aclCreateTensor(shape.data(), shape.size(), static_cast<int32_t>(dtype),
                                    strides.empty() ? nullptr : strides.data(), offset, kFormatNd,
                                    nullptr, 0, memory_));
}

DeviceTensor::~DeviceTensor() {
  aclDestroyTensor(tensor_);
  aclrtFree(memory_);
}

Tensor* DeviceTensor::NewHandle() const {
  const View& v = view();
  return &MustBe(aclCreateTensor(v.dims.data(), static_cast<uint64_t>(v.rank),
                                 static_cast<int32_t>(v.dtype), v.strides.data(), v.offset,
                                 kFormatNd, nullptr, 0, memory_));
}

template <typename Body>
void DeviceTensor::ForEachElement(Body&& body) const {
  std::vector<std::byte> bytes(bytes_);
  Must(aclrtMemcpy(bytes.data(), bytes_, memory_, bytes_, kDeviceToHost));
  const View& v = view();
  const size_t count = Product(v.Shape());
  for (size_t i = 0; i < count; ++i) {
    int64_t element = v.offset;
    auto rest = static_cast<int64_t>(i);
    for (int d = v.rank - 1; d >= 0; --d) {
      element += rest % v.Dim(d) * v.Stride(d);
      rest /= v.Dim(d);
    }
    body(element, bytes.data() + static_cast<size_t>(element) * static_cast<size_t>(Size(v.dtype)));
  }
}

std::vector<double> DeviceTensor::Values() const {
  std::vector<double> out;
  ForEachElement(
      [&](int64_t, const std::byte* bytes) { out.push_back(Decode(view().dtype, bytes)); });
  return out;
}

std::vector<int64_t> DeviceTensor::Integers() const {
  std::vector<int64_t> out;
  ForEachElement(
      [&](int64_t, const std::byte* bytes) { out.push_back(DecodeInteger(view().dtype, bytes)); });
  return out;
}

std::vector<double> DeviceTensor::Storage() const {
  std::vector<std::byte> bytes(bytes_);
  Must(aclrtMemcpy(bytes.data(), bytes_, memory_, bytes_, kDeviceToHost));
  std::vector<double> out;
  for (size_t at = 0; at < bytes_; at += static_cast<size_t>(Size(view().dtype))) {
    out.push_back(Decode(view().dtype, bytes.data() + at));
  }
  return out;
}

std::string DeviceTensor::Written() const {
  std::string out;
  ForEachElement([&](int64_t element, const std::byte*) {
    softnpu_access access = {};
    access.element_bytes = static_cast<int64_t>(static_cast<size_t>(Size(view().dtype)));
    access.address = static_cast<const std::byte*>(memory_) + element * access.element_bytes;
    access.mode = SOFTNPU_READS;
    access.name = "element";
    out += softnpu_is_written(&access) != 0 ? 'w' : '.';
  });
  return out;
}

HostScalar::HostScalar(DType dtype, double value) {
  std::byte bytes[8] = {};
  Encode(dtype, value, bytes);
  scalar_ = &MustBe(aclCreateScalar(bytes, static_cast<int32_t>(dtype)));
}
HostScalar::~HostScalar() { aclDestroyScalar(scalar_); }

HostInts::HostInts(std::initializer_list<int64_t> values)
    : array_(&MustBe(aclCreateIntArray(values.begin(), values.size()))) {}
HostInts::~HostInts() { aclDestroyIntArray(array_); }

DeviceTensors::DeviceTensors(std::initializer_list<const DeviceTensor*> tensors) {
  std::vector<Tensor*> handles;
  for (const DeviceTensor* tensor : tensors) handles.push_back(tensor->NewHandle());
  list_ = &MustBe(aclCreateTensorList(handles.data(), handles.size()));
}
DeviceTensors::~DeviceTensors() { aclDestroyTensorList(list_); }

Outcome Finish(int32_t code, uint64_t workspace_bytes, Executor* executor,
               ExecuteFunction execute) {
  if (code != 0) return Failure("refused", code, {});
  std::vector<std::string> accesses;
  for (const softnpu_access& access : executor->plan.accesses) {
    accesses.push_back(AccessText(access));
  }
  code = execute(nullptr, workspace_bytes, executor, nullptr);
  if (code == 0) code = aclrtSynchronizeStream(nullptr);
  if (code != 0) return Failure("failed", code, std::move(accesses));
  return {"ran", std::move(accesses)};
}

}  // namespace softnpu
