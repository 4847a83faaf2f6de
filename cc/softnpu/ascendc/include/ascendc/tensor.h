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
enum class CacheRwMode : uint8_t { READ = 1, WRITE = 2, RW = 3 };

enum class DataFormat : uint8_t { ND = 0, NZ, NCHW, NC1HWC0, NHWC, NCDHW };

// Kernels define it as 0 before they include this, where they need no shapes.
#ifndef K_MAX_SHAPE_DIM
#define K_MAX_SHAPE_DIM 8
#endif
constexpr int32_t kMaxShapeDim = K_MAX_SHAPE_DIM > 0 ? K_MAX_SHAPE_DIM : 1;
using TTagType = int32_t;

// What a kernel notes of a tensor's shape; SoftNPU reads nothing from it.
struct ShapeInfo {
  uint8_t shapeDim = 0;
  uint8_t originalShapeDim = 0;
  uint32_t shape[kMaxShapeDim] = {};
  uint32_t originalShape[kMaxShapeDim] = {};
  DataFormat dataFormat = DataFormat::ND;

  constexpr ShapeInfo() = default;
  constexpr ShapeInfo(uint8_t dims, const uint32_t sizes[], uint8_t original_dims,
                      const uint32_t original_sizes[], DataFormat format)
      : shapeDim(dims), originalShapeDim(original_dims), dataFormat(format) {
    for (int i = 0; i < dims && i < kMaxShapeDim; ++i) shape[i] = sizes[i];
    for (int i = 0; i < original_dims && i < kMaxShapeDim; ++i) {
      originalShape[i] = original_sizes[i];
    }
  }
  constexpr ShapeInfo(uint8_t dims, const uint32_t sizes[], DataFormat format)
      : ShapeInfo(dims, sizes, dims, sizes, format) {}
  constexpr ShapeInfo(uint8_t dims, const uint32_t sizes[])
      : ShapeInfo(dims, sizes, DataFormat::ND) {}
};
constexpr uint32_t GetShapeSize(const ShapeInfo& info) {
  uint32_t size = 1;
  for (int i = 0; i < info.shapeDim; ++i) size *= info.shape[i];
  return size;
}

namespace softnpu_internal {

// An element by its index, as tensor(i) gives it: reads and writes are the scalar unit's.
template <typename Tensor>
class Element {
 public:
  using T = typename Tensor::PrimType;
  Element(const Tensor& tensor, uint64_t at, const Where& where)
      : tensor_(tensor), at_(at), where_(where) {}
  Element(const Element&) = default;

  operator T() const { return tensor_.GetValue(static_cast<Index>(at_), where_); }
  const Element& operator=(T value) const {
    tensor_.SetValue(static_cast<Index>(at_), value, where_);
    return *this;
  }
  const Element& operator=(const Element& other) const { return *this = static_cast<T>(other); }
  const Element& operator+=(T value) const { return *this = static_cast<T>(T(*this) + value); }
  const Element& operator-=(T value) const { return *this = static_cast<T>(T(*this) - value); }
  const Element& operator*=(T value) const { return *this = static_cast<T>(T(*this) * value); }
  const Element& operator/=(T value) const { return *this = static_cast<T>(T(*this) / value); }

 private:
  using Index = typename Tensor::IndexType;
  Tensor tensor_;
  uint64_t at_;
  Where where_;
};

}  // namespace softnpu_internal

template <typename T>
class GlobalTensor {
 public:
  using PrimType = T;
  using IndexType = uint64_t;

  GlobalTensor() { raw_.type = softnpu::core::kTypeOf<T>; }

