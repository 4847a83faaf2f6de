// cc/softnpu/ascendc/include/ascendc/list_tensor.h: lists of tensors in GM, as dynamic inputs are.
//
// A list in words of 8 bytes: the offset of the addresses in bytes; for each tensor a word with the
// number of its dimensions (low half) and its index (high half), then its dimensions; the
// addresses. All words are read as the scalar unit reads GM.
#pragma once

#include "ascendc/tensor.h"

namespace AscendC {

template <typename T>
class TensorDesc {
 public:
  // Where GetDesc puts the dimensions.
  void SetShapeAddr(uint64_t* shape) { shape_ = shape; }
  uint64_t GetDim() const { return dim_; }
  uint64_t GetIndex() const { return index_; }
  uint64_t GetShape(uint32_t axis) const { return shape_[axis]; }
  __gm__ T* GetDataPtr() const { return data_; }
  GlobalTensor<T> GetDataObj() const {
    GlobalTensor<T> tensor;
    tensor.SetGlobalBuffer(data_);
    return tensor;
  }

 private:
  friend class ListTensorDesc;
  uint64_t* shape_ = nullptr;
  uint64_t dim_ = 0;
  uint64_t index_ = 0;
  __gm__ T* data_ = nullptr;
};

class ListTensorDesc {
 public:
  ListTensorDesc() = default;
  explicit ListTensorDesc(__gm__ void* data, uint32_t length = 0xffffffff,
                          uint32_t shapeSize = 0xffffffff, Where where = Where::Here()) {
    Init(data, length, shapeSize, where);
  }
  // `length` in bytes and the number of tensors only limit what is read.
  void Init(__gm__ void* data, uint32_t length = 0xffffffff, uint32_t shapeSize = 0xffffffff,
            Where where = Where::Here()) {
    static_cast<void>(shapeSize);
    auto* const begin = static_cast<__gm__ uint64_t*>(data);
    if (length == 0xffffffff) {
      words_.SetGlobalBuffer(begin);
    } else {
      words_.SetGlobalBuffer(begin, length / sizeof(uint64_t));
    }
    addresses_ = words_.GetValue(0, where) / sizeof(uint64_t);
  }

  template <class T>
  void GetDesc(TensorDesc<T>& desc, uint32_t index, Where where = Where::Here()) const {
    const uint64_t at = DescriptionOf(index, where);
    const uint64_t word = words_.GetValue(at, where);
    desc.dim_ = word & 0xffffffff;
    desc.index_ = word >> 32;
    for (uint64_t axis = 0; desc.shape_ != nullptr && axis < desc.dim_; ++axis) {
      desc.shape_[axis] = words_.GetValue(at + 1 + axis, where);
    }
    desc.data_ = GetDataPtr<T>(index, where);
  }
  template <class T>
  __gm__ T* GetDataPtr(uint32_t index, Where where = Where::Here()) const {
    return reinterpret_cast<T*>(words_.GetValue(addresses_ + index, where));
  }
  uint32_t GetSize(Where where = Where::Here()) const {
    uint32_t count = 0;
    for (uint64_t at = 1; at < addresses_; ++count) at = Next(at, where);
    return count;
  }

 private:
  uint64_t Next(uint64_t at, const Where& where) const {
    return at + 1 + (words_.GetValue(at, where) & 0xffffffff);
  }
  uint64_t DescriptionOf(uint32_t index, const Where& where) const {
    uint64_t at = 1;
    for (uint32_t i = 0; i < index; ++i) at = Next(at, where);
    return at;
  }

  GlobalTensor<uint64_t> words_;
  uint64_t addresses_ = 0;  // the word of the first address
};

}  // namespace AscendC
