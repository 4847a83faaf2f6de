// cc/softnpu/hccl/types.cc: names and sizes, and what may be sent and reduced.
#include "cc/softnpu/hccl/types.h"

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/runtime/internal.h"

namespace softnpu::hccl {

const char* NameOf(Result result) {
  switch (result) {
    case kSuccess:
      return "HCCL_SUCCESS";
    case kPara:
      return "HCCL_E_PARA";
    case kPointer:
      return "HCCL_E_PTR";
    case kMemory:
      return "HCCL_E_MEMORY";
    case kInternal:
      return "HCCL_E_INTERNAL";
    case kNotSupport:
      return "HCCL_E_NOT_SUPPORT";
    case kNotFound:
      return "HCCL_E_NOT_FOUND";
    case kUnavailable:
      return "HCCL_E_UNAVAIL";
    case kSyscall:
      return "HCCL_E_SYSCALL";
    case kTimeout:
      return "HCCL_E_TIMEOUT";
    case kRuntime:
      return "HCCL_E_RUNTIME";
    case kRemote:
      return "HCCL_E_REMOTE";
  }
  return "HCCL_E_RESERVED";
}

const char* NameOf(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
      return "int8";
    case DType::kInt16:
      return "int16";
    case DType::kInt32:
      return "int32";
    case DType::kFloat16:
      return "float16";
    case DType::kFloat32:
      return "float32";
    case DType::kInt64:
      return "int64";
    case DType::kUint64:
      return "uint64";
    case DType::kUint8:
      return "uint8";
    case DType::kUint16:
      return "uint16";
    case DType::kUint32:
      return "uint32";
    case DType::kFloat64:
      return "float64";
    case DType::kBfloat16:
      return "bfloat16";
  }
  return nullptr;
}

const char* NameOf(Reduction reduction) {
  switch (reduction) {
    case Reduction::kSum:
      return "sum";
    case Reduction::kProd:
      return "prod";
    case Reduction::kMax:
      return "max";
    case Reduction::kMin:
      return "min";
  }
  return nullptr;
}

size_t Bytes(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
    case DType::kUint8:
      return 1;
    case DType::kInt16:
    case DType::kUint16:
    case DType::kFloat16:
    case DType::kBfloat16:
      return 2;
    case DType::kInt32:
    case DType::kUint32:
    case DType::kFloat32:
      return 4;
    case DType::kInt64:
    case DType::kUint64:
    case DType::kFloat64:
      return 8;
  }
  throw Error(kPara, Format("the data type %d is unknown", static_cast<int>(dtype)));
}

void RequireSendable(DType dtype) {
  Bytes(dtype);
  if (dtype == DType::kBfloat16 && softnpu_has_bfloat16() == 0) {
    throw Error(kNotSupport, Format("%s has no bfloat16", softnpu_soc_name()));
  }
}

void RequireReducible(DType dtype, Reduction reduction, bool to_one) {
  RequireSendable(dtype);
  if (NameOf(reduction) == nullptr) {
    throw Error(kPara, Format("the reduction %d is unknown (0 to 3 are sum, prod, max and min)",
                              static_cast<int>(reduction)));
  }
  switch (dtype) {
    case DType::kInt64:
      if (!to_one) return;
      break;
    case DType::kInt16:
    case DType::kBfloat16:
      if (reduction != Reduction::kProd) return;
      throw Error(kNotSupport, Format("there is no prod of %s", NameOf(dtype)));
    case DType::kInt8:
    case DType::kInt32:
    case DType::kFloat16:
    case DType::kFloat32:
      return;
    default:
      break;
  }
  throw Error(kNotSupport,
              Format("%s cannot be reduced; int8, int16, int32,%s float16, float32 and "
                     "bfloat16 can",
                     NameOf(dtype), to_one ? "" : " int64,"));
}

}  // namespace softnpu::hccl
