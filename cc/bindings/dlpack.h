// cc/bindings/dlpack.h: the part of DLPack's C ABI by which a Python type hands out its tensors.
//
// A type that offers it has the attribute __dlpack_c_exchange_api__, a capsule of the table below.
// Layouts are those of DLPack 1.3, the same for every version 1.x.
#pragma once

#include <cstdint>

namespace vllm_cann::bindings {

struct DlpackTensor {
  void* data;
  int32_t device_type;
  int32_t device_id;
  int32_t ndim;
  uint8_t type_code;
  uint8_t type_bits;
  uint16_t type_lanes;
  int64_t* shape;
  int64_t* strides;
  uint64_t byte_offset;
};

inline constexpr int32_t kDlpackCpu = 1;
inline constexpr int32_t kDlpackExtension = 12;  // torch's PrivateUse1: the NPU

struct DlpackExchange {
  uint32_t major;
  uint32_t minor;
  const DlpackExchange* previous;
  void* managed_tensor_allocator;
  void* managed_tensor_from_object;
  void* managed_tensor_to_object;
  // Describes the tensor without owning it. Gives 0, or another number with a Python error set.
  int (*tensor_from_object)(void* object, DlpackTensor* out);
  void* current_work_stream;
};

inline constexpr char kDlpackAttribute[] = "__dlpack_c_exchange_api__";
inline constexpr char kDlpackCapsule[] = "dlpack_exchange_api";

}  // namespace vllm_cann::bindings
