// cc/bindings/tensors.h: tensors of one and two dimensions, described by numbers.
#pragma once

#include "cc/ops/tensor.h"

namespace vllm_cann::bindings {

inline ops::Tensor Vector(ops::DataType type, int64_t size) { return {type, 1, {size}, {1}}; }
inline ops::Tensor Matrix(ops::DataType type, int64_t rows, int64_t columns, int64_t stride) {
  return {type, 2, {rows, columns}, {stride, 1}};
}
inline ops::Tensor Matrix(ops::DataType type, int64_t rows, int64_t columns) {
  return Matrix(type, rows, columns, columns);
}

}  // namespace vllm_cann::bindings
