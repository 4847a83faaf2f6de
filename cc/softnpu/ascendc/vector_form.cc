// cc/softnpu/ascendc/vector_form.cc: which lanes of which operands an instruction touches.
#include "cc/softnpu/ascendc/vector_form.h"

#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {

using vector::LaneBits;
using vector::Prefix;

void ResolveMask(Context& ctx, SoftnpuInstruction& in) {
  Registers& r = ctx.registers;
  ctx.mask_of_register = false;
  switch (in.form) {
    case SOFTNPU_FORM_COUNT:
      // Runs in counter mode and leaves the default behind.
      r.mask[0] = r.mask[1] = ~uint64_t{0};
      r.counter = r.mask_count = false;
      return;
    case SOFTNPU_FORM_MASK:
      if (r.counter) {  // the mask is a number of elements, the repeats follow from it
        in.form = SOFTNPU_FORM_COUNTER;
        in.count = static_cast<int64_t>(in.mask[0]);
        r.mask[0] = in.mask[0];
        r.mask[1] = 0;
      } else {
        r.mask[0] = Prefix(in.mask[0]).word[0];
        r.mask[1] = Prefix(in.mask[0]).word[1];
      }
      r.mask_count = r.counter;
      return;
    case SOFTNPU_FORM_BITS:
      if (r.counter) ctx.Fail("a mask of bits while SetMaskCount holds: a count is expected");
      r.mask[0] = in.mask[0];
      r.mask[1] = in.mask[1];
      r.mask_count = false;
      return;
    case SOFTNPU_FORM_REGISTER:
      if (ctx.strict() && r.counter != r.mask_count) {
        ctx.Fail(r.counter
                     ? "SetMaskCount holds, but the mask register has bits: "
                       "SetVectorMask<T, MaskMode::COUNTER> was not called"
                     : "the mask register has a count of elements, but SetMaskCount does not hold");
      }
      ctx.mask_of_register = true;
      if (r.counter) {
        in.form = SOFTNPU_FORM_COUNTER;
        in.count = static_cast<int64_t>(r.mask[0]);
      } else {
        in.form = SOFTNPU_FORM_BITS;
      }
      in.mask[0] = r.mask[0];
      in.mask[1] = r.mask[1];
      return;
    default:
      ctx.Fail(Format("form %u is unknown to this SoftNPU", in.form));
  }
}

void SetMask(Context& ctx, SoftnpuInstruction& in) {
  ctx.site.SetPipe(SOFTNPU_PIPE_S);
  Registers& r = ctx.registers;
  switch (in.opcode) {
    case SOFTNPU_OP_SET_MASK_COUNT:
      r.counter = true;
      return;
    case SOFTNPU_OP_SET_MASK_NORM:
      r.counter = false;
      return;
    case SOFTNPU_OP_RESET_MASK:
      r.mask[0] = r.mask[1] = ~uint64_t{0};
      r.mask_count = false;
      return;
    default:
      break;
  }
  r.mask_count = in.params[0] != 0;
  if (r.mask_count) {
    const int64_t count = in.params[1] != 0 ? in.count : static_cast<int64_t>(in.mask[0]);
    ctx.CheckLimit("the count of elements", count, 0, 0xFFFFFFFF);
    r.mask[0] = static_cast<uint64_t>(count);
    r.mask[1] = 0;
  } else if (in.params[1] != 0) {
    ctx.CheckLimit("the length of the mask", in.count, 0, in.params[2]);
    r.mask[0] = Prefix(static_cast<uint64_t>(in.count)).word[0];
    r.mask[1] = Prefix(static_cast<uint64_t>(in.count)).word[1];
  } else {
    r.mask[0] = in.mask[0];
    r.mask[1] = in.mask[1];
  }
}

void CheckRepeat(const Context& ctx, const SoftnpuInstruction& in) {
  if (in.repeat != 0 || !ctx.strict()) return;
  if (in.constant_repeat != 0) {
    ctx.Fail("repeatTime 0: nothing is done; 256 in a uint8_t is 0, the limit is 255");
  }
  ctx.site.Warn("repeatTime is 0: nothing is done; 256 in a uint8_t is 0, the limit is 255");
}

