// cc/softnpu/ascendc/vector_gather.cc: instructions whose places depend on data.
#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_form.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

constexpr size_t kMaxPatterns = 256;

// `rows` runs of `bytes`, `stride` apart.
struct RunsOfBytes {
  uint64_t begin;
  uint64_t bytes;
  uint64_t rows;
  uint64_t stride;
};

// The bytes of elements of `size` at `places`, in few patterns.
std::vector<RunsOfBytes> PatternsOf(std::vector<uint64_t> places, uint64_t size) {
  if (!std::is_sorted(places.begin(), places.end())) std::sort(places.begin(), places.end());
  std::vector<RunsOfBytes> out;
  uint64_t begin = 0;
  uint64_t end = 0;  // the run that is being collected; 0: none
  const auto close = [&] {
    if (end == 0) return;
    if (!out.empty() && out.back().bytes == end - begin) {
      RunsOfBytes& last = out.back();
      const uint64_t stride = begin - (last.begin + (last.rows - 1) * last.stride);
      if (last.rows == 1 || stride == last.stride) {
        last.stride = stride;
        ++last.rows;
        return;
      }
    }
    out.push_back({begin, end - begin, 1, 0});
  };
  for (const uint64_t place : places) {
    if (end != 0 && place <= end) {
      end = std::max(end, place + size);
      continue;
    }
    close();
    begin = place;
    end = place + size;
  }
  close();
  return out;
}

}  // namespace

// Gather: dst[i] = the element `base + offset[i]` bytes into src. Scatter: the other way round.
void Gather(Context& ctx, SoftnpuInstruction& in) {
  const bool scatter = in.opcode == SOFTNPU_OP_SCATTER;
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const SoftnpuTensor& offsets = in.operand[2];
  const SoftnpuTensor& linear = scatter ? src : dst;     // element after element
  const SoftnpuTensor& scattered = scatter ? dst : src;  // by offsets
  const uint32_t linear_operand = scatter ? 1 : 0;
  const uint64_t size = TypeBytes(dst.type);
  if (size != 2 && size != 4) {
    ctx.Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(dst.type)));
  }
  ResolveMask(ctx, in);
  if (ctx.strict()) {
    ctx.CheckUbAlignment(dst, "dst");
    ctx.CheckUbAlignment(src, "src");
    ctx.CheckUbAlignment(offsets, scatter ? "dstOffset" : "srcOffset");
  }
  if (!CheckForm(ctx, in, size)) return;
  const bool contiguous = in.form == SOFTNPU_FORM_COUNT;
  const uint64_t per = kRepeatBytes / size;
  const uint64_t count = static_cast<uint64_t>(in.count);
  const uint64_t repeats = contiguous ? (count + per - 1) / per : RepeatsOf(in, per);
  const uint64_t pitch =
      contiguous ? kRepeatBytes : uint64_t{in.repeat_stride[linear_operand]} * kBlockBytes;
  const auto lanes_of = [&](uint64_t repeat) {
    return contiguous ? Prefix(std::min(per, count - repeat * per)) : LanesOf(in, repeat, per);
  };
  AddLanes(ctx, in, linear_operand, !scatter, size);
  if (contiguous) {
    ctx.Add(offsets, false, offsets.address, count * 4);
  } else {
    for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
      const LaneBits lanes = lanes_of(repeat);
      for (uint64_t lane = 0; lane < per;) {
        uint64_t end = lane;
        while (end < per && lanes[end]) ++end;
        if (end > lane) {
          ctx.Add(offsets, false, offsets.address + (repeat * per + lane) * 4, (end - lane) * 4);
        }
        lane = end + 1;
      }
    }
  }
  ctx.Admit();
  // Which bytes are read or written depends on the offsets, so they are admitted in a second step.
  const uint64_t base = scattered.address + static_cast<uint64_t>(in.params[0]);
  const auto each = [&](auto&& body) {
    for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
      const LaneBits lanes = lanes_of(repeat);
      for (uint64_t lane = 0; lane < per; ++lane) {
        if (!lanes[lane]) continue;
        const uint32_t offset =
            Peek<uint32_t>(ctx.ub() + offsets.address + (repeat * per + lane) * 4);
        body(repeat, lane, uint64_t{offset});
      }
    }
  };
  uint64_t lowest = ~uint64_t{0};
  uint64_t highest = 0;
  std::vector<uint64_t> places;
  each([&](uint64_t repeat, uint64_t lane, uint64_t offset) {
    if (offset % size != 0) {
      ctx.FailAt(Format("offset %llu of element %llu is not a multiple of the element's %llu bytes",
                        static_cast<unsigned long long>(offset),
                        static_cast<unsigned long long>(repeat * per + lane),
                        static_cast<unsigned long long>(size)),
                 scattered, base + offset, base + offset + size);
    }
    lowest = std::min(lowest, offset);
    highest = std::max(highest, offset);
    if (ctx.strict()) places.push_back(offset);
  });
  // Strict: the bytes that are touched, as runs of one length and distance.
  const std::vector<RunsOfBytes> patterns = PatternsOf(std::move(places), size);
  for (const RunsOfBytes& p : patterns) {
    ctx.AdmitLate(scattered, scatter, base + p.begin, p.bytes, p.rows, p.stride, !scatter);
  }
  if (patterns.size() > kMaxPatterns) {  // too many to compare with others: all that lies between
    ctx.accesses.resize(ctx.accesses.size() - patterns.size());
  }
  if (patterns.empty() || patterns.size() > kMaxPatterns) {
    ctx.memories.Resolve(ctx.Add(scattered, scatter, base + lowest, highest - lowest + size));
  }
  if (ctx.strict()) {
    const uint64_t begin = base + lowest;
    const uint64_t end = base + highest + size;
    for (const Access& access : ctx.accesses) {
      if (access.tensor == &linear && access.base < end && begin < access.base + access.extent()) {
        ctx.FailAt("dst overlaps src", dst, dst.address, dst.address + size);
      }
    }
  }
  std::byte* const line = ctx.ub() + linear.address;
  std::byte* const field = ctx.ub() + base;
  each([&](uint64_t repeat, uint64_t lane, uint64_t offset) {
    std::byte* const near = line + repeat * pitch + lane * size;
    std::byte* const far = field + offset;
    if (ctx.missing) {
      const uint64_t near_at = linear.address + repeat * pitch + lane * size;
      if (scatter) {
        ctx.CarryInUb(src, near_at, size, base + offset);
      } else {
        ctx.CarryInUb(src, base + offset, size, near_at);
      }
    }
    if (size == 4) {
      std::memcpy(scatter ? far : near, scatter ? near : far, 4);
    } else {
      std::memcpy(scatter ? far : near, scatter ? near : far, 2);
    }
  });
  ctx.Commit();
}

