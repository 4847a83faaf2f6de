// cc/softnpu/ascendc/copy_layout.cc: copies that change a matrix's layout, and atomic ones.
#include <cstring>

#include "cc/softnpu/ascendc/copy.h"
#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: its element types

constexpr uint64_t kFractalSide = 16;

template <typename T>
void CombineRuns(uint32_t opcode, std::byte* to, const std::byte* from, uint64_t bytes) {
  for (uint64_t at = 0; at + sizeof(T) <= bytes; at += sizeof(T)) {
    const T old = Peek<T>(to + at);
    const T value = Peek<T>(from + at);
    const auto pick = [&](auto a, auto b) {
      return opcode == SOFTNPU_OP_SET_ATOMIC_MAX ? Larger(a, b) : Smaller(a, b);
    };
    if constexpr (kIsFloat<T>) {
      Poke(to + at, Store<T>(opcode == SOFTNPU_OP_SET_ATOMIC_ADD ? Load(old) + Load(value)
                                                                 : pick(Load(old), Load(value))));
    } else {
      using U = std::make_unsigned_t<T>;
      Poke(to + at,
           opcode == SOFTNPU_OP_SET_ATOMIC_ADD
               ? static_cast<T>(static_cast<U>(static_cast<U>(old) + static_cast<U>(value)))
               : pick(old, value));
    }
  }
}

}  // namespace

void SetAtomic(Context& ctx, SoftnpuInstruction& in) {
  Registers& r = ctx.registers;
  if (in.opcode == SOFTNPU_OP_SET_ATOMIC_NONE || in.opcode == SOFTNPU_OP_DISABLE_DMA_ATOMIC) {
    r.atomic = 0;
    r.atomic_type = 0xFF;
    return;
  }
  const uint8_t type = static_cast<uint8_t>(in.params[0]);
  switch (type) {
    case SOFTNPU_FLOAT:
    case SOFTNPU_FLOAT16:
    case SOFTNPU_BFLOAT16:
    case SOFTNPU_INT32:
    case SOFTNPU_INT16:
    case SOFTNPU_INT8:
      break;
    default:
      ctx.Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type)));
  }
  r.atomic_type = type;
  if (in.opcode == SOFTNPU_OP_SET_ATOMIC_TYPE) return;
  r.atomic = in.opcode;
  r.atomic_file = in.file;
  r.atomic_line = in.line;
}

void CheckAtomicType(const Context& ctx, const SoftnpuTensor& destination) {
  if (!ctx.strict() || destination.type == ctx.registers.atomic_type) return;
  ctx.Fail(Format("%s of %s holds, the copy writes %s", OpcodeName(ctx.registers.atomic),
                  TypeName(ctx.registers.atomic_type), TypeName(destination.type)));
}

void Combine(const Context& ctx, std::byte* to, const std::byte* from, uint64_t bytes) {
  const uint32_t opcode = ctx.registers.atomic;
  switch (ctx.registers.atomic_type) {
    case SOFTNPU_FLOAT:
      return CombineRuns<float>(opcode, to, from, bytes);
    case SOFTNPU_FLOAT16:
      return CombineRuns<Half>(opcode, to, from, bytes);
    case SOFTNPU_BFLOAT16:
      return CombineRuns<Bfloat>(opcode, to, from, bytes);
    case SOFTNPU_INT32:
      return CombineRuns<int32_t>(opcode, to, from, bytes);
    case SOFTNPU_INT16:
      return CombineRuns<int16_t>(opcode, to, from, bytes);
    default:
      return CombineRuns<int8_t>(opcode, to, from, bytes);
  }
}

// params: ndNum, nValue, dValue, srcNdMatrixStride, srcDValue, dstNzC0Stride, dstNzNStride,
// dstNzMatrixStride. Columns of 32 bytes, each row of a column after the other; what is left of
// the last column is zero.
void CopyNd2Nz(Context& ctx, SoftnpuInstruction& in) {
  SetCopyPipe(ctx, in);
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  CheckCopyAlignment(ctx, in);
  const uint64_t size = TypeBytes(dst.type);
  ctx.CheckLimit("ndNum", in.params[0], 0, 4095);
  ctx.CheckLimit("nValue", in.params[1], 0, 16384);
  ctx.CheckLimit("dValue", in.params[2], 0, 65535);
  const auto field = [&](int i) { return static_cast<uint64_t>(in.params[i]); };
  const uint64_t matrices = field(0);
  const uint64_t n = field(1);
  const uint64_t d = field(2);
  const uint64_t c0 = kBlockBytes / size;
  if (matrices == 0 || n == 0 || d == 0) return;
  const uint64_t columns = (d + c0 - 1) / c0;
  for (uint64_t m = 0; m < matrices; ++m) {
    ctx.AddSource(src, src.address + m * field(3) * size, d * size, n, field(4) * size);
    for (uint64_t c = 0; c < columns; ++c) {
      ctx.Add(dst, true, dst.address + m * field(7) * size + c * field(5) * kBlockBytes,
              kBlockBytes, n, field(6) * kBlockBytes);
    }
  }
  ctx.Admit();
  for (uint64_t m = 0; m < matrices; ++m) {
    const std::byte* const from = ctx.accesses[m * (columns + 1)].host;
    for (uint64_t c = 0; c < columns; ++c) {
      std::byte* const to = ctx.accesses[m * (columns + 1) + 1 + c].host;
      const uint64_t bytes = std::min(c0, d - c * c0) * size;
      for (uint64_t row = 0; row < n; ++row) {
        if (ctx.missing) {
          const Access& target = ctx.accesses[m * (columns + 1) + 1 + c];
          const Access& source = ctx.accesses[m * (columns + 1)];
          ctx.Carry(source, source.base + row * field(4) * size + c * kBlockBytes, bytes, target,
                    target.base + row * field(6) * kBlockBytes);
        }
        std::byte* const block = to + row * field(6) * kBlockBytes;
        std::memset(block, 0, kBlockBytes);
        std::memcpy(block, from + row * field(4) * size + c * kBlockBytes, bytes);
      }
    }
  }
  ctx.Commit();
}

