// cc/softnpu/ascendc/vector_cast.cc: conversions between the element types.
//
// Results in integers always saturate and make 0 of a NaN; results in half or bfloat16 do in
// saturation mode.
#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_form.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::vector {

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

}  // namespace softnpu::ascendc::vector

namespace softnpu::ascendc::semantics {

namespace {

using namespace vector;  // NOLINT: the namespace of this unit

// To a 16-bit float of `mantissa` explicit bits and smallest normal exponent `least`, in any mode.
float RoundFloat(double value, int64_t mode, int mantissa, int least, double largest) {
  if (!std::isfinite(value) || value == 0.0) return static_cast<float>(value);
  int exponent = 0;
  std::frexp(value, &exponent);  // |value| in [2^(exponent-1), 2^exponent)
  const int unit = std::max(exponent - 1, least) - mantissa;
  const double rounded = std::ldexp(RoundTo(std::ldexp(value, -unit), mode), unit);
  if (std::fabs(rounded) > largest) return static_cast<float>(std::copysign(INFINITY, value));
  return static_cast<float>(std::copysign(rounded, value));
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
      return SaturateTo<To>(RoundTo(in, mode));
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

// int32_t to half, times the scale of SetDeqScale.
void ScaleToHalf(const SoftnpuInstruction& in, std::byte* ub) {
  const int64_t mode = in.params[0];
  const double scale = ScalarOf<float>(in);
  Walk(in, ub, 4, [mode, scale](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      As<Half>(d)[i] = Store<Half>(RoundFloat(As<int32_t>(a)[i] * scale, mode, 10, -14, 65504.0));
    }
  });
}

// The pairs that A2's Cast takes; null for others.
Function FindCast(uint8_t to, uint8_t from) {
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
    case SOFTNPU_INT32 << 8 | SOFTNPU_FLOAT16:
      return ScaleToHalf;
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

// Between half and int4b_t, of which two share a byte. A repeat is 128 elements: 256 bytes of half
// and two blocks of int4b_t.
void CastInt4(Context& ctx, SoftnpuInstruction& in) {
  const bool narrow = in.operand[0].type == SOFTNPU_INT4;
  const uint8_t other = in.operand[narrow ? 1 : 0].type;
  const int64_t mode = in.params[0];
  if (other != SOFTNPU_FLOAT16) {
    ctx.Fail(Format("there is no Cast from %s to %s", TypeName(in.operand[1].type),
                    TypeName(in.operand[0].type)));
  }
  if (mode < kNone || mode > kTrunc) {
    ctx.Fail(Format("RoundMode %lld is not for int4b_t", static_cast<long long>(mode)));
  }
  ResolveMask(ctx, in);
  if (in.form != SOFTNPU_FORM_COUNT && in.block_stride[0] == 0) {
    ctx.Fail("dstBlkStride 0 is not defined");
  }
  if (ctx.strict()) {
    ctx.CheckUbAlignment(in.operand[0], "dst");
    ctx.CheckUbAlignment(in.operand[1], "src0");
  }
  if (!CheckForm(ctx, in, 2)) return;
  constexpr uint64_t kPer = kRepeatBytes / 2;
  const bool contiguous = in.form == SOFTNPU_FORM_COUNT;
  const uint64_t repeats =
      contiguous ? (static_cast<uint64_t>(in.count) + kPer - 1) / kPer : RepeatsOf(in, kPer);
  const auto lanes_of = [&](uint64_t repeat) {
    return contiguous ? Prefix(std::min(kPer, static_cast<uint64_t>(in.count) - repeat * kPer))
                      : LanesOf(in, repeat, kPer);
  };
  const uint32_t nibbles = narrow ? 0 : 1;
  const uint32_t halves = 1 - nibbles;
  const auto place = [&](uint32_t operand, uint64_t repeat, uint64_t byte) {
    const SoftnpuTensor& tensor = in.operand[operand];
    if (contiguous) {
      return tensor.address + repeat * (operand == nibbles ? kPer / 2 : kRepeatBytes) + byte;
    }
    return tensor.address + repeat * in.repeat_stride[operand] * kBlockBytes +
           LaneOffset(byte, 1, in.block_stride[operand]);
  };
  AddLanes(ctx, in, halves, !narrow, 2);
  for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
    const LaneBits lanes = lanes_of(repeat);
    for (uint64_t byte = 0; byte < kPer / 2;) {
      const auto takes_part = [&](uint64_t at) {
        if (lanes[2 * at] != lanes[2 * at + 1]) {
          ctx.Fail("the mask takes one of two int4b_t that share a byte");
        }
        return lanes[2 * at];
      };
      if (!takes_part(byte)) {
        ++byte;
        continue;
      }
      uint64_t end = byte + 1;
      while (end < kPer / 2 && end % kBlockBytes != 0 && takes_part(end)) ++end;
      ctx.Add(in.operand[nibbles], narrow, place(nibbles, repeat, byte), end - byte).travels =
          !narrow;
      byte = end;
    }
  }
  ctx.Admit();
  std::byte* const ub = ctx.ub();
  for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
    const LaneBits lanes = lanes_of(repeat);
    for (uint64_t lane = 0; lane < kPer; ++lane) {
      if (!lanes[lane]) continue;
      std::byte* const half = ub + place(halves, repeat, lane * 2);
      std::byte* const pair = ub + place(nibbles, repeat, lane / 2);
      if (ctx.missing) {
        const auto far = static_cast<uint64_t>(half - ub);
        const auto near = static_cast<uint64_t>(pair - ub);
        const uint64_t from = narrow ? far : near;
        const uint64_t to = narrow ? near : far;
        if (!ctx.HasValue(from, narrow ? 2 : 1)) {
          ctx.Spoil(SOFTNPU_SPACE_UB, to, to + (narrow ? 1 : 2), in.operand[1], from);
        }
      }
      const unsigned shift = lane % 2 * 4;
      if (narrow) {
        const double value = RoundTo(Load(Peek<Half>(half)), mode);
        const int nibble = std::isnan(value) ? 0 : static_cast<int>(std::clamp(value, -8.0, 7.0));
        *pair = (*pair & std::byte(0xF0 >> shift)) | std::byte((nibble & 15) << shift);
      } else {
        const int nibble = std::to_integer<int>(*pair >> shift) & 15;
        Poke(half, Store<Half>(static_cast<float>(nibble >= 8 ? nibble - 16 : nibble)));
      }
    }
  }
  ctx.Commit();
}

}  // namespace

