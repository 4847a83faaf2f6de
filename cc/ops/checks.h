// cc/ops/checks.h: what the checks of the operators have in common.
#pragma once

#include <cstring>
#include <string>

#include "cc/ops/tensor.h"

namespace vllm_cann::ops {

inline constexpr int64_t kBlockBytes = 32;
inline constexpr int64_t kArch310P = 2002;

inline std::string Text(int64_t value) { return std::to_string(value); }
inline std::string ShapeText(const Tensor& tensor) {
  std::string text = "[";
  for (int i = 0; i < tensor.dims; ++i) text += (i == 0 ? "" : ", ") + Text(tensor.shape[i]);
  return text + "]";
}
inline int64_t Ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t RoundUp(int64_t a, int64_t b) { return Ceil(a, b) * b; }

// The bits of a float, as kernels get them.
inline int64_t FloatBits(double value) {
  const auto narrow = static_cast<float>(value);
  uint32_t bits = 0;
  std::memcpy(&bits, &narrow, sizeof(bits));
  return bits;
}

// A sentence is only made when its check fails: the others cost next to nothing.
#define VLLM_CANN_REQUIRE(checks, holds, what) \
  do {                                         \
    if (!(holds)) (checks).Fail(what);         \
  } while (false)

// The sentences of one operator: "<operator>: <tensor> <what>".
class Checks {
 public:
  constexpr explicit Checks(const char* name) : name_(name) {}

  [[noreturn]] void Fail(const std::string& what) const {
    Refuse(std::string(name_) + ": " + what);
  }
  // A tensor of `dims` dimensions, described by `form`, without gaps.
  void Dense(const Tensor& tensor, const char* name, int dims, const char* form) const {
    VLLM_CANN_REQUIRE(*this, tensor.dims == dims,
                      std::string(name) + " has " + Text(tensor.dims) + " dimensions, not " + form);
    for (int i = 0; i < dims; ++i) {
      VLLM_CANN_REQUIRE(*this, tensor.shape[i] >= 0,
                        std::string(name) + " has the negative size " + Text(tensor.shape[i]));
      if (tensor.shape[i] == 0) return;  // no element has a place
    }
    int64_t expected = 1;
    for (int i = dims - 1; i >= 0; --i) {
      VLLM_CANN_REQUIRE(*this, tensor.shape[i] <= 1 || tensor.strides[i] == expected,
                        std::string(name) + " has stride " + Text(tensor.strides[i]) +
                            " in dimension " + Text(i) + "; it has to be contiguous");
      expected *= tensor.shape[i];
    }
  }
  void Type(const Tensor& tensor, const char* name, DataType type) const {
    VLLM_CANN_REQUIRE(*this, tensor.type == type,
                      std::string(name) + " is " + Name(tensor.type) + ", not " + Name(type));
  }
  void Floats(const Tensor& tensor, const char* name) const {
    VLLM_CANN_REQUIRE(*this,
                      tensor.type == DataType::kFloat || tensor.type == DataType::kFloat16 ||
                          tensor.type == DataType::kBfloat16,
                      std::string(name) + " is " + Name(tensor.type) +
                          "; it can be float16, bfloat16 or float32");
  }
  // Rows that are moved as they are.
  void Moved(const Tensor& tensor, const char* name) const {
    const DataType type = tensor.type;
    VLLM_CANN_REQUIRE(*this,
                      type == DataType::kFloat || type == DataType::kFloat16 ||
                          type == DataType::kBfloat16 || type == DataType::kInt8 ||
                          type == DataType::kUint8 || type == DataType::kInt32,
                      std::string(name) + " is " + Name(type) +
                          "; it can be float16, bfloat16, float32, int8, uint8 or int32");
  }
  void Size(const Tensor& tensor, const char* name, int dim, int64_t size, const char* of) const {
    VLLM_CANN_REQUIRE(*this, tensor.shape[dim] == size,
                      std::string(name) + " has " + Text(tensor.shape[dim]) + " in dimension " +
                          Text(dim) + ", " + of + " " + Text(size));
  }
  // A contiguous tensor of any number of dimensions from `least` on as rows of its last one.
  Tensor AsRows(const Tensor& tensor, const char* name, int least, const char* form) const {
    VLLM_CANN_REQUIRE(*this, tensor.dims >= least,
                      std::string(name) + " has " + Text(tensor.dims) + " dimensions, not " + form);
    Dense(tensor, name, tensor.dims, form);
    const int64_t size = tensor.shape[tensor.dims - 1];
    int64_t rows = 1;
    for (int i = 0; i + 1 < tensor.dims; ++i) rows *= tensor.shape[i];
    Tensor out = {tensor.type, 2, {rows, size}, {size, 1}};
    out.address = tensor.address;
    return out;
  }
  // `tensor` has the dimensions of `of` but for the last one, without gaps.
  void Leading(const Tensor& tensor, const char* name, const Tensor& of,
               const char* of_name) const {
    bool fits = tensor.dims == of.dims - 1;
    for (int i = 0; fits && i < tensor.dims; ++i) fits = tensor.shape[i] == of.shape[i];
    VLLM_CANN_REQUIRE(*this, fits,
                      std::string(name) + " has the shape " + ShapeText(tensor) + " for " +
                          of_name + " of the shape " + ShapeText(of));
    Dense(tensor, name, tensor.dims, "those of the rows");
  }
  // The device has what all kernels of the family use.
  void Device(const DeviceInfo& device) const {
    VLLM_CANN_REQUIRE(
        *this, device.npu_arch != kArch310P,
        device.soc_name +
            " has neither DataCopyPad nor bfloat16; the kernel runs on Atlas A2 and A3");
  }

 private:
  const char* name_;
};

}  // namespace vllm_cann::ops
