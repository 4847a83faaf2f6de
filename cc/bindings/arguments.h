// cc/bindings/arguments.h: what Python gives an operator: tensors and options in the declared
// order.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "cc/ops/operator.h"

namespace vllm_cann::bindings {

inline constexpr size_t kMaxTensors = 16;
inline constexpr size_t kMaxOptions = 24;

// A tensor without memory of a framework, which tests and benchmarks give.
struct PlainTensor {
  ops::Tensor tensor;
};

class Arguments {
 public:
  const ops::Tensor* tensors() const { return tensors_; }
  const ops::OptionValue* options() const { return options_; }
  // Of the tensors of a framework on an NPU, -1 when there are none.
  int32_t device() const { return device_; }

  // Reads `count` objects, first the tensors, then the options. A tensor is None, a PlainTensor, or
  // an object of a type with DLPack's exchange table. Strides of dimensions of one element become
  // those of a contiguous tensor, as they mean nothing.
  // Throws nanobind::type_error, std::invalid_argument, or nanobind::python_error.
  void Read(const ops::Operator& declared, PyObject* const* objects, size_t count);

 private:
  ops::Tensor tensors_[kMaxTensors];
  ops::OptionValue options_[kMaxOptions];
  int32_t device_ = -1;
};

// The words by which arguments of one operator are told apart: all that a plan may look at.
struct Key {
  static constexpr size_t kMaxWords =
      1 + kMaxTensors * (1 + 2 * ops::kMaxDims) + kMaxOptions * ops::kMaxList;
  uint64_t words[kMaxWords];
  size_t size = 0;

  Key(const ops::Operator& declared, const Arguments& arguments);
  uint64_t Hash() const;
};

}  // namespace vllm_cann::bindings
