// cc/softnpu/ascendc/vector.cc: the vector unit: forms, legality and arithmetic.
//
// Arithmetic follows the published boundary values of A2 and A3: integers wrap, Cast to integers
// saturates and makes 0 of a NaN, a 16-bit float is rounded once, to nearest even.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cc/softnpu/ascendc/core.h"
#include "cc/softnpu/ascendc/numeric.h"

namespace softnpu::ascendc {
namespace {

constexpr uint32_t kMaxRepeat = 255;

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

template <typename T>
constexpr bool kIsFloat =
    std::is_same_v<T, float> || std::is_same_v<T, Half> || std::is_same_v<T, Bfloat>;

template <typename T>
T ScalarOf(const SoftnpuInstruction& instruction) {
  T value;
  std::memcpy(&value, &instruction.scalar, sizeof(T));
  return value;
}

inline uint32_t BitsOf(float value) { return std::bit_cast<uint32_t>(value); }

struct AddOp {
  static float F(float a, float b) { return a + b; }
  template <typename T>
  static T I(T a, T b) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
  }
};
struct SubOp {
  static float F(float a, float b) { return a - b; }
  template <typename T>
  static T I(T a, T b) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(static_cast<U>(a) - static_cast<U>(b)));
  }
};
struct MulOp {
  static float F(float a, float b) { return a * b; }
  template <typename T>
  static T I(T a, T b) {
    // In 64 bits, where neither uint16_t's promotion to int nor the product overflows.
    return static_cast<T>(static_cast<uint64_t>(static_cast<int64_t>(a)) *
                          static_cast<uint64_t>(static_cast<int64_t>(b)));
  }
};
struct DivOp {
  static float F(float a, float b) { return a / b; }
};
struct MaxOp {
  static float F(float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<float>::quiet_NaN();
    if (a == b) return std::bit_cast<float>(BitsOf(a) & BitsOf(b));  // of +0 and -0: +0
    return a > b ? a : b;
  }
  template <typename T>
  static T I(T a, T b) {
    return a > b ? a : b;
  }
};
struct MinOp {
  static float F(float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<float>::quiet_NaN();
    if (a == b) return std::bit_cast<float>(BitsOf(a) | BitsOf(b));  // of +0 and -0: -0
    return a < b ? a : b;
  }
  template <typename T>
  static T I(T a, T b) {
    return a < b ? a : b;
  }
};

template <typename Op, typename T>
inline T Apply(T a, T b) {
  if constexpr (kIsFloat<T>) {
    return Store<T>(Op::F(Load(a), Load(b)));
  } else {
    return Op::I(a, b);
  }
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
  const uint64_t groups = kRepeatBytes / kBlockBytes;
  for (uint32_t repeat = 0; repeat < in.repeat; ++repeat) {
    std::byte* start[4] = {};
    for (uint32_t i = 0; i < in.operand_count; ++i) {
      start[i] = host[i] + uint64_t{repeat} * in.repeat_stride[i] * kBlockBytes;
    }
    if (in.form == SOFTNPU_FORM_MASK && packed) {
      body(start[0], start[1], start[2], in.mask[0]);
      continue;
    }
    for (uint64_t g = 0; g < groups; ++g) {
      const uint64_t first = g * group;
      uint64_t bits;
      if (in.form == SOFTNPU_FORM_MASK) {
        if (in.mask[0] <= first) break;
        const uint64_t n = std::min(group, in.mask[0] - first);
        bits = n == 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
      } else {
        bits = in.mask[first / 64] >> (first % 64) & ((uint64_t{1} << group) - 1);
      }
      while (bits != 0) {
        const uint64_t skip = static_cast<uint64_t>(std::countr_zero(bits));
        const uint64_t n = static_cast<uint64_t>(std::countr_one(bits >> skip));
        std::byte* at[4] = {};
        for (uint32_t i = 0; i < in.operand_count; ++i) {
          const uint64_t byte = (first + skip) * size[i];
          at[i] =
              start[i] + byte / kBlockBytes * in.block_stride[i] * kBlockBytes + byte % kBlockBytes;
        }
        body(at[0], at[1], at[2], n);
        bits &= ~(((uint64_t{1} << n) - 1) << skip);
      }
    }
  }
}

template <typename T>
T* As(std::byte* bytes) {
  return reinterpret_cast<T*>(bytes);
}