// params: ndNum, nValue, dValue, srcNdMatrixStride (256 elements), srcNStride (16 elements),
// dstDStride, dstNdMatrixStride (elements).
void CopyNz2Nd(Context& ctx, SoftnpuInstruction& in) {
  SetCopyPipe(ctx, in);
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  CheckCopyAlignment(ctx, in);
  const uint64_t size = TypeBytes(dst.type);
  ctx.CheckLimit("ndNum", in.params[0], 0, 4095);
  ctx.CheckLimit("nValue", in.params[1], 0, 8192);
  ctx.CheckLimit("dValue", in.params[2], 0, 8192);
  const auto field = [&](int i) { return static_cast<uint64_t>(in.params[i]); };
  const uint64_t matrices = field(0);
  const uint64_t n = field(1);
  const uint64_t d = field(2);
  if (matrices == 0 || n == 0 || d == 0) return;
  const uint64_t columns = (d + kFractalSide - 1) / kFractalSide;
  const bool atomic = ctx.registers.atomic != 0;
  if (atomic) CheckAtomicType(ctx, dst);
  for (uint64_t m = 0; m < matrices; ++m) {
    ctx.Add(dst, true, dst.address + m * field(6) * size, d * size, n, field(5) * size).atomic =
        atomic;
    for (uint64_t c = 0; c < columns; ++c) {
      const uint64_t width = std::min(kFractalSide, d - c * kFractalSide);
      ctx.AddSource(
             src, src.address + (m * field(3) * kFractalSide + c * field(4)) * kFractalSide * size,
             width * size, n, kFractalSide * size)
          .travels = !atomic;
    }
  }
  ctx.Admit();
  for (uint64_t m = 0; m < matrices; ++m) {
    std::byte* const to = ctx.accesses[m * (columns + 1)].host;
    for (uint64_t c = 0; c < columns; ++c) {
      const std::byte* const from = ctx.accesses[m * (columns + 1) + 1 + c].host;
      const uint64_t bytes = std::min(kFractalSide, d - c * kFractalSide) * size;
      for (uint64_t row = 0; row < n; ++row) {
        std::byte* const at = to + row * field(5) * size + c * kFractalSide * size;
        const std::byte* const value = from + row * kFractalSide * size;
        if (ctx.missing) {
          const Access& target = ctx.accesses[m * (columns + 1)];
          const Access& source = ctx.accesses[m * (columns + 1) + 1 + c];
          ctx.Carry(source, source.base + row * kFractalSide * size, bytes, target,
                    target.base + row * field(5) * size + c * kFractalSide * size);
        }
        if (atomic) {
          Combine(ctx, at, value, bytes);
        } else {
          std::memcpy(at, value, bytes);
        }
      }
    }
  }
  ctx.Commit();
}

// Fills `count` elements of operand[0], in GM, with the scalar.
void InitOutput(Context& ctx, SoftnpuInstruction& in) {
  ctx.site.SetPipe(SOFTNPU_PIPE_MTE3);
  const SoftnpuTensor& dst = in.operand[0];
  const uint64_t size = TypeBytes(dst.type);
  if (dst.space != SOFTNPU_SPACE_GM) ctx.Fail("InitOutput fills GM");
  if (in.count <= 0) return;
  ctx.Add(dst, true, dst.address, static_cast<uint64_t>(in.count) * size);
  ctx.Admit();
  for (int64_t i = 0; i < in.count; ++i) {
    std::memcpy(ctx.accesses[0].host + static_cast<uint64_t>(i) * size, &in.scalar, size);
  }
  ctx.Commit();
}

}  // namespace softnpu::ascendc::semantics