// Per repeat eight blocks of 32 bytes, each from `offset` bytes into src.
void Gatherb(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const SoftnpuTensor& offsets = in.operand[2];
  const uint64_t size = TypeBytes(dst.type);
  if (size != 2 && size != 4) ctx.Fail(Format("Gatherb does not take %s", TypeName(dst.type)));
  ctx.CheckLimit("repeatTime", in.repeat, 0, kMaxRepeat);
  if (ctx.strict()) {
    ctx.CheckUbAlignment(dst, "dst");
    ctx.CheckUbAlignment(src, "src");
    ctx.CheckUbAlignment(offsets, "offset");
  }
  CheckRepeat(ctx, in);
  if (in.repeat == 0) return;
  if (in.block_stride[0] == 0) ctx.Fail("dstBlkStride 0 is not defined");
  const uint64_t blocks = uint64_t{in.repeat} * kBlocksPerRepeat;
  const uint64_t step = uint64_t{in.block_stride[0]} * kBlockBytes;
  const uint64_t pitch = uint64_t{in.repeat_stride[0]} * kBlockBytes;
  ctx.Add(offsets, false, offsets.address, blocks * 4);
  for (uint64_t block = 0; block < (step == kBlockBytes ? 1 : kBlocksPerRepeat); ++block) {
    ctx.Add(dst, true, dst.address + block * step, step == kBlockBytes ? kRepeatBytes : kBlockBytes,
            in.repeat, pitch);
  }
  ctx.Admit();
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t offset = Peek<uint32_t>(ctx.ub() + offsets.address + i * 4);
    if (offset % kBlockBytes != 0) {
      ctx.FailAt(Format("offset %llu of block %llu is not a multiple of %llu",
                        static_cast<unsigned long long>(offset), static_cast<unsigned long long>(i),
                        static_cast<unsigned long long>(kBlockBytes)),
                 src, src.address + offset, src.address + offset + kBlockBytes);
    }
    const uint64_t to = dst.address + i / kBlocksPerRepeat * pitch + i % kBlocksPerRepeat * step;
    const std::byte* const from =
        ctx.AdmitLate(src, false, src.address + offset, kBlockBytes, 1, 0, true);
    if (ctx.missing) ctx.CarryInUb(src, src.address + offset, kBlockBytes, to);
    std::memmove(ctx.ub() + to, from, kBlockBytes);
  }
  ctx.Commit();
}

