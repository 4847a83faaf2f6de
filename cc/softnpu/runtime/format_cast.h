// cc/softnpu/runtime/format_cast.h: ND tensors to FRACTAL_NZ and back.
//
// FRACTAL_NZ of [..., M, N] is stored as [..., ceil(N / C0), ceil(M / 16), 16, C0]: blocks of 16
// rows and C0 columns, column of blocks after column of blocks. What pads M and N is zeros. A
// tensor of one dimension, [M], is stored as [M, 1].
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace softnpu {

constexpr int32_t kFormatNd = 2;
constexpr int32_t kFormatNz = 29;

// A tensor as the operator compiler's interface describes it.
struct FormatDesc {
  int32_t dtype = 0;             // aclDataType
  int32_t format = 0;            // of the storage
  std::vector<int64_t> dims;     // of the tensor
  std::vector<int64_t> storage;  // of the storage; equal to dims when the format is dense

  // "dtype 1 [3, 4], format 29"
  std::string Text() const;
};

// Bytes of the storage.
int64_t StorageBytes(const FormatDesc& desc);

// Throws Error 161002: a dtype, rank, format, empty tensor or storage shape that a cast between ND
// and FRACTAL_NZ does not have, or two tensors of different dtypes or shapes.
void CheckFormatCast(const FormatDesc& from, const FormatDesc& to);

// Moves all elements; both descriptions have passed CheckFormatCast, both addresses are the host's.
void FormatCast(const FormatDesc& from, const std::byte* source, const FormatDesc& to,
                std::byte* target);

}  // namespace softnpu