template <typename T, typename Op>
void Binary(const SoftnpuInstruction& in, std::byte* ub) {
  Walk(in, ub, sizeof(T), [](std::byte* d, std::byte* a, std::byte* b, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) As<T>(d)[i] = Apply<Op>(As<T>(a)[i], As<T>(b)[i]);
  });
}

template <typename T, typename Op>
void WithScalar(const SoftnpuInstruction& in, std::byte* ub) {
  const T scalar = ScalarOf<T>(in);
  Walk(in, ub, sizeof(T), [scalar](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) As<T>(d)[i] = Apply<Op>(As<T>(a)[i], scalar);
  });
}

template <typename T>
void Shift(const SoftnpuInstruction& in, std::byte* ub, bool left) {
  const uint64_t amount = static_cast<uint64_t>(ScalarOf<T>(in));
  using U = std::make_unsigned_t<T>;
  Walk(in, ub, sizeof(T), [amount, left](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      const T value = As<T>(a)[i];
      As<T>(d)[i] = left ? static_cast<T>(static_cast<uint64_t>(static_cast<U>(value)) << amount)
                         : static_cast<T>(value >> amount);
    }
  });
}

template <typename T>
void Fill(const SoftnpuInstruction& in, std::byte* ub) {
  const T scalar = ScalarOf<T>(in);
  Walk(in, ub, sizeof(T), [scalar](std::byte* d, std::byte*, std::byte*, uint64_t n) {
    std::fill_n(As<T>(d), n, scalar);
  });
}

