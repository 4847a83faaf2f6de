// cc/softnpu/ascendc/include/ascendc/tensor.h: tensors in global and in on-chip memory.
//
// A tensor is a place, not data: address, the bytes it may touch, and the buffer it came from.
// Parts (operator[]) keep the limits of the whole, which is what the core checks accesses against.
#pragma once

#include "ascendc/types.h"

namespace AscendC {

enum class CacheMode : uint8_t {
  CACHE_MODE_DISABLE = 0,
  CACHE_MODE_NORMAL = 1,
  CACHE_MODE_LAST = 2,
  CACHE_MODE_PERSISTENT = 4,
};
#define SOFTNPU_UNSUPPORTED_MEMBER(Name)                                    \
  template <typename Any = T, typename... Args>                             \
  void Name(Args&&...) const {                                              \
    static_assert(sizeof(Any) > 100, #Name " is not supported by SoftNPU"); \
  }

enum class CacheRwMode : uint8_t { READ = 1, WRITE = 2, RW = 3 };

template <typename T>
class GlobalTensor {
 public:
  using PrimType = T;

  GlobalTensor() { raw_.type = softnpu::core::kTypeOf<T>; }

  // `size` in elements. Accesses outside are faults.
  void SetGlobalBuffer(__gm__ T* buffer, uint64_t size) {
    raw_.space = SOFTNPU_SPACE_GM;
    raw_.address = reinterpret_cast<uint64_t>(buffer);
    raw_.begin = raw_.address;
    raw_.end = raw_.address + softnpu::core::BytesOf<T>(size);
  }
  // Without a size the allocation is the limit.
  void SetGlobalBuffer(__gm__ T* buffer) {
    SetGlobalBuffer(buffer, 0);
    raw_.begin = 0;
    raw_.end = UINT64_MAX;
  }

  GlobalTensor operator[](uint64_t offset) const {
    GlobalTensor part = *this;
    part.raw_.address += softnpu::core::BytesOf<T>(offset);
    return part;
  }

  T GetValue(uint64_t offset, Where where = Where::Here()) const {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SCALAR_LOAD, where);
    instruction.operand_count = 1;
    instruction.operand[0] = (*this)[offset].raw_;
    return softnpu::core::FromBits<T>(softnpu::core::Execute(instruction));
  }
  void SetValue(uint64_t offset, T value, Where where = Where::Here()) const {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SCALAR_STORE, where);
    instruction.operand_count = 1;
    instruction.operand[0] = (*this)[offset].raw_;
    instruction.scalar = softnpu::core::Bits(value);
    softnpu::core::Execute(instruction);
  }

  // A hint; the model of L2 takes none.
  template <CacheRwMode direction = CacheRwMode::RW>
  void SetL2CacheHint(CacheMode) {}

  SOFTNPU_UNSUPPORTED_MEMBER(GetShapeInfo)
  SOFTNPU_UNSUPPORTED_MEMBER(SetShapeInfo)

  const __gm__ T* GetPhyAddr() const { return reinterpret_cast<const T*>(raw_.address); }
  __gm__ T* GetPhyAddr(uint64_t offset) const {
    return reinterpret_cast<T*>(raw_.address + offset * sizeof(T));
  }
  uint64_t GetSize() const {
    return raw_.end == UINT64_MAX ? 0 : softnpu::core::ElementsOf<T>(raw_.end - raw_.address);
  }

  template <typename U>
  GlobalTensor<U> ReinterpretCast() const {
    GlobalTensor<U> out;
    const uint8_t type = out.raw_.type;
    out.raw_ = raw_;
    out.raw_.type = type;
    return out;
  }

  SoftnpuTensor raw_{};
};

template <typename T>
class LocalTensor {
 public:
  using PrimType = T;

  LocalTensor() { raw_.type = softnpu::core::kTypeOf<T>; }
  explicit LocalTensor(const SoftnpuTensor& raw) : raw_(raw) {
    raw_.type = softnpu::core::kTypeOf<T>;
  }
  // Hand-placed, without a TPipe: `address` in bytes, `size` in elements.
  LocalTensor(TPosition position, uint32_t address, uint32_t size) : LocalTensor() {
    raw_.space = SOFTNPU_SPACE_UB;
    raw_.position = static_cast<uint8_t>(position);
    raw_.address = address;
    raw_.begin = address;
    raw_.end = address + softnpu::core::BytesOf<T>(size);
  }

  LocalTensor operator[](uint32_t offset) const {
    LocalTensor part = *this;
    part.raw_.address += softnpu::core::BytesOf<T>(offset);
    return part;
  }

  T GetValue(uint32_t offset, Where where = Where::Here()) const {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SCALAR_LOAD, where);
    instruction.operand_count = 1;
    instruction.operand[0] = (*this)[offset].raw_;
    return softnpu::core::FromBits<T>(softnpu::core::Execute(instruction));
  }
  void SetValue(uint32_t offset, T value, Where where = Where::Here()) const {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SCALAR_STORE, where);
    instruction.operand_count = 1;
    instruction.operand[0] = (*this)[offset].raw_;
    instruction.scalar = softnpu::core::Bits(value);
    softnpu::core::Execute(instruction);
  }

  template <typename U>
  LocalTensor<U> ReinterpretCast() const {
    return LocalTensor<U>(raw_);
  }

  uint64_t GetPhyAddr() const { return raw_.address; }
  uint64_t GetPhyAddr(uint32_t offset) const { return raw_.address + offset * sizeof(T); }
  uint32_t GetSize() const {
    return static_cast<uint32_t>(softnpu::core::ElementsOf<T>(raw_.end - raw_.address));
  }
  void SetSize(uint32_t size) { raw_.end = raw_.address + softnpu::core::BytesOf<T>(size); }
  SOFTNPU_UNSUPPORTED_MEMBER(GetShapeInfo)
  SOFTNPU_UNSUPPORTED_MEMBER(SetBufferLen)
  SOFTNPU_UNSUPPORTED_MEMBER(SetShapeInfo)
  TPosition GetPosition() const { return static_cast<TPosition>(raw_.position); }

  SoftnpuTensor raw_{};
};

#undef SOFTNPU_UNSUPPORTED_MEMBER

}  // namespace AscendC
