// cc/softnpu/ascendc/vector_compare.cc: comparisons to bits, and selection by bits.
//
// Bits are packed, the first element in the lowest bit of the first byte. A NaN compares false in
// every mode, NE included, as A2 and A3 are documented to do.
#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_form.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

enum CompareMode : int64_t { kLt = 0, kGt, kEq, kLe, kGe, kNe };
enum SelectMode : int64_t { kRegister = 0, kTensorScalar, kTensorTensor };

constexpr uint64_t kCmpMaskBytes = 16;

template <typename V>
inline bool Compares(V a, V b, int64_t mode) {
  switch (mode) {
    case kLt:
      return a < b;
    case kGt:
      return a > b;
    case kEq:
      return a == b;
    case kLe:
      return a <= b;
    case kGe:
      return a >= b;
    default:
      return a < b || a > b;
  }
}

// The operands of one repeat; `b` null: the scalar.
template <typename T>
LaneBits CompareLanes(const std::byte* a, uint64_t a_stride, const std::byte* b, uint64_t b_stride,
                      uint64_t scalar, int64_t mode, const LaneBits& lanes) {
  LaneBits out = {};
  constexpr uint64_t kPer = kRepeatBytes / sizeof(T);
  for (uint64_t lane = 0; lane < kPer; ++lane) {
    if (!lanes[lane]) continue;
    const T left = Peek<T>(a + LaneOffset(lane, sizeof(T), a_stride));
    const T right =
        b == nullptr ? BitsTo<T>(scalar) : Peek<T>(b + LaneOffset(lane, sizeof(T), b_stride));
    const uint64_t bit = Compares(Value(left), Value(right), mode) ? 1 : 0;
    out.word[lane / 64] |= bit << (lane % 64);
  }
  return out;
}

// The lanes of a repeat for which one of the operands has no value; `at`: where they begin in the
// UB.
LaneBits MissingLanes(const Context& ctx, const uint64_t* at, const uint64_t* stride, int operands,
                      uint64_t size, const LaneBits& lanes) {
  LaneBits out = {};
  for (uint64_t lane = 0; lane < kRepeatBytes / size; ++lane) {
    for (int i = 0; lanes[lane] && i < operands; ++i) {
      if (ctx.HasValue(at[i] + LaneOffset(lane, size, stride[i]), size)) continue;
      out.word[lane / 64] |= uint64_t{1} << (lane % 64);
    }
  }
  return out;
}

// Bits of the bytes from `to` on that hold no value, where others of their byte do. After Commit,
// which says that all that was written holds values.
void NoteMissingBits(Context& ctx, const LaneBits& missing, uint64_t lanes, uint64_t to) {
  for (uint64_t byte = 0; byte < lanes / 8; ++byte) {
    const auto bits = static_cast<uint8_t>(missing.word[byte / 8] >> (byte % 8 * 8));
    if (bits == 0xFF) {
      ctx.memories.Drop(SOFTNPU_SPACE_UB, to + byte, to + byte + 1);
    } else {
      ctx.memories.SpoilBits(to + byte, bits);
    }
  }
}

}  // namespace

