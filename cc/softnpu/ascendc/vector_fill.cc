// cc/softnpu/ascendc/vector_fill.cc: instructions that make values or repeat them.
#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_form.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

template <typename T>
void FillRuns(const SoftnpuInstruction& in, std::byte* ub) {
  const T scalar = ScalarOf<T>(in);
  Walk(in, ub, sizeof(T), [scalar](std::byte* d, std::byte*, std::byte*, uint64_t n) {
    std::fill_n(As<T>(d), n, scalar);
  });
}

// first + index * step
template <typename T>
T Term(T first, T step, uint64_t index) {
  if constexpr (kIsFloat<T>) {
    return StoreDouble<T>(static_cast<double>(Load(first)) +
                          static_cast<double>(index) * static_cast<double>(Load(step)));
  } else {
    return static_cast<T>(static_cast<uint64_t>(static_cast<int64_t>(first)) +
                          index * static_cast<uint64_t>(static_cast<int64_t>(step)));
  }
}

template <typename T>
void Progression(const SoftnpuInstruction& in, std::byte* ub) {
  const T first = ScalarOf<T>(in);
  const T step = BitsTo<T>(static_cast<uint64_t>(in.params[0]));
  std::byte* const out = ub + in.operand[0].address;
  if (in.form == SOFTNPU_FORM_COUNT) {
    for (int64_t i = 0; i < in.count; ++i) {
      As<T>(out)[i] = Term(first, step, static_cast<uint64_t>(i));
    }
    return;
  }
  const uint64_t per = kRepeatBytes / sizeof(T);
  for (uint64_t repeat = 0; repeat < RepeatsOf(in, per); ++repeat) {
    const LaneBits lanes = LanesOf(in, repeat, per);
    for (uint64_t lane = 0; lane < per; ++lane) {
      if (!lanes[lane]) continue;
      Poke(out + repeat * in.repeat_stride[0] * kBlockBytes +
               LaneOffset(lane, sizeof(T), in.block_stride[0]),
           Term(first, step, repeat * per + lane));
    }
  }
}

template <typename T>
void CopyRuns(const SoftnpuInstruction& in, std::byte* ub) {
  Walk(in, ub, sizeof(T), [](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    std::memmove(d, a, n * sizeof(T));
  });
}

}  // namespace

void Fill(Context& ctx, SoftnpuInstruction& in) {
  const uint8_t type = in.operand[0].type;
  const uint64_t size = TypeBytes(type);
  Function run = nullptr;
  if (in.opcode == SOFTNPU_OP_DUPLICATE) {
    if (size == 2) run = FillRuns<uint16_t>;
    if (size == 4) run = FillRuns<uint32_t>;
  } else {
    ArithmeticType(type, [&]<typename T>() { run = Progression<T>; });
  }
  if (run == nullptr)
    ctx.Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type)));
  if (!PlanVector(ctx, in, size)) return;
  run(in, ctx.ub());
  ctx.Commit();
}

// Per repeat eight elements of src, each of which fills one block of dst.
void Brcb(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const uint64_t size = TypeBytes(dst.type);
  if (size != 2 && size != 4) ctx.Fail(Format("Brcb does not take %s", TypeName(dst.type)));
  ctx.CheckLimit("repeatTime", in.repeat, 0, kMaxRepeat);
  if (ctx.strict()) {
    ctx.CheckUbAlignment(dst, "dst");
    ctx.CheckUbAlignment(src, "src0");
  }
  CheckRepeat(ctx, in);
  if (in.repeat == 0) return;
  if (in.block_stride[0] == 0) ctx.Fail("dstBlkStride 0 is not defined");
  const uint64_t pitch = uint64_t{in.repeat_stride[0]} * kBlockBytes;
  const uint64_t step = uint64_t{in.block_stride[0]} * kBlockBytes;
  for (uint64_t block = 0; block < (step == kBlockBytes ? 1 : kBlocksPerRepeat); ++block) {
    ctx.Add(dst, true, dst.address + block * step, step == kBlockBytes ? kRepeatBytes : kBlockBytes,
            in.repeat, pitch);
  }
  const uint64_t elements = uint64_t{in.repeat} * kBlocksPerRepeat;
  ctx.AddSource(src, src.address, elements * size);
  ctx.Admit();
  if (ctx.strict()) {
    const uint64_t end = src.address + elements * size;
    for (const Access& access : ctx.accesses) {
      if (access.write && access.base < end && src.address < access.base + access.extent()) {
        ctx.FailAt("dst overlaps src0", dst, dst.address, dst.address + kBlockBytes);
      }
    }
  }
  for (uint64_t e = 0; e < elements; ++e) {
    std::byte* const block =
        ctx.ub() + dst.address + e / kBlocksPerRepeat * pitch + e % kBlocksPerRepeat * step;
    const std::byte* const value = ctx.ub() + src.address + e * size;
    if (ctx.missing && !ctx.HasValue(src.address + e * size, size)) {
      const auto at = static_cast<uint64_t>(block - ctx.ub());
      ctx.Spoil(SOFTNPU_SPACE_UB, at, at + kBlockBytes, src, src.address + e * size);
    }
    for (uint64_t at = 0; at < kBlockBytes; at += size) std::memcpy(block + at, value, size);
  }
  ctx.Commit();
}

void VectorCopy(Context& ctx, SoftnpuInstruction& in) {
  const uint64_t size = TypeBytes(in.operand[0].type);
  if (size != 2 && size != 4)
    ctx.Fail(Format("Copy does not take %s", TypeName(in.operand[0].type)));
  if (!PlanVector(ctx, in, size)) return;
  (size == 2 ? CopyRuns<uint16_t> : CopyRuns<uint32_t>)(in, ctx.ub());
  ctx.Commit();
}

}  // namespace softnpu::ascendc::semantics
