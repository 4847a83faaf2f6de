// cc/softnpu/runtime/format_cast.cc: ND tensors to FRACTAL_NZ and back.
#include "cc/softnpu/runtime/format_cast.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include "cc/softnpu/base/error.h"

namespace softnpu {
namespace {

constexpr int64_t kBlockRows = 16;
constexpr size_t kMaxCastRank = 6;

// The formats that describe the same dense bytes: NCHW, NHWC, ND, NCDHW, NCL.
bool IsDense(int32_t format) {
  return format == 0 || format == 1 || format == kFormatNd || format == 30 || format == 47;
}

// Bytes of an element; 0 for a dtype that a format cast does not take.
int64_t ElementBytes(int32_t dtype) {
  switch (dtype) {
    case 2:  // int8
    case 4:  // uint8
      return 1;
    case 1:   // float16
    case 27:  // bfloat16
      return 2;
    case 0:  // float32
    case 3:  // int32
    case 8:  // uint32
      return 4;
    default:
      return 0;
  }
}

std::string ListText(const std::vector<int64_t>& dims) {
  std::string out = "[";
  for (const int64_t dim : dims) out += (out == "[" ? "" : ", ") + std::to_string(dim);
  return out + "]";
}

int64_t Product(const std::vector<int64_t>& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

// [batch, rows, columns] of the tensor.
struct Matrices {
  int64_t batch = 1;
  int64_t rows = 1;
  int64_t columns = 1;
};

Matrices ToMatrices(const std::vector<int64_t>& dims) {
  if (dims.size() == 1) return {1, dims[0], 1};
  const auto last = dims.end() - 1;
  return {std::accumulate(dims.begin(), last - 1, int64_t{1}, std::multiplies<>()), *(last - 1),
          *last};
}

// The storage of FRACTAL_NZ with blocks of `columns` columns.
std::vector<int64_t> NzStorage(const std::vector<int64_t>& dims, int64_t columns) {
  const Matrices m = ToMatrices(dims);
  std::vector<int64_t> out(dims.begin(), dims.size() < 2 ? dims.begin() : dims.end() - 2);
  out.insert(out.end(), {(m.columns + columns - 1) / columns,
                         (m.rows + kBlockRows - 1) / kBlockRows, kBlockRows, columns});
  return out;
}

void CheckStorage(const FormatDesc& desc) {
  if (!IsDense(desc.format) && desc.format != kFormatNz) {
    throw Error(kAclnnInvalid,
                desc.Text() + ": SoftNPU casts between ND (2) and FRACTAL_NZ (29) only");
  }
  if (ElementBytes(desc.dtype) == 0) {
    throw Error(kAclnnInvalid, desc.Text() +
                                   ": a format cast takes float32, float16, bfloat16, int32, "
                                   "uint32, int8 and uint8");
  }
  if (desc.dims.empty() || desc.dims.size() > kMaxCastRank) {
    throw Error(kAclnnInvalid, Format("%s: %zu dimensions, the limits are 1 and %zu",
                                      desc.Text().c_str(), desc.dims.size(), kMaxCastRank));
  }
  if (Product(desc.dims) == 0) {
    throw Error(kAclnnInvalid, desc.Text() + ": an empty tensor has no other format");
  }
  const int64_t columns = desc.storage.empty() ? 0 : desc.storage.back();
  const int64_t wanted = ElementBytes(desc.dtype) == 1 ? 32 : 16;
  const std::vector<int64_t> storage =
      desc.format == kFormatNz ? NzStorage(desc.dims, wanted) : desc.dims;
  // Blocks of 16 columns of one byte are what torch_npu describes where it does not ask CANN.
  if (desc.storage != storage &&
      !(desc.format == kFormatNz && columns == 16 && desc.storage == NzStorage(desc.dims, 16))) {
    throw Error(kAclnnInvalid, desc.Text() + " is stored as " + ListText(desc.storage) +
                                   ", the format needs " + ListText(storage));
  }
}

// Calls body(element of the dense tensor, element of the storage, count) for runs of columns.
template <typename Body>
void ForEachRow(const FormatDesc& nz, Body&& body) {
  const Matrices m = ToMatrices(nz.dims);
  const int64_t columns = nz.storage.back();
  const int64_t rows = nz.storage[nz.storage.size() - 3] * kBlockRows;
  const int64_t blocks = nz.storage[nz.storage.size() - 4];
  for (int64_t b = 0; b < m.batch; ++b) {
    for (int64_t i = 0; i < m.rows; ++i) {
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t first = block * columns;
        body((b * m.rows + i) * m.columns + first, ((b * blocks + block) * rows + i) * columns,
             std::min(columns, m.columns - first));
      }
    }
  }
}

}  // namespace

std::string FormatDesc::Text() const {
  return Format("dtype %d %s, format %d", dtype, ListText(dims).c_str(), format);
}

int64_t StorageBytes(const FormatDesc& desc) {
  return Product(desc.storage) * ElementBytes(desc.dtype);
}

void CheckFormatCast(const FormatDesc& from, const FormatDesc& to) {
  CheckStorage(from);
  CheckStorage(to);
  if (from.dtype != to.dtype || from.dims != to.dims) {
    throw Error(kAclnnInvalid,
                "a format cast from " + from.Text() + " to " + to.Text() + " changes more");
  }
}

void FormatCast(const FormatDesc& from, const std::byte* source, const FormatDesc& to,
                std::byte* target) {
  const int64_t bytes = ElementBytes(from.dtype);
  const auto copy = [&](std::byte* out, int64_t out_element, const std::byte* in,
                        int64_t in_element, int64_t count) {
    std::memcpy(out + out_element * bytes, in + in_element * bytes,
                static_cast<size_t>(count * bytes));
  };
  if (from.storage == to.storage && (from.format == kFormatNz) == (to.format == kFormatNz)) {
    std::memmove(target, source, static_cast<size_t>(StorageBytes(from)));
  } else if (to.format == kFormatNz) {
    std::memset(target, 0, static_cast<size_t>(StorageBytes(to)));
    ForEachRow(to, [&](int64_t dense, int64_t stored, int64_t count) {
      copy(target, stored, source, dense, count);
    });
  } else {
    ForEachRow(from, [&](int64_t dense, int64_t stored, int64_t count) {
      copy(target, dense, source, stored, count);
    });
  }
}

}  // namespace softnpu
