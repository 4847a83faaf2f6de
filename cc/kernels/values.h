// cc/kernels/values.h: the elements of a tensor of any floating type, for references in tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "cc/ops/tensor.h"
#include "cc/softnpu/ascendc/numeric.h"

namespace vllm_cann::kernels {

// Elements as bytes of their type: float32, float16 or bfloat16.
struct Values {
  ops::DataType type = ops::DataType::kFloat;
  std::vector<uint8_t> bytes;

  Values() = default;
  Values(ops::DataType t, size_t count)
      : type(t), bytes(count * static_cast<size_t>(ops::ElementBytes(t))) {}
  size_t size() const { return bytes.size() / static_cast<size_t>(ops::ElementBytes(type)); }
  // To nearest, ties to even.
  void Set(size_t i, float value) {
    if (type == ops::DataType::kFloat) {
      std::memcpy(&bytes[i * 4], &value, 4);
      return;
    }
    const uint16_t bits = type == ops::DataType::kFloat16
                              ? softnpu::numeric::FloatToHalf(value)
                              : softnpu::numeric::FloatToBfloat16(value);
    std::memcpy(&bytes[i * 2], &bits, 2);
  }
  double operator[](size_t i) const {
    if (type == ops::DataType::kFloat) {
      float value;
      std::memcpy(&value, &bytes[i * 4], 4);
      return value;
    }
    uint16_t bits;
    std::memcpy(&bits, &bytes[i * 2], 2);
    return type == ops::DataType::kFloat16 ? softnpu::numeric::HalfToFloat(bits)
                                           : softnpu::numeric::Bfloat16ToFloat(bits);
  }
};

// Bytes of any kind, eight at a time.
inline void FillBytes(std::vector<uint8_t>& bytes, std::mt19937& random) {
  std::mt19937_64 wide(random());
  for (size_t i = 0; i < bytes.size(); i += 8) {
    const uint64_t word = wide();
    std::memcpy(&bytes[i], &word, std::min<size_t>(8, bytes.size() - i));
  }
}

// Standard normal numbers in turn out of a table, from any place on. Its size is a prime, so rows
// of a tensor differ.
class Normals {
 public:
  explicit Normals(std::mt19937& random) : at_(random() % kSize) {}
  float operator()() {
    static const std::vector<float> table = [] {
      std::mt19937 random(1);
      std::normal_distribution<float> normal;
      std::vector<float> out(kSize);
      for (float& value : out) value = normal(random);
      return out;
    }();
    if (++at_ >= kSize) at_ = 0;
    return table[at_];
  }

 private:
  static constexpr size_t kSize = 65521;
  size_t at_;
};

// So many of them in a type.
inline Values RandomValues(ops::DataType type, int64_t count, std::mt19937& random) {
  Values values(type, static_cast<size_t>(count));
  Normals normal(random);
  for (size_t i = 0; i < values.size(); ++i) values.Set(i, normal());
  return values;
}

// The distance of `value` to its neighbours in a type.
inline double LastPlace(ops::DataType type, double value) {
  const int mantissa = type == ops::DataType::kFloat16    ? 10
                       : type == ops::DataType::kBfloat16 ? 7
                                                          : 23;
  const int least = type == ops::DataType::kFloat16 ? -14 : -126;
  int exponent = least;
  if (value != 0.0) exponent = std::max(least, std::ilogb(value));
  return std::ldexp(1.0, exponent - mantissa);
}

}  // namespace vllm_cann::kernels