  // `size` in elements. As on a device, the allocation is the limit; accesses beyond the size are
  // told of, and GetSize asks for it.
  void SetGlobalBuffer(__gm__ T* buffer, uint64_t size) {
    raw_.space = SOFTNPU_SPACE_GM;
    raw_.address = reinterpret_cast<uint64_t>(buffer);
    raw_.begin = raw_.address;
    raw_.end = raw_.address + softnpu::core::BytesOf<T>(size);
  }
  // Without a size the allocation is the limit.
  void SetGlobalBuffer(__gm__ T* buffer) {
    SetGlobalBuffer(buffer, 0);
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

  softnpu_internal::Element<GlobalTensor> operator()(uint64_t offset,
                                                     Where where = Where::Here()) const {
    return {*this, offset, where};
  }

  // A hint; the model of L2 takes none.
  template <CacheRwMode direction = CacheRwMode::RW>
  void SetL2CacheHint(CacheMode) {}

  void SetShapeInfo(const ShapeInfo& info) { shape_ = info; }
  ShapeInfo GetShapeInfo() const { return shape_; }

  const __gm__ T* GetPhyAddr() const { return reinterpret_cast<const T*>(raw_.address); }
  __gm__ T* GetPhyAddr(uint64_t offset) const {
    return reinterpret_cast<T*>(raw_.address + softnpu::core::BytesOf<T>(offset));
  }
  uint64_t GetSize(Where where = Where::Here()) const {
    if (raw_.end != UINT64_MAX) return softnpu::core::ElementsOf<T>(raw_.end - raw_.address);
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_UNSIZED, where);
    return softnpu::core::Execute(instruction);
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

 private:
  ShapeInfo shape_;
};

template <typename T>
class LocalTensor;

namespace softnpu_internal {

// The memory that tensors of a position lie in.
constexpr uint8_t SpaceOf(TPosition position) {
#if defined(__NPU_ARCH__) && __NPU_ARCH__ == 2002
  constexpr bool kCoupled = true;
#else
  constexpr bool kCoupled = false;
#endif
  switch (position) {
    case TPosition::A1:
    case TPosition::B1:
    case TPosition::TSCM:
      return SOFTNPU_SPACE_L1;
    case TPosition::A2:
      return SOFTNPU_SPACE_L0A;
    case TPosition::B2:
      return SOFTNPU_SPACE_L0B;
    case TPosition::C1:
      return kCoupled ? SOFTNPU_SPACE_UB : SOFTNPU_SPACE_L1;
    case TPosition::C2:
      return kCoupled ? SOFTNPU_SPACE_L0C : SOFTNPU_SPACE_BT;
    case TPosition::CO1:
      return SOFTNPU_SPACE_L0C;
    case TPosition::C2PIPE2GM:
      return SOFTNPU_SPACE_FB;
    default:
      return SOFTNPU_SPACE_UB;
  }
}

// The place of a LocalTensor under the names that kernels know: another view of a SoftnpuTensor, of
// the same layout. What is assigned to a member changes all that follows from it.
struct TensorAddress {
  template <typename T, size_t offset>
  struct Member {
    T value;
    operator T() const { return value; }
    SoftnpuTensor& tensor() {
      return *reinterpret_cast<SoftnpuTensor*>(reinterpret_cast<char*>(this) - offset);
    }
    const SoftnpuTensor& tensor() const { return const_cast<Member*>(this)->tensor(); }
  };
  struct Begin : Member<uint64_t, __builtin_offsetof(SoftnpuTensor, address)> {
    Begin& operator=(uint64_t address) {
      SoftnpuTensor& t = tensor();
      t.end = address + (t.end - t.address);
      t.address = t.begin = address;
      return *this;
    }
  };
  struct Length : Member<uint64_t, __builtin_offsetof(SoftnpuTensor, end)> {
    Length& operator=(uint64_t bytes) {
      tensor().end = tensor().address + bytes;
      return *this;
    }
    operator uint32_t() const { return static_cast<uint32_t>(tensor().end - tensor().address); }
  };
  struct Position : Member<uint8_t, __builtin_offsetof(SoftnpuTensor, position)> {
    Position& operator=(uint8_t position) {
      tensor().position = position;
      tensor().space = SpaceOf(static_cast<TPosition>(position));
      return *this;
    }
    Position& operator=(TPosition position) { return *this = static_cast<uint8_t>(position); }
  };
  Begin bufferAddr;
  uint64_t whole;
  Length dataLen;
  uint32_t buffer;
  uint8_t space, type;
  Position logicPos;
  uint8_t reserved;
};
static_assert(sizeof(TensorAddress) == sizeof(SoftnpuTensor), "a view of the same bytes");

// A sum, product ... of whole tensors, until it is assigned.
template <typename T>
struct Combined {
  SoftnpuOpcode opcode;
  const LocalTensor<T>& left;
  const LocalTensor<T>& right;
};

// A comparison of whole tensors, until its bits are assigned. The numbers are those of CMPMODE.
enum class Comparison : uint8_t { kLess = 0, kGreater, kEqual, kAtMost, kAtLeast, kUnequal };
template <typename T>
struct Compared {
  Comparison mode;
  const LocalTensor<T>& left;
  const LocalTensor<T>& right;
};

}  // namespace softnpu_internal

template <typename T>
class LocalTensor {
 public:
// A member that AscendC has and SoftNPU not: a call does not compile.
#define SOFTNPU_UNSUPPORTED_MEMBER(Name)                                        \
  template <typename... Args>                                                   \
  void Name(Args&&...) const {                                                  \
    static_assert(sizeof...(Args) > 100, #Name " is not supported by SoftNPU"); \
  }
  SOFTNPU_UNSUPPORTED_MEMBER(SetAddr)
#undef SOFTNPU_UNSUPPORTED_MEMBER

  using PrimType = T;
  using IndexType = uint32_t;

  LocalTensor() { raw_.type = softnpu::core::kTypeOf<T>; }
  explicit LocalTensor(const SoftnpuTensor& raw) : raw_(raw) {
    raw_.type = softnpu::core::kTypeOf<T>;
  }
  // Hand-placed, without a TPipe: `address` in bytes, `size` in elements.
  LocalTensor(TPosition position, uint32_t address, uint32_t size) : LocalTensor() {
    raw_.space = softnpu_internal::SpaceOf(position);
    raw_.position = static_cast<uint8_t>(position);
    raw_.address = address;
    raw_.begin = address;
    raw_.end = address + softnpu::core::BytesOf<T>(size);
  }

  LocalTensor(const LocalTensor&) = default;
  LocalTensor& operator=(const LocalTensor&) = default;
  // All elements of the tensor: dst = src0 + src1.
  LocalTensor& operator=(const softnpu_internal::Combined<T>& value) {
    SoftnpuInstruction instruction = softnpu::core::Begin(value.opcode, Where::At(nullptr, 0));
    return Assign(instruction, value, GetSize());
  }
  // A bit for each element of the sources: dst = src0 < src1.
  template <typename U>
  LocalTensor& operator=(const softnpu_internal::Compared<U>& value) {
    SoftnpuInstruction instruction =
        softnpu::core::Begin(SOFTNPU_OP_COMPARE, Where::At(nullptr, 0));
    instruction.params[0] = static_cast<int64_t>(value.mode);
    return Assign(instruction, value, value.left.GetSize());
  }

  softnpu_internal::Element<LocalTensor> operator()(uint32_t offset,
                                                    Where where = Where::Here()) const {
    return {*this, offset, where};
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
  uint64_t GetPhyAddr(uint32_t offset) const {
    return raw_.address + softnpu::core::BytesOf<T>(offset);
  }
  uint32_t GetSize() const {
    return static_cast<uint32_t>(softnpu::core::ElementsOf<T>(raw_.end - raw_.address));
  }
  void SetSize(uint32_t size) { raw_.end = raw_.address + softnpu::core::BytesOf<T>(size); }
  // Elements, too.
  void SetBufferLen(uint32_t dataLen) { SetSize(dataLen); }
  // Bytes.
  uint32_t GetLength() const { return static_cast<uint32_t>(raw_.end - raw_.address); }
  // `offset` in elements of `src`.
  template <typename S>
  void SetAddrWithOffset(LocalTensor<S>& src, uint32_t offset) {
    const uint8_t type = raw_.type;
    raw_ = src.raw_;
    raw_.type = type;
    raw_.address += softnpu::core::BytesOf<S>(offset);
  }
  TPosition GetPosition() const { return static_cast<TPosition>(raw_.position); }
  // Places the tensor by hand: `offset` in bytes, `size` in elements. Its memory is that of
  // address_.logicPos, the UB as long as nothing says another one.
  void InitBuffer(uint32_t offset, uint32_t size) {
    if (raw_.space == SOFTNPU_SPACE_GM) address_.logicPos = TPosition::VECCALC;
    raw_.buffer = 0;
    raw_.address = raw_.begin = offset;
    raw_.end = offset + softnpu::core::BytesOf<T>(size);
  }

  void SetUserTag(const TTagType tag) { tag_ = tag; }
  TTagType GetUserTag() const { return tag_; }
  void SetShapeInfo(const ShapeInfo& info) { shape_ = info; }
  ShapeInfo GetShapeInfo() const { return shape_; }

  union {
    SoftnpuTensor raw_{};
    softnpu_internal::TensorAddress address_;
  };

 private:
  template <typename Sources>
  LocalTensor& Assign(SoftnpuInstruction& instruction, const Sources& sources, uint32_t count) {
    const SoftnpuTensor* const operands[] = {&raw_, &sources.left.raw_, &sources.right.raw_};
    instruction.operand_count = 3;
    for (int i = 0; i < 3; ++i) {
      instruction.operand[i] = *operands[i];
      instruction.block_stride[i] = 1;
      instruction.repeat_stride[i] = 8;
    }
    instruction.form = SOFTNPU_FORM_COUNT;
    instruction.count = count;
    softnpu::core::Execute(instruction);
    return *this;
  }

  ShapeInfo shape_;
  TTagType tag_ = 0;
};

#define SOFTNPU_COMBINE(sign, opcode)                                               \
  template <typename T>                                                             \
  inline softnpu_internal::Combined<T> operator sign(const LocalTensor<T>& left,    \
                                                     const LocalTensor<T>& right) { \
    return {opcode, left, right};                                                   \
  }
SOFTNPU_COMBINE(+, SOFTNPU_OP_ADD)
SOFTNPU_COMBINE(-, SOFTNPU_OP_SUB)
SOFTNPU_COMBINE(*, SOFTNPU_OP_MUL)
SOFTNPU_COMBINE(/, SOFTNPU_OP_DIV)
SOFTNPU_COMBINE(&, SOFTNPU_OP_AND)
SOFTNPU_COMBINE(|, SOFTNPU_OP_OR)
#undef SOFTNPU_COMBINE
#define SOFTNPU_COMPARED(sign, mode)                                                \
  template <typename T>                                                             \
  inline softnpu_internal::Compared<T> operator sign(const LocalTensor<T>& left,    \
                                                     const LocalTensor<T>& right) { \
    return {softnpu_internal::Comparison::mode, left, right};                       \
  }
SOFTNPU_COMPARED(<, kLess)
SOFTNPU_COMPARED(>, kGreater)
SOFTNPU_COMPARED(==, kEqual)
SOFTNPU_COMPARED(<=, kAtMost)
SOFTNPU_COMPARED(>=, kAtLeast)
SOFTNPU_COMPARED(!=, kUnequal)
#undef SOFTNPU_COMPARED

}  // namespace AscendC