bool CheckForm(const Context& ctx, const SoftnpuInstruction& in, uint64_t widest) {
  if (in.form == SOFTNPU_FORM_COUNT) {
    if (in.count < 0) ctx.Fail(Format("count %lld is negative", static_cast<long long>(in.count)));
    return in.count != 0;
  }
  const uint64_t most = kRepeatBytes / widest;
  if (in.form == SOFTNPU_FORM_MASK && in.mask[0] > most) {
    ctx.Fail(Format("mask %llu, the limit for elements of %llu bytes is %llu",
                    static_cast<unsigned long long>(in.mask[0]),
                    static_cast<unsigned long long>(widest),
                    static_cast<unsigned long long>(most)));
  }
  const uint64_t low = Prefix(most).word[0];
  const uint64_t high = Prefix(most).word[1];
  if (ctx.strict() && !ctx.mask_of_register &&
      (in.form == SOFTNPU_FORM_MASK || in.form == SOFTNPU_FORM_BITS) && in.mask[0] == 0 &&
      in.mask[1] == 0) {
    ctx.Fail("the mask is 0: an instruction takes 1 element of a repeat at least");
  }
  if (in.form == SOFTNPU_FORM_BITS && !ctx.mask_of_register &&
      ((in.mask[0] & ~low) != 0 || (in.mask[1] & ~high) != 0)) {
    ctx.Fail(Format("a bit of the mask is set beyond the %llu elements of a repeat",
                    static_cast<unsigned long long>(most)));
  }
  if (in.repeat > vector::kMaxRepeat) {
    ctx.Fail(Format("repeatTime %u, the limit is %u", in.repeat, vector::kMaxRepeat));
  }
  if (in.form == SOFTNPU_FORM_COUNTER) return in.count != 0;
  CheckRepeat(ctx, in);
  return in.repeat != 0 && ((in.mask[0] & low) != 0 || (in.mask[1] & high) != 0);
}

namespace {

// Of an instruction that works element by element: an element of dst gets no value when one of the
// elements that it is made of has none.
void SpoilLanes(Context& ctx, const SoftnpuInstruction& in, uint64_t widest, bool reads_dst) {
  const uint32_t operands = std::min(in.operand_count, 3u);
  std::byte* const ub = ctx.ub();
  vector::Walk(in, ub, widest, [&](std::byte* d, std::byte* a, std::byte* b, uint64_t n) {
    const std::byte* const at[3] = {d, a, b};
    const uint64_t dst_size = TypeBytes(in.operand[0].type);
    for (uint32_t i = reads_dst ? 0 : 1; i < operands; ++i) {
      const uint64_t size = TypeBytes(in.operand[i].type);
      const auto base = static_cast<uint64_t>(at[i] - ub);
      if (ctx.HasValue(base, n * size)) continue;
      for (uint64_t e = 0; e < n; ++e) {
        if (ctx.HasValue(base + e * size, size)) continue;
        const uint64_t to = static_cast<uint64_t>(d - ub) + e * dst_size;
        ctx.Spoil(SOFTNPU_SPACE_UB, to, to + dst_size, in.operand[i], base + e * size);
      }
    }
  });
}

}  // namespace

void AddLanes(Context& ctx, const SoftnpuInstruction& in, uint32_t i, bool write, uint64_t widest,
              bool travels) {
  const SoftnpuTensor& tensor = in.operand[i];
  travels = travels && !write;
  const uint64_t size = TypeBytes(tensor.type);
  if (in.form == SOFTNPU_FORM_COUNT) {
    ctx.Add(tensor, write, tensor.address, static_cast<uint64_t>(in.count) * size).travels =
        travels;
    return;
  }
  const uint64_t pitch = uint64_t{in.repeat_stride[i]} * kBlockBytes;
  const uint64_t elements = kRepeatBytes / widest;
  const uint64_t per_block = kBlockBytes / size;
  // Per block of this operand, the runs of its elements that take part.
  const auto add = [&](uint64_t first_repeat, uint64_t repeats, const LaneBits& lanes,
                       uint64_t prefix) {
    if (repeats == 0) return;
    const uint64_t base = tensor.address + first_repeat * pitch;
    if (prefix != 0 && in.block_stride[i] == 1) {
      ctx.Add(tensor, write, base, prefix * size, repeats, pitch).travels = travels;
      return;
    }
    for (uint64_t first = 0; first < elements; first += per_block) {
      const uint64_t length = std::min(per_block, elements - first);
      uint64_t at = 0;
      while (at < length) {
        if (!lanes[first + at]) {
          ++at;
          continue;
        }
        uint64_t stop = at;
        while (stop < length && lanes[first + stop]) ++stop;
        ctx.Add(tensor, write, base + vector::LaneOffset(first + at, size, in.block_stride[i]),
                (stop - at) * size, repeats, pitch)
            .travels = travels;
        at = stop;
      }
    }
  };
  if (in.form == SOFTNPU_FORM_COUNTER) {
    const uint64_t count = static_cast<uint64_t>(in.count);
    add(0, count / elements, Prefix(elements), elements);
    if (count % elements != 0) {
      add(count / elements, 1, Prefix(count % elements), count % elements);
    }
  } else {
    add(0, in.repeat, vector::LanesOf(in, 0, elements),
        in.form == SOFTNPU_FORM_MASK ? in.mask[0] : 0);
  }
}

