// cc/softnpu/ascendc/vector_unit.h: element types and walks that the vector unit's files share.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cc/softnpu/ascendc/access.h"
#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/names.h"
#include "cc/softnpu/ascendc/numeric.h"

namespace softnpu::ascendc::vector {

inline constexpr uint32_t kMaxRepeat = 255;
inline constexpr uint64_t kBlocksPerRepeat = kRepeatBytes / kBlockBytes;

// Storage of the two 16-bit floats; the conversions are theirs.
struct Half {
  uint16_t bits;
};
struct Bfloat {
  uint16_t bits;
};

inline float Load(float value) { return value; }
inline float Load(Half value) { return numeric::HalfToFloat(value.bits); }
inline float Load(Bfloat value) { return numeric::Bfloat16ToFloat(value.bits); }

template <typename T>
inline T Store(float value) {
  if constexpr (std::is_same_v<T, Half>) {
    return Half{numeric::FloatToHalf(value)};
  } else if constexpr (std::is_same_v<T, Bfloat>) {
    return Bfloat{numeric::FloatToBfloat16(value)};
  } else {
    return value;
  }
}

// Of a double, rounded once.
template <typename T>
inline T StoreDouble(double value) {
  float nearest = static_cast<float>(value);
  if constexpr (!std::is_same_v<T, float>) {
    // Between two floats the odd one keeps what the second rounding has to know.
    uint32_t bits = numeric::FloatBits(nearest);
    bits -= std::fabs(static_cast<double>(nearest)) > std::fabs(value) ? 1 : 0;
    bits |= static_cast<double>(nearest) != value && value == value ? 1 : 0;
    nearest = numeric::BitsFloat(bits);
  }
  return Store<T>(nearest);
}

template <typename T>
constexpr bool kIsFloat =
    std::is_same_v<T, float> || std::is_same_v<T, Half> || std::is_same_v<T, Bfloat>;

// What an element computes as: floats as float, integers as themselves.
template <typename T>
inline auto Value(T element) {
  if constexpr (kIsFloat<T>) {
    return Load(element);
  } else {
    return element;
  }
}

template <typename T>
T BitsTo(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
template <typename T>
uint64_t ToBits(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <typename T>
T ScalarOf(const SoftnpuInstruction& instruction) {
  return BitsTo<T>(instruction.scalar);
}

template <typename T>
T* As(std::byte* bytes) {
  return reinterpret_cast<T*>(bytes);
}
template <typename T>
T Peek(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}
template <typename T>
void Poke(std::byte* bytes, T value) {
  std::memcpy(bytes, &value, sizeof(T));
}

inline float NaN() { return std::numeric_limits<float>::quiet_NaN(); }

// Larger and smaller of two: a NaN wins, and +0 is larger than -0.
template <typename V>
inline V Larger(V a, V b) {
  if constexpr (std::is_same_v<V, float>) {
    if (std::isnan(a) || std::isnan(b)) return NaN();
    if (a == b)
      return std::bit_cast<float>(std::bit_cast<uint32_t>(a) & std::bit_cast<uint32_t>(b));
  }
  return a > b ? a : b;
}
template <typename V>
inline V Smaller(V a, V b) {
  if constexpr (std::is_same_v<V, float>) {
    if (std::isnan(a) || std::isnan(b)) return NaN();
    if (a == b)
      return std::bit_cast<float>(std::bit_cast<uint32_t>(a) | std::bit_cast<uint32_t>(b));
  }
  return a < b ? a : b;
}

// Numbers of AscendC's RoundMode.
enum RoundMode : int64_t {
  kNone = 0,
  kRint,
  kFloor,
  kCeil,
  kRound,
  kTrunc,
  kOdd,
};

double RoundTo(double value, int64_t mode);

template <typename To>
To SaturateTo(double value) {
  if (std::isnan(value)) return 0;
  // The limits as doubles: that of int64_t rounds up to 2^63, which does not fit.
  if (value >= static_cast<double>(std::numeric_limits<To>::max())) {
    return std::numeric_limits<To>::max();
  }
  if (value <= static_cast<double>(std::numeric_limits<To>::min())) {
    return std::numeric_limits<To>::min();
  }
  return static_cast<To>(value);
}

// In saturation mode a half or bfloat16 has neither infinities nor NaN.
template <typename T>
T ClampFloat(T value) {
  const uint16_t magnitude = value.bits & 0x7fff;
  const uint16_t infinity = std::is_same_v<T, Half> ? 0x7c00 : 0x7f80;
  if (magnitude < infinity) return value;
  if (magnitude > infinity) return T{0};
  return T{static_cast<uint16_t>((value.bits & 0x8000) | (infinity - 1))};
}

inline uint64_t RepeatsOf(const SoftnpuInstruction& in, uint64_t per) {
  if (in.form != SOFTNPU_FORM_COUNTER) return in.repeat;
  return (static_cast<uint64_t>(in.count) + per - 1) / per;
}

// The elements of a repeat that take part, of `per`: a bit each, the first element in word 0.
struct LaneBits {
  uint64_t word[2];

  bool operator[](uint64_t lane) const { return (word[lane / 64] >> (lane % 64) & 1) != 0; }
  bool any() const { return (word[0] | word[1]) != 0; }
};

inline LaneBits Prefix(uint64_t n) {
  const auto ones = [](uint64_t k) { return k >= 64 ? ~uint64_t{0} : (uint64_t{1} << k) - 1; };
  return {{ones(n), n > 64 ? ones(n - 64) : 0}};
}

// For every form but COUNT.
inline LaneBits LanesOf(const SoftnpuInstruction& in, uint64_t repeat, uint64_t per) {
  if (in.form == SOFTNPU_FORM_BITS) return {{in.mask[0], in.mask[1]}};
  if (in.form == SOFTNPU_FORM_MASK) return Prefix(in.mask[0]);
  return Prefix(std::min(per, static_cast<uint64_t>(in.count) - repeat * per));
}

// Byte offset of a lane inside an operand's repeat.
inline uint64_t LaneOffset(uint64_t lane, uint64_t size, uint64_t block_stride) {
  const uint64_t byte = lane * size;
  return byte / kBlockBytes * block_stride * kBlockBytes + byte % kBlockBytes;
}

// Calls `body(d, a, b, n)` for runs of n elements that are contiguous in every operand. The
// elements of 32 bytes of the widest operand never cross a block of any operand.
template <typename Body>
void Walk(const SoftnpuInstruction& in, std::byte* ub, uint64_t widest, Body&& body) {
  std::byte* host[4] = {};
  uint64_t size[4] = {1, 1, 1, 1};
  bool packed = true;
  for (uint32_t i = 0; i < in.operand_count; ++i) {
    host[i] = ub + in.operand[i].address;
    size[i] = TypeBytes(in.operand[i].type);
    packed = packed && in.block_stride[i] == 1;
  }
  if (in.form == SOFTNPU_FORM_COUNT) {
    body(host[0], host[1], host[2], static_cast<uint64_t>(in.count));
    return;
  }
  const uint64_t group = kBlockBytes / widest;
  const uint64_t per = kRepeatBytes / widest;
  const uint64_t repeats = RepeatsOf(in, per);
  for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
    std::byte* start[4] = {};
    for (uint32_t i = 0; i < in.operand_count; ++i) {
      start[i] = host[i] + repeat * in.repeat_stride[i] * kBlockBytes;
    }
    if (in.form != SOFTNPU_FORM_BITS && packed) {
      body(start[0], start[1], start[2],
           in.form == SOFTNPU_FORM_MASK
               ? in.mask[0]
               : std::min(per, static_cast<uint64_t>(in.count) - repeat * per));
      continue;
    }
    const LaneBits lanes = LanesOf(in, repeat, per);
    for (uint64_t first = 0; first < per; first += group) {
      uint64_t bits = lanes.word[first / 64] >> (first % 64) & ((uint64_t{1} << group) - 1);
      while (bits != 0) {
        const uint64_t skip = static_cast<uint64_t>(std::countr_zero(bits));
        const uint64_t n = static_cast<uint64_t>(std::countr_one(bits >> skip));
        std::byte* at[4] = {};
        for (uint32_t i = 0; i < in.operand_count; ++i) {
          at[i] = start[i] + LaneOffset(first + skip, size[i], in.block_stride[i]);
        }
        body(at[0], at[1], at[2], n);
        bits &= ~(((uint64_t{1} << n) - 1) << skip);
      }
    }
  }
}

// Calls `run.operator()<T>()` for the types of arithmetic; false for others.
template <typename Run>
bool ArithmeticType(uint8_t type, Run&& run) {
  switch (type) {
    case SOFTNPU_FLOAT:
      run.template operator()<float>();
      return true;
    case SOFTNPU_FLOAT16:
      run.template operator()<Half>();
      return true;
    case SOFTNPU_INT16:
      run.template operator()<int16_t>();
      return true;
    case SOFTNPU_INT32:
      run.template operator()<int32_t>();
      return true;
    default:
      return false;
  }
}
template <typename Run>
bool FloatType(uint8_t type, Run&& run) {
  if (type == SOFTNPU_FLOAT) {
    run.template operator()<float>();
  } else if (type == SOFTNPU_FLOAT16) {
    run.template operator()<Half>();
  } else {
    return false;
  }
  return true;
}

using Function = void (*)(const SoftnpuInstruction&, std::byte* ub);

}  // namespace softnpu::ascendc::vector
