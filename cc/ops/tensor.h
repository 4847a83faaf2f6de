// cc/ops/tensor.h: tensors and devices as operators see them: addresses and numbers, no framework.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace vllm_cann::ops {

// CANN's numbers of data types.
enum class DataType : int32_t {
  kFloat = 0,
  kFloat16 = 1,
  kInt8 = 2,
  kInt32 = 3,
  kUint8 = 4,
  kInt16 = 6,
  kUint16 = 7,
  kUint32 = 8,
  kInt64 = 9,
  kUint64 = 10,
  kDouble = 11,
  kBool = 12,
  kBfloat16 = 27,
};

// Bytes of an element; 0 for a number that is none of the above.
constexpr int64_t ElementBytes(DataType type) {
  switch (type) {
    case DataType::kInt8:
    case DataType::kUint8:
    case DataType::kBool:
      return 1;
    case DataType::kFloat16:
    case DataType::kBfloat16:
    case DataType::kInt16:
    case DataType::kUint16:
      return 2;
    case DataType::kFloat:
    case DataType::kInt32:
    case DataType::kUint32:
      return 4;
    case DataType::kInt64:
    case DataType::kUint64:
    case DataType::kDouble:
      return 8;
  }
  return 0;
}

constexpr const char* Name(DataType type) {
  switch (type) {
    case DataType::kFloat:
      return "float32";
    case DataType::kFloat16:
      return "float16";
    case DataType::kInt8:
      return "int8";
    case DataType::kInt32:
      return "int32";
    case DataType::kUint8:
      return "uint8";
    case DataType::kInt16:
      return "int16";
    case DataType::kUint16:
      return "uint16";
    case DataType::kUint32:
      return "uint32";
    case DataType::kInt64:
      return "int64";
    case DataType::kUint64:
      return "uint64";
    case DataType::kDouble:
      return "float64";
    case DataType::kBool:
      return "bool";
    case DataType::kBfloat16:
      return "bfloat16";
  }
  return "an unknown data type";
}

inline constexpr int kMaxDims = 8;

// A tensor. Sizes and strides are in elements. An absent optional tensor has no dimensions.
struct Tensor {
  DataType type = DataType::kFloat;
  int dims = 0;
  int64_t shape[kMaxDims] = {};
  int64_t strides[kMaxDims] = {};
  uintptr_t address = 0;  // where it is, if that is known already: plans do not look
  bool is_on_host = false;
};

// The numbers of an NPU on which tiling depends.
struct DeviceInfo {
  std::string soc_name;
  int64_t npu_arch = 0;
  int64_t vector_cores = 0;
  int64_t ub_bytes = 0;  // of one vector core
};

// At the top of the UB, the compiler and the library keep some bytes for themselves.
inline constexpr int64_t kReservedUbBytes = 8192;

[[noreturn]] inline void Refuse(const std::string& sentence) {
  throw std::invalid_argument(sentence);
}

}  // namespace vllm_cann::ops