void Compare(Context& ctx, SoftnpuInstruction& in) {
  const bool to_register = in.opcode == SOFTNPU_OP_COMPARE_REGISTER;
  const uint32_t first = to_register ? 0 : 1;  // operand that is src0
  const bool scalar = in.operand_count == first + 1;
  const uint8_t type = in.operand[first].type;
  const uint64_t size = TypeBytes(type);
  const int64_t mode = in.params[0];
  ctx.CheckLimit("CMPMODE", mode, kLt, kNe);
  if (type != SOFTNPU_FLOAT && type != SOFTNPU_FLOAT16 && !(type == SOFTNPU_INT32 && mode == kEq)) {
    ctx.Fail(type == SOFTNPU_INT32
                 ? "int32_t compares in mode EQ only"
                 : Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type)));
  }
  if (ctx.strict()) {
    static const char* const kNames[] = {"dst", "src0", "src1"};
    for (uint32_t i = 0; i < in.operand_count; ++i) {
      ctx.CheckUbAlignment(in.operand[i], kNames[to_register ? i + 1 : i]);
    }
  }
  const uint64_t per = kRepeatBytes / size;
  ResolveMask(ctx, in);
  if (in.form == SOFTNPU_FORM_COUNT && in.count > 0 &&
      static_cast<uint64_t>(in.count) * size % kRepeatBytes != 0) {
    ctx.Fail(Format("%lld elements are %llu bytes, which is not a multiple of %llu",
                    static_cast<long long>(in.count),
                    static_cast<unsigned long long>(static_cast<uint64_t>(in.count) * size),
                    static_cast<unsigned long long>(kRepeatBytes)));
  }
  if (!CheckForm(ctx, in, size)) return;
  const bool contiguous = in.form == SOFTNPU_FORM_COUNT;
  const uint64_t repeats = contiguous ? static_cast<uint64_t>(in.count) / per : RepeatsOf(in, per);
  if (to_register && repeats != 1) ctx.Fail("a comparison to CMPMASK has one repeat");
  for (uint32_t i = first; i < in.operand_count; ++i) AddLanes(ctx, in, i, false, size);
  const SoftnpuTensor& dst = in.operand[0];
  if (!to_register) ctx.Add(dst, true, dst.address, repeats * per / 8);
  ctx.Admit();
  LaneBits result = {};
  std::vector<LaneBits> missing;  // per repeat
  const auto walk = [&]<typename T>() {
    for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
      const std::byte* at[2] = {nullptr, nullptr};
      uint64_t stride[2] = {1, 1};
      uint64_t place[2] = {0, 0};
      for (uint32_t i = first; i < in.operand_count; ++i) {
        const uint64_t pitch =
            contiguous ? kRepeatBytes : uint64_t{in.repeat_stride[i]} * kBlockBytes;
        at[i - first] = ctx.ub() + in.operand[i].address + repeat * pitch;
        stride[i - first] = contiguous ? 1 : in.block_stride[i];
        place[i - first] = static_cast<uint64_t>(at[i - first] - ctx.ub());
      }
      if (ctx.missing) {
        missing.push_back(MissingLanes(ctx, place, stride, scalar ? 1 : 2, size,
                                       contiguous ? Prefix(per) : LanesOf(in, repeat, per)));
      }
      result = CompareLanes<T>(at[0], stride[0], scalar ? nullptr : at[1], stride[1], in.scalar,
                               mode, contiguous ? Prefix(per) : LanesOf(in, repeat, per));
      if (!to_register) {
        std::memcpy(ctx.ub() + dst.address + repeat * per / 8, result.word, per / 8);
      }
    }
  };
  if (type == SOFTNPU_FLOAT) walk.operator()<float>();
  if (type == SOFTNPU_FLOAT16) walk.operator()<Half>();
  if (type == SOFTNPU_INT32) walk.operator()<int32_t>();
  if (to_register) {
    ctx.registers.compare[0] = result.word[0];
    ctx.registers.compare[1] = result.word[1];
    ctx.registers.compare_set = true;
    const LaneBits none = missing.empty() ? LaneBits{} : missing[0];
    std::copy(none.word, none.word + 2, ctx.registers.compare_missing);
  }
  for (size_t repeat = 0; repeat < missing.size() && !to_register; ++repeat) {
    for (uint64_t byte = 0; byte < per / 8; ++byte) {
      const auto bits = static_cast<uint8_t>(missing[repeat].word[byte / 8] >> (byte % 8 * 8));
      const uint64_t to = dst.address + repeat * per / 8 + byte;
      if (bits == 0xFF)
        ctx.Spoil(SOFTNPU_SPACE_UB, to, to + 1, in.operand[1], in.operand[1].address);
    }
  }
  ctx.Commit();
  for (size_t repeat = 0; repeat < missing.size() && !to_register; ++repeat) {
    NoteMissingBits(ctx, missing[repeat], per, dst.address + repeat * per / 8);
  }
}

