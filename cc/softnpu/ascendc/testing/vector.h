// cc/softnpu/ascendc/testing/vector.h: runs a few vector instructions on bytes and hands back
// bytes.
#pragma once

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include "cc/softnpu/ascendc/testing/kernels.h"
#include "cc/softnpu/ascendc/twin.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace softnpu::ascendc::testing {

// Input bytes at UB 0, as many zeros behind them that are copied to the output, and scratch.
inline constexpr uint32_t kBytes = 16384;
using Bytes = AscendC::LocalTensor<uint8_t>;
inline std::function<void(const Bytes& in, const Bytes& out, const Bytes& scratch)> g_body;

inline void BodyKernel(GM_ADDR input, GM_ADDR output) {
  using namespace AscendC;
  GlobalTensor<uint8_t> from, to;
  from.SetGlobalBuffer(input, kBytes);
  to.SetGlobalBuffer(output, kBytes);
  TPipe pipe;
  TBuf<> in, out, scratch;
  pipe.InitBuffer(in, kBytes);
  pipe.InitBuffer(out, kBytes);
  pipe.InitBuffer(scratch, 4 * kBytes);
  DataCopy(in.Get<uint8_t>(), from, kBytes);
  Duplicate(out.Get<int32_t>(), 0, kBytes / 4);
  PipeBarrier<PIPE_ALL>();
  g_body(in.Get<uint8_t>(), out.Get<uint8_t>(), scratch.Get<uint8_t>());
  PipeBarrier<PIPE_ALL>();
  DataCopy(to, out.Get<uint8_t>(), kBytes);
}

// body(in, out, scratch): tensors of U, T and uint8_t. Throws KernelError.
template <typename T, typename U, typename Body>
std::vector<T> RunOn(const std::vector<U>& input, Body&& body, const Profile& chip = Chip910B()) {
  twin::Bind(CoreApi());
  HostMemory memory;
  std::vector<uint8_t> bytes(kBytes, 0);
  EXPECT_LE(input.size() * sizeof(U), bytes.size());
  if (!input.empty()) {
    std::memcpy(bytes.data(), static_cast<const void*>(input.data()), input.size() * sizeof(U));
  }
  const uintptr_t in = memory.Put(bytes, "input");
  const uintptr_t out = memory.Allocate(kBytes, "output");
  g_body = [&body](const Bytes& a, const Bytes& b, const Bytes& c) {
    if constexpr (std::is_invocable_v<Body, AscendC::LocalTensor<U>, AscendC::LocalTensor<T>,
                                      Bytes>) {
      body(a.ReinterpretCast<U>(), b.ReinterpretCast<T>(), c);
    } else {
      body(a.ReinterpretCast<U>(), b.ReinterpretCast<T>());
    }
  };
  const Slots slots(in, out);
  Launch(chip, memory, twin::MakeEntry<&BodyKernel>("kernel", __FILE__, __LINE__), slots.data(),
         slots.bytes(), 1, true);
  return memory.Get<T>(out);
}

// The fault of a body, empty when there is none.
template <typename T = float, typename U = float, typename Body>
std::string FaultOf(Body&& body, const Profile& chip = Chip910B()) {
  try {
    RunOn<T, U>(std::vector<U>(), body, chip);
  } catch (const KernelError& error) {
    return error.fault();
  }
  return "";
}

inline half HalfOfBits(uint16_t bits) {
  half value;
  value.bits = bits;
  return value;
}
// Rounded once, to nearest even, by the compiler.
inline half ToHalf(double value) {
  return HalfOfBits(std::bit_cast<uint16_t>(static_cast<_Float16>(value)));
}
inline double FromHalf(half value) {
  return static_cast<double>(std::bit_cast<_Float16>(value.bits));
}
inline double ToDouble(half value) { return FromHalf(value); }
inline double ToDouble(float value) { return value; }

// Equal bits, or both NaN.
inline bool Same(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}
inline bool Same(half a, half b) {
  return std::isnan(FromHalf(a)) ? std::isnan(FromHalf(b)) : a.bits == b.bits;
}
template <typename T>
bool Same(T a, T b) {
  return a == b;
}

// Values with all specials in front, then random ones over the whole range of exponents.
inline std::vector<float> Floats(size_t n, uint32_t seed) {
  std::vector<float> values = {0.0f, -0.0f,  1.0f,     -1.0f,   INFINITY, -INFINITY,
                               NAN,  1e-45f, 1e-38f,   3.4e38f, -3.4e38f, 0.5f,
                               2.5f, -2.5f,  65504.0f, 1e30f};
  std::mt19937 random(seed);
  values.resize(n);
  for (size_t i = 16; i < n; ++i) {
    values[i] = std::ldexp(static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f,
                           static_cast<int>(random() % 24) - 12);
  }
  std::rotate(values.begin(), values.begin() + static_cast<long>(seed % n), values.end());
  return values;
}
inline std::vector<half> Halves(size_t n, uint32_t seed) {
  const uint16_t specials[] = {0,      0x8000, 0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x7e00, 1,
                               0x8001, 0x7bff, 0xfbff, 0x0400, 0x3800, 0x4100, 0xc100, 0x03ff};
  std::mt19937 random(seed);
  std::vector<half> values(n);
  for (size_t i = 0; i < n; ++i) {
    values[i] = HalfOfBits(i < 16 ? specials[i] : static_cast<uint16_t>(random()));
  }
  std::rotate(values.begin(), values.begin() + static_cast<long>(seed % n), values.end());
  return values;
}
template <typename T>
std::vector<T> Join(std::vector<T> a, const std::vector<T>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace softnpu::ascendc::testing