void Cast(Context& ctx, SoftnpuInstruction& in) {
  const uint8_t to = in.operand[0].type;
  const uint8_t from = in.operand[1].type;
  if (to == SOFTNPU_INT4 || from == SOFTNPU_INT4) return CastInt4(ctx, in);
  const Function run = FindCast(to, from);
  if (run == nullptr)
    ctx.Fail(Format("there is no Cast from %s to %s", TypeName(from), TypeName(to)));
  const int64_t mode = in.params[0];
  if (mode < kNone || mode > kOdd) {
    ctx.Fail(Format("RoundMode %lld does not exist", static_cast<long long>(mode)));
  }
  if (mode == kOdd && !(from == SOFTNPU_FLOAT && to == SOFTNPU_FLOAT16)) {
    ctx.Fail(Format("CAST_ODD is for float to half only, not for %s to %s", TypeName(from),
                    TypeName(to)));
  }
  if (!PlanVector(ctx, in, std::max(TypeBytes(to), TypeBytes(from)))) return;
  if (from == SOFTNPU_INT32 && to == SOFTNPU_FLOAT16) in.scalar = ToBits(ctx.registers.deq_scale);
  run(in, ctx.ub());
  if (ctx.registers.saturate && (to == SOFTNPU_FLOAT16 || to == SOFTNPU_BFLOAT16)) {
    const bool half = to == SOFTNPU_FLOAT16;
    Walk(in, ctx.ub(), std::max(TypeBytes(to), TypeBytes(from)),
         [half](std::byte* d, std::byte*, std::byte*, uint64_t n) {
           for (uint64_t i = 0; i < n; ++i) {
             if (half) {
               As<Half>(d)[i] = ClampFloat(As<Half>(d)[i]);
             } else {
               As<Bfloat>(d)[i] = ClampFloat(As<Bfloat>(d)[i]);
             }
           }
         });
  }
  ctx.Commit();
}

