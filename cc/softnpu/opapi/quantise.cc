// cc/softnpu/opapi/quantise.cc: rounding to int8, products of int8.
#include "cc/softnpu/opapi/quantise.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/elementwise.h"

namespace softnpu {
namespace {

constexpr uint32_t kScaleBits = 0xFFFFE000;  // of a float32, those that the chip keeps
constexpr int kOffsetShift = 37;
constexpr int64_t kOffsetMask = 0x1FF;
constexpr int64_t kPackedMark = int64_t{1} << 46;

template <typename T>
int8_t Nearest(T value) {
  if (std::isnan(value)) return 0;
  return static_cast<int8_t>(std::clamp(std::nearbyint(value), T{-128}, T{127}));
}

template <typename T>
T At(const std::vector<T>& list, int64_t i, T without) {
  if (list.empty()) return without;
  return list.size() == 1 ? list[0] : list[static_cast<size_t>(i)];
}

}  // namespace

int8_t NearestInt8(float value) { return Nearest(value); }
int8_t NearestInt8(double value) { return Nearest(value); }

std::vector<float> Floats(const View& view) {
  std::vector<float> out(static_cast<size_t>(view.Count()));
  size_t at = 0;
  ForEachRun<1>({view}, [&](const auto& base, const auto& strides, int64_t count) {
    LoadElements(view.dtype, base[0], strides[0], count, &out[at]);
    at += static_cast<size_t>(count);
  });
  return out;
}

std::vector<int64_t> Integers(const View& view) {
  std::vector<int64_t> out(static_cast<size_t>(view.Count()));
  size_t at = 0;
  ForEachRun<1>({view}, [&](const auto& base, const auto& strides, int64_t count) {
    LoadElements(view.dtype, base[0], strides[0], count, &out[at]);
    at += static_cast<size_t>(count);
  });
  return out;
}

void StoreInt8(const View& out, const std::vector<int8_t>& numbers) {
  size_t at = 0;
  ForEachRun<1>({out}, [&](const auto& base, const auto& strides, int64_t count) {
    auto* const to = reinterpret_cast<int8_t*>(base[0]);
    for (int64_t i = 0; i < count; ++i) to[i * strides[0]] = numbers[at++];
  });
}

void CheckDtype(const View& view, const char* name, std::initializer_list<DType> dtypes) {
  std::string wanted;
  for (const DType dtype : dtypes) {
    if (view.dtype == dtype) return;
    wanted += (wanted.empty() ? "" : " or ") + std::string(Name(dtype));
  }
  throw Error(kAclnnInvalid,
              std::string("'") + name + "' is " + view.Text() + ", it must be " + wanted);
}

void CheckDims(const View& view, const char* name, const std::vector<int64_t>& dims) {
  if (view.Shape() == dims) return;
  View wanted = view;
  wanted.rank = static_cast<int>(dims.size());
  std::copy(dims.begin(), dims.end(), wanted.dims.begin());
  throw Error(kAclnnInvalid,
              std::string("'") + name + "' is " + view.Text() + ", it must be " + wanted.Text());
}

void CheckOneOrEach(const View& view, const char* name, int64_t size) {
  if (view.rank == 1 && (view.Dim(0) == 1 || view.Dim(0) == size)) return;
  throw Error(kAclnnInvalid, std::string("'") + name + "' is " + view.Text() +
                                 Format(", it must have one dimension, of 1 or of %lld",
                                        static_cast<long long>(size)));
}

bool IsDenseOrTransposed(const View& view) {
  View swapped = view;
  const auto last = static_cast<size_t>(view.rank - 1);
  std::swap(swapped.dims[last - 1], swapped.dims[last]);
  std::swap(swapped.strides[last - 1], swapped.strides[last]);
  return view.IsContiguous() || swapped.IsContiguous();
}

int64_t PackScale(float scale, bool round) {
  auto bits = std::bit_cast<uint32_t>(scale);
  // To nearest, ties to an even last bit of those that stay.
  if (round) bits += 0xFFF + ((bits >> 13) & 1);
  return static_cast<int64_t>(bits & kScaleBits) | kPackedMark;
}

int64_t PackOffset(int64_t packed, float offset) {
  const auto whole =
      static_cast<int64_t>(std::clamp(std::nearbyint(static_cast<double>(offset)), -256.0, 255.0));
  return (packed & ~(kOffsetMask << kOffsetShift)) | ((whole & kOffsetMask) << kOffsetShift);
}

float UnpackScale(int64_t packed) {
  return std::bit_cast<float>(static_cast<uint32_t>(packed) & kScaleBits);
}

int UnpackOffset(int64_t packed) {
  const auto bits = static_cast<int>((packed >> kOffsetShift) & kOffsetMask);
  return bits > 255 ? bits - 512 : bits;
}

void Unpack(const std::vector<int64_t>& packed, Dequantisation* to) {
  for (const int64_t one : packed) {
    to->scale.push_back(UnpackScale(one));
    to->offset.push_back(UnpackOffset(one));
  }
}

void MultiplyInt8(const View& a, const View& b, const Dequantisation& how, const View& out) {
  const int64_t rows = out.Dim(0);
  const int64_t columns = out.Dim(1);
  if (rows == 0 || columns == 0) return;
  const AtenTensor product = Aten("aten::_int_mm", "", ToAten(a), ToAten(b))[0];
  const auto* sums = static_cast<const int32_t*>(product.data_ptr());
  std::vector<double> row(static_cast<size_t>(columns));
  std::byte* to = out.Host();
  for (int64_t m = 0; m < rows; ++m) {
    const double row_scale = At(how.row_scale, m, 1.0F);
    for (int64_t n = 0; n < columns; ++n) {
      const auto sum = static_cast<double>(*sums++ + At<int64_t>(how.whole_bias, n, 0));
      row[static_cast<size_t>(n)] = sum * static_cast<double>(At(how.scale, n, 1.0F)) * row_scale +
                                    static_cast<double>(At(how.bias, n, 0.0F)) +
                                    At(how.offset, n, 0);
    }
    if (out.dtype == DType::kInt8) {
      std::transform(row.begin(), row.end(), reinterpret_cast<int8_t*>(to),
                     [](double value) { return NearestInt8(value); });
    } else {
      StoreElements(out.dtype, to, 1, columns, row.data());
    }
    to += columns * Size(out.dtype);
  }
}

}  // namespace softnpu