template <typename T>
void Index(const SoftnpuInstruction& in, std::byte* ub) {
  T* const out = As<T>(ub + in.operand[0].address);
  const T first = ScalarOf<T>(in);
  for (int64_t i = 0; i < in.count; ++i) {
    if constexpr (kIsFloat<T>) {
      out[i] = Store<T>(Load(first) + static_cast<float>(i));
    } else {
      out[i] = AddOp::I(first, static_cast<T>(i));
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

double RoundTo(double value, int64_t mode) {
  switch (mode) {
    case kFloor:
      return std::floor(value);
    case kCeil:
      return std::ceil(value);
    case kRound:
      return std::round(value);
    case kTrunc:
      return std::trunc(value);
    case kOdd: {
      const double whole = std::trunc(value);
      if (whole == value || std::fmod(whole, 2.0) != 0.0) return whole;
      return whole + std::copysign(1.0, value);
    }
    default:
      return std::nearbyint(value);
  }
}

// To a 16-bit float of `mantissa` explicit bits and smallest normal exponent `least`, in any mode.
float RoundFloat(float value, int64_t mode, int mantissa, int least, double largest) {
  if (!std::isfinite(value) || value == 0.0f) return value;
  int exponent = 0;
  std::frexp(value, &exponent);  // |value| in [2^(exponent-1), 2^exponent)
  const int unit = std::max(exponent - 1, least) - mantissa;
  const double rounded =
      std::ldexp(RoundTo(std::ldexp(static_cast<double>(value), -unit), mode), unit);
  if (std::fabs(rounded) > largest) return std::copysign(INFINITY, value);
  return std::copysign(static_cast<float>(rounded), value);
}

template <typename To>
To Saturate(double value) {
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

template <typename To, typename From>
To Convert(From value, int64_t mode) {
  if constexpr (kIsFloat<From>) {
    const float in = Load(value);
    if constexpr (std::is_same_v<To, Half>) {
      return Store<Half>(RoundFloat(in, mode, 10, -14, 65504.0));
    } else if constexpr (std::is_same_v<To, Bfloat>) {
      return Store<Bfloat>(RoundFloat(in, mode, 7, -126, 0x1.fep127));
    } else if constexpr (std::is_same_v<To, float>) {
      if constexpr (!std::is_same_v<From, float>) return in;
      const float whole = static_cast<float>(RoundTo(in, mode));
      return whole == 0.0f ? 0.0f : whole;  // -0 becomes +0
    } else {
      return Saturate<To>(RoundTo(in, mode));
    }
  } else if constexpr (kIsFloat<To>) {
    if constexpr (std::is_same_v<To, float> && sizeof(From) > 2) {
      // Rounding a large integer: through the two neighbouring floats.
      const float nearest = static_cast<float>(value);
      if (mode == kNone || mode == kRint) return nearest;
      const double exact = static_cast<double>(value);  // int64 beyond 2^53: nearest even
      int exponent = 0;
      if (exact == 0.0) return 0.0f;
      std::frexp(exact, &exponent);
      const int unit = exponent - 24;
      return static_cast<float>(std::ldexp(RoundTo(std::ldexp(exact, -unit), mode), unit));
    } else if constexpr (std::is_same_v<To, Half>) {
      return Store<Half>(RoundFloat(static_cast<float>(value), mode, 10, -14, 65504.0));
    } else {
      return Store<To>(static_cast<float>(value));
    }
  } else {
    if (value > static_cast<From>(std::numeric_limits<To>::max())) {
      return std::numeric_limits<To>::max();
    }
    if (value < static_cast<From>(std::numeric_limits<To>::min())) {
      return std::numeric_limits<To>::min();
    }
    return static_cast<To>(value);
  }
}

template <typename To, typename From>
void CastRuns(const SoftnpuInstruction& in, std::byte* ub) {
  const int64_t mode = in.params[0];
  const uint64_t widest = std::max(sizeof(To), sizeof(From));
  Walk(in, ub, widest, [mode](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    To* const to = As<To>(d);
    const From* const from = As<From>(a);
    if constexpr (kIsFloat<To> && kIsFloat<From> && !std::is_same_v<To, From>) {
      if (mode == kNone || mode == kRint || std::is_same_v<To, float>) {
        for (uint64_t i = 0; i < n; ++i) to[i] = Store<To>(Load(from[i]));
        return;
      }
    }
    for (uint64_t i = 0; i < n; ++i) to[i] = Convert<To>(from[i], mode);
  });
}

template <typename To, typename From>
void CastInt64Widen(const SoftnpuInstruction& in, std::byte* ub) {
  Walk(in, ub, 8, [](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) As<To>(d)[i] = static_cast<To>(As<From>(a)[i]);
  });
}

using CastFunction = void (*)(const SoftnpuInstruction&, std::byte*);

// The pairs that A2's Cast takes; null for others.
CastFunction FindCast(uint8_t to, uint8_t from) {
  switch (from << 8 | to) {
    case SOFTNPU_FLOAT16 << 8 | SOFTNPU_FLOAT:
      return CastRuns<float, Half>;
    case SOFTNPU_FLOAT16 << 8 | SOFTNPU_INT32:
      return CastRuns<int32_t, Half>;
    case SOFTNPU_FLOAT16 << 8 | SOFTNPU_INT16:
      return CastRuns<int16_t, Half>;
    case SOFTNPU_FLOAT16 << 8 | SOFTNPU_INT8:
      return CastRuns<int8_t, Half>;
    case SOFTNPU_FLOAT16 << 8 | SOFTNPU_UINT8:
      return CastRuns<uint8_t, Half>;
    case SOFTNPU_BFLOAT16 << 8 | SOFTNPU_FLOAT:
      return CastRuns<float, Bfloat>;
    case SOFTNPU_BFLOAT16 << 8 | SOFTNPU_INT32:
      return CastRuns<int32_t, Bfloat>;
    case SOFTNPU_FLOAT << 8 | SOFTNPU_FLOAT:
      return CastRuns<float, float>;
    case SOFTNPU_FLOAT << 8 | SOFTNPU_FLOAT16:
      return CastRuns<Half, float>;
    case SOFTNPU_FLOAT << 8 | SOFTNPU_BFLOAT16:
      return CastRuns<Bfloat, float>;
    case SOFTNPU_FLOAT << 8 | SOFTNPU_INT16:
      return CastRuns<int16_t, float>;
    case SOFTNPU_FLOAT << 8 | SOFTNPU_INT32:
      return CastRuns<int32_t, float>;
    case SOFTNPU_FLOAT << 8 | SOFTNPU_INT64:
      return CastRuns<int64_t, float>;
    case SOFTNPU_INT8 << 8 | SOFTNPU_FLOAT16:
      return CastRuns<Half, int8_t>;
    case SOFTNPU_UINT8 << 8 | SOFTNPU_FLOAT16:
      return CastRuns<Half, uint8_t>;
    case SOFTNPU_INT16 << 8 | SOFTNPU_FLOAT16:
      return CastRuns<Half, int16_t>;
    case SOFTNPU_INT16 << 8 | SOFTNPU_FLOAT:
      return CastRuns<float, int16_t>;
    case SOFTNPU_INT32 << 8 | SOFTNPU_FLOAT:
      return CastRuns<float, int32_t>;
    case SOFTNPU_INT32 << 8 | SOFTNPU_INT16:
      return CastRuns<int16_t, int32_t>;
    case SOFTNPU_INT32 << 8 | SOFTNPU_INT64:
      return CastInt64Widen<int64_t, int32_t>;
    case SOFTNPU_INT64 << 8 | SOFTNPU_INT32:
      return CastRuns<int32_t, int64_t>;
    case SOFTNPU_INT64 << 8 | SOFTNPU_FLOAT:
      return CastRuns<float, int64_t>;
    default:
      return nullptr;
  }
}

struct Span {
  uint64_t begin;
  uint64_t end;
};

}  // namespace

bool Core::PlanVector(const SoftnpuInstruction& in, uint64_t widest) {
  if (in.form == SOFTNPU_FORM_COUNT) {
    if (in.count < 0) Fail(Format("count %lld is negative", static_cast<long long>(in.count)));
  } else {
    const uint64_t most = kRepeatBytes / widest;
    if (in.form == SOFTNPU_FORM_MASK && in.mask[0] > most) {
      Fail(Format("mask %llu, the limit for elements of %llu bytes is %llu",
                  static_cast<unsigned long long>(in.mask[0]),
                  static_cast<unsigned long long>(widest), static_cast<unsigned long long>(most)));
    }
    if (in.form == SOFTNPU_FORM_BITS &&
        (most <= 64 ? in.mask[1] != 0 || (most < 64 && in.mask[0] >> most != 0) : false)) {
      Fail(Format("a bit of the mask is set beyond the %llu elements of a repeat",
                  static_cast<unsigned long long>(most)));
    }
    if (in.repeat > kMaxRepeat) {
      Fail(Format("repeatTime %u, the limit is %u", in.repeat, kMaxRepeat));
    }
    if (in.block_stride[0] == 0) Fail("dstBlkStride 0 is not defined");
  }
  const bool nothing = in.form == SOFTNPU_FORM_COUNT
                           ? in.count == 0
                           : in.repeat == 0 || (in.mask[0] == 0 && in.mask[1] == 0);
  static const char* const kNames[] = {"dst", "src0", "src1"};
  for (uint32_t i = 0; i < in.operand_count && strict(); ++i) {
    CheckUbAlignment(in.operand[i], kNames[i]);
  }
  if (nothing) return false;
  for (uint32_t i = 0; i < in.operand_count; ++i) {
    const SoftnpuTensor& tensor = in.operand[i];
    const uint64_t size = TypeBytes(tensor.type);
    const bool write = i == 0;
    if (in.form == SOFTNPU_FORM_COUNT) {
      Add(tensor, write, tensor.address, static_cast<uint64_t>(in.count) * size);
      continue;
    }
    const uint64_t pitch = uint64_t{in.repeat_stride[i]} * kBlockBytes;
    if (in.form == SOFTNPU_FORM_MASK && in.block_stride[i] == 1) {
      Add(tensor, write, tensor.address, in.mask[0] * size, in.repeat, pitch);
      continue;
    }
    // Per block of this operand, the runs of its elements that take part.
    const uint64_t per_block = kBlockBytes / size;
    const uint64_t elements = kRepeatBytes / widest;
    for (uint64_t first = 0; first < elements; first += per_block) {
      const uint64_t length = std::min(per_block, elements - first);
      uint64_t at = 0;
      const auto takes_part = [&](uint64_t e) {
        return in.form == SOFTNPU_FORM_MASK ? e < in.mask[0]
                                            : (in.mask[e / 64] >> (e % 64) & 1) != 0;
      };
      while (at < length) {
        if (!takes_part(first + at)) {
          ++at;
          continue;
        }
        uint64_t stop = at;
        while (stop < length && takes_part(first + stop)) ++stop;
        Add(tensor, write,
            tensor.address + first / per_block * in.block_stride[i] * kBlockBytes + at * size,
            (stop - at) * size, in.repeat, pitch);
        at = stop;
      }
    }
  }
  Admit();
  if (strict()) CheckOverlap(in);
  return true;
}

// The chip reads and writes the blocks of a repeat together and repeats out of step: operands are
// the same bytes in the same order, or have none in common. The exception is accumulation over
// repeats into the second source.
void Core::CheckOverlap(const SoftnpuInstruction& in) const {
  const auto same_walk = [&](uint32_t i) {
    const bool same_place = in.operand[i].address == in.operand[0].address &&
                            TypeBytes(in.operand[i].type) == TypeBytes(in.operand[0].type);
    if (in.form == SOFTNPU_FORM_COUNT || !same_place) return same_place;
    return in.block_stride[i] == in.block_stride[0] &&
           (in.repeat == 1 || in.repeat_stride[i] == in.repeat_stride[0]);
  };
  for (uint32_t i = 1; i < in.operand_count; ++i) {
    if (same_walk(i)) {
      if (in.form == SOFTNPU_FORM_COUNT || in.repeat == 1 || in.repeat_stride[0] != 0) continue;
      if (i == 2 && in.opcode <= SOFTNPU_OP_MIN) continue;
    }
    for (const Access& write : accesses_) {
      if (write.tensor != &in.operand[0]) continue;
      for (const Access& read : accesses_) {
        if (read.tensor != &in.operand[i]) continue;
        if (write.base >= read.base + read.extent() || read.base >= write.base + write.extent()) {
          continue;
        }
        for (uint64_t w = 0; w < write.rows; ++w) {
          for (uint64_t r = 0; r < read.rows; ++r) {
            const Span to = {write.base + w * write.stride,
                             write.base + w * write.stride + write.bytes};
            const Span from = {read.base + r * read.stride,
                               read.base + r * read.stride + read.bytes};
            if (to.begin < from.end && from.begin < to.end) {
              FailAt(Format("dst overlaps src%u without being the same bytes in the same order",
                            i - 1),
                     in.operand[0], std::max(to.begin, from.begin), std::min(to.end, from.end));
            }
          }
        }
      }
    }
  }
}

void Core::Vector(SoftnpuInstruction& instruction) {
  pipe_ = SOFTNPU_PIPE_V;
  switch (instruction.opcode) {
    case SOFTNPU_OP_CAST:
      return Cast(instruction);
    case SOFTNPU_OP_GATHER:
      return Gather(instruction);
    default:
      return Elementwise(instruction);
  }
}

void Core::Elementwise(SoftnpuInstruction& in) {
  const uint8_t type = in.operand[0].type;
  void (*run)(const SoftnpuInstruction&, std::byte*) = nullptr;
  const auto choose = [&]<typename Op>() {
    ArithmeticType(type, [&]<typename T>() {
      if constexpr (kIsFloat<T> || !std::is_same_v<Op, DivOp>) {
        run = in.operand_count == 3 ? Binary<T, Op> : WithScalar<T, Op>;
      }
    });
  };
  switch (in.opcode) {
    case SOFTNPU_OP_ADD:
    case SOFTNPU_OP_ADDS:
      choose.operator()<AddOp>();
      break;
    case SOFTNPU_OP_SUB:
      choose.operator()<SubOp>();
      break;
    case SOFTNPU_OP_MUL:
    case SOFTNPU_OP_MULS:
      choose.operator()<MulOp>();
      break;
    case SOFTNPU_OP_DIV:
      choose.operator()<DivOp>();
      break;
    case SOFTNPU_OP_MAX:
    case SOFTNPU_OP_MAXS:
      choose.operator()<MaxOp>();
      break;
    case SOFTNPU_OP_MIN:
    case SOFTNPU_OP_MINS:
      choose.operator()<MinOp>();
      break;
    case SOFTNPU_OP_SHIFT_LEFT:
    case SOFTNPU_OP_SHIFT_RIGHT: {
      const auto shift = [&]<typename T>() {
        const uint64_t amount = static_cast<uint64_t>(ScalarOf<T>(in));
        if (amount >= sizeof(T) * 8) {
          Fail(Format("a shift by %lld, the limits for %s are 0 and %zu",
                      static_cast<long long>(ScalarOf<T>(in)), TypeName(type), sizeof(T) * 8 - 1));
        }
        run = in.opcode == SOFTNPU_OP_SHIFT_LEFT
                  ? [](const SoftnpuInstruction& i, std::byte* ub) { Shift<T>(i, ub, true); }
                  : [](const SoftnpuInstruction& i, std::byte* ub) { Shift<T>(i, ub, false); };
      };
      if (type == SOFTNPU_INT16) shift.operator()<int16_t>();
      if (type == SOFTNPU_UINT16) shift.operator()<uint16_t>();
      if (type == SOFTNPU_INT32) shift.operator()<int32_t>();
      if (type == SOFTNPU_UINT32) shift.operator()<uint32_t>();
      break;
    }
    case SOFTNPU_OP_DUPLICATE: {
      const uint64_t size = TypeBytes(type);
      if (size == 2) run = Fill<uint16_t>;
      if (size == 4) run = Fill<uint32_t>;
      break;
    }
    case SOFTNPU_OP_CREATE_VEC_INDEX:
      ArithmeticType(type, [&]<typename T>() { run = Index<T>; });
      break;
    default:
      break;
  }
  if (run == nullptr) Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type)));
  if (!PlanVector(in, TypeBytes(type))) return;
  run(in, ub_.data());
  Commit();
}

