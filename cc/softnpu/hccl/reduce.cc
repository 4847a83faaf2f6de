// cc/softnpu/hccl/reduce.cc: loops over blocks of elements that stay in the host's cache.
#include "cc/softnpu/hccl/reduce.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "cc/softnpu/ascendc/numeric.h"
#include "cc/softnpu/base/error.h"

namespace softnpu::hccl {
namespace {

constexpr size_t kBlock = 4096;  // elements

struct Half {
  static float Widen(uint16_t bits) { return numeric::HalfToFloat(bits); }
  static uint16_t Round(float value) { return numeric::FloatToHalf(value); }
};
struct Bfloat16 {
  static float Widen(uint16_t bits) { return numeric::Bfloat16ToFloat(bits); }
  static uint16_t Round(float value) { return numeric::FloatToBfloat16(value); }
};
template <typename T>
struct Plain {
  static T Widen(T value) { return value; }
  static T Round(T value) { return value; }
};

template <Reduction kReduction, typename T>
T Step(T a, T b) {
  if constexpr (kReduction == Reduction::kMax || kReduction == Reduction::kMin) {
    const bool take_b = kReduction == Reduction::kMax ? b > a : b < a;
    if constexpr (std::is_floating_point_v<T>) return take_b || b != b ? (a != a ? a : b) : a;
    return take_b ? b : a;
  } else if constexpr (std::is_integral_v<T>) {
    // Unsigned and wide enough: neither overflow nor the promotion of short types is undefined.
    using Wide = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
    const Wide x = static_cast<Wide>(a);
    const Wide y = static_cast<Wide>(b);
    return static_cast<T>(kReduction == Reduction::kSum ? x + y : x * y);
  } else {
    return kReduction == Reduction::kSum ? a + b : a * b;
  }
}

template <Reduction kReduction, typename T, typename Kind>
void Fold(const std::vector<const std::byte*>& ins, const std::vector<std::byte*>& outs,
          size_t count) {
  std::array<T, kBlock> sums;
  std::array<T, kBlock> next;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t length = std::min(kBlock, count - begin);
    const size_t offset = begin * sizeof(T);
    std::memcpy(sums.data(), ins[0] + offset, length * sizeof(T));
    for (size_t rank = 1; rank < ins.size(); ++rank) {
      std::memcpy(next.data(), ins[rank] + offset, length * sizeof(T));
      for (size_t i = 0; i < length; ++i) {
        sums[i] = Kind::Round(Step<kReduction>(Kind::Widen(sums[i]), Kind::Widen(next[i])));
      }
    }
    for (std::byte* const out : outs) {
      std::memcpy(out + offset, sums.data(), length * sizeof(T));
    }
  }
}

template <typename T, typename Kind = Plain<T>>
void FoldBy(Reduction reduction, const std::vector<const std::byte*>& ins,
            const std::vector<std::byte*>& outs, size_t count) {
  switch (reduction) {
    case Reduction::kSum:
      return Fold<Reduction::kSum, T, Kind>(ins, outs, count);
    case Reduction::kProd:
      return Fold<Reduction::kProd, T, Kind>(ins, outs, count);
    case Reduction::kMax:
      return Fold<Reduction::kMax, T, Kind>(ins, outs, count);
    case Reduction::kMin:
      return Fold<Reduction::kMin, T, Kind>(ins, outs, count);
  }
}

}  // namespace

void Reduce(DType dtype, Reduction reduction, const std::vector<const std::byte*>& ins,
            const std::vector<std::byte*>& outs, size_t count) {
  switch (dtype) {
    case DType::kInt8:
      return FoldBy<int8_t>(reduction, ins, outs, count);
    case DType::kInt16:
      return FoldBy<int16_t>(reduction, ins, outs, count);
    case DType::kInt32:
      return FoldBy<int32_t>(reduction, ins, outs, count);
    case DType::kInt64:
      return FoldBy<int64_t>(reduction, ins, outs, count);
    case DType::kFloat16:
      return FoldBy<uint16_t, Half>(reduction, ins, outs, count);
    case DType::kBfloat16:
      return FoldBy<uint16_t, Bfloat16>(reduction, ins, outs, count);
    case DType::kFloat32:
      return FoldBy<float>(reduction, ins, outs, count);
    default:
      throw Error(kInternal, Format("%s is not reduced", NameOf(dtype)));
  }
}

}  // namespace softnpu::hccl
