// cc/softnpu/hccl/hccl_abi_test.cc: each exported function, struct and number is that of the HCCL
// headers in the torch_npu wheel. The headers are for this comparison only; no product file
// includes them.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "cc/softnpu/base/testing/same_function.h"
#include "cc/softnpu/hccl/types.h"
#include "third_party/hccl/inc/hccl/hccl.h"

namespace softnpu::hccl {
namespace {

template <typename T>
int Number(T value) {
  return static_cast<int>(value);
}

TEST(HcclAbi, EveryFunctionIsThatOfTheHeaders) {
#define SOFTNPU_HCCL(result, name, parameters) \
  EXPECT_TRUE((SameFunction<result parameters, decltype(::name)>::value)) << #name;
#include "cc/softnpu/hccl/hccl_functions.inc"
#undef SOFTNPU_HCCL
}

TEST(HcclAbi, StructsLieAsThoseOfTheHeaders) {
  EXPECT_EQ(kRootInfoBytes, sizeof(HcclRootInfo));
  HcclCommConfig config;
  HcclCommConfigInit(&config);
  const auto& ours = reinterpret_cast<const CommConfig&>(config);
  EXPECT_EQ(ours.bytes, sizeof(HcclCommConfig));
  EXPECT_EQ(ours.magic, kConfigMagic);
  EXPECT_EQ(ours.run_timeout_s, kNotSet);
  EXPECT_EQ(offsetof(CommConfig, name), offsetof(HcclCommConfig, hcclCommName));
  EXPECT_EQ(offsetof(CommConfig, run_timeout_s), offsetof(HcclCommConfig, hcclExecTimeOut));
  EXPECT_EQ(kNameBytes, sizeof(config.hcclCommName));
  EXPECT_EQ(sizeof(SendRecvItem), sizeof(HcclSendRecvItem));
  EXPECT_EQ(offsetof(SendRecvItem, kind), offsetof(HcclSendRecvItem, sendRecvType));
  EXPECT_EQ(offsetof(SendRecvItem, buffer), offsetof(HcclSendRecvItem, buf));
  EXPECT_EQ(offsetof(SendRecvItem, count), offsetof(HcclSendRecvItem, count));
  EXPECT_EQ(offsetof(SendRecvItem, dtype), offsetof(HcclSendRecvItem, dataType));
  EXPECT_EQ(offsetof(SendRecvItem, rank), offsetof(HcclSendRecvItem, remoteRank));
}

TEST(HcclAbi, NumbersAreThoseOfTheHeaders) {
  EXPECT_EQ(Number(kPara), Number(HCCL_E_PARA));
  EXPECT_EQ(Number(kPointer), Number(HCCL_E_PTR));
  EXPECT_EQ(Number(kMemory), Number(HCCL_E_MEMORY));
  EXPECT_EQ(Number(kInternal), Number(HCCL_E_INTERNAL));
  EXPECT_EQ(Number(kNotSupport), Number(HCCL_E_NOT_SUPPORT));
  EXPECT_EQ(Number(kSyscall), Number(HCCL_E_SYSCALL));
  EXPECT_EQ(Number(kTimeout), Number(HCCL_E_TIMEOUT));
  EXPECT_EQ(Number(kRuntime), Number(HCCL_E_RUNTIME));
  EXPECT_EQ(Number(kRemote), Number(HCCL_E_REMOTE));
  EXPECT_EQ(Number(DType::kInt8), Number(HCCL_DATA_TYPE_INT8));
  EXPECT_EQ(Number(DType::kInt16), Number(HCCL_DATA_TYPE_INT16));
  EXPECT_EQ(Number(DType::kInt32), Number(HCCL_DATA_TYPE_INT32));
  EXPECT_EQ(Number(DType::kFloat16), Number(HCCL_DATA_TYPE_FP16));
  EXPECT_EQ(Number(DType::kFloat32), Number(HCCL_DATA_TYPE_FP32));
  EXPECT_EQ(Number(DType::kInt64), Number(HCCL_DATA_TYPE_INT64));
  EXPECT_EQ(Number(DType::kUint64), Number(HCCL_DATA_TYPE_UINT64));
  EXPECT_EQ(Number(DType::kUint8), Number(HCCL_DATA_TYPE_UINT8));
  EXPECT_EQ(Number(DType::kUint16), Number(HCCL_DATA_TYPE_UINT16));
  EXPECT_EQ(Number(DType::kUint32), Number(HCCL_DATA_TYPE_UINT32));
  EXPECT_EQ(Number(DType::kFloat64), Number(HCCL_DATA_TYPE_FP64));
  EXPECT_EQ(Number(DType::kBfloat16), Number(HCCL_DATA_TYPE_BFP16));
  EXPECT_EQ(Number(Reduction::kSum), Number(HCCL_REDUCE_SUM));
  EXPECT_EQ(Number(Reduction::kProd), Number(HCCL_REDUCE_PROD));
  EXPECT_EQ(Number(Reduction::kMax), Number(HCCL_REDUCE_MAX));
  EXPECT_EQ(Number(Reduction::kMin), Number(HCCL_REDUCE_MIN));
  EXPECT_EQ(Number(HCCL_COMM_CONFIG_RESERVED), 12);
  EXPECT_EQ(Number(HCCL_SEND), 0);
}

}  // namespace
}  // namespace softnpu::hccl