void Core::Cast(SoftnpuInstruction& in) {
  const uint8_t to = in.operand[0].type;
  const uint8_t from = in.operand[1].type;
  const CastFunction run = FindCast(to, from);
  if (run == nullptr) Fail(Format("there is no Cast from %s to %s", TypeName(from), TypeName(to)));
  const int64_t mode = in.params[0];
  if (mode < kNone || mode > kOdd) {
    Fail(Format("RoundMode %lld does not exist", static_cast<long long>(mode)));
  }
  if (mode == kOdd && !(from == SOFTNPU_FLOAT && to == SOFTNPU_FLOAT16)) {
    Fail(Format("CAST_ODD is for float to half only, not for %s to %s", TypeName(from),
                TypeName(to)));
  }
  if (!PlanVector(in, std::max(TypeBytes(to), TypeBytes(from)))) return;
  run(in, ub_.data());
  Commit();
}

void Core::Gather(SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const SoftnpuTensor& offsets = in.operand[2];
  const uint64_t size = TypeBytes(dst.type);
  if (size != 2 && size != 4) Fail(Format("Gather does not take %s", TypeName(dst.type)));
  if (in.count < 0) Fail(Format("count %lld is negative", static_cast<long long>(in.count)));
  if (strict()) {
    CheckUbAlignment(dst, "dst");
    CheckUbAlignment(src, "src");
    CheckUbAlignment(offsets, "srcOffset");
  }
  const uint64_t count = static_cast<uint64_t>(in.count);
  if (count == 0) return;
  Add(dst, true, dst.address, count * size);
  Add(offsets, false, offsets.address, count * 4);
  Admit();
  // Which bytes of src are read depends on the offsets, so src is admitted in a second step.
  const uint64_t base = src.address + static_cast<uint64_t>(in.params[0]);
  uint32_t lowest = ~uint32_t{0};
  uint32_t highest = 0;
  const std::byte* const offset_bytes = ub_.data() + offsets.address;
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t offset;
    std::memcpy(&offset, offset_bytes + i * 4, 4);
    if (offset % size != 0) {
      FailAt(
          Format("offset %u of element %llu is not a multiple of the element's %llu bytes", offset,
                 static_cast<unsigned long long>(i), static_cast<unsigned long long>(size)),
          src, base + offset, base + offset + size);
    }
    lowest = std::min(lowest, offset);
    highest = std::max(highest, offset);
  }
  const size_t first = accesses_.size();
  Add(src, false, base + lowest, uint64_t{highest} - lowest + size);
  AdmitOnChip(accesses_[first]);
  if (strict()) {
    if (src.buffer != 0) CheckSide(accesses_[first]);
    const uint64_t begin = accesses_[first].base;
    const uint64_t end = begin + accesses_[first].bytes;
    if (defined_.FirstMissing(begin, end) != end) {  // a hole: is it among the elements read?
      for (uint64_t i = 0; i < count; ++i) {
        uint32_t offset;
        std::memcpy(&offset, offset_bytes + i * 4, 4);
        Access element = accesses_[first];
        element.base = base + offset;
        element.bytes = size;
        CheckInitialised(element);
      }
    }
    if (dst.address < end && begin < dst.address + count * size) {
      FailAt("dst overlaps src", dst, dst.address, dst.address + count * size);
    }
  }
  std::byte* const to = ub_.data() + dst.address;
  const std::byte* const from = ub_.data() + base;
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t offset;
    std::memcpy(&offset, offset_bytes + i * 4, 4);
    if (size == 4) {
      std::memcpy(to + i * 4, from + offset, 4);
    } else {
      std::memcpy(to + i * 2, from + offset, 2);
    }
  }
  Commit();
}

}  // namespace softnpu::ascendc