// int16_t to int8_t or uint8_t: src * scale + offset, rounded to even and saturated. The 16 results
// of a block of src fill half of a block of dst: the low one, or with halfBlock the high one.
void CastDequant(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const bool vector_scale = in.params[0] != 0;
  const uint64_t high = in.params[1] != 0 ? 16 : 0;
  if (src.type == SOFTNPU_INT32 && dst.type == SOFTNPU_FLOAT16) {  // times the scale, as Cast
    in.params[0] = kRint;
    return Cast(ctx, in);
  }
  if (src.type != SOFTNPU_INT16 || (dst.type != SOFTNPU_INT8 && dst.type != SOFTNPU_UINT8)) {
    ctx.Fail(Format("there is no %s from %s to %s", OpcodeName(in.opcode), TypeName(src.type),
                    TypeName(dst.type)));
  }
  const Registers& r = ctx.registers;
  for (int i = 0; i < (vector_scale ? 16 : 1); ++i) {
    if (r.deq_signed[i] != (dst.type == SOFTNPU_INT8)) {
      ctx.Fail(Format("signMode of SetDeqScale is %s, dst is %s",
                      r.deq_signed[i] ? "true" : "false", TypeName(dst.type)));
    }
  }
  ResolveMask(ctx, in);
  if (in.form != SOFTNPU_FORM_COUNT && in.block_stride[0] == 0) {
    ctx.Fail("dstBlkStride 0 is not defined");
  }
  if (ctx.strict()) {
    ctx.CheckUbAlignment(dst, "dst");
    ctx.CheckUbAlignment(src, "src0");
  }
  if (!CheckForm(ctx, in, 2)) return;
  constexpr uint64_t kPer = kRepeatBytes / 2;
  constexpr uint64_t kGroup = kBlockBytes / 2;
  const bool contiguous = in.form == SOFTNPU_FORM_COUNT;
  const uint64_t repeats =
      contiguous ? (static_cast<uint64_t>(in.count) + kPer - 1) / kPer : RepeatsOf(in, kPer);
  const auto lanes_of = [&](uint64_t repeat) {
    return contiguous ? Prefix(std::min(kPer, static_cast<uint64_t>(in.count) - repeat * kPer))
                      : LanesOf(in, repeat, kPer);
  };
  const auto block = [&](uint32_t operand, uint64_t repeat, uint64_t group) {
    const uint64_t stride = contiguous ? 1 : in.block_stride[operand];
    const uint64_t pitch = contiguous ? kBlocksPerRepeat : in.repeat_stride[operand];
    return in.operand[operand].address + (repeat * pitch + group * stride) * kBlockBytes;
  };
  for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
    const LaneBits lanes = lanes_of(repeat);
    for (uint64_t lane = 0; lane < kPer;) {
      if (!lanes[lane]) {
        ++lane;
        continue;
      }
      uint64_t end = lane + 1;
      while (end % kGroup != 0 && lanes[end]) ++end;
      ctx.AddSource(src, block(1, repeat, lane / kGroup) + lane % kGroup * 2, (end - lane) * 2);
      ctx.Add(dst, true, block(0, repeat, lane / kGroup) + high + lane % kGroup, end - lane);
      lane = end;
    }
  }
  ctx.Admit();
  std::byte* const ub = ctx.ub();
  for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
    const LaneBits lanes = lanes_of(repeat);
    for (uint64_t lane = 0; lane < kPer; ++lane) {
      if (!lanes[lane]) continue;
      const uint64_t at = lane % kGroup;
      const uint64_t which = vector_scale ? at : 0;
      const uint64_t from = block(1, repeat, lane / kGroup) + at * 2;
      const uint64_t target = block(0, repeat, lane / kGroup) + high + at;
      if (ctx.missing && !ctx.HasValue(from, 2)) {
        ctx.Spoil(SOFTNPU_SPACE_UB, target, target + 1, src, from);
      }
      const int16_t value = Peek<int16_t>(ub + from);
      const double exact =
          std::nearbyint(static_cast<double>(value) * static_cast<double>(r.deq_scales[which])) +
          static_cast<double>(r.deq_offsets[which]);
      std::byte* const to = ub + target;
      if (dst.type == SOFTNPU_INT8) {
        Poke(to, SaturateTo<int8_t>(exact));
      } else {
        Poke(to, SaturateTo<uint8_t>(exact));
      }
    }
  }
  ctx.Commit();
}

// params: kind (0: scale of int32_t to half, 1: one scale, offset and sign, 2: sixteen), then which
// of the sixteen, offset, sign; scalar: bits of a float.
void SetDeqScale(Context& ctx, SoftnpuInstruction& in) {
  ctx.site.SetPipe(SOFTNPU_PIPE_S);
  const float scale = BitsTo<float>(in.scalar);
  if (in.params[0] == 0) {
    ctx.registers.deq_scale = scale;
    return;
  }
  ctx.CheckLimit("the offset", in.params[2], -256, 255);
  const int64_t i = in.params[0] == 1 ? 0 : in.params[1];
  ctx.CheckLimit("the scale's index", i, 0, 15);
  ctx.registers.deq_scales[i] = scale;
  ctx.registers.deq_offsets[i] = static_cast<int16_t>(in.params[2]);
  ctx.registers.deq_signed[i] = in.params[3] != 0;
}

void SetSaturation(Context& ctx, SoftnpuInstruction& in) {
  ctx.site.SetPipe(SOFTNPU_PIPE_S);
  in.result = ctx.registers.saturate;
  if (in.params[1] == 0) ctx.registers.saturate = in.params[0] != 0;
}

}  // namespace softnpu::ascendc::semantics
