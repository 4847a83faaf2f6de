// cc/softnpu/opapi/quantise.h: what operators of 8-bit numbers share: rounding to int8, exact
// products of int8, and what becomes of their sums.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/tensor.h"

namespace softnpu {

constexpr float kLargestInt8 = 127.0F;

// The int8 next to a value, ties to even, saturated; 0 for NaN.
int8_t NearestInt8(float value);
int8_t NearestInt8(double value);

// All elements in order, whatever the strides are.
std::vector<float> Floats(const View& view);
std::vector<int64_t> Integers(const View& view);
// `out` = the numbers, in order.
void StoreInt8(const View& out, const std::vector<int8_t>& numbers);

// Throws Error 161002 naming the argument unless its dtype is one of these.
void CheckDtype(const View& view, const char* name, std::initializer_list<DType> dtypes);
// Throws Error 161002 naming the argument unless it has this shape.
void CheckDims(const View& view, const char* name, const std::vector<int64_t>& dims);
// Throws Error 161002 naming the argument unless it has one dimension, of 1 or of `size`.
void CheckOneOrEach(const View& view, const char* name, int64_t size);
// Dense, or dense with the last two dimensions exchanged.
bool IsDenseOrTransposed(const View& view);

// A quantisation parameter of the chip: 64 bits with a scale of 19 bits (sign, exponent, 10 bits
// of fraction) where float32 has them, and an offset of 9 bits from bit 37 on.
int64_t PackScale(float scale, bool round);
int64_t PackOffset(int64_t packed, float offset);
float UnpackScale(int64_t packed);
int UnpackOffset(int64_t packed);

// What becomes of a sum of products of int8, in column n of row m:
//   (sum + whole_bias[n]) * scale[n] * row_scale[m] + bias[n] + offset[n]
// in double, rounded once into the type of the result. Each list may be empty; `scale`, `offset`
// may have one element for all columns.
struct Dequantisation {
  std::vector<int64_t> whole_bias;
  std::vector<float> scale;
  std::vector<float> row_scale;
  std::vector<float> bias;
  std::vector<int> offset;
};

// Takes the parameters out of packed ones.
void Unpack(const std::vector<int64_t>& packed, Dequantisation* to);

// out = a @ b, by `how`; a [M, K] and b [K, N] are int8, K is below 2^16, so that no sum leaves
// int32; out [M, N] is contiguous.
void MultiplyInt8(const View& a, const View& b, const Dequantisation& how, const View& out);

}  // namespace softnpu
