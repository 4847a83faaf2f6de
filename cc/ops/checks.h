// cc/ops/checks.h: what the checks of the operators have in common.
#pragma once

#include <string>

#include "cc/ops/tensor.h"

namespace vllm_cann::ops {

inline constexpr int64_t kBlockBytes = 32;
inline constexpr int64_t kArch310P = 2002;

inline std::string Text(int64_t value) { return std::to_string(value); }
inline int64_t Ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t RoundUp(int64_t a, int64_t b) { return Ceil(a, b) * b; }

// The sentences of one operator: "<operator>: <tensor> <what>".
class Checks {
 public:
  constexpr explicit Checks(const char* name) : name_(name) {}

  void Require(bool holds, const std::string& what) const {
    if (!holds) Refuse(std::string(name_) + ": " + what);
  }
  // A tensor of `dims` dimensions, described by `form`, without gaps.
  void Dense(const Tensor& tensor, const char* name, int dims, const char* form) const {
    Require(tensor.dims == dims,
            std::string(name) + " has " + Text(tensor.dims) + " dimensions, not " + form);
    int64_t expected = 1;
    for (int i = dims - 1; i >= 0; --i) {
      Require(tensor.shape[i] >= 0,
              std::string(name) + " has the negative size " + Text(tensor.shape[i]));
      Require(tensor.shape[i] <= 1 || tensor.strides[i] == expected,
              std::string(name) + " has stride " + Text(tensor.strides[i]) + " in dimension " +
                  Text(i) + "; it has to be contiguous");
      expected *= tensor.shape[i];
    }
  }
  void Type(const Tensor& tensor, const char* name, DataType type) const {
    Require(tensor.type == type,
            std::string(name) + " is " + Name(tensor.type) + ", not " + Name(type));
  }
  void Floats(const Tensor& tensor, const char* name) const {
    Require(tensor.type == DataType::kFloat || tensor.type == DataType::kFloat16 ||
                tensor.type == DataType::kBfloat16,
            std::string(name) + " is " + Name(tensor.type) +
                "; it can be float16, bfloat16 or float32");
  }
  void Size(const Tensor& tensor, const char* name, int dim, int64_t size,
            const std::string& of) const {
    Require(tensor.shape[dim] == size, std::string(name) + " has " + Text(tensor.shape[dim]) +
                                           " in dimension " + Text(dim) + ", " + of + " " +
                                           Text(size));
  }
  // Memory of a tensor that has elements.
  void Memory(const Tensor& tensor, const char* name) const {
    if (tensor.dims == 0) return;  // absent
    int64_t elements = 1;
    for (int i = 0; i < tensor.dims; ++i) elements *= tensor.shape[i];
    Require(elements == 0 || tensor.address != 0, std::string(name) + " has no memory");
  }
  // The device has what all kernels of the family use.
  void Device(const DeviceInfo& device) const {
    Require(device.npu_arch != kArch310P,
            device.soc_name +
                " has neither DataCopyPad nor bfloat16; the kernel runs on Atlas A2 and A3");
  }

 private:
  const char* name_;
};

}  // namespace vllm_cann::ops