bool PlanVector(Context& ctx, SoftnpuInstruction& in, uint64_t widest, bool reads_dst) {
  ResolveMask(ctx, in);
  const bool something = CheckForm(ctx, in, widest);
  if (in.form != SOFTNPU_FORM_COUNT && in.block_stride[0] == 0) {
    ctx.Fail("dstBlkStride 0 is not defined");
  }
  static const char* const kNames[] = {"dst", "src0", "src1", "src2"};
  for (uint32_t i = 0; i < in.operand_count && ctx.strict(); ++i) {
    ctx.CheckUbAlignment(in.operand[i], kNames[i]);
  }
  if (!something) return false;
  if (in.form == SOFTNPU_FORM_COUNTER) {
    in.repeat = static_cast<uint32_t>(vector::RepeatsOf(in, kRepeatBytes / widest));
  }
  for (uint32_t i = 0; i < in.operand_count; ++i) AddLanes(ctx, in, i, i == 0, widest);
  if (reads_dst) AddLanes(ctx, in, 0, false, widest);
  ctx.Admit();
  if (ctx.strict()) CheckOverlap(ctx, in);
  if (ctx.missing) SpoilLanes(ctx, in, widest, reads_dst);
  return true;
}

namespace {

// Whether a conversion between widths writes nothing that a later repeat reads: then it does not
// matter when that repeat reads, and within a repeat all is read before anything is written.
bool ConvertsInPlace(const SoftnpuInstruction& in) {
  const auto size = [&in](uint32_t k) { return int64_t(TypeBytes(in.operand[k].type)); };
  if (in.operand_count != 2 || size(0) == size(1) || size(0) == 0 || size(1) == 0) return false;
  const auto elements = int64_t(kRepeatBytes) / std::max(size(0), size(1));
  const bool count = in.form == SOFTNPU_FORM_COUNT;
  const int64_t repeats = count ? (int64_t(in.count) + elements - 1) / elements : in.repeat;
  constexpr auto kBlock = int64_t(kBlockBytes);
  const auto pitch = [&](uint32_t k) {
    return count ? elements * size(k) : int64_t(in.repeat_stride[k]) * kBlock;
  };
  const auto bytes = [&](uint32_t k) {
    const int64_t blocks = (elements * size(k) + kBlock - 1) / kBlock;
    return count ? elements * size(k) : ((blocks - 1) * int64_t(in.block_stride[k]) + 1) * kBlock;
  };
  const int64_t from = int64_t(in.operand[1].address) - int64_t(in.operand[0].address);
  for (int64_t r = 0; r + 1 < repeats; ++r) {
    const int64_t begin = r * pitch(0), end = begin + bytes(0);
    // The first later repeat that ends behind the beginning of what is written.
    int64_t s = r + 1;
    if (pitch(1) > 0 && begin >= from + s * pitch(1) + bytes(1)) {
      s = (begin - from - bytes(1)) / pitch(1) + 1;
    }
    const int64_t first = from + s * pitch(1);
    if (s < repeats && first < end && begin < first + bytes(1)) return false;
  }
  return true;
}

}  // namespace

// The chip reads and writes the blocks of a repeat together and repeats out of step: operands are
// the same bytes in the same order, or have none in common. The exceptions are accumulation over
// repeats into the second source, and conversions that are never behind what they write.
void CheckOverlap(const Context& ctx, const SoftnpuInstruction& in) {
  const auto same_walk = [&](uint32_t i) {
    const bool same_place = in.operand[i].address == in.operand[0].address &&
                            TypeBytes(in.operand[i].type) == TypeBytes(in.operand[0].type);
    if (in.form == SOFTNPU_FORM_COUNT || !same_place) return same_place;
    return in.block_stride[i] == in.block_stride[0] &&
           (in.repeat == 1 || in.repeat_stride[i] == in.repeat_stride[0]);
  };
  const bool accumulates = in.opcode <= SOFTNPU_OP_MIN || in.opcode == SOFTNPU_OP_ADD_RELU ||
                           in.opcode == SOFTNPU_OP_SUB_RELU;
  for (uint32_t i = 1; i < in.operand_count; ++i) {
    if (ConvertsInPlace(in)) continue;
    if (same_walk(i)) {
      if (in.form == SOFTNPU_FORM_COUNT || in.repeat == 1 || in.repeat_stride[0] != 0) continue;
      if (i == 2 && accumulates) continue;
    }
    for (const Access& write : ctx.accesses) {
      if (write.tensor != &in.operand[0] || !write.write) continue;
      for (const Access& read : ctx.accesses) {
        if (read.tensor != &in.operand[i]) continue;
        if (write.base >= read.base + read.extent() || read.base >= write.base + write.extent()) {
          continue;
        }
        for (uint64_t w = 0; w < write.rows; ++w) {
          for (uint64_t r = 0; r < read.rows; ++r) {
            const uint64_t to = write.base + w * write.stride;
            const uint64_t from = read.base + r * read.stride;
            if (to < from + read.bytes && from < to + write.bytes) {
              ctx.FailAt(Format("dst overlaps src%u without being the same bytes in the same order",
                                i - 1),
                         in.operand[0], std::max(to, from),
                         std::min(to + write.bytes, from + read.bytes));
            }
          }
        }
      }
    }
  }
}

}  // namespace softnpu::ascendc::semantics