// operand: dst, src0, src1 (or the scalar), and in the last place selMask, unless CMPMASK selects.
void Select(Context& ctx, SoftnpuInstruction& in) {
  const int64_t mode = in.params[0];
  const bool scalar = in.params[1] != 0;
  const bool of_register = in.params[2] != 0;
  ctx.CheckLimit("SELMODE", mode, kRegister, kTensorTensor);
  const uint8_t type = in.operand[0].type;
  const uint64_t size = TypeBytes(type);
  if (size != 2 && size != 4) ctx.Fail(Format("Select does not take %s", TypeName(type)));
  if (type != SOFTNPU_FLOAT && type != SOFTNPU_FLOAT16) {
    ctx.Fail(Format("Select does not take %s", TypeName(type)));
  }
  if (scalar != (mode == kTensorScalar)) {
    ctx.Fail(scalar ? "a scalar src1 needs SELMODE VSEL_TENSOR_SCALAR_MODE"
                    : "SELMODE VSEL_TENSOR_SCALAR_MODE needs a scalar src1");
  }
  const uint64_t per = kRepeatBytes / size;
  const uint32_t tensors = scalar ? 2 : 3;
  if (of_register && ctx.strict() && !ctx.registers.compare_set) {
    ctx.Fail("CMPMASK holds no value: no Compare or SetCmpMask has set it in this block");
  }
  ResolveMask(ctx, in);
  if (in.form != SOFTNPU_FORM_COUNT && in.block_stride[0] == 0) {
    ctx.Fail("dstBlkStride 0 is not defined");
  }
  if (ctx.strict()) {
    static const char* const kNames[] = {"dst", "src0", "src1"};
    for (uint32_t i = 0; i < tensors; ++i) ctx.CheckUbAlignment(in.operand[i], kNames[i]);
    if (!of_register) ctx.CheckUbAlignment(in.operand[tensors], "selMask");
  }
  if (!CheckForm(ctx, in, size)) return;
  const bool contiguous = in.form == SOFTNPU_FORM_COUNT;
  const uint64_t repeats =
      contiguous ? (static_cast<uint64_t>(in.count) + per - 1) / per : RepeatsOf(in, per);
  in.operand_count = tensors;
  for (uint32_t i = 0; i < tensors; ++i) AddLanes(ctx, in, i, i == 0, size);
  const bool reused = of_register || mode == kRegister;  // the same bits in each repeat
  uint64_t mask_bytes = 0;
  if (!of_register) {
    const uint64_t bits = contiguous ? static_cast<uint64_t>(in.count) : repeats * per;
    mask_bytes = (std::min(bits, reused ? per : bits) + 7) / 8;
    ctx.AddSource(in.operand[tensors], in.operand[tensors].address, mask_bytes);
  }
  ctx.Admit();
  if (!contiguous) in.repeat = static_cast<uint32_t>(repeats);
  if (ctx.strict()) CheckOverlap(ctx, in);
  std::byte* const ub = ctx.ub();
  // Only the bits of elements that take part count.
  const bool bits_missing = ctx.init() && !of_register &&
                            ctx.memories.HasMissingBits(in.operand[tensors].address, mask_bytes);
  const std::byte* const mask = of_register
                                    ? reinterpret_cast<const std::byte*>(ctx.registers.compare)
                                    : ub + in.operand[tensors].address;
  for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
    const LaneBits lanes =
        contiguous ? Prefix(std::min(per, static_cast<uint64_t>(in.count) - repeat * per))
                   : LanesOf(in, repeat, per);
    for (uint64_t lane = 0; lane < per; ++lane) {
      if (!lanes[lane]) continue;
      const uint64_t bit = lane + (reused ? 0 : repeat * per);
      const bool chosen = (static_cast<uint8_t>(mask[bit / 8]) >> (bit % 8) & 1) != 0;
      const bool known =
          of_register
              ? (ctx.registers.compare_missing[bit / 64] >> (bit % 64) & 1) == 0
              : !bits_missing ||
                    (ctx.memories.MissingBits(in.operand[tensors].address + bit / 8) >> (bit % 8) &
                     1) == 0;
      const auto place = [&](uint32_t i) {
        const uint64_t pitch =
            contiguous ? kRepeatBytes : uint64_t{in.repeat_stride[i]} * kBlockBytes;
        return ub + in.operand[i].address + repeat * pitch +
               LaneOffset(lane, size, contiguous ? 1 : in.block_stride[i]);
      };
      if (ctx.missing || !known) {
        const uint32_t from = !known ? tensors : chosen ? 1 : 2;
        const auto to = static_cast<uint64_t>(place(0) - ub);
        const bool of_scalar = known && !chosen && scalar;
        const auto source =
            static_cast<uint64_t>(known && !of_scalar ? place(from) - ub : std::ptrdiff_t{0});
        if (!known) {
          const SoftnpuTensor& mask_of = in.operand[of_register ? 1 : tensors];
          ctx.Spoil(SOFTNPU_SPACE_UB, to, to + size, mask_of, mask_of.address);
        } else if (!of_scalar && !ctx.HasValue(source, size)) {
          ctx.Spoil(SOFTNPU_SPACE_UB, to, to + size, in.operand[from], source);
        }
      }
      if (chosen) {
        std::memcpy(place(0), place(1), size);
      } else if (scalar) {
        std::memcpy(place(0), &in.scalar, size);
      } else {
        std::memcpy(place(0), place(2), size);
      }
    }
  }
  ctx.Commit();
}

void MoveCmpMask(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& tensor = in.operand[0];
  const bool get = in.opcode == SOFTNPU_OP_GET_CMP_MASK;
  if (ctx.strict() && tensor.address % kCmpMaskBytes != 0) {
    ctx.FailAt(Format("the tensor begins at byte %llu of the UB, which is not a multiple of %llu",
                      static_cast<unsigned long long>(tensor.address),
                      static_cast<unsigned long long>(kCmpMaskBytes)),
               tensor, tensor.address, tensor.address + kCmpMaskBytes);
  }
  if (get && ctx.strict() && !ctx.registers.compare_set) {
    ctx.Fail("CMPMASK holds no value: no Compare or SetCmpMask has set it in this block");
  }
  ctx.Add(tensor, get, tensor.address, kCmpMaskBytes).travels = !get;
  ctx.Admit();
  Registers& r = ctx.registers;
  if (get) {
    std::memcpy(ctx.accesses[0].host, r.compare, kCmpMaskBytes);
    ctx.Commit();
    const LaneBits missing = {{r.compare_missing[0], r.compare_missing[1]}};
    if (missing.any()) NoteMissingBits(ctx, missing, kCmpMaskBytes * 8, tensor.address);
    return;
  }
  std::memcpy(r.compare, ctx.accesses[0].host, kCmpMaskBytes);
  r.compare_set = true;
  r.compare_missing[0] = r.compare_missing[1] = 0;
  if (!ctx.init()) return;
  for (uint64_t byte = 0; byte < kCmpMaskBytes; ++byte) {
    r.compare_missing[byte / 8] |= uint64_t{ctx.memories.MissingBits(tensor.address + byte)}
                                   << (byte % 8 * 8);
  }
}

}  // namespace softnpu::ascendc::semantics
