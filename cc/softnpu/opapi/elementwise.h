// cc/softnpu/opapi/elementwise.h: one function over all elements of broadcast, strided operands.
//
// Arithmetic: operands are loaded into the compute type (float for 16-bit and float32, double for
// float64, int64_t for integers and bool), the function runs, and the result is rounded once into
// the output's dtype: to nearest even for floating types; integers wrap; floating to integer
// truncates and saturates, NaN becomes 0. O(elements), no temporary larger than a chunk.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include "cc/softnpu/opapi/tensor.h"

namespace softnpu {

constexpr int64_t kChunk = 512;

// `stride` counts elements.
void LoadElements(DType dtype, const std::byte* from, int64_t stride, int64_t count, float* to);
void LoadElements(DType dtype, const std::byte* from, int64_t stride, int64_t count, double* to);
void LoadElements(DType dtype, const std::byte* from, int64_t stride, int64_t count, int64_t* to);
void StoreElements(DType dtype, std::byte* to, int64_t stride, int64_t count, const float* from);
void StoreElements(DType dtype, std::byte* to, int64_t stride, int64_t count, const double* from);
void StoreElements(DType dtype, std::byte* to, int64_t stride, int64_t count, const int64_t* from);

float HalfToFloat(uint16_t bits);
uint16_t FloatToHalf(float value);
float Bfloat16ToFloat(uint16_t bits);
uint16_t FloatToBfloat16(float value);
// A float from which FloatToHalf and FloatToBfloat16 give what one rounding of `value` gives:
// inexact values go to the neighbour with an odd fraction, which is never half way between two
// shorter ones.
float RoundToOdd(double value);
float RoundToOdd(int64_t value);

enum class Compute { kFloat, kDouble, kInteger };

// The compute type for operands of these dtypes.
Compute ComputeFor(std::initializer_list<DType> dtypes);

// Walks `N` views of equal shape (stride 0 where broadcast), with dimensions merged where all of
// them are dense, and calls body(pointers, inner strides, count) per innermost run.
template <size_t N, typename Body>
void ForEachRun(const std::array<View, N>& views, Body&& body) {
  int rank = 0;
  std::array<int64_t, kMaxRank> dims;
  std::array<std::array<int64_t, kMaxRank>, N> strides;
  for (int d = 0; d < views[0].rank; ++d) {
    const int64_t dim = views[0].Dim(d);
    if (dim == 0) return;
    if (dim == 1) continue;
    const auto at = static_cast<size_t>(rank);
    bool merge = rank > 0;
    for (size_t i = 0; i < N && merge; ++i) {
      merge = strides[i][at - 1] == views[i].Stride(d) * dim;
    }
    if (merge) {
      dims[at - 1] *= dim;
      for (size_t i = 0; i < N; ++i) strides[i][at - 1] = views[i].Stride(d);
    } else {
      dims[at] = dim;
      for (size_t i = 0; i < N; ++i) strides[i][at] = views[i].Stride(d);
      ++rank;
    }
  }
  if (rank == 0) {
    dims[0] = 1;
    for (size_t i = 0; i < N; ++i) strides[i][0] = 1;
    rank = 1;
  }
  std::array<std::byte*, N> base;
  std::array<int64_t, N> inner;
  std::array<int64_t, N> bytes;
  const auto last = static_cast<size_t>(rank - 1);
  for (size_t i = 0; i < N; ++i) {
    base[i] = views[i].Host();
    inner[i] = strides[i][last];
    bytes[i] = Size(views[i].dtype);
  }
  std::array<int64_t, kMaxRank> index = {};
  while (true) {
    body(base, inner, dims[last]);
    int d = rank - 2;
    for (; d >= 0; --d) {
      const auto at = static_cast<size_t>(d);
      for (size_t i = 0; i < N; ++i) base[i] += strides[i][at] * bytes[i];
      if (++index[at] < dims[at]) break;
      for (size_t i = 0; i < N; ++i) base[i] -= strides[i][at] * dims[at] * bytes[i];
      index[at] = 0;
    }
    if (d < 0) return;
  }
}

// out[i] = function(in[0][i], in[1][i], ...), computed in C.
template <typename C, size_t N, typename Function>
void Map(const View& out, const std::array<View, N>& inputs, Function function) {
  std::array<View, N + 1> views;
  views[0] = out;
  for (size_t i = 0; i < N; ++i) views[i + 1] = Expanded(inputs[i], out, "an operand");
  ForEachRun(views, [&](const auto& base, const auto& strides, int64_t count) {
    C operands[N == 0 ? 1 : N][kChunk];
    C results[kChunk];
    for (int64_t done = 0; done < count; done += kChunk) {
      const int64_t n = std::min(kChunk, count - done);
      for (size_t i = 0; i < N; ++i) {
        const View& view = views[i + 1];
        LoadElements(view.dtype, base[i + 1] + done * strides[i + 1] * Size(view.dtype),
                     strides[i + 1], n, operands[i]);
      }
      if constexpr (N == 0) {
        for (int64_t k = 0; k < n; ++k) results[k] = function();
      } else if constexpr (N == 1) {
        for (int64_t k = 0; k < n; ++k) results[k] = function(operands[0][k]);
      } else if constexpr (N == 2) {
        for (int64_t k = 0; k < n; ++k) results[k] = function(operands[0][k], operands[1][k]);
      } else {
        for (int64_t k = 0; k < n; ++k) {
          results[k] = function(operands[0][k], operands[1][k], operands[2][k]);
        }
      }
      StoreElements(out.dtype, base[0] + done * strides[0] * Size(out.dtype), strides[0], n,
                    results);
    }
  });
}

// Calls `body` with a value of the compute type, for templates over it.
template <typename Body>
void Dispatch(Compute compute, Body&& body) {
  switch (compute) {
    case Compute::kFloat:
      body(float{});
      return;
    case Compute::kDouble:
      body(double{});
      return;
    case Compute::kInteger:
      body(int64_t{});
      return;
  }
}

// Copies with conversion; bytes are moved unchanged when the dtypes are equal.
void CopyElements(const View& out, const View& in);
// Gives every element the value, converted.
void FillElements(const View& out, const Scalar& value);

}  // namespace softnpu
