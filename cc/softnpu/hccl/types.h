// cc/softnpu/hccl/types.h: HCCL's numbers, with names and sizes.
//
// The numbers are those of the headers in the torch_npu wheel; hccl_abi_test.cc compares them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace softnpu::hccl {

// As many as one server has devices.
inline constexpr uint32_t kMaxRanks = 16;

// What HCCL functions return.
enum Result : int32_t {
  kSuccess = 0,
  kPara = 1,
  kPointer = 2,
  kMemory = 3,
  kInternal = 4,
  kNotSupport = 5,
  kNotFound = 6,
  kUnavailable = 7,
  kSyscall = 8,
  kTimeout = 9,
  kRuntime = 15,
  kRemote = 21,
};

enum class DType : int32_t {
  kInt8 = 0,
  kInt16 = 1,
  kInt32 = 2,
  kFloat16 = 3,
  kFloat32 = 4,
  kInt64 = 5,
  kUint64 = 6,
  kUint8 = 7,
  kUint16 = 8,
  kUint32 = 9,
  kFloat64 = 10,
  kBfloat16 = 11,
};

enum class Reduction : int32_t { kSum = 0, kProd = 1, kMax = 2, kMin = 3 };

inline constexpr size_t kRootInfoBytes = 4108;
inline constexpr uint32_t kConfigMagic = 0xf0f0f0f0;
inline constexpr int32_t kNotSet = -1;
inline constexpr size_t kNameBytes = 128;

// The fields of HcclCommConfig up to the last one that SoftNPU reads.
struct CommConfig {
  uint64_t bytes;  // of the whole, by which older programs are known
  uint32_t magic;
  uint32_t version;
  uint64_t reserved;
  uint32_t buffer_megabytes;
  uint32_t deterministic;
  char name[kNameBytes];
  char udi[128];
  uint32_t expansion_mode;
  uint32_t traffic_class;
  uint32_t service_level;
  uint32_t world_rank;
  uint64_t job;
  uint8_t zero_copy;
  int32_t run_timeout_s;
};

// HcclConfigValue.
union ConfigValue {
  int32_t value;
};

// HcclSendRecvItem.
struct SendRecvItem {
  int32_t kind;  // 0 send, 1 receive
  void* buffer;
  uint64_t count;
  int32_t dtype;
  uint32_t rank;
};

// "HCCL_E_PARA"; "HCCL_E_RESERVED" for a number that SoftNPU never gives.
const char* NameOf(Result result);
// "float32"; null for a number that is no data type of the chips that SoftNPU models.
const char* NameOf(DType dtype);
// "sum"; null for a number that is no reduction.
const char* NameOf(Reduction reduction);
// Bytes of an element. Throws Error kPara for what has no name.
size_t Bytes(DType dtype);

// Throws Error kPara unless data of this type may be sent.
void RequireSendable(DType dtype);
// Throws Error unless an Atlas A2 reduces this type so: int8, int16, int32, int64, float16, float32
// and bfloat16, of which int16 and bfloat16 have no product. HcclReduce (`to_one`) has no int64.
void RequireReducible(DType dtype, Reduction reduction, bool to_one);

}  // namespace softnpu::hccl