// params: pattern (0: bits in operand[2]), reduceMode, mask, src0BlockStride, repeatTimes,
// src0RepeatStride, src1RepeatStride; result: the number of elements kept.
void GatherMask(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const SoftnpuTensor& bits = in.operand[2];
  const uint64_t size = TypeBytes(dst.type);
  const int64_t pattern = in.params[0];
  const bool user = in.operand_count == 3;
  const bool counter = in.params[1] != 0;
  if (size != 2 && size != 4) ctx.Fail(Format("GatherMask does not take %s", TypeName(dst.type)));
  if (!user) ctx.CheckLimit("src1Pattern", pattern, 1, 7);
  if (user && TypeBytes(bits.type) != size) {
    ctx.Fail(Format("src1Pattern of %s for elements of %llu bytes, which need uint%llu_t",
                    TypeName(bits.type), static_cast<unsigned long long>(size),
                    static_cast<unsigned long long>(size * 8)));
  }
  if (ctx.strict()) {
    ctx.CheckUbAlignment(dst, "dst");
    ctx.CheckUbAlignment(src, "src0");
    if (user) ctx.CheckUbAlignment(bits, "src1Pattern");
  }
  const uint64_t per = kRepeatBytes / size;
  const uint64_t elements = counter ? static_cast<uint64_t>(in.params[2]) : per;
  const uint64_t block_stride = static_cast<uint64_t>(in.params[3]);
  const uint64_t repeats = static_cast<uint64_t>(in.params[4]);
  const uint64_t src_pitch = static_cast<uint64_t>(in.params[5]) * kBlockBytes;
  const uint64_t bits_pitch = static_cast<uint64_t>(in.params[6]) * kBlockBytes;
  in.result = 0;
  if (elements == 0 || repeats == 0) return;
  if (block_stride == 1) {
    ctx.AddSource(src, src.address, elements * size, repeats, src_pitch);
  } else {
    for (uint64_t lane = 0; lane < elements; lane += kBlockBytes / size) {
      ctx.AddSource(src, src.address + LaneOffset(lane, size, block_stride),
                    std::min(kBlockBytes, (elements - lane) * size), repeats, src_pitch);
    }
  }
  if (user) ctx.Add(bits, false, bits.address, (elements + 7) / 8, repeats, bits_pitch);
  ctx.Admit();
  const std::byte* const ub = ctx.ub();
  const auto kept = [&](uint64_t repeat, uint64_t lane) {
    if (user) {
      const uint64_t at = bits.address + repeat * bits_pitch + lane / 8;
      return (std::to_integer<unsigned>(ub[at]) >> (lane % 8) & 1) != 0;
    }
    if (pattern <= 2) return lane % 2 == static_cast<uint64_t>(pattern - 1);
    return pattern == 7 || lane % 4 == static_cast<uint64_t>(pattern - 3);
  };
  std::vector<uint64_t> places;  // of the elements that are kept
  for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
    for (uint64_t lane = 0; lane < elements; ++lane) {
      if (!kept(repeat, lane)) continue;
      places.push_back(src.address + repeat * src_pitch + LaneOffset(lane, size, block_stride));
    }
  }
  in.result = places.size();
  if (places.empty()) return;
  std::byte* const to = ctx.AdmitLate(dst, true, dst.address, places.size() * size);
  // dst may be src: an element never moves up.
  if (ctx.strict() && dst.address > src.address) {
    for (const Access& access : ctx.accesses) {
      if (access.tensor == &src && dst.address < access.base + access.extent() &&
          access.base < dst.address + places.size() * size) {
        ctx.FailAt("dst overlaps src0 behind its start", dst, dst.address, dst.address + size);
      }
    }
  }
  for (size_t i = 0; i < places.size() && ctx.missing; ++i) {
    ctx.CarryInUb(src, places[i], size, dst.address + i * size);
  }
  for (size_t i = 0; i < places.size(); ++i) std::memmove(to + i * size, ub + places[i], size);
  ctx.Commit();
}

}  // namespace softnpu::ascendc::semantics
